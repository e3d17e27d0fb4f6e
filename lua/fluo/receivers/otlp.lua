--- Violations as OTLP/HTTP log records, event `fluo.violation`, on the traces that they are about, and a resolve as an
-- event `fluo.incident.resolved`; with signal = "traces" violations as spans that link to these. Repeats are not sent.
-- Settings: url (https://collector:4318), headers, signal.
local NUMBER = { low = 9, medium = 13, high = 17, critical = 21 }

local function attribute(key, value)
  if value == nil then return nil end
  local kind = type(value) == "number" and (value % 1 == 0 and "intValue" or "doubleValue")
    or type(value) == "boolean" and "boolValue" or "stringValue"
  return { key = key, value = { [kind] = kind == "intValue" and ("%d"):format(value) or value } }
end

local function attributes(incident, violation)
  local list = {}
  local function add(key, value) list[#list + 1] = attribute(key, value) end
  add("fluo.rule", incident.rule)
  add("fluo.incident.id", incident.id)
  add("fluo.incident.status", incident.status)
  add("fluo.violation.id", violation.id)
  add("fluo.severity", incident.severity)
  add("fluo.reason", violation.reason)
  add("fluo.value", violation.value)
  add("fluo.threshold", violation.threshold)
  for name, value in pairs(incident.group) do add("fluo.group." .. name, value) end
  return list
end

-- "2026-01-01T00:00:00.000000000Z" in nanoseconds, as text: they are beyond what a number holds.
local function nanoseconds(time)
  local y, m, d, hour, min, sec, ns = time:match("^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)%.?(%d*)Z$")
  y, m, d = tonumber(y), tonumber(m), tonumber(d)
  if m <= 2 then y, m = y - 1, m + 12 end
  local leap = math.floor(y / 4) - math.floor(y / 100) + math.floor(y / 400)
  local days = 365 * y + leap + math.floor((153 * (m - 3) + 2) / 5) + d - 719469
  return ("%d%s"):format(days * 86400 + hour * 3600 + min * 60 + sec, (ns .. "000000000"):sub(1, 9))
end

local function log_record(incident, violation)
  local first = (violation.spans or {})[1] or {}
  local at = nanoseconds(violation.time)
  return { timeUnixNano = at, observedTimeUnixNano = at, severityNumber = NUMBER[incident.severity],
           severityText = incident.severity, eventName = "fluo.violation", body = { stringValue = incident.summary },
           traceId = violation.trace_id or first.trace_id, spanId = first.span_id,
           attributes = attributes(incident, violation) }
end

local function resolved_record(incident)
  local at = nanoseconds(incident.resolved_at)
  return { timeUnixNano = at, observedTimeUnixNano = at, severityNumber = 9, severityText = incident.severity,
           eventName = "fluo.incident.resolved", body = { stringValue = incident.summary },
           attributes = attributes(incident, {}) }
end

local function span(incident, violation)
  local at, links = nanoseconds(violation.time), {}
  for _, witness in ipairs(violation.spans or {}) do
    links[#links + 1] = { traceId = witness.trace_id or violation.trace_id, spanId = witness.span_id }
  end
  return { traceId = violation.id, spanId = violation.id:sub(1, 16), name = "fluo.violation", kind = 1,
           startTimeUnixNano = at, endTimeUnixNano = at, links = links[1] and links,
           attributes = attributes(incident, violation) }
end

local function records_of(incident, traces)
  local records = {}
  if incident.status == "resolved" then return { not traces and resolved_record(incident) or nil } end
  for i, violation in ipairs(incident.violations) do
    records[i] = traces and span(incident, violation) or log_record(incident, violation)
  end
  return records
end

action "otlp" (function(alert, settings)
  local traces, records = settings.signal == "traces", {}
  for _, incident in ipairs(alert.event ~= "repeated" and alert.incidents or {}) do
    for _, record in ipairs(records_of(incident, traces)) do records[#records + 1] = record end
  end
  if not records[1] then return true end
  local resource, scope = { attributes = { attribute("service.name", "fluo") } }, { name = "fluo" }
  local logs = { { resource = resource, scopeLogs = { { scope = scope, logRecords = records } } } }
  local spans = { { resource = resource, scopeSpans = { { scope = scope, spans = records } } } }
  local request = traces and { resourceSpans = spans } or { resourceLogs = logs }
  return http.post { url = settings.url:gsub("/+$", "") .. (traces and "/v1/traces" or "/v1/logs"), json = request,
                     headers = settings.headers }
end)
