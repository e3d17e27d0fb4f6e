local world = require("spec.core.incident_world")
local core = world.core

describe("an incident", function()
  local w
  before_each(world.begin)
  after_each(world.finish)

  local function open(options)
    w = world.open(options)
    return w
  end

  it("is all violations of one rule and group", function()
    open()
    w:violate { group = { { "service", "a" } } }
    w:violate { group = { { "service", "b" } } }
    w:violate { rule = "q", group = { { "service", "a" } } }
    w:to(2)
    local incident = w:violate { group = { { "service", "a" } } }
    assert.same({ "0 opened r/a 1", "0 opened r/b 1", "0 opened q/a 1", "2 updated r/a 2" }, w.said)
    assert.equal(2, tonumber(incident.count))
    assert.same({ 3, 3 }, { w:stats().incidents, w:stats().open })
  end)

  it("is one, of count 1,000, for 1,000 violations in a second, and says so twice", function()
    open()
    local incident
    for n = 1, 1000 do incident = w:violates_at(n / 1000) end
    assert.equal(1000, tonumber(incident.count))
    w:to(59)
    assert.same({ "0.001 opened r 1", "1.001 updated r 1000" }, w.said)
    assert.same({ "1.001 ops opened r" }, w.notices)
  end)

  it("is one whichever way its violations are counted, and says the same", function()
    local shapes, policy = {}, { resolve_ns = 10, keep_firing_ns = 5 }
    for how, count in pairs {
      taken = function() return w:violate { policy = policy, to = {} } end,
      found = function(known) return w:count(known) end,
      known = function(known) return w:count_again(known) or w:count(known) end,
    } do
      open()
      local known = world.unknown()
      w:violate { policy = policy, to = {} }
      for _, at in ipairs { 0, 0, 0, 0.5, 0.5, 2, 2, 2, 3, 3.5, 3.5 } do
        w:to(at)
        count(known)
      end
      w:clear()
      local incident = count(known)
      shapes[how] = { tonumber(incident.count), tonumber(incident.last_seen_ns) }
      w:to(20)
      shapes[how].said = w.said
    end
    assert.same({ 13, world.START + 3.5e9, said = { "0 opened r 1", "1 updated r 6", "2 updated r 7", "3 updated r 9",
      "4 updated r 13", "18.5 resolved r 13" } }, shapes.known)
    assert.same({ shapes.known, shapes.known }, { shapes.found, shapes.taken })
  end)

  it("is not counted as the one that it was, once that is gone, or resolved, or of another rule", function()
    open()
    local known, none = world.unknown(), world.unknown()
    assert.is_nil(w:count(known))
    assert.is_nil(w:count_again(known))
    local incident = w:violate { policy = { resolve_ns = 10 }, to = {} }
    w:violate { rule = "q", policy = { resolve_ns = 1 }, to = {} }
    assert.equal(2, tonumber(w:count(known).count))
    assert.is_nil(w:count_again(none))
    assert.is_nil(w:count_again(known, "q"))
    assert.equal(3, tonumber(w:count_again(known).count))
    w:to(9)                                                              -- the other one is gone
    assert.is_nil(w:count_again(known))
    assert.equal(4, tonumber(w:count(known).count))
    w:resolve(incident)
    assert.same({}, { w:count_again(known), w:count(known) })
    w:to(30)                                                             -- this one, too
    assert.is_nil(w:count_again(known))
  end)

  it("keeps the newest eight violations, the newest first", function()
    open()
    local incident
    for _ = 1, 11 do incident = w:violate() end
    local ids = {}
    for k = 0, incident.exemplars_count - 1 do ids[k + 1] = tonumber(world.ffi.string(incident.exemplars[k].id), 16) end
    assert.same({ 11, 10, 9, 8, 7, 6, 5, 4 }, ids)
  end)

  it("has an id of its rule, its group and the violation that began it", function()
    open()
    local function id(v) return world.ffi.string(w:violate(v).id) end
    local first = id { id = 7 }
    assert.equal(32, #first)
    assert.equal(first, id { id = 8 })
    open()
    assert.equal(first, id { id = 7 })
    open()
    assert.are_not.equal(first, id { id = 9 })
    assert.are_not.equal(first, id { id = 7, rule = "q" })
    assert.are_not.equal(first, id { id = 7, group = { { "a", "b" } } })
  end)

  it("resolves when resolve_after has passed without a violation, five minutes by default", function()
    open()
    w:violate()
    w:violates_at(299)
    w:to(598.999)
    assert.equal(2, #w.said)
    w:to(599)
    assert.same({ "0 opened r 1", "299 updated r 2", "599 resolved r 2" }, w.said)
    open()
    w:violate { policy = { resolve_ns = 10 } }
    w:to(3600)
    assert.equal("10 resolved r 1", w.said[2])
  end)

  it("resolves, then reopens, where a violation comes exactly resolve_after later", function()
    open()
    w:violate { policy = { resolve_ns = 10 } }
    w:violates_at(10, { policy = { resolve_ns = 10 } })
    assert.same({ "0 opened r 1", "10 resolved r 1", "10 reopened r 2" }, w.said)
  end)

  it("is another one when a violation comes resolve_after or more after the resolve", function()
    open()
    local v = { policy = { resolve_ns = 10 } }
    local first = world.ffi.string(w:violate(v).id)
    w:to(20)
    assert.equal(first, world.ffi.string(w:violates_at(59, v).id))              -- nobody was told yet that it is over
    w:to(300)
    assert.equal(0, w:stats().incidents)
    assert.are_not.equal(first, world.ffi.string(w:violate(v).id))
    assert.equal("300 opened r 1", w.said[#w.said])
  end)

  it("is pending until violations have gone on for pending_for", function()
    open()
    local v = { policy = { pending_ns = 60 } }
    w:violate(v)
    w:violates_at(59.9, v)
    w:to(100)
    assert.same({}, w.said)
    assert.same({ 1, 0 }, { w:stats().pending, w:stats().open })
    w:violate(v)
    assert.same({ "100 opened r 3" }, w.said)
    w:to(102)
    assert.same({ "101 ops opened r" }, w.notices)
  end)

  it("opens at exactly pending_for after the first", function()
    open()
    w:violate { policy = { pending_ns = 60 } }
    w:violates_at(60, { policy = { pending_ns = 60 } })
    assert.same({ "60 opened r 2" }, w.said)
  end)

  it("that is pending lapses after resolve_after of silence, and begins anew", function()
    open()
    local v = { policy = { pending_ns = 60, resolve_ns = 30 } }
    local first = world.ffi.string(w:violate(v).id)
    w:to(30)
    assert.same({ 0, 1 }, { w:stats().incidents, w:stats().lapsed })
    w:violates_at(70, v)
    w:violates_at(95, v)
    w:violates_at(120, v)
    assert.same({}, w.said)
    w:violates_at(130, v)
    assert.same({ "130 opened r 4" }, w.said)
    for id in pairs(w.rows) do assert.are_not.equal(first, id) end
  end)

  it("needs violations in m of the last n minutes", function()
    open()
    local v = { policy = { m = 3, n = 5 } }
    for _, second in ipairs({ 0, 10, 59, 60, 300 }) do w:violates_at(second, v) end   -- minutes 0, 1 and 5
    assert.same({}, w.said)
    w:violates_at(359, v)
    assert.same({}, w.said)
    w:violates_at(379, v)                                                              -- 5 and 6
    assert.same({}, w.said)
    w:violates_at(420, v)                                                              -- 5, 6 and 7
    assert.same({ "420 opened r 8" }, w.said)
  end)

  it("goes on through keep_firing_for once it has cleared", function()
    open()
    local v = { policy = { keep_firing_ns = 100, resolve_ns = 10 } }
    w:violate(v)
    w:violates_at(109, v)
    w:to(218.9)
    assert.equal(2, #w.said)
    w:to(220)
    assert.same({ "0 opened r 1", "109 updated r 2", "219 resolved r 2" }, w.said)
  end)

  it("clears at once when resolve_when comes, and resolves keep_firing_for later", function()
    open()
    w:violate()
    w:to(5)
    w:clear()
    assert.same({ "0 opened r 1", "5 resolved r 1" }, w.said)
    open()
    w:violate { policy = { keep_firing_ns = 20 } }
    w:to(5)
    w:clear()
    w:clear("other")
    w:violates_at(24, { policy = { keep_firing_ns = 20 } })                            -- not over after all
    w:to(30)
    assert.same({ "0 opened r 1", "24 updated r 2" }, w.said)
    w:clear()
    w:to(50)
    assert.equal("50 resolved r 2", w.said[3])
  end)

  it("that is pending is gone when resolve_when comes", function()
    open()
    w:violate { policy = { pending_ns = 60 } }
    w:clear()
    assert.equal(0, w:stats().incidents)
  end)

  it("stays quiet for cooldown after it has resolved, and counts what came meanwhile", function()
    open()
    local v = { policy = { resolve_ns = 10, cooldown_ns = 100 } }
    w:violate(v)
    w:to(10)
    w:violates_at(50, v)
    w:violates_at(109.9, v)
    assert.same({ "0 opened r 1", "10 resolved r 1", "50 updated r 2", "109.9 updated r 3" }, w.said)
    assert.equal(2, w:stats().cooled)
    w:violates_at(110, v)
    assert.equal("110 reopened r 4", w.said[5])
  end)

  it("that comes back takes twice as long to resolve, up to sixteen times", function()
    open()
    local v, spells = { policy = { resolve_ns = 10 } }, {}
    w:violate(v)
    for _ = 1, 7 do
      local began = w:seconds()
      while w.said[#w.said]:match("%a+") ~= "resolved" do w:to(w:seconds() + 1) end
      spells[#spells + 1] = w:seconds() - began
      w:violate(v)
    end
    assert.same({ 10, 20, 40, 80, 160, 160, 160 }, spells)
  end)

  it("goes on by renewals as by violations, but they count nothing", function()
    open()
    local incident = w:violate { policy = { pending_ns = 60, resolve_ns = 30 } }
    for second = 10, 60, 10 do w:to(second):renew() end
    assert.same({ "60 opened r 1" }, w.said)
    for second = 70, 200, 10 do w:to(second):renew() end
    w:to(231)
    assert.same({ "60 opened r 1", "230 resolved r 1" }, w.said)
    w:renew()
    assert.equal(2, #w.said)
    assert.equal(1, tonumber(incident.count))
  end)

  it("is acknowledged once, and open again when it reopens", function()
    open()
    local incident = w:violate { policy = { resolve_ns = 10 } }
    assert.is_true(w:acknowledge(incident))
    assert.is_false(w:acknowledge(incident))
    assert.same({ 0, 1 }, { w:stats().open, w:stats().acknowledged })
    w:violates_at(12, { policy = { resolve_ns = 10 } })
    assert.same({ "0 opened r 1", "0 acknowledged r 1", "10 resolved r 1", "12 reopened r 2" }, w.said)
    assert.same({ 1, 0 }, { w:stats().open, w:stats().acknowledged })
  end)

  it("is resolved by hand", function()
    open()
    local incident = w:violate { policy = { keep_firing_ns = 1000 } }
    w:to(3)
    assert.is_true(w:resolve(incident))
    assert.is_false(w:resolve(incident))
    assert.is_false(w:acknowledge(incident))
    assert.same({ "0 opened r 1", "3 resolved r 1" }, w.said)
    assert.is_false(core.incidents_resolve(w.room, world.id(12345), w.now))
  end)

  it("counts what is open by rule and severity, shadows aside", function()
    open()
    w:violate { severity = 2 }
    w:violate { severity = 2, group = { { "a", "b" } } }
    w:acknowledge(w:violate { severity = 3, group = { { "a", "c" } } })
    w:violate { rule = "q", shadow = true }
    local seen = {}
    local each = world.ffi.cast("void (*)(void *, const struct incident_rule *)", function(_, rule)
      seen[#seen + 1] = ("%d%d%d%d"):format(rule.open[0], rule.open[1], rule.open[2], rule.open[3])
    end)
    core.incidents_each_rule(w.room, each, nil)
    assert.same({ "0021", "0000" }, seen)
    w:violate { severity = 0 }
    seen = {}
    core.incidents_each_rule(w.room, each, nil)
    assert.same({ "1011", "0000" }, seen)
    each:free()
  end)

  it("in shadow has a life, and nobody is told", function()
    open()
    w:violate { shadow = true }
    w:to(400)
    assert.same({ "0 opened r 1", "300 resolved r 1" }, w.said)
    assert.same({}, w.notices)
  end)

  -- ---- bounds --------------------------------------------------------------------------------------

  local function service(n) return { { "service", "s" .. n } } end

  it("makes room by what is resolved first, then by what is pending, and else is refused", function()
    open { incidents_max = 3 }
    w:resolve(w:violate { group = service(1), to = {} })
    w:violate { group = service(2), policy = { pending_ns = 60 } }
    w:violate { group = service(3), to = {} }
    w:violate { group = service(4) }
    assert.same({ 1, 1 }, { w:stats().forgotten, w:stats().pending })
    w:violate { group = service(5) }
    assert.same({ 2, 0 }, { w:stats().forgotten, w:stats().pending })
    assert.is_nil(w:violate { group = service(6) })
    assert.same({ 2, 1, 3 }, { w:stats().forgotten, w:stats().refused, w:stats().open })
    assert.is_truthy(w:violate { group = service(5) })
  end)

  it("is refused where its rule has so many that burn, and others are not", function()
    open { groups_max = 2 }
    for n = 1, 3 do w:violate { group = service(n) } end
    assert.same({ 1, 2 }, { w:stats().refused, w:stats().open })
    assert.is_truthy(w:violate { rule = "q" })
  end)

  it("that is refused is told of once a minute for each rule that has too many", function()
    open { groups_max = 2 }
    for n = 1, 2 do
      w:violate { group = service(n) }
      w:violate { rule = "q", group = service(n), shadow = true }
    end
    local function refused(rule, shadow) return select(2, w:violate { rule = rule, group = service(3), shadow = shadow }) end
    assert.same({ { 2, true, false }, { 2, true, true } }, { refused("r"), refused("q", true) })
    w:to(59.9)
    assert.is_nil(refused("r"))
    w:to(60)
    assert.same({ 2, true, false }, refused("r"))
  end)

  it("that is refused is told of once a minute for all rules where all have too many", function()
    open { incidents_max = 2 }
    for n = 1, 2 do w:violate { group = service(n) } end
    assert.same({ 2, false, false }, select(2, w:violate { rule = "q" }))
    assert.is_nil(select(2, w:violate { rule = "p" }))
  end)

  it("gives up texts of violations as they fill their room, the older ones first", function()
    open { exemplar_bytes_max = 1000 }
    local json = '"' .. ("x"):rep(98) .. '"'
    local incident
    for _ = 1, 8 do incident = w:violate { json = json } end
    assert.is_true(w:stats().exemplar_bytes <= 600)
    assert.equal(100, incident.exemplars[0].json_bytes)
    assert.equal(8, incident.exemplars_count)
    for n = 1, 20 do w:violate { json = json, group = service(n) } end
    assert.same({ 1000, 13 }, { w:stats().exemplar_bytes, w:stats().exemplars_lost })
    w:violate { json = ("x"):rep(70000), rule = "q" }
    assert.equal(14, w:stats().exemplars_lost)
  end)

  it("is refused or whole, whichever allocation fails", function()
    local n = 0
    repeat
      open()
      n = n + 1
      local v = { group = service(1), labels = { { "team", "x" } }, to = { "a", "b" }, policy = { m = 1, n = 2 }, fail = n }
      local incident = w:violate(v)
      local failed = w.failed
      assert.equal(incident == nil, w:stats().refused == 1)
      v.fail = nil
      w:violate(v)
      w:to(10)
      table.sort(w.notices, function(a, b) return a:match("%S+ (%S+)") < b:match("%S+ (%S+)") end)
      assert.same({ "a", "b" }, { w.notices[1]:match("%S+ (%S+)"), w.notices[2]:match("%S+ (%S+)") })
    until not failed
    assert.is_true(n > 15)
  end)

  it("is made, whichever allocation fails, or not at all", function()
    local options = { receivers = { { name = "x" } }, mute = { { matchers = "a=b", days = 1, from = 0, to = 1 } },
                      inhibit = { { source = 'a="b"', target = "c=~d.*", equal = { "service" } } } }
    local n, done = 0, false
    while not done do
      n = n + 1
      core.heap_fail_only(n)
      local made, err = world.open(options)
      done = core.heap_failed() == 0
      core.heap_fail_from(0)
      if made then made:close() else assert.equal(-1, err) end
      assert.is_true(n < 100)
    end
    assert.is_true(n > 10)
  end)
end)
