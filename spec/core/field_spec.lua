local support = require("spec.support")
local core, ffi = support.core("field", "value", "glob", "rename")

local NO_ORDER = 2
local INT, DOUBLE = 3, 4

local function number(text)
  local p, n, free = support.guarded(text)
  local out = ffi.new("struct fluo_value")
  local got = core.value_number(p, n, out)
  free()
  if not got then return nil end
  return out.type == INT and out.integer or out.number, out.type
end

-- Of texts that live as long as the spec: literals of this file.
local function value(v)
  local out = ffi.new("struct fluo_value")
  if type(v) == "string" then
    out.type, out.len, out.text = 1, #v, ffi.cast("const uint8_t *", v)
  elseif type(v) == "boolean" then out.type, out.integer = 2, v and 1 or 0
  elseif type(v) == "cdata" then out.type, out.integer = INT, v
  else out.type, out.number = DOUBLE, v end
  return out
end

local function datum(v)
  local out = ffi.new("struct datum")
  core.datum_init(out, value(v))
  return out
end

local function compare(a, b) return core.datum_compare(datum(a), datum(b)) end
local function equal(a, b) return core.datum_equal(datum(a), datum(b)) end

describe("text of 64 KiB", function()
  it("may be a number, and longer text is none", function()
    assert.equal(1LL, (number(("0"):rep(65535) .. "1")))
    assert.is_nil((number(("0"):rep(65536) .. "1")))
  end)
end)

describe("text that is a decimal number", function()
  for text, expected in pairs({
    ["0"] = 0LL, ["-0"] = 0LL, ["+7"] = 7LL, [" \t\r\n\v\f7 "] = 7LL, ["007"] = 7LL, ["5."] = 5LL, ["5.000"] = 5LL,
    ["1e3"] = 1000LL, ["1.5E1"] = 15LL, ["100e-2"] = 1LL, ["0e999999999999999999999"] = 0LL,
    ["9223372036854775807"] = 9223372036854775807LL, ["-9223372036854775808"] = -9223372036854775807LL - 1,
    ["9007199254740993.0"] = 9007199254740993LL, ["0." .. ("0"):rep(5000) .. "1e5001"] = 1LL,
  }) do
    it("is an int where it is whole and fits: " .. text:sub(1, 30), function()
      local got, type = number(text)
      assert.equal(INT, type)
      assert.equal(expected, got)
    end)
  end

  for text, expected in pairs({
    [".5"] = 0.5, ["0.1"] = 0.1, ["1e-7"] = 1e-7, ["9223372036854775808"] = 2 ^ 63,
    ["-9223372036854775809"] = -2 ^ 63, ["1e308"] = 1e308,
    ["1e309"] = math.huge, ["1e99999999999999999999"] = math.huge,
    ["1e-99999999999999999999"] = 0, ["2.2250738585072011e-308"] = 2.2250738585072011e-308,
    ["0." .. ("3"):rep(2000)] = 1 / 3,
    -- Halfway between two doubles, and a hair above it.
    ["9007199254740993.5"] = 9007199254740994, ["1" .. ("0"):rep(22) .. "." .. ("0"):rep(2000) .. "1"] = 1e22,
    ["9007199254740993" .. "." .. ("0"):rep(3000) .. "1"] = 9007199254740994,
  }) do
    it("is the nearest double where not: " .. text:sub(1, 30), function()
      local got, type = number(text)
      assert.equal(DOUBLE, type)
      assert.equal(expected, got)
    end)
  end

  for _, text in ipairs({ "", " ", ".", "-", "+-1", "e5", "1e", "1e+", "0x10", "inf", "nan", "1 2", "1,5", "1.2.3",
    "1_000", "5\0", "--1", "1e5.0", "½" }) do
    it(("is nothing else: %q"):format(text), function() assert.is_nil((number(text))) end)
  end
end)

describe("two values", function()
  local big, over = 9007199254740993LL, 9007199254740992
  for _, case in ipairs({
    { 1LL, 2LL, -1 }, { 2LL, 2, 0 }, { 2.5, 2LL, 1 }, { big, over, 1 }, { over, big, -1 },
    { 2 ^ 63, 9223372036854775807LL, 1 }, { -2 ^ 63, -9223372036854775807LL - 1, 0 }, { 1e300, big, 1 },
    { -math.huge, big, -1 }, { 0 / 0, 1LL, NO_ORDER },
    { 0 / 0, 0 / 0, NO_ORDER }, { -0.5, 0LL, -1 }, { 0.5, 0LL, 1 }, { "10", "9", 1 },
    { "10", 9LL, 1 }, { "a", "b", NO_ORDER }, { "a", 1LL, NO_ORDER }, { true, false, NO_ORDER },
    { true, 1LL, NO_ORDER }, { "9007199254740993", over, 1 },
  }) do
    it(("are in order: %s, %s"):format(tostring(case[1]), tostring(case[2])), function()
      assert.equal(case[3], compare(case[1], case[2]))
      assert.equal(case[3] == NO_ORDER and NO_ORDER or -case[3], compare(case[2], case[1]))
    end)
  end

  for _, case in ipairs({
    { "5", 5LL, true }, { "5.0", "5", false }, { "5.0", 5, true }, { "a", "a", true }, { "", "", true },
    { true, "true", true }, { true, "1", false }, { true, 1LL, false }, { false, "false", true },
    { false, "", false }, { true, true, true },
    { big, over, false }, { 0 / 0, 0 / 0, false }, { "True", true, false },
  }) do
    it(("are equal or not: %s, %s"):format(tostring(case[1]), tostring(case[2])), function()
      assert.equal(case[3], equal(case[1], case[2]))
      assert.equal(case[3], equal(case[2], case[1]))
    end)
  end
end)

describe("a glob", function()
  local function matches(glob, text) return core.glob_match(glob, #glob, text, #text) end

  it("is itself but for its stars, which are any run", function()
    for _, case in ipairs({ { "a*b*c", "a__b__c" }, { "*", "" }, { "**a", "a" }, { "a*a", "aa" },
      { "a?[b", "a?[b" } }) do
      assert.is_true(matches(case[1], case[2]), case[1])
    end
    for _, case in ipairs({ { "a*a", "a" }, { "a?b", "axb" }, { "A", "a" }, { "a*b", "ab\n" }, { "", "a" } }) do
      assert.is_false(matches(case[1], case[2]), case[1])
    end
  end)

  it("is quick however many stars it has", function()
    assert.is_false(matches(("a*"):rep(1000) .. "b", ("a"):rep(5000)))
  end)
end)

describe("a renamed attribute", function()
  local function names(key)
    local out = {}
    for i = 0, 8 do
      local other = core.fluo_renamed(key, #key, i)
      if other == nil then return out end
      out[#out + 1] = ffi.string(other)
    end
    error("too many")
  end

  it("has its other names, both ways", function()
    assert.same({ "http.response.status_code" }, names("http.status_code"))
    assert.same({ "http.status_code" }, names("http.response.status_code"))
    assert.same({ "url.full" }, names("http.url"))
    assert.same({ "db.sql.table", "db.mongodb.collection", "db.cassandra.table", "db.cosmosdb.container" },
      names("db.collection.name"))
    assert.same({}, names("http.status_cod"))
    assert.same({}, names(""))
  end)
end)
