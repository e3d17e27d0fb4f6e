-- The ledger of the real agent: what it keeps of violations, and what becomes of it where the directory fails.
local api = require("spec.agent.api")
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local sqlite = require("spec.sqlite")

local RULES = [[
rule "failed"   { when = trace.has { status = "ERROR" } }
rule "no-audit" { when = trace.has { name = "pay" } * trace.missing { name = "audit" } }
rule "many"     { when = window("1m", { name = "pay" }):by("shop"):count():over(2) }
]]
local FLAGS = { "--trace.idle=1s" }

describe("the agent's ledger", function()
  local data, agents

  before_each(function()
    data, agents = os.tmpname(), {}
    os.remove(data)
  end)
  after_each(function()
    for _, agent in ipairs(agents) do agent:stop(9) end
    os.execute("rm -rf " .. data)
  end)

  local function start(flags, rules)
    local agent = assert(harness.start { rules = RULES .. (rules or ""), data = data, flags = flags or FLAGS })
    agents[#agents + 1] = agent
    return agent
  end

  local function stop(agent, signal)
    table.remove(agents)
    return agent:stop(signal)
  end

  local function sql(statement)
    local _, out = replay.shell(("%s %s/fluo.db \"%s\""):format(sqlite.SHELL, data, statement))
    return (out:gsub("\n$", ""))
  end

  -- Three payments in traces of three spans, the first with an error; now.
  local function payments()
    local now, list = (os.time() - 1760356800) * 1000, {}
    for i = 1, 3 do
      local trace = "t" .. i
      list[i] = {
        replay.span { trace = trace, name = "pay", at = now + i, attr = { shop = "a" }, service = "shop" },
        replay.span { trace = trace, name = "db", parent = "pay", at = now + i, attr = { query = "select " .. i }, service = "db" },
        replay.span { trace = trace, name = "card", parent = "pay", at = now + i, status = i == 1 and "ERROR" or "OK", message = "declined" },
      }
    end
    return list
  end

  local function evidence_of(id)
    local path = os.tmpname()
    sql(("SELECT writefile('%s', evidence) FROM violations WHERE id = '%s'"):format(path, id))
    local _, json = replay.shell("gzip -dc <" .. path)
    local rules = replay.rule_file(RULES)
    local _, again = replay.shell(("%s replay --rules %s %s"):format(replay.fluo, rules, path))
    os.remove(path)
    os.remove(rules)
    return cjson.decode(json), again
  end

  it("has each violation as it was printed, with the whole trace, which replays to the same violation", function()
    local a = start()
    a:send(payments())
    a:await(function(page) return page['fluo_ledger_written_rows_total{kind="violation"}'] == 5 end)
    local found = stop(a)
    assert.equal(5, #found)
    for _, v in ipairs(found) do
      assert.same(v, cjson.decode(sql(("SELECT json FROM violations WHERE id = '%s'"):format(v.id))))
    end
    local failed = sql("SELECT id FROM violations WHERE rule = 'failed'")
    local json, again = evidence_of(failed)
    assert.same({ spans = 3, spans_total = 3, without_attributes = 0, witnesses_missing = 0, traces_missing = 0, cut = false }, json.fluo.evidence)
    assert.is_truthy(cjson.encode(json):find("select 1", 1, true))
    assert.is_truthy(again:find(failed, 1, true))
    assert.equal("5", sql("SELECT count(*) FROM violations WHERE evidence IS NOT NULL OR evidence_of <> ''"))
  end)

  it("keeps one copy where two rules fire on the same spans", function()
    local a = start()
    a:send { payments()[1] }
    a:await(function(page) return page['fluo_ledger_written_rows_total{kind="violation"}'] == 2 end)
    stop(a)
    assert.equal(sql("SELECT id FROM violations WHERE rule = 'failed'"), sql("SELECT evidence_of FROM violations WHERE rule = 'no-audit'"))
    assert.equal("1", sql("SELECT count(evidence) FROM violations"))
  end)

  -- As one request: none of the traces can be over before the last span is there.
  local function at_once(requests)
    local spans = {}
    for _, request in ipairs(requests) do
      for _, span in ipairs(request) do spans[#spans + 1] = span end
    end
    return { spans }
  end

  -- What the ledger has once so many violations are written of these spans, which come in one request.
  local LOUD = [[
rule "span-failed" { when = { status = "ERROR" } }
rule "span-slow"   { when = { attempt = ge(1) } }
rule "has-failed"  { when = trace.has { status = "ERROR" } }
]]
  local function written(spans, violations)
    local a = assert(harness.start { rules = LOUD, data = data, flags = FLAGS })
    agents[#agents + 1] = a
    a:send { spans }
    a:await(function(page) return page['fluo_ledger_written_rows_total{kind="violation"}'] == violations end)
    stop(a)
  end

  local NOW = (os.time() - 1760356800) * 1000
  local function span(trace, i, status, extra)
    return replay.span { trace = trace, name = "s" .. i, at = NOW + i, status = status, service = "shop",
                         attr = { attempt = status and 1 or nil, text = extra } }
  end

  it("has what came with the same request after the span that a rule fired on, once for all that fire", function()
    written({ span("t", 1, "ERROR"), span("t", 2), span("t", 3, "ERROR"), span("t", 4, nil, "last") }, 5)
    local json = evidence_of(sql("SELECT id FROM violations WHERE evidence IS NOT NULL"))
    assert.same({ spans = 4, spans_total = 4, without_attributes = 0, witnesses_missing = 0, traces_missing = 0, cut = false }, json.fluo.evidence)
    assert.is_truthy(cjson.encode(json):find("last", 1, true))
    assert.equal("span-failed 1, span-slow 0", sql([[SELECT group_concat(text, ', ') FROM (SELECT rule || ' ' || count(evidence)
      AS text FROM violations WHERE rule LIKE 'span-%' GROUP BY rule ORDER BY rule)]]))
    assert.equal("4", sql([[SELECT count(*) FROM violations WHERE evidence_of IN (SELECT id FROM violations WHERE evidence IS NOT NULL)]]))
  end)

  it("has the witnesses of all that share it, and does not share what is not whole with those that come later", function()
    local spans = {}
    for i = 1, 1200 do spans[i] = span("t", i, (i == 1 or i == 1150) and "ERROR" or nil) end
    written(spans, 5)
    local json = evidence_of(sql("SELECT id FROM violations WHERE rule LIKE 'span-%' AND evidence IS NOT NULL"))
    local names = cjson.encode(json)
    assert.same({ 1001, 1200, 0 }, { json.fluo.evidence.spans, json.fluo.evidence.spans_total, json.fluo.evidence.witnesses_missing })
    assert.is_truthy(names:find('"s1150"', 1, true))
    assert.is_falsy(names:find('"s1149"', 1, true))
    assert.equal("2", sql("SELECT count(evidence) FROM violations"))
    assert.equal("1", sql("SELECT count(evidence) FROM violations WHERE rule = 'has-failed'"))
  end)

  it("has the evidence of each of many traces in one request", function()
    local spans = {}
    for i = 1, 40 do spans[i], spans[80 - i + 1] = span("t" .. i, 1, "ERROR"), span("t" .. i, 2) end
    written(spans, 120)
    assert.equal("40 120", sql([[SELECT count(DISTINCT trace_id) || ' ' || count(*) FROM violations WHERE
      coalesce(evidence, (SELECT evidence FROM violations o WHERE o.id = violations.evidence_of)) IS NOT NULL]]))
  end)

  it("has the traces of a window's witnesses, as far as they are still there", function()
    local a = start()
    a:send(at_once(payments()))
    a:await(function(page) return page['fluo_ledger_written_rows_total{kind="violation"}'] == 5 end)
    stop(a)
    local json = evidence_of(sql("SELECT id FROM violations WHERE rule = 'many'"))
    assert.same({ 9, 0 }, { json.fluo.evidence.spans, json.fluo.evidence.traces_missing })
  end)

  -- The first payment's trace is over before the others come; what the window's evidence says, and `fluo show`.
  local function one_over(rules)
    local a, list = start(nil, rules), payments()
    a:send { list[1] }
    a:settle()
    a:send(at_once { list[2], list[3] })
    a:settle()
    api.ask(a, "GET", "incidents")                     -- the database is made, however slow the disk is to sync
    local _, incidents = replay.shell(("%s incidents --json --rule=many --admin=%s"):format(replay.fluo, a.admin))
    local id = cjson.decode(incidents).incidents[1].violations[1].id
    local _, shown = replay.shell(("%s show %s --admin=%s"):format(replay.fluo, id, a.admin))
    stop(a)
    return evidence_of(id).fluo.evidence, shown
  end

  it("says which traces of a window's witnesses are gone", function()
    local kept, shown = one_over()
    assert.same({ 6, 1, 1 }, { kept.spans, kept.traces_missing, kept.witnesses_missing })
    assert.truthy(shown:find("\ntrace     several, 6 spans, 1 trace gone\n", 1, true), shown)
    assert.truthy(shown:find("\n  *      gone  shop  pay\n", 1, true), shown)
  end)

  it("has a trace that is over, where a rule keeps it for late spans", function()
    local kept, shown = one_over('rule "kept" { when = trace.has { name = "pay" } * trace.has { name = "never" }, late = true }\n')
    assert.same({ 9, 0, 0 }, { kept.spans, kept.traces_missing, kept.witnesses_missing })
    assert.falsy(shown:find("gone", 1, true), shown)
  end)

  it("has only the spans that prove it, or nothing, where that is configured", function()
    for mode, rows in pairs { witnesses = "5", none = "0" } do
      local a = start { "--trace.idle=1s", "--ledger.evidence=" .. mode }
      a:send(payments())
      a:await(function(page) return page['fluo_ledger_written_rows_total{kind="violation"}'] == 5 end)
      stop(a)
      assert.equal(rows, sql("SELECT count(evidence) FROM violations"))
      os.execute("rm -rf " .. data)
    end
  end)

  it("refuses a second agent on the same data, which says so and ends", function()
    start()
    local b = assert(harness.start { rules = RULES, data = data, early = true })
    local ended = b:finish()
    assert.equal(1, ended.status)
    local said = table.concat(ended.log, "\n")
    assert.is_truthy(said:find("another agent (process", 1, true))
    assert.is_truthy(said:find(data, 1, true) or said:find("data", 1, true))
  end)

  it("is there again after a kill", function()
    local a = start()
    a:send(payments())
    a:await(function(page) return page['fluo_ledger_written_rows_total{kind="violation"}'] == 5 end)
    stop(a, 9)
    local b = start()
    b:send(payments())
    b:await(function(page) return (page['fluo_ledger_written_rows_total{kind="violation"}'] or 0) >= 1 end)
    stop(b)
    assert.is_true(tonumber(sql("SELECT count(*) FROM violations")) >= 5)
    assert.equal("ok", sql("PRAGMA integrity_check"))
  end)

  it("that is damaged is set aside, and the agent says so and runs", function()
    local a = start()
    a:send(payments())
    a:await(function(page) return page['fluo_ledger_written_rows_total{kind="violation"}'] == 5 end)
    stop(a)
    local file = assert(io.open(data .. "/fluo.db", "r+b"))
    file:write(("damaged"):rep(100))
    file:close()
    local b = start()
    assert.is_truthy(b:read_log(function(line) return line:find("it is set aside, and a new one begun", 1, true) end))
    b:send(payments())
    b:await(function(page) return (page['fluo_ledger_written_rows_total{kind="violation"}'] or 0) >= 1 end)
    assert.equal(1, b:metrics().fluo_ledger_corruptions_total)
    local _, _, status = stop(b)
    assert.equal(0, status)
  end)

  it("without a directory is in memory, and it is said what is lost by that", function()
    assert(io.open(data, "w")):close()
    local a = start()
    a:send(payments())
    a:await(function(page) return page['fluo_ledger_written_rows_total{kind="violation"}'] == 5 end)
    assert.equal(1, a:metrics().fluo_ledger_in_memory)
    local found, _, status, log = stop(a)
    assert.same({ 5, 0 }, { #found, status })
    assert.is_truthy(table.concat(log, "\n"):find("alerts that were not delivered, silences and feedback are gone", 1, true))
  end)

  it("is not made by an agent that has nothing to write", function()
    stop(start())
    assert.is_nil(io.open(data .. "/fluo.db"))
  end)
end)
