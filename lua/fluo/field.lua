--- The fields that patterns ask about, and what may be asked of each: turns a field, an operator and what
-- the author wrote into an atom of the intermediate form, its values normalised (rules/README.md, Patterns).
local abi = require("fluo.abi")
local suggest = require("fluo.suggest")
local units = require("fluo.units")

local M = {}

-- What an object's keys mean. Every other key of a pattern is an attribute. Patterns are tested before a span's parent
-- need be there, so they have no PARENT_SERVICE.
M.SPAN = {
  name = "NAME", service = "SERVICE", status = "STATUS", status_message = "STATUS_MESSAGE", kind = "KIND",
  duration = "DURATION", start = "START", end_ = "END", scope = "SCOPE", scope_version = "SCOPE_VERSION",
  trace_id = "TRACE_ID", span_id = "SPAN_ID", parent_id = "PARENT_ID", trace_state = "TRACE_STATE",
  root = "ROOT", ["parent.service"] = "PARENT_SERVICE",
}
M.EVENT = { name = "EVENT_NAME" }
M.LINK = { trace_id = "TRACE_ID", span_id = "SPAN_ID", trace_state = "TRACE_STATE" }
M.SPAN_NAMES = { "name", "service", "status", "status_message", "kind", "duration", "start", "end_", "scope",
                 "scope_version", "trace_id", "span_id", "parent_id", "trace_state", "root", "resource",
                 "event", "link", "attributes", "where" }

local CLASS = {
  ATTRIBUTE = "any", RESOURCE = "any", STATUS = "status", KIND = "kind", DURATION = "duration",
  START = "time", END = "time", TRACE_ID = "id", SPAN_ID = "id", PARENT_ID = "id", ROOT = "root",
  SPAN_COUNT = "whole", GAP = "gap",
}
local ID_DIGITS = { TRACE_ID = 32, SPAN_ID = 16, PARENT_ID = 16 }
local ALWAYS_THERE = { NAME = true, STATUS = true, KIND = true, DURATION = true, START = true, END = true,
                       TRACE_ID = true, SPAN_ID = true, ROOT = true, EVENT_NAME = true }

local GROUP = {
  eq = "equality", ne = "equality", one_of = "equality", none_of = "equality", gt = "order", ge = "order",
  lt = "order", le = "order", between = "order", contains = "text", prefix = "text", suffix = "text",
  glob = "text", matches = "text", strict = "strict",
}
local TAKES = {
  any = { equality = true, order = true, text = true, strict = true },
  text = { equality = true, order = true, text = true },
  status = { equality = true }, kind = { equality = true }, root = { equality = true },
  duration = { equality = true, order = true }, time = { equality = true, order = true },
  id = { equality = true, text = true },
}
local OP = { eq = "EQ", one_of = "EQ", ne = "NE", none_of = "NE", gt = "GT", ge = "GE", lt = "LT", le = "LE",
             between = "BETWEEN", contains = "CONTAINS", prefix = "PREFIX", suffix = "SUFFIX", glob = "GLOB",
             matches = "MATCHES", strict = "STRICT" }

M.STATUSES = { "UNSET", "OK", "ERROR", "EXPLICIT_OK" }
M.KINDS = { "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER", "UNSPECIFIED" }

-- ---- values -------------------------------------------------------------------------------------

local function is_integer64(value)
  return type(value) == "cdata" and tostring(value):match("^%-?%d+U?LL$") ~= nil
end

local TWO_63 = 2 ^ 63

-- A plain value: text, bool, int, double. Or nil and why.
local function plain(value)
  local kind = type(value)
  if kind == "string" then return { type = "STRING", text = value } end
  if kind == "boolean" then return { type = "BOOL", integer = value and 1LL or 0LL } end
  if is_integer64(value) then
    if tostring(value):find("U") and value > 0x7fffffffffffffffULL then
      return nil, "an integer has 64 bits with a sign"
    end
    return { type = "INT", integer = abi.ffi.cast("int64_t", value) }
  elseif kind == "number" then
    if value ~= value or value == math.huge or value == -math.huge then
      return nil, "a number has to be finite: nothing is equal to this one"
    elseif value == math.floor(value) and math.abs(value) < TWO_63 then
      return { type = "INT", integer = abi.ffi.cast("int64_t", value) }
    end
    return { type = "DOUBLE", number = value }
  end
  local hint = kind == "table" and "for one of several values write one_of { … }" or nil
  return nil, ("a value has to be text, a number or a boolean, not a %s"):format(kind), hint
end

-- Text that section 2 reads as a number.
local function is_decimal(text)
  local digits = text:match("^[ \t\r\n\v\f]*[+-]?([%d.]+)[ \t\r\n\v\f]*$")
    or text:match("^[ \t\r\n\v\f]*[+-]?([%d.]+)[eE][+-]?%d+[ \t\r\n\v\f]*$")
  return digits ~= nil and digits:find("%d") ~= nil and not digits:find("%..*%.")
end

-- A value that has an order. Text that is no number has none, and comparing by it is false, not wrong: see
-- M.unordered.
local function ordered(value)
  if type(value) == "string" and not is_decimal(value) and units.duration(value) then
    return nil, ("`%s` is not a number"):format(value), "an attribute has no unit: write the bare number", value
  elseif type(value) == "boolean" then
    return nil, "a boolean has no order", "write eq, or the plain value"
  end
  return plain(value)
end

local function from_set(names, prefix, what)
  return function(value)
    if type(value) ~= "string" then
      return nil, ("a %s is text, one of %s"):format(what, table.concat(names, ", "))
    end
    local text = value:upper():gsub("^" .. prefix, "")
    for _, name in ipairs(names) do
      if name == text then return { type = "STRING", text = text } end
    end
    return nil, ("unknown %s `%s`"):format(what, value), suggest.expected(text, names), value
  end
end
local status, kind_of = from_set(M.STATUSES, "STATUS_CODE_", "status"), from_set(M.KINDS, "SPAN_KIND_", "kind")

local function root(value)
  if value == "true" or value == "false" then value = value == "true" end
  if type(value) ~= "boolean" then return nil, "`root` is true or false" end
  return plain(value)
end

local function time(value)
  local number = value
  if type(value) == "string" and value:match("^%d+$") and #value <= 19 then
    number = loadstring("return " .. value .. "LL")()
    if number < 0 then number = nil end
  elseif type(value) == "number" then
    if value ~= math.floor(value) or math.abs(value) > 2 ^ 53 then
      return nil, "a time as a Lua number is not exact", "write nanoseconds since 1970 as `…LL` or as text"
    end
  elseif not is_integer64(value) then
    number = nil
  end
  if not number then
    return nil, "a time is a number of nanoseconds since 1970", "write it as `…LL` or as text of digits"
  end
  return plain(number)
end

local function whole(value)
  if type(value) ~= "number" or value < 0 or value % 1 ~= 0 or value >= 2 ^ 53 then
    return nil, "a number of spans is a whole number", nil, tostring(value)
  end
  return plain(value)
end

local function id(field, all_of_it)
  return function(value)
    local digits = ID_DIGITS[field]
    if type(value) ~= "string" or (all_of_it and (#value ~= digits or value:find("%X"))) then
      return nil, ("an id is text of %d hexadecimal digits"):format(digits), nil, tostring(value)
    end
    return { type = "STRING", text = value:lower() }
  end
end

-- A duration before which a minus may stand: its nanoseconds, and whether that is exact (else it was rounded down).
local function signed(value)
  local magnitude = type(value) == "string" and value:match("^%s*%-(.*)$")
                    or type(value) == "number" and value < 0 and -value
  if not magnitude then return units.duration(value) end
  local ns, exact, hint, word = units.duration(magnitude)
  if not ns then return nil, exact, hint, word end
  return exact and -ns or -ns - 1, exact
end

-- A duration in nanoseconds. Spans have whole nanoseconds, so an operand between two of them is moved to
-- the side that does not change the comparison: up for >= and <, down for > and <=.
local function duration(up, read)
  return function(value)
    local ns, exact, hint, word = (read or units.duration)(value)
    if not ns then return nil, exact, hint, word end
    if not exact then
      if up == nil then return nil, "no duration is equal to that: it is finer than a nanosecond" end
      if up then ns = ns + 1 end
    end
    return { type = "INT", integer = ns }
  end
end

local ROUNDS_UP = { gt = false, ge = true, lt = true, le = false }

-- How values of an operand of this field are read: one function, or two for `between`.
local function reader(field, op)
  local class = CLASS[field] or "text"
  if class == "duration" then
    if op == "between" then return duration(true), duration(false) end
    return duration(ROUNDS_UP[op])
  elseif class == "gap" then
    if op == "between" then return duration(true, signed), duration(false, signed) end
    return duration(ROUNDS_UP[op], signed)
  elseif class == "time" then return time
  elseif class == "status" then return status
  elseif class == "kind" then return kind_of
  elseif class == "root" then return root
  elseif class == "whole" then return whole
  elseif class == "id" then return id(field, GROUP[op] == "equality")
  end
  return GROUP[op] == "order" and ordered or plain
end

-- ---- atoms --------------------------------------------------------------------------------------

-- The values of a list operand, read one by one; reports each that is wrong.
local function list(data, read, fail)
  local given, values = data[1], {}
  if type(given) ~= "table" or getmetatable(given) then
    fail(("`%s` takes a list"):format(data.op), ("write %s { \"a\", \"b\" }"):format(data.op), data.op)
    return nil
  end
  local count = 0
  for _ in pairs(given) do count = count + 1 end
  if count == 0 or count ~= #given then
    fail(("`%s` takes a list of values without names or gaps"):format(data.op),
      count == 0 and "an empty list matches nothing" or nil, data.op)
    return nil
  end
  for i = 1, #given do
    local value, why, hint, word = read(given[i])
    if not value then
      fail(why, hint, word)
      return nil
    end
    values[i] = value
  end
  return values
end

local function text_operand(data, field, fail)
  local text = data[1]
  if type(text) ~= "string" then
    fail(("`%s` takes text, not a %s"):format(data.op, type(text)), nil, data.op)
    return nil
  end
  if CLASS[field] == "id" and data.op ~= "matches" then text = text:lower() end
  if data.op == "matches" then
    local ok, why, offset = abi.regex_check(text)
    if not ok then
      fail(("the regular expression `%s` does not compile: %s (at its byte %d)"):format(text, why, offset),
        nil, text)
      return nil
    end
  end
  return { { type = "STRING", text = text } }
end

local function between(data, first, second, fail)
  local low, why, hint, word = first(data[1])
  local high
  if low then high, why, hint, word = (second or first)(data[2]) end
  if not high then
    fail(why, hint, word)
    return nil
  end
  local function number(v) return v.type == "STRING" and tonumber(v.text) or v.integer or v.number end
  local from, to = number(low), number(high)
  if from and to and from > to then
    fail("`between` holds for nothing: its first value is greater than its second", nil, "between")
    return nil
  end
  return { low, high }
end

local function values_of(data, field, fail)
  if GROUP[data.op] == "text" then return text_operand(data, field, fail) end
  local first, second = reader(field, data.op)
  if data.op == "one_of" or data.op == "none_of" then return list(data, first, fail) end
  if data.op == "between" then return between(data, first, second, fail) end
  local value, why, hint, word = first(data[1])
  if not value then
    fail(why, hint, word)
    return nil
  end
  return { value }
end

local function impossible(field, data, values)
  if CLASS[field] ~= "duration" or data.op ~= "lt" then return false end
  return values[1].integer == 0
end

-- What to write where an operator does not suit a field.
local function takes(field, shown)
  local class = CLASS[field]
  if class == "status" then return shown .. " is one of " .. table.concat(M.STATUSES, ", ") end
  if class == "kind" then return shown .. " is one of " .. table.concat(M.KINDS, ", ") end
  if class == "root" then return "`root` is true or false" end
  if class == "id" then return "an id has no order" end
  return ("%s is compared with eq ne gt ge lt le between one_of none_of"):format(shown)
end

local METRICS = { duration = "DURATION", number = "SPAN_COUNT", gap = "GAP" }

--- The operand of a figure of the whole trace, its duration (unit "duration") or its number of spans
-- ("number"), or of a gap, which may be negative ("gap"): { op, n, high }, durations in ns, or nil after
-- fail(message, hint, word).
function M.metric(x, data, unit, what, fail)
  data = data or { op = "eq", n = 1, x }
  local shown = "`" .. what .. "`"
  if data.wrong then return fail(data.wrong, nil, data.op) end
  if data.op == "one_of" or data.op == "none_of" or not TAKES.duration[GROUP[data.op] or ""] then
    return fail(("%s cannot be asked with `%s`"):format(shown, data.op),
      shown .. " is compared with eq ne gt ge lt le between", data.op)
  end
  local field = METRICS[unit]
  local values = values_of(data, field, fail)
  if not values then return nil end
  if data.op == "lt" and values[1].integer == 0 and unit ~= "gap" then
    return fail(("%s is never below 0"):format(shown), nil, data.op)
  end
  local function number(v) return v and (unit == "number" and tonumber(v.integer) or v.integer) end
  return { op = OP[data.op], n = number(values[1]), high = number(values[2]) }
end

local function presence(field, key, data, shown, fail)
  if ALWAYS_THERE[field] then
    if data.op == "exists" then return { op = "true" } end
    fail(("%s is never missing"):format(shown), nil, data.op)
    return nil
  end
  local atom = { op = "atom", field = field, key = key, compare = "EXISTS", values = {} }
  return data.op == "exists" and atom or { op = "not", atom }
end

local ORDER = { GT = true, GE = true, LT = true, LE = true, BETWEEN = true }

--- The text by which an atom wants an order and that has none, so that it never holds; nil for any other.
function M.unordered(atom)
  for _, value in ipairs(ORDER[atom.compare] and atom.values or {}) do
    if value.type == "STRING" and not is_decimal(value.text) then return value.text end
  end
  return nil
end

--- The node for one field and one operand's contents (operand.of), or nil after fail(message, hint, word).
-- `shown` is how messages name the field.
function M.atom(field, key, data, shown, fail)
  if data.wrong then
    fail(data.wrong, nil, data.op)
    return nil
  end
  if data.op == "exists" or data.op == "missing" then return presence(field, key, data, shown, fail) end
  if not GROUP[data.op] then
    fail(("`%s` combines patterns, not values"):format(data.op),
      data.op == "not_" and "write ne(…) or none_of { … }" or "write one_of { … }", data.op)
    return nil
  end
  if not TAKES[CLASS[field] or "text"][GROUP[data.op]] then
    fail(("%s cannot be asked with `%s`"):format(shown, data.op), takes(field, shown), data.op)
    return nil
  end
  local values = values_of(data, field, fail)
  if not values then return nil end
  if impossible(field, data, values) then
    fail(("%s is never below 0"):format(shown), nil, data.op)
    return nil
  end
  return { op = "atom", field = field, key = key, compare = OP[data.op], values = values }
end

return M
