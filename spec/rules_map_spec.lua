-- The map of what the rule language promises leads to specs that are there, by their full names.
local map = require("spec.rules_map")

-- The names of the specs of a file, as busted lists them without running any.
local listed = {}
local function names_of(file)
  if listed[file] then return listed[file] end
  local pipe, names = io.popen("busted --list " .. file .. " 2>&1"), {}
  for line in pipe:lines() do
    local name = line:match("^%S-:%d+: (.*)$")
    if name then names[name] = true end
  end
  pipe:close()
  listed[file] = names
  return names
end

for _, section in ipairs(map) do
  describe("each sentence about " .. section[1], function()
    it("is held by specs that are there", function()
      for _, entry in ipairs(section[2]) do
        assert.truthy(#entry >= 2, entry[1] .. " is held by nothing")
        for i = 2, #entry do
          local file, name = entry[i][1], entry[i][2]
          assert.truthy(names_of(file)[name], ("%s\n  no spec in %s is named: %s"):format(entry[1], file, name))
        end
      end
    end)
  end)
end

describe("the map", function()
  it("has each sentence once", function()
    local seen = {}
    for _, section in ipairs(map) do
      for _, entry in ipairs(section[2]) do
        assert.is_nil(seen[entry[1]], entry[1])
        seen[entry[1]] = true
      end
    end
  end)
end)
