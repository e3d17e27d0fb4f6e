--- A trace as a tree in a terminal: a line a span, below its parent, in order of start.
--   *     12 ms  shop  POST /pay
--   *!     5 ms    bank  card  ERROR declined
-- Reads OTLP as JSON decodes it. Spans whose parent is not there are roots, and so is one that is its own ancestor.
local agent = require("fluo.cli.agent")

local M = {}

local ERROR = 2
local DEPTH_SHOWN = 40

local function service_of(resource)
  for _, attribute in ipairs(resource and resource.attributes or {}) do
    if attribute.key == "service.name" and attribute.value then return attribute.value.stringValue end
  end
end

-- Nanoseconds between two times that are digits; they are more than a double has.
local function between(from, to)
  local function parts(text)
    local padded = ("0"):rep(10 - #text) .. text
    return tonumber(padded:sub(1, -10)), tonumber(padded:sub(-9))
  end
  local s, ns = parts(from or "0")
  local later_s, later_ns = parts(to or "0")
  return (later_s - s) * 1e9 + later_ns - ns
end

--- "1.2 ms", of nanoseconds.
function M.duration(ns)
  for _, unit in ipairs { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" } } do
    if ns >= unit[1] then return (("%.3g %s"):format(ns / unit[1], unit[2]):gsub("e%+0*(%d+)", "e%1")) end
  end
  return ("%d ns"):format(ns)
end

-- All spans of a request: { id, trace, parent, name, service, start, ns, failed, message }.
local function spans_of(otlp)
  local list = {}
  for _, of in ipairs(otlp.resourceSpans or {}) do
    local service = service_of(of.resource)
    for _, scope in ipairs(of.scopeSpans or {}) do
      for _, span in ipairs(scope.spans or {}) do
        local status = span.status or {}
        list[#list + 1] = { id = span.spanId, trace = span.traceId, parent = span.parentSpanId, name = span.name or "",
          service = service, start = span.startTimeUnixNano or "0",
          ns = math.max(0, between(span.startTimeUnixNano, span.endTimeUnixNano)),
          failed = status.code == ERROR, message = status.message }
      end
    end
  end
  return list
end

local function by_start(a, b)
  local ns = between(a.start, b.start)
  if ns ~= 0 then return ns > 0 end
  return a.id < b.id
end

-- The roots, and each span's children, in order.
local function tree_of(spans)
  local by_id, roots, children = {}, {}, {}
  table.sort(spans, by_start)
  for _, span in ipairs(spans) do by_id[span.trace .. span.id] = span end
  for _, span in ipairs(spans) do
    local parent = by_id[span.trace .. (span.parent or "")]
    local list = roots
    if parent then
      list = children[parent] or {}
      children[parent] = list
    end
    list[#list + 1] = span
  end
  return roots, children
end

local function line_of(span, depth, marks, paint)
  local mark = (marks.witness[span.id] and "*" or "") .. (marks.cause[span.id] and "!" or "")
  local name = agent.clean((span.service and span.service .. "  " or "") .. span.name)
  local text = ("  "):rep(math.min(depth, DEPTH_SHOWN)) .. name
  if marks.witness[span.id] then text = paint("1", text) end
  if span.failed then
    text = text .. "  " .. paint("31", agent.clean("ERROR" .. (span.message and " " .. span.message or "")))
  end
  return ("  %-2s %8s  %s"):format(mark, M.duration(span.ns), text)
end

-- Those below a span go before what stands beside it.
local function walk(roots, children, each)
  local stack, seen = {}, {}
  for i = #roots, 1, -1 do stack[#stack + 1] = { roots[i], 0 } end
  while #stack > 0 do
    local span, depth = unpack(table.remove(stack))
    if not seen[span] then
      seen[span] = true
      each(span, depth)
      local below = children[span] or {}
      for i = #below, 1, -1 do stack[#stack + 1] = { below[i], depth + 1 } end
    end
  end
  return seen
end

--- Lines of a request, and the set of the span ids in them. marks: { witness = set of span ids, cause = set of span
-- ids }; colour: whether there is one.
function M.lines(otlp, marks, colour)
  local function paint(code, text) return colour and ("\27[%sm%s\27[0m"):format(code, text) or text end
  local spans, lines, shown = spans_of(otlp), {}, {}
  local roots, children = tree_of(spans)
  local function each(span, depth)
    lines[#lines + 1] = line_of(span, depth, marks, paint)
    shown[span.id] = true
  end
  local seen = walk(roots, children, each)
  for _, span in ipairs(spans) do
    if not seen[span] then
      for one in pairs(walk({ span }, children, each)) do seen[one] = true end
    end
  end
  return lines, shown
end

return M
