-- `fluo repl`: lines from a pipe and from a terminal, judged by the real engine.
local cjson = require("cjson")
local replay = require("spec.replay")

local path

local function ask(lines, flags)
  local input = os.tmpname()
  replay.write(input, table.concat(lines, "\n") .. "\n")
  local status, out, err = replay.shell(("%s repl %s %s <%s"):format(replay.fluo, flags or "", path, input))
  os.remove(input)
  -- Under a sanitizer there is no filter, and that is said.
  return (out:gsub("warning: rules run without a system call filter[^\n]*\n", "")), status, err
end

describe("repl", function()
  setup(function()
    path = os.tmpname()
    local spans = { replay.span { name = "pay", service = "shop", status = "ERROR", dur = 12, attr = { ["http.status_code"] = 500 } },
                    replay.span { name = "pay", id = "again", service = "shop", at = 50 } }
    for i = 1, 7 do spans[#spans + 1] = replay.span { name = "GET", trace = "t" .. i, id = "g" .. i, service = "web" } end
    replay.write(path, cjson.encode(replay.request(spans)) .. "\n")
  end)
  teardown(function() os.remove(path) end)

  it("says how many spans match and shows the first, with what was asked about", function()
    assert.same({ "1 span\n  " .. replay.trace_id("t"):sub(1, 8) .. "  shop  pay  12 ms ERROR  http.status_code=500\n", 0, "" },
      { ask { '{ service = "shop", ["http.response.status_code"] = 500 }' } })
    local out = ask { '{ service = "web" }' }
    assert.truthy(out:find("^7 spans\n"))
    assert.truthy(out:find("\n  … and 2 more\n$"))
    assert.equal("nothing matches\n", (ask { '{ name = "x" }' }))
  end)

  it("says which traces a condition holds in, and by which spans", function()
    local out = ask { 'trace.has { status = "ERROR" }:followed_by { name = "pay", status = "OK" }' }
    assert.truthy(out:find("^1 trace\n  trace " .. replay.trace_id("t") .. "\n    .*pay  12 ms ERROR\n    .*pay  10 ms\n$"), out)
  end)

  it("shows what is wrong below the line, as check does, goes on, and ends with 1", function()
    local out, status = ask { '{ kind = "SERVR" }', "{ name = ", "", '{ name = "pay" }' }
    assert.truthy(out:find('error: unknown kind `SERVR`\n    { kind = "SERVR" }\n              ^\n', 1, true), out)
    assert.falsy(out:find(".lua", 1, true), out)
    assert.truthy(out:find("\n2 spans\n", 1, true), out)
    assert.equal(1, status)
  end)

  it("stops a loop without an end, and takes nothing from outside of the sandbox", function()
    local out, status = ask { '{ name = "pay", where = function(s) while true do end end }',
                              '{ name = "pay", where = function(s) return os.execute("true") end }' }
    assert.truthy(out:find("rule repl was stopped: it ran for too long", 1, true), out)
    assert.truthy(out:find("os", 1, true))
    assert.falsy(out:find("span%w*\n"), out)
    assert.equal(1, status)
  end)

  it("refuses a file that is no recording", function()
    local status, _, err = replay.shell(replay.fluo .. " repl README.md </dev/null")
    assert.same({ 1, 1 }, { status, (err:find("fluo: README.md: neither", 1, true)) })
  end)

  it("has history and completion of keys, fields and values on a terminal", function()
    local status, out, err = replay.shell(("python3 spec/lua/cli/terminal.py %s repl %s"):format(replay.fluo, path))
    assert.equal(0, status, out .. err)
  end)
end)
