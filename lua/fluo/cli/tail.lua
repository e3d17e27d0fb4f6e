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

-- Events of a stream: kind, data (text) and id, or nil and why it ended.
local function next_event(from, deadline)
  local kind, data, id
  while true do
    local line, why = from:line(deadline)
    if not line then return nil, why end
    if line == "" and data then return kind, data, id end
    if line == "" then kind = nil end
    kind, data = line:match("^event: (.*)$") or kind, line:match("^data: (.*)$") or data
    id = line:match("^id: (%d+)$") or id
  end
end

local SHOWN_MAX = 10000

-- Whether it was printed before: who comes back is sent incidents as they are now, and what came at the moment of the
-- last event once more.
local function is_known(state, id, kind, value)
  if not id then return false end
  local key, said = kind .. value.id, ("%s %s"):format(value.status or "", value.count or "")
  local known = state.shown[key] == said and (kind == "violation" or id == state.resumed)
  if not state.shown[key] then state.shown_count = state.shown_count + 1 end
  if state.shown_count > SHOWN_MAX then state.shown, state.shown_count = {}, 0 end
  state.shown[key], state.last = said, id
  return known
end

-- Prints one, where it is wanted: whether it was.
local function print_event(state, kind, data, id)
  local line, flags = LINES[kind], state.flags
  local value = line and agent.decode(data)
  if not line or is_known(state, id, kind, value) then return false end
  if flags.rule and kind ~= "lost" and value.rule ~= flags.rule then return false end
  io.stdout:write(flags.json and ('{"event":"%s","data":%s}'):format(kind, data) or agent.clean(line(value)), "\n")
  io.stdout:flush()
  return kind ~= "lost"
end

local ENDS = { deadline = true, signal = true, count = true }
-- As the stream asks for.
local AGAIN_S = 2

-- Why it ended.
local function follow(state, from)
  while not state.flags.count or state.printed < state.flags.count do
    local kind, data, id = next_event(from, state.deadline)
    if not kind then return data end
    if print_event(state, kind, data, id) then state.printed = state.printed + 1 end
  end
  return "count"
end

local function open(state)
  return stream.open(state.address, "/api/v1/events", state.last and { "Last-Event-ID: " .. state.last })
end

-- The agent's next stream, from where the last one ended; nil where something ended the wait.
local function come_back(state)
  state.resumed = state.last
  while not stream.pause(AGAIN_S, state.deadline) do
    local from = open(state)
    if from then return from end
  end
  return nil
end

--- config: what fluo.config resolved. 0; 1: no agent.
function M.run(config)
  local flags = config.flags
  local state = { flags = flags, address = agent.address(config), printed = 0, shown = {}, shown_count = 0,
                  deadline = flags.duration and stream.now() + flags.duration / 1e9 }
  local from, why = open(state)
  if not from then
    agent.say(why)
    return EXIT_FAILED
  end
  agent.say(("following %s; Ctrl-C ends it"):format(from.shown))
  state.last = ("%d000000000"):format(os.time())       -- until something comes
  repeat
    why = follow(state, from)
    from:close()
    if ENDS[why] then break end
    agent.say((why == "ended" and "the agent has ended" or why) .. "; it is followed on when it is back")
    from = come_back(state)
    if from then agent.say(("following %s again"):format(from.shown)) end
  until not from
  return 0
end

return M
