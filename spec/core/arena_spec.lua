local core, ffi = require("spec.support").core("heap", "arena")
ffi.cdef "int close(int);"

local MIB = 1048576

describe("the arena", function()
  local arena, live

  local function open(bytes)
    local out = ffi.new("struct arena *[1]")
    assert.equal(0, core.arena_new(bytes, out))
    arena = out[0]
    return arena
  end

  local function get(bytes)
    local actual = ffi.new("size_t[1]")
    return core.arena_get(arena, bytes, actual), tonumber(actual[0])
  end

  before_each(function() live = core.heap_live() end)
  after_each(function()
    core.arena_free(arena)
    arena = nil
    assert.equal(live, core.heap_live())
  end)

  it("refuses sizes it cannot address", function()
    local out = ffi.new("struct arena *[1]")
    assert.is_true(core.arena_new(MIB - 1, out) < 0)
    assert.is_true(core.arena_new(2 ^ 32, out) < 0)
  end)

  it("gives the next power of two, and never offset 0", function()
    open(MIB)
    for _, case in ipairs({ { 0, 256 }, { 1, 256 }, { 256, 256 }, { 257, 512 }, { 1000, 1024 }, { 65536, 65536 } }) do
      local off, actual = get(case[1])
      assert.is_true(off > 0)
      assert.equal(0, off % case[2])
      assert.equal(case[2], actual)
    end
    assert.equal(256 + 256 + 256 + 512 + 1024 + 65536, tonumber(core.arena_bytes_used(arena)))
  end)

  it("says 0 where there is none", function()
    open(MIB)
    assert.equal(0, (get(MIB)))             -- block 0 is taken, so no block is the whole
    assert.is_true(get(MIB / 2) > 0)
    assert.equal(0, (get(MIB / 2)))
    assert.equal(0, (get(2 ^ 40)))
  end)

  it("merges what comes back, in any order", function()
    open(MIB)
    local offs = {}
    repeat
      local off = get(256)
      offs[#offs + 1] = off ~= 0 and off or nil
    until off == 0
    assert.equal(MIB / 256 - 1, #offs)
    math.randomseed(1)
    for i = #offs, 2, -1 do
      local j = math.random(i)
      offs[i], offs[j] = offs[j], offs[i]
    end
    for _, off in ipairs(offs) do core.arena_put(arena, off) end
    assert.equal(0, tonumber(core.arena_bytes_used(arena)))
    assert.is_true(get(MIB / 2) > 0)
  end)

  it("uses all of a size that is no power of two", function()
    open(3 * MIB + 65536)
    assert.is_true(get(MIB) > 0)
    assert.is_true(get(MIB) > 0)
    assert.equal(0, (get(MIB)))
    assert.is_true(get(MIB / 2) > 0)
    assert.is_true(get(65536) > 0)
  end)

  it("never lets two blocks overlap", function()
    open(2 * MIB)
    math.randomseed(7)
    local held, owner = {}, {}
    for step = 1, 4000 do
      if math.random() < 0.55 then
        local off, actual = get(math.random(20000))
        if off ~= 0 then
          for at = off, off + actual - 1, 256 do
            assert.is_nil(owner[at])
            owner[at] = step
          end
          held[#held + 1] = { off, actual }
        end
      elseif #held > 0 then
        local block = table.remove(held, math.random(#held))
        for at = block[1], block[1] + block[2] - 1, 256 do owner[at] = nil end
        core.arena_put(arena, block[1])
      end
    end
  end)

  it("keeps what is asked for at either end apart, also where a smaller hole lies at the other", function()
    open(MIB)
    local high = {}
    for i = 1, 8 do high[i] = core.arena_get_high(arena, 512, nil) end
    core.arena_put(arena, high[3])                       -- a hole of 512, the best fit of all
    local low = get(256)
    assert.truthy(low < MIB / 2)
    local hole = core.arena_get_high(arena, 256, nil)
    assert.equal(high[3] + 256, hole)
    assert.truthy((get(512)) < MIB / 2)
    for i = 2, 8 do assert.truthy(high[i] < high[i - 1]) end
  end)

  -- The lowest, or highest, free place of so many of the smallest blocks: a look through all of them.
  local function place_by_hand(taken, size, high)
    local last = MIB / 256 - size
    for at = high and last or 0, high and 0 or last, high and -size or size do
      local free = true
      for i = at, at + size - 1 do free = free and not taken[i] end
      if free then return at end
    end
  end

  it("gives the lowest of all free places that are large enough, or the highest", function()
    open(MIB)
    math.randomseed(5)
    local taken, held = { [0] = true }, {}
    local function mark(block, as)
      for i = block.at, block.at + block.size - 1 do taken[i] = as end
    end
    for _ = 1, 3000 do
      if math.random() < 0.45 and #held > 0 then
        local block = table.remove(held, math.random(#held))
        core.arena_put(arena, block.at * 256)
        mark(block, nil)
      else
        local size, high = 2 ^ math.random(0, 7), math.random() < 0.5
        local at = place_by_hand(taken, size, high)
        assert.equal((at or 0) * 256, (high and core.arena_get_high or core.arena_get)(arena, size * 256, nil))
        if at then held[#held + 1] = { at = at, size = size } end
        if at then mark(held[#held], true) end
      end
    end
  end)

  it("is read through a descriptor that cannot write", function()
    open(MIB)
    ffi.fill(core.arena_at(arena, (get(256))), 4, 65)
    local fd = core.arena_open_readonly(arena)
    local PROT_WRITE, MAP_SHARED = 2, 1
    assert.is_true(fd >= 0)
    local map = ffi.cast("uint8_t *", ffi.C.mmap(nil, MIB, 1, MAP_SHARED, fd, 0))
    assert.equal("AAAA", ffi.string(map + 256, 4))
    ffi.C.munmap(map, MIB)
    assert.equal(ffi.cast("void *", -1), ffi.C.mmap(nil, MIB, PROT_WRITE, MAP_SHARED, fd, 0))
    ffi.C.close(fd)
  end)

  it("gives free memory back once, and only as much as asked", function()
    open(4 * MIB)
    local off = get(2 * MIB)
    ffi.fill(core.arena_at(arena, off), 2 * MIB, 65)
    assert.equal(0, tonumber(core.arena_trim(arena, 8 * MIB)))
    core.arena_put(arena, off)
    assert.equal(131072 - 4096, tonumber(core.arena_trim(arena, 131071)))     -- whole pages
    assert.equal(2 * MIB - (131072 - 4096), tonumber(core.arena_trim(arena, 8 * MIB)))
    assert.equal(0, tonumber(core.arena_trim(arena, 8 * MIB)))
    assert.equal(0, ffi.cast("uint8_t *", core.arena_at(arena, off))[12345])
  end)

  local function trim_unused(most) return core.arena_trim(arena, math.min(tonumber(core.arena_unused(arena)), most)) end

  it("gives back only what lay free since it was last asked to", function()
    open(4 * MIB)
    local off = get(2 * MIB)
    trim_unused(8 * MIB)
    core.arena_put(arena, off)
    assert.equal(0, tonumber(trim_unused(8 * MIB)))           -- in use a moment ago
    core.arena_put(arena, (get(2 * MIB)))
    assert.equal(0, tonumber(trim_unused(8 * MIB)))
    assert.equal(MIB, tonumber(trim_unused(MIB)))
    assert.equal(MIB, tonumber(trim_unused(8 * MIB)))
  end)

  it("keeps what is in use through a trim", function()
    open(4 * MIB)
    local small, large = get(256), get(MIB)
    ffi.fill(core.arena_at(arena, small), 256, 66)
    ffi.fill(core.arena_at(arena, large), MIB, 65)
    core.arena_put(arena, large)
    core.arena_trim(arena, 8 * MIB)
    assert.equal(("B"):rep(256), ffi.string(core.arena_at(arena, small), 256))
  end)

  it("leaves nothing behind when any allocation fails", function()
    local out = ffi.new("struct arena *[1]")
    for n = 1, 40 do
      core.heap_fail_from(n)
      local err = core.arena_new(MIB, out)
      core.heap_fail_from(0)
      if err == 0 then
        assert.is_true(n > 3)
        core.arena_free(out[0])
        return
      end
      assert.equal(live, core.heap_live())
    end
    error("never succeeded")
  end)
end)
