--- What an OTLP client sends, in pieces, and an agent to send it to.
--   local client = require("spec.agent.client")
--   local found, totals = client.with({ rules = … }, function(agent)
--     local a = client.ask(client.connect(agent), client.request("{}"))
--   end)
local harness = require("spec.agent.harness")
local socket = require("spec.agent.socket")
local support = require("spec.support")
local wire = require("spec.otlp_writer")

local M = {
  JSON = "application/json", PROTOBUF = "application/x-protobuf", TEXT = "text/plain; charset=utf-8",
  CHUNKED = "Transfer-Encoding: chunked\r\n", GZIP = "Content-Encoding: gzip\r\n",
  ANY = 'rule "any" { when = {} }', MIB = 1048576,
}

function M.port_of(address) return tonumber(address:match(":(%d+)$")) end
function M.connect(agent, options) return assert(socket.connect(M.port_of(agent.otlp), options)) end

--- Sends it and takes one answer.
function M.ask(c, text, options)
  assert(c:send(text))
  return assert(c:answer(options))
end

--- A request as bytes. options: verb, path, type (false: none), headers (lines), version, length (false: none).
function M.request(body, options)
  local o = options or {}
  local length = o.length ~= false and ("Content-Length: %d\r\n"):format(o.length or #body) or ""
  return ("%s %s HTTP/%s\r\nHost: a\r\n%s%s%s\r\n%s"):format(o.verb or "POST", o.path or "/v1/traces", o.version or "1.1",
    o.type ~= false and "Content-Type: " .. (o.type or M.JSON) .. "\r\n" or "", o.headers or "", length, body)
end

function M.chunked(text, size)
  local out = {}
  for at = 1, #text, size do
    local piece = text:sub(at, at + size - 1)
    out[#out + 1] = ("%x\r\n%s\r\n"):format(#piece, piece)
  end
  return table.concat(out) .. "0\r\n\r\n"
end

M.gzip = support.gzip

--- One span in JSON, and in protobuf; n makes its ids. `more`, `extra`: more of its members.
function M.in_json(n, more)
  return ('{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%032x","spanId":"%016x","name":"n"%s}]}]}]}'):format(n, n, more or "")
end
function M.in_protobuf(n, extra)
  local byte = string.char(n)
  return wire.body { wire.span { trace_id = byte:rep(16), span_id = byte:rep(8), name = "n", extra = extra } }
end

--- Runs body(agent) on a fresh agent (harness.start's options); hands back violations, totals and log.
function M.with(options, body)
  options.rules = options.rules or M.ANY
  local agent = assert(harness.start(options))
  local ok, failure = pcall(body, agent)
  local found, totals, status, log = agent:stop()
  if not ok then error(failure, 0) end
  assert(status == 0, "it ended with " .. tostring(status))
  return found, totals, log
end

return M
