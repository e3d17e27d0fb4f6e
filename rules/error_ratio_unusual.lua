-- More of a service's requests fail than is normal for it, and than chance makes fail.
rule "error-ratio-unusual" {
  description = "A service fails more often than is normal for it",
  severity    = "high",
  when        = window("10m", { kind = one_of { "SERVER", "CONSUMER" } }):by("service")
                  :ratio { status = "ERROR" }:over_baseline { sigmas = 6 }:min_samples(50),
  summary     = "{service}: a share of {value} of its requests failed within 10 minutes, {baseline} is normal",
  actions     = { log "{service}: a share of {value} of its requests failed within 10 minutes, {baseline} is normal" },
}
