local loader = require("fluo.loader")
local rulefiles = require("spec.lua.rulefiles")
local support = require("spec.support")

local function folder(files)
  local path = os.tmpname()
  os.remove(path)
  os.execute(("mkdir -p '%s/lib/deep' '%s/sub'"):format(path, path))
  for name, text in pairs(files) do
    local file = assert(io.open(path .. "/" .. name, "wb"))
    file:write(text)
    file:close()
  end
  finally(function() os.execute(("rm -r '%s'"):format(path)) end)
  return path
end

local function names(sources, path)
  local list = {}
  for i, source in ipairs(sources.files) do list[i] = source.file:sub(#path + 2) end
  return list
end

describe("reading rule files", function()
  it("takes the Lua files of a directory in sorted order, and the modules of its lib", function()
    local path = folder { ["b.lua"] = "", ["a.lua"] = "", ["a_spec.lua"] = "", [".h.lua"] = "", ["_x.lua"] = "",
                          ["README.md"] = "", ["lib/m.lua"] = "", ["lib/deep/n.lua"] = "", ["lib/m_spec.lua"] = "" }
    local sources = loader.read(path)
    assert.same({ "a.lua", "b.lua", "lib/deep/n.lua", "lib/m.lua" }, names(sources, path))
    assert.equal("deep.n", sources.files[3].module)
    assert.same({}, sources.errors)
  end)

  it("warns of a folder that holds what looks like rules", function()
    local sources = loader.read(folder { ["sub/a.lua"] = "" })
    assert.same({}, sources.files)
    assert.is_truthy(sources.warnings[1].message:find("`sub`", 1, true))
  end)

  it("takes the files of every dialect by their extension, and no others", function()
    local sources = loader.read(folder { ["a.yml"] = "", ["b.yaml"] = "", ["c.rule"] = "", ["d.js"] = "", ["e.txt"] = "", ["f.json"] = "",
      ["_g.yml"] = "", [".h.js"] = "", ["i_spec.lua"] = "" })
    local taken = {}
    for i, source in ipairs(sources.files) do taken[i] = source.file:match("[^/]*$") end
    assert.same({ "a.yml", "b.yaml", "c.rule", "d.js" }, taken)
    assert.same({}, sources.errors)
  end)

  it("names what it cannot read", function()
    local errors = loader.read("/nowhere/at/all.lua").errors
    assert.equal("/nowhere/at/all.lua", errors[1].file)
    assert.equal("cannot be read: No such file or directory", errors[1].message)
  end)

  it("reads no modules beside a file that is not there", function()
    local path = folder { ["lib/m.lua"] = "" }
    assert.same({}, names(loader.read(path .. "/gone.lua"), path))
  end)

  it("takes files of 1 MiB, and taken the bound to larger ones", function()
    local fits = 'rule "r" { when = {} } --'
    fits = fits .. ("x"):rep(1048576 - #fits)
    assert.same({}, loader.load(loader.read(folder { ["a.lua"] = fits })).errors)
    local errors = loader.read(folder { ["a.lua"] = fits .. "x" }).errors
    assert.is_truthy(errors[1].message:find("1 MiB", 1, true))
  end)

  it("takes one file, with the lib beside it", function()
    local path = folder { ["a.lua"] = 'local m = require "m"\nrule(m) { when = {} }', ["lib/m.lua"] = 'return "n"' }
    assert.equal("n", loader.load(loader.read(path .. "/a.lua")).rules[1].name)
  end)

  it("tolerates a BOM, CRLF and Markdown fences; lines stay the author's", function()
    local text = '\239\187\191\r\n```lua\r\nrule "a" {\r\n  sevrity = "low",\r\n  when = {},\r\n}\r\n```\r\n'
    local result = loader.load(loader.read(folder { ["a.lua"] = text }))
    assert.equal(1, #result.errors)
    assert.same({ 4, 3 }, { result.errors[1].line, result.errors[1].column })
  end)
end)

describe("loading rule files", function()
  it("takes a file whole or not at all", function()
    local result = rulefiles.load { ["a.lua"] = 'rule "a" { when = {} }\nrule "b" { when = 5 }',
                                    ["b.lua"] = 'rule "c" { when = {} }' }
    assert.equal(1, #result.errors)
    assert.equal(1, #result.rules)
    assert.equal("c", result.rules[1].name)
  end)

  it("lists the errors of all rules of all files, by place", function()
    local errors = rulefiles.load { ["b.lua"] = 'rule "a" { when = x }\n\nrule "b" { when = trace.hass {} }',
                                    ["a.lua"] = 'rule "c" { when = 5 }' }.errors
    local places = {}
    for i, e in ipairs(errors) do places[i] = e.file .. ":" .. e.line end
    assert.same({ "a.lua:1", "b.lua:1", "b.lua:3" }, places)
  end)

  it("names both places of a name that two files use", function()
    local files = { ["a.lua"] = '\nrule "n" { when = {} }', ["b.lua"] = 'rule "n" { when = {} }' }
    local errors = rulefiles.load(files).errors
    assert.equal("b.lua", errors[1].file)
    assert.equal("the name `n` is taken: a.lua:2:7 has it", errors[1].message)
  end)

  it("points at the rule's line where the word stands in the rule twice", function()
    assert.same({ "2:1 unknown status `FINE`" },
      rulefiles.errors '\nrule "a" {\n when = { status = "FINE",\n name = "FINE" } }')
  end)

  it("looks for the word in code, not in comments", function()
    assert.same({ "3:4 unknown severity `hihg`" },
      rulefiles.errors 'rule "a" { -- hihg\n severity =\n  "hihg", when = {} }')
  end)

  it("finds `and` outside of functions only", function()
    assert.same({}, rulefiles.errors 'rule "a" { when = function(s) return s.root and not s.name or true end }')
    assert.same({}, rulefiles.errors 'local n = 1 and 2\nrule "a" { when = { x = n }, description = n and "d" or "e" }')
    assert.same({ "1:32 Lua's own `or` in `when` drops a side without a word" },
      rulefiles.errors 'rule "a" { when = { n = gt(nil or 5) } }')
  end)

  it("says that a condition outside of every rule is used by none", function()
    assert.same({ "2:1 a condition is built and used by no rule" },
      rulefiles.errors 'rule "a" { when = {} }\nlocal c = trace.has { name = "x" }')
    assert.same({}, rulefiles.errors 'local c = trace.has { name = "x" }\nrule "a" { when = c }')
  end)

  it("makes rules in loops and functions", function()
    local result = rulefiles.good 'for _, n in ipairs { "a", "b" } do rule("slow-" .. n) { when = { service = n } } end'
    assert.equal("slow-b", result.rules[2].name)
  end)

  it("gives each file its own instance of a module", function()
    local result = rulefiles.good {
      ["lib/m.lua"] = "local M = { n = 0 } function M.next() M.n = M.n + 1 return M.n end return M",
      ["a.lua"] = 'local m = require "m" rule("a" .. m.next()) { when = {} }\n'
        .. 'rule("a" .. require("m").next()) { when = {} }',
      ["b.lua"] = 'local m = require "m" rule("b" .. m.next()) { when = {} }',
    }
    assert.same({ "a1", "a2", "b1" }, { result.rules[1].name, result.rules[2].name, result.rules[3].name })
  end)

  it("refuses modules that require themselves, declare rules, or do not exist", function()
    local cases = { ['local x = require "m" return x'] = "requires itself",
                    ['rule "x" { when = {} }'] = "declares no rules",
                    ['local x = require "q" return x'] = "no module `q`", ["return os"] = "undefined global `os`" }
    for text, why in pairs(cases) do
      local files = { ["lib/m.lua"] = text, ["a.lua"] = 'local m = require "m" rule "a" { when = {} }' }
      local errors = rulefiles.load(files).errors
      assert.is_truthy(errors[1].message:find(why, 1, true), errors[1].message)
      assert.equal("lib/m.lua", errors[1].file)
    end
  end)

  it("looks at modules that nothing requires", function()
    assert.is_truthy(rulefiles.errors({ ["lib/m.lua"] = "return nope" })[1]:find("undefined global `nope`", 1, true))
  end)

  it("survives every prefix of a rule file", function()
    local text = support.read("spec/fixtures/broken/two_rules_two_errors.lua")
    for n = 0, #text do rulefiles.load(text:sub(1, n)) end
  end)

  it("says that the stack is full, and goes on", function()
    local text = "local function f() local x = f() return x end\nrule 'a' { when = { n = f() } }\nrule 'b' { when = 5 }"
    local errors = rulefiles.errors(text)
    assert.equal(2, #errors)
    assert.is_truthy(table.concat(errors):find("when", 1, true))
  end)

  it("lets no function of a rule build conditions later", function()
    local result = rulefiles.good 'rule "a" { when = function(s) return trace.has { name = "x" } end }'
    local ok, why = pcall(result.functions[1].fn)
    assert.is_false(ok)
    assert.is_truthy(tostring(why):find("while rules load", 1, true))
  end)
end)
