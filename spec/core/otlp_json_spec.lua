local support = require("spec.support")
local core, ffi = support.core("heap", "buffer", "otlp", "otlp_json")
local wire = require("spec.otlp_writer")
local cjson = require("cjson")

local ENOMEM, EMALFORMED, ETRUNCATED, EDEPTH, ETOOLARGE = -1, -2, -3, -4, -5

local LIMITS = ffi.new("struct otlp_limits", { 64, 1e5, 1e5, 1e8 })

local function transcode_once(text, options, room)
  local b, result, fault = ffi.new("struct buffer"), ffi.new("struct otlp_json_result"), ffi.new("struct otlp_fault")
  local limits = options.depth and ffi.new("struct otlp_limits", { options.depth, 1e5, 1e5, 1e8 }) or LIMITS
  local live = core.heap_live()
  core.buffer_init(b, options.max or 1e7)
  if room then assert(core.buffer_reserve(b, room) ~= nil) end
  local p, n, free = support.guarded(text)
  local err = core.otlp_json_transcode(ffi.cast("const char *", p), n, not options.lines, limits, b, result, fault)
  local out = b.len > 0 and ffi.string(b.data, b.len) or ""
  local leaked = core.heap_live() - live - (b.data ~= nil and 1 or 0)
  free()
  core.buffer_deinit(b)
  assert.equal(0, tonumber(leaked))
  if err ~= 0 then assert.equal("", out) end
  return err, err == 0 and out or fault, result
end

-- Transcodes: err, the wire form (or the fault), the result. What is plain is read in one go only where text and room enough
-- are ahead, so it is done again with white space behind and a buffer that has memory, and has to be the same.
local AHEAD = (" "):rep(300)
local function transcode(text, options)
  options = options or {}
  local err, out, result = transcode_once(text, options)
  if err == ETRUNCATED or options.max or options.once then return err, out, result end
  local same, other, ahead = transcode_once(text .. AHEAD, options, #text + 4096)
  assert.equal(err, same)
  if err == 0 then assert.is_true(out == other, text)
  else assert.same({ ffi.string(out.what), tonumber(out.offset) }, { ffi.string(other.what), tonumber(other.offset) }, text) end
  assert.same({ result.invalid_utf8, result.enum_names }, { ahead.invalid_utf8, ahead.enum_names })
  return err, out, result
end

-- The same text with tabs, of which nothing is plain.
local function tabbed(text) return (text:gsub('":', '":\t')) end

local function span(members) return ('{"resourceSpans":[{"scopeSpans":[{"spans":[{%s}]}]}]}'):format(members) end

-- The Span's bytes, lengths opened: what was written for these members.
local function wire_of(members)
  local err, out = transcode(span(members))
  assert.equal(0, err, err ~= 0 and ffi.string(out.what))
  local item = ffi.new("struct fluo_item")
  local function open(text, number)
    item.next = 0
    assert(core.fluo_item_next(text, #text, number, item) == 1)
    return ffi.string(item.text, item.len)
  end
  return open(open(open(out, 1), 2), 2)
end

-- An attribute's AnyValue.
local function value_of(json)
  local written = wire_of('"attributes":[{"key":"k","value":' .. json .. "}]")
  local item, key, value = ffi.new("struct fluo_item"), ffi.new("struct fluo_item"), ffi.new("struct fluo_value")
  assert(core.fluo_item_next(written, #written, 9, item) == 1)
  core.fluo_key_value(item.text, item.len, key, value)
  local text = value.text ~= nil and ffi.string(value.text, value.len) or nil
  return tonumber(value.type), text, value
end

local function counts(body)
  local summary, fault = ffi.new("struct otlp_summary"), ffi.new("struct otlp_fault")
  assert.equal(0, core.otlp_check(body, #body, LIMITS, summary, fault), ffi.string(fault.what))
  return summary.spans, summary.rejected
end

-- The strings of all KeyValues and names of a body, sorted by their bytes: what two encodings share.
local function words(body)
  local found = {}
  for word in body:gmatch("[%w%._/:%-]+") do
    if #word > 5 and not word:find("^[%x]+$") then found[word] = true end
  end
  return found
end

describe("an attribute without white space", function()
  local ATTRIBUTES = {
    { "", [["stringValue":""]] }, { "k", [["stringValue":"v"]] }, { ("k"):rep(100), [["stringValue":"v"]] },
    { ("k"):rep(101), [["stringValue":"v"]] }, { ("k"):rep(122), [["stringValue":"v"]] }, { ("k"):rep(127), [["intValue":1]] },
    { ("k"):rep(128), [["stringValue":""]] }, { ("k"):rep(112), [["intValue":999999999999999999]] }, { "k", [["stringValue":"]] .. ("v"):rep(120) .. '"' },
    { "k", [["stringValue":"]] .. ("v"):rep(121) .. '"' }, { "k", [["stringValue":"]] .. ("v"):rep(300) .. '"' },
    { ("k"):rep(60), [["stringValue":"]] .. ("v"):rep(61) .. '"' }, { ("k"):rep(60), [["stringValue":"]] .. ("v"):rep(62) .. '"' },
    { "k", [["stringValue":"a\\nb"]] }, { "k\\t", [["stringValue":"v"]] }, { "k", '"stringValue":"é"' }, { "é", [["stringValue":"v"]] },
    { "k", [["intValue":0]] }, { "k", [["intValue":"0"]] }, { "k", [["intValue":200]] }, { "k", [["intValue":"127"]] },
    { "k", [["intValue":128]] }, { "k", [["intValue":-1]] }, { "k", [["intValue":"-1"]] }, { "k", [["intValue":"007"]] },
    { "k", [["intValue":999999999999999999]] }, { "k", [["intValue":"9223372036854775807"]] }, { "k", [["intValue":1e3]] },
    { ("k"):rep(100), [["intValue":"999999999999999999"]] }, { "k", [["boolValue":true]] }, { "k", [["doubleValue":1.5]] },
    { "k", [["intValue":5,"stringValue":"v"]] }, { "k", [["stringValue":null]] },
  }

  it("is what it is with white space", function()
    for _, case in ipairs(ATTRIBUTES) do
      local key, value = case[1], case[2]
      local plain = wire_of(('"attributes":[{"key":"%s","value":{%s}}]'):format(key, value))
      local spaced = wire_of(('"attributes":[ { "key":"%s","value":{%s} } ]'):format(key, value))
      assert.equal(spaced, plain, key .. " " .. value)
    end
  end)

  it("is the same after any other at its place", function()
    math.randomseed(11)
    local keys, values = { "a", "ab", ("k"):rep(15), ("k"):rep(16), ("k"):rep(99) .. "x", ("k"):rep(99) .. "y", ("k"):rep(130), "é" },
      { [["stringValue":""]], [["stringValue":"v"]], [["stringValue":"w"]], [["intValue":5]], [["intValue":"5"]], [["intValue":-5]],
        [["boolValue":true]], [["stringValuX":"v"]], [["intValux":5]], '"stringValue":"' .. ("v"):rep(90) .. '"', [["stringValue": "v"]] }
    local function list(n)
      local items = {}
      for i = 1, n do
        items[i] = ('{"key":"%s","value":{%s}}'):format(keys[math.random(#keys)], values[math.random(#values)])
      end
      return table.concat(items, ",")
    end
    for _ = 1, 100 do
      local spans = {}
      for i = 1, 20 do
        spans[i] = ('{"attributes":[%s],"events":[{"attributes":[%s],"name":"n"}]}'):format(list(math.random(0, 3)), list(math.random(0, 2)))
      end
      spans[21] = ('{"attributes":[%s]}'):format(list(70))
      local text = '{"resourceSpans":[{"scopeSpans":[{"spans":[' .. table.concat(spans, ",") .. "]}]}]}"
      local err, out = transcode(text)
      assert.equal(0, err)
      assert.is_true(select(2, transcode(tabbed(text))) == out)
    end
  end)

  it("is refused for what it would be refused with white space, at the same byte", function()
    for _, value in ipairs { [["stringValue":"v]], [["stringValue":v]], [["intValue":]], [["intValue":007]], [["intValue":9223372036854775808]], [["intValue":"x"]], [["intValue":""]],
      [["intValue":"5]], [["stringValue":"v"}]], [["intValue":5"]], '"stringValue":"\1"' } do
      local text = span(('"attributes":[{"key":"k","value":{%s}}]'):format(value))
      local spaced = span(('"attributes":[{ "key":"k","value":{%s}}]'):format(value))
      local err, fault = transcode(text)
      local same, other = transcode(spaced)
      assert.same({ same, ffi.string(other.what), tonumber(other.offset) - 1 }, { err, ffi.string(fault.what), tonumber(fault.offset) }, value)
      assert.truthy(err < 0)
    end
  end)
end)

describe("JSON that a real client sent", function()
  for name, spans in pairs({ ["deno-2.9.6-http-json.1"] = 6, ["js-auto-http-json.1"] = 19, ["js-sdk-http.1"] = 3,
    ["js-sdk-http-gzip.1"] = 3 }) do
    it("holds its spans: " .. name, function()
      local text = support.read("spec/fixtures/otlp/" .. name .. ".json")
      local err, body = transcode(text)
      assert.equal(0, err)
      assert.same({ spans, 0 }, { counts(body) })
      assert.is_true(select(2, transcode(tabbed(text))) == body)
    end)
  end

  it("says what the protobuf of the same client says", function()
    local _, body = transcode(support.read("spec/fixtures/otlp/js-sdk-http.1.json"))
    local protobuf = support.read("spec/fixtures/otlp/js-sdk-proto.1.pb")
    local missing, shared = 0, 0
    local ours = words(body)
    for word in pairs(words(protobuf)) do
      if ours[word] then shared = shared + 1 else missing = missing + 1 end
    end
    assert.is_true(shared > 20 and missing < shared / 4, shared .. " shared, " .. missing .. " missing")
    assert.is_true(math.abs(#body - #protobuf) < #protobuf / 20)
  end)

  it("is cut short in every prefix", function()
    local text = support.read("spec/fixtures/otlp/js-sdk-http.1.json")
    for i = 0, #text - 1 do
      local err = transcode(text:sub(1, i), { once = true })
      assert.is_true(err == ETRUNCATED or err == EMALFORMED, i .. " gave " .. err)
    end
  end)

  it("with any byte changed is refused, or accepted by both passes", function()
    local text = support.read("spec/fixtures/otlp/js-sdk-http.1.json")
    math.randomseed(5)
    for i = 1, #text do
      local changed = text:sub(1, i - 1) .. string.char(math.random(0, 255)) .. text:sub(i + 1)
      local err, body = transcode(changed)
      if err == 0 then counts(body) end
    end
  end)
end)

describe("a field of a span", function()
  for _, case in ipairs({
    { "a hex id", [["traceId":"00FFab0102030405060708090a0b0c0D"]],
      wire.text(1, "\0\255\171\1\2\3\4\5\6\7\8\9\10\11\12\13") },
    { "an empty parent id", [["parentSpanId":""]], wire.text(4, "") },
    { "an id that is no hex, of a wrong length", [["spanId":"zz00000000000000"]], wire.text(2, "\0") },
    { "an id of odd length", [["spanId":"123"]], wire.text(2, "\0") },
    { "a kind as a number", [["kind":3]], wire.varint_field(6, 3) },
    { "a kind by name", [["kind":"SPAN_KIND_SERVER"]], wire.varint_field(6, 2) },
    { "a kind by its short name", [["kind":"consumer"]], wire.varint_field(6, 5) },
    { "a kind in quotes", [["kind":"4"]], wire.varint_field(6, 4) },
    { "a kind of no known name", [["kind":"SPAN_KIND_COBSERVER"]], wire.varint_field(6, 0) },
    { "a status", [["status":{"code":"STATUS_CODE_ERROR","message":"m"}]],
      wire.text(15, wire.varint_field(3, 2) .. wire.text(2, "m")) },
    { "a time as a string", [["startTimeUnixNano":"1795232661632948701"]], wire.fixed64(7, 1795232661632948701ULL) },
    { "a time as a number", [["endTimeUnixNano":1795232661632948701]], wire.fixed64(8, 1795232661632948701ULL) },
    { "a time with an exponent", [["endTimeUnixNano":1.7e18]], wire.fixed64(8, 1700000000000000000ULL) },
    { "the latest time", [["endTimeUnixNano":18446744073709551615]], wire.fixed64(8, 18446744073709551615ULL) },
    { "a time with all of 64 bits", [["endTimeUnixNano":1e19]], wire.fixed64(8, 10000000000000000000ULL) },
    { "a time with zeros behind the point", [["endTimeUnixNano":100.000]], wire.fixed64(8, 100) },
    { "a count", [["droppedEventsCount":4294967295]], wire.varint_field(12, 4294967295) },
    { "flags", [["flags":257]], wire.tag(16, 5) .. "\1\1\0\0" },
    { "a null", [["name":null,"attributes":null,"status":null]], "" },
    { "an empty list", '"attributes":[],"events":[ ]', "" },
    { "a doubled key", [["name":"a","name":"b"]], wire.text(5, "a") .. wire.text(5, "b") },
    { "an escaped key", [["n\u0061me":"a"]], wire.text(5, "a") },
    { "unknown keys", [=["x":1,"y":[{"z":[null,true,-1.5e+3,"\n"]},[]],"name":"n","Name":"no","span_id":"no"]=],
      wire.text(5, "n") },
    { "a key with a NUL", [["kind\u0000":"x","name\u0000\u0000":1]], "" },
    { "an event", [=["events":[{"timeUnixNano":"5","name":"e","attributes":[{"value":{"intValue":1},"key":"k"}]}]]=],
      wire.text(11, wire.fixed64(1, 5) .. wire.text(2, "e")
        .. wire.text(3, wire.text(2, wire.varint_field(3, 1)) .. wire.text(1, "k"))) },
    { "a link", [=["links":[{"traceId":"","spanId":"ab"}]]=],
      wire.text(13, wire.text(1, "") .. wire.text(2, "\171")) },
  }) do
    it("is taken: " .. case[1], function() assert.equal(case[3], wire_of(case[2])) end)
  end

  it("is taken after nulls in a list", function()
    local events = wire_of '"events":[null,{"name":"e"},null]'
    assert.equal(wire.text(11, wire.text(2, "e")), events)
  end)
end)

describe("a value", function()
  for _, case in ipairs({
    { [[{"stringValue":"s"}]], 1, "s" }, { [[{"stringValue":""}]], 1, "" }, { "{}", 0 }, { "null", 0 },
    { [[{"stringValue":null}]], 0 }, { [[{"arrayValue":{}}]], 5, "" }, { [[{"kvlistValue":{"values":[]}}]], 6, "" },
    { [[{"bytesValue":"aGk="}]], 7, "hi" }, { [[{"bytesValue":"aGk"}]], 7, "hi" },
    { [[{"bytesValue":"-_8="}]], 7, "\251\255" },
    { [[{"bytesValue":"+\/8"}]], 7, "\251\255" }, { [[{"bytesValue":""}]], 7, "" },
    { [[{"arrayValue":{"values":[{"intValue":1},null,{"stringValue":"x"}]}}]], 5,
      wire.text(1, wire.varint_field(3, 1)) .. wire.text(1, "") .. wire.text(1, wire.text(1, "x")) },
  }) do
    it("is " .. case[1], function()
      local type, text = value_of(case[1])
      assert.same({ case[2], case[3] }, { type, text })
    end)
  end

  for json, expected in pairs({
    ["7"] = 7LL, ['"-7"'] = -7LL, ["9007199254740993"] = 9007199254740993LL,
    ['"9223372036854775807"'] = 9223372036854775807LL,
    ["-9223372036854775808"] = -9223372036854775807LL - 1, ["1e3"] = 1000LL, ["12.50e1"] = 125LL, ["-0"] = 0LL,
    ["0e99999999999999999999"] = 0LL,
    ["10000000000000000000000e-20"] = 100LL,
  }) do
    it("is the int " .. json, function()
      local type, _, value = value_of('{"intValue":' .. json .. "}")
      assert.equal(3, type)
      assert.is_true(value.integer == expected)
    end)
  end

  for json, expected in pairs({ ["1"] = 1, ["0.1"] = 0.1, ['"1e-7"'] = 1e-7, ['"Infinity"'] = 1 / 0,
    ['"-Infinity"'] = -1 / 0,
    ["123456789012345678901234567890"] = 123456789012345678901234567890, ["4.9e-324"] = 4.9e-324 }) do
    it("is the double " .. json, function()
      local type, _, value = value_of('{"doubleValue":' .. json .. "}")
      assert.same({ 4, expected }, { type, value.number })
    end)
  end

  it("is not a number where it says so", function()
    local type, _, value = value_of [[{"doubleValue":"NaN"}]]
    assert.is_true(type == 4 and value.number ~= value.number)
  end)
end)

describe("a string", function()
  for json, text in pairs({
    [ [["\"\\\/\b\f\n\r\t"]] ] = '"\\/\b\f\n\r\t', [ [["\u0041\u00e9\u20ac"]] ] = "Aé€",
    [ [["\ud83d\udc0e"]] ] = "🐎",
    [ [["\uD83D"]] ] = "\u{fffd}", [ [["\udc0e\ud83d"]] ] = "\u{fffd}\u{fffd}", [ [["\ud83dx"]] ] = "\u{fffd}x",
    [ [["\ud83d\u0041"]] ] = "\u{fffd}A", [ [["\u0000"]] ] = "\0", ['"žlutý 🐎"'] = "žlutý 🐎",
    ['"\127"'] = "\127",
    ['"a\255b"'] = "a\u{fffd}b", ['"\240\159\144"'] = "\u{fffd}",
    ['"12345678\237\160\128"'] = "12345678\u{fffd}\u{fffd}\u{fffd}",
  }) do
    it(("of %s"):format(json:gsub("[^ -~]", "?")), function()
      assert.equal(wire.text(5, text), wire_of('"name":' .. json))
    end)
  end

  it("keeps its length, whatever it is", function()
    for _, n in ipairs({ 126, 127, 128, 129, 16383, 16384, 300000 }) do
      local text = ("é"):rep(n)
      local _, got = value_of('{"stringValue":"' .. text .. '"}')
      assert.is_true(got == text)
      _, got = value_of('{"stringValue":"' .. ("x"):rep(n) .. '"}')
      assert.is_true(got == ("x"):rep(n))
    end
  end)

  it("that is not UTF-8 is counted, a sequence at a time", function()
    local _, _, result = transcode(span('"name":"\255 \240\159\144 ok \237\160\128"'))
    assert.equal(5, result.invalid_utf8)
  end)

  it("agrees with another JSON reader on any text", function()
    math.randomseed(9)
    for _ = 1, 200 do
      local units = {}
      for i = 1, math.random(0, 30) do units[i] = ({ "a", '"', "\\", "\n", "é", "🐎", "\1", "\127",
        "/" })[math.random(9)] end
      local text = table.concat(units)
      local _, got = value_of('{"stringValue":' .. cjson.encode(text) .. "}")
      assert.equal(text, got)
    end
  end)
end)

describe("what is no OTLP/JSON", function()
  for _, case in ipairs({
    { "", ETRUNCATED }, { "  ", ETRUNCATED }, { "[]", EMALFORMED }, { "null", EMALFORMED }, { "{", ETRUNCATED },
    { "{]", EMALFORMED },
    { "{,}", EMALFORMED }, { '{"a":1,}', EMALFORMED }, { '{"a" 1}', EMALFORMED }, { '{"a":01}', EMALFORMED },
    { '{"a":1.}', EMALFORMED },
    { '{"a":+1}', EMALFORMED }, { '{"a":.5}', EMALFORMED }, { '{"a":1e}', EMALFORMED },
    { '{"a":-}', EMALFORMED }, { '{"a":tru}', EMALFORMED },
    { '{"a":[1,]}', EMALFORMED }, { '{"a":"\n"}', EMALFORMED }, { [[{"a":"\x"}]], EMALFORMED },
    { [[{"a":"\u12g4"}]], EMALFORMED },
    { "{} {}", EMALFORMED }, { "{}x", EMALFORMED }, { "{'a':1}", EMALFORMED }, { "{a:1}", EMALFORMED },
    { '{"resourceSpans":{}}', EMALFORMED },
    { '{"resourceSpans":[{"resource":{"entityRefs":[{"idKeys":"x"}]}}]}', EMALFORMED }, { span '"kind":2147483648', EMALFORMED },
    { span '"droppedEventsCount":4294967296', EMALFORMED },
    { '{"resourceSpans":[1]}', EMALFORMED }, { '{"resourceSpans":[[]]}', EMALFORMED },
    { span '"name":5', EMALFORMED },
    { span '"traceId":5', EMALFORMED }, { span '"kind":true', EMALFORMED },
    { span '"startTimeUnixNano":-1', EMALFORMED },
    { span '"startTimeUnixNano":1.5', EMALFORMED }, { span '"startTimeUnixNano":18446744073709551616', EMALFORMED },
    { span '"startTimeUnixNano":""', EMALFORMED }, { span '"startTimeUnixNano":"0x10"', EMALFORMED },
    { span '"flags":4294967296', EMALFORMED },
    { span '"attributes":[{"value":{"boolValue":"true"}}]', EMALFORMED },
    { span '"attributes":[{"value":{"doubleValue":1e999}}]', EMALFORMED },
    { span '"attributes":[{"value":{"doubleValue":"nan"}}]', EMALFORMED },
    { span '"attributes":[{"value":{"bytesValue":"a"}}]', EMALFORMED },
    { span '"attributes":[{"value":{"bytesValue":"a*=="}}]', EMALFORMED },
    { span '"attributes":[{"value":{"intValue":9223372036854775808}}]', EMALFORMED },
  }) do
    it("is refused: " .. case[1]:sub(-50):gsub("%c", "?"), function() assert.equal(case[2], (transcode(case[1]))) end)
  end

  it("is a control character anywhere in a string", function()
    for c = 0, 31 do
      for at = 0, 17 do
        local text = ("x"):rep(at) .. string.char(c) .. ("x"):rep(17 - at)
        assert.equal(EMALFORMED, (transcode('{"' .. text .. '":1}')))
      end
    end
  end)

  it("is refused for its own mistake, whatever long key came before", function()
    assert.equal(EMALFORMED, (transcode('{"\\n' .. ("x"):rep(5000) .. '":1,}')))
  end)

  it("is refused with line and column", function()
    local err, fault = transcode('{\n "resourceSpans": [\n  {"resource": 5}\n ]\n}')
    assert.equal(EMALFORMED, err)
    assert.same({ 3, 16, "expected {" }, { fault.line, fault.column, ffi.string(fault.what) })
    assert.equal(37, tonumber(fault.offset))
  end)
end)

describe("a bound", function()
  it("of depth is met exactly, by messages and by unknown values", function()
    local function nested(n)
      return span('"attributes":[{"value":' .. ('{"arrayValue":{"values":['):rep(n) .. "{}" .. ("]}}"):rep(n) .. "}]")
    end
    assert.equal(0, (transcode(nested(10), { depth = 25 })))
    assert.equal(EDEPTH, (transcode(nested(10), { depth = 24 })))
    assert.equal(0, (transcode('{"x":' .. ("["):rep(10) .. ("]"):rep(10) .. "}", { depth = 10 })))
    assert.equal(EDEPTH, (transcode('{"x":' .. ("["):rep(11) .. ("]"):rep(11) .. "}", { depth = 10 })))
    assert.equal(EDEPTH, (transcode('{"x":' .. ("["):rep(1e6))))
    assert.equal(EDEPTH, (transcode('{"x":' .. ('{"a":'):rep(1e5))))
  end)

  -- An open message takes three bytes more than it may need once it is closed.
  it("of the output is kept, and then nothing is in it", function()
    local text = span('"name":"abcdefgh","attributes":[{"key":"k","value":{"stringValue":"v\\n"}}]')
    local _, body = transcode(text)
    for max = 0, #body - 1 do assert.equal(ETOOLARGE, (transcode(text, { max = max }))) end
    assert.equal(0, (transcode(text, { max = #body + 3 * 8 })))
  end)

  it("of the output is kept by a buffer that has more memory, from before", function()
    local text = span('"name":"abcdefgh","attributes":[{"key":"k","value":{"stringValue":"v"}}]')
    local _, body = transcode(text)
    local b, result, fault = ffi.new("struct buffer"), ffi.new("struct otlp_json_result"), ffi.new("struct otlp_fault")
    core.buffer_init(b, 1e5)
    core.buffer_reserve(b, 4096)
    for max = 0, #body - 1 do
      b.max = max
      assert.equal(ETOOLARGE, core.otlp_json_transcode(text .. AHEAD, #text, true, LIMITS, b, result, fault))
      core.buffer_clear(b)
    end
    core.buffer_deinit(b)
  end)

  it("of memory, at every allocation, leaks nothing", function()
    local text = span('"na\\u006de":"n","attributes":[{"key":"k","value":{"stringValue":"' .. ("v"):rep(2000)
      .. '"}}]')
    for n = 1, 10 do
      core.heap_fail_from(n)
      local err = transcode(text, { once = true })
      core.heap_fail_from(0)
      if err == 0 then return assert.is_true(n > 2) end
      assert.equal(ENOMEM, err)
    end
    error("it never stopped asking for memory")
  end)

  it("of short strings is none for keys: a long escaped one is just unknown", function()
    assert.equal("", wire_of('"\\u006eame' .. ("x"):rep(5000) .. '":1'))
  end)
end)

describe("documents", function()
  it("may have a BOM, white space and pretty lines", function()
    local err, body = transcode("\239\187\191 \r\n\t{\n  \"resourceSpans\" : [ { } , { } ]\n}\n\n")
    assert.same({ 0, wire.text(1, ""):rep(2) }, { err, body })
  end)

  it("follow each other in a file, and each says where it ended", function()
    local text = '{"resourceSpans":[{}]}\n\n{"a":\n1} {}\n'
    local at, lines, bodies = 0, 0, {}
    while at < #text do
      local err, body, result = transcode(text:sub(at + 1), { lines = true })
      assert.equal(0, err)
      at, lines = at + tonumber(result.consumed), lines + result.lines
      bodies[#bodies + 1] = body
    end
    assert.same({ wire.text(1, ""), "", "" }, bodies)
    assert.same({ #text, 4 }, { at, lines })
  end)

  it("may tell when they were received", function()
    local _, body, result = transcode('{"receivedAtUnixNano":"1795232661632948701","resourceSpans":[]}')
    assert.is_true(body == "" and result.has_received_at and result.received_at_ns == 1795232661632948701ULL)
    _, _, result = transcode('{"receivedAtUnixNano":null}')
    assert.is_false(result.has_received_at)
  end)

  it("may be those of old exporters", function()
    local library = [[{"instrumentationLibrary":{"name":"l"},"spans":[{"name":"n"}]}]]
    local err, body = transcode('{"resourceSpans":[{"instrumentationLibrarySpans":[' .. library .. "]}]}")
    assert.equal(0, err)
    assert.equal(wire.text(1, wire.text(2, wire.text(1, wire.text(1, "l")) .. wire.text(2, wire.text(5, "n")))), body)
  end)

  it("count the enums that came by name", function()
    local _, _, result = transcode(span '"kind":"SERVER","status":{"code":"OK"}')
    assert.equal(2, result.enum_names)
  end)
end)
