-- Chains against an evaluator that tries every assignment: it knows steps, windows and items as plan.lua
-- defines them, but gets them from the way the condition was written, not from the plan.
local traces = require("spec.lua.traces")
local plan = require("fluo.plan")

local NAMES = { "a", "b", "c" }
local METHODS = { over = "GT", at_least = "GE", under = "LT", at_most = "LE", exactly = "EQ" }
local METHOD_NAMES = { "over", "at_least", "under", "at_most", "exactly" }

local function pick(list) return list[math.random(#list)] end

-- A way to write a chain, and what it asks for:
--   steps { name, anchor = true | nil }, windows { from, to, ns }, items { name, compare, n, step, ns, counted }
local function followed(trace, shape)
  local c
  for i = 1, math.random(2, 4) do
    local name = pick(NAMES)
    shape.steps[i] = { name = name }
    c = c and c:followed_by { name = name } or trace.has { name = name }
    if i > 1 and math.random(3) == 1 then
      local ns = math.random(1, 6)
      c = c:within(ns .. "ns")
      shape.windows[#shape.windows + 1] = { from = 1, to = i, ns = ns }
    end
  end
  return c
end

local function nested(trace, shape)
  local names, inner, outer = { pick(NAMES), pick(NAMES), pick(NAMES) }, math.random(1, 4), math.random(1, 7)
  for i, name in ipairs(names) do shape.steps[i] = { name = name } end
  shape.windows = { { from = 2, to = 3, ns = inner }, { from = 1, to = 3, ns = outer } }
  local tail = trace.has { name = names[2] }:followed_by { name = names[3] }:within(inner .. "ns")
  return trace.has { name = names[1] }:followed_by(tail):within(outer .. "ns")
end

local function written(trace, shape, ns)
  local kind, name = math.random(4), pick(NAMES)
  if kind <= 2 then
    shape.steps[#shape.steps + 1] = { name = name }
    return trace.has { name = name }
  elseif kind == 3 then
    shape.items[#shape.items + 1] = { name = name, compare = "EQ", n = 0, ns = ns }
    return math.random(2) == 1 and trace.missing { name = name } or -trace.has { name = name }
  end
  local way, n = pick(METHOD_NAMES), math.random(1, 3)
  shape.items[#shape.items + 1] = { name = name, compare = METHODS[way], n = n, ns = ns, counted = true }
  if #shape.steps == 0 and not plan.holds(0, METHODS[way], n) then shape.leading = name end
  return trace.count { name = name }[way](trace.count { name = name }, n)
end

local function plain_and(trace, shape)
  local ns = math.random(1, 6)
  shape.steps[1] = { name = pick(NAMES) }
  local first = trace.has { name = shape.steps[1].name }
  local parts, leads = {}, math.random(2) == 1
  if leads then shape.steps[1] = nil end
  for i = 1, math.random(1, 3) do parts[i] = written(trace, shape, ns) end
  if leads then
    -- Something with a start has to be there.
    parts[#parts + 1] = trace.has { name = "c" }
    shape.steps[#shape.steps + 1] = { name = "c" }
    first = table.remove(parts, 1)
  end
  if #parts == 0 then return nil end
  if shape.leading then table.insert(shape.steps, 1, { name = shape.leading, anchor = true }) end
  shape.windows[1] = { from = 1, to = #shape.steps, ns = ns }
  local c = first:and_(unpack(parts)):within(ns .. "ns")
  if math.random(3) == 1 then
    shape.steps[#shape.steps + 1] = { name = "a" }
    c = c:followed_by { name = "a" }
  end
  return c
end

local function random_spans()
  local spans = {}
  for i = 1, math.random(0, 8) do
    spans[i] = { pick(NAMES), math.random(0, 7), id = ("%04d%04d"):format(math.random(9999), i) }
  end
  return spans
end

local function in_order(spans)
  local order = {}
  for i = 1, #spans do order[i] = i end
  table.sort(order, function(x, y)
    if spans[x][2] ~= spans[y][2] then return spans[x][2] < spans[y][2] end
    return spans[x].id < spans[y].id
  end)
  return order
end

local function counted(spans, order, item, t0)
  local list = {}
  for _, i in ipairs(order) do
    local at = spans[i][2]
    if spans[i][1] == item.name and at >= t0 and at < t0 + item.ns then list[#list + 1] = i end
  end
  return list
end

local function valid(spans, order, shape, chosen)
  for k = 2, #chosen do
    if spans[chosen[k]][2] <= spans[chosen[k - 1]][2] then return false end
  end
  for _, w in ipairs(shape.windows) do
    if spans[chosen[w.to]][2] - spans[chosen[w.from]][2] >= w.ns then return false end
  end
  for _, item in ipairs(shape.items) do
    if not plan.holds(#counted(spans, order, item, spans[chosen[1]][2]), item.compare, item.n) then return false end
  end
  return true
end

-- The first valid assignment in lexicographic order.
local function try(spans, order, shape, chosen)
  local k = #chosen + 1
  if k > #shape.steps then return valid(spans, order, shape, chosen) end
  for _, i in ipairs(order) do
    if spans[i][1] == shape.steps[k].name then
      chosen[k] = i
      if try(spans, order, shape, chosen) then return true end
      chosen[k] = nil
    end
  end
  return false
end

local function brute(spans, shape)
  local order, chosen, taken = in_order(spans), {}, {}
  if not try(spans, order, shape, chosen) then return false, {} end
  for k, i in ipairs(chosen) do
    if not shape.steps[k].anchor then taken[i] = true end
  end
  for _, item in ipairs(shape.items) do
    for _, i in ipairs(counted(spans, order, item, spans[chosen[1]][2])) do taken[i] = true end
  end
  local witnesses = {}
  for _, i in ipairs(order) do
    if taken[i] then witnesses[#witnesses + 1] = i - 1 end
  end
  return true, witnesses
end

local function compare(make, rounds)
  local held = 0
  for round = 1, rounds do
    math.randomseed(round)
    local shape = { steps = {}, windows = {}, items = {} }
    local c = make(traces.shared(), shape)
    for _ = 1, c and 4 or 0 do
      local spans = random_spans()
      local expected, witnesses = brute(spans, shape)
      local truth, result = traces.judge(c, spans)
      assert.equal(expected, truth, "round " .. round)
      if truth then assert.same(witnesses, result.witnesses, "round " .. round) end
      held = held + (expected and 1 or 0)
    end
  end
  assert.is_true(held > 100, "too few hold to prove anything: " .. held)
end

describe("a chain agrees with trying every assignment", function()
  it("of steps with a `within` over any prefix", function() compare(followed, 1500) end)
  it("with a `within` of its own in the tail", function() compare(nested, 1500) end)
  it("of an `and` with absent and counted spans", function() compare(plain_and, 3000) end)
end)

describe("a long chain", function()
  it("over 10,000 hits is found by moving forward only", function()
    -- Every a but the last is too far from its b.
    local spans = {}
    for i = 1, 5000 do
      spans[2 * i - 1] = { "a", i * 100, id = ("%08d"):format(2 * i) }
      spans[2 * i] = { "b", i * 100 + (i == 5000 and 1 or 50), id = ("%08d"):format(2 * i + 1) }
    end
    local c = traces.trace.has { name = "a" }:followed_by { name = "b" }:within "50ns"
    local truth, result = traces.judge(c, spans)
    assert.is_true(truth)
    assert.same({ 9998, 9999 }, result.witnesses)
  end)
end)
