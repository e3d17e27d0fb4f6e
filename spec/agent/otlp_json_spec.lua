-- OTLP/JSON as exporters of any age write it, through the real agent: what a span's text means is asked of rules.
-- One agent takes every case; each case has a trace and a rule of its own.
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")

local NAN = "function(v) return v ~= v end"
local BIG = "1795232661632948701"

--- A case: what it says, the members of its span (beside its ids), the pattern that must hit that span.
-- `attr` instead of `span`: the value of attribute k. `body`: the whole body, IDS and TRACE, SPAN in it filled in.
local SPAN = {
  { "an escaped character", span = [["name":"a\u0062\n\"\/"]], hits = [[name = 'ab\n"/']] },
  { "a surrogate pair", span = [["name":"\ud83d\udc0e"]], hits = [[name = "🐎"]] },
  { "raw UTF-8", span = [["name":"žluťoučký 🐎"]], hits = [[name = "žluťoučký 🐎"]] },
  { "a lone surrogate, replaced", span = [["name":"a\ud83db"]], hits = [[name = "a\239\191\189b"]] },
  { "bytes that are no UTF-8, replaced", span = '"name":"a\255b"', hits = [[name = "a\239\191\189b"]] },
  { "an empty name", span = [["name":""]], hits = [[name = ""]] },
  { "no name", span = [["kind":1]], hits = [[name = ""]] },
  { "a kind as an integer", span = [["kind":2]], hits = [[kind = "SERVER"]] },
  { "a kind by its name", span = [["kind":"SPAN_KIND_CONSUMER"]], hits = [[kind = "CONSUMER"]] },
  { "a kind in quotes", span = [["kind":"3"]], hits = [[kind = "CLIENT"]] },
  { "a status as an integer", span = [["status":{"code":2,"message":"m"}]], hits = [[status = "ERROR", status_message = "m"]] },
  { "a status by its name", span = [["status":{"code":"STATUS_CODE_OK"}]], hits = [[status = "EXPLICIT_OK"]] },
  { "a status that is empty", span = [["status":{}]], hits = [[status = "UNSET"]] },
  { "no status", span = [["kind":1]], hits = [[status = "UNSET"]] },
  { "times as strings, to the nanosecond", span = ([["startTimeUnixNano":"%s","endTimeUnixNano":"1795232661632948702"]]):format(BIG),
    hits = [[duration = eq "1ns"]] },
  { "times as numbers, to the nanosecond", span = ([["startTimeUnixNano":%s,"endTimeUnixNano":1795232661632948702]]):format(BIG),
    hits = [[duration = eq "1ns"]] },
  { "times with an exponent", span = [["startTimeUnixNano":1.7e18,"endTimeUnixNano":17000000003E8]], hits = [[duration = eq "300ms"]] },
  { "an end before the start", span = [["startTimeUnixNano":"5","endTimeUnixNano":"4"]], hits = [[duration = 0]] },
  { "no end", span = [["startTimeUnixNano":"5","endTimeUnixNano":"0"]], hits = [[duration = 0]] },
  { "an empty parent id", span = [["parentSpanId":""]], hits = [[root = true]] },
  { "a parent id that is null", span = [["parentSpanId":null]], hits = [[root = true]] },
  { "a parent id of zeros", span = [["parentSpanId":"0000000000000000"]], hits = [[root = true]] },
  { "a parent id in upper case", span = [["parentSpanId":"00000000000000AB"]], hits = [[root = false, parent_id = "00000000000000ab"]] },
  { "a trace state", span = [["traceState":"a=b,c=d"]], hits = [[trace_state = "a=b,c=d"]] },
  { "every field null", span = [["name":null,"kind":null,"startTimeUnixNano":null,"attributes":null,"events":null,"links":null,]]
    .. [["status":null,"flags":null,"droppedAttributesCount":null,"traceState":null]], hits = [[name = "", status = "UNSET", k = missing]] },
  { "unknown members of any type and depth", hits = [[name = "n"]],
    span = [=["name":"n","a":null,"b":[[{"c":[1,"x",{}]}]],"d":{"name":"no","e":{"f":[true]}},"g":-1.5e-3,"h":"\u0000"]=] },
  { "a name in snake case, unknown", span = [["trace_state":"no","dropped_events_count":"no","name":"n"]],
    hits = [[name = "n", trace_state = missing]] },
  { "members in alphabetical order", hits = [[name = "n", kind = "SERVER", status = "ERROR", k = 1, root = false]],
    span = [["attributes":[{"key":"k","value":{"intValue":"1"}} ],"endTimeUnixNano":"2","events":[],"kind":2,"name":"n",]]
      .. [["parentSpanId":"00000000000000ab","startTimeUnixNano":"1","status":{"code":2}]] },
  { "flags and dropped counts", span = [["flags":257,"droppedAttributesCount":1,"droppedEventsCount":"2","droppedLinksCount":0,"name":"n"]],
    hits = [[name = "n"]] },
  { "a member twice: the last", span = [["name":"no","name":"n"]], hits = [[name = "n"]] },
  { "a key with an escape", span = [["n\u0061me":"n"]], hits = [[name = "n"]] },
}

local VALUE = {
  { "text", [[{"stringValue":"s"}]], [[k = "s"]] },
  { "empty text", [[{"stringValue":""}]], [[k = ""]] },
  { "an int in quotes", [[{"intValue":"7"}]], [[k = 7]] },
  { "an int", [[{"intValue":7}]], [[k = 7]] },
  { "a negative int", [[{"intValue":"-7"}]], [[k = lt(-6)]] },
  { "an int beyond 2^53", [[{"intValue":9007199254740993}]], [[k = 9007199254740993LL]] },
  { "the largest int", [[{"intValue":"9223372036854775807"}]], [[k = "9223372036854775807"]] },
  { "the smallest int", [[{"intValue":-9223372036854775808}]], [[k = lt "-9223372036854775807"]] },
  { "an int with an exponent", [[{"intValue":1e3}]], [[k = 1000]] },
  { "a double", [[{"doubleValue":0.5}]], [[k = 0.5]] },
  { "a double in quotes", [[{"doubleValue":"0.5"}]], [[k = 0.5]] },
  { "a double that is whole", [[{"doubleValue":500}]], [[k = 500]] },
  { "infinity", [[{"doubleValue":"Infinity"}]], [[k = gt(1e308)]] },
  { "minus infinity", [[{"doubleValue":"-Infinity"}]], [[k = lt(-1e308)]] },
  { "not a number", [[{"doubleValue":"NaN"}]], "k = " .. NAN },
  { "true", [[{"boolValue":true}]], [[k = true]] },
  { "false", [[{"boolValue":false}]], [[k = false]] },
  { "bytes in base64", [[{"bytesValue":"aGk="}]], [[where = function(s) return s.attributes.k == "hi" end]] },
  { "bytes without padding", [[{"bytesValue":"aGk"}]], [[where = function(s) return s.attributes.k == "hi" end]] },
  { "bytes in the alphabet of URLs", [[{"bytesValue":"-_8"}]], [[where = function(s) return s.attributes.k == "\251\255" end]] },
  { "an array", [[{"arrayValue":{"values":[{"stringValue":"a"},{"stringValue":"b"}]}}]], [[k = "b"]] },
  { "an array of mixed types", [[{"arrayValue":{"values":[{"intValue":1},{"stringValue":"x"}]}}]], [[k = one_of { "x" }]] },
  { "an array with an empty value", [[{"arrayValue":{"values":[{},{"intValue":1}]}}]], [[k = 1]] },
  { "an array of nothing", [[{"arrayValue":{}}]], [[k = exists]] },
  { "an array of arrays", [[{"arrayValue":{"values":[{"arrayValue":{"values":[{"intValue":4}]}}]}}]],
    [[where = function(s) return s.attributes.k[1][1] == 4 end]] },
  { "a map", [[{"kvlistValue":{"values":[{"key":"a","value":{"intValue":4}}]}}]], [[where = function(s) return s.attributes.k.a == 4 end]] },
  { "an unknown member beside it", [[{"x":{"stringValue":"no"},"stringValue":"s","stringvalue":"no"}]], [[k = "s"]] },
}

local BODY = {
  { "schemaUrl before the scope, the resource last", [[{"resourceSpans":[{"schemaUrl":"u","scopeSpans":[{"schemaUrl":"u","spans":[{IDS}],]]
    .. [["scope":{"version":"1","name":"l"}}],"resource":{"attributes":[{"value":{"stringValue":"shop"},"key":"service.name"}]}}]}]],
    [[service = "shop", scope = "l", scope_version = "1"]] },
  { "the ids last in their span", [[{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"n","attributes":[{"value":{"intValue":1},"key":"k"}],IDS}]}]}]}]],
    [[name = "n", k = 1]] },
  { "the shape of JavaScript exporters before 1.0", [[{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"old"}}]},]]
    .. [["instrumentationLibrarySpans":[{"instrumentationLibrary":{"name":"l"},"spans":[{IDS,"name":"n","startTimeUnixNano":1795232661632948700,]]
    .. [["endTimeUnixNano":1795232661932948700}]}]}]}]], [[service = "old", scope = "l", name = "n", duration = eq "300ms"]] },
  { "pretty lines, and a BOM", "\239\187\191{\r\n\t\"resourceSpans\" : [ {\n \"scopeSpans\": [ { \"spans\": [ { IDS , \"name\" : \"n\" } ] } ]\n} ]\r\n}\n",
    [[name = "n"]] },
  { "nulls in lists", [[{"resourceSpans":[null,{"scopeSpans":[null,{"spans":[null,{IDS,"name":"n","attributes":[null,{"key":"k","value":{"intValue":1}}]}]}]}]}]],
    [[name = "n", k = 1]] },
  { "ids in upper case", [[{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"UPPER","spanId":"00000000000000AB","name":"n"}]}]}]}]],
    [[name = "n", span_id = "00000000000000ab"]] },
  { "an event", [[{"resourceSpans":[{"scopeSpans":[{"spans":[{IDS,"startTimeUnixNano":"1","endTimeUnixNano":"9","events":[{"timeUnixNano":5,"name":"e",]]
    .. [["droppedAttributesCount":0,"attributes":[{"value":{"intValue":"1"},"key":"x"}]}]}]}]}]}]], [[event = { name = "e", x = 1 }]] },
  { "a link, its ids in hex", [[{"resourceSpans":[{"scopeSpans":[{"spans":[{IDS,"links":[{"traceId":"0000000000000000000000000000CAFE","spanId":"00000000000000AB",]]
    .. [["traceState":"s","attributes":[{"key":"x","value":{"boolValue":true}}]}]}]}]}]}]],
    [[link = { trace_id = "0000000000000000000000000000cafe", span_id = "00000000000000ab", trace_state = "s", x = true }]] },
  { "attributes of scope and resource", [[{"resourceSpans":[{"resource":{"entityRefs":[{"type":"service","idKeys":["service.name"]}],]]
    .. [["attributes":[{"key":"env","value":{"stringValue":"prod"}}]},"scopeSpans":[{"scope":{"name":"l","attributes":[{"key":"a","value":{"intValue":1}}]},]]
    .. [["spans":[{IDS,"name":"n"}]}]}]}]], [[scope = "l", name = "n", resource = { env = "prod" }]] },
  { "a service name that is an int", [[{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"intValue":"5"}}]},]]
    .. [["scopeSpans":[{"spans":[{IDS}]}]}]}]], [[resource = { ["service.name"] = 5 }]] },
  { "other top-level members", [[{"x":[{"resourceSpans":[]}],"resourceSpans":[{"scopeSpans":[{"spans":[{IDS,"name":"n"}]}]}],"resource_spans":7}]], [[name = "n"]] },
}

-- Values that are there and say nothing, or are not there: each pattern must miss its span.
local NOTHING = {
  { "an empty value", [=["attributes":[{"key":"k","value":{}}]]=], [[k = one_of { "", 0, false }]] },
  { "a value that is null", [=["attributes":[{"key":"k","value":null}]]=], [[k = one_of { "", 0, false }]] },
  { "a value whose member is null", [=["attributes":[{"key":"k","value":{"stringValue":null}}]]=], [[k = ""]] },
  { "a value of the profiles", [=["attributes":[{"key":"k","value":{"stringValueStrindex":1}}]]=], [[k = one_of { 1, "1" }]] },
  { "an unknown kind", [["kind":77]], [[kind = one_of { "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER" }]] },
  { "a key in another case", [["Name":"n","NAME":"n"]], [[name = "n"]] },
}

local function fill(text, i)
  local trace, span = ("%032x"):format(0xabc000 + i), ("%016x"):format(i)
  local ids = ('"traceId":"%s","spanId":"%s"'):format(trace, span)
  return (text:gsub("IDS", ids):gsub("UPPER", (trace:upper()))), trace
end

local function of_span(members) return '{"resourceSpans":[{"scopeSpans":[{"spans":[{IDS,' .. members .. "}]}]}]}" end

local cases = {}
local function add(what, body, pattern, misses)
  local i = #cases + 1
  local text, trace = fill(body, i)
  cases[i] = { what = what, body = text, trace = trace, misses = misses,
    rule = ('rule "%d" { when = { trace_id = "%s", %s } }'):format(i, trace, pattern) }
  return cases[i]
end

describe("a span in JSON", function()
  local found_of, totals = {}, nil

  lazy_setup(function()
    local rules = { 'rule "any" { when = {} }' }
    for i, case in ipairs(cases) do rules[i + 1] = case.rule end
    local agent = assert(harness.start { rules = table.concat(rules, "\n") })
    for _, case in ipairs(cases) do case.status, case.answer = agent:post(case.body) end
    local found
    found, totals = agent:stop()
    for _, violation in ipairs(found) do
      found_of[violation.rule .. " " .. violation.trace_id] = (found_of[violation.rule .. " " .. violation.trace_id] or 0) + 1
    end
  end)

  local function holds(case, i)
    assert.same({ 200, "{}" }, { case.status, case.answer })
    assert.equal(1, found_of["any " .. case.trace])
    assert.equal((not case.misses) and 1 or nil, found_of[i .. " " .. case.trace])
  end
  local function declare(list, make)
    for _, row in ipairs(list) do
      local case = make(row)
      local i = #cases
      it(case.what, function() holds(case, i) end)
    end
  end

  declare(SPAN, function(row) return add("has " .. row[1], of_span(row.span), row.hits) end)
  declare(VALUE, function(row)
    return add("may have an attribute that is " .. row[1], of_span(('"attributes":[{"value":%s,"key":"k"}]'):format(row[2])), row[3])
  end)
  declare(BODY, function(row) return add("may come with " .. row[1], row[2], row[3]) end)
  declare(NOTHING, function(row) return add("says nothing with " .. row[1], of_span(row[2]), row[3], true) end)

  it("is counted once", function() assert.same({ #cases, 0 }, { totals.evaluated, totals.rejected }) end)
end)

describe("what is no OTLP/JSON", function()
  local refused = {
    "", "null", "[]", "5", '"x"', "{", '{"resourceSpans":{}}', '{"resourceSpans":"x"}', "{}{}", "{} x", "{'a':1}", '{"a":NaN}',
    of_span '"name":5', of_span '"startTimeUnixNano":"-1"', of_span '"startTimeUnixNano":"x"', of_span '"kind":true',
    of_span '"attributes":{}', of_span '"attributes":[5]', of_span '"attributes":[{"key":"k","value":5}]',
    of_span '"attributes":[{"key":"k","value":{"intValue":"x"}}]', of_span '"attributes":[{"key":"k","value":{"intValue":1.5}}]',
    of_span '"attributes":[{"key":"k","value":{"bytesValue":"a*"}}]', of_span '"events":[[]]', of_span '"status":2',
    of_span '"name":"a\nb"', of_span '"name":"\\x"',
  }
  it("is 400 with a status and its place, and nothing of it exists, the good spans before it neither", function()
    local agent = assert(harness.start { rules = 'rule "any" { when = {} }' })
    for i, text in ipairs(refused) do
      local status, answer = agent:post((fill(text, i)))
      assert.equal(400, status, text)
      local told = cjson.decode(answer)
      assert.equal(3, told.code)
      assert.truthy(told.message:find("line %d+, column %d+"), told.message)
    end
    local good = replay.span { name = "a" }
    local text = cjson.encode(replay.request { good, good, good })
    assert.equal(400, (agent:post(text:sub(1, -2))))
    assert.equal(400, (agent:post(text .. "]")))
    local found, totals = agent:stop()
    assert.same({ 0, 0 }, { #found, totals.received })
  end)
end)

describe("ids", function()
  local function of_ids(trace, span, parent)
    return ('{"traceId":%s,"spanId":%s,"name":"n","parentSpanId":"%s"}'):format(trace, span, parent or "")
  end
  local T, S = '"5b8efff798038103d269b633813fc60c"', '"eee19b7ec3c1b174"'

  it("that are wrong cost their span, in any way they can be wrong, and no other span of the body", function()
    local bad = {
      of_ids('""', S), of_ids(T, '""'), of_ids("null", S), of_ids(T, "null"), of_ids('"' .. ("0"):rep(32) .. '"', S),
      of_ids(T, '"' .. ("0"):rep(16) .. '"'), of_ids(S, S), of_ids(T, T), of_ids('"5b8efff798038103d269b633813fc60"', S),
      of_ids(T, '"eee19b7ec3c1b17"'), of_ids('"5b8efff798038103d269b633813fc60g"', S), of_ids(T, '"eee19b7ec3c1b1 4"'),
      of_ids('"W47/95gDgQPSabYzgT/GDA=="', S), "{}", '{"name":"n"}',
      of_ids(T, S, "ab"), of_ids(T, S, "00f067aa0ba902b7ab"), of_ids(T, S, "no"),
    }
    local agent = assert(harness.start { rules = 'rule "any" { when = {} }' })
    local all = { of_ids(T, S) }
    for _, span in ipairs(bad) do all[#all + 1] = span end
    all[#all + 1] = of_ids(T, '"eee19b7ec3c1b175"')
    local status, answer = agent:post('{"resourceSpans":[{"scopeSpans":[{"spans":[' .. table.concat(all, ",") .. "]}]}]}")
    assert.equal(200, status, answer)
    local partial = cjson.decode(answer).partialSuccess
    assert.equal(tostring(#bad), tostring(partial.rejectedSpans))
    assert.truthy(partial.errorMessage:find("id", 1, true))
    local found, totals = agent:stop()
    assert.same({ 2, #bad + 2, 2, #bad }, { #found, totals.received, totals.evaluated, totals.rejected })
  end)
end)
