--- Prometheus Alertmanager, API v2: an alert an incident, to every one of a cluster. Settings: url or urls;
-- generator_url, user, password. What fires is sent again each repeat_interval, a minute where it is not set.
local function name_of(text) return (text:gsub("[^%w_]", "_"):gsub("^%d", "_%0")) end

-- Identity is the label set: what changes from one notice to the next stands in annotations.
local function labels(incident)
  local all = {}
  for name, value in pairs(incident.labels) do all[name_of(name)] = value end
  for name, value in pairs(incident.group) do all[name_of(name)] = value end
  all.alertname, all.rule, all.severity = incident.rule, incident.rule, incident.severity
  return all
end

local function annotations(incident)
  local newest = incident.violations[1] or {}
  local spans = {}
  for i, span in ipairs(newest.spans or {}) do spans[i] = span.span_id end
  return { summary = incident.summary, incident = incident.id, count = ("%d"):format(incident.count),
           violation = newest.id, trace_id = newest.trace_id, span_ids = spans[1] and table.concat(spans, " "),
           reason = newest.reason, value = newest.value and tostring(newest.value) }
end

-- A firing alert ends by itself unless it is sent again: four times the interval, as Prometheus has it.
local function alert_of(incident, settings)
  local resolved = incident.status == "resolved"
  return { labels = labels(incident), annotations = annotations(incident), startsAt = incident.started_at,
           endsAt = resolved and incident.resolved_at or action.now(4 * (settings.resend_seconds or 60)),
           generatorURL = settings.generator_url and settings.generator_url .. "/" .. incident.id }
end

action "alertmanager" (function(alert, settings)
  local alerts = {}
  for i, incident in ipairs(alert.incidents) do alerts[i] = alert_of(incident, settings) end
  local taken
  for _, url in ipairs(settings.urls or { settings.url }) do
    local response = http.post { url = url:gsub("/+$", "") .. "/api/v2/alerts", json = alerts, user = settings.user,
                                 password = settings.password }
    if response.status and response.status < 300 then taken = response end
  end
  return taken                          -- one is enough, for they tell each other
end)
