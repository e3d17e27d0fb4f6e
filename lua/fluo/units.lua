--- Durations and decimal numbers, exactly: text and doubles become integers of nanoseconds without
-- passing through floating point, so 300.000001 ms is 300,000,001 ns.
local suggest = require("fluo.suggest")

local M = {}

local FACTOR = { ns = 1LL, us = 1000LL, ms = 1000000LL, s = 1000000000LL, m = 60000000000LL,
                 h = 3600000000000LL, d = 86400000000000LL }
M.names = { "ns", "us", "ms", "s", "m", "h", "d" }

local WORDS = {
  nanosecond = "ns", microsecond = "us", millisecond = "ms", second = "s", sec = "s", minute = "m",
  min = "m", hour = "h", hr = "h", day = "d", ["µs"] = "us", ["μs"] = "us",
}
local WORD_NAMES = { "ns", "us", "ms", "s", "m", "h", "d", "nanoseconds", "microseconds", "milliseconds",
                     "seconds", "minutes", "hours", "days" }
local EXPECTED = "a duration is a number and a unit: ns, us, ms, s, m (minute), h, d, as in \"300ms\""

local function unit_of(name)
  if FACTOR[name] then return FACTOR[name] end
  local word = name:lower()
  return FACTOR[WORDS[word] or WORDS[word:match("^(.*)s$")]]
end

-- Decimal digits before and behind the point, times the factor: floor, and whether that was exact.
-- From the last digit of the fraction to the first, each step one division by ten.
local function scale(whole, fraction, factor)
  whole = whole:gsub("^0+", "")
  if #whole > 18 then return nil end
  local rest, exact = 0LL, true
  for i = #fraction, 1, -1 do
    local sum = rest + (fraction:byte(i) - 48) * factor
    rest = sum / 10
    if sum % 10 ~= 0 then exact = false end
  end
  local count = 0LL
  for i = 1, #whole do count = count * 10 + (whole:byte(i) - 48) end
  if count > (0x7fffffffffffffffLL - rest) / factor then return nil end
  return count * factor + rest, exact
end

--- The shortest decimal text that reads back as this double.
function M.decimal(n)
  for digits = 15, 17 do
    local text = ("%%.%dg"):format(digits):format(n)
    if tonumber(text) == n then return text end
  end
  return ("%.17g"):format(n)
end

-- Digits before and behind the point of a text from M.decimal, its exponent spelt out.
local function digits_of(text)
  local whole, fraction, exponent = text:match("^(%d+)%.?(%d*)e?([+-]?%d*)$")
  if not whole then return nil end
  exponent = tonumber(exponent) or 0
  if exponent > 0 then
    fraction = fraction .. ("0"):rep(exponent - #fraction)
    return whole .. fraction:sub(1, exponent), fraction:sub(exponent + 1)
  elseif exponent < 0 then
    whole = ("0"):rep(-exponent) .. whole
    return whole:sub(1, exponent - 1), whole:sub(exponent) .. fraction
  end
  return whole, fraction
end

local function of_number(n)
  if n ~= n or n == math.huge or n == -math.huge then
    return nil, "a duration has to be a number", EXPECTED
  elseif n < 0 then
    return nil, "a duration is never negative", nil, M.decimal(n)
  end
  local whole, fraction = digits_of(M.decimal(n))
  local ns, exact = scale(whole, fraction, FACTOR.ms)
  if not ns then return nil, "a duration of " .. M.decimal(n) .. " ms is too long", nil, M.decimal(n) end
  return ns, exact
end

local function of_text(text)
  local whole, fraction, unit = text:match("^%s*(%d*)%.?(%d*)%s*(.-)%s*$")
  if #whole + #fraction == 0 then
    if text:match("^%s*%-") then return nil, "a duration is never negative", nil, text end
    return nil, ("`%s` is not a duration"):format(text), EXPECTED, text
  elseif unit == "" then
    return nil, ("the duration `%s` has no unit"):format(text), ("write \"%sms\" or the bare number %s")
      :format(text, text), text
  end
  local factor = unit_of(unit)
  if not factor then
    local near = suggest.nearest(unit, WORD_NAMES)
    return nil, ("unknown unit `%s` in the duration `%s`"):format(unit, text),
      (near and ("did you mean `%s`? "):format(near) or "") .. EXPECTED, text:match("(%S+)%s*$")
  end
  local ns, exact = scale(whole, fraction, factor)
  if not ns then return nil, ("the duration `%s` is too long"):format(text), nil, text end
  return ns, exact
end

--- A duration as int64 nanoseconds, and whether that is exact (else it was rounded down): from a bare
-- number of milliseconds, or from text with a unit. Or nil, message, hint, the word at fault.
function M.duration(value)
  local kind = type(value)
  if kind == "number" then return of_number(value) end
  if kind == "string" then return of_text(value) end
  if kind == "cdata" and tonumber(value) and tostring(value):match("^%-?%d+U?LL$") then
    if value < 0 then return nil, "a duration is never negative" end
    local ns = scale(tostring(value):match("^%d+"), "", FACTOR.ms)
    if not ns then return nil, "the duration is too long" end
    return ns, true
  end
  return nil, ("a duration has to be a number or text, not a %s"):format(kind), EXPECTED
end

return M
