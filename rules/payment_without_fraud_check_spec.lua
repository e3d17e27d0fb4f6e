describe("payment-without-fraud-check", function()
  local function charge(amount, ...)
    local inner = { name = "payment.charge_card", service = "pay", attributes = { amount = amount } }
    for _, name in ipairs { ... } do inner[#inner + 1] = span { name = name } end
    trace { span(inner) }
  end

  it("fires for a large payment that nothing checked, and names what is missing", function()
    charge(1500)
    assert.fires("payment-without-fraud-check", { reason = "always: missing payment.fraud_check" })
  end)

  it("fires for one that was checked and then let through all the same", function()
    charge(1500, "payment.fraud_check", "payment.bypass_validation")
    assert.fires("payment-without-fraud-check", { reason = "never: payment.bypass_validation" })
  end)

  it("is silent for a payment that was checked, and for a small one", function()
    charge(1500, "payment.fraud_check")
    charge(1000)
    assert.silent("payment-without-fraud-check")
  end)
end)
