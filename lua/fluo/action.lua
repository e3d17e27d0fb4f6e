--- Alert actions: what a file of the rules directory declares with
--   action "alert-team" (function(alert, settings) return http.post { url = …, json = { text = alert.summary } } end)
-- and what such a function may call. The names are known wherever rule files are evaluated, and work where a runtime is
-- set: in the post room (post.lua), and in specs. Elsewhere an action is but its name.
local mail = require("fluo.action.mail")

local M = {}

M.NAME_BYTES_MAX = 256
M.SECONDS_MAX = 2 ^ 31               -- that action.retry asks for; it is as good as never

--- What the functions below call: request(table) gives a response, now(seconds) RFC 3339, unix() seconds, log(text),
-- json (encode, decode), env and secrets (name to value), hmac(key, text), errand(table) for what is built in. nil: no
-- action runs here.
M.runtime = nil

local function runtime()
  return M.runtime or error("this is for actions: it works when an alert is sent", 3)
end

-- ---- how an action ends before its end --------------------------------------------------------------

local Ending = { __metatable = false, __tostring = function(self) return self.text end }
local endings = setmetatable({}, { __mode = "k" })

local function ending(result, text, seconds)
  local token = setmetatable({}, Ending)
  seconds = tonumber(seconds)
  endings[token] = { result = result, text = tostring(text or ""),
                     seconds = seconds and seconds > 0 and math.min(seconds, M.SECONDS_MAX) or nil }
  return token
end

--- { result = "retry" | "failed", text, seconds } of what an action raised or returned; nil where it is none of ours.
function M.ending(value) return type(value) == "table" and endings[value] or nil end

-- ---- requests ---------------------------------------------------------------------------------------

local METHODS = { "get", "post", "put", "patch", "delete" }
local REQUEST = { method = "string", url = "string", headers = "table", body = "string", json = "table", form = "table",
                  timeout = "string", user = "string", password = "string" }

local function check_request(request)
  if type(request) ~= "table" then error("http takes a table, as in http.post { url = …, json = … }", 3) end
  for key, value in pairs(request) do
    local expected = REQUEST[key]
    if not expected then error(("http knows no `%s`"):format(tostring(key)), 3) end
    if type(value) ~= expected and not (key == "timeout" and type(value) == "number") then
      error(("http: `%s` is a %s, not a %s"):format(key, expected, type(value)), 3)
    end
  end
  if not request.url then error("http needs a url", 3) end
end

local function http()
  local api = {}
  function api.request(request)
    local now = runtime()
    check_request(request)
    return now.request(request)
  end
  for _, method in ipairs(METHODS) do
    api[method] = function(request)
      local now = runtime()
      check_request(request)
      local copy = {}
      for key, value in pairs(request) do copy[key] = value end
      copy.method = method:upper()
      return now.request(copy)
    end
  end
  return api
end

-- ---- texts ------------------------------------------------------------------------------------------

local BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

--- RFC 4648, section 4.
function M.base64(text)
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    for k = 1, 4 do
      local digit = math.floor(n / 64 ^ (4 - k)) % 64
      out[#out + 1] = (k == 3 and not b or k == 4 and not c) and "=" or BASE64:sub(digit + 1, digit + 1)
    end
  end
  return table.concat(out)
end

local function base64_decode(text)
  local out, n, bits = {}, 0, 0
  for digit in text:gsub("[%s=]", ""):gmatch(".") do
    local value = BASE64:find(digit, 1, true)
    if not value then return nil, "no base64" end
    n, bits = n * 64 + value - 1, bits + 6
    if bits >= 8 then
      bits = bits - 8
      out[#out + 1] = string.char(math.floor(n / 2 ^ bits))
      n = n % 2 ^ bits
    end
  end
  return table.concat(out)
end

--- At most so many bytes of UTF-8, whole characters, "…" at the end where some were cut.
function M.cut(text, bytes)
  text = tostring(text)
  if #text <= bytes then return text end
  local n = bytes - 3
  while n > 0 and text:byte(n + 1) >= 0x80 and text:byte(n + 1) < 0xc0 do n = n - 1 end
  return text:sub(1, n) .. "…"
end

local NO_WIDTH = "\226\128\139"

--- Text that a chat shows as what it is: no link or picture that other words hide, and nobody is mentioned. In Markdown
-- both need two characters side by side: one without width comes between them.
function M.plain(text)
  text = tostring(text):gsub("%]([%(%[:])", "]" .. NO_WIDTH .. "%1")
  return ((" " .. text):gsub("([^%w])@(%w)", "%1@" .. NO_WIDTH .. "%2"):sub(2))
end

-- The value at a path of names, "incidents.1.rule"; nil where there is none.
local function at_path(value, path)
  for name in path:gmatch("[^.]+") do
    if type(value) ~= "table" then return nil end
    local key = value[name]
    if key == nil then key = value[tonumber(name)] end
    value = key
  end
  return value
end

--- "{rule}: {summary}" of an alert, or of any table: what is absent is "-", braces are doubled.
function M.render(template, values)
  return (template:gsub("{{", "\1"):gsub("}}", "\2"):gsub("{([^{}]*)}", function(path)
    local value = at_path(values, path)
    if type(value) == "number" and value % 1 == 0 then return ("%d"):format(value) end
    return (value == nil or type(value) == "table") and "-" or tostring(value)
  end):gsub("\1", "{"):gsub("\2", "}"))
end

-- ---- what files see ---------------------------------------------------------------------------------

local function allowed(kind, list_of)
  return function(name)
    local value = list_of(runtime())[name]
    if value == nil then
      local key = kind == "env" and "env" or "secrets"
      error(("no %s `%s`: name it in actions.%s of the configuration, and set it"):format(kind, tostring(name), key), 2)
    end
    return value
  end
end

local function json()
  return { encode = function(value) return runtime().json.encode(value) end,
           decode = function(text) return runtime().json.decode(text) end }
end

-- action "name" (function): on_action(name, function, place) is told.
local function declare(context)
  return function(name, ...)
    if context.sealed then error("`action` stands at the top of a file, not in a function", 2) end
    if type(name) ~= "string" or name == "" or #name > M.NAME_BYTES_MAX or select("#", ...) > 0 then
      context.fail(("the name of an action is text of at most %d bytes"):format(M.NAME_BYTES_MAX),
        "write action \"name\" (function(alert) … end)", "action")
    end
    local _, line = context.running()
    return function(fn)
      if type(fn) ~= "function" then
        context.fail(("action `%s` needs a function"):format(name),
          "write action \"name\" (function(alert) … end)", name)
      end
      if name == "log" or context.action_names[name] then
        context.fail(("the name `%s` is taken"):format(name), "each action has a name of its own", name)
      end
      context.action_names[name] = line
      context.on_action(name, fn)
    end
  end
end

-- A table that is called: no pattern takes it for a function of a value.
local function callable(members, call)
  return setmetatable(members, { __call = function(_, ...) return call(...) end, __metatable = false })
end

--- The five names that files see. context.on_action and context.action_names are set.
function M.api(context)
  local members = {
    render = M.render, cut = M.cut, plain = M.plain, base64 = M.base64, base64_decode = base64_decode,
    hmac_sha256 = function(key, text) return runtime().hmac(key, text) end,
    now = function(seconds) return runtime().now(seconds or 0) end,
    unix = function() return runtime().unix() end,
    mail = function(asked)
      local now = runtime()
      return now.request(mail.request(asked, now.unix(), M.base64))
    end,
    note = function(text) runtime().log(tostring(text)) end,
    retry = function(text, seconds) runtime(); error(ending("retry", text, seconds), 0) end,
    fail = function(text) runtime(); error(ending("failed", text), 0) end,
  }
  return {
    action = callable(members, declare(context)),
    http = callable(http(), function() error("http has post, get and others: http.post { url = … }", 3) end),
    json = callable(json(), function() error("json has encode and decode", 3) end),
    env = callable({}, allowed("env", function(now) return now.env end)),
    secret = callable({}, allowed("secret", function(now) return now.secrets end)),
  }
end

--- What built-in receivers have besides: what is done on this machine, by a process of its own each time.
--   errand.append { path =, text = }      errand.send { address =, messages = { … } }
--   errand.run { argv = { … }, env = { NAME = value }, input =, timeout = "10s" }
function M.errand_api()
  local errand = require("fluo.action.errand")
  local api = {}
  for _, name in ipairs { "append", "send", "run" } do
    api[name] = function(asked) return runtime().errand(errand[name](asked)) end
  end
  return api
end

--- The names of actions that a file's text declares, as it stands there.
function M.declared(lex)
  local names = {}
  for i = 1, lex.n - 1 do
    local before = i > 1 and lex:text(i - 1) or ""
    if lex:kind(i) == "name" and lex:text(i) == "action" and before ~= "." and before ~= ":" then
      local k = lex:text(i + 1) == "(" and i + 2 or i + 1
      if lex:kind(k) == "string" then names[#names + 1] = lex:value(k) end
    end
  end
  return names
end

return M
