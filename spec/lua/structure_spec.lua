local structure = require("fluo.structure")
local traces = require("spec.lua.traces")

-- Spans { id, start, parent id }.
local function view_of(spans)
  return { n = #spans, id = function(i) return spans[i + 1][1] end,
           start = function(i) return traces.BASE + spans[i + 1][2] end,
           parent = function(i) return spans[i + 1][3] end }
end
local function tree_of(spans) return structure.of(view_of(spans)) end

describe("the trees of a trace", function()
  it("link a span to its parent, whichever came first", function()
    local tree = tree_of { { "child", 5, "root" }, { "root", 0 } }
    assert.same({ [0] = 1 }, tree.parent)
    assert.same({ 1, 0, 0 }, { tree.roots, tree.orphans, tree.malformed })
    assert.is_true(structure.complete(tree))
  end)

  it("take a span whose parent is not there for an orphan", function()
    local tree = tree_of { { "root", 0 }, { "a", 1, "gone" }, { "b", 2, "a" } }
    assert.same({ [1] = true }, tree.orphan)
    assert.same({ 1, 1, 0 }, { tree.roots, tree.orphans, tree.malformed })
    assert.same({ [2] = 1 }, tree.parent)
    assert.is_false(structure.complete(tree))
  end)

  it("take a span that is its own parent for a root", function()
    local tree = tree_of { { "a", 0, "a" } }
    assert.same({ 1, 0, 1 }, { tree.roots, tree.orphans, tree.malformed })
  end)

  it("cut a cycle at its earliest span, and by id among equals", function()
    local tree = tree_of { { "c", 7, "b" }, { "b", 3, "a" }, { "a", 3, "c" }, { "tail", 9, "c" } }
    assert.same({ [0] = 1, [1] = 2, [3] = 0 }, tree.parent)
    assert.same({ [2] = true }, tree.orphan)
    assert.same({ 0, 1, 1 }, { tree.roots, tree.orphans, tree.malformed })
  end)

  it("cut two cycles twice", function()
    local tree = tree_of { { "a", 0, "b" }, { "b", 1, "a" }, { "c", 2, "d" }, { "d", 3, "c" } }
    assert.same({ [1] = 0, [3] = 2 }, tree.parent)
    assert.equal(2, tree.malformed)
  end)

  it("are empty for no spans, and then not complete", function()
    assert.is_false(structure.complete(tree_of {}))
  end)

  it("need neither a deep stack nor quadratic time for a chain of 100,000", function()
    local spans, bottom = {}, 100000
    for i = 1, bottom do spans[i] = { "s" .. i, i, "s" .. (i % bottom + 1) } end
    local tree, all = tree_of(spans), {}
    assert.equal(1, tree.malformed)
    for i = 1, bottom do all[i] = i - 1 end
    assert.equal(bottom, #structure.below(tree, { 0 }, all))
    assert.is_true(structure.hanging(tree, all))
  end)
end)

describe("below", function()
  local spans = { { "root", 0 }, { "pay", 1, "root" }, { "q", 2, "pay" }, { "deep", 3, "q" },
                  { "other", 4, "root" }, { "lost", 5, "gone" }, { "under", 6, "lost" } }
  local tree = tree_of(spans)

  it("holds for a top itself and for all under it, in the order asked", function()
    assert.same({ 3, 1, 2 }, structure.below(tree, { 1 }, { 3, 0, 1, 4, 2 }))
  end)

  it("joins several tops, one under the other too", function()
    assert.same({ 1, 2, 3, 6 }, structure.below(tree, { 2, 1, 5 }, { 1, 2, 3, 4, 6 }))
  end)

  it("is nothing without tops or without spans", function()
    assert.same({}, structure.below(tree, {}, { 1, 2 }))
    assert.same({}, structure.below(tree, { 1 }, {}))
  end)

  it("knows which spans hang under an orphan", function()
    assert.is_true(structure.hanging(tree, { 0, 6 }))
    assert.is_true(structure.hanging(tree, { 5 }))
    assert.is_false(structure.hanging(tree, { 0, 1, 2, 3, 4 }))
  end)
end)
