-- Recorded telemetry read from files: what kind each is, where it is wrong, and what want of memory does.
local support = require("spec.support")
local core, ffi = support.core("source", "heap", "err")

local LIMITS = ffi.new("struct otlp_limits", { 64, 100000, 100000, 67108864 })
local FIXTURES = "spec/fixtures/otlp/"

local function write(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

-- Spans of each request, then what was said when it did not go well.
local function read(path)
  local out, why, request = ffi.new("struct source *[1]"), ffi.new("char[512]"), ffi.new("struct source_request")
  local err = core.source_open(path, LIMITS, out, why)
  if err ~= 0 then return {}, ffi.string(why), err end
  local spans, got = {}
  repeat
    got = core.source_next(out[0], request, why)
    if got > 0 then spans[#spans + 1] = request.summary.spans end
  until got <= 0
  core.source_close(out[0])
  return spans, got < 0 and ffi.string(why) or nil, got
end

local function read_text(text)
  local path = write(text)
  local spans, why, err = read(path)
  os.remove(path)
  return spans, why and why:gsub(path, "FILE", 1), err
end

local DOCUMENT = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c",' ..
  '"spanId":"b7ad6b7169203331","name":"a"}]}]}]}'

describe("a file", function()
  it("of protobuf, of gzip, of JSON is known by its first bytes", function()
    local plain = read(FIXTURES .. "js-sdk-proto-gzip.1.pb")
    assert.same({ plain, plain }, { (read(FIXTURES .. "js-sdk-proto-gzip.1.pb.gz")), (read(FIXTURES .. "js-sdk-http.1.json")) })
  end)

  it("may hold one document, one a line, or several across lines, with a BOM and CRLF", function()
    assert.same({ 1 }, (read_text(DOCUMENT)))
    assert.same({ 1, 1 }, (read_text("\239\187\191" .. DOCUMENT .. "\r\n\r\n" .. DOCUMENT .. "\r\n")))
    assert.same({ 1, 1 }, (read_text(DOCUMENT:gsub(",", ",\n") .. " " .. DOCUMENT)))
    assert.same({}, (read_text("")))
    assert.same({}, (read_text("\n\n")))
  end)

  it("that is wrong is refused with its line, after what came before", function()
    for text, expected in pairs {
      [DOCUMENT .. "\n" .. DOCUMENT:sub(1, -3) .. "\n"] = { { 1 }, "^FILE:3:1:.*starts at line 2" },
      [DOCUMENT .. "\n\n{\"resourceSpans\":7}\n"] = { { 1 }, "^FILE:3:18:" },
      ["garbage"] = { {}, "^FILE: neither OTLP/JSON" },
      ["\031\139\008garbage"] = { {}, "^FILE: gzip: " },
    } do
      local spans, why, err = read_text(text)
      assert.same(expected[1], spans)
      assert.truthy(why and why:find(expected[2]), tostring(why))
      assert.truthy(err < 0)
    end
  end)

  it("that cannot be read is said with its name and the reason", function()
    local _, why = read("/nonexistent.jsonl")
    assert.truthy(why:find("/nonexistent.jsonl: cannot be opened: No such file", 1, true))
    _, why = read("spec")
    assert.truthy(why:find("spec: cannot be read: Is a directory", 1, true))
  end)

  it("is read or refused cleanly at every allocation", function()
    for _, path in ipairs { FIXTURES .. "js-sdk-http-gzip.1.json.gz", FIXTURES .. "js-sdk-proto.1.pb" } do
      local live, n, err = core.heap_live(), 0
      repeat
        n = n + 1
        core.heap_fail_from(n)
        err = select(3, read(path))
        core.heap_fail_from(0)
        assert.equal(live, core.heap_live())
      until err == 0
      assert.truthy(n > 3)
    end
  end)
end)
