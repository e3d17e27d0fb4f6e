--- The keys of a rule that say how its violations become incidents: group_by pending_for keep_firing_for cooldown
-- resolve_after resolve_when m_of_n. What each means stands in rules/README.md.
local condition = require("fluo.condition")
local pattern = require("fluo.pattern")
local tree = require("fluo.tree")
local units = require("fluo.units")
local window = require("fluo.window")

local M = { KEYS_MAX = 16, MINUTES_MAX = 1000 }

local function group_by(context, key, value)
  local list = type(value) == "string" and { value } or value
  if not tree.is_list(list, M.KEYS_MAX) or #list == 0 then
    context.report(("`group_by` is a key or a list of at most %d keys"):format(M.KEYS_MAX),
      "write group_by = { \"service\" }", key)
    return nil
  end
  for _, name in ipairs(list) do
    if type(name) ~= "string" or name == "" or #name > window.KEY_BYTES_MAX then
      context.report("`group_by` is a list of texts", nil, key)
      return nil
    end
  end
  return list
end

local function whole(n) return type(n) == "number" and n >= 1 and n <= M.MINUTES_MAX and n % 1 == 0 end

local function m_of_n(context, key, value)
  if tree.is_list(value, 2) and #value == 2 and whole(value[1]) and whole(value[2]) and value[1] <= value[2] then
    return { value[1], value[2] }
  end
  context.report(("`m_of_n` is two whole numbers, the first at most the second, up to %d"):format(M.MINUTES_MAX),
    "write m_of_n = { 3, 5 }: violations in 3 of the last 5 minutes", key)
  return nil
end

-- A span resolves. `trace.has(p)` says the same; what else a condition says of a trace says nothing of a group.
local function resolve_when(context, key, value)
  if condition.is(value) then
    local node = tree.node(value)
    condition.used(value)
    if node.kind == "has" then return node.pattern end
    context.report("`resolve_when` is a pattern: one span resolves", "write resolve_when = { name = \"…\" }", key)
    return nil
  elseif pattern.is(value) then
    return context.pattern(value, key)
  end
  context.report("`resolve_when` is a pattern", "write resolve_when = { name = \"…\" }", key)
  return nil
end

local function duration(context, key, value)
  local ns, exact, hint, word = units.duration(value)
  if not ns then context.report(exact, hint, word or key) end
  return ns
end

local function resolve_after(context, key, value)
  local ns = duration(context, key, value)
  if ns and ns <= 0 then
    context.report("`resolve_after` is longer than nothing", "five minutes is the default", key)
  end
  return ns
end

--- A check for each key: (context, key, value) gives what the rule keeps, or nil after a report.
M.CHECKS = { group_by = group_by, pending_for = duration, keep_firing_for = duration, cooldown = duration,
             resolve_after = resolve_after, resolve_when = resolve_when, m_of_n = m_of_n }

-- ---- the record ----------------------------------------------------------------------------------

local function label_of(rule, name)
  for _, label in ipairs(rule.labels) do
    if label.name == name then return label.value end
  end
  return nil
end

-- A window's and a sequence's violation has the fields of its `by`, and its first span's name and service.
local function has_field(rule, field, key)
  if not rule.across or field == "NAME" or field == "SERVICE" then return true end
  for _, entry in ipairs(rule.across.by or {}) do
    if entry.field == field and entry.key == key then return true end
  end
  return false
end

local function fields(context, rule, names)
  local list = {}
  for i, name in ipairs(names) do
    local label = label_of(rule, name)
    local field, key = window.field_of(name)
    if label then field, key = "LITERAL", label end
    if not label and field == "PARENT_SERVICE" and not rule.across then
      context.report(("a %s's violation has no `%s`"):format(rule.scope:lower(), name), "it belongs to windows", name)
    elseif not label and not has_field(rule, field, key) then
      context.report(("`group_by` of a %s names fields of its `by`, not `%s`"):format(rule.scope:lower(), name),
        "add it to `by`", name)
    end
    list[i] = { label = name, field = field, key = key }
  end
  return list
end

-- A pattern object may stand in several rules; in the intermediate form each rule has its own.
local function own(shared)
  local copy = setmetatable({}, getmetatable(shared))
  for key, value in pairs(shared) do copy[key] = value end
  return copy
end

--- What ir.lua writes down of a rule that has been checked: nil where it has none of the keys.
function M.of(context, rule)
  local it, any = {}, false
  for key in pairs(M.CHECKS) do any = any or rule[key] ~= nil end
  if not any then return nil end
  it.pending_ns, it.keep_firing_ns = rule.pending_for, rule.keep_firing_for
  it.cooldown_ns, it.resolve_ns = rule.cooldown, rule.resolve_after
  if rule.m_of_n then it.m, it.n = rule.m_of_n[1], rule.m_of_n[2] end
  if rule.group_by then it.group_by = fields(context, rule, rule.group_by) end
  if rule.resolve_when then it.resolve = own(rule.resolve_when) end
  return it
end

return M
