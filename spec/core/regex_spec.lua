local support = require("spec.support")
local core, ffi = support.core("regex", "heap", "field")
local UNKNOWN = tonumber(ffi.C.FLUO_UNKNOWN)

local function compile(pattern)
  local out, why, at = ffi.new("struct regex *[1]"), ffi.new("char[80]"), ffi.new("uint32_t[1]")
  local err = core.regex_new(pattern, #pattern, out, why, 80, at)
  if err ~= 0 then return nil, ffi.string(why), at[0] end
  return ffi.gc(out[0], core.regex_free)
end

local function scratch(limit)
  local out = ffi.new("struct regex_scratch *[1]")
  assert(core.regex_scratch_new(limit or 10000, out) == 0)
  return ffi.gc(out[0], core.regex_scratch_free)
end

local function match(pattern, text, limit)
  local p, n, free = support.guarded(text)
  local truth = tonumber(core.regex_match(assert(compile(pattern)), scratch(limit), p, n))
  free()
  return truth
end

describe("a regular expression", function()
  it("matches a text whole", function()
    assert.same({ 1, 0, 0, 0 }, { match("ab", "ab"), match("ab", "abc"), match("ab", "xab"), match("ab", "ab\n") })
    assert.same({ 1, 1, 0 }, { match("a|ab", "ab"), match("", ""), match("a", "") })
  end)

  it("reads characters where it and the text are UTF-8", function()
    assert.same({ 1, 0 }, { match(".", "ž"), match(".", "žž") })
    assert.same({ 1, 1 }, { match("ž+", "žž"), match("\\x{17e}", "ž") })
  end)

  it("matches no invalid UTF-8 with a character, and bytes with bytes", function()
    assert.equal(0, match("a.b", "a\255b"))
    assert.equal(1, match("a\255b", "a\255b"))
  end)

  it("is unknown beyond its limit, and beyond the length of a text", function()
    local text = ("a"):rep(40) .. "cb"
    assert.same({ 2, 0 }, { match("(a+)+b", text), match("(a+)+b", "acb") })
    assert.same({ 1, 2 }, { match("a*", ("a"):rep(65536)), match("a*", ("a"):rep(65537)) })
  end)

  it("is unknown for a while where it took long too often, but not others, and not without a clock", function()
    local slow, quick, s = compile("(a+)+b"), compile("b+"), scratch()
    assert.equal(0, core.regex_scratch_quotas(s, 2))
    core.regex_number(quick, 1)
    local function ask(expression, text) return tonumber(core.regex_match(expression, s, text, #text)) end
    local heavy, second = ("a"):rep(40) .. "cb", 1000000000ULL
    for _ = 1, 100 do ask(slow, heavy) end
    assert.equal(1, ask(slow, "ab"))
    core.regex_scratch_now(s, 1000 * second)
    for _ = 1, 7 do ask(slow, heavy) end
    assert.equal(1, ask(slow, "ab"))                     -- what is light costs nothing
    ask(slow, heavy)
    assert.same({ UNKNOWN, 1 }, { ask(slow, "ab"), ask(quick, "bb") })
    core.regex_scratch_now(s, 1000 * second + 20000000ULL)
    assert.equal(1, ask(slow, "ab"))
    ask(slow, heavy)
    assert.equal(UNKNOWN, ask(slow, "ab"))
    core.regex_scratch_now(s, 1001 * second)
    for _ = 1, 8 do ask(slow, heavy) end
    assert.equal(UNKNOWN, ask(slow, "ab"))
  end)

  it("is unknown where it would take too much memory", function()
    assert.equal(2, match("(?:(a)|b)*x", ("ab"):rep(30000) .. "x", 100000000))
  end)

  it("that does not compile says why and where", function()
    local _, why, at = compile("ab(c")
    assert.same({ "missing closing parenthesis", 4 }, { why, at })
    _, why = compile(("a"):rep(32769))
    assert.equal("longer than 32768 bytes", why)
  end)

  it("is checked for the study", function()
    local why, at = ffi.new("char[80]"), ffi.new("uint32_t[1]")
    assert.equal(0, core.fluo_regex_check("a+", 2, why, 80, at))
    assert.is_true(core.fluo_regex_check("a[", 2, why, 80, at) < 0)
    assert.equal("missing terminating ] for character class", ffi.string(why))
    assert.equal(2, at[0])
  end)

  it("leaves nothing behind when there is no memory", function()
    collectgarbage()
    local live = core.heap_live()
    local out, why, at = ffi.new("struct regex *[1]"), ffi.new("char[80]"), ffi.new("uint32_t[1]")
    local err, n = -1, 0
    while err ~= 0 do
      n = n + 1
      core.heap_fail_from(n)
      err = core.regex_new("(a|b)+c{2,9}", 12, out, why, 80, at)
      core.heap_fail_from(0)
      if err == 0 then core.regex_free(out[0]) else assert.equal(-1, err) end
      assert.equal(live, core.heap_live())
    end
    assert.is_true(n > 2)
  end)

  it("is unknown, not wrong, where a match finds no memory", function()
    local code, room = compile("(?:(a)|b)*x"), scratch()
    local text = ("ab"):rep(400) .. "x"
    core.heap_fail_from(1)
    local truth = tonumber(core.regex_match(code, room, text, #text))
    core.heap_fail_from(0)
    assert.equal(2, truth)
    assert.equal(1, tonumber(core.regex_match(code, room, text, #text)))
  end)
end)

describe("what every match starts with", function()
  local function prefix(pattern)
    local out = ffi.new("uint8_t[?]", #pattern + 1)
    return ffi.string(out, core.regex_prefix(pattern, #pattern, out))
  end

  for pattern, expected in pairs({
    ["abc"] = "abc", ["^abc"] = "abc", ["abc.*"] = "abc", ["abc*"] = "ab", ["abc?"] = "ab", ["abc{0,1}"] = "ab",
    ["abc+"] = "ab", ["a|b"] = "", ["(?i)abc"] = "", ["/api/v1/\\d+"] = "/api/v1/", ["a\\.b\\*c"] = "a.b*c",
    ["a\\.?"] = "a", [".*"] = "", [""] = "", ["a\\"] = "a", ["\\Qa"] = "", ["a[bc]"] = "a", ["a$"] = "a",
    ["(*UTF)a"] = "", ["až*"] = "a", ["\\^a"] = "^a",
  }) do
    it(("of %q is %q"):format(pattern, expected), function() assert.equal(expected, prefix(pattern)) end)
  end
end)

describe("what every match holds", function()
  local function inner(pattern)
    local out = ffi.new("uint8_t[?]", #pattern + 1)
    return ffi.string(out, core.regex_inner(pattern, #pattern, out))
  end

  for pattern, expected in pairs({
    ["abc"] = "abc", [".*abc"] = "abc", ["a.bcd.ef"] = "bcd", ["abc*d"] = "ab", ["a\\.bc?"] = "a.b", ["(ab|cd)ef"] = "ef",
    ["ab|cd"] = "", ["(?:abc)d"] = "d", ["(?i)abc"] = "", ["a(?=bc)d"] = "", ["[abc]de"] = "de", ["[]a]de"] = "de",
    ["[^]a]de"] = "de", ["[[:alpha:]]de"] = "", ["[\\]a]de"] = "de", ["\\Qab\\E"] = "", ["\\x41bc"] = "", ["\\d+abc"] = "abc",
    ["a{2}bc"] = "bc", ["ab{x}cd"] = "", ["((a)b)cd"] = "cd", ["(a"] = "", ["a)bc"] = "", ["(*UTF)abc"] = "",
    ["až*bcd"] = "bcd", [".*"] = "", [""] = "", ["abc\\"] = "", ["a(?#x)bc"] = "", ["a\0bc"] = "bc", ["ab+cde"] = "cde",
  }) do
    it(("of %q is %q"):format(pattern, expected), function() assert.equal(expected, inner(pattern)) end)
  end

  it("decides before any limit does", function()
    local code, room = compile("(a|aa)+/never"), scratch(2)
    assert.equal(0, tonumber(core.regex_match(code, room, ("a"):rep(100), 100)))
    local long = ("a"):rep(70000)
    assert.equal(0, tonumber(core.regex_match(code, room, long, #long)))
    long = long .. "/never"
    assert.equal(2, tonumber(core.regex_match(code, room, long, #long)))
  end)
end)
