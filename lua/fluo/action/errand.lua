--- What errand.append, .send and .run ask of the process that does it (core/errand.h): its words and its input; and for
-- people what it is about.
local M = {}

local function text_of(asked, key)
  local text = asked[key]
  if type(text) ~= "string" or text:find("%z") then error(("errand: `%s` is text"):format(key), 4) end
  return text
end

-- A word ends at a NUL: there is none in it.
local function word(text) return (tostring(text):gsub("%z", " ")) end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

function M.append(asked)
  return { words = { "append", text_of(asked, "path") }, input = asked.text, timeout = asked.timeout,
           what = asked.path }
end

--- Messages with their lengths (RFC 6587 3.4.1).
function M.send(asked)
  local framed = {}
  for i, message in ipairs(asked.messages) do framed[i] = ("%d %s"):format(#message, message) end
  return { words = { "send", text_of(asked, "address") }, input = table.concat(framed), timeout = asked.timeout,
           what = asked.address }
end

function M.run(asked)
  local words = { "exec" }
  for _, name in ipairs(sorted(asked.env or {})) do
    words[#words + 1] = word(name .. "=" .. tostring(asked.env[name]))
  end
  words[#words + 1] = "--"
  for _, argument in ipairs(asked.argv) do words[#words + 1] = word(argument) end
  return { words = words, input = asked.input or "", timeout = asked.timeout, what = word(asked.argv[1]) }
end

return M
