-- Sequences across traces (rules/README.md, Windows and sequences), from the text of a rule to its violations.
local replay = require("spec.replay")

-- "a@0 x@5/late": names at their start in ms, all with the key k; each its own trace and request, which arrives at
-- its end, or where a second time stands behind a slash then.
local function requests_of(text, key)
  local requests = {}
  for name, at, arrival in text:gmatch("(%a+)@([%d.]+)/?([%d.]*)") do
    at = tonumber(at)
    requests[#requests + 1] = { at = tonumber(arrival),
      replay.span { name = name, id = name .. at, trace = "t" .. name .. at, at = at, dur = 0, attr = { k = key or "u1" } } }
  end
  return requests
end

local function run(steps, text, flags)
  local rule = ('rule "r" { when = sequence { by = "k", within = "10s", %s } }\n'):format(replay.long(steps))
  local found, status, stderr = replay.run(rule, requests_of(text), flags)
  if status ~= 0 then error(stderr, 2) end
  local list = {}
  for i, v in ipairs(found) do
    local names = {}
    for k, s in ipairs(v.spans) do names[k] = s.name end
    list[i] = table.concat(names, " ") .. " at " .. v.time
  end
  return list, found
end

local function at(names, ms) return names .. " at " .. replay.clock(ms) end

describe("a sequence", function()
  it("is its steps in order of start, with others between, within [t0, t0 + D)", function()
    assert.same({ at("a b c", 9999) }, (run("A, B, C", "a@0 x@100 b@1000 c@9999")))
    assert.same({}, (run("A, B, C", "a@0 b@1000 c@10000")))
    assert.same({}, (run("A, B", "a@5 b@5")))
    assert.same({}, (run("A, B", "b@0 a@5")))
  end)

  it("does not depend on the order of arrival", function()
    assert.same({ at("a b", 1000) }, (run("A, B", "b@1000/2000 a@0/3000")))
  end)

  it("with something that must not come between waits for what is late", function()
    assert.same({ at("a b", 2000) }, (run("A, not_(X), B", "a@0 b@2000 z@9000")))
    assert.same({}, (run("A, not_(X), B", "a@0 b@2000 x@1000/6000")))
    assert.same({ at("a b", 2000) }, (run("A, not_(X), B", "a@0 b@2000 x@1000/7001")))
    assert.same({ at("a b", 2000) }, (run("A, not_(X), B", "x@0 a@0 b@2000 x@2000")))
  end)

  it("closed by what must not come fires at t0 + D, of itself", function()
    local list, found = run("A, not_(X)", "a@0")
    assert.same({ at("a", 10000) }, list)
    assert.equal("missing x", found[1].reason)
    assert.same({ k = "u1" }, found[1].group)
    assert.equal("sequence", found[1].scope)
    assert.same({}, (run("A, not_(X)", "a@0 x@9999.999999")))
    assert.same({ at("a", 10000) }, (run("A, not_(X)", "a@0 x@10000")))
    assert.same({ at("a", 10000), at("a", 11000) }, (run("A, not_(X)", "a@0 a@1000")))
  end)

  -- All of them in one request, which arrives at their latest end or as given, behind one span that is ahead of it.
  local function whole(steps, text, arrival, ahead)
    local spans = { at = arrival }
    for _, request in ipairs(requests_of(text)) do spans[#spans + 1] = request[1] end
    local found = replay.run(('rule "r" { when = sequence { by = "k", within = "10s", %s } }\n'):format(replay.long(steps)),
      ahead and { requests_of(ahead)[1], spans } or { spans })
    local list = {}
    for i, v in ipairs(found) do list[i] = #v.spans .. " at " .. v.time end
    return list
  end

  it("of one request is what it would be of several, however long a time the request spans", function()
    assert.same({ "2 at " .. replay.clock(5000) }, whole("A, B", "a@0 b@5000 z@60000"))
    assert.same({}, whole("A, not_(X)", "a@0 x@5000 z@60000"))
    assert.same({ "1 at " .. replay.clock(10000) }, whole("A, not_(X)", "a@0 x@10000 z@60000"))
    assert.same({}, whole("A, not_(X), B", "a@0 x@1000 b@5000 z@60000"))
  end)

  it("of more hits than a key keeps, in one request, still knows what is absent", function()
    local pairs_of = {}
    for i = 0, 1499 do pairs_of[i + 1] = ("a@%d x@%d"):format(i * 1000, i * 1000 + 500) end
    assert.same({}, whole("A, not_(X)", table.concat(pairs_of, " ")))
  end)

  it("takes no step that came D and the lateness too late: nobody knows what stood beside it", function()
    assert.same({ at("a", 10000) }, (run("A, not_(X)", "a@0/15000")))
    assert.same({}, (run("A, not_(X)", "a@0/15000.000001")))
    assert.same({}, (run("A, B", "a@0/20000 b@5000/20000")))
    assert.same({}, whole("A, not_(X)", "a@0 x@5000", 60000))
    assert.same({}, whole("A, not_(X)", "a@0", nil, "z@60000"))        -- late by the arrival ahead of it
  end)

  it("starts anew past its last span", function()
    assert.same({ at("a b", 2), at("a b", 4) }, (run("A, B", "a@0 a@1 b@2 a@3 b@4")))
  end)

  it("keeps keys apart", function()
    local requests = requests_of("a@0", "u1")
    requests[2] = requests_of("b@1", "u2")[1]
    requests[3] = requests_of("b@2", "u1")[1]
    local found = replay.run('rule "r" { when = sequence { by = "k", within = "10s", { name = "a" }, { name = "b" } } }\n',
      requests)
    assert.equal(1, #found)
    assert.same({ k = "u1" }, found[1].group)
  end)

  it("waits for the lateness to the nanosecond", function()
    assert.same({}, (run("A, not_(X), B", "a@0 b@2000 x@1000/6999.999999")))
    assert.same({ at("a b", 2000) }, (run("A, not_(X), B", "a@0 b@2000 x@1000/7000")))
    assert.same({}, (run("A, not_(X)", "a@0 x@9000/14999.999999")))
    assert.same({ at("a", 10000) }, (run("A, not_(X)", "a@0 x@9000/15000")))
  end)

  it("has the earliest assignment for its witnesses, of those that are clean", function()
    assert.same({ at("a b c", 12000) }, (run("A, B, C", "a@0 b@1000 a@5000 b@6000 c@12000")))
    local _, found = run("A, not_(X), B", "a@0 x@1 a@2 b@3")
    assert.equal(replay.span_id("ta2", "a2"), found[1].spans[1].span_id)
    assert.same({ at("a b", 14000) }, { (run("A, B, not_(X)", "a@4000 b@5000 x@6000 b@7000"))[1] })
  end)

  it("sees no order in equal starts, also of what must not come", function()
    assert.same({ at("a b", 3) }, (run("A, not_(X), B", "x@0 a@0 b@3")))
    assert.same({ at("a b", 3) }, (run("A, not_(X), B", "a@0 b@3 x@3")))
    assert.same({ at("a", 10000) }, (run("A, not_(X)", "a@0 x@0")))
  end)

  it("judges each open first step by itself", function()
    assert.same({ at("a", 10000) }, (run("A, not_(X)", "a@0 a@4000 x@11000")))
    assert.same({ at("a", 14000), at("a", 30000) }, (run("A, not_(A)", "a@0 a@4000 a@20000")))
  end)

  it("has a key of several fields, its values equal by what values are; a span that lacks one has none", function()
    local function keyed(by, ...)
      local requests = {}
      for i, more in ipairs { ... } do
        more.name, more.id, more.trace, more.at, more.dur = i == 1 and "a" or "b", tostring(i), tostring(i), i, 0
        requests[i] = { replay.span(more) }
      end
      local text = ('rule "r" { when = sequence { by = %s, within = "10s", { name = "a" }, { name = "b" } } }\n'):format(by)
      local found = replay.run(text, requests)
      return found[1] and found[1].group
    end
    assert.same({ k = "u", service = "svc" }, keyed('{ "k", "service" }', { attr = { k = "u" } }, { attr = { k = "u" } }))
    assert.is_nil(keyed('{ "k", "service" }', { attr = { k = "u" } }, { attr = { k = "u" }, service = "other" }))
    assert.is_nil(keyed('{ "k", "j" }', { attr = { k = "u" } }, { attr = { k = "u" } }))
    assert.same({ k = "5" }, keyed('"k"', { attr = { k = 5 } }, { attr = { k = "5" } }))
    assert.same({ ["resource.k"] = "u" }, keyed('"resource.k"', { resource = { k = "u" } }, { resource = { k = "u" } }))
    assert.same({ ["http.method"] = "GET" }, keyed('"http.method"', { attr = { ["http.method"] = "GET" } },
      { attr = { ["http.request.method"] = "GET" } }))
  end)

  it("has functions as steps", function()
    assert.same({ at("a b", 5) }, (run('function(s) return s.name == "a" end, B', "a@0 b@5")))
  end)

  it("that is wrong is a load error", function()
    for text, said in pairs {
      ['within = "1s", {}'] = "needs `by`", ['by = "k", {}'] = "needs `within`",
      ['by = "k", within = "1s"'] = "1 to 16 steps", ['by = "k", within = "1s", not_ {}, {}'] = "cannot begin",
      ['by = "k", within = "1s", bye = 1, {}'] = "unknown key `bye`", ['by = "k", within = "1x", {}'] = "unknown unit",
      ['by = {}, within = "1s", {}'] = "one to 16",
    } do
      local _, status, stderr = replay.run(('rule "r" { when = sequence { %s } }\n'):format(text), {})
      assert.equal(1, status, text)
      assert.truthy(stderr:find(said, 1, true), text .. "\n" .. stderr)
    end
  end)
end)
