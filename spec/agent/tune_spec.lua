-- `fluo tune`: how often a rule would have fired at which threshold, on recorded traces.
local cjson = require("cjson")
local replay = require("spec.replay")
local span = replay.span

local RULES = [[
rule "slow" { when = { name = "q", duration = gt "300ms" } }
rule "large" { when = trace.has { name = "r" } * trace.has { name = "q", n = ge(8) } }
rule "many" { when = trace.count { name = "q" }:over(2) }
rule "long" { when = trace.duration(ge "500ms") }
rule "spans" { when = trace.span_count(gt(3)) }
rule "p90" { when = window("10m", { name = "q" }):by("service"):p(90, "duration"):over "350ms" }
rule "ratio" { when = window("1h"):ratio { status = "ERROR" }:over(0.02):min_samples(50) }
rule "silence" { when = window("3m", { name = "q" }):count():under(2) }
rule "unusual" { when = window("10m"):count():over_baseline { times = 1.5 } }
rule "chain" { when = cascade { { status = "ERROR" }, at_least = 2, within = "1h" } }
rule "kept" { when = trace.has { name = "r" }, always = trace.count { name = "q" }:at_most(2) }
rule "between" { when = trace.has { name = "r" }:followed_by { name = "q" }:within "5s" }
]]
local NAMES = { "slow", "large", "many", "long", "spans", "p90", "ratio", "silence", "unusual", "chain", "kept" }

local rules, history

-- stdout, stderr, status
local function tune(more)
  local status, out, said = replay.shell(("timeout 100 %s tune --rules %s %s"):format(replay.fluo, rules, more))
  return out, said:gsub("fluo: warning: rules run without a system call filter[^\n]*\n", ""), status
end

local function tuned(name, more)
  local out, said, status = tune(("--json %s %s %s"):format(more or "", name, history))
  assert.equal(0, status, said)
  return cjson.decode(out)
end

local function now(found)
  for _, row in ipairs(found.table) do
    if row.threshold == found.present then return row end
  end
end

describe("fluo tune", function()
  setup(function()
    rules, history = replay.rule_file(RULES), os.tmpname()
    math.randomseed(3)
    local lines = {}
    for i = 1, 300 do
      local spans, at = {}, i * 60000
      for k = 1, math.random(4) do
        spans[k] = span { name = "q", id = "q" .. k, trace = "t" .. i, service = i % 3 == 0 and "a" or "b", at = at + k,
          dur = math.random(600), attr = { n = math.random(10) }, status = math.random(20) == 1 and "ERROR" or nil }
      end
      spans[#spans + 1] = span { name = "r", trace = "t" .. i, at = at }
      lines[i] = cjson.encode(replay.request(spans))
    end
    replay.write(history, table.concat(lines, "\n") .. "\n")
  end)
  teardown(function()
    os.remove(rules)
    os.remove(history)
  end)

  it("counts at the present threshold what replay prints, for whatever a rule compares", function()
    local status, out = replay.shell(("%s replay --rules %s %s"):format(replay.fluo, rules, history))
    assert.equal(0, status)
    local counts = {}
    for name in out:gmatch('"rule":"(%w+)"') do counts[name] = (counts[name] or 0) + 1 end
    for _, name in ipairs(NAMES) do
      local found = tuned(name)
      assert.equal(counts[name] or 0, now(found).violations, name)
      assert.is_true(found.values.count > 0, name)
      assert.is_true(#found.table >= 3 and #found.table <= 13, name)
    end
  end)

  it("says every value that would be compared, of each group, and how many are beyond a threshold", function()
    local found = tuned "slow"
    local beyond = {}
    for i, row in ipairs(found.table) do
      assert.equal(row.violations, math.floor(row.beyond * found.values.count + 0.5))
      beyond[i] = row.violations
    end
    assert.is_true(beyond[1] > beyond[#beyond])
    local groups = tuned("p90").groups
    assert.same({ "b", "a" }, { groups[1].group, groups[2].group })
    assert.equal(tuned("p90").values.count, groups[1].count + groups[2].count)
  end)

  it("suggests a threshold, with its reason", function()
    local found = tuned "slow"
    assert.is_true(found.suggestion.violations <= 1 and found.suggestion.threshold > 500)
    assert.truthy(found.reason:find("at most 1 a day", 1, true))
    local more = tuned("slow", "--per-day=20")
    assert.is_true(more.suggestion.violations > found.suggestion.violations and more.suggestion.violations <= 20)
  end)

  it("prints a table for people, and marks the present threshold", function()
    local out, said, status = tune("slow " .. history)
    assert.same({ "", 0 }, { said, status })
    assert.truthy(out:find("^rule `slow`: duration gt 300 ms, in 4 hours of history\n"))
    assert.truthy(out:find("\n  300 ms +%d+ +%d+ +[%d.]+ %% +now\n"))
    assert.truthy(out:find("\nsuggestion: duration gt %d+ ms: it [^\n]+; 300 ms fires %d+ times\n$"))
  end)

  it("takes another number of the rule where there are several", function()
    local _, said, status = tune("--comparison=3 large " .. history)
    assert.same({ "fluo: rule `large` compares 1 number: 1: n ge 8\n", 1 }, { said, status })
  end)

  it("says what is wrong", function()
    for more, wanted in pairs {
      ["between " .. history] = "fluo: rule `between` compares no number",
      ["slwo " .. history] = "fluo: there is no rule `slwo`; did you mean `slow`?",
      ["slow /nowhere.jsonl"] = "fluo: /nowhere.jsonl: cannot be opened",
      ["--rules /nowhere slow " .. history] = "fluo: ",
    } do
      local out, said, status = tune(more)
      assert.same({ "", 1 }, { out, status }, more)
      assert.truthy(said:find(wanted, 1, true), said)
    end
    local _, said, status = tune("slow")
    assert.equal(2, status)
    assert.truthy(said:find("something is missing", 1, true))
  end)
end)
