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
local function check_names(contexts)
  local taken = {}
  for _, context in ipairs(contexts) do
    for _, declared in ipairs(context.declared) do
      local line, column = context.main:place(declared.name, declared.range, declared.line)
      local first = taken[declared.name]
      if first then
        context_of.add_error(context, context.main, line, column,
          ("the name `%s` is taken: %s has it"):format(declared.name, first), "names are unique over all files")
      else
        taken[declared.name] = ("%s:%d:%d"):format(context.main.file, line, column)
      end
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

-- The rules of a file without errors. What served only the load is let go.
local function gather(result, context)
  for _, declared in ipairs(context.declared) do
    local r = declared.rule
    if #context.errors == 0 and r then
      r.file, r.line = context.main.file, declared.line
      if r.functions > 0 then r.texts = table.concat(context.texts, "\0") end
      result.rules[#result.rules + 1] = r
    end
  end
  context.seal()
end

--- Evaluates what read gave. options.actions: the names of actions that exist (default: log alone);
-- options.hash: instead of the core's. Gives { rules, errors, warnings, files (how many rule files), ir
-- (the intermediate form), functions }; the rules are those of files without errors, in order of file and
-- place: whether errors are the end is the caller's choice (--skip-broken). Without the core linked in and
-- without options.hash there is no ir. The texts of the sources are let go.
function M.load(sources, options)
  options = options or {}
  sandbox.install()
  local result = { rules = {}, errors = {}, warnings = {}, files = 0 }
  local modules, contexts = modules_of(sources), {}
  for _, source in ipairs(sources.files) do
    if not source.module then
      contexts[#contexts + 1] = evaluate.file(source, modules, options)
      result.files = result.files + 1
    end
  end
  check_names(contexts)
  local errors_seen, warnings_seen = {}, {}
  add_unique(result.errors, errors_seen, sources.errors)
  add_unique(result.warnings, warnings_seen, sources.warnings)
  for _, source in ipairs(sources.files) do
    if source.module then add_unique(result.errors, errors_seen, evaluate.module(source, modules).errors) end
  end
  for _, context in ipairs(contexts) do
    add_unique(result.errors, errors_seen, context.errors)
    add_unique(result.warnings, warnings_seen, context.warnings)
    gather(result, context)
  end
  for _, source in ipairs(sources.files) do source.text = nil end
  diagnostic.sort(result.errors)
  diagnostic.sort(result.warnings)
  if options.hash or abi.has_hash() then result.ir, result.functions = ir.encode(result.rules, options) end
  return result
end

return M
