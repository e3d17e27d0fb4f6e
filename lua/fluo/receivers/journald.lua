--- Entries of systemd's journal, one an incident: `journalctl FLUO_RULE=checkout-slow`. Settings: identifier (fluo),
-- address (unix:/run/systemd/journal/socket).
local PRIORITY = { low = 5, medium = 4, high = 3, critical = 2 }

-- A value of several lines goes with its length, 64 bits from the lowest byte on.
local function field(name, value)
  value = action.cut(value, 8192)
  if not value:find("\n", 1, true) then return name .. "=" .. value .. "\n" end
  local length = {}
  for i = 0, 7 do length[i + 1] = string.char(math.floor(#value / 256 ^ i) % 256) end
  return name .. "\n" .. table.concat(length) .. value .. "\n"
end

local function entry(alert, incident, settings)
  local newest = incident.violations[1] or {}
  local resolved = incident.status == "resolved"
  local all = { { "MESSAGE", ("[%s] %s: %s"):format(incident.status, incident.rule, incident.summary) },
                { "PRIORITY", resolved and 6 or PRIORITY[incident.severity] or 4 },
                { "SYSLOG_IDENTIFIER", settings.identifier or "fluo" }, { "FLUO_RULE", incident.rule },
                { "FLUO_SEVERITY", incident.severity }, { "FLUO_STATUS", incident.status },
                { "FLUO_EVENT", alert.event }, { "FLUO_INCIDENT", incident.id },
                { "FLUO_DELIVERY", alert.id }, { "TRACE_ID", newest.trace_id } }
  local pieces = {}
  for _, pair in ipairs(all) do
    if pair[2] then pieces[#pieces + 1] = field(pair[1], pair[2]) end
  end
  for name, value in pairs(incident.group) do
    name = "FLUO_GROUP_" .. name:upper():gsub("[^%w]", "_")
    pieces[#pieces + 1] = field(name:sub(1, 64), value)
  end
  return table.concat(pieces)
end

action "journald" (function(alert, settings)
  local entries = {}
  for i, incident in ipairs(alert.incidents) do entries[i] = entry(alert, incident, settings) end
  return errand.send { address = settings.address or "unix:/run/systemd/journal/socket", messages = entries }
end)
