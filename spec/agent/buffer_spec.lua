-- The trace buffer as a sender and a rule author see it: duplicates, late spans, caps, a full buffer. The books are
-- exact after each run (the harness looks) and on /metrics at any moment.
local cjson = require("cjson")
local client = require("spec.agent.client")
local replay = require("spec.replay")
local wire = require("spec.otlp_writer")
local span = replay.span

local function json_of(spans) return cjson.encode(replay.request(spans)) end
local function post(c, body, type)
  local a = client.ask(c, client.request(body, { type = type }))
  assert.equal(200, a.status, a.body)
  return a
end

local DROPPED = { "memory", "duplicate" }
local function balanced(page)
  local dropped = 0
  for name, value in pairs(page) do
    if name:find("^fluo_dropped_spans_total{") then dropped = dropped + value end
  end
  local refused = page['fluo_receiver_refused_spans_total{reason="invalid_id"}']
  assert.equal(page.fluo_receiver_received_spans_total, page.fluo_receiver_accepted_spans_total + refused)
  assert.equal(page.fluo_receiver_accepted_spans_total, page.fluo_evaluated_spans_total + dropped + page.fluo_in_flight_spans)
  for _, reason in ipairs(DROPPED) do assert.truthy(page[('fluo_dropped_spans_total{reason="%s"}'):format(reason)]) end
end

local function count(found, rule)
  local n, last = 0, nil
  for _, violation in ipairs(found) do
    if violation.rule == rule then n, last = n + 1, violation end
  end
  return n, last
end

describe("a span that comes twice", function()
  it("counts once, whatever encodings it comes in, and the first stays", function()
    local trace, id = ("\1"):rep(16), ("\2"):rep(8)
    local protobuf = wire.body { wire.span { trace_id = trace, span_id = id, name = "in protobuf" } }
    local json = json_of { span { name = "in json", trace_id = ("01"):rep(16), span_id = ("02"):rep(8) } }
    local rules = client.ANY .. '\nrule "two" { when = trace.span_count(gt(1)) }'
    for _, order in ipairs { { protobuf, client.PROTOBUF, json, client.JSON, "in protobuf" }, { json, client.JSON, protobuf, client.PROTOBUF, "in json" } } do
      local found, totals = client.with({ rules = rules }, function(agent)
        local c = client.connect(agent)
        post(c, order[1], order[2])
        local a = post(c, order[3], order[4])
        assert.equal(order[4] == client.JSON and "{}" or "", a.body)           -- the sender is not told
        post(c, order[1], order[2])
        balanced(agent:metrics())
      end)
      assert.same({ 1, "in " .. order[5]:sub(4) }, { #found, found[1].spans[1].name })
      assert.same({ 3, 1, 2 }, { totals.received, totals.evaluated, totals.duplicates })
    end
  end)

  it("counts once within one body, and after its trace has closed", function()
    local one = span { name = "a" }
    local found, totals = client.with({ flags = { "--trace.idle=30ms" }, rules = client.ANY .. '\nrule "closed" { when = trace.missing { name = "z" } }' },
      function(agent)
        local c = client.connect(agent)
        post(c, json_of { one, one })
        agent:read_log(function(line) return line:find('"rule":"closed"', 1, true) end)
        post(c, json_of { one })
        balanced(agent:metrics())
      end)
    assert.equal(1, count(found, "any"))
    assert.same({ 3, 1, 2 }, { totals.received, totals.evaluated, totals.duplicates })
  end)
end)

describe("a late span", function()
  it("is seen by span rules and not by trace rules, and is counted", function()
    local rules = client.ANY .. '\nrule "closed" { when = trace.missing { name = "z" } }\nrule "late" { when = trace.has { name = "b" } }'
    local found, totals = client.with({ flags = { "--trace.idle=30ms" }, rules = rules }, function(agent)
      local c = client.connect(agent)
      post(c, json_of { span { name = "a" } })
      agent:read_log(function(line) return line:find('"rule":"closed"', 1, true) end)
      post(c, json_of { span { name = "b" }, span { name = "z" } })
      local page = agent:metrics()
      assert.equal(2, page.fluo_late_spans_total)
      assert.equal(1, page['fluo_closed_traces_total{reason="idle"}'])
      balanced(page)
    end)
    assert.same({ 3, 1, 0 }, { count(found, "any"), (count(found, "closed")), (count(found, "late")) })
    assert.same({ 3, 3 }, { totals.received, totals.evaluated })
  end)

  it("is seen by a rule with late = true, which says so; then nothing of its trace is kept", function()
    local rules = 'rule "late" { when = trace.has { name = "a" } * trace.has { name = "b" }, late = true }\nrule "closed" { when = trace.missing { name = "z" } }'
    local found, totals = client.with({ flags = { "--trace.idle=30ms" }, rules = rules }, function(agent)
      local c = client.connect(agent)
      post(c, json_of { span { name = "a" } })
      agent:read_log(function(line) return line:find('"rule":"closed"', 1, true) end)
      assert.equal(1, agent:metrics().fluo_kept_traces)
      post(c, json_of { span { name = "b" } })
      agent:read_log(function(line) return line:find('"rule":"late"', 1, true) end)
      local page = agent:metrics()
      assert.same({ 0, 0, 1 }, { page.fluo_kept_traces, page.fluo_released_traces_total, page.fluo_late_spans_total })
      balanced(page)
    end)
    local n, violation = count(found, "late")
    assert.same({ 1, true, 2 }, { n, violation.late, #violation.spans })
    assert.same({ 2, 2 }, { totals.received, totals.evaluated })
  end)

  it("after trace.late finds nothing kept, though nothing else happens", function()
    local rules = 'rule "late" { when = trace.has { name = "b" }, late = true }'
    client.with({ flags = { "--trace.idle=20ms", "--trace.late=20ms" }, rules = rules }, function(agent)
      post(client.connect(agent), json_of { span { name = "a" } })
      local tries, page = 0
      repeat
        page, tries = agent:metrics(), tries + 1
      until page.fluo_evaluated_spans_total == 1 and page.fluo_kept_traces == 0 or tries == 1e5
      assert.same({ 1, 0 }, { page.fluo_evaluated_spans_total, page.fluo_kept_traces })
      assert.equal(0, page.fluo_released_traces_total)
    end)
  end)

  it("after trace.late begins a trace of its own", function()
    local rules = 'rule "closed" { when = trace.missing { name = "z" } }'
    local _, totals = client.with({ flags = { "--trace.idle=20ms", "--trace.late=20ms" }, rules = rules }, function(agent)
      local c = client.connect(agent)
      -- The second trace is the clock: when it has been idle, the first has been forgotten.
      for _, trace in ipairs { "first", "second", "first" } do
        post(c, json_of { span { name = "a", trace = trace } })
        agent:read_log(function(line) return line:find('"rule":"closed"', 1, true) end)
      end
      assert.equal(0, agent:metrics().fluo_late_spans_total)
    end)
    assert.same({ 3, 0 }, { totals.evaluated, totals.duplicates })
  end)
end)

describe("a trace is closed as cut, so that an absence in it is unknown,", function()
  local ABSENT = 'rule "absent" { when = trace.missing { name = "z" } }\nrule "here" { when = trace.has { name = "a1" } }'
  -- Whether it was closed for this: where the machine stood still behind its first span, it has been idle.
  local function cut(flags, spans, reason, each)
    local was_idle
    local found, totals = client.with({ flags = flags, rules = ABSENT }, function(agent)
      local c = client.connect(agent)
      if each then
        for _, one in ipairs(spans) do post(c, json_of { one }) end
      else
        post(c, json_of(spans))
      end
      local closed = ('fluo_closed_traces_total{reason="%s"}'):format(reason)
      local idle, unknown = 'fluo_closed_traces_total{reason="idle"}', 'fluo_rule_unknown_total{rule="absent"}'
      local page = agent:await(function(now) return now[idle] > 0 or now[closed] > 0 and now[unknown] > 0 end)
      was_idle = page[idle] > 0
      if not was_idle then assert.same({ 1, 1 }, { page[closed], page[unknown] }) end
      balanced(page)
    end)
    assert.same({ was_idle and 1 or 0, 1 }, { (count(found, "absent")), (count(found, "here")) })
    assert.equal(#spans, totals.evaluated)
    return not was_idle
  end
  local function spans_of(n)
    local spans = {}
    for i = 1, n do spans[i] = span { name = "a" .. i, at = i } end
    return spans
  end

  it("at trace.spans_max, the rest being late", function()
    assert.is_true(cut({ "--trace.spans_max=5" }, spans_of(8), "span_cap"))
    assert.is_true(cut({ "--trace.spans_max=5" }, spans_of(8), "span_cap", true))
  end)

  it("at trace.max_age, though it has not been idle", function()
    local ms, was_cut = 30
    repeat
      ms = ms * 2
      was_cut = cut({ ("--trace.idle=%dms"):format(ms), ("--trace.max_age=%dms"):format(ms) }, spans_of(3), "max_age", true)
    until was_cut or ms > 4000
    assert.is_true(was_cut)
  end)

  it("at trace.bytes_max", function()
    local spans = spans_of(8)
    for i, one in ipairs(spans) do
      one.wire.attributes = { { key = "x", value = { stringValue = ("x"):rep(4000) .. i } } }
    end
    assert.is_true(cut({ "--trace.bytes_max=16KiB" }, spans, "byte_cap", true))
  end)

  it("and at trace.spans_max less one it is whole", function()
    local found = client.with({ flags = { "--trace.spans_max=5", "--trace.idle=20ms" }, rules = ABSENT }, function(agent)
      post(client.connect(agent), json_of(spans_of(4)))
      agent:read_log(function(line) return line:find('"rule":"absent"', 1, true) end)
    end)
    assert.equal(1, (count(found, "absent")))
  end)
end)

describe("a buffer of 1 MiB", function()
  -- A request of 20 traces, a span each: 40 or 80 KB. `lap` makes the traces, `part` the spans in them.
  local function traffic(lap, part, bytes)
    local spans = {}
    for i = 1, 20 do
      spans[i] = wire.span { trace_id = ("%08d%08d"):format(lap, i), span_id = ("%08d"):format(part), name = "a",
        attributes = { x = ("x"):rep(bytes) } }
    end
    return wire.body(spans)
  end

  it("closes the oldest traces as cut, loses nothing where no judgment is awaited, and sees all that comes", function()
    local cut
    local _, totals = client.with({ flags = { "--buffer.bytes_max=1MiB", "--output.violations=none" }, rules = 'rule "any" { when = { x = exists } }' },
      function(agent)
        local c = client.connect(agent)
        for lap = 1, 100 do
          for part = 1, 2 do assert.equal("", post(c, traffic(lap, part, 2000), client.PROTOBUF).body) end
          if lap % 25 == 0 then balanced(agent:metrics()) end
        end
        local page = agent:metrics()
        cut = page['fluo_closed_traces_total{reason="evicted"}']
        assert.truthy(cut > 100, cut)
        assert.equal(2000, cut + page.fluo_open_traces)
        assert.equal(4000, page['fluo_rule_violations_total{rule="any",severity="medium"}'])
        assert.truthy(page.fluo_buffer_used_bytes <= page.fluo_buffer_limit_bytes)
        assert.equal(client.MIB, page.fluo_buffer_limit_bytes)
      end)
    assert.same({ 4000, 4000, 0 }, { totals.received, totals.evaluated, totals.dropped_memory })
  end)

  it("leaves an absence unknown in each trace that it closed", function()
    local rules = 'rule "absent" { when = trace.has { x = exists } * trace.missing { name = "z" } }'
    local found, totals = client.with({ flags = { "--buffer.bytes_max=1MiB" }, rules = rules }, function(agent)
      local c = client.connect(agent)
      local warned = 0
      for lap = 1, 100 do
        local a = post(c, traffic(lap, 1, 2000), client.PROTOBUF)
        if a.body ~= "" then warned = warned + tonumber(a.body:match("spans dropped: (%d+)")) end
      end
      balanced(agent:metrics())
      local page = agent:metrics()
      assert.equal(warned, page['fluo_dropped_spans_total{reason="memory"}'])
      assert.truthy(page['fluo_closed_traces_total{reason="evicted"}'] > 100)
    end)
    assert.equal(0, #found)
    assert.equal(2000, totals.evaluated + totals.dropped_memory)
  end)

  it("gives back attributes that no rule needs first, and keeps the traces whole", function()
    local found, totals = client.with({ flags = { "--buffer.bytes_max=1MiB" }, rules = 'rule "wanted" { when = { name = "wanted" } }' }, function(agent)
      local c = client.connect(agent)
      for part = 1, 30 do assert.equal("", post(c, traffic(1, part, 4000), client.PROTOBUF).body) end
      local page = agent:metrics()
      assert.equal(0, page['fluo_closed_traces_total{reason="evicted"}'])
      assert.equal(20, page.fluo_open_traces)
      balanced(page)
    end)
    assert.equal(0, #found)
    assert.same({ 600, 0 }, { totals.evaluated, totals.dropped_memory })
  end)

  it("drops a span that can never fit, with 200 and a warning that says so, and keeps its neighbours", function()
    local big = wire.span { span_id = ("\1"):rep(8), name = "big", attributes = { x = ("x"):rep(2 * client.MIB) } }
    local good = wire.span { span_id = ("\2"):rep(8), name = "good" }
    local bad = wire.span { trace_id = "" }
    local found, totals = client.with({ flags = { "--buffer.bytes_max=1MiB" } }, function(agent)
      local c = client.connect(agent)
      local a = post(c, wire.body { big, good }, client.PROTOBUF)
      local inside = a.body:match("^\10.(.*)$")
      assert.equal("\18", inside:sub(1, 1))                                    -- no rejected_spans
      assert.truthy(inside:find("spans dropped: 1; the buffer is full (buffer.bytes_max)", 1, true), inside)
      a = post(c, wire.body { bad, big }, client.PROTOBUF)
      inside = a.body:match("^\10.(.*)$")
      assert.truthy(inside:find("\8\1\18", 1, true))
      assert.truthy(inside:find("rejected: 1", 1, true) and inside:find("dropped: 1", 1, true))
      local page = agent:metrics()
      assert.equal(2, page['fluo_dropped_spans_total{reason="memory"}'])
      balanced(page)
    end)
    assert.equal("good", found[#found].spans[1].name)
    assert.same({ 4, 1, 2, 1 }, { totals.received, totals.evaluated, totals.dropped_memory, totals.rejected })
  end)
end)
