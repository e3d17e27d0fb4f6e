-- A request that misses the cache and then fails: the cache hides a broken origin until it expires.
rule "cache-miss-500" {
  description = "A request answered 500 on a cache miss",
  severity    = "medium",
  when        = { name = "http.request", ["http.status_code"] = 500, cache_miss = true },
  summary     = "{service}: {span.name} failed with 500 on a cache miss",
  actions     = { log "{service}: {span.name} failed with 500 on a cache miss" },
}
