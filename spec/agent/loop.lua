--- A libuv loop in the spec's own process, so that a server can be stepped, starved and looked into.
local ffi = require("ffi")
local core = require("spec.support").core("heap")
local M = {}

ffi.cdef [[
struct uv_loop_s;
size_t uv_loop_size(void);
int uv_loop_init(struct uv_loop_s *);
int uv_loop_close(struct uv_loop_s *);
int uv_run(struct uv_loop_s *, int);
int uv_backend_fd(const struct uv_loop_s *);
int uv_backend_timeout(const struct uv_loop_s *);
]]

local Loop = {}
Loop.__index = Loop

function M.new()
  local self = setmetatable({}, Loop)
  self.memory = ffi.new("char[?]", core.uv_loop_size())
  self.uv = ffi.cast("struct uv_loop_s *", self.memory)
  assert(core.uv_loop_init(self.uv) == 0)
  return self
end

function Loop:fd() return core.uv_backend_fd(self.uv) end
function Loop:timeout_ms() return core.uv_backend_timeout(self.uv) end

-- Compiled code must not call C that calls back into Lua.
function Loop:run() return core.uv_run(self.uv, 2) end
jit.off(Loop.run)

--- Runs until nothing is left to do, and closes. false: something is left open.
function Loop:close()
  while core.uv_run(self.uv, 1) ~= 0 do end
  return core.uv_loop_close(self.uv) == 0
end
jit.off(Loop.close)

return M
