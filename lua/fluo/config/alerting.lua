--- What the configuration file says of alerts: the tables receivers, notify, inhibit, mute and actions. They are no
-- keys of the schema, for they are lists and hold secrets. check gives one table, encode the lines for the core
-- (core/alerting.c) with what the post room is set up with (lua/fluo/post.lua).
local suggest = require("fluo.suggest")
local types = require("fluo.config.receiver_types")
local value = require("fluo.config.value")

local M = {}

M.KEYS = { receivers = true, notify = true, inhibit = true, mute = true, actions = true }
M.RECEIVERS_MAX, M.TEXT_BYTES_MAX = 64, 16384

local NOTIFY = { "group_by", "group_wait", "group_interval", "repeat_interval" }
local POLICY = { "send_resolved", "fallback", "max_age" }
local DAYS = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" }
-- Settings that are as good as a password, whoever wrote them.
local HIDDEN = { url = true, key = true, token = true, secret = true, password = true, routing_key = true,
                 api_key = true }

-- ---- secrets ----------------------------------------------------------------------------------------

local Secret = { __metatable = false, __tostring = function() return "a secret" end }
local secrets = setmetatable({}, { __mode = "k" })

local UNKNOWN = ""                     -- a secret that is not here: an error, or of no account

local function read_file(path)
  local file, failure = io.open(path, "rb")
  if not file then return nil, failure end
  local text = file:read(M.TEXT_BYTES_MAX + 1)
  file:close()
  if not text or #text > M.TEXT_BYTES_MAX then return nil, path .. ": empty, or larger than 16 KiB" end
  return (text:gsub("[\r\n]+$", ""))
end

--- What a configuration file calls `secret "VARIABLE"`, or `secret { file = PATH }`. environment(name): a value or nil.
function M.secret_api(environment)
  return function(name)
    local secret = setmetatable({}, Secret)
    if type(name) == "string" then
      secrets[secret] = { value = environment(name), failure = ("the variable %s is not set"):format(name) }
    elseif type(name) == "table" and type(name.file) == "string" then
      local text, failure = read_file(name.file)
      secrets[secret] = { value = text, failure = failure }
    else
      error("secret takes the name of a variable, or { file = PATH }", 2)
    end
    return secret
  end
end

-- ---- checking ---------------------------------------------------------------------------------------

local Check = {}
Check.__index = Check

function Check:add(place, format, ...)
  self.errors[#self.errors + 1] = ("%s: %s: %s"):format(self.file, place, format:format(...))
end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return names
end

-- more: lists of names that can be meant, too.
function Check:known(place, t, names, more)
  local all = { unpack(names) }
  for _, list in ipairs(more or {}) do
    for _, name in ipairs(list) do all[#all + 1] = name end
  end
  for _, name in ipairs(sorted(t)) do
    local known = false
    for _, expected in ipairs(names) do known = known or expected == name end
    if not known then
      local near = suggest.nearest(tostring(name), all)
      self:add(place, "unknown key %s%s", tostring(name), near and ("; did you mean %s?"):format(near) or "")
    end
  end
end

function Check:duration(place, t, key, default)
  if t[key] == nil then return default end
  local ns, why = value.duration.parse(t[key])
  if not ns then
    self:add(place .. "." .. key, "expected %s%s; for example %s = \"1m\"", value.duration.expected,
      why and (" (%s)"):format(why) or "", key)
  end
  return ns or default
end

function Check:texts(place, list, default)
  if list == nil then return default end
  local good = type(list) == "table"
  for i, text in ipairs(good and list or {}) do good = good and type(text) == "string" and i <= 64 and #text <= 256 end
  if good and #sorted(list) == #list then return list end
  self:add(place, "a list of texts is expected, as in { \"a\", \"b\" }")
  return default or {}
end

function Check:text(place, t, key, required)
  local text = t[key]
  if type(text) == "string" and text ~= "" and #text <= M.TEXT_BYTES_MAX then return text end
  if text ~= nil or required then self:add(place .. "." .. key, "text is expected") end
  return nil
end

-- A value of a setting as the post room gets it: secrets become their values, and are noted.
function Check:plain(place, any, depth)
  local secret = secrets[any]
  if secret then
    if secret.value then self.hidden[#self.hidden + 1] = secret.value
    elseif self.sends then self:add(place, "%s", secret.failure) end
    return secret.value or UNKNOWN
  end
  if type(any) == "table" and depth < 8 and getmetatable(any) == nil then
    local copy = {}
    for _, key in ipairs(sorted(any)) do copy[key] = self:plain(place, any[key], depth + 1) end
    return copy
  elseif type(any) == "string" or type(any) == "number" or type(any) == "boolean" then
    return any
  end
  self:add(place, "a %s is no setting", type(any))
  return nil
end

-- ---- the tables -------------------------------------------------------------------------------------

function Check:notify(place, t, default)
  return { group_by = self:texts(place .. ".group_by", t.group_by, default.group_by),
           group_wait = self:duration(place, t, "group_wait", default.group_wait),
           group_interval = self:duration(place, t, "group_interval", default.group_interval),
           repeat_interval = self:duration(place, t, "repeat_interval", default.repeat_interval) }
end

function Check:settings(place, t)
  local settings, ours = {}, { type = true }
  for _, list in ipairs { NOTIFY, POLICY } do
    for _, key in ipairs(list) do ours[key] = true end
  end
  for _, key in ipairs(sorted(t)) do
    if not ours[key] then
      settings[key] = self:plain(place .. "." .. tostring(key), t[key], 0)
      if HIDDEN[key] and type(settings[key]) == "string" then self.hidden[#self.hidden + 1] = settings[key] end
    end
  end
  return settings
end

-- What of a built-in type is missing, unknown or no such value. ca_file is for all that send by HTTP or mail.
function Check:settings_of_type(place, kind, settings)
  local known, names = types.SETTINGS[kind], { "ca_file" }
  if not known then return end
  for _, key in ipairs(sorted(known)) do
    local wanted, required = known[key]:match("^(%a+)(!?)$")
    local fits, expected = unpack(types.KINDS[wanted])
    names[#names + 1] = key
    if settings[key] == nil and required == "!" then
      self:add(place .. "." .. key, "a receiver of type %s needs it: %s is expected", kind, expected)
    elseif settings[key] ~= nil and not fits(settings[key]) and (self.sends or settings[key] ~= UNKNOWN) then
      self:add(place .. "." .. key, "%s is expected", expected)
    end
  end
  if kind == "alertmanager" and not settings.url and not settings.urls then
    self:add(place .. ".url", "a receiver of type alertmanager needs it, or urls")
  end
  self:known(place, settings, names, { NOTIFY, POLICY })
end

-- Whatever is told again by itself is so at the interval of its type, unless it has one of its own.
local function set_interval(receiver, given)
  local interval = types.REPEAT_NS[receiver.type]
  if not interval then return end
  if given.repeat_interval == nil then receiver.repeat_interval = interval end
  if given.group_interval == nil and receiver.group_interval > interval then receiver.group_interval = interval end
end

-- As the action gets them: with how often it is told again, where it has to know.
local function settings_of(receiver)
  if not types.REPEAT_NS[receiver.type] then return receiver.settings end
  local all = { resend_seconds = math.max(receiver.repeat_interval, receiver.group_interval) / 1e9 }
  for key, setting in pairs(receiver.settings) do all[key] = setting end
  return all
end

function Check:receiver(name, t, notify)
  local place = "receivers." .. tostring(name)
  if type(name) ~= "string" or not name:find("^[%w_.-]+$") or #name > 64 or name == "log" then
    self:add(place, "the name of a receiver is letters, digits, _ . and -, at most 64, and not `log`")
    return nil
  elseif type(t) ~= "table" or getmetatable(t) ~= nil then
    self:add(place, "a table is expected, as in %s = { type = \"webhook\", url = \"https://…\" }", tostring(name))
    return nil
  end
  local receiver = self:notify(place, t, notify)
  receiver.name, receiver.type = name, self:text(place, t, "type", true) or ""
  receiver.max_age = self:duration(place, t, "max_age", 24 * 36e11)
  receiver.fallback = self:text(place, t, "fallback") or ""
  if t.send_resolved ~= nil and type(t.send_resolved) ~= "boolean" then
    self:add(place .. ".send_resolved", "true or false")
  end
  receiver.send_resolved = t.send_resolved ~= false
  receiver.settings = self:settings(place, t)
  self:settings_of_type(place, receiver.type, receiver.settings)
  set_interval(receiver, t)
  return receiver
end

function Check:receivers(t, notify)
  local list, names = {}, {}
  for _, name in ipairs(sorted(t)) do
    list[#list + 1] = self:receiver(name, t[name], notify)
    names[#names + 1] = tostring(name)
  end
  if #names > M.RECEIVERS_MAX then self:add("receivers", "%d of them; at most %d", #names, M.RECEIVERS_MAX) end
  for _, receiver in ipairs(list) do
    local place = "receivers." .. receiver.name .. ".fallback"
    if receiver.fallback == receiver.name then self:add(place, "a receiver cannot stand in for itself") end
    if receiver.fallback ~= "" and not t[receiver.fallback] then
      local near = suggest.nearest(receiver.fallback, names)
      local hint = near and ("; did you mean %s?"):format(near) or ""
      self:add(place, "there is no receiver %s%s", receiver.fallback, hint)
    end
  end
  return list
end

function Check:inhibitions(t)
  local list = {}
  for i, each in ipairs(t) do
    local place = ("inhibit[%d]"):format(i)
    if type(each) ~= "table" then
      self:add(place, "a table is expected, as in { source = '…', target = '…', equal = { \"service\" } }")
    else
      self:known(place, each, { "source", "target", "equal" })
      list[i] = { source = self:text(place, each, "source", true) or "",
                  target = self:text(place, each, "target", true) or "",
                  equal = self:texts(place .. ".equal", each.equal, {}) }
    end
  end
  return list
end

local function minutes(text)
  local h, m = tostring(text):match("^(%d%d?):(%d%d)$")
  h, m = tonumber(h), tonumber(m)
  return h and h <= 24 and m < 60 and h * 60 + m <= 1440 and h * 60 + m or nil
end

local function offset(text)
  if text == nil or text == "UTC" or text == "Z" then return 0 end
  local sign, h, m = tostring(text):match("^([+-])(%d%d):?(%d%d)$")
  if not sign or tonumber(h) > 14 or tonumber(m) > 59 then return nil end
  return (sign == "-" and -1 or 1) * (tonumber(h) * 60 + tonumber(m))
end

local function days_mask(list)
  local mask = 0
  for _, day in ipairs(list) do
    local bit
    for i, name in ipairs(DAYS) do bit = tostring(day):lower():sub(1, 3) == name and i or bit end
    if not bit then return nil end
    if math.floor(mask / 2 ^ (bit - 1)) % 2 == 0 then mask = mask + 2 ^ (bit - 1) end
  end
  return mask
end

function Check:mutes(t)
  local list = {}
  for i, each in ipairs(t) do
    local place = ("mute[%d]"):format(i)
    if type(each) ~= "table" then
      self:add(place, "a table is expected, as in { days = { \"sat\", \"sun\" }, from = \"22:00\", to = \"06:00\" }")
    else
      self:known(place, each, { "days", "from", "to", "utc_offset", "matchers" })
      local mute = { days = days_mask(self:texts(place .. ".days", each.days, DAYS)),
                     from = minutes(each.from or "0:00"),
                     to = minutes(each.to or "24:00"), offset = offset(each.utc_offset),
                     matchers = self:text(place, each, "matchers") or "" }
      if not mute.days then self:add(place .. ".days", "days are sun mon tue wed thu fri sat") end
      if not mute.from or not mute.to then self:add(place, "from and to are times of the day, as in \"22:00\"") end
      if not mute.offset then self:add(place .. ".utc_offset", "expected as in \"+02:00\"") end
      list[i] = mute
    end
  end
  return list
end

-- Names that actions may read, each with its value: { "TEAM" }, or TEAM = secret { … }.
function Check:named(place, t)
  local found = {}
  for _, key in ipairs(sorted(t)) do
    local name = type(key) == "number" and t[key] or key
    local given = t[key]
    if type(key) == "number" then given = M.secret_api(self.environment)(tostring(name)) end
    if type(name) ~= "string" then self:add(place, "names of variables are expected")
    else found[name] = self:plain(place .. "." .. name, given, 0) end
  end
  return found
end

function Check:actions(t)
  self:known("actions", t, { "env", "secrets", "hosts", "ca_file", "exec" })
  local hidden = self.hidden
  self.hidden = {}                                   -- what actions.env has is no secret
  local env = self:named("actions.env", t.env or {})
  self.hidden = hidden
  return { env = env, secrets = self:named("actions.secrets", t.secrets or {}),
           hosts = self:texts("actions.hosts", t.hosts, {}), ca_file = self:text("actions", t, "ca_file"),
           exec = t.exec == true }
end

local NOTHING = { group_by = { "rule", "group" }, group_wait = 1e9, group_interval = 60e9, repeat_interval = 14400e9 }

-- Programs run where that was said, and not because a receiver was.
function Check:programs(receivers, actions)
  for _, receiver in ipairs(receivers) do
    if receiver.type == "exec" and not actions.exec then
      self:add("receivers." .. receiver.name, "programs are run only with actions = { exec = true }")
    end
  end
end

--- given: the tables by name; file: where they stand; environment(name): variables. All that is wrong is appended to
-- errors; that a secret is not there is so for those that send, who else runs a command needs none.
function M.check(given, file, environment, errors, sends)
  local check = setmetatable({ file = file, environment = environment, errors = errors, hidden = {}, sends = sends },
    Check)
  local tables = {}
  for _, key in ipairs(sorted(M.KEYS)) do
    tables[key] = given[key] == nil and {} or given[key]
    if type(tables[key]) ~= "table" then
      check:add(key, "a table is expected")
      tables[key] = {}
    end
  end
  check:known("notify", tables.notify, NOTIFY)
  local notify = check:notify("notify", tables.notify, NOTHING)
  local receivers, actions = check:receivers(tables.receivers, notify), check:actions(tables.actions)
  check:programs(receivers, actions)
  -- One that is the beginning of another is hidden after that.
  table.sort(check.hidden, function(a, b) return #a > #b end)
  return { notify = notify, receivers = receivers, actions = actions, file = file, hidden = check.hidden,
           inhibitions = check:inhibitions(tables.inhibit), mutes = check:mutes(tables.mute) }
end

--- A type is built in, or an action that a file of the rules declares. declared(): the names of these.
function M.check_types(alerting, declared, errors)
  local check, names = setmetatable({ file = alerting.file, errors = errors }, Check), nil
  for _, receiver in ipairs(alerting.receivers) do
    local kind = receiver.type
    if not types.SETTINGS[kind] and kind ~= "" then
      names = names or declared()
      local is_declared, all = false, { unpack(types.NAMES) }
      for _, name in ipairs(names) do
        is_declared = is_declared or name == kind
        all[#all + 1] = name
      end
      local near = suggest.nearest(kind, all)
      if not is_declared then
        check:add("receivers." .. receiver.name .. ".type",
          "there is no type %s, nor an action of that name in the rules%s", kind,
          near and ("; did you mean %s?"):format(near) or "")
      end
    end
  end
end

--- The names of receivers, as rules may give them.
function M.names(alerting)
  local names = {}
  for i, receiver in ipairs(alerting.receivers) do names[i] = receiver.name end
  return names
end

-- ---- for the core -----------------------------------------------------------------------------------

local function json_text(text)
  return '"' .. text:gsub('[%c"\\\127]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function json(any)
  if type(any) == "string" then return json_text(any) end
  if type(any) == "number" then return ("%.17g"):format(any) end
  if type(any) ~= "table" then return tostring(any) end
  local pieces = {}
  if #any > 0 then
    for i, member in ipairs(any) do pieces[i] = json(member) end
    return "[" .. table.concat(pieces, ",") .. "]"
  end
  for i, key in ipairs(sorted(any)) do pieces[i] = json_text(tostring(key)) .. ":" .. json(any[key]) end
  return "{" .. table.concat(pieces, ",") .. "}"
end

local function fields(escape, ...)
  local list = {}
  for i = 1, select("#", ...) do
    local field = select(i, ...)
    list[i] = type(field) == "number" and ("%.0f"):format(field) or escape(field)
  end
  return table.concat(list, "\t")
end

local function notify_line(escape, n)
  return fields(escape, n.group_wait, n.group_interval, n.repeat_interval, unpack(n.group_by))
end

--- What the post room is set up with, as JSON.
function M.setup(alerting, dry_run)
  local receivers, a = {}, alerting.actions
  for _, r in ipairs(alerting.receivers) do
    receivers[r.name] = { type = types.ALIASES[r.type] or r.type, settings = settings_of(r) }
  end
  return json { receivers = receivers, env = a.env, secrets = a.secrets, hosts = a.hosts, ca_file = a.ca_file,
                exec = a.exec, hidden = alerting.hidden, dry_run = dry_run }
end

--- Lines `alerting.…=fields`, tabs between these.
function M.encode(alerting, escape)
  local lines = {}
  lines[1] = "alerting.setup=" .. escape(M.setup(alerting))
  lines[3] = "alerting.names=" .. escape(table.concat(M.names(alerting), " "))
  lines[2] = "alerting.notify=" .. notify_line(escape, alerting.notify)
  for _, r in ipairs(alerting.receivers) do
    lines[#lines + 1] = ("alerting.receiver=%s\t%s"):format(
      fields(escape, r.name, r.fallback, r.max_age, r.send_resolved and 1 or 0), notify_line(escape, r))
  end
  for _, i in ipairs(alerting.inhibitions) do
    lines[#lines + 1] = "alerting.inhibit=" .. fields(escape, i.source, i.target, unpack(i.equal))
  end
  for _, m in ipairs(alerting.mutes) do
    lines[#lines + 1] = "alerting.mute=" .. fields(escape, m.days, m.from, m.to, m.offset + 1440, m.matchers)
  end
  return lines
end

return M
