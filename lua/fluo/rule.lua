--- One rule: checks every key of `rule "name" { … }` and gives the rule object that
-- ir.lua writes down and the study judges by. All that is wrong is reported, not only the first.
local cascade = require("fluo.cascade")
local condition = require("fluo.condition")
local incident = require("fluo.incident")
local lint = require("fluo.lint")
local operand = require("fluo.operand")
local pattern = require("fluo.pattern")
local sequence = require("fluo.sequence")
local suggest = require("fluo.suggest")
local template = require("fluo.template")
local tree = require("fluo.tree")
local window = require("fluo.window")

local M = {}

M.SEVERITIES = { "low", "medium", "high", "critical" }
M.MODES = { "active", "shadow", "off" }
M.KEYS = { "description", "severity", "when", "always", "never", "actions", "mode", "summary", "labels",
           "late", "complete", "group_by", "pending_for", "keep_firing_for", "cooldown", "resolve_after",
           "resolve_when", "m_of_n" }
M.ACTIONS_MAX, M.LABELS_MAX, M.TEXT_BYTES_MAX = 64, 64, 4096

-- ---- log "template" -----------------------------------------------------------------------------

local logs = setmetatable({}, { __mode = "k" })
local Log = { __metatable = false, __tostring = function() return "log" end,
              __newindex = function() error("an action cannot be changed", 2) end }

--- The `log` of a rule file: log "template" is an action.
function M.log_api(context)
  return function(text, ...)
    local action, parts = setmetatable({}, Log), {}
    if type(text) ~= "string" or select("#", ...) > 0 then
      context.report("`log` takes one text", "write log \"{service}: {span.name}\"", "log")
      text = ""
    else
      local compiled, message, hint, word = template.compile(text)
      if not compiled then context.report(message, hint, word or text) end
      parts = compiled or parts
    end
    logs[action] = { name = "log", value = text, parts = parts }
    return action
  end
end

-- ---- single keys --------------------------------------------------------------------------------

local function text(context, key, value)
  if type(value) ~= "string" then
    context.report(("`%s` is text, not a %s"):format(key, type(value)), nil, key)
    return nil
  elseif #value > M.TEXT_BYTES_MAX then
    context.report(("`%s` has at most %d bytes"):format(key, M.TEXT_BYTES_MAX), nil, key)
    return nil
  end
  return value
end

local function one_of(names)
  return function(context, key, value)
    for _, name in ipairs(names) do
      if name == value then return value end
    end
    if type(value) == "string" then
      context.report(("unknown %s `%s`"):format(key, value), suggest.hint(value, names)
        or ("%s is one of %s"):format(key, table.concat(names, ", ")), value)
    else
      context.report(("`%s` is one of %s"):format(key, table.concat(names, ", ")), nil, key)
    end
    return nil
  end
end

local function boolean(context, key, value)
  if type(value) == "boolean" then return value end
  context.report(("`%s` is true or false"):format(key), nil, key)
  return nil
end

local function summary(context, key, value)
  if not text(context, key, value) then return nil end
  local parts, message, hint, word = template.compile(value)
  if not parts then context.report(message, hint, word or key) end
  return parts
end

local function labels(context, key, value)
  if type(value) ~= "table" or getmetatable(value) ~= nil then
    context.report("`labels` is a table of texts", "write labels = { team = \"payments\" }", key)
    return nil
  end
  local names, pairs_of = {}, {}
  for name in pairs(value) do
    if type(name) == "string" then
      names[#names + 1] = name
    else
      context.report("a label has a name", "write labels = { team = \"payments\" }", key)
      return nil
    end
  end
  table.sort(names)
  if #names > M.LABELS_MAX then
    context.report(("a rule has at most %d labels"):format(M.LABELS_MAX), nil, key)
    return nil
  end
  for _, name in ipairs(names) do
    local label = text(context, name, value[name])
    if label then pairs_of[#pairs_of + 1] = { name = name, value = label, parts = {} } end
  end
  return pairs_of
end

local CHECKS = {
  description = text, severity = one_of(M.SEVERITIES), mode = one_of(M.MODES), summary = summary,
  labels = labels, late = boolean, complete = boolean,
}
for key, check in pairs(incident.CHECKS) do CHECKS[key] = check end

-- ---- actions ------------------------------------------------------------------------------------

local function unknown_action(context, name)
  context.warn("unknown-action", ("no action is called `%s`: `log` runs in its place"):format(name),
    suggest.hint(name, context.actions), name)
end

local function action_of(context, value)
  if logs[value] then return logs[value] end
  if type(value) == "string" and value ~= "" then
    for _, name in ipairs(context.actions) do
      if name == value then return { name = value, value = "", parts = {} } end
    end
    unknown_action(context, value)
    return nil
  elseif type(value) == "function" then
    context.report("not yet: a function as an action", "an action is log \"text\" or the name of one", "actions")
  else
    context.report(("an action is log \"text\" or the name of one, not a %s"):format(type(value)), nil, "actions")
  end
  return nil
end

-- Without an action that exists, `log`: no rule is lost for the name of its receiver.
local function actions(context, value)
  local list = {}
  if value ~= nil then
    if not tree.is_list(value, M.ACTIONS_MAX) then
      context.report(("`actions` is a list of at most %d actions"):format(M.ACTIONS_MAX),
        "write actions = { log \"text\", \"alert-team\" }", "actions")
    else
      for i = 1, #value do list[#list + 1] = action_of(context, value[i]) end
      if #list < #value then
        for _, action in ipairs(list) do
          if action.name == "log" then return list end
        end
        list[#list + 1] = { name = "log", value = "", parts = {} }
      end
    end
  end
  if #list == 0 then list[1] = { name = "log", value = "", parts = {} } end
  return list
end

-- ---- when, always, never ------------------------------------------------------------------------

-- The module that a rule across traces is made by.
local function across_of(value)
  return window.is(value) and window or sequence.is(value) and sequence or cascade.is(value) and cascade or nil
end

-- A condition, or a pattern, or a window or sequence, or nil after a report.
local function when_of(context, value)
  if value == nil then
    context.report("the rule has no `when`", "write when = { name = \"…\" } or when = trace.has { … }")
  elseif condition.is(value) then
    return value, nil
  elseif across_of(value) then
    return nil, nil, value
  elseif condition.unfinished(value) then
    context.report(condition.unfinished(value))
  elseif pattern.is(value) then
    return nil, context.pattern(value, "when")
  elseif operand.of(value) then
    context.report("`when` is a pattern or a trace condition, not an operand",
      ("write { name = %s … }"):format(operand.of(value).op), "when")
  elseif type(value) == "table" then
    context.report("`when` is a pattern or a trace condition", "trace.has { … }, trace.missing { … }", "when")
  else
    local hint = type(value) == "string" and ("write when = { name = %q }"):format(value)
      or "write when = { name = \"…\" } or when = trace.has { … }"
    context.report(("`when` is a pattern or a trace condition, not a %s"):format(type(value)), hint, "when")
  end
  return nil, nil
end

local function invariant_of(context, key, value, has_condition)
  if value == nil then return nil end
  if condition.is(value) then
    condition.used(value)
  elseif condition.unfinished(value) then
    context.report(condition.unfinished(value))
    return nil
  else
    context.report(("`%s` is a trace condition"):format(key),
      ("write %s = trace.has { … }"):format(key), key)
    return nil
  end
  if not has_condition then
    context.report(("`%s` needs a trace condition as `when`"):format(key),
      "write when = trace.has { … } instead of the pattern alone", key)
    return nil
  end
  return value
end

-- A pattern object may stand in several rules, but in the intermediate form each rule has its own.
local function own_patterns(compiled)
  for slot, shared in ipairs(compiled.patterns) do
    local own = setmetatable({}, getmetatable(shared))
    for key, value in pairs(shared) do own[key] = value end
    compiled.patterns[slot] = own
  end
end

local function compile(context, rule, parts)
  local compiled = condition.compile(parts)
  own_patterns(compiled)
  local terms = compiled.terms
  for _, p in ipairs(compiled.patterns) do terms = terms + p.terms end
  if terms > pattern.TERMS_MAX then
    context.report(("a condition has at most %d terms"):format(pattern.TERMS_MAX), "split it into several rules",
      "when")
  end
  rule.scope, rule.compiled, rule.patterns = "TRACE", compiled, compiled.patterns
  rule.nodes = condition.nodes(parts)
  rule.meaning = "trace " .. compiled.canonical
end

local function compile_across(context, rule, across)
  local made_by = across_of(across)
  if made_by.unfinished and made_by.unfinished(across) then
    context.report(made_by.unfinished(across))
    return
  end
  local node, patterns = made_by.compile(across)
  local compiled = { patterns = patterns }
  own_patterns(compiled)
  rule.scope, rule.across, rule.patterns = node.kind:upper(), node, compiled.patterns
  rule.meaning = made_by.meaning(node)
end

local function conditions(context, rule, t)
  local when, span_pattern, across = when_of(context, t.when)
  local always = invariant_of(context, "always", t.always, when ~= nil)
  local never = invariant_of(context, "never", t.never, when ~= nil)
  if when then
    compile(context, rule, { when = when, always = always, never = never, complete = rule.complete, late = rule.late })
  elseif span_pattern then
    rule.scope, rule.patterns, rule.meaning = "SPAN", { span_pattern }, "span " .. span_pattern.canonical
  elseif across then
    compile_across(context, rule, across)
  end
  for _, key in ipairs({ "complete", "late" }) do
    if not when and (span_pattern or across) and rule[key] ~= nil then
      context.report(("`%s` needs a trace condition as `when`"):format(key), nil, key)
    end
  end
  rule.functions = rule.compiled and rule.compiled.functions or 0
  for _, p in ipairs(rule.patterns or {}) do rule.functions = rule.functions + p.functions end
end

-- ---- a rule -------------------------------------------------------------------------------------

local KNOWN = {}
for _, key in ipairs(M.KEYS) do KNOWN[key] = true end

local function check_keys(context, t)
  local unknown = {}
  for key in pairs(t) do
    if type(key) ~= "string" then
      unknown[#unknown + 1] = ""
    elseif not KNOWN[key] then
      unknown[#unknown + 1] = key
    end
  end
  table.sort(unknown)
  for _, key in ipairs(unknown) do
    if key == "" then
      context.report("an entry of the rule has no key", "write when = { … }")
    elseif key == "for" then
      context.report("`for` is a word of Lua", "write pending_for", "for")
    else
      context.report(("unknown key `%s`"):format(key), suggest.hint(key, M.KEYS)
        or "a rule has " .. table.concat(M.KEYS, ", "), key)
    end
  end
end

--- The rule object for a declared rule's name and table, or nil when something was wrong (it has been
-- reported to the context, whose `rule` says which rule this is):
--   name, scope ("SPAN" | "TRACE"), severity, mode, description, summary (parts), actions, labels,
--   patterns (pattern objects, in order), compiled (a trace rule's, see plan.lua), complete, late,
--   functions (how many), meaning (canonical text for its version), and the keys for incidents
-- With junction, what `when`, `always` and `never` hold is not looked at: Lua has dropped a part of it.
function M.check(context, name, t, junction)
  local before = #context.errors
  local rule = { name = name }
  check_keys(context, t)
  for _, key in ipairs(M.KEYS) do
    context.key = key
    if t[key] ~= nil and CHECKS[key] then rule[key] = CHECKS[key](context, key, t[key]) end
  end
  context.key = nil
  rule.actions = actions(context, t.actions)
  rule.severity, rule.mode = rule.severity or "medium", rule.mode or "active"
  rule.summary, rule.labels = rule.summary or {}, rule.labels or {}
  if not junction then conditions(context, rule, t) end
  rule.incident = incident.of(context, rule)
  if #context.errors > before then return nil end
  if not junction then lint.look(context, rule, context.limits) end
  if not context.keep then rule.nodes = nil end           -- of ten thousand rules they are much
  return rule
end

return M
