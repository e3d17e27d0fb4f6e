local world = require("spec.core.incident_world")
local core, ffi = world.core, world.ffi

describe("matchers", function()
  local function matchers(text)
    local out, why = ffi.new("struct matchers *[1]"), ffi.new("char[160]")
    local err = core.matchers_new(text, #text, out, why)
    if err ~= 0 then return nil, ffi.string(why), err end
    return out[0]
  end

  local scratch = ffi.new("struct regex_scratch *[1]")
  setup(function() core.regex_scratch_new(10000, scratch) end)
  teardown(function() core.regex_scratch_free(scratch[0]) end)

  local function text(s) return ffi.new("struct text", s, #s) end
  local group = world.labels { { "service", "checkout" }, { "team", "of the group" } }
  local labels = world.labels { { "team", "of the rule" }, { "a.b-c/d", "x" }, { "rule", "hidden" } }
  local one = ffi.new("struct matchable", text("slow"), text("high"), { group, #group }, { labels, #labels })

  for list, expected in pairs({
    ['rule="slow"'] = true, ['rule=slow'] = true, ['{rule="slow"}'] = true, [' { rule = slow , } '] = true,
    ['rule="slo"'] = false, ['rule="hidden"'] = false, ['rule!="slow"'] = false, ['rule!="x"'] = true,
    ['severity=~"high|critical"'] = true, ['severity=~"hig"'] = false, ['severity!~"hig"'] = true, ['severity!~"h.*"'] = false,
    ['service=checkout, team="of the group"'] = true, ['service=checkout, team="of the rule"'] = false,
    ['a.b-c/d=x'] = true, ['"a.b-c/d"="x"'] = true, ['none=""'] = true, ['none!=""'] = false, ['none!=x'] = true, ['none=~".*"'] = true,
    ['rule="sl\\"ow"'] = false, ['severity="high",rule="x"'] = false,
  }) do
    it(list .. (expected and " hold" or " do not hold"), function()
      local m = assert(matchers(list))
      assert.equal(expected, core.matchers_hold(m, one, scratch[0]))
      core.matchers_free(m)
    end)
  end

  for list, why in pairs({
    [""] = "a name at byte 1", ["{}"] = "a name at byte 2", ["rule"] = "= != =~ or !~ at byte 5", ["rule!"] = "behind the !",
    ["rule="] = "a value", ['rule="x'] = "a closing quote at byte 8", ['rule="\\x"'] = "at byte 8", ["rule=x y"] = "the end at byte 8",
    ["{rule=x"] = "a closing brace", ["rule=x}"] = "the end", ['rule=~"("'] = "regular expression", [("a=b,"):rep(17)] = "at most 16",
    [("a"):rep(5000)] = "longer than", ["rule=x,,"] = "a name",
  }) do
    it("are none: " .. list:sub(1, 20), function()
      local live = core.heap_live()
      local m, said, err = matchers(list)
      assert.is_nil(m)
      assert.equal(-10, err)
      assert.truthy(said:find(why, 1, true), said)
      assert.equal(live, core.heap_live())
    end)
  end

  it("read every beginning of a list without reading past it", function()
    local whole = '{rule=~"sl.w|x", "team"!="\\"y\\\\\\n", a!~b, c=d}'
    for n = 0, #whole do
      local p, length, free = require("spec.support").guarded(whole:sub(1, n))
      local out, why = ffi.new("struct matchers *[1]"), ffi.new("char[160]")
      local err = core.matchers_new(ffi.cast("const char *", p), length, out, why)
      assert.equal(n == #whole and 0 or -10, err)
      if err == 0 then core.matchers_free(out[0]) end
      free()
    end
  end)

  it("that would take too long hold neither way", function()
    local hostile = ffi.new("struct matchable", text(("a"):rep(5000)), text("high"))
    for _, list in ipairs({ 'rule=~"(a*)*(a*)*b.*c"', 'rule!~"(a*)*(a*)*b.*c"' }) do
      local m = assert(matchers(list))
      local holds = core.matchers_hold(m, hostile, scratch[0])
      if list:find("=~", 1, true) then assert.is_false(holds) end
      core.matchers_free(m)
    end
  end)
end)

describe("a mute time", function()
  local NINE, FIVE = 9 * 60, 17 * 60
  local function is(days, from, to, offset, day, hour, minute)       -- day 0: Thursday, 1 January 1970
    local m = ffi.new("struct mute_time", { days = days, from_minute = from, to_minute = to, offset_minutes = offset })
    return core.mute_time_is(m, ((day * 24 + hour) * 60 + minute) * 60e9)
  end
  local THURSDAY, FRIDAY, SATURDAY = 16, 32, 64

  it("is from its first minute on, until its last is over", function()
    assert.same({ false, true, true, false },
      { is(THURSDAY, NINE, FIVE, 0, 0, 8, 59), is(THURSDAY, NINE, FIVE, 0, 0, 9, 0), is(THURSDAY, NINE, FIVE, 0, 0, 16, 59),
        is(THURSDAY, NINE, FIVE, 0, 0, 17, 0) })
    assert.same({ false, true, false }, { is(FRIDAY, NINE, FIVE, 0, 0, 12, 0), is(FRIDAY, NINE, FIVE, 0, 1, 12, 0), is(FRIDAY, NINE, FIVE, 0, 2, 12, 0) })
    assert.is_true(is(FRIDAY, NINE, FIVE, 0, 1 + 7 * 3000, 12, 0))
  end)

  it("that ends before it begins ends on the next day", function()
    assert.same({ true, true, false, false }, { is(FRIDAY, FIVE, NINE, 0, 1, 17, 0), is(FRIDAY, FIVE, NINE, 0, 2, 8, 59),
      is(FRIDAY, FIVE, NINE, 0, 2, 9, 0), is(FRIDAY, FIVE, NINE, 0, 1, 8, 0) })
    assert.same({ true, true }, { is(SATURDAY, 0, 0, 0, 2, 0, 0), is(SATURDAY, 0, 0, 0, 2, 23, 59) })
    assert.same({ false, false }, { is(SATURDAY, 0, 0, 0, 3, 0, 0), is(SATURDAY, 0, 0, 0, 1, 23, 59) })
  end)

  it("is of its offset's days and hours", function()
    assert.is_true(is(FRIDAY, 0, 60, 120, 0, 22, 0))                    -- Friday 00:00, two hours east
    assert.is_false(is(FRIDAY, 0, 60, 120, 1, 0, 0))
    assert.is_true(is(8, FIVE, FIVE + 60, -480, 0, 1, 0))               -- Wednesday 17:00, eight hours west, in 1969
  end)
end)

describe("what keeps people from being told", function()
  local w
  before_each(world.begin)
  after_each(world.finish)

  local function open(options)
    w = world.open(options)
    return w
  end
  local function service(name) return { { "service", name } } end

  it("is a silence, until its end; what still burns then is said", function()
    open { again = 100000 }
    w:silence('service="a"', 200)
    w:violate { group = service "a", policy = { resolve_ns = 1000 } }
    w:violate { group = service "b", policy = { resolve_ns = 1000 } }
    w:to(300)
    assert.same({ "1 ops opened r/b", "241 ops silence-ended r/a" }, w.notices)
    assert.same({ "0 added service=\"a\"", "200 ended service=\"a\"" }, w.silences)
    assert.equal(4, w:stats().silenced)                                  -- at 1, 61, 121 and 181
  end)

  it("is a silence of what was said before: it is said again when it ends", function()
    open { again = 100000 }
    w:violate { policy = { resolve_ns = 1000 } }
    w:to(10)
    local id = w:silence('rule="r"', 1000)
    w:to(100)
    assert.is_true(w:unsilence(id))
    assert.is_false(w:unsilence(id))
    w:to(900)
    assert.same({ "1 ops opened r", "121 ops silence-ended r" }, w.notices)
    assert.same({ world.id(1), world.id(1) .. ".silence-ended-1" }, w.ids)
  end)

  it("is a silence that came and went between two looks: nobody notices", function()
    open { again = 100000 }
    w:violate { policy = { resolve_ns = 1000 } }
    w:to(10)
    w:silence('rule="r"', 20)
    w:to(900)
    assert.same({ "1 ops opened r" }, w.notices)
  end)

  it("is a silence when it is over: whoever knew that it burnt is told after the silence", function()
    open()
    w:violate { policy = { resolve_ns = 50 } }
    w:to(10)
    w:silence('rule="r"', 1000)
    w:to(3000)
    assert.same({ "1 ops opened r", "1021 ops resolved -r" }, w.notices)
    w:forget()
    w:silence('rule="r"', 1000)
    w:violate { policy = { resolve_ns = 50 } }
    w:to(6000)
    assert.same({}, w.notices)                                          -- nobody knew
  end)

  it("is a silence until all that it held has resolved", function()
    open()
    w:silence('rule=~"r|q"')
    w:violate { rule = "r", policy = { resolve_ns = 100 } }
    w:violate { rule = "q", policy = { resolve_ns = 400 } }
    w:to(399)
    assert.equal(1, #w.silences)
    w:to(400)
    assert.equal('400 ended rule=~"r|q"', w.silences[2])
    w:to(1000)
    assert.same({}, w.notices)
  end)

  it("is a silence until resolved: it ends after a day in which it held nothing", function()
    open()
    w:silence('rule="other"')
    w:to(86399)
    w:violate()
    assert.equal(1, #w.silences)
    w:to(86400)
    assert.equal('86400 ended rule="other"', w.silences[2])
  end)

  it("is a silence that begins while incidents burn, and knows them by their new labels", function()
    open()
    w:violate { labels = { { "team", "x" } } }
    w:silence("team=x")
    assert.equal(1, tonumber(core.incidents_silence_at(w.room, 0).burning))
    w:violate { labels = { { "team", "y" } } }
    assert.equal(0, tonumber(core.incidents_silence_at(w.room, 0).burning))
    w:violate { labels = { { "team", "x" } }, severity = 3 }
    w:to(2)
    assert.same({}, w.notices)
    w:to(400)
    assert.equal("300 ended team=x", w.silences[2])
  end)

  it("are 256 silences at most, each with an answer", function()
    open()
    for n = 1, 256 do assert.equal(32, #assert(w:silence("a=b" .. n, 100))) end
    local _, err, why = w:silence("a=b", 100)
    assert.same({ -7, "full" }, { err, why })
    assert.equal(256, w:stats().silences)
    w:to(100)
    assert.equal(0, w:stats().silences)
    assert.is_true(core.incidents_silence_at(w.room, 0) == nil)
    _, err, why = w:silence("a", 100)
    assert.equal(-10, err)
    assert.truthy(why:find("= != =~ or !~", 1, true))
    _, err, why = w:silence("a=b", -1)
    assert.same({ -10, "it ends before it begins" }, { err, why })
  end)

  it("are silences that are whole or not at all, whichever allocation fails", function()
    open()
    local n, failed = 0
    repeat
      n = n + 1
      core.heap_fail_only(n)
      local id, err = w:silence("a=~b.*", 100 + n)
      failed = core.heap_failed() > 0
      core.heap_fail_from(0)
      assert.is_true(id ~= nil or err == -1)
    until not failed
    assert.equal(1, w:stats().silences)
    assert.is_true(n > 5)
  end)

  it("are silences as the API shows them", function()
    open()
    local id = w:silence('rule="r"', 60)
    assert.equal(('{"id":"%s","matchers":"rule=\\"r\\"","created_by":"me","comment":"because","created_at":"1970-01-12T13:46:00.000000000Z"'):format(id)
      .. ',"ends_at":"1970-01-12T13:47:00.000000000Z","incidents":0}', world.silence_json(core.incidents_silence_at(w.room, 0)))
  end)

  it("is the cause, while it burns, and equals the target in what must be equal", function()
    open { inhibit = { { source = 'rule="down"', target = 'rule="slow"', equal = { "service" } } } }
    local down = w:violate { rule = "down", group = service "a", policy = { resolve_ns = 1000 } }
    w:violate { rule = "slow", group = service "a", policy = { resolve_ns = 1000 } }
    w:violate { rule = "slow", group = service "b", policy = { resolve_ns = 1000 } }
    w:to(30)
    assert.same({ "1 ops opened down/a", "1 ops opened slow/b" }, w.notices)
    w:resolve(down)
    w:to(100)
    table.sort(w.notices)
    assert.same({ "61 ops opened slow/a", "61 ops resolved -down/a" }, { unpack(w.notices, 3) })
    assert.equal(1, w:stats().inhibited)
  end)

  it("is not one that matches both sides, of another that does, nor itself", function()
    open { inhibit = { { source = 'severity=~"high|critical"', target = 'severity=~".*"' } } }
    w:violate { rule = "a", severity = 2 }
    w:violate { rule = "b", severity = 3 }
    w:violate { rule = "c", severity = 1 }
    w:to(2)
    table.sort(w.notices)
    assert.same({ "1 ops opened a", "1 ops opened b" }, w.notices)
  end)

  it("is a cause that is pending or resolved: it keeps nobody from being told", function()
    open { inhibit = { { source = 'rule="down"', target = 'rule="slow"' } } }
    w:violate { rule = "down", policy = { pending_ns = 1000 } }
    w:violate { rule = "slow" }
    w:to(2)
    assert.same({ "1 ops opened slow" }, w.notices)
  end)

  it("are inhibitions that mean something: else the configuration is wrong", function()
    local _, err, why = world.open { inhibit = { { source = "rule", target = "a=b" } } }
    assert.same({ -10, "inhibit[1].source: expected = != =~ or !~ at byte 5" }, { err, why })
    _, err, why = world.open { mute = { { days = 1, from = 0, to = 1 }, { matchers = "x", days = 1, from = 0, to = 1 } } }
    assert.same({ -10, "mute[2].matchers: expected = != =~ or !~ at byte 2" }, { err, why })
  end)

  it("is a mute time; what burns when it is over is said then", function()
    -- The world begins at 13:46 on Monday, 12 January 1970.
    open { mute = { { days = 2, from = 13 * 60, to = 13 * 60 + 50, matchers = 'severity="medium"' } } }
    w:violate { rule = "a", policy = { resolve_ns = 1000 } }
    w:violate { rule = "b", severity = 3, policy = { resolve_ns = 1000 } }
    w:to(300)
    assert.same({ "1 ops opened b", "241 ops opened a" }, w.notices)
    assert.equal(4, w:stats().muted)
  end)
end)
