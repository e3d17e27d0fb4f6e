--- What a rule file may use of Lua (rules/README.md): an allow-list, fresh for each file, so that no
-- file can change what another sees, and with nothing in it that differs from one process to the next:
-- no addresses, no order of a hash table, no clock, no randomness.
local M = {}

local real_tostring, real_next = tostring, next
local real_format, real_rawget = string.format, rawget

--- Handles (cdata) that `pairs` can walk: a function here takes a value and returns iterator, state and
-- first key, or nil when the value is none of its own.
M.iterators = {}

--- The place of a handle among keys that are no text and no number: a function here takes a key and
-- returns a number, or nil when the key is none of its own.
M.ranks = {}

local ADDRESSED = { table = true, ["function"] = true, thread = true, userdata = true, cdata = true }

--- tostring without addresses: "table", "function".
function M.tostring(value)
  local text = real_tostring(value)
  if not ADDRESSED[type(value)] then return text end
  return (text:gsub(": 0x%x+$", ""):gsub(": builtin#%d+$", ""):gsub(": NULL$", ""))
end

-- ---- an order for keys --------------------------------------------------------------------------

local CLASS = { number = 1, string = 2, boolean = 3 }

local function rank_of(key)
  for _, rank in ipairs(M.ranks) do
    local n = rank(key)
    if n then return n end
  end
  return nil
end

-- A key that is a table or a function has no place among others of its kind but its address.
local function check_ranks(keys)
  local ranks, unranked = {}, 0
  for _, key in ipairs(keys) do
    if not CLASS[type(key)] then
      ranks[key] = rank_of(key)
      if not ranks[key] then unranked = unranked + 1 end
    end
  end
  if unranked > 1 then error("pairs: keys that are tables or functions have no order", 4) end
  return ranks
end

local function before(ranks)
  return function(a, b)
    local class_a, class_b = CLASS[type(a)] or 4, CLASS[type(b)] or 4
    if class_a ~= class_b then return class_a < class_b end
    if class_a <= 2 then return a < b end
    if class_a == 3 then return not a and b end
    return (ranks[a] or math.huge) < (ranks[b] or math.huge)
  end
end

local function sorted_keys(t)
  local keys, n = {}, 0
  for key in real_next, t do
    n = n + 1
    keys[n] = key
  end
  table.sort(keys, before(check_ranks(keys)))
  return keys
end

function M.pairs(t)
  if type(t) ~= "table" then
    for _, iterator in ipairs(M.iterators) do
      local step, state, first = iterator(t)
      if step then return step, state, first end
    end
    error(("pairs: a table was expected, not a %s"):format(type(t)), 2)
  end
  local keys, i = sorted_keys(t), 0
  return function()
    local value
    repeat
      i = i + 1
      if keys[i] == nil then return nil end
      value = real_rawget(t, keys[i])
    until value ~= nil
    return keys[i], value
  end, t, nil
end

-- `next` walks the same order. The keys of a walk are kept until the table goes or a walk starts anew.
local walks = setmetatable({}, { __mode = "k" })

function M.next(t, key)
  if type(t) ~= "table" then error(("next: a table was expected, not a %s"):format(type(t)), 2) end
  if real_next(t) == nil then return nil end
  local walk = walks[t]
  if key == nil or not walk or not walk.at[key] then
    walk = { keys = sorted_keys(t), at = {} }
    for i, k in ipairs(walk.keys) do walk.at[k] = i end
    walks[t] = walk
  end
  local i = key == nil and 1 or walk.at[key]
  if not i then error("next: no such key", 2) end
  if key ~= nil then i = i + 1 end
  while walk.keys[i] ~= nil do
    local value = real_rawget(t, walk.keys[i])
    if value ~= nil then return walk.keys[i], value end
    i = i + 1
  end
  return nil
end

-- ---- the library --------------------------------------------------------------------------------

-- format must not reach addresses either, by %p or by %s of a table.
local function format(pattern, ...)
  if type(pattern) == "string" and pattern:gsub("%%%%", ""):find("%%[-+ #0-9.]*p") then
    error("string.format: `%p` would print an address", 2)
  end
  local n, arguments = select("#", ...), { ... }
  for i = 1, n do
    if ADDRESSED[type(arguments[i])] and type(arguments[i]) ~= "cdata" then
      arguments[i] = M.tostring(arguments[i])
    end
  end
  return real_format(pattern, unpack(arguments, 1, n))
end

local LIBRARY = {
  string = { "byte", "char", "find", "gmatch", "gsub", "len", "lower", "match", "rep", "reverse", "sub",
             "upper" },
  table = { "concat", "insert", "maxn", "move", "remove", "sort" },
  math = { "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp", "floor", "fmod",
           "frexp", "huge", "ldexp", "log", "log10", "max", "min", "modf", "pi", "pow", "rad", "sin", "sinh",
           "sqrt", "tan", "tanh" },
  bit = { "arshift", "band", "bnot", "bor", "bswap", "bxor", "lshift", "rol", "ror", "rshift", "tobit",
          "tohex" },
  coroutine = { "create", "isyieldable", "resume", "running", "status", "wrap", "yield" },
}

-- Taken once, before anything can change them.
local function copy(library, names)
  local taken = {}
  for _, name in ipairs(names) do taken[name] = library[name] end
  return taken
end

local ORIGINAL = {}
for _, name in ipairs { "string", "table", "math", "coroutine" } do
  ORIGINAL[name] = copy(_G[name], LIBRARY[name])
end
ORIGINAL.bit = copy(require("bit"), LIBRARY.bit)
ORIGINAL.string.format = format

-- unpack and the like refuse nothing by themselves; they are bounded by the stack and the heap.
local BASE = {
  assert = assert, error = error, ipairs = ipairs, next = M.next, pairs = M.pairs, pcall = pcall,
  select = select, tonumber = tonumber, tostring = M.tostring, type = type, unpack = unpack,
}

--- Replaces what methods of strings find in this process: the safe copy, without `dump`. Once, before the
-- first rule file is evaluated.
function M.install()
  local safe = copy(ORIGINAL.string, LIBRARY.string)
  safe.format = format
  getmetatable("").__index = safe
end

--- A new environment: the allow-list, fresh copies of its libraries, and the entries of `api`.
-- An unknown global calls on_undefined(name), an assignment on_assign(name); both raise.
function M.environment(api, on_undefined, on_assign)
  local known = {}
  for name, value in real_next, BASE do known[name] = value end
  for name, library in real_next, ORIGINAL do
    local fresh = {}
    for key, value in real_next, library do fresh[key] = value end
    known[name] = fresh
  end
  for name, value in real_next, api do known[name] = value end
  return setmetatable({}, {
    __index = function(_, name)
      local value = known[name]
      if value == nil then on_undefined(name) end
      return value
    end,
    __newindex = function(_, name) on_assign(name) end,
    __metatable = false,
  }), known
end

-- ---- globals that a chunk names, without running it ---------------------------------------------

local has_util, util = pcall(require, "jit.util")
if not has_util then util = nil end

-- The constant that an instruction of the GGET or GSET form names.
local function constant(proto, instruction)
  return util.funck(proto, -bit.rshift(instruction, 16) - 1)
end

-- The opcode by which this LuaJIT reads or writes a global, found by compiling one.
local function opcode_of(source)
  local probe = loadstring(source, "=probe")
  for pc = 1, 16 do
    local instruction = util.funcbc(probe, pc)
    if not instruction then break end
    local found, name = pcall(constant, probe, instruction)
    if found and name == "probe_of_a_global" then return bit.band(instruction, 0xff) end
  end
  return nil
end

local GET = util and opcode_of("return probe_of_a_global")
local SET = util and opcode_of("probe_of_a_global = 1")

local function walk(proto, known, found)
  local info = util.funcinfo(proto)
  for pc = 1, info.bytecodes - 1 do
    local instruction = util.funcbc(proto, pc)
    local opcode = bit.band(instruction, 0xff)
    local name = (opcode == GET or opcode == SET) and constant(proto, instruction)
    if name and (opcode == SET or known[name] == nil) then
      found[#found + 1] = { name = name, assigned = opcode == SET, line = util.funcinfo(proto, pc).currentline }
    end
  end
  for i = 1, info.gcconsts do
    local child = util.funck(proto, -i)
    if type(child) == "proto" then walk(child, known, found) end
  end
end

--- Every use of a global that is not known, or that assigns one, in a compiled chunk, functions that never run
-- included, by line: { name, line, assigned }. Empty where this LuaJIT cannot tell.
function M.globals(chunk, known)
  local found = {}
  if GET and SET then walk(chunk, known, found) end
  table.sort(found, function(a, b)
    if a.line ~= b.line then return a.line < b.line end
    if a.name ~= b.name then return a.name < b.name end
    return not a.assigned and b.assigned
  end)
  return found
end

return M
