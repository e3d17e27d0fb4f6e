-- The real agent, ended and started again over the same data directory.
local harness = require("spec.agent.harness")
local replay = require("spec.replay")

local RULES = [[
rule "logins" { when = window("10m", { name = "login" }):by("user"):count():over(3) }
rule "steps"  { when = sequence { by = "user", within = "10m", { name = "login" }, { name = "logout" } } }
]]

describe("an agent that is started again", function()
  local data, agents

  before_each(function()
    data, agents = os.tmpname(), {}
    os.remove(data)
  end)
  after_each(function()
    for _, agent in ipairs(agents) do agent:stop(9) end
    os.execute("rm -rf " .. data)
  end)

  local function start(rules, more)
    local options = { rules = rules or RULES, data = data }
    for key, value in pairs(more or {}) do options[key] = value end
    local agent = assert(harness.start(options))
    agents[#agents + 1] = agent
    return agent
  end

  local function stop(agent, signal)
    table.remove(agents)
    return agent:stop(signal)
  end

  local count = 0
  -- Requests of one span each, a millisecond apart, now.
  local function requests(names)
    local list, now = {}, (os.time() - 1760356800) * 1000
    for i, name in ipairs(names) do
      count = count + 1
      list[i] = { replay.span { name = name, id = name .. count, trace = "t" .. count, at = now + count, dur = 0,
                                attr = { user = "ada" } } }
    end
    return list
  end

  local function ids(found)
    local list = {}
    for i, v in ipairs(found) do list[i] = v.rule .. " " .. v.id .. " " .. v.span_total .. " " .. (v.spans[1].name or "") end
    table.sort(list)
    return list
  end

  local function line_of(log, text)
    for _, line in ipairs(log) do
      if line:find(text, 1, true) then return line end
    end
  end

  it("goes on where it was: the same violations as without a restart", function()
    local before, after = requests { "login", "login", "login" }, requests { "login", "login", "logout" }
    local a = start()
    a:send(before)
    assert.same({}, (stop(a)))
    local b = start()
    assert.equal(2, b:metrics().fluo_snapshot_restored_groups)
    b:send(after)
    local all = {}
    for _, request in ipairs(before) do all[#all + 1] = request end
    for _, request in ipairs(after) do all[#all + 1] = request end
    local whole = ids((replay.run(RULES, all)))
    assert.equal(2, #whole)
    assert.same(whole, ids((stop(b))))
  end)

  -- A call of one service by another, so long ago; live, what is over 30 s past is late.
  local function call(caller, seconds)
    count = count + 1
    local at, trace = (os.time() - seconds - 1760356800) * 1000, "call" .. count
    return { replay.span { name = "GET", id = "c", trace = trace, at = at, service = caller, kind = "CLIENT" },
             replay.span { name = "GET /", id = "s", parent = "c", trace = trace, at = at, service = "pay", kind = "SERVER" } }
  end

  it("knows who calls whom, and tells of a caller that is new", function()
    local rules = 'rule "edge" { when = window("8s", { kind = "SERVER" }):by("parent.service", "service"):first_seen() }\n'
    local a = start(rules)
    a:send { call("shop", 25), call("shop", 20), call("shop", 14), call("shop", 8), call("shop", 2) }
    assert.same({}, (stop(a)))
    local b = start(rules)
    assert.equal(2, b:metrics().fluo_snapshot_restored_groups)
    b:send { call("shop", 0), call("admin", 0), call("admin", 0) }
    local found = stop(b)
    assert.same({ 1, { ["parent.service"] = "admin", service = "pay" } }, { #found, found[1] and found[1].group })
  end)

  it("does not tell a crossing again", function()
    local a = start()
    a:send(requests { "login", "login", "login", "login" })
    assert.equal(1, #stop(a))
    local b = start()
    b:send(requests { "login", "login" })
    assert.same({}, (stop(b)))
  end)

  it("goes on from the last snapshot after a crash", function()
    local a = start()
    a:send(requests { "login", "login", "login" })
    a:await(function(page) return page.fluo_snapshots_total > 0 and page.fluo_snapshot_age_seconds == 0 end)
    a:send(requests { "login" })                                -- this one is forgotten
    stop(a, 9)
    local b = start()
    b:send(requests { "login" })
    local found = stop(b)
    assert.same({ 1, 4 }, { #found, found[1].value })
  end)

  it("drops what rules knew that have changed", function()
    local a = start()
    a:send(requests { "login", "login", "login" })
    stop(a)
    local b = start((RULES:gsub("over%(3%)", "over(2)")))
    local page = b:metrics()
    assert.same({ 1, 1 }, { page.fluo_snapshot_restored_groups, page.fluo_snapshot_dropped_groups })
    b:send(requests { "login" })
    local found, _, _, log = stop(b)
    assert.same({}, found)
    assert.is_truthy(line_of(log, '"rules_dropped":1'))
  end)

  it("sets a damaged snapshot aside, says so, and runs", function()
    local a = start()
    a:send(requests { "login", "login", "login" })
    stop(a)
    local file = assert(io.open(data .. "/state.snapshot", "r+b"))
    file:seek("end", -40)
    file:write("damaged!")
    file:close()
    local b = start()
    assert.is_truthy(b:metrics().fluo_snapshot_damaged_blocks > 0)
    b:send(requests { "login" })
    local found, _, status, log = stop(b)
    assert.same({}, found)
    assert.equal(0, status)
    assert.is_truthy(line_of(log, "is damaged"))
    assert(io.open(data .. "/state.snapshot.bad")):close()
    assert(io.open(data .. "/state.snapshot")):close()
  end)

  it("says which groups a snapshot has no room for, and keeps the others", function()
    local a, list, now = start(), {}, (os.time() - 1760356800) * 1000
    local long = 'rule "long" { when = sequence { by = "user", within = "10m", { name = prefix "x" }, { name = "y" } } }\n'
    stop(a)
    a = start(RULES .. long)
    for i = 1, 1100 do
      list[i] = replay.span { name = "x" .. i .. ("x"):rep(4500), id = "x" .. i, trace = "long", at = now, dur = 0,
                              attr = { user = "ada" } }
    end
    for i = 1, 1100, 100 do a:send { { unpack(list, i, i + 99) } } end
    a:send(requests { "login" })
    local _, _, _, log = stop(a)
    assert.is_truthy((line_of(log, "too large for the snapshot") or ""):find('"groups":1', 1, true))
    local b = start(RULES .. long)
    assert.equal(2, b:metrics().fluo_snapshot_restored_groups)
  end)

  it("says where nothing can be kept, and runs", function()
    data = os.tmpname()                                         -- a file
    local a = start()
    a:send(requests { "login", "login", "login", "login" })
    local found, _, status, log = stop(a)
    assert.same({ 1, 0 }, { #found, status })
    assert.is_truthy(line_of(log, "cannot be written"))
  end)

  it("writes nothing while nothing changes", function()
    local a = start()
    a:send(requests { "login" })
    stop(a)
    local b = start()
    assert.same({ 0, 0 }, { b:metrics().fluo_snapshot_age_seconds, b:metrics().fluo_snapshots_total })
  end)

  it("keeps the snapshot before where one cannot be written, and says so", function()
    local a = start()
    a:send(requests { "login", "login", "login" })
    stop(a)
    local b = start()
    os.execute("mkdir " .. data .. "/state.snapshot.new")
    b:send(requests { "login" })
    local found, _, status, log = stop(b)
    assert.same({ 1, 0 }, { #found, status })
    assert.is_truthy(line_of(log, "could not be written"))
    os.execute("rmdir " .. data .. "/state.snapshot.new")
    local c = start()
    c:send(requests { "login" })
    assert.equal(1, #stop(c))
  end)

  it("runs on where the disk is full, and counts what it could not write", function()
    local mount = "mount -t tmpfs -o size=16k none " .. data
    if os.execute(("mkdir -p %s && unshare -m bash -c '%s'"):format(data, mount)) ~= 0 then
      pending("nothing may be mounted here")
      return
    end
    local a = start(nil, { shell = ([[exec unshare -m bash -c '%s && exec "$@"' bash "$@"]]):format(mount) })
    local list, now = {}, (os.time() - 1760356800) * 1000
    for i = 1, 1000 do
      list[i] = replay.span { name = "login", id = "user" .. i, trace = "user" .. i, at = now, dur = 0, attr = { user = "user " .. i } }
    end
    a:send { list }
    a:await(function(page) return page.fluo_snapshot_failures_total > 0 end)
    a:send(requests { "login", "login", "login", "login" })
    local found, _, status, log = stop(a)
    assert.same({ 1, 0 }, { #found, status })
    assert.is_truthy(line_of(log, "No space left on device"))
  end)
end)
