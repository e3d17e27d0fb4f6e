--- The types of configuration values: how each is read from text or from Lua, and how it is printed.
-- A type is { expected = text, example = text, parse = function(value, key), show = function(value) }.
-- parse gives the plain value (durations in ns, sizes in bytes), or nil and, where there is more to say than
-- `expected`, what is wrong.
local units = require("fluo.units")

local M = {}

-- From the largest to the smallest.
local DURATIONS = { { "d", 864e11 }, { "h", 36e11 }, { "m", 6e10 }, { "s", 1e9 }, { "ms", 1e6 },
                    { "us", 1e3 }, { "ns", 1 } }
local SIZES = { { "GiB", 2 ^ 30 }, { "MiB", 2 ^ 20 }, { "KiB", 2 ^ 10 }, { "GB", 1e9 }, { "MB", 1e6 },
                { "KB", 1e3 }, { "B", 1 } }

-- In the largest unit that leaves no fraction.
local function show_in(scales)
  return function(amount)
    for _, unit in ipairs(scales) do
      local count = amount / unit[2]
      if count >= 1 and count == math.floor(count) then return ("%.0f%s"):format(count, unit[1]) end
    end
    return "0" .. (scales == DURATIONS and "s" or "")
  end
end

-- Durations read the same as in rules, only that a bare number has no meaning here.
local function duration_of(text)
  local ns, exact_or_message = units.duration(text)
  if not ns then return nil, exact_or_message end
  if ns >= 2LL ^ 53 then return nil, "too long" end
  return tonumber(ns)
end

local function size_of(text)
  local number, name = text:match("^%s*(%d+%.?%d*)%s*(%a+)%s*$")
  for _, unit in ipairs(number and SIZES or {}) do
    if unit[1]:lower() == name:lower() then
      local bytes = tonumber(number) * unit[2]
      return bytes < 2 ^ 53 and math.floor(bytes + 0.5) or nil
    end
  end
end

local function whole(value)
  local number = type(value) == "number" and value
    or type(value) == "string" and value:match("^%d+$") and tonumber(value)
  if number and number >= 0 and number < 2 ^ 53 and number == math.floor(number) then return number end
end

M.duration = {
  expected = "a duration with its unit (ns us ms s m h d)", example = "10s", show = show_in(DURATIONS),
  parse = function(value)
    local number = whole(value)
    if number == 0 then return 0 end
    if number then return nil, "it has no unit" end
    if type(value) == "string" then return duration_of(value) end
  end,
}

M.size = {
  expected = "a size in bytes or with its unit (B KiB MiB GiB KB MB GB)", example = "8MiB", show = show_in(SIZES),
  parse = function(value)
    return whole(value) or type(value) == "string" and size_of(value) or nil
  end,
}

M.int = {
  expected = "a whole number", example = "1024", parse = whole,
  show = function(value) return ("%.0f"):format(value) end,
}

local BOOLS = { ["true"] = true, yes = true, on = true, ["1"] = true,
                ["false"] = false, no = false, off = false, ["0"] = false }

M.bool = {
  expected = "true or false", example = "true", show = tostring,
  parse = function(value)
    if type(value) == "string" then value = BOOLS[value:lower()] end
    if type(value) == "boolean" then return value end
  end,
}

local function text(value)
  return type(value) == "string" and not value:find("%z") and #value <= 4096 and value or nil
end

M.path = {
  expected = "a path", example = "rules",
  show = function(value) return value end,
  parse = function(value) return text(value) ~= "" and text(value) or nil end,
}

M.output = {
  expected = 'stdout, none, or the path of a file', example = "violations.jsonl",
  show = M.path.show, parse = M.path.parse,
}

M.http_path = {
  expected = 'a path that starts with "/", or nothing', example = "/",
  show = function(value) return value end,
  parse = function(value)
    return text(value) and (value == "" or value:find("^/[%w%-._~!$&'()*+,;=:@/%%]*$")) and value or nil
  end,
}

-- Words, a space between each two.
M.origins = {
  expected = 'origins as in "https://shop.example.com https://*.example.org", "*", or nothing',
  example = "https://shop.example.com",
  show = function(value) return value end,
  parse = function(value)
    local words = {}
    for word in (text(value) or "?"):gmatch("%S+") do
      if word ~= "*" and not word:find("^https?://[%w*.:%[%]-]+$") then return nil, word .. " is none" end
      words[#words + 1] = word
    end
    return table.concat(words, " ")
  end,
}

function M.choice(...)
  local choices = { ... }
  return {
    expected = "one of " .. table.concat(choices, ", "), example = choices[1], choices = choices,
    show = function(value) return value end,
    parse = function(value)
      for _, choice in ipairs(choices) do
        if value == choice then return choice end
      end
    end,
  }
end

-- ---- addresses ------------------------------------------------------------------------------------

local function is_ipv4(host)
  local parts = { host:match("^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$") }
  for _, part in ipairs(parts) do
    if tonumber(part) > 255 or part:find("^0%d") then return false end
  end
  return #parts == 4
end

-- Groups of hexadecimal digits; nil where there is something else. The last may be an IPv4 address.
local function groups(part)
  local count = 0
  if part == "" then return 0 end
  for group, colon in (part .. ":"):gmatch("([^:]*)(:)") do
    local last = colon and is_ipv4(group) and part:sub(-#group) == group
    if not last and not group:find("^%x%x?%x?%x?$") then return nil end
    count = count + (last and 2 or 1)
  end
  return count
end

local function is_ipv6(host)
  local head, tail = host:match("^(.-)::(.*)$")
  if not head then return groups(host) == 8 end
  local before, after = groups(head), groups(tail)
  return before ~= nil and after ~= nil and before + after <= 7
end

local function address(value)
  if type(value) ~= "string" then return nil end
  if value == "none" then return "none" end
  local host, port = value:match("^%[([^%]]*)%]:(%d+)$")
  if not host then host, port = value:match("^([^:]*):(%d+)$") end
  if not host then return nil end
  if host == "" or host == "*" then return nil, ("for all interfaces write 0.0.0.0:%s"):format(port) end
  if host == "localhost" then host = "127.0.0.1" end
  if tonumber(port) > 65535 then return nil, "a port is at most 65535" end
  if not is_ipv4(host) and not is_ipv6(host) then return nil, "names are not looked up" end
  return ("%s %d"):format(host, port)
end

M.address = {
  expected = "a numeric address and a port, or none", example = "127.0.0.1:4318", parse = address,
  show = function(value)
    local host, port = value:match("^(%S+) (%d+)$")
    if not host then return value end
    return (host:find(":", 1, true) and "[%s]:%s" or "%s:%s"):format(host, port)
  end,
}

return M
