-- What people said of violations, and what that amounts to.
local core, ffi = require("spec.support").core("buffer", "err", "feedback", "heap", "limits", "state")

local WRONG, RIGHT, REVOKED = 0, 1, 2
local DAY = 86400 * 1000000000LL
local T0 = 1760356800LL * 1000000000LL
local MALFORMED, NOMEM = tonumber(ffi.C.FLUO_EMALFORMED), tonumber(ffi.C.FLUO_ENOMEM)
local GROUPS_MAX = 1000

jit.off()                                                  -- C calls back into Lua

local changes
local on_change = ffi.cast("void (*)(void *, const char *, uint32_t, const void *, uint32_t, uint32_t)", function(_, rule, bytes, key, n, widening)
  changes[#changes + 1] = { ffi.string(rule, bytes), ffi.string(key, n), widening }
end)

local function text(s) return ffi.new("struct text", s, #s) end
local function id(n) return ("%032x"):format(n) end
-- As group_add writes a key.
local function key(...)
  local parts = {}
  for i, s in ipairs { ... } do parts[i] = ffi.string(ffi.new("uint32_t[1]", #s), 4) .. s end
  return table.concat(parts)
end

describe("feedback", function()
  local f, live

  before_each(function()
    local out = ffi.new("struct feedback *[1]")
    live, changes = core.heap_live(), {}
    assert.equal(0, core.feedback_new(ffi.new("struct feedback_calls", { on_change = on_change }), out))
    f = out[0]
  end)
  after_each(function()
    core.heap_fail_from(0)
    core.feedback_free(f)
    assert.equal(live, core.heap_live())
  end)

  -- The widening, or nil and the error.
  local function take(violation, verdict, options)
    options = options or {}
    local widening = ffi.new("uint32_t[1]", 77)
    local rule, group = options.rule or "r", options.group or '{"service":"a"}'
    local err = core.feedback_take(f, ffi.new("struct feedback_mark", { violation = type(violation) == "number" and id(violation) or violation,
      rule = text(rule), group = text(group), verdict = verdict, at_ns = options.at or T0 }), widening)
    if err ~= 0 then return nil, err end
    return widening[0]
  end
  local function widening(rule, k) return core.feedback_widening(f, text(rule), k, #k) end
  local function json(rule)
    local b = ffi.new("struct buffer")
    core.buffer_init(b, 1048576)
    assert.equal(0, core.feedback_json(f, text(rule or ""), b))
    local s = ffi.string(b.data, b.len)
    core.buffer_deinit(b)
    return s
  end
  local function metric(name)
    local b = ffi.new("struct buffer")
    core.buffer_init(b, 1048576)
    core.feedback_write(f, b)
    local s = ffi.string(b.data, b.len)
    core.buffer_deinit(b)
    return tonumber(s:match("\n" .. name:gsub("%p", "%%%0") .. " (%S+)"))
  end

  it("widens a group by a step for each violation that was wrong, eight at the most", function()
    for n = 1, 12 do assert.equal(math.min(125 * n, 1000), take(n, WRONG)) end
    assert.equal(1000, widening("r", key("a")))
    assert.equal(0, widening("r", key("b")))
    assert.equal(0, widening("q", key("a")))
  end)

  it("takes a step back for one that was right, and never more than all", function()
    take(1, WRONG)
    take(2, WRONG)
    assert.equal(125, take(3, RIGHT))
    assert.equal(0, take(4, RIGHT))
    assert.equal("[]", json())
    assert.equal(125, take(5, WRONG))
  end)

  it("counts of each violation the last word alone", function()
    assert.equal(125, take(1, WRONG))
    assert.equal(125, take(1, WRONG))
    assert.equal(250, take(2, WRONG))
    assert.equal(0, take(2, RIGHT))
  end)

  it("forgets a group that is revoked, whatever was said of it", function()
    for n = 1, 5 do take(n, WRONG) end
    take(6, WRONG, { group = '{"service":"b"}' })
    assert.equal(0, take(1, REVOKED))
    assert.same({ 0, 125 }, { widening("r", key("a")), widening("r", key("b")) })
    assert.equal(125, take(7, WRONG))
  end)

  it("halves what was said in thirty days, and says so when time goes on", function()
    take(1, WRONG)
    take(2, WRONG)
    core.feedback_step(f, T0 + 30 * DAY)
    assert.equal(125, widening("r", key("a")))
    assert.same({ "r", key("a"), 125 }, changes[#changes])
    assert.equal(250, take(3, WRONG, { at = T0 + 30 * DAY }))
    core.feedback_step(f, T0 + 3000 * DAY)
    assert.same({ 0, "[]" }, { widening("r", key("a")), json() })
    assert.same({ "r", key("a"), 0 }, changes[#changes])
  end)

  it("looks at time again each hour, and not more often", function()
    for n = 1, 8 do take(n, WRONG) end
    core.feedback_step(f, T0)
    local before = #changes
    core.feedback_step(f, T0 + DAY / 24 - 1)
    assert.equal(before, #changes)
    core.feedback_step(f, T0 + DAY / 24)
    assert.same({ "r", key("a"), 999 }, changes[#changes])
  end)

  it("says each change of a group once, by the key that windows know", function()
    take(1, WRONG, { group = '{"service":"a\\"\\u00e9","http.route":"/x"}' })
    take(1, WRONG, { group = '{"service":"a\\"\\u00e9","http.route":"/x"}' })
    take(2, WRONG, { group = "{}", rule = "whole" })
    take(2, REVOKED, { group = "{}", rule = "whole" })
    assert.same({ { "r", key('a"é', "/x"), 125 }, { "whole", "", 125 }, { "whole", "", 0 } }, changes)
  end)

  it("lists what is widened, the last that was marked first", function()
    take(1, WRONG)
    take(2, WRONG, { at = T0 + 1 })
    take(3, RIGHT, { at = T0 + 2 })
    take(4, WRONG, { rule = 'q"', group = "{}", at = T0 + 3 })
    local a = '{"rule":"r","group":{"service":"a"},"widened":1.125,"wrong":2,"right":1,"marked_at":"2025-10-13T12:00:00.000000002Z"}'
    local q = '{"rule":"q\\"","group":{},"widened":1.125,"wrong":1,"right":0,"marked_at":"2025-10-13T12:00:00.000000003Z"}'
    assert.equal("[" .. q .. "," .. a .. "]", json())
    assert.equal("[" .. a .. "]", json("r"))
    assert.same({ 2, 1.125, 3, 1 }, { metric "fluo_feedback_widened_groups", metric "fluo_feedback_widest_factor",
      metric 'fluo_feedback_marks_total{verdict="wrong"}', metric 'fluo_feedback_marks_total{verdict="right"}' })
  end)

  it("lets the group go that was marked longest ago, past its bound, and says so", function()
    for n = 1, GROUPS_MAX do take(n, WRONG, { group = ('{"service":"%d"}'):format(n) }) end
    take(0, WRONG, { group = '{"service":"1"}' })
    take(0, WRONG, { group = '{"service":"new"}' })
    assert.same({ 250, 0, 125 }, { widening("r", key("1")), widening("r", key("2")), widening("r", key("new")) })
    assert.equal(1, metric "fluo_feedback_evicted_groups_total")
    assert.same({ "r", key("2"), 0 }, changes[#changes - 1])
  end)

  it("keeps within its bytes, whatever groups are called", function()
    for n = 1, 100 do take(n, WRONG, { group = ('{"service":"%d%s"}'):format(n, ("x"):rep(50000)) }) end
    assert.truthy(metric "fluo_feedback_widened_groups" < 42)
    assert.equal(100, metric "fluo_feedback_widened_groups" + metric "fluo_feedback_evicted_groups_total")
  end)

  for _, group in ipairs { "", "null", "[]", "{", '{"a"', '{"a":', '{"a":1}', '{"a":"x"', '{"a":"x",}', '{"a":"x"}}', '{"a":{}}' } do
    it("refuses a group like " .. group, function()
      assert.same({ nil, MALFORMED }, { take(1, WRONG, { group = group }) })
      assert.same({ 0, 1 }, { #changes, metric "fluo_feedback_refused_marks_total" })
    end)
  end

  it("refuses what is no violation's id, and no verdict", function()
    for _, violation in ipairs { "", "abc", id(1) .. "0" } do assert.same({ nil, MALFORMED }, { take(violation, WRONG) }) end
    assert.same({ nil, MALFORMED }, { take(1, 3) })
  end)

  it("takes a mark whole or not at all where there is no memory", function()
    take(1, WRONG, { group = '{"service":"kept"}' })
    for n = 1, 20 do
      core.heap_fail_from(n)
      local got, err = take(n + 1, WRONG)
      core.heap_fail_from(0)
      if got then break end
      assert.equal(NOMEM, err)
      assert.same({ 0, 125 }, { widening("r", key("a")), widening("r", key("kept")) })
    end
    assert.equal(125, widening("r", key("a")))
  end)

  -- The sentences of feedback.h, told another way.
  local function fold(marks, now)
    local steps, at = 0, 0
    for i = math.max(1, #marks - 15), #marks do
      local m = marks[i]
      if at ~= 0 then steps = steps * 2 ^ (-tonumber(m.at - at) / tonumber(30 * DAY)) end
      steps = math.max(0, math.min(8, steps + (m.right and -1 or 1)))
      at = m.at
    end
    if at ~= 0 then steps = steps * 2 ^ (-tonumber(now - at) / tonumber(30 * DAY)) end
    return math.floor(125 * steps + 0.5)
  end
  local function said(marks, violation, right, at)
    for i = #marks, 1, -1 do
      if marks[i].violation == violation then table.remove(marks, i) end
    end
    marks[#marks + 1] = { violation = violation, right = right, at = at }
    if #marks > 16 then table.remove(marks, 1) end
  end

  it("amounts to what a model says, on random streams of marks", function()
    for seed = 1, 20 do
      math.randomseed(seed)
      local groups, now = { {}, {}, {} }, T0 + seed * DAY
      for _ = 1, 300 do
        local g, violation, verdict = math.random(3), math.random(30), ({ WRONG, WRONG, WRONG, RIGHT, REVOKED })[math.random(60) == 1 and 5 or math.random(4)]
        now = now + math.random(100) * DAY / 25
        local before = fold(groups[g], now)
        if verdict == REVOKED then groups[g] = {}
        elseif #groups[g] > 0 or verdict == WRONG then said(groups[g], violation, verdict == RIGHT, now) end
        local after = fold(groups[g], now)
        if after == 0 then groups[g] = {} end
        assert.equal(after, take(violation, verdict, { group = ('{"g":"%d"}'):format(g), at = now, rule = "s" .. seed }),
          ("seed %d, %d before"):format(seed, before))
      end
    end
  end)
end)
