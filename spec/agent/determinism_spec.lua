-- The order in which spans arrive decides nothing about span and trace rules: one trace, sent again and again (its id
-- is new each time, being long forgotten) in a hundred random orders, cut into requests at random, gives each
-- violation id as often as it was sent.
local replay = require("spec.replay")

local ROUNDS = 100
local FORMS = [[
local A, B, C, E = { name = "a" }, { name = "b" }, { name = "c" }, { status = "ERROR" }
rule "pattern" { when = { name = "b", n = gt(1) } }
rule "function" { when = function(s) return s.attributes.n == 2 end }
rule "event" { when = { event = function(e) return e.name == "retry" end } }
rule "any_of" { when = any_of { { name = "c" }, { n = function(v) return v > 2 end } } }
rule "has" { when = trace.has(A) }
rule "and" { when = trace.has(A) * trace.has(B) }
rule "or" { when = trace.missing(B) + trace.has(C) }
rule "missing" { when = trace.has(A) * trace.missing { name = "z" } }
rule "count over" { when = trace.count(B):over(2) }
rule "count exactly" { when = trace.count(B):exactly(3) }
rule "count within" { when = trace.count(B):over(1):within "20ms" }
rule "all" { when = trace.all { service = "svc" } }
rule "duration" { when = trace.duration(gt "50ms") }
rule "span_count" { when = trace.span_count(ge(8)) }
rule "span_count under" { when = trace.span_count(lt(100)) }
rule "followed_by" { when = trace.has(A):followed_by(B):followed_by(C):within "1s" }
rule "within" { when = (trace.has(B) * trace.has(C)):within "100ms" }
rule "any order" { when = (trace.has(C) * trace.has(B)):within("100ms", { any_order = true }) }
rule "not_followed_by" { when = trace.has(C):not_followed_by(A):within "1s" }
rule "gap" { when = trace.has(B):gap(C, gt "1ms") }
rule "overlaps" { when = trace.has(A):overlaps(B) }
rule "child" { when = trace.has(A):child(B) }
rule "descendant" { when = trace.has(A):descendant(C) }
rule "sibling" { when = trace.has(B):sibling(E) }
rule "no_parent" { when = trace.has(E):no_parent(E) }
rule "without_child" { when = trace.has(B):without_child(C) }
rule "where" { when = trace.where(A):has(C) }
rule "where span" { when = trace.where(B, { scope = "span" }):has(E) }
rule "always" { when = trace.has(A), always = trace.has { name = "z" }, never = trace.has(C) }
rule "never" { when = trace.has(A), never = trace.has { name = "c", where = function(s) return s.duration > 1 end } }
rule "complete" { when = trace.missing { name = "z" }, complete = true }
rule "satisfies" { when = trace.satisfies(function(t) return t:count(B) == 3 and t.root.name == "a" end) }
rule "satisfies and" { when = trace.has(A) * trace.satisfies(function(t) return #t:critical_path() > 2 end) }
rule "satisfies in order" { when = trace.satisfies(function(t)
  local seen, order, walked = {}, "", ""
  for s in t:spans() do
    seen[s] = s.name
    order = order .. s.name
    for _, key in ipairs { s, s:children()[1], s.parent } do seen[key] = key.name end
  end
  for _, name in pairs(seen) do walked = walked .. name end
  return order == walked and order == "abbcbdcd"
end) }
]]

local function span(s) return replay.span(s) end

local function trace_of_forms()
  return {
    { name = "a", id = "1", at = 0, dur = 200 }, { name = "b", id = "2", parent = "1", at = 10, dur = 20, attr = { n = 1 } },
    { name = "b", id = "3", parent = "1", at = 10, dur = 30, attr = { n = 2 }, status = "ERROR" },
    { name = "c", id = "4", parent = "3", at = 15, dur = 5, status = "ERROR" },
    { name = "b", id = "5", parent = "4", at = 16, dur = 4, attr = { n = 3 }, events = { { "retry", 17, { k = 1 } } } },
    { name = "d", id = "6", parent = "1", at = 60 }, { name = "c", id = "7", parent = "6", at = 80, dur = 100 },
    { name = "d", id = "8", parent = "6", at = 80, dur = 100 },
  }
end

-- Each shipped rule fires on this one.
local function trace_of_shop()
  local spans = {
    { name = "http.request", id = "root", dur = 5000, attr = { ["http.status_code"] = 500, cache_miss = true } },
    { name = "auth.login", id = "l1", parent = "root", at = 1, status = "ERROR" }, { name = "auth.login", id = "l2",
      parent = "root", at = 9 },
    { name = "payment.charge_card", id = "p", parent = "root", at = 10, dur = 3000, attr = { amount = 2000 } },
    { name = "db.query", id = "q", parent = "p", at = 20, dur = 1500 },
    { name = "gateway", id = "g", parent = "p", at = 30, dur = 400, attr = { ["http.url"] = "https://x/payment-api/y" } },
    { name = "read", id = "r", parent = "root", at = 40, attr = { ["data.contains_pii"] = true } },
  }
  for i = 1, 60 do
    spans[#spans + 1] = { name = "select", id = "s" .. i, parent = "root", at = 50 + i, dur = 1, kind = "CLIENT",
      attr = { ["db.system"] = "x" } }
  end
  return spans
end

-- The spans in a random order, in requests that come a second apart at most, from `at` on.
local function arrivals(requests, spans, at)
  for i = #spans, 2, -1 do
    local k = math.random(i)
    spans[i], spans[k] = spans[k], spans[i]
  end
  local i = 1
  while i <= #spans do
    local request = { at = at }
    for _ = 1, math.random(1, math.max(1, math.floor(#spans / 3))) do
      request[#request + 1] = spans[i] and span(spans[i])
      i = i + 1
    end
    requests[#requests + 1] = request
    at = at + math.random(0, 1000)
  end
end

-- What windows say depends on what came when, and they have specs of their own.
local function counts_of(rules, make)
  math.randomseed(4)
  local requests, counts, rule_names = {}, {}, {}
  for round = 1, ROUNDS do arrivals(requests, make(), 10000 + round * 600000) end
  local found, status, said = replay.run(rules, requests)
  assert.equal(0, status, said)
  assert.is_nil(said:find("raised an error", 1, true), said)
  for _, v in ipairs(found) do
    if v.scope == "span" or v.scope == "trace" then
      local key = v.rule .. " " .. v.id
      counts[key] = (counts[key] or 0) + 1
      rule_names[v.rule] = true
    end
  end
  return counts, rule_names
end

local function check(rules, make, names)
  local counts, fired = counts_of(rules, make)
  for key, count in pairs(counts) do assert.equal(ROUNDS, count, key) end
  for _, name in ipairs(names) do assert.is_true(fired[name], name .. " did not fire") end
end

describe("a hundred orders of arrival give the same violations", function()
  it("of rules of every form", function()
    local names = {}
    for name in FORMS:gmatch('rule "([^"]+)"') do names[#names + 1] = name end
    check(FORMS, trace_of_forms, names)
  end)

  it("of every shipped rule about spans and traces", function()
    local names = {}
    for path in io.popen("ls rules/*.lua"):lines() do
      if not path:find("_spec") then
        local text = io.open(path):read("*a")
        for name in text:gmatch('\nrule "([^"]+)"') do names[#names + 1] = not text:find("window(", 1, true) and name or nil end
      end
    end
    assert.is_true(#names >= 7)
    check("rules", trace_of_shop, names)
  end)
end)
