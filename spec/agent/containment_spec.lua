-- Rules that misbehave, in the real agent: each costs itself, the others' violations are unharmed.
local api = require("spec.agent.api")
local harness = require("spec.agent.harness")
local hostile = require("spec.agent.hostile")
local replay = require("spec.replay")
local span = replay.span

local GOOD = [[
rule "good span" { when = { status = "ERROR" } }
rule "good function" { when = { where = function(s) return s.status == "ERROR" end } }
rule "good trace" { when = trace.has { name = "a" } * trace.has { name = "b" } }
]]

-- Runs the rule beside good ones over three traces: violations of each rule, the log. shell: as harness.start has it.
local function run(rule, shell)
  local agent = assert(harness.start { rules = GOOD .. rule, flags = { "--trace.idle=20ms" }, shell = shell })
  for i = 1, 3 do
    local trace = "t" .. i
    agent:send { { span { name = "a", trace = trace, status = "ERROR", attr = { text = ("a"):rep(40) } },
      span { name = "b", trace = trace } } }
  end
  agent:settle()                     -- a worker that is replaced under a sanitizer is slower than the end has patience for
  local found, totals, status, log = agent:stop()
  local counts = {}
  for _, v in ipairs(found) do counts[v.rule] = (counts[v.rule] or 0) + 1 end
  assert.same({ 3, 3, 3 }, { counts["good span"], counts["good function"], counts["good trace"] })
  assert.same({ 6, 0 }, { totals.evaluated, status })
  return counts, table.concat(log, "\n")
end

describe("a rule that misbehaves", function()
  it("is stopped when it loops, and quarantined after the third time", function()
    local counts, log = run('rule "bad" { when = function(s) while true do end end }')
    assert.is_nil(counts.bad)
    assert.truthy(log:find("stopped", 1, true))
    assert.truthy(log:find("quarantined", 1, true))
  end)

  it("is stopped when a compiled loop never ends", function()
    local counts = run([[rule "bad" { when = function(s) local n = 0 repeat n = n + 1 until n < 0 end }]])
    assert.is_nil(counts.bad)
  end)

  it("is stopped when string.find backtracks", function()
    local counts = run(([[rule "bad" { when = { text = function(v) return v:rep(50):find("%s", 1, false) end } }]])
      :format((".-"):rep(12) .. "b"))
    assert.is_nil(counts.bad)
  end)

  it("is stopped when it eats memory", function()
    local counts, log = run('rule "bad" { when = function(s) local t = {} for i = 1, 1e9 do t[i] = { i } end end }')
    assert.is_nil(counts.bad)
    assert.truthy(log:find("memory", 1, true))
  end)

  it("gets an error, not memory, from a span of an earlier trace", function()
    local counts, log = run('local kept\nrule "bad" { when = function(s) kept = kept or s return kept.name == "a" end }')
    assert.equal(1, counts.bad)
    assert.truthy(log:find("earlier", 1, true))
  end)

  it("costs itself its answer when it throws, and the log says the error", function()
    local counts, log = run('rule "bad" { when = function(s) error("boom " .. s.name) end }')
    assert.is_nil(counts.bad)
    assert.truthy(log:find("boom a", 1, true))
  end)

  it("is contained when it recurses without end, also in a coroutine", function()
    local counts = run([[
      rule "bad" { when = function(s) local function f() return coroutine.wrap(f)() + 1 end return f() end }]])
    assert.is_nil(counts.bad)
  end)
end)

describe("a rule that is true of every span", function()
  local EVERY = 'rule "every" { when = { name = exists }, actions = { log "{span.name}" } }'
  local SPANS = 12000

  it("is written as far as its voice carries, and counted beyond; what others say is whole", function()
    local agent = assert(harness.start { rules = EVERY .. '\nrule "one" { when = { span_id = "7001000000000101" } }' })
    local answer = hostile.post(agent, hostile.spans(SPANS, function(i) return i, i end))
    local page = agent:metrics()
    -- How many that are hangs on how long the machine takes for them: engine_spec has the number, under its own clock.
    local withheld = page['fluo_rule_withheld_lines_total{rule="every",output="violations"}'] or 0
    local log_withheld = page['fluo_rule_withheld_lines_total{rule="every",output="log"}']
    local found, _, _, log = agent:stop()
    local counts, text = { every = 0, one = 0 }, table.concat(log, "\n")
    for _, v in ipairs(found) do counts[v.rule] = counts[v.rule] + 1 end
    local _, logged = text:gsub('"message":"violation"', "")
    assert.same({ 200, SPANS, 1 }, { answer.status, page['fluo_rule_violations_total{rule="every",severity="medium"}'], counts.one })
    assert.equal(SPANS, counts.every + withheld)
    assert.equal(SPANS + 1, logged + log_withheld)          -- the other one logs as well
    assert.is_true(counts.every >= 1000 and log_withheld > 0)
    assert.truthy(text:find('fires more often than is written: the rest is counted","rule":"every","violations":%d+'))
  end)

  it("is counted by its incidents, whether it is written or not", function()
    local OTHER = 'rule "other" { when = { kind = "SERVER" }, group_by = "name" }'
    local agent = assert(harness.start { rules = EVERY .. OTHER, flags = { "--output.violations=none", "--ledger.evidence=none" } })
    local spans, wanted = {}, { ["other/p"] = 2000, ["other/q"] = 2000 }
    for i = 1, 4000 do
      local service = ("abcde"):sub(i % 7, i % 7)                       -- of some there is none
      spans[i] = span { name = i % 2 == 0 and "p" or "q", id = i, trace = "t" .. i % 90, service = service, kind = "SERVER" }
      wanted["every/" .. service] = (wanted["every/" .. service] or 0) + 1
    end
    agent:send { spans }
    local counts, page = {}, nil
    agent:await(function(now)                                           -- what has changed is said once a second
      local _, answer = api.ask(agent, "GET", "incidents")
      local sum = 0
      for _, it in ipairs(answer.incidents) do
        counts[it.rule .. "/" .. (it.group.service or it.group.name or "")] = it.count
        sum = sum + it.count
      end
      page = now
      return sum >= 8000
    end)
    agent:stop()
    assert.same(wanted, counts)
    assert.is_true(page['fluo_rule_withheld_lines_total{rule="every",output="violations"}'] > 0)
  end)

  it("is written whole in replay", function()
    local spans = {}
    for i = 1, 6000 do spans[i] = span { name = "a", trace = "t" .. i } end
    assert.equal(6000, #replay.run(EVERY, { spans }))
  end)
end)

-- What a function may do with what it got, and with what Lua has left it: an answer, an error of its own, or the end
-- of its worker. All three cost the others nothing.
describe("a function that", function()
  local function bad(body) return ('rule "bad" { when = function(s) %s end }'):format(body) end

  for what, body in pairs({
    ["returns its span"] = "return s",
    ["returns an int64"] = "return s.start",
    ["returns what is no number"] = "return 0/0",
    ["returns 20 MB"] = "return ('x'):rep(2e7)",
    ["returns a table that holds itself"] = "local t = {} t.t = t return t",
    ["returns several values"] = "return 1, nil, s",
    ["changes its copy of string"] = "string.format = nil return string.format == nil",
    ["changes the events that it got"] = "s.events[1] = { name = 'mine' } s.events.x = s return true",
    ["recurses to the end of the stack, caught"] = "local function f() return pcall(f) end return f()",
    ["sees what another function left in a table"] = "s.events.seen = (s.events.seen or 0) + 1 return s.events.seen == 1",
  }) do
    it(what .. " has its answer", function() assert.equal(6, run(bad(body)).bad) end)
  end

  for what, row in pairs({
    ["writes to a span"] = { "s.name = 'x' return true", "cannot be changed" },
    ["writes to attributes"] = { "s.attributes.x = 1 return true", "cannot be changed" },
    ["writes to a resource"] = { "s.resource.x = 1 return true", "cannot be changed" },
    ["calculates with a span"] = { "return s + 1", "arithmetic" },
    ["calculates with attributes"] = { "return s.attributes - 8", "arithmetic" },
    ["compares a span with a number"] = { "return s < 3", "compare" },
    ["calls a span"] = { "return s()", "not callable" },
    ["asks a span for an index"] = { "return s[-1]", "no field" },
    ["hands a span to string.rep"] = { "return string.rep(s, 10)", "string expected" },
    ["hands a span to bit.bor"] = { "return bit.bor(s, 1)", "cannot convert" },
    ["walks a span"] = { "for k in pairs(s) do end return true", "table was expected" },
    ["throws nothing"] = { "error()", "threw a nil" },
    ["throws a table"] = { "error({})", "threw a table" },
    ["throws its span"] = { "error(s)", "threw a cdata" },
    ["throws a page of control characters"] = { "error(('\\n\\27[2J'):rep(1e5) .. s.span_id)", "u001b[2J" },
    ["recurses"] = { "local function f() return f() + 1 end return f()", "stack overflow" },
    ["yields"] = { "coroutine.yield(s) return true", "yield" },
    ["resumes itself"] = { "local co co = coroutine.wrap(function() return co() end) return co()", "cannot resume" },
    ["unpacks ten million values"] = { "return #{ unpack({}, 1, 1e7) } > 0", "too many results" },
    ["asks for ten million bytes"] = { "return #{ ('x'):rep(1e7):byte(1, -1) } > 0", "too long" },
    ["sorts by nonsense"] = { "local t = {} for i = 1, 2000 do t[i] = i * 7919 % 2003 end "
      .. "table.sort(t, function() return true end) return true", "invalid order" },
  }) do
    it(what .. " has an error, in one line of the log", function()
      local counts, log = run(bad(row[1]))
      assert.is_nil(counts.bad)
      local line = log:match('[^\n]*"rule":"bad","times":2[^\n]*')
      assert.truthy(line and line:find(row[2], 1, true), log)
      assert.truthy(#line < 1000)
      assert.is_nil(log:find("stopped; the others", 1, true))
    end)
  end

  for what, row in pairs({
    ["loops without a trace to compile"] = { "while true do local f = function() return {} end f() end", "too long" },
    ["loops in pcall"] = { "while true do pcall(error, 'x') end", "too long" },
    ["loops in a coroutine"] = { "coroutine.wrap(function() while true do end end)()", "too long" },
    -- On a small stack, which is full before the time is up, also where the machine is slow.
    ["nests coroutines"] = { "local function f() return coroutine.wrap(f)() end return f()", "the worker died",
      'ulimit -s 1024; exec "$@"' },
    ["asks for a gigabyte"] = { "return #('x'):rep(1e9) > 0", "memory" },
    ["doubles a text"] = { "local x = 'x' while true do x = x .. x end", "memory" },
    ["makes a text of every letter"] = { "return ('x'):rep(1e6):gsub('.', function() return ('y'):rep(1e5) end)", "memory" },
    -- Beside 45 MB, so that they are at the bound before the time is up, also where a sanitizer is slow.
    ["makes coroutines"] = { "local t = {} for i = 1, 45 do t[i] = ('x'):rep(1e6 + i) end "
      .. "for i = 46, 1e7 do t[i] = coroutine.create(error) end", "memory" },
  }) do
    it(what .. " is stopped", function()
      local counts, log = run(bad(row[1]), row[3])
      assert.is_nil(counts.bad)
      local why = log:match('"a rule was stopped[^\n]*"why":"([^"]*)"')
      -- A sanitizer has a lot to say about a stack that is full, and is stopped in the middle of it.
      local wordy = not hostile.weighed and row[2] == "the worker died" and why == "it ran for too long"
      assert.truthy(why and (wordy or why:find(row[2], 1, true)), log)
    end)
  end

  it("throws something else each time fills the log's bounded queue at the most", function()
    local agent = assert(harness.start { rules = GOOD .. bad("error(('x'):rep(5000) .. s.span_id)") })
    for i = 1, 40 do
      local spans = {}
      for k = 1, 50 do spans[k] = span { name = "s" .. k, trace = ("t%d"):format(i), status = "ERROR" } end
      agent:send { spans }
    end
    local violations = 'fluo_rule_violations_total{rule="good %s",severity="medium"}'
    local page = agent:await(function(now) return now[violations:format("function")] == 2000 end)
    local withheld = 0                                       -- who sends fast meets the bound of a voice
    for _, rule in ipairs { "span", "function" } do
      assert.equal(2000, page[violations:format(rule)])
      withheld = withheld + (page[('fluo_rule_withheld_lines_total{rule="good %s",output="violations"}'):format(rule)] or 0)
    end
    local found, totals = agent:stop()
    assert.same({ 4000, 2000 }, { #found + withheld, totals.evaluated })
  end)
end)

-- Whatever kind of function it is. `x` is what it is called with.
describe("in every function that a rule can have", function()
  local CALLBACKS = {
    span = "{ where = function(x) %s end }", value = "{ text = function(x) %s end }",
    event = '{ event = { name = "e", where = function(x) %s end } }', ["event value"] = "{ event = { n = function(x) %s end } }",
    link = "{ link = { where = function(x) %s end } }", trace = "trace.satisfies(function(x) %s end)",
  }
  local GOOD_BODIES = {
    span = "x.name == 'a'", value = "x == ('a'):rep(40)", event = "x.name == 'e'", ["event value"] = "x == 1",
    link = "x.name == nil and #x.trace_id == 32", trace = "x.root.name == 'a'",
  }
  local KINDS = 6

  -- One trace that closes in its time, before a bad rule for each kind and a good one behind it: how often each thing was said of
  -- the bad ones, and the violations of these.
  local function try(body, shared)
    local rules = { shared or "", 'rule "closed" { when = trace.has { name = "a" } * trace.missing { name = "never" } }' }
    for kind, text in pairs(CALLBACKS) do
      rules[#rules + 1] = ('rule "bad %s" { when = %s }'):format(kind, text:format(body))
      rules[#rules + 1] = ('rule "good %s" { when = %s }'):format(kind, text:format("return " .. GOOD_BODIES[kind]))
    end
    local agent = assert(harness.start { rules = table.concat(rules, "\n"), flags = { "--trace.idle=1s" } })
    agent:send { { span { name = "a", trace = "t", attr = { text = ("a"):rep(40) }, events = { { "e", 1, { n = 1 } } },
      links = { { "u", "u" } } } } }
    agent:read_log(function(line) return line:find('"rule":"closed"', 1, true) end)
    agent:settle()
    local found, totals, status, log = agent:stop()
    assert.same({ 1, 0 }, { totals.evaluated, status })
    local good, bad, stopped, threw = 0, 0, {}, {}
    for _, v in ipairs(found) do
      if v.rule:find("^good") then good = good + 1 elseif v.rule:find("^bad") then bad = bad + 1 end
    end
    for _, line in ipairs(log) do
      local rule = line:match('"rule":"bad ([^"]*)"')
      if rule and line:find("was stopped", 1, true) then stopped[#stopped + 1] = rule end
      if rule and line:find("raised an error", 1, true) then threw[#threw + 1] = rule end
    end
    assert.equal(KINDS, good, table.concat(log, "\n"))
    return { bad = bad, stopped = #stopped, threw = #threw }
  end

  for what, row in pairs({
    ["loops, interpreted"] = { "while true do local f = function() return {} end f() end", { bad = 0, stopped = KINDS, threw = 0 } },
    ["loops, compiled"] = { "local n = 0 repeat n = n + 1 until n < 0", { bad = 0, stopped = KINDS, threw = 0 } },
    ["lets string.find backtrack"] = { "return (('a'):rep(60)):find(('.-'):rep(20) .. 'b')", { bad = 0, stopped = KINDS, threw = 0 } },
    ["allocates without end"] = { "local t = {} for i = 1, 1e9 do t[i] = { i } end", { bad = 0, stopped = KINDS, threw = 0 } },
    ["recurses"] = { "local function f() return f() + 1 end return f()", { bad = 0, stopped = 0, threw = KINDS } },
    ["throws"] = { "error('boom')", { bad = 0, stopped = 0, threw = KINDS } },
    ["calls coroutine.wrap on itself"] = { "local co co = coroutine.wrap(function() return co() end) return co()",
      { bad = 0, stopped = 0, threw = KINDS } },
    ["returns nonsense"] = { "local t = {} t.t = t return t, x, 0/0", { bad = KINDS, stopped = 0, threw = 0 } },
    ["hands back what it was called with"] = { "return x", { bad = KINDS, stopped = 0, threw = 0 } },
    ["keeps what it was called with"] = { "kept[#kept + 1] = x return true", { bad = KINDS, stopped = 0, threw = 0 }, "local kept = {}" },
    ["writes to what it got"] = { "x.name = 'mine' return x.name == 'mine'",
      { bad = 2, stopped = 0, threw = KINDS - 2 } },         -- an event or link is a copy of its own
  }) do
    it(what .. ": the others are unharmed", function() assert.same(row[2], try(row[1], row[3])) end)
  end
end)

describe("the study", function()
  it("is replaced when its worker is killed, and nothing is lost", function()
    local agent = assert(harness.start { rules = GOOD })
    for i = 1, 5 do
      replay.shell(("pkill -9 -P %d -f 'worker'"):format(agent.pid))
      agent:send { { span { name = "a", trace = "t" .. i, status = "ERROR" }, span { name = "b", trace = "t" .. i } } }
    end
    local found, totals = agent:stop()
    assert.same({ 15, 10 }, { #found, totals.evaluated })
  end)
end)

describe("a rule that is too slow for its traffic", function()
  it("loses its own answers, and nothing of the others", function()
    local slow = 'rule "slow" { when = function(s) local n = 0 for i = 1, 2e6 do n = bit.bxor(n, i) end return n == 1 end }\n'
    local agent = assert(harness.start { rules = slow .. 'rule "good" { when = trace.has { name = "b" } * '
      .. 'trace.has { name = function(n) return n == "a" end } }' })
    local sent = 0
    local function send(traces)
      local spans = {}
      for i = 1, traces do
        sent = sent + 1
        spans[2 * i - 1] = replay.span { name = "a", id = "a", trace = "trace " .. sent }
        spans[2 * i] = replay.span { name = "b", id = "b", trace = "trace " .. sent }
      end
      agent:send { spans }
    end
    local function judged(page) return page['fluo_rule_violations_total{rule="good",severity="medium"}'] == sent end
    send(1)                                                  -- what an answer takes has to be learnt
    local page = agent:await(judged)
    for _ = 1, 40 do
      send(100)                  -- two questions each: fewer than are given up where the machine itself is slow
      page = agent:await(judged)
    end
    local found, totals, status = agent:stop()
    assert.equal(0, status)
    assert.equal(0, totals.dropped_memory)
    local good = 0
    for _, v in ipairs(found) do good = good + (v.rule == "good" and 1 or 0) end
    assert.equal(sent, good)
    assert.is_true(page.fluo_shed_questions_total > 0)
  end)
end)
