--- `rule "name" when … then …`: a boolean expression over one span.
local code = require("fluo.dialect.code")
local parser_of = require("fluo.dialect.parser")
local span = require("fluo.dialect.span")

local M = {}

local EXAMPLE = "as in span.attributes[\"http.status_code\"] == 500"
local LITERALS = { ["true"] = true, ["false"] = false }
local WORDS = { ["and"] = true, ["or"] = true, ["not"] = true, ["then"] = true, ["when"] = true, ["end"] = true }

-- ---- one comparison -----------------------------------------------------------------------------

local function literal(parser)
  local token = parser:peek()
  if token.kind == "text" or token.kind == "number" then return parser:next().value, token end
  if token.kind == "word" and LITERALS[token.text] ~= nil then
    parser:next()
    return LITERALS[token.text], token
  end
  return nil
end

local function value(parser)
  local x, token = literal(parser)
  if x ~= nil then return x, token end
  local is_field = parser:peek().kind == "word" and span.subject(parser:peek().text)
  local word = parser:peek().kind == "word" and not WORDS[parser:peek().text] and parser:peek().text
  parser:expected("a value", is_field and "a field is compared with a value, not with another field"
    or word and ("quote it: \"%s\""):format(word) or "text in quotes, a number, true or false")
end

local function field(parser)
  local token = parser:peek()
  if token.kind ~= "word" or WORDS[token.text] then parser:expected("a comparison", EXAMPLE) end
  parser:next()
  local key
  if parser:is("[") then
    parser:next()
    key = parser:want_kind("text", "the attribute's key in quotes", "span.attributes[\"key\"]").value
    parser:want("]")
  end
  local subject, message, hint = span.subject(token.text, key)
  if not subject then                                     -- another stands in, so that what follows is looked at too
    parser.world.context.report_at(token, message, hint)
    subject = span.attribute(token.text)
  end
  return subject, token
end

local function operator(parser)
  local token = parser:peek()
  if token.kind == "op" and span.OPERAND[token.text] then return parser:next().text end
  return nil
end

local function refuse_lone(parser, token)
  local text = parser.source:sub(token.from, parser.at - 1)
  if parser:is("=") then parser:expected("a comparison", "equality is written ==") end
  if parser:peek().kind == "wrong" then parser:next() end
  if parser:peek().kind == "op" and not parser:is(")") and not parser:is("&&") and not parser:is("||") then
    parser:expected("a comparison", "one of == != < <= > >=")
  end
  parser:fail(token, "an attribute alone is no condition", ("write %s == true"):format(text))
end

local function comparison(parser)
  local first = parser:peek()
  parser:term(first)
  local x = literal(parser)
  local subject, token, op
  if x ~= nil then
    op = operator(parser) or parser:expected("a comparison", EXAMPLE)
    op, subject, token = span.FLIPPED[op] or op, field(parser), first
  else
    subject = field(parser)
    op = operator(parser) or refuse_lone(parser, first)
    x, token = value(parser)
  end
  local node = span.compare(subject, span.OPERAND[op], x)
  span.check(parser.world, node, token)
  return node
end

-- ---- the expression -----------------------------------------------------------------------------

local grammar = { ["or"] = { ["||"] = true, ["or"] = true }, ["and"] = { ["&&"] = true, ["and"] = true },
                  join = parser_of.join_patterns }

local function either(parser) return parser:either(grammar) end

function grammar.unary(parser)
  local token = parser:peek()
  if parser:is("(") then return parser:parentheses(either) end
  if parser:is("not") or parser:is("!") then
    parser:next()
    parser:enter(token)
    if token.text == "!" and not parser:is("(") then
      parser:expected("`(`", "`!` needs parentheses: !(span.name == \"a\")")
    end
    local node = code.call("not_", grammar.unary(parser))
    parser:leave()
    return node
  end
  return comparison(parser)
end

-- ---- then ---------------------------------------------------------------------------------------

local function actions(parser, rule)
  while parser:is("log") or parser:is("alert") do
    local word = parser:next()
    parser:want("(")
    local text = parser:want_kind("text", "text in quotes", ("write %s(\"…\")"):format(word.text))
    parser:want(")", "the `(` is not closed")
    parser:take(";")
    rule.actions[#rule.actions + 1] = word.text == "log" and code.call("log", text.value) or text.value
  end
end

--- Reads what stands behind `rule "name"` into the rule (file.lua).
function M.read(parser, rule)
  parser:want("when")
  rule.when = either(parser)
  parser:want("then", "write: rule \"name\" when … then …")
  actions(parser, rule)
  rule.ended = parser:take("end") ~= nil
  local next_one = parser:peek()
  if next_one.kind ~= "end" and next_one.text ~= "rule" then
    parser:expected("log(\"…\"), alert(\"…\") or `end`", "behind `then` stands what happens, and comments")
  end
end

return M
