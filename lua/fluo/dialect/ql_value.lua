--- Values of TraceQL expressions while they are reckoned with: what a literal or a field is, arithmetic, and comparing
-- as patterns compare. Where patterns can ask (a field against a literal) they do; this is for the rest.
--   int64 cdata   an integer           number   a double          string, boolean
--   Duration      {ns}, exact          table    an array          nil      there is none
-- Beside a duration a bare number is milliseconds. Two integers stay one (7 / 2 is 3, -7 / 2 is -3), and so do two
-- durations added, or one times an integer; what does not fit 64 bits becomes a double. An empty value is an array of
-- nothing: it is there, and equal to nothing.
local abi = require("fluo.abi")
local filters = require("fluo.filter")
local ffi = abi.ffi

local M = {}

local int64, Duration = ffi.typeof("int64_t"), ffi.typeof("struct { int64_t ns; }")
local MIN = -0x7fffffffffffffffLL - 1

local function is_int(v) return type(v) == "cdata" and ffi.istype(int64, v) end
local function is_duration(v) return type(v) == "cdata" and ffi.istype(Duration, v) end
M.is_int, M.is_duration = is_int, is_duration

--- A duration of int64 nanoseconds.
function M.duration(ns) return Duration(ns) end

--- As a number, for people: durations in ms.
function M.plain(v)
  if is_duration(v) then return tonumber(v.ns) / 1e6 end
  return tonumber(v)
end

-- ---- text as a number ----------------------------------------------------------------------------

-- Digits with a sign as an int64; nil beyond it.
local function int_of(sign, digits)
  digits = digits:gsub("^0+", "")
  if #digits > 19 then return nil end
  local n = 0LL
  for i = 1, #digits do
    local digit = digits:byte(i) - 48
    if n < (MIN + digit) / 10 then return nil end
    n = n * 10 - digit
  end
  if sign == "-" then return n end
  return n ~= MIN and -n or nil
end

-- The number that a text looks like, by section 2, or nil.
local function number_in(text)
  local body = text:match("^[ \t-\r]*(.-)[ \t-\r]*$")
  local sign, digits = body:match("^([+-]?)(%d+)%.?0*$")
  local int = digits and int_of(sign, digits)
  if int then return int end
  local mantissa = body:match("^[+-]?([%d.]+)$") or body:match("^[+-]?([%d.]+)[eE][+-]?%d+$")
  if not mantissa or not mantissa:find("%d") or mantissa:find("%..*%.") then return nil end
  local number = tonumber((body:gsub("^%+", "")))
  if number and number == math.floor(number) and math.abs(number) < 2 ^ 53 then return int64(number) end
  return number
end

--- A value as what is reckoned with: an integer, a double, a duration; nil: it is no number.
function M.number(v)
  if type(v) == "string" then return number_in(v) end
  if type(v) == "number" or is_int(v) or is_duration(v) then return v end
  return nil
end
local number = M.number

-- ---- arithmetic ----------------------------------------------------------------------------------

local function no_nan(x)
  if x ~= x then return nil end
  return x
end

local double, int = {}, {}
double["+"] = function(a, b) return a + b end
double["-"] = function(a, b) return a - b end
double["*"] = function(a, b) return a * b end
double["/"] = function(a, b) return b ~= 0 and a / b or nil end
double["%"] = function(a, b) return b ~= 0 and math.fmod(a, b) or nil end
double["^"] = function(a, b) return a ^ b end

int["+"] = function(a, b)
  local sum = a + b
  if (a >= 0) == (b >= 0) and (sum >= 0) ~= (a >= 0) then return tonumber(a) + tonumber(b) end
  return sum
end

int["-"] = function(a, b)
  local rest = a - b
  if (a >= 0) ~= (b >= 0) and (rest >= 0) ~= (a >= 0) then return tonumber(a) - tonumber(b) end
  return rest
end

int["*"] = function(a, b)
  local about = tonumber(a) * tonumber(b)
  if math.abs(about) < 2 ^ 62 then return a * b end
  local product = a * b
  if math.abs(about) > 2 ^ 64 or b == -1LL and a == MIN or b ~= -1LL and product / b ~= a then return about end
  return product
end

int["/"] = function(a, b)
  if b == 0 then return nil end
  if b == -1LL then return int["-"](0LL, a) end
  return a / b
end

-- The sign is that of the left side.
int["%"] = function(a, b)
  if b == 0 then return nil end
  if b == -1LL then return 0LL end
  return a - a / b * b
end

int["^"] = function(a, b)
  if b < 0 then
    if a == 0 then return nil end
    if a == 1 then return 1LL end
    if a == -1LL then return b % 2 == 0 and 1LL or -1LL end
    return 0LL
  end
  local result, base = 1LL, a
  while b > 0 and is_int(result) and is_int(base) do
    if b % 2 == 1 then result = int["*"](result, base) end
    b = b / 2
    if b > 0 then base = int["*"](base, base) end
  end
  if b == 0 and is_int(result) then return result end
  return nil
end

-- Exactly, where a duration is one of the two; nil: as doubles of milliseconds.
local function exact_duration(how, a, b)
  if how == "+" or how == "-" then
    local left = is_duration(a) and a.ns or is_int(a) and int["*"](a, 1000000LL)
    local right = is_duration(b) and b.ns or is_int(b) and int["*"](b, 1000000LL)
    local ns = is_int(left) and is_int(right) and int[how](left, right)
    return is_int(ns) and Duration(ns) or nil
  elseif how == "*" and (is_int(a) or is_int(b)) then
    local ns = is_duration(a) and int["*"](a.ns, b) or is_duration(b) and int["*"](a, b.ns)
    return is_int(ns) and Duration(ns) or nil
  end
  return nil
end

--- a how b ("+" "-" "*" "/" "%" "^"), or nil where it has no value.
function M.arithmetic(how, a, b)
  a, b = number(a), number(b)
  if a == nil or b == nil then return nil end
  if is_int(a) and is_int(b) then
    local result = int[how](a, b)
    if result ~= nil or b == 0 or how ~= "^" or a == 0 then return result end
  elseif is_duration(a) or is_duration(b) then
    local result = exact_duration(how, a, b)
    if result then return result end
  end
  local result = double[how](M.plain(a), M.plain(b))
  return result and no_nan(result)
end

-- ---- comparing -----------------------------------------------------------------------------------

-- -1, 0, 1.
local function sign_of(a, b) return a < b and -1 or a > b and 1 or 0 end

local function int_to_double(a, b)
  if b >= 2 ^ 63 then return -1 end
  if b < -2 ^ 63 then return 1 end
  local whole = int64(b)
  if a ~= whole then return sign_of(a, whole) end
  return sign_of(tonumber(whole), b)
end

-- A number beside a duration, in nanoseconds where that is exact.
local function beside(duration, other)
  if is_duration(other) then return duration.ns, other.ns end
  local ns = is_int(other) and int["*"](other, 1000000LL)
  if is_int(ns) then return duration.ns, ns end
  return M.plain(duration), tonumber(other)
end

--- The order of two values: -1, 0, 1; nil where there is none.
function M.order(a, b)
  a, b = number(a), number(b)
  if a == nil or b == nil then return nil end
  if is_duration(a) then
    a, b = beside(a, b)
  elseif is_duration(b) then
    b, a = beside(b, a)
  end
  if is_int(a) == is_int(b) then
    if a ~= a or b ~= b then return nil end
    return sign_of(a, b)
  end
  if is_int(a) then return b == b and int_to_double(a, b) or nil end
  return a == a and -int_to_double(b, a) or nil
end

local function bool_equal(truth, other)
  if type(other) == "string" then return other == tostring(truth) end
  return truth == other
end

local function equal(a, b)
  if type(a) == "string" and type(b) == "string" then return a == b end
  if type(a) == "boolean" then return bool_equal(a, b) end
  if type(b) == "boolean" then return bool_equal(b, a) end
  return M.order(a, b) == 0
end

local HOLDS = {
  EQ = equal,
  GT = function(a, b) return M.order(a, b) == 1 end,
  GE = function(a, b) return (M.order(a, b) or -1) >= 0 end,
  LT = function(a, b) return M.order(a, b) == -1 end,
  LE = function(a, b) return (M.order(a, b) or 1) <= 0 end,
  MATCHES = function(text, pattern) return type(text) == "string" and M.matches(text, pattern) end,
}
local NEGATED = { NE = "EQ", NOT_MATCHES = "MATCHES" }

-- Of arrays any element; two of them, any pair.
local function any(holds, a, b)
  if type(a) == "table" then
    for _, element in ipairs(a) do
      if any(holds, element, b) then return true end
    end
    return false
  elseif type(b) == "table" then
    for _, element in ipairs(b) do
      if any(holds, a, element) then return true end
    end
    return false
  end
  return holds(a, b)
end

--- Whether a how b. What is missing compares with nothing.
function M.compare(how, a, b)
  if a == nil or b == nil then return false end
  local negated = NEGATED[how]
  if negated then return not any(HOLDS[negated], a, b) end
  return any(HOLDS[how], a, b)
end

-- ---- regular expressions -------------------------------------------------------------------------

--- Whether the core takes it; else nil, why and where.
M.check_regex = abi.regex_check

local TRACE_ID = ffi.new("uint8_t[16]")
local SPAN_BYTES = ffi.sizeof("struct fluo_span")
local asks, compiled, kept = ffi.new("uint32_t[1]"), {}, 0
local COMPILED_MAX = 64

-- The core matches spans, so the text becomes the name of one.
local function named(text)
  local memory = ffi.new("uint8_t[?]", SPAN_BYTES + #text)
  local span = ffi.cast("struct fluo_span *", memory)
  ffi.copy(memory + SPAN_BYTES, text, #text)
  span.name.off, span.name.len = SPAN_BYTES, #text
  return memory
end

--- Whether all of a text matches, by the core's matcher. An error where it cannot say.
function M.matches(text, pattern)
  local filter = compiled[pattern]
  if not filter then
    local ast = { op = "atom", field = "NAME", compare = "MATCHES", values = { { type = "STRING", text = pattern } } }
    if kept == COMPILED_MAX then compiled, kept = {}, 0 end
    filter, kept = filters.compile({ ast = ast, label = "" }), kept + 1
    compiled[pattern] = filter
  end
  local truth = abi.C.fluo_filter_test(filter.handle, named(text), 0, TRACE_ID, asks)
  if truth == ffi.C.FLUO_UNKNOWN then error("a regular expression takes too long", 0) end
  return truth == ffi.C.FLUO_TRUE
end

-- ---- expressions ---------------------------------------------------------------------------------

local of = {}

--- The value of an expression of the parser where read(field) gives those of fields.
function M.of(node, read) return of[node.op](node, read) end

local ok = { "OK", "UNSET" }

--- options.explicit_ok: the status `ok` is not also what instrumentation left unset.
function M.attach(options) ok = options.explicit_ok and { "OK" } or { "OK", "UNSET" } end

function of.literal(node)
  if node.type == "duration" then return Duration(node.value) end
  if node.type == "status" and node.value == "OK" then return ok end
  return node.value
end
function of.field(node, read) return read(node) end
function of.neg(node, read)
  local v = number(M.of(node.a, read))
  if v == nil then return nil end
  return M.arithmetic("-", is_duration(v) and Duration(0) or is_int(v) and 0LL or 0, v)
end
function of.arithmetic(node, read) return M.arithmetic(node.how, M.of(node.a, read), M.of(node.b, read)) end
function of.compare(node, read) return M.compare(node.how, M.of(node.a, read), M.of(node.b, read)) end
function of.exists(node, read) return M.of(node.a, read) ~= nil end
function of.missing(node, read) return M.of(node.a, read) == nil end

-- As where a truth is expected: only `true` is.
local function truth(node, read)
  local v = M.of(node, read)
  if type(v) == "boolean" then return v end
  return v ~= nil and M.compare("EQ", v, true)
end
M.truth = truth

of["not"] = function(node, read) return not truth(node.a, read) end
of["and"] = function(node, read)
  for _, part in ipairs(node.parts) do
    if not truth(part, read) then return false end
  end
  return true
end
of["or"] = function(node, read)
  for _, part in ipairs(node.parts) do
    if truth(part, read) then return true end
  end
  return false
end

--- What an expression without a field is, and its type; nil where it has no value.
function M.constant(node)
  local v = M.of(node)
  if is_duration(v) then return v.ns, "duration" end
  if is_int(v) then return v, "int" end
  return v, type(v) == "number" and "float" or type(v) == "boolean" and "bool" or "string"
end

return M
