-- Which version of a file is loaded when files change: as it is, as it was, or none.
local abi = require("fluo.abi")
local loader = require("fluo.loader")
local reload = require("fluo.reload")
local texts = require("fluo.texts")
require("spec.lua.rulefiles")
assert(abi.has_hash())

-- What the disk would give for files by name.
local function sources_of(files)
  local sources, names = { files = {}, errors = {}, warnings = {} }, {}
  for name in pairs(files) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    if files[name] then
      sources.files[#sources.files + 1] = { file = name, text = files[name], module = name:match("^lib/(.*)%.lua$") }
    else                                            -- false: cannot be read
      sources.errors[#sources.errors + 1] = { severity = "error", file = name, line = 1, column = 1, message = "no" }
    end
  end
  return sources
end

local function text_of(result) return table.concat(texts.write(result.used)) end

-- Loads one state of the files after the other; gives the rules in force by name, where each is from, and the errors of
-- the last.
local function after(...)
  local states, result = { ... }, nil
  for i, files in ipairs(states) do
    local sources = sources_of(files)
    if i == 1 then result = loader.evaluate(sources, loader.modules(sources), {})
    else result = reload.load(sources, texts.read(text_of(result)), {}) end
  end
  local names, errors = {}, {}
  for i, rule in ipairs(result.rules) do names[i] = rule.name end
  for i, d in ipairs(result.errors) do errors[i] = ("%s:%d %s"):format(d.file, d.line, d.message) end
  return table.concat(names, " "), errors, result
end

local function rule(name, more) return ('rule "%s" { when = { name = "x" }%s }\n'):format(name, more or "") end
local BROKEN = 'rule "broken" { when = 5 }\n'

describe("a reload", function()
  it("takes files as they are while they load", function()
    local before = { ["a.lua"] = rule "a", ["b.lua"] = rule "b" }
    assert.equal("b c", (after(before, { ["b.lua"] = rule "b", ["c.lua"] = rule "c" })))
  end)

  it("takes a file that does not load as it was last when it did, and says what is wrong with it", function()
    local names, errors = after({ ["a.lua"] = rule "a", ["b.lua"] = rule "b" },
      { ["a.lua"] = BROKEN, ["b.lua"] = rule "c" }, { ["a.lua"] = "rule rule", ["b.lua"] = rule "d" })
    assert.equal("a d", names)
    assert.equal(1, #errors)
    assert.truthy(errors[1]:find("^a.lua:1 "))
  end)

  it("leaves out a broken file that never was another", function()
    local names, errors = after({ ["a.lua"] = rule "a" }, { ["a.lua"] = rule "a", ["b.lua"] = BROKEN })
    assert.same({ "a", 1 }, { names, #errors })
  end)

  it("takes a mended file as it is again, and a broken one that is gone no more", function()
    local before, broken = { ["a.lua"] = rule "a" }, { ["a.lua"] = BROKEN }
    assert.equal("c", (after(before, broken, { ["a.lua"] = rule "c" })))
    assert.equal("", (after(before, broken, {})))
  end)

  it("takes a file that cannot be read as it was", function()
    assert.equal("a b", (after({ ["a.lua"] = rule "a" }, { ["a.lua"] = false, ["b.lua"] = rule "b" })))
  end)

  it("takes all files of a directory that cannot be read as they were", function()
    assert.equal("a b", (after({ ["r/a.lua"] = rule "a", ["r/b.lua"] = rule "b" }, { r = false })))
  end)

  it("takes a file as it was with the modules that it saw then, others with those of now", function()
    local a, b = 'rule(require "m".old) { when = {} }', 'rule(require "m".new or "none") { when = {} }'
    local names, errors = after({ ["a.lua"] = a, ["lib/m.lua"] = 'return { old = "o" }' },
      { ["a.lua"] = a, ["b.lua"] = b, ["lib/m.lua"] = 'return { new = "n" }' },
      { ["a.lua"] = a, ["b.lua"] = b, ["lib/m.lua"] = 'return { new = "newer" }' })
    assert.equal("o newer", names)
    assert.equal(1, #errors)
  end)

  it("does the same where a module itself is broken", function()
    local a = 'rule(require "m") { when = {} }'
    local names, errors = after({ ["a.lua"] = a, ["lib/m.lua"] = 'return "m"' },
      { ["a.lua"] = a, ["b.lua"] = rule "b", ["lib/m.lua"] = 'return "m' })
    assert.same({ "m b", "lib/m.lua:1 unfinished string near '<eof>'" }, { names, errors[1] })
  end)

  it("lets a file that has not changed keep the name that one before it takes too", function()
    local names, errors = after({ ["a.lua"] = rule "a", ["b.lua"] = rule "b" },
      { ["a.lua"] = rule "b", ["b.lua"] = rule "b" })
    assert.equal("a b", names)
    assert.same({ "a.lua:1 the name `b` is taken: b.lua:1:7 has it" }, errors)
  end)

  it("takes a rule that moves from one file to another", function()
    assert.equal("m", (after({ ["a.lua"] = rule "m", ["b.lua"] = "" }, { ["a.lua"] = "", ["b.lua"] = rule "m" })))
  end)

  it("goes back as far as it takes where names depend on one another", function()
    local names, errors = after({ ["a.lua"] = rule "a", ["b.lua"] = rule "b", ["c.lua"] = rule "c" },
      { ["a.lua"] = rule "b", ["b.lua"] = rule "c", ["c.lua"] = BROKEN })
    assert.equal("a b c", names)
    assert.equal(3, #errors)
  end)

  it("gives the same form as a first load of the same texts, and again from what it left", function()
    local files = { ["a.lua"] = rule "a", ["b.lua"] = 'rule "f" { when = { where = function() return true end } }' }
    local _, _, first = after(files)
    local _, _, other = after({ ["a.lua"] = rule "z" }, files)
    assert.equal(first.ir, other.ir)
    assert.equal(first.ir, reload.again(texts.read(text_of(other)), {}).ir)
  end)
end)

describe("the texts of a load", function()
  it("are read back as they were written", function()
    local modules = { names = { "m", "n" }, m = { file = "lib/m.lua", module = "m", text = "1\n2 3 4 5\n" },
                      n = { file = "lib/n.lua", module = "n", text = "" } }
    local none = { names = {} }
    local text = table.concat(texts.write { { file = "a b.lua", text = "\0\n", modules = modules },
      { file = "b.lua", text = "", modules = none }, { file = "c.lua", text = "c", modules = modules } })
    local files = texts.read(text)
    assert.same({ "a b.lua", "\0\n", "b.lua", "" }, { files[1].file, files[1].text, files[2].file, files[2].text })
    assert.equal(files[1].modules, files[3].modules)
    assert.is_true(texts.same_modules(modules, files[1].modules))
    assert.is_false(texts.same_modules(none, files[1].modules))
  end)

  it("of no files are texts, and nothing is none", function()
    assert.same({}, texts.read(table.concat(texts.write {})))
    assert.is_nil(texts.read(""))
  end)
end)
