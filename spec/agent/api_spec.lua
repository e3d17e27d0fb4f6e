-- The API of the real agent: what it shows, what it changes, and what it refuses.
local api = require("spec.agent.api")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")

local RULES = [[
rule "failed" { actions = { "ops" }, severity = "high", when = trace.has { status = "ERROR" } }
rule "slow" { when = { name = "slow" }, group_by = { "http.route" } }
rule "shade" { mode = "shadow", when = { name = "slow", kind = "INTERNAL" } }
]]

-- A span of now.
local function span(name, more)
  more = more or {}
  more.name, more.id, more.dur = name, more.id or name, 5
  more.at = (os.time() - 1760356800) * 1000
  return replay.span(more)
end

local function ids_of(list)
  local ids = {}
  for i, one in ipairs(list) do ids[i] = one.id end
  return ids
end

describe("the API", function()
  local data, agent

  setup(function()
    data = os.tmpname()
    os.remove(data)
    agent = assert(harness.start { rules = RULES, data = data, flags = { "--trace.idle=1s" } })
    agent:send {
      { span("pay", { trace = "t1", service = "shop" }),
        span("card", { trace = "t1", parent = "pay", service = "bank", status = "ERROR", message = "declined" }) },
      { span("slow", { trace = "t2", id = "s2", attr = { ["http.route"] = "/a" } }) },
      { span("slow", { trace = "t3", id = "s3", attr = { ["http.route"] = "/b" } }) },
      { span("slow", { trace = "t4", id = "s4", attr = { ["http.route"] = "/b" } }) },
    }
    agent:settle()
  end)
  teardown(function()
    agent:stop(9)
    os.execute("rm -rf " .. data)
  end)

  local function get(path)
    local status, body = api.ask(agent, "GET", path)
    assert.equal(200, status, body.error and body.error.message)
    return body
  end

  -- Refused with this status, and a message that has this in it.
  local function refused(status, says, ...)
    local got, body = api.ask(agent, ...)
    assert.same({ status, true }, { got, body.error.message:find(says, 1, true) ~= nil }, body.error.message)
  end

  local function incident_of(rule) return get("incidents?rule=" .. rule).incidents[1] end

  it("lists incidents, newest first, by rule, severity, status and what their ids begin with", function()
    local all = get("incidents").incidents
    assert.equal(4, #all)
    local failed = incident_of("failed")
    assert.same({ "high", "open", 1, { service = "bank" } }, { failed.severity, failed.status, failed.count, failed.group })
    assert.same(ids_of { failed }, ids_of(get("incidents?severity=high").incidents))
    assert.same(ids_of { failed }, ids_of(get("incidents?id=" .. failed.id:sub(1, 12)).incidents))
    assert.same({ 4, 0 }, { #get("incidents?status=active").incidents, #get("incidents?status=resolved").incidents })
    assert.equal(0, #get("incidents?since=2150-01-01T00:00:00Z").incidents)
    assert.equal(2, #get("incidents?rule=slow&since=2020-01-01T00:00:00%2B01:00").incidents)
  end)

  it("gives pages, each with a cursor to the next", function()
    local seen, cursor = {}, ""
    repeat
      local page = get("violations?limit=2" .. cursor)
      for _, id in ipairs(ids_of(page.violations)) do seen[#seen + 1] = id end
      cursor = page.next and "&cursor=" .. page.next
    until not cursor
    assert.same(ids_of(get("violations").violations), seen)
    assert.equal(7, #seen)
  end)

  it("gives rules in pages, too", function()
    local first = get("rules?limit=2")
    local rest = get("rules?limit=2&cursor=" .. first.next)
    assert.same({ 2, 1 }, { #first.rules, #rest.rules })
    assert.is_nil(rest.next)
    assert.same(get("rules").rules, { first.rules[1], first.rules[2], rest.rules[1] })
    assert.same({ rules = {} }, get("rules?cursor=3"))
    refused(400, "limit: expected a number from 1 to 1000", "GET", "rules?limit=1001")
    refused(400, "there is no parameter severity", "GET", "rules?severity=low")
  end)

  it("shows one incident with its violations, and one violation with its trace", function()
    local failed = incident_of("failed")
    assert.same(failed, get("incidents/" .. failed.id))
    local violation = get("violations/" .. failed.violations[1].id)
    assert.same({ failed.id, "failed", true }, { violation.incident, violation.rule, violation.evidence })
    local evidence = get("violations/" .. violation.id .. "/evidence")
    assert.equal("declined", evidence.resourceSpans[2].scopeSpans[1].spans[1].status.message)
    assert.same(ids_of { violation }, ids_of(get("violations?incident=" .. failed.id).violations))
  end)

  it("shows rules, receivers and what the agent is at", function()
    local rules = get("rules").rules
    assert.same({ 3, "failed", "high", "trace", 1, false },
      { #rules, rules[1].name, rules[1].severity, rules[1].scope, rules[1].violations, rules[1].quarantined })
    assert.truthy(rules[1].file:find("%.lua$"))
    assert.same({ "shade", "shadow", 3 }, { rules[3].name, rules[3].mode, rules[3].violations })
    local status = get("status")
    assert.same({ "ready", 3, 5, 4, false }, { status.state, status.rules, status.spans.received, status.incidents.open,
      status.ledger.in_memory })
    assert.is_table(get("receivers").receivers)
    assert.is_table(get("deliveries?state=dead").deliveries)
  end)

  it("refuses what it does not know, and says what it was", function()
    refused(404, "no such endpoint", "GET", "nothing")
    refused(404, "no such endpoint", "GET", "incidents/")
    refused(404, "none of this id", "GET", "incidents/" .. ("0"):rep(32))
    refused(404, "none of this id", "GET", "violations/" .. ("0"):rep(32) .. "/evidence")
    refused(404, "none of this id", "GET", "violations/" .. ("a"):rep(500))
    refused(400, "there is no parameter colour", "GET", "incidents?colour=red")
    refused(400, "status: expected |active|", "GET", "incidents?status=bad")
    refused(400, "since: expected a time", "GET", "incidents?since=yesterday")
    refused(400, "limit: expected", "GET", "incidents?limit=1001")
    refused(400, "id: expected hex digits", "GET", "incidents?id=xyz")
    refused(400, "malformed", "GET", "incidents?rule=%2")
    refused(400, "takes no parameters", "GET", "status?x=1")
    refused(405, "GET, HEAD", "POST", "incidents")
    refused(405, "POST", "DELETE", "incidents/a/ack")
  end)

  it("takes only JSON, of this machine's programs, and only so much", function()
    local path = "incidents/" .. incident_of("failed").id .. "/ack"
    refused(403, "by an address", "GET", "status", nil, { "Host: evil.example" })
    refused(403, "by an address", "POST", path, nil, { "Origin: http://evil.example" })
    refused(415, "application/json", "POST", "silences", "{}", { "Content-Type: text/plain" })
    refused(415, "application/json", "POST", "silences", "{}", { "Content-Encoding: gzip" })
    refused(413, "larger than the limit", "POST", "silences", ("x"):rep(70000))
    refused(400, "no such member: a", "POST", path, { a = 1 })
    assert.equal(200, (api.ask(agent, "GET", "status", nil, { "Host: localhost:1", "Origin: http://localhost:1" })))
  end)

  it("acknowledges and resolves an incident once", function()
    local slow = incident_of("slow")
    local status, body = api.ask(agent, "POST", "incidents/" .. slow.id .. "/ack")
    assert.same({ 200, "acknowledged" }, { status, body.status })
    refused(409, "acknowledged", "POST", "incidents/" .. slow.id .. "/ack")
    status, body = api.ask(agent, "POST", "incidents/" .. slow.id .. "/resolve", {})
    assert.same({ 200, "resolved" }, { status, body.status })
    refused(409, "resolved", "POST", "incidents/" .. slow.id .. "/resolve")
    assert.same({ "resolved", slow.id }, { get("incidents/" .. slow.id).status, get("incidents?status=resolved").incidents[1].id })
    refused(404, "no incident", "POST", "incidents/" .. ("0"):rep(32) .. "/resolve")
  end)

  it("makes silences, shows them, and ends them", function()
    local status, made = api.ask(agent, "POST", "silences",
      { matchers = 'rule="failed"', comment = "a \"deploy\"", created_by = "ann", until_resolved = true })
    assert.same({ 201, 'rule="failed"', 'a "deploy"', true, 1 },
      { status, made.matchers, made.comment, made.until_resolved, made.incidents })
    assert.same(made, get("silences/" .. made.id))
    assert.same({ made.id }, ids_of(get("silences?status=active").silences))
    assert.same({ 200, { id = made.id } }, { api.ask(agent, "DELETE", "silences/" .. made.id) })
    refused(404, "no silence", "DELETE", "silences/" .. made.id)
    assert.truthy(get("silences/" .. made.id).ended_at)
    status, made = api.ask(agent, "POST", "silences", { matchers = "severity=~low|medium", ends_at = "2150-01-01T00:00:00+02:00" })
    assert.same({ 201, "2149-12-31T22:00:00.000000000Z" }, { status, made.ends_at })
  end)

  it("refuses a silence that does not say what it holds, or until when", function()
    refused(400, "ends_at, or until_resolved", "POST", "silences", { matchers = "rule=a" })
    refused(400, "ends_at: expected a time", "POST", "silences", { matchers = "rule=a", ends_at = "soon" })
    refused(400, "ends before it begins", "POST", "silences", { matchers = "rule=a", ends_at = "2020-01-01T00:00:00Z" })
    refused(400, "", "POST", "silences", { matchers = "rule", until_resolved = true })
    refused(400, "too long: comment", "POST", "silences", { matchers = "rule=a", comment = ("x"):rep(3000) })
    refused(400, "expected an object", "POST", "silences", "[]")
    refused(400, "it stands there twice: matchers", "POST", "silences", '{"matchers":"a","matchers":"b"}')
  end)

  it("takes feedback on a violation, and lists it", function()
    local violation = incident_of("failed").violations[1]
    local status, body = api.ask(agent, "POST", "violations/" .. violation.id .. "/feedback", { verdict = "wrong", by = "ann" })
    assert.same({ 201, "wrong", "failed", incident_of("failed").id, 1 },
      { status, body.verdict, body.rule, body.incident, body.widened })
    local said = get("feedback?verdict=wrong&rule=failed").feedback
    assert.same({ 1, violation.id, "ann" }, { #said, said[1].violation, said[1].who })
    assert.is_table(get("widened").widened)
    refused(404, "none of this id", "POST", "violations/" .. ("0"):rep(32) .. "/feedback", { verdict = "right" })
    refused(400, "expected wrong, right or revoked", "POST", "violations/" .. violation.id .. "/feedback", { verdict = "maybe" })
  end)

  it("answers HEAD like GET, without a body", function()
    local _, out = replay.shell(("curl -s -I http://%s/api/v1/rules"):format(agent.admin))
    assert.truthy(out:find("200 OK", 1, true))
    assert.truthy(out:find("application/json", 1, true))
  end)
end)
