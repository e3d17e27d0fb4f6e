-- An operation that this service did not have in the last week: a release that nobody announced, a path that somebody
-- tries.
rule "operation-new" {
  description = "A service serves an operation that it did not serve for a week",
  severity    = "low",
  when        = window("7d", { kind = one_of { "SERVER", "CONSUMER" } }):by("service", "name"):first_seen(),
  summary     = "{service}: {name} was not seen for a week",
  actions     = { log "{service}: {name} was not seen for a week" },
}
