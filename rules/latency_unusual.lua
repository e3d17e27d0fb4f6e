-- One in twenty requests takes longer than is normal for the service: by six spreads, which is 30 % at the least, and
-- more where it varies.
rule "latency-unusual" {
  description = "A service's 95th percentile of latency is above what is normal for it",
  severity    = "medium",
  when        = window("10m", { kind = one_of { "SERVER", "CONSUMER" } }):by("service")
                  :p(95, "duration"):over_baseline { sigmas = 6 }:min_samples(100),
  summary     = "{service}: 95 % of requests took up to {value} ms within 10 minutes, {baseline} ms is normal",
  actions     = { log "{service}: 95 % of requests took up to {value} ms within 10 minutes, {baseline} ms is normal" },
}
