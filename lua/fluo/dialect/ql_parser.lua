--- The grammar of TraceQL selectors: a query becomes one node, or a load error.
--
-- Spansets: { op = "filter", x, text }; { op = "and" | "or", a, b }; { op = "relation", form = "is" | "no" | "union",
--   relation, a, b }; { op = "pipe", stages }.
-- Stages: spansets; { op = "where", aggregate, x, how, limit }; { op = "by", x }; { op = "coalesce" };
--   { op = "select" }.
-- Expressions (x): { op = "literal", type, value }; { op = "field", scope, key or intrinsic, type, text };
--   { op = "and" | "or", parts }; { op = "not" | "neg" | "exists" | "missing", a }; { op = "compare", how, a, b };
--   { op = "arithmetic", how, a, b }.
-- `!>` and its like are spansets' operators, so are `>` and `<` outside of braces; in both worlds && and || bind
-- loosest, alike, from left to right.
local lexer = require("fluo.dialect.ql_lexer")
local suggest = require("fluo.suggest")
local names = require("fluo.dialect.ql_names")
local types = require("fluo.dialect.ql_types")
local value = require("fluo.dialect.ql_value")
local wrong = lexer.wrong

-- A query is read once, and compiled code gains nothing. With what LuaJIT of 2022 compiles of this the collector ran
-- into garbage among a trace's constants, at 3 of 100 loads of 30 queries (lj_gc.c, gc_traverse_trace).
jit.off(true, true)

local M = { BYTES_MAX = 65536, DEPTH_MAX = 200, TERMS_MAX = 5000 }

local METRICS = {}
for name in ([[rate count_over_time min_over_time max_over_time avg_over_time sum_over_time quantile_over_time
  histogram_over_time compare topk bottomk]]):gmatch("%S+") do METRICS[name] = true end
local AGGREGATES = { count = true, avg = true, min = true, max = true, sum = true }
local STAGES = { "count", "avg", "min", "max", "sum", "by", "coalesce", "select" }

local Parser = {}
Parser.__index = Parser

-- ---- tokens --------------------------------------------------------------------------------------

function Parser:peek() return self.list[self.at] end

function Parser:is(text)
  local token = self.list[self.at]
  return token.text == text and (token.kind == "op" or token.kind == "word")
end

function Parser:take()
  local token = self.list[self.at]
  if token.kind ~= "end" then self.at = self.at + 1 end
  return token
end

function Parser:took(text)
  if not self:is(text) then return nil end
  return self:take()
end

local function shown(token) return token.kind == "end" and "the end" or "`" .. token.text .. "`" end

-- The word at fault; of the end the last word.
function Parser:word()
  local token = self:peek()
  if token.kind == "end" then token = self.list[self.at - 1] end
  return token and token.text
end

function Parser:unexpected(what, hint)
  wrong(("expected %s, not %s"):format(what, shown(self:peek())), hint, self:word())
end

function Parser:want(text)
  if not self:took(text) then self:unexpected("`" .. text .. "`") end
end

-- Bounds on what nests and on what there is.
function Parser:enter()
  self.depth = self.depth + 1
  if self.depth > M.DEPTH_MAX then wrong(("a query nests at most %d deep"):format(M.DEPTH_MAX), nil, self:word()) end
end

function Parser:leave(result)
  self.depth = self.depth - 1
  return result
end

function Parser:term()
  self.terms = self.terms + 1
  if self.terms > M.TERMS_MAX then wrong(("a query has at most %d terms"):format(M.TERMS_MAX), nil, self:word()) end
end

-- Left to right a chain nests to the left: a node knows how deep it is.
local function height(a, b)
  local most = math.max(a.height or 0, b and b.height or 0)
  if most >= M.DEPTH_MAX then wrong(("a query nests at most %d deep"):format(M.DEPTH_MAX)) end
  return most + 1
end

-- ---- expressions ---------------------------------------------------------------------------------

local POWER = { ["&&"] = 1, ["||"] = 1, ["="] = 2, ["!="] = 2, [">"] = 2, [">="] = 2, ["<"] = 2, ["<="] = 2,
                ["=~"] = 2, ["!~"] = 2, ["+"] = 3, ["-"] = 3, ["*"] = 4, ["/"] = 4, ["%"] = 4, ["^"] = 5 }
local HOW = { ["="] = "EQ", ["!="] = "NE", [">"] = "GT", [">="] = "GE", ["<"] = "LT", ["<="] = "LE",
              ["=~"] = "MATCHES", ["!~"] = "NOT_MATCHES" }

-- Without a field it is a literal. One without a value (a division by zero) stays what it is.
local function folded(node)
  if types.has_field(node) then return node end
  local result, kind = value.constant(node)
  return result ~= nil and { op = "literal", type = kind, value = result } or node
end

local function presence(op, node, token)
  if op == "missing" and node.op == "field" then
    local service = node.scope == "resource" and node.key == "service.name"
    if node.intrinsic or service then
      wrong(("`%s` is never nil"):format(node.text), nil, token.text)
    end
  end
  return { op = op, a = node, height = height(node) }
end

local PRESENCE = { ["="] = "missing", ["!="] = "exists" }

-- `nil = x`, `nil != nil`.
function Parser:from_nil()
  self:take()
  local token = self:take()
  local op = token.kind == "op" and PRESENCE[token.text]
  if not op then wrong("`nil` stands beside `=` or `!=` alone", "as in `.x != nil`", "nil") end
  if self:took("nil") then return { op = "literal", type = "bool", value = false } end
  return presence(op, self:expression(3), token)
end

function Parser:prefix()
  local token = self:peek()
  if self:is("nil") then return self:from_nil() end
  self:take()
  if token.kind == "attribute" then return names.attribute(token) end
  if token.kind == "scope" then return names.scoped(token, self:take()) end
  if token.kind == "word" then return names.bare(token) end
  if token.value ~= nil then return { op = "literal", type = token.kind, value = token.value } end
  if token.text == "(" and token.kind == "op" then
    self:enter()
    local inner = self:expression(1)
    self:want(")")
    return self:leave(inner)
  elseif token.kind == "op" and (token.text == "-" or token.text == "!") then
    self:enter()
    local node = { op = token.text == "-" and "neg" or "not", a = self:leave(self:expression(4)) }
    node.height = height(node.a)
    types.check_one(node, token)
    return folded(node)
  end
  self.at = token.kind == "end" and self.at or self.at - 1
  self:unexpected("a value", "as in `.key`, `duration`, `\"text\"`, `5s`")
end

local function junction(token, a, b)
  for _, side in ipairs({ a, b }) do
    types.check_truth(side, ("`%s` joins what is true or false"):format(token.text), token.text)
  end
  local op = token.text == "&&" and "and" or "or"
  if a.op == op then
    a.parts[#a.parts + 1] = b
    a.height = math.max(a.height, height(b))
    return a
  end
  return { op = op, parts = { a, b }, height = height(a, b) }
end

local function check_regex(node, token)
  if token.text ~= "=~" and token.text ~= "!~" then return end
  local pattern = node.b
  if pattern.op ~= "literal" or pattern.type ~= "string" then
    wrong(("`%s` takes text on its right"):format(token.text), nil, token.text)
  end
  local good, why, offset = value.check_regex(pattern.value)
  if not good then
    wrong(("the regular expression `%s` does not compile: %s (at its byte %d)"):format(pattern.value, why, offset), nil,
      pattern.value)
  end
end

local function joined(token, a, b)
  if POWER[token.text] == 1 then return junction(token, a, b) end
  local node = { op = HOW[token.text] and "compare" or "arithmetic", how = HOW[token.text] or token.text, a = a, b = b,
                 height = height(a, b), text = token.text }
  types.check_two(node, token)
  check_regex(node, token)
  return folded(node)
end

-- Only ^ groups to the right, so only there the right side can nest without parentheses.
function Parser:right_of(token, power)
  if token.text ~= "^" then return self:expression(power + 1) end
  self:enter()
  return self:leave(self:expression(power))
end

--- An expression whose operators bind at least as tight as `power`.
function Parser:expression(power)
  self:term()
  local left = self:prefix()
  while true do
    local token = self:peek()
    local binds = token.kind == "op" and POWER[token.text]
    if not binds or binds < power then break end
    self:take()
    if PRESENCE[token.text] and self:took("nil") then
      left = presence(PRESENCE[token.text], left, token)
    else
      left = joined(token, left, self:right_of(token, binds))
    end
  end
  return left
end

-- ---- spansets ------------------------------------------------------------------------------------

local RELATION = { [">"] = "child", ["<"] = "parent", [">>"] = "descendant", ["<<"] = "ancestor", ["~"] = "sibling" }
local SPANSETS = { ["&&"] = { power = 1, op = "and" }, ["||"] = { power = 1, op = "or" } }
for sign, relation in pairs(RELATION) do
  SPANSETS[sign] = { power = 2, op = "relation", form = "is", relation = relation }
  SPANSETS["!" .. sign] = { power = 2, op = "relation", form = "no", relation = relation }
  SPANSETS["&" .. sign] = { power = 2, op = "relation", form = "union", relation = relation }
end

function Parser:filter()
  local open = self:take()
  local x = { op = "literal", type = "bool", value = true }
  if not self:is("}") then
    x = self:expression(1)
    types.check_truth(x, "a filter is true or false", self.text:sub(open.from, self:peek().from))
  end
  self:want("}")
  local last = self.list[self.at - 1]
  return { op = "filter", x = x, text = self.text:sub(open.from, last.from) }
end

-- In parentheses stand a spanset, or a pipeline, or an aggregate.
function Parser:parentheses()
  self:take()
  local node, kind = self:pipeline()
  self:want(")")
  return node, kind
end

function Parser:operand()
  self:term()
  if self:is("{") then return self:filter(), "spanset" end
  if self:is("(") then return self:parentheses() end
  self:unexpected("a filter", "as in `{ status = error }`")
end

local function check_alike(token, kind, other)
  if kind == other and kind ~= "aggregate" then return end
  local aggregate = kind == "aggregate" or other == "aggregate"
  wrong(aggregate and "an aggregate is compared with a number" or
    ("on both sides of `%s` stand filters, or on both pipelines in parentheses"):format(token.text),
    aggregate and "as in `{ … } | count() > 3`" or nil, token.text)
end

--- Filters and what joins them: the node, and "spanset", "pipeline" (joined from pipelines in parentheses) or
-- "aggregate".
function Parser:spanset(power)
  local left, kind = self:operand()
  while true do
    local token = self:peek()
    local sign = token.kind == "op" and SPANSETS[token.text]
    if kind == "aggregate" or not sign or sign.power < power then break end
    self:take()
    local right, other = self:spanset(sign.power + 1)
    check_alike(token, kind, other)
    left = { op = sign.op, form = sign.form, relation = sign.relation, a = left, b = right,
             height = height(left, right) }
  end
  return left, kind
end

-- ---- stages --------------------------------------------------------------------------------------

-- A number after an aggregate: literals and + - * / of them.
function Parser:limit(power)
  self:enter()
  local token = self:take()
  local left
  if token.kind == "int" or token.kind == "float" or token.kind == "duration" then
    left = { op = "literal", type = token.kind, value = token.value }
  elseif token.text == "-" then
    left = folded({ op = "neg", a = self:limit(5) })
  elseif token.text == "(" then
    left = self:limit(3)
    self:want(")")
  else
    self.at = token.kind == "end" and self.at or self.at - 1
    self:unexpected("a number", "an aggregate is compared with a number or a duration: `count() > 3`")
  end
  while true do
    local op = self:peek()
    local binds = op.kind == "op" and op.text:find("^[+*/-]$") and POWER[op.text]
    if not binds or binds < power then break end
    self:take()
    left = folded({ op = "arithmetic", how = op.text, a = left, b = self:limit(binds + 1) })
  end
  return self:leave(left)
end

function Parser:aggregate()
  local name = self:take().text
  self:want("(")
  local node = { op = "where", aggregate = name }
  if name ~= "count" then
    node.x = self:expression(1)
    types.check_sample(node.x, name)
  end
  self:want(")")
  return node
end

-- The comparison that makes a stage of an aggregate.
function Parser:where(node)
  local token = self:peek()
  local how = token.kind == "op" and POWER[token.text] == 2 and HOW[token.text]
  if not how or how == "MATCHES" or how == "NOT_MATCHES" then
    if token.kind == "op" and POWER[token.text] then
      wrong("aggregates are not reckoned with, nor does Tempo", "write `count() > 3`", token.text)
    end
    self:unexpected("a comparison", "as in `count() > 3`")
  end
  self:take()
  local first = self:peek()
  if AGGREGATES[first.text] then
    wrong("an aggregate is compared with a number, not with another, nor does Tempo", nil, first.text)
  end
  node.how, node.limit = how, self:limit(3)
  node.comparison = token.text
  local t = node.x and types.of(node.x) or "int"
  if node.limit.op ~= "literal" or not types.is_number(node.limit.type) or t ~= "any" and not types.is_number(t) then
    wrong("an aggregate is compared with a number", nil, first.text)
  end
  return node
end

function Parser:select_list()
  repeat
    local token = self:peek()
    local node = self:prefix()
    if node.op ~= "field" then wrong("`select` takes attributes", "as in `select(.a, name)`", token.text) end
  until not self:took(",")
end

function Parser:named_stage(name)
  self:take()
  self:want("(")
  local node = { op = name }
  if name == "by" then
    node.x = self:expression(1)
    if not types.has_field(node.x) then wrong("`by` needs something of a span", nil, "by") end
  elseif name == "select" then
    self:select_list()
  end
  self:want(")")
  return node
end

-- A stage: the node, and of a spanset its kind.
function Parser:stage()
  local token = self:peek()
  local name = token.kind == "word" and token.text
  self:term()
  if AGGREGATES[name] then
    local node = self:aggregate()
    if self:is(")") then return node, "aggregate" end
    return self:where(node), "stage"
  elseif name == "by" or name == "coalesce" or name == "select" then
    return self:named_stage(name), "stage"
  elseif token.kind == "int" or token.kind == "float" or token.kind == "duration" then
    wrong("the aggregate stands on the left", "as in `count() > 3`", token.text)
  elseif name then
    wrong(("there is no stage `%s`"):format(name), suggest.expected(name, STAGES), name)
  end
  local node, kind = self:spanset(1)
  if kind == "aggregate" then return self:where(node), "stage" end
  return node, kind
end

local function tallest(stages)
  local most = 0
  for _, stage in ipairs(stages) do most = math.max(most, height(stage)) end
  return most
end

local function refuse_aggregate(node)
  wrong("an aggregate is compared with a number", "as in `count() > 3`", node.aggregate)
end

--- A pipeline: the node, and what it is: "spanset" where it is nothing but one, "pipeline", or "aggregate".
function Parser:pipeline()
  self:enter()
  if self:is("coalesce") then wrong("`coalesce` joins groups, and there are none yet", nil, "coalesce") end
  local node, kind = self:stage()
  local stages = { node }
  while kind ~= "aggregate" and self:is("|") do
    if #stages == 1 and kind == "pipeline" then
      wrong("a pipeline in parentheses is no first stage", "write its stages without the parentheses", "|")
    end
    self:take()
    node, kind = self:stage()
    if kind == "pipeline" then wrong("a stage is no pipeline in parentheses", nil, "(") end
    if kind == "aggregate" then refuse_aggregate(node) end
    stages[#stages + 1] = node
  end
  self:leave()
  if #stages == 1 and kind ~= "stage" then return node, kind end
  return { op = "pipe", stages = stages, height = tallest(stages) }, "pipeline"
end

local function refuse_metrics(word)
  wrong(("`%s` is a metric, and a query is judged on one trace"):format(word),
    "what counts over time is a window: `window(\"5m\", { … }):count():over(n)`", word)
end

-- Wherever they stand.
function Parser:refuse_metrics()
  for i, token in ipairs(self.list) do
    local called = token.kind == "word" and METRICS[token.text] and self.list[i + 1].text == "("
    if called then refuse_metrics(token.text) end
  end
end

function Parser:query()
  self:refuse_metrics()
  local node, kind = self:pipeline()
  if self:is("with") then wrong("hints are for Tempo, and change nothing here", "leave `with (…)` out", "with") end
  if kind == "aggregate" then refuse_aggregate(node) end
  if self:peek().kind ~= "end" then self:unexpected("the end") end
  return node
end

--- The node of a query; or nil, message, hint, the word at fault.
function M.parse(text)
  if type(text) ~= "string" or #text > M.BYTES_MAX then
    return nil, ("a query is text of at most %d bytes"):format(M.BYTES_MAX), "as in `{ status = error }`", "ql"
  end
  local good, node = pcall(function()
    return setmetatable({ text = text, list = lexer.tokens(text), at = 1, depth = 0, terms = 0 }, Parser):query()
  end)
  if good then return node end
  if type(node) ~= "table" or not node.ql then error(node, 0) end
  return nil, node.ql, node.hint, node.word
end

--- The query in one way of writing it: its tokens, a blank between two of them.
function M.normal(text)
  local words = {}
  for i, token in ipairs(lexer.tokens(text)) do words[i] = token.text end
  return table.concat(words, " ", 1, #words - 1)
end

return M
