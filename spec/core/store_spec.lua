local support = require("spec.core.store_support")
local core, ffi, S = support.core, support.ffi, support.S
local ROOT, SHED, SERVICE, LASTING = 1, 4, 8, 16

describe("the store", function()
  local s
  before_each(support.begin)
  after_each(support.finish)

  local function number(x) return tonumber(x) end

  describe("writes a span", function()
    it("with everything that its skeleton holds", function()
      s = support.open()
      local resource = support.key_value("service.name", "checkout")
      local _, _, index, span = s:put({ id = 5, parent = 4, start_ns = 100, end_ns = 250, name = "GET /", scope = "sc",
                                        resource = resource, payload_bytes = 300 }, S)
      assert.equal(0, index)
      assert.equal(support.span_id(5), ffi.string(span.span_id, 8))
      assert.equal(support.span_id(4), ffi.string(span.parent_id, 8))
      assert.equal(100, number(span.start_ns))
      assert.equal(250, number(span.end_ns))
      assert.equal("GET /", s:text(span.name))
      assert.equal(resource, s:text(span.resource))
      assert.equal("checkout", s:text(span.service))
      assert.equal("sc", s:text(span.scope))
      assert.equal(support.field(9, ("p"):rep(300)), s:text(span.payload))
      assert.same({ 2, 1, SERVICE + LASTING }, { span.kind, span.status, span.flags })
    end)

    it("without its payload where nobody needs that, which is asked when the rest is written", function()
      local asked = {}
      s = support.open({ trace_bytes_max = 900 }, false, function(_, k)
        asked[#asked + 1] = s:text(k.name)
        return s:text(k.name) == "kept"
      end)
      local _, _, _, kept = s:put { id = 1, name = "kept", payload_bytes = 300 }
      local used = number(s:stats().arena_bytes_used)
      local _, _, _, left = s:put { id = 2, parent = 9, name = "left", payload_bytes = 600 }
      assert.same({ "kept", "left" }, asked)
      assert.same({ 303, 0, SHED + LASTING }, { kept.payload.len, left.payload.len, left.flags })
      assert.is_true(number(s:stats().arena_bytes_used) < used + 600)
      assert.equal(0, number(s:stats().payloads_shed))
      -- The cap of bytes is about what came.
      assert.equal("late", (s:put { id = 3 }))
      assert.equal("byte_cap", s.closed[1].reason)
    end)

    it("and has a service's name in one place for all its resources", function()
      s = support.open()
      local service = support.key_value("service.name", "x")
      local _, _, _, one = s:put({ id = 1, resource = support.key_value("a", "b") .. service })
      local _, _, _, other = s:put({ id = 2, resource = support.key_value("a", "c") .. service })
      assert.are_not.equal(one.resource.off, other.resource.off)
      assert.equal(one.service.off, other.service.off)
    end)

    it("and takes the service's name from within the resource where there is no room for it", function()
      local resource = support.key_value("service.name", "x")
      local table_bytes = support.ffi.sizeof("struct table_segment") + support.ffi.sizeof("void *")
      s = support.open({ symbols_bytes_max = table_bytes + 256 })        -- a table, and one block
      s:put({ trace = 1, name = ("n"):rep(256 - #resource), payload_bytes = 10 }, 1)
      local _, _, _, span = s:put({ trace = 2, name = "", resource = resource }, 2)
      assert.is_true(span.service.off > span.resource.off)
      assert.is_true(span.service.off < span.resource.off + span.resource.len)
      assert.equal("x", s:text(span.service))
      assert.equal(ROOT + SERVICE + LASTING, span.flags)
    end)

    it("with what lies there where another request's resource and scope lay", function()
      local trace, index = ffi.new("struct trace *[1]"), ffi.new("uint32_t[1]")
      s = support.open()
      local resource, scope = ffi.new("uint8_t[2]"), ffi.new("uint8_t[2]")
      for id, text in ipairs { "aa", "aa", "bb", "aa" } do
        local span = support.span({ id = id })
        ffi.copy(resource, text, 2)
        ffi.copy(scope, text, 2)
        span.resource, span.scope = { resource, 2 }, { scope, 2 }
        core.store_admit(s.store, span.trace_id, span.span_id, 0, trace)
        local written = core.store_add(s.store, trace[0], span, index)
        assert.same({ text, text }, { s:text(written.resource), s:text(written.scope) })
        if id > 1 then s:end_request(0) end
      end
    end)

    it("whose resource has no service", function()
      s = support.open()
      local _, _, _, span = s:put({ resource = support.key_value("a", "b") })
      assert.same({ ROOT + LASTING, 0 }, { span.flags, span.service.len })
    end)

    for _, case in ipairs({
      { "no parent", {}, 1, 0 }, { "its own parent", { parent = 1 }, 1, 1 }, { "a parent", { parent = 2 }, 0, 0 },
      { "an end before its start", { parent = 2, start_ns = 2, end_ns = 1 }, 2, 0 },
      { "no end", { parent = 2, end_ns = 0 }, 2, 0 },
    }) do
      it("with " .. case[1], function()
        s = support.open()
        local _, _, _, span = s:put(case[2])
        assert.equal(case[3] + LASTING, span.flags)
        assert.equal(case[4], number(s:stats().malformed_spans))
        assert.equal(bit.rshift(case[3], 1), number(s:stats().skewed_spans))
      end)
    end

    it("and remembers the trace's earliest start and latest end", function()
      s = support.open()
      s:put({ id = 1, start_ns = 50, end_ns = 60 })
      local _, t = s:put({ id = 2, start_ns = 70, end_ns = 0 })
      assert.same({ 50, 70 }, { number(t.start_min_ns), number(t.end_max_ns) })
    end)

    it("the same where symbols are refused, sharing the resource within the trace", function()
      s = support.open({ symbols_bytes_max = 0 })
      local resource, first = support.key_value("service.name", ("s"):rep(100)), nil
      for i = 1, 300 do
        local _, _, _, span = s:put({ id = i, name = "name " .. i, resource = resource, scope = "sc" })
        first = first or span.resource.off
        assert.equal(first, span.resource.off)
        assert.equal(SERVICE, bit.band(span.flags, SERVICE + LASTING))
        assert.equal("name " .. i, s:text(span.name))
        assert.equal(("s"):rep(100), s:text(span.service))
      end
      assert.is_true(number(s:stats().symbols_refused) > 0)
    end)

    for _, case in ipairs({ { "take its text", 100 }, { "take the resource but not its text", 3 } }) do
      it("whose service is no string, where the symbols " .. case[1], function()
        local key = support.field(1, "service.name") .. support.field(2, "\24\185\96")    -- int 12345
        local resource = support.field(1, key)
        local name = ("n"):rep(256 - #resource - case[2])
        local table_bytes = support.ffi.sizeof("struct table_segment") + support.ffi.sizeof("void *")
        s = support.open({ symbols_bytes_max = table_bytes + 256 })        -- a table, and one block
        s:put({ trace = 1, name = name, payload_bytes = 10 }, 1)
        core.store_close_oldest(s.store, core.CLOSE_SHUTDOWN, 1)
        for trace = 2, 4 do
          local _, _, _, span = s:put({ trace = trace, name = "x", resource = resource, payload_bytes = 100 }, 2)
          assert.equal("12345", s:text(span.service))
        end
      end)
    end

    it("and finds each again by its index, however many", function()
      local million = 1000000
      s = support.open({ arena_bytes = 128 * support.MIB, trace_bytes_max = 2 ^ 40, trace_spans_max = million })
      jit.on()                              -- nothing calls back yet
      local taken, t = s:flood(million, million, {})
      jit.off()
      assert.equal(million, taken)
      for i = 0, million - 1, 997 do
        assert.equal(i + 1, number(ffi.cast("uint64_t *", core.store_span(s.store, t, i).span_id)[0]))
      end
      s:run(100 * S)
      assert.equal(million, s.closed[1].spans)
    end)

    it("with a payload larger than any block it would choose", function()
      s = support.open()
      local _, _, _, span = s:put({ payload_bytes = 300000 })
      assert.equal(support.field(9, ("p"):rep(300000)), s:text(span.payload))
    end)
  end)

  describe("closes", function()
    it("a trace when it was idle for exactly that long, and not a nanosecond before", function()
      s = support.open()
      s:put({}, 5 * S)
      assert.equal(15 * S, core.store_next_due(s.store))
      assert.equal(0, s:run(15 * S - 1))
      assert.equal(1, s:run(15 * S))
      assert.same({ trace = 1, reason = "idle", cut = false, at = 15 * S, spans = 1, state = 1 }, s.closed[1])
      assert.equal(-1ULL, core.store_next_due(s.store))
    end)

    it("at its due time, however late the clock is", function()
      s = support.open()
      s:put({}, 5 * S)
      s:run(99 * S)
      assert.equal(15 * S, s.closed[1].at)
    end)

    it("before a span that arrives just then, which is late", function()
      s = support.open()
      s:put({ id = 1 }, 0)
      assert.equal("new", (s:put({ id = 2 }, 10 * S - 1)))
      assert.equal("late", (s:put({ id = 3 }, 20 * S - 1)))
      assert.equal(20 * S - 1, s.closed[1].at)
    end)

    it("one that never rests at its greatest age, cut", function()
      s = support.open({ max_age_ns = 30 * S })
      for i = 0, 5 do s:put({ id = i + 1 }, i * 5 * S) end
      assert.equal(30 * S, core.store_next_due(s.store))
      s:run(1000 * S)
      assert.same({ "max_age", true, 30 * S }, { s.closed[1].reason, s.closed[1].cut, s.closed[1].at })
    end)

    for _, case in ipairs({ { 20, "idle", 20 }, { 19, "max_age", 19 }, { 21, "idle", 20 } }) do
      it("by the earlier of both, and by rest at a tie: greatest age " .. case[1], function()
        s = support.open({ max_age_ns = case[1] * S })
        s:put({ id = 1 }, 0)
        s:put({ id = 2 }, 9 * S)
        s:put({ id = 3 }, 10 * S)
        s:run(1000 * S)
        assert.same({ case[2], case[3] * S }, { s.closed[1].reason, s.closed[1].at })
      end)
    end

    it("one a step, the earliest first", function()
      s = support.open({ max_age_ns = 12 * S })
      s:put({ trace = 1, id = 1 }, 0)
      s:put({ trace = 2 }, 1 * S)
      s:put({ trace = 1, id = 2 }, 3 * S)
      s:put({ trace = 3 }, 4 * S)
      s:run(100 * S)
      local order = {}
      for i, c in ipairs(s.closed) do order[i] = ("%d %s %d"):format(c.trace, c.reason, number(c.at / S)) end
      assert.same({ "2 idle 11", "1 max_age 12", "3 idle 14" }, order)
    end)

    it("all at a shutdown, the oldest first", function()
      s = support.open()
      for i = 1, 3 do s:put({ trace = i }, i * S) end
      while core.store_close_oldest(s.store, core.CLOSE_SHUTDOWN, 4 * S) do end
      assert.equal(3, #s.closed)
      for i, c in ipairs(s.closed) do
        assert.same({ i, "shutdown", true, 4 * S }, { c.trace, c.reason, c.cut, c.at })
      end
    end)

    it("a trace at its number of spans when one more comes", function()
      s = support.open({ trace_spans_max = 3 })
      for i = 1, 3 do assert.equal("new", (s:put({ id = i }, i))) end
      assert.equal("duplicate", (s:put({ id = 3 }, 4)))
      assert.equal(0, #s.closed)
      assert.equal("late", (s:put({ id = 4 }, 5)))
      assert.same({ trace = 1, reason = "span_cap", cut = true, at = 5ULL, spans = 3, state = 1 }, s.closed[1])
    end)

    it("a trace that holds its bytes when one more comes", function()
      s = support.open({ trace_bytes_max = 1000 })
      assert.equal("new", (s:put({ id = 1, payload_bytes = 900 }, 1)))
      assert.equal("new", (s:put({ id = 2, payload_bytes = 10 }, 1)))
      assert.equal("late", (s:put({ id = 3 }, 2)))
      assert.equal("byte_cap", s.closed[1].reason)
    end)

    for _, case in ipairs({
      { "none", 0, { 0, 1, 2, 3 } }, { "two spans", 1, { 2, 1 } }, { "three with a tail", 1, { 2, 3, 1, 3, 4 } },
      { "two of two", 2, { 2, 1, 4, 3 } }, { "orphans", 0, { 99, 99 } },
    }) do
      it("and counts each cycle of parents once: " .. case[1], function()
        s = support.open()
        for id, parent in ipairs(case[3]) do s:put({ id = id, parent = parent > 0 and parent or nil }) end
        s:run(100 * S)
        assert.equal(case[2], number(s:stats().malformed_spans))
      end)
    end

    -- How many walks from child to parent meet themselves.
    local function cycles_by_hand(parents)
      local cycles, seen = 0, {}
      for id in pairs(parents) do
        local at = id
        while parents[at] and not seen[at] do
          seen[at] = id
          at = parents[at]
        end
        if parents[at] and seen[at] == id then cycles = cycles + 1 end
      end
      return cycles
    end

    it("as many as a count by hand finds, whatever the order, also where the last bytes of ids are the same", function()
      math.randomseed(7)
      s = support.open()
      local expected = 0
      for trace = 1, 300 do
        local n, step, parents = math.random(40), ({ 1, 64, 256 })[math.random(3)], {}
        for _ = 1, n do
          local id, parent = math.random(n) * step, math.random(n + 3) * step
          if s:put({ trace = trace, id = id, parent = parent }) == "new" then parents[id] = parent end
        end
        expected = expected + cycles_by_hand(parents)
      end
      s:run(100 * S)
      assert.is_true(expected > 100, expected)
      assert.equal(expected, number(s:stats().malformed_spans))
    end)

    it("and does not count a span that is its own parent as a cycle too", function()
      s = support.open()
      s:put({ id = 1, parent = 1 })
      s:run(100 * S)
      assert.equal(1, number(s:stats().malformed_spans))
    end)

    it("and counts a cycle of a thousand spans once", function()
      s = support.open()
      for id = 1, 1000 do s:put({ id = id, parent = id % 1000 + 1 }) end
      s:run(100 * S)
      assert.equal(1, number(s:stats().malformed_spans))
    end)
  end)

  describe("knows a span again", function()
    it("in an open trace, and then does not renew its rest", function()
      s = support.open()
      for i = 1, 50 do s:put({ id = i }, 0) end
      for i = 1, 50 do assert.equal("duplicate", (s:put({ id = i }, 9 * S))) end
      assert.equal(10 * S, core.store_next_due(s.store))
      assert.equal(50, number(s:stats().duplicates))
    end)

    it("in a closed one for as long as it is remembered", function()
      s = support.open()
      for i = 1, 40 do s:put({ id = i }, 0) end
      s:run(10 * S)
      for i = 1, 40 do assert.equal("duplicate", (s:put({ id = i }, 70 * S - 1))) end
      assert.equal("new", (s:put({ id = 1 }, 70 * S)))
    end)

    it("when it came late before", function()
      s = support.open()
      s:put({ id = 1 }, 0)
      s:run(10 * S)
      for i = 2, 30 do assert.equal("late", (s:put({ id = i }, 11 * S))) end
      for i = 1, 30 do assert.equal("duplicate", (s:put({ id = i }, 11 * S))) end
      assert.equal(29, number(s:stats().late_spans))
    end)
  end)

  describe("takes a late span", function()
    it("into a trace of the request, that closes with it", function()
      s = support.open()
      s:put({ id = 1 }, 0)
      s:run(10 * S)
      local _, a = s:put({ id = 2 }, 11 * S)
      local _, b = s:put({ id = 3 }, 11 * S)
      assert.equal(a, b)
      assert.equal(core.TRACE_LATE, a.state)
      core.store_end_request(s.store, 11 * S)
      assert.same({ trace = 1, reason = "late", cut = false, at = 11 * S, spans = 2, state = tonumber(core.TRACE_LATE) }, s.closed[2])
      assert.not_equal("duplicate", (s:put({ id = 4 }, 11 * S)))
    end)

    it("which renews the memory of its trace, and a duplicate does not", function()
      s = support.open()
      s:put({ id = 1 }, 0)
      s:run(10 * S)
      s:put({ id = 2 }, 50 * S)
      s:put({ id = 2 }, 90 * S)
      assert.equal("duplicate", (s:put({ id = 1 }, 110 * S - 1)))
      assert.equal("new", (s:put({ id = 1 }, 110 * S)))
      core.store_end_request(s.store, 110 * S)
    end)
  end)

  describe("keeps a closed trace", function()
    local function kept(limits)
      s = support.open(limits, true)
      s:put({ id = 1 }, 0)
      s:run(10 * S)
    end

    it("whose late spans come to it, and are in flight until it is settled", function()
      kept()
      assert.same({ 0, 1 }, { number(s:stats().spans_held), number(s:stats().traces_kept) })
      local admit, t, index = s:put({ id = 2 }, 11 * S)
      assert.same({ "late", 1, 2 }, { admit, index, t.spans.count })
      assert.same({ 1, 0, 1 }, { number(s:stats().spans_held), number(s:stats().traces_kept), number(s:stats().late_spans) })
      s:end_request(11 * S)
      assert.same({ 0, 1 }, { number(s:stats().spans_held), number(s:stats().traces_kept) })
    end)

    it("until late_ns after its last late span, to the nanosecond", function()
      kept()
      s:put({ id = 2 }, 70 * S - 1)
      s:end_request(70 * S - 1)
      s:run(130 * S - 2)
      assert.equal(0, s.released)
      s:run(130 * S - 1)
      assert.same({ 1, 0, 0 }, { s.released, number(s:stats().traces_kept), number(s:stats().kept_released) })
      assert.equal("new", (s:put({ id = 3 }, 130 * S)))
    end)

    it("or until the first span that begins a new one", function()
      kept()
      assert.equal("new", (s:put({ id = 2 }, 70 * S)))
      assert.equal(1, s.released)
    end)

    it("which knows its spans where their ids were forgotten", function()
      kept { remembered_bytes_max = 5136 }
      for id = 2, 400 do assert.equal("late", (s:put({ id = id }, 11 * S))) end
      assert.is_true(number(s:stats().ids_forgotten) > 0)
      for id = 1, 400 do assert.equal("duplicate", (s:put({ id = id }, 12 * S))) end
      s:end_request(12 * S)
    end)

    it("up to its caps; what is beyond is late by itself", function()
      kept { trace_spans_max = 3 }
      local _, a = s:put({ id = 2 }, 11 * S)
      local _, b = s:put({ id = 3 }, 11 * S)
      assert.equal(a, b)
      local _, c = s:put({ id = 4 }, 11 * S)
      assert.same({ true, false }, { c.state == core.TRACE_LATE, a.kept })
      assert.equal(1, number(s:stats().kept_released))
      s:end_request(11 * S)
      assert.equal(1, s.released)
    end)

    it("that closed by time, not for want of room or at a cap", function()
      s = support.open({ trace_spans_max = 1 }, true)
      s:put({ trace = 1, id = 1 }, 0)
      s:put({ trace = 1, id = 2 }, 0)
      s:put({ trace = 2, id = 1 }, 0)
      core.store_close_oldest(s.store, core.CLOSE_SHUTDOWN, 0)
      s:end_request(0)
      s:put({ trace = 3, id = 1 }, 0)                      -- full
      s:run(10 * S)
      assert.equal(0, number(s:stats().traces_kept))
    end)

    it("at rest where a late span found no memory, and cut", function()
      kept()
      assert.equal("no memory", (s:put({ id = 2, payload_bytes = 2 * support.MIB }, 11 * S)))
      assert.same({ 0, 1 }, { number(s:stats().spans_held), number(s:stats().traces_kept) })
      local admit, t = s:put({ id = 2 }, 12 * S)
      assert.same({ "late", true }, { admit, t.cut })
      s:end_request(12 * S)
    end)

    it("frees it with the store", function()
      kept()
      assert.equal(1, number(s:stats().traces_kept))
    end)
  end)

  describe("remembers within a bound", function()
    it("where the ids of spans go first, and then a span sent again is late", function()
      s = support.open({ remembered_bytes_max = 20000 })
      for trace = 1, 100 do
        for id = 1, 20 do s:put({ trace = trace, id = id }, trace) end
        core.store_close_oldest(s.store, core.CLOSE_SHUTDOWN, trace)
        assert.is_true(number(s:stats().remembered_bytes) <= 20000)
      end
      assert.is_true(number(s:stats().ids_forgotten) > 0)
      assert.equal("late", (s:put({ trace = 1, id = 1 }, 200)))
      assert.equal("duplicate", (s:put({ trace = 100, id = 1 }, 200)))
      core.store_end_request(s.store, 200)
    end)

    it("and then the oldest traces, which begin anew", function()
      s = support.open({ remembered_bytes_max = 20000 })
      for trace = 1, 1000 do
        s:put({ trace = trace }, trace)
        core.store_close_oldest(s.store, core.CLOSE_SHUTDOWN, trace)
        assert.is_true(number(s:stats().remembered_bytes) <= 20000)
      end
      assert.equal("late", (s:put({ trace = 1000, id = 9 }, 1001)))
      assert.equal("new", (s:put({ trace = 1, id = 1 }, 1001)))
      core.store_end_request(s.store, 1001)
    end)

    it("also a single trace with more late spans than fit", function()
      s = support.open({ remembered_bytes_max = 8192 })
      s:put({ id = 1 }, 0)
      s:run(10 * S)
      for id = 2, 2000 do
        assert.equal("late", (s:put({ id = id }, 11 * S)))
        assert.is_true(number(s:stats().remembered_bytes) <= 8192)
      end
      assert.equal("duplicate", (s:put({ id = 2 }, 11 * S)))
      assert.equal("late", (s:put({ id = 2000 }, 11 * S)))
      core.store_end_request(s.store, 11 * S)
    end)

    it("and lets go when the time is over", function()
      s = support.open()
      for trace = 1, 50 do s:put({ trace = trace }, 0) end
      s:run(10 * S)
      local full = number(s:stats().remembered_bytes)
      s:run(70 * S)
      assert.is_true(number(s:stats().remembered_bytes) < full / 2)
    end)
  end)
end)
