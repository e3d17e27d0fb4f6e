-- What a trace condition means (rules/README.md, Conditions), through the whole agent. A pattern { name = "a" } is written A
-- in the tables below, and traces in the short notation of spec/replay.lua.
local replay = require("spec.replay")
local arrival, run = replay.arrival, replay.rule

-- Rows of { when, trace, the ids of the witnesses (or false: no violation), keys = …, value = … }.
local function judge(rows)
  local cases = {}
  for i, row in ipairs(rows) do
    cases[i] = { when = replay.long(row[1]), spans = replay.short(row[2]),
      keys = row.keys and replay.long(row.keys) }
  end
  local found, status, stderr = replay.rows(cases)
  assert.equal(0, status, stderr)
  for i, row in ipairs(rows) do
    local v, ids = found[i], {}
    for _, s in ipairs(replay.short(row[2])) do ids[#ids + 1] = s.id end
    local got = v and replay.witnesses(v, "row " .. i, ids)
    assert.equal(row[3], got, ("row %d: %s on %s"):format(i, row[1], row[2]))
    if row.value then assert.same({ row.value, row.threshold }, { v.value, v.threshold }, row[1]) end
    if row.reason then assert.equal(row.reason, v.reason, row[1]) end
  end
end

describe("has, missing, count, all, duration, span_count", function()
  it("has: some span; its witness is the earliest", function()
    judge { { "trace.has(A)", "b@0 a2@7 a1@3 a3@9", "a1" }, { "trace.has(A)", "b@0 c@1", false },
      { "trace.has {}", "b@2 c@1", "c" } }
  end)

  it("of equal starts the lower span id is the earlier", function()
    local low, high = ("0"):rep(15) .. "1", ("f"):rep(16)
    for _, ids in ipairs { { low, high }, { high, low } } do
      local found = run("trace.has(A)", { { replay.span { name = "a", span_id = ids[1] },
        replay.span { name = "a", span_id = ids[2] } } })
      assert.equal(low, found[1].spans[1].span_id)
    end
  end)

  it("missing: no span, nothing to witness; the reason is the pattern's name, or its source text", function()
    judge {
      { "trace.missing(A)", "b@0", "", reason = "missing a" }, { "trace.missing(A)", "b@0 a@5", false },
      { "trace.has(B) * trace.missing(A)", "b@0", "b", reason = "missing a" },
      { "trace.missing { v = gt(3) }", "b@0", "", reason = "missing { v = gt(3) }" },
      { "trace.missing(A) * trace.missing(C)", "b@0", "", reason = "missing a; missing c" },
      { 'trace.missing { name = glob "a*" }', "b@0", "", reason = "missing a*" },
      { "-trace.has(A)", "b@0", "", reason = "missing a" },
      { "trace.has(B) * trace.missing { name = 'a', status = 'ERROR' }", "b@0 a@1", "b", reason = "missing a" },
    }
  end)

  it("count: all of its spans are witnesses, value and threshold those of the comparison", function()
    judge {
      { "trace.count(A):over(2)", "a1@0 a2@1 b@2", false },
      { "trace.count(A):over(2)", "a1@0 a2@1 a3@2 b@3", "a1 a2 a3", value = 3, threshold = 2 },
      { "trace.count(A):at_least(2)", "a1@0", false },
      { "trace.count(A):at_least(2)", "a1@0 a2@1", "a1 a2", value = 2, threshold = 2 },
      { "trace.count(A):under(2)", "a1@0 a2@1", false },
      { "trace.count(A):under(2)", "a1@0 b@1", "a1", value = 1, threshold = 2 },
      { "trace.count(A):under(2)", "b@1", "", value = 0, threshold = 2 },
      { "trace.count(A):at_most(2)", "a1@0 a2@1 a3@2", false },
      { "trace.count(A):at_most(2)", "a1@0 a2@1", "a1 a2" }, { "trace.count(A):exactly(2)", "a1@0 a2@1", "a1 a2" },
      { "trace.count(A):exactly(2)", "a1@0", false },
      { "trace.count(A):exactly(2)", "a1@0 a2@1 a3@2", false }, { "trace.count(A):exactly(0)", "b@0", "" },
      { "trace.count(A):over(0)", "a@0", "a" },
      { "trace.count(A):at_least(0)", "b@0", "" }, { "-trace.count(A):over(2)", "a1@0 a2@1", "a1 a2" },
      { "-trace.count(A):exactly(2)", "a1@0 a2@1", false },
      { "-trace.count(A):exactly(2)", "a1@0", "a1" }, { "-trace.count(A):under(2)", "a1@0 a2@1", "a1 a2" },
    }
  end)

  it("all: every span", function()
    judge {
      { "trace.all(A)", "a1@0 a2@1", "" }, { "trace.all(A)", "a1@0 b@1", false },
      { "-trace.all(A)", "a1@0 b@1", "" }, { "-trace.all(A)", "a1@0", false },
      { "trace.all { duration = gt(5) } * trace.has(A)", "a@0 b@1", "a" },
      { "trace.all(not_ { status = 'ERROR' })", "a@0 b@1!", false },
    }
  end)

  it("duration: the latest end less the earliest start, to the nanosecond", function()
    judge {
      { 'trace.duration(gt "1s")', "a@5+10 b@0+1 c@700+300", false },
      { 'trace.duration(gt "1s")', "a@5+10 b@0+1 c@700+300.000001", "", value = 1000.000001, threshold = 1000 },
      { "trace.duration(ge(1000))", "a@0+1000 b@5+1", "" }, { "trace.duration(lt(1000))", "a@0+1000", false },
      { "trace.duration(lt(1000))", "a@0+999.999999", "" },
      { "trace.duration(between(5, 10))", "a@0+10", "" },
      { "trace.duration(between(5, 10))", "a@0+10.000001", false }, { "trace.duration(10)", "a@0+10", "" },
      { "trace.duration(ne(10))", "a@0+10", false }, { "-trace.duration(gt(10))", "a@0+10", "" },
      { "trace.duration(le(10))", "a@50+10", "" },
    }
  end)

  it("span_count: how many spans", function()
    judge {
      { "trace.span_count(gt(2))", "a@0 b@1", false },
      { "trace.span_count(gt(2))", "a@0 b@1 c@2", "", value = 3, threshold = 2 },
      { "trace.span_count(3)", "a@0 b@1 c@2", "" },
      { "trace.span_count(le(2))", "a@0 b@1", "" }, { "trace.span_count(lt(2))", "a@0 b@1", false },
      { "trace.span_count(between(2, 3))", "a@0 b@1", "" },
      { "trace.span_count(ne(2))", "a@0 b@1", false },
    }
  end)

  it("a span sent twice counts once, in one request and in several", function()
    judge { { "trace.count(A):over(1)", "a@0 a@0 a@0", false }, { "trace.span_count(gt(1))", "a@0 a@0", false } }
    assert.equal(0, #run("trace.count(A):over(1)", { arrival("a@0"), arrival("a@0"), arrival("a@5+7") }))
    assert.equal(1, #run("A", { arrival("a@0"), arrival("a@0") }))
  end)

  it("the first of two deliveries stays", function()
    local found = run("{ duration = gt(50) }", { arrival("a@0+10"), arrival("a@0+100") })
    assert.equal(0, #found)
  end)
end)

describe("and, or, not", function()
  it("combine conditions as methods and as operators, a pattern standing for has", function()
    judge {
      { "trace.has(A):and_(trace.has(B))", "b@0 a@5", "b a" }, { "trace.has(A) * trace.has(B)", "a@5", false },
      { "trace.has(A):or_(trace.has(B))", "b@0", "b" },
      { "trace.has(A) + trace.has(B)", "c@0", false }, { "trace.has(A):not_()", "b@0", "" },
      { "-trace.has(A)", "a@0", false },
      { "trace.has(A):and_(trace.has(B), trace.has(C))", "a@0 b@0 c@0", "a b c" },
      { "trace.has(A):and_(B)", "a@0 b@1", "a b" }, { "trace.has(A) + B", "b@1", "b" },
      { "A * trace.has(B)", "a@0 b@1", "a b" }, { "-trace.has(A) * trace.has(B)", "b@0", "b" },
      { "-(trace.has(A) * trace.has(B))", "a@0", "" },
      { "-(trace.has(A) + trace.has(B))", "a@0", false }, { "-(trace.has(A) + trace.has(B))", "c@0", "" },
      { "- -trace.has(A)", "a@0", "a" }, { "-trace.missing(A)", "a@0", "a" },
    }
  end)

  it("times binds tighter than plus", function()
    judge {
      { "trace.has(A) + trace.has(B) * trace.has(C)", "a@0", "a" },
      { "trace.has(A) * trace.has(B) + trace.has(C)", "c@0", "c" },
      { "(trace.has(A) + trace.has(B)) * trace.has(C)", "a@0", false },
    }
  end)

  it("of a true or the witnesses are its first true operand's", function()
    judge {
      { "trace.has(A) + trace.has(B)", "b@0 a@5", "a" }, { "trace.missing(A) + trace.has(B)", "b@0", "" },
      { "trace.has(A) * trace.has(C) + trace.has(B)", "a@0 b@5", "b" },
      { "trace.count(A):over(1) + trace.count(B):over(0)", "a@0 b@5", "b", value = 1, threshold = 0 },
    }
  end)

  it("each operand may hold on another span", function()
    judge { { 'trace.has { name = "a" } * trace.has { status = "ERROR" }', "a@0 b@1!", "a b" },
      { 'trace.has { name = "a", status = "ERROR" }', "a@0 b@1!", false } }
  end)
end)

describe("followed_by", function()
  it("asks for a different span that starts strictly later", function()
    judge {
      { "trace.has(A):followed_by(B)", "a@0 b@1", "a b" }, { "trace.has(A):followed_by(B)", "a@1 b@0", false },
      { "trace.has(A):followed_by(B)", "a@1 b@1", false },
      { "trace.has(A):followed_by(B)", "a@1 b@1.000001", "a b" },
      { "trace.has(A):followed_by(B)", "a@0+100 b@1", "a b" }, { "trace.has(A):followed_by(A)", "a@0", false },
      { "trace.has(A):followed_by(A)", "a1@0 a2@0", false },
      { "trace.has(A):followed_by(A)", "a1@0 a2@1", "a1 a2" },
      { "trace.has(A):followed_by(trace.has(B))", "a@0 b@1", "a b" },
      { "trace.has(A):followed_by(B)", "b1@0 a@5 b2@6", "a b2" },
      { "trace.has {}:followed_by {}", "c@0 b@0", false },
    }
  end)

  it("in a chain each step is later than the one before it", function()
    judge {
      { "trace.has(A):followed_by(B):followed_by(C)", "a@0 b@1 c@2", "a b c" },
      { "trace.has(A):followed_by(B):followed_by(C)", "a@0 c@1 b@2", false },
      { "trace.has(A):followed_by(B):followed_by(C)", "a@0 b@1 c@1", false },
      { "trace.has(A):followed_by(B):followed_by(A)", "a1@0 b@1 a2@2", "a1 b a2" },
      { "trace.has(A):followed_by(trace.has(B):followed_by(C))", "a@0 b@1 c@2", "a b c" },
      { "trace.has(A):followed_by(A):followed_by(A)", "a1@0 a2@1", false },
    }
  end)

  it("gives the earliest assignment", function()
    judge {
      { "trace.has(A):followed_by(B)", "a1@0 a2@1 b1@5 b2@6", "a1 b1" },
      { "trace.has(A):followed_by(B):followed_by(C)", "a@0 b1@1 c@3 b2@2", "a b1 c" },
      { "trace.has(A):followed_by(B):within '5ms'", "a1@0 a2@4 b@6", "a2 b" },
      { "trace.has(A):followed_by(B):followed_by(C):within '5ms'", "a1@0 b1@1 a2@3 b2@4 c@7", "a2 b2 c" },
    }
  end)

  it("takes an or, a where and an and_ around it", function()
    judge {
      { "(trace.has(A) + trace.has(B)):followed_by(C)", "b@0 c@1", "b c" },
      { "trace.has(C):followed_by(trace.has(A) + trace.has(B))", "c@0 b@1 a@2", "c b" },
      { "trace.where(P):has(A):followed_by(B)", "p@0 a1@1 a2@2<p b@3", "a2 b" },
      { "trace.has(A):followed_by(B):and_(trace.missing(C))", "a@0 b@1", "a b", reason = "missing c" },
      { "trace.has(A):followed_by(B):and_(trace.missing(C))", "a@0 b@1 c@9", false },
      { "trace.has(A):followed_by(B) + trace.has(C)", "c@0 a@1", "c" },
      { "-trace.has(A):followed_by(B)", "b@0 a@1", "" }, { "-trace.has(A):followed_by(B)", "a@0 b@1", false },
    }
  end)
end)

describe("within", function()
  it("is half-open, measured start to start, from the first span of the whole chain", function()
    judge {
      { "trace.has(A):followed_by(B):within '5s'", "a@0+9000 b@4999.999999", "a b" },
      { "trace.has(A):followed_by(B):within '5s'", "a@0 b@5000", false },
      { "trace.has(A):followed_by(B):followed_by(C):within '5s'", "a@0 b@3000 c@5000", false },
      { "trace.has(A):followed_by(B):followed_by(C):within '5s'", "a@0 b@3000 c@4999.999999", "a b c" },
      { "trace.has(A):followed_by(B):within(5000)", "a@0 b@4999.999999", "a b" },
      { "trace.has(A):followed_by(B):within(0.000002)", "a@0 b@0.000001", "a b" },
      { "trace.has(A):followed_by(B):within(0.000001)", "a@0 b@0.000001", false },
      { "trace.has(A):followed_by(B):within '5s':followed_by(C)", "a@0 b@1 c@99999", "a b c" },
      { "trace.has(A):followed_by(B):within '2s':followed_by(C):within '5s'", "a@0 b@1999 c@4999", "a b c" },
      { "trace.has(A):followed_by(B):within '2s':followed_by(C):within '5s'", "a@0 b@2000 c@4999", false },
      { "trace.has(A):followed_by(B):within '2s':followed_by(C):within '5s'", "a@0 b@1999 c@5000", false },
      { "trace.has(A):followed_by(trace.has(B):followed_by(C):within '1s')", "a@0 b1@1 b2@5000 c@5999", "a b2 c" },
    }
  end)

  it("on a plain and chain also asks for the written order", function()
    judge {
      { "(trace.has(A) * trace.has(B)):within '5s'", "a@0 b@1", "a b" },
      { "(trace.has(A) * trace.has(B)):within '5s'", "b@0 a@1", false },
      { "(trace.has(A) * trace.has(B)):within '5s'", "a@0 b@0", false },
      { "trace.has(A):and_(trace.has(B)):within '5s'", "a@0 b@5000", false },
      { "trace.has(A):and_(B):within '5s'", "a1@0 a2@3 b@5001", "a2 b" },
      { "(trace.has(A) * trace.has(A)):within '5s'", "a@0", false },
      { "(trace.has(A) * trace.has(A)):within '5s'", "a1@0 a2@1", "a1 a2" },
      { "(trace.has(A) * trace.has(B) * trace.has(C)):within '5s'", "a@0 c@1 b@2", false },
    }
  end)

  it("makes missing mean: none that starts in [t0, t0 + D)", function()
    local rule = "(trace.has(A) * trace.missing(C)):within '5s'"
    local chain = "trace.has(A):followed_by(B):and_(trace.missing(C)):within '5s'"
    judge {
      { rule, "a@10", "a", reason = "missing c" }, { rule, "a@10 c@10", false },
      { rule, "a@10 c@5009.999999", false }, { rule, "a@10 c@5010", "a" }, { rule, "a@10 c@9.999999+100", "a" },
      { rule, "a1@10 c@11 a2@20", "a2" }, { chain, "a@10 b@11 c@4000", false },
      { chain, "a@10 b@11 c@5010", "a b" }, { chain, "a@10 b@11 c@9", "a b" },
      { chain, "a1@0 c@1 a2@2 b@3", "a2 b" },
      { "(trace.missing(C) * trace.has(A)):within '5s'", "c@0 a@1", "a" },
      { "(trace.has(A) * -trace.has(C)):within '5s'", "a@10 c@11", false },
    }
  end)

  it("makes the spans of a count lie in that interval", function()
    local rule = "(trace.has(A) * trace.count(B):over(1)):within '5s'"
    judge {
      { rule, "a@0 b1@1 b2@2", "a b1 b2", value = 2, threshold = 1 }, { rule, "a@0 b1@1 b2@5000", false },
      { rule, "b1@0 b2@1 a@2", false }, { rule, "a@0 b1@0 b2@4999.999999", "a b1 b2" },
      { rule, "a@0 b1@1 b2@2 b3@6000", "a b1 b2" },
      { "(trace.has(A) * trace.count(B):under(2)):within '5s'", "a@0 b1@1 b2@5000", "a b1" },
      { "(trace.has(A) * trace.count(B):under(2)):within '5s'", "a@0 b1@1 b2@2", false },
      { "(trace.has(A) * trace.count(B):exactly(1)):within '5s'", "a@0 b1@1 b2@2", false },
      { "trace.has(A):followed_by(B):and_(trace.count(C):at_least(2)):within '5s'", "a@0 b@1 c1@2 c2@3",
        "a b c1 c2" },
    }
  end)

  it("on a count alone asks for some interval of length D that holds as many", function()
    judge {
      { "trace.count(A):at_least(3):within '5s'", "a1@0 a2@3000 a3@5000", false },
      { "trace.count(A):at_least(3):within '5s'", "a1@0 a2@3000 a3@4999.999999", "a1 a2 a3" },
      { "trace.count(A):at_least(3):within '5s'", "a1@0 a2@4000 a3@8000 a4@8500", "a2 a3 a4" },
      { "trace.count(A):over(1):within '5s'", "a1@0 a2@0", "a1 a2" },
      { "trace.count(A):within('5s'):over(1)", "a1@0 a2@4999", "a1 a2" },
      { "trace.count(A):within('5s'):over(1)", "a1@0 a2@5000", false },
      { "trace.count(A):over(2):within '1s' * trace.has(B)", "a1@0 a2@1 a3@2 b@9000", "a1 a2 a3 b" },
    }
  end)
end)

describe("where … has", function()
  it("holds for a span that matches p or lies below one", function()
    judge {
      { "trace.where(P):has(Q)", "p@0 q@1<p", "q" }, { "trace.where(P):has(Q)", "p@0 m@1<p q@2<m", "q" },
      { "trace.where(P):has(Q)", "p@0 q@1", false }, { "trace.where(P):has(Q)", "q@0 p@1<q", false },
      { "trace.where(P):has(Q)", "r@0 p@1<r q@2<r", false },
      { "trace.where(P):has { duration = gt(5) }", "p@0+10 q@1<p", "p" }, { "trace.where(P):has(P)", "p@0", "p" },
      { "trace.where(P):has(Q)", "p@0 q1@5<p q2@3<p q3@1", "q2" }, { "trace.where(P):has(Q)", "q@1<p p@9", "q" },
      { "trace.where(P):has(Q)", "r@0 q@1<gone p@2<r", false },
    }
  end)

  it("scope narrows it to the span or widens it to the trace", function()
    judge {
      { "trace.where(P, { scope = 'span' }):has(Q)", "p@0 q@1<p", false },
      { "trace.where(P, { scope = 'span' }):has { duration = gt(5) }", "p@0+10 q@1<p", "p" },
      { "trace.where(P, { scope = 'trace' }):has(Q)", "p@5 q@1", "q" },
      { "trace.where(P, { scope = 'trace' }):has(Q)", "q@1", false },
    }
  end)

  it("negated, it is unknown where it hangs on an orphan's missing parent", function()
    judge {
      { "-trace.where(P):has(Q)", "p@0 q@1", "" }, { "-trace.where(P):has(Q)", "p@0 q@1<p", false },
      { "-trace.where(P):has(Q)", "p@0 q@1<gone", false },
      { "-trace.where(P):has(Q)", "p@0 m@1<gone q@2<m", false }, { "-trace.where(P):has(Q)", "p@0 o@1<gone", "" },
      { "-trace.where(P, { scope = 'trace' }):has(Q)", "r@0 q@1<gone", "" },
    }
  end)

  it("its own parent makes a root; a cycle is cut at its earliest span, and never hangs", function()
    judge {
      { "trace.where(P):has(Q)", "p@0<p q@1<p", "q" }, { "trace.where(P):has(Q)", "p@0<q q@1<p", "q" },
      { "trace.where(P):has(Q)", "q@0<p p@1<q", false },
      { "trace.where(P):has(Q)", "m@0<q p@1<m q@2<p", "q" }, { "-trace.where(P):has(Q)", "q@0<p p@1<q", false },
    }
  end)
end)

describe("always and never", function()
  it("make an invariant: violated when `when` holds, and `always` does not or `never` does", function()
    local keys = "always = trace.has(F), never = trace.has(B)"
    judge {
      { "trace.has(A)", "a@0", "a", keys = keys, reason = "always: missing f" },
      { "trace.has(A)", "a@0 f@1", false, keys = keys },
      { "trace.has(A)", "a@0 f@1 b@2", "a b", keys = keys, reason = "never: b" },
      { "trace.has(A)", "a@0 b@2", "a b", keys = keys, reason = "always: missing f; never: b" },
      { "trace.has(A)", "x@0 b@1", false, keys = keys },
      { "trace.has(A)", "a@0", "a", keys = "always = trace.has(F)", reason = "always: missing f" },
      { "trace.has(A)", "a@0 f@1", false, keys = "always = trace.has(F)" },
      { "trace.has(A)", "a@0", false, keys = "never = trace.has(B)" },
      { "trace.has(A)", "a@0 b@1", "a b", keys = "never = trace.has(B)" },
      { "trace.has(A)", "a@0 b@1", "a", keys = "always = trace.missing(B)" },
      { "trace.has(A)", "a@0", "a", keys = "never = trace.missing(B)" },
      { "trace.has(A)", "a@0 f1@1", "a", keys = "always = trace.count(F):at_least(2)" },
      { "trace.has(A)", "a@0 f1@1 f2@2", false, keys = "always = trace.count(F):at_least(2)" },
      { "trace.has(A)", "a@0", "a", keys = "always = trace.has(F) * trace.has(G)" },
      { "trace.has(A)", "a@0 f@1", "a", keys = "always = trace.has(F) * trace.has(G)",
        reason = "always: missing g" },
      { "trace.has(A) * trace.missing(C)", "a@0", "a", keys = "always = trace.has(F)",
        reason = "missing c; always: missing f" },
    }
  end)
end)
