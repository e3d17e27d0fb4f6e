-- Processes that are killed under load: what the ledger had is delivered at least once, by the ids that it had, and
-- nothing of it is another incident afterwards. The oracle is a copy of the ledger as each kill of the core left it, and
-- what the receivers wrote down. KILLS=200 makes more rounds, KILLS_SEED another run.
local ffi = require("ffi")
local alerting = require("spec.agent.alerting")
local replay = require("spec.replay")

local ROUNDS, SEED = tonumber(os.getenv("KILLS") or 20), tonumber(os.getenv("KILLS_SEED") or 1)
-- Violations a round: with a key of their own, and of one that all share. A rule has at most 1,000 incidents that burn.
local FRESH, HOT = 4, 3

local PROCESSES = { core = true, rules = "fluo: rules", worker = "fluo: worker", post = "fluo: post" }
local NAMES = { "core", "rules", "worker", "post" }

-- The process of the agent whose command line begins so.
local function child(agent, title)
  for pid in replay.text(("/proc/%d/task/%d/children"):format(agent.pid, agent.pid)):gmatch("%d+") do
    if replay.text("/proc/" .. pid .. "/cmdline"):sub(1, #title) == title then return tonumber(pid) end
  end
  return nil
end

describe("processes that are killed", function()
  local world, agent, truth, sent, killed
  local receivers = { "steady", "shaky" }

  before_each(function()
    math.randomseed(SEED)
    world = alerting.open()
    truth, sent, killed = { violations = {}, incidents = {}, counts = {} }, 0, {}
  end)
  after_each(function() world:close() end)

  local function start()
    local config = ('return { notify = { group_wait = "20ms" }, receivers = { steady = { type = "webhook", url = "%s" }, '
      .. 'shaky = { type = "webhook", url = "%s" } } }'):format(world.mock.url "/ok/steady", world.mock.url "/rarely/status/503")
    agent = world:start { rules = alerting.rule("pay", receivers), config = config }
  end

  -- What the ledger says now, beside what it said before.
  local function note(data)
    for _, row in ipairs(world:sql("select id, incident, trace_id from violations", data)) do
      truth.violations[row[1]] = { incident = row[2], trace = row[3] }
    end
    for _, row in ipairs(world:sql("select id, json_extract(grouped, '$.key'), count from incidents", data)) do
      local id, key, count = row[1], row[2], tonumber(row[3])
      assert.equal(truth.incidents[key] or id, id, key .. " was opened twice")
      assert.is_true(count >= (truth.counts[id] or 0), "a count went back")
      truth.incidents[key], truth.counts[id] = id, count
    end
  end

  local function note_dead()
    local copy = world.data .. ".copy"
    os.execute(("cp -r %s %s"):format(world.data, copy))               -- whoever opens a database mends it
    note(copy)
    os.execute("rm -r " .. copy)
  end

  local function load_it()
    local spans = {}
    for _ = 1, FRESH do
      sent = sent + 1
      spans[#spans + 1] = alerting.failure(sent)[1]
    end
    for _ = 1, HOT do
      sent = sent + 1
      spans[#spans + 1] = alerting.failure(sent, "hot")[1]
    end
    agent:send { spans }
  end

  local function kill(name)
    if name == "core" then
      world:stop(agent, 9)
      note_dead()
      start()
    else
      local pid = child(agent, PROCESSES[name])
      if not pid then return end
      ffi.C.kill(pid, 9)
    end
    killed[name] = (killed[name] or 0) + 1
  end

  -- By incident: the ids under which each receiver was told of its opening; and violations that came.
  local function delivered()
    local told, seen, of = {}, {}, {}
    for _, path in ipairs { "/ok/steady", "/rarely" } do
      for _, alert in ipairs(world:alerts(path)) do
        for _, incident in ipairs(alert.incidents) do
          local at = alert.receiver .. " " .. incident.id
          told[at] = told[at] or {}
          if alert.event == "opened" then told[at][alert.id] = true end
          assert.equal(of[alert.id] or incident.id, incident.id, "one delivery, two contents")
          of[alert.id] = incident.id
          for _, violation in ipairs(incident.violations) do seen[alert.receiver .. " " .. violation.id] = incident.id end
        end
      end
    end
    return told, seen
  end

  local function missing()
    local told, seen = delivered()
    local hot = truth.incidents.hot
    for id, v in pairs(truth.violations) do
      for _, receiver in ipairs(receivers) do
        if v.incident ~= hot and not seen[receiver .. " " .. id] then return receiver .. " has no violation " .. id end
      end
    end
    for _, id in pairs(truth.incidents) do
      for _, receiver in ipairs(receivers) do
        if not told[receiver .. " " .. id] then return receiver .. " has no incident " .. id end
      end
    end
    return nil
  end

  it("cost nothing that the ledger had, and open nothing twice", function()
    start()
    for _ = 1, ROUNDS do
      load_it()
      ffi.C.poll(nil, 0, math.random(0, 250))                          -- a moment at random: nothing is waited for
      kill(NAMES[math.random(#NAMES)])
    end
    load_it()
    agent:settle()
    world:until_true("all of the last round", function() return #world:sql(("select 1 from violations where trace_id = '%s'")
      :format(replay.trace_id("t" .. sent))) == 1 end)
    note(world.data)
    local last
    local ok = pcall(world.until_true, world, "everything delivered", function()
      last = missing()
      return not last and #world:sql("select 1 from deliveries where state = 0") == 0
    end)
    assert.is_true(ok, last or "deliveries are left")
    local told = delivered()
    for at, ids in pairs(told) do
      local n = 0
      for _ in pairs(ids) do n = n + 1 end
      assert.is_true(n <= 1, at .. " was told under several ids")
    end
    local of_hot = 0
    for id, v in pairs(truth.violations) do
      assert.is_truthy(truth.counts[v.incident], "violation without incident " .. id)
      if v.incident == truth.incidents.hot then of_hot = of_hot + 1 end
    end
    world:until_true("a count of all violations", function()
      note(world.data)
      return truth.counts[truth.incidents.hot] >= of_hot
    end)
    if os.getenv("KILLS") then
      local kept, incidents, came = 0, 0, 0
      for _ in pairs(truth.violations) do kept = kept + 1 end
      for _ in pairs(truth.incidents) do incidents = incidents + 1 end
      for _, path in ipairs { "/ok/steady", "/rarely" } do came = came + #world:alerts(path) end
      print(("%d rounds (core %d, rules %d, worker %d, post %d): sent %d, violations kept %d, incidents %d, requests %d, of one incident %d, counted %d")
        :format(ROUNDS, killed.core or 0, killed.rules or 0, killed.worker or 0, killed.post or 0, sent, kept, incidents, came,
          of_hot, truth.counts[truth.incidents.hot]))
    end
  end)
end)
