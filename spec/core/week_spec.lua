-- The shipped rules of rate, errors and latency over a week of four services: days ten times the nights, weekends lower,
-- lognormal latencies, errors, noise. Nothing is wrong at first, and no rule may say so; then something is, and they must.
--   FLUO_WEEK_SEEDS=20 FLUO_WEEK_DAYS=28 SPECS=spec/core/week_spec.lua luajit spec/run.lua build      is a longer look
package.path = "lua/?.lua;" .. package.path
local support = require("spec.support")
local core, ffi = support.core("engine", "err", "heap", "ruleset", "series", "state", "window")
local rulefiles = require("spec.lua.rulefiles")

local SECOND, HOUR, DAY = 1e9, 3600, 86400
local T0 = 1760313600                                      -- Monday, 2025-10-13T00:00:00Z
local DAYS, SEEDS = tonumber(os.getenv("FLUO_WEEK_DAYS") or 7), tonumber(os.getenv("FLUO_WEEK_SEEDS") or 1)
local RULES = { "traffic_surge", "traffic_drop", "error_ratio_unusual", "latency_unusual" }
local CHUNK = 4096

-- Requests a second at the peak, median latency in ms, how it varies, share of errors.
local SERVICES = {
  { name = "front", peak = 1.5, latency = 40, sigma = 0.5, errors = 0.005 },
  { name = "search", peak = 0.5, latency = 120, sigma = 1.0, errors = 0.005 },
  { name = "payment", peak = 0.3, latency = 150, sigma = 0.3, errors = 0.005 },
  { name = "export", peak = 0.02, latency = 900, sigma = 0.8, errors = 0.02 },
}

-- ---- traffic -------------------------------------------------------------------------------------

local function normal_number()
  return math.sqrt(-2 * math.log(1 - math.random())) * math.cos(2 * math.pi * math.random())
end

-- A fault: service, from, to (seconds of the week), and what it does: rate (times), latency (ms more), errors (more).
local NONE = { rate = 1, latency = 0, errors = 0 }

local function fault_at(service, faults, t)
  for _, f in ipairs(faults) do
    if f.service == service.name and t >= f.from and t < f.to then return f end
  end
  return NONE
end

local function rate_at(service, t)
  local day = (1 + math.cos((t % DAY / HOUR - 14) / 24 * 2 * math.pi)) / 2       -- 1 at 14:00, 0 at 02:00
  local weekend = math.floor(t / DAY) % 7 >= 5
  return service.peak * 10 ^ (day - 1) * (weekend and 0.6 or 1)
end

-- Fills a chunk with a service's next requests: times in s, durations in ns, errors. Noise walks by the minute.
local function fill(s, faults, till, times, durations, failed)
  local n, t = 0, s.t
  while n < CHUNK and t < till do
    if t >= s.minute + 60 then
      s.minute, s.noise = t, 0.9 * s.noise + 0.05 * normal_number()
    end
    local fault = fault_at(s.service, faults, t)
    local rate = rate_at(s.service, t) * math.exp(s.noise) * (fault.rate or 1)
    t = fault.rate == 0 and fault.to or t - math.log(1 - math.random()) / rate
    if t < till and fault.rate ~= 0 then
      times[n] = t
      durations[n] = 1e6 * (s.service.latency * math.exp(s.service.sigma * normal_number()) + (fault.latency or 0))
      failed[n] = math.random() < s.service.errors + (fault.errors or 0)
      n = n + 1
    end
  end
  s.t = t
  return n
end

-- ---- the rules -----------------------------------------------------------------------------------

local found
local on_crossing = ffi.cast("void (*)(void *, const struct window_crossing *)", function(_, c)
  local at = tonumber(c.time_ns / 1000000000ULL) - T0
  found[#found + 1] = { rule = RULES[tonumber(ffi.cast("intptr_t", c.owner))], at = at,
    service = ffi.string(c.group, c.group_bytes), value = c.value, threshold = c.threshold, normal = c.normal.normal,
    seasonal = c.normal.seasonal }
end)

local function terms_of(set)
  local w = core.ruleset_window(set, 0)
  return ffi.new("struct window_terms", { ns = w.ns, aggregate = w.aggregate, compare = w.compare, quantile = w.quantile,
    threshold = w.threshold, samples_min = w.samples_min, grouped = true, baseline = w.baseline, normal_min = w.normal_min })
end

local function open_rules(state)
  local windows = {}
  for i, name in ipairs(RULES) do
    local bytes = rulefiles.good(support.read("rules/" .. name .. ".lua")).ir
    local out, why = ffi.new("struct ruleset *[1]"), ffi.new("char[128]")
    assert(core.ruleset_new(bytes, #bytes, ffi.new("struct ruleset_options", { matches_limit = 1 }), out, why) == 0)
    local window = ffi.new("struct window *[1]")
    local calls = ffi.new("struct window_calls", { on_crossing = on_crossing })
    assert(core.window_new(state, terms_of(out[0]), calls, ffi.cast("void *", i), window) == 0)
    windows[i] = window[0]
    core.ruleset_free(out[0])
  end
  return windows
end

local function take_one(window, key, event, witness)
  core.window_take(window, key, ffi.new("struct window_known"), event, witness)
end
jit.off(take_one)

local function take(windows, key, event, witness, duration, failed)
  event.value, event.flags = 1, 4
  take_one(windows[1], key, event, witness)
  take_one(windows[2], key, event, witness)
  event.flags = failed and 5 or 4
  take_one(windows[3], key, event, witness)
  event.value, event.flags = duration, 4
  take_one(windows[4], key, event, witness)
end
jit.off(take)

local function step(state, t)
  while core.state_step(state, t) do end
end
jit.off(step)

-- Services by themselves, one after the other: what each brings is the same whatever the others do.
local function run(service, faults, seed)
  math.randomseed(seed)
  local out = ffi.new("struct state *[1]")
  assert(core.state_new(32 * 1048576, out) == 0)
  local state = out[0]
  local windows = open_rules(state)
  local key = ffi.new("struct state_key", { ffi.cast("const char *", service.name), #service.name })
  key.hash = core.state_hash(state, key.bytes, key.n)
  local event, witness = ffi.new("struct series_event", { weight = 1 }), ffi.new("struct window_witness")
  local times, durations, failed = ffi.new("double[?]", CHUNK), ffi.new("double[?]", CHUNK), ffi.new("bool[?]", CHUNK)
  local s, due = { service = service, t = 0, minute = 0, noise = 0 }, 0
  repeat
    local n = fill(s, faults, DAYS * DAY, times, durations, failed)
    for i = 0, n - 1 do
      while due < times[i] do
        due = math.min(times[i], due + 60)
        step(state, (T0 + due) * SECOND)
      end
      event.time_ns = (T0 + times[i]) * SECOND
      witness.time_ns = event.time_ns
      take(windows, key, event, witness, durations[i], failed[i])
    end
  until s.t >= DAYS * DAY
  step(state, (T0 + DAYS * DAY) * SECOND)
  for _, w in ipairs(windows) do core.window_free(w) end
  core.state_free(state)
end

local function week(faults, seed)
  found = {}
  for i, service in ipairs(SERVICES) do run(service, faults, seed * 100 + i) end
  return found
end

local function said(list)
  local lines = {}
  for i, v in ipairs(list) do
    lines[i] = ("%s of %s on day %d at %02d:%02d: %g over %g, normal %g%s"):format(v.rule, v.service, v.at / DAY,
      math.floor(v.at % DAY / HOUR), v.at % HOUR / 60, v.value, v.threshold, v.normal, v.seasonal and ", seasonal" or "")
  end
  return table.concat(lines, "\n")
end

-- What is wrong, when (day, hour), and which rules must say so within so many minutes; no others may.
local FAULTS = {
  { service = "front", day = 1, hour = 10, minutes = 30, rate = 10, rules = { "traffic_surge" } },
  { service = "front", day = 2, hour = 15, minutes = 30, rate = 0, rules = { "traffic_drop" } },
  { service = "front", day = 3, hour = 12, minutes = 30, errors = 0.04, rules = { "error_ratio_unusual" } },
  { service = "search", day = 4, hour = 9, minutes = 30, rate = 5, rules = { "traffic_surge" } },
  { service = "search", day = 5, hour = 14, minutes = 30, rate = 0, rules = { "traffic_drop" } },
  { service = "payment", day = 3, hour = 11, minutes = 60, latency = 300, errors = 0.1,
    rules = { "error_ratio_unusual", "latency_unusual" } },
  { service = "payment", day = 6, hour = 16, minutes = 30, rate = 0.05, rules = { "traffic_drop" } },
}

local function placed()
  local list = {}
  for i, f in ipairs(FAULTS) do
    local from = f.day * DAY + f.hour * HOUR
    list[i] = { service = f.service, from = from, to = from + f.minutes * 60, rate = f.rate, latency = f.latency,
                errors = f.errors, rules = f.rules }
  end
  return list
end

-- Each fault is found by its rules while it lasts (a window longer where it ends), and by no other.
local function check(faults, list)
  for _, f in ipairs(faults) do
    local rules = {}
    for i = #list, 1, -1 do
      local v = list[i]
      if v.service == f.service and v.at >= f.from and v.at < f.to + 600 then
        rules[v.rule] = v
        table.remove(list, i)
      end
    end
    for _, rule in ipairs(f.rules) do
      assert.is_table(rules[rule], ("%s of %s on day %d is not found"):format(rule, f.service, f.from / DAY))
      rules[rule] = nil
    end
    assert.equal("", said({ select(2, next(rules)) }))
  end
  assert.equal("", said(list))
end

describe("a week", function()
  for seed = 1, SEEDS do
    it("with faults has each found, and nothing else: seed " .. seed, function()
      local faults = placed()
      check(faults, week(faults, 1000 + seed))
    end)
  end

  for seed = 1, SEEDS do
    it("without a fault raises no alarm: seed " .. seed, function()
      assert.equal("", said(week({}, seed)))
    end)
  end
end)
