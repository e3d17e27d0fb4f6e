-- Peers that mean harm, at the real agent's listener: slow ones by the hundred, bombs, and requests that two
-- servers would read differently. It stays alive, light, and its books exact, as in hostile_spec.lua.
local hostile = require("spec.agent.hostile")
local socket = require("spec.agent.socket")
local wire = require("spec.otlp_writer")

local gzip = hostile.gzip
local PEERS = 300
local EMPTY = '{"resourceSpans":[]}'
local HEAD = "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"

local function survives(what, options)
  local agent = hostile.start(options)
  what(agent)
  hostile.alive(agent)
  return hostile.stop(agent)
end

-- So many connections, each having sent the text.
local function crowd(agent, text, options)
  local list = {}
  for i = 1, PEERS do
    list[i] = hostile.connect(agent, options)
    list[i]:send(text, 0)
  end
  return list
end

local function disperse(list)
  for _, c in ipairs(list) do c:close() end
end

-- Fills the arena with spans whose payloads some rule wants. Where the machine stands still, the sender is a slow one, and told so.
local function fill(agent)
  for part = 1, 12 do
    local text = hostile.spans(20000, function(i) return part * 20000 + i, i end, nil, 10,
      function(b, i, k) b:hex(i * 16 + k) end)
    assert.equal(200, socket.until_true(function()
      local status = hostile.post(agent, text).status
      return status ~= 408 and status
    end))
  end
end

describe("three hundred peers", function()
  it("that never end their head are told so and closed; others are served meanwhile", function()
    survives(function(agent)
      local list = crowd(agent, HEAD .. "X-Slow: ")
      hostile.alive(agent)
      for _, c in ipairs(list) do assert.equal(408, c:answer().status) end
      assert.equal(PEERS, agent:metrics()['fluo_http_timeouts_total{phase="header"}'])
      disperse(list)
    end, { flags = { "--http.header-timeout=300ms" } })
  end)

  it("that stop amid their body make room for others once they are found slow", function()
    survives(function(agent)
      local list = crowd(agent, HEAD .. "Content-Length: 8000000\r\n\r\n" .. ("x"):rep(300000))
      local body = '{"x":"' .. ("y"):rep(200000) .. '"}'
      local deadline, answer = socket.now() + socket.PATIENCE_S
      repeat answer = hostile.post(agent, body, hostile.JSON) until answer.status == 200 or socket.now() > deadline
      for _ = 1, 20 do
        assert.equal(200, answer.status)
        answer = hostile.post(agent, body, hostile.JSON)
      end
      hostile.alive(agent)
      disperse(list)
    end)
  end)

  it("that stop amid their body are told so, or to come again, also beside a full buffer", function()
    local ms, told = 250, nil
    repeat                                      -- on a busy machine the first are told before so many have come that they fill it
      ms = ms * 2
      survives(function(agent)
        fill(agent)
        local list = crowd(agent, HEAD .. "Content-Length: 8000000\r\n\r\n" .. ("x"):rep(300000))
        hostile.weigh(agent)
        told = { [408] = 0, [503] = 0 }
        for _, c in ipairs(list) do
          local answer, why = c:answer()
          local what = answer and answer.status or why
          told[what] = (told[what] or 0) + 1
        end
        assert.equal(PEERS, told[408] + told[503])
        disperse(list)
      end, { flags = { ("--http.body-timeout=%dms"):format(ms) } })
    until told[503] > 0 or ms > 10000
    assert.is_true(told[503] > 0)
  end)

  it("that never read their answers are served until their sockets are full, and hold up nobody", function()
    survives(function(agent)
      local request = HEAD .. ("Content-Length: %d\r\n\r\n%s"):format(#EMPTY, EMPTY)
      local list = crowd(agent, request:rep(1500), { rcvbuf = 4096 })
      hostile.alive(agent)
      local stuck = hostile.connect(agent, { rcvbuf = 4096 })
      assert.is_nil((stuck:send(request:rep(120000), 0.2)))      -- it is not read on: its answers fill the socket
      hostile.alive(agent)
      stuck:close()
      disperse(list)
    end)
  end)
end)

-- ---- others' turns ---------------------------------------------------------------------------------

describe("a body that takes long", function()
  local function long(part) return hostile.spans(100000, function(i) return part * 100000 + i, i end) end
  local function send(c, text)
    local head, rest = hostile.request(text)
    assert(c:send(head .. rest))
  end

  it("lets others be answered before it", function()
    survives(function(agent)
      local early
      local part = 0
      repeat                                    -- a busy machine takes some tries to ask twenty times while it lasts
        local slow, quick = hostile.connect(agent), hostile.connect(agent)
        part = part + 1
        send(slow, long(part))
        for _ = 1, 20 do
          send(quick, wire.body({ wire.span() }))
          assert.equal(200, quick:answer().status)
        end
        early = slow:read(socket.now()) == nil
        if early then assert.equal(200, slow:answer().status) end
        slow:close()
        quick:close()
      until early or part == 20
      assert.is_true(early)
    end)
  end)

  it("is taken whole when its sender is gone, and when the agent is told to end", function()
    local totals = survives(function(agent)
      for part = 1, 2 do
        local c = hostile.connect(agent)
        send(c, long(part))
        c:reset()
      end
      local last = hostile.connect(agent)
      send(last, long(3))
    end)
    assert.is_true(totals.received == 300001 or totals.received == 200001 or totals.received == 100001)
  end)

  it("of which there are many at once is answered, or told to come again; light all the while", function()
    local json = '{"resourceSpans":[{"scopeSpans":[{"spans":[' .. ('{"name":"%s"},'):format(("\255"):rep(1000)):rep(8000) .. '{}]}]}]}'
    local packed = gzip(json)
    survives(function(agent)
      fill(agent)
      local list, told = {}, {}
      for i = 1, 40 do
        list[i] = hostile.connect(agent)
        local head, rest = hostile.request(i % 2 == 0 and packed or long(i), i % 2 == 0 and hostile.JSON or nil,
          i % 2 == 0 and "Content-Encoding: gzip\r\n" or nil)
        list[i]:send(head .. rest, 1)
      end
      for _, c in ipairs(list) do
        local answer = assert(c:answer())
        told[answer.status] = (told[answer.status] or 0) + 1
        hostile.weigh(agent)
      end
      assert.equal(40, (told[200] or 0) + (told[413] or 0) + (told[503] or 0))
      disperse(list)
    end)
  end)
end)

describe("pipelined requests", function()
  it("by the thousand are all answered, in their order, while others have their turns", function()
    survives(function(agent)
      local c = hostile.connect(agent)
      local request = HEAD .. ("Content-Length: %d\r\n\r\n%s"):format(#EMPTY, EMPTY)
      assert(c:send((request:rep(99) .. "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"):rep(10)))
      for i = 1, 1000 do
        assert.equal(i % 100 == 0 and 404 or 200, c:answer().status)
        if i % 250 == 1 then hostile.alive(agent) end
      end
      c:close()
    end)
  end)

  it("of a peer that does not read are answered by the hundred", function()
    survives(function(agent)
      local c = hostile.connect(agent, { rcvbuf = 4096 })
      c:send((HEAD .. ("Content-Length: %d\r\n\r\n%s"):format(#EMPTY, EMPTY)):rep(20000), 1)
      local answered, before = 0
      repeat
        before = answered
        answered = agent:metrics()['fluo_receiver_requests_total{signal="traces",encoding="json"}']
      until answered == before and answered > 0
      assert.is_true(answered < 2000, answered)
      c:close()
    end)
  end)
end)

-- ---- gzip -----------------------------------------------------------------------------------------

describe("gzip", function()
  local GZIP = "Content-Encoding: gzip\r\n"
  local good = wire.body({ wire.span { name = "packed" } })
  local zeros = gzip(("\0"):rep(hostile.BODY_BYTES + 1))
  local packed = gzip(good)

  it("bombs are refused at the bound, of one member or of a thousand, also by their inner gzip", function()
    survives(function(agent)
      assert.equal(413, hostile.post(agent, zeros, nil, GZIP).status)
      assert.equal(413, hostile.post(agent, zeros:rep(900), nil, GZIP).status)
      assert.equal(413, hostile.post(agent, gzip((" "):rep(hostile.BODY_BYTES + 1)), hostile.JSON, GZIP).status)
      assert.equal(400, hostile.post(agent, gzip(zeros), nil, GZIP).status)
    end)
  end)

  it("is decoded within the bounds, from JSON too, which is refused where it takes too much with what it becomes", function()
    local event = '{"name":"event"},'
    local json = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%s","spanId":"%s","events":[%s]}]}]}]}'
    local function big(mib)
      local n = math.floor((mib * hostile.MIB - 300) / #event)
      return gzip(json:format(("1"):rep(32), ("2"):rep(16), event:rep(n) .. '{"name":"e"}'))
    end
    survives(function(agent)
      fill(agent)
      for mib, status in pairs { [5.5] = 200, [8] = 413 } do
        local answer = hostile.post(agent, big(mib), hostile.JSON, GZIP)
        assert.equal(status, answer.status)
        if status == 413 then assert.truthy(answer.body:find("more decoded bytes than", 1, true), answer.body) end
      end
    end)
  end)

  it("of several members is one body; of a million empty ones none", function()
    local totals = survives(function(agent)
      local half = math.floor(#good / 2)
      assert.equal(200, hostile.post(agent, gzip(good:sub(1, half)) .. gzip(good:sub(half + 1)), nil, GZIP).status)
      assert.equal(200, hostile.post(agent, gzip(""):rep(390000), nil, GZIP).status)
    end)
    assert.equal(2, totals.received)
  end)

  it("that is cut anywhere, or damaged anywhere, is refused, and nothing of it exists", function()
    local totals = survives(function(agent)
      for n = 0, #packed - 1 do
        assert.equal(400, hostile.post(agent, packed:sub(1, n), nil, GZIP).status, n)
      end
      for at = #packed - 7, #packed do
        local bad = packed:sub(1, at - 1) .. string.char(bit.bxor(packed:byte(at), 1)) .. packed:sub(at + 1)
        assert.equal(400, hostile.post(agent, bad, nil, GZIP).status)
      end
      assert.equal(400, hostile.post(agent, packed .. "x", nil, GZIP).status)
    end)
    assert.equal(1, totals.received)
  end)
end)

-- ---- smuggling ------------------------------------------------------------------------------------

describe("a request that two servers would read differently", function()
  local inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
  local function chunked(more) return HEAD .. "Transfer-Encoding: chunked\r\n" .. (more or "") .. "\r\n" end
  local rows = {
    { "two lengths", HEAD .. "Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}", 400 },
    { "the same length twice", HEAD .. "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400 },
    { "a list of lengths", HEAD .. "Content-Length: 2, 2\r\n\r\n{}", 400 },
    { "a length with a sign", HEAD .. "Content-Length: +2\r\n\r\n{}", 400 },
    { "a negative length", HEAD .. "Content-Length: -1\r\n\r\n{}", 400 },
    { "a hexadecimal length", HEAD .. "Content-Length: 0x2\r\n\r\n{}", 400 },
    { "a length beyond 64 bits", HEAD .. "Content-Length: 18446744073709551618\r\n\r\n{}", 400 },
    { "an empty length", HEAD .. "Content-Length: \r\n\r\n{}", 400 },
    { "a length and chunks", chunked("Content-Length: 2\r\n") .. "0\r\n\r\n", 400 },
    { "chunks and a length before", HEAD .. "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
    { "chunks not last", HEAD .. "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", { 400, 501 } },
    { "chunks twice", HEAD .. "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", { 400, 501 } },
    { "another coding", HEAD .. "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501 },
    { "a coding in disguise", HEAD .. "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", { 400, 501 } },
    { "a coding behind a control character", HEAD .. "Transfer-Encoding: \11chunked\r\n\r\n0\r\n\r\n", { 400, 501 } },
    { "a space before the colon", HEAD .. "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400 },
    { "a bare line feed", "POST /v1/traces HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}", 400 },
    { "a bare carriage return", HEAD .. "X: a\rContent-Length: 2\r\n\r\n{}", 400 },
    { "a folded header", HEAD .. "X: a\r\n Content-Length: 2\r\n\r\n{}", 400 },
    { "a NUL in a header", HEAD .. "X: a\0b\r\n\r\n", 400 },
    { "no Host", "POST /v1/traces HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400 },
    { "two Hosts", "POST /v1/traces HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}", 400 },
    { "a chunk without a size", chunked() .. "\r\nab\r\n0\r\n\r\n", 400 },
    { "a chunk size that is none", chunked() .. "zz\r\nab\r\n0\r\n\r\n", 400 },
    { "a chunk size with a sign", chunked() .. "-1\r\nab\r\n0\r\n\r\n", 400 },
    { "a chunk size of 0x", chunked() .. "0x2\r\nab\r\n0\r\n\r\n", 400 },
    { "a chunk size beyond 64 bits", chunked() .. "10000000000000002\r\n{}\r\n0\r\n\r\n", 400 },
    { "a chunk longer than its size", chunked() .. "1\r\n{}\r\n0\r\n\r\n", 400 },
    { "a chunk that ends in a line feed", chunked() .. "2\r\n{}\n0\r\n\r\n", 400 },
    { "a chunk size that ends in a line feed", chunked() .. "2\n{}\r\n0\r\n\r\n", 400 },
    { "another protocol", "POST /v1/traces HTTP/3.7\r\nHost: a\r\n\r\n", { 400, 505 } },
    { "HTTP/0.9", "GET /v1/traces\r\n", { 400, 505 } },
    { "HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", { 400, 505 } },
    { "a space in its path", "POST /v1/traces x HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "an upgrade", "GET /v1/traces HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
      .. "Connection: close\r\n\r\n", { 400, 405 } },
  }
  local agent
  setup(function() agent = hostile.start() end)
  teardown(function()
    hostile.alive(agent)
    hostile.stop(agent)
  end)
  for _, row in ipairs(rows) do
    it("gets one answer and is closed, what follows unread: " .. row[1], function()
      local c = hostile.connect(agent)
      c:send(row[2] .. inner)
      local all, how = c:rest()
      c:close()
      local status, count = tonumber(all:match("^HTTP/1.1 (%d+)")), select(2, all:gsub("HTTP/1%.1 %d%d%d ", ""))
      local wanted = type(row[3]) == "table" and row[3] or { row[3] }
      local fits = false
      for _, w in ipairs(wanted) do fits = fits or w == status end
      assert.is_true(fits, ("status %s"):format(tostring(status)))
      assert.same({ 1, "closed" }, { count, how })
    end)
  end
end)
