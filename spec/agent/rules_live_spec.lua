-- What only a running agent shows of the rules' sentences: actions that run, what is counted, where a trace began.
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local arrival, span = replay.arrival, replay.span

local function unknown(page, rule) return page[('fluo_rule_unknown_total{rule="%s"}'):format(rule)] end

-- Runs rules on requests until the log holds `until_`, and the metrics satisfy `counted`; gives the metrics, the names of
-- violations, and the log.
local function run(rules, requests, until_, flags, counted)
  local agent = assert(harness.start { rules = rules, flags = flags })
  agent:send(requests)
  if until_ then agent:read_log(function(line) return line:find(until_, 1, true) end) end
  local page = agent:await(counted or function() return true end)
  local found, _, _, log = agent:stop()
  local names = {}
  for i, v in ipairs(found) do names[i] = v.rule .. (v.shadow and " shadow" or "") end
  table.sort(names)
  return page, table.concat(names, ", "), table.concat(log, "\n")
end

describe("an action", function()
  it("that nothing defines is a warning when the rules load, and log runs in its place", function()
    local _, found, log = run('rule "r" { when = { name = "a" }, summary = "{name} happened", actions = { "pager" } }\n',
      { arrival "a@0" }, "a happened")
    assert.equal("r", found)
    assert.truthy(log:find('"level":"warn[^\n]*pager'), log)
  end)

  it("runs for an active rule, not for one in shadow, which is counted and kept", function()
    local rules = ""
    for _, mode in ipairs { "shadow", "off", "active" } do
      rules = rules .. ('rule %q { when = { name = "a" }, mode = %q, actions = { log "says %s" } }\n'):format(mode, mode, mode)
    end
    local page, found, log = run(rules, { arrival "a@0" }, "says active")
    assert.equal("active, shadow shadow", found)
    assert.is_nil(log:find("says shadow", 1, true) or log:find("says off", 1, true))
    assert.equal(1, page['fluo_rule_violations_total{rule="shadow",severity="medium"}'])
  end)
end)

describe("unknown is no violation, and is counted for its rule", function()
  local RULES = [[
rule "absent" { when = trace.missing { name = "n" } }
rule "disproved" { when = trace.missing { name = "a" } }
rule "present" { when = trace.has { name = "a" } }
rule "throws" { when = trace.missing { name = "a", where = function() error("no") end } }
rule "satisfies" { when = trace.satisfies(function() return true end) }
]]
  it("in a trace that was cut", function()
    local page, found = run(RULES .. 'rule "done" { when = { name = "b" }, summary = "over" }\n',
      { arrival "a1@0 a2@0", arrival "b@0" }, "over", { "--trace.spans_max=1" }, function(now) return unknown(now, "satisfies") > 0 end)
    assert.equal("done, present", found)
    assert.same({ 1, 0, 0, 1, 1 }, { unknown(page, "absent"), unknown(page, "disproved"), unknown(page, "present"),
      unknown(page, "throws"), unknown(page, "satisfies") })
  end)

  it("where a function threw, also in a trace that was not cut", function()
    local page, found = run(RULES, { arrival "a@0", arrival "a@0" }, '"rule":"absent"', { "--trace.idle=50ms" })
    assert.equal("absent, present, satisfies", found)
    assert.same({ 0, 0, 1, 0 }, { unknown(page, "absent"), unknown(page, "disproved"), unknown(page, "throws"),
      unknown(page, "satisfies") })
    assert.equal(1, page['fluo_rule_errors_total{rule="throws"}'])
  end)

  it("where a trace began near the agent's start and holds an orphan: its beginning may be lost", function()
    local page, found = run(RULES .. 'rule "whole" { when = trace.missing { name = "a" } }\n',
      { { span { name = "a", parent = "gone" } }, { span { name = "z", trace = "u" } } }, '"rule":"whole"',
      { "--trace.idle=50ms" })
    assert.equal("absent, disproved, present, satisfies, throws, whole", found)
    assert.same({ 1, 0, 1, 1 }, { unknown(page, "absent"), unknown(page, "disproved"), unknown(page, "throws"),
      unknown(page, "satisfies") })
  end)
end)

describe("what is wrong with a span is counted, and the span is kept", function()
  it("its end before its start, or none: skewed", function()
    local page, found = run('rule "r" { when = { duration = 0 } }\n',
      { { span { name = "a", at = 10, end_ns = "0" }, span { name = "b", at = 10, end_ns = replay.time(5) }, span { name = "c" } } })
    assert.same({ 2, "r, r" }, { page.fluo_skewed_spans_total, found })
  end)

  it("its own parent, or a cycle of parents: malformed", function()
    local page, found = run('rule "r" { when = trace.has { name = "d" } * trace.missing { name = "n" } }\n',
      { arrival "a@0<a", arrival("b@0<c c@1<b", "u"), arrival("d@0", "v") }, '"rule":"r"', { "--trace.idle=50ms" })
    assert.same({ 2, "r" }, { page.fluo_malformed_spans_total, found })
  end)
end)
