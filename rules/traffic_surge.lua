-- Three times the requests that are normal for this service, lately and at this hour of the week: a loop of retries, a
-- client gone wild, a crowd.
rule "traffic-surge" {
  description = "A service is asked three times as often as is normal for it",
  severity    = "medium",
  when        = window("10m", { kind = one_of { "SERVER", "CONSUMER" } }):by("service")
                  :count():over_baseline { times = 3, min_normal = 20 },
  summary     = "{service}: {value} requests within 10 minutes, {baseline} are normal",
  actions     = { log "{service}: {value} requests within 10 minutes, {baseline} are normal" },
}
