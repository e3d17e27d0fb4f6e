-- What rules see across traces, through the engine: reloads, shared state, timers, and every allocation failed in turn.
package.path = "lua/?.lua;" .. package.path
local support = require("spec.support")
local core, ffi = support.core("engine", "err", "heap", "ruleset", "violation")
local rulefiles = require("spec.lua.rulefiles")
local wire = require("spec.otlp_writer")

local SECOND = 1000000000ULL
local T0 = 1760356800ULL * SECOND

jit.off()                                                  -- C calls back into Lua

local found, id_text = {}, ffi.new("char[33]")
local on_violation = ffi.cast("void (*)(void *, const struct violation *)", function(_, v)
  core.violation_id(v, id_text)
  found[#found + 1] = { time = tonumber(v.time_ns - T0), group = ffi.string(v.group, v.group_bytes), value = v.value, id = ffi.string(id_text), witnesses = v.witnesses_count, total = v.witness_total,
                        rule = ffi.string(core.ruleset_text(v.rules, v.rule.name), v.rule.name.len) }
end)

local sets
local function ruleset(text)
  local bytes = rulefiles.good(text).ir
  local out, why = ffi.new("struct ruleset *[1]"), ffi.new("char[128]")
  local options = ffi.new("struct ruleset_options", { renamed = true, matches_limit = 10000 })
  assert(core.ruleset_new(bytes, #bytes, options, out, why) == 0, ffi.string(why))
  sets[#sets + 1] = out[0]
  return out[0]
end

local function engine(state_bytes)
  local out = ffi.new("struct engine *[1]")
  local options = ffi.new("struct engine_options", { state_bytes_max = state_bytes or 1048576, renamed = true })
  options.store = { 4194304, 10 * SECOND, 300 * SECOND, 60 * SECOND, 10000, 1048576, 262144, 524288 }
  local calls = ffi.new("struct engine_calls", { on_violation, nil })
  local err = core.engine_new(options, calls, out)
  return err == 0 and out[0] or nil
end

local count = 0
local function send(e, at, name, key)
  count = count + 1
  local id = ("%016d"):format(count)
  local receipt = ffi.new("struct engine_receipt")
  local start = T0 + at * SECOND
  local body = wire.body({ wire.span { trace_id = id, span_id = id:sub(9), name = name or "a", start_ns = start,
                                       end_ns = start, attributes = { k = key or "x" } } })
  return core.engine_receive(e, body, #body, nil, start, receipt)
end

local function across(e)
  local out = ffi.new("struct engine_across_stats")
  core.engine_across_stats_get(e, out)
  return out
end

local COUNT = 'rule "count" { when = window("1m"):by("k"):count():over(2) }\n'
local STEPS = 'rule "steps" { when = sequence { by = "k", within = "1m", { name = "a" }, { name = "b" } } }\n'
local OTHER = 'rule "other" { when = { name = "other" } }\n'

describe("rules across traces", function()
  local live, e

  before_each(function()
    live, sets, found = core.heap_live(), {}, {}
  end)
  after_each(function()
    core.heap_fail_from(0)
    if e then core.engine_free(e) end
    for _, set in ipairs(sets) do core.ruleset_free(set) end
    e = nil
    assert.equal(live, core.heap_live())
  end)

  -- One request of spans { service, name, kind, error }.
  local function send_all(at, spans)
    local list = {}
    for i, span in ipairs(spans) do
      count = count + 1
      local id = ("%016d"):format(count)
      list[i] = wire.body({ wire.span { trace_id = id, span_id = id:sub(9), name = span[2], kind = span[3],
        start_ns = T0 + at * SECOND, end_ns = T0 + at * SECOND, status = span[4] and 2 or nil } },
        wire.attributes(1, { ["service.name"] = span[1] }))
    end
    local body = table.concat(list)
    assert(core.engine_receive(e, body, #body, nil, T0 + at * SECOND, ffi.new("struct engine_receipt")) == 0)
  end

  it("tell spans of a request apart by all that their rule groups by, and by nothing else", function()
    e = engine()
    local rules, all = "", 3 * 3 * 6 * 2 * 2
    local groups = { ['"service"'] = 3, ['"name"'] = 6, ['"kind"'] = 2, ['"status"'] = 2, ['"service", "name"'] = 18 }
    local expected = {}
    for by, n in pairs(groups) do
      expected[by:gsub('"', "")] = n
      rules = rules .. ("rule '%s' { when = window('1m'):by(%s):count():at_least(%d) }\n"):format(by:gsub('"', ""), by, all / n)
    end
    assert(core.engine_use(e, ruleset(rules), nil) == 0)
    local spans = {}
    for _, service in ipairs { "s", "t", "u" } do
      for _, name in ipairs { "a", "b", "c", "d", "f", "g" } do
        for _, failed in ipairs { false, true } do
          for kind = 2, 3 do spans[#spans + 1] = { service, name, kind, failed } end
        end
      end
    end
    for _ = 1, 3 do send_all(1, spans) end
    local counts = {}
    for _, v in ipairs(found) do counts[v.rule] = (counts[v.rule] or 0) + 1 end
    assert.same(expected, counts)
  end)

  it("tell names apart that there was no room to keep", function()
    e = engine()
    assert(core.engine_use(e, ruleset 'rule "r" { when = window("1m"):by("name"):count():over(0) }', nil) == 0)
    for i = 1, 700 do send(e, 1, ("%04d"):format(i) .. ("x"):rep(1000)) end
    found = {}
    send_all(2, { { "s", ("y"):rep(900) .. "1", 2 }, { "s", ("z"):rep(900) .. "2", 2 }, { "s", ("y"):rep(900) .. "1", 2 } })
    assert.equal(2, #found)
  end)

  it("name the groups of windows that stay crossed, and nothing else stays so", function()
    e = engine()
    local FIRST = 'rule "first" { when = window("1m"):by("k"):first_seen() }\n'
    assert(core.engine_use(e, ruleset(FIRST .. COUNT .. STEPS), nil) == 0)
    for at = 1, 4 do send(e, at) end
    local crossed = {}
    local each = ffi.cast("void (*)(void *, const struct violation *)", function(_, v)
      crossed[#crossed + 1] = ffi.string(core.ruleset_text(v.rules, v.rule.name), v.rule.name.len)
    end)
    core.engine_each_crossed(e, T0 + 5 * SECOND, each, nil)
    each:free()
    assert.same({ "count" }, crossed)
  end)

  it("go on over a reload that leaves their text as it was", function()
    e = engine()
    local old, new = ruleset(COUNT .. STEPS), ruleset(OTHER .. STEPS .. COUNT)
    assert.equal(0, core.engine_use(e, old, nil))
    send(e, 1)
    send(e, 2)
    assert.equal(0, core.engine_use(e, new, nil))
    send(e, 3, "b")
    table.sort(found, function(a, b) return a.rule < b.rule end)
    assert.equal(2, #found)
    assert.same({ 3, "count", "steps" }, { found[1].value, found[1].rule, found[2].rule })
  end)

  it("start afresh where it has changed", function()
    e = engine()
    local old, new = ruleset(COUNT), ruleset((COUNT:gsub("1m", "2m")))
    assert.equal(0, core.engine_use(e, old, nil))
    send(e, 1)
    send(e, 2)
    assert.equal(0, core.engine_use(e, new, nil))
    send(e, 3)
    assert.same({}, found)
    send(e, 4)
    send(e, 5)
    assert.equal(1, #found)
  end)

  it("are reported for by whichever set still has them", function()
    e = engine()
    local first, second, third = ruleset(COUNT), ruleset(COUNT .. OTHER), ruleset(OTHER)
    assert.equal(0, core.engine_use(e, first, nil))
    send(e, 1)                                               -- its trace holds the first set
    assert.equal(0, core.engine_use(e, second, nil))
    assert.equal(0, core.engine_use(e, third, nil))
    assert.is_true(core.engine_release(e, second))
    assert.is_false(core.engine_release(e, first))
    assert.equal(1, tonumber(across(e).groups))
    while core.engine_step(e, T0 + 100 * SECOND) do end
    assert.is_true(core.engine_release(e, first))
    assert.equal(0, tonumber(across(e).groups))
  end)

  it("keep their bound of bytes, and say what went", function()
    e = engine(65536)
    assert.equal(0, core.engine_use(e, ruleset(COUNT), nil))
    for i = 1, 500 do send(e, 1 + i / 1000, "a", "key " .. i) end
    assert.is_true(tonumber(across(e).bytes) <= 65536)
    assert.is_true(tonumber(across(e).groups_evicted) > 100)
  end)

  it("survive any allocation failing: what is lost is counted, and nothing leaks", function()
    local set = ruleset(COUNT .. STEPS .. 'rule "low" { when = window("1s"):count():under(1) }\n')
    local n, whole, before = 0, false, core.heap_live()
    repeat
      n = n + 1
      found = {}
      core.heap_fail_from(n)
      e = engine()
      local used = e and core.engine_use(e, set, nil) == 0
      for i = 1, used and 4 or 0 do send(e, i, i == 4 and "b" or "a") end
      core.heap_fail_from(0)
      if used then
        while core.engine_step(e, T0 + 100 * SECOND) do end
        local stats = ffi.new("struct engine_stats")
        core.engine_stats_get(e, stats)
        assert.equal(stats.received, stats.evaluated + stats.rejected + stats.dropped[0] + stats.dropped[1])
        whole = #found == 3 and across(e).lost_events == 0 and stats.received == 4
      end
      if e then core.engine_free(e) end
      e = nil
      assert.equal(before, core.heap_live())
    until whole
    assert.is_true(n > 20)
  end)

  -- Each resource's spans stand together in a request, their ends in no order, and some ends are equal.
  local function random_request(n)
    local spans, resources = {}, {}
    for i = 1, n do
      count = count + 1
      local id = ("%016d"):format(count)
      spans[i] = { trace_id = id, span_id = ("%08d"):format(math.random(99999999)), end_ns = math.random(n),
        r = math.random(4), k = math.random(2), n = math.random(5), error = math.random(3) == 1,
        renamed = math.random(2) == 1 }
      spans[i].start_ns = math.random(0, spans[i].end_ns)
    end
    table.sort(spans, function(a, b) return a.r < b.r end)
    for _, s in ipairs(spans) do
      local before = resources[#resources]
      if not before or before.r ~= s.r then
        before = { r = s.r, spans = {},
          resource = wire.attributes(1, { ["service.name"] = "s" .. s.r % 2, zone = s.r }) }
        resources[#resources + 1] = before
      end
      before.spans[#before.spans + 1] = wire.span { trace_id = s.trace_id, span_id = s.span_id, name = "a",
        start_ns = T0 + s.start_ns, end_ns = T0 + s.end_ns, status = s.error and 2 or nil,
        attributes = { [s.renamed and "url.full" or "http.url"] = "u" .. s.k, n = s.n } }
    end
    local out = {}
    for _, r in ipairs(resources) do out[#out + 1] = wire.body(r.spans, r.resource) end
    return spans, table.concat(out)
  end

  local function key(...)
    local texts = { ... }
    for i, text in ipairs(texts) do
      texts[i] = ffi.string(ffi.new("uint32_t[1]", #text), 4) .. text
    end
    return table.concat(texts)
  end

  -- Groups are told of one after the other.
  local function in_order(list)
    table.sort(list, function(a, b)
      if a[1] ~= b[1] then return a[1] < b[1] end
      return a[3] < b[3]
    end)
    return list
  end

  -- Every step of a value of a group from false to true: { time, value, group }.
  local function crossings(spans, group_of, add, is_over)
    local groups, out = {}, {}
    table.sort(spans, function(a, b)
      if a.end_ns ~= b.end_ns then return a.end_ns < b.end_ns end
      return a.span_id < b.span_id
    end)
    for _, s in ipairs(spans) do
      local name = group_of(s)
      local group = groups[name] or { samples = 0, sum = 0 }
      groups[name] = group
      group.samples, group.sum = group.samples + 1, group.sum + add(s)
      local value = is_over(group)
      if value and not group.open then out[#out + 1] = { s.end_ns, value, name } end
      group.open = value
    end
    return in_order(out)
  end

  local function of_rule(name)
    local out = {}
    for _, v in ipairs(found) do if v.rule == name then out[#out + 1] = { v.time, v.value, v.group } end end
    return in_order(out)
  end

  it("take the spans of a request by when they end, whichever order and resource they came in", function()
    math.randomseed(7)
    for _, n in ipairs { 3, 40, 400 } do
      e, found = engine(), {}
      local first = ruleset('rule "sum" { when = window("1m"):by("service", "url.full"):sum("n"):over(' .. n / 3 .. ') }\n'
        .. 'rule "ratio" { when = window("1m"):by("resource.zone"):ratio { status = "ERROR" }:over(0.3):min_samples(2) }\n')
      assert.equal(0, core.engine_use(e, first, nil))
      local spans, body = random_request(n)
      local receipt = ffi.new("struct engine_receipt")
      assert.equal(0, core.engine_receive(e, body, #body, nil, T0 + n, receipt))
      assert.equal(n, receipt.accepted)
      assert.same(crossings(spans, function(s) return key("s" .. s.r % 2, "u" .. s.k) end, function(s) return s.n end,
        function(group) return group.sum > n / 3 and group.sum end), of_rule "sum")
      assert.same(crossings(spans, function(s) return key(tostring(s.r)) end, function(s) return s.error and 1 or 0 end,
        function(group)
          return group.samples >= 2 and group.sum / group.samples > 0.3 and group.sum / group.samples
        end), of_rule "ratio")
      core.engine_free(e)
      e = nil
    end
  end)

  -- The i-th span of a request has the i-th name, and counts as one event of its name's group.
  local function named_request(first, last, at)
    local spans = {}
    for i = first, last do
      count = count + 1
      spans[#spans + 1] = wire.span { trace_id = ("%016d"):format(count), span_id = ("%08d"):format(count), name = "n" .. i,
        start_ns = T0 + at, end_ns = T0 + at, attributes = { k = i % 20 } }
    end
    local body = wire.body(spans, wire.attributes(1, { ["service.name"] = "s" }))
    assert.equal(0, core.engine_receive(e, body, #body, nil, T0 + at, ffi.new("struct engine_receipt")))
  end

  local function use(limit)
    assert.equal(0, core.engine_use(e, ruleset('rule "name" { when = window("1m"):by("name"):count():over(' .. limit .. ') }\n'
      .. 'rule "k" { when = window("1m"):by("k"):count():over(' .. 2 * limit .. ') }\n'), nil))
  end

  it("find their groups again with each request, however many there are, and with each new rule", function()
    e, found = engine(67108864), {}
    use(2)
    for request = 1, 3 do
      for first = 1, 9000, 3000 do named_request(first, first + 2999, request) end
      named_request(1, 3, request)
    end
    -- The third span of each name, and the fifth with each of twenty k, which are in the first request.
    assert.same({ 9000, 20 }, { #of_rule "name", #of_rule "k" })
    found = {}
    use(3)                                                   -- another rule of the same name begins anew
    for request = 4, 6 do named_request(1, 3000, request) end
    assert.equal(0, #of_rule "name")
    named_request(1, 3000, 7)
    assert.equal(3000, #of_rule "name")
  end)
end)
