-- What a function sees of a trace that lies in an arena. What it sees of whole traces, sent as they are, stands in
-- spec/agent/rules_functions_spec.lua.
local support = require("spec.support")
support.core("arena")
local filter = require("fluo.filter")
local operand = require("fluo.operand").api()
local query = require("fluo.query")
local spans = require("spec.spans")
local trace = require("fluo.trace")
local view = require("fluo.view")

local arena, job

local function open(list)
  arena = spans.plain()
  view.attach(arena.base, query.satisfies)
  trace.attach(arena.base, { renamed = true })
  filter.attach(arena.base, { renamed = true })
  job = arena:job { spans = list, closing = true }
  return view.open(job)
end

-- The truth of a function of the trace of these spans, or nil and why.
local function satisfies(list, fn) return open(list).satisfies(fn) end

describe("a function of a trace", function()
  it("has true, false, or no answer and why", function()
    assert.is_true(satisfies({ {} }, function(t) return t end))
    assert.is_false(satisfies({ {} }, function() end))
    assert.same({ nil, "boom" }, { satisfies({ {} }, function() error("boom", 0) end) })
    assert.same({ nil, "threw a table" }, { satisfies({ {} }, function() error({}) end) })
    assert.same({ nil, "threw a nil" }, { satisfies({ {} }, function() error() end) })
  end)

  it("has no answer once it looked into a payload that was given back, whatever it makes of the error", function()
    local shed = { { id = 1, name = "a" }, { id = 2, name = "b", parent = 1, shed = true, attributes = { n = 1 } } }
    for what, look in pairs {
      attributes = function(t) return t:all(function() return true end)[2].attributes end,
      pattern = function(t) return t:count { n = 1 } end,
      events = function(t) return t.root:children()[1].events end,
    } do
      local truth, why = satisfies(shed, function(t) pcall(look, t) return true end)
      assert.is_nil(truth)
      assert.truthy(why:find("given back under memory pressure", 1, true), what)
    end
    assert.is_true(satisfies(shed, function(t) return t.root:children()[1].name == "b" and t.duration >= 0 end))
  end)

  it("has times that are exact, however far spans lie apart", function()
    local far = 2ULL ^ 60
    local list = { { id = 1, start = far, end_ = far + 1500000 }, { id = 2, parent = 1, start = far + 1,
      end_ = far + 500001 },
      { id = 3, start = 5 } }
    assert.is_true(satisfies(list, function(t)
      local root = t:all({})[2]
      return root:self_time() == 1 and root.start == 2LL ^ 60 and t.duration > 1e9 and #t:critical_path() == 1
    end))
  end)

  it("sees a span that ends before it starts as one of no length", function()
    local list = { { id = 1, start = 100, end_ = 50, skewed = true }, { id = 2, parent = 1, start = 100, end_ = 1000100 } }
    assert.is_true(satisfies(list, function(t) return t.root:self_time() == 0 and t.root.duration == 0
      and t.duration == 1 end))
  end)

  it("shares nothing with the next but what is found out about the trace", function()
    local seen, kept = open { { id = 1 }, { id = 2, parent = 1 } }, {}
    assert.is_true(seen.satisfies(function(t)
      kept.t, kept.all, kept.next = t, t:all {}, t:spans()
      kept.all[1] = nil
      return #t:all {} == 2
    end))
    assert.is_true(seen.satisfies(function(t)
      local stale = not pcall(function() return kept.t.root end) and not pcall(kept.next)
        and not pcall(function() return kept.all[2].name end)
      return stale and kept.t ~= t and #t:all {} == 2
    end))
    assert.is_false(pcall(function() return kept.t.root end))
  end)

  it("has an error for more patterns at once than a worker has room for, and goes on when they are let go", function()
    local truth = satisfies({ {} }, function(t)
      local function nest(n) return t:count { where = function() return n > 400 or nest(n + 1) end } end
      local good, why = pcall(nest, 1)
      assert(not good and why:find("more patterns at once", 1, true), why)
      return t:count { where = function() return true end } == 1
    end)
    assert.is_true(truth)
  end)

  it("leaves nothing of the trace in the heap once the job is done", function()
    local list = {}
    for i = 1, 3000 do list[i] = { id = ("%08d"):format(i), parent = i > 1 and ("%08d"):format(i - 1) or nil, start = i } end
    arena = spans.plain(4194304)
    view.attach(arena.base, query.satisfies)
    trace.attach(arena.base, {})
    job = arena:job { spans = list, closing = true }
    local function used()
      collectgarbage()
      collectgarbage()
      return collectgarbage("count")
    end
    local function ask()
      local size = 0
      assert(view.open(job).satisfies(function(t)
        local all = t.root:descendants()
        size = used()
        return #all == 2999
      end))
      view.close()
      return size
    end
    jit.off()                                    -- what a compiled loop takes is no part of the trace
    jit.flush()
    ask()
    local before = used()
    local during = ask()
    local after = used()
    jit.on()
    assert.is_true(during - before > 300)
    assert.is_true(after - before < 1)
  end)

  it("relates spans as plain definitions do, in random trees with orphans and rings", function()
    math.randomseed(11)
    for _ = 1, 200 do
      local list, n = {}, math.random(1, 12)
      for i = 1, n do
        local at = math.random(0, 20)
        list[i] = { id = ("%08d"):format(i), name = tostring(i), parent = math.random() < 0.8
          and ("%08d"):format(math.random(1, n + 1)) or nil,
          start = 1000 + at, end_ = 1000 + at + math.random(0, 15) }
      end
      local seen = open(list)
      local truth, why = seen.satisfies(function(t)
        local all, below = t:all {}, 0
        for i = 2, #all do assert(all[i - 1].start <= all[i].start) end
        for _, span in ipairs(all) do
          local covered, up = 0, span.parent
          for ns = tonumber(span.start), tonumber(span.end_) - 1 do
            local busy = false
            for _, child in ipairs(span:children()) do
              assert(child.parent == span)
              busy = busy or (child.start <= ns and ns < child.end_)
            end
            covered = covered + (busy and 1 or 0)
          end
          assert(math.abs(span:self_time() * 1e6 - (tonumber(span.end_ - span.start) - covered)) < 1e-6, "self_time")
          local height = 0
          while up do height, up = height + 1, up.parent end
          assert(#span:ancestors() == height, "ancestors")
          below = below + #span:descendants() - height
          for _, sibling in ipairs(span:siblings()) do assert(sibling.parent_id == span.parent_id and sibling ~= span) end
        end
        return below == 0
      end)
      assert.is_true(truth, why)
    end
  end)

  it("takes patterns of every operand", function()
    local list = { { id = 1, name = "GET /", attributes = { n = 5, s = "abc" } } }
    for text, expected in pairs {
      ["{ n = gt(4) }"] = 1, ["{ n = between(1, 4) }"] = 0, ["{ s = one_of { 'abc', 'x' } }"] = 1,
        ["{ s = matches 'a.c' }"] = 1,
      ["{ s = glob 'a*d' }"] = 0, ["any_of { { n = 6 }, { s = prefix 'a' } }"] = 1, ["not_ { s = exists }"] = 0,
        ["{ gone = missing }"] = 1,
      ["{}"] = 1, ["{ event = missing }"] = 1, ["{ s = function(v) return v == 'abc' end }"] = 1,
    } do
      local p = setfenv(assert(loadstring("return " .. text)), operand)()
      local count
      assert(satisfies(list, function(t) count = t:count(p) return true end))
      assert.equal(expected, count, text)
    end
  end)
end)
