--- `fluo config show`: every key, its value, and where that comes from.
local schema = require("fluo.config.schema")

local M = {}

local function json_text(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function printable(text)
  return (text:gsub("%c", "?"))
end

local function json(rows)
  local lines = {}
  for _, row in ipairs(rows) do
    local value = type(row.value) == "boolean" and row.shown or json_text(row.shown)
    lines[#lines + 1] = ('  {"key": "%s", "value": %s, "source": %s}'):format(row.key, value, json_text(row.source))
  end
  return "[\n" .. table.concat(lines, ",\n") .. "\n]\n"
end

local function columns(rows)
  local widths = { 3, 5 }
  for _, row in ipairs(rows) do
    widths[1] = math.max(widths[1], #row.key)
    widths[2] = math.max(widths[2], #row.shown)
  end
  local format = ("%%-%ds  %%-%ds  %%s\n"):format(widths[1], math.min(widths[2], 60))
  local lines = { format:format("KEY", "VALUE", "SOURCE") }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = format:format(row.key, printable(row.shown), printable(row.source))
  end
  return table.concat(lines)
end

-- Its type and what is set of it: values may be secrets.
local function shown_receiver(receiver)
  local names = {}
  for name in pairs(receiver.settings) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return ("%s (%s)"):format(receiver.type, table.concat(names, " "))
end

--- The table as text.
function M.render(result)
  local rows = {}
  for i, entry in ipairs(schema) do
    local given = result.values[entry.key]
    rows[i] = { key = entry.key, value = given.value, shown = entry.type.show(given.value), source = given.source }
  end
  for _, receiver in ipairs(result.alerting.receivers) do
    rows[#rows + 1] = { key = "receivers." .. receiver.name, shown = shown_receiver(receiver), source = result.file }
  end
  return result.flags.json and json(rows) or columns(rows)
end

function M.print(result)
  return io.stdout:write(M.render(result)) and io.stdout:flush() and 0 or 1
end

return M
