local core, ffi = require("spec.support").core("median")

describe("the median", function()
  local function array(list) return ffi.new("double[?]", #list, list), #list end

  local function by_sorting(list)
    local sorted, n = { unpack(list) }, #list
    table.sort(sorted)
    return n % 2 == 1 and sorted[(n + 1) / 2] or (sorted[n / 2] + sorted[n / 2 + 1]) / 2
  end

  local function check(list)
    local middle = by_sorting(list)
    assert.equal(middle, core.median(array(list)), table.concat(list, " "))
    local away = {}
    for i, x in ipairs(list) do away[i] = math.abs(x - middle) end
    local x, n = array(list)
    assert.equal(by_sorting(away), core.median_deviation(x, n, middle), table.concat(list, " "))
  end

  it("is what sorting says, of any numbers in any order", function()
    math.randomseed(5)
    for _ = 1, 3000 do
      local list, values = {}, math.random(1, 40)
      for i = 1, math.random(1, 60) do list[i] = math.random(-values, values) end
      check(list)
    end
  end)

  it("is so of numbers in order, in reverse, alike, and of infinities", function()
    local up, down, alike = {}, {}, {}
    for i = 1, 512 do up[i], down[i], alike[i] = i, -i, 7 end
    check(up)
    check(down)
    check(alike)
    assert.equal(3, core.median(array({ math.huge, 3, -math.huge })))
  end)
end)
