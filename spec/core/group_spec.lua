local core, ffi = require("spec.support").core("heap", "buffer", "group")

local STRING, BOOL, INT, DOUBLE = 1, 2, 3, 4

describe("a group's key", function()
  local live, out

  local function text(type, fields)
    local value = ffi.new("struct fluo_value", { type = type })
    for name, x in pairs(fields) do value[name] = x end
    if fields.text then value.len = #fields.text end
    core.buffer_clear(out)
    assert.equal(1, core.group_text(value, out))
    return ffi.string(out.data, out.len)
  end

  before_each(function()
    live, out = core.heap_live(), ffi.new("struct buffer")
    core.buffer_init(out, 65536)
  end)
  after_each(function()
    core.buffer_deinit(out)
    assert.equal(live, core.heap_live())
  end)

  it("is one for values that are equal", function()
    assert.equal("500", text(INT, { integer = 500 }))
    assert.equal("500", text(DOUBLE, { number = 500 }))
    assert.equal("500", text(STRING, { text = "500" }))
    assert.equal("true", text(BOOL, { integer = 1 }))
    assert.equal("true", text(STRING, { text = "true" }))
    assert.equal("0.1", text(DOUBLE, { number = 0.1 }))
    assert.equal("-9223372036854775808", text(INT, { integer = -9223372036854775807LL - 1 }))
    assert.equal("-9223372036854775808", text(DOUBLE, { number = -2 ^ 63 }))
    assert.equal("9223372036854775807", text(INT, { integer = 9223372036854775807LL }))
    assert.equal("9.223372036854776e+18", text(DOUBLE, { number = 2 ^ 63 }))
    assert.equal("9007199254740993", text(INT, { integer = 9007199254740993LL }))
    assert.equal("0", text(DOUBLE, { number = -0.0 }))
  end)

  it("keeps different strings apart, also those of one beginning that are too long to keep whole", function()
    assert.not_equal(text(STRING, { text = "500.0" }), text(STRING, { text = "500" }))
    assert.not_equal(text(STRING, { text = "" }), text(STRING, { text = " " }))
    local a, b = text(STRING, { text = ("x"):rep(5000) .. "a" }), text(STRING, { text = ("x"):rep(5000) .. "b" })
    assert.not_equal(a, b)
    assert.is_true(#a <= 256 and #b <= 256)
    assert.equal(("é"):rep(112), text(STRING, { text = ("é"):rep(500) }):sub(1, 224))
  end)

  it("tells where one text ends and the next begins", function()
    local key, at, value = "\2\0\0\0ab\0\0\0\0\1\0\0\0c", ffi.new("uint32_t[1]"), ffi.new("struct fluo_value")
    local texts = {}
    while core.group_next(key, #key, at, value) do texts[#texts + 1] = ffi.string(value.text, value.len) end
    assert.same({ "ab", "", "c" }, texts)
  end)
end)
