--- Runs the real agent on ephemeral ports and asks it what it did.
--   local harness = require("spec.agent.harness")
--   local agent = harness.start { rules = "rules" }
--   agent:post(body, "application/json")
--   local found, totals, status = agent:stop()
local ffi = require("ffi")
local cjson = require("cjson")
local replay = require("spec.replay")
local socket = require("spec.agent.socket")

ffi.cdef [[
int pipe2(int *, int);
int fork(void);
int dup2(int, int);
int execvp(const char *, char *const *);
void _exit(int);
int kill(int, int);
int waitpid(int, int *, int);
long read(int, void *, size_t);
int open(const char *, int, ...);
]]

local M = {}
local Agent = {}
Agent.__index = Agent

local POLL_MS = 10          -- between two looks at a page, where the log says nothing
local O_CLOEXEC, O_WRONLY, O_CREAT, O_TRUNC = 0x80000, 1, 0x40, 0x200

local function spawn(argv, stdout_path)
  local pipe = ffi.new("int[2]")
  assert(ffi.C.pipe2(pipe, O_CLOEXEC) == 0)
  local args = ffi.new("const char *[?]", #argv + 1)
  for i, word in ipairs(argv) do args[i - 1] = word end
  local pid = ffi.C.fork()
  if pid == 0 then
    local out = ffi.C.open(stdout_path, O_WRONLY + O_CREAT + O_TRUNC, ffi.cast("int", 420))
    ffi.C.dup2(out, 1)
    ffi.C.dup2(pipe[1], 2)
    ffi.C.execvp(argv[1], ffi.cast("char *const *", args))
    ffi.C._exit(127)
  end
  ffi.C.close(pipe[1])
  return pid, pipe[0]
end

-- Waits for more of the log, for so long: false, there is none yet; nil, it has ended.
function Agent:more_log(wait_ms)
  local fds = ffi.new("struct spec_pollfd[1]", { { fd = self.log_fd, events = 1 } })
  if ffi.C.poll(fds, 1, wait_ms) == 0 then return false end
  local block = ffi.new("char[4096]")
  local n = tonumber(ffi.C.read(self.log_fd, block, 4096))
  if n <= 0 then return nil end
  self.pending = self.pending .. ffi.string(block, n)
  return true
end

-- Reads the agent's log until a line satisfies `wanted`, or to its end. Every line is kept.
function Agent:read_log(wanted)
  while true do
    local stop = self.pending:find("\n", 1, true)
    while stop do
      local line = self.pending:sub(1, stop - 1)
      self.pending = self.pending:sub(stop + 1)
      self.log[#self.log + 1] = line
      if wanted and wanted(line) then return line end
      stop = self.pending:find("\n", 1, true)
    end
    local more = self:more_log(socket.PATIENCE_S * 1000)
    if more == nil then return nil end
    if not more then
      ffi.C.kill(self.pid, 9)
      error("the agent said nothing for a minute; so far:\n" .. table.concat(self.log, "\n"))
    end
  end
end

local function message(line)
  local ok, entry = pcall(cjson.decode, line)
  return ok and entry or nil
end

--- options: rules (path, or text of a rule file), flags (array), fluo (binary), shell (a command that ends in
-- exec "$@" and so starts it under other circumstances), stdout (a path), data (a directory, which stays), early (do not wait until it is ready).
-- Waits until it is ready; returns nil and the log if it ended before.
function M.start(options)
  local stdout_path, data = options.stdout or os.tmpname(), options.data or os.tmpname()
  if not options.data then os.remove(data) end
  local rules, made = options.rules or "rules", nil
  if rules:find("[\n{]") then
    made = replay.rule_file(rules)
    rules = made
  end
  local argv = { options.fluo or replay.fluo, "run", "--rules", rules, "--data=" .. data,
    "--listen.otlp_http=127.0.0.1:0", "--listen.admin=127.0.0.1:0", "--log.format=json" }
  if options.shell then
    for i, word in ipairs({ "bash", "-c", options.shell, "bash" }) do table.insert(argv, i, word) end
  end
  for _, flag in ipairs(options.flags or {}) do argv[#argv + 1] = flag end
  local pid, log_fd = spawn(argv, stdout_path)
  local agent = setmetatable({ pid = pid, log_fd = log_fd, stdout_path = stdout_path, made = made, data = not options.data and data,
    log = {}, pending = "" }, Agent)
  if options.early then return agent end
  if not agent:await_ready() then return nil, agent:finish() end
  return agent
end

--- Waits until it is ready: true; nil if it ended before.
function Agent:await_ready()
  local ready = self:read_log(function(line) return line:find('"message":"ready"', 1, true) end)
  local entry = ready and message(ready)
  if not entry then return nil end
  self.otlp, self.admin = entry.otlp_http, entry.admin
  return true
end

-- One request on a connection of its own: status, body and head lines of the answer; 0, "", none and why where there is none.
local function ask(address, verb, path, lines, body)
  local c, why = socket.connect(tonumber(address:match(":(%d+)$")), { v6 = address:find("[", 1, true) })
  if not c then return 0, "", {}, "no connection: " .. why end
  lines = (lines or "") .. "Connection: close\r\n"
  if not lines:find("Host: ", 1, true) then lines = ("Host: %s\r\n%s"):format(address, lines) end
  -- What cannot be sent whole may have its answer all the same.
  c:send(("%s %s HTTP/1.1\r\n%s\r\n%s"):format(verb, path, lines, body or ""))
  local answer
  answer, why = c:answer()
  c:close()
  if not answer then return 0, "", {}, "no answer: " .. why end
  return answer.status, answer.body, answer.headers
end

--- Posts a body to a path of the OTLP listener: status, answer; and why there is none.
function Agent:post(body, content_type, path, headers)
  local lines = ("Content-Type: %s\r\nContent-Length: %d\r\n"):format(content_type or "application/json", #body)
  for _, header in ipairs(headers or {}) do lines = lines .. header .. "\r\n" end
  local status, answer, _, why = ask(self.otlp, "POST", path or "/v1/traces", lines, body)
  return status, answer, why
end

--- Sends requests of spans, as spec.replay writes them.
function Agent:send(requests)
  for _, spans in ipairs(requests) do
    local status, answer, why = self:post(cjson.encode(replay.request(spans)))
    assert(status == 200, why or answer)
  end
end

--- Asks the admin listener: status, body, headers. lines: of the request's head, each with its end.
function Agent:ask(verb, path, lines, body) return ask(self.admin, verb, path, lines, body) end

function Agent:get(path)
  local _, page = self:ask("GET", path)
  return page
end

--- Asks for a reload: status and text of the answer.
function Agent:reload() return self:ask("POST", "/-/reload") end

--- Waits until no reload is under way: status and text of the page that says how the last one went.
function Agent:reloaded()
  local status, text
  socket.until_true(function()
    if status then self:more_log(POLL_MS) end
    status, text = self:ask("GET", "/-/reload")
    return status ~= 202
  end)
  return status, text
end

--- The metrics page as a table: 'name{labels}' to number.
function Agent:metrics()
  local page, text = {}, self:get("/metrics")
  for name, value in text:gmatch("\n([%w_]+%b{}) ([^\n]+)") do page[name] = tonumber(value) end
  for name, value in text:gmatch("\n([%w_]+) ([^\n]+)") do page[name] = tonumber(value) end
  return page
end

--- Waits until the metrics page satisfies `wanted`, and hands it back. The log is read meanwhile (read_log still gets
-- all of it): a process of the agent may wait for room in it.
function Agent:await(wanted)
  local deadline, page = socket.now() + socket.PATIENCE_S
  repeat
    while self:more_log(0) do end
    page = self:metrics()
    if wanted(page) then return page end
    self:more_log(POLL_MS)
  until socket.now() > deadline
  error("a minute later, metrics were still\n" .. self:get("/metrics"))
end

--- Waits until every trace has been judged: then the end has nothing to wait for. Traces have to be idle soon for that.
function Agent:settle()
  return self:await(function(page) return page.fluo_in_flight_spans == 0 end)
end

--- Waits until it has ended: its log entries, exit status and signal.
function Agent:finish()
  self:read_log()
  local status = ffi.new("int[1]")
  ffi.C.waitpid(self.pid, status, 0)
  ffi.C.close(self.log_fd)
  os.remove(self.stdout_path)
  if self.made then os.remove(self.made) end
  if self.data then os.execute("rm -rf " .. self.data) end
  local raw = status[0]
  return { log = self.log, status = math.floor(raw / 256) % 256, signal = raw % 128 }
end

--- SIGTERM, and what came of it: the violations, the totals of its last log line, its exit status, its log.
-- Conservation is checked here, after every run.
function Agent:stop(signal)
  ffi.C.kill(self.pid, signal or 15)
  local stopped = self:read_log(function(line) return line:find('"message":"stopped"', 1, true) end)
  self:read_log()
  local found = {}
  for line in io.lines(self.stdout_path) do found[#found + 1] = cjson.decode(line) end
  local ended = self:finish()
  local totals = stopped and message(stopped)
  if totals then
    local accounted = totals.evaluated + totals.rejected + totals.duplicates + totals.dropped_memory + totals.in_flight
    assert(totals.received == accounted, "spans got lost: " .. stopped)
    assert(totals.in_flight == 0, "spans are still in flight: " .. stopped)
  end
  return found, totals, ended.status, ended.log
end

return M
