--- Why an entry of a pattern is false on a span that nearly satisfies the pattern, where something that is there
-- suggests it: the attribute by another name or in another place, the value by another spelling.
--
-- A hint is never a judgment: whether an entry holds the core has said. Each comes with a weight, by which the span is
-- chosen that tells most.
local abi = require("fluo.abi")
local filters = require("fluo.filter")
local span = require("fluo.explain.span")
local suggest = require("fluo.suggest")
local words = require("fluo.explain.words")
local ffi, C = abi.ffi, abi.C

local M = {}

local STRONG, WEAK = 2, 1
local SPANS_SEARCHED_MAX = 256
local VALUE_BYTES_MAX = 4096

local name = function(key) return words.name(key) end

local function squash(text) return (text:lower():gsub("[%s_%.%-/]", "")) end

-- ---- the key ------------------------------------------------------------------------------------

local function same_end(a, b)
  local last = a:match("[^.]+$")
  return last and #last >= 4 and a ~= last and b:match("[^.]+$") == last
end

-- The key of a list that is nearly this one: by case and punctuation, by edits, by its last part.
local function near_key(key, list)
  local keys = {}
  for i, pair in ipairs(list) do
    if squash(pair.key) == squash(key) then return pair end
    keys[i] = pair.key
  end
  local near = suggest.nearest(key, keys)
  for _, pair in ipairs(list) do
    if pair.key == near then return pair end
  end
  for _, pair in ipairs(list) do
    if same_end(key, pair.key) then return pair end
  end
end

local function of_key(key, list)
  for _, pair in ipairs(list) do
    if pair.key == key then return pair end
  end
end

local function said(pair) return ("%s = %s"):format(name(pair.key), words.value(pair.value)) end

local function renamed_key(key, list)
  local i, other = 0, C.fluo_renamed(key, #key, 0)
  while other ~= nil do
    local found = of_key(ffi.string(other), list)
    if found then return found end
    i = i + 1
    other = C.fluo_renamed(key, #key, i)
  end
end

-- The nearest ancestor that has the attribute.
local function ancestor_with(i, key)
  local parent = span.tree().parent
  local at = parent[i]
  for _ = 1, SPANS_SEARCHED_MAX do
    if not at then return nil end
    local value = span.value(at, "ATTRIBUTE", key)
    if value ~= nil then return at, value end
    at = parent[at]
  end
end

local function elsewhere(view, key)
  for i = 0, math.min(view.n, SPANS_SEARCHED_MAX) - 1 do
    local value = span.value(i, "ATTRIBUTE", key)
    if value ~= nil then return i, value end
  end
end

-- The same key, somewhere else: text and weight.
local function moved(view, i, key)
  local found = of_key(key, span.all(i, "resource"))
  if found then return ("its resource has %s: ask for it in `resource = { … }`"):format(said(found)), STRONG end
  for _, event in ipairs(span.events(i)) do
    found = of_key(key, event.attributes)
    if found then
      return ("its event %s has %s: ask for it in `event = { … }`"):format(name(event.name), said(found)), STRONG
    end
  end
  found = of_key(key, span.all(i, "scope_attributes"))
  if found then return ("its scope has %s, which only functions see"):format(said(found)), STRONG end
  local at, value = ancestor_with(i, key)
  if at then return ("%s above it has %s"):format(span.text(at), said { key = key, value = value }), STRONG end
  at, value = elsewhere(view, key)
  if not at then return nil end
  return ("another span has it: %s has %s"):format(span.text(at),
    said { key = M.renamed(key, at) or key, value = value }), WEAK
end

local function absent_attribute(view, i, key)
  local list = span.all(i, "attributes")
  local found = renamed_key(key, list)
  if found then
    return ("the span has %s: another convention's name for it, and semconv.renames is off"):format(said(found)),
      STRONG
  end
  found = near_key(key, list)
  if found then return ("the span has %s"):format(said(found)), STRONG end
  local text, weight = moved(view, i, key)
  if text then return text, weight end
  return "no span of this trace has that attribute", 0
end

local function absent_resource(i, key)
  local found = near_key(key, span.all(i, "resource"))
  if found then return ("the resource has %s"):format(said(found)), STRONG end
  found = of_key(key, span.all(i, "attributes"))
  if found then return ("the span itself has %s: ask for it outside of `resource`"):format(said(found)), STRONG end
end

local function absent(view, atom, i)
  if span.is_shed(i) then return "the span gave back its attributes under memory pressure", STRONG end
  if atom.field == "ATTRIBUTE" then return absent_attribute(view, i, atom.key) end
  if atom.field == "RESOURCE" then return absent_resource(i, atom.key) end
  if atom.field == "SERVICE" then return "its resource has no service.name", WEAK end
end

-- ---- the value ----------------------------------------------------------------------------------

local function signs_of_error(i)
  for _, event in ipairs(span.events(i)) do
    if event.name == "exception" then return "it has an exception event" end
  end
  for _, key in ipairs { "http.response.status_code", "rpc.grpc.status_code", "error.type" } do
    local value = span.value(i, "ATTRIBUTE", key)
    local code = tonumber(value)
    if value ~= nil and (not code or code >= 400 or key:find("grpc") and code > 0) then
      return ("it has %s"):format(said { key = M.renamed(key, i) or key, value = value })
    end
  end
end

local function of_status(asked, value, i)
  if asked == "EXPLICIT_OK" and value == "UNSET" then
    return 'instrumentation leaves success UNSET; "OK" matches both', STRONG
  elseif asked == "ERROR" and value == "UNSET" then
    local sign = signs_of_error(i)
    if sign then return ("%s, but nothing set its status"):format(sign), STRONG end
  elseif asked == "OK" and value == "UNSET" then
    return "status_ok_is_explicit is on, so \"OK\" does not match UNSET", STRONG
  end
end

-- Two texts, of which the rule asks for the first.
local function of_texts(asked, value)
  if #value > VALUE_BYTES_MAX then return nil end
  if squash(asked) == squash(value) then
    return ("only case, space or punctuation differ from %s"):format(words.quote(asked)), STRONG
  elseif asked:find("*", 1, true) then
    return ("a `*` in plain text is a star: write glob %s"):format(words.quote(asked)), STRONG
  elseif suggest.nearest(asked, { value }) then
    return ("nearly %s: a slip of the pen?"):format(words.quote(asked)), STRONG
  elseif #asked > 0 and value:lower():find(asked:lower(), 1, true) then
    return "it holds that text, and more: see contains, prefix, suffix, glob", STRONG
  end
end

local function of_equality(atom, value, i)
  local text, weight
  for _, operand in ipairs(atom.values) do
    local asked = operand.type == "STRING" and operand.text
    if atom.field == "STATUS" then text, weight = of_status(asked, value, i)
    elseif asked and type(value) == "string" then text, weight = of_texts(asked, value)
    elseif operand.type == "BOOL" and type(value) == "string" and value:lower():find("^%s*[tf]") then
      text, weight = 'as text only "true" and "false" are booleans', WEAK
    elseif not asked and type(value) == "string" and not tonumber(value) then
      text, weight = "that is text, and no number", WEAK
    end
    if text then return text, weight end
  end
end

-- `matches` and `glob` hold for all of a text; whether they hold for a part of it the core can say, too.
local function of_part(atom, i)
  local given = atom.values[1].text
  local wider = atom.compare == "GLOB" and "*" .. given .. "*" or "[\\s\\S]*(?:" .. given .. ")[\\s\\S]*"
  local ast = { op = "atom", field = atom.field, key = atom.key, compare = atom.compare,
                values = { { type = "STRING", text = wider } } }
  local good, holds = pcall(function()
    return filters.truth(filters.compile { ast = ast, label = "" }, span.offset(i), span.trace_id())
  end)
  if good and holds then return ("a part of it is so; %s is about all of it"):format(atom.compare:lower()), STRONG end
end

local OF_TEXT = { PREFIX = true, SUFFIX = true, CONTAINS = true }

local function wrong_value(atom, value, i)
  if atom.field == "DURATION" and span.is_skewed(i) then
    return "it ends before it starts, or has no end, so its duration is 0", STRONG
  elseif atom.compare == "EQ" then return of_equality(atom, value, i)
  elseif atom.compare == "GLOB" or atom.compare == "MATCHES" then return of_part(atom, i)
  elseif OF_TEXT[atom.compare] then
    if type(value) == "string" and squash(value):find(squash(atom.values[1].text), 1, true) then
      return "only its case, punctuation or place differ", WEAK
    end
  elseif type(value) == "string" and not tonumber(value) and atom.compare ~= "NE" then
    return "that is text, and no number: it has no order", WEAK
  end
end

-- ---- an atom ------------------------------------------------------------------------------------

--- The key by which a span's attribute is found where it lacks the one that was asked for; nil: that one is there.
function M.renamed(key, i)
  local list = span.all(i, "attributes")
  if of_key(key, list) then return nil end
  local found = renamed_key(key, list)
  return found and found.key
end

--- Why an atom is false on span i of a view, where something suggests it: a hint or nil, its weight.
function M.of(view, atom, i)
  local good, value = pcall(span.value, i, atom.field, atom.key)
  if not good then return nil, 0 end
  local text, weight
  if value == nil then text, weight = absent(view, atom, i) else text, weight = wrong_value(atom, value, i) end
  if value == nil and atom.compare == "NE" and weight == 0 then
    text = "where it is absent every comparison is false, ne too; not_ { … } holds there"
  end
  return text, weight or 0
end

return M
