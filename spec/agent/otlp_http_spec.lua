-- OTLP/HTTP as clients see it: the real agent, asked over sockets and with curl.
local cjson = require("cjson")
local client = require("spec.agent.client")
local replay = require("spec.replay")
local socket = require("spec.agent.socket")
local wire = require("spec.otlp_writer")

local JSON, PROTOBUF, TEXT, CHUNKED, MIB = client.JSON, client.PROTOBUF, client.TEXT, client.CHUNKED, client.MIB
local connect, ask, request, chunked, gzip, with = client.connect, client.ask, client.request, client.chunked, client.gzip, client.with
local in_json, in_protobuf = client.in_json, client.in_protobuf

describe("a path, a method and a type", function()
  local PATHS = { "/v1/traces", "/v1/metrics", "/v1/logs", "/v1development/profiles" }

  it("are answered alike on every path of a signal: POST 200, all else 405 with Allow, in text", function()
    local _, totals = with({}, function(agent)
      local c = connect(agent)
      for _, path in ipairs(PATHS) do
        for _, row in ipairs { { JSON, "{}", "{}" }, { PROTOBUF, "", "" } } do
          local a = ask(c, request(row[2], { path = path, type = row[1] }))
          assert.same({ 200, row[1], row[3], "keep-alive" }, { a.status, a.headers["content-type"], a.body, a.headers.connection })
        end
        for _, verb in ipairs { "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS" } do
          local a = ask(c, request("", { verb = verb, path = path }), { bare = verb == "HEAD" })
          assert.same({ 405, "POST", TEXT, "keep-alive" }, { a.status, a.headers.allow, a.headers["content-type"], a.headers.connection }, verb .. path)
        end
      end
    end)
    assert.equal(0, totals.received)
  end)

  it("that is not known is 404, whatever the method, and a query belongs to no path", function()
    with({}, function(agent)
      local c = connect(agent)
      for _, path in ipairs { "/", "/v1/trace", "/v1/traces/", "/v2/traces", "/V1/traces", "//v1/traces", "/v1/profiles" } do
        for _, verb in ipairs { "POST", "GET", "PUT" } do
          local a = ask(c, request("{}", { verb = verb, path = path }))
          assert.equal(404, a.status, path)
        end
      end
      assert.equal(200, ask(c, request("{}", { path = "/v1/traces?x=1" })).status)
    end)
  end)

  it("of 404 gets a status in the request's encoding, with the paths that there are", function()
    with({}, function(agent)
      local c = connect(agent)
      local a = ask(c, request("{}", { path = "/v1/trace" }))
      assert.same({ 404, JSON }, { a.status, a.headers["content-type"] })
      local told = cjson.decode(a.body)
      assert.equal(5, told.code)
      assert.truthy(told.message:find("/v1/traces", 1, true))
      a = ask(c, request("", { path = "/v1/trace", type = PROTOBUF }))
      assert.same({ 404, PROTOBUF, "\8\5\18" }, { a.status, a.headers["content-type"], a.body:sub(1, 3) })
      a = ask(c, request("", { path = "/v1/trace", type = false }))
      assert.same({ 404, TEXT }, { a.status, a.headers["content-type"] })
    end)
  end)

  it("is compared without its parameters and without case; any other type is 415, in text", function()
    with({}, function(agent)
      local c = connect(agent)
      for _, row in ipairs {
        { 200, "application/json; charset=utf-8" }, { 200, "APPLICATION/JSON" }, { 200, "application/json;charset=UTF-8;x=y" },
        { 200, "Application/X-Protobuf; x=y", "" }, { 415, "text/plain" }, { 415, "application/jsonp" }, { 415, "application/grpc", "" },
        { 415, "application/x-www-form-urlencoded" }, { 415, "json" }, { 415, false }, { 415, "" },
      } do
        local a = ask(c, request(row[3] or "{}", { type = row[2] }))
        assert.equal(row[1], a.status, row[2])
        if a.status == 415 then assert.equal(TEXT, a.headers["content-type"]) end
      end
    end)
  end)

  it("may be /, told by the configuration, and then /v1/traces is still one", function()
    local found, totals = with({ flags = { "--http.traces_path=/" } }, function(agent)
      local c = connect(agent)
      assert.equal(200, ask(c, request(in_json(1), { path = "/" })).status)
      assert.equal(200, ask(c, request(in_json(2))).status)
      assert.equal(405, ask(c, request("", { verb = "GET", path = "/" })).status)
      assert.equal(200, ask(c, request("{}", { path = "/v1/logs" })).status)
    end)
    assert.same({ 2, 2 }, { #found, totals.evaluated })
  end)

  it("of other signals is 404 where they are told to be rejected", function()
    with({ flags = { "--other_signals=reject" } }, function(agent)
      local c = connect(agent)
      for i = 2, #PATHS do assert.equal(404, ask(c, request("{}", { path = PATHS[i] })).status) end
      assert.equal(200, ask(c, request("{}")).status)
      assert.equal(0, agent:metrics()['fluo_receiver_requests_total{signal="logs",encoding="json"}'])
    end)
  end)
end)

describe("an answer", function()
  it("to a good body is empty in protobuf and {} in JSON, whatever the request would accept", function()
    local found = with({}, function(agent)
      local c = connect(agent)
      local accept = { headers = "Accept-Encoding: gzip\r\nAccept: text/html\r\n" }
      local a = ask(c, request(in_json(1), accept))
      assert.same({ 200, JSON, "{}" }, { a.status, a.headers["content-type"], a.body })
      assert.is_nil(a.headers["content-encoding"])
      accept.type = PROTOBUF
      a = ask(c, request(in_protobuf(2), accept))
      assert.same({ 200, PROTOBUF, "", "0" }, { a.status, a.headers["content-type"], a.body, a.headers["content-length"] })
    end)
    assert.equal(2, #found)
  end)

  it("to an empty request is 200, in every form that one has", function()
    with({}, function(agent)
      local c = connect(agent)
      for _, text in ipairs { "{}", '{"resourceSpans":[]}', '{"resourceSpans":[{}]}', '{"resourceSpans":[{"scopeSpans":[{"spans":[]}]}]}' } do
        assert.same({ 200, "{}" }, { ask(c, request(text)).status, "{}" })
      end
      for _, text in ipairs { "", wire.text(1, ""), wire.text(1, wire.text(2, "")) } do
        assert.equal(200, ask(c, request(text, { type = PROTOBUF })).status)
      end
      assert.equal(200, ask(c, request("", { type = PROTOBUF, headers = CHUNKED, length = false }) .. "0\r\n\r\n").status)
    end)
  end)

  it("to a bad span is 200 with partial_success, in protobuf too", function()
    local found, totals = with({}, function(agent)
      local c = connect(agent)
      local bad = wire.span { trace_id = ("\0"):rep(16) }
      local a = ask(c, request(wire.body { wire.span(), bad, bad }, { type = PROTOBUF }))
      assert.equal(200, a.status)
      local inside = a.body:match("^\10.(.*)$")
      assert.equal("\8\2\18", inside:sub(1, 3))
      assert.truthy(inside:find("id", 1, true))
    end)
    assert.same({ 1, 3, 2 }, { #found, totals.received, totals.rejected })
  end)

  it("to a bad body is 400 with a status, in protobuf too, and nothing of the body exists", function()
    local good = in_protobuf(1)
    local _, totals = with({}, function(agent)
      local c = connect(agent)
      for _, text in ipairs { good .. "\10", good:sub(1, -2), good .. wire.tag(2, 3), good .. wire.tag(1, 0) .. "\1", "\8\1", good .. "\0\0",
        "{}", good .. wire.tag(0, 0) .. "\1", good .. wire.tag(99, 7), wire.body { wire.span { extra = wire.tag(1, 0) .. "\1" } } } do
        local a = ask(c, request(text, { type = PROTOBUF }))
        assert.same({ 400, PROTOBUF, "\8\3\18" }, { a.status, a.headers["content-type"], a.body:sub(1, 3) })
      end
      assert.equal(200, ask(c, request("", { type = PROTOBUF })).status)
    end)
    assert.equal(0, totals.received)
  end)
end)

describe("a body", function()
  it("may be chunked, gzipped, both, and in several gzip members", function()
    local found = with({}, function(agent)
      local c = connect(agent)
      local sent = 0
      for _, kind in ipairs { { JSON, in_json }, { PROTOBUF, in_protobuf } } do
        local type, write = unpack(kind)
        local function one() sent = sent + 1; return write(sent) end
        local function go(text, headers, in_chunks)
          headers = (headers or "") .. (in_chunks and CHUNKED or "")
          local a = ask(c, request(in_chunks and chunked(text, 7) or text, { type = type, headers = headers, length = not in_chunks and #text }))
          assert.equal(200, a.status, a.body)
        end
        go(one(), nil, true)
        go(gzip(one()), "Content-Encoding: gzip\r\n")
        go(gzip(one()), "Content-Encoding: GZip\r\n", true)
        go(one(), "Content-Encoding: identity\r\n")
        go(gzip(one()), "Content-Encoding: x-gzip\r\n")
        local text = one()
        go(gzip(text:sub(1, 20)) .. gzip("") .. gzip(text:sub(21)), "content-encoding: gzip\r\n")
      end
    end)
    assert.equal(12, #found)
  end)

  it("of a coding that is not known is 415, and one that is not what it says is 400", function()
    with({}, function(agent)
      local c = connect(agent)
      for _, coding in ipairs { "deflate", "zstd", "br", "snappy", "gzip, gzip", "*" } do
        assert.equal(415, ask(c, request("{}", { headers = "Content-Encoding: " .. coding .. "\r\n" })).status, coding)
      end
      local whole = gzip(in_json(1))
      for _, text in ipairs { "{}", "", whole:sub(1, -2), whole .. "x", whole:sub(1, -9) .. ("\0"):rep(8) } do
        local a = ask(c, request(text, { headers = "Content-Encoding: gzip\r\n" }))
        assert.equal(400, a.status)
        assert.truthy(cjson.decode(a.body).message:find("^gzip"))
      end
    end)
  end)

  local function of_size(n) return '{"x":"' .. ("x"):rep(n - 8) .. '"}' end

  it("may have exactly the limit and not one byte more: as sent, in chunks, and decoded", function()
    local limit = 100000
    with({ flags = { "--http.body_bytes_max=" .. limit } }, function(agent)
      for _, row in ipairs { { 0, 200 }, { 1, 413 } } do
        local text = of_size(limit + row[1])
        local packed = gzip(text)
        assert.truthy(#packed < limit)
        for _, form in ipairs { request(text), request(chunked(text, 777), { headers = CHUNKED, length = false }),
          request(packed, { headers = "Content-Encoding: gzip\r\n" }),
          request(chunked(packed, 50), { headers = CHUNKED .. "Content-Encoding: gzip\r\n", length = false }) } do
          local a = ask(connect(agent), form)
          assert.same({ row[2], JSON }, { a.status, a.headers["content-type"] })
          local status = row[2] == 413 and cjson.decode(a.body)
          if status then assert.same({ 8, true }, { status.code, status.message:find("100000 bytes", 1, true) ~= nil }) end
        end
      end
      -- Stored, not packed: the bytes as sent are over the limit, the decoded ones are not.
      local noise = {}
      math.randomseed(7)
      for i = 1, limit - 8 do noise[i] = string.char(math.random(97, 122)) end
      local packed = gzip('{"x":"' .. table.concat(noise) .. '"}')
      local padded = packed:sub(1, 3) .. "\16" .. packed:sub(5, 10) .. ("c"):rep(limit - #packed) .. "\0" .. packed:sub(11)
      assert.equal(limit + 1, #padded)
      assert.equal(413, ask(connect(agent), request(padded, { headers = "Content-Encoding: gzip\r\n" })).status)
      padded = padded:gsub("cc", "c", 1)
      assert.equal(200, ask(connect(agent), request(padded, { headers = "Content-Encoding: gzip\r\n" })).status)
      assert.equal(5, agent:metrics()['fluo_receiver_refused_requests_total{reason="too_large"}'])
    end)
  end)

  it("may grow in decoding: what is not UTF-8 is replaced, whatever its share of the body", function()
    local limit = 20000
    local found = with({ flags = { "--http.body_bytes_max=" .. limit } }, function(agent)
      local text = in_json(1)
      text = text:gsub('"n"', function() return '"' .. ("\255"):rep(limit - #text + 1) .. '"' end)
      assert.equal(limit, #text)
      local a = ask(connect(agent), request(text))
      assert.same({ 200, "{}" }, { a.status, a.body })
    end)
    assert.equal("\u{fffd}", found[1].spans[1].name:sub(1, 3))
  end)

  it("has 8 MiB where nothing else is said", function()
    with({}, function(agent)
      assert.equal(200, ask(connect(agent), request(of_size(8 * MIB))).status)
      assert.equal(413, ask(connect(agent), request(of_size(8 * MIB + 1))).status)
      assert.equal(200, ask(connect(agent), request(gzip(of_size(8 * MIB)), { headers = "Content-Encoding: gzip\r\n" })).status)
      assert.equal(413, ask(connect(agent), request(gzip(of_size(8 * MIB + 1)), { headers = "Content-Encoding: gzip\r\n" })).status)
    end)
  end)
end)

describe("a page in a browser", function()
  local QUESTION = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type,x-team\r\n"
  local function from(origin) return "Origin: " .. origin .. "\r\n" end
  local function permitted(agent, origin, options)
    options = options or {}
    options.headers = from(origin) .. (options.headers or "")
    local a = ask(connect(agent), request(options.body or "{}", options))
    return a.headers["access-control-allow-origin"], a
  end
  local function asks(agent, origin)
    return permitted(agent, origin, { verb = "OPTIONS", type = false, length = false, body = "", headers = QUESTION })
  end

  it("may send where its origin is named, and read every answer", function()
    with({ flags = { "--http.cors_origins=https://shop.example https://*.pay.example:8443" } }, function(agent)
      for _, origin in ipairs { "https://shop.example", "https://a.pay.example:8443" } do
        local allowed, a = asks(agent, origin)
        assert.same({ origin, 204, "POST", "content-type,x-team", "Origin", "" }, { allowed, a.status,
          a.headers["access-control-allow-methods"], a.headers["access-control-allow-headers"], a.headers.vary, a.body })
        assert.is_nil(a.headers["content-length"])
        assert.equal(origin, (permitted(agent, origin)))
        assert.equal(origin, (permitted(agent, origin, { body = "{" })))
        assert.equal(origin, (permitted(agent, origin, { path = "/nowhere" })))
        assert.equal(origin, (permitted(agent, origin, { body = "", length = 2 ^ 30 })))
      end
      for _, origin in ipairs { "https://shop.example.evil", "http://shop.example", "https://pay.example:8443", "null" } do
        local allowed, a = asks(agent, origin)
        assert.same({ 405 }, { a.status, allowed })
        assert.is_nil((permitted(agent, origin)))
      end
    end)
  end)

  it("is told nothing where none is named, and may be any where all are", function()
    with({}, function(agent)
      assert.is_nil((asks(agent, "https://shop.example")))
      assert.is_nil((permitted(agent, "https://shop.example")))
    end)
    with({ flags = { "--http.cors_origins=*" } }, function(agent)
      assert.equal("https://shop.example", (asks(agent, "https://shop.example")))
      local _, a = permitted(agent, "https://shop.example", { verb = "OPTIONS", type = false })
      assert.equal(405, a.status)                       -- it asks nothing
    end)
  end)
end)

describe("curl", function()
  local function curl(agent, words)
    local status, out, err = replay.shell(("curl -sv -m 20 -o /dev/null -w '%%{http_code} %%{time_total}' -H 'Content-Type: application/json' %s http://%s/v1/traces")
      :format(words, agent.otlp))
    assert.equal(0, status, err)
    return tonumber(out:match("^(%d+)")), err
  end

  it("is told to continue with a body over 1 MiB, and not with one that is refused", function()
    local path = os.tmpname()
    local found = with({}, function(agent)
      replay.write(path, in_json(1, ',"attributes":[{"key":"x","value":{"stringValue":"' .. ("x"):rep(2 * MIB) .. '"}}]'))
      local status, said = curl(agent, "--data-binary @" .. path)
      assert.equal(200, status)
      assert.truthy(said:find("> Expect: 100-continue", 1, true))
      assert.truthy(said:find("< HTTP/1.1 100 Continue", 1, true))
      status, said = curl(agent, "-H 'Transfer-Encoding: chunked' -H 'Expect: 100-continue' --data-binary @" .. path)
      assert.equal(200, status)
      assert.truthy(said:find("< HTTP/1.1 100 Continue", 1, true))
      status, said = curl(agent, "-H 'Content-Encoding: br' --data-binary @" .. path)
      assert.equal(415, status)
      assert.is_nil(said:find("100 Continue", 1, true))
      replay.write(path, ("x"):rep(9 * MIB))
      status, said = curl(agent, "--data-binary @" .. path)
      assert.equal(413, status)
      assert.is_nil(said:find("100 Continue", 1, true))
    end)
    os.remove(path)
    assert.equal(1, #found)
  end)

  it("speaks HTTP/1.0, and is served and closed", function()
    local found = with({}, function(agent)
      local status, said = curl(agent, ("--http1.0 --data-binary '%s'"):format(in_json(1)))
      assert.equal(200, status)
      assert.truthy(said:find("Closing connection", 1, true))
      local c = connect(agent)
      assert.equal(200, ask(c, request(in_json(2), { version = "1.0" })).status)
      assert.same({ "", "closed" }, { c:rest() })
    end)
    assert.equal(2, #found)
  end)
end)

describe("a connection", function()
  it("is kept over every answer that leaves it in step", function()
    local found = with({}, function(agent)
      local c = connect(agent)
      for i, row in ipairs {
        { 200, in_json(1) }, { 400, "{" }, { 415, "x", { type = "text/plain" } }, { 404, "x", { path = "/x" } }, { 405, "", { verb = "GET" } },
        { 415, "x", { headers = "Content-Encoding: br\r\n" } }, { 400, "x", { headers = "Content-Encoding: gzip\r\n" } }, { 200, in_json(2) },
      } do
        local a = ask(c, request(row[2], row[3]))
        assert.same({ row[1], "keep-alive" }, { a.status, a.headers.connection }, i)
      end
      assert.equal(1, agent:metrics().fluo_http_connections_total)
    end)
    assert.equal(2, #found)
  end)

  it("may carry requests without a wait between them: each is answered, in order", function()
    local found = with({}, function(agent)
      local c = connect(agent)
      local all, expected = {}, {}
      for i = 1, 100 do
        local kind = i % 4
        if kind == 0 then all[i], expected[i] = request("{", {}), 400
        elseif kind == 1 then all[i], expected[i] = request(in_json(i)), 200
        elseif kind == 2 then all[i], expected[i] = request(chunked(in_protobuf(i), 9), { type = PROTOBUF, headers = CHUNKED, length = false }), 200
        else all[i], expected[i] = request("x", { path = "/x" }), 404 end
      end
      assert(c:send(table.concat(all)))
      local got = {}
      for i = 1, 100 do got[i] = assert(c:answer()).status end
      assert.same(expected, got)
    end)
    assert.equal(50, #found)
  end)

  it("waits in line beyond http.connections_max, and comes in when another leaves", function()
    with({ flags = { "--http.connections_max=3" } }, function(agent)
      local held = {}
      for i = 1, 3 do
        held[i] = connect(agent)
        assert.equal(200, ask(held[i], request("{}")).status)
      end
      local waiting = connect(agent)
      waiting:send(request("{}"))
      assert.is_nil((waiting:answer { seconds = 0.1 }))
      assert.equal(3, agent:metrics().fluo_http_open_connections)
      assert.truthy(agent:metrics().fluo_http_accept_paused_total >= 1)
      held[2]:close()
      assert.equal(200, assert(waiting:answer()).status)
    end)
  end)

  it("may be one of hundreds, all amid their bodies", function()
    local found = with({}, function(agent)
      local all = {}
      for i = 1, 200 do
        all[i] = connect(agent)
        local text = request(in_json(i))
        all[i].tail = text:sub(101)
        all[i]:send(text:sub(1, 100))
      end
      for i = 1, 200 do all[i]:send(all[i].tail) end
      for i = 1, 200 do assert.equal(200, all[i]:answer().status) end
    end)
    assert.equal(200, #found)
  end)

  it("that speaks HTTP/2, TLS or nonsense is answered once and closed", function()
    with({}, function(agent)
      for text, says in pairs { ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"] = "HTTP/2 and gRPC are not spoken here yet",
        ["\22\3\1\2\0\1\0\1\252\3\3"] = "TLS is not spoken here yet", ["hello\r\n\r\n"] = "Invalid method", ["\0\0\0\0"] = "Invalid method" } do
        local c = connect(agent)
        local a = ask(c, text)
        assert.truthy(a.status >= 400 and a.status < 506)
        assert.truthy(a.body:find(says, 1, true), a.body)
        assert.same({ "", "closed" }, { c:rest() })
      end
    end)
  end)

  it("may come over IPv6 where the agent is told to listen there", function()
    local found = with({ flags = { "--listen.otlp_http=[::1]:0" } }, function(agent)
      assert.truthy(agent.otlp:find("^%[::1%]:%d+$"))
      local c = connect(agent, { v6 = true })
      assert.equal(200, ask(c, request(in_json(1))).status)
      assert.equal(200, (agent:post(in_json(2))))
      assert.is_nil(socket.connect(client.port_of(agent.otlp)))
    end)
    assert.equal(2, #found)
  end)

  it("is offered on 127.0.0.1:4318 where nothing else is said", function()
    local _, out = replay.shell(replay.fluo .. " config show")
    assert.truthy(out:find("listen.otlp_http%s+127.0.0.1:4318"))
    assert.truthy(out:find("http.idle_timeout%s+75s"))
  end)
end)
