--- `fluo test`: the specs beside the rules.
local abi = require("fluo.abi")
local schema = require("fluo.config.schema")

local M = {}

local EXIT_FAILED, EXIT_UNABLE = 1, 2

--- The spec files of a directory, sorted; a spec file itself; that of a rule file. Or nil and why.
function M.specs(path)
  path = #path > 1 and path:gsub("/+$", "") or path
  if not abi.is_folder(path) then
    local spec = path:find("_spec%.lua$") and path or path:gsub("%.%w+$", "") .. "_spec.lua"
    for _, file in ipairs { path, spec } do
      local text, why = abi.read(file, 0)
      if not text then return nil, ("%s cannot be read: %s"):format(file, why) end
    end
    return { spec }
  end
  local names, why = abi.list(path)
  if not names then return nil, ("%s cannot be read: %s"):format(path, why) end
  local list = {}
  for _, name in ipairs(names) do
    if name:find("_spec%.lua$") and not name:find("^%.") then list[#list + 1] = path .. "/" .. name end
  end
  if #list == 0 then
    return nil, ("no specs in %s: x_spec.lua stands beside x.lua; `fluo init` writes an example of both"):format(path)
  end
  return list
end

--- What of a configuration the judging has to be told: the file, and what came by flags. Variables it sees itself.
function M.flags(config)
  local flags = {}
  if config.file then flags[1] = "--config=" .. config.file end
  for _, entry in ipairs(schema) do
    local given = config.values[entry.key]
    if given.source:sub(1, 2) == "--" and entry.key ~= "rules" then
      flags[#flags + 1] = ("%s=%s"):format(entry.flag, entry.type.show(given.value))
    end
  end
  return flags
end

local function say(text)
  io.stderr:write("fluo: ", text, "\n")
  return EXIT_UNABLE
end

-- On a terminal, unless told otherwise (no-color.org).
local function coloured()
  return os.getenv("NO_COLOR") == nil and os.getenv("TERM") ~= "dumb" and os.execute("test -t 1") == 0
end

local function write_junit(path, results)
  local file, why = io.open(path, "wb")
  if not file then return nil, why end
  local good
  good, why = file:write(require("fluo.testing.report").junit(results))
  file:close()
  return good, why
end

--- config: what fluo.config resolved. 0: all passed; 1: some did not; 2: none could run.
function M.run(config)
  local argument = config.arguments[1]
  local files, why = M.specs(argument and argument.text or config.values.rules.value)
  if not files then return say(why) end
  local ran
  ran, why = require("fluo.testing.runner").run(files, { flags = M.flags(config), filter = config.flags.filter })
  if not ran then return say(why) end
  if #ran.results == 0 then return say("no test ran: the specs hold none, or none of that name") end
  local report = require("fluo.testing.report")
  io.stdout:write(config.flags.json and report.json(ran.results) or report.text(ran.results, coloured()))
  if config.flags.junit then
    local good
    good, why = write_junit(config.flags.junit, ran.results)
    if not good then return say("the report cannot be written: " .. why) end
  end
  local sum = report.sum(ran.results)
  return sum.failure + sum.error > 0 and EXIT_FAILED or 0
end

return M
