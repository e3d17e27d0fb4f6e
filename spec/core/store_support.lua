--- A store to write specs against: spans made by hand, closings noted in order.
local core, ffi = require("spec.support").core("heap", "store", "table")
local M = { core = core, ffi = ffi, S = 1000000000ULL, MIB = 1048576 }
ffi.cdef "void *memfd_create(const char *, unsigned);"

local ADMIT = { [0] = "new", "duplicate", "late", "no memory" }

local function id_bytes(n, size)
  local out = {}
  for i = size, 1, -1 do
    out[i] = string.char(n % 256)
    n = math.floor(n / 256)
  end
  return table.concat(out)
end
function M.trace_id(n) return "\1" .. id_bytes(n, 15) end
function M.span_id(n) return "\2" .. id_bytes(n, 7) end

local function varint(n)
  local out = ""
  while n >= 128 do
    out = out .. string.char(n % 128 + 128)
    n = math.floor(n / 128)
  end
  return out .. string.char(n)
end
function M.field(number, text) return varint(number * 8 + 2) .. varint(#text) .. text end
function M.key_value(key, value) return M.field(1, M.field(1, key) .. M.field(2, M.field(1, value))) end

-- What lends its text to C has to live as long; and resources and scopes, which are told by their places within a request, as
-- long as the test.
local anchors, around = {}, {}
local function bytes(out, text, kept)
  kept = kept or anchors
  kept[#kept + 1] = text
  out.p, out.n = ffi.cast("const uint8_t *", text), #text
end

--- A struct otlp_span. spec: trace, id, parent (numbers), start_ns, end_ns, name, resource, scope, payload_bytes
-- or payload (its bytes).
function M.span(spec)
  anchors = {}
  local span = ffi.new("struct otlp_span")
  ffi.copy(span.trace_id, M.trace_id(spec.trace or 1), 16)
  ffi.copy(span.span_id, M.span_id(spec.id or 1), 8)
  if spec.parent then ffi.copy(span.parent_id, M.span_id(spec.parent), 8) end
  span.start_ns, span.end_ns = spec.start_ns or 1000, spec.end_ns or 2000
  span.kind, span.status = 2, 1
  bytes(span.name, spec.name or "a name")
  bytes(span.resource, spec.resource or "", around)
  bytes(span.scope, spec.scope or "", around)
  local message = spec.payload or spec.payload_bytes and spec.payload_bytes > 0 and M.field(9, ("p"):rep(spec.payload_bytes)) or ""
  bytes(span.message, message)
  bytes(span.payload, message)
  span.payload_bytes = #message
  return span
end

local open, live = {}, nil

--- Before and after each test: nothing is left behind of the stores that it opened. C calls back into Lua, which a
-- compiled loop must not do.
function M.begin()
  jit.off()
  around = {}
  live = core.heap_live()
end
function M.finish()
  core.heap_fail_from(0)
  for s in pairs(open) do s:close() end
  jit.on()
  assert(live == core.heap_live(), "memory was left behind")
end

--- A store with its closings in `closed` (state, reason, cut, at, spans of each). Closed traces are dropped at
-- once unless `hold` is set; with `keep` those are kept that can be. released: how many were let go.
-- wanted(trace, skeleton): whether a span's payload is needed; nil: all are.
function M.open(limits, keep, wanted)
  local self = { closed = {}, held = {}, hold = false, woken = {}, released = 0 }
  self.limits = ffi.new("struct store_limits", {
    arena_bytes = 4 * M.MIB, idle_ns = 10 * M.S, max_age_ns = 300 * M.S, late_ns = 60 * M.S,
    trace_spans_max = 10000, trace_bytes_max = 2 * M.MIB, remembered_bytes_max = M.MIB, symbols_bytes_max = 262144,
  })
  for key, value in pairs(limits or {}) do self.limits[key] = value end
  self.calls = ffi.new("struct store_calls")
  self.on_close = ffi.cast("void (*)(void *, struct trace *)", function(_, t)
    self.closed[#self.closed + 1] = {
      trace = tonumber(ffi.cast("uint8_t *", t.id)[15]) + 256 * tonumber(ffi.cast("uint8_t *", t.id)[14]),
      reason = ffi.string(core.close_reason_text(t.reason)), cut = t.cut, at = t.closed_ns, spans = t.spans.count,
      state = tonumber(ffi.cast("int", t.state)),
    }
    if keep and t.state == core.TRACE_CLOSED then core.store_keep(self.store, t) end
    if self.hold or t.pins > 0 then self.held[#self.held + 1] = t
    elseif t.kept then M.methods.rest(self, t)
    else core.store_drop(self.store, t) end
  end)
  self.on_release = ffi.cast("void (*)(void *, struct trace *)", function(_, t)
    self.released = self.released + 1
    assert(t.state == core.TRACE_KEPT and not t.kept and t.settled == t.spans.count)
    core.store_drop(self.store, t)
  end)
  self.calls.on_close, self.calls.on_release = self.on_close, self.on_release
  if wanted then
    self.needs_payload = ffi.cast("bool (*)(void *, const struct trace *, const struct fluo_span *, const struct otlp_span *)",
      function(_, t, skeleton) return wanted(t, skeleton) end)
    self.calls.needs_payload = self.needs_payload
  end
  local out = ffi.new("struct store *[1]")
  self.err = core.store_new(self.limits, self.calls, out)
  self.store = out[0]
  open[setmetatable(self, { __index = M.methods })] = true
  return self
end

M.methods = {}
local methods = M.methods

function methods:close()
  open[self] = nil
  if self.err == 0 then core.store_free(self.store) end
  self.on_close:free()
  self.on_release:free()
  if self.needs_payload then self.needs_payload:free() end
end

--- A closed trace is settled, and rests.
function methods:rest(t)
  core.store_settle(self.store, t, t.spans.count)
  core.store_rest(self.store, t)
end

--- The end of a request: kept traces that it woke rest again.
function methods:end_request(now)
  core.store_end_request(self.store, now)
  for key, t in pairs(self.woken) do
    self.woken[key] = nil
    self:rest(t)
  end
end

--- Admits and adds: "new", "duplicate", "late", "no memory" (also where store_add had none), and the trace, index.
function methods:put(spec, now)
  local span, trace, index = M.span(spec), ffi.new("struct trace *[1]"), ffi.new("uint32_t[1]")
  local admit = ADMIT[tonumber(core.store_admit(self.store, span.trace_id, span.span_id, now or 0, trace))]
  if admit ~= "new" and admit ~= "late" then return admit end
  local written = core.store_add(self.store, trace[0], span, index)
  if written == nil then return "no memory" end
  if trace[0].state == core.TRACE_CLOSED then self.woken[tostring(trace[0])] = trace[0] end
  return admit, trace[0], index[0], written
end

--- Puts n spans that differ in their ids alone, `per` a trace, one a nanosecond: how many were taken. Quick.
function methods:flood(n, per, spec)
  local span, trace, index = M.span(spec), ffi.new("struct trace *[1]"), ffi.new("uint32_t[1]")
  local trace_id, span_id = ffi.cast("uint64_t *", span.trace_id), ffi.cast("uint64_t *", span.span_id)
  local taken = 0
  for i = 1, n do
    trace_id[0], span_id[0] = math.floor((i - 1) / per) + 1, i
    local admit = tonumber(core.store_admit(self.store, span.trace_id, span.span_id, i, trace))
    if admit == 0 and core.store_add(self.store, trace[0], span, index) ~= nil then taken = taken + 1 end
  end
  return taken, trace[0]
end

function methods:stats(now)
  local stats = ffi.new("struct store_stats")
  core.store_stats_get(self.store, now or 0, stats)
  return stats
end

function methods:text(t)
  return ffi.string(core.arena_base(core.store_arena(self.store)) + t.off, t.len)
end

--- Lets time run to `now`, one closing at a time.
function methods:run(now)
  local steps = 0
  while core.store_close_due(self.store, now) do steps = steps + 1 end
  return steps
end

function methods:drop_held()
  for _, t in ipairs(self.held) do
    self.woken[tostring(t)] = nil
    if t.kept then self:rest(t) else core.store_drop(self.store, t) end
  end
  self.held = {}
end

return M
