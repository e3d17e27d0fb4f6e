--- A message to a Slack channel (an incoming webhook). Settings: url; channel and username where the hook allows it.
-- Mattermost and Rocket.Chat take the same.
local COLOR = { low = "#439fe0", medium = "#daa038", high = "#d9534f", critical = "#8b0000" }

-- What stands in angle brackets is for Slack to read, as <!channel> is; the others read Markdown.
local ENTITY = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }
local function plain(text, bytes) return (action.plain(action.cut(text, bytes)):gsub("[&<>]", ENTITY)) end

local function field(title, value) return { title = title, value = plain(value, 500), short = true } end

local function attachment(incident)
  local fields = { field("severity", incident.severity), field("violations", incident.count) }
  for name, value in pairs(incident.group) do fields[#fields + 1] = field(name, value) end
  local newest = incident.violations[1]
  if newest and newest.trace_id then fields[#fields + 1] = field("trace", newest.trace_id) end
  return { color = incident.status == "resolved" and "#36a64f" or COLOR[incident.severity], fields = fields,
           title = plain(("[%s] %s"):format(incident.status, incident.rule), 300),
           text = plain(incident.summary, 2500),
           fallback = plain(incident.rule .. ": " .. incident.summary, 500) }
end

action "slack" (function(alert, settings)
  local attachments = {}
  for i, incident in ipairs(alert.incidents) do
    if i <= 20 then attachments[i] = attachment(incident) end
  end
  local more = alert.incidents_total - #attachments
  local status = alert.status == "resolved" and "Resolved" or "Firing"
  local text = ("*%s*: %s"):format(status, plain(alert.incidents[1].rule, 300))
  if more > 0 then text = text .. (" and %d more"):format(more) end
  return http.post { url = settings.url, json = { text = text, attachments = attachments, channel = settings.channel,
                                                  username = settings.username } }
end)
