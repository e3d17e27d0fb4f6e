local units = require("fluo.units")

describe("a duration", function()
  local cases = {
    { 300, 300000000LL }, { 300.000001, 300000001LL }, { 0.5, 500000LL }, { 1e-5, 10LL }, { 7e-5, 70LL },
    { 0, 0LL }, { 300LL, 300000000LL }, { "1ns", 1LL }, { "1us", 1000LL }, { "5µs", 5000LL },
    { "300ms", 300000000LL }, { "1.5s", 1500000000LL }, { "2m", 120000000000LL }, { "1h", 3600000000000LL },
    { "1d", 86400000000000LL }, { "5 seconds", 5000000000LL }, { "1 minute", 60000000000LL },
    { "3 Minutes", 180000000000LL }, { " 5s ", 5000000000LL }, { ".5s", 500000000LL }, { "5.s", 5000000000LL },
    { "300.000001ms", 300000001LL }, { "100000000000000000ns", 100000000000000000LL },
  }
  for _, case in ipairs(cases) do
    it(("of %s is %s ns"):format(tostring(case[1]), tostring(case[2])), function()
      local ns, exact = units.duration(case[1])
      assert.is_true(ns == case[2])
      assert.is_true(exact)
    end)
  end

  it("finer than a nanosecond is rounded down, and says so", function()
    for _, value in ipairs { 1000 / 3, 1e-7, "0.1ns", "1.0000000001s" } do
      local ns, exact = units.duration(value)
      assert.is_not_nil(ns)
      assert.is_false(exact)
    end
    assert.is_true(units.duration(1000 / 3) == 333333333LL)
  end)

  local refused = {
    ["300"] = "has no unit", ["5 parsecs"] = "unknown unit `parsecs`", ["5s x"] = "unknown unit `s x`",
    ["1e3ms"] = "unknown unit", [".s"] = "not a duration", [""] = "not a duration", ["-3s"] = "never negative",
    ["9999999999999999999ns"] = "too long", ["300000d"] = "too long",
  }
  for text, why in pairs(refused) do
    it(("`%s` is refused: %s"):format(text, why), function()
      local ns, message = units.duration(text)
      assert.is_nil(ns)
      assert.is_truthy(message:find(why, 1, true), message)
    end)
  end

  it("that is no finite, positive number is refused", function()
    for _, value in ipairs { -1, 1 / 0, 0 / 0, 1e300, true, -5LL } do
      local ns, message = units.duration(value)
      assert.is_nil(ns)
      assert.is_string(message)
    end
  end)
end)

describe("a decimal", function()
  it("reads back as the same double", function()
    for _, n in ipairs { 0.1, 1 / 3, 300.000001, 1e22, 2 ^ 53, 5e-324, 123456789.123456789 } do
      assert.equal(n, tonumber(units.decimal(n)))
    end
  end)
end)
