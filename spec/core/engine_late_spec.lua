-- Late spans where they meet what is still going on: a judgment that is out, answers that are, a reload, the end.
local spine = require("spec.core.spine")
local cjson = require("cjson")
local replay = require("spec.replay")
local core, ffi = spine.core, spine.ffi

local TWO = 'rule "two" { when = trace.count { name = "a" }:over(1), late = true }\n'
local LONE = 'rule "lone" { when = trace.has { name = "a" } * trace.count { name = "a" }:under(2) }\n'
local ASKED = 'rule "two" { when = trace.count { name = "a", where = function() return true end }:over(1), late = true }\n'
local ABSENT = 'rule "absent" { when = trace.has { name = "a" } * trace.missing { name = "n" }, late = true }\n'

local function post(s, text, trace)
  local body = cjson.encode(replay.request(replay.arrival(text, trace or "t")))
  assert.equal(200, s:post(body, { type = spine.JSON }))
end

-- What fired, by rule: how often, and whether late.
local function fired(s)
  local out = {}
  for key, n in pairs(s.found) do
    local rule = key:match("^%S+")
    out[rule] = (out[rule] or "") .. (s.late[key] and "late" or "in time") .. (n > 1 and " twice" or "")
  end
  return out
end

local function store_stats(s)
  local stats = ffi.new("struct store_stats")
  core.store_stats_get(core.engine_store(s.engine), s.now, stats)
  return stats
end

describe("a late span", function()
  local s
  setup(function() jit.off() end)
  teardown(function() jit.on() end)
  after_each(function()
    s:stats()
    s:finish()
  end)

  it("that comes while the close is being judged is not part of that, and is judged next", function()
    s = assert(spine.open(TWO .. LONE .. ABSENT))
    post(s, "a@0 x@1")
    s:run()
    s:advance(11)
    post(s, "a2@2 n@3")
    s:run()
    assert.same({ two = "late", lone = "in time", absent = "in time" }, fired(s))
  end)

  it("that comes while answers about spans in time are out is not part of the close either", function()
    s = assert(spine.open(ASKED .. LONE .. ABSENT))
    post(s, "a@0")
    s:advance(11)                                          -- no answer was read yet
    post(s, "a2@2 n@3")
    s:run()
    assert.same({ two = "late", lone = "in time", absent = "in time" }, fired(s))
  end)

  it("that comes while late ones are judged is judged after them, once", function()
    s = assert(spine.open('rule "three" { when = trace.count { name = "a", where = function() return true end }:exactly(3), late = true }\n'))
    post(s, "a@0")
    s:run()
    s:advance(11)
    s:run()
    for i = 1, 4 do post(s, ("b%d@2"):format(i)) end
    post(s, "a1@2")
    s:turn()
    post(s, "a2@2")
    s:run()
    assert.same({ three = "late" }, fired(s))
  end)

  it("is in flight until it is judged, and never afterwards", function()
    s = assert(spine.open(ASKED:gsub("over%(1%)", "over(0)")))
    post(s, "x@0")
    s:run()
    s:advance(11)
    s:run()
    assert.same({ 0, 1 }, { tonumber(s:stats().in_flight), tonumber(s:stats().evaluated) })
    post(s, "a@0")
    assert.equal(1, tonumber(s:stats().in_flight))
    s:run()
    assert.same({ 0, 2 }, { tonumber(s:stats().in_flight), tonumber(s:stats().evaluated) })
    assert.equal(1, tonumber(s:stats().judgments))         -- the first look asked nothing
    s:advance(61)
    assert.same({ 2, 0 }, { tonumber(s:stats().evaluated), tonumber(store_stats(s).traces_kept) })
  end)

  it("of a trace that no late rule needs any more finds nothing kept", function()
    s = assert(spine.open(ABSENT))
    for trace, text in pairs { waits = "x@0", fired = "a@0", passed = "n@0", both = "n@0 a@1" } do post(s, text, trace) end
    s:run()
    s:advance(11)
    s:run()
    assert.equal(1, tonumber(store_stats(s).traces_kept))
    post(s, "a@2", "waits")
    s:run()
    assert.equal(0, tonumber(store_stats(s).traces_kept))
    assert.equal(2, tonumber(core.engine_rule_stats(s.engine, 0).violations))
  end)

  it("is judged by the rules that its trace began with; others in force do not hold these for ever", function()
    s = assert(spine.open(TWO))
    post(s, "a@0")
    s:run()
    s:advance(11)
    s:run()
    s:reload('rule "other" { when = { name = "a" } }')
    s:run()
    assert.equal(2, core.host_editions(s.host))
    post(s, "x@2")
    s:run()
    s:advance(0)
    assert.equal(1, core.host_editions(s.host))
    assert.same({}, fired(s))
  end)

  it("after a reload is seen by late rules from before it", function()
    s = assert(spine.open(TWO))
    post(s, "a@0")
    s:run()
    s:advance(11)
    s:run()
    s:reload('rule "other" { when = { name = "b" } }')
    s:run()
    post(s, "a2@2")
    s:run()
    assert.same({ two = "late" }, fired(s))
  end)

  it("does not hold up the end: what is kept has nothing left to decide", function()
    s = assert(spine.open(TWO))
    post(s, "a@0")
    s:run()
    s:advance(11)
    s:run()
    s:close_all()
    assert.is_true(core.engine_idle(s.engine))
    assert.is_true(core.engine_next_due(s.engine) == 0xffffffffffffffffULL)
  end)
end)

describe("a trace first seen within trace.max_age of the agent's start", function()
  local NEAR, ABSENCE = spine.T0 - 3300 * spine.SECOND, 'rule "absent" { when = trace.missing { name = "n" }, late = true }\n'
  local s
  setup(function() jit.off() end)
  teardown(function() jit.on() end)
  after_each(function() s:finish() end)

  -- Requests of one trace, the first at this time, a second apart; until it closed. Gives what fired, and unknowns.
  local function seen(at, ...)
    s = assert(spine.open(ABSENCE))
    s.now = at
    for _, text in ipairs { ... } do
      post(s, text)
      s:advance(1)
    end
    s:run()
    s:advance(10)
    s:run()
    return { fired(s).absent or "no", s:unknown() }
  end

  it("leaves an absence unknown if it holds an orphan, to the nanosecond", function()
    assert.same({ "no", 1 }, seen(NEAR - 1, "a@0<gone"))
    s:finish()
    assert.same({ "in time", 0 }, seen(NEAR, "a@0<gone"))
    s:finish()
    assert.same({ "in time", 0 }, seen(NEAR - 1, "a@0"))
    s:finish()
    assert.same({ "in time", 0 }, seen(NEAR - 1, "a@0<b", "b@0"), "no orphan by the close")
    s:finish()
    assert.same({ "no", 1 }, seen(NEAR - 1, "a@0", "b@0<gone"), "first seen then")
  end)

  it("is whole for a late rule once the parent came, which counts as unknown no second time", function()
    assert.same({ "no", 1 }, seen(NEAR - 1, "a@0<b"))
    post(s, "x@0")
    s:run()
    assert.same({ {}, 1 }, { fired(s), s:unknown() })
    post(s, "b@0")
    s:run()
    assert.same({ { absent = "late" }, 1 }, { fired(s), s:unknown() })
  end)
end)
