--- Everything between a request and a violation but the sockets: intake, host (engine, study, rules) and the real
-- processes of the study, under a virtual clock, turned by hand, so that a spec can break it at any moment.
--   local s = spine.open { rules = … }; s:post(body, { type = … }); s:run(); s:advance(11); s:finish()
--   s.found        -- { "rule id span,span": how often }; s.late: those of them that were late
local core, ffi = require("spec.support").core("err", "heap", "buffer", "http", "otlp", "intake", "host")
local M = { core = core, ffi = ffi, exe = os.getenv("FLUO") or "build/fluo" }

ffi.cdef [[
  struct spine_poll { int fd; short events, revents; };
  struct spine_time { long s, ns; };
  int poll(struct spine_poll *, unsigned long, int);
  int clock_gettime(int, struct spine_time *);
  int kill(int, int);
  int getpid(void);
  int waitid(int, unsigned, void *, int);
  int memfd_create(const char *, unsigned);
  int close(int);
]]
M.SECOND = 1000000000ULL
M.T0 = 1760356800ULL * M.SECOND
local DEADLINE_NS = 60000000000ULL
local RECEIVE = "int (*)(void *, const uint8_t *, size_t, const struct otlp_summary *, struct intake_receipt *)"
M.PROTOBUF, M.JSON = "application/x-protobuf", "application/json"

function M.mono()
  local t = ffi.new("struct spine_time")
  ffi.C.clock_gettime(1, t)
  return M.SECOND * t.s + t.ns
end

local Spine = {}
Spine.__index = Spine

-- What a callback raises would be lost in C: kept, and raised by the next turn.
local function callback(s, type, f)
  local made = ffi.cast(type, function(...)
    local good, result = pcall(f, ...)
    if not good then s.failure = s.failure or result end
    return good and result or 0
  end)
  s.callbacks[#s.callbacks + 1] = made
  return made
end

local function on_violation(s, v)
  local spans = {}
  for i = 0, v.witnesses_count - 1 do
    local id = ffi.string(v.witnesses[i].span.span_id, 8)
    spans[i + 1] = (id:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
  end
  local name = ffi.string(core.ruleset_text(v.rules, v.rule.name), v.rule.name.len)
  local trace = ffi.string(v.trace_id, 16):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  local key = ("%s %s %s"):format(name, trace, table.concat(spans, ","))
  s.found[key], s.late[key] = (s.found[key] or 0) + 1, v.late or nil
end

local function host_calls(s)
  local calls = ffi.new("struct host_calls")
  local function set(name, f) calls[name] = callback(s, ffi.typeof(calls[name]), f) end
  local function say(...) s.said[#s.said + 1] = table.concat({ ... }, " ") end
  set("on_violation", function(_, v) on_violation(s, v) end)
  set("on_error", function(_, rule, _, text, bytes) say("error", ffi.string(rule), ffi.string(text, bytes)) end)
  set("on_fault", function(_, rule, fault)
    say("fault", rule ~= nil and ffi.string(rule) or "nobody", ffi.string(core.study_fault_text(fault)))
  end)
  set("on_quarantine", function(_, rule) say("quarantine", ffi.string(rule)) end)
  set("on_trouble", function(_, why) say("trouble", ffi.string(why)) end)
  set("on_lost", function(_, why) say("lost", ffi.string(why)) end)
  set("on_reload", function(_, reload) s.reloads[#s.reloads + 1] = tonumber(reload.err) end)
  return calls
end

local function config_of(s)
  local config = ffi.new("struct config")
  config.rules = ffi.cast("char *", s.path)
  config.buffer.bytes_max = 4194304
  config.trace.idle_ns, config.trace.max_age_ns, config.trace.late_ns = 10 * M.SECOND, 300 * M.SECOND, 60 * M.SECOND
  config.trace.spans_max, config.trace.bytes_max = 10000, 1048576
  return config
end

local function open_host(s)
  local options = ffi.new("struct host_options")
  s.config = config_of(s)
  options.config, options.exe, options.live = s.config, M.exe, true
  options.started_ns, options.diagnostics_fd = M.T0 - 3600 * M.SECOND, s.diagnostics
  local out, why = ffi.new("struct host *[1]"), ffi.new("char[256]")
  local err = core.host_open(options, host_calls(s), out, why)
  if err ~= 0 then return err, ffi.string(why) end
  s.host = out[0]
  return 0
end

local function open_intake(s)
  local options = ffi.new("struct intake_options", { limits = { 64, 1000, 10000, 1048576 }, body_bytes_max = 65536 })
  local receive = callback(s, RECEIVE, function(_, body, n, _, receipt)
    local taken = ffi.new("struct engine_receipt")
    local err = core.engine_receive(s.engine, body, n, nil, s.now, taken)
    receipt.accepted, receipt.rejected, receipt.dropped_memory = taken.accepted, taken.rejected, taken.dropped_memory
    return err
  end)
  local out = ffi.new("struct intake *[1]")
  local err = core.intake_new(options, ffi.new("struct intake_calls", { receive = receive }), out)
  if err ~= 0 then return err end
  s.intake, s.http = out[0], ffi.new("struct http_calls")
  core.intake_http(s.intake, s.http)
  return 0
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

--- Opens it over rules (text). Gives the spine, or nil and the error; then finish() has been done.
function M.open(rules)
  local s = setmetatable({ found = {}, late = {}, said = {}, reloads = {}, callbacks = {}, now = M.T0, ahead = 0ULL, live = core.heap_live(), events = 0,
    path = os.tmpname() .. ".lua", diagnostics = ffi.C.memfd_create("diagnostics", 1) }, Spine)
  write(s.path, rules)
  local err, why = open_host(s)
  if err == 0 then
    s.engine = core.host_engine(s.host)
    err, why = open_intake(s)
  end
  if err == 0 then return s end
  s:finish()
  return nil, err, why
end

-- ---- what happens, one event at a time -----------------------------------------------------------

-- Specs that break something do so before an event or after it.
local function event(s, f)
  s.events = s.events + 1
  if s.before then s.before(s.events) end
  local result = f()
  core.host_hand_over(s.host)
  core.host_tidy(s.host)
  if s.after then s.after(s.events) end
  if s.failure then error(s.failure, 0) end
  return result
end

local function text_of(t) return { p = t, n = #t } end

--- Posts a body: the status of its answer.
function Spine:post(body, o)
  local request = ffi.new("struct http_request", { verb = ffi.C.HTTP_VERB_POST, path = text_of("/v1/traces"),
    content_type = text_of(o.type), content_encoding = text_of(o.encoding or ""), keep_alive = true })
  local response, answer = ffi.new("struct http_response"), ffi.new("struct buffer")
  core.buffer_init(answer, 65536)
  response.body = answer
  event(self, function()
    self.http.on_head(self.http.ctx, request, response)
    if response.status ~= 0 then return end
    request.body, request.body_bytes = ffi.cast("const uint8_t *", body), #body
    self.http.on_request(self.http.ctx, request, response)
  end)
  core.buffer_deinit(answer)
  return response.status
end

function Spine:readable(wait_ms)
  local fd = ffi.new("struct spine_poll", { core.host_fd(self.host), 1, 0 })
  return ffi.C.poll(fd, 1, wait_ms) > 0
end

--- One turn of an owner's loop. A spine in a hurry (hurry = true) has a clock that runs ahead while it waits for what
-- may never come.
function Spine:turn()
  local readable = self:readable(self.hurry and 10 or 50)
  if self.hurry and not readable then self.ahead = self.ahead + M.SECOND / 10 end
  event(self, function()
    local turn = readable and core.host_readable or core.host_tick
    turn(self.host, M.mono() + self.ahead)
  end)
end

--- Until nothing is out.
function Spine:run()
  local start = M.mono()
  while core.host_busy(self.host) or core.host_reloading(self.host) do
    self:turn()
    assert(M.mono() - start < DEADLINE_NS, "the study is still busy")
  end
end

--- Time passes; what is due happens.
function Spine:advance(seconds)
  self.now = self.now + seconds * M.SECOND
  event(self, function() while core.engine_step(self.engine, self.now) do end end)
end

--- Other rules (text), from then on.
function Spine:reload(rules)
  write(self.path, rules)
  event(self, function() core.host_reload(self.host) end)
end

function Spine:close_all()
  event(self, function() core.engine_close_all(self.engine, self.now) end)
end

for name, f in pairs(Spine) do
  if type(f) == "function" then jit.off(f, true) end                -- they call C that calls back
  Spine[name] = f
end
jit.off(M.open, true)
jit.off(event, true)

-- ---- looking -------------------------------------------------------------------------------------

-- The processes: "worker" and "rules" of the rules in force, "others" of rules that are loaded or drain.
function Spine:pids(victim)
  local study = core.host_study(self.host)
  local own = { worker = core.study_worker_pid(study), rules = core.study_rules_pid(study) }
  if own[victim] then return own[victim] > 0 and { own[victim] } or {} end
  local list, file = {}, assert(io.open("/proc/self/task/" .. ffi.C.getpid() .. "/children"))
  for pid in file:read("*a"):gmatch("%d+") do
    pid = tonumber(pid)
    if pid ~= own.worker and pid ~= own.rules then list[#list + 1] = pid end
  end
  file:close()
  return list
end

local P_PID, WAITED = 1, { [9] = 0x1000004, [19] = 0x1000006 }   -- WNOWAIT | WEXITED; or WSTOPPED

--- Signals processes (SIGKILL or SIGSTOP), where there are any just now, and waits until that has happened to them;
-- who they belong to can wait for them once more.
function Spine:kill(victim, signal)
  for _, pid in ipairs(self:pids(victim)) do
    ffi.C.kill(pid, signal)
    assert(ffi.C.waitid(P_PID, pid, ffi.new("char[256]"), WAITED[signal]) == 0)
    self.kills = (self.kills or 0) + 1
  end
end

--- The engine's counters; the books must balance.
function Spine:stats()
  local e = ffi.new("struct engine_stats")
  core.engine_stats_get(self.engine, e)
  assert(e.received == e.evaluated + e.rejected + e.dropped[0] + e.dropped[1] + e.in_flight, "spans got lost")
  return e
end

function Spine:study_stats()
  local stats = ffi.new("struct study_stats")
  core.host_study_stats(self.host, stats)
  return stats
end

--- Ids of closed traces that were forgotten before their time.
function Spine:forgotten()
  local stats = ffi.new("struct store_stats")
  core.store_stats_get(core.engine_store(self.engine), self.now, stats)
  return tonumber(stats.ids_forgotten)
end

--- Answers that were unknown, over all rules.
function Spine:unknown()
  local n, set = 0, core.host_rules(self.host)
  for i = 0, core.ruleset_ir(set).rules - 1 do n = n + tonumber(core.engine_rule_stats(self.engine, i).unknown) end
  return n
end

--- Takes all down: nothing may be left.
function Spine:finish()
  core.intake_free(self.intake)
  core.host_close(self.host)
  for _, made in ipairs(self.callbacks) do made:free() end
  ffi.C.close(self.diagnostics)
  os.remove(self.path)
  os.remove((self.path:gsub("%.lua$", "")))
  local left = core.heap_live() - self.live
  assert(left == 0, ("%d allocations are left"):format(tonumber(left)))
end

return M
