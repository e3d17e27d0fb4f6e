--- A receiver of alerts for specs: receiver.py on a port of its own.
--   local mock = require("spec.agent.receiver").start()
--   mock.url "/status/500"; mock.requests "/ok" (those so far whose path begins so); mock.stop()
local cjson = require("cjson")
local socket = require("spec.agent.socket")

local M = {}

--- Seconds of the monotonic clock.
M.clock = socket.now

--- more: { cert =, key = } paths, for TLS; { port = } of one that was there before.
function M.start(more)
  local log = os.tmpname()
  local tls = more and more.cert and (" %s %s"):format(more.cert, more.key) or ""
  local at = more and more.port or 0
  local pipe = assert(io.popen(("sh -c 'echo $$; exec env -u LD_PRELOAD python3 spec/agent/receiver.py %s %d%s'"):format(log, at, tls)))
  local pid, port = pipe:read("*n", "*n")
  local scheme = tls ~= "" and "https" or "http"
  local mock = { port = port, pid = pid }
  function mock.url(path) return ("%s://127.0.0.1:%d%s"):format(scheme, port, path) end
  local all, read = {}, 0
  local function read_on()
    local file = assert(io.open(log, "rb"))
    file:seek("set", read)
    for line in file:read("*a"):gmatch("([^\n]*)\n") do
      all[#all + 1] = cjson.decode(line)
      read = read + #line + 1
    end
    file:close()
  end
  --- Those so far whose path begins so.
  function mock.requests(prefix)
    local found = {}
    read_on()
    for _, request in ipairs(all) do
      if request.path:sub(1, #prefix) == prefix then found[#found + 1] = request end
    end
    return found
  end
  --- What was asked for at /until/NAME/… is answered from now on.
  function mock.mend(name) os.execute(("env -u LD_PRELOAD curl -sk -m 20 -o /dev/null %s/mend/%s"):format(mock.url(""), name)) end
  function mock.stop()
    os.execute(("kill %d 2>/dev/null"):format(pid))
    pipe:close()
    os.remove(log)
  end
  return mock
end

return M
