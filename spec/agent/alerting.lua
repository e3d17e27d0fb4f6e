--- An agent with receivers, for specs of what becomes of alerts.
--   local world = require("spec.agent.alerting").open()
--   local agent = world.start { rules = …, config = 'receivers = { … }' }
--   agent:send { world.failure("a") }; world.close()
local harness = require("spec.agent.harness")
local receiver = require("spec.agent.receiver")
local replay = require("spec.replay")
local socket = require("spec.agent.socket")
local sqlite = require("spec.sqlite")
local cjson = require("cjson")
local ffi = require("ffi")

local M = {}

local T0 = 1760356800                -- of spec.replay

--- A request of one span that failed, now, in a trace of its own. n names the trace, `key` its shop.
function M.failure(n, key)
  return { replay.span { name = "pay", trace = "t" .. n, at = (os.time() - T0) * 1000, status = "ERROR", dur = 0,
                         attr = { key = tostring(key or n) } } }
end

--- A rule whose violations are one incident a key.
function M.rule(name, actions)
  return ('rule %q { when = { status = "ERROR" }, group_by = "key", actions = { %s }, summary = "{key}" }\n')
    :format(name, '"' .. table.concat(actions, '", "') .. '"')
end

local World = {}
World.__index = World

--- more: as spec.agent.receiver has it.
function M.open(more)
  local world = setmetatable({ data = os.tmpname(), mock = receiver.start(more), agents = {}, files = {} }, World)
  os.remove(world.data)
  return world
end

--- options: rules, config (text of a configuration file), flags, shell, exec as harness.start has them.
function World:start(options)
  local config = os.tmpname()
  os.remove(config)
  config = config .. ".lua"
  replay.write(config, options.config)
  self.files[#self.files + 1] = config
  local flags = { "-c", config }
  for _, flag in ipairs(options.flags or {}) do flags[#flags + 1] = flag end
  local agent, ended = harness.start { rules = options.rules, data = options.data or self.data, flags = flags, shell = options.shell }
  if not agent then error("it did not start: " .. table.concat(ended.log, "\n")) end
  self.agents[#self.agents + 1] = agent
  return agent
end

--- The end of an agent: what harness.stop gives.
function World:stop(agent, signal)
  for i, each in ipairs(self.agents) do
    if each == agent then table.remove(self.agents, i) end
  end
  return agent:stop(signal)
end

--- Bodies of what came to a path of the receiver, decoded, in order.
function World:alerts(path)
  local list = {}
  for i, request in ipairs(self.mock.requests(path)) do list[i] = cjson.decode(request.body) end
  return list
end

--- Waits until `wanted` gives a true value, which it hands back. The agents' logs are read meanwhile.
function World:until_true(what, wanted)
  local deadline = socket.now() + socket.PATIENCE_S
  repeat
    for _, agent in ipairs(self.agents) do
      while agent:more_log(0) do end
    end
    local found = wanted()
    if found then return found end
    ffi.C.poll(nil, 0, 20)
  until socket.now() > deadline
  error(("%d s later there was still not: %s"):format(socket.PATIENCE_S, what), 2)
end

--- What a statement gives of the ledger's database (data: of another directory), rows as lists of texts; none where there
-- is no database yet.
function World:sql(statement, data)
  local file = io.open((data or self.data) .. "/fluo.db")
  if not file then return {} end                     -- sqlite3 would make one
  file:close()
  local status, out, err = replay.shell(('%s -separator "\t" %s/fluo.db "%s"')
    :format(sqlite.SHELL, data or self.data, statement))
  if err:find("no such table", 1, true) then return {} end
  assert(status == 0, err)
  local rows = {}
  for line in out:gmatch("[^\n]+") do
    local row = {}
    for text in (line .. "\t"):gmatch("([^\t]*)\t") do row[#row + 1] = text end
    rows[#rows + 1] = row
  end
  return rows
end

function World:close()
  for _, agent in ipairs(self.agents) do agent:stop(9) end
  self.mock.stop()
  for _, file in ipairs(self.files) do os.remove(file) end
  os.execute("rm -rf " .. self.data)
end

return M
