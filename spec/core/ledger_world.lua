--- A ledger in a directory of its own, called as the loop calls it, and what it said.
local sqlite = require("spec.sqlite")
local support = require("spec.support")
local core, ffi = support.core("heap", "buffer", "ledger", "ledger_db", "evidence", "inflate")
jit.off(true, true)                                           -- C calls back from within these
local M = { core = core, ffi = ffi }

require("spec.agent.socket")                                   -- declares poll

local SECOND = 1000000000ull
M.TROUBLES = { [0] = "well", "disk_full", "read_only", "locked", "io", "no_memory", "corrupt", "behind" }
M.KINDS = { incident = 0, violation = 1, delivery = 2, silence = 3, feedback = 4, evidence = 5 }

local world                                                   -- callbacks are few and made once: the ffi has a bound on them
local on_saved = ffi.cast("void (*)(void *, uint64_t, bool)", function(_, number, held)
  if held then world.held = tonumber(number) else world.saved = tonumber(number) end
end)
local on_trouble = ffi.cast("void (*)(void *, enum ledger_trouble, const char *)", function(_, trouble, why)
  table.insert(world.troubles, M.TROUBLES[tonumber(trouble)])
  world.why = ffi.string(why)
end)
local on_result = ffi.cast("void (*)(void *, int, const char *, size_t)", function(_, err, json, n)
  table.insert(world.results, err == 0 and ffi.string(json, n) or tonumber(err))
end)
local function text(t) return ffi.string(t.p, t.n) end
local on_incident = ffi.cast("void (*)(void *, const struct ledger_incident *)", function(_, i)
  table.insert(world.incidents, { id = ffi.string(i.id), status = ffi.string(i.status), rule = text(i.rule), group = text(i.group),
    count = tonumber(i.count), json = text(i.json), state = text(i.state), started = i.started_ns })
end)
local on_delivery = ffi.cast("void (*)(void *, const struct ledger_delivery *)", function(_, d)
  table.insert(world.deliveries, { id = ffi.string(d.id), receiver = ffi.string(d.receiver), attempts = tonumber(d.attempts),
    alert = text(d.alert), outcome = text(d.outcome), next = d.next_ns })
end)
local on_silence = ffi.cast("void (*)(void *, const struct ledger_silence *)", function(_, s)
  table.insert(world.silences, { id = ffi.string(s.id), json = text(s.json), ends = s.ends_ns })
end)
local on_feedback = ffi.cast("void (*)(void *, const struct ledger_feedback *)", function(_, f)
  table.insert(world.feedback, { violation = ffi.string(f.violation), rule = text(f.rule), who = text(f.who), verdict = tonumber(f.verdict) })
end)

local calls = ffi.new("struct ledger_calls", { on_saved = on_saved, on_trouble = on_trouble })
local restored = ffi.new("struct ledger_restored",
  { on_incident = on_incident, on_delivery = on_delivery, on_silence = on_silence, on_feedback = on_feedback })

local function piece(s) return { p = s, n = s and #s or 0 } end

local W = {}
W.__index = W

--- options: data (nil: a new directory; false: in memory), age_ns, bytes_max. Nothing, its error and why, where it fails.
function M.open(options)
  options = options or {}
  local data = options.data
  if data == nil then data = M.directory() end
  local out, why = ffi.new("struct ledger *[1]"), ffi.new("char[256]")
  world = setmetatable({ troubles = {}, results = {}, incidents = {}, deliveries = {}, silences = {}, feedback = {}, saved = 0,
    data = data, db = data and data .. "/fluo.db" }, W)
  local o = ffi.new("struct ledger_options", { data = data or nil, age_ns = options.age_ns or 30 * 86400 * SECOND,
    bytes_max = options.bytes_max or 1073741824 })
  local err = core.ledger_open(o, calls, restored, out, why)
  if err ~= 0 then return nil, tonumber(err), ffi.string(why) end
  world.ledger = out[0]
  return world
end

function M.now() return os.time() * SECOND end

function M.directory()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkdir -m 0750 " .. path))
  return path
end

--- Hears what the ledger has to say until done() or for so many seconds; whether it was done.
function W:hear(done, seconds)
  local fds = ffi.new("struct spec_pollfd[1]", { { fd = core.ledger_fd(self.ledger), events = 1 } })
  world = self
  local till = os.time() + (seconds or 60)
  while not done() do
    if os.time() > till then return false end
    if ffi.C.poll(fds, 1, 500) > 0 then core.ledger_readable(self.ledger) end
  end
  return true
end

--- Until all up to this row is saved.
function W:until_saved(number)
  return self:hear(function() return self.saved >= tonumber(number) end)
end

function W:close(wait_ns)
  local all = core.ledger_close(self.ledger, wait_ns or 60 * SECOND)
  self.ledger = nil
  return all
end

function W:incident(i)
  return tonumber(core.ledger_incident(self.ledger, ffi.new("struct ledger_incident", { id = i.id, severity = "high",
    status = i.status or "open", rule = piece(i.rule or "r"), group = piece(i.group or "{}"), count = i.count or 1,
    started_ns = i.at or M.now(), last_seen_ns = i.at or M.now(), resolved_ns = i.resolved or 0, json = piece(i.json or "{}"),
    state = piece(i.state or "") })))
end

--- evidence: bytes as evidence_collect writes them.
function W:violation(v)
  local b
  if v.evidence then
    b = ffi.new("struct buffer")
    core.buffer_init(b, 16777216)
    core.buffer_add(b, v.evidence, #v.evidence)
  end
  return tonumber(core.ledger_violation(self.ledger, ffi.new("struct ledger_violation", { id = v.id, incident = v.incident or "",
    severity = v.severity or "high", trace_id = v.trace_id or "", rule = piece(v.rule or "r"), rule_version = piece("00"),
    at_ns = v.at or 1, written_ns = v.written or M.now(), json = piece(v.json or ('{"id":"%s"}'):format(v.id)),
    evidence_of = v.evidence_of }), b))
end

function W:delivery(d)
  return tonumber(core.ledger_delivery(self.ledger, ffi.new("struct ledger_delivery", { id = d.id, receiver = d.receiver or "ops",
    state = d.state or 0, attempts = d.attempts or 0, created_ns = d.at or M.now(), next_ns = d.next or 1, alert = piece(d.alert),
    outcome = piece(d.outcome or "") })))
end

function W:silence(s)
  return tonumber(core.ledger_silence(self.ledger, ffi.new("struct ledger_silence", { id = s.id, over = s.over or false,
    created_ns = s.at or M.now(), ends_ns = s.ends or 0, json = piece(s.json or "{}") })))
end

function W:give_feedback(f)
  return tonumber(core.ledger_feedback(self.ledger, ffi.new("struct ledger_feedback", { violation = f.violation, incident = "",
    rule = piece(f.rule or "r"), group = piece("{}"), who = piece(f.who or "ann"), verdict = f.verdict or (f.right and 1 or 0), at_ns = f.at or M.now() })))
end

function M.query(q)
  return ffi.new("struct ledger_query", { what = q.what, id = q.id, rule = q.rule, severity = q.severity, status = q.status, prefix = q.prefix, one = q.one, incident = q.incident,
    since_ns = q.since or 0, cursor = q.cursor or 0, limit = q.limit or 0, on_result = on_result })
end

--- The answer to a question: its text, or the error.
function W:ask(q)
  local before = #self.results
  local err = core.ledger_ask(self.ledger, M.query(q))
  if err ~= 0 then return tonumber(err) end
  assert(self:hear(function() return #self.results > before end))
  return self.results[#self.results]
end

function W:stats()
  local s = ffi.new("struct ledger_stats")
  core.ledger_stats_get(self.ledger, s)
  return s
end

--- What another program reads from the file.
function M.sql(path, statement)
  local pipe = io.popen(("%s %s '%s' 2>&1"):format(sqlite.SHELL, path, statement))
  local out = pipe:read("*a")
  pipe:close()
  return (out:gsub("\n$", ""))
end

--- Evidence without a span (of a resource that is nothing), as the ledger's thread takes it.
M.EVIDENCE = ffi.string(ffi.new("uint32_t[8]", { 0x44495645, 0, 0, 0, 0, 0, 0, 0 }), 32) .. "\n\0"

return M
