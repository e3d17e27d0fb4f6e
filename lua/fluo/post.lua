--- The post room: runs alert actions, each delivery in a coroutine of its own. core/postroom.c calls open once, then
-- deliver for each alert and turn whenever something may go on.
--
-- A receiver is an action with settings: those of the configuration name its type; an action that a rule names has
-- none. Built-in types are files as users write them (action/load.lua); a user's action of that name is used in its
-- place.
local abi = require("fluo.abi")
local action = require("fluo.action")
local load_actions = require("fluo.action.load")
local outcome = require("fluo.action.outcome")
local sandbox = require("fluo.sandbox")
local texts = require("fluo.texts")
local transport = require("fluo.action.transport")
local ffi = abi.ffi

local M = {}

--- An action that has not ended by then is given up and tried again.
M.DELIVERY_MS = 60000
--- POSTROOM_TEXT_BYTES.
M.TEXT_BYTES = 1024
--- Lines for the log, of one delivery: it is everybody's.
M.NOTES = 50

local setup, pulse, json
local actions = {}                   -- by name
local deliveries = {}                -- by number
local finished = {}                  -- what turn hands out
local now_ms = 0
local running                        -- the delivery whose action runs

-- ---- actions ----------------------------------------------------------------------------------------

local function action_of(name)
  if not actions[name] then actions[name] = load_actions.builtin(name) end
  return actions[name]
end

-- ---- the runtime that actions call --------------------------------------------------------------------

local function pulse_begin(number)
  pulse.rule, pulse.call, pulse.running = number % 2 ^ 32, pulse.call + 1, 1
end

-- Text for whoever tries an action out, in frames that are full but for the last.
local function show(text)
  text = outcome.scrub(text, setup)
  for at = 1, #text + 1, M.TEXT_BYTES do finished[#finished + 1] = text:sub(at, at + M.TEXT_BYTES - 1) end
end

-- Runs in the delivery's coroutine: waits for what was begun. id nil: it was not, and why.
local function wait(id, why)
  local response = id and coroutine.yield(id) or { error = why }
  running.worst = outcome.worse(running.worst, response)
  return response
end

local function check_thread()
  if coroutine.running() ~= running.thread then
    error("an action makes its requests itself, not in a coroutine of its own", 4)
  end
end

local function request(asked)
  check_thread()
  if setup.dry_run then
    show(transport.show(asked, json))
    return { status = 200, body = "", headers = {} }
  end
  local id, why = transport.send(asked, setup, json, running.settings)
  return wait(id, why)
end

local function errand(asked)
  check_thread()
  if asked.words[1] == "exec" and not setup.exec then
    return wait(nil, "programs are run only with actions = { exec = true }")
  end
  if setup.dry_run then
    show(("%s\n\n%s\n"):format(table.concat(asked.words, " "), asked.input))
    return { exit = 0, text = "" }
  end
  local due = now_ms + transport.timeout_ms(asked)
  if due < running.due then running.due, running.what = due, asked.what end
  return wait(transport.errand(asked))
end

local function note(text)
  running.notes = running.notes + 1
  if running.notes > M.NOTES then return end
  if running.notes == M.NOTES then text = "it has more to say, which is left out: " .. text end
  local line = outcome.scrub(("%s: %s"):format(running.receiver, text), setup)
  finished[#finished + 1] = action.cut(line, M.TEXT_BYTES - 1)
end

local function runtime()
  return { request = request, errand = errand, json = json, hmac = transport.hmac, env = setup.env or {},
           secrets = setup.secrets or {},
           now = function(seconds) return os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + seconds) end, unix = os.time,
           log = note }
end

-- ---- deliveries ---------------------------------------------------------------------------------------

local function finish(delivery, result)
  deliveries[delivery.number] = nil
  if delivery.waits then transport.cancel(delivery.waits) end
  finished[#finished + 1] = { delivery.number, result.code, result.seconds or 0, outcome.line(result.text, setup) }
end

-- settings: the action's own copy, at the beginning; where it may send to goes by what the configuration says.
local function resume(delivery, value, settings)
  running = delivery
  pulse_begin(delivery.number)
  local ok, result = coroutine.resume(delivery.thread, value, settings)
  pulse.running = 0
  running = nil
  if coroutine.status(delivery.thread) == "suspended" then
    if type(result) == "number" then
      delivery.waits = result
    else
      finish(delivery, outcome.failed("the action yielded, which is for requests to do"))
    end
  elseif ok then
    finish(delivery, outcome.of_return(result, delivery.worst))
  else
    finish(delivery, outcome.of_error(result))
  end
end

local function copy(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for key, member in pairs(value) do out[key] = copy(member) end
  return out
end

-- The first incident's members are the alert's own, too: most alerts have one.
-- json: the text itself.
local function alert_of(text)
  local alert = json.decode(text)
  alert.json = text
  local first = alert.incidents and alert.incidents[1] or {}
  return setmetatable(alert, { __index = first })
end

--- A delivery comes, now (ms): it ends with an outcome, from a later turn.
function M.deliver(number, receiver, text, now)
  now_ms = now
  local configured = setup.receivers and setup.receivers[receiver]
  local delivery = { number = number, receiver = receiver, began = now, notes = 0, due = now + M.DELIVERY_MS,
                     settings = configured and configured.settings or {} }
  local good, fn = pcall(action_of, configured and configured.type or receiver)
  local understood, alert = pcall(alert_of, text)
  deliveries[number] = delivery
  if not good or not fn then
    finish(delivery, outcome.failed(good and "no action has this name" or tostring(fn)))
  elseif not understood then
    finish(delivery, outcome.failed("the alert cannot be read: " .. tostring(alert)))
  else
    delivery.thread = coroutine.create(fn)
    resume(delivery, alert, copy(delivery.settings))
  end
end

-- By number, so that what was to come first does.
local function waiting_for(id)
  for _, delivery in pairs(deliveries) do
    if delivery.waits == id then return delivery end
  end
  return nil
end

--- Lets actions run on whose responses have come. Gives when the next one is to be given up (ms; nil: none), and a list
-- of outcomes { number, result, retry after (s), text } and lines for the log.
function M.turn(now)
  now_ms = now
  for id, response in transport.responses() do
    local delivery = waiting_for(id)
    if delivery then
      delivery.waits = nil
      resume(delivery, response)
    end
  end
  local due
  for _, delivery in pairs(deliveries) do
    if now >= delivery.due then
      local seconds = (delivery.due - delivery.began) / 1000
      finish(delivery, outcome.retry(("%s took more than %g s"):format(delivery.what or "it", seconds)))
    elseif not due or delivery.due < due then
      due = delivery.due
    end
  end
  local out = finished
  finished = {}
  return due, out
end

--- places: courier, errands and pulse, addresses. setup_text: JSON { receivers: { name: { type, settings } }, env and
-- secrets: { name: value }, hidden: [value], hosts: [pattern], ca_file, exec: programs may be run, dry_run: nothing is
-- sent but shown }. rule_texts: as texts.write writes them, or "".
function M.open(places, setup_text, rule_texts)
  json = outcome.json()
  setup = json.decode(setup_text)
  pulse = ffi.cast("struct fluo_pulse *", places.pulse)
  transport.open(ffi.cast("struct fluo_courier *", places.courier), ffi.cast("struct fluo_errands *", places.errands))
  sandbox.install()
  load_actions.files(texts.read(rule_texts) or {}, function(name, fn) actions[name] = fn end)
  action.runtime = runtime()
end

return M
