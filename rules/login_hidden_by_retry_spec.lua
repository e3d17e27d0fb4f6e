local replay = require("spec.replay")
local span = replay.span

local function login(trace, at, status)
  return span { name = "auth.login", id = "login" .. at, trace = trace, at = at, status = status, service = "auth" }
end

describe("login-hidden-by-retry", function()
  it("fires when a failed login is followed by one that works within 5 s", function()
    local found = replay.run("rules/login_hidden_by_retry.lua", {
      { login("retried", 0, "ERROR"), login("retried", 4999, "OK") },
      { login("too late", 0, "ERROR"), login("too late", 5000, "OK") },
      { login("only failed", 0, "ERROR") },
      { login("worked first", 0, "OK"), login("worked first", 100, "ERROR") },
    })
    assert.equal("retried", replay.traces(found, "retried", "too late", "only failed", "worked first"))
  end)

  it("takes an unset status for success, as instrumentation leaves it, and shows both logins", function()
    local found = replay.run("rules/login_hidden_by_retry.lua", { { login("t", 0, "ERROR"), login("t", 300, "UNSET") } })
    assert.equal(1, #found)
    assert.same({ replay.span_id("t", "login0"), replay.span_id("t", "login300") },
      { found[1].spans[1].span_id, found[1].spans[2].span_id })
    assert.equal("auth: a failed login was hidden by a retry", found[1].summary)
  end)
end)
