-- A login that fails and is hidden by a retry: the user gets in, the error rate of the endpoint stays low,
-- and nobody sees that the first try broke.
rule "login-hidden-by-retry" {
  description = "A login error that a retry within 5 s hides",
  severity    = "high",
  when        = trace.has { name = "auth.login", status = "ERROR" }
                  :followed_by { name = "auth.login", status = "OK" }
                  :within "5s",
  summary     = "{service}: a failed login was hidden by a retry",
  actions     = { log "{service}: a failed login was hidden by a retry" },
}
