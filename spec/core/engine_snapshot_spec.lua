-- What windows, baselines and sequences know, written and read again: the same stream through one engine, and through one
-- that ends in the middle and another that goes on from its snapshot.
package.path = "lua/?.lua;" .. package.path
local support = require("spec.support")
local core, ffi = support.core("buffer", "engine", "err", "heap", "limits", "ruleset", "violation")
local rulefiles = require("spec.lua.rulefiles")
local wire = require("spec.otlp_writer")

local SECOND = 1000000000ULL
local T0 = 1760356800ULL * SECOND

jit.off()                                                  -- C calls back into Lua

local found
local id_text = ffi.new("char[33]")
local on_violation = ffi.cast("void (*)(void *, const struct violation *)", function(_, v)
  local spans = {}
  core.violation_id(v, id_text)
  for i = 0, v.witnesses_count - 1 do
    local w = v.spans[i]
    spans[#spans + 1] = ffi.string(w.span_id, 8) .. ffi.string(w.name, w.name_bytes) ..
                        (w.service ~= nil and ffi.string(w.service, w.service_bytes) or "")
  end
  found[#found + 1] = table.concat({ ffi.string(core.ruleset_text(v.rules, v.rule.name), v.rule.name.len), ffi.string(id_text),
    tostring(v.time_ns), ("%.17g"):format(v.value), ("%.17g"):format(v.threshold), v.witness_total,
    v.estimated and "estimated" or "", table.concat(spans, ",") }, " ")
end)

local sets
local function ruleset(text)
  local bytes = rulefiles.good(text).ir
  local out, why = ffi.new("struct ruleset *[1]"), ffi.new("char[128]")
  local options = ffi.new("struct ruleset_options", { renamed = true, matches_limit = 10000 })
  assert(core.ruleset_new(bytes, #bytes, options, out, why) == 0, ffi.string(why))
  sets[#sets + 1] = out[0]
  return out[0]
end

local engines
local function engine(set, state_bytes)
  local out = ffi.new("struct engine *[1]")
  local options = ffi.new("struct engine_options", { state_bytes_max = state_bytes or 32 * 1048576 })
  options.store = { 16777216, 10 * SECOND, 300 * SECOND, 60 * SECOND, 10000, 1048576, 1048576, 2097152 }
  local calls = ffi.new("struct engine_calls", { on_violation, nil })
  assert.equal(0, core.engine_new(options, calls, out))
  engines[#engines + 1] = out[0]
  assert.equal(0, core.engine_use(out[0], set, nil))
  return out[0]
end

local function send(e, span)
  local receipt = ffi.new("struct engine_receipt")
  local id = ("%016d"):format(span.id)
  local start = T0 + ffi.cast("uint64_t", span.at * 1000) * 1000000
  local body = wire.body({ wire.span { trace_id = id, span_id = id:sub(9), name = span.name, start_ns = start,
    end_ns = start, status = span.status, attributes = { k = span.key, v = span.value } } })
  local arrival = start + ffi.cast("uint64_t", span.late * 1000) * 1000000
  while core.engine_step(e, arrival) do end
  assert.equal(0, core.engine_receive(e, body, #body, arrival, receipt))
  return arrival
end

-- The blocks' contents: the head, then groups.
local function write(e, now, slice)
  local buffer, left_out, blocks = ffi.new("struct buffer"), ffi.new("uint64_t[1]"), {}
  core.buffer_init(buffer, 4194304)
  core.engine_snapshot_begin(e, now, buffer)
  repeat
    assert.equal(0, buffer.err)
    blocks[#blocks + 1] = ffi.string(buffer.data, buffer.len)
    core.buffer_clear(buffer)
  until core.engine_snapshot_groups(e, slice or 65536, buffer, left_out) == 0
  core.buffer_deinit(buffer)
  assert.equal(0, tonumber(left_out[0]))
  return blocks
end

-- In memory of exactly that size, so that a sanitizer sees who reads past it.
local function exactly(bytes)
  local p, n, free = support.guarded(bytes)
  return p, n, free
end

local function read(e, blocks, now)
  local restore = ffi.new("struct engine_restore")
  local p, n, free = exactly(blocks[1])
  local err = core.engine_restore_head(e, restore, p, n, now)
  free()
  for i = 2, err == 0 and #blocks or 0 do
    p, n, free = exactly(blocks[i])
    err = core.engine_restore_groups(e, restore, p, n)
    free()
  end
  core.engine_restore_end(restore)
  return err, restore
end

local RULES = [[
rule "count"    { when = window("20s", { name = one_of { "a", "b" } }):by("k"):count():over(4) }
rule "many"     { when = window("60s"):count():over(5000) }
rule "sum"      { when = window("20s"):by("k"):sum("v"):over(30.5) }
rule "avg"      { when = window("30s"):by("k", "name"):avg("v"):over(8):min_samples(4) }
rule "least"    { when = window("20s"):by("k"):min("v"):over(3):min_samples(3) }
rule "greatest" { when = window("20s"):max("v"):over(9.5) }
rule "p90"      { when = window("60s"):p(90, "v"):over(9) }
rule "p50"      { when = window("30s"):by("k"):p(50, "v"):over(6):min_samples(5) }
rule "distinct" { when = window("60s"):by("name"):distinct("v"):over(800) }
rule "few"      { when = window("20s"):by("k"):distinct("v"):over(12) }
rule "ratio"    { when = window("30s", { name = one_of { "a", "b" } }):by("k"):ratio { name = "a" }:over(0.7):min_samples(6) }
rule "silence"  { when = window("5s"):by("k"):count():under(1) }
rule "quiet"    { when = window("3s", { name = "c" }):count():at_most(2) }
rule "baseline" { when = window("6s"):by("k"):count():over_baseline { times = 1.5 } }
rule "below"    { when = window("6s"):by("k"):count():under_baseline { times = 1.5 } }
rule "steps"    { when = sequence { by = "k", within = "4s", { name = "a" }, { name = "b" }, { name = "c" } } }
rule "between"  { when = sequence { by = "k", within = "6s", { name = "a" }, not_ { name = "c" }, { name = "b" } } }
rule "closing"  { when = sequence { by = "k", within = "2s", { name = "c" }, not_ { name = "a" } } }
rule "chain"    { when = cascade { by = "k", root = { name = "c" }, { name = "b" }, distinct = "v", at_least = 4, within = "3s" } }
rule "rootless" { when = cascade { { name = one_of { "a", "b" } }, distinct = "k", at_least = 6, within = "2s" } }
]]

-- Quiet groups, a busy time past what is kept exactly, and a time of silence.
local function stream(seed, n)
  math.randomseed(seed)
  local spans, at = {}, 0
  for i = 1, n do
    local busy = i > n / 2
    at = at + (busy and 0.004 or 0.15) * 2 * math.random()
    if math.random(400) == 1 then at = at + math.random(busy and 2 or 12) end
    spans[i] = { id = i, at = at, late = math.random(20) == 1 and math.random() * 4 or 0, name = ("abc"):sub(math.random(3)):sub(1, 1),
                 key = "key " .. math.floor(1 / (0.04 + math.random() ^ 0.5)), value = math.random(busy and 1000 or 40) / (busy and 100 or 4) }
  end
  return spans
end

local function pass(set, spans, cuts, down)
  local e, now = engine(set), T0
  found = {}
  for i, span in ipairs(spans) do
    local arrival = send(e, span)
    if arrival > now then now = arrival end
    if cuts[i] then
      local blocks = write(e, now)
      core.engine_free(table.remove(engines))
      e = engine(set)
      now = now + (down or 0)
      local err, restore = read(e, blocks, now)
      assert.equal(0, err)
      assert.equal(0, tonumber(restore.groups_dropped))
    end
  end
  while core.engine_next_due(e) < now + 3600 * SECOND and core.engine_step(e, now + 3600 * SECOND) do end
  return found
end

-- Timers that are due at one moment have no order. The first line that differs says enough.
local function same(want, got)
  table.sort(want)
  table.sort(got)
  for i = 1, math.max(#want, #got) do assert.equal(want[i], got[i]) end
end

describe("a snapshot", function()
  local live

  before_each(function()
    live, sets, engines, found = core.heap_live(), {}, {}, {}
  end)
  after_each(function()
    core.heap_fail_from(0)
    for _, e in ipairs(engines) do core.engine_free(e) end
    for _, set in ipairs(sets) do core.ruleset_free(set) end
    assert.equal(live, core.heap_live())
  end)

  it("goes on exactly: the same violations, at the same time, of the same spans", function()
    local set = ruleset(RULES)
    for seed = 1, tonumber(os.getenv("SPEC_SEEDS") or 2) do
      local spans = stream(seed, 12000)
      local whole = pass(set, spans, {})
      local cuts = {}
      for _ = 1, 6 do cuts[math.random(#spans)] = true end
      local kinds = {}
      for _, line in ipairs(whole) do kinds[line:match("%S+")] = true end
      for name in RULES:gmatch('rule "(%w+)"') do assert.is_true(kinds[name], name .. " never fired") end
      same(whole, pass(set, spans, cuts))
    end
  end)

  it("is the same again when it was read", function()
    local set = ruleset(RULES)
    local e, again = engine(set), engine(set)
    for _, span in ipairs(stream(7, 9000)) do send(e, span) end
    local blocks = write(e, T0)
    assert.equal(0, (read(again, blocks, T0)))
    assert.is_true(table.concat(blocks) == table.concat(write(again, T0)))
  end)

  it("does no harm where bytes of a sequence or a cascade are wrong, or fewer", function()
    local set = ruleset [[
rule "steps" { when = sequence { by = "k", within = "30s", { name = "a" }, { name = "b" } } }
rule "chain" { when = cascade { root = { name = "a" }, { name = "b" }, distinct = "v", at_least = 2, within = "30s" } }]]
    local e, again = engine(set), engine(set)
    for i, name in ipairs { "b", "a", "b", "c", "b" } do
      send(e, { id = i, at = i, late = 0, name = name, key = "k" .. i, value = i })
    end
    local blocks = write(e, T0)
    local head, groups = blocks[1], table.concat(blocks, "", 2)
    for at = 1, #groups do
      read(again, { head, groups:sub(1, at - 1) }, T0)
      for _, byte in ipairs { 0, 1, 2, 127, 128, 255 } do
        read(again, { head, groups:sub(1, at - 1) .. string.char(byte) .. groups:sub(at + 1) }, T0)
        while core.engine_step(again, T0) do end
      end
    end
    read(again, { head, groups }, T0)
    found = {}
    while core.engine_step(again, T0 + 100 * SECOND) do end
    assert.equal(1, #found)
    assert.truthy(found[1]:find("^chain .* 2 2 3 "))
  end)
end)
