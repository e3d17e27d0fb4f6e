-- `rule "name" when … then …`: what it means is what the Lua beside it means.
local rulefiles = require("spec.lua.rulefiles")
local support = require("spec.lua.dialect.support")

local function wrap(condition) return 'rule "r"\nwhen\n  ' .. condition .. "\nthen\n" end

local TYPE = [[any_of { { attributes = { type = "x" } }, all_of { { attributes = { type = missing } }, { attributes = { ["span.type"] = "x" } } },
  all_of { { attributes = { type = missing } }, { attributes = { ["span.type"] = missing } }, { name = "x" } } }]]

describe("a condition of `when … then`", function()
  support.same(it, {
    { 'span.name == "a"', '{ name = "a" }' },
    { "span.name == 'a'", '{ name = "a" }' },
    { 'span.name == "a\\"b\\\\n"', [[{ name = 'a"b\\n' }]] },
    { 'span.status != "OK"', '{ status = ne "OK" }' },
    { 'span.kind == "server"', '{ kind = "SERVER" }' },
    { 'span.type == "x"', TYPE },
    { "span.duration > 300", '{ duration = gt "300ms" }' },
    { "span.durationMs >= 0.5", '{ duration = ge "500us" }' },
    { "300 < span.duration", '{ duration = gt "300ms" }' },
    { 'span.statusMessage == "m"', '{ status_message = "m" }' },
    { 'span.traceId == "00000000000000000000000000000001"', '{ trace_id = "00000000000000000000000000000001" }' },
    { 'span.spanId == "0000000000000001"', '{ span_id = "0000000000000001" }' },
    { 'span.parentSpanId == "0000000000000001"', '{ parent_id = "0000000000000001" }' },
    { 'span.attributes["http.status_code"] == 500', '{ ["http.status_code"] = 500 }' },
    { "span.attributes.http.status_code == 500", '{ ["http.status_code"] = 500 }' },
    { "span.attributes.user-agent == true", '{ ["user-agent"] = true }' },
    { "span.attributes.name == 1", "{ attributes = { name = 1 } }" },
    { "span.attributes.n < -1.5e3", "{ n = lt(-1500) }" },
    { "span.attributes.n == 9007199254740993", "{ n = 9007199254740993LL }" },
    { 'resource.cloud.region == "eu"', '{ resource = { ["cloud.region"] = "eu" } }' },
    { 'service == "a" && service.name != "b"', 'all_of { { service = "a" }, { service = ne "b" } }' },
    { 'span.name == "a" || span.name == "b" && span.name == "c"',
      'any_of { { name = "a" }, all_of { { name = "b" }, { name = "c" } } }' },
    { '(span.name == "a" or span.name == "b") and span.name == "c"',
      'all_of { any_of { { name = "a" }, { name = "b" } }, { name = "c" } }' },
    { 'not span.name == "a" and span.name == "c"', 'all_of { not_ { name = "a" }, { name = "c" } }' },
    { 'not not span.name == "a"', 'not_(not_ { name = "a" })' },
    { '!(span.name == "a" && span.name == "b")', 'not_(all_of { { name = "a" }, { name = "b" } })' },
    { 'span.name // the name\n == // equals\n "//a"', '{ name = "//a" }' },
  }, "r.rule", wrap)

  support.refused(it, {
    { "span.attributes.x", "3:3 an attribute alone is no condition" },
    { '!span.name == "a"', "3:4 expected `(`, not `span.name`" },
    { 'span.name = "a"', "3:13 expected a comparison, not `=`" },
    { "span.name == a", "3:16 expected a value, not `a`" },
    { "span.name == span.kind", "3:16 expected a value, not `span.kind`" },
    { 'span.nme == "a"', "3:3 unknown field `span.nme`" },
    { 'name == "a"', "3:3 unknown field `name`" },
    { 'span.nme == "a" && span.kind == "srv" && nam > 5', "3:3 unknown field `span.nme`", "3:35 unknown kind `srv`",
      "3:44 unknown field `nam`" },
    { '(span.name == "a"', "4:1 expected `)`, not `then`" },
    { 'span.name == "a', "3:16 this quote is not closed" },
    { 'span.name == "a" == "b"', "3:20 expected `then`, not `==`" },
    { 'span.status == "FAIL"', "3:18 unknown status `FAIL`" },
    { 'span.duration > "5"', "3:19 the duration `5` has no unit" },
    { 'span.attributes["x" == 1', "3:23 expected `]`, not `==`" },
    { "true", "4:1 expected a comparison, not `then`" },
    { 'span.name == "a" &&', "4:1 expected a comparison, not `then`" },
  }, "r.rule", wrap)
end)

describe("a file of `when … then`", function()
  support.refused(it, {
    { 'rule "r"\nwhen span.name == "a"\n', "2:22 expected `then`, not the end of the file" },
    { 'rule "r"\nwhen span.name == "a"\nrule "s" when span.name == "b" then', "3:1 expected `then`, not `rule`" },
    { 'rule "r" span.name == "a" then', "1:10 expected `when`, not `span.name`" },
    { 'when span.name == "a" then', "1:1 expected `rule`, not `when`" },
    { 'rule "r" when span.name == "a" then foo()', "1:37 expected log(\"…\"), alert(\"…\") or `end`, not `foo`" },
    { 'rule "r" when span.name == "a" then log(x)', "1:41 expected text in quotes, not `x`" },
    { 'rule "r" when span.name == "a" then log("{")', "1:6 a `{` in the template is not closed" },
    { 'rule "" when span.name == "a" then', "1:6 the name of a rule is text of at most 256 bytes" },
    { "// @severity hgh\nrule 'r' when span.name == 'a' then", "1:1 unknown severity `hgh`" },
    { "// @severty high\nrule 'r' when span.name == 'a' then", "1:1 unknown `@severty`" },
    { "// @mode off\n// @mode shadow\nrule 'r' when span.name == 'a' then", "2:1 `@mode` stands twice" },
    { "rule 'r' when span.name = 'a' then\nrule 's' when nme == 'b' then", "1:25 expected a comparison, not `=`",
      "2:15 unknown field `nme`" },
    { "rule 'r' when span.name == 'a' then\nrule 'r' when span.name == 'b' then", "2:6 the name `r` is taken: r.rule:1:6 has it" },
  }, "r.rule")

  it("has rules one after the other, with `end` or without, and keys in the comments above", function()
    local rules = rulefiles.good({ ["r.rule"] = [[
// @severity high
// about the
// first
rule "a" when span.name == "a" then
  // Create an alert
  log("{service} is slow"); alert("ops")
// @mode shadow
rule "b" when span.name == "b" then
end
  // @action log
  rule "c" when span.name == "c" then log("x")
]] }, { actions = { "log", "ops" } }).rules
    local short = {}
    for i, r in ipairs(rules) do
      local names = {}
      for j, action in ipairs(r.actions) do names[j] = action.name .. ":" .. action.value end
      short[i] = ("%s %s %s %s %s"):format(r.name, r.severity, r.mode, tostring(r.description), table.concat(names, " "))
    end
    assert.same({ "a high active about the\nfirst log:{service} is slow ops:", "b medium shadow nil log:",
      "c medium active nil log: log:x" }, short)
  end)

  it("tells the comments of a `then` without `end` from those above the next rule by their column", function()
    local rules = rulefiles.good { ["r.rule"] = [[
rule "a" when span.name == "a" then
  // of a
// of b
rule "b" when span.name == "b" then
  // of b's then
end
  // of c
rule "c" when span.name == "c" then
]] }.rules
    assert.same({ "of b", "of c" }, { rules[2].description, rules[3].description })
  end)

  it("may say which warnings are meant", function()
    local text = 'rule "r" when span.attributes.x > "a" then\n'
    assert.same({ "1:35 `a` is not a number, so `gt` never holds" }, rulefiles.warnings { ["r.rule"] = text })
    assert.same({}, rulefiles.warnings { ["r.rule"] = "// fluo: allow never-holds\n" .. text })
    assert.same({ "1:1 `never-hold` is the code of no warning", "2:35 `a` is not a number, so `gt` never holds" },
      rulefiles.warnings { ["r.rule"] = "// fluo: allow never-hold\n" .. text })
    assert.is_nil(rulefiles.good({ ["r.rule"] = "// fluo: allow never-holds\n" .. text }).rules[1].description)
    local yaml = "r: {conditions: [{op: gt, field: span.attributes.x, value: a}]}\n"
    assert.same({ "1:60 `a` is not a number, so `gt` never holds" }, rulefiles.warnings { ["r.yml"] = yaml })
    assert.same({}, rulefiles.warnings { ["r.yml"] = "# fluo: allow never-holds\n" .. yaml })
  end)

  it("tolerates a fence, a BOM and CRLF, whose lines count", function()
    local path = os.tmpname()
    os.remove(path)
    local file = assert(io.open(path .. ".rule", "wb"))
    file:write('\239\187\191```\r\nrule "r"\r\nwhen\r\n  span.nme == "a"\r\nthen\r\n```\r\n')
    file:close()
    local loader = require("fluo.loader")
    local error = loader.load(loader.read(path .. ".rule")).errors[1]
    os.remove(path .. ".rule")
    assert.same({ 4, 3, "unknown field `span.nme`", '  span.nme == "a"' }, { error.line, error.column, error.message, error.excerpt })
  end)
end)
