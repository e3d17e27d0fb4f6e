-- An invariant: whoever charges a card over 1000 also runs the fraud check, and never bypasses validation.
rule "payment-without-fraud-check" {
  description = "A card charged over 1000 without a fraud check, or past validation",
  severity    = "critical",
  when        = trace.has { name = "payment.charge_card", amount = gt(1000) },
  always      = trace.has { name = "payment.fraud_check" },
  never       = trace.has { name = "payment.bypass_validation" },
  summary     = "{service}: a charge of {amount} broke the payment invariant ({reason})",
  actions     = { log "{service}: a charge of {amount} broke the payment invariant ({reason})" },
}
