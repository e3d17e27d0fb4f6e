--- A small validator of JSON Schema 2020-12, as far as contrib/openapi.json uses it: $ref, type, enum, properties, required,
-- additionalProperties, items, pattern, date-time.
local cjson = require("cjson")

local M = {}

local KNOWN = { ["$ref"] = true, type = true, enum = true, properties = true, required = true, additionalProperties = true,
                items = true, pattern = true, format = true, description = true, maxLength = true, minimum = true, maximum = true,
                default = true }

local function kind_of(value)
  if value == cjson.null then return "null" end
  local kind = type(value)
  if kind == "table" then return #value > 0 and "array" or next(value) == nil and "empty" or "object" end
  if kind == "number" then return value == math.floor(value) and "integer" or "number" end
  return kind
end

local function fits(kind, wanted)
  return kind == wanted or (kind == "integer" and wanted == "number") or (kind == "empty" and (wanted == "object" or wanted == "array"))
end

--- What a "#/a/b" stands for.
function M.resolve(document, thing)
  while thing["$ref"] do
    local at = document
    for part in thing["$ref"]:gmatch("[^#/]+") do at = assert(at[part], thing["$ref"]) end
    thing = at
  end
  return thing
end

-- Patterns of the document as Lua has them: counted repetitions are spelt out.
local function lua_pattern(pattern)
  return (pattern:gsub("(%b[]){(%d+)}", function(set, n) return set:rep(tonumber(n)) end))
end

local check

local function check_object(document, schema, value, path)
  for _, name in ipairs(schema.required or {}) do
    if value[name] == nil then return ("%s has no %s"):format(path, name) end
  end
  for name, member in pairs(value) do
    local its = (schema.properties or {})[name]
    if its == nil then its = schema.additionalProperties end
    if its == false then return ("%s has a %s, which is not described"):format(path, name) end
    local wrong = type(its) == "table" and check(document, its, member, path .. "." .. name)
    if wrong then return wrong end
  end
end

local function check_text(schema, value, path)
  if schema.pattern and not value:find(lua_pattern(schema.pattern)) then return ("%s: %s"):format(path, value) end
  if schema.format == "date-time" and not value:find("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.?%d*Z$") then
    return ("%s is no time: %s"):format(path, value)
  end
end

local function check_type(schema, value, path)
  local wanted, kind = schema.type, kind_of(value)
  if not wanted then return nil end
  for _, one in ipairs(type(wanted) == "table" and wanted or { wanted }) do
    if fits(kind, one) then return nil end
  end
  return ("%s is %s"):format(path, kind)
end

local function check_enum(schema, value, path)
  for _, one in ipairs(schema.enum or { value }) do
    if one == value then return nil end
  end
  return ("%s is %s, which is none of its values"):format(path, tostring(value))
end

--- nil, or what is wrong with the value.
function check(document, schema, value, path)
  schema = M.resolve(document, schema)
  for key in pairs(schema) do assert(KNOWN[key], "the validator does not know " .. key) end
  local wrong = check_type(schema, value, path) or check_enum(schema, value, path)
  if not wrong and type(value) == "string" then wrong = check_text(schema, value, path) end
  if not wrong and type(value) == "table" and schema.type ~= "array" then wrong = check_object(document, schema, value, path) end
  for i, item in ipairs(not wrong and schema.items and value or {}) do
    wrong = wrong or check(document, schema.items, item, ("%s[%d]"):format(path, i))
  end
  return wrong
end
M.check = check

return M
