describe("slow-query-in-payment", function()
  local function query(duration) return span { name = "db.query", service = "pay", duration = duration } end

  it("fires for a slow query below a payment span, at any depth", function()
    trace { span { name = "payment.charge", span { name = "ledger", query("1001ms") } } }
    assert.fires("slow-query-in-payment", { summary = "pay: db.query took 1001 ms inside a payment" })
  end)

  it("fires as well when the span between them arrives last", function()
    trace {
      span { name = "payment.charge", arrival = "4s",
        span { name = "ledger", arrival = "5s",
          span { name = "db.query", arrival = "3s", duration = "1500ms" } } },
    }
    assert.fires("slow-query-in-payment", { count = 1 })
  end)

  it("is silent for a fast query, and for a slow one beside the payment", function()
    trace { span { name = "payment.charge", query("1s") } }
    trace { span { name = "checkout", span { name = "payment.charge" }, query("2s") } }
    assert.silent("slow-query-in-payment")
  end)
end)
