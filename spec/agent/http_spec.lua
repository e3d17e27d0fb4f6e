local support = require("spec.support")
local replay = require("spec.replay")
local socket = require("spec.agent.socket")
local loops = require("spec.agent.loop")
local cjson = require("cjson")
local core, ffi = support.core("heap", "buffer", "http", "otlp", "intake", "admin", "server")
jit.off()                                                             -- C calls back into Lua

ffi.cdef [[
struct spec_rlimit { unsigned long soft, hard; };
int getrlimit(int, struct spec_rlimit *);
int setrlimit(int, const struct spec_rlimit *);
int dup(int);
]]

local MS = 1000000
local HOST = "Host: a\r\n"
local JSON = HOST .. "Content-Type: application/json\r\n"
local JSON_BODY = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",' ..
  '"spanId":"eee19b7ec3c1b174","name":"a"}]}]}]}'

local function post(headers, body, path)
  return ("POST %s HTTP/1.1\r\n%s%s\r\n%s"):format(path or "/v1/traces", headers,
    body and not headers:find("ransfer") and ("Content-Length: %d\r\n"):format(#body) or "", body or "")
end

local chunked = require("spec.agent.client").chunked

--- Callbacks into Lua, freed after the spec.
local callbacks = {}
local function callback(kind, fn)
  local c = ffi.cast(kind, fn)
  callbacks[#callbacks + 1] = c
  return c
end

local RECEIVE = "int (*)(void *, const uint8_t *, size_t, const struct otlp_summary *, struct intake_receipt *)"
local ON = "void (*)(void *, const struct http_request *, struct http_response *)"

--- Runs body(s) with a server in front of an intake (or of options.calls) and checks that nothing is left after it.
local function serving(options, body)
  local live = core.heap_live()
  local s = { loop = loops.new(), received = 0, bodies = {} }
  local intake = ffi.new("struct intake *[1]")
  local calls = ffi.new("struct http_calls")
  if options.calls then
    options.calls(calls)
  else
    local settings = ffi.new("struct intake_options", {
      limits = { 64, 262144, 2097152, 64 * 1048576 }, body_bytes_max = options.body_bytes_max or 8 * 1048576 })
    local receive = ffi.new("struct intake_calls", { receive = callback(RECEIVE, function(_, _, _, summary, receipt)
      s.received = s.received + summary.spans
      receipt.accepted = summary.spans - summary.rejected
      receipt.rejected = summary.rejected
      return options.result or 0
    end) })
    assert.equal(0, core.intake_new(settings, receive, intake))
    core.intake_http(intake[0], calls)
    s.intake = intake[0]
  end
  local limits = ffi.new("struct server_limits", options.limits or {})
  if options.body_bytes_max then limits.body_bytes_max = options.body_bytes_max end
  local out, why = ffi.new("struct server *[1]"), ffi.new("char[256]")
  local err = core.server_open(s.loop.uv, options.host or "127.0.0.1", 0, calls, limits, out, why)
  assert.equal(0, err, ffi.string(why))
  s.server, s.port = out[0], core.server_port(out[0])
  s.clients = {}
  function s.connect(more)
    more = more or {}
    more.loop = s.loop
    local client = assert(socket.connect(s.port, more))
    s.clients[#s.clients + 1] = client
    return client
  end
  function s.ask(text) local c = s.connect(); c:send(text); return c:answer(), c end
  function s.stats() return core.server_stats(s.server) end
  --- Lets the loop run until the condition holds.
  function s.until_true(condition, client)
    local deadline = socket.now() + socket.PATIENCE_S
    client = client or s.connect()
    while not condition() do
      assert(socket.now() < deadline, "deadline")
      client:wait(0, math.min(deadline, socket.now() + 0.02))
    end
  end
  local ok, failure = pcall(body, s)
  for _, client in ipairs(s.clients) do client:close() end
  if s.server then core.server_close(s.server, 0, nil, nil) end
  local closed = s.loop:close()
  if s.intake then core.intake_free(s.intake) end
  for _, c in ipairs(callbacks) do c:free() end
  callbacks = {}
  if not ok then error(failure, 0) end
  assert.is_true(closed)
  assert.equal(live, core.heap_live())
end

--- A room that answers every request with `bytes` bytes.
local function big(bytes)
  return function(calls)
    calls.on_head = callback(ON, function() end)
    calls.on_request = callback(ON, function(_, _, response)
      response.status = 200
      local place = core.buffer_reserve(response.body, bytes)
      if place ~= nil then
        ffi.fill(place, bytes, 120)
        response.body.len = response.body.len + bytes
      end
    end)
  end
end

describe("the OTLP/HTTP server", function()
  it("takes protobuf and JSON on one kept connection, and answers in kind", function()
    serving({}, function(s)
      local c = s.connect()
      c:send(post(HOST .. "Content-Type: application/x-protobuf\r\n", ""))
      local a = c:answer()
      assert.equal(200, a.status)
      assert.equal("application/x-protobuf", a.headers["content-type"])
      assert.equal("", a.body)
      c:send(post(JSON, JSON_BODY))
      a = c:answer()
      assert.equal(200, a.status)
      assert.equal("application/json", a.headers["content-type"])
      assert.equal("{}", a.body)
      assert.equal("keep-alive", a.headers.connection)
      assert.is_truthy(a.headers.date:match("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$"))
      assert.equal(1, s.received)
      assert.equal(1, tonumber(s.stats().connections_open))
    end)
  end)

  it("answers pipelined requests in order, chunked ones too, however they are cut", function()
    serving({}, function(s)
      local all = post(JSON, JSON_BODY) .. post(JSON .. "Transfer-Encoding: chunked\r\n", chunked(JSON_BODY, 10)) ..
        post(JSON, "{", nil) .. post(HOST .. "Content-Type: text/plain\r\n", "hello") .. post(JSON, JSON_BODY)
      for _, size in ipairs({ #all, 1, 97 }) do
        local c = s.connect()
        for at = 1, #all, size do assert.is_true(c:send(all:sub(at, at + size - 1))) end
        local statuses = {}
        for i = 1, 5 do statuses[i] = assert(c:answer()).status end
        assert.same({ 200, 200, 400, 415, 200 }, statuses)
      end
      assert.equal(9, s.received)
    end)
  end)

  it("answers few requests that came behind others a turn, however many connections have them", function()
    serving({}, function(s)
      local CLIENTS, EACH, IN_A_TURN, clients = 20, 40, 16, {}
      for i = 1, CLIENTS do clients[i] = s.connect() end
      for _, c in ipairs(clients) do
        c.loop = nil                                      -- all have sent before the loop turns
        c:send(post(JSON, "{}"):rep(EACH))
        c.loop = s.loop
      end
      local before, most = 0, 0
      repeat
        s.loop:run()
        local requests = tonumber(s.stats().requests)
        most, before = math.max(most, requests - before), requests
      until requests == CLIENTS * EACH
      assert.is_true(most <= CLIENTS + 2 * IN_A_TURN, most)
      for _, c in ipairs(clients) do
        for _ = 1, EACH do assert.equal(200, c:answer().status) end
      end
    end)
  end)

  it("closes who has been heard out for longest where there is no place for another connection", function()
    serving({ limits = { connections_max = 2 } }, function(s)
      local first, second = s.connect(), s.connect()
      for _, c in ipairs { first, second } do
        c:send("no request\r\n\r\n")
        assert.equal(400, c:answer().status)
      end
      assert.equal(200, s.ask(post(JSON, JSON_BODY)).status)
      assert.equal(2, tonumber(s.stats().connections_open))
      assert.equal(200, s.ask(post(JSON, JSON_BODY)).status)
      assert.equal(2, tonumber(s.stats().connections_open))
    end)
  end)

  it("reads a large body straight into its place", function()
    serving({}, function(s)
      local body = '{"x":"' .. ("y"):rep(4 * 1048576) .. '"}'
      local a = s.ask(post(JSON, body))
      assert.equal(200, a.status)
      a = s.ask(post(JSON .. "Transfer-Encoding: chunked\r\n", chunked(body, 100000)))
      assert.equal(200, a.status)
      assert.equal(0, tonumber(s.stats().body_bytes_in_flight))
    end)
  end)

  it("sends 100 Continue where the body is awaited, and only there", function()
    serving({}, function(s)
      local c = s.connect()
      local head = ("POST /v1/traces HTTP/1.1\r\n%sContent-Length: %d\r\nExpect: 100-Continue\r\n\r\n")
      c:send(head:format(JSON, #JSON_BODY))
      local a = c:answer()
      assert.equal("HTTP/1.1 100 Continue\r\n\r\n", a.head)
      c:send(JSON_BODY)
      assert.equal(200, c:answer().status)
      c:send(head:format(JSON, #JSON_BODY) .. JSON_BODY)
      assert.equal(200, c:answer().status)
      c:send(post(JSON .. "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"))
      assert.equal(100, c:answer().status)
      c:send(chunked(JSON_BODY, 50))
      assert.equal(200, c:answer().status)
    end)
  end)

  it("answers an expectation that it will not meet at once, and closes", function()
    serving({ body_bytes_max = 1000 }, function(s)
      for _, row in ipairs({
        { 415, HOST .. "Content-Length: 10\r\nExpect: 100-continue\r\n" },
        { 413, JSON .. "Content-Length: 1001\r\nExpect: 100-continue\r\n" },
        { 417, JSON .. "Content-Length: 10\r\nExpect: a-pony\r\n" },
      }) do
        local a, c = s.ask(post(row[2]))
        assert.equal(row[1], a.status)
        assert.equal("close", a.headers.connection)
        assert.equal("closed", select(2, c:rest()))
      end
    end)
  end)

  it("reads past a small body that it refuses, and closes on a large one", function()
    serving({}, function(s)
      local c = s.connect()
      for _, row in ipairs({ { 10, "keep-alive" }, { 65536, "keep-alive" }, { 65537, "close" } }) do
        c:send(post(HOST .. "Content-Type: text/plain\r\n", ("x"):rep(row[1])))
        local a = c:answer()
        assert.equal(415, a.status)
        assert.equal(row[2], a.headers.connection)
      end
      c = s.connect()
      c:send(post(HOST .. "Content-Length: 10\r\n"))
      assert.equal(415, c:answer().status)
      c:send("0123456789" .. post(JSON, "{}"))
      assert.equal(200, c:answer().status)
    end)
  end)

  it("tells a client that goes on sending that its body is too large", function()
    serving({ body_bytes_max = 1048576 }, function(s)
      local body = ("x"):rep(4 * 1048576)
      local in_chunks = post(JSON .. "Transfer-Encoding: chunked\r\n", chunked(body, 65536))
      for _, text in ipairs({ post(JSON, body), in_chunks }) do
        local c = s.connect()
        assert.is_true(c:send(text))
        local a = c:answer()
        assert.equal(413, a.status)
        assert.equal(8, cjson.decode(a.body).code)
        assert.equal("application/json", a.headers["content-type"])
        c:finish()
        assert.equal("closed", select(2, c:rest()))
      end
    end)
  end)

  it("answers a malformed request once and closes", function()
    serving({}, function(s)
      for _, text in ipairs({ "POST / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\22\3\1\2\0\1\0\1\252\3\3",
        post(JSON .. "Transfer-Encoding: chunked\r\n", "zz\r\n") }) do
        local a, c = s.ask(text)
        assert.is_true(a.status >= 400)
        assert.equal("close", a.headers.connection)
        assert.same({ "", "closed" }, { c:rest() })
      end
    end)
  end)

  it("serves HTTP/1.0 and closes, and closes when asked to, whatever else was sent", function()
    serving({}, function(s)
      local a, c = s.ask("POST /v1/traces HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
      assert.equal(200, a.status)
      assert.same({ "", "closed" }, { c:rest() })
      a, c = s.ask(post(JSON .. "Connection: close\r\n", "{}") .. post(JSON, JSON_BODY))
      assert.equal(200, a.status)
      assert.same({ "", "closed" }, { c:rest() })
      assert.equal(0, s.received)
    end)
  end)

  it("answers a peer that has already finished sending", function()
    serving({}, function(s)
      local c = s.connect()
      c:send(post(JSON, JSON_BODY))
      c:finish()
      assert.equal(200, c:answer().status)
      assert.same({ "", "closed" }, { c:rest() })
    end)
  end)

  it("lets go of a body whose sender is gone", function()
    serving({}, function(s)
      for _, leave in ipairs({ "close", "reset" }) do
        local c = s.connect()
        c:send(post(JSON .. "Content-Length: 1000000\r\n") .. ("x"):rep(100000))
        s.until_true(function() return s.stats().body_bytes_in_flight > 0 end, c)
        c[leave](c)
        s.until_true(function() return s.stats().body_bytes_in_flight == 0 end)
      end
      assert.equal(0, s.received)
    end)
  end)
end)

describe("the server's clock", function()
  it("ends what is slow, each step by its own limit", function()
    local limits = { idle_ns = 60 * MS, header_ns = 60 * MS, body_ns = 60 * MS }
    serving({ limits = limits }, function(s)
      local c = s.connect()
      assert.same({ "", "closed" }, { c:rest() })
      local a
      a, c = s.ask("POST /v1/traces HTTP/1.1\r\nHos")
      assert.equal(408, a.status)
      assert.same({ "", "closed" }, { c:rest() })
      a, c = s.ask(post(JSON .. "Content-Length: 10\r\n") .. "12345")
      assert.equal(408, a.status)
      assert.equal(4, cjson.decode(a.body).code)
      assert.same({ "", "closed" }, { c:rest() })
      a, c = s.ask(post(JSON, "{}"))
      assert.equal(200, a.status)
      assert.same({ "", "closed" }, { c:rest() })
      a, c = s.ask(post(HOST .. "Content-Length: 10\r\n") .. "12345")
      assert.equal(415, a.status)
      assert.same({ "", "closed" }, { c:rest() })
      for i, times in ipairs({ 2, 1, 2, 0 }) do assert.equal(times, tonumber(s.stats().timeouts[i - 1])) end
    end)
  end)

  it("reads what lies in the socket before it calls a peer late: it may have been the loop that stood still", function()
    local limit = 20
    local limits = { idle_ns = limit * MS, header_ns = limit * MS, body_ns = limit * MS }
    local request = post(JSON, JSON_BODY)
    for _, sent in ipairs({ 0, 10, #request - 10 }) do          -- idle, amid the head, amid the body
      serving({ limits = limits }, function(s)
        local c = s.connect()
        c.loop = nil
        s.loop:run()
        if sent > 0 then c:send(request:sub(1, sent)) end
        s.loop:run()
        c:send(request:sub(sent + 1))
        ffi.C.poll(nil, 0, 2 * limit)                           -- this is what stands still
        c.loop = s.loop
        assert.equal(200, assert(c:answer()).status)
      end)
    end
  end)

  it("gives a body that keeps coming more time, but not for ever", function()
    -- Sends bytes until the answer is there: it, their number, and the longest that two of them took, in seconds.
    local function drip(s)
      local c, sent, longest, answered = s.connect(), 0, 0
      local before, at = socket.now(), socket.now()
      c:send(post(JSON .. "Content-Length: 100000\r\n"))
      repeat
        c:send("x")
        answered = c:answer({ seconds = 0.01 })
        sent, longest, before, at = sent + 1, math.max(longest, socket.now() - before), at, socket.now()
      until answered or sent == 10000
      return answered, sent, longest
    end
    local limit_ms, longest = 25, nil
    repeat                                      -- a machine that pauses for as long as the limit has tried nothing
      limit_ms = limit_ms * 2
      serving({ limits = { body_ns = limit_ms * MS } }, function(s)
        local answered, sent
        answered, sent, longest = drip(s)
        assert.equal(408, answered.status)
        assert.is_true(sent > 6 or longest * 1000 >= limit_ms - 2)      -- more often than one limit allows
      end)
    until longest * 1000 < limit_ms - 2 or limit_ms == 1600
    assert.is_true(limit_ms < 1600, longest)
  end)

  it("ends a peer that does not read its answer", function()
    serving({ calls = big(8 * 1048576), limits = { write_ns = 100 * MS } }, function(s)
      local c = s.connect({ rcvbuf = 4096 })
      c:send("GET / HTTP/1.1\r\n" .. HOST .. "\r\n")
      s.until_true(function() return s.stats().timeouts[3] == 1 end)
      s.until_true(function() return s.stats().connections_open == 1 end, s.clients[2])
    end)
  end)

  it("answers no more than some hundred requests of a peer that does not read", function()
    local UNSENT = 16384
    serving({ calls = big(100), limits = { unsent_bytes = UNSENT } }, function(s)
      local c = s.connect({ rcvbuf = 4096 })
      local all = ("GET / HTTP/1.1\r\n" .. HOST .. "\r\n"):rep(20000)
      c:send(all, 0.05)
      local before
      repeat
        before = tonumber(s.stats().requests)
        for _ = 1, 100 do s.loop:run() end
      until tonumber(s.stats().requests) == before and before > 0
      assert.is_true(s.stats().bytes_written < 4 * UNSENT, tonumber(s.stats().bytes_written))
    end)
  end)

  it("waits for a peer that reads slowly, and then goes on with what it sent meanwhile", function()
    serving({ calls = big(3 * 1048576) }, function(s)
      local c = s.connect({ rcvbuf = 16384 })
      c:send(("GET / HTTP/1.1\r\n" .. HOST .. "\r\n"):rep(6))
      for _ = 1, 6 do
        local a = assert(c:answer())
        assert.equal(200, a.status)
        assert.equal(3 * 1048576, #a.body)
      end
      assert.equal(0, tonumber(s.stats().body_bytes_in_flight))
    end)
  end)
end)

describe("the server's bounds", function()
  it("let only so many connections in, and the next when one leaves", function()
    serving({ limits = { connections_max = 2 } }, function(s)
      local first, second = s.connect(), s.connect()
      first:send(post(JSON, "{}")); second:send(post(JSON, "{}"))
      assert.equal(200, first:answer().status)
      assert.equal(200, second:answer().status)
      local third = s.connect()
      third:send(post(JSON, "{}"))
      assert.is_nil(third:answer({ seconds = 0.05 }))
      assert.equal(2, tonumber(s.stats().connections_open))
      assert.is_true(s.stats().connections_full >= 1)
      first:close()
      assert.equal(200, third:answer().status)
    end)
  end)

  -- What a request is answered beside a body that has all but the reserve. After CONN_PATIENCE_MS that one makes room, so
  -- on a busy machine it takes some tries to be early enough.
  local function beside(s, request, wanted)
    local answer
    for _ = 1, 100 do
      local slow = s.connect()
      slow:send(post(JSON .. "Content-Length: 250000\r\n") .. ("x"):rep(240000))
      s.until_true(function() return s.stats().body_bytes_in_flight > 200000 end, slow)
      answer = s.ask(request)
      slow:close()
      s.until_true(function() return s.stats().body_bytes_in_flight == 0 end)
      if answer.status == wanted then break end
    end
    assert.equal(wanted, answer.status)
    return answer
  end

  it("refuse a body when too many bytes are in flight, and say when to come again", function()
    serving({ limits = { bytes_in_flight_max = 300000 } }, function(s)
      local request = post(JSON, '{"x":"' .. ("y"):rep(100000) .. '"}')
      local a = beside(s, request, 503)
      assert.equal("1", a.headers["retry-after"])
      assert.equal(14, cjson.decode(a.body).code)
      assert.is_true(s.stats().overloads >= 1)
      assert.equal(200, s.ask(request).status)
    end)
  end)

  it("have a reserve for short bodies where long ones have taken all", function()
    local limits = { bytes_in_flight_max = 300000, short_bytes = 120000, bytes_reserved = 150000 }
    serving({ limits = limits }, function(s)
      beside(s, post(JSON, '{"x":"' .. ("y"):rep(100000) .. '"}'), 200)
      beside(s, post(JSON, '{"x":"' .. ("y"):rep(130000) .. '"}'), 503)
      beside(s, post(JSON .. "Content-Length: 250000\r\n") .. ("x"):rep(70000), 503)               -- short so far
    end)
  end)

  it("lose nothing of a body of one byte a chunk, which is read in turns", function()
    serving({}, function(s)
      local body = '{"resourceSpans":[' .. (" "):rep(100000) .. "]}"
      local c = s.connect()
      for _ = 1, 2 do
        c:send(post(JSON .. "Transfer-Encoding: chunked\r\n", chunked(body, 1)))
        assert.equal(200, c:answer().status)
      end
      assert.equal(0, tonumber(s.stats().body_bytes_in_flight))
    end)
  end)

  it("of a peer that sends without a pause are read a part a turn", function()
    serving({}, function(s)
      local path, most, before, deadline = os.tmpname(), 0, 0, socket.now() + socket.PATIENCE_S
      local body = JSON_BODY:sub(1, -2) .. (" "):rep(400000) .. "}"
      replay.write(path, post(JSON, body):rep(59) .. post(JSON .. "Connection: close\r\n", body))
      local peer = io.popen(("bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d; cat %s >&3; cat <&3'"):format(s.port, path))
      repeat
        s.loop:run()
        local read = tonumber(s.stats().bytes_read)
        most, before = math.max(most, read - before), read
      until s.received == 60 or socket.now() > deadline
      os.remove(path)
      assert.equal(60, s.received)
      assert.is_true(most < 2 * 262144, ("%d bytes in a turn"):format(most))
      core.server_close(s.server, 0, nil, nil)
      s.server = nil
      s.loop:close()
      s.loop = loops.new()
      local _, answers = peer:read("*a"):gsub("HTTP/1.1 200 OK", "")
      peer:close()
      assert.equal(60, answers)
    end)
  end)

  it("that are long are read together as one is, and short ones are answered beside them", function()
    serving({ limits = { short_bytes = 100000 } }, function(s)
      local CROWD, SENT, clients, most, before = 12, 200000, {}, 0, 0
      for i = 1, CROWD + 1 do clients[i] = s.connect() end
      for i, c in ipairs(clients) do
        c.loop = nil                                      -- all have sent before the loop turns
        c:send(i > CROWD and post(JSON, JSON_BODY) or post(JSON .. "Content-Length: 2000000\r\n") .. ("x"):rep(SENT))
        c.loop = s.loop
      end
      s.loop:run()
      assert.equal(1, s.received)
      repeat
        local read = tonumber(s.stats().bytes_read)
        most, before = math.max(most, read - before), read
        s.loop:run()
      until read > CROWD * SENT
      assert.is_true(most < 2 * 262144 + CROWD * 16384, ("%d bytes in a turn"):format(most))
    end)
  end)

  it("survive a lack of descriptors", function()
    serving({}, function(s)
      local waiting = assert(socket.connect(s.port))      -- in the backlog: the loop has not run since
      waiting.loop, s.clients[1] = s.loop, waiting
      local was = ffi.new("struct spec_rlimit")
      ffi.C.getrlimit(7, was)
      local next_fd = ffi.C.dup(0)
      ffi.C.close(next_fd)
      ffi.C.setrlimit(7, ffi.new("struct spec_rlimit", next_fd, was.hard))
      waiting:send(post(JSON, "{}"))
      local none = waiting:answer({ seconds = 0.15 })
      local errors = tonumber(s.stats().accept_errors)
      ffi.C.setrlimit(7, was)
      assert.is_nil(none)
      assert.is_true(errors >= 1 and errors <= 3)
      assert.equal(200, waiting:answer().status)
    end)
  end)

  it("back off when there is no memory for a connection", function()
    serving({}, function(s)
      local c = assert(socket.connect(s.port))
      c.loop, s.clients[1] = s.loop, c
      core.heap_fail_from(1)
      local _, how = c:rest()
      core.heap_fail_from(0)
      assert.equal("closed", how)
      assert.equal(1, tonumber(s.stats().accept_errors))
      assert.equal(200, s.ask(post(JSON, JSON_BODY)).status)
    end)
  end)

  it("hold when any allocation fails", function()
    for n = 1, 25 do
      serving({}, function(s)
        local all = post(JSON, JSON_BODY) .. post(JSON .. "Transfer-Encoding: chunked\r\n", chunked(JSON_BODY, 10))
        local c = s.connect()
        core.heap_fail_from(n)
        c:send(all)
        local a = c:answer({ seconds = 0.02 })
        core.heap_fail_from(0)
        if a then assert.is_true(a.status == 200 or a.status == 503) end
        assert.equal(200, s.ask(post(JSON, JSON_BODY)).status)
      end)
    end
  end)
end)

describe("closing the server", function()
  it("lets the request in flight finish, closes idle connections, and listens no more", function()
    serving({}, function(s)
      local idle, busy = s.connect(), s.connect()
      idle:send(post(JSON, "{}"))
      assert.equal(200, idle:answer().status)
      local text = post(JSON, JSON_BODY)
      busy:send(text:sub(1, -10))
      s.until_true(function() return s.stats().connections_open == 2 and s.stats().body_bytes_in_flight > 0 end, busy)
      local closed = false
      core.server_close(s.server, 5000 * MS, callback("void (*)(void *)", function() closed = true end), nil)
      s.server = nil
      assert.same({ "", "closed" }, { idle:rest() })
      local refused, why = socket.connect(s.port)
      assert.is_nil(refused)
      assert.equal("error 111", why)
      busy:send(text:sub(-9))
      local a = busy:answer()
      assert.equal(200, a.status)
      assert.equal("close", a.headers.connection)
      assert.same({ "", "closed" }, { busy:rest() })
      busy:close()
      s.loop:close()
      assert.is_true(closed)
      s.loop = loops.new()
      assert.equal(1, s.received)
    end)
  end)

  it("cuts what takes longer than the drain", function()
    serving({}, function(s)
      local busy = s.connect()
      busy:send(post(JSON, JSON_BODY):sub(1, -10))
      s.until_true(function() return s.stats().body_bytes_in_flight > 0 end, busy)
      core.server_close(s.server, 50 * MS, nil, nil)
      s.server = nil
      assert.equal("", (busy:rest()))
    end)
  end)
end)

describe("opening the server", function()
  local function open(host, port)
    local loop = loops.new()
    local out, why = ffi.new("struct server *[1]"), ffi.new("char[256]")
    local err = core.server_open(loop.uv, host, port, ffi.new("struct http_calls"), nil, out, why)
    if err == 0 then core.server_close(out[0], 0, nil, nil) end
    assert.is_true(loop:close())
    return err, ffi.string(why)
  end

  it("names the address that is in use, and who to ask", function()
    serving({}, function(s)
      local err, why = open("127.0.0.1", s.port)
      assert.equal(-8, err)
      local expected = "127.0.0.1:%d: Address already in use; `ss -ltnp sport = :%d` shows who listens there"
      assert.equal(expected:format(s.port, s.port), why)
    end)
  end)

  it("takes numeric addresses only", function()
    for _, host in ipairs({ "localhost", "", "1.2.3", "[::1]", "::g" }) do
      local err, why = open(host, 1)
      assert.equal(-10, err)
      assert.is_truthy(why:find("not a numeric", 1, true))
    end
    local err, why = open("192.0.2.1", 4318)
    assert.equal(-8, err)
    assert.equal("192.0.2.1:4318: Cannot assign requested address", why)
  end)

  it("listens on IPv6", function()
    serving({ host = "::1" }, function(s)
      local c = s.connect({ v6 = true })
      c:send(post(JSON, "{}"))
      assert.equal(200, c:answer().status)
      local err, why = open("::1", s.port)
      assert.equal(-8, err)
      assert.is_truthy(why:find(("[::1]:%d: "):format(s.port), 1, true))
    end)
  end)

  it("fails cleanly when any allocation does", function()
    local live = core.heap_live()
    for n = 1, 2 do
      core.heap_fail_from(n)
      local err, why = open("127.0.0.1", 0)
      core.heap_fail_from(0)
      assert.equal(-1, err)
      assert.equal("127.0.0.1:0: out of memory", why)
      assert.equal(live, core.heap_live())
    end
  end)
end)

describe("the admin listener", function()
  it("shows its pages to GET and HEAD", function()
    local admin = ffi.new("struct admin_calls", {
      ready = callback("const char *(*)(void *)", function() return nil end),
      metrics = callback("int (*)(void *, struct buffer *)", function(_, b) return core.buffer_text(b, "a 1\n") end) })
    serving({ calls = function(calls) core.admin_http(admin, calls) end }, function(s)
      local c = s.connect()
      for _, path in ipairs({ "/", "/-/healthy", "/-/ready", "/metrics?x=1" }) do
        c:send("GET " .. path .. " HTTP/1.1\r\n" .. HOST .. "\r\n")
        local got = c:answer()
        c:send("HEAD " .. path .. " HTTP/1.1\r\n" .. HOST .. "\r\n")
        local head = c:answer({ bare = true })
        assert.equal(200, got.status)
        assert.equal(200, head.status)
        assert.equal(got.headers["content-length"], head.headers["content-length"])
        assert.equal(got.headers["content-type"], head.headers["content-type"])
      end
      c:send("POST /metrics HTTP/1.1\r\n" .. HOST .. "Content-Length: 3\r\n\r\nabc")
      local a = c:answer()
      assert.equal(405, a.status)
      assert.equal("GET, HEAD", a.headers.allow)
      c:send("GET /x HTTP/1.1\r\n" .. HOST .. "\r\n")
      assert.equal(404, c:answer().status)
    end)
  end)
end)
