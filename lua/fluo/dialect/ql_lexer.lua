--- Tokens of TraceQL. An attribute (`span.http.url`, `."a b".c`) is one token: its name runs to white space or to one
-- of { } ( ) = ~ ! < > & | ^ , so that `.a+1` is an attribute called `a+1`. Each token is
--   { kind, text, from, … }   text as it was written, from: its first byte
--   kind "word"; "op"; "string" "int" "float" "duration" (value); "attribute" (scope, key); "scope" (`span:`); "end"
-- Whole numbers are int64, durations int64 nanoseconds.
local units = require("fluo.units")

jit.off(true, true)                                       -- see ql_parser.lua

local M = {}

--- Raises what is wrong with a query: { message, hint, word }.
function M.wrong(message, hint, word) error({ ql = message, hint = hint, word = word }, 0) end
local wrong = M.wrong

local OPERATORS = {}
for op in ([[{ } ( ) , = != =~ !~ > >= < <= + - / % * ^ && || ! | >> << ~ !> !< !>> !<< &~ &> &< &>> &<<]])
  :gmatch("%S+") do OPERATORS[op] = true end

local DOTTED = { span = true, resource = true, event = true, link = true, instrumentation = true, parent = true }
local COLONED = { span = true, trace = true, event = true, link = true, instrumentation = true }

-- ---- text ----------------------------------------------------------------------------------------

local ESCAPES = { a = "\a", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", v = "\v", ["\\"] = "\\", ['"'] = '"' }

local function utf8_of(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xc0 + math.floor(code / 64), 0x80 + code % 64) end
  local last, rest = 0x80 + code % 64, math.floor(code / 64)
  if code < 0x10000 then return string.char(0xe0 + math.floor(rest / 64), 0x80 + rest % 64, last) end
  return string.char(0xf0 + math.floor(rest / 4096), 0x80 + math.floor(rest / 64) % 64, 0x80 + rest % 64, last)
end

-- What stands behind a backslash at `at`: its meaning and how many bytes it takes.
local function escape(text, at)
  local c = text:sub(at, at)
  if ESCAPES[c] then return ESCAPES[c], 1 end
  local digits = c == "x" and text:match("^%x%x", at + 1)
  if digits then return string.char(tonumber(digits, 16)), 3 end
  digits = text:match("^[0-3][0-7][0-7]", at)
  if digits then return string.char(tonumber(digits, 8)), 3 end
  digits = c == "u" and text:match("^%x%x%x%x", at + 1) or c == "U" and text:match("^%x%x%x%x%x%x%x%x", at + 1)
  local code = digits and tonumber(digits, 16)
  if code and code < 0x110000 and not (code >= 0xd800 and code < 0xe000) then return utf8_of(code), 1 + #digits end
  wrong(("`\\%s` is no escape"):format(c), "a backslash is written `\\\\`, or the text in back quotes: `…`", "\\" .. c)
end

local function quoted(text, from)
  local out, at = {}, from + 1
  while true do
    local plain, stop = text:match("^([^\"\\\n]*)()", at)
    out[#out + 1] = plain
    local c = text:sub(stop, stop)
    if c == '"' then return table.concat(out), stop + 1 end
    if c ~= "\\" then wrong("a quote is not closed", nil, text:sub(from, stop - 1)) end
    local meaning, bytes = escape(text, stop + 1)
    out[#out + 1], at = meaning, stop + 1 + bytes
  end
end

local function raw(text, from)
  local close = text:find("`", from + 1, true)
  if not close then wrong("a back quote is not closed", nil, text:sub(from)) end
  return (text:sub(from + 1, close - 1):gsub("\r", "")), close + 1
end

-- ---- attributes ----------------------------------------------------------------------------------

-- White space beyond ASCII ends a name, too.
local SPACES = { ["\194\133"] = true, ["\194\160"] = true, ["\225\154\128"] = true, ["\226\128\168"] = true,
                 ["\226\128\169"] = true, ["\226\128\175"] = true, ["\226\129\159"] = true, ["\227\128\128"] = true }
for last = 128, 138 do SPACES["\226\128" .. string.char(last)] = true end

local function quoted_part(text, from)
  local out, at = {}, from + 1
  while true do
    local plain, stop = text:match('^([^"\\]*)()', at)
    out[#out + 1] = plain
    local c, following = text:sub(stop, stop), text:sub(stop + 1, stop + 1)
    if c == '"' then return table.concat(out), stop + 1 end
    if c == "" then wrong("a quote is not closed", nil, text:sub(from)) end
    if following ~= '"' and following ~= "\\" then
      wrong(("`\\%s` is no escape in an attribute's name"):format(following), "it knows `\\\"` and `\\\\`",
        "\\" .. following)
    end
    out[#out + 1], at = following, stop + 2
  end
end

-- The name of an attribute from `at` on, and what is behind it; nil where there is none.
local function name_at(text, at)
  local out, from = {}, at
  while true do
    local plain, stop = text:match('^([^%s{}()=~!<>&|^,"\128-\255]*)()', at)
    out[#out + 1], at = plain, stop
    if text:sub(at, at) == '"' then
      out[#out + 1], at = quoted_part(text, at)
    else
      local character = text:match("^[\194-\244][\128-\191]*", at)
      if not character or SPACES[character] then break end
      out[#out + 1], at = character, at + #character
    end
  end
  if at == from then return nil end
  return table.concat(out), at
end

local function attribute(text, from, scope, at)
  local key, behind = name_at(text, at)
  if not key then
    wrong(("`%s` is followed by no name"):format(text:sub(from, at - 1)), "as in `span.http.url` or `.\"a b\"`",
      text:sub(from, at - 1))
  end
  return { kind = "attribute", scope = scope, key = key }, behind
end

-- ---- numbers -------------------------------------------------------------------------------------

local UNITS = { ns = true, us = true, ms = true, s = true, m = true, h = true, ["µs"] = true, ["μs"] = true }
local WHOLE = { y = 1, w = 2, d = 3, h = 4, m = 5, s = 6, ms = 7 }              -- in this order, without fractions
local DAYS = { y = 365LL, w = 7LL, d = 1LL }
local MAX = 0x7fffffffffffffffLL

local function add(sum, count, unit, shown)
  local ns
  if DAYS[unit] then
    ns = units.duration(count .. "d")
    ns = ns and ns <= MAX / DAYS[unit] and ns * DAYS[unit] or nil
  else
    ns = units.duration(count .. unit)
  end
  if not ns or ns > MAX - sum then wrong(("the duration `%s` is too long"):format(shown), nil, shown) end
  return sum + ns
end

-- `1h30m` in nanoseconds, or nil: either whole numbers of falling units, or numbers of units up to h.
local function duration(text)
  local sum, at, last, ordered, plain = 0LL, 1, 0, true, true
  while at <= #text do
    local count, unit, behind = text:match("^([%d.]+)([^%d.]+)()", at)
    if not count or not count:find("%d") or count:find("%..*%.") then return nil end
    ordered = ordered and WHOLE[unit] ~= nil and WHOLE[unit] > last and not count:find(".", 1, true)
    plain = plain and UNITS[unit] ~= nil
    if not ordered and not plain then return nil end
    sum, at, last = add(sum, count, unit, text), behind, WHOLE[unit] or 0
  end
  return sum
end

-- A run of what durations are made of.
local function duration_run(text, at)
  local from = at
  while true do
    local behind = text:match("^[%d.nsumhdwy]+()", at) or text:match("^µ()", at) or text:match("^μ()", at)
    if not behind then return text:sub(from, at - 1), at end
    at = behind
  end
end

local function int(digits)
  local n = 0LL
  for i = 1, #digits do
    local digit = digits:byte(i) - 48
    if n > (MAX - digit) / 10 then wrong(("the number `%s` is beyond 64 bits"):format(digits), nil, digits) end
    n = n * 10 + digit
  end
  return n
end

local function number(text, from)
  local digits, behind = text:match("^(%d+)()", from)
  local float, stop = text:match("^(%d*%.%d*)()", from)
  if float == "." then float = nil end
  local head = float or digits
  local run, run_stop = duration_run(text, float and stop or behind)
  local ns = run ~= "" and duration(head .. run)
  if ns then return { kind = "duration", value = ns }, run_stop end
  local exponent, exponent_stop = text:match("^([eE][+-]?%d+)()", float and stop or behind)
  if exponent then return { kind = "float", value = tonumber(head .. exponent) }, exponent_stop end
  if float then return { kind = "float", value = tonumber(float) }, stop end
  return { kind = "int", value = int(digits) }, behind
end

-- ---- tokens --------------------------------------------------------------------------------------

local function word(text, from)
  local name, behind = text:match("^([%a_][%w_]*)()", from)
  local mark = text:sub(behind, behind)
  if mark == "." and DOTTED[name] then return attribute(text, from, name, behind + 1) end
  if mark == ":" and COLONED[name] then return { kind = "scope", scope = name }, behind + 1 end
  return { kind = "word" }, behind
end

local function operator(text, from)
  local op = text:sub(from, from)
  local longest = OPERATORS[op] and op
  while OPERATORS[text:sub(from, from + #op)] and from + #op <= #text do
    op = text:sub(from, from + #op)
    longest = op
  end
  if longest then return { kind = "op" }, from + #longest end
  local character = text:match("^[%z\1-\127\194-\244][\128-\191]*", from) or text:sub(from, from)
  wrong(("`%s` is no part of a query"):format(character),
    character == "'" and "text stands in \"…\" or `…`" or nil, character)
end

local function next_token(text, from)
  local c = text:sub(from, from)
  if c == '"' then
    local value, behind = quoted(text, from)
    return { kind = "string", value = value }, behind
  elseif c == "`" then
    local value, behind = raw(text, from)
    return { kind = "string", value = value }, behind
  elseif c:find("%d") or text:find("^%.%d", from) then
    return number(text, from)
  elseif c == "." then
    return attribute(text, from, "any", from + 1)
  elseif c:find("[%a_]") then
    return word(text, from)
  end
  return operator(text, from)
end

-- White space and comments.
local function skip(text, at)
  while true do
    local behind = text:match("^[ \t\r\n]+()", at) or text:match("^//[^\n]*()", at)
    if not behind and text:find("^/%*", at) then
      local _, close = text:find("*/", at + 2, true)
      if not close then wrong("a comment is not closed", nil, "/*") end
      behind = close + 1
    end
    if not behind then return at end
    at = behind
  end
end

--- The tokens of a query, the last of kind "end".
function M.tokens(text)
  local list, at = {}, skip(text, 1)
  while at <= #text do
    local token, behind = next_token(text, at)
    token.text, token.from = text:sub(at, behind - 1), at
    list[#list + 1], at = token, skip(text, behind)
  end
  list[#list + 1] = { kind = "end", text = "", from = #text + 1 }
  return list
end

return M
