-- Windows that group by the service of a span's parent: whichever of the two comes first, in whatever request, or never.
package.path = "lua/?.lua;" .. package.path
local support = require("spec.support")
local core, ffi = support.core("engine", "err", "group", "heap", "limits", "ruleset", "violation")
local rulefiles = require("spec.lua.rulefiles")
local wire = require("spec.otlp_writer")

local SECOND = 1000000000ULL
local T0 = 1760356800ULL * SECOND
local IDLE, LATE = 10, 30

jit.off()                                                  -- C calls back into Lua

-- "a>b 2": more than two spans of b whose parent is a's.
local EDGES = {}
for n = 0, 5 do
  EDGES[n + 1] = ('rule "%d" { when = window("1h", { kind = "SERVER" }):by("parent.service", "service"):count():over(%d) }\n')
    :format(n, n)
end
EDGES = table.concat(EDGES)

local found, times
local function group_of(v)
  local at, value, texts = ffi.new("uint32_t[1]"), ffi.new("struct fluo_value"), {}
  while core.group_next(v.group, v.group_bytes, at, value) do texts[#texts + 1] = ffi.string(value.text, value.len) end
  return table.concat(texts, ">")
end
local on_violation = ffi.cast("void (*)(void *, const struct violation *)", function(_, v)
  local text = group_of(v) .. " " .. ffi.string(core.ruleset_text(v.rules, v.rule.name), v.rule.name.len)
  found[#found + 1] = text
  times[text] = tonumber(v.time_ns - T0) / 1e9
end)

local sets, compiled = nil, {}
local function ruleset(text)
  local bytes = compiled[text] or rulefiles.good(text).ir
  compiled[text] = bytes
  local out, why = ffi.new("struct ruleset *[1]"), ffi.new("char[128]")
  local options = ffi.new("struct ruleset_options", { renamed = true, matches_limit = 10000 })
  assert(core.ruleset_new(bytes, #bytes, options, out, why) == 0, ffi.string(why))
  sets[#sets + 1] = out[0]
  return out[0]
end

local function engine(text, arena_bytes)
  local out = ffi.new("struct engine *[1]")
  local options = ffi.new("struct engine_options", { state_bytes_max = 4194304 })
  options.store = { arena_bytes or 16777216, IDLE * SECOND, 300 * SECOND, 60 * SECOND, 10000, 8388608, 262144, 524288 }
  local calls = ffi.new("struct engine_calls", { on_violation, nil })
  assert.equal(0, core.engine_new(options, calls, out))
  assert.equal(0, core.engine_use(out[0], ruleset(text), nil))
  return out[0]
end

local function id8(id) return ("%08d"):format(id) end

-- A request of spans { id, service, parent, at, trace, attributes }, which arrives at `now` (seconds).
local function send(e, now, spans)
  local bodies, receipt = {}, ffi.new("struct engine_receipt")
  local function ns(s) return T0 + ffi.cast("uint64_t", s * 1000) * 1000000 end
  for i, s in ipairs(spans) do
    bodies[i] = wire.body({ wire.span { trace_id = id8(s.trace or 1) .. "trace...", span_id = id8(s.id), kind = s.kind or 2,
      parent_id = s.parent and id8(s.parent), start_ns = ns(s.at or now), end_ns = ns(s.at or now), attributes = s.attributes } },
      s.service and wire.attribute(1, "service.name", s.service))
  end
  local body = table.concat(bodies)
  while core.engine_step(e, ns(now)) do end
  return core.engine_receive(e, body, #body, nil, ns(now), receipt)
end

local function lost(e)
  local out = ffi.new("struct engine_across_stats")
  core.engine_across_stats_get(e, out)
  return tonumber(out.lost_events), tonumber(out.late_events)
end

describe("a window by parent.service", function()
  local live, e
  before_each(function() live, sets, found, times = core.heap_live(), {}, {}, {} end)
  after_each(function()
    core.heap_fail_from(0)
    core.engine_free(e)
    for _, set in ipairs(sets) do core.ruleset_free(set) end
    assert.equal(live, core.heap_live())
  end)

  local A, B = { id = 1, service = "a", at = 1 }, { id = 2, parent = 1, service = "b", at = 2 }

  for what, requests in pairs {
    ["one request, the parent first"] = { { A, B } },
    ["one request, the child first"] = { { B, A } },
    ["two requests, the parent first"] = { { A }, { B } },
    ["two requests, the child first"] = { { B }, { A } },
    ["two requests after something else"] = { { { id = 9, service = "c" } }, { B }, { { id = 8, service = "c" } }, { A } },
  } do
    it("counts a call at its own time: " .. what, function()
      e = engine(EDGES)
      for i, spans in ipairs(requests) do send(e, 2 + i, spans) end
      assert.same({ "a>b 0" }, found)
      assert.equal(2, times["a>b 0"])
    end)
  end

  for what, spans in pairs {
    ["whose parent does not come"] = { B },
    ["that is a root"] = { { id = 1, service = "a" }, { id = 2, service = "b" } },
    ["that is its own parent"] = { { id = 1, parent = 1, service = "a" } },
    ["within one service"] = { A, { id = 2, parent = 1, service = "a" } },
    ["whose parent has no service"] = { { id = 1 }, B },
    ["whose parent is in another trace"] = { { id = 1, service = "a", trace = 2 }, B },
  } do
    it("does not count a span " .. what, function()
      e = engine(EDGES)
      send(e, 3, spans)
      assert.same({}, found)
    end)
  end

  it("is no matter of a parent that comes after the close", function()
    e = engine(EDGES)
    send(e, 3, { B })
    send(e, 13, { A })
    assert.same({}, found)
  end)

  it("finds both among late spans, many of them, too", function()
    e = engine(EDGES)
    local spans = { { id = 2, parent = 100, service = "b", at = 20 } }
    for i = 3, 100 do spans[#spans + 1] = { id = i, service = "a" } end
    spans[#spans + 1] = { id = 101, parent = 50, service = "b" }
    send(e, 3, { { id = 1, service = "c" } })
    send(e, 23, spans)
    assert.same({ "a>b 0", "a>b 1" }, found)
  end)

  it("counts what is late by then as such", function()
    e = engine('rule "0" { when = window("1h"):by("parent.service", "service"):count():over(0) }')
    send(e, 3, { B })
    for i = 1, 6 do send(e, 3 + 5 * i, { { id = 10 + i, service = "c" } }) end
    send(e, 33, { A })
    assert.same({}, found)
    assert.same({ 0, 1 }, { lost(e) })
  end)

  it("counts the one span at the edge of two windows once each", function()
    e = engine(EDGES .. [[
      rule "callers" { when = window("1h"):by("service"):distinct("parent.service"):over(1) }
      rule "mean" { when = window("1h"):by("parent.service", "service"):avg("n"):over(4) }]])
    send(e, 3, { { id = 2, parent = 1, service = "b", attributes = { n = 5 } }, { id = 4, parent = 3, service = "b" } })
    send(e, 4, { A, { id = 3, service = "c" } })
    table.sort(found)
    assert.same({ "a>b 0", "a>b mean", "b callers", "c>b 0" }, found)
  end)

  it("keeps what it will read of a span from being shed", function()
    e = engine('rule "mean" { when = window("1h"):by("parent.service", "service"):avg("n"):over(4) }', 1048576)
    send(e, 3, { { id = 2, parent = 1, service = "b", attributes = { n = 5 } } })
    local large = { n = 1, text = ("x"):rep(4000) }
    for i = 1, 600 do send(e, 4, { { id = i, trace = 100 + i, service = "c", attributes = large } }) end
    send(e, 4, { A })
    assert.same({ "a>b mean" }, found)
  end)

  it("has the numerator of a ratio with its span, whenever the parent comes", function()
    e = engine('rule "errors" { when = window("1h"):by("parent.service", "service"):ratio { f = true }:over(0.5) }')
    send(e, 3, { { id = 2, parent = 1, service = "b", attributes = { f = true } } })
    send(e, 4, { A })
    assert.same({ "a>b errors" }, found)
  end)

  it("goes on over a reload with what waits", function()
    e = engine(EDGES)
    send(e, 3, { B })
    assert.equal(0, core.engine_use(e, ruleset('rule "other" { when = { name = "x" } }\n' .. EDGES), nil))
    send(e, 4, { A })
    assert.same({ "a>b 0" }, found)
  end)

  it("bounds what waits in a trace, and counts the rest as lost", function()
    e = engine('rule "0" { when = window("1h"):by("parent.service", "service"):count():over(4095) }')
    local spans = {}
    for i = 1, 4100 do spans[i] = { id = 10 + i, parent = 1, service = "b" } end
    send(e, 3, spans)
    send(e, 4, { A })
    assert.same({ 4, 0 }, { lost(e) })
    assert.same({ "a>b 0" }, found)
  end)

  it("survives any failing allocation, and says what was lost", function()
    for n = 1, 60 do
      e, found = engine(EDGES), {}
      core.heap_fail_from(n)
      send(e, 3, { B })
      send(e, 4, { A, { id = 3, parent = 1, service = "b" } })
      core.heap_fail_from(0)
      core.engine_free(e)
    end
    e = engine(EDGES)
  end)
end)

-- ---- beside an oracle ----------------------------------------------------------------------------

-- Random traces: spans with parents before and behind them, or nowhere, cut into requests at random.
local function random_requests(random)
  local spans, requests, now = {}, {}, 40
  for trace = 1, random(4) do
    local n = random(8)
    for i = 1, n do
      local parent = random(n + 2) - 1
      spans[#spans + 1] = { trace = trace, id = i, parent = parent > 0 and parent or nil, kind = random(3) == 1 and 1 or 2,
                            service = random(8) > 1 and ("abc"):sub(random(3)):sub(1, 1) or nil }
    end
  end
  for i = #spans, 2, -1 do
    local j = random(i)
    spans[i], spans[j] = spans[j], spans[i]
  end
  while #spans > 0 do
    local request = {}
    for i = 1, math.min(#spans, random(4)) do request[i] = table.remove(spans) end
    now = now + ({ 1, 1, 2, 4, 9, 10 })[random(6)]
    for _, s in ipairs(request) do s.at, s.arrival = now - random(33) + 1, now end
    requests[#requests + 1] = { now = now, spans = request }
  end
  return requests
end

-- Which spans are of one trace as it was assembled: those without 10 s between them, then each late request's own.
local function assembled(requests)
  local open = {}
  for _, request in ipairs(requests) do
    local late = {}
    for _, s in ipairs(request.spans) do
      local t = open[s.trace]
      if not t then
        t = { last = request.now }
        open[s.trace] = t
      end
      if request.now >= t.last + IDLE then t.closed = true end
      if t.closed then
        late[s.trace] = late[s.trace] or {}
        t = late[s.trace]
      end
      t.last, t[s.id], s.of = request.now, s, t
    end
  end
end

local function expected(requests)
  local counts, list = {}, {}
  assembled(requests)
  for _, request in ipairs(requests) do
    for _, s in ipairs(request.spans) do
      local parent = s.parent and s.parent ~= s.id and s.of[s.parent]
      if s.kind == 2 and s.service and parent and parent.service and parent.service ~= s.service
        and math.max(s.arrival, parent.arrival) - s.at <= LATE then
        local edge = parent.service .. ">" .. s.service
        counts[edge] = (counts[edge] or 0) + 1
      end
    end
  end
  for edge, n in pairs(counts) do
    for i = 0, math.min(n, 6) - 1 do list[#list + 1] = edge .. " " .. i end
  end
  table.sort(list)
  return list
end

describe("windows by parent.service", function()
  it("count what an oracle counts, over random traces and orders of arrival", function()
    local seed, edges = 20251013, 0
    local function random(n)
      seed = (seed * 1103515245 + 12345) % 2147483648
      return math.floor(seed / 65536) % n + 1
    end
    sets = {}
    for run = 1, 1500 do
      local requests, e = random_requests(random), engine(EDGES)
      found, times = {}, {}
      for _, request in ipairs(requests) do send(e, request.now, request.spans) end
      core.engine_free(e)
      table.sort(found)
      edges = edges + #found
      assert.same(expected(requests), found, "run " .. run)
    end
    for _, set in ipairs(sets) do core.ruleset_free(set) end
    assert.is_true(edges > 1500, edges)
  end)
end)
