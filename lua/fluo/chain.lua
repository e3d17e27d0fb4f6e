--- Finds the earliest assignment of a chain (steps.lua says what a chain is).
--
-- What concerns one step alone, the items and absences at its start, sieves its candidates first. Then, in a chain
-- whose steps stand in order, every condition on a step is a lower bound that rises with the other steps: a step
-- starts after the one before it, and so near to the last of its window that the window holds both. So moving each
-- step to its next candidate whenever a bound asks for it ends in the least solution: each step at the earliest span
-- it can have in any solution, which is the earliest first step that can be completed, then the earliest second, and
-- so on. Steps never move back: the work is linear in the hits, times the steps. A free chain is search.lua's.
local comparison = require("fluo.comparison")
local search = require("fluo.search")
local spans = require("fluo.spans")
local M = {}

-- ---- what concerns one moment --------------------------------------------------------------------

-- Those that start in [t0, t0 + ns) are from `low` up to but without `high`. Both only move forward, for t0 does.
local function count_from(view, list, item, t0)
  local start, low, high = view.start, item.low or 1, item.high or 1
  while list[low] and start(list[low]) < t0 do low = low + 1 end
  if high < low then high = low end
  while list[high] and start(list[high]) - t0 < item.ns do high = high + 1 end
  item.low, item.high = low, high
  return high - low
end

local function sieve(list, test)
  local result = {}
  for _, span in ipairs(list) do
    if test(span) then result[#result + 1] = span end
  end
  return result
end

local function sieve_item(view, list, item)
  if item.compare == "ALWAYS" then return list end
  local at = { ns = item.ns }
  return sieve(list, function(span)
    return comparison.holds(count_from(view, item.list, at, view.start(span)), item.compare, item.n)
  end)
end

local function sieve_absence(view, list, absence)
  local start, absent, at = view.start, absence.list, 1
  return sieve(list, function(span)
    local t = start(span)
    while absent[at] and start(absent[at]) <= t do at = at + 1 end
    return not absent[at] or (absence.ns and start(absent[at]) - t >= absence.ns or false)
  end)
end

-- ---- steps in order ------------------------------------------------------------------------------

-- Moves a step to its first candidate from where it is that is later than `after`.
local function settle_step(view, step, after)
  local list, start, at = step.list, view.start, step.at
  while list[at] do
    local t = start(list[at])
    if after == nil or after < t then
      step.at, step.start = at, t
      return true
    end
    at = at + 1
  end
  return false
end

-- Moves the first step of a window so near to its last that the window holds them: nil when nothing is
-- left, else whether it moved.
local function settle_window(view, from, to, ns)
  local moved = false
  while from.start < to.start and to.start - from.start >= ns do
    from.at, moved = from.at + 1, true
    local span = from.list[from.at]
    if not span then return nil end
    from.start = view.start(span)
  end
  return moved
end

local function settle(view, chain, steps)
  local moved = true
  while moved do
    local after = nil
    for _, step in ipairs(steps) do
      if not settle_step(view, step, after) then return false end
      after = step.start
    end
    moved = false
    for _, window in ipairs(chain.windows) do
      local result = settle_window(view, steps[window.first], steps[window.last], window.ns)
      if result == nil then return false end
      moved = moved or result
    end
  end
  return true
end

-- ---- what was found ------------------------------------------------------------------------------

local function counted(view, item, t0)
  local result, at = {}, { ns = item.ns }
  count_from(view, item.list, at, t0)
  for k = at.low, at.high - 1 do result[#result + 1] = item.list[k] end
  return result
end

-- Every item with its moment.
local function each_item(view, chain, opened, each)
  for i, step in ipairs(chain.steps) do
    for _, item in ipairs(step.items) do each(item, view.start(opened.steps[i].list[opened.steps[i].at])) end
  end
  for i, window in ipairs(chain.windows) do
    for _, item in ipairs(window.items) do each(item, opened.moments[i]) end
  end
end

local function found_of(view, chain, opened)
  local found = { spans = {}, counts = {}, chosen = {} }
  for i, step in ipairs(opened.steps) do
    found.chosen[i] = step.list[step.at]
    if not chain.steps[i].anchor then found.spans = spans.merge(view, found.spans, { found.chosen[i] }) end
  end
  each_item(view, chain, opened, function(item, t0)
    local list = counted(view, opened.items[item], t0)
    found.spans, found.counts[item] = spans.merge(view, found.spans, list), #list
  end)
  return found
end

-- A chain of counts that has none of their spans: then the interval is any empty one.
local function found_in_nothing(chain, items)
  local found = { spans = {}, counts = {}, chosen = {} }
  for _, item in ipairs(chain.items) do
    local compare = items[item].compare
    if compare ~= "ALWAYS" and not comparison.holds(0, compare, item.n) then return nil end
    found.counts[item] = 0
  end
  return found
end

-- ---- a chain -------------------------------------------------------------------------------------

-- The chain's steps, items and absences with their lists; nil where one of them can never hold.
local function open(chain, lists)
  local opened = { steps = {}, items = {}, absences = {}, moments = {} }
  for _, item in ipairs(chain.items) do
    local compare, list = lists.item(item)
    if not compare then return nil end
    opened.items[item] = { compare = compare, n = item.n, ns = item.ns, list = list }
  end
  local function open_absences(list)
    for _, absence in ipairs(list) do
      local absent = lists.absence(absence)
      if not absent then return false end
      opened.absences[absence] = { ns = absence.ns, list = absent, group = absence.group }
    end
    return true
  end
  for i, step in ipairs(chain.steps) do
    opened.steps[i] = { list = lists.step(step), at = 1 }
    if not open_absences(step.absences) then return nil end
  end
  return open_absences(chain.absences) and opened or nil
end

local function sieve_steps(view, chain, opened)
  for i, step in ipairs(opened.steps) do
    for _, item in ipairs(chain.steps[i].items) do step.list = sieve_item(view, step.list, opened.items[item]) end
    for _, absence in ipairs(chain.steps[i].absences) do
      step.list = sieve_absence(view, step.list, opened.absences[absence])
    end
    if #step.list == 0 then return false end
  end
  return true
end

--- The earliest assignment, or nil when there is none; then whether the search was given up.
--   spans    its witnesses in start order: one a step, and the spans that its items counted
--   chosen   the span of each step
--   counts   by item, how many
-- lists.step(step) and lists.absence(absence) give spans in start order, lists.item(item) a comparison (or "ALWAYS")
-- and the spans; nil: that can never hold.
function M.find(view, chain, lists)
  local opened = open(chain, lists)
  if not opened then return nil, false end
  local only = #opened.steps == 1 and chain.steps[1].anchor
  if only and #opened.steps[1].list == 0 then return found_in_nothing(chain, opened.items), false end
  if not sieve_steps(view, chain, opened) then return nil, false end
  local found, given_up
  if chain.free then
    found, given_up = search.find(view, chain, opened)
  else
    found = settle(view, chain, opened.steps)
  end
  return found and found_of(view, chain, opened) or nil, given_up or false
end

return M
