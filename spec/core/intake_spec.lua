local support = require("spec.support")
local cjson = require("cjson")
local core, ffi = support.core("heap", "buffer", "http", "otlp", "intake")

local RECEIVE = "int (*)(void *, const uint8_t *, size_t, const struct otlp_summary *, struct intake_receipt *)"
local PROTOBUF, JSON = "application/x-protobuf", "application/json"
local POST, GET = 3, 1

local SPAN = '{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"a",' ..
  '"kind":"SPAN_KIND_SERVER"}'
local BAD = '{"traceId":"5b8e","spanId":"eee19b7ec3c1b174","name":"b"}'
local function json_of(...)
  return '{"resourceSpans":[{"scopeSpans":[{"spans":[' .. table.concat({ ... }, ",") .. "]}]}]}"
end

-- The same as protobuf: resource_spans { scope_spans { spans { trace_id span_id name } } }
local function message(number, text) return string.char(number * 8 + 2, #text) .. text end
local function wire_of()
  local span = message(1, ("t"):rep(16)) .. message(2, ("s"):rep(8)) .. message(5, "a")
  return message(1, message(2, message(2, span)))
end

local gzip = support.gzip

local function text_of(s) return { p = s, n = #s } end

--- An intake with a recording engine; ask(request) gives the answer as a server would.
local function with(options, body)
  local live = core.heap_live()
  local t = { spans = 0, calls = 0, receipt = {} }
  local receive = ffi.cast(RECEIVE, function(_, p, n, summary, receipt)
    t.calls = t.calls + 1
    t.spans = t.spans + summary.spans
    t.body = ffi.string(p, n)
    receipt.accepted, receipt.rejected = summary.spans - summary.rejected, summary.rejected
    receipt.rejected_for[core.OTLP_INVALID_ID] = summary.rejected
    if t.receipt.dropped_memory then receipt.dropped_memory = t.receipt.dropped_memory end
    return t.result or 0
  end)
  local settings = ffi.new("struct intake_options", {
    limits = { 64, 1000, 10000, options.decoded_bytes_max or 1048576 },
    body_bytes_max = options.body_bytes_max or 65536, reject_other_signals = options.reject or false })
  settings.traces_path = options.traces_path
  local out, calls = ffi.new("struct intake *[1]"), ffi.new("struct http_calls")
  assert.equal(0, core.intake_new(settings, ffi.new("struct intake_calls", { receive = receive }), out))
  core.intake_http(out[0], calls)
  local b = ffi.new("struct buffer")
  core.buffer_init(b, 65536)

  function t.ask(r)
    local request = ffi.new("struct http_request", { verb = r.verb or POST, path = text_of(r.path or "/v1/traces"),
      content_type = text_of(r.type or JSON), content_encoding = text_of(r.encoding or ""), keep_alive = true })
    local headers = ffi.new("struct http_header[?]", #(r.codings or {}))
    for i, coding in ipairs(r.codings or {}) do
      headers[i - 1] = { text_of("content-encoding"), text_of(coding) }
    end
    request.headers, request.headers_count = headers, #(r.codings or {})
    local response = ffi.new("struct http_response")
    core.buffer_clear(b)
    response.body = b
    if r.refuse then
      response.status = r.refuse
      calls.on_refuse(calls.ctx, request, "why", response)
    else
      calls.on_head(calls.ctx, request, response)
      if response.status == 0 then
        local pointer, n, done = support.guarded(r.body or "")
        request.body, request.body_bytes = pointer, n
        calls.on_request(calls.ctx, request, response)
        done()
      end
    end
    local function static(p) return p ~= nil and ffi.string(p) or nil end
    return { status = response.status, type = static(response.content_type), allow = static(response.allow),
      retry = response.retry_after_s, body = b.len > 0 and ffi.string(b.data, b.len) or "", err = b.err }
  end
  jit.off(t.ask)
  function t.stats() return core.intake_stats(out[0]) end
  t.intake = out[0]
  local ok, failure = pcall(body, t)
  core.buffer_deinit(b)
  core.intake_free(out[0])
  receive:free()
  if not ok then error(failure, 0) end
  assert.equal(live, core.heap_live())
end

describe("the intake's door", function()
  it("answers by path, method, type and coding, in that order", function()
    local rows = {
      { 200, {} }, { 200, { path = "/v1/metrics" } }, { 200, { path = "/v1/logs" } },
      { 200, { path = "/v1development/profiles" } }, { 404, { path = "/" } }, { 404, { path = "/v1/traces/" } },
      { 404, { path = "/v1/trace" } }, { 404, { path = "/x", verb = GET } }, { 405, { verb = GET } },
      { 405, { path = "/v1/logs", verb = GET, type = "x/y" } }, { 405, { verb = 0 } },
      { 200, { type = "Application/JSON" } }, { 200, { type = "application/json; charset=utf-8" } },
      { 200, { type = "application/json ;x" } }, { 200, { type = "APPLICATION/X-PROTOBUF", body = "" } },
      { 415, { type = "" } }, { 415, { type = "text/plain" } }, { 415, { type = "application/jsonx" } },
      { 415, { type = "application/protobuf" } }, { 200, { encoding = "identity" } },
      { 200, { encoding = "Identity" } }, { 415, { codings = { "gzip", "gzip" } } },
      { 415, { encoding = "zstd" } }, { 415, { encoding = "gzip, gzip" } }, { 415, { encoding = "deflate" } },
    }
    with({}, function(t)
      local refused = 0
      for i, row in ipairs(rows) do
        row[2].body = row[2].body or "{}"
        local a = t.ask(row[2])
        assert.equal(row[1], a.status, i)
        if a.status > 200 then refused = refused + 1 end
        if a.status == 405 or a.status == 415 then assert.equal("text/plain; charset=utf-8", a.type) end
        assert.equal(a.status == 405 and "POST" or nil, a.allow)
      end
      assert.equal(refused, tonumber(t.stats().refused))
    end)
  end)

  it("says which paths there are", function()
    with({}, function(t)
      local why = "no such path; POST to /v1/traces, /v1/metrics, /v1/logs or /v1development/profiles"
      assert.same({ code = 5, message = why }, cjson.decode(t.ask({ path = "/x" }).body))
      local a = t.ask({ path = "/x", type = PROTOBUF })
      assert.same({ "\8\5\18" .. string.char(#why) .. why, PROTOBUF }, { a.body, a.type })
      a = t.ask({ path = "/x", type = "text/html" })
      assert.same({ why .. "\n", "text/plain; charset=utf-8" }, { a.body, a.type })
    end)
    with({ traces_path = "/", reject = true }, function(t)
      assert.equal("no such path; POST traces to /v1/traces, /", cjson.decode(t.ask({ path = "/v1/logs" }).body).message)
      assert.equal(200, t.ask({ path = "/", body = json_of(SPAN) }).status)
      assert.equal(1, t.spans)
    end)
  end)

  it("takes other signals without looking into them, and counts them", function()
    with({}, function(t)
      local a = t.ask({ path = "/v1/logs", body = "what?" })
      assert.same({ 200, "{}", JSON }, { a.status, a.body, a.type })
      a = t.ask({ path = "/v1/metrics", type = PROTOBUF, body = "\255" })
      assert.same({ 200, "", PROTOBUF }, { a.status, a.body, a.type })
      assert.equal(0, t.calls)
      assert.equal(1, tonumber(t.stats().requests[2][1]))
      assert.equal(1, tonumber(t.stats().requests[1][0]))
      assert.equal(5, tonumber(t.stats().bytes[2]))
    end)
  end)
end)

describe("a body of traces", function()
  it("reaches the engine as wire form, whatever it came in", function()
    with({}, function(t)
      for _, row in ipairs({
        { type = PROTOBUF, body = wire_of() }, { type = PROTOBUF, body = gzip(wire_of()), encoding = "gzip" },
        { body = json_of(SPAN) }, { body = gzip(json_of(SPAN)), encoding = "GZIP" },
        { body = gzip(json_of()) .. gzip(""), encoding = "x-gzip" },
      }) do
        local a = t.ask(row)
        assert.equal(200, a.status, a.body)
        assert.equal(row.type and "" or "{}", a.body)
      end
      assert.equal(5, t.calls)
      assert.equal(4, t.spans)
      assert.equal(3, tonumber(t.stats().gzip))
      assert.equal(2, tonumber(t.stats().enum_names))
      assert.equal(2, tonumber(t.stats().requests[0][0]))
    end)
  end)

  it("may be empty", function()
    with({}, function(t)
      assert.equal(200, t.ask({ type = PROTOBUF, body = "" }).status)
      for _, body in ipairs({ "{}", '{"resourceSpans":[]}', json_of() }) do
        assert.equal(200, t.ask({ body = body }).status)
      end
      assert.equal(400, t.ask({ body = "" }).status)
    end)
  end)

  it("that does not parse is 400 with the place, in its own encoding, and nothing of it exists", function()
    with({}, function(t)
      local a = t.ask({ body = '{"resourceSpans":[\n {"x" 1}]}' })
      assert.equal(400, a.status)
      assert.equal(JSON, a.type)
      local status = cjson.decode(a.body)
      assert.equal(3, status.code)
      assert.is_truthy(status.message:find("line 2, column %d+"))
      a = t.ask({ type = PROTOBUF, body = wire_of():sub(1, -2) })
      assert.equal(400, a.status)
      assert.equal(PROTOBUF, a.type)
      assert.equal("\8\3\18", a.body:sub(1, 3))
      assert.is_truthy(a.body:find("byte %d+"))
      a = t.ask({ body = "no gzip", encoding = "gzip" })
      assert.equal(400, a.status)
      assert.is_truthy(cjson.decode(a.body).message:find("^gzip: "))
      a = t.ask({ body = gzip(json_of(SPAN)):sub(1, -2), encoding = "gzip" })
      assert.equal(400, a.status)
      assert.equal(0, t.calls)
      assert.equal(4, tonumber(t.stats().malformed))
    end)
  end)

  it("that is too large once inflated is 413, whatever its size was", function()
    with({ body_bytes_max = 10000 }, function(t)
      local function blank(n) return gzip('{"x":"' .. ("x"):rep(n - 8) .. '"}') end
      assert.equal(200, t.ask({ body = blank(10000), encoding = "gzip" }).status)
      local a = t.ask({ body = blank(10001), encoding = "gzip" })
      assert.equal(413, a.status)
      assert.equal(8, cjson.decode(a.body).code)
      assert.equal(413, t.ask({ body = blank(5000000), encoding = "gzip" }).status)
      assert.equal(2, tonumber(t.stats().too_large))
    end)
  end)

  it("that would take too much of the buffer is 413", function()
    with({ decoded_bytes_max = 10 }, function(t)
      local a = t.ask({ type = PROTOBUF, body = wire_of() })
      assert.equal(413, a.status)
      assert.equal("\8\8\18", a.body:sub(1, 3))
    end)
  end)

  it("loses its bad spans only, and says so", function()
    with({}, function(t)
      local a = t.ask({ body = json_of(SPAN, BAD, SPAN) })
      assert.equal(200, a.status)
      local partial = cjson.decode(a.body).partialSuccess
      assert.equal("1", tostring(partial.rejectedSpans))
      assert.equal("spans rejected: 1; a trace id, span id or parent id has the wrong length or is all zero", partial.errorMessage)
      assert.equal(1, tonumber(t.stats().partial))
      t.receipt.dropped_memory = 1
      assert.equal("spans rejected: 1; a trace id, span id or parent id has the wrong length or is all zero. "
        .. "spans dropped: 1; the buffer is full (buffer.bytes_max)", cjson.decode(t.ask({ body = json_of(SPAN, BAD) }).body).partialSuccess.errorMessage)
    end)
  end)

  it("that found no room is 200 with a warning and no rejected spans", function()
    with({}, function(t)
      t.receipt.dropped_memory = 2
      local partial = cjson.decode(t.ask({ body = json_of(SPAN, SPAN) }).body).partialSuccess
      assert.equal("0", tostring(partial.rejectedSpans or 0))
      assert.equal("spans dropped: 2; the buffer is full (buffer.bytes_max)", partial.errorMessage)
    end)
  end)

  it("that the engine has no memory for is 503: come again in a second", function()
    with({}, function(t)
      t.result = -1
      local a = t.ask({ body = json_of(SPAN) })
      assert.equal(503, a.status)
      assert.equal(1, a.retry)
      assert.equal(14, cjson.decode(a.body).code)
      assert.equal(1, tonumber(t.stats().no_memory))
    end)
  end)

  it("is there or is not, whichever allocation fails as it is made", function()
    local options = ffi.new("struct intake_options", { limits = { 64, 1000, 10000, 2 ^ 20 }, body_bytes_max = 65536,
      traces_path = "/", cors_origins = "*" })
    local out, failures = ffi.new("struct intake *[1]"), 0
    repeat
      failures = failures + 1
      core.heap_fail_from(failures)
      local err = core.intake_new(options, ffi.new("struct intake_calls"), out)
      core.heap_fail_from(0)
    until err == 0
    core.intake_free(out[0])
    assert.equal(4, failures)                            -- itself and two texts
  end)

  it("gets an answer when any allocation fails", function()
    local rows = { { body = gzip(json_of(SPAN)), encoding = "gzip" }, { body = "{" }, { body = json_of(BAD) } }
    for _, row in ipairs(rows) do
      local fine
      with({}, function(t) fine = t.ask(row).status end)
      for n = 1, 40 do
        with({}, function(t)
          core.heap_fail_from(n)
          local a = t.ask(row)
          core.heap_fail_from(0)
          assert.is_true(a.status == fine or a.status == 503, a.status)
          assert.equal(0, a.err)
        end)
      end
    end
  end)
end)

describe("the hall's refusals", function()
  it("are told in the request's encoding, where that is known", function()
    with({}, function(t)
      local limit = "why of 65536 bytes (http.body_bytes_max)"
      for _, row in ipairs({ { 400, 3, "why" }, { 408, 4, "why" }, { 413, 8, limit }, { 503, 14, "why" } }) do
        local a = t.ask({ refuse = row[1] })
        assert.equal(row[1], a.status)
        assert.same({ code = row[2], message = row[3] }, cjson.decode(a.body))
      end
      local a = t.ask({ refuse = 400, type = "text/html" })
      assert.equal("", a.body)
      assert.is_nil(a.type)
    end)
  end)
end)

describe("the scratch memory", function()
  it("is given back after a large body, and when none has needed it for a second", function()
    with({ body_bytes_max = 8 * 1048576 }, function(t)
      t.ask({ path = "/x" })                     -- the answer's buffer is there from now on
      local before = core.heap_live()
      t.ask({ body = gzip(json_of(SPAN)), encoding = "gzip" })
      assert.equal(before + 2, core.heap_live())
      t.ask({ body = gzip(json_of(SPAN) .. (" "):rep(2 * 1048576)), encoding = "gzip" })
      assert.equal(before + 1, core.heap_live())
      t.ask({ body = json_of(SPAN) })
      core.intake_rest(t.intake)
      assert.equal(before + 1, core.heap_live())
      t.ask({ body = json_of(SPAN) })
      core.intake_rest(t.intake)
      assert.equal(before + 1, core.heap_live())
      core.intake_rest(t.intake)
      assert.equal(before, core.heap_live())
    end)
  end)
end)
