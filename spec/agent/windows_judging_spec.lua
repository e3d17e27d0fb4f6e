-- When windows are judged, to the nanosecond: their edges, what comes late or early, what makes them fire again, and
-- what their violations name (rules/README.md, Windows and sequences).
local replay = require("spec.replay")

local count = 0
-- A span without a duration; more: what replay.span takes, and `n`, the attribute.
local function one(at, more)
  count = count + 1
  local s = { name = "op", id = "s", trace = "t" .. count, at = at, dur = 0 }
  for key, value in pairs(more or {}) do s[key] = value end
  if s.n then s.attr = { n = s.n } end
  return replay.span(s)
end

-- Requests: a number is a span at that time; a span a request of its own; else a request as it is.
local function requests_of(list)
  local requests = {}
  for i, x in ipairs(list) do
    if type(x) == "number" then x = one(x) end
    requests[i] = x.wire and { x } or x
  end
  return requests
end

local function late(at, arrival, more) return { one(at, more), at = arrival } end
local function n(at, value) return one(at, { n = value }) end
local function other(at) return one(at, { name = "other", service = "other" }) end

local function run(when, list)
  local found, status, stderr = replay.run(('rule "r" { when = %s }\n'):format(when), requests_of(list))
  if status ~= 0 then error(stderr, 2) end
  return found
end

-- "value at ms" of each violation.
local function told(when, list)
  local texts = {}
  for i, v in ipairs(run(when, list)) do texts[i] = ("%s at %s"):format(v.value, v.time) end
  return texts
end

local function at(ms, value) return ("%s at %s"):format(value, replay.clock(ms)) end

describe("the edges of a window", function()
  it("are those of (t - D, t] for events of spans, at their own times", function()
    local function events(...)
      local list = {}
      for i, ms in ipairs { ... } do list[i] = { "calls", ms } end
      return one(0, { dur = 20000, events = list })
    end
    assert.same({ at(5000, 2) }, told('window("10s"):sum("calls"):over(1)', { events(0, 5000, 11000) }))
    assert.same({}, told('window("10s"):sum("calls"):over(2)', { events(0, 5000, 11000) }))
    assert.same({}, told('window("10s"):sum("calls"):over(1)', { events(0, 10000) }))
    assert.same({ at(9999.999999, 2) }, told('window("10s"):sum("calls"):over(1)', { events(0, 9999.999999) }))
  end)

  it("go by the end of a span", function()
    assert.same({}, told('window("10s"):count():over(1)', { one(0, { dur = 9000 }), one(18000, { dur = 1000 }) }))
    assert.same({ at(18999.999999, 2) },
      told('window("10s"):count():over(1)', { one(0, { dur = 9000 }), one(18000, { dur = 999.999999 }) }))
  end)

  it("bound a rate by D in seconds, and a percentile by the nearest rank", function()
    assert.same({ at(4, 0.5) }, told('window("10s"):rate():at_least(0.5)', { 0, 1, 2, 3, 4 }))
    assert.same({}, told('window("10s"):rate():over(0.5)', { 0, 1, 2, 3, 4 }))
    for q, value in pairs { [0.1] = 1, [50] = 10, [95] = 19, [96] = 20, [100] = 20 } do
      local list = {}
      for i = 1, 20 do list[i] = n(i, 21 - i) end
      assert.same({ at(20, value) }, told(("window('1m'):p(%s, 'n'):at_least(0):min_samples(20)"):format(q), list))
    end
  end)
end)

describe("min_samples", function()
  it("may stand anywhere in the chain", function()
    for _, when in ipairs { 'window("1m"):min_samples(3):by("service"):count():over(1)',
                            'window("1m"):by("service"):min_samples(3):count():over(1)',
                            'window("1m"):by("service"):count():min_samples(3):over(1)',
                            'window("1m"):by("service"):count():over(1):min_samples(3)' } do
      assert.same({ at(2, 3) }, told(when, { 0, 1, 2 }), when)
    end
  end)

  it("leaves what was true as it was, where there are too few to judge", function()
    local list = { n(0, 10), n(1, 10), n(2, 10), n(9990, 0), n(19980, 0), n(19981, 100) }
    assert.same({ at(2, 10) }, told('window("10s"):avg("n"):over(5):min_samples(3)', list))
  end)
end)

describe("what is late", function()
  it("is judged at the newest event's time: what had come and gone by then is not seen", function()
    assert.same({}, told('window("10s"):count():over(2)', { late(0, 0), late(1000, 1000), late(20000, 20000), late(2000, 25000) }))
    assert.same({ at(20000, 3) }, told('window("10s"):count():over(2)',
      { late(15000, 15000), late(20000, 20000), late(10000.000001, 25000) }))
    assert.same({}, told('window("10s"):count():over(2)', { late(15000, 15000), late(20000, 20000), late(10000, 25000) }))
  end)

  it("is so by its span's end, whatever its events' times", function()
    local old = { one(0, { dur = 100000, events = { { "calls", 0 }, { "calls", 100 } } }), at = 130000 }
    assert.same({ at(100, 2) }, told('window("5m"):sum("calls"):over(1)', { late(0, 0), old }))
    old.at = 130000.000001
    assert.same({}, told('window("5m"):sum("calls"):over(1)', { late(0, 0), old }))
  end)

  it("is so by the arrival ahead of a request that has none of its own", function()
    assert.same({ at(200000, 3) }, told('window("5m"):count():over(2)', { { one(0), one(200000), one(100000) } }))
    assert.same({ at(200000, 3) }, told('window("5m"):count():over(2)', { 100000, { one(200000), one(70000) } }))
    assert.same({}, told('window("5m"):count():over(2)', { 100000, { one(200000), one(69999.999999) } }))
  end)
end)

describe("what is ahead of the clock", function()
  it("is moved to 5 s past it, if it is more than that", function()
    assert.same({ at(5000, 1) }, told('window("1m"):count():over(0)', { late(5000, 0) }))
    assert.same({ at(5000, 1) }, told('window("1m"):count():over(0)', { late(5000.000001, 0) }))
    assert.same({}, told('window("1m"):count():over(1)', { late(0, 0), late(900000, 55000) }))
    assert.same({ at(59999.999999, 2) }, told('window("1m"):count():over(1)', { late(0, 0), late(900000, 54999.999999) }))
  end)

  it("is not where there is no later time", function()
    local found = run('window("1m"):count():over(0)', { one(0, { end_ns = "18446744073709551615" }) })
    assert.equal("2554-07-21T23:34:33.709551615Z", found[1].time)
  end)
end)

describe("a crossing", function()
  it("comes again D after the last event that contributes, and not before", function()
    assert.same({ at(0, 10), at(10000, 10) }, told('window("10s"):sum("n"):over(5)', { n(0, 10), 5000, n(10000, 10) }))
    assert.same({ at(0, 10) }, told('window("10s"):sum("n"):over(5)', { n(0, 10), 5000, n(9999.999999, 10) }))
  end)

  it("comes again where it was judged false in between", function()
    assert.same({ at(0, 10), at(2, 304) }, told('window("10s"):avg("n"):over(5)', { n(0, 10), n(1, -98), n(2, 1000) }))
  end)

  it("is each group's own", function()
    local b = { service = "b" }
    local found = run('window("10s"):by("service"):count():over(0)', { 0, one(1, b), 2, one(3, b) })
    assert.same({ "svc", "b" }, { found[1].group.service, found[2].group.service })
    assert.equal(2, #found)
  end)
end)

describe("a lower bound", function()
  local GROUP = 'window("1m", { name = "op" }):by("service"):count():under(1)'
  local ALL = 'window("1m", { name = "op" }):count():%s(%d)'

  it("is judged for the moment when an event has left, once the lateness has passed", function()
    assert.same({ at(60000, 0) }, told(GROUP, { 0, other(65000) }))
    assert.same({}, told(GROUP, { 0, other(64999.999999) }))
    assert.same({ at(60000, 1) }, told(ALL:format("at_most", 1), { 0, 30000, other(65000) }))
    assert.same({}, told(ALL:format("under", 3), { 0, 1000, 2000, 59000, other(64000) }))
  end)

  it("goes by what has arrived by then", function()
    assert.same({}, told(ALL:format("under", 2), { 0, 30000, late(40000, 64000), other(69000) }))
    assert.same({ at(60000, 1) }, told(ALL:format("under", 2), { 0, 30000, late(40000, 65000), other(69000) }))
  end)

  it("is judged of whole windows only: since the first arrival, or a group's first event", function()
    assert.same({ at(110000, 0) }, told(ALL:format("under", 1), { { at = 50000, other(49000) }, other(115000) }))
    assert.same({}, told(ALL:format("under", 1), { { at = 50000, other(49000) }, other(114999.999999) }))
    assert.same({ at(110000, 0) }, told(ALL:format("under", 1), { late(49000, 50000), other(115000) }))
    assert.same({ at(110000, 1) },
      told('window("1m", { name = "op" }):by("service"):count():under(2)', { one(0, { name = "x" }), 50000, 55000, other(300000) }))
    assert.same({ at(100000, 1) },
      told('window("1m", { name = "op" }):by("service"):count():under(3)', { late(50000, 50000), late(40000, 51000), other(200000) }))
  end)

  it("does not come again by silence, but where it was judged false, or had no value", function()
    assert.same({ at(60000, 0) }, told(GROUP, { 0, 200000, other(300000) }))
    assert.same({ at(60000, 0), at(290000, 0) }, told(GROUP, { 0, 200000, 230000, other(300000) }))
    assert.same({ at(60000, 1), at(160000, 1) }, told('window("1m"):by("service"):avg("n"):under(5)',
      { n(0, 1), n(30000, 1), n(100000, 1), n(130000, 1), other(400000) }))
  end)
end)

describe("a violation of a window", function()
  it("has value and threshold in milliseconds where they are durations", function()
    local found = run('window("5m"):p(95, "duration"):over "300ms"', { one(0, { dur = 300.000001 }) })
    assert.same({ 300.000001, 300 }, { found[1].value, found[1].threshold })
    assert.same({}, run('window("5m"):p(95, "duration"):over "300ms"', { one(0, { dur = 300 }) }))
    found = run('window("5m"):sum("duration"):over(1000)', { one(0, { dur = 600 }), one(700, { dur = 400.5 }) })
    assert.same({ 1000.5, 1000 }, { found[1].value, found[1].threshold })
  end)

  it("names the 32 latest spans, and says how many there are", function()
    local list = {}
    for i = 1, 40 do list[i] = one(i, { id = "s" .. i, trace = "k" .. i }) end
    local found = run('window("1m"):count():over(39)', list)
    assert.same({ 40, 32 }, { found[1].span_total, #found[1].spans })
    assert.equal(replay.span_id("k9", "s9"), found[1].spans[1].span_id)
  end)

  it("counts a span of several events once, also when its first has left", function()
    local function events(dropped, ...)
      local list = {}
      for i, ms in ipairs { ... } do list[i] = { "calls", ms } end
      local span = one(0, { dur = 20000, events = list })
      span.wire.droppedEventsCount = dropped
      return span
    end
    for _, case in ipairs { { 1, { { events(nil, 0, 11000, 12000) } }, 1 }, { 50, { { events(98, 0, 1) } }, 1 },
                            { 2, { { events(nil, 0, 11000, 12000), events(nil, 12500) } }, 2 } } do
      local found = run(('window("10s"):sum("calls"):over(%d)'):format(case[1]), case[2])
      assert.same({ case[3], case[3] }, { found[1].span_total, #found[1].spans })
    end
  end)

  it("adds what the SDK dropped at the span's end, and says so only then", function()
    local function span()
      local it = one(0, { dur = 20000, events = { { "calls", 0 }, { "calls", 1 } } })
      it.wire.droppedEventsCount = 98
      return it
    end
    local found = run('window("10s"):sum("calls"):over(50)', { span() })
    assert.same({ 98, replay.clock(20000), true }, { found[1].value, found[1].time, found[1].estimated })
    found = run('window("1m"):count("calls"):over(1)', { span() })
    assert.same({ 2, replay.clock(1), false }, { found[1].value, found[1].time, found[1].estimated })
  end)
end)

describe("keys and numbers of a window", function()
  it("are found under their renamed conventions", function()
    local old, new = { attr = { ["http.status_code"] = 500 } }, { attr = { ["http.response.status_code"] = 500 } }
    local found = run('window("1m"):by("http.status_code"):count():over(1)', { one(0, old), one(1, new) })
    assert.same({ ["http.status_code"] = "500" }, found[1].group)
    assert.same({ at(0, 500) }, told('window("1m"):max("http.status_code"):over(1)', { one(0, new) }))
  end)

  it("are no samples where they are no numbers; a distinct value is one that nothing else equals", function()
    local list = {}
    for i, value in ipairs { 500, "500", replay.wire { doubleValue = 500 }, true, "true", "z" } do
      list[i] = one(i, { attr = { k = value } })
    end
    assert.same({ at(6, 3) }, told('window("1m"):distinct("k"):at_least(3)', list))
    assert.same({ at(3, 500) }, told('window("1m"):avg("k"):over(4):min_samples(3)', list))
  end)

  it("that are distinct are counted exactly however many spans there are", function()
    local spans = {}
    for i = 0, 4999 do spans[i + 1] = one(i, { attr = { k = "u" .. i % 100 } }) end
    assert.same({}, told('window("1m"):distinct("k"):over(100)', { spans }))
    assert.same({ at(99, 100) }, told('window("1m"):distinct("k"):at_least(100)', { spans }))
  end)

  it("that are always the same are that in a percentile, however many spans there are", function()
    local spans = {}
    for i = 0, 4999 do spans[i + 1] = n(i, 300) end
    assert.same({}, told('window("1m"):p(95, "n"):over(300)', { spans }))
    assert.same({}, told('window("1m"):p(95, "n"):over(299):min_samples(5001)', { spans }))
    assert.same({ at(4499, 300) }, told('window("1m"):p(95, "n"):over(299):min_samples(4500)', { spans }))
  end)

  it("go by the exact name first, whatever it is on the span, and then by the one with an s more or less", function()
    local function total(name, more)
      local found = run(('window("1m"):sum(%q):over(0)'):format(name), { one(0, more) })
      return found[1] and found[1].value
    end
    assert.equal(7, total("calls", { attr = { calls = " 7 " } }))
    assert.equal(3, total("calls", { attr = { calls = 3 }, events = { { "calls" } } }))
    assert.equal(3, total("api_calls", { attr = { api_call = 3 } }))
    assert.equal(3, total("api_call", { attr = { api_calls = 3 } }))
    assert.equal(1, total("api_calls", { attr = { api_call = 30 }, events = { { "api_calls" } } }))
    assert.equal(1, total("api_calls", { attr = { api_call = 30 }, name = "api_calls" }))
  end)
end)
