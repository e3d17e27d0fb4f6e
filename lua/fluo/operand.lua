--- The operands that stand in patterns: `gt "300ms"`, `one_of { … }`, `missing`. An operand is an empty,
-- sealed table; what it holds is kept here, out of the reach of rule files.
local M = {}

local contents = setmetatable({}, { __mode = "k" })

local Operand = {
  __newindex = function() error("an operand cannot be changed", 2) end,
  __tostring = function(self)
    return contents[self] and contents[self].op or "operand"
  end,
  __call = function(self)
    error(("`%s` takes no argument: write it bare"):format(contents[self].op), 2)
  end,
  __metatable = false,
}

local function seal(data)
  local operand = setmetatable({}, Operand)
  contents[operand] = data
  return operand
end

--- What an operand holds: { op, n, … arguments }, or nil when the value is no operand.
function M.of(value) return contents[value] end

--- Patterns joined by any_of, all_of, not_: { op, n, argument }.
M.JOINS = { any_of = true, all_of = true, not_ = true }

M.ARGUMENTS = { eq = 1, ne = 1, gt = 1, ge = 1, lt = 1, le = 1, between = 2, one_of = 1, none_of = 1,
                contains = 1, prefix = 1, suffix = 1, glob = 1, matches = 1, strict = 1, any_of = 1, all_of = 1,
                not_ = 1 }
M.NAMES = { "eq", "ne", "gt", "ge", "lt", "le", "between", "one_of", "none_of", "contains", "prefix",
            "suffix", "glob", "matches", "strict", "exists", "missing", "any_of", "all_of", "not_" }

local LISTS = { one_of = true, none_of = true, any_of = true, all_of = true }

-- How many arguments there were is part of the operand, so that `gt()` and `gt(nil)` can be told of.
local function constructor(name)
  local wanted = M.ARGUMENTS[name]
  return function(...)
    local n = select("#", ...)
    local data = { op = name, n = n, ... }
    if n ~= wanted then
      data.wrong = LISTS[name] and n > 1 and ("`%s` takes one list: %s { … }"):format(name, name)
        or ("`%s` takes %d argument%s, not %d"):format(name, wanted, wanted == 1 and "" or "s", n)
    end
    return seal(data)
  end
end

--- Fresh operands for one rule file, by name.
function M.api()
  local api = {}
  for name in pairs(M.ARGUMENTS) do api[name] = constructor(name) end
  api.exists = seal { op = "exists", n = 0 }
  api.missing = seal { op = "missing", n = 0 }
  return api
end

return M
