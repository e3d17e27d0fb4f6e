local alerts = require("spec.lua.alerts")
local cjson = require("cjson")
local room = require("spec.core.post_room")
local receiver = require("spec.agent.receiver")

local ALERT, resolved = alerts.firing(), alerts.resolved

describe("a built-in receiver", function()
  local mock, world
  setup(function() mock = receiver.start() end)
  teardown(function() mock.stop() end)
  after_each(function() if world then world.close() end world = nil end)

  -- What a receiver of this type sends for an alert: the requests, and the outcome.
  local function send(kind, settings, alert)
    local path = "/ok/" .. kind .. tostring(math.random(2 ^ 30))
    if settings.urls then settings.urls = { mock.url(path .. "/a"), mock.url(path .. "/b") } else settings.url = mock.url(path) end
    world = room.open("", { receivers = { r = { type = kind, settings = settings } } })
    world.send("r", alert or ALERT)
    local outcome = world.wait(1)[1]
    assert.equal(0, outcome.result, outcome.text)
    local got = mock.requests(path)
    for _, request in ipairs(got) do request.json = cjson.decode(request.body) end
    world.close()
    world = nil
    return got
  end

  it("sends Slack an attachment an incident", function()
    local json = send("slack", { channel = "#ops" })[1].json
    assert.equal("#ops", json.channel)
    assert.equal("*Firing*: checkout-slow", json.text)
    assert.equal("checkout: POST /pay took 301 ms", json.attachments[1].text)
    assert.equal("#36a64f", send("slack", {}, resolved())[1].json.attachments[1].color)
  end)

  it("has no text of a span's read by Slack, and stays within its lengths", function()
    local alert = cjson.decode(cjson.encode(ALERT))
    alert.incidents[1].summary = "<!channel> & " .. ("ü"):rep(3000)
    local attachment = send("slack", {}, alert)[1].json.attachments[1]
    assert.truthy(attachment.text:find("^&lt;!channel&gt; &amp; üü.*ü…$"))
    assert.is_true(#attachment.text <= 3000)
  end)

  it("keeps a Teams message within 28 KB, however many incidents there are, and says how many more", function()
    for _, character in ipairs { "x", "/", "\1" } do
      local alert = cjson.decode(cjson.encode(ALERT))
      local incident = alert.incidents[1]
      incident.summary = character:rep(5000)
      for i = 1, 16 do incident.group["key" .. i] = character:rep(500) end
      for i = 2, 12 do alert.incidents[i] = incident end
      alert.incidents_total = 12
      local request = send("teams", {}, alert)[1]
      local body = request.json.attachments[1].content.body
      assert.is_true(#request.body <= 28 * 1024, #request.body)
      assert.equal(12 - (#body - 1) / 3, tonumber(body[#body].text:match("^and (%d+) more$")), body[#body].text)
    end
  end)

  it("lets no text of a span's hide a link, show a picture or mention anybody in a chat", function()
    local alert = cjson.decode(cjson.encode(ALERT))
    alert.incidents[1].summary = "[pay](http://evil) ![](http://evil) [a][b] @here <@7> (@all) ann@example.com"
    alert.incidents[1].group.route = "[x]: http://evil"
    local texts = { send("slack", {}, alert)[1].body, send("discord", {}, alert)[1].body, send("teams", {}, alert)[1].body }
    for _, text in ipairs(texts) do
      for _, found in ipairs { "](", "][b", "]: ", "@here", "@7", "@all" } do assert.is_nil(text:find(found, 1, true), found) end
      assert.truthy(text:find("[pay]\u{200b}(http", 1, true))
      assert.truthy(text:find("ann@example.com", 1, true))
    end
  end)

  it("keeps what Opsgenie is told within its lengths", function()
    local alert = cjson.decode(cjson.encode(ALERT))
    alert.incidents[1].group.service = ("s"):rep(3000)
    for i = 1, 40 do alert.incidents[1].group["key" .. i] = ("y"):rep(3000) end
    local json, bytes = send("opsgenie", { key = "secret" }, alert)[1].json, 0
    for name, value in pairs(json.details) do bytes = bytes + #name + #value end
    assert.is_true(bytes > 6000 and bytes <= 8000, bytes)
    assert.is_true(#json.entity <= 512)
  end)

  it("takes a base URL with a slash at its end", function()
    for kind, path in pairs { alertmanager = "/api/v2/alerts", otlp = "/v1/logs", opsgenie = "/v2/alerts" } do
      local url = mock.url("/ok/base-" .. kind)
      world = room.open("", { receivers = { r = { type = kind, settings = { url = url .. "/", key = "k" } } } })
      world.send("r", ALERT)
      assert.equal(0, world.wait(1)[1].result)
      world.close()
      world = nil
      assert.equal("/ok/base-" .. kind .. path, mock.requests("/ok/base-" .. kind)[1].path)
    end
  end)

  it("sends Discord embeds within its lengths, cut between characters", function()
    local alert = cjson.decode(cjson.encode(ALERT))
    alert.incidents[1].rule, alert.incidents[1].summary = ("é"):rep(300), ("ü"):rep(5000)
    local embed = send("discord", {}, alert)[1].json.embeds[1]
    assert.is_true(#embed.title <= 256 and #embed.description <= 4096)
    assert.truthy(embed.title:find("…$"))
    assert.is_nil(embed.title:gsub("é", ""):find("[\128-\191]", 1) and embed.title:gsub("é", ""):gsub("…", ""):find("[\128-\255]"))
  end)

  it("sends Teams an adaptive card", function()
    local attachment = send("teams", {})[1].json.attachments[1]
    assert.equal("application/vnd.microsoft.card.adaptive", attachment.contentType)
    assert.same({ "AdaptiveCard", "TextBlock", "FactSet" },
      { attachment.content.type, attachment.content.body[1].type, attachment.content.body[3].type })
  end)

  it("triggers and resolves PagerDuty events of one key", function()
    local one, two = send("pagerduty", { routing_key = "k" })[1].json, send("pagerduty", { routing_key = "k" }, resolved())[1].json
    assert.same({ "trigger", "resolve" }, { one.event_action, two.event_action })
    assert.equal(one.dedup_key, two.dedup_key)
    assert.same({ "k", "error", "checkout", "checkout-slow" },
      { one.routing_key, one.payload.severity, one.payload.source, one.payload.class })
  end)

  it("creates and closes Opsgenie alerts of one alias", function()
    local one, two = send("opsgenie", { key = "secret" })[1], send("opsgenie", { key = "secret" }, resolved())[1]
    assert.equal("GenieKey secret", one.headers.authorization)
    assert.same({ "P2", ("a"):rep(32) }, { one.json.priority, one.json.alias })
    assert.truthy(two.path:find("/v2/alerts/" .. ("a"):rep(32) .. "/close?identifierType=alias", 1, true))
  end)

  it("sends every Alertmanager labels that are identity, and annotations that are not", function()
    local got = send("alertmanager", { urls = true })
    assert.equal(2, #got)
    local firing, over = got[1].json[1], send("alertmanager", {}, resolved())[1].json[1]
    assert.same({ alertname = "checkout-slow", rule = "checkout-slow", severity = "high", service = "checkout",
      team_name = "payments" }, firing.labels)
    assert.same(firing.labels, over.labels)
    assert.same(firing.annotations, over.annotations)
    assert.equal(("b"):rep(32), firing.annotations.trace_id)
    assert.equal("2026-01-01T00:10:00.000000000Z", over.endsAt)
  end)

  it("has told Alertmanager when one of a cluster knows", function()
    local urls = { mock.url "/status/500/am", mock.url "/ok/one-of-two", mock.url "/status/400/am" }
    world = room.open("", { receivers = { r = { type = "alertmanager", settings = { urls = urls } } } })
    world.send("r", ALERT)
    assert.equal(0, world.wait(1)[1].result)
    world.close()
    world = room.open("", { receivers = { r = { type = "alertmanager", settings = { urls = { urls[1], urls[3] } } } } })
    world.send("r", ALERT)
    assert.not_equal(0, world.wait(1)[1].result)
  end)

  it("signs a webhook, whose body is the alert", function()
    local request = send("webhook", { secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", headers = { ["X-Team"] = "a" } })[1]
    assert.same({ ALERT.id, "a" }, { request.headers["webhook-id"], request.headers["x-team"] })
    assert.same(ALERT, request.json)
    local file = os.tmpname()
    local handle = io.open(file, "wb")
    handle:write(("%s.%s.%s"):format(ALERT.id, request.headers["webhook-timestamp"], request.body))
    handle:close()
    local pipe = io.popen(([[python3 -c "
import base64, hashlib, hmac
key = base64.b64decode('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
print('v1,' + base64.b64encode(hmac.new(key, open('%s', 'rb').read(), hashlib.sha256).digest()).decode())"]]):format(file))
    assert.equal(pipe:read("*l"), request.headers["webhook-signature"])
    pipe:close()
    os.remove(file)
  end)

  it("speaks as Alertmanager's webhooks do", function()
    local json = send("webhook", { format = "alertmanager" })[1].json
    assert.same({ alertname = "checkout-slow", rule = "checkout-slow", severity = "high", service = "checkout",
      ["team.name"] = "payments" }, json.commonLabels)
    for _, key in ipairs { "receiver", "groupLabels", "commonAnnotations", "externalURL", "groupKey", "truncatedAlerts" } do
      assert.is_not_nil(json[key], key)
    end
    assert.same({ summary = "checkout: POST /pay took 301 ms", count = "3", incident = ("a"):rep(32), trace_id = ("b"):rep(32),
      reason = "missing audit.log" }, json.alerts[1].annotations)
    assert.same({ "4", "firing", "firing", "checkout-slow" }, { json.version, json.status, json.alerts[1].status,
      json.alerts[1].labels.alertname })
  end)

  it("sends OTLP log records on the trace, and spans that link to it", function()
    local request = send("otlp", {})[1]
    assert.truthy(request.path:find("/v1/logs$"))
    local record = request.json.resourceLogs[1].scopeLogs[1].logRecords[1]
    assert.same({ "fluo.violation", ("b"):rep(32), ("c"):rep(16), 17, "1767225604000000001" },
      { record.eventName, record.traceId, record.spanId, record.severityNumber, record.timeUnixNano })
    request = send("otlp", { signal = "traces" })[1]
    local span = request.json.resourceSpans[1].scopeSpans[1].spans[1]
    assert.same({ { traceId = ("b"):rep(32), spanId = ("c"):rep(16) } }, span.links)
    assert.equal(32, #span.traceId)
    local over = send("otlp", {}, resolved())[1].json.resourceLogs[1].scopeLogs[1].logRecords
    assert.same({ 1, "fluo.incident.resolved" }, { #over, over[1].eventName })
  end)

end)
