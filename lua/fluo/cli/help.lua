--- Help: `fluo --help`, `fluo help COMMAND`, `fluo COMMAND --help`, and what is said to a command that does
-- not exist. main takes the command line after the program's name.
local commands = require("fluo.cli.commands")
local schema = require("fluo.config.schema")
local suggest = require("fluo.suggest")
local value = require("fluo.config.value")

local M = {}

local function rows(list)
  local width, lines = 0, {}
  for _, row in ipairs(list) do width = math.max(width, #row[1]) end
  for _, row in ipairs(list) do
    lines[#lines + 1] = ("  %-" .. width .. "s  %s"):format(row[1], row[2] or ""):gsub("%s+$", "")
  end
  return table.concat(lines, "\n")
end

--- The first page.
function M.overview()
  local list = {}
  for _, command in ipairs(commands) do list[#list + 1] = { command.name, command.summary } end
  return ([[
fluo: behavioral assurance for OpenTelemetry. Takes traces in, judges them against rules, says what is violated.

Usage: fluo COMMAND [FLAG…]

Commands:
%s

Start here:
  fluo run --rules rules/                      receive on 127.0.0.1:4318; point an SDK at it with
                                               OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318
  fluo check rules/                            look for errors in rules
  fluo replay --rules rules/ traces.jsonl      judge recorded traces

`fluo help COMMAND` says more about each.
]]):format(rows(list))
end

local function flags(command)
  local list = { { "-c, --config=FILE", "configuration file (fluo.lua where there is one)" } }
  for _, flag in ipairs(command.flags) do
    list[#list + 1] = { "--" .. flag.name .. (flag.value and "=" .. flag.value or ""), flag.help }
  end
  for _, entry in ipairs(schema) do
    local default = entry.type.show(entry.type.parse(entry.default))
    -- A switch that is off needs no value to be turned on.
    local switch = entry.type == value.bool and default == "false"
    list[#list + 1] = { switch and entry.flag or entry.flag .. "=" .. default, entry.help }
  end
  return list
end

--- The page of one command.
function M.page(command)
  local examples = {}
  for i, line in ipairs(command.examples) do examples[i] = { line[1], line[2] and "# " .. line[2] } end
  local parts = { "Usage: " .. command.usage, command.text, "Examples:\n" .. rows(examples) }
  if not command.plain then
    parts[#parts + 1] = "Flags, with their defaults:\n" .. rows(flags(command))
    parts[#parts + 1] = [[
Each key is also a variable (--trace.idle is FLUO_TRACE_IDLE) and a key of the file:
  return { trace = { idle = "5s" }, log = { level = "debug" } }
Flags go over variables, variables over the file. `fluo config show` prints what results.]]
  end
  return table.concat(parts, "\n\n") .. "\n"
end

-- The command that the words name: "config show" is two of them, and there is no other `config`.
local function find(words)
  if words[1] ~= "config" then return commands.by_name[words[1]] end
  return (words[2] or "show") == "show" and commands.by_name["config show"] or nil
end

-- The words before the first flag.
local function words_of(argv)
  local words = {}
  for _, word in ipairs(argv) do
    if word:sub(1, 1) == "-" then break end
    words[#words + 1] = word
  end
  if words[1] == "help" and #words > 1 then table.remove(words, 1) end
  return words
end

local function printable(word)
  return (word:sub(1, 60):gsub("%c", "?"))
end

function M.main(argv)
  local words = words_of(argv)
  if #argv == 0 then
    io.stderr:write(M.overview())
    return 2
  end
  if #words == 0 and (argv[1] == "--help" or argv[1] == "-h") or words[1] == "help" then
    io.stdout:write(M.overview())
    return 0
  end
  local command = #words > 0 and find(words)
  if command then
    io.stdout:write(M.page(command))
    return 0
  end
  local wrong = words[1] == "config" and "config " .. (words[2] or "") or words[1] or argv[1]
  local near = suggest.nearest(wrong, commands.names) or words[1] == "config" and "config show"
  io.stderr:write(("fluo: unknown %s %s%s\n`fluo --help` lists the commands.\n"):format(
    #words > 0 and "command" or "flag", printable(wrong), near and ("; did you mean %s?"):format(near) or ""))
  return 2
end

return M
