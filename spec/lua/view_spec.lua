local support = require("spec.support")
support.core("arena")
local spans = require("spec.spans")
local view = require("fluo.view")

describe("the view of a trace", function()
  local arena

  local function open(j)
    arena = spans.plain()
    view.attach(arena.base)
    arena.job_head = arena:job(j)
    return view.open(arena.job_head)
  end

  it("has every span of every extent, by order of arrival", function()
    local all = {}
    for i = 1, 100 do all[i] = { id = i, start = 1000 + i } end
    local seen = open { spans = all }
    assert.equal(100, seen.n)
    for i = 1, 100 do
      assert.equal(spans.id(i), seen.id(i - 1))
      assert.equal(i - 1, seen.start(i - 1) - seen.start(0))
    end
  end)

  it("has times that are exact to the nanosecond, at any size", function()
    local base = 2ULL ^ 60
    local far = base + 2ULL ^ 55 + 1
    local all = { { start = base + 1, end_ = base + 3 }, { start = base }, { start = 0 }, { start = far } }
    local seen = open { spans = all }
    assert.equal(-1, seen.start(1) - seen.start(0))
    assert.equal(2, seen.end_(0) - seen.start(0))
    assert.is_true(seen.start(2) < seen.start(1))
    assert.equal(2LL ^ 55, seen.start(3) - seen.start(0))
    assert.is_true(seen.start(0) + 2 ^ 55 == seen.start(3))
  end)

  it("takes the start for the end of a span that ends before it starts", function()
    local seen = open { spans = { { start = 50, end_ = 0, skewed = true } } }
    assert.is_true(seen.end_(0) == seen.start(0))
    assert.equal(50ULL, view.latest_end({}))
  end)

  it("has parents, nil for a root, which may name itself", function()
    local seen = open { spans = { { id = 1 }, { id = 2, parent = 1 }, { id = 3, parent = 3 } } }
    assert.same({ nil, spans.id(1), nil }, { seen.parent(0), seen.parent(1), seen.parent(2) })
  end)

  it("says how the trace is judged", function()
    local seen = open { spans = { {} }, closing = true, startup = true }
    assert.same({ true, false, true }, { seen.closing, seen.cut, seen.startup })
    seen = open { spans = { {} }, cut = true }
    assert.same({ false, true, false }, { seen.closing, seen.cut, seen.startup })
  end)

  it("has the hits of each pattern by start, then by id, unknown ones apart", function()
    local all = { { id = 9, start = 5 }, { id = 3, start = 5 }, { id = 1, start = 4 }, { id = 2, start = 9 } }
    local seen = open { spans = all,
      hits = { { 7, 0 }, { 3, 3 }, { 7, 1 }, { 7, 2 }, { 7, 3, unknown = true } } }
    assert.same({ 2, 1, 0 }, seen.hits(7))
    assert.same({ 3 }, seen.hits(3))
    assert.same({}, seen.hits(4))
    assert.same({ 1, 0 }, { seen.unknown(7), seen.unknown(3) })
  end)

  it("has no hit of the job before", function()
    local seen = open { spans = { { id = 1 }, { id = 2 } }, hits = { { 7, 0 }, { 7, 1 }, { 3, 1, unknown = true } } }
    assert.same({ { 0, 1 }, 1 }, { seen.hits(7), seen.unknown(3) })
    seen = open { spans = { { id = 1 } } }
    assert.same({ {}, 0 }, { seen.hits(7), seen.unknown(3) })
  end)

  it("looks no further than the counts of the job", function()
    local seen = open { spans = { { id = 1 }, { id = 2 } }, hits = { { 1, 0 }, { 1, 1 } } }
    arena.job_head.hits_count = 1
    seen = view.open(arena.job_head) or seen
    assert.same({ 0 }, seen.hits(1))
  end)

  it("sorts any order as a plain sort does", function()
    math.randomseed(7)
    for n = 1, 60 do
      local all, hits, expected = {}, {}, {}
      for i = 1, n do
        all[i], hits[i] = { id = i, start = math.random(1, 10) }, { 0, i - 1 }
        expected[i] = i - 1
      end
      table.sort(expected, function(a, b)
        local x, y = all[a + 1], all[b + 1]
        if x.start ~= y.start then return x.start < y.start end
        return x.id < y.id
      end)
      assert.same(expected, open({ spans = all, hits = hits }).hits(0))
    end
  end)

  it("knows the latest end of some spans, and of all", function()
    open { spans = { { start = 1, end_ = 10 }, { start = 1, end_ = 2ULL ^ 63 + 5 }, { start = 1, end_ = 30 } } }
    assert.equal(30ULL, view.latest_end({ 0, 2 }))
    assert.equal(2ULL ^ 63 + 5, view.latest_end({}))
  end)
end)
