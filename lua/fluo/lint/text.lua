--- The cases of a text that a pattern asks about: it is one of the texts named, or equal to one of the numbers named,
-- or neither, and then the longest of the prefixes named that it begins with is this one.
local field = require("fluo.field")

local M = {}

local function starts(text, prefix) return text:sub(1, #prefix) == prefix end

-- Whether text matches a glob whole: every run between two stars stands at its first place.
local function matches_glob(glob, text)
  local head, rest = glob:match("^([^*]*)(.*)$")
  if rest == "" then return text == head end
  local at = #head + 1
  if not starts(text, head) then return false end
  for piece in rest:gmatch("%*([^*]+)%f[*]") do
    local _, last = text:find(piece, at, true)
    if not last then return false end
    at = last + 1
  end
  local tail = rest:match("[^*]*$")
  return #text - at + 1 >= #tail and text:sub(#text - #tail + 1) == tail
end

local TEXT = {
  PREFIX = function(text, operand) return starts(text, operand) end,
  SUFFIX = function(text, operand) return #operand <= #text and text:sub(#text - #operand + 1) == operand end,
  CONTAINS = function(text, operand) return text:find(operand, 1, true) ~= nil end,
  GLOB = function(text, operand) return matches_glob(operand, text) end,
}

local function equality(leaf, equal)
  if equal == nil or leaf.compare == "EQ" then return equal end
  return not equal
end

local function is_equality(leaf) return leaf.compare == "EQ" or leaf.compare == "NE" end

-- What holds of any text that is there, or may hold.
local function open(leaf)
  if leaf.compare == "EXISTS" then return true end
  if field.unordered(leaf) then return false end
  return nil
end

-- It is this text.
local function is_text(text)
  return function(leaf)
    if TEXT[leaf.compare] then return TEXT[leaf.compare](text, leaf.values[1].text) end
    if not is_equality(leaf) then return open(leaf) end
    local equal = false
    for _, value in ipairs(leaf.values) do
      if value.type ~= "STRING" then equal = equal or nil                  -- "500" is 500
      elseif value.text == text then return equality(leaf, true) end
    end
    return equality(leaf, equal)
  end
end

-- It is equal to a value that is no text.
local function is_value(wanted)
  return function(leaf)
    if not is_equality(leaf) then return open(leaf) end
    for _, value in ipairs(leaf.values) do
      if value.type == wanted.type and value.integer == wanted.integer and value.number == wanted.number then
        return equality(leaf, true)
      end
    end
    return nil
  end
end

-- It is equal to nothing named, and of the prefixes named it begins with those that this one begins with.
local function begins(prefix)
  return function(leaf)
    if is_equality(leaf) then return leaf.compare == "NE" end
    local operand = leaf.values[1] and leaf.values[1].text
    if leaf.compare == "PREFIX" then return starts(prefix, operand) end
    if leaf.compare == "GLOB" then
      local head, rest = operand:match("^([^*]*)(.*)$")
      if not starts(prefix, head) then return false end
      if rest:find("^%*+$") then return true end
      return nil
    end
    if (leaf.compare == "SUFFIX" or leaf.compare == "CONTAINS") and operand == "" then return true end
    return open(leaf)
  end
end

local function put(list, seen, key, case)
  if seen[key] then return end
  seen[key] = true
  list[#list + 1] = case
end

--- The cases of what these atoms ask, all of one field that has one text; may_miss: or none.
function M.of(leaves, may_miss)
  local list, seen = {}, {}
  if may_miss then list[1] = function() return false end end
  put(list, seen, "begins ", begins(""))
  for _, leaf in ipairs(leaves) do
    for _, value in ipairs(leaf.values) do
      if leaf.compare == "PREFIX" then put(list, seen, "begins " .. value.text, begins(value.text)) end
      if leaf.compare == "GLOB" then
        local head = value.text:match("^[^*]*")
        put(list, seen, "begins " .. head, begins(head))
      end
      if is_equality(leaf) and value.type == "STRING" then
        put(list, seen, "is " .. value.text, is_text(value.text))
      elseif is_equality(leaf) then
        local key = ("equals %s %s %s"):format(value.type, tostring(value.integer), tostring(value.number))
        put(list, seen, key, is_value(value))
      end
    end
  end
  return list
end

return M
