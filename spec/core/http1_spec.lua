local support = require("spec.support")
local core, ffi = support.core("heap", "buffer", "http", "http1")

local MORE, HEAD, REQUEST, ERROR = 0, 1, 2, 3

local function text(t) return ffi.string(t.p, t.n) end

--- Feeds `input` in pieces of the given sizes (the last one again and again). Gives what happened, as a list of
-- { head = path } { body = text } { error = status }, and how many bytes were taken.
local function parse(input, sizes, options)
  options = options or {}
  local out = ffi.new("struct http1 *[1]")
  assert.equal(0, core.http1_new(options.max or 1048576, options.budget, out))
  local parser, taken = out[0], ffi.new("size_t[1]")
  local seen, at, piece = {}, 0, 1
  while at <= #input do
    local size = math.min(sizes[math.min(piece, #sizes)], #input - at)
    piece = piece + 1
    local pointer, n, done = support.guarded(input:sub(at + 1, at + size))
    local event = core.http1_feed(parser, pointer, n, taken)
    done()
    assert.is_true(taken[0] <= size)
    at = at + tonumber(taken[0])
    local request = core.http1_request(parser)
    if event == HEAD then
      seen[#seen + 1] = { head = text(request.path) }
      if options.on_head then options.on_head(request, parser) end
    elseif event == REQUEST then
      seen[#seen + 1] = { body = ffi.string(request.body, request.body_bytes) }
      if options.on_request then options.on_request(request) end
      core.http1_next(parser)
      if not request.keep_alive and options.stop then break end
    elseif event == ERROR then
      local err = core.http1_error(parser)
      seen[#seen + 1] = { error = err.status, why = ffi.string(err.why), has_head = err.has_head }
      assert.equal(ERROR, core.http1_feed(parser, "GET", 3, taken))
      assert.equal(0, tonumber(taken[0]))
      break
    else
      assert.equal(size, tonumber(taken[0]))
      if at == #input then break end
    end
  end
  seen.begun = core.http1_begun(parser)
  core.http1_free(parser)
  return seen, at
end

local function outline(seen)
  local words = {}
  for _, e in ipairs(seen) do
    words[#words + 1] = e.head and "head " .. e.head or e.body and ("body %d"):format(#e.body) or "error " .. e.error
  end
  return table.concat(words, ", ")
end

local function whole(input, options) return parse(input, { 1e9 }, options) end

local HOST = "Host: a\r\n"
local POST = "POST /v1/traces HTTP/1.1\r\n" .. HOST ..
  "Content-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
local CHUNKED = "POST /c?x=1 HTTP/1.1\r\n" .. HOST .. "transfer-encoding: Chunked\r\n\r\n" ..
  "3;a;b=\"c\"\r\nhel\r\n00002\r\nlo\r\n0\r\nX-Trailer: yes\r\n\r\n"
local GET = "GET / HTTP/1.1\r\n" .. HOST .. "\r\n"

describe("the HTTP/1.1 parser", function()
  local live
  before_each(function() live = core.heap_live() end)
  after_each(function() assert.equal(live, core.heap_live()) end)

  it("tires of chunk framing, not of chunks, nor of bodies without", function()
    local function tires(frames)
      local out, taken = ffi.new("struct http1 *[1]"), ffi.new("size_t[1]")
      assert.equal(0, core.http1_new(1048576, nil, out))
      local head = "POST / HTTP/1.1\r\n" .. HOST .. "Transfer-Encoding: chunked\r\n\r\n"
      assert.equal(HEAD, core.http1_feed(out[0], head, #head, taken))
      local list = {}
      for i = 1, 3 do
        assert.equal(MORE, core.http1_feed(out[0], frames, #frames, taken))
        list[i] = core.http1_tires(out[0])
      end
      assert.is_false(core.http1_tires(out[0]))
      core.http1_free(out[0])
      return list
    end
    assert.same({ true, true, true }, tires(("1\r\nx\r\n"):rep(4000)))
    assert.same({ false, true, false }, tires(("1\r\nx\r\n"):rep(2000)))
    assert.same({ false, false, false }, tires(("1000\r\n" .. ("x"):rep(4096) .. "\r\n"):rep(16)))
  end)

  it("reads pipelined requests one at a time, however they are cut", function()
    local input = POST .. CHUNKED .. "\r\n" .. GET
    local expected = "head /v1/traces, body 5, head /c, body 5, head /, body 0"
    assert.equal(expected, outline(whole(input)))
    assert.equal(expected, outline((parse(input, { 1 }))))
    for split = 1, #input - 1 do
      local seen, at = parse(input, { split, 1e9 })
      assert.equal(expected, outline(seen))
      assert.equal("hello", seen[2].body)
      assert.equal("hello", seen[4].body)
      assert.equal(#input, at)
    end
  end)

  it("says nothing but the head of any part of a request", function()
    for _, input in ipairs({ POST, CHUNKED }) do
      for n = 0, #input - 1 do
        local seen = whole(input:sub(1, n))
        assert.is_true(#seen <= 1)
        assert.is_nil(seen[1] and seen[1].error)
        assert.equal(n > 0, seen.begun, n)
      end
    end
  end)

  it("records the target and the headers", function()
    local input = "POST http://b.example:80/x/y?q=1&r HTTP/1.1\r\nHOST:  b.example \t\r\n" ..
      "X-Empty:\r\nX-Empty-2:  \r\n" ..
      "Content-TYPE: Application/JSON; charset=utf-8\r\nContent-Encoding: gzip\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n"
    for _, sizes in ipairs({ { 1e9 }, { 1 } }) do
      local count = 0
      parse(input, sizes, { on_head = function(r)
        count = count + 1
        assert.equal("/x/y", text(r.path))
        assert.equal("q=1&r", text(r.query))
        assert.equal("b.example", text(r.host))
        assert.equal("Application/JSON; charset=utf-8", text(r.content_type))
        assert.equal("gzip", text(r.content_encoding))
        assert.equal("1", text(core.http_header(r, "x-two")))
        assert.equal("", text(core.http_header(r, "x-empty")))
        assert.equal("", text(core.http_header(r, "x-empty-2")))
        assert.equal("", text(core.http_header(r, "absent")))
        assert.equal(7, r.headers_count)
        assert.is_true(r.keep_alive)
      end })
      assert.equal(1, count)
    end
  end)

  it("knows when the connection ends with the request", function()
    local rows = {
      { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true },
      { "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false },
      { "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n", false },
      { "GET / HTTP/1.0\r\n\r\n", false },
      { "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true },
      { "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", false },
    }
    for _, row in ipairs(rows) do
      local keep
      local seen = whole(row[1], { on_request = function(r) keep = r.keep_alive end })
      assert.equal(2, #seen)
      assert.equal(row[2], keep)
    end
  end)

  it("reads on after an Upgrade it does not take, and after CONNECT", function()
    for _, head in ipairs({
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" ..
        "HTTP2-Settings: AA\r\nContent-Length: 2\r\n\r\nab",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
      "CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n",
      "CONNECT b:443 HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" ..
        "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    }) do
      local seen = whole(head .. GET)
      assert.equal(4, #seen)
      assert.equal("/", seen[3].head)
    end
  end)

  it("takes bytes behind a last request only when it is fed them", function()
    local last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    local seen, at = whole(last .. "garbage \0", { stop = true })
    assert.equal("head /, body 0", outline(seen))
    assert.equal(#last, at)
  end)
end)

local function post(headers, body) return "POST / HTTP/1.1\r\n" .. headers .. "\r\n" .. (body or "") end

local CODED, SIZED = "Transfer-Encoding: chunked\r\n", "Content-Length: 3\r\n"
local MALFORMED = {
  { "a missing Host", 400, post("") },
  { "two Hosts", 400, post("Host: a\r\nHost: a\r\n") },
  { "a folded header", 400, post(HOST .. "X: a\r\n b\r\n") },
  { "a header folded by a tab", 400, post(HOST .. "X:\r\n\tb\r\n") },
  { "space before the colon", 400, post("Host : a\r\n") },
  { "a header without a name", 400, post(HOST .. ": b\r\n") },
  { "a first header without a name", 400, post(": b\r\n") },
  { "a header without a colon", 400, post(HOST .. "abc\r\n") },
  { "NUL in a value", 400, post(HOST .. "X: a\0b\r\n") },
  { "a bare CR in a value", 400, post(HOST .. "X: a\rb\r\n") },
  { "a bare LF after the request line", 400, "GET / HTTP/1.1\nHost: a\r\n\r\n" },
  { "a bare LF after a header", 400, "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n" },
  { "a bare LF as the empty line", 400, "GET / HTTP/1.1\r\nHost: a\r\n\nGET" },
  { "Content-Length and Transfer-Encoding", 400, post(HOST .. SIZED .. CODED, "abc") },
  { "Transfer-Encoding and Content-Length", 400, post(HOST .. CODED .. SIZED, "abc") },
  { "two lengths", 400, post(HOST .. "Content-Length: 3\r\nContent-Length: 3\r\n", "abc") },
  { "a list of lengths", 400, post(HOST .. "Content-Length: 3, 3\r\n", "abc") },
  { "a negative length", 400, post(HOST .. "Content-Length: -1\r\n") },
  { "a signed length", 400, post(HOST .. "Content-Length: +1\r\n", "a") },
  { "a length in hex", 400, post(HOST .. "Content-Length: 0x1\r\n", "a") },
  { "a length past 64 bits", 400, post(HOST .. "Content-Length: 18446744073709551616\r\n") },
  { "a length of 2^64-1", 413, post(HOST .. "Content-Length: 18446744073709551615\r\n") },
  { "another transfer coding", 501, post(HOST .. "Transfer-Encoding: gzip\r\n") },
  { "a second transfer coding", 501, post(HOST .. "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n") },
  { "chunked twice", 501, post(HOST .. "Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n") },
  { "chunked in two headers", 501, post(HOST .. CODED .. CODED, "0\r\n\r\n") },
  { "another coding in a second header", 501, post(HOST .. CODED .. "Transfer-Encoding: identity\r\n", "0\r\n\r\n") },
  { "an empty second coding", 501, post(HOST .. CODED .. "Transfer-Encoding:\r\n", "0\r\n\r\n") },
  { "chunked with a parameter", 501, post(HOST .. "Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n") },
  { "chunked with a vertical tab", 400, post(HOST .. "Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n") },
  { "Transfer-Encoding in HTTP/1.0", 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
  { "a bad chunk size", 400, post(HOST .. CODED, "zz\r\n") },
  { "a negative chunk size", 400, post(HOST .. CODED, "-1\r\n") },
  { "a chunk size in 0x", 400, post(HOST .. CODED, "0x1\r\na\r\n") },
  { "a chunk size past 64 bits", 400, post(HOST .. CODED, "fffffffffffffffff\r\n") },
  { "a chunk of 2^64-1", 413, post(HOST .. CODED, "ffffffffffffffff\r\n") },
  { "a chunk longer than its size", 400, post(HOST .. CODED, "1\r\nab\r\n") },
  { "a chunk line that ends in a bare LF", 400, post(HOST .. CODED, "1\na\r\n0\r\n\r\n") },
  { "a chunk that ends in a bare LF", 400, post(HOST .. CODED, "1\r\na\n0\r\n\r\n") },
  { "a last chunk that ends in a bare LF", 400, post(HOST .. CODED, "0\n\r\n") },
  { "a trailer that ends in a bare LF", 400, post(HOST .. CODED, "0\r\nT: a\n\r\n") },
  { "trailers that end in a bare LF", 400, post(HOST .. CODED, "0\r\nT: a\r\n\n") },
  { "no trailers that end in a bare LF", 400, post(HOST .. CODED, "0\r\n\nGET") },
  { "an unknown expectation", 417, post(HOST .. "Expect: 200-ok\r\nContent-Length: 1\r\n") },
  { "the HTTP/2 preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
  { "HTTP/2.0 in a request line", 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n" },
  { "HTTP/0.9", 505, "GET / HTTP/0.9\r\n\r\n" },
  { "HTTP/1.2", 505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n" },
  { "a TLS hello", 400, "\22\3\1\2\0\1\0\1\252\3\3" },
  { "no method", 400, " / HTTP/1.1\r\nHost: a\r\n\r\n" },
  { "no target", 400, "GET  HTTP/1.1\r\nHost: a\r\n\r\n" },
  { "a space in the target", 400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n" },
  { "an unknown method", 400, "FETCH / HTTP/1.1\r\nHost: a\r\n\r\n" },
  { "a response", 400, "HTTP/1.1 200 OK\r\n\r\n" },
}

describe("a malformed request", function()
  for _, row in ipairs(MALFORMED) do
    it(("gets one %d: %s"):format(row[2], row[1]), function()
      for _, sizes in ipairs({ { 1e9 }, { 1 }, { 7 } }) do
        local seen = parse(row[3], sizes)
        local last = seen[#seen] or {}
        assert.equal(row[2], last.error, last.why)
        assert.is_true(#last.why > 0)
        for i = 1, #seen - 1 do assert.is_truthy(seen[i].head) end
      end
    end)
  end
end)

describe("the parser's bounds are exact:", function()
  local function head_of(bytes)
    local start, finish = "GET / HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n"
    return start .. ("x"):rep(bytes - #start - #finish) .. finish
  end

  it("a head of 16384 bytes", function()
    for _, sizes in ipairs({ { 1e9 }, { 1000 } }) do
      assert.equal("head /, body 0", outline((parse(head_of(16384), sizes))))
      assert.equal("error 431", outline((parse(head_of(16385), sizes))))
    end
    assert.equal("error 431", outline(whole("GET / HTTP/1.1\r\nHost: a\r\nX:" .. (" "):rep(20000))))
  end)

  it("a target of 4096 bytes", function()
    local function get(n) return "GET /" .. ("x"):rep(n - 1) .. " HTTP/1.1\r\n" .. HOST .. "\r\n" end
    assert.equal(2, #whole(get(4096)))
    assert.equal("error 414", outline(whole(get(4097))))
    assert.equal("error 414", outline((parse(get(4097), { 1 }))))
  end)

  it("100 headers", function()
    local function get(n) return "GET / HTTP/1.1\r\n" .. HOST .. ("a: b\r\n"):rep(n - 1) .. "\r\n" end
    assert.equal(2, #whole(get(100)))
    assert.equal("error 431", outline(whole(get(101))))
  end)

  it("a body of known length, refused by its head", function()
    local function sent(n) return post(HOST .. ("Content-Length: %d\r\n"):format(n), ("b"):rep(n)) end
    assert.equal("head /, body 1000", outline(whole(sent(1000), { max = 1000 })))
    local seen, at = whole(sent(1001), { max = 1000 })
    assert.equal("head /, error 413", outline(seen))
    assert.equal(#sent(1001) - 1001, at)
    assert.is_true(seen[2].has_head)
  end)

  it("a chunked body, refused by the chunk's size", function()
    local function sent(a, b)
      return post(HOST .. CODED,
        ("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n"):format(a, ("b"):rep(a), b, ("b"):rep(b)))
    end
    assert.equal("head /, body 1000", outline(whole(sent(999, 1), { max = 1000 })))
    assert.equal("head /, error 413", outline(whole(sent(999, 2), { max = 1000 })))
    assert.equal("head /, error 413", outline((parse(sent(1, 1000), { 1 }, { max = 1000 }))))
  end)

  it("256 bytes of a chunk's extensions, and 4096 of trailers", function()
    local function sent(extension, trailer)
      return post(HOST .. CODED, "1;" .. ("e"):rep(extension) .. "\r\na\r\n0\r\nT: " ..
        ("t"):rep(trailer - 1) .. "\r\n\r\n")
    end
    assert.equal("head /, body 1", outline(whole(sent(256, 4096))))
    assert.equal("head /, error 400", outline(whole(sent(257, 4096))))
    assert.equal("head /, error 431", outline(whole(sent(256, 4097))))
  end)

  it("framing that outweighs the data", function()
    local padded = ("0"):rep(70000) .. "1\r\na\r\n0\r\n\r\n"
    assert.equal("head /, error 400", outline((parse(post(HOST .. CODED, padded), { 4096 }))))
    local ones = ("1\r\na\r\n"):rep(50000) .. "0\r\n\r\n"
    assert.equal("head /, body 50000", outline((parse(post(HOST .. CODED, ones), { 4096 }))))
  end)

  it("a body read past without keeping it", function()
    local function discard(_, parser) core.http1_discard(parser) end
    local function sent(n) return post(HOST .. ("Content-Length: %d\r\n"):format(n), ("b"):rep(n)) end
    assert.equal("head /, body 0, head /, body 0", outline(whole(sent(65536) .. GET, { max = 10, on_head = discard })))
    assert.equal("head /, error 413", outline(whole(sent(65537), { on_head = discard })))
    local chunked = post(HOST .. CODED, ("400\r\n%s\r\n"):format(("b"):rep(1024)):rep(65))
    assert.equal("head /, error 413", outline(whole(chunked, { on_head = discard })))
  end)
end)

describe("the parser's memory", function()
  it("takes the memory that one before it left, and is charged for it", function()
    local budget = ffi.new("struct http_budget", { 0, 400000 })
    budget.spare_bytes_max = 150000
    local most
    local options = { budget = budget, on_request = function() most = tonumber(budget.bytes) end }
    local function take(n)
      local body = ("b"):rep(n)
      local seen = whole(post(HOST .. ("Content-Length: %d\r\n"):format(n), body), options)
      assert.equal(body, seen[2].body)
    end
    take(100000)
    assert.same({ 100000, 0, 100000 }, { most, tonumber(budget.bytes), tonumber(budget.spare_bytes) })
    local spare = budget.spare
    take(10)
    assert.same({ 100000, 0, 100000 }, { most, tonumber(budget.bytes), tonumber(budget.spare_bytes) })
    assert.equal(spare, budget.spare)
    take(200000)                              -- too large to be kept
    assert.same({ 0, 100000 }, { tonumber(budget.bytes), tonumber(budget.spare_bytes) })
    core.http_budget_trim(budget)
    assert.is_true(budget.spare == nil)
  end)

  it("is charged to the shared budget and given back", function()
    local budget = ffi.new("struct http_budget", { 0, 100000 })
    local most = 0
    local function sent(n) return post(HOST .. ("Content-Length: %d\r\n"):format(n), ("b"):rep(n)) end
    local options = { budget = budget, on_request = function() most = tonumber(budget.bytes) end }
    assert.equal("head /, body 90000", outline((parse(sent(90000), { 1000 }, options))))
    assert.equal(90000, most)
    assert.equal(0, tonumber(budget.bytes))
    assert.equal("head /, error 503", outline((parse(sent(100001), { 1000 }, options))))
    assert.equal(0, tonumber(budget.bytes))
  end)

  it("may fail anywhere: that is 503, and nothing is lost", function()
    local live = core.heap_live()
    local out = ffi.new("struct http1 *[1]")
    core.heap_fail_from(1)
    assert.equal(-1, core.http1_new(100, nil, out))
    core.heap_fail_from(0)
    for n = 1, 2 do
      local armed = false
      core.http1_new(1048576, nil, out)
      local parser, taken, at, status = out[0], ffi.new("size_t[1]"), 0, 0
      core.heap_fail_from(n)
      repeat
        local rest = POST:sub(at + 1)
        local event = core.http1_feed(parser, rest, #rest, taken)
        at = at + tonumber(taken[0])
        if event == ERROR then status = core.http1_error(parser).status; armed = true end
      until event == ERROR or event == REQUEST
      core.heap_fail_from(0)
      core.http1_free(parser)
      assert.is_true(armed)
      assert.equal(503, status)
    end
    assert.equal(live, core.heap_live())
  end)

  it("lends the body's place, so that reading into it copies nothing", function()
    local out, taken, n = ffi.new("struct http1 *[1]"), ffi.new("size_t[1]"), ffi.new("size_t[1]")
    core.http1_new(1048576, nil, out)
    local parser = out[0]
    local head = post(HOST .. "Content-Length: 200000\r\n")
    assert.is_true(core.http1_lend(parser, n) == nil)
    assert.equal(HEAD, core.http1_feed(parser, head, #head, taken))
    assert.equal(MORE, core.http1_feed(parser, nil, 0, taken))
    local sent, event = 0, MORE
    while event == MORE do
      local place = core.http1_lend(parser, n)
      assert.is_true(place ~= nil and n[0] > 0 and n[0] <= 200000 - sent)
      ffi.fill(place, n[0], 97 + sent % 7)
      event = core.http1_feed(parser, place, n[0], taken)
      assert.equal(n[0], taken[0])
      sent = sent + tonumber(n[0])
    end
    assert.equal(REQUEST, event)
    assert.equal(200000, sent)
    assert.equal(97, core.http1_request(parser).body[0])
    assert.is_true(core.http1_lend(parser, n) == nil)
    core.http1_free(parser)
  end)
end)

describe("the head of an answer", function()
  local function head(fields, bytes, keep, date)
    local b = ffi.new("struct buffer")
    core.buffer_init(b, 4096)
    assert.equal(0, core.http_head(b, ffi.new("struct http_response", fields), bytes, keep, date))
    local out = ffi.string(b.data, b.len)
    core.buffer_deinit(b)
    return out
  end

  it("says what the response says", function()
    assert.equal("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
      head({ status = 200 }, 0, true))
    local allow, kind = "POST", "text/plain"
    assert.equal("HTTP/1.1 405 Method Not Allowed\r\nDate: now\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n" ..
      "Allow: POST\r\nRetry-After: 1\r\nConnection: close\r\n\r\n",
      head({ status = 405, allow = allow, content_type = kind, retry_after_s = 1 }, 7, false, "now"))
    assert.equal("HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n", head({ status = 204 }, 0, true))
  end)
end)

describe("every prefix of a request", function()
  it("is waited for: neither an error nor a request, and no byte behind it is read", function()
    local lines = "Content-Type: application/json\r\nX-A:  b \r\n"
    for _, input in ipairs({
      "POST /v1/traces?a=b HTTP/1.1\r\n" .. HOST .. lines .. "Content-Length: 5\r\n\r\nhello",
      "POST /v1/traces HTTP/1.1\r\n" .. HOST .. lines .. "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n",
      "\r\nGET / HTTP/1.0\r\n\r\n",
    }) do
      for n = 0, #input do
        local said = outline(whole(input:sub(1, n)))
        assert.is_nil(said:find("error", 1, true), n)
        assert.equal(n == #input, said:find("body", 1, true) ~= nil, n)
      end
    end
  end)
end)
