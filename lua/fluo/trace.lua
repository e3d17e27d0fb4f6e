--- What a rule's function sees: spans, events and links of the arena, read in place.
--
-- A span is a handle: its offset in the arena and the number of the evaluation that it was made in. An
-- evaluation is one call of one rule's function; when the next begins, every older handle is stale and
-- raises an error before it reads anything. Within an evaluation a span is one value. Handles are cdata with
-- constant fields, so they cannot be written to; events, links, arrays and maps are real tables, made anew
-- for each evaluation, so what a function does to them reaches nobody else.
--
-- A span of millions of elements would cost a rule that only counts its events all of its memory or time, and in the
-- end its place: what is read of payloads in one evaluation has a bound, and past it the function has an error.
local abi = require("fluo.abi")
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
local RESOURCE_ATTRIBUTES, EVENT_ATTRIBUTES, LINK_ATTRIBUTES = 1, 3, 4
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
local spans, events, links = {}, {}, {}                   -- by offset, of this evaluation
local used = false
local elements = 0                                        -- read so far in this evaluation

-- ---- reading ------------------------------------------------------------------------------------

local HEX = {}
for byte = 0, 255 do HEX[byte] = ("%02x"):format(byte) end

local function hex(p, n)
  local text = ""
  for i = 0, n - 1 do text = text .. HEX[p[i]] end
  return text
end

local function charge(n)
  elements = elements + n
  if elements > ELEMENTS_MAX then
    error("this span is too large for a function: it holds more than 65,536 attributes, events, links or values", 0)
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

-- The payload of a span: nothing where it was given back.
local function payload(span)
  if bit.band(span.flags, SHED) ~= 0 then return arena, 0 end
  return arena + span.payload.off, span.payload.len
end

-- ---- attributes ---------------------------------------------------------------------------------

local function stale()
  error("this span belongs to an earlier trace: a function sees only the span it is called with", 3)
end

local function read_only() error("a span cannot be changed", 2) end

local attributes_handle = ffi.metatype(ffi.typeof([[
  struct { const double _evaluation; const uint32_t _at, _len, _number, _renamed; }
]]), {
  __index = function(self, key)
    if self._evaluation ~= evaluation then stale() end
    if type(key) ~= "string" then return nil end
    return attribute(arena + self._at, self._len, self._number, key, self._renamed ~= 0)
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
  if handle._evaluation ~= evaluation then stale() end
  local all = {}
  each_pair(arena + handle._at, handle._len, handle._number, 0, function(key, v) all[key] = v end)
  return sandbox.pairs(all)
end)

-- ---- events and links ---------------------------------------------------------------------------

local function event_of(p, n)
  return { name = last_text(p, n, 2) or "", time = int64(C.fluo_scalar(p, n, 1)),
           attributes = attributes_of(p, n, EVENT_ATTRIBUTES, false) }
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
           attributes = attributes_of(p, n, LINK_ATTRIBUTES, false) }
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
    lists[at] = list
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
  root = function(span) return bit.band(span.flags, ROOT) ~= 0 end,
}

local NAMES = { "name", "service", "status", "status_message", "kind", "duration", "start", "end_",
                "attributes", "resource", "events", "links", "trace_id", "span_id", "parent_id",
                "trace_state", "scope", "scope_version", "root" }

-- Known only where the whole trace is.
local RELATIONS = { parent = true, children = true, descendants = true, ancestors = true, siblings = true,
                    self_time = true, critical_path = true }

local function refuse_field(key)
  if RELATIONS[key] then
    error(("span.%s needs the whole trace: ask for it in trace.satisfies(function(t) … end)"):format(key), 3)
  end
  local nearest = type(key) == "string" and suggest.nearest(key, NAMES)
  error(("a span has no field `%s`%s; an attribute is span.attributes[…]"):format(
    tostring(key), nearest and (", did you mean `%s`?"):format(nearest) or ""), 3)
end

local span_handle = ffi.metatype(ffi.typeof("struct { const double _evaluation; const uint32_t _at; }"), {
  __index = function(self, key)
    if self._evaluation ~= evaluation then stale() end
    local field = FIELDS[key]
    if not field then refuse_field(key) end
    return field(ffi.cast(span_ptr, arena + self._at), self._at)
  end,
  __newindex = read_only,
  __tostring = function() return "span" end,
})

-- Spans as table keys are walked in the order of the arena, which is that of arrival.
table.insert(sandbox.ranks, function(key)
  return ffi.istype(span_handle, key) and key._at or nil
end)

-- ---- evaluations --------------------------------------------------------------------------------

--- Where the arena is, once a process. options.renamed: attributes are found under their renamed
-- conventions too.
function M.attach(base, options)
  arena = ffi.cast("const uint8_t *", base)
  renamed = options.renamed or false
end

--- Begins an evaluation: handles made before are stale from now on.
function M.begin(id)
  evaluation = evaluation + 1
  elements = 0
  ffi.copy(trace_id, id, 16)
  if used then
    spans, events, links = {}, {}, {}
    used = false
  end
end

--- Ends it: no handle is good for anything until the next begins.
function M.finish() evaluation = evaluation + 1 end

--- The span at an offset of the arena.
function M.span(at)
  local handle = spans[at]
  if not handle then
    handle = span_handle(evaluation, at)
    spans[at] = handle
    used = true
  end
  return handle
end

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

--- What a function of a value is called with: an enum fluo_field's name without its prefix, and the key of
-- an attribute. nil where the span has no such value.
function M.value(at, field, key)
  local read = COLUMNS[field] or FIELDS[field:lower()]
  return read(ffi.cast(span_ptr, arena + at), key)
end

-- ---- values of one event or link ----------------------------------------------------------------

local PARTS = {
  event = {
    number = SPAN_EVENTS,
    ATTRIBUTE = function(p, n, key) return attribute(p, n, EVENT_ATTRIBUTES, key, false) end,
    EVENT_NAME = function(p, n) return last_text(p, n, 2) or "" end,
  },
  link = {
    number = SPAN_LINKS,
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

return M
