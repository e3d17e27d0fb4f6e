--- From the nodes that stand for spans (tree.lua: `spans`) to sets (spans.lua says what these are).
local structure = require("fluo.structure")

local M = {}

--- The position of a pattern among those of the rule, each standing there once.
function M.slot(run, pattern)
  local slot = run.slots[pattern]
  if not slot then
    slot = #run.patterns + 1
    run.patterns[slot], run.slots[pattern] = pattern, slot
  end
  return slot
end

local function slot_set(run, node) return { op = "SLOT", slot = M.slot(run, node.pattern) } end

local function related(op, relation, a, b)
  return { op = op, relation = relation, a = a, b = b, absent = op == "UNRELATED" or a.absent or b.absent,
           climbs = structure.CLIMBS[relation] or a.climbs or b.climbs }
end

local set_of = { has = slot_set, missing = slot_set }

set_of["not"] = function(run, node)                       -- not_(missing) and not_(not_(…))
  local inner = node.parts[1]
  return M.of(run, inner.kind == "not" and inner.parts[1] or inner)
end

set_of["or"] = function(run, node)
  local set = { op = "ANY", parts = {} }
  for i, part in ipairs(node.parts) do
    local one = M.of(run, part)
    set.parts[i], set.absent, set.climbs = one, set.absent or one.absent, set.climbs or one.climbs
  end
  return set
end

function set_of.where(run, node)
  return related("RELATED", node.scope, M.of(run, node.parts[1]), M.of(run, node.parts[2]))
end

-- The spans of a without a child in b are those of a that are the parent of none in b.
function set_of.relation(run, node)
  local a, b = M.of(run, node.parts[1]), M.of(run, node.parts[2])
  if node.form == "without" then return related("UNRELATED", structure.INVERSE[node.relation], b, a) end
  return related(node.form == "no" and "UNRELATED" or "RELATED", node.relation, a, b)
end

function set_of.ql(run, node)
  return require("fluo.dialect.ql").set(node.query, function(pattern) return M.slot(run, pattern) end)
end

--- The set that a node stands for.
function M.of(run, node) return set_of[node.kind](run, node) end

return M
