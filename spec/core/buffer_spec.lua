local core, ffi = require("spec.support").core("heap", "buffer")
local cjson = require("cjson")

local ENOMEM, ETOOLARGE = -1, -5

local function with(max, body)
  local b = ffi.new("struct buffer")
  core.buffer_init(b, max)
  local live = core.heap_live()
  body(b)
  core.buffer_deinit(b)
  assert.equal(live, core.heap_live())
end

local function text_of(b) return ffi.string(b.data, b.len) end

local function number(x)
  local text
  with(64, function(b) core.buffer_number(b, x); text = text_of(b) end)
  return text
end

local function int(x)
  local text
  with(64, function(b) core.buffer_int(b, x); text = text_of(b) end)
  return text
end

local function json(text)
  local out
  with(4096, function(b) core.buffer_json(b, text, #text); out = text_of(b) end)
  return out
end

describe("a buffer", function()
  it("holds integers of any size", function()
    for _, x in ipairs { 0LL, 7LL, -1LL, 9223372036854775807LL, -9223372036854775807LL - 1 } do
      assert.equal((tostring(x):gsub("LL$", "")), int(x))
    end
    with(64, function(b)
      core.buffer_uint(b, 18446744073709551615ULL)
      assert.equal("18446744073709551615", text_of(b))
    end)
  end)

  it("holds a formatted text that is longer than its first memory, and what fits exactly", function()
    for _, n in ipairs { 0, 1, 255, 256, 257, 1000 } do
      with(1000, function(b)
        core.buffer_printf(b, "%s", ("x"):rep(n))
        assert.equal(("x"):rep(n), n > 0 and text_of(b) or "")
      end)
    end
    with(10, function(b)
      core.buffer_printf(b, "%s", "12345")
      core.buffer_printf(b, "%s", "123456")
      assert.same({ "12345", ETOOLARGE }, { text_of(b), b.err })
    end)
  end)

  it("holds what was appended, in order", function()
    with(100000, function(b)
      for i = 1, 1000 do core.buffer_printf(b, "%d,", ffi.cast("int", i)) end
      assert.equal("1,2,3,4,5,", text_of(b):sub(1, 10))
      assert.equal("998,999,1000,", text_of(b):sub(-13))
    end)
  end)

  it("takes exactly its bound and not one byte more", function()
    for max = 0, 300 do
      with(max, function(b)
        for _ = 1, max do assert.equal(0, core.buffer_add(b, "x", 1)) end
        assert.equal(ETOOLARGE, core.buffer_add(b, "y", 1))
        assert.equal(max, tonumber(b.len))
      end)
    end
  end)

  it("keeps to a bound that was lowered since it took memory for more", function()
    with(100, function(b)
      core.buffer_text(b, ("x"):rep(80))
      core.buffer_clear(b)
      b.max = 10
      assert.same({ 0, ETOOLARGE }, { core.buffer_text(b, ("y"):rep(10)), core.buffer_text(b, "z") })
      assert.equal(("y"):rep(10), text_of(b))
      core.buffer_clear(b)
      assert.is_true(core.buffer_reserve(b, 11) == nil)
    end)
  end)

  it("stays refused after the first append that did not fit, until it is cleared", function()
    with(4, function(b)
      assert.equal(ETOOLARGE, core.buffer_text(b, "hello"))
      assert.equal(ETOOLARGE, core.buffer_text(b, "a"))
      assert.equal(0, tonumber(b.len))
      core.buffer_clear(b)
      assert.equal(0, core.buffer_text(b, "a"))
    end)
  end)

  it("leaves nothing of a JSON string or a formatted text that did not fit", function()
    with(10, function(b)
      core.buffer_text(b, "12345")
      assert.equal(ETOOLARGE, core.buffer_json(b, "abcd", 4))
      assert.equal("12345", text_of(b))
      core.buffer_clear(b)
      assert.equal(ETOOLARGE, core.buffer_printf(b, "%s", "12345678901"))
      assert.equal(0, tonumber(b.len))
    end)
  end)

  it("says out of memory, keeps what it had, and leaks nothing", function()
    for n = 1, 4 do
      with(10000, function(b)
        core.heap_fail_from(n)
        local appended = 0
        for _ = 1, 100 do if core.buffer_text(b, ("x"):rep(50)) == 0 then appended = appended + 50 end end
        core.heap_fail_from(0)
        assert.equal(ENOMEM, b.err)
        assert.equal(appended, tonumber(b.len))
      end)
    end
  end)

  it("lends room that the caller fills", function()
    with(1000, function(b)
      local p = core.buffer_reserve(b, 700)
      ffi.fill(p, 700, ("z"):byte())
      b.len = b.len + 700
      assert.equal(("z"):rep(700), text_of(b))
      assert.is_true(core.buffer_reserve(b, 301) == nil)
    end)
  end)
end)

describe("a JSON string", function()
  for text, expected in pairs({
    [""] = '""', ["plain"] = '"plain"', ['say "hi"\\'] = [["say \"hi\"\\"]],
    ["a\nb\tc\rd"] = [["a\nb\tc\rd"]], ["\0\1\31"] = [["\u0000\u0001\u001f"]],
    ["žluť 🐎"] = '"žluť 🐎"', ["a\xffb"] = '"a\xef\xbf\xbdb"',
    ["a\xc2\x85b\xe2\x80\xa8\xe2\x80\xa9"] = [["a\u0085b\u2028\u2029"]], ["\xc2\x84\xe2\x80\xa7"] = '"\xc2\x84\xe2\x80\xa7"',
    ["\xed\xa0\x80"] = '"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"', ["\xf0\x9f\x90"] = '"\xef\xbf\xbd"',
  }) do
    it(("of %q is %s"):format(text, expected), function() assert.equal(expected, json(text)) end)
  end

  it("of any bytes is JSON, in valid UTF-8", function()
    math.randomseed(7)
    for _ = 1, 300 do
      local bytes = {}
      for i = 1, math.random(0, 40) do bytes[i] = string.char(math.random(0, 255)) end
      local text = json(table.concat(bytes))
      assert.equal("string", type(cjson.decode("[" .. text .. "]")[1]))
    end
  end)
end)

describe("a JSON number", function()
  for _, case in ipairs({
    { 0, "0" }, { -0.0, "0" }, { 301, "301" }, { -7, "-7" }, { 0.1, "0.1" }, { 1 / 3, "0.3333333333333333" },
    { 9007199254740992, "9007199254740992" }, { 1e22, "1e+22" }, { 5e-324, "5e-324" }, { 300.000001, "300.000001" },
    { 0 / 0, "null" }, { 1 / 0, "null" }, { -1 / 0, "null" }, { 0.1 + 0.2, "0.30000000000000004" },
  }) do
    it(("of %.17g is %s"):format(case[1], case[2]), function() assert.equal(case[2], number(case[1])) end)
  end

  it("reads back as the same double", function()
    math.randomseed(3)
    local u = ffi.new("union { uint32_t word[2]; double d; }")
    for _ = 1, 5000 do
      u.word[0], u.word[1] = math.random(0, 2 ^ 31), math.random(0, 2 ^ 31)
      if u.d == u.d and math.abs(u.d) ~= 1 / 0 then assert.equal(u.d, tonumber(number(u.d))) end
    end
  end)
end)
