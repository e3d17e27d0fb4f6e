-- Rules that misbehave, in the real agent: each costs itself, the others' violations are unharmed.
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local span = replay.span

local GOOD = [[
rule "good span" { when = { status = "ERROR" } }
rule "good function" { when = { where = function(s) return s.status == "ERROR" end } }
rule "good trace" { when = trace.has { name = "a" } * trace.has { name = "b" } }
]]

-- Runs the rule beside good ones over three traces: violations of each rule, the log, the metrics page.
local function run(rule)
  local agent = assert(harness.start { rules = GOOD .. rule })
  for i = 1, 3 do
    local trace = "t" .. i
    agent:send { { span { name = "a", trace = trace, status = "ERROR", attr = { text = ("a"):rep(40) } },
      span { name = "b", trace = trace } } }
  end
  local found, totals, status, log = agent:stop()
  local counts = {}
  for _, v in ipairs(found) do counts[v.rule] = (counts[v.rule] or 0) + 1 end
  assert.same({ 3, 3, 3 }, { counts["good span"], counts["good function"], counts["good trace"] })
  assert.same({ 6, 0 }, { totals.evaluated, status })
  return counts, table.concat(log, "\n")
end

describe("a rule that misbehaves", function()
  it("is stopped when it loops, and quarantined after the third time", function()
    local counts, log = run('rule "bad" { when = function(s) while true do end end }')
    assert.is_nil(counts.bad)
    assert.truthy(log:find("stopped", 1, true))
    assert.truthy(log:find("quarantined", 1, true))
  end)

  it("is stopped when a compiled loop never ends", function()
    local counts = run('rule "bad" { when = function(s) local n = 0 repeat n = n + 1 until n < 0 return true end }')
    assert.is_nil(counts.bad)
  end)

  it("is stopped when string.find backtracks", function()
    local counts = run(([[rule "bad" { when = { text = function(v) return v:rep(50):find("%s", 1, false) end } }]])
      :format((".-"):rep(12) .. "b"))
    assert.is_nil(counts.bad)
  end)

  it("is stopped when it eats memory", function()
    local counts, log = run('rule "bad" { when = function(s) local t = {} for i = 1, 1e9 do t[i] = { i } end end }')
    assert.is_nil(counts.bad)
    assert.truthy(log:find("memory", 1, true))
  end)

  it("gets an error, not memory, from a span of an earlier trace", function()
    local counts, log = run('local kept\nrule "bad" { when = function(s) kept = kept or s return kept.name == "a" end }')
    assert.equal(1, counts.bad)
    assert.truthy(log:find("earlier", 1, true))
  end)

  it("costs itself its answer when it throws, and the log says the error", function()
    local counts, log = run('rule "bad" { when = function(s) error("boom " .. s.name) end }')
    assert.is_nil(counts.bad)
    assert.truthy(log:find("boom a", 1, true))
  end)

  it("is contained when it recurses without end, also in a coroutine", function()
    local counts = run('rule "bad" { when = function(s) local function f() return coroutine.wrap(f)() + 1 end return f() end }')
    assert.is_nil(counts.bad)
  end)
end)

describe("the study", function()
  it("is replaced when its worker is killed, and nothing is lost", function()
    local agent = assert(harness.start { rules = GOOD })
    for i = 1, 5 do
      replay.shell(("pkill -9 -P %d -f 'worker'"):format(agent.pid))
      agent:send { { span { name = "a", trace = "t" .. i, status = "ERROR" }, span { name = "b", trace = "t" .. i } } }
    end
    local found, totals = agent:stop()
    assert.same({ 15, 10 }, { #found, totals.evaluated })
  end)
end)
