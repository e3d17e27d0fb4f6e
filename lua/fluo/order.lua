--- Order and time in conditions: `followed_by`, `not_followed_by`, `gap`, `overlaps` and `within`, and what they
-- refuse.
local bare_duration = require("fluo.lint.duration")
local units = require("fluo.units")
local suggest = require("fluo.suggest")
local plan = require("fluo.plan")
local tree = require("fluo.tree")

local M = {}

--- A duration of nanoseconds, never 0.
function M.duration(context, what, x)
  local ns, exact, hint, word = units.duration(x)
  if not ns then context.fail(exact, hint, word or what) end
  bare_duration.look(context, x, what)
  -- Fractions of a nanosecond: [t, t + 1.5 ns) holds t + 1 as well.
  if not exact then ns = ns + 1 end
  if ns == 0 then context.fail(("`%s` of zero can never hold"):format(what), nil, what) end
  return ns
end

local function step_of(context, name, node)
  if node.spans or (node.chain and node.steps > 0) then return node end
  local hint = ("`%s` joins spans: `has`, `trace.where(…):has(…)`, a structure, an `or` of those, or a chain")
    :format(name)
  if node.kind == "missing" or node.kind == "not" then
    hint = "an absence has no start; write `a:not_followed_by(b)`, or put `trace.missing(…)` in an `and` "
           .. "with `:within(…)`"
  elseif node.kind == "and" then
    hint = "an `and` has no order; write `a:followed_by(b):followed_by(c)`, or give it a `:within(…)`"
  end
  context.fail(("`%s` needs spans on both sides"):format(name), hint, name)
end

-- A chain of two sides, with what else is to be said of it.
local function chain(context, left, right, node)
  node.parts, node.chain, node.link, node.counts, node.steps = {}, true, true, 0, 0
  if node.kind == "followed" then
    tree.append(node.parts, "followed", left)
    tree.append(node.parts, "followed", right)
  else
    node.parts = { left, right }
  end
  for _, part in ipairs(node.absent and { left } or node.parts) do
    node.steps = node.steps + part.steps
    node.counts = node.counts + part.counts
  end
  return tree.build(context, node)
end

function M.followed_by(self, ...)
  local node = tree.self(self, "followed_by")
  local context = node.context
  if select("#", ...) ~= 1 then
    context.fail("`followed_by` takes one condition or pattern", "write `a:followed_by(b):followed_by(c)`",
                 "followed_by")
  end
  local left = step_of(context, "followed_by", node)
  local right = step_of(context, "followed_by", tree.operand(context, "followed_by", (...)))
  return chain(context, left, right, { kind = "followed" })
end

-- The spans on the right of a form whose right side is no chain.
local function right_of(context, name, x)
  local right = tree.operand(context, name, x)
  if right.spans then return right end
  context.fail(("`%s` takes spans, not `%s`"):format(name, plan.form(right)),
               ("write `a:%s(b)`, b a pattern, `has`, `trace.where(…):has(…)`, a structure, or an `or` of those")
                 :format(name), name)
end

function M.not_followed_by(self, ...)
  local node = tree.self(self, "not_followed_by")
  local context = node.context
  if select("#", ...) ~= 1 then
    context.fail("`not_followed_by` takes one condition or pattern", "write `a:not_followed_by(b):within(\"5s\")`",
                 "not_followed_by")
  end
  local left = step_of(context, "not_followed_by", node)
  return chain(context, left, right_of(context, "not_followed_by", (...)), { kind = "not_followed_by", absent = true })
end

function M.gap(self, ...)
  local node = tree.self(self, "gap")
  local context = node.context
  if select("#", ...) ~= 2 then
    context.fail("`gap` takes a condition or pattern, and an operand", "write `a:gap(b, gt \"1s\")`", "gap")
  end
  local left = step_of(context, "gap", node)
  local right = right_of(context, "gap", (...))
  local operand = context.operand(select(2, ...), "gap", "gap")
  local op = operand.op == "BETWEEN" and "EQ" or operand.op
  return chain(context, left, right, { kind = "gap", op = op, n = operand.n, high = operand.high })
end

function M.overlaps(self, ...)
  local node = tree.self(self, "overlaps")
  local context = node.context
  if select("#", ...) ~= 1 then
    context.fail("`overlaps` takes one condition or pattern", "write `a:overlaps(b)`", "overlaps")
  end
  local left = step_of(context, "overlaps", node)
  return chain(context, left, right_of(context, "overlaps", (...)), { kind = "overlaps" })
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

--- Whether the options behind the duration of a node's `within` say `any_order`.
function M.check_options(node, options)
  local context = node.context
  if options == nil then return false end
  if type(options) ~= "table" then
    context.fail("the second argument of `within` is a table of options", "as in `{ any_order = true }`", "within")
  end
  for _, key in ipairs(tree.names(options)) do
    if key ~= "any_order" then
      context.fail(("unknown option `%s` of `within`"):format(tostring(key)),
                   suggest.expected(tostring(key), { "any_order" }), tostring(key))
    end
  end
  if options.any_order ~= nil and type(options.any_order) ~= "boolean" then
    context.fail(("`any_order` is true or false, not `%s`"):format(tostring(options.any_order)), nil, "any_order")
  elseif options.any_order and node.kind ~= "and" then
    context.fail("`any_order` has nothing to loosen here: only an `and` has an order that nobody wrote",
                 "write `(a * b):within(\"5s\", { any_order = true })`", "any_order")
  end
  return options.any_order == true
end

local function count_within(context, node, ns)
  if node.within then
    context.fail("this count has its `within` already", nil, "within")
  end
  return tree.build(context, { kind = "count", parts = node.parts, op = node.op, n = node.n, within = ns,
                               absent = node.absent })
end

function M.within(self, duration, options)
  local node = tree.self(self, "within")
  local context = node.context
  local any_order = M.check_options(node, options)
  local ns = M.duration(context, "within", duration)
  node.used = true
  if node.kind == "count" then return count_within(context, node, ns) end
  if not node.chain and not (node.kind == "and" and node.link) then refuse_within(context, node) end
  if node.steps + node.counts == 0 then
    context.fail("`within` has nothing to measure from: all of the chain is absent",
                 "add what is there: `trace.has(…):and_(trace.missing(…)):within(…)`", "within")
  end
  return tree.build(context, { kind = "within", parts = { node }, ns = ns, any_order = any_order or nil,
                               chain = true, link = true, steps = node.steps,
                               counts = node.counts })
end

return M
