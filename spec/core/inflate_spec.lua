local support = require("spec.support")
local core, ffi = support.core("heap", "buffer", "inflate")

local ENOMEM, EMALFORMED, ETRUNCATED, ETOOLARGE = -1, -2, -3, -5
local OK = 0

local gzip = support.gzip

-- The result and the text; the input lies before a guard page.
local function inflate(packed, max)
  local b = ffi.new("struct buffer")
  core.buffer_init(b, max or 1e6)
  local p, n, free = support.guarded(packed)
  local live = core.heap_live()
  local err = core.inflate_gzip(p, n, b)
  local text = b.len > 0 and ffi.string(b.data, b.len) or ""
  free()
  core.buffer_deinit(b)
  assert.equal(live, core.heap_live())
  return err, text
end

local function noise(n)
  math.randomseed(n)
  local bytes = {}
  for i = 1, n do bytes[i] = string.char(math.random(0, 255)) end
  return table.concat(bytes)
end

describe("inflating gzip", function()
  for _, n in ipairs({ 0, 1, 100, 16383, 16384, 16385, 50000 }) do
    it("gives back " .. n .. " bytes", function()
      local text = noise(n)
      local err, got = inflate(gzip(text))
      assert.equal(OK, err)
      assert.is_true(got == text)
    end)
  end

  it("joins members", function()
    local err, got = inflate(gzip("one ") .. gzip("") .. gzip("two"))
    assert.same({ OK, "one two" }, { err, got })
  end)

  it("takes exactly the bound, and refuses one byte more", function()
    for _, n in ipairs({ 1, 100, 16384, 40000 }) do
      local packed = gzip(("x"):rep(n))
      assert.equal(OK, (inflate(packed, n)))
      assert.same({ ETOOLARGE, "" }, { inflate(packed, n - 1) })
    end
  end)

  it("stops a bomb at the bound", function()
    assert.equal(ETOOLARGE, (inflate(gzip(("\0"):rep(2e7)), 1000)))
  end)

  it("says of every prefix that it is cut short", function()
    local packed = gzip("hello, hello, hello")
    for i = 0, #packed - 1 do assert.same({ ETRUNCATED, "" }, { inflate(packed:sub(1, i)) }) end
  end)

  it("refuses what is no gzip, is damaged, or has something behind it", function()
    local packed = gzip("hello")
    local damaged = packed:sub(1, -8) .. "x" .. packed:sub(-6)
    for _, bad in ipairs({ "hello there", damaged, packed .. "\0\0\0\0", packed .. "x", packed .. "{}" }) do
      local err, text = inflate(bad)
      assert.is_true(err == EMALFORMED or err == ETRUNCATED and #bad == #packed + 1, ("%q gave %d"):format(bad, err))
      assert.equal("", text)
    end
  end)

  it("keeps what was in the buffer before, when it fails and when it does not", function()
    local b = ffi.new("struct buffer")
    core.buffer_init(b, 100)
    core.buffer_text(b, "before")
    assert.equal(EMALFORMED, core.inflate_gzip("nothing like it", 15, b))
    local packed = gzip(" after")
    assert.equal(OK, core.inflate_gzip(packed, #packed, b))
    assert.equal("before after", ffi.string(b.data, b.len))
    core.buffer_deinit(b)
  end)

  it("says out of memory at every allocation, and leaks nothing", function()
    local packed = gzip(noise(40000))
    local failed = 0
    for n = 1, 20 do
      core.heap_fail_from(n)
      local err = inflate(packed)
      core.heap_fail_from(0)
      if err == OK then break end
      assert.equal(ENOMEM, err)
      failed = n
    end
    assert.is_true(failed >= 3 and failed < 20)
  end)

  it("reads what real clients packed", function()
    local text = support.read("spec/fixtures/otlp/python-1.45.1-httpproto-gzip.1.pb")
    local err, got = inflate(support.read("spec/fixtures/otlp/python-1.45.1-httpproto-gzip.1.pb.gz"))
    assert.equal(OK, err)
    assert.is_true(got == text)
  end)
end)
