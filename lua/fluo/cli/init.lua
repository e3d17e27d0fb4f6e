--- `fluo init`: a directory of rules to begin with. Writes what is not there, and never over what is.
local abi = require("fluo.abi")
local reference = require("fluo.reference")
local stubs = require("fluo.cli.stubs")

local M = {}

local RULE = [[
-- A charge that fails and is hidden by a retry: the customer pays, the error rate stays low, and nobody sees it.
rule "charge-hidden-by-retry" {
  description = "A failed charge that a retry within 5 s hides",
  severity    = "high",
  when        = trace.has { name = "charge", status = "ERROR" }
                  :followed_by { name = "charge", status = "OK" }
                  :within "5s",
  summary     = "{service}: a failed charge was hidden by a retry",
  actions     = { log "{service}: a failed charge was hidden by a retry" },
}
]]

local SPEC = [[
describe("charge-hidden-by-retry", function()
  local function charge(status, start)
    return span { name = "charge", service = "pay", status = status, start = start, duration = "20ms" }
  end

  it("fires when a failed charge is followed by one that works", function()
    trace { span { name = "POST /pay", charge("ERROR", "0s"), charge("OK", "2s") } }
    assert.fires("charge-hidden-by-retry", { spans = { "charge", "charge" } })
  end)

  it("is silent when the retry comes 5 s later", function()
    trace { span { name = "POST /pay", charge("ERROR", "0s"), charge("OK", "5s") } }
    assert.silent("charge-hidden-by-retry")
  end)
end)
]]

local LUARC = [[
{
  "runtime.version": "LuaJIT",
  "workspace.library": [".fluo", "${3rd}/busted/library", "${3rd}/luassert/library"],
  "workspace.checkThirdParty": false
}
]]

local function luacheckrc()
  local lists = { rule = {}, spec = {} }
  for _, global in ipairs(reference.globals) do
    local list = lists[global.where or "rule"]
    list[#list + 1] = ("%s  %q,"):format(#list % 8 == 0 and "\n " or "", global[1]):gsub("^  ", " ")
  end
  return ([[
std = "luajit"
exclude_files = { ".fluo" }
read_globals = {%s
}
files["**/*_spec.lua"] = { std = "luajit+busted", read_globals = {%s
  assert = { other_fields = true },
} }
]]):format(table.concat(lists.rule), table.concat(lists.spec))
end

local function files()
  return {
    { "charge_hidden_by_retry.lua", RULE }, { "charge_hidden_by_retry_spec.lua", SPEC },
    { ".luarc.json", LUARC }, { ".luacheckrc", luacheckrc() }, { ".fluo/fluo.lua", stubs.text() },
  }
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function make_folder(path)
  if os.execute(("mkdir -p -- %s"):format(quote(path))) == 0 then return true end
  return nil, "the directory cannot be made"
end

-- "wrote" or "kept", or nil and why.
local function write(path, text)
  if abi.read(path, 0) then return "kept " end
  local file, why = io.open(path, "wb")
  if not file then return nil, why end
  local good
  good, why = file:write(text)
  if not file:close() or not good then return nil, why or path .. ": cannot be written" end
  return "wrote"
end

local NEXT = [[

Next:
  fluo check %s          look for errors
  fluo test %s           run the specs (apt install lua-busted)
  fluo run --rules %s    receive traces on 127.0.0.1:4318
]]

--- Writes into a directory, made where it is not there. 0, or 1 where something cannot be written.
function M.run(path)
  path = #path > 1 and path:gsub("/+$", "") or path
  local good, why = make_folder(path .. "/.fluo")
  for _, entry in ipairs(good and files() or {}) do
    local name = path .. "/" .. entry[1]
    good, why = write(name, entry[2])
    if not good then break end
    io.stdout:write(good, " ", name, "\n")
  end
  if not good then
    io.stderr:write("fluo: ", why, "\n")
    return 1
  end
  local shown = path:find("[^%w%._/-]") and quote(path) or path
  io.stdout:write(NEXT:format(shown, shown, shown))
  return 0
end

return M
