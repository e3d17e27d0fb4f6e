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

  local normals = ffi.new("struct baseline_normal[2]")
  local function get()
    if core.baseline_normals(baseline, t, normals) == 0 then return nil end
    return normals[0].normal, normals[0].spread
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
    assert.is_true(spread > 5 and spread < 15, tostring(spread))
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

  -- ---- how sure ------------------------------------------------------------------------------------

  it("says since when, and by how many samples; also what it said before it drifted", function()
    new()
    feed(700, function() return 100 end)
    get()
    local first = tonumber(normals[0].since_ns)
    assert.same({ SECOND, 512, false }, { first, normals[0].samples, normals[0].seasonal })
    feed(190, function() return 120 end)
    assert.equal(DRIFTED, state())
    get()
    assert.same({ first, 512, 100 }, { tonumber(normals[0].since_ns), normals[0].samples, normals[0].normal })
    feed(720, function() return 120 end)
    get()
    assert.is_true(tonumber(normals[0].since_ns) > 700 * SECOND)
  end)

  it("takes few windows for less than many, and a constant for what it is", function()
    local function spread_after(n, make)
      new(60 * MINUTE)
      math.randomseed(2)
      feed(n, make)
      local normal, spread = get()
      local doubt = normals[0].doubt
      core.baseline_free(baseline)
      baseline = nil
      return normal, spread, doubt
    end
    local function noise() return 100 + math.random(-40, 40) / 10 end
    local _, few, little = spread_after(161, noise)
    local _, many, least = spread_after(700, noise)
    assert.is_true(few > 1.2 * many and little > least and least > 0, few .. " " .. many)
    assert.same({ 100, 5, 0 }, { spread_after(161, function() return 100 end) })
  end)

  it("strays by as much as it was off on a slope", function()
    new()
    feed(3000, function(i) return 100 + i end)
    local normal, spread = get()
    assert.is_true(spread > 300 and 3100 - normal < 2 * spread, normal .. " " .. spread)
  end)

  it("knows the hour, beside what was lately, from the third day on", function()
    new(10 * MINUTE)                                         -- a sample each 10 s
    local day = 24 * 360
    local function wave(i) return 1000 + 900 * math.sin(i / day * 2 * math.pi) end
    feed(2 * day, wave)
    assert.equal(1, core.baseline_normals(baseline, t, normals))
    feed(2 * day, wave)
    assert.equal(2, core.baseline_normals(baseline, t, normals))
    assert.is_true(normals[1].seasonal)
    for quarter = 1, 4 do
      feed(day / 4, wave)
      core.baseline_normals(baseline, t, normals)
      local now = wave(quarter * day / 4)
      assert.is_true(math.abs(normals[1].normal - now) < 20, quarter .. ": " .. normals[1].normal)
    end
  end)

  it("without memory for the hours is told, and goes on", function()
    new()
    core.heap_fail_from(1)
    local failed = 0
    for i = 1, 2 * 3600 do
      t = tonumber(core.baseline_next(baseline))
      if core.baseline_sample(baseline, t, i) ~= 0 then failed = failed + 1 end
    end
    core.heap_fail_from(0)
    assert.equal(1, failed)
    assert.equal(READY, state())
  end)

  it("takes a burst for none, but for a new normal what lasts as long as it can remember", function()
    new()
    feed(1200, function() return 100 end)
    feed(400, function() return 500 end)
    assert.same({ DRIFTED, 100 }, { state(), (get()) })
    feed(200, function() return 100 end)
    assert.same({ READY, 100 }, { state(), (get()) })
    feed(1200, function() return 100 end)
    assert.equal(100, (get()))
    feed(730, function() return 500 end)
    assert.same({ READY, 500 }, { state(), (get()) })
    core.baseline_free(baseline)
    new(10 * MINUTE)
    feed(400, function() return 100 end)
    feed(300, function() return 500 end)
    assert.same({ DRIFTED, 100 }, { state(), (get()) })
  end)
end)
