--- From the author's tree (condition.lua) to what judge.lua runs, and to the gate that the core tests.
--
-- A plan is the tree in negation normal form: only leaves can be negated, so each leaf is either
-- positive (more spans cannot undo it: true or false) or an absence (true, false or unknown), and the
-- gate is the same tree with less in it. Hence `not_(trace.missing(p))` is `trace.has(p)`, in the
-- verdict as in the gate. Plan nodes:
--   { op = "AND" | "OR", parts }
--   { op = "HITS", form = "has" | "missing" | "count", slot, compare, n }
--   { op = "DURATION" | "SPANS", compare, n, high }
--   { op = "ALL", slot, negated }
--   { op = "WHERE", where, slot, scope, negated }        where and slot: of p and q
--   { op = "SATISFIES", fn, label, negated }
--   { op = "CHAIN", steps, windows, items, absent, negated, text }
-- A slot is the position of a pattern in compiled.patterns. `compare` is "GT" "GE" "LT" "LE", or "EQ" and
-- "NE", which stay one leaf: in or out of n to high (without high: n alone), since what is not yet in may
-- come to be, and what is beyond is settled.
local gate = require("fluo.gate")

local M = {}

local NEGATED = { GT = "LE", GE = "LT", LT = "GE", LE = "GT", EQ = "NE", NE = "EQ" }
local ABSENT = { LT = true, LE = true, EQ = true, NE = true }

--- Whether `a compare b`, by any comparison of a plan; EQ and NE: b to high.
function M.holds(a, compare, b, high)
  if compare == "GT" then return a > b end
  if compare == "GE" then return a >= b end
  if compare == "LT" then return a < b end
  if compare == "LE" then return a <= b end
  return (a >= b and a <= (high or b)) == (compare == "EQ")
end

--- What an author calls a node, for messages.
local FORMS = { where = "trace.where(…):has(…)", ["and"] = "and_", ["or"] = "or_", ["not"] = "not_",
                followed = "followed_by", within = "within" }
function M.form(node) return FORMS[node.kind] or "trace." .. node.kind end

-- ---- slots ---------------------------------------------------------------------------------------

local function slot_of(run, pattern)
  local slot = run.slots[pattern]
  if not slot then
    slot = #run.patterns + 1
    run.patterns[slot], run.slots[pattern] = pattern, slot
  end
  return slot
end

local function hits(run, form, pattern, compare, n)
  return { op = "HITS", form = form, slot = slot_of(run, pattern), compare = compare, n = n }
end

-- ---- chains --------------------------------------------------------------------------------------

-- A chain is a list of steps, each strictly later than the one before it, and of windows over them.
-- All that is asked of it are lower bounds: a step starts after the one before it; a step that a window
-- [t0, t0 + D) ends with starts before t0 + D, so t0 is later than its start minus D; and what a window
-- says of absent or counted spans concerns t0 alone. So there is a least solution, every step at its
-- earliest at once, and judge.lua finds it by only ever moving steps forward.
--   steps[i] = { sources, items, anchor }    sources: of its spans, { slot } or { where, slot, scope }
--   windows[i] = { from, to, ns }            steps, of which to.start - from.start < ns
--   items[i] = { form, slot, compare, n, ns }   how many hits start in [t0, t0 + ns), t0 of its step
-- A window that begins with a count, or holds counts only, is anchored at the counted spans: an
-- anchor is a step, but no witness by itself.

local function sources_of(run, node, list)
  if node.kind == "or" then
    for _, part in ipairs(node.parts) do sources_of(run, part, list) end
  elseif node.kind == "where" then
    local where = slot_of(run, node.where)
    list[#list + 1] = { where = where, slot = slot_of(run, node.pattern), scope = node.scope }
  elseif node.kind == "not" then    -- not_(missing) and not_(not_(has))
    local inner = node.parts[1]
    sources_of(run, inner.kind == "not" and inner.parts[1] or inner, list)
  else
    list[#list + 1] = { slot = slot_of(run, node.pattern) }
  end
  return list
end

local function add_step(run, chain, node)
  local step = { sources = sources_of(run, node, {}), items = {} }
  chain.steps[#chain.steps + 1] = step
end

local function add_item(run, chain, window, node, form, compare, n)
  local item = { form = form, slot = slot_of(run, node.pattern), compare = compare, n = n }
  local none_will_do = M.holds(0, compare, n)
  window.items[#window.items + 1] = item
  chain.absent = chain.absent or ABSENT[compare] == true
  if form == "missing" then return end
  window.counted[#window.counted + 1] = { slot = item.slot }
  if not none_will_do and #chain.steps < window.position then window.leading = { slot = item.slot } end
end

local link

-- A window's first step gives it t0.
local function anchor_window(chain, window)
  local sources
  if #chain.steps < window.position then
    sources = window.counted
  elseif window.leading then
    sources = { window.leading }
  end
  if sources then
    table.insert(chain.steps, window.position, { sources = sources, items = {}, anchor = true })
  end
end

local function link_window(run, chain, node)
  local window = { ns = node.ns, position = #chain.steps + 1, items = {}, counted = {} }
  link(run, chain, window, node.parts[1], false)
  anchor_window(chain, window)
  local from, to = chain.steps[window.position], chain.steps[#chain.steps]
  if from ~= to then chain.windows[#chain.windows + 1] = { from = from, to = to, ns = node.ns } end
  for _, item in ipairs(window.items) do
    item.ns = node.ns
    from.items[#from.items + 1] = item
    chain.items[#chain.items + 1] = item
  end
end

-- condition.lua let only such nodes in as these know.
function link(run, chain, window, node, negated)
  local kind = node.kind
  if kind == "not" then
    link(run, chain, window, node.parts[1], not negated)
  elseif kind == "count" then
    add_item(run, chain, window, node, "count", negated and NEGATED[node.op] or node.op, node.n)
  elseif kind == "missing" and not negated or kind == "has" and negated then
    add_item(run, chain, window, node, "missing", "EQ", 0)
  elseif kind == "within" then
    link_window(run, chain, node)
  elseif kind == "and" or kind == "followed" then
    for _, part in ipairs(node.parts) do link(run, chain, window, part, negated) end
  else
    add_step(run, chain, node)
  end
end

local function number_steps(chain)
  for i, step in ipairs(chain.steps) do step.index = i end
  for _, window in ipairs(chain.windows) do
    window.from, window.to = window.from.index, window.to.index
  end
end

local function chain_of(run, node, negated)
  local chain = { op = "CHAIN", steps = {}, windows = {}, items = {}, absent = false, negated = negated }
  link(run, chain, nil, node, false)
  number_steps(chain)
  return chain
end

-- A count alone with `within`: a chain of nothing but that count.
local function window_of_count(run, node, negated)
  local bare = { kind = "count", pattern = node.pattern, op = node.op, n = node.n }
  return chain_of(run, { kind = "within", ns = node.within, parts = { bare } }, negated)
end

-- ---- negation normal form ------------------------------------------------------------------------

local expand = {}

local function plan_of(run, node, negated) return expand[node.kind](run, node, negated) end

local function join(op, parts) return { op = op, parts = parts } end

-- The comparison that holds where op does, or where it does not.
local function compare(op, negated)
  if op == "BETWEEN" then op = "EQ" end
  return negated and NEGATED[op] or op
end

function expand.has(run, node, negated)
  if negated then return hits(run, "missing", node.pattern, "EQ", 0) end
  return hits(run, "has", node.pattern, "GE", 1)
end

function expand.missing(run, node, negated) return expand.has(run, node, not negated) end

function expand.count(run, node, negated)
  if node.within then return window_of_count(run, node, negated) end
  return hits(run, "count", node.pattern, compare(node.op, negated), node.n)
end

function expand.all(run, node, negated)
  return { op = "ALL", slot = slot_of(run, node.pattern), negated = negated }
end

local function expand_metric(op)
  return function(_, node, negated)
    return { op = op, compare = compare(node.op, negated), n = node.n, high = node.high }
  end
end
expand.duration = expand_metric("DURATION")
expand.span_count = expand_metric("SPANS")

function expand.where(run, node, negated)
  local where = slot_of(run, node.where)
  return { op = "WHERE", where = where, slot = slot_of(run, node.pattern), scope = node.scope,
           negated = negated }
end

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
expand.followed = chain_of
expand.within = chain_of

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
  if node.op then put(" ", node.op, " ", number(node.n), " ", number(node.high)) end
  if node.ns or node.within then put(" ", number(node.ns or node.within)) end
  if node.scope then put(" ", node.scope) end
  if node.where then put(" ", text_of(node.where)) end
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
  return table.concat(out)
end

-- ---- a rule --------------------------------------------------------------------------------------

local function has_structure(plan)
  if plan.op == "WHERE" then return plan.scope == "below" end
  for _, part in ipairs(plan.parts or {}) do
    if has_structure(part) then return true end
  end
  for _, step in ipairs(plan.steps or {}) do
    for _, source in ipairs(step.sources) do
      if source.scope == "below" then return true end
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

--- source: nodes when, always, never (nil: none), complete, canonical(pattern) -> text. Gives:
--   patterns     distinct ones, in order of appearance; a slot is a position here
--   when, broken, never    plans; broken is `always` negated; a rule is violated when
--                          `when` holds, and `broken` or `never` if it has either
--   whole        the plan of all that
--   gate         its gate in postfix: { op, compare, slot, pattern, n }; n of AND and OR: how many
--   early        decided as soon as it holds; needs_close: the opposite
--   functions    how many of the whole trace; payloads: these read spans that are no hits
--   structure    a span that is no hit can make it true
--   complete, canonical (text, for the rule's version), terms, depth
function M.compile(source)
  local run = { slots = {}, patterns = {}, functions = 0 }
  local compiled = { complete = source.complete or false, patterns = run.patterns }
  compiled.when = plan_of(run, source.when, false)
  compiled.broken = source.always and plan_of(run, source.always, true)
  compiled.never = source.never and plan_of(run, source.never, false)
  local breaks = {}
  breaks[#breaks + 1] = compiled.broken
  breaks[#breaks + 1] = compiled.never
  compiled.whole = #breaks == 0 and compiled.when or join("AND", { compiled.when, join("OR", breaks) })
  compiled.gate = gate.of(compiled.whole, run.patterns)
  compiled.functions, compiled.payloads = run.functions, run.functions > 0
  compiled.structure = has_structure(compiled.whole)
  compiled.needs_close = source.always ~= nil or any(source, function(node) return node.absent end)
  compiled.early = not compiled.needs_close
  compiled.depth = sum(source, "depth", math.max)
  compiled.terms = sum(source, "terms", function(a, b) return a + b end)
  if source.canonical then compiled.canonical = text_of_rule(source) end
  return compiled
end

return M
