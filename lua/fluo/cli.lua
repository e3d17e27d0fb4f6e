--- The commands that serve nothing: check, help, and what is said where there is no such command. `run`,
-- `replay` and `config show` never come here: they belong to the core.
local M = {}

local function tail(list, from)
  local result = {}
  for i = from, #list do result[#result + 1] = list[i] end
  return result
end

local function check(argv)
  local result, status = require("fluo.config").resolve_or_say("check", argv)
  if not result then return status end
  local argument = result.arguments[1]
  local path = argument and argument.text or result.values.rules.value
  return require("fluo.cli.check").run(path, { json = result.flags.json or false })
end

local function wants_help(argv)
  local last = argv[#argv]
  return last == "--help" or last == "-h"
end

--- argv: the program and its command line.
function M.main(argv)
  local line = tail(argv, 2)
  if line[1] == "check" and not wants_help(line) then return check(tail(line, 2)) end
  return require("fluo.cli.help").main(line)
end

return M
