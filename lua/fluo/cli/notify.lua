--- `fluo notify`: an alert, sent now by a receiver of the configuration or an action of the rules, through a post room
-- as the agent's (core/notify.c); and the sources of the types that are built in.
local abi = require("fluo.abi")
local alerting = require("fluo.config.alerting")
local example = require("fluo.action.example")
local loader = require("fluo.loader")
local suggest = require("fluo.suggest")
local texts = require("fluo.texts")
local types = require("fluo.config.receiver_types")
local ffi = abi.ffi

local M = {}

local ALERT_BYTES_MAX = 1000000
local OK, RETRY = 0, 1
local function say(format, ...)
  io.stderr:write("fluo: ", format:format(...), "\n")
  return 1
end

-- ---- the alert --------------------------------------------------------------------------------------

local function random_id()
  local file = assert(io.open("/dev/urandom", "rb"))
  local bytes = file:read(16)
  file:close()
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function read_alert(path)
  local file, why = io.stdin, nil
  if path ~= "-" then file, why = io.open(path, "rb") end
  if not file then return nil, why end
  local text = file:read(ALERT_BYTES_MAX + 1)
  if path ~= "-" then file:close() end
  if not text or not text:find("^%s*{") then return nil, path .. ": no JSON object" end
  if #text > ALERT_BYTES_MAX then return nil, path .. ": an alert has at most 1 MB" end
  return text
end

-- ---- names ------------------------------------------------------------------------------------------

-- The receivers, and the actions of the rules; the rule files.
local function known(config)
  local names, path = alerting.names(config.alerting), config.values.rules.value
  for _, name in ipairs(loader.declared_actions(path)) do names[#names + 1] = name end
  local sources = loader.read(path)
  local files, modules = {}, loader.modules(sources)
  for _, source in ipairs(sources.files) do
    if not source.module then files[#files + 1] = { file = source.file, text = source.text, modules = modules } end
  end
  return names, table.concat(texts.write(files))
end

local function is_among(name, names)
  for _, each in ipairs(names) do
    if each == name then return true end
  end
  return false
end

local function say_unknown(name, names)
  if name == "log" then return say("log is no receiver: it writes into the agent's own log") end
  local near = suggest.nearest(name, names)
  if #names == 0 then
    return say("there is no receiver %s: the configuration has none, and no rule file declares an action", name)
  end
  return say("there is no receiver or action %s%s", name,
    near and ("; did you mean %s?"):format(near) or ("; there are " .. table.concat(names, ", ")))
end

-- ---- sending ----------------------------------------------------------------------------------------

local function report(name, done, is_dry)
  local text = ffi.string(done.text, done.text_bytes)
  local behind = text ~= "" and ": " .. text or ""
  if done.result == OK then
    io.stdout:write(is_dry and ("%s: nothing was sent\n"):format(name) or ("%s: delivered%s\n"):format(name, behind))
    return 0
  end
  local again = done.retry_after_s > 0 and (" after %d s"):format(done.retry_after_s) or ""
  io.stdout:write(("%s: not delivered%s%s\n"):format(name, done.result == RETRY
    and (", to be tried again%s"):format(again) or ", and never will be", behind))
  return 1
end

local function send(config, name, alert)
  local names, files = known(config)
  if not is_among(name, names) then return say_unknown(name, names) end
  local is_dry = config.flags.dry_run or nil
  local setup, done = alerting.setup(config.alerting, is_dry), ffi.new("struct fluo_notified")
  local asked = ffi.new("struct fluo_notify", { setup = setup, setup_bytes = #setup, texts = files,
    texts_bytes = #files, receiver = name, alert = alert, alert_bytes = #alert })
  io.stdout:flush()
  if abi.C.fluo_notify(asked, done) ~= 0 then
    return say("no process can be started: %s", ffi.string(done.text, done.text_bytes))
  end
  return report(name, done, is_dry)
end

local function print_source(name)
  local texts_of_types = require("fluo.builtins")
  local text = texts_of_types[types.ALIASES[name] or name]
  if not text then
    local near = suggest.nearest(name, types.NAMES)
    return say("there is no type %s%s", name, near and ("; did you mean %s?"):format(near)
      or "; there are " .. table.concat(types.NAMES, ", "))
  end
  if text:find("%f[%w]errand%.") then
    say("%s uses `errand`, which only what is built in has: a copy of it does not load", name)
  end
  io.stdout:write(text)
  return 0
end

--- config: what fluo.config resolved.
function M.run(config)
  local name, file = unpack(config.arguments)
  if config.flags.print then return print_source(config.flags.print) end
  if not name then return say("the name of a receiver is missing; usage: fluo notify [-c FILE] NAME") and 2 end
  if file and (config.flags.example or config.flags.resolved) then
    return say("%s is the alert: --example and --resolved are of the example", file.text) and 2
  end
  local alert, why
  if file then alert, why = read_alert(file.text)
  else alert = example.text(name.text, random_id(), os.time(), config.flags.resolved) end
  if not alert then return say("%s", why) end
  return send(config, name.text, alert)
end

return M
