local matching = require("spec.matching")
local ir = require("spec.ir")
local core, ffi = matching.core, matching.ffi

-- A bit of everything: a span rule and two trace rules.
local function everything()
  return { rules = {
    { name = "one", patterns = { { "and", { "eq", ".name", "x" }, { "not", { "glob", "k", "a*b" } }, { "function" },
      { "event", { "eq", ".event_name", "e" } }, { "link", { "exists", "k" } } } } },
    { name = "two", gate = { { "hits", "ge", 1 }, { "spans", "gt", 3 }, { "and", 2 } },
      patterns = { { "matches", "k", "a+" } } },
    { name = "three", gate = { { "hits", "eq", 0 } }, patterns = { { "between", ".duration", 1, 2.5 } } },
  } }
end

local function refusal(change)
  local set, why, err = matching.ruleset(ir.build(everything(), change))
  assert(not set, "was taken")
  assert.equal(-10, err)
  return why
end

describe("a rule set", function()
  it("gives back what its form says", function()
    local set = assert(matching.ruleset(ir.build(everything())))
    assert.equal(3, core.ruleset_ir(set).rules)
    local rule = core.ruleset_rule(set, 1)
    assert.equal("two", ffi.string(core.ruleset_text(set, rule.name), rule.name.len))
    assert.equal(1, core.ruleset_pattern(set, rule.patterns.first).rule)
    assert.equal(0, core.ruleset_function_rule(set, 0))
  end)

  it("is its own copy of it", function()
    local bytes = ir.build(everything())
    local sent = ffi.new("char[?]", #bytes, bytes)
    local out, why = ffi.new("struct ruleset *[1]"), ffi.new("char[128]")
    assert.equal(0, core.ruleset_new(sent, #bytes, matching.options(), out, why))
    ffi.fill(sent, #bytes, 255)
    local name = core.ruleset_rule(out[0], 0).name
    assert.equal("one", ffi.string(core.ruleset_text(out[0], name), name.len))
    core.ruleset_free(out[0])
  end)

  it("finds a rule by its name, and knows one that another set has unchanged", function()
    local set, other = matching.ruleset(ir.build(everything())), everything()
    other.rules = { other.rules[3], other.rules[1] }
    local bytes = ir.build(other, function(b) b.rules[2].version = { 7 } end)
    other = matching.ruleset(bytes)
    assert.same({ 0, 1, 2 }, { core.ruleset_find(set, "one", 3), core.ruleset_find(set, "two", 3),
                               core.ruleset_find(set, "three", 5) })
    assert.equal(0xffffffff, core.ruleset_find(set, "on", 2))
    assert.equal(0xffffffff, core.ruleset_find(set, "ones", 4))
    assert.equal(0, core.ruleset_unchanged(other, set, 2))
    assert.equal(0xffffffff, core.ruleset_unchanged(other, set, 0))
    assert.equal(0xffffffff, core.ruleset_unchanged(other, set, 1))
    assert.is_true(core.ruleset_same(other, matching.ruleset(bytes)))
    assert.is_false(core.ruleset_same(set, other))
  end)

  it("of no rules is one", function()
    assert.is_truthy(matching.ruleset(ir.build({ rules = {} })))
  end)

  it("that is cut short anywhere is none", function()
    local bytes = ir.build(everything())
    for n = 0, #bytes - 1 do assert.is_nil((matching.ruleset(bytes:sub(1, n)))) end
    assert.is_nil((matching.ruleset(bytes .. ("\0"):rep(8))))
  end)

  it("does not match the patterns of a rule that is off", function()
    local patterns = { { "exists", "k" } }
    local spec = { rules = { { mode = "off", patterns = patterns }, { patterns = patterns } } }
    local out, match = ffi.new("struct matcher *[1]"), ffi.new("struct match")
    local set = matching.ruleset(ir.build(spec))
    assert.equal(0, core.matcher_new(set, out))
    core.matcher_span(out[0], ir.span({ attributes = { k = 1 } }).view, match)
    assert.same({ 1, 1 }, { match.hits_count, match.hits[0] })
    core.matcher_free(out[0])
  end)
end)

-- Each change of a sound form, and what is said about it.
local SPOILED = {
  ["rules[0]: severity"] = function(b) b.rules[1].severity = 4 end,
  ["rules[0]: mode"] = function(b) b.rules[1].mode = 3 end,
  ["rules[1]: scope"] = function(b) b.rules[2].scope = 4 end,
  ["rules[1]: flags"] = function(b) b.rules[2].flags = 32 end,
  ["rules[0]: name"] = function(b) b.rules[1].name = { 0, 4096 } end,
  ["rules[0]: pattern range"] = function(b) b.rules[1].patterns = { 4294967295, 2 } end,
  ["rules[1]: summary range"] = function(b) b.rules[2].summary = { 0, 1 } end,
  ["rules[1]: pattern of another rule"] = function(b) b.rules[2].patterns = { 4, 1 } end,
  ["rules[0]: pattern of no span"] = function(b) b.rules[1].patterns = { 0, 3 } end,
  ["rules[0]: gate of no trace rule"] = function(b) b.rules[1].gate = { 0, 1 } end,
  ["rules[1]: no gate"] = function(b) b.rules[2].gate = { 0, 0 } end,
  ["rules[1]: gate leaves more than one operand"] = function(b) b.rules[2].gate = { 0, 2 } end,
  ["gates[2]: arity"] = function(b) b.gates[3].n = 3 end,
  ["gates[0]: compare"] = function(b) b.gates[1].compare = 1 end,
  ["gates[0]: pattern of another rule"] = function(b) b.gates[1].pattern = 2 end,
  ["gates[1]: op"] = function(b) b.gates[2].op = 6 end,
  ["functions[0]: rule"] = function(b) b.functions[1].rule = 3 end,
  ["functions[0]: object"] = function(b) b.functions[1].object = 3 end,
  ["nodes[5]: function of another object"] = function(b) b.functions[1].object = 1 end,
  ["nodes[0]: function of another object"] = function(b) b.nodes[1].op, b.nodes[1].arg = 1, 0 end,
  ["nodes[1]: op within an event or link"] = function(b) b.nodes[2].op = 3 end,
  ["values[0]: text"] = function(b) b.values[1].text = { 4294967295, 1 } end,
  ["values[0]: type"] = function(b) b.values[1].type = 5 end,
  ["values[5]: not a number"] = function(b) b.values[6].number = 0 / 0 end,
  ["atoms[0]: field"] = function(b) b.atoms[1].field = 19 end,
  ["atoms[0]: op"] = function(b) b.atoms[1].op = 13 end,
  ["atoms[0]: number of operands"] = function(b) b.atoms[1].values = { 0, 0 } end,
  ["atoms[0]: operand is no status"] = function(b) b.atoms[1].field = 4 end,
  ["atoms[0]: operand is no kind"] = function(b) b.atoms[1].field = 6 end,
  ["atoms[0]: operand is no bool"] = function(b) b.atoms[1].field = 16 end,
  ["atoms[1]: op does not fit the field"] = function(b) b.atoms[2].field = 7 end,
  ["atoms[1]: key"] = function(b) b.atoms[2].key = { 1, 4294967295 } end,
  ["atoms[5]: value range"] = function(b) b.atoms[6].values = { 5, 2 } end,
  ["atoms[4]: quantifier does not follow a repeatable item at 0"] = function(b)
    for i, text in ipairs(b.text) do if text == "a+" then b.text[i] = "+a" end end
  end,
  ["nodes[0]: field does not fit"] = function(b) b.atoms[b.nodes[1].arg + 1].field = 17 end,
  ["nodes[1]: "] = function(b) b.nodes[2].op = 7 end,
  ["nodes[0]: atom"] = function(b) b.nodes[1].arg = 6 end,
  ["nodes[0]: field does not fit the object"] = function(b) b.nodes[1].arg = 0 end,
  ["nodes[8]: the root's parent"] = function(b) b.nodes[9].parent = 9 end,
  ["nodes[2]: parent"] = function(b) b.nodes[3].parent = 1 end,
  ["nodes[2]: not in postorder"] = function(b)
    b.nodes[3].parent, b.nodes[4].parent = 5, 8
    b.nodes[5], b.nodes[6] = { op = 0, arg = 0, parent = 5 }, { op = 4, arg = 0, parent = 8 }
  end,
  ["nodes[2]: not of two operands"] = function(b) b.nodes[3].parent = 4 end,
  ["nodes[6]: without operands"] = function(b) b.nodes[7].op = 4 end,
  ["nodes[2]: child of a leaf"] = function(b) b.nodes[3].parent = 3 end,
  ["patterns[0]: object"] = function(b) b.patterns[1].object = 3 end,
  ["patterns[0]: rule"] = function(b) b.patterns[1].rule = 3 end,
  ["patterns[0]: node range"] = function(b) b.patterns[1].nodes = { 10, 9 } end,
  ["patterns[4]: nodes of another pattern"] = function(b) b.patterns[5].nodes = { 0, 3 } end,
  ["patterns[1]: not among its rule's"] = function(b) b.patterns[2].object = 0 end,
}

describe("a form that is refused", function()
  for why, change in pairs(SPOILED) do
    it("says " .. why, function()
      local said = refusal(change)
      assert(said:sub(1, #why) == why, said)
    end)
  end

  it("says when its patterns are nested too deep", function()
    local deep = { "exists", "k" }
    for _ = 1, 255 do deep = { "not", deep } end
    assert.is_truthy(matching.ruleset(ir.build({ rules = { { patterns = { deep } } } })))
    local _, why = matching.ruleset(ir.build({ rules = { { patterns = { { "not", deep } } } } }))
    assert.equal("nodes[0]: nested too deep", why)
  end)

  it("is refused or taken, whatever byte of it is changed", function()
    local bytes = ir.build(everything())
    for i = 1, #bytes do
      for _, b in ipairs({ 0, 1, 7, 128, 255 }) do
        local set = matching.ruleset(bytes:sub(1, i - 1) .. string.char(b) .. bytes:sub(i + 1))
        if set then core.ruleset_free(ffi.gc(set, nil)) end
      end
    end
  end)
end)

describe("without memory", function()
  it("neither a rule set nor a matcher is made, and nothing is left of it", function()
    local bytes = ir.build(everything())
    local out, why = ffi.new("struct ruleset *[1]"), ffi.new("char[128]")
    local matcher = ffi.new("struct matcher *[1]")
    collectgarbage()
    local live, failed = core.heap_live(), 0
    for n = 1, 1000 do
      core.heap_fail_from(n)
      local err = core.ruleset_new(bytes, #bytes, matching.options(), out, why)
      if err == 0 then
        err = core.matcher_new(out[0], matcher)
        if err == 0 then core.matcher_free(matcher[0]) end
        core.ruleset_free(out[0])
      end
      core.heap_fail_from(0)
      assert.equal(live, core.heap_live())
      if err == 0 then break end
      assert.equal(-1, err)
      failed = failed + 1
    end
    assert.is_true(failed > 40 and failed < 1000)
  end)
end)

describe("the incidents of a rule set", function()
  -- An incident of the first rule: grouped by a field and a label, resolved by a pattern of its own.
  local function with_incident(change)
    return function(b)
      b.parts = { { field = 3, key = { 0, 0 } }, { field = 19, key = { 0, 2 } } }
      b.pairs = { { name = { 0, 2 }, value = { 0, 0 }, parts = { 0, 1 } }, { name = { 0, 3 }, value = { 0, 0 }, parts = { 1, 1 } } }
      b.patterns[#b.patterns + 1] = { nodes = { 0, 0 }, label = { 0, 0 }, rule = 0, object = 0 }
      b.incidents = { { rule = 0, m = 3, n = 5, grouped = 1, group_by = { 0, 2 }, resolve = { #b.patterns - 1, 1 }, pending_ns = 7 } }
      b.rules[1].incident = 1
      if change then change(b, b.incidents[1]) end
    end
  end

  it("say how violations become incidents", function()
    local set = assert(matching.ruleset(ir.build(everything(), with_incident())))
    local incident = core.ruleset_incident(set, core.ruleset_rule(set, 0))
    assert.same({ 3, 5, 2, 7 }, { incident.m, incident.n, incident.group_by.count, tonumber(incident.pending_ns) })
    assert.is_true(core.ruleset_incident(set, core.ruleset_rule(set, 1)) == nil)
  end)

  for what, change in pairs({
    ["incidents[0]: rule"] = function(_, it) it.rule = 1 end,
    ["rules[1]: incident"] = function(b) b.rules[2].incident = 1 end,
    ["rules[2]: incident"] = function(b) b.rules[3].incident = 9 end,
    ["incidents[0]: m of n"] = function(_, it) it.m = 6 end,
    ["incidents[0]: m of n "] = function(_, it) it.n = 1001 end,
    ["incidents[0]: m of n  "] = function(_, it) it.m = 0 end,
    ["incidents[0]: group_by"] = function(_, it) it.group_by = { 1, 2 } end,
    ["incidents[0]: group_by "] = function(b) b.parts[1].field = 20 end,
    ["incidents[0]: group_by  "] = function(b) b.pairs[1].parts = { 0, 2 } end,
    ["incidents[0]: resolve"] = function(_, it) it.resolve = { 99, 1 } end,
    ["incidents[0]: resolve "] = function(_, it) it.resolve = { 0, 2 } end,
    ["rules[0]: pattern of another rule"] = function(b) b.patterns[#b.patterns].rule = 1 end,
    ["rules[0]: pattern of no span"] = function(b) b.patterns[#b.patterns].object = 1 end,
    ["incidents[0]: duration"] = function(_, it) it.cooldown_ns = -1LL end,
  }) do
    it("are refused where they are none: " .. what, function()
      assert.equal(what:match("^(.-)%s*$"), refusal(with_incident(change)))
    end)
  end
end)
