local core, ffi = require("spec.support").core("heap", "hash", "distinct")

describe("a count of the distinct", function()
  local key = ffi.new("struct hash_key", { 1, 2 })

  local function add(d, from, to)
    local thing = ffi.new("uint32_t[1]")
    for i = from, to do
      thing[0] = i
      core.distinct_add(d, core.hash64(key, thing, 4))
    end
    return d
  end

  it("is zero of nothing, exact of as many as there is room for, and nearly so of one more", function()
    local d = ffi.new("struct distinct")
    assert.equal(0, core.distinct_count(d))
    for n = 1, core.DISTINCT_EXACT_MAX do
      add(d, n, n)
      add(d, 1, n)
      assert.equal(n, core.distinct_count(d))
    end
    add(d, core.DISTINCT_EXACT_MAX + 1, core.DISTINCT_EXACT_MAX + 1)
    assert.is_true(math.abs(core.distinct_count(d) / (core.DISTINCT_EXACT_MAX + 1) - 1) < 0.069)
  end)

  it("is nearly exact of few also where it is made an estimate", function()
    local d = ffi.new("struct distinct")
    core.distinct_estimate(d)
    for n = 1, 20 do
      add(d, n, n)
      assert.is_true(math.abs(core.distinct_count(d) - n) < 0.5, ("%d: %g"):format(n, core.distinct_count(d)))
    end
  end)

  it("lacks what it has not been given, as long as it is exact", function()
    local d, key_hash = ffi.new("struct distinct"), 77ULL
    assert.is_true(core.distinct_lacks(d, key_hash))
    core.distinct_add(d, key_hash)
    assert.is_false(core.distinct_lacks(d, key_hash))
    assert.is_true(core.distinct_lacks(d, 78ULL))
    core.distinct_estimate(d)
    assert.is_false(core.distinct_lacks(d, 78ULL))
  end)

  it("is within three standard errors of 2.3 % from a hundred to a million", function()
    local d, at = ffi.new("struct distinct"), 0
    for _, n in ipairs({ 100, 1000, 3000, 5000, 10000, 100000, 1000000 }) do
      add(d, at + 1, n)
      at = n
      local off = math.abs(core.distinct_count(d) / n - 1)
      assert.is_true(off < 0.069, ("%d: off by %.3f"):format(n, off))
    end
  end)

  it("counts what comes again once", function()
    local d = add(add(ffi.new("struct distinct"), 1, 5000), 1, 5000)
    assert.equal(core.distinct_count(add(ffi.new("struct distinct"), 1, 5000)), core.distinct_count(d))
  end)

  it("of parts merged is that of the whole", function()
    local a, b = add(ffi.new("struct distinct"), 1, 6000), add(ffi.new("struct distinct"), 4000, 9000)
    core.distinct_merge(a, b)
    assert.equal(core.distinct_count(add(ffi.new("struct distinct"), 1, 9000)), core.distinct_count(a))
    local few, more = add(ffi.new("struct distinct"), 1, 100), add(ffi.new("struct distinct"), 51, 200)
    core.distinct_merge(few, more)
    assert.equal(200, core.distinct_count(few))
    core.distinct_merge(few, a)                              -- an estimate makes an estimate
    assert.equal(core.distinct_count(a), core.distinct_count(few))
    core.distinct_merge(a, more)
    assert.equal(core.distinct_count(few), core.distinct_count(a))
  end)

  it("survives hashes of all zeros and all ones", function()
    local d = ffi.new("struct distinct")
    core.distinct_add(d, 0ULL)
    core.distinct_add(d, 0xffffffffffffffffULL)
    assert.equal(2, core.distinct_count(d))
    core.distinct_estimate(d)
    assert.is_true(math.abs(core.distinct_count(d) - 2) < 0.1)
    ffi.fill(d.registers, ffi.sizeof(d.registers), 54)       -- every register full: still a number
    assert.is_true(core.distinct_count(d) > 1e15)
  end)
end)
