-- What a violation says of its cause: from OTLP to the printed line.
local replay = require("spec.replay")

-- "a@0 b@1<a!": replay.short, each span's service being its name in capitals, and what failed saying so.
local function spans_of(text, trace, services)
  local list = {}
  for i, s in ipairs(replay.short(text, trace)) do
    s.service = (services or {})[s.id] or s.name:upper()
    s.message = s.status and s.name .. " failed" or nil
    list[i] = replay.span(s)
  end
  return list
end

local function found_of(rules, ...)
  local found, status, stderr = replay.run(rules .. "\n", { ... })
  assert.equal(0, status, stderr)
  return found
end

local function names(list)
  local out = {}
  for i, s in ipairs(list) do out[i] = s.name end
  return table.concat(out, " < ")
end

-- "cause < impact …"
local function said(v)
  return v.cause and (v.cause.name .. (v.impact[1] and " < " .. names(v.impact) or "")) or "none"
end

local TRACE = 'rule "r" { when = trace.has { name = "front" } }'

describe("a violation of a trace in which a span failed", function()
  it("names the deepest failure as the cause, with its message, and those above it as the impact", function()
    local v = found_of(TRACE, spans_of "front@0! pay@1<front! db@2<pay! log@3<front")[1]
    assert.same({ span_id = replay.span_id("t", "db"), name = "db", service = "DB", message = "db failed" }, v.cause)
    assert.same({ { span_id = replay.span_id("t", "pay"), name = "pay", service = "PAY" },
                  { span_id = replay.span_id("t", "front"), name = "front", service = "FRONT" } }, v.impact)
    assert.is_nil(v.causes_total)
    assert.is_nil(v.impact_total)
  end)

  it("says how many independent causes there are", function()
    local v = found_of(TRACE, spans_of "front@0! a@1<front! b@2<front! c@3<b!")[1]
    assert.equal("c < b < front", said(v))
    assert.equal(2, v.causes_total)
  end)

  it("is not there without a failure, and has no impact without anybody above it", function()
    local v = found_of(TRACE, spans_of "front@0 pay@1<front")[1]
    assert.same({}, { v.cause, v.impact })
    v = found_of(TRACE, spans_of "front@0!")[1]
    assert.equal("none", v.cause and v.impact[1] or "none")
    assert.equal("front", said(v))
  end)

  it("says the same in whatever order its spans came", function()
    local wanted = {}
    for _, text in ipairs { "front@0! a@1<front! b@1<front! c@2<lost!", "c@2<lost! b@1<front! a@1<front! front@0!",
                            "a@1<front! front@0! c@2<lost! b@1<front!" } do
      local whole = found_of('rule "r" { when = trace.missing { name = "audit" } }', spans_of(text))[1]
      wanted[#wanted + 1] = said(whole) .. whole.causes_total
    end
    assert.is_truthy(wanted[1]:find("^[ab] < front3$"))
    assert.same({ wanted[1], wanted[1], wanted[1] }, wanted)
  end)

  it("goes by what was there when the rule fired", function()
    local span_rule = found_of('rule "r" { when = { name = "front" } }', spans_of "front@0!", spans_of "db@1<front!")[1]
    assert.equal("front", said(span_rule))
    span_rule = found_of('rule "r" { when = { name = "front" } }', spans_of "db@1<front!", spans_of "front@0!")[1]
    assert.equal("db < front", said(span_rule))
    local at_close = found_of('rule "r" { when = trace.missing { name = "audit" } }', spans_of "front@0!",
      spans_of "db@1<front!")[1]
    assert.equal("db < front", said(at_close))
  end)

  it("is told apart from that of a trace before it", function()
    local requests, wanted = {}, {}
    for i = 1, 12 do
      local at = i * 60000
      local text = i % 2 == 0 and "front@%d! b@%d<front" or "front@%d a@%d<front!"
      requests[i], wanted[i] = spans_of(text:format(at, at + 1), "t" .. i), i % 2 == 0 and "front" or "a < front"
    end
    local found = found_of(TRACE, unpack(requests))
    for i, v in ipairs(found) do found[i] = said(v) end
    assert.same(wanted, found)
  end)

  it("names 32 of those above, and their number", function()
    local words = { "s0@0" }
    for i = 1, 40 do words[#words + 1] = ("s%d@%d<s%d%s"):format(i, i, i - 1, i == 40 and "!" or "") end
    local v = found_of('rule "r" { when = trace.has { name = "s" } }', spans_of(table.concat(words, " ")))[1]
    assert.same({ 32, 40 }, { #v.impact, v.impact_total })
    assert.equal(replay.span_id("t", "s39"), v.impact[1].span_id)
  end)

  it("of a window or a sequence is the trace of the last witness, as long as it is open", function()
    local window = 'rule "r" { when = window("1m", { name = "front" }):count():over(1) }'
    local v = found_of(window, spans_of("front@0! db@0<front!", "one"), spans_of("front@1! cache@1<front!", "two"))[1]
    assert.equal("cache < front", said(v))
    assert.equal(replay.trace_id("two"), v.cause.trace_id)
    v = found_of(window, spans_of("front@0! db@0<front!", "one"), spans_of("front@1", "two"))[1]
    assert.equal("none", said(v))
    v = found_of('rule "r" { when = sequence { by = "name", within = "1m", { name = "front" }, not_ { name = "b" } } }',
      spans_of("front@0! db@0<front!", "one"), spans_of("x@120000", "two"))[1]
    assert.equal("none", said(v))
  end)

  it("of which every span breaks a rule says the cause as long as looking is cheap, and at the close", function()
    local requests = {}
    for i = 1, 700 do
      requests[i] = spans_of(i == 1 and "s0@0!" or ("s%d@%d<s%d!"):format(i - 1, i - 1, i - 2))
    end
    local found = found_of('rule "each" { when = {} } rule "end" { when = trace.missing { name = "audit" } }',
      unpack(requests))
    local with, last = 0, nil
    for _, v in ipairs(found) do
      if v.rule == "end" then last = v else with = with + (v.cause and 1 or 0) end
    end
    assert.is_true(with >= 500 and with < 700)
    assert.equal(699, last.impact_total)
  end)
end)
