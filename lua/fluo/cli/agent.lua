--- The running agent's API, as the commands ask it, and how they print what it says.
local percent = require("fluo.percent")
local stream = require("fluo.cli.stream")

local M = {}

local json

-- JSON is the library's that the agent sends alerts with, too.
local function library()
  json = json or require("fluo.action.outcome").json()
  return json
end

function M.decode(text) return library().decode(text) end
function M.encode(value) return library().encode(value) end
function M.is_null(value) return value == library().null end

function M.say(text) io.stderr:write("fluo: ", M.clean(text), "\n") end

--- The end of a command: its text is printed, or why there is none is said. Gives the exit status.
function M.finish(text, why)
  if not text then
    M.say(why)
    return 1
  end
  io.stdout:write(text)
  return 0
end

--- "?a=1&b=2" of { { name, value } }; those without a value are left out.
function M.query(pairs_of)
  local words = {}
  for _, pair in ipairs(pairs_of) do
    if pair[2] then words[#words + 1] = pair[1] .. "=" .. percent(pair[2]) end
  end
  return #words > 0 and "?" .. table.concat(words, "&") or ""
end

--- Where the agent is: --admin, else listen.admin.
function M.address(config) return config.flags.admin or config.values["listen.admin"].value end

--- Asks it: the answer as a table, and as it came; or nil and why. body: a table, or nil.
function M.ask(config, verb, path, body)
  local status, text = stream.ask(M.address(config), verb, "/api/v1/" .. path, body and M.encode(body))
  if not status then return nil, text end
  local good, answer = pcall(M.decode, text)
  if not good or type(answer) ~= "table" then return nil, ("the agent answers %d, and no JSON"):format(status) end
  if answer.error then return nil, answer.error.message end
  return answer, text
end

local SHORT = 12
--- An id as it is shown.
function M.short(id) return id:sub(1, SHORT) end

-- Those of a kind ("incidents", …) whose id begins so, two at most; or nil and why.
local function those_of(config, kind, prefix)
  local answer, why = M.ask(config, "GET", kind .. M.query { { "id", prefix }, { "limit", 2 } })
  if not answer then return nil, why end
  return answer[kind]
end

--- The one thing among these kinds whose id begins so, and its kind; or nil and why.
function M.find(config, kinds, prefix)
  local found, kind = {}, nil
  if not prefix:find("^%x+$") then return nil, ("%q is no id: it has hex digits"):format(prefix) end
  for _, name in ipairs(kinds) do
    local list, why = those_of(config, name, prefix:lower())
    if not list then return nil, why end
    for _, thing in ipairs(list) do found[#found + 1], kind = thing, name end
  end
  if #found == 1 then return found[1], kind end
  local what = table.concat(kinds, " or "):gsub("s%f[%W]", "")
  if #found == 0 then return nil, ("no %s has an id that begins with %s"):format(what, prefix) end
  return nil, ("several ids begin with %s, as %s and %s: give more of it"):format(prefix, found[1].id, found[2].id)
end

-- ---- printing -----------------------------------------------------------------------------------

--- Text that does nothing to a terminal.
function M.clean(text)
  return (tostring(text):gsub("%c", "?"):gsub("\194[\128-\159]", "?"))
end

local function width(text) return #text:gsub("[\128-\191]", "") end

--- Columns to the left, a line a row.
function M.columns(rows)
  local widths, lines = {}, {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, width(cell)) end
  end
  for k, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do cells[i] = cell .. (" "):rep(widths[i] - width(cell)) end
    lines[k] = table.concat(cells, "  "):gsub("%s+$", "")
  end
  return table.concat(lines, "\n") .. "\n"
end

--- "route=/a service=shop", by name.
function M.labels(labels)
  local names, words = {}, {}
  for name in pairs(labels) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do words[i] = M.clean(("%s=%s"):format(name, tostring(labels[name]))) end
  return table.concat(words, " ")
end

--- Seconds since 1970 of a time as the agent writes it, which is UTC.
function M.seconds(text)
  local year, month, day, hour, minute, second = text:match("^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)")
  -- Days since March of the year 0: a leap day is the last of its year then.
  year, month = tonumber(year), tonumber(month)
  if month < 3 then year, month = year - 1, month + 12 end
  local days = 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5) + day - 1 - 719468
  return days * 86400 + hour * 3600 + minute * 60 + second
end

--- How long ago that is: "5m".
function M.ago(text, now)
  local s = math.max(0, (now or os.time()) - M.seconds(text))
  if s < 120 then return ("%ds"):format(s) end
  if s < 7200 then return ("%dm"):format(math.floor(s / 60)) end
  if s < 172800 then return ("%dh"):format(math.floor(s / 3600)) end
  return ("%dd"):format(math.floor(s / 86400))
end

--- A time from now on, as the agent reads it.
function M.time_in(seconds) return os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + math.ceil(seconds)) end

--- Who speaks to it.
function M.person(config) return config.flags.by or os.getenv("USER") or "" end

return M
