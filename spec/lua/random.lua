--- Random conditions and traces. A condition is a tree { kind, … }; M.build says it in the words of a rule file.
local M = {}

M.NAMES = { "a", "b", "c" }
local RELATIONS = { "child", "parent", "descendant", "ancestor", "sibling" }
local SCOPES = { "below", "span", "trace" }
local OPS = { "GT", "GE", "LT", "LE", "EQ", "NE" }
local METHODS = { over = "GT", at_least = "GE", under = "LT", at_most = "LE", exactly = "EQ" }
local METHOD_NAMES = { "over", "at_least", "under", "at_most", "exactly" }

local function pick(list) return list[math.random(#list)] end

-- ---- random conditions ---------------------------------------------------------------------------

local function random_spans(depth)
  local dice = depth > 0 and math.random(8) or 1
  if dice <= 3 then return { kind = "has", name = pick(M.NAMES) } end
  local one, other = random_spans(depth - 1), random_spans(depth - 1)
  if dice == 4 then return { kind = "any", one, other } end
  if dice == 5 then return { kind = "where", one, other, scope = pick(SCOPES) } end
  return { kind = "relation", one, other, form = pick { "is", "no", "without" }, relation = pick(RELATIONS) }
end

local function random_count(spans)
  local way = pick(METHOD_NAMES)
  return { kind = "count", spans, way = way, op = METHODS[way], n = math.random(1, 3) }
end

local random_chain

local function random_link(depth)
  if depth > 0 and math.random(3) == 1 then return random_chain(depth - 1) end
  return random_spans(depth > 0 and math.random(4) == 1 and 1 or 0)
end

local function random_and(depth)
  local list = { kind = "and", random_link(depth) }
  for i = 2, math.random(2, 3) do
    local dice = math.random(6)
    list[i] = dice == 1 and { kind = "missing", random_spans(0) } or dice == 2 and random_count(random_spans(0))
              or random_link(depth)
  end
  if math.random(4) == 1 then table.insert(list, 1, random_count(random_spans(0))) end
  return list
end

function random_chain(depth)
  local dice, ns = math.random(7), math.random(1, 6)
  if dice == 1 then return { kind = "within", random_and(depth), ns = ns, any = math.random(2) == 1 } end
  local left, one = random_link(depth), random_spans(math.random(3) == 1 and 1 or 0)
  if dice == 2 then return { kind = "followed", left, random_link(depth) } end
  local low = math.random(-4, 4)
  local chain = dice <= 4 and { kind = "gap", left, one, op = pick(OPS), n = low,
                                high = math.random(3) == 1 and low + math.random(0, 2) or nil }
                or dice == 5 and { kind = "overlaps", left, one } or { kind = "unfollowed", left, one }
  if chain.high then chain.op = "EQ" end
  if math.random(3) == 1 then return { kind = "within", chain, ns = ns } end
  return chain
end

--- A random condition: of spans, a chain, a count, or several of them joined.
function M.condition(depth)
  local dice = math.random(9)
  if depth == 0 or dice <= 2 then return random_spans(2) end
  if dice <= 5 then return random_chain(1) end
  if dice == 6 then return random_count(random_spans(1)) end
  if dice == 7 then return { kind = "not", M.condition(depth - 1) } end
  return { kind = dice == 8 and "and" or "or", M.condition(depth - 1), M.condition(depth - 1) }
end

-- ---- in the words of a rule file -----------------------------------------------------------------

local function say_relation(api, c)
  local name = c.form == "is" and c.relation or c.form .. "_" .. c.relation
  local left = M.build(api, c[1])
  return left[name](left, M.build(api, c[2]))
end

local function two(method)
  return function(api, c)
    local left = M.build(api, c[1])
    return left[method](left, M.build(api, c[2]))
  end
end

local SAY = {
  has = function(api, c) return api.has { name = c.name } end,
  missing = function(api, c) return api.missing { name = c[1].name } end,
  any = function(api, c) return M.build(api, c[1]) + M.build(api, c[2]) end,
  where = function(api, c)
    return api.where(M.build(api, c[1]), c.scope ~= "below" and { scope = c.scope } or nil):has(M.build(api, c[2]))
  end,
  relation = say_relation,
  count = function(api, c)
    local count = api.count(M.build(api, c[1]))
    return count[c.way](count, c.n)
  end,
  followed = two "followed_by", unfollowed = two "not_followed_by", overlaps = two "overlaps",
  gap = function(api, c)
    return M.build(api, c[1]):gap(M.build(api, c[2]), { op = c.high and "BETWEEN" or c.op, n = c.n, high = c.high })
  end,
  within = function(api, c)
    return M.build(api, c[1]):within(c.ns .. "ns", c.any and { any_order = true } or nil)
  end,
  ["not"] = function(api, c) return -M.build(api, c[1]) end,
}
SAY["and"] = function(api, c)
  local parts = {}
  for i, part in ipairs(c) do parts[i] = M.build(api, part) end
  return parts[1]:and_(unpack(parts, 2))
end
SAY["or"] = function(api, c) return M.build(api, c[1]):or_(M.build(api, c[2])) end

function M.build(api, c) return SAY[c.kind](api, c) end

-- ---- random traces -------------------------------------------------------------------------------

--- Spans for traces.view, of random names, starts and parents: roots, orphans of one missing parent, cycles.
function M.spans()
  local spans = {}
  for i = 1, math.random(0, 7) do
    local dice = math.random(8)
    spans[i] = { pick(M.NAMES), math.random(0, 7), dur = math.random(0, 4), id = ("%04d%04d"):format(math.random(9999), i),
                 orphan = dice == 1 or nil, parent = dice > 2 and math.random(3) > 1 and i > 1 and math.random(i - 1) - 1
                 or dice > 6 and math.random(0, 6) or nil }
  end
  for _, span in ipairs(spans) do
    if span.parent and span.parent >= #spans then span.parent = nil end
  end
  return spans
end

-- ---- for messages --------------------------------------------------------------------------------

function M.text(c)
  if type(c) ~= "table" then return tostring(c) end
  local parts = { c.name or c.kind }
  for _, key in ipairs { "form", "relation", "scope", "op", "n", "high", "ns", "any" } do
    if c[key] ~= nil then parts[#parts + 1] = key .. "=" .. tostring(c[key]) end
  end
  for _, part in ipairs(c) do parts[#parts + 1] = M.text(part) end
  return "(" .. table.concat(parts, " ") .. ")"
end

function M.trace(spans)
  local lines = {}
  for i, s in ipairs(spans) do
    lines[i] = ("%d: %s@%d+%d %s%s id %s"):format(i - 1, s[1], s[2], s.dur, s.orphan and "orphan" or "",
                                                   s.parent and "<" .. s.parent or "", s.id)
  end
  return table.concat(lines, "\n")
end

return M
