--- Writes traces in a compact notation, replays them through the binary, and hands back its violations.
--   local replay = require("spec.replay")
--   local found = replay.run("rules/slow_query.lua", { { replay.span{ name = "a", dur = 300 } } })
-- Times are milliseconds from a fixed moment; each inner table is one request.
local cjson = require("cjson")
local M = {}

local T0 = 1760356800 -- seconds: 2025-10-13T12:00:00Z
local STATUS = { UNSET = 0, OK = 1, ERROR = 2 }
local KIND = { INTERNAL = 1, SERVER = 2, CLIENT = 3, PRODUCER = 4, CONSUMER = 5 }

-- A stable hex id of n digits for a name.
local function id(name, digits)
  local a, b = 5381, 52711
  for i = 1, #name do
    a = (a * 33 + name:byte(i)) % 4294967296
    b = (b * 31 + name:byte(i) * 7) % 4294967296
  end
  return (("%08x%08x"):format(a, b) .. ("%08x%08x"):format(b, a)):sub(1, digits)
end

function M.trace_id(name) return id("trace " .. name, 32) end
function M.span_id(trace, name) return id("span " .. trace .. " " .. name, 16) end

--- Nanoseconds as digits, from milliseconds: exact to the nanosecond.
function M.time(ms)
  local whole = math.floor(ms)
  local ns = math.floor((ms - whole) * 1e6 + 0.5)
  return ("%d%03d%06d"):format(T0 + math.floor(whole / 1000), whole % 1000, ns)
end

function M.value(v)
  if type(v) == "boolean" then return { boolValue = v } end
  if type(v) == "number" then
    if v == math.floor(v) then return { intValue = ("%d"):format(v) } end
    return { doubleValue = v }
  end
  if type(v) == "table" then
    local values = {}
    for i, x in ipairs(v) do values[i] = M.value(x) end
    return { arrayValue = { values = values } }
  end
  return { stringValue = v }
end

function M.attributes(t)
  local list = {}
  for key, v in pairs(t or {}) do list[#list + 1] = { key = key, value = M.value(v) } end
  return #list > 0 and list or nil
end

--- A span: name, id (default: the name), trace ("t"), parent (an id), service ("svc"), at, dur (10), status,
-- kind, attr, events ({name, at, attr}), resource.
function M.span(s)
  local trace = s.trace or "t"
  local events
  for i, event in ipairs(s.events or {}) do
    events = events or {}
    events[i] = { name = event[1], timeUnixNano = M.time(event[2] or 0), attributes = M.attributes(event[3]) }
  end
  return {
    service = s.service or "svc", resource = s.resource,
    wire = {
      traceId = M.trace_id(trace), spanId = M.span_id(trace, s.id or s.name),
      parentSpanId = s.parent and M.span_id(trace, s.parent), name = s.name, kind = KIND[s.kind or "INTERNAL"],
      startTimeUnixNano = M.time(s.at or 0), endTimeUnixNano = M.time((s.at or 0) + (s.dur or 10)),
      attributes = M.attributes(s.attr), events = events,
      status = { code = STATUS[s.status or "UNSET"] },
    },
  }
end

function M.request(spans)
  local resource_spans = {}
  for i, span in ipairs(spans) do
    local attributes = M.attributes(span.resource) or {}
    attributes[#attributes + 1] = { key = "service.name", value = M.value(span.service) }
    resource_spans[i] = { resource = { attributes = attributes }, scopeSpans = { { spans = { span.wire } } } }
  end
  return {
    resourceSpans = #resource_spans > 0 and resource_spans or nil,
    receivedAtUnixNano = spans.at and M.time(spans.at),
  }
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function M.write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

M.fluo = os.getenv("FLUO") or "build/fluo"

--- Runs a shell command: its exit status, stdout, stderr.
function M.shell(command)
  local out, err = os.tmpname(), os.tmpname()
  local status = os.execute(("%s >%s 2>%s"):format(command, out, err))
  local stdout, stderr = read(out), read(err)
  os.remove(out)
  os.remove(err)
  if type(status) == "number" and status > 255 then status = math.floor(status / 256) end
  return status == true and 0 or status, stdout, stderr
end

--- rules: a path, or the text of a rule file (it has a line end or a brace). requests: lists of spans.
-- Returns the violations, the exit status, and what was said on stderr.
function M.run(rules, requests, flags)
  local made, input = nil, os.tmpname()
  if rules:find("[\n{]") then
    made = os.tmpname()
    os.remove(made)
    made = made .. ".lua"
    M.write(made, rules)
  end
  local lines = {}
  for i, spans in ipairs(requests) do lines[i] = cjson.encode(M.request(spans)) end
  M.write(input, table.concat(lines, "\n") .. "\n")
  local status, stdout, stderr =
    M.shell(("%s replay --rules %s %s %s"):format(M.fluo, made or rules, flags or "", input))
  if made then os.remove(made) end
  os.remove(input)
  local found = {}
  for line in stdout:gmatch("[^\n]+") do found[#found + 1] = cjson.decode(line) end
  return found, status, stderr
end

--- The names of the traces among `names` that violations are about, sorted, as one text.
function M.traces(found, ...)
  local names, hit = {}, {}
  for _, v in ipairs(found) do hit[v.trace_id] = true end
  for _, name in ipairs({ ... }) do
    if hit[M.trace_id(name)] then names[#names + 1] = name end
  end
  return table.concat(names, " ")
end

return M
