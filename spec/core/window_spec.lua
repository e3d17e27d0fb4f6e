local core, ffi = require("spec.support").core("heap", "series", "state", "window")

local COUNT, SUM, AVG, MIN, MAX, QUANTILE, RATE, DISTINCT, RATIO = 0, 1, 2, 3, 4, 5, 6, 7, 8
local GT, GE, LT, LE = 2, 3, 4, 5                                     -- enum fluo_op
local LATENESS = 5000000000
local SECOND = 1000000000

jit.off()                                                             -- C calls back into Lua

describe("a window", function()
  local live, state, windows, crossings, clock

  -- From the header, so that a change of the enums is noticed here.
  it("knows its enums", function()
    for name, value in pairs({ FLUO_AGGREGATE_COUNT = COUNT, FLUO_AGGREGATE_RATIO = RATIO, FLUO_OP_GT = GT,
                               FLUO_OP_LE = LE, FLUO_AGGREGATE_QUANTILE = QUANTILE }) do
      assert.equal(value, tonumber(ffi.C[name]))
    end
  end)

  local on_crossing = ffi.cast("void (*)(void *, const struct window_crossing *)", function(_, c)
    local spans = {}
    for i = 0, c.witnesses_count - 1 do spans[#spans + 1] = c.witnesses[i].span_id[0] end
    crossings[#crossings + 1] = { group = ffi.string(c.group, c.group_bytes), time = tonumber(c.time_ns),
                                  value = c.value, threshold = c.threshold, normal = c.normal.normal,
                                  seasonal = c.normal.seasonal, estimated = c.estimated, witnesses = spans,
                                  spans = tonumber(c.spans), widening = c.widening }
  end)
  local widenings                                                     -- of groups that begin
  local on_begin = ffi.cast("uint32_t (*)(void *, void *, const void *, uint32_t)", function(_, _, group, n)
    return widenings[ffi.string(group, n)] or 0
  end)

  local function all(bytes_max)
    local out = ffi.new("struct state *[1]")
    assert.equal(0, core.state_new(bytes_max or 32 * 1048576, out))
    state = out[0]
  end

  local function open(terms)
    local out, t = ffi.new("struct window *[1]"), ffi.new("struct window_terms")
    t.ns, t.aggregate, t.compare = terms.ns, terms.aggregate or COUNT, terms.compare or GT
    t.quantile, t.threshold, t.samples_min = terms.quantile or 0, terms.threshold or 0, terms.samples_min or 0
    t.normal_min = terms.normal_min or 0
    t.grouped, t.baseline = terms.grouped ~= false, terms.baseline or 0
    local calls = ffi.new("struct window_calls", { on_crossing = on_crossing, widening = widenings and on_begin or nil })
    assert.equal(0, core.window_new(state, t, calls, nil, out))
    windows[#windows + 1] = out[0]
    return out[0]
  end

  local event, witness, key = ffi.new("struct series_event"), ffi.new("struct window_witness"), ffi.new("struct state_key")
  local function take(w, group, time, more)
    more = more or {}
    event.time_ns, event.value, event.hash = time, more.value or 1, more.hash or 0
    event.weight, event.flags = more.weight or 1, more.flags or 4
    witness.time_ns, witness.start_ns, witness.repeats = time, more.start or time, true
    witness.span_id[0] = more.span or 0
    key.bytes, key.n, key.hash = ffi.cast("const char *", group), #group, core.state_hash(state, group, #group)
    return core.window_take(w, key, ffi.new("struct window_known"), event, witness)
  end

  local function step(now)
    while core.state_step(state, now) do end
  end

  local function stats() return core.state_stats(state) end

  local function close()
    for _, w in ipairs(windows) do core.window_free(w) end
    core.state_free(state)
    windows, state, crossings = {}, nil, {}
  end

  before_each(function()
    live, windows, crossings, clock, widenings = core.heap_live(), {}, {}, 0, nil
  end)
  after_each(function()
    core.heap_fail_from(0)
    close()
    assert.equal(live, core.heap_live())
  end)

  -- ---- upper comparisons ---------------------------------------------------------------------------

  it("crosses once, and again after it was judged false", function()
    all()
    local w = open({ ns = 100, threshold = 1 })
    for _, t in ipairs({ 1000, 1001, 1002, 1150, 1151 }) do take(w, "g", t) end
    assert.equal(2, #crossings)
    assert.same({ 1001, 1151 }, { crossings[1].time, crossings[2].time })
    assert.equal(2, crossings[1].value)
  end)

  it("re-arms after a window without an event, to the nanosecond", function()
    all()
    local w = open({ ns = 100, compare = GE, threshold = 1 })
    take(w, "g", 1000)
    take(w, "g", 1099)
    assert.equal(1, #crossings)
    take(w, "g", 1199)
    assert.equal(2, #crossings)
  end)

  local function widen(w, group, widening)
    key.bytes, key.n, key.hash = ffi.cast("const char *", group), #group, core.state_hash(state, group, #group)
    core.window_widen(w, key, widening)
  end
  local function burst(w, group, from, n)
    for i = 1, n do take(w, group, from + i) end
  end

  it("is silent within the widened band of a group, and beyond it says the widened limit", function()
    all()
    local w = open({ ns = 100, threshold = 4 })
    burst(w, "g", 1000, 1)
    widen(w, "g", 500)
    widen(w, "unknown", 500)
    burst(w, "g", 2000, 6)
    burst(w, "h", 2000, 5)
    assert.same({ { "h", 4, 0 } }, { { crossings[1].group, crossings[1].threshold, crossings[1].widening } })
    burst(w, "g", 3000, 7)
    assert.same({ "g", 7, 6, 500 }, { crossings[2].group, crossings[2].value, crossings[2].threshold, crossings[2].widening })
    widen(w, "g", 0)
    burst(w, "g", 4000, 5)
    assert.same({ 3, 4, 0 }, { #crossings, crossings[3].threshold, crossings[3].widening })
  end)

  it("asks for the widening of a group when it begins", function()
    all()
    widenings = { g = 1000 }
    local w = open({ ns = 100, threshold = 2 })
    burst(w, "g", 1000, 4)
    assert.equal(0, #crossings)
    burst(w, "g", 2000, 5)
    assert.same({ 4, 1000 }, { crossings[1].threshold, crossings[1].widening })
    burst(w, "h", 2000, 3)
    assert.equal(2, crossings[2].threshold)
  end)

  it("re-arms where the widened limit is not reached any more", function()
    all()
    local w = open({ ns = 100, threshold = 2 })
    burst(w, "g", 1000, 3)
    widen(w, "g", 1000)
    burst(w, "g", 1010, 1)
    widen(w, "g", 0)
    burst(w, "g", 1020, 1)
    assert.equal(2, #crossings)
  end)

  it("that timers judge has its lower limit widened likewise", function()
    all()
    local w = open({ ns = 100 * SECOND, compare = LT, threshold = 4 })
    burst(w, "g", 1000 * SECOND, 3)
    widen(w, "g", 1000)
    for t = 1030, 1400, 40 do take(w, "g", t * SECOND) end
    step(1400 * SECOND)
    assert.equal(0, #crossings)
    step(1600 * SECOND)
    assert.same({ 1, 2, 1000 }, { crossings[1].value, crossings[1].threshold, crossings[1].widening })
  end)

  it("keeps groups apart, by their bytes", function()
    all()
    local w, v = open({ ns = 100, threshold = 1 }), open({ ns = 100, threshold = 1 })
    take(w, "a", 1000)
    take(w, "a\0", 1000)
    take(v, "a", 1000)
    assert.equal(0, #crossings)
    take(w, "a", 1001)
    assert.equal("a", crossings[1].group)
    assert.equal(3, tonumber(stats().groups))
  end)

  it("judges no fewer samples than it is told", function()
    all()
    local w = open({ ns = 100, aggregate = RATIO, threshold = 0.02, samples_min = 3 })
    take(w, "g", 1000, { flags = 5 })
    take(w, "g", 1001)
    assert.equal(0, #crossings)
    take(w, "g", 1002)
    assert.equal(1, #crossings)
    assert.equal(1 / 3, crossings[1].value)
  end)

  it("names the spans of the latest events, each once, in start order, 32 at most", function()
    all()
    local w = open({ ns = 1000, aggregate = SUM, threshold = 99 })
    for i = 1, 50 do
      take(w, "g", 1000 + i, { span = i, start = 1000 - i })
      take(w, "g", 1000 + i, { span = i, start = 1000 - i, flags = 0 })
    end
    assert.equal(100, crossings[1].value)
    assert.equal(32, #crossings[1].witnesses)
    assert.equal(50, crossings[1].witnesses[1])
    assert.equal(19, crossings[1].witnesses[32])
    assert.equal(50, crossings[1].spans)
  end)

  -- ---- lower comparisons ---------------------------------------------------------------------------

  it("is judged below its threshold when an event has left and lateness has passed, no sooner", function()
    all()
    local w = open({ ns = 60 * SECOND, compare = LT, threshold = 1 })
    take(w, "g", 100 * SECOND, { span = 1 })
    local due = 160 * SECOND + LATENESS
    assert.equal(due, tonumber(core.state_next_due(state)))
    step(due - 1)
    assert.equal(0, #crossings)
    step(due)
    assert.equal(160 * SECOND, crossings[1].time)
    assert.equal(0, crossings[1].value)
    step(due + 1000 * SECOND)
    assert.equal(1, #crossings)                              -- silence does not re-arm it
  end)

  it("without groups observes silence from its beginning", function()
    all()
    local w = open({ ns = 60 * SECOND, compare = LE, threshold = 0, grouped = false })
    assert.equal(0, core.window_observe(w, 10 * SECOND))
    assert.equal(0, core.window_observe(w, 20 * SECOND))
    step(75 * SECOND - 1)
    assert.equal(0, #crossings)
    step(75 * SECOND)
    assert.equal(70 * SECOND, crossings[1].time)
  end)

  -- ---- baselines -----------------------------------------------------------------------------------

  local TIMES, SIGMAS = 1, 2
  local NUMERATOR, ONE = 5, 4
  local MINUTE = 60 * SECOND

  -- Events each `every` seconds, the errors among them every so manieth.
  local function flow(w, from, to, every, errors)
    local n = 0
    for t = from * SECOND, to * SECOND - 1, every * SECOND do
      n = n + 1
      step(t)
      take(w, "g", t, { flags = errors and n % errors == 0 and NUMERATOR or ONE })
    end
    step(to * SECOND)
  end

  it("in sigmas sees silence where much is normal, and none where chance makes it", function()
    for every, silence in pairs({ [1] = 1, [20] = 0 }) do
      all()
      local w = open({ ns = MINUTE, compare = LE, baseline = SIGMAS, threshold = 4 })
      flow(w, 0, 3600, every)
      step(3700 * SECOND)
      assert.equal(silence, #crossings, "one each " .. every .. " s")
      close()
    end
  end)

  it("in sigmas takes few errors for chance, and many for errors", function()
    for errors, alarms in pairs({ [40] = 0, [10] = 1 }) do           -- of 200: 1 is normal, then 5 or 20
      all()
      local w = open({ ns = 200 * SECOND, aggregate = RATIO, compare = GE, baseline = SIGMAS, threshold = 4 })
      flow(w, 0, 7200, 1, 200)
      assert.equal(0, #crossings)
      flow(w, 7200, 7400, 1, errors)
      assert.equal(alarms, #crossings, "one error of " .. errors)
      close()
    end
  end)

  it("in sigmas takes a percentile of few for chance, where most are as ever", function()
    for slow, alarms in pairs({ [10] = 0, [2] = 1 }) do              -- one of ten takes five times as long, or every other
      all()
      local w = open({ ns = 100 * SECOND, aggregate = QUANTILE, quantile = 95, compare = GE, baseline = SIGMAS, threshold = 4 })
      for t = 0, 3700 do
        local value = t >= 3600 and t % slow == 0 and 500 or 100 + t % 7
        take(w, "g", t * SECOND, { value = value })
      end
      assert.equal(alarms, #crossings, "one of " .. slow)
      close()
    end
  end)

  it("does not judge groups of which less is normal than it is told", function()
    for least, alarms in pairs({ [601] = 0, [600] = 1 }) do
      all()
      local w = open({ ns = 10 * MINUTE, compare = LE, baseline = TIMES, threshold = 4, normal_min = least })
      flow(w, 0, 7200, 1)
      step(9000 * SECOND)
      assert.equal(alarms, #crossings)
      close()
    end
  end)

  -- Days with an hour of eight times the traffic; `ninth` is what comes instead on the fifth day.
  local function days(w, fifth)
    for day = 0, 4 do
      for hour = 0, 23 do
        local every = hour == 9 and (day == 4 and fifth or 5) or 40
        flow(w, (day * 24 + hour) * 3600, (day * 24 + hour + 1) * 3600, every)
      end
    end
  end

  it("is silent at an hour that comes back, and fires where that is more than ever", function()
    for fifth, alarms in pairs({ [3] = 0, [0.4] = 1 }) do       -- 200 and 1500, where 15 were normal an hour ago
      all()
      local w = open({ ns = 10 * MINUTE, compare = GE, baseline = TIMES, threshold = 10 })
      days(w, fifth)
      assert.equal(alarms, #crossings, "one each " .. fifth .. " s")
      if alarms == 1 then assert.is_true(crossings[1].seasonal and crossings[1].normal > 50) end
      close()
    end
  end)

  -- ---- against keeping everything ------------------------------------------------------------------

  local function aggregate(terms, events, from, to)
    local values, sum, numerator, seen, different = {}, 0, 0, {}, 0
    for _, e in ipairs(events) do
      if e.time > from and e.time <= to then
        values[#values + 1] = e.value
        sum = sum + e.value
        numerator = numerator + (bit.band(e.flags, 1) ~= 0 and 1 or 0)
        if not seen[e.hash] then seen[e.hash], different = true, different + 1 end
      end
    end
    table.sort(values)
    local n = #values
    if n < (terms.samples_min or 0) then return n, "skip" end
    local by = { [COUNT] = n, [SUM] = sum, [RATE] = n / (terms.ns / 1e9), [DISTINCT] = different }
    if n > 0 then
      by[AVG], by[MIN], by[MAX], by[RATIO] = sum / n, values[1], values[n], numerator / n
      by[QUANTILE] = values[math.max(1, math.ceil(terms.quantile / 100 * n))]
    end
    return n, by[terms.aggregate]
  end

  local function holds(terms, value)
    if value == nil then return false end
    if terms.compare == GT then return value > terms.threshold end
    if terms.compare == GE then return value >= terms.threshold end
    if terms.compare == LT then return value < terms.threshold end
    return value <= terms.threshold
  end

  local Oracle = {}
  Oracle.__index = Oracle

  function Oracle:judge(name, t)
    local g = self.groups[name]
    local _, value = aggregate(self.terms, g.events, t - self.terms.ns, t)
    if value == "skip" then return end
    local now = holds(self.terms, value)
    if now and not g.open then self.found[#self.found + 1] = { group = name, time = t, value = value } end
    g.open = now
  end

  function Oracle:take(name, e)
    local g = self.groups[name] or { events = {}, newest = -math.huge, first = math.huge, judged = -math.huge }
    self.groups[name] = g
    g.events[#g.events + 1] = e
    g.first = math.min(g.first, e.time)
    if self.terms.compare >= LT then return end
    if e.time - g.newest >= self.terms.ns then g.open = false end
    g.newest = math.max(g.newest, e.time)
    self:judge(name, g.newest)
  end

  -- All windows that end by now - lateness, in order.
  function Oracle:step(now)
    if self.terms.compare < LT then return end
    for name, g in pairs(self.groups) do
      repeat
        local ending = math.huge
        for _, e in ipairs(g.events) do
          local t = e.time + self.terms.ns
          if t > g.judged and t < ending then ending = t end
        end
        local due = ending + LATENESS <= now
        if due then
          g.judged = ending
          if ending - self.terms.ns >= g.first then self:judge(name, ending) end
        end
      until not due
    end
  end

  local function sorted(list)
    table.sort(list, function(a, b)
      if a.time ~= b.time then return a.time < b.time end
      return a.group < b.group
    end)
    return list
  end

  local function run(terms, seed)
    math.randomseed(seed)
    all()
    local w, oracle = open(terms), setmetatable({ terms = terms, groups = {}, found = {} }, Oracle)
    clock = 1000 * SECOND
    for _ = 1, 150 do
      clock = clock + math.random(0, math.random() < 0.05 and 3 * terms.ns or terms.ns / 6)
      step(clock)
      oracle:step(clock)
      for _ = 1, math.random(0, 3) do
        local late = math.random() < 0.2 and math.random(0, 30 * SECOND) or math.random(0, SECOND / 10)
        local e = { time = clock - late, value = math.random(0, 9), hash = math.random(1, 5),
                    flags = 4 + math.random(0, 1) }
        local name = ("abc"):sub(math.random(1, 3)):sub(1, 1)
        oracle:take(name, e)
        take(w, name, e.time, e)
      end
    end
    step(clock + 10 * terms.ns + LATENESS)
    oracle:step(clock + 10 * terms.ns + LATENESS)
    local got = {}
    for i, c in ipairs(crossings) do got[i] = { group = c.group, time = c.time, value = c.value } end
    assert.same(sorted(oracle.found), sorted(got))
    return #got
  end

  for name, kind in pairs({ count = COUNT, sum = SUM, avg = AVG, min = MIN, max = MAX, p = QUANTILE, rate = RATE,
                            distinct = DISTINCT, ratio = RATIO }) do
    it("crosses as its definition says, by " .. name, function()
      local total = 0
      for seed = 1, 24 do
        local thresholds = { [RATE] = 0.4, [RATIO] = 0.5 }
        total = total + run({ ns = 10 * SECOND, aggregate = kind, compare = GT + seed % 4, quantile = 90,
                              threshold = thresholds[kind] or 3 + seed % 3, samples_min = seed % 5 }, seed)
        close()
      end
      assert.is_true(total > 20)
      all()
    end)
  end

  -- ---- bounds --------------------------------------------------------------------------------------

  it("keeps ten thousand groups, and lets the least recently used go", function()
    all(256 * 1048576)
    local w = open({ ns = 100 * SECOND, threshold = 1 })
    for i = 1, 10000 do take(w, "g" .. i, SECOND + i) end
    take(w, "g1", 2 * SECOND)                                -- crosses; and used lately now
    take(w, "new", 3 * SECOND)                               -- g2 goes
    assert.equal(1, #crossings)
    assert.equal(10000, tonumber(stats().groups))
    assert.equal(1, tonumber(stats().groups_evicted))
    take(w, "g2", 4 * SECOND)
    assert.equal(1, #crossings)
  end)

  it("names fewer spans from half of its bytes on, one always, so that groups can stay", function()
    all(400 * 1000)
    local w = open({ ns = 100 * SECOND, threshold = 40 })
    for time = 1, 41 do
      for i = 1, 200 do take(w, "g" .. i, SECOND + time, { span = time }) end
    end
    assert.equal(0, tonumber(stats().groups_evicted))
    assert.equal(200, #crossings)
    assert.same({ 41, 41 }, { crossings[200].spans, crossings[200].value })
    assert.is_true(#crossings[200].witnesses >= 1 and #crossings[200].witnesses < 32)
    assert.equal(41, crossings[200].witnesses[#crossings[200].witnesses])
  end)

  it("of ever new groups takes what it is allowed and no more", function()
    all(1048576)
    local w = open({ ns = 100 * SECOND, aggregate = QUANTILE, quantile = 95, threshold = 1e9 })
    local most, failed = 0, 0
    for i = 1, 1000000 do
      if take(w, "group " .. i, SECOND + i) ~= 0 then failed = failed + 1 end
      most = math.max(most, tonumber(stats().bytes))
    end
    assert.equal(0, failed)
    assert.is_true(most <= 1048576 and most > 1000000)
    assert.is_true(tonumber(stats().groups) > 1000)
  end)

  it("loses what there is no memory for, counts it, and goes on", function()
    for fail = 1, 12 do
      all()
      local w = open({ ns = 60 * SECOND, compare = fail % 2 == 0 and GT or LT, threshold = 0.5 })
      core.heap_fail_from(fail)
      local lost = 0
      for i = 1, 40 do lost = lost + (take(w, "g" .. i % 7, i * SECOND) ~= 0 and 1 or 0) end
      core.heap_fail_from(0)
      assert.equal(lost, tonumber(stats().lost))
      for i = 41, 80 do assert.equal(0, take(w, "g" .. i % 7, i * SECOND)) end
      step(1000 * SECOND)
      assert.is_true(#crossings > 0)
      close()
    end
    all()
  end)
end)
