--- Comparisons of a plan: "GT" "GE" "LT" "LE", and "EQ" "NE", which are in or out of n to high (without
-- high: n alone).
local M = {}

--- What holds where the comparison does not.
M.NEGATED = { GT = "LE", GE = "LT", LT = "GE", LE = "GT", EQ = "NE", NE = "EQ" }
--- Those that more spans can undo, where a number is compared that only grows.
M.ABSENT = { LT = true, LE = true, EQ = true, NE = true }

--- Whether `a compare b`; EQ and NE: b to high.
function M.holds(a, compare, b, high)
  if compare == "GT" then return a > b end
  if compare == "GE" then return a >= b end
  if compare == "LT" then return a < b end
  if compare == "LE" then return a <= b end
  return (a >= b and a <= (high or b)) == (compare == "EQ")
end

return M
