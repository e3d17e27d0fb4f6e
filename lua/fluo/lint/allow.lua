--- The codes of warnings, and how a rule file says that one is meant:
--
--   -- fluo: allow never-fires, no-form
--
-- In a rule, or in the comment right above it, that is for this rule, anywhere else for the file.
local suggest = require("fluo.suggest")

local M = {}

--- What each code stands for; rules/README.md has them too, and a spec compares.
M.CODES = {
  ["never-fires"] = "a rule that nothing can make fire",
  ["always-fires"] = "a rule that fires for every span, or every trace",
  ["never-matches"] = "a pattern, or an alternative in one, that no span can match",
  ["never-holds"] = "an operand that holds for nothing",
  ["reads-as-invariant"] = "`when` says A and B, the description that A needs B",
  ["same-condition"] = "two rules ask the same",
  ["near-attribute"] = "an attribute named almost as OpenTelemetry names one",
  ["duplicate-key"] = "a key that stands twice in one table",
  ["field-as-attribute"] = "a field written as an attribute",
  ["resource-as-attribute"] = "an attribute of resources asked of a span",
  ["unguarded-function"] = "a function that runs for every span, or every trace",
  ["bare-duration"] = "a duration without unit that is hardly meant in milliseconds",
  ["long-within"] = "a `within` longer than a trace is kept",
  ["no-form"] = "a `no_…` where `without_…` is usually meant",
  ["label-template"] = "a label that looks like a template",
  ["unknown-action"] = "an action that nothing defines",
  ["unread-folder"] = "a folder with Lua files that are not read",
  ["unknown-code"] = "`fluo: allow` of a warning that does not exist",
}
M.NAMES = {}
for code in pairs(M.CODES) do M.NAMES[#M.NAMES + 1] = code end
table.sort(M.NAMES)

-- The rule that a comment stands in, or right above.
local function rule_of(unit, comment)
  local lex = unit:lex()
  local line = lex:place(comment[1])
  local range = unit:rule(nil, line)
  if range then return range end
  local next_token = lex:token_of_line(line)
  local from = lex.from[next_token]
  if not from or from < comment[2] or lex.source:sub(comment[2], from):find("\n%s*\n") then return nil end
  range = unit:rule(nil, (lex:place(from)))
  return range and range.from == next_token and range or nil
end

-- { file = set of codes, rules = sets of codes by range, wrong = list of { comment, word } }
local function read(unit)
  local allowed = { file = {}, rules = {}, wrong = {} }
  for _, comment in ipairs(unit:lex().comments) do
    local list = unit.source:sub(comment[1], comment[2]):match("^%-%-+%s*fluo:%s*allow%s+([%w%-, \t_]+)")
    local range = list and rule_of(unit, comment)
    local codes = not range and allowed.file or allowed.rules[range] or {}
    if range then allowed.rules[range] = codes end
    for word in (list or ""):gmatch("[%w_%-]+") do
      codes[word] = true
      if not M.CODES[word] then allowed.wrong[#allowed.wrong + 1] = { comment, word } end
    end
  end
  return allowed
end

local function of(unit)
  if not unit.allowed then
    unit.allowed = unit.source:find("fluo:", 1, true) and read(unit) or { file = {}, rules = {}, wrong = {} }
  end
  return unit.allowed
end

--- Whether a unit (context.lua) says that a warning in this line is meant.
function M.covers(unit, line, code)
  local allowed = of(unit)
  local codes = next(allowed.rules) and allowed.rules[unit:rule(nil, line) or 0]
  return allowed.file[code] or (codes and codes[code]) or false
end

--- Calls each(line, column, message, hint) for every code that the unit allows and that is none.
function M.check(unit, each)
  for _, wrong in ipairs(of(unit).wrong) do
    local comment, word = wrong[1], wrong[2]
    local at = unit.source:find(word, comment[1], true)
    local line, column = unit:lex():place(at)
    each(line, column, ("`%s` is the code of no warning"):format(word), suggest.expected(word, M.NAMES))
  end
end

return M
