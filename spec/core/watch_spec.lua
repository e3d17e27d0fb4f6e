-- Which changes of rule files are noticed, by announcement and without, and how often.
local support = require("spec.support")
local core, ffi = support.core("heap", "watch")
local loops = require("spec.agent.loop")
local replay = require("spec.replay")

local MS = 1000000ULL
local NEVER = 3600000 * MS

describe("a watch", function()
  local path, loop, w, changes, callback, live

  local function open(options)
    local out = ffi.new("struct watch *[1]")
    local anchor = options.path or path
    local o = ffi.new("struct watch_options", { anchor, options.settle or 20 * MS, options.settle_max or 40 * MS,
      options.rescan or NEVER })
    live, loop, changes = core.heap_live(), loops.new(), 0
    callback = ffi.cast("void (*)(void *)", function() changes = changes + 1 end)
    assert.equal(0, core.watch_open(loop.uv, o, callback, nil, out))
    w = out[0]
  end

  local function reopen(options)
    core.watch_close(w)
    loop:close()
    core.watch_free(w)
    callback:free()
    open(options)
  end

  -- How many the kernel has of this process.
  local function watches()
    local pipe = io.popen("cat /proc/$PPID/fdinfo/* 2>/dev/null | grep -c ^inotify")
    local n = tonumber(pipe:read("*a"))
    pipe:close()
    return n
  end

  local function sh(command) os.execute(("cd %s && %s"):format(path, command)) end

  -- mode 1 sleeps until something happens, 2 does not.
  local function turn(mode) return core.uv_run(loop.uv, mode) end
  jit.off(turn)                                     -- it calls back into Lua

  local function await(n) while changes < n do turn(1) end end

  before_each(function()
    path = os.tmpname()
    os.remove(path)
    os.execute(("mkdir -p %s/lib/deep"):format(path))
    for _, name in ipairs { "/a.lua", "/lib/m.lua", "/lib/deep/m.lua" } do replay.write(path .. name, "1") end
  end)

  after_each(function()
    core.watch_close(w)
    assert.is_true(loop:close())
    core.watch_free(w)
    assert.equal(live, core.heap_live())
    callback:free()
    os.execute("rm -rf " .. path)
  end)

  it("notices what is announced of the directory, its lib/, and what stands in its place", function()
    open {}
    for i, command in ipairs { "echo 22 > a.lua", "echo > b.lua", "rm b.lua", "echo 22 > lib/m.lua",
                               "cp -r $PWD $PWD.new && rm -r $PWD && mv $PWD.new $PWD",
                               "cp -r $PWD $PWD.new && echo 333 > $PWD.new/a.lua && mv $PWD $PWD.old && mv $PWD.new $PWD" } do
      sh(command)
      await(i)
    end
    assert.equal(6, changes)
    os.execute("rm -r " .. path .. ".old")
  end)

  it("sees a link change hands, time and again, and one file that is renamed over", function()
    sh "mkdir 1 2 && echo 1 > 1/a.lua && echo 22 > 2/a.lua && ln -s 1 now"
    open { path = path .. "/now" }
    for i, command in ipairs { "ln -s 2 next && mv -T next now", "ln -s 1 next && mv -T next now", "echo 333 > 1/a.lua" } do
      sh(command)
      await(i)
    end
    reopen { path = path .. "/a.lua" }
    for i, command in ipairs { "echo 22 > .a && mv .a a.lua", "ln a.lua .kept && echo 333 > .a && mv .a a.lua", "echo > a.lua" } do
      sh(command)
      await(i)
    end
  end)

  it("does not watch the folder above, which may hold thousands of files, while the rules are no link", function()
    open {}
    assert.equal(2, watches())
    reopen { path = path .. "/later" }
    assert.equal(1, watches())
    sh "mkdir later && echo > later/a.lua"
    await(1)
    assert.equal(1, watches())
  end)

  it("looks by itself now and then, where nothing is announced", function()
    open { rescan = 10 * MS }
    sh "echo 22 > lib/deep/m.lua"
    await(1)
  end)

  it("says nothing of what only looks like a change", function()
    open { rescan = 5 * MS }
    sh "echo > .hidden; mv a.lua .a; mv .a a.lua"
    for _ = 1, 20 do turn(1) end                    -- several looks
    sh "echo 22 > a.lua"
    await(1)
    assert.equal(1, changes)
  end)

  it("waits for quiet, but not for ever", function()
    open { settle = 30 * MS, settle_max = 60 * MS }
    local n = 0
    while changes == 0 do                           -- a writer that never pauses
      n = n + 1
      replay.write(path .. "/a.lua", ("x"):rep(n))
      turn(2)
    end
    assert.truthy(n > 1)
  end)

  it("takes a path with a slash at its end, one file, and one that is not there yet", function()
    open { path = path .. "/" }
    sh "echo 22 > a.lua"
    await(1)
    reopen { path = path .. "/later" }
    sh "mkdir later && echo > later/a.lua"
    await(1)
  end)
end)
