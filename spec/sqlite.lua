--- A ledger's database as somebody else has it open, by the shell of SQLite. Whoever comes while the ledger's thread is at
-- work waits for it.
local replay = require("spec.replay")
local socket = require("spec.agent.socket")

local M = {}

--- What to call the shell with.
M.SHELL = 'sqlite3 -batch -cmd ".timeout 30000"'

--- Somebody else who has the database for himself until what comes back is called, once or more often.
function M.locked(path)
  local ready, said = os.tmpname(), nil
  local pipe = assert(io.popen(("exec %s -bail %s >%s 2>&1"):format(M.SHELL, path, ready), "w"))
  local function release()
    if pipe then pipe:close() end
    pipe = nil
    os.remove(ready)
  end
  pipe:write("BEGIN EXCLUSIVE; SELECT 'got it';\n")
  pipe:flush()
  socket.until_true(function()
    said = replay.text(ready)
    return said ~= ""
  end)
  if said ~= "got it\n" then
    release()
    error("no lock: " .. said)
  end
  return release
end

return M
