-- Rules in YAML, `.rule` and JavaScript, through the whole agent: traces that must fire them, and such that must not.
local replay = require("spec.replay")
local span, wire = replay.span, replay.wire

-- Writes a file, replays requests with it: violations, exit status, stderr. Lua that fluo convert made of it has to say
-- the same; but what names a pattern by its source text may name it otherwise, and ids hash the text of functions.
local function run(extension, text, requests)
  local path = os.tmpname()
  os.remove(path)
  local file, lua = path .. extension, path .. "_converted.lua"
  replay.write(file, text)
  local found, status, stderr = replay.run(file, requests)
  assert(status == 0, stderr)
  local converted, printed, why = replay.shell(replay.fluo .. " convert " .. file)
  assert.equal(0, converted, why)
  replay.write(lua, printed)
  local again = replay.run(lua, requests)
  os.remove(file)
  os.remove(lua)
  local function same_apart(list)
    for _, v in ipairs(list) do v.id, v.reason = nil, nil end
    return list
  end
  local copy = {}
  for i, v in ipairs(found) do copy[i] = { rule = v.rule, trace_id = v.trace_id, reason = v.reason, value = v.value, severity = v.severity, shadow = v.shadow, spans = v.spans } end
  assert.same(same_apart(found), same_apart(again))
  return copy
end

-- "rule trace" of each violation, sorted.
local function fired(extension, text, spans)
  local requests, names = { spans }, {}
  for _, s in ipairs(spans) do names[#names + 1] = s.wire.traceId end
  local list = {}
  for _, v in ipairs(run(extension, text, requests)) do
    for i, id in ipairs(names) do
      if id == v.trace_id then
        list[#list + 1] = spans[i].label
        break
      end
    end
  end
  table.sort(list)
  return table.concat(list, " ")
end

-- One span a trace, whose label is the trace's.
local function one(label, s)
  s.trace, s.name = label, s.name or "x"
  local made = span(s)
  made.label = label
  return made
end

describe("a list of conditions in YAML", function()
  it("wants a delay over 300 ms on a path below /payment-api/, also of an absolute URL", function()
    local rule = [[
rules:
  payment_gateway_bottleneck:
    description: Payment gateway API delay
    conditions:
      - {op: greater-than, field: span.durationMs, value: 300}
      - {op: eq, field: span.attributes.http.url, value: /payment-api/*}
    actions:
      - log: "Payment gateway API delay detected"
]]
    local function url(label, text, dur) return one(label, { dur = dur or 301, attr = { ["http.url"] = text } }) end
    assert.equal("absolute below query renamed", fired(".yaml", rule, {
      url("below", "/payment-api/xyz"), url("query", "/payment-api/a?b=c"), url("absolute", "https://h:8080/payment-api/x?y#z"),
      url("bare", "/payment-api"), url("other", "/payment-apiv2/x"), url("inner", "/x/payment-api/y"), url("case", "/PAYMENT-API/x"),
      url("elsewhere", "https://h/x?/payment-api/y"), url("host", "https://payment-api/x"), url("fast", "/payment-api/x", 300),
      one("renamed", { dur = 301, attr = { ["url.full"] = "http://h/payment-api/" } }), one("none", { dur = 301 }),
    }))
  end)

  it("matches an expression against the path of an absolute URL, and never against its query", function()
    local function url(label, text) return one(label, { attr = { ["http.url"] = text } }) end
    local rule = "r:\n  conditions: [{op: matches, field: span.attributes.http.url, value: '/(a|b).*z'}]\n"
    assert.equal("path plain query", fired(".yml", rule, {
      url("plain", "/a/z"), url("path", "https://h:8080/b/z"), url("query", "https://h/a/z?b=c#z"), url("beyond", "https://h/a?b=z"),
      url("fragment", "https://h/a?b#z"), url("end", "https://h/a/z/y"), url("inner", "x https://h/a/z"), url("bare", "https://h"),
    }))
  end)

  it("takes an empty path for /", function()
    local rule = "r: {conditions: [{op: eq, field: span.attributes.url, value: /}]}"
    local function url(label, text) return one(label, { attr = { url = text } }) end
    assert.equal("empty fragment query root slash", fired(".yml", rule, { url("root", "/"), url("empty", "http://h"), url("slash", "http://h/"),
      url("query", "http://h?a/b"), url("fragment", "http://h#a"), url("more", "http://h/a"), url("no", "h") }))
  end)

  it("negates globs and paths of what is there", function()
    local rule = "r: {conditions: [{op: ne, field: span.attributes.url, value: /a/*}]}"
    local function url(label, text) return one(label, { attr = { url = text } }) end
    assert.equal("other", fired(".yml", rule, { url("path", "/a/b"), url("absolute", "http://h/a/b"), url("other", "http://h/b/a/"), one("missing", {}) }))
  end)
end)

describe("`when … then`", function()
  local rule = [[
rule "cache_miss_pattern"
when
  span.type == "http.request" &&
  span.attributes["http.status_code"] == 500 &&
  span.attributes["cache_miss"] == true
then
  // Create an alert with the relevant information
]]

  it("compares values of any type, as everywhere", function()
    local function miss(label, code, missed) return one(label, { name = "http.request", attr = { ["http.status_code"] = code, cache_miss = missed } }) end
    assert.equal("double int text", fired(".rule", rule, { miss("int", 500, true), miss("text", "500", "true"),
      miss("double", wire { doubleValue = 500 }, true), miss("other", 501, true), miss("hit", 500, false), miss("word", 500, "yes"), miss("none", nil, true) }))
  end)

  it("takes the type from `type`, else `span.type`, else the name", function()
    local function typed(label, name, own, long)
      return one(label, { name = name, attr = { type = own, ["span.type"] = long, ["http.status_code"] = 500, cache_miss = true } })
    end
    assert.equal("long name own", fired(".rule", rule, { typed("own", "x", "http.request"), typed("long", "x", nil, "http.request"), typed("name", "http.request"),
      typed("ownOther", "http.request", "db"), typed("longOther", "http.request", nil, "db"), typed("ownFirst", "x", "db", "http.request") }))
  end)

  it("is true of what is missing where a condition is negated, and not where it says `!=`", function()
    local function with(label, x) return one(label, { attr = { x = x } }) end
    local spans = { with("one", 1), with("two", 2), with("missing") }
    assert.equal("two", fired(".rule", 'rule "r" when span.attributes.x != 1 then', spans))
    assert.equal("missing two", fired(".rule", 'rule "r" when !(span.attributes.x == 1) then', spans))
    assert.equal("missing two", fired(".rule", 'rule "r" when not span.attributes.x == 1 then', spans))
  end)
end)

describe("`when always never`", function()
  local rule = [[
when { trace.has(payment.charge_card).where(amount > 1000).where(currency == USD) }
always { trace.has(payment.fraud_check) }
never { trace.has(payment.bypass_validation) }
]]

  it("is broken by what is missing, and by what must not be", function()
    local spans = {}
    local function charge(trace, amount, currency, ...)
      spans[#spans + 1] = span { name = "payment.charge_card", trace = trace, attr = { amount = amount, currency = currency } }
      for _, name in ipairs { ... } do spans[#spans + 1] = span { name = name, trace = trace } end
    end
    charge("unchecked", 1500, "USD")
    charge("fine", 1500, "USD", "payment.fraud_check")
    charge("bypassed", 1500, "USD", "payment.fraud_check", "payment.bypass_validation")
    charge("small", 1000, "USD")
    charge("euro", 1500, "EUR")
    charge("apart", 1500, "EUR")
    spans[#spans + 1] = span { name = "payment.charge_card", id = "second", trace = "apart", attr = { amount = 1, currency = "USD" } }
    local found = run(".rule", rule, { spans })
    assert.equal("bypassed unchecked", replay.traces(found, "bypassed", "unchecked", "fine", "small", "euro", "apart"))
    assert.equal(2, #found)
  end)
end)

describe("the JavaScript chain", function()
  local RULES = [[
// @name auth-retry
// Detect auth failures followed by successful retry
// @severity high
trace.has(span => span.name === 'auth.login' && span.status === 'ERROR')
  .and(trace.has(span => span.name === 'auth.login' && span.status === 'OK'))
  .within('5 seconds')

// @name pii-without-audit
// @mode shadow
trace.has(span => span.attributes['data.contains_pii'] === true)
  .and(trace.missing(span => span.name === 'audit.log'))

// @name slow-payment-query
trace.where(span => span.name.startsWith('payment'))
  .has(span => span.name.includes('db.query') && span.duration > 1000)
]]

  local function rules(spans)
    local list = {}
    for i, v in ipairs(run(".js", RULES, { spans })) do list[i] = v.rule .. (v.shadow and " (shadow)" or "") .. (v.reason and ": " .. v.reason or "") end
    return list
  end

  it("sees a login that fails and then succeeds within 5 s, in this order", function()
    local function login(at, second, status)
      return rules { span { name = "auth.login", id = "a", at = at, status = "ERROR" }, span { name = "auth.login", id = "b", at = second, status = status } }
    end
    assert.same({ "auth-retry" }, login(0, 4999, "OK"))
    assert.same({ "auth-retry" }, login(0, 4999, "UNSET"))
    assert.same({}, login(0, 5000, "OK"))
    assert.same({}, login(4000, 0, "OK"))
    assert.same({}, login(0, 4000, "ERROR"))
  end)

  it("sees personal data without an audit, and `true` alone is === true", function()
    local function pii(value, more) return rules { span { name = "q", attr = { ["data.contains_pii"] = value } }, more } end
    assert.same({ "pii-without-audit (shadow): missing audit.log" }, pii(true))
    assert.same({ "pii-without-audit (shadow): missing audit.log" }, pii({ "x", true }))
    assert.same({}, pii("true"))
    assert.same({}, pii(1))
    assert.same({}, pii(nil))
    assert.same({}, pii(true, span { name = "audit.log" }))
  end)

  it("sees a slow query below the payment, not beside it", function()
    assert.same({ "slow-payment-query" }, rules { span { name = "payment.charge", dur = 3000 }, span { name = "db.query", parent = "payment.charge", dur = 1001 } })
    assert.same({}, rules { span { name = "payment.charge", dur = 3000 }, span { name = "db.query", parent = "payment.charge", dur = 1000 } })
    assert.same({}, rules { span { name = "r" }, span { name = "payment.charge", parent = "r" }, span { name = "db.query", parent = "r", dur = 1500 } })
  end)

  it("compares strictly with ===, loosely with ==", function()
    local function x(label, value) return one(label, { attr = { x = value } }) end
    local spans = { x("int", 500), x("double", wire { doubleValue = 500 }), x("text", "500"), x("array", { "500", 500 }), x("texts", { "500" }), x("yes", true), x("word", "true"), x("none") }
    local function js(condition) return fired(".js", "// r\ntrace.has(s => " .. condition .. ")", spans) end
    assert.equal("array double int", js "s.attributes.x === 500")
    assert.equal("array double int text texts", js "s.attributes.x == 500")
    assert.equal("array text texts", js "s.attributes.x === '500'")
    assert.equal("yes", js "s.attributes.x === true")
    assert.equal("word yes", js "s.attributes.x == true")
    assert.equal("none text texts word yes", js "s.attributes.x !== 500")
    assert.equal("word yes", js "s.attributes.x != 500")
    assert.equal("none", js "s.attributes.x === undefined")
    assert.equal("array text texts word", js "s.attributes.x.includes('')")
  end)

  it("knows texts and events", function()
    local spans = { one("upper", { name = "GET /A" }), one("lower", { name = "get /a" }), one("three", { name = "n", events = { { "e" }, { "e" }, { "x", 0, { k = "v" } } } }),
      one("one", { name = "n", events = { { "x" } } }) }
    local function js(condition) return fired(".js", "// r\ntrace.has(s => " .. condition .. ")", spans) end
    assert.equal("lower upper", js "s.name.toLowerCase().startsWith('get')")
    assert.equal("upper", js "s.name === 'GET /A'")
    assert.equal("one three", js "s.name.toUpperCase() !== 'GET /A'")
    assert.equal("three", js "s.events.length > 2")
    assert.equal("lower upper", js "s.events.length === 0")
    assert.equal("one three", js "s.events.some(e => e.name === 'x')")
    assert.equal("three", js "s.events.some(e => e.name === 'x' && e.attributes.k === 'v')")
    assert.equal("one", js "s.events.some(e => e.name === 'x') && !s.events.some(e => e.attributes['k'] === 'v')")
  end)
end)

describe("windows in YAML", function()
  local function each(spans)
    local requests = {}
    for i, s in ipairs(spans) do requests[i] = { s } end
    return requests
  end

  it("fire when a query's sum crosses its limit", function()
    local spans = {}
    for i = 1, 4 do spans[i] = span { name = "n", id = "n" .. i, trace = "t" .. i, at = i, attr = { api_calls = i == 4 and 2 or 3 } } end
    local found = run(".yml", "- {name: calls, type: threshold, query: sum(api_calls) > 10 during 1m, action: alert-team}", each(spans))
    assert.same({ 1, "calls", 11 }, { #found, found[1].rule, found[1].value })
  end)

  it("fire when more matches are remembered than the condition allows", function()
    local rule = [[
- name: AuthFailuresRule
  span: {service_name: auth-service, attributes: {http.status_code: "401", error.type: "AuthenticationError"}}
  aggregation: {count: 10}
  condition: gt(count, 5)
]]
    local function failures(n, gap, service)
      local spans = {}
      for i = 1, n do
        spans[i] = span { name = "login", id = "l" .. i, trace = "t" .. i, at = (i - 1) * gap, dur = 0, service = service or "auth-service",
          attr = { ["http.status_code"] = 401, ["error.type"] = "AuthenticationError" } }
      end
      return #run(".yml", rule, each(spans))
    end
    assert.same({ 1, 0, 0, 1 }, { failures(6, 1000), failures(5, 1000), failures(6, 1000, "other"), failures(6, 11999) })
    assert.equal(0, failures(6, 12000))
  end)
end)

describe("a directory of rules in several dialects", function()
  local FILES = {
    ["a.lua"] = 'rule "in-lua" { when = { name = "a" } }',
    ["b.yml"] = "in-yaml: {conditions: [{op: eq, field: span.name, value: b}]}",
    ["c.rule"] = 'rule "in-rule" when span.name == "c" then',
    ["d.js"] = "// in-js\ntrace.has(s => s.name === 'd')",
    ["in-file.rule"] = "when { trace.has(e) }",
    ["b_spec.lua"] = [[describe("b", function()
      it("fires for b alone", function()
        trace { span { name = "b" } }
        assert.fires("in-yaml")
      end)
      it("is silent for others", function()
        trace { span { name = "c" } }
        assert.silent("in-yaml")
      end)
    end)]],
  }

  local function with(files, use)
    local dir = os.tmpname()
    os.remove(dir)
    os.execute("mkdir " .. dir)
    for name, text in pairs(files) do replay.write(dir .. "/" .. name, text) end
    local ok, why = pcall(use, dir)
    os.execute("rm -r " .. dir)
    if not ok then error(why, 0) end
  end

  it("is judged as one", function()
    with(FILES, function(dir)
      local spans = {}
      for i, name in ipairs { "a", "b", "c", "d", "e" } do spans[i] = span { name = name, at = i, dur = 0 } end
      local names = {}
      for i, v in ipairs(replay.run(dir, { spans })) do names[i] = v.rule end
      table.sort(names)
      assert.same({ "in-file", "in-js", "in-lua", "in-rule", "in-yaml" }, names)
    end)
  end)

  it("is tested as one", function()
    with(FILES, function(dir)
      local status, out, err = replay.shell(replay.fluo .. " test " .. dir)
      assert.equal(0, status, out .. err)
      assert.truthy((out .. err):find("2 passed", 1, true), out .. err)
    end)
  end)

  it("is checked as one: every error of every file, and names are unique", function()
    local files = { ["a.lua"] = FILES["a.lua"], ["b.yml"] = "in-lua: {query: count() > 5 during 1m}", ["c.rule"] = 'rule "x" when nme == 1 then', ["d.js"] = "trace.has(s => s.nme)" }
    with(files, function(dir)
      local status, out = replay.shell(replay.fluo .. " check " .. dir)
      assert.equal(1, status)
      for _, text in ipairs { "b.yml:1:1: error: the name `in-lua` is taken", "c.rule:1:15: error: unknown field `nme`", "d.js:1:18: error: a span `s` has no `nme`" } do
        assert.truthy(out:find(text, 1, true), out)
      end
    end)
  end)

  it("explains them, too", function()
    with(FILES, function(dir)
      local input = dir .. "/in.json"
      replay.write(input, require("cjson").encode(replay.request { span { name = "x" } }))
      for _, name in ipairs { "in-yaml", "in-rule", "in-js" } do
        local status, out, err = replay.shell(("%s explain --rules %s %s %s"):format(replay.fluo, dir, name, input))
        assert.equal(0, status, err)
        assert.truthy(out:find("not violated", 1, true), out .. err)
      end
      replay.write(dir .. "/e.js", "trace.has(s => s.attributes.k === 500)")
      local _, out = replay.shell(("%s explain --rules %s e %s"):format(replay.fluo, dir, input))
      assert.truthy(out:find("k === 500", 1, true), out)
    end)
  end)
end)
