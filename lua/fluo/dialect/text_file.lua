--- The readers of `.rule` and `.js` files: each a function that gives the next rule (see file.lua).
local parser_of = require("fluo.dialect.parser")

local GRAMMARS = { rule = "fluo.dialect.rule_file", js = "fluo.dialect.js_file" }

return function(kind)
  local grammar = require(GRAMMARS[kind])
  return function(text, context, world)
    local parser, before = parser_of.new(text, grammar.mode, world), nil
    return function()
      local rule = grammar.next(parser, context, before)
      before = rule or before
      return rule
    end
  end
end
