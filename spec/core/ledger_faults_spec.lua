-- The ledger where disks, files, memory and processes fail.
local socket = require("spec.agent.socket")
local sqlite = require("spec.sqlite")
local support = require("spec.support")
local world = require("spec.core.ledger_world")
local core = world.core
jit.off(true, true)

local INCIDENTS = 0

local function output_of(command)
  local pipe = io.popen(command)
  local text = pipe:read("*a")
  pipe:close()
  return text
end

local function write_at(path, at, bytes)
  local file = assert(io.open(path, "r+b"))
  file:seek("set", at)
  file:write(bytes)
  file:close()
end

local function with_rows(count)
  local w = assert(world.open {})
  for i = 1, count do
    local number = w:incident { id = "i" .. i, json = '{"id":"i' .. i .. '","x":"' .. ("x"):rep(100000) .. '"}' }
    if i == count then w:until_saved(number) end
  end
  return w
end

describe("a damaged database", function()
  local function set_aside(w)
    return output_of("ls " .. w.data):match("fluo%.db%.corrupt%-%d+T%d+Z\n") ~= nil
  end

  local function damaged_at_start(damage)
    local w = with_rows(30)
    w:close()
    damage(w.db)
    local again = assert(world.open { data = w.data })
    assert.is_true(again:hear(function() return #again.troubles > 0 end))
    assert.same({ { "corrupt" }, true }, { again.troubles, set_aside(w) })
    assert.is_truthy(again.why:find("; it is kept as fluo.db.corrupt-", 1, true))
    assert.is_true(again:until_saved(again:incident { id = "new" }))
    assert.equal("new", world.sql(w.db, "select id from incidents"))
    again:close()
  end

  it("by its header is set aside, that is said, and a new one begun", function()
    damaged_at_start(function(path) write_at(path, 0, ("no database"):rep(20)) end)
  end)

  it("by a page is set aside, too", function()
    damaged_at_start(function(path) write_at(path, 40960, ("\255"):rep(400000)) end)
  end)

  it("that was never a ledger is set aside, too", function()
    damaged_at_start(function(path)
      os.remove(path)
      world.sql(path, "create table t(x)")
    end)
  end)

  it("that shows only as it is written loses what was in it, and not what is being written", function()
    local w = with_rows(30)
    world.sql(w.db, "pragma wal_checkpoint(truncate)")
    local file = assert(io.open(w.db))
    local size = file:seek("end")
    file:close()
    write_at(w.db, 4096, ("\255"):rep(size - 4096))
    for i = 1, 2000 do w:violation { id = "v" .. i } end
    assert.is_true(w:until_saved(w:incident { id = "new" }))
    assert.is_true(w:hear(function() return #w.troubles > 0 end))
    assert.same({ { "corrupt" }, true, 1 }, { w.troubles, set_aside(w), tonumber(w:stats().corruptions) })
    assert.equal("1|2000", world.sql(w.db, "select (select count(*) from incidents), (select count(*) from violations)"))
    assert.is_true(w:close())
  end)

  it("that shows only as it is read is an error to the one who asks, and is set aside", function()
    -- What SQLite still has in its cache is answered from there: then it does not show, and another is damaged.
    local w, answer
    for _ = 1, 20 do
      w = with_rows(30)
      world.sql(w.db, "pragma wal_checkpoint(truncate)")
      write_at(w.db, 4096, ("\255"):rep(2900000))
      answer = w:ask { what = INCIDENTS }
      if type(answer) == "number" then break end
      w:close()
    end
    assert.equal("number", type(answer))
    assert.is_true(w:hear(function() return #w.troubles > 0 end))
    assert.same({ { "corrupt" }, true }, { w.troubles, set_aside(w) })
    assert.equal('{"incidents":[]}', w:ask { what = INCIDENTS })
    assert.is_true(w:close())
  end)
end)

describe("a database that cannot be written", function()
  it("for somebody has locked it is said, tried again, and written when he lets go", function()
    local w = assert(world.open {})
    w:until_saved(w:incident { id = "a" })
    local release = sqlite.locked(w.db)
    local number = w:incident { id = "b" }
    assert.is_true(w:hear(function() return #w.troubles > 0 end))
    assert.same({ "locked" }, w.troubles)
    assert.equal(1, w.saved)
    release()
    assert.is_true(w:until_saved(number))
    assert.same({ "locked", "well" }, w.troubles)
    assert.equal("a,b", world.sql(w.db, "select group_concat(id) from incidents"))
    assert.is_true(w:close())
  end)

  it("lets go of who waits for it after ten seconds, and is still tried", function()
    local w = assert(world.open {})
    w:until_saved(w:incident { id = "a" })
    local release = sqlite.locked(w.db)
    local number = w:delivery { id = "d", alert = "{}" }
    assert.is_true(w:hear(function() return w.held == number end))
    assert.equal(1, w.saved)
    release()
    assert.is_true(w:until_saved(number))
    assert.is_true(w:close())
  end)

  it("for its disk is full is said, and written when there is room again", function()
    local data = world.directory()
    if os.execute("mount -t tmpfs -o size=1m none " .. data .. " 2>/dev/null") ~= 0 then
      pending("a file system of its own needs the right to mount one")
      return
    end
    finally(function() os.execute("umount " .. data) end)
    local ballast = assert(io.open(data .. "/ballast", "wb"))
    assert(ballast:write(("x"):rep(900 * 1024)))
    ballast:close()
    local w = assert(world.open { data = data })
    local number
    for i = 1, 30 do number = w:incident { id = "i" .. i, json = ('"%s"'):format(("x"):rep(10000)) } end
    assert.is_true(w:hear(function() return #w.troubles > 0 end))
    assert.same({ "disk_full" }, w.troubles)
    assert.equal(0, w.saved)
    os.remove(data .. "/ballast")
    assert.is_true(w:until_saved(number))
    assert.same({ "disk_full", "well" }, w.troubles)
    assert.equal("30", world.sql(w.db, "select count(*) from incidents"))
    assert.is_true(w:close())
  end)

  it("at the end makes the end late by no more than it was given, and says that rows were lost", function()
    local w = assert(world.open {})
    w:until_saved(w:incident { id = "a" })
    local release = sqlite.locked(w.db)
    w:incident { id = "b" }
    assert.is_false(w:close(100000000))
    release()
  end)
end)

describe("a queue that fills", function()
  it("drops evidence first, then violations, and keeps incidents and deliveries", function()
    local w = assert(world.open {})
    w:until_saved(w:incident { id = "a" })
    local release = sqlite.locked(w.db)
    local json, evidence = ("x"):rep(4000), world.EVIDENCE .. ("\0"):rep(10000)
    -- Three queues full: the thread may have taken one of them before the lock stopped it.
    for i = 1, 4000 do w:violation { id = "v" .. i, json = json, evidence = evidence } end
    local s = w:stats()
    local dropped = { evidence = tonumber(s.dropped[world.KINDS.evidence]), violation = tonumber(s.dropped[world.KINDS.violation]) }
    assert.is_true(dropped.evidence > 1000 and dropped.violation > 500)
    assert.is_true(tonumber(s.queue_bytes) <= 4194304)
    -- Less than the bound: what the thread holds counts too.
    for i = 1, 700 do assert.is_true(w:delivery { id = "d" .. i, alert = ('"%s"'):format(json) } > 0) end
    -- While the thread tries to write them, violations are not there to be dropped; between two tries they are.
    assert.is_true(w:hear(function()
      w:incident { id = "i" }
      s = w:stats()
      return tonumber(s.dropped[world.KINDS.violation]) > dropped.violation
    end))
    assert.equal(0, tonumber(s.dropped[world.KINDS.delivery]))
    assert.is_true(tonumber(s.queue_bytes) <= 2 * 4194304)
    local refused = 0
    for i = 1, 3000 do if w:incident { id = "i" .. i, json = ('"%s"'):format(json) } == 0 then refused = refused + 1 end end
    assert.is_true(refused > 900)
    assert.equal(refused, tonumber(w:stats().dropped[world.KINDS.incident]))
    assert.is_true(tonumber(w:stats().queue_bytes) <= 2 * 4194304)
    release()
    assert.is_true(w:until_saved(w:stats().queue_rows > 0 and 2 or 0))
    assert.is_true(w:hear(function() return w:stats().queue_rows == 0 end))
    assert.equal("700", world.sql(w.db, "select count(*) from deliveries"))
    assert.equal(0, tonumber(w:stats().queue_bytes))
    local behind = 0
    for _, trouble in ipairs(w.troubles) do if trouble == "behind" then behind = behind + 1 end end
    assert.equal(1, behind)
    assert.is_true(w:close())
  end)
end)

describe("want of memory", function()
  it("at the start is an error, or costs nothing", function()
    assert(world.open { data = false }):close()
    local w = with_rows(1)
    w:close()
    local live = core.heap_live()
    for n = 1, 400 do
      core.heap_fail_only(n)
      local again = world.open { data = w.data }
      local failed = core.heap_failed() > 0
      core.heap_fail_from(0)
      if again then again:close() end
      assert.equal(0, tonumber(core.heap_live() - live))
      if not failed then break end
    end
    assert.equal("1", world.sql(w.db, "select count(*) from incidents"))
  end)

  it("as rows come costs a row its place, which is counted, or a second; what has a number is saved", function()
    assert(world.open { data = false }):close()
    local live = core.heap_live()
    local w = assert(world.open {})
    local numbered = 0
    for n = 1, 60 do
      core.heap_fail_only(n)
      local number = w:violation { id = "v" .. n, evidence = world.EVIDENCE }
      if n % 10 == 0 then w:hear(function() return core.heap_failed() > 0 or w.saved >= number end, 3) end
      core.heap_fail_from(0)
      if number > 0 then
        numbered = numbered + 1
        assert.is_true(w:until_saved(number))
      end
    end
    assert.equal(60 - numbered, tonumber(w:stats().dropped[world.KINDS.violation]))
    assert.equal(tostring(numbered), world.sql(w.db, "select count(*) from violations"))
    assert.is_true(w:close())
    assert.equal(0, tonumber(core.heap_live() - live))
  end)

  it("as a question is answered is an error, or costs nothing", function()
    local w = with_rows(3)
    for n = 1, 40 do
      core.heap_fail_only(n)
      local answer = w:ask { what = INCIDENTS }
      core.heap_fail_from(0)
      assert.is_true(answer == -1 or type(answer) == "string")
    end
    assert.is_true(w:close())
  end)
end)

describe("a process that is killed as it writes", function()
  local function killed_after(data, first, lines)
    local out = os.tmpname()
    local pid = output_of(("luajit spec/core/ledger_writer.lua %s %d >%s 2>&1 & echo $!"):format(data, first, out)):match("%d+")
    socket.until_true(function() return select(2, output_of("cat " .. out):gsub("\n", "")) >= lines end)
    os.execute("kill -9 " .. pid)
    socket.until_true(function() return support.has_ended(pid) end)
    local text = output_of("cat " .. out)
    os.remove(out)
    return text
  end

  it("leaves all that it was told is saved", function()
    local data, said, first = world.directory(), {}, 0
    math.randomseed(7)
    for _ = 1, 8 do
      for id in killed_after(data, first, math.random(1, 400)):gmatch("(%d+)\n") do
        said[#said + 1] = id
        first = math.max(first, tonumber(id))
      end
      first = first + 100000
    end
    local there = {}
    local ids = world.sql(data .. "/fluo.db", "select id from violations union all select id from incidents union all select id from deliveries")
    for id in ids:gmatch("%d+") do there[id] = true end
    assert.is_true(#said > 100)
    for _, id in ipairs(said) do assert.is_true(there[id], id) end
    assert.equal("ok", world.sql(data .. "/fluo.db", "pragma integrity_check"))
  end)
end)
