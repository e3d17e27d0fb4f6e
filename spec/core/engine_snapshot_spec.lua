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
  assert.equal(0, core.engine_receive(e, body, #body, nil, arrival, receipt))
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
rule "new"      { when = window("3s"):by("k", "name"):first_seen() }
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
    for seed = 1, tonumber(os.getenv("SPEC_SEEDS") or 1) do
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

  -- ---- the time that nobody watched ------------------------------------------------------------------

  -- One span a second of each name, but of those that are left out; down from one second to another.
  local function watched(text, names, last, down, up)
    local set, id = ruleset(text), 0
    local e = engine(set)
    local function watch(from, to)
      for at = from, to do
        for _, name in ipairs(names(at)) do
          id = id + 1
          send(e, { id = id, at = at, late = 0, name = name, key = name, value = 1 })
        end
        while core.engine_step(e, T0 + at * SECOND) do end
      end
    end
    found = {}
    watch(1, down)
    local blocks = write(e, T0 + down * SECOND)
    core.engine_free(table.remove(engines))
    e = engine(set)
    assert.equal(0, (read(e, blocks, T0 + up * SECOND)))
    watch(up, last)
    return found
  end

  local function names(...)
    local list = { ... }
    return function() return list end
  end

  local function seconds(line)
    return tonumber((ffi.cast("uint64_t", tonumber(line:match("^%S+ %S+ (%d+)"))) - T0) / SECOND)
  end

  local SILENCE = [[
    rule "all"   { when = window("5s"):count():under(1) }
    rule "each"  { when = window("5s"):by("k"):count():under(1) }
    rule "count" { when = window("1m"):by("k"):count():under(30) }
    rule "below" { when = window("1m"):by("k"):count():under_baseline { times = 2 } }
    rule "above" { when = window("1m"):by("k"):count():over_baseline { times = 1.3 } }
  ]]

  it("raises no alarm of silence for the time that the agent was down", function()
    for down = 1, 120, 17 do
      assert.same({}, (watched(SILENCE, names("a", "b"), 1500, 900, 900 + down)))
    end
  end)

  it("tells of silence once a whole window was observed again", function()
    local now, rules = watched(SILENCE, function(at) return at < 1000 and { "a", "b" } or { "b" } end, 1050, 900, 920), {}
    for i, line in ipairs(now) do rules[i] = line:match("%S+") .. " " .. math.floor(seconds(line) / 10) end
    table.sort(rules)
    assert.same({ "below 102", "count 103", "each 100" }, rules)
    local gone = watched(SILENCE, function(at) return at < 900 and { "a", "b" } or { "b" } end, 950, 900, 920)
    assert.same({ 1, 925 }, { #gone, seconds(gone[1]) })        -- not a word before
  end)

  it("does not tell again of a silence that was told of", function()
    local told = watched('rule "each" { when = window("5s"):by("k"):count():under(1) }',
      function(at) return at < 100 and { "a", "b" } or { "b" } end, 300, 200, 220)
    assert.same({ 1, 104 }, { #told, seconds(told[1]) })
  end)

  local FIRST = 'rule "new" { when = window("100s"):by("k"):first_seen() }'

  -- What is told, and when, of a stream in which b and c begin: in seconds.
  local function told(b, c, last, down, up)
    local lines, out = watched(FIRST, function(at)
      return at >= c and { "a", "b", "c" } or at >= b and { "a", "b" } or { "a" }
    end, last, down, up), {}
    for i, line in ipairs(lines) do out[i] = seconds(line) end
    return out
  end

  it("does not take for new what nobody watched, however long the agent was down", function()
    for _, up in ipairs { 201, 250, 301, 5000 } do assert.same({}, told(1, 20, up + 150, 200, up)) end
  end)

  it("tells what is new after a restart, and not again what it told", function()
    assert.same({ 5020 }, told(1, 5020, 5200, 200, 5000))
    assert.same({ 150, 5020 }, told(150, 5020, 5200, 200, 5000))
  end)

  it("goes on learning where a restart cut in, without the time that nobody watched", function()
    assert.same({ 561 }, told(530, 561, 700, 60, 520))         -- 60 s before and 40 after
  end)

  local function unknown(e, set, name)
    local rule = core.ruleset_find(set, name, #name)
    return tonumber(core.engine_rule_stats(e, rule).unknown)
  end

  local ORDERS = [[
    rule "closing" { when = sequence { by = "k", within = "30s", { name = "order" }, not_ { name = "kept" } } }
    rule "between" { when = sequence { by = "k", within = "60s", { name = "order" }, not_ { name = "kept" }, { name = "sent" } } }
    rule "steps"   { when = sequence { by = "k", within = "60s", { name = "order" }, { name = "sent" } } }
  ]]

  it("takes an absence that was open when the agent went down as unknown, and what came for what it is", function()
    local set = ruleset(ORDERS)
    local e = engine(set)
    send(e, { id = 1, at = 10, late = 0, name = "order", key = "x", value = 1 })
    local blocks = write(e, T0 + 12 * SECOND)
    core.engine_free(table.remove(engines))
    e = engine(set)
    assert.equal(0, (read(e, blocks, T0 + 14 * SECOND)))
    send(e, { id = 2, at = 15, late = 0, name = "sent", key = "x", value = 1 })
    send(e, { id = 3, at = 15, late = 0, name = "order", key = "y", value = 1 })
    while core.engine_step(e, T0 + 100 * SECOND) do end
    assert.same({ 1, 1 }, { unknown(e, set, "closing"), unknown(e, set, "between") })
    local rules = {}
    for i, line in ipairs(found) do rules[i] = line:match("%S+") end
    assert.same({ "steps", "closing" }, rules)                  -- closing: of y, which was watched from its start
  end)

  it("after a crash only what came since the snapshot is missing", function()
    local text = RULES:gsub('rule "(%w+)"[^\n]*\n', function(name)
      local timed = ("silence quiet baseline below between closing new"):find(name, 1, true)
      return timed and "" or nil
    end)
    local set, spans = ruleset(text), stream(3, 6000)
    local crash, e, now, blocks = 4000, engine(set), T0, nil
    local from = spans[crash].at - 9                            -- of the snapshot
    for i = 1, crash do
      if spans[i].at >= from and not blocks then blocks = write(e, now) end
      now = math.max(tonumber(now - T0), tonumber(send(e, spans[i]) - T0)) + T0
    end
    core.engine_free(table.remove(engines))
    e = engine(set)
    assert.equal(0, (read(e, blocks, now)))
    found = {}
    local without = {}
    for i, span in ipairs(spans) do
      if i > crash then send(e, span) end
      if i > crash or span.at < from then without[#without + 1] = span end
    end
    local after = found
    core.engine_free(table.remove(engines))
    e, found = engine(set), {}
    for _, span in ipairs(without) do
      if span == spans[crash + 1] then found = {} end
      send(e, span)
    end
    assert.is_true(#after > 20)
    same(found, after)
  end)

  -- ---- while the engine goes on ----------------------------------------------------------------------

  local function u32(bytes, at)
    local a, b, c, d = bytes:byte(at, at + 3)
    return a + b * 256 + c * 65536 + d * 16777216
  end

  -- The keys of one window's groups, as they stand in blocks.
  local function keys_of(blocks)
    local list = {}
    for i = 2, #blocks do
      local at = 1
      while at <= #blocks[i] do
        local bytes = u32(blocks[i], at + 1)
        local n = blocks[i]:byte(at + 5)
        list[#list + 1] = blocks[i]:sub(at + 10, at + 5 + n)
        at = at + 5 + bytes
      end
    end
    return list
  end

  it("has each group once, though groups are used, come and go between two slices", function()
    local e = engine(ruleset('rule "count" { when = window("1m"):by("k"):count():over(2000) }'), 60000)
    for i = 1, 60 do send(e, { id = i, at = i / 100, late = 0, name = "a", key = "key " .. i, value = 1 }) end
    local buffer, left_out, blocks, id = ffi.new("struct buffer"), ffi.new("uint64_t[1]"), { "head" }, 100
    core.buffer_init(buffer, 65536)
    core.engine_snapshot_begin(e, T0, buffer)
    core.buffer_clear(buffer)
    while core.engine_snapshot_groups(e, 1, buffer, left_out) > 0 do
      blocks[#blocks + 1] = ffi.string(buffer.data, buffer.len)
      core.buffer_clear(buffer)
      id = id + 1
      -- one that was written just now, one that was or will be, or a new one
      local key = id % 3 == 0 and "new " .. id or id % 3 == 1 and keys_of({ "head", blocks[#blocks] })[1] or "key " .. (id % 60 + 1)
      send(e, { id = id, at = id / 100, late = 0, name = "a", key = key, value = 1 })
    end
    core.buffer_deinit(buffer)
    local seen, keys = {}, keys_of(blocks)
    for _, key in ipairs(keys) do
      assert.is_nil(seen[key], key)
      assert.is_truthy(key:find("^key "), key)                  -- new ones come with the next snapshot
      seen[key] = true
    end
    assert.equal(60, #keys)
  end)

  it("leaves a group out that a block has no room for, counted, and has the others", function()
    local e = engine(ruleset('rule "sum" { when = window("1m"):by("k"):sum("v"):over(2e9) }'))
    for i = 1, 1000 do send(e, { id = i, at = i / 100, late = 0, name = "a", key = i % 100 == 0 and "few" or "many", value = i / 7 }) end
    local buffer, left_out = ffi.new("struct buffer"), ffi.new("uint64_t[1]")
    core.buffer_init(buffer, 2000)
    core.engine_snapshot_begin(e, T0, buffer)
    core.buffer_clear(buffer)
    assert.equal(1, core.engine_snapshot_groups(e, 65536, buffer, left_out))
    assert.same({ 1, 0 }, { tonumber(left_out[0]), buffer.err })
    core.buffer_deinit(buffer)
  end)

  -- ---- bytes from outside ------------------------------------------------------------------------------

  local function groups(e)
    local out = ffi.new("struct engine_across_stats")
    core.engine_across_stats_get(e, out)
    return tonumber(out.groups), tonumber(out.bytes)
  end

  local SOME = [[
    rule "p90"   { when = window("20s"):by("k"):p(90, "v"):over(9) }
    rule "below" { when = window("1s"):by("k"):count():under_baseline { times = 2 } }
    rule "steps" { when = sequence { by = "k", within = "60s", { name = "a" }, not_ { name = "c" }, { name = "b" } } }
  ]]

  local function some()
    local set = ruleset(SOME)
    local e = engine(set)
    for _, span in ipairs(stream(5, 60)) do send(e, span) end
    return set, write(e, T0 + 100 * SECOND)
  end

  it("takes of a block that was cut anywhere what came before, and drops the rest", function()
    local set, blocks = some()
    local whole = table.concat(blocks, "", 2)
    for n = 0, #whole - 1 do
      local e = engine(set)
      local err, restore = read(e, { blocks[1], whole:sub(1, n) }, T0 + 200 * SECOND)
      assert.equal(0, err)
      assert.equal(tonumber(restore.groups), (groups(e)))
      core.engine_free(table.remove(engines))
    end
    for n = 0, #blocks[1] - 1 do
      local e = engine(set)
      assert.equal(core.FLUO_EMALFORMED, (read(e, { blocks[1]:sub(1, n), blocks[2] }, T0 + 200 * SECOND)))
      core.engine_free(table.remove(engines))
    end
  end)

  it("goes on under bytes that are wrong anywhere", function()
    local set, blocks = some()
    math.randomseed(11)
    for round = 1, 600 do
      local e, wrong = engine(set), {}
      local which = round % 5 == 0 and 1 or 2
      for i, block in ipairs(blocks) do wrong[i] = block end
      for _ = 1, math.random(3) do
        local at = math.random(#wrong[which])
        wrong[which] = wrong[which]:sub(1, at - 1) .. string.char(math.random(0, 255)) .. wrong[which]:sub(at + 1)
      end
      read(e, wrong, T0 + 200 * SECOND)
      for i = 1, 3 do send(e, { id = 100000 + i, at = 200 + i, late = 0, name = "b", key = "key 1", value = i }) end
      for _ = 1, 2000 do if not core.engine_step(e, T0 + 900 * SECOND) then break end end
      core.engine_free(table.remove(engines))
    end
  end)

  it("keeps the bound of bytes as it is read, and the groups used last", function()
    local set = ruleset('rule "count" { when = window("1m"):by("k"):count():over(2000) }')
    local e = engine(set)
    for i = 1, 500 do send(e, { id = i, at = i / 100, late = 0, name = "a", key = "key " .. i, value = 1 }) end
    local small = engine(set, 65536)
    local err, restore = read(small, write(e, T0 + 5 * SECOND), T0 + 6 * SECOND)
    local count, bytes = groups(small)
    assert.same({ 0, 500 }, { err, tonumber(restore.groups) })
    assert.is_true(bytes <= 65536 and count > 20)
    local kept = keys_of(write(small, T0 + 6 * SECOND))
    assert.same({ "key 500", "key " .. 501 - count }, { kept[#kept], kept[1] })
  end)

  it("is not taken from the future", function()
    local set, blocks = some()
    local e = engine(set)
    assert.equal(core.FLUO_EINVALID, (read(e, blocks, T0 + 94 * SECOND)))
    assert.equal(0, (groups(e)))
    assert.equal(0, (read(e, blocks, T0 + 95 * SECOND)))
  end)

  it("is of no use to rules that have changed", function()
    local _, blocks = some()
    local e = engine(ruleset((SOME:gsub("over%(9%)", "over(8)"):gsub('rule "steps"', 'rule "other"'))))
    local err, restore = read(e, blocks, T0 + 200 * SECOND)
    assert.same({ 0, 3, 2 }, { err, tonumber(restore.rules), tonumber(restore.rules_dropped) })
    assert.is_true(restore.groups > 0 and restore.groups_dropped > restore.groups)
  end)

  it("says so when memory ends, and loses nothing else", function()
    local set, blocks = some()
    local n = 0
    local failed
    repeat
      n = n + 1
      local e = engine(set)
      core.heap_fail_only(n)
      local err, restore = read(e, blocks, T0 + 200 * SECOND)
      failed = core.heap_failed()
      core.heap_fail_only(0)
      assert.is_true(err == 0 or err == core.FLUO_ENOMEM)
      assert.equal(tonumber(restore.groups), (groups(e)))
      core.engine_free(table.remove(engines))
    until failed == 0 or n == 2000
    assert.is_true(n > 20 and n < 2000, n)
  end)
end)
