--- Asks the API of a running agent.
--   local api = require("spec.agent.api")
--   local status, body = api.ask(agent, "GET", "incidents?status=open")
local cjson = require("cjson")
local replay = require("spec.replay")

local M = {}

--- The answer as it came: status, text, content type. body: a table, or text; headers: lines.
function M.raw(agent, verb, path, body, headers)
  local words, file = {}, nil
  if body then
    file = os.tmpname()
    replay.write(file, type(body) == "table" and cjson.encode(body) or body)
    local typed = table.concat(headers or {}):find("Content-Type", 1, true)
    words[#words + 1] = (typed and "" or "-H 'Content-Type: application/json' ") .. "--data-binary @" .. file
  end
  for _, header in ipairs(headers or {}) do words[#words + 1] = ("-H '%s'"):format(header) end
  local _, out = replay.shell(("curl -s -m 20 -X %s -w '\n%%{http_code} %%{content_type}' %s 'http://%s/api/v1/%s'"):format(verb,
    table.concat(words, " "), agent.admin, path))
  if file then os.remove(file) end
  local text, status, kind = out:match("^(.*)\n(%d+) (%S*)$")
  return tonumber(status), text, kind
end

--- Status and the answer, decoded.
function M.ask(agent, verb, path, body, headers)
  local status, text, kind = M.raw(agent, verb, path, body, headers)
  assert(kind == "application/json", text)
  return status, cjson.decode(text)
end

return M
