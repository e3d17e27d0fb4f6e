--- Writes what `fuzz/ir` begins from: the intermediate forms of the shipped rules and of those that the manuals show.
-- Made anew each time, they never fall behind the form, which a stored corpus does with the first change of its version.
--   luajit spec/fuzz/ir_seeds.lua FOLDER
package.path = "lua/?.lua;./?.lua;" .. package.path
local read = require("spec.support").read
local rulefiles = require("spec.lua.rulefiles")

local LEAST = 40  -- of those there are, so that a manual that is no longer found is noticed
local folder, count = arg[1], 0

local function paths(pattern)
  local list = {}
  for path in io.popen("ls " .. pattern):lines() do list[#list + 1] = path end
  return list
end

-- Blocks that are no rules, or wrong on purpose, are passed over.
local function seed(name, text)
  local result = rulefiles.load({ [name] = text })
  if #result.errors > 0 or #result.rules == 0 then return end
  count = count + 1
  local file = assert(io.open(("%s/%03d"):format(folder, count), "wb"))
  file:write(result.ir)
  file:close()
end

for _, path in ipairs(paths("rules/*.lua")) do
  if not path:find("_spec%.lua$") then seed("r.lua", read(path)) end
end
for _, path in ipairs(paths("README.md rules/*.md")) do
  for kind, code in read(path):gmatch("\n```(%w+)\n(.-\n)```") do
    if kind == "lua" or kind == "yaml" then seed("r." .. (kind == "yaml" and "yml" or kind), code) end
  end
end
assert(count >= LEAST, ("only %d rules were found"):format(count))
