--- Runs a query (ql.lua) on a trace: which spans its last stage leaves. A stage takes groups of spans and gives groups;
-- before the first `by` there is one. Of each group, as of a set (spans.lua), there are three lists in start order,
-- each within the next: SURE whatever else arrives, SHOWN by what has arrived, POSSIBLE. On a whole trace without
-- orphans and unknown answers they are the same list.
local abi = require("fluo.abi")
local read = require("fluo.dialect.ql_read")
local spans = require("fluo.spans")
local structure = require("fluo.structure")
local trace = require("fluo.trace")
local value = require("fluo.dialect.ql_value")
local int64 = abi.ffi.typeof("int64_t")

local M = {}

local SURE, SHOWN, POSSIBLE = spans.SURE, spans.SHOWN, spans.POSSIBLE
local NONE = {}

-- ---- the trace -----------------------------------------------------------------------------------

local function fact(look, name, find)
  local facts = look.run.view.facts or look.run.found
  if facts[name] == nil then facts[name] = find(look) end
  return facts[name]
end

local function hits(look, slot) return look.run.view.hits(look.run.ids[slot]) end

local function find_duration(look)
  local view = look.run.view
  local first, last = view.start(0), view.end_(0)
  for i = 1, view.n - 1 do
    local start, stop = view.start(i), view.end_(i)
    if start < first then first = start end
    if stop > last then last = stop end
  end
  return value.duration(last > first and int64(last - first) or 0LL)
end

-- The earliest root, or false.
local function find_root(look)
  local view, tree, root = look.run.view, spans.tree(look.run), false
  for i = 0, view.n - 1 do
    local is_root = not tree.parent[i] and not tree.orphan[i]
    if is_root and (not root or structure.before(view, i, root)) then root = i end
  end
  return root
end

local function find_children(look)
  local count = {}
  for _, parent in pairs(spans.tree(look.run).parent) do count[parent] = (count[parent] or 0) + 1 end
  return count
end

-- What is read belongs to an evaluation, as where a function asks.
local function offset(look, span)
  if not look.reads then
    trace.begin(look.run.view.trace_id)
    look.reads = true
  end
  return fact(look, "offsets", function() return look.run.view.offsets() end)[span]
end

local OF_ROOT = { ROOT_NAME = "NAME", ROOT_SERVICE = "SERVICE" }

-- What a span's expressions read.
local function reader(look, span)
  return read.reader(offset(look, span), function(node)
    if node.intrinsic == "TRACE_DURATION" then return true, fact(look, "ql_duration", find_duration) end
    if node.intrinsic == "CHILD_COUNT" then return true, int64(fact(look, "ql_children", find_children)[span] or 0) end
    local of_root = OF_ROOT[node.intrinsic]
    if not of_root then return false end
    local root = fact(look, "ql_root", find_root)
    return true, root and trace.value(offset(look, root), of_root) or nil
  end)
end

-- ---- groups --------------------------------------------------------------------------------------

local function group_of(sure, shown, possible) return { sure, shown, possible } end

-- fn(list, bound) of each list; one call where all three are one.
local function each(group, fn)
  if group[SURE] == group[POSSIBLE] then
    local list = fn(group[SURE], SURE)
    return group_of(list, list, list)
  end
  return group_of(fn(group[SURE], SURE), fn(group[SHOWN], SHOWN), fn(group[POSSIBLE], POSSIBLE))
end

local function members(list)
  local set = {}
  for _, span in ipairs(list) do set[span] = true end
  return set
end

local function keep(list, test)
  local out = {}
  for _, span in ipairs(list) do
    if test(span) then out[#out + 1] = span end
  end
  return out
end

local function within(list, other)
  local set = members(other)
  return keep(list, function(span) return set[span] end)
end

-- By halves, so that thousands of groups merge each span few times.
local function merged(view, groups, bound, from, to)
  if from == to then return groups[from][bound] end
  local middle = math.floor((from + to) / 2)
  return spans.merge(view, merged(view, groups, bound, from, middle), merged(view, groups, bound, middle + 1, to))
end

-- Groups as one.
local function one_of(look, groups)
  if #groups == 0 then return group_of(NONE, NONE, NONE) end
  if #groups == 1 then return groups[1] end
  local view = look.run.view
  local sure, possible = merged(view, groups, SURE, 1, #groups), merged(view, groups, POSSIBLE, 1, #groups)
  if #sure == #possible then return group_of(sure, sure, sure) end
  return group_of(sure, merged(view, groups, SHOWN, 1, #groups), possible)
end

local function some(group) return #group[POSSIBLE] > 0 and { group } or {} end

-- Spans may be in what a node gives that nobody can name.
local function is_open(look, node)
  if look.unsure then return true end
  for _, slot in ipairs(node.slots) do
    if look.run.view.unknown(look.run.ids[slot]) > 0 then return true end
  end
  return false
end

-- ---- filters -------------------------------------------------------------------------------------

-- Three truths, each implying the next: whatever arrives, by what has arrived, perhaps.
local function thrice(truth) return truth, truth, truth end

local FLIPPED = { EQ = "EQ", NE = "NE", GT = "LT", GE = "LE", LT = "GT", LE = "GE" }
local GROWS = { TRACE_DURATION = true, CHILD_COUNT = true }

-- A comparison of what only grows with what stays: how, and both values.
local function growing(x, get)
  local a, b, how = x.a, x.b, x.how
  if x.op ~= "compare" or not FLIPPED[how] then return nil end
  if not (a.op == "field" and GROWS[a.intrinsic]) then a, b, how = b, a, FLIPPED[how] end
  if not (a.op == "field" and GROWS[a.intrinsic] and b.op == "literal") then return nil end
  return how, value.of(a, get), value.of(b, get)
end

-- By what is there already, where more may come.
local function open_growing(how, now, limit)
  local holds = value.compare(how, now, limit)
  if how == "GT" or how == "GE" then return holds, holds, true end
  if how == "LT" or how == "LE" then return false, holds, holds end
  local beyond = value.compare("GT", now, limit)
  if beyond then return thrice(how == "NE") end
  return false, true, true
end

-- Whether a test needs of the trace nothing but its root, which stays once it is there.
local function hangs_on_root(x)
  if x.op == "field" then return not GROWS[x.intrinsic] end
  for _, part in ipairs(x.parts or { x.a, x.b }) do
    if not hangs_on_root(part) then return false end
  end
  return true
end

local test = {}
local function test_of(look, node, span) return test[node.op](look, node, span) end

function test.slot(look, node, span)
  look.sets[node.slot] = look.sets[node.slot] or members(hits(look, node.slot))
  return thrice(look.sets[node.slot][span] == true)
end

function test.trace(look, node, span)
  local get = reader(look, span)
  local plain = value.truth(node.x, get)
  if not look.unsure then return thrice(plain) end
  local how, now, limit = growing(node.x, get)
  if how then return open_growing(how, now, limit) end
  if fact(look, "ql_root", find_root) and hangs_on_root(node.x) then return thrice(plain) end
  return false, plain, true
end

test["not"] = function(look, node, span)
  local sure, shown, possible = test_of(look, node[1], span)
  return not possible, not shown, not sure
end

test["and"] = function(look, node, span)
  local sure, shown, possible = true, true, true
  for _, child in ipairs(node) do
    local a, b, c = test_of(look, child, span)
    sure, shown, possible = sure and a, shown and b, possible and c
  end
  return sure, shown, possible
end

test["or"] = function(look, node, span)
  local sure, shown, possible = false, false, false
  for _, child in ipairs(node) do
    local a, b, c = test_of(look, child, span)
    sure, shown, possible = sure or a, shown or b, possible or c
  end
  return sure, shown, possible
end

-- Where the answer of a pattern in it is unknown, nobody knows which spans that is about.
local function has_unknown(look, node)
  if node.op == "slot" then return look.run.view.unknown(look.run.ids[node.slot]) > 0 end
  for _, child in ipairs(node) do
    if has_unknown(look, child) then return true end
  end
  return false
end

local function tested(look, node, list)
  local group = { {}, {}, {} }
  if has_unknown(look, node) then return group_of(NONE, NONE, list) end
  for _, span in ipairs(list) do
    local truths = { test_of(look, node, span) }
    for bound = SURE, POSSIBLE do
      if truths[bound] then table.insert(group[bound], span) end
    end
  end
  if #group[SURE] == #group[POSSIBLE] then group[SHOWN], group[POSSIBLE] = group[SURE], group[SURE] end
  return group
end

local run = {}

--- The groups that a node makes of one group; nil: of the whole trace.
local function run_node(look, node, input) return run[node.op](look, node, input) end

function run.nothing() return {} end

function run.filter(look, node, input)
  local list = hits(look, node.slot)
  local found = node.rest and tested(look, node.rest, list) or group_of(list, list, list)
  if not input then return some(found) end
  local narrowed = each(input, function(spans_in, bound) return within(found[bound], spans_in) end)
  if found[SURE] ~= found[POSSIBLE] and input[SURE] == input[POSSIBLE] then
    narrowed = each(found, function(list_of) return within(list_of, input[SURE]) end)
  end
  narrowed.value, narrowed.threshold = input.value, input.threshold
  return some(narrowed)
end

-- ---- spansets ------------------------------------------------------------------------------------

local function side(look, node, input) return one_of(look, run_node(look, node, input)) end

local function merge_both(look, a, b, wanted)
  local group = {}
  for bound = SURE, POSSIBLE do
    local give = not wanted or #a[bound] > 0 and #b[bound] > 0
    group[bound] = give and spans.merge(look.run.view, a[bound], b[bound]) or NONE
  end
  if #group[SURE] == #group[POSSIBLE] then group = group_of(group[SURE], group[SURE], group[SURE]) end
  return group
end

local function run_join(wanted)
  return function(look, node, input)
    return some(merge_both(look, side(look, node.a, input), side(look, node.b, input), wanted))
  end
end
run["and"], run["or"] = run_join(true), run_join(false)

local function related(look, relation, a, b)
  local tree, group = spans.tree(look.run), {}
  for bound = SURE, POSSIBLE do
    local repeated = bound > SURE and a[bound] == a[SURE] and b[bound] == b[SURE]
    group[bound] = repeated and group[SURE] or structure.related(tree, relation, a[bound], b[bound])
  end
  local open = structure.unsettled(tree, relation, a[POSSIBLE], b[POSSIBLE])
  if #open > 0 then group[POSSIBLE] = spans.merge(look.run.view, group[POSSIBLE], open) end
  return group
end

local function without(list, ...)
  local out = {}
  for i = 1, select("#", ...) do
    for _, span in ipairs((select(i, ...))) do out[span] = true end
  end
  return keep(list, function(span) return not out[span] end)
end

-- Those of b that are so related to none of a: see spans.lua.
local function unrelated(look, node, a, b)
  local tree, relation = spans.tree(look.run), node.relation
  local sure = NONE
  if not is_open(look, node.a) then
    sure = without(b[SURE], structure.related(tree, relation, a[POSSIBLE], b[SURE]),
      structure.unsettled(tree, relation, a[POSSIBLE], b[SURE]))
  end
  local group = group_of(sure, without(b[SHOWN], structure.related(tree, relation, a[SURE], b[SHOWN])),
    without(b[POSSIBLE], structure.related(tree, relation, a[SURE], b[POSSIBLE])))
  if #sure == #group[POSSIBLE] then return group_of(sure, sure, sure) end
  return group
end

function run.relation(look, node, input)
  local a, b = side(look, node.a, input), side(look, node.b, input)
  if node.form == "no" then return some(unrelated(look, node, a, b)) end
  local right = related(look, node.relation, a, b)
  if node.form == "is" then return some(right) end
  return some(merge_both(look, right, related(look, structure.INVERSE[node.relation], b, a)))
end

-- ---- aggregates ----------------------------------------------------------------------------------

local function numbers(look, x, list)
  local out = {}
  for _, span in ipairs(list) do out[#out + 1] = value.number(value.of(x, reader(look, span))) end
  return out
end

local aggregate = {}

function aggregate.sum(list)
  local sum = list[1]
  for i = 2, #list do sum = value.arithmetic("+", sum, list[i]) end
  return sum
end

function aggregate.avg(list)
  local sum = aggregate.sum(list)
  return sum ~= nil and value.plain(sum) / #list or nil
end

local function extreme(wanted)
  return function(list)
    local best = list[1]
    for i = 2, #list do
      if value.order(list[i], best) == wanted then best = list[i] end
    end
    return best
  end
end
aggregate.max, aggregate.min = extreme(1), extreme(-1)

-- nil: it has no value.
local function aggregate_of(look, stage, list)
  if stage.aggregate == "count" then return int64(#list) end
  return aggregate[stage.aggregate](numbers(look, stage.x, list))
end

-- What more spans can do to an aggregate: a count and a max only rise, a min only falls.
local GROWING = { count = "GT", max = "GT", min = "LT" }
local STRONGER = { GT = { GT = true, GE = true }, LT = { LT = true, LE = true } }

-- true, false, or nil: unknown, and whether what is shown holds. Of what more spans can change only that is certain
-- which lies beyond the limit.
local function open_where(look, stage, group, limit)
  local how, way = stage.how, GROWING[stage.aggregate]
  local now, shown = aggregate_of(look, stage, group[SURE]), aggregate_of(look, stage, group[SHOWN])
  local beyond = way and value.compare(way, now, limit)
  if way and STRONGER[way][how] then
    if value.compare(how, now, limit) then return true end
    return nil, value.compare(how, shown, limit)
  elseif beyond then
    return how == "NE"
  elseif how == "EQ" or how == "NE" or not way then
    return nil, shown ~= nil
  end
  if now ~= nil and not value.compare(how, now, limit) then return false end
  return nil, value.compare(how, shown, limit)
end

local function passed(group, now, limit)
  if group.value ~= nil then return group end
  group = group_of(group[SURE], group[SHOWN], group[POSSIBLE])
  group.value, group.threshold = now and value.plain(now), value.plain(limit)
  return group
end

function run.where(look, stage, group)
  local limit = value.of(stage.limit)
  local settled = not look.open and group[SURE] == group[POSSIBLE]
  if settled then
    local now = aggregate_of(look, stage, group[SURE])
    return value.compare(stage.how, now, limit) and { passed(group, now, limit) } or {}
  end
  local truth, shown = open_where(look, stage, group, limit)
  if truth == false then return {} end
  if truth then return { passed(group, aggregate_of(look, stage, group[SURE]), limit) } end
  return { group_of(NONE, shown and group[SHOWN] or NONE, group[POSSIBLE]) }
end

-- ---- groups by a value ---------------------------------------------------------------------------

-- Equal keys for values that section 2 says are equal.
local function key_of(v)
  if type(v) == "table" then
    local list = {}
    for i, element in ipairs(v) do list[i] = key_of(element) end
    return "list " .. table.concat(list, "\0")
  end
  local number = value.number(v)
  if number ~= nil then
    if value.is_duration(number) then number = value.plain(number) end
    if type(number) == "number" and number == math.floor(number) and math.abs(number) < 2 ^ 63 then
      number = int64(number)
    end
    return "number " .. (type(number) == "number" and ("%.17g"):format(number) or tostring(number))
  end
  return (type(v) == "boolean" or v == "true" or v == "false") and "bool " .. tostring(v) or "text " .. v
end

function run.by(look, stage, group)
  local groups, of_span, by_key = {}, {}, {}
  for _, span in ipairs(group[POSSIBLE]) do
    local v = value.of(stage.x, reader(look, span))
    local key = v ~= nil and key_of(v)
    if key and not by_key[key] then
      by_key[key] = { {}, {}, {}, value = group.value, threshold = group.threshold }
      groups[#groups + 1] = by_key[key]
    end
    of_span[span] = by_key[key]
  end
  for bound = SURE, POSSIBLE do
    for _, span in ipairs(group[bound]) do
      if of_span[span] then table.insert(of_span[span][bound], span) end
    end
  end
  for _, one in ipairs(groups) do
    if #one[SURE] == #one[POSSIBLE] then one[SHOWN], one[POSSIBLE] = one[SURE], one[SURE] end
  end
  return groups
end

function run.select(_, _, group) return { group } end

function run.pipe(look, node, input)
  local groups = run_node(look, node.stages[1], input)
  for i = 2, #node.stages do
    local stage, following = node.stages[i], {}
    if stage.op == "coalesce" then
      following = some(one_of(look, groups))
    else
      for _, group in ipairs(groups) do
        for _, one in ipairs(run_node(look, stage, group)) do following[#following + 1] = one end
      end
    end
    groups = following
  end
  return groups
end

-- ---- a query -------------------------------------------------------------------------------------

-- The figure of the first group that is certain.
local function figure(groups)
  for _, group in ipairs(groups) do
    if #group[SURE] > 0 and group.value ~= nil then return group.value, group.threshold end
  end
end

--- The spans that a query (a set of spans.lua) leaves: the three lists, and value and threshold of the first aggregate
-- that holds, or nil.
function M.evaluate(of, set)
  local known = of.found[set]
  if known then return known end
  local look = { run = of, unsure = spans.unsure(of), sets = {} }
  look.open = is_open(look, set.root)
  local groups = run_node(look, set.root, nil)
  if look.reads then trace.finish() end
  local result = one_of(look, groups)
  known = { result[SURE], result[SHOWN], result[POSSIBLE] }
  known.value, known.threshold = figure(groups)
  of.found[set] = known
  return known
end

return M
