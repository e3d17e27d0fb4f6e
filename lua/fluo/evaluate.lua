--- Evaluates one rule file in the sandbox: its rules, and everything that is wrong with it.
--
-- A file is evaluated as often as it takes to see all of its errors: an error that ends the evaluation
-- within a rule is noted, that rule's text is blanked, and the file is evaluated again without it. What
-- was only reported comes from the last time. Nothing of an evaluation survives in the next.
local action = require("fluo.action")
local cascade = require("fluo.cascade")
local condition = require("fluo.condition")
local allow = require("fluo.lint.allow")
local context_of = require("fluo.context")
local dialect = require("fluo.dialect.file")
local junction = require("fluo.junction")
local operand = require("fluo.operand")
local window_query = require("fluo.window_query")
local rule = require("fluo.rule")
local sandbox = require("fluo.sandbox")
local sequence = require("fluo.sequence")
local suggest = require("fluo.suggest")
local syntax = require("fluo.syntax")
local twice = require("fluo.twice")
local window = require("fluo.window")

local M = {}

M.PASSES_MAX, M.NAME_BYTES_MAX = 50, 256

local FORBIDDEN = {}
for name in ([[print io os debug ffi jit package load loadstring loadfile dofile module getfenv setfenv
  getmetatable setmetatable rawget rawset rawequal rawlen newproxy xpcall collectgarbage gcinfo _G
  _VERSION]]):gmatch("%S+") do FORBIDDEN[name] = true end

-- What authors write bare that stands in `trace` (`missing` is an operand, too).
local CONDITIONS = { has = true, count = true, all = true, where = true, duration = true, span_count = true }

local function known_names(known)
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- What other tools call an operand.
local OPERANDS = { greater_than = "gt", less_than = "lt", equals = "eq", equal = "eq", not_equals = "ne",
                   regex = "matches", match = "matches", like = "glob", starts_with = "prefix",
                   ends_with = "suffix", includes = "contains", any = "any_of", null = "missing", absent = "missing" }

-- Message and hint for a global that does not exist.
local function undefined(name, known)
  local message = ("undefined global `%s`"):format(name)
  if FORBIDDEN[name] then return message, "rule files are sealed: this part of Lua is not among what they may use" end
  if CONDITIONS[name] then return message, ("write trace.%s"):format(name) end
  if OPERANDS[name] then return message, ("the operand is called `%s`"):format(OPERANDS[name]) end
  local near = suggest.hint(name, known_names(known))
  return message, (near and near .. " " or "") .. ("if it is text, quote it: \"%s\""):format(name)
end

local function assigned(name)
  return ("assignment to the global `%s`"):format(name), ("write `local %s`: a file keeps its names to itself")
    :format(name)
end

-- ---- errors of Lua ------------------------------------------------------------------------------

local RUNTIME_HINTS = {
  { "^attempt to compare", "compare by a method, as in `trace.count(…):over(5)`, or an operand, as in gt(5)" },
  { "^attempt to concatenate", "conditions are joined by `*` and `+`, or `:and_(…)` and `:or_(…)`" },
  { "^attempt to perform arithmetic", "conditions are joined by `*` and `+`, or `:and_(…)` and `:or_(…)`" },
}

local function runtime_hint(message)
  for _, entry in ipairs(RUNTIME_HINTS) do
    if message:find(entry[1]) then return entry[2] end
  end
  return nil
end

-- An error raised while code ran: a load error as it is, anything else with the word it quotes.
local function of_error(context)
  return function(raised)
    local known = context_of.raised(raised)
    if known then return known end
    local unit, line = context.running()
    local message = type(raised) == "string" and raised:gsub("^.-:%d+: ", "")
      or ("an error was raised: %s"):format(sandbox.tostring(raised))
    local word = message:match("'([^']+)'") or message:match("`([^`]+)`") or syntax.comparison(unit, line, message)
    local range = word and context.rule and context.rule.range
    local place_line, column = unit:place(word, range, line)
    return { unit = unit, line = place_line, column = column, message = message,
             hint = runtime_hint(message) }
  end
end

-- ---- compiling and running ----------------------------------------------------------------------

-- Names that do not exist, in functions too that did not run yet. Gives a note each.
local function check_globals(unit, chunk, known, notes)
  local uses, is_assigned = sandbox.globals(chunk, known), {}
  for _, use in ipairs(uses) do is_assigned[use.name] = is_assigned[use.name] or use.assigned end
  for _, use in ipairs(uses) do
    local message, hint
    if use.assigned then
      message, hint = assigned(use.name)
    elseif not is_assigned[use.name] then
      message, hint = undefined(use.name, known)
      if syntax.is_compared(unit, use.name, use.line) then
        hint = ("a pattern has one `=`: write %s = …, or for another value ne(…)"):format(use.name)
      end
    end
    if message then
      local range = unit:rule(nil, use.line)
      local line, column = unit:place(use.name, range, use.line)
      notes[#notes + 1] = { unit = unit, line = line, column = column, message = message, hint = hint,
                            range = range }
    end
  end
end

local function compile(unit, text, environment, known)
  if text:byte(1) == 27 then
    return nil, { { unit = unit, line = 1, column = 1, message = "bytecode is no rule file" } }
  end
  local chunk, why = load(text, unit.chunk, "t", environment)
  if not chunk then return nil, { syntax.note(unit, why) } end
  local notes = {}
  check_globals(unit, chunk, known, notes)
  if #notes > 0 then return nil, notes end
  return chunk
end

local environment_of

-- require "x": lib/x.lua, once for each file that asks, in that file's own sandbox.
local function require_api(context, modules)
  local loaded, loading = {}, {}
  return function(name)
    if type(name) ~= "string" or not modules[name] then
      local hint = suggest.hint(tostring(name), modules.names) or "require finds lib/NAME.lua beside the rules"
      context.fail(("there is no module `%s` in lib/"):format(tostring(name)), hint, tostring(name))
    elseif loaded[name] ~= nil then
      return loaded[name]
    elseif context.sealed then
      error(("`require %q` stands outside of functions: modules are loaded while rules are"):format(name), 2)
    elseif loading[name] then
      context.fail(("the module `%s` requires itself"):format(name), nil, name)
    end
    loading[name] = true
    local unit = context_of.unit(modules[name].file, modules[name].text)
    context.units[unit.chunk] = unit
    context.texts[#context.texts + 1] = name .. "\0" .. unit.source
    local environment, known = environment_of(context, modules)
    local chunk, notes = compile(unit, unit.source, environment, known)
    if not chunk then context_of.raise(notes[1]) end
    local result = chunk()
    loaded[name] = result == nil and true or result
    return loaded[name]
  end
end

local function finish(context, declared, t)
  if declared.done then
    context.fail(("rule `%s` has its table already"):format(declared.name), nil, declared.name)
  end
  declared.done, context.rule = true, declared
  if type(t) ~= "table" or getmetatable(t) ~= nil then
    context.report(("rule `%s` needs a table"):format(declared.name), "write rule \"name\" { when = … }", "rule")
  else
    local before = #context.errors
    declared.rule = rule.check(context, declared.name, t, declared.range and declared.range.junction)
    declared.failed = #context.errors > before
  end
  context.rule = nil
  context.on_place(context.main.file)
end

local function rule_api(context)
  return function(name, ...)
    local unit, line = context.running()
    if context.sealed then error("`rule` stands at the top of a rule file, not in a function", 2) end
    if unit ~= context.main then
      context.fail("a module declares no rules", "rules stand in the directory's own files", "rule")
    elseif type(name) ~= "string" or name == "" or #name > M.NAME_BYTES_MAX then
      context.fail(("the name of a rule is text of at most %d bytes"):format(M.NAME_BYTES_MAX),
        "write rule \"name\" { … }", "rule")
    end
    local declared = { name = name, line = line, range = unit:rule(name, line) }
    context.declared[#context.declared + 1] = declared
    context.rule = declared
    context.on_place(unit.file, name)
    if select("#", ...) > 0 then
      context.fail("`rule` takes its name, and then a table", "write rule \"name\" { … }, without a comma", name)
    end
    return function(t) finish(context, declared, t) end
  end
end

function environment_of(context, modules)
  local api = operand.api()
  api.rule, api.log, api.trace = rule_api(context), rule.log_api(context), condition.api(context)
  api.window, api.sequence, api.query = window.api(context), sequence.api(context), window_query.api(context)
  api.cascade = cascade.api(context)
  api.require = context.require or require_api(context, modules)
  context.require = api.require
  for name, member in pairs(action.api(context)) do api[name] = member end
  local known
  local function on_undefined(name)
    local message, hint = undefined(tostring(name), known)
    if context.sealed then error(message, 3) end
    context.fail(message, hint, tostring(name))
  end
  local function on_assign(name)
    local message, hint = assigned(tostring(name))
    if context.sealed then error(message, 3) end
    context.fail(message, hint, tostring(name))
  end
  local environment
  environment, known = sandbox.environment(api, on_undefined, on_assign)
  return environment, known
end

-- ---- one file -----------------------------------------------------------------------------------

-- What can only be said when the file has run to its end.
local function look_back(context, complete)
  for _, declared in ipairs(context.declared) do
    if not declared.done then
      context.rule = declared
      context.report(("rule `%s` has no table"):format(declared.name), "write rule \"name\" { when = … }",
        declared.name)
    end
  end
  context.rule = nil
  if not complete then return end
  for _, built in ipairs(context.conditions) do
    local excused = built.rule and (built.rule.failed or not built.rule.done
      or (built.rule.range and built.rule.range.junction))
    if not condition.is_used(built.condition) and not excused then
      local range = built.rule and built.rule.range
      local unit = range and context.main or built.unit
      local line, column = unit:place(nil, range, built.line)
      context_of.add_error(context, unit, line, column, "a condition is built and used by no rule",
        "combine it with the rule's `when` by `:and_(…)` or `*`, or remove it")
    end
  end
end

-- Evaluates a text of the unit: its context, and the notes that ended it, if any.
local function run(unit, text, modules, options)
  local context = context_of.new(unit)
  context.actions, context.texts = options.actions or { "log" }, { unit.source }
  context.limits, context.names = options.limits or {}, options.names
  context.on_place = options.on_place or function() end
  context.keep, context.action_names, context.on_action = options.keep, {}, options.on_action or function() end
  context.on_place(unit.file)
  local environment, known = environment_of(context, modules)
  local chunk, notes = compile(unit, text, environment, known)
  if not chunk then return context, notes end
  local ok, note = xpcall(chunk, of_error(context))
  if ok then return context, nil end
  -- A full stack leaves the handler no room, and what it would have made is Lua's own text then.
  if type(note) ~= "table" then note = of_error(context)(note) end
  note.range = context.rule and context.rule.range or (note.unit == unit and unit:rule(nil, note.line))
  return context, { note }
end

local function balanced(lex)
  local i = 1
  while i <= lex.n do
    local text = lex:kind(i) == "operator" and lex:text(i)
    if text == "(" or text == "[" or text == "{" then
      i = lex:closing(i)
      if not i then return false end
    elseif text == ")" or text == "]" or text == "}" then
      return false
    end
    i = i + 1
  end
  return true
end

-- The text without the rules that notes stand in, or nil when one stands in none, or in one that has
-- been blanked already.
local function without(unit, text, notes, blanked)
  for _, note in ipairs(notes) do
    local range = note.range
    if note.syntax then range = balanced(unit:lex()) and unit:rule(nil, note.line) or nil end
    if not range or note.unit ~= unit and not note.range then return nil end
    if blanked[range] and blanked[range] ~= notes then return nil end
    if not blanked[range] then
      blanked[range] = notes
      local lex = unit:lex()
      local from, to = lex.from[range.from], lex.to[range.to]
      text = text:sub(1, from - 1) .. text:sub(from, to):gsub("[^\r\n]", " ") .. text:sub(to + 1)
    end
  end
  return text
end

local function look_twice(context, unit)
  twice(unit:lex(), function(line, column, key)
    context_of.add_warning(context, "duplicate-key", unit, line, column,
      ("`%s` stands twice in one table: the one before is lost"):format(key),
      "two conditions on one field: all_of { { … }, { … } }, any_of, or one operand such as one_of { … }")
  end)
end

local function keep(all, notes)
  for _, note in ipairs(notes) do all[#all + 1] = note end
end

--- Evaluates a source (sources.lua) with the modules that it may require. Gives the context: errors,
-- warnings, and declared, each with the rule that came of it or nil.
function M.file(source, modules, options)
  if dialect.kind(source.file) then return dialect.evaluate(source, options) end
  local unit = context_of.unit(source.file, source.text)
  local all, text, blanked, context, notes = {}, source.text, {}, nil, nil
  junction.find(unit, all)
  for _ = 1, M.PASSES_MAX do
    context, notes = run(unit, text, modules, options)
    if not notes then break end
    keep(all, notes)
    text = without(unit, text, notes, blanked)
    if not text then break end
  end
  if not notes then look_back(context, next(blanked) == nil) end
  allow.check(unit, function(...) context_of.add_warning(context, "unknown-code", unit, ...) end)
  look_twice(context, unit)
  for _, note in ipairs(all) do
    context_of.add_error(context, note.unit, note.line, note.column, note.message, note.hint)
  end
  return context
end

--- A module that nothing requires is looked at too, as far as can be without running it.
function M.module(source, modules)
  local unit = context_of.unit(source.file, source.text)
  local context = context_of.new(unit)
  context.texts = {}
  local environment, known = environment_of(context, modules)
  local _, notes = compile(unit, source.text, environment, known)
  for _, note in ipairs(notes or {}) do
    context_of.add_error(context, unit, note.line, note.column, note.message, note.hint)
  end
  return context
end

return M
