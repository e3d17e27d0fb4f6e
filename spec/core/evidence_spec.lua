-- Evidence, from a store that is filled by hand.
local world = require("spec.support")
world.core("heap", "buffer", "violation", "evidence", "otlp", "inflate")
local support = require("spec.core.store_support")
local cjson = require("cjson")
local core, ffi, MIB = support.core, support.ffi, support.MIB
local TRACE, WITNESSES, NONE, S = 0, 1, 2, support.S
local MAX, HEAD = 262144, 32

local function resource(service) return support.key_value("service.name", service) end
local function attribute(text) return support.field(9, support.field(1, "text") .. support.field(2, support.field(1, text))) end

describe("evidence", function()
  local s
  before_each(support.begin)
  after_each(support.finish)

  -- A violation of the spans with these indices of the trace; without a trace, of spans elsewhere.
  local anchors
  local function violation(trace, witnesses)
    local views, spans = ffi.new("struct span_view[32]"), ffi.new("struct violation_span[32]")
    local v = ffi.new("struct violation", { trace = trace, witnesses = views, spans = spans, witnesses_count = #witnesses })
    for i, w in ipairs(witnesses) do
      if trace then
        views[i - 1].span = core.store_span(s.store, trace, w)
      else
        local trace_id, span_id = support.trace_id(w.trace), support.span_id(w.id)
        anchors[#anchors + 1], anchors[#anchors + 2] = trace_id, span_id
        spans[i - 1].trace_id, spans[i - 1].span_id = ffi.cast("const uint8_t *", trace_id), ffi.cast("const uint8_t *", span_id)
      end
    end
    anchors[#anchors + 1], anchors[#anchors + 2] = views, spans
    return v
  end

  local function collected(v, mode)
    local b = ffi.new("struct buffer")
    core.buffer_init(b, 16777216)
    assert.equal(0, core.evidence_collect(b, s.store, v, mode))
    local out = b.len > 0 and ffi.string(b.data, b.len) or ""
    core.buffer_deinit(b)
    return out
  end

  local function printed(bytes)
    local b = ffi.new("struct buffer")
    core.buffer_init(b, 16777216)
    local err = core.evidence_print(b, bytes, #bytes)
    local out = err == 0 and ffi.string(b.data, b.len) or err
    core.buffer_deinit(b)
    return out
  end

  -- How much of it there is, and its spans by number: resource, name, attributes.
  local function read(v, mode)
    local bytes = collected(v, mode or TRACE)
    local limits, summary, fault = ffi.new("struct otlp_limits", { 64, 100000, 1000000, 1073741824 }), ffi.new("struct otlp_summary"),
      ffi.new("struct otlp_fault")
    assert.equal(0, core.otlp_check(ffi.cast("const uint8_t *", bytes) + HEAD, #bytes - HEAD, limits, summary, fault), ffi.string(fault.what))
    local json = cjson.decode(printed(bytes))
    local spans, order = {}, {}
    for _, r in ipairs(json.resourceSpans) do
      for _, scope in ipairs(r.scopeSpans) do
        for _, span in ipairs(scope.spans) do
          span.resource = r.resource
          span.scope = scope.scope
          local id = tonumber(span.spanId:sub(9), 16)
          spans[id] = span
          order[#order + 1] = id
        end
      end
    end
    assert.equal(summary.spans, #order)
    return json.fluo.evidence, spans, order, #bytes
  end

  local function open(limits, wanted, keep)
    anchors = {}
    limits = limits or {}
    limits.arena_bytes = limits.arena_bytes or 16 * MIB
    limits.trace_bytes_max = 16 * MIB
    limits.trace_spans_max = 50000
    s = support.open(limits, keep, wanted)
  end

  it("is the whole trace: ids, names, times, resources, scopes, attributes", function()
    open()
    s:put({ id = 1, name = "GET /", resource = resource("shop"), scope = support.field(1, "http"), payload = attribute("a") }, 1)
    local _, t = s:put({ id = 2, parent = 1, name = "db", resource = resource("db"), payload = attribute("b"), start_ns = 5, end_ns = 9 }, 2)
    local all, spans = read(violation(t, { 1 }))
    assert.same({ spans = 2, spans_total = 2, without_attributes = 0, witnesses_missing = 0, traces_missing = 0, cut = false }, all)
    assert.equal("http", spans[1].scope.name)
    assert.equal("shop", spans[1].resource.attributes[1].value.stringValue)
    assert.equal("db", spans[2].resource.attributes[1].value.stringValue)
    spans[2].resource = nil
    assert.same({ traceId = "01" .. ("0"):rep(29) .. "1", spanId = "0200000000000002", parentSpanId = "0200000000000001", name = "db",
      kind = 2, startTimeUnixNano = "5", endTimeUnixNano = "9", attributes = { { key = "text", value = { stringValue = "b" } } } }, spans[2])
  end)

  it("has spans of one resource and scope side by side", function()
    open()
    local t
    for id = 1, 6 do t = select(2, s:put({ id = id, resource = resource(id < 4 and "a" or "b") }, id)) end
    local json = cjson.decode(printed(collected(violation(t, { 0 }), TRACE)))
    assert.same({ 2, 3, 3 }, { #json.resourceSpans, #json.resourceSpans[1].scopeSpans[1].spans, #json.resourceSpans[2].scopeSpans[1].spans })
  end)

  it("says of a span that its attributes are gone, and keeps its status", function()
    open(nil, function() return false end)
    local _, t = s:put({ id = 1, payload = attribute("a") }, 1)
    local all, spans = read(violation(t, { 0 }))
    assert.equal(1, all.without_attributes)
    assert.same({ { key = "fluo.evidence", value = { stringValue = "attributes gone" } } }, spans[1].attributes)
    assert.equal(1, spans[1].status.code)
  end)

  it("has attributes that the store keeps to spare, each with its own span", function()
    local n = 0
    open({ spare_bytes_max = 8 * MIB }, function()
      n = n + 1
      return n % 3 == 0
    end)
    local t
    for id = 1, 100 do t = select(2, s:put({ id = id, payload = attribute("text " .. id) }, id)) end
    local all, spans = read(violation(t, { 0 }))
    assert.same({ 100, 0 }, { all.spans, all.without_attributes })
    for id = 1, 100 do assert.equal("text " .. id, spans[id].attributes[1].value.stringValue) end
  end)

  it("is whole where nothing that is there is left out: neither a span nor attributes, but for those that are gone", function()
    local cases = { { true, 3, 10 }, { true, 3, 10, function() return false end }, { false, 1200, 10 }, { false, 20, 20000 } }
    for _, case in ipairs(cases) do
      open(nil, case[4])
      local t
      for id = 1, case[2] do t = select(2, s:put({ id = id, payload = attribute(("x"):rep(case[3])) }, id)) end
      local b = ffi.new("struct buffer")
      core.buffer_init(b, 16777216)
      assert.is_false(core.evidence_is_whole(b))
      assert.equal(0, core.evidence_collect(b, s.store, violation(t, { 0 }), TRACE))
      assert.equal(case[1], core.evidence_is_whole(b))
      core.buffer_deinit(b)
      support.finish()
      support.begin()
    end
  end)

  it("is of the witnesses alone where that is wanted, and of nothing where none is", function()
    open()
    local t
    for id = 1, 10 do t = select(2, s:put({ id = id }, id)) end
    local all, _, order = read(violation(t, { 2, 7 }), WITNESSES)
    assert.same({ { 3, 8 }, 2, 10 }, { order, all.spans, all.spans_total })
    assert.equal("", collected(violation(t, { 2 }), NONE))
  end)

  it("of a trace of too many spans has the witnesses, and those that came first", function()
    open()
    local t
    for id = 1, 5000 do t = select(2, s:put({ id = id }, id)) end
    local all, spans, _, bytes = read(violation(t, { 4000, 4999 }))
    assert.is_true(all.spans <= 1002 and all.spans >= 1000 and bytes <= MAX + 4096)
    assert.same({ 5000, true, true, true, false }, { all.spans_total, spans[1] ~= nil, spans[4001] ~= nil, spans[5000] ~= nil, spans[2000] ~= nil })
  end)

  it("of a trace of too many bytes has the witnesses with their attributes, then what fits", function()
    open()
    local t
    for id = 1, 400 do t = select(2, s:put({ id = id, payload = attribute(("x"):rep(4000)) }, id)) end
    local all, spans, _, bytes = read(violation(t, { 399 }))
    assert.is_true(bytes <= MAX and bytes > MAX / 2)
    assert.equal(4000, #spans[400].attributes[1].value.stringValue)
    assert.is_true(all.without_attributes > 0 or all.spans < 400)
  end)

  it("has a witness even where its attributes alone are too many", function()
    open()
    local _, t = s:put({ id = 1, payload = attribute(("x"):rep(300000)) }, 1)
    local all, spans = read(violation(t, { 0 }))
    assert.same({ 1, 1 }, { all.spans, all.without_attributes })
    assert.equal("fluo.evidence", spans[1].attributes[1].key)
  end)

  it("across traces has those that are there, and counts those that are not", function()
    open()
    s:put({ trace = 1, id = 1 }, 1)
    s:put({ trace = 1, id = 2 }, 1)
    s:put({ trace = 2, id = 3 }, 2)
    local all, _, order = read(violation(nil, { { trace = 1, id = 1 }, { trace = 9, id = 9 }, { trace = 2, id = 3 }, { trace = 1, id = 2 } }))
    assert.same({ { 1, 2, 3 }, 3, 1, 1 }, { order, all.spans, all.traces_missing, all.witnesses_missing })
  end)

  it("across traces has those that closed and are kept for late spans, which it has too", function()
    open(nil, nil, true)
    s:put({ trace = 1, id = 1, payload = attribute("in time") }, 1)
    s:run(60 * S)
    s:put({ trace = 1, id = 2 }, 60 * S)
    s:end_request(60 * S)
    local all, spans, order = read(violation(nil, { { trace = 1, id = 2 } }))
    assert.same({ { 1, 2 }, "in time", 0, 0 }, { order, spans[1].attributes[1].value.stringValue, all.traces_missing, all.witnesses_missing })
    s:run(300 * S)
    assert.equal(1, read(violation(nil, { { trace = 1, id = 2 } })).traces_missing)
  end)

  it("across traces has those that closed and are still being judged, with what came late meanwhile", function()
    open()
    s.hold = true
    s:put({ trace = 1, id = 1 }, 1)
    s:run(60 * S)
    for id = 2, 3 do
      s:put({ trace = 1, id = id }, 60 * S)
      s:end_request(60 * S)
    end
    local all, _, order = read(violation(nil, { { trace = 1, id = 1 }, { trace = 1, id = 3 } }))
    table.sort(order)
    assert.same({ { 1, 2, 3 }, 0 }, { order, all.witnesses_missing })
    s:drop_held()
    assert.equal(1, read(violation(nil, { { trace = 1, id = 1 } })).traces_missing)
  end)

  it("across traces says where a trace is there and the span that proves it is not", function()
    open()
    s:put({ trace = 1, id = 2 }, 1)
    local all = read(violation(nil, { { trace = 1, id = 1 } }))
    assert.same({ 1, 0, 1 }, { all.spans, all.traces_missing, all.witnesses_missing })
  end)

  it("across traces that are all gone says so, and of a silence is nothing", function()
    open()
    local all, _, order = read(violation(nil, { { trace = 9, id = 9 }, { trace = 9, id = 8 } }))
    assert.same({ {}, 0, 1, 2 }, { order, all.spans, all.traces_missing, all.witnesses_missing })
    assert.equal("", collected(violation(nil, {}), TRACE))
  end)

  it("is packed as gzip of what is printed; what was not collected is refused", function()
    open()
    local _, t = s:put({ id = 1, payload = attribute("a") }, 1)
    local bytes = collected(violation(t, { 0 }), TRACE)
    local packed, json, plain = ffi.new("struct buffer"), ffi.new("struct buffer"), ffi.new("struct buffer")
    for _, b in ipairs { packed, json, plain } do core.buffer_init(b, 16777216) end
    for _ = 1, 2 do                       -- in room that another one left
      core.buffer_clear(packed)
      core.buffer_clear(plain)
      assert.equal(0, core.evidence_pack(packed, json, bytes, #bytes))
      assert.equal(0, core.inflate_gzip(packed.data, packed.len, plain))
      assert.equal(printed(bytes), ffi.string(plain.data, plain.len))
    end
    for _, b in ipairs { packed, json, plain } do core.buffer_deinit(b) end
    for n = 0, HEAD do assert.equal(-2, printed(n < HEAD and bytes:sub(1, n) or ("x"):rep(HEAD))) end
  end)

  it("without memory is an error, and nothing is left behind", function()
    open()
    local t
    for id = 1, 50 do t = select(2, s:put({ id = id, payload = attribute(("x"):rep(100)) }, id)) end
    local v = violation(t, { 0 })
    local bytes = collected(v, TRACE)
    local before = core.heap_live()
    for _, work in ipairs { function(b) return core.evidence_collect(b, s.store, v, TRACE) end,
      function(b, json) return core.evidence_pack(b, json, bytes, #bytes) end } do
      for n = 1, 100 do
        local b, json = ffi.new("struct buffer"), ffi.new("struct buffer")
        core.buffer_init(b, 16777216)
        core.buffer_init(json, 16777216)
        core.heap_fail_only(n)
        local err = work(b, json)
        local failed = core.heap_failed() > 0
        core.heap_fail_from(0)
        core.buffer_deinit(b)
        core.buffer_deinit(json)
        assert.equal(failed and -1 or 0, err)
        assert.equal(before, core.heap_live())
        if not failed then break end
      end
    end
  end)
end)
