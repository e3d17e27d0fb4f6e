--- Reads rule files from the disk: every text that a load needs, before the process closes its doors.
local abi = require("fluo.abi")

local M = {}

M.FILE_BYTES_MAX, M.FILES_MAX = 1048576, 10000

local KNOWN = { lua = true, yml = true, yaml = true, rule = true, js = true }

local function extension(name) return name:match("%.([%w]+)$") end

local function complain(sources, file, message, hint)
  sources.errors[#sources.errors + 1] = { severity = "error", file = file, line = 1, column = 1,
                                          message = message, hint = hint }
end

-- Lines stay the author's: a fence becomes an empty line. A BOM has no width. As in Markdown a fence is three or more
-- of ` or ~, and the one that closes is no shorter than the one that opens.
local function clean(text)
  text = text:gsub("^\239\187\191", "")
  local from, to, mark = text:find("^%s*([`~]+)[^\r\n]*")
  local sign = mark and mark:sub(1, 1)
  if not from or #mark < 3 or mark:find("[^" .. sign .. "]") then return text end
  local blank = function(piece) return (piece:gsub("[^\r\n]", " ")) end
  text = blank(text:sub(from, to)) .. text:sub(to + 1)
  return (text:gsub("%f[" .. sign .. "]" .. mark .. sign .. "*[ \t\r\n]*$", blank))
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
    local hidden = name:find("^[._]") or name:find("_spec%.lua$")
    if not hidden and abi.is_folder(path) then
      if depth < 8 then read_modules(sources, path, prefix .. name .. ".", depth + 1) end
    elseif not hidden and extension(name) == "lua" then
      read_file(sources, path, { module = prefix .. name:gsub("%.lua$", "") })
    end
  end
end

-- Folders are not rule files; one that holds what looks like rules is worth a word.
local function mind_folder(sources, path, name)
  for _, inner in ipairs(abi.list(path) or {}) do
    if extension(inner) == "lua" and not inner:find("_spec%.lua$") and not inner:find("^[._]") then
      sources.warnings[#sources.warnings + 1] = { severity = "warning", code = "unread-folder", file = path,
        line = 1, column = 1, message = ("the folder `%s` holds Lua files that are not read"):format(name),
        hint = "rule files stand in the directory itself, shared modules in its lib/" }
      return
    end
  end
end

local function read_folder(sources, path)
  local names, why = abi.list(path)
  if not names then return complain(sources, path, "cannot be read: " .. why) end
  for _, name in ipairs(names) do
    local full, kind = path .. "/" .. name, extension(name)
    local hidden = name:find("^[._]") or name:find("_spec%.lua$")
    if not hidden and abi.is_folder(full) then
      if name == "lib" then read_modules(sources, full, "", 1) else mind_folder(sources, full, name) end
    elseif not hidden and KNOWN[kind] then
      read_file(sources, full, {})
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
    if not KNOWN[extension(path)] and abi.read(path, 0) then
      complain(sources, path, "not a rule file", "the name of a rule file ends in .lua, .yml, .yaml, .rule or .js")
    else
      read_file(sources, path, {})
    end
    if #sources.errors > 0 then return sources end  -- what is not there has no modules: beside /none stands /lib
    local lib = (path:match("^(.*/)[^/]*$") or "") .. "lib"
    if abi.is_folder(lib) then read_modules(sources, lib, "", 1) end
    return sources
  end
  read_folder(sources, path)
  return sources
end

return M
