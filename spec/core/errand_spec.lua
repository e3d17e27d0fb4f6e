local support = require("spec.support")
local core, ffi = support.core("heap", "errand")
local receiver = require("spec.agent.receiver")

ffi.cdef [[
struct errand_spec_pollfd { int fd; short events, revents; };
int poll(void *, unsigned long, int);
struct errand_spec_limit { unsigned long soft, hard; };
int getrlimit(int, struct errand_spec_limit *);
int setrlimit(int, const struct errand_spec_limit *);
]]

local FLUO = os.getenv("FLUO") or "build/fluo"            -- for as long as errands are

describe("errands", function()
  local errands, live
  local why = ffi.new("char[256]")

  before_each(function()
    live = core.heap_live()
    errands = core.errands_new(FLUO)
  end)
  after_each(function()
    core.errands_free(errands)
    assert.equal(live, core.heap_live())
  end)

  local function start(words, input)
    words = table.concat(words, "\0") .. "\0"
    input = input or ""
    local errand = ffi.new("struct fluo_errand", { words = words, words_bytes = #words,
      input = ffi.cast("const uint8_t *", input), input_bytes = #input })
    return core.fluo_errand_start(errands, errand, why)
  end

  -- The next one that has ended: its number, exit status, signal and text.
  local function wait()
    local fds, ended = ffi.new("struct errand_spec_pollfd[?]", core.ERRAND_FDS_MAX), ffi.new("struct fluo_errand_end")
    local until_s = receiver.clock() + 60
    while receiver.clock() < until_s do
      core.errands_turn(errands)
      if core.fluo_errand_next(errands, ended) == 1 then
        return ended.id, ended.status, ended.killed, ffi.string(ended.text, ended.text_bytes)
      end
      local count = core.errands_fds(errands, ffi.cast("void *", fds))
      ffi.C.poll(ffi.cast("void *", fds), count, 1000)
    end
    error("no errand has ended")
  end

  it("give exit status and what was said", function()
    local id = start { "exec", "A=b", "--", "/bin/sh", "-c", "cat; echo $A >&2; exit 7" }
    assert.same({ id, 7, 0, "b\n" }, { wait() })
    id = start({ "exec", "--", "/bin/cat" }, "in")
    assert.same({ id, 0, 0, "in" }, { wait() })
  end)

  it("wait for nothing that a program leaves behind", function()
    start { "exec", "--", "/bin/sh", "-c", "sleep 300 & echo $!" }
    local _, status, _, pid = wait()
    assert.equal(0, status)
    os.execute("kill " .. pid)
  end)

  it("are killed when nobody waits for them any more, and their place is free", function()
    local ids = {}
    for i = 1, core.ERRANDS_MAX do ids[i] = start { "exec", "--", "/bin/sleep", "300" } end
    assert.equal(0, start { "exec", "--", "/bin/true" })
    assert.truthy(ffi.string(why):find("no more fit", 1, true))
    core.fluo_errand_cancel(errands, ids[3])
    local id = start { "exec", "--", "/bin/true" }
    assert.same({ id, 0 }, { (wait()), 0 })
  end)

  it("are waited for by nobody once they were killed, though they do not end", function()
    local path = os.tmpname()
    -- A process that another one traces has not ended before that has seen it.
    start { "exec", "PATH=" .. os.getenv("PATH"), "--", "/usr/bin/env", "python3", "-c", ([[
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.prctl(0x59616d61, ctypes.c_long(-1), 0, 0, 0)
if os.fork() == 0:
    os.setsid()
    traced = libc.ptrace(0x4206, os.getppid(), 0, 0) == 0
    print(os.getpid() if traced else "no tracing", file=open("%s", "w"), flush=True)
time.sleep(300)]]):format(path) }
    local tracer
    local until_s = receiver.clock() + 60
    while not tracer and receiver.clock() < until_s do tracer = support.read(path):match("(.+)\n") end
    assert.truthy(tonumber(tracer), tracer)
    core.fluo_errand_cancel(errands, 1)
    local id = start { "exec", "--", "/bin/true" }
    assert.same({ id, 0, 0 }, { (wait()), 0, 0 })
    os.execute("kill " .. tracer)
    os.remove(path)
  end)

  it("refuse too many words", function()
    local words = { "exec", "--", "/bin/true" }
    for i = 4, core.ERRAND_WORDS_MAX do words[i] = "x" end
    assert.equal(0, start(words))
    assert.truthy(ffi.string(why):find("arguments", 1, true))
  end)

  it("say so where there is no descriptor, and leave none open", function()
    local limit = ffi.new("struct errand_spec_limit")
    local function open_fds()
      local path = os.tmpname()  -- not a pipe: its other end may still be open here when it is looked at
      os.execute("ls /proc/$PPID/fd > " .. path)
      local n = select(2, support.read(path):gsub("\n", ""))
      os.remove(path)
      return n
    end
    collectgarbage()
    local before = open_fds()
    ffi.C.getrlimit(7, limit)
    local soft = limit.soft
    for n = before - 1, before + 6 do
      limit.soft = n
      ffi.C.setrlimit(7, limit)
      local id = start { "exec", "--", "/bin/true" }
      limit.soft = soft
      ffi.C.setrlimit(7, limit)
      if id == 0 then assert.truthy(ffi.string(why):find("no process can be started", 1, true)) else assert.equal(id, (wait())) end
    end
    collectgarbage()
    assert.equal(before, open_fds())
  end)

  it("need memory only at the beginning", function()
    core.heap_fail_only(1)
    assert.is_true(core.errands_new(nil) == nil)
    core.heap_fail_only(0)
  end)

  it("append after what others appended, and cut off what is not whole", function()
    local path = os.tmpname()
    for i = 1, 4 do start({ "append", path }, ("%d"):format(i):rep(5000) .. "\n") end
    for _ = 1, 4 do assert.equal(0, (select(2, wait()))) end
    local lines = 0
    for line in io.lines(path) do
      assert.equal(line:sub(1, 1):rep(5000), line)
      lines = lines + 1
    end
    assert.equal(4, lines)
    start { "exec", "--", "/bin/sh", "-c", ("ulimit -f 60; exec %s --internal-errand append %s < %s"):format(
      (os.getenv("FLUO") or "build/fluo"):gsub("^[^/]", io.popen("pwd"):read("*l") .. "/%0"), path, path) }
    local _, status, _, text = wait()
    assert.same({ 75, path .. ": File too large\n" }, { status, text })
    assert.equal(4 * 5001, #support.read(path))
    os.remove(path)
  end)
end)
