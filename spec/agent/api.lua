--- Asks the API of a running agent.
--   local api = require("spec.agent.api")
--   local status, body = api.ask(agent, "GET", "incidents?status=open")
local cjson = require("cjson")
local socket = require("spec.agent.socket")

local M = {}

--- The answer as it came: status, text, content type. body: a table, or text; headers: lines.
function M.raw(agent, verb, path, body, headers)
  local lines = {}
  if body then
    body = type(body) == "table" and cjson.encode(body) or body
    local typed = table.concat(headers or {}):find("Content-Type", 1, true)
    if not typed then lines[1] = "Content-Type: application/json" end
    lines[#lines + 1] = ("Content-Length: %d"):format(#body)
  end
  for _, header in ipairs(headers or {}) do lines[#lines + 1] = header end
  lines[#lines + 1] = ""
  local status, text, answered
  -- While a disk is slow to sync, the ledger is late: that is said, and who only asks does so again.
  socket.until_true(function()
    status, text, answered = agent:ask(verb, "/api/v1/" .. path, table.concat(lines, "\r\n"), body)
    return verb ~= "GET" or status ~= 503 or not text:find("the ledger: took too long", 1, true)
  end)
  return status, text, answered["content-type"]
end

--- Status and the answer, decoded.
function M.ask(agent, verb, path, body, headers)
  local status, text, kind = M.raw(agent, verb, path, body, headers)
  assert(kind == "application/json", text)
  return status, cjson.decode(text)
end

return M
