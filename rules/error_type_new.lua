-- A kind of error that this service did not have in the last week: the first of a new bug, long before a ratio moves.
rule "error-type-new" {
  description = "A service fails in a way that it did not fail in for a week",
  severity    = "medium",
  when        = window("7d", { status = "ERROR", ["error.type"] = exists }):by("service", "error.type"):first_seen(),
  summary     = "{service}: {error.type}, which was not seen for a week",
  actions     = { log "{service}: {error.type}, which was not seen for a week" },
}
