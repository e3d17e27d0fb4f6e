local core, ffi = require("spec.support").core("heap", "events")

describe("a ring of events", function()
  local live, ring

  local function event(e)
    return ffi.new("struct series_event", { e.time, e.value or 1, e.hash or 0, e.weight or 1, e.flags or 0 })
  end
  local function insert(e, place) return core.events_insert(ring, place or ring.count, event(e)) end
  local function get(i)
    local e = core.events_get(ring, i)
    return { time = tonumber(e.time_ns), value = e.value, hash = tonumber(e.hash), weight = e.weight, flags = e.flags }
  end
  local function bytes() return tonumber(core.events_bytes(ring)) end

  before_each(function() live, ring = core.heap_live(), ffi.new("struct events") end)
  after_each(function()
    core.heap_fail_from(0)
    core.events_deinit(ring)
    assert.equal(live, core.heap_live())
  end)

  it("takes 8 bytes for what is only a time, 16 for a number, 32 for the rest", function()
    for i = 1, 1023 do insert { time = i, flags = i % 8 } end
    assert.equal(1024 * 8, bytes())
    assert.same({ time = 700, value = 1, hash = 0, weight = 1, flags = 700 % 8 }, get(699))
    core.events_drop_first(ring)
    insert { time = 2000, value = 0.5 }
    assert.equal(2048 * 8, bytes())
    assert.same({ { 2 }, { 0.5 } }, { { get(0).time }, { get(1022).value } })
    insert { time = 2001, weight = 9, flags = 3 }
    assert.equal(8192 * 8, bytes())
    assert.same({ time = 2001, value = 1, hash = 0, weight = 9, flags = 3 }, get(1023))
    assert.same({ 0.5, 2 }, { get(1022).value, get(0).flags })
  end)

  it("keeps hashes where it is told to", function()
    ring.hashes = true
    insert { time = 1, hash = 77 }
    insert { time = 2, hash = 0 }
    assert.same({ 77, 0 }, { get(0).hash, get(1).hash })
    insert { time = 3, hash = 5, value = 4 }
    assert.same({ 77, 1, 5, 4 }, { get(0).hash, get(0).value, get(2).hash, get(2).value })
  end)

  it("keeps any time, and is narrow again once it was empty", function()
    insert { time = 2 ^ 61 - 1024 }
    assert.equal(32, bytes())
    insert { time = 2 ^ 62 }
    assert.same({ 2 ^ 61 - 1024, 2 ^ 62 }, { get(0).time, get(1).time })
    core.events_drop_first(ring)
    core.events_drop_last(ring)
    for i = 1, 15 do insert { time = i } end
    assert.equal(128, bytes())
  end)

  it("is what a list would be, whatever is put in and taken out", function()
    for seed = 1, 60 do
      math.randomseed(seed)
      local model = {}
      for step = 1, 300 do
        local what = math.random(1, 10)
        if what <= 6 or #model == 0 then
          local e = { time = math.random(1, 50), value = 1, hash = 0, weight = 1, flags = math.random(0, 7) }
          if step > 100 and seed % 3 > 0 then e.value = math.random(-3, 3) / 2 end
          if step > 200 and seed % 3 > 1 then e.weight = math.random(1, 3) end
          local place = tonumber(core.events_until(ring, e.time))
          local expected = 0
          for _, other in ipairs(model) do expected = expected + (other.time <= e.time and 1 or 0) end
          assert.equal(expected, place)
          assert.equal(0, insert(e, place))
          table.insert(model, place + 1, e)
        elseif what <= 8 then
          core.events_drop_first(ring)
          table.remove(model, 1)
        elseif what == 9 then
          core.events_drop_last(ring)
          table.remove(model)
        else
          local i = math.random(1, #model)
          core.events_remove(ring, i - 1)
          table.remove(model, i)
        end
        assert.equal(#model, ring.count)
        for i, e in ipairs(model) do assert.same(e, get(i - 1)) end
      end
      core.events_deinit(ring)
    end
  end)

  it("without memory for one more is as it was", function()
    for i = 1, 3 do insert { time = i } end
    core.heap_fail_from(1)
    assert.is_true(insert { time = 4 } < 0)
    core.heap_fail_from(1)
    assert.is_true(insert({ time = 4, value = 2 }, 0) < 0)
    core.heap_fail_from(0)
    assert.same({ 3, 1, 3 }, { ring.count, get(0).time, get(2).time })
    assert.equal(0, insert({ time = 0, value = 2 }, 0))
    assert.same({ 0, 2, 1, 3 }, { get(0).time, get(0).value, get(1).time, get(3).time })
  end)
end)
