-- Protobuf as OTLP/JSON: every form, and the way there and back of what clients sent.
local support = require("spec.support")
local core, ffi = support.core("heap", "buffer", "otlp", "otlp_json", "otlp_print", "source")
local wire = require("spec.otlp_writer")

local LIMITS = ffi.new("struct otlp_limits", { 64, 1e5, 1e6, 1e8 })
local FIXTURES = "spec/fixtures/otlp/"
local REQUEST, SPAN, KEY_VALUE, ANY_VALUE = 0, 3, 10, 11

-- The text of a message, or nil and the error.
local function print_of(shape, bytes, max)
  local b = ffi.new("struct buffer")
  core.buffer_init(b, max or 1e7)
  local p, n, free = support.guarded(bytes)
  local err = core.otlp_print(b, shape, p, n)
  local text = ffi.string(b.data, b.len)
  core.buffer_deinit(b)
  free()
  if err ~= 0 then return nil, err end
  return text
end

local function body_of(text)
  local b, result, fault = ffi.new("struct buffer"), ffi.new("struct otlp_json_result"), ffi.new("struct otlp_fault")
  core.buffer_init(b, 1e7)
  local err = core.otlp_json_transcode(text, #text, true, LIMITS, b, result, fault)
  local body = ffi.string(b.data, b.len)
  core.buffer_deinit(b)
  assert.equal(0, err, ffi.string(fault.what))
  return body
end

local function any(bytes) return print_of(ANY_VALUE, bytes) end

-- Every request of every file that clients sent.
local function requests()
  local list = {}
  for path in io.popen("ls " .. FIXTURES .. "*.pb " .. FIXTURES .. "*.json"):lines() do
    local out, why, request = ffi.new("struct source *[1]"), ffi.new("char[512]"), ffi.new("struct source_request")
    if not path:find("meta") and core.source_open(path, LIMITS, out, why) == 0 then
      while core.source_next(out[0], request, why) > 0 do
        list[#list + 1] = { path = path, body = ffi.string(request.body, request.n) }
      end
      core.source_close(out[0])
    end
  end
  return list
end

describe("a value", function()
  it("is printed by its type: numbers of 64 bits as text, bytes in base64", function()
    for expected, bytes in pairs {
      ['{"stringValue":"a\\"b"}'] = wire.value('a"b'), ['{"boolValue":true}'] = wire.value(true),
      ['{"intValue":"-9223372036854775808"}'] = wire.varint_field(3, -9223372036854775807LL - 1),
      ['{"doubleValue":0.1}'] = wire.double(4, 0.1), ['{"doubleValue":-0.0}'] = wire.double(4, -0.0),
      ['{"doubleValue":"NaN"}'] = wire.double(4, 0 / 0), ['{"doubleValue":"-Infinity"}'] = wire.double(4, -1 / 0),
      ['{"bytesValue":"AAEC/w=="}'] = wire.text(7, "\0\1\2\255"), ['{"bytesValue":""}'] = wire.text(7, ""),
      ['{"arrayValue":{"values":[{"intValue":"1"},{}]}}'] = wire.text(5, wire.text(1, wire.value(1)) .. wire.text(1, "")),
      ['{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"v"}}]}}'] = wire.text(6, wire.attribute(1, "k", "v")),
      ["{}"] = "",
    } do assert.equal(expected, any(bytes)) end
  end)

  it("that came twice is the last one", function()
    assert.equal('{"boolValue":false}', any(wire.value("a") .. wire.value(1) .. wire.value(false)))
    assert.equal('{"intValue":"2"}', any(wire.value(2) .. wire.varint_field(8, 7) .. wire.value(2)))
    assert.equal('{"key":"b","value":{"intValue":"2"}}',
      print_of(KEY_VALUE, wire.attribute(9, "a", "x"):sub(3) .. wire.text(1, "b") .. wire.text(2, wire.value(2))))
  end)

  it("that is not UTF-8 has U+FFFD in its place", function()
    assert.equal('{"stringValue":"a\239\191\189b"}', any(wire.text(1, "a\255b")))
  end)
end)

describe("a span", function()
  it("has ids in hex, enums as numbers, lists together, and the last of what came twice", function()
    local bytes = wire.text(1, ("\171"):rep(16)) .. wire.attribute(9, "a", 1) .. wire.text(2, ("\1"):rep(8)) ..
      wire.text(5, "x") .. wire.varint_field(6, 2) .. wire.attribute(9, "b", "2") .. wire.text(5, "y") .. wire.fixed64(7, 5) ..
      wire.text(15, wire.text(2, "bad")) .. wire.text(15, wire.varint_field(3, 2)) .. wire.text(99, "unknown")
    assert.equal(('{"traceId":"%s","spanId":"%s","name":"y","kind":2,"startTimeUnixNano":"5","attributes":[' ..
      '{"key":"a","value":{"intValue":"1"}},{"key":"b","value":{"stringValue":"2"}}],"status":{"message":"bad","code":2}}')
      :format(("ab"):rep(16), ("01"):rep(8)), print_of(SPAN, bytes))
  end)
end)

describe("what clients sent", function()
  local all = requests()

  it("is the same after the way to JSON and back", function()
    assert.is_true(#all > 5)
    local why = ffi.new("char[256]")
    for _, request in ipairs(all) do
      local text = print_of(REQUEST, request.body)
      local body = body_of(text)
      assert.equal(text, print_of(REQUEST, body), request.path)
      local before, after, fault = ffi.new("struct otlp_summary"), ffi.new("struct otlp_summary"), ffi.new("struct otlp_fault")
      assert.equal(0, core.otlp_check(request.body, #request.body, LIMITS, before, fault), why)
      assert.equal(0, core.otlp_check(body, #body, LIMITS, after, fault))
      assert.same({ before.spans, before.elements }, { after.spans, after.elements }, request.path)
    end
  end)

  it("is refused by a buffer that is too small, and by want of memory, and nothing is left behind", function()
    local body, live = all[1].body, core.heap_live()
    local whole = #print_of(REQUEST, body)
    for max = 0, whole - 1, 97 do assert.equal(-5, select(2, print_of(REQUEST, body, max))) end
    local split = wire.text(15, wire.text(2, "bad")) .. wire.text(15, wire.varint_field(3, 2))
    for n = 1, 20 do
      core.heap_fail_from(n)
      local text, err = print_of(SPAN, split)
      core.heap_fail_from(0)
      if text then break end
      assert.equal(-1, err)
    end
    assert.equal(live, core.heap_live())
  end)
end)
