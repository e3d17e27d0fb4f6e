--- Rules for the benches: n of mixed kinds, ten of which (or all, where they are fewer) match the 1 % of the traces
-- that hold a span with http.status_code 503. As a program: luajit spec/bench/rules.lua N [IR FILE] prints them, or
-- writes their intermediate form.
local M = {}

local matching = {
  '{ ["http.status_code"] = 503 }',
  '{ ["http.status_code"] = ge(502), status = "ERROR" }',
  '{ ["http.status_code"] = one_of { 502, 503, 504 }, service = exists }',
  '{ status = "ERROR", ["http.url"] = prefix "https://shop.", ["http.status_code"] = 503 }',
  '{ ["http.status_code"] = between(503, 599), ["db.system"] = "postgresql" }',
  'trace.has { ["http.status_code"] = 503 }',
  'trace.has { ["http.status_code"] = 503, status = "ERROR" } * trace.has { ["http.status_code"] = gt(502) }',
  'trace.count { ["http.status_code"] = 503 }:at_least(1)',
  'trace.has { ["http.status_code"] = 503 } + trace.has { name = "never there" }',
  'trace.has { ["http.status_code"] = 503 } * trace.missing { name = "never there" }',
}

local function other(i)
  local kinds = {
    ('{ name = "op-%d", duration = gt "300ms" }'):format(i),
    ('trace.has { name = prefix "step-%d" } * trace.missing { name = "audit-%d" }'):format(i, i),
    ('{ ["http.url"] = glob "*/never/%d/*", ["http.status_code"] = 404 }'):format(i),
    ('trace.has { name = "a-%d", status = "ERROR" }:followed_by { name = "a-%d" }:within "5s"'):format(i, i),
    ('trace.count { ["db.system"] = "db-%d" }:over(50)'):format(i),
  }
  return kinds[i % #kinds + 1]
end

--- The text of a rule file. It always holds one more rule, which never matches.
function M.text(n)
  local list = { 'rule "control" { when = { name = "never there" } }' }
  for i = 1, n do
    local name = i == #matching and "bench-absence" or "bench-" .. i
    list[#list + 1] = ('rule "%s" { when = %s, mode = "shadow" }'):format(name, matching[i] or other(i))
  end
  return table.concat(list, "\n") .. "\n"
end

if arg and arg[0] and arg[0]:find("bench/rules.lua", 1, true) then
  local text = M.text(tonumber(arg[1]))
  if not arg[2] then
    io.write(text)
    return
  end
  package.path = "lua/?.lua;./?.lua;" .. package.path
  local file = assert(io.open(arg[2], "wb"))
  file:write(require("spec.lua.rulefiles").good(text).ir)
  file:close()
end

return M
