require("spec.lua.rulefiles")
local check = require("fluo.cli.check")

local function run(path, options)
  local pieces = {}
  options = options or {}
  options.out = { write = function(_, ...) for _, piece in ipairs { ... } do pieces[#pieces + 1] = piece end end }
  return check.run(path, options), table.concat(pieces)
end

describe("fluo check", function()
  it("counts rules, errors and warnings, and gives 0 when all is well", function()
    local status, text = run("spec/fixtures/rules/mixed.lua")
    assert.equal("2 rules, 0 errors, 0 warnings\n", text)
    assert.equal(0, status)
  end)

  it("prints every error of every file with its place, and gives 1", function()
    local status, text = run("spec/fixtures/broken")
    assert.equal(1, status)
    assert.is_truthy(text:find("spec/fixtures/broken/unknown_key.lua:3:3: error: unknown key `sevrity`\n", 1, true))
    assert.is_truthy(text:find("  hint: did you mean `severity`?\n", 1, true))
    assert.is_truthy(text:find("%d+ errors, %d+ warnings?\n$"))
  end)

  it("prints one JSON object a line for programs", function()
    local _, text = run("spec/fixtures/broken/unknown_mode.lua", { json = true })
    assert.equal('{"severity":"error","file":"spec/fixtures/broken/unknown_mode.lua","line":2,"column":20,'
      .. '"message":"unknown mode `Shadow`","hint":"did you mean `shadow`?"}\n', text)
  end)

  it("says which path it could not read", function()
    local status, text = run("spec/nowhere")
    assert.equal(1, status)
    assert.is_truthy(text:find("spec/nowhere:1:1: error: cannot be read: No such file or directory", 1, true))
  end)

  it("says that a directory holds no rule file, which is no error", function()
    local path = os.tmpname()
    os.remove(path)
    assert(os.execute("mkdir " .. path) == 0)
    local status, text = run(path)
    os.execute("rmdir " .. path)
    assert.same({ 0, "0 rules, 0 errors, 0 warnings\n  hint: there is no rule file in " .. path .. "\n" }, { status, text })
  end)

  it("ends with 0 on warnings, and with 1 where it is told to be strict", function()
    local file = os.tmpname() .. ".lua"
    local out = assert(io.open(file, "w"))
    out:write('rule "r" { mode = "shadow", when = { x = gt "abc" } }\nrule "s" { when = {} } -- fluo: allow always-fires\n')
    out:close()
    local status, text = run(file)
    local strict = run(file, { strict = true })
    local _, json = run(file, { json = true })
    os.remove(file)
    assert.same({ 0, 1 }, { status, strict })
    assert.is_truthy(text:find(":1:46: warning: `abc` is not a number, so `gt` never holds [never-holds]\n", 1, true), text)
    assert.is_truthy(text:find("\n2 rules, 0 errors, 1 warning; 1 in shadow, 1 warning allowed\n", 1, true), text)
    assert.is_truthy(json:find('{"severity":"warning","code":"never-holds","file":', 1, true), json)
  end)
end)
