--- Structure, explained: who would have had to be whose relative, and who is. See explain.lua.
local span = require("fluo.explain.span")
local spans = require("fluo.spans")
local words = require("fluo.explain.words")

local M = { describe = {} }
local describe = M.describe

-- What may have been meant instead, in this order.
local OTHERS = { "child", "descendant", "sibling", "parent", "ancestor" }

-- Whose child a span is.
local function family(i)
  local tree = span.tree()
  if tree.parent[i] then return ("%s is a child of %s"):format(span.text(i), span.text(tree.parent[i])) end
  if tree.orphan[i] then
    return ("%s is an orphan: its parent %s has not arrived"):format(span.text(i), tostring(span.value(i, "PARENT_ID")))
  end
  return span.text(i) .. " has no parent"
end

local function related_otherwise(self, node)
  for _, other in ipairs(OTHERS) do
    if other ~= node.relation and self:changed(node, { relation = other }) then return other end
  end
end

local function explain_unrelated(self, node, out, a, b)
  local other = related_otherwise(self, node)
  if other then
    out.hints[#out.hints + 1] = ("not a %s, but a %s: `a:%s(b)` holds"):format(node.relation, other, other)
  end
  local upwards = node.relation == "parent" or node.relation == "ancestor"
  out.found = family((upwards and a or b)[1])
end

-- A span that has what it should not have.
local function explain_related(self, node, out)
  local made = self.part { kind = "relation", form = "is", relation = node.relation, parts = node.parts }
  local list = spans.members(self.run, made.set, spans.SURE)
  if list[1] then
    out.found = ("%s is one of %s that are the %s of one of the first"):format(span.text(list[1]),
      words.counted(#list, "span"), node.relation)
  end
end

function describe.relation(self, node, out, truth)
  self:parts(out, node.parts, true)
  local a, b = self:members(node.parts[1]), self:members(node.parts[2])
  self:show(out, self:members(node))
  if truth ~= false or #a == 0 or #b == 0 then return end
  if node.form == "is" then explain_unrelated(self, node, out, a, b) else explain_related(self, node, out) end
end

-- Its filters, each by itself.
function describe.ql(self, node, out)
  self:parts(out, node.query.filters, true)
  self:show(out, self:members(node))
end

function describe.where(self, node, out, truth)
  self:parts(out, node.parts, true)
  local a, b = self:members(node.parts[1]), self:members(node.parts[2])
  self:show(out, self:members(node))
  if truth ~= false or #a == 0 or #b == 0 then return end
  out.found = family(b[1])
  if node.scope == "same" and self:changed(node, { scope = "below" }) then
    out.hints[#out.hints + 1] = "it holds below such a span: leave scope = \"span\" out"
  else
    out.hints[#out.hints + 1] = "both are in the trace, the second not at or below the first: "
      .. "{ scope = \"trace\" } takes that"
  end
end

return M
