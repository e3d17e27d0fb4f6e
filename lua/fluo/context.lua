--- What is known while one rule file is evaluated: the texts involved (the file and the modules that it
-- requires), the rule being built, what was found wrong. Everything that checks reports through it, and it
-- alone decides where an error stands:
--
--   the line of the word at fault where the word stands once in the rule, else the rule's line;
--   the column where the word stands once in that line, else where the line begins.
local lexer = require("fluo.lexer")
local duration = require("fluo.lint.duration")
local operand = require("fluo.operand")
local allow = require("fluo.lint.allow")
local field = require("fluo.field")
local pattern = require("fluo.pattern")
local tree = require("fluo.tree")

local M = {}
local Context = {}

M.NEAR_LINES = 50               -- how far from where it is built a pattern's text is looked for
M.ERRORS_MAX = 200              -- of one file; one more entry says that there are others

-- ---- units: texts with a name -------------------------------------------------------------------

local Unit = {}
Unit.__index = Unit

--- A text that code was compiled from. `file` is how messages name it.
function M.unit(file, source)
  return setmetatable({ file = file, source = source, chunk = "@" .. file }, Unit)
end

function Unit:lex()
  if not self.scanned then
    self.scanned = lexer.scan(self.source)
    self.ranges, self.named = self.scanned:rules(), {}
    for _, range in ipairs(self.ranges) do
      if range.name then self.named[range.name] = self.named[range.name] == nil and range or false end
    end
  end
  return self.scanned
end

--- The rule of that name, else the rule that stands at that line; nil when neither is certain.
function Unit:rule(name, line)
  self:lex()
  if name and self.named[name] then return self.named[name] end
  for _, range in ipairs(line and self.ranges or {}) do
    local fits = not name or not range.name or range.name == name
    if fits and range.line <= line and line <= range.last_line then return range end
  end
  return nil
end

local function first_column(lex, line)
  local from, to = lex:line_range(line)
  local text = lex.source:sub(from, to)
  return #text:match("^%s*") + 1
end

local function column_in_line(lex, line, word)
  local from, to = lex:line_range(line)
  local count, at = 0, nil
  if word then count, at = lex:occurrences(word, from, to) end
  return count == 1 and at - from + 1 or nil
end

--- Where an error at a word stands: within a rule's range, else in a line.
function Unit:place(word, range, line)
  local lex = self:lex()
  if range then
    local count, at = 0, nil
    if word then count, at = lex:occurrences(word, lex.from[range.from], lex.to[range.to]) end
    line = count == 1 and lex:place(at) or range.line
    return line, column_in_line(lex, line, word)
      or (line == range.line and select(2, lex:place(lex.from[range.from]))) or first_column(lex, line)
  end
  line = math.min(math.max(line or 1, 1), #lex.starts)
  return line, column_in_line(lex, line, word) or first_column(lex, line)
end

function Unit:excerpt(line)
  local from, to = self:lex():line_range(line)
  return self.source:sub(from, to)
end

-- ---- the author's text of a value ---------------------------------------------------------------

local function one_line(text) return (text:gsub("%s*[\r\n]%s*", " ")) end

local LITERALS = { ["true"] = true, ["false"] = false }

-- Whether an entry of a table constructor can have given this value; what is computed always can.
local function can_be(lex, entry, value)
  if entry.from ~= entry.to then return true end
  local kind, text = lex:kind(entry.from), lex:text(entry.from)
  if kind == "string" then return lex:value(entry.from) == value end
  if kind == "number" then
    return tonumber(text) == nil or tonumber(text) == value
  elseif LITERALS[text] ~= nil then
    return LITERALS[text] == value
  end
  return true
end

local function is_constructor_of(lex, open, t)
  local seen = 0
  for _, entry in ipairs(lex:entries(open)) do
    if not entry.key or t[entry.key] == nil or not can_be(lex, entry, t[entry.key]) then return false end
    seen = seen + 1
  end
  local keys = 0
  for _ in pairs(t) do keys = keys + 1 end
  return keys == seen
end

-- The text of the one table constructor between two tokens that can have made t. Several that read
-- alike are as good as one.
local function constructor_text(lex, from, to, t)
  local text
  for i = from, to do
    if lex:text(i) == "{" then
      local close = lex:closing(i)
      if close and is_constructor_of(lex, i, t) then
        local this = one_line(lex.source:sub(lex.from[i], lex.to[close]))
        if text and text ~= this then return nil end
        text = this
      end
    end
  end
  return text
end

-- The text of the one any_of { … }, all_of or not_ between two tokens. What stands in another of its kind is
-- part of that.
local function join_text(lex, from, to, op)
  local text
  local i = from
  while i < to do
    local next_text = lex:text(i + 1)
    if lex:text(i) == op and (next_text == "{" or next_text == "(") then
      local close = lex:closing(i + 1)
      if not close then return nil end
      local this = one_line(lex.source:sub(lex.from[i], lex.to[close]))
      if text and text ~= this then return nil end
      text, i = this, close
    end
    i = i + 1
  end
  return text
end

local function function_text(unit, fn)
  local info, lex = debug.getinfo(fn, "S"), unit:lex()
  local text
  for i = 1, lex.n do
    if lex:text(i) == "function" and lex:place(lex.from[i]) == info.linedefined then
      local last = lex:function_end(i)
      if last and lex:place(lex.to[last]) == info.lastlinedefined then
        if text then return nil end
        text = one_line(lex.source:sub(lex.from[i], lex.to[last]))
      end
    end
  end
  return text
end

-- ---- contexts -----------------------------------------------------------------------------------

-- What goes past an author's code is an empty token, for pcall hands it to them: a note leads to tables of ours,
-- which all files share.
local notes = setmetatable({}, { __mode = "k" })
local Token = { __metatable = false, __tostring = function(self) return notes[self].message end }

--- Raises a note: { unit, line, column, message, hint }.
function M.raise(note)
  local token = setmetatable({}, Token)
  notes[token] = note
  error(token, 0)
end

--- The note that was raised, or nil where anything else was.
function M.raised(token) return token ~= nil and notes[token] or nil end

local function add(self, severity, message, hint, unit, line, column, code)
  if code and allow.covers(unit, line, code) then
    self.allowed = self.allowed + 1
    return
  end
  local key = ("%s:%d:%d:%s"):format(unit.file, line, column, message)
  if self.seen[key] then return end
  self.seen[key] = true
  local list = severity == "error" and self.errors or self.warnings
  if #list > M.ERRORS_MAX then return end
  if #list == M.ERRORS_MAX then message, hint = ("more than %d %ss in this file"):format(#list, severity), nil end
  list[#list + 1] = { severity = severity, code = code, file = unit.file, line = line, column = column,
                      message = message, hint = hint, excerpt = unit:excerpt(line) }
end

-- The innermost line of an author's text that runs now.
local function running(self)
  for level = 3, 200 do
    local info = debug.getinfo(level, "Sl")
    if not info then break end
    local unit = self.units[info.source]
    if unit then return unit, info.currentline end
  end
  return self.main, nil
end

local function at(self, word)
  local rule, spot = self.rule, self.spot or self.spots and self.spots[self.key or word]
  if spot then return self.main, spot.line, spot.column end
  if rule and rule.range then
    return self.main, self.main:place(word, rule.range)
  end
  local unit, line = running(self)
  return unit, unit:place(word, nil, line or (rule and rule.line))
end

local function add_reports(self)
  function self.report(message, hint, word)
    if self.sealed then error(message, 0) end
    local unit, line, column = at(self, word)
    add(self, "error", message, hint, unit, line, column)
  end

  function self.warn(code, message, hint, word)
    if self.sealed then error(message, 0) end
    assert(allow.CODES[code], code)
    local unit, line, column = at(self, word)
    add(self, "warning", message, hint, unit, line, column, code)
  end
end

-- Lets go of conditions that became part of others: a long `and` is built by as many shorter ones. Whenever
-- their number has doubled, so that it costs little.
local function sift(self)
  local kept = {}
  for _, built in ipairs(self.conditions) do
    if not tree.node(built.condition).used then kept[#kept + 1] = built end
  end
  self.conditions, self.conditions_sift = kept, 2 * #kept + 64
end

-- Once the rules are loaded nothing is built any more, and the texts are let go.
local function seal(self)
  self.sealed = true
  for _, unit in pairs(self.units) do unit.source, unit.scanned, unit.ranges, unit.named = nil, nil, nil, nil end
  self.errors, self.warnings, self.seen, self.conditions, self.declared = nil, nil, nil, nil, nil
  self.texts, self.rule, self.names = nil, nil, nil
end

local function refuse_sealed(self)
  if self.sealed then error("conditions are built while rules load, not in their functions", 0) end
end

-- What an author wrote for a table: found by the operand's name, or by its constructor near the line.
local function table_text(self, x)
  local unit, range, data = self.main, self.rule and self.rule.range, operand.of(x)
  local lex = unit:lex()
  if data then
    return range and operand.JOINS[data.op] and join_text(lex, range.from, range.to, data.op) or nil
  end
  if range then return constructor_text(lex, range.from, range.to, x) end
  local _, line = running(self)
  return line and constructor_text(lex, lex:token_of_line(line - M.NEAR_LINES),
    lex:token_of_line(line + M.NEAR_LINES), x)
end

-- What patterns and conditions ask of the file they stand in.
local function add_sources(self)
  -- Whether the rule at hand has a word once.
  function self.stands_once(word)
    local range = self.rule and self.rule.range
    if not range then return false end
    local lex = self.main:lex()
    return lex:occurrences(word, lex.from[range.from], lex.to[range.to]) == 1
  end

  function self.running() return running(self) end

  function self.authored(fn)
    local info = debug.getinfo(fn, "S")
    return info.what ~= "C" and self.units[info.source] ~= nil
  end

  function self.source_of(x)
    if type(x) == "table" then return not getmetatable(x) and table_text(self, x) or nil end
    local unit = type(x) == "function" and self.units[debug.getinfo(x, "S").source]
    return unit and function_text(unit, x) or nil
  end
end

-- What conditions are built with.
local function add_builders(self)
  self.canonical, self.label = pattern.canonical, function(fn) return pattern.label_of_function(self, fn) end

  function self.pattern(x, what)
    refuse_sealed(self)
    return pattern.of(self, x, what)
  end

  function self.operand(x, unit, what)
    local data = operand.of(x)
    if unit ~= "number" then duration.look(self, x, what) end
    local result = field.metric(x, data, unit, what, function(message, hint, word)
      self.report(message, hint, word or what)
    end)
    return result or { op = "GE", n = unit == "number" and 0 or 0LL }
  end

  function self.built(condition)
    refuse_sealed(self)
    local unit, line = running(self)
    self.conditions[#self.conditions + 1] = { condition = condition, unit = unit, line = line,
                                              rule = self.rule }
    if #self.conditions >= self.conditions_sift then sift(self) end
  end
end

--- A context for one file. report and warn note; fail raises past all of the author's code.
function M.new(main)
  local self = { main = main, units = { [main.chunk] = main }, errors = {}, warnings = {}, seen = {}, allowed = 0,
                 conditions = {}, conditions_sift = 64, declared = {} }
  add_reports(self)

  function self.fail(message, hint, word)
    if self.sealed then error(message, 0) end
    local unit, line, column = at(self, word)
    M.raise({ message = message, hint = hint, unit = unit, line = line, column = column })
  end

  function self.seal() seal(self) end
  add_sources(self)
  add_builders(self)
  return setmetatable(self, Context)
end

--- Notes a warning at an exact place.
function M.add_warning(self, code, unit, line, column, message, hint)
  add(self, "warning", message, hint, unit, line, column, code)
end

--- Notes an error at an exact place.
function M.add_error(self, unit, line, column, message, hint)
  add(self, "error", message, hint, unit, line, column)
end

return M
