--- Lays spans and hits out in an arena as the store does, for specs of those who read them.
--
--   local arena = spans.plain()              -- or spans.over(base, get): get(bytes) gives an offset
--   local at = arena:span { name = "a", attributes = { x = 1 } }
--   local job = arena:job { spans = { {…}, {…} }, hits = { { pattern, span }, … }, closing = true }
local support = require("spec.support")
local _, ffi = support.core("arena")
support.core("study")
local wire = require("spec.otlp_writer")
local M = {}

local Arena = {}
Arena.__index = Arena
local STATUS = { UNSET = 0, OK = 1, ERROR = 2 }
local KIND = { UNSPECIFIED = 0, INTERNAL = 1, SERVER = 2, CLIENT = 3, PRODUCER = 4, CONSUMER = 5 }

function M.over(base, get) return setmetatable({ base = ffi.cast("uint8_t *", base), get = get }, Arena) end

--- An arena that is plain memory, right before an unmapped page only by chance.
function M.plain(bytes)
  local memory = ffi.new("uint8_t[?]", bytes or 1048576)
  local at = 8
  local arena = M.over(memory, function(n)
    local off = at
    at = at + math.ceil(n / 8) * 8
    assert(at <= (bytes or 1048576), "the spec's arena is full")
    return off
  end)
  arena.memory = memory
  return arena
end

function Arena:text(bytes)
  if not bytes or bytes == "" then return { 0, 0 } end
  local off = self.get(#bytes)
  ffi.copy(self.base + off, bytes, #bytes)
  return { off, #bytes }
end

local function event(e)
  return wire.text(11, wire.fixed64(1, e.time or 0) .. wire.text(2, e.name or "")
    .. wire.attributes(3, e.attributes or {}))
end

local function link(l)
  return wire.text(13, wire.text(1, l.trace_id or "") .. wire.text(2, l.span_id or "")
    .. wire.text(3, l.trace_state or "") .. wire.attributes(4, l.attributes or {}))
end

local function payload(s)
  local out = { s.trace_state and wire.text(3, s.trace_state) or "", wire.attributes(9, s.attributes or {}) }
  for _, e in ipairs(s.events or {}) do out[#out + 1] = event(e) end
  for _, l in ipairs(s.links or {}) do out[#out + 1] = link(l) end
  if s.message then out[#out + 1] = wire.text(15, wire.text(2, s.message)) end
  return table.concat(out) .. (s.extra or "")
end

function M.id(n)
  if type(n) == "string" then return n end
  return ("\0"):rep(6) .. string.char(math.floor(n / 256), n % 256)
end

-- Writes the skeleton of s at an address.
function Arena:write(k, s)
  ffi.fill(k, ffi.sizeof("struct fluo_span"))
  ffi.copy(k.span_id, M.id(s.id or 1), 8)
  if s.parent then ffi.copy(k.parent_id, M.id(s.parent), 8) end
  k.start_ns, k.end_ns = s.start or 1000, s.end_ or (s.start or 1000) + 1000
  k.name, k.service = self:text(s.name or "op"), self:text(s.service)
  k.resource = self:text(s.resource and wire.attributes(1, s.resource))
  k.scope, k.payload = self:text(s.scope), self:text(payload(s))
  k.kind, k.status = KIND[s.kind or "SERVER"], STATUS[s.status or "UNSET"]
  k.flags = (s.parent and s.parent ~= s.id and 0 or 1) + (s.skewed and 2 or 0) + (s.shed and 4 or 0)
    + (s.service and 8 or 0)
end

--- One span by itself: its offset.
function Arena:span(s)
  local off = self.get(ffi.sizeof("struct fluo_span"))
  self:write(ffi.cast("struct fluo_span *", self.base + off), s or {})
  return off
end

-- Records of a type in extents of growing capacity: the offset of the first.
function Arena:chain(type, count, write)
  local head, link_to, i, capacity = 0, nil, 0, 2
  while i < count do
    local off = self.get(ffi.sizeof("struct fluo_extent") + capacity * ffi.sizeof(type))
    local extent = ffi.cast("struct fluo_extent *", self.base + off)
    extent.next, extent.capacity = 0, capacity
    if link_to then link_to.next = off else head = off end
    local records = ffi.cast(type .. " *", self.base + off + ffi.sizeof("struct fluo_extent"))
    for k = 0, math.min(capacity, count - i) - 1 do write(records + k, i + k + 1) end
    i, capacity, link_to = i + capacity, capacity * 2, extent
  end
  return head
end

--- The head of a judgment (struct fluo_job) of these spans and hits ({ pattern, span, unknown = bool }).
function Arena:job(j)
  local job = ffi.new("struct fluo_job")
  local hits = j.hits or {}
  job.message, job.count = ffi.C.FLUO_MESSAGE_JUDGE, #(j.rules or {})
  ffi.copy(job.trace_id, j.trace_id or ("\1"):rep(16), 16)
  job.spans_head = self:chain("struct fluo_span", #j.spans, function(k, i) self:write(k, j.spans[i]) end)
  job.spans_count = #j.spans
  job.hits_head = self:chain("struct fluo_hit", #hits, function(hit, i)
    hit.pattern = hits[i][1] + (hits[i].unknown and 0x40000000 or 0)
    hit.span = hits[i][2]
  end)
  job.hits_count = #hits
  job.flags = (j.closing and 1 or 0) + (j.cut and 2 or 0) + (j.startup and 4 or 0)
  return job
end

return M
