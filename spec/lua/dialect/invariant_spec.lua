-- `when { … } always { … } never { … }`.
local support = require("spec.lua.dialect.support")
local rulefiles = require("spec.lua.rulefiles")

local function wrap(condition) return 'rule "r"\nwhen { ' .. condition .. " }\n" end

describe("a condition of `when { … }`", function()
  support.same(it, {
    { "trace.has(payment.charge)", 'trace.has { name = "payment.charge" }' },
    { 'trace.has("payment charge")', 'trace.has { name = "payment charge" }' },
    { "trace.has(pay*)", 'trace.has { name = "pay*" }' },
    { "trace.has(payment-service/charge:v2)", 'trace.has { name = "payment-service/charge:v2" }' },
    { "trace.has(not.found)", 'trace.has { name = "not.found" }' },
    { 'trace.has("not")', 'trace.has { name = "not" }' },
    { "trace.has(a).where(amount > 1000).where(currency == USD)",
      'trace.has(all_of { { name = "a" }, { amount = gt(1000), currency = "USD" } })' },
    { "trace.has(a).where(name == b)", 'trace.has(all_of { { name = "a" }, { attributes = { name = "b" } } })' },
    { 'trace.has(a).where(x == "5")', 'trace.has { name = "a", x = "5" }' },
    { "trace.has(a).where(x != -5)", 'trace.has { name = "a", x = ne(-5) }' },
    { "trace.has(a).where(x == true)", 'trace.has { name = "a", x = true }' },
    { 'trace.has(a).where(x in [1, b, "c d"])', 'trace.has { name = "a", x = one_of { 1, "b", "c d" } }' },
    { 'trace.has(a).where(x matches "b.*")', 'trace.has { name = "a", x = matches "b.*" }' },
    { "trace.has(a).where(x contains b)", 'trace.has { name = "a", x = contains "b" }' },
    { "trace.has(a).where(span.attributes.x.y <= 1)", 'trace.has { name = "a", ["x.y"] = le(1) }' },
    { "trace.count(a) > 5", 'trace.count { name = "a" }:over(5)' },
    { "trace.count(a) >= 5", 'trace.count { name = "a" }:at_least(5)' },
    { "trace.count(a) < 5", 'trace.count { name = "a" }:under(5)' },
    { "trace.count(a) <= 5", 'trace.count { name = "a" }:at_most(5)' },
    { "trace.count(a) == 5", 'trace.count { name = "a" }:exactly(5)' },
    { "trace.count(a) != 5", 'trace.count { name = "a" }:exactly(5):not_()' },
    { "trace.count(a).where(x == 1) > 5", 'trace.count { name = "a", x = 1 }:over(5)' },
    { "trace.has(a) and not trace.has(b) or trace.has(c)",
      'trace.has { name = "a" }:and_(trace.has { name = "b" }:not_()):or_ { name = "c" }' },
    { "not (trace.has(a) or trace.has(b))", 'trace.has { name = "a" }:or_({ name = "b" }):not_()' },
    { "trace.has(a) // c\n and\n // d\n trace.has(b)", 'trace.has { name = "a" }:and_ { name = "b" }' },
  }, "r.rule", wrap)

  support.refused(it, {
    { "trace.hsa(a)", "2:8 expected a condition, not `trace.hsa`" },
    { "trace.has(not)", "2:18 expected the name of a span, not the word `not`" },
    { "trace.has(a", "2:20 expected `)`, not `}`" },
    { "(trace.has(a)", "2:22 expected `)`, not `}`" },
    { "trace.has(a b)", "2:20 expected `)`, not `b`" },
    { "trace.count(a)", "2:23 expected a comparison, not `}`" },
    { "trace.count(a) > x", "2:25 expected a number, not `x`" },
    { "trace.count(a) > 1.5", "2:25 a number of spans is a whole number" },
    { "trace.count(a) < 0", "2:25 a number of spans is never below 0" },
    { "trace.has(a).where(x)", "2:28 expected a comparison, not `)`" },
    { "trace.has(a).where(x in b)", "2:32 expected a list, not `b`" },
    { 'trace.has(a).where(x matches "(")', "2:37 the regular expression `(` does not compile: missing closing parenthesis (at its byte 1)" },
    { "trace.has(a) trace.has(b)", "2:21 expected `}`, not `trace.has`" },
    { "", "2:9 expected a condition, not `}`" },
  }, "r.rule", wrap)
end)

describe("the blocks of an invariant", function()
  it("stand in any order, `always` and `never` where they are wanted", function()
    local lua = support.meaning("r.lua", [[rule "r" { when = trace.has { name = "a" }, always = trace.has { name = "b" }, never = trace.has { name = "c" } }]])
    assert.equal(lua, support.meaning("r.rule", 'rule "r"\nnever { trace.has(c) } when { trace.has(a) }\nalways { trace.has(b) }'))
  end)

  support.refused(it, {
    { "when { trace.has(a) } when { trace.has(b) }", "1:23 `when` stands twice" },
    { "always { trace.has(a) }", "1:24 expected `when`, not the end of the file" },
    { "when { trace.has(a)", "1:20 expected `}`, not the end of the file" },
    { "when { trace.has(a) } always { }", "1:32 expected a condition, not `}`" },
    { "when { trace.has(a) }\nrule 'z' when { trace.has(b) }", "1:1 a rule beside others needs a name" },
    { "when { trace.has(a).were(b == 1) }", "1:20 a condition has no `.were`" },
    { "when { trace.has(a) } forever", "1:23 expected when { … }, always { … }, never { … } or another rule, not `forever`" },
  }, "r.rule")

  it("without a name have that of the file, or of the comment above", function()
    local function name(text) return rulefiles.good({ ["dir/pay.v2.rule"] = text }).rules[1].name end
    assert.equal("pay.v2", name "when { trace.has(a) }")
    assert.equal("x y", name "// @name x y\nwhen { trace.has(a) }")
  end)
end)
