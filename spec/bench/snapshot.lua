--- What a snapshot of the state of windows and sequences costs: bytes, time on the loop in all and a slice, time to read it
-- again. luajit spec/bench/snapshot.lua        (FLUO_LIB: which library)
package.path = "lua/?.lua;" .. package.path
local support = require("spec.support")
local core, ffi = support.core("buffer", "engine", "err", "heap", "ruleset", "snapshot")
local rulefiles = require("spec.lua.rulefiles")
local wire = require("spec.otlp_writer")

local SECOND = 1000000000ULL
local T0 = 1760356800ULL * SECOND
local SLICE = 65536                                        -- LIMIT_SNAPSHOT_SLICE_BYTES

jit.off()                                                  -- C calls back into Lua
ffi.cdef "struct bench_time { long s, ns; }; int clock_gettime(int, struct bench_time *);"

local function now_us()
  local t = ffi.new("struct bench_time")
  ffi.C.clock_gettime(3, t)                                -- the CPU time of this thread
  return tonumber(t.s) * 1e6 + tonumber(t.ns) / 1e3
end

local function ruleset(text)
  local bytes = rulefiles.good(text).ir
  local out, why = ffi.new("struct ruleset *[1]"), ffi.new("char[128]")
  local options = ffi.new("struct ruleset_options", { renamed = true, matches_limit = 10000 })
  assert(core.ruleset_new(bytes, #bytes, options, out, why) == 0, ffi.string(why))
  return out[0]
end

local on_violation = ffi.cast("void (*)(void *, const struct violation *)", function() end)
local function engine(set)
  local out, options = ffi.new("struct engine *[1]"), ffi.new("struct engine_options", { state_bytes_max = 32 * 1048576 })
  options.store = { 67108864, 10 * SECOND, 300 * SECOND, 60 * SECOND, 10000, 1048576, 8388608, 8388608 }
  assert(core.engine_new(options, ffi.new("struct engine_calls", { on_violation, nil }), out) == 0)
  assert(core.engine_use(out[0], set, nil) == 0)
  return out[0]
end

-- n spans, 10,000 a second, of so many keys.
local function fill(e, n, keys)
  local receipt, id = ffi.new("struct engine_receipt"), 0
  while id < n do
    local spans, at = {}, nil
    for i = 1, 500 do
      id = id + 1
      local hex = ("%016d"):format(id)
      at = T0 + ffi.cast("uint64_t", id) * 100000
      spans[i] = wire.span { trace_id = hex, span_id = hex:sub(9), name = "GET /x", start_ns = at - 5000000, end_ns = at,
                             attributes = { k = "key " .. id * 7919 % keys, v = id % 977 / 3 } }
    end
    local body = wire.body(spans)
    core.engine_receive(e, body, #body, nil, at, receipt)
  end
end

-- The blocks, their bytes, and what each slice took, in order of time.
local function write(e)
  local b, left_out = ffi.new("struct buffer"), ffi.new("uint64_t[1]")
  local blocks, slices, bytes, all = {}, {}, 0, 0
  core.buffer_init(b, 4194304)
  core.engine_snapshot_begin(e, T0, b)
  repeat
    blocks[#blocks + 1] = ffi.string(b.data, b.len)
    bytes = bytes + tonumber(b.len)
    core.buffer_clear(b)
    local from = now_us()
    local count = core.engine_snapshot_groups(e, SLICE, b, left_out)
    slices[#slices + 1] = now_us() - from
    all = all + slices[#slices]
  until count == 0
  core.buffer_deinit(b)
  table.sort(slices)
  return blocks, bytes, all, slices
end

local function read(e, blocks)
  local restore, from = ffi.new("struct engine_restore"), now_us()
  assert(core.engine_restore_head(e, restore, blocks[1], #blocks[1], T0 + 1) == 0)
  for i = 2, #blocks do assert(core.engine_restore_groups(e, restore, blocks[i], #blocks[i]) == 0) end
  core.engine_restore_end(restore)
  return now_us() - from, tonumber(restore.groups)
end

local function measure(title, rules, spans, keys)
  local set, stats = ruleset(rules), ffi.new("struct engine_across_stats")
  local e, again = engine(set), engine(set)
  fill(e, spans, keys)
  core.engine_across_stats_get(e, stats)
  local blocks, bytes, all, slices = write(e)
  local took, groups = read(again, blocks)
  print(("%-28s %6.1f MiB %6d groups   file %5.2f MiB   written %5.1f ms, slice %3.0f us (most %4.0f)   read %5.1f ms, %d groups"):format(
    title, tonumber(stats.bytes) / 1048576, tonumber(stats.groups), bytes / 1048576, all / 1e3, slices[math.ceil(#slices / 2)],
    slices[#slices], took / 1e3, groups))
  core.engine_free(e)
  core.engine_free(again)
  core.ruleset_free(set)
end

measure("counts, 200 keys", 'rule "r" { when = window("10m"):by("k"):count():over(1e9) }', 400000, 200)
measure("p95, 200 keys", 'rule "r" { when = window("10m"):by("k"):p(95, "v"):over(1e9) }', 400000, 200)
measure("two windows, 10,000 keys", [[rule "r" { when = window("10m"):by("k"):count():over(1e9) }
rule "s" { when = window("5m"):by("k"):sum("v"):over(1e9) }]], 200000, 10000)
measure("baselines, 3,000 keys", 'rule "r" { when = window("1s"):by("k"):count():over_baseline { times = 10 } }', 200000, 3000)
measure("sequences, 10,000 keys", 'rule "r" { when = sequence { by = "k", within = "5m", { name = "GET /x" }, { name = "b" } } }',
  200000, 10000)
