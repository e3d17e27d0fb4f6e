--- An e-mail. Settings: url (smtp://mail.example.com:587, smtps://…), from, to (one address, or a list); user, password
-- (then only over TLS).
local function paragraph(incident)
  local lines = { ("[%s] %s (%s)"):format(incident.status, incident.rule, incident.severity), incident.summary,
                  ("violations: %d"):format(incident.count), "started: " .. incident.started_at }
  if incident.resolved_at then lines[#lines + 1] = "resolved: " .. incident.resolved_at end
  for name, value in pairs(incident.group) do lines[#lines + 1] = ("%s: %s"):format(name, value) end
  local newest = incident.violations[1]
  if newest and newest.trace_id then lines[#lines + 1] = "trace: " .. newest.trace_id end
  return table.concat(lines, "\r\n")
end

action "email" (function(alert, settings)
  local parts = {}
  for i, incident in ipairs(alert.incidents) do
    if i <= 50 then parts[i] = paragraph(incident) end
  end
  local more = alert.incidents_total - #parts
  if more > 0 then parts[#parts + 1] = ("and %d more"):format(more) end
  local subject = ("[%s] %s: %s"):format(alert.status:upper(), alert.rule, alert.summary)
  return action.mail { url = settings.url, from = settings.from, to = settings.to, user = settings.user, id = alert.id,
                       password = settings.password, subject = action.cut(subject, 200),
                       text = table.concat(parts, "\r\n\r\n") .. "\r\n" }
end)
