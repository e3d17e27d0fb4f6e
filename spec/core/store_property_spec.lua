--- Random histories: against a model that has all the memory in the world, and, with too little, against what
-- must hold whatever happens. FLUO_SEED repeats a run.
local support = require("spec.core.store_support")
local core, S, MIB = support.core, support.S, support.MIB

local LIMITS = { idle = 10, age = 25, late = 30, spans = 12 }    -- seconds, spans

local Model = {}
Model.__index = Model
local function model_new() return setmetatable({ open = {}, ghosts = {}, closed = {} }, Model) end

function Model:close(trace, reason, at)
  local t = self.open[trace]
  self.open[trace] = nil
  self.ghosts[trace] = { till = at + LIMITS.late, ids = t.ids }
  self.closed[#self.closed + 1] = ("%d %s %d %d"):format(trace, reason, at, t.count)
end

local function due(t)
  local idle, age = t.last + LIMITS.idle, t.first + LIMITS.age
  if idle <= age then return idle, "idle" end
  return age, "max_age"
end

function Model:run(now)
  while true do
    local trace, at, reason
    for n, t in pairs(self.open) do
      local d, r = due(t)
      if d <= now and (not at or d < at) then trace, at, reason = n, d, r end
    end
    if not trace then return end
    self:close(trace, reason, at)
  end
end

function Model:late(trace, id, now)
  local g = self.ghosts[trace]
  if not g or g.till <= now then return nil end
  if g.ids[id] then return "duplicate" end
  g.ids[id], g.till, g.late = true, now + LIMITS.late, (g.late or 0) + 1
  return "late"
end

function Model:put(trace, id, now)
  local t = self.open[trace]
  if t and t.ids[id] then return "duplicate" end
  if t and t.count >= LIMITS.spans then
    self:close(trace, "span_cap", now)
    t = nil
  end
  if not t then
    local late = self:late(trace, id, now)
    if late then return late end
    t = { first = now, ids = {}, count = 0 }
    self.open[trace] = t
  end
  t.ids[id], t.last, t.count = true, now, t.count + 1
  return "new"
end

function Model:end_request()
  for _, g in pairs(self.ghosts) do g.late = nil end
end

-- What the model's closings are called; ties in time have no order there.
local function sorted(list)
  table.sort(list)
  return list
end

local function closings(s)
  local out = {}
  for _, c in ipairs(s.closed) do
    local text = ("%d %s %d %d"):format(c.trace, c.reason, tonumber(c.at / S), c.spans)
    if c.reason ~= "late" then out[#out + 1] = text end
  end
  return sorted(out)
end

local seed = tonumber(os.getenv("FLUO_SEED") or os.time())

describe("the store, over random histories (FLUO_SEED=" .. seed .. ")", function()
  local s
  before_each(support.begin)
  after_each(support.finish)
  before_each(function() math.randomseed(seed) end)

  local function follows_the_model(keep)
    for _ = 1, 20 do
      local model, now = model_new(), 0
      s = support.open({ idle_ns = LIMITS.idle * S, max_age_ns = LIMITS.age * S, late_ns = LIMITS.late * S,
                         trace_spans_max = LIMITS.spans }, keep)
      for _ = 1, 400 do
        if math.random() < 0.3 then
          s:end_request(now * S)
          model:end_request()
          now = now + math.random(0, 6)
          s:run(now * S)
          model:run(now)
        end
        local trace, id = math.random(6), math.random(40)
        assert.equal(model:put(trace, id, now), (s:put({ trace = trace, id = id, payload_bytes = id }, now * S)))
      end
      s:end_request(now * S)
      s:run(10000 * S)
      model:run(10000)
      assert.same(sorted(model.closed), closings(s))
      assert.equal(0, tonumber(s:stats().spans_held))
      s:close()
    end
  end

  it("admits, turns away and closes exactly as the model", function() follows_the_model(false) end)
  it("does so, too, where closed traces are kept", function() follows_the_model(true) end)

  -- Whether the trace is among those of its id that are found, the newest of which may be open.
  local function is_found(t)
    local newest = core.store_find(s.store, t.id)
    local other = newest
    repeat
      if other == t then return true end
      other = core.store_same(other)
    until other == newest or other.state == core.TRACE_OPEN
    return false
  end

  local function keeps_its_books(keep)
    s = support.open({ arena_bytes = MIB, remembered_bytes_max = 30000, symbols_bytes_max = 65536,
                       trace_spans_max = 400 }, keep)
    local now, taken, pinned = 0, 0, {}
    for step = 1, 10000 do
      local trace = math.random() < 0.5 and math.random(30) or math.random(5000)
      local admit, t, index, span = s:put({ trace = trace, id = math.random(4000), name = "n" .. math.random(3000),
                                            payload_bytes = math.random(1500) }, now)
      if t then
        taken = taken + 1
        assert.is_true(core.store_find(s.store, t.id) == t)
        assert.equal(support.trace_id(trace), require("ffi").string(t.id, 16))
        assert.equal("n", s:text(span.name):sub(1, 1))
        if math.random() < 0.3 then core.store_hit(s.store, t, step % 50, index) end
        if admit == "new" and math.random() < 0.05 then
          core.store_pin(t)
          pinned[#pinned + 1] = t
        end
      end
      if math.random() < 0.05 then s:end_request(now) end
      if math.random() < 0.02 then
        for _, p in ipairs(pinned) do core.store_unpin(p) end
        pinned = {}
        for _, held in ipairs(s.held) do assert.is_true(is_found(held)) end
        s:drop_held()
        now = now + math.random(0, 2) * S
        s:run(now)
      end
      local stats = s:stats(now)
      assert.is_true(stats.arena_bytes_used + stats.heap_bytes <= stats.arena_bytes)
      assert.is_true(stats.remembered_bytes <= 30000)
      assert.is_true(stats.symbols_bytes <= 65536)
    end
    for _, p in ipairs(pinned) do core.store_unpin(p) end
    s:drop_held()
    s:end_request(now)
    s:run(now + 1000 * S)
    local closed = 0
    for _, c in ipairs(s.closed) do closed = closed + c.spans end
    if not keep then assert.equal(taken, closed) end     -- no closing tells of late spans of a kept trace
    local stats = s:stats()
    assert.same({ 0, 0, 0 }, { tonumber(stats.spans_held), tonumber(stats.traces_open), tonumber(stats.traces_kept) })
    assert.equal(keep, stats.kept_released > 0)
    assert.is_true(stats.arena_bytes_used <= stats.symbols_bytes)
    assert.is_true(stats.traces_closed[core.CLOSE_EVICTED] > 0 and stats.payloads_shed > 0 and stats.late_spans > 0)
  end

  it("loses no span and stays in its bounds when memory is short", function() keeps_its_books(false) end)
  it("does so, too, where closed traces are kept, which go before open ones", function() keeps_its_books(true) end)
end)
