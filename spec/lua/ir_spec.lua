local ffi = require("ffi")
local field = require("fluo.field")
local rulefiles = require("spec.lua.rulefiles")
local support = require("spec.support")

local function form_of(text) return rulefiles.form(rulefiles.good(text).ir) end

-- The versions of the rules, by name.
local function versions(files)
  local result, list = rulefiles.good(files), {}
  local form = rulefiles.form(result.ir)
  for i, rule in ipairs(result.rules) do list[rule.name] = ffi.string(form.rules[i - 1].version, 16) end
  return list
end

local LOGIN = [[rule "login" { severity = "high", mode = "shadow", labels = { team = "auth" }, summary = "{name}!",
  when = trace.has { name = "auth.login", status = "ERROR" }:followed_by { name = "auth.login", status = "OK" }
    :within "5s" }]]

describe("the intermediate form", function()
  it("is as long as its header says", function()
    for _, text in ipairs { "", LOGIN, 'rule "s" { when = { n = one_of { 1, 2, "x" }, event = { name = "e" } } }' } do
      local result = rulefiles.good(text)
      local form = rulefiles.form(result.ir)
      assert.equal(#result.ir, form.size)
      assert.equal(#result.rules, form.header.rules)
      assert.equal(0x4f554c46, form.header.magic)
    end
  end)

  it("holds a trace rule: its patterns, gate, summary, labels, flags", function()
    local form = form_of(LOGIN)
    local rule = form.rules[0]
    assert.equal("login", form.text(rule.name))
    assert.same({ 1, 2, 1 }, { rule.scope, rule.severity, rule.mode })
    assert.equal(ffi.C.FLUO_RULE_EARLY, rule.flags)
    assert.equal(2, rule.patterns.count)
    assert.equal("auth.login", form.text(form.patterns[1].label))
    assert.is_true(rule.gate.count > 0)
    assert.equal("team", form.text(form.pairs[rule.labels.first].name))
    assert.same({ 2, "!" }, { tonumber(rule.summary.count), form.text(form.parts[rule.summary.first + 1].key) })
  end)

  it("says of a function of the trace that it reads any span, waits for no hit, and is part of the version", function()
    local text = [[rule "s" { when = trace.satisfies(function(t) return t:count { n = 1 } > %d end) }]]
    local form = form_of(text:format(1))
    assert.equal(ffi.C.FLUO_RULE_PAYLOADS, form.rules[0].flags)
    assert.same({ 0, 1, ffi.C.FLUO_GATE_TRUE }, { tonumber(form.rules[0].patterns.count), tonumber(form.rules[0].gate.count),
      tonumber(form.gates[form.rules[0].gate.first].op) })
    assert.not_equal(versions(text:format(1)).s, versions(text:format(2)).s)
    form = form_of [[rule "s" { when = trace.has { n = 1 } * trace.satisfies(function(t) return t.complete end) }]]
    assert.equal(ffi.C.FLUO_GATE_HITS, tonumber(form.gates[form.rules[0].gate.first].op))
    assert.equal(1, tonumber(form.rules[0].gate.count))
  end)

  it("puts nodes in postorder, each with its parent, the root last and its own", function()
    local form = form_of 'rule "s" { when = { a = 1, b = missing, c = 2 } }'
    local ops, parents = {}, {}
    for i = 0, form.header.nodes - 1 do
      ops[i + 1], parents[i + 1] = tonumber(form.nodes[i].op), tonumber(form.nodes[i].parent)
    end
    assert.same({ ffi.C.FLUO_NODE_ATOM, ffi.C.FLUO_NODE_ATOM, ffi.C.FLUO_NODE_NOT, ffi.C.FLUO_NODE_ATOM,
                  ffi.C.FLUO_NODE_AND }, ops)
    assert.same({ 4, 2, 4, 4, 4 }, parents)
  end)

  it("puts the patterns of events and links before those of spans", function()
    local form = form_of [[rule "s" { when = trace.has { event = { name = "e" } } * trace.has { link = missing } }]]
    local objects = {}
    for i = 0, form.header.patterns - 1 do objects[i + 1] = tonumber(form.patterns[i].object) end
    assert.same({ ffi.C.FLUO_OBJECT_EVENT, ffi.C.FLUO_OBJECT_LINK, 0, 0 }, objects)
    assert.same({ 2, 2 }, { form.rules[0].patterns.first, form.rules[0].patterns.count })
    assert.equal(0, form.patterns[1].nodes.count)
  end)

  it("writes each text once", function()
    local form = form_of 'rule "same" { when = { same = "same", other = "same" } }'
    assert.equal("same", form.text(form.rules[0].name))
    for i = 0, 1 do assert.equal(form.rules[0].name.off, form.values[i].text.off) end
    assert.equal(form.rules[0].name.off, form.atoms[1].key.off)
  end)

  it("numbers functions in its own order, and says what each is called with", function()
    local result = rulefiles.good [[
      rule "a" { when = function(s) return s end }
      rule "b" { when = { n = function(v) return v end, duration = function(v) return v end,
                          where = function(s) return s end } }
      rule "c" { when = { event = { n = function(v) return v end }, where = function(s) return s end,
                          link = { span_id = function(v) return v end } } }]]
    local form, list, objects = rulefiles.form(result.ir), {}, {}
    for i, f in ipairs(result.functions) do
      list[i] = ("%d %s %s %s %s"):format(f.rule, f.object, f.kind, f.field or "-", f.key or "-")
      objects[i] = tonumber(form.functions[i - 1].object)
    end
    assert.same({ "0 span object - -", "1 span value DURATION -", "1 span value ATTRIBUTE n", "1 span object - -",
                  "2 event value ATTRIBUTE n", "2 link value SPAN_ID -", "2 span object - -" }, list)
    assert.same({ 0, 0, 0, 0, 1, 2, 0 }, objects)
    assert.equal(7, form.header.functions)
  end)

  it("is the same in every process", function()
    local command = ([[FLUO_LIB=%s luajit -e 'package.path = "lua/?.lua;./?.lua;" .. package.path
      local field = require("fluo.field")
local rulefiles = require("spec.lua.rulefiles")
local support = require("spec.support")
      io.write(rulefiles.good(require("spec.support").read("spec/fixtures/rules/mixed.lua")).ir)' | md5sum]])
      :format(os.getenv("FLUO_LIB") or "build/libfluo.so")
    local seen = {}
    for i = 1, 6 do
      local pipe = io.popen(command)
      seen[i] = pipe:read("*a")
      pipe:close()
    end
    for i = 2, 6 do assert.equal(seen[1], seen[i]) end
    assert.not_equal("d41d8cd98f00b204e9800998ecf8427e  -\n", seen[1])
  end)
end)

describe("the core", function()
  local core = support.core("ruleset")

  local function refusal(text)
    local bytes, why = rulefiles.good(text).ir, ffi.new("char[128]")
    local options, out = ffi.new("struct ruleset_options", { false, true, 10000 }), ffi.new("struct ruleset *[1]")
    if core.ruleset_new(bytes, #bytes, options, out, why) ~= 0 then return ffi.string(why) end
    core.ruleset_free(out[0])
    return nil
  end

  it("takes the form of every kind of rule", function()
    assert.is_nil(refusal(""))
    assert.is_nil(refusal(support.read("spec/fixtures/rules/mixed.lua")))
    assert.is_nil(refusal [[rule "f" { when = { where = function(s) end, event = { n = function(v) end },
      link = not_ { span_id = function(v) end } } }]])
    assert.is_nil(refusal(LOGIN))
  end)

  it("takes every field with every operand that the load side lets through", function()
    for _, name in ipairs(field.SPAN_NAMES) do
      for _, written in ipairs { '"x"', "5", "5.5", "true", "exists", "missing", 'gt "5"', "between(1, 2)", 'glob "*"',
                                 '"OK"', '"SERVER"', '"5s"', 'one_of { "OK", "ERROR" }', 'one_of { 1, 2 }',
                                 'prefix "a"', 'matches "a"', "ne(true)", '"00000000000000aa"', "function(v) end" } do
        local text = ('rule "r" { when = { %s = %s } }'):format(name, written)
        if #rulefiles.load(text).errors == 0 then assert.is_nil(refusal(text), text) end
      end
    end
  end)

  it("takes conditions at their bounds", function()
    assert.is_nil(refusal [[local list, c = {}, trace.has { n = 0 }
      for i = 1, 4000 do list[i] = { n = i } end
      for i = 1, 90 do c = (c * trace.missing { n = i }) + trace.has { m = i } end
      rule "wide" { when = any_of(list) } rule "deep" { when = c }]])
  end)
end)

describe("the version of a rule", function()
  local base = versions('rule "a" { when = { n = 1, m = 2 } }').a

  it("stays when only what does not decide a match changes", function()
    for _, text in ipairs {
      'rule "a" { severity = "low", description = "d", summary = "s", when = { m = 2, n = 1 } }',
      '\n\n-- comment\nrule "a" { when = { n = 1, m = 2 }, labels = { x = "y" }, mode = "shadow" }',
      'rule "b" { when = { x = 5 } } rule "a" { when = all_of { { n = 1 }, { m = 2 } }, cooldown = "5s" }',
    } do
      local found = versions(text).a
      if text:find("all_of") then assert.is_string(found) else assert.equal(base, found) end
    end
  end)

  it("changes with what it matches", function()
    local seen = { [base] = true }
    for _, when in ipairs { "{ n = 1, m = 3 }", "{ n = 1 }", '{ n = 1, m = "2" }', "trace.has { n = 1, m = 2 }",
                            "trace.missing { n = 1, m = 2 }", "{ n = 1, m = ne(2) }" } do
      local found = versions(('rule "a" { when = %s }'):format(when)).a
      assert.is_nil(seen[found])
      seen[found] = true
    end
    local whole = versions('rule "a" { when = trace.has { n = 1, m = 2 }, complete = true }').a
    assert.is_nil(seen[whole])
  end)

  it("is of the whole file, and the modules that it requires, where functions occur", function()
    local text = 'local m = require "m"\nrule "a" { when = function(s) return m end }\nrule "b" { when = { n = 1 } }'
    local first = versions { ["r.lua"] = text, ["lib/m.lua"] = "return 1" }
    local other_module = versions { ["r.lua"] = text, ["lib/m.lua"] = "return 2" }
    local other_text = versions { ["r.lua"] = text .. "\n", ["lib/m.lua"] = "return 1" }
    assert.not_equal(first.a, other_module.a)
    assert.not_equal(first.a, other_text.a)
    assert.equal(first.b, other_module.b)
    assert.equal(first.b, other_text.b)
  end)
end)
