-- The engine without a study: span rules, conservation, and every allocation failed in turn.
package.path = "lua/?.lua;" .. package.path
local support = require("spec.support")
local core, ffi = support.core("buffer", "engine", "err", "heap", "otlp", "ruleset", "violation")
local rulefiles = require("spec.lua.rulefiles")
local wire = require("spec.otlp_writer")

local WIDE = ffi.new("struct otlp_limits", { 64, 1e6, 1e6, 1e9 })
local SECOND = 1000000000ULL
local T0 = 1760356800ULL * SECOND

local RULES = [[
rule "error" { when = { status = "ERROR" } }
rule "login" { when = { name = "auth.login" } }
rule "never open" { when = trace.has { name = "not there" } * trace.has { name = "auth.login" } }
]]

local found, withheld, summaries, id_text = {}, 0, nil, ffi.new("char[33]")
local function summary_of(v)
  local b = ffi.new("struct buffer")
  core.buffer_init(b, 4096)
  core.violation_template(v, v.rule.summary, b)
  local text = ffi.string(b.data, b.len)
  core.buffer_deinit(b)
  return text
end
local on_violation = ffi.cast("void (*)(void *, const struct violation *)", function(_, v)
  core.violation_id(v, id_text)
  found[#found + 1] = ffi.string(id_text)
  if v.withheld then withheld = withheld + 1 end
  if summaries then summaries[#found] = summary_of(v) end
end)

local function ruleset(text)
  local bytes = rulefiles.good(text or RULES).ir
  local out, why = ffi.new("struct ruleset *[1]"), ffi.new("char[128]")
  local options = ffi.new("struct ruleset_options", { renamed = true, matches_limit = 10000 })
  assert(core.ruleset_new(bytes, #bytes, options, out, why) == 0, ffi.string(why))
  return out[0]
end

local function engine(rules, arena_bytes, live)
  local out = ffi.new("struct engine *[1]")
  local options = ffi.new("struct engine_options")
  options.store = { arena_bytes or 4194304, 10 * SECOND, 300 * SECOND, 60 * SECOND, 10000, 1048576, 262144, 524288 }
  options.live = live or false
  local calls = ffi.new("struct engine_calls", { on_violation, nil })
  local err = core.engine_new(options, calls, out)
  if err ~= 0 then return nil, err end
  err = core.engine_use(out[0], rules, nil)
  if err ~= 0 then
    core.engine_free(out[0])
    return nil, err
  end
  return out[0]
end

local function receive(e, body, now)
  local receipt = ffi.new("struct engine_receipt")
  local err = core.engine_receive(e, body, #body, nil, now, receipt)
  return err, receipt
end
jit.off(receive)                               -- it calls back into Lua

local function stats(e)
  local s = ffi.new("struct engine_stats")
  core.engine_stats_get(e, s)
  local dropped = s.dropped[0] + s.dropped[1]
  assert(s.received == s.evaluated + s.rejected + dropped + s.in_flight, "spans got lost")
  return s
end

local BODY = support.read("spec/fixtures/otlp/python-1.45.1-httpproto.1.pb")
local summary = ffi.new("struct otlp_summary")
assert(core.otlp_check(BODY, #BODY, WIDE, summary, ffi.new("struct otlp_fault")) == 0)

describe("the engine", function()
  it("evaluates what it received when the traces close, and counts a second delivery as duplicates", function()
    local rules = ruleset()
    local e = assert(engine(rules))
    receive(e, BODY, T0)
    receive(e, BODY, T0 + SECOND)
    assert.equal(summary.spans, tonumber(stats(e).in_flight))
    assert.equal(summary.spans, tonumber(stats(e).dropped[0]))
    while core.engine_step(e, T0 + 100 * SECOND) do stats(e) end
    assert.equal(summary.spans, tonumber(stats(e).evaluated))
    core.engine_free(e)
    core.ruleset_free(rules)
  end)

  it("withholds what is more than is written of one rule, live; tells of it all; and withholds nothing in replay", function()
    local rules = ruleset('rule "every" { when = { trace_id = exists } }')
    for _, case in ipairs { { live = true, 2000, 5000, 7000 }, { live = false, 0, 0, 0 } } do
      local e, seen = assert(engine(rules, 16777216, case.live)), {}
      found, withheld = {}, 0
      for i, now in ipairs { T0, T0, T0 + SECOND } do
        local list = {}
        for k = 1, 3000 do list[k] = wire.span { trace_id = ("%08x%08x"):format(i, k), span_id = ("%08x"):format(k) } end
        receive(e, wire.body(list), now)
        seen[i] = withheld
      end
      assert.same({ 9000, case[1], case[2], case[3] }, { #found, unpack(seen) })
      core.engine_free(e)
    end
    core.ruleset_free(rules)
  end)

  it("says when a request is in, while the traces of its violations are there, whatever became of them meanwhile", function()
    local rules, told, pending = ruleset('rule "first" { when = { name = "a" } }'), {}, {}
    local hit = ffi.cast("void (*)(void *, const struct violation *)", function(_, v)
      assert(v.more)
      pending[#pending + 1] = v.trace
      told[#told + 1] = "first"
    end)
    local finish = ffi.cast("void (*)(void *)", function()
      for _, trace in ipairs(pending) do told[#told + 1] = tonumber(trace.spans.count) end
      told[#told + 1], pending = "end", {}
    end)
    local out, options = ffi.new("struct engine *[1]"), ffi.new("struct engine_options")
    options.store = { 4194304, 10 * SECOND, 300 * SECOND, 60 * SECOND, 3, 1048576, 262144, 524288 }
    assert(core.engine_new(options, ffi.new("struct engine_calls", { on_violation = hit, on_request_end = finish }), out) == 0)
    local e = out[0]
    assert(core.engine_use(e, rules, nil) == 0)
    local function spans(first, n)
      local list = {}
      for i = 1, n do list[i] = wire.span { span_id = ("%08x"):format(first + i), name = i == 1 and "a" or "b" } end
      return wire.body(list)
    end
    receive(e, spans(0, 2), T0)
    receive(e, spans(10, 3), T0)          -- two more than a trace may have, which close it
    receive(e, spans(20, 1), T0 + SECOND)
    assert.same({ "first", 2, "end", "first", 3, "end", "first", 1, "end" }, told)
    core.engine_free(e)
    core.ruleset_free(rules)
    hit:free()
    finish:free()
  end)

  it("never lets time run backwards", function()
    local rules = ruleset()
    local e = assert(engine(rules))
    receive(e, BODY, T0)
    receive(e, BODY, T0 - 50 * SECOND)
    assert.equal(T0 + 10 * SECOND, core.engine_next_due(e))
    core.engine_free(e)
    core.ruleset_free(rules)
  end)

  describe("stores of a span's attributes and events", function()
    -- Whether the payload of a span with attribute k = "v" is there later.
    local function stored(rule, span)
      local rules, t = ruleset(rule), ffi.new("struct trace *[1]")
      local e = assert(engine(rules))
      local _, receipt = receive(e, wire.body { span or wire.span { attributes = { k = "v" } } }, T0)
      assert.equal(1, receipt.accepted)
      core.store_admit(core.engine_store(e), ("\1"):rep(16), ("\3"):rep(8), T0, t)
      local written = core.store_span(core.engine_store(e), t[0], 0)
      local bytes, shed = written.payload.len, bit.band(written.flags, 4)
      core.engine_free(e)
      core.ruleset_free(rules)
      assert.equal(bytes == 0, shed ~= 0)
      return bytes > 0
    end

    for _, case in ipairs {
      { "none, where no rule can read them", 'rule "r" { when = { k = "w" } }', false },
      { "none, where a rule asks for other spans", 'rule "r" { when = trace.has { name = "x" } * trace.missing { k = "w" } }', false },
      { "all, where it is a hit of a span rule", 'rule "r" { when = { k = "v" } }', true },
      { "all, where it is a hit of a trace rule", 'rule "r" { when = trace.missing { k = "v" } }', true },
      { "none, where it is a hit of a window", 'rule "r" { when = window("1m", { k = "v" }):count():over(5) }', false },
      { "all, where a function goes through the trace",
        'rule "r" { when = trace.has { k = "w" } * trace.satisfies(function(t) return t:find { k = "v" } ~= nil end) }', true },
    } do
      it(case[1], function() assert.equal(case[3], stored(case[2])) end)
    end

    it("all or none, live, as its violation is written or only counted; which is told of with the attributes all the same", function()
      local rules, t = ruleset('rule "r" { when = { k = "v" }, summary = "{k}" }'), ffi.new("struct trace *[1]")
      local e, list = assert(engine(rules, 16777216, true)), {}
      for k = 1, 1001 do list[k] = wire.span { span_id = ("%08d"):format(k), attributes = { k = "v" } } end
      found, withheld, summaries = {}, 0, {}
      receive(e, wire.body(list), T0)
      assert.same({ 1001, 1, "v", "v" }, { #found, withheld, summaries[1], summaries[1001] })
      core.store_admit(core.engine_store(e), ("\1"):rep(16), ("\3"):rep(8), T0, t)
      local function bytes(at) return core.store_span(core.engine_store(e), t[0], at).payload.len end
      assert.same({ true, true, 0 }, { bytes(0) > 0, bytes(999) > 0, bytes(1000) })
      core.engine_free(e)
      core.ruleset_free(rules)
    end)

    it("all, where it is a hit by what stands in several pieces on the wire", function()
      local span = wire.text(3, "state=1") .. wire.span { attributes = { k = "v" } } .. wire.varint_field(6, 2)
        .. wire.text(11, wire.text(2, "event"))
      assert.is_true(stored('rule "r" { when = { k = "v", trace_state = "state=1", event = { name = "event" } } }', span))
      assert.is_false(stored('rule "r" { when = { k = "v", trace_state = "state=1", event = { name = "other" } } }', span))
    end)
  end)

  it("gives the same ids for the same spans", function()
    local runs = {}
    for run = 1, 2 do
      local rules = ruleset()
      local e = assert(engine(rules))
      found = {}
      receive(e, BODY, T0 + run * SECOND)
      runs[run] = found
      core.engine_free(e)
      core.ruleset_free(rules)
    end
    assert.same(runs[1], runs[2])
  end)

  it("survives any allocation failing, keeps its books exact, and leaks nothing", function()
    local rules = ruleset()
    local live = core.heap_live()
    local n, whole = 0, false
    repeat
      n = n + 1
      core.heap_fail_from(n)
      local e = engine(rules)
      if e then
        local err = receive(e, BODY, T0)
        if err == 0 then stats(e) end
        core.heap_fail_from(0)
        while core.engine_step(e, T0 + 100 * SECOND) do stats(e) end
        whole = stats(e).evaluated == summary.spans and stats(e).hits_lost == 0
        assert.equal(0, tonumber(stats(e).in_flight))
        core.engine_free(e)
      end
      core.heap_fail_from(0)
      assert.equal(live, core.heap_live())
    until whole
    assert.truthy(n > 10)
    core.ruleset_free(rules)
  end)

  it("judges a trace by the rules of its first span until it is dropped, and then lets go of them", function()
    local old, new = ruleset(), ruleset('rule "all of them" { when = trace.has { name = "no such" } + trace.span_count(gt(1e6)) }')
    local e = assert(engine(old))
    receive(e, BODY, T0)
    assert.equal(0, core.engine_use(e, new, nil))
    assert.is_false(core.engine_release(e, old))
    assert.is_false(core.engine_release(e, new))
    while core.engine_step(e, T0 + 100 * SECOND) do stats(e) end
    assert.is_true(core.engine_release(e, old))
    core.ruleset_free(old)
    receive(e, BODY, T0 + 200 * SECOND)
    while core.engine_step(e, T0 + 300 * SECOND) do stats(e) end
    core.engine_free(e)
    core.ruleset_free(new)
  end)

  it("counts on under a rule's name, whichever set it is of", function()
    local old, new = ruleset(), ruleset('rule "new" { when = { status = "OK" } }\n' .. RULES)
    local e = assert(engine(old))
    receive(e, BODY, T0)
    local before = core.engine_rule_stats(e, 0).violations
    assert.truthy(before > 0)
    assert.equal(0, core.engine_use(e, new, nil))
    assert.equal(0, tonumber(core.engine_rule_stats(e, 0).violations))
    assert.equal(before, core.engine_rule_stats(e, 1).violations)
    core.engine_count_error(e, old, 0, 2)
    assert.equal(2, tonumber(core.engine_rule_stats(e, 1).errors))
    core.engine_free(e)
    core.ruleset_free(old)
    core.ruleset_free(new)
  end)

  it("stays with the rules that it has where there is no memory for others", function()
    local old, new = ruleset(), ruleset('rule "error" { when = { status = "OK" } }')
    local e = assert(engine(old))
    receive(e, BODY, T0)
    local live, n = core.heap_live(), 0
    repeat
      n = n + 1
      core.heap_fail_from(n)
      local err = core.engine_use(e, new, nil)
      core.heap_fail_from(0)
      if err ~= 0 then assert.equal(live, core.heap_live()) end
    until err == 0
    assert.truthy(n > 3)
    core.engine_free(e)
    core.ruleset_free(old)
    core.ruleset_free(new)
  end)
end)
