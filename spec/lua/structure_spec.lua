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
    for _, relation in ipairs { "child", "parent", "descendant", "ancestor", "sibling", "below" } do
      local count = #structure.related(tree, relation, all, all)
      assert.equal(relation == "sibling" and 0 or relation == "below" and bottom or bottom - 1, count, relation)
    end
    assert.equal(bottom, #structure.unsettled(tree, "descendant", {}, all))
  end)
end)

-- r ─ pay ─ q ─ deep    r ─ other    (gone) ─ lost ─ under    (gone) ─ twin    (away) ─ far
local spans = { { "r", 0 }, { "pay", 1, "r" }, { "q", 2, "pay" }, { "deep", 3, "q" }, { "other", 4, "r" },
                { "lost", 5, "gone" }, { "under", 6, "lost" }, { "twin", 7, "gone" }, { "far", 8, "away" },
                { "self", 9, "self" }, { "r2", 10 } }
local tree = tree_of(spans)

local function indices(names)
  local list = {}
  for name in names:gmatch("%S+") do
    for i, span in ipairs(spans) do
      if span[1] == name then list[#list + 1] = i - 1 end
    end
  end
  return list
end
local ALL = "r pay q deep other lost under twin far self r2"

describe("the spans of b that are so related to one of a", function()
  for _, line in ipairs {
    { "child", "r", ALL, "pay other" }, { "child", "lost r", ALL, "pay other under" },
    { "child", "self", ALL, "" }, { "child", "pay", "r deep", "" },
    { "parent", "deep under r", ALL, "q lost" },
    { "descendant", "pay", ALL, "q deep" }, { "descendant", "q pay", "deep q", "deep q" },
    { "descendant", "lost", ALL, "under" }, { "descendant", "deep", ALL, "" },
    { "ancestor", "deep", ALL, "r pay q" }, { "ancestor", "under q", ALL, "r pay lost" }, { "ancestor", "r", ALL, "" },
    { "sibling", "pay", ALL, "other" }, { "sibling", "pay other", ALL, "pay other" },
    { "sibling", "lost", ALL, "twin" }, { "sibling", "r self", ALL, "" }, { "sibling", "far", ALL, "" },
    { "below", "pay", "deep r pay other q", "deep pay q" }, { "below", "q pay lost", "pay q deep under", "pay q deep under" },
    { "same", "pay q", "q r", "q" }, { "beside", "far", "q r", "q r" }, { "beside", "", "q r", "" },
  } do
    it(("%s of %s among %s"):format(line[1], line[2], line[3]), function()
      assert.same(indices(line[4]), structure.related(tree, line[1], indices(line[2]), indices(line[3])))
    end)
  end
end)

describe("the spans of b that may be so related, for all that is known", function()
  for _, line in ipairs {
    { "child: orphans", "child", "", ALL, "lost twin far" },
    { "descendant: what is under an orphan", "descendant", "", ALL, "lost under twin far" },
    { "below: likewise", "below", "r", ALL, "lost under twin far" },
    { "ancestor: none, where nothing hangs", "ancestor", "deep r2", ALL, "" },
    { "ancestor: all but the tree of what hangs", "ancestor", "under", ALL, "r pay q deep other twin far self r2" },
    { "ancestor: all, where two trees hang", "ancestor", "under far", ALL, ALL },
    { "parent: none, a parent id says it all", "parent", ALL, ALL, "" },
    { "sibling: none", "sibling", ALL, ALL, "" },
  } do
    it(line[1], function()
      assert.same(indices(line[5]), structure.unsettled(tree, line[2], indices(line[3]), indices(line[4])))
    end)
  end
end)
