-- Payloads that no rule needs, kept while there is room to spare.
local support = require("spec.core.store_support")
local core, ffi, S, MIB = support.core, support.ffi, support.S, support.MIB

describe("a payload that no rule needs", function()
  local s
  before_each(support.begin)
  after_each(support.finish)

  local function open(limits, needs)
    limits.arena_bytes = limits.arena_bytes or 4 * MIB
    s = support.open(limits, false, needs or function() return false end)
  end

  -- What there is to spare of a trace: { [index of the span] = bytes }, and the order.
  local function spare(t)
    local reader, found, order = ffi.new("struct spare_reader"), {}, {}
    while core.store_spare_next(s.store, t, reader) do
      found[tonumber(reader.span)] = tonumber(reader.n)
      order[#order + 1] = tonumber(reader.span)
    end
    return found, order
  end

  local function used() return tonumber(s:stats().arena_bytes_used) end

  it("is there for who asks, in order of arrival, and the skeleton says that it was shed", function()
    open { spare_bytes_max = 2 * MIB }
    local trace
    for id = 1, 200 do trace = select(2, s:put({ id = id, payload_bytes = id * 7 }, id)) end
    local found, order = spare(trace)
    assert.equal(200, #order)
    for i = 1, 200 do assert.same({ i - 1, #support.field(9, ("p"):rep(i * 7)) }, { order[i], found[i - 1] }) end
    local span = core.store_span(s.store, trace, 5)
    assert.same({ 4, 0 }, { bit.band(span.flags, 4), tonumber(span.payload.len) })
  end)

  it("stands beside those that are needed, which are where they always were", function()
    local n = 0
    open({ spare_bytes_max = 2 * MIB }, function()
      n = n + 1
      return n % 2 == 0
    end)
    local trace
    for id = 1, 10 do trace = select(2, s:put({ id = id, payload_bytes = 100 }, id)) end
    local _, order = spare(trace)
    assert.same({ 0, 2, 4, 6, 8 }, order)
    for i = 0, 9 do assert.equal(i % 2 == 1, core.store_span(s.store, trace, i).payload.len > 0) end
  end)

  it("comes back as it came", function()
    open { spare_bytes_max = 2 * MIB }
    local payload = support.field(9, support.key_value("k", ("\0\255x"):rep(50)))
    local _, trace = s:put({ payload = payload }, 1)
    local reader = ffi.new("struct spare_reader")
    assert.is_true(core.store_spare_next(s.store, trace, reader))
    assert.equal(payload, ffi.string(reader.p, reader.n))
    assert.is_false(core.store_spare_next(s.store, trace, reader))
  end)

  it("is not kept where the store keeps none, past the bound, or when it is very large", function()
    open {}
    local _, trace = s:put({ payload_bytes = 100 }, 1)
    assert.same({}, (spare(trace)))
    s:close()
    open { spare_bytes_max = 2 * MIB }
    trace = select(2, s:put({ payload_bytes = 40000 }, 1))
    assert.same({}, (spare(trace)))
    for id = 1, 3000 do s:put({ trace = 2, id = id, payload_bytes = 1000 }, 1) end
    assert.is_true(used() <= 2 * MIB + 300000)
    assert.equal(0, tonumber(s:stats().spares_shed))
  end)

  it("goes with its trace", function()
    open { spare_bytes_max = 2 * MIB }
    s:put({ trace = 2 }, 0)
    s:run(10 * S)
    local before = used()
    for id = 1, 500 do s:put({ id = id, payload_bytes = 500 }, 11 * S) end
    assert.is_true(used() > 250000)
    s:run(21 * S)
    assert.equal(before, used())
  end)

  it("goes first under pressure, a trace at a time, and nothing is closed meanwhile", function()
    open { arena_bytes = MIB, spare_bytes_max = MIB / 2 }
    for trace = 1, 40 do s:put({ trace = trace, payload_bytes = 8000 }, trace) end
    local n = 40
    while tonumber(s:stats().spares_shed) < 10 do
      n = n + 1
      s:put({ trace = n }, n)
    end
    assert.equal(0, #s.closed)
    assert.equal(10, tonumber(s:stats().spares_shed))
    assert.equal(0, tonumber(s:stats().payloads_shed))
  end)

  it("changes nothing of what is closed, counted and found under pressure", function()
    local function flooded(spare_bytes_max)
      open { arena_bytes = MIB, spare_bytes_max = spare_bytes_max }
      local taken = s:flood(20000, 7, { payload_bytes = 700 })
      local stats = s:stats()
      local out = { taken, tonumber(stats.traces_closed[core.CLOSE_EVICTED]) > 0, tonumber(stats.spans_held) }
      s:close()
      return out
    end
    assert.same({ flooded(0)[1] }, { flooded(MIB / 2)[1] })
  end)
end)
