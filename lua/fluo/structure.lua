--- Who is whose parent in a trace, from what has arrived of it.
--
-- A span whose parent is not there is an orphan, the top of a tree of its own. One that is its own
-- parent is a root. A cycle is cut at its earliest span, which becomes an orphan. Nothing here recurses,
-- and each walk visits a span once: a chain of 10,000 spans is as cheap as 10,000 children.
local M = {}

--- Whether span a stands before b: by start, then by id. No two spans of a trace are equal in both.
function M.before(view, a, b)
  local start_a, start_b = view.start(a), view.start(b)
  if start_a ~= start_b then return start_a < start_b end
  return view.id(a) < view.id(b)
end

-- Cuts the cycle that `at` is in.
local function cut_cycle(tree, view, at)
  local earliest, span = at, tree.parent[at]
  while span ~= at do
    if M.before(view, span, earliest) then earliest = span end
    span = tree.parent[span]
  end
  tree.parent[earliest] = nil
  tree.orphan[earliest] = true
  tree.orphans, tree.malformed = tree.orphans + 1, tree.malformed + 1
end

-- Every walk upwards is numbered; one that meets its own number has found a cycle.
local function cut_cycles(tree, view)
  local walked, parent = {}, tree.parent
  for first = 0, view.n - 1 do
    local span = first
    while span and not walked[span] do
      walked[span] = first
      span = parent[span]
    end
    if span and walked[span] == first then cut_cycle(tree, view, span) end
  end
end

local function link(tree, view)
  local by_id = {}
  for span = 0, view.n - 1 do by_id[view.id(span)] = span end
  for span = 0, view.n - 1 do
    local parent_id = view.parent(span)
    local parent = parent_id and by_id[parent_id]
    if not parent_id or parent == span then
      tree.roots = tree.roots + 1
      if parent_id then tree.malformed = tree.malformed + 1 end
    elseif parent then
      tree.parent[span] = parent
    else
      tree.orphan[span] = true
      tree.orphans = tree.orphans + 1
    end
  end
end

--- The trees of a view (see judge.lua for what a view is):
--   parent[span]   its parent, nil for a root or an orphan
--   orphan[span]   true for an orphan
--   roots, orphans, malformed   how many; malformed are own parents and cycles
--   view           what they are of
function M.of(view)
  local tree = { view = view, parent = {}, orphan = {}, roots = 0, orphans = 0, malformed = 0 }
  link(tree, view)
  cut_cycles(tree, view)
  return tree
end

--- The trace has its root and no orphan.
function M.complete(tree) return tree.roots > 0 and tree.orphans == 0 end

-- What the first span at or above this one answers: `answer(span)` gives true, false, or nil to go on
-- upwards; a top that gives nil is `at_top(span)`. `known` remembers for all spans that were passed.
local function climb(tree, span, known, answer, at_top)
  local parent, at, found = tree.parent, span, known[span]
  while found == nil do
    found = answer(at)
    if found == nil and not parent[at] then found = at_top(at) end
    if found == nil then
      at = parent[at]
      found = known[at]
    end
  end
  known[at] = found
  while span ~= at do
    known[span] = found
    span = parent[span]
  end
  return found
end

-- ---- relations -----------------------------------------------------------------------------------

local function set_of(spans)
  local set = {}
  for _, span in ipairs(spans) do set[span] = true end
  return set
end

local function keep(spans, test)
  local result = {}
  for _, span in ipairs(spans) do
    if test(span) then result[#result + 1] = span end
  end
  return result
end

local function no() return false end

-- A test: is the span in the set or below one of it?
local function lies_below(tree, set)
  local known = {}
  local function answer(span) return set[span] end
  return function(span) return climb(tree, span, known, answer, no) end
end

-- Each makes a test of the spans of b from the spans of a.
local test_of = {}

function test_of.child(tree, a)
  local set, parent = set_of(a), tree.parent
  return function(span) return set[parent[span]] end
end

function test_of.parent(tree, a)
  local set = {}
  for _, span in ipairs(a) do set[tree.parent[span] or false] = true end
  return function(span) return set[span] end
end

function test_of.descendant(tree, a)
  local below, parent = lies_below(tree, set_of(a)), tree.parent
  return function(span) return parent[span] and below(parent[span]) end
end

function test_of.ancestor(tree, a)
  local set, parent = {}, tree.parent
  for _, span in ipairs(a) do
    local at = parent[span]
    while at and not set[at] do
      set[at] = true
      at = parent[at]
    end
  end
  return function(span) return set[span] end
end

-- By parent id, so that the children of a parent that is not there are siblings, too.
function test_of.sibling(tree, a)
  local set, count = set_of(a), {}
  local function parent_id(span)                          -- a root has none, also one that is its own parent
    return (tree.parent[span] or tree.orphan[span]) and tree.view.parent(span)
  end
  for _, span in ipairs(a) do
    local id = parent_id(span)
    if id then count[id] = (count[id] or 0) + 1 end
  end
  return function(span)
    local others = count[parent_id(span)]
    return others and others > (set[span] and 1 or 0)
  end
end

function test_of.below(tree, a) return lies_below(tree, set_of(a)) end

function test_of.same(_, a)
  local set = set_of(a)
  return function(span) return set[span] end
end

function test_of.beside(_, a)
  return function() return #a > 0 end
end

--- Relations whose answer takes the trees of the trace.
M.TREE = { child = true, parent = true, descendant = true, ancestor = true, sibling = true, below = true }
--- Relations that a span between the two can complete.
M.CLIMBS = { descendant = true, ancestor = true, below = true }
--- b is the child of a where a is the parent of b.
M.INVERSE = { child = "parent", parent = "child", descendant = "ancestor", ancestor = "descendant",
              sibling = "sibling" }

--- The spans of b that are the child (parent, descendant, ancestor, sibling) of one in a, never of
-- themselves; or that are below one of a or one of them; that are the same as one of a; or that are beside
-- one of a, anywhere in the trace. In the order of b. The last two need no tree.
function M.related(tree, relation, a, b)
  if #a == 0 or #b == 0 then return {} end
  return keep(b, test_of[relation](tree, a))
end

-- ---- what hangs on a parent that is not there ----------------------------------------------------

-- The tops of trees, and whether a span is in a tree whose top is an orphan.
local function top_of(tree)
  local known = {}
  local function go_on() return nil end
  local function itself(span) return span end
  return function(span) return climb(tree, span, known, go_on, itself) end
end

local function hanging(tree, _, b)
  local top = top_of(tree)
  return keep(b, function(span) return tree.orphan[top(span)] end)
end

-- One of a may lie below any span outside of its own tree, where that tree's top is an orphan.
local function above_hanging(tree, a, b)
  local top, tops, orphans = top_of(tree), {}, 0
  for _, span in ipairs(a) do
    local at = top(span)
    if tree.orphan[at] and not tops[at] then
      tops[at], orphans = true, orphans + 1
    end
  end
  if orphans == 0 then return {} end
  return keep(b, function(span) return orphans > 1 or not tops[top(span)] end)
end

-- A parent id says whose child a span is and whose sibling, also where the parent is not there: only what
-- the parent is remains open, and what is above it.
local open = {
  child = function(tree, _, b) return keep(b, function(span) return tree.orphan[span] end) end,
  descendant = hanging, below = hanging, ancestor = above_hanging,
}

--- The spans of b of which nobody can say that they are *not* so related to one of a, because the chain above
-- them (of an ancestor: above one of a) ends in an orphan. Some of them may be related all the same.
function M.unsettled(tree, relation, a, b)
  local find = open[relation]
  return find and #b > 0 and find(tree, a, b) or {}
end

return M
