--- Judges a trace by a compiled condition (plan.lua): true, false or unknown, and what proves it.
--
-- What it sees of the trace is a view, a table of plain values (spans are indices from 0, in order of
-- arrival):
--   n                     how many spans
--   start(i), end_(i)     times in ns from any one origin: integral numbers or int64 cdata, which
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
local clear = require("table.clear")
local comparison = require("fluo.comparison")
local spans = require("fluo.spans")
local M = {}

local SURE, SHOWN, POSSIBLE = spans.SURE, spans.SHOWN, spans.POSSIBLE
local format = string.format                               -- the method of strings is what rules may call

-- ---- what a leaf asks of the trace ---------------------------------------------------------------

local function hits(run, slot) return run.view.hits(run.ids[slot]) end

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

-- Whether a number holds of which `sure` is certain and no more than `most` (nil: nobody knows how many) possible. It
-- can only grow: what is beyond an upper bound is settled.
local function bounded(sure, most, node)
  local compare, high = node.compare, node.high or node.n
  if compare == "LT" or compare == "LE" then
    if not comparison.holds(sure, compare, node.n) then return false end
    return most and comparison.holds(most, compare, node.n) or nil
  end
  local holds = comparison.holds(sure, compare, node.n, high)
  if sure > high or most == sure then return holds end
  if most and sure >= node.n and most <= high then return holds end
  if most and most < node.n then return compare == "NE" end
  return nil
end

-- A lower bound wants spans that are there; shown are those that are if nothing disproves them.
local function at_least(sure, shown, node)
  if comparison.holds(sure, node.compare, node.n) then return true end
  if comparison.holds(shown, node.compare, node.n) then return nil end
  return false
end

local function is_lower(node) return node.compare == "GT" or node.compare == "GE" end

function value.HITS(run, node)
  local set = node.set
  local sure = #spans.members(run, set, SURE)
  if is_lower(node) then return at_least(sure, #spans.members(run, set, SHOWN), node) end
  -- What is more already than it may be needs no further look.
  if sure > (node.high or node.n) then return bounded(sure, nil, node) end
  return bounded(sure, not spans.open(run, set) and #spans.members(run, set, POSSIBLE) or nil, node)
end

local function metric(run, node, n)
  if is_lower(node) then return at_least(n, n, node) end
  if n > (node.high or node.n) then return bounded(n, nil, node) end
  return bounded(n, not spans.unsure(run) and n or nil, node)
end

function value.DURATION(run, node) return metric(run, node, duration(run)) end
function value.SPANS(run, node) return metric(run, node, run.view.n) end

-- Negated: a span that is surely none of them proves it, and nothing can undo that.
function value.ALL(run, node)
  local open = run.view.n - #hits(run, node.slot)
  local some_is_not = open - run.view.unknown(run.ids[node.slot]) > 0
  if some_is_not then return node.negated == true end
  if open > 0 then return nil end
  if node.negated then return false end
  if spans.unsure(run) then return nil end
  return true
end

-- What a function says, asked once wherever it stands.
local function answer(run, fn)
  local known = run.found[fn]
  if not known then
    local truth, why = run.view.satisfies(fn)
    known = { truth = truth }
    run.found[fn], run.failures[#run.failures + 1] = known, why
  end
  return known.truth
end

-- A function may ask for what is not there, so it is asked only where nothing can be missing.
function value.SATISFIES(run, node)
  if spans.unsure(run) then return nil end
  local truth = answer(run, node.fn)
  if truth == nil then return nil end
  return truth ~= node.negated
end

-- What is asked of a chain by one bound of its sets. What is absent from SURE must be out of what is POSSIBLE; by the
-- other bounds it is taken for absent unless it surely is there.
local function item_by(run, item, bound)
  local compare, set = item.compare, item.set
  if compare == "GT" or compare == "GE" then return compare, spans.members(run, set, bound) end
  local sure = spans.members(run, set, SURE)
  if spans.settled(run, set) then return compare, sure end
  if compare == "NE" then
    if bound == SURE then return "GT", sure end
    return "ALWAYS", sure
  elseif bound ~= SURE then
    return compare == "EQ" and "LE" or compare, sure
  elseif compare == "EQ" or spans.open(run, set) then
    return nil
  end
  return compare, spans.members(run, set, POSSIBLE)
end

local function absence_by(run, absence, bound)
  if bound ~= SURE then return spans.members(run, absence.set, SURE) end
  if spans.open(run, absence.set) then return nil end
  return spans.members(run, absence.set, POSSIBLE)
end

local function find(run, node, bound)
  return chain.find(run.view, node, {
    step = function(step) return spans.members(run, step.set, bound) end,
    item = function(item) return item_by(run, item, bound) end,
    absence = function(absence) return absence_by(run, absence, bound) end,
  })
end

-- Whether a chain that nothing shows may be there because of spans that nobody can name.
local function chain_open(run, node)
  if spans.unsure(run) then return true end
  for _, step in ipairs(node.steps) do
    if spans.open(run, step.set) then return true end
  end
  for _, item in ipairs(node.items) do
    local more_may_help = item.form == "count" and item.compare ~= "LT" and item.compare ~= "LE"
    if more_may_help and spans.open(run, item.set) then return true end
  end
  return false
end

-- Of a chain that the bound finds, or for which its search was given up, nobody can say that it is not there.
local function not_shown(run, node, bound)
  local found, given_up = find(run, node, bound)
  if found or given_up then return nil end
  return false
end

function value.CHAIN(run, node)
  local found, given_up = find(run, node, SURE)
  run.found[node] = found
  if found then return not node.negated end
  if given_up then return nil end
  if not node.negated then
    if not node.absent then return false end
    return not_shown(run, node, SHOWN)
  end
  if chain_open(run, node) or not_shown(run, node, POSSIBLE) == nil then return nil end
  return true
end

-- ---- what proves it ------------------------------------------------------------------------------

-- Once a condition is true: its witnesses, reasons and first comparison, in the order it was written.
-- Of a true `or` that is its first true part; of a broken invariant every part that broke is named, so
-- `out.every` takes them all.
local explain = {}

local function explain_node(run, node, out) return explain[node.op](run, node, out) end

local function add_witnesses(run, out, list)
  if not out.silent then out.witnesses = spans.merge(run.view, out.witnesses, list) end
end

-- An absence is always a reason; what is there only where every part is named.
local function add_reason(out, fact)
  if out.every then fact = out.part .. ": " .. fact end
  local reasons = out.reasons
  if reasons[fact] or out.reason_bytes > M.REASON_BYTES_MAX then return end
  reasons[fact] = true
  reasons[#reasons + 1] = fact
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
  return format("%sbetween %s and %s", node.compare == "NE" and "not " or "", show(node.n), show(node.high))
end

-- What a set wants absent.
local function add_absences(run, set, out)
  spans.absences(run, set, function(text) add_reason(out, "missing " .. text) end)
end

function explain.HITS(run, node, out)
  local set, list = node.set, spans.members(run, node.set, SURE)
  if node.form == "has" then
    local all = set.op == "QL" and set.evaluate(run, set)
    add_witnesses(run, out, (all or #list == 1) and list or { list[1] })
    if all and all.value then add_value(out, all.value, all.threshold) end
    if set.absent then return add_absences(run, set, out) end
    if out.every then add_reason(out, spans.text(run, set)) end
    return
  elseif node.form == "count" then
    add_witnesses(run, out, list)
    add_value(out, #list, node.n)
  end
  if #list == 0 then return add_reason(out, "missing " .. spans.text(run, set)) end
  if out.every then add_reason(out, format("%d times %s", #list, spans.text(run, set))) end
end

local function milliseconds(ns)
  return (format("%.6f", tonumber(ns) / 1e6):gsub("%.?0+$", ""))
end

local function whole(n) return (tostring(n):gsub("[UL]+$", "")) end

function explain.DURATION(run, node, out)
  local ns = duration(run)
  add_value(out, tonumber(ns) / 1e6, tonumber(node.n) / 1e6)
  if not out.every then return end
  add_reason(out, format("duration %s ms, %s", milliseconds(ns), compared_text(node, milliseconds)))
end

function explain.SPANS(run, node, out)
  add_value(out, run.view.n, node.n)
  if out.every then add_reason(out, format("%d spans, %s", run.view.n, compared_text(node, whole))) end
end

function explain.ALL(run, node, out)
  if not out.every then return end
  local label = run.labels[node.slot]
  if not node.negated then return add_reason(out, "all " .. label) end
  add_reason(out, format("%d spans not %s", run.view.n - #hits(run, node.slot), label))
end

function explain.SATISFIES(_, node, out)
  if out.every then add_reason(out, (node.negated and "not " or "") .. node.label) end
end

local function chain_text(run, node)
  local parts = {}
  for _, step in ipairs(node.steps) do
    if #parts > 0 then parts[#parts + 1] = step.word or "followed by" end
    parts[#parts + 1] = spans.text(run, step.set)
  end
  for _, set in ipairs(node.missing) do
    parts[#parts + 1] = "not followed by"
    parts[#parts + 1] = spans.text(run, set)
  end
  return table.concat(parts, " ")
end

local function add_figure(run, figure, found, out)
  if figure.kind ~= "gap" then return add_value(out, found.counts[figure], figure.n) end
  local ns = run.view.start(found.chosen[figure.to]) - run.view.end_(found.chosen[figure.from])
  add_value(out, tonumber(ns) / 1e6, tonumber(figure.n) / 1e6)
end

-- What a chain that was found wants absent: whether there was any.
local function add_missing(run, node, out)
  local any = false
  local function missing(text)
    any = true
    add_reason(out, "missing " .. text)
  end
  for _, step in ipairs(node.steps) do spans.absences(run, step.set, missing) end
  for _, item in ipairs(node.items) do
    if item.form == "missing" then missing(spans.text(run, item.set)) end
  end
  for _, set in ipairs(node.missing) do missing(spans.text(run, set)) end
  return any
end

function explain.CHAIN(run, node, out)
  if node.negated then return add_reason(out, "missing " .. chain_text(run, node)) end
  local found = run.found[node]
  add_witnesses(run, out, found.spans)
  if node.figures[1] then add_figure(run, node.figures[1], found, out) end
  if not add_missing(run, node, out) and out.every then add_reason(out, chain_text(run, node)) end
end

local function explain_part(run, node, out, part)
  if not node or not value_of(run, node) then return end
  out.every, out.part = true, part
  -- What broke `always` is what is not there, or should not be: the witnesses stay those of `when`.
  out.silent = part == "always"
  explain_node(run, node, out)
end

-- One look and one result serve all judgments, which follow each other: made anew for each they were most of what
-- a worker's collector has to do.
local NONE, current, out = {}, nil, { reasons = {} }

local function clear_result()
  local reasons = out.reasons
  clear(reasons)
  clear(out)
  out.witnesses, out.reasons, out.reason_bytes = NONE, reasons, 0
end

local function result_of(run, compiled)
  clear_result()
  explain_node(run, compiled.when, out)
  explain_part(run, compiled.broken, out, "always")
  explain_part(run, compiled.never, out, "never")
  out.reason = out.reasons[1] and table.concat(out.reasons, "; ") or nil
  return out
end

--- Lets go of what the last judgment has found out.
function M.close()
  if current then spans.forget(current) end
  clear_result()
end

-- ---- one part by itself ---------------------------------------------------------------------------

--- For explaining (explain.lua): a look at a view by a compiled condition whose patterns have their ids.
function M.look(view, compiled)
  local ids, labels = {}, {}
  for slot, pattern in ipairs(compiled.patterns) do
    ids[slot], labels[slot] = pattern.id, pattern.label
  end
  return spans.look(view, compiled, ids, labels)
end

--- What a plan comes to by such a look: true, false, or nil for unknown.
M.value = value_of
--- The trace's duration in ns.
M.duration = duration
--- What the search of a chain that is true has found (chain.lua).
function M.found(run, plan) return run.found[plan] end

-- ---- a rule --------------------------------------------------------------------------------------

--- Makes a compiled condition ready to judge, once its patterns have their ids. Gives
-- evaluator(view) -> truth, result, failures: true, false or nil (unknown); failures say why functions of the
-- trace gave no answer; when true the result is, until the next judgment,
--   witnesses          all of them, spans in start order
--   reason             text, or nil
--   value, threshold   numbers of the first comparison that holds (durations in ms), or nil
function M.prepare(compiled)
  local ids, labels = {}, {}
  for slot, pattern in ipairs(compiled.patterns) do
    ids[slot], labels[slot] = pattern.id, pattern.label
  end
  return function(view)
    current = spans.look(view, compiled, ids, labels, current)
    local truth = value_of(current, compiled.whole)
    if not truth then return truth, nil, current.failures end
    return true, result_of(current, compiled), current.failures
  end
end

return M
