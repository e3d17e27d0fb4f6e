local alerts = require("spec.lua.alerts")
local cjson = require("cjson")
local room = require("spec.core.post_room")
local socket = require("spec.agent.socket")
local support = require("spec.support")

local OK, RETRY, FAILED = 0, 1, 2

local function decode64(text)
  local pipe = io.popen(("printf %%s '%s' | base64 -d"):format(text))
  local bytes = pipe:read("*a")
  pipe:close()
  return bytes
end

-- sink.py of a kind; messages(count): once so many are there, what they hold.
local function sink(kind)
  local log, path = os.tmpname(), os.tmpname()
  os.remove(path)
  local pipe = assert(io.popen(("sh -c 'echo $$; exec python3 spec/agent/sink.py %s %s %s'"):format(log, kind, path)))
  local self = { pid = pipe:read("*n"), port = pipe:read("*n"), path = path }
  function self.messages(count)
    local found = socket.until_true(function()
      local list = {}
      for line in support.read(log):gmatch("([^\n]*)\n") do list[#list + 1] = cjson.decode(line) end
      return #list >= count and list
    end)
    for _, each in ipairs(found) do
      if kind:sub(1, 4) ~= "smtp" then each.data = decode64(each.data) end
    end
    assert.equal(count, #found)
    return found
  end
  function self.stop()
    os.execute(("kill %d 2>/dev/null"):format(self.pid))
    pipe:close()
    os.remove(log)
    os.remove(path)
  end
  return self
end

describe("a built-in receiver, on this machine", function()
  local world, sinks, dir
  before_each(function()
    sinks, dir = {}, os.tmpname()
    os.remove(dir)
    os.execute("mkdir " .. dir)
  end)
  after_each(function()
    if world then world.close() end
    world = nil
    for _, each in ipairs(sinks) do each.stop() end
    os.execute("rm -rf " .. dir)
  end)

  local function listen(kind)
    sinks[#sinks + 1] = sink(kind)
    return sinks[#sinks]
  end

  -- What becomes of alerts, each sent by a receiver of this type.
  local function send(kind, settings, ...)
    world = room.open("", { receivers = { r = { type = kind, settings = settings } }, exec = true })
    local list = select("#", ...) > 0 and { ... } or { alerts.firing() }
    for _, alert in ipairs(list) do world.send("r", alert) end
    local outcomes = world.wait(#list)
    world.close()
    world = nil
    return unpack(outcomes)
  end

  local function program(text)
    local file = io.open(dir .. "/program", "w")
    file:write("#!/bin/sh\n" .. text .. "\n")
    file:close()
    os.execute(("chmod +x %s/program"):format(dir))
    return { dir .. "/program", "one", "two words; $HOME" }
  end

  it("appends a line an alert to a file", function()
    local path = dir .. "/alerts.jsonl"
    local one, two = send("file", { path = path }, alerts.firing(), alerts.resolved())
    assert.same({ OK, OK }, { one.result, two.result })
    local seen = {}
    for line in io.lines(path) do seen[cjson.decode(line).status] = cjson.decode(line) end
    assert.same({ firing = alerts.firing(), resolved = alerts.resolved() }, seen)
  end)

  it("tries again where a file cannot be written, and leaves no half of a line", function()
    local outcome = send("file", { path = dir .. "/none/alerts.jsonl" })
    assert.equal(RETRY, outcome.result)
    assert.truthy(outcome.text:find("No such file or directory", 1, true), outcome.text)
    outcome = send("file", { path = "/dev/full" })
    assert.equal(RETRY, outcome.result)
    assert.truthy(outcome.text:find("No space left", 1, true), outcome.text)
  end)

  it("runs a program without a shell: the alert is its input, the rule in its environment", function()
    local outcome = send("exec", { argv = program([[echo "$#|$2|$FLUO_RULE|$FLUO_SEVERITY|$FLUO_STATUS|$FLUO_COUNT|$HOME" >]] .. dir .. [[/said
      cat >]] .. dir .. [[/input; echo done]]) })
    assert.same({ OK, "done" }, { outcome.result, outcome.text })
    assert.equal("2|two words; $HOME|checkout-slow|high|firing|3|\n", support.read(dir .. "/said"))
    assert.same(alerts.firing(), cjson.decode(support.read(dir .. "/input")))
  end)

  it("goes by a program's exit status", function()
    local rows = { { "exit 0", OK, "^$" }, { "echo no >&2; exit 1", FAILED, "^exit status 1: no$" },
      { "exit 75", RETRY, "^exit status 75" }, { "kill -9 $$", RETRY, "signal 9" } }
    for _, row in ipairs(rows) do
      local outcome = send("exec", { argv = program(row[1]) })
      assert.equal(row[2], outcome.result, row[1])
      assert.truthy(outcome.text:find(row[3]), outcome.text)
    end
    local outcome = send("exec", { argv = { dir .. "/none" } })
    assert.truthy(outcome.result == RETRY and outcome.text:find("No such file", 1, true), outcome.text)
  end)

  it("ends a program that takes too long, with what it started", function()
    local ms, said = 750
    repeat                                    -- a busy machine takes longer to begin it
      ms = ms * 2
      local outcome = send("exec", { argv = program(("cd %s; sleep 300 & echo $! >new && mv new pid; wait"):format(dir)), timeout = ms .. "ms" })
      assert.same({ RETRY, ("%s/program took more than %g s"):format(dir, ms / 1000) }, { outcome.result, outcome.text })
      said = io.open(dir .. "/pid")
    until said or ms > 20000
    local pid = assert(said):read("*n")
    said:close()
    socket.until_true(function() return support.has_ended(pid) end)
  end)

  it("waits for no program that says too much, and keeps the beginning", function()
    local outcome = send("exec", { argv = program("head -c 3000000 /dev/zero | tr '\\0' x; exit 1") })
    assert.equal(FAILED, outcome.result)
    assert.truthy(outcome.text:find("^exit status 1: xxx"))
  end)

  it("runs the programs of all deliveries that may be out at once", function()
    local begun, go = dir .. "/begun", dir .. "/go"
    local argv = program(("echo >> %s; [ $(wc -l < %s) -lt %d ] || touch %s; until [ -e %s ]; do sleep 0.05; done")
      :format(begun, begun, room.PLACES, go, go))
    world = room.open("", { receivers = { r = { type = "exec", settings = { argv = argv, timeout = "60s" } } }, exec = true })
    for _ = 1, room.PLACES do world.send("r", alerts.firing()) end
    for _, outcome in ipairs(world.wait(room.PLACES)) do assert.equal(OK, outcome.result, outcome.text) end
  end)

  it("runs none where that was not said, and none for an action of a user's", function()
    world = room.open([[action "mine" (function() return errand.run { argv = { "/bin/true" } } end)]],
      { receivers = { r = { type = "exec", settings = { argv = { "/bin/true" } } } } })
    world.send "r"
    world.send "mine"
    local outcomes = world.wait(2)
    assert.same({ RETRY, FAILED }, { outcomes[1].result, outcomes[2].result })
    assert.truthy(outcomes[1].text:find("actions = { exec = true }", 1, true))
  end)

  it("sends syslog messages as RFC 5424 has them, with their data, by UDP and TCP and to a path", function()
    local expected = '<27>1 2026-01-01T00:00:05.000000Z - fluo - opened [fluo@32473 rule="checkout-slow" severity="high" status="open" '
      .. 'incident="' .. ("a"):rep(32) .. '" delivery="0123456789abcdef0123456789abcdef" trace_id="' .. ("b"):rep(32)
      .. '"] checkout-slow: checkout: POST /pay took 301 ms'
    local udp, tcp, path = listen "udp", listen "tcp", listen "unix"
    assert.equal(OK, send("syslog", { address = "udp://127.0.0.1:" .. udp.port }).result)
    assert.equal(expected, udp.messages(1)[1].data)
    assert.equal(OK, send("syslog", { address = "tcp://localhost:" .. tcp.port }).result)
    assert.equal(#expected .. " " .. expected, tcp.messages(1)[1].data)
    assert.equal(OK, send("syslog", { address = "unix:" .. path.path, facility = 16, app = "shop" }, alerts.resolved()).result)
    assert.truthy(path.messages(1)[1].data:find("^<134>1 %S+ %- shop %- resolved "))
  end)

  it("keeps syslog messages within 2,048 bytes, their data quoted", function()
    local alert, udp = alerts.firing(), listen "udp"
    alert.incidents[1].rule, alert.incidents[1].summary = 'a"b]c\\d', ("é"):rep(3000) .. "\n"
    send("syslog", { address = "udp://127.0.0.1:" .. udp.port }, alert)
    local message = udp.messages(1)[1].data
    assert.is_true(#message <= 2048 and #message > 2040)
    assert.truthy(message:find([[rule="a\"b\]c\\d"]], 1, true))
    assert.truthy(message:find("é…$"))
  end)

  it("tries again where nobody listens", function()
    for _, address in ipairs { "tcp://127.0.0.1:1", "unix:" .. dir .. "/none", "tcp://no-such-host.invalid:601" } do
      local outcome = send("syslog", { address = address })
      assert.equal(RETRY, outcome.result)
      assert.truthy(outcome.text:find(address, 1, true), outcome.text)
    end
  end)

  it("writes journal entries, a value of several lines with its length", function()
    local alert, path = alerts.firing(), listen "unix"
    alert.incidents[1].summary = "one\ntwo"
    assert.equal(OK, send("journald", { address = "unix:" .. path.path }, alert).result)
    local entry = path.messages(1)[1].data
    local text = "[open] checkout-slow: one\ntwo"
    assert.truthy(entry:find("MESSAGE\n" .. string.char(#text) .. ("\0"):rep(7) .. text .. "\n", 1, true))
    for _, line in ipairs { "PRIORITY=3\n", "SYSLOG_IDENTIFIER=fluo\n", "FLUO_RULE=checkout-slow\n", "FLUO_GROUP_SERVICE=checkout\n",
      "TRACE_ID=" .. ("b"):rep(32) .. "\n" } do
      assert.truthy(entry:find("\n" .. line, 1, true), line)
    end
  end)

  it("sends a mail that any reader takes", function()
    local server = listen "smtp"
    local alert = alerts.firing()
    alert.incidents[1].summary = "Überweisung “slow” " .. ("é"):rep(100)
    local outcome = send("email", { url = ("smtp://127.0.0.1:%d"):format(server.port), from = "fluo@example.com",
      to = { "ops@example.com", "night@example.com" } }, alert)
    assert.equal(OK, outcome.result, outcome.text)
    local mail = server.messages(1)[1]
    assert.truthy(mail.from:find("<fluo@example.com>", 1, true))
    assert.same({ "<ops@example.com>", "<night@example.com>" }, mail.to)
    local file = io.open(dir .. "/mail", "wb")
    file:write(mail.data)
    file:close()
    local pipe = io.popen(([[python3 -c "
import email, email.policy, json
m = email.message_from_file(open('%s/mail', newline=''), policy=email.policy.default)
print(json.dumps([str(m['subject']), m.get_content(), str(m['to']), str(m['message-id']), len(m.defects), str(m['auto-submitted'])]))"]]):format(dir))
    local subject, text, to, id, defects, submitted = unpack(cjson.decode(pipe:read("*a")))
    pipe:close()
    assert.truthy(subject:find("^%[FIRING%] checkout%-slow: Überweisung “slow” éé.*é…$"), subject)
    assert.truthy(text:find(alert.incidents[1].summary, 1, true), text)
    assert.same({ "ops@example.com, night@example.com", "<0123456789abcdef0123456789abcdef@example.com>", 0, "auto-generated" },
      { to, id, defects, submitted })
  end)

  it("gives up a mail that is refused for good, and sends no password in the clear", function()
    local server = listen "smtp-refuses"
    local url = ("smtp://127.0.0.1:%d"):format(server.port)
    assert.equal(FAILED, send("email", { url = url, from = "a@b.c", to = "d@e.f" }).result)
    local outcome = send("email", { url = url, from = "a@b.c", to = "d@e.f", user = "u", password = "p4ssword" })
    assert.truthy(outcome.result ~= OK and outcome.text:find("[TtSsLl]"), outcome.text)
  end)

  it("sends an action's mails to listed hosts alone", function()
    local server = listen "smtp"
    local text = [[action "mine" (function() return action.mail { url = "smtp://127.0.0.1:%d", from = "a@b.c", to = "d@e.f", subject = "s", text = "t" } end)]]
    world = room.open(text:format(server.port), { hosts = { "mail.example.com" } })
    world.send "mine"
    local outcome = world.wait(1)[1]
    assert.truthy(outcome.result == RETRY and outcome.text:find("127.0.0.1 is not among those", 1, true), outcome.text)
    world.close()
    world = room.open(text:format(server.port), { hosts = { "127.0.0.1" } })
    world.send "mine"
    assert.equal(OK, world.wait(1)[1].result)
    assert.equal(1, #server.messages(1))
  end)

  it("has no address that is more than one line", function()
    world = room.open([[action "mine" (function() return action.mail { url = "smtp://127.0.0.1", from = "a@b.c", to = "d@e.f>\r\nDATA",
      subject = "s", text = "t" } end)]], { hosts = { "127.0.0.1" } })
    world.send "mine"
    assert.truthy(world.wait(1)[1].text:find("is no address", 1, true))
  end)
end)
