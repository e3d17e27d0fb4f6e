-- What services really do to their operators, end to end: seeded traffic through `fluo replay`, from before the trouble
-- until after it. Each fires, in time, for what it is about, and is silent just short of it.
local cjson = require("cjson")
local replay = require("spec.replay")

-- ---- traffic -------------------------------------------------------------------------------------

local STATUS = { OK = 0, ERROR = 2 }

-- A request as it is on the wire; written by hand, for there are tens of thousands of spans.
local function line(service, spans)
  local out = {}
  for i, s in ipairs(spans) do
    out[i] = ('{"traceId":"%032x","spanId":"%016x","name":"%s","kind":%d,"startTimeUnixNano":"%s",' ..
      '"endTimeUnixNano":"%s","status":{"code":%d}%s}'):format(s.id, s.id, s.name, s.kind or 2, replay.time(s.at),
      replay.time(s.at + (s.dur or 0)), STATUS[s.status or "OK"], s.attributes or "")
  end
  return ('{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"%s"}}]},' ..
    '"scopeSpans":[{"spans":[%s]}]}]}'):format(service, table.concat(out, ","))
end

local Traffic = {}
Traffic.__index = Traffic

local function traffic(service) return setmetatable({ service = service, lines = {}, ids = 0 }, Traffic) end

-- A request a second, in [from, to) seconds: `rate(second)` spans of it, evenly; `make(span)` says more of each.
function Traffic:send(from, to, rate, make)
  for second = from, to - 1 do
    local spans, n = {}, type(rate) == "function" and rate(second) or rate
    for i = 1, n do
      self.ids = self.ids + 1
      local s = { id = self.ids, name = "call", at = second * 1000 + math.floor((i - 1) * 1000 / n) }
      if make then make(s) end
      spans[i] = s
    end
    self.lines[#self.lines + 1] = line(self.service, spans)
  end
  return self
end

function Traffic:replay(rules)
  local input, path = os.tmpname(), rules
  if rules ~= "rules" then path = replay.rule_file(rules) end
  replay.write(input, table.concat(self.lines, "\n") .. "\n")
  local status, stdout, stderr = replay.shell(("%s replay --rules %s %s"):format(replay.fluo, path, input))
  os.remove(input)
  if path ~= rules then os.remove(path) end
  assert.equal(0, status, stderr)
  local found = {}
  for text in stdout:gmatch("[^\n]+") do found[#found + 1] = cjson.decode(text) end
  return found
end

-- ---- a chatbot that calls itself -----------------------------------------------------------------

describe("a chatbot whose calls go from 10 a second to 100", function()
  local RULE = 'rule "calls" { when = window("1m"):by("service"):count():over_baseline { times = 10 } }\n'
  local CHANGE = 1800

  local function wobble(seed, mean)
    return function(second)
      if second == 0 then math.randomseed(seed) end
      return mean + math.random(-mean / 5, mean / 5)
    end
  end

  for name, before in pairs { ["steady"] = 10, ["that wobbled by a fifth"] = wobble(7, 10) } do
    -- Exactly ten times stands on the threshold: past 4,096 events it may cross twice there, by a bucket.
    it("fires within a minute of the change, and not before it: " .. name, function()
      local found = traffic("chatbot"):send(0, CHANGE, before):send(CHANGE, CHANGE + 75, 100):replay(RULE)
      assert.is_true(#found >= 1)
      assert.same({ service = "chatbot" }, found[1].group)
      assert.is_true(found[1].time > replay.clock(CHANGE * 1000), found[1].time)
      assert.is_true(found[1].time <= replay.clock((CHANGE + 60) * 1000), found[1].time)
    end)
  end

  it("is silent at a wobble of a fifth, and at nine times", function()
    for seed = 1, 5 do
      local found = traffic("chatbot"):send(0, CHANGE, wobble(seed, 10)):send(CHANGE, CHANGE + 120, 90):replay(RULE)
      assert.same({}, found, "seed " .. seed)
    end
  end)
end)

-- ---- a payment that got slower, and fails more ---------------------------------------------------

describe("a payment service that takes 300 ms more, and fails five times as often", function()
  local SLOW = 'rule "slow" { when = window("5m"):by("service"):p(95, "duration"):over_baseline { times = 1.5 }:min_samples(100) }\n'
  local FAILS = 'rule "fails" { when = window("5m"):by("service"):ratio { status = "ERROR" }:over(0.015):min_samples(500) }\n'

  -- Lognormal durations around 120 ms.
  local function payments(more, errors)
    return function(s)
      local u, v = 1 - math.random(), math.random()
      s.dur = 120 * math.exp(0.4 * math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)) + more
      s.status = math.random(1000) <= errors and "ERROR" or "OK"
    end
  end

  it("is found by its latency and by its errors, each once, within a window", function()
    math.randomseed(11)
    local found = traffic("payment"):send(0, 2400, 5, payments(0, 5)):send(2400, 2700, 5, payments(300, 25))
      :replay(SLOW .. FAILS)
    assert.equal(2, #found)
    for _, v in ipairs(found) do
      assert.is_true(v.time > replay.clock(2400000) and v.time <= replay.clock(2700000), v.time)
    end
    assert.is_true(found[1].rule ~= found[2].rule)
  end)

  it("is silent while nothing changes", function()
    for seed = 1, 3 do
      math.randomseed(seed)
      assert.same({}, traffic("payment"):send(0, 2700, 5, payments(0, 5)):replay(SLOW .. FAILS), "seed " .. seed)
    end
  end)
end)

-- ---- an account that somebody tries to get into --------------------------------------------------

describe("logins that fail", function()
  local RULE = 'rule "spike" { when = window("1m", { service = "auth", ["http.response.status_code"] = 401 })' ..
    ':by("enduser.id"):count():over(5) }\n'

  -- n failures of one account, evenly within so many ms, among others that each fail now and then.
  local function logins(n, within)
    local t, ids = traffic("auth"), 0
    local function failed(user)
      return ',"attributes":[{"key":"http.response.status_code","value":{"intValue":"401"}},' ..
        ('{"key":"enduser.id","value":{"stringValue":"%s"}}]'):format(user)
    end
    t:send(0, 300, 1, function(s)
      ids = ids + 1
      s.attributes = failed("user " .. ids % 20)
    end)
    for i = 1, n do
      t:send(300, 301, 1, function(s) s.at, s.attributes = 300000 + (i - 1) * within / (n - 1), failed("mallory") end)
    end
    return t:replay(RULE)
  end

  it("fire at the sixth within a minute, with all six", function()
    local found = logins(6, 59999)
    assert.equal(1, #found)
    assert.same({ { ["enduser.id"] = "mallory" }, 6, 6 }, { found[1].group, found[1].value, found[1].span_total })
    assert.equal(replay.clock(359999), found[1].time)
  end)

  it("do not at the fifth, nor where the sixth comes exactly a minute after the first", function()
    assert.same({}, logins(5, 1000))
    assert.same({}, logins(6, 60000))
  end)
end)

-- ---- bounds, to the event ------------------------------------------------------------------------

describe("ten thousand API calls within a minute", function()
  local RULE = 'rule "calls" { when = query "sum(api_calls) > 10000 during 1m" }\n'
  local CALLS = ',"attributes":[{"key":"api_calls","value":{"intValue":"%d"}}]'

  -- Ten batches of a thousand, a second apart; the last with `more` calls more.
  local function calls(more)
    local batch = 0
    return traffic("chatbot"):send(0, 10, 1, function(s)
      batch = batch + 1
      s.attributes = CALLS:format(batch == 10 and 1000 + more or 1000)
    end)
  end

  it("are silent, and one more is not", function()
    assert.same({}, calls(0):replay(RULE))
    local found = calls(1):replay(RULE)
    assert.same({ 1, 10001, replay.clock(9000) }, { #found, found[1].value, found[1].time })
  end)

  it("do not reach what happened exactly a minute ago", function()
    local function late(at)
      return calls(0):send(60, 61, 1, function(s) s.at, s.attributes = at, CALLS:format(1) end):replay(RULE)
    end
    assert.same({}, late(60000))
    assert.equal(1, #late(59999.999999))
  end)

  it("are counted one by one, too", function()
    local each = 'rule "calls" { when = window("1m"):count():over(10000) }\n'
    assert.same({}, traffic("chatbot"):send(0, 10, 1000):replay(each))
    local found = traffic("chatbot"):send(0, 10, 1000):send(10, 11, 1):replay(each)
    assert.same({ 1, 10001, replay.clock(10000) }, { #found, found[1].value, found[1].time })
  end)
end)

-- ---- nothing at all ------------------------------------------------------------------------------

describe("the shipped rules about what is normal", function()
  it("are silent on what real clients sent", function()
    local _, names = replay.shell("ls spec/fixtures/otlp/*.json spec/fixtures/otlp/*.pb | grep -v meta")
    local count = 0
    for name in names:gmatch("[^\n]+") do
      local status, stdout = replay.shell(("%s replay --rules rules %s"):format(replay.fluo, name))
      assert.is_nil(stdout:find('"scope":"window"', 1, true), name)
      if status == 0 then count = count + 1 end              -- some are logs and metrics
    end
    assert.is_true(count >= 18)
  end)

  for name, rate in pairs { ["constant traffic"] = 3, ["traffic that wobbles by a fifth"] = function() return math.random(8, 12) end } do
    it("are silent on two hours of " .. name, function()
      math.randomseed(4)
      local found = traffic("shop"):send(0, 7200, rate, function(s)
        s.dur, s.status = math.random(80, 120), math.random(1000) <= 5 and "ERROR" or nil
      end):replay("rules")
      assert.same({}, found)
    end)
  end
end)
