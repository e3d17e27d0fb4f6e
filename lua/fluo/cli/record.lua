--- `fluo record`: what the running agent receives, as lines that `fluo replay` judges as the agent did. The lines come
-- as they are to be written. Where whole traces are asked for, the agent sends every trace and says of each at its end
-- whether it is one: lines wait here, in the order in which they arrived, until those in front of them are decided.
local agent = require("fluo.cli.agent")
local stream = require("fluo.cli.stream")

local M = {}

local EXIT_FAILED, EXIT_USAGE = 1, 2
-- Lines that wait; this process has 64 MiB for all it does. Past it the trace in front is left out, which is said.
local HELD_BYTES_MAX = 24 * 1048576
-- Whole traces that were written: late spans of theirs belong to them.
local KEPT_MAX = 100000

-- What the agent is asked for.
local function target_of(flags)
  local asked = {}
  for _, rule in ipairs(flags.rule or {}) do asked[#asked + 1] = { "rule", rule } end
  asked[#asked + 1] = { "violated", flags.violated and 1 }
  asked[#asked + 1] = { "trace", flags.trace }
  asked[#asked + 1] = { "by", flags.max_traces and "trace" }
  return "/api/v1/record" .. agent.query(asked)
end

local Recording = {}
Recording.__index = Recording

--- options: fd, max_bytes, max_traces (all but fd may be nil), whole: traces are written as they end.
function M.new(options)
  return setmetatable({ fd = options.fd, max_bytes = options.max_bytes, max_traces = options.max_traces,
    whole = options.whole, lines = 0, bytes = 0, traces = 0, lost_lines = 0, lost_spans = 0, left_out = 0,
    held = {}, first = 1, last = 0, held_bytes = 0, open = {}, kept = {}, kept_count = 0 }, Recording)
end

-- Writes a line: true; or nil and what ends the recording.
function Recording:write(line)
  if self.max_bytes and self.bytes + #line + 1 > self.max_bytes then return nil, "max-bytes" end
  local good, why, unread = stream.write_all(self.fd, line .. "\n")
  if not good then return nil, unread and "unread" or why end
  self.lines, self.bytes = self.lines + 1, self.bytes + #line + 1
  return true
end

-- Lets the trace in front go, so that those behind it need not wait.
function Recording:leave_out(trace)
  trace.decided, trace.left_out = true, true
  self.left_out = self.left_out + 1
end

-- Takes what stands in front off, and writes it if it is to be kept.
function Recording:shift()
  local entry = self.held[self.first]
  local trace = self.open[entry.trace]
  self.held[self.first] = nil
  self.first, self.held_bytes, trace.held = self.first + 1, self.held_bytes - #entry.line, trace.held - 1
  if trace.held == 0 then self.open[entry.trace] = nil end
  if trace.keep then return self:write(entry.line) end
  return true
end

-- Takes off what stands in front and is decided; at the end, everything.
function Recording:flush(at_end)
  while self.first <= self.last do
    local trace = self.open[self.held[self.first].trace]
    if not trace.decided then
      if self.held_bytes <= HELD_BYTES_MAX and not at_end then return true end
      self:leave_out(trace)
    end
    local good, why = self:shift()
    if not good then return nil, why end
  end
  return true
end

-- The first id in a line is a span's: neither resource nor scope has one.
function Recording:hold(line)
  local id = line:match('"traceId":"(%x+)"')
  if not id then return true end
  local trace = self.open[id]
  if not trace then
    local kept = self.kept[id] ~= nil
    trace = { held = 0, decided = kept, keep = kept }
    self.open[id] = trace
  end
  trace.held, self.last = trace.held + 1, self.last + 1
  self.held[self.last] = { line = line, trace = id }
  self.held_bytes = self.held_bytes + #line
  return self:flush()
end

function Recording:keep(id)
  if self.kept[id] then return true end
  if self.kept_count >= (self.max_traces or KEPT_MAX) then return false end
  self.kept[id], self.kept_count = "open", self.kept_count + 1
  return true
end

function Recording:decide(id, keep, over)
  local trace = self.open[id]
  keep = not (trace and trace.left_out) and (keep or self.kept[id]) and self:keep(id)
  if trace and (keep or over) then trace.decided, trace.keep = true, keep end
  if keep and over and self.kept[id] == "open" then self.kept[id], self.traces = "over", self.traces + 1 end
  if self.max_traces and self.traces >= self.max_traces then return nil, "max-traces" end
  return self:flush()
end

--- Takes a line of the agent's: true; or nil and what ends the recording.
function Recording:take(line)
  if line == "" then return true end
  if line:sub(1, 8) ~= '{"fluo":' then
    if self.whole then return self:hold(line) end
    return self:write(line)
  end
  local lines, spans = line:match('"lost":{"lines":(%d+),"spans":(%d+)}')
  if lines then
    self.lost_lines, self.lost_spans = self.lost_lines + tonumber(lines), self.lost_spans + tonumber(spans)
    return self:write(line)
  end
  local id, keep, over = line:match('"trace":"(%x+)","keep":(%a+)(.*)')
  if id then return self:decide(id, keep == "true", over:find("over", 1, true) ~= nil) end
  return true
end

--- Takes lines until something ends it: what that was (see Stream:line, Recording:write).
function Recording:run(from, deadline)
  while true do
    local line, why = from:line(deadline)
    if not line then return why end
    local good
    good, why = self:take(line)
    if not good then return why end
  end
end

-- ---- the command --------------------------------------------------------------------------------

local ENDS = {
  deadline = "the time is over", signal = "interrupted", ["max-bytes"] = "--max-bytes is reached",
  ["max-traces"] = "--max-traces is reached", unread = "nobody reads what is written any more",
}

local function counted(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

--- What came of it, for people.
function Recording:summary(ended)
  local parts = { counted(self.lines, "line"), counted(self.bytes, "byte") }
  if self.whole then parts[#parts + 1] = counted(self.kept_count, "trace") end
  if self.lost_lines > 0 then
    parts[#parts + 1] = ("lost, because they were not read in time: %s of %s"):format(counted(self.lost_lines, "line"),
      counted(self.lost_spans, "span"))
  end
  if self.left_out > 0 then
    parts[#parts + 1] = ("left out, because not known to be over: %s"):format(counted(self.left_out, "trace"))
  end
  return ("%s: %s"):format(ended, table.concat(parts, ", "))
end

local function say(text) io.stderr:write("fluo: ", text, "\n") end

-- What is cut in the middle of a line is no recording.
local function finish(recording, path)
  if not path then return end
  stream.truncate(recording.fd, recording.bytes)
  stream.close(recording.fd)
end

-- Where it goes. Only once the agent has agreed: without one a recording that is there stays as it was.
local function open_output(path)
  if not path then return 1 end
  local fd, why = stream.create(path)
  return fd, why and ("%s cannot be written: %s"):format(path, why)
end

--- Records from an agent ("host port") into a file, or to stdout: the recording and how it ended, "deadline" and the
-- like; or nil and why it could not begin. options: what M.new takes but for fd, out (a path), target, duration_s.
function M.record(address, options)
  local from, why = stream.open(address, options.target)
  if not from then return nil, why end
  options.fd, why = open_output(options.out)
  if not options.fd then
    from:close()
    return nil, why
  end
  local recording = M.new(options)
  if options.on_open then options.on_open(from.shown) end
  local deadline = options.duration_s and stream.now() + options.duration_s
  why = recording:run(from, deadline)
  from:close()
  if why ~= "max-bytes" and why ~= "unread" then
    local good, failure = recording:flush(true)
    if not good then why = failure end
  end
  finish(recording, options.out)
  return recording, why
end

--- config: what fluo.config resolved. 0; 1: it failed, or ended early; 2: wrong use.
function M.run(config)
  local flags = config.flags
  if flags.violated and not flags.rule then
    say("--violated needs --rule")
    return EXIT_USAGE
  end
  local recording, ended = M.record(agent.address(config), {
    out = flags.out, target = target_of(flags), whole = flags.rule ~= nil or flags.max_traces ~= nil,
    max_bytes = flags.max_bytes, max_traces = flags.max_traces, duration_s = flags.duration and flags.duration / 1e9,
    on_open = function(shown) say(("recording what %s receives; Ctrl-C ends it"):format(shown)) end })
  if not recording then
    say(ended)
    return EXIT_FAILED
  end
  say(recording:summary(ENDS[ended] or ended == "ended" and "the agent has ended" or "it failed: " .. ended))
  return ENDS[ended] and 0 or EXIT_FAILED
end

return M
