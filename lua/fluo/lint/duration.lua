--- A duration without a unit is one of milliseconds. One that is hardly meant so was written in seconds, or in the
-- nanoseconds of OTLP.
local operand = require("fluo.operand")

local M = {}

local LEAST_MS, MOST_MS = 1, 1e7               -- below a millisecond; beyond 2.7 hours, which is 10 ms in nanoseconds

local function look(context, number, word)
  if type(number) ~= "number" then return end
  local size = math.abs(number)
  if size > 0 and size < LEAST_MS then
    context.warn("bare-duration", ("the bare duration %.14g is %.14g ms, less than one"):format(number, number),
      ("with a unit it is certain: \"%.14gs\", \"%.14gus\""):format(number, number * 1000), word)
  elseif size >= MOST_MS then
    context.warn("bare-duration", ("the bare duration %.14g is milliseconds: %.1f hours"):format(number, number / 36e5),
      ("with a unit it is certain: \"%.0fns\", \"%.0fh\""):format(number, number / 36e5), word)
  end
end

--- Looks at a duration as the author wrote it: a value, or an operand of some.
function M.look(context, x, word)
  local data = operand.of(x)
  if not data then return look(context, x, word) end
  for i = 1, data.n do
    local list = type(data[i]) == "table" and data[i] or { data[i] }
    for _, value in ipairs(list) do look(context, value, word) end
  end
end

return M
