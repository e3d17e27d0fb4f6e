--- What a rule's function sees: spans, events and links of the arena, read in place.
--
-- A span is a handle: its rank among the spans of an evaluation and the number of that evaluation, which is one
-- call of one rule's function; when the next begins, every older handle is stale and raises an error before it
-- reads anything. Within an evaluation a span is one value. Handles are cdata with constant fields, so they
-- cannot be written to, and with nothing in them that depends on the order of arrival; events, links, arrays and
-- maps are real tables, made anew for each evaluation, so what a function does to them reaches nobody else.
--
-- Some of what a function asks for cannot be given: a payload that went back under memory pressure, or more of
-- them than one call may read (a span of millions of elements would cost a rule that only counts its events all of
-- its memory or time, and in the end its place). Then the evaluation is spoiled: the function has an error, and
-- whatever it makes of that, its answer is unknown.
local abi = require("fluo.abi")
local clear = require("table.clear")
local sandbox = require("fluo.sandbox")
local suggest = require("fluo.suggest")
local ffi, C = abi.ffi, abi.C

local M = {}

local span_ptr = ffi.typeof("const struct fluo_span *")
local int64 = ffi.typeof("int64_t")
local new_value, new_item = ffi.typeof("struct fluo_value"), ffi.typeof("struct fluo_item")
local value, item, key_item = new_value(), new_item(), new_item()

-- Field numbers of OTLP's messages; see shared facts in fluo.h: the payload is a Span.
local SPAN_TRACE_STATE, SPAN_ATTRIBUTES, SPAN_EVENTS, SPAN_LINKS, SPAN_STATUS = 3, 9, 11, 13, 15
local SPAN_DROPPED = { dropped_attributes_count = 10, dropped_events_count = 12, dropped_links_count = 14 }
local RESOURCE_ATTRIBUTES, SCOPE_ATTRIBUTES, EVENT_ATTRIBUTES, LINK_ATTRIBUTES = 1, 3, 3, 4
local EVENT_DROPPED, LINK_DROPPED = 4, 5
local DEPTH_MAX = 64
local ELEMENTS_MAX = 65536                                -- of payloads, read in one evaluation
local LARGE_BYTES, ELEMENT_BYTES = 65536, 1024            -- to search a large payload costs elements too
local EXACT = 2 ^ 53                                      -- every whole number up to it is a Lua number

local KINDS = { [0] = "UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER" }
local STATUSES = { [0] = "UNSET", "OK", "ERROR" }
local ROOT, SKEWED, SHED, SERVICE = 1, 2, 4, 8          -- enum fluo_span_flag

local arena = ffi.cast("const uint8_t *", nil)
local renamed = false
local trace_id = ffi.new("uint8_t[16]")
local evaluation = 0
local spans, offsets, count = {}, {}, 0                   -- handles and offsets by rank, of this evaluation
local events, links = {}, {}                              -- by offset, of this evaluation
local whole                                               -- the whole trace (query.lua), where that is seen
local made = 0                                            -- entries of these tables
local elements = 0                                        -- read so far in this evaluation
local spoiled                                             -- why it can have no answer

-- ---- reading ------------------------------------------------------------------------------------

local HEX = {}
for byte = 0, 255 do HEX[byte] = ("%02x"):format(byte) end

local function hex(p, n)
  local text = ""
  for i = 0, n - 1 do text = text .. HEX[p[i]] end
  return text
end

M.SHED_TEXT = "the attributes, events and links of this span were given back under memory pressure"

--- Spoils the evaluation at hand, and raises why.
function M.spoil(why)
  spoiled = spoiled or why
  error(why, 0)
end

local function charge(n)
  elements = elements + n
  if elements > ELEMENTS_MAX then
    M.spoil("too large for a function: more than 65,536 attributes, events, links or values were read in one call")
  end
end

-- The last occurrence of a text field, nil when there is none or it is empty.
local function last_text(p, n, number)
  local found
  item.next = 0
  while C.fluo_item_next(p, n, number, item) ~= 0 do found = item.len > 0 and ffi.string(item.text, item.len) or nil end
  return found
end

local convert

-- An empty value keeps its place as false, so that `#` counts it.
local function convert_array(p, n, depth)
  local list, at, element = {}, new_item(), new_value()
  while C.fluo_item_next(p, n, 1, at) ~= 0 do
    charge(1)
    C.fluo_any_value(at.text, at.len, element)
    local converted = convert(element, depth + 1)
    if converted == nil then converted = false end
    list[#list + 1] = converted
  end
  return list
end

-- Calls each(key, value) for the KeyValues of a repeated field, in order.
local function each_pair(p, n, number, depth, each)
  local at, element = new_item(), new_value()
  while C.fluo_item_next(p, n, number, at) ~= 0 do
    charge(1)
    C.fluo_key_value(at.text, at.len, key_item, element)
    each(ffi.string(key_item.text, key_item.len), convert(element, depth + 1))
  end
end

local function convert_map(p, n, depth)
  local map = {}
  each_pair(p, n, 1, depth, function(key, converted) map[key] = converted end)
  return map
end

-- A decoded value as Lua has it: an integer beyond 2^53 stays an int64.
function convert(v, depth)
  local kind = v.type
  if kind == 1 or kind == 7 then return ffi.string(v.text, v.len) end
  if kind == 2 then return v.integer ~= 0 end
  if kind == 3 then
    local number = tonumber(v.integer)
    if number > -EXACT and number < EXACT then return number end
    return v.integer == 2LL ^ 53 and number or int64(v.integer)
  end
  if kind == 4 then return v.number end
  if kind == 0 or depth > DEPTH_MAX then return nil end
  return kind == 5 and convert_array(v.text, v.len, depth) or convert_map(v.text, v.len, depth)
end

local function attribute(p, n, number, key, with_renamed)
  if n > LARGE_BYTES then charge(n / ELEMENT_BYTES) end
  if C.fluo_attribute(p, n, number, key, #key, value) ~= 0 then return convert(value, 0) end
  if not with_renamed then return nil end
  local i, other = 0, C.fluo_renamed(key, #key, 0)
  while other ~= nil do
    local name = ffi.string(other)
    if C.fluo_attribute(p, n, number, name, #name, value) ~= 0 then return convert(value, 0) end
    i = i + 1
    other = C.fluo_renamed(key, #key, i)
  end
  return nil
end

-- The payload of a span. Where it was given back nobody knows what was in it.
local function payload(span)
  if bit.band(span.flags, SHED) ~= 0 then M.spoil(M.SHED_TEXT) end
  return arena + span.payload.off, span.payload.len
end

-- ---- attributes ---------------------------------------------------------------------------------

local function stale(level)
  error("this belongs to an earlier trace: a function sees only what it is called with", level or 3)
end

local function read_only() error("a span cannot be changed", 2) end

-- The fields of a handle have names that no author writes: what they hold is nobody's business, and an attribute may
-- have any other name.
local EVALUATION, RANK = "\0evaluation", "\0rank"
local AT, LEN, NUMBER, RENAMED = "\0at", "\0len", "\0number", "\0renamed"

local attributes_handle = ffi.metatype(ffi.typeof([[
  struct { const double $; const uint32_t $, $, $, $; }
]], EVALUATION, AT, LEN, NUMBER, RENAMED), {
  __index = function(self, key)
    if self[EVALUATION] ~= evaluation then stale() end
    if type(key) ~= "string" then return nil end
    return attribute(arena + self[AT], self[LEN], self[NUMBER], key, self[RENAMED] ~= 0)
  end,
  __newindex = read_only,
  __tostring = function() return "attributes" end,
})

local function attributes_of(p, n, number, with_renamed)
  return attributes_handle(evaluation, p - arena, n, number, with_renamed and 1 or 0)
end

-- pairs over attributes: sorted, the last of equal keys wins, empty values left out.
table.insert(sandbox.iterators, function(handle)
  if not ffi.istype(attributes_handle, handle) then return nil end
  if handle[EVALUATION] ~= evaluation then stale() end
  local all = {}
  each_pair(arena + handle[AT], handle[LEN], handle[NUMBER], 0, function(key, v) all[key] = v end)
  return sandbox.pairs(all)
end)

-- ---- events and links ---------------------------------------------------------------------------

local function event_of(p, n)
  return { name = last_text(p, n, 2) or "", time = int64(C.fluo_scalar(p, n, 1)),
           attributes = attributes_of(p, n, EVENT_ATTRIBUTES, false),
           dropped_attributes_count = tonumber(C.fluo_scalar(p, n, EVENT_DROPPED)) }
end

-- An id of another length than ids have is none, as it is for patterns.
local function id_of(p, n, number, length)
  local found
  item.next = 0
  while C.fluo_item_next(p, n, number, item) ~= 0 do found = item.len == length and hex(item.text, length) or nil end
  return found
end

local function link_of(p, n)
  return { trace_id = id_of(p, n, 1, 16), span_id = id_of(p, n, 2, 8), trace_state = last_text(p, n, 3),
           attributes = attributes_of(p, n, LINK_ATTRIBUTES, false),
           dropped_attributes_count = tonumber(C.fluo_scalar(p, n, LINK_DROPPED)) }
end

local function list_of(span, number, make)
  local p, n = payload(span)
  local list, at = {}, new_item()
  while C.fluo_item_next(p, n, number, at) ~= 0 do
    charge(1)
    list[#list + 1] = make(at.text, at.len)
  end
  return list
end

local function listed(lists, at, span, number, make)
  local list = lists[at]
  if not list then
    list = list_of(span, number, make)
    lists[at], made = list, made + 1
  end
  return list
end

-- ---- fields of a span ---------------------------------------------------------------------------

local function duration_ns(span)
  if bit.band(span.flags, SKEWED) ~= 0 then return 0 end
  return tonumber(span.end_ns - span.start_ns)
end

local function status_message(span)
  local p, n = payload(span)
  local at, message = new_item(), nil
  while C.fluo_item_next(p, n, SPAN_STATUS, at) ~= 0 do message = last_text(at.text, at.len, 2) or message end
  return message
end

local FIELDS = {
  name = function(span) return ffi.string(arena + span.name.off, span.name.len) end,
  service = function(span)
    if bit.band(span.flags, SERVICE) == 0 then return nil end
    return ffi.string(arena + span.service.off, span.service.len)
  end,
  status = function(span) return STATUSES[span.status] or "UNSET" end,
  status_message = status_message,
  kind = function(span) return KINDS[span.kind] or "UNSPECIFIED" end,
  duration = function(span) return duration_ns(span) / 1e6 end,
  start = function(span) return int64(span.start_ns) end,
  end_ = function(span) return int64(span.end_ns) end,
  attributes = function(span)
    local p, n = payload(span)
    return attributes_of(p, n, SPAN_ATTRIBUTES, renamed)
  end,
  resource = function(span)
    return attributes_of(arena + span.resource.off, span.resource.len, RESOURCE_ATTRIBUTES, false)
  end,
  events = function(span, at) return listed(events, at, span, SPAN_EVENTS, event_of) end,
  links = function(span, at) return listed(links, at, span, SPAN_LINKS, link_of) end,
  trace_id = function() return hex(trace_id, 16) end,
  span_id = function(span) return hex(span.span_id, 8) end,
  parent_id = function(span)
    local id = hex(span.parent_id, 8)
    return id ~= "0000000000000000" and id or nil
  end,
  trace_state = function(span)
    local p, n = payload(span)
    return last_text(p, n, SPAN_TRACE_STATE)
  end,
  scope = function(span) return last_text(arena + span.scope.off, span.scope.len, 1) end,
  scope_version = function(span) return last_text(arena + span.scope.off, span.scope.len, 2) end,
  scope_attributes = function(span)
    return attributes_of(arena + span.scope.off, span.scope.len, SCOPE_ATTRIBUTES, false)
  end,
  root = function(span) return bit.band(span.flags, ROOT) ~= 0 end,
}
for name, number in pairs(SPAN_DROPPED) do
  FIELDS[name] = function(span)
    local p, n = payload(span)
    return tonumber(C.fluo_scalar(p, n, number))
  end
end

local NAMES = { "name", "service", "status", "status_message", "kind", "duration", "start", "end_",
                "attributes", "resource", "events", "links", "trace_id", "span_id", "parent_id",
                "trace_state", "scope", "scope_version", "scope_attributes", "root",
                "dropped_attributes_count", "dropped_events_count", "dropped_links_count" }
--- What a function may read of a span.
M.NAMES = NAMES

-- Known only where the whole trace is.
local RELATIONS = { parent = true, children = true, descendants = true, ancestors = true, siblings = true,
                    self_time = true, critical_path = true }
local RELATION_NAMES = { "parent", "children", "descendants", "ancestors", "siblings", "self_time" }
M.RELATIONS = RELATION_NAMES

local function refuse_field(key)
  if RELATIONS[key] and not whole then
    error(("span.%s needs the whole trace: ask for it in trace.satisfies(function(t) … end)"):format(key), 3)
  end
  local nearest = type(key) == "string"
    and (suggest.nearest(key, NAMES) or whole and suggest.nearest(key, RELATION_NAMES))
  error(("a span has no field `%s`%s; an attribute is span.attributes[…]"):format(
    tostring(key), nearest and (", did you mean `%s`?"):format(nearest) or ""), 3)
end

local span_handle = ffi.metatype(ffi.typeof("struct { const double $; const uint32_t $; }", EVALUATION, RANK), {
  __index = function(self, key)
    if self[EVALUATION] ~= evaluation then stale() end
    local field = FIELDS[key]
    if field then
      local at = offsets[self[RANK]]
      return field(ffi.cast(span_ptr, arena + at), at)
    end
    local relation = whole and whole.relations[key]
    if not relation then refuse_field(key) end
    return relation(self[RANK])
  end,
  __newindex = read_only,
  __tostring = function() return "span" end,
})

-- Spans as table keys are walked in the order of their ranks.
table.insert(sandbox.ranks, function(key)
  return ffi.istype(span_handle, key) and key[RANK] or nil
end)

-- ---- evaluations --------------------------------------------------------------------------------

--- Where the arena is, once a process. options.renamed: attributes are found under their renamed
-- conventions too.
function M.attach(base, options)
  arena = ffi.cast("const uint8_t *", base)
  renamed = options.renamed or false
end

-- Of a large trace the tables themselves are most of a worker's heap; those of up to so many entries are used again.
local MADE_MAX = 64

-- Lets go of what belongs to an evaluation.
local function let_go()
  if made > MADE_MAX then
    spans, offsets, events, links = {}, {}, {}, {}
  elseif made > 0 then
    clear(spans)
    clear(offsets)
    clear(events)
    clear(links)
  end
  made, count = 0, 0
end

--- Begins an evaluation: handles made before are stale from now on. of: where the whole trace is seen,
--   at(rank) -> offset of a span, by its rank from 1 in the order of time
--   relations[key](rank) -> what span[key] is, beside its fields
function M.begin(id, of)
  evaluation = evaluation + 1
  elements, spoiled, whole = 0, nil, of
  ffi.copy(trace_id, id, 16)
  let_go()
end

--- Ends it: no handle is good for anything until the next begins. Why it was spoiled, or nil.
function M.finish()
  evaluation, whole = evaluation + 1, nil
  let_go()
  return spoiled
end

--- The number of the evaluation at hand, for other kinds of handles than these; and the error of one that is of
-- another, at that level.
function M.current() return evaluation end
M.stale, M.read_only = stale, read_only

local function handle_of(rank, at)
  local handle = span_handle(evaluation, rank)
  spans[rank], offsets[rank], made = handle, at, made + 1
  return handle
end

--- The span at an offset of the arena, where no whole trace is seen.
function M.span(at)
  for rank = 1, count do
    if offsets[rank] == at then return spans[rank] end
  end
  count = count + 1
  return handle_of(count, at)
end

--- The span of that rank, where the whole trace is seen.
function M.ranked(rank)
  return spans[rank] or handle_of(rank, whole.at(rank))
end

--- The rank of a span of this evaluation; nil for anything else.
function M.rank(handle)
  if not ffi.istype(span_handle, handle) then return nil end
  if handle[EVALUATION] ~= evaluation then stale() end
  return handle[RANK]
end

--- The trace's id as text.
function M.trace_id() return hex(trace_id, 16) end

local COLUMNS = {
  ATTRIBUTE = function(span, key)
    local p, n = payload(span)
    return attribute(p, n, SPAN_ATTRIBUTES, key, renamed)
  end,
  RESOURCE = function(span, key)
    return attribute(arena + span.resource.off, span.resource.len, RESOURCE_ATTRIBUTES, key, false)
  end,
  END = FIELDS.end_,
}

for _, name in ipairs(NAMES) do COLUMNS[name:upper()] = COLUMNS[name:upper()] or FIELDS[name] end

--- What a function of a value is called with: an enum fluo_field's name without its prefix, and the key of
-- an attribute. nil where the span has no such value.
function M.value(at, field, key)
  return COLUMNS[field](ffi.cast(span_ptr, arena + at), key)
end

-- ---- values of one event or link ----------------------------------------------------------------

local PARTS = {
  event = {
    number = SPAN_EVENTS, make = event_of,
    ATTRIBUTE = function(p, n, key) return attribute(p, n, EVENT_ATTRIBUTES, key, false) end,
    EVENT_NAME = function(p, n) return last_text(p, n, 2) or "" end,
  },
  link = {
    number = SPAN_LINKS, make = link_of,
    ATTRIBUTE = function(p, n, key) return attribute(p, n, LINK_ATTRIBUTES, key, false) end,
    TRACE_ID = function(p, n) return id_of(p, n, 1, 16) end,
    SPAN_ID = function(p, n) return id_of(p, n, 2, 8) end,
    TRACE_STATE = function(p, n) return last_text(p, n, 3) end,
  },
}

-- Where the last one was found. Questions come in the order of a span's events, which may be thousands, so
-- the next is nearly always further on.
local part = new_item()
local part_of, part_number, part_index

--- Forgets that: what lies in the arena may be another span by now.
function M.rewind() part_of = nil end

local function seek(at, number, index)
  if part_of ~= at or part_number ~= number or part_index > index then
    part_of, part_number, part_index, part.next = at, number, -1, 0
  end
  local p, n = payload(ffi.cast(span_ptr, arena + at))
  while part_index < index do
    if C.fluo_item_next(p, n, number, part) == 0 then
      part_of = nil
      return false
    end
    part_index = part_index + 1
  end
  return true
end

--- The same of an event or a link of the span (object), by its index from 0.
function M.part_value(at, object, index, field, key)
  local one = PARTS[object]
  if not seek(at, one.number, index) then return nil end
  return one[field](part.text, part.len, key)
end

--- The event or link itself, nil where there is none.
function M.part(at, object, index)
  local one = PARTS[object]
  if not seek(at, one.number, index) then return nil end
  return one.make(part.text, part.len)
end

--- What a function of a pattern (ir.lua's functions) is called with: of the span at an offset, whose handle may be
-- given, or of its event or link by index. nil where there is no such value. A function of FLUO's own takes the offset.
function M.argument(call, at, index, handle)
  if call.kind == "place" then return at end
  if call.object ~= "span" then
    if call.kind == "object" then return M.part(at, call.object, index) end
    return M.part_value(at, call.object, index, call.field, call.key)
  end
  if call.kind == "object" then return handle or M.span(at) end
  return M.value(at, call.field, call.key)
end

return M
