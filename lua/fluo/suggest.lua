--- "Did you mean": the nearest known name.
local M = {}

--- Edits (insert, delete, replace, swap neighbours) that lead from a to b.
function M.distance(a, b)
  local before, row, last = {}, {}, {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    last, before, row = before, row, last
    row[0] = i
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      local least = math.min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        least = math.min(least, last[j - 2] + 1)
      end
      row[j] = least
    end
  end
  return row[#b]
end

local function allowed(word)
  if #word <= 2 then return 0 end
  return #word <= 4 and 1 or 2
end

--- The name of `names` (an array) nearest to the word, or nil when none is near. The first of equals wins.
function M.nearest(word, names)
  if #word > 64 then return nil end
  local plain, best, best_distance = word:lower(), nil, allowed(word) + 1
  for _, name in ipairs(names) do
    local d = plain == name:lower() and 0 or M.distance(plain, name:lower())
    if d < best_distance then best, best_distance = name, d end
  end
  return best
end

--- "did you mean `x`?" or nil.
function M.hint(word, names)
  local near = M.nearest(tostring(word), names)
  return near and ("did you mean `%s`?"):format(near) or nil
end

--- The nearest name, else all of them: what was expected.
function M.expected(word, names)
  return M.hint(word, names) or "expected one of " .. table.concat(names, ", ")
end

return M
