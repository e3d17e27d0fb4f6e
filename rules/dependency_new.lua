-- A service calls a host that it did not call in the last week: a release that nobody announced, or data on its way
-- out. Addresses are no names: they come and go with what runs there.
rule "dependency-new" {
  description = "A service calls a host that it did not call for a week",
  severity    = "low",
  when        = window("7d", { kind = one_of { "CLIENT", "PRODUCER" },
                               ["server.address"] = matches "[^:]*[A-Za-z][^:]*" })
                  :by("service", "server.address"):first_seen(),
  summary     = "{service}: calls {server.address}, which it did not for a week",
  actions     = { log "{service}: calls {server.address}, which it did not for a week" },
}
