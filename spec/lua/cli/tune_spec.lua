-- Which thresholds `fluo tune` tries, and which one it suggests.
package.path = "lua/?.lua;" .. package.path
local sample = require("fluo.cli.sample")
local tune = require("fluo.cli.tune")

local function values(list)
  local all = sample.new()
  for _, x in ipairs(list) do all:add(x) end
  return all
end

local function up_to(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return values(list)
end

local OVER = { compare = "GT", value = 100, key = "trace", what = "duration gt", unit = "ms" }

-- "threshold:violations" or "threshold:violations:beyond"
local function rows(text)
  local list = {}
  for threshold, violations, beyond in text:gmatch("(%d+):(%d+):?([%d.]*)") do
    list[#list + 1] = { threshold = tonumber(threshold), violations = tonumber(violations), beyond = tonumber(beyond) }
  end
  return list
end

local function suggested(c, text, most)
  local row = tune.suggest(c, rows(text), most or 1)
  return row and row.threshold
end

describe("a sample", function()
  it("has nearest ranks, and the share that holds", function()
    local all = up_to(1000)
    assert.same({ 1, 500, 990, 1000 }, { all:quantile(0), all:quantile(0.5), all:quantile(0.99), all:quantile(1) })
    assert.same({ 0.1, 0.101, 0.899, 0.9 }, { all:share("GT", 900), all:share("GE", 900), all:share("LT", 900),
      all:share("LE", 900) })
    assert.is_nil(sample.new():quantile(0.5))
  end)

  it("stays small, and loses digits for it", function()
    local all = sample.new()
    for i = 1, 100000 do all:add(i + 0.5) end
    assert.equal(100000, all.count)
    assert.is_true(all.distinct < 10000)
    assert.is_true(math.abs(all:quantile(0.5) / 50000 - 1) < 0.01)
    all:add(1 / 0)
    all:add(0 / 0)
    assert.equal(100000, all.count)
  end)
end)

describe("the thresholds that are tried", function()
  it("are the present one, some around it, and some of the values, in order and at most 13", function()
    assert.same({ 50, 75, 100, 150, 200, 500, 900, 950, 990, 999, 1000 }, tune.ladder(OVER, up_to(1000), 1))
    assert.same({ 50, 75, 100, 150, 200 }, tune.ladder(OVER, sample.new(), 1))
  end)

  it("are the low values where the rule looks downwards", function()
    assert.same({ 1, 2, 10, 50, 75, 100, 150, 200, 500 },
      tune.ladder({ compare = "LT", value = 100, whole = true, key = "group" }, up_to(1000), 1))
  end)

  it("are such as the rule may have", function()
    assert.same({ 0.25, 0.375, 0.5, 0.75, 1 }, tune.ladder({ compare = "GT", value = 0.5, most = 1 }, sample.new(), 1))
    assert.same({ 1.5, 2, 3, 4 }, tune.ladder({ compare = "GE", value = 2, least = 1 }, sample.new(), 1))
    assert.same({ 1, 2 }, tune.ladder({ compare = "GE", value = 1, whole = true, least = 1, most = 256 }, sample.new(), 1))
    assert.same({ 0, 1, 2 }, tune.ladder({ compare = "GT", value = 1, whole = true, least = 0 }, values { 0 }, 1))
  end)
end)

describe("the suggestion", function()
  it("is the lowest threshold that fires seldom enough", function()
    assert.equal(300, suggested(OVER, "100:50 200:9 300:1 400:1 500:0"))
    assert.equal(200, suggested(OVER, "100:50 200:9 300:1 400:0", 10))
    assert.equal(400, suggested(OVER, "100:50 200:0 300:5 400:0"))
    assert.is_nil(suggested(OVER, "100:50 200:9 300:7"))
  end)

  it("is the present one where it does as well", function()
    assert.equal(100, suggested(OVER, "50:1 75:1 100:1 150:0"))
  end)

  it("is none that is usual", function()
    assert.equal(200, suggested({ compare = "GT", value = 10, key = "group" }, "50:1:0.5 100:1:0.3 200:1:0.1 300:0:0"))
  end)

  it("looks the other way where the rule does", function()
    local under = { compare = "LT", value = 7, key = "group" }
    assert.equal(20, suggested(under, "10:0 20:1 30:9"))
    assert.equal(30, suggested({ compare = "LE", value = 7, key = "trace" }, "10:9:0 20:3:0.2 30:1:0.95 40:0:1"))
  end)
end)
