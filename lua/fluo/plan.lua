--- From the author's tree (condition.lua) to what judge.lua runs, and to the gate that the core tests.
--
-- A plan is the tree in negation normal form: only leaves can be negated, so each leaf is either
-- positive (more spans cannot undo it: true or false) or an absence (true, false or unknown), and the
-- gate is the same tree with less in it. Hence `not_(trace.missing(p))` is `trace.has(p)`, in the
-- verdict as in the gate. Plan nodes:
--   { op = "AND" | "OR", parts }
--   { op = "HITS", form = "has" | "missing" | "count", set, compare, n }
--   { op = "DURATION" | "SPANS", compare, n, high }
--   { op = "ALL", slot, negated }
--   { op = "SATISFIES", fn, label, negated }
--   { op = "CHAIN", steps, windows, items, absent, negated }       see steps.lua
-- A slot is the position of a pattern in compiled.patterns, a set what spans.lua says. `compare` is one of
-- comparison.lua: "EQ" and "NE" stay one leaf, since what is not yet in n to high may come to be, and what is
-- beyond is settled.
local comparison = require("fluo.comparison")
local gate = require("fluo.gate")
local sets = require("fluo.sets")
local steps = require("fluo.steps")

local M = {}

M.holds = comparison.holds

--- What an author calls a node, for messages.
local FORMS = { where = "trace.where(…):has(…)", ["and"] = "and_", ["or"] = "or_", ["not"] = "not_",
                followed = "followed_by", within = "within", not_followed_by = "not_followed_by", gap = "gap",
                overlaps = "overlaps" }
function M.form(node) return node.name or FORMS[node.kind] or "trace." .. node.kind end

-- ---- negation normal form ------------------------------------------------------------------------

local expand = {}

local function plan_of(run, node, negated) return expand[node.kind](run, node, negated) end

local function join(op, parts) return { op = op, parts = parts } end

local function hits(set, form, compare, n) return { op = "HITS", form = form, set = set, compare = compare, n = n } end

-- The comparison that holds where op does, or where it does not.
local function compare(op, negated)
  if op == "BETWEEN" then op = "EQ" end
  return negated and comparison.NEGATED[op] or op
end

-- What stands for spans holds where there is one.
local function expand_spans(run, node, negated)
  local set = sets.of(run, node)
  if negated then return hits(set, "missing", "EQ", 0) end
  return hits(set, "has", "GE", 1)
end
expand.has, expand.where, expand.relation, expand.ql = expand_spans, expand_spans, expand_spans, expand_spans

function expand.missing(run, node, negated) return expand_spans(run, node, not negated) end

function expand.count(run, node, negated)
  if node.within then return steps.counted(run, node, negated) end
  return hits(sets.of(run, node.parts[1]), "count", compare(node.op, negated), node.n)
end

function expand.all(run, node, negated)
  return { op = "ALL", slot = sets.slot(run, node.pattern), negated = negated }
end

local function expand_metric(op)
  return function(_, node, negated)
    return { op = op, compare = compare(node.op, negated), n = node.n, high = node.high }
  end
end
expand.duration = expand_metric("DURATION")
expand.span_count = expand_metric("SPANS")

function expand.satisfies(run, node, negated)
  run.functions = run.functions + 1
  return { op = "SATISFIES", fn = node.fn, label = node.label, negated = negated }
end

local function expand_parts(positive, negative)
  return function(run, node, negated)
    local parts = {}
    for i, part in ipairs(node.parts) do parts[i] = plan_of(run, part, negated) end
    return join(negated and negative or positive, parts)
  end
end
expand["and"] = expand_parts("AND", "OR")
expand["or"] = expand_parts("OR", "AND")
expand["not"] = function(run, node, negated) return plan_of(run, node.parts[1], not negated) end
for _, kind in ipairs({ "followed", "within", "not_followed_by", "gap", "overlaps" }) do expand[kind] = steps.chain end

-- ---- text ----------------------------------------------------------------------------------------

local function number(n)
  if type(n) == "number" then return ("%.17g"):format(n) end
  return n and (tostring(n):gsub("[UL]+$", "")) or "-"
end

local function canonical(node, text_of, out)
  local function put(...)
    for i = 1, select("#", ...) do out[#out + 1] = (select(i, ...)) end
  end
  put("(", node.kind)
  if node.relation then put(" ", node.form, " ", node.relation) end
  if node.op then put(" ", node.op, " ", number(node.n), " ", number(node.high)) end
  if node.ns or node.within then put(" ", number(node.ns or node.within), node.any_order and " any_order" or "") end
  if node.query then put(" ", node.query.text) end
  if node.scope then put(" ", node.scope) end
  if node.pattern then put(" ", text_of(node.pattern)) end
  for _, part in ipairs(node.parts or {}) do
    put(" ")
    canonical(part, text_of, out)
  end
  put(")")
end

local function text_of_rule(source)
  local out = {}
  for _, name in ipairs({ "when", "always", "never" }) do
    if source[name] then
      out[#out + 1] = name
      canonical(source[name], source.canonical, out)
    end
  end
  if source.complete then out[#out + 1] = "complete" end
  if source.late then out[#out + 1] = "late" end
  return table.concat(out)
end

-- ---- a rule --------------------------------------------------------------------------------------

-- Whether a span that is no hit can make it true.
local function climbs(plan)
  if plan.set and plan.set.climbs then return true end
  for _, list in ipairs({ plan.parts or {}, plan.steps or {}, plan.items or {} }) do
    for _, part in ipairs(list) do
      if climbs(part) then return true end
    end
  end
  return false
end

local function any(source, fact)
  for _, name in ipairs({ "when", "always", "never" }) do
    if source[name] and fact(source[name]) then return true end
  end
  return false
end

local function sum(source, key, add)
  local result = 0
  for _, name in ipairs({ "when", "always", "never" }) do
    if source[name] then result = add(result, source[name][key]) end
  end
  return result
end

--- Plans of single nodes of what compile is given, for explaining it: of(node) -> its plan, by slots that are those of
-- compile. A node may be one that was made of them.
function M.parts(source)
  local run = { slots = {}, patterns = {}, functions = 0 }
  for _, name in ipairs({ "when", "always", "never" }) do
    if source[name] then plan_of(run, source[name], name == "always") end
  end
  return function(node) return plan_of(run, node, false) end
end

--- source: nodes when, always, never (nil: none), complete, late, canonical(pattern) -> text. Gives:
--   patterns     distinct ones, in order of appearance; a slot is a position here
--   when, broken, never    plans; broken is `always` negated; a rule is violated when
--                          `when` holds, and `broken` or `never` if it has either
--   whole        the plan of all that
--   gate         its gate in postfix: { op, compare, slot, pattern, n }; n of AND and OR: how many
--   early        decided as soon as it holds; needs_close: the opposite
--   functions    how many of the whole trace; payloads: these read spans that are no hits
--   structure    a span that is no hit can make it true
--   complete, late, canonical (text, for the rule's version), terms, depth
function M.compile(source)
  local run = { slots = {}, patterns = {}, functions = 0 }
  local compiled = { complete = source.complete or false, late = source.late or false, patterns = run.patterns }
  compiled.when = plan_of(run, source.when, false)
  compiled.broken = source.always and plan_of(run, source.always, true)
  compiled.never = source.never and plan_of(run, source.never, false)
  local breaks = {}
  breaks[#breaks + 1] = compiled.broken
  breaks[#breaks + 1] = compiled.never
  compiled.whole = #breaks == 0 and compiled.when or join("AND", { compiled.when, join("OR", breaks) })
  compiled.gate = gate.of(compiled.whole, run.patterns)
  compiled.functions, compiled.payloads = run.functions, run.functions > 0
  compiled.structure = climbs(compiled.whole)
  compiled.needs_close = source.always ~= nil or any(source, function(node) return node.absent end)
  compiled.early = not compiled.needs_close
  compiled.depth = sum(source, "depth", math.max)
  compiled.terms = sum(source, "terms", function(a, b) return a + b end)
  if source.canonical then compiled.canonical = text_of_rule(source) end
  return compiled
end

return M
