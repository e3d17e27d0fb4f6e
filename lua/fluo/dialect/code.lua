--- Rules as trees of Lua expressions: what every dialect is turned into. `build` makes of a tree what the same Lua
-- in a rule file would make, by calling the same functions; `print` writes that Lua. So a rule means the same in every
-- dialect, and what `fluo convert` prints is what runs.
--   a plain value                    itself
--   { kind = "table", { key, node } … }                  M.table { … }
--   { kind = "list", node … }                            M.list { … }
--   { kind = "name", "missing" }                         M.name
--   { kind = "call", "glob", node … }                    M.call, may have a spot
--   { kind = "trace", "has", node … }, with spot         M.trace: trace.has(…)
--   { kind = "method", "within", of, node … }, with spot M.method: of:within(…)
--   { kind = "function", "function(span) … end" }        M.fn
-- A spot is { line, column }: where errors of that call stand. `source`, of a pattern, is what a reason calls it.
local units = require("fluo.units")

local M = {}

M.BATCH = 50                    -- arguments of one call, and so registers, in what is printed

function M.table(entries) entries.kind = "table" return entries end
function M.list(nodes) nodes.kind = "list" return nodes end
function M.name(name) return { kind = "name", name } end
function M.call(name, ...) return { kind = "call", name, ... } end
function M.fn(text) return { kind = "function", text } end
function M.trace(name, spot, ...) return { kind = "trace", spot = spot, name, ... } end
function M.method(of, name, spot, ...) return { kind = "method", spot = spot, name, of, ... } end

--- Several patterns of one span, joined by all_of or any_of; one is itself.
function M.join(how, patterns)
  if #patterns == 1 then return patterns[1] end
  return M.call(how, M.list(patterns))
end

--- Several conditions, joined by and_ or or_.
function M.combine(how, conditions, spot)
  local all, at = conditions[1], 2
  while at <= #conditions do
    local node = M.method(all, how, spot)
    for i = at, math.min(at + M.BATCH - 1, #conditions) do node[#node + 1] = conditions[i] end
    all, at = node, at + M.BATCH
  end
  return all
end

-- ---- building -----------------------------------------------------------------------------------

local build

local function arguments(node, from, world)
  local list = {}
  for i = from, #node do list[#list + 1] = build(node[i], world) end
  return list
end

local BUILD = {}

function BUILD.table(node, world)
  local t = {}
  for _, entry in ipairs(node) do t[entry[1]] = build(entry[2], world) end
  return t
end

function BUILD.list(node, world) return arguments(node, 1, world) end
function BUILD.name(node, world) return world.api[node[1]] end

function BUILD.call(node, world)
  local list = arguments(node, 2, world)
  world.context.spot = node.spot or world.context.spot
  return world.api[node[1]](unpack(list))
end

function BUILD.trace(node, world)
  local list = arguments(node, 2, world)
  world.context.spot = node.spot
  return world.api.trace[node[1]](unpack(list))
end

function BUILD.method(node, world)
  local list = arguments(node, 2, world)
  world.context.spot = node.spot
  return list[1][node[1]](unpack(list))
end

-- The text is ours: no byte of an author's stands in it but within quotes.
BUILD["function"] = function(node, world)
  local chunk = assert(load("return " .. node[1], "=rule", "t", {}))
  local fn = chunk()
  world.context.made[fn] = node.source or node[1]
  return fn
end

--- What a tree makes. world: { api, context }; the api is that of a rule file.
function build(node, world)
  if type(node) ~= "table" then return node end
  local made = BUILD[node.kind](node, world)
  if node.source and type(made) == "table" then world.context.made[made] = node.source end
  return made
end
M.build = build

-- ---- printing -----------------------------------------------------------------------------------

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

--- A text as Lua reads it, in one line.
function M.quote(text)
  return '"' .. text:gsub('[%c"\\\127]', function(c) return ESCAPES[c] or ("\\%03d"):format(c:byte()) end) .. '"'
end

local WORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch("%a+") do WORDS[word] = true end

local print_node

local function literal(value)
  if type(value) == "string" then return M.quote(value) end
  if type(value) == "number" then return units.decimal(value) end
  return tostring(value)
end

local function joined(node, from, indent)
  local list = {}
  for i = from, #node do list[#list + 1] = print_node(node[i], indent) end
  return list
end

-- In braces: on one line where it is short, else a line each.
local function braces(items, indent)
  if #items == 0 then return "{}" end
  local short = "{ " .. table.concat(items, ", ") .. " }"
  if #short + #indent <= 90 and not short:find("\n") then return short end
  local inner = indent .. "  "
  return "{\n" .. inner .. table.concat(items, ",\n" .. inner) .. " }"
end

local PRINT = {}

function PRINT.table(node, indent)
  local items = {}
  for i, entry in ipairs(node) do
    local plain = entry[1]:find("^[%a_][%w_]*$") and not WORDS[entry[1]]
    items[i] = (plain and entry[1] or "[" .. M.quote(entry[1]) .. "]") .. " = " .. print_node(entry[2], indent .. "  ")
  end
  return braces(items, indent)
end

function PRINT.list(node, indent) return braces(joined(node, 1, indent .. "  "), indent) end
function PRINT.name(node) return node[1] end
PRINT["function"] = function(node) return node[1] end

local function call(name, list)
  local alone = #list == 1 and (list[1]:find("^[{\"]")) and list[1]
  return name .. (alone and " " .. alone or "(" .. table.concat(list, ", ") .. ")")
end

function PRINT.call(node, indent) return call(node[1], joined(node, 2, indent)) end
function PRINT.trace(node, indent) return call("trace." .. node[1], joined(node, 2, indent)) end

function PRINT.method(node, indent)
  local inner = indent .. "  "
  return print_node(node[2], indent) .. "\n" .. inner .. ":" .. node[1] .. "(" ..
    table.concat(joined(node, 3, inner), ", ") .. ")"
end

function print_node(node, indent)
  if type(node) ~= "table" then return literal(node) end
  return PRINT[node.kind](node, indent)
end

--- A tree as Lua.
function M.print(node) return print_node(node, "") end

return M
