local core, ffi = require("spec.support").core("heap", "sketch")

describe("a sketch", function()
  local live, sketch

  local function new() return ffi.new("struct sketch") end

  local function fill(s, list)
    for _, x in ipairs(list) do assert.equal(0, core.sketch_add(s, core.sketch_key(x), 1)) end
    return s
  end

  before_each(function() live, sketch = core.heap_live(), new() end)
  after_each(function()
    core.sketch_deinit(sketch)
    assert.equal(live, core.heap_live())
  end)

  -- The number of this rank, 1 being the least.
  local function at_rank(s, rank)
    local below, i = 0, -1
    repeat
      i = i + 1
      below = below + tonumber(s.bins[i].count)
    until below >= rank
    return core.sketch_bin_value(s.bins + i)
  end

  -- Inverse transforms, so that one seeded generator makes them all.
  local DISTRIBUTIONS = {
    uniform = function(u) return 1 + 999 * u end,
    exponential = function(u) return -50 * math.log(1 - u) end,
    pareto = function(u) return (1 - u) ^ (-1 / 1.2) end,
    ["of heavy tails"] = function(u) return math.exp(3 * math.max(-6, math.min(6, math.tan(math.pi * (u - 0.5))))) end,
    ["of both signs"] = function(u) return 1000 * (u - 0.5) ^ 3 end,
    ["of few values"] = function(u) return math.floor(u * 5) end,
    ["of 12 decades"] = function(u) return 10 ^ (12 * u - 6) end,
  }

  local function numbers(make, n, seed)
    math.randomseed(seed)
    local list = {}
    for i = 1, n do list[i] = make(math.random()) end
    return list
  end

  local function check(s, list)
    table.sort(list)
    assert.equal(#list, tonumber(s.count))
    for _, q in ipairs({ 0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1 }) do
      local rank = math.max(1, math.ceil(q * #list))
      local exact, got = list[rank], at_rank(s, rank)
      assert.is_true(math.abs(got - exact) <= 0.01 * math.abs(exact) * (1 + 1e-9) + 1e-300,
        ("rank %d: %g for %g"):format(rank, got, exact))
    end
  end

  it("gives a part back that was merged into it, and says so where bins have fallen together", function()
    local list, other = numbers(DISTRIBUTIONS.pareto, 3000, 1), fill(new(), numbers(DISTRIBUTIONS.uniform, 3000, 2))
    fill(sketch, list)
    assert.equal(0, core.sketch_merge(sketch, other))
    assert.is_true(core.sketch_subtract(sketch, other))
    check(sketch, list)
    core.sketch_clear(sketch)
    for i = 1, 3000 do assert.equal(0, core.sketch_add(sketch, core.sketch_key(1.03 ^ (i - 1500)), 1)) end
    local low = fill(new(), { 1.03 ^ -1499 })
    assert.is_false(core.sketch_subtract(sketch, low))
    core.sketch_deinit(other)
    core.sketch_deinit(low)
  end)

  it("knows the last bin whose value is not above a number", function()
    for _, x in ipairs({ 0, 1, -1, 1e-300, -1e-300, 1e300, 12345.678, -0.001, 1 / 0, -1 / 0 }) do
      local upto = core.sketch_key_upto(x)
      for _, y in ipairs({ 0, x, x * 1.005, x / 1.005, x * 1.02, x / 1.02, -x, 1e9, -1e9, 1e-320 }) do
        local bin = ffi.new("struct sketch_bin", { key = core.sketch_key(y) })
        assert.equal(core.sketch_bin_value(bin) > x, bin.key > upto)
      end
    end
  end)

  for name, make in pairs(DISTRIBUTIONS) do
    it("is within 1 % at every rank of numbers " .. name, function()
      local list = numbers(make, 20000, 7)
      check(fill(sketch, list), list)
    end)

    it("of parts merged is the sketch of the whole, numbers " .. name, function()
      local whole, list = new(), {}
      for part = 1, 5 do
        local some, piece = numbers(make, 1000, part), new()
        assert.equal(0, core.sketch_merge(sketch, fill(piece, some)))
        fill(whole, some)
        core.sketch_deinit(piece)
        for _, x in ipairs(some) do list[#list + 1] = x end
      end
      check(sketch, list)
      assert.equal(whole.bins_count, sketch.bins_count)
      for i = 0, whole.bins_count - 1 do
        assert.equal(whole.bins[i].key, sketch.bins[i].key)
        assert.equal(whole.bins[i].count, sketch.bins[i].count)
      end
      core.sketch_deinit(whole)
    end)
  end

  it("begins anew when it is cleared", function()
    fill(sketch, { 1, 2, 3 })
    core.sketch_clear(sketch)
    check(fill(sketch, { 7, 8 }), { 7, 8 })
  end)

  it("takes what is infinite for the largest", function()
    core.sketch_add(sketch, core.sketch_key(math.huge), 1)
    core.sketch_add(sketch, core.sketch_key(-math.huge), 1)
    local largest = 1.7976931348623157e308
    assert.is_true(at_rank(sketch, 2) >= 0.99 * largest)
    assert.is_true(at_rank(sketch, 1) <= -0.99 * largest)
  end)

  it("takes the outermost doubles, and zero", function()
    local list = { -1.7e308, -5e-324, 0, 5e-324, 1e-308, 1.7e308 }
    fill(sketch, list)
    for rank, exact in ipairs(list) do
      local got = at_rank(sketch, rank)
      assert.is_true(got == exact or math.abs(got - exact) <= 0.0101 * math.abs(exact) or math.abs(exact) < 1e-307)
    end
  end)

  it("keeps its bound: the lowest fall together, the highest stay exact", function()
    for i = 0, 3999 do core.sketch_add(sketch, core.sketch_key(1.03 ^ (i - 2000)), 1) end
    assert.equal(2048, sketch.bins_count)
    local top = 1.03 ^ 1999
    assert.is_true(math.abs(at_rank(sketch, 4000) - top) <= 0.01 * top)
    core.sketch_add(sketch, core.sketch_key(1e-200), 3)
    assert.equal(2048, sketch.bins_count)
    assert.equal(4003, tonumber(sketch.count))
    assert.is_true(core.sketch_bytes(sketch) <= core.heap_block(4096 * 16))
  end)

  it("is as it was when memory is short", function()
    fill(sketch, { 1, 2, 3, 4, 5, 6, 7, 8 })
    local part = fill(new(), { 100, 200, 300 })
    core.heap_fail_from(1)
    local added, merged = core.sketch_add(sketch, core.sketch_key(1e6), 1), core.sketch_merge(sketch, part)
    core.heap_fail_from(0)
    assert.is_true(added < 0 and merged < 0)
    check(sketch, { 1, 2, 3, 4, 5, 6, 7, 8 })
    core.sketch_deinit(part)
  end)
end)
