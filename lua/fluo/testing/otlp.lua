--- Spans that a spec built, as OTLP/JSON: what `fluo replay` reads.
local json = require("dkjson")

local M = {}

M.KINDS = { INTERNAL = 1, SERVER = 2, CLIENT = 3, PRODUCER = 4, CONSUMER = 5 }
M.STATUSES = { UNSET = 0, OK = 1, ERROR = 2 }

--- An int64 as its digits.
function M.digits(ns) return (tostring(ns):gsub("U?LL$", "")) end

local value

local function array(list)
  local values = {}
  for i, element in ipairs(list) do values[i] = value(element) end
  return { arrayValue = { values = values } }
end

-- By sorted key, so that the same spec gives the same bytes.
local function pairs_of(map)
  local keys, list = {}, {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys)
  for i, key in ipairs(keys) do list[i] = { key = key, value = value(map[key]) } end
  return list
end

function value(v)
  local kind = type(v)
  if kind == "boolean" then return { boolValue = v } end
  if kind == "cdata" then return { intValue = M.digits(v) } end
  if kind == "table" then
    if next(v) == nil or v[1] ~= nil then return array(v) end
    return { kvlistValue = { values = pairs_of(v) } }
  elseif kind == "number" then
    local whole = v == math.floor(v) and math.abs(v) < 2 ^ 63
    if whole then return { intValue = ("%.0f"):format(v) } end
    return { doubleValue = v }
  end
  return { stringValue = v }
end

local function attributes(map) return map and pairs_of(map) or nil end

local function events(list)
  local out = {}
  for i, event in ipairs(list or {}) do
    out[i] = { name = event.name, timeUnixNano = M.digits(event.at_ns), attributes = attributes(event.attributes) }
  end
  return out
end

local function links(list)
  local out = {}
  for i, link in ipairs(list or {}) do
    out[i] = { traceId = link.trace_id, spanId = link.span_id, traceState = link.trace_state,
               attributes = attributes(link.attributes) }
  end
  return out
end

local function wire(span)
  return {
    traceId = span.trace_id, spanId = span.span_id, parentSpanId = span.parent_id, name = span.name,
    kind = M.KINDS[span.kind], traceState = span.trace_state,
    startTimeUnixNano = M.digits(span.start_ns), endTimeUnixNano = M.digits(span.end_ns),
    attributes = attributes(span.attributes), events = events(span.events), links = links(span.links),
    status = { code = M.STATUSES[span.status or "UNSET"], message = span.status_message },
  }
end

local function resource(span)
  local list = attributes(span.resource) or {}
  if span.service then list[#list + 1] = { key = "service.name", value = value(span.service) } end
  return { attributes = list }
end

--- One request, a line of JSON: spans as build.lua lays them out, and when they arrive.
function M.request(spans, arrival_ns)
  local list = {}
  for i, span in ipairs(spans) do
    local scope = (span.scope or span.scope_version) and { name = span.scope, version = span.scope_version } or nil
    list[i] = { resource = resource(span), scopeSpans = { { scope = scope, spans = { wire(span) } } } }
  end
  return json.encode({ resourceSpans = list, receivedAtUnixNano = M.digits(arrival_ns) })
end

return M
