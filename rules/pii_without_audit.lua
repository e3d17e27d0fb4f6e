-- Personal data is read and no audit log is written in the same trace. Decided when the trace closes: an audit
-- log that comes late, from a sibling service, still counts.
rule "pii-without-audit" {
  description = "Personal data read without an audit log",
  severity    = "critical",
  when        = trace.has { ["data.contains_pii"] = true } * trace.missing { name = "audit.log" },
  summary     = "{service}: {span.name} read personal data, and no audit.log followed",
  actions     = { log "{service}: {span.name} read personal data, and no audit.log followed" },
}
