-- `fluo record` beside a running agent: what it writes is replayed as it was judged, and nothing holds up the agent.
local cjson = require("cjson")
local client = require("spec.agent.client")
local replay = require("spec.replay")
local socket = require("spec.agent.socket")

local FIXTURES = "spec/fixtures/otlp/"
local RETRY = [[
rule "retry" { when = trace.has { name = "a", status = "ERROR" }:followed_by { name = "a", status = "OK" } }
rule "lonely" { when = trace.has { name = "a" } * trace.missing { name = "b" } }
rule "slow" { when = { duration = gt "1s" } }
]]

local Recorder = {}
Recorder.__index = Recorder

-- Starts it, and waits until it records.
local function record(address, flags)
  local path = os.tmpname()
  local words = ("unset LD_PRELOAD; exec 3>&1; sh -c 'echo $$ >&3; exec %s record --listen.admin=%s %s' 2>&3 >%s; echo status $? >&3")
    :format(replay.fluo, address, flags or "", path)
  local self = setmetatable({ path = path, said = {} }, Recorder)
  self.pipe = io.popen("(" .. words .. ")")
  self.pid = self.pipe:read("*l")
  self.said[1] = self.pipe:read("*l")
  return self
end

-- Waits for its end: what it wrote, its last words, its status.
function Recorder:finish()
  for line in self.pipe:lines() do self.said[#self.said + 1] = line end
  self.pipe:close()
  local text = assert(io.open(self.path, "rb")):read("*a")
  os.remove(self.path)
  local status = table.remove(self.said):match("status (%d+)")
  return text, self.said[#self.said], tonumber(status)
end

local function replayed(text, rules, flags)
  local path, file = os.tmpname(), replay.rule_file(rules)
  replay.write(path, text)
  local status, out, err = replay.shell(("%s replay --rules %s %s %s"):format(replay.fluo, file, flags or "", path))
  os.remove(path)
  os.remove(file)
  assert.equal(0, status, err)
  -- Under a sanitizer there is no filter, and that is said.
  assert.equal("", (err:gsub("fluo: warning: rules run without a system call filter[^\n]*\n", "")))
  local found = {}
  for line in out:gmatch("[^\n]+") do found[#found + 1] = cjson.decode(line) end
  return found
end

local function sorted(found)
  local list = {}
  for i, v in ipairs(found) do list[i] = ("%s %s %s"):format(v.id, v.rule, cjson.encode(v.spans)) end
  table.sort(list)
  return list
end

local function short(text, trace)
  return { replay.arrival(text, trace) }
end

-- One behind the other in one piece, so that no trace has time to be over amid them.
local function send_at_once(agent, requests)
  local c, text = client.connect(agent), {}
  for i, request in ipairs(requests) do text[i] = client.request(cjson.encode(replay.request(request[1]))) end
  assert(c:send(table.concat(text)))
  for _ = 1, #requests do assert.equal(200, c:answer().status) end
  c:close()
end

local IDLE = "--trace.idle=1s"

describe("a recording", function()
  it("replays to the violations that the agent found, whatever clients send", function()
    local recorder, files
    local found = client.with({ rules = RETRY, flags = { IDLE } }, function(agent)
      recorder = record(agent.admin)
      files = 0
      for path in io.popen("ls " .. FIXTURES .. "*.pb " .. FIXTURES .. "*.json"):lines() do
        local body = assert(io.open(path, "rb")):read("*a")
        local type = path:find("json$") and client.JSON or client.PROTOBUF
        if not path:find("meta") and agent:post(body, type) == 200 then files = files + 1 end
      end
      agent:send(short("a1@0! a2@5", "one"))
      agent:send(short("a1@0+1500", "two"))
      agent:settle()                           -- else its end cuts traces, whose absences are known in a replay
    end)
    local text, said, status = recorder:finish()
    assert.equal(1, status)
    assert.truthy(said:find("the agent has ended: ", 1, true), said)
    assert.is_true(files > 5)
    assert.is_true(#found >= 4)
    assert.same(sorted(found), sorted(replayed(text, RETRY, IDLE)))
  end)

  it("is that of one trace", function()
    local recorder
    client.with({ rules = RETRY }, function(agent)
      recorder = record(agent.admin, "--trace " .. replay.trace_id("two"):upper())
      agent:send(short("a1@0", "one"))
      agent:send(short("a1@0", "two"))
    end)
    local text = recorder:finish()
    assert.falsy(text:find(replay.trace_id("one"), 1, true))
    assert.truthy(text:find(replay.trace_id("two"), 1, true))
  end)

  it("by rules has traces that they hit, whole and in the order of arrival, and with --violated those alone that violate",
    function()
    local hit, violating
    client.with({ rules = RETRY, flags = { "--trace.idle=300ms" } }, function(agent)
      hit = record(agent.admin, "--rule retry --max-traces 2")
      violating = record(agent.admin, "--rule retry --rule slow --violated --max-traces 1")
      send_at_once(agent, { short("b1@0", "none"), short("a1@0!", "hit"), short("a1@0!", "violates"), short("c1@1", "hit"),
        short("a2@9", "violates") })
      local text, said, status = hit:finish()
      assert.truthy(said:find("--max-traces is reached", 1, true), said)
      assert.equal(0, status)
      local names = {}
      for line in text:gmatch("[^\n]+") do
        local id = line:match('"traceId":"(%x+)"')
        names[#names + 1] = id == replay.trace_id("hit") and "hit" or id == replay.trace_id("violates") and "violates" or id
      end
      assert.equal("hit violates hit violates", table.concat(names, " "))
      text, said = violating:finish()
      assert.truthy(said:find("1 trace,", 1, true) or said:find("1 trace$"), said)
      assert.falsy(text:find(replay.trace_id("hit"), 1, true))
      assert.equal("retry", replayed(text, RETRY)[1].rule)
    end)
  end)

  it("ends at Ctrl-C, at its time, and before its bytes are more than they may be", function()
    client.with({ rules = RETRY }, function(agent)
      local interrupted = record(agent.admin)
      local timed = record(agent.admin, "--duration 1ms")
      local small = record(agent.admin, "--max-bytes 700")
      local _, said, status = timed:finish()
      assert.same({ true, 0 }, { said:find("the time is over", 1, true) ~= nil, status })
      for i = 1, 3 do agent:send(short("a1@0", "t" .. i)) end
      local text
      text, said, status = small:finish()
      assert.same({ true, 0 }, { said:find("--max-bytes is reached", 1, true) ~= nil, status })
      assert.is_true(#text > 0 and #text <= 700 and text:sub(-1) == "\n")
      os.execute("kill -INT " .. interrupted.pid)
      text, said, status = interrupted:finish()
      assert.same({ true, 0 }, { said:find("interrupted: ", 1, true) ~= nil, status })
      assert.truthy(text == "" or text:sub(-1) == "\n")
    end)
  end)

  it("says what does not work: no agent, no such rule, a full disk, a reader that left, wrong use", function()
    client.with({ rules = RETRY }, function(agent)
      local function refused(flags, status, words)
        local recorder = record(agent.admin, flags)
        local _, said, got = recorder:finish()
        assert.truthy(said:find(words, 1, true), said)
        assert.equal(status, got)
      end
      refused("--rule nope", 1, "no rule is called nope")
      refused("--trace xyz", 1, "expected 32 hex digits")
      refused("--violated", 2, "needs --rule")
      refused("--admin=127.0.0.1:1", 1, "nobody listens on 127.0.0.1:1")
      refused("--listen.admin=127.0.0.1:1", 1, "nobody listens on 127.0.0.1:1")
      refused("--listen.admin=none", 1, "listen.admin is none")
      refused("--out /nowhere/x", 1, "/nowhere/x cannot be written: No such file")
      local full = record(agent.admin, "--out /dev/full")
      local unread = record(agent.admin, "| head -c 1 >/dev/null")
      -- It notices that its reader has left when it writes again after that.
      socket.until_true(function()
        agent:send(short("a1@0", "one"))
        return replay.shell("kill -0 " .. unread.pid) ~= 0
      end)
      local _, said, status = full:finish()
      assert.same({ true, 1 }, { said:find("No space left on device", 1, true) ~= nil, status })
      _, said = unread:finish()
      assert.truthy(said:find("nobody reads what is written any more", 1, true), said)
    end)
  end)
end)

describe("a recording that is there", function()
  it("stays as it was where none can begin: nobody listens, or no rule is called so", function()
    local path = os.tmpname()
    replay.write(path, "precious")
    client.with({ rules = RETRY }, function(agent)
      for _, flags in ipairs { "--listen.admin=127.0.0.1:1", "--rule nope" } do
        local command = "%s record --listen.admin=%s %s --out %s"
        assert.equal(1, (replay.shell(command:format(replay.fluo, agent.admin, flags, path))))
        assert.equal("precious", assert(io.open(path, "rb")):read("*a"))
      end
    end)
    os.remove(path)
  end)
end)

describe("the fields of live traffic", function()
  it("are those of what arrives meanwhile", function()
    local pipe
    client.with({ rules = RETRY }, function(agent)
      pipe = io.popen(("unset LD_PRELOAD; %s fields live --json --duration 1m --admin=%s 2>&1")
        :format(replay.fluo, agent.admin))
      assert.truthy(pipe:read("*l"):find("listening to what", 1, true))
      agent:send(short("a1@0", "one"))
    end)
    local found = cjson.decode(pipe:read("*a"))                -- its end is the agent's, which has written all by then
    pipe:close()
    assert.equal(1, found.spans)
  end)
end)

describe("the recording endpoint", function()
  local function ask(agent, target, headers)
    local c = assert(socket.connect(client.port_of(agent.admin)))
    c:send(("GET %s HTTP/1.1\r\n%s\r\n"):format(target, headers or "Host: 127.0.0.1\r\n"))
    return c
  end

  it("is for this machine alone: no page in a browser, no listener that others reach", function()
    client.with({ rules = RETRY }, function(agent)
      for _, headers in ipairs { "Host: evil.example\r\n", "Host: 1.evil\r\n", "Host: localhost\r\nOrigin: http://x\r\n" } do
        assert.equal(403, ask(agent, "/api/v1/record", headers):answer().status, headers)
      end
      for _, target in ipairs { "?x=1", "?rule", "?trace=", "?by=x", "?rule=%4", "?rule=" .. ("a"):rep(2000) } do
        assert.equal(400, ask(agent, "/api/v1/record" .. target):answer().status, target)
      end
    end)
    client.with({ rules = RETRY, flags = { "--listen.admin=0.0.0.0:0" } }, function(agent)
      local port = client.port_of(agent.admin)
      local c = assert(socket.connect(port))
      c:send("GET /api/v1/record HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
      assert.equal(403, c:answer().status)
    end)
  end)

  it("takes four at once, and a place is free again when one has left", function()
    client.with({ rules = RETRY }, function(agent)
      local clients = {}
      for i = 1, 4 do
        clients[i] = ask(agent, "/api/v1/record")
        assert.truthy(clients[i]:read(socket.now() + socket.PATIENCE_S):find("200 OK", 1, true))
      end
      assert.equal(503, ask(agent, "/api/v1/record"):answer().status)
      clients[1]:reset()
      local status
      repeat
        local c = ask(agent, "/api/v1/record")
        status = c:read(socket.now() + socket.PATIENCE_S):match("^HTTP/1.1 (%d+)")
      until status == "200"
      for i = 2, 4 do clients[i]:close() end
    end)
  end)

  it("loses lines to who does not read, and says so; the agent takes everything", function()
    local text, how
    local _, totals = client.with({ rules = RETRY }, function(agent)
      local slow = assert(socket.connect(client.port_of(agent.admin), { rcvbuf = 262144 }))
      slow:send("GET /api/v1/record HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
      assert.truthy(slow:read(socket.now() + socket.PATIENCE_S, 15):find("200 OK", 1, true))
      local blob = ("x"):rep(1000000)
      for i = 1, 24 do
        local spans = { replay.span { name = "a", trace = "t" .. i, attr = { blob = blob } } }
        agent:send { spans }
      end
      agent:get("/metrics")
      local pieces, last = {}, ""
      repeat
        pieces[#pieces + 1] = slow:read(socket.now() + socket.PATIENCE_S)
        last = last:sub(-100) .. pieces[#pieces]
      until last:find('"lost":{"lines":%d')
      slow:close()
      text = table.concat(pieces)
    end)
    how = select(2, text:gsub('"spanId"', ""))
    assert.equal(24, totals.received)
    assert.is_true(how < 24)
  end)
end)
