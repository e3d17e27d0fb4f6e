local support = require("spec.support")
local _, ffi = support.core("arena")
local sandbox = require("fluo.sandbox")
local spans = require("spec.spans")
local trace = require("fluo.trace")
local wire = require("spec.otlp_writer")

local TRACE_ID = "\171" .. ("\1"):rep(15)

describe("a span in a function", function()
  local arena

  before_each(function()
    arena = spans.plain()
    trace.attach(arena.base, { renamed = true })
    trace.begin(ffi.cast("const uint8_t *", TRACE_ID))
  end)

  local function span(s) return trace.span(arena:span(s)) end

  for field, case in pairs({
    name = { { name = "GET /" }, "GET /" }, service = { { service = "checkout" }, "checkout" },
    status = { { status = "ERROR" }, "ERROR" }, status_message = { { message = "no" }, "no" },
    kind = { { kind = "CONSUMER" }, "CONSUMER" }, duration = { { start = 5, end_ = 300000006 }, 300.000001 },
    trace_id = { {}, "ab" .. ("01"):rep(15) }, span_id = { { id = 258 }, "0000000000000102" },
    parent_id = { { parent = 3 }, "0000000000000003" }, trace_state = { { trace_state = "a=b" }, "a=b" },
    scope = { { scope = wire.text(1, "lib") .. wire.text(2, "1.2") }, "lib" },
    scope_version = { { scope = wire.text(1, "lib") .. wire.text(2, "1.2") }, "1.2" }, root = { {}, true },
  }) do
    it("has its " .. field, function() assert.equal(case[2], span(case[1])[field]) end)
  end

  it("has nil for what is absent", function()
    local bare = span {}
    for _, field in ipairs { "service", "status_message", "parent_id", "trace_state", "scope", "scope_version" } do
      assert.is_nil(bare[field])
    end
    assert.is_nil(bare.attributes.x)
    assert.is_nil(bare.resource.x)
    assert.same({ 0, 0, false }, { #bare.events, #bare.links, span { parent = 2 }.root })
  end)

  it("tells an empty service from none, as does a status that is not set", function()
    assert.equal("", trace.span((function()
      local at = arena:span {}
      ffi.cast("struct fluo_span *", arena.base + at).flags = 8
      return at
    end)()).service)
    assert.equal("UNSET", span({}).status)
  end)

  it("has its times as 64-bit integers, exact to the nanosecond", function()
    local it_is = span { start = 1700000000000000001ULL, end_ = 1700000000000000003ULL }
    assert.equal(1700000000000000001LL, it_is.start)
    assert.equal(1700000000000000003LL, it_is.end_)
    assert.equal(2e-6, it_is.duration)
  end)

  it("has duration 0 when it ends before it starts", function()
    assert.equal(0, span({ start = 10, end_ = 5, skewed = true }).duration)
  end)

  it("gives attributes in the types they came in", function()
    local all = { s = "text", b = true, n = 200, d = 1.5, l = { 1, "x", false }, e = "" }
    local a = span({ attributes = all }).attributes
    assert.same({ "text", true, 200, 1.5, "" }, { a.s, a.b, a.n, a.d, a.e })
    assert.same({ 1, "x", false }, a.l)
    assert.equal(3, #a.l)
  end)

  it("gives whole numbers beyond 2^53 as 64-bit integers", function()
    local a = span({ attributes = { below = 2LL ^ 53, beyond = 2LL ^ 53 + 1LL, least = -2LL ^ 63 } }).attributes
    assert.equal("number", type(a.below))
    assert.equal("cdata", type(a.beyond))
    assert.equal(9007199254740993LL, a.beyond)
    assert.equal(-0x7fffffffffffffffLL - 1, a.least)
  end)

  it("gives maps as tables, bytes as text, and an empty value as nil", function()
    local map = wire.text(6, wire.attribute(1, "k", "v") .. wire.attribute(1, "n", { 1 }))
    local raw = wire.text(9, wire.text(1, "m") .. wire.text(2, map))
      .. wire.text(9, wire.text(1, "y") .. wire.text(2, wire.text(7, "\0\1")))
      .. wire.text(9, wire.text(1, "none") .. wire.text(2, ""))
    local a = span({ extra = raw }).attributes
    assert.same({ k = "v", n = { 1 } }, a.m)
    assert.equal("\0\1", a.y)
    assert.is_nil(a.none)
  end)

  it("takes the last of attributes that share a key", function()
    assert.equal(2, span({ extra = wire.attribute(9, "k", 1) .. wire.attribute(9, "k", 2) }).attributes.k)
  end)

  it("survives values nested deeper than anything that is let in", function()
    local raw = wire.text(9, wire.text(1, "k") .. wire.text(2, wire.nested(5000)))
    assert.equal("table", type(span({ extra = raw }).attributes.k))
  end)

  it("finds attributes under their renamed convention, unless they are there", function()
    local old, new = "http.status_code", "http.response.status_code"
    assert.equal(500, span({ attributes = { [new] = 500 } }).attributes[old])
    assert.equal(1, span({ attributes = { [old] = 1, [new] = 2 } }).attributes[old])
    assert.is_nil(span({ resource = { [new] = 500 } }).resource[old])
    trace.attach(arena.base, { renamed = false })
    assert.is_nil(span({ attributes = { [new] = 500 } }).attributes[old])
  end)

  it("has an error for what was in its payload once that was given back, and then no answer; the rest it keeps", function()
    local shed = span { attributes = { a = 1 }, events = { { name = "e" } }, message = "m", shed = true, name = "n" }
    for _, field in ipairs { "attributes", "status_message", "events", "links", "trace_state", "dropped_links_count" } do
      trace.begin(ffi.cast("const uint8_t *", TRACE_ID))
      local it_is = trace.span((function() return arena:span { attributes = { a = 1 }, shed = true } end)())
      local good, why = pcall(function() return it_is[field] end)
      assert.is_false(good)
      assert.truthy(why:find("given back under memory pressure", 1, true))
      assert.equal(why, trace.finish())
    end
    assert.has_error(function() return shed.name end)
    trace.begin(ffi.cast("const uint8_t *", TRACE_ID))
    assert.equal("n", span({ name = "n", shed = true }).name)
    assert.is_nil(trace.finish())
  end)

  it("says how much was dropped of it, and what its scope has", function()
    local it_is = span { scope = wire.text(1, "lib") .. wire.attribute(3, "s", 4),
      extra = wire.varint_field(10, 1) .. wire.varint_field(12, 2) .. wire.varint_field(14, 3)
        .. wire.text(11, wire.text(2, "e") .. wire.varint_field(4, 5)) .. wire.text(13, wire.varint_field(5, 6)) }
    assert.same({ 1, 2, 3 }, { it_is.dropped_attributes_count, it_is.dropped_events_count, it_is.dropped_links_count })
    assert.same({ 5, 6, 4 }, { it_is.events[1].dropped_attributes_count, it_is.links[1].dropped_attributes_count,
      it_is.scope_attributes.s })
    assert.equal(0, span({}).dropped_links_count)
  end)

  it("has events and links as arrays", function()
    local it_is = span { events = { { name = "exception", time = 2ULL ^ 60, attributes = { t = "E" } }, {} },
      links = { { trace_id = ("\2"):rep(16), span_id = ("\3"):rep(8), trace_state = "s", attributes = { l = 1 } } } }
    assert.equal(2, #it_is.events)
    assert.same({ "exception", "E" }, { it_is.events[1].name, it_is.events[1].attributes.t })
    assert.equal(2LL ^ 60, it_is.events[1].time)
    local l = it_is.links[1]
    assert.same({ ("02"):rep(16), ("03"):rep(8), "s", 1 }, { l.trace_id, l.span_id, l.trace_state, l.attributes.l })
  end)

  it("is one value within an evaluation, and a table key", function()
    local at = arena:span {}
    assert.is_true(trace.span(at) == trace.span(at))
    assert.equal("here", ({ [trace.span(at)] = "here" })[trace.span(at)])
    assert.is_false(trace.span(at) == span {})
    assert.is_false(trace.span(at) == nil)
    assert.is_true(trace.span(at).events == trace.span(at).events)
  end)

  it("cannot be written to", function()
    local it_is = span {}
    for _, key in ipairs { "name", "_at", "_evaluation", "new" } do
      assert.has_error(function() it_is[key] = 1 end)
      assert.has_error(function() it_is.attributes[key] = 1 end)
    end
  end)

  it("is stale after its evaluation, and then reads nothing", function()
    local it_is = span { attributes = { a = 1 }, events = { { name = "e", attributes = { b = 1 } } } }
    local attributes, e = it_is.attributes, it_is.events[1]
    trace.finish()
    trace.attach(ffi.cast("uint8_t *", 8), {})      -- to touch memory now would be a crash
    for _, use in ipairs { function() return it_is.name end, function() return attributes.a end,
                           function() return e.attributes.b end, function() return sandbox.pairs(attributes) end } do
      local good, why = pcall(use)
      assert.is_false(good)
      assert.truthy(why:find("belongs to an earlier trace", 1, true))
    end
    assert.equal("e", e.name)                       -- a plain table by then
  end)

  it("raises an error that names trace.satisfies for its relations", function()
    for _, field in ipairs { "parent", "children", "descendants", "self_time", "siblings" } do
      local good, why = pcall(function() return span({})[field] end)
      assert.is_false(good)
      assert.truthy(why:find("trace.satisfies", 1, true))
    end
  end)

  it("raises an error for a field that there is not, with the nearest one", function()
    local _, why = pcall(function() return span({}).nmae end)
    assert.truthy(why:find("did you mean `name`?", 1, true))
    assert.has_error(function() return span({})[1] end)
  end)

  it("walks its attributes in sorted order", function()
    local keys = {}
    local a = span({ attributes = { c = 3, a = 1, b = 2 } }).attributes
    for key, value in sandbox.pairs(a) do keys[#keys + 1] = key .. value end
    assert.same({ "a1", "b2", "c3" }, keys)
  end)

  it("shows no address", function()
    assert.equal("span", sandbox.tostring(span {}))
    assert.equal("attributes", sandbox.tostring(span({}).attributes))
  end)
end)

describe("a value in a function", function()
  local arena = spans.plain()

  for field, case in pairs({
    NAME = { { name = "n" }, "n" }, SERVICE = { {}, nil }, DURATION = { { start = 1, end_ = 1500001 }, 1.5 },
    STATUS = { { status = "OK" }, "OK" }, ROOT = { { parent = 2 }, false }, END = { { end_ = 7 }, 7LL },
    ATTRIBUTE = { { attributes = { k = { 1, 2 } } }, { 1, 2 } }, RESOURCE = { { resource = { k = 9 } }, 9 },
  }) do
    it("is what the span has for " .. field, function()
      trace.attach(arena.base, {})
      assert.same(case[2], trace.value(arena:span(case[1]), field, "k"))
    end)
  end

  it("is nil where the span has no such attribute", function()
    trace.attach(arena.base, {})
    assert.is_nil(trace.value(arena:span {}, "ATTRIBUTE", "k"))
  end)

  it("is what the event or link has, by its index", function()
    local id, short = ("\1"):rep(16), ("\2"):rep(15)
    local at = arena:span { extra = wire.text(11, wire.attribute(3, "k", 1)) .. wire.text(13, wire.text(1, id))
      .. wire.text(11, wire.text(2, "e") .. wire.attribute(3, "k", 2))
      .. wire.text(13, wire.text(1, short) .. wire.text(2, ("\3"):rep(8)) .. wire.text(3, "s")) }
    trace.attach(arena.base, { renamed = true })
    trace.rewind()
    local function of(...) return trace.part_value(at, ...) end
    assert.same({ 1, 2, 2, 1 }, { of("event", 0, "ATTRIBUTE", "k"), of("event", 1, "ATTRIBUTE", "k"),
      of("event", 1, "ATTRIBUTE", "k"), of("event", 0, "ATTRIBUTE", "k") })
    assert.same({ "", "e" }, { of("event", 0, "EVENT_NAME"), of("event", 1, "EVENT_NAME") })
    assert.same({ ("01"):rep(16), ("03"):rep(8), "s" }, { of("link", 0, "TRACE_ID"), of("link", 1, "SPAN_ID"),
      of("link", 1, "TRACE_STATE") })
    for _, none in ipairs { { "link", 1, "TRACE_ID" }, { "link", 0, "SPAN_ID" }, { "link", 0, "TRACE_STATE" },
      { "event", 2, "EVENT_NAME" }, { "event", 0, "ATTRIBUTE", "j" }, { "link", 0, "ATTRIBUTE", "k" } } do
      assert.is_nil(of(unpack(none)))
    end
  end)

  it("is read anew after a rewind, when another span may lie where the last one lay", function()
    local at = arena:span { extra = wire.text(11, wire.text(2, "a")) .. wire.text(11, wire.text(2, "bcd")) }
    local other = wire.text(11, wire.text(2, "efg")) .. wire.text(11, wire.text(2, "h"))
    trace.attach(arena.base, {})
    trace.rewind()
    assert.equal("bcd", trace.part_value(at, "event", 1, "EVENT_NAME"))
    ffi.copy(arena.base + ffi.cast("struct fluo_span *", arena.base + at).payload.off, other, #other)
    trace.rewind()
    assert.equal("h", trace.part_value(at, "event", 1, "EVENT_NAME"))
  end)
end)
