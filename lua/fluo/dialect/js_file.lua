--- `.js` files: chains of conditions over one trace, `trace.has(span => …).and(…).within('5 seconds')`. Parsed, and
-- never executed. M.next(parser, context) gives the rules as file.lua takes them.
local arrow = require("fluo.dialect.arrow")
local code = require("fluo.dialect.code")
local notes_of = require("fluo.dialect.notes")
local parser_of = require("fluo.dialect.parser")
local suggest = require("fluo.suggest")

local M = { mode = "js" }

local STARTS = { "has", "missing", "where", "count" }
local METHODS = { "and", "or", "not", "within", "missing", "followedBy", "notFollowedBy" }
local COUNTED = { [">"] = "over", [">="] = "at_least", ["<"] = "under", ["<="] = "at_most", ["==="] = "exactly",
                  ["=="] = "exactly" }
local FLIPPED = { [">"] = "<", [">="] = "<=", ["<"] = ">", ["<="] = ">=", ["==="] = "===", ["=="] = "==" }
local LUA = { ["and"] = "and_", ["or"] = "or_", followedBy = "followed_by", notFollowedBy = "not_followed_by" }

local function spot_of(token) return { line = token.line, column = token.column } end

-- ---- arguments ----------------------------------------------------------------------------------

local function closed(parser, open)
  parser:want(")", ("the `(` in line %d is not closed"):format(open.line))
end

local function pattern(parser)
  local open = parser:want("(")
  parser:enter(open)
  local node = arrow.read(parser, "span")
  parser:leave()
  closed(parser, open)
  return node
end

local either

-- Where a condition is taken, an arrow function is one `has`.
local function condition(parser)
  if not arrow.is(parser) then return either(parser) end
  local spot = parser:spot()
  return code.trace("has", spot, arrow.read(parser, "span"))
end

-- The spans that `trace.where` and `trace.count` take; a chain that stands for spans will do.
local function spans(parser)
  local open = parser:want("(")
  parser:enter(open)
  local node = arrow.is(parser) and arrow.read(parser, "span") or either(parser)
  parser:leave()
  closed(parser, open)
  return node
end

local function duration(parser)
  local open, token = parser:want("("), parser:peek()
  if token.kind ~= "text" and token.kind ~= "number" then
    parser:expected("a duration", "as in within('5 seconds')")
  end
  parser:next()
  closed(parser, open)
  return token.value, token
end

-- ---- chains -------------------------------------------------------------------------------------

local METHOD = {}

local function joining(name)
  return function(parser, node, word)
    local open = parser:want("(")
    parser:enter(open)
    local right = condition(parser)
    parser:leave()
    closed(parser, open)
    return code.method(node, LUA[name], spot_of(word), right)
  end
end
for name in pairs(LUA) do METHOD[name] = joining(name) end

function METHOD.missing(parser, node, word)
  return code.method(node, "and_", spot_of(word), code.trace("missing", spot_of(word), pattern(parser)))
end

METHOD["not"] = function(parser, node, word)
  closed(parser, parser:want("("))
  return code.method(node, "not_", spot_of(word))
end

function METHOD.within(parser, node)
  local value, token = duration(parser)
  return code.method(node, "within", spot_of(token), value)
end

local function counted(parser, node)
  local op = parser:peek()
  local method = op.kind == "op" and COUNTED[op.text]
  if not method then
    parser:expected("a comparison", "as in trace.count(span => span.name === 'db.query') > 50")
  end
  parser:next()
  local n, token = parser:count(method)
  return code.method(node, method, spot_of(token), n)
end

-- What begins with `trace.`: the node, and whether it is a condition already (a count is not).
local function start(parser)
  parser:want("trace", suggest.hint(parser:peek().text, { "trace" }) or "a rule is a chain: trace.has(span => …)")
  parser:want(".")
  local word = parser:want_kind("word", "one of has, missing, where, count")
  parser:term(word)
  local spot = spot_of(word)
  if word.text == "has" or word.text == "missing" then return code.trace(word.text, spot, pattern(parser)), true end
  if word.text == "count" then return code.trace("count", spot, spans(parser)), false end
  if word.text ~= "where" then
    parser:fail(word, ("`trace` has no `%s`"):format(word.text), suggest.expected(word.text, STARTS))
  end
  local where = code.trace("where", spot, spans(parser))
  parser:want(".", "say what it has: trace.where(…).has(…)")
  local has = parser:want("has", "say what it has: trace.where(…).has(…)")
  return code.method(where, "has", spot_of(has), pattern(parser)), true
end

-- The methods behind a node; whole: it is a condition, and no count.
local function methods(parser, node, whole)
  while parser:take(".") do
    local word = parser:want_kind("word", "a method")
    if not METHOD[word.text] then
      parser:fail(word, ("a condition has no `%s`"):format(word.text), suggest.expected(word.text, METHODS))
    end
    if not whole and word.text ~= "within" then
      parser:fail(word, "a count is a number, not a condition", "compare it first, as in trace.count(…) > 50")
    end
    parser:term(word)
    node = METHOD[word.text](parser, node, word)
  end
  return node
end

local function chain(parser)
  local node, whole = start(parser)
  node = methods(parser, node, whole)
  return whole and node or counted(parser, node)
end

-- ---- and, or, not -------------------------------------------------------------------------------

local grammar = { ["or"] = { ["||"] = true }, ["and"] = { ["&&"] = true }, join = parser_of.join_conditions }

function either(parser) return parser:either(grammar) end

local function flipped_count(parser)
  local n, token = parser:count()
  local op = parser:peek()
  local method = op.kind == "op" and COUNTED[FLIPPED[op.text]]
  if not method then parser:expected("a comparison", "as in trace.count(…) > 50") end
  parser:next()
  local node, whole = start(parser)
  if whole then parser:fail(token, "a condition is not compared with a number", "trace.count(…) is") end
  return code.method(node, method, spot_of(token), n)
end

function grammar.unary(parser)
  local token = parser:peek()
  if parser:is("(") then return methods(parser, parser:parentheses(either), true) end
  if token.kind == "number" then return flipped_count(parser) end
  if not parser:take("!") then return chain(parser) end
  parser:enter(token)
  local node = code.method(grammar.unary(parser), "not_", spot_of(token))
  parser:leave()
  return node
end

-- ---- what Lua's own words are here ----------------------------------------------------------------

local SAID = { { "trace%.count%(…%):over%(n%)", "trace.count(…) > n" }, { "followed_by", "followedBy" },
               { "([`(%w)]):(%l)", "%1.%2" }, { "and_", "and" }, { "or_", "or" }, { "not_", "not" },
               { "%(a %* b%)", "a.and(b)" } }

-- An error of a condition in the words of JavaScript.
local function say(text)
  for _, pair in ipairs(SAID) do text = text:gsub(pair[1], pair[2]) end
  return text
end

-- ---- rules --------------------------------------------------------------------------------------

-- What a rule may begin with; a line that begins so goes on no chain before it.
local function begins(token)
  if token.kind == "op" then return token.text == "!" or token.text == "(" end
  return token.kind == "number" or token.text == "trace"
end

local function read(parser, before, context)
  local first = parser:peek()
  local rule = { line = first.line, column = first.column, actions = {}, say = say }
  local notes = notes_of.of(context, parser:comments_above(before, first))
  rule.name = notes.name
  if not rule.name then rule.name = table.remove(notes.lines, 1) end
  notes_of.put(rule, notes)
  parser.terms = 0
  rule.when = either(parser)
  local last = not parser:take(";") and parser:peek()
  if last and last.kind ~= "end" and not begins(last) then
    parser:expected("a method, `;` or another chain", "one chain is one rule")
  end
  rule.last = parser.at - 1
  return rule
end

-- Past an error: on to the next chain that begins a line.
local function recover(parser)
  parser.depth = 0
  parser.at = parser.source:match("\n()trace%s*%.", math.max(parser.at - 1, 1)) or #parser.source + 1
end

--- The next rule, false after an error that context.report_at was told of, or nil at the end.
function M.next(parser, context, before)
  while parser:take(";") do parser.terms = 0 end
  if parser:peek().kind == "end" then return nil end
  local from = parser.at
  local ok, rule = pcall(read, parser, before, context)
  if ok then return rule end
  if type(rule) ~= "table" or not rule.message then error(rule, 0) end
  context.report_at(rule, rule.message, rule.hint)
  parser.at = math.max(parser.at, from + 1)
  recover(parser)
  return false
end

return M
