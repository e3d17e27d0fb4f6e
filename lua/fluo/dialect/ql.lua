--- `trace.ql "…"`: a TraceQL selector as a condition (rules/traceql.md). It stands for spans, so it can be joined,
-- related and followed as `trace.has` can; where it is the proof, all of its spans are witnesses.
--
-- M.build checks a query and makes the patterns of its filters; M.set puts it in the shape that ql_judge.lua runs:
--   { op = "filter", slot, rest }       rest: what only the trace can answer, with slots for patterns in it
--   { op = "nothing" }                  a filter that nothing satisfies
--   { op = "and" | "or", a, b }, { op = "relation", form, relation, a, b }
--   { op = "pipe", stages }             the first is a spanset; see ql_parser.lua for the others
-- each with `slots`, all that it asks for.
local filter = require("fluo.dialect.ql_filter")
local judge = require("fluo.dialect.ql_judge")
local parser = require("fluo.dialect.ql_parser")
local patterns = require("fluo.pattern")
local structure = require("fluo.structure")

jit.off(true, true)                                       -- see ql_parser.lua

local M = {}

-- ---- what is decided at the close ----------------------------------------------------------------

local FLIPPED = { GT = "LT", GE = "LE", LT = "GT", LE = "GE" }
local TRUTHS = { ["and"] = true, ["or"] = true, ["not"] = true, compare = true, exists = true, missing = true }

local function occurs(node, test)
  if test(node) then return true end
  for _, part in ipairs(node.parts or { node.a, node.b }) do
    if occurs(part, test) then return true end
  end
  return false
end

local function is_child_count(node) return node.intrinsic == "CHILD_COUNT" end
local function is_duration(node) return node.intrinsic == "TRACE_DURATION" end
local function is_truth(node) return TRUTHS[node.op] end

-- A lower bound of the trace's duration: more spans only make it truer.
local function is_lower(x)
  if x.op ~= "compare" then return false end
  local a, b, how = x.a, x.b, x.how
  if not is_duration(a) then a, b, how = b, a, FLIPPED[how] end
  return is_duration(a) and not filter.of_trace(b) and (how == "GT" or how == "GE")
end

-- Whether more spans could undo what a test says of the trace so far. A root that has not come yet may come.
local function leaf_is_late(x, negated)
  if occurs(x, is_child_count) then return true end
  if (x.a and occurs(x.a, is_truth)) or (x.b and occurs(x.b, is_truth)) then return true end
  if occurs(x, is_duration) then return negated or not is_lower(x) end
  return negated
end

local function rest_is_late(node, negated)
  if node.op == "trace" then return leaf_is_late(node.x, negated) end
  if node.op == "not" then return rest_is_late(node[1], not negated) end
  for _, child in ipairs(node) do
    if rest_is_late(child, negated) then return true end
  end
  return false
end

local function reads_trace(x)
  return x ~= nil and (occurs(x, is_child_count) or occurs(x, is_duration))
end

-- min > n wants that nothing is less, and min < n is an upper bound.
local function where_is_late(stage)
  local lower = stage.how == "GT" or stage.how == "GE"
  if not lower or stage.aggregate ~= "count" and stage.aggregate ~= "max" then return true end
  return reads_trace(stage.x) and not (is_duration(stage.x) and stage.aggregate == "max")
end

local late = {}

local function is_late(node)
  local test = late[node.op]
  return test ~= nil and test(node)
end

function late.filter(node) return node.rest ~= nil and rest_is_late(node.rest, false) end
function late.relation(node) return node.form == "no" or is_late(node.a) or is_late(node.b) end
late["and"] = function(node) return is_late(node.a) or is_late(node.b) end
late["or"] = late["and"]
late.where = where_is_late
function late.by(node) return reads_trace(node.x) end
function late.pipe(node)
  local grouped = false
  for _, stage in ipairs(node.stages) do
    if grouped or is_late(stage) then return true end
    grouped = stage.op == "by"
  end
  return false
end

-- ---- building ------------------------------------------------------------------------------------

-- Filters that say the same are one pattern.
local function shared(self, compiled)
  local canonical = compiled.pattern.canonical
  if not self.known[canonical] then
    self.known[canonical] = compiled.pattern
    self.filters[#self.filters + 1] = { kind = "has", pattern = compiled.pattern, depth = 0, terms = 1, spans = true }
  end
  compiled.pattern = self.known[canonical]
  self.terms = self.terms + compiled.pattern.terms
  return compiled
end

local EVERYTHING = { op = "literal", type = "bool", value = true }
local SPANSETS = { filter = true, ["and"] = true, ["or"] = true, relation = true }
local make = {}

function make.filter(self, node)
  local compiled = filter.compile(self, node.x, node.text)
  if not compiled then return { op = "nothing", text = node.text } end
  shared(self, compiled)
  return { op = "filter", pattern = compiled.pattern, rest = compiled.rest, text = node.text }
end

local function make_two(self, node)
  return { op = node.op, form = node.form, relation = node.relation, a = make[node.a.op](self, node.a),
           b = make[node.b.op](self, node.b) }
end
make["and"], make["or"], make.relation = make_two, make_two, make_two

function make.where(self, node)
  if node.x then
    filter.note_bare(self.warn, node.x, node.limit)
    filter.formula(self, { op = "exists", a = node.x })   -- for its warnings
  end
  return node
end
function make.by(_, node) return node end
make.coalesce, make.select = make.by, make.by

function make.pipe(self, node)
  local stages = {}
  if not SPANSETS[node.stages[1].op] then stages[1] = make.filter(self, { x = EVERYTHING, text = "{ }" }) end
  for _, stage in ipairs(node.stages) do stages[#stages + 1] = make[stage.op](self, stage) end
  return { op = "pipe", stages = stages }
end

--- What a query is made of; or nil, message, hint, the word at fault. warn(code, message, hint, word) as of a context.
--   root, text (normalised), shown (as written), late: it is decided at the close, filters: nodes of
--   conditions, as `trace.has` would make them
function M.compile(text, warn)
  local node, message, hint, word = parser.parse(text)
  if not node then return nil, message, hint, word end
  local self = { warn = warn, known = {}, filters = {}, terms = 0 }
  local root = make[node.op](self, node)
  if self.terms > patterns.TERMS_MAX then
    return nil, ("a query has at most %d terms"):format(patterns.TERMS_MAX), "split it into several rules", "ql"
  end
  return { root = root, text = parser.normal(text), shown = text, late = is_late(root), filters = self.filters }
end

--- The node of a condition (tree.lua) for `trace.ql(text)`, all of what an author gave being `count` arguments.
function M.node(context, count, text)
  if count ~= 1 or type(text) ~= "string" then
    context.fail("`ql` takes one text", "write `trace.ql [[{ status = error }]]`", "ql")
  end
  local query, message, hint, word = M.compile(text, context.warn)
  if not query then context.fail(message, hint, word) end
  return { kind = "ql", query = query, absent = query.late, spans = true, link = true, steps = 1, counts = 0 }
end

-- ---- as a set (spans.lua) ------------------------------------------------------------------------

local function slots_of_rest(plan, node, slot)
  if node.op == "trace" then return { op = "trace", x = node.x } end
  if node.op == "pattern" then
    local at = slot(node.pattern)
    plan.slots[#plan.slots + 1] = at
    return { op = "slot", slot = at }
  end
  local copy = { op = node.op }
  for i, child in ipairs(node) do copy[i] = slots_of_rest(plan, child, slot) end
  return copy
end

local function plan_of(node, slot)
  local plan = {}
  for key, v in pairs(node) do plan[key] = v end
  plan.pattern, plan.slots = nil, {}
  local function part(of)
    local one = plan_of(of, slot)
    for _, at in ipairs(one.slots) do plan.slots[#plan.slots + 1] = at end
    return one
  end
  if node.pattern then
    plan.slot = slot(node.pattern)
    plan.slots[1] = plan.slot
    plan.rest = node.rest and slots_of_rest(plan, node.rest, slot)
  end
  if node.a then plan.a, plan.b = part(node.a), part(node.b) end
  for i, stage in ipairs(node.stages or {}) do
    if i == 1 then plan.stages = {} end
    plan.stages[i] = part(stage)
  end
  return plan
end

local SIGNS = { child = ">", parent = "<", descendant = ">>", ancestor = "<<", sibling = "~" }
local FORMS = { is = "", no = "!", union = "&" }

local function text_of(node)
  if node.op == "filter" or node.op == "nothing" then return node.text end
  if node.op == "pipe" then return "(… | …)" end
  local sign = node.op == "and" and "&&" or node.op == "or" and "||" or FORMS[node.form] .. SIGNS[node.relation]
  return ("%s %s %s"):format(text_of(node.a), sign, text_of(node.b))
end

-- What it wants absent, and whether a span that satisfies none of its patterns can make it true.
local function look_into(node, set)
  if node.op == "relation" then
    set.climbs = set.climbs or structure.CLIMBS[node.relation]
    if node.form == "no" then
      set.absences[#set.absences + 1] = ("%s as %s of %s"):format(text_of(node.a), structure.INVERSE[node.relation],
        text_of(node.b))
    end
  end
  set.climbs = set.climbs or node.rest ~= nil or node.x ~= nil and filter.of_trace(node.x)
  for _, part in ipairs(node.stages or { node.a, node.b }) do look_into(part, set) end
end

--- The set of a query. slot(pattern): the position of a pattern among those of the rule.
function M.set(query, slot)
  local root = plan_of(query.root, slot)
  local set = { op = "QL", root = root, parts = {}, absences = {}, absent = query.late, text = query.shown,
                evaluate = judge.evaluate }
  for i, at in ipairs(root.slots) do set.parts[i] = { op = "SLOT", slot = at } end
  look_into(query.root, set)
  return set
end

return M
