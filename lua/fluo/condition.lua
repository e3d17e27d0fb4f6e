--- Trace conditions: what a rule file calls (`trace.has {…}:followed_by {…}:within "5s"`).
--
-- A call builds one node of a tree and checks it at once, so that an error has the author's line. The
-- author holds handles without fields; the nodes behind them never change once built, but for `used`.
-- What a tree means on a trace stands elsewhere: plan.lua puts it in the shape that judge.lua runs.
--
-- The load side lends a context, one a rule file:
--   context.fail(message, hint, word)     raises a load error; `word` is the token at fault
--   context.pattern(x, what) -> pattern   from a table, function, any_of …; reports errors by itself
--   context.operand(x, unit, what) -> operand   of trace.duration (unit "duration") and trace.span_count
--                                         (unit "number"), reports errors by itself: { op = "EQ" "NE" "GT" "GE"
--                                         "LT" "LE" or "BETWEEN", n = number or int64, high = number or
--                                         int64 (of BETWEEN) }; durations in ns
--   context.built(condition)              told of every condition, so that unused ones can be named
--   context.canonical(pattern) -> text    its meaning as text, for the rule's version
local units = require("fluo.units")
local suggest = require("fluo.suggest")
local plan = require("fluo.plan")

local M = { DEPTH_MAX = 200, TERMS_MAX = 5000 }

local Condition, Count, Where = {}, {}, {}
local nodes = setmetatable({}, { __mode = "k" })
M.Condition = Condition

--- Whether x is a condition that can be judged (a count that still lacks its comparison is none).
function M.is(x) return getmetatable(x) == Condition end

--- Marks a condition as part of a rule. Its parts were marked when it was built from them.
function M.used(c) nodes[c].used = true end
function M.is_used(c) return nodes[c].used == true end

-- ---- nodes ---------------------------------------------------------------------------------------

-- Facts about a node that decide what may be built on it:
--   depth, terms   bounded, so that everything behind may recurse
--   absent         an absence occurs in it: its rule is decided at the close
--   spans          its value is a set of spans: it can be a step of a chain
--   link           it may stand in a plain `and` that `within` binds into a chain
--   steps, counts  how many steps and counts it brings into such a chain
local function sum_up(node)
  local depth, terms = 0, 0
  for _, part in ipairs(node.parts) do
    depth = math.max(depth, part.depth + 1)
    terms = terms + part.terms
    node.absent = node.absent or part.absent
    part.used = true
  end
  node.depth, node.terms = depth, terms
end

local function check_bounds(node)
  local fail = node.context.fail
  if node.depth > M.DEPTH_MAX then
    fail(("a condition nests deeper than %d"):format(M.DEPTH_MAX), "split it into several rules")
  elseif node.terms > M.TERMS_MAX then
    fail(("a condition has more than %d terms"):format(M.TERMS_MAX), "split it into several rules")
  end
end

local function handle_of(node, class)
  local handle = setmetatable({}, class)
  nodes[handle] = node
  node.context.built(handle)
  return handle
end

local function build(context, node)
  node.context = context
  if node.parts then
    sum_up(node)
    check_bounds(node)
  else
    node.depth, node.terms = 0, 1
  end
  return handle_of(node, Condition)
end

-- ---- arguments -----------------------------------------------------------------------------------

local FINISH = {
  [Count] = { "`trace.count` is a number, not a condition", "compare it: `:over(50)`, `:at_least`, "
              .. "`:under`, `:at_most` or `:exactly`", "count" },
  [Where] = { "`trace.where` alone is no condition", "say what it has: `trace.where(…):has(…)`", "where" },
}

local function refuse_unfinished(context, x)
  local why = FINISH[getmetatable(x)]
  if why then context.fail(unpack(why)) end
end

local function pattern_of(context, what, count, x)
  refuse_unfinished(context, x)
  if count ~= 1 or x == nil then
    context.fail(("`%s` takes one pattern, not %d"):format(what, x == nil and 0 or count),
                 "a pattern is a table or a function of a span; put all fields in one table", what)
  elseif M.is(x) then
    context.fail(("`%s` takes a span pattern, not a condition"):format(what),
                 "combine conditions with `:and_(…)`, `:or_(…)`, `:not_()`", what)
  end
  return context.pattern(x, what)
end

-- A condition where one is taken; a pattern there is a `has` of it.
local function condition_of(context, what, x)
  refuse_unfinished(context, x)
  if M.is(x) then return nodes[x] end
  if x == nil or type(x) == "boolean" or type(x) == "number" then
    context.fail(("`%s` takes conditions or patterns, not %s"):format(what, tostring(x)),
                 ("as in `a:%s(trace.has { name = \"x\" })`"):format(what), what)
  end
  return nodes[build(context, { kind = "has", pattern = context.pattern(x, what), spans = true,
                                link = true, steps = 1, counts = 0 })]
end

local function node_of(self, what, class)
  local node = getmetatable(self) == (class or Condition) and nodes[self]
  if not node then error(("call `%s` with a colon, as in `a:%s(b)`"):format(what, what), 3) end
  return node
end

local function duration_of(context, what, x)
  local ns, exact, hint, word = units.duration(x)
  if not ns then context.fail(exact, hint, word or what) end
  -- Fractions of a nanosecond: [t, t + 1.5 ns) holds t + 1 as well.
  if not exact then ns = ns + 1 end
  if ns == 0 then context.fail(("`%s` of zero can never hold"):format(what), nil, what) end
  return ns
end

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

-- a:and_(b):and_(c) is one `and` of three: writing a long list nests nothing.
local function append(parts, kind, node)
  if node.kind ~= kind then
    parts[#parts + 1] = node
    return
  end
  for _, part in ipairs(node.parts) do parts[#parts + 1] = part end
  node.used = true
end

local function combine(kind, what, first, ...)
  local context, parts = first.context, {}
  append(parts, kind, first)
  for i = 1, select("#", ...) do append(parts, kind, (condition_of(context, what, (select(i, ...))))) end
  local node = { kind = kind, parts = parts }
  classify(node)
  return build(context, node)
end

local function method(kind, what)
  return function(self, ...)
    local node = node_of(self, what)
    if select("#", ...) == 0 then
      node.context.fail(("`%s` needs a condition"):format(what), ("write `a:%s(b)`"):format(what), what)
    end
    return combine(kind, what, node, ...)
  end
end

local methods = { and_ = method("and", "and_"), or_ = method("or", "or_") }

function methods.not_(self, ...)
  local node = node_of(self, "not_")
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
  return build(node.context, result)
end

-- `a * b`: either side may be the pattern, but not both (then Lua never comes here).
local function operator(kind, what)
  return function(a, b)
    local context = (nodes[a] or nodes[b]).context
    return combine(kind, what, (condition_of(context, what, a)), b)
  end
end

-- ---- order and time ------------------------------------------------------------------------------

local function step_of(context, node)
  if node.spans or (node.chain and node.steps > 0) then return node end
  local hint = "`followed_by` joins spans: `has`, `trace.where(…):has(…)`, an `or` of those, or a chain"
  if node.kind == "missing" or node.kind == "not" then
    hint = "an absence has no start; `not_followed_by` comes later, or put `trace.missing(…)` in an `and` "
           .. "with `:within(…)`"
  elseif node.kind == "and" then
    hint = "an `and` has no order; write `a:followed_by(b):followed_by(c)`, or give it a `:within(…)`"
  end
  context.fail("`followed_by` needs spans on both sides", hint, "followed_by")
end

function methods.followed_by(self, ...)
  local node = node_of(self, "followed_by")
  local context = node.context
  if select("#", ...) ~= 1 then
    context.fail("`followed_by` takes one condition or pattern", "write `a:followed_by(b):followed_by(c)`",
                 "followed_by")
  end
  local parts = {}
  append(parts, "followed", step_of(context, node))
  append(parts, "followed", step_of(context, condition_of(context, "followed_by", (...))))
  local result = { kind = "followed", parts = parts, chain = true, link = true, counts = 0, steps = 0 }
  for _, part in ipairs(parts) do
    result.steps = result.steps + part.steps
    result.counts = result.counts + part.counts
  end
  return build(context, result)
end

-- The part that keeps an `and` from being a chain.
local function unlinked(node)
  for _, part in ipairs(node.parts) do
    if not part.link then return part end
  end
end

local function refuse_within(context, node)
  local why = "`within` needs a chain before it, not `" .. plan.form(node) .. "`"
  local hint = "`within` binds `a:followed_by(b)`, `a:and_(b)` or `trace.count(…):over(n)`"
  if node.kind == "and" then
    local part = unlinked(node)
    why = ("`within` cannot bind `%s`: it has no place in time"):format(plan.form(part))
    hint = "between `within` and its chain only `has`, `missing`, `count`, `trace.where(…):has(…)` and "
           .. "chains may stand; put the rest behind: `a:and_(b):within(\"5s\"):and_(…)`"
  elseif node.kind == "or" then
    hint = "an `or` is no chain: give each side its own `within`"
  end
  context.fail(why, hint, "within")
end

local function check_options(context, options)
  if options == nil then return end
  if type(options) ~= "table" then
    context.fail("the second argument of `within` is a table of options", nil, "within")
  elseif next(options) == nil then
    return
  elseif options.any_order ~= nil then
    context.fail("not yet: `any_order`", "without it, `within` asks for the written order", "any_order")
  end
  local key = tostring((next(options)))
  context.fail(("unknown option `%s` of `within`"):format(key), suggest.hint(key, { "any_order" }), key)
end

local function count_within(context, node, ns)
  if node.within then
    context.fail("this count has its `within` already", nil, "within")
  end
  return build(context, { kind = "count", pattern = node.pattern, op = node.op, n = node.n, within = ns,
                          absent = node.absent })
end

function methods.within(self, duration, options)
  local node = node_of(self, "within")
  local context = node.context
  check_options(context, options)
  local ns = duration_of(context, "within", duration)
  node.used = true
  if node.kind == "count" then return count_within(context, node, ns) end
  if not node.chain and not (node.kind == "and" and node.link) then refuse_within(context, node) end
  if node.steps + node.counts == 0 then
    context.fail("`within` has nothing to measure from: all of the chain is absent",
                 "add what is there: `trace.has(…):and_(trace.missing(…)):within(…)`", "within")
  end
  return build(context, { kind = "within", parts = { node }, ns = ns, chain = true, link = true,
                          steps = node.steps, counts = node.counts })
end

-- ---- what comes later ----------------------------------------------------------------------------

local LATER = { "not_followed_by", "gap", "overlaps" }
for _, relation in ipairs({ "child", "parent", "descendant", "ancestor", "sibling" }) do
  LATER[#LATER + 1] = relation
  LATER[#LATER + 1] = "no_" .. relation
  LATER[#LATER + 1] = "without_" .. relation
end

for _, name in ipairs(LATER) do
  methods[name] = function(self)
    local node = node_of(self, name)
    node.context.fail(("not yet: `%s`"):format(name), nil, name)
  end
end

-- ---- handles -------------------------------------------------------------------------------------

local function names_of(...)
  local names = {}
  for i = 1, select("#", ...) do
    for name in pairs((select(i, ...))) do names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function seal(class, class_methods, what)
  local names = names_of(class_methods)
  function class.__index(self, key)
    if class_methods[key] then return class_methods[key] end
    local word = tostring(key)
    nodes[self].context.fail(("%s has no `%s`"):format(what, word), suggest.expected(word, names), word)
  end
  function class.__newindex(self)
    nodes[self].context.fail(what .. " cannot be changed", "combine it: every method gives a new one")
  end
  function class.__tostring() return what end
end

seal(Condition, methods, "a trace condition")
Condition.__mul = operator("and", "and_")
Condition.__add = operator("or", "or_")
function Condition.__unm(a) return methods.not_(a) end

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
    local node = node_of(self, name, Count)
    check_number(node.context, name, n)
    node.used = true
    return build(node.context, { kind = "count", pattern = node.pattern, op = op, n = n,
                                 within = node.within, link = not node.within, steps = 0, counts = 1,
                                 absent = op == "LT" or op == "LE" or op == "EQ" })
  end
end

-- `within` reads as well before the comparison as behind it.
function count_methods.within(self, duration, options)
  local node = node_of(self, "within", Count)
  check_options(node.context, options)
  if node.within then node.context.fail("this count has its `within` already", nil, "within") end
  node.used = true
  return handle_of({ kind = "counting", context = node.context, pattern = node.pattern,
                     within = duration_of(node.context, "within", duration) }, Count)
end
seal(Count, count_methods, "a count")

local where_methods = {}
function where_methods.has(self, ...)
  local node = node_of(self, "has", Where)
  node.used = true
  local pattern = pattern_of(node.context, "has", select("#", ...), ...)
  return build(node.context, { kind = "where", where = node.pattern, pattern = pattern, scope = node.scope,
                               spans = true, link = true, steps = 1, counts = 0 })
end
seal(Where, where_methods, "a `where`")

-- The scope of `where`: below or equal, unless the options say span or trace.
local function scope_of(context, options)
  if options == nil then return "below" end
  if type(options) ~= "table" then
    context.fail("the second argument of `where` is a table of options", "as in `{ scope = \"trace\" }`", "where")
  end
  for _, key in ipairs(names_of(options)) do
    if key ~= "scope" then
      context.fail(("unknown option `%s` of `where`"):format(tostring(key)),
                   suggest.expected(tostring(key), { "scope" }), tostring(key))
    end
  end
  local scope = options.scope
  if scope == nil then return "below" end
  if scope ~= "span" and scope ~= "trace" then
    context.fail(("unknown scope `%s`"):format(tostring(scope)),
                 "`scope` is \"span\" or \"trace\"; without it: at the span or below it", tostring(scope))
  end
  return scope
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
  return build(context, { kind = kind, op = operand.op, n = operand.n, high = operand.high,
                          absent = BOUNDED_ABOVE[operand.op] })
end

local makers = {}
function makers.has(context, ...)
  return build(context, { kind = "has", pattern = pattern_of(context, "has", select("#", ...), ...),
                          spans = true, link = true, steps = 1, counts = 0 })
end
function makers.missing(context, ...)
  return build(context, { kind = "missing", pattern = pattern_of(context, "missing", select("#", ...), ...),
                          absent = true, link = true, steps = 0, counts = 0 })
end
function makers.count(context, ...)
  return handle_of({ kind = "counting", context = context,
                     pattern = pattern_of(context, "count", select("#", ...), ...) }, Count)
end
function makers.all(context, ...)
  return build(context, { kind = "all", absent = true,
                          pattern = pattern_of(context, "all", select("#", ...), ...) })
end
function makers.where(context, x, options, ...)
  local count = select("#", ...) > 0 and 3 or 1
  return handle_of({ kind = "where", context = context, scope = scope_of(context, options),
                     pattern = pattern_of(context, "where", count, x) }, Where)
end
function makers.duration(context, ...)
  return metric(context, "duration", "duration", select("#", ...), ...)
end
function makers.span_count(context, ...)
  return metric(context, "span_count", "number", select("#", ...), ...)
end
function makers.satisfies(context) context.fail("not yet: `trace.satisfies`", nil, "satisfies") end
function makers.ql(context) context.fail("not yet: `trace.ql`", nil, "ql") end

local maker_names = names_of(makers)

--- The `trace` of one rule file.
function M.api(context)
  local trace = {}
  for _, name in ipairs(maker_names) do
    local make = makers[name]
    trace[name] = function(...) return make(context, ...) end
  end
  return setmetatable({}, {
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

--- Why x cannot stand where a rule takes a trace condition: message, hint, word; nil when it can.
function M.unfinished(x)
  local why = FINISH[getmetatable(x)]
  if why then return unpack(why) end
end

--- Puts a rule's conditions in the shape to judge: see plan.compile for what is in it.
--   parts.when, parts.always, parts.never: conditions; parts.complete: boolean
--   parts.canonical: function(pattern) -> text, instead of that of the context
function M.compile(parts)
  local function node(c) return c and nodes[c] end
  for _, name in ipairs({ "when", "always", "never" }) do
    if parts[name] then M.used(parts[name]) end
  end
  local when = node(parts.when)
  return plan.compile({
    when = when, always = node(parts.always), never = node(parts.never), complete = parts.complete == true,
    canonical = parts.canonical or when.context.canonical,
  })
end

return M
