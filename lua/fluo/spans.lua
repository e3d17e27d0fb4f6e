--- Sets of spans: what a condition that stands for spans (`has`, `where … has`, `child`, an `or` of those) gives
-- on a trace. plan.lua makes the sets:
--   { op = "SLOT", slot }                       the hits of a pattern
--   { op = "ANY", parts }                       the spans of all parts
--   { op = "RELATED", relation, a, b }          the spans of b so related to one of a (structure.lua)
--   { op = "UNRELATED", relation, a, b }        all other spans of b
--   { op = "QL", root, evaluate, parts … }      what a query leaves (dialect/ql.lua)
-- and marks those that hold an UNRELATED with `absent`.
--
-- Of a span it may be unknown whether it is in a set, so each set has three bounds, each within the next:
--   SURE       in it, whatever else arrives
--   SHOWN      in it by what has arrived: absences are taken for true where nothing disproves them
--   POSSIBLE   not proved to be outside: also what hangs on a parent that is not there
-- A condition that wants a span looks at SURE and SHOWN: what is not there is not there. One that wants none
-- looks at POSSIBLE, and at whether the set is *open*: spans may be in it that nobody can name, since the
-- trace was cut or since a function's answer is unknown.
local clear = require("table.clear")
local structure = require("fluo.structure")

local M = {}

M.SURE, M.SHOWN, M.POSSIBLE = 1, 2, 3
local SURE, SHOWN, POSSIBLE = M.SURE, M.SHOWN, M.POSSIBLE

-- ---- the trace -----------------------------------------------------------------------------------

--- Lets go of what a look has found out.
function M.forget(run)
  clear(run.values)
  clear(run.found)
  clear(run.sets)
  clear(run.failures)
  run.view, run.unsure, run.duration = nil, nil, nil
end

--- A look at a view (judge.lua) by one rule; patterns by slot: their ids and labels. run: an earlier look, which is
-- over and becomes this one.
function M.look(view, compiled, ids, labels, run)
  if run then M.forget(run) else run = { values = {}, found = {}, sets = {}, failures = {} } end
  run.view, run.ids, run.labels, run.complete = view, ids, labels, compiled.complete
  return run
end

local function hits(run, slot) return run.view.hits(run.ids[slot]) end

--- Who is whose parent: found out once a trace and job.
function M.tree(run)
  local facts = run.view.facts or run.found
  if not facts.tree then facts.tree = structure.of(run.view) end
  return facts.tree
end

--- Spans of this trace may be missing, so that nothing is absent for sure.
function M.unsure(run)
  local view = run.view
  if run.unsure == nil then
    run.unsure = not view.closing or view.cut or false
    if not run.unsure and view.startup then run.unsure = M.tree(run).orphans > 0 end
    if not run.unsure and run.complete then run.unsure = not structure.complete(M.tree(run)) end
  end
  return run.unsure
end

--- Two lists of spans in start order as one, each span once.
function M.merge(view, a, b)
  if #a == 0 then return b end
  if #b == 0 then return a end
  local out, i, j = {}, 1, 1
  while a[i] and b[j] do
    local span = a[i]
    if span == b[j] then
      i, j = i + 1, j + 1
    elseif structure.before(view, span, b[j]) then
      i = i + 1
    else
      span, j = b[j], j + 1
    end
    out[#out + 1] = span
  end
  for k = i, #a do out[#out + 1] = a[k] end
  for k = j, #b do out[#out + 1] = b[k] end
  return out
end

-- ---- sets ----------------------------------------------------------------------------------------

local function without(spans, ...)
  local out = {}
  for i = 1, select("#", ...) do
    for _, span in ipairs((select(i, ...))) do out[span] = true end
  end
  local result = {}
  for _, span in ipairs(spans) do
    if not out[span] then result[#result + 1] = span end
  end
  return result
end

local members = {}

function members.SLOT(run, set) return hits(run, set.slot) end

-- By halves, so that an `or` of thousands merges each span few times.
local function union(run, parts, bound, from, to)
  if from == to then return M.members(run, parts[from], bound) end
  local middle = math.floor((from + to) / 2)
  return M.merge(run.view, union(run, parts, bound, from, middle), union(run, parts, bound, middle + 1, to))
end

function members.ANY(run, set, bound) return union(run, set.parts, bound, 1, #set.parts) end

local function tree_for(run, set) return structure.TREE[set.relation] and M.tree(run) end

function members.RELATED(run, set, bound)
  local a, b, tree = M.members(run, set.a, bound), M.members(run, set.b, bound), tree_for(run, set)
  local related = structure.related(tree, set.relation, a, b)
  if bound ~= POSSIBLE then return related end
  return M.merge(run.view, related, structure.unsettled(tree, set.relation, a, b))
end

function members.UNRELATED(run, set, bound)
  local b, relation = M.members(run, set.b, bound), set.relation
  if #b == 0 then return b end
  if bound ~= SURE then
    return without(b, structure.related(M.tree(run), relation, M.members(run, set.a, SURE), b))
  elseif M.open(run, set.a) then
    return {}
  end
  local a, tree = M.members(run, set.a, POSSIBLE), M.tree(run)
  return without(b, structure.related(tree, relation, a, b), structure.unsettled(tree, relation, a, b))
end

function members.QL(run, set, bound) return set.evaluate(run, set)[bound] end

--- The spans of a set by one of its bounds, in start order. The list is not the caller's to change.
function M.members(run, set, bound)
  if set.op == "SLOT" then return hits(run, set.slot) end
  if bound == SHOWN and not set.absent then bound = SURE end
  local known = run.sets[set]
  if not known then
    known = {}
    run.sets[set] = known
  end
  known[bound] = known[bound] or members[set.op](run, set, bound)
  return known[bound]
end

--- Whether spans may be in the set that are in none of its bounds.
function M.open(run, set)
  if M.unsure(run) then return true end
  if set.op == "SLOT" then return run.view.unknown(run.ids[set.slot]) > 0 end
  if set.op == "UNRELATED" then return M.open(run, set.b) end
  for _, part in ipairs(set.parts or { set.a, set.b }) do
    if M.open(run, part) then return true end
  end
  return false
end

--- Whether its bounds are one, and it is not open: nothing about it is unknown.
function M.settled(run, set)
  return not M.open(run, set) and #M.members(run, set, SURE) == #M.members(run, set, POSSIBLE)
end

-- ---- in words ------------------------------------------------------------------------------------

local WORDS = { below = "at or below", same = "which is", beside = "beside", child = "as child of",
                parent = "as parent of", descendant = "as descendant of", ancestor = "as ancestor of",
                sibling = "as sibling of" }

local function inner(run, set)
  local text = M.text(run, set)
  return set.op == "SLOT" and text or "(" .. text .. ")"
end

--- What a reason calls a set: "db.query", "db.query as child of payment".
function M.text(run, set)
  if set.op == "SLOT" then return run.labels[set.slot] end
  if set.op == "QL" then return set.text end
  if set.op == "ANY" then
    local parts = {}
    for i, part in ipairs(set.parts) do parts[i] = M.text(run, part) end
    return table.concat(parts, " or ")
  elseif set.op == "RELATED" then
    return ("%s %s %s"):format(inner(run, set.b), WORDS[set.relation], inner(run, set.a))
  end
  return ("%s without %s %s it"):format(inner(run, set.b), inner(run, set.a), WORDS[structure.INVERSE[set.relation]])
end

--- What each absence within a set wants absent, in the order it was written: calls each(text).
function M.absences(run, set, each)
  if not set.absent then return end
  if set.op == "QL" then
    for _, text in ipairs(set.absences) do each(text) end
    return
  end
  if set.op == "UNRELATED" then
    each(("%s %s %s"):format(inner(run, set.a), WORDS[structure.INVERSE[set.relation]], inner(run, set.b)))
  end
  for _, part in ipairs(set.parts or { set.a, set.b }) do M.absences(run, part, each) end
end

return M
