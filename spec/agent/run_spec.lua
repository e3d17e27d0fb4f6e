-- The agent as a user runs it: OTLP in over HTTP, violations out, and what it says when something is wrong.
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local span = replay.span

local FAILED = 'rule "failed" { when = { status = "ERROR" } }\n'

local function by_rule(found)
  local counts = {}
  for _, v in ipairs(found) do counts[v.rule] = (counts[v.rule] or 0) + 1 end
  return counts
end

local function stderr_of(command)
  local status, stdout, stderr = replay.shell(command)
  return stderr, status, stdout
end

describe("fluo run", function()
  it("prints a violation with the spans that prove it, and drains at SIGTERM", function()
    local agent = assert(harness.start { rules = "rules" })
    agent:send { {
      span { name = "auth.login", id = "a", status = "ERROR", service = "auth" },
      span { name = "auth.login", id = "b", at = 100, status = "OK", service = "auth" },
      span { name = "users.get", attr = { ["data.contains_pii"] = true } },
    } }
    local found, totals, status = agent:stop()
    assert.equal(1, by_rule(found)["login-hidden-by-retry"])
    assert.equal(0, status)
    assert.equal(3, totals.evaluated)
  end)

  it("leaves absence unknown in a trace that the shutdown cut", function()
    local agent = assert(harness.start { rules = "rules" })
    agent:send { { span { name = "users.get", attr = { ["data.contains_pii"] = true } } } }
    local page = agent:metrics()
    assert.equal(0, page['fluo_rule_unknown_total{rule="pii-without-audit"}'])
    assert.equal(0, #agent:stop())
  end)

  it("decides absence when the trace has been idle", function()
    local agent = assert(harness.start { rules = "rules", flags = { "--trace.idle=50ms" } })
    agent:send { { span { name = "users.get", attr = { ["data.contains_pii"] = true } } } }
    agent:read_log(function(line) return line:find("pii-without-audit", 1, true) end)
    local found = agent:stop()
    assert.equal("missing audit.log", found[1].reason)
  end)

  it("keeps its books exact: received is accepted and refused, accepted is evaluated, dropped and in flight", function()
    local agent = assert(harness.start { rules = FAILED })
    local spans = { span { name = "a", status = "ERROR" }, span { name = "b" }, span { name = "c" } }
    spans[2].wire.spanId = "00"
    agent:send { spans, { spans[1] } }
    local page = agent:metrics()
    assert.equal(4, page.fluo_receiver_received_spans_total)
    assert.equal(1, page['fluo_receiver_refused_spans_total{reason="invalid_id"}'])
    assert.equal(1, page['fluo_dropped_spans_total{reason="duplicate"}'])
    assert.equal(2, page.fluo_in_flight_spans)
    assert.equal(1, page['fluo_rule_violations_total{rule="failed",severity="medium"}'])
    local found, totals = agent:stop()
    assert.same({ 1, 2 }, { #found, totals.evaluated })
  end)

  it("answers one bad span with partial_success and keeps the rest", function()
    local agent = assert(harness.start { rules = FAILED })
    local spans = { span { name = "a", status = "ERROR" }, span { name = "b", status = "ERROR" } }
    spans[2].wire.traceId = ("0"):rep(32)
    local status, answer = agent:post(cjson.encode(replay.request(spans)))
    assert.equal(200, status)
    assert.equal("1", tostring(cjson.decode(answer).partialSuccess.rejectedSpans))
    assert.equal(1, #agent:stop())
  end)

  it("refuses a body that does not parse, says where, and nothing of it exists", function()
    local agent = assert(harness.start { rules = FAILED })
    local status, answer = agent:post('{"resourceSpans":[{"scopeSpans":[{"spans":[{]}')
    assert.equal(400, status)
    assert.equal(3, cjson.decode(answer).code)
    assert.equal(0, agent:metrics().fluo_receiver_received_spans_total)
    agent:stop()
  end)

  it("takes metrics and logs, counts and discards them", function()
    local agent = assert(harness.start { rules = FAILED })
    assert.equal(200, (agent:post("{}", "application/json", "/v1/metrics")))
    assert.equal(200, (agent:post("{}", "application/json", "/v1/logs")))
    assert.equal(1, agent:metrics()['fluo_receiver_requests_total{signal="logs",encoding="json"}'])
    agent:stop()
  end)

  it("writes violations to a file when told to", function()
    local path = os.tmpname()
    local agent = assert(harness.start { rules = FAILED, flags = { "--output.violations=" .. path } })
    agent:send { { span { name = "a", status = "ERROR" } } }
    assert.equal(0, #agent:stop())
    local line = io.lines(path)()
    os.remove(path)
    assert.equal("failed", cjson.decode(line).rule)
  end)

  it("has health, readiness, and metrics that promtool is content with", function()
    local agent = assert(harness.start { rules = "rules" })
    agent:send { { span { name = "a", status = "ERROR" } } }
    assert.truthy(agent:get("/-/healthy"))
    local status = replay.shell(("curl -sf http://%s/-/ready"):format(agent.admin))
    assert.equal(0, status)
    local path = os.tmpname()
    replay.write(path, agent:get("/metrics"))
    local checked, _, stderr = replay.shell("promtool check metrics < " .. path)
    os.remove(path)
    assert.same({ 0, "" }, { checked, stderr })
    agent:stop()
  end)

  it("counts the spans that a sequence forgot, and the judgments that it gave up", function()
    local agent = assert(harness.start { rules = [[
      rule "lost" { when = sequence { by = "k", within = "100000h", { name = "a" }, { name = "b" } } }]] })
    local spans = {}
    for i = 1, 1100 do spans[i] = span { name = "a", id = "s" .. i, attr = { k = "one" } } end
    agent:send { spans }
    local page = agent:metrics()
    assert.equal(76, page.fluo_sequence_overflowed_spans_total)
    assert.equal(0, page.fluo_shed_judgments_total)
    agent:stop()
  end)

  it("says which address is taken", function()
    local agent = assert(harness.start { rules = FAILED })
    local second, ended = harness.start { rules = FAILED, flags = { "--listen.otlp_http=" .. agent.otlp } }
    assert.is_nil(second)
    assert.equal(1, ended.status)
    assert.truthy(table.concat(ended.log):find(agent.otlp, 1, true))
    agent:stop()
  end)

  it("says which setting's file cannot be opened", function()
    local _, ended = harness.start { rules = FAILED, flags = { "--output.violations=/none/violations" } }
    assert.equal(1, ended.status)
    assert.truthy(table.concat(ended.log, "\n"):find('"/none/violations cannot be opened: No such file or directory","at":"output.violations"', 1, true))
  end)

  it("says that it judges nothing where there is no rule", function()
    local agent = assert(harness.start { rules = "-- none\n" })
    local _, _, _, log = agent:stop()
    assert.truthy(table.concat(log, "\n"):find("there is no rule yet: nothing is judged", 1, true))
  end)

  it("does not start on broken rules and lists every error; --skip-broken leaves the file out", function()
    local directory = os.tmpname()
    os.remove(directory)
    os.execute("mkdir " .. directory)
    replay.write(directory .. "/good.lua", FAILED)
    replay.write(directory .. "/bad.lua", 'rule "x" { wen = {} }\nrule "y" { when = {}, severity = "huge" }\n')
    local none, ended = harness.start { rules = directory }
    local said = {}
    local function look(log)
      for _, line in ipairs(log) do
        local entry = cjson.decode(line)                   -- the rule process has its lines in JSON, too
        assert.truthy(entry.level and entry.time and entry.message, line)
        if entry.file then said[#said + 1] = ("%s %s:%d"):format(entry.level, entry.file:match("[^/]+$"), entry.line) end
      end
    end
    look(ended.log)
    assert.is_nil(none)
    assert.equal(1, ended.status)
    assert.same({ "error bad.lua:1", "error bad.lua:1", "error bad.lua:2" }, said)
    local agent = assert(harness.start { rules = directory, flags = { "--skip-broken" } })
    assert.equal(1, agent:metrics().fluo_rules_loaded)
    local _, _, _, log = agent:stop()
    look(log)
    assert.equal(6, #said)
    os.execute("rm -r " .. directory)
  end)

  it("ends with 78 on a configuration that is wrong, and names the key", function()
    local stderr, status = stderr_of(replay.fluo .. " run --rules rules --trace.idel=5s")
    assert.equal(2, status)
    assert.truthy(stderr:find("trace.idle", 1, true))
    stderr, status = stderr_of("FLUO_TRACE_IDLE=fast " .. replay.fluo .. " run --rules rules")
    assert.equal(78, status)
    assert.truthy(stderr:find("FLUO_TRACE_IDLE", 1, true))
  end)
end)
