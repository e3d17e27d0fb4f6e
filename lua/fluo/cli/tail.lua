--- `fluo tail`: violations and incidents as they come, a line each.
local agent = require("fluo.cli.agent")
local stream = require("fluo.cli.stream")

local M = {}

local EXIT_FAILED = 1

local function time_of(text) return text:match("T(%d+:%d+:%d+)") or "" end

local LINES = {}

function LINES.violation(v)
  return ("%s  violation  %s  %s  %s  %s"):format(time_of(v.time), agent.short(v.id), v.severity, v.rule,
    v.summary or v.reason or "")
end

function LINES.incident(i)
  return ("%s  incident   %s  %s  %s  %s  x%d  %s"):format(time_of(i.last_seen_at), agent.short(i.id), i.severity,
    i.rule, i.status, i.count, agent.labels(i.group))
end

function LINES.lost(l)
  return agent.is_null(l.events) and "… some were lost" or ("… %d were lost: they came too fast"):format(l.events)
end

-- Events of a stream: kind and data (text), or nil and why it ended.
local function next_event(from, deadline)
  local kind, data
  while true do
    local line, why = from:line(deadline)
    if not line then return nil, why end
    if line == "" and data then return kind, data end
    if line == "" then kind = nil end
    kind, data = line:match("^event: (.*)$") or kind, line:match("^data: (.*)$") or data
  end
end

-- Prints one, where it is wanted: whether it was.
local function print_event(kind, data, flags)
  local line = LINES[kind]
  local value = line and agent.decode(data)
  if not line or (flags.rule and kind ~= "lost" and value.rule ~= flags.rule) then return false end
  io.stdout:write(flags.json and ('{"event":"%s","data":%s}'):format(kind, data) or agent.clean(line(value)), "\n")
  io.stdout:flush()
  return kind ~= "lost"
end

local ENDS = { deadline = true, signal = true, count = true }

local function follow(from, flags)
  local deadline, printed = flags.duration and stream.now() + flags.duration / 1e9, 0
  while not flags.count or printed < flags.count do
    local kind, data = next_event(from, deadline)
    if not kind then return data end
    if print_event(kind, data, flags) then printed = printed + 1 end
  end
  return "count"
end

--- config: what fluo.config resolved. 0; 1: no agent, or it has ended.
function M.run(config)
  local from, why = stream.open(agent.address(config), "/api/v1/events")
  if not from then
    agent.say(why)
    return EXIT_FAILED
  end
  agent.say(("following %s; Ctrl-C ends it"):format(from.shown))
  why = follow(from, config.flags)
  from:close()
  if ENDS[why] then return 0 end
  agent.say(why == "ended" and "the agent has ended" or why)
  return EXIT_FAILED
end

return M
