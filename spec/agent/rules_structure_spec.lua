-- Structure, order and time in conditions (rules/README.md, Conditions), through the whole agent: the short notations are
-- those of spec/replay.lua.
local replay = require("spec.replay")
local arrival, run, times = replay.arrival, replay.rule, replay.times

-- Rows of { when, trace, the ids of the witnesses (or false: no violation), reason =, value =, threshold = }.
local function judge(rows)
  local cases = {}
  for i, row in ipairs(rows) do
    cases[i] = { when = replay.long(row[1]), spans = replay.short(row[2]), keys = row.keys and replay.long(row.keys) }
  end
  local found, status, stderr = replay.rows(cases)
  assert.equal(0, status, stderr)
  for i, row in ipairs(rows) do
    local v, ids = found[i], {}
    for _, s in ipairs(replay.short(row[2])) do ids[#ids + 1] = s.id end
    assert.equal(row[3], v and replay.witnesses(v, "row " .. i, ids), ("row %d: %s on %s"):format(i, row[1], row[2]))
    if row.reason then assert.equal(row.reason, v.reason, row[1]) end
    if row.value then assert.same({ row.value, row.threshold }, { v.value, v.threshold }, row[1]) end
  end
end

-- r ─ a ─ x ─ b    r ─ c
local TREE = "r@0 a@1<r x@2<a b@3<x c@4<r"

describe("structure", function()
  it("gives the spans of the right side; the witness is the earliest", function()
    judge {
      { "trace.has(R):child(A)", TREE, "a" }, { "trace.has(A):child(R)", TREE, false },
      { "trace.has(A):parent(R)", TREE, "r" }, { "trace.has(A):descendant(B)", TREE, "b" },
      { "trace.has(A):child(B)", TREE, false }, { "trace.has(B):ancestor(A)", TREE, "a" },
      { "trace.has(B):ancestor {}", TREE, "r" }, { "trace.has(A):sibling(C)", TREE, "c" },
      { "trace.has(R):sibling {}", TREE, false }, { "trace.has {}:child {}", TREE, "a" },
      { "trace.has(A):descendant(A)", "a1@0 a2@5<a1 a3@3<a1", "a3" }, { "trace.has(A):descendant(A)", "a@0", false },
    }
  end)

  it("no_ is the right side without those, without_ the left side's that have none", function()
    judge {
      { "trace.has(A):no_child {}", TREE, "r", reason = "missing a as parent of {}" },
      { "trace.has(Z):no_child(B)", TREE, "b", reason = "missing z as parent of b" },
      { "trace.has(R):no_descendant {}", TREE, "r" }, { "trace.has(R):no_descendant(B)", TREE, false },
      { "trace.has(A):without_child(B)", TREE, "a", reason = "missing b as child of a" },
      { "trace.has(A):without_descendant(B)", TREE, false },
      { "trace.has(A):without_child(X)", "a1@0 x@1<a1 a2@2", "a2" },
      { "trace.has(A):without_parent(R)", "r@0 a1@1<r a2@2", "a2" },
      { "trace.has(A):without_sibling(C)", TREE, false }, { "trace.has(R):without_sibling {}", TREE, "r" },
      { 'trace.has { status = "ERROR" }:no_parent { status = "ERROR" }', "r@0! a@1!<r b@2!<a c@3<b", "b" },
    }
  end)

  it("a span that is its own parent is a root; a cycle is cut at its earliest span; orphans may be siblings", function()
    judge {
      { "trace.has(A):child(A)", "a@0<a", false }, { "trace.has(A):sibling(B)", "a@0<a b@1<b", false },
      { "trace.has(A):sibling(B)", "a@0<gone b@1<gone", "b" }, { "trace.has(A):sibling(B)", "a@0<gone b@1<away", false },
      { "trace.has(A):descendant {}", "a@5<b b@3<c c@7<a", "c" },
      { "trace.has(A):child(B)", "a@5<b b@3<c c@7<a", false }, { "trace.has(B):descendant(A)", "a@5<b b@3<c c@7<a", "a" },
    }
  end)

  it("what hangs on a parent that is not there is unknown, also where the left side is empty", function()
    judge {
      { "trace.has(A):no_descendant(B)", "x@0<gone b@1<x", false }, { "trace.has(A):no_child(B)", "b@0<gone", false },
      { "trace.has(A):no_child(B)", "x@0<gone b@1<x", "b" }, { "trace.has(A):no_descendant(B)", "x@0 b@1<x", "b" },
      { "trace.has(B):without_parent(A)", "b@0<gone", false }, { "trace.has(B):without_ancestor(A)", "x@0<gone b@1<x", false },
      { "trace.has(A):without_descendant(B)", "a@0 b@1<gone", false }, { "trace.has(A):without_child(B)", "a@0 b@1<gone", "a" },
      { "trace.has(A):no_parent(B)", "b@0 a@1<gone", "b" }, { "-trace.has(A):descendant(B)", "a@0 b@1<gone", false },
      { "-trace.has(A):child(B)", "a@0 x@1<a", "", reason = "missing b as child of a" },
      { "trace.has(A):without_child(B)", "a@0<gone", "a" },
      { "trace.has(A):without_child(B)", "a@0<gone", false, keys = "complete = true" },
    }
  end)

  it("stands wherever spans do", function()
    judge {
      { "trace.has(R):child(A):child(X)", TREE, "x" }, { "trace.has(R):child(trace.has(B):ancestor(A))", TREE, "a" },
      { "trace.has(C):followed_by(trace.has(A):child(B))", "a@0 c@1 b@2<a", "c b" },
      { "trace.has(A):child(B):followed_by(C):within '5ms'", "a@0 b@1<a c@6", false },
      { "trace.has(A):child(B):followed_by(C):within '5ms'", "a@0 b@1<a c@5", "b c" },
      { "trace.where(trace.has(R):child(A)):has(B)", TREE, "b" }, { "trace.where(A):has(trace.has(X):child {})", TREE, "b" },
      { "trace.count(trace.has(A):child(B)):over(1)", "a@0 b1@1<a b2@2<a b3@3", "b1 b2", value = 2, threshold = 1 },
      { "trace.count(trace.has(A):child(B)):under(2)", "a@0 b1@1<a b3@3", "b1", value = 1, threshold = 2 },
      { "trace.has(A):child(B) * trace.has(C)", "a@0 b@1<a c@2", "b c" }, { "trace.has(A):child(B) + trace.has(C)", "c@2", "c" },
      { "(trace.has(A) + trace.has(C)):child(B)", "c@0 b@1<c", "b" },
      { "trace.has(R)", TREE, "r", keys = "always = trace.has(A):child(B)", reason = "always: missing b as child of a" },
      { "trace.has(R)", TREE, "r x", keys = "never = trace.has(A):child(X)", reason = "never: x as child of a" },
    }
  end)

  it("is looked at when a span comes that is no hit and joins the two", function()
    local requests = { arrival("a@0 b@3<x", "t", 50), arrival("y@4<r", "t", 100), arrival("x@1<a", "t", 2000) }
    assert.same({ replay.clock(13) }, times(run("trace.has(A):descendant(B)", requests)))
    assert.same({ replay.clock(10) }, times(run("trace.has(B):ancestor(A)", requests)))
    assert.same({ replay.clock(13) }, times(run("trace.count(trace.has(A):descendant(B)):over(0)", requests)))
    assert.same({ replay.clock(12000) }, times(run("trace.has(B):without_child(A)", requests)))
  end)

  it("is unknown in a trace that was cut, unless it was disproved", function()
    local requests = { arrival("a@0 b@1<a x@2 y@3", "t", 50) }
    for when, count in pairs { ["trace.has(A):child(B)"] = 1, ["trace.has(A):no_child(X)"] = 0,
      ["trace.has(A):without_child(X)"] = 0, ["trace.has(A):without_child(X) + trace.has(B)"] = 1,
      ["-trace.has(A):child(X)"] = 0, ["trace.has(X):not_followed_by(B)"] = 0, ["trace.has(A):gap(X, lt(0))"] = 1 } do
      assert.equal(count, #run(when, requests, nil, "--trace.spans-max=3"), when)
    end
    assert.equal(1, #run("trace.has(A):no_child(X)", requests), "not cut")
  end)
end)

describe("not_followed_by", function()
  it("wants none that starts in (t0, t0 + D); without within, none until the close", function()
    judge {
      { "trace.has(A):not_followed_by(B):within '10ms'", "a@0 b@9.999999", false },
      { "trace.has(A):not_followed_by(B):within '10ms'", "a@0 b@10", "a", reason = "missing b" },
      { "trace.has(A):not_followed_by(B):within '10ms'", "a@0 b@0", "a" },
      { "trace.has(A):not_followed_by(B)", "a@0 b@5000", false }, { "trace.has(A):not_followed_by(B)", "b@0 a@1", "a" },
      { "trace.has(A):not_followed_by(A):within '5ms'", "a1@0 a2@3 a3@7", "a3" },
      { "trace.has(A):not_followed_by(B)", "a1@0 b@3 a2@7", "a2" },
    }
  end)

  it("counts from the witness before it; D bounds the rest of the chain from its first", function()
    local c = "trace.has(A):followed_by(B):not_followed_by(C):within '10ms'"
    judge { { c, "a@0 b@9 c@18", false }, { c, "a@0 b@9 c@19", "a b" }, { c, "a@0 b@10", false },
      { c, "a@0 b1@2 c@3 b2@4", "a b2" }, { c, "a@0 c@1 b@2", "a b" },
      { "trace.has(A):not_followed_by(B):followed_by(C):within '10ms'", "a@0 c@5 b@9", false },
      { "trace.has(A):not_followed_by(B):followed_by(C):within '10ms'", "a@0 c@5 b@10", "a c" } }
  end)

  it("is decided at the close", function()
    assert.same({ replay.clock(11000) }, times(run("trace.has(A):not_followed_by(B):within '1ms'",
      { arrival("a@0", "t", 50), arrival("c@9", "t", 1000) })))
  end)
end)

describe("gap and overlaps", function()
  it("gap is from the end of one span to the start of another, negative where they overlap", function()
    judge {
      { "trace.has(A):gap(B, gt '1s')", "a@0+100 b@1100", false },
      { "trace.has(A):gap(B, gt '1s')", "a@0+100 b@1100.000001", "a b", value = 1000.000001, threshold = 1000 },
      { "trace.has(A):gap(B, lt '0s')", "a@0+10 b@9", "a b", value = -1, threshold = 0 },
      { "trace.has(A):gap(B, lt(0))", "a@0+10 b@10", false }, { "trace.has(A):gap(B, between('-5ms', 3))", "a@0+10 b@4", false },
      { "trace.has(A):gap(B, between('-5ms', 3))", "a@0+10 b@5", "a b" }, { "trace.has(A):gap(B, between(-5, 3))", "a@0+10 b@13", "a b" },
      { "trace.has(A):gap(B, le(-7.5))", "a@0+10 b@2.5", "a b" }, { "trace.has(A):gap(B, eq(0))", "a@0+10 b@10", "a b" },
      { "trace.has(A):gap(B, ne(0))", "a@0+10 b@10", false }, { "trace.has(A):gap(A, lt(0))", "a@0+10", false },
      { "trace.has(A):gap(B, gt(5))", "a1@0+100 a2@1+2 b@20", "a2 b" },
      { "trace.has(A):gap(B, gt(5)):followed_by(C):within '30ms'", "a@0+1 b@10 c@29", "a b c" },
      { "trace.has(A):gap(B, gt(5)):followed_by(C):within '30ms'", "a@0+1 b@10 c@30", false },
    }
  end)

  it("overlaps: both run at one time, two different spans", function()
    judge {
      { "trace.has(A):overlaps(B)", "a@0+10 b@9", "a b" }, { "trace.has(A):overlaps(B)", "a@0+10 b@10", false },
      { "trace.has(A):overlaps(B)", "b@0+10 a@5", "b a" }, { "trace.has(A):overlaps(A)", "a@0", false },
      { "trace.has(A):overlaps(A)", "a1@0 a2@5", "a1 a2" }, { "-trace.has(A):overlaps(B)", "a@0 b@10", "" },
    }
  end)

  it("fire as soon as they hold", function()
    local requests = { arrival("a@0+5", "t", 50), arrival("b@8+2", "t", 100), arrival("z@0", "t", 5000) }
    assert.same({ replay.clock(10) }, times(run("trace.has(A):gap(B, gt(1))", requests)))
  end)
end)

describe("within in any order", function()
  it("asks for the interval alone", function()
    local any = "(trace.has(A) * trace.has(B)):within('5ms', { any_order = true })"
    judge {
      { any, "b@0 a@4", "b a" }, { any, "b@0 a@5", false }, { any, "a@0 b@0", "a b" }, { any, "a1@0 b@7 a2@9", "b a2" },
      { "(trace.has(A) * trace.has(B)):within '5ms'", "b@0 a@4", false },
      { "(trace.has(A) * trace.has(B) * trace.missing(C)):within('5ms', { any_order = true })", "b@0 a@2 c@4", false },
      { "(trace.has(A) * trace.has(B) * trace.missing(C)):within('5ms', { any_order = true })", "b@0 a@2 c@5", "b a" },
      { "(trace.has(A) * trace.count(B):over(1)):within('5ms', { any_order = true })", "b1@0 b2@1 a@2", "b1 b2 a" },
    }
  end)
end)
