--- For specs of the load side: loads rule texts as if they were files, and says what came of it in short.
local ffi = require("ffi")
local abi = require("fluo.abi")
local loader = require("fluo.loader")

abi.C = ffi.load(os.getenv("FLUO_LIB") or "build/libfluo.so")

local M = {}

--- Loads a text (as r.lua), or several by name; "lib/x.lua" is the module x.
function M.load(files, options)
  if type(files) == "string" then files = { ["r.lua"] = files } end
  local sources, names = { files = {}, errors = {}, warnings = {} }, {}
  for name in pairs(files) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local module = name:match("^lib/(.*)%.lua$")
    sources.files[#sources.files + 1] = { file = name, text = files[name], module = module }
  end
  local all = { keep = true }
  for key, value in pairs(options or {}) do all[key] = value end
  return loader.load(sources, all)
end

local function short(list)
  local lines = {}
  for i, d in ipairs(list) do lines[i] = ("%d:%d %s"):format(d.line, d.column, d.message) end
  return lines
end

--- "line:column message" of each error, each warning.
function M.errors(files, options) return short(M.load(files, options).errors) end
function M.warnings(files, options) return short(M.load(files, options).warnings) end

--- Loads what must be without errors.
function M.good(files, options)
  local result = M.load(files, options)
  assert(#result.errors == 0, table.concat(short(result.errors), "\n"))
  return result
end

--- The canonical text of a pattern, as `when` of a rule.
function M.pattern(text)
  return M.good(('rule "r" { when = %s }'):format(text)).rules[1].patterns[1]
end

--- The text of the one error of a pattern as `when`.
function M.refusal(text)
  local errors = M.load(('rule "r" { when = %s }'):format(text)).errors
  assert(#errors == 1, "one error was expected: " .. #errors)
  return errors[1].message, errors[1].hint
end

--- A reader of the intermediate form: sections as arrays from 0, and text(t).
function M.form(bytes)
  local header = ffi.cast("const struct fluo_ir *", bytes)
  local form, at = { header = header, bytes = bytes }, ffi.sizeof("struct fluo_ir")
  local records = { "rules", "patterns", "nodes", "atoms", "values", "gates", "functions", "parts", "pairs" }
  for _, section in ipairs(records) do
    at = math.ceil(at / 8) * 8
    local record = "struct fluo_ir_" .. section:gsub("s$", "")
    form[section] = ffi.cast("const " .. record .. " *", ffi.cast("const char *", bytes) + at)
    at = at + ffi.sizeof(record) * header[section]
  end
  local text_at = math.ceil(at / 8) * 8
  function form.text(t) return bytes:sub(text_at + t.off + 1, text_at + t.off + t.len) end
  form.size = text_at + header.text_bytes
  return form
end

return M
