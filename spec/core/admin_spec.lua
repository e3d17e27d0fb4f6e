local core, ffi = require("spec.support").core("heap", "buffer", "http", "admin")

local GET, HEAD, POST = 1, 2, 3

--- Asks for a page; `room`: ready's text, metrics' text or error.
local function ask(path, verb, room)
  room = room or {}
  local ready = ffi.cast("const char *(*)(void *)", function() return room.missing end)
  local metrics = ffi.cast("int (*)(void *, struct buffer *)", function(_, b)
    core.buffer_text(b, room.text or "a 1\n")
    return room.err or 0
  end)
  local page = ffi.cast("void (*)(void *, struct http_response *)", function(_, to)
    to.status, to.content_type = room.reloads and 202 or 200, "text/plain"
  end)
  local reload = ffi.cast("void (*)(void *)", function() room.reloads = room.reloads + 1 end)
  local admin = ffi.new("struct admin_calls", { ready = ready, metrics = metrics, reload_page = page,
    reload = room.reloads and reload or nil })
  local calls, b = ffi.new("struct http_calls"), ffi.new("struct buffer")
  core.buffer_init(b, 65536)
  core.admin_http(admin, calls)
  local request = ffi.new("struct http_request", { verb = verb or GET, path = { p = path, n = #path } })
  local response = ffi.new("struct http_response", { body = b })
  calls.on_head(calls.ctx, request, response)
  if response.status == 0 then calls.on_request(calls.ctx, request, response) end
  local answer = { response.status, b.len > 0 and ffi.string(b.data, b.len) or "", ffi.string(response.content_type),
    allow = response.allow ~= nil and ffi.string(response.allow) or nil }
  core.buffer_deinit(b)
  for _, made in ipairs { ready, metrics, page, reload } do made:free() end
  return answer
end
jit.off(ask)

describe("the admin listener's pages", function()
  it("are healthy always, and ready when the agent says so", function()
    assert.same({ 200, "healthy\n", "text/plain; charset=utf-8" }, ask("/-/healthy"))
    assert.same({ 200, "ready\n", "text/plain; charset=utf-8" }, ask("/-/ready"))
    local missing = "no rules yet"
    assert.same({ 503, "not ready: no rules yet\n", "text/plain; charset=utf-8" },
      ask("/-/ready", GET, { missing = missing }))
  end)

  it("show metrics in Prometheus's format, or why not", function()
    assert.same({ 200, "a 1\n", "text/plain; version=0.0.4; charset=utf-8" }, ask("/metrics"))
    assert.same({ 500, "the page could not be written: out of memory\n", "text/plain; charset=utf-8" },
      ask("/metrics", GET, { err = -1 }))
  end)

  it("are listed at /", function()
    local page = ask("/")
    assert.equal(200, page[1])
    for _, path in ipairs({ "/-/healthy", "/-/ready", "/-/reload", "/metrics" }) do assert.is_truthy(page[2]:find(path, 1, true)) end
  end)

  it("take a POST to reload the rules, where that is allowed, and GET says how it went", function()
    local room = { reloads = 0 }
    assert.equal(202, ask("/-/reload", POST, room)[1])
    assert.equal(1, room.reloads)
    assert.equal(202, ask("/-/reload", GET, room)[1])
    assert.equal(1, room.reloads)
    assert.same({ 403, "only on a loopback address; SIGHUP does the same\n" }, { unpack(ask("/-/reload", POST), 1, 2) })
    assert.equal(200, ask("/-/reload")[1])
    assert.equal("GET, HEAD, POST", ask("/-/reload", 0).allow)
  end)

  it("are there for GET and HEAD, and nothing else is there", function()
    assert.equal(200, ask("/metrics", HEAD)[1])
    local refused = ask("/metrics", POST)
    assert.equal(405, refused[1])
    assert.equal("GET, HEAD", refused.allow)
    for _, path in ipairs({ "/x", "/metrics/", "", "//", "/-/" }) do
      assert.equal(404, ask(path)[1])
      assert.equal(404, ask(path, POST)[1])
    end
  end)
end)
