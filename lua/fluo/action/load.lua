--- Functions of actions, from where they stand: the built-in types (fluo/receivers/NAME.lua, whose texts are
-- fluo.builtins), and rule files.
local action = require("fluo.action")
local evaluate = require("fluo.evaluate")
local lexer = require("fluo.lexer")
local sandbox = require("fluo.sandbox")

local M = {}

local function refused(format)
  return function(name) error(format:format(tostring(name)), 2) end
end

--- The function of a built-in type, which sees what a user's file sees, and `errand`; nil: there is none.
function M.builtin(name)
  local text = require("fluo.builtins")[name]
  if not text then return nil end
  local declared
  local api = action.api { action_names = {}, running = function() return nil, 0 end, fail = error,
                           on_action = function(_, fn) declared = fn end }
  api.errand = action.errand_api()
  local environment = sandbox.environment(api, refused("`%s` is not there"), refused("`%s` is assigned"))
  setfenv(assert(loadstring(text, "@" .. name)), environment)()
  return declared
end

--- Evaluates those of rule files { file, text, modules } that declare actions: on_action(name, function) is told.
function M.files(files, on_action)
  for _, source in ipairs(files) do
    local names = source.file:find("%.lua$") and action.declared(lexer.scan(source.text)) or {}
    if #names > 0 then evaluate.file(source, source.modules, { actions = names, on_action = on_action }) end
  end
end

return M
