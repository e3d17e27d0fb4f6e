--- The entries of a pattern against spans: which of them hold, by the core's own matcher (filter.lua), and the spans
-- that came nearest.
--
-- An entry is a part of the pattern's formula: { text, node, filter, parts }; of an `any_of` or `all_of` its parts
-- are entries as well. All that is done is bounded: entries of a pattern, of a rule, tests of a trace.
local filters = require("fluo.filter")
local hints = require("fluo.explain.hints")
local span = require("fluo.explain.span")
local trace = require("fluo.trace")
local words = require("fluo.explain.words")

local M = {}

local ENTRIES_MAX, FILTERS_MAX, DEPTH_MAX = 32, 128, 3    -- of a pattern, of a rule (32 KiB each), of parts in parts
local TESTS_MAX = 50000                                   -- of one pattern on one trace, a microsecond each
local CANDIDATES_MAX, NEAREST_SHOWN = 16, 2

-- ---- making -------------------------------------------------------------------------------------

local function entry_of(node, budget, depth)
  local entry = { text = words.entry(node), node = node }
  if budget.left <= 0 then return entry end
  budget.left = budget.left - 1
  entry.filter = filters.compile({ ast = node, label = "" })
  if (node.op == "or" or node.op == "and") and depth < DEPTH_MAX then
    entry.parts = {}
    for i = 1, math.min(#node, ENTRIES_MAX) do entry.parts[i] = entry_of(node[i], budget, depth + 1) end
  end
  return entry
end

--- What a rule may spend on filters.
function M.budget() return { left = FILTERS_MAX } end

--- The entries of a pattern: a list, with `more`, how many it has besides.
function M.of(pattern, budget)
  local ast = pattern.ast
  if ast.op == "true" then return { more = 0 } end
  local nodes, list = ast.op == "and" and ast or { ast }, {}
  for i = 1, math.min(#nodes, ENTRIES_MAX) do list[i] = entry_of(nodes[i], budget, 1) end
  list.more = #nodes - #list
  return list
end

-- ---- testing ------------------------------------------------------------------------------------

-- true, false, or nil for unknown, and then why where a function threw.
local function test(entry, i)
  if not entry.filter then return nil end
  trace.begin(span.trace_id())
  local good, truth = pcall(filters.truth, entry.filter, span.offset(i), span.trace_id())
  local spoiled = trace.finish()
  if not good then return nil, tostring(truth) end
  if spoiled then return nil, spoiled end
  return truth
end

-- How near a span is: the entries that hold, its name counting double.
local function score(list, i)
  local holds, more = 0, 0
  for _, entry in ipairs(list) do
    if test(entry, i) then
      holds = holds + 1
      if entry.node.field == "NAME" then more = 1 end
    end
  end
  return holds, holds + more
end

local function keep(best, one)
  local at = #best + 1
  while at > 1 and best[at - 1].score < one.score do at = at - 1 end
  if at <= CANDIDATES_MAX then table.insert(best, at, one) end
  best[CANDIDATES_MAX + 1] = nil
end

-- The spans that come into question, the nearest first; the most entries that hold of one; and whether some spans were
-- not looked at.
local function candidates(view, list, is_hit, breathe)
  local best, most, tests = {}, 0, 0
  for i = 0, view.n - 1 do
    if not is_hit[i] then
      if tests >= TESTS_MAX then return best, most, true end
      breathe()
      local holds, points = score(list, i)
      tests, most = tests + #list, math.max(most, holds)
      keep(best, { span = i, score = points })
    end
  end
  return best, most, false
end

local function shown_value(atom, value)
  if value == nil then return "absent" end
  if atom.field == "DURATION" then return words.time(value * 1e6) end
  return words.value(value)
end

-- The atom that an entry is about, and whether it is negated.
local function atom_of(node)
  if node.op == "atom" then return node, false end
  if node.op == "not" and node[1].op == "atom" then return node[1], true end
end

-- The value, and by which key it was found where that is another convention's.
local function present(atom, i)
  local value = span.value(i, atom.field, atom.key)
  local text = shown_value(atom, value)
  if value == nil or atom.field ~= "ATTRIBUTE" then return text end
  local other = hints.renamed(atom.key, i)
  return other and ("%s, as %s"):format(text, words.name(other)) or text
end

local function names_of_events(i)
  local names = {}
  for k, event in ipairs(span.events(i)) do names[k] = event.name end
  return #names == 0 and "no events" or "events " .. words.value(names)
end

-- What an entry comes to on a span, as data.
local function look(view, entry, i)
  local truth, why = test(entry, i)
  local out, weight = { text = entry.text, truth = truth == nil and "unknown" or tostring(truth) }, 0
  local atom, negated = atom_of(entry.node)
  if atom and truth == false and not negated then
    out.hint, weight = hints.of(view, atom, i)
    out.value = present(atom, i)
  elseif atom then
    out.value = present(atom, i)
  elseif entry.node.op == "event" and not truth then
    out.value = names_of_events(i)
  end
  out.hint = out.hint or why and "a function raised an error: " .. words.quote(why) or nil
  if truth == nil and not why then
    out.hint = entry.filter and "a regular expression went beyond its limit"
      or "the rule has more entries than are looked at"
  end
  if truth ~= true and entry.parts then
    out.parts = {}
    for k, part in ipairs(entry.parts) do
      local more
      out.parts[k], more = look(view, part, i)
      weight = math.max(weight, more)
    end
  end
  return out, weight
end

local function against(view, list, i)
  local out, weight = { span = span.data(i), entries = {}, holds = 0, of = #list + list.more }, 0
  for k, entry in ipairs(list) do
    local one, more = look(view, entry, i)
    out.entries[k], weight = one, weight + more
    if one.truth == "true" then out.holds = out.holds + 1 end
  end
  return out, weight
end

local function by_points(a, b)
  if a.points ~= b.points then return a.points > b.points end
  return a.at < b.at
end

-- A span of which no entry holds and nothing suggests why is not near; a second one is worth it where it tells
-- something, too.
local function is_worth(found, at, eager)
  if found.weight > 0 then return true end
  return at == 1 and (found.one.holds > 0 or eager)
end

local NONE = {}

--- The share of entries that hold on the span on which most do.
function M.share(view, list, breathe)
  local _, most = candidates(view, list, NONE, breathe)
  return #list > 0 and most / (#list + list.more) or 0
end

--- The spans nearest to satisfying all entries, those that do (hits) left out: a list, and whether only a part of the
-- trace was looked at. eager: show one even if it is not near.
function M.nearest(view, list, hits, breathe, eager)
  local is_hit = {}
  for _, i in ipairs(hits) do is_hit[i] = true end
  local best, _, partly = candidates(view, list, is_hit, breathe)
  local found, shown = {}, {}
  for k, candidate in ipairs(best) do
    local one, weight = against(view, list, candidate.span)
    breathe()
    found[k] = { one = one, weight = weight, points = candidate.score + weight / 4, at = k }
  end
  table.sort(found, by_points)
  for k = 1, math.min(#found, NEAREST_SHOWN) do
    if is_worth(found[k], k, eager) then shown[#shown + 1] = found[k].one end
  end
  return shown, partly
end

return M
