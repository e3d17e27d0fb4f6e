local cjson = require("cjson")
local receiver = require("spec.agent.receiver")
local replay = require("spec.replay")

describe("fluo notify", function()
  local mock, dir
  setup(function() mock = receiver.start() end)
  teardown(function() mock.stop() end)
  before_each(function()
    dir = os.tmpname()
    os.remove(dir)
    os.execute(("mkdir -p %s/rules"):format(dir))
  end)
  after_each(function() os.execute("rm -rf " .. dir) end)

  -- With a configuration that has these receivers: exit status, what was printed, what was complained of.
  local function notify(receivers, words, variables)
    replay.write(dir .. "/fluo.lua", ("return { rules = %q, receivers = { %s } }"):format(dir .. "/rules", receivers))
    return replay.shell(("cd %s && %s timeout 60 %s notify -c fluo.lua %s"):format(dir, variables or "",
      replay.fluo:find("^/") and replay.fluo or "$OLDPWD/" .. replay.fluo, words))
  end

  it("sends an example by a receiver, and its resolve", function()
    local ops = ('ops = { type = "webhook", url = %q }'):format(mock.url "/ok/example")
    local status, out = notify(ops, "ops")
    assert.same({ 0, "ops: delivered: 200\n" }, { status, out })
    assert.equal(0, (notify(ops, "--resolved ops")))
    local firing, over = unpack(mock.requests "/ok/example")
    firing, over = cjson.decode(firing.body), cjson.decode(over.body)
    assert.same({ "firing", "resolved", "ops" }, { firing.status, over.status, over.receiver })
    assert.equal(firing.incidents[1].id, over.incidents[1].id)
    assert.is_true(firing.id ~= over.id and #firing.id == 32)
  end)

  it("sends the alert of a file, or of standard input, by an action of the rules", function()
    replay.write(dir .. "/rules/mine.lua", 'action "mine" (function(alert) action.note("about " .. alert.rule .. ("!"):rep(1500)) return true end)')
    replay.write(dir .. "/alert.json", '{"id":"1","incidents":[{"rule":"checkout-slow"}]}')
    for _, words in ipairs { "mine alert.json", "mine - < alert.json" } do
      local status, out = notify("", words)
      assert.equal(0, status)
      assert.truthy(out:find("^mine: about checkout%-slow!+…\nmine: delivered\n$"), out)
    end
  end)

  it("says what was answered where it was not delivered, and whether it is tried again", function()
    local status, out = notify(('a = { type = "webhook", url = %q }'):format(mock.url "/status/503?retry_after=7"), "a")
    assert.same({ 1, "a: not delivered, to be tried again after 7 s: 503 no\n" }, { status, out })
    status, out = notify(('a = { type = "webhook", url = %q }'):format(mock.url "/status/404"), "a")
    assert.same({ 1, "a: not delivered, and never will be: 404 no\n" }, { status, out })
  end)

  it("shows what would be sent, and no secret of it", function()
    local before = #mock.requests "/"
    local receivers = ([[team = { type = "webhook", url = %q, secret = secret "HOOK", headers = { ["X-Key"] = secret "HOOK", ["X-Team"] = "a/b" } },
      pager = { type = "pagerduty", routing_key = "an/important\"key" }]]):format(mock.url "/dry")
    for _, name in ipairs { "team", "pager" } do
      local status, out = notify(receivers, "--dry-run " .. name, "HOOK=whsec_c2VjcmV0c2VjcmV0")
      assert.equal(0, status)
      assert.truthy(out:find("^POST ") and out:find("example alert", 1, true) and out:find(name .. ": nothing was sent\n$"), out)
      for _, hidden in ipairs { mock.url "/dry", "whsec_", "an/imp", "an\\/imp", "important" } do assert.is_nil(out:find(hidden, 1, true), out) end
    end
    assert.equal(before, #mock.requests "/")
  end)

  it("shows all of it, however long", function()
    replay.write(dir .. "/alert.json", ('{"id":"1","incidents":[{"rule":"%s"}]}'):format(("x"):rep(5000)))
    local _, out = notify(('a = { type = "webhook", url = %q }'):format(mock.url "/dry"), "--dry-run a alert.json")
    assert.truthy(out:find('"rule":"' .. ("x"):rep(5000) .. '"}]}\na: nothing was sent\n', 1, true), out)
  end)

  for _, row in ipairs {
    { "teem", 1, "there is no receiver or action teem; did you mean team?" },
    { "log", 1, "log is no receiver" },
    { "team none.json", 1, "none.json" },
    { "team fluo.lua", 1, "fluo.lua: no JSON object" },
    { "--example team fluo.lua", 2, "--example and --resolved are of the example" },
    { "--dry-rum team", 2, "did you mean `--dry-run`?" },
    { "", 2, "the name of a receiver is missing" },
    { "--print slak", 1, "there is no type slak; did you mean slack?" },
  } do
    it("refuses: " .. row[1], function()
      local status, _, err = notify('team = { type = "webhook", url = "http://127.0.0.1:1" }', row[1])
      assert.equal(row[2], status, err)
      assert.truthy(err:find(row[3], 1, true), err)
    end)
  end

  it("prints built-in types, whose copies are taken in their place", function()
    for _, kind in ipairs { "alertmanager", "discord", "email", "mattermost", "opsgenie", "otlp", "pagerduty", "slack", "teams", "webhook" } do
      local status, text = notify("", "--print " .. kind)
      assert.equal(0, status)
      kind = kind == "mattermost" and "slack" or kind
      replay.write(("%s/rules/%s.lua"):format(dir, kind), (text:gsub("(action%.mail)", "%1"):gsub("FLUO", "OURS")))
    end
    local status, out, err = replay.shell(("%s check --strict %s/rules"):format(replay.fluo, dir))
    assert.equal(0, status, out .. err)
    assert.equal(0, (notify(('a = { type = "pagerduty", routing_key = "k", url = %q }'):format(mock.url "/ok/copy"), "a")))
    assert.equal("OURS", cjson.decode(mock.requests("/ok/copy")[1].body).client)
  end)
end)
