--- The types of receivers that are built in (lua/fluo/receivers/), and the settings of each: a kind, with `!` where it
-- has to be given.
local M = {}

local CHAT = { url = "url!", channel = "text", username = "text" }

M.SETTINGS = {
  alertmanager = { url = "url", urls = "urls", generator_url = "url", user = "text", password = "text" },
  discord = { url = "url!", username = "text" },
  email = { url = "mail!", from = "text!", to = "texts!", user = "text", password = "text" },
  exec = { argv = "argv!", timeout = "duration" },
  file = { path = "path!" },
  journald = { identifier = "text", address = "address" },
  mattermost = CHAT,
  opsgenie = { key = "text!", url = "url", responders = "table", tags = "texts" },
  otlp = { url = "url!", headers = "table", signal = "signal" },
  pagerduty = { routing_key = "text!", url = "url" },
  rocketchat = CHAT,
  slack = CHAT,
  syslog = { address = "address", facility = "facility", app = "text" },
  teams = { url = "url!" },
  webhook = { url = "url!", secret = "signing", headers = "table", format = "format" },
}

--- Those that are written as another one.
M.ALIASES = { mattermost = "slack", rocketchat = "slack" }

--- Of what fires, where it is told so again by itself.
M.REPEAT_NS = { alertmanager = 60e9 }

local function list_of(check)
  return function(value)
    if type(value) ~= "table" or #value == 0 or #value > 64 then return false end
    for _, each in ipairs(value) do
      if not check(each) then return false end
    end
    return true
  end
end

local function is_text(value) return type(value) == "string" and value ~= "" and not value:find("%z") end
local function begins(...)
  local patterns = { ... }
  return function(value)
    for _, pattern in ipairs(patterns) do
      if is_text(value) and value:find(pattern) then return true end
    end
    return false
  end
end
local function one_of(...)
  local names = {}
  for _, name in ipairs { ... } do names[name] = true end
  return function(value) return names[value] or false end
end

local is_url = begins("^https?://[^/]")
local is_argv = list_of(is_text)

--- By kind: whether a value is one, and what is expected.
M.KINDS = {
  text = { is_text, "text" },
  texts = { function(value) return is_text(value) or list_of(is_text)(value) end, "text, or a list of texts" },
  url = { is_url, "a URL as in \"https://example.com/hook\"" },
  urls = { list_of(is_url), "a list of URLs as in { \"http://am-0:9093\", \"http://am-1:9093\" }" },
  mail = { begins("^smtps?://[^/]"), "a URL as in \"smtp://mail.example.com:587\"" },
  signing = { function(value)
    return is_text(value) and (value:sub(1, 6) ~= "whsec_" or value:find("^whsec_[%w+/]+=*$") ~= nil)
  end, "text, or whsec_ and base64," },
  path = { begins("^/"), "a path that begins with /" },
  argv = { function(value) return is_argv(value) and value[1]:sub(1, 1) == "/" end,
           "a list as in { \"/usr/local/bin/notify\", \"--all\" }, whose first is the program's path" },
  address = { begins("^unix:/", "^udp://.+:%w+$", "^tcp://.+:%w+$"),
              "\"udp://host:514\", \"tcp://host:601\" or \"unix:/dev/log\"" },
  facility = { function(value) return type(value) == "number" and value % 1 == 0 and value >= 0 and value <= 23 end,
               "a number from 0 to 23" },
  table = { function(value) return type(value) == "table" end, "a table" },
  signal = { one_of("logs", "traces"), "\"logs\" or \"traces\"" },
  format = { one_of("alertmanager"), "\"alertmanager\", or nothing" },
  duration = { function(value)
    local ns = require("fluo.units").duration(value)
    return ns and ns > 0 and ns <= 60000000000LL
  end, "a duration of at most 60s, as in \"10s\"" },
}

M.NAMES = {}
for name in pairs(M.SETTINGS) do M.NAMES[#M.NAMES + 1] = name end
table.sort(M.NAMES)

return M
