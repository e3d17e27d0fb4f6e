--- Tokens of `.rule` and `.js` files, one at a time and with their place, as each grammar reads them:
--   "rule"  words with dots and dashes in them: span.attributes.http.user-agent
--   "bare"  a word is the longest run of anything but white space and ( ) { } [ ] " ' = < > ! ,
--   "js"    identifiers as JavaScript has them; a dot is a token
-- A token is { kind = "word" "text" "number" "op" "end" "wrong", text, value, from, to (bytes), line, column }; one
-- that is "wrong" has a message. It never fails: the parser says so when it gets there.
local M = {}
local Scan = {}
Scan.__index = Scan

--- comments: those before the last token, { line, column, at (byte), text, first (in its line) }.
function M.new(source)
  local starts = { 1 }
  for at in source:gmatch("\n()") do starts[#starts + 1] = at end
  return setmetatable({ source = source, starts = starts, comments = {} }, Scan)
end

--- Line and column of a byte. Tokens come in order: the line is mostly that of the last one, or the next.
function Scan:place(at)
  local starts, line = self.starts, self.line or 1
  if starts[line] <= at then
    if starts[line + 1] and starts[line + 1] <= at then line = line + 1 end
    if not starts[line + 1] or starts[line + 1] > at then
      self.line = line
      return line, at - starts[line] + 1
    end
  end
  local low, high = 1, #starts
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if starts[middle] <= at then low = middle else high = middle - 1 end
  end
  self.line = low
  return low, at - starts[low] + 1
end

-- ---- comments and white space -------------------------------------------------------------------

local function note(self, at, text)
  if self.noted and at <= self.noted then return end
  self.noted = at
  local line, column = self:place(at)
  local first = not self.source:sub(self.starts[line], at - 1):find("%S")
  self.comments[#self.comments + 1] = { line = line, column = column, at = at, first = first,
                                        text = text:match("^%s*(.*%S)") or "" }
end

-- The first byte that is neither, or past the end; an unclosed /* is where it begins.
local function skip(self, at, mode)
  local source = self.source
  while true do
    at = source:find("%S", at) or #source + 1
    local two = source:sub(at, at + 1)
    if two == "//" then
      local text = source:match("^[^\r\n]*", at)
      note(self, at, text:sub(3))
      at = at + #text
    elseif two == "/*" and mode == "js" then
      local _, last = source:find("*/", at + 2, true)
      if not last then return at end
      at = last + 1
    else
      return at
    end
  end
end

-- ---- texts --------------------------------------------------------------------------------------

local ESCAPES = { n = "\n", t = "\t", r = "\r", b = "\b", f = "\f", v = "\v", ["0"] = "\0" }

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xc0 + math.floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then
    return string.char(0xe0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
  end
  return string.char(0xf0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64,
    0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

-- What a backslash at `at` means in JavaScript, and what is behind it.
local function js_escape(source, at)
  local hex = source:match("^x(%x%x)", at + 1)
  if hex then return utf8(tonumber(hex, 16)), at + 4 end
  local code, behind = source:match("^u(%x%x%x%x)()", at + 1)
  if not code then code, behind = source:match("^u{(%x+)}()", at + 1) end
  local n = code and tonumber(code, 16)
  if n and n >= 0xd800 and n < 0xdc00 then
    local low, after = source:match("^\\u(%x%x%x%x)()", behind)
    low = low and tonumber(low, 16)
    if low and low >= 0xdc00 and low < 0xe000 then n, behind = 0x10000 + (n - 0xd800) * 1024 + low - 0xdc00, after end
  end
  if n and n < 0x110000 then return utf8(n), behind end
  local c = source:sub(at + 1, at + 1)
  return ESCAPES[c] or c, at + 2
end

local function quoted(source, at, mode)
  local quote, pieces, i = source:sub(at, at), {}, at + 1
  local stop = quote == "`" and "[\\`$]" or "[\\\r\n" .. quote .. "]"
  while true do
    local next_at = source:find(stop, i)
    local c = next_at and source:sub(next_at, next_at)
    pieces[#pieces + 1] = source:sub(i, (next_at or 0) - 1)
    if c == quote then return { kind = "text", value = table.concat(pieces), to = next_at } end
    if c == "$" and source:sub(next_at + 1, next_at + 1) ~= "{" then
      pieces[#pieces + 1], i = "$", next_at + 1
    elseif c == "\\" and mode == "js" then
      pieces[#pieces + 1], i = js_escape(source, next_at)
    elseif c == "\\" and source:find("^[\\\"']", next_at + 1) then
      pieces[#pieces + 1], i = source:sub(next_at + 1, next_at + 1), next_at + 2
    elseif c == "\\" then
      pieces[#pieces + 1], i = "\\", next_at + 1
    else
      local why = c == "$" and "a text with `${` in it would have to be executed" or "this quote is not closed"
      return { kind = "wrong", message = why, to = (next_at or #source + 1) - 1 }
    end
  end
end

-- ---- tokens -------------------------------------------------------------------------------------

local OPERATORS = {
  rule = { "&&", "||", "==", "!=", "<=", ">=" },
  bare = { "==", "!=", "<=", ">=" },
  js = { "===", "!==", "=>", "&&", "||", "==", "!=", "<=", ">=", "?." },
}
local WORD = { rule = "^[%a_\128-\255][%w_.\128-\255-]*", bare = "^[^%s(){}%[%]\"'=<>!,]+",
               js = "^[%a_$\128-\255][%w_$\128-\255]*" }

local function number_at(source, at)
  local text = source:match("^%-?0[xX]%x+", at)
  if not text then
    text = source:match("^%-?%d+%.?%d*", at) or source:match("^%-?%.%d+", at)
    local power = text and source:match("^[eE][+-]?%d+", at + #text)
    text = text and text .. (power or "")
  end
  if not text or source:find("^[%w_]", at + #text) then return nil end
  return text
end

--- The number that a text says, exactly: an int64 where a double would round. nil: it says none.
function M.number(text)
  local digits = text:match("^[+-]?(%d+)$")
  if digits and #digits > 15 then
    digits = digits:gsub("^0+", "")
    if #digits > 19 or #digits == 19 and digits > "9223372036854775807" then return tonumber(text) end
    local n = 0LL
    for i = 1, #digits do n = n * 10 + (digits:byte(i) - 48) end
    return text:sub(1, 1) == "-" and -n or n
  end
  return tonumber(text)
end

local function bare_word(source, at)
  local text = source:match(WORD.bare, at)
  local comment = text and text:find("//", 1, true)
  return comment and text:sub(1, comment - 1) or text
end

local function read(source, at, mode)
  local c = source:sub(at, at)
  if c == "" then return { kind = "end", to = at - 1 } end
  if c == '"' or c == "'" or (c == "`" and mode == "js") then return quoted(source, at, mode) end
  if mode ~= "bare" then
    local text = number_at(source, at)
    if text then return { kind = "number", value = M.number(text), to = at + #text - 1 } end
  end
  for _, op in ipairs(OPERATORS[mode]) do
    if source:sub(at, at + #op - 1) == op then return { kind = "op", to = at + #op - 1 } end
  end
  local word = mode == "bare" and bare_word(source, at) or mode ~= "bare" and source:match(WORD[mode], at)
  if word and word ~= "" then return { kind = "word", to = at + #word - 1 } end
  if source:sub(at, at + 1) == "/*" then
    return { kind = "wrong", message = "this comment is not closed", to = #source }
  end
  return { kind = "op", to = at }
end

--- The token at or behind a byte. What stands at the end has the place right behind the last token.
function Scan:token(at, mode)
  local from = skip(self, at, mode)
  local token = read(self.source, from, mode)
  token.from, token.behind = from, at
  token.text = self.source:sub(from, token.to)
  token.line, token.column = self:place(token.kind == "end" and math.max(at, 1) or from)
  return token
end

return M
