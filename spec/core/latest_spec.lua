local core, ffi = require("spec.support").core("heap", "latest")

describe("the spans of the latest events", function()
  local live, latest

  local function note(id, time, max)
    local w = ffi.new("struct window_witness", { time_ns = time, start_ns = time - 1, has_service = id % 2 == 0, repeats = true })
    w.span_id[0], w.trace_id[15] = id, id % 3
    w.name.off, w.name.len, w.service.off = id, 7, w.has_service and 100 + id or 0
    core.latest_note(latest, w, max or 32)
  end
  local function ids()
    local list = {}
    for i = 0, latest.count - 1 do list[#list + 1] = core.latest_get(latest, i).span_id[0] end
    return list
  end

  before_each(function() live, latest = core.heap_live(), ffi.new("struct latest") end)
  after_each(function()
    core.heap_fail_from(0)
    core.latest_deinit(latest)
    assert.equal(live, core.heap_live())
  end)

  it("come back as they were", function()
    note(1, 10)
    note(2, 11)
    local w = core.latest_get(latest, 1)
    assert.same({ 11, 10, 2, 2, 2, 7, true, 102 }, { tonumber(w.time_ns), tonumber(w.start_ns), w.span_id[0], w.trace_id[15],
                                                    w.name.off, w.name.len, w.has_service, w.service.off })
    assert.same({ false, 0 }, { core.latest_get(latest, 0).has_service, core.latest_get(latest, 0).service.off })
  end)

  it("are as many as may be, by time, each once, at its latest event", function()
    for seed = 1, 100 do
      math.randomseed(seed)
      local model, max = {}, math.random(1, 32)
      for order = 1, 200 do
        local id, time = math.random(0, 60), math.random(0, 20) + order
        note(id, time, max)
        local same
        for i, w in ipairs(model) do same = w.id == id and i or same end
        if not same or model[same].time < time then
          if same then table.remove(model, same) end
          model[#model + 1] = { id = id, time = time, order = order }
          table.sort(model, function(a, b) return a.time < b.time or a.time == b.time and a.order < b.order end)
          if #model > max then table.remove(model, 1) end
        end
        local expected = {}
        for i, w in ipairs(model) do expected[i] = w.id end
        assert.same(expected, ids())
      end
      core.latest_deinit(latest)
    end
  end)

  it("stay when there may be fewer, and give way one by one", function()
    for i = 1, 8 do note(i, i) end
    note(9, 9, 1)
    assert.same({ 2, 3, 4, 5, 6, 7, 8, 9 }, ids())
    note(10, 1, 1)                                           -- older than all
    assert.same({ 2, 3, 4, 5, 6, 7, 8, 9 }, ids())
  end)

  it("take no room before there is one, and without memory make room for each other", function()
    assert.equal(0, tonumber(core.latest_bytes(latest)))
    core.heap_fail_from(1)
    note(1, 1)
    assert.same({}, ids())
    core.heap_fail_from(0)
    note(2, 2)
    core.heap_fail_from(1)
    note(3, 3)
    assert.same({ 3 }, ids())
    assert.equal(64, tonumber(core.latest_bytes(latest)))
  end)
end)
