--- The commands that serve nothing: check, convert, test, init, record, fields, repl, query, tune, notify, help, those
-- that ask a running agent, and what is said where there is no such command. `run`, `replay`, `explain` and `config
-- show` never come here: they belong to the core.
local M = {}

local function tail(list, from)
  local result = {}
  for i = from, #list do result[#result + 1] = list[i] end
  return result
end

-- What `fluo check` can say only of an agent that is configured so.
local function limits(config)
  return { max_age_ns = config.values["trace.max_age"].value, spans_max = config.values["trace.spans_max"].value }
end

-- Each takes what fluo.config resolved, and gives the exit status.
local COMMANDS = {}

function COMMANDS.check(config)
  local argument = config.arguments[1]
  local path = argument and argument.text or config.values.rules.value
  local specs = config.values.require_specs.value and require("fluo.cli.test").flags(config) or nil
  return require("fluo.cli.check").run(path, { json = config.flags.json or false, specs = specs,
    strict = config.flags.strict or false, limits = limits(config) })
end

function COMMANDS.convert(config) return require("fluo.cli.convert").run(config.arguments[1].text) end

function COMMANDS.init(config)
  local argument = config.arguments[1]
  return require("fluo.cli.init").run(argument and argument.text or config.values.rules.value)
end

function COMMANDS.record(config) return require("fluo.cli.record").run(config) end

function COMMANDS.fields(config) return require("fluo.cli.fields").run(config) end

function COMMANDS.repl(config) return require("fluo.cli.repl").run(config) end

function COMMANDS.query(config) return require("fluo.cli.query").run(config) end

function COMMANDS.tune(config) return require("fluo.cli.tune").run(config) end

function COMMANDS.notify(config) return require("fluo.cli.notify").run(config) end

function COMMANDS.test(config) return require("fluo.cli.test").run(config) end

function COMMANDS.incidents(config) return require("fluo.cli.incidents").run(config) end

function COMMANDS.ack(config) return require("fluo.cli.incidents").change(config, "ack") end

function COMMANDS.resolve(config) return require("fluo.cli.incidents").change(config, "resolve") end

function COMMANDS.show(config) return require("fluo.cli.show").run(config) end

function COMMANDS.tail(config) return require("fluo.cli.tail").run(config) end

function COMMANDS.silence(config) return require("fluo.cli.silence").run(config) end

function COMMANDS.feedback(config) return require("fluo.cli.feedback").run(config) end

local function wants_help(argv)
  local last = argv[#argv]
  return last == "--help" or last == "-h"
end

--- argv: the program and its command line.
function M.main(argv)
  local line = tail(argv, 2)
  local command = COMMANDS[line[1]]
  if not command or wants_help(line) then return require("fluo.cli.help").main(line) end
  local config, status = require("fluo.config").resolve_or_say(line[1], tail(line, 2))
  return config and command(config) or status
end

return M
