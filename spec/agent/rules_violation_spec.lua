-- What a violation says, and how replay says it (rules/README.md, What comes out).
local cjson = require("cjson")
local replay = require("spec.replay")
local span, arrival, clock = replay.span, replay.arrival, replay.clock

local function one(rules, ...)
  local found, status, stderr = replay.run(rules, { ... })
  assert.equal(0, status, stderr)
  assert.equal(1, #found, stderr)
  return found[1]
end

local function keys(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, " ")
end

describe("a violation", function()
  it("of a span rule is this object", function()
    local v = one('rule "slow" { when = { name = "a" }, severity = "critical", summary = "{service} is slow", '
      .. 'labels = { team = "x", area = "y" } }', arrival "a@5+300")
    assert.equal("estimated id labels late rule scope severity span_total spans summary time trace_id", keys(v))
    assert.same({ "slow", "critical", "span", clock(305), replay.trace_id("t"), "svc is slow", false, false, 1,
      { team = "x", area = "y" } },
                { v.rule, v.severity, v.scope, v.time, v.trace_id, v.summary, v.estimated, v.late, v.span_total,
                  v.labels })
    assert.same({ { span_id = replay.span_id("t", "a"), name = "a", service = "svc" } }, v.spans)
  end)

  it("of a trace rule has scope trace, and reason, value and threshold where they apply", function()
    local v = one('rule "r" { when = trace.count { name = "a" }:over(1) * trace.missing { name = "audit.log" } }',
      arrival "a1@0 a2@1")
    assert.equal("estimated id labels late reason rule scope severity span_total spans threshold time trace_id "
      .. "value", keys(v))
    assert.same({ "trace", 2, 1, "missing audit.log", "medium" },
      { v.scope, v.value, v.threshold, v.reason, v.severity })
  end)

  it("leaves out what does not apply", function()
    assert.equal("estimated id labels late rule scope severity span_total spans time trace_id",
      keys(one('rule "r" { when = trace.has {} }', arrival "a@0")))
    assert.is_nil(one('rule "r" { when = {} }', { span { name = "a", service = false } }).spans[1].service)
  end)

  it("shows the witnesses in start order, 32 at most, and their number", function()
    local words = {}
    for i = 40, 1, -1 do words[#words + 1] = ("a%d@%d"):format(i, i) end
    local v = one('rule "r" { when = trace.count { name = "a" }:over(35) }', arrival(table.concat(words, " ")))
    assert.same({ 32, 40 }, { #v.spans, v.span_total })
    for i = 1, 32 do assert.equal(replay.span_id("t", "a" .. i), v.spans[i].span_id) end
    v = one('rule "r" { when = trace.has { name = "b" } * trace.has { name = "a" } }', arrival "a@0 b@5")
    assert.same({ "a", "b" }, { v.spans[1].name, v.spans[2].name })
  end)

  it("of a span that ends before it starts has the time of its start", function()
    assert.equal(clock(10), one('rule "r" { when = {} }', { span { name = "a", at = 10, end_ns = "0" } }).time)
    assert.equal(clock(10), one('rule "r" { when = {} }',
      { span { name = "a", at = 10, end_ns = replay.time(3) } }).time)
    assert.equal(clock(10), one('rule "r" { when = trace.has {} }',
      { span { name = "a", at = 10, end_ns = "0" } }).time)
  end)

  it("has nine digits behind the second", function()
    assert.equal("2025-10-13T12:00:00.000000001Z", one('rule "r" { when = {} }', arrival "a@0+0.000001").time)
    assert.equal("2025-10-13T12:01:01.500000000Z", one('rule "r" { when = {} }', arrival "a@61500+0").time)
  end)

  it("is valid JSON whatever names hold", function()
    local v = one('rule "qu\\"ote\\n" { when = {}, summary = "{name} \\\\ {v}", labels = { ["a\\"b"] = "\\t" } }',
      { span { name = 'x"y\\z\n\1', attr = { v = "ü€" } } })
    assert.same({ 'qu"ote\n', 'x"y\\z\n\1', 'x"y\\z\n\1 \\ ü€', "\t" },
      { v.rule, v.spans[1].name, v.summary, v.labels['a"b'] })
  end)
end)

describe("shadow and off", function()
  it("shadow is evaluated and printed with its mark, off is left out", function()
    local found = replay.run('rule "a" { when = {}, mode = "shadow" }\nrule "b" { when = {}, mode = "off" '
      .. '}\nrule "c" { when = {} }\nrule "d" { when = trace.missing { name = "z" }, mode = "off" }\n'
      .. 'rule "e" { when = trace.missing { name = "z" }, mode = "shadow" }\nrule "f" { when = function() return '
        .. 'true end, mode = "off" }', { arrival "a@0" })
    local names = {}
    for i, v in ipairs(found) do names[i] = v.rule .. tostring(v.shadow) end
    table.sort(names)
    assert.equal("atrue cnil etrue", table.concat(names, " "))
  end)

  it("off is checked all the same", function()
    local _, status = replay.run('rule "b" { when = { status = "X" }, mode = "off" }', { arrival "a@0" })
    assert.equal(1, status)
  end)
end)

describe("a reason", function()
  local function reason(rule, trace) return one(('rule "r" { %s }'):format(rule), arrival(trace)).reason end
  it("of an absence is missing and the pattern's name, or its source text where it names none", function()
    assert.equal("missing audit.log", reason('when = trace.missing { name = "audit.log" }', "a@0"))
    assert.equal("missing audit.log", reason('when = trace.has {} * trace.missing { name = "audit.log", status = '
      .. '"OK" }', "a@0"))
    assert.equal("missing { v = gt(3), w = 'x' }", reason("when = trace.missing { v = gt(3), w = 'x' }", "a@0"))
    assert.equal("missing function(s) return s.name == 'z' end",
      reason("when = trace.missing(function(s) return s.name == 'z' end)", "a@0"))
    assert.equal("missing any_of { { v = 1 }, { w = 2 } }",
      reason("when = trace.missing(any_of { { v = 1 }, { w = 2 } })", "a@0"))
  end)

  it("of a broken invariant names each broken part, joined by ; ", function()
    local text = reason('when = trace.has { name = "a" }, always = trace.has { name = "f" }, never = trace.has { '
      .. 'name = "b" }', "a@0 b@1")
    assert.truthy(text:find("always: missing f; never: b", 1, true), text)
  end)
end)

describe("a template", function()
  local function summary(template, s, rule)
    s = s or {}
    s.name = s.name or "GET /x"
    return one(('rule "r" { summary = %q, severity = "low", %s }'):format(template, rule or "when = {}"),
      { span(s) }).summary
  end

  it("is filled from the first witness; a whole number prints without a fraction", function()
    local s = { dur = 301, status = "ERROR", kind = "SERVER",
      attr = { n = 5, d = 2.5, t = true, text = "x", ["http.route"] = "/a/{id}",
      whole = replay.wire { doubleValue = 301 } }, resource = { env = "prod" }, message = "boom" }
    for template, text in pairs {
      ["{service}: {span.name} took {span.duration} ms"] = "svc: GET /x took 301 ms",
        ["{name} {status} {kind} {status_message}"] = "GET /x ERROR SERVER boom",
        ["{n} {d} {t} {text} {whole}"] = "5 2.5 true x 301", ["{http.route}"] = "/a/{id}",
      ["{span.attributes.http.route} {span.attributes.n}"] = "/a/{id} 5", ["{resource.env}"] = "prod",
        ["{rule} {severity}"] = "r low", ["{trace_id}"] = replay.trace_id("t"), ["{span.service}"] = "svc",
        ["{span_total}"] = "1",
      ["{{{name}}} {{}}"] = "{GET /x} {}", ["{ name }"] = "GET /x", ["{nothing} {resource.nothing}"] = "- -",
        ["plain"] = "plain", ["{value} {reason}"] = "- -",
    } do assert.equal(text, summary(template,
      { dur = s.dur, status = s.status, kind = s.kind, attr = s.attr, resource = s.resource, message = s.message }),
      template) end
    assert.equal("301.000001", summary("{duration}", { dur = 301.000001 }))
    assert.equal("0.5", summary("{span.duration}", { dur = 0.5 }))
    assert.equal("200", summary("{http.status_code}", { attr = { ["http.response.status_code"] = 200 } }))
  end)

  it("knows value, threshold and reason of a trace rule", function()
    assert.equal("1 of 0, GET /x", summary("{value} of {threshold}, {name}", nil, "when = trace.count {}:over(0)"))
    assert.equal("missing z: -", summary("{reason}: {name}", nil, "when = trace.missing { name = 'z' }"))
  end)
end)

describe("the id", function()
  local RULES = [[
rule "span" { when = { name = "a" } }
rule "has" { when = trace.has { name = "a" } }
rule "chain" { when = trace.has { name = "a" }:followed_by { name = "b" }:within "5s" }
rule "count" { when = trace.count { name = "a" }:over(1) }
rule "absent" { when = trace.has { name = "b" } * trace.missing { name = "z" } }
rule "below" { when = trace.where { name = "r" }:has { name = "a", duration = gt(5) } }
rule "window" { when = (trace.has { name = "a" } * trace.missing { name = "c" }):within "3ms" }
rule "function" { when = trace.all(function(s) return s.duration > 1 end) }
rule "inv" { when = trace.has { name = "a" }, always = trace.has { name = "z" }, never = trace.has { name = "b" } }
]]
  local function ids(found)
    local list = {}
    for i, v in ipairs(found) do list[i] = v.rule .. v.trace_id .. v.id end
    table.sort(list)
    return table.concat(list, " ")
  end

  it("is the same whatever the order of arrival, in one request or many", function()
    local spans = {}
    for _, trace in ipairs { "t", "u" } do
      for _, s in ipairs(replay.short("r@0+100 a1@1<r a2@7<a1 b1@3<r b2@9<a2 c@2<r",
        trace)) do spans[#spans + 1] = span(s) end
    end
    local expected = ids(replay.run(RULES, { spans }))
    assert.truthy(#expected > 10 * 32)
    local seed = 7
    local function random(n) seed = (seed * 1103515245 + 12345) % 2147483648
      return math.floor(seed / 65536) % n + 1 end
    for round = 1, 100 do
      for i = #spans, 2, -1 do
        local j = random(i)
        spans[i], spans[j] = spans[j], spans[i]
      end
      local requests = { {} }
      for _, s in ipairs(spans) do
        if random(2) == 1 then requests[#requests + 1] = {} end
        table.insert(requests[#requests], s)
      end
      assert.equal(expected, ids(replay.run(RULES, requests)), "round " .. round)
    end
  end)

  it("is another for another rule, span, trace or meaning, and the same for another description", function()
    local function id(text, trace) return one(text, arrival(trace or "a@0")).id end
    local first = id 'rule "r" { when = { name = "a" } }'
    assert.equal(first, id('rule "r" { when = { name = "a" }, description = "x", severity = "low", labels = { a '
      .. '= "b" } }'))
    assert.equal(first, id '-- a comment\nrule   "r" {\n when = { name = "a" }\n}')
    assert.equal(first, id 'rule "r" { when = { name = "a" } }\nrule "z" { when = { name = "zz" } }')
    for _, other in ipairs { 'rule "s" { when = { name = "a" } }', 'rule "r" { when = { name = glob "a" } }',
      'rule "r" { when = trace.has { name = "a" } }', 'rule "r" { when = { name = prefix "a" } }' } do
      assert.not_equal(first, id(other), other)
    end
    assert.not_equal(first, id('rule "r" { when = { name = "a" } }', "a1@0"))
    assert.not_equal(id 'rule "r" { when = trace.has { name = "a" } }',
      id 'rule "r" { when = trace.has { name = "a" }, complete = true }')
    assert.not_equal(id 'rule "r" { when = function() return true end }',
      id 'rule "r" { when = function() return 1 end }')
    assert.equal(id 'rule "r" { when = function() return true end }',
      id 'rule "r" { when = function() return true end }')
  end)
end)

describe("fluo replay", function()
  local ANY = 'rule "any" { when = {} }\n'
  local function files(rules, texts, flags)
    local path, names = os.tmpname() .. ".lua", {}
    replay.write(path, rules)
    for i, text in ipairs(texts) do
      names[i] = os.tmpname()
      replay.write(names[i], text)
    end
    local status, stdout, stderr = replay.shell(("%s replay --rules %s %s %s"):format(replay.fluo, path,
      flags or "", table.concat(names, " ")))
    os.remove(path)
    for _, name in ipairs(names) do os.remove(name) end
    return status, stdout, stderr
  end
  local function line(...) return cjson.encode(replay.request(...)) .. "\n" end

  it("prints exactly the objects, one a line, in order of time, ties by rule, then id", function()
    local text = line(arrival "a@9+1 b@0+1 c@5+5 d@5+5")
    local status, stdout, stderr = files('rule "z" { when = {} }\nrule "m" { when = {} }\nrule "late" { when = '
      .. 'trace.missing { name = "q" } }\n', { text })
    assert.equal(0, status, stderr)
    local previous, n = "", 0
    for printed in stdout:gmatch("([^\n]*)\n") do
      local v = cjson.decode(printed)
      local key = v.time .. v.rule .. v.id
      assert.is_true(previous < key)
      previous, n = key, n + 1
    end
    assert.equal(9, n)
    assert.equal("\n", stdout:sub(-1))
  end)

  it("runs no action", function()
    local _, stdout, stderr = files('rule "any" { when = { name = "a" }, actions = { log "HELLO {name}" } }\n',
      { line(arrival "a@0") })
    assert.is_nil((stdout .. stderr):find("HELLO", 1, true))
  end)

  it("lets a request arrive at receivedAtUnixNano, else at its latest end, never before the one ahead; due "
    .. "timers run first", function()
    local rule = 'rule "two" { when = trace.has { name = "a" } * trace.has { name = "b" } }\n'
    local function fires(...) return #replay.run(rule, { ... }) end
    assert.equal(1, fires(arrival("a@0"), arrival("b@9990+19.999999")))
    assert.equal(0, fires(arrival("a@0"), arrival("b@9990+20")))
    assert.equal(1, fires(arrival("a@0", "t", 5000), arrival("b@0", "t", 14999)))
    assert.equal(1, fires(arrival("a@0", "t", 5000), arrival("b@0", "t", 100)))
    assert.equal(1, fires(arrival("a@0"), arrival("b@5"), arrival("x@99999", "u")))
    assert.equal(0, fires(arrival("a@0"), arrival("x@10010", "u"), arrival("b@5")))
  end)

  it("decides every open trace at the end", function()
    assert.equal(2, #replay.run('rule "r" { when = trace.missing { name = "z" } }\n',
      { arrival("a@0", "t"), arrival("a@0", "u") }))
  end)

  it("exits 0 with or without violations, 3 with --fail-on-violation, 1 for bad rules or input, 2 for bad usage",
    function()
    assert.equal(0, (files(ANY, { line(arrival "a@0") })))
    assert.equal(0, (files(ANY, { "" })))
    assert.equal(0, (files('rule "x" { when = { name = "none" } }\n', { line(arrival "a@0") },
      "--fail-on-violation")))
    assert.equal(3, (files(ANY, { line(arrival "a@0") }, "--fail-on-violation")))
    assert.equal(1, (files("rule {", { line(arrival "a@0") })))
    assert.equal(1, (files(ANY, { "{]\n" })))
    assert.equal(2, (replay.shell(replay.fluo .. " replay --no-such-flag x")))
    assert.equal(2, (replay.shell(replay.fluo .. " replay --rules rules")))
    assert.equal(2, (replay.shell(replay.fluo .. " repaly")))
  end)

  it("prints what came before bad input at line N, and names the line", function()
    local status, stdout, stderr = files(ANY,
      { line(arrival "a@0") .. line(arrival "b@0") .. '{"resourceSpans": 5}\n' .. line(arrival "c@0") })
    assert.equal(1, status)
    assert.equal(2, select(2, stdout:gsub("\n", "")))
    assert.truthy(stderr:find(":3:", 1, true), stderr)
  end)

  it("takes several files as one stream", function()
    local rule = 'rule "two" { when = trace.has { name = "a" } * trace.has { name = "b" } }\n'
    local _, stdout = files(rule, { line(arrival "a@0"), line(arrival "b@1") })
    assert.equal(1, select(2, stdout:gsub("\n", "")))
  end)

  it("gives the same bytes for the same input", function()
    local text = line(arrival "a1@0 a2@0 b@5<a1 c@2!<b") .. line(arrival("a1@3", "u")) .. line(arrival("d@9"))
    local rules = 'rule "f" { when = function(s) for k, v in pairs(s.attributes) do end return s.duration > 0 '
      .. 'end, summary = "{name}" }\nrule "t" { when = trace.has { status = "ERROR" } + trace.missing { name = '
      .. '"q" } }\n' .. ANY
    local _, first = files(rules, { text })
    for _ = 1, 5 do assert.equal(first, select(2, files(rules, { text }))) end
    assert.truthy(#first > 1000)
  end)
end)
