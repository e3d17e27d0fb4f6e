--- An exact tokenizer of Lua, for places: which line and column, where a rule stands in its file, the
-- text of a pattern, what Lua itself drops without a word (a side of `and`). It never fails: what cannot
-- be a token ends the scan, for Lua's own parser has refused the file already or is about to.
local ffi = require("ffi")
local M = {}
local Lex = {}
Lex.__index = Lex

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return
               then true until while]]):gmatch("%a+") do KEYWORDS[word] = true end

-- What a byte can begin. The scan goes by bytes: string.find with a pattern is not compiled.
local WORD, SPACE, QUOTE, DIGIT, FIRST = {}, {}, {}, {}, {}
for b = 0, 255 do
  local c = string.char(b)
  DIGIT[b], QUOTE[b] = c:find("%d") ~= nil, c == '"' or c == "'"
  FIRST[b] = c:find("[%a_\128-\255]") ~= nil
  WORD[b], SPACE[b] = FIRST[b] or DIGIT[b], c:find("[ \t\r\n\v\f]") ~= nil
end
-- Of more bytes than one, or no token at all.
local LONGER = {}
for b in ("-[.=~<>:"):gmatch(".") do LONGER[b:byte()] = true end
for b = 0, 31 do LONGER[b] = true end
LONGER[127] = true

local OPERATORS = { "...", "..", "==", "~=", "<=", ">=", "::" }

-- The last byte of a long bracket that opens at `at`, or nil: none, or unfinished.
local function long_bracket(source, at)
  local level = source:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, last = source:find("]" .. level .. "]", at + #level + 2, true)
  return last, true
end

local function quoted(source, at)
  local quote, i = source:sub(at, at), at + 1
  while true do
    i = source:find("[\\\r\n" .. quote .. "]", i)
    local c = i and source:sub(i, i)
    if c == quote then return i end
    if c ~= "\\" then return nil end
    local _, gap = source:find("^z%s*", i + 1)
    i = gap and gap + 1 or i + (source:find("^\r\n", i + 1) and 3 or 2)
  end
end

local function number(source, at)
  local _, last
  if source:find("^0[xX]", at) then
    _, last = source:find("^0[xX][%x.]*", at)
    local _, power = source:find("^[pP][+-]?%d+", last + 1)
    last = power or last
  else
    _, last = source:find("^[%d.]*", at)
    local _, power = source:find("^[eE][+-]?%d+", last + 1)
    last = power or last
  end
  local _, suffix = source:find("^[%w_]+", last + 1)
  return suffix or last
end

-- The last byte of the token that starts at `at`; true when it is a comment.
local function token(source, at)
  local b = source:byte(at)
  if FIRST[b] then
    repeat at = at + 1 until not WORD[source:byte(at)]
    return at - 1
  elseif DIGIT[b] or b == 46 and DIGIT[source:byte(at + 1)] then
    return number(source, at)
  elseif QUOTE[b] then
    return quoted(source, at)
  elseif not LONGER[b] then
    return at
  elseif source:find("^%-%-", at) then
    local last, long = long_bracket(source, at + 2)
    if long then return last, true end
    if source:find("^%[=*%[", at + 2) then return #source, true end
    return (source:find("[\r\n]", at) or #source + 1) - 1, true
  elseif source:find("^%[=*%[", at) then
    return (long_bracket(source, at))
  end
  for _, operator in ipairs(OPERATORS) do
    if source:sub(at, at + #operator - 1) == operator then return at + #operator - 1 end
  end
  if source:find("^%c", at) then return nil end
  return at
end

local function line_starts(source)
  local starts, at = { 1 }, 1
  while true do
    at = source:find("[\r\n]", at)
    if not at then return starts end
    local pair = source:sub(at, at + 1)
    at = at + ((pair == "\r\n" or pair == "\n\r") and 2 or 1)
    starts[#starts + 1] = at
  end
end

--- The tokens of a source: lex.from[i], lex.to[i] for i = 1 … lex.n.
function M.scan(source)
  local lex = setmetatable({ source = source, from = {}, to = {}, n = 0, comments = {} }, Lex)
  lex.starts = line_starts(source)
  local at, size = 1, #source
  while true do
    while SPACE[source:byte(at)] do at = at + 1 end
    if at > size then break end
    local last, comment = token(source, at)
    if not last then break end
    if comment then
      lex.comments[#lex.comments + 1] = { at, last }
    else
      lex.n = lex.n + 1
      lex.from[lex.n], lex.to[lex.n] = at, last
    end
    at = last + 1
  end
  return lex
end

function Lex:text(i) return i >= 1 and self.n >= i and self.source:sub(self.from[i], self.to[i]) or "" end

--- "name", "keyword", "number", "string", "operator", or "end" past the last.
function Lex:kind(i)
  if i < 1 or i > self.n then return "end" end
  local at = self.from[i]
  local b = self.source:byte(at)
  if FIRST[b] then return KEYWORDS[self:text(i)] and "keyword" or "name" end
  if QUOTE[b] then return "string" end
  local long = self.to[i] > at
  if DIGIT[b] or b == 46 and long and DIGIT[self.source:byte(at + 1)] then return "number" end
  return b == 91 and long and "string" or "operator"
end

--- The value of a string token.
function Lex:value(i)
  local text = self:text(i)
  if not text:find("\\", 1, true) and text:find("^[\"']") then return text:sub(2, -2) end
  local chunk = loadstring("return " .. text, "=string")
  return chunk and chunk() or nil
end

--- Line and column (in bytes, from 1) of a byte of the source.
function Lex:place(at)
  local low, high = 1, #self.starts
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if self.starts[middle] <= at then low = middle else high = middle - 1 end
  end
  return low, at - self.starts[low] + 1
end

--- The first token at or behind the start of a line; the last one where there is none.
function Lex:token_of_line(line)
  local at = self.starts[math.max(line, 1)] or #self.source + 1
  local low, high = 1, self.n
  while low < high do
    local middle = math.floor((low + high) / 2)
    if self.from[middle] >= at then high = middle else low = middle + 1 end
  end
  return low
end

--- First and last byte of a line, its end not counted.
function Lex:line_range(line)
  local from = self.starts[line]
  if not from then return #self.source + 1, #self.source end
  local last = (self.starts[line + 1] or #self.source + 1) - 1
  while last >= from and self.source:find("^[\r\n]", last) do last = last - 1 end
  return from, last
end

local CLOSES, OPENS = { ["("] = ")", ["["] = "]", ["{"] = "}" }, { [")"] = true, ["]"] = true, ["}"] = true }

-- What closes each bracket, 0 for what nothing does. One that does not fit leaves all that are open then unclosed.
-- A table would take as much again as the tokens.
local function pairs_of(lex)
  local closes, open, depth = ffi.new("int32_t[?]", lex.n + 1), {}, 0
  for i = 1, lex.n do
    local text = lex.from[i] == lex.to[i] and lex:text(i)
    if CLOSES[text] then
      depth = depth + 1
      open[depth] = i
    elseif OPENS[text] then
      local fits = depth > 0 and CLOSES[lex:text(open[depth])] == text
      if fits then closes[open[depth]] = i end
      depth = fits and depth - 1 or 0
    end
  end
  return closes
end

--- The token that closes the bracket at token i, or nil.
function Lex:closing(i)
  self.closes = self.closes or pairs_of(self)
  local close = i >= 1 and i <= self.n and self.closes[i] or 0
  return close > 0 and close or nil
end

local OPENS_BLOCK = { ["function"] = true, ["if"] = true, ["do"] = true, ["repeat"] = true }

--- The token that ends the function whose keyword is token i, or nil.
function Lex:function_end(i)
  local depth = 0
  for k = i, self.n do
    local text = self:kind(k) == "keyword" and self:text(k)
    if OPENS_BLOCK[text] then depth = depth + 1 end
    if text == "end" or text == "until" then
      depth = depth - 1
      if depth == 0 then return k end
    end
  end
  return nil
end

-- The rule that token i (the word `rule`) begins, or nil.
local function rule_at(lex, i)
  local before = lex:text(i - 1)
  if i > 1 and (before == "." or before == ":" or before == "local" or before == "function") then return nil end
  local rule = { from = i, to = i, line = (lex:place(lex.from[i])) }
  local after = i + 1
  if lex:kind(after) == "string" then
    rule.name, rule.to = lex:value(after), after
  elseif lex:text(after) == "(" then
    local close = lex:closing(after)
    if not close then return nil end
    if close == after + 2 and lex:kind(after + 1) == "string" then rule.name = lex:value(after + 1) end
    rule.to = close
  else
    return nil
  end
  local open = rule.to + 1
  if lex:text(open) == "(" and lex:text(open + 1) == "{" then open = open + 1 end
  if lex:text(open) == "{" then
    local close = lex:closing(open)
    if not close then return nil end
    rule.open, rule.to = open, close
  end
  rule.last_line = lex:place(lex.to[rule.to])
  return rule
end

--- The rules of the file, `rule "name" { … }`, as { name, from, to (tokens), open (token of its table),
-- line, last_line }; name is nil where it is computed.
function Lex:rules()
  local rules, i = {}, 1
  while i <= self.n do
    local rule = self:kind(i) == "name" and self:text(i) == "rule" and rule_at(self, i)
    if rule then rules[#rules + 1] = rule end
    i = (rule and rule.to or i) + 1
  end
  return rules
end

-- The token behind the value that begins at token i within a table that ends at token `last`.
local function value_end(lex, i, last)
  local k = i
  while k < last do
    local text = lex:text(k)
    if text == "," or text == ";" then return k end
    if CLOSES[text] then
      k = lex:closing(k) or last
    elseif text == "function" then
      k = lex:function_end(k) or last
    end
    k = k + 1
  end
  return last
end

--- The entries of the table constructor at token `open`: { key (nil: positional), from, to (tokens of the
-- value), at (token of the key) }.
function Lex:entries(open)
  local last, entries, i = self:closing(open), {}, open + 1
  while last and i < last do
    local entry, from = { at = i }, i
    if self:kind(i) == "name" and self:text(i + 1) == "=" then
      entry.key, from = self:text(i), i + 2
    elseif self:text(i) == "[" and self:kind(i + 1) == "string" and self:text(i + 2) == "]" then
      entry.key, from = self:value(i + 1), i + 4
    end
    local behind = value_end(self, from, last)
    entry.from, entry.to = from, behind - 1
    if entry.to >= from then entries[#entries + 1] = entry end
    i = behind + 1
  end
  return entries
end

--- The source with its comments blanked, so that a word is looked for in code and strings only.
function Lex:code()
  if self.blanked then return self.blanked end
  local pieces, at = {}, 1
  for _, comment in ipairs(self.comments) do
    pieces[#pieces + 1] = self.source:sub(at, comment[1] - 1)
    pieces[#pieces + 1] = (self.source:sub(comment[1], comment[2]):gsub("[^\r\n]", " "))
    at = comment[2] + 1
  end
  pieces[#pieces + 1] = self.source:sub(at)
  self.blanked = table.concat(pieces)
  return self.blanked
end

local function is_word(c) return c:find("^[%w_]") ~= nil end

--- Where a word stands between two bytes: how often, and its first place.
function Lex:occurrences(word, from, to)
  local code, count, first, at = self:code():sub(from, to), 0, nil, 1
  while word ~= "" do
    local found, last = code:find(word, at, true)
    if not found then break end
    local inside = (is_word(word) and is_word(code:sub(found - 1, found - 1)) and found > 1)
      or (is_word(word:sub(-1)) and is_word(code:sub(last + 1, last + 1)))
    if not inside then
      count, first = count + 1, first or found + from - 1
    end
    at = found + 1
  end
  return count, first
end

--- The source with the bytes of a rule blanked, so that the rest of the file can be looked at without it.
function Lex:without(rule)
  local from, to = self.from[rule.from], self.to[rule.to]
  local hole = self.source:sub(from, to):gsub("[^\r\n]", " ")
  return self.source:sub(1, from - 1) .. hole .. self.source:sub(to + 1)
end

return M
