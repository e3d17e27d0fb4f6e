-- What a function of a trace costs: each question asked of one trace of many spans, in ms of CPU and MiB of Lua heap.
--   FLUO_LIB=build/libfluo.so luajit spec/bench/functions.lua [SPANS [chain]]
-- A worker has 250 ms and 64 MiB. Every question is asked first of a trace that nothing is known about.
package.path = "./?.lua;lua/?.lua;" .. package.path
local support = require("spec.support")
support.core("arena")
local filter, query, trace = require("fluo.filter"), require("fluo.query"), require("fluo.trace")
local operand = require("fluo.operand").api()
local spans = require("spec.spans")
local view = require("fluo.view")

local SPANS, CHAIN = tonumber(arg[1]) or 100000, arg[2] == "chain"
local QUESTIONS = [[
return true
local n = 0 for s in t:spans() do n = n + 1 end return n
return t:count { name = "op3" }
return t:count { n = gt(50), ["http.route"] = "/a/b/3" }
return t:count { name = function(v) return v == "op1" end }
return t:count(function(s) return s.duration > 5 end)
return t:count(function(s) return s.attributes.n == 5 end)
return #t:all {}
return #t.services
return t.complete
return t.duration
return #t:critical_path()
return #t.root:descendants()
local n = 0 for s in t:spans() do if s.parent then n = n + 1 end end return n
local n = 0 for s in t:spans() do n = n + #s:children() end return n
local n = 0 for s in t:spans() do n = n + #s:siblings() end return n
local n = 0 for s in t:spans() do n = n + s:self_time() end return n
]]

local function id(i) return ("%08d"):format(i) end

local function job_of(arena)
  local list = {}
  for i = 1, SPANS do
    list[i] = { id = id(i), parent = i > 1 and id(CHAIN and i - 1 or math.floor(i / 2)) or nil, start = i * 1000,
      end_ = 3000 * SPANS - i * 1000, name = "op" .. i % 10, service = "svc",
      attributes = { n = i, ["http.route"] = "/a/b/" .. i % 7 } }
  end
  return arena:job { spans = list, closing = true }
end

local arena = spans.plain(400 * SPANS)
local job = job_of(arena)
view.attach(arena.base, query.satisfies)
trace.attach(arena.base, { renamed = true })
filter.attach(arena.base, { renamed = true })

collectgarbage("setpause", 150)                                  -- as in a worker
collectgarbage("setstepmul", 400)

local function measure(question)
  local fn = setfenv(assert(loadstring("return function(t) " .. question .. " end")), setmetatable(operand, { __index = _G }))()
  collectgarbage()
  collectgarbage()
  local heap, peak = collectgarbage("count"), 0
  local begun = os.clock()
  local truth, why = view.open(job).satisfies(function(t)
    local answer = fn(t)
    peak = collectgarbage("count")
    return answer
  end)
  local spent = os.clock() - begun
  view.close()
  print(("%7.1f ms %6.1f MiB  %s%s"):format(spent * 1e3, (peak - heap) / 1024, question, truth == nil and "  no answer: " .. why or ""))
end

for question in QUESTIONS:gmatch("[^\n]+") do measure(question) end
