-- What alerts come to at the real other side: Alertmanager, and an agent that takes OTLP.
local alerts = require("spec.lua.alerts")
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local receiver = require("spec.agent.receiver")
local room = require("spec.core.post_room")
local replay = require("spec.replay")
local socket = require("spec.agent.socket")

-- Alerts of now: a clock that is right is all that Alertmanager goes by.
local function at(seconds) return os.date("!%Y-%m-%dT%H:%M:%S.000000000Z", os.time() + seconds) end

local function firing()
  local alert = alerts.firing()
  alert.at, alert.incidents[1].started_at, alert.incidents[1].last_seen_at = at(0), at(-20), at(0)
  return alert
end

local function over()
  local alert = alerts.resolved()
  alert.at, alert.incidents[1].started_at, alert.incidents[1].resolved_at = at(0), at(-20), at(-1)
  return alert
end

describe("an alert", function()
  local world, dir
  before_each(function()
    dir = os.tmpname()
    os.remove(dir)
    os.execute("mkdir " .. dir)
  end)
  after_each(function()
    if world then world.close() end
    world = nil
    os.execute("rm -rf " .. dir)
  end)

  local function deliver(kind, settings, ...)
    world = room.open("", { receivers = { r = { type = kind, settings = settings } } })
    for i, alert in ipairs { ... } do
      world.send("r", alert)
      local outcome = world.wait(i)[i]
      assert.equal(0, outcome.result, outcome.text)
    end
    world.close()
    world = nil
  end

  describe("at Alertmanager", function()
    local mock, pid, url, let_go
    before_each(function()
      local port
      mock = receiver.start()
      port, let_go = socket.reserve()
      url = "http://127.0.0.1:" .. port
      replay.write(dir .. "/am.yml", ([[
route: { receiver: hook, group_by: [rule], group_wait: 10ms, group_interval: 100ms, repeat_interval: 1h }
receivers: [ { name: hook, webhook_configs: [ { url: "%s", send_resolved: true } ] } ]
]]):format(mock.url "/ok/am"))
      local pipe = io.popen(([[sh -c 'prometheus-alertmanager --config.file=%s/am.yml --storage.path=%s --cluster.listen-address= \
        --web.listen-address=%s >%s/log 2>&1 & echo $!']]):format(dir, dir, url:match("//(.*)"), dir))
      pid = pipe:read("*n")
      pipe:close()
      socket.until_true(function() return replay.shell(("curl -sf %s/-/ready"):format(url)) == 0 end)
    end)
    after_each(function()
      os.execute(("kill %d"):format(pid))
      let_go()
      mock.stop()
    end)

    local function listed()
      local _, out = replay.shell(("curl -s %s/api/v2/alerts"):format(url))
      return cjson.decode(out)
    end

    local function told(status)
      for _, request in ipairs(mock.requests "/ok/am") do
        local body = cjson.decode(request.body)
        if body.status == status then return body.alerts end
      end
      return nil
    end

    it("is one alert however often it is sent, and is resolved with what was said of it", function()
      local settings = { url = url, generator_url = "https://fluo.example.com/incidents", resend_seconds = 60 }
      deliver("alertmanager", settings, firing(), firing())
      assert.equal(1, #listed())
      local labels = listed()[1].labels
      assert.same({ "checkout-slow", "high", "checkout", "payments" },
        { labels.alertname, labels.severity, labels.service, labels.team_name })
      local one = socket.until_true(function() return told "firing" end)
      assert.equal("checkout: POST /pay took 301 ms", one[1].annotations.summary)
      deliver("alertmanager", settings, over())
      local two = socket.until_true(function() return told "resolved" end)
      assert.same({ 1, one[1].annotations, one[1].labels, one[1].generatorURL },
        { #two, two[1].annotations, two[1].labels, two[1].generatorURL })
      assert.equal("https://fluo.example.com/incidents/" .. ("a"):rep(32), two[1].generatorURL)
    end)
  end)

  it("of the agent itself is in a file, and a program's input", function()
    replay.write(dir .. "/program", ("#!/bin/sh\ncat >%s/input.tmp && mv %s/input.tmp %s/input\n"):format(dir, dir, dir))
    os.execute(("chmod +x %s/program"):format(dir))
    replay.write(dir .. "/fluo.lua", ([[return { actions = { exec = true }, notify = { group_wait = "0s" }, receivers = {
      lines = { type = "file", path = "%s/alerts.jsonl" }, run = { type = "exec", argv = { "%s/program" } } } }]]):format(dir, dir))
    local agent = assert(harness.start { rules = [[rule "failed" { when = { status = "ERROR" }, actions = { "lines", "run" } }]],
      flags = { "-c", dir .. "/fluo.lua", "--trace.idle=100ms" } })
    agent:send { { replay.span { name = "POST /pay", status = "ERROR", at = (os.time() - 1760356800) * 1000 } } }
    local function text_of(name)
      return socket.until_true(function()
        local text = replay.text(dir .. "/" .. name)
        return (text:find("\n$") or name == "input" and text ~= "") and text
      end)
    end
    local line, input = cjson.decode(text_of "alerts.jsonl"), cjson.decode(text_of "input")
    agent:stop()
    assert.same({ "failed", "firing", "lines" }, { line.incidents[1].rule, line.status, line.receiver })
    assert.same({ line.incidents[1].id, "run" }, { input.incidents[1].id, input.receiver })
  end)

  it("is a span at whoever takes OTLP: a rule can ask for it", function()
    local agent = assert(harness.start { rules = [[rule "told" { when = { name = "fluo.violation", service = "fluo",
      attributes = { ["fluo.rule"] = "checkout-slow", ["fluo.group.service"] = "checkout", ["fluo.value"] = 301 },
      where = function(s) return #s.links == 1 and s.links[1].trace_id == ("b"):rep(32) end } }]],
      flags = { "--trace.idle=100ms" } })
    local url = "http://" .. agent.otlp
    deliver("otlp", { url = url, signal = "traces" }, firing())
    deliver("otlp", { url = url }, firing(), over())
    agent:settle()
    local found = agent:stop()
    assert.equal(1, #found)
    assert.equal(alerts.firing().incidents[1].violations[1].id, found[1].trace_id)
  end)
end)
