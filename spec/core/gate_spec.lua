local matching = require("spec.matching")
local ir = require("spec.ir")
local core, ffi = matching.core, matching.ffi
require("spec.support").core("tally")

local EARLY, LATE = 1, 16

-- A rule set of one trace rule with two patterns and this gate.
local function set_of(gate, flags, mode)
  local patterns = { { "exists", "a" }, { "exists", "b" } }
  return assert(matching.ruleset(ir.build({ rules = { { patterns = patterns },
    { patterns = patterns, gate = gate, flags = flags, mode = mode } } })))
end

-- Whether it is open at `a` and `b` hits, `spans` spans, a duration.
local function open(gate, a, b, spans, duration_ns, unknown, growing)
  local set = set_of(gate)
  local tallies, n = ffi.new("struct tally[3]"), 0
  for i, count in ipairs({ a or 0, b or 0 }) do
    if count > 0 or unknown then
      tallies[n] = { 1 + i, count, unknown or 0 }
      n = n + 1
    end
  end
  local counts = ffi.new("struct gate_counts", { tallies, n, spans or 0, duration_ns or 0, growing or false })
  return core.ruleset_gate(set, 1, counts)
end

local function listed(list, set)
  local count = ffi.new("uint32_t[1]")
  local rules, out = list(set, count), {}
  for i = 1, count[0] do out[i] = rules[i - 1] end
  return out
end

describe("a gate", function()
  for _, case in ipairs({
    { "eq", { false, true, false } }, { "gt", { false, false, true } }, { "ge", { false, true, true } },
    { "lt", { true, false, false } }, { "le", { true, true, false } },
  }) do
    it("compares counts: " .. case[1], function()
      local got = {}
      for i = 1, 3 do got[i] = open({ { "hits", case[1], 2 } }, i) end
      assert.same(case[2], got)
    end)
  end

  it("counts each pattern's own hits, spans, and nanoseconds", function()
    local second = { { "hits", "ge", 1, pattern = 2 } }
    assert.same({ false, true }, { open(second, 1, 0), open(second, 0, 1) })
    assert.same({ false, true }, { open({ { "spans", "gt", 3 } }, 0, 0, 3), open({ { "spans", "gt", 3 } }, 0, 0, 4) })
    local long = { { "duration", "gt", 5e9 } }
    assert.same({ false, true, true }, { open(long, 0, 0, 1, 5e9), open(long, 0, 0, 1, 5e9 + 1),
      open(long, 0, 0, 1, 18446744073709551615ULL) })
  end)

  it("takes an unknown answer for a hit where a lower bound is asked, and for none where an upper one is", function()
    local function with_unknown(compare, n) return open({ { "hits", compare, n } }, 1, 0, 0, 0, 1) end
    assert.same({ true, false, true, false, true },
      { with_unknown("ge", 2), with_unknown("ge", 3), with_unknown("gt", 1), with_unknown("gt", 2), with_unknown("lt", 2) })
  end)

  it("of counts that may grow is open unless one has passed a bound from above", function()
    for compare, wanted in pairs { eq = { true, true, false }, gt = { true, true, true }, ge = { true, true, true },
      lt = { true, false, false }, le = { true, true, false } } do
      local hits, spans, durations = {}, {}, {}
      for i = 1, 3 do
        hits[i] = open({ { "hits", compare, 2 } }, i, 0, 0, 0, nil, true)
        spans[i] = open({ { "spans", compare, 2 } }, 0, 0, i, 0, nil, true)
        durations[i] = open({ { "duration", compare, 2 } }, 0, 0, 0, i, nil, true)
      end
      assert.same({ wanted, wanted, wanted }, { hits, spans, durations }, compare)
    end
  end)

  it("joins its operands", function()
    local gate = { { "hits", "ge", 1 }, { "hits", "eq", 0, pattern = 2 }, { "and", 2 }, { "spans", "ge", 9 },
      { "or", 2 } }
    assert.same({ false, true, false, true }, { open(gate), open(gate, 1), open(gate, 1, 1), open(gate, 1, 1, 9) })
    assert.is_true(open({ { "true" } }))
    assert.is_false(open({ { "true" }, { "hits", "ge", 1 }, { "and", 2 } }))
  end)

  it("takes as many terms as a condition may have", function()
    local gate = {}
    for i = 1, 5000 do gate[i] = { "hits", "ge", i } end
    gate[5001] = { "and", 5000 }
    assert.same({ false, true }, { open(gate, 4999), open(gate, 5000) })
  end)
end)

describe("the rules to look at", function()
  local HAS, ABSENT = { "hits", "ge", 1 }, { "hits", "eq", 0 }

  it("at a close even without a hit are those that no hit is needed for", function()
    local function always(gate, mode) return listed(core.ruleset_always, set_of(gate, 0, mode)) end
    assert.same({ {}, { 1 } }, { always({ HAS }), always({ ABSENT }) })
    assert.same({ {}, { 1 } }, { always({ HAS, ABSENT, { "and", 2 } }), always({ HAS, ABSENT, { "or", 2 } }) })
    assert.same({ 1 }, always({ { "true" } }))
    assert.same({}, always({ ABSENT }, "off"))
  end)

  it("at a close include those that ask for spans that may be there", function()
    assert.same({ 1 }, listed(core.ruleset_always, set_of({ { "spans", "eq", 3 } })))
    assert.same({ 1 }, listed(core.ruleset_always, set_of({ { "duration", "gt", 3 } })))
  end)

  it("on any new span are early ones that ask for more than hits", function()
    local function any(gate, flags) return listed(core.ruleset_any_span, set_of(gate, flags)) end
    assert.same({ { 1 }, {} }, { any({ { "spans", "ge", 3 } }, EARLY), any({ { "spans", "ge", 3 } }, 0) })
    assert.same({ 1 }, any({ HAS, { "duration", "ge", 3 }, { "and", 2 } }, EARLY))
    assert.same({}, any({ HAS }, EARLY))
  end)

  it("on late spans are those that say so", function()
    assert.same({ { 1 }, {} }, { listed(core.ruleset_late, set_of({ HAS }, LATE)), listed(core.ruleset_late, set_of({ HAS })) })
  end)

  it("are none that are off", function()
    local set = set_of({ { "true" } }, EARLY + LATE, "off")
    assert.same({}, listed(core.ruleset_any_span, set))
    assert.same({}, listed(core.ruleset_late, set))
    assert.is_false(core.ruleset_gate(set, 1, ffi.new("struct gate_counts")))
  end)
end)
