local core, ffi = require("spec.support").core("heap", "buffer", "otlp_reply")
local cjson = require("cjson")

local function reply(max, call)
  local b = ffi.new("struct buffer")
  core.buffer_init(b, max)
  local err = call(b)
  local text = b.len > 0 and ffi.string(b.data, b.len) or ""
  core.buffer_deinit(b)
  return err, text
end

local function export(json, rejected, message, max)
  return reply(max or 65536, function(b) return core.otlp_reply_export(b, json, rejected, message) end)
end
local function status(json, code, message, max)
  return reply(max or 65536, function(b) return core.otlp_reply_status(b, json, code, message) end)
end

describe("the answer to an export", function()
  it("is empty, or {}, where all went well", function()
    assert.same({ 0, "" }, { export(false, 0, nil) })
    assert.same({ 0, "{}" }, { export(true, 0, nil) })
  end)

  it("says in protobuf how many spans were rejected, and why", function()
    local _, body = export(false, 300, "bad id")
    assert.equal("\10\11\8\172\2\18\6bad id", body)
  end)

  it("says it in JSON, the number as a string", function()
    local _, body = export(true, 3, 'bad "id"')
    assert.same({ partialSuccess = { rejectedSpans = "3", errorMessage = 'bad "id"' } }, cjson.decode(body))
  end)

  it("is a warning where nothing was rejected", function()
    assert.same({ 0, '{"partialSuccess":{"errorMessage":"full"}}' }, { export(true, 0, "full") })
    assert.same({ 0, "\10\6\18\4full" }, { export(false, 0, "full") })
  end)
end)

describe("the answer to a bad request", function()
  it("is a google.rpc.Status", function()
    assert.same({ 0, "\8\3\18\5no\nno" }, { status(false, 3, "no\nno") })
    assert.same({ 0, [[{"code":3,"message":"no\nno"}]] }, { status(true, 3, "no\nno") })
  end)

  it("cuts a long message between characters", function()
    local _, body = status(true, 8, ("é"):rep(3000))
    assert.equal(("é"):rep(512), cjson.decode(body).message)
    _, body = status(true, 8, "x" .. ("é"):rep(3000))
    assert.equal("x" .. ("é"):rep(511), cjson.decode(body).message)
  end)

  it("leaves nothing behind where it does not fit", function()
    for max = 0, 24 do
      assert.same({ -5, "" }, { status(true, 3, "malformed", max) })
      assert.same({ -5, "" }, { export(true, 3, "malformed", max) })
    end
  end)
end)
