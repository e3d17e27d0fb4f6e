-- Limits that people have widened, through the engine: who is asked, by which key, and whom a change reaches.
package.path = "lua/?.lua;" .. package.path
local support = require("spec.support")
local core, ffi = support.core("engine", "err", "heap", "ruleset", "violation")
local rulefiles = require("spec.lua.rulefiles")
local wire = require("spec.otlp_writer")

local SECOND = 1000000000ULL
local T0 = 1760356800ULL * SECOND

jit.off()                                                  -- C calls back into Lua

local found, asked, widenings
local on_violation = ffi.cast("void (*)(void *, const struct violation *)", function(_, v)
  found[#found + 1] = { ffi.string(core.ruleset_text(v.rules, v.rule.name), v.rule.name.len), v.value, v.threshold, v.widening }
end)
local on_widening = ffi.cast("uint32_t (*)(void *, const char *, uint32_t, const void *, uint32_t)", function(_, rule, n, group, m)
  local key = ffi.string(rule, n) .. " " .. ffi.string(group, m)
  asked[#asked + 1] = key
  return widenings[key] or 0
end)

-- As group_add writes a key.
local function key(...)
  local parts = {}
  for i, s in ipairs { ... } do parts[i] = ffi.string(ffi.new("uint32_t[1]", #s), 4) .. s end
  return table.concat(parts)
end

local COUNT = 'rule "count" { when = window("5s", { name = "a" }):by("name", "k"):count():over(%d) }\n'
local REST = [[
rule "steps" { when = sequence { by = "k", within = "1m", { name = "a" }, { name = "b" } } }
rule "once"  { when = { name = "once" } }
rule "new"   { when = window("5s"):by("k"):first_seen() }
rule "few"   { when = window("5s", { name = "c" }):count():under(4) }
]]

describe("an engine", function()
  local live, sets, e, count

  local function ruleset(text)
    local bytes = rulefiles.good(text).ir
    local out, why = ffi.new("struct ruleset *[1]"), ffi.new("char[128]")
    assert(core.ruleset_new(bytes, #bytes, ffi.new("struct ruleset_options", { renamed = true, matches_limit = 10000 }), out, why) == 0,
      ffi.string(why))
    sets[#sets + 1] = out[0]
    return out[0]
  end

  local function engine(text)
    local out, options = ffi.new("struct engine *[1]"), ffi.new("struct engine_options", { state_bytes_max = 1048576, live = true, started_ns = T0 })
    options.store = { 4194304, 1000 * SECOND, 3000 * SECOND, 60 * SECOND, 10000, 1048576, 262144, 524288 }
    local calls = ffi.new("struct engine_calls", { on_violation = on_violation, widening = on_widening })
    assert.equal(0, core.engine_new(options, calls, out))
    assert.equal(0, core.engine_use(out[0], ruleset(text), nil))
    return out[0]
  end

  -- n spans at that second; trace: one for all of them, whose rules are those of its first span.
  local function send(at, n, options)
    options = options or {}
    while core.engine_step(e, T0 + at * SECOND) do end
    for _ = 1, n do
      count = count + 1
      local id, start = ("%016d"):format(count), T0 + at * SECOND
      local body = wire.body({ wire.span { trace_id = options.trace or id, span_id = id:sub(9), name = options.name or "a", start_ns = start,
        end_ns = start, attributes = { k = options.k or "x" } } })
      assert.equal(0, core.engine_receive(e, body, #body, nil, start, ffi.new("struct engine_receipt")))
    end
  end
  local function of(rule)
    local list = {}
    for _, v in ipairs(found) do
      if v[1] == rule then list[#list + 1] = { v[2], v[3], v[4] } end
    end
    found = {}
    return list
  end
  local function widen(rule, group, widening) core.engine_widen(e, rule, #rule, group, #group, widening) end

  before_each(function()
    live, sets, found, asked, widenings, count = core.heap_live(), {}, {}, {}, {}, 0
  end)
  after_each(function()
    core.engine_free(e)
    for _, set in ipairs(sets) do core.ruleset_free(set) end
    assert.equal(live, core.heap_live())
  end)

  it("asks for each group of a window once, as it begins, by the rule's name and the group's key", function()
    widenings["count " .. key("a", "x")] = 500
    e = engine(COUNT:format(2) .. REST)
    send(1, 3)
    send(1, 3, { k = "y" })
    assert.same({ "few ", "count " .. key("a", "x"), "count " .. key("a", "y") }, asked)
    assert.same({ { 3, 2, 0 } }, of("count"))
    send(2, 1)
    assert.same({ { 4, 3, 500 } }, of("count"))
  end)

  it("hands a change to the group that it is of, and to no other", function()
    e = engine(COUNT:format(2) .. REST)
    send(1, 1)
    send(1, 1, { k = "y" })
    widen("count", key("a", "x"), 500)
    for _, rule in ipairs { "unknown", "once", "steps", "new" } do widen(rule, key("a", "y"), 500) end
    send(2, 2)
    send(2, 2, { k = "y" })
    assert.same({ { 3, 2, 0 } }, of("count"))
    widen("count", key("a", "x"), 0)
    send(3, 1)
    assert.same({ { 4, 2, 0 } }, of("count"))
  end)

  it("hands it to the rule as it was before a reload, too, where traces are still judged by that", function()
    e = engine(COUNT:format(2))
    send(1, 1, { trace = "0123456789abcdef" })
    assert.equal(0, core.engine_use(e, ruleset(COUNT:format(4)), nil))
    send(1, 1)
    widen("count", key("a", "x"), 500)
    send(2, 2, { trace = "0123456789abcdef" })
    send(2, 5)
    assert.same({}, of("count"))
    send(2, 1, { trace = "0123456789abcdef" })
    send(2, 1)
    assert.same({ { 4, 3, 500 }, { 7, 6, 500 } }, of("count"))
  end)

  it("has a lower limit that is widened judged by the timer", function()
    e = engine(REST)
    widen("few", "", 1000)
    for at = 1, 60, 2 do send(at, 1, { name = "c" }) end
    assert.same({}, of("few"))
    send(90, 1)
    assert.same({ { 1, 2, 1000 } }, of("few"))
  end)
end)
