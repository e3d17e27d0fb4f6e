-- Which failure of a trace is the cause, and what it had an impact on.
local core, ffi = require("spec.support").core("heap", "err", "cause")

jit.off()                                                             -- C calls back into Lua

-- "a", "b<a", "c<b!": a name, its parent, a mark where it failed; "@n" its start.
local function spans_of(text)
  local list = {}
  for name, parent, fails, start in text:gmatch("(%w+)<?(%w*)(!?)@?(%d*)") do
    list[#list + 1] = { id = name, parent = parent, fails = fails == "!", start = tonumber(start) or 0 }
  end
  return list
end

local function array_of(list)
  local array = ffi.new("struct fluo_span[?]", math.max(#list, 1))
  for i, s in ipairs(list) do
    local span = array[i - 1]
    ffi.copy(span.span_id, s.id, math.min(#s.id, 8))
    ffi.copy(span.parent_id, s.parent, math.min(#s.parent, 8))
    span.start_ns, span.status = s.start, s.fails and ffi.C.FLUO_STATUS_ERROR or 0
    span.flags = (s.parent == "" or s.parent == s.id) and ffi.C.FLUO_SPAN_ROOT or 0
  end
  return array
end

local spans
local at = ffi.cast("const struct fluo_span *(*)(const void *, uint32_t)", function(_, i) return spans + i end)

local function find(list)
  local trace, out = ffi.new("struct cause_trace"), ffi.new("struct cause")
  spans = array_of(list)
  trace.span, trace.count, trace.key = at, #list, { 1, 2 }
  local found = core.cause_find(trace, out)
  if found ~= 1 then return found end
  local impact = {}
  for i = 0, out.impact_count - 1 do impact[i + 1] = list[out.impact[i] + 1].id end
  return { cause = list[out.span + 1].id, impact = impact, impact_total = out.impact_total, total = out.total }
end

-- "cause < impact … (total)"
local function said(text)
  local found = find(type(text) == "table" and text or spans_of(text))
  if found == 0 then return "none" end
  return table.concat({ found.cause, unpack(found.impact) }, " < ") .. " (" .. found.total .. ")"
end

local function shuffled(list)
  local out = {}
  for i, x in ipairs(list) do table.insert(out, math.random(i), x) end
  return out
end

-- The same by definition: each question asked of all spans.
local function plainly(list)
  local by_id, best, total = {}, nil, 0
  for _, s in ipairs(list) do by_id[s.id] = s end
  local function above(s)
    local up, p = {}, by_id[s.parent]
    while p do
      up[#up + 1] = p.id
      p = by_id[p.parent]
    end
    return up
  end
  local covered = {}
  for _, s in ipairs(list) do
    for _, id in ipairs(s.fails and above(s) or {}) do covered[id] = true end
  end
  for _, s in ipairs(list) do
    if s.fails and not covered[s.id] then
      total = total + 1
      local better = not best or #above(s) > #above(best)
      if best and #above(s) == #above(best) then
        better = s.start < best.start or (s.start == best.start and s.id < best.id)
      end
      if better then best = s end
    end
  end
  return best and table.concat({ best.id, unpack(above(best)) }, " < ") .. " (" .. total .. ")" or "none"
end

describe("the cause", function()
  it("is the deepest failure, and its ancestors are the impact, failed or not", function()
    assert.equal("none", said("a b<a"))
    assert.equal("a (1)", said("a! b<a"))
    assert.equal("c < b < a (1)", said("a! b<a c<b! d<a"))
  end)

  it("of several branches is the deepest that has no failure below it, and then the earliest by start and id", function()
    assert.equal("c < b < a (2)", said("a b<a! c<b! d<a!"))
    assert.equal("c < a (2)", said("a b<a!@2 c<a!@1"))
    assert.equal("b < a (2)", said("a c<a!@1 b<a!@1"))
    assert.equal("e < d < a (2)", said("a b<a! d<a e<d!"))
  end)

  it("knows an orphan's subtree as a tree of its own", function()
    assert.equal("y < x (2)", said("x<gone! y<x! a b<a!@9"))
    assert.equal("z < y < x (2)", said("x<gone y<x z<y! a b<a!"))
  end)

  it("is found in a cycle, which is cut at its earliest span", function()
    assert.equal("a < c < b (1)", said("a<c!@3 b<a@1 c<b@2"))
    assert.equal("d < a < c < b (1)", said("a<c!@3 b<a@1 c<b@2 d<a!"))
    assert.equal("a (1)", said("a<a!"))
  end)

  it("is the same in whatever order the spans came, and what a plain look at all spans says", function()
    math.randomseed(7)
    for _ = 1, 300 do
      local list, n = {}, math.random(24)
      for i = 1, n do
        local parent = i > 1 and math.random(8) > 1 and ("s%02d"):format(math.random(i - 1)) or ""
        if math.random(10) == 1 then parent = "gone" .. math.random(3) end
        list[i] = { id = ("s%02d"):format(i), parent = parent, fails = math.random(3) == 1, start = math.random(3) }
      end
      local wanted = plainly(list)
      for _ = 1, 3 do assert.equal(wanted, said(shuffled(list))) end
    end
  end)

  it("of 100,000 spans, one below the other, names the nearest 32 ancestors and counts them all", function()
    local list = {}
    for i = 1, 100000 do
      list[i] = { id = ("%08x"):format(i), parent = i > 1 and ("%08x"):format(i - 1) or "", fails = true, start = i }
    end
    local found = find(shuffled({ unpack(list, 1, 5000) }))
    assert.equal(("%08x"):format(5000), found.cause)
    found = find(list)
    assert.same({ ("%08x"):format(100000), 32, 99999, 1 }, { found.cause, #found.impact, found.impact_total, found.total })
  end)

  it("without memory is not known", function()
    local live = core.heap_live()
    core.heap_fail_from(1)
    assert.equal(core.FLUO_ENOMEM, find(spans_of("a b<a!")))
    core.heap_fail_from(0)
    assert.equal(live, core.heap_live())
  end)
end)
