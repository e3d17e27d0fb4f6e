--- The command line: flags for every key of the configuration, and those of the command itself.
--   --trace.idle=5s   --trace.idle 5s   --skip-broken   -c fluo.lua   --   (what follows is no flag)
local commands = require("fluo.cli.commands")
local schema = require("fluo.config.schema")
local suggest = require("fluo.suggest")
local value = require("fluo.config.value")

local M = {}

-- Every flag by its name without dashes, "-" and "_" being one: { key = } or { flag = } or { file = true }.
local function known(command)
  local flags, names = {}, {}
  local function add(name, meaning)
    flags[name:gsub("%-", "_")] = meaning
    names[#names + 1] = "--" .. name
  end
  for _, entry in ipairs(schema) do add(entry.flag:sub(3), { key = entry.key, bare = entry.type == value.bool }) end
  for _, flag in ipairs(command.flags) do
    add(flag.name, { flag = flag.name:gsub("%-", "_"), bare = not flag.value, type = flag.type,
                     repeated = flag.repeated })
  end
  add("config", { file = true })
  add("help", { help = true, bare = true })
  return flags, names
end

-- The value of the flag at argv[at]: it, and the index of the last argument used; or nil.
local function value_of(argv, at, written, meaning)
  if written then return written, at end
  if meaning.bare then return "true", at end
  if argv[at + 1] then return argv[at + 1], at + 1 end
  return nil, at
end

-- A flag of the command itself: one that takes a value, or one that is there, or with a value that says so.
local function set_flag(result, meaning, name, text)
  local on = value.bool.parse(text)
  if not meaning.bare then on = text end
  local expected = value.bool.expected
  if meaning.type then
    on, expected = meaning.type.parse(text), meaning.type.expected
  end
  if on == nil then
    result.errors[#result.errors + 1] = ("%s: expected %s, got %q"):format(name, expected, text)
  elseif meaning.repeated then
    result.flags[meaning.flag] = result.flags[meaning.flag] or {}
    table.insert(result.flags[meaning.flag], on)
  else
    result.flags[meaning.flag] = on
  end
end

local function take(result, meaning, name, text)
  if meaning.file then result.file = text
  elseif meaning.help then
    result.errors[#result.errors + 1] = "--help stands at the end"
  elseif meaning.flag then set_flag(result, meaning, name, text)
  elseif meaning.key then result.values[#result.values + 1] = { key = meaning.key, value = text, source = name }
  end
end

local function flag(result, argv, at, flags, names)
  local name, written = argv[at]:match("^(%-[^=]*)=(.*)$")
  name = name or argv[at]
  local meaning = name == "-c" and flags.config or flags[(name:match("^%-%-(.+)$") or ""):gsub("%-", "_")]
  if not meaning then
    local hint = suggest.hint(name, names)
    result.errors[#result.errors + 1] = ("unknown flag %s%s"):format(name, hint and "; " .. hint or "")
    return at
  end
  local text, last = value_of(argv, at, written, meaning)
  if text then take(result, meaning, name, text)
  else result.errors[#result.errors + 1] = ("%s needs a value"):format(name) end
  return last
end

local function check_count(result, command)
  local least, most = command.arguments[1], command.arguments[2]
  local problem = #result.arguments < least and "something is missing" or #result.arguments > most
    and ("unexpected argument %q"):format(result.arguments[most + 1].text)
  if problem then result.errors[#result.errors + 1] = ("%s; usage: %s"):format(problem, command.usage) end
end

--- argv: what follows the command. { values = {{ key, value, source }}, file = path or nil, flags = set,
-- arguments = {{ place, text }}, errors = texts }.
function M.parse(command_name, argv)
  local command = commands.by_name[command_name] or error("no such command: " .. tostring(command_name), 2)
  local flags, names = known(command)
  local result = { values = {}, flags = {}, arguments = {}, errors = {} }
  local at, only_arguments = 1, false
  while at <= #argv do
    local text = argv[at]
    if only_arguments or text == "-" or text:sub(1, 1) ~= "-" then
      result.arguments[#result.arguments + 1] = { place = at, text = text }
    elseif text == "--" then only_arguments = true
    else at = flag(result, argv, at, flags, names)
    end
    at = at + 1
  end
  if #result.errors == 0 then check_count(result, command) end
  return result
end

return M
