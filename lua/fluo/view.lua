--- What the judge sees of a trace: the spans and hits of one job, by index, read from the arena in place.
-- The interface is lua/fluo/judge.lua's. Nothing here allocates per span; the hits of a job are sorted into
-- lists by pattern once, at the first question about them.
--
-- The arena is read as numbers, a time as two of them: a pointer into it, or a 64-bit integer, would be an object
-- each for the collector, and most of what a judgment costs.
--
-- Times are nanoseconds relative to the start of span 0: a Lua number, which is exact while the trace spans
-- less than 2^53 ns (104 days), and an int64 where nonsense in the data makes it more. Both compare and add
-- with each other exactly.
local abi = require("fluo.abi")
local clear = require("table.clear")
local ffi = abi.ffi

local M = {}

local EXTENT_BYTES, SPAN_BYTES = ffi.sizeof("struct fluo_extent"), ffi.sizeof("struct fluo_span")
local NEXT, CAPACITY = 0, 1                               -- words of an extent
local START, END = ffi.offsetof("struct fluo_span", "start_ns"), ffi.offsetof("struct fluo_span", "end_ns")
local ID, PARENT = ffi.offsetof("struct fluo_span", "span_id"), ffi.offsetof("struct fluo_span", "parent_id")
local FLAGS = ffi.offsetof("struct fluo_span", "flags")
local LOW, HIGH = 0, 1                                    -- words of a 64-bit integer
if ffi.abi("be") then LOW, HIGH = 1, 0 end
local UNKNOWN = 0x40000000                                -- FLUO_HIT_UNKNOWN
local CLOSING, CUT, STARTUP = 1, 2, 4                     -- enum fluo_job_flag
local ROOT, SKEWED = 1, 2                                 -- enum fluo_span_flag
local EXACT = 2 ^ 53

local arena, halves, words                                -- the same memory, by 1, 2 and 4 bytes
local base_high, base_low                                 -- start of span 0
local nearest, extents = 1, 0                             -- the extent asked for last, and how many there are
local limits, firsts = { [0] = 0 }, {}                    -- of an extent: first index past it; where span 0 would lie
local hits_head, hits_count
local lists, unknowns, sorted = {}, {}, {}                -- by pattern, once they were read
local is_read = false

-- ---- spans --------------------------------------------------------------------------------------

-- Where a span lies. Neighbours mostly follow each other. A large trace has thousands of extents.
local function place_of(i)
  if i >= limits[nearest] or i < limits[nearest - 1] then
    local low, high = 1, extents
    while low < high do
      local middle = math.floor((low + high) / 2)
      if i >= limits[middle] then low = middle + 1 else high = middle end
    end
    nearest = low
  end
  return firsts[nearest] + i * SPAN_BYTES
end

local function time_at(place)
  local word = place / 4
  return words[word + HIGH], words[word + LOW]
end

local function is_flagged(place, flag) return bit.band(halves[(place + FLAGS) / 2], flag) ~= 0 end

local function start_at(place) return time_at(place + START) end

-- The end that counts: of a skewed span, whose duration is 0, its start.
local function end_at(place)
  return time_at(place + (is_flagged(place, SKEWED) and START or END))
end

local function relative(high, low)
  local number = (high - base_high) * 2 ^ 32 + (low - base_low)
  if number > -EXACT and number < EXACT then return number end
  local exact = 0x100000000LL * (high - base_high) + (low - base_low)
  number = tonumber(exact)
  return number > -EXACT and number < EXACT and number or exact
end

local view = {}

function view.start(i) return relative(start_at(place_of(i))) end
function view.end_(i) return relative(end_at(place_of(i))) end
function view.id(i) return ffi.string(arena + place_of(i) + ID, 8) end

--- The offsets of all spans in the arena, by index.
function view.offsets()
  local offsets = {}
  for i = 0, view.n - 1 do offsets[i] = place_of(i) end
  return offsets
end

--- nil for a root: a span without a parent, or its own.
function view.parent(i)
  local place = place_of(i)
  if is_flagged(place, ROOT) then return nil end
  return ffi.string(arena + place + PARENT, 8)
end

local function find_extents(head, count)
  local first, k = 0, 0
  nearest = 1
  while first < count do
    local extent = head / 4
    k = k + 1
    firsts[k] = head + EXTENT_BYTES - first * SPAN_BYTES
    first = first + words[extent + CAPACITY]
    limits[k] = first
    head = words[extent + NEXT]
  end
  extents = k
end

-- ---- hits ---------------------------------------------------------------------------------------

local function take_hit(pattern, span)
  if span >= view.n then return end                       -- it came late, while the spans before it are judged
  if pattern >= UNKNOWN then
    pattern = pattern - UNKNOWN
    unknowns[pattern] = (unknowns[pattern] or 0) + 1
    return
  end
  local list = lists[pattern]
  if list then list[#list + 1] = span else lists[pattern] = { span } end
end

local function read_hits()
  local head, left = hits_head, hits_count
  while left > 0 do
    local extent = head / 4
    local first, n = extent + EXTENT_BYTES / 4, math.min(left, words[extent + CAPACITY])
    for word = first, first + 2 * n - 2, 2 do take_hit(words[word], words[word + 1]) end
    left = left - n
    head = words[extent + NEXT]
  end
  is_read = true
end

-- Whether span a comes before span b: by start, then by id.
local function before(a, b)
  local left, right = place_of(a), place_of(b)
  local left_high, left_low = start_at(left)
  local right_high, right_low = start_at(right)
  if left_high ~= right_high then return left_high < right_high end
  if left_low ~= right_low then return left_low < right_low end
  for i = ID, ID + 7 do
    if arena[left + i] ~= arena[right + i] then return arena[left + i] < arena[right + i] end
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
  if not is_read then read_hits() end
  local list = lists[pattern]
  if not list then return NONE end
  if list[2] and not sorted[pattern] then
    list = sort(list)
    lists[pattern], sorted[pattern] = list, true
  end
  return list
end

--- How many spans may or may not be hits of it.
function view.unknown(pattern)
  if not is_read then read_hits() end
  return unknowns[pattern] or 0
end

-- ---- a job --------------------------------------------------------------------------------------

--- Where the arena is, once a process, and who asks functions of a whole trace: satisfies(view, fn).
function M.attach(at, satisfies)
  arena = ffi.cast("const uint8_t *", at)
  halves, words = ffi.cast("const uint16_t *", at), ffi.cast("const uint32_t *", at)
  function view.satisfies(fn) return satisfies(view, fn) end
end

local function forget()
  clear(lists)
  clear(unknowns)
  clear(sorted)
  is_read = false
end

--- The view of a job (struct fluo_job, or a pointer to one), valid until the next call.
function M.open(job)
  view.n, view.trace_id = job.spans_count, job.trace_id
  local flags = job.flags
  view.closing = bit.band(flags, CLOSING) ~= 0
  view.cut = bit.band(flags, CUT) ~= 0
  view.startup = bit.band(flags, STARTUP) ~= 0
  find_extents(job.spans_head, view.n)
  base_high, base_low = 0, 0
  if view.n > 0 then base_high, base_low = start_at(place_of(0)) end
  hits_head, hits_count = job.hits_head, job.hits_count
  forget()
  view.facts = {}
  return view
end

--- Lets go of what was found out about the trace of the last job.
function M.close()
  forget()
  view.facts = nil
end

-- The later of a moment and a span's end.
local function later(high, low, i)
  local end_high, end_low = end_at(place_of(i))
  if end_high > high or (end_high == high and end_low > low) then return end_high, end_low end
  return high, low
end

--- The latest end, in Unix time (uint64), among the spans of a list, or among all where the list is empty.
function M.latest_end(list)
  local high, low = 0, 0
  for i = 1, #list do high, low = later(high, low, list[i]) end
  for i = 0, #list == 0 and view.n - 1 or -1 do high, low = later(high, low, i) end
  return 0x100000000ULL * high + low
end

return M
