-- `fluo convert` prints the Lua that a rule runs as.
local convert = require("fluo.cli.convert")
local replay = require("spec.replay")
local rulefiles = require("spec.lua.rulefiles")

local function writer()
  local pieces = {}
  return { write = function(_, ...) for i = 1, select("#", ...) do pieces[#pieces + 1] = (select(i, ...)) end end }, pieces
end

local function run(extension, text)
  local path = os.tmpname()
  os.remove(path)
  replay.write(path .. extension, text)
  local out, printed = writer()
  local err, said = writer()
  local status = convert.run(path .. extension, out, err)
  os.remove(path .. extension)
  return status, table.concat(printed), table.concat(said)
end

-- Everything of a rule that a violation can come from.
local function short(rules)
  local list = {}
  for i, r in ipairs(rules) do
    local names = {}
    for j, action in ipairs(r.actions) do names[j] = action.name .. "=" .. action.value end
    list[i] = { r.name, r.severity, r.mode, r.meaning, r.description, table.concat(names, " "), r.cooldown, r.pending_for }
  end
  return list
end

local FILES = {
  [".yml"] = [[
a: {query: "sum(x) > 5 during 1m where k = 'v' by (service)", severity: high, for: 5m, description: "two\nlines \"quoted\" \\ é\t"}
b:
  conditions:
    - {op: not-in, field: span.attributes.k, value: [1, 9007199254740993, 'a"b', /b, -1.5, true]}
    - {op: ne, field: resource.end, value: 'a*'}
    - {op: eq, field: span.type, value: /x/*}
    - {op: missing, field: 'span.attributes["not an identifier"]'}
  actions: [{log: "hi {service}"}]
  mode: shadow
c: {span: {name: 'a*', attributes: {k: "5"}}, aggregation: {count: 10, window: 5m}, condition: "gt(count, 5)"}
]],
  [".rule"] = [[
// about
rule "a" when !(span.attributes["n"] >= -1.5) or not resource.k != 'v' and (span.name == "x" || span.kind == "client") then log("{service}") end
rule "b \" c"
when { trace.has(a/b:c).where(n > 5).where(k in [x, "y"]) and not (trace.count(d) >= 3 or trace.has(e)) }
always { trace.has(f).where(k matches "x.*\d") } never { trace.has("g h") and trace.count(x) != 2 }
]],
  [".js"] = [[
// @name a
trace.where(s => s.name.startsWith('a')).has(t => t.attributes['k'] === 5 && !(t.events.length > 3 || t.attributes.x === undefined))
// b
trace.has(s => s.attributes.k !== "é\n" && s.name.toLowerCase().includes('x'))
  .and(trace.missing(s => s.events.some(e => e.name == `x`))).within('5 seconds');
// c
(trace.has(s => s.name === 'a') || trace.count(s => true) > 3).not()
]],
}

describe("convert", function()
  for _, extension in ipairs { ".js", ".rule", ".yml" } do
    it("prints Lua that means the same: " .. extension, function()
      local status, printed, said = run(extension, FILES[extension])
      assert.same({ 0, "" }, { status, said })
      local before = rulefiles.good({ ["r" .. extension] = FILES[extension] }).rules
      assert.same(short(before), short(rulefiles.good({ ["r.lua"] = printed }).rules))
    end)

    it("prints nothing of what does not load, and says why: " .. extension, function()
      local status, printed, said = run(extension, FILES[extension] .. "\nrule = [")
      assert.same({ 1, "" }, { status, printed })
      assert.truthy(said:find("error: ", 1, true))
    end)
  end

  it("prints a long condition in calls that Lua takes", function()
    local text = "when { " .. ("trace.has(a) or "):rep(1200) .. "trace.has(b) }"
    local status, printed, said = run(".rule", text)
    assert.same({ 0, "" }, { status, said })
    local name = rulefiles.good({ ["r.lua"] = printed }).rules[1]
    assert.equal(rulefiles.good({ ["r.rule"] = text }).rules[1].meaning, name.meaning)
  end)

  it("prints a Lua file as it is", function()
    local text = 'rule "r" { when = { name = "a" } } -- as it is\n'
    assert.same({ 0, text, "" }, { run(".lua", text) })
  end)
end)
