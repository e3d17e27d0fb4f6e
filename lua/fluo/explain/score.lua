--- How near a trace came to a rule, from 0 to 1: what is true is 1, an `and` the mean of its parts, an `or` the
-- greatest, a pattern the share of entries that hold on the nearest span, a figure its share of what is asked for. By
-- this alone it is chosen which traces are explained, so it looks for no words.
local entries = require("fluo.explain.entries")

local M = {}

local NODES_MAX = 200
local NEAR = 0.9                                          -- what is false is never as near as what is true

local kinds = {}

local function score(self, node)
  self.scored = (self.scored or 0) + 1
  if self.scored > NODES_MAX then return 0 end
  self.breathe()
  if self:value(node) then return 1 end
  return NEAR * math.min(kinds[node.kind](self, node), 1)
end

local function mean(self, node)
  local sum = 0
  for _, part in ipairs(node.parts) do sum = sum + score(self, part) end
  return sum / #node.parts
end

local function greatest(self, node)
  local most = 0
  for _, part in ipairs(node.parts) do most = math.max(most, score(self, part)) end
  return most
end

local function nearest(self, node) return entries.share(self.run.view, self:entries_of(node), self.breathe) end

local function share(n, node) return tonumber(n) / math.max(tonumber(node.n), 1) end

function kinds.has(self, node) return nearest(self, node) end
function kinds.all(self, node) return #self:hits(node) / self.run.view.n end
function kinds.count(self, node) return share(#self:members(node.parts[1]), node) end
function kinds.duration(self, node) return share(self:duration(), node) end
function kinds.span_count(self, node) return share(self.run.view.n, node) end
function kinds.missing() return 0 end
function kinds.satisfies() return 0.5 end
function kinds.ql(self, node)
  local filters = node.query.filters
  return #filters > 0 and mean(self, { parts = filters }) or 0
end
kinds["and"], kinds["or"], kinds["not"] = mean, greatest, function() return 0 end
for _, kind in ipairs { "followed", "within", "not_followed_by", "gap", "overlaps", "relation", "where" } do
  kinds[kind] = mean
end

M.of = score

return M
