local core, ffi = require("spec.support").core("heap", "baseline")

local SECOND = 1000000000
local MINUTE = 60 * SECOND
local LEARNING, READY, DRIFTED = 0, 1, 2

describe("a baseline", function()
  local live, baseline, t

  local function new(ns)
    local out = ffi.new("struct baseline *[1]")
    assert.equal(0, core.baseline_new(ns or MINUTE, out))
    baseline, t = out[0], 0
  end

  -- Samples from `make`, each when it is due.
  local function feed(n, make)
    for i = 1, n do
      t = tonumber(core.baseline_next(baseline))
      core.baseline_sample(baseline, t, make(i))
    end
  end

  local function state() return tonumber(core.baseline_state(baseline)) end

  local function get()
    local normal, spread = ffi.new("double[1]"), ffi.new("double[1]")
    if not core.baseline_get(baseline, normal, spread) then return nil end
    return normal[0], spread[0]
  end

  before_each(function() live = core.heap_live() end)
  after_each(function()
    core.baseline_free(baseline)
    assert.equal(live, core.heap_live())
  end)

  it("learns a hundred samples, ten minutes, and what is a window old", function()
    new()
    feed(660, function() return 5 end)                       -- 660 s: those of the last minute wait
    assert.equal(LEARNING, state())
    feed(1, function() return 5 end)
    assert.equal(READY, state())
    assert.equal(5, (get()))
    core.baseline_free(baseline)
    new(60 * MINUTE)                                         -- a sample a minute
    feed(159, function() return 5 end)
    assert.equal(LEARNING, state())
    feed(1, function() return 5 end)
    assert.equal(READY, state())
  end)

  it("is the median, and the spread the deviation's, with a floor", function()
    new()
    math.randomseed(1)
    feed(1000, function(i) return i % 10 == 0 and 1e9 or 100 + math.random(-10, 10) end)
    local normal, spread = get()
    assert.is_true(math.abs(normal - 100) <= 2, tostring(normal))
    assert.is_true(spread > 5 and spread < 12, tostring(spread))
    core.baseline_free(baseline)
    new()
    feed(1000, function() return 100 end)
    normal, spread = get()
    assert.same({ 100, 5 }, { normal, spread })
  end)

  it("does not learn what was not over when something went wrong", function()
    new()
    feed(700, function() return 100 end)
    for _ = 1, 2000 do
      feed(1, function() return 1000 end)
      core.baseline_spoil(baseline, t)
    end
    assert.equal(100, (get()))
    feed(600, function() return 200 end)
    assert.is_true(get() ~= 1000)
  end)

  it("that has moved says so, keeps what was normal, and learns anew", function()
    new()
    feed(800, function() return 100 end)
    feed(130, function() return 120 end)                     -- four spreads off, for more than a minute
    assert.equal(DRIFTED, state())
    assert.equal(100, (get()))
    feed(720, function() return 120 end)
    assert.equal(READY, state())
    assert.equal(120, (get()))
  end)

  it("follows what moves slowly", function()
    new()
    feed(5000, function(i) return 100 + i / 100 end)
    assert.is_true(get() > 140)
  end)

  it("takes no sample without a value", function()
    new()
    feed(2000, function() return 0 / 0 end)
    assert.equal(LEARNING, state())
    assert.is_nil(get())
    feed(800, function() return 1 end)
    assert.equal(READY, state())
  end)
end)
