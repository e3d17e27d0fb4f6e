--- The whole trace, as the function of trace.satisfies sees it: `t` and what relates its spans to each other.
--
-- Spans are known by their rank, from 1, in the order of (start, id); all lists are in that order. What is found out
-- about the trace (the order, who is whose child) is kept with the view of the job, for all rules that ask, and is
-- never handed out: a function gets tables of its own, and handles of spans (trace.lua). `t` is a handle too, good
-- for this call and no longer; so are the iterators.
--
-- Every question costs time in proportion to its answer, or n log n of the trace; nothing recurses.
local abi = require("fluo.abi")
local filters = require("fluo.filter")
local structure = require("fluo.structure")
local suggest = require("fluo.suggest")
local trace = require("fluo.trace")
local ffi = abi.ffi

local M = {}

local view, facts, n, id                        -- of the evaluation at hand

-- ---- what is found out once a trace -------------------------------------------------------------

local find = {}

-- order[rank] = index in the view.
function find.order()
  local order = {}
  for rank = 1, view.n do order[rank] = rank - 1 end
  return view.sorted(order)
end

function find.offsets() return view.offsets() end
function find.tree() return structure.of(view) end

-- Calculated at the first question.
local function fact(name)
  local known = facts[name]
  if known == nil then
    known = find[name]()
    facts[name] = known
  end
  return known
end

-- rank_of[index]
function find.rank_of()
  local rank_of = {}
  for rank, index in ipairs(fact "order") do rank_of[index] = rank end
  return rank_of
end

-- Ranks, by rank: the parent, and the children.
function find.parent()
  local parent, up, rank_of = {}, fact "tree".parent, fact "rank_of"
  for rank, index in ipairs(fact "order") do parent[rank] = up[index] and rank_of[up[index]] or false end
  return parent
end

local NONE = {}

local function append(lists, key, rank)
  local list = lists[key]
  if list then list[#list + 1] = rank else lists[key] = { rank } end
end

function find.children()
  local children = {}
  for rank, parent in ipairs(fact "parent") do
    if parent then append(children, parent, rank) end
  end
  return children
end

-- Those that share a parent id, by it: also where that parent is not there.
function find.families()
  local families = {}
  for rank, index in ipairs(fact "order") do
    local parent_id = view.parent(index)
    if parent_id then append(families, parent_id, rank) end
  end
  return families
end

-- The earliest root, or false.
function find.root()
  local orphan = fact "tree".orphan
  for rank, parent in ipairs(fact "parent") do
    if not parent and not orphan[fact "order"[rank]] then return rank end
  end
  return false
end

local function start(rank) return view.start(facts.order[rank]) end
local function end_(rank) return view.end_(facts.order[rank]) end

-- A difference of times, as milliseconds.
local function milliseconds(ns) return tonumber(ns) / 1e6 end

function find.duration()
  if n == 0 then return 0 end
  local last = end_(1)
  for rank = 2, n do
    local stop = end_(rank)
    if stop > last then last = stop end
  end
  return milliseconds(last - start(1))
end

function find.services()
  local names, seen = {}, {}
  for rank = 1, n do
    local name = trace.value(facts.offsets[facts.order[rank]], "SERVICE")
    if name and not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

-- ---- relations of one span ----------------------------------------------------------------------

local function handles(ranks)
  local list = {}
  for i, rank in ipairs(ranks) do list[i] = trace.ranked(rank) end
  return list
end

local function sorted_handles(ranks)
  table.sort(ranks)
  return handles(ranks)
end

local relations = {}

function relations.children(rank) return handles(fact "children"[rank] or NONE) end

function relations.descendants(rank)
  local children, found, at = fact "children", { rank }, 1
  while found[at] do
    for _, child in ipairs(children[found[at]] or NONE) do found[#found + 1] = child end
    at = at + 1
  end
  table.remove(found, 1)
  return sorted_handles(found)
end

function relations.ancestors(rank)
  local parent, found = fact "parent", {}
  local at = parent[rank]
  while at do
    found[#found + 1] = at
    at = parent[at]
  end
  return sorted_handles(found)
end

function relations.siblings(rank)
  local parent_id, found = view.parent(facts.order[rank]), {}
  for _, other in ipairs(parent_id and fact "families"[parent_id] or NONE) do
    if other ~= rank then found[#found + 1] = other end
  end
  return handles(found)
end

-- Its duration without the time in which a child ran. Children come in order of start, so one sweep is enough.
function relations.self_time(rank)
  local at, stop = start(rank), end_(rank)
  local own = stop - at
  for _, child in ipairs(fact "children"[rank] or NONE) do
    local from, to = start(child), end_(child)
    if from < at then from = at end
    if to > stop then to = stop end
    if to > from then
      own = own - (to - from)
      at = to
    end
  end
  return milliseconds(own)
end

-- A relation as an author calls it: span:children().
local methods = {}
for name, relation in pairs(relations) do
  methods[name] = function(span)
    local rank = trace.rank(span)
    if not rank then error(("call it with a colon: span:%s()"):format(name), 2) end
    return relation(rank)
  end
end

local of_span = {}
for name, method in pairs(methods) do
  of_span[name] = function() return method end
end

function of_span.parent(rank)
  local parent = fact "parent"[rank]
  return parent and trace.ranked(parent) or nil
end

-- ---- the critical path --------------------------------------------------------------------------

-- Last to finish first; of those that finish together, the one that began first.
local function later(a, b)
  if a.to ~= b.to then return a.to > b.to end
  if a.from ~= b.from then return a.from < b.from end
  return a.rank < b.rank
end

-- The children of a span that the path may go through, cut to the time in which their parent ran.
local function running(span)
  local list = {}
  for _, child in ipairs(fact "children"[span.rank] or NONE) do
    local from, to = start(child), end_(child)
    if from < span.from then from = span.from end
    if to > span.to then to = span.to end
    if from <= to then list[#list + 1] = { rank = child, from = from, to = to } end
  end
  table.sort(list, later)
  return list
end

-- From a span's end back to its start: the child that finished last is on the path, then the one that finished
-- last before that one began, and so on; and the same within each of them. (Zhang et al., "CRISP: Critical Path
-- Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022, algorithm 1.)
local function critical_path(rank)
  local path, open = {}, { { rank = rank, from = start(rank), to = end_(rank) } }
  while #open > 0 do
    local span = table.remove(open)
    path[#path + 1] = span.rank
    local back = span.to
    for _, child in ipairs(running(span)) do
      if child.to <= back then
        open[#open + 1] = child
        back = child.from
      end
    end
  end
  return sorted_handles(path)
end

-- ---- t ------------------------------------------------------------------------------------------

-- Whether the span of a rank satisfies what an author passed: a function is called, a pattern tested.
local function tester(p, name)
  if p == nil then error(("t:%s takes a pattern: t:%s { name = \"…\" }"):format(name, name), 3) end
  if type(p) == "function" then return function(rank) return p(trace.ranked(rank)) end end
  local filter, order, offsets, test, of = filters.of(p, name, 3), facts.order, facts.offsets, filters.test, id
  return function(rank) return test(filter, offsets[order[rank]], rank, of) end
end

local FIELDS = {
  root = function()
    local rank = fact "root"
    return rank and trace.ranked(rank) or nil
  end,
  duration = function() return fact "duration" end,
  services = function()
    local names = {}
    for i, name in ipairs(fact "services") do names[i] = name end
    return names
  end,
  complete = function() return structure.complete(fact "tree") end,
  trace_id = trace.trace_id,
  span_count = function() return n end,
}

local METHODS = {}

-- An iterator is of its evaluation, like a handle.
function METHODS.spans()
  local rank, evaluation, count, ranked, current = 0, trace.current(), n, trace.ranked, trace.current
  return function()
    if current() ~= evaluation then trace.stale(3) end
    rank = rank + 1
    if rank > count then return nil end
    return ranked(rank)
  end
end

function METHODS.find(p)
  local holds = tester(p, "find")
  for rank = 1, n do
    if holds(rank) then return trace.ranked(rank) end
  end
  return nil
end

function METHODS.all(p)
  local holds, list = tester(p, "all"), {}
  for rank = 1, n do
    if holds(rank) then list[#list + 1] = trace.ranked(rank) end
  end
  return list
end

function METHODS.count(p)
  local holds, count = tester(p, "count"), 0
  for rank = 1, n do
    if holds(rank) then count = count + 1 end
  end
  return count
end

function METHODS.critical_path()
  local root = fact "root"
  return root and critical_path(root) or {}
end

local NAMES = { "spans", "find", "all", "count", "root", "duration", "services", "complete", "trace_id",
                "span_count", "critical_path" }
M.NAMES = NAMES
local new_handle
local EVALUATION = "\0evaluation"              -- as in trace.lua

local calls = {}
for name, method in pairs(METHODS) do
  calls[name] = function(self, p)
    if not ffi.istype(new_handle, self) then error(("call it with a colon: t:%s(…)"):format(name), 2) end
    if self[EVALUATION] ~= trace.current() then trace.stale() end
    return method(p)
  end
end

new_handle = ffi.metatype(ffi.typeof("struct { const double $; }", EVALUATION), {
  __index = function(self, key)
    if self[EVALUATION] ~= trace.current() then trace.stale() end
    local field = FIELDS[key]
    if field then return field() end
    if calls[key] then return calls[key] end
    error(("a trace has no `%s`: %s"):format(tostring(key), suggest.expected(tostring(key), NAMES)), 2)
  end,
  __newindex = function() error("a trace cannot be changed", 2) end,
  __tostring = function() return "trace" end,
})

-- ---- an evaluation ------------------------------------------------------------------------------

local whole = { relations = of_span, at = function(rank) return facts.offsets[facts.order[rank]] end }

--- Calls a function with the whole trace of a view (view.lua). true or false; or nil and why: it threw, or what it
-- asked for nobody can know.
function M.satisfies(of, fn)
  view, facts, n, id = of, of.facts, of.n, of.trace_id
  fact "order"
  fact "offsets"
  trace.begin(id, whole)
  local good, truth = pcall(fn, new_handle(trace.current()))
  local spoiled = trace.finish()
  view, facts = nil, nil                        -- what is stale asks for neither
  if not good then return nil, type(truth) == "string" and truth or "threw a " .. type(truth) end
  if spoiled then return nil, spoiled end
  return truth and true or false
end

return M
