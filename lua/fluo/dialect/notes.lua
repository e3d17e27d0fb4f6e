--- The comments above a rule of a `.rule` or `.js` file: `// @severity high` and the like set its keys, the others
-- are its description.
local suggest = require("fluo.suggest")

local M = {}

local NAMES = { "name", "severity", "mode", "action" }
local KNOWN = {}
for _, name in ipairs(NAMES) do KNOWN[name] = true end

local function take(notes, context, comment, name, value)
  local word = "@" .. name
  local function wrong(message, hint) context.report_at(comment, message, hint) end
  if not KNOWN[name] then
    wrong(("unknown `%s`"):format(word), suggest.expected(name, NAMES))
  elseif value == "" then
    wrong(("`%s` lacks its value"):format(word), ("write // %s …"):format(word))
  elseif name == "action" then
    notes.actions[#notes.actions + 1], notes.spots[value] = value, comment
  elseif notes[name] then
    wrong(("`%s` stands twice"):format(word))
  else
    notes[name], notes.spots[name] = value, comment
  end
end

--- { name, severity, mode, actions, lines (the others), spots (where each stands) }.
function M.of(context, comments)
  local notes = { actions = {}, lines = {}, spots = {} }
  for _, comment in ipairs(comments) do
    local name, value = comment.text:match("^@([%w_-]+)%s*(.*)$")
    if name then
      take(notes, context, comment, name, value)
    elseif comment.text ~= "" and not comment.text:find("^fluo:%s*allow") then
      notes.lines[#notes.lines + 1] = comment.text
    end
  end
  return notes
end

--- Puts them into a rule's entries (file.lua).
function M.put(rule, notes)
  if #notes.lines > 0 then rule.description = table.concat(notes.lines, "\n") end
  rule.severity, rule.mode, rule.spots = notes.severity, notes.mode, notes.spots
  for _, name in ipairs(notes.actions) do rule.actions[#rule.actions + 1] = name end
end

return M
