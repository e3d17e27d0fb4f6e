--- A card in a Microsoft Teams channel (Workflows: "when a webhook request is received"). Settings: url.
local function text_block(text, bytes, more)
  local block = { type = "TextBlock", wrap = true, text = action.cut(action.plain(text), bytes) }
  for name, value in pairs(more or {}) do block[name] = value end
  return block
end

local function facts(incident)
  local list = { { title = "severity", value = incident.severity },
                 { title = "violations", value = tostring(incident.count) } }
  for name, value in pairs(incident.group) do
    if #list < 20 then list[#list + 1] = { title = name, value = action.cut(action.plain(value), 300) } end
  end
  return { type = "FactSet", facts = list }
end

local function blocks(incident)
  local color = incident.status == "resolved" and "Good" or "Attention"
  return { text_block(("[%s] %s"):format(incident.status, incident.rule), 300,
                      { weight = "Bolder", size = "Medium", color = color }),
           text_block(incident.summary, 1500), facts(incident) }
end

local BYTES, INCIDENTS = 26000, 10     -- a message has 28 KB

-- As many as fit, and how many do not.
local function body_of(alert)
  local body, bytes, shown = {}, 0, 0
  for _, incident in ipairs(alert.incidents) do
    local these = blocks(incident)
    bytes = bytes + #json.encode(these)
    if shown == INCIDENTS or bytes > BYTES then break end
    for _, block in ipairs(these) do body[#body + 1] = block end
    shown = shown + 1
  end
  local more = alert.incidents_total - shown
  if more > 0 then body[#body + 1] = text_block(("and %d more"):format(more), 100) end
  return body
end

action "teams" (function(alert, settings)
  local card = { ["$schema"] = "http://adaptivecards.io/schemas/adaptive-card.json", type = "AdaptiveCard",
                 version = "1.4", body = body_of(alert) }
  return http.post { url = settings.url, json = { type = "message", attachments = {
    { contentType = "application/vnd.microsoft.card.adaptive", content = card } } } }
end)
