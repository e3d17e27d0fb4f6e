--- A judge of conditions that tries everything: written from the sentences of the language, one span and one
-- assignment at a time, knowing nothing of plans, sets and searches. Conditions and spans are those of random.lua.
--
-- Truth is "T", "U" or "F". What is
-- asked for (`want` is "+") is there or is not; what is wanted absent ("-") is absent only where nothing can be in
-- the way of it: no span that may be missing, no unknown answer, no parent that is not there.
local M = {}

local NEGATED = { GT = "LE", GE = "LT", LT = "GE", LE = "GT", EQ = "NE", NE = "EQ" }

local RANK = { F = 1, U = 2, T = 3 }
local function both(x, y) return RANK[x] < RANK[y] and x or y end
local function either(x, y) return RANK[x] > RANK[y] and x or y end
local function no(x) return x == "T" and "F" or x == "F" and "T" or "U" end
local function bool(x) return x and "T" or "F" end

-- ---- the trace -----------------------------------------------------------------------------------

local function before(x, y)
  if x[2] ~= y[2] then return x[2] < y[2] end
  return x.id < y.id
end

local function on_cycle(world, span)
  local at = span
  for _ = 1, #world.list do
    at = world.above[at]
    if at == span then return true end
  end
  return false
end

--- All that is known: spans in order, who is above whom, what is unknown.
function M.world(spans, options)
  local world = { spans = spans, list = {}, above = {}, orphan = {}, key = {}, doubt = options.cut or not options.closing,
                  unknown = options.unknown or {} }
  for i, span in ipairs(spans) do
    world.list[i] = span
    span.at = i - 1
    local parent = span.parent and spans[span.parent + 1]
    if parent ~= span then world.above[span] = parent end
    world.orphan[span] = span.orphan
    world.key[span] = span.orphan and "nowhere" or world.above[span] or nil
  end
  table.sort(world.list, before)
  for _, span in ipairs(world.list) do
    if on_cycle(world, span) then world.above[span], world.orphan[span] = nil, true end
  end
  return world
end

local function top(world, span)
  while world.above[span] do span = world.above[span] end
  return span
end

local function is_above(world, x, y)
  local at = world.above[y]
  while at and at ~= x do at = world.above[at] end
  return at == x
end

-- Whether a missing parent leaves it open that x is above y.
local function may_be_above(world, x, y)
  local t = top(world, y)
  return world.orphan[t] and (x == nil or top(world, x) ~= t) or false
end

-- y is the `relation` of x: shown, or open because of a parent that is not there. Without x: of a span that is not
-- there either.
local function related(world, relation, x, y, want)
  local shown, open
  if relation == "child" then shown, open = world.above[y] == x, world.orphan[y]
  elseif relation == "parent" then shown = x ~= nil and world.above[x] == y
  elseif relation == "descendant" then shown, open = is_above(world, x, y), may_be_above(world, x, y)
  elseif relation == "ancestor" then shown, open = is_above(world, y, x), may_be_above(world, y, x)
  elseif relation == "sibling" then shown = x ~= y and world.key[x] ~= nil and world.key[x] == world.key[y]
  elseif relation == "below" then shown, open = x == y or is_above(world, x, y), may_be_above(world, x, y)
  elseif relation == "span" then shown = x == y
  else shown = true end
  return shown and "T" or open and want == "-" and "U" or "F"
end

-- ---- sets ----------------------------------------------------------------------------------------

-- Whether nobody can list all spans that are in it.
local function nameless(world, c)
  if world.doubt then return true end
  if c.kind == "has" then return (world.unknown[c.name] or 0) > 0 end
  if c.kind == "relation" and c.form == "no" then return nameless(world, c[2]) end
  if c.kind == "relation" and c.form == "without" then return nameless(world, c[1]) end
  return nameless(world, c[1]) or nameless(world, c[2])
end

-- Some span of the set is above or below (as `test` says) this one.
local inside

local function some(world, c, want, test)
  local result = want == "-" and nameless(world, c) and "U" or "F"
  for _, x in ipairs(world.list) do result = either(result, both(inside(world, c, x, want), test(x))) end
  return result
end

-- The missing parent itself may be the one that is asked for.
local UPWARDS = { child = true, descendant = true, below = true }
local function some_related(world, c, relation, y, want)
  local result = some(world, c, want, function(x) return related(world, relation, x, y, want) end)
  if want == "-" and UPWARDS[relation] and (relation == "child" and world.orphan[y]
      or relation ~= "child" and world.orphan[top(world, y)]) then
    result = either(result, "U")
  end
  return result
end

local function some_inverse(world, c, relation, y, want)
  local inverse = { child = "parent", parent = "child", descendant = "ancestor", ancestor = "descendant",
                    sibling = "sibling" }
  return some_related(world, c, inverse[relation], y, want)
end

function inside(world, c, span, want)
  if c.kind == "has" then return bool(span[1] == c.name) end
  if c.kind == "any" then return either(inside(world, c[1], span, want), inside(world, c[2], span, want)) end
  if c.kind == "where" then
    return both(inside(world, c[2], span, want), some_related(world, c[1], c.scope, span, want))
  elseif c.form == "is" then
    return both(inside(world, c[2], span, want), some_related(world, c[1], c.relation, span, want))
  elseif c.form == "no" then
    return both(inside(world, c[2], span, want), no(some_related(world, c[1], c.relation, span, "-")))
  end
  return both(inside(world, c[1], span, want), no(some_inverse(world, c[2], c.relation, span, "-")))
end

local function compare(n, op, m, high)
  if op == "GT" then return n > m elseif op == "GE" then return n >= m elseif op == "LT" then return n < m
  elseif op == "LE" then return n <= m end
  return (n >= m and n <= (high or m)) == (op == "EQ")
end

-- How many of the set suit the test, compared: at least the certain ones, at most all that may be, and where nobody
-- can list them any number more.
local function counted(world, c, op, n, want, test)
  local low, high, list = 0, 0, {}
  local lower = op == "GT" or op == "GE"
  for _, span in ipairs(world.list) do
    if test(span) then
      local is = inside(world, c, span, lower and want or "-")
      if is == "T" then list[#list + 1], low = span, low + 1 end
      if is ~= "F" then high = high + 1 end
    end
  end
  if nameless(world, c) and (not lower or want == "-") then high = high + n + 2 end
  local all, any = true, false
  for k = low, high do
    all = all and compare(k, op, n)
    any = any or compare(k, op, n)
  end
  return all and "T" or any and "U" or "F", list
end

-- ---- chains --------------------------------------------------------------------------------------

-- Writes a chain down as steps and checks; gives the first and the last group of steps.
local write

local function step(chain, c, at)
  local s = { set = c }
  table.insert(chain.steps, at or #chain.steps + 1, s)
  return { s }
end

local function order(chain, left, right)
  chain.checks[#chain.checks + 1] = function(at)
    for _, l in ipairs(left) do
      for _, r in ipairs(right) do
        if at[l][2] >= at[r][2] then return "F" end
      end
    end
    return "T"
  end
end

local function join(one, other)
  local all = {}
  for _, s in ipairs(one or {}) do all[#all + 1] = s end
  for _, s in ipairs(other or {}) do all[#all + 1] = s end
  return all
end

local function write_row(chain, c, window, loose)
  local first, last
  for _, part in ipairs(c) do
    local from, to = write(chain, part, window)
    if from and loose then
      first, last = join(first, from), join(last, to)
    elseif from then
      if last then order(chain, last, from) end
      first, last = first or from, to
    end
  end
  return first, last
end

local function write_within(chain, c)
  local window = { ns = c.ns, any = c.any, position = #chain.steps + 1, items = {} }
  local first, last = write(chain, c[1], window)
  local leads = {}
  for _, item in ipairs(window.items) do
    if item.leads then leads[#leads + 1] = item end
  end
  window.free = c.any and first ~= nil
  local anchor
  if not first then
    anchor = { kind = "union", unpack(window.counts or {}) }
  elseif not c.any and window.leader then
    anchor = window.leader
  end
  if anchor then
    local group = step(chain, anchor, window.position)
    group[1].anchor = true
    if first then order(chain, group, first) end
    first, last = group, last or group
  end
  window.leads = leads
  window.members = { unpack(chain.steps, window.position, #chain.steps) }
  chain.windows[#chain.windows + 1] = window
  return first, last
end

local function write_item(chain, c, window)
  local item = c.kind == "missing" and { set = c[1], op = "EQ", n = 0 } or { set = c[1], op = c.op, n = c.n, counts = true }
  window.items[#window.items + 1] = item
  if not item.counts then return nil end
  window.counts = join(window.counts, { c[1] })
  item.leads = not compare(0, c.op, c.n)
  if item.leads and #chain.steps < window.position then window.leader = c[1] end
  return nil
end

local function write_gap(chain, c, window)
  local first, last = write(chain, c[1], window)
  local left, right = last[#last], step(chain, c[2])
  chain.checks[#chain.checks + 1] = function(at)
    local x, y = at[left], at[right[1]]
    if x == y then return "F" end
    if c.kind == "overlaps" then return bool(x[2] < y[2] + y.dur and y[2] < x[2] + x.dur) end
    return bool(compare(y[2] - (x[2] + x.dur), c.op, c.n, c.high))
  end
  local all = join(last, right)
  return first == last and all or first, all
end

local function write_unfollowed(chain, c, window)
  local first, last = write(chain, c[1], window)
  chain.checks[#chain.checks + 1] = function(at, world)
    local t = -math.huge
    for _, s in ipairs(last) do t = math.max(t, at[s][2]) end
    return no(some(world, c[2], "-", function(x)
      return bool(x[2] > t and (not window or x[2] < t + window.ns))
    end))
  end
  return first, last
end

function write(chain, c, window)
  if c.kind == "within" then return write_within(chain, c) end
  if c.kind == "and" then return write_row(chain, c, window, window.any) end
  if c.kind == "followed" then return write_row(chain, c, window, false) end
  if c.kind == "missing" or c.kind == "count" then return write_item(chain, c, window) end
  if c.kind == "gap" or c.kind == "overlaps" then return write_gap(chain, c, window) end
  if c.kind == "unfollowed" then return write_unfollowed(chain, c, window) end
  local group = step(chain, c)
  return group, group
end

local function items_at(world, window, t0, want)
  local result, spans = "T", {}
  for _, item in ipairs(window.items) do
    local is, list = counted(world, item.set, item.op, item.n, want, function(x)
      return x[2] >= t0 and x[2] < t0 + window.ns
    end)
    result, spans = both(result, is), join(spans, item.counts and list or nil)
  end
  return result, spans
end

-- The moments at which a window may begin, earliest first.
local function moments(world, window, at, want)
  local low, high, list = math.huge, -math.huge, {}
  for _, s in ipairs(window.members) do low, high = math.min(low, at[s][2]), math.max(high, at[s][2]) end
  if high - low >= window.ns then return list end
  for _, span in ipairs(window.free and world.list or {}) do
    for _, item in ipairs(window.leads) do
      local is = inside(world, item.set, span, want)
      if is ~= "F" and span[2] < low and span[2] > high - window.ns then list[#list + 1] = { span[2], is } end
    end
  end
  list[#list + 1] = { low, "T" }
  return list
end

local function window_holds(world, window, at, want)
  local best, spans = "F", nil
  for _, moment in ipairs(moments(world, window, at, want)) do
    local is, list = items_at(world, window, moment[1], want)
    best = either(best, both(is, moment[2]))
    if is == "T" and moment[2] == "T" then spans = spans or list end
  end
  return best, spans
end

local function member(world, set, span, want)
  if set.kind ~= "union" then return inside(world, set, span, want) end
  local result = "F"
  for _, one in ipairs(set) do result = either(result, inside(world, one, span, want)) end
  return result
end

local function assignment(world, chain, at, want)
  local result, taken = "T", {}
  for _, check in ipairs(chain.checks) do result = both(result, check(at, world)) end
  for _, s in ipairs(chain.steps) do
    if not s.anchor then taken[#taken + 1] = at[s] end
  end
  for _, window in ipairs(result ~= "F" and chain.windows or {}) do
    local is, spans = window_holds(world, window, at, want)
    result, taken = both(result, is), join(taken, spans)
  end
  return result, taken
end

-- Tries all: the best truth, and what the first that is true takes.
local function try(world, chain, at, index, want, best)
  local s = chain.steps[index]
  if not s then
    local is, taken = assignment(world, chain, at, want)
    is = both(is, at.truth)
    if is == "T" and best.truth ~= "T" then best.taken = taken end
    best.truth = either(best.truth, is)
    return
  end
  local truth = at.truth
  for _, span in ipairs(world.list) do
    if best.truth == "T" then return end
    local is = both(truth, member(world, s.set, span, want))
    if is ~= "F" then
      at[s], at.truth = span, is
      try(world, chain, at, index + 1, want, best)
    end
  end
  at.truth = truth
end

local function more_may_come(world, chain)
  if world.doubt then return true end
  for _, s in ipairs(chain.steps) do
    for _, set in ipairs(s.set.kind == "union" and s.set or { s.set }) do
      if nameless(world, set) then return true end
    end
  end
  for _, window in ipairs(chain.windows) do
    for _, item in ipairs(window.items) do
      if item.counts and item.op ~= "LT" and item.op ~= "LE" and nameless(world, item.set) then return true end
    end
  end
  return false
end

-- A chain of counts that nothing is counted by: any empty interval.
local function of_nothing(world, chain, want, best)
  local only = #chain.steps == 1 and chain.steps[1]
  if not only or not only.anchor then return end
  for _, span in ipairs(world.list) do
    if member(world, only.set, span, want) ~= "F" then return end
  end
  for _, window in ipairs(chain.windows) do
    best.truth, best.taken = items_at(world, window, math.huge, want)
  end
end

local function chain_of(c)
  local chain = { steps = {}, checks = {}, windows = {} }
  write(chain, c, nil)
  return chain
end

-- ---- conditions ----------------------------------------------------------------------------------

local truth_of = {}

local function spans_truth(world, c, negated)
  local is = some(world, c, negated and "-" or "+", function() return "T" end)
  if negated then return no(is), {} end
  for _, span in ipairs(world.list) do
    if inside(world, c, span, "+") == "T" then return is, { span } end
  end
  return is, {}
end
truth_of.has, truth_of.where, truth_of.relation = spans_truth, spans_truth, spans_truth

function truth_of.count(world, c, negated)
  return counted(world, c[1], negated and NEGATED[c.op] or c.op, c.n, "+", function() return true end)
end

local function chain_truth(world, c, negated)
  local chain, best, want = chain_of(c), { truth = "F", taken = {} }, negated and "-" or "+"
  try(world, chain, { truth = "T" }, 1, want, best)
  of_nothing(world, chain, want, best)
  if not negated then return best.truth, best.taken end
  if best.truth ~= "T" and more_may_come(world, chain) then return "U", {} end
  return no(best.truth), {}
end
for _, kind in ipairs { "followed", "within", "gap", "overlaps", "unfollowed" } do truth_of[kind] = chain_truth end

truth_of["not"] = function(world, c, negated) return M.truth(world, c[1], not negated) end

local function all_of(world, c, negated)
  local result, taken = "T", {}
  for _, part in ipairs(c) do
    local is, spans = M.truth(world, part, negated)
    result, taken = both(result, is), join(taken, spans)
  end
  return result, taken
end

local function one_of(world, c, negated)
  local result, taken = "F", nil
  for _, part in ipairs(c) do
    local is, spans = M.truth(world, part, negated)
    if is == "T" then taken = taken or spans end
    result = either(result, is)
  end
  return result, taken
end

truth_of["and"] = function(world, c, negated) return (negated and one_of or all_of)(world, c, negated) end
truth_of["or"] = function(world, c, negated) return (negated and all_of or one_of)(world, c, negated) end
truth_of.any = truth_of["or"]

--- The truth of a condition, and its witnesses in no order.
function M.truth(world, c, negated) return truth_of[c.kind](world, c, negated or false) end

--- The same as what a spec of the judge sees: true, false or nil, and the indices of the witnesses in start order.
function M.judge(c, spans, options)
  local world = M.world(spans, options)
  local is, taken = M.truth(world, c)
  local has, witnesses = {}, {}
  for _, span in ipairs(is == "T" and taken or {}) do has[span] = true end
  for _, span in ipairs(world.list) do
    if has[span] then witnesses[#witnesses + 1] = span.at end
  end
  if is == "U" then return nil, witnesses end
  return is == "T", witnesses
end

return M
