--- Order and time in conditions: `followed_by` and `within`, and what they refuse.
local units = require("fluo.units")
local suggest = require("fluo.suggest")
local plan = require("fluo.plan")
local tree = require("fluo.tree")

local M = {}

--- A duration of nanoseconds, never 0.
function M.duration(context, what, x)
  local ns, exact, hint, word = units.duration(x)
  if not ns then context.fail(exact, hint, word or what) end
  -- Fractions of a nanosecond: [t, t + 1.5 ns) holds t + 1 as well.
  if not exact then ns = ns + 1 end
  if ns == 0 then context.fail(("`%s` of zero can never hold"):format(what), nil, what) end
  return ns
end

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

function M.followed_by(self, ...)
  local node = tree.self(self, "followed_by")
  local context = node.context
  if select("#", ...) ~= 1 then
    context.fail("`followed_by` takes one condition or pattern", "write `a:followed_by(b):followed_by(c)`",
                 "followed_by")
  end
  local parts = {}
  tree.append(parts, "followed", step_of(context, node))
  tree.append(parts, "followed", step_of(context, tree.operand(context, "followed_by", (...))))
  local result = { kind = "followed", parts = parts, chain = true, link = true, counts = 0, steps = 0 }
  for _, part in ipairs(parts) do
    result.steps = result.steps + part.steps
    result.counts = result.counts + part.counts
  end
  return tree.build(context, result)
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

--- What `within` takes behind its duration: nothing yet.
function M.check_options(context, options)
  if options == nil then return end
  if type(options) ~= "table" then
    context.fail("the second argument of `within` is a table of options", nil, "within")
  elseif next(options) == nil then
    return
  elseif options.any_order ~= nil then
    context.fail("not yet: `any_order`", "without it, `within` asks for the written order", "any_order")
  end
  local key = tostring(tree.names(options)[1])
  context.fail(("unknown option `%s` of `within`"):format(key), suggest.hint(key, { "any_order" }), key)
end

local function count_within(context, node, ns)
  if node.within then
    context.fail("this count has its `within` already", nil, "within")
  end
  return tree.build(context, { kind = "count", pattern = node.pattern, op = node.op, n = node.n, within = ns,
                               absent = node.absent })
end

function M.within(self, duration, options)
  local node = tree.self(self, "within")
  local context = node.context
  M.check_options(context, options)
  local ns = M.duration(context, "within", duration)
  node.used = true
  if node.kind == "count" then return count_within(context, node, ns) end
  if not node.chain and not (node.kind == "and" and node.link) then refuse_within(context, node) end
  if node.steps + node.counts == 0 then
    context.fail("`within` has nothing to measure from: all of the chain is absent",
                 "add what is there: `trace.has(…):and_(trace.missing(…)):within(…)`", "within")
  end
  return tree.build(context, { kind = "within", parts = { node }, ns = ns, chain = true, link = true,
                               steps = node.steps, counts = node.counts })
end

return M
