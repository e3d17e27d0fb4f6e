-- Rules with `late = true` (rules/README.md, Conditions): a trace that closed is judged again when spans come late. Idle is 10 s
-- here and late 60 s, so a trace whose last span came at 0 closes at 10000, and is remembered until 70000.
local replay = require("spec.replay")
local arrival, run, clock = replay.arrival, replay.rule, replay.clock

-- Requests of one trace: { at in ms, spans in short }.
local function trace(...)
  local requests = {}
  for i, r in ipairs { ... } do requests[i] = arrival(r[2], "t", r[1]) end
  return requests
end

-- One rule with late = true: { "moment late|in time" of each violation }.
local function late(when, requests, keys, flags)
  local out = {}
  for i, v in ipairs(run(when, requests, "late = true" .. (keys and ", " .. keys or ""), flags)) do
    out[i] = v.time .. (v.late and " late" or " in time")
  end
  return out
end

describe("a rule with late = true", function()
  it("is judged again on a late span, its time the arrival, its witnesses and its id as ever", function()
    local when = "trace.has(A):followed_by(B)"
    local found = run(when, trace({ 0, "a@0" }, { 12000, "b@5" }), "late = true")
    assert.same({ 1, true, clock(12000) }, { #found, found[1].late, found[1].time })
    assert.equal("a b", replay.witnesses(found[1], "t", { "a", "b" }))
    local in_time = run(when, trace({ 0, "a@0" }, { 100, "b@5" }), "late = true")
    assert.same({ found[1].id, false, clock(15) }, { in_time[1].id, in_time[1].late, in_time[1].time })
    assert.equal(0, #run(when, trace({ 0, "a@0" }, { 12000, "b@5" })), "without late = true")
  end)

  it("fires of a late span alone, whatever was there before", function()
    assert.same({ clock(12000) .. " late" }, late("trace.has(A)", trace({ 0, "x@0" }, { 12000, "a@5" })))
    assert.same({ clock(13000) .. " late" },
      late("trace.has(A):followed_by(B)", trace({ 0, "x@0" }, { 12000, "a@5" }, { 13000, "b@6" })))
    assert.same({ clock(12000) .. " late" }, late("trace.span_count(ge(3))", trace({ 0, "x1@0 x2@0" }, { 12000, "y@0" })))
    assert.same({ clock(12000) .. " late" }, late("trace.duration(gt(900))", trace({ 0, "x@0" }, { 12000, "y@0+901" })))
    assert.same({ clock(12000) .. " late" },
      late("trace.has(A):child(B)", trace({ 0, "a@0 b@1<m" }, { 12000, "m@1" }, { 12000, "b2@1<a" })))
    assert.same({ clock(12000) .. " late" },
      late("trace.has(A):descendant(B)", trace({ 0, "a@0 b@1<m" }, { 12000, "m@1<a" })), "a span that is no hit")
    assert.same({ clock(12000) .. " late" },
      late("trace.satisfies(function(t) return t:count(A) == 2 end)", trace({ 0, "a1@0" }, { 12000, "a2@0" })))
  end)

  it("fires once a trace: at its close, early, or late", function()
    local after = { { 0, "a@0" }, { 12000, "a2@5" }, { 13000, "a3@6" } }
    assert.same({ clock(10) .. " in time" }, late("trace.has(A)", trace(unpack(after))))
    assert.same({ clock(10000) .. " in time" }, late("trace.missing(N)", trace(unpack(after))))
    assert.same({ clock(12000) .. " late" }, late("trace.count(A):over(1)", trace(unpack(after))))
    assert.same({ clock(12000) .. " late" }, late("trace.count(A):over(1) * trace.missing(N)", trace(unpack(after))))
  end)

  it("judges absences again: by what is there when the late span comes", function()
    local when = "trace.has(A) * trace.missing(N)"
    assert.same({ clock(12000) .. " late" }, late(when, trace({ 0, "x@0" }, { 12000, "a@1" })))
    assert.same({}, late(when, trace({ 0, "x@0" }, { 12000, "a@1 n@1" })))
    assert.same({}, late(when, trace({ 0, "n@0" }, { 12000, "a@1" })))
    assert.same({}, late(when, trace({ 0, "x@0" }, { 12000, "n@1" }, { 13000, "a@1" })))
    assert.same({ clock(10000) .. " in time" }, late(when, trace({ 0, "a@0" }, { 12000, "n@1" })), "it stays said")
    assert.same({ clock(12000) .. " late" }, late("trace.has(A)", trace({ 0, "x@0" }, { 12000, "a@1" }), "always = trace.has(F)"))
    assert.same({}, late("trace.has(A)", trace({ 0, "f@0" }, { 12000, "a@1" }), "always = trace.has(F)"))
    assert.same({ clock(12000) .. " late" }, late("trace.count(A):exactly(2)", trace({ 0, "a@0" }, { 12000, "a2@1" })))
    assert.same({}, late("trace.count(A):exactly(2)", trace({ 0, "a@0 a1@0 a3@0" }, { 12000, "a2@1" })))
    assert.same({ clock(12000) .. " late" },
      late("trace.has(A):without_child(B)", trace({ 0, "x@0" }, { 12000, "a@1" })))
  end)

  it("is late from the close on, exactly", function()
    local when = "trace.has(A):followed_by(B)"
    assert.same({ clock(11) .. " in time" }, late(when, trace({ 0, "a@0" }, { 9999.999999, "b@1" })))
    assert.same({ clock(10000) .. " late" }, late(when, trace({ 0, "a@0" }, { 10000, "b@1" })))
  end)

  it("waits for trace.late after the close, which each late span renews and no duplicate does", function()
    local when = "trace.has(A) * trace.has(B)"
    assert.same({ clock(69999.999999) .. " late" }, late(when, trace({ 0, "a@0" }, { 69999.999999, "b@1" })))
    assert.same({}, late(when, trace({ 0, "a@0" }, { 70000, "b@1" })))
    assert.same({ clock(119999.999999) .. " late" },
      late(when, trace({ 0, "a@0" }, { 60000, "x@1" }, { 119999.999999, "b@1" })))
    assert.same({}, late(when, trace({ 0, "a@0" }, { 60000, "x@1" }, { 120000, "b@1" })))
    assert.same({}, late(when, trace({ 0, "a@0" }, { 60000, "a@0" }, { 70000, "b@1" })))
    assert.same({}, late(when, trace({ 0, "a@0" }, { 10000, "b@1" }), nil, "--trace.late=0s"))
  end)

  it("sees a span once, also one that came late twice", function()
    assert.same({}, late("trace.count(A):over(1)", trace({ 0, "a@0" }, { 12000, "a@0" })))
    assert.same({}, late("trace.count(A):over(1)", trace({ 0, "x@0" }, { 12000, "a@0 a@0" }, { 13000, "a@0" })))
    assert.same({ clock(14000) .. " late" },
      late("trace.count(A):over(1)", trace({ 0, "x@0" }, { 12000, "a@0" }, { 13000, "a@0" }, { 14000, "a2@0" })))
  end)

  it("asks functions of late spans", function()
    local when = 'trace.has { name = function(n) return n == "a" end } * trace.missing(N)'
    assert.same({ clock(12000) .. " late" }, late(when, trace({ 0, "x@0" }, { 12000, "a@1" })))
    assert.same({}, late(when, trace({ 0, "x@0" }, { 12000, "y@1" })))
  end)

  it("knows late what the others must not: theirs is what was there at the close", function()
    local rules = [[
      rule "late" { when = trace.count { name = "a" }:over(1), late = true }
      rule "closed" { when = trace.count { name = "a" }:over(1) }
      rule "all" { when = trace.all { name = "a" } }
      rule "two" { when = trace.span_count(eq(2)) }
      rule "even" { when = trace.satisfies(function(t) return t:count { name = "a" } == 2 end) }
      rule "span" { when = { name = "a" } }]]
    local found, count = replay.run(rules, trace({ 0, "a@0" }, { 12000, "a2@1" })), {}
    for _, v in ipairs(found) do count[v.rule] = (count[v.rule] or "") .. (v.late and "L" or "t") end
    assert.same({ late = "L", all = "t", span = "tt" }, count)
  end)

  it("of a trace that trace.max_age cut: absences stay unknown", function()
    local requests = {}
    for i = 0, 37 do requests[i + 1] = arrival(("x%d@%d"):format(i, i), "t", i * 8000) end
    requests[39] = arrival("a@0", "t", 301000)
    assert.same({ clock(301000) .. " late" }, late("trace.has(A)", requests))
    assert.same({}, late("trace.has(A) * trace.missing(N)", requests))
  end)

  it("takes no spans beyond the caps of its trace", function()
    local more = { 12000, "a1@1 a2@1 a3@1 a4@1" }
    assert.same({ clock(12000) .. " late" }, late("trace.count(A):at_least(3)", trace({ 0, "x@0" }, more), nil, "--trace.spans-max=4"))
    assert.same({}, late("trace.count(A):at_least(4)", trace({ 0, "x@0" }, more), nil, "--trace.spans-max=4"))
    assert.same({}, late("trace.count(A):at_least(4)", trace({ 0, "a@0 a1@1 a2@1 a3@1" }), nil, "--trace.spans-max=3"))
  end)

  it("with `complete` waits for the root", function()
    local when = "trace.has(A) * trace.missing(N)"
    assert.same({}, late(when, trace({ 0, "a@0<r" }, { 12000, "x@1<a" }), "complete = true"))
    assert.same({ clock(12000) .. " late" }, late(when, trace({ 0, "a@0<r" }, { 12000, "r@0" }), "complete = true"))
  end)

  it("of a trace id that returns after trace.late judges a new trace", function()
    local found = run("trace.has(A)", trace({ 0, "x@0" }, { 69000, "a@0" }, { 129000, "a2@0" }), "late = true")
    assert.same({ { true, false }, { clock(69000), clock(10) } }, { { found[2].late, found[1].late }, { found[2].time, found[1].time } })
    assert.equal(found[1].id, found[2].id)
  end)

  it("may be in shadow, and off it keeps silent", function()
    local requests = trace({ 0, "x@0" }, { 12000, "a@1" })
    local found = run("trace.has(A)", requests, "late = true, mode = 'shadow'")
    assert.same({ 1, true, true }, { #found, found[1].late, found[1].shadow })
    assert.same({}, late("trace.has(A)", requests, "mode = 'off'"))
    assert.same({}, late("trace.span_count(ge(1))", requests, "mode = 'off'"))
  end)

  it("is a trace rule", function()
    local _, status, stderr = replay.run('rule "r" { when = { name = "a" }, late = true }\n', {})
    assert.equal(1, status)
    assert.truthy(stderr:find("`late` needs a trace condition as `when`", 1, true), stderr)
  end)
end)

-- ---- against a plain definition ------------------------------------------------------------------

-- What is looked at is a prefix of the arrivals: at the close those in time, then one more request each. A late rule
-- fires at the first look whose spans, as a trace of their own, make the same rule without `late` fire.
local CONDITIONS = {
  "trace.has(A):followed_by(B)", "trace.has(A) * trace.missing(N)", "trace.count(A):exactly(2)", "trace.all(A)",
  "trace.count(A):at_most(1) * trace.has(B)", "trace.has(A):child(B)", "trace.has(A):without_child(B)",
  "trace.has(A):not_followed_by(B)", "trace.span_count(between(3, 5))", "trace.duration(gt(40))", "-trace.all(A)",
  "trace.has(A) + trace.missing(B)", "trace.where(A):has(B)", "trace.satisfies(function(t) return t:count(A) > t:count(B) end)",
  "trace.count { name = function(n) return n == 'a' end }:over(1)", "trace.has(A):descendant(B)",
}
local ARRIVALS = { 0, 4000, 15000, 18000, 40000, 60000 }

local function rule_text()
  local text = {}
  for i, when in ipairs(CONDITIONS) do
    local form = 'rule "%s %d" { when = %s%s }\n'
    text[#text + 1] = form:format("plain", i, replay.long(when), "") .. form:format("late", i, replay.long(when), ", late = true")
  end
  return table.concat(text)
end

local function random_span(n, looks)
  local name = ("aabbnx"):sub(math.random(6)):sub(1, 1)
  local span = { id = name .. n, name = name, at = math.random(0, 30), dur = math.random(1, 30) }
  if n > 1 and math.random() < 0.7 then span.parent = looks[math.random(#looks)].id end
  looks[#looks + 1] = span
  return span
end

-- Requests of one trace, and for each look the request of a trace that is all of its spans at once.
local function scenario(name, requests, alone)
  local spans, n = {}, 0
  for k, at in ipairs(ARRIVALS) do
    local request = { at = at, trace = name }
    for _ = 1, math.random(k == 1 and 1 or 0, 2) do
      n = n + 1
      request[#request + 1] = random_span(n, spans)
    end
    if #request > 0 then requests[#requests + 1] = request end
    if #spans > 0 and k > 1 then alone[#alone + 1] = { trace = name .. "/" .. k, at = 0, unpack(spans) } end
  end
end

local function wire(list)
  for i, request in ipairs(list) do
    local spans = { at = request.at }
    for k, s in ipairs(request) do
      spans[k] = replay.span { id = s.id, name = s.name, at = s.at, dur = s.dur, parent = s.parent, trace = request.trace }
    end
    list[i] = spans
  end
  return list
end

-- found[rule][trace id] = the violation
local function by_rule(found)
  local out = {}
  for _, v in ipairs(found) do
    out[v.rule] = out[v.rule] or {}
    assert.is_nil(out[v.rule][v.trace_id], "fired twice: " .. v.rule)
    out[v.rule][v.trace_id] = v
  end
  return out
end

-- { "clock late|in time" } by rule, as the definition says, and as it came.
local function expected(plain, name)
  local fires = false
  for k = 2, #ARRIVALS do
    local at_close = k == 2
    if not fires and plain[replay.trace_id(name .. "/" .. k)] then fires = at_close and "in time" or clock(ARRIVALS[k]) end
  end
  return fires
end

describe("a rule with late = true, on random traces,", function()
  it("fires once, at the first look at which it would have fired without", function()
    math.randomseed(tonumber(os.getenv("SEED")) or 20251013)
    local requests, alone, names = {}, {}, {}
    for i = 1, 60 do
      names[i] = "r" .. i
      scenario(names[i], requests, alone)
    end
    table.sort(requests, function(a, b) return a.at < b.at or a.at == b.at and a.trace < b.trace end)
    local late_found = by_rule((replay.run(rule_text(), wire(requests))))
    local plain_found = by_rule((replay.run(rule_text(), wire(alone))))
    local fired = 0
    for i, when in ipairs(CONDITIONS) do
      for _, name in ipairs(names) do
        local v = (late_found["late " .. i] or {})[replay.trace_id(name)]
        local got = v and (v.late and v.time or "in time")
        local want = expected(plain_found["plain " .. i] or {}, name)
        if got ~= nil or want then
          assert.equal(want, got or false, when .. " of " .. name)
          fired = fired + (got ~= "in time" and 1 or 0)
        end
      end
    end
    assert.truthy(fired > 50, fired)
  end)
end)
