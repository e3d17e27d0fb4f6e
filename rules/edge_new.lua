-- A service is called by another one that did not call it in the last week: a dependency that no diagram has, a client
-- that should not be there. Both must send their spans, so that the caller is known.
rule "edge-new" {
  description = "A service is called by another one that did not call it for a week",
  severity    = "low",
  when        = window("7d", { kind = one_of { "SERVER", "CONSUMER" } }):by("parent.service", "service"):first_seen(),
  summary     = "{parent.service} calls {service}, which it did not for a week",
  actions     = { log "{parent.service} calls {service}, which it did not for a week" },
}
