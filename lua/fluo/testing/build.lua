--- What a spec builds traces of: `trace { span { … }, … }` and a clock that only the spec moves.
--
-- Nesting gives parents. What is not said has a value that suits most specs: ids are counted from one; a span
-- starts where the one written before it ended, its first child where it starts itself; it takes 10 ms, or as
-- long as its children; service, resource and scope are its parent's; all spans of one `trace { … }` arrive
-- in one request, at the latest end among them. Times are counted from the clock as it stood at `trace { … }`.
--
-- A world holds what one test built; requests() gives that as `fluo replay` reads it.
local otlp = require("fluo.testing.otlp")
local suggest = require("fluo.suggest")
local units = require("fluo.units")

local M = {}

local EPOCH = 1760356800000000000LL                       -- 2025-10-13T12:00:00Z: where a test's clock begins
local DEFAULT_NS = 10000000LL
M.SERVICE = "unknown_service"                             -- what an SDK says that was told none

local Span, Trace = {}, {}
Span.__index, Trace.__index = Span, Trace

--- What may stand in `span { … }` and `trace { … }`, in an event and in a link.
M.SPAN_KEYS = { "name", "service", "status", "status_message", "kind", "start", "duration", "arrival", "attributes",
                "resource", "events", "links", "scope", "scope_version", "trace_state", "span_id", "parent_id" }
M.TRACE_KEYS = { "trace_id", "service", "resource", "scope", "scope_version", "arrival" }
M.EVENT_KEYS = { "name", "time", "attributes" }
M.LINK_KEYS = { "span", "trace_id", "span_id", "trace_state", "attributes" }

local INHERITED = { "service", "resource", "scope", "scope_version", "arrival" }
local TABLES = { attributes = true, resource = true, events = true, links = true }

-- ---- what was written ---------------------------------------------------------------------------

-- Errors stand where the spec calls us: each function here that checks says how far away that is.
local function check_keys(t, names, what, level)
  if type(t) ~= "table" then error(("%s takes a table, not a %s"):format(what, type(t)), level + 1) end
  local known = {}
  for _, name in ipairs(names) do known[name] = true end
  for key, v in pairs(t) do
    if type(key) ~= "number" and not known[key] then
      error(("%s has no `%s`; %s"):format(what, tostring(key), suggest.expected(tostring(key), names)), level + 1)
    elseif TABLES[key] and type(v) ~= "table" then
      error(("`%s` of %s is a table, not a %s"):format(key, what, type(v)), level + 1)
    end
  end
end

local function duration(text, what, level)
  local ns, why = units.duration(text)
  if not ns then error(("`%s`: %s"):format(what, why), level + 1) end
  return ns
end

local function check_choice(t, key, set, level)
  local given = t[key]
  if given == nil or set[given] then return end
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  error(("`%s` is one of %s, not %s"):format(key, table.concat(names, ", "), tostring(given)), level + 1)
end

local function children_of(t, what, level)
  for i, child in ipairs(t) do
    if getmetatable(child) ~= Span then
      error(("entry %d of %s is no span: write span { … }"):format(i, what), level + 1)
    elseif child.placed then
      error(("entry %d of %s stands in a trace already: write another span { … }"):format(i, what), level + 1)
    end
    child.placed = true
  end
  return t
end

--- `span { … }`: not part of anything until a `trace { … }` holds it, or another span that is in one.
function M.span(t)
  check_keys(t, M.SPAN_KEYS, "a span", 2)
  if type(t.name) ~= "string" then error("a span needs a name: span { name = \"…\" }", 2) end
  check_choice(t, "status", otlp.STATUSES, 2)
  check_choice(t, "kind", otlp.KINDS, 2)
  for _, event in ipairs(t.events or {}) do check_keys(event, M.EVENT_KEYS, "an event", 2) end
  for _, link in ipairs(t.links or {}) do check_keys(link, M.LINK_KEYS, "a link", 2) end
  local own = setmetatable({ given = t, children = children_of(t, "a span", 2) }, Span)
  for _, key in ipairs { "start", "duration", "arrival" } do
    own[key] = t[key] ~= nil and duration(t[key], key, 2) or nil
  end
  for _, event in ipairs(t.events or {}) do
    if event.time ~= nil then duration(event.time, "time", 2) end
  end
  return own
end

-- ---- a world ------------------------------------------------------------------------------------

local World = {}
World.__index = World

--- What one test builds: nothing yet, its clock at zero.
function M.new()
  return setmetatable({ now = EPOCH, sent = {}, recorded = {}, ids = {}, traces = 0, spans = 0 }, World)
end

-- Hexadecimal digits stand for themselves, any other text for the id that was first counted out for it.
function World:id(kind, name, digits)
  if name and #name == digits and not name:find("%X") then return name:lower() end
  local key = name and kind .. "\0" .. name
  if key and self.ids[key] then return self.ids[key] end
  local counter = kind == "trace" and "traces" or "spans"
  self[counter] = self[counter] + 1
  local id = ("%0" .. digits .. "x"):format(self[counter])
  if key then self.ids[key] = id end
  return id
end

local function events_of(given, base, start)
  local list = {}
  for i, event in ipairs(given or {}) do
    list[i] = { name = event.name or "", attributes = event.attributes,
                at_ns = event.time and base + units.duration(event.time) or start }
  end
  return list
end

function World:links_of(trace_id, given, level)
  local list = {}
  for i, link in ipairs(given or {}) do
    local other = link.span
    if other and not other.trace_id then error("a link leads to a span that is in no trace yet", level + 1) end
    local to = other and other.trace_id or self:id("trace", link.trace_id or trace_id, 32)
    list[i] = { trace_id = to, span_id = other and other.span_id or self:id(to, link.span_id, 16),
                trace_state = link.trace_state, attributes = link.attributes }
  end
  return list
end

local function inherit(span, given, from)
  for _, key in ipairs(INHERITED) do
    if key ~= "arrival" then
      if given[key] ~= nil then span[key] = given[key] else span[key] = from[key] end
    end
  end
end

-- Gives a span and all below it ids and times; `at` is where it starts unless it says so itself.
function World:place(span, trace, parent, at, level)
  local given = span.given
  inherit(span, given, parent or trace)
  for _, key in ipairs { "name", "status", "status_message", "kind", "attributes", "trace_state" } do
    span[key] = given[key]
  end
  span.kind, span.trace_id = span.kind or "INTERNAL", trace.trace_id
  span.span_id = self:id(trace.trace_id, given.span_id, 16)
  span.parent_id = given.parent_id and self:id(trace.trace_id, given.parent_id, 16) or parent and parent.span_id
  span.start_ns = span.start and trace.base + span.start or at
  local cursor, latest = span.start_ns, span.start_ns
  for _, child in ipairs(span.children) do
    cursor = self:place(child, trace, span, cursor, level + 1)
    if child.end_ns > latest then latest = child.end_ns end
  end
  if span.duration then span.end_ns = span.start_ns + span.duration
  else span.end_ns = #span.children > 0 and latest or span.start_ns + DEFAULT_NS end
  span.events = events_of(given.events, trace.base, span.start_ns)
  span.links = self:links_of(trace.trace_id, given.links, level + 1)
  trace.spans[#trace.spans + 1] = span
  -- Written one after the other is started one after the other, also without a duration.
  return span.end_ns > span.start_ns and span.end_ns or span.start_ns + 1
end

-- The spans of a trace by when they arrive: those that say so themselves, and the rest in one request.
function World:send(trace, arrival)
  local by_time, latest = {}, trace.base
  for _, span in ipairs(trace.spans) do
    if span.end_ns > latest then latest = span.end_ns end
  end
  for _, span in ipairs(trace.spans) do
    local at = span.arrival and trace.base + span.arrival or arrival or latest
    local key = otlp.digits(at)
    if not by_time[key] then
      by_time[key] = { arrival_ns = at, spans = {}, order = #self.sent + 1 }
      self.sent[#self.sent + 1] = by_time[key]
    end
    table.insert(by_time[key].spans, span)
  end
end

--- `trace { … }`: sends its spans. The same trace_id again is the same trace. Gives a handle for assertions.
function World:trace(t)
  check_keys(t, M.TRACE_KEYS, "a trace", 2)
  if #self.recorded > 0 then error("a test replays recorded traces or builds its own, not both", 2) end
  local spans = children_of(t, "a trace", 2)
  if #spans == 0 then error("a trace needs spans: trace { span { name = \"…\" } }", 2) end
  local trace = setmetatable({ trace_id = self:id("trace", t.trace_id, 32), base = self.now, spans = {},
                               service = t.service == nil and M.SERVICE or t.service, resource = t.resource,
                               scope = t.scope, scope_version = t.scope_version }, Trace)
  local cursor = self.now
  for _, span in ipairs(spans) do cursor = self:place(span, trace, nil, cursor, 2) end
  self:send(trace, t.arrival ~= nil and self.now + duration(t.arrival, "arrival", 2) or nil)
  return trace
end

--- The clock, moved on by a duration, or set to one from where the test began.
function World:advance(by) self.now = self.now + duration(by, "clock.advance", 3) end
function World:at(time) self.now = EPOCH + duration(time, "clock.at", 3) end

--- The clock, in whole seconds.
function World:unix() return tonumber(self.now / 1000000000LL) end

--- The requests, one JSON object a line, in the order in which they arrive.
function World:requests()
  table.sort(self.sent, function(a, b)
    if a.arrival_ns ~= b.arrival_ns then return a.arrival_ns < b.arrival_ns end
    return a.order < b.order
  end)
  local lines = {}
  for i, request in ipairs(self.sent) do lines[i] = otlp.request(request.spans, request.arrival_ns) end
  return table.concat(lines, "\n") .. "\n"
end

--- Whether a value is a trace that `trace { … }` gave; a span that `span { … }` gave.
function M.is_trace(x) return getmetatable(x) == Trace end
function M.is_span(x) return getmetatable(x) == Span end

return M
