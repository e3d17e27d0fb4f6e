--- What one receiver does, or one action, is its own: others are delivered meanwhile, and once.
local receiver = require("spec.agent.receiver")
local replay = require("spec.replay")
local support = require("spec.support")
local post_room = require("spec.core.post_room")
local room = post_room.open
local core, ffi = support.core("heap", "courier", "post")

local OK, RETRY, FAILED = 0, 1, 2

local GOOD = 'action "good" (function() return http.post { url = "%s" } end)\n'

describe("beside a receiver that misbehaves", function()
  local mock, world
  setup(function() mock = receiver.start() end)
  teardown(function() mock.stop() end)
  after_each(function() if world then world.close() end world = nil end)

  -- The good one's result, sent behind `count` of the bad one, and the bad one's outcome.
  local function beside(bad, count, exe)
    world = room(GOOD:format(mock.url "/ok") .. bad, { hosts = { "127.0.0.1", "nowhere.example.com" } }, exe)
    for _ = 1, count do world.send "bad" end
    world.wait(count)                    -- what would stop the others comes with its end
    local good = world.send "good"
    return world.wait(count + 1)[good].result, world.outcomes[1]
  end

  it("nobody waits for a name that is looked up", function()
    local files = os.tmpname()
    finally(function() os.execute(("rm -f %s %s.so %s.sh"):format(files, files, files)) end)
    assert(os.execute(("cc -D_GNU_SOURCE -shared -fPIC -O1 -o %s.so spec/agent/broken_world.c -ldl"):format(files)))
    replay.write(files .. ".sh", ('#!/bin/sh\nexec env LD_PRELOAD="%s %s.so" BROKEN_NAMES=300 %s "$@"\n')
      :format(os.getenv("LD_PRELOAD") or "", files, os.getenv("FLUO") or "build/fluo"))
    os.execute("chmod +x " .. files .. ".sh")
    local good, bad = beside('action "bad" (function() return http.post { url = "http://nowhere.example.com/", timeout = "1s" } end)', 1,
      files .. ".sh")
    assert.same({ OK, RETRY }, { good, bad.result })
    assert.truthy(bad.text:find("^nowhere.example.com: Resolving timed out"), bad.text)
  end)

  it("nobody waits for a mail server that has said what it had to say", function()
    local log = os.tmpname()
    local pipe = assert(io.popen(("echo $$; exec python3 spec/agent/sink.py %s smtp-stays"):format(log)))
    local pid, port = pipe:read("*n", "*n")
    finally(function() os.execute("kill " .. pid) pipe:close() os.remove(log) end)
    local good, bad = beside(([[action "bad" (function()
      return action.mail { url = "smtp://127.0.0.1:%d", from = "a@b.c", to = "d@e.f", subject = "s", text = "t" }
    end)]]):format(port), 1)
    assert.same({ OK, RETRY }, { good, bad.result })
    assert.truthy(bad.text:find("450", 1, true), bad.text)
  end)

  it("nobody waits for it where other rule files come", function()
    local file = GOOD:format(mock.url "/ok") .. ('action "hangs" (function() return http.post { url = "%s", timeout = "60s" } end)'):format(mock.url "/hang")
    world = room(file, { hosts = { "127.0.0.1" } })
    local hangs = world.send "hangs"
    world.send "good"
    world.wait(1)
    local fd = post_room.memfd(post_room.texts(file))
    assert.equal(0, core.post_texts(world.post, fd))
    ffi.C.close(fd)
    world.send "good"
    local delivered = { result = OK, after = 0, text = "200" }
    assert.same({ [hangs + 1] = delivered, [hangs + 2] = delivered }, world.wait(2))
    assert.equal(0, tonumber(post_room.stats(world).deaths))
  end)

  it("texts are read in a time that goes by their length", function()
    assert.same({ OK, { result = FAILED, after = 0, text = " x" } },
      { beside('action "bad" (function() action.fail((" "):rep(130000) .. "x") end)', 1) })
    world.close()
    assert.same({ OK, { result = FAILED, after = 0, text = "a text of 3000000 bytes, which is too long to be said" } },
      { beside('action "bad" (function() action.fail((" "):rep(3000000)) end)', 1) })
    world.close()
    local file = ('action "bad" (function() for _ = 1, 50 do http.post { url = "%s" } end end)'):format(mock.url "/blank")
    assert.same({ OK, { result = OK, after = 0, text = "200" } }, { beside(file, 1) })
  end)

  it("nobody is blamed for it, however often it ends the process", function()
    world = room(GOOD:format(mock.url "/slow") .. 'action "bad" (function() while true do end end)', { hosts = { "127.0.0.1" } })
    local good = world.send "good"
    for _ = 1, 4 do world.send "bad" end
    assert.same({ result = OK, after = 0, text = "200" }, world.wait(5)[good])
    assert.equal(4, tonumber(post_room.stats(world).deaths))
  end)

  it("answers of an action that asks for ever take no memory", function()
    local file = ('action "bad" (function() for _ = 1, 1200 do http.post { url = "%s" } end end)'):format(mock.url "/much")
    assert.equal(OK, (beside(file, 1)))
    assert.equal(0, tonumber(post_room.stats(world).deaths))
  end)

  it("the log is not one action's", function()
    beside('action "bad" (function() for i = 1, 10000 do action.note(i) end end)', 1)
    assert.equal(50, #world.log)
    assert.equal("bad: 49", world.log[49])
    assert.equal("bad: it has more to say, which is left out: 50", world.log[50])
  end)

  it("a time that an action asks for is within bounds", function()
    for text, seconds in pairs { ["1e300"] = 2 ^ 31, ["-1"] = 0, ["0/0"] = 0, ["7"] = 7 } do
      local _, bad = beside(('action "bad" (function() action.retry("later", %s) end)'):format(text), 1)
      assert.same({ result = RETRY, after = seconds, text = "later" }, bad)
      world.close()
    end
    world = nil
  end)
end)

describe("a request", function()
  local world
  after_each(function() if world then world.close() end world = nil end)

  it("is answered by a head that is whole, whatever becomes of the body", function()
    local mock = receiver.start()
    finally(mock.stop)
    world = room(([[action "held" (function()
      local response = http.post { url = "%s", timeout = "1s" }
      action.note(tostring(response.cut))
      return response
    end)]]):format(mock.url "/held"), { hosts = { "127.0.0.1" } })
    world.send "held"
    assert.same({ result = OK, after = 0, text = "200" }, world.wait(1)[1])
    assert.same({ "held: true" }, world.log)
  end)

  it("has a connection of its own, over which it goes once, in HTTP/1.1", function()
    local path = os.tmpname()
    os.execute(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x "
      .. "-addext subjectAltName=IP:127.0.0.1 -keyout %s.key -out %s.crt 2>/dev/null"):format(path, path))
    local mock = receiver.start { cert = path .. ".crt", key = path .. ".key" }
    finally(function() mock.stop() os.execute(("rm -f %s %s.key %s.crt"):format(path, path, path)) end)
    world = room(GOOD:format(mock.url "/ok"), { hosts = { "127.0.0.1" }, ca_file = path .. ".crt" })
    for i = 1, 2 do
      world.send "good"
      assert.equal(OK, world.wait(i)[i].result, world.outcomes[i].text)
    end
    local first, second = unpack(mock.requests "/ok")
    assert.are_not.equal(first.from, second.from)
  end)
end)
