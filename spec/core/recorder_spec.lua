-- Recording, called as a server calls it: queues, losses, want of memory, the end.
local support = require("spec.support")
local core, ffi = support.core("heap", "buffer", "http", "otlp", "otlp_json", "recorder", "source", "http_query")
local wire = require("spec.otlp_writer")

local STREAM = 3

local function body_of(...)
  local spans = {}
  for i, id in ipairs { ... } do
    spans[i] = wire.span { trace_id = string.char(id):rep(16), span_id = string.char(id):rep(8), name = "n" .. id }
  end
  return wire.body(spans)
end

local function take(r, body, now)
  local cursor = ffi.new("struct otlp_cursor")
  assert.equal(0, core.otlp_open(cursor, body, #body, nil))
  core.recorder_take(r, cursor, ffi.cast("size_t", -1), now)
  core.otlp_close(cursor)
end

local woken
local wake = ffi.cast("void (*)(void *)", function() woken = woken + 1 end)

-- A client of the recorder: next() is what a call of the server gives.
local function client(recorder, query)
  local work, b = ffi.new("void *[1]"), ffi.new("struct buffer")
  local request = ffi.new("struct http_request", { query = { p = query or "", n = #(query or "") }, work = work, wake = wake })
  core.buffer_init(b, 16777216)
  return { request = request, work = work, next = function(gone)
    local response = ffi.new("struct http_response", { body = b })
    request.gone = gone or false
    core.recorder_answer(recorder, nil, request, response)
    local text = b.len > 0 and ffi.string(b.data, b.len) or ""
    core.buffer_deinit(b)
    core.buffer_init(b, 16777216)
    return tonumber(response.status), text, response.later == STREAM
  end }
end

-- Runs body(recorder) and checks that nothing is left behind.
local function recording(body)
  local live = core.heap_live()
  local recorder = core.recorder_new()
  woken = 0
  body(recorder)
  core.recorder_end(recorder)
  core.recorder_free(recorder)
  assert.equal(0, tonumber(core.heap_live() - live))
end
jit.off(recording)

describe("a recording", function()
  it("begins with an empty line, wakes its client once, and gives what there is", function()
    recording(function(r)
      local c = client(r)
      assert.same({ 200, "\n", true }, { c.next() })
      local body = body_of(1, 2)
      take(r, body, 7)
      take(r, body, 8)
      assert.equal(1, woken)
      local _, text = c.next()
      local _, lines = text:gsub("\n", "")
      assert.equal(2, lines)
      assert.equal(1, (text:find('{"receivedAtUnixNano":"7","resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0101', 1, true)))
      assert.same({ 200, "", false }, { c.next(true) })
    end)
  end)

  it("of traces has no line with two of them, and of one no other", function()
    recording(function(r)
      local by, one = client(r, "by=trace"), client(r, "trace=" .. ("02"):rep(16))
      by.next()
      one.next()
      local body = body_of(1, 2, 2, 1)
      take(r, body, 7)
      local _, lines = select(2, by.next()):gsub("\n", "")
      assert.equal(3, lines)
      local text = select(2, one.next())
      assert.same({ nil, 1 }, { text:find("0101", 1, true), select(2, text:gsub("\n", "")) })
      by.next(true)
      one.next(true)
    end)
  end)

  it("loses whole lines past its bound, and names them in their place", function()
    recording(function(r)
      local c, body = client(r), wire.body { wire.span { attributes = { x = ("x"):rep(1500000) } } }
      c.next()
      for time = 1, 3 do take(r, body, time) end
      core.recorder_tick(r)
      local _, text = c.next()
      assert.equal('{"fluo":{"lost":{"lines":1,"spans":1}}}', text:match("\n([^\n]*)\n$"))
      assert.equal(2, select(2, text:gsub('"receivedAt', "")))
      local stats = core.recorder_stats(r)
      assert.same({ 2, 1, 1 }, { tonumber(stats.lines), tonumber(stats.lost_lines), tonumber(stats.lost_spans) })
      c.next(true)
    end)
  end)

  it("loses what finds no memory in the same way", function()
    recording(function(r)
      local c, body = client(r), body_of(1, 2)
      c.next()
      core.heap_fail_from(1)
      take(r, body, 8)
      core.recorder_tick(r)
      core.heap_fail_from(0)
      take(r, body, 9)
      local _, text = c.next()
      assert.equal(1, (text:find('{"fluo":{"lost":{"lines":1,"spans":2}}}\n{"receivedAtUnixNano":"9"', 1, true)), text)
      c.next(true)
    end)
  end)

  it("that finds no memory is refused", function()
    recording(function(r)
      local c = client(r)
      core.heap_fail_only(1)
      local status = c.next()
      core.heap_fail_only(0)
      assert.equal(503, status)
    end)
  end)

  it("ends with a line that says so, when the agent does", function()
    recording(function(r)
      local c = client(r)
      c.next()
      core.recorder_end(r)
      assert.same({ 200, '{"fluo":{"ended":true}}\n', false }, { c.next() })
      assert.equal(503, (client(r).next()))
    end)
  end)
end)

describe("a query", function()
  local function pairs_of(text)
    local q, pair, list = ffi.new("struct http_query"), ffi.new("struct http_query_pair"), {}
    core.http_query_init(q, ffi.new("struct http_text", { text, #text }))
    local got = core.http_query_next(q, pair)
    while got > 0 do
      list[#list + 1] = ffi.string(pair.name.p, pair.name.n) .. "=" .. ffi.string(pair.value.p, pair.value.n)
      got = core.http_query_next(q, pair)
    end
    return table.concat(list, " "), got
  end

  it("is read pair by pair, decoded", function()
    for text, expected in pairs { ["a=1&b=x%20y+z"] = "a=1 b=x y z", ["&&a&"] = "a=", ["a=b=c"] = "a=b=c", ["%61=%2F"] = "a=/", [""] = "" } do
      assert.same({ expected, 0 }, { pairs_of(text) })
    end
    for _, text in ipairs { "a=%", "a=%4", "a=%zz", ("a"):rep(1025) } do assert.equal(-1, select(2, pairs_of(text))) end
  end)
end)
