--- `when { … } always { … } never { … }`: conditions over one trace, with bare words for names and values.
local code = require("fluo.dialect.code")
local parser_of = require("fluo.dialect.parser")
local scan = require("fluo.dialect.scan")
local span = require("fluo.dialect.span")
local suggest = require("fluo.suggest")

local M = {}

local KEYWORDS = { ["and"] = true, ["or"] = true, ["not"] = true, when = true, always = true, never = true,
                   ["in"] = true, matches = true, contains = true }
local FORM = "as in trace.has(payment.charge).where(amount > 1000)"
local COUNTED = { [">"] = "over", [">="] = "at_least", ["<"] = "under", ["<="] = "at_most", ["=="] = "exactly" }
local BEGINS = { "when", "always", "never", "rule" }
local CALLS = { "trace.has", "trace.missing", "trace.count" }

-- ---- names and values ---------------------------------------------------------------------------

local function name(parser, what)
  local token = parser:peek()
  if token.kind == "text" then return parser:next().value, token end
  if token.kind ~= "word" then parser:expected(what, FORM) end
  if KEYWORDS[token.text] then
    parser:fail(token, ("expected %s, not the word `%s`"):format(what, token.text), ("quote it: \"%s\"")
      :format(token.text))
  end
  return parser:next().text, token
end

-- A bare word is a number or a boolean where it reads as one.
local function value(parser)
  local token = parser:peek()
  local text = name(parser, "a value")
  if token.kind == "text" then return text, token end
  if text == "true" or text == "false" then return text == "true", token end
  local decimal = text:find("^[+-]?%d+%.?%d*$") or text:find("^[+-]?%d*%.%d+$")
    or text:find("^[+-]?%d+%.?%d*[eE][+-]?%d+$")
  return decimal and scan.number(text:gsub("^%+", "") .. "") or text, token
end

local CLOSING = { ["["] = "]", ["("] = ")", ["{"] = "}" }

local function list(parser)
  local open = parser:peek()
  local close = CLOSING[open.text]
  if open.kind ~= "op" or not close then parser:expected("a list", "as in where(region in [eu, us])") end
  parser:next()
  local nodes = code.list {}
  repeat
    parser:term(parser:peek())
    nodes[#nodes + 1] = value(parser)
  until not parser:take(",")
  parser:want(close, ("the `%s` in line %d is not closed"):format(open.text, open.line))
  return nodes, open
end

-- ---- trace.has(…).where(…) ----------------------------------------------------------------------

-- What is compared in `where` is always an attribute.
local function attribute(parser)
  local text, token = name(parser, "an attribute")
  if token.kind == "word" and text == "span.attributes" and parser:take("[") then
    text = parser:want_kind("text", "the attribute's key in quotes").value
    parser:want("]")
  elseif token.kind == "word" then
    text = text:match("^span%.attributes%.(.+)$") or text
  end
  return span.attribute(text)
end

local function comparison(parser)
  parser:term(parser:peek())
  local subject = attribute(parser)
  local op = parser:peek()
  local how = op.kind == "op" and span.OPERAND[op.text]
  local node, token
  if how then
    parser:next()
    local x
    x, token = value(parser)
    node = span.compare(subject, how, x)
  elseif parser:take("in") then
    local nodes
    nodes, token = list(parser)
    node = span.compare(subject, "one_of", nodes)
  elseif parser:is("matches") or parser:is("contains") then
    parser:next()
    token = parser:peek()
    node = span.compare(subject, op.text, (name(parser, "text")))
  else
    parser:expected("a comparison", "one of == != < <= > >= in matches contains")
  end
  span.check(parser.world, node, token)
  return node
end

local function pattern(parser)
  local open, patterns = parser:want("("), {}
  patterns[1] = code.table { { "name", (name(parser, "the name of a span")) } }
  parser:want(")", ("the `(` in line %d is not closed"):format(open.line))
  while parser:is(".where") do
    parser:next()
    patterns[#patterns + 1] = parser:parentheses(comparison)
  end
  local odd = parser:peek()
  if odd.kind == "word" and odd.text:find("^%.") then
    parser:fail(odd, ("a condition has no `%s`"):format(odd.text), suggest.expected(odd.text, { ".where" }))
  end
  return code.join("all_of", patterns)
end

local function counted(parser, node, spot)
  local op = parser:peek()
  if op.kind == "op" and op.text == "!=" then
    parser:next()
    return code.method(code.method(node, "exactly", spot, (parser:count())), "not_", spot)
  end
  local method = op.kind == "op" and COUNTED[op.text]
  if not method then parser:expected("a comparison", "as in trace.count(db.query) > 50") end
  parser:next()
  return code.method(node, method, spot, (parser:count(method)))
end

local function call(parser)
  local token = parser:peek()
  local what = token.kind == "word" and token.text:match("^trace%.(%w+)$")
  local spot = parser:spot()
  if what == "has" or what == "missing" or what == "count" then
    parser:term(token)
    parser:next()
    local node = code.trace(what, spot, pattern(parser))
    return what == "count" and counted(parser, node, spot) or node
  end
  local near = token.kind == "word" and token.text:find("^trace") and suggest.hint(token.text, CALLS)
  parser:expected("a condition", near or FORM)
end

-- ---- and, or, not -------------------------------------------------------------------------------

local grammar = { ["or"] = { ["or"] = true }, ["and"] = { ["and"] = true }, join = parser_of.join_conditions }

local function either(parser) return parser:either(grammar) end

function grammar.unary(parser)
  local token = parser:peek()
  if parser:is("(") then return parser:parentheses(either) end
  if not parser:is("not") then return call(parser) end
  local spot = parser:spot()
  parser:next()
  parser:enter(token)
  local node = code.method(grammar.unary(parser), "not_", spot)
  parser:leave()
  return node
end

--- Reads blocks into the rule (file.lua), as many as follow.
function M.read(parser, rule)
  parser.mode = "bare"
  while parser:is("when") or parser:is("always") or parser:is("never") do
    local word = parser:next()
    if rule[word.text] then
      parser:fail(word, ("`%s` stands twice"):format(word.text), "join them by `and`, or begin another rule by "
        .. "rule \"name\"")
    end
    local open = parser:want("{", ("write %s { … }"):format(word.text))
    rule[word.text] = either(parser)
    parser:want("}", ("the `{` in line %d is not closed"):format(open.line))
  end
  if not rule.when then parser:expected("`when`", "a rule has one when { … }") end
  parser.mode = "rule"
  local next_one = parser:peek()
  if next_one.kind ~= "end" and next_one.text ~= "rule" then
    parser:expected("when { … }, always { … }, never { … } or another rule", suggest.hint(next_one.text, BEGINS))
  end
  rule.ended = true
end

return M
