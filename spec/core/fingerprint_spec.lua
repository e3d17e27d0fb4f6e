-- What tells one state of the rule files from another without reading them.
local support = require("spec.support")
local core, ffi = support.core("hash", "fingerprint")

local KEY = ffi.new("struct hash_key", { 1, 2 })

local function of(path)
  local f = core.fingerprint_of(KEY, path)
  return ("%x %x"):format(tonumber(f.a), tonumber(f.b))
end

describe("a fingerprint", function()
  local path
  before_each(function()
    path = os.tmpname()
    os.remove(path)
    os.execute(("mkdir -p %s/lib/deep %s/other"):format(path, path))
    os.execute(("cd %s && echo 1 > a.lua && echo 2 > lib/deep/m.lua"):format(path))
  end)
  after_each(function() os.execute("rm -rf " .. path) end)

  local function changes(command, of_path)
    local before = of(path .. (of_path or ""))
    os.execute(("cd %s && %s"):format(path, command))
    return of(path .. (of_path or "")) ~= before
  end

  it("stays while nothing happens", function() assert.is_false(changes "cat a.lua > /dev/null") end)

  it("is another when a file changes in size, time or inode, comes, goes, or is named otherwise", function()
    for _, command in ipairs { "echo 3 >> a.lua", "touch -d '2020-01-01' a.lua", "cp -p a.lua .b && mv .b a.lua",
                               "echo > c.lua", "mv c.lua d.lua", "rm d.lua", "chmod 0 a.lua" } do
      assert.is_true(changes(command), command)
    end
  end)

  it("sees the modules of lib/, not other folders nor hidden names", function()
    assert.is_true(changes "echo 3 >> lib/deep/m.lua")
    assert.is_true(changes "rm -r lib")
    assert.is_false(changes "echo > other/x.lua; echo > README.md; echo >> violations.jsonl; mkdir more")
    assert.is_false(changes "echo > .hidden.lua; echo > _x.lua")
  end)

  it("follows links", function()
    os.execute(("cd %s && mkdir .1 .2 && echo > .1/x && echo > .2/x"):format(path))
    os.execute(("cd %s && ln -s .1 .data && ln -s .data/x x.lua"):format(path))
    assert.is_true(changes "ln -sfn .2 .data")
  end)

  it("of one file is that of the file and the lib/ beside it", function()
    assert.is_true(changes("echo 3 >> a.lua", "/a.lua"))
    assert.is_true(changes("echo 3 >> lib/deep/m.lua", "/a.lua"))
    assert.is_false(changes("echo > b.lua", "/a.lua"))
  end)

  it("is another when the directory goes, and the same when it comes back", function()
    local before = of(path)
    os.execute(("mv %s %s.away"):format(path, path))
    assert.is_true(of(path) ~= before)
    os.execute(("mv %s.away %s"):format(path, path))
    assert.equal(before, of(path))
  end)
end)
