local support = require("spec.support")
local core, ffi = support.core("heap", "otlp")
local wire = require("spec.otlp_writer")
ffi.cdef "int oracle_compare(const uint8_t *, size_t, const struct otlp_limits *, char *);"

local EMALFORMED, ETRUNCATED, EDEPTH, ETOOLARGE, ETOOMANY, ENOMEM = -2, -3, -4, -5, -6, -1
local WIDE = { 64, 100000, 100000, 1e8 }

local function check(body, limits)
  local p, n, free = support.guarded(body)
  local summary, fault = ffi.new("struct otlp_summary"), ffi.new("struct otlp_fault")
  local err = core.otlp_check(p, n, ffi.new("struct otlp_limits", limits or WIDE), summary, fault)
  free()
  return err, err == 0 and summary or ffi.string(fault.what), tonumber(fault.offset)
end

-- All spans of an accepted body as tables. Callbacks must not be called from compiled code.
local function each(body, stop_after, checked)
  local p, n, free = support.guarded(body)
  local spans = {}
  local function bytes(b) return b.n > 0 and ffi.string(b.p, b.n) or "" end
  local callback = ffi.cast("int (*)(void *, const struct otlp_span *)", function(_, s)
    local payload = ffi.new("uint8_t[?]", s.payload_bytes + 1)
    core.otlp_payload(s, payload)
    spans[#spans + 1] = {
      trace_id = ffi.string(s.trace_id, 16), span_id = ffi.string(s.span_id, 8),
        parent_id = ffi.string(s.parent_id, 8),
      start_ns = s.start_ns, end_ns = s.end_ns, kind = s.kind, status = s.status, valid = s.rejected == core.OTLP_TAKEN,
      dropped_events = s.dropped_events, name = bytes(s.name), resource = bytes(s.resource), scope = bytes(s.scope),
      resource_at = tonumber(ffi.cast("uintptr_t", s.resource.p)), payload = ffi.string(payload, s.payload_bytes),
    }
    return #spans == stop_after and 42 or 0
  end)
  local err = core.otlp_each(p, n, checked, callback, nil)
  callback:free()
  free()
  return spans, err
end
jit.off(each)

local function compare(body)
  local why = ffi.new("char[256]")
  local p, n, free = support.guarded(body)
  local result = core.oracle_compare(p, n, ffi.new("struct otlp_limits", WIDE), why)
  free()
  return result, ffi.string(why)
end
local function agree(body, what)
  local result, why = compare(body)
  assert.is_true(result ~= 1, ("%s: %s\n%s"):format(what or "body", why,
    result == 1 and body:gsub(".", function(c) return ("%02x"):format(c:byte()) end) or ""))
  return result
end

local function fixture(name) return support.read("spec/fixtures/otlp/" .. name) end

local CAPTURES = {
  ["deno-2.9.6-http-protobuf.1"] = 6, ["js-auto-grpc.1"] = 19, ["js-auto-http-protobuf.1"] = 19,
  ["js-sdk-grpc-gzip.1"] = 3, ["js-sdk-grpc.1"] = 3, ["js-sdk-proto-gzip.1"] = 3, ["js-sdk-proto.1"] = 3,
  ["prometheus-2.53.3-grpc.1"] = 10, ["prometheus-2.53.3-grpc.2"] = 4, ["prometheus-2.53.3-http.1"] = 10,
  ["prometheus-2.53.3-http.2"] = 5, ["python-1.45.1-flask-auto.1"] = 6, ["python-1.45.1-httpproto-gzip.1"] = 5,
  ["python-1.45.1-httpproto.1"] = 5,
}

describe("a body that a real client sent", function()
  for name, spans in pairs(CAPTURES) do
    it("holds its spans: " .. name, function()
      local body = fixture(name .. ".pb")
      local err, summary = check(body)
      assert.equal(0, err)
      assert.same({ spans, 0, 0 }, { summary.spans, summary.rejected, summary.invalid_utf8 })
      assert.equal(spans, #each(body))
      assert.equal(0, agree(body))
    end)
  end

  it("is refused where it is metrics or logs", function()
    for _, name in ipairs({ "deno-2.9.6-http-protobuf.2.pb", "deno-2.9.6-http-protobuf.3.pb" }) do
      assert.equal(EMALFORMED, (check(fixture(name))))
    end
  end)
end)

describe("the second pass walks through a span only where the first one saw more than a head and a payload", function()
  local attributes = wire.attribute(9, "http.method", "GET") .. wire.attribute(9, "n", 7)
  local head = wire.text(1, ("t"):rep(16)) .. wire.text(2, ("s"):rep(8)) .. wire.text(4, ("p"):rep(8)) ..
    wire.text(5, "GET /") .. wire.varint_field(6, 3) .. wire.fixed64(7, 1000) .. wire.fixed64(8, 2000)
  local function body(spans)
    local fields = {}
    for i, span in ipairs(spans) do fields[i] = wire.text(2, span) end
    return wire.text(1, wire.text(2, table.concat(fields)))
  end
  local function is_noted(summary, i) return bit.band(bit.rshift(summary.plain[math.floor(i / 64)], i % 64), 1) == 1 end

  local ENDS = {
    { "nothing", "", true }, { "attributes", attributes, true }, { "a state", attributes .. wire.text(3, "a=b"), true },
    { "events, links and flags", wire.text(11, wire.text(2, "e")) .. wire.text(13, "") .. wire.tag(16, 5) .. "abcd", true },
    { "dropped attributes", wire.varint_field(10, 4) .. attributes, true },
    { "an empty status", attributes .. wire.text(15, ""), true },
    { "a status", attributes .. wire.text(15, wire.varint_field(3, 2)), false },
    { "a status, and an empty one", wire.text(15, wire.varint_field(3, 2)) .. wire.text(15, "") .. attributes, false },
    { "dropped events", attributes .. wire.varint_field(12, 5), false },
    { "another name", attributes .. wire.text(5, "POST /"), false },
    { "another end", wire.fixed64(8, 3000) .. attributes, false },
    { "an unknown field", attributes .. wire.text(40, "x"), false },
  }

  it("and says the same of both", function()
    for i, case in ipairs(ENDS) do
      local whole = body { head, head .. case[2], case[2] .. head }
      local err, summary = check(whole)
      assert.equal(0, err)
      assert.same({ true, case[3] }, { is_noted(summary, 0), is_noted(summary, 1) }, case[1])
      local walked = each(whole)
      assert.same(walked, each(whole, nil, summary), case[1])
      agree(whole, case[1])
      assert.equal(i == 1, is_noted(summary, 2), case[1])
    end
  end)

  it("in a body of more spans than are noted", function()
    local spans = {}
    for i = 1, core.OTLP_NOTED_SPANS + 70 do spans[i] = head .. ENDS[i % #ENDS + 1][2] end
    local whole = body(spans)
    local err, summary = check(whole)
    assert.equal(0, err)
    assert.is_true(is_noted(summary, core.OTLP_NOTED_SPANS - 1) == ENDS[core.OTLP_NOTED_SPANS % #ENDS + 1][3])
    local walked, told = each(whole), each(whole, nil, summary)
    for i in ipairs(spans) do
      walked[i].resource_at, told[i].resource_at = nil, nil
      if walked[i].status ~= told[i].status or walked[i].payload ~= told[i].payload or
        walked[i].name ~= told[i].name or walked[i].dropped_events ~= told[i].dropped_events then
        assert.same(walked[i], told[i])
      end
    end
    assert.equal(#walked, #told)
  end)
end)

describe("both decoders see the same", function()
  local names = { "js-sdk-proto.1.pb", "python-1.45.1-httpproto.1.pb", "prometheus-2.53.3-grpc.1.pb" }

  it("in every prefix, and none is taken for whole but between resources", function()
    for _, name in ipairs(names) do
      local body = fixture(name)
      for i = 1, #body - 1 do
        local err = check(body:sub(1, i))
        assert.is_true(err == ETRUNCATED or err == 0 and agree(body:sub(1, i)) == 0)
        agree(body:sub(1, i), "prefix")
      end
    end
  end)

  it("with any bit flipped", function()
    local body = fixture("js-sdk-proto.1.pb")
    for i = 1, #body do
      for b = 0, 7 do
        local flipped = string.char(bit.bxor(body:byte(i), 2 ^ b))
        agree(body:sub(1, i - 1) .. flipped .. body:sub(i + 1), ("byte %d, bit %d"):format(i, b))
      end
    end
  end)

  it("with pieces cut out, doubled, and swapped", function()
    math.randomseed(11)
    for _ = 1, 3000 do
      local body = fixture(names[math.random(#names)])
      local from = math.random(#body)
      local to = math.min(#body, from + math.random(0, 60))
      local at = math.random(#body)
      local middle = ({ "", body:sub(from, to):rep(2), body:sub(at, at + 30) })[math.random(3)]
      agree(body:sub(1, from - 1) .. middle .. body:sub(to + 1))
    end
  end)

  it("in random messages of the right shape", function()
    math.randomseed(12)
    local function field(depth)
      local number, kind = math.random(0, 17), math.random(6)
      if kind == 1 then return wire.varint_field(number, math.random(0, 300)) end
      if kind == 2 then return wire.fixed64(number, math.random(0, 2 ^ 31)) end
      if kind == 3 then return wire.tag(number, 5) .. "abcd" end
      local inner = {}
      for i = 1, depth > 0 and math.random(0, 4) or 0 do inner[i] = field(depth - 1) end
      return wire.text(math.random(1, kind == 4 and 2 or 9), table.concat(inner))
    end
    local accepted = 0
    for _ = 1, 20000 do
      local body = wire.text(1, wire.text(2, wire.text(2, field(3) .. field(2)) .. wire.text(1, field(2)))
        .. wire.text(1, field(3)))
      if agree(body) == 0 and check(body) == 0 then accepted = accepted + 1 end
    end
    assert.is_true(accepted > 500)
  end)
end)

describe("a body is refused", function()
  for _, case in ipairs({
    { "a group", "\11\12", EMALFORMED, "Request.resourceSpans: groups are not OTLP" },
    { "field number 0", "\0\1", EMALFORMED, "Request: no field starts here" },
    { "a resource that is no message", wire.varint_field(1, 1), EMALFORMED,
      "Request.resourceSpans: of a wrong wire type" },
    { "text instead of a time", wire.body { wire.text(7, "12345678") }, EMALFORMED,
      "Span.startTimeUnixNano: of a wrong wire type" },
    { "a span that does not fit its scope", wire.text(1, wire.text(2, "\18\5abc")):rep(2), EMALFORMED,
      "ScopeSpans.spans: " },
    { "an unknown wire type in a status", wire.body { wire.text(15, "\15\0") }, EMALFORMED,
      "Status: no such wire type" },
    { "a body cut short", wire.body({ wire.span() }):sub(1, -2), ETRUNCATED, "Request.resourceSpans: cut short" },
  }) do
    it("whole, and told why: " .. case[1], function()
      local err, what = check(case[2])
      assert.equal(case[3], err)
      assert.equal(case[4], what:sub(1, #case[4]))
    end)
  end

  it("with the byte that is at fault", function()
    local _, _, offset = check(wire.text(99, "unknown") .. "\11")
    assert.equal(10, offset)
  end)
end)

describe("a budget is met exactly, and not by one more:", function()
  local function limited(field, n)
    local limits = { depth_max = 64, spans_max = 1e5, elements_max = 1e5, decoded_bytes_max = 1e8 }
    limits[field] = n
    return limits
  end
  local function exact(body, field, n, err, text)
    assert.equal(0, (check(body, limited(field, n))))
    local got, what = check(body, limited(field, n - 1))
    assert.equal(err, got)
    assert.is_truthy(what:find(text, 1, true), what)
  end

  it("depth, through spans short and long, arrays, maps and plain attributes", function()
    for _, bytes in ipairs { 10, 20000 } do
      exact(wire.body { wire.span { name = ("n"):rep(bytes) } }, "depth_max", 3, EDEPTH, "ScopeSpans.spans: nested deeper than 2")
    end
    local nested = wire.span { extra = wire.text(9, wire.text(2, wire.nested(10))) }
    exact(wire.body { nested }, "depth_max", 5 + 20, EDEPTH, "nested deeper than 24")
    exact(wire.body { wire.span { attributes = { key = "value" } } }, "depth_max", 5, EDEPTH,
      "KeyValue.value: nested deeper than 4")
    exact(wire.body { wire.span { attributes = { key = "value" } } }, "depth_max", 5, EDEPTH, "deeper")
    exact(wire.body { wire.span { attributes = { key = ("v"):rep(200) } } }, "depth_max", 5, EDEPTH, "deeper")
    exact(wire.body({}, wire.attribute(1, "service.name", "s")), "depth_max", 4, EDEPTH, "deeper")
  end)

  it("spans, the bad ones too", function()
    exact(wire.body { wire.span(), "", wire.span() }, "spans_max", 3, ETOOMANY, "more spans than 2")
  end)

  it("elements: resources, scopes, attributes, events, links, values", function()
    local span = wire.span { attributes = { a = { 1, 2 }, b = 1 },
      extra = wire.text(11, wire.attribute(3, "e", 1)) .. wire.text(13, "") }
    exact(wire.body { span }, "elements_max", 2 + 4 + 2 + 1, ETOOMANY, "more elements than 8")
    local long = wire.span { attributes = { a = ("x"):rep(200), b = ("x"):rep(300), [("c"):rep(200)] = "x" } }
    exact(wire.body { long }, "elements_max", 2 + 3, ETOOMANY, "more elements than 4")
  end)

  it("decoded bytes: skeletons and payloads of good spans", function()
    local span = wire.span { attributes = { k = "v" } }
    local payload = #wire.attribute(9, "k", "v")
    exact(wire.body { span, span, "" }, "decoded_bytes_max", 2 * (80 + payload), ETOOLARGE, "decoded bytes exceed")
    local long = ("v"):rep(200)
    exact(wire.body { wire.span { attributes = { k = long } } }, "decoded_bytes_max", 80 + #wire.attribute(9, "k", long), ETOOLARGE,
      "decoded bytes exceed")
  end)

  it("a bomb of nesting ends at the bound, whatever its size", function()
    local bomb = wire.nested(3000)
    assert.equal(EDEPTH, (check(wire.body { wire.span { extra = wire.text(9, wire.text(2, bomb)) } })))
  end)
end)

describe("a bad id costs its span alone:", function()
  for what, span in pairs({
    ["no trace id"] = wire.text(2, ("s"):rep(8)), ["no span id"] = wire.text(1, ("t"):rep(16)),
    ["a short trace id"] = wire.span { trace_id = ("t"):rep(15) },
    ["a long trace id"] = wire.span { trace_id = ("t"):rep(17) },
    ["a zero trace id"] = wire.span { trace_id = ("\0"):rep(16) },
    ["a zero span id"] = wire.span { span_id = ("\0"):rep(8) },
    ["a long span id"] = wire.span { span_id = ("s"):rep(16) }, ["a short parent id"] = wire.span { parent_id = "p" },
    ["a long parent id"] = wire.span { parent_id = ("p"):rep(16) }, ["nothing at all"] = "",
  }) do
    it(what, function()
      local body = wire.body { wire.span { name = "before" }, span, wire.span { name = "after" } }
      local err, summary = check(body)
      assert.same({ 0, 3, 1 }, { err, summary.spans, summary.rejected })
      local spans = each(body)
      assert.same({ true, false, true }, { spans[1].valid, spans[2].valid, spans[3].valid })
      assert.same({ "before", "after" }, { spans[1].name, spans[3].name })
    end)
  end

  it("and an empty or zero parent id is none", function()
    local spans = each(wire.body { wire.span { parent_id = "" }, wire.span { parent_id = ("\0"):rep(8) } })
    for _, s in ipairs(spans) do assert.same({ true, ("\0"):rep(8) }, { s.valid, s.parent_id }) end
  end)
end)

describe("a span that is too large costs itself alone, in both passes:", function()
  local MANY, LIMITS = 65536, { 64, 100000, 1000000, 1e8 }
  local function is_taken(body, at, by_itself)
    local err, summary = check(body, LIMITS)
    assert.equal(0, err)
    local spans = each(body)
    if by_itself then assert.same({ spans[at].valid and 0 or 1, summary.large }, { summary.rejected, summary.rejected }) end
    for i, s in ipairs(spans) do assert.is_true(i == at or s.valid) end
    return spans[at].valid
  end

  local usual = wire.span { kind = 1 }
  for what, element in pairs({
    ["attributes"] = wire.text(9, ""), ["attributes with a value"] = wire.attribute(9, "k", "v"),
    ["events"] = wire.text(11, wire.text(2, "e")), ["links"] = wire.text(13, ""), ["fields that nobody knows"] = wire.varint_field(99, 1),
    ["names again"] = wire.text(5, "again"), ["kinds again"] = wire.varint_field(6, 1), ["trace ids again"] = wire.text(1, ("t"):rep(16)),
    ["long names again"] = wire.text(5, ("n"):rep(130)),
  }) do
    it(("it has more than %d %s"):format(MANY, what), function()
      for n = MANY, MANY + 1 do
        local body = wire.body { usual, usual .. element:rep(n), usual }
        assert.equal(n == MANY, is_taken(body, 2, true))
      end
    end)
  end

  for what, nested in pairs({
    ["attributes of an event"] = function(n) return wire.text(11, wire.text(3, ""):rep(n)) end,
    ["attributes of a link"] = function(n) return wire.text(13, wire.text(4, ""):rep(n)) end,
    ["values of an array"] = function(n) return wire.text(9, wire.text(2, wire.text(5, wire.text(1, ""):rep(n)))) end,
    ["values of a map"] = function(n) return wire.text(9, wire.text(2, wire.text(6, wire.text(1, ""):rep(n)))) end,
    ["values of one attribute"] = function(n) return wire.text(9, wire.text(1, "k") .. wire.text(2, ""):rep(n + 1)) end,
    ["codes of its status"] = function(n) return wire.text(15, wire.varint_field(3, 1):rep(n + 1)) .. wire.text(9, "") end,
  }) do
    it(("it has more than %d, and they are %s"):format(MANY, what), function()
      for n = MANY, MANY + 1 do assert.equal(n == MANY, is_taken(wire.body { usual, usual .. nested(n - 1) }, 2, true)) end
    end)
  end

  it("its name, its resource or its scope is longer than 65,536 bytes, in pieces too", function()
    for more = 0, 1 do
      local whole, half = wire.text(99, ("x"):rep(MANY + more - 5)), wire.text(99, ("x"):rep(MANY / 2 - 5))
      assert.same({ MANY + more, MANY / 2 }, { #whole, #half })
      assert.equal(more == 0, is_taken(wire.body { wire.span { name = ("n"):rep(MANY + more) } }, 1))
      assert.equal(more == 0, is_taken(wire.body({ usual }, whole), 1))
      assert.equal(more == 0, is_taken(wire.body({ usual }, nil, whole), 1))
      local joined = wire.text(1, half) .. wire.text(1, half) .. wire.text(1, wire.varint_field(98, 1):rep(more))
      assert.equal(more == 0, is_taken(wire.text(1, joined .. wire.text(2, wire.text(2, usual))), 1))
      assert.equal(more == 0, is_taken(wire.text(1, wire.text(2, joined .. wire.text(2, usual))), 1))
    end
  end)

  it("and the summary says what no resource and no scope has more of", function()
    local function around(body) return select(2, check(body)).around_bytes end
    local long, short = wire.text(99, ("x"):rep(60)), wire.text(99, ("x"):rep(20))
    assert.equal(#long, around(wire.body({ usual }, long, short) .. wire.body({ usual }, short, long)))
    assert.is_true(around(wire.text(1, wire.text(1, short) .. wire.text(1, long))) >= #short + #long)
    assert.equal(0, around(wire.body { usual }))
  end)
end)

describe("a span", function()
  local function one(s) return each(wire.body { wire.span(s) })[1] end

  it("comes with all of its fields", function()
    local s = one { parent_id = "parentid", kind = 3, start_ns = 1795232661632948701ULL,
      end_ns = 18446744073709551615ULL,
      status = 2, name = "né", extra = wire.varint_field(12, 9) }
    assert.same({ "parentid", "né", 3, 2, 9 }, { s.parent_id, s.name, s.kind, s.status, s.dropped_events })
    assert.is_true(s.start_ns == 1795232661632948701ULL and s.end_ns == 18446744073709551615ULL)
  end)

  it("has kind 0 and status 0 where they are out of range", function()
    for _, n in ipairs({ 6, -1, 2 ^ 31 }) do
      local s = one { kind = n, status = n }
      assert.same({ 0, 0 }, { s.kind, s.status })
    end
  end)

  it("takes the last of a doubled field, and merges a doubled status", function()
    local s = one { name = "first", kind = 1, extra = wire.text(5, "last") .. wire.varint_field(6, 2)
      .. wire.text(15, wire.varint_field(3, 2)) .. wire.text(15, wire.text(2, "why")) }
    assert.same({ "last", 2, 2 }, { s.name, s.kind, s.status })
  end)

  it("is the same however it begins: in the usual order or another, with fields doubled behind that, of any length", function()
    local ids = wire.text(1, ("t"):rep(16)) .. wire.text(2, ("s"):rep(8))
    local times = wire.tag(7, 1) .. "startstr" .. wire.tag(8, 1) .. "endend42"
    local function usual(parent, name, kind) return ids .. parent .. wire.text(5, name) .. wire.varint_field(6, kind) .. times end
    local parent, behind = wire.text(4, ("p"):rep(8)), wire.attribute(9, "a", 1) .. wire.text(15, wire.varint_field(3, 2))
    local beginnings = { usual("", "n", 1), usual(parent, "n", 2), usual(wire.text(4, ""), "n", 2), usual(wire.text(4, "p"), "n", 2),
      usual(wire.text(3, "state") .. parent, "n", 5), usual(parent, "", 0), usual(parent, ("n"):rep(127), 127),
      usual(parent, ("n"):rep(128), 128), usual(parent, "n\xff", 3), parent .. usual("", "n", 3), usual("", "n", 1):sub(29) .. ids }
    for i, beginning in ipairs(beginnings) do
      for _, later in ipairs { "", wire.text(1, ("T"):rep(16)), wire.text(1, "short"), wire.text(2, ("S"):rep(8)), wire.text(4, "short"),
                               wire.text(4, ("P"):rep(8)), wire.text(5, "later"), wire.varint_field(6, 4), times:sub(10) } do
        assert.equal(0, agree(wire.body { beginning .. behind .. later }, "beginning " .. i))
        assert.equal(0, agree(wire.body { beginning .. later }, "beginning " .. i))
      end
      for n = 0, #beginning do agree(wire.body { beginning:sub(1, n) }) end
    end
  end)

  it("keeps in its payload what its skeleton has no place for, as it was on the wire", function()
    local events = wire.text(11, wire.text(2, "e"))
    local kept = { wire.text(3, "state"), wire.attribute(9, "a", 1), events, wire.text(15, ""),
      wire.tag(16, 5) .. "flag" }
    local mixed = kept[1] .. wire.text(5, "n") .. kept[2] .. kept[3] .. wire.text(99, "unknown") .. kept[4]
      .. wire.varint_field(6, 1) .. kept[5] .. wire.varint_field(6, 2)
    assert.equal(table.concat(kept), one { extra = mixed }.payload)
    assert.equal("", one {}.payload)
  end)

  it("may be the last one: a call that returns non-zero ends it", function()
    local spans, err = each(wire.body { wire.span(), wire.span(), wire.span() }, 2)
    assert.same({ 2, 42 }, { #spans, err })
  end)
end)

describe("a resource and a scope", function()
  local function names(field, parts)
    local out = {}
    for i, part in ipairs(parts) do out[i] = wire.text(field, wire.attribute(1, part, part)) end
    return out
  end

  it("may come behind their spans", function()
    local scope = wire.text(2, wire.span()) .. wire.text(1, wire.text(1, "lib"))
    local body = wire.text(1, wire.text(2, scope) .. wire.text(1, wire.attribute(1, "k", "v")))
    local s = each(body)[1]
    assert.same({ wire.attribute(1, "k", "v"), wire.text(1, "lib") }, { s.resource, s.scope })
  end)

  it("may come behind ten thousand spans, and no step to them costs more than a few spans do", function()
    local one = wire.text(2, wire.span { extra = wire.attribute(9, "k", ("x"):rep(100)) })
    for _, piece in ipairs { { wire.text(2, "v") }, { wire.text(1, "lib"), wire.text(2, "v") } } do
      local scope = wire.text(1, piece[1]) .. (piece[2] and wire.text(1, piece[2]) or "")
      local body = wire.text(1, wire.text(2, one:rep(10000) .. scope) .. wire.text(1, wire.attribute(1, "k", "v")))
      local p, n, free = support.guarded(body)
      local c, cost, most, spans = ffi.new("struct otlp_cursor"), ffi.new("size_t[1]"), 0, 0
      assert.equal(0, core.otlp_open(c, p, n, nil))
      repeat
        local before = tonumber(cost[0])
        local step = core.otlp_step(c, cost)
        most = math.max(most, tonumber(cost[0]) - before)
        if step == core.OTLP_STEP_SPAN then
          spans = spans + 1
          assert.equal(table.concat(piece), ffi.string(c.span.scope.p, c.span.scope.n))
        end
      until step == core.OTLP_STEP_END
      assert.equal(10000, spans)
      assert.is_true(most < 16384, most)
      core.otlp_close(c)
      free()
    end
  end)

  it("may come in pieces, which are joined, each body's own", function()
    local r = names(1, { "a", "b", "c", "d" })
    local spans = wire.text(2, wire.text(2, wire.span()))
    local body = wire.text(1, r[1] .. spans .. r[2]) .. wire.text(1, r[3] .. r[4] .. spans) .. wire.text(1, spans)
    local got = each(body)
    assert.equal(wire.attribute(1, "a", "a") .. wire.attribute(1, "b", "b"), got[1].resource)
    assert.equal(wire.attribute(1, "c", "c") .. wire.attribute(1, "d", "d"), got[2].resource)
    assert.equal("", got[3].resource)
    assert.are_not.equal(got[1].resource_at, got[2].resource_at)
    assert.equal(0, agree(body))
  end)

  it("are looked for in pieces where the check saw some, or nobody says what it saw", function()
    local whole = wire.text(2, wire.text(1, wire.text(1, "x")) .. wire.text(2, wire.span()))
    local pieces = wire.text(2, wire.text(1, wire.text(1, "x")) .. wire.text(1, wire.text(2, "y")) .. wire.text(2, wire.span()))
    for _, case in ipairs { { whole, false }, { pieces, true }, { names(1, { "a", "b" })[1]:rep(2) .. whole, true } } do
      local body = wire.text(1, case[1])
      local _, summary = check(body)
      assert.equal(case[2], summary.pieces)
      core.heap_fail_from(1)
      local errs = { select(2, each(body, nil, summary)), (select(2, each(body))) }
      core.heap_fail_from(0)
      assert.same(case[2] and { ENOMEM, ENOMEM } or { 0, 0 }, errs)
      assert.equal(each(body)[1].scope, each(body, nil, summary)[1].scope)
    end
  end)

  it("in pieces and without memory give no span at all, and leak nothing", function()
    local r = names(1, { "a", "b" })
    local scope = wire.text(1, wire.text(1, "x")) .. wire.text(1, wire.text(2, "y")) .. wire.text(2, wire.span())
    local body = wire.text(1, r[1] .. r[2] .. wire.text(2, scope)):rep(3)
    local live = core.heap_live()
    for n = 1, 7 do
      core.heap_fail_from(n)
      local spans, err = each(body)
      core.heap_fail_from(0)
      assert.same(n <= 6 and { 0, ENOMEM } or { 3, 0 }, { #spans, err })
      assert.is_true(live == core.heap_live())
    end
  end)

  it("are the same where their bytes lie at the same place", function()
    local got = each(wire.body({ wire.span(), wire.span() }, wire.attribute(1, "k", "v")))
    assert.equal(got[1].resource_at, got[2].resource_at)
  end)
end)

describe("what is counted while checking:", function()
  it("strings that are not UTF-8, keys among them", function()
    local body = wire.body { wire.span { name = "\255", attributes = { ["k\254"] = "ok", ok = "\237\160\128" } } }
    local err, summary = check(body)
    assert.same({ 0, 3 }, { err, summary.invalid_utf8 })
  end)

  it("such strings in attributes of any length", function()
    for _, n in ipairs { 0, 10, 100, 117, 118, 119, 120, 200, 16370, 16371, 16372, 16373, 16374, 16384, 40000 } do
      for text, bad in pairs { [("x"):rep(n) .. "\255"] = 2, ["\255" .. ("x"):rep(n)] = 2, [("x"):rep(n) .. "\195\188"] = 1 } do
        local err, summary = check(wire.body { wire.span { attributes = { ["k\254"] = text } } })
        assert.same({ 0, bad }, { err, summary.invalid_utf8 })
      end
    end
  end)

  it("string indices, which are absent values", function()
    local value = wire.text(9, wire.text(1, "k") .. wire.text(2, wire.varint_field(8, 5)) .. wire.varint_field(3, 7))
    local err, summary = check(wire.body { wire.span { extra = value } })
    assert.same({ 0, 2 }, { err, summary.strindex })
  end)

  it("nothing in fields that it does not know", function()
    local err, summary = check(wire.body { wire.span { extra = wire.text(77, "\255\11\0") } } .. wire.text(50, "\11"))
    assert.same({ 0, 1, 0 }, { err, summary.spans, summary.invalid_utf8 })
  end)
end)

describe("the service of a resource", function()
  local function service(resource)
    local scratch, out = ffi.new("char[32]"), ffi.new("struct otlp_bytes")
    local p, n, free = support.guarded(resource)
    local found = core.otlp_service(ffi.new("struct otlp_bytes", p, n), scratch, out)
    local text = found and ffi.string(out.p, out.n) or nil
    free()
    return text
  end

  for _, case in ipairs({
    { "text", "shop", "shop" }, { "empty", "", "" }, { "an int", -12, "-12" }, { "a double", 0.5, "0.5" },
    { "a bool", true, "true" }, { "an array", { 1 }, nil },
  }) do
    it("may be " .. case[1], function()
      assert.equal(case[3], service(wire.attribute(1, "a", 1) .. wire.attribute(1, "service.name", case[2])))
    end)
  end

  it("is the last one given, or none", function()
    assert.equal("b", service(wire.attribute(1, "service.name", "a") .. wire.attribute(1, "service.name", "b")))
    assert.is_nil(service(wire.attribute(1, "service", "a")))
    assert.is_nil(service(""))
  end)
end)
