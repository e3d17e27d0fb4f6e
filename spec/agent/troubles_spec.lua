-- What goes wrong with alerts themselves, in the real agent: people are told, by whom can be had; and alerts go out
-- whatever the disk does.
local alerting = require("spec.agent.alerting")
local replay = require("spec.replay")
local sqlite = require("spec.sqlite")

describe("alerts", function()
  local world, agent
  before_each(function() world = alerting.open() end)
  after_each(function() world:close() end)

  local function config(receivers)
    local lines = {}
    for name, path in pairs(receivers) do
      lines[#lines + 1] = ('%s = { type = "webhook", url = "%s" }'):format(name, world.mock.url(path))
    end
    return ('return { notify = { group_wait = "10ms" }, receivers = { %s } }'):format(table.concat(lines, ", "))
  end

  local function start(to, receivers, more)
    local options = { rules = to and alerting.rule("pay", to), config = config(receivers or { ops = "/ok/ops" }) }
    for key, value in pairs(more or {}) do options[key] = value end
    agent = world:start(options)
  end

  -- The alerts of one rule that came to a path.
  local function of_rule(path, rule)
    local list = {}
    for _, alert in ipairs(world:alerts(path)) do
      if alert.incidents[1].rule == rule then list[#list + 1] = alert end
    end
    return list
  end

  local function comes(path, rule, count)
    return world:until_true(rule .. " at " .. path, function()
      local list = of_rule(path, rule)
      return #list >= (count or 1) and list
    end)
  end

  it("that are given up are an incident that the others are told of, once", function()
    start({ "gone" }, { gone = "/status/404?body=away", ops = "/ok/ops" })
    for i = 1, 3 do agent:send { alerting.failure(i) } end
    local alert = comes("/ok/ops", "fluo:delivery")[1]
    assert.same({ receiver = "gone" }, alert.incidents[1].group)
    assert.same({ "high", "ops", "opened" }, { alert.incidents[1].severity, alert.receiver, alert.event })
    assert.truthy(alert.incidents[1].summary:find("gone was not told of an alert, which is given up: 404 away", 1, true))
    assert.equal("agent", alert.incidents[1].violations[1].scope)
    world:until_true("three dead letters", function()
      return #world:sql("select 1 from violations where rule = 'fluo:delivery'") == 3
    end)
    assert.equal(1, #of_rule("/ok/ops", "fluo:delivery"))
    assert.equal(3, #world.mock.requests("/status/404"))
  end)

  it("that nobody can be told of are said in the log, and do not go round", function()
    start({ "a", "b" }, { a = "/status/404", b = "/status/400" })
    agent:send { alerting.failure(1) }
    -- Two of the rule's, and of each one's own incident one to the other; those are the end of it.
    agent:await(function(m)
      return m['fluo_notifications_dead_total{receiver="a"}'] == 2 and m['fluo_notifications_dead_total{receiver="b"}'] == 2
    end)
    assert.equal(2, #world:sql("select 1 from violations where rule = 'fluo:delivery'"))
    local _, _, _, log = world:stop(agent)
    local _, said = table.concat(log, "\n"):gsub("an alert was not delivered, and is given up", "")
    assert.equal(4, said)
  end)

  it("that are not delivered for five minutes are told to the others, and still tried", function()
    local receivers = { gone = "/until/mended/status/503", ops = "/ok/ops" }
    start({ "gone" }, receivers)
    agent:send { alerting.failure(1) }
    agent:await(function(m) return m.fluo_notifications_retried_total >= 1 end)
    assert.equal(0, #world:sql("select 1 from violations where rule = 'fluo:delivery'"))
    world:stop(agent)
    world:sql("update deliveries set created_at = created_at - 300000000000, next_at = 0")
    start({ "gone" }, receivers)
    local incident = comes("/ok/ops", "fluo:delivery")[1].incidents[1]
    assert.truthy(incident.summary:find("gone was not told of an alert, which is tried again: 503", 1, true), incident.summary)
    world.mock.mend("mended")
    agent:await(function(m) return m['fluo_notifications_delivered_total{receiver="gone"}'] == 1 end)
  end)

  it("of more groups than a rule may have are not, which people are told", function()
    start(nil, nil, { rules = 'rule "pay" { when = { status = "ERROR" }, group_by = "key", actions = { log "pay" } }' })
    local spans = {}
    for i = 1, 1001 do spans[i] = alerting.failure(i)[1] end
    agent:send { spans }
    local incident = comes("/ok/ops", "fluo:incidents")[1].incidents[1]
    assert.same({ rule = "pay" }, incident.group)
    assert.equal("1000 incidents of this rule burn, and no more fit: of other groups of pay nobody is told", incident.summary)
    assert.equal(1, agent:metrics().fluo_incidents_refused_total)
    local _, _, _, log = world:stop(agent)
    assert.truthy(table.concat(log, "\n"):find("violations of a rule open no incident", 1, true))
  end)

  it("of a host that the configuration does not allow go out once it does", function()
    local action = ('action "hook" (function(alert) return http.post { url = "%s", json = { id = alert.id } } end)\n')
      :format(world.mock.url "/ok/hook")
    local function run(text) start({ "hook" }, nil, { rules = action .. alerting.rule("pay", { "hook" }), config = text }) end
    run 'return { notify = { group_wait = "10ms" } }'
    agent:send { alerting.failure(1) }
    agent:await(function(m) return m.fluo_notifications_retried_total >= 1 end)
    local _, _, _, log = world:stop(agent)
    assert.truthy(table.concat(log, "\n"):find("list it in actions.hosts", 1, true))
    world:sql("update deliveries set next_at = 0")
    run 'return { actions = { hosts = { "127.0.0.1" } } }'
    agent:await(function(m) return m['fluo_notifications_delivered_total{receiver="hook"}'] == 1 end)
    assert.equal(1, #world.mock.requests "/ok/hook")
  end)

  it("of a ledger that was damaged go out, and so do those that follow", function()
    start { "ops" }
    agent:send { alerting.failure(1) }
    comes("/ok/ops", "pay")
    world:stop(agent)
    local file = assert(io.open(world.data .. "/fluo.db", "r+b"))
    file:write(("damaged"):rep(100))
    file:close()
    start { "ops" }
    assert.same({ trouble = "corrupt" }, comes("/ok/ops", "fluo:ledger")[1].incidents[1].group)
    agent:send { alerting.failure(2) }
    comes("/ok/ops", "pay", 2)
  end)

  it("go out while somebody else has locked the ledger, and that it is locked and no more is told, too", function()
    start { "ops" }
    agent:send { alerting.failure(1) }
    comes("/ok/ops", "pay")
    local release = sqlite.locked(world.data .. "/fluo.db")
    finally(release)
    agent:send { alerting.failure(2) }
    comes("/ok/ops", "pay", 2)
    assert.same({ trouble = "locked" }, comes("/ok/ops", "fluo:ledger")[1].incidents[1].group)
    release()
    world:until_true("both rows", function() return #world:sql("select 1 from violations where rule = 'pay'") == 2 end)
    world:until_true("the end of it", function()
      return #world:sql("select 1 from incidents where rule = 'fluo:ledger' and status = 'resolved'") == 1
    end)
  end)

  it("go out while the disk is full, which is said, and the rest of the agent goes on", function()
    os.execute("mkdir " .. world.data)
    if os.execute("mount -t tmpfs -o size=1m none " .. world.data .. " 2>/dev/null") ~= 0 then
      pending("a file system of its own needs the right to mount one")
      return
    end
    finally(function() os.execute("umount -l " .. world.data) end)
    start { "ops" }
    -- What packing makes no smaller.
    local function noise()
      local list = {}
      for k = 1, 60000 do list[k] = string.char(math.random(48, 122)) end
      return table.concat(list)
    end
    for i = 1, 40 do agent:send { { replay.span { name = "pay", trace = "t" .. i, status = "ERROR", dur = 0,
      at = (os.time() - 1760356800) * 1000, attr = { key = tostring(i), padding = noise() } } } } end
    comes("/ok/ops", "pay", 40)
    comes("/ok/ops", "fluo:ledger")
    local page = agent:metrics()
    assert.equal(40, page['fluo_rule_violations_total{rule="pay",severity="medium"}'])
    assert.is_true(page.fluo_ledger_failures_total > 0)
  end)

  it("go out where there is no directory to write, and it is said what is lost by that", function()
    assert(io.open(world.data, "w")):close()
    start { "ops" }
    agent:send { alerting.failure(1) }
    comes("/ok/ops", "pay")
    local _, _, status, log = world:stop(agent)
    assert.equal(0, status)
    assert.truthy(table.concat(log, "\n"):find("alerts that were not delivered, silences and feedback are gone", 1, true))
  end)

  it("of 1,000 traces that break a rule at once are one, and every violation is in the ledger", function()
    start { "ops" }
    local spans = {}
    for i = 1, 1000 do spans[i] = alerting.failure(i, "same")[1] end
    agent:send { spans }
    local first = comes("/ok/ops", "pay")[1]
    world:until_true("all rows", function() return #world:sql("select 1 from violations") == 1000 end)
    world:until_true("all counted", function() return world:sql("select count from incidents")[1][1] == "1000" end)
    assert.equal(1, #world:sql("select 1 from incidents"))
    assert.equal(1, #of_rule("/ok/ops", "pay"))
    assert.same({ "opened", 1 }, { first.event, first.incidents_total })
    local page = agent:metrics()
    assert.same({ 1, 1 }, { page.fluo_incidents_opened_total, page.fluo_notices_total })
    assert.equal(0, page['fluo_ledger_dropped_rows_total{kind="violation"}'])
  end)

  -- An action that misbehaves beside a good one, each told of six incidents.
  for what, row in pairs({
    ["loops without end"] = { "while true do end", true },
    ["makes garbage without end"] = { "local t = {} while true do t[#t + 1] = ('x'):rep(2 ^ 20) .. #t end", true },
    ["sends 60 MB"] = { 'return http.post { url = "URL/ok/huge", body = ("x"):rep(6e7) }', true },
    ["makes 10,000 requests"] = { 'for _ = 1, 1e4 do http.get { url = "URL/ok/many" } end', false },
    ["raises an error"] = { "error('boom')", false },
  }) do
    it("of an action that " .. what .. " are its own loss, and nobody else's", function()
      local bad = ('action "bad" (function(alert) %s end)\n'):format((row[1]:gsub("URL", world.mock.url(""))))
      local text = config { ops = "/ok/ops" }
      start({ "bad", "ops" }, nil, { rules = bad .. alerting.rule("pay", { "bad", "ops" }),
        config = text:gsub("receivers", 'actions = { hosts = { "127.0.0.1" } }, receivers', 1) })
      for i = 1, 6 do agent:send { alerting.failure(i) } end
      world:until_true("each at /ok/ops", function()       -- some twice: a process that dies has not said what it delivered
        local missing = { ["1"] = true, ["2"] = true, ["3"] = true, ["4"] = true, ["5"] = true, ["6"] = true }
        for _, alert in ipairs(of_rule("/ok/ops", "pay")) do missing[alert.incidents[1].group.key] = nil end
        return next(missing) == nil
      end)
      local page = agent:metrics()
      if not row[2] then assert.equal(0, page.fluo_post_deaths_total) end
      assert.is_nil(page['fluo_notifications_dead_total{receiver="ops"}'] ~= 0 and "dead" or nil)
      assert.is_true(page.fluo_post_deaths_total < 20)
    end)
  end
end)

describe("a secret of the configuration", function()
  local world
  before_each(function() world = alerting.open() end)
  after_each(function() world:close() end)

  local VARIABLE, FILE, LITERAL, KEY = "s3cretvariable" .. "0123", "s3cretfile" .. "4567", "s3cretliteral" .. "89ab", "s3cretkey" .. "cdef"

  -- Says which of these a process has in memory that it may write.
  local SCAN = [[
import re, sys
found = set()
with open('/proc/%s/maps' % sys.argv[1]) as maps, open('/proc/%s/mem' % sys.argv[1], 'rb') as mem:
    for line in maps:
        m = re.match(r'([0-9a-f]+)-([0-9a-f]+) rw', line)
        if m and '[v' not in line and int(m[2], 16) - int(m[1], 16) < 2 ** 30:     # a sanitizer's shadow is larger
            mem.seek(int(m[1], 16))
            block = mem.read(int(m[2], 16) - int(m[1], 16))
            found |= {s for s in sys.argv[2:] if s.encode() in block}
print('looked', ' '.join(sorted(found)))
]]

  it("is nowhere but in the process that sends", function()
    local file, scan = os.tmpname(), os.tmpname()
    replay.write(file, FILE .. "\n")
    replay.write(scan, SCAN)
    local function echo(secret) return ("/status/404?body=%s"):format(secret) end
    local config = ([[return { notify = { group_wait = "10ms" }, receivers = {
      a = { type = "webhook", url = "%s", headers = { ["X-Key"] = secret "PLANTED" } },
      b = { type = "webhook", url = "%s", secret = secret { file = "%s" } },
      c = { type = "webhook", url = "%s" },
      d = { type = "pagerduty", url = "%s", routing_key = "%s" },
      e = { type = "webhook", url = "http://127.0.0.1:1/%s" } } }]]):format(world.mock.url(echo(VARIABLE)),
        world.mock.url(echo(FILE)), file, world.mock.url("/status/500?" .. LITERAL), world.mock.url(echo(KEY)), KEY, LITERAL)
    local agent = world:start { rules = alerting.rule("pay", { "a", "b", "c", "d", "e" }), config = config,
      shell = ('export PLANTED=%s; exec "$@"'):format(VARIABLE) }
    agent:send { alerting.failure(1) }
    agent:await(function(m)
      local dead = 0
      for _, name in ipairs { "a", "b", "d" } do dead = dead + (m[('fluo_notifications_dead_total{receiver="%s"}'):format(name)] or 0) end
      return dead >= 3 and m.fluo_notifications_retried_total >= 2
    end)
    local texts = { metrics = agent:get("/metrics") }
    for _, page in ipairs { "", "-/ready", "-/reload", "api/v1/status", "api/v1/deliveries", "api/v1/incidents", "api/v1/receivers",
                            "api/v1/config", "api/v1/violations" } do
      texts[page] = agent:get("/" .. page)
    end
    local _, shown, said = replay.shell(("PLANTED=%s %s config show -c %s"):format(VARIABLE, replay.fluo, world.files[1]))
    texts.shown = shown .. said
    local processes = { tostring(agent.pid) }
    local children = io.open(("/proc/%d/task/%d/children"):format(agent.pid, agent.pid)):read("*a")
    for pid in children:gmatch("%d+") do processes[#processes + 1] = pid end
    for i, pid in ipairs(processes) do
      local title = io.open("/proc/" .. pid .. "/cmdline"):read("*a")
      texts["cmdline " .. pid] = title
      if i > 1 then texts["environ " .. pid] = io.open("/proc/" .. pid .. "/environ"):read("*a") end
      if not title:find("post", 1, true) then
        local _, found, why = replay.shell(("python3 %s %s %s %s %s"):format(scan, pid, FILE, LITERAL, KEY))
        assert.equal("looked", found:match("^%a+"), why)
        texts["the memory of " .. title:gsub("%z", " ")] = found
      end
    end
    local _, _, _, log = world:stop(agent)
    texts.log = table.concat(log, "\n")
    local _, kept = replay.shell(("cat %s/*"):format(world.data))
    texts.ledger = kept
    os.remove(file)
    os.remove(scan)
    assert.truthy(texts.log:find("***", 1, true), texts.log)             -- it was to be said
    for place, text in pairs(texts) do
      for _, secret in ipairs { VARIABLE, FILE, LITERAL, KEY } do
        local at = text:find(secret, 1, true)
        assert.is_nil(at and text:sub(math.max(1, at - 80), at + 80), place .. " has a secret")
      end
    end
  end)
end)
