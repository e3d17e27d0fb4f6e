-- A quarter of the requests that are normal for this service, or none: what asks it is broken, or cannot reach it.
-- No error says so.
rule "traffic-drop" {
  description = "A service is asked a quarter as often as is normal for it, or not at all",
  severity    = "high",
  when        = window("10m", { kind = one_of { "SERVER", "CONSUMER" } }):by("service")
                  :count():under_baseline { times = 4, min_normal = 100 },
  summary     = "{service}: {value} requests within 10 minutes, {baseline} are normal",
  actions     = { log "{service}: {value} requests within 10 minutes, {baseline} are normal" },
}
