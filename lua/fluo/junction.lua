--- Lua's own `and`, `or` and `not` between conditions drop a side without a word, so they are looked for in
-- the text: in what `when`, `always` and `never` of a rule hold, functions aside.
local M = {}

local HINTS = {
  ["and"] = "write `:and_(…)` or `*`; for one span, both in one pattern table or all_of { … }",
  ["or"] = "write `:or_(…)` or `+`; for one span, any_of { … }",
  ["not"] = "write `:not_()` or a minus before it; for one span, not_ { … }",
}
local MESSAGES = {
  ["and"] = "Lua's own `%s` in `%s` drops a side without a word",
  ["not"] = "Lua's own `%s` in `%s` makes `false` of a condition",
}
local JUDGED = { when = true, always = true, never = true }

-- The first of the words between two tokens, functions skipped.
local function first_word(lex, from, to)
  local i = from
  while i <= to do
    local text = lex:kind(i) == "keyword" and lex:text(i)
    if text == "function" then
      i = lex:function_end(i) or to
    elseif HINTS[text] then
      return text
    end
    i = i + 1
  end
  return nil
end

--- Notes each rule of a unit that has one (a rule, its first word), and marks the rule's range.
function M.find(unit, notes)
  local lex = unit:lex()
  for _, range in ipairs(unit.ranges) do
    for _, entry in ipairs(range.open and lex:entries(range.open) or {}) do
      local word = JUDGED[entry.key] and first_word(lex, entry.from, entry.to)
      if word then
        local line, column = unit:place(word, range)
        range.junction = true
        notes[#notes + 1] = { unit = unit, line = line, column = column, hint = HINTS[word],
          message = (MESSAGES[word] or MESSAGES["and"]):format(word, entry.key) }
      end
    end
  end
end

return M
