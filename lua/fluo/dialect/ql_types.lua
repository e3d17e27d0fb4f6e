--- What expressions of TraceQL stand for, and which may be combined: what is refused here Tempo's validator refuses
-- too. Types: "int" "float" "duration" (numbers), "string" "bool" "status" "kind", and "any", an attribute's, which is
-- known only when it is there.
local wrong = require("fluo.dialect.ql_lexer").wrong

jit.off(true, true)                                       -- see ql_parser.lua

local M = {}

local NUMBER = { int = true, float = true, duration = true }
local NAMES = { int = "a number", float = "a number", duration = "a duration", string = "text", bool = "a truth",
                status = "a status", kind = "a kind", any = "an attribute" }
local ORDER = { GT = true, GE = true, LT = true, LE = true }
local EQUALITY = { EQ = true, NE = true }
local BOOLEAN = { ["and"] = true, ["or"] = true, compare = true, exists = true, missing = true }

--- The type of a node of the parser (ql_parser.lua).
function M.of(node)
  if node.op == "literal" or node.op == "field" then return node.type end
  if BOOLEAN[node.op] then return "bool" end
  if node.op == "arithmetic" then
    local left = M.of(node.a)
    return left ~= "any" and left or M.of(node.b)
  end
  return M.of(node.a)                                     -- not, neg
end

function M.is_number(t) return NUMBER[t] == true end

--- Whether a field occurs in it.
function M.has_field(node)
  if node.op == "field" then return true end
  for _, part in ipairs(node.parts or { node.a, node.b }) do
    if M.has_field(part) then return true end
  end
  return false
end

local function takes(t, node)
  if t == "any" then return true end
  if node.op == "arithmetic" then return NUMBER[t] == true end
  if t == "bool" or t == "status" or t == "kind" then return EQUALITY[node.how] == true end
  if NUMBER[t] then return EQUALITY[node.how] or ORDER[node.how] or false end
  return true                                             -- text
end

--- Both sides of a comparison or of arithmetic.
function M.check_two(node, token)
  local left, right = M.of(node.a), M.of(node.b)
  local alike = left == "any" or right == "any" or left == right or NUMBER[left] and NUMBER[right]
  if not alike then
    wrong(("`%s` has %s on its left and %s on its right"):format(token.text, NAMES[left], NAMES[right]),
      "both sides are of one type", token.text)
  elseif not takes(left, node) or not takes(right, node) then
    wrong(("`%s` does not take %s"):format(token.text, NAMES[takes(left, node) and right or left]), nil, token.text)
  end
end

--- The operand of `!` or of a minus.
function M.check_one(node, token)
  local t = M.of(node.a)
  if t ~= "any" and not (node.op == "neg" and NUMBER[t] or node.op == "not" and t == "bool") then
    wrong(("`%s` does not take %s"):format(token.text, NAMES[t]), nil, token.text)
  end
end

--- What stands where only true or false can.
function M.check_truth(node, what, word)
  local t = M.of(node)
  if t ~= "any" and t ~= "bool" then wrong(("%s, not %s"):format(what, NAMES[t]), "compare it", word) end
end

--- What an aggregate adds up.
function M.check_sample(node, word)
  local t = M.of(node)
  if t ~= "any" and not NUMBER[t] then wrong(("`%s` takes a number, not %s"):format(word, NAMES[t]), nil, word) end
  if not M.has_field(node) then wrong(("`%s` needs something of a span"):format(word), nil, word) end
end

return M
