--- What fields of TraceQL are on a span, read in place: values as ql_value.lua has them. Several values of events or
-- links are an array, a single one is itself.
local abi = require("fluo.abi")
local trace = require("fluo.trace")
local value = require("fluo.dialect.ql_value")
local ffi, C = abi.ffi, abi.C

local M = {}

local span_ptr, int64 = ffi.typeof("const struct fluo_span *"), ffi.typeof("int64_t")
local new_item, raw = ffi.typeof("struct fluo_item"), ffi.typeof("struct fluo_value")()
local SHED = 4                                            -- enum fluo_span_flag
local ATTRIBUTES, EVENTS, LINKS = 9, 11, 13               -- of a Span
local RESOURCE, SCOPE, EVENT, LINK = 1, 3, 3, 4           -- where attributes are in each
local EVENT_TIME = 1
local ELEMENTS_MAX = 65536                                -- of arrays, events and links, read for one value

local arena = ffi.cast("const uint8_t *", nil)
local renamed = false

--- Where the arena is, once a process. options.renamed: attributes are found under their renamed conventions too.
function M.attach(base, options)
  arena = ffi.cast("const uint8_t *", base)
  renamed = options.renamed or false
end

local function bounded(n)
  if n > ELEMENTS_MAX then trace.spoil("a value has more than 65,536 elements") end
end

local typed

local function array(p, n)
  local list, item, element = {}, new_item(), ffi.new("struct fluo_value")
  while C.fluo_item_next(p, n, 1, item) ~= 0 do
    C.fluo_any_value(item.text, item.len, element)
    list[#list + 1] = typed(element, true)
    bounded(#list)
  end
  return list
end

-- What has no value to compare (an empty one, a map, bytes, an array in an array) is an array of nothing.
function typed(v, nested)
  if v.type == 1 then return ffi.string(v.text, v.len) end
  if v.type == 2 then return v.integer ~= 0 end
  if v.type == 3 then return int64(v.integer) end
  if v.type == 4 then return v.number end
  return v.type == 5 and not nested and array(v.text, v.len) or {}
end

local function attribute(p, n, number, key)
  if C.fluo_attribute(p, n, number, key, #key, raw) == 0 then return nil end
  return typed(raw)
end

local function payload(span)
  if bit.band(span.flags, SHED) ~= 0 then trace.spoil(trace.SHED_TEXT) end
  return arena + span.payload.off, span.payload.len
end

local function own(span, key)
  local p, n = payload(span)
  local v, i = attribute(p, n, ATTRIBUTES, key), 0
  while v == nil and renamed do
    local other = C.fluo_renamed(key, #key, i)
    if other == nil then return nil end
    v, i = attribute(p, n, ATTRIBUTES, ffi.string(other)), i + 1
  end
  return v
end

local function of_resource(span, key)
  return attribute(arena + span.resource.off, span.resource.len, RESOURCE, key)
end

-- Values of all events or links, one after another; arrays among them are taken apart.
local function gathered(span, number, one)
  local p, n = payload(span)
  local list, item = {}, new_item()
  while C.fluo_item_next(p, n, number, item) ~= 0 do
    local v = one(item.text, item.len)
    for _, element in ipairs(type(v) == "table" and v or { v }) do list[#list + 1] = element end
    bounded(#list)
  end
  if #list > 1 then return list end
  return list[1]
end

local KEYED = {
  span = own, resource = of_resource,
  any = function(span, key)
    local v = own(span, key)
    if v ~= nil then return v end
    return of_resource(span, key)
  end,
  instrumentation = function(span, key) return attribute(arena + span.scope.off, span.scope.len, SCOPE, key) end,
  event = function(span, key)
    return gathered(span, EVENTS, function(p, n) return attribute(p, n, EVENT, key) end)
  end,
  link = function(span, key) return gathered(span, LINKS, function(p, n) return attribute(p, n, LINK, key) end) end,
}

-- Of an event the field of that name, by its place in the message: see trace.lua.
local function parts(at, span, object, number, name)
  local index = -1
  return gathered(span, number, function()
    index = index + 1
    return trace.part_value(at, object, index, name)
  end)
end

local INTRINSIC = {
  event = {
    EVENT_NAME = function(span, at) return parts(at, span, "event", EVENTS, "EVENT_NAME") end,
    TIME_SINCE_START = function(span)
      return gathered(span, EVENTS, function(p, n)
        return value.duration(int64(C.fluo_scalar(p, n, EVENT_TIME) - span.start_ns))
      end)
    end,
  },
  link = {
    TRACE_ID = function(span, at) return parts(at, span, "link", LINKS, "TRACE_ID") end,
    SPAN_ID = function(span, at) return parts(at, span, "link", LINKS, "SPAN_ID") end,
  },
}

local SKEWED = 2                                          -- enum fluo_span_flag

local function duration(span)
  return value.duration(bit.band(span.flags, SKEWED) ~= 0 and 0LL or int64(span.end_ns - span.start_ns))
end

local function field_of(span, at, node)
  if node.key then return KEYED[node.scope](span, node.key) end
  if node.intrinsic == "DURATION" then return duration(span) end
  local special = INTRINSIC[node.scope] and INTRINSIC[node.scope][node.intrinsic]
  if special then return special(span, at) end
  return trace.value(at, node.intrinsic)
end

--- What reads fields of the span at an offset. of_trace(node): true and the value of those that need the whole trace;
-- nil: there are none.
function M.reader(at, of_trace)
  local span = ffi.cast(span_ptr, arena + at)
  return function(node)
    if of_trace then
      local known, v = of_trace(node)
      if known then return v end
    end
    return field_of(span, at, node)
  end
end

return M
