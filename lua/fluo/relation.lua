--- Structure in conditions: `child parent descendant ancestor sibling`, each also with `no_` and `without_`.
local tree = require("fluo.tree")

local M = { methods = {} }

local function spans_of(node, name)
  if node.spans then return node end
  local hint = "before the colon stands `has`, `trace.where(…):has(…)`, another structure, or an `or` of those"
  if node.chain then hint = "put the structure into the chain: `a:followed_by(b:child(c))`" end
  if node.kind == "and" then hint = "relate each side by itself, or put both patterns of one span in one table" end
  node.context.fail(("`%s` relates spans, and there are none before it"):format(name), hint, name)
end

local function note_no(context, relation)
  context.warn("no-form",
               ("`a:no_%s(b)` is every span of b that is the %s of none in a"):format(relation, relation),
               ("the spans of a without such a b are `a:without_%s(b)`"):format(relation), "no_" .. relation)
end

local function method(form, relation)
  local name = form == "is" and relation or form .. "_" .. relation
  M.methods[name] = function(self, ...)
    local node = tree.self(self, name)
    local context, count = node.context, select("#", ...)
    if count ~= 1 or (...) == nil then
      context.fail(("`%s` takes one condition or pattern"):format(name), ("write `a:%s(b)`"):format(name), name)
    end
    local a, b = spans_of(node, name), tree.spans(context, name, count, (...))
    if form == "no" then note_no(context, relation) end
    return tree.build(context, { kind = "relation", name = name, form = form, relation = relation, parts = { a, b },
                                 spans = true, link = true, steps = 1, counts = 0, absent = form ~= "is" })
  end
end

for _, relation in ipairs({ "child", "parent", "descendant", "ancestor", "sibling" }) do
  for _, form in ipairs({ "is", "no", "without" }) do method(form, relation) end
end

return M
