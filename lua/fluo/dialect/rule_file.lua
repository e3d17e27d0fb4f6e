--- `.rule` files: rules of either kind, one after the other. M.next(parser, context) gives them as file.lua takes
-- them.
local invariant = require("fluo.dialect.invariant")
local notes_of = require("fluo.dialect.notes")
local suggest = require("fluo.suggest")
local when_then = require("fluo.dialect.when_then")

local M = { mode = "rule" }

local BLOCKS = { when = true, always = true, never = true }
local BEGINS = { "rule", "when", "always", "never" }

-- Without an `end` the comments of the `then` before stand between them too: then ours begin in the column of `rule`.
local function comments_above(parser, before, first)
  return parser:comments_above(before, first, function(comment)
    return not before or before.ended or comment.column == first.column
  end)
end

local function begin(parser, before, context)
  local first = parser:peek()
  local rule = { line = first.line, column = first.column, actions = {} }
  local notes = notes_of.of(context, comments_above(parser, before, first))
  notes_of.put(rule, notes)
  if parser:take("rule") then
    local name = parser:want_kind("text", "the rule's name in quotes", "write rule \"name\"")
    rule.name, rule.line, rule.column = name.value, name.line, name.column
    if notes.name then context.report_at(notes.spots.name, "the rule has its name already", "remove `@name`") end
  elseif first.kind == "word" and BLOCKS[first.text] and parser:peek_second().text == "{" then
    rule.name = notes.name
  else
    local near = first.kind == "word" and suggest.hint(first.text, BEGINS)
    parser:expected("`rule`", near or "a rule begins with rule \"name\"")
  end
  return rule
end

-- `when {` and the other blocks, or `when` and an expression.
local function read(parser, rule)
  local blocks = parser:is("always") or parser:is("never") or (parser:is("when") and parser:peek_second().text == "{")
  if not blocks and not parser:is("when") then parser:expected("`when`", "write rule \"name\" when … then …") end
  local reader = blocks and invariant or when_then
  reader.read(parser, rule)
end

-- Past an error: on to the next `rule "…"` that begins a line.
local function recover(parser)
  parser.mode, parser.depth = "rule", 0
  parser.at = parser.source:match("\n[ \t]*()rule[ \t]+[\"']", math.max(parser.at - 1, 1)) or #parser.source + 1
end

--- The next rule, or nil at the end: rule, or false after an error that context.report_at was told of.
function M.next(parser, context, before)
  if parser:peek().kind == "end" then return nil end
  local ok, rule = pcall(function()
    local rule = begin(parser, before, context)
    parser.terms = 0
    read(parser, rule)
    rule.last = parser.at - 1
    return rule
  end)
  if ok then return rule end
  if type(rule) ~= "table" or not rule.message then error(rule, 0) end
  context.report_at(rule, rule.message, rule.hint)
  recover(parser)
  return false
end

return M
