local support = require("spec.support")
local core, ffi = support.core("heap", "courier", "post")
local receiver = require("spec.agent.receiver")

local post_room = require("spec.core.post_room")
local memfd, rule_texts, room, stats = post_room.memfd, post_room.texts, post_room.open, post_room.stats

local OK, RETRY, FAILED = 0, 1, 2
local PLACES = post_room.PLACES

local POST = [[action "team" (function(alert) return http.post { url = "%s", json = { text = alert.summary } } end)]]

describe("the post room", function()
  local mock, world
  setup(function() mock = receiver.start() end)
  teardown(function() mock.stop() end)
  after_each(function() if world then world.close() end world = nil end)

  it("delivers an alert by the action that a file declares", function()
    world = room(POST:format(mock.url "/ok"), { hosts = { "127.0.0.1" } })
    world.send("team", { id = "first", incidents = { { rule = "r", summary = "too slow" } } })
    assert.same({ result = OK, after = 0, text = "200" }, world.wait(1)[1])
    local got = mock.requests "/ok"
    assert.equal(1, #got)
    assert.equal('{"text":"too slow"}', got[1].body)
    assert.equal("application/json", got[1].headers["content-type"])
    assert.equal(1, tonumber(stats(world).starts))
  end)

  it("writes texts in JSON as people read them", function()
    world = room(POST:format(mock.url "/read"), { hosts = { "127.0.0.1" } })
    world.send("team", { incidents = { { summary = [[GET /pay: "a\/b" \\/]] } } })
    world.wait(1)
    assert.equal([[{"text":"GET /pay: \"a\\/b\" \\\\/"}]], mock.requests "/read"[1].body)
  end)

  it("says of each answer whether to try again, and when", function()
    local rows = { { "/status/204", OK, "^204" }, { "/status/404", FAILED, "^404 no" }, { "/status/500", RETRY, "^500" },
      { "/status/429?retry_after=7", RETRY, "^429", 7 }, { "/status/408", RETRY, "^408" }, { "/loop", RETRY, "^302" },
      { "/status/400", FAILED, "^400" }, { "/reset", RETRY, "." }, { "/garbage", RETRY, "." }, { "/cut", RETRY, "." },
      { "/endless", OK, "^200" }, { "/status/503?retry_after=-5", RETRY, "^503" }, { "/status/503?retry_after=Fri,%2001%20Jan%202100%2000:00:00%20GMT", RETRY, "^503", "later" } }
    local file = {}
    for i, row in ipairs(rows) do
      file[i] = ('action "a%d" (function() return http.post { url = "%s" } end)'):format(i, mock.url(row[1]))
    end
    world = room(table.concat(file, "\n"), { hosts = { "127.0.0.1" } })
    for i in ipairs(rows) do world.send("a" .. i) end
    local outcomes = world.wait(#rows)
    for i, row in ipairs(rows) do
      assert.equal(row[2], outcomes[i].result, row[1] .. ": " .. outcomes[i].text)
      assert.truthy(outcomes[i].text:find(row[3]), row[1] .. ": " .. outcomes[i].text)
      if row[4] == "later" then assert.is_true(outcomes[i].after > 1e8)
      else assert.equal(row[4] or 0, outcomes[i].after) end
    end
  end)

  it("goes by the worst of several requests where the action returns nothing", function()
    world = room(([[
      action "both" (function() http.post { url = "%s" } http.post { url = "%s" } end)
      action "last" (function() http.post { url = "%s" } return http.post { url = "%s" } end)
      action "none" (function() return true end)
      action "final" (function() http.post { url = "%s" } http.post { url = "%s" } http.post { url = "%s" } end)
    ]]):format(mock.url "/status/500", mock.url "/ok", mock.url "/status/500", mock.url "/ok", mock.url "/status/503",
      mock.url "/status/400", mock.url "/ok"), { hosts = { "127.0.0.1" } })
    for _, name in ipairs { "both", "last", "none", "final" } do world.send(name) end
    local results = {}
    for i, outcome in ipairs(world.wait(4)) do results[i] = outcome.result end
    assert.same({ RETRY, OK, OK, RETRY }, results)
  end)

  it("lets a path that hangs delay no other of its host", function()
    world = room(('action "hangs" (function() return http.post { url = "%s" } end)'):format(mock.url "/hang") .. "\n"
      .. POST:format(mock.url "/ok?of-its-host"), { hosts = { "127.0.0.1" } })
    for _ = 1, PLACES - 1 do world.send "hangs" end
    local team = world.send "team"
    assert.same({ [team] = { result = OK, after = 0, text = "200" } }, world.wait(1))
  end)

  it("has room for another program, whatever hangs", function()
    local function program(...) return { type = "exec", settings = { argv = { ... } } } end
    world = room("", { exec = true, receivers = { hangs = program("/bin/sleep", "300"), good = program("/bin/true") } })
    for _ = 1, PLACES - 1 do world.send "hangs" end
    local good = world.send "good"
    assert.equal(OK, world.wait(1)[good].result, world.outcomes[good].text)
  end)

  it("blames an action that loops, and delivers the others", function()
    world = room([[action "loops" (function() while true do end end)]] .. "\n" .. POST:format(mock.url "/ok?beside"),
      { hosts = { "127.0.0.1" } })
    world.send "team"
    world.send "loops"
    world.send "team"
    local outcomes = world.wait(3)
    assert.same({ OK, RETRY, OK }, { outcomes[1].result, outcomes[2].result, outcomes[3].result })
    assert.equal("an action ran for too long", outcomes[2].text)
    assert.equal(1, tonumber(stats(world).deaths))
  end)

  it("blames an action that takes all memory", function()
    world = room([[action "eats" (function() local t = {} while true do t[#t + 1] = ("x"):rep(1000) .. #t end end)]])
    world.send "eats"
    local outcome = world.wait(1)[1]
    assert.equal(RETRY, outcome.result)
    assert.truthy(outcome.text == "the post room took too much memory" or outcome.text == "an action ran for too long")
  end)

  it("tries again what threw, with the text of the error", function()
    world = room([[
      action "throws" (function(alert) error("no " .. alert.rule) end)
      action "again" (function() action.retry("busy", 9) end)
      action "fails" (function() action.fail("never") end)
      action "yields" (function() coroutine.yield() end)
      action "nested" (function() coroutine.wrap(function() http.post { url = "http://127.0.0.1" } end)() end)
      action "odd" (function() return 7 end)
    ]])
    for _, name in ipairs { "throws", "again", "fails", "yields", "nested", "odd", "nobody" } do world.send(name) end
    local o = world.wait(7)
    assert.equal(RETRY, o[1].result)
    assert.truthy(o[1].text:find("no r", 1, true))
    assert.same({ result = RETRY, after = 9, text = "busy" }, o[2])
    assert.same({ result = FAILED, after = 0, text = "never" }, o[3])
    assert.equal(FAILED, o[4].result)
    assert.truthy(o[5].text:find("makes its requests itself", 1, true))
    assert.equal(FAILED, o[6].result)
    assert.same({ result = FAILED, after = 0, text = "no action has this name" }, o[7])
  end)

  it("reaches no host that is not listed, and no private address by a pattern, until the configuration says so", function()
    local file = POST:format(mock.url "/never") .. ([[
      action "pattern" (function() return http.post { url = "http://x.localhost:%d/never" } end)
      action "userinfo" (function() return http.post { url = "http://good.example@127.0.0.1:%d/never" } end)
      action "scheme" (function() return http.post { url = "file:///etc/passwd" } end)
    ]]):format(mock.port, mock.port)
    world = room(file, { hosts = { "*.localhost", "good.example" } })
    for _, name in ipairs { "team", "pattern", "userinfo", "scheme" } do world.send(name) end
    local o = world.wait(4)
    for i = 1, 4 do assert.equal(RETRY, o[i].result, o[i].text) end
    assert.truthy(o[1].text:find("127.0.0.1 is not among those", 1, true))
    assert.truthy(o[2].text:find("private", 1, true), o[2].text)
    assert.equal(0, #mock.requests "/never")
  end)

  it("takes what settings say of where a receiver is from the configuration, whatever an action writes there", function()
    local file = ([[
      action "own" (function(_, settings) return http.post { url = settings.url } end)
      action "none" (function(_, settings)
        settings.url = "%s"
        return http.post { url = settings.url }
      end)
      action "moves" (function(_, settings)
        if settings.urls[1] == "%s" then return true end
        settings.urls[1] = "%s"
        return http.post { url = settings.urls[1] }
      end)
    ]]):format(mock.url "/never", mock.url "/never", mock.url "/never")
    world = room(file, { receivers = { here = { type = "own", settings = { url = mock.url "/own" } },
                                       moved = { type = "moves", settings = { urls = { "https://good.example" } } } } })
    for _, name in ipairs { "here", "none", "moved", "moved" } do world.send(name) end
    local o = world.wait(4)
    assert.equal(OK, o[1].result, o[1].text)
    for i = 2, 4 do assert.truthy(o[i].text:find("127.0.0.1 is not among those", 1, true), i .. o[i].text) end
    assert.equal(0, #mock.requests "/never")
  end)

  it("hands out what is allowed by name, and hides it from texts", function()
    world = room([[
      action "reads" (function() action.note(env "TEAM" .. " has " .. secret "TOKEN") error("my " .. secret "TOKEN") end)
      action "other" (function() return secret "HOME" end)
    ]], { env = { TEAM = "payments" }, secrets = { TOKEN = "s3cr%et" }, hidden = { "s3cr%et" } })
    world.send "reads"
    world.send "other"
    local o = world.wait(2)
    assert.truthy(o[1].text:find("my ***", 1, true), o[1].text)
    assert.truthy(o[2].text:find("actions.secrets", 1, true))
    assert.same({ "reads: payments has ***" }, world.log)
  end)

  it("hides it however it is escaped, and where only the beginning of a text is said", function()
    local token = 'a/b"c\\d\n&\1'
    world = room([[
      action "json" (function() action.note(json.encode { secret "TOKEN" }) return true end)
      action "slashes" (function() action.note((json.encode { secret "TOKEN" }:gsub("/", "\\/"))) return true end)
      action "form" (function() action.note("a%2Fb%22c%5Cd%0A%26%01") return true end)
      action "basic" (function()
        for _, user in ipairs { "", "a", "ab", "abc" } do action.note(action.base64(user .. ":" .. secret "TOKEN" .. "!")) end
        return true
      end)
      action "long" (function() error(("x"):rep(295) .. secret "TOKEN", 0) end)
    ]], { secrets = { TOKEN = token }, hidden = { token } })
    for i, name in ipairs { "json", "slashes", "form", "basic", "long" } do
      world.send(name)
      world.wait(i)
    end
    assert.same({ 'json: ["***"]', 'slashes: ["***"]', "form: ***", "basic: Om***Eh", "basic: YTp***IQ==", "basic: YWI6***SE=",
                  "basic: YWJjOm***Eh" }, world.log)
    assert.truthy(world.wait(5)[5].text:find("^x+%*%*%*$"), world.wait(5)[5].text)
  end)

  it("uses the files in force: others are read by the next process, once this one has delivered", function()
    world = room([[action "a" (function() return true end)]])
    world.send "a"
    assert.equal(OK, world.wait(1)[1].result)
    local fd = memfd(rule_texts([[action "b" (function() return true end)]]))
    core.post_texts(world.post, fd)
    ffi.C.close(fd)
    world.send "b"
    assert.equal(OK, world.wait(2)[2].result)
    assert.equal(2, tonumber(stats(world).starts))
    assert.equal(0, tonumber(stats(world).deaths))
  end)

  it("ends the process after a time without alerts", function()
    world = room([[action "a" (function() return true end)]])
    world.send "a"
    world.wait(1)
    assert.is_true(stats(world).pid > 0)
    post_room.now_ns = post_room.now_ns + 61e9
    core.post_tick(world.post, post_room.now_ns)
    assert.equal(0, stats(world).pid)
    world.send "a"
    assert.equal(OK, world.wait(2)[2].result)
  end)

  it("signs as RFC 4231 has it, and knows base64", function()
    world = room([[
      action "signs" (function()
        local hex = action.hmac_sha256("Jefe", "what do ya want for nothing?"):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
        action.note(hex .. " " .. action.base64("any carnal pleas") .. " " .. action.base64_decode("YW55IGNhcm5hbCBwbGVhcw=="))
        return true
      end)
    ]])
    world.send "signs"
    world.wait(1)
    assert.same({ "signs: 5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843 YW55IGNhcm5hbCBwbGVhcw== any carnal pleas" },
      world.log)
  end)
end)

describe("an address", function()
  ffi.cdef [[
    int inet_pton(int, const char *, void *);
  ]]
  local function is_private(text)
    local six = text:find(":") ~= nil
    local a = ffi.new(six and "struct spec_in6" or "struct spec_in")
    a.family = six and 10 or 2
    assert(ffi.C.inet_pton(a.family, text, a.address) == 1)
    return core.courier_is_private(ffi.cast("void *", a))
  end

  it("is private where a register says that it is of special use", function()
    for address in ([[127.0.0.1 127.255.255.255 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 0.0.0.0
      100.64.0.1 100.127.255.255 198.18.0.1 198.19.255.255 224.0.0.1 255.255.255.255 192.0.0.1 ::1 :: fc00::1 fdff::1
      fe80::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: ::7f00:1]]):gmatch("%S+") do
      assert.is_true(is_private(address), address)
    end
  end)

  it("is public elsewhere", function()
    for address in ([[1.1.1.1 9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 100.63.255.255
      100.128.0.0 198.17.255.255 198.20.0.0 223.255.255.255 169.253.255.255 2001:4860:4860::8888 ::ffff:8.8.8.8
      64:ff9b::808:808 2002:808:808::]]):gmatch("%S+") do
      assert.is_false(is_private(address), address)
    end
  end)
end)
