--- What can be proven of a span pattern (rules/README.md, Patterns): that no span matches it, that every span does.
-- Fields have one value each, and their values are split into cases. An attribute may be an array, of which several
-- elements satisfy several operands: there only presence is, and what stands twice word by word.
local cases = require("fluo.lint.cases")
local field = require("fluo.field")
local pattern = require("fluo.pattern")
local text_cases = require("fluo.lint.text")

local M = {}

local INT64_MAX = 0x7fffffffffffffffLL
local KNOWN = { NAME = true, EVENT_NAME = true }              -- texts that are never missing
local NUMBERS = { DURATION = true, START = true, END = true }
local SETS = { STATUS = true, KIND = true }

-- ---- cases of one field -------------------------------------------------------------------------

local function number_cases(leaves)
  local numbers, list = {}, {}
  for _, leaf in ipairs(leaves) do
    for _, value in ipairs(leaf.values) do numbers[#numbers + 1] = value.integer end
  end
  for _, n in ipairs(cases.points(numbers, 0LL, INT64_MAX)) do
    list[#list + 1] = function(leaf)
      local values = leaf.values
      if leaf.compare ~= "EQ" and leaf.compare ~= "NE" then
        return cases.compare(leaf.compare, n, values[1].integer, values[2] and values[2].integer)
      end
      local equal = cases.any(values, function(value) return value.integer == n end)
      if leaf.compare == "NE" then return not equal end
      return equal
    end
  end
  return list
end

-- What a name in a rule says of a value: "OK" may mean UNSET too, as the configuration has it.
local function is_named(name, value)
  if name == value then return true end
  if name == "EXPLICIT_OK" then return value == "OK" end
  if name == "OK" and value == "UNSET" then return nil end
  return false
end

local STATUSES = { "UNSET", "OK", "ERROR" }

local function set_cases(name)
  local list = {}
  for _, value in ipairs(name == "STATUS" and STATUSES or field.KINDS) do
    list[#list + 1] = function(leaf)
      local equal = cases.any(leaf.values, function(operand) return is_named(operand.text, value) end)
      if leaf.compare == "NE" then return cases.negate(equal) end
      return equal
    end
  end
  return list
end

-- A root has no parent id, or its own; any other span has one.
local function parent_cases()
  local list = {}
  for i, case in ipairs { { root = true, parent = false }, { root = true, parent = true },
                          { root = false, parent = true } } do
    list[i] = function(leaf)
      if leaf.field == "ROOT" then
        local equal = cases.any(leaf.values, function(value) return (value.integer == 1LL) == case.root end)
        return equal == (leaf.compare == "EQ")
      elseif leaf.compare == "EXISTS" or not case.parent then
        return case.parent
      end
      return nil
    end
  end
  return list
end

local function presence_cases()
  return {
    function() return false end,
    function(leaf)
      if leaf.compare == "EXISTS" then return true end
      if field.unordered(leaf) then return false end
      return nil
    end,
  }
end

local function cases_of(thing)
  local name = thing.field
  if NUMBERS[name] then return number_cases(thing.leaves) end
  if SETS[name] then return set_cases(name) end
  if name == "ROOT" then return parent_cases() end
  if name == "ATTRIBUTE" or name == "RESOURCE" then return presence_cases() end
  return text_cases.of(thing.leaves, not KNOWN[name])
end

-- ---- what a formula is about --------------------------------------------------------------------

local MAKES = { EQ = true, NE = true }

-- What a leaf asks, word by word, `ne` as `eq`; nil where asking twice may give two answers.
local function question(leaf)
  if leaf.op ~= "atom" then
    local text = leaf.op ~= "function" and pattern.text(leaf)
    return text and not text:find("function %d") and not text:find(" matches ", 1, true) and text or nil
  elseif leaf.compare == "MATCHES" or leaf.compare == "EXISTS" then return nil end
  if not MAKES[leaf.compare] then return pattern.text(leaf) end
  return pattern.text { op = "atom", field = leaf.field, key = leaf.key, compare = "EQ", values = leaf.values }
end

local function question_cases()
  local function answer(holds)
    return function(leaf)
      if leaf.compare ~= "NE" then return holds end
      if holds then return false end
      return nil                                           -- it may be missing
    end
  end
  return { answer(true), answer(false) }
end

-- Things in order of appearance: leaves by field (and key), and those that ask the same.
local function gather(root)
  local found, list, leaves = {}, {}, 0
  local function put(id, thing, leaf)
    if not found[id] then
      thing.leaves, found[id], list[#list + 1] = {}, thing, thing
    end
    table.insert(found[id].leaves, leaf)
  end
  local function walk(node)
    for _, child in ipairs(node.op ~= "event" and node.op ~= "link" and node or {}) do walk(child) end
    if node.op == "and" or node.op == "or" or node.op == "not" then return end
    leaves = leaves + 1
    local same = question(node)
    if same then put("question\0" .. same, { field = node.field or node.op, key = node.key, question = true }, node) end
    if node.op ~= "atom" then return end
    put(node.field .. "\0" .. (node.key or ""), { field = node.field, key = node.key }, node)
    if node.field == "PARENT_ID" then put("ROOT\0", { field = "ROOT" }, node) end
  end
  walk(root)
  return list, leaves
end

local function things_of(root)
  local list, leaves = gather(root)
  local things = {}
  for _, thing in ipairs(list) do
    if not thing.question or #thing.leaves > 1 then
      thing.cases = {}
      local own = {}
      for _, leaf in ipairs(thing.leaves) do own[leaf] = true end
      for i, case in ipairs(thing.question and question_cases() or cases_of(thing)) do
        thing.cases[i] = function(leaf)
          if own[leaf] then return case(leaf) end
          return nil
        end
      end
      things[#things + 1] = thing
    end
  end
  return things, leaves
end

-- ---- is it worth a look -------------------------------------------------------------------------

-- Whether a leaf by itself may hold always or never. Most do not, and most patterns ask one thing once.
local function is_odd(leaf)
  local value = leaf.values[1]
  if leaf.compare == "EXISTS" then return false end
  if NUMBERS[leaf.field] then return value.integer <= 0 or value.integer == INT64_MAX end
  if #leaf.values > 1 and (SETS[leaf.field] or leaf.field == "ROOT") then return true end
  return value.type == "STRING" and (value.text == "" or leaf.compare == "GLOB") or field.unordered(leaf) ~= nil
end

local about = {}                                             -- keys and fields met in one formula

local function is_worth(node)
  if node.op == "event" or node.op == "link" then return true end
  if node.op == "atom" then
    local name = node.key or node.field == "PARENT_ID" and "ROOT" or node.field
    local again = about[name]
    about[name] = true
    return again or is_odd(node)
  end
  for i = 1, #node do
    if is_worth(node[i]) then return true end
  end
  return false
end

local function is_trivial(node)
  if node.op == "true" then return false end
  local worth = is_worth(node)
  for name in pairs(about) do about[name] = nil end
  return not worth
end

-- ---- verdicts -----------------------------------------------------------------------------------

local verdicts = setmetatable({}, { __mode = "k" })

local function truth_of(node, answer)
  local op = node.op
  if op == "true" then return true end
  if op == "and" then return cases.all(node, function(child) return truth_of(child, answer) end) end
  if op == "or" then return cases.any(node, function(child) return truth_of(child, answer) end) end
  if op == "not" then return cases.negate(truth_of(node[1], answer)) end
  if op == "function" then return nil end
  if op == "atom" then return answer(node) end
  if M.verdict(node[1]) == false then return false end       -- whether there are any events or links nobody knows
  return answer(node)
end

--- true: every span matches the formula; false: none does; nil: neither is certain. And, if there is one, the thing
-- by which that is seen: { field, key }.
function M.verdict(node)
  local known = verdicts[node]
  if not known and is_trivial(node) then return nil end
  if not known then
    local things, leaves = things_of(node)
    known = { cases.verdict(function(answer) return truth_of(node, answer) end, things, leaves) }
    verdicts[node] = known
  end
  return known[1], known[2]
end

--- Whether a formula holds an order by text that is no number, which is told where it is read.
function M.has_unordered(node)
  if node.op == "atom" then return field.unordered(node) ~= nil end
  for _, child in ipairs(node) do
    if M.has_unordered(child) then return true end
  end
  return false
end

--- The first alternative within a formula that can never hold, and by what that is seen; or nil.
function M.dead_alternative(node)
  for _, child in ipairs(node) do
    if node.op == "or" then
      local truth, thing = M.verdict(child)
      if truth == false then return child, thing end
    end
    local found, thing = M.dead_alternative(child)
    if found then return found, thing end
  end
  return nil
end

--- Whether a span reaches the formula's functions only after something else let it through.
function M.is_guarded(node)
  if node.op == "function" then return false end
  if node.op == "not" then return M.is_guarded(node[1]) end
  if node.op == "and" or node.op == "or" then
    for _, child in ipairs(node) do
      if M.is_guarded(child) == (node.op == "and") then return node.op == "and" end
    end
    return node.op == "or"
  end
  return true
end

return M
