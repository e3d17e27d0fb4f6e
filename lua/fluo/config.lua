--- The configuration, evaluated: defaults < file < FLUO_* variables < flags. Runs in a short-lived child of
-- the core (core/config.c), which bounds its time, and prints what the core is to work with:
--   key=value<tab>source     durations in ns, sizes in bytes, booleans 0 and 1, texts with %xx
--   file=…  arg=3  flag.json=1  end
-- All errors are found before the first is printed.
local alerting = require("fluo.config.alerting")
local commands = require("fluo.cli.commands")
local config_file = require("fluo.config.file")
local options = require("fluo.cli.options")
local schema = require("fluo.config.schema")
local suggest = require("fluo.suggest")
local value = require("fluo.config.value")

local M = {}

local EXIT_USAGE, EXIT_CONFIG = 2, 78
local FILE = "fluo.lua"

-- Variables that begin like ours and are not: what Kubernetes sets for a service named "fluo", and the
-- library that specifications load.
local function foreign(name)
  return name:find("^FLUO_SERVICE_") or name == "FLUO_PORT" or name:find("^FLUO_PORT_") or name == "FLUO_LIB"
end

-- ---- reading the sources --------------------------------------------------------------------------

local function add(errors, format, ...)
  errors[#errors + 1] = format:format(...)
end

-- Control characters in what a user wrote do not reach the terminal.
local function printable(text)
  return (text:gsub("%c", function(c) return ("\\x%02x"):format(c:byte()) end))
end

local function quote(any)
  local kind = type(any)
  if kind ~= "string" then return (kind == "number" or kind == "boolean") and tostring(any) or "a " .. kind end
  local cut = #any > 100 and any:sub(1, 100) .. "…" or any
  return '"' .. printable(cut) .. '"'
end

-- The nearest key, or the one that has this name in another section.
local function hint(key, names)
  local near = suggest.nearest(key, names)
  local last = key:match("[^.]*$")
  for _, name in ipairs(near and {} or names) do
    if name:match("[^.]*$") == last then near = name end
  end
  return near and ("; did you mean %s?"):format(near) or ""
end

local function of_variables(environment, errors)
  local found, names, by_variable = {}, { "FLUO_CONFIG" }, {}
  for _, entry in ipairs(schema) do
    by_variable[entry.variable] = entry
    names[#names + 1] = entry.variable
  end
  for _, pair in ipairs(environment) do
    local entry = by_variable[pair.name]
    if entry and pair.value ~= "" then
      found[#found + 1] = { key = entry.key, value = pair.value, source = pair.name }
    elseif not entry and pair.name:find("^FLUO_") and pair.name ~= "FLUO_CONFIG" and not foreign(pair.name) then
      add(errors, "unknown variable %s%s", pair.name, hint(pair.name, names))
    end
  end
  return found
end

local function environment_value(environment, name)
  for _, pair in ipairs(environment) do
    if pair.name == name and pair.value ~= "" then return pair.value end
  end
end

local function of_file(path, wanted, environment, errors)
  local text, failure = config_file.read(path)
  if not text then
    -- The file that nobody asked for may be missing.
    if wanted then errors[#errors + 1] = failure end
    return {}, nil
  end
  local function variable(name) return environment_value(environment, name) end
  local found, wrong = config_file.evaluate(path, text, schema.sections, { secret = alerting.secret_api(variable),
                                                                            env = variable })
  if not found then errors[#errors + 1] = wrong end
  return found or {}, path
end

-- Tables that are no keys of the schema are taken out of what the file holds.
local function take_alerting(in_file, file, environment, errors, sends)
  local given = {}
  for i = #in_file, 1, -1 do
    local entry = in_file[i]
    if alerting.KEYS[entry.key] then given[entry.key] = table.remove(in_file, i).value end
  end
  return alerting.check(given, file or FILE, function(name) return environment_value(environment, name) end, errors,
    sends)
end

-- ---- from values as written to values -------------------------------------------------------------

local function bounds(entry, parsed)
  local least, most = entry.min and entry.type.parse(entry.min), entry.max and entry.type.parse(entry.max)
  if least and parsed < least then return ("at least %s"):format(entry.type.show(least)) end
  if most and parsed > most then return ("at most %s"):format(entry.type.show(most)) end
end

-- How a value is written where it came from: for the example of an error.
local function example(entry, given)
  local sample = entry.type == value.path and entry.default or entry.type.example
  if given.source:sub(1, 1) == "-" then return ("%s=%s"):format(given.source, sample) end
  if given.source:find("^FLUO_") then return ("%s=%s"):format(given.source, sample) end
  local bare = entry.type == value.int or entry.type == value.bool
  return (bare and "%s = %s" or '%s = "%s"'):format(entry.key:match("[^.]*$"), sample)
end

-- "fluo.lua:3: trace.idle", "FLUO_TRACE_IDLE", "--trace.idle"
local function place(given)
  local in_file = given.source:sub(1, 1) ~= "-" and not given.source:find("^FLUO_")
  return in_file and ("%s: %s"):format(given.source, given.key) or given.source
end

-- A path in the file is relative to the file, wherever the program was started.
local function resolve(entry, given, parsed)
  local folder = given.folder
  if not folder or not entry.file_relative or parsed:sub(1, 1) == "/" then return parsed end
  if entry.type == value.output and (parsed == "stdout" or parsed == "none") then return parsed end
  return folder .. parsed
end

-- Those of the schema, its sections, and the tables beside it.
local function file_keys()
  local names = { unpack(schema.names) }
  for _, more in ipairs { schema.sections, alerting.KEYS } do
    for key in pairs(more) do names[#names + 1] = key end
  end
  table.sort(names)
  return names
end

local function apply(values, given, errors)
  local entry = schema.by_key[given.key]
  if not entry then
    local what = schema.sections[given.key] and ("%s is a section: %s = { … }"):format(given.key, given.key)
      or ("unknown key %s%s"):format(given.key, hint(given.key, file_keys()))
    return add(errors, "%s: %s", given.source, what)
  end
  local parsed, why = entry.type.parse(given.value, given.key)
  if parsed == nil then
    return add(errors, "%s: expected %s, got %s%s; for example %s", place(given), entry.type.expected,
      quote(given.value), why and (" (%s)"):format(why) or "", example(entry, given))
  end
  local outside = bounds(entry, parsed)
  if outside then
    return add(errors, "%s: has to be %s, got %s", place(given), outside, quote(given.value))
  end
  values[given.key] = { value = resolve(entry, given, parsed), source = given.source }
end

local function say(key, given)
  return ("%s (%s, %s)"):format(key, schema.by_key[key].type.show(given.value), given.source)
end

-- What only two values together can be wrong about.
local function cross_check(values, errors)
  local idle, age = values["trace.idle"], values["trace.max_age"]
  if idle.value > age.value then
    add(errors, "%s is longer than %s: no trace would ever be idle", say("trace.idle", idle),
      say("trace.max_age", age))
  end
  local trace, buffer = values["trace.bytes_max"], values["buffer.bytes_max"]
  if trace.value <= buffer.value then return end
  if trace.source == "default" then
    values["trace.bytes_max"] = { value = buffer.value, source = "buffer.bytes_max" }
  else
    add(errors, "%s is more than %s, which holds all traces", say("trace.bytes_max", trace),
      say("buffer.bytes_max", buffer))
  end
end

local function defaults()
  local values = {}
  for _, entry in ipairs(schema) do
    values[entry.key] = { value = entry.type.parse(entry.default), source = "default" }
  end
  return values
end

-- The file twice: nested and with a dot in its name.
local function check_twice(found, errors)
  local seen = {}
  for _, given in ipairs(found) do
    if seen[given.key] then add(errors, "%s: %s is given twice", given.source, given.key) end
    seen[given.key] = true
  end
end

--- Everything from the command, its arguments and the environment (a list of { name =, value = }): a table
-- of values { [key] = { value, source } }, file, flags, arguments; or nil, the errors, and the exit status.
function M.resolve(command, argv, environment)
  local line = options.parse(command, argv)
  local errors = {}
  local asked = line.file or environment_value(environment, "FLUO_CONFIG")
  local in_file, file = of_file(asked or FILE, asked ~= nil, environment, errors)
  local alerts = take_alerting(in_file, file, environment, errors, commands.by_name[command].sends)
  check_twice(in_file, errors)
  local values = defaults()
  for _, given in ipairs(in_file) do
    given.folder = file:match("^(.*/)")
    apply(values, given, errors)
  end
  for _, given in ipairs(of_variables(environment, errors)) do apply(values, given, errors) end
  local flags_from = #errors                              -- what a flag has wrong is usage, as an unknown flag is
  for _, given in ipairs(line.values) do apply(values, given, errors) end
  local of_flags = #errors - flags_from
  if #errors == 0 then cross_check(values, errors) end
  local function declared() return require("fluo.loader").declared_actions(values.rules.value) end
  alerting.check_types(alerts, declared, errors)
  local status = #errors > of_flags and EXIT_CONFIG or EXIT_USAGE
  for _, text in ipairs(line.errors) do errors[#errors + 1] = text end
  if #errors > 0 then return nil, errors, status end
  return { values = values, file = file, flags = line.flags, arguments = line.arguments, alerting = alerts }
end

-- ---- the child ------------------------------------------------------------------------------------

local function escape(text)
  return (text:gsub("[%%%c]", function(c) return ("%%%02x"):format(c:byte()) end))
end

local function plain(entry, parsed)
  if type(parsed) == "boolean" then return parsed and "1" or "0" end
  if type(parsed) == "number" then return ("%.0f"):format(parsed) end
  return entry.type == value.address and parsed or escape(parsed)
end

--- The lines for the core.
function M.encode(result)
  local lines = {}
  for _, entry in ipairs(schema) do
    lines[#lines + 1] = ("%s=%s"):format(entry.key, plain(entry, result.values[entry.key].value))
  end
  for _, text in ipairs(alerting.encode(result.alerting, escape)) do lines[#lines + 1] = text end
  if result.file then lines[#lines + 1] = "file=" .. escape(result.file) end
  for _, flag in ipairs({ "json", "fail_on_violation" }) do
    if result.flags[flag] then lines[#lines + 1] = ("flag.%s=1"):format(flag) end
  end
  for _, flag in ipairs({ "trace", "color", "widened" }) do
    if result.flags[flag] then lines[#lines + 1] = ("flag.%s=%s"):format(flag, escape(result.flags[flag])) end
  end
  for _, argument in ipairs(result.arguments) do lines[#lines + 1] = "arg=" .. argument.place end
  lines[#lines + 1] = "end\n"
  return table.concat(lines, "\n")
end

-- The variables as the kernel gave them to this process, by name: Lua has no list of them.
local function environment_of(text)
  local list = {}
  for name, content in ("\0" .. text):gmatch("%z([^=%z]+)=([^%z]*)") do
    list[#list + 1] = { name = name, value = content }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function read_environment()
  local file = io.open("/proc/self/environ", "rb")
  if not file then return {} end
  local text = file:read("*a")
  file:close()
  return environment_of(text)
end

--- What M.resolve gives with this process's environment; or nil and the exit status, the errors printed.
function M.resolve_or_say(command, argv)
  local result, errors, status = M.resolve(command, argv, read_environment())
  if result then return result end
  for _, text in ipairs(errors) do io.stderr:write("fluo: ", printable(text), "\n") end
  return nil, status
end

--- argv: the program, "--internal-config", the mode ("load" or "show"), the command, and what followed it.
function M.main(argv)
  local rest = {}
  for i = 5, #argv do rest[#rest + 1] = argv[i] end
  local result, status = M.resolve_or_say(argv[4], rest)
  if not result then return status end
  if argv[3] == "show" then return require("fluo.cli.config_show").print(result) end
  local pipe = assert(io.open("/proc/self/fd/3", "wb"))
  assert(pipe:write(M.encode(result)))
  assert(pipe:close())
  return 0
end

M.environment_of = environment_of

return M
