-- Following, called as a server calls it: queues, losses, coming back, want of memory, the end.
local support = require("spec.support")
local core, ffi = support.core("heap", "buffer", "http", "incident", "ledger", "follow")
local world = require("spec.core.ledger_world")

local STREAM, LIMIT_BYTES = 3, 1048576

local woken
local wake = ffi.cast("void (*)(void *)", function() woken = woken + 1 end)

-- A client: next() is what a call of the server gives.
local function client(follow, last_id)
  local work, b = ffi.new("void *[1]"), ffi.new("struct buffer")
  local name = "last-event-id"
  local headers = ffi.new("struct http_header[1]", { { { name, #name }, { last_id or "", #(last_id or "") } } })
  local request = ffi.new("struct http_request", { headers = headers, headers_count = last_id and 1 or 0, work = work, wake = wake })
  core.buffer_init(b, 16777216)
  return { anchors = { headers, name, last_id, work, request }, next = function(gone)
    local response = ffi.new("struct http_response", { body = b })
    request.gone = gone or false
    core.follow_answer(follow, request, response)
    local text = b.len > 0 and ffi.string(b.data, b.len) or ""
    core.buffer_deinit(b)
    core.buffer_init(b, 16777216)
    return tonumber(response.status), text, response.later == STREAM
  end }
end

local function violation(follow, json, at, incident)
  core.follow_violation(follow, { json, #json }, incident or "i1", at)
end

-- Runs body(follow) and checks that nothing is left behind.
local function following(body)
  local live = core.heap_live()
  local f = core.follow_new()
  woken = 0
  body(f)
  core.follow_end(f)
  core.follow_free(f)
  assert.equal(0, tonumber(core.heap_live() - live))
end
jit.off(following)

describe("a stream of events", function()
  it("begins with a comment, wakes its client once, and gives what there is", function()
    following(function(f)
      local c = client(f)
      assert.same({ 200, ": fluo\nretry: 2000\n\n", true }, { c.next() })
      violation(f, '{"a":1}', 7)
      violation(f, '{"a":2}', 8)
      assert.equal(1, woken)
      assert.same({ 200, 'id: 7\nevent: violation\ndata: {"a":1,"incident":"i1"}\n\n' ..
        'id: 8\nevent: violation\ndata: {"a":2,"incident":"i1"}\n\n', true }, { c.next() })
      assert.same({ 200, "", false }, { c.next(true) })
      violation(f, "{}", 9)
      assert.equal(0, tonumber(core.follow_stats(f).clients))
    end)
  end)

  it("says how many events found no room, where they are missing", function()
    following(function(f)
      local c = client(f)
      c.next()
      local large = ('{"x":"%s"'):format(("x"):rep(LIMIT_BYTES / 2)) .. "}"
      for at = 1, 4 do violation(f, large, at) end
      assert.equal(3, tonumber(core.follow_stats(f).lost))
      local _, text = c.next()
      assert.truthy(text:find("^id: 1\n"))
      assert.truthy(text:find('}\n\nevent: lost\ndata: {"events":3}\n\n$'))
      violation(f, "{}", 5)
      assert.truthy(select(2, c.next()):find("^id: 5\n"))
      c.next(true)
    end)
  end)

  it("has a comment now and then where nothing happens", function()
    following(function(f)
      local c = client(f)
      c.next()
      for _ = 1, 4 do core.follow_tick(f) end
      assert.equal(0, woken)
      core.follow_tick(f)
      assert.equal(1, woken)
      assert.same({ 200, ":\n\n", true }, { c.next() })
      c.next(true)
    end)
  end)

  it("is refused past so many clients, and when there is no memory", function()
    following(function(f)
      local clients = {}
      for i = 1, 8 do
        clients[i] = client(f)
        clients[i].next()
      end
      assert.same({ 503, "", false }, { client(f).next() })
      clients[8].next(true)
      core.heap_fail_from(1)
      local status = client(f).next()
      core.heap_fail_from(0)
      assert.equal(503, status)
      for i = 1, 7 do clients[i].next(true) end
    end)
  end)

  it("loses events for want of memory, and says so", function()
    following(function(f)
      local c = client(f)
      c.next()
      core.heap_fail_from(1)
      violation(f, '{"a":1}', 7)
      core.heap_fail_from(0)
      local _, text = c.next()
      assert.equal('event: lost\ndata: {"events":1}\n\n', text)
      violation(f, '{"a":2}', 8)
      assert.truthy(select(2, c.next()):find("id: 8", 1, true))
      c.next(true)
    end)
  end)

  it("ends once its client has what there is", function()
    following(function(f)
      local c = client(f)
      c.next()
      violation(f, '{"a":1}', 7)
      core.follow_end(f)
      local _, text, more = c.next()
      assert.same({ true, false }, { text:find('"a":1', 1, true) ~= nil, more })
    end)
  end)
end)

describe("a client that comes back", function()
  local incidents

  setup(function()
    local out, why = ffi.new("struct incidents *[1]"), ffi.new("char[160]")
    local calls, options = ffi.new("struct incidents_calls"), ffi.new("struct incidents_options")
    assert(core.incidents_new(options, calls, out, why) == 0)
    incidents = out[0]
  end)
  teardown(function() core.incidents_free(incidents) end)

  -- Runs body(follow, ledger), both let go of behind it.
  local function with_ledger(body)
    local w = assert(world.open { data = false })
    local f = core.follow_new()
    core.follow_use(f, w.ledger, incidents)
    woken = 0
    body(f, w)
    core.follow_end(f)
    core.follow_free(f)
    w:close()
  end

  local function until_woken(w)
    assert(w:hear(function() return woken > 0 end))
  end

  it("gets what the ledger has since, then what came meanwhile", function()
    with_ledger(function(f, w)
      for i = 1, 3 do w:violation { id = "v" .. i, written = 100 + i } end
      local c = client(f, "102")
      assert.same({ 200, ": fluo\nretry: 2000\n\n", true }, { c.next() })
      violation(f, '{"id":"v4"}', 104)
      until_woken(w)
      local _, text = c.next()
      if not text:find("v3", 1, true) then
        woken = 0
        until_woken(w)
        text = text .. select(2, c.next())
      end
      local ids = {}
      for id in text:gmatch('data: {"id":"(v%d)"') do ids[#ids + 1] = id end
      assert.same({ "v2", "v3", "v4" }, ids)
      c.next(true)
    end)
  end)

  it("is told that some were lost where there were more than the ledger gives", function()
    with_ledger(function(f, w)
      for i = 1, 1001 do w:violation { id = "v" .. i, written = 100 + i } end
      local c = client(f, "1")
      c.next()
      until_woken(w)
      local _, text = c.next()
      assert.truthy(text:find('^event: lost\ndata: {"events":null}\n\nid: 102\n'), text:sub(1, 100))
      assert.truthy(text:find('"v1001"', 1, true))
      c.next(true)
    end)
  end)

  it("that goes before the ledger has answered is forgotten", function()
    with_ledger(function(f, w)
      w:violation { id = "v", written = 5 }
      local c = client(f, "1")
      c.next()
      c.next(true)
      w:until_saved(w:violation { id = "w", written = 6 })
      assert.equal(0, woken)
    end)
  end)

  it("gets nothing more for an id that is none of ours", function()
    with_ledger(function(f)
      for _, id in ipairs { "", "abc", "-1", ("9"):rep(20) } do
        local c = client(f, id)
        c.next()
        violation(f, '{"a":1}', 7)
        assert.truthy(select(2, c.next()):find("^id: 7\n"))
        c.next(true)
      end
    end)
  end)
end)
