-- YAML rules, in each of their shapes.
local rulefiles = require("spec.lua.rulefiles")
local support = require("spec.lua.dialect.support")

local AUTHORITY = "[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*"
local function url(path) return ('matches [[(?s)[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*(?:%s)(?:[?#].*)?]]'):format(path) end

describe("a list of conditions", function()
  local function wrap(entry) return "- name: r\n  conditions:\n    - {" .. entry .. "}\n" end
  local X = "field: span.attributes.x"

  support.same(it, {
    { "op: eq, field: span.name, value: a", '{ name = "a" }' },
    { "op: EQUALS, " .. X .. ", value: 5", "{ x = 5 }" },
    { 'op: "=", ' .. X .. ", value: 5.0", "{ x = 5 }" },
    { 'op: "==", ' .. X .. ", value: '5'", '{ x = "5" }' },
    { "op: ne, " .. X .. ", value: true", "{ x = ne(true) }" },
    { "op: not_equals, " .. X .. ", value: yes", '{ x = ne("yes") }' },
    { "op: eq, " .. X .. ", value: True", '{ x = "True" }' },
    { 'op: "!=", ' .. X .. ", value: off", '{ x = ne("off") }' },
    { 'op: "<>", ' .. X .. ", value: \"true\"", '{ x = ne("true") }' },
    { "op: Greater-Than, field: span.durationMs, value: 300", '{ duration = gt "300ms" }' },
    { "op: gt, field: span.duration, value: 1 second", '{ duration = gt "1s" }' },
    { 'op: ">", ' .. X .. ", value: 0x1F", "{ x = gt(31) }" },
    { "op: ge, " .. X .. ", value: 0o17", "{ x = ge(15) }" },
    { "op: greater_than_or_equal, " .. X .. ", value: .5", "{ x = ge(0.5) }" },
    { 'op: ">=", ' .. X .. ", value: -1.5e3", "{ x = ge(-1500) }" },
    { "op: less-than, " .. X .. ", value: +5", "{ x = lt(5) }" },
    { "op: less-or-equal, " .. X .. ", value: 9007199254740993", "{ x = le(9007199254740993LL) }" },
    { "op: in, " .. X .. ", value: [a, 5, 'b*']", '{ x = one_of { "a", 5, "b*" } }' },
    { "op: not-in, " .. X .. ", value: [a, 5]", '{ x = none_of { "a", 5 } }' },
    { "op: contains, " .. X .. ", value: 'a*'", '{ x = contains "a*" }' },
    { "op: starts-with, " .. X .. ", value: a", '{ x = prefix "a" }' },
    { "op: ends_with, " .. X .. ", value: a", '{ x = suffix "a" }' },
    { "op: matches, " .. X .. ", value: 'a.*'", '{ x = matches "a.*" }' },
    { "op: exists, " .. X, "{ x = exists }" },
    { "op: missing, " .. X, "{ x = missing }" },
    { "op: eq, " .. X .. ", value: 'a*'", '{ x = glob "a*" }' },
    { "op: ne, " .. X .. ", value: 'a*'", 'all_of { { x = exists }, not_ { x = glob "a*" } }' },
    { "op: eq, " .. X .. ", value: /a", 'any_of { { x = "/a" }, { x = ' .. url "\\/a" .. " } }" },
    { "op: eq, " .. X .. ", value: /", 'any_of { { x = "/" }, { x = matches [[(?s)[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*(?:\\/)?(?:[?#].*)?]] } }' },
    { "op: eq, " .. X .. ", value: /a/*", 'any_of { { x = glob "/a/*" }, { x = ' .. url "\\/a\\/[^?#]*" .. " } }" },
    { "op: starts-with, " .. X .. ", value: /a", 'any_of { { x = prefix "/a" }, { x = ' .. url "\\/a[^?#]*" .. " } }" },
    { "op: ends-with, " .. X .. ", value: /a", 'any_of { { x = suffix "/a" }, { x = ' .. url "(?:/[^?#]*)?\\/a" .. " } }" },
    { "op: eq, " .. X .. ", value: /a?b", '{ x = "/a?b" }' },
    { "op: matches, " .. X .. ", value: /a.*", 'any_of { { x = matches "/a.*" }, { x = matches [[(?s)(?=' .. AUTHORITY
      .. "[^?#]*((?:[?#].*)?)$)" .. AUTHORITY .. "(?:/a.*)\\1]] } }" },
    { "op: matches, " .. X .. ", value: '/(a)\\1'", 'any_of { { x = matches [[/(a)\\1]] } }' },
    { "op: eq, field: 'span.attributes[\"a.b\"]', value: 5", '{ ["a.b"] = 5 }' },
    { "op: eq, field: resource.cloud.region, value: eu", '{ resource = { ["cloud.region"] = "eu" } }' },
    { "op: eq, field: service.name, value: pay*", '{ service = glob "pay*" }' },
    { "op: eq, field: span.status, value: error", '{ status = "ERROR" }' },
    { "op: eq, field: span.name, value: a}\n    - {op: gt, field: span.duration, value: 5", 'all_of { { name = "a" }, { duration = gt(5) } }' },
    { "op: eq, field: span.name, value: &anchor !!str 500", '{ name = "500" }' },
  }, "r.yml", wrap)

  support.refused(it, {
    { "op: like, field: span.name, value: a", ("3:12 unknown op `like`") },
    { "op: eq, field: name, value: a", "3:23 unknown field `name`" },
    { "op: eq, field: span.name", "3:7 a condition has a `value`" },
    { "op: eq, field: span.name, value: ", "3:41 `value` has no value" },
    { "op: eq, field: span.name, value: [a]", "3:41 `value` is one value, not a list" },
    { "op: in, field: span.name, value: a", "3:41 `in` and `not-in` take a list of values" },
    { "op: exists, field: span.name, value: a", "3:45 `exists` takes no value" },
    { "op: missing, field: span.name", "3:12 `name` is never missing" },
    { "op: missing, field: span.type", "3:12 `span.type` is never missing" },
    { "op: eq, field: span.status, value: FAIL", "3:43 unknown status `FAIL`" },
    { "op: gt, field: span.duration, value: '300'", "3:45 the duration `300` has no unit" },
    { "op: matches, field: span.name, value: '('", "3:46 the regular expression `(` does not compile: missing closing parenthesis (at its byte 1)" },
    { "op: eq, field: span.name, value: .inf", "3:41 nothing compares with `.inf`" },
    { "op: starts-with, field: span.name, value: 5", "3:50 `starts-with` takes text" },
    { "op: eq, field: span.name, val: a", "3:34 unknown key `val` of `conditions`" },
    { "op: eqq, field: span.name, value: a}\n    - {op: eq, field: span.nam, value: a", "3:12 unknown op `eqq`",
      "4:23 unknown field `span.nam`" },
    { "op: matches, field: span.attributes.x, value: '/(a'", "3:54 the regular expression `/(a` does not compile: "
      .. "missing closing parenthesis (at its byte 3)" },
    { "op: eq, field: span.name, value: *a", "3:41 an alias is not taken" },
  }, "r.yml", wrap)

  it("says that a sign needs its quotes in YAML", function()
    for _, sign in ipairs { ">", ">=", "!=" } do
      local text = ("- name: r\n  conditions:\n    - op: %s\n      field: span.duration\n      value: 300\n"):format(sign)
      local error = rulefiles.load({ ["r.yml"] = text }).errors[1]
      assert.equal(3, error.line)
      assert.truthy(error.hint:find("quote", 1, true), error.hint)
    end
  end)
end)

describe("a span with a condition on its count", function()
  local function wrap(rest) return "- name: r\n  " .. rest .. "\n" end
  support.same(it, {
    { "span: {service_name: auth-service, attributes: {http.status_code: '401'}}\n  aggregation: {count: 10}\n  condition: gt(count, 5)",
      'window("1m", all_of { { service = "auth-service" }, { ["http.status_code"] = "401" } }):count():over(5)' },
    { "span: {name: 'a*', kind: server, status: ERROR}\n  aggregation: {window: 5 minutes}\n  condition: GE( count , 5.0 )",
      'window("5m", all_of { { name = glob "a*" }, { kind = "SERVER" }, { status = "ERROR" } }):count():at_least(5)' },
    { "span: {attributes: {url: /a}}\n  condition: lt(count, 5)",
      'window("1m", any_of { { url = "/a" }, { url = ' .. url "\\/a" .. " } }):count():under(5)" },
    { "condition: le(count, 5)\n  type: threshold", 'window("1m"):count():at_most(5)' },
  }, "r.yml", wrap)

  support.refused(it, {
    { "span: {name: a}", "1:3 a rule on a `span` has a `condition`" },
    { "condition: gt(count, 5)\n  aggregation: {count: 5}", "3:24 of 5 remembered matches the count is never over 5" },
    { "condition: ge(count, 5)\n  aggregation: {count: 4}", "3:24 of 4 remembered matches the count is never at least 5" },
    { "condition: ge(count, 5)\n  aggregation: {count: 0}", "3:24 `count` is a whole number of matches to remember, 1 or more" },
    { "condition: eq(count, 5)", "2:14 unknown comparison `eq`" },
    { "condition: gt(sum, 5)", "2:17 `sum` is not known here: the count is compared" },
    { "condition: gt(count, x)", "2:24 `x` is no number" },
    { "condition: count > 5", "2:14 `count > 5` is no condition on a count" },
    { "condition: lt(count, 0)", "2:24 a count is never below 0" },
    { "condition: gt(count, 5)\n  aggregation: {windw: 5m}", "3:17 unknown key `windw` of `aggregation`" },
    { "condition: gt(count, 5)\n  aggregation: {window: 5 parsecs}", "3:25 unknown unit `parsecs` in the duration `5 parsecs`" },
    { "condition: gt(count, 5)\n  span: {service: a}", "3:10 unknown key `service` of `span`" },
    { "condition: gr(count, 5)\n  aggregaton: {}\n  span: {service: a, kind: srv}\n  type: treshold", "2:14 unknown comparison `gr`",
      "3:3 unknown key `aggregaton`", "4:10 unknown key `service` of `span`", "4:28 unknown kind `srv`",
      "5:9 unknown type `treshold`" },
    { "condition: gt(count, 5)\n  span: {status: FAIL}", "3:18 unknown status `FAIL`" },
    { "condition: gt(count, 5)\n  span: {attributes: {http: {a: 1}}}", "3:29 `http` is one value" },
  }, "r.yml", wrap)

  it("takes a cap that the condition needs exactly, and warns of one that makes it always hold", function()
    assert.same({}, rulefiles.warnings { ["r.yml"] = wrap "condition: ge(count, 5)\n  aggregation: {count: 5}" })
    assert.same({ "3:24 of 3 remembered matches the count is always that low" },
      rulefiles.warnings { ["r.yml"] = wrap "condition: lt(count, 5)\n  aggregation: {count: 3}" })
  end)
end)

describe("a query", function()
  support.same(it, {
    { "sum(api_calls) > 10000 during 1m", 'query "sum(api_calls) > 10000 during 1m"' },
    { "'p(95, duration) > 300ms during 5m where service = a by (name)'", 'query "p(95, duration) > 300ms during 5m where service = a by (name)"' },
  }, "r.yml", function(text) return "- name: r\n  type: threshold\n  query: " .. text .. "\n" end)

  support.refused(it, {
    { "sum(x) > 5 durng 1m", "2:21 expected `during`, not `durng`" },
    { "'sum(x) > 5 durng 1m'", "2:22 expected `during`, not `durng`" },
    { "'avg(name) > 5 during 1m'", "2:10 `avg` of `name`, which is no number" },
    { "5", "2:10 `query` takes text" },
  }, "r.yaml", function(text) return "- name: r\n  query: " .. text .. "\n" end)
end)

describe("a YAML file", function()
  local QUERY = "query: count() > 5 during 1m"

  local function names(text)
    local list = {}
    for i, r in ipairs(rulefiles.good({ ["r.yml"] = text }).rules) do list[i] = r.name end
    return table.concat(list, " ")
  end

  it("is a list or a mapping of rules, also below `rules`, one rule, or several documents", function()
    assert.equal("a b", names("- {name: a, " .. QUERY .. "}\n- {name: b, " .. QUERY .. "}"))
    assert.equal("a b", names("a: {" .. QUERY .. "}\nb: {name: b, " .. QUERY .. "}"))
    assert.equal("a b", names("rules:\n  - {name: a, " .. QUERY .. "}\n  - {name: b, " .. QUERY .. "}"))
    assert.equal("a b", names("rules:\n  a: {" .. QUERY .. "}\n  b: {" .. QUERY .. "}"))
    assert.equal("a", names("name: a\n" .. QUERY))
    assert.equal("a b", names("---\na: {" .. QUERY .. "}\n---\nb: {" .. QUERY .. "}\n"))
    assert.equal("", names "# nothing\n")
    assert.equal("", names "rules:\n")
  end)

  it("nests 32 deep", function()
    local function message(depth)
      return (rulefiles.errors({ ["r.yml"] = "- {name: r, " .. QUERY .. ", labels: " .. ("["):rep(depth - 2) .. ("]"):rep(depth - 2) .. "}" })[1])
    end
    assert.equal("1:51 a label has a name", message(32))
    assert.equal("1:81 values nest at most 32 deep", message(33))
  end)

  it("has the keys that every rule has, and `for`", function()
    local r = support.rule("r.yml", [[
r:
  description: |
    of two
    lines
  severity: high
  mode: shadow
  summary: "{service} {value}"
  labels: {team: pay, tier: "1"}
  group_by: [service]
  for: 5m
  cooldown: 1 hour
  query: count() > 5 during 1m by (service)
  action: log
  actions: [{log: "hi {service}"}]
]])
    assert.same({ "of two\nlines\n", "high", "shadow", 300000000000LL, 3600000000000LL }, { r.description, r.severity, r.mode, r.pending_for, r.cooldown })
    assert.same({ "log", "log", "hi {service}", "team", "pay" }, { r.actions[1].name, r.actions[2].name, r.actions[2].value, r.labels[1].name, r.labels[1].value })
  end)

  it("runs `log` for an action that nothing defines, and says where", function()
    local result = rulefiles.load { ["r.yml"] = "r:\n  actions: [{webhook: 'https://x'}, ops]\n  " .. QUERY }
    assert.same({ "2:13 no action is called `webhook`: `log` runs in its place", "2:37 no action is called `ops`: `log` runs in its place" },
      rulefiles.warnings { ["r.yml"] = "r:\n  actions: [{webhook: 'https://x'}, ops]\n  " .. QUERY })
    assert.equal("log", result.rules[1].actions[1].name)
  end)

  support.refused(it, {
    { "foo", "1:1 a file of rules is a list of rules, or a mapping from names to rules" },
    { "version: 1\nrules:\n  - {name: r, " .. QUERY .. "}", "1:1 unknown key `version` beside `rules`" },
    { "- foo", "1:3 a rule is a mapping" },
    { "- " .. QUERY, "1:3 a rule has a `name`" },
    { "- name: r", "1:3 this is no rule" },
    { "- {name: r, " .. QUERY .. ", conditions: []}", "1:43 `conditions` does not go with `query`" },
    { "- {name: r, " .. QUERY .. ", severty: high}", "1:43 unknown key `severty`" },
    { "- {name: r, " .. QUERY .. ", severity: hgh}", "1:53 unknown severity `hgh`" },
    { "- {name: r, " .. QUERY .. ", type: x}", "1:49 unknown type `x`" },
    { "- {name: r, " .. QUERY .. ", for: 5m, pending_for: 5m}", "1:52 `pending_for` stands twice" },
    { "- {name: r, " .. QUERY .. ", name: r}", "1:43 the key `name` stands twice" },
    { "- {name: r, " .. QUERY .. ", actions: [5]}", "1:53 an action is a name, or log: text" },
    { "- {name: r, " .. QUERY .. ", resolve_when: 5}", "1:43 `resolve_when` is a condition" },
    { "a: {name: b, " .. QUERY .. "}", "1:11 this rule is called `a` already" },
    { "- {name: r, " .. QUERY .. "}\n- {name: r, " .. QUERY .. "}", "2:10 the name `r` is taken: r.yml:1:10 has it" },
    { "- {name: a, query: 5}\n- {name: b, conditions: 5}", "1:20 `query` takes text", "2:25 `conditions` is a list of conditions" },
    { "- name: [a", "1:11 this is not YAML: did not find expected ',' or ']'" },
    { "- name: \255", "1:9 this is not YAML: invalid leading UTF-8 octet" },
    { "# \195\169\195\169\n\195\169: {query: ''} \195\169", "2:17 this is not YAML: did not find expected key" },
  }, "r.yml")
end)
