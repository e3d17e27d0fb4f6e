-- Windows and text queries (rules/README.md, Windows and sequences), from the text of a rule to its violations.
local cjson = require("cjson")
local replay = require("spec.replay")

local function one(name, at, more)
  local s = { name = name, id = name .. at, at = at, dur = 0, trace = "t" .. at }
  for key, value in pairs(more or {}) do s[key] = value end
  return replay.span(s)
end

-- Each span in a request of its own, arriving at its end.
local function each(spans)
  local requests = {}
  for i, span in ipairs(spans) do requests[i] = { span } end
  return requests
end

local function run(when, requests, flags)
  local found, status, stderr = replay.run(('rule "r" { when = %s }\n'):format(when), requests, flags)
  if status ~= 0 then error(stderr, 2) end
  return found
end

-- "value at time", for each violation.
local function crossings(when, requests)
  local list = {}
  for i, v in ipairs(run(when, requests)) do
    list[i] = ("%s at %s%s"):format(v.value, v.time, v.estimated and " estimated" or "")
  end
  return list
end

local function at(ms, value, more) return ("%s at %s%s"):format(value, replay.clock(ms), more or "") end

describe("a window", function()
  it("is half-open: (t - D, t]", function()
    assert.same({}, crossings('window("1m"):count():over(1)', each { one("a", 0), one("a", 60000) }))
    assert.same({ at(59999.999999, 2) },
      crossings('window("1m"):count():over(1)', each { one("a", 0), one("a", 59999.999999) }))
  end)

  it("counts spans at their end", function()
    local spans = { one("a", 0, { dur = 50 }), one("a", 10, { dur = 11 }) }
    assert.same({ at(50, 2) }, crossings('window("30ms"):count():at_least(2)', { spans }))
    assert.same({}, crossings('window("30ms"):count():at_least(2)', { { spans[1], one("a", 15, { dur = 5 }) } }))
  end)

  it("has the groups of equal values, and skips spans that lack one", function()
    local spans = { one("a", 1, { attr = { code = 500 } }), one("a", 2, { attr = { code = "500" } }),
      one("a", 3, { attr = { code = replay.wire { doubleValue = 500 } } }), one("a", 4),
      one("a", 5, { attr = { code = "500.0" } }) }
    local found = run('window("1m"):by("code"):count():over(2)', each(spans))
    assert.equal(1, #found)
    assert.same({ code = "500" }, found[1].group)
    assert.same({ 3, 2 }, { found[1].value, found[1].threshold })
    assert.equal("window", found[1].scope)
    assert.is_nil(found[1].trace_id)
  end)

  it("groups by fields, attributes and the resource, called as the author called them", function()
    local found = run('window("1m"):by("service", "resource.region", "k", "name"):count():over(1)',
      each { one("a", 1, { attr = { k = true }, resource = { region = "eu" } }),
             one("a", 2, { attr = { k = "true" }, resource = { region = "eu" } }) })
    assert.same({ service = "svc", ["resource.region"] = "eu", k = "true", name = "a" }, found[1].group)
  end)

  it("has its own groups beside rules that group by other fields of the same spans", function()
    local lists = { '"k"', '"k"', '"j"', '"j", "k"', '"k", "j"', '"resource.k"', '"name"', '"absent"', '"service"', '"j"' }
    local rules, groups = {}, {}
    for i, by in ipairs(lists) do
      rules[i] = ('rule "r%02d" { when = window("1m"):by(%s):count():over(1) }\n'):format(i, by)
    end
    local more = { attr = { k = 7, j = "x" }, resource = { k = "eu" } }
    local found = replay.run(table.concat(rules), { { one("a", 1, more), one("a", 2, more), one("b", 3, { attr = { j = "y" } }) } })
    for i, v in ipairs(found) do groups[i] = v.rule .. " " .. cjson.encode(v.group):gsub(".*:.*,.*", "two") end
    table.sort(groups)
    assert.same({ 'r01 {"k":"7"}', 'r02 {"k":"7"}', 'r03 {"j":"x"}', "r04 two", "r05 two", 'r06 {"resource.k":"eu"}',
                  'r07 {"name":"a"}', 'r09 {"service":"svc"}', 'r10 {"j":"x"}' }, groups)
  end)

  it("has every aggregate", function()
    local function d(ms, at_ms) return one("a", at_ms, { dur = ms, attr = { n = ms, u = ms % 3 } }) end
    local spans = { d(10, 0), d(20, 100), d(30, 200), d(40, 300) }
    for when, value in pairs {
      ["count():over(3)"] = 4, ["sum('n'):over(99)"] = 100, ["avg('n'):at_least(25)"] = 25,
      ["min('n'):at_most(20)"] = 20, ["max('n'):over(39)"] = 40, ["p(75, 'n'):over(29)"] = 30,
      ["p(100, 'duration'):over('39ms')"] = 40, ["avg('duration'):over(24.9)"] = 25, ["rate():at_least(4)"] = 4,
      ["distinct('u'):at_least(3)"] = 3, ["sum('duration'):over('99ms')"] = 100,
      ["ratio { n = gt(25) }:at_least(0.5)"] = 0.5,
    } do
      local requests = each(spans)
      requests[#requests + 1] = { one("later", 20000) }
      local found = run(('window("1s", { name = "a" }):%s'):format(when), requests)
      assert.equal(value, found[1] and found[1].value, when)
    end
  end)

  it("without a sample is not judged true", function()
    for _, when in ipairs { "avg('n'):under(5)", "min('n'):under(5)", "p(50, 'n'):at_most(5)", "max('n'):over(-5)" } do
      assert.same({}, crossings(('window("1s"):%s'):format(when), each { one("a", 0), one("a", 1),
        one("a", 2, { attr = { n = "x" } }), one("a", 90000) }), when)
    end
  end)

  it("judges spans of one request one by one in order of time", function()
    assert.same({ at(3, 2) }, crossings('window("1m"):count():at_least(2)',
      { { one("a", 5), one("a", 1), one("a", 3) } }))
  end)

  it("crosses once, and re-arms when judged false, or after D in silence", function()
    assert.same({ at(1, 2) }, crossings('window("1s"):count():over(1)', each { one("a", 0), one("a", 1), one("a", 2) }))
    assert.same({ at(1, 2), at(1501, 2) }, crossings('window("1s"):count():over(1)',
      each { one("a", 0), one("a", 1), one("a", 1500), one("a", 1501) }))
    assert.same({ at(0, 1), at(1999, 1) }, crossings('window("1s"):count():over(0)',
      each { one("a", 0), one("a", 999), one("a", 1999) }))
  end)

  it("below a bound is judged when an event has left and lateness has passed, by a timer", function()
    local beat = 'window("1m", { name = "beat" }):count():under(1)'
    local beats = each { one("beat", 0), one("beat", 20000), one("beat", 40000), one("other", 400000) }
    assert.same({ at(100000, 0) }, crossings(beat, beats))
    beats[4] = { one("other", 105000) }
    assert.same({ at(100000, 0) }, crossings(beat, beats))
    beats[4] = { one("other", 104999.999999) }
    assert.same({}, crossings(beat, beats))                  -- not judged past the last arrival
  end)

  it("observes silence of what never came from the first arrival, and of a group from its first event", function()
    assert.same({ at(60000, 0) }, crossings('window("1m", { name = "beat" }):count():under(1)',
      each { one("other", 0), one("other", 90000) }))
    assert.same({}, crossings('window("1m", { name = "beat" }):by("service"):count():under(1)',
      each { one("other", 0), one("other", 90000) }))
  end)

  it("takes what is up to 30 s late, and drops and counts the rest", function()
    local function arriving(ms, span) return { span, at = ms } end
    local when = 'window("2m"):count():over(2)'
    assert.same({ at(100000, 3) }, crossings(when, { arriving(1, one("a", 1)), arriving(100000, one("a", 100000)),
      arriving(120000, one("a", 90000)) }))
    assert.same({}, crossings(when, { arriving(1, one("a", 1)), arriving(100000, one("a", 100000)),
      arriving(120000.000001, one("a", 90000)) }))
    -- Its own spans never make a request late that has no arrival of its own.
    assert.same({ at(100000, 3) }, crossings(when, { { one("a", 1), one("a", 2), one("a", 100000) } }))
  end)

  it("moves what is ahead of the clock", function()
    assert.same({ at(5001, 2) }, crossings('window("1m"):count():over(1)',
      { { one("a", 0), at = 0 }, { one("a", 9999999), at = 1 } }))
  end)

  it("sees late spans of closed traces, and each span once", function()
    local span = { name = "a", id = "x", at = 0, dur = 0, trace = "t" }
    local again = { name = "a", id = "y", at = 20000, dur = 0, trace = "t" }
    assert.same({ at(20000, 2) }, crossings('window("1m"):count():over(1)',
      { { replay.span(span) }, { replay.span(span) }, { replay.span(again) } }))
  end)

  it("waits for its functions, and does not count what throws", function()
    local when = 'window("1m", { name = function(n) if n == "bad" then error("x") end return n ~= "no" end })'
      .. ":count():over(1)"
    assert.same({ at(3, 2) }, crossings(when, { { one("a", 0), one("bad", 1), one("no", 2), one("a", 3) } }))
    assert.same({ at(3, 0.5) }, crossings('window("1m"):ratio(function(s) return s.status == "ERROR" end):over(0.4)'
      .. ":min_samples(2)", { { one("a", 0), one("a", 3, { status = "ERROR" }) } }))
  end)

  it("names the spans of its latest events, in start order, with their traces", function()
    local found = run('window("1m"):count():at_least(3)', each { one("a", 0), one("b", 1), one("c", 2) })
    local names = {}
    for i, s in ipairs(found[1].spans) do names[i] = s.name .. " " .. s.service .. " " .. s.trace_id end
    assert.same({ "a svc " .. replay.trace_id("t0"), "b svc " .. replay.trace_id("t1"),
      "c svc " .. replay.trace_id("t2") }, names)
    assert.equal(3, found[1].span_total)
  end)
end)

describe("sum and count of a name", function()
  local function total(what, span)
    local found = run(('window("1m"):%s:at_least(0.5)'):format(what), { { span } })
    local last = found[#found]
    return last and last.value, last and last.estimated
  end

  it("take the first that applies: a numeric attribute, events, the span's own name", function()
    local events = { { "calls" }, { "calls", 1 }, { "other", 2 } }
    assert.equal(7, total("sum('calls')", one("calls", 0, { attr = { calls = 7 }, events = events })))
    assert.equal(1, total("sum('calls')", one("calls", 0)))
    assert.equal(1, total("count('calls')", one("x", 0, { attr = { calls = 7 } })))
    assert.is_nil(total("sum('calls')", one("x", 0)))
    local found = run('window("1m"):sum("calls"):at_least(2)', { { one("calls", 5, { events = events,
      attr = { calls = "no number" } }) } })
    assert.equal(2, found[1].value)
  end)

  it("find the name with an s more or less, where the exact one is nowhere", function()
    assert.equal(1, total("sum('api_calls')", one("api_call", 0)))
    assert.equal(1, total("sum('api_call')", one("api_calls", 0)))
    assert.is_nil(total("sum('api_calls')", one("api_call", 0, { attr = { api_calls = "text" } })))
  end)

  it("add what the SDK dropped, where all kept events have that name", function()
    local span = one("x", 100, { events = { { "call" }, { "call", 1 } } })
    span.wire.droppedEventsCount = 98
    local found = run('query "sum(calls) > 99 during 1m"', { { span } })
    assert.equal(100, found[1].value)
    assert.is_true(found[1].estimated)
    span = one("x", 100, { events = { { "call" }, { "other", 1 } } })
    span.wire.droppedEventsCount = 98
    assert.same({}, run('query "sum(calls) > 99 during 1m"', { { span } }))
  end)
end)

describe("a baseline", function()
  -- Spans of a chatbot, so many a second from one second on up to another; one request a second.
  local function calls(requests, from, to, rate)
    for second = from, to - 1 do
      local spans = {}
      local n = type(rate) == "function" and rate(second) or rate
      for i = 1, n do
        local start = second * 1000 + math.floor((i - 1) * 1000 / n)
        spans[i] = replay.span { name = "call", id = "s", trace = ("%d %d"):format(second, i), at = start, dur = 0 }
      end
      requests[#requests + 1] = spans
    end
    return requests
  end

  local TIMES = 'window("1m"):by("service"):count():over_baseline { times = 10 }'

  it("of ten times the usual fires within a minute, and says what was normal", function()
    local found = run(TIMES, calls(calls({}, 0, 1800, 1), 1800, 1860, 10))
    assert.equal(1, #found)
    assert.same({ 600, 600, 60, 3 }, { found[1].value, found[1].threshold, found[1].baseline, found[1].spread })
    assert.same({ service = "svc" }, found[1].group)
    assert.same({ 512, "ready", false }, { found[1].baseline_samples, found[1].baseline_state, found[1].baseline_seasonal })
    assert.equal(replay.clock(60000), found[1].baseline_since)
    assert.is_true(found[1].time <= replay.clock(1860000) and found[1].time > replay.clock(1850000), found[1].time)
  end)

  it("is silent at a wobble, and while it learns", function()
    math.randomseed(3)
    assert.same({}, run(TIMES, calls({}, 0, 1800, function() return math.random(4, 6) end)))
    assert.same({}, run(TIMES, calls(calls({}, 0, 600, 1), 600, 660, 12)))
  end)

  it("in sigmas fires on what strays, below too", function()
    local requests = calls(calls({}, 0, 1500, 10), 1500, 1560, 14)
    assert.equal(1, #run('window("1m"):count():over_baseline { sigmas = 4 }', requests))
    requests = calls(calls({}, 0, 1500, 10), 1500, 1580, 5)
    local found = run('window("1m"):count():under_baseline { sigmas = 4 }', requests)
    assert.equal(1, #found)
    assert.is_true(found[1].value <= 600 - 4 * found[1].spread)
  end)

  it("that is wrong is a load error", function()
    for given, said in pairs { ["{}"] = "times or sigmas", ["10"] = "times or sigmas", ["{ times = 1 }"] = "over 1",
                               ["{ sigmas = 0 }"] = "over 0", ["{ times = 2, sigmas = 2 }"] = "times or sigmas", ["{ times = 2, x = 1 }"] = "times or sigmas",
                               ["{ min_normal = 2 }"] = "times or sigmas", ["{ times = 2, min_normal = 0 }"] = "over 0" } do
      local _, status, stderr = replay.run(('rule "r" { when = window("1m"):count():over_baseline(%s) }\n'):format(given), {})
      assert.equal(1, status, given)
      assert.truthy(stderr:find(said, 1, true), given .. "\n" .. stderr)
    end
  end)
end)

describe("what is seen first", function()
  it("has its group, its span and its time, and no value", function()
    local found = run('window("10s"):by("service", "name"):first_seen()', { { one("a", 0) }, { one("a", 9000) }, { one("b", 10000) },
      { one("b", 10001) }, { one("a", 12000, { service = "other" }) } })
    assert.equal(2, #found)
    assert.same({ { service = "svc", name = "b" }, replay.clock(10000), "b", 1 },
      { found[1].group, found[1].time, found[1].spans[1].name, found[1].span_total })
    assert.is_nil(found[1].value)
    assert.same({ service = "other", name = "a" }, found[2].group)
  end)
end)

describe("a text query", function()
  it("has the callers of what it counts, as `parent.service`", function()
    local requests = {}
    for i, caller in ipairs { "shop", "admin", "shop" } do
      requests[i] = { one("GET", i * 10, { service = caller, trace = "call" .. i }),
        one("a", i * 10 + 1, { service = "pay", kind = "SERVER", trace = "call" .. i, parent = "GET" .. i * 10 }) }
    end
    local by = run('query "count() >= 2 during 1m where kind = SERVER by (parent.service, service)"', requests)
    assert.same({ 1, { ["parent.service"] = "shop", service = "pay" }, 2 }, { #by, by[1].group, by[1].value })
    local distinct = run('query "distinct(parent.service) > 1 during 1m by service"', requests)
    assert.same({ 1, { service = "pay" }, 2, replay.clock(21) }, { #distinct, distinct[1].group, distinct[1].value, distinct[1].time })
  end)

  it("means what it says", function()
    local spans = {}
    for i = 1, 4 do
      spans[i] = one("login", i, { service = i % 2 == 0 and "b" or "a", attr = { n = i, ok = i > 2 } })
    end
    for text, value in pairs {
      ["count() > 3 during 10s"] = 4, ["count(login) >= 2 during 10 seconds by (service)"] = 2,
      ["sum(n) >= 10 during 1m"] = 10, ["count() >= 1 during 1m where service = b and n > 2"] = 1,
      ["count() > 1 during 1m where ok = true"] = 2, ["p(50, n) >= 2 during 1m where n != 1"] = 2,
      ["count() >= 2 during 1m where name = 'login' and service = \"a\" by service, name"] = 2,
      ["max(duration) >= 0ms during 1m where status = ok"] = 0,
      ["COUNT(login) >= 2 During 10 seconds WHERE service = a And name = login BY (service)"] = 2,
      ["count() > 1 during 1m where 'By' = 1"] = false,
      ["ratio(n > 2 and service = b) > 0 during 1m where name = login"] = 0.25, ["ratio(ok = true) >= 0.5 during 1m by (service)"] = 0.5,
      ["Ratio(name = login) > 0.9 during 1m"] = 1, ["ratio(status = error) >= 0 during 1m"] = 0,
    } do
      local found = run(("query %q"):format(text), { spans })
      assert.equal(value, found[1] ~= nil and found[1].value, text)
    end
  end)

  it("takes every comparison, and values bare or quoted", function()
    local spans = {}
    for i, value in ipairs { 4, 5, "5.0001", "a b", "during", "/a/b-c.d:e", "inf", "nan", "0x10", true,
                             replay.wire { intValue = "9007199254740992" }, replay.wire { intValue = "9007199254740993" },
                             " 9007199254740995 " } do
      spans[i] = one("x", i, { attr = { k = value } })
    end
    for text, value in pairs {
      ["k = 5"] = 1, ['k = "5"'] = 1, ["k != 5"] = 12, ["k = 9007199254740995"] = 1, ["k >= 5 and k < 6"] = 2, ["k > 5 and k < 6"] = 1, ["k <= 5"] = 2,
      ['k = "a b"'] = 1, ["k = 'during'"] = 1, ["k = /a/b-c.d:e"] = 1, ["k = inf"] = 1, ["k = nan"] = 1, ["k = 0x10"] = 1,
      ["k = true"] = 1, ["k = 9007199254740993"] = 1, ["k = 9007199254740992"] = 1, ["k = absent"] = 0,
    } do
      local found = run(("query %q"):format(("count() >= %d during 1m where %s"):format(math.max(value, 1), text)), { spans })
      assert.equal(value > 0 and value or nil, found[1] and found[1].value, text)
      assert.same({}, run(("query %q"):format(("count() > %d during 1m where %s"):format(value, text)), { spans }), text)
    end
  end)

  it("that is wrong says where, and what was expected", function()
    for text, said in pairs {
      ["sums(x) > 1 during 1m"] = "there is no aggregate `sums`", ["sum(x) > 1"] = "expected `during`",
      ["sum(x) > 1 during"] = "expected a duration", ["sum(x) = 1 during 1m"] = "compared with > >= < <=",
      ["count() > 1 during 1m by"] = "expected a field", ["count() > 1 during 1m where a"] = "expected a comparison",
      ["count() > x during 1m"] = "takes a number", ["count() > 1 during 1x"] = "unknown unit",
      ["count() > 1 during 1m group by x"] = "unknown unit", ["count() > 1 during 1m where a = 'b"] = "not closed",
      ["ratio() > 1 during 1m"] = "expected a field", ["ratio(ok) > 1 during 1m"] = "compares nothing",
      [""] = "expected an aggregate", ["count() > 1 during 1m )"] = "expected the end",
    } do
      local _, status, stderr = replay.run(('rule "r" { when = query %q }\n'):format(text), {})
      assert.equal(1, status, text)
      assert.truthy(stderr:find(said, 1, true), text .. "\n" .. stderr)
      assert.truthy(stderr:find(":1:%d+: error: "), stderr)
    end
  end)
end)

describe("a window that is wrong", function()
  it("is a load error", function()
    for when, said in pairs {
      ['window("1m")'] = "needs an aggregate", ['window("1m"):count()'] = "needs a comparison",
      ['window("1m"):count():over(1):over(2)'] = "one comparison", ['window("1m"):over(1)'] = "compares an aggregate",
      ['window("1m"):count():sum("x"):over(1)'] = "one aggregate", ['window("0s"):count():over(1)'] = "zero",
      ['window("1m"):p(101, "duration"):over(1)'] = "percentile", ['window("1m"):avg("name"):over(1)'] = "no number",
      ['window("1m"):count():over("5s")'] = "takes a number", ['window("1m"):count():under(0)'] = "never hold",
      ['window("1m"):ratio {}:over(1)'] = "between 0 and 1", ['window("1m"):by():count():over(1)'] = "one to 16",
      ['window("1m"):counts():over(1)'] = "a window has no `counts`", ['window("1m"):count():over(1):within("1s")'] = "within",
      ['window("1m"):count():min_samples(0):over(1)'] = "whole number",
      ['window("1m"):first_seen()'] = "needs `by`", ['window("1m"):by("name"):first_seen():over(1)'] = "one comparison",
      ['window("1m"):by("name"):first_seen(1)'] = "takes nothing", ['window("1m"):by("name"):count():first_seen()'] = "one aggregate",
      ['window("1m"):by("name"):min_samples(5):first_seen()'] = "no samples",
      ['window("1m"):by("name"):first_seen():over_baseline { times = 2 }'] = "one comparison",
      ['window("1m"):by("name"):first_sen()'] = "did you mean `first_seen`",
      ['query "first_seen() during 7d by (name)"'] = "no aggregate `first_seen`",
      ['query "count() > 3 during 1h where parent.service = a by (name)"'] = "`parent.service` is another one's",
      ['window("1m"):by("service"):first_seen() * trace.has { name = "a" }'] = "judged by itself",
      ['window("1m"):max("duration"):over("5x")'] = "unknown unit",
    } do
      local _, status, stderr = replay.run(('rule "r" { when = %s }\n'):format(when), {})
      assert.equal(1, status, when)
      assert.truthy(stderr:find(said, 1, true), when .. "\n" .. stderr)
    end
  end)

  it("also where it is used by nothing, or has what only traces have", function()
    local _, status, stderr = replay.run('local w = window("1m"):count():over(1)\nrule "r" { when = {} }\n', {})
    assert.equal(1, status)
    assert.truthy(stderr:find("used by no rule", 1, true), stderr)
    _, status, stderr = replay.run('rule "r" { when = window("1m"):count():over(1), always = trace.has {} }\n', {})
    assert.equal(1, status)
    assert.truthy(stderr:find("`always` needs a trace condition", 1, true), stderr)
  end)
end)
