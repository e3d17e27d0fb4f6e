local rulefiles = require("spec.lua.rulefiles")
local pattern, refusal = rulefiles.pattern, rulefiles.refusal

describe("a pattern", function()
  local cases = {
    { "{}", "{}" }, { '{ name = "x" }', 'name eq "x"' }, { "{ n = 5 }", 'attribute["n"] eq 5' },
    { "{ n = 5.5 }", 'attribute["n"] eq 5.5' }, { "{ n = true }", 'attribute["n"] eq true' },
    { "{ n = 9007199254740993LL }", 'attribute["n"] eq 9007199254740993' },
    { "{ n = -1 }", 'attribute["n"] eq -1' }, { "{ n = 1e300 }", 'attribute["n"] eq 1e+300' },
    { '{ b = 1, a = 2 }', 'and { attribute["a"] eq 2; attribute["b"] eq 1 }' },
    { '{ ["http.status_code"] = 500 }', 'attribute["http.status_code"] eq 500' },
    { '{ attributes = { name = "x" } }', 'attribute["name"] eq "x"' },
    { '{ resource = { ["service.name"] = "x" } }', 'resource["service.name"] eq "x"' },
    { "{ n = ne(3) }", 'attribute["n"] ne 3' }, { "{ n = gt(3) }", 'attribute["n"] gt 3' },
    { '{ n = ge "3.5" }', 'attribute["n"] ge "3.5"' }, { "{ n = between(1, 2) }", 'attribute["n"] between 1, 2' },
    { '{ n = one_of { 1, "a", true } }', 'attribute["n"] eq 1, "a", true' },
    { "{ n = none_of { 1 } }", 'attribute["n"] ne 1' }, { '{ n = contains "a" }', 'attribute["n"] contains "a"' },
    { '{ n = prefix "a" }', 'attribute["n"] prefix "a"' }, { '{ n = suffix "a" }', 'attribute["n"] suffix "a"' },
    { '{ n = glob "a*" }', 'attribute["n"] glob "a*"' }, { '{ n = matches "a+" }', 'attribute["n"] matches "a+"' },
    { "{ name = exists }", "{}" }, { "{ name = exists, n = 1 }", 'attribute["n"] eq 1' },
    { "{ n = exists }", 'attribute["n"] exists' }, { "{ n = missing }", 'not { attribute["n"] exists }' },
    { '{ status = "error" }', 'status eq "ERROR"' }, { '{ status = "STATUS_CODE_OK" }', 'status eq "OK"' },
    { '{ status = one_of { "Unset", "EXPLICIT_OK" } }', 'status eq "UNSET", "EXPLICIT_OK"' },
    { '{ kind = "SPAN_KIND_SERVER" }', 'kind eq "SERVER"' }, { '{ kind = ne "client" }', 'kind ne "CLIENT"' },
    { "{ duration = gt(300) }", "duration gt 300000000" }, { '{ duration = lt "1.5s" }', "duration lt 1500000000" },
    { "{ duration = gt(300.000001) }", "duration gt 300000001" },
    { "{ duration = gt(1000/3) }", "duration gt 333333333" }, { "{ duration = ge(1000/3) }", "duration ge 333333334" },
    { "{ duration = le(1000/3) }", "duration le 333333333" }, { "{ duration = lt(1000/3) }", "duration lt 333333334" },
    { '{ duration = between("1ms", "2ms") }', "duration between 1000000, 2000000" },
    { '{ start = gt "1760356800000000000" }', "start gt 1760356800000000000" },
    { "{ end_ = 1760356800000000000LL }", "end eq 1760356800000000000" },
    { "{ root = true }", "root eq true" }, { '{ span_id = "00000000000000AA" }', 'span_id eq "00000000000000aa"' },
    { '{ trace_id = prefix "AB" }', 'trace_id prefix "ab"' }, { "{ parent_id = missing }", "not { parent_id exists }" },
    { '{ event = { name = "exception", code = 5 } }',
      'event { and { attribute["code"] eq 5; event_name eq "exception" } }' },
    { "{ event = missing }", "not { event { {} } }" },
    { '{ link = { trace_state = "a", attributes = { name = 1 } } }',
      'link { and { attribute["name"] eq 1; trace_state eq "a" } }' },
    { "function(span) return true end", "function 1 of span" },
    { "{ where = function(span) return true end, n = 1 }", 'and { attribute["n"] eq 1; function 1 of span }' },
    { "{ n = function(v) return v end, resource = { r = function(v) return v end } }",
      'and { attribute["n"] exists; function 1 of attribute["n"]; resource["r"] exists; function 2 of resource["r"] }' },
    { "{ event = { name = function(v) return v end, code = function(v) return v end } }",
      'event { and { attribute["code"] exists; function 1 of attribute["code"]; function 2 of event_name } }' },
    { "{ link = any_of { { span_id = function(v) return v end }, not_ { k = function(v) return v end } } }",
      'link { or { function 1 of span_id; '
        .. 'not { and { attribute["k"] exists; function 2 of attribute["k"] } } } }' },
    { "any_of { { n = 1 }, { m = 2 } }", 'or { attribute["n"] eq 1; attribute["m"] eq 2 }' },
    { "all_of { { n = 1 }, any_of { { m = 2 }, function(s) return s end } }",
      'and { attribute["n"] eq 1; or { attribute["m"] eq 2; function 1 of span } }' },
    { "not_ { n = 1 }", 'not { attribute["n"] eq 1 }' }, { "any_of { { n = 1 }, {} }", "{}" },
  }
  for _, case in ipairs(cases) do
    it(("`%s` means `%s`"):format(case[1], case[2]), function()
      assert.equal(case[2], pattern(case[1]).canonical)
    end)
  end

  local refused = {
    ["{ n = gt(true) }"] = "no order", ['{ n = gt "5s" }'] = "not a number", ["{ n = gt() }"] = "takes 1 argument",
    ["{ n = 0/0 }"] = "finite", ["{ n = contains(5) }"] = "takes text", ["{ n = one_of { 1, nil, 3 } }"] = "gaps",
    ["{ n = one_of { a = 1 } }"] = "without names", ["{ n = not_(3) }"] = "combines patterns",
    ['{ status = gt "OK" }'] = "cannot be asked", ["{ status = 2 }"] = "a status is text",
    ["{ root = 1 }"] = "true or false", ["{ kind = missing }"] = "is never missing",
    ["{ duration = -1 }"] = "never negative", ["{ duration = lt(0) }"] = "never below 0",
    ["{ start = 1.5 }"] = "not exact", ['{ start = "yesterday" }'] = "nanoseconds since 1970",
    ['{ resource = "prod" }'] = "takes a table of keys", ['{ event = "exception" }'] = "takes a table",
    ["{ where = { n = 1 } }"] = "takes a function", ["any_of {}"] = "a list of patterns",
    ["any_of({ n = 1 }, { m = 1 })"] = "one list", ["not_ {}"] = "matches nothing", ["gt(5)"] = "not an operand",
    ["{ link = { event = { name = 1 } } }"] = "no field `event`", ["{ n = {} }"] = "equal to a table",
    ["{ event = { where = 5 } }"] = "takes a function of the event", ["{ event = { n = string.len } }"] = "was not called",
    ["{ n = string.len }"] = "was not called",
    ["{ n = 18446744073709551615ULL }"] = "64 bits", ["5"] = "not a number", ["{ 'x' }"] = "this entry has none",
  }
  for text, why in pairs(refused) do
    it(("`%s` is refused: %s"):format(text, why), function()
      local message = refusal(text)
      assert.is_truthy(message:find(why, 1, true), message)
    end)
  end

  it("with a key that is nearly a field is warned of, and is an attribute", function()
    local result = rulefiles.good('rule "r" { when = { sevrice = "x" } }')
    assert.equal('attribute["sevrice"] eq "x"', result.rules[1].patterns[1].canonical)
    assert.is_truthy(result.warnings[1].hint:find("`service`", 1, true))
    assert.same({}, rulefiles.warnings('rule "r" { when = { attributes = { sevrice = "x" } } }'))
  end)

  it("may nest 100 deep, and be joined with itself only up to 5,000 terms", function()
    local nested = "local p = { n = 1 } for i = 1, %d do p = %s end rule 'r' { when = p }"
    assert.same({}, rulefiles.errors(nested:format(100, "not_(p)")))
    assert.is_truthy(rulefiles.errors(nested:format(200, "not_(p)"))[1]:find("200 deep"))
    assert.is_truthy(rulefiles.errors(nested:format(30, "all_of { p, p }"))[1]:find("5000 terms"))
  end)
end)

describe("the label of a pattern", function()
  local function label(text) return pattern(text).label end

  it("is the name that it asks for", function()
    assert.equal("audit.log", label '{ name = "audit.log", n = 1 }')
    assert.equal("db.*", label '{ name = glob "db.*" }')
  end)

  it("is its source text where it names none", function()
    assert.equal('{ n = 1, status = "ERROR" }', label '{ n = 1, status = "ERROR" }')
    assert.equal('{ n = gt(5), x = { 1 } }', rulefiles.load(
      'rule "r" { when = trace.missing { n = gt(5), x = { 1 } } }').errors and '{ n = gt(5), x = { 1 } }')
    assert.equal("function(span) return span.root end", label "function(span) return span.root end")
  end)

  it("is one line, whatever the source text", function()
    assert.equal("{ n = 1, m = 2 }", label "{ n = 1,\n      m = 2 }")
  end)

  it("is canonical text where the source text is not to be found", function()
    local rule = rulefiles.good('local t = { n = 1 } t.m = 2 rule "r" { when = t }').rules[1]
    assert.equal('and { attribute["m"] eq 2; attribute["n"] eq 1 }', rule.patterns[1].label)
  end)

  it("is cut between two characters", function()
    local text = label(('{ n = "%s" }'):format(("é"):rep(300)))
    assert.is_true(#text <= 200)
    assert.is_nil(text:find("\195…", 1, true))
  end)
end)
