-- Traces as specs build them: what is not said, and where everything lies in time.
local cjson = require("cjson")
local build = require("fluo.testing.build")

local span = build.span
local T0 = 1760356800000000000LL

local world
before_each(function() world = build.new() end)

-- The requests, each { at = ms, spans }, spans as OTLP has them, with service, at and till in ms.
local function requests()
  local list = {}
  local function ms(digits) return tonumber(loadstring("return " .. digits .. "LL")() - T0) / 1e6 end
  for line in world:requests():gmatch("[^\n]+") do
    local request = cjson.decode(line)
    local spans = {}
    for i, resource_spans in ipairs(request.resourceSpans) do
      local s = resource_spans.scopeSpans[1].spans[1]
      for _, pair in ipairs(resource_spans.resource.attributes) do
        if pair.key == "service.name" then s.service = pair.value.stringValue end
      end
      s.scope, s.at, s.till = resource_spans.scopeSpans[1].scope, ms(s.startTimeUnixNano), ms(s.endTimeUnixNano)
      spans[i], spans[s.name] = s, s
    end
    list[#list + 1] = { at = ms(request.receivedAtUnixNano), spans = spans }
  end
  return list
end

-- The spans of one trace by name.
local function sent(t)
  world:trace(t)
  return requests()[1].spans
end

local function time(s) return { s.at, s.till } end

describe("trace { span { … } }", function()
  it("gives ten milliseconds to a span that says nothing, and begins where the clock stands", function()
    assert.same({ 0, 10 }, time(sent({ span { name = "a" } }).a))
  end)

  it("lets spans follow each other as they are written", function()
    local s = sent { span { name = "a", duration = "5ms" }, span { name = "b" }, span { name = "c", start = "1s" }, span { name = "d" } }
    assert.same({ { 0, 5 }, { 5, 15 }, { 1000, 1010 }, { 1010, 1020 } }, { time(s.a), time(s.b), time(s.c), time(s.d) })
  end)

  it("lets a span without a duration of any length be followed later all the same", function()
    local s = sent { span { name = "a", duration = 0 }, span { name = "b" } }
    assert.is_true(s.b.at > s.a.at)
  end)

  it("makes a span as long as its children, which begin where it does", function()
    local s = sent { span { name = "a", span { name = "b", duration = "20ms" }, span { name = "c", duration = "30ms" } }, span { name = "d" } }
    assert.same({ { 0, 50 }, { 0, 20 }, { 20, 50 }, { 50, 60 } }, { time(s.a), time(s.b), time(s.c), time(s.d) })
  end)

  it("takes nesting for parents, and everything else of the resource from them", function()
    local s = sent { service = "shop", scope = "lib", span { name = "a", span { name = "b", service = "pay", span { name = "c" } } },
      span { name = "d", service = false } }
    assert.same({ s.a.spanId, s.b.spanId }, { s.b.parentSpanId, s.c.parentSpanId })
    assert.is_nil(s.a.parentSpanId)
    assert.same({ "shop", "pay", "pay" }, { s.a.service, s.b.service, s.c.service })
    assert.is_nil(s.d.service)
    assert.equal("lib", s.c.scope.name)
  end)

  it("names a service as an SDK does that was told none", function()
    assert.equal("unknown_service", sent({ span { name = "a" } }).a.service)
  end)

  it("counts ids, the same in every run, and takes those that are given", function()
    local s = sent { span { name = "a" }, span { name = "b", span_id = "0123456789ABCDEF", parent_id = "lost" }, span { name = "c", parent_id = "lost" } }
    assert.equal(("0"):rep(31) .. "1", s.a.traceId)
    assert.same({ "0000000000000001", "0123456789abcdef" }, { s.a.spanId, s.b.spanId })
    assert.equal(s.b.parentSpanId, s.c.parentSpanId)
    assert.not_equal(s.a.spanId, s.b.parentSpanId)
  end)

  it("goes on with a trace by its name, and has another without", function()
    local a, b, c = world:trace { trace_id = "t", span { name = "a" } }, world:trace { trace_id = "t", span { name = "b" } },
      world:trace { span { name = "c" } }
    assert.equal(a.trace_id, b.trace_id)
    assert.not_equal(a.trace_id, c.trace_id)
  end)

  it("writes attributes, events and links as they were given", function()
    local a = span { name = "a" }
    local s = sent { a, span { name = "b", status = "ERROR", status_message = "no", kind = "SERVER", trace_state = "x=1",
      attributes = { n = 5, x = 0.5, t = "text", yes = true, list = { 1, "b" }, big = 2LL ^ 60, map = { k = "v" } },
      events = { { name = "retry", time = "3ms", attributes = { n = 1 } }, { name = "end" } },
      links = { { span = a }, { trace_id = "other", span_id = "s", trace_state = "y" } } } }
    assert.same({
      { key = "big", value = { intValue = "1152921504606846976" } },
      { key = "list", value = { arrayValue = { values = { { intValue = "1" }, { stringValue = "b" } } } } },
      { key = "map", value = { kvlistValue = { values = { { key = "k", value = { stringValue = "v" } } } } } },
      { key = "n", value = { intValue = "5" } }, { key = "t", value = { stringValue = "text" } },
      { key = "x", value = { doubleValue = 0.5 } }, { key = "yes", value = { boolValue = true } },
    }, s.b.attributes)
    assert.same({ 2, "no", 2, "x=1" }, { s.b.status.code, s.b.status.message, s.b.kind, s.b.traceState })
    assert.same({ "retry", "1760356800003000000", "end", "1760356800010000000" },
      { s.b.events[1].name, s.b.events[1].timeUnixNano, s.b.events[2].name, s.b.events[2].timeUnixNano })
    assert.same({ s.a.spanId, s.a.traceId, "y" }, { s.b.links[1].spanId, s.b.links[1].traceId, s.b.links[2].traceState })
  end)

  it("refuses a link to a span that was not sent", function()
    assert.has_error(function() world:trace { span { name = "a", links = { { span = span { name = "b" } } } } } end,
      "a link leads to a span that is in no trace yet")
  end)
end)

describe("arrival", function()
  it("is the latest end, of all spans together", function()
    world:trace { span { name = "a", duration = "3s" }, span { name = "b", start = "1s" } }
    local list = requests()
    assert.same({ 1, 3000, 2 }, { #list, list[1].at, #list[1].spans })
  end)

  it("can be a trace's, or one span's alone; requests come in its order", function()
    world:trace { arrival = "9s", span { name = "a" }, span { name = "b", arrival = "1s" } }
    world:trace { span { name = "c", duration = "2s" } }
    local order = {}
    for i, request in ipairs(requests()) do order[i] = request.spans[1].name .. " " .. request.at end
    assert.same({ "b 1000", "c 2000", "a 9000" }, order)
  end)

  it("leaves what arrives together as it was written", function()
    world:trace { arrival = "1s", span { name = "a" } }
    world:trace { arrival = "1s", span { name = "b" } }
    assert.same({ "a", "b" }, { requests()[1].spans[1].name, requests()[2].spans[1].name })
  end)
end)

describe("the clock", function()
  it("moves all times of what is sent after", function()
    world:advance("10s")
    world:advance(500)
    world:trace { arrival = "1s", span { name = "a", start = "2s" } }
    assert.same({ 11500, { 12500, 12510 } }, { requests()[1].at, time(requests()[1].spans.a) })
  end)

  it("can be set", function()
    world:advance("10s")
    world:at("3s")
    assert.same({ 3000, 3010 }, time(sent({ span { name = "a" } }).a))
  end)

  it("says what is no duration", function()
    assert.has_error(function() world:advance("soon") end, "`clock.advance`: `soon` is not a duration")
  end)
end)
