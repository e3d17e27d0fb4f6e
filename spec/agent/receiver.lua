--- A receiver of alerts for specs: receiver.py on a port of its own.
--   local mock = require("spec.agent.receiver").start()
--   mock.url "/status/500"; mock.requests "/ok" (those so far whose path begins so); mock.stop()
local ffi = require("ffi")
local cjson = require("cjson")

ffi.cdef [[
struct spec_timespec { long s, ns; };
int clock_gettime(int, struct spec_timespec *);
]]

local M = {}

--- Seconds of the monotonic clock.
function M.clock()
  local t = ffi.new("struct spec_timespec")
  ffi.C.clock_gettime(1, t)
  return tonumber(t.s) + tonumber(t.ns) / 1e9
end

--- more: { cert =, key = } paths, for TLS.
function M.start(more)
  local log = os.tmpname()
  local tls = more and (" %s %s"):format(more.cert, more.key) or ""
  local pipe = assert(io.popen(("sh -c 'echo $$; exec python3 spec/agent/receiver.py %s%s'"):format(log, tls)))
  local pid, port = pipe:read("*n", "*n")
  local scheme = more and "https" or "http"
  local mock = { port = port, pid = pid }
  function mock.url(path) return ("%s://127.0.0.1:%d%s"):format(scheme, port, path) end
  function mock.requests(prefix)
    local found = {}
    for line in io.lines(log) do
      local request = cjson.decode(line)
      if request.path:sub(1, #prefix) == prefix then found[#found + 1] = request end
    end
    return found
  end
  function mock.stop()
    os.execute(("kill %d 2>/dev/null"):format(pid))
    pipe:close()
    os.remove(log)
  end
  return mock
end

return M
