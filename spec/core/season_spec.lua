local core, ffi = require("spec.support").core("heap", "median", "season")

local HOUR, WEEK = 3600, 168
local MINUTE_NS = 60000000000ULL

describe("a season", function()
  local live, season, hour

  -- Whole hours of a value a minute: `make(hour, minute)`, nil being none.
  local function feed(hours, make)
    for _ = 1, hours do
      for minute = 0, 59 do
        local value = make(hour, minute)
        if value then assert.equal(0, core.season_learn(season, (hour * 60ULL + minute) * MINUTE_NS, MINUTE_NS, value)) end
      end
      hour = hour + 1
    end
  end

  -- In the middle of an hour: its own number.
  local function at(h, minute)
    local out = ffi.new("struct season_hour")
    if not core.season_get(season, (h * 60ULL + (minute or 30)) * MINUTE_NS, out) then return nil end
    return out.normal, out.spread, out.samples, tonumber(out.since_ns / 1000000000ULL)
  end

  before_each(function()
    live, season, hour = core.heap_live(), ffi.new("struct season"), 1000 * WEEK
  end)
  after_each(function()
    core.heap_fail_from(0)
    core.season_deinit(season)
    assert.equal(live, core.heap_live())
  end)

  local function of_day(h) return 100 + h % 24 end
  local function of_week(h) return 100 + h % WEEK end

  it("knows the hour of the day after three days, by what those were", function()
    feed(71, of_day)
    assert.is_nil(at(hour + 23))                             -- of the last hour, which is not over, two days are known
    feed(2, of_day)
    local first = 1000 * WEEK
    assert.same({ 105, 0, 3, (first + 5) * HOUR }, { at(first + 72 + 5) })
  end)

  it("knows the hour of the week after three weeks, which then counts alone", function()
    feed(3 * WEEK + 1, of_week)
    assert.same({ 105, 0, 3 }, { unpack({ at(hour + 4) }, 1, 3) })
    feed(WEEK, of_week)
    assert.same({ 105, 0, 4 }, { unpack({ at(hour + 4) }, 1, 3) })
  end)

  it("is the median of them, and strays as they do", function()
    local weeks = { 90, 100, 1e6, 110 }
    feed(4 * WEEK + 1, function(h) return weeks[math.floor(h / WEEK) % 4 + 1] end)
    local normal, spread = at(hour + 10)
    assert.equal(105, normal)
    assert.is_true(spread > 5 and spread < 20, tostring(spread))
  end)

  it("lies between the hours in proportion", function()
    feed(73, of_day)
    assert.equal(105.5, (at(hour + 5 - 1, 60)))
    assert.equal(105.25, (at(hour + 5 - 1, 45)))
  end)

  it("takes an hour that half was seen of, and none that less was", function()
    feed(73, function(h, minute) return minute < (h % 2 == 0 and 30 or 29) and of_day(h) or nil end)
    assert.equal(106, (at(1000 * WEEK + 72 + 6)))
    assert.equal(106, (at(1000 * WEEK + 72 + 6, 50)))        -- its neighbour is not known
    assert.equal(106, (at(1000 * WEEK + 72 + 5)))
  end)

  it("forgets what is four weeks old, also over a gap", function()
    feed(WEEK, of_week)
    hour = hour + 5 * WEEK
    feed(1, of_week)
    feed(1, of_week)
    assert.is_nil(at(hour + 3))
  end)

  it("without memory does not remember an hour, and tries again", function()
    core.heap_fail_from(1)
    local failed = 0
    for minute = 0, 120 do
      if core.season_learn(season, (hour * 60ULL + minute) * MINUTE_NS, MINUTE_NS, 1) ~= 0 then failed = failed + 1 end
    end
    assert.equal(2, failed)
    assert.equal(0, tonumber(core.season_bytes(season)))
    core.heap_fail_from(0)
    hour = hour + 3
    feed(2, of_day)
    assert.equal(672 * 4, tonumber(core.season_bytes(season)))
  end)

  it("is what keeping every hour says, whatever is missing", function()
    math.randomseed(11)
    local kept = {}
    local function value(h)
      if kept[h] == nil then kept[h] = math.random(2) > 1 and math.random(1, 1000) or false end
      return kept[h] or nil
    end
    local function median(list)
      return #list > 0 and core.median(ffi.new("double[?]", #list, list), #list)
    end
    local function recall(h, apart, most)
      local list = {}
      for k = 1, most do if kept[h - k * apart] then list[#list + 1] = kept[h - k * apart] end end
      return #list >= 3 and list or nil
    end
    feed(6 * WEEK, value)
    kept[hour - 1] = nil                                     -- it is not over
    for h = hour, hour + 23 do
      local function known(x) return recall(x, WEEK, 4) or recall(x, 24, 7) end
      local list = known(h) or known(h + 1)
      assert.equal(list and median(list) or nil, (at(h)), tostring(h - hour))
    end
  end)
end)
