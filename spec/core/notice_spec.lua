local world = require("spec.core.incident_world")
local core = world.core

-- Alertmanager's rules for groups (its dispatcher and its deduplication), one by one, and what is ours beside them.
describe("notices", function()
  local w
  before_each(world.begin)
  after_each(world.finish)

  local function open(options)
    w = world.open(options)
    return w
  end

  local function service(name) return { { "service", name } } end

  describe("as Alertmanager's", function()
    local by_rule = { group_by = { "rule" }, wait = 10, interval = 60, again = 300 }

    it("wait group_wait for the first, and take what came meanwhile", function()
      open(by_rule)
      w:violate { group = service "a" }
      w:violates_at(9, { group = service "b" })
      w:to(9.9)
      assert.same({}, w.notices)
      w:to(10)
      assert.same({ "10 ops opened r/b r/a" }, w.notices)
    end)

    it("are looked at every group_interval from then on, and say what is new", function()
      open(by_rule)
      w:violate { group = service "a" }
      w:violates_at(11, { group = service "b" })
      w:violates_at(75, { group = service "c" })
      w:to(131)
      assert.same({ "10 ops opened r/a", "70 ops updated r/b r/a", "130 ops updated r/c r/b r/a" }, w.notices)
    end)

    it("say nothing where nothing changed, however much is counted, until repeat_interval has passed", function()
      open(by_rule)
      for second = 0, 700, 5 do w:violates_at(second) end
      assert.same({ "10 ops opened r", "310 ops repeated r", "610 ops repeated r" }, w.notices)
    end)

    it("say what has resolved at the next group_interval, once", function()
      open(by_rule)
      w:violate { group = service "a", policy = { resolve_ns = 30 } }
      w:violate { group = service "b" }
      w:to(200)
      assert.same({ "10 ops opened r/b r/a", "70 ops updated r/b -r/a" }, w.notices)
      w:to(800)
      assert.same({ "310 ops resolved -r/b" }, { w.notices[3], w.notices[4] })
    end)

    it("do not speak of what came and went within an interval", function()
      open(by_rule)
      w:violate { policy = { resolve_ns = 5 } }
      w:to(200)
      assert.same({}, w.notices)
      w:violate { group = service "a" }
      w:violates_at(220, { group = service "b", policy = { resolve_ns = 5 } })
      w:to(400)
      assert.same({ "210 ops opened r/a" }, w.notices)
    end)

    it("do not speak of what was resolved and came back within an interval", function()
      open(by_rule)
      w:violate { policy = { resolve_ns = 5 } }
      w:violates_at(4, { policy = { resolve_ns = 100 } })
      w:to(12)
      w:clear()
      w:violates_at(20, { policy = { resolve_ns = 100 } })
      w:to(100)
      assert.same({ "10 ops opened r" }, w.notices)
    end)

    it("let a group go once it is empty, and the next one waits group_wait again", function()
      open(by_rule)
      w:violate { policy = { resolve_ns = 20 } }
      w:to(71)
      w:violates_at(75, { rule = "r" })
      w:to(129)
      assert.same({ "10 ops opened r", "70 ops resolved -r" }, w.notices)           -- one notice an interval
      w:to(130)
      assert.equal("130 ops opened r", w.notices[3])
      w:to(1000)
      w:forget()
      w:violate()
      w:to(1010)
      assert.same({ "1010 ops opened r" }, w.notices)
    end)

    it("of groups by the values of group_by, absent ones being one value", function()
      open { group_by = { "team", "severity" }, wait = 1 }
      w:violate { rule = "a", labels = { { "team", "x" } } }
      w:violate { rule = "b", labels = { { "team", "x" } } }
      w:violate { rule = "c", labels = { { "team", "x" } }, severity = 3 }
      w:violate { rule = "d" }
      w:violate { rule = "e", group = { { "team", "y" } } }
      w:violate { rule = "f" }
      w:to(2)
      table.sort(w.notices)
      assert.same({ "1 ops opened b a", "1 ops opened c", "1 ops opened e/y", "1 ops opened f d" }, w.notices)
    end)

    it("to each receiver by its own times, and without resolves where it wants none", function()
      open { receivers = { { name = "page", wait = 0, interval = 30, unsaid = true }, { name = "mail", wait = 40 } } }
      w:violate { to = { "page", "mail" }, policy = { resolve_ns = 50 } }
      w:to(300)
      assert.same({ "0 page opened r", "40 mail opened r", "100 mail resolved -r" }, w.notices)
    end)
  end)

  it("of one incident: after a second, and when it is over", function()
    open()
    w:violate { policy = { resolve_ns = 60 } }
    w:to(600)
    assert.same({ "1 ops opened r", "61 ops resolved -r" }, w.notices)
  end)

  it("of one that came back say so", function()
    open()
    w:violate { policy = { resolve_ns = 60 } }
    w:to(65)
    w:violate { policy = { resolve_ns = 60 } }
    w:to(400)
    assert.same({ "1 ops opened r", "61 ops resolved -r", "121 ops reopened r", "241 ops resolved -r" }, w.notices)
  end)

  it("of what was acknowledged are not repeated, but its end is said", function()
    open { again = 120 }
    local incident = w:violate()
    w:to(2)
    w:acknowledge(incident)
    for second = 10, 600, 10 do w:violates_at(second) end
    w:to(1000)
    assert.same({ "1 ops opened r", "901 ops resolved -r" }, w.notices)
  end)

  it("name a delivery by the newest violation that it is the first to carry", function()
    open { group_by = { "rule" }, again = 120 }
    w:violate { id = 1, group = service "a", policy = { resolve_ns = 1000 } }
    w:violate { id = 2, group = service "a", policy = { resolve_ns = 1000 } }
    w:violates_at(30, { id = 3, group = service "b", policy = { resolve_ns = 140 } })
    w:violates_at(900, { id = 4, group = service "a", policy = { resolve_ns = 1000 } })
    w:to(3000)
    assert.same({ "1 ops opened r/a", "61 ops updated r/b r/a", "181 ops updated r/a -r/b", "301 ops repeated r/a" },
      { unpack(w.notices, 1, 4) })
    assert.same({ world.id(2), world.id(3), world.id(3) .. ".updated-2", world.id(2) .. ".repeat-3" }, { unpack(w.ids, 1, 4) })
    assert.equal("1921 ops resolved -r/a", w.notices[#w.notices])
    assert.equal(world.id(4) .. ".resolved", w.ids[#w.ids])
    local seen = {}
    for _, id in ipairs(w.ids) do
      assert.is_nil(seen[id])
      seen[id] = true
    end
  end)

  it("that cannot be kept are said an interval later, by the same name", function()
    open()
    w:violate { id = 5 }
    w.deaf = true
    w:to(10)
    w.deaf = false
    w:to(100)
    assert.same({ "61 ops opened r" }, w.notices)
    assert.same({ world.id(5) }, w.ids)
    assert.same({ 1, 1 }, { w:stats().notices, w:stats().notices_lost })
  end)

  it("show a hundred incidents, and say how many there are", function()
    open { group_by = { "rule" } }
    for n = 1, 150 do w:violate { group = service("s" .. n) } end
    w:to(1)
    local alert = w.alerts[1]
    assert.truthy(alert:find('"incidents_total":150', 1, true))
    assert.equal(100, select(2, alert:gsub('"violations":', "")))
    assert.truthy(alert:find('"service":"s150"', 1, true))
    w:to(400)
    assert.equal(2, #w.notices)
  end)

  it("follow a rule whose receivers have changed; who stays knows what it knew", function()
    open()
    w:violate { to = { "a", "b" } }
    w:to(2)
    w:violate { to = { "b", "c" } }
    w:to(400)
    assert.same({ "3 c opened r", "303 c resolved -r", "361 b resolved -r" }, { unpack(w.notices, 3) })
  end)

  it("are as the actions get them", function()
    open()
    w:violate { rule = 'a "rule"', group = { { "service", "checkout" } }, labels = { { "team", "x" } }, severity = 2, id = 1 }
    local incident = w:violate { rule = 'a "rule"', group = { { "service", "checkout" } }, labels = { { "team", "x" } }, severity = 2, id = 2 }
    w:to(1)
    assert.equal('{"version":1,"id":"' .. world.id(2) .. '","receiver":"ops","status":"firing","event":"opened"'
      .. ',"at":"1970-01-12T13:46:01.000000000Z","group":{"rule":"a \\"rule\\"","service":"checkout"},"incidents":[{"id":"'
      .. world.ffi.string(incident.id) .. '","rule":"a \\"rule\\"","severity":"high","status":"open","group":{"service":"checkout"},"count":2'
      .. ',"started_at":"1970-01-12T13:46:00.000000000Z","last_seen_at":"1970-01-12T13:46:00.000000000Z","summary":"it broke"'
      .. ',"labels":{"team":"x"},"violations":[{"id":"' .. world.id(2) .. '"},{"id":"' .. world.id(1) .. '"}]}],"incidents_total":1}',
      w.alerts[1])
  end)

  it("leave violations out that do not fit, and are whole", function()
    open()
    local incident = w:violate { json = '"' .. ("x"):rep(900) .. '"' }
    w:violate { json = '"short"' }
    local b = world.ffi.new("struct buffer")
    core.buffer_init(b, 600)
    assert.equal(0, core.incident_json(incident, true, b))
    assert.truthy(world.ffi.string(b.data, b.len):find('"violations":["short"]}', 1, true))
    core.buffer_deinit(b)
  end)
end)
