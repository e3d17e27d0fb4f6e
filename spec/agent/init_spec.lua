-- `fluo init`: what it writes works at once, and what is there stays.
local replay = require("spec.replay")

local folder

local function run(command) return replay.shell(("timeout 60 %s %s"):format(replay.fluo, command)) end

local function read(name)
  local file = assert(io.open(folder .. "/" .. name))
  local text = file:read("*a")
  file:close()
  return text
end

before_each(function()
  folder = os.tmpname()
  os.remove(folder)
end)
after_each(function() os.execute("rm -rf " .. folder) end)

describe("fluo init", function()
  it("writes rules that check without a word, and specs that pass", function()
    local status, out = run("init " .. folder)
    assert.equal(0, status)
    assert.truthy(out:find("wrote " .. folder .. "/.luarc.json\n", 1, true), out)
    assert.truthy(out:find("Next:\n  fluo check " .. folder, 1, true), out)
    status, out = run("check " .. folder)
    assert.same({ 0, "1 rule, 0 errors, 0 warnings\n" }, { status, out })
    status, out = run("test " .. folder)
    assert.equal(0, status, out)
  end)

  it("writes what luacheck needs to have nothing to say", function()
    run("init " .. folder)
    local status, out = replay.shell(("cd %s && luacheck -q ."):format(folder))
    assert.equal(0, status, out)
  end)

  it("writes the stubs, where .luarc.json says", function()
    run("init " .. folder)
    assert.same({ ".fluo", "${3rd}/busted/library", "${3rd}/luassert/library" },
      require("cjson").decode(read(".luarc.json"))["workspace.library"])
    assert.equal(require("fluo.cli.stubs").text(), read(".fluo/fluo.lua"))
  end)

  it("never writes over a file", function()
    os.execute("mkdir " .. folder)
    replay.write(folder .. "/.luarc.json", "{ mine }")
    local status, out = run("init " .. folder)
    assert.equal(0, status)
    assert.truthy(out:find("kept  " .. folder .. "/.luarc.json\n", 1, true), out)
    assert.equal("{ mine }", read(".luarc.json"))
  end)

  it("says so where it cannot write", function()
    replay.write(folder, "a file")
    local status, _, err = run("init " .. folder)
    assert.equal(1, status)
    assert.truthy(err:find("fluo: the directory cannot be made", 1, true), err)
  end)
end)
