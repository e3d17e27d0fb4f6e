--- What the judge sees of a trace: the spans and hits of one job, by index, read from the arena in place.
-- The interface is lua/fluo/judge.lua's. Nothing here allocates per span; the hits of a job are sorted into
-- lists by pattern once, at the first question about them.
--
-- Times are nanoseconds relative to the start of span 0: a Lua number, which is exact while the trace spans
-- less than 2^53 ns (104 days), and an int64 where nonsense in the data makes it more. Both compare and add
-- with each other exactly.
local abi = require("fluo.abi")
local ffi = abi.ffi

local M = {}

local job_ptr = ffi.typeof("const struct fluo_job *")
local span_ptr, hit_ptr = ffi.typeof("const struct fluo_span *"), ffi.typeof("const struct fluo_hit *")
local extent_ptr = ffi.typeof("const struct fluo_extent *")
local EXTENT_BYTES = ffi.sizeof("struct fluo_extent")
local UNKNOWN = 0x40000000                                -- FLUO_HIT_UNKNOWN
local CLOSING, CUT, STARTUP = 1, 2, 4                     -- enum fluo_job_flag
local ROOT, SKEWED = 1, 2                                 -- enum fluo_span_flag
local EXACT = 2 ^ 53

local arena = ffi.cast("const uint8_t *", nil)
local base                                                -- start of span 0, uint64
local nearest, extents = 1, 0                             -- the extent asked for last, and how many there are
local limits, pointers = { [0] = 0 }, {}                           -- extents of spans: first index past it, record 0
local hits_head, hits_count
local lists, unknowns, sorted                             -- by pattern; nil until asked for

-- ---- spans --------------------------------------------------------------------------------------

-- Neighbours mostly follow each other. A large trace has thousands of extents.
local function span_at(i)
  if i >= limits[nearest] or i < limits[nearest - 1] then
    local low, high = 1, extents
    while low < high do
      local middle = math.floor((low + high) / 2)
      if i >= limits[middle] then low = middle + 1 else high = middle end
    end
    nearest = low
  end
  return pointers[nearest] + i
end

local function relative(ns)
  local exact = ffi.cast("int64_t", ns - base)
  local number = tonumber(exact)
  if number > -EXACT and number < EXACT then return number end
  return exact
end

-- The end that counts: of a skewed span, whose duration is 0, its start.
local function end_of(span)
  if bit.band(span.flags, SKEWED) ~= 0 then return span.start_ns end
  return span.end_ns
end

local view = {}

function view.start(i) return relative(span_at(i).start_ns) end
function view.end_(i) return relative(end_of(span_at(i))) end
function view.id(i) return ffi.string(span_at(i).span_id, 8) end

--- The offsets of all spans in the arena, by index.
function view.offsets()
  local offsets, k = {}, 1
  for i = 0, view.n - 1 do
    if i >= limits[k] then k = k + 1 end
    offsets[i] = ffi.cast("const uint8_t *", pointers[k] + i) - arena
  end
  return offsets
end

--- nil for a root: a span without a parent, or its own.
function view.parent(i)
  local span = span_at(i)
  if bit.band(span.flags, ROOT) ~= 0 then return nil end
  return ffi.string(span.parent_id, 8)
end

local function find_extents(head, count)
  local first, k = 0, 0
  nearest = 1
  while first < count do
    local extent = ffi.cast(extent_ptr, arena + head)
    k = k + 1
    pointers[k] = ffi.cast(span_ptr, arena + head + EXTENT_BYTES) - first
    first = first + extent.capacity
    limits[k] = first
    head = extent.next
  end
  extents = k
end

-- ---- hits ---------------------------------------------------------------------------------------

local function take_hit(hit)
  local pattern, span = hit.pattern, hit.span
  if span >= view.n then return end                       -- it came late, while the spans before it are judged
  if pattern >= UNKNOWN then
    pattern = pattern - UNKNOWN
    unknowns[pattern] = (unknowns[pattern] or 0) + 1
    return
  end
  local list = lists[pattern]
  if not list then
    list = {}
    lists[pattern] = list
  end
  list[#list + 1] = span
end

local function read_hits()
  lists, unknowns, sorted = {}, {}, {}
  local head, left = hits_head, hits_count
  while left > 0 do
    local extent = ffi.cast(extent_ptr, arena + head)
    local hits = ffi.cast(hit_ptr, arena + head + EXTENT_BYTES)
    local n = math.min(left, extent.capacity)
    for i = 0, n - 1 do take_hit(hits[i]) end
    left = left - n
    head = extent.next
  end
end

-- Whether span a comes before span b: by start, then by id.
local function before(a, b)
  local left, right = span_at(a), span_at(b)
  if left.start_ns ~= right.start_ns then return left.start_ns < right.start_ns end
  for i = 0, 7 do
    if left.span_id[i] ~= right.span_id[i] then return left.span_id[i] < right.span_id[i] end
  end
  return false
end

local function is_sorted(list)
  for i = 2, #list do
    if before(list[i], list[i - 1]) then return false end
  end
  return true
end

local function merge(from, to, low, middle, high)
  local a, b = low, middle
  for k = low, high - 1 do
    if a < middle and (b >= high or not before(from[b], from[a])) then
      to[k] = from[a]
      a = a + 1
    else
      to[k] = from[b]
      b = b + 1
    end
  end
end

-- Bottom-up merge sort: spans mostly arrive in order, and table.sort would leave compiled code for each
-- comparison.
local function sort(list)
  if is_sorted(list) then return list end
  local n, width, from, to = #list, 1, list, {}
  while width < n do
    for low = 1, n, 2 * width do
      merge(from, to, low, math.min(low + width, n + 1), math.min(low + 2 * width, n + 1))
    end
    from, to = to, from
    width = 2 * width
  end
  return from
end
view.sorted = sort

local NONE = {}

--- The spans that are hits of a pattern, by (start, id). The caller must not change the list.
function view.hits(pattern)
  if not lists then read_hits() end
  local list = lists[pattern]
  if not list then return NONE end
  if not sorted[pattern] then
    list = sort(list)
    lists[pattern], sorted[pattern] = list, true
  end
  return list
end

--- How many spans may or may not be hits of it.
function view.unknown(pattern)
  if not lists then read_hits() end
  return unknowns[pattern] or 0
end

-- ---- a job --------------------------------------------------------------------------------------

--- Where the arena is, once a process, and who asks functions of a whole trace: satisfies(view, fn).
function M.attach(at, satisfies)
  arena = ffi.cast("const uint8_t *", at)
  function view.satisfies(fn) return satisfies(view, fn) end
end

--- The view of a job (a pointer to struct fluo_job), valid until the next call.
function M.open(at)
  local job = ffi.cast(job_ptr, at)
  view.n, view.trace_id = job.spans_count, job.trace_id
  view.closing = bit.band(job.flags, CLOSING) ~= 0
  view.cut = bit.band(job.flags, CUT) ~= 0
  view.startup = bit.band(job.flags, STARTUP) ~= 0
  find_extents(job.spans_head, view.n)
  base = view.n > 0 and span_at(0).start_ns or 0ULL
  hits_head, hits_count = job.hits_head, job.hits_count
  lists, unknowns, sorted = nil, nil, nil
  view.facts = {}
  return view
end

--- Lets go of what was found out about the trace of the last job.
function M.close()
  lists, unknowns, sorted, view.facts = nil, nil, nil, nil
end

--- The latest end, in Unix time (uint64), among the spans of a list, or among all where the list is empty.
function M.latest_end(list)
  local latest = 0ULL
  if #list > 0 then
    for i = 1, #list do
      local at = end_of(span_at(list[i]))
      if at > latest then latest = at end
    end
    return latest
  end
  for i = 0, view.n - 1 do
    local at = end_of(span_at(i))
    if at > latest then latest = at end
  end
  return latest
end

return M
