--- Order and time, explained: how far a chain came, and by how much it missed. See explain.lua.
local span = require("fluo.explain.span")
local words = require("fluo.explain.words")

local M = { describe = {} }
local describe = M.describe

local PAIRS_MAX = 4096

-- The nodes that stand for the first and the last spans of a chain.
local FIRST = { followed = true, within = true, not_followed_by = true, gap = true, overlaps = true, count = true,
                ["and"] = true }
local LAST = { within = 1, not_followed_by = 1, count = 1, followed = 2, gap = 2, overlaps = 2 }

local function first_of(self, node)
  while FIRST[node.kind] do node = node.parts[1] end
  return self:members(node)
end

local function last_of(self, node)
  while LAST[node.kind] or node.kind == "and" do node = node.parts[LAST[node.kind] or #node.parts] end
  return self:members(node)
end

local function ms(ns) return words.time(ns) end

-- "`a` at 0 ms, then `b` at 6.2 s"
local function told(list)
  local texts = {}
  for i, at in ipairs(list) do texts[i] = span.text(at) end
  return table.concat(texts, ", then ")
end

-- ---- followed_by --------------------------------------------------------------------------------

local function equal_starts(view, a, b)
  local at = {}
  for _, one in ipairs(a) do at[tostring(view.start(one))] = one end
  for _, other in ipairs(b) do
    local one = at[tostring(view.start(other))]
    if one and one ~= other then return one, other end
  end
end

-- Why none of b starts after one of a, where there are some of both.
local function out_of_order(view, a, b)
  local one, other = equal_starts(view, a, b)
  if one then
    return ("%s and %s start at the same nanosecond: equal starts have no order"):format(span.text(one),
      span.text(other))
  elseif #a == 1 and #b == 1 and a[1] == b[1] then
    return ("%s is both of them: it takes two different spans"):format(span.text(a[1]))
  end
  local late = view.start(a[1]) - view.start(b[#b])
  return ("the last of the second, %s, starts %s before the first of the first, %s"):format(span.text(b[#b]), ms(late),
    span.text(a[1]))
end

function describe.followed(self, node, out, truth)
  self:parts(out, node.parts, true)
  local a, b = last_of(self, node.parts[1]), first_of(self, node.parts[2])
  if truth then
    local found = self:found(node)
    if found then out.found = told(found.spans) end
  elseif truth == false and #a > 0 and #b > 0 and self:value(node.parts[1]) then
    out.found = out_of_order(self.run.view, a, b)
  end
end

-- ---- not_followed_by ----------------------------------------------------------------------------

-- The last of a that is followed, by which of b, and after how long.
local function blocker(view, a, b, ns)
  for k = #a, 1, -1 do
    local t = view.start(a[k])
    for _, other in ipairs(b) do
      local later = view.start(other) - t
      if later > 0 and (not ns or later < ns) then return a[k], other, later end
    end
  end
end

local function followed_all_the_same(self, node, out, ns)
  local one, other, later = blocker(self.run.view, last_of(self, node.parts[1]), self:members(node.parts[2]), ns)
  if one then out.found = ("after %s comes %s, %s later"):format(span.text(one), span.text(other), ms(later)) end
end

function describe.not_followed_by(self, node, out, truth)
  self:parts(out, node.parts, true)
  if truth == false then followed_all_the_same(self, node, out) end
end

-- ---- within -------------------------------------------------------------------------------------

local function extent(view)
  local first, last = view.start(0), view.start(0)
  for i = 1, view.n - 1 do
    local t = view.start(i)
    if t < first then first = t end
    if t > last then last = t end
  end
  return last - first
end

-- The least interval in which the chain does hold, judged again and again, and its spans; nil: there is none.
local function least_interval(self, node)
  local low, high = node.ns, extent(self.run.view) + 1
  if high <= low then return nil end
  local holds, found = self:changed(node, { ns = high })
  if not holds then return nil end
  while high - low > 1 do
    local middle = low + (high - low) / 2
    middle = type(middle) == "number" and math.floor(middle) or middle
    local good, there = self:changed(node, { ns = middle })
    if good then high, found = middle, there else low = middle end
  end
  return high - 1, found
end

local function missed_by(self, node, out)
  local inner = node.parts[1]
  if inner.kind == "not_followed_by" then return followed_all_the_same(self, inner, out, node.ns) end
  if inner.kind == "and" and not node.any_order and self:changed(node, { any_order = true }) then
    out.hints[#out.hints + 1] = "it holds in another order than the written one: { any_order = true } takes any"
  end
  local ns, found = least_interval(self, node)
  if not ns then return end
  out.found = ("the nearest takes %s, and within asks for less than %s: %s"):format(ms(ns), ms(node.ns),
    found and told(found.spans) or "")
end

function describe.within(self, node, out, truth)
  self:parts(out, node.parts, true)
  if truth == false and (not node.absent or node.parts[1].kind == "not_followed_by") then
    missed_by(self, node, out)
  end
  local found = truth and self:found(node)
  if found then out.found = told(found.spans) end
end

-- The most spans that some interval of that length holds.
local function most_within(self, node, total)
  local low, high = 0, total
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if self:changed(node, { op = "GE", n = middle }) then low = middle else high = middle - 1 end
  end
  return low
end

--- A count with a `within` of its own.
function M.count(self, node, out, truth)
  local total = #self:members(node.parts[1])
  if truth ~= nil then
    out.found = ("at most %d of %d in any %s; it asks for %s"):format(most_within(self, node, total), total,
      ms(node.within), words.compared(node, function(n) return ("%d"):format(n) end))
  end
  self:parts(out, node.parts, true)
end

-- ---- gap, overlaps ------------------------------------------------------------------------------

-- The pair of two different spans whose measure is least: the measure, and the two.
local function nearest_pair(a, b, measure)
  local best, one, other, pairs_seen = nil, nil, nil, 0
  for _, x in ipairs(a) do
    for _, y in ipairs(b) do
      pairs_seen = pairs_seen + 1
      if pairs_seen > PAIRS_MAX then return best, one, other end
      local far = x ~= y and measure(x, y)
      if far and (not best or far < best) then best, one, other = far, x, y end
    end
  end
  return best, one, other
end

function describe.gap(self, node, out, truth)
  local view = self.run.view
  self:parts(out, node.parts, true)
  local function gap(x, y) return view.start(y) - view.end_(x) end
  local a, b = last_of(self, node.parts[1]), self:members(node.parts[2])
  local best, one, other = nearest_pair(a, b, function(x, y) return math.abs(tonumber(gap(x, y) - node.n)) end)
  if best and not truth then
    out.found = ("%s from the end of %s to %s; it asks for %s"):format(ms(gap(one, other)), span.text(one),
      span.text(other), words.compared(node, ms))
  end
end

function describe.overlaps(self, node, out, truth)
  local view = self.run.view
  self:parts(out, node.parts, true)
  local function apart(x, y)
    return math.max(tonumber(view.start(y) - view.end_(x)), tonumber(view.start(x) - view.end_(y)))
  end
  local best, one, other = nearest_pair(last_of(self, node.parts[1]), self:members(node.parts[2]), apart)
  if best and truth == false then
    out.found = ("%s and %s are %s apart"):format(span.text(one), span.text(other), ms(best))
  end
end

return M
