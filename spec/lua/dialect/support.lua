--- For specs of the dialects: a rule in one means the rule in Lua beside it, or has the errors beside it.
local luassert = require("luassert")
local rulefiles = require("spec.lua.rulefiles")

local M = {}

local function rules_of(file, text)
  local result = rulefiles.load { [file] = text }
  local lines = rulefiles.errors { [file] = text }
  assert(#lines == 0, text .. "\n" .. table.concat(lines, "\n"))
  return result.rules
end

--- The one rule of a file.
function M.rule(file, text)
  local rules = rules_of(file, text)
  assert(#rules == 1, "one rule was expected: " .. #rules)
  return rules[1]
end

--- What the one rule of a file means, as its version says.
function M.meaning(file, text) return M.rule(file, text).meaning end

--- What a `when` in Lua means.
function M.lua(when) return M.meaning("r.lua", ('rule "r" { when = %s }'):format(when)) end

--- Rows of { text, when in Lua }: a sentence each. `it` is the spec's.
function M.same(it, rows, file, wrap)
  for _, row in ipairs(rows) do
    it(("%s is %s"):format(row[1]:gsub("%s+", " "), row[2]), function()
      luassert.equal(M.lua(row[2]), M.meaning(file, wrap(row[1])))
    end)
  end
end

--- Rows of { text, "line:column message" … }: a sentence each.
function M.refused(it, rows, file, wrap)
  for _, row in ipairs(rows) do
    it(("%s is refused"):format(row[1]:gsub("%s+", " ")), function()
      luassert.same({ unpack(row, 2) }, rulefiles.errors { [file] = wrap and wrap(row[1]) or row[1] })
    end)
  end
end

return M
