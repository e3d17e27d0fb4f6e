-- The world fails around the real agent: descriptors, disks, pipes, processes, signals. It says so, loses nothing
-- that it took without counting it, and leaves no process behind.
local ffi = require("ffi")
local cjson = require("cjson")
local hostile = require("spec.agent.hostile")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local socket = require("spec.agent.socket")
local span = replay.span

ffi.cdef [[
long syscall(long, ...);
int mkfifo(const char *, unsigned);
]]
local PIDFD_OPEN = 434

local RULES = 'rule "failed" { when = { status = "ERROR" } }\n'
  .. 'rule "asked" { when = { where = function(s) return s.status == "ERROR" end } }\n'
local O_RDONLY, O_NONBLOCK = 0, 2048

-- ---- processes ------------------------------------------------------------------------------------

-- Descriptors that become readable when the agent's children have ended.
local function watch(agent)
  local list = {}
  for _, pid in ipairs(hostile.children(agent.pid)) do
    local fd = tonumber(ffi.C.syscall(PIDFD_OPEN, ffi.cast("int", pid), ffi.cast("int", 0)))
    if fd >= 0 then list[#list + 1] = fd end
  end
  return list
end

local function all_gone(fds)
  for _, fd in ipairs(fds) do
    local poll = ffi.new("struct spec_pollfd[1]", { { fd = fd, events = 1 } })
    local ended = ffi.C.poll(poll, 1, socket.PATIENCE_S * 1000) == 1
    ffi.C.close(fd)
    if not ended then return false end
  end
  return true
end

-- The child whose title is this; waits for it to be there.
local function child(agent, title)
  return socket.until_true(function()
    for _, pid in ipairs(hostile.children(agent.pid)) do
      local file = io.open(("/proc/%d/cmdline"):format(pid))
      local text = file and file:read("*a")
      if file then file:close() end
      if text and text:find("^" .. title) then return pid end
    end
  end)
end

local function errors(n)
  local spans = {}
  for i = 1, n do spans[i] = span { name = "s" .. i, trace = "t" .. i, status = "ERROR" } end
  return { spans }
end

-- What the agent's last line of the log says, where its books must balance.
local function totals_of(log)
  for _, line in ipairs(log) do
    if line:find('"message":"stopped"', 1, true) then
      local t = cjson.decode(line)
      assert(t.received == t.evaluated + t.rejected + t.duplicates + t.dropped_memory + t.in_flight, line)
      return t
    end
  end
end

local function counts_of(found)
  local counts = {}
  for _, v in ipairs(found) do counts[v.rule] = (counts[v.rule] or 0) + 1 end
  return counts
end

-- ---- outputs --------------------------------------------------------------------------------------

describe("an output that fails", function()
  for what, options in pairs({
    ["a full disk under a file"] = { flags = { "--output.violations=/dev/full" }, error = "No space left on device" },
    ["a full disk under stdout"] = { shell = 'exec "$@" >/dev/full', error = "No space left on device" },
    ["a pipe that nobody reads"] = { shell = 'exec "$@" > >(exit 0)', error = "Broken pipe" },
  }) do
    it("costs what was written to it, counted and said, and nothing else: " .. what, function()
      options.rules = RULES
      local agent = assert(harness.start(options))
      agent:send(errors(3))
      for _ = 1, 3 do agent:read_log(function(line) return line:find('"rule":"asked"', 1, true) end) end
      if what:find("file") then agent:await(function(page) return page.fluo_output_failed_lines_total == 6 end) end
      agent:send({ { span { name = "later", trace = "later", status = "ERROR" } } })
      agent:read_log(function(line) return line:find('"rule":"asked"', 1, true) end)
      local function says(line) return line:find("violations could not be written to the output", 1, true) end
      local said = says(table.concat(agent.log, "\n")) and table.concat(agent.log, "\n") or agent:read_log(says)
      assert.truthy(said:find(options.error, 1, true), said)
      local _, totals, status = agent:stop()
      assert.same({ 4, 0 }, { totals.evaluated, status })
    end)
  end

  it("is not confused with another descriptor where stdin and stdout are closed from the start", function()
    local agent = assert(harness.start { rules = RULES, shell = 'exec "$@" <&- >&-' })
    agent:send(errors(3))
    for _ = 1, 3 do agent:read_log(function(line) return line:find('"rule":"asked"', 1, true) end) end
    assert.equal(200, (agent:post("{}")))
    local found, totals, status, log = agent:stop()
    assert.same({ 0, 3, 0 }, { #found, totals.evaluated, status })
    for _, line in ipairs(log) do assert.is_truthy(pcall(cjson.decode, line), line) end
  end)

  it("that nobody reads is waited for at the end, for five seconds at most, and said", function()
    local path = os.tmpname()
    os.remove(path)
    ffi.C.mkfifo(path, 384)
    local fd = ffi.C.open(path, O_RDONLY + O_NONBLOCK)
    local agent = assert(harness.start { rules = RULES, stdout = path })
    for _ = 1, 5 do agent:send(errors(400)) end
    ffi.C.kill(agent.pid, 15)
    local ended = agent:finish()
    ffi.C.close(fd)
    assert.equal(1, ended.status)
    assert.equal(400, totals_of(ended.log).evaluated)
    assert.truthy(table.concat(ended.log):find("violations were lost", 1, true))
  end)

  it("may be the log: a reader that never reads holds up nobody", function()
    local rules, spans = {}, {}
    for i = 1, 5 do
      rules[i] = ('rule "r%d" { when = { status = "ERROR" }, actions = { log "%s" } } -- fluo: allow same-condition\n'):format(i, ("x"):rep(4000))
    end
    for i = 1, 400 do spans[i] = span { name = "s", trace = "r" .. i, status = "ERROR" } end
    local agent = assert(harness.start { rules = table.concat(rules) })
    agent:send { spans }
    assert.equal(200, (agent:post("{}")))
    local page = agent:metrics()
    local dropped = page['fluo_output_dropped_lines_total{output="log"}']
    assert.truthy(dropped > 0)
    -- Read what waited, so that there is room for the agent's last line.
    local function withheld(output)
      local lines = 0
      for i = 1, 5 do lines = lines + (page[('fluo_rule_withheld_lines_total{rule="r%d",output="%s"}'):format(i, output)] or 0) end
      return lines
    end
    local kept = 2000 - dropped - withheld("log")
    agent:read_log(function(line)
      if line:find('"message":"violation"', 1, true) then kept = kept - 1 end
      return kept == 0
    end)
    local found, totals = agent:stop()
    assert.same({ 2000, 400 }, { #found + withheld("violations"), totals.evaluated })
  end)
end)

-- ---- descriptors ----------------------------------------------------------------------------------

describe("without descriptors", function()
  local function full(agent)
    local list = {}
    for i = 1, 60 do list[i] = hostile.connect(agent) end
    return list
  end

  it("connections wait, those that stand are served, and all is well when some are free again", function()
    local agent = hostile.start { shell = 'ulimit -n 40; exec "$@"' }
    hostile.alive(agent)
    local list = full(agent)
    for _ = 1, 3 do hostile.alive(agent) end
    for _, c in ipairs(list) do c:close() end
    agent.connection:close()
    agent.connection = nil
    hostile.alive(agent)
    hostile.stop(agent)
  end)

  it("a worker that dies is replaced as soon as there are some", function()
    local agent = hostile.start { shell = 'ulimit -n 40; exec "$@"' }
    hostile.alive(agent)
    local list = full(agent)
    ffi.C.kill(child(agent, "fluo: worker"), 9)
    local head, body = hostile.request(cjson.encode(replay.request({ span { name = "x" } })), hostile.JSON)
    agent.connection:send(head .. body)
    assert.equal(200, agent.connection:answer().status)
    for _, c in ipairs(list) do c:close() end
    hostile.alive(agent)
    hostile.stop(agent)
  end)
end)

-- ---- processes that die ---------------------------------------------------------------------------

describe("processes of the study", function()
  it("may both be killed, again and again: rules go on", function()
    local agent = hostile.start()
    for _ = 1, 5 do
      ffi.C.kill(child(agent, "fluo: rules"), 9)
      hostile.alive(agent)
      ffi.C.kill(child(agent, "fluo: worker"), 9)
      hostile.alive(agent)
    end
    hostile.stop(agent)
  end)

  it("may be killed a hundred times under load: no violation is lost, none comes twice", function()
    local build = replay.fluo:match("^(.*)/") .. "/load"
    assert(os.execute(("cc -O2 -D_GNU_SOURCE -pthread -o %s spec/bench/load.c spec/bench/payload.c"):format(build)))
    local agent = assert(harness.start { flags = { "--trace.idle=2s" }, rules = RULES .. [[
rule "trace" { when = trace.has { status = "ERROR" } * trace.has { service = "never" }:not_() }
]] })
    local load = io.popen(("%s --requests=1200 --spans=64 --seed=7 --rate=19200 %s"):format(build, agent.otlp:match(":(%d+)$")))
    local kills, last, wanted = 0, nil, hostile.weighed and 100 or 20      -- a fork is slow under a sanitizer
    while kills < wanted do
      last = socket.until_true(function()
        local pid = child(agent, "fluo: worker")
        return pid ~= last and pid
      end)
      -- It has done something: what is asked here, also where the load is over.
      local replies = agent:metrics().fluo_study_replies_total
      kills = kills + 1
      agent:send { { span { name = "own", trace = "own " .. kills, status = "ERROR" } } }
      agent:await(function(page) return page.fluo_study_replies_total > replies end)
      ffi.C.kill(last, 9)
    end
    local sent = cjson.decode(load:read("*a"))
    load:close()
    agent:await(function(page) return page.fluo_study_restarts_total >= wanted end)
    local page = agent:settle()
    local found, totals, status = agent:stop()
    local ids, counts = {}, counts_of(found)
    for _, v in ipairs(found) do
      assert.is_nil(ids[v.id])
      ids[v.id] = true
    end
    assert.same({ sent.spans + wanted, 0 }, { totals.received, status })
    assert.truthy(counts.failed > 500)
    -- Where the machine is too slow for the load, answers are given up: each is counted, and no other is missing.
    local unknown, shed = page['fluo_rule_unknown_total{rule="asked"}'], page.fluo_shed_questions_total
    local missing = counts.failed - counts.asked
    assert.is_true(0 <= missing and missing <= unknown and unknown <= shed, ("%d, %d, %d"):format(missing, unknown, shed))
    assert.truthy(page.fluo_study_restarts_total >= wanted)
  end)

  it("that hang while there is nothing to do are noticed: a worker is replaced before its next job", function()
    local agent = hostile.start()
    ffi.C.kill(child(agent, "fluo: worker"), 19)
    agent:read_log(function(line) return line:find("made no progress", 1, true) end)
    hostile.alive(agent)
    assert.is_true(agent:metrics().fluo_study_restarts_total >= 1)      -- a machine that pauses for a second costs one more
    hostile.stop(agent)
  end)

  it("that cannot be forked are tried again", function()
    local other = "setpriv --reuid=54321 --regid=54321 --clear-groups -- "
    if replay.shell(other .. "test -x " .. replay.fluo) ~= 0 then
      pending("a limit on processes binds only who is not root, and this user cannot become another one")
      return
    end
    local agent = hostile.start { shell = "exec " .. other .. '"$@"' }
    local rules = child(agent, "fluo: rules")
    local function limit(n)          -- as that user: root may lack the right to
      assert.equal(0, (replay.shell(("%s prlimit --pid %d --nproc=%d:"):format(other, rules, n))))
    end
    limit(1)
    ffi.C.kill(child(agent, "fluo: worker"), 9)
    local trace = replay.trace_id("canary 1")
    agent:send { { span { name = "canary", trace = "canary 1", status = "ERROR" } } }
    agent:read_log(function(line) return line:find("replaced", 1, true) end)
    agent:read_log(function(line)
      return line:find("is tried again", 1, true) and line:find("no worker can be forked: Resource temporarily", 1, true)
    end)
    limit(100)
    agent.canaries = 1
    agent:read_log(function(line) return line:find(trace, 1, true) and line:find('"rule":"asked"', 1, true) end)
    hostile.stop(agent)
  end)
end)

-- ---- signals --------------------------------------------------------------------------------------

describe("SIGTERM", function()
  -- The kernel's word on whether the process takes the signal itself.
  local function catches(pid)
    local file = io.open(("/proc/%d/status"):format(pid))
    local text = file:read("*a")
    file:close()
    return math.floor(tonumber(text:match("SigCgt:%s+(%x+)"), 16) / 2 ^ 14) % 2 == 1
  end

  for _, ms in ipairs({ 0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 100, 900 }) do
    it(("%d ms after the start leaves nothing behind, and is an end like any other"):format(ms), function()
      local agent = assert(harness.start { rules = RULES, early = true })
      socket.until_true(function() return catches(agent.pid) end)
      local poll = ffi.new("struct spec_pollfd[1]", { { fd = -1 } })
      ffi.C.poll(poll, 1, ms)                      -- a moment, not a wait for something
      local fds = watch(agent)
      ffi.C.kill(agent.pid, 15)
      local ended = agent:finish()
      assert.same({ 0, 0 }, { ended.status, ended.signal })
      assert.is_true(all_gone(fds))
    end)
  end

  it("amid requests counts every span that was answered", function()
    for after = 1, 8 do
      local agent = assert(harness.start { rules = RULES })
      local fds, c, answered = watch(agent), hostile.connect(agent), 0
      for i = 1, 20 do
        local head, body = hostile.request(cjson.encode(replay.request({
          span { name = "s", trace = "t" .. i, status = "ERROR" } })), hostile.JSON)
        if not c:send(head .. body) then break end
        if i == after then ffi.C.kill(agent.pid, 15) end
        local answer = c:answer()
        if not answer then break end
        if answer.status == 200 then answered = answered + 1 end
      end
      c:close()
      local found, totals, status = agent:stop(0)           -- the signal is out already
      assert.equal(0, status)
      assert.truthy(totals.received >= answered and answered >= after - 1)
      local counts = counts_of(found)
      assert.same({ totals.received, totals.received }, { counts.failed or 0, counts.asked or 0 })
      assert.is_true(all_gone(fds))
    end
  end)

  it("waits for what is being judged; a second one ends at once", function()
    local agent = assert(harness.start { rules = RULES .. [[
rule "slow" { when = { where = function(s) local n = 0 for i = 1, 2e7 do n = n + i % 7 end return n < 0 end } }
]] })
    local fds = watch(agent)
    agent:send(errors(100))
    ffi.C.kill(agent.pid, 15)
    agent:read_log(function(line) return line:find("draining", 1, true) end)
    ffi.C.kill(agent.pid, 15)
    local ended = agent:finish()
    assert.same({ 143, 0 }, { ended.status, ended.signal })
    assert.is_true(all_gone(fds))
  end)
end)
