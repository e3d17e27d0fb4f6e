-- The API, called as a server calls it, where the ledger does not answer yet: its thread has no loop to tell.
local support = require("spec.support")
local core, ffi = support.core("heap", "buffer", "http", "log", "config", "desk", "follow", "api")
local loops = require("spec.agent.loop")

local GET, WAIT = 1, 2

local now_ns, woken
local now = ffi.cast("uint64_t (*)(void *)", function() return now_ns end)
local ready = ffi.cast("const char *(*)(void *)", function() return nil end)
local changed = ffi.cast("void (*)(void *)", function() end)
local wake = ffi.cast("void (*)(void *)", function() woken = woken + 1 end)

-- A request to it: next() is what a call of the server gives: status, text, whether it waits.
local function request(calls, path)
  path = "/api/v1/" .. path
  local work, b = ffi.new("void *[1]"), ffi.new("struct buffer")
  local r = ffi.new("struct http_request", { verb = GET, path = { path, #path }, work = work, wake = wake })
  core.buffer_init(b, 16777216)
  return { anchors = { path, work, r }, next = function(gone)
    local response = ffi.new("struct http_response", { body = b })
    r.gone = gone or false
    calls.on_request(calls.ctx, r, response)
    local text = b.len > 0 and ffi.string(b.data, b.len) or ""
    core.buffer_deinit(b)
    core.buffer_init(b, 16777216)
    return tonumber(response.status), text, response.later == WAIT
  end }
end
jit.off(request)

-- Runs body(calls, api, turn) on a desk whose ledger is in memory; turn() lets the ledger answer.
local function with_api(body)
  local loop = loops.new()
  local log, desk = ffi.new("struct log *[1]"), ffi.new("struct desk *[1]")
  local what, why = ffi.new("const char *[1]"), ffi.new("char[256]")
  assert(core.log_new(2, 3, 0, log) == 0)
  local config = ffi.new("struct config")
  config.ledger.age_ns, config.ledger.bytes_max = 86400ULL * 1000000000ULL, 2 ^ 30
  now_ns, woken = 1000ULL, 0
  local options = ffi.new("struct desk_options", { loop = loop.uv, config = config, log = log[0],
    writable = false, now_ns = now_ns })
  assert(core.desk_open(options, desk, what, why) == 0, ffi.string(why))
  local follow = core.follow_new()
  local api = core.api_new(ffi.new("struct api_options", { ["local"] = true, desk = desk[0], follow = follow, now_ns = now,
    ready = ready, changed = changed }))
  local good, failure = pcall(body, core.api_http(api), api, function() loop:run() end)
  core.api_end(api)
  core.desk_close(desk[0])
  assert(loop:close())
  core.api_free(api)
  core.follow_free(follow)
  core.desk_free(desk[0])
  core.log_free(log[0])
  if not good then error(failure, 0) end
end
jit.off(with_api)

describe("a request of the API", function()
  it("waits for the ledger, is woken once, and then answered", function()
    with_api(function(calls, _, turn)
      local r = request(calls, "incidents")
      assert.same({ 0, "", true }, { r.next() })
      while woken == 0 do turn() end
      assert.same({ 200, '{"incidents":[]}\n', false }, { r.next() })
      assert.equal(1, woken)
    end)
  end)

  it("is refused where the ledger has not answered for five seconds", function()
    with_api(function(calls, api)
      local r = request(calls, "violations/" .. ("0"):rep(32))
      r.next()
      now_ns = now_ns + 4999999999ULL
      core.api_tick(api)
      assert.equal(0, woken)
      now_ns = now_ns + 1
      core.api_tick(api)
      assert.equal(1, woken)
      local status, text = r.next()
      assert.same({ 503, true, 1 }, { status, text:find("took too long", 1, true) ~= nil, tonumber(core.api_stats(api).late) })
    end)
  end)

  it("is refused where too many wait", function()
    with_api(function(calls, api)
      local all = {}
      for i = 1, 64 do
        all[i] = request(calls, "silences")
        assert.is_true(select(3, all[i].next()))
      end
      local status, text = request(calls, "silences").next()
      assert.same({ 503, true, 64 }, { status, text:find("too much is asked", 1, true) ~= nil, tonumber(core.api_stats(api).waiting) })
      core.api_end(api)
      for i = 1, 64 do all[i].next() end
      assert.equal(0, tonumber(core.api_stats(api).waiting))
    end)
  end)

  it("ends with the agent, and none begins then", function()
    with_api(function(calls, api)
      local r = request(calls, "feedback")
      r.next()
      core.api_end(api)
      assert.equal(1, woken)
      for _, one in ipairs { r, request(calls, "feedback") } do
        local status, text, waits = one.next()
        assert.same({ 503, true, false }, { status, text:find("the agent is ending", 1, true) ~= nil, waits })
      end
    end)
  end)

  it("whose client has gone is forgotten when the answer comes", function()
    with_api(function(calls, api, turn)
      local r = request(calls, "deliveries")
      r.next()
      while woken == 0 do turn() end
      r.next(true)
      assert.equal(0, tonumber(core.api_stats(api).waiting))
    end)
  end)

  it("is answered or refused whichever allocation fails", function()
    with_api(function(calls, api)
      local n = 0
      local waits
      repeat
        n = n + 1
        local r = request(calls, "incidents")
        core.heap_fail_from(n)
        local status, _, later = r.next()
        waits = later
        core.heap_fail_from(0)
        assert.is_true(waits or status == 503)
        if waits then
          core.api_end(api)
          r.next()
        end
      until waits
      assert.is_true(n > 1)
    end)
  end)
end)
