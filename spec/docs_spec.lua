-- Every example in the manuals loads.
local replay = require("spec.replay")

local function blocks(path)
  local text = assert(io.open(path)):read("*a")
  local list = {}
  for code in text:gmatch("```lua\n(.-)```") do list[#list + 1] = code end
  return list
end

for _, path in ipairs { "README.md", "rules/README.md" } do
  describe(path, function()
    for i, code in ipairs(blocks(path)) do
      it("has an example that loads: number " .. i, function()
        local file = replay.rule_file(code)
        local status, out, err = replay.shell(("%s check --rules %s"):format(replay.fluo, file))
        os.remove(file)
        assert.equal(0, status, out .. err)
      end)
    end
  end)
end

describe("the shipped rules", function()
  it("load without an error or a warning", function()
    local status, out = replay.shell(replay.fluo .. " check --rules rules")
    assert.equal(0, status)
    assert.truthy(out:find("7 rules, 0 errors, 0 warnings", 1, true), out)
  end)
end)
