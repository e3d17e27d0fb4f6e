--- What can be proven of a trace condition (rules/README.md, Conditions), for a whole trace of at least one span: that
-- it never holds, that it always does. Cases are of how many spans match a pattern, of the trace's duration and of
-- its number of spans. Of a chain only what each of its steps needs is looked at: so it is false or open.
local cases = require("fluo.lint.cases")
local span = require("fluo.lint.span")

local M = {}

-- ---- spans --------------------------------------------------------------------------------------

-- Without two negations that cancel out.
local function bare(node)
  while node.kind == "not" and node.parts[1].kind == "not" do node = node.parts[1].parts[1] end
  return node.kind == "not" and node.parts[1].kind == "missing" and node.parts[1] or node
end

-- The pattern of a node that stands for its spans, or for their absence; else nil.
local function pattern_of(node) return bare(node).pattern end

-- What tells patterns apart: equal formulas match the same spans, unless a function (or a `matches` beyond its limit)
-- has a say.
local function key_of(pattern)
  if pattern.functions > 0 or pattern.canonical:find(" matches ", 1, true) then return pattern end
  return pattern.canonical
end

local spans = {}

-- true: in every trace there is one; false: in none; else nil. Such is what a set of spans is "worth" here.
local function worth(node, answer)
  node = bare(node)
  return spans[node.kind](node, answer)
end

function spans.has(node, answer)
  local pattern = node.pattern
  local truth = span.verdict(pattern.ast)
  if truth ~= nil then return truth end
  local count = answer(key_of(pattern))
  return count and count > 0
end
spans.missing = spans.has

spans["or"] = function(node, answer)
  return cases.any(node.parts, function(part) return worth(part, answer) end)
end

function spans.where(node, answer)
  local both = cases.all(node.parts, function(part) return worth(part, answer) end)
  if both and node.scope ~= "beside" then return nil end
  return both
end

function spans.relation(node, answer)
  local a, b = worth(node.parts[1], answer), worth(node.parts[2], answer)
  if node.form == "without" then a, b = b, a end
  if b == false or a == false and node.form == "is" then return false end
  if a == false then return b end
  return nil
end

-- ---- conditions ---------------------------------------------------------------------------------

local truth = {}

local function truth_of(node, answer) return truth[node.kind](node, answer) end

truth.has, truth.where, truth.relation = worth, worth, worth
function truth.missing(node, answer) return cases.negate(worth(node, answer)) end
truth["not"] = function(node, answer) return cases.negate(truth_of(node.parts[1], answer)) end
truth["and"] = function(node, answer)
  return cases.all(node.parts, function(part) return truth_of(part, answer) end)
end
truth["or"] = function(node, answer)
  return cases.any(node.parts, function(part) return truth_of(part, answer) end)
end

-- How many spans, where that is certain.
local function number_of(node, answer)
  if worth(node, answer) == false then return 0 end
  return pattern_of(node) and answer(key_of(pattern_of(node))) or nil
end

-- In an interval there may be fewer.
function truth.count(node, answer)
  local n = number_of(node.parts[1], answer)
  if not n then return nil end
  if not node.within then return cases.compare(node.op, n, node.n) end
  if node.op == "LT" or node.op == "LE" or n >= node.n + (node.op == "GT" and 1 or 0) then return nil end
  return false
end

function truth.all(node, answer)
  local every = span.verdict(node.pattern.ast)
  if every ~= nil then return every end
  if answer(key_of(node.pattern)) == 0 then return false end
  return nil
end

local function truth_of_figure(node, answer)
  local v = answer(node.kind)
  if v == nil then return nil end
  return cases.compare(node.op == "BETWEEN" and "EQ" or node.op, v, node.n, node.high)
end
truth.duration, truth.span_count = truth_of_figure, truth_of_figure

function truth.satisfies() return nil end

-- ---- chains -------------------------------------------------------------------------------------

local needs

-- Nothing that a chain needs is false: then it may hold.
local function need_all(node, answer)
  for _, part in ipairs(node.parts) do
    if needs(part, answer) == false then return false end
  end
  return nil
end

local CHAINS = { followed = need_all, gap = need_all, overlaps = need_all, ["and"] = need_all, within = need_all }

function CHAINS.not_followed_by(node, answer) return needs(node.parts[1], answer) end

function CHAINS.missing() return nil end

-- Of a `has` or a count it is an absence, or a bound; open both.
CHAINS["not"] = function(node, answer)
  local inner = node.parts[1]
  if inner.kind == "not" then return needs(inner.parts[1], answer) end
  if inner.kind == "missing" and worth(inner, answer) == false then return false end
  return nil
end

function CHAINS.count(node, answer)
  local absent = node.op == "LT" or node.op == "LE"
  local n = not absent and number_of(node.parts[1], answer)
  if n and n < node.n + (node.op == "GT" and 1 or 0) then return false end
  return nil
end

function needs(node, answer)
  local rule = CHAINS[node.kind]
  if rule then return rule(node, answer) end
  if worth(node, answer) == false then return false end
  return nil
end

-- `a` and no `a` in the interval that has this very span.
local function excludes_itself(node)
  local inner, there = node.parts[1], {}
  if inner.kind ~= "and" then return false end
  for _, part in ipairs(inner.parts) do
    if part.kind == "has" then there[key_of(part.pattern)] = true end
  end
  for _, part in ipairs(inner.parts) do
    if part.kind == "missing" and there[key_of(part.pattern)] then return true end
  end
  return false
end

for _, kind in ipairs { "followed", "not_followed_by", "gap", "overlaps" } do
  truth[kind] = function(node, answer) return CHAINS[kind](node, answer) end
end
function truth.within(node, answer)
  if excludes_itself(node) then return false end
  return need_all(node, answer)
end

-- ---- verdicts -----------------------------------------------------------------------------------

--- Calls each(node) for a node and all that it is made of.
function M.walk(node, each)
  each(node)
  for _, part in ipairs(node.parts or {}) do M.walk(part, each) end
end

local METRICS = { duration = true, span_count = true }

-- Things: key, label, numbers that conditions compare with, how many leaves. How many leaves there are in all. Whether
-- anything is certain of some pattern by itself.
local function gather(nodes)
  local found, list, leaves, decided = {}, {}, 0, false
  local function put(key, label, ...)
    local thing = found[key]
    if not thing then
      thing = { key = key, label = label, numbers = {}, leaves = 0 }
      found[key], list[#list + 1] = thing, thing
    end
    for i = 1, select("#", ...) do thing.numbers[#thing.numbers + 1] = (select(i, ...)) end
    return thing
  end
  local function look(node)
    leaves = leaves + 1
    if METRICS[node.kind] then
      local thing = put(node.kind, "trace." .. node.kind, node.n, node.high)
      thing.leaves = thing.leaves + 1
    elseif node.pattern then
      local thing = put(key_of(node.pattern), node.pattern.label)
      thing.leaves = thing.leaves + 1
      decided = decided or span.verdict(node.pattern.ast) ~= nil
    elseif node.kind == "count" and pattern_of(node.parts[1]) then
      local pattern = pattern_of(node.parts[1])
      put(key_of(pattern), pattern.label, node.n)
    end
  end
  for _, node in ipairs(nodes) do M.walk(node, look) end
  return list, leaves, decided
end

local function cases_of(thing, limits)
  local low = 0
  if thing.key == "span_count" then low = 1 end
  if thing.key == "duration" then low = 0LL end
  local high = thing.key ~= "duration" and limits.spans_max or nil
  if not METRICS[thing.key] then thing.numbers[#thing.numbers + 1] = 1 end
  local list = {}
  for i, n in ipairs(cases.points(thing.numbers, low, high)) do
    list[i] = function(key) if key == thing.key then return n end end
  end
  return list
end

-- Whether there is more to see than patterns that are each asked for once.
local function is_worth(list, limits)
  for _, thing in ipairs(list) do
    if thing.leaves > 1 then return true end
    for _, n in ipairs(thing.numbers) do
      if n <= 1 or METRICS[thing.key] or limits.spans_max and n >= limits.spans_max then return true end
    end
  end
  return false
end

--- Whether a rule's conditions make it fire in every trace (true), in none (false), or neither is certain (nil); and
-- the thing by which that is seen: { label }. rule: nodes when, always, never; limits: { spans_max } or {}.
function M.verdict(rule, limits)
  local nodes = {}
  for _, name in ipairs { "when", "always", "never" } do nodes[#nodes + 1] = rule[name] end
  local list, leaves, decided = gather(nodes)
  if not decided and not is_worth(list, limits) then return nil end
  local things = {}
  for _, thing in ipairs(list) do
    -- What one leaf alone asks of a pattern is open, but for a count's bounds.
    if thing.leaves > 1 or #thing.numbers > 0 then
      thing.cases = cases_of(thing, limits)
      things[#things + 1] = thing
    end
  end
  return cases.verdict(function(answer)
    local when = truth_of(rule.when, answer)
    if not rule.always and not rule.never then return when end
    local kept = rule.always and truth_of(rule.always, answer)
    if not rule.always then kept = true end
    local broken = rule.never and truth_of(rule.never, answer)
    if not rule.never then broken = false end
    local breaks = cases.any({ 1, 2 }, function(i)
      if i == 1 then return cases.negate(kept) end
      return broken
    end)
    return cases.all({ 1, 2 }, function(i)
      if i == 1 then return when end
      return breaks
    end)
  end, things, leaves)
end

-- ---- functions ----------------------------------------------------------------------------------

local function unguarded(node)
  if node.kind == "satisfies" then return true end
  if node.kind == "not" then return unguarded(node.parts[1]) end
  if node.kind ~= "and" and node.kind ~= "or" then return false end
  for _, part in ipairs(node.parts) do
    if unguarded(part) == (node.kind == "or") then return node.kind == "or" end
  end
  return node.kind == "and"
end

--- Whether a rule's function of the trace is asked about every trace.
function M.is_unguarded(rule) return unguarded(rule.when) end

return M
