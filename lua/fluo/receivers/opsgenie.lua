--- Opsgenie alerts, one an incident. Settings: key; url (https://api.eu.opsgenie.com), responders, tags.
local PRIORITY = { low = "P4", medium = "P3", high = "P2", critical = "P1" }

local DETAILS = 7000                    -- all together have 8,000 characters

local function details(incident)
  local all = { rule = incident.rule, count = tostring(incident.count), started_at = incident.started_at }
  local left = DETAILS
  for _, from in ipairs { incident.labels, incident.group } do
    for name, value in pairs(from) do
      left = left - #name - math.min(#value, 500)
      if left > 0 then all[name] = action.cut(value, 500) end
    end
  end
  return all
end

local function create(incident, settings)
  return { message = action.cut(incident.rule .. ": " .. incident.summary, 130), alias = incident.id, source = "FLUO",
           description = action.cut(incident.summary, 15000), details = details(incident), tags = settings.tags,
           priority = PRIORITY[incident.severity], responders = settings.responders,
           entity = incident.group.service and action.cut(incident.group.service, 512) }
end

action "opsgenie" (function(alert, settings)
  local base = (settings.url or "https://api.opsgenie.com"):gsub("/+$", "") .. "/v2/alerts"
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
