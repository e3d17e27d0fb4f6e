--- A formula judged by cases. What is known of one thing alone (the status of a span, an attribute's presence, how
-- many spans match a pattern) is split into cases that leave none out; in each the leaves about it are true, false or
-- open (nil), and all other leaves are open. A formula that is false in every case of some one thing can never hold;
-- one that is true in every case always does. So nothing is said that is not proven, and what takes two things
-- together to see is not seen.
local M = {}

--- Leaves looked at for one formula; beyond it nothing is said of it. A formula has 5,000 terms at most.
M.WORK_MAX = 50000

--- Kleene's `and` and `or` over parts: each(part) is true, false or nil.
function M.all(parts, each)
  local result = true
  for _, part in ipairs(parts) do
    local truth = each(part)
    if truth == false then return false end
    if truth == nil then result = nil end
  end
  return result
end

function M.any(parts, each)
  local result = false
  for _, part in ipairs(parts) do
    local truth = each(part)
    if truth then return true end
    if truth == nil then result = nil end
  end
  return result
end

function M.negate(truth)
  if truth == nil then return nil end
  return not truth
end

local function nothing_known() return nil end

-- The one truth of all cases, or nil.
local function over_cases(cases, judge)
  local result
  for i, case in ipairs(cases) do
    local truth = judge(case)
    if truth == nil or i > 1 and truth ~= result then return nil end
    result = truth
  end
  return result
end

--- true: it always holds; false: it never does; nil: neither is certain. And the thing by which that is seen.
-- judge(answer) is the formula's truth, where answer(leaf) is that of a leaf; things: { cases, … }, a case being such
-- an answer; leaves: how many the formula has.
function M.verdict(judge, things, leaves)
  local truth, work = judge(nothing_known), leaves
  if truth ~= nil then return truth, nil end
  for _, thing in ipairs(things) do
    work = work + #thing.cases * leaves
    if work > M.WORK_MAX then return nil, nil end
    truth = over_cases(thing.cases, judge)
    if truth ~= nil then return truth, thing end
  end
  return nil, nil
end

-- ---- comparisons of whole numbers ---------------------------------------------------------------

local HOLDS = {
  GT = function(v, n) return v > n end, GE = function(v, n) return v >= n end,
  LT = function(v, n) return v < n end, LE = function(v, n) return v <= n end,
  BETWEEN = function(v, n, high) return v >= n and v <= high end,
}

--- Whether v stands so to n (EQ, NE: a range, if there is a high).
function M.compare(op, v, n, high)
  if op == "EQ" then return v >= n and v <= (high or n) end
  if op == "NE" then return v < n or v > (high or n) end
  return HOLDS[op](v, n, high)
end

--- Numbers from low to high (nil: without end) that stand for all: of those between two of the given, any one does.
function M.points(numbers, low, high)
  local points, seen = {}, {}
  local function put(n)
    local key = tostring(n)
    if n < low or high and n > high or seen[key] then return end
    seen[key] = true
    points[#points + 1] = n
  end
  put(low)
  for _, n in ipairs(numbers) do
    put(n)
    if n > low then put(n - 1) end
    if not high or n < high then put(n + 1) end
  end
  return points
end

return M
