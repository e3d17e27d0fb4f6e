--- A signed webhook, as Standard Webhooks 1.0 has it: the alert as JSON. Settings: url; secret ("whsec_…"), headers,
-- format = "alertmanager" for the body that Alertmanager's own webhooks have (version 4).
local function signature(alert, timestamp, body, settings)
  local key = settings.secret:match("^whsec_(.+)$")
  key = key and action.base64_decode(key) or settings.secret
  return "v1," .. action.base64(action.hmac_sha256(key, ("%s.%d.%s"):format(alert.id, timestamp, body)))
end

local function labels(incident)
  local all = {}
  for name, value in pairs(incident.labels) do all[name] = value end
  for name, value in pairs(incident.group) do all[name] = value end
  all.alertname, all.rule, all.severity = incident.rule, incident.rule, incident.severity
  return all
end

-- What all alerts have alike, of their labels or their annotations.
local function common(alerts, member)
  local all = {}
  for name, value in pairs(alerts[1][member]) do all[name] = value end
  for _, alert in ipairs(alerts) do
    for name, value in pairs(all) do
      if alert[member][name] ~= value then all[name] = nil end
    end
  end
  return all
end

local function annotations(incident)
  local newest = incident.violations[1] or {}
  return { summary = incident.summary, count = ("%d"):format(incident.count), incident = incident.id,
           trace_id = newest.trace_id, reason = newest.reason }
end

local function of_alertmanager(alert)
  local alerts = {}
  for i, incident in ipairs(alert.incidents) do
    alerts[i] = { status = incident.status == "resolved" and "resolved" or "firing", labels = labels(incident),
                  annotations = annotations(incident),
                  startsAt = incident.started_at, endsAt = incident.resolved_at or "0001-01-01T00:00:00Z",
                  generatorURL = "", fingerprint = incident.id:sub(1, 16) }
  end
  return { version = "4", receiver = alert.receiver, status = alert.status, alerts = alerts,
           groupLabels = { alertname = alert.incidents[1].rule }, commonLabels = common(alerts, "labels"),
           commonAnnotations = common(alerts, "annotations"), externalURL = "",
           groupKey = ("{}:{alertname=%q}"):format(alert.incidents[1].rule),
           truncatedAlerts = alert.incidents_total - #alerts }
end

action "webhook" (function(alert, settings)
  local body = settings.format == "alertmanager" and json.encode(of_alertmanager(alert)) or alert.json
  local timestamp = action.unix()
  local headers = { ["Content-Type"] = "application/json", ["webhook-id"] = alert.id,
                    ["webhook-timestamp"] = ("%d"):format(timestamp) }
  for name, value in pairs(settings.headers or {}) do headers[name] = value end
  if settings.secret then headers["webhook-signature"] = signature(alert, timestamp, body, settings) end
  return http.post { url = settings.url, body = body, headers = headers }
end)
