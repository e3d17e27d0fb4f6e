local replay = require("spec.replay")
local span = replay.span

local function read(trace, value)
  return span { name = "users.get", trace = trace, service = "users", attr = { ["data.contains_pii"] = value } }
end

describe("pii-without-audit", function()
  it("fires at the close when personal data was read and nothing was audited", function()
    local found = replay.run("rules/pii_without_audit.lua", {
      { read("silent", true) },
      { read("audited", true), span { name = "audit.log", trace = "audited" } },
      { read("not personal", false) },
      { span { name = "users.get", trace = "unmarked" } },
    })
    assert.equal("silent", replay.traces(found, "silent", "audited", "not personal", "unmarked"))
    assert.equal("missing audit.log", found[1].reason)
  end)

  it("waits for an audit log that comes seconds later in another request", function()
    local late = span { name = "audit.log", trace = "t", at = 4000, service = "audit" }
    local found = replay.run("rules/pii_without_audit.lua", { { at = 20, read("t", true) }, { at = 9000, late } })
    assert.equal(0, #found)
  end)
end)
