--- Loads a directory of rule files, in two steps so that the process can close its doors in between:
-- read(path) takes every text from the disk, load(sources) evaluates them in the sandbox.
--
-- A file is evaluated as often as it takes to see all of its errors: an error that ends the evaluation
-- within a rule is noted, that rule's text is blanked, and the file is evaluated again without it. What
-- was only reported comes from the last time. A file with any error gives no rules at all.
local abi = require("fluo.abi")
local condition = require("fluo.condition")
local context_of = require("fluo.context")
local diagnostic = require("fluo.diagnostic")
local operand = require("fluo.operand")
local rule = require("fluo.rule")
local sandbox = require("fluo.sandbox")
local suggest = require("fluo.suggest")

local M = {}

M.FILE_BYTES_MAX, M.FILES_MAX, M.PASSES_MAX, M.NAME_BYTES_MAX = 1048576, 10000, 50, 256

-- ---- step 1: read -------------------------------------------------------------------------------

local LATER = { yml = "YAML rules", yaml = "YAML rules", rule = "`.rule` files", js = "JavaScript rules" }

local function extension(name) return name:match("%.([%w]+)$") end

local function complain(sources, file, message, hint)
  sources.errors[#sources.errors + 1] = { severity = "error", file = file, line = 1, column = 1,
                                          message = message, hint = hint }
end

-- Lines stay the author's: a fence becomes an empty line. A BOM has no width.
local function clean(text)
  text = text:gsub("^\239\187\191", "")
  local from, to = text:find("^%s*```[^\r\n]*")
  if not from then return text end
  local blank = function(piece) return (piece:gsub("[^\r\n]", " ")) end
  text = blank(text:sub(from, to)) .. text:sub(to + 1)
  return (text:gsub("```[ \t\r\n]*$", blank))
end

local function read_file(sources, file, entry)
  local text, why = abi.read(file, M.FILE_BYTES_MAX)
  if not text then
    complain(sources, file, "cannot be read: " .. why)
  elseif #text > M.FILE_BYTES_MAX then
    complain(sources, file, "a rule file has at most 1 MiB", "split it into several files")
  elseif #sources.files >= M.FILES_MAX then
    complain(sources, file, ("a directory has at most %d rule files"):format(M.FILES_MAX))
  else
    entry.file, entry.text = file, clean(text)
    sources.files[#sources.files + 1] = entry
  end
end

-- lib/a/b.lua is the module "a.b".
local function read_modules(sources, folder, prefix, depth)
  local names, why = abi.list(folder)
  if not names then return complain(sources, folder, "cannot be read: " .. why) end
  for _, name in ipairs(names) do
    local path = folder .. "/" .. name
    if name:find("^[._]") then
      -- Hidden, as among the rules.
    elseif abi.is_folder(path) then
      if depth < 8 then read_modules(sources, path, prefix .. name .. ".", depth + 1) end
    elseif extension(name) == "lua" and not name:find("_spec%.lua$") then
      read_file(sources, path, { module = prefix .. name:gsub("%.lua$", "") })
    end
  end
end

local function read_rule(sources, path)
  local later = LATER[extension(path)]
  if later then
    complain(sources, path, "not yet: " .. later, "write it in Lua for now")
  else
    read_file(sources, path, {})
  end
end

-- Folders are not rule files; one that holds what looks like rules is worth a word.
local function mind_folder(sources, path, name)
  for _, inner in ipairs(abi.list(path) or {}) do
    if extension(inner) == "lua" and not inner:find("_spec%.lua$") and not inner:find("^[._]") then
      sources.warnings[#sources.warnings + 1] = { severity = "warning", file = path, line = 1, column = 1,
        message = ("the folder `%s` holds Lua files that are not read"):format(name),
        hint = "rule files stand in the directory itself, shared modules in its lib/" }
      return
    end
  end
end

--- Reads every rule file of a directory (or the one file) and the modules of its lib/, in sorted order:
-- { files = { { file, text, module (its name, of a module) } }, errors, warnings }. Never fails: what
-- cannot be read is an entry of errors.
function M.read(path)
  local sources = { files = {}, errors = {}, warnings = {} }
  path = #path > 1 and path:gsub("/+$", "") or path
  if not abi.is_folder(path) then
    if extension(path) ~= "lua" and not LATER[extension(path)] and abi.read(path, 0) then
      complain(sources, path, "not a rule file", "the name of a rule file ends in .lua")
    else
      read_rule(sources, path)
    end
    local lib = (path:match("^(.*/)[^/]*$") or "") .. "lib"
    if abi.is_folder(lib) then read_modules(sources, lib, "", 1) end
    return sources
  end
  local names, why = abi.list(path)
  if not names then complain(sources, path, "cannot be read: " .. why) end
  for _, name in ipairs(names or {}) do
    local full, kind = path .. "/" .. name, extension(name)
    if name:find("^[._]") or name:find("_spec%.lua$") then
      -- Not rules, by their name.
    elseif abi.is_folder(full) then
      if name == "lib" then read_modules(sources, full, "", 1) else mind_folder(sources, full, name) end
    elseif kind == "lua" or LATER[kind] then
      read_rule(sources, full)
    end
  end
  return sources
end

-- ---- step 2: load -------------------------------------------------------------------------------

local FORMS_LATER = { window = true, sequence = true, query = true }
local FORBIDDEN = {}
for name in ([[print io os debug ffi jit package load loadstring loadfile dofile module getfenv setfenv
  getmetatable setmetatable rawget rawset rawequal rawlen newproxy xpcall collectgarbage gcinfo _G
  _VERSION]]):gmatch("%S+") do FORBIDDEN[name] = true end

local function known_names(known)
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Message and hint for a global that does not exist.
local function undefined(name, known)
  if FORMS_LATER[name] then return ("not yet: `%s`"):format(name), nil end
  local message = ("undefined global `%s`"):format(name)
  if FORBIDDEN[name] then return message, "rule files are sealed: this part of Lua is not among what they may use" end
  local near = suggest.hint(name, known_names(known))
  return message, (near and near .. " " or "") .. ("if it is text, quote it: \"%s\""):format(name)
end

local function assigned(name)
  return ("assignment to the global `%s`"):format(name), ("write `local %s`: a file keeps its names to itself")
    :format(name)
end

-- ---- the words and, or, not ---------------------------------------------------------------------

local JUNCTION_HINTS = {
  ["and"] = "write `:and_(…)` or `*`; for one span, both in one pattern table or all_of { … }",
  ["or"] = "write `:or_(…)` or `+`; for one span, any_of { … }",
  ["not"] = "write `:not_()` or a minus before it; for one span, not_ { … }",
}
local JUDGED = { when = true, always = true, never = true }

-- The first of the words between two tokens, functions skipped.
local function junction(lex, from, to)
  local i = from
  while i <= to do
    local text = lex:kind(i) == "keyword" and lex:text(i)
    if text == "function" then
      i = lex:function_end(i) or to
    elseif JUNCTION_HINTS[text] then
      return text
    end
    i = i + 1
  end
  return nil
end

-- Lua would drop a side of `a and b` without a word, so the words are looked for in the text.
local function find_junctions(unit, notes)
  local lex = unit:lex()
  for _, range in ipairs(unit.ranges) do
    for _, entry in ipairs(range.open and lex:entries(range.open) or {}) do
      local word = JUDGED[entry.key] and junction(lex, entry.from, entry.to)
      if word then
        local line, column = unit:place(word, range)
        range.junction = true
        notes[#notes + 1] = { unit = unit, line = line, column = column, hint = JUNCTION_HINTS[word],
          message = ("Lua's own `%s` in `%s` drops a side without a word"):format(word, entry.key) }
      end
    end
  end
end

-- ---- errors of Lua ------------------------------------------------------------------------------

local function syntax_hint(message, near)
  if near == "!" then return "Lua writes `~=` for unequal, `not` for not" end
  if near == "&" or near == "|" then return "Lua writes `and` and `or`; conditions are joined by `*` and `+`" end
  if near == "for" then return "`for` is a word of Lua: the key is pending_for" end
  if message:find("^'}' expected") then return "is a comma or a closing brace missing before it?" end
  if message:find("^'=' expected") or message:find("^unexpected symbol") or message:find("^'<eof>' expected") then
    return "nothing but statements stands outside of rules: rule \"name\" { … }"
  end
  return nil
end

-- Lua's message as a note: its line, and the column of the token that it names.
local function of_syntax(unit, text)
  local line, message = text:match(":(%d+): (.*)$")
  local near = (message or ""):match(" near '(.-)'$")
  line = tonumber(line) or 1
  local place_line, column = unit:place(near ~= "<eof>" and near or nil, nil, line)
  return { unit = unit, line = place_line, column = column, message = message or text, syntax = true,
           hint = syntax_hint(message or "", near) }
end

-- An error raised while code ran: a load error as it is, anything else with the word it quotes.
local function of_error(context)
  return function(raised)
    if type(raised) == "table" and raised.load_error then return raised end
    local unit, line = context.running()
    local message = type(raised) == "string" and raised:gsub("^.-:%d+: ", "")
      or ("an error was raised: %s"):format(sandbox.tostring(raised))
    local word = message:match("'([^']+)'")
    local range = word and context.rule and context.rule.range
    local place_line, column = unit:place(word, range, line)
    return { load_error = true, unit = unit, line = place_line, column = column, message = message }
  end
end

-- ---- compiling and running ----------------------------------------------------------------------

-- Names that do not exist, in functions too that did not run yet. Gives a note each.
local function check_globals(unit, chunk, known, notes)
  for _, use in ipairs(sandbox.globals(chunk)) do
    local message, hint
    if use.assigned then
      message, hint = assigned(use.name)
    elseif known[use.name] == nil then
      message, hint = undefined(use.name, known)
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
  if not chunk then return nil, { of_syntax(unit, why) } end
  local notes = {}
  check_globals(unit, chunk, known, notes)
  if #notes > 0 then return nil, notes end
  return chunk
end

local function raise_note(note)
  note.load_error = true
  error(note, 0)
end

local environment_of

-- require "x": lib/x.lua, once for each file that asks, in that file's own sandbox.
local function require_api(context, modules)
  local loaded, loading = {}, {}
  return function(name)
    if type(name) ~= "string" or not modules[name] then
      local hint = type(name) == "string" and suggest.hint(name, modules.names) or nil
      context.fail(("there is no module `%s` in lib/"):format(tostring(name)), hint, tostring(name))
    elseif loaded[name] ~= nil then
      return loaded[name]
    elseif loading[name] then
      context.fail(("the module `%s` requires itself"):format(name), nil, name)
    end
    loading[name] = true
    local unit = context_of.unit(modules[name].file, modules[name].text)
    context.units[unit.chunk] = unit
    context.texts[#context.texts + 1] = name .. "\0" .. unit.source
    local environment, known = environment_of(context, modules)
    local chunk, notes = compile(unit, unit.source, environment, known)
    if not chunk then raise_note(notes[1]) end
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
    if select("#", ...) > 0 then
      context.fail("`rule` takes its name, and then a table", "write rule \"name\" { … }, without a comma", name)
    end
    return function(t) finish(context, declared, t) end
  end
end

function environment_of(context, modules)
  local api = operand.api()
  api.rule, api.log, api.trace = rule_api(context), rule.log_api(context), condition.api(context)
  api.require = context.require or require_api(context, modules)
  context.require = api.require
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
      context.rule = built.rule
      local unit, line, column = built.unit, nil, nil
      if built.rule and built.rule.range then
        unit = context.main
        line, column = unit:place(nil, built.rule.range)
      else
        line, column = unit:place(nil, nil, built.line)
      end
      context_of.add_error(context, unit, line, column, "a condition is built and used by no rule",
        "combine it with the rule's `when` by `:and_(…)` or `*`, or remove it")
    end
  end
  context.rule = nil
end

-- Evaluates a text of the unit: its context, and the notes that ended it, if any.
local function run(unit, text, modules, options)
  local context = context_of.new(unit)
  context.actions, context.texts = options.actions or { "log" }, { unit.source }
  local environment, known = environment_of(context, modules)
  local chunk, notes = compile(unit, text, environment, known)
  if not chunk then return context, notes end
  local ok, note = xpcall(chunk, of_error(context))
  if ok then return context, nil end
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
    if blanked[range] == notes then
      -- A second note in the same rule.
    elseif blanked[range] then
      return nil
    else
      blanked[range] = notes
      local lex = unit:lex()
      local from, to = lex.from[range.from], lex.to[range.to]
      text = text:sub(1, from - 1) .. text:sub(from, to):gsub("[^\r\n]", " ") .. text:sub(to + 1)
    end
  end
  return text
end

local function keep(all, notes)
  for _, note in ipairs(notes) do all[#all + 1] = note end
end

-- All errors and warnings of a file, and its rules if it has no error.
local function evaluate(source, modules, options)
  local unit = context_of.unit(source.file, source.text)
  local all, text, blanked, context, notes = {}, source.text, {}, nil, nil
  find_junctions(unit, all)
  for _ = 1, M.PASSES_MAX do
    context, notes = run(unit, text, modules, options)
    if not notes then break end
    keep(all, notes)
    text = without(unit, text, notes, blanked)
    if not text then break end
  end
  look_back(context, notes == nil and next(blanked) == nil)
  for _, note in ipairs(all) do
    context_of.add_error(context, note.unit, note.line, note.column, note.message, note.hint)
  end
  return context
end

-- ---- all files ----------------------------------------------------------------------------------

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

-- A module that nothing requires is looked at too, as far as can be without running it.
local function check_module(source, modules)
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

--- Evaluates what read gave. options.actions: the names of actions that exist (default: log alone).
-- Gives { rules, errors, warnings, files (how many rule files) }; rules are those of files without errors,
-- in order of file and place. Whether errors are the end is the caller's choice (--skip-broken).
function M.load(sources, options)
  options = options or {}
  local result = { rules = {}, errors = {}, warnings = {}, files = 0 }
  local modules, contexts = modules_of(sources), {}
  for _, source in ipairs(sources.files) do
    if not source.module then
      contexts[#contexts + 1] = evaluate(source, modules, options)
      result.files = result.files + 1
    end
  end
  check_names(contexts)
  local errors_seen, warnings_seen = {}, {}
  add_unique(result.errors, errors_seen, sources.errors)
  add_unique(result.warnings, warnings_seen, sources.warnings)
  for _, source in ipairs(sources.files) do
    if source.module then add_unique(result.errors, errors_seen, check_module(source, modules).errors) end
  end
  for _, context in ipairs(contexts) do
    add_unique(result.errors, errors_seen, context.errors)
    add_unique(result.warnings, warnings_seen, context.warnings)
    gather(result, context)
  end
  diagnostic.sort(result.errors)
  diagnostic.sort(result.warnings)
  return result
end

return M
