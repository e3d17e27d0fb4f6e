local world = require("spec.core.incident_world")
local core = world.core

describe("incidents after a restart", function()
  local w
  before_each(world.begin)
  after_each(world.finish)

  local function open(options)
    w = world.open(options)
    return w
  end
  local function service(name) return { { "service", name } } end

  it("are the same, byte for byte, and nothing is said again", function()
    open()
    local v = { group = service "a", labels = { { "team", "x" } }, severity = 3, to = { "a", "b" }, summary = "s", policy = { resolve_ns = 500 } }
    w:violate(v)
    w:violates_at(3, v)
    w:to(10)
    local before = world.incident_json(w:violate(v), true)
    w:to(12)
    w = w:restart()
    local after = world.incident_json(core.incidents_find(w.room, (next(w.rows))), true)
    assert.equal(before, after)
    w:to(400)
    assert.same({ {}, {} }, { w.said, w.notices })
    w:to(600)
    assert.same({ "512 resolved r/a 3" }, w.said)                      -- resolve_after began anew
    table.sort(w.notices)
    assert.same({ "552 a resolved -r/a", "552 b resolved -r/a" }, { (w.notices[1]:gsub("^5%d%d", "552")), (w.notices[2]:gsub("^5%d%d", "552")) })
  end)

  it("tell what was not told yet, when it would have been", function()
    open { wait = 30, interval = 60 }
    w:violate { id = 9 }
    w:to(10)
    w = w:restart()
    w:to(100)
    assert.same({ "30 ops opened r" }, w.notices)
    assert.same({ world.id(9) }, w.ids)
    w = w:restart()
    w:to(400)
    w:forget()
    w = w:restart()
    w:to(500)
    assert.same({}, w.said)
  end)

  it("tell the end of what resolved while they were about to say so", function()
    open()
    w:violate { policy = { resolve_ns = 20 } }
    w:to(30)
    w = w:restart()
    w:to(100)
    assert.same({ "61 ops resolved -r" }, w.notices)
  end)

  it("repeat what they would have repeated, and name it as they would have", function()
    open { again = 120 }
    local v = { policy = { resolve_ns = 10000 }, id = 1 }
    w:violate(v)
    w:to(130)
    w = w:restart()
    w:to(260)
    assert.same({ "241 ops repeated r" }, w.notices)
    assert.same({ world.id(1) .. ".repeat-2" }, w.ids)
  end)

  it("reopen what would have been reopened, and forget what would be forgotten", function()
    open()
    local v = { policy = { resolve_ns = 50, cooldown_ns = 100 } }
    local id = world.ffi.string(w:violate(v).id)
    w:to(120)
    w = w:restart()
    w:violate(v)
    assert.equal(1, w:stats().cooled)
    w:violates_at(155, v)
    assert.equal("155 reopened r 3", w.said[#w.said])
    assert.equal(id, (next(w.rows)))
    w:to(1000)
    w = w:restart()
    assert.equal(0, w:stats().incidents)
  end)

  it("know what is acknowledged, what is in shadow, and how often one came back", function()
    open { again = 60 }
    w:acknowledge(w:violate { policy = { resolve_ns = 10000 } })
    w:violate { rule = "q", shadow = true, policy = { resolve_ns = 10000 } }
    w:to(30)
    w = w:restart()
    w:to(300)
    assert.same({ 1, 1 }, { w:stats().open, w:stats().acknowledged })
    assert.same({}, w.notices)
  end)

  it("are held by silences that come back behind them", function()
    open()
    w:violate()
    w:to(10)
    w = w:restart()
    local id = w:silence("rule=r", nil, world.id(77), 5)
    assert.equal(world.id(77), id)
    assert.equal(1, tonumber(core.incidents_silence_at(w.room, 0).burning))
    w:to(1000)
    assert.equal("310 ended rule=r", w.silences[2])
    assert.same({ "361 ops resolved -r" }, w.notices)
  end)

  it("are not made of anything that was cut short or changed in a length", function()
    open()
    w:violate { group = service "a", labels = { { "t", "x" } }, to = { "a", "b" } }
    w:to(2)
    local _, row = next(w.rows)
    open()
    for n = 0, #row.bytes - 1 do                                        -- right before a page that is not there
      local p, length, free = require("spec.support").guarded(row.bytes:sub(1, n))
      assert.equal(-2, core.incidents_restore(w.room, p, length, 0, w.now))
      free()
    end
    local p, length, free = require("spec.support").guarded(row.bytes)
    assert.equal(0, core.incidents_restore(w.room, p, length, 0, w.now))
    free()
    open()
    assert.equal(-2, core.incidents_restore(w.room, row.bytes .. "x", #row.bytes + 1, 0, w.now))
    math.randomseed(1)
    for _ = 1, 3000 do
      local at = math.random(#row.bytes)
      local changed = row.bytes:sub(1, at - 1) .. string.char(math.random(0, 255)) .. row.bytes:sub(at + 1)
      open()
      core.incidents_restore(w.room, changed, #changed, 0, w.now)
      w:to(2)
    end
    open()
    assert.equal(0, core.incidents_restore(w.room, row.bytes, #row.bytes, 0, w.now))
    assert.equal(-7, core.incidents_restore(w.room, row.bytes, #row.bytes, 0, w.now))     -- it is there
  end)

  it("are there whole or not at all, whichever allocation fails", function()
    open()
    w:violate { group = service "a", labels = { { "t", "x" } }, to = { "a", "b" } }
    w:to(2)
    local _, row = next(w.rows)
    local n, err, failed = 0
    repeat
      open()
      n = n + 1
      core.heap_fail_only(n)
      err = core.incidents_restore(w.room, row.bytes, #row.bytes, 0, w.now)
      failed = core.heap_failed() > 0
      core.heap_fail_from(0)
      assert.equal(err == 0 and 1 or 0, w:stats().incidents)
    until not failed
    assert.equal(0, err)
    assert.is_true(n > 15)
  end)
end)
