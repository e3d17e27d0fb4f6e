describe("error-type-new", function()
  local function fail(kind, days)
    for _ = 1, days do
      trace { span { name = "POST /pay", service = "payment", status = "ERROR", attributes = { ["error.type"] = kind } } }
      clock.advance "1d"
    end
  end

  it("fires once for an error of a kind that was not there for a week", function()
    fail("timeout", 8)
    assert.silent("error-type-new")
    fail("CardExpired", 2)
    assert.fires("error-type-new", { count = 1, summary = "payment: CardExpired, which was not seen for a week" })
  end)

  it("is silent for errors as ever, and for what is no error", function()
    fail("timeout", 9)
    trace { span { name = "POST /pay", service = "payment", attributes = { ["error.type"] = "CardExpired" } } }
    assert.silent("error-type-new")
  end)
end)
