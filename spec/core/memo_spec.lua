-- What is known of a value that came lately is not tested again: whatever was asked before, each pattern is a hit exactly if
-- it holds when tested by itself.
local matching = require("spec.matching")
local ir = require("spec.ir")

local KEYS = { "a", "b", "c" }
local VALUES = { "GET", "GETTER", "", 200, 503, "503", 7.5, true, { "GET", 503 }, ("x"):rep(60), "(a+)+b" }

local function pick(list) return list[math.random(#list)] end

local function atom()
  local kind, key = math.random(8), pick(KEYS)
  if kind == 1 then return { "eq", key, pick { "GET", 200, 503, true } } end
  if kind == 2 then return { "ne", key, pick { "GET", 200 } } end
  if kind == 3 then return { "ge", key, pick { 8, 500 } } end
  if kind == 4 then return { "prefix", key, pick { "GET", "x" } } end
  if kind == 5 then return { "contains", key, "T" } end
  if kind == 6 then return { "matches", key, pick { "GET.*", "(a+)+b" } } end
  if kind == 7 then return { "not", { "exists", key } } end
  return { "eq", ".name", pick { "n", "m" } }
end

local function formulas(n)
  local list = {}
  for i = 1, n do list[i] = { i % 4 == 0 and "or" or "and", atom(), atom(), i % 3 == 0 and atom() or nil } end
  return list
end

local function span(values)
  local attributes = {}
  for _, key in ipairs(KEYS) do if math.random(4) > 1 then attributes[key] = pick(values) end end
  return ir.span { name = pick { "n", "m" }, attributes = attributes }
end

describe("patterns", function()
  for _, n in ipairs { 3, 12, 100 } do
    it(("match as each does alone, whatever values came before: %d of them"):format(n), function()
      math.randomseed(n)
      local self = matching.of(formulas(n))
      for _ = 1, 1500 do
        local view = span(VALUES)
        assert.same(matching.alone(self, n, view), matching.match(self, view).hits)
      end
    end)
  end

  it("do so where values hardly come back, and once they do again", function()
    local self, fresh = matching.of(formulas(40)), {}
    for i = 1, 1500 do
      for k = 1, 3 do fresh[k] = "GET" .. i * 3 + k end
      local view = span(i % 300 < 200 and fresh or VALUES)
      assert.same(matching.alone(self, 40, view), matching.match(self, view).hits)
    end
  end)

  it("are open each time where a value takes too long to test", function()
    local self = matching.of { { "and", { "eq", "a", 1 }, { "matches", "b", "(a+)+b" } }, { "eq", "b", 2 } }
    for _ = 1, 4 do
      assert.same({ 1 }, matching.match(self, { attributes = { a = 1, b = ("a"):rep(30) .. "cb" } }).unknowns)
    end
  end)
end)
