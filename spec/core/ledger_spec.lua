-- The ledger, called as the loop calls it, over real SQLite files.
local world = require("spec.core.ledger_world")
local core = world.core

local INCIDENTS, VIOLATIONS, EVIDENCE, DELIVERIES, SILENCES, FEEDBACK, WRITTEN = 0, 1, 2, 3, 4, 5, 6

-- Runs body(ledger) and checks that nothing is left behind; a first one sets SQLite up, which stays.
local function ledger(options, body)
  assert(world.open { data = false }):close()
  local live = core.heap_live()
  local w = assert(world.open(options))
  body(w)
  if w.ledger then assert.is_true(w:close()) end
  assert.equal(0, tonumber(core.heap_live() - live))
  return w
end

local function reopened(w, options)
  options = options or {}
  options.data = w.data
  return assert(world.open(options))
end

describe("rows", function()
  it("are numbered from 1, and saved in one go with those that came meanwhile", function()
    ledger({}, function(w)
      for i = 1, 100 do assert.equal(i, w:violation { id = "v" .. i }) end
      assert.is_true(w:until_saved(100))
      assert.is_true(tonumber(w:stats().commits) <= 3)
      assert.equal("100", world.sql(w.db, "select count(*) from violations"))
      assert.equal(100, tonumber(w:stats().written[world.KINDS.violation]))
      assert.equal(0, tonumber(w:stats().queue_bytes))
    end)
  end)

  it("make the database only when the first one comes", function()
    ledger({}, function(w)
      assert.is_nil(io.open(w.db))
      w:until_saved(w:violation { id = "v" })
      assert.is_truthy(io.open(w.db))
    end)
  end)

  it("of an incident take each other's place", function()
    ledger({}, function(w)
      w:incident { id = "i", count = 1 }
      w:until_saved(w:incident { id = "i", count = 7, status = "resolved", json = '{"id":"i"}' })
      assert.equal("i|7|resolved", world.sql(w.db, "select id, count, status from incidents"))
    end)
  end)

  it("of a violation that is there already are left as they are", function()
    ledger({}, function(w)
      w:violation { id = "v", json = '{"first":1}' }
      w:until_saved(w:violation { id = "v", json = '{"second":1}' })
      assert.equal('{"first":1}', world.sql(w.db, "select json from violations"))
    end)
  end)

  it("of a violation that is there without evidence give it some, and none of a violation takes it away", function()
    ledger({}, function(w)
      w:violation { id = "v", json = '{"first":1}' }
      w:violation { id = "v", json = '{"second":1}', evidence = world.EVIDENCE }
      w:until_saved(w:violation { id = "v" })
      assert.equal('{"first":1}', world.sql(w.db, "select json from violations where evidence is not null"))
      assert.equal(1, tonumber(w:stats().written[world.KINDS.evidence]))
    end)
  end)

  it("of a delivery keep the alert where an outcome brings none", function()
    ledger({}, function(w)
      w:delivery { id = "d", alert = '{"a":1}' }
      w:until_saved(w:delivery { id = "d", state = 1, attempts = 2, outcome = "200 OK" })
      assert.equal('1|2|{"a":1}|200 OK', world.sql(w.db, "select state, attempts, alert, outcome from deliveries"))
    end)
  end)

  it("of one alert to two receivers are two, each with an end of its own", function()
    ledger({}, function(w)
      w:delivery { id = "d", receiver = "a", alert = "1" }
      w:delivery { id = "d", receiver = "b", alert = "2" }
      w:until_saved(w:delivery { id = "d", receiver = "b", state = 1 })
      assert.equal("a|0|1\nb|1|2", world.sql(w.db, "select receiver, state, alert from deliveries order by n"))
    end)
  end)

  it("may hold any bytes a text may", function()
    ledger({}, function(w)
      local json = '{"t":"' .. ("é'\"\\%\0x"):rep(100) .. '"}'
      w:until_saved(w:incident { id = "i", json = json, state = "\0\1\255" })
      w:close()
      local again = reopened(w)
      assert.same({ json, "\0\1\255" }, { again.incidents[1].json, again.incidents[1].state })
      again:close()
    end)
  end)

  it("that come as the ledger closes are written", function()
    local w = ledger({}, function(w) for i = 1, 1000 do w:violation { id = "v" .. i } end end)
    assert.equal("1000", world.sql(w.db, "select count(*) from violations"))
  end)
end)

describe("a restart", function()
  it("gets back what is open, undelivered, silenced and said, oldest first", function()
    ledger({}, function(w)
      w:incident { id = "a", status = "resolved" }
      w:incident { id = "b", count = 3, group = '{"service":"x"}', json = '{"id":"b"}', state = "STATE", at = 5 }
      w:incident { id = "c", status = "acknowledged" }
      w:delivery { id = "d1", alert = '{"n":1}', attempts = 4, next = 77 }
      w:delivery { id = "d2", alert = '{"n":2}', state = 1 }
      w:delivery { id = "d3", alert = '{"n":3}', state = 2 }
      w:silence { id = "s1", over = true }
      w:silence { id = "s2", json = '{"id":"s2"}', ends = 99 }
      w:give_feedback { violation = "v", right = true }
      w:close()
      local again = reopened(w)
      assert.equal(2, #again.incidents)
      assert.same({ id = "b", status = "open", rule = "r", group = '{"service":"x"}', count = 3, json = '{"id":"b"}', state = "STATE",
        started = 5ull }, again.incidents[1])
      assert.equal("c", again.incidents[2].id)
      assert.same({ { id = "d1", receiver = "ops", attempts = 4, alert = '{"n":1}', outcome = "", next = 77ull } }, again.deliveries)
      assert.same({ { id = "s2", json = '{"id":"s2"}', ends = 99ull } }, again.silences)
      assert.same({ { violation = "v", rule = "r", who = "ann", verdict = 1 } }, again.feedback)
      again:close()
    end)
  end)

  it("counts the violations that came after an incident's row", function()
    ledger({}, function(w)
      w:incident { id = "a", count = 2 }
      w:incident { id = "b", count = 9 }
      for i = 1, 5 do w:violation { id = "v" .. i, incident = "a" } end
      w:violation { id = "v9", incident = "b" }
      w:close()
      local again = reopened(w)
      assert.same({ 5, 9 }, { again.incidents[1].count, again.incidents[2].count })
      again:close()
    end)
  end)

  it("gets back what was resolved lately, before what is open", function()
    ledger({}, function(w)
      w:incident { id = "open" }
      w:incident { id = "late", status = "resolved", resolved = (os.time() - 3600) * 1000000000ull }
      w:incident { id = "old", status = "resolved", resolved = (os.time() - 90000) * 1000000000ull }
      w:close()
      local again = reopened(w)
      assert.same({ "open", "late" }, { again.incidents[1].id, again.incidents[2].id, again.incidents[3] and "more" })
      again:close()
    end)
  end)

  it("takes the newest 10,000 of a kind", function()
    ledger({}, function(w)
      for i = 1, 10050 do w:delivery { id = ("d%05d"):format(i), alert = "{}" } end
      w:close()
      local again = reopened(w)
      assert.same({ 10000, "d00051", "d10050" }, { #again.deliveries, again.deliveries[1].id, again.deliveries[10000].id })
      again:close()
    end)
  end)
end)

describe("a directory", function()
  it("is one agent's at a time", function()
    ledger({}, function(w)
      local other, err, why = world.open { data = w.data }
      assert.is_nil(other)
      assert.equal(-7, err)
      assert.is_truthy(why:find("another agent %(process %d+%) has this data directory"))
    end)
  end)

  it("that cannot be written is said", function()
    local _, err, why = world.open { data = "/proc/1/nowhere" }
    assert.equal(-8, err)
    assert.is_truthy(why:find("/proc/1/nowhere/fluo.lock: No such file", 1, true))
  end)

  it("with a ledger of a later version is left alone", function()
    ledger({}, function(w)
      w:until_saved(w:violation { id = "v" })
      w:close()
      world.sql(w.db, "pragma user_version = 99")
      local _, err, why = world.open { data = w.data }
      assert.same({ -9, true }, { err, why:find("a later version of fluo", 1, true) ~= nil })
      assert.equal("1", world.sql(w.db, "select count(*) from violations"))
    end)
  end)

  it("may be none: then all is as with one, and gone at the end", function()
    ledger({ data = false }, function(w)
      w:until_saved(w:incident { id = "i", json = '{"id":"i"}' })
      assert.equal('{"incidents":[{"id":"i"}]}', w:ask { what = INCIDENTS })
      assert.is_true(w:stats().in_memory)
    end)
  end)

  it("keeps its files to its owner and group", function()
    ledger({}, function(w)
      w:until_saved(w:violation { id = "v" })
      local pipe = io.popen("stat -c %a " .. w.db .. " " .. w.db .. "-wal")
      assert.equal("640\n640\n", pipe:read("*a"))
      pipe:close()
    end)
  end)
end)

describe("a question", function()
  local now = world.now()
  local function filled(body)
    ledger({}, function(w)
      for i = 1, 5 do
        w:incident { id = "i" .. i, rule = i % 2 == 0 and "even" or "odd", status = i < 3 and "resolved" or "open", at = now + i,
          json = ('{"id":"i%d"}'):format(i) }
        w:violation { id = "v" .. i, incident = "i" .. (i % 2), at = i, severity = i == 5 and "low" or "high" }
      end
      w:delivery { id = "d1", alert = '{"n":1}', at = 1924992000000000000ull, next = 0, state = 1, attempts = 1, outcome = "202 \"ok\"" }
      w:silence { id = "s1", json = '{"id":"s1"}', over = true }
      w:give_feedback { violation = "v1", rule = "odd", right = true, at = 1924992000000000005ull }
      body(w)
    end)
  end

  it("about incidents is answered newest first, by rule, status, time and id", function()
    filled(function(w)
      local function ids(q)
        q.what = INCIDENTS
        return (w:ask(q):gsub('"id":', ""))
      end
      assert.equal('{"incidents":[{"i5"},{"i4"},{"i3"},{"i2"},{"i1"}]}', ids {})
      assert.equal('{"incidents":[{"i5"},{"i3"}]}', ids { rule = "odd", status = "open" })
      assert.equal('{"incidents":[{"i5"},{"i4"}]}', ids { since = now + 4 })
      assert.equal('{"incidents":[{"i2"}]}', ids { id = "i2" })
      assert.equal('{"incidents":[]}', ids { id = "i2' OR 1=1 --" })
      assert.equal('{"incidents":[{"i5"},{"i4"},{"i3"}]}', ids { status = "active" })
      assert.equal('{"incidents":[]}', ids { severity = "none" })
    end)
  end)

  it("with a limit has a cursor to go on from, until the last page", function()
    filled(function(w)
      local pages, cursor = {}, 0
      repeat
        local page = w:ask { what = INCIDENTS, limit = 2, cursor = cursor }
        pages[#pages + 1] = (page:gsub('"id":', ""))
        cursor = tonumber(page:match('"next":"(%d+)"'))
      until not cursor
      assert.same({ '{"incidents":[{"i5"},{"i4"}],"next":"4"}', '{"incidents":[{"i3"},{"i2"}],"next":"2"}', '{"incidents":[{"i1"}]}' }, pages)
    end)
  end)

  it("about violations gives them as printed, with incident, rule version and whether there is evidence", function()
    filled(function(w)
      assert.equal('{"violations":[{"id":"v3","incident":"i1","rule_version":"00","evidence":false},' ..
        '{"id":"v1","incident":"i1","rule_version":"00","evidence":false}]}', w:ask { what = VIOLATIONS, incident = "i1", severity = "high" })
    end)
  end)

  it("about one thing gives it without a list, or says that there is none; ids may be given by what they begin with", function()
    filled(function(w)
      w:incident { id = "ab1", json = '{"id":"ab1"}' }
      w:incident { id = "ab2", json = '{"id":"ab2"}' }
      assert.equal('{"id":"i3"}', w:ask { what = INCIDENTS, id = "i3", one = true })
      assert.equal(-10, w:ask { what = INCIDENTS, id = "a", one = true })
      assert.equal('{"incidents":[{"id":"ab2"},{"id":"ab1"}]}', w:ask { what = INCIDENTS, id = "ab", prefix = true })
      assert.equal('{"incidents":[{"id":"ab2"}]}', w:ask { what = INCIDENTS, id = "ab2", prefix = true })
      assert.equal('{"incidents":[]}', w:ask { what = INCIDENTS, id = "b", prefix = true })
    end)
  end)

  it("about what was written since gives the newest in the order of coming, a line each", function()
    filled(function(w)
      local all = w:ask { what = WRITTEN }
      local _, lines = all:gsub("\n", "")
      assert.equal(5, lines)
      local newest = w:ask { what = WRITTEN, limit = 2 }
      assert.truthy(newest:find('^%d+ {"id":"v4",[^\n]+\n%d+ {"id":"v5",[^\n]+\n$'), newest)
      assert.equal("", w:ask { what = WRITTEN, since = world.now() + 3600 * 1000000000ull })
    end)
  end)

  it("about deliveries, silences and feedback is answered likewise", function()
    filled(function(w)
      assert.equal('{"deliveries":[{"id":"d1","receiver":"ops","state":"done","attempts":1,"created_at":"2031-01-01T00:00:00.000000000Z",' ..
        '"outcome":"202 \\"ok\\"","alert":{"n":1}}]}', w:ask { what = DELIVERIES, status = "done" })
      assert.equal('{"deliveries":[]}', w:ask { what = DELIVERIES, status = "pending" })
      assert.equal('{"silences":[{"id":"s1"}]}', w:ask { what = SILENCES, status = "over" })
      assert.equal('{"feedback":[{"violation":"v1","incident":"","rule":"odd","group":{},"verdict":"right","who":"ann",' ..
        '"at":"2031-01-01T00:00:00.000000005Z"}]}', w:ask { what = FEEDBACK, status = "right" })
    end)
  end)

  it("about a filter that its list does not have finds nothing", function()
    filled(function(w) assert.equal('{"silences":[]}', w:ask { what = SILENCES, rule = "odd" }) end)
  end)

  it("about evidence gives what the violation has, or the one that it shares it with", function()
    ledger({}, function(w)
      w:violation { id = "v", evidence = world.EVIDENCE }
      w:violation { id = "w", evidence_of = "v" }
      w:violation { id = "none" }
      local json = '{"fluo":{"evidence":{"spans":0,"spans_total":0,"without_attributes":0,"witnesses_missing":0,"traces_missing":0,"cut":false}},"resourceSpans":[{}]}'
      assert.equal(json, w:ask { what = EVIDENCE, id = "v" })
      assert.equal(json, w:ask { what = EVIDENCE, id = "w" })
      assert.equal(-10, w:ask { what = EVIDENCE, id = "none" })
      assert.equal(-10, w:ask { what = EVIDENCE, id = "never" })
      assert.is_truthy(w:ask({ what = VIOLATIONS, id = "w" }):find('"evidence":true', 1, true))
    end)
  end)

  it("that large answers would make ends a page early, with a cursor", function()
    ledger({}, function(w)
      for i = 1, 8 do
        w:until_saved(w:incident { id = "i" .. i, json = '"' .. ("x"):rep(1000000) .. '"' })
      end
      local page = w:ask { what = INCIDENTS }
      assert.is_true(#page < 6000000)
      assert.equal("4", page:match('"next":"(%d+)"'))
    end)
  end)

  it("beyond 64 that wait is refused, and one that is forgotten is not answered", function()
    ledger({}, function(w)
      local ctx = world.ffi.new("int[1]")
      local q = world.ffi.new("struct ledger_query", { what = INCIDENTS, ctx = ctx })
      for _ = 1, 64 do assert.equal(0, core.ledger_ask(w.ledger, q)) end
      assert.equal(-7, core.ledger_ask(w.ledger, q))
      core.ledger_forget(w.ledger, ctx)
      assert.is_true(w:hear(function() return core.ledger_ask(w.ledger, q) == 0 end))
      assert.equal(0, #w.results)
    end)
  end)
end)

describe("questions and rows", function()
  it("do not wait for ever behind each other", function()
    ledger({}, function(w)
      local n, json = 0, ("x"):rep(2000)
      local q = world.query { what = VIOLATIONS, limit = 1 }
      for _ = 1, 20 do
        local answered = #w.results
        assert.equal(0, core.ledger_ask(w.ledger, q))
        assert.is_true(w:hear(function()
          for _ = 1, 100 do
            n = n + 1
            w:violation { id = "v" .. n, json = json }
          end
          return #w.results > answered
        end))
      end
    end)
  end)
end)

describe("retention", function()
  it("takes what is over its age and leaves what is open or undelivered", function()
    ledger({ age_ns = 3600 * 1000000000ull }, function(w)
      local old = (os.time() - 7200) * 1000000000ull
      for i = 1, 450 do w:violation { id = "old" .. i, written = old } end
      w:violation { id = "new" }
      w:incident { id = "open", at = old }
      w:incident { id = "over", at = old, status = "resolved" }
      w:delivery { id = "pending", at = old }
      w:delivery { id = "done", at = old, state = 1 }
      w:silence { id = "s", over = true, at = old }
      w:give_feedback { violation = "v", at = old - 90 * 86400 * 1000000000ull }
      w:give_feedback { violation = "counts", at = old }
      assert.is_true(w:hear(function() return tonumber(w:stats().deleted) >= 454 end))
      assert.equal("new", world.sql(w.db, "select group_concat(id) from violations"))
      assert.equal("open", world.sql(w.db, "select group_concat(id) from incidents"))
      assert.equal("pending", world.sql(w.db, "select group_concat(id) from deliveries"))
      assert.equal("0|counts", world.sql(w.db, "select (select count(*) from silences), (select group_concat(violation) from feedback)"))
    end)
  end)

  it("keeps the pages in use within their bound, the oldest violations going first, and gives the file's room back", function()
    ledger({ bytes_max = 2000000 }, function(w)
      local json = '{"x":"' .. ("x"):rep(10000) .. '"}'
      for i = 1, 600 do
        local number = w:violation { id = "v" .. i, json = json }
        if i % 50 == 0 then w:until_saved(number) end
      end
      assert.is_true(w:hear(function() return w:stats().file_bytes <= 2000000 and w:stats().deleted > 0 end))
      assert.equal("1", world.sql(w.db, 'select count(*) from violations where id = "v600"'))
      assert.equal("0", world.sql(w.db, 'select count(*) from violations where id = "v1"'))
      w:close()
      local file = io.open(w.db)
      assert.is_true(file:seek("end") < 4000000)
      file:close()
    end)
  end)

  it("keeps a ledger in memory small, too, and never has it full, however fast violations come", function()
    ledger({ data = false }, function(w)
      local i, json = 0, '{"x":"' .. ("x"):rep(100000) .. '"}'
      assert.is_true(w:hear(function()
        for _ = 1, 50 do                              -- more than the queue takes, so that it is never empty
          i = i + 1
          w:violation { id = "v" .. i, json = json }
        end
        return w:stats().written[world.KINDS.violation] >= 300
      end))
      assert.is_true(w:hear(function() return w:stats().file_bytes <= 7000000 end))
      assert.is_nil(table.concat(w.troubles, " "):find("disk_full", 1, true))     -- behind it may well have been
    end)
  end)
end)
