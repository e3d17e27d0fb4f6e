--- Every file of spec/fixtures/broken must not load. Its first lines say what must be said of it:
-- `-- expect line:column message`, one for each error.
local abi = require("fluo.abi")
local loader = require("fluo.loader")
require("spec.lua.rulefiles")

describe("the broken file", function()
  for _, name in ipairs(assert(abi.list("spec/fixtures/broken"))) do
    it(name .. " is refused with the place and the reason", function()
      local path = "spec/fixtures/broken/" .. name
      local expected, found = {}, {}
      for line in abi.read(path, 1e6):gmatch("%-%- expect ([^\n]+)\n") do expected[#expected + 1] = line end
      local result = loader.load(loader.read(path))
      for i, e in ipairs(result.errors) do
        found[i] = ("%d:%d %s"):format(e.line, e.column, (e.message:gsub("spec/fixtures/broken/", "")))
      end
      assert.is_true(#expected > 0)
      assert.same(expected, found)
      assert.same({}, result.rules)
    end)
  end
end)
