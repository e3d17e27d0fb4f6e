--- YAML rule files: a list of entries, or a mapping from names to entries, either also below `rules`. Each entry's own
-- keys tell which of the shapes it has (yaml_shapes.lua).
local code = require("fluo.dialect.code")
local shapes = require("fluo.dialect.yaml_shapes")
local suggest = require("fluo.suggest")
local yaml_tree = require("fluo.dialect.yaml_tree")

local wrong, guarded = shapes.wrong, shapes.guarded

-- Keys of a rule that are the same in every shape.
local COMMON = { description = "description", severity = "severity", mode = "mode", summary = "summary",
                 labels = "labels", late = "late", complete = "complete", group_by = "group_by",
                 pending_for = "pending_for", ["for"] = "pending_for", keep_firing_for = "keep_firing_for",
                 cooldown = "cooldown", resolve_after = "resolve_after", m_of_n = "m_of_n" }
-- Which shape a key belongs to; the first is the one that names it.
local SHAPE = { query = "query", conditions = "conditions", span = "span", aggregation = "span", condition = "span" }
local NAMES = { "name", "type", "action", "actions" }
for _, list in ipairs { COMMON, SHAPE } do
  for key in pairs(list) do NAMES[#NAMES + 1] = key end
end
table.sort(NAMES)

local FORM = "a rule has a `query`, or `conditions`, or a `span` with its `condition`"
local TYPES = { "behavioral", "threshold" }

-- ---- values -------------------------------------------------------------------------------------

local function tree_of(node)
  if node.kind == "list" then
    local list = code.list {}
    for i, item in ipairs(node) do list[i] = tree_of(item) end
    return list
  elseif node.kind == "mapping" then
    local entries = code.table {}
    for i, pair in ipairs(node) do entries[i] = { pair[1].text, tree_of(pair[2]) } end
    return entries
  end
  if node.value == nil then wrong(node, "a value is missing here") end
  return node.value
end

-- A name, or { log: text }, or another action with its argument.
local function action(rule, node)
  if node.kind == "scalar" and type(node.value) == "string" and node.value ~= "" then
    rule.actions[#rule.actions + 1], rule.spots[node.value] = node.value, node
  elseif node.kind == "mapping" and #node == 1 then
    local name, value = node[1][1].text, node[1][2]
    if value.kind ~= "scalar" or type(value.value) ~= "string" then wrong(value, ("`%s` takes text"):format(name)) end
    rule.actions[#rule.actions + 1] = name == "log" and code.call("log", value.value) or name
    rule.spots[name == "log" and "actions" or name] = node
  else
    wrong(node, "an action is a name, or log: text", "write actions: [{log: \"…\"}, alert-team]")
  end
end

local function actions(rule, node)
  if not node then return end
  for _, item in ipairs(node.kind == "list" and node or { node }) do action(rule, item) end
end

-- ---- entries ------------------------------------------------------------------------------------

local function shape_of(entry)
  local found, first
  for _, pair in ipairs(entry) do
    local key = pair[1].text
    local shape = SHAPE[key]
    if shape and found and shape ~= found then
      wrong(pair[1], ("`%s` does not go with `%s`"):format(key, first), FORM)
    elseif shape then
      found, first = shape, first or key
    end
  end
  return found or wrong(entry, "this is no rule", FORM)
end

local function check_key(node)
  local key = node.text
  if key == "resolve_when" then wrong(node, "`resolve_when` is a condition", "write this rule in Lua") end
  local known = COMMON[key] or SHAPE[key] or key == "name" or key == "type" or key == "action" or key == "actions"
  if not known then wrong(node, ("unknown key `%s`"):format(key), suggest.expected(key, NAMES)) end
end

local function check_type(node)
  if node and node.value ~= "behavioral" and node.value ~= "threshold" then
    wrong(node, ("unknown type `%s`"):format(node.text or node.kind), node.text and suggest.hint(node.text, TYPES)
      or "`type` is behavioral or threshold, or left out")
  end
end

local function common(rule, entry)
  rule.more = {}
  for _, pair in ipairs(entry) do
    local key = COMMON[pair[1].text]
    if key and rule.spots[key] then wrong(pair[1], ("`%s` stands twice"):format(key)) end
    if key then
      rule.more[#rule.more + 1], rule.spots[key] = { key, tree_of(pair[2]) }, pair[2]
    end
  end
  actions(rule, entry.get.action)
  actions(rule, entry.get.actions)
end

-- name: the key node of a mapping of rules, if the entry stands in one.
local function rule_from(entry, name, world)
  if entry.kind ~= "mapping" then wrong(entry, "a rule is a mapping", "with its `name`, and a `query`, …") end
  for _, pair in ipairs(entry) do guarded(world.context, check_key, pair[1]) end
  local own = entry.get.name
  if name and own and own.text ~= name.text then wrong(own, ("this rule is called `%s` already"):format(name.text)) end
  local at = name or own or wrong(entry, "a rule has a `name`")
  if at.kind ~= "scalar" or at.text == "" then wrong(at, "the name of a rule is text") end
  local rule = { name = at.text, line = at.line, column = at.column, actions = {}, spots = {} }
  guarded(world.context, check_type, entry.get.type)
  local shape = shape_of(entry)
  common(rule, entry)
  rule.when = shapes[shape](entry, world)
  return rule.when and rule
end

-- ---- a file -------------------------------------------------------------------------------------

local function is_entry(node)
  local get = node.get
  return get.name ~= nil and get.name.kind == "scalar" and (get.query or get.conditions or get.span or get.condition)
end

-- Whether the rules stand below `rules`, and nothing beside it.
local function holds_rules(node)
  local rules = node.get.rules
  if not rules or rules.kind == "mapping" and #node > 1 then return false end
  for _, pair in ipairs(node) do
    if pair[2] ~= rules then wrong(pair[1], ("unknown key `%s` beside `rules`"):format(pair[1].text)) end
  end
  return true
end

-- { entry, name } of each rule of a document.
local function collect(node, list)
  if node.kind == "list" then
    for _, item in ipairs(node) do list[#list + 1] = { item } end
  elseif node.kind == "mapping" and holds_rules(node) then
    collect(node.get.rules, list)
  elseif node.kind == "mapping" and is_entry(node) then
    list[#list + 1] = { node }
  elseif node.kind == "mapping" then
    for _, pair in ipairs(node) do list[#list + 1] = { pair[2], pair[1] } end
  elseif node.value ~= nil then
    wrong(node, "a file of rules is a list of rules, or a mapping from names to rules", "write rules:, and below it "
      .. "- name: …")
  end
end

-- What was meant where a line is no YAML.
local function hint_of(text)
  return function(at)
    local number = 0
    for line in (text .. "\n"):gmatch("([^\n]*)\n") do
      number = number + 1
      local near = number == at.line or number == at.line - 1
      if near and line:find("op%s*:%s*[>!=<]") then return "a sign needs its quotes in YAML: op: \">=\"" end
    end
    return nil
  end
end

local function entries_of(text, context)
  local documents, fault = yaml_tree.read(text, hint_of(text))
  local list = {}
  if not documents then
    context.report_at(fault, fault.message, fault.hint)
    return list
  end
  for _, node in ipairs(documents) do guarded(context, collect, node, list) end
  return list
end

return function(text, context, world)
  local list, at = entries_of(text, context), 0
  return function()
    at = at + 1
    local entry = list[at]
    if not entry then return nil end
    list[at] = false                                       -- what is read is let go
    return guarded(context, rule_from, entry[1], entry[2], world) or false
  end
end
