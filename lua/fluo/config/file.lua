--- The configuration file: Lua that returns a table, evaluated with nothing in reach but Lua's own basics.
-- How long it may run is the parent's business, how much memory the Lua state's.
local lexer = require("fluo.lexer")
local twice = require("fluo.twice")

local M = {}

local BYTES_MAX = 2 ^ 20
local BASICS = { "assert", "error", "ipairs", "next", "pairs", "select", "tonumber", "tostring", "type", "unpack" }
local LIBRARIES = { "math", "string", "table" }

local function copy(library)
  local result = {}
  for name, member in pairs(library) do result[name] = member end
  return result
end

-- What the file sees. Writing a global is nearly always a forgotten `return`.
local function environment(api)
  local seen = {}
  for name, member in pairs(api or {}) do seen[name] = member end
  for _, name in ipairs(BASICS) do seen[name] = _G[name] end
  for _, name in ipairs(LIBRARIES) do seen[name] = copy(_G[name]) end
  seen.string.dump = nil
  return setmetatable({}, {
    __metatable = false,
    __index = function(_, name)
      if seen[name] ~= nil then return seen[name] end
      error(("there is no `%s` here (text stands in quotes)"):format(tostring(name)), 2)
    end,
    __newindex = function(_, name)
      error(("`%s` is set as a global: the file returns one table, `return { %s = … }`")
        :format(tostring(name), tostring(name)), 2)
    end,
  }), seen.string
end

--- The text of the file, or nil and why there is none.
function M.read(path)
  local file, failure = io.open(path, "rb")
  if not file then return nil, failure end
  local text, read_failure = file:read(BYTES_MAX + 1)
  file:close()
  if not text and read_failure then return nil, ("%s: %s"):format(path, read_failure) end
  text = text or ""
  if #text > BYTES_MAX then return nil, ("%s: larger than 1 MiB, the most a configuration may be"):format(path) end
  return text
end

-- The first key that one table has twice, as an error.
local function given_twice(path, text)
  local failure
  twice(lexer.scan(text), function(line, _, key)
    failure = failure or ("%s:%d: `%s` is given twice in one table"):format(path, line, key)
  end)
  return failure
end

local function evaluate(path, text, api)
  local seen, strings = environment(api)
  if text:byte() == 27 then return nil, path .. ": bytecode, not text" end
  local chunk, failure = load(text:gsub("^\239\187\191", ""), "@" .. path, "t", seen)
  if chunk then failure = given_twice(path, text) end
  if failure then return nil, failure end
  -- ("").dump must not be a way out. This process does nothing else afterwards that would miss it.
  getmetatable("").__index = strings
  local ok, result = pcall(chunk)
  if not ok then return nil, type(result) == "string" and result or path .. ": stopped with an error" end
  if type(result) ~= "table" then
    return nil, ("%s: returns no table; it should read `return { trace = { idle = \"5s\" } }`"):format(path)
  end
  return result
end

-- The line where the key's last word is set, if that is one line only: Lua tables do not know their lines.
local function line_of(text, key)
  local word = key:match("[%w_]+$")
  local found, number = nil, 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    line = line:gsub("%-%-.*", "")
    if word and line:find("%f[%w_]" .. word .. "%f[^%w_][\"'%]%s]*=") then
      if found then return nil end
      found = number
    end
  end
  return found
end

-- Tables within the table are sections; ["trace.idle"] is trace = { idle = … }.
-- A cycle ends at the first key that is no section.
local function flatten(t, prefix, sections, found)
  for name, value in next, t do
    local key = prefix .. tostring(name)
    if type(value) == "table" and sections[key] then flatten(value, key .. ".", sections, found)
    else found[#found + 1] = { key = key, value = value } end
  end
  return found
end

-- The order of a table is another one in every process; ours is that of the file.
local function by_place(a, b)
  if a.line ~= b.line then return (a.line or 0) < (b.line or 0) end
  return a.key < b.key
end

--- Evaluates the text: a list of { key =, value =, source = "path:line" } in order, or nil and an error that
-- begins with its place. sections: the set of prefixes that may hold tables. api: what else the file sees, by name.
function M.evaluate(path, text, sections, api)
  local result, failure = evaluate(path, text, api)
  if not result then return nil, failure end
  local found = flatten(result, "", sections, {})
  for _, entry in ipairs(found) do
    entry.line = line_of(text, entry.key)
    entry.source = entry.line and ("%s:%d"):format(path, entry.line) or path
  end
  table.sort(found, by_place)
  return found
end

return M
