--- `fluo check`: every error and warning of every rule file, and a summary.
local diagnostic = require("fluo.diagnostic")
local loader = require("fluo.loader")

local M = {}

local function counted(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

-- What is worth knowing beside the numbers: rules that do not speak, warnings that are meant.
local function notes(result)
  local list = {}
  if result.modes.shadow > 0 then list[1] = ("%d in shadow"):format(result.modes.shadow) end
  if result.modes.off > 0 then list[#list + 1] = ("%d off"):format(result.modes.off) end
  if result.allowed > 0 then list[#list + 1] = counted(result.allowed, "warning") .. " allowed" end
  return #list > 0 and "; " .. table.concat(list, ", ") or ""
end

--- Checks the rules at a path, writes to `out` (default: stdout). 0 without errors, else 1.
--   options.strict   1 for warnings too
--   options.json     one JSON object a line instead of text, and no summary
--   options.actions  names of actions that exist
--   options.specs    require_specs: the flags of `fluo replay` that specs are judged with
function M.run(path, options)
  options = options or {}
  local out = options.out or io.stdout
  local sources = loader.read(path)
  if options.specs then
    local required = require("fluo.testing.required")
    required.refuse(sources, required.find(path, options.specs))
  end
  local result = loader.load(sources, options)
  local write = options.json and diagnostic.json or diagnostic.text
  for _, list in ipairs { result.errors, result.warnings } do
    for _, d in ipairs(list) do out:write(write(d), "\n") end
  end
  if not options.json then
    out:write(("%s, %s, %s%s\n"):format(counted(#result.rules, "rule"), counted(#result.errors, "error"),
      counted(#result.warnings, "warning"), notes(result)))
    if #sources.files + #sources.errors == 0 then out:write(("  hint: there is no rule file in %s\n"):format(path)) end
  end
  return #result.errors + (options.strict and #result.warnings or 0) == 0 and 0 or 1
end

return M
