-- A process that writes rows until it is killed, and prints each number that it is told is saved.
--   luajit spec/core/ledger_writer.lua DIRECTORY FIRST
local world = require("spec.core.ledger_world")
local w = assert(world.open { data = arg[1] })
local n = tonumber(arg[2])
math.randomseed(n)
io.stdout:setvbuf("no")
local said, numbers = 0, {}
while true do
  for _ = 1, math.random(1, 40) do
    n = n + 1
    local id = ("%08d"):format(n)
    local number
    if n % 3 == 0 then number = w:violation { id = id, evidence = world.EVIDENCE, json = ("x"):rep(math.random(1, 3000)) }
    elseif n % 3 == 1 then number = w:incident { id = id }
    else number = w:delivery { id = id, alert = "{}" } end
    numbers[number] = id
  end
  w:hear(function() return w.saved > said end)
  for number = said + 1, w.saved do io.stdout:write(numbers[number], "\n") end
  said = w.saved
end
