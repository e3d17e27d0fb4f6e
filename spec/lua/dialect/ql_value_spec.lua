-- Values as queries reckon with them (rules/README.md, Patterns; rules/traceql.md).
local value = require("fluo.dialect.ql_value")
local ffi = require("ffi")
local MAX, MIN = 0x7fffffffffffffffLL, -0x7fffffffffffffffLL - 1
local function ms(n) return value.duration(ffi.cast("int64_t", n * 1e6)) end

local function shown(v)
  if value.is_duration(v) then return tostring(v.ns) .. "ns" end
  return tostring(v)
end

describe("arithmetic", function()
  it("of two integers stays one, rounds towards zero, and becomes a double where it does not fit", function()
    for _, row in ipairs {
      { 7LL, "/", 2LL, "3LL" }, { -7LL, "/", 2LL, "-3LL" }, { 7LL, "/", -2LL, "-3LL" }, { -7LL, "%", 3LL, "-1LL" }, { 7LL, "%", -3LL, "1LL" },
      { MIN, "/", -1LL, "9.2233720368548e+18" }, { MIN, "%", -1LL, "0LL" }, { MAX, "+", 0LL, "9223372036854775807LL" },
      { MAX, "+", 1LL, "9.2233720368548e+18" }, { MIN, "-", 1LL, "-9.2233720368548e+18" }, { 0LL, "-", MIN, "9.2233720368548e+18" },
      { 3037000499LL, "*", 3037000499LL, "9223372030926249001LL" }, { 4294967296LL, "*", 4294967296LL, "1.844674407371e+19" },
      { MIN, "*", -1LL, "9.2233720368548e+18" }, { MIN, "*", 1LL, "-9223372036854775808LL" }, { -1LL, "*", MIN, "9.2233720368548e+18" },
      { 2LL, "^", 10LL, "1024LL" }, { -2LL, "^", 63LL, "-9223372036854775808LL" }, { 2LL, "^", 63LL, "9.2233720368548e+18" },
      { 2LL, "^", -1LL, "0LL" }, { -1LL, "^", -3LL, "-1LL" }, { 0LL, "^", 0LL, "1LL" }, { 7LL, "/", 2.0, "3.5" }, { "7", "/", "2", "3LL" },
    } do
      assert.equal(row[4], shown(value.arithmetic(row[2], row[1], row[3])), ("%s %s %s"):format(tostring(row[1]), row[2], tostring(row[3])))
    end
  end)

  it("has no value without two numbers, nor for a division by zero", function()
    for _, row in ipairs { { 1LL, "/", 0LL }, { 1LL, "%", 0LL }, { 1.5, "/", 0LL }, { 1.5, "%", 0.0 }, { 0LL, "^", -1LL }, { nil, "+", 1LL },
      { "x", "+", 1LL }, { true, "+", 1LL }, { { 1LL }, "+", 1LL } } do
      assert.is_nil(value.arithmetic(row[2], row[1], row[3]))
    end
  end)

  it("of durations is exact, a bare number being milliseconds", function()
    assert.equal("3300000LLns", shown(value.arithmetic("+", ms(1.1), ms(2.2))))
    assert.equal("6000000LLns", shown(value.arithmetic("+", ms(1), 5LL)))
    assert.equal("3000000LLns", shown(value.arithmetic("*", 3LL, ms(1))))
    assert.equal("2.5", shown(value.arithmetic("/", ms(5), ms(2))))
    assert.equal("-1000000LLns", shown(value.arithmetic("-", ms(1), 2LL)))
  end)
end)

describe("comparing", function()
  it("is exact, also beyond 2^53 and between types", function()
    for _, row in ipairs {
      { 9007199254740993LL, "GT", 2 ^ 53, true }, { 9007199254740993LL, "EQ", 2 ^ 53, false }, { "9007199254740993", "EQ", 9007199254740993LL, true },
      { MAX, "LT", 2 ^ 63, true }, { MIN, "EQ", -2 ^ 63, true }, { 5LL, "GE", 4.5, true }, { " 5. ", "EQ", 5LL, true }, { "5e2", "EQ", 500LL, true },
      { "0x10", "EQ", 16LL, false }, { "a", "LT", "b", false }, { "9", "LT", "10", true }, { "5", "EQ", "5.0", false }, { true, "EQ", "true", true },
      { true, "EQ", 1LL, false }, { ms(300.000001), "GT", 300LL, true }, { ms(300), "EQ", 300LL, true }, { ms(0.5), "EQ", 0.5, true },
      { 0.5, "LT", ms(1), true }, { { 1LL, 5LL }, "GT", 4LL, true }, { { 1LL, 5LL }, "NE", 5LL, false }, { {}, "NE", 5LL, true }, { nil, "NE", 5LL, false },
    } do
      assert.equal(row[4], value.compare(row[2], row[1], row[3]), ("%s %s %s"):format(shown(row[1]), row[2], shown(row[3])))
    end
  end)
end)
