--- Spans that match what a rule across traces asks for and count nowhere all the same: they lack a key of its `by`, or
-- the field that its aggregate is about.
local span = require("fluo.explain.span")
local words = require("fluo.explain.words")

local M = {}

--- What a span must have for a window's or a sequence's node: entries as those of `by`.
function M.wanted(across)
  local list = {}
  for _, entry in ipairs(across.by or {}) do list[#list + 1] = entry end
  if across.sample == "FIELD" then list[#list + 1] = { field = across.field, key = across.key } end
  return list
end

-- The service of its parent, where that is another one.
local function parent_service(i)
  local parent = span.tree().parent[i]
  local service = parent and span.value(parent, "SERVICE")
  return service ~= span.value(i, "SERVICE") and service or nil
end

local function has(i, entry)
  if entry.field == "PARENT_SERVICE" then return parent_service(i) ~= nil end
  return span.value(i, entry.field, entry.key) ~= nil
end

--- What to say of spans that lack some of it; nil: none does. breathe: called before each.
function M.hint(wanted, list, breathe)
  local lacking, seen, count = {}, {}, 0
  for _, i in ipairs(#wanted > 0 and list or {}) do
    local whole = true
    breathe()
    for _, entry in ipairs(wanted) do
      if not has(i, entry) then
        local name = words.name(words.field(entry))
        if not seen[name] then lacking[#lacking + 1] = name end
        seen[name], whole = true, false
      end
    end
    count = count + (whole and 0 or 1)
  end
  if count == 0 then return nil end
  return ("%d of these count%s nowhere, for want of %s"):format(count, count == 1 and "s" or "",
    table.concat(lacking, " or "))
end

return M
