--- What Lua's own parser says, for people: the place of the very token that did not fit, and what was probably meant.
local M = {}

-- The token at which Lua gave up: of those that read so in the line, the first that ends a text which cannot be
-- continued. Nil where it is no token, as an unfinished text.
local function failing_token(unit, line, near)
  local lex = unit:lex()
  local i = lex:token_of_line(line)
  while i <= lex.n and lex:place(lex.from[i]) == line do
    if lex:text(i) == near then
      local _, why = loadstring(unit.source:sub(1, lex.to[i]), "=prefix")
      if why and not why:find("near '<eof>'$") then return i end
    end
    i = i + 1
  end
  return nil
end

-- The last bracket before a token that nothing closes.
local function open_bracket(lex, last)
  local open = {}
  for i = 1, last do
    local text = lex:kind(i) == "operator" and lex:text(i)
    if text == "{" or text == "(" or text == "[" then open[#open + 1] = i end
    if text == "}" or text == ")" or text == "]" then open[#open] = nil end
  end
  local found = open[#open]
  return found and ("the `%s` in line %d is not closed"):format(lex:text(found), (lex:place(lex.from[found])))
end

local OPENS = { ["function"] = true, ["if"] = true, ["do"] = true, ["repeat"] = true }

-- Whether a function, an `if` or a loop is open before a token.
local function in_block(lex, last)
  local depth = 0
  for i = 1, last - 1 do
    local text = lex:kind(i) == "keyword" and lex:text(i)
    if OPENS[text] then depth = depth + 1 end
    if text == "end" or text == "until" then depth = depth - 1 end
  end
  return depth > 0
end

-- The name with dots that ends before a token, or nil.
local function dotted(lex, i)
  local first = i - 1
  while lex:kind(first) == "name" and lex:text(first - 1) == "." do first = first - 2 end
  if first == i - 1 or lex:kind(first) ~= "name" then return nil end
  return lex.source:sub(lex.from[first], lex.to[i - 1])
end

-- ---- what was meant -----------------------------------------------------------------------------

local JOINED = "conditions are joined by `*` and `+`, one span's entries by commas; in functions Lua writes `and`, `or`"

-- By the token that did not fit, and those before it.
local function hint_at(lex, i, message)
  local near = lex:text(i)
  if near == "!" then return "unequal is ne(…) in a pattern, in functions Lua writes `~=` and `not`" end
  if near == "&" or near == "|" then return JOINED end
  if near == "for" then return "`for` is a word of Lua: the key is pending_for" end
  if near == "=" and dotted(lex, i) then return ("a name with dots is quoted: [%q] = …"):format(dotted(lex, i)) end
  if near == "=" and lex:text(i - 2) == "rule" then return "write rule \"name\" { … }, without `=`" end
  if lex:text(i - 1) == ":" and lex:kind(i - 2) == "name" and message:find("^'<name>' expected") then
    return ("a key and its value are joined by `=`: %s = …"):format(lex:text(i - 2))
  end
  if message:find("^unexpected symbol") and in_block(lex, i) then return "is an `end` missing before it?" end
  if message:find("^'[)%]]' expected") then return open_bracket(lex, i - 1) end
  return nil
end

local HINTS = {
  { "^function or expression too complex", "a condition nests at most 200 deep, and Lua reads less in one expression: "
    .. "name its parts by `local`" },
  { "^unfinished string", "a text ends in its line: is a quote missing?" },
  { "^malformed number", "a number has no unit: a duration with one is text, as in \"5s\"" },
  { "^'}' expected", "is a comma or a closing brace missing before it?" },
  { "^'=' expected", "nothing but statements stands outside of rules: rule \"name\" { … }" },
  { "^unexpected symbol", "nothing but statements stands outside of rules: rule \"name\" { … }" },
  { "^'<eof>' expected", "nothing but statements stands outside of rules: rule \"name\" { … }" },
}

local function hint_of(unit, message, i, near)
  local lex = unit:lex()
  if near == "<eof>" and not message:find("^'=' expected") then
    return open_bracket(lex, lex.n) or "something before it is not finished: an `end` may lack"
  end
  local hint = i and hint_at(lex, i, message)
  if hint then return hint end
  if message:find("syntax levels") then return HINTS[1][2] end
  for _, entry in ipairs(HINTS) do
    if message:find(entry[1]) then return entry[2] end
  end
  return nil
end

--- Lua's message on a unit as a note (context.lua).
function M.note(unit, text)
  local line, message = text:match(":(%d+): (.*)$")
  message, line = message or text, tonumber(line) or 1
  local near = message:match(" near '(.-)'$")
  local lex = unit:lex()
  local begins_nothing = near == "<eof>" and message:find("^'=' expected")
  local i = begins_nothing and lex.n or near and near ~= "<eof>" and failing_token(unit, line, near)
  local column
  if i then line, column = lex:place(lex.from[i])
  else line, column = unit:place(near ~= "<eof>" and near or nil, nil, line) end
  return { unit = unit, line = line, column = column, message = message, syntax = true,
           hint = hint_of(unit, message, i, near) }
end

-- ---- of code that did run -----------------------------------------------------------------------

local COMPARISONS = { [">"] = true, ["<"] = true, [">="] = true, ["<="] = true }

local function find_token(unit, line, is_it)
  local lex = unit:lex()
  local i = lex:token_of_line(line)
  while i <= lex.n and lex:place(lex.from[i]) == line do
    if is_it(lex, i) then return lex:text(i) end
    i = i + 1
  end
  return nil
end

--- The operator of a line whose comparison failed, or nil.
function M.comparison(unit, line, message)
  if not line or not message:find("^attempt to compare") then return nil end
  return find_token(unit, line, function(lex, i) return COMPARISONS[lex:text(i)] end)
end

--- Whether a name in a line is compared with `==`, as if it were a key.
function M.is_compared(unit, name, line)
  return find_token(unit, line, function(lex, i) return lex:text(i) == name and lex:text(i + 1) == "==" end) ~= nil
end

return M
