--- Sequences across traces: `sequence { by = "order.id", within = "30s", { … }, not_ { … } }`.
-- rules/README.md, Windows and sequences.
--
-- A node of kind "sequence" has: ns, by (as of a window), steps (patterns), absent (for each step whether it must
-- not come).
local operand = require("fluo.operand")
local order = require("fluo.order")
local suggest = require("fluo.suggest")
local tree = require("fluo.tree")
local window = require("fluo.window")

local M = { STEPS_MAX = 16 }

local Sequence = {}
tree.seal(Sequence, {}, "a sequence", "sequence")

function M.is(x) return getmetatable(x) == Sequence end

local KEYS = { "by", "within" }

local function check_keys(context, t)
  for _, key in ipairs(tree.names(t)) do
    if type(key) ~= "number" and key ~= "by" and key ~= "within" then
      context.fail(("unknown key `%s` of a sequence"):format(tostring(key)),
        suggest.hint(tostring(key), KEYS) or "a sequence has by, within, and its steps in order", tostring(key))
    end
  end
end

local function by_of(context, by)
  if by == nil then
    context.fail("a sequence needs `by`", "the key that its spans share: by = \"order.id\"", "sequence")
  end
  return window.by(context, by)
end

local function steps_of(context, t)
  local steps, absent, count = {}, {}, 0
  for key in pairs(t) do count = count + (type(key) == "number" and 1 or 0) end
  if count ~= #t or count == 0 or count > M.STEPS_MAX then
    context.fail(("a sequence has 1 to %d steps"):format(M.STEPS_MAX), "as in { name = \"a\" }, { name = \"b\" }",
      "sequence")
  end
  for i = 1, #t do
    local data = operand.of(t[i])
    absent[i] = data ~= nil and data.op == "not_" and not data.wrong
    local given = t[i]
    if absent[i] then given = data[1] end
    steps[i] = context.pattern(given, "sequence")
  end
  if absent[1] then
    context.fail("a sequence cannot begin with what must not come",
      "its first step is what the time is counted from", "not_")
  end
  return steps, absent
end

--- The `sequence` of one rule file.
function M.api(context)
  return function(t, ...)
    if type(t) ~= "table" or getmetatable(t) ~= nil or select("#", ...) > 0 then
      context.fail("`sequence` takes one table",
        "write sequence { by = \"order.id\", within = \"30s\", { … }, { … } }", "sequence")
    end
    check_keys(context, t)
    if t.within == nil then context.fail("a sequence needs `within`", "write within = \"30s\"", "sequence") end
    local node = { kind = "sequence", context = context, ns = order.duration(context, "within", t.within),
                   by = by_of(context, t.by) }
    node.steps, node.absent = steps_of(context, t)
    return tree.handle(node, Sequence)
  end
end

--- What a sequence means, as text for the rule's version.
function M.meaning(node)
  local out = { "sequence", tostring(node.ns) }
  for _, entry in ipairs(node.by) do out[#out + 1] = ("by %s[%q]"):format(entry.field, entry.key) end
  for i, step in ipairs(node.steps) do out[#out + 1] = (node.absent[i] and "not " or "") .. step.canonical end
  return table.concat(out, " ")
end

--- What a rule makes of a sequence, or a cascade: its node, which is used from here on, and its patterns.
function M.compile(x)
  local node = tree.node(x)
  node.used = true
  return node, node.steps
end

return M
