--- Every key of the configuration, in the order in which it is shown: the one list.
-- default: as its author would write it. min, max: bounds of what a value may be, written likewise.
-- The keys reach the core through CONFIG_KEYS in core/config.h.
local value = require("fluo.config.value")

local M = {
  { key = "rules", type = value.path, default = "rules", file_relative = true,
    help = "rule files: a directory, or one file" },
  { key = "data", type = value.path, default = "data", file_relative = true,
    help = "directory for what must outlive the process" },

  { key = "listen.otlp_http", type = value.address, default = "127.0.0.1:4318",
    help = "where OTLP/HTTP comes in" },
  { key = "listen.admin", type = value.address, default = "127.0.0.1:4319",
    help = "health, readiness and metrics" },

  { key = "http.body_bytes_max", type = value.size, default = "8MiB", min = "1KiB", max = "1GiB",
    help = "largest body, compressed and decoded" },
  { key = "http.connections_max", type = value.int, default = "1024", min = "1", max = "65536",
    help = "connections at a time; more must wait" },
  { key = "http.idle_timeout", type = value.duration, default = "75s", min = "1ms", max = "1d",
    help = "a connection without a request is closed after this" },
  { key = "http.header_timeout", type = value.duration, default = "10s", min = "1ms", max = "1h",
    help = "time for the head of a request" },
  { key = "http.body_timeout", type = value.duration, default = "30s", min = "1ms", max = "1h",
    help = "time without progress within a body" },
  { key = "http.traces_path", type = value.http_path, default = "",
    help = "one more path that takes traces besides /v1/traces, such as /" },
  { key = "http.cors_origins", type = value.origins, default = "",
    help = "web pages that may send from a browser" },

  { key = "buffer.bytes_max", type = value.size, default = "64MiB", min = "1MiB", max = "3GiB",
    help = "memory for traces that are being assembled" },

  { key = "state.bytes_max", type = value.size, default = "32MiB", min = "64KiB", max = "4GiB",
    help = "memory for the groups of windows and sequences" },

  { key = "trace.idle", type = value.duration, default = "10s", min = "1ms", max = "1d",
    help = "a trace closes when no span of it came for this long" },
  { key = "trace.max_age", type = value.duration, default = "5m", min = "1ms", max = "7d",
    help = "a trace closes at this age in any case" },
  { key = "trace.late", type = value.duration, default = "60s", min = "0s", max = "1d",
    help = "how long a closed trace is known, to tell late spans and duplicates" },
  { key = "trace.spans_max", type = value.int, default = "10000", min = "1", max = "1000000",
    help = "spans of one trace; at the cap it closes" },
  { key = "trace.bytes_max", type = value.size, default = "8MiB", min = "1KiB", max = "1GiB",
    help = "size of one trace, as its spans came; at the cap it closes" },

  { key = "ledger.evidence", type = value.choice("trace", "witnesses", "none"), default = "trace",
    help = "what is kept of a violation's trace: all of it, the spans that prove it, none" },
  { key = "ledger.age", type = value.duration, default = "30d", min = "1m", max = "3650d",
    help = "how long violations, and incidents that are over, are kept" },
  { key = "ledger.bytes_max", type = value.size, default = "1GiB", min = "1MiB", max = "1TiB",
    help = "size of the ledger on disk; the oldest violations go first" },

  { key = "output.violations", type = value.output, default = "stdout", file_relative = true,
    help = "where violations go, as JSON lines: stdout, none, or a file" },

  { key = "log.level", type = value.choice("debug", "info", "warn", "error"), default = "info",
    help = "what is logged on stderr" },
  { key = "log.format", type = value.choice("auto", "text", "json"), default = "auto",
    help = "auto: text on a terminal, JSON lines otherwise" },

  { key = "semconv.renames", type = value.bool, default = "true",
    help = "old and new names of an attribute are one, as in http.status_code" },
  { key = "status_ok_is_explicit", type = value.bool, default = "false",
    help = 'status = "OK" does not match an unset status' },
  { key = "skip_broken", type = value.bool, default = "false",
    help = "start without the rule files that do not load" },
  { key = "watch_rules", type = value.bool, default = "true",
    help = "reload the rules when their files change; SIGHUP always does" },
  { key = "require_specs", type = value.bool, default = "false",
    help = "a rule is taken only where its specs pass and one shows it to fire" },
  { key = "other_signals", type = value.choice("discard", "reject"), default = "discard",
    help = "metrics and logs are taken and discarded, or refused" },
}

M.by_key, M.names, M.sections = {}, {}, {}
for i, entry in ipairs(M) do
  M.by_key[entry.key] = entry
  M.names[i] = entry.key
  entry.variable = "FLUO_" .. entry.key:upper():gsub("%.", "_")
  entry.flag = "--" .. entry.key:gsub("_", "-")
  local section = entry.key:match("^(.*)%.")
  if section then M.sections[section] = true end
end

return M
