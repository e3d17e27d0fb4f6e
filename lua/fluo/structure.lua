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
function M.of(view)
  local tree = { parent = {}, orphan = {}, roots = 0, orphans = 0, malformed = 0 }
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

--- Those of `spans` that are one of `tops` or lie below one, in the order of `spans`.
function M.below(tree, tops, spans)
  local is_top, known, result = {}, {}, {}
  for _, top in ipairs(tops) do is_top[top] = true end
  local function answer(span) return is_top[span] end
  local function at_top() return false end
  for _, span in ipairs(spans) do
    if climb(tree, span, known, answer, at_top) then result[#result + 1] = span end
  end
  return result
end

--- Whether one of `spans` is in a tree whose top is an orphan: what is above it is not known.
function M.hanging(tree, spans)
  local known = {}
  local function answer() return nil end
  local function at_top(span) return tree.orphan[span] == true end
  for _, span in ipairs(spans) do
    if climb(tree, span, known, answer, at_top) then return true end
  end
  return false
end

return M
