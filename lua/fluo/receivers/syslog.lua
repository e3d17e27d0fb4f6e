--- Messages as RFC 5424 has them, one an incident, at most 2,048 bytes each. Settings: address (unix:/dev/log,
-- udp://host:514, tcp://host:601), facility (0 to 23; 3, daemons), app (fluo).
local SEVERITY = { low = 5, medium = 4, high = 3, critical = 2 }
local BYTES = 2048

local function value_of(text) return (action.cut(text, 200):gsub('["\\%]]', "\\%0"):gsub("%c", " ")) end

-- The data's names, in this order.
local function data(alert, incident)
  local newest = incident.violations[1] or {}
  local all = { { "rule", incident.rule }, { "severity", incident.severity }, { "status", incident.status },
                { "incident", incident.id }, { "delivery", alert.id }, { "trace_id", newest.trace_id } }
  local pieces = {}
  for _, pair in ipairs(all) do
    if pair[2] then pieces[#pieces + 1] = ('%s="%s"'):format(pair[1], value_of(pair[2])) end
  end
  return "[fluo@32473 " .. table.concat(pieces, " ") .. "]"
end

local function message(alert, incident, settings)
  local severity = incident.status == "resolved" and 6 or SEVERITY[incident.severity] or 4
  local priority = (settings.facility or 3) * 8 + severity
  local time = alert.at:gsub("(%.%d%d%d%d%d%d)%d+Z$", "%1Z")                    -- no finer than microseconds
  local app = action.cut((settings.app or "fluo"):gsub("[^!-~]", "-"), 48)
  local head = ("<%d>1 %s - %s - %s %s "):format(priority, time, app, alert.event, data(alert, incident))
  local text = ("%s: %s"):format(incident.rule, incident.summary):gsub("%c+", " ")
  return head .. action.cut(text, BYTES - #head)
end

action "syslog" (function(alert, settings)
  local messages = {}
  for i, incident in ipairs(alert.incidents) do messages[i] = message(alert, incident, settings) end
  return errand.send { address = settings.address or "unix:/dev/log", messages = messages }
end)
