-- The spine of the agent, broken at every place: each allocation fails in turn, and each process of the study is
-- killed between any two messages. Spans stay accounted for, violations are those of an undisturbed run.
local spine = require("spec.core.spine")
local cjson = require("cjson")
local replay = require("spec.replay")
local support = require("spec.support")
local wire = require("spec.otlp_writer")
local core, ffi = spine.core, spine.ffi
local span = replay.span

local RULES = [[
rule "span" { when = { status = "ERROR" } }
rule "function" { when = { where = function(s) return s.status == "ERROR" end } }
rule "value" { when = { n = function(v) return v > 1 end } }
rule "pair" { when = trace.has { name = "a" }:followed_by { name = "b", where = function(s) return true end } }
rule "missing" { when = trace.has { name = "a" } * trace.missing { name = "never", where = function() return true end } }
rule "late" { when = trace.has { name = "a" } * trace.has { name = "c", where = function() return true end }, late = true }
]]

local OTHER = RULES .. 'rule "extra" { when = { name = "a", where = function() return false end } }'

local gzip = support.gzip

local function json(trace)
  return cjson.encode(replay.request { span { name = "a", trace = trace, status = "ERROR", attr = { n = 2 } },
    span { name = "b", trace = trace, at = 5, parent = "a" } })
end

local function late(trace) return cjson.encode(replay.request { span { name = "c", trace = trace, at = 6 } }) end

local function protobuf(trace)
  local id = trace .. ("."):rep(16 - #trace)
  return wire.body { wire.span { trace_id = id, name = "a", status = 2, attributes = { n = 2 } },
    wire.span { trace_id = id, span_id = "spanspan", name = "b", start_ns = 5, end_ns = 7 } }
end

local BODIES = {
  protobuf = { protobuf("pb"), { type = spine.PROTOBUF } },
  json = { json("json"), { type = spine.JSON } },
  gzip = { gzip(json("gzip")), { type = spine.JSON, encoding = "gzip" } },
}

-- As a client does: what found no memory comes again.
local function post(s, body)
  local status = s:post(body[1], body[2])
  if status == 503 then status = s:post(body[1], body[2]) end
  assert.equal(200, status)
end

-- Everything that can happen to spans, in one order.
local function story(s, other_rules)
  for _, kind in ipairs { "protobuf", "json", "gzip" } do
    post(s, BODIES[kind])
    if kind == "protobuf" and other_rules then s:reload(other_rules) end
    s:turn()
  end
  s:run()
  post(s, BODIES.json)                                                -- once more: duplicates
  s:advance(11)
  s:run()
  post(s, { late("json"), { type = spine.JSON } })
  s:run()
  post(s, { json("last"), { type = spine.JSON } })
  s:run()
  s:close_all()
  s:run()
  s:advance(61)                                                       -- what was kept is let go
end

-- One answer is unknown: whether a span is missing from the trace that was cut.
local function undisturbed()
  local s = assert(spine.open(RULES))
  story(s)
  local found, events = s.found, s.events
  assert.same({ {}, 1, 9, 2 }, { s.said, s:unknown(), tonumber(s:stats().evaluated), tonumber(s:stats().dropped[0]) })
  s:finish()
  return found, events
end

-- Sums of violations by rule, of the traces that were not cut.
local function by_rule(found)
  local sums = {}
  for key, n in pairs(found) do
    local rule = key:match("^%S+")
    sums[rule] = (sums[rule] or 0) + n
  end
  return sums
end

-- Nothing twice, nothing made up, and nothing lost that is not counted.
local function check_losses(s, wanted)
  local e, study, whole = s:stats(), s:study_stats(), true
  for key, times in pairs(s.found) do assert.same({ 1, 1 }, { times, wanted[key] }, key) end
  for key in pairs(wanted) do whole = whole and s.found[key] ~= nil end
  local counted = s:unknown() > 1 or e.hits_lost > 0 or e.dropped[1] > 0 or study.given_up > 0
    or s:forgotten() > 0
  assert.truthy(whole or counted)
  assert.equal(0, tonumber(e.in_flight))
end

-- A reload that was asked for ended, well or not; only rules in force are alive then. What was said are deaths. Rules
-- that are others on disk by now cannot be had again, where both processes have died; and what was stopped may not be
-- what is killed, so that it hangs.
local function check_after_deaths(s, other_rules)
  assert.equal(1, core.host_editions(s.host))
  assert.equal(other_rules and 1 or 0, #s.reloads)
  for _, line in ipairs(s.said) do
    local more = other_rules and (line:find("^%S+ the rules have changed on disk$") or line:find("made no progress$")
      or line:find("does not answer$"))
    assert.truthy(more or line == "fault nobody the worker died" or line == "trouble the rule process died", line)
  end
end

local function check_canary(s)
  s.found = {}
  post(s, { json("canary"), { type = spine.JSON } })
  s:run()
  s:advance(11)
  s:run()
  assert.same({ span = 1, ["function"] = 1, value = 1, pair = 1, missing = 1 }, by_rule(s.found))
end

describe("the spine", function()
  setup(function() jit.off() end)
  teardown(function() jit.on() end)

  it("gives every violation once when nothing is wrong", function()
    assert.same({ span = 4, ["function"] = 4, value = 4, pair = 4, missing = 3, late = 1 }, by_rule((undisturbed())))
  end)

  -- ---- processes die ---------------------------------------------------------------------------------

  local KILL, STOP = 9, 19
  -- What happens before event k, and after it. A process that is stopped gets the messages and does nothing with
  -- them; one that is killed before had sent its own, which are read after its death.
  local DEATHS = {
    ["the worker dies, what it had said is read after its death"] = function(s) return function() s:kill("worker", KILL) end end,
    ["the worker dies before it looks at what it is told"] = function(s)
      return function() s:kill("worker", STOP) end, function() s:kill("worker", KILL) end
    end,
    ["the rule process dies"] = function(s) return function() s:kill("rules", KILL) end end,
    ["both die"] = function(s)
      return function() s:kill("worker", KILL) s:kill("rules", KILL) end
    end,
    ["the worker dies, and the rule process before it looks at FORK"] = function(s)
      return function() s:kill("rules", STOP) s:kill("worker", KILL) end, nil, function() s:kill("rules", KILL) end
    end,
    ["the worker dies, and the rule process right after FORK"] = function(s)
      return function() s:kill("worker", KILL) end, nil, function() s:kill("rules", KILL) end
    end,
    ["all that is loaded or drains dies"] = function(s) return function() s:kill("others", KILL) end end,
    ["all that is loaded or drains dies before it looks at what it is told"] = function(s)
      return function() s:kill("others", STOP) end, function() s:kill("others", KILL) end
    end,
    ["the worker dies, and so does its successor before its first word"] = function(s)
      return function() s:kill("worker", KILL) end, nil, function() s:kill("worker", KILL) end
    end,
  }

  -- Every moment of a story in turn, until one is beyond its end. Returns how many processes died.
  local function at_any_moment(death, other_rules)
    local wanted, at, reached, kills = undisturbed(), 0, true, 0
    while reached do
      at, reached = at + 1, false
      local s = assert(spine.open(RULES))
      local before, after, next_after = death(s)
      s.hurry = other_rules ~= nil
      s.before = function(k) if k == at then before() end end
      s.after = function(k)
        if k == at and after then after() end
        if k == at + 1 and next_after then next_after() end
        reached = reached or k > at
        s:stats()
      end
      story(s, other_rules)
      if other_rules then check_losses(s, wanted) else assert.same(wanted, s.found) end
      assert.same({ 9, 0 }, { tonumber(s:stats().evaluated), tonumber(s:stats().in_flight) })
      check_after_deaths(s, other_rules)
      kills = kills + (s.kills or 0)
      s:finish()
    end
    assert.truthy(at > 10)
    return kills
  end

  for what, death in pairs(DEATHS) do
    local others = what:find("^all that is loaded")
    if not others then
      it("loses nothing and doubles nothing where " .. what .. ", at any moment", function()
        assert.truthy(at_any_moment(death) > 10)
      end)
    end

    it("where rules are loaded anew and " .. what .. ", loses nothing that is not counted", function()
      assert.truthy(at_any_moment(death, OTHER) >= (others and 2 or 10))
    end)
  end

  -- ---- allocations fail ------------------------------------------------------------------------------

  local FAIL = { ["the n-th allocation"] = core.heap_fail_only, ["every allocation from the n-th on"] = core.heap_fail_from }

  for how, fail in pairs(FAIL) do
    it("opens, or says that there is no memory and leaves nothing behind: " .. how .. " fails", function()
      local n, failed = 0, 0
      repeat
        n = n + 1
        fail(n)
        local s, err, why = spine.open(RULES)
        local broke = core.heap_failed() > 0
        core.heap_fail_from(0)
        if s then
          s:finish()
        else
          failed = failed + 1
          assert.equal(ffi.C.FLUO_ENOMEM, err, why)
        end
      until not broke
      assert.truthy(failed > 20)
    end)

    for what, row in pairs({
      ["of a run"] = { {} },
      ["of one in which the processes of the study die"] = { { "worker", "rules" } },
      ["of one in which rules are loaded anew"] = { {}, OTHER },
    }) do
      it(("accounts for every span and violation, and serves the next request: %s %s fails"):format(how, what), function()
        local wanted = undisturbed()
        local n, broke = 0, true
        while broke do
          n = n + 1
          local s = assert(spine.open(RULES))
          s.before = function(k) if k == 3 then for _, victim in ipairs(row[1]) do s:kill(victim, KILL) end end end
          -- Memory is short for the rest of one event; a client that was told so sends its request again.
          s.after = function()
            if core.heap_failed() > 0 then
              broke = true
              core.heap_fail_from(0)
            end
            s:stats()
          end
          broke = false
          fail(n)
          story(s, row[2])
          core.heap_fail_from(0)
          assert.equal(row[2] and 1 or 0, #s.reloads)
          check_losses(s, wanted)
          check_canary(s)
          s:finish()
        end
        assert.truthy(n > 50)
      end)
    end
  end
end)
