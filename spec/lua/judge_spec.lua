local traces = require("spec.lua.traces")
local trace, judge, truth = traces.trace, traces.judge, traces.truth
local has, missing, count, all = trace.has, trace.missing, trace.count, trace.all

local A, B, C = { name = "a" }, { name = "b" }, { name = "c" }
local function seconds(n) return n * 1000000000LL end
local function gt(n) return { op = "GT", n = n } end
local CUT = { cut = true }

-- Spans "a b b" at 0, 1, 2 ns.
local function row(names)
  local spans = {}
  for name in names:gmatch("%S+") do spans[#spans + 1] = { name, #spans } end
  return spans
end

-- Each line: what holds, the condition, the spans, the truth, and the options of the view.
local function table_of(lines)
  for _, line in ipairs(lines) do
    it(line[1], function() assert.equal(line[4], truth(line[2], line[3], line[5])) end)
  end
end

describe("a function of the trace", function()
  local yes = trace.satisfies(function(t) return t.n == 1 end)
  local throws = trace.satisfies(function() error("boom", 0) end)
  table_of {
    { "holds", yes, row "a", true }, { "does not", yes, row "a a", false },
    { "negated", -yes, row "a", false }, { "negated, does not hold", -yes, row "a a", true },
    { "throws", throws, row "a", "unknown" }, { "throws, negated", -throws, row "a", "unknown" },
    { "throws beside what is false", throws * B, row "a", false }, { "throws beside what is true", throws + A, row "a", true },
    { "is unknown in a cut trace", yes, row "a", "unknown", CUT }, { "is unknown while the trace is open", yes, row "a", "unknown", { closing = false } },
    { "is unknown near the start where an orphan is there", yes, { { "a", 0, orphan = true } }, "unknown", { startup = true } },
    { "holds with an orphan at another time", yes, { { "a", 0, orphan = true } }, true },
  }

  it("is not asked where what stands before it is false, nor twice", function()
    local asked = 0
    local counting = trace.satisfies(function() asked = asked + 1 return true end)
    truth(has(B) * counting, row "a")
    assert.equal(0, asked)
    truth(has(A) * counting * (counting + B), row "a")
    assert.equal(1, asked)
  end)

  it("has no witness, and its errors are handed on", function()
    local _, result = judge(yes, row "a")
    assert.same({ {}, nil }, { result.witnesses, result.reason })
    assert.same({ "boom" }, select(4, judge(throws + A, row "a")))
  end)
end)

describe("a condition on what is there", function()
  table_of {
    { "has one span", has(A), row "a b", true },
    { "has none", has(A), row "b", false },
    { "counts over n", count(A):over(2), row "a a a", true },
    { "is not over n at n", count(A):over(2), row "a a b", false },
    { "is at least n at n", count(A):at_least(2), row "a a", true },
    { "and: all parts", has(A):and_(has(B), has(C)), row "a b c", true },
    { "and: not all parts", has(A) * B * C, row "a b", false },
    { "or: one part", has(A) + has(B), row "b", true },
    { "or: no part", has(A):or_(B), row "c", false },
    { "one span may satisfy both sides of an `and`", has(A) * has(A), row "a", true },
    { "is not unknown in a cut trace when it is false", has(A), row "b", false, CUT },
    { "ignores unknown answers", has(A), row "b", false, { unknown = { a = 1 } } },
    { "more spans than n", trace.span_count(gt(2)), row "a b c", true },
    { "not more spans than n", trace.span_count(gt(3)), row "a b c", false },
    { "lasts longer", trace.duration(gt(99LL)), { { "a", 0, dur = 50 }, { "b", 20, dur = 80 } }, true },
    { "lasts exactly so long", trace.duration(gt(100LL)), { { "a", 0, dur = 50 }, { "b", 20, dur = 80 } }, false },
  }
end)

describe("an absence in a whole trace", function()
  table_of {
    { "missing", missing(A), row "b", true },
    { "not missing", missing(A), row "b a", false },
    { "under", count(A):under(2), row "a b", true },
    { "at the bound", count(A):under(2), row "a a", false },
    { "at most", count(A):at_most(2), row "a a", true },
    { "exactly", count(A):exactly(2), row "a a", true },
    { "fewer than exactly", count(A):exactly(2), row "a", false },
    { "more than exactly", count(A):exactly(2), row "a a a", false },
    { "all", all(A), row "a a", true },
    { "not all", all(A), row "a b", false },
    { "not has", -has(A), row "b", true },
    { "not of an and (De Morgan)", -(has(A) * has(B)), row "a", true },
    { "not of an or", -(has(A) + has(B)), row "b", false },
    { "not not", -(-has(A)), row "a", true },
    { "not exactly, below", -count(A):exactly(2), row "a", true },
    { "not exactly, at it", -count(A):exactly(2), row "a a", false },
    { "not all", -all(A), row "a b", true },
    { "not all, where all are", -all(A), row "a a", false },
    { "not of a chain", -has(A):followed_by(B), row "b a", true },
    { "not of a chain that holds", -has(A):followed_by(B), row "a b", false },
    { "span_count at most", trace.span_count { op = "LE", n = 2 }, row "a a", true },
    { "span_count between", trace.span_count { op = "BETWEEN", n = 2, high = 3 }, row "a a", true },
    { "span_count not between", -trace.span_count { op = "BETWEEN", n = 2, high = 3 }, row "a a", false },
    { "span_count ne", trace.span_count { op = "NE", n = 2 }, row "a a", false },
    { "span_count ne", trace.span_count { op = "NE", n = 2 }, row "a", true },
  }
end)

describe("an absence in a cut trace", function()
  table_of {
    { "is unknown where nothing disproves it", missing(A), row "b", "unknown", CUT },
    { "is false where something does", missing(A), row "a", false, CUT },
    { "under", count(A):under(2), row "a", "unknown", CUT },
    { "under, disproved", count(A):under(2), row "a a", false, CUT },
    { "exactly n", count(A):exactly(1), row "a", "unknown", CUT },
    { "exactly n, not reached", count(A):exactly(2), row "a", "unknown", CUT },
    { "exactly n, beyond", count(A):exactly(1), row "a a", false, CUT },
    { "not exactly n, at it", -count(A):exactly(1), row "a", "unknown", CUT },
    { "not exactly n, not reached", -count(A):exactly(2), row "a", "unknown", CUT },
    { "not exactly n, beyond", -count(A):exactly(1), row "a a", true, CUT },
    { "between, not reached", trace.span_count { op = "BETWEEN", n = 2, high = 3 }, row "a", "unknown", CUT },
    { "between, beyond", trace.span_count { op = "BETWEEN", n = 2, high = 3 }, row "a a a a", false, CUT },
    { "not between, within", -trace.span_count { op = "BETWEEN", n = 2, high = 3 }, row "a a", "unknown", CUT },
    { "not between, beyond", -trace.span_count { op = "BETWEEN", n = 2, high = 3 }, row "a a a a", true, CUT },
    { "all", all(A), row "a", "unknown", CUT },
    { "all, disproved", all(A), row "a b", false, CUT },
    { "not all, proved", -all(A), row "a b", true, CUT },
    { "not has", -has(A), row "b", "unknown", CUT },
    { "not missing is has", -missing(A), row "a", true, CUT },
    { "not missing is has, and false", -missing(A), row "b", false, CUT },
    { "not over", -count(A):over(3), row "a", "unknown", CUT },
    { "not of a chain", -has(A):followed_by(B), row "a", "unknown", CUT },
    { "an upper bound of the duration", trace.duration { op = "LT", n = 5LL }, row "a", "unknown", CUT },
    { "an upper bound of the duration, passed", trace.duration { op = "LT", n = 5LL },
      { { "a", 0, dur = 5 } }, false, CUT },
    { "false wins an and", missing(A) * has(B), row "c", false, CUT },
    { "unknown and true is unknown", missing(A) * has(B), row "b", "unknown", CUT },
    { "true wins an or", missing(A) + has(B), row "b", true, CUT },
    { "unknown or false is unknown", missing(A) + has(B), row "c", "unknown", CUT },
    { "before the close, likewise", missing(A), row "b", "unknown", { closing = false } },
    { "in a chain", (has(A) * missing(B)):within "5ns", row "a", "unknown", CUT },
    { "in a chain, negated", -(has(A) * missing(B)):within "5ns", row "a", "unknown", CUT },
    { "in a chain, disproved", (has(A) * missing(B)):within "5ns", row "a b", false, CUT },
  }
end)

describe("an absence over a pattern with unknown answers", function()
  local UNKNOWN = { unknown = { a = 1 } }
  table_of {
    { "missing", missing(A), row "b", "unknown", UNKNOWN },
    { "missing, disproved", missing(A), row "a b", false, UNKNOWN },
    { "missing of another pattern", missing(C), row "b", true, UNKNOWN },
    { "under", count(A):under(9), row "b", "unknown", UNKNOWN },
    { "all but the unknown", all(A), row "a b", "unknown", UNKNOWN },
    { "all, with one that surely is not", all(A), row "a b b", false, UNKNOWN },
    { "not all, with one that surely is not", -all(A), row "a b b", true, UNKNOWN },
    { "not all but the unknown", -all(A), row "a b", "unknown", UNKNOWN },
    { "not of a chain", -has(A):followed_by(B), row "b", "unknown", UNKNOWN },
    { "not of a chain that counts it", -(has(B) * count(A):over(0)):within "5ns", row "b", "unknown", UNKNOWN },
    { "not of a chain that wants few of it", -(has(B) * count(A):under(1)):within "5ns", row "c", true, UNKNOWN },
    { "a chain with it absent", (has(B) * missing(A)):within "5ns", row "b", "unknown", UNKNOWN },
    { "not where", -trace.where(A):has(B), row "b", "unknown", UNKNOWN },
  }
end)

describe("complete, startup and orphans", function()
  local whole = { { "r", 0 }, { "b", 1, parent = 0 } }
  local no_root = { { "b", 1, orphan = true } }
  local orphan = { { "r", 0 }, { "b", 1, orphan = true } }
  local strict = { when = missing(A), complete = true }
  table_of {
    { "complete: with its root and no orphan", strict, whole, true },
    { "complete: without its root", strict, no_root, "unknown" },
    { "complete: with an orphan", strict, orphan, "unknown" },
    { "complete: a disproof is a disproof", { when = missing { name = "b" }, complete = true }, orphan, false },
    { "complete: what is there needs no root", { when = has(B), complete = true }, orphan, true },
    { "without complete an orphan does not matter", missing(A), orphan, true },
    { "startup: with an orphan it counts as cut", missing(A), orphan, "unknown", { startup = true } },
    { "startup: without one it does not", missing(A), whole, true, { startup = true } },
  }
end)

describe("followed_by", function()
  table_of {
    { "later", has(A):followed_by(B), { { "b", 1 }, { "a", 0 } }, true },
    { "earlier", has(A):followed_by(B), { { "a", 1 }, { "b", 0 } }, false },
    { "equal starts have no order", has(A):followed_by(B), { { "a", 1 }, { "b", 1 } }, false },
    { "one nanosecond", has(A):followed_by(B), { { "a", 1 }, { "b", 2 } }, true },
    { "another span of the same pattern", has(A):followed_by(A), row "a a", true },
    { "never the same span", has(A):followed_by(A), row "a", false },
    { "three steps", has(A):followed_by(B):followed_by(C), row "a b c", true },
    { "three steps, one out of order", has(A):followed_by(B):followed_by(C), row "a c b", false },
    { "a step of two kinds", has(A):followed_by(has(B) + has(C)), row "c a c", true },
    { "a chain behind a chain", has(A):followed_by(has(B):followed_by(C)), row "a b c", true },
    { "a step in a scope", has(A):followed_by(trace.where(B):has(C)),
      { { "a", 0 }, { "b", 1 }, { "c", 2, parent = 1 } }, true },
    { "a step out of scope", has(A):followed_by(trace.where(B):has(C)),
      { { "a", 0 }, { "b", 1 }, { "c", 2 } }, false },
    { "a step in the scope of the span", has(B):followed_by(trace.where(A, { scope = "span" }):has(A)), row "a b a",
      true },
    { "not missing is a step", (-missing(A)):followed_by(B), row "a b", true },
  }
end)

describe("within", function()
  local five = "5s"
  local chain = has(A):followed_by(B):within(five)
  local function apart(ns) return { { "a", 0 }, { "b", ns } } end
  local three = has(A):followed_by(B):followed_by(C):within "10ns"
  local silent = (has(A) * missing(B)):within "5ns"
  local four = (has(A) * count(B):over(1)):within "5ns"
  table_of {
    { "a nanosecond less", chain, apart(seconds(5) - 1), true },
    { "exactly D is outside", chain, apart(seconds(5)), false },
    { "from any start that fits", chain, { { "a", 0 }, { "a", seconds(3) }, { "b", seconds(6) } }, true },
    { "the whole chain", three, { { "a", 0 }, { "b", 5 }, { "c", 9 } }, true },
    { "the whole chain, too long", three, { { "a", 0 }, { "b", 5 }, { "c", 10 } }, false },
    { "a prefix only", has(A):followed_by(B):within("2ns"):followed_by(C),
      { { "a", 0 }, { "b", 1 }, { "c", 99 } }, true },
    { "two of them", has(A):followed_by(B):within("2ns"):followed_by(C):within "5ns",
      { { "a", 0 }, { "b", 1 }, { "c", 5 } }, false },
    { "an `and` in the written order", (has(A) * has(B)):within "5ns", row "a b", true },
    { "an `and` in another order", (has(B) * has(A)):within "5ns", row "a b", false },
    { "an `and` without it, in any order", has(B) * has(A), row "a b", true },
    { "an `and` of a chain and a span", (has(A):followed_by(B) * has(C)):within "5ns", row "a b c", true },
    { "none from t0 on", silent, { { "b", 0 }, { "a", 1 } }, true },
    { "none at t0", silent, { { "b", 1 }, { "a", 1 } }, false },
    { "none just inside", silent, { { "a", 0 }, { "b", 4 } }, false },
    { "none, but at t0 + D", silent, { { "a", 0 }, { "b", 5 } }, true },
    { "another t0 is free of it", silent, { { "a", 0 }, { "b", 1 }, { "a", 2 } }, true },
    { "not has is missing", (has(A) * -has(B)):within "5ns", row "a b", false },
    { "not missing gives t0", (-missing(A) * missing(B)):within "5ns", row "a c", true },
    { "a chain with its own inside", (has(A):followed_by(B):within "2ns" * has(C)):within "5ns",
      { { "a", 0 }, { "b", 1 }, { "c", 4 } }, true },
    { "a chain with its own inside, too long", (has(A):followed_by(B):within "2ns" * has(C)):within "5ns",
      { { "a", 0 }, { "b", 2 }, { "c", 4 } }, false },
    { "a count in the interval", four, { { "a", 0 }, { "b", 0 }, { "b", 4 } }, true },
    { "a count over its edges", four, { { "b", 0 }, { "a", 1 }, { "b", 2 }, { "b", 6 } }, false },
    { "a count first gives t0", (count(B):over(1) * has(A)):within "5ns",
      { { "b", 0 }, { "b", 1 }, { "a", 2 } }, true },
    { "a count first, the span before it", (count(B):over(1) * has(A)):within "5ns",
      { { "a", 0 }, { "b", 1 }, { "b", 2 } }, false },
    { "a low count in the interval", (has(A) * count(B):under(2)):within "5ns", row "a b b", false },
    { "a count alone", count(B):over(1):within "5ns", { { "b", 0 }, { "b", 5 }, { "b", 9 } }, true },
    { "a count alone, spread", count(B):over(1):within "5ns", { { "b", 0 }, { "b", 5 }, { "b", 10 } }, false },
    { "before the comparison", count(B):within("5ns"):over(1), { { "b", 0 }, { "b", 5 }, { "b", 10 } }, false },
    { "exactly, alone", count(B):exactly(2):within "5ns", row "b b b", true },
    { "counts alone, of two kinds", (count(A):over(0) * count(B):over(1)):within "3ns",
      { { "b", 0 }, { "b", 1 }, { "a", 2 } }, true },
    { "counts alone, too far", (count(A):over(0) * count(B):over(1)):within "2ns",
      { { "b", 0 }, { "b", 1 }, { "a", 2 } }, false },
    { "a low count alone, of nothing", count(B):under(2):within "5ns", row "a", true },
    { "not of it, with an absence in it", -(has(A) * missing(B)):within "5ns", row "a", false },
    { "not of it, as the absence is disproved", -(has(A) * missing(B)):within "5ns", row "a b", true },
    { "not of it", -has(A):followed_by(B):within "1ns", row "a b", true },
  }
end)

describe("where … has", function()
  local spans = { { "r", 0 }, { "a", 1, parent = 0 }, { "x", 2, parent = 1 }, { "b", 3, parent = 2 },
                  { "c", 4, parent = 0 } }
  local hanging = { { "b", 1, orphan = true } }
  table_of {
    { "below", trace.where(A):has(B), spans, true },
    { "on the span itself", trace.where(A):has(A), spans, true },
    { "beside", trace.where(A):has(C), spans, false },
    { "above", trace.where(B):has(A), spans, false },
    { "in the trace", trace.where(A, { scope = "trace" }):has(C), spans, true },
    { "in a trace without it", trace.where({ name = "z" }, { scope = "trace" }):has(C), spans, false },
    { "on the span only", trace.where(A, { scope = "span" }):has(B), spans, false },
    { "on the span only, itself", trace.where(A, { scope = "span" }):has(A), spans, true },
    { "not, where all above is known", -trace.where(A):has(C), spans, true },
    { "not, where it holds", -trace.where(A):has(B), spans, false },
    { "not, under an orphan", -trace.where(A):has(B), hanging, "unknown" },
    { "not, without any q", -trace.where(A):has(C), hanging, true },
    { "not, in a cut trace", -trace.where(A):has(C), spans, "unknown", CUT },
    { "not in the trace: orphans do not matter", -trace.where(A, { scope = "trace" }):has(B), hanging, true },
  }
end)

describe("always and never", function()
  local charge, fraud, bypass = { name = "charge" }, { name = "fraud" }, { name = "bypass" }
  local rule = { when = has(charge), always = has(fraud), never = has(bypass) }
  local early = { when = has(charge), never = has(bypass) }
  local function broken(parts, names, options)
    local holds, result = judge(parts, row(names), options)
    return { holds, result and result.reason, result and result.witnesses }
  end

  it("hold where nothing is broken", function()
    assert.same({ false }, broken(rule, "charge fraud"))
    assert.same({ false }, broken(rule, "bypass"))
  end)
  it("name what is missing", function()
    assert.same({ true, "always: missing fraud", { 0 } }, broken(rule, "charge"))
  end)
  it("name what must not be, with its span", function()
    assert.same({ true, "never: bypass", { 0, 2 } }, broken(rule, "charge fraud bypass"))
  end)
  it("name both", function()
    assert.same({ true, "always: missing fraud; never: bypass", { 0, 1 } }, broken(rule, "charge bypass"))
  end)
  it("name every part of `always` that broke, and none that holds", function()
    local parts = { when = has(charge), always = has(A) * has(B) * has(C) }
    assert.same({ true, "always: missing a; always: missing c", { 0 } }, broken(parts, "charge b"))
  end)
  it("name every part of `never` that broke", function()
    local parts = { when = has(charge), never = has(A) + has(B) + has(C) }
    assert.same({ true, "never: a; never: c", { 0, 1, 2 } }, broken(parts, "charge a c"))
  end)
  it("name an absence of `when` first", function()
    local parts = { when = has(charge) * missing(A), always = has(B) }
    assert.same({ true, "missing a; always: missing b", { 0 } }, broken(parts, "charge"))
  end)
  it("say how often, where a count is broken", function()
    local parts = { when = has(charge), always = count(A):at_least(2) }
    assert.same({ true, "always: 1 times a", { 0 } }, broken(parts, "charge a"))
  end)
  it("say what else is broken", function()
    local function reason(always, names) return broken({ when = has(charge), always = always }, names)[2] end
    assert.equal("always: 1 spans not charge", reason(all(charge), "charge a"))
    assert.equal("always: a", reason(missing(A), "charge a"))
    local _, result = judge({ when = has(charge), never = (has(A) * missing(B)):within "5ns" }, row "charge a")
    assert.equal("never: missing b", result.reason)
    assert.equal("always: missing a followed by b", reason(has(A):followed_by(B), "charge b a"))
    assert.equal("always: 2 spans, at most 4", reason(trace.span_count(gt(4)), "charge a"))
    assert.equal("always: duration 0.000001 ms, at least 0.000001",
                 reason(trace.duration { op = "LT", n = 1LL }, "charge a"))
  end)
  it("are unknown in a cut trace, unless `never` decides", function()
    assert.equal("unknown", truth(rule, row "charge", CUT))
    assert.equal(true, truth(rule, row "charge bypass", CUT))
    assert.equal(false, truth(rule, row "charge fraud", CUT))
  end)
  it("`never` alone is decided at once", function()
    assert.equal(true, truth(early, row "charge bypass", { closing = false }))
    assert.equal(false, truth(early, row "charge", { closing = false }))
  end)
end)

describe("witnesses", function()
  local function witnesses(condition, spans)
    local _, result = judge(condition, spans)
    return result.witnesses
  end
  local lines = {
    { "of has: the earliest", has(A), { { "a", 5 }, { "a", 1 } }, { 1 } },
    { "of has: by id among equal starts", has(A),
      { { "a", 1, id = "bbbbbbbb" }, { "a", 1, id = "aaaaaaaa" } }, { 1 } },
    { "of a chain: one a step, the earliest", has(A):followed_by(B), row "b a a b b", { 1, 3 } },
    { "of a chain: the first step that can be completed", has(A):followed_by(B):within "2ns",
      { { "a", 0 }, { "a", 5 }, { "b", 6 } }, { 1, 2 } },
    { "of a count: all", count(A):over(1), row "a b a a", { 0, 2, 3 } },
    { "of a count within: the earliest interval's", count(A):over(1):within "3ns",
      { { "a", 0 }, { "a", 5 }, { "a", 6 }, { "a", 9 }, { "a", 10 } }, { 1, 2 } },
    { "of a count in a chain: those of the interval", (has(B) * count(A):over(1)):within "3ns",
      { { "a", 0 }, { "b", 1 }, { "a", 2 }, { "a", 3 }, { "a", 4 } }, { 1, 2, 3 } },
    { "of where: the earliest of q", trace.where(A):has(B),
      { { "b", 0 }, { "a", 1 }, { "b", 3, parent = 1 }, { "b", 2, parent = 1 } }, { 3 } },
    { "of an and: of all its parts, in start order, once", has(B) * has(A) * has(A), row "a b", { 0, 1 } },
    { "of an or: of its first true part", has(A) + has(B) + has(C), row "c b", { 1 } },
    { "of an absence: none", has(A) * missing(B), row "a", { 0 } },
    { "of all, duration, span_count: none",
      all(A) * trace.span_count(gt(0)) * trace.duration { op = "GE", n = 0LL }, row "a a", {} },
    { "of a not: none", -missing(B) * -has(A), row "b", { 0 } },
  }
  for _, line in ipairs(lines) do
    it(line[1], function() assert.same(line[4], witnesses(line[2], line[3])) end)
  end
end)

describe("reason, value and threshold", function()
  local function said(condition, spans)
    local _, result = judge(condition, spans)
    return { result.reason or "-", result.value or "-", result.threshold or "-" }
  end
  local lines = {
    { "an absence has a reason", has(A) * missing(B), row "a", { "missing b", "-", "-" } },
    { "several, in order, each once", missing(C) * -has(B) * missing(C), row "a",
      { "missing c; missing b", "-", "-" } },
    { "presence has none", has(A):followed_by(B), row "a b", { "-", "-", "-" } },
    { "of an or: the first true part's", has(B) + missing(C) + missing(B), row "a", { "missing c", "-", "-" } },
    { "in a chain", (has(A) * missing(B)):within "5ns", row "a", { "missing b", "-", "-" } },
    { "of a chain that is not there", -has(A):followed_by(B), row "c", { "missing a followed by b", "-", "-" } },
    { "where is nothing", -trace.where(A):has(B), row "c", { "missing b at or below a", "-", "-" } },
    { "what is without another", has(A):without_child(B), row "a", { "missing b as child of a", "-", "-" } },
    { "what is no such relative", has(A):no_descendant(B), row "b", { "missing a as ancestor of b", "-", "-" } },
    { "no relative at all", -has(A):sibling(B), row "a b", { "missing b as sibling of a", "-", "-" } },
    { "none without another", -has(A):without_child(B), row "c", { "missing a without b as child of it", "-", "-" } },
    { "an absence within structure", has(A):followed_by(has(B):without_parent(C)), row "a b",
      { "missing c as parent of b", "-", "-" } },
    { "a sibling of either", -(has(A) + has(B)):sibling(C), row "c", { "missing c as sibling of (a or b)", "-", "-" } },
    { "nothing that follows", has(A):not_followed_by(B), row "a", { "missing b", "-", "-" } },
    { "all are followed", -has(A):not_followed_by(B), row "c", { "missing a not followed by b", "-", "-" } },
    { "a gap has a value, in milliseconds", has(A):gap(B, gt(999999)), { { "a", 0, dur = 1 }, { "b", 1000001 } },
      { "-", 1, 0.999999 } },
    { "no such gap", -has(A):gap(B, gt(9)), row "a b", { "missing a before b", "-", "-" } },
    { "nothing that overlaps", -has(A):overlaps(B), row "a b", { "missing a overlapping b", "-", "-" } },
    { "none in any order", -(has(A) * has(B)):within("1ns", { any_order = true }), row "b a",
      { "missing a with b", "-", "-" } },
    { "a count over structure", count(has(A):child(B)):over(0), { { "a", 0 }, { "b", 1, parent = 0 } }, { "-", 1, 0 } },
    { "a count has a value", count(A):over(1), row "a a", { "-", 2, 1 } },
    { "the first comparison counts", count(A):over(0) * count(B):over(1), row "a b b", { "-", 1, 0 } },
    { "the first that holds counts", count(A):over(0) + count(B):over(1), row "b b", { "-", 2, 1 } },
    { "a count of none is missing", count(A):under(2), row "b", { "missing a", 0, 2 } },
    { "a low count is not", count(A):under(2), row "a", { "-", 1, 2 } },
    { "a count within", count(A):over(1):within "5ns", row "a a", { "-", 2, 1 } },
    { "spans", trace.span_count(gt(1)), row "a b", { "-", 2, 1 } },
    { "milliseconds", trace.duration(gt(300000000LL)), { { "a", 0, dur = 300000001 } }, { "-", 300.000001, 300 } },
  }
  for _, line in ipairs(lines) do
    it(line[1], function() assert.same(line[4], said(line[2], line[3])) end)
  end

  it("a reason of thousands of parts is bounded", function()
    local c = has(A)
    for i = 1, 2000 do c = c * missing { name = "x" .. i } end
    local _, result = judge(c, row "a")
    assert.is_true(#result.reason > 1000 and #result.reason < 1100)
  end)
end)

describe("views", function()
  it("may give times as numbers, or as numbers and int64 mixed", function()
    local compiled = require("fluo.condition").compile { when = has(A):followed_by(B):within "5ns" }
    compiled.patterns[1].id, compiled.patterns[2].id = 0, 1
    local evaluator = require("fluo.judge").prepare(compiled)
    for _, starts in ipairs { { [0] = 0, 4 }, { [0] = -4LL, 0 }, { [0] = 2LL ^ 60, 2LL ^ 60 + 4 } } do
      local view = { n = 2, closing = false, cut = false, startup = false,
                     start = function(i) return starts[i] end, id = function(i) return "id" .. i end,
                     hits = function(pattern) return { pattern } end, unknown = function() return 0 end }
      assert.is_true((evaluator(view)))
      starts[1] = starts[1] + 1
      assert.is_false((evaluator(view)))
    end
  end)
end)
