--- Templates of summaries and log messages: "{service}: {span.name} took {span.duration} ms" becomes a list
-- of parts, each a literal or a field of the violation's first witness.
local field = require("fluo.field")
local suggest = require("fluo.suggest")

local M = {}

M.PARTS_MAX = 1000

local OF_VIOLATION = { rule = "RULE", severity = "SEVERITY", value = "VALUE", threshold = "THRESHOLD",
                       reason = "REASON", span_total = "SPAN_TOTAL", baseline = "BASELINE" }
local NAMES = { "rule", "severity", "value", "threshold", "reason", "span_total", "baseline", "name", "service",
                "status", "status_message", "kind", "duration", "start", "end_", "scope", "scope_version", "trace_id",
                "span_id", "parent_id", "trace_state", "root" }
local SPAN_NAMES = {}
for i, name in ipairs(NAMES) do
  if field.SPAN[name] then SPAN_NAMES[#SPAN_NAMES + 1] = NAMES[i] end
end

-- "x.key" or x["key"]: the key, or nil.
local function key_of(name, owner)
  if name:sub(1, #owner) ~= owner then return nil end
  local rest = name:sub(#owner + 1)
  return rest:match("^%[\"(.+)\"%]$") or rest:match("^%['(.+)'%]$") or rest:match("^%.(.+)$")
end

-- The part that a placeholder names, or nil, message, hint.
local function placeholder(name)
  if name == "" then return nil, "an empty placeholder `{}`", "name a field, or write `{{}}` for braces" end
  if OF_VIOLATION[name] then return { field = OF_VIOLATION[name] } end
  if field.SPAN[name] then return { field = field.SPAN[name] } end
  local resource, attribute = key_of(name, "resource"), key_of(name, "span.attributes")
  if resource then return { field = "RESOURCE", key = resource } end
  if attribute then return { field = "ATTRIBUTE", key = attribute } end
  local of_span = name:match("^span%.(.+)$")
  if of_span then
    if field.SPAN[of_span] then return { field = field.SPAN[of_span] } end
    return nil, ("a span has no field `%s`"):format(of_span),
      (suggest.hint(of_span, SPAN_NAMES) or "its fields are " .. table.concat(SPAN_NAMES, ", ") .. ";")
        .. (" an attribute is {span.attributes.%s}"):format(of_span)
  end
  return { field = "ATTRIBUTE", key = name }
end

--- The parts of a template: { field = "LITERAL", key = text } or { field, key }, or nil, message, hint, word.
function M.compile(text)
  local parts, literal, at = {}, {}, 1
  local function flush()
    local all = table.concat(literal)
    if all ~= "" then parts[#parts + 1] = { field = "LITERAL", key = all } end
    literal = {}
  end
  while at <= #text do
    local brace = text:find("[{}]", at)
    literal[#literal + 1] = text:sub(at, (brace or 0) - 1)
    if not brace then break end
    local c = text:sub(brace, brace)
    if text:sub(brace + 1, brace + 1) == c then
      literal[#literal + 1] = c
      at = brace + 2
    elseif c == "}" then
      return nil, "a `}` in the template that closes nothing", "a brace itself is written twice: `}}`"
    else
      local close = text:find("[{}]", brace + 1)
      if not close or text:sub(close, close) == "{" then
        return nil, "a `{` in the template is not closed", "a brace itself is written twice: `{{`"
      end
      flush()
      local name = text:sub(brace + 1, close - 1):match("^%s*(.-)%s*$")
      local part, message, hint = placeholder(name)
      if not part then return nil, message, hint, name ~= "" and name or nil end
      parts[#parts + 1] = part
      at = close + 1
    end
    if #parts > M.PARTS_MAX then return nil, ("a template has at most %d parts"):format(M.PARTS_MAX) end
  end
  flush()
  return parts
end

return M
