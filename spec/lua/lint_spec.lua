-- What is legal and seldom meant: each warning, and what is near to it and is none.
local rulefiles = require("spec.lua.rulefiles")

local LIMITS = { limits = { spans_max = 10000, max_age_ns = 300e9 } }

local function when(text) return ('rule "r" { when = %s }'):format(text) end

-- "code" of each warning of a text, by place.
local function codes(text)
  local list = {}
  for i, d in ipairs(rulefiles.good(text, LIMITS).warnings) do list[i] = d.code end
  return table.concat(list, " ")
end

local function warned(code, ...)
  for _, text in ipairs { ... } do assert.equal(code, codes(text), text) end
end

local function whens(code, ...)
  for _, text in ipairs { ... } do warned(code, when(text)) end
end

local function and_of(...) return "all_of { { " .. table.concat({ ... }, " }, { ") .. " } }" end

describe("a rule that can never fire", function()
  it("is told by what one field cannot be", function()
    whens("never-fires", '{ kind = none_of { "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER", "UNSPECIFIED" } }',
      and_of('duration = gt "5ms"', 'duration = le "5ms"'), and_of('status = "ERROR"', 'status = "UNSET"'),
      and_of('name = prefix "a"', 'name = "b"'), and_of('name = prefix "ab"', 'name = prefix "b"'),
      and_of('name = glob "a*z"', 'name = "abc"'), and_of('service = "a"', 'service = one_of { "b", "c" }'),
      and_of("start = gt(5LL)", "start = lt(6LL)"), "{ root = false, parent_id = missing }",
      and_of('status = "ERROR"', 'name = "x"', 'status = none_of { "ERROR" }'))
  end)

  it("is told by what is there and missing, or stands beside its contrary", function()
    whens("never-fires", and_of("x = exists", "x = missing"), and_of("x = 5", "x = missing"),
      and_of("resource = { a = 1 }", "resource = { a = missing }"), and_of("x = 5", "x = ne(5)"),
      "all_of { { x = gt(5) }, not_ { x = gt(5) } }",
      and_of("event = exists", "event = missing"),
      '{ event = all_of { { name = "a" }, { name = "b" } } }')
  end)

  it("is none where an array, another key, or a status may be both", function()
    whens("", and_of("x = 1", "x = 2"), and_of('x = prefix "a"', 'x = "b"'), and_of("x = gt(5)", "x = lt(3)"),
      and_of("x = exists", "y = missing"), and_of("x = 1", "resource = { x = missing }"), and_of('status = "OK"', 'status = "UNSET"'),
      and_of('name = "500"', "name = 500"), and_of('name = prefix "a"', 'name = prefix "ab"'), and_of('name = glob "a*"', 'name = glob "*b"'),
      "{ root = true, parent_id = exists }", and_of('event = { name = "a" }', 'event = { name = "b" }'),
      'any_of { { x = 1 }, { x = missing } }', and_of('duration = ge "5ms"', 'duration = le "5ms"'),
      '{ name = "a", x = function(v) return v end, y = missing }')
  end)

  it("is told of a trace by how many spans match one pattern", function()
    whens("never-fires", 'trace.has { name = "a" } * trace.missing { name = "a" }', 'trace.count { name = "a" }:over(10000)',
      'trace.count { name = "a" }:over(5) * trace.count { name = "a" }:under(5)', "trace.span_count(lt(1))", "trace.span_count(gt(10000))",
      'trace.missing { name = "a" } * trace.has { name = "a" }:followed_by { name = "b" }',
      '(trace.has { name = "a" } * trace.missing { name = "a" }):within "5s"',
      'trace.has { name = "a" }:child { name = "b" } * trace.missing { name = "b" }', 'trace.duration(gt "2s") * trace.duration(lt "1s")',
      'trace.where({ name = "a" }):has { name = "b" } * trace.count { name = "a" }:exactly(0)')
    warned("never-fires", 'rule "r" { when = trace.has { name = "a" }, always = trace.has { name = "a" } }')
  end)

  it("is none where another number, pattern or moment is meant", function()
    whens("", 'trace.has { name = "a" } * trace.missing { name = "b" }', 'trace.count { name = "a" }:over(9999)',
      'trace.count { name = "a" }:over(5) * trace.count { name = "a" }:under(7)', "trace.span_count(lt(2))",
      'trace.has { name = "a" }:not_followed_by { name = "a" }', 'trace.has { name = "a" }:without_child { name = "a" } * trace.has { name = "b" }',
      'trace.has { name = matches "a" } * trace.missing { name = matches "a" }', 'trace.has { name = "a" }:gap({ name = "a" }, lt(0))')
  end)
end)

describe("a rule that always fires", function()
  it("is told", function()
    whens("always-fires", "{}", "{ name = exists }", '{ name = glob "*" }', 'any_of { { x = 1 }, not_ { x = 1 } }', "{ duration = ge(0) }",
      "any_of { { x = exists }, { x = missing } }", "trace.has {}", "trace.count {}:at_least(0)", 'trace.count { name = "a" }:at_least(0)',
      "trace.span_count(ge(1))", 'trace.has { name = "a" } + trace.missing { name = "a" }',
      'any_of { { status = "ERROR" }, { status = "UNSET" }, { status = "EXPLICIT_OK" } }')
  end)

  it("is none where a span may lack what is asked", function()
    whens("", '{ service = glob "*" }', "{ x = exists }", '{ name = matches ".*" }', 'any_of { { status = "ERROR" }, { status = "OK" } }',
      "trace.has {}:followed_by {}", "trace.count {}:over(1)", "trace.all { x = 1 }", 'any_of { { x = 1 }, { x = ne(1) } }')
  end)
end)

describe("a part that can never hold", function()
  it("is a pattern of a rule that may fire all the same, or an alternative", function()
    whens("never-matches", 'any_of { { name = "a" }, all_of { { x = exists }, { x = missing } } }',
      'trace.has { name = "a" } + trace.has(' .. and_of("x = exists", "x = missing") .. ")",
      'sequence { by = "k", within = "5s", { name = "a" }, ' .. and_of('name = "a"', 'name = "b"') .. " }")
    whens("never-matches always-fires", "trace.missing(" .. and_of("x = exists", "x = missing") .. ")")
  end)

  it("is an order by text, told once", function() whens("never-holds", '{ x = gt "abc" }') end)
end)

describe("a name", function()
  it("that is nearly a convention is told of with it", function()
    for wrong, right in pairs { ["http.status-code"] = "http.status_code", ["http.statuscode"] = "http.status_code", ["db.statment"] = "db.statement",
      ["Http.Status_Code"] = "http.status_code", ["http.respnse.status_code"] = "http.response.status_code", ["htpp.route"] = "http.route",
      http_status_code = "http.status_code", ["exception.stack_trace"] = "exception.stacktrace" } do
      local d = rulefiles.good(when(("{ [%q] = 1 }"):format(wrong))).warnings[1]
      assert.same({ "near-attribute", ("did you mean `%s`?"):format(right) }, { d and d.code, d and d.hint }, wrong)
    end
    whens("near-attribute", '{ resource = { ["service.verison"] = "1" } }', '{ event = { ["exception.mesage"] = "x" } }')
  end)

  it("that is merely not in the table is none", function()
    for _, name in ipairs { "http.status_code", "http.response.status_code", "http.request.header.x-id", "order.id", "cache_miss", "tenant", "user.role",
      "db.names", "app.name", "peer.service", "payment.amount", "status_code", "score", "route", "room", "state", "code", "mode", "type" } do
      whens("", ("{ [%q] = 1 }"):format(name))
    end
  end)

  it("of a field or of the resource, as an attribute, is told of", function()
    whens("field-as-attribute", '{ Name = "x" }', '{ ["span.name"] = "x" }', '{ ["service.name"] = "x" }', "{ sevrice = 1 }", "{ traceId = 1 }", "{ Status = 1 }")
    whens("resource-as-attribute", '{ ["service.version"] = "1" }', '{ ["k8s.pod.name"] = "x" }')
    local function by(name) return ('window("1m"):by(%q):count():over(5)'):format(name) end
    whens("field-as-attribute", by "parent.sevice", by "Service", by "sevrice", by "service.name", 'window("1m"):distinct("parent.name"):over(5)',
      'sequence { by = "traceId", within = "30s", { name = "a" }, { name = "b" } }', 'query "count() > 5 during 1m by (parent.kind)"')
    whens("resource-as-attribute", by "service.version", 'cascade { within = "1m", distinct = "k8s.pod.name", at_least = 3, { status = "ERROR" } }')
    whens("near-attribute", by "resource.service.verison", by "http.respnse.status_code")
    whens("", by "service", by "parent.service", by "order.id", by "tenant", by "resource.service.version", by "attributes.parent.sevice", by "attributes.Service")
    whens("", '{ attributes = { Name = "x", ["service.name"] = "y", ["service.version"] = 1 } }', '{ resource = { ["service.version"] = 1 } }')
  end)
end)

describe("a function", function()
  it("that nothing stands before is told of", function()
    whens("unguarded-function", "function(s) return s.root end", "{ where = function(s) return s.root end }", "{ name = function(v) return v end }",
      "trace.satisfies(function(t) return t.complete end)", 'trace.has { name = "a" } + trace.satisfies(function(t) return t.complete end)',
      "trace.has(function(s) return s.root end)")
    whens("", "{ x = function(v) return v end }", '{ name = "a", where = function(s) return s.root end }', "{ event = function(e) return e.name end }",
      'trace.has { name = "a" } * trace.satisfies(function(t) return t.complete end)')
  end)
end)

describe("a duration", function()
  it("without a unit that is hardly milliseconds is told of", function()
    whens("bare-duration", "{ duration = gt(300000000) }", "{ duration = between(0.3, 5) }", 'trace.has { name = "a" }:followed_by { name = "b" }:within(0.5)',
      "trace.duration(gt(0.5))")
    whens("", "{ duration = gt(300) }", '{ duration = gt "0.3ms" }', '{ duration = gt "5h" }', "{ duration = 0 }", "{ duration = gt(300.000001) }")
  end)

  it("longer than a trace is kept is told of in `within`", function()
    whens("long-within", 'trace.has { name = "a" }:followed_by { name = "b" }:within "301s"', 'trace.count { name = "a" }:over(5):within "6m"')
    whens("", 'trace.has { name = "a" }:followed_by { name = "b" }:within "5m"')
  end)
end)

describe("a description of what must be", function()
  local function says(text, condition) return ('rule "r" { description = %q, when = %s }'):format(text, condition) end

  it("on a rule that fires when it is, is told of", function()
    local both = 'trace.has { name = "pay" } * trace.has { name = "audit" }'
    warned("reads-as-invariant", says("A payment must be audited", both), says("Each payment requires an audit", both),
      says("always audited", 'trace.has { name = "pay" }:followed_by { name = "audit" }:within "5s"'))
    warned("", says("A payment must not be audited", both), says("Both a payment and an audit", both), says("Audits that should never be", both),
      says("must be audited", 'trace.has { name = "pay" } * trace.missing { name = "audit" }'), says("must be fast", 'trace.has { name = "a" }'))
  end)
end)

describe("the rest", function()
  it("is a condition asked twice, a `no_…`, a label that is no template", function()
    warned("same-condition", 'rule "a" { when = { x = 1 } } rule "b" { when = { x = 1 }, severity = "high" }')
    warned("", 'rule "a" { when = { x = 1 } } rule "b" { when = { x = 1 }, mode = "off" }', 'rule "a" { when = { x = 1 } } rule "b" { when = { x = 2 } }',
      'rule "a" { when = { x = function(v) return v end } } rule "b" { when = { x = function(v) return not v end } }')
    whens("no-form", 'trace.has { name = "a" }:no_child { name = "b" }')
    warned("label-template", 'rule "a" { when = { x = 1 }, labels = { team = "{service}" } }')
    warned("", 'rule "a" { when = { x = 1 }, labels = { team = "{}" } }')
  end)
end)

describe("a key that stands twice in one table", function()
  it("is told at the later one, wherever the table is", function()
    whens("duplicate-key", '{ x = 1, x = 2 }', '{ x = 1; ["x"] = 2 }', '{ ["http.method"] = "GET", y = 1, [\'http.method\'] = "PUT" }',
      '{ x = 1, event = { name = "a" }, x = 2 }', '{ x = function(v) return v end, y = 1, x = 2 }', '{ x = one_of { 1, 2 }, x = 2 }')
    warned("duplicate-key", 'rule "r" { when = { x = 1 }, summary = "a", summary = "b" }',
      'local t = { f = function() if type then return { a = 1, a = 2 } end end } rule "r" { when = { x = 1 } }')
    local d = rulefiles.good('rule "r" { when = {\n  x = 1,\n  y = 2, x = 3 } }').warnings[1]
    assert.same({ "duplicate-key", 3, 10 }, { d.code, d.line, d.column })
  end)

  it("is none where the tables are two, or no table is written", function()
    whens("", '{ x = 1, event = { x = 1 }, resource = { x = 1 } }', 'any_of { { x = 1 }, { x = 2 } }', '{ x = "x = 1, x = 2" }',
      '{ x = function(v) local x, y = 1, 2 x = 3 return v == x + y end, y = 1 }',
      '{ x = function(v) local t, x = { v }, 1 for i = 1, 2 do x = i end repeat x = 2 until v return x end, y = 1 }')
    warned("", 'local x, y = 1, 2 x = 3 rule "r" { when = { x = x }, --[[ when = 1 ]] summary = "{x}" }')
  end)
end)

describe("fluo: allow", function()
  it("in a rule, or right above it, is for that rule", function()
    warned("", 'rule "r" { when = {} } -- fluo: allow always-fires', 'rule "r" {\n  when = {}, -- fluo: allow no-form, always-fires\n}',
      '-- every span\n-- fluo: allow always-fires\n-- indeed\nrule "r" { when = {} }')
    warned("always-fires", '-- fluo: allow always-fires\nrule "r" { when = {} }\nrule "s" { when = { duration = ge(0) } }', '-- fluo: allow no-form\nrule "r" { when = {} }')
  end)

  it("anywhere else is for the file; what is allowed is counted", function()
    local text = '-- fluo: allow always-fires\n\nrule "r" { when = {} }\nrule "s" { when = { name = exists } }'
    warned("same-condition", text)
    assert.equal(2, rulefiles.load(text).allowed)
  end)

  it("of a code that there is not is itself a warning, at its place", function()
    local d = rulefiles.good('rule "r" { when = { x = 1 } }\n-- fluo: allow no-frm').warnings[1]
    assert.same({ "unknown-code", 2, 16, "did you mean `no-form`?" }, { d.code, d.line, d.column, d.hint })
  end)
end)

describe("the manual", function()
  it("has every code of a warning, and no other", function()
    local text, found = assert(io.open("rules/README.md")):read("*a"):match("## Warnings(.-)\n## "), {}
    for code in text:gmatch("\n| `([%l-]+)` |") do found[#found + 1] = code end
    table.sort(found)
    assert.same(require("fluo.lint.allow").NAMES, found)
  end)
end)
