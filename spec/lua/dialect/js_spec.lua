-- The JavaScript chain: parsed, never executed.
local rulefiles = require("spec.lua.rulefiles")
local support = require("spec.lua.dialect.support")

local function chain(text) return "// n\n" .. text end
local function has(body) return "// n\ntrace.has(s => " .. body .. ")" end

describe("a chain", function()
  support.same(it, {
    { "trace.has(span => span.name === 'a').and(trace.missing(x => x.name === 'b'))",
      'trace.has { name = "a" }:and_(trace.missing { name = "b" })' },
    { "trace.has(s => s.name === 'a').missing(s => s.name === 'b').within('5 seconds');",
      'trace.has { name = "a" }:and_(trace.missing { name = "b" }):within "5s"' },
    { "trace.has((s) => s.name === 'a').and((s) => { return s.name === 'b'; }).within(500)",
      'trace.has { name = "a" }:and_({ name = "b" }):within "500ms"' },
    { "trace.has(s => s.name === 'a')\n  .followedBy(s => s.name === 'b') // then\n  .within('1 minute')",
      'trace.has { name = "a" }:followed_by({ name = "b" }):within "1m"' },
    { "trace.where(s => s.name === 'a').has(s => s.name === 'b')", 'trace.where({ name = "a" }):has { name = "b" }' },
    { "trace.count(s => s.name === 'a') > 50", 'trace.count({ name = "a" }):over(50)' },
    { "50 < trace.count(s => s.name === 'a')", 'trace.count({ name = "a" }):over(50)' },
    { "trace.count(s => s.name === 'a').within('5s') >= 2", 'trace.count({ name = "a" }):within("5s"):at_least(2)' },
    { "trace.has(s => s.name === 'a').or(trace.count(s => true) === 3)", 'trace.has { name = "a" }:or_(trace.count({}):exactly(3))' },
    { "trace.has(s => s.name === 'a').or(s => s.name === 'b').not()", 'trace.has { name = "a" }:or_({ name = "b" }):not_()' },
    { "!trace.has(s => s.name === 'a') && trace.has(s => s.name === 'b')", 'trace.has { name = "a" }:not_():and_ { name = "b" }' },
    { "trace.has(s => s.name === 'a').notFollowedBy(s => s.name === 'b').within('5s')",
      'trace.has { name = "a" }:not_followed_by({ name = "b" }):within "5s"' },
    { "trace.has(/* which */ s => s.name === 'a')", 'trace.has { name = "a" }' },
  }, "r.js", chain)

  support.refused(it, {
    { "trace.has(s => s.name === 'a').wthin(5)", "2:32 a condition has no `wthin`" },
    { "trace.hsa(s => s.name === 'a')", "2:7 `trace` has no `hsa`" },
    { "trace.count(s => s.name === 'a')", "2:33 expected a comparison, not the end of the file" },
    { "trace.count(s => s.name === 'a') > 1.5", "2:36 a number of spans is a whole number" },
    { "trace.count(s => s.name === 'a').and(s => s.name === 'b')", "2:34 a count is a number, not a condition" },
    { "trace.has(s => s.name === 'a').or(s => s.name === 'b').within('5s')", "2:63 `within` needs a chain before it, not `or`" },
    { "trace.has(s => s.name === 'a').within('5 parsecs')", "2:39 unknown unit `parsecs` in the duration `5 parsecs`" },
    { "trace.has(s => s.name === 'a'", "2:30 expected `)`, not the end of the file" },
    { "trace.has(span.name === 'a')", "2:15 expected `=>`, not `.`" },
    { "trace.has(s => s.name === 'a') or", "2:32 expected a method, `;` or another chain, not `or`" },
    { "trace.where(s => s.name === 'a')", "2:33 expected `.`, not the end of the file" },
    { "alert('x')", "2:1 expected `trace`, not `alert`" },
    { "/* open", "2:1 this comment is not closed" },
  }, "r.js", chain)
end)

describe("an arrow function", function()
  local function lua(p) return "trace.has(" .. p .. ")" end
  local rows = {}
  for i, row in ipairs {
    { "s.status === 'OK' && s.kind == 'client'", 'all_of { { status = "OK" }, { kind = "CLIENT" } }' },
    { "s.serviceName === 'a'", '{ service = "a" }' },
    { "s.duration > 1000", '{ duration = gt "1s" }' },
    { "1000 < s.durationMs", '{ duration = gt "1s" }' },
    { "s.attributes['http.status_code'] === 500", '{ ["http.status_code"] = strict(500) }' },
    { "s.attributes.x === true", "{ x = strict(true) }" },
    { "s.attributes.x === '500'", '{ x = strict "500" }' },
    { "s.attributes.x === 'a'", '{ x = "a" }' },
    { "s.attributes?.x !== 'a'", 'not_ { x = "a" }' },
    { "s.attributes.x == 500", "{ x = 500 }" },
    { "s.attributes.x != 500", "{ x = ne(500) }" },
    { "s.attributes.x >= 500", "{ x = ge(500) }" },
    { "s.attributes.x === undefined", "{ x = missing }" },
    { "s.attributes.x !== undefined", "{ x = exists }" },
    { "s.attributes['x'] != null", "{ x = exists }" },
    { "s.name.startsWith('a') || s.name.endsWith(\"b\")", 'any_of { { name = prefix "a" }, { name = suffix "b" } }' },
    { "!s.name.includes(`c`)", 'not_ { name = contains "c" }' },
    { "s.name.toLowerCase().includes('a.b')", [[{ name = matches "(?is).*a\\.b.*" }]] },
    { "s.name.toUpperCase() === 'A'", '{ name = matches "(?is)A" }' },
    { "s.attributes.x.toLowerCase() !== 'a'", 'all_of { { x = glob "*" }, not_ { x = matches "(?is)a" } }' },
    { "s.events.length > 0", "{ event = exists }" },
    { "s.events.length === 0", "{ event = missing }" },
    { "s.events.length > 3", "{ where = function(span) return #span.events > 3 end }" },
    { "s.events.some(e => e.name === 'exception' && e.attributes['n'] === 1)", '{ event = all_of { { name = "exception" }, { n = strict(1) } } }' },
    { "s.name === 'a\\u00e9\\x41\\n'", '{ name = "a\195\169A\\n" }' },
    { "!(s.name === 'a' || s.name === 'b')", 'not_(any_of { { name = "a" }, { name = "b" } })' },
    { "true", "{}" },
  } do rows[i] = { row[1], lua(row[2]) } end
  support.same(it, rows, "r.js", has)

  support.refused(it, {
    { "s.attributes.x", "2:16 an attribute alone is no condition" },
    { "!s.name === 'a'", "2:16 `!` binds tighter than a comparison" },
    { "s.name", "2:16 a field alone is no condition" },
    { "s.attributes.http.status", "2:34 there is no `status` here" },
    { "t.name === 'a'", "2:16 expected a comparison of `s`, not `t`" },
    { "s.nme === 'a'", "2:18 a span `s` has no `nme`" },
    { "s.name = 'a'", "2:23 expected a comparison, not `=`" },
    { "s.name === 5", "2:27 `s.name` is text: it is never === 5" },
    { "s.name === s.kind", "2:27 expected a value, not `s`" },
    { "s.name === `a${1}`", "2:27 a text with `${` in it would have to be executed" },
    { "s.name.toLowerCase() === 'A'", "2:41 this never holds: `A` is not all lower case" },
    { "s.name.trim() === 'A'", "2:23 there is no `trim` here" },
    { "s.status === 'FAIL'", "2:29 unknown status `FAIL`" },
    { "s.events.some(e => e.nme === 'x')", "2:37 an event `e` has no `nme`" },
    { "s.nme === 'a' && s.kind === 'srv' || s.nam", "2:18 a span `s` has no `nme`", "2:44 unknown kind `srv`",
      "2:55 a span `s` has no `nam`" },
    { "s.events.length < 0", "2:34 a number of events is never below 0" },
    { "s.name === 'a", "2:27 this quote is not closed" },
    { "false", "2:16 a value alone is no condition" },
  }, "r.js", has)
end)

describe("a rule in JavaScript", function()
  local function short(text)
    local list = {}
    for i, r in ipairs(rulefiles.good({ ["dir/file.js"] = text }, { actions = { "log", "ops" } }).rules) do
      list[i] = ("%s|%s|%s|%s|%s"):format(r.name, r.severity, r.mode, tostring(r.description), r.actions[1].name)
    end
    return list
  end
  local CHAIN = "trace.has(s => s.name === 'a')"

  it("has its name from @name, else from the first comment above it, else from the file", function()
    assert.same({ "a|medium|active|what\nelse|log" }, short("// what\n// @name a\n// else\n" .. CHAIN))
    assert.same({ "a b|medium|active|more|log" }, short("// a b\n//\n// more\n" .. CHAIN))
    assert.same({ "file|medium|active|nil|log" }, short(CHAIN .. " // behind"))
  end)

  it("has its keys from the comments above it", function()
    assert.same({ "a|high|active|nil|ops", "b|medium|shadow|nil|log" },
      short("// @name a\n// @severity high\n// @action ops\n" .. CHAIN .. "; // of the first\n// b\n// @mode shadow\n" .. CHAIN))
  end)

  it("needs a name beside others", function()
    assert.same({ "1:1 a rule beside others needs a name", "2:1 a rule beside others needs a name" },
      rulefiles.errors { ["r.js"] = CHAIN .. "\n" .. CHAIN })
  end)

  it("may begin with whatever a condition begins with, beside others too", function()
    assert.same({ "a|medium|active|nil|log", "b|medium|active|nil|log", "c|medium|active|nil|log", "d|medium|active|nil|log" },
      short("// @name a\n!" .. CHAIN .. "\n// b\n3 < trace.count(s => s.name === 'b')\n// c\n(" .. CHAIN .. ")\n// d\n" .. CHAIN))
  end)

  it("does not hide the errors of the next", function()
    assert.same({ "1:31 expected a method, `;` or another chain, not `)`", "3:18 a span `s` has no `nme`" },
      rulefiles.errors { ["r.js"] = CHAIN .. ")\n// b\ntrace.has(s => s.nme === 'a')\n" })
  end)
end)
