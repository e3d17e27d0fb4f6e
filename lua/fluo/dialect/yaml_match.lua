--- What a value in YAML compares as: globs, and paths of absolute URLs.
local code = require("fluo.dialect.code")
local span = require("fluo.dialect.span")

local M = {}

--- The names of operators, `_` as `-`, in any case.
local NAMES = {
  eq = { "eq", "equals", "=", "==" }, ne = { "ne", "not-equals", "!=", "<>" }, gt = { "gt", "greater-than", ">" },
  ge = { "ge", "greater-or-equal", "greater-than-or-equal", ">=" }, lt = { "lt", "less-than", "<" },
  le = { "le", "less-or-equal", "less-than-or-equal", "<=" }, one_of = { "in" }, none_of = { "not-in" },
  contains = { "contains" }, prefix = { "starts-with" }, suffix = { "ends-with" }, matches = { "matches" },
  exists = { "exists" }, missing = { "missing" },
}
M.OPS, M.names = {}, {}
for op, names in pairs(NAMES) do
  for _, name in ipairs(names) do
    M.OPS[name], M.names[#M.names + 1] = op, name
  end
end
table.sort(M.names)

function M.operator(text) return M.OPS[text:lower():gsub("_", "-") .. ""] end

-- ---- paths --------------------------------------------------------------------------------------

local AUTHORITY, REST = "[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "(?:[?#].*)?"

local function escape(text, glob)
  if not glob then return span.escape(text) end
  return (span.escape(text):gsub("\\%*", "[^?#]*"))
end

-- Whether `/`, which is what an empty path means, matches too.
local function takes_empty(text, how) return text == "/" or how == "glob" and text:find("^/%*+$") ~= nil end

-- The absolute URLs whose path matches; nil where none can.
local function url_of(text, how)
  if text:sub(1, 1) ~= "/" or text:find("[?#]") then return nil end
  local path = escape(text, how == "glob")
  if how == "prefix" then path = path .. "[^?#]*" end
  if how == "suffix" then path = "(?:/[^?#]*)?" .. path end
  return "(?s)" .. AUTHORITY .. "(?:" .. path .. ")" .. (takes_empty(text, how) and "?" or "") .. REST
end

-- The absolute URLs whose path a regular expression matches, however much of it a query would let match: what stands
-- behind the path is found first, and has to be what is left. nil where the group for that would shift others' numbers.
local function url_of_expression(text)
  if text:sub(1, 1) ~= "/" or text:find("\\[%dg]") or text:find("%(%?[+-]?[%dR]") then return nil end
  return "(?s)(?=" .. AUTHORITY .. "[^?#]*(" .. REST .. ")$)" .. AUTHORITY .. "(?:" .. text .. ")\\1"
end

-- ---- matching -----------------------------------------------------------------------------------

local OPERAND = { eq = function(text) return text end }
for _, how in ipairs { "glob", "prefix", "suffix" } do
  OPERAND[how] = function(text) return code.call(how, text) end
end

local function takes_text(subject) return subject.text or subject.open end

-- The pattern of one text, and whether it is more than the one operand.
local function text_match(subject, how, text)
  local plain = subject.set(OPERAND[how](text))
  local url = takes_text(subject) and url_of(text, how)
  if not url then return plain, how == "glob" end
  return code.call("any_of", code.list { plain, subject.set(code.call("matches", url)) }), true
end

-- Equality: a star in the value is a glob.
local function equal(subject, value)
  if type(value) ~= "string" then return subject.set(value), false end
  return text_match(subject, takes_text(subject) and value:find("*", 1, true) and "glob" or "eq", value)
end
M.equal = equal

-- Present, and not so.
local function absent(subject, node)
  return code.call("all_of", code.list { subject.set(code.name("exists")), code.call("not_", node) })
end

local function in_list(subject, values)
  local patterns = { subject.set(code.call("one_of", code.list(values))) }
  for _, value in ipairs(values) do
    local url = type(value) == "string" and takes_text(subject) and url_of(value, "eq")
    if url then patterns[#patterns + 1] = subject.set(code.call("matches", url)) end
  end
  return code.join("any_of", patterns), #patterns > 1
end

local function expression(subject, text)
  local plain, url = subject.set(code.call("matches", text)), takes_text(subject) and url_of_expression(text)
  return url and code.call("any_of", code.list { plain, subject.set(code.call("matches", url)) }) or plain
end

--- subject op value; the value of one_of and none_of is a list.
function M.compare(subject, op, value)
  if op == "exists" or op == "missing" then return subject.set(code.name(op)) end
  if op == "eq" then return (equal(subject, value)) end
  if op == "one_of" then return (in_list(subject, value)) end
  if (op == "prefix" or op == "suffix") and type(value) == "string" then return (text_match(subject, op, value)) end
  if op == "matches" then return expression(subject, value) end
  if op == "ne" then
    local node, more = equal(subject, value)
    if more then return absent(subject, node) end
  elseif op == "none_of" then
    local node, more = in_list(subject, { unpack(value) })
    if more then return absent(subject, node) end
    value = code.list(value)
  end
  return span.compare(subject, op, value)
end

return M
