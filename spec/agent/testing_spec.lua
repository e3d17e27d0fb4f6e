-- `fluo test`: what an author sees of specs that pass, that fail, and that are wrong.
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")

local RULE = [[
rule "slow-query" {
  when = trace.has { name = "db.query", duration = gt "1s" } * trace.missing { name = "cache" },
}
rule "retried" { when = { name = "retry", where = function(s) return s.attributes.attempt > 3 end } }
]]

local folder

local function write(name, text) replay.write(folder .. "/" .. name, text) end

-- Runs `fluo test` over a rule and a spec: exit status, stdout, stderr.
local function run(spec, flags, before)
  write("r.lua", RULE)
  if spec then write("r_spec.lua", spec) end
  return replay.shell(("%s timeout 60 %s test %s %s"):format(before or "", replay.fluo, flags or "", folder))
end

local function has(text, part) assert.truthy(text:find(part, 1, true), part .. "\n--- is not in\n" .. text) end

local function it_body(body) return ('describe("r", function() it("works", function()\n%s\nend) end)'):format(body) end

before_each(function()
  folder = os.tmpname()
  os.remove(folder)
  os.execute("mkdir " .. folder)
end)
after_each(function() os.execute("rm -r " .. folder) end)

describe("fluo test", function()
  it("gives 0 when all tests pass, and names each", function()
    local status, out = run(it_body [[
      trace { span { name = "db.query", duration = "1001ms" } }
      assert.fires("slow-query", { spans = { "db.query" }, count = 1 })
      assert.silent("retried")]])
    assert.equal(0, status, out)
    has(out, "ok r works\n1 passed, 0 failed, 0 pending in ")
  end)

  it("gives 1 when one fails, and says where, what was expected, and what fired", function()
    local status, out = run(it_body [[
      trace { span { name = "db.query", duration = "2s" } }
      assert.fires("slow-query", { reason = "because" })]])
    assert.equal(1, status)
    has(out, "FAILED r works\n  " .. folder .. "/r_spec.lua:3: rule `slow-query` fired, but not as expected\n"
      .. '    reason: expected "because", got "missing cache"\n'
      .. "    fired: slow-query in trace 1; spans: db.query; reason: missing cache\n")
  end)

  describe("with actions", function()
    before_each(function()
      write("hook.lua", [[
        action "team" (function(alert, settings)
          action.note("for " .. alert.rule)
          return http.post { url = "https://hooks.example.com/fluo", headers = { Authorization = "Bearer " .. secret "TOKEN" },
            json = { text = action.render("{event} {rule}: {summary}", alert), at = action.now(60), to = settings.to } }
        end)
        action "twice" (function() http.get { url = "https://a" } http.post { url = "https://b", form = { x = "1" } } end)
        action "mails" (function(alert) return action.mail { url = "smtp://mail", from = "a@b.c", to = "d@e.f", subject = "s", text = alert.json } end)]])
    end)
    local HOW = 'local how = { secrets = { TOKEN = "t" }, settings = { to = "ops" } }\n'

    it("runs one, and compares what it sends, under the test's clock", function()
      local status, out = run(it_body(HOW .. [[
        clock.advance "1h"
        local sent = alert("team", { rule = "slow", summary = "301 ms" }, how)
        assert.sends("team", { method = "POST", url = "https://hooks.example.com/fluo", count = 1, outcome = "ok",
          headers = { Authorization = "Bearer t" }, json = { text = "opened slow: 301 ms", at = "2025-10-13T13:01:00Z", to = "ops" } })
        assert.same({ "for slow" }, sent.notes)
        alert("twice")
        assert.sends("twice", { url = "https://b", form = { x = "1" } })
        alert("mails")
        assert.sends("mails", { to = { "d@e.f" }, subject = "s" })
        alert("slack", { summary = "s" }, { settings = { url = "https://x" }, resolved = true })
        assert.sends("slack", { url = "https://x", json = { text = "*Resolved*: example" } })]]))
      assert.equal(0, status, out)
    end)

    it("gives the answers that the test has, in order", function()
      local status, out = run(it_body(HOW .. [[
        how.answers = { { status = 429, retry_after = 7 } }
        alert("team", {}, how)
        assert.sends("team", { outcome = "retry", retry_after = 7 })
        how.answers = { { error = "no route" } }
        alert("team", {}, how)
        assert.sends("team", { outcome = "retry", why = "no route" })
        alert("twice", {}, { answers = { { status = 200 }, { status = 404, body = "gone" } } })
        assert.sends("twice", { outcome = "failed", why = "404 gone" })]]))
      assert.equal(0, status, out)
    end)

    for _, row in ipairs {
      { 'alert("team", {}, how) assert.sends("team", { json = { to = "dev" } })', ':3: action `team`: json.to: expected "dev", got "ops"' },
      { 'alert("team", {}, how) assert.sends("team", { count = 2 })', "expected 2 requests like this, got 1" },
      { 'alert("team") assert.sends("team")', "no secret `TOKEN`" },
      { 'alert("teem")', "no action is called `teem`; did you mean `team`?" },
      { 'alert("team", {}, { answer = {} })', "did you mean `answers`?" },
      { 'alert("team", {}, how) assert.sends("team", { jsn = {} })', "did you mean `json`?" },
      { 'assert.sends("team")', 'alert("team", { … }) comes first' },
    } do
      it("says what is wrong: " .. row[1], function()
        local status, out = run(it_body(HOW .. row[1]))
        assert.equal(1, status)
        has(out, row[2])
      end)
    end
  end)

  local wrong = {
    { "a rule that did not fire", 'trace { span { name = "x" } } assert.fires "slow-query"',
      "2: rule `slow-query` did not fire\n    no rule fired" },
    { "a rule that fired", 'trace { span { name = "db.query", duration = "2s" } } assert.silent()',
      "2: rule `slow-query` fired\n    fired: slow-query in trace 1" },
    { "too many violations", 'for _ = 1, 2 do trace { span { name = "db.query", duration = "2s" } } end\n'
      .. 'assert.fires("slow-query", { count = 1 })', "3: rule `slow-query`: expected 1 violations, got 2" },
    { "other witnesses", 'trace { span { name = "db.query", duration = "2s" } }\n'
      .. 'assert.fires("slow-query", { spans = { "a", "b" } })', "3: rule `slow-query` fired, but not as expected\n"
      .. "    spans: expected a, b, got db.query" },
    { "another cause", 'trace { span { name = "db.query", duration = "2s", status = "ERROR" } }\n'
      .. 'assert.fires("slow-query", { cause = "db.query", impact = {} })\n'
      .. 'assert.fires("slow-query", { cause = "net", impact = { "db.query" } })',
      "cause: expected net, got db.query\n    impact: expected db.query, got none" },
    { "no list", 'trace { span { name = "x" } } assert.fires("slow-query", { impact = "x" })', "`impact` is a list of names" },
    { "another trace", 'trace { span { name = "db.query", duration = "2s" } }\nlocal t = trace { span { name = "x" } }\n'
      .. 'assert.fires("slow-query", { trace = t })', "trace: it is another one" },
    { "a rule that does not exist", 'trace { span { name = "x" } } assert.silent "slow-qery"',
      "2: there is no rule `slow-qery`; did you mean `slow-query`?" },
    { "what cannot be expected", 'trace { span { name = "x" } } assert.fires("slow-query", { spans_total = 3 })',
      "2: `spans_total` cannot be expected; did you mean `span_total`?" },
    { "an assertion about nothing", "assert.silent()", "2: nothing to judge: trace { … } or replay \"…\" comes first" },
    { "a fixture that is missing", 'replay "gone.jsonl"', "gone.jsonl cannot be read: No such file or directory" },
    { "recorded and built traces at once", 'trace { span { name = "x" } } replay "r.lua"',
      "2: a test replays recorded traces or builds its own, not both" },
    { "input that is no OTLP", 'replay "r.lua" assert.silent()', "2: this test proves nothing:\n    fluo: " },
    { "a function that raises an error", 'trace { span { name = "retry" } } assert.silent()',
      "2: this test proves nothing:\n    fluo: rule retried: a function raised an error (1 time): " },
    { "a key that spans lack", 'trace { span { name = "x", duratoin = "1s" } }',
      "2: a span has no `duratoin`; did you mean `duration`?" },
    { "a duration without a unit", 'trace { span { name = "x", start = "5" } }', "2: `start`: the duration `5` has no unit" },
    { "an unknown status", 'trace { span { name = "x", status = "FAILED" } }',
      "2: `status` is one of ERROR, OK, UNSET, not FAILED" },
    { "a span without a name", "trace { span { } }", '2: a span needs a name: span { name = "…" }' },
    { "a span in two traces", 'local s = span { name = "x" } trace { s } trace { s }',
      "2: entry 1 of a trace stands in a trace already: write another span { … }" },
    { "what is no span", 'trace { { name = "x" } }', "2: entry 1 of a trace is no span: write span { … }" },
    { "a global that does not exist", "spam { }", "2: undefined global `spam`; did you mean `span`?" },
    { "files and processes", 'io.open("/etc/passwd")', "2: undefined global `io`" },
    { "busted's own assertions", "assert.equal(1, 2)", "2: Expected objects to be equal." },
    { "a loop without an end", "while true do end", "2: this took more than 2 s of CPU, and was stopped: does it loop?" },
  }
  for _, case in ipairs(wrong) do
    it("says where a spec is wrong about " .. case[1], function()
      local status, out, err = run(it_body(case[2]))
      assert.equal(1, status, out .. err)
      has(out, case[3])
      has(out, folder .. "/r")
      has(out, "0 passed, 1 failed, 0 pending")
    end)
  end

  it("goes on with other files where one has a syntax error", function()
    write("broken_spec.lua", "describe(\n")
    local status, out = run(it_body 'trace { span { name = "x" } } assert.silent()')
    assert.equal(1, status)
    has(out, folder .. "/broken_spec.lua:2: unexpected symbol near '<eof>'")
    has(out, "ok r works\n1 passed, 1 failed")
  end)

  it("says so where the rules do not load", function()
    write("broken.lua", 'rule "b" { when = { name = "x" }, wen = 1 }')
    write("broken_spec.lua", it_body 'trace { span { name = "x" } } assert.silent()')
    local status, out = run()
    assert.equal(1, status)
    has(out, "/broken_spec.lua:2: the rules do not load:\n    " .. folder .. "/broken.lua:1:35: error: unknown key `wen`")
  end)

  it("refuses what is built outside of a test", function()
    local status, out = run('describe("r", function()\ntrace { span { name = "x" } }\nend)')
    assert.equal(1, status)
    has(out, "r_spec.lua:2: `trace` stands in `it` or `before_each`")
  end)

  it("begins each test with nothing, and lets before_each build", function()
    local status, out = run([[
      describe("r", function()
        before_each(function() trace { span { name = "db.query", duration = "2s" } } end)
        for i = 1, 2 do it("counts " .. i, function() assert.fires("slow-query", { count = 1 }) end) end
      end)]])
    assert.equal(0, status, out)
  end)

  it("judges recorded traces", function()
    local request = replay.request({ replay.span { name = "db.query", dur = 1500 } })
    write("recorded.jsonl", cjson.encode(request) .. "\n")
    local status, out = run(it_body 'replay "recorded.jsonl" assert.fires("slow-query", { spans = { "db.query" } })')
    assert.equal(0, status, out)
  end)

  it("judges with the configuration that it was given", function()
    local late = it_body [[
      trace { trace_id = "t", span { name = "db.query", duration = "2s" } }
      trace { trace_id = "t", arrival = "9s", span { name = "cache" } }
      assert.silent()]]
    assert.equal(0, (run(late)))
    assert.equal(1, (run(late, "--trace.idle=5s")))
    assert.equal(1, (run(late, "", "FLUO_TRACE_IDLE=5s")))
  end)

  it("requires helpers of lib/, whose name begins with _ where they are for specs alone", function()
    os.execute("mkdir " .. folder .. "/lib")
    write("lib/_spans.lua", 'return { query = function(d) return span { name = "db.query", duration = d } end }')
    local status, out = run(it_body [[
      local spans = require "_spans"
      trace { spans.query "2s" }
      assert.fires "slow-query"]])
    assert.equal(0, status, out)
  end)

  it("tests the rules of the file that a spec is named after, else of the whole directory", function()
    write("other.lua", 'rule "other" { when = { name = "x" } }')
    write("all_spec.lua", it_body 'trace { span { name = "x" } } assert.fires "other" assert.silent "slow-query"')
    local status, out = run(it_body 'trace { span { name = "x" } } assert.silent()')
    assert.equal(0, status, out)
    has(out, "2 passed, 0 failed")
  end)

  it("runs only the tests whose name holds a text", function()
    local text = 'describe("r", function() it("a+b", function() end) it("c", function() error("c ran") end) end)'
    local status, out = run(text, "--filter=a+b")
    assert.equal(0, status, out)
    has(out, "ok r a+b\n1 passed, 0 failed")
  end)

  it("prints JSON lines, and writes JUnit XML that parses", function()
    local text = 'describe("r", function() it("<a> & \\"b\\"", function() end) it("c", function() error("so\\nso") end)\n'
      .. 'pending("d") end)'
    local status, out = run(text, "--json --junit=" .. folder .. "/report.xml")
    assert.equal(1, status)
    local states = {}
    for line in out:gmatch("[^\n]+") do
      local test = cjson.decode(line)
      states[#states + 1] = test.name .. " " .. test.status
    end
    assert.same({ 'r <a> & "b" success', "r c error", "r d pending" }, states)
    local _, names = replay.shell(([[python3 -c '
import sys, xml.etree.ElementTree as x
r = x.parse(sys.argv[1]).getroot()
print(r.attrib["tests"], r.attrib["errors"], r.attrib["skipped"], [(t.attrib["name"], [c.tag for c in t]) for t in r])
' %s/report.xml]]):format(folder))
    assert.equal([=[3 1 1 [('r <a> & "b"', []), ('r c', ['error']), ('r d', ['skipped'])]]=] .. "\n", names)
  end)

  it("gives 2 where there are no specs, none of that name, or no such directory", function()
    local status, _, err = run()
    assert.equal(2, status)
    has(err, "fluo: no specs in " .. folder)
    status, _, err = run(it_body "", "--filter=nothing")
    assert.equal(2, status)
    has(err, "fluo: no test ran")
    for _, path in ipairs { "/nowhere_spec.lua", "/nowhere.lua", "/nowhere" } do
      status, _, err = replay.shell(replay.fluo .. " test " .. path)
      assert.equal(2, status)
      has(err, path .. " cannot be read: No such file or directory")
    end
  end)

  it("says what to install where busted is missing", function()
    local status, _, err = run(it_body "", "", "LUA_PATH=/nowhere/?.lua")
    assert.equal(2, status)
    has(err, "fluo: specs run under busted, which is not installed: apt install lua-busted")
  end)

  it("ends where a spec cannot be interrupted", function()
    local status, _, err = run(it_body "while true do pcall(function() while true do end end) end", "", "ulimit -t 3;")
    assert.not_equal(0, status, err)
  end)
end)

-- ---- require_specs ------------------------------------------------------------------------------

local PASSING = it_body [[
  trace { span { name = "db.query", duration = "2s" }, span { name = "retry", attributes = { attempt = 4 } } }
  assert.fires "slow-query"
  assert.fires "retried"]]

local function required(spec, command)
  write("r.lua", RULE)
  if spec then write("r_spec.lua", spec) end
  return replay.shell(("timeout 60 %s %s --require-specs --rules %s"):format(replay.fluo, command, folder))
end

-- Runs the agent until its log says that it is ready: exit status, log.
local function start(flags)
  write("run.sh", ([[
    mkfifo %s/log
    %s run --require-specs %s --rules %s --data=%s/data --listen.otlp-http=127.0.0.1:0 --listen.admin=none 2>%s/log & agent=$!
    while read -r line; do echo "$line" >&2; case $line in *\"ready\"*) kill $agent;; esac; done <%s/log
    wait $agent]]):format(folder, replay.fluo, flags, folder, folder, folder, folder))
  local status, _, err = replay.shell("timeout 60 sh " .. folder .. "/run.sh")
  return status, err
end

describe("require_specs", function()
  it("has nothing against rules that their specs show to fire", function()
    local status, out = required(PASSING, "check")
    assert.same({ 0, "2 rules, 0 errors, 0 warnings\n" }, { status, out })
  end)

  it("refuses a rule that no spec shows to fire, and says what to write", function()
    local status, out = required(it_body 'trace { span { name = "x" } } assert.silent "retried"', "check")
    assert.equal(1, status)
    has(out, folder .. "/r.lua:1:1: error: no spec that passes shows the rule `slow-query` to fire\n"
      .. "  hint: write one in " .. folder .. '/r_spec.lua: assert.fires("slow-query")')
    has(out, "0 rules, 2 errors, 0 warnings")
  end)

  it("refuses rules without specs, but none that is off", function()
    write("off.lua", 'rule "unused" { mode = "off", when = { name = "x" } }')
    local status, out = required(nil, "check")
    assert.equal(1, status)
    has(out, "1 rule, 2 errors, 0 warnings")
  end)

  it("refuses rules whose specs fail, with the failure", function()
    local status, out = required(PASSING:gsub("2s", "1s"), "check")
    assert.equal(1, status)
    has(out, folder .. "/r_spec.lua:3:1: error: the spec `r works` fails: rule `slow-query` did not fire")
  end)

  it("keeps `fluo run` from starting, and stdout empty", function()
    local status, out, err = required(nil, "run --listen.otlp-http=127.0.0.1:0 --listen.admin=none --data=" .. folder .. "/data")
    assert.same({ 1, "" }, { status, out })
    has(err, "no spec that passes shows the rule `retried` to fire")
  end)

  it("lets `fluo run` start where all is well", function()
    write("r.lua", RULE)
    write("r_spec.lua", PASSING)
    local status, err = start("")
    assert.equal(0, status, err)
    has(err, '"rules":2')
  end)

  it("keeps a rule that nothing tests from being reloaded", function()
    write("r.lua", RULE)
    write("r_spec.lua", PASSING)
    local agent = assert(harness.start { rules = folder, flags = { "--require-specs", "--watch-rules=false" } })
    write("new.lua", 'rule "new" { when = { name = "x" } }')
    agent:reload()
    local status, said = agent:reloaded()
    agent:stop()
    assert.equal(500, tonumber(status) or status)
    has(said, "of files with errors the last good version stays in force")
    has(said, "no spec that passes shows the rule `new` to fire")
  end)

  it("leaves out the files that are refused where broken ones are skipped", function()
    write("good.lua", 'rule "good" { when = { name = "x" } }')
    write("good_spec.lua", it_body 'trace { span { name = "x" } } assert.fires "good"')
    write("r.lua", RULE)
    local status, err = start("--skip-broken")
    assert.equal(0, status, err)
    has(err, '"rules":1')
    has(err, "no spec that passes shows the rule `retried` to fire")
  end)
end)
