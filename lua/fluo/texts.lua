--- The texts that rules were loaded from, as one: what a load leaves for the next one, which takes the last good
-- version of a file from it, and for a rule process that has to load the very same rules again.
--   fluo texts\n, then for each text: group, and the lengths of file, module (0: a rule file) and text, as a line;
--   the three behind it. Rule files of one group see the modules of that group.
local M = {}

local MAGIC = "fluo texts\n"

local function put(pieces, group, source)
  local module = source.module or ""
  pieces[#pieces + 1] = ("%d %d %d %d\n"):format(group, #source.file, #module, #source.text)
  pieces[#pieces + 1] = source.file .. module
  pieces[#pieces + 1] = source.text
end

--- The pieces, in order, of rule files { file, text, modules }: modules is { names, [name] = source }, or one table
-- shared by several.
function M.write(files)
  local pieces, groups, count = { MAGIC }, {}, 0
  for _, source in ipairs(files) do
    local group = groups[source.modules]
    if not group then
      count = count + 1
      group, groups[source.modules] = count, count
      for _, name in ipairs(source.modules.names) do put(pieces, group, source.modules[name]) end
    end
    put(pieces, group, source)
  end
  return pieces
end

--- The rule files again, in their order; nil where the text is none of ours.
function M.read(text)
  if text:sub(1, #MAGIC) ~= MAGIC then return nil end
  local files, groups, at = {}, {}, #MAGIC + 1
  while at <= #text do
    local group, file, module, bytes, stop = text:match("^(%d+) (%d+) (%d+) (%d+)\n()", at)
    if not group then return nil end
    local cut = { 0, tonumber(file), tonumber(module), tonumber(bytes) }
    local parts, from = {}, stop
    for i = 2, 4 do
      parts[i], from = text:sub(from, from + cut[i] - 1), from + cut[i]
    end
    local modules = groups[group] or { names = {} }
    groups[group], at = modules, from
    local source = { file = parts[2], text = parts[4] }
    if cut[3] > 0 then
      source.module = parts[3]
      modules[source.module] = source
      modules.names[#modules.names + 1] = source.module
    else
      source.modules = modules
      files[#files + 1] = source
    end
  end
  return files
end

--- Whether two tables of modules hold the same.
function M.same_modules(a, b)
  if #a.names ~= #b.names then return false end
  for _, name in ipairs(a.names) do
    if not b[name] or a[name].text ~= b[name].text or a[name].file ~= b[name].file then return false end
  end
  return true
end

return M
