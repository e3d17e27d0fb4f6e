local core, ffi = require("spec.support").core("heap", "state", "novel")

local D = 1000

jit.off()                                                  -- C calls back into Lua

describe("what is new", function()
  local live, state, novel, told, unknown
  local witness, key = ffi.new("struct window_witness"), ffi.new("struct state_key")

  local on_novel = ffi.cast("void (*)(void *, const struct window_crossing *)", function(_, c)
    told[#told + 1] = ffi.string(c.group, c.group_bytes) .. "@" .. tonumber(c.time_ns)
  end)
  local on_unknown = ffi.cast("void (*)(void *, void *)", function() unknown = unknown + 1 end)

  local function open(bytes_max)
    local s, n = ffi.new("struct state *[1]"), ffi.new("struct novel *[1]")
    assert.equal(0, core.state_new(bytes_max or 32 * 1048576, s))
    state = s[0]
    local calls = ffi.new("struct novel_calls", { on_novel, on_unknown })
    assert.equal(0, core.novel_new(state, D, calls, nil, n))
    novel = n[0]
  end

  local function take(name, t)
    witness.time_ns = t
    key.bytes, key.n, key.hash = ffi.cast("const char *", name), #name, core.state_hash(state, name, #name)
    return core.novel_take(novel, key, witness)
  end

  before_each(function() live, told, unknown = core.heap_live(), {}, 0 end)
  after_each(function()
    core.heap_fail_from(0)
    core.novel_free(novel)
    core.state_free(state)
    assert.equal(live, core.heap_live())
  end)

  it("is told once, after D of watching, to the nanosecond", function()
    open()
    take("a", 5000)
    take("b", 5999)
    take("c", 6000)
    take("c", 6001)
    assert.same({ "c@6000" }, told)
  end)

  it("is what was away for D, not less", function()
    open()
    take("a", 5000)
    take("b", 5500)
    take("b", 6499)
    take("a", 6000)
    take("a", 6999)
    take("a", 7999)
    assert.same({ "a@6000", "a@7999" }, told)
  end)

  it("does not take a late span for news, nor forgets for it", function()
    open()
    take("a", 5000)
    take("a", 6900)
    take("b", 4000)
    take("a", 5500)
    take("a", 7000)
    assert.same({ "a@6900" }, told)
  end)

  it("is no news where too much is new: learning begins anew, and what comes is unknown", function()
    open()
    take("a", 5000)
    for i = 1, 40 do take("x" .. i, 6000 + i) end
    assert.same({ 32, 8 }, { #told, unknown })
    take("y", 6033 + D - 1)
    assert.same({ 32, 9 }, { #told, unknown })
    take("z", 6033 + D)
    assert.equal("z@7033", told[33])
  end)

  it("is not known where something was forgotten for want of room", function()
    open(4096)
    for i = 1, 100 do take("k" .. i % 50, 5000 + i * 30) end
    assert.same({}, told)
    assert.is_true(unknown > 0)
    assert.is_true(tonumber(core.state_stats(state).groups_evicted) > 0)
  end)

  it("is what remembering everything says", function()
    math.randomseed(6)
    for _ = 1, 50 do
      open()
      local last, t, first, expected = {}, 5000, nil, {}
      for _ = 1, 200 do
        t = t + math.random(0, 100)
        local name = "k" .. math.floor(12 * math.random() ^ 3)
        first = first or t
        if (not last[name] or t - last[name] >= D) and t - first >= D then expected[#expected + 1] = name .. "@" .. t end
        last[name] = t
        take(name, t)
      end
      assert.same(expected, told)
      core.novel_free(novel)
      core.state_free(state)
      told, novel, state = {}, nil, nil
    end
    open()
  end)

  it("without memory loses that span, and counts it", function()
    for n = 1, 20 do
      open()
      core.heap_fail_from(n)
      for i = 1, 5 do take("k" .. i, 5000 + i) end
      core.heap_fail_from(0)
      for i = 6, 9 do assert.equal(0, take("k" .. i, 5000 + i)) end
      core.novel_free(novel)
      core.state_free(state)
      novel, state = nil, nil
    end
    open()
  end)
end)
