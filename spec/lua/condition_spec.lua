local condition = require("fluo.condition")
local traces = require("spec.lua.traces")
local trace, error_of = traces.trace, traces.error_of
local has, missing, count, all = trace.has, trace.missing, trace.count, trace.all
local function gt(n) return { op = "GT", n = n } end
local window = require("fluo.window").api(traces.context)
local A, B, C = { name = "a" }, { name = "b" }, { name = "c" }

local function compile(parts)
  return condition.compile(condition.is(parts) and { when = parts } or parts)
end

-- A gate as text: "a>0 b=0 &" in postfix.
local SIGNS = { EQ = "=", GT = ">", GE = ">=", LT = "<", LE = "<=" }
local function gate(parts)
  local out = {}
  for i, entry in ipairs(compile(parts).gate) do
    local n = entry.n and tostring(entry.n):gsub("LL$", "") or ""
    if entry.compare then
      local subject = entry.op == "HITS" and entry.pattern.label or entry.op:lower()
      out[i] = subject .. SIGNS[entry.compare] .. n
    else
      out[i] = entry.op .. n
    end
  end
  return table.concat(out, " ")
end

describe("the gate asks whether the counts can make it true:", function()
  local chain = has(A):followed_by(B)
  local lines = {
    { "has", has(A), "a>=1" },
    { "missing", missing(A), "a=0" },
    { "count", count(A):over(5), "a>5" },
    { "exactly: more may come that it does not know of", count(A):exactly(5), "a<=5" },
    { "at least none: any trace", count(A):at_least(0), "TRUE" },
    { "all", all(A), "a>=1" },
    { "and", has(A) * missing(B), "a>=1 b=0 AND2" },
    { "or", has(A) + has(B) + has(C), "a>=1 b>=1 c>=1 OR3" },
    { "not has", -has(A), "a=0" },
    { "not of an and", -(has(A) * missing(B)), "a=0 b>=1 OR2" },
    { "not of a count", -count(A):over(5), "a<=5" },
    { "not exactly: any trace", -count(A):exactly(5), "TRUE" },
    { "not all: any trace", -all(A), "TRUE" },
    { "where: both", trace.where(A):has(B), "a>=1 b>=1 AND2" },
    { "not where: any trace", -trace.where(A):has(B), "TRUE" },
    { "a chain: each step", chain, "a>=1 b>=1 AND2" },
    { "a chain of the same: different spans", traces.shared().has(A):followed_by(A), nil },
    { "a chain of either", has(A):followed_by(has(B) + has(C)), "b>=1 c>=1 OR2 a>=1 AND2" },
    { "not a chain: any trace", -chain, "TRUE" },
    { "an absence in a chain bounds no trace", (has(A) * missing(B)):within "5s", "a>=1" },
    { "a count in a chain does", (has(A) * count(B):over(3)):within "5s", "a>=1 b>3 AND2" },
    { "a low count in a chain does not", (has(A) * count(B):under(3)):within "5s", "a>=1" },
    { "a count within", count(A):over(3):within "5s", "a>3" },
    { "a low count within: any trace", count(A):at_most(3):within "5s", "TRUE" },
    { "exactly within: so many at least", count(A):exactly(3):within "5s", "a>=3" },
    { "structure: both sides", has(A):child(B), "a>=1 b>=1 AND2" },
    { "structure: the deepest of its kind", has(A):no_child(B), "b>=1" },
    { "without: the spans before it", has(A):without_child(B), "a>=1" },
    { "structure over structure", has(A):child(has(B):without_child(C)):sibling(C), "a>=1 b>=1 AND2 c>=1 AND2" },
    { "structure of either", (has(A) + has(B)):child(C), "a>=1 b>=1 OR2 c>=1 AND2" },
    { "not structure: any trace", -has(A):child(B), "TRUE" },
    { "a count over structure", count(has(A):child(B)):over(3), "a>=1 b>=1 AND2" },
    { "a low count over structure: any trace", count(has(A):child(B)):under(3), "TRUE" },
    { "not_followed_by: what is before it", has(A):not_followed_by(B), "a>=1" },
    { "gap", has(A):gap(B, gt(5)), "a>=1 b>=1 AND2" },
    { "overlaps", has(A):overlaps(B), "a>=1 b>=1 AND2" },
    { "any order", (has(A) * has(B)):within("5s", { any_order = true }), "a>=1 b>=1 AND2" },
    { "spans", trace.span_count { op = "GT", n = 100 }, "spans>100" },
    { "duration", trace.duration { op = "BETWEEN", n = 5LL, high = 9LL }, "duration<=9" },
    { "not equal: any trace", trace.span_count { op = "NE", n = 5 }, "TRUE" },
    { "any trace swallows an or", has(A) + -all(B), "TRUE" },
    { "and vanishes from an and", has(A) * -all(B), "a>=1" },
    { "an invariant", { when = has(A), always = has(B), never = has(C) }, "a>=1 b=0 c>=1 OR2 AND2" },
    { "an invariant without never", { when = has(A), always = has(B) }, "a>=1 b=0 AND2" },
  }
  for _, line in ipairs(lines) do
    if line[3] then it(line[1], function() assert.equal(line[3], gate(line[2])) end) end
  end

  it("two steps of one pattern need two hits", function()
    local shared = traces.shared()
    assert.equal("a>=2", gate(shared.has(A):followed_by(A)))
    assert.equal("a>=2", gate(shared.has(A):child(A)))
    assert.equal("a>=1", gate((shared.has(A) * shared.has(A)):within("5s", { any_order = true })))
  end)
end)

describe("a rule is decided", function()
  local lines = {
    { "early: has, or, and, chains, where, counts over", true,
      has(A) + has(B):followed_by(C):within "5s" * trace.where(A):has(B) * count(A):over(2):within "1s" },
    { "early: lower bounds", true, trace.span_count { op = "GT", n = 5 } * trace.duration { op = "GE", n = 5LL } },
    { "early: never without always", true, { when = has(A), never = has(B) } },
    { "late: always", false, { when = has(A), always = has(B) } },
    { "late: never with an absence", false, { when = has(A), never = missing(B) } },
    { "late: missing", false, has(A) * missing(B) },
    { "late: missing in a chain", false, (has(A) * missing(B)):within "5s" },
    { "late: not, also of what has none", false, -missing(A) },
    { "late: under", false, count(A):under(2) },
    { "late: at_most", false, count(A):at_most(2) },
    { "late: exactly, also within", false, count(A):exactly(2):within "5s" },
    { "late: all", false, has(A) + all(A) },
    { "late: upper bounds", false, trace.duration { op = "LT", n = 5LL } },
    { "early: structure, gap, overlaps, any order", true, has(A):child(B) * has(A):gap(B, gt(5)) * has(A):overlaps(B)
      + (has(A) * has(B)):within("5s", { any_order = true }) + has(A):descendant(B):sibling(C) },
    { "late: no_", false, has(A) + has(A):no_child(B) },
    { "late: without_", false, has(A):without_sibling(B) },
    { "late: a structure over an absence", false, has(A):child(has(B):without_child(C)) },
    { "late: not_followed_by", false, has(A):not_followed_by(B) },
    { "late: not of a structure", false, -has(A):child(B) },
    { "late: equality", false, trace.span_count(5) },
  }
  for _, line in ipairs(lines) do
    it(line[1], function()
      local compiled = compile(line[3])
      assert.equal(line[2], compiled.early)
      assert.equal(not line[2], compiled.needs_close)
    end)
  end

  it("by spans that are no hits only where one of them can complete a chain of parents", function()
    for _, relation in ipairs { "child", "parent", "descendant", "ancestor", "sibling" } do
      local climbs = relation == "descendant" or relation == "ancestor"
      local c = has(A)[relation](has(A), B)
      assert.equal(climbs, compile(c).structure, relation)
      assert.equal(climbs, compile(has(C):followed_by(c)).structure, relation)
      assert.equal(climbs, compile(has(C):sibling(c)).structure, relation)
      assert.equal(climbs, compile(count(c):over(1)).structure, relation)
    end
    assert.is_true(compile(has(A) * trace.where(A):has(B)).structure)
    assert.is_true(compile(has(C):followed_by(trace.where(A):has(B))).structure)
    assert.is_false(compile(trace.where(A, { scope = "trace" }):has(B)).structure)
    assert.is_false(compile(trace.where(A, { scope = "span" }):has(B) * has(C)).structure)
  end)
end)

describe("the text for a rule's version", function()
  local function text(parts) return compile(parts).canonical end

  it("has all that changes the meaning", function()
    local seen = {}
    for _, parts in ipairs {
      has(A), has(B), missing(A), has(A) * has(B), has(A) + has(B), has(B) * has(A), -has(A),
      has(A):followed_by(B), has(A):followed_by(B):within "5s", has(A):followed_by(B):within "6s",
      (has(A) * has(B)):within "5s", count(A):over(1), count(A):over(2), count(A):under(2),
      count(A):over(2):within "5s", all(A), trace.span_count { op = "GT", n = 5 },
      trace.duration { op = "GT", n = 5LL }, trace.duration { op = "BETWEEN", n = 5LL, high = 6LL },
      trace.where(A):has(B), trace.where(A, { scope = "span" }):has(B), trace.where(B):has(A),
      trace.where(A, { scope = "trace" }):has(B), has(A):child(B), has(A):parent(B), has(A):no_child(B),
      has(A):without_child(B), has(B):child(A), has(A):gap(B, gt(5)), has(A):gap(B, gt(6)), has(A):gap(B, gt(-5)),
      has(A):overlaps(B), has(A):not_followed_by(B), has(A):not_followed_by(B):within "5s",
      (has(A) * has(B)):within("5s", { any_order = true }), count(has(A):child(B)):over(1),
      { when = has(A), always = has(B) }, { when = has(A), never = has(B) }, { when = has(A), complete = true },
      { when = has(A), always = has(B), never = has(C) }, count(A):over(2 ^ 53 - 1), count(A):over(2 ^ 53 - 2),
    } do
      local t = text(parts)
      assert.is_nil(seen[t], t)
      seen[t] = true
    end
  end)

  it("does not depend on how it was written", function()
    assert.equal(text(has(A):and_(B, C)), text(has(A) * B * C))
    assert.equal(text(-has(A)), text(has(A):not_()))
    assert.equal(text(has(A):followed_by(B):within "5s"), text(has(A):followed_by(has(B)):within(5000)))
    assert.equal(text(count(A):over(2):within "5s"), text(count(A):within("5s"):over(2)))
  end)
end)

describe("patterns", function()
  it("are listed once each, in the order of their appearance", function()
    local shared = traces.shared()
    local compiled = compile { when = shared.has(B) * shared.where(A):has(B), never = shared.has(C) + shared.has(A) }
    local labels = {}
    for i, pattern in ipairs(compiled.patterns) do labels[i] = pattern.label end
    assert.same({ "b", "a", "c" }, labels)
  end)
end)

describe("a condition built in vain", function()
  it("is told from one that stands in a rule or in another condition", function()
    local built, own = {}, setmetatable({}, { __index = traces.context })
    function own.built(c) built[#built + 1] = c end
    local api = condition.api(own)
    local used = api.has(A):followed_by(B):within "5s"
    compile(used * api.count(A):over(2):within("5s"))
    local in_vain = api.has(C) + api.count(A):at_least(3)
    for _, c in ipairs(built) do assert.equal(c ~= in_vain, condition.is_used(c)) end
  end)

  it("is a count without its comparison, and a `where` without its `has`", function()
    assert.is_false(condition.is(count(A)))
    assert.is_not_nil(condition.unfinished(count(A)))
    assert.is_not_nil(condition.unfinished(trace.where(A)))
    assert.is_nil(condition.unfinished(has(A)))
  end)
end)

describe("bounds", function()
  local function nested(depth)
    local c = has(A)
    for _ = 1, depth do c = -c end
    return c
  end
  local function wide(terms)
    local c = has(A)
    for _ = 2, terms do c = c + A end
    return c
  end

  it("allow a nesting of 200, and name it beyond", function()
    assert.equal(200, compile(nested(200)).depth)
    assert.truthy(error_of(function() nested(201) end).message:find("deeper than 200", 1, true))
  end)
  it("allow 5,000 terms, and name them beyond; a long list is not deep", function()
    local compiled = compile(wide(5000))
    assert.same({ 5000, 1 }, { compiled.terms, compiled.depth })
    assert.truthy(error_of(function() wide(5001) end).message:find("5000 terms", 1, true))
  end)
  it("stop a condition that doubles itself", function()
    assert.truthy(error_of(function()
      local c = has(A)
      for _ = 1, 100 do c = c * c end
    end).message:find("5000 terms", 1, true))
  end)
end)

describe("a load error", function()
  local lines = {
    { "a method that is none, with the nearest", function() return has(A):folowed_by(B) end,
      "folowed_by", "folowed_by", "followed_by" },
    { "a form that is none", function() return trace.haz(A) end, "`trace` has no `haz`", "haz", "has" },
    { "a count without a comparison", function() return has(A) * count(B) end, "not a condition", "count", ":over" },
    { "where without has", function() return has(A):and_(trace.where(B)) end, "no condition", "where", ":has" },
    { "two patterns", function() return has(A, B) end, "one pattern, not 2", "has" },
    { "no pattern", function() return missing() end, "one pattern, not 0", "missing" },
    { "a condition as a pattern", function() return has(has(A)) end, "not a condition", "has" },
    { "a window joined by and_", function() return has(A):and_(window("1m", A):count():over(5)) end, "a window is judged by itself",
      "window", "another rule" },
    { "a window that is to join", function() return window("1m", A):count():over(5):or_(has(A)) end, "judged by itself", "window" },
    { "a window times a condition", function() return window("1m", A):count():over(5) * has(A) end, "judged by itself", "window" },
    { "a pattern plus a window", function() return A + window("1m", A):count():over(5) end, "judged by itself", "window" },
    { "a negated window", function() return -window("1m", A):count():over(5) end, "judged by itself", "window" },
    { "a window as a pattern", function() return has(window("1m", A):count():over(5)) end, "judged by itself", "window" },
    { "a count times a count", function() return count(A) * count(B) end, "not a condition", "count" },
    { "a number as a condition", function() return has(A):and_(5) end, "takes conditions", "and_" },
    { "nil as a condition", function() return has(A):followed_by(nil) end, "takes conditions", "followed_by" },
    { "nothing to and", function() return has(A):and_() end, "needs a condition", "and_" },
    { "not_ with an argument", function() return has(A):not_(B) end, "stands before", "not_" },
    { "followed_by on an absence", function() return missing(A):followed_by(B) end, "both sides",
      "followed_by", "not_followed_by" },
    { "followed_by an absence", function() return has(A):followed_by(missing(B)) end, "both sides", "followed_by" },
    { "followed_by on a plain and", function() return (has(A) * has(B)):followed_by(C) end,
      "both sides", "followed_by", "no order" },
    { "followed_by on a count", function() return count(A):over(2):within("5s"):followed_by(C) end,
      "both sides", "followed_by" },
    { "followed_by on an or with more than spans",
      function() return (has(A) + count(B):over(2)):followed_by(C) end, "both sides" },
    { "within on a span", function() return has(A):within "5s" end, "needs a chain", "within", "followed_by" },
    { "within on an absence", function() return missing(A):within "5s" end, "needs a chain", "within" },
    { "within on an or", function() return (has(A):followed_by(B) + has(C)):within "5s" end,
      "needs a chain", "within", "each side" },
    { "within on a not", function() return (-has(A):followed_by(B)):within "5s" end, "needs a chain" },
    { "within on all", function() return (has(A) * all(B)):within "5s" end, "trace.all", "within" },
    { "within on a duration",
      function() return (has(A) * trace.duration { op = "GT", n = 1LL }):within "5s" end, "trace.duration" },
    { "within on a count that has one",
      function() return (has(A) * count(B):over(1):within "1s"):within "5s" end, "trace.count" },
    { "within on the negation of one",
      function() return (has(A) * -count(B):over(1):within "1s"):within "5s" end, "not_" },
    { "within on a negated where", function() return (has(A) * -trace.where(A):has(B)):within "5s" end, "not_" },
    { "followed_by on counts", function() return (count(A):over(2) * missing(B)):within("5s"):followed_by(C) end,
      "both sides" },
    { "within twice on a count", function() return count(B):over(1):within("1s"):within "5s" end, "already" },
    { "within on nothing that is there", function() return (missing(A) * missing(B)):within "5s" end,
      "measure from" },
    { "within zero", function() return has(A):followed_by(B):within(0) end, "never hold", "within" },
    { "within nothing", function() return has(A):followed_by(B):within() end, "a duration has to be", "within" },
    { "an unknown unit", function() return has(A):followed_by(B):within "5 parsec" end, "parsec", "parsec" },
    { "any_order on a chain whose order is written",
      function() return has(A):followed_by(B):within("5s", { any_order = true }) end,
      "nothing to loosen", "any_order", "(a * b)" },
    { "any_order on a count", function() return count(A):over(1):within("5s", { any_order = true }) end,
      "nothing to loosen", "any_order" },
    { "any_order that is no boolean", function() return (has(A) * has(B)):within("5s", { any_order = 1 }) end,
      "true or false", "any_order" },
    { "options that are no table", function() return (has(A) * has(B)):within("5s", true) end, "table of options" },
    { "an unknown option",
      function() return has(A):followed_by(B):within("5s", { anyorder = true }) end,
      "anyorder", "anyorder", "any_order" },
    { "several unknown options", function() return has(A):followed_by(B):within("5s", { 1, b = 2, a = 3 }) end, "`1`" },
    { "an unknown scope", function() return trace.where(A, { scope = "service" }) end, "unknown scope",
      "service", "span" },
    { "an unknown option of where", function() return trace.where(A, { skope = "span" }) end, "skope",
      "skope", "scope" },
    { "where with two patterns", function() return trace.where(A, nil, B) end, "one pattern" },
    { "a count that is no whole number", function() return count(A):over(2.5) end, "whole number", "over" },
    { "a negative count", function() return count(A):at_least(-1) end, "whole number", "at_least" },
    { "a count that is text", function() return count(A):exactly("2") end, "whole number", "exactly" },
    { "under 0", function() return count(A):under(0) end, "never hold", "under", "missing" },
    { "duration of nothing", function() return trace.duration() end, "one operand", "duration" },
    { "a change of a condition", function() has(A).used = true end, "cannot be changed" },
    { "a change of `trace`", function() trace.has = 1 end, "cannot be changed" },
    { "satisfies of a pattern", function() return trace.satisfies(A) end, "takes one function", "satisfies" },
    { "satisfies of two functions", function() return trace.satisfies(function() end, A) end, "takes one function" },
    { "satisfies in a chain", function() return (has(A) * trace.satisfies(function() end)):within "5s" end, "trace.satisfies" },
    { "structure without a pattern", function() return has(A):without_child() end, "one condition or pattern",
      "without_child" },
    { "structure of two", function() return has(A):child(B, C) end, "one condition or pattern", "child", "a:child(b)" },
    { "structure of a chain", function() return has(A):followed_by(B):child(C) end, "none before it", "child",
      "followed_by(b:child(c))" },
    { "structure of an and", function() return (has(A) * has(B)):sibling(C) end, "none before it", "sibling", "one table" },
    { "structure of an absence", function() return missing(A):no_parent(C) end, "none before it", "no_parent" },
    { "structure to a chain", function() return has(A):child(has(B):followed_by(C)) end, "takes spans", "child" },
    { "structure to an absence", function() return has(A):child(missing(B)) end, "takes spans", "child" },
    { "structure to an unfinished where", function() return has(A):child(trace.where(B)) end, "alone is no condition" },
    { "within on a structure", function() return has(A):child(B):within "5s" end, "needs a chain before it, not `child`",
      "within" },
    { "count of a chain", function() return count(has(A):followed_by(B)) end, "takes spans", "count" },
    { "has of a structure", function() return has(has(A):child(B)) end, "span pattern, not a condition", "has" },
    { "not_followed_by without a pattern", function() return has(A):not_followed_by() end, "one condition or pattern",
      "not_followed_by" },
    { "not_followed_by on an absence", function() return missing(A):not_followed_by(B) end, "both sides",
      "not_followed_by" },
    { "not_followed_by a chain", function() return has(A):not_followed_by(has(B):followed_by(C)) end,
      "takes spans, not `followed_by`", "not_followed_by" },
    { "gap without an operand", function() return has(A):gap(B) end, "a condition or pattern, and an operand", "gap",
      "gt" },
    { "gap on an and", function() return (has(A) * has(B)):gap(C, gt(5)) end, "both sides", "gap", "no order" },
    { "gap to a count", function() return has(A):gap(count(B):over(1), gt(5)) end, "takes spans", "gap" },
    { "overlaps of two", function() return has(A):overlaps(B, C) end, "one condition or pattern", "overlaps" },
    { "overlaps an absence", function() return has(A):overlaps(missing(B)) end, "takes spans", "overlaps" },
    { "TraceQL that is none", function() return trace.ql "{ nam = 5 }" end, "unknown name `nam`", "nam", "did you mean `name`" },
    { "TraceQL that is no text", function() return trace.ql { name = "a" } end, "`ql` takes one text", "ql" },
  }
  for _, line in ipairs(lines) do
    it("names " .. line[1], function()
      local why = error_of(line[2])
      assert.truthy(type(why) == "table" and why.message:find(line[3], 1, true), tostring(why.message or why))
      if line[4] then assert.equal(line[4], why.word) end
      if line[5] then assert.truthy((why.hint or ""):find(line[5], 1, true), why.hint) end
    end)
  end

  it("notes a `no_…`, which is seldom what is meant", function()
    traces.context.warnings = {}
    assert.is_true(condition.is(has(A):without_child(B) * has(A):child(B)))
    assert.same({}, traces.context.warnings)
    assert.is_true(condition.is(has(A):no_child(B)))
    assert.equal("no_child", traces.context.warnings[1].word)
    assert.truthy(traces.context.warnings[1].hint:find("without_child", 1, true))
  end)

  it("tells a dot from a colon", function()
    assert.truthy(tostring(error_of(function() has(A).and_(B) end)):find("with a colon", 1, true))
    assert.truthy(tostring(error_of(function() count(A).over(2) end)):find("with a colon", 1, true))
    assert.truthy(error_of(function() has(A).and_(has(B)) end).message:find("needs a condition", 1, true))
  end)
end)

describe("a pattern stands for its `has`", function()
  it("wherever a condition is taken", function()
    for _, c in ipairs { has(A):and_(B), has(A) * B, A * has(B), has(A):followed_by(B) } do
      assert.is_true(traces.truth(c, { { "a", 0 }, { "b", 1 } }))
      assert.is_false(traces.truth(c, { { "a", 0 } }))
    end
    assert.is_true(traces.truth(has(A):or_(B), { { "b", 0 } }))
  end)
end)
