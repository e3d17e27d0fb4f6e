--- A post room for specs: the real process, under a clock that the core's side is told.
--   local room = require("spec.core.post_room")
--   local world = room.open(actions, setup); world.send("team", alert); world.wait(1)[1].result; world.close()
local cjson = require("cjson")
local receiver = require("spec.agent.receiver")
local support = require("spec.support")
local texts = require("fluo.texts")
local core, ffi = support.core("heap", "courier", "post")
jit.off()                                                             -- C calls back into Lua

local M = {}

ffi.cdef [[
int memfd_create(const char *, unsigned);
long write(int, const void *, size_t);
int close(int);
]]

local FLUO = os.getenv("FLUO") or "build/fluo"

function M.memfd(text)
  local fd = ffi.C.memfd_create("texts", 1)
  assert(ffi.C.write(fd, text, #text) == #text)
  return fd
end

--- Rule files as a post room reads them, of one file.
function M.texts(file)
  return table.concat(texts.write { { file = "actions.lua", text = file, modules = { names = {} } } })
end

M.PLACES = 32                           -- POST_IN_FLIGHT_MAX
M.now_ns = 0                             -- the clock that post is told; the processes have their own

-- A post room with these actions and this set-up; exe: another binary to start. Gives { send, outcomes, wait }.
function M.open(actions, setup, exe)
  local world = { outcomes = {}, log = {}, trouble = {}, sent = 0 }
  local calls = ffi.new("struct post_calls")
  world.callbacks = {
    ffi.cast("void (*)(void *, uint64_t, int, uint32_t, const char *, size_t)", function(_, id, result, after, text, n)
      world.outcomes[tonumber(id)] = { result = result, after = after, text = ffi.string(text, n) }
      world.count = (world.count or 0) + 1
    end),
    ffi.cast("void (*)(void *, const char *, size_t)", function(_, text, n) world.log[#world.log + 1] = ffi.string(text, n) end),
    ffi.cast("void (*)(void *, const char *)", function(_, why) world.trouble[#world.trouble + 1] = ffi.string(why) end),
  }
  calls.on_outcome = ffi.cast("void *", world.callbacks[1])
  calls.on_log, calls.on_trouble = world.callbacks[2], world.callbacks[3]
  local text = cjson.encode(setup or {})
  world.exe = exe or FLUO
  local options = ffi.new("struct post_options", { exe = world.exe, setup = text, setup_bytes = #text,
    heap_bytes = 64 * 1048576, diagnostics_fd = 2 })
  local out = ffi.new("struct post *[1]")
  assert(core.post_new(options, calls, out) == 0)
  world.post = out[0]
  local fd = M.memfd(M.texts(actions))
  assert(core.post_texts(world.post, fd) == 0)
  ffi.C.close(fd)

  function world.send(name, alert)
    world.sent = world.sent + 1
    local json = cjson.encode(alert or { id = "d" .. world.sent, incidents = { { rule = "r", summary = "s" } } })
    assert(core.post_send(world.post, world.sent, name, json, #json) == 0)
    return world.sent
  end

  -- Until so many outcomes have come.
  function world.wait(count)
    local ready = ffi.new("struct spec_pollfd[1]", { { core.post_fd(world.post), 1, 0 } })
    local until_s = receiver.clock() + 60
    while (world.count or 0) < count and receiver.clock() < until_s do
      M.now_ns = M.now_ns + 50000000
      core.post_tick(world.post, M.now_ns)
      ffi.C.poll(ready, 1, 50)
      core.post_turn(world.post, M.now_ns)
    end
    assert(world.count == count, ("%d outcomes of %d came"):format(world.count or 0, count))
    return world.outcomes
  end

  function world.close()
    core.post_free(world.post)
    for _, callback in ipairs(world.callbacks) do callback:free() end
  end
  return world
end

function M.stats(world)
  local s = ffi.new("struct post_stats")
  core.post_stats_get(world.post, s)
  return s
end

return M
