-- The judge against one that tries everything (brute.lua), on random conditions and traces.
local brute = require("spec.lua.brute")
local random = require("spec.lua.random")
local traces = require("spec.lua.traces")

local ROUNDS, TRACES = tonumber(os.getenv("FLUO_ROUNDS")) or 4000, 4

local function random_options()
  local dice = math.random(6)
  return { closing = dice ~= 1, cut = dice == 2 or nil,
           unknown = dice == 3 and { [random.NAMES[math.random(3)]] = 1 } or nil }
end

local function said(truth, witnesses) return { truth == nil and "unknown" or truth, truth and witnesses or {} } end

local function compare(make, rounds)
  local seen = { [true] = 0, [false] = 0, unknown = 0 }
  for round = 1, rounds do
    math.randomseed(round)
    local c = make()
    local built = random.build(traces.shared(), c)
    for _ = 1, TRACES do
      local spans, options = random.spans(), random_options()
      local expected = said(brute.judge(c, spans, options))
      local truth, result = traces.judge(built, spans, options)
      local where = ("round %d: %s\n%s"):format(round, random.text(c), random.trace(spans))
      assert.same(expected, said(truth, result and result.witnesses), where)
      seen[expected[1]] = seen[expected[1]] + 1
    end
  end
  for truth, count in pairs(seen) do
    assert.is_true(count > rounds / 50, ("too few are %s to prove anything: %d"):format(tostring(truth), count))
  end
end

describe("the judge agrees with trying everything", function()
  it("on sets of spans and their absence", function() compare(function() return random.condition(0) end, ROUNDS) end)
  it("on chains, counts and all that joins them", function() compare(function() return random.condition(2) end, ROUNDS) end)
end)

describe("the order of arrival", function()
  it("changes neither the truth nor the witnesses", function()
    for round = 1, ROUNDS / 8 do
      math.randomseed(round)
      local c, spans, options = random.condition(2), random.spans(), random_options()
      local built = random.build(traces.shared(), c)
      local function judged(list)
        local truth, result = traces.judge(built, list, options)
        local ids = {}
        for i, at in ipairs(result and result.witnesses or {}) do ids[i] = list[at + 1].id end
        return said(truth, ids)
      end
      local expected, shuffled, place = judged(spans), {}, {}
      for i, span in ipairs(spans) do table.insert(shuffled, math.random(i), span) end
      for i, span in ipairs(shuffled) do place[span] = i - 1 end
      local moved = {}
      for i, span in ipairs(shuffled) do
        moved[i] = setmetatable({ parent = span.parent and place[spans[span.parent + 1]] }, { __index = span })
      end
      assert.same(expected, judged(moved), ("round %d: %s"):format(round, random.text(c)))
    end
  end)
end)
