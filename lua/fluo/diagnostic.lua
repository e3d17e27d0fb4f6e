--- What is wrong with a rule file, where, and what to do: one entry, as text for people or as JSON.
--   { severity = "error" | "warning", file, line, column, message, hint, excerpt (the line) }
local M = {}

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function quote(text)
  return '"' .. text:gsub('[%c"\\\127]', function(c)
    return ESCAPES[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

--- One JSON object, without a line end.
function M.json(d)
  local pieces = {}
  for _, key in ipairs { "severity", "file", "line", "column", "message", "hint" } do
    local value = d[key]
    if value then
      pieces[#pieces + 1] = quote(key) .. ":" .. (type(value) == "number" and ("%d"):format(value) or quote(value))
    end
  end
  return "{" .. table.concat(pieces, ",") .. "}"
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

--- "file:line:column: error: message", the line with a caret, and the hint. Ends without a line end.
function M.text(d)
  local lines = { ("%s:%d:%d: %s: %s"):format(d.file, d.line, d.column, d.severity, d.message) }
  lines[#lines + 1] = excerpt(d)
  if d.hint then lines[#lines + 1] = "  hint: " .. d.hint end
  return table.concat(lines, "\n")
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
