local commands = require("fluo.cli.commands")
local help = require("fluo.cli.help")
local schema = require("fluo.config.schema")

-- What `fluo LINE` prints, stdout and stderr apart, and its exit status.
local function fluo(line)
  local script = "package.path = 'lua/?.lua;' .. package.path "
    .. "os.exit(require('fluo.cli').main({ 'fluo', unpack(arg) }))"
  local path = os.tmpname()
  local pipe = io.popen(('luajit -e "%s" x %s 2>%s; echo $?'):format(script, line, path))
  local text = pipe:read("*a")
  pipe:close()
  local file = io.open(path)
  local said = file:read("*a")
  file:close()
  os.remove(path)
  local out, status = text:match("^(.-)(%d+)\n$")
  return out, said, tonumber(status)
end

describe("help", function()
  it("names every command on its first page", function()
    local text = help.overview()
    for _, command in ipairs(commands) do
      assert.truthy(text:find(("\n  %s +%s\n"):format(command.name, command.summary:gsub("%p", "%%%0"))), command.name)
    end
  end)

  for _, command in ipairs(commands) do
    it("has a page with examples for " .. command.name, function()
      local text = help.page(command)
      assert.equal(1, (text:find("Usage: " .. command.usage, 1, true)))
      for _, example in ipairs(command.examples) do assert.truthy(text:find(example[1], 1, true)) end
      for _, entry in ipairs(command.plain and {} or schema) do
        assert.truthy(text:find("\n  " .. entry.flag, 1, true), entry.flag)
      end
      for line in text:gmatch("[^\n]+") do assert.is_true(#line <= 116, line) end
    end)
  end

  for _, line in ipairs { "help run", "run --help", "run -h", "run --rules x --help" } do
    it("is what `fluo " .. line .. "` prints, with 0", function()
      assert.same({ help.page(commands.by_name.run), "", 0 }, { fluo(line) })
    end)
  end

  for _, line in ipairs { "help", "--help", "-h", "help help" } do
    it("is its first page for `fluo " .. line .. "`", function()
      assert.same({ help.overview(), "", 0 }, { fluo(line) })
    end)
  end

  it("of two words is that of `config show`", function()
    assert.same({ help.page(commands.by_name["config show"]), "", 0 }, { fluo("help config show") })
    assert.same({ help.page(commands.by_name["config show"]), "", 0 }, { fluo("config show --help") })
  end)

  local unknown = {
    { "chek rules/", "unknown command chek; did you mean check?" },
    { "config sho", "unknown command config sho; did you mean config show?" },
    { "frobnicate", "unknown command frobnicate\n" }, { "--hlp", "unknown flag --hlp\n" },
    { "help replya", "unknown command replya; did you mean replay?" },
    { "\"a$(printf '\\033')\"", "unknown command a?" },
  }
  for _, case in ipairs(unknown) do
    it("knows what `fluo " .. case[1] .. "` may have meant, with 2", function()
      local out, said, status = fluo(case[1])
      assert.same({ "", 2 }, { out, status })
      assert.truthy(said:find("fluo: " .. case[2], 1, true), said)
    end)
  end

  it("goes to stderr where nothing was asked", function()
    assert.same({ "", help.overview(), 2 }, { fluo("") })
  end)
end)
