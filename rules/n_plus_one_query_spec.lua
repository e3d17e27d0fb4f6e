local replay = require("spec.replay")
local span = replay.span

local function queries(trace, n, gap)
  local spans = {}
  for i = 1, n do
    spans[i] = span { name = "SELECT", id = "q" .. i, trace = trace, at = i * gap, dur = 1, kind = "CLIENT",
      service = "shop", attr = { ["db.system"] = "postgresql" } }
  end
  return spans
end

describe("n-plus-one-query", function()
  it("fires at the 51st query within 10 s", function()
    local found = replay.run("rules/n_plus_one_query.lua",
      { queries("many", 51, 10), queries("enough", 50, 10), queries("slow drip", 51, 1000) })
    assert.equal("many", replay.traces(found, "many", "enough", "slow drip"))
    assert.equal(51, found[1].span_total)
    assert.equal(32, #found[1].spans)
    assert.equal("shop: 51 database queries in one trace", found[1].summary)
  end)
end)
