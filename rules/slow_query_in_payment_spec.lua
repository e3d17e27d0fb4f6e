local replay = require("spec.replay")
local span = replay.span

describe("slow-query-in-payment", function()
  it("fires for a slow query below a payment span, at any depth", function()
    local found = replay.run("rules/slow_query_in_payment.lua", {
      { span { name = "payment.charge", trace = "below", dur = 3000 },
        span { name = "ledger", trace = "below", parent = "payment.charge", dur = 2000 },
        span { name = "db.query", trace = "below", parent = "ledger", dur = 1001 } },
      { span { name = "payment.charge", trace = "fast", dur = 3000 },
        span { name = "db.query", trace = "fast", parent = "payment.charge", dur = 1000 } },
      { span { name = "checkout", trace = "beside", dur = 3000 },
        span { name = "payment.charge", trace = "beside", parent = "checkout" },
        span { name = "db.query", trace = "beside", parent = "checkout", dur = 2000 } },
    })
    assert.equal("below", replay.traces(found, "below", "fast", "beside"))
    assert.equal("svc: db.query took 1001 ms inside a payment", found[1].summary)
  end)

  it("fires as well when the span between them arrives last", function()
    local found = replay.run("rules/slow_query_in_payment.lua", {
      { span { name = "db.query", trace = "t", parent = "ledger", dur = 1500 } },
      { span { name = "payment.charge", trace = "t", dur = 3000 } },
      { span { name = "ledger", trace = "t", parent = "payment.charge", dur = 2000 } },
    })
    assert.equal(1, #found)
  end)
end)
