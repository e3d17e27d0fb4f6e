local replay = require("spec.replay")
local span = replay.span

local function charge(trace, amount, ...)
  local spans = { span { name = "payment.charge_card", trace = trace, service = "pay", attr = { amount = amount } } }
  for _, name in ipairs({ ... }) do
    spans[#spans + 1] = span { name = name, trace = trace, parent = "payment.charge_card", at = 5, dur = 1 }
  end
  return spans
end

describe("payment-without-fraud-check", function()
  it("names the part of the invariant that broke", function()
    local found = replay.run("rules/payment_without_fraud_check.lua", {
      charge("unchecked", 1500),
      charge("checked", 1500, "payment.fraud_check"),
      charge("bypassed", 1500, "payment.fraud_check", "payment.bypass_validation"),
      charge("small", 1000),
    })
    assert.equal("unchecked bypassed", replay.traces(found, "unchecked", "checked", "bypassed", "small"))
    for _, v in ipairs(found) do
      local part = v.trace_id == replay.trace_id("unchecked") and "payment.fraud_check" or "payment.bypass_validation"
      assert.truthy(v.reason:find(part, 1, true))
    end
  end)
end)
