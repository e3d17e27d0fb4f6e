-- The real agent: what people say of violations widens limits, and a restart does not forget it.
local api = require("spec.agent.api")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local sqlite = require("spec.sqlite")

local RULES = [[
rule "often" { when = window("1s", { name = "login" }):by("user"):count():over(16) }
rule "shade" { mode = "shadow", when = window("1s", { name = "login" }):by("user"):count():over(16) }
rule "whole" { when = window("1s", { name = "logout" }):count():over(16) }
rule "once" { when = { name = "odd" } }
rule "steps" { when = sequence { by = "user", within = "1m", { name = "one" }, { name = "two" } } }
]]
local EPOCH = 1760356800                                   -- spec.replay's

describe("an agent", function()
  local data, agent, sent, last, seen

  before_each(function()
    data, sent, last, seen = os.tmpname(), 0, 0, {}
    os.remove(data)
  end)
  after_each(function()
    if agent then agent:stop(9) end
    os.execute("rm -rf " .. data)
  end)

  local function start(rules) agent = assert(harness.start { rules = rules or RULES, data = data }) end
  local function stop()
    agent:stop()
    agent = nil
  end

  -- n spans of one user at one time, some seconds after those before them: a window of its own.
  local function burst(name, user, n)
    local spans = {}
    last = math.max(last + 3, os.time() - 15)
    for i = 1, n do
      sent = sent + 1
      spans[i] = replay.span { name = name, id = last .. sent, trace = last .. sent, at = (last - EPOCH) * 1000 + i, dur = 0,
        attr = { user = user } }
    end
    agent:send { spans }
  end

  local function get(path)
    local status, answer = api.ask(agent, "GET", path)
    assert.equal(200, status)
    return answer
  end
  -- The violations of a rule that were not asked for before, the oldest first: { value, threshold, widened }.
  local function news(rule)
    local list = {}
    for _, v in ipairs(get("violations?rule=" .. rule).violations) do
      if not seen[v.id] then table.insert(list, 1, v) end
      seen[v.id] = true
    end
    return list
  end
  local function new(rule)
    local list = news(rule)
    assert.equal(1, #list)
    return list[1]
  end
  local function figures(v) return { v.value, v.threshold, v.widened } end
  local function mark(violation, verdict)
    local status, answer = api.ask(agent, "POST", ("violations/%s/feedback"):format(violation.id), { verdict = verdict, by = "ann" })
    assert.equal(201, status)
    return answer
  end

  it("is silent within a band that was called wrong, and beyond it fires with the widened threshold", function()
    start()
    burst("login", "ada", 17)
    local first = new("often")
    assert.same({ 17, 16 }, figures(first))
    local answer = mark(first, "wrong")
    assert.same({ "often", { user = "ada" }, "wrong", "ann", 1.125 },
      { answer.rule, answer.group, answer.verdict, answer.who, answer.widened })
    burst("login", "ada", 18)
    assert.same({}, news("often"))
    burst("login", "bob", 18)
    assert.same({ 17, 16 }, figures(new("often")))
    burst("login", "ada", 19)
    assert.same({ 19, 18, 1.125 }, figures(new("often")))
    for _, v in ipairs(news("shade")) do assert.equal(16, v.threshold) end
  end)

  it("shows what is widened, and goes by the rule again where that is revoked, or a step less where it was right", function()
    start()
    burst("login", "ada", 17)
    local first = new("often")
    mark(first, "wrong")
    mark(first, "wrong")
    burst("login", "ada", 19)
    local second = new("often")
    assert.equal(1.25, mark(second, "wrong").widened)
    local widened = get("widened").widened
    assert.same({ 1, "often", { user = "ada" }, 1.25, 2 }, { #widened, widened[1].rule, widened[1].group, widened[1].widened, widened[1].wrong })
    local m = agent:metrics()
    assert.same({ 1, 1.25 }, { m.fluo_feedback_widened_groups, m.fluo_feedback_widest_factor })
    burst("login", "ada", 20)
    assert.same({}, news("often"))
    assert.equal(1, mark(second, "revoked").widened)
    burst("login", "ada", 17)
    assert.same({ 17, 16 }, figures(new("often")))
    assert.same({}, get("widened").widened)
    mark(first, "wrong")
    assert.equal(1, mark(second, "right").widened)
    assert.equal(6, #get("feedback").feedback)
  end)

  it("knows it again after a restart, with the windows' snapshot and without it", function()
    start()
    burst("login", "ada", 17)
    mark(new("often"), "wrong")
    burst("logout", "ada", 17)
    local whole = new("whole")
    assert.equal(1.125, mark(whole, "wrong").widened)
    for n = 1, 2 do
      stop()
      if n == 2 then os.remove(data .. "/state.snapshot") end
      start()
      burst("login", "ada", 18)
      burst("logout", "bob", 18)
      assert.same({ {}, {} }, { news("often"), news("whole") })
      burst("login", "ada", 19)
      assert.same({ 19, 18, 1.125 }, figures(new("often")))
    end
    assert.equal(1, mark(whole, "revoked").widened)
    stop()
    start()
    assert.equal(1, agent:metrics().fluo_feedback_widened_groups)
  end)

  it("knows it where the rule was changed, for it is the group that was called wrong", function()
    start()
    burst("login", "ada", 17)
    mark(new("often"), "wrong")
    stop()
    start((RULES:gsub("over%(16%)", "over(8)")))
    burst("login", "ada", 9)
    assert.same({}, news("often"))
    burst("login", "ada", 10)
    assert.same({ 10, 9, 1.125 }, figures(new("often")))
  end)

  it("is told by `fluo feedback`, which shows what that widens", function()
    local function fluo(arguments)
      local status, out, err = replay.shell(("%s feedback --admin=%s %s"):format(replay.fluo, agent.admin, arguments))
      assert.equal(0, status, err)
      return out
    end
    start()
    burst("login", "ada", 17)
    local first = new("often").id
    assert.truthy(fluo(first:sub(1, 12) .. " --false-positive"):find("often: wrong; its group is widened to 1.125", 1, true))
    assert.truthy(fluo("list"):find("often%s+1%.125%s+1%s+0%s+user"))
    assert.equal(1.125, require("cjson").decode(fluo("list --json")).widened[1].widened)
    assert.truthy(fluo(first .. " --revoke"):find("often: revoked; its limit is the rule's", 1, true))
    assert.equal("nothing is widened\n", fluo("list"))
  end)

  it("gives a list of what is widened that replay judges by", function()
    start()
    burst("login", "ada", 17)
    mark(new("often"), "wrong")
    local list, traces, rules = os.tmpname(), os.tmpname(), replay.rule_file(RULES:match("[^\n]+\n"))
    replay.write(list, agent:get("/api/v1/widened"))
    local spans = {}
    for i = 1, 37 do
      local user = i % 2 == 0 and "ada" or "bob"
      spans[i] = replay.span { name = "login", id = "s" .. i, trace = "t" .. i, at = i, dur = 0, attr = { user = user } }
    end
    replay.write(traces, require("cjson").encode(replay.request(spans)))
    local function judged(flags)
      local status, out = replay.shell(("%s replay --rules %s %s %s 2>&1"):format(replay.fluo, rules, flags, traces))
      local found = {}
      for user, threshold, widened in out:gmatch('"user":"(%a+)"},"value":%d+,"threshold":(%d+)([^%l]*%l*)') do
        found[#found + 1] = ("%s %s%s"):format(user, threshold, widened:find("widened") and " widened" or "")
      end
      return found, status, out
    end
    assert.same({ "bob 16", "ada 16" }, (judged("")))
    assert.same({ "bob 16" }, (judged("--widened " .. list)))
    for _, bad in ipairs { traces, "/nowhere" } do
      local found, status, out = judged("--widened " .. bad)
      assert.same({ {}, 1 }, { found, status })
      assert.truthy(out:find(bad, 1, true))
    end
    for _, path in ipairs { list, traces, rules } do os.remove(path) end
  end)

  it("keeps what is said of rules that compare no number over a window, and widens nothing", function()
    start()
    burst("odd", "ada", 1)
    burst("one", "ada", 1)
    burst("two", "ada", 1)
    for _, rule in ipairs { "once", "steps" } do
      local violation = new(rule)
      local answer = mark(violation, "wrong")
      assert.same({ rule, require("cjson").null, 1 }, { answer.rule, answer.group, answer.widened })
      assert.equal(violation.id, get("feedback?rule=" .. rule).feedback[1].violation)
    end
    assert.same({}, get("widened").widened)
  end)

  it("starts with rows that make no sense, and counts them", function()
    start()
    burst("login", "ada", 17)
    mark(new("often"), "wrong")
    stop()
    for _, row in ipairs { "'x', '', 'often', '{}', '', 0, 1", "'%s', '', 'often', '{\"a\":', '', 0, 1", "'%s', '', 'often', '{}', '', 7, 1",
                           "'%s', '', 'often', '{}', '', -1, 1" } do
      assert.equal(0, (replay.shell(("%s %s/fluo.db \"INSERT INTO feedback(violation, incident, rule, grouped, who, right, at)" ..
        " VALUES(%s)\""):format(sqlite.SHELL, data, (row:format(("0"):rep(32)):gsub('"', '\\"'))))))
    end
    start()
    local m = agent:metrics()
    assert.same({ 4, 1 }, { m.fluo_feedback_refused_marks_total, m.fluo_feedback_widened_groups })
  end)
end)
