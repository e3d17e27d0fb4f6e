--- A YAML text as a tree, in which everything knows its place. YAML 1.2's core schema decides what a plain scalar is,
-- but that only `true` and `false` are booleans; what is quoted is text. Nodes:
--   { kind = "mapping", { key node, value node } …, get = key -> value node }
--   { kind = "list", node … }
--   { kind = "scalar", value (text, number, int64 or boolean; nil for null), text, quoted }
-- each with line and column.
local abi = require("fluo.abi")
local scan = require("fluo.dialect.scan")
local ffi = abi.ffi

local M = { DEPTH_MAX = 32, NODES_MAX = 100000 }

-- ---- places -------------------------------------------------------------------------------------

-- Characters to bytes: events come in order of place, so one walk through the text serves them all.
local function walker(text)
  local characters, byte = 0, 1
  return function(at)
    if at < characters then characters, byte = 0, 1 end
    while characters < at and byte <= #text do
      local lead = text:byte(byte)
      byte = byte + (lead < 0x80 and 1 or lead < 0xe0 and 2 or lead < 0xf0 and 3 or 4)
      characters = characters + 1
    end
    return math.min(byte, #text + 1)
  end
end

local function wrong(at, message, hint)
  error({ line = at.line, column = at.column, message = message, hint = hint }, 0)
end

-- ---- scalars ------------------------------------------------------------------------------------

local WORDS = { ["true"] = true, ["false"] = false }
local NULLS = { [""] = true, ["~"] = true, null = true, Null = true, NULL = true }
local NO_NUMBER = { [".inf"] = true, [".Inf"] = true, [".INF"] = true, [".nan"] = true, [".NaN"] = true,
                    [".NAN"] = true }

local function decimal(text)
  local body = text:match("^[+-]?([%d.]+)([eE][+-]?%d+)$")
  body = body or text:match("^[+-]?([%d.]+)$")
  if not body or not (body:find("^%d+%.?%d*$") or body:find("^%.%d+$")) then return nil end
  return scan.number((text:gsub("^%+", "")))
end

local function plain(node)
  local text = node.text
  if WORDS[text] ~= nil then return WORDS[text] end
  if NULLS[text] then return nil end
  if text:find("^0o[0-7]+$") then return tonumber(text:sub(3), 8) end
  if text:find("^0x%x+$") then return tonumber(text:sub(3), 16) end
  if NO_NUMBER[text:gsub("^[+-]", "")] then wrong(node, ("nothing compares with `%s`"):format(text), "quote it") end
  local number = decimal(text)
  if number ~= nil then return number end
  return text
end

local function scalar(event, node)
  local tag = event.tag ~= nil and ffi.string(event.tag, event.tag_len) or nil
  node.kind, node.text, node.quoted = "scalar", ffi.string(event.text, event.len), event.quoted ~= 0
  if tag and tag ~= "!" and tag ~= "tag:yaml.org,2002:str" then
    wrong(node, ("the tag `%s` is not taken"):format(tag), ("if it is text, quote it: %q"):format(tag))
  end
  if node.quoted or tag then node.value = node.text else node.value = plain(node) end
  return node
end

-- ---- the tree -----------------------------------------------------------------------------------

local Reader = {}
Reader.__index = Reader

function Reader:next()
  abi.C.fluo_yaml_next(self.yaml, self.event)
  local event = self.event
  local byte = event.in_bytes ~= 0 and math.min(event.at + 1, #self.text + 1) or self.byte_of(event.at)
  local node = {}
  node.line, node.column = self.scan:place(byte)
  if event.type == abi.C.FLUO_YAML_ERROR then
    wrong(node, "this is not YAML: " .. ffi.string(event.text, event.len), self.hint and self.hint(node))
  end
  self.nodes = self.nodes + 1
  if self.nodes > M.NODES_MAX then
    wrong(node, ("a file has at most %d values"):format(M.NODES_MAX), "split it into several files")
  end
  return event, node
end

local function key_text(key)
  if key.kind ~= "scalar" then wrong(key, "a key is text") end
  return key.text
end

function Reader:mapping(node, depth)
  node.kind, node.get = "mapping", {}
  while true do
    local key = self:value(depth)
    if not key then return node end
    local name = key_text(key)
    if node.get[name] then wrong(key, ("the key `%s` stands twice"):format(name)) end
    local value = self:value(depth)
    node[#node + 1], node.get[name] = { key, value }, value
  end
end

function Reader:list(node, depth)
  node.kind = "list"
  local item = self:value(depth)
  while item do
    node[#node + 1] = item
    item = self:value(depth)
  end
  return node
end

-- The next value, or nil where what it would stand in ends.
function Reader:value(depth)
  local event, node = self:next()
  if event.type == abi.C.FLUO_YAML_CLOSE then return nil end
  if event.type == abi.C.FLUO_YAML_SCALAR then return scalar(event, node) end
  if event.type == abi.C.FLUO_YAML_ALIAS then wrong(node, "an alias is not taken", "write the value again") end
  if depth >= M.DEPTH_MAX then wrong(node, ("values nest at most %d deep"):format(M.DEPTH_MAX)) end
  return self[event.type == abi.C.FLUO_YAML_LIST and "list" or "mapping"](self, node, depth + 1)
end

function Reader:documents()
  local list = {}
  while true do
    local event = self:next()
    if event.type == abi.C.FLUO_YAML_END then return list end
    list[#list + 1] = self:value(0)
    self:next()                                           -- the document's end
  end
end

--- The documents of a text; or nil and what is wrong: { line, column, message, hint }. hint(node): what may be meant
-- where it is no YAML.
function M.read(text, hint)
  local reader = setmetatable({ text = text, scan = scan.new(text), byte_of = walker(text), nodes = 0, hint = hint,
                                event = ffi.new("struct fluo_yaml_event") }, Reader)
  reader.yaml = abi.C.fluo_yaml_open(text, #text)
  if reader.yaml == nil then return nil, { line = 1, column = 1, message = "out of memory" } end
  local ok, result = pcall(reader.documents, reader)
  abi.C.fluo_yaml_close(reader.yaml)
  if ok then return result end
  if type(result) ~= "table" then error(result, 0) end
  return nil, result
end

return M
