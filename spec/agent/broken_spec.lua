-- The real agent in a world that fails from within: allocations of all of its libraries, and the clock of the day.
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local span = replay.span

local RULES = [[
rule "span" { when = { status = "ERROR" } }
rule "function" { when = { where = function(s) return s.status == "ERROR" end } }
rule "missing" { when = trace.has { name = "a" } * trace.missing { name = "never" } }
]]
local sanitized = (os.getenv("LD_PRELOAD") or ""):find("asan")

local library
local function broken(words, options)
  library = library or os.tmpname()
  options.rules = RULES
  options.shell = ('%s LD_PRELOAD="$LD_PRELOAD %s" exec "$@"'):format(words, library)
  return harness.start(options)
end

local function counts_of(found)
  local counts, ids = {}, {}
  for _, v in ipairs(found) do
    counts[v.rule] = (counts[v.rule] or 0) + 1
    assert.is_nil(ids[v.id])
    ids[v.id] = true
  end
  return counts
end

local function request(i)
  return cjson.encode(replay.request { span { name = "a", trace = "t" .. i, status = "ERROR", attr = { text = ("x"):rep(200) } },
    span { name = "b", trace = "t" .. i } })
end

describe("the agent", function()
  setup(function()
    library = os.tmpname()
    assert(os.execute(("cc -D_GNU_SOURCE -shared -fPIC -O1 -o %s spec/agent/broken_world.c -ldl"):format(library)))
  end)
  teardown(function() os.remove(library) end)

  -- ---- memory ----------------------------------------------------------------------------------------

  for _, every in ipairs { 2, 3, 5, 7, 13, 31 } do
    it(("lives while every %dth allocation of the process fails, and its books balance"):format(every), function()
      if sanitized then return end                           -- whose allocator cannot be stood before
      local agent = assert(broken("BROKEN_EVERY=" .. every, { flags = { "--trace.idle=1s" } }))
      local answered = 0
      for i = 1, 60 do
        local status = agent:post(request(i))
        if status == 200 then answered = answered + 1 end
      end
      local found, totals, status, log = agent:stop()
      assert.equal(0, status)
      assert.truthy(totals.received >= 2 * answered)
      local counts = counts_of(found)                        -- where none comes twice
      for _, n in pairs(counts) do assert.truthy(n <= 60) end
      -- What had been evaluated and has no violation is told, one way or another.
      if totals.dropped_memory == 0 and not table.concat(log):find("could not be written", 1, true) then
        assert.equal(totals.received, 2 * (counts.span or 0))
      end
    end)
  end

  it("starts, or says in a line why not, whichever allocation fails", function()
    if sanitized then return end
    local started, told = 0, 0
    for at = 1, 400, 7 do
      local agent, ended = broken("BROKEN_AT=" .. at, {})
      if agent then
        started = started + 1
        local _, _, status = agent:stop()
        assert.equal(0, status)
      else
        told = told + 1
        local line = ended.log[#ended.log] or ""
        local libuv = ended.signal == 6 and line == "fluo: out of memory: the event loop cannot grow"
        assert.truthy(libuv or ended.status > 0 and ended.signal == 0 and #line > 10,
          ("at %d: status %d, signal %d: %s"):format(at, ended.status, ended.signal, table.concat(ended.log, "\n")))
      end
    end
    assert.truthy(started > 0 and told > 20)
  end)

  -- ---- the clock of the day --------------------------------------------------------------------------

  it("goes on by its own clock when that of the day jumps: traces close in time, nothing is lost or doubled", function()
    local clock = os.tmpname()
    local agent = assert(broken("BROKEN_CLOCK=" .. clock, { flags = { "--trace.idle=1s" } }))
    local times = {}
    for i, off in ipairs { 0, 3600, -3600, 0, -7200 } do
      agent:send { { span { name = "a", trace = "before " .. i, status = "ERROR" } } }
      replay.write(clock, off)
      agent:send { { span { name = "a", trace = "after " .. i, status = "ERROR" } } }
      for _, name in ipairs { "before ", "after " } do
        local id = replay.trace_id(name .. i)
        local last = agent:read_log(function(line)
          return line:find(id, 1, true) and line:find('"rule":"missing"', 1, true)
        end)
        times[i] = cjson.decode(last).time
      end
    end
    local found, totals, status = agent:stop()
    os.remove(clock)
    -- The log has the clock of the day, which really jumped.
    assert.truthy(times[5] < times[3] and times[3] < times[1] and times[1] < times[2])
    assert.same({ 10, 0 }, { totals.evaluated, status })
    assert.same({ span = 10, ["function"] = 10, missing = 10 }, counts_of(found))
    for _, v in ipairs(found) do
      if v.rule ~= "missing" then assert.equal(replay.clock(10), v.time) end          -- the end of the span
    end
  end)
end)
