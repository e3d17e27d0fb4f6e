-- A slow database query anywhere below a payment span: only there does a second matter.
rule "slow-query-in-payment" {
  description = "A database query over 1 s inside the payment flow",
  severity    = "high",
  when        = trace.where { name = prefix "payment" }:has { name = contains "db.query", duration = gt "1s" },
  summary     = "{service}: {span.name} took {span.duration} ms inside a payment",
  actions     = { log "{service}: {span.name} took {span.duration} ms inside a payment" },
}
