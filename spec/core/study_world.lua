--- A study to write specs against: the real processes of the built binary, an arena with spans, and what
-- came back, in order.
--   local w = world.open { rules = 'rule "a" { when = { where = function(s) return true end } }' }
--   w:ask({ { 0, at } })        -- function, offset of the span; names the job 1, 2, …
--   w:run()                     -- until nothing is out
--   w.seen                      -- { "1: yes no unknown", "fault a: it ran for too long", … }
local core, ffi = require("spec.support").core("err", "heap", "arena", "study")
jit.off()                                                             -- C calls back into Lua
local spans = require("spec.spans")
local M = { core = core, ffi = ffi, exe = os.getenv("FLUO") or "build/fluo" }

ffi.cdef [[
  struct world_poll { int fd; short events, revents; };
  struct world_time { long s, ns; };
  int poll(struct world_poll *, unsigned long, int);
  int clock_gettime(int, struct world_time *);
  int memfd_create(const char *, unsigned);
  long pread(int, void *, size_t, long);
  int close(int);
  int kill(int, int);
  int fcntl(int, int, ...);
]]
local CLOEXEC, DEADLINE_NS = 1, 60000000000ULL
local TRUTH = { [0] = "no", "yes", "unknown" }

local World = {}
World.__index = World

function M.mono()
  local t = ffi.new("struct world_time")
  ffi.C.clock_gettime(1, t)
  return 1000000000ULL * t.s + t.ns
end

function World:note(text) self.seen[#self.seen + 1] = text end

-- What a callback raises would be lost in C: kept, and raised by run.
local function guarded(w, f)
  return function(...)
    local good, why = pcall(f, ...)
    if not good then w.failure = w.failure or why end
  end
end

local function number_of(job) return tonumber(ffi.cast("uintptr_t", job.owner)) end

local function verdict_text(v)
  local text = ("%d=%s"):format(v.rule, TRUTH[tonumber(v.truth)])
  if v.witnesses_count > 0 then
    local list = {}
    for i = 0, v.witnesses_count - 1 do list[i + 1] = v.witnesses[i] end
    text = text .. "[" .. table.concat(list, ",") .. "]"
  end
  if v.witness_total > v.witnesses_count then text = text .. "/" .. v.witness_total end
  if v.reason_bytes > 0 then text = text .. " (" .. ffi.string(v.reason, v.reason_bytes) .. ")" end
  if v.has_value then text = text .. (" %g>%g"):format(v.value, v.threshold) end
  return text
end

local function callbacks(w)
  local calls = ffi.new("struct study_calls")
  local function set(name, f)
    local callback = ffi.cast(ffi.typeof(calls[name]), guarded(w, f))
    w.callbacks[#w.callbacks + 1] = callback
    calls[name] = callback
  end
  set("on_answers", function(_, job, answers)
    local list = {}
    for i = 0, job.head.count - 1 do list[i + 1] = TRUTH[answers[i]] end
    w:note(number_of(job) .. ": " .. table.concat(list, " "))
    if w.on_answer then w.on_answer(job) end
  end)
  set("on_verdicts", function(_, job, verdicts)
    local list = {}
    for i = 0, job.head.count - 1 do
      list[i + 1] = verdict_text(verdicts[i])
      w.last_time = verdicts[i].time_ns
    end
    w:note(number_of(job) .. ": " .. table.concat(list, " "))
  end)
  local function who(rule) return rule == 0xffffffff and "nobody" or w.names[rule + 1] end
  set("on_error", function(_, rule, errors, text, bytes)
    w:note(("error %s x%d: %s"):format(who(rule), errors, ffi.string(text, bytes)))
  end)
  set("on_fault", function(_, rule, fault)
    w:note(("fault %s: %s"):format(who(rule), ffi.string(core.study_fault_text(fault))))
  end)
  set("on_quarantine", function(_, rule) w:note("quarantine " .. who(rule)) end)
  set("on_trouble", function(_, why) w:note("trouble: " .. ffi.string(why)) end)
  set("on_lost", function(_, why) w:note("lost: " .. ffi.string(why)) end)
  return calls
end

local function text_of(fd)
  local block = ffi.new("char[?]", 65536)
  return ffi.string(block, math.max(0, tonumber(ffi.C.pread(fd, block, 65536, 0))))
end

function M.write_rules(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function options_of(w, o)
  local options = ffi.new("struct study_options")
  w.anchors = { o.exe or M.exe, o.path or w.path }
  options.exe, options.rules_path = w.anchors[1], w.anchors[2]
  options.arena_fd = core.arena_open_readonly(w.arena)
  options.diagnostics_fd = w.diagnostics
  options.renamed, options.skip_broken = o.renamed or false, o.skip_broken or false
  options.json_diagnostics, options.wall_clock = o.json or false, o.wall_clock or false
  options.load_cpu_ns = o.load_cpu_ns or 0
  options.cpu_ns, options.wall_ns, options.heap_bytes = o.cpu_ns or 60000000ULL, o.wall_ns or 0, o.heap_bytes or 0
  return options
end

-- Starts a study and waits until it stands: 0, or the error, and then there is none.
local function opened(options, calls, s, ir, bytes, why)
  local err = core.study_start(options, calls, s, why)
  if err ~= 0 then return err end
  local fd, deadline = ffi.new("struct world_poll[1]", { { core.study_fd(s[0]), 1, 0 } }), M.mono() + DEADLINE_NS
  repeat
    err = core.study_opened(s[0], ir, bytes, why)
    if err > 0 then
      ffi.C.poll(fd, 1, 50)
      core.study_tick(s[0], M.mono())
    end
  until err <= 0 or M.mono() > deadline
  if err ~= 0 then core.study_close(s[0]) end
  return err
end

--- Opens a study over rules (text). Gives the world, or nil, the error, why, and the world to look at.
function M.open(o)
  local w = setmetatable({ seen = {}, names = {}, callbacks = {}, jobs = 0, path = os.tmpname() .. ".lua" }, World)
  w.live = core.heap_live()
  M.write_rules(w.path, o.rules or "")
  local text = o.rules or ""
  for name in text:gmatch('rule%s+"([^"]+)"') do w.names[#w.names + 1] = name end
  w.diagnostics = ffi.C.memfd_create("diagnostics", CLOEXEC)
  local out = ffi.new("struct arena *[1]")
  assert(core.arena_new(4194304, out) == 0)
  w.arena = out[0]
  w.spans = spans.over(core.arena_base(w.arena), function(n) return core.arena_get(w.arena, n, nil) end)
  local options, why = options_of(w, o), ffi.new("char[256]")
  local s, ir, bytes = ffi.new("struct study *[1]"), ffi.new("void *[1]"), ffi.new("size_t[1]")
  if o.fail_from then core.heap_fail_from(o.fail_from) end
  local err = opened(options, callbacks(w), s, ir, bytes, why)
  core.heap_fail_from(0)
  if err ~= 0 then return nil, err, ffi.string(why), w end
  w.study = s[0]
  local rules, wrong = ffi.new("struct ruleset *[1]"), ffi.new("char[128]")
  local set = ffi.new("struct ruleset_options", { renamed = o.renamed or false, matches_limit = 10000 })
  err = core.ruleset_new(ir[0], bytes[0], set, rules, wrong)
  core.heap_free(ir[0])
  assert(err == 0, ffi.string(wrong))
  w.rules = rules[0]
  core.study_use(w.study, w.rules)
  return w
end

function World:printed() return text_of(self.diagnostics) end

function World:close()
  if self.study then core.study_close(self.study) end
  if self.rules then core.ruleset_free(self.rules) end
  core.arena_free(self.arena)
  for _, callback in ipairs(self.callbacks) do callback:free() end
  ffi.C.close(self.diagnostics)
  os.remove(self.path)
  os.remove((self.path:gsub("%.lua$", "")))
  local live = core.heap_live()
  assert(live == self.live, ("%d allocations are left"):format(tonumber(live - self.live)))
end

function World:span(s) return self.spans:span(s or {}) end

local function new_job(w)
  w.jobs = w.jobs + 1
  local job = ffi.cast("struct study_job *", core.heap_zalloc(ffi.sizeof("struct study_job")))
  job.owner = ffi.cast("void *", w.jobs)
  return job
end

--- Asks: a list of { function, offset, index of an event or link (0) }.
function World:ask(list)
  local job = new_job(self)
  job.head.message, job.head.count = ffi.C.FLUO_MESSAGE_ASK, #list
  job.questions = core.heap_zalloc(#list * ffi.sizeof("struct fluo_question"))
  for i, question in ipairs(list) do
    local to = job.questions[i - 1]
    to["function"], to.span, to.object = question[1], question[2], question[3] or 0
  end
  core.study_send(self.study, job)
  if not self.holds then core.study_hand_over(self.study) end
end

--- Has rules (indices) judged on what spans.lua's job takes.
function World:judge(rules, j)
  local job = new_job(self)
  local head = j.head or self.spans:job(j)
  job.head = head
  job.head.count = #rules
  job.rules = core.heap_zalloc(#rules * 4)
  for i, rule in ipairs(rules) do job.rules[i - 1] = rule end
  core.study_send(self.study, job)
  if not self.holds then core.study_hand_over(self.study) end
  return head
end

function World:readable(wait_ms)
  local fd = ffi.new("struct world_poll", { core.study_fd(self.study), 1, 0 })
  return ffi.C.poll(fd, 1, wait_ms or 0) > 0
end

--- One turn of an owner's loop: false when it took too long.
function World:turn(wait_ms)
  if self:readable(wait_ms or 50) then core.study_readable(self.study, M.mono())
  else core.study_tick(self.study, M.mono()) end
  if not self.holds then core.study_hand_over(self.study) end
  if self.failure then error(self.failure, 0) end
end

function World:run()
  local start = M.mono()
  while core.study_busy(self.study) do
    self:turn()
    assert(M.mono() - start < DEADLINE_NS, "the study is still busy: " .. table.concat(self.seen, " | "))
  end
  return self.seen
end

--- Sends the worker a signal, 0 if there is none just now. (To signal pid 0 would be to signal ourselves.)
function World:kill(signal)
  local pid = core.study_worker_pid(self.study)
  return pid > 0 and ffi.C.kill(pid, signal) or 0
end

function World:stats()
  local stats = ffi.new("struct study_stats")
  core.study_stats_get(self.study, stats)
  return stats
end

return M
