--- Opsgenie alerts, one an incident. Settings: key; url (https://api.eu.opsgenie.com), responders, tags.
local PRIORITY = { low = "P4", medium = "P3", high = "P2", critical = "P1" }

local function details(incident)
  local all = { rule = incident.rule, count = tostring(incident.count), started_at = incident.started_at }
  for name, value in pairs(incident.group) do all[name] = value end
  for name, value in pairs(incident.labels) do all[name] = value end
  return all
end

local function create(incident, settings)
  return { message = action.cut(incident.rule .. ": " .. incident.summary, 130), alias = incident.id, source = "FLUO",
           description = action.cut(incident.summary, 15000), details = details(incident), tags = settings.tags,
           priority = PRIORITY[incident.severity], responders = settings.responders, entity = incident.group.service }
end

action "opsgenie" (function(alert, settings)
  local base = (settings.url or "https://api.opsgenie.com") .. "/v2/alerts"
  local headers = { Authorization = "GenieKey " .. settings.key }
  for _, incident in ipairs(alert.incidents) do
    if incident.status == "resolved" then
      http.post { url = base .. "/" .. incident.id .. "/close?identifierType=alias", headers = headers,
                  json = { source = "FLUO", note = ("%d violations"):format(incident.count) } }
    else
      http.post { url = base, headers = headers, json = create(incident, settings) }
    end
  end
end)
