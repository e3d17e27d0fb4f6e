local core, ffi = require("spec.support").core("heap", "symbol")

describe("symbols", function()
  local arena, symbols, live

  local function open(bytes_max)
    local a, s = ffi.new("struct arena *[1]"), ffi.new("struct symbols *[1]")
    assert.equal(0, core.arena_new(1048576, a))
    assert.equal(0, core.symbols_new(a[0], bytes_max, s))
    arena, symbols = a[0], s[0]
  end

  local function put(text)
    local out = ffi.new("struct fluo_text", { 7, 7 })
    if not core.symbol_put(symbols, text, #text, out) then
      assert.equal(7, out.off)              -- untouched
      return nil
    end
    assert.equal(#text, out.len)
    assert.equal(text, ffi.string(core.arena_at(arena, out.off), out.len))
    return out.off
  end

  before_each(function() live = core.heap_live() end)
  after_each(function()
    core.symbols_free(symbols)
    assert.equal(0, tonumber(core.arena_bytes_used(arena)))
    core.arena_free(arena)
    assert.equal(live, core.heap_live())
  end)

  it("keep a text once", function()
    open(65536)
    local a, b = put("GET /cart"), put("GET /card")
    assert.not_equal(a, b)
    assert.equal(a, put("GET /cart"))
    assert.equal(b, put("GET /card"))
    assert.not_equal(a, put("GET /car"))
    assert.equal(0, put(""))
  end)

  it("keep bytes, NUL among them", function()
    open(65536)
    assert.not_equal(put("a\0b"), put("a\0c"))
  end)

  it("find thousands again after the table has grown", function()
    open(524288)
    local offs = {}
    for i = 1, 5000 do offs[i] = put("name " .. i) end
    for i = 1, 5000 do assert.equal(offs[i], put("name " .. i)) end
  end)

  it("refuse what is over the bound, say so, and still find the rest", function()
    open(8192)
    local first, i = put("name 0"), 0
    repeat i = i + 1 until not put("name " .. i)
    assert.is_true(tonumber(core.symbols_bytes(symbols)) <= 8192)
    assert.equal(1, tonumber(core.symbols_refused(symbols)))
    assert.equal(first, put("name 0"))
  end)

  it("enter a text of 64 KiB, and none that is longer", function()
    open(524288)
    assert.is_truthy(put(("x"):rep(65536)))
    assert.is_nil(put(("x"):rep(65537)))
  end)

  it("refuse when the arena is full", function()
    open(524288)
    while core.arena_get(arena, 256, nil) ~= 0 do end
    assert.is_nil(put("late"))
    for off = 256, 1048575, 256 do core.arena_put(arena, off) end
    assert.is_truthy(put("late"))
  end)

  it("lose nothing when any allocation fails", function()
    open(524288)
    for n = 1, 300 do
      core.heap_fail_from(1)
      put("text " .. n)                     -- may be refused, is never wrong
      core.heap_fail_from(0)
      assert.is_truthy(put("text " .. n))
    end
  end)
end)
