--- `span => …` of the JavaScript chain: a boolean expression over one span, or over one of its events. Parsed, and
-- never executed.
local code = require("fluo.dialect.code")
local parser_of = require("fluo.dialect.parser")
local span = require("fluo.dialect.span")
local suggest = require("fluo.suggest")

local M = {}

local FIELDS = { name = "name", status = "status", kind = "kind", duration = "duration", durationMs = "duration",
                 serviceName = "service", traceId = "trace_id", spanId = "span_id", parentSpanId = "parent_id" }
local MEMBERS = { span = { "name", "status", "kind", "duration", "durationMs", "serviceName", "traceId", "spanId",
                           "parentSpanId", "attributes", "events" },
                  event = { "name", "attributes" } }
local TESTS = { startsWith = "prefix", endsWith = "suffix", includes = "contains" }
local FOLDS = { toLowerCase = "lower", toUpperCase = "upper" }
local METHODS = { "startsWith", "endsWith", "includes", "toLowerCase", "toUpperCase" }
local COMPARES = { ["==="] = true, ["!=="] = true, ["=="] = true, ["!="] = true, ["<"] = true, ["<="] = true,
                   [">"] = true, [">="] = true }
local UNDEFINED = {}
local WORDS = { ["true"] = true, ["false"] = false, undefined = UNDEFINED, null = UNDEFINED }
local exists, missing = code.name("exists"), code.name("missing")

local function negated(node) return code.call("not_", node) end

-- ---- what is compared ---------------------------------------------------------------------------

local function dot(parser) return parser:take(".") or parser:take("?.") end

local function member(parser, what)
  return parser:want_kind("word", what, "as in span.name")
end

local function attribute(parser, object)
  if parser:take("?.") and not parser:is("[") then return span.attribute(member(parser, "the attribute's key").text) end
  if parser:take("[") then
    local key = parser:want_kind("text", "the attribute's key in quotes", ("%s.attributes['key']"):format(object)).value
    parser:want("]")
    return span.attribute(key)
  end
  parser:want(".", ("write %s.attributes['key']"):format(object))
  return span.attribute(member(parser, "the attribute's key").text)
end

-- One event satisfies all of the arrow's body.
local function some(parser)
  local open = parser:want("(")
  parser:enter(open)
  local body = M.read(parser, "event")
  parser:want(")", ("the `(` in line %d is not closed"):format(open.line))
  parser:leave()
  return code.table { { "event", body } }
end

local function events(parser)
  if not dot(parser) then parser:expected("`.length` or `.some(…)`", "as in span.events.length > 3") end
  local word = member(parser, "`length` or `some`")
  if word.text == "some" then return nil, some(parser) end
  if word.text ~= "length" then
    parser:fail(word, ("`events` has no `%s`"):format(word.text), suggest.expected(word.text, { "length", "some" }))
  end
  return { shown = "events.length", length = true }
end

-- A subject, or nil and the pattern that events.some(…) is.
local function subject_of(parser, object, kind)
  if not dot(parser) then parser:expected("`.`", ("as in %s.name"):format(object)) end
  local word = member(parser, "a field")
  if word.text == "attributes" then return attribute(parser, object) end
  if kind == "span" and word.text == "events" then return events(parser) end
  if FIELDS[word.text] and (kind == "span" or word.text == "name") then
    return span.of_field(FIELDS[word.text], ("%s.%s"):format(object, word.text))
  end
  local message = ("%s `%s` has no `%s`"):format(kind == "span" and "a span" or "an event", object, word.text)
  local hint = suggest.expected(word.text, MEMBERS[kind])
  if not COMPARES[parser:peek().text] then parser:fail(word, message, hint) end
  parser.world.context.report_at(word, message, hint)    -- another stands in, so that what follows is looked at too
  return span.attribute(word.text)
end

-- ---- texts --------------------------------------------------------------------------------------

local SHAPE = { prefix = "%s.*", suffix = ".*%s", contains = ".*%s.*", eq = "%s" }

-- A text with its letters' case folded: an expression that does not mind case, for a value that is of that case.
local function folded(parser, fold, how, token)
  local text = token.value
  if text[fold](text) ~= text then
    parser:fail(token, ("this never holds: `%s` is not all %s case"):format(text, fold))
  end
  return code.call("matches", "(?is)" .. SHAPE[how]:format((span.escape(text):gsub("%%", "%%%%"))))
end

-- `.startsWith('x')` and the like behind a subject. Gives the fold that is in force, or the pattern of a test.
local function methods(parser, subject)
  local fold
  while parser:is(".") or parser:is("?.") do
    dot(parser)
    local word = member(parser, "a method")
    local known = TESTS[word.text] or FOLDS[word.text]
    if not known or subject.length then
      local deeper = subject.key and not known and ("an attribute's key with dots is written ['%s.%s']")
        :format(subject.key, word.text)
      parser:fail(word, ("there is no `%s` here"):format(word.text), suggest.hint(word.text, METHODS) or deeper
        or "texts have " .. table.concat(METHODS, ", "))
    end
    parser:want("(")
    local token = TESTS[word.text] and parser:want_kind("text", "text in quotes")
    parser:want(")")
    if token then
      local operand = fold and folded(parser, fold, known, token) or code.call(known, token.value)
      return nil, subject.set(operand), token
    end
    fold = known
  end
  return fold
end

-- ---- comparisons --------------------------------------------------------------------------------

local SIGN = { ["==="] = "==", ["!=="] = "~=", ["=="] = "==", ["!="] = "~=" }

-- The number of events is no field: a function counts them, unless it asks for one or none.
local function compare_length(parser, op, x, token)
  if type(x) ~= "number" then parser:fail(token, "`events.length` is compared with a number") end
  local sign = SIGN[op] or op
  local none = x == 0 and (sign == "==" or sign == "<=") or x == 1 and sign == "<"
  if none then return code.table { { "event", missing } } end
  local any = x == 0 and (sign == ">" or sign == "~=") or x == 1 and sign == ">="
  if any then return code.table { { "event", exists } } end
  if x < 0 or sign == "<" and x == 0 then parser:fail(token, "a number of events is never below 0") end
  return code.table { { "where", code.fn(("function(span) return #span.events %s %s end"):format(sign,
    code.print(x))) } }
end

local function compare_undefined(parser, subject, op, token)
  if op == "===" or op == "==" then return subject.set(missing) end
  if op == "!==" or op == "!=" then return subject.set(exists) end
  parser:fail(token, "nothing is greater or less than `undefined`")
end

-- A text that has been folded is there, and is text: `!==` does not hold of what is missing.
local function compare_folded(parser, subject, fold, op, x, token)
  if type(x) ~= "string" or not SIGN[op] then
    local word = fold == "lower" and "toLowerCase" or "toUpperCase"
    parser:fail(token, ("behind %s() stands === or !== and a text"):format(word))
  end
  local equal = subject.set(folded(parser, fold, "eq", token))
  if SIGN[op] == "==" then return equal end
  return code.call("all_of", code.list { subject.set(code.call("glob", "*")), negated(equal) })
end

local function compare(parser, subject, fold, op, x, token)
  if subject.length then return compare_length(parser, op, x, token) end
  if fold then return compare_folded(parser, subject, fold, op, x, token) end
  if x == UNDEFINED then return compare_undefined(parser, subject, op, token) end
  local strict = op == "===" or op == "!=="
  if strict and subject.text and type(x) ~= "string" then
    parser:fail(token, ("`%s` is text: it is never %s %s"):format(subject.shown, op, tostring(x)), "quote the value")
  end
  if op == "===" then return span.strict(subject, x) end
  if op == "!==" then return negated(span.strict(subject, x)) end
  return span.compare(subject, span.OPERAND[op], x)
end

-- ---- the expression -----------------------------------------------------------------------------

local function literal(parser)
  local token = parser:peek()
  if token.kind == "text" or token.kind == "number" then return parser:next().value, token end
  if token.kind == "word" and WORDS[token.text] ~= nil then
    parser:next()
    return WORDS[token.text], token
  end
  return nil
end

local function operator(parser)
  local token = parser:peek()
  return token.kind == "op" and COMPARES[token.text] and parser:next().text or nil
end

local function subject_at(parser, object, kind)
  local token = parser:peek()
  if token.kind ~= "word" or token.text ~= object then
    parser:expected("a comparison of `" .. object .. "`", ("as in %s.name === 'a'"):format(object))
  end
  parser:next()
  return subject_of(parser, object, kind)
end

local function flipped(parser, object, kind, x, token)
  local op = operator(parser)
  if not op and x == true then return code.table {} end
  if not op then parser:fail(token, "a value alone is no condition", ("as in %s.name === 'a'"):format(object)) end
  local subject = subject_at(parser, object, kind)
  if not subject then parser:fail(token, "`some` is true or false already") end
  local fold, test = methods(parser, subject)
  if test then parser:fail(token, "this is true or false already: nothing compares with it") end
  return compare(parser, subject, fold, span.FLIPPED[op] or op, x, token)
end

local function value(parser)
  local x, token = literal(parser)
  if x ~= nil then return x, token end
  parser:expected("a value", "text in quotes, a number, true, false or undefined")
end

-- The pattern, the token that its errors stand at, and whether it compares.
local function comparison(parser, object, kind)
  local first = parser:peek()
  parser:term(first)
  local x = literal(parser)
  if x ~= nil then return flipped(parser, object, kind, x, first), first, true end
  local subject, node = subject_at(parser, object, kind)
  if node then return node, first end
  local fold, test, at = methods(parser, subject)
  if test then return test, at end
  local op = operator(parser)
  if not op then
    if parser:is("=") then parser:expected("a comparison", "equality is written ===") end
    parser:fail(first, ("%s alone is no condition"):format(subject.key and "an attribute" or "a field"),
      ("write %s %s"):format(parser.source:sub(first.from, parser.at - 1), subject.length and "> 0" or "=== true"))
  end
  local operand, token = value(parser)
  return compare(parser, subject, fold, op, operand, token), token, true
end

local function grammar_of(object, kind)
  local grammar = { ["or"] = { ["||"] = true }, ["and"] = { ["&&"] = true }, join = parser_of.join_patterns }
  local function either(parser) return parser:either(grammar) end

  -- negation: the `!` right before it.
  function grammar.unary(parser, negation)
    local token = parser:peek()
    if parser:is("(") then return parser:parentheses(either) end
    if parser:take("!") then
      parser:enter(token)
      local node = negated(grammar.unary(parser, token))
      parser:leave()
      return node
    end
    local node, at, compared = comparison(parser, object, kind)
    if negation and compared then
      parser:fail(negation, "`!` binds tighter than a comparison", ("write !(%s.name === 'a')"):format(object))
    end
    if kind == "span" then span.check(parser.world, node, at) end
    return node
  end
  return grammar
end

-- ---- the arrow ----------------------------------------------------------------------------------

local function parameter(parser)
  local open = parser:take("(")
  local word = parser:want_kind("word", "an arrow function", "as in span => span.name === 'a'")
  if open then parser:want(")", "an arrow function of one parameter") end
  parser:want("=>", "as in span => span.name === 'a'")
  return word.text
end

--- Whether an arrow function stands next.
function M.is(parser)
  local first = parser:peek()
  if first.kind == "word" then return parser:peek_second().text == "=>" end
  if first.text ~= "(" or first.kind ~= "op" then return false end
  return parser.source:find("^%(%s*[%w_$\128-\255]+%s*%)%s*=>", first.from) ~= nil
end

--- `name => expression`, or `name => { return expression; }`, over a "span" or an "event": its pattern.
function M.read(parser, kind)
  local from = parser:peek().from
  local object = parameter(parser)
  local brace = parser:take("{")
  if brace then parser:want("return", "an arrow function in braces returns its condition") end
  local node = parser:either(grammar_of(object, kind))
  if brace then
    parser:take(";")
    parser:want("}", ("the `{` in line %d is not closed"):format(brace.line))
  end
  if type(node) == "table" and not node.source then
    node.source = parser.source:sub(from, parser.at - 1):gsub("%s+", " ")
  end
  return node
end

return M
