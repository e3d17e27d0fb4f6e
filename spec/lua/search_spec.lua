local candidates = require("fluo.candidates")
local search = require("fluo.search")
local traces = require("spec.lua.traces")
local has, missing, count = traces.trace.has, traces.trace.missing, traces.trace.count

local A, B, C = { name = "a" }, { name = "b" }, { name = "c" }
local ANY = { any_order = true }
local function op(name, n, high) return { op = name, n = n, high = high } end

-- n spans, each of name(i) from start(i) for `dur`.
local function many(n, name, start, dur)
  local spans = {}
  for i = 1, n do spans[i] = { name(i), start(i), dur = dur } end
  return spans
end
local function in_turn(...)
  local names = { ... }
  return function(i) return names[i % #names + 1] end
end

describe("the candidates of a step", function()
  it("give the next that starts in an interval, outside of a hole, ends late enough and is another span", function()
    math.randomseed(7)
    for _ = 1, 2000 do
      local starts, ends, list, t = {}, {}, {}, 0
      for i = 1, math.random(0, 40) do
        t = t + math.random(0, 3)
        starts[i], ends[i], list[i] = t, t + math.random(0, 20), 100 + i
      end
      local view = { start = function(span) return starts[span - 100] end, end_ = function(span) return ends[span - 100] end }
      local step, from = candidates.of(view, list), math.random(1, #list + 1)
      local function maybe(n) return math.random(2) == 1 and n or nil end
      local bounds = { low = maybe(math.random(0, 60)), high = maybe(math.random(0, 60)), other = 100 + math.random(40),
                       ends_after = maybe(math.random(0, 60)), hole_low = maybe(math.random(0, 60)) }
      bounds.hole_high = bounds.hole_low and bounds.hole_low + math.random(0, 9)
      local expected
      for i = #list, from, -1 do
        local s = starts[i]
        local fits = (not bounds.low or s >= bounds.low) and (not bounds.high or s <= bounds.high)
                     and (not bounds.ends_after or ends[i] > bounds.ends_after) and list[i] ~= bounds.other
                     and not (bounds.hole_low and s >= bounds.hole_low and s <= bounds.hole_high)
        if fits then expected = i end
      end
      assert.equal(expected, candidates.next_fit(step, from, bounds))
    end
  end)

  it("add times exactly, wherever a double would not", function()
    assert.equal(5, candidates.plus(2, 3LL))
    assert.equal(2LL ^ 53 + 1, candidates.plus(2 ^ 53 - 1, 2))
    assert.equal(2LL ^ 60 - 7, candidates.plus(2LL ^ 60, -7))
    assert.equal(2LL ^ 62, candidates.plus(2LL ^ 62, 2LL ^ 62))
    assert.equal(-(2LL ^ 62), candidates.plus(-(2LL ^ 62), -(2LL ^ 62)))
  end)
end)

describe("a search over 60,000 spans is not given up", function()
  local N = 60000
  local function step(width) return function(i) return i * width end end
  local apart, near = many(N, in_turn("a", "b"), step(10), 5), many(N, in_turn("a", "b", "c"), step(1), 5)
  for _, line in ipairs {
    { "where no gap is long enough", has(A):gap(B, op("GT", 10 * N)), apart, false },
    { "where only the last is", has(A):gap(B, op("EQ", 10 * N - 35, 10 * N)), apart, true },
    { "where none overlap", has(A):overlaps(B), apart, false },
    { "where a span overlaps only itself", has(A):overlaps(A), apart, false },
    { "where nothing follows the pair", has(A):gap(B, op("GT", 0)):followed_by(C), apart, false },
    { "where no window holds the gap", has(A):gap(B, op("GT", 50)):within "20ns", apart, false },
    { "where no window holds all three", (has(A) * has(B) * has(C)):within("2ns", ANY), near, false },
    { "where each window holds what must be missing", (has(A) * has(B) * missing(C)):within("50ns", ANY), near, false },
    { "where no window holds as many", (has(A) * count(B):over(60)):within("50ns", ANY), near, false },
  } do
    it(line[1], function() assert.equal(line[4], traces.truth(line[2], line[3])) end)
  end
end)

describe("a search that is given up", function()
  local work_max = search.WORK_MAX
  before_each(function() search.WORK_MAX = 20 end)
  after_each(function() search.WORK_MAX = work_max end)
  local spans = many(60, in_turn("a", "b", "c"), function(i) return i end, 5)
  local c = (has(A):overlaps(B) * has(C):overlaps(A)):within("90ns", ANY):followed_by { name = "d" }

  it("has proved nothing: the answer is unknown, and so is its opposite", function()
    spans[#spans + 1] = { "d", 30, dur = 1 }
    local late = (has(A):overlaps(B) * has(C):overlaps(A)):within("90ns", ANY):gap({ name = "d" }, op("LT", -1000))
    search.WORK_MAX = work_max
    assert.is_false(traces.truth(late, spans))
    assert.is_true(traces.truth(c, spans))
    search.WORK_MAX = 20
    assert.equal("unknown", traces.truth(c, spans))
    assert.equal("unknown", traces.truth(-c, spans))
    assert.equal("unknown", traces.truth(c * has(A), spans))
    assert.is_true(traces.truth(c + has(A), spans))
  end)
end)
