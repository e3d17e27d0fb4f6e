local core, ffi = require("spec.support").core("heap", "state", "sequence")

local SECOND = 1000000000
local LATENESS = 5 * SECOND

jit.off()                                                             -- C calls back into Lua

describe("a sequence", function()
  local live, state, sequences, matches

  local on_match = ffi.cast("void (*)(void *, const struct sequence_match *)", function(_, m)
    local ids = {}
    for i = 0, m.witnesses_count - 1 do
      ids[#ids + 1] = m.witnesses[i].span_id[0] * 256 + m.witnesses[i].span_id[1]
    end
    matches[#matches + 1] = { group = ffi.string(m.group, m.group_bytes), time = tonumber(m.time_ns),
                              ids = table.concat(ids, " "), absent = m.absent }
  end)

  local function all()
    local out = ffi.new("struct state *[1]")
    assert.equal(0, core.state_new(1048576, out))
    state, sequences, matches = out[0], {}, {}
  end

  -- steps: "a !x b": a letter a pattern, those that must not come with a mark.
  local function open(steps, seconds)
    local out, terms = ffi.new("struct sequence *[1]"), ffi.new("struct sequence_terms")
    local names = {}
    for mark, name in steps:gmatch("(!?)(%a)") do
      if mark ~= "" then terms.absent = terms.absent + 2 ^ #names end
      names[#names + 1] = name
    end
    terms.ns, terms.steps = seconds * SECOND, #names
    local calls = ffi.new("struct sequence_calls", { on_match = on_match })
    assert.equal(0, core.sequence_new(state, terms, calls, nil, out))
    sequences[#sequences + 1] = out[0]
    return { room = out[0], names = names }
  end

  local function close()
    for _, s in ipairs(sequences) do core.sequence_free(s) end
    core.state_free(state)
    sequences, state = {}, nil
  end

  local hit, key = ffi.new("struct sequence_hit"), ffi.new("struct state_key")
  local function take(s, group, kinds, start, id, now, ending)
    hit.start_ns, hit.end_ns, hit.patterns = start, ending or start, 0
    for i, name in ipairs(s.names) do
      if kinds:find(name, 1, true) then hit.patterns = hit.patterns + 2 ^ (i - 1) end
    end
    hit.span_id[0], hit.span_id[1] = math.floor(id / 256), id % 256
    key.bytes, key.n, key.hash = ffi.cast("const char *", group), #group, core.state_hash(state, group, #group)
    return core.sequence_take(s.room, key, hit, now or start)
  end

  local function step(now)
    while core.state_step(state, now) do end
  end

  before_each(function()
    live = core.heap_live()
    all()
  end)
  after_each(function()
    core.heap_fail_from(0)
    close()
    assert.equal(live, core.heap_live())
  end)

  it("matches steps that are strictly later one after the other, within D", function()
    local s = open("a b", 10)
    take(s, "k", "a", 100 * SECOND, 1)
    take(s, "k", "b", 100 * SECOND, 2)                       -- no order
    take(s, "other", "b", 101 * SECOND, 3)
    take(s, "k", "b", 110 * SECOND, 4)                       -- exactly D is outside
    assert.same({}, matches)
    take(s, "k", "a", 111 * SECOND, 5)
    take(s, "k", "b", 111 * SECOND + 1, 6, nil, 115 * SECOND)
    assert.same({ { group = "k", time = 115 * SECOND, ids = "5 6", absent = -1 } }, matches)
  end)

  it("matches in whatever order its spans arrive", function()
    local s = open("a b c", 10)
    take(s, "k", "c", 103 * SECOND, 3, 103 * SECOND)
    take(s, "k", "a", 101 * SECOND, 1, 104 * SECOND)
    take(s, "k", "b", 102 * SECOND, 2, 105 * SECOND)
    assert.equal("1 2 3", matches[1].ids)
  end)

  it("starts the next match past the last span of the one before", function()
    local s = open("a b", 10)
    take(s, "k", "a", 101 * SECOND, 1)
    take(s, "k", "a", 102 * SECOND, 2)
    take(s, "k", "b", 103 * SECOND, 3)
    take(s, "k", "b", 104 * SECOND, 4)
    take(s, "k", "a", 102 * SECOND + 1, 5, 105 * SECOND)     -- came late, and is not past it
    take(s, "k", "ab", 106 * SECOND, 6)
    take(s, "k", "ab", 107 * SECOND, 7)
    assert.equal(2, #matches)
    assert.equal("1 3", matches[1].ids)
    assert.equal("6 7", matches[2].ids)
  end)

  it("closed by an absence fires a lateness after t0 + D, at t0 + D, whatever comes then", function()
    local s = open("a !x", 30)
    take(s, "u1", "a", 100 * SECOND, 1)
    take(s, "u2", "a", 101 * SECOND, 2)
    take(s, "u2", "x", 131 * SECOND - 1, 3)
    take(s, "u1", "x", 130 * SECOND, 4)                      -- exactly D does not cancel
    step(135 * SECOND - 1)
    assert.same({}, matches)
    step(135 * SECOND)
    assert.same({ { group = "u1", time = 130 * SECOND, ids = "1", absent = 1 } }, matches)
    step(1000 * SECOND)
    assert.equal(1, #matches)
    assert.equal(0, tonumber(core.state_stats(state).groups))
  end)

  it("judges each open first step by itself", function()
    local s = open("a !x", 30)
    for i = 0, 2 do take(s, "k", "a", (100 + i) * SECOND, i + 1) end
    take(s, "k", "x", 131 * SECOND, 9)
    step(1000 * SECOND)
    assert.equal(2, #matches)                                -- of the third it came 29 s later
    assert.same({ "1", "2" }, { matches[1].ids, matches[2].ids })
  end)

  it("with something that must not stand between waits for what is late", function()
    local s = open("a !x b", 30)
    take(s, "k", "a", 100 * SECOND, 1)
    take(s, "k", "b", 110 * SECOND, 2)
    take(s, "j", "a", 100 * SECOND, 3)
    take(s, "j", "b", 110 * SECOND, 4)
    take(s, "j", "x", 105 * SECOND, 5, 114 * SECOND)
    step(115 * SECOND - 1)
    assert.same({}, matches)
    step(115 * SECOND)
    assert.equal(1, #matches)
    assert.equal("k", matches[1].group)
  end)

  it("finds another assignment where one is spoilt", function()
    local s = open("a !x b", 30)
    take(s, "k", "a", 100 * SECOND, 1)
    take(s, "k", "x", 101 * SECOND, 2)
    take(s, "k", "a", 102 * SECOND, 3)
    take(s, "k", "b", 103 * SECOND, 4)
    step(1000 * SECOND)
    assert.equal("3 4", matches[1].ids)
  end)

  -- ---- against trying every assignment --------------------------------------------------------------

  local Oracle = {}
  Oracle.__index = Oracle

  local function oracle(steps, seconds)
    local self = setmetatable({ ns = seconds * SECOND, steps = {}, hits = {}, past = -1, found = {} }, Oracle)
    for mark, name in steps:gmatch("(!?)(%a)") do self.steps[#self.steps + 1] = { name = name, absent = mark ~= "" } end
    self.closing = self.steps[#self.steps].absent
    for i, s in ipairs(self.steps) do
      for j = i + 1, #self.steps do
        if s.absent and not self.steps[j].absent then self.waits = true end
      end
    end
    return self
  end

  function Oracle:came(name, after, before)
    for _, h in ipairs(self.hits) do
      if h.kinds:find(name, 1, true) and h.start > after and h.start < before then return true end
    end
    return false
  end

  -- The earliest assignment of steps i on after `chosen`, by trying all in order.
  function Oracle:complete(i, chosen)
    local first, last = chosen[1], chosen[#chosen]
    local absent = {}
    while self.steps[i] and self.steps[i].absent do
      absent[#absent + 1] = self.steps[i].name
      i = i + 1
    end
    local function clean(before)
      for _, name in ipairs(absent) do
        if self:came(name, last.start, before) then return false end
      end
      return true
    end
    if not self.steps[i] then return clean(first.start + self.ns) and chosen or nil end
    for _, h in ipairs(self.hits) do
      if h.kinds:find(self.steps[i].name, 1, true) and h.start > last.start and h.start < first.start + self.ns
         and clean(h.start) then
        chosen[#chosen + 1] = h
        local whole = self:complete(i + 1, chosen)
        if whole then return whole end
        chosen[#chosen] = nil
      end
    end
    return nil
  end

  function Oracle:tell(chosen)
    local ids, time = {}, 0
    for i, h in ipairs(chosen) do ids[i], time = h.id, math.max(time, h.ending) end
    if self.closing then time = chosen[1].start + self.ns end
    self.found[#self.found + 1] = table.concat(ids, " ") .. " at " .. time
    self.past = chosen[#chosen].start
    local kept = {}
    for _, h in ipairs(self.hits) do
      if h.start > self.past then kept[#kept + 1] = h end
    end
    self.hits = kept
  end

  function Oracle:look(now)
    local again = true
    while again do
      again = false
      for _, h in ipairs(self.hits) do
        local due = h.start + self.ns + LATENESS
        if h.kinds:find(self.steps[1].name, 1, true) and not h.judged and (not self.closing or due <= now) then
          local chosen = self:complete(2, { h })
          h.judged = self.closing
          if chosen then
            local ready = 0
            for _, w in ipairs(chosen) do ready = math.max(ready, w.arrived + LATENESS) end
            if not self.closing and self.waits and ready > now then return end
            self:tell(chosen)
            again = true
            break
          end
        end
      end
    end
  end

  function Oracle:take(h)
    if h.start <= self.past then return end
    self.hits[#self.hits + 1] = h
    table.sort(self.hits, function(a, b)
      if a.start ~= b.start then return a.start < b.start end
      return a.id < b.id
    end)
    self:look(h.arrived)
  end

  for _, steps in ipairs({ "a b", "a b c", "a !x", "a b !x", "a !x b", "a !x !y b", "a !x b !y", "a b a", "a !x !y",
                           "a !b b", "a !x b !y c" }) do
    it("of " .. steps .. " finds what trying every assignment finds", function()
      local total = 0
      for seed = 1, 40 do
        math.randomseed(seed)
        local s, o, now = open(steps, 6), oracle(steps, 6), 1000 * SECOND
        for id = 1, 40 do
          now = now + math.random(0, 2) * SECOND / 2
          -- Timers between, one by one: those of the oracle are looked at on every half second.
          for t = now - SECOND, now, SECOND / 2 do
            step(t)
            o:look(t)
          end
          local kinds = ("abcxy"):sub(math.random(1, 5)):sub(1, 1) .. (math.random() < 0.2 and "a" or "")
          local start = now - math.random(0, 6) * SECOND / 2
          local h = { kinds = kinds, start = start, id = id, arrived = now, ending = start + math.random(0, 9) }
          o:take(h)
          assert.equal(0, take(s, "k", kinds, start, id, now, h.ending))
        end
        for t = now, now + 20 * SECOND, SECOND / 2 do
          step(t)
          o:look(t)
        end
        local got = {}
        for i, m in ipairs(matches) do got[i] = m.ids .. " at " .. m.time end
        assert.same(o.found, got)
        total = total + #got
        close()
        all()
      end
      assert.is_true(total > 5)
    end)
  end

  -- ---- bounds ---------------------------------------------------------------------------------------

  it("keeps 1,024 hits of a key, and 10,000 keys", function()
    local s = open("a b", 3600)
    for i = 1, 2000 do take(s, "k", "a", 100 * SECOND + i, i % 60000) end
    assert.equal(976, tonumber(core.state_stats(state).overflowed))
    for i = 1, 12000 do take(s, "key " .. i, "a", 101 * SECOND, 1) end
    assert.is_true(tonumber(core.state_stats(state).groups) <= 10000)
    assert.is_true(tonumber(core.state_stats(state).groups_evicted) > 0)
    assert.is_true(tonumber(core.state_stats(state).bytes) <= 1048576)
  end)

  it("loses what there is no memory for, counts it, and goes on", function()
    for fail = 1, 10 do
      local s = open("a b", 10)
      core.heap_fail_from(fail)
      local lost = 0
      for i = 1, 20 do lost = lost + (take(s, "k" .. i % 3, "x", 100 * SECOND + i, i) ~= 0 and 1 or 0) end
      core.heap_fail_from(0)
      assert.equal(lost, tonumber(core.state_stats(state).lost))
      take(s, "new", "a", 101 * SECOND, 30)
      take(s, "new", "b", 102 * SECOND, 31)
      assert.equal("30 31", matches[#matches].ids)
      step(1000 * SECOND)
      close()
      all()
    end
  end)
end)
