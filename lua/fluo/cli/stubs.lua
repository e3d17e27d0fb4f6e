--- The reference as annotations for lua-language-server: contrib/editor/fluo.lua, and what `fluo init` writes.
local reference = require("fluo.reference")

local M = {}

local function spaced(text) return text ~= "" and " " .. text or "" end

local function of_class(class)
  local lines = { "", "---" .. class[2], "---@class " .. class[1] }
  for i = 3, #class do
    local member = class[i]
    lines[#lines + 1] = ("---@field %s %s%s"):format(member[1], member[2], spaced(member[3]))
  end
  for _, line in ipairs(class.lines or {}) do lines[#lines + 1] = line end
  return table.concat(lines, "\n")
end

--- The stubs as the text of a file.
function M.text()
  local pieces = { "---@meta\n-- What FLUO's rules and their specs see, for lua-language-server. Made, not written." }
  for _, alias in ipairs(reference.aliases) do
    pieces[#pieces + 1] = ("\n---%s\n---@alias %s %s"):format(alias[3], alias[1], alias[2])
  end
  for _, list in ipairs { reference.classes, reference.spec_classes } do
    for _, class in ipairs(list) do pieces[#pieces + 1] = of_class(class) end
  end
  for _, global in ipairs(reference.globals) do
    pieces[#pieces + 1] = ("\n---%s\n---@type %s\n%s = nil"):format(global[3], global[2], global[1])
  end
  return table.concat(pieces, "\n") .. "\n"
end

return M
