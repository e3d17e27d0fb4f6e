--- A message to a Slack channel (an incoming webhook). Settings: url; channel and username where the hook allows it.
-- Mattermost and Rocket.Chat take the same.
local COLOR = { low = "#439fe0", medium = "#daa038", high = "#d9534f", critical = "#8b0000" }

local function field(title, value) return { title = title, value = action.cut(value, 500), short = true } end

local function attachment(incident)
  local fields = { field("severity", incident.severity), field("violations", incident.count) }
  for name, value in pairs(incident.group) do fields[#fields + 1] = field(name, value) end
  local newest = incident.violations[1]
  if newest and newest.trace_id then fields[#fields + 1] = field("trace", newest.trace_id) end
  return { color = incident.status == "resolved" and "#36a64f" or COLOR[incident.severity], fields = fields,
           title = action.cut(("[%s] %s"):format(incident.status, incident.rule), 300),
           text = action.cut(incident.summary, 3000),
           fallback = action.cut(incident.rule .. ": " .. incident.summary, 500) }
end

action "slack" (function(alert, settings)
  local attachments = {}
  for i, incident in ipairs(alert.incidents) do
    if i <= 20 then attachments[i] = attachment(incident) end
  end
  local more = alert.incidents_total - #attachments
  local text = ("*%s*: %s"):format(alert.status == "resolved" and "Resolved" or "Firing", alert.incidents[1].rule)
  if more > 0 then text = text .. (" and %d more"):format(more) end
  return http.post { url = settings.url, json = { text = text, attachments = attachments, channel = settings.channel,
                                                  username = settings.username } }
end)
