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

--- A value as OTLP/JSON has it, for what Lua cannot say: replay.wire { doubleValue = 500 }, { intValue = "…" }.
local Wire = {}
function M.wire(value) return setmetatable({ value = value }, Wire) end

function M.value(v)
  if getmetatable(v) == Wire then return v.value end
  if type(v) == "boolean" then return { boolValue = v } end
  if type(v) == "number" then
    if v == math.floor(v) then return { intValue = ("%d"):format(v) } end
    return { doubleValue = v }
  end
  if type(v) == "table" then
    local values = {}
    for i, x in ipairs(v) do values[i] = M.value(x) end
    return { arrayValue = { values = #values > 0 and values or nil } }
  end
  return { stringValue = v }
end

function M.attributes(t)
  local list = {}
  for key, v in pairs(t or {}) do list[#list + 1] = { key = key, value = M.value(v) } end
  return #list > 0 and list or nil
end

local function events_of(s)
  local events
  for i, event in ipairs(s.events or {}) do
    events = events or {}
    events[i] = { name = event[1], timeUnixNano = M.time(event[2] or 0), attributes = M.attributes(event[3]) }
  end
  return events
end

local function links_of(s)
  local links
  for i, link in ipairs(s.links or {}) do
    links = links or {}
    links[i] = { traceId = M.trace_id(link[1]), spanId = M.span_id(link[1], link[2]),
                 attributes = M.attributes(link[3]), traceState = link.state }
  end
  return links
end

--- A span: name, id (default: the name), trace ("t"), parent (an id), service ("svc"; false: none), at, dur (10),
-- status, message, kind, attr, events ({name, at, attr}), links ({trace, id, attr}), resource, scope, version,
-- state; and, as on the wire: trace_id, span_id, parent_id, end_ns.
function M.span(s)
  local trace = s.trace or "t"
  return {
    service = s.service, resource = s.resource, scope = { name = s.scope, version = s.version,
              attributes = M.attributes(s.scope_attr) },
    wire = {
      traceId = s.trace_id or M.trace_id(trace), spanId = s.span_id or M.span_id(trace, s.id or s.name),
      parentSpanId = s.parent_id or s.parent and M.span_id(trace, s.parent), name = s.name,
      kind = KIND[s.kind or "INTERNAL"], traceState = s.state,
      startTimeUnixNano = M.time(s.at or 0), endTimeUnixNano = s.end_ns or M.time((s.at or 0) + (s.dur or 10)),
      attributes = M.attributes(s.attr), events = events_of(s), links = links_of(s),
      status = { code = STATUS[s.status or "UNSET"], message = s.message },
    },
  }
end

function M.request(spans)
  local resource_spans = {}
  for i, span in ipairs(spans) do
    local attributes = M.attributes(span.resource) or {}
    if span.service ~= false then
      attributes[#attributes + 1] = { key = "service.name", value = M.value(span.service or "svc") }
    end
    resource_spans[i] = { resource = { attributes = #attributes > 0 and attributes or nil },
                          scopeSpans = { { scope = next(span.scope) and span.scope, spans = { span.wire } } } }
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

--- What a file holds, "" where there is none.
function M.text(path)
  local file = io.open(path, "rb")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

function M.write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

--- Writes a text to a new file that the loader takes for a rule file: its path, for the caller to remove.
function M.rule_file(text)
  local path = os.tmpname()
  os.remove(path)
  M.write(path .. ".lua", text)
  return path .. ".lua"
end

M.fluo = os.getenv("FLUO") or "build/fluo"

--- Runs a shell command: its exit status, stdout, stderr.
function M.shell(command)
  local out, err = os.tmpname(), os.tmpname()
  -- A preloaded sanitizer is for this process, not for curl and node.
  local status = os.execute(("unset LD_PRELOAD; { %s; } >%s 2>%s"):format(command, out, err))
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
    made = M.rule_file(rules)
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

--- A table of sentences, judged in one replay: row i has its own rule, { when, keys (more of the rule) }, and its
-- own trace, of row.spans (what M.span takes), else of one span: row.span, or one with the attributes row.attr.
-- Gives an array with the violation of each row, or false; then status, stderr.
function M.rows(rows, flags)
  local rules, spans = {}, {}
  for i, row in ipairs(rows) do
    rules[i] = ('rule "row %d" { when = %s%s }\n'):format(i, row.when, row.keys and ", " .. row.keys or "")
    for _, s in ipairs(row.spans or { row.span or { attr = row.attr } }) do
      s.name, s.trace = s.name or "x", "row " .. i
      spans[#spans + 1] = M.span(s)
    end
  end
  local found, status, stderr = M.run(table.concat(rules), { spans }, flags)
  local result = {}
  for i = 1, #rows do result[i] = false end
  for _, v in ipairs(found) do
    local i = tonumber(v.rule:match("%d+"))
    if v.trace_id == M.trace_id("row " .. i) then result[i] = v end
  end
  return result, status, stderr
end

--- The ids among `ids` whose spans of the trace are witnesses, in that order, as one text; "" for no violation.
function M.witnesses(v, trace, ids)
  local names, hit = {}, {}
  for _, s in ipairs(v and v.spans or {}) do hit[s.span_id] = true end
  for _, name in ipairs(ids) do
    if hit[M.span_id(trace, name)] then names[#names + 1] = name end
  end
  return table.concat(names, " ")
end

--- A trace in short: "a@0 b2@5.5+100<a c@7! d@8" is a list of spans for M.span: an id, whose letters are the name;
-- its start in ms; `+` how long it takes (10); `<` its parent's id; `!` an error.
function M.short(text, trace)
  local list = {}
  for word in text:gmatch("%S+") do
    local own, at = word:match("^([%w_]+)@(%-?[%d.]+)")
    list[#list + 1] = { id = own, name = own:match("^%a+"), trace = trace, at = tonumber(at),
      dur = tonumber(word:match("%+([%d.]+)")),
                        parent = word:match("<([%w_]+)"), status = word:find("!") and "ERROR" or nil }
  end
  return list
end

--- One request in that notation; at: when it arrives, in ms.
function M.arrival(text, trace, at)
  local spans = { at = at }
  for i, s in ipairs(M.short(text, trace)) do spans[i] = M.span(s) end
  return spans
end

--- A moment as violations print it, from ms.
function M.clock(ms)
  local digits = M.time(ms)
  return os.date("!%Y-%m-%dT%H:%M:%S.", tonumber(digits:sub(1, -10))) .. digits:sub(-9) .. "Z"
end

--- Conditions in short: the pattern { name = "a" } is written A.
function M.long(when)
  return (when:gsub("%f[%w_]([A-Z])%f[^%w_]",
    function(letter) return ('{ name = "%s" }'):format(letter:lower()) end))
end

--- Replays one rule in that notation, its `when` and further keys, with requests as they come: the violations.
function M.rule(when, requests, keys, flags)
  local text = ('rule "r" { when = %s%s }\n'):format(M.long(when), keys and ", " .. M.long(keys) or "")
  local found, status, stderr = M.run(text, requests, flags)
  if status ~= 0 then error(stderr, 2) end
  return found
end

function M.times(found)
  local list = {}
  for i, v in ipairs(found) do list[i] = v.time end
  return list
end

return M
