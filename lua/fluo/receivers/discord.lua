--- A message to a Discord channel. Settings: url (the webhook's), username.
local COLOR = { low = 0x439fe0, medium = 0xdaa038, high = 0xd9534f, critical = 0x8b0000 }

local function embed(incident)
  local lines = { incident.summary, ("severity %s, %d violations"):format(incident.severity, incident.count) }
  for name, value in pairs(incident.group) do lines[#lines + 1] = ("%s: %s"):format(name, value) end
  return { title = action.cut(("[%s] %s"):format(incident.status, incident.rule), 256),
           description = action.cut(action.plain(table.concat(lines, "\n")), 2048),
           color = incident.status == "resolved" and 0x36a64f or COLOR[incident.severity] }
end

action "discord" (function(alert, settings)
  local embeds = {}
  for i, incident in ipairs(alert.incidents) do
    if i <= 2 then embeds[i] = embed(incident) end           -- 6,000 characters in all
  end
  local content = ("%s: %s (%d)"):format(alert.status, alert.incidents[1].rule, alert.incidents_total)
  return http.post { url = settings.url, json = { content = action.cut(action.plain(content), 2000), embeds = embeds,
                                                  username = settings.username } }
end)
