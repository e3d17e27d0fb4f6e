-- One page, dozens of queries: the N+1 pattern. Each query is fast, so no latency alert sees it.
rule "n-plus-one-query" {
  description = "More than 50 database queries in one trace within 10 s",
  severity    = "low",
  when        = trace.count { ["db.system"] = exists, kind = "CLIENT" }:over(50):within "10s",
  summary     = "{service}: {value} database queries in one trace",
  actions     = { log "{service}: {value} database queries in one trace" },
}
