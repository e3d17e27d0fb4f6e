-- The commands that ask a running agent: what they print, what they change, and what they say where they cannot.
local api = require("spec.agent.api")
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local socket = require("spec.agent.socket")

local RULES = [[
rule "failed" { severity = "high", when = trace.has { status = "ERROR" }, summary = "{service}: {name} failed" }
rule "slow" { when = { name = "slow" }, group_by = { "http.route" } }
]]

local function span(name, more)
  more = more or {}
  more.name, more.id, more.dur = name, more.id or name, more.dur or 5
  more.at = (os.time() - 1760356800) * 1000 + (more.at or 0)
  return replay.span(more)
end

describe("a command that asks the agent", function()
  local data, agent

  setup(function()
    data = os.tmpname()
    os.remove(data)
    agent = assert(harness.start { rules = RULES, data = data, flags = { "--trace.idle=1s" } })
    agent:send {
      { span("pay", { trace = "t1", service = "shop", dur = 12 }),
        span("card", { trace = "t1", parent = "pay", service = "bank", at = 2, status = "ERROR", message = "declined\27[2J" }),
        span("stock", { trace = "t1", parent = "pay", service = "shop", at = 1 }) },
      { span("slow", { trace = "t2", id = "s2", attr = { ["http.route"] = "/a" } }) },
      { span("slow", { trace = "t3", id = "s3", attr = { ["http.route"] = "/b" } }) },
    }
    agent:settle()
    api.ask(agent, "GET", "incidents")           -- the ledger's database is made, however slow the disk is to sync
  end)
  teardown(function()
    agent:stop(9)
    os.execute("rm -rf " .. data)
  end)

  -- What `fluo WORDS` prints, its status, and what it says.
  local function fluo(words)
    local status, out, err = replay.shell(("%s %s --admin=%s"):format(replay.fluo, words, agent.admin))
    return out, status, err
  end
  local function good(words)
    local out, status, err = fluo(words)
    assert.same({ 0, "" }, { status, err }, words)
    return out
  end
  local function bad(status, says, words)
    local out, got, err = fluo(words)
    assert.same({ "", status, true }, { out, got, err:find(says, 1, true) ~= nil }, err)
  end
  local function incident(rule) return cjson.decode(good("incidents --json --rule=" .. rule)).incidents[1] end

  it("lists incidents as a table, and as JSON", function()
    local out = good("incidents")
    assert.truthy(out:find("^ID +STATUS +SEVERITY +RULE +COUNT +LAST +GROUP\n"))
    assert.truthy(out:find("%x+  open    high      failed  1      %d+s +service=bank\n"), out)
    assert.truthy(out:find("http.route=/a\n", 1, true))
    assert.equal("no incident\n", good("incidents --status=resolved"))
    assert.truthy(good("incidents --status=all --since=1h --severity=medium --limit=1"):find("and more: --limit", 1, true))
  end)

  it("shows an incident, with the trace of its newest violation as a tree", function()
    local out = good("show " .. incident("failed").id:sub(1, 10))
    assert.truthy(out:find("incident " .. incident("failed").id .. " of failed\n", 1, true))
    assert.truthy(out:find("summary   bank: card failed\n", 1, true))
    assert.truthy(out:find("cause     bank  card: declined?[2J\n", 1, true), out)
    local tree = { "        12 ms  shop  pay", "         5 ms    shop  stock", "  *!     5 ms    bank  card  ERROR declined?[2J" }
    assert.truthy(out:find(table.concat(tree, "\n") .. "\n", 1, true), out)
  end)

  it("shows a violation by the beginning of its id, as JSON with its trace", function()
    local id = incident("failed").violations[1].id
    local shown = cjson.decode(good("show --json " .. id:sub(1, 12)))
    assert.same({ id, 3 }, { shown.id, shown.trace.fluo.evidence.spans })
    assert.truthy(good("show " .. id):find("violation " .. id .. " of failed\n", 1, true))
  end)

  it("acknowledges and resolves incidents", function()
    local slow = incident("slow")
    assert.equal(("%s  acknowledged  slow  http.route=%s\n"):format(slow.id:sub(1, 12), slow.group["http.route"]), good("ack " .. slow.id))
    bad(1, "the incident is acknowledged", "ack " .. slow.id)
    assert.equal("resolved", cjson.decode(good("resolve --json " .. slow.id)).status)
  end)

  it("makes a silence, lists it, and ends it", function()
    local made = good("silence 'rule=\"failed\"' --for 2h --comment=tests --by=ann")
    local id = made:match("^(%x+)  until 20%S+Z, holds 1 now\n$")
    assert.truthy(id, made)
    assert.truthy(good("silence list"):find(id .. "  until %S+  1      ann  rule=\"failed\"  tests\n"))
    assert.equal(id .. "  has ended\n", good("silence end " .. id))
    assert.equal("no silence is in force\n", good("silence list"))
    assert.truthy(good("silence severity=low --until-resolved"):find("until resolved, holds 0 now", 1, true))
    bad(2, "until when?", "silence rule=failed")
    bad(2, "which one?", "silence end")
    bad(1, "expected", "silence 'rule failed' --for=1h")
  end)

  it("says what was right and wrong, and what that has widened", function()
    local id = incident("failed").violations[1].id
    assert.equal(id:sub(1, 12) .. "  failed: wrong; kept, for there is no limit to widen\n", good("feedback --false-positive " .. id))
    assert.equal("right", cjson.decode(good("feedback --right --json " .. id)).verdict)
    assert.equal("nothing is widened\n", good("feedback list"))
    bad(2, "say one of --false-positive", "feedback " .. id)
  end)

  it("follows what comes", function()
    local out, log = os.tmpname(), os.tmpname()
    local pipe = io.popen(("%s tail --count=3 --duration=60s --admin=%s 2>%s >%s; echo $?"):format(replay.fluo, agent.admin, log, out))
    agent:await(function(page) return page.fluo_events_clients == 1 end)
    agent:send { { span("slow", { trace = "t9", id = "s9", attr = { ["http.route"] = "/new" } }) } }
    agent:send { { span("slow", { trace = "t10", id = "s10", attr = { ["http.route"] = "/newer" } }) } }
    local status = pipe:read("*a")
    pipe:close()
    local text = io.open(out):read("*a")
    os.remove(out)
    os.remove(log)
    assert.equal("0\n", status, text)
    assert.truthy(text:find("%d%d:%d%d:%d%d  incident   %x+  medium  slow  open  x1  http.route=/new\n"), text)
    assert.truthy(text:find("%d%d:%d%d:%d%d  violation  %x+  medium  slow"), text)
  end)

  it("follows on where an agent was that has ended, once another one is there, and misses nothing", function()
    local out, log, of = os.tmpname(), os.tmpname(), os.tmpname()
    os.remove(of)
    local function slow(n) return { { span("slow", { trace = "u" .. n, id = "u" .. n, attr = { ["http.route"] = "/" .. n } }) } } end
    local port, let_go = socket.reserve()                    -- nobody else is given it between the two
    finally(function()
      let_go()
      os.execute(("rm -rf %s %s %s"):format(out, log, of))
    end)
    local address = "127.0.0.1:" .. port
    local other = assert(harness.start { rules = RULES, data = of, flags = { "--listen.admin=" .. address } })
    local pipe = io.popen(("%s tail --json --count=7 --duration=60s --admin=%s 2>%s >%s; echo $?"):format(replay.fluo, address, log, out))
    other:await(function(page) return page.fluo_events_clients == 1 end)
    other:send(slow(1))
    other:settle()
    local _, changed = replay.shell(("curl -s http://%s/api/v1/incidents"):format(address))
    local first = cjson.decode(changed).incidents[1]
    replay.shell(("curl -s -X POST http://%s/api/v1/incidents/%s/ack"):format(address, first.id))
    other:stop()
    other = assert(harness.start { rules = RULES, data = of, flags = { "--listen.admin=" .. address } })
    other:send(slow(2))
    -- Once it has what it missed: of what comes before that, it may be told twice.
    socket.until_true(function() return select(2, replay.text(out):gsub('"event":"violation"', "")) == 2 end)
    other:send(slow(3))
    assert.equal("0\n", pipe:read("*a"))
    pipe:close()
    other:stop()
    local said, seen = io.open(log):read("*a"), {}
    for line in io.lines(out) do
      local event = cjson.decode(line)
      local key = event.event .. ((event.data.group or {})["http.route"] or "")
      seen[key] = (seen[key] or 0) + 1
    end
    assert.same({ ["incident/1"] = 2, ["incident/2"] = 1, ["incident/3"] = 1, violation = 3 }, seen)
    assert.truthy(said:find("the agent has ended; it is followed on when it is back\nfluo: following " .. address .. " again", 1, true), said)
  end)

  it("shows what is of no trace without one, and one span as one", function()
    local show = require("fluo.cli.show")
    local violation = { id = ("a"):rep(32), rule = "fluo:delivery", severity = "high", time = "2026-01-01T00:00:00Z", spans = {},
      span_total = 0, summary = "ops was not told" }
    assert.is_nil(show.violation(violation):find("trace", 1, true))
    violation.trace_id, violation.spans = ("b"):rep(32), { { span_id = "c", name = "n" } }
    assert.truthy(show.violation(violation):find("trace     b+, which was not kept\n"))
    local kept = { fluo = { evidence = { spans = 1, spans_total = 1 } }, resourceSpans = {} }
    assert.truthy(show.violation(violation, kept):find("trace     b+, 1 span\n"))
  end)

  it("needs no secret of the configuration, as those do that send", function()
    local file = os.tmpname()
    finally(function() os.remove(file) end)
    replay.write(file, [[return { actions = { secrets = { "NOBODY_SET" } },
      receivers = { ops = { type = "webhook", url = secret "NOBODY_SET", secret = secret { file = "/none" } } } }]])
    good("incidents -c " .. file)
    local status, _, err = replay.shell(("%s notify ops -c %s"):format(replay.fluo, file))
    assert.equal(78, status)
    assert.truthy(err:find("receivers.ops.url: the variable NOBODY_SET is not set", 1, true), err)
  end)

  it("says what there is not, and where it asked", function()
    bad(1, "no incident or violation has an id that begins with 00000000", "show 00000000")
    bad(1, "is no id", "show xyz")
    bad(1, "no incident has an id", "ack 00000000")
    bad(2, "--severity: expected one of low, medium, high, critical", "incidents --severity=bad")
    local status, _, err = replay.shell(replay.fluo .. " incidents --admin=127.0.0.1:1")
    assert.same({ 1, true }, { status, err:find("nobody listens on 127.0.0.1:1: is `fluo run` running?", 1, true) ~= nil }, err)
  end)

  it("needs more of an id that several begin with", function()
    local first, all = {}, {}
    for _, kind in ipairs { "incidents", "violations" } do
      for _, one in ipairs(cjson.decode(agent:get("/api/v1/" .. kind))[kind]) do all[#all + 1] = one.id:sub(1, 1) end
    end
    for _, digit in ipairs(all) do
      if first[digit] then return bad(1, "give more of it", "show " .. digit) end
      first[digit] = true
    end
    bad(1, "no incident or violation", "show " .. ("0"):rep(32))        -- every first digit differs
  end)
end)
