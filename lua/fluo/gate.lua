--- The gate of a rule: whether the counts of a trace can make its plan (plan.lua) true. The core tests it
-- before it asks the study, so it may be open in vain, but never closed on a violation. Unknown answers are
-- no hits, so they close no absence.
local structure = require("fluo.structure")

local M = {}

-- TRUE swallows an OR and vanishes from an AND.
local TRUE = { op = "TRUE" }

local function gate_join(op, parts)
  local kept = {}
  for _, part in ipairs(parts) do
    if part ~= TRUE then
      kept[#kept + 1] = part
    elseif op == "OR" then
      return TRUE
    end
  end
  if #kept == 0 then return TRUE end
  return #kept == 1 and kept[1] or { op = op, parts = kept }
end

local function gate_hits(slot, op, n) return { op = "HITS", slot = slot, compare = op, n = n } end

local gate_set

-- Of a query: see dialect/ql.lua for its nodes. Each stage takes what it takes of the whole trace.
local gate_ql = {}

local function gate_query(node)
  local gate = gate_ql[node.op]
  return gate and gate(node) or TRUE
end

function gate_ql.filter(node) return gate_hits(node.slot, "GE", 1) end
gate_ql["and"] = function(node) return gate_join("AND", { gate_query(node.a), gate_query(node.b) }) end
gate_ql["or"] = function(node) return gate_join("OR", { gate_query(node.a), gate_query(node.b) }) end
function gate_ql.relation(node)
  if node.form == "no" then return gate_query(node.b) end
  if node.a.slot and node.a.slot == node.b.slot then return gate_hits(node.a.slot, "GE", 2) end
  return gate_ql["and"](node)
end

function gate_ql.pipe(node)
  local parts, first = {}, node.stages[1]
  for i, stage in ipairs(node.stages) do parts[i] = gate_query(stage) end
  local counted = node.stages[2]
  if first.slot and counted and counted.aggregate == "count" and (counted.how == "GT" or counted.how == "GE") then
    local n = counted.limit.type == "int" and tonumber(counted.limit.value)
    if n and n >= 0 and n < 2 ^ 53 then parts[1] = gate_hits(first.slot, counted.how, n) end
  end
  return gate_join("AND", parts)
end

-- What it takes that a set is not empty. No span is related to itself.
function gate_set(set)
  if set.op == "SLOT" then return gate_hits(set.slot, "GE", 1) end
  if set.op == "QL" then return gate_query(set.root) end
  if set.op == "UNRELATED" then return gate_set(set.b) end
  local parts = {}
  for i, part in ipairs(set.parts or { set.a, set.b }) do parts[i] = gate_set(part) end
  if set.op == "ANY" then return gate_join("OR", parts) end
  if set.a.op == "SLOT" and set.a.slot == set.b.slot then
    return gate_hits(set.a.slot, "GE", structure.INVERSE[set.relation] and 2 or 1)
  end
  return gate_join("AND", parts)
end

-- Steps that stand in order are different spans, so a pattern that stands for two of them needs two hits.
local function gate_steps(chain, parts)
  local needed, order = {}, {}
  for _, step in ipairs(chain.steps) do
    -- Of an anchor, its counts say what it needs.
    if not step.anchor and step.set.op == "SLOT" then
      local slot = step.set.slot
      if not needed[slot] then order[#order + 1] = slot end
      needed[slot] = chain.free and 1 or (needed[slot] or 0) + 1
    elseif not step.anchor then
      parts[#parts + 1] = gate_set(step.set)
    end
  end
  for _, slot in ipairs(order) do parts[#parts + 1] = gate_hits(slot, "GE", needed[slot]) end
end

-- Of so many spans of a set; beyond a pattern's own hits, of any at all.
local function gate_least(set, compare, n)
  if set.op == "SLOT" then return gate_hits(set.slot, compare, n) end
  return (compare == "GT" or n > 0) and gate_set(set) or TRUE
end

local function gate_chain(chain)
  if chain.negated then return TRUE end
  local parts = {}
  gate_steps(chain, parts)
  for _, item in ipairs(chain.items) do
    -- What must be absent from an interval may stand elsewhere in the trace.
    if item.compare == "GT" or item.compare == "GE" then
      parts[#parts + 1] = gate_least(item.set, item.compare, item.n)
    elseif item.compare == "EQ" and item.n > 0 then
      parts[#parts + 1] = gate_least(item.set, "GE", item.n)
    end
  end
  return gate_join("AND", parts)
end

-- EQ and NE of a trace that was cut are unknown until they are beyond; the study has to say so. What
-- always holds waits for no hit.
local function gate_count(plan)
  local compare, n = plan.compare, plan.n
  if compare == "NE" or (compare == "GE" and n == 0) then return TRUE end
  if plan.set and plan.set.op ~= "SLOT" then
    return (compare == "GT" or compare == "GE") and gate_least(plan.set, compare, n) or TRUE
  end
  if compare == "EQ" and n > 0 then compare, n = "LE", plan.high or n end
  return { op = plan.op, slot = plan.set and plan.set.slot, compare = compare, n = n }
end

local function gate_of(plan)
  local op = plan.op
  if op == "AND" or op == "OR" then
    local parts = {}
    for i, part in ipairs(plan.parts) do parts[i] = gate_of(part) end
    return gate_join(op, parts)
  elseif op == "HITS" or op == "DURATION" or op == "SPANS" then
    return gate_count(plan)
  elseif op == "CHAIN" then
    return gate_chain(plan)
  end
  return (plan.negated or op == "SATISFIES") and TRUE or gate_hits(plan.slot, "GE", 1)
end

local function postfix(gate, patterns, out)
  for _, part in ipairs(gate.parts or {}) do postfix(part, patterns, out) end
  out[#out + 1] = { op = gate.op, compare = gate.compare, slot = gate.slot, pattern = gate.slot and patterns[gate.slot],
                    n = gate.parts and #gate.parts or gate.n }
  return out
end

--- The gate of a plan in postfix: { op, compare, slot, pattern, n }. Leaves are HITS of a slot (and its
-- pattern), SPANS, DURATION and TRUE; of AND and OR n says how many they join.
function M.of(plan, patterns) return postfix(gate_of(plan), patterns, {}) end

return M
