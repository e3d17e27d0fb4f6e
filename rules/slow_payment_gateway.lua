-- The payment gateway answers, but slowly: no error, so no error rate moves.
rule "slow-payment-gateway" {
  description = "A call of the payment gateway over 300 ms",
  severity    = "medium",
  when        = any_of {
    { ["http.url"] = matches "(https?://[^/]+)?/payment-api/.*", duration = gt "300ms" },
    { ["peer.service"] = "payment-gateway", kind = "CLIENT", duration = gt "300ms" },
  },
  summary     = "{service}: the payment gateway took {span.duration} ms",
  actions     = { log "{service}: the payment gateway took {span.duration} ms" },
}
