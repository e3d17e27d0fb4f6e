--- What an explanation calls things: values, times, spans, the entries of patterns, the parts of conditions. All of it
-- is printable: what came in with a trace cannot steer a terminal.
local diagnostic = require("fluo.diagnostic")

local M = {}

local TEXT_BYTES_MAX, ELEMENTS_SHOWN = 120, 5

-- At most so many bytes, cut between two characters.
local function cut(text)
  if #text <= TEXT_BYTES_MAX then return text end
  local last = TEXT_BYTES_MAX
  while last > 0 and text:find("^[\128-\191]", last + 1) do last = last - 1 end
  return text:sub(1, last) .. "…"
end

--- A text in quotes.
function M.quote(text) return (diagnostic.quote(cut(text)):gsub("\194[\128-\159]", "?")) end

--- A name as people read it: without quotes, on one line.
function M.name(text) return "`" .. M.quote((text:gsub("%s+", " "))):sub(2, -2):gsub('\\(["\\])', "%1") .. "`" end

local function whole(n) return (tostring(n):gsub("U?LL$", "")) end

--- A value as trace.lua gives it.
function M.value(v)
  local kind = type(v)
  if kind == "string" then return M.quote(v) end
  if kind == "number" then return ("%.14g"):format(v) end
  if kind ~= "table" then return whole(v) end
  if #v == 0 then return next(v) == nil and "[]" or "{…}" end
  local parts = {}
  for i = 1, math.min(#v, ELEMENTS_SHOWN) do parts[i] = M.value(v[i]) end
  if #v > ELEMENTS_SHOWN then parts[#parts + 1] = "…" end
  return "[" .. table.concat(parts, ", ") .. "]"
end

local function trimmed(format, n) return (format:format(n):gsub("0+$", ""):gsub("%.$", "")) end

--- A duration from nanoseconds, which may be negative, exact: "6.2 s", "300.000001 ms".
function M.time(ns)
  local n = tonumber(ns)
  local size = math.abs(n)
  if size >= 1e9 then return trimmed("%.9f", n / 1e9) .. " s" end
  if size >= 1e6 or n == 0 then return trimmed("%.6f", n / 1e6) .. " ms" end
  if size >= 1e3 then return trimmed("%.3f", n / 1e3) .. " us" end
  return ("%d ns"):format(n)
end

--- "1 span", "3 spans".
function M.counted(n, what) return ("%s %s%s"):format(whole(n), what, n == 1 and "" or "s") end

-- ---- entries of a pattern -----------------------------------------------------------------------

local FIELDS = { END = "end_", EVENT_NAME = "name", PARENT_SERVICE = "parent.service" }

--- What an author calls the field of an atom.
function M.field(atom)
  if atom.field == "ATTRIBUTE" then return (M.name(atom.key):sub(2, -2)) end
  if atom.field == "RESOURCE" then return "resource." .. M.name(atom.key):sub(2, -2) end
  return FIELDS[atom.field] or atom.field:lower()
end

--- A value of an atom, by the field that it is compared with.
function M.operand(atom, value)
  if value.type == "STRING" then return M.quote(value.text) end
  if value.type == "BOOL" then return value.integer == 1LL and "true" or "false" end
  if atom.field == "DURATION" then return M.time(value.integer) end
  return value.type == "INT" and whole(value.integer) or ("%.14g"):format(value.number)
end

local ONE = { EQ = "=", NE = "is not", GT = ">", GE = ">=", LT = "<", LE = "<=", CONTAINS = "contains",
              PREFIX = "starts with", SUFFIX = "ends with", GLOB = "is like", MATCHES = "matches",
              STRICT = "===" }
local MANY = { EQ = "is one of", NE = "is none of" }

local function atom_text(atom)
  local values = {}
  for i, value in ipairs(atom.values) do values[i] = M.operand(atom, value) end
  local name = M.field(atom)
  if atom.compare == "EXISTS" then return name .. " is there" end
  if atom.compare == "BETWEEN" then return ("%s between %s and %s"):format(name, values[1], values[2]) end
  local word = #values > 1 and MANY[atom.compare] or ONE[atom.compare]
  return ("%s %s %s"):format(name, word, table.concat(values, ", "))
end

local JOINED = { ["and"] = " and ", ["or"] = " or " }

--- An entry of a pattern (pattern.lua's formula).
function M.entry(node)
  if node.op == "atom" then return atom_text(node) end
  if node.op == "true" then return "anything" end
  if node.op == "function" then
    if node.shown then return node.shown end
    return ("the function of %s"):format(node.field and M.field(node) or "the " .. node.object)
  end
  local parts = {}
  for i, child in ipairs(node) do parts[i] = M.entry(child) end
  if node.op == "event" then return "an event: " .. parts[1] end
  if node.op == "link" then return "a link: " .. parts[1] end
  if node.op ~= "not" then return table.concat(parts, JOINED[node.op]) end
  if node[1].op == "atom" and node[1].compare == "EXISTS" then return M.field(node[1]) .. " is missing" end
  return "not (" .. parts[1] .. ")"
end

-- ---- parts of a condition -----------------------------------------------------------------------

local COMPARED = { GT = "over", GE = "at least", LT = "under", LE = "at most", EQ = "exactly", NE = "not" }

--- What a comparison asks for: "over 5", "between 1 s and 2 s".
function M.compared(node, show)
  if node.high and node.high ~= node.n then
    return ("%sbetween %s and %s"):format(node.op == "NE" and "not " or "", show(node.n), show(node.high))
  end
  return COMPARED[node.op] .. " " .. show(node.n)
end

local SCOPES = { below = "at or below", same = "on", beside = "in the trace of" }

local TEXTS = {
  has = function(node) return "has " .. M.name(node.pattern.label) end,
  missing = function(node) return "missing " .. M.name(node.pattern.label) end,
  all = function(node) return "every span is " .. M.name(node.pattern.label) end,
  count = function(node)
    return ("count %s%s"):format(M.compared(node, whole), node.within and " within " .. M.time(node.within) or "")
  end,
  duration = function(node) return "duration of the trace " .. M.compared(node, M.time) end,
  span_count = function(node) return "spans of the trace " .. M.compared(node, whole) end,
  satisfies = function(node) return "satisfies " .. M.name(node.label) end,
  within = function(node)
    return ("within %s%s"):format(M.time(node.ns), node.any_order and ", in any order" or "")
  end,
  where = function(node) return ("has the second %s a span of the first"):format(SCOPES[node.scope]) end,
  ql = function(node) return "ql " .. M.name(node.query.shown) end,
  relation = function(node) return (node.name:gsub("_", " ")) end,
  gap = function(node) return "gap " .. M.compared(node, M.time) end,
  window = function() return "window" end,
  sequence = function() return "sequence" end,
}
local PLAIN = { ["and"] = "all of these", ["or"] = "one of these", ["not"] = "not", followed = "followed by",
                not_followed_by = "not followed by", overlaps = "overlaps" }

--- A node of a condition (tree.lua), without its parts.
function M.condition(node) return PLAIN[node.kind] or TEXTS[node.kind](node) end

return M
