local rulefiles = require("spec.lua.rulefiles")

local function rule(keys) return rulefiles.good(('rule "r" { %s }'):format(keys)).rules[1] end
local function errors(keys) return rulefiles.load(('rule "r" { %s }'):format(keys)).errors end

describe("a rule", function()
  it("has defaults: severity medium, mode active, the action log", function()
    local r = rule 'when = { name = "x" }'
    assert.same({ "medium", "active", "SPAN" }, { r.severity, r.mode, r.scope })
    assert.same({ { name = "log", value = "", parts = {} } }, r.actions)
  end)

  it("is a span rule by a pattern, a trace rule by a trace condition", function()
    assert.equal("SPAN", rule("when = function(span) return true end").scope)
    assert.equal("SPAN", rule("when = any_of { { n = 1 }, { n = 2 } }").scope)
    assert.equal("TRACE", rule('when = trace.has { name = "x" }').scope)
    assert.equal("TRACE", rule('when = trace.has { name = "x" } * trace.missing { name = "y" }').scope)
  end)

  it("keeps the keys for incidents, durations in ns", function()
    local r = rule [[when = {}, group_by = { "service" }, pending_for = "5m", keep_firing_for = 500, cooldown = "1h",
      resolve_after = "30s", resolve_when = { status = "OK" }, m_of_n = { 3, 5 } ]]
    assert.same({ "service" }, r.group_by)
    assert.is_true(r.pending_for == 300000000000LL and r.keep_firing_for == 500000000LL)
    assert.same({ 3, 5 }, r.m_of_n)
    assert.equal('status eq "OK"', r.resolve_when.canonical)
    assert.same({ { label = "service", field = "SERVICE", key = "" } }, r.incident.group_by)
    assert.is_nil(rule("when = {}").incident)
  end)

  it("groups incidents by its labels, and by fields where it has no label of that name", function()
    local r = rule [[when = {}, labels = { team = "x" }, group_by = { "team", "resource.zone", "http.route", "attributes.name" }]]
    assert.same({ { label = "team", field = "LITERAL", key = "x" }, { label = "resource.zone", field = "RESOURCE", key = "zone" },
      { label = "http.route", field = "ATTRIBUTE", key = "http.route" }, { label = "attributes.name", field = "ATTRIBUTE", key = "name" } },
      r.incident.group_by)
    r = rule [[when = window("1m"):by("http.route"):count():over(5), group_by = { "http.route", "service" }]]
    assert.equal(2, #r.incident.group_by)
  end)

  it("resolves by a pattern, also as trace.has of it", function()
    assert.equal('name eq "x"', rule('when = {}, resolve_when = trace.has { name = "x" }').resolve_when.canonical)
  end)

  it("has labels in sorted order", function()
    local names = {}
    local labels = rule('when = {}, labels = { b = "2", a = "1", c = "3" }').labels
    for i, label in ipairs(labels) do names[i] = label.name end
    assert.same({ "a", "b", "c" }, names)
  end)

  it("is warned of an action that nothing defines, and logs in its place", function()
    local result = rulefiles.good('rule "r" { when = { n = 1 }, actions = { "alert-team" } }')
    assert.equal("log", result.rules[1].actions[1].name)
    assert.equal("no action is called `alert-team`: `log` runs in its place", result.warnings[1].message)
    local known = rulefiles.good('rule "r" { when = { n = 1 }, actions = { "alert-team" } }',
      { actions = { "log", "alert-team" } })
    assert.equal("alert-team", known.rules[1].actions[1].name)
    assert.same({}, known.warnings)
  end)

  it("logs once when it logs already", function()
    local r = rule 'when = {}, actions = { log "a {name}", "alert-team" }'
    assert.equal(1, #r.actions)
    assert.equal("a {name}", r.actions[1].value)
    assert.equal("NAME", r.actions[1].parts[2].field)
  end)

  local refused = {
    ['when = {}, description = 5'] = "`description` is text", ['when = {}, complete = "yes"'] = "true or false",
    ['when = {}, complete = true'] = "needs a trace condition", ['when = {}, actions = "log"'] = "is a list",
    ['when = {}, actions = { 5 }'] = "not a number", ['when = {}, actions = { function() end }'] = "not yet",
    ['when = {}, labels = { "x" }'] = "has a name", ['when = {}, group_by = {}'] = "`group_by`",
    ['when = {}, m_of_n = { 1.5, 3 }'] = "whole numbers", ['when = {}, resolve_when = 5'] = "`resolve_when`",
    ['when = {}, resolve_when = trace.missing { n = 1 }'] = "is a pattern: one span resolves",
    ['when = {}, resolve_after = 0'] = "longer than nothing", ['when = {}, pending_for = "5 parsecs"'] = "unknown unit",
    ['when = window("1m"):by("a"):count():over(5), group_by = "b"'] = "names fields of its `by`, not `b`",
    ['when = {}, never = trace.has { n = 1 }'] = "needs a trace condition", ['when = true'] = "not a boolean",
    ['when = trace.has { n = 1 }, always = { n = 1 }'] = "`always` is a trace condition",
    ['when = trace.where { n = 1 }'] = "alone is no condition", ['when = trace.has { n = 1 }, never = trace.count {}']
      = "not a condition", ["when = {}, summary = '{a'"] = "not closed", ["when = {}, log 'x'"] = "no key",
    ['when = {}, severity = 3'] = "one of low", ['when = trace'] = "a pattern or a trace condition",
  }
  for keys, why in pairs(refused) do
    it(("`%s` is refused: %s"):format(keys, why), function()
      local list = errors(keys)
      assert.is_true(#list >= 1)
      assert.is_truthy(list[1].message:find(why, 1, true), list[1].message)
    end)
  end

  it("says all that is wrong with it, not only the first", function()
    assert.equal(4, #errors 'sevrity = "x", mode = "loud", when = { status = "FINE", duration = gt "3 parsecs" }')
  end)

  it("may share a condition with another rule, each with its own patterns", function()
    local result = rulefiles.good [[local c = trace.has { name = "x" }
      rule "a" { when = c } rule "b" { when = c * trace.has { name = "y" } }]]
    assert.equal(2, #result.rules[2].patterns)
    assert.not_equal(result.rules[1].patterns[1], result.rules[2].patterns[1])
    assert.same({ 0, 1, 2 }, { result.rules[1].patterns[1].id, result.rules[2].patterns[1].id,
                               result.rules[2].patterns[2].id })
  end)
end)
