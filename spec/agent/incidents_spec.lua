-- The real agent: violations become incidents, which outlive it.
local harness = require("spec.agent.harness")
local replay = require("spec.replay")

local RULES = [[
rule "slow" { severity = "high", when = { name = "slow" }, labels = { team = "x" }, group_by = { "team", "http.route" },
  resolve_when = { name = "fast" } }
rule "plain" { when = { status = "ERROR" } }
rule "shade" { when = { status = "ERROR" }, mode = "shadow", group_by = "name" }
rule "often" { when = window("10m", { name = "login" }):by("user"):count():over(2), pending_for = "1ms" }
]]

describe("an agent", function()
  local data, agent

  before_each(function()
    data = os.tmpname()
    os.remove(data)
  end)
  after_each(function()
    if agent then agent:stop(9) end
    os.execute("rm -rf " .. data)
  end)

  local function start() agent = assert(harness.start { rules = RULES, data = data }) end
  local function stop()
    local found = agent:stop()
    agent = nil
    return found
  end

  local function span(name, more)
    more.name, more.id, more.dur = name, name .. (more.id or ""), 0
    more.at = (os.time() - 1760356800) * 1000 + (more.at or 0)
    return { replay.span(more) }
  end
  local function slow(route, id) return span("slow", { trace = "t" .. id, id = id, attr = { ["http.route"] = route } }) end

  local ACTIVE = 'fluo_alert_active{rule="%s",severity="%s"}'

  it("counts violations of one rule and group as one incident, and resolves it by the span that says so", function()
    start()
    agent:send { slow("/a", "1"), slow("/a", "2"), slow("/b", "3") }
    local m = agent:metrics()
    assert.same({ 2, 2, 0 }, { m[ACTIVE:format("slow", "high")], m.fluo_incidents_opened_total, m.fluo_incidents_resolved_total })
    agent:send { span("fast", { trace = "t4", attr = { ["http.route"] = "/a" } }), span("fast", { trace = "t5", attr = {} }) }
    m = agent:metrics()
    assert.same({ 1, 1, 1 }, { m[ACTIVE:format("slow", "high")], m['fluo_incidents{status="open"}'], m['fluo_incidents{status="resolved"}'] })
    agent:send { slow("/a", "6") }
    assert.equal(1, agent:metrics().fluo_incidents_reopened_total)
  end)

  it("groups by service where a rule says nothing, and shows no shadow", function()
    start()
    agent:send { span("e", { trace = "t1", id = "1", service = "a", status = "ERROR" }),
                 span("e", { trace = "t2", id = "2", service = "a", status = "ERROR" }),
                 span("e", { trace = "t3", id = "3", service = "b", status = "ERROR" }) }
    local m = agent:metrics()
    assert.equal(2, m[ACTIVE:format("plain", "medium")])
    assert.is_nil(m[ACTIVE:format("shade", "medium")])
    assert.equal(3, m['fluo_incidents{status="open"}'])
  end)

  it("has incidents of windows that stay crossed go on", function()
    start()
    local logins = {}
    for n = 1, 4 do logins[n] = span("login", { trace = "t" .. n, id = tostring(n), at = n, attr = { user = "ada" } }) end
    agent:send(logins)
    assert.truthy(agent:await(function(m) return m[ACTIVE:format("often", "medium")] == 1 end))
  end)

  it("knows them again after a restart", function()
    start()
    agent:send { slow("/a", "1"), slow("/b", "2") }
    -- However slow the disk is to sync: the end has five seconds for that.
    agent:await(function(m) return m['fluo_ledger_written_rows_total{kind="incident"}'] >= 2 end)
    stop()
    start()
    local m = agent:metrics()
    assert.same({ 2, 0, 0 }, { m[ACTIVE:format("slow", "high")], m.fluo_incidents_opened_total, m.fluo_incidents_failed_restores_total })
    agent:send { slow("/a", "3"), span("fast", { trace = "t4", attr = { ["http.route"] = "/b" } }) }
    m = agent:metrics()
    assert.same({ 1, 0, 1 }, { m[ACTIVE:format("slow", "high")], m.fluo_incidents_opened_total, m.fluo_incidents_resolved_total })
  end)
end)
