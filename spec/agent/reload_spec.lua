-- Rules that change while the agent runs: what is taken, what stays, and that no span is lost over it.
local ffi = require("ffi")
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local socket = require("spec.agent.socket")
local span = replay.span

local HUP = 1

-- A directory of rule files; the agent's flags keep the watch out of it unless a spec is about that.
local function directory(files)
  local path = os.tmpname()
  os.remove(path)
  os.execute("mkdir " .. path)
  for name, text in pairs(files) do replay.write(path .. "/" .. name, text) end
  return path
end

local function has(name, of) return ('rule "%s" { when = trace.has { name = "%s" } }\n'):format(name, of or name) end

local function names(found)
  local list = {}
  for i, v in ipairs(found) do list[i] = v.rule end
  table.sort(list)
  return list
end

-- Whether a process ignores or catches SIGHUP.
local function minds_hangup(pid)
  local text = replay.text(("/proc/%d/status"):format(pid))
  local ignored, caught = text:match("SigIgn:%s*%x*(%x)\n"), text:match("SigCgt:%s*%x*(%x)\n")
  return ignored and (tonumber(ignored, 16) % 2 == 1 or tonumber(caught, 16) % 2 == 1)
end

-- A reload to its end: the status and text of the page that says how it went.
local function reload(agent)
  local _, out = agent:reload()
  assert(out:find("being reloaded", 1, true), out)
  return agent:reloaded()
end

local function started(files, flags)
  local rules = directory(files)
  flags = flags or {}
  flags[#flags + 1] = "--watch-rules=false"
  local agent = assert(harness.start { rules = rules, flags = flags })
  agent.rules = rules
  return agent
end

local function stop(agent)
  local found, totals, status, log = agent:stop()
  os.execute("rm -rf " .. agent.rules)
  assert.equal(0, status)
  return found, totals, log
end

describe("a reload of the rules", function()
  it("takes what was added, changed and removed, and says so by name", function()
    local agent = started { ["a.lua"] = has "one" .. has "two", ["b.lua"] = has "three" }
    replay.write(agent.rules .. "/a.lua", has "one" .. has("two", "other"))
    replay.write(agent.rules .. "/c.lua", has "four")
    os.remove(agent.rules .. "/b.lua")
    local status, text = reload(agent)
    assert.same({ 200, "3 rules are in force: 1 added, 1 changed, 1 removed" }, { status, text:match("^[^\n]*") })
    agent:send { { span { name = "one" }, span { name = "two" }, span { name = "three" }, span { name = "four" },
      span { name = "other" } } }
    local found, _, log = stop(agent)
    assert.same({ "four", "one", "two" }, names(found))
    local said = table.concat(log, "\n"):match('{[^\n]*"rules reloaded"[^\n]*')
    local entry = cjson.decode(said)
    assert.same({ "four", "two", "three", 3 }, { entry.added, entry.changed, entry.removed, entry.rules })
  end)

  it("takes rules of every dialect, and keeps the last good version of a broken file", function()
    local function yaml(name) return ("y: {conditions: [{op: eq, field: span.name, value: %s}]}\n"):format(name) end
    local agent = started { ["a.yml"] = yaml "one", ["b.rule"] = "when { trace.has(two) }", ["c.js"] = "// j\ntrace.has(s => s.name === 'three')" }
    replay.write(agent.rules .. "/a.yml", yaml "other")
    replay.write(agent.rules .. "/b.rule", "when { trace.has(two }")
    os.remove(agent.rules .. "/c.js")
    local status, text = reload(agent)
    assert.equal(500, status)
    assert.truthy(text:find("b.rule:1:22: expected `)`, not `}`", 1, true), text)
    agent:send { { span { name = "one" }, span { name = "two" }, span { name = "three" }, span { name = "other" } } }
    assert.same({ "b", "y" }, names((stop(agent))))
  end)

  it("is asked for by SIGHUP, which never ends the agent, also before it is ready", function()
    local rules = directory { ["a.lua"] = has "one" }
    local agent = harness.start { rules = rules, early = true, flags = { "--watch-rules=false" } }
    socket.until_true(function() return minds_hangup(agent.pid) end)      -- before that it is no program of ours yet
    for _ = 1, 50 do ffi.C.kill(agent.pid, HUP) end
    assert.truthy(agent:await_ready())
    replay.write(rules .. "/b.lua", has "two")
    ffi.C.kill(agent.pid, HUP)
    agent:read_log(function(line) return line:find('"added":"two"', 1, true) end)
    agent.rules = rules
    stop(agent)
  end)

  it("leaves a trace the rules of its first span until it is dropped", function()
    local agent = started { ["a.lua"] = has("old", "x") .. has "both" }
    local first, second = span { name = "first", id = "a" }, span { name = "x", id = "b", at = 10 }
    agent:send { { first } }
    replay.write(agent.rules .. "/a.lua", has("new", "x") .. has "both")
    assert.equal(200, (reload(agent)))
    agent:send { { second } }
    local other = span { name = "x", id = "c" }
    other.wire.traceId = ("ab"):rep(16)
    agent:send { { other } }
    assert.equal(2, agent:metrics().fluo_rules_editions)
    assert.same({ "new", "old" }, names((stop(agent))))
  end)

  it("ends the old processes when their last trace is gone", function()
    local agent = started({ ["a.lua"] = has "one" }, { "--trace.idle=1s" })
    agent:send { { span { name = "one" } } }
    replay.write(agent.rules .. "/a.lua", has "two")
    assert.equal(200, (reload(agent)))
    agent:send { { span { name = "x" } } }
    assert.truthy(agent:metrics().fluo_rules_editions <= 2)
    agent:await(function(page) return page.fluo_rules_editions == 1 end)
    local _, out = replay.shell(("pgrep -c -P %d"):format(agent.pid))
    assert.equal(2, tonumber(out))
    stop(agent)
  end)

  it("changes nothing where nothing has changed", function()
    local agent = started { ["a.lua"] = has "one" }
    replay.write(agent.rules .. "/a.lua", "-- a comment\n" .. has "one")
    local status, text = reload(agent)
    assert.same({ 200, "1 rules are in force: nothing has changed" }, { status, text:match("^[^\n]*") })
    local page = agent:metrics()
    assert.same({ 1, 1, 1 }, { page.fluo_rules_editions, page['fluo_rules_reloads_total{result="unchanged"}'],
      page.fluo_rules_last_reload_successful })
    stop(agent)
  end)

  it("lets counts of a rule go on under its name", function()
    local agent = started { ["a.lua"] = has "one" }
    agent:send { { span { name = "one" } } }
    replay.write(agent.rules .. "/a.lua", has "zero" .. has("one", "other"))
    assert.equal(200, (reload(agent)))
    local page = agent:metrics()
    assert.equal(1, page['fluo_rule_violations_total{rule="one",severity="medium"}'])
    assert.equal(0, page['fluo_rule_violations_total{rule="zero",severity="medium"}'])
    assert.equal(1, #stop(agent))
  end)
end)

describe("reloads that come while one is under way", function()
  it("are one more, and the last text is what is in force", function()
    local agent = started { ["a.lua"] = has "rule 0" }
    for i = 1, 30 do
      replay.write(agent.rules .. "/a.lua", has("rule " .. i))
      ffi.C.kill(agent.pid, HUP)
    end
    local _, text = reload(agent)
    assert.truthy(text)
    local page = agent:metrics()
    assert.equal(0, page['fluo_rule_violations_total{rule="rule 30",severity="medium"}'])
    assert.same({ 1, 1 }, { page.fluo_rules_loaded, page.fluo_rules_last_reload_successful })
    stop(agent)
  end)

  it("wait where too many rule sets are alive, and take no span with them", function()
    local agent = started({ ["a.lua"] = has "x" .. has("rule 0", "y") }, { "--trace.idle=500ms" })
    for i = 1, 6 do
      local s = span { name = "x" }
      s.wire.traceId = ("%032x"):format(i)
      agent:send { { s } }
      -- In one step, as the load before may be reading the file just now.
      replay.write(agent.rules .. "/a.new", has "x" .. has("rule " .. i, "y"))
      os.rename(agent.rules .. "/a.new", agent.rules .. "/a.lua")
      agent:reload()
      assert.truthy(agent:metrics().fluo_rules_editions <= 4)
    end
    assert.equal(200, (agent:reloaded()))
    assert.equal(0, agent:metrics()['fluo_rule_violations_total{rule="rule 6",severity="medium"}'])
    local found, totals = stop(agent)
    assert.same({ 6, 6 }, { #found, totals.evaluated })
  end)
end)

it("a load that eats memory refuses the reload, and says which file it was", function()
  local agent = started { ["a.lua"] = has "one" }
  replay.write(agent.rules .. "/b.lua", 'local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1e6) .. i end')
  local status, text = reload(agent)
  assert.equal(500, status)
  assert.truthy(text:find("those in force stay: the rules need more than 65536 KiB of memory", 1, true), text)
  assert.truthy(text:find("b.lua", 1, true))
  assert.equal(1, agent:metrics().fluo_rules_loaded)
  stop(agent)
end)

describe("a file that does not load any more", function()
  local BROKEN = 'rule "one" { when = trace.has { nmae = "x" }\n'

  it("stays as it was, while changes of other files are taken", function()
    local agent = started { ["a.lua"] = has "one", ["b.lua"] = has "two" }
    replay.write(agent.rules .. "/a.lua", BROKEN)
    replay.write(agent.rules .. "/b.lua", has("two", "other"))
    local status, text = reload(agent)
    assert.equal(500, status)
    assert.truthy(text:find("0 added, 1 changed, 0 removed", 1, true))
    assert.truthy(text:find("error: " .. agent.rules .. "/a.lua:", 1, true))
    assert.equal(0, agent:metrics().fluo_rules_last_reload_successful)
    agent:send { { span { name = "one" }, span { name = "other" } } }
    replay.write(agent.rules .. "/a.lua", has "three")
    assert.equal(200, (reload(agent)))
    assert.equal(1, agent:metrics().fluo_rules_last_reload_successful)
    local found, _, log = stop(agent)
    assert.same({ "one", "two" }, names(found))
    local said = table.concat(log, "\n")
    assert.truthy(said:find('"a rule file has an error","diagnostic":"error: ' .. agent.rules .. "/a.lua:", 1, true))
    assert.truthy(said:find("the last good version stays in force", 1, true))
  end)

  it("is loaded again as it was where its rule process dies", function()
    local agent = started { ["a.lua"] = has "one" }
    replay.write(agent.rules .. "/a.lua", BROKEN)
    reload(agent)
    local _, out = replay.shell("pgrep -P " .. agent.pid)
    for pid in out:gmatch("%d+") do ffi.C.kill(tonumber(pid), 9) end
    agent:send { { span { name = "one" } } }
    assert.same({ "one" }, names((stop(agent))))
  end)
end)

it("a directory that is gone for a while takes no rule with it", function()
  local agent = started { ["a.lua"] = has "one" }
  os.execute(("mv %s %s.away"):format(agent.rules, agent.rules))
  assert.equal(500, (reload(agent)))
  assert.equal(1, agent:metrics().fluo_rules_loaded)
  os.execute(("mv %s.away %s"):format(agent.rules, agent.rules))
  assert.equal(200, (reload(agent)))
  stop(agent)
end)

describe("the watch over the rules", function()
  local function watched(files, of)
    local rules = directory(files)
    local agent = assert(harness.start { rules = rules .. (of or "") })
    agent.rules = rules
    return agent
  end

  local function said(agent, text) return agent:read_log(function(line) return line:find(text, 1, true) end) end

  it("reloads when a file is written, added, renamed over or removed", function()
    local agent = watched { ["a.lua"] = has "one" }
    replay.write(agent.rules .. "/a.lua", has "two")
    said(agent, '"added":"two"')
    replay.write(agent.rules .. "/b.lua", has "three")
    said(agent, '"added":"three"')
    replay.write(agent.rules .. "/.b.lua", has "four")
    os.rename(agent.rules .. "/.b.lua", agent.rules .. "/b.lua")
    said(agent, '"added":"four"')
    os.remove(agent.rules .. "/b.lua")
    said(agent, '"removed":"four"')
    stop(agent)
  end)

  it("sees a module in lib/ change", function()
    local agent = watched { ["a.lua"] = has "first" }
    os.execute("mkdir " .. agent.rules .. "/lib")
    replay.write(agent.rules .. "/lib/m.lua", 'return "second"')
    replay.write(agent.rules .. "/a.lua", 'rule(require "m") { when = {} }')
    said(agent, '"added":"second"')
    replay.write(agent.rules .. "/lib/m.lua", 'return "third"')
    said(agent, '"added":"third"')
    stop(agent)
  end)

  it("sees the swap of a ConfigMap's ..data", function()
    local rules = directory {}
    os.execute(("cd %s && mkdir ..1 ..2 && ln -s ..1 ..data && ln -s ..data/a.lua a.lua"):format(rules))
    replay.write(rules .. "/..1/a.lua", has "one")
    replay.write(rules .. "/..2/a.lua", has "two")
    local agent = assert(harness.start { rules = rules })
    agent.rules = rules
    os.execute(("cd %s && ln -s ..2 ..data_tmp && mv -T ..data_tmp ..data"):format(rules))
    said(agent, '"added":"two"')
    stop(agent)
  end)

  it("follows the path where a link to another directory takes its place, and there", function()
    local rules = directory {}
    os.execute(("cd %s && mkdir 1 2 && ln -s 1 now"):format(rules))
    replay.write(rules .. "/1/a.lua", has "one")
    replay.write(rules .. "/2/a.lua", has "two")
    local agent = assert(harness.start { rules = rules .. "/now" })
    agent.rules = rules
    os.execute(("cd %s && ln -s 2 next && mv -T next now"):format(rules))
    said(agent, '"added":"two"')
    replay.write(rules .. "/2/a.lua", has "three")
    said(agent, '"added":"three"')
    stop(agent)
  end)

  it("takes a directory that is gone for a while, and one file as rules", function()
    local agent = watched { ["a.lua"] = has "one" }
    os.execute(("mv %s %s.away"):format(agent.rules, agent.rules))
    said(agent, "the last good version stays in force")
    os.execute(("mv %s.away %s"):format(agent.rules, agent.rules))
    said(agent, "nothing has changed")
    stop(agent)
    agent = watched({ ["a.lua"] = has "one", ["b.lua"] = "no rule" }, "/a.lua")
    replay.write(agent.rules .. "/a.lua", has "two")
    said(agent, '"added":"two"')
    stop(agent)
  end)
end)

-- SPEC_RELOADS=1000 takes some minutes.
describe("reloads under load", function()
  local RELOADS = tonumber(os.getenv("SPEC_RELOADS") or 8)
  local STABLE = [[
rule "error" { when = { name = "second", where = function(s) return s.status == "ERROR" end } }
rule "retry" { when = trace.has { name = "first" }:followed_by { name = "second" } }
rule "unaudited" { when = trace.has { name = "first" } * trace.missing { name = "audit" } }
]]

  local function variant(n) return ('rule "noise %d" { when = { name = "x%d" } }\n'):format(n, n) end

  -- One trace a round, a reload amid it. The ids of what was found, each with how often.
  local function run(reloads)
    local agent = started({ ["a.lua"] = variant(0), ["b.lua"] = STABLE }, { "--trace.idle=1s" })
    for i = 1, RELOADS do
      local first, second = span { name = "first", id = "a" }, span { name = "second", id = "b", at = 5, status = "ERROR" }
      for _, s in ipairs { first, second } do s.wire.traceId = ("%032x"):format(i) end
      agent:send { { first } }
      if reloads then
        replay.write(agent.rules .. "/a.lua", variant(i))
        agent:reload()
      end
      agent:send { { second } }
      if reloads then assert.equal(200, (agent:reloaded())) end
    end
    local page = agent:settle()
    local found, totals = stop(agent)
    assert.equal(2 * RELOADS, totals.evaluated)
    return found, page
  end

  -- Notes each id, once in a run. A second span that came when its trace had closed, since the machine stood still,
  -- costs the retry, and only that.
  local function gather(all, found, page)
    local seen = {}
    for _, v in ipairs(found) do
      assert.is_nil(seen[v.id])
      seen[v.id], all[v.id] = true, v.rule
    end
    assert.equal(3 * RELOADS, #found + page.fluo_late_spans_total)
  end

  it("lose nothing and double nothing: what is found is what is found without them", function()
    local all, count = {}, 0
    gather(all, run(false))
    local found, page = run(true)
    gather(all, found, page)
    for _ in pairs(all) do count = count + 1 end
    assert.equal(3 * RELOADS, count)                -- the same ids in both
    assert.equal(RELOADS, page['fluo_rules_reloads_total{result="changed"}'])
    assert.equal(RELOADS, page['fluo_rule_violations_total{rule="unaudited",severity="medium"}'])
  end)
end)

it("a rule that is quarantined stays so while it is unchanged, and runs again when its text has changed", function()
  local function rules(more)
    return 'rule "loops" { when = { where = function(s) while s.name == "loop" do end return true end } }' .. more
  end
  local agent = started { ["a.lua"] = rules "" , ["b.lua"] = has "one" }
  for i = 1, 3 do
    local s = span { name = "loop", id = "a" }
    s.wire.traceId = ("%032x"):format(i)
    agent:send { { s } }
  end
  agent:read_log(function(line) return line:find("is quarantined", 1, true) end)
  replay.write(agent.rules .. "/b.lua", has "two")
  assert.equal(200, (reload(agent)))
  assert.equal(1, agent:metrics()['fluo_rule_quarantined{rule="loops"}'])
  replay.write(agent.rules .. "/a.lua", rules " -- mended")
  assert.equal(200, (reload(agent)))
  assert.equal(0, agent:metrics()['fluo_rule_quarantined{rule="loops"}'])
  stop(agent)
end)
