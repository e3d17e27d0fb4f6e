local support = require("spec.core.store_support")
local core, ffi, S, MIB = support.core, support.ffi, support.S, support.MIB

describe("the store under pressure", function()
  local s
  before_each(support.begin)
  after_each(support.finish)

  local function number(x) return tonumber(x) end

  local function held()
    local stats = s:stats()
    return number(stats.arena_bytes_used + stats.heap_bytes)
  end

  -- Traces of one span each until `stop`, every one a second of its own; gives the traces by number.
  local function fill(stop, payload_bytes)
    local traces, n = {}, 0
    repeat
      n = n + 1
      local admit, t = s:put({ trace = n, payload_bytes = payload_bytes or 3000 }, n)
      if admit == "new" then traces[n] = t end
      assert.is_true(held() <= MIB)
    until stop(admit, n)
    return traces, n
  end

  local function has_shed() return number(s:stats().payloads_shed) > 0 end
  local function has_evicted() return number(s:stats().traces_closed[core.CLOSE_EVICTED]) > 0 end
  local function is_shed(t) return bit.band(core.store_span(s.store, t, 0).flags, 4) == 4 end

  it("first sheds the payloads of the oldest traces, and keeps their skeletons", function()
    s = support.open({ arena_bytes = MIB })
    local traces = fill(has_shed)
    local span = core.store_span(s.store, traces[1], 0)
    assert.is_true(is_shed(traces[1]))
    assert.equal(0, span.payload.len)
    assert.equal("a name", s:text(span.name))
    assert.is_false(is_shed(traces[20]))
    assert.equal(0, #s.closed)
    assert.is_false(traces[1].cut)
  end)

  it("lets kept traces go, the longest at rest first, before it closes an open one", function()
    s = support.open({ arena_bytes = MIB }, true)
    for trace = 1, 20 do
      local _, t, index = s:put({ trace = trace, payload_bytes = 3000 }, trace)
      core.store_hit(s.store, t, 0, index)
    end
    s:run(20 + 10 * S)
    assert.equal(20, number(s:stats().traces_kept))
    s:put({ trace = 1, id = 2, payload_bytes = 3000 }, 11 * S)
    s:end_request(11 * S)
    local n, closed = 100, #s.closed
    repeat
      n = n + 1
      local _, t, index = s:put({ trace = n, payload_bytes = 3000 }, 11 * S + n)
      core.store_hit(s.store, t, 0, index)
      if s.released == 19 then
        assert.equal("late", (s:put({ trace = 1, id = 3 }, 11 * S + n)))
        s:end_request(11 * S + n)
      end
    until #s.closed > closed
    assert.same({ 20, 0 }, { s.released, number(s:stats().traces_kept) })
    assert.equal(20, number(s:stats().kept_released))
  end)

  it("marks what was shed before anybody looks, one span at a time or pinned", function()
    s = support.open({ arena_bytes = MIB })
    local traces = fill(has_shed)
    core.store_pin(traces[1])
    local first = ffi.cast("struct fluo_extent *", core.arena_at(core.store_arena(s.store), traces[1].spans.head))
    local skeleton = ffi.cast("struct fluo_span *", first + 1)
    assert.same({ 4, 0 }, { bit.band(skeleton.flags, 4), skeleton.payload.len })
    core.store_unpin(traces[1])
    assert.equal("new", (s:put({ trace = 1, id = 2, payload_bytes = 300 }, 60)))
    assert.is_false(bit.band(core.store_span(s.store, traces[1], 1).flags, 4) == 4)
  end)

  it("forgets ids of closed traces before it closes one, but not all of them", function()
    s = support.open({ arena_bytes = MIB, remembered_bytes_max = MIB / 4, late_ns = 100000 * S })
    core.store_keep_payloads(s.store, true)
    for n = 5001, 6500 do
      s:put({ trace = n }, 0)
      if n % 100 == 0 then while core.store_close_oldest(s.store, core.CLOSE_SHUTDOWN, 0) do end end
    end
    local remembered = number(s:stats().remembered_bytes)
    local forgotten = number(s:stats().ids_forgotten)
    assert.is_true(remembered > MIB / 8)
    fill(function()
      assert.is_true(held() + number(s:stats().remembered_bytes) <= MIB)
      return number(s:stats().ids_forgotten) > forgotten + 100
    end)
    assert.equal(0, number(s:stats().traces_closed[core.CLOSE_EVICTED]))
    fill(has_evicted)
    assert.is_true(number(s:stats().remembered_bytes) > MIB / 32)
  end)

  it("does not shed a trace with a hit, nor a pinned one until it is unpinned", function()
    s = support.open({ arena_bytes = MIB })
    local _, hit = s:put({ trace = 1001, payload_bytes = 3000 }, 0)
    local _, pinned = s:put({ trace = 1002, payload_bytes = 3000 }, 0)
    assert.is_true(core.store_hit(s.store, hit, 7, 0))
    core.store_pin(pinned)
    local traces = fill(function() return number(s:stats().payloads_shed) > 50 end)
    assert.same({ false, false, true }, { is_shed(hit), is_shed(pinned), is_shed(traces[1]) })
    core.store_unpin(pinned)
    s:put({ trace = 1003, payload_bytes = 60000 }, 2000)
    assert.same({ false, true }, { is_shed(hit), is_shed(pinned) })
  end)

  it("sheds nothing while payloads must be kept, and evicts at once", function()
    s = support.open({ arena_bytes = MIB })
    core.store_keep_payloads(s.store, true)
    fill(has_evicted)
    assert.equal(0, number(s:stats().payloads_shed))
  end)

  it("then evicts the trace that has been quiet for longest, cut", function()
    s = support.open({ arena_bytes = MIB })
    local _, n = fill(has_evicted)
    local first = { trace = 1, reason = "evicted", cut = true, at = ffi.cast("uint64_t", n), spans = 1, state = 1 }
    assert.same(first, s.closed[1])
    for i, c in ipairs(s.closed) do assert.equal(i, c.trace) end
  end)

  it("passes pinned traces over, and drops a span when all are", function()
    s = support.open({ arena_bytes = MIB })
    local pinned = {}
    repeat
      local admit, t = s:put({ trace = #pinned + 1, payload_bytes = 3000 }, 1)
      if t then
        core.store_pin(t)
        pinned[#pinned + 1] = t
      end
    until admit == "no memory"
    assert.equal(0, #s.closed)
    for i = 100, 104 do core.store_unpin(pinned[i]) end      -- a place in the table may take as much as one of them
    assert.equal("new", (s:put({ trace = 5000, payload_bytes = 3000 }, 2)))
    local shed = 0
    for i = 100, 104 do shed = shed + (is_shed(pinned[i]) and 1 or 0) end
    assert.is_true(shed > 0)
    for i, t in ipairs(pinned) do if i < 100 or i > 104 then core.store_unpin(t) end end
  end)

  it("looks again at a pinned trace once it is unpinned", function()
    s = support.open({ arena_bytes = MIB })
    core.store_keep_payloads(s.store, true)
    local pinned = {}
    repeat
      local admit, t = s:put({ trace = #pinned + 1, payload_bytes = 3000 }, 1)
      if t then core.store_pin(t) end
      pinned[#pinned + 1] = t
    until admit == "no memory"
    for i = 100, 104 do core.store_unpin(pinned[i]) end      -- what is remembered of one takes room, as a place does
    assert.equal("new", (s:put({ trace = 5000, payload_bytes = 3000 }, 2)))
    assert.equal(100, s.closed[1].trace)
  end)

  it("counts all that a trace takes: its record, its place in the table, its names", function()
    s = support.open({ arena_bytes = MIB, symbols_bytes_max = MIB / 2 })
    local n = 0
    repeat
      n = n + 1
      s:put({ trace = n, name = ("long name "):rep(20) .. n }, n)
      assert.is_true(held() <= MIB)
    until has_evicted()
    assert.is_true(n > 500)
  end)

  it("counts the engine's notes once, and lets them go with the trace", function()
    s = support.open({ arena_bytes = MIB })
    local _, t = s:put({}, 1)
    local before = number(s:stats().heap_bytes)
    t.tallies = core.heap_alloc(64 * 12)
    t.tallies_capacity = 64
    for i = 1, 5 do
      core.store_hit(s.store, t, i, 0)
      assert.equal(before + 64 * 12, number(s:stats().heap_bytes))
    end
    core.store_close_oldest(s.store, core.CLOSE_SHUTDOWN, 1)
    local table_bytes = ffi.sizeof("struct table_segment") + ffi.sizeof("void *")
    assert.equal(table_bytes, number(s:stats().heap_bytes))
  end)

  it("uses up to 64 records again, without the allocator, and keeps none after the last open trace", function()
    s = support.open()
    local function heap() return number(s:stats().heap_bytes) end
    for n = 1, 99 do s:put({ trace = n }, 1) end
    local without = heap()
    s:put({ trace = 100 }, 1)
    local record = heap() - without
    for _ = 1, 90 do core.store_close_oldest(s.store, core.CLOSE_SHUTDOWN, 1) end
    assert.equal(without - (89 - 64) * record, heap())
    core.heap_fail_from(1)
    for n = 101, 164 do assert.equal("new", (s:put({ trace = n }, 1))) end
    assert.equal("no memory", (s:put({ trace = 165 }, 1)))
    assert.equal(without - (89 - 64) * record, heap())
    core.heap_fail_from(0)
    while core.store_close_oldest(s.store, core.CLOSE_SHUTDOWN, 1) do assert.is_true(heap() > 0) end
    assert.equal(without - 99 * record, heap())
  end)

  it("takes back the texts of a span that found no memory", function()
    s = support.open({ arena_bytes = MIB, symbols_bytes_max = 0 })
    s:put({ id = 1, name = "first", payload_bytes = 10 }, 1)
    local before
    for _ = 1, 50 do
      assert.equal("no memory", (s:put({ id = 2, name = ("n"):rep(5000), payload_bytes = 2 * MIB }, 2)))
      before = before or held()
      assert.equal(before, held())
    end
    local _, _, _, span = s:put({ id = 2, name = "second" }, 3)
    assert.equal("second", s:text(span.name))
  end)

  it("does not close everything while what it evicted is being judged", function()
    s = support.open({ arena_bytes = MIB })
    core.store_keep_payloads(s.store, true)
    s.hold = true
    local _, n = fill(function(admit) return admit == "no memory" end)
    assert.is_true(#s.closed > 10)
    assert.is_true(number(s:stats().traces_open) > n / 2)
    s:drop_held()
    assert.equal("new", (s:put({ trace = n + 1, payload_bytes = 3000 }, n)))
    s:drop_held()
  end)

  it("forgets a span that found no memory, and cuts its trace", function()
    s = support.open({ arena_bytes = MIB })
    local _, t = s:put({ trace = 1, id = 1 }, 1)
    assert.equal("no memory", (s:put({ trace = 1, id = 2, payload_bytes = 2 * MIB }, 2)))
    assert.same({ 1, true }, { t.spans.count, t.cut })
    assert.equal("new", (s:put({ trace = 1, id = 2 }, 3)))
    assert.equal("no memory", (s:put({ trace = 2, payload_bytes = 2 * MIB }, 4)))
    assert.equal(1, number(s:stats().traces_open))
    assert.equal(2, number(s:stats().spans_held))
  end)

  it("may shed the very trace it writes to, and then goes on", function()
    s = support.open({ arena_bytes = MIB, trace_bytes_max = 64 * MIB })
    for i = 1, 2000 do
      local admit, t, index, span = s:put({ id = i, payload_bytes = 3000 }, i)
      assert.equal("new", admit)
      assert.equal(i - 1, index)
      assert.equal(3003, span.payload.len)
      assert.equal(i, t.spans.count)
    end
    assert.is_true(number(s:stats().payloads_shed) > 1000)
  end)

  it("keeps a long trace quick: every span sheds the one before, none twice", function()
    s = support.open({ arena_bytes = 8 * MIB, trace_bytes_max = 64 * MIB, trace_spans_max = 100000 })
    assert.equal(50000, (s:flood(50000, 50000, { payload_bytes = 900 })))
    local stats = s:stats()
    assert.equal(50000, number(stats.spans_held))
    assert.is_true(number(stats.payloads_shed) < 50000)
  end)

  it("loses a hit, counts it and cuts the trace, when there is no memory", function()
    s = support.open({ arena_bytes = MIB })
    local _, t = s:put({ trace = 1 }, 1)
    core.store_pin(t)
    local arena, blocks = core.store_arena(s.store), {}
    repeat
      local off = core.arena_get(arena, 256, nil)
      if off ~= 0 then blocks[#blocks + 1] = off end
    until off == 0
    assert.is_false(core.store_hit(s.store, t, 1, 0))
    assert.same({ true, 1, 0 }, { t.cut, number(s:stats().hits_lost), t.hits.count })
    for _, off in ipairs(blocks) do core.arena_put(arena, off) end
    assert.is_true(core.store_hit(s.store, t, 1, 0))
    core.store_unpin(t)
  end)

  it("takes two hundred thousand small traces through a small arena", function()
    s = support.open({ arena_bytes = MIB, remembered_bytes_max = 65536 })
    assert.equal(200000, (s:flood(200000, 1, { payload_bytes = 100 })))
    local stats = s:stats()
    assert.equal(200000, number(stats.traces_open) + #s.closed)
    assert.equal(number(stats.traces_open), number(stats.spans_held))
    assert.is_true(held() <= MIB)
  end)

  it("says how long a trace can live at the present rate", function()
    s = support.open({ arena_bytes = 4 * MIB })
    assert.is_true(s:stats(0).horizon_s > 1e6)
    for i = 1, 2000 do s:put({ trace = i, payload_bytes = 200 }, i * S / 100) end    -- some 100 KiB a second
    local horizon = s:stats(20 * S).horizon_s
    assert.is_true(horizon > 20 and horizon < 80, "horizon " .. horizon)
    assert.is_true(s:stats(200 * S).horizon_s > 1e5)
  end)

  it("is not that yet with 50,000 spans a second, in traces of fourteen, held for ten seconds in 64 MiB", function()
    s = support.open({ arena_bytes = 64 * MIB, remembered_bytes_max = 8 * MIB }, false, function() return false end)
    assert.equal(500000, (s:flood(500000, 14, {})))
    assert.equal(0, number(s:stats().traces_closed[core.CLOSE_EVICTED]))
    -- The rest is for traces that closed, and for the attributes of errors.
    assert.is_true(held() < 62 * MIB, held() / MIB)
  end)

  it("stays whole when any allocation fails", function()
    for n = 1, 60 do
      local before = core.heap_live()
      core.heap_fail_from(n)
      s = support.open({ arena_bytes = MIB })
      if s.err == 0 then
        for i = 1, 120 do
          local admit, t, index = s:put({ trace = i % 3, id = i, payload_bytes = 100, name = "n" .. i }, i)
          if admit == "new" then core.store_hit(s.store, t, i, index) end
          if i % 40 == 0 then core.store_close_oldest(s.store, core.CLOSE_SHUTDOWN, i) end
        end
        core.store_end_request(s.store, 200)
      end
      core.heap_fail_from(0)
      if s.err == 0 then
        assert.not_equal("no memory", (s:put({ trace = 99, id = 999 }, 201)))
        s:run(100 * S)
        core.store_end_request(s.store, 100 * S)
        assert.equal(0, number(s:stats().spans_held))
        assert.is_true(s:stats().arena_bytes_used <= s:stats().symbols_bytes)
      end
      s:close()
      assert.equal(before, core.heap_live())
    end
  end)
end)
