--- Loads a directory of rule files, in two steps so that the process can close its doors in between:
-- read(path) takes every text from the disk, load(sources) evaluates them in the sandbox. A file is taken
-- whole or not at all: one with any error gives no rules.
local abi = require("fluo.abi")
local action = require("fluo.action")
local context_of = require("fluo.context")
local diagnostic = require("fluo.diagnostic")
local evaluate = require("fluo.evaluate")
local ir = require("fluo.ir")
local lexer = require("fluo.lexer")
local lint_names = require("fluo.lint.names")
local sandbox = require("fluo.sandbox")
local sources_of = require("fluo.sources")

local M = {}

--- Reads every rule file of a directory (or the one file) and the modules of its lib/: see sources.lua.
M.read = sources_of.read

--- The modules of what read gave, by name, and their names in order.
function M.modules(sources)
  local modules = { names = {} }
  for _, source in ipairs(sources.files) do
    if source.module then
      modules[source.module] = source
      modules.names[#modules.names + 1] = source.module
    end
  end
  return modules
end

-- ---- what is wrong ------------------------------------------------------------------------------

local function add_unique(list, seen, entries)
  for _, d in ipairs(entries) do
    local key = ("%s:%d:%d:%s"):format(d.file, d.line, d.column, d.message)
    if not seen[key] then
      seen[key] = true
      list[#list + 1] = d
    end
  end
end

--- Errors and warnings of one load or several: add(result or context) takes them, each once; put(result) sets them,
-- in order.
function M.findings()
  local errors, warnings, errors_seen, warnings_seen, allowed = {}, {}, {}, {}, 0
  return {
    add = function(from)
      allowed = allowed + (from.allowed or 0)
      add_unique(errors, errors_seen, from.errors)
      add_unique(warnings, warnings_seen, from.warnings)
    end,
    put = function(result)
      diagnostic.sort(errors)
      diagnostic.sort(warnings)
      result.errors, result.warnings, result.allowed = errors, warnings, allowed
    end,
  }
end

-- ---- names --------------------------------------------------------------------------------------

local UNIQUE = "names are unique over all files"

local function taken_by(name, place)
  return ("the name `%s` is taken: %s:%d:%d has it"):format(name, place.file, place.line, place.column)
end

-- Names are unique over all files. The first keeps its name; but on a reload a file that has not changed does, and
-- then the first, whose rules were taken already, has failed.
local function check_names(result, context, source)
  local unit, taken = context.main, result.taken
  for _, declared in ipairs(context.declared) do
    local name, first = declared.name, taken[declared.name]
    local line, column = unit:place(name, declared.range, declared.line)
    local place = { source = source, file = unit.file, line = line, column = column }
    if first and source.settled and not first.source.settled then
      result.failed[first.file] = true
      result.findings.add { warnings = {}, errors = { { severity = "error", file = first.file, line = first.line,
        column = first.column, message = taken_by(name, place), hint = UNIQUE } } }
      taken[name] = place
    elseif first then
      context_of.add_error(context, unit, line, column, taken_by(name, first), UNIQUE)
    else
      taken[name] = place
    end
  end
end

-- Actions have names of their own, over all files.
local function check_actions(result, context, source)
  for name, line in pairs(context.action_names or {}) do
    local first = result.actions_taken[name]
    if first then
      local at, column = context.main:place(name, nil, line)
      context_of.add_error(context, context.main, at, column,
        ("the action `%s` is declared in %s, too"):format(name, first), UNIQUE)
    end
    result.actions_taken[name] = first or source.file
  end
end

-- The names that rules may give as actions: those of the caller, and what files declare, whichever comes first.
local function action_names(sources, given)
  local names = {}
  for _, name in ipairs(given or { "log" }) do names[#names + 1] = name end
  for _, source in ipairs(sources.files) do
    if not source.module and source.file:find("%.lua$") and source.text:find("%f[%w_]action%s*[%(\"'%[]") then
      for _, name in ipairs(action.declared(lexer.scan(source.text))) do names[#names + 1] = name end
    end
  end
  return names
end

-- Two rules that ask the same are one too many, or one of them was to ask something else. Functions read alike and
-- need not be.
local function check_meanings(result, context, source)
  for _, declared in ipairs(context.declared) do
    local r = declared.rule
    if r and r.functions == 0 and r.mode ~= "off" then
      local key = result.form and result.form.hash(r.meaning) or r.meaning
      local first = result.meanings[key]
      local line, column = context.main:place(declared.name, declared.range, declared.line)
      if first then
        context_of.add_warning(context, "same-condition", context.main, line, column,
          ("`%s` asks the same as `%s`: %s:%d:%d"):format(declared.name, first.name, first.file, first.line,
            first.column),
          "one of them is enough, with the actions of both")
      end
      result.meanings[key] = first or { name = declared.name, file = source.file, line = line, column = column }
    end
  end
end

-- ---- loading ------------------------------------------------------------------------------------

-- The rules of a file without errors, written down at once. What served only the load of the file is let go before
-- that, and each rule with what only the form needed of it as soon as it is written: with ten thousand of them the
-- heap would not hold both. options.choose: what stands in the place of a rule; nil: nothing does.
local function gather(result, context, options)
  local form, declared, texts, file = result.form, context.declared, context.texts, context.main.file
  if form and next(context.action_names or {}) then ir.mark(form, texts) end
  local whole, hashed = #context.errors == 0, nil
  context.seal()
  for i, entry in ipairs(whole and declared or {}) do
    local r = entry.rule
    if r and options.choose then r = options.choose(r) end
    declared[i] = false
    if r then
      r.file, r.line = file, entry.line
      if form then
        if r.functions > 0 then hashed = hashed or ir.hash_texts(form, texts) end
        r.texts = hashed
        ir.add(form, r)
      end
      result.modes[r.mode] = result.modes[r.mode] + 1
      result.rules[#result.rules + 1] = options.keep and r or ir.strip(r)
    end
  end
end

local function load_file(result, source, modules, options)
  local context = evaluate.file(source, source.modules or modules, options)
  check_names(result, context, source)
  check_meanings(result, context, source)
  check_actions(result, context, source)
  for _, d in ipairs(source.refused or {}) do context.errors[#context.errors + 1] = d end
  result.files = result.files + 1
  if #context.errors > 0 then
    result.failed[source.file] = true
  else
    result.used[#result.used + 1] = { file = source.file, text = source.text, modules = source.modules or modules }
  end
  return context
end

--- Evaluates sources once: what load gives, and besides failed, the set of rule files that did not load, and used,
-- the others as texts.write takes them. A rule file sees its own modules, where it has some, else those given; what
-- its source has in `refused` are errors of it too.
function M.evaluate(sources, modules, options)
  sandbox.install()
  -- The heap of this process is bounded, and a full one is its end: collect early rather than late.
  local pause = collectgarbage("setpause", 110)
  local form = (options.hash or abi.has_hash()) and ir.new(options.hash) or nil
  local result = { rules = {}, files = 0, failed = {}, used = {}, taken = {}, form = form,
                   findings = M.findings(), meanings = {}, actions_taken = {},
                   modes = { active = 0, shadow = 0, off = 0 } }
  result.findings.add(sources)
  local actions, names = action_names(sources, options.actions), lint_names.new()
  options = setmetatable({ actions = actions, names = names }, { __index = options })
  for _, source in ipairs(sources.files) do
    local context = source.module and evaluate.module(source, modules) or load_file(result, source, modules, options)
    result.findings.add(context)
    gather(result, context, options)
  end
  result.findings.put(result)
  if form then result.ir, result.functions = ir.finish(form) end
  result.findings, result.taken, result.meanings, result.form, result.actions_taken = nil, nil, nil, nil, nil
  collectgarbage("setpause", pause)
  return result
end

--- The texts of sources are needed no more: functions of rules keep the tables.
function M.forget(sources)
  for _, source in ipairs(sources) do
    source.text = nil
    for _, name in ipairs(source.modules and source.modules.names or {}) do source.modules[name].text = nil end
  end
end

--- Evaluates what read gave. options.actions: the names of actions that exist (default: log alone);
-- options.limits: of the traces, as configured (lint.lua); options.hash: instead of the core's; options.keep: the
-- rules as rule.lua made them, not only what the study runs (ir.strip). Gives { rules, errors, warnings, allowed (how
-- many warnings more), modes (how many rules in each), files (how many rule files), ir (the intermediate form),
-- functions }; the rules are those of files without errors, in order of file and
-- place: whether errors are the end is the caller's choice (--skip-broken). Without the core linked in and
-- without options.hash there is no ir. The texts of the sources are let go.
function M.load(sources, options)
  local result = M.evaluate(sources, M.modules(sources), options or {})
  M.forget(sources.files)
  result.used = nil
  return result
end

--- The names of the actions that the files at a path declare, without evaluating one.
function M.declared_actions(path) return action_names(M.read(path), {}) end

return M
