--- Finds the earliest assignment of a chain (plan.lua says what a chain is).
--
-- Every condition on a step is a lower bound that rises with the other steps, so moving each step to its
-- next candidate whenever a bound asks for it ends in the least solution: each step at the earliest span
-- it can have in any solution, which is the earliest first step that can be completed, then the earliest
-- second, and so on. Steps never move back: the work is linear in the hits, times the steps.
local structure = require("fluo.structure")
local plan = require("fluo.plan")
local M = {}

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

-- An item's spans that start in [t0, t0 + ns) are those from `low` up to but without `high`. Both only
-- move forward, for t0 does.
local function count_from(view, item, t0)
  local list, start, low, high = item.list, view.start, item.low, item.high
  while list[low] and start(list[low]) < t0 do low = low + 1 end
  if high < low then high = low end
  while list[high] and start(list[high]) - t0 < item.ns do high = high + 1 end
  item.low, item.high = low, high
  return high - low
end

local function items_hold(view, items, t0)
  for _, item in ipairs(items) do
    if not plan.holds(count_from(view, item, t0), item.compare, item.n) then return false end
  end
  return true
end

-- Moves a step to its first candidate from where it is that is later than `after` and suits its items.
local function settle_step(view, step, after)
  local list, start, at = step.list, view.start, step.at
  while list[at] do
    local t = start(list[at])
    if (after == nil or after < t) and items_hold(view, step.items, t) then
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
      local result = settle_window(view, steps[window.from], steps[window.to], window.ns)
      if result == nil then return false end
      moved = moved or result
    end
  end
  return true
end

local function open_steps(chain, candidates, hits)
  local steps = {}
  for i, step in ipairs(chain.steps) do
    local items = {}
    for k, item in ipairs(step.items) do
      items[k] = { form = item.form, slot = item.slot, compare = item.compare, n = item.n, ns = item.ns,
                   list = hits(item.slot), low = 1, high = 1 }
    end
    steps[i] = { list = candidates(step), at = 1, items = items, anchor = step.anchor }
  end
  return steps
end

local function found_of(view, steps)
  local spans, counts = {}, {}
  for _, step in ipairs(steps) do
    if not step.anchor then spans[#spans + 1] = step.list[step.at] end
    for _, item in ipairs(step.items) do
      if item.form == "count" then
        counts[#counts + 1] = { n = item.n, value = item.high - item.low, slot = item.slot }
      end
    end
  end
  for _, step in ipairs(steps) do
    for _, item in ipairs(step.items) do
      local counted = {}
      for k = item.low, item.high - 1 do counted[#counted + 1] = item.list[k] end
      spans = M.merge(view, spans, counted)
    end
  end
  return { spans = spans, counts = counts }
end

-- A chain of counts that has none of their spans: then the interval is any empty one.
local function found_in_nothing(steps)
  local counts = {}
  for _, item in ipairs(steps[1].items) do
    if not plan.holds(0, item.compare, item.n) then return nil end
    if item.form == "count" then counts[#counts + 1] = { n = item.n, value = 0, slot = item.slot } end
  end
  return { spans = {}, counts = counts }
end

--- The earliest assignment, or nil when there is none:
--   spans    its witnesses in start order: one a step, and the spans that its counts counted
--   counts   of its counts, in order: { slot, value, n }
-- candidates(step) and hits(slot) give spans in start order.
function M.find(view, chain, candidates, hits)
  local steps = open_steps(chain, candidates, hits)
  if #steps == 1 and steps[1].anchor and #steps[1].list == 0 then return found_in_nothing(steps) end
  return settle(view, chain, steps) and found_of(view, steps) or nil
end

return M
