--- Keys that stand twice in one table constructor: Lua keeps the last value and says nothing.
local OPENS = { ["("] = true, ["["] = true, ["function"] = true, ["if"] = true, ["do"] = true, ["repeat"] = true }
local CLOSES = { [")"] = true, ["]"] = true, ["}"] = true, ["end"] = true, ["until"] = true }

-- The key of an entry that begins with token i; nil where it is computed, a number, or there is none.
local function key_at(lex, i)
  if lex:kind(i) == "name" and lex:text(i + 1) == "=" then return lex:text(i) end
  local bracketed = lex:text(i) == "[" and lex:kind(i + 1) == "string" and lex:text(i + 2) == "]"
  return bracketed and lex:text(i + 3) == "=" and lex:value(i + 1) or nil
end

--- Calls each(line, column, key) for every key of a scanned source (lexer.lua) that its table has already.
return function(lex, each)
  local open, depth = {}, 0                    -- of each bracket and block: the keys so far, false where it is no table
  for i = 1, lex.n do
    local keys = open[depth]
    local key = keys and key_at(lex, i)
    if key and keys[key] then
      local line, column = lex:place(lex.from[i])
      each(line, column, key)
    end
    if key then keys[key] = true end
    local text = lex:text(i)
    if text == "{" or OPENS[text] then
      depth = depth + 1
      open[depth] = text == "{" and {}
    elseif CLOSES[text] then
      depth = math.max(depth - 1, 0)
    end
  end
end
