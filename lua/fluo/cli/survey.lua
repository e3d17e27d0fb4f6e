--- What there is in recorded traces: services, span names, and attribute keys with their types and some values.
-- Bounded: of each list so many, the first to come; what found no place is counted.
local abi = require("fluo.abi")
local ffi = abi.ffi

local M = {}

--- Distinct entries of one list, values kept of a key, bytes of a value.
M.ENTRIES_MAX, M.EXAMPLES_MAX, M.EXAMPLE_BYTES_MAX = 10000, 3, 40

--- The lists of keys, in the order in which they are shown.
M.LEVELS = { "span", "resource", "event", "link", "scope" }

local SECRETS = { "password", "passwd", "secret", "token", "authorization", "api[%._%-]?key", "cookie", "credential",
                  "private[%._%-]?key" }

local function looks_secret(key)
  local lower = key:lower()
  for _, pattern in ipairs(SECRETS) do
    if lower:find(pattern) then return true end
  end
  return false
end

local function list() return { by = {}, count = 0, more = 0 } end

-- The entry of a name, made where there is room; nil: there is none.
local function entry_of(of, name)
  local entry = of.by[name]
  if entry then return entry end
  if of.count >= M.ENTRIES_MAX then
    of.more = of.more + 1
    return nil
  end
  entry = { name = name, count = 0 }
  of.by[name], of.count = entry, of.count + 1
  return entry
end

local function count(of, name)
  local entry = entry_of(of, name)
  if entry then entry.count = entry.count + 1 end
end

-- ---- values -------------------------------------------------------------------------------------

local TYPES = { [0] = "none", "string", "bool", "int", "double", "array", "map", "bytes" }

--- A text that fits a line: control characters as ?, cut between characters.
function M.cut(text, max)
  if #text > max then
    local last = max
    while last > 0 and text:byte(last + 1) >= 128 and text:byte(last + 1) < 192 do last = last - 1 end
    text = text:sub(1, last) .. "…"
  end
  return (text:gsub("%c", "?"))
end

--- A value as text; nil of an array, a map, bytes.
function M.shown(value)
  local kind = TYPES[value.type]
  if kind == "string" then
    -- A long one is cut before it is copied.
    return M.cut(ffi.string(value.text, math.min(value.len, M.EXAMPLE_BYTES_MAX + 4)), M.EXAMPLE_BYTES_MAX)
  elseif kind == "bool" then return value.integer ~= 0 and "true" or "false"
  elseif kind == "int" then return (tostring(value.integer):gsub("U?LL$", ""))
  elseif kind == "double" then return ("%.14g"):format(value.number) end
end

local function note_value(entry, value)
  local kind = TYPES[value.type]
  entry.types = entry.types or {}
  entry.types[kind] = (entry.types[kind] or 0) + 1
  entry.examples = entry.examples or { secret = looks_secret(entry.name) }
  local examples = entry.examples
  if #examples >= M.EXAMPLES_MAX then return end
  local text = not examples.secret and M.shown(value)
  if not text then return end
  for _, known in ipairs(examples) do
    if known == text then return end
  end
  examples[#examples + 1] = text
end

-- ---- spans --------------------------------------------------------------------------------------

local pair, key, value = ffi.new("struct fluo_item"), ffi.new("struct fluo_item"), ffi.new("struct fluo_value")

-- The KeyValues in field `number` of a message.
local function note_attributes(of, text, n, number)
  pair.next = 0
  while abi.C.fluo_item_next(text, n, number, pair) ~= 0 do
    abi.C.fluo_key_value(pair.text, pair.len, key, value)
    local entry = entry_of(of, ffi.string(key.text, math.min(key.len, 256)))
    if entry then
      entry.count = entry.count + 1
      note_value(entry, value)
    end
  end
end

local function text_of(item) return item.text ~= nil and ffi.string(item.text, math.min(item.len, 256)) or "" end

local Survey = {}
Survey.__index = Survey

function M.new()
  local self = setmetatable({ spans = 0, services = list(), names = list() }, Survey)
  for _, level in ipairs(M.LEVELS) do self[level] = list() end
  return self
end

local SPAN_ATTRIBUTES, SPAN_EVENTS, SPAN_LINKS = 9, 11, 13
local EVENT_ATTRIBUTES, LINK_ATTRIBUTES, RESOURCE_ATTRIBUTES, SCOPE_ATTRIBUTES = 3, 4, 1, 3

function Survey:span_of(span)
  local part = ffi.new("struct fluo_item")
  self.spans = self.spans + 1
  count(self.names, text_of(span.name))
  if span.service.text ~= nil then count(self.services, text_of(span.service)) end
  note_attributes(self.span, span.message.text, span.message.len, SPAN_ATTRIBUTES)
  note_attributes(self.resource, span.resource.text, span.resource.len, RESOURCE_ATTRIBUTES)
  note_attributes(self.scope, span.scope.text, span.scope.len, SCOPE_ATTRIBUTES)
  for level, numbers in pairs { event = { SPAN_EVENTS, EVENT_ATTRIBUTES }, link = { SPAN_LINKS, LINK_ATTRIBUTES } } do
    part.next = 0
    while abi.C.fluo_item_next(span.message.text, span.message.len, numbers[1], part) ~= 0 do
      note_attributes(self[level], part.text, part.len, numbers[2])
    end
  end
end

--- Calls on_span(span), a struct fluo_recorded_span, for each of a file; until it returns false. true; or nil and why.
function M.each(path, on_span)
  local why, span = ffi.new("char[512]"), ffi.new("struct fluo_recorded_span")
  local file = abi.C.fluo_recorded_open(path, why)
  if file == nil then return nil, ffi.string(why) end
  local got = abi.C.fluo_recorded_next(file, span, why)
  while got > 0 and on_span(span) ~= false do got = abi.C.fluo_recorded_next(file, span, why) end
  abi.C.fluo_recorded_close(file)
  if got < 0 then return nil, ffi.string(why) end
  return true
end

--- The survey of a file; or nil, why, and what came before the fault.
function M.of_file(path)
  local self = M.new()
  local good, why = M.each(path, function(span) self:span_of(span) end)
  if not good then return nil, why end
  return self
end

--- A list, the most frequent first, ties by name: an array of entries.
function M.sorted(of)
  local entries = {}
  for _, entry in pairs(of.by) do entries[#entries + 1] = entry end
  table.sort(entries, function(a, b)
    if a.count ~= b.count then return a.count > b.count end
    return a.name < b.name
  end)
  return entries
end

return M
