-- Bodies that would keep others waiting: they stand in line, are decoded aside, and taken in parts. Here "aside" is
-- a list that the spec works off by hand.
local support = require("spec.support")
local wire = require("spec.otlp_writer")
local core, ffi = support.core("heap", "buffer", "http", "otlp", "intake")

local BODY_MAX = 8 * 1048576
local NOW, NEXT_TURN, WAIT = 0, 1, 2
local anchors

local function cast(type, f)
  local callback = ffi.cast(type, f)
  anchors[#anchors + 1] = callback
  return callback
end
local function text_of(s) return { p = s, n = #s } end

-- n spans in one body, and so many bytes more.
local function body_of(n, more)
  local list = {}
  for i = 1, n do list[i] = wire.span { span_id = ("%08d"):format(i) } end
  return wire.body(list, more and wire.attribute(1, "pad", ("x"):rep(more)))
end

describe("a body that takes long", function()
  local t, live

  local function new_intake()
    t = { jobs = {}, woken = 0, taken = 0, parts = 0, at_once = 0 }
    local settings = ffi.new("struct intake_options", { limits = { 64, 262144, 524288, BODY_MAX * 4 }, body_bytes_max = BODY_MAX })
    local calls = ffi.new("struct intake_calls")
    calls.receive = cast("int (*)(void *, const uint8_t *, size_t, const struct otlp_summary *, struct intake_receipt *)",
      function(_, _, _, summary, receipt)
        t.at_once = t.at_once + summary.spans
        receipt.accepted = summary.spans
        return 0
      end)
    calls.aside = cast("void (*)(void *, void (*)(void *), void (*)(void *), void *)", function(_, work, done, job)
      t.jobs[#t.jobs + 1] = { work = work, done = done, job = job }
    end)
    calls.receive_some = cast("bool (*)(void *, struct otlp_cursor *, size_t, struct intake_receipt *)",
      function(_, cursor, cost_max, receipt)
        local cost = ffi.new("size_t[1]")
        t.parts = t.parts + 1
        while cost[0] < cost_max do
          local step = core.otlp_step(cursor, cost)
          if step == ffi.C.OTLP_STEP_END then return false end
          if step == ffi.C.OTLP_STEP_SPAN then t.taken, receipt.accepted = t.taken + 1, receipt.accepted + 1 end
        end
        return true
      end)
    local out, http = ffi.new("struct intake *[1]"), ffi.new("struct http_calls")
    assert.equal(0, core.intake_new(settings, calls, out))
    core.intake_http(out[0], http)
    t.intake, t.http = out[0], http
    t.wake = cast("void (*)(void *)", function() t.woken = t.woken + 1 end)
  end

  -- A request that is whole; ask() as often as the server would.
  local function request(text, options)
    options = options or {}
    local r = { work = ffi.new("void *[1]"), buffer = ffi.new("struct buffer"), text = text }
    r.pointer, r.bytes, r.done = support.guarded(text)
    core.buffer_init(r.buffer, 65536)
    r.types = { options.type or "application/x-protobuf", options.encoding or "", "/v1/traces" }
    r.request = ffi.new("struct http_request", { verb = 3, path = text_of(r.types[3]), content_type = text_of(r.types[1]),
      content_encoding = text_of(r.types[2]), keep_alive = true, body = r.pointer, body_bytes = r.bytes,
      work = r.work, wake = t.wake, budget = options.budget })
    function r.ask()
      local response = ffi.new("struct http_response", { body = r.buffer })
      core.buffer_clear(r.buffer)
      t.http.on_request(t.http.ctx, r.request, response)
      return tonumber(response.later), response.status
    end
    jit.off(r.ask)
    function r.answer()
      local later, status
      repeat later, status = r.ask() until later ~= NEXT_TURN
      return later, status
    end
    function r.close()
      core.buffer_deinit(r.buffer)
      r.done()
    end
    return r
  end
  local function work_off()
    local job = table.remove(t.jobs, 1)
    job.work(job.job)
    job.done(job.job)
  end

  before_each(function()
    anchors, live = {}, core.heap_live()
    new_intake()
  end)
  after_each(function()
    core.intake_free(t.intake)
    for _, callback in ipairs(anchors) do callback:free() end
    assert.equal(live, core.heap_live())
  end)

  it("is one that is large, or has many spans; others are answered at once", function()
    local rows = {
      { NOW, body_of(512) }, { WAIT, body_of(1, 600000) }, { WAIT, body_of(5000) }, { NOW, "\10" }, { NOW, "" },
      { WAIT, wire.text(1, ""):rep(100000) },
      { NOW, wire.body { wire.span { extra = wire.text(9, ""):rep(32000) } } },
      { WAIT, wire.body { wire.span { extra = wire.text(9, ""):rep(33000) } } },      -- it would wait by its check alone
    }
    for i, row in ipairs(rows) do
      local r = request(row[2])
      assert.equal(row[1], (r.ask()), i)
      if row[1] == WAIT then
        work_off()
        assert.same({ NOW, 200 }, { r.answer() })
      end
      r.close()
    end
  end)

  it("is taken in parts, others being served in between, and every span of it once", function()
    local r, small = request(body_of(20000)), request(body_of(3))
    assert.equal(WAIT, (r.ask()))
    assert.same({ NOW, 200 }, { small.ask() })
    work_off()
    assert.equal(1, t.woken)
    assert.equal(NEXT_TURN, (r.ask()))
    assert.is_true(t.taken < 2500)
    assert.same({ NOW, 200 }, { small.ask() })
    assert.same({ NOW, 200 }, { r.answer() })
    assert.same({ 20000, 6 }, { t.taken, t.at_once })
    assert.is_true(t.parts > 8)
    r.close()
    small.close()
  end)

  it("waits for the one before it, and is begun when that one is in", function()
    local a, b = request(body_of(5000)), request(body_of(6000))
    assert.equal(WAIT, (a.ask()))
    assert.equal(WAIT, (b.ask()))
    assert.equal(1, #t.jobs)
    work_off()
    assert.same({ NOW, 200 }, { a.answer() })
    assert.equal(5000, t.taken)
    work_off()
    assert.same({ 2, 5000 }, { t.woken, t.taken })
    assert.same({ NOW, 200 }, { b.answer() })
    assert.equal(11000, t.taken)
    a.close()
    b.close()
  end)

  it("that is no OTLP is refused when it was decoded, and the next goes on", function()
    local a, b = request(body_of(5000, 600000) .. "\10"), request(body_of(1, 600000))
    a.ask()
    b.ask()
    work_off()
    assert.same({ NOW, 400 }, { a.answer() })
    work_off()
    assert.same({ NOW, 200 }, { b.answer() })
    assert.equal(1, t.taken)
    a.close()
    b.close()
  end)

  it("is charged for what decoding it may take, and refused where that is not to be had", function()
    local budget = ffi.new("struct http_budget", { bytes = 0, bytes_max = 2 * 1048576 })
    local json = '{"resourceSpans":[],"pad":"' .. ("x"):rep(1048576) .. '"}'
    local a = request(json, { type = "application/json", budget = budget })
    assert.equal(WAIT, (a.ask()))
    assert.equal(2 * 1048576 - #json, tonumber(budget.bytes))
    local b = request(json, { type = "application/json", budget = budget })
    b.ask()
    work_off()
    budget.bytes = budget.bytes + 3 * 1048576                 -- others hold as much meanwhile
    assert.same({ NOW, 200 }, { a.answer() })
    work_off()
    assert.same({ NOW, 503 }, { b.answer() })
    assert.equal(3 * 1048576, tonumber(budget.bytes))
    a.close()
    b.close()
  end)

  it("may take as much as all bodies may have, itself and all that it is decoded into; more is 413", function()
    local function text_of_mib(mib) return ('{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":{"stringValue":"%s"}}]}}]}')
      :format(("x"):rep(mib * 1048576)) end
    local rows = {                                            -- at 12 MiB: text is as long in wire form as it is in JSON
      { 200, text_of_mib(5.9) }, { 413, text_of_mib(6.1) },
      { 200, support.gzip(text_of_mib(5.9), 1), "gzip" }, { 413, support.gzip(text_of_mib(6.1), 1), "gzip" },
      { 200, '{"x":"' .. ("x"):rep(BODY_MAX - 10) .. '"}' },
    }
    for i, row in ipairs(rows) do
      local budget = ffi.new("struct http_budget", { bytes = #row[2], bytes_max = 12 * 1048576 })
      local r = request(row[2], { type = "application/json", encoding = row[3], budget = budget })
      assert.equal(WAIT, (r.ask()))
      assert.is_true(tonumber(budget.bytes) <= 12 * 1048576)
      work_off()
      local later, status = r.answer()
      assert.same({ NOW, row[1] }, { later, status }, i)
      assert.equal(#row[2], tonumber(budget.bytes))
      r.close()
    end
  end)

  it("leaves its memory to the next one while it is small", function()
    local function held_after(pad)
      local r = request(('{"x":"%s","resourceSpans":[{"schemaUrl":"%s"}]}'):format(("x"):rep(600000), ("y"):rep(pad)), { type = "application/json" })
      local before = core.heap_live()
      assert.equal(WAIT, (r.ask()))
      work_off()
      assert.same({ NOW, 200 }, { r.answer() })
      local held = tonumber(core.heap_live() - before) - (r.buffer.data ~= nil and 1 or 0)
      r.close()
      return held
    end
    assert.equal(1, held_after(1000))
    assert.equal(0, held_after(2000))
    assert.equal(-1, held_after(2000000))
    assert.equal(1, held_after(1000))
    core.intake_rest(t.intake)
    assert.equal(0, held_after(1000))
    core.intake_rest(t.intake)
    core.intake_rest(t.intake)
    assert.equal(1, held_after(1000))
  end)

  it("is refused where there is no memory for it, and nothing is left of it", function()
    for n = 1, 3 do
      local r = request(body_of(5000))
      core.heap_fail_from(n)
      local later, status = r.ask()
      if later == WAIT then
        work_off()
        later, status = r.answer()
      end
      core.heap_fail_from(0)
      assert.equal(NOW, later)
      assert.is_true(status == 503 or status == 200)
      r.close()
    end
  end)
end)
