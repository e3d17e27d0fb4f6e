-- What a group of a cascade keeps, and what becomes of it at its bounds.
local core, ffi = require("spec.support").core("heap", "state", "cascade")

local SECOND = 1000000000

jit.off()                                                             -- C calls back into Lua

describe("a cascade's group", function()
  local live, state, cascade, matches

  local on_match = ffi.cast("void (*)(void *, const struct cascade_match *)", function(_, m)
    local names = {}
    for i = 0, m.chain_count - 1 do
      local link = m.chain[i]
      names[i + 1] = link.value ~= nil and ffi.string(link.value, link.value_bytes) or "root"
      names[i + 1] = names[i + 1] .. "@" .. tonumber(link.time_ns) / SECOND
    end
    matches[#matches + 1] = { table.concat(names, " "), m.values, tonumber(m.time_ns) / SECOND }
  end)

  local function open(at_least, rooted, bytes_max)
    local out = ffi.new("struct state *[1]")
    assert.equal(0, core.state_new(bytes_max or 8388608, out))
    state, matches = out[0], {}
    local terms = ffi.new("struct cascade_terms", { 60 * SECOND, at_least, rooted })
    local made = ffi.new("struct cascade *[1]")
    assert.equal(0, core.cascade_new(state, terms, ffi.new("struct cascade_calls", { on_match }), nil, made))
    cascade = made[0]
  end

  local hit, key, ids = ffi.new("struct sequence_hit"), ffi.new("struct state_key"), 0
  -- value: nil is a root.
  local function take(value, at, now)
    ids = ids + 1
    hit.start_ns, hit.end_ns, hit.patterns = at * SECOND, at * SECOND, value and 2 or 1
    ffi.copy(hit.span_id, ("%08x"):format(ids), 8)
    key.bytes, key.n, key.hash = ffi.cast("const char *", "g"), 1, core.state_hash(state, "g", 1)
    return core.cascade_take(cascade, key, hit, value or "", value and #value or 0, (now or at) * SECOND)
  end

  local function run_to(now)
    while core.state_step(state, now * SECOND) do end
  end

  local function stats() return core.state_stats(state) end

  before_each(function() live = core.heap_live() end)
  after_each(function()
    core.heap_fail_from(0)
    core.cascade_free(cascade)
    core.state_free(state)
    assert.equal(live, core.heap_live())
  end)

  it("is judged a lateness after D, and then holds nothing", function()
    open(2, true)
    take(nil, 100)
    take("a", 101)
    take("b", 102)
    run_to(164.999999)
    assert.same({}, matches)
    run_to(165)
    assert.same({ { "root@100 a@101 b@102", 2, 102 } }, matches)
    run_to(300)
    assert.equal(0, tonumber(stats().groups))
  end)

  it("is judged by the next timer where it came after its time, when the request is in", function()
    open(1, true)
    take("a", 101, 165)
    take(nil, 100, 165.5)
    run_to(165.5)
    assert.same({ { "root@100 a@101", 1, 101 } }, matches)
  end)

  it("is one in a request that spans a longer time than its own", function()
    open(2, true)
    take(nil, 100, 900)
    take("a", 101, 900)
    take("b", 102, 900)
    take("c", 900)
    run_to(900)
    assert.same({ { "root@100 a@101 b@102", 2, 102 } }, matches)
  end)

  it("begins nothing with what came up to the last link of one that was told, and has no order at one time", function()
    open(1, true)
    take(nil, 100)
    take("a", 100)
    run_to(165)
    assert.same({}, matches)
    take(nil, 200)
    take("a", 210)
    run_to(265)
    take(nil, 205, 265)
    take("b", 209, 265)
    run_to(400)
    assert.same({ { "root@200 a@210", 1, 210 } }, matches)
  end)

  it("keeps the first failures after a root, however many come", function()
    open(3, true)
    for i = 1, 3000 do take("v" .. i % 5, 50 + i / 100) end            -- up to 80 s, before it
    take(nil, 81)
    for i = 1, 30000 do take("v" .. i % 5, 81 + i / 1000) end
    run_to(200)
    assert.equal("root@81 v1@81.001 v2@81.002 v3@81.003 v4@81.004 v0@81.005", matches[1][1])
    assert.same({ 0, 0 }, { tonumber(stats().lost), tonumber(stats().overflowed) })
  end)

  it("is coarser than its hits only where these came before their root", function()
    open(3, true)
    for i = 1, 5000 do take("v" .. i % 4, 100 + i / 100) end           -- up to 150 s
    take(nil, 120.5, 150)
    run_to(300)
    local times = {}
    for value, at in matches[1][1]:gmatch("(v%d)@([%d.]+)") do times[#times + 1] = value .. (tonumber(at) <= 125 and "" or at) end
    table.sort(times)
    assert.same({ "v0", "v1", "v2", "v3" }, times)
  end)

  it("has room for 256 values, and counts what it lost", function()
    open(1, false)
    for i = 1, 300 do take("v" .. i, 100 + i / 1000) end
    assert.equal(44, tonumber(stats().overflowed))
    run_to(200)
    assert.equal(256, matches[1][2])
    assert.equal(0, take("again", 300))
    run_to(400)
    assert.equal("again@300", matches[2][1])
  end)

  it("of nothing but roots keeps the last, and of those that failures part as many as there is room for", function()
    open(1, true)
    for i = 1, 5000 do take(nil, 100 + i / 1000) end
    take("a", 106)
    run_to(300)
    assert.same({ { "root@105 a@106", 1, 106 } }, matches)
    for i = 1, 3000 do take(i % 2 == 0 and "a" or nil, 400 + i / 1000) end
    assert.is_true(stats().overflowed > 0)
    assert.is_true(stats().bytes < 400000)
  end)

  it("takes no more than all may have", function()
    open(1, true, 16384)
    for i = 1, 2000 do take("v" .. i % 50, 100 + i / 100) end
    assert.equal(1, tonumber(stats().groups))                          -- it is the one in use
  end)

  it("loses what there is no memory for, counted, and nothing else", function()
    for n = 1, 40 do
      open(1, true)
      core.heap_fail_only(n)
      local lost = 0
      for i, value in ipairs { "", "a", "b", "c", "", "d" } do
        if take(value ~= "" and value or nil, 100 + i) ~= 0 then lost = lost + 1 end
      end
      core.heap_fail_only(0)
      assert.equal(lost, tonumber(stats().lost))
      run_to(300)
      assert.is_true(#matches >= 1 or lost > 0)
      core.cascade_free(cascade)
      core.state_free(state)
      cascade, state = nil, nil
    end
    open(1, true)
  end)
end)
