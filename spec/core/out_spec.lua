local support = require("spec.support")
local socket = require("spec.agent.socket")
local core, ffi = support.core("heap", "out")

ffi.cdef [[
int pipe(int *);
long read(int, void *, size_t);
int open(const char *, int, ...);
int close(int);
int fcntl(int, int, ...);
int setrlimit(int, const unsigned long *);
]]
local C = ffi.C
-- The writer is another thread: what it will do is waited for, and not for ever.
local PATIENCE_NS = socket.PATIENCE_S * 1000000000ULL

local function pipe()
  local ends = ffi.new("int[2]")
  assert(C.pipe(ends) == 0)
  return ends[0], ends[1]
end

-- Reads n bytes, or to the end.
local function read(fd, n)
  local block, pieces, total = ffi.new("char[65536]"), {}, 0
  while not n or total < n do
    local got = tonumber(C.read(fd, block, math.min(65536, n and n - total or 65536)))
    if got <= 0 then break end
    pieces[#pieces + 1], total = ffi.string(block, got), total + got
  end
  return table.concat(pieces)
end

local function open(fd, bytes_max)
  local out = ffi.new("struct out *[1]")
  assert.equal(0, core.out_new(fd, bytes_max or 65536, out))
  return out[0]
end

local function write(out, text) return core.out_write(out, text, #text) end

describe("an output", function()
  local live
  before_each(function() live = core.heap_live() end)
  after_each(function() assert.equal(live, core.heap_live()) end)

  it("writes all lines in order and closes its descriptor", function()
    local from, to = pipe()
    local out, lines = open(to), {}
    for i = 1, 500 do
      lines[i] = ("line %d %s\n"):format(i, ("x"):rep(i % 50))
      assert.is_true(write(out, lines[i]))
    end
    assert.is_true(core.out_close(out, PATIENCE_NS))
    assert.equal(table.concat(lines), read(from))
    C.close(from)
  end)

  it("drops and counts whole lines while its reader stalls, and never waits for it", function()
    local from, to = pipe()
    local out, kept = open(to, 4096), {}
    for i = 1, 20000 do
      local line = ("%d %s\n"):format(i, ("y"):rep(90))
      if write(out, line) then kept[#kept + 1] = line end
    end
    local dropped = core.out_dropped(out)
    assert.is_true(dropped > 0)
    assert.equal(20000, #kept + tonumber(dropped))
    local expected = table.concat(kept)
    assert.equal(expected, read(from, #expected))
    assert.is_true(core.out_close(out, PATIENCE_NS))
    assert.equal("", read(from))
    C.close(from)
  end)

  it("goes around its ring many times with lines of every length", function()
    local from, to = pipe()
    local out, expected = open(to, 257), {}
    for i = 1, 2000 do
      local line = ("z"):rep(i % 256) .. "\n"
      if not write(out, line) then
        -- Full: what is expected so far has to come out, then there is room.
        local text = table.concat(expected)
        assert.equal(text, read(from, #text))
        expected = {}
        socket.until_true(function() return write(out, line) end)
      end
      expected[#expected + 1] = line
    end
    assert.is_true(core.out_close(out, PATIENCE_NS))
    assert.equal(table.concat(expected), read(from))
    C.close(from)
  end)

  it("writes what was added once it is woken, or once much of it waits", function()
    local from, to = pipe()
    local out, line = open(to, 2 ^ 20), ("w"):rep(1023) .. "\n"
    assert.is_false(core.out_waits(out))
    assert.is_true(core.out_add(out, "a\n", 2))
    assert.is_true(core.out_waits(out))
    core.out_wake(out)
    assert.is_false(core.out_waits(out))
    assert.equal("a\n", read(from, 2))
    for _ = 1, 64 do assert.is_true(core.out_add(out, line, #line)) end
    assert.equal(line:rep(64), read(from, 65536))
    assert.is_true(core.out_add(out, "z\n", 2))
    assert.is_true(core.out_close(out, PATIENCE_NS))
    assert.equal("z\n", read(from))
    C.close(from)
  end)

  it("drops a line that is larger than the queue", function()
    local from, to = pipe()
    local out = open(to, 64)
    assert.is_false(write(out, ("x"):rep(64) .. "\n"))
    assert.is_true(write(out, ("x"):rep(63) .. "\n"))
    assert.equal(1, tonumber(core.out_dropped(out)))
    assert.is_true(core.out_close(out, PATIENCE_NS))
    assert.equal(64, #read(from))
    C.close(from)
  end)

  it("counts each line that a reader who is gone did not take, and lives on", function()
    local from, to = pipe()
    C.close(from)
    local out = open(to)
    for i = 1, 10 do write(out, i .. "\n") end
    socket.until_true(function() return core.out_failed(out) == 10 end)
    assert.equal(32, core.out_errno(out))     -- EPIPE
    assert.is_true(core.out_close(out, PATIENCE_NS))
  end)

  it("counts the lines of a full disk", function()
    local out = open(C.open("/dev/full", 1))
    for _ = 1, 3 do write(out, "no room\n") end
    socket.until_true(function() return core.out_failed(out) == 3 end)
    assert.equal(28, core.out_errno(out))     -- ENOSPC
    assert.is_true(core.out_close(out, PATIENCE_NS))
  end)

  it("never continues a line that was cut by a failure", function()
    local path, unlimited = os.tmpname(), 0xffffffffffffffffULL
    local out = open(C.open(path, 1))
    C.setrlimit(1, ffi.new("unsigned long[2]", 100, unlimited))    -- RLIMIT_FSIZE
    for _, letter in ipairs { "a", "b" } do write(out, letter:rep(59) .. "\n") end
    socket.until_true(function() return core.out_failed(out) == 1 end)
    C.setrlimit(1, ffi.new("unsigned long[2]", unlimited, unlimited))
    write(out, "whole\n")
    assert.is_true(core.out_close(out, PATIENCE_NS))
    assert.equal(("a"):rep(59) .. "\n" .. ("b"):rep(40) .. "\nwhole\n", support.read(path))
    os.remove(path)
  end)

  it("waits for a descriptor that does not block by itself", function()
    local from, to = pipe()
    C.fcntl(to, 4, ffi.cast("int", 0x800))    -- F_SETFL, O_NONBLOCK
    local out = open(to, 1048576)
    local line = ("w"):rep(4095) .. "\n"
    for _ = 1, 100 do assert.is_true(write(out, line)) end
    assert.equal(line:rep(100), read(from, 409600))
    assert.is_true(core.out_close(out, PATIENCE_NS))
    C.close(from)
  end)

  it("closes in time where its reader never reads again", function()
    local from, to = pipe()
    local out = open(to, 1048576)
    for _ = 1, 100 do write(out, ("v"):rep(4095) .. "\n") end
    assert.is_false(core.out_close(out, 1000000ULL))
    C.close(from)
  end)

  it("leaves nothing behind whichever allocation fails", function()
    local from, to = pipe()
    for n = 1, 2 do
      local out = ffi.new("struct out *[1]")
      core.heap_fail_from(n)
      assert.equal(-1, core.out_new(to, 64, out))
      core.heap_fail_from(0)
      assert.equal(live, core.heap_live())
    end
    C.close(from)
    C.close(to)
  end)
end)
