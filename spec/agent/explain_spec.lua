-- fluo explain: what it says of a rule is what replay does, and what it suggests is there.
local cjson = require("cjson")
local random = require("spec.lua.random")
local replay = require("spec.replay")
local span = replay.span

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- Files for a rule text and requests: their paths, and what removes them.
local function files(rules, requests)
  local path, input, lines = replay.rule_file(rules), os.tmpname(), {}
  for i, spans in ipairs(requests) do lines[i] = cjson.encode(replay.request(spans)) end
  replay.write(input, table.concat(lines, "\n") .. "\n")
  return path, input, function()
    os.remove(path)
    os.remove(input)
  end
end

-- Explains a rule: status, stdout, stderr.
local function explain(rules, requests, rule, flags)
  local path, input, remove = files(rules, requests)
  local status, out, err = replay.shell(("%s explain --rules %s %s %s %s"):format(replay.fluo, path, flags or "",
    quoted(rule), input))
  remove()
  return status, out, err
end

-- The same as data: a list of explanations.
local function explained(rules, requests, rule, flags)
  local status, out, err = explain(rules, requests, rule, "--json " .. (flags or ""))
  assert.equal(0, status, err)
  local list = {}
  for line in out:gmatch("[^\n]+") do list[#list + 1] = cjson.decode(line) end
  return list
end

-- What a rule `r` with this `when` comes to on one request.
local function of(when, spans, keys, flags)
  return explained(('rule "r" { when = %s%s }\n'):format(when, keys and ", " .. keys or ""), { spans }, "r", flags)[1]
end

-- The entry of a node's nearest span whose text begins so.
local function entry(node, text)
  for _, one in ipairs(node.nearest[1].entries) do
    if one.text:sub(1, #text) == text then return one end
  end
  error("no entry " .. text)
end

-- The hint for the first entry of a pattern on one span.
local function hint(when, s, flags) return entry(of(when, { span(s) }, nil, flags).parts[1], "").hint end

-- ---- random rules as text -----------------------------------------------------------------------

local Text = {}
local function text(source) return setmetatable({ source = source }, Text) end
local function say(x)
  if getmetatable(x) == Text then return x.source end
  if type(x) == "string" then return ("%q"):format(x) end
  if type(x) ~= "table" then return tostring(x) end
  if x.op == "BETWEEN" then return ('between("%dns", "%dns")'):format(x.n, x.high) end
  if x.op then return ('%s("%dns")'):format(x.op:lower(), x.n) end
  local parts = {}
  for key, value in pairs(x) do parts[#parts + 1] = key .. " = " .. say(value) end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function call(join)
  return function(self, ...)
    local parts = {}
    for i = 1, select("#", ...) do parts[i] = say((select(i, ...))) end
    return text(("%s(%s)"):format(join(self), table.concat(parts, ", ")))
  end
end

Text.__index = function(_, method)
  return call(function(self) return self.source .. ":" .. method end)
end
Text.__add = function(a, b) return text(("(%s + %s)"):format(a.source, b.source)) end
Text.__unm = function(a) return text(("(-%s)"):format(a.source)) end

local API = setmetatable({}, { __index = function(_, name)
  local make = call(function() return "trace." .. name end)
  return function(...) return make(nil, ...) end
end })

-- Spans of random.spans as requests have them; a nanosecond there is one here.
local function requests_of(name)
  local spans, list = random.spans(), {}
  for i, s in ipairs(spans) do
    local parent = s.orphan and "lost" or s.parent and spans[s.parent + 1] and spans[s.parent + 1].id
    list[i] = span { trace = name, name = s[1], id = s.id, parent = parent, at = s[2] / 1e6, dur = s.dur / 1e6 }
  end
  return list
end

-- ---- what replay says ---------------------------------------------------------------------------

local function violated(path, input)
  local status, out, err = replay.shell(("%s replay --rules %s %s"):format(replay.fluo, path, input))
  assert.equal(0, status, err)
  local fired = {}
  for line in out:gmatch("[^\n]+") do
    local v = cjson.decode(line)
    fired[v.rule .. " " .. v.trace_id] = true
  end
  return fired
end

local function agrees(path, input, rule, fired)
  local status, out, err = replay.shell(("%s explain --json --rules %s %s %s"):format(replay.fluo, path, quoted(rule), input))
  assert.equal(0, status, err)
  local seen, fires = 0, 0
  for line in out:gmatch("[^\n]+") do
    local e = cjson.decode(line)
    seen, fires = seen + 1, fires + (e.truth == "true" and 1 or 0)
    assert.equal(fired[rule .. " " .. e.trace_id] or false, e.truth == "true", rule .. ": " .. line)
  end
  return seen, fires
end

describe("fluo explain", function()
  it("comes to what replay comes to, for random conditions on random traces", function()
    math.randomseed(20261121)
    local rules, seen, fires, count = {}, 0, 0, 40
    for i = 1, count do
      rules[i] = ('rule "r%d" { when = %s }'):format(i, random.build(API, random.condition(2)).source)
    end
    for round = 1, 2 do
      local requests = {}
      for i = 1, 3 do
        local spans = requests_of(("t%d.%d"):format(round, i))
        if #spans > 0 then requests[#requests + 1] = spans end
      end
      local path, input, remove = files(table.concat(rules, "\n"), requests)
      local fired = violated(path, input)
      for i = 1, count do
        local more, yes = agrees(path, input, "r" .. i, fired)
        seen, fires = seen + more, fires + yes
      end
      remove()
    end
    assert.is_true(seen >= 3 * count and fires > seen / 10 and fires < seen * 9 / 10)
  end)

  it("comes to what replay comes to, for rules of every form on recorded traces", function()
    local rules = [[
      rule "span" { when = { kind = "SERVER" } }
      rule "span never" { when = { name = "nowhere" } }
      rule "function" { when = { name = exists, where = function(s) return #s.events >= 0 and s.duration >= 0 end } }
      rule "satisfies" { when = trace.satisfies(function(t) return t.span_count > 1 end) }
      rule "invariant" { when = trace.has { kind = "SERVER" }, always = trace.has { kind = "CLIENT" } }
      rule "all" { when = trace.all { kind = one_of { "SERVER", "CLIENT", "INTERNAL" } } }
      rule "figures" { when = trace.duration(gt "1us") * trace.span_count(gt(1)) }
    ]]
    local path, input = replay.rule_file(rules), "spec/fixtures/otlp/js-auto-http-json.1.json"
    local fired = violated(path, input)
    assert.truthy(next(fired))
    for rule in rules:gmatch('rule "(.-)"') do assert.is_true(agrees(path, input, rule, fired) > 0) end
    os.remove(path)
  end)

  it("says by how much a chain missed its interval", function()
    local e = of('trace.has { name = "a" }:followed_by { name = "b" }:within "5s"',
      { span { name = "a" }, span { name = "b", at = 6200 }, span { name = "b", id = "late", at = 9000 } })
    assert.equal("false", e.truth)
    assert.truthy(e.parts[1].found:find("takes 6.2 s, and within asks for less than 5 s", 1, true), e.parts[1].found)
    assert.equal("true", e.parts[1].parts[1].truth)
  end)

  it("says that exactly D later is outside", function()
    local e = of('trace.has { name = "a" }:followed_by { name = "b" }:within "5s"',
      { span { name = "a" }, span { name = "b", at = 5000 } })
    assert.truthy(e.parts[1].found:find("takes 5 s, and within asks for less than 5 s", 1, true))
  end)

  it("says that equal starts have no order, that the order was another, and that it takes two spans", function()
    local when = 'trace.has { name = "a" }:followed_by { name = "b" }'
    local e = of(when, { span { name = "a" }, span { name = "b" } })
    assert.truthy(e.parts[1].found:find("equal starts have no order", 1, true))
    e = of(when, { span { name = "a", at = 3 }, span { name = "b" } })
    assert.truthy(e.parts[1].found:find("starts 3 ms before", 1, true))
    e = of('trace.has { name = "a" }:followed_by { service = "svc" }', { span { name = "a" } })
    assert.truthy(e.parts[1].found:find("two different spans", 1, true))
  end)

  it("says that another order than the written one would hold", function()
    local e = of('(trace.has { name = "a" } * trace.has { name = "b" }):within "1s"',
      { span { name = "a", at = 3 }, span { name = "b" } })
    assert.truthy(e.parts[1].hints[1]:find("any_order", 1, true))
  end)

  it("says how many of how many there were", function()
    local spans = {}
    for i = 1, 4 do spans[i] = span { name = "q", id = "q" .. i, at = i * 1000 } end
    assert.equal("4; it asks for over 5", of('trace.count { name = "q" }:over(5)', spans).parts[1].found)
    assert.equal("at most 2 of 4 in any 2 s; it asks for over 2",
      of('trace.count { name = "q" }:over(2):within "2s"', spans).parts[1].found)
  end)

  it("names the span that disproves an absence", function()
    local e = of('trace.has { name = "a" }:not_followed_by { name = "b" }:within "5s"',
      { span { name = "a" }, span { name = "b", at = 1200 } })
    assert.truthy(e.parts[1].found:find("1.2 s later", 1, true))
  end)

  it("says which relation holds instead, and whose child a span is", function()
    local e = of('trace.has { name = "a" }:child { name = "c" }',
      { span { name = "a" }, span { name = "b", parent = "a", at = 1 }, span { name = "c", parent = "b", at = 2 } })
    assert.truthy(e.parts[1].hints[1]:find("a:descendant(b)", 1, true))
    assert.truthy(e.parts[1].found:find("is a child of `b`", 1, true))
  end)

  it("shows the entries of the nearest span, with what was there", function()
    local e = of('{ name = "x", kind = "SERVER", duration = gt "1s" }',
      { span { name = "y" }, span { name = "x", kind = "SERVER", dur = 300 } })
    local near = e.parts[1].nearest[1]
    assert.same({ "x", 2, 3 }, { near.span.name, near.holds, near.of })
    assert.same({ "false", "300 ms" }, { entry(e.parts[1], "duration").truth, entry(e.parts[1], "duration").value })
  end)

  it("finds the attribute that was meant", function()
    for _, row in ipairs {
      { '{ ["user.id"] = 7 }', { attr = { user_id = 7 } }, "the span has `user_id` = 7" },
      { '{ ["User.Id"] = 7 }', { attr = { ["user.id"] = 7 } }, "the span has `user.id` = 7" },
      { '{ ["order.totl"] = 7 }', { attr = { ["order.total"] = 7 } }, "the span has `order.total` = 7" },
      { '{ zone = "eu" }', { resource = { zone = "eu" } }, "its resource has `zone`" },
      { '{ resource = { zone = "eu" } }', { attr = { zone = "eu" } }, "the span itself has `zone`" },
      { '{ ["retry.n"] = 1 }', { events = { { "retry", 0, { ["retry.n"] = 1 } } } }, "its event `retry` has `retry.n`" },
      { '{ nowhere = 1 }', {}, "no span of this trace has that attribute" },
    } do
      row[2].name = "s"
      local said = hint(row[1], row[2])
      assert.truthy(said and said:find(row[3], 1, true), row[1] .. ": " .. tostring(said))
    end
  end)

  it("finds the attribute on the span above", function()
    local e = of('{ name = "b", tenant = "x" }', { span { name = "a", attr = { tenant = "x" } }, span { name = "b", parent = "a" } })
    assert.truthy(entry(e.parts[1], "tenant").hint:find("`a` (svc) at 0 ms above it has `tenant`", 1, true))
  end)

  it("finds another convention's name where renames are off, and says it where they are on", function()
    local s = { name = "s", attr = { ["http.response.status_code"] = "401" } }
    assert.truthy(hint('{ ["http.status_code"] = 401 }', s, "--semconv.renames=false"):find(
      '`http.response.status_code` = "401"', 1, true))
    local e = of('{ name = "t", ["http.status_code"] = 401 }', { span(s) })
    assert.equal('"401", as `http.response.status_code`', entry(e.parts[1], "http.status_code").value)
  end)

  it("says what is nearly the value", function()
    for _, row in ipairs {
      { '{ service = "PaymentService" }', { service = "payment-service" }, "only case, space or punctuation differ" },
      { '{ name = "POST *" }', { name = "POST /pay" }, "a `*` in plain text is a star" },
      { '{ name = "checkuot" }', { name = "checkout" }, "a slip of the pen" },
      { '{ name = "pay" }', { name = "POST /pay" }, "it holds that text, and more" },
      { '{ name = glob "/pay" }', { name = "POST /pay" }, "a part of it is so" },
      { '{ name = matches "pay" }', { name = "POST /pay" }, "a part of it is so" },
      { '{ status = "ERROR" }', { events = { { "exception" } } }, "it has an exception event" },
      { '{ status = "ERROR" }', { attr = { ["http.status_code"] = 500 } }, "it has `http.status_code` = 500" },
      { '{ status = "EXPLICIT_OK" }', {}, '"OK" matches both' },
      { '{ n = gt(5) }', { attr = { n = "many" } }, "that is text, and no number" },
      { '{ n = ne(5) }', {}, "every comparison is false, ne too" },
      { '{ duration = gt "1s" }', { at = 5, end_ns = "0" }, "its duration is 0" },
    } do
      row[2].name = row[2].name or "s"
      local said = hint(row[1], row[2])
      assert.truthy(said and said:find(row[3], 1, true), row[1] .. ": " .. tostring(said))
    end
  end)

  it("asks functions as the worker does, and says what one threw", function()
    local e = of('{ name = "a", where = function(s) return s.duration > 20 end }', { span { name = "a" } })
    assert.equal("false", entry(e.parts[1], "the function").truth)
    e = of('{ name = "a", where = function(s) error("boom") end }', { span { name = "a" } })
    assert.equal("unknown", entry(e.parts[1], "the function").truth)
    assert.truthy(entry(e.parts[1], "the function").hint:find("boom", 1, true))
    assert.equal("false", e.truth)
  end)

  it("says what is unknown and why: a cut trace, a function without an answer", function()
    local e = of('trace.missing { name = "b" }', { span { name = "a" }, span { name = "c" } }, nil, "--trace.spans-max=1")
    assert.equal("unknown", e.truth)
    assert.truthy(e.parts[1].hints[1]:find("the trace was cut", 1, true))
    e = of('trace.missing { where = function(s) error("x") end }', { span { name = "a" } })
    assert.equal("unknown", e.truth)
    assert.truthy(e.parts[1].hints[1]:find("of 1 span nobody knows", 1, true))
    e = of('trace.missing { name = "b" }', { span { name = "a", parent = "lost" } }, "complete = true")
    assert.equal("unknown", e.truth)
    assert.truthy(e.notes[2]:find("1 orphan", 1, true))
  end)

  it("says which part of an invariant broke, and what mode the rule is in", function()
    local rule = 'rule "r" { when = trace.has { name = "a" }, always = trace.has { name = "b" }, mode = "off" }\n'
    local status, out = explain(rule, { { span { name = "a" } } }, "r")
    assert.equal(0, status)
    assert.truthy(out:find("violated\n", 1, true))
    assert.truthy(out:find("always, which is broken", 1, true), out)
    assert.truthy(out:find('note: mode = "off"', 1, true))
  end)

  it("shows what a window sees of a trace, and does not judge it there", function()
    local rule = 'rule "r" { when = window("1m", { name = "a" }):count():over(5) }\n'
    local e = explained(rule, { { span { name = "a" } } }, "r")[1]
    assert.same({ "window", "unknown", 1 }, { e.scope, e.truth, e.parts[1].parts[1].count })
  end)

  it("calls a cascade what it is", function()
    local rule = 'rule "r" { when = cascade { { status = "ERROR" }, at_least = 2 } }\n'
    assert.truthy(explained(rule, { { span { name = "a" } } }, "r")[1].notes[1]:find("^a cascade goes across traces"))
  end)

  it("says of a window's spans, or a sequence's, which count nowhere, and for want of what", function()
    local spans = { span { name = "GET", service = "shop", kind = "CLIENT", id = "c", attr = { n = 1, user = "ada" } },
      span { name = "a", service = "pay", kind = "SERVER", id = "s", parent = "c", attr = { n = 2 } },
      span { name = "a", service = "shop", kind = "SERVER", id = "own", parent = "c", at = 1 },
      span { name = "a", service = "pay", kind = "SERVER", id = "orphan", parent = "gone", at = 2 } }
    for when, said in pairs {
      ['window("1d", { kind = "SERVER" }):by("parent.service", "service"):first_seen()'] =
        "2 of these count nowhere, for want of `parent.service`",
      ['query "count() > 5 during 1m where kind = SERVER by (parent.service, service)"'] =
        "2 of these count nowhere, for want of `parent.service`",
      ['window("1m", { kind = "SERVER" }):by("service"):sum("duration"):over(5)'] = cjson.null,
      ['window("1m", { name = one_of { "a", "GET" } }):by("user"):max("n"):over(5)'] =
        "3 of these count nowhere, for want of `user` or `n`",
      ['window("1m", { name = "GET" }):by("resource.zone"):count():over(5)'] =
        "1 of these counts nowhere, for want of `resource.zone`",
      ['sequence { by = "user", within = "1m", { name = "a" }, { name = "b" } }'] =
        "3 of these count nowhere, for want of `user`",
    } do
      local e = explained(("rule 'r' { when = %s }\n"):format(when), { spans }, "r")[1]
      assert.equal(said, e.parts[1].parts[1].hints and e.parts[1].parts[1].hints[1] or cjson.null, when)
    end
  end)

  it("shows the traces that fired first, then the nearest, three at most, and says how many more", function()
    local requests = {}
    for i = 1, 5 do
      requests[i] = { span { trace = "t" .. i, name = i == 4 and "a" or "b", kind = i % 2 == 0 and "SERVER" or nil } }
    end
    local rule = 'rule "r" { when = { name = "a", kind = "SERVER" } }\nrule "s" { when = { name = "a" } }\n'
    local list = explained(rule, requests, "r")
    assert.same({ "true", "false", "false" }, { list[1].truth, list[2].truth, list[3].truth })
    assert.same({ 3, replay.trace_id("t4") }, { #list, list[1].trace_id })
    assert.equal(replay.trace_id("t2"), list[2].trace_id)
    local _, _, err = explain(rule, requests, "s")
    assert.truthy(err:find("2 more traces", 1, true), err)
    assert.equal("true", explained(rule, requests, "s")[1].truth)
  end)

  it("shows one trace by the beginning of its id, in either case", function()
    local requests = { { span { trace = "t", name = "a" } }, { span { trace = "u", name = "a" } } }
    local rule, id = 'rule "r" { when = { name = "a" } }\n', replay.trace_id("u")
    local list = explained(rule, requests, "r", "--trace=" .. id:upper())
    assert.same({ 1, id }, { #list, list[1].trace_id })
    local status, _, err = explain(rule, requests, "r", "--trace=0123456789")
    assert.equal(1, status)
    assert.truthy(err:find("no trace has an id that begins with 0123456789", 1, true))
  end)

  it("suggests a name for a rule that is not there, and ends with 1", function()
    local status, out, err = explain('rule "slow-query" { when = {} }\n', { { span { name = "a" } } }, "slow-qery")
    assert.same({ 1, "" }, { status, out })
    assert.truthy(err:find("there is no rule `slow-qery`; did you mean `slow-query`?", 1, true), err)
  end)

  it("ends with 1 for bad input and rules, with 2 for bad usage", function()
    local rule = 'rule "r" { when = {} }\n'
    assert.equal(1, (explain('rule "r" { wen = {} }\n', { { span { name = "a" } } }, "r")))
    assert.equal(2, (explain(rule, {}, "r", "--color=blue")))
    assert.equal(2, (explain(rule, {}, "r", "--trace=xyz")))
    assert.equal(2, (replay.shell(replay.fluo .. " explain r")))
    local status, _, err = replay.shell(replay.fluo .. " explain --rules rules cache-miss-500 /nonexistent.jsonl")
    assert.equal(1, status)
    assert.truthy(err:find("cannot be opened", 1, true))
    assert.falsy(err:find("no trace was found", 1, true))
  end)

  it("ends with 1 where the rule had to be stopped", function()
    local status, _, err = explain('rule "r" { when = trace.satisfies(function() while true do end end) }\n',
      { { span { name = "a" } } }, "r")
    assert.equal(1, status)
    assert.truthy(err:find("rule r was stopped", 1, true), err)
  end)

  it("is in colour where that is asked for, and no name of a trace can steer a terminal", function()
    local rule, requests = 'rule "r" { when = { name = "a" } }\n', { { span { name = "\27[31mx\194\155y" } } }
    local _, out = explain(rule, requests, "r", "--color=always")
    assert.truthy(out:find("\27[31mno   \27[0m", 1, true))
    _, out = explain(rule, requests, "r")
    assert.falsy(out:find("[\27]"))
    assert.falsy(out:find("\194\155", 1, true))
  end)

  it("is 100 columns wide at most", function()
    local name = ("word "):rep(60)
    local _, out = explain('rule "r" { when = { name = "a" } }\n', { { span { name = name } } }, "r")
    for line in out:gmatch("[^\n]+") do assert.is_true(#line <= 100, line) end
  end)

  it("is JSON of a bounded size, whatever the rule", function()
    local parts = {}
    for i = 1, 400 do parts[i] = ('trace.has { name = "name %d", kind = "SERVER", a = 1, b = 2, c = 3 }'):format(i) end
    local rule = 'rule "r" { when = ' .. table.concat(parts, "\n+ ") .. " }\n"
    local _, out = explain(rule, { { span { name = "name 7" } } }, "r", "--json")
    assert.is_true(#out <= 65536)
    assert.equal("false", cjson.decode(out).truth)
  end)

  it("gives the same bytes for the same input", function()
    local rule = 'rule "r" { when = trace.has { name = "a", b = 1 } * trace.missing { name = "c" } }\n'
    local requests = { { span { name = "a", attr = { b_ = 2, x = 3 } }, span { name = "d", trace = "u" } } }
    local _, first = explain(rule, requests, "r")
    local _, second = explain(rule, requests, "r")
    assert.equal(first, second)
  end)
end)
