--- Cascades: `cascade { root = { … }, { status = "ERROR" }, distinct = "service", at_least = 3 }`: what it
-- began with, and then the first failure of each service, in order. A sequence of as many steps as there are services.
--
-- A node of kind "sequence" has: ns, by (may be empty), steps (the root's pattern, if there is one, and that of what
-- fails), absent (none), at_least, rooted, distinct (as `by`, of one).
local order = require("fluo.order")
local sequence = require("fluo.sequence")
local suggest = require("fluo.suggest")
local tree = require("fluo.tree")
local window = require("fluo.window")

local M = {}

local Cascade = {}
tree.seal(Cascade, {}, "a cascade", "cascade")

function M.is(x) return getmetatable(x) == Cascade end

local KEYS = { "at_least", "by", "distinct", "root", "within" }
local EXAMPLE = "as in cascade { root = { name = \"config.change\" }, { status = \"ERROR\" }, at_least = 3 }"
local VALUES_MAX = 256                                    -- CASCADE_VALUES_MAX

local function check_keys(context, t)
  local known = {}
  for _, key in ipairs(KEYS) do known[key] = true end
  for _, key in ipairs(tree.names(t)) do
    if type(key) ~= "number" and not known[key] then
      context.fail(("unknown key `%s` of a cascade"):format(tostring(key)),
        suggest.hint(tostring(key), KEYS) or "a cascade has root, within, distinct, at_least, by, and what fails",
        tostring(key))
    end
  end
  local count = 0
  for key in pairs(t) do count = count + (type(key) == "number" and 1 or 0) end
  if count ~= 1 or t[1] == nil then
    context.fail("a cascade has one pattern of what fails", EXAMPLE, "cascade")
  end
end

local function at_least_of(context, n)
  if n == nil then context.fail("a cascade needs `at_least`", EXAMPLE, "cascade") end
  if type(n) ~= "number" or n % 1 ~= 0 or n < 1 or n > VALUES_MAX then
    context.fail(("`at_least` is a whole number from 1 to %d"):format(VALUES_MAX), EXAMPLE, "at_least")
  end
  return n
end

local function node_of(context, t)
  local steps = {}
  if t.root ~= nil then steps[1] = context.pattern(t.root, "cascade") end
  steps[#steps + 1] = context.pattern(t[1], "cascade")
  return { kind = "sequence", context = context, steps = steps, absent = {}, rooted = t.root ~= nil,
           by = t.by ~= nil and window.by(context, t.by) or {},
           ns = order.duration(context, "within", t.within == nil and "1m" or t.within),
           at_least = at_least_of(context, t.at_least),
           distinct = window.by(context, { t.distinct == nil and "service" or t.distinct }) }
end

--- The `cascade` of one rule file.
function M.api(context)
  return function(t, ...)
    if type(t) ~= "table" or getmetatable(t) ~= nil or select("#", ...) > 0 then
      context.fail("`cascade` takes one table", EXAMPLE, "cascade")
    end
    check_keys(context, t)
    return tree.handle(node_of(context, t), Cascade)
  end
end

--- What a cascade means, as text for the rule's version.
function M.meaning(node)
  local out = { "cascade", tostring(node.ns), tostring(node.at_least), tostring(node.rooted) }
  for _, list in ipairs { node.distinct, node.by } do
    for _, entry in ipairs(list) do out[#out + 1] = ("%s[%q]"):format(entry.field, entry.key) end
  end
  for _, step in ipairs(node.steps) do out[#out + 1] = step.canonical end
  return table.concat(out, " ")
end

M.compile = sequence.compile

return M
