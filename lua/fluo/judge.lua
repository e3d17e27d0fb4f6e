--- Judges a trace by a compiled condition (plan.lua): true, false or unknown, and what proves it.
--
-- What it sees of the trace is a view, a table of plain values (spans are indices from 0, in order of
-- arrival):
--   n                     how many spans
--   start(i), end_(i)     times in ns from any one origin: integral numbers or 64-bit cdata, which
--                         compare and subtract exactly with each other
--   id(i)                 8 bytes; no two spans of a trace share one
--   parent(i)             8 bytes, or nil: it has none
--   hits(pattern)         array of spans that satisfy the pattern (its index in the intermediate form),
--                         each once, by (start, id)
--   unknown(pattern)      how many spans have an unknown answer for it (they are no hits)
--   closing, cut          the trace has closed; it was cut
--   startup               it was first seen near the agent's start: cut if it holds an orphan
--   satisfies(fn)         what a function of the whole trace says of it: true, false, or nil and why
--   facts                 an empty table, new for each trace and job: what rules find out about the trace
--                         together (who is whose parent); nil: each rule for itself
--
-- Three values: true, false, and nil for unknown. A positive leaf is true or false by what is there. An
-- absence that is disproved is false; else it is unknown where something may be missing (unsure), or
-- where a pattern it is about has unknown answers; else true. An `and` takes the least of its parts, an
-- `or` the greatest.
local chain = require("fluo.chain")
local plan = require("fluo.plan")
local structure = require("fluo.structure")
local M = {}

-- ---- what a leaf asks of the trace ---------------------------------------------------------------

local function hits(run, slot) return run.view.hits(run.ids[slot]) end
local function has_unknown(run, slot) return run.view.unknown(run.ids[slot]) > 0 end

local function tree_of(run)
  local facts = run.view.facts or run.found
  if not facts.tree then facts.tree = structure.of(run.view) end
  return facts.tree
end

-- Spans of this trace may be missing, so that nothing is absent for sure.
local function unsure(run)
  local view = run.view
  if run.unsure == nil then
    run.unsure = not view.closing or view.cut or false
    if not run.unsure and view.startup then run.unsure = tree_of(run).orphans > 0 end
    if not run.unsure and run.complete then run.unsure = not structure.complete(tree_of(run)) end
  end
  return run.unsure
end

-- Of an absence that nothing disproves.
local function absence(run)
  if unsure(run) then return nil end
  return true
end

-- Spans of q in the scope of p, in start order.
local function in_scope(run, where)
  local tops, spans = hits(run, where.where), hits(run, where.slot)
  if #tops == 0 or #spans == 0 then return {} end
  if where.scope == "trace" then return spans end
  if where.scope == "below" then return structure.below(tree_of(run), tops, spans) end
  local is_top, result = {}, {}
  for _, span in ipairs(tops) do is_top[span] = true end
  for _, span in ipairs(spans) do
    if is_top[span] then result[#result + 1] = span end
  end
  return result
end

-- Whether a source that gave no span might have given one, but for what is not known of this trace.
local function source_unknown(run, source)
  if has_unknown(run, source.slot) then return true end
  if not source.where then return false end
  return has_unknown(run, source.where)
         or (source.scope == "below" and structure.hanging(tree_of(run), hits(run, source.slot)))
end

local function candidates(run, step)
  local result = {}
  for _, source in ipairs(step.sources) do
    local spans = source.where and in_scope(run, source) or hits(run, source.slot)
    result = chain.merge(run.view, result, spans)
  end
  return result
end

-- Latest end minus earliest start.
local function duration(run)
  local view = run.view
  if run.duration == nil then
    local first, last = view.start(0), view.end_(0)
    for span = 1, view.n - 1 do
      local start, stop = view.start(span), view.end_(span)
      if start < first then first = start end
      if stop > last then last = stop end
    end
    run.duration = last > first and last - first or last - last
  end
  return run.duration
end

-- ---- the value of a node -------------------------------------------------------------------------

local ABSENT = { LT = true, LE = true, EQ = true, NE = true }
local value = {}

local function value_of(run, node)
  local known = run.values[node]
  if known == nil then
    known = value[node.op](run, node)
    run.values[node] = known == nil and run or known    -- `run` itself stands for unknown
    return known
  end
  if known == run then return nil end
  return known
end

-- False wins an `and`; not all parts are looked at then.
function value.AND(run, node)
  local result = true
  for _, part in ipairs(node.parts) do
    local v = value_of(run, part)
    if v == false then return false end
    if v == nil then result = nil end
  end
  return result
end

function value.OR(run, node)
  local result = false
  for _, part in ipairs(node.parts) do
    local v = value_of(run, part)
    if v then return true end
    if v == nil then result = nil end
  end
  return result
end

-- What is counted can only grow: a lower bound that holds stays so, and what is beyond an upper one is
-- settled. All else waits for what may be missing: that there are two leaves `exactly(3)` open.
local function compared(run, n, node, slot)
  local compare, holds = node.compare, plan.holds(n, node.compare, node.n, node.high)
  if compare == "GT" or compare == "GE" or n > (node.high or node.n) then return holds end
  if not holds and compare ~= "EQ" and compare ~= "NE" then return false end
  if unsure(run) or (slot and has_unknown(run, slot)) then return nil end
  return holds
end

function value.HITS(run, node) return compared(run, #hits(run, node.slot), node, node.slot) end
function value.DURATION(run, node) return compared(run, duration(run), node) end
function value.SPANS(run, node) return compared(run, run.view.n, node) end

-- Negated: a span that is surely none of them proves it, and nothing can undo that.
function value.ALL(run, node)
  local open = run.view.n - #hits(run, node.slot)
  local some_is_not = open - run.view.unknown(run.ids[node.slot]) > 0
  if some_is_not then return node.negated == true end
  if open > 0 then return nil end
  if node.negated then return false end
  return absence(run)
end

-- A function may ask for what is not there, so it is asked only where nothing can be missing.
function value.SATISFIES(run, node)
  if unsure(run) then return nil end
  local truth, why = run.view.satisfies(node.fn)
  if truth == nil then
    run.failures[#run.failures + 1] = why
    return nil
  end
  return truth ~= node.negated
end

function value.WHERE(run, node)
  local spans = in_scope(run, node)
  run.found[node] = spans
  if not node.negated then return #spans > 0 end
  if #spans > 0 then return false end
  if unsure(run) or source_unknown(run, node) then return nil end
  return true
end

-- Of a chain that was found: true, or nil where what it wants absent may be there.
local function absence_in_chain(run, node)
  if not node.absent then return true end
  for _, item in ipairs(node.items) do
    if ABSENT[item.compare] and has_unknown(run, item.slot) then return nil end
  end
  return absence(run)
end

-- Nothing was found: could it be there all the same?
local function chain_unknown(run, node)
  if unsure(run) then return true end
  for _, step in ipairs(node.steps) do
    for _, source in ipairs(step.sources) do
      if source_unknown(run, source) then return true end
    end
  end
  for _, item in ipairs(node.items) do
    local more_may_help = item.compare ~= "LT" and item.compare ~= "LE" and item.form == "count"
    if more_may_help and has_unknown(run, item.slot) then return true end
  end
  return false
end

function value.CHAIN(run, node)
  local found = chain.find(run.view, node, function(step) return candidates(run, step) end,
                           function(slot) return hits(run, slot) end)
  run.found[node] = found
  if not found then
    if not node.negated then return false end
    if chain_unknown(run, node) then return nil end
    return true
  elseif absence_in_chain(run, node) == nil then
    return nil
  end
  return not node.negated
end

-- ---- what proves it ------------------------------------------------------------------------------

-- Once a condition is true: its witnesses, reasons and first comparison, in the order it was written.
-- Of a true `or` that is its first true part; of a broken invariant every part that broke is named, so
-- `out.every` takes them all.
local explain = {}

local function explain_node(run, node, out) return explain[node.op](run, node, out) end

local function add_witnesses(run, out, spans)
  if not out.silent then out.witnesses = chain.merge(run.view, out.witnesses, spans) end
end

local function add_reason(out, fact, is_absence)
  if out.every then
    fact = out.part .. ": " .. fact
  elseif not is_absence then
    return
  end
  if out.named[fact] or out.reason_bytes > M.REASON_BYTES_MAX then return end
  out.named[fact] = true
  out.reasons[#out.reasons + 1] = fact
  out.reason_bytes = out.reason_bytes + #fact + 2
end

local function add_value(out, n, threshold)
  if not out.value then out.value, out.threshold = tonumber(n), tonumber(threshold) end
end

--- Beyond this many bytes a reason names no further part.
M.REASON_BYTES_MAX = 1024

function explain.AND(run, node, out)
  for _, part in ipairs(node.parts) do explain_node(run, part, out) end
end

function explain.OR(run, node, out)
  for _, part in ipairs(node.parts) do
    if value_of(run, part) then
      explain_node(run, part, out)
      if not out.every then return end
    end
  end
end

local COMPARED = { GT = "over", GE = "at least", LT = "under", LE = "at most", EQ = "exactly", NE = "not" }

-- "exactly 5", "between 5 and 10", "not between 5 and 10".
local function compared_text(node, show)
  if not node.high then return COMPARED[node.compare] .. " " .. show(node.n) end
  return ("%sbetween %s and %s"):format(node.compare == "NE" and "not " or "", show(node.n), show(node.high))
end

function explain.HITS(run, node, out)
  local spans, label = hits(run, node.slot), run.labels[node.slot]
  if node.form == "has" then
    add_witnesses(run, out, { spans[1] })
    return add_reason(out, label)
  elseif node.form == "count" then
    add_witnesses(run, out, spans)
    add_value(out, #spans, node.n)
  end
  if #spans == 0 then return add_reason(out, "missing " .. label, true) end
  add_reason(out, ("%d times %s"):format(#spans, label))
end

local function milliseconds(ns)
  return (("%.6f"):format(tonumber(ns) / 1e6):gsub("%.?0+$", ""))
end

local function whole(n) return (tostring(n):gsub("[UL]+$", "")) end

function explain.DURATION(run, node, out)
  local ns = duration(run)
  add_value(out, tonumber(ns) / 1e6, tonumber(node.n) / 1e6)
  add_reason(out, ("duration %s ms, %s"):format(milliseconds(ns), compared_text(node, milliseconds)))
end

function explain.SPANS(run, node, out)
  add_value(out, run.view.n, node.n)
  add_reason(out, ("%d spans, %s"):format(run.view.n, compared_text(node, whole)))
end

function explain.ALL(run, node, out)
  local label = run.labels[node.slot]
  if not node.negated then return add_reason(out, "all " .. label) end
  add_reason(out, ("%d spans not %s"):format(run.view.n - #hits(run, node.slot), label))
end

function explain.SATISFIES(_, node, out)
  if out.every then add_reason(out, (node.negated and "not " or "") .. node.label) end
end

local SCOPES = { below = "at or below", span = "which is", trace = "beside" }

local function source_text(run, source)
  local label = run.labels[source.slot]
  if not source.where then return label end
  return ("%s %s %s"):format(label, SCOPES[source.scope], run.labels[source.where])
end

function explain.WHERE(run, node, out)
  local text = source_text(run, node)
  if node.negated then return add_reason(out, "missing " .. text, true) end
  add_witnesses(run, out, { run.found[node][1] })
  add_reason(out, text)
end

local function chain_text(run, node)
  local steps = {}
  for _, step in ipairs(node.steps) do
    local sources = {}
    for i, source in ipairs(step.sources) do sources[i] = source_text(run, source) end
    steps[#steps + 1] = table.concat(sources, " or ")
  end
  return table.concat(steps, " followed by ")
end

function explain.CHAIN(run, node, out)
  if node.negated then return add_reason(out, "missing " .. chain_text(run, node), true) end
  local found = run.found[node]
  add_witnesses(run, out, found.spans)
  if found.counts[1] then add_value(out, found.counts[1].value, found.counts[1].n) end
  local absent = false
  for _, item in ipairs(node.items) do
    if item.form == "missing" then
      absent = true
      add_reason(out, "missing " .. run.labels[item.slot], true)
    end
  end
  if not absent then add_reason(out, chain_text(run, node)) end
end

local function explain_part(run, node, out, part)
  if not node or not value_of(run, node) then return end
  out.every, out.part = true, part
  -- What broke `always` is what is not there, or should not be: the witnesses stay those of `when`.
  out.silent = part == "always"
  explain_node(run, node, out)
end

local function result_of(run, compiled)
  local out = { witnesses = {}, reasons = {}, named = {}, reason_bytes = 0 }
  explain_node(run, compiled.when, out)
  explain_part(run, compiled.broken, out, "always")
  explain_part(run, compiled.never, out, "never")
  return { witnesses = out.witnesses, value = out.value, threshold = out.threshold,
           reason = out.reasons[1] and table.concat(out.reasons, "; ") or nil }
end

-- ---- a rule --------------------------------------------------------------------------------------

--- Makes a compiled condition ready to judge, once its patterns have their ids. Gives
-- evaluator(view) -> truth, result, failures: true, false or nil (unknown); failures say why functions of the
-- trace gave no answer; when true the result is
--   witnesses          all of them, spans in start order
--   reason             text, or nil
--   value, threshold   numbers of the first comparison that holds (durations in ms), or nil
function M.prepare(compiled)
  local ids, labels = {}, {}
  for slot, pattern in ipairs(compiled.patterns) do
    ids[slot], labels[slot] = pattern.id, pattern.label
  end
  return function(view)
    local run = { view = view, ids = ids, labels = labels, complete = compiled.complete, values = {}, found = {},
                  failures = {} }
    local truth = value_of(run, compiled.whole)
    if not truth then return truth, nil, run.failures end
    return true, result_of(run, compiled), run.failures
  end
end

return M
