-- What a widened limit is, by the rule's limit.
local core, ffi = require("spec.support").core("window_limit", "window")

local COUNT, RATIO = 0, 8
local GT, GE, LT, LE = 2, 3, 4, 5

describe("a widened limit", function()
  local function widened(compare, limit, widening, options)
    options = options or {}
    local terms = ffi.new("struct window_terms", { compare = compare, aggregate = options.aggregate or COUNT,
      baseline = options.normal and 1 or 0 })
    return core.window_widened(terms, ffi.new("struct baseline_normal", { normal = options.normal or 0 }), limit, widening)
  end
  local function near(expected, found) assert.truthy(math.abs(expected - found) < 1e-9, expected .. " is not " .. found) end

  for _, case in ipairs {
    { "of `over` is farther up", GT, 20, 125, 22.5 },
    { "of `at_least` likewise, twice as far at the most", GE, 20, 1000, 40 },
    { "of `over` that is below zero is nearer to it", GT, -20, 500, -10 },
    { "of nothing stays: there any is too many", GT, 0, 1000, 0 },
    { "of `under` is farther down, half of it at the least", LT, 20, 1000, 10 },
    { "of `at_most` likewise", LE, 20, 125, 20 / 1.125 },
    { "of `under` below zero is farther from it", LT, -20, 125, -22.5 },
    { "of a share stays a share", GT, 0.6, 1000, 0.8, { aggregate = RATIO } },
    { "of a small share is widened as any", GT, 0.02, 500, 0.03, { aggregate = RATIO } },
    { "of a whole stays one", GE, 1, 1000, 1, { aggregate = RATIO } },
    { "of a baseline is farther from what is normal", GT, 140, 500, 160, { normal = 100 } },
    { "under a baseline likewise", LT, 80, 500, 70, { normal = 100 } },
    { "under a baseline stays above nothing, so silence is told", LT, 10, 1000, 5, { normal = 100 } },
    { "over a baseline of a share stays a share", GT, 0.9, 1000, 0.95, { normal = 0.5, aggregate = RATIO } },
  } do
    it(case[1], function() near(case[5], widened(case[2], case[3], case[4], case[6])) end)
  end

  it("of nothing known is nothing known", function()
    local nan = widened(GT, 0 / 0, 500, { normal = 100 })
    assert.truthy(nan ~= nan)
  end)

  it("is never nearer than the rule's, never twice as far, and does not reach the ends of its scale", function()
    math.randomseed(1)
    for _ = 1, 20000 do
      local compare, aggregate = math.random(GT, LE), math.random(2) == 1 and COUNT or RATIO
      local scale = aggregate == RATIO and 1 or 1000
      local limit, normal, widening = math.random() * scale, math.random(2) == 1 and math.random() * scale or nil, math.random(1000)
      local found = widened(compare, limit, widening, { aggregate = aggregate, normal = normal })
      local away = compare <= GE and found - limit or limit - found
      assert.truthy(away >= -1e-9 and away <= math.abs(limit - (normal or 0)) * widening / 1000 + 1e-9)
      assert.truthy(compare <= GE and (aggregate ~= RATIO or found < 1) or compare > GE and found > 0)
    end
  end)
end)
