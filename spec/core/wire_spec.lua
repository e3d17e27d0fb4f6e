local support = require("spec.support")
local core, ffi = support.core("wire")
local wire = require("spec.otlp_writer")

local function next_field(bytes)
  local p, n, free = support.guarded(bytes)
  local field = ffi.new("struct wire_field")
  local after = core.wire_next(p, p + n, field)
  local got = after ~= nil and { tonumber(after - p), field.number, field.type, tonumber(field.scalar),
    field.text ~= nil and ffi.string(field.text, field.len) or nil }
  free()
  return got
end

describe("a field on the wire", function()
  for _, case in ipairs({
    { "a varint", "\8\150\1", { 3, 1, 0, 150 } }, { "a padded varint", "\8\129\128\128\0", { 5, 1, 0, 1 } },
    { "a varint of ten bytes", "\8" .. ("\128"):rep(9) .. "\0", { 11, 1, 0, 0 } },
    { "a fixed64", "\57\1\2\0\0\0\0\0\0", { 9, 7, 1, 513 } }, { "a fixed32", "\133\1\1\1\0\0", { 6, 16, 5, 257 } },
    { "text", "\10\3abc", { 5, 1, 2, 0, "abc" } }, { "empty text", "\10\0", { 2, 1, 2, 0, "" } },
    { "text with a padded length", "\10\131\128\128\128\0abc", { 9, 1, 2, 0, "abc" } },
    { "the highest number", "\248\255\255\255\15\0", { 6, 536870911, 0, 0 } },
  }) do
    it("is read: " .. case[1], function()
      assert.same(case[3], next_field(case[2]))
      for i = 0, #case[2] - 1 do assert.is_false(next_field(case[2]:sub(1, i)), "a prefix of " .. i) end
    end)
  end

  for what, bytes in pairs({
    ["number 0"] = "\0\0", ["a padded number 0"] = "\128\0\0", ["a group"] = "\11\12", ["the end of a group"] = "\12",
    ["wire type 6"] = "\14\0", ["wire type 7"] = "\15\0",
    ["a varint of eleven bytes"] = "\8" .. ("\128"):rep(10) .. "\0",
    ["a tag of six bytes"] = "\136\128\128\128\128\0\0", ["a number past 2^29 - 1"] = "\128\128\128\128\16\0",
    ["a length of six bytes"] = "\10\128\128\128\128\128\0", ["a length past the end"] = "\10\4abc",
    ["a length that would wrap"] = "\10\255\255\255\255\127abc",
  }) do
    it("is none: " .. what, function() assert.is_false(next_field(bytes)) end)
  end
end)

describe("UTF-8", function()
  local function valid(text)
    local p, n, free = support.guarded(text)
    local answer = core.wire_utf8(p, n)
    free()
    return answer
  end

  it("is ASCII, and whole characters of two to four bytes", function()
    for _, text in ipairs({ "", "a", ("x"):rep(100), "\0\127", "é", "ž", "€", "\u{FFFF}", "🐎", "\u{10FFFF}",
      "\u{D7FF}\u{E000}" }) do
      for pad = 0, 17 do assert.is_true(valid(("p"):rep(pad) .. text .. ("q"):rep(pad))) end
    end
  end)

  it("is not overlong, a surrogate, past U+10FFFF, or cut short", function()
    for _, text in ipairs({ "\128", "\191", "\192\128", "\193\191", "\194", "\194a", "\224\159\191", "\224\160",
      "\237\160\128",
      "\237\191\191", "\240\143\191\191", "\240\159\144", "\244\144\128\128", "\245\128\128\128", "\255",
        "é\195" }) do
      for pad = 0, 17 do
        assert.is_false(valid(("p"):rep(pad) .. text))
        assert.is_false(valid(("p"):rep(pad) .. text .. ("q"):rep(pad + 1)))
      end
    end
  end)
end)

describe("attributes in a message", function()
  local value = ffi.new("struct fluo_value")
  local function find(message, key)
    local p, n, free = support.guarded(message)
    local found = core.fluo_attribute(p, n, 9, key, #key, value)
    local text = value.text ~= nil and ffi.string(value.text, value.len) or nil
    free()
    return found == 1 and tonumber(value.type), text
  end

  it("are found by their key, in all types", function()
    local message = wire.span { attributes = { s = "text", i = -7, b = true, d = 0.5, a = { 1, "x" } } }
    assert.same({ 1, "text" }, { find(message, "s") })
    assert.equal(3, (find(message, "i")))
    assert.equal(-7, tonumber(value.integer))
    assert.equal(2, (find(message, "b")))
    assert.equal(1, tonumber(value.integer))
    assert.equal(4, (find(message, "d")))
    assert.equal(0.5, value.number)
    assert.equal(5, (find(message, "a")))
    assert.is_false((find(message, "absent")))
  end)

  it("are the last of equal keys", function()
    local message = wire.attribute(9, "k", "first") .. wire.attribute(9, "kk", "other")
      .. wire.attribute(9, "k", "last")
    assert.same({ 1, "last" }, { find(message, "k") })
  end)

  it("may have the value before the key, no value, no key, or one in pieces", function()
    local swapped = wire.text(9, wire.text(2, wire.text(1, "v")) .. wire.text(1, "k"))
    assert.same({ 1, "v" }, { find(swapped, "k") })
    assert.equal(0, (find(wire.text(9, wire.text(1, "k")), "k")))
    assert.same({ 1, "v" }, { find(wire.text(9, wire.text(2, wire.text(1, "v"))), "") })
    local pieces = wire.text(9, wire.text(1, "k") .. wire.text(2, wire.text(1, "v")) .. wire.text(2, ""))
    assert.same({ 1, "v" }, { find(pieces, "k") })
    local twice = wire.text(9, wire.text(1, "o") .. wire.text(2, wire.text(1, "v")) .. wire.text(1, "k"))
    assert.same({ 1, "v" }, { find(twice, "k") })
    assert.is_false((find(twice, "o")))
  end)

  it("end where the message is cut", function()
    local message = wire.span { attributes = { one = 1, two = "2", three = "3" }, name = "n" }
    for i = 0, #message do find(message:sub(1, i), "three") end
  end)
end)

describe("items and scalars of a message", function()
  it("come one by one, in order", function()
    local message = wire.text(11, "a") .. wire.varint_field(10, 5) .. wire.text(11, "") .. wire.text(11, "c")
    local item, got = ffi.new("struct fluo_item"), {}
    while core.fluo_item_next(message, #message, 11, item) == 1 do
      got[#got + 1] = ffi.string(item.text, item.len)
    end
    assert.same({ "a", "", "c" }, got)
    assert.equal(0, core.fluo_item_next(message, #message, 11, item))
  end)

  it("of a scalar the last one counts", function()
    local message = wire.varint_field(10, 5) .. wire.fixed64(1, 77) .. wire.varint_field(10, 6)
    assert.equal(6, tonumber(core.fluo_scalar(message, #message, 10)))
    assert.equal(77, tonumber(core.fluo_scalar(message, #message, 1)))
    assert.equal(0, tonumber(core.fluo_scalar(message, #message, 2)))
  end)
end)
