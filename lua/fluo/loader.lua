--- Loads a directory of rule files, in two steps so that the process can close its doors in between:
-- read(path) takes every text from the disk, load(sources) evaluates them in the sandbox. A file is taken
-- whole or not at all: one with any error gives no rules.
local abi = require("fluo.abi")
local context_of = require("fluo.context")
local diagnostic = require("fluo.diagnostic")
local evaluate = require("fluo.evaluate")
local ir = require("fluo.ir")
local sandbox = require("fluo.sandbox")
local sources_of = require("fluo.sources")

local M = {}

--- Reads every rule file of a directory (or the one file) and the modules of its lib/: see sources.lua.
M.read = sources_of.read

local function modules_of(sources)
  local modules = { names = {} }
  for _, source in ipairs(sources.files) do
    if source.module then
      modules[source.module] = source
      modules.names[#modules.names + 1] = source.module
    end
  end
  return modules
end

-- Names are unique over all files. The first keeps its name.
local function check_names(context, taken)
  for _, declared in ipairs(context.declared) do
    local first, unit = taken[declared.name], context.main
    local line, column = unit:place(declared.name, declared.range, declared.line)
    if first then
      context_of.add_error(context, unit, line, column,
        ("the name `%s` is taken: %s has it"):format(declared.name, first), "names are unique over all files")
    else
      taken[declared.name] = ("%s:%d:%d"):format(unit.file, line, column)
    end
  end
end

local function add_unique(list, seen, entries)
  for _, d in ipairs(entries) do
    local key = ("%s:%d:%d:%s"):format(d.file, d.line, d.column, d.message)
    if not seen[key] then
      seen[key] = true
      list[#list + 1] = d
    end
  end
end

-- The rules of a file without errors, written down at once: what served only that is let go, and so is
-- all that served the load of the file, before the next one is looked at.
local function gather(result, context, form, keep)
  for _, declared in ipairs(context.declared) do
    local r = declared.rule
    if #context.errors == 0 and r then
      r.file, r.line = context.main.file, declared.line
      if r.functions > 0 then r.texts = table.concat(context.texts, "\0") end
      if form then ir.add(form, r) end
      result.rules[#result.rules + 1] = keep and r or ir.strip(r)
    end
  end
  context.seal()
end

--- Evaluates what read gave. options.actions: the names of actions that exist (default: log alone);
-- options.hash: instead of the core's; options.keep: the rules as rule.lua made them, not only what the
-- study runs (ir.strip). Gives { rules, errors, warnings, files (how many rule files), ir
-- (the intermediate form), functions }; the rules are those of files without errors, in order of file and
-- place: whether errors are the end is the caller's choice (--skip-broken). Without the core linked in and
-- without options.hash there is no ir. The texts of the sources are let go.
function M.load(sources, options)
  options = options or {}
  sandbox.install()
  -- The heap of this process is bounded, and a full one is its end: collect early rather than late.
  local pause = collectgarbage("setpause", 110)
  local result = { rules = {}, errors = {}, warnings = {}, files = 0 }
  local errors_seen, warnings_seen, taken = {}, {}, {}
  local form = (options.hash or abi.has_hash()) and ir.new(options.hash)
  local modules = modules_of(sources)
  add_unique(result.errors, errors_seen, sources.errors)
  add_unique(result.warnings, warnings_seen, sources.warnings)
  for _, source in ipairs(sources.files) do
    local context = source.module and evaluate.module(source, modules)
    if not context then
      context = evaluate.file(source, modules, options)
      check_names(context, taken)
      result.files = result.files + 1
    end
    add_unique(result.errors, errors_seen, context.errors)
    add_unique(result.warnings, warnings_seen, context.warnings)
    gather(result, context, form, options.keep)
  end
  for _, source in ipairs(sources.files) do source.text = nil end
  diagnostic.sort(result.errors)
  diagnostic.sort(result.warnings)
  if form then result.ir, result.functions = ir.finish(form) end
  collectgarbage("setpause", pause)
  return result
end

return M
