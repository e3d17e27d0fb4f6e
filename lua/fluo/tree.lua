--- The nodes of a condition, and the handles by which a rule file holds them: what all forms share.
-- Fields of every node: kind, name (what an author calls it, where that is not its kind), context, depth, terms, used;
-- and facts that decide what may be built on it:
--   parts            its operands
--   absent           an absence occurs in it: its rule is decided at the close
--   spans            its value is a set of spans: it can be a step of a chain
--   chain            it is a chain: steps in order
--   link             it may stand in a plain `and` that `within` binds into a chain
--   steps, counts    how many steps and counts it brings into such a chain
local suggest = require("fluo.suggest")

local M = { DEPTH_MAX = 200, TERMS_MAX = 5000 }

--- Metatables of the three kinds of handle: a condition, `trace.count(p)`, `trace.where(p)`.
M.Condition, M.Count, M.Where = {}, {}, {}

local nodes = setmetatable({}, { __mode = "k" })

--- The node behind a handle, or nil.
function M.node(handle) return nodes[handle] end

--- Whether x is a condition.
function M.is(x) return getmetatable(x) == M.Condition end

-- ---- nodes ---------------------------------------------------------------------------------------

local function sum_up(node)
  local depth, terms = 0, 0
  for _, part in ipairs(node.parts) do
    depth = math.max(depth, part.depth + 1)
    terms = terms + part.terms
    node.absent = node.absent or part.absent
    part.used = true
  end
  node.depth, node.terms = depth, terms
end

local function check_bounds(node)
  local fail = node.context.fail
  if node.depth > M.DEPTH_MAX then
    fail(("a condition nests deeper than %d"):format(M.DEPTH_MAX), "split it into several rules")
  elseif node.terms > M.TERMS_MAX then
    fail(("a condition has more than %d terms"):format(M.TERMS_MAX), "split it into several rules")
  end
end

--- A new handle for a node.
function M.handle(node, class)
  local handle = setmetatable({}, class)
  nodes[handle] = node
  node.context.built(handle)
  return handle
end

--- A condition of this node. Its parts are used, its depth and terms within bounds, from here on.
function M.build(context, node)
  node.context = context
  if node.parts then
    sum_up(node)
    check_bounds(node)
  else
    node.depth, node.terms = 0, 1
  end
  return M.handle(node, M.Condition)
end

-- ---- arguments -----------------------------------------------------------------------------------

local FINISH = {
  [M.Count] = { "`trace.count` is a number, not a condition", "compare it: `:over(50)`, `:at_least`, "
              .. "`:under`, `:at_most` or `:exactly`", "count" },
  [M.Where] = { "`trace.where` alone is no condition", "say what it has: `trace.where(…):has(…)`", "where" },
}

-- Of handles that are a rule's whole `when`: windows, sequences, cascades.
local WHOLE = {}

--- Why x is no condition yet: message, hint, word; nil for anything but a count or a `where`.
function M.unfinished(x)
  local why = FINISH[getmetatable(x)]
  if why then return unpack(why) end
end

local function refuse_unfit(context, x)
  local why = FINISH[getmetatable(x)] or WHOLE[getmetatable(x)]
  if why then context.fail(unpack(why)) end
end

--- Whether a form was given one argument of the `count` that it takes, and no unfinished condition.
function M.check_pattern(context, what, count, x)
  refuse_unfit(context, x)
  if count ~= 1 or x == nil then
    context.fail(("`%s` takes one pattern, not %d"):format(what, x == nil and 0 or count),
                 "a pattern is a table or a function of a span; put all fields in one table", what)
  end
end

--- The pattern that a form was given, as the one of `count` arguments.
function M.pattern(context, what, count, x)
  M.check_pattern(context, what, count, x)
  if M.is(x) then
    context.fail(("`%s` takes a span pattern, not a condition"):format(what),
                 "combine conditions with `:and_(…)`, `:or_(…)`, `:not_()`", what)
  end
  return context.pattern(x, what)
end

local function build_has(context, what, x)
  return M.node(M.build(context, { kind = "has", pattern = context.pattern(x, what), spans = true, link = true,
                                   steps = 1, counts = 0 }))
end

--- The node of the spans that a form was given: a pattern, or a condition that stands for spans.
function M.spans(context, what, count, x)
  if not M.is(x) or count ~= 1 then
    M.check_pattern(context, what, count, x)
    return build_has(context, what, x)
  elseif not nodes[x].spans then
    context.fail(("`%s` takes spans: a pattern, or a condition that stands for spans"):format(what),
                 "these are `has`, `trace.where(…):has(…)`, `child` and its like, and an `or` of them", what)
  end
  nodes[x].used = true
  return nodes[x]
end

--- The node of a condition that a form was given; a pattern there is a `has` of it.
function M.operand(context, what, x)
  refuse_unfit(context, x)
  if M.is(x) then return nodes[x] end
  if x == nil or type(x) == "boolean" or type(x) == "number" then
    context.fail(("`%s` takes conditions or patterns, not %s"):format(what, tostring(x)),
                 ("as in `a:%s(trace.has { name = \"x\" })`"):format(what), what)
  end
  return build_has(context, what, x)
end

--- The node of a method's own handle.
function M.self(self, what, class)
  local node = getmetatable(self) == (class or M.Condition) and nodes[self]
  if not node then error(("call `%s` with a colon, as in `a:%s(b)`"):format(what, what), 3) end
  return node
end

--- a:and_(b):and_(c) is one `and` of three: writing a long list nests nothing.
function M.append(parts, kind, node)
  if node.kind ~= kind then
    parts[#parts + 1] = node
    return
  end
  for _, part in ipairs(node.parts) do parts[#parts + 1] = part end
  node.used = true
end

-- ---- handles -------------------------------------------------------------------------------------

--- Whether a value is an array without holes or names, of at most max entries.
function M.is_list(value, max)
  if type(value) ~= "table" or getmetatable(value) ~= nil then return false end
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  return count == #value and count <= max
end

--- The keys of tables, sorted as text.
function M.names(...)
  local names = {}
  for i = 1, select("#", ...) do
    for name in pairs((select(i, ...))) do names[#names + 1] = name end
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return names
end

-- `a * b`, `a + b`, `-a` of what cannot be joined, on either side.
local function refuse_joining(a, b)
  local context = (nodes[a] or nodes[b]).context
  refuse_unfit(context, a)
  refuse_unfit(context, b)
end

local JOINING = { and_ = true, or_ = true, not_ = true }

--- Gives a kind of handle its methods; anything else asked of it is a load error with the nearest name. whole: nil, or
-- the word that begins such a handle, which is a rule's whole `when`.
function M.seal(class, class_methods, what, whole)
  local names = M.names(class_methods)
  class.names = names
  WHOLE[class] = whole and { what .. " is judged by itself and cannot be joined", "write another rule for the rest",
                             whole }
  class.__mul, class.__add, class.__unm = refuse_joining, refuse_joining, refuse_joining
  function class.__index(self, key)
    if class_methods[key] then return class_methods[key] end
    local word = tostring(key)
    if JOINING[key] then refuse_unfit(nodes[self].context, self) end
    nodes[self].context.fail(("%s has no `%s`"):format(what, word), suggest.expected(word, names), word)
  end
  function class.__newindex(self)
    nodes[self].context.fail(what .. " cannot be changed", "combine it: every method gives a new one")
  end
  function class.__tostring() return what end
end

return M
