--- Chains: from the nodes of order and time to a list of steps and what is asked of them.
--
-- A chain wants one span a step. In the plan:
--   steps[i]    { set, after, items, absences, anchor, word }   after: steps that start before this one
--   links[i]    { kind = "gap" | "overlaps", from, to, compare, n, high }    between two different spans
--   windows[i]  { first, last, ns, any, items }    all steps from first to last start in [t0, t0 + ns), t0 the
--               earliest of them; `any`: or the earliest of those that an item counts
--   items[i]    { form, set, compare, n, ns, leads }    how many spans start in [t0, t0 + ns); `leads`: there must be
--               some, so that one of them may be the first of all
--   absences[i] { set, ns, group }                 none starts in (t, t + ns), t the latest of the group; without
--               ns: none after t
-- An item or an absence whose moment is the start of one step stands with that step, any other with its window or
-- in the chain's `absences`. A window that begins with a count, or holds counts only, is anchored at the counted
-- spans: an anchor is a step, but no witness by itself.
--
-- As long as every step starts after the one before it, all that is asked of a step is a lower bound that rises
-- with the other steps, and chain.lua finds the earliest assignment by moving forward only. Where `gap`, `overlaps`
-- or `any_order` ask for more, the chain is `free`, and search.lua has to look.
--
-- Steps come in groups: those that `gap`, `overlaps` and `any_order` join have no order among each other, and what
-- follows a group starts after all of it.
local comparison = require("fluo.comparison")
local sets = require("fluo.sets")

local M = {}

-- ---- what a chain is made of ---------------------------------------------------------------------

local function add_step(run, chain, node, word)
  local step = { set = sets.of(run, node), items = {}, absences = {}, word = word }
  chain.steps[#chain.steps + 1] = step
  chain.absent = chain.absent or step.set.absent
  return { step }
end

local function add_item(run, chain, window, node, form, compare, n)
  local item = { form = form, set = sets.of(run, form == "missing" and node or node.parts[1]), compare = compare,
                 n = n, ns = window.ns }
  window.items[#window.items + 1] = item
  chain.items[#chain.items + 1] = item
  chain.absent = chain.absent or comparison.ABSENT[compare] or item.set.absent
  if form == "missing" then return end
  chain.figures[#chain.figures + 1] = item
  window.counted[#window.counted + 1] = item.set
  item.leads = not comparison.holds(0, compare, n)
  if item.leads and not window.any and #chain.steps < window.position then window.leading = item.set end
end

-- Every step of the right group starts after all of the left.
local function join(left, right)
  for _, step in ipairs(right) do
    assert(not step.after)
    step.after = left
  end
end

local function append(a, b)
  local both = {}
  for _, step in ipairs(a or {}) do both[#both + 1] = step end
  for _, step in ipairs(b or {}) do both[#both + 1] = step end
  return both
end

-- ---- nodes: each gives its first and its last group, nil where it brings no step -----------------

local link

local function link_in_order(run, chain, window, node, negated)
  local first, last
  for _, part in ipairs(node.parts) do
    local from, to = link(run, chain, window, part, negated)
    if from and last then join(last, from) end
    first, last = first or from, to or last
  end
  return first, last
end

local function link_in_any_order(run, chain, window, node, negated)
  local first, last
  for _, part in ipairs(node.parts) do
    local from, to = link(run, chain, window, part, negated)
    if from then
      if first then from[1].word = "with" end
      first, last = append(first, from), append(last, to)
    end
  end
  return first, last
end

local function link_pair(run, chain, window, node)
  local first, last = link(run, chain, window, node.parts[1], false)
  local pair = { kind = node.kind, from = last[#last], compare = node.op, n = node.n, high = node.high }
  local right = add_step(run, chain, node.parts[2], node.kind == "gap" and "before" or "overlapping")
  pair.to = right[1]
  chain.links[#chain.links + 1] = pair
  if node.kind == "gap" then chain.figures[#chain.figures + 1] = pair end
  local both = append(last, right)
  return first == last and both or first, both
end

local function link_absence(run, chain, window, node)
  local first, last = link(run, chain, window, node.parts[1], false)
  local absence = { set = sets.of(run, node.parts[2]), ns = window and window.ns, group = last }
  chain.absences[#chain.absences + 1] = absence
  chain.absent = true
  return first, last
end

local function union_of(list)
  if #list == 1 then return list[1] end
  local set = { op = "ANY", parts = list }
  for _, one in ipairs(list) do
    set.absent, set.climbs = set.absent or one.absent, set.climbs or one.climbs
  end
  return set
end

-- A window's first step gives it t0: where that is no step of the author's, an anchor.
local function anchored(chain, window, first, last)
  local set = not first and union_of(window.counted) or window.leading
  if not set then return first, last end
  local anchor = { set = set, items = {}, absences = {}, anchor = true }
  table.insert(chain.steps, window.position, anchor)
  if first then join({ anchor }, first) end
  return { anchor }, last or { anchor }
end

local function link_window(run, chain, node)
  local window = { ns = node.ns, any = node.any_order, position = #chain.steps + 1, items = {}, counted = {} }
  local first, last = link(run, chain, window, node.parts[1], false)
  window.any = window.any and first ~= nil
  first, last = anchored(chain, window, first, last)
  window.first, window.last = chain.steps[window.position], chain.steps[#chain.steps]
  if #first == 1 and not window.any then
    for _, item in ipairs(window.items) do first[1].items[#first[1].items + 1] = item end
    window.items = {}
  end
  chain.windows[#chain.windows + 1] = window
  return first, last
end

-- order.lua let only such nodes in as these know.
function link(run, chain, window, node, negated)
  local kind = node.kind
  if kind == "not" then return link(run, chain, window, node.parts[1], not negated) end
  if kind == "count" then
    local compare = negated and comparison.NEGATED[node.op] or node.op
    return add_item(run, chain, window, node, "count", compare, node.n)
  elseif kind == "missing" and not negated or kind == "has" and negated then
    return add_item(run, chain, window, node, "missing", "EQ", 0)
  elseif kind == "within" then return link_window(run, chain, node)
  elseif kind == "not_followed_by" then return link_absence(run, chain, window, node)
  elseif kind == "gap" or kind == "overlaps" then return link_pair(run, chain, window, node)
  elseif kind == "and" and window.any then return link_in_any_order(run, chain, window, node, negated)
  elseif kind == "and" or kind == "followed" then return link_in_order(run, chain, window, node, negated)
  end
  local group = add_step(run, chain, node, "followed by")
  return group, group
end

-- ---- the chain -----------------------------------------------------------------------------------

-- A group is shared by all steps that come after it, and so is the list of its positions.
local function indices(lists, group)
  local list = lists[group]
  if not list then
    list = {}
    for i, step in ipairs(group) do list[i] = step.index end
    lists[group] = list
  end
  return list
end

-- Steps by their positions, which are certain now, and what concerns one moment of one step with that step.
local function settle(chain)
  local lists = {}
  for i, step in ipairs(chain.steps) do step.index = i end
  for _, step in ipairs(chain.steps) do step.after = step.after and indices(lists, step.after) end
  for _, pair in ipairs(chain.links) do pair.from, pair.to = pair.from.index, pair.to.index end
  local windows, absences = {}, {}
  for _, window in ipairs(chain.windows) do
    window.first, window.last = window.first.index, window.last.index
    if window.first < window.last or #window.items > 0 then
      windows[#windows + 1] = window
      chain.free = chain.free or window.any
    end
  end
  for _, absence in ipairs(chain.absences) do
    local group = indices(lists, absence.group)
    local list = #group == 1 and chain.steps[group[1]].absences or absences
    list[#list + 1], absence.group = absence, group
    chain.missing[#chain.missing + 1] = absence.set
  end
  chain.windows, chain.absences = windows, absences
  chain.free = chain.free or #chain.links > 0
end

--- The plan of a chain.
function M.chain(run, node, negated)
  local chain = { op = "CHAIN", steps = {}, links = {}, windows = {}, items = {}, absences = {}, figures = {},
                  missing = {}, absent = false, free = false, negated = negated }
  link(run, chain, nil, node, false)
  settle(chain)
  return chain
end

--- A count alone with `within`: a chain of nothing but that count.
function M.counted(run, node, negated)
  local bare = { kind = "count", parts = node.parts, op = node.op, n = node.n }
  return M.chain(run, { kind = "within", ns = node.within, parts = { bare } }, negated)
end

return M
