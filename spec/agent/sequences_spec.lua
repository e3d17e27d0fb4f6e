-- Sequences across traces (RULES.md section 6), from the text of a rule to its violations.
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
