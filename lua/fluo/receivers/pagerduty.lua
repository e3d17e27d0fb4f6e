--- PagerDuty Events API v2, one event an incident. Settings: routing_key; url, where it is not PagerDuty's own.
local SEVERITY = { low = "info", medium = "warning", high = "error", critical = "critical" }
local EVENT = { resolved = "resolve", acknowledged = "acknowledge", open = "trigger" }

local function event(incident, settings)
  local pieces = {}
  for name, value in pairs(incident.group) do pieces[#pieces + 1] = name .. "=" .. value end
  local group = action.cut(table.concat(pieces, " "), 1024)
  return { routing_key = settings.routing_key, event_action = EVENT[incident.status], dedup_key = incident.id,
           client = "FLUO",
           payload = { summary = action.cut(incident.rule .. ": " .. incident.summary, 1024),
                       source = incident.group.service or pieces[1] and group or "fluo", group = pieces[1] and group,
                       severity = SEVERITY[incident.severity], timestamp = incident.last_seen_at, class = incident.rule,
                       custom_details = { count = incident.count, started_at = incident.started_at,
                                          labels = incident.labels, violation = incident.violations[1] } } }
end

action "pagerduty" (function(alert, settings)
  local url = settings.url or "https://events.pagerduty.com/v2/enqueue"
  for _, incident in ipairs(alert.incidents) do http.post { url = url, json = event(incident, settings) } end
end)
