local world = require("spec.core.study_world")
local core, ffi = world.core, world.ffi
local wire = require("spec.otlp_writer")

local STOP, CONTINUE = 19, 18
local HEAP_KIB_MAX = 1000              -- of a worker that has judged little; 830 as this is written
local YES = 'rule "yes" { when = { where = function(s) return true end } }\n'

describe("the study", function()
  local w

  -- C calls back into Lua, which a compiled loop must not do.
  setup(function() jit.off() end)
  teardown(function() jit.on() end)
  before_each(function() w = nil end)
  after_each(function() if w then w:close() end end)

  local function open(o) w = assert(world.open(type(o) == "string" and { rules = o } or o)) end

  describe("answers", function()
    it("each question, in order: any value but nil and false is yes", function()
      open(YES .. [[
        rule "no" { when = { where = function(s) return nil end } }
        rule "zero" { when = { where = function(s) return 0 end } }
        rule "name" { when = { where = function(s) return s.name == "pay" end } }]])
      local pay, other = w:span { name = "pay" }, w:span { name = "other" }
      w:ask { { 0, pay }, { 1, pay }, { 2, pay }, { 3, pay }, { 3, other } }
      w:ask { { 3, other } }
      assert.same({ "1: yes no yes yes no", "2: no" }, w:run())
    end)

    it("for a value: calls its function with it, and says no where it is missing", function()
      open [[rule "v" { when = { amount = function(v) return v == nil or v > 5 end } }
             rule "d" { when = { duration = function(ms) return ms == 1.5 end } }
             rule "l" { when = { tags = function(v) return #v == 2 and v[2] == "b" end } }]]
      local at = w:span { attributes = { amount = 6, tags = { "a", "b" } }, start = 1, end_ = 1500001 }
      w:ask { { 0, at }, { 0, w:span { attributes = { amount = 5 } } }, { 0, w:span {} }, { 1, at }, { 2, at } }
      assert.same({ "1: yes no no yes yes" }, w:run())
    end)

    it("for a value of an event or link: that one's, in whatever order they are asked about", function()
      open [[rule "e" { when = { event = { n = function(v) return v > 1 end, name = function(v) return v == "b" end } } }
             rule "l" { when = { link = { n = function(v) return v > 1 end } } }]]
      local two = wire.text(11, wire.text(2, "a") .. wire.attribute(3, "n", 1))
        .. wire.text(13, wire.attribute(4, "n", 2))
        .. wire.text(11, wire.text(2, "b") .. wire.attribute(3, "n", 2)) .. wire.text(11, "")
      local at, bare = w:span { extra = two }, w:span {}
      w:ask { { 0, at, 0 }, { 0, at, 1 }, { 0, at, 2 }, { 0, at, 3 }, { 0, at, 4294967295 } }
      w:ask { { 1, at, 1 }, { 1, at, 0 }, { 2, at, 0 }, { 2, at, 1 }, { 1, bare, 0 }, { 1, at, 1 } }
      assert.same({ "1: no yes no no no", "2: yes no yes no no yes" }, w:run())
    end)

    it("under renamed keys when it is told to", function()
      local rules = 'rule "r" { when = { where = function(s) return s.attributes["http.status_code"] == 500 end } }'
      open { rules = rules, renamed = true }
      w:ask { { 0, w:span { attributes = { ["http.response.status_code"] = 500 } } } }
      assert.same({ "1: yes" }, w:run())
    end)

    it("4,096 questions at once", function()
      open(YES)
      local list, at = {}, w:span {}
      for i = 1, 4096 do list[i] = { 0, at } end
      w:ask(list)
      assert.equal("1: yes" .. (" yes"):rep(4095), w:run()[1])
    end)

    it("from a heap without what only loading needed", function()
      open(YES .. 'rule "keys" { when = { ["http.mehtod"] = function(v) return v == "GET" end } }')
      w:ask { { 1, w:span { attributes = { ["http.mehtod"] = "GET" } } } }
      assert.same({ "1: yes" }, w:run())
      local kib = tonumber(w:stats().heap_bytes) / 1024
      assert.is_true(kib < HEAP_KIB_MAX, kib .. " KiB")
    end)

    it("jobs once they are handed over, all that wait together", function()
      open(YES)
      local at = w:span {}
      w.holds = true
      for _ = 1, 3 do w:ask { { 0, at } } end
      assert.is_true(core.study_waits(w.study))
      assert.is_true(core.study_busy(w.study))
      assert.is_true(w:stats().jobs == 0)
      core.study_hand_over(w.study)
      assert.is_true(w:stats().jobs == 2)    -- of one rule so many at a time; the third goes as a reply is read
      assert.is_false(core.study_waits(w.study))
      assert.same({ "1: yes", "2: yes", "3: yes" }, w:run())
      assert.is_true(w:stats().jobs == 3)
    end)

    it("a job that is sent from a callback when it is handed over, where it would wake the worker", function()
      open(YES)
      local at = w:span {}
      w.on_answer = function() if w.jobs == 1 then w:ask { { 0, at } } end end
      w:ask { { 0, at } }
      w.holds = true
      while not w.seen[1] do w:turn() end
      assert.is_true(core.study_waits(w.study))
      assert.is_true(w:stats().jobs == 1)
      core.study_hand_over(w.study)
      assert.same({ "1: yes", "2: yes" }, w:run())
    end)

    it("jobs in the order they were sent, also those sent from a callback", function()
      open(YES)
      local at = w:span {}
      for _ = 1, 300 do w:ask { { 0, at } } end
      w.on_answer = function(job) if tonumber(ffi.cast("uintptr_t", job.owner)) <= 300 then w:ask { { 0, at } } end end
      w:run()
      assert.equal(600, #w.seen)
      for i = 1, 600 do assert.equal(i .. ": yes", w.seen[i]) end
    end)
  end)

  describe("judges", function()
    local RULES = [[
      rule "pair" { when = trace.has { name = "a" }:followed_by { name = "b" }:within "5s" }
      rule "count" { when = trace.count { name = "a" }:over(1) }
      rule "missing" { when = trace.has { name = "a" } * trace.missing { name = "audit.log" } }]]
    local A, B = { id = 1, name = "a", start = 10 }, { id = 2, name = "b", start = 20, end_ = 2ULL ^ 60 + 7 }

    it("rules by the hits of a trace, with witnesses, reasons, values and the time", function()
      open(RULES)
      w:judge({ 0, 1, 2 }, { spans = { B, A }, hits = { { 1, 0 }, { 0, 1 }, { 2, 1 }, { 3, 1 } }, closing = true })
      assert.same({ "1: 0=yes[1,0] 1=no 2=yes[1] (missing audit.log)" }, w:run())
      assert.is_true(w.last_time == 1010)
      w:judge({ 0 }, { spans = { B, A }, hits = { { 1, 0 }, { 0, 1 } } })
      w:run()
      assert.is_true(w.last_time == 2ULL ^ 60 + 7)
    end)

    it("with three values: an absence in a cut trace is unknown", function()
      open(RULES)
      w:judge({ 2 }, { spans = { A }, hits = { { 3, 0 } }, closing = true, cut = true })
      assert.same({ "1: 2=unknown" }, w:run())
    end)

    it("and names 32 witnesses at most, and their number", function()
      open(RULES)
      local all, hits = {}, {}
      for i = 1, 100 do all[i], hits[i] = { id = i, name = "a", start = i }, { 2, i - 1 } end
      w:judge({ 1 }, { spans = all, hits = hits })
      local list = {}
      for i = 1, 32 do list[i] = i - 1 end
      assert.same({ "1: 1=yes[" .. table.concat(list, ",") .. "]/100 100>1" }, w:run())
    end)

    it("64 rules at once whose verdicts are as long as can be", function()
      local rules, named, hits, all = {}, {}, {}, {}
      for i = 1, 64 do
        local parts = {}
        for k = 1, 9 do parts[k] = ('trace.missing { name = "%s%d" }'):format(("x"):rep(150), k) end
        rules[i] = ('rule "r%d" { when = trace.count { name = "a" }:at_least(1) * %s }')
          :format(i, table.concat(parts, " * "))
        named[i] = i - 1
        for k = 0, 39 do hits[#hits + 1] = { (i - 1) * 10, k } end
      end
      for k = 1, 40 do all[k] = { id = k, start = k } end
      open(table.concat(rules, "\n"))
      w:judge(named, { spans = all, hits = hits, closing = true })
      local verdicts = w:run()[1]
      local _, yes = verdicts:gsub("=yes", "")
      assert.same({ 64, 1 }, { yes, #w.seen })
    end)
  end)

  describe("contains rule code that", function()
    local NO_END = "it ran for too long"
    for what, case in pairs({
      ["loops, interpreted"] = {
        "local f = coroutine.wrap(function() while true do coroutine.yield() end end) while true do f() end", NO_END },
      ["loops, compiled"] = { "while true do end", NO_END },
      ["loops, compiled, with work"] = { "local n = 0 repeat n = n + 1 until n < 0 return n", NO_END },
      ["loops within pcall"] = { "while true do pcall(function() while true do end end) end", NO_END },
      ["lets string.find backtrack"] = { 'return (("a"):rep(60)):find(((".-"):rep(20)) .. "b")', NO_END },
      ["eats memory in tables"] = { "local t = {} for i = 1, 1e9 do t[i] = { i } end", "it took too much memory" },
      ["eats memory in one text"] = { 'return ("x"):rep(2^30)', "it took too much memory" },
      ["eats memory by doubling"] = { 'local t = "x" while true do t = t .. t end', "it took too much memory" },
    }) do
      it(what .. ", and says so: other rules are unharmed", function()
        local body = 'if s.name ~= "bad" then return true end ' .. case[1]
        local rules = YES .. ('rule "bad" { when = { where = function(s) %s end } }'):format(body)
        open { heap_bytes = 8388608, rules = rules }
        local good, bad = w:span { name = "good" }, w:span { name = "bad" }
        w:ask { { 0, good }, { 1, good } }
        w:ask { { 0, bad }, { 1, bad }, { 0, bad } }
        w:ask { { 1, good }, { 0, good } }
        assert.same({ "1: yes yes", "fault bad: " .. case[2], "2: yes unknown yes", "3: yes yes" }, w:run())
      end)
    end

    for what, case in pairs({
      ["throws text"] = { 'error("boom")', ":2: boom" },
      ["throws a table"] = { "error({})", "threw a table" },
      ["throws nil"] = { "error()", "threw a nil" },
      ["recurses without end"] = { "local function f(n) return 1 + f(n) end return f(1)", "stack overflow" },
      ["yields out of itself"] = { "coroutine.yield(1)", "yield" },
      ["takes a number for a table"] = { "return s.duration.x", "attempt to index" },
    }) do
      it(what .. ": its answer is unknown, the error is told once", function()
        open(YES .. ('rule "bad" { when = { where = function(s) %s end } }'):format(case[1]))
        local at = w:span {}
        w:ask { { 1, at }, { 0, at }, { 1, at } }
        w:run()
        assert.equal("1: unknown yes unknown", w.seen[2])
        assert.truthy(w.seen[1]:find("error bad x2: ", 1, true))
        assert.truthy(w.seen[1]:find(case[2], 1, true))
        assert.equal(2, tonumber(w:stats().errors))
      end)
    end

    it("keeps a span: the next use of it is an error", function()
      open 'local kept\nrule "bad" { when = { where = function(s) kept = kept or s return kept.name == "op" end } }'
      local at = w:span {}
      w:ask { { 0, at }, { 0, at } }
      w:run()
      assert.truthy(w.seen[1]:find("belongs to an earlier trace", 1, true))
      assert.equal("2: yes unknown", (w.seen[2]:gsub("^1", "2")))
    end)

    it("hides work in a coroutine that never returns", function()
      local body = "return coroutine.wrap(function() while true do end end)()"
      open(YES .. ('rule "bad" { when = { where = function(s) %s end } }'):format(body))
      local at = w:span {}
      w:ask { { 1, at }, { 0, at } }
      assert.same({ "fault bad: it ran for too long", "1: unknown yes" }, w:run())
    end)

    it("throws in 700 rules at once: each is told, the texts shortened", function()
      local rules, list = {}, {}
      local throws = 'rule "r%d" { when = { where = function() error("' .. ("e"):rep(250) .. '") end } }'
      for i = 1, 700 do rules[i] = throws:format(i) end
      open(table.concat(rules, "\n"))
      local at = w:span {}
      for i = 1, 700 do list[i] = { i - 1, at } end
      w:ask(list)
      w:run()
      assert.equal(701, #w.seen)
      assert.equal(700, tonumber(w:stats().errors))
    end)

    it("slowly fills the heap: another worker takes over, nobody is blamed", function()
      open { heap_bytes = 16777216, rules = [[
        local t = {}
        rule "hoards" { when = { where = function(s) t[#t + 1] = ("x"):rep(2^20) .. #t return true end } }]] }
      local at = w:span {}
      for _ = 1, 40 do w:ask { { 0, at } } end
      w:run()
      for i = 1, 40 do assert.equal(i .. ": yes", w.seen[i]) end
      assert.equal(40, #w.seen)
      assert.is_true(w:stats().restarts > 0)
      assert.is_true(w:stats().kills_memory == 0)
    end)
  end)

  describe("quarantines", function()
    local BAD = YES .. 'rule "bad" { when = { where = function(s) while s.name == "bad" do end return true end } }'

    it("a rule with its third fault, and answers for it at once from then on", function()
      open(BAD)
      local bad, good = w:span { name = "bad" }, w:span { name = "good" }
      for _ = 1, 4 do w:ask { { 1, bad }, { 0, bad } } end
      w:ask { { 1, good } }
      local fault = "fault bad: it ran for too long"
      assert.same({ fault, "1: unknown yes", fault, "2: unknown yes", fault, "quarantine bad", "3: unknown yes",
        "4: unknown yes", "5: unknown" }, w:run())
      assert.is_true(core.study_quarantined(w.study, 1))
      assert.is_false(core.study_quarantined(w.study, 0))
      w:ask { { 1, good } }
      w:ask { { 1, good }, { 0, good } }
      w:run()
      assert.same({ "6: unknown", "7: unknown yes" }, { w.seen[10], w.seen[11] })
    end)

    it("answers a quarantined rule's job without the worker, yet never from within study_send", function()
      open(BAD)
      local bad = w:span { name = "bad" }
      for _ = 1, 3 do w:ask { { 1, bad } } end
      w:run()
      local before, jobs = #w.seen, w:stats().jobs
      w:ask { { 1, bad } }
      assert.equal(before, #w.seen)
      assert.is_true(core.study_busy(w.study))
      assert.is_true(w:readable())    -- at once: no tick is waited for
      w:turn(0)
      assert.is_false(w:readable())
      assert.equal("4: unknown", w.seen[before + 1])
      assert.is_true(w:stats().jobs == jobs)
    end)
  end)

  describe("when its worker is killed from outside", function()
    it("answers everything all the same, in order, and blames nobody", function()
      open(YES)
      local at = w:span {}
      for i = 1, 200 do
        w:ask { { 0, at } }
        if i % 10 == 0 then
          w:kill(9)
          w:turn(0)
        end
      end
      w:run()
      local answers, blamed = 0, 0
      for _, line in ipairs(w.seen) do
        if line:find("^%d+: yes$") then
          answers = answers + 1
          assert.equal(answers .. ": yes", line)
        elseif line ~= "fault nobody: the worker died" then
          blamed = blamed + 1
        end
      end
      assert.same({ 200, 0 }, { answers, blamed })
    end)

    it("does not take a signal that is meant for the whole group for an end", function()
      open(YES)
      local pid = core.study_worker_pid(w.study)
      for _, signal in ipairs { 1, 2, 15 } do w:kill(signal) end
      w:ask { { 0, w:span {} } }
      assert.same({ "1: yes" }, w:run())
      assert.equal(pid, core.study_worker_pid(w.study))
    end)

    it("gives up a job that no worker survives and no rule is to blame for, and goes on with the next", function()
      open { rules = 'rule "v" { when = { amount = function(v) return true end } }', cpu_ns = 5000000000ULL }
      local nowhere = 0xe0000000                -- far past the arena: reading the value ends the worker
      w:ask { { 0, nowhere } }
      w:ask { { 0, w:span { attributes = { amount = 1 } } } }
      local died = "fault nobody: the worker died"
      assert.same({ died, died, died, died, died, "1: unknown", "2: yes" }, w:run())
      assert.is_true(w:stats().given_up == 1)
    end)

    it("replaces one that stands still, where the clock on the wall counts", function()
      open { rules = YES, wall_clock = true, wall_ns = 200000000ULL }
      local pid = core.study_worker_pid(w.study)
      w:kill(STOP)
      w:ask { { 0, w:span {} } }
      assert.same({ "fault nobody: the worker made no progress", "1: yes" }, w:run())
      assert.is_true(pid ~= core.study_worker_pid(w.study))
      assert.is_true(w:stats().stalls == 1)
    end)
  end)

  describe("when its rule process cannot be started again", function()
    local SECOND, exe, link = 1000000000ULL, nil, nil

    -- Its binary is gone, and both processes have died.
    before_each(function()
      exe, link = world.exe, os.tmpname()
      local path = io.popen("readlink -f " .. exe):read("*l")
      os.execute(("ln -sf %s %s"):format(path, link))
      world.exe = link
      open(YES)
      os.remove(link)
      w.restore = function() os.execute(("ln -sf %s %s"):format(path, link)) end
      ffi.C.kill(core.study_rules_pid(w.study), 9)
      w:kill(9)
      w:ask { { 0, w:span {} } }
      for _ = 1, 100 do if core.study_rules_pid(w.study) + core.study_worker_pid(w.study) > 0 then w:turn() end end
    end)
    after_each(function()
      os.remove(link)
      world.exe = exe
    end)

    local function said()
      local list = {}
      for i, line in ipairs(w.seen) do list[i] = line end
      table.sort(list)
      return list
    end
    local TROUBLE = { "fault nobody: the worker died", "trouble: the rule process cannot be started: No such file or directory",
      "trouble: the rule process died" }

    it("says so once, lets jobs wait, and goes on when it can be", function()
      for _ = 1, 20 do core.study_tick(w.study, world.mono()) end
      assert.same(TROUBLE, said())
      w.restore()
      w:run()
      assert.equal("1: yes", w.seen[4])
      assert.equal(4, #w.seen)
    end)

    it("says the next time, too", function()
      w.restore()
      w:run()
      os.remove(link)
      ffi.C.kill(core.study_rules_pid(w.study), 9)
      w:kill(9)
      w:ask { { 0, w:span {} } }
      for _ = 1, 100 do if core.study_rules_pid(w.study) + core.study_worker_pid(w.study) > 0 then w:turn() end end
      core.study_tick(w.study, world.mono())
      local times = 0
      for _, line in ipairs(w.seen) do if line == TROUBLE[2] then times = times + 1 end end
      assert.equal(2, times)
    end)

    it("is lost after a minute: what waits and what comes is unknown", function()
      core.study_tick(w.study, world.mono() + 61 * SECOND)
      w:ask { { 0, w:span {} } }
      w:run()
      assert.same({ "1: unknown", "2: unknown", TROUBLE[1], "lost: the rule process cannot be started: No such file or directory",
        TROUBLE[2], TROUBLE[3] }, said())
    end)
  end)

  describe("when its rule process is killed", function()
    -- Until that has been noticed.
    local function kill_rules()
      local pid = core.study_rules_pid(w.study)
      ffi.C.kill(pid, 9)
      while core.study_rules_pid(w.study) == pid do w:turn() end
    end

    it("starts another one, whose workers go on", function()
      open(YES)
      kill_rules()
      w:run()
      w:kill(9)
      w:ask { { 0, w:span {} } }
      w:run()
      assert.same({ "trouble: the rule process died", "fault nobody: the worker died", "1: yes" }, w.seen)
    end)

    it("starts another one with the same rules, whatever the files are by now", function()
      open(YES)
      world.write_rules(w.path, 'rule "other" { when = { name = "x" } }')
      kill_rules()
      w:run()
      os.remove(w.path)
      w:kill(9)
      w:ask { { 0, w:span {} } }
      w:run()
      kill_rules()
      w:run()
      assert.same({ "trouble: the rule process died", "fault nobody: the worker died", "1: yes",
        "trouble: the rule process died" }, w.seen)
    end)

    it("is lost once no other could be had for a minute and the worker has died: all is unknown then", function()
      local exe = os.tmpname()
      os.execute(("ln -sf $(realpath %s) %s"):format(world.exe, exe))
      open { rules = YES, exe = exe }
      os.remove(exe)
      kill_rules()
      w:kill(9)
      w:ask { { 0, w:span {} } }
      while core.study_worker_pid(w.study) + core.study_rules_pid(w.study) > 0 do w:turn() end
      core.study_tick(w.study, world.mono() + 61000000000ULL)
      w:run()
      assert.same({ "lost: the rule process cannot be started: No such file or directory", "1: unknown" },
        { w.seen[#w.seen - 1], w.seen[#w.seen] })
      assert.is_true(core.study_is_lost(w.study))
      assert.is_false(core.study_busy(w.study))
    end)
  end)

  describe("is heard from while it has nothing to do:", function()
    local SECOND = 1000000000ULL
    local function pings() return tonumber(w:stats().pings) end

    it("both processes give a sign of life, no more often than every five seconds", function()
      open(YES)
      local now = world.mono()
      core.study_ping(w.study, now)
      assert.is_true(core.study_busy(w.study))
      w:run()
      core.study_ping(w.study, now + 5 * SECOND - 1)
      assert.is_false(core.study_busy(w.study))
      core.study_ping(w.study, now + 5 * SECOND)
      w:run()
      assert.same({ 4, {} }, { pings(), w.seen })
      assert.is_true(w:stats().replies == 0)
    end)

    it("jobs that come while it is asked are answered after it", function()
      open(YES)
      w:kill(STOP)
      core.study_ping(w.study, world.mono())
      for _ = 1, 3 do w:ask { { 0, w:span {} } } end
      w:kill(CONTINUE)
      assert.same({ "1: yes", "2: yes", "3: yes" }, w:run())
      assert.equal(2, pings())
    end)

    it("a worker that is busy is not asked", function()
      open(YES)
      w:kill(STOP)
      w:ask { { 0, w:span {} } }
      core.study_ping(w.study, world.mono())
      w:kill(CONTINUE)
      w:run()
      assert.equal(1, pings())
    end)

    it("a worker that hangs is replaced before it gets a job", function()
      open { rules = YES, wall_clock = true, wall_ns = 200000000ULL }
      local pid = core.study_worker_pid(w.study)
      w:kill(STOP)
      core.study_ping(w.study, world.mono())
      assert.same({ "fault nobody: the worker made no progress" }, w:run())
      assert.is_true(pid ~= core.study_worker_pid(w.study))
      w:ask { { 0, w:span {} } }
      assert.equal("1: yes", w:run()[2])
    end)

    it("a worker that dies of it is replaced, and asked again in its turn", function()
      open(YES)
      w:kill(STOP)
      local now = world.mono()
      core.study_ping(w.study, now)
      w:kill(9)
      w:run()
      core.study_ping(w.study, now + 5 * SECOND)
      assert.same({ "fault nobody: the worker died" }, w:run())
      assert.equal(3, pings())
    end)

    it("a rule process that hangs is replaced, and the worker works on", function()
      open(YES)
      local rules, worker = core.study_rules_pid(w.study), core.study_worker_pid(w.study)
      ffi.C.kill(rules, STOP)
      local now = world.mono()
      core.study_ping(w.study, now)
      w:ask { { 0, w:span {} } }
      for i = 1, 51 do core.study_tick(w.study, now + i * SECOND / 10) end
      w:run()
      table.sort(w.seen)
      assert.same({ "1: yes", "trouble: the rule process does not answer" }, w.seen)
      assert.is_true(rules ~= core.study_rules_pid(w.study))
      assert.equal(worker, core.study_worker_pid(w.study))
      w:kill(9)
      w:ask { { 0, w:span {} } }
      assert.equal("2: yes", w:run()[4])
    end)

    it("time in which the owner stood still itself is held against nobody", function()
      open { rules = YES, wall_clock = true }
      local worker, rules, now = core.study_worker_pid(w.study), core.study_rules_pid(w.study), world.mono()
      w:kill(STOP)
      ffi.C.kill(rules, STOP)
      core.study_ping(w.study, now)
      core.study_tick(w.study, now + 3600 * SECOND)
      w:kill(CONTINUE)
      ffi.C.kill(rules, CONTINUE)
      w:run()
      assert.same({ worker, rules, 2, {} }, { core.study_worker_pid(w.study), core.study_rules_pid(w.study), pings(), w.seen })
    end)
  end)

  describe("sheds", function()
    it("questions past its bound: unknown, counted, and not from within study_send", function()
      open(YES)
      local at = w:span {}
      w:kill(STOP)
      for _ = 1, 8192 + 64 + 3 do w:ask { { 0, at } } end
      assert.same({}, w.seen)
      assert.is_true(w:stats().shed > 0)
      local shed = tonumber(w:stats().shed)
      w:kill(CONTINUE)
      w:run()
      local unknown = 0
      for _, line in ipairs(w.seen) do if line:find("unknown") then unknown = unknown + 1 end end
      assert.same({ 8192 + 64 + 3, shed }, { #w.seen, unknown })
    end)
  end)

  describe("opens", function()
    local function refused(o)
      local _, err, why, it_was = world.open(o)
      local printed = it_was:printed()
      it_was:close()
      return err, why, printed
    end

    it("no rules that do not load, and prints all that is wrong with them", function()
      local err, why, printed = refused { rules = [[rule "a" { when = { duration = gt "5 parsecs" } }
        rule "b" { severity = "huge", when = {} }]] }
      assert.same({ ffi.C.FLUO_EINVALID, "the rules did not load" }, { err, why })
      assert.truthy(printed:find(":1:%d+: error: "))
      assert.truthy(printed:find(":2:%d+: error: "))
    end)

    it("the rest when it is told to leave out broken files", function()
      open { rules = 'rule "a" { severity = "huge", when = {} }', skip_broken = true }
      assert.equal(0, core.ruleset_ir(w.rules).rules)
      assert.truthy(w:printed():find("error: "))
    end)

    it("a directory that is not there with a word about it", function()
      local err, _, printed = refused { path = "/nonexistent/rules.lua" }
      assert.equal(ffi.C.FLUO_EINVALID, err)
      assert.truthy(printed:find("/nonexistent/rules.lua", 1, true))
    end)

    it("no file that takes too much memory to load", function()
      local err, why = refused { rules = 'local t = {} for i = 1, 1e9 do t[i] = { i } end', heap_bytes = 8388608 }
      assert.equal(ffi.C.FLUO_EDIED, err)
      assert.truthy(why:find("^the rules need more than 8192 KiB of memory, at last in /tmp/%S+%.lua$"))
    end)

    for what, row in pairs({
      ["in a rule"] = { YES .. 'rule "bad" { when = (function() while true do end end)() }', ", rule `bad`$" },
      ["after a rule"] = { YES .. "while true do end", "%.lua$" },
      ["in a rule whose name is a trap"] = { 'rule "a\\n\\27[2J" { when = (function() while true do end end)() }',
        ", rule `a%?%?%[2J`$" },
    }) do
      it("no file that takes too long to load, and says where it was: " .. what, function()
        local err, why = refused { rules = row[1], load_cpu_ns = 60000000ULL }
        assert.equal(ffi.C.FLUO_ETIMEOUT, err)
        assert.truthy(why:find("^loading the rules took over 0.06 s of CPU time %(a loop%?%), at last in /tmp/"), why)
        assert.truthy(why:find(row[2]), why)
      end)
    end

    it("under any heap there is either all the rules or a word about it", function()
      local opened, told = 0, 0
      for kib = 64, 4096, 192 do
        local _, err, why, it_was = world.open { rules = YES, heap_bytes = kib * 1024 }
        if err then
          assert.same({ ffi.C.FLUO_EDIED, ("the rules need more than %d KiB of memory"):format(kib) },
            { err, (why:gsub(", at last in .*", "")) })
          told = told + 1
          it_was:close()
        else
          opened = opened + 1
          _:close()
        end
      end
      assert.is_true(opened > 0 and told > 0)
    end)

    it("broken files with a line of the log about each error, where that is JSON", function()
      local cjson = require("cjson")
      local _, _, printed = refused { json = true, rules = 'rule "a" { when = { duration = gt "5 \255 parsecs" } }' }
      local levels = {}
      for line in printed:gmatch("[^\n]+") do
        local entry = cjson.decode(line)
        assert.truthy(entry.time:find("^%d+%-%d+%-%d+T%d+:%d+:%d+Z$"))
        levels[entry.level] = entry
      end
      assert.truthy(levels.error.message:find("\239\191\189", 1, true))
      assert.same({ 1, "number" }, { levels.error.line, type(levels.error.column) })
    end)

    it("nothing where there is no such binary", function()
      local exe = world.exe
      world.exe = "/nonexistent/fluo"
      local err, why = refused { rules = YES }
      world.exe = exe
      assert.equal(ffi.C.FLUO_EIO, err)
      assert.truthy(why:find("No such file", 1, true))
    end)

    it("or fails cleanly at every allocation", function()
      for n = 1, 100 do
        local opened, err, _, it_was = world.open { rules = YES, fail_from = n }
        local last = opened or it_was
        last:close()
        if opened then
          assert.is_true(n > 3)
          return
        end
        assert.equal(ffi.C.FLUO_ENOMEM, err)
      end
      error("it never opened")
    end)
  end)

  describe("shuts its worker in:", function()
    local function status(pid)
      local file = assert(io.open(("/proc/%d/status"):format(pid)))
      local text = file:read("*a")
      file:close()
      return text
    end
    local function descriptors(pid)
      local list, pipe = {}, io.popen(("readlink /proc/%d/fd/* | sort"):format(pid))
      for line in pipe:lines() do list[#list + 1] = line:gsub("%d+", "N"):gsub(" .*", "") end
      pipe:close()
      return list
    end
    local sanitized = (os.getenv("LD_PRELOAD") or ""):find("asan") or (os.getenv("FLUO_LIB") or ""):find("asan")

    it("it has no descriptor but its socket, no new privileges, and a filter of system calls", function()
      open(YES)
      local pid = core.study_worker_pid(w.study)
      w:ask { { 0, w:span {} } }
      w:run()
      if sanitized then return end          -- which needs more than the filter lets through
      assert.truthy(status(pid):find("Seccomp:%s+2"))
      assert.truthy(status(pid):find("NoNewPrivs:%s+1"))
      assert.same({ "/dev/null", "/dev/null", "/dev/null", "socket:[N]" }, descriptors(pid))
    end)

    it("the rule process keeps only its control socket and its standard descriptors", function()
      open(YES)
      local found = descriptors(core.study_rules_pid(w.study))
      assert.same({ "/dev/null", "/dev/null", "/memfd:diagnostics", "socket:[N]" }, found)
    end)

    it("its arena cannot be written to, and its environment is empty", function()
      open(YES)
      for _, pid in ipairs { core.study_worker_pid(w.study), core.study_rules_pid(w.study) } do
        local file = assert(io.open(("/proc/%d/environ"):format(pid)))
        assert.equal("", file:read("*a"))
        file:close()
        local maps = assert(io.open(("/proc/%d/maps"):format(pid)))
        local text = maps:read("*a")
        maps:close()
        assert.truthy(text:find("r%-%-s [^\n]*memfd:fluo"))
        local _, writable = text:gsub("rw%-s [^\n]*memfd", "")
        assert.equal(1, writable)          -- the pulse page
      end
    end)
  end)

  describe("leaves behind", function()
    it("no process, and no descriptor", function()
      local function descriptors()
        collectgarbage()               -- what other specs have let go of is closed first
        local n = 0
        for fd = 0, 255 do if ffi.C.fcntl(fd, 1) >= 0 then n = n + 1 end end
        return n
      end
      local before = descriptors()
      open(YES)
      local worker, rules = core.study_worker_pid(w.study), core.study_rules_pid(w.study)
      w:close()
      w = nil
      assert.same({ -1, -1 }, { ffi.C.kill(worker, 0), ffi.C.kill(rules, 0) })
      assert.equal(before, descriptors())
    end)
  end)
end)
