--- Actions in specs: `alert("team", { … })` runs one as the post room would, with requests that go nowhere and the
-- answers that the spec gives; `assert.sends` says what it asked for.
local action = require("fluo.action")
local example = require("fluo.action.example")
local load_actions = require("fluo.action.load")
local loader = require("fluo.loader")
local outcome = require("fluo.action.outcome")
local suggest = require("fluo.suggest")
local transport = require("fluo.action.transport")

local M = {}

--- What may stand in the third table of `alert`, in an answer, and in the table of `assert.sends`.
M.HOW_KEYS = { "answers", "settings", "env", "secrets", "resolved" }
M.ANSWER_KEYS = { "status", "body", "headers", "retry_after", "error" }
M.SENDS_KEYS = { "method", "url", "headers", "body", "json", "form", "user", "from", "to", "subject", "text", "count",
                 "outcome", "retry_after", "why" }
local OF_ALERT = { count = true, outcome = true, retry_after = true, why = true }

local OUTCOMES = { [0] = "ok", "retry", "failed" }
local ALERT_KEYS = { id = true, receiver = true, event = true, at = true, incidents = true, incidents_total = true }

local function unknown(t, names, what)
  for key in pairs(t) do
    local known = false
    for _, name in ipairs(names) do known = known or name == key end
    if not known then
      local near = suggest.hint(tostring(key), names)
      return ("%s has no `%s`%s"):format(what, tostring(key), near and "; " .. near or "")
    end
  end
  return nil
end

-- ---- actions ----------------------------------------------------------------------------------------

--- The actions of the rule files at a path, by name.
function M.actions(path)
  local sources, files, found = loader.read(path), {}, {}
  local modules = loader.modules(sources)
  for _, source in ipairs(sources.files) do
    if not source.module then files[#files + 1] = { file = source.file, text = source.text, modules = modules } end
  end
  load_actions.files(files, function(name, fn) found[name] = fn end)
  return found
end

-- ---- running one ------------------------------------------------------------------------------------

-- The answer that is next, or 200.
local function answer_of(answers, asked)
  local given = table.remove(answers, 1)
  if not given then return asked.words and { exit = 0, text = "" } or { status = 200, body = "", headers = {} } end
  if given.error then return { error = given.error } end
  return { status = given.status or 200, body = given.body or "", headers = given.headers or {},
           retry_after = given.retry_after }
end

local function take(run)
  return function(asked)
    if coroutine.running() ~= run.thread then
      error("an action makes its requests itself, not in a coroutine of its own", 3)
    end
    local request = { method = not asked.mail and not asked.words and "POST" or nil }
    for key, value in pairs(asked) do request[key] = value end
    run.requests[#run.requests + 1] = request
    local response = answer_of(run.answers, asked)
    run.worst = outcome.worse(run.worst, response)
    return response
  end
end

local function runtime(run, how, json, unix)
  local request = take(run)
  return { request = request, errand = request, json = json, env = how.env or {}, secrets = how.secrets or {},
           hmac = transport.hmac, unix = function() return unix end,
           now = function(seconds) return os.date("!%Y-%m-%dT%H:%M:%SZ", unix + seconds) end,
           log = function(text) run.notes[#run.notes + 1] = text end }
end

-- The example with what the spec says of it: members of the alert, and all others of its first incident.
local function alert_of(name, incident, how, json, unix)
  local alert = json.decode(example.text(name, ("%032x"):format(1), unix, how.resolved))
  for key, value in pairs(incident) do
    if ALERT_KEYS[key] then alert[key] = value else alert.incidents[1][key] = value end
  end
  alert.json = json.encode(alert)
  return setmetatable(alert, { __index = alert.incidents[1] })
end

--- Runs an action: { outcome, why, retry_after, requests, notes }.
function M.run(fn, name, incident, how, unix)
  local json = outcome.json()
  local run = { requests = {}, notes = {}, answers = { unpack(how.answers or {}) } }
  local alert, before = alert_of(name, incident, how, json, unix), action.runtime
  action.runtime = runtime(run, how, json, unix)
  run.thread = coroutine.create(fn)
  local good, returned = coroutine.resume(run.thread, alert, how.settings or {})
  action.runtime = before
  local result = good and outcome.of_return(returned, run.worst) or outcome.of_error(returned)
  if coroutine.status(run.thread) == "suspended" then result = outcome.failed("the action yielded") end
  return { name = name, outcome = OUTCOMES[result.code], why = result.text, retry_after = result.seconds,
           requests = run.requests, notes = run.notes }
end

--- What is wrong with how `alert` was called; nil: nothing.
function M.misuse(name, incident, how)
  if type(name) ~= "string" then return "alert takes the name of an action, as in alert(\"team\", { summary = … })" end
  if type(incident) ~= "table" or type(how) ~= "table" then return "alert takes a name and two tables" end
  local wrong = unknown(how, M.HOW_KEYS, "the third table of `alert`")
  for _, answer in ipairs(how.answers or {}) do wrong = wrong or unknown(answer, M.ANSWER_KEYS, "an answer") end
  return wrong
end

-- ---- comparing ----------------------------------------------------------------------------------------

local function show(value)
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) ~= "table" then return tostring(value) end
  local names, pieces = {}, {}
  for key in pairs(value) do names[#names + 1] = key end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for i, key in ipairs(names) do pieces[i] = ("%s = %s"):format(tostring(key), show(value[key])) end
  return "{ " .. table.concat(pieces, ", ") .. " }"
end

-- The first place where what is expected is not so; what is not named may be anything.
local function differ(path, expected, found)
  if type(expected) ~= "table" or type(found) ~= "table" then
    return expected ~= found and ("%s: expected %s, got %s"):format(path, show(expected), show(found)) or nil
  end
  for key, value in pairs(expected) do
    local wrong = differ(path .. "." .. tostring(key), value, found[key])
    if wrong then return wrong end
  end
  return nil
end

local function of_request(request, expected)
  for _, key in ipairs(M.SENDS_KEYS) do
    local wrong = not OF_ALERT[key] and expected[key] ~= nil and differ(key, expected[key], request[key])
    if wrong then return wrong end
  end
  return nil
end

local function made(sent)
  local lines = {}
  for i, request in ipairs(sent.requests) do lines[i] = ("request %d: %s"):format(i, show(request):sub(1, 500)) end
  lines[#lines + 1] = ("outcome: %s%s"):format(sent.outcome, sent.why ~= "" and " (" .. sent.why .. ")" or "")
  return table.concat(lines, "\n    ")
end

--- What an alert that was sent lacks of what is expected; nil: nothing.
function M.differ(sent, expected)
  local wrong, matching, first = nil, 0, nil
  for _, request in ipairs(sent.requests) do
    local this = of_request(request, expected)
    if this then first = first or this else matching = matching + 1 end
  end
  for _, key in ipairs { "outcome", "retry_after", "why" } do
    if expected[key] ~= nil and expected[key] ~= sent[key] then wrong = differ(key, expected[key], sent[key]) end
  end
  if expected.count and expected.count ~= matching then
    wrong = ("expected %d requests like this, got %d"):format(expected.count, matching)
  elseif not expected.count and matching == 0 then
    wrong = first or "it made no request"
  end
  return wrong and ("%s\n    %s"):format(wrong, made(sent)) or nil
end

--- What is wrong with the table of `assert.sends`; nil: nothing.
function M.misuse_of_sends(expected) return unknown(expected, M.SENDS_KEYS, "assert.sends") end

return M
