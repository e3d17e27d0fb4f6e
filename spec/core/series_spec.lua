local core, ffi = require("spec.support").core("heap", "hash", "series")

local SUMS, ORDER, DISTINCT, LIMIT = 0, 1, 2, 3
local NUMERATOR, ESTIMATED, SPAN = 1, 2, 4

describe("a series", function()
  local live, series

  local function new(kind, ns)
    series = ffi.new("struct series")
    core.series_init(series, kind, ns)
    return series
  end

  local function add(time, value, more)
    more = more or {}
    local event = ffi.new("struct series_event", { time_ns = time, value = value or 1, hash = more.hash or 0,
                                                   weight = more.weight or 1, flags = more.flags or 0 })
    return core.series_add(series, event)
  end

  local function move(t)
    assert.equal(0, core.series_move(series, t))
    assert.equal(0, core.series_settle(series))
  end
  local function samples() return tonumber(core.series_samples(series)) end
  local function sum() return core.series_sum(series) end

  before_each(function() live = core.heap_live() end)
  after_each(function()
    core.heap_fail_from(0)
    core.series_deinit(series)
    series = nil
    assert.equal(live, core.heap_live())
  end)

  it("holds the half-open window (t - D, t]", function()
    new(SUMS, 100)
    add(1000)
    move(1000)
    assert.equal(1, samples())
    move(1099)
    assert.equal(1, samples())
    move(1100)
    assert.equal(0, samples())
  end)

  it("lets what is newer than t wait for t", function()
    new(SUMS, 100)
    add(1050, 5)
    move(1049)
    assert.equal(0, samples())
    move(1050)
    assert.equal(5, sum())
    assert.equal(1050, tonumber(core.series_oldest_ns(series)))
  end)

  it("takes a late event where it belongs, and none that has left", function()
    new(SUMS, 100)
    add(1000)
    move(1000)
    add(950)
    add(900)                                                -- has left
    assert.equal(2, samples())
    move(1049)
    assert.equal(2, samples())
    move(1050)
    assert.equal(1, samples())
  end)

  it("sums whole numbers exactly, and takes fractions out again without a trace", function()
    new(SUMS, 10)
    add(100, 2 ^ 53)
    add(101, 1)
    add(102, -2 ^ 53)
    move(102)
    assert.equal(1, sum())
    for i = 0, 999 do
      add(1000 + i, 0.1)
      add(1000 + i, 1e15 + 0.5)
      move(1000 + i)
    end
    move(1999 + 10)
    assert.equal(0, sum())
    add(3000, 0.25)
    move(3000)
    assert.equal(0.25, sum())
  end)

  it("survives infinities", function()
    new(SUMS, 10)
    add(100, math.huge)
    add(105, 3)
    move(105)
    assert.equal(math.huge, sum())
    add(106, -math.huge)
    move(106)
    assert.is_true(sum() ~= sum())
    move(115)
    assert.equal(-math.huge, sum())
    move(116)
    assert.equal(0, samples())
  end)

  it("counts weights, numerators, spans, and what is estimated", function()
    new(SUMS, 100)
    add(1000, 1, { flags = NUMERATOR + SPAN })
    add(1001, 900, { weight = 900, flags = ESTIMATED })
    move(1001)
    assert.equal(901, samples())
    assert.equal(1, tonumber(core.series_numerator(series)))
    assert.equal(1, tonumber(core.series_spans(series)))
    assert.is_true(core.series_estimated(series))
    move(1101)
    assert.is_false(core.series_estimated(series))
  end)

  -- ---- against keeping every event ---------------------------------------------------------------

  local function window_of(events, t, ns)
    local inside, values, seen, different = {}, {}, {}, 0
    for _, e in ipairs(events) do
      if e.time > t - ns and e.time <= t then
        inside[#inside + 1] = e
        values[#values + 1] = e.value
        if not seen[e.hash] then seen[e.hash], different = true, different + 1 end
      end
    end
    table.sort(values)
    return inside, values, different
  end

  local function check_exact(kind, events, t, ns)
    local inside, values, different = window_of(events, t, ns)
    assert.equal(#inside, samples())
    local total, above = 0, 0
    for _, value in ipairs(values) do
      total = total + value
      if value > 20 then above = above + 1 end
    end
    assert.equal(kind == LIMIT and above or total, kind == LIMIT and tonumber(core.series_above(series)) or sum())
    if kind == DISTINCT then assert.equal(different, core.series_distinct(series)) end
    if (kind ~= ORDER and kind ~= LIMIT) or #values == 0 then return end
    assert.equal(values[1], core.series_least(series))
    assert.equal(values[#values], core.series_greatest(series))
    for _, rank in ipairs({ 1, math.ceil(#values / 2), #values }) do
      assert.equal(values[rank], core.series_at_rank(series, rank))
    end
  end

  local function stream(kind, seed, ns, steps)
    math.randomseed(seed)
    local events, t = {}, 10000
    new(kind, ns)
    if kind == LIMIT then core.series_limit(series, 20, seed % 2 == 0) end
    move(t)
    for _ = 1, steps do
      t = t + math.random(0, ns / 20)
      for _ = 1, math.random(0, 4) do
        local e = { time = t + math.random(-ns - 5, 40), value = math.random(-50, 50), hash = math.random(1, 30) }
        if e.time > t - ns then events[#events + 1] = e end  -- others are not kept, and never looked at again
        assert.equal(0, add(e.time, e.value, { hash = e.hash }))
      end
      move(t)
      check_exact(kind, events, t, ns)
    end
  end

  for name, kind in pairs({ sums = SUMS, order = ORDER, ["distinct counts"] = DISTINCT, ["what is above a limit"] = LIMIT }) do
    it("is exact for " .. name .. ", in whatever order events come", function()
      for seed = 1, 20 do
        stream(kind, seed, 200, 100)
        core.series_deinit(series)
      end
      new(kind, 1)
    end)
  end

  -- ---- beyond the bound ---------------------------------------------------------------------------

  local key = ffi.new("struct hash_key", { 3, 4 })
  local SECOND = 1000000000
  local MINUTE = 60 * SECOND

  local function busy(kind, n, seed, limit)
    math.randomseed(seed)
    local events, t = {}, 100 * MINUTE
    new(kind, MINUTE)
    if limit then core.series_limit(series, limit, true) end
    for i = 1, n do
      t = t + math.random(0, 2 * MINUTE / n)
      local e = { time = t, value = math.exp(math.random() * 10), hash = math.random(1, 2 ^ 52) % 50000 }
      events[i] = e
      e.spread = core.hash64(key, tostring(e.hash), #tostring(e.hash))
      assert.equal(0, core.series_add(series, ffi.new("struct series_event",
        { time_ns = t, value = e.value, hash = e.spread, weight = 1 })))
      move(t)
    end
    return events, t
  end

  it("of very many events overcounts by one bucket of D / 60 at most", function()
    local events, t = busy(SUMS, 50000, 3)
    local inside = window_of(events, t, MINUTE)
    local wider = window_of(events, t, MINUTE + SECOND)
    assert.is_true(#inside > 4096 and samples() >= #inside and samples() <= #wider)
    assert.is_true(tonumber(core.series_bytes(series)) < 256 * 1024)
    move(t + MINUTE)
    assert.equal(0, samples())
    assert.equal(0, sum())
    add(t + MINUTE + 1, 2)                                   -- exact again
    move(t + MINUTE + 1)
    assert.equal(2, sum())
  end)

  for kind = ORDER, LIMIT, LIMIT - ORDER do
    it("of very many numbers has quantiles within 1 % and true extremes, kept in order or not: " .. kind, function()
      local events, t = busy(kind, 30000, 4)
      local _, values = window_of(events, t, MINUTE)
      local _, more = window_of(events, t, MINUTE + SECOND)
      local n = samples()
      assert.is_true(n >= #values and n <= #more)
      assert.is_true(core.series_least(series) <= values[1] and core.series_greatest(series) >= values[#values])
      for _, q in ipairs({ 0.01, 0.5, 0.95, 0.99 }) do
        local got = core.series_at_rank(series, math.ceil(q * n))
        local low = math.min(values[math.ceil(q * #values)], more[math.ceil(q * #more)])
        local high = math.max(values[math.ceil(q * #values)], more[math.ceil(q * #more)])
        assert.is_true(got >= low * 0.97 and got <= high * 1.03, ("%g: %g in %g to %g"):format(q, got, low, high))
      end
      assert.is_true(core.series_estimated(series))
      for step = 1, 61 do                                      -- and it empties bucket by bucket
        move(t + step * SECOND)
        if samples() > 0 then core.series_at_rank(series, samples()) end
      end
      assert.equal(0, samples())
    end)
  end

  local function all_of(kind, s)
    assert.equal(0, core.series_settle(s))
    local n = tonumber(core.series_samples(s))
    local all = { n, core.series_sum(s), tonumber(core.series_numerator(s)), tonumber(core.series_spans(s)),
                  tonumber(core.series_oldest_ns(s)), core.series_estimated(s) }
    if kind == DISTINCT then all[#all + 1] = core.series_distinct(s) end
    if kind ~= ORDER and kind ~= LIMIT then return all end
    for _, q in ipairs({ 0.05, 0.5, 0.95 }) do all[#all + 1] = core.series_at_rank(s, math.ceil(q * n)) end
    all[#all + 1] = core.series_least(s)
    all[#all + 1] = core.series_greatest(s)
    return all
  end

  -- One that is pushed wherever that is taken, beside one that is added to and moved.
  for kind = SUMS, LIMIT do
    it("says the same whether events are pushed or added, as it fills, overflows and empties, of kind " .. kind, function()
      local other, pushed, t = ffi.new("struct series"), 0, 100 * MINUTE
      new(kind, MINUTE)
      core.series_init(other, kind, MINUTE)
      if kind == LIMIT then
        core.series_limit(series, 400, true)
        core.series_limit(other, 400, true)
      end
      math.randomseed(11)
      for i = 1, 14000 do
        t = t + math.random(0, i % 7000 < 6000 and MINUTE / 3000 or MINUTE / 40)
        local late = i % 50 == 0 and math.random(0, 3 * SECOND) or 0
        local hash = math.random(1, 5000)
        local event = ffi.new("struct series_event", { time_ns = t - late, value = math.floor(math.exp(math.random() * 10)),
          hash = core.hash64(key, tostring(hash), #tostring(hash)), weight = 1, flags = i % 3 == 0 and SPAN or 0 })
        if core.series_push(series, event) then
          pushed = pushed + 1
        else
          assert.equal(0, core.series_add(series, event))
          assert.equal(0, core.series_move(series, t))
        end
        assert.equal(0, core.series_add(other, event))
        assert.equal(0, core.series_move(other, t))
        if i % 199 == 0 then assert.same(all_of(kind, other), all_of(kind, series)) end
      end
      core.series_deinit(other)
      assert.is_true(pushed > (kind == SUMS and 10000 or kind == LIMIT and 10000 or kind == ORDER and 2000 or -1), pushed)
    end)
  end

  it("that is full keeps no event by itself, and does again when fewer are left", function()
    local _, t = busy(SUMS, 20000, 9)
    assert.equal(0, tonumber(series.events.count))
    assert.is_true(tonumber(core.series_bytes(series)) < 16 * 1024)
    move(t + MINUTE)
    for i = 1, 10 do add(t + MINUTE + i, i) end
    move(t + MINUTE + 10)
    assert.equal(10, tonumber(series.events.count))
    assert.equal(55, sum())
  end)

  -- The n-th number lies above the limit exactly if it and all behind it do.
  local function check_above(limit)
    local n, above = samples(), tonumber(core.series_above(series))
    for _, rank in ipairs({ 1, math.ceil(n / 3), n - above, n - above + 1, n }) do
      if rank >= 1 and rank <= n then assert.equal(rank > n - above, core.series_at_rank(series, rank) > limit) end
    end
  end

  it("of very many numbers knows how many its quantiles have above a limit, also above another one", function()
    local limit = math.exp(7.005)                          -- within a bin of the sketch
    local _, t = busy(LIMIT, 30000, 7, limit)
    check_above(limit)
    for step = 1, 70 do
      if step % 5 == 0 then
        limit = math.exp(step % 10 == 0 and 3.005 or 9.005)
        core.series_limit(series, limit, true)
      end
      add(t + step * SECOND, math.exp(6 + step % 3))
      move(t + step * SECOND)
      check_above(limit)
    end
  end)

  it("of very many numbers takes none for less than the least or more than the greatest", function()
    for _, x in ipairs({ 300, 3, 0, -7.5 }) do
      for kind = ORDER, LIMIT, LIMIT - ORDER do
        new(kind, MINUTE)
        if kind == LIMIT then core.series_limit(series, x, true) end
        for i = 1, 5000 do add(100 * MINUTE + i, x) end
        move(100 * MINUTE + 5000)
        add(100 * MINUTE + 5001, x)
        move(100 * MINUTE + 5001)
        assert.equal(0, core.series_settle(series))
        for _, rank in ipairs({ 1, 2500, 5001 }) do assert.equal(x, core.series_at_rank(series, rank)) end
        if kind == LIMIT then
          check_above(x)
          assert.equal(0, tonumber(core.series_above(series)))
          core.series_limit(series, x - 1e-9, true)
          assert.equal(5001, tonumber(core.series_above(series)))
        end
        core.series_deinit(series)
      end
    end
    new(SUMS, 1)
  end)

  it("of very many numbers knows whether any, or all, are above a limit", function()
    busy(LIMIT, 20000, 8)
    local least, greatest = core.series_least(series), core.series_greatest(series)
    local function above(limit)
      core.series_limit(series, limit, false)
      return tonumber(core.series_above(series))
    end
    assert.same({ 0, samples() }, { above(greatest), above(least - 1e-9) })
    assert.is_true(above(greatest - 1e-9) >= 1 and above(greatest - 1e-9) < samples())
    assert.is_true(above(least) < samples() and above(least) >= 1)
  end)

  it("of very many things counts the distinct within 7 %", function()
    local events, t = busy(DISTINCT, 30000, 5)
    local _, _, different = window_of(events, t, MINUTE)
    assert.is_true(math.abs(core.series_distinct(series) / different - 1) < 0.07,
      ("%g for %d"):format(core.series_distinct(series), different))
    move(t + 2 * MINUTE)
    assert.equal(0, core.series_distinct(series))
  end)

  -- One event each D / 10,000, of one of so many things, now and then late.
  local function things_of(n, t, many)
    local events = {}
    for i = 1, n do
      t = t + MINUTE / 10000
      local e = { time = i % 97 == 0 and t - math.random(0, 20) * SECOND or t, value = 1, hash = math.random(1, many) }
      events[i] = e
      assert.equal(0, add(e.time, 1, { hash = core.hash64(key, tostring(e.hash), #tostring(e.hash)) }))
      move(t)
    end
    return events, t
  end

  local function assert_distinct(events, t)
    local _, _, least = window_of(events, t, MINUTE)
    local _, _, most = window_of(events, t, MINUTE + SECOND)
    assert.equal(0, core.series_settle(series))
    local got = core.series_distinct(series)
    assert.is_true(got >= least and got <= most, ("%g, of %d to %d"):format(got, least, most))
    assert.is_false(core.series_estimated(series))
  end

  it("counts the distinct exactly however many events there are, but for one bucket, and as they leave", function()
    for _, many in ipairs({ 1, 10, 255, 2000, 1e9 }) do
      new(DISTINCT, MINUTE)
      local events, t = things_of(12000, 100 * MINUTE, many)
      assert_distinct(events, t)
      for _ = 1, 13 do
        t = t + 5 * SECOND
        move(t)
        assert_distinct(events, t)
      end
      assert.equal(0, core.series_distinct(series))
      core.series_deinit(series)
    end
    new(DISTINCT, 1)
  end)

  it("estimates the distinct as long as a bucket of too many is inside, and no longer", function()
    local _, t = busy(DISTINCT, 30000, 5)
    assert.is_true(core.series_estimated(series))
    local value = core.series_distinct(series)
    assert.equal(math.floor(value), value)                   -- a whole number also then
    local later
    later, t = things_of(9000, t, 1e9)
    assert.is_true(core.series_estimated(series))
    move(t + 7 * SECOND)                                     -- the first ones are gone
    assert_distinct(later, t + 7 * SECOND)
  end)

  it("takes late events into buckets that are there", function()
    local _, t = busy(ORDER, 20000, 6)
    local before = samples()
    add(t - 30 * SECOND, 1e9)
    assert.equal(before + 1, samples())
    assert.equal(1e9, core.series_greatest(series))
  end)

  it("refuses events, and keeps those it has, where t lags behind by too many slots", function()
    new(SUMS, 60)                                            -- slots of 1 ns
    move(1000)
    local refused
    for i = 1, 10000 do
      if add(1000 + i) < 0 then
        refused = i
        break
      end
    end
    assert.is_true(refused and refused > 8192)
    move(1060)
    assert.equal(60, samples())
    add(1061)
    move(1061)
    assert.is_true(samples() > 0)
  end)

  it("loses and doubles nothing when memory is short, at whichever allocation", function()
    for kind = SUMS, LIMIT do
      for fail = 1, 40 do
        new(kind, MINUTE)
        local kept, t = 0, 100 * MINUTE
        for i = 1, 4200 do
          if i == 4096 then core.heap_fail_from(fail) end
          if i == 4150 then core.heap_fail_from(0) end
          t = t + MINUTE / 5000
          if add(t, i, { hash = i * 2654435761ULL }) == 0 then kept = kept + 1 end
          core.series_move(series, t)
        end
        core.heap_fail_from(0)
        move(t + 1)
        assert.equal(kept, samples())
        move(t + MINUTE)
        assert.equal(0, samples())
        core.series_deinit(series)
      end
    end
    new(SUMS, 1)
  end)
end)
