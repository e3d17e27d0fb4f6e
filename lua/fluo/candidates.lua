--- The candidates of one step of a search: spans in start order, with what is asked of them at hand.
--   list, n        the spans, and how many
--   starts, ends   their times
local M = {}

-- ---- times ---------------------------------------------------------------------------------------

local EXACT, FURTHEST = 2 ^ 53, 2 ^ 62

--- t + n, exactly: times are numbers where these are exact, and int64 else. What is beyond all times stays there.
function M.plus(t, n)
  local sum = tonumber(t) + tonumber(n)
  if sum > -EXACT and sum < EXACT then
    return type(t) == "number" and type(n) == "number" and sum or tonumber(t + n)
  end
  if sum >= FURTHEST then return 2LL ^ 62 end
  if sum <= -FURTHEST then return -(2LL ^ 62) end
  return 0LL + t + n
end

-- ---- candidates ----------------------------------------------------------------------------------

--- The first index whose start is not before t.
function M.first_from(step, t)
  local low, high, starts = 1, step.n + 1, step.starts
  while low < high do
    local middle = math.floor((low + high) / 2)
    if starts[middle] < t then low = middle + 1 else high = middle end
  end
  return low
end

-- The latest ends of blocks of 2, 4, 8 … candidates: levels[k][i] is that of block i of 2^k.
local function levels_of(ends)
  local levels, below = {}, ends
  while #below > 1 do
    local level = {}
    for i = 1, #below, 2 do
      local left, right = below[i], below[i + 1]
      level[#level + 1] = (right and right > left) and right or left
    end
    levels[#levels + 1], below = level, level
  end
  return levels
end

-- The next index from `at` on whose end is after t: up over blocks that end too early, and down into the first that
-- does not.
local function next_ending_after(step, at, t)
  if at > step.n then return nil end
  step.levels = step.levels or levels_of(step.ends)
  local levels, k, block = step.levels, 0, at
  local function latest() return k == 0 and step.ends[block] or k > 0 and levels[k][block] or nil end
  while true do
    local latest_end = latest()
    if latest_end == nil then return nil end
    if latest_end > t then break end
    while block % 2 == 0 and k < #levels do block, k = block / 2, k + 1 end
    if k == #levels then return nil end
    block = block + 1
  end
  while k > 0 do
    block, k = 2 * block - 1, k - 1
    if latest() <= t then block = block + 1 end
  end
  return block
end

--- The next candidate of a step from `at` on within bounds: { low, high } of its start (nil: none), a hole from
-- hole_low to hole_high in that, what it must end after, and the span that it must not be.
function M.next_fit(step, at, bounds)
  if bounds.low then at = math.max(at, M.first_from(step, bounds.low)) end
  while true do
    if bounds.ends_after then at = next_ending_after(step, at, bounds.ends_after) end
    local start = at and step.starts[at]
    if not start or (bounds.high and start > bounds.high) then return nil end
    if bounds.hole_low and start >= bounds.hole_low and start <= bounds.hole_high then
      at = M.first_from(step, M.plus(bounds.hole_high, 1))
    elseif step.list[at] == bounds.other then
      at = at + 1
    else
      return at
    end
  end
end

--- The candidates of a list of spans.
function M.of(view, list)
  local step = { list = list, n = #list, starts = {}, ends = {} }
  for at, span in ipairs(list) do step.starts[at], step.ends[at] = view.start(span), view.end_(span) end
  return step
end

--- Keeps those whose index the test holds for.
function M.keep(step, test)
  local list, starts, ends = {}, {}, {}
  for at = 1, step.n do
    if test(at) then
      local n = #list + 1
      list[n], starts[n], ends[n] = step.list[at], step.starts[at], step.ends[at]
    end
  end
  step.list, step.starts, step.ends, step.n, step.levels = list, starts, ends, #list, nil
end

return M
