--- Bodies that no honest client sends, written fast, and an agent that is weighed while it takes them.
--   local hostile = require("spec.agent.hostile")
--   local agent = hostile.start(); local answer = hostile.post(agent, hostile.nested(2 ^ 23, "span"))
--   hostile.alive(agent); hostile.stop(agent)
local ffi = require("ffi")
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local socket = require("spec.agent.socket")
local support = require("spec.support")
local wire = require("spec.otlp_writer")

local M = {}

M.MIB = 1048576
M.BODY_BYTES = 8 * M.MIB                     -- http.body_bytes_max
local SLACK_MIB = 32                         -- what all processes may take beyond the buffer's cap
-- A sanitizer's shadow memory is nobody's promise.
M.weighed = not (os.getenv("LD_PRELOAD") or ""):find("asan")
local PROTOBUF, JSON = "application/x-protobuf", "application/json"

-- The canary is all there is to find; the others look into whatever arrives, in the core and in the worker.
M.RULES = [[
rule "canary"  { when = { status = "ERROR", name = "canary" } }
rule "asked"   { when = { name = "canary", where = function(s) return s.status == "ERROR" end } }
rule "judged"  { when = trace.has { name = "canary" } * trace.missing { name = "never" } }
rule "event"   { when = { event = { name = "exception", k = "never" } }, mode = "shadow" }
rule "link"    { when = { link = { k = "never" } }, mode = "shadow" }
rule "value"   { when = { k = contains "never", name = glob "*never*" }, mode = "shadow" }
rule "deep"    {
  when = { name = "deep", where = function(s) return s.attributes.k == 1 and #s.events + #s.links > 3 end },
  mode = "shadow",
}
rule "around"  { when = { resource = { k = "never" }, scope = "never" }, mode = "shadow" }
]]

-- ---- bodies ---------------------------------------------------------------------------------------

-- Written from the back, as each length is known only when what it measures is there.
local Back = {}
Back.__index = Back
local function back(bytes)
  local b = setmetatable({ block = ffi.new("uint8_t[?]", bytes), at = bytes, size = bytes }, Back)
  return b
end
function Back:byte(x)
  self.at = self.at - 1
  self.block[self.at] = x
end
-- The least significant group comes first, so it is written last.
function Back:varint(x)
  local groups = 1
  while x >= 128 ^ groups do groups = groups + 1 end
  self.at = self.at - groups
  for i = 0, groups - 1 do
    self.block[self.at + i] = x % 128 + (i < groups - 1 and 128 or 0)
    x = math.floor(x / 128)
  end
end
function Back:text(s)
  self.at = self.at - #s
  ffi.copy(self.block + self.at, s, #s)
end
function Back:wrap(number, stop)
  self:varint(stop - self.at)
  self:varint(number * 8 + 2)
end
function Back:string() return ffi.string(self.block + self.at, self.size - self.at) end

-- An AnyValue nested in arrays (or maps) until it fills n bytes.
local function nested_value(n, map)
  local b = back(n)
  local outer, inner = map and 6 or 5, map and 2 or 1
  while b.at > 16 do
    b:wrap(inner, n)
    if map then b:wrap(1, n) end
    b:wrap(outer, n)
  end
  return b:string()
end

-- Where attributes can lie: each puts them (a field's content by its number) into a body with one good span.
local function body(pieces)
  return wire.text(1, (pieces.resource and wire.text(1, pieces.resource) or "")
    .. wire.text(2, (pieces.scope and wire.text(1, pieces.scope) or "") .. wire.text(2, pieces.span)))
end
local PLACES = {
  span = function(kv) return { span = wire.span { extra = wire.text(9, kv) } } end,
  event = function(kv) return { span = wire.span { extra = wire.text(11, wire.text(3, kv)) } } end,
  link = function(kv) return { span = wire.span { extra = wire.text(13, wire.text(4, kv)) } } end,
  resource = function(kv) return { span = wire.span(), resource = wire.text(1, kv) } end,
  scope = function(kv) return { span = wire.span(), scope = wire.text(3, kv) } end,
}
M.places = { "span", "event", "link", "resource", "scope" }

--- One attribute at a place whose value is nested through n bytes.
function M.nested(n, place, map)
  local kv = wire.text(1, "k") .. wire.text(2, nested_value(n - 256, map))
  return body(PLACES[place](kv))
end

local SPAN_IDS = '"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708"'
local JSON_PLACES = {
  span = '{"resourceSpans":[{"scopeSpans":[{"spans":[{' .. SPAN_IDS .. ',"attributes":[%s]}]}]}]}',
  event = '{"resourceSpans":[{"scopeSpans":[{"spans":[{' .. SPAN_IDS .. ',"events":[{"attributes":[%s]}]}]}]}]}',
  link = '{"resourceSpans":[{"scopeSpans":[{"spans":[{' .. SPAN_IDS .. ',"links":[{"attributes":[%s]}]}]}]}]}',
  resource = '{"resourceSpans":[{"resource":{"attributes":[%s]},"scopeSpans":[{"spans":[{' .. SPAN_IDS .. '}]}]}]}',
  scope = '{"resourceSpans":[{"scopeSpans":[{"scope":{"attributes":[%s]},"spans":[{' .. SPAN_IDS .. '}]}]}]}',
}

function M.nested_json(n, place, map)
  local open = map and '{"kvlistValue":{"values":[{"key":"k","value":' or '{"arrayValue":{"values":['
  local close = map and "}]}}" or "]}}"
  local levels = math.floor((n - 512) / (#open + #close))
  local kv = '{"key":"k","value":' .. open:rep(levels) .. '{"intValue":1}' .. close:rep(levels) .. "}"
  local before, after = JSON_PLACES[place]:match("^(.*)%%s(.*)$")
  return before .. kv .. after
end

--- n copies of an element, in its place in a body with one good span.
function M.many(place, element, n)
  if place == "resource_spans" then return wire.text(1, element):rep(n) end
  if place == "scope_spans" then return wire.text(1, wire.text(2, element):rep(n)) end
  if place == "spans" then return wire.text(1, wire.text(2, wire.text(2, element):rep(n))) end
  local numbers = { attributes = 9, events = 11, links = 13, unknown = 17 }
  return wire.text(1, wire.text(2, wire.text(2, wire.span { extra = wire.text(numbers[place], element):rep(n) })))
end

-- Lower-case digits, without making a Lua string.
function Back:hex(x)
  repeat
    local digit = x % 16
    self:byte(digit < 10 and 48 + digit or 87 + digit)
    x = (x - digit) / 16
  until x == 0
end

-- An id of n bytes; ones where the number ends, as an id of zeros is none.
function Back:id(tag, n, x)
  self.at = self.at - n
  ffi.fill(self.block + self.at, n, 1)
  for i = 0, 5 do
    self.block[self.at + i] = x % 256
    x = math.floor(x / 256)
  end
  self:byte(n)
  self:byte(tag)
end

--- n small spans whose ids are what ids(i) says: trace, span, parent (numbers; parent may be nil). name(b, i)
-- writes its name; key(b, i, k) the k-th of `keys` attribute keys. What is left out is "op", and no attribute.
function M.spans(n, ids, name, keys, key)
  local b = back(n * (80 + (keys or 0) * 16) + 64)
  for i = n, 1, -1 do
    local trace, span, parent = ids(i)
    local stop = b.at
    for k = 1, keys or 0 do
      local at = b.at
      key(b, i, k)
      b:wrap(1, at)
      b:wrap(9, at)
    end
    local at = b.at
    if name then name(b, i) else b:text("op") end
    b:wrap(5, at)
    if parent then b:id(34, 8, parent) end
    b:id(18, 8, span)
    b:id(10, 16, trace)
    b:wrap(2, stop)
  end
  b:wrap(2, b.size)
  b:wrap(1, b.size)
  return b:string()
end

--- Fast: these are large.
function M.gzip(text) return support.gzip(text, 1) end

-- ---- the agent, weighed ---------------------------------------------------------------------------

local function field(path, key)
  local file = io.open(path)
  if not file then return 0 end
  local text = file:read("*a")
  file:close()
  return tonumber((text or ""):match("\n" .. key .. ":%s+(%d+)")) or 0
end

--- The processes of the agent but the core: its children, for both parts of the study are.
function M.children(pid)
  local list = {}
  local file = io.open(("/proc/%d/task/%d/children"):format(pid, pid))
  if not file then return list end
  for child in file:read("*a"):gmatch("%d+") do list[#list + 1] = tonumber(child) end
  file:close()
  return list
end

-- KiB: what the core took at the most, and what the others have of their own now. The arena is counted once.
local function weigh(agent)
  local kib = field(("/proc/%d/status"):format(agent.pid), "VmHWM")
  for _, pid in ipairs(M.children(agent.pid)) do
    local path = ("/proc/%d/smaps_rollup"):format(pid)
    kib = kib + field(path, "Pss_Anon") + field(path, "Pss_File")
  end
  return kib
end

function M.weigh(agent)
  agent.peak_kib = math.max(agent.peak_kib or 0, weigh(agent))
  return agent.peak_kib
end

--- options: those of harness.start; slack_mib.
function M.start(options)
  options = options or {}
  options.rules = options.rules or M.RULES
  local agent = assert(harness.start(options))
  agent.pss_kib_max = (64 + (options.slack_mib or SLACK_MIB)) * 1024
  agent.canaries = 0
  agent.from_s = socket.now()
  return agent
end

function M.connect(agent, options) return assert(socket.connect(tonumber(agent.otlp:match(":(%d+)$")), options)) end

function M.request(text, content_type, headers)
  return ("POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n"):format(
    content_type or PROTOBUF, headers or "", #text), text
end

--- Sends a body on the agent's kept connection (a new one where the last answer closed it).
function M.post(agent, text, content_type, headers)
  local c = agent.connection or M.connect(agent)
  agent.connection = c
  local head, rest = M.request(text, content_type, headers)
  if #rest < 65536 then head, rest = head .. rest, "" end       -- two small packets would wait for an ACK
  local sent = c:send(head) and c:send(rest)
  local answer, why = c:answer()
  M.weigh(agent)
  if not sent or not answer or answer.headers.connection == "close" then
    c:close()
    agent.connection = nil
  end
  return answer or { why = why }
end

local function partial(answer)
  local spans = answer.body:match("^\10[\128-\255]*[^\128-\255]\8(.)")   -- less than 128
  return spans and spans:byte() or 0
end
M.partial = partial

--- A good request still makes the rules fire, those of the worker too.
function M.alive(agent)
  agent.canaries = agent.canaries + 1
  local trace = ("canary %d"):format(agent.canaries)
  local spans = { replay.span { name = "canary", trace = trace, status = "ERROR" } }
  local answer = M.post(agent, cjson.encode(replay.request(spans)), JSON)
  assert(answer.status == 200, answer.why or answer.body)
  local id = replay.trace_id(trace)
  for _, rule in ipairs({ "canary", "asked" }) do
    local said = agent:read_log(function(line)
      return line:find(id, 1, true) and line:find(('"rule":"%s"'):format(rule), 1, true)
    end)
    assert(said, "no violation of " .. rule)
  end
end

--- Ends it: books exact (the harness looks), light enough, every canary seen by both rules once. Returns the totals.
function M.stop(agent)
  local peak = M.weigh(agent)
  if agent.connection then agent.connection:close() end
  local found, totals, status, log = agent:stop()
  local counts = {}
  for _, v in ipairs(found) do counts[v.rule] = (counts[v.rule] or 0) + 1 end
  if os.getenv("HOSTILE_SAYS") then
    print(("%6.1f MiB, %5.2f s, received %d"):format(peak / 1024, socket.now() - agent.from_s, totals.received))
  end
  assert(status == 0 and totals, table.concat(log, "\n"))
  assert((counts.canary or 0) == agent.canaries, "canaries found: " .. (counts.canary or 0))
  assert((counts.asked or 0) == agent.canaries, "canaries asked: " .. (counts.asked or 0))
  assert(peak <= agent.pss_kib_max or not M.weighed, ("%.1f MiB"):format(peak / 1024))
  return totals, log, found
end

M.PROTOBUF, M.JSON = PROTOBUF, JSON

return M
