--- Trace conditions: what a rule file calls (`trace.has {…}:followed_by {…}:within "5s"`).
--
-- A call builds one node of a tree and checks it at once, so that an error has the author's line. The
-- author holds handles without fields; the nodes behind them never change once built, but for `used`.
-- What a tree means on a trace stands elsewhere: plan.lua puts it in the shape that judge.lua runs.
--
-- The load side lends a context, one a rule file:
--   context.fail(message, hint, word)     raises a load error; `word` is the token at fault
--   context.pattern(x, what) -> pattern   from a table, function, any_of …; reports errors by itself
--   context.operand(x, unit, what) -> operand   of trace.duration (unit "duration"), trace.span_count
--                                         ("number") and `gap` ("gap", may be negative), reports errors
--                                         by itself: { op = "EQ" "NE" "GT" "GE" "LT" "LE" or "BETWEEN",
--                                         n = number or int64, high = likewise (of BETWEEN) }; durations
--                                         in ns
--   context.warn(code, message, hint, word)     notes what is seldom meant; the codes are in lint/allow.lua
--   context.built(condition)              told of every condition, so that unused ones can be named
--   context.canonical(pattern) -> text    its meaning as text, for the rule's version
local order = require("fluo.order")
local plan = require("fluo.plan")
local relation = require("fluo.relation")
local suggest = require("fluo.suggest")
local tree = require("fluo.tree")

local M = { DEPTH_MAX = tree.DEPTH_MAX, TERMS_MAX = tree.TERMS_MAX }

--- Whether x is a condition that can be judged (a count that still lacks its comparison is none).
M.is = tree.is
--- Why x is none yet: message, hint, word; nil for anything but a count or a `where`.
M.unfinished = tree.unfinished

--- Marks a condition as part of a rule. Its parts were marked when it was built from them.
function M.used(c) tree.node(c).used = true end
function M.is_used(c) return tree.node(c).used == true end

-- ---- and, or, not --------------------------------------------------------------------------------

-- What an `and` or `or` of these parts may be used for.
local function classify(node)
  local all_spans, all_link = true, true
  node.steps, node.counts = 0, 0
  for _, part in ipairs(node.parts) do
    all_spans = all_spans and part.spans
    all_link = all_link and part.link
    node.steps = node.steps + (part.steps or 0)
    node.counts = node.counts + (part.counts or 0)
  end
  if node.kind == "or" then
    node.spans, node.link, node.steps, node.counts = all_spans, all_spans, all_spans and 1 or nil, 0
  else
    node.link = all_link
  end
end

local function combine(kind, what, first, ...)
  local context, parts = first.context, {}
  tree.append(parts, kind, first)
  for i = 1, select("#", ...) do tree.append(parts, kind, (tree.operand(context, what, (select(i, ...))))) end
  local node = { kind = kind, parts = parts }
  classify(node)
  return tree.build(context, node)
end

local function method(kind, what)
  return function(self, ...)
    local node = tree.self(self, what)
    if select("#", ...) == 0 then
      node.context.fail(("`%s` needs a condition"):format(what), ("write `a:%s(b)`"):format(what), what)
    end
    return combine(kind, what, node, ...)
  end
end

local methods = { and_ = method("and", "and_"), or_ = method("or", "or_"), followed_by = order.followed_by,
                  not_followed_by = order.not_followed_by, gap = order.gap, overlaps = order.overlaps,
                  within = order.within }

function methods.not_(self, ...)
  local node = tree.self(self, "not_")
  if select("#", ...) > 0 then
    node.context.fail("`not_` negates what stands before it", "write `a:not_()` or `-a`", "not_")
  end
  local result = { kind = "not", parts = { node }, absent = true }
  if node.kind == "has" or node.kind == "missing" or (node.kind == "count" and not node.within) then
    result.link = true
    result.steps, result.counts = node.kind == "missing" and 1 or 0, node.counts
    result.spans = node.kind == "missing"
  elseif node.kind == "not" then
    local twice = node.parts[1]
    result.link, result.spans, result.steps, result.counts = twice.link, twice.spans, twice.steps, twice.counts
  end
  return tree.build(node.context, result)
end

-- `a * b`: either side may be the pattern, but not both (then Lua never comes here).
local function operator(kind, what)
  return function(a, b)
    local context = (tree.node(a) or tree.node(b)).context
    return combine(kind, what, (tree.operand(context, what, a)), b)
  end
end

for name, relate in pairs(relation.methods) do methods[name] = relate end

tree.seal(tree.Condition, methods, "a trace condition")
tree.Condition.__mul = operator("and", "and_")
tree.Condition.__add = operator("or", "or_")
function tree.Condition.__unm(a) return methods.not_(a) end

-- ---- count and where, before they are conditions -------------------------------------------------

local COMPARE = { over = "GT", at_least = "GE", under = "LT", at_most = "LE", exactly = "EQ" }
local count_methods = {}

local function check_number(context, name, n)
  if type(n) ~= "number" or n < 0 or n % 1 ~= 0 or n >= 2 ^ 53 then
    context.fail(("`%s` takes a whole number, not `%s`"):format(name, tostring(n)),
                 ("as in `trace.count { name = \"db.query\" }:%s(50)`"):format(name), name)
  elseif name == "under" and n == 0 then
    context.fail("`under(0)` can never hold", "write `trace.missing(…)` for none at all", "under")
  end
end

for name, op in pairs(COMPARE) do
  count_methods[name] = function(self, n)
    local node = tree.self(self, name, tree.Count)
    check_number(node.context, name, n)
    node.used = true
    return tree.build(node.context, { kind = "count", parts = { node.of }, op = op, n = n,
                                      within = node.within, link = not node.within, steps = 0, counts = 1,
                                      absent = op == "LT" or op == "LE" or op == "EQ" })
  end
end

-- `within` reads as well before the comparison as behind it.
function count_methods.within(self, duration, options)
  local node = tree.self(self, "within", tree.Count)
  order.check_options(node, options)
  if node.within then node.context.fail("this count has its `within` already", nil, "within") end
  node.used = true
  return tree.handle({ kind = "counting", context = node.context, of = node.of,
                       within = order.duration(node.context, "within", duration) }, tree.Count)
end
tree.seal(tree.Count, count_methods, "a count")

local where_methods = {}
function where_methods.has(self, ...)
  local node = tree.self(self, "has", tree.Where)
  node.used = true
  local spans = tree.spans(node.context, "has", select("#", ...), ...)
  return tree.build(node.context, { kind = "where", parts = { node.of, spans }, scope = node.scope,
                                    spans = true, link = true, steps = 1, counts = 0 })
end
tree.seal(tree.Where, where_methods, "a `where`")

local SCOPES = { span = "same", trace = "beside" }

-- The scope of `where`, as a relation: below or equal, unless the options say span or trace.
local function scope_of(context, options)
  if options == nil then return "below" end
  if type(options) ~= "table" then
    context.fail("the second argument of `where` is a table of options", "as in `{ scope = \"trace\" }`", "where")
  end
  for _, key in ipairs(tree.names(options)) do
    if key ~= "scope" then
      context.fail(("unknown option `%s` of `where`"):format(tostring(key)),
                   suggest.expected(tostring(key), { "scope" }), tostring(key))
    end
  end
  local scope = options.scope
  if scope == nil then return "below" end
  if not SCOPES[scope] then
    context.fail(("unknown scope `%s`"):format(tostring(scope)),
                 "`scope` is \"span\" or \"trace\"; without it: at the span or below it", tostring(scope))
  end
  return SCOPES[scope]
end

-- ---- trace.… -------------------------------------------------------------------------------------

local BOUNDED_ABOVE = { LT = true, LE = true, EQ = true, NE = true, BETWEEN = true }

local function metric(context, kind, unit, count, x)
  if count ~= 1 then
    context.fail(("`trace.%s` takes one operand"):format(kind),
                 kind == "duration" and "as in `trace.duration(gt \"2s\")`" or "as in `trace.span_count(gt(100))`",
                 kind)
  end
  local operand = context.operand(x, unit, kind)
  return tree.build(context, { kind = kind, op = operand.op, n = operand.n, high = operand.high,
                          absent = BOUNDED_ABOVE[operand.op] })
end

local makers = {}
function makers.has(context, ...)
  return tree.build(context, { kind = "has", pattern = tree.pattern(context, "has", select("#", ...), ...),
                          spans = true, link = true, steps = 1, counts = 0 })
end
function makers.missing(context, ...)
  return tree.build(context, { kind = "missing", pattern = tree.pattern(context, "missing", select("#", ...), ...),
                          absent = true, link = true, steps = 0, counts = 0 })
end
function makers.count(context, ...)
  return tree.handle({ kind = "counting", context = context,
                     of = tree.spans(context, "count", select("#", ...), ...) }, tree.Count)
end
function makers.all(context, ...)
  return tree.build(context, { kind = "all", absent = true,
                          pattern = tree.pattern(context, "all", select("#", ...), ...) })
end
function makers.where(context, x, options, ...)
  local count = select("#", ...) > 0 and 3 or 1
  return tree.handle({ kind = "where", context = context, scope = scope_of(context, options),
                     of = tree.spans(context, "where", count, x) }, tree.Where)
end
function makers.duration(context, ...)
  return metric(context, "duration", "duration", select("#", ...), ...)
end
function makers.span_count(context, ...)
  return metric(context, "span_count", "number", select("#", ...), ...)
end
function makers.satisfies(context, fn, ...)
  local alone = select("#", ...) == 0
  if type(fn) ~= "function" or not alone or not context.authored(fn) then
    context.fail("`satisfies` takes one function, of the trace",
                 "write `trace.satisfies(function(t) return t:count { status = \"ERROR\" } > 2 end)`", "satisfies")
  end
  return tree.build(context, { kind = "satisfies", fn = fn, label = context.label(fn), absent = true })
end
-- What only some rules need is loaded where they ask for it: an agent that starts does not pay for it.
function makers.ql(context, ...)
  return tree.build(context, require("fluo.dialect.ql").node(context, select("#", ...), (...)))
end

local maker_names = tree.names(makers)
--- What `trace` has, also what is to come.
M.MAKERS = maker_names

--- The `trace` of one rule file.
function M.api(context)
  local trace, proxy = {}, {}
  for _, name in ipairs(maker_names) do
    local make = makers[name]
    trace[name] = function(...)
      if rawequal((...), proxy) then
        context.fail(("`%s` is called with a dot"):format(name), ("write trace.%s { … }"):format(name), name)
      end
      return make(context, ...)
    end
  end
  return setmetatable(proxy, {
    __index = function(_, key)
      if trace[key] then return trace[key] end
      local word = tostring(key)
      context.fail(("`trace` has no `%s`"):format(word), suggest.expected(word, maker_names), word)
    end,
    __newindex = function() context.fail("`trace` cannot be changed", nil, "trace") end,
    __tostring = function() return "trace" end,
  })
end

-- ---- for the rule --------------------------------------------------------------------------------

--- The nodes of a rule's conditions, by name (when, always, never): see tree.lua.
function M.nodes(parts)
  return { when = tree.node(parts.when), always = tree.node(parts.always), never = tree.node(parts.never) }
end

--- Puts a rule's conditions in the shape to judge: see plan.compile for what is in it.
--   parts.when, parts.always, parts.never: conditions; parts.complete, parts.late: booleans
--   parts.canonical: function(pattern) -> text, instead of that of the context
function M.compile(parts)
  for _, name in ipairs({ "when", "always", "never" }) do
    if parts[name] then M.used(parts[name]) end
  end
  local source = M.nodes(parts)
  source.complete, source.late = parts.complete == true, parts.late == true
  source.canonical = parts.canonical or source.when.context.canonical
  return plan.compile(source)
end

return M
