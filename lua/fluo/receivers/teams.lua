--- A card in a Microsoft Teams channel (Workflows: "when a webhook request is received"). Settings: url.
local function text_block(text, more)
  local block = { type = "TextBlock", wrap = true, text = text }
  for name, value in pairs(more or {}) do block[name] = value end
  return block
end

local function facts(incident)
  local list = { { title = "severity", value = incident.severity },
                 { title = "violations", value = tostring(incident.count) } }
  for name, value in pairs(incident.group) do list[#list + 1] = { title = name, value = action.cut(value, 300) } end
  return { type = "FactSet", facts = list }
end

local BYTES = 26000                    -- a message has 28 KB

action "teams" (function(alert, settings)
  local body = {}
  for i, incident in ipairs(alert.incidents) do
    if i <= 10 and #json.encode(body) < BYTES - 8000 then
      local color = incident.status == "resolved" and "Good" or "Attention"
      body[#body + 1] = text_block(action.cut(("[%s] %s"):format(incident.status, incident.rule), 300),
        { weight = "Bolder", size = "Medium", color = color })
      body[#body + 1] = text_block(action.cut(incident.summary, 1500))
      body[#body + 1] = facts(incident)
    end
  end
  local card = { ["$schema"] = "http://adaptivecards.io/schemas/adaptive-card.json", type = "AdaptiveCard",
                 version = "1.4", body = body }
  return http.post { url = settings.url, json = { type = "message", attachments = {
    { contentType = "application/vnd.microsoft.card.adaptive", content = card } } } }
end)
