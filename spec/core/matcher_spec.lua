local matching = require("spec.matching")
local wire = require("spec.otlp_writer")

local function holds(formula, attribute, options)
  return matching.holds(formula, { attributes = { k = attribute }, renamed = true }, options)
end

-- { operator, operands…, { values for which it holds }, { values for which it does not } }
local CASES = {
  { "eq", 5, { 5, "5", " 5.0 ", "5e0", { 4, 5 } }, { 6, "6", "0x5", "5 5", true, "", {} } },
  { "eq", "5", { "5", 5, { "x", "5" } }, { "5.0", " 5", 6, { "x" } } },
  { "eq", { double = 0.1 }, { "0.1", "1e-1", "+.1" }, { "0.10000000000000002", 0 } },
  { "eq", { double = 7 }, { 7, "7", "7.0" }, { 8, 0 } },
  { "eq", 9007199254740993LL, { "9007199254740993" }, { "9007199254740992", { 9007199254740992 } } },
  { "eq", true, { true, "true" }, { false, "True", 1, "1" } },
  { "eq", "true", { "true", true }, { false, "false", 1 } },
  { "eq", "false", { false, "false" }, { true, "", 0 } },
  { "eq", "a", "b", { "a", "b", { "x", "b" } }, { "c", "ab", { "c" } } },
  { "eq", "", { "", { "" } }, { "x", {} } },
  { "ne", 5, { 6, "x", true, { 6, 7 }, {} }, { 5, "5.0", { 6, 5 } } },
  { "ne", "a", "b", { "c", 1, { "c" } }, { "a", "b", { "c", "a" } } },
  { "gt", 300, { 301, 300.5, "301", "3e3", { 1, 301 } }, { 300, "300", "300.0", "x", true, "", { 300 } } },
  { "ge", 300, { 300, 300.5, "300" }, { 299.5, "a300" } },
  { "lt", 300, { 299.5, -1, "-1" }, { 300, "300", "" } },
  { "le", { double = 0.5 }, { 0.5, 0, "0.5" }, { 0.75, 1 } },
  { "gt", "10", { "9e9", 11, "11" }, { "9", "b", 10 } },
  { "gt", "b", {}, { "c", 5, true } },
  { "between", 1, 3, { 1, 2.5, 3, "3" }, { 0.5, 3.5, "x" } },
  { "between", 3, 1, {}, { 1, 2, 3 } },
  { "contains", "ell", { "hello", "ell", { "x", "yell" } }, { "el", "ELL", "" } },
  { "contains", "", { "", "x" }, { 5, true } },
  { "contains", "5", { "45" }, { 45, { 45 } } },
  { "prefix", "ab", { "ab", "abc" }, { "a", "Ab", "cab", 5 } },
  { "suffix", "ab", { "ab", "cab" }, { "b", "abc", 5 } },
  { "prefix", "", { "", "x" }, { 5 } },
  { "glob", "a*c", { "ac", "abc", "a/b/c" }, { "acb", "xac", "a" } },
  { "glob", "*", { "", "x" }, { 5, true } },
  { "glob", "*x*", { "x", "axb" }, { "", "ab" } },
  { "glob", "abc", { "abc" }, { "abcd", "", "ab" } },
  { "glob", "*.internal", { "db.internal", ".internal" }, { "internal", "db.internal.x" } },
  { "glob", "5*", { "55" }, { 55 } },
  { "glob", "", { "" }, { "x" } },
  { "matches", "a.c", { "abc" }, { "abcd", "xabc", "a\nc" } },
  { "matches", "a|b", { "a", "b" }, { "ab" } },
  { "matches", "ab*", { "a", "abb" }, { "b" } },
  { "matches", "\\.x", { ".x" }, { "ax" } },
  { "exists", { 5, "", false, {}, { 1 } }, {} },
}

describe("a comparison", function()
  for _, case in ipairs(CASES) do
    local formula = { case[1], "k", unpack(case, 2, #case - 2) }
    local name = {}
    for i = 2, #case - 2 do name[#name + 1] = tostring(type(case[i]) == "table" and case[i].double or case[i]) end
    it(("%s %s holds of what it should"):format(case[1], table.concat(name, ", ")), function()
      for _, v in ipairs(case[#case - 1]) do assert.is_true(holds(formula, v), "not of " .. tostring(v)) end
      for _, v in ipairs(case[#case]) do assert.is_false(holds(formula, v), "of " .. tostring(v)) end
    end)
  end

  it("of a missing attribute is false, whatever it is, and its negation true", function()
    for _, case in ipairs(CASES) do
      local formula = { case[1], "other", unpack(case, 2, #case - 2) }
      assert.is_false(holds(formula, 5))
      assert.is_true(holds({ "not", formula }, 5))
    end
  end)

  it("of an int beyond 2^53 with a double is exact", function()
    local v = 9007199254740993LL          -- as a double it would be 9007199254740992
    local extra = wire.text(9, wire.text(1, "k") .. wire.text(2, wire.varint_field(3, v)))
    local function of(op) return matching.holds({ op, "k", { double = 9007199254740992 } }, { extra = extra }) end
    assert.same({ false, true, true, false }, { of("eq"), of("gt"), of("ne"), of("le") })
  end)

  it("takes the last of duplicates, and a value without a type is there but equal to nothing", function()
    local extra = wire.attribute(9, "k", 1) .. wire.attribute(9, "k", 2) .. wire.text(9, wire.text(1, "none"))
    local function of(...) return matching.holds({ ... }, { extra = extra }) end
    assert.same({ true, false }, { of("eq", "k", 2), of("eq", "k", 1) })
    assert.same({ true, true, false, false }, { of("exists", "none"), of("ne", "none", 1), of("eq", "none", ""),
      of("contains", "none", "") })
  end)

  it("reads an attribute in whatever form it was written", function()
    local key = wire.text(1, "k")
    local five, six = wire.text(2, wire.varint_field(3, 5)), wire.text(2, wire.varint_field(3, 6))
    local padded = "\10\129\0k" .. five
    local long = wire.text(2, wire.text(1, ("x"):rep(200)))
    local twice = wire.text(2, wire.text(1, "a") .. wire.varint_field(3, 5))
    for _, form in ipairs({ five .. key, key .. six .. five, wire.text(1, "other") .. five .. key, padded, key .. twice,
      key .. five .. wire.text(9, "later"), key .. long .. five, "\24\1" .. key .. five }) do
      assert.is_true(matching.holds({ "eq", "k", 5 }, { extra = wire.text(9, form) }))
    end
    assert.is_true(matching.holds({ "suffix", "k", "xx" }, { extra = wire.text(9, key .. long) }))
    assert.is_true(matching.holds({ "exists", "k" }, { extra = wire.text(9, key) }))
  end)

  it("reads an attribute of any length, in whatever order", function()
    for _, n in ipairs { 1, 100, 117, 118, 119, 120, 121, 130, 200, 16370, 16371, 16372, 16373, 16374, 16380, 40000 } do
      local text, name = ("x"):rep(n) .. "y", ("k"):rep(n)
      for key, value in pairs { k = text, [name] = "y", [name .. "k"] = text } do
        local parts = { wire.text(1, key), wire.text(2, wire.text(1, value)) }
        for _, form in ipairs { parts[1] .. parts[2], parts[2] .. parts[1], parts[1] .. wire.text(2, wire.text(1, "z")) .. parts[2] } do
          assert.is_true(matching.holds({ "eq", key, value }, { extra = wire.text(9, form) .. wire.attribute(9, "l", 5) }))
          assert.is_false(matching.holds({ "suffix", key, "x" }, { extra = wire.text(9, form) }))
        end
      end
    end
  end)

  it("tells values apart in whatever form they were written, and whatever came before", function()
    local self = matching.of { { "eq", "k", 5 } }
    local five = wire.text(9, wire.text(1, "k") .. wire.text(2, wire.varint_field(3, 5)))
    local text = wire.text(9, wire.text(2, wire.text(1, "\24\5")) .. wire.text(1, "k"))     -- the bytes of that number
    for _, extra in ipairs { five, text, five, five, text } do
      assert.same(extra == five and { 1 } or {}, matching.match(self, { extra = extra }).hits)
    end
  end)

  it("tells names apart that differ in their middle alone", function()
    local names = {}
    for i = 1, 9 do names[i] = ("customer-%d-customer"):format(i) end
    local self = matching.of { { "eq", names[1], 1 }, { "eq", names[2], 1 }, { "eq", names[3], 1 } }
    for i, name in ipairs(names) do
      assert.same(i <= 3 and { i } or {}, matching.match(self, { attributes = { [name] = 1 } }).hits)
    end
  end)

  it("of maps, bytes and nested arrays only knows that they exist", function()
    local map = wire.text(9, wire.text(1, "map") .. wire.text(2, wire.text(6, wire.attribute(1, "a", 1))))
    local bytes = wire.text(9, wire.text(1, "bytes") .. wire.text(2, wire.text(7, "abc")))
    local deep = wire.attribute(9, "deep", { { "abc" } })
    for _, key in ipairs({ "map", "bytes", "deep" }) do
      local function of(op, ...) return matching.holds({ op, key, ... }, { extra = map .. bytes .. deep }) end
      assert.same({ true, true, false, false, false }, { of("exists"), of("ne", "abc"), of("eq", "abc"), of("ge", 0),
        of("contains", "a") })
    end
  end)
end)

describe("a regular expression beyond its limit", function()
  local slow = { "matches", "k", "(a+)+b" }
  -- The last b is there, or PCRE2 would see at once that nothing can match.
  local long = ("a"):rep(40) .. "cb"

  it("is unknown, and so is what hangs on it", function()
    assert.equal("unknown", holds(slow, long))
    assert.equal("unknown", holds({ "not", slow }, long))
    assert.equal("unknown", holds({ "and", slow, { "exists", "k" } }, long))
    assert.is_false(holds({ "and", slow, { "eq", "k", "x" } }, long))
    assert.is_true(holds({ "or", slow, { "exists", "k" } }, long))
  end)

  it("is unknown of events where it decides", function()
    local function of(...) return matching.holds({ "event", slow }, { events = { ... } }) end
    local event = { attributes = { k = long } }
    assert.equal("unknown", of({}, event))
    assert.is_true(of(event, { attributes = { k = "ab" } }))
  end)

  it("is true if another element of an array matches", function()
    assert.is_true(holds(slow, { long, "ab" }))
    assert.equal("unknown", holds(slow, { long, "x" }))
  end)
end)

describe("a span's own fields", function()
  local span = { name = "GET /x", service = "shop", kind = "CLIENT", start_ns = 5, end_ns = 305000001, root = true,
    scope = wire.text(1, "lib") .. wire.text(2, "1.2"), status_message = "oops", trace_state = "a=b",
    resource = { env = "prod", n = 3 }, parent_id = "\1\2\3\4\5\6\7\8" }

  for _, case in ipairs({
    { { "eq", ".name", "GET /x" }, true }, { { "eq", ".service", "shop" }, true },
    { { "eq", ".kind", "CLIENT" }, true },
    { { "eq", ".kind", "SERVER" }, false }, { { "gt", ".duration", 304999995 }, true },
    { { "gt", ".duration", 304999996 }, false }, { { "eq", ".start", 5 }, true },
    { { "ge", ".end", 305000001 }, true },
    { { "eq", ".root", true }, true }, { { "eq", ".root", false }, false }, { { "eq", ".scope", "lib" }, true },
    { { "eq", ".scope_version", "1.2" }, true }, { { "eq", ".status_message", "oops" }, true },
    { { "eq", ".trace_state", "a=b" }, true }, { { "eq", ".span_id", "01020304050607ab" }, true },
    { { "eq", ".trace_id", "00112233445566778899aabbccddeeff" }, true },
    { { "eq", ".parent_id", "0102030405060708" }, true },
    { { "eq", "resource:env", "prod" }, true }, { { "gt", "resource:n", 2 }, true }, { { "exists", "env" }, false },
  }) do
    it(("%s %s %s"):format(case[1][2], case[1][1], tostring(case[1][3])), function()
      assert.equal(case[2], matching.holds(case[1], span))
    end)
  end

  it("that are empty or absent are missing, but for the name", function()
    for _, field in ipairs({ "service", "status_message", "scope", "scope_version", "parent_id", "trace_state" }) do
      assert.is_false(matching.holds({ "exists", "." .. field }, {}), field)
    end
    assert.is_true(matching.holds({ "eq", ".name", "" }, { name = "" }))
  end)

  it("include no payload once that was given back", function()
    assert.is_false(matching.holds({ "exists", "k" }, { attributes = { k = 1 }, shed = true }))
  end)

  it("say OK where nothing was set, unless told otherwise", function()
    local strict = { status_ok_is_explicit = true }
    local function of(status, op, operand, options)
      return matching.holds({ op, ".status", operand }, { status = status }, options)
    end
    assert.same({ true, true, false }, { of("UNSET", "eq", "OK"), of("OK", "eq", "OK"), of("ERROR", "eq", "OK") })
    assert.same({ false, false, true }, { of("UNSET", "ne", "OK"), of("OK", "ne", "OK"), of("ERROR", "ne", "OK") })
    assert.same({ false, true }, { of("UNSET", "eq", "EXPLICIT_OK"), of("OK", "eq", "EXPLICIT_OK") })
    assert.same({ true, false }, { of("UNSET", "eq", "UNSET"), of("OK", "eq", "UNSET") })
    assert.same({ false, true }, { of("UNSET", "eq", "OK", strict), of("OK", "eq", "OK", strict) })
  end)
end)

describe("a renamed attribute", function()
  local function of(formula, attributes, span_says, options)
    return matching.holds(formula, { attributes = attributes, renamed = span_says ~= false }, options)
  end

  it("is found under its other name, both ways", function()
    assert.is_true(of({ "eq", "http.status_code", 500 }, { ["http.response.status_code"] = "500" }))
    assert.is_true(of({ "eq", "http.response.status_code", 500 }, { ["http.status_code"] = 500 }))
    assert.is_true(of({ "exists", "db.collection.name" }, { ["db.mongodb.collection"] = "x" }))
    assert.is_false(of({ "not", { "exists", "url.full" } }, { ["http.url"] = "x" }))
  end)

  it("is not looked for where its own name is there", function()
    local both = { ["http.status_code"] = 200, ["http.response.status_code"] = 500 }
    assert.is_false(of({ "eq", "http.status_code", 500 }, both))
    assert.is_true(of({ "eq", "http.status_code", 200 }, both))
  end)

  it("is not looked for where that is switched off, nor in a resource", function()
    local attributes = { ["http.status_code"] = 500 }
    assert.is_false(of({ "exists", "http.response.status_code" }, attributes, false, { renamed = false }))
    assert.is_false(matching.holds({ "exists", "resource:url.full" },
      { resource = { ["http.url"] = "x" }, renamed = true }))
  end)
end)

describe("events and links", function()
  local span = {
    events = { { name = "exception", attributes = { type = "A" } }, { name = "log", attributes = { type = "B" } }, {} },
    links = { { trace_id = ("\171"):rep(16), span_id = ("\1"):rep(8), trace_state = "x=y", attributes = { k = 1 } } },
  }

  for _, case in ipairs({
    { { "event", { "eq", ".event_name", "exception" } }, true },
    { { "event", { "eq", ".event_name", "" } }, true },
    { { "event", { "and", { "eq", ".event_name", "exception" }, { "eq", "type", "A" } } }, true },
    { { "event", { "and", { "eq", ".event_name", "log" }, { "eq", "type", "A" } } }, false },
    { { "event", { "not", { "exists", "type" } } }, true }, { { "event", {} }, true },
    { { "not", { "event", { "eq", "type", "C" } } }, true },
    { { "link", { "eq", ".trace_id", ("ab"):rep(16) } }, true },
    { { "link", { "eq", ".span_id", ("01"):rep(8) } }, true },
    { { "link", { "and", { "prefix", ".trace_state", "x=" }, { "gt", "k", 0 } } }, true },
    { { "link", { "eq", "k", 2 } }, false },
  }) do
    it("are asked one by one: " .. tostring(case[2]) .. " " .. case[1][1] .. " " .. tostring(case[1][2][1]), function()
      assert.equal(case[2], matching.holds(case[1], span))
    end)
  end

  it("do not exist on a span without any", function()
    assert.is_false(matching.holds({ "event", {} }, {}))
    assert.is_false(matching.holds({ "link", { "not", { "exists", "x" } } }, {}))
    assert.is_true(matching.holds({ "not", { "event", {} } }, {}))
  end)
end)

describe("a function in a pattern", function()
  local function asks(formula, attributes)
    return matching.match(matching.of({ formula }), { attributes = attributes })
  end
  local yes, no = { "exists", "k" }, { "exists", "missing" }

  it("is asked only where it can still decide", function()
    assert.same({ { 1, 0, 0 } }, asks({ "and", yes, { "function" } }, { k = 1 }).asks)
    assert.same({ hits = {}, unknowns = {}, asks = {} }, asks({ "and", no, { "function" } }, { k = 1 }))
    assert.same({ hits = { 1 }, unknowns = {}, asks = {} }, asks({ "or", yes, { "function" } }, { k = 1 }))
    assert.same({ { 1, 0, 0 }, { 1, 2, 0 } },
      asks({ "or", { "function" }, { "and", no, { "function" } }, { "not", { "function" } } }, { k = 1 }).asks)
  end)

  it("decides by its answer, and leaves it open where it has none", function()
    local it_ = matching.of({ { "and", yes, { "function" }, { "not", { "function" } } } })
    local function of(answers) return matching.resolve(it_, { attributes = { k = 1 } }, 1, answers) end
    assert.same({ 1, 0, 0, 2, 0, 2 }, { of({ { 0, 0, 1 }, { 1, 0, 0 } }), of({ { 0, 0, 1 }, { 1, 0, 1 } }),
      of({ { 0, 0, 0 } }), of({ { 0, 0, 1 } }), of({ { 0, 0, 2 }, { 1, 0, 1 } }), of({ { 0, 0, 1 }, { 1, 0, 7 } }) })
  end)
end)

describe("a function of events", function()
  local named, asked = { "eq", ".event_name", "e" }, { "function" }
  local both = { "event", { "and", named, asked } }
  local span = { events = { { name = "e" }, { name = "other" }, { name = "e", attributes = { k = 1 } } },
    links = { {}, { attributes = { k = 1 } } }, attributes = { k = 1 } }

  local function match(...) return matching.match(matching.of({ ... }), span) end
  local function resolve(formula, answers) return matching.resolve(matching.of({ formula }), span, 1, answers) end

  it("is asked of each event that the rest of its table leaves open, with the event's index", function()
    assert.same({ { 1, 0, 0 }, { 1, 0, 2 } }, match(both).asks)
    assert.same({ { 1, 0, 0 }, { 1, 0, 1 }, { 1, 0, 2 } }, match({ "event", asked }).asks)
    assert.same({ { 1, 0, 1 } }, match({ "link", { "and", { "exists", "k" }, asked } }).asks)
    assert.same({ { 1, 0, 2 }, { 1, 1, 0 }, { 1, 1, 2 } },
      match({ "event", { "and", named, { "or", { "and", { "exists", "k" }, asked }, { "not", asked } } } }).asks)
  end)

  it("is not asked once an event holds without it, nor where the rest of the pattern is decided", function()
    local some = { "event", { "or", { "exists", "k" }, asked } }
    assert.same({ hits = { 1 }, unknowns = {}, asks = {} }, match(some))
    assert.same({ hits = {}, unknowns = {}, asks = {} }, match({ "and", { "eq", "k", 2 }, both }))
    assert.same({ hits = { 1 }, unknowns = {}, asks = {} }, match({ "or", { "eq", "k", 1 }, both }))
    assert.same({ { 1, 1, 0 } }, match({ "and", { "or", { "exists", "k" }, both }, asked }).asks)
  end)

  it("holds if one event satisfies all, fails if each fails, else is unknown", function()
    for _, row in ipairs({ { 1, 1, 0 }, { 1, 0, 1 }, { 1, 2, 1 }, { 0, 0, 0 }, { 2, 0, 2 }, { 2, 2, 2 } }) do
      local answers = { { 0, 0, row[2] }, { 0, 2, row[3] } }
      assert.equal(row[1], resolve(both, answers))
      assert.equal(({ [0] = 1, 0, 2 })[row[1]], resolve({ "not", both }, answers))
    end
    assert.equal(2, resolve(both, { { 0, 2, 0 } }))
  end)

  it("wants all of its entries of the same event", function()
    local two = { "event", { "and", named, asked, asked } }
    assert.equal(0, resolve(two, { { 0, 0, 1 }, { 0, 2, 0 }, { 1, 0, 0 }, { 1, 2, 1 } }))
    assert.equal(1, resolve(two, { { 0, 0, 0 }, { 0, 2, 1 }, { 1, 0, 0 }, { 1, 2, 1 } }))
    assert.equal(0, resolve({ "and", { "event", asked }, { "link", asked } },
      { { 0, 0, 1 }, { 1, 0, 0 }, { 1, 1, 0 } }))
  end)

  it("is asked of 4,096 events, and unknown where there are more", function()
    local events = {}
    for i = 1, 4096 do events[i] = {} end
    local set = matching.of({ { "event", asked }, { "exists", "k" }, { "event", {} } })
    assert.equal(4096, #matching.match(set, { events = events }).asks)
    events[4097] = {}
    assert.same({ hits = { 2, 3 }, unknowns = { 1 }, asks = {} },
      matching.match(set, { events = events, attributes = { k = 1 } }))
  end)

  it("is no more asked when that is more in all than anyone would be asked", function()
    local formulas, events = {}, {}
    for i = 1, 40 do formulas[i] = { "event", asked } end
    for i = 1, 4096 do events[i] = {} end
    local got = matching.match(matching.of(formulas), { events = events })
    assert.same({ 33 * 4096, 7 }, { #got.asks, #got.unknowns })
  end)

  it("is not asked about a span whose payload was given back", function()
    local set = matching.of({ both })
    assert.same({ hits = {}, unknowns = {}, asks = {} },
      matching.match(set, { events = span.events, shed = true }))
    assert.equal(0, matching.resolve(set, { events = span.events, shed = true }, 1))
  end)

  it("beside a match beyond its limit is asked, and both may stay open", function()
    local slow, long = { "matches", "k", "(a+)+b" }, ("a"):rep(40) .. "cb"
    local set = matching.of({ { "event", { "and", slow, asked } } })
    local it_ = { events = { { attributes = { k = "x" } }, { attributes = { k = long } } } }
    assert.same({ { 1, 0, 1 } }, matching.match(set, it_).asks)
    assert.same({ 2, 0 }, { matching.resolve(set, it_, 1, { { 0, 1, 1 } }),
      matching.resolve(set, it_, 1, { { 0, 1, 0 } }) })
  end)
end)

describe("a payload that is cut short", function()
  it("is read as far as it goes, and not one byte further", function()
    local it_ = matching.of({ { "eq", "k", { double = 0.5 } }, { "contains", "s", "x" }, { "ge", "list", 1 },
      { "event", { "exists", "e" } }, { "link", { "eq", ".span_id", "0101" } }, { "eq", ".status_message", "m" } })
    local whole = wire.attributes(9, { k = 0.5, s = ("x"):rep(130), list = { 1, "a", { 2 } } })
      .. wire.text(11, wire.text(2, "name") .. wire.attributes(3, { e = true }))
      .. wire.text(13, wire.text(2, ("\1"):rep(8))) .. wire.text(15, wire.text(2, "m"))
    for n = 0, #whole do matching.match(it_, { extra = whole:sub(1, n) }) end
    assert.same({ 1, 2, 3, 4, 6 }, matching.match(it_, { extra = whole }).hits)
  end)
end)

describe("a rule set's patterns", function()
  it("are each in one of the three sets, in ascending order", function()
    local slow = { "matches", "k", "(a+)+b" }
    local all = { { "function" }, { "exists", "k" }, slow, {}, { "eq", "k", "no" }, { "and", slow, { "function" } },
      { "prefix", "k", "aa" } }
    local got = matching.match(matching.of(all), { attributes = { k = ("a"):rep(40) .. "cb" } })
    assert.same({ 2, 4, 7 }, got.hits)
    assert.same({ 3 }, got.unknowns)
    assert.same({ { 1, 0, 0 }, { 6, 1, 0 } }, got.asks)
  end)

  it("of one span do not answer for the next", function()
    local it_ = matching.of({ { "eq", "k", 1 }, { "eq", "resource:r", "a" }, { "not", { "exists", "k" } } })
    local function hits(span) return matching.match(it_, span).hits end
    assert.same({ 1, 2 }, hits({ attributes = { k = 1 }, resource = { r = "a" } }))
    assert.same({ 2, 3 }, hits({ resource = { r = "a" } }))
    assert.same({ 3 }, hits({ resource = { r = "b" } }))
    assert.same({ 1, 2 }, hits({ attributes = { k = 1 }, resource = { r = "a" } }))
    assert.same({ 3 }, hits({}))
    assert.same({ 2, 3 }, hits({ resource = { r = "a" } }))
    assert.same({ 2, 3 }, hits({ resource = { r = "a", big = ("x"):rep(5000) } }))
    assert.same({ 3 }, hits({ resource = { big = ("x"):rep(5000) } }))
    assert.same({ 2, 3 }, hits({ resource = { r = "a" } }))
  end)
end)
