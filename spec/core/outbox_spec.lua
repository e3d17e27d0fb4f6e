local support = require("spec.support")
local core, ffi = support.core("heap", "outbox")
jit.off()                                                             -- C calls back into Lua

local OK, RETRY, FAILED = 0, 1, 2
local S = 1000000000

local anchored

-- An outbox under a stepped clock. answers[receiver](delivery, now) gives result, retry_after, and how long it takes (s);
-- room: how many may be out at once.
local function world(answers, policies, room)
  local w = { now = 1000 * S, done = {}, dead = {}, attempts = {}, sent = {}, kept = {}, said = {}, out = 0, most = {} , flying = {} }
  local function policy(_, name, out)
    local p = (policies or {})[ffi.string(name)] or {}
    out.max_age_ns, out.fallback = (p.max_age or 86400) * S, p.fallback
  end
  local function send(_, d)
    if w.out >= (room or 32) then return false end
    local one = { number = tonumber(d.number), id = ffi.string(d.id), receiver = ffi.string(d.receiver),
                  alert = ffi.string(d.alert, d.bytes), attempts = d.attempts }
    local result, after, takes = answers[one.receiver](one, w.now / S)
    one.result, one.after, one.ends = result, after or 0, w.now + (takes or 0) * S
    w.out = w.out + 1
    w.flying[#w.flying + 1] = one
    w.sent[#w.sent + 1] = { one.receiver, one.id, w.now / S }
    w.at = w.at or {}
    w.at[one.receiver] = (w.at[one.receiver] or 0) + 1
    w.most[one.receiver] = math.max(w.most[one.receiver] or 0, w.at[one.receiver])
    return true
  end
  local function keep(_, d)
    w.kept[#w.kept + 1] = ffi.string(d.receiver) .. " " .. ffi.string(d.id)
    return 0
  end
  local function on_attempt(_, d, result, text, n)
    local id = ffi.string(d.receiver) .. " " .. ffi.string(d.id)
    w.attempts[id] = (w.attempts[id] or 0) + 1
    if result == RETRY and d.to_say > 0 then
      local receiver = ffi.string(d.receiver)
      w.said[receiver] = w.said[receiver] or {}
      table.insert(w.said[receiver], { d.to_say, w.now })
    end
    if result == OK then w.done[#w.done + 1] = id
    elseif result == FAILED then w.dead[id] = ffi.string(text, n) end
  end
  local calls, options = ffi.new("struct outbox_calls"), ffi.new("struct outbox_options")
  anchored = { ffi.cast("bool (*)(void *, const struct outbox_delivery *)", send),
    ffi.cast("uint64_t (*)(void *, const struct outbox_delivery *)", keep),
    ffi.cast("void (*)(void *, const struct outbox_delivery *, int, const char *, size_t)", on_attempt),
    ffi.cast("void (*)(void *, const char *, struct outbox_policy *)", policy), policies }
  calls.send, calls.keep, calls.on_attempt = anchored[1], anchored[2], ffi.cast("void *", anchored[3])
  options.policy, options.seed = anchored[4], 7
  local out = ffi.new("struct outbox *[1]")
  assert(core.outbox_new(options, calls, out) == 0)
  w.outbox = out[0]

  function w.add(receiver, id, row, order)
    local alert = "alert of " .. id
    local d = ffi.new("struct outbox_delivery", { id = id, receiver = receiver, alert = alert, bytes = #alert,
      created_ns = w.now, next_ns = w.now, order = order or 1 })
    return core.outbox_add(w.outbox, d, row or 0)
  end

  -- The end of the first attempt that is due, or the outbox's own timer; false: neither is left until then.
  function w.step(stop)
    local first
    for index, one in ipairs(w.flying) do
      if not first or one.ends < w.flying[first].ends then first = index end
    end
    local due = core.outbox_next_due(w.outbox)
    local due_at = due == 0xffffffffffffffffULL and math.huge or tonumber(due)
    if math.min(due_at, first and w.flying[first].ends or math.huge) > stop then return false end
    if first and w.flying[first].ends <= due_at then
      local one = table.remove(w.flying, first)
      w.now, w.out = math.max(w.now, one.ends), w.out - 1
      w.at[one.receiver] = w.at[one.receiver] - 1
      core.outbox_outcome(w.outbox, one.number, one.result, one.after, "why", 3, w.now)
    elseif due_at < math.huge then
      w.now = math.max(w.now, due_at)
      core.outbox_step(w.outbox, w.now)
    else
      return false
    end
    return true
  end

  function w.run(seconds)
    local stop = w.now + (seconds or 1e6) * S
    core.outbox_step(w.outbox, w.now)
    while w.now < stop and w.step(stop) do end
  end

  function w.stats()
    local s = ffi.new("struct outbox_stats")
    core.outbox_stats_get(w.outbox, s)
    return s
  end

  function w.close()
    core.outbox_free(w.outbox)
    for n = 1, 4 do anchored[n]:free() end
  end
  return w
end

local function always(result, takes, after) return function() return result, after, takes end end

describe("the outbox", function()
  local w
  after_each(function() if w then w.close() end w = nil end)

  it("sends what is on disk, and not before", function()
    w = world { a = always(OK) }
    w.add("a", "1", 5)
    w.add("a", "2", 6)
    w.run(1)
    assert.same({}, w.done)
    core.outbox_saved(w.outbox, 5, w.now)
    w.run(1)
    assert.same({ "a 1" }, w.done)
    core.outbox_saved(w.outbox, 9, w.now)
    w.run(1)
    assert.same({ "a 1", "a 2" }, w.done)
    assert.equal(0, tonumber(w.stats().bytes))
  end)

  it("takes a delivery once, whoever gives it again", function()
    w = world { a = always(OK) }
    w.add("a", "1")
    w.add("a", "1")
    w.run()
    assert.same({ "a 1" }, w.done)
  end)

  it("tries again later and later, within bounds, until the receiver has it", function()
    local times = {}
    w = world { a = function(_, now) times[#times + 1] = now return #times < 16 and RETRY or OK end }
    w.add("a", "1")
    w.run()
    assert.same({ "a 1" }, w.done)
    for i = 2, #times do
      local whole = math.min(2 ^ (i - 2), 300)
      local gap = times[i] - times[i - 1]
      assert.is_true(gap >= whole / 2 and gap <= whole + 1e-3, ("%d: %g of %g"):format(i, gap, whole))
    end
    assert.equal(16, w.attempts["a 1"])
  end)

  it("waits for as long as the receiver asks, an hour at most", function()
    local times = {}
    w = world { a = function(_, now) times[#times + 1] = now return #times < 3 and RETRY or OK, #times == 1 and 77 or 90000 end }
    w.add("a", "1")
    w.run()
    assert.same({ 77, 3600 }, { times[2] - times[1], times[3] - times[2] })
  end)

  it("lets a receiver that is down delay nobody else", function()
    w = world({ dead = always(RETRY, 60), good = always(OK, 0.1) }, nil, 8)
    for i = 1, 50 do
      w.add("dead", "d" .. i, 0, i)
      w.add("good", "g" .. i, 0, i)
    end
    w.run(100)
    assert.equal(50, #w.done)
    assert.is_true(w.most.dead <= 4)
    local last
    for _, sent in ipairs(w.sent) do last = sent[1] == "good" and sent[3] or last end
    assert.is_true(last - 1000 <= 50 * 0.1 / 4 + 0.2, last)
  end)

  it("leaves places to others where many receivers hang", function()
    local answers = { good = always(OK, 0.1) }
    for i = 1, 8 do answers["hung" .. i] = always(RETRY, 60) end
    w = world(answers)
    for i = 1, 20 do
      for k = 1, 8 do w.add("hung" .. k, ("h%d.%d"):format(k, i), 0, i) end
    end
    w.run(1)
    for i = 1, 20 do w.add("good", "g" .. i, 0, i) end
    w.run(2.5)
    assert.equal(20, #w.done)
  end)

  it("asks a receiver that failed with one delivery at a time, and all go once it answers", function()
    local up = false
    w = world { a = function() return up and OK or RETRY, 0, 1 end }
    for i = 1, 20 do w.add("a", tostring(i), 0, i) end
    w.run(30)
    w.most.a = 0
    w.run(600)
    assert.equal(1, w.most.a)
    up = true
    w.run()
    assert.equal(20, #w.done)
    assert.equal(4, w.most.a)
  end)

  it("keeps the order of what belongs together, and of all where the order is 0", function()
    local left = 3
    w = world { a = function(d) left = left - 1 return d.id == "1" and left > 0 and RETRY or OK, 0, 0.5 end }
    w.add("a", "1", 0, 7)
    w.add("a", "2", 0, 7)
    w.add("a", "3", 0, 0)
    w.add("a", "4", 0, 8)
    w.run()
    assert.same({ "a 1", "a 2", "a 3", "a 4" }, w.done)
  end)

  it("gives up what can never be delivered, and gives it to the fallback", function()
    w = world({ a = always(FAILED), b = always(OK) }, { a = { fallback = "b" } })
    w.add("a", "1")
    w.run()
    assert.same({ ["a 1"] = "why" }, w.dead)
    assert.same({ "b 1" }, w.done)
    assert.same({ "b 1" }, w.kept)
  end)

  it("gives the fallback what is late, once, and still tries", function()
    local up = false
    w = world({ a = function() return up and OK or RETRY end, b = always(OK) }, { a = { fallback = "b" } })
    w.add("a", "1")
    w.run(59)
    assert.same({}, w.done)
    w.run(300)
    assert.same({ "b 1" }, w.done)
    up = true
    w.run()
    assert.same({ "b 1", "a 1" }, w.done)
    assert.equal(1, #w.kept)
  end)

  it("gets what a receiver takes past what it never does", function()
    w = world { a = function(d) return d.id == "poison" and RETRY or OK end }
    w.add("a", "poison", 0, 1)
    w.run(30)
    w.add("a", "1", 0, 2)
    w.add("a", "2", 0, 3)
    w.run(600)
    assert.same({ "a 1", "a 2" }, w.done)
  end)

  it("does not take for old what comes from a clock that is ahead", function()
    w = world({ a = always(OK) }, { a = { max_age = 3600 } })
    w.now = w.now + 2 * S
    w.add("a", "1")
    w.now = w.now - 2 * S
    w.run(1)
    assert.same({ {}, {} }, { w.dead, w.done })
    w.run(3)
    assert.same({ "a 1" }, w.done)
  end)

  it("gives up what is too old", function()
    w = world({ a = always(RETRY) }, { a = { max_age = 3600 } })
    w.add("a", "1")
    w.run()
    assert.same({ ["a 1"] = "given up: it is too old" }, w.dead)
    assert.is_true(w.now / S - 1000 >= 3600 and w.now / S - 1000 < 3600 + 1)
    assert.same({ 0, 1 }, { tonumber(w.stats().waiting), tonumber(w.stats().dead) })
  end)

  it("lets two receivers that stand in for each other end", function()
    w = world({ a = always(FAILED), b = always(FAILED) }, { a = { fallback = "b" }, b = { fallback = "a" } })
    w.add("a", "1")
    w.run()
    assert.equal(0, tonumber(w.stats().waiting))
    assert.is_true(#w.kept <= 2)
  end)

  it("refuses what is beyond its bounds, of each receiver as much as is left to all, and counts it", function()
    w = world { a = always(RETRY, 1e9), b = always(RETRY, 1e9), c = always(OK) }
    local function refused(receiver, count)
      local n = 0
      for i = 1, count do n = n + (w.add(receiver, receiver .. i, 0, i) ~= 0 and 1 or 0) end
      return n
    end
    assert.equal(5000 - 2048, refused("a", 5000))
    assert.equal(5000 - 1024, refused("b", 5000))
    assert.equal(0, refused("c", 512))
    assert.equal(2 * 5000 - 2048 - 1024, tonumber(w.stats().refused))
  end)

  it("has each receiver's failures said, the first and then one a minute, with how many there were", function()
    w = world { a = always(RETRY), b = always(RETRY) }
    w.add("a", "1")
    w.run(10)
    w.add("b", "2")
    w.run(600)
    assert.equal(1, w.said.a[1][1])
    assert.equal(1, w.said.b[1][1])
    for _, said in pairs(w.said) do
      local sum = 0
      for i, each in ipairs(said) do
        sum = sum + each[1]
        assert.is_true(i == 1 or each[2] - said[i - 1][2] >= 60 * S)
      end
      assert.is_true(#said >= 3 and sum > #said)
    end
  end)

  it("loses and doubles nothing, whatever receivers do", function()
    for seed = 1, 60 do
      math.randomseed(seed)
      local up_at = { a = math.random(0, 4000), b = math.random(0, 4000), c = 0 }
      local function receiver(name)
        return function(_, now)
          if now < 1000 + up_at[name] then return RETRY, math.random(3) == 1 and math.random(100) or 0, math.random() * 20 end
          return math.random(10) == 1 and RETRY or OK, 0, math.random()
        end
      end
      w = world({ a = receiver "a", b = receiver "b", c = receiver "c" }, nil, math.random(1, 8))
      local added = 0
      for _ = 1, 60 do
        added = added + 1
        w.add(({ "a", "b", "c" })[math.random(3)], tostring(added), 0, math.random(0, 4))
        w.run(math.random() * 60)
      end
      w.run()
      table.sort(w.done)
      assert.equal(added, #w.done, "seed " .. seed)
      for i = 2, #w.done do assert.are_not.equal(w.done[i - 1], w.done[i]) end
      w.close()
    end
    w = nil
  end)

  it("survives want of memory", function()
    for n = 1, 6 do
      w = world { a = always(OK) }
      core.heap_fail_only(n)
      local err = w.add("a", "1")
      core.heap_fail_only(0)
      w.run()
      assert.equal(err == 0 and 1 or 0, #w.done)
      w.close()
    end
    w = nil
  end)
end)
