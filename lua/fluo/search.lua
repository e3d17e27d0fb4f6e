--- Finds the earliest assignment of a free chain (steps.lua): one whose steps do not stand in one order.
--
-- Steps are chosen one after the other as they were written, each at its earliest candidate that suits those chosen
-- before it; where one has none, the one before moves on. What was chosen leaves the next step an interval of starts,
-- so a choice is a binary search, and of `overlaps` the next candidate in it that ends late enough.
--
-- Two things keep this from trying all combinations. First candidates go that lie in no window which could hold all
-- of its steps and items, and those that cannot have a partner among the later steps, from the last step to the
-- first: of chains in which each step is bound to the one before it, and of any two steps, what is left never leads
-- astray. And after each choice the intervals of all later steps must hold some candidate. Windows over three steps
-- and more that are bound to each other in other ways, too, can still be so unlucky that the work is a product of the
-- hits: it is counted, and beyond WORK_MAX the search is given up. Then nobody knows whether there is an assignment.
local candidates = require("fluo.candidates")
local comparison = require("fluo.comparison")
local plus, first_from, next_fit = candidates.plus, candidates.first_from, candidates.next_fit

local M = {}

--- Looks at a candidate or at a bound, of one search: some 100 ms, of the 250 ms that a rule has for a trace.
-- Beyond it the rule's answer is unknown, which fluo_rule_unknown_total counts.
M.WORK_MAX = 500000

-- Of a larger group or window not every pair of steps is looked at beforehand.
local GROUP_MAX = 16

-- ---- bounds --------------------------------------------------------------------------------------

local function raise(bounds, low) if not bounds.low or low > bounds.low then bounds.low = low end end
local function lower(bounds, high) if not bounds.high or high < bounds.high then bounds.high = high end end

local gap_bounds = {
  GT = function(bounds, from, n) raise(bounds, plus(plus(from, n), 1)) end,
  GE = function(bounds, from, n) raise(bounds, plus(from, n)) end,
  LT = function(bounds, from, n) lower(bounds, plus(plus(from, n), -1)) end,
  LE = function(bounds, from, n) lower(bounds, plus(from, n)) end,
  EQ = function(bounds, from, n, high)
    raise(bounds, plus(from, n))
    lower(bounds, plus(from, high))
  end,
  NE = function(bounds, from, n, high) bounds.hole_low, bounds.hole_high = plus(from, n), plus(from, high) end,
}

-- What a pair asks of its second step, where the first is candidate `at` of `step`.
local function bound_by_pair(bounds, pair, step, at)
  bounds.other = step.list[at]
  if pair.kind == "gap" then
    gap_bounds[pair.compare](bounds, step.ends[at], pair.n, pair.high or pair.n)
  else
    lower(bounds, plus(step.ends[at], -1))
    bounds.ends_after = step.starts[at]
  end
end

local function bound_by_window(bounds, ns, earliest, latest)
  raise(bounds, plus(plus(latest, -ns), 1))
  lower(bounds, plus(plus(earliest, ns), -1))
end

local function bound_by_windows(self, step, bounds, index)
  for _, window in ipairs(step.windows) do
    local earliest, latest
    for i = window.first, math.min(index, self.chosen + 1) - 1 do
      local start = self.steps[i].start
      if not earliest or start < earliest then earliest = start end
      if not latest or start > latest then latest = start end
      self.work = self.work + 1
    end
    if earliest then bound_by_window(bounds, window.ns, earliest, latest) end
  end
end

-- What the chosen steps leave to the step of an index.
local function bounds_of(self, index)
  local step, bounds = self.steps[index], {}
  self.work = self.work + 1
  for _, i in ipairs(step.after or {}) do
    if i <= self.chosen then raise(bounds, plus(self.steps[i].start, 1)) end
  end
  local pair = step.pair
  if pair and pair.from <= self.chosen then
    bound_by_pair(bounds, pair, self.steps[pair.from], self.steps[pair.from].at)
  end
  bound_by_windows(self, step, bounds, index)
  return bounds
end

-- ---- candidates without a partner ----------------------------------------------------------------

-- The least window that holds both.
local function shared_window(one, other)
  local ns
  for _, window in ipairs(one.windows) do
    local both = other.index >= window.first and other.index <= window.last
    if both and (not ns or window.ns < ns) then ns = window.ns end
  end
  return ns
end

local function contains(list, x)
  for _, y in ipairs(list or {}) do
    if x == y then return true end
  end
  return false
end

-- Keeps those of a step that have a partner in a later one, as far as the two are bound to each other.
local function prune(step, later)
  local pair, ns = later.pair, shared_window(step, later)
  if pair and pair.from ~= step.index then pair = nil end
  local follows = contains(later.after, step.index)
  if not (pair or follows or ns) then return end
  candidates.keep(step, function(at)
    local bounds = {}
    if follows then raise(bounds, plus(step.starts[at], 1)) end
    if pair then bound_by_pair(bounds, pair, step, at) end
    if ns then bound_by_window(bounds, ns, step.starts[at], step.starts[at]) end
    return next_fit(later, 1, bounds) ~= nil
  end)
end

-- Neighbours, and steps that are bound to each other: few pairs, however many steps there are.
local function prune_all(self)
  for index = #self.steps, 1, -1 do
    local step = self.steps[index]
    if step.n == 0 then return false end
    if index > 1 then prune(self.steps[index - 1], step) end
    if step.pair and step.pair.from < index - 1 then prune(self.steps[step.pair.from], step) end
    for _, i in ipairs(step.after and #step.after <= GROUP_MAX and step.after or {}) do
      if i < index - 1 then prune(self.steps[i], step) end
    end
  end
  return self.steps[1].n > 0
end

-- ---- moments of several steps --------------------------------------------------------------------

local function extreme(self, first, last)
  local earliest, latest = self.steps[first].start, self.steps[first].start
  for i = first + 1, last do
    local start = self.steps[i].start
    if start < earliest then earliest = start end
    if start > latest then latest = start end
  end
  return earliest, latest
end

-- The first of a list that does not start before t, from its start on.
local function index_from(view, list, t)
  local low, high = 1, #list + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if view.start(list[middle]) < t then low = middle + 1 else high = middle end
  end
  return low
end

local function item_holds(self, item, t0)
  self.work = self.work + 4
  if item.compare == "ALWAYS" then return true end
  local view, list = self.view, item.list
  local n = index_from(view, list, plus(t0, item.ns)) - index_from(view, list, t0)
  return comparison.holds(n, item.compare, item.n)
end

local function items_hold(self, window, t0)
  for _, item in ipairs(window.items) do
    if not item_holds(self, self.items[item], t0) then return false end
  end
  return true
end

-- Whether a window may begin there: its items hold, and every step has a candidate in it.
local function may_begin(self, window, t0)
  local stop = plus(t0, window.ns)
  for i = window.first, window.last do
    local step = self.steps[i]
    local start = step.starts[first_from(step, t0)]
    if not start or start >= stop then return false end
  end
  return items_hold(self, window, t0)
end

-- The starts of a list at which a window may begin.
local function moments_of(self, window, list)
  local moments = {}
  for _, span in ipairs(list) do
    local t0 = self.view.start(span)
    if t0 ~= moments[#moments] and may_begin(self, window, t0) then moments[#moments + 1] = t0 end
  end
  return { starts = moments, n = #moments }
end

-- Drops what lies in no window that may begin. What is left of a window over steps in any order and nothing else leads
-- to an assignment from whichever step.
local function prune_by_moments(self, window)
  local lists = {}
  for i = window.first, window.last do lists[#lists + 1] = moments_of(self, window, self.steps[i].list) end
  for _, item in ipairs(window.items) do
    if item.leads then lists[#lists + 1] = moments_of(self, window, self.items[item].list) end
  end
  for i = window.first, window.last do
    local step = self.steps[i]
    candidates.keep(step, function(at)
      local from = plus(plus(step.starts[at], -window.ns), 1)
      for _, moments in ipairs(lists) do
        local t0 = moments.starts[first_from(moments, from)]
        if t0 and t0 <= step.starts[at] then return true end
      end
      return false
    end)
  end
end

local function prune_windows(self)
  for _, window in ipairs(self.chain.windows) do
    local steps = window.last - window.first + 1
    -- Of two steps, or of steps in order, what follows here sees as much.
    local worth_it = #window.items > 0 or (window.any and steps > 2)
    if worth_it and steps <= GROUP_MAX then prune_by_moments(self, window) end
  end
  self.work = 0
end

-- A window that takes any order may begin with a span that is counted in it: the earliest such t0, or the earliest
-- step's start.
local function moment_of(self, window)
  local earliest, latest = extreme(self, window.first, window.last)
  local from, best = plus(plus(latest, -window.ns), 1), nil
  for _, item in ipairs(window.any and window.items or {}) do
    local list = item.leads and self.items[item].list or {}
    for k = index_from(self.view, list, from), #list do
      local t0 = self.view.start(list[k])
      if t0 >= earliest or (best and t0 >= best) or self.work > M.WORK_MAX then break end
      if items_hold(self, window, t0) then best = t0 end
    end
  end
  if best then return best end
  return items_hold(self, window, earliest) and earliest or nil
end

local function absence_holds(self, absence)
  local latest, list = nil, absence.list
  for _, i in ipairs(absence.group) do
    local start = self.steps[i].start
    if not latest or start > latest then latest = start end
  end
  local next_one = list[index_from(self.view, list, plus(latest, 1))]
  return not next_one or (absence.ns and self.view.start(next_one) >= plus(latest, absence.ns) or false)
end

-- What can be asked once the step of this index is chosen.
local function moments_hold(self, index)
  local step = self.steps[index]
  for _, absence in ipairs(step.absences) do
    if not absence_holds(self, absence) then return false end
  end
  for _, at in ipairs(step.closing) do
    local moment = moment_of(self, self.chain.windows[at])
    if not moment then return false end
    self.moments[at] = moment
  end
  return true
end

-- ---- the search ----------------------------------------------------------------------------------

local function later_steps_hold(self, index)
  for later = index + 1, #self.steps do
    if not next_fit(self.steps[later], 1, bounds_of(self, later)) then return false end
  end
  return true
end

-- Chooses the next candidate of a step from `at` on.
local function choose(self, index, at)
  local step = self.steps[index]
  self.chosen = index - 1
  local bounds = bounds_of(self, index)
  while self.work <= M.WORK_MAX do
    self.chosen = index - 1
    at = next_fit(step, at, bounds)
    if not at then return false end
    self.work = self.work + 1
    self.chosen, step.at, step.start = index, at, step.starts[at]
    if moments_hold(self, index) and later_steps_hold(self, index) then return true end
    at = at + 1
  end
  return false
end

local function choose_all(self)
  local index, at = 1, 1
  while index >= 1 and index <= #self.steps do
    if choose(self, index, at) then
      index, at = index + 1, 1
    else
      index = index - 1
      at = index > 0 and self.steps[index].at + 1 or 1
    end
    if self.work > M.WORK_MAX then return false, true end
  end
  return index > 0, false
end

local function open_step(view, chain, opened, index)
  local from = opened.steps[index]
  local step = candidates.of(view, from.list)
  step.index, step.after = index, chain.steps[index].after
  step.windows, step.absences, step.closing = {}, {}, {}
  return step
end

local function open(view, chain, opened)
  local self = { view = view, chain = chain, steps = {}, items = opened.items, moments = opened.moments, chosen = 0,
                 work = 0 }
  for index = 1, #chain.steps do self.steps[index] = open_step(view, chain, opened, index) end
  for _, pair in ipairs(chain.links) do self.steps[pair.to].pair = pair end
  for at, window in ipairs(chain.windows) do
    for i = window.first, window.last do
      local step = self.steps[i]
      step.windows[#step.windows + 1] = window
    end
    local last = self.steps[window.last]
    last.closing[#last.closing + 1] = at
  end
  for _, absence in ipairs(chain.absences) do
    local last = self.steps[absence.group[#absence.group]]
    last.absences[#last.absences + 1] = opened.absences[absence]
  end
  return self
end

--- Chooses a candidate for each of opened.steps (its list and `at`), and the moment t0 of each window in
-- opened.moments: whether there is such an assignment, and whether the search was given up.
function M.find(view, chain, opened)
  local self = open(view, chain, opened)
  prune_windows(self)
  if not prune_all(self) then return false, false end
  local found, given_up = choose_all(self)
  for index, step in ipairs(found and self.steps or {}) do
    opened.steps[index].list, opened.steps[index].at = step.list, step.at
  end
  return found, given_up
end

return M
