-- Every example in the manuals loads, and those that are specs pass.
local replay = require("spec.replay")

local function blocks(path)
  local text = assert(io.open(path)):read("*a")
  local list = {}
  local specs = {}
  for code in text:gmatch("```lua\n(.-)```") do
    local to = code:find("^describe") and specs or list
    to[#to + 1] = code
  end
  return list, specs
end

-- All rules of a manual in a directory, and one of its specs: what `fluo test` says.
local function tested(rules, spec)
  local folder = os.tmpname()
  os.remove(folder)
  os.execute("mkdir " .. folder)
  for i, code in ipairs(rules) do replay.write(("%s/%d.lua"):format(folder, i), code) end
  replay.write(folder .. "/manual_spec.lua", spec)
  local status, out, err = replay.shell(("%s test %s"):format(replay.fluo, folder))
  os.execute("rm -r " .. folder)
  return status, out .. err
end

for _, path in ipairs { "README.md", "rules/README.md" } do
  describe(path, function()
    local rules, specs = blocks(path)
    for i, code in ipairs(rules) do
      it("has an example that loads: number " .. i, function()
        local file = replay.rule_file(code)
        local status, out, err = replay.shell(("%s check --rules %s"):format(replay.fluo, file))
        os.remove(file)
        assert.equal(0, status, out .. err)
      end)
    end
    for i, code in ipairs(specs) do
      it("has a spec that passes: number " .. i, function()
        local status, said = tested(rules, code)
        assert.equal(0, status, said)
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
