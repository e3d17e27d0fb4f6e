--- Values and their quantiles, in bounded memory: exact up to 4,096 different values, then those that come on are
-- rounded to three digits.
local comparison = require("fluo.comparison")

local M = {}

local DISTINCT_MAX = 4096

local Sample = {}
Sample.__index = Sample

function M.new() return setmetatable({ count = 0, times = {}, distinct = 0 }, Sample) end

function Sample:add(x)
  if x - x ~= 0 then return end                           -- not a number, or beyond all of them
  if not self.times[x] and self.distinct >= DISTINCT_MAX then x = tonumber(("%.3g"):format(x)) end
  if not self.times[x] then
    self.times[x], self.distinct, self.sorted = 0, self.distinct + 1, nil
  end
  self.times[x], self.count = self.times[x] + 1, self.count + 1
end

local function sorted(self)
  if not self.sorted then
    self.sorted = {}
    for x in pairs(self.times) do self.sorted[#self.sorted + 1] = x end
    table.sort(self.sorted)
  end
  return self.sorted
end

--- The nearest rank; q: 0 to 1. nil: there are no values.
function Sample:quantile(q)
  local rank, seen, last = math.max(1, math.ceil(q * self.count - 1e-6)), 0, nil
  for _, x in ipairs(sorted(self)) do
    seen, last = seen + self.times[x], x
    if seen >= rank then break end
  end
  return last
end

--- Which part of the values holds against this threshold.
function Sample:share(compare, threshold)
  local holding = 0
  for x, times in pairs(self.times) do
    if comparison.holds(x, compare, threshold) then holding = holding + times end
  end
  return holding / self.count
end

return M
