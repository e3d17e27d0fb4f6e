local core, ffi = require("spec.support").core("heap", "table", "err")
local bit = require("bit")

describe("a table", function()
  local t, live

  before_each(function()
    live = core.heap_live()
    t = ffi.new("struct table")
  end)
  after_each(function()
    core.table_deinit(t)
    assert.equal(live, core.heap_live())
  end)

  local function put(hash, value)
    while core.table_growth(t, hash) > 0 do
      local err = core.table_grow(t, hash)
      if err ~= 0 then return err end
    end
    core.table_put(t, hash, value)
    return 0
  end

  -- As core/table.h looks: from its home on, up to the first slot that is empty.
  local function has(hash, value)
    if t.directory == nil then return false end
    local segment = t.directory[tonumber(bit.band(hash, t.mask))]
    local i = tonumber(bit.rshift(hash, 56))
    while segment.slots[i].value ~= 0 do
      if segment.slots[i].hash == hash and segment.slots[i].value == value then return true end
      i = i + 1
    end
    return false
  end

  local function random_hash()
    return ffi.cast("uint64_t", math.random(0, 2 ^ 32 - 1)) * 2ULL ^ 32 + math.random(0, 2 ^ 32 - 1)
  end

  it("holds as many as come, each in its place", function()
    local hashes = {}
    for i = 1, 20000 do
      hashes[i] = random_hash()
      assert.equal(0, put(hashes[i], i))
    end
    for i = 1, 20000 do assert.is_true(has(hashes[i], i)) end
    assert.is_false(has(random_hash(), 1))
  end)

  it("grows by one segment at a time, and its directory", function()
    local segment = ffi.sizeof("struct table_segment")
    for i = 1, 20000 do
      local hash, grown = random_hash(), 0
      local growth = tonumber(core.table_growth(t, hash))
      assert.is_true(growth <= segment + (t.mask + 1) * 8)
      while core.table_growth(t, hash) > 0 do
        core.table_grow(t, hash)
        grown = grown + 1
      end
      assert.is_true(grown <= 1)
      core.table_put(t, hash, i)
    end
    assert.is_true(t.mask < 1024)
  end)

  it("is what was put and not removed, whoever crowds whom", function()
    local there, of = {}, {}
    for i = 1, 30000 do
      if math.random() < 0.55 or #there == 0 then
        -- Few homes, so that most stand elsewhere.
        local hash = bit.bor(bit.lshift(ffi.cast("uint64_t", math.random(0, 15) * 16 + 15), 56), math.random(0, 63))
        if put(hash, i) == 0 then
          there[#there + 1], of[i] = i, hash
        end
      else
        local at = math.random(#there)
        local value = there[at]
        there[at] = there[#there]
        there[#there] = nil
        core.table_remove(t, of[value], value)
        assert.is_false(has(of[value], value))
      end
    end
    assert.is_true(#there > 1000)
    for _, value in ipairs(there) do assert.is_true(has(of[value], value)) end
  end)

  it("has another value in the place of one", function()
    put(7, 1)
    put(7, 2)
    core.table_replace(t, 7, 1, 3)
    assert.same({ false, true, true }, { has(7ULL, 1), has(7ULL, 2), has(7ULL, 3) })
  end)

  it("refuses what no growth makes room for, and keeps the rest", function()
    for i = 1, core.TABLE_PROBES do assert.equal(0, put(5, i)) end
    assert.equal(core.FLUO_ENOMEM, put(5, 100))
    local hashes = {}
    for i = 100, 1000 do
      hashes[i] = random_hash()
      assert.equal(0, put(hashes[i], i))
    end
    for i = 1, core.TABLE_PROBES do assert.is_true(has(5ULL, i)) end
    for i = 100, 1000 do assert.is_true(has(hashes[i], i)) end
  end)

  it("is as it was where any allocation fails", function()
    local hashes = {}
    for i = 1, 3000 do
      hashes[i] = random_hash()
      for nth = 1, 2 do
        core.heap_fail_only(nth)
        if core.table_growth(t, hashes[i]) > 0 then core.table_grow(t, hashes[i]) end
        core.heap_fail_from(0)
      end
      assert.equal(0, put(hashes[i], i))
    end
    for i = 1, 3000 do assert.is_true(has(hashes[i], i)) end
  end)
end)
