-- Bodies that mean harm, through the real agent. Each leaves it alive (a good request makes rules fire, in the core
-- and in the worker), its books exact, and all its processes together within the arena's cap and 32 MiB.
local cjson = require("cjson")
local hostile = require("spec.agent.hostile")
local wire = require("spec.otlp_writer")

local EIGHT = hostile.BODY_BYTES
local M = 1000000

-- Runs what(agent) on a fresh agent; hands on the totals.
local function survives(what, options)
  local agent = hostile.start(options)
  what(agent)
  hostile.alive(agent)
  return hostile.stop(agent)      -- the totals, and the log
end

describe("values nested through 8 MiB", function()
  for _, place in ipairs(hostile.places) do
    it("are refused, in arrays and maps, protobuf and JSON: of a " .. place, function()
      survives(function(agent)
        for _, map in ipairs({ false, true }) do
          assert.equal(400, hostile.post(agent, hostile.nested(EIGHT, place, map)).status)
          assert.equal(400, hostile.post(agent, hostile.nested_json(EIGHT, place, map), hostile.JSON).status)
          hostile.alive(agent)
        end
      end)
    end)
  end
end)

describe("millions of", function()
  local NAME = wire.text(5, "op")
  local rows = {
    { "empty spans", "spans", "", 4 * M - 64, 400 },
    { "spans without ids, as many as one body may have", "spans", "", 262144, 200 },
    { "spans with a name alone", "spans", NAME, 1300000, 400 },
    { "empty attributes", "attributes", "", 4 * M - 64, 400 },
    { "empty attributes, as many as one body may have", "attributes", "", 524288 - 8, 200 },
    { "attributes with a key alone", "attributes", wire.text(1, "k"), 1600000, 400 },
    { "attributes with a key alone, as many as one body may have", "attributes", wire.text(1, "k"), 524288 - 8, 200 },
    { "empty events", "events", "", 4 * M - 64, 400 },
    { "empty events, as many as one body may have", "events", "", 524288 - 8, 200 },
    { "events with a name", "events", wire.text(2, "exception"), 524288 - 8, 200 },
    { "fields that nobody knows", "unknown", "", 2 * M, 400 },
    { "fields that nobody knows, as many as one body may have", "unknown", "", 524288 - 8, 200 },
    { "empty links", "links", "", 524288 - 8, 200 },
    { "empty scopes", "scope_spans", "", 4 * M - 64, 400 },
    { "empty scopes, as many as one body may have", "scope_spans", "", 524288 - 8, 200 },
    { "empty resources", "resource_spans", "", 524288 - 8, 200 },
    { "resources with an empty scope", "resource_spans", wire.text(2, ""), 2000000, 400 },
  }
  for _, row in ipairs(rows) do
    it(row[1], function()
      survives(function(agent)
        assert.equal(row[5], hostile.post(agent, hostile.many(row[2], row[3], row[4])).status)
        hostile.alive(agent)
        assert.equal(row[5], hostile.post(agent, hostile.many(row[2], row[3], row[4])).status)
      end)
    end)
  end
end)

describe("a span that is too large", function()
  local TOO_LARGE = "a span has more than 65536 attributes, events, links and values of these, "
    .. "or its name, resource or scope more than 65536 bytes"
  local BIG = ("x"):rep(65537)
  local few = wire.span { span_id = "neighbor" }
  local function with(resource, scope, span) return wire.body({ span or wire.span(), span and few or nil }, resource, scope) end
  local rows = {
    ["by its attributes"] = with(nil, nil, wire.span { extra = wire.text(9, ""):rep(65537) }),
    ["by its events"] = with(nil, nil, wire.span { extra = wire.text(11, wire.text(2, "exception")):rep(65537) }),
    ["by one array"] = with(nil, nil, wire.span { extra = wire.text(9, wire.text(2, wire.text(5, wire.text(1, ""):rep(65537)))) }),
    ["by its name"] = with(nil, nil, wire.span { name = BIG }),
    ["by its resource"] = with(wire.attribute(1, "k", BIG)),
    ["by its scope"] = with(nil, wire.text(1, BIG)),
  }
  for what, text in pairs(rows) do
    it("is rejected, and the answer says why, and its neighbours are taken: " .. what, function()
      local _, neighbours = text:gsub("neighbor", "")
      local totals = survives(function(agent)
        local answer = hostile.post(agent, text)
        assert.equal(200, answer.status)
        assert.equal(1, hostile.partial(answer))
        assert.truthy(answer.body:find("spans rejected: 1; " .. TOO_LARGE, 1, true), answer.body)
        local page = agent:metrics()
        assert.same({ 1, 0 }, { page['fluo_receiver_refused_spans_total{reason="too_large"}'],
          page['fluo_receiver_refused_spans_total{reason="invalid_id"}'] })
      end)
      assert.same({ neighbours + 2, 1 }, { totals.received, totals.rejected })
    end)
  end

  it("is rejected from JSON likewise, beside one with a bad id, and each is told", function()
    local function span(id, more) return ('{"traceId":"%s","spanId":"%s"%s}'):format(("1"):rep(32), id, more or "") end
    local spans = { span(("2"):rep(16), ',"events":[' .. ("{},"):rep(65536) .. "{}]"), span("2"), span(("3"):rep(16)) }
    local totals = survives(function(agent)
      local answer = hostile.post(agent, '{"resourceSpans":[{"scopeSpans":[{"spans":[' .. table.concat(spans, ",") .. "]}]}]}", hostile.JSON)
      local partial = cjson.decode(answer.body).partialSuccess
      assert.equal("2", tostring(partial.rejectedSpans))
      assert.equal("spans rejected: 1; a trace id, span id or parent id has the wrong length or is all zero. spans rejected: 1; " .. TOO_LARGE,
        partial.errorMessage)
    end)
    assert.same({ 4, 2 }, { totals.received, totals.rejected })
  end)
end)

describe("a span that a rule's function looks into", function()
  local LOOKS = [[
local function twice(s) for i = 1, 2 do for k in pairs(s.attributes) do end end return true end
rule "events"     { when = { name = "deep", where = function(s) return #s.events > 3 and twice(s) end } }
rule "links"      { when = { name = "deep", where = function(s) return #s.links > 3 and twice(s) end } }
rule "attributes" { when = { name = "deep", where = twice } }
rule "searches"   { when = { name = "deep", kind = "SERVER", where = function(s) for i = 1, 300 do local _ = s.attributes.x end return true end } }
rule "array"      { when = { name = "deep", k = exists, where = function(s) return #s.attributes.k > 3 and #s.attributes.k > 4 end } }
]]
  local function deep(number, element, n, kv, kind)
    local head = (kind or "") .. wire.text(1, ("\1"):rep(16)) .. wire.text(2, ("\2"):rep(8)) .. wire.text(5, "deep")
    return wire.text(1, wire.text(2, wire.text(2, head .. (kv or wire.text(number, element):rep(n)) .. wire.text(9, ""):rep(5000))))
  end
  local empty = wire.text(5, wire.text(1, ""):rep(60000))
  local rows = {
    events = { "events", deep(11, "", 60000) },
    links = { "links", deep(13, "", 60000) },
    attributes = { "attributes", deep(9, "", 60000) },
    ["attributes, searched 300 times"] = { "searches", deep(9, wire.text(1, "another key"), 60000, nil, wire.varint_field(6, 2)) },
    ["values in an array"] = { "array", deep(nil, nil, nil, wire.text(9, wire.text(1, "k") .. wire.text(2, empty))) },
  }
  -- Time is bounded by what a search costs, and that is another number under a sanitizer.
  if not hostile.weighed then rows["attributes, searched 300 times"] = nil end
  for what, row in pairs(rows) do
    it("may have 60,000 " .. what .. ": the rule has an error, it is not to blame", function()
      local _, log = survives(function(agent)
        assert.equal(200, hostile.post(agent, row[2]).status)
      end, { rules = hostile.RULES .. LOOKS })
      log = table.concat(log, "\n")
      assert.truthy(log:find(('"rule":"%s","times":1,"error":"too large for a function'):format(row[1]), 1, true), log)
      assert.is_nil(log:find("stopped; the others", 1, true))
    end)
  end
end)

describe("spans that every function must be asked about", function()
  it("are asked about while there is room for the questions; the others are unknown", function()
    local rules = { hostile.RULES }
    for i = 1, 100 do
      rules[i + 1] = ('rule "f%d" { when = { name = "op", where = function(s) return s.kind == "CLIENT" end } }'):format(i)
    end
    survives(function(agent)
      for part = 0, 3 do
        local text = hostile.spans(100000, function(i) return part * 100000 + i, i end)
        assert.equal(200, hostile.post(agent, text).status)
      end
      local page = agent:metrics()
      assert.truthy(page.fluo_shed_questions_total > 1000000)
      assert.truthy(page['fluo_rule_unknown_total{rule="f100"}'] > 50000)
      agent:settle()                 -- the end has patience for so many answers only where the worker is given its time
    end, { rules = table.concat(rules, "\n") .. "\n", flags = { "--trace.idle=1s" } })
  end)
end)

describe("lengths that lie", function()
  local LIES = { ("\255"):rep(4) .. "\15", ("\255"):rep(9) .. "\1", ("\128"):rep(10) .. "\1", "\127" }
  local good = wire.body({ wire.span { attributes = { a = "b" } } }, wire.attribute(1, "service.name", "s"),
    wire.text(1, "x"))

  it("are refused wherever they stand, and nothing of the body exists", function()
    local totals = survives(function(agent)
      for at = 1, #good do
        for _, lie in ipairs(LIES) do
          local answer = hostile.post(agent, good:sub(1, at) .. lie .. good:sub(at + 2))
          assert.truthy(answer.status == 400 or answer.status == 200, at)
        end
      end
    end)
    assert.truthy(totals.received < #LIES * #good)
  end)

  it("and cuts at any byte are refused, or are a shorter body that is whole", function()
    local two = good .. good
    local totals = survives(function(agent)
      for n = 0, #two do
        local whole = n == 0 or n == #good or n == #two
        assert.equal(whole and 200 or 400, hostile.post(agent, two:sub(1, n)).status)
      end
    end)
    assert.same({ 4, 2 }, { totals.received, totals.duplicates })
  end)
end)

describe("a trace", function()
  local function ids_of_one(i) return 7, i, 7 end

  it("of a million spans closes at its cap; the rest is late, and all is judged", function()
    local totals = survives(function(agent)
      for part = 0, 3 do
        local text = hostile.spans(250000, function(i) return 7, part * 250000 + i, i end)
        assert.equal(200, hostile.post(agent, text).status)
      end
    end, { flags = { "--http.body-bytes-max=16MiB" } })
    assert.equal(1000001, totals.received)
    assert.equal(0, totals.rejected)
  end)

  it("may be a circle, a chain of a hundred thousand, a star, or all its own parent", function()
    survives(function(agent)
      local n = 100000
      for shape, parent in ipairs({
        function(i) return i % n + 1 end, function(i) return i - 1 end, function() return 1 end, function(i) return i end,
      }) do
        local text = hostile.spans(n, function(i) return shape, i, parent(i) end)
        assert.equal(200, hostile.post(agent, text).status)
      end
    end, { flags = { "--trace.spans-max=200000", "--trace.bytes-max=64MiB" } })
  end)

  it("that comes a million times over with one span each is closed in turn", function()
    local totals = survives(function(agent)
      for part = 0, 9 do
        local text = hostile.spans(100000, function(i) return part * 100000 + i, 1 end)
        assert.equal(200, hostile.post(agent, text).status)
      end
    end)
    assert.equal(1000001, totals.received)
  end)

  it("may be sent again and again", function()
    local totals = survives(function(agent)
      local text = hostile.spans(5000, ids_of_one)
      for _ = 1, 40 do assert.equal(200, hostile.post(agent, text).status) end
    end)
    assert.equal(195000, totals.duplicates)
  end)
end)

describe("ten million", function()
  it("attribute keys leave nothing behind", function()
    survives(function(agent)
      for part = 0, 19 do
        local text = hostile.spans(5000, function(i) return part * 5000 + i, i end, nil, 100,
          function(b, i, k) b:hex((part * 5000 + i) * 100 + k) end)
        assert.equal(200, hostile.post(agent, text).status)
      end
    end)
  end)
end)

describe("a million", function()
  it("names fill the symbols' share, and no more", function()
    survives(function(agent)
      for part = 0, 9 do
        local text = hostile.spans(100000, function(i) return part, i end,
          function(b, i) b:hex(part * 100000 + i) end)
        assert.equal(200, hostile.post(agent, text).status)
      end
    end)
  end)
end)

describe("text that is no UTF-8", function()
  local BAD = { "\128", "\191", "\192\128", "\193\191", "\194", "\224\128\128", "\237\160\128", "\239\191", "\240\128\128\128",
    "\244\144\128\128", "\245", "\248\136\128\128\128", "\254", "\255", "a\255b", "\0", ("\255"):rep(20000) }
  local RULE = [[
rule "bad" {
  when = { status = "ERROR", where = function(s) return s.attributes[s.name] == s.name end },
  summary = "{service}: {span.name} and {span.attributes.k}",
}
]]

  it("is kept, and printed as text: in every place, whatever it looks like", function()
    local agent = hostile.start { rules = hostile.RULES .. RULE }
    for i, bad in ipairs(BAD) do
      local id = ("%08d"):format(i)
      local text = wire.body({ wire.span { trace_id = id .. id, span_id = id, name = bad, status = 2,
        attributes = { [bad] = bad, k = bad }, extra = wire.text(3, bad) .. wire.text(11, wire.text(2, bad)) } },
        wire.attribute(1, "service.name", bad) .. wire.attribute(1, bad, bad), wire.text(1, bad) .. wire.text(2, bad))
      assert.equal(200, hostile.post(agent, text).status)
    end
    hostile.alive(agent)
    local _, _, found = hostile.stop(agent)           -- each line was JSON
    assert.equal(#BAD + 2, #found)
    for _, v in ipairs(found) do
      local printed = v.summary and v.spans[1].name .. v.summary or ""
      printed = printed:gsub("\239\191\189", ""):gsub("…", "")
      assert.is_nil(printed:find("[\128-\255]"))
    end
  end)
end)

describe("ids", function()
  it("of a wrong length or of zeros cost their span, never the request", function()
    local n, bad = 0, 0
    local totals = survives(function(agent)
      for length = 0, 40 do
        local id = ("\7"):rep(length)
        for place, good in pairs({ trace_id = 16, span_id = 8, parent_id = 8 }) do
          local span = wire.span { span_id = ("%04d%04d"):format(n % 10000, length), [place] = id }
          assert.equal(200, hostile.post(agent, wire.body({ span, wire.span { trace_id = ("\0"):rep(16) } })).status)
          n, bad = n + 2, bad + 1 + ((length == good or length == 0 and place == "parent_id") and 0 or 1)
        end
      end
    end)
    assert.same({ n + 1, bad }, { totals.received, totals.rejected })
  end)
end)

describe("an attribute given twice", function()
  local RULE = [[
rule "pattern"  { when = { name = "twice", k = "last" }, summary = "{k} {resource.k}" }
rule "first"    { when = { name = "twice", k = "first" } }
rule "resource" { when = { name = "twice", resource = { k = "last" } } }
rule "twice-event"    { when = { name = "twice", event = { k = "last" } } }
rule "function" { when = { name = "twice", where = function(s)
  return s.attributes.k == "last" and s.resource.k == "last" and s.events[1].attributes.k == "last"
end } }
]]

  it("has the value that came last, to patterns, functions and templates, in every place", function()
    local function twice(number) return wire.attribute(number, "k", "first") .. wire.attribute(number, "k", "last") end
    local agent = hostile.start { rules = hostile.RULES .. RULE }
    local span = wire.span { name = "twice", extra = twice(9) .. wire.text(11, twice(3)) }
    assert.equal(200, hostile.post(agent, wire.body({ span }, twice(1))).status)
    hostile.alive(agent)
    local seen, found = {}, select(3, hostile.stop(agent))
    for _, v in ipairs(found) do seen[v.rule] = v.summary or true end
    assert.equal("last last", seen.pattern)
    assert.is_nil(seen.first)
    assert.truthy(seen.resource and seen["twice-event"] and seen["function"])
  end)
end)
