--- Rules for the benches: n of mixed kinds, ten of which (or all, where they are fewer) match the 1 % of the traces
-- that hold a span with http.status_code 503. As a program: luajit spec/bench/rules.lua [KIND] N [IR FILE] prints
-- them, or writes their intermediate form.
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

-- Patterns of every kind over keys that every span of payload.c has; none of them matches one.
local never = {
  function(i) return ('{ name = "GET /api/never/%d", service = "cart" }'):format(i) end,
  function(i) return ('{ ["http.url"] = prefix "https://shop.example/api/v1/never/%d/" }'):format(i) end,
  function(i) return ('{ ["http.url"] = glob "https://shop.example/*/never/%d/*" }'):format(i) end,
  function(i) return ('{ duration = between("%dms", "%dms") }'):format(1000 + i, 1001 + i) end,
  function(i) return ('{ ["http.response_content_length"] = gt(%d) }'):format(100000 + i) end,
  function(i) return ('{ ["http.user_agent"] = matches ".*Never/%d( .*)?" }'):format(i) end,
  function(i) return ('{ ["http.url"] = matches "https?://[a-z.]+/never/%d/.*" }'):format(i) end,
  function(i) return ('{ ["enduser.id"] = matches "[a-z]+-%d", name = "never-%d" }'):format(i, i) end,
  function(i) return ('{ ["http.method"] = missing, ["never.%d"] = missing }'):format(i) end,
  function(i) return ('{ name = "never-%d", ["never.%d"] = missing, ["http.status_code"] = ne(200) }'):format(i, i) end,
  function(i) return ('all_of { not_ { ["db.system"] = "postgresql" }, not_ { name = "never-%d" } }'):format(i) end,
  function(i) return ('{ ["net.peer.name"] = suffix ".never-%d", kind = none_of { "SERVER", "CLIENT" } }'):format(i) end,
  function(i) return ('trace.has { name = contains "never-%d" } * trace.missing { name = "audit-%d" }'):format(i, i) end,
  function(i) return ('trace.has { event = { name = "never-%d" } }'):format(i) end,
  function(i) return ('trace.count { ["thread.name"] = one_of { "never-%d", "none-%d" } }:over(5)'):format(i, i) end,
}

--- The text of a rule file. It always holds one more rule, which never matches.
function M.text(n)
  local list = { 'rule "control" { when = { name = "never there" } }' }
  for i = 1, n do
    local name = i == #matching and "bench-absence" or "bench-" .. i
    list[#list + 1] = ('rule "%s" { when = %s, mode = "shadow" }'):format(name, matching[i] or other(i))
  end
  return table.concat(list, "\n") .. "\n"
end

--- The rules of M.text(20), and others of every kind up to n: for an index, and a loader, that have much to do.
function M.many(n)
  local list = { M.text(20) }
  for i = 21, n do list[i] = ('rule "bench-%d" { when = %s }\n'):format(i, never[i % #never + 1](i)) end
  for i = 2, 20 do list[i] = "" end
  return table.concat(list)
end

-- The last one learns what is normal: a group of it takes 6 KB more.
local AGGREGATES = { 'count():over(1e9)', 'sum("http.response_content_length"):over(1e15)', 'p(95, "duration"):over("1h")',
  'ratio { status = "ERROR" }:over(0.999)', 'rate():over(1e9)', 'avg("duration"):over("1h")', 'count():under(1)',
  'count():over_baseline { times = 100 }' }
local SERVICES = { "frontend", "cart", "checkout", "payment", "catalogue" }
local NAMES = { "GET /api/products/{id}", "POST /api/cart", "checkout.place_order", "payment.charge_card",
                "db.query SELECT products", "cache.get", "http.request", "publish order.placed" }

local function windows(n, aggregates, by)
  local list = { M.text(20) }
  for i = 1, n do
    list[#list + 1] = ('rule "window-%d" { when = window("1m", { service = "%s", name = "%s" }):by("%s"):%s, mode = "shadow" }')
      :format(i, SERVICES[i % 5 + 1], NAMES[i % 8 + 1], by, AGGREGATES[i % aggregates + 1])
  end
  return table.concat(list, "\n") .. "\n"
end

--- n windows, one of each pair of service and name after the other, grouped by a key of 1,000 values. Of a hundred a
-- span meets two or three.
function M.windows(n) return windows(n, #AGGREGATES, "net.peer.port") end
--- Those without a baseline.
function M.plain_windows(n) return windows(n, #AGGREGATES - 1, "net.peer.port") end
--- With one group each.
function M.service_windows(n) return windows(n, #AGGREGATES, "service") end

--- n windows of ten groups each, by service and kind. Some watch an operation, so that of eight a span meets one; the
-- others its errors, of which a span meets few: one in a hundred is an error.
local function operations(n, whole)
  local list = { M.text(20) }
  for i = 1, n do
    list[#list + 1] = ('rule "window-%d" { when = window("1m", { name = "%s"%s }):by("service", "kind"):%s, mode = "shadow" }')
      :format(i, NAMES[i % 8 + 1], i > whole and ', status = "ERROR"' or "", AGGREGATES[i % (#AGGREGATES - 1) + 1])
  end
  return table.concat(list, "\n") .. "\n"
end
function M.error_windows(n) return operations(n, 0) end              -- a span meets 0.1 of a hundred
function M.one_window(n) return operations(n, 8) end                 -- 1
function M.some_windows(n) return operations(n, 20) end              -- 2.5
function M.all_windows(n) return operations(n, n) end                -- 12.5

local MAKE = { many = M.many, windows = M.windows, plain_windows = M.plain_windows, service_windows = M.service_windows,
  error_windows = M.error_windows, one_window = M.one_window, some_windows = M.some_windows, all_windows = M.all_windows }

if arg and arg[0] and arg[0]:find("bench/rules.lua", 1, true) then
  local make = MAKE[arg[1]]
  if make then table.remove(arg, 1) end
  local text = (make or M.text)(tonumber(arg[1]))
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
