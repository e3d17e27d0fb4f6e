--- A rule file that is not Lua: reads its rules one by one, each as a tree of Lua (code.lua), and builds them as a Lua
-- file's rules are. A reader of a dialect gives rules
--   { name or nil, line, column, when, always, never (trees), description, severity, mode, actions (list of trees),
--     more (further keys: { key, tree } …), spots (key -> { line, column }), say (an error's text in the words of the
--     dialect) }
-- and false for one that it had to leave out, which it has told context.report_at of.
local allow = require("fluo.lint.allow")
local code = require("fluo.dialect.code")
local condition = require("fluo.condition")
local context_of = require("fluo.context")
local operand = require("fluo.operand")
local rule_of = require("fluo.rule")
local scan = require("fluo.dialect.scan")
local suggest = require("fluo.suggest")
local window = require("fluo.window")
local window_query = require("fluo.window_query")

local M = {}

M.NAME_BYTES_MAX = 256

local READERS = {}

local function reader_of(kind)
  if kind == "yml" or kind == "yaml" then return require("fluo.dialect.yaml_file") end
  return require("fluo.dialect.text_file")(kind)
end

--- The dialect of a file by its name, nil for Lua's own.
function M.kind(file)
  local kind = file:match("%.(%w+)$")
  return (kind == "yml" or kind == "yaml" or kind == "rule" or kind == "js") and kind or nil
end

-- ---- what errors need ---------------------------------------------------------------------------

-- Stands where a Lua file has its unit: an error has the place that was said, whatever the word.
local Text = {}
Text.__index = Text

function Text.place(_, _, range, line)
  if range then return range.line, range.column end
  return line or 1, 1
end

function Text:excerpt(line)
  local from = self.scan.starts[line]
  return from and self.source:match("^[^\r\n]*", from) or ""
end

function Text.rule() return nil end

local function unit_of(source)
  return setmetatable({ file = source.file, source = source.text, chunk = "@" .. source.file,
                        scan = scan.new(source.text) }, Text)
end

-- The warnings that a comment `fluo: allow …` says are meant, in this file.
local function read_allowed(context, unit)
  local codes = {}
  unit.allowed = { file = codes, rules = {}, wrong = {} }
  for at, list in unit.source:gmatch("()[/#]+[ \t]*fluo:[ \t]*allow[ \t]+([%w%-, \t_]+)") do
    for word in list:gmatch("[%w_%-]+") do
      codes[word] = true
      if not allow.CODES[word] then
        local line, column = unit.scan:place(at)
        context_of.add_warning(context, "unknown-code", unit, line, column,
          ("`%s` is the code of no warning"):format(word), suggest.expected(word, allow.NAMES))
      end
    end
  end
end

-- A context whose errors stand where a token stands, and not where Lua runs.
local function new_context(source, options)
  local unit = unit_of(source)
  local context = context_of.new(unit)
  context.actions, context.texts = options.actions or { "log" }, { source.text }
  context.limits, context.names, context.keep = options.limits or {}, options.names, options.keep
  context.on_place = options.on_place or function() end
  context.made = setmetatable({}, { __mode = "k" })      -- what was made of a tree -> its source text
  function context.source_of(x) return context.made[x] end
  function context.authored(fn) return context.made[fn] ~= nil end
  function context.running() return unit, nil end
  function context.built() end
  function context.report_at(at, message, hint)
    context_of.add_error(context, unit, at.line, at.column, message, hint)
  end
  function context.stands_once() return false end
  local warn = context.warn
  function context.warn(kind, message, hint, word)        -- patterns are built twice: to check them, and to run
    if not context.told[message] then warn(kind, message, hint, word) end
    context.told[message] = true
  end
  read_allowed(context, unit)
  return context
end

local function world_of(context)
  local api = operand.api()
  api.trace, api.log = condition.api(context), rule_of.log_api(context)
  api.window, api.query = window.api(context), window_query.api(context)
  return { api = api, context = context }
end

-- ---- one rule -----------------------------------------------------------------------------------

-- The rule as entries in the order that people write them: { key, tree }.
local function entries(rule)
  local list = {}
  for _, key in ipairs { "description", "severity", "mode" } do
    if rule[key] ~= nil then list[#list + 1] = { key, rule[key] } end
  end
  for _, entry in ipairs(rule.more or {}) do list[#list + 1] = entry end
  for _, key in ipairs { "when", "always", "never" } do
    if rule[key] ~= nil then list[#list + 1] = { key, rule[key] } end
  end
  if #rule.actions > 0 then list[#list + 1] = { "actions", code.list(rule.actions) } end
  return list
end

local function check_name(context, rule)
  if type(rule.name) == "string" and rule.name ~= "" and #rule.name <= M.NAME_BYTES_MAX then return true end
  context.report_at(rule, ("the name of a rule is text of at most %d bytes"):format(M.NAME_BYTES_MAX))
  return false
end

-- Where the value of a key stands.
local function place_of(rule, key) return rule.spots and rule.spots[key] or rule end

local function build_rule(context, world, rule)
  local declared = { name = rule.name, line = rule.line, done = true,
                     range = { line = rule.line, column = rule.column } }
  context.declared[#context.declared + 1] = declared
  context.rule, context.told = declared, rule.told
  context.on_place(context.main.file, rule.name)
  local t = {}
  for _, entry in ipairs(entries(rule)) do
    context.spot = place_of(rule, entry[1])
    t[entry[1]] = code.build(entry[2], world)
  end
  context.spot = nil
  context.spots = rule.spots
  declared.rule = rule_of.check(context, rule.name, t)
  context.rule, context.spot, context.spots = nil, nil, nil
end

-- An error that ends the building of a rule leaves the others.
local function build(context, world, rule)
  local before = #context.errors
  local ok, raised = pcall(build_rule, context, world, rule)
  context.rule, context.spot, context.spots = nil, nil, nil
  if ok then return #context.errors == before end
  local note = context_of.raised(raised)
  if not note then error(raised, 0) end
  local say = rule.say or function(text) return text end
  context_of.add_error(context, note.unit, note.line, note.column, say(note.message), note.hint and say(note.hint))
  return false
end

-- ---- a file -------------------------------------------------------------------------------------

local function stem(file) return (file:match("([^/]*)%.%w+$") or file) end

-- Rules without a name, each and how many there are in all: a lone one has the file's.
local function name_lone(context, source, unnamed, count)
  for _, rule in ipairs(unnamed) do
    if count == 1 then
      rule.name = stem(source.file)
    else
      context.report_at(rule, "a rule beside others needs a name", M.kind(source.file) == "js"
        and "write // @name x above it" or "write rule \"name\" above it, or // @name x")
    end
  end
end

-- Reads the rules of a source one by one and lets take have each without an error, so that no more than one need be
-- there at a time; those without a name come last.
local function each_rule(source, context, world, take)
  local kind = M.kind(source.file)
  READERS[kind] = READERS[kind] or reader_of(kind)
  local next_rule, unnamed, count, whole = READERS[kind](source.text, context, world), {}, 0, true
  while true do
    local before = #context.errors
    context.told = {}
    local rule = next_rule()
    if rule == nil then break end
    count, whole = count + 1, whole and rule
    if rule then rule.told = context.told end
    if rule and not rule.name then
      unnamed[#unnamed + 1] = rule
    elseif rule and #context.errors == before then
      take(rule)
    end
  end
  if whole then name_lone(context, source, unnamed, count) end
  for _, rule in ipairs(#context.errors == 0 and unnamed or {}) do take(rule) end
end

--- The rules of a source as trees, for M.print; none of one with errors.
function M.read(source)
  local context, rules = new_context(source, {}), {}
  each_rule(source, context, world_of(context), function(rule) rules[#rules + 1] = rule end)
  return #context.errors == 0 and rules or {}
end

--- What evaluate.file gives of a Lua file.
function M.evaluate(source, options)
  local context = new_context(source, options)
  local world = world_of(context)
  context.on_place(source.file)
  each_rule(source, context, world, function(rule)
    if check_name(context, rule) then build(context, world, rule) end
    context.on_place(source.file)
  end)
  return context
end

--- A rule as Lua.
function M.print(rule)
  local list = {}
  for _, entry in ipairs(entries(rule)) do
    list[#list + 1] = "  " .. entry[1] .. " = " .. code.print(entry[2]):gsub("\n", "\n  ") .. ",\n"
  end
  return ("rule %s {\n%s}\n"):format(code.quote(rule.name), table.concat(list))
end

return M
