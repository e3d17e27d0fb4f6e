--- What is wrong with a rule file, where, and what to do: one entry, as text for people or as JSON.
--   { severity = "error" | "warning", code (of a warning: lint/allow.lua), file, line, column, message, hint,
--     excerpt (the line) }
local M = {}

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

-- A run of bytes beyond ASCII, in which those that are no UTF-8 are U+FFFD.
local function repaired(run)
  local pieces, at = {}, 1
  while at <= #run do
    local lead = run:byte(at)
    local n = lead >= 0xf0 and lead < 0xf5 and 4 or lead >= 0xe0 and lead < 0xf0 and 3 or lead >= 0xc2 and 2
    local whole = n and run:match("^[\128-\191]+", at + 1)
    if not whole or #whole < n - 1 or lead >= 0xf5 then n = nil end
    pieces[#pieces + 1] = n and run:sub(at, at + n - 1) or "\239\191\189"
    at = at + (n or 1)
  end
  return table.concat(pieces)
end

local function quote(text)
  return '"' .. text:gsub("[\128-\255]+", repaired):gsub('[%c"\\\127]', function(c)
    return ESCAPES[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

--- A text as JSON has it; bytes that are no UTF-8 are U+FFFD.
M.quote = quote

local function object(d, keys)
  local pieces = {}
  for _, key in ipairs(keys) do
    local value = d[key]
    if value then
      pieces[#pieces + 1] = quote(key) .. ":" .. (type(value) == "number" and ("%d"):format(value) or quote(value))
    end
  end
  return "{" .. table.concat(pieces, ",") .. "}"
end

--- One JSON object, without a line end.
function M.json(d) return object(d, { "severity", "code", "file", "line", "column", "message", "hint" }) end

--- The same as a line of the agent's log.
function M.log(d, time)
  local entry = { time = time, level = d.severity == "warning" and "warn" or d.severity, message = d.message,
    code = d.code, file = d.file, line = d.line, column = d.column, hint = d.hint }
  return object(entry, { "time", "level", "message", "code", "file", "line", "column", "hint" })
end

local EXCERPT_BYTES_MAX = 160

-- The line, and below it a caret. Tabs stay tabs, so that the caret stands right below; a character of
-- several bytes is one place.
local function excerpt(d)
  local line = d.excerpt
  if not line or not line:find("%S") or #line > EXCERPT_BYTES_MAX then return nil end
  local before = line:sub(1, d.column - 1):gsub("[\128-\191]", ""):gsub("[^\t]", " ")
  return ("    %s\n    %s^"):format(line:gsub("[%z\1-\8\11-\31\127]", "?") .. "", before)
end

-- The message, and of a warning its code.
local function said(d) return d.code and ("%s [%s]"):format(d.message, d.code) or d.message end

--- "file:line:column: error: message" (or "… warning: message [code]"), the line with a caret, and the hint. Ends
-- without a line end.
function M.text(d)
  local lines = { ("%s:%d:%d: %s: %s"):format(d.file, d.line, d.column, d.severity, said(d)) }
  lines[#lines + 1] = excerpt(d)
  if d.hint then lines[#lines + 1] = "  hint: " .. d.hint end
  return table.concat(lines, "\n")
end

--- One line of text: "error: file:line:column: message (hint)".
function M.line(d)
  local hint = d.hint and (" (%s)"):format(d.hint) or ""
  local text = ("%s: %s:%d:%d: %s%s"):format(d.severity, d.file, d.line, d.column, said(d), hint)
  return (text:gsub("%c", "?"))
end

--- Orders entries by place, for output that is the same in every process.
function M.sort(list)
  for i, d in ipairs(list) do d.order = i end
  table.sort(list, function(a, b)
    if a.file ~= b.file then return a.file < b.file end
    if a.line ~= b.line then return a.line < b.line end
    if a.column ~= b.column then return a.column < b.column end
    return a.order < b.order
  end)
  for _, d in ipairs(list) do d.order = nil end
end

return M
