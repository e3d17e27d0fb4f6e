-- When a trace rule decides, and on what (rules/README.md, Conditions): early, at the close, in a trace that was cut, late.
-- Conditions and traces are in the short notations of spec/replay.lua.
local replay = require("spec.replay")
local arrival, run = replay.arrival, replay.rule
local times = replay.times

describe("always and never", function()
  it("with `always` are decided at the close; `never` alone as soon as it holds", function()
    local requests = { arrival("a@0 b@1", "t", 50), arrival("x@2", "t", 3000) }
    assert.same({ replay.clock(13000) }, times(run("trace.has(A)", requests,
      "always = trace.has(F), never = trace.has(B)")))
    assert.same({ replay.clock(11) }, times(run("trace.has(A)", requests, "never = trace.has(B)")))
    assert.same({ replay.clock(13000) }, times(run("trace.has(A)", requests, "never = trace.missing(F)")))
  end)
end)

describe("a condition that more spans cannot undo", function()
  it("fires as soon as it holds, its time the latest end of its witnesses", function()
    local requests = { arrival("a@0+5 z@0+900", "t", 1000), arrival("b@20+5 c@20+300", "t", 2000),
      arrival("b1@2+1 c1@1", "t", 3000) }
    local function first(when) local found = run(when, requests) return { #found, found[1] and found[1].time,
      found[1] and replay.witnesses(found[1], "t", { "a", "b", "b1", "c", "c1" }) } end
    assert.same({ 1, replay.clock(5), "a" }, first "trace.has(A)")
    assert.same({ 1, replay.clock(25), "a b" }, first "trace.has(A):followed_by(B)")
    assert.same({ 1, replay.clock(25), "a b" }, first "trace.has(A) * trace.has(B)")
    assert.same({ 1, replay.clock(25), "b" }, first "trace.count(B):over(0)")
    assert.same({ 1, replay.clock(25), "b b1" }, first "trace.count(B):over(1)")
    assert.same({ 1, replay.clock(5), "a" }, first "trace.has(B) + trace.has(A)")
    assert.same({ 1, replay.clock(900), "" }, first "trace.span_count(ge(2))")
    assert.same({ 1, replay.clock(900), "" }, first "trace.duration(gt(800))")
    assert.same({ 1, replay.clock(900), "" }, first "trace.span_count(ge(6))")
  end)

  it("has the latest end present for its time where it has no witness", function()
    local found = run("trace.span_count(ge(3))",
      { arrival("a@0+500", "t", 1000), arrival("b@0+900 c@0+20", "t", 2000) })
    assert.same({ replay.clock(900) }, times(found))
  end)

  it("is looked at after each request, not within one", function()
    assert.equal("a1", replay.witnesses(run("trace.has(A)", { arrival("a2@7 a1@3", "t", 50) })[1], "t",
      { "a1", "a2" }))
    assert.equal("a2", replay.witnesses(run("trace.has(A)",
      { arrival("a2@7", "t", 50), arrival("a1@3", "t", 60) })[1], "t", { "a1", "a2" }))
  end)

  it("fires once a trace, however many more spans come", function()
    assert.equal(1, #run("trace.has(A)", { arrival "a1@0", arrival "a2@1", arrival "a3@2" }))
    assert.equal(2, #run("trace.has(A)", { arrival("a@0", "t"), arrival("a@0", "u") }))
  end)

  it("waits for the close, the whole rule with it, where an absence is in it", function()
    for _, when in ipairs { "trace.has(A) * trace.missing(N)", "trace.has(A) + trace.missing(N)",
      "trace.has(A) * -trace.has(N)", "trace.has(A) * trace.count(N):under(1)",
      "trace.has(A) * trace.count(A):exactly(1)",
                            "trace.has(A) * trace.count(A):at_most(1)", "trace.has(A) + trace.all(A)",
                              "trace.has(A) * trace.span_count(lt(9))", "trace.has(A) * trace.duration(le(99999))",
                            "(trace.has(A) * trace.missing(N)):within '1ms'",
                              "trace.has(A) * trace.span_count(eq(2))" } do
      assert.same({ replay.clock(12000) }, times(run(when, { arrival("a@0", "t", 50), arrival("x@1", "t", 2000) })),
        when)
    end
  end)
end)

describe("a trace closes", function()
  local MISSING = "trace.missing(N)"
  it("trace.idle after its last new span, which is the time of an absence", function()
    assert.same({ replay.clock(10050) }, times(run(MISSING, { arrival("a@0", "t", 50) })))
    assert.same({ replay.clock(15000) }, times(run(MISSING,
      { arrival("a@0", "t", 50), arrival("b@0", "t", 5000) })))
    assert.same({ replay.clock(10050) }, times(run(MISSING,
      { arrival("a@0", "t", 50), arrival("a@0", "t", 5000) })), "a duplicate does not renew it")
    assert.same({ replay.clock(10050), replay.clock(15000) },
      times(run(MISSING, { arrival("a@0", "t", 50), arrival("b@0", "u", 5000) })), "each for itself")
    assert.same({ replay.clock(2050) }, times(run(MISSING, { arrival("a@0", "t", 50) }, nil, "--trace.idle=2s")))
  end)

  it("not on the arrival of its root: siblings come later", function()
    assert.equal(0, #run(MISSING, { arrival("a@1<r", "t", 50), arrival("r@0+20", "t", 60),
      arrival("n@2<r", "t", 9000) }))
  end)

  it("exactly trace.idle later is too late", function()
    assert.equal(0, #run("trace.has(A) * trace.missing(N)",
      { arrival("a@0", "t", 50), arrival("n@0", "t", 10049.999999) }))
    assert.equal(1, #run("trace.has(A) * trace.missing(N)",
      { arrival("a@0", "t", 50), arrival("n@0", "t", 10050) }))
  end)

  it("arrives at the latest end of its spans where the request does not say", function()
    assert.same({ replay.clock(10070) }, times(run(MISSING, { arrival("a@0+10 b@50+20") })))
    assert.same({ replay.clock(10070), replay.clock(10070) },
      times(run(MISSING, { arrival("a@50+20", "t"), arrival("b@0", "u") })), "never before the one ahead of it")
  end)

  -- Spans that come every 8 s keep a trace from being idle.
  local function busy()
    local requests = {}
    for i = 0, 45 do requests[#requests + 1] = arrival(("a%d@%d"):format(i, i), "t", i * 8000) end
    return requests
  end

  it("at trace.max_age, cut: an absence that nothing disproved is unknown then", function()
    assert.equal(0, #run(MISSING, busy()))
    assert.equal(0, #run("trace.has(A) * trace.missing(N)", busy()))
    assert.equal(0, #run("trace.count(N):under(1)", busy()))
    assert.equal(0, #run("trace.all(A)", busy()))
    assert.equal(0, #run("trace.span_count(lt(9999))", busy()))
    assert.equal(0, #run("trace.has(A)", busy(), "always = trace.has(N)"))
    assert.same({ replay.clock(300000) }, times(run("trace.has(A) + trace.missing(N)", busy())), "true wins an or")
    assert.same({ replay.clock(300000) }, times(run("-trace.all(N)", busy())), "more spans cannot undo it")
    assert.same({ replay.clock(300000) }, times(run("-trace.count(A):under(3)", busy())))
    assert.equal(1, #run("trace.has(A)", busy()))
    assert.equal(1, #run(MISSING, { busy()[1], busy()[2] }), "not cut")
  end)

  it("exactly trace.max_age after its first span, which wins where it would be idle a nanosecond later", function()
    local age = "--trace.max-age=20s"
    local function last(at, when)
      return run(when, { arrival("a@0", "t", 0), arrival("b@0", "t", 8000), arrival("c@0", "t", 10000),
        arrival("n@0", "t", at) }, nil, age)
    end
    assert.equal(1, #last(19999.999999, "trace.has(N)"))
    assert.equal(0, #last(20000, "trace.has(N)"), "that one is late")
    local function closes(at)
      return times(run(MISSING, { arrival("a@0", "t", 0), arrival("b@0", "t", 8000), arrival("c@0", "t", at) }, nil, age))
    end
    assert.same({ replay.clock(20000) }, closes(10000), "both at once: it was whole")
    assert.same({}, closes(10000.000001), "cut, so unknown")
  end)

  it("at its span cap not for a span that was there; with the first that is too many, and at its arrival", function()
    local cap, either = "--trace.spans-max=3", "trace.has(A) + trace.missing(N)"
    assert.same({ replay.clock(10007) }, times(run(MISSING,
      { arrival("a1@0 a2@1 a3@2", "t", 7), arrival("a1@0 a3@2", "t", 9) }, nil, cap)))
    assert.same({ replay.clock(9) }, times(run(either, { arrival("a1@0 a2@1 a3@2", "t", 7), arrival("a4@0", "t", 9) },
      nil, cap)))
  end)

  it("at its span cap amid a request: what holds by then has fired, hits or not", function()
    for _, when in ipairs { "trace.span_count(ge(3))", "trace.duration(gt(5))", "trace.count(A):over(2)",
      "trace.has(A):overlaps(A)" } do
      local found = run(when, { arrival "a1@0 a2@1 a3@2 a4@300" }, nil, "--trace.spans-max=3")
      assert.same({ 1, replay.clock(when:find("overlaps") and 11 or 12) }, { #found, found[1] and found[1].time }, when)
    end
  end)

  it("at its span cap, cut", function()
    local cap = "--trace.spans-max=3"
    local requests = { arrival("a1@0 a2@1 a3@2 a4@3", "t") }
    for when, count in pairs { [MISSING] = 0, ["trace.has(A)"] = 1, ["trace.has(A) * trace.missing(N)"] = 0,
      ["trace.has(A) + trace.missing(N)"] = 1, ["trace.count(A):exactly(3)"] = 0, ["trace.count(A):exactly(4)"] = 0,
                               ["-trace.count(A):exactly(4)"] = 0, ["-trace.count(A):exactly(2)"] = 1,
                                 ["-trace.count(A):at_most(2)"] = 1, ["-trace.count(A):at_most(9)"] = 0,
                                 ["trace.span_count(ne(9))"] = 0,
                               ["trace.span_count(ne(2))"] = 1, ["-trace.has(A):followed_by(N)"] = 0,
                                 ["-trace.where(A):has(N)"] = 0, ["trace.has(A):followed_by(A)"] = 1,
                                 ["(trace.has(A) * trace.missing(N)):within '1ms'"] = 0 } do
      assert.equal(count, #run(when, requests, nil, cap), when)
    end
    assert.equal("never: a", run("trace.has(A)", requests, "always = trace.has(F), never = trace.has(A)",
      cap)[1].reason, "unknown or true is true")
    assert.equal(1, #run(MISSING, { arrival("a1@0 a2@1", "t") }, nil, cap), "not cut")
  end)

  it("`complete = true` leaves what is no absence alone, takes several roots, and lets true win an or", function()
    local function fires(when, trace, keys)
      return #run(when, { arrival(trace) }, "complete = true" .. (keys and ", " .. keys or ""))
    end
    assert.equal(1, fires("trace.has(A) * trace.missing(N)", "a@0 b@1"))
    assert.equal(1, fires("trace.has(A)", "a@0<gone b@1", "never = trace.has(B)"))
    assert.equal(1, fires("trace.missing(N) + trace.has(A)", "a@0<gone"))
    for _, when in ipairs { "trace.has(A) * trace.count(N):under(1)", "trace.all(A)", "trace.has(A):without_child(N)" } do
      assert.equal(0, fires(when, "a@0<gone"), when)
    end
    assert.equal(0, fires("trace.has(A)", "a@0<gone", "always = trace.has(N)"))
  end)

  it("`complete = true` makes any absence unknown unless the trace has its root and no orphan", function()
    for trace, count in pairs { ["a@0"] = 1, ["a@0 b@1<a"] = 1, ["a@0 b@1<gone"] = 0, ["a@0<gone"] = 0,
      ["a@0<b b@1<a"] = 0, ["a@0<a"] = 1 } do
      assert.equal(count, #run("trace.has(A) * trace.missing(N)", { arrival(trace) }, "complete = true"), trace)
      assert.equal(1, #run("trace.has(A) * trace.missing(N)", { arrival(trace) }), trace)
      assert.equal(1, #run("trace.has(A)", { arrival(trace) }, "complete = true"), trace)
    end
  end)
end)

describe("a trace that reaches its end", function()
  it("is whole with as many spans as its cap, cut by the next, which is late", function()
    local cap = "--trace.spans-max=3"
    assert.equal(1, #run("trace.missing(N)", { arrival "a@0 b@1 c@2" }, nil, cap))
    assert.equal(0, #run("trace.missing(N)", { arrival "a@0 b@1 c@2 d@3" }, nil, cap))
    assert.same({ 1, 0 }, { #run("D", { arrival "a@0 b@1 c@2 d@3" }, nil, cap),
      #run("trace.has(D)", { arrival "a@0 b@1 c@2 d@3" }, nil, cap) })
    assert.same({ replay.clock(1000) }, times(run("trace.missing(N) + trace.has(A)",
      { arrival("a@0 b@1", "t", 50), arrival("c@2 d@3", "t", 1000) }, nil, cap)), "at that moment")
  end)

  it("makes every form of absence unknown where it was cut, and decides each where it was not", function()
    for _, when in ipairs { "trace.missing(N)", "-trace.has(N)", "trace.count(N):under(1)", "trace.count(N):at_most(1)",
      "trace.count(A):exactly(1)", "trace.all(any_of { A, X })", "trace.span_count(lt(9))", "trace.span_count(between(1, 9))",
      "trace.span_count(eq(2))", "trace.duration(lt '1h')", "trace.has(A):no_child(X)", "trace.has(A):without_child(N)",
      "trace.has(A):not_followed_by(N)", "trace.has(A):not_followed_by(N):within '1ms'", "-trace.has(A):gap(N, gt(0))",
      "-trace.has(A):overlaps(N)", "trace.satisfies(function() return true end)", "-trace.where(A):has(N)",
      "-trace.satisfies(function() return false end)", "(trace.has(A) * trace.missing(N)):within '1ms'",
      "(trace.has(A) * trace.count(N):under(1)):within '1ms'" } do
      local function fires(text) return #run(when, { arrival(text) }, nil, "--trace.spans-max=2") end
      assert.same({ 1, 0 }, { fires "a@0 x@1", fires "a@0 x@1 y@2" }, when)
    end
  end)
end)

describe("three values", function()
  local THROWS = "trace.missing(function() error 'no' end)"
  it("false wins an and, true wins an or, else unknown stays, also under not", function()
    for when, count in pairs {
      ["-(%s * trace.has(N))"] = 1, ["-(%s * trace.has(A))"] = 0, ["-(%s + trace.has(A))"] = 0, ["%s + trace.has(A)"] = 1,
      ["%s * trace.has(A)"] = 0, ["%s + trace.missing(N)"] = 1, ["-%s"] = 0, ["- -%s"] = 0, ["-(%s + trace.has(N))"] = 0,
    } do
      assert.equal(count, #run(when:format(THROWS), { arrival "a@0" }), when)
    end
  end)

  it("decide an invariant part by part, and name only what surely broke", function()
    local function reason(keys)
      local v = run("trace.has(A)", { arrival "a@0" }, keys)[1]
      return v and v.reason
    end
    assert.is_nil(reason("always = " .. THROWS))
    assert.equal("always: missing n", reason("always = " .. THROWS .. " * trace.has(N)"))
    assert.equal("never: a", reason("always = " .. THROWS .. ", never = trace.has(A)"))
  end)
end)

describe("a span after the close", function()
  it("is late: span rules see it, trace rules do not", function()
    local requests = { arrival("x@0", "t", 0), arrival("a@0", "t", 12000) }
    assert.equal(1, #run("A", requests))
    assert.equal(0, #run("trace.has(A)", requests))
    assert.equal(1, #run("trace.missing(A)", requests))
  end)

  it("that was there before is a duplicate still", function()
    local requests = { arrival("a@0", "t", 0), arrival("a@0", "t", 12000), arrival("a@0", "t", 60000) }
    assert.equal(1, #run("A", requests))
    assert.equal(1, #run("A", { arrival("x@0", "t", 0), arrival("a@0", "t", 12000), arrival("a@0", "t", 12001) }))
  end)

  it("is of a new trace after trace.late, which late spans renew; the same rule has the same id then", function()
    local function again(...)
      local requests = { arrival("a@0", "t", 0) }
      for i, at in ipairs { ... } do requests[#requests + 1] = arrival(("a%d@0"):format(i), "t", at) end
      return run("trace.has(A)", requests)
    end
    assert.equal(1, #again(69999))
    assert.equal(2, #again(70001))
    assert.equal(2, #again(70000), "exactly trace.late later is outside")
    assert.equal(1, #again(60000, 119000))
    assert.equal(2, #again(60000, 120001))
    local twice = again(80000)
    assert.equal(twice[1].id, twice[2].id)
  end)
end)
