-- Cascades (rules/README.md): one failure after another, from the text of a rule to its violation.
local replay = require("spec.replay")

local RULE = [[
rule "change-breaks-services" {
  when = cascade { root = { name = "config.change" }, { status = "ERROR" }, at_least = 3%s },
}
]]

-- "dns@5! checkout@9!/20": spans of services at their end in ms, a mark where they failed, after a slash when they
-- arrive; each its own trace and request. `change` is a config.change of the service `config`.
local function requests_of(text)
  local requests = {}
  for service, at, fails, arrival in text:gmatch("(%w+)@([%d.]+)(!?)/?([%d.]*)") do
    local change = service:find "^change"
    requests[#requests + 1] = { at = tonumber(arrival) or tonumber(at),
      replay.span { name = change and "config.change" or "GET " .. service, service = change and "config" or service,
        id = service .. at, trace = "t" .. service .. at, at = tonumber(at), dur = 0, status = fails ~= "" and "ERROR" or nil,
        attr = { zone = service:match("%d$") } } }
  end
  return requests
end

local function run(more, text)
  local found, status, stderr = replay.run(RULE:format(more), requests_of(text))
  assert.equal(0, status, stderr)
  return found
end

-- What each chain is: services in order.
local function chains(more, text)
  local list = {}
  for i, v in ipairs(run(more, text)) do
    local names = {}
    for k, link in ipairs(v.chain) do names[k] = link.service end
    list[i] = table.concat(names, " ")
  end
  return list
end

local OUTAGE = "change@1000 dns@6000! checkout@20000! cart@31000! search@45000! other@46000 checkout@50000!"

describe("a cascade", function()
  it("is one chain: a configuration change, DNS, and three services that depend on it, the first cause named", function()
    local found = run("", OUTAGE)
    assert.equal(1, #found)
    local v, names, times = found[1], {}, {}
    for i, link in ipairs(v.chain) do names[i], times[i] = link.service, link.time end
    assert.same({ "config", "dns", "checkout", "cart", "search" }, names)
    assert.same({ replay.clock(1000), replay.clock(6000), replay.clock(20000), replay.clock(31000), replay.clock(45000) },
      times)
    assert.same({ trace_id = replay.trace_id("tchange1000"), span_id = replay.span_id("tchange1000", "change1000"),
                  name = "config.change", service = "config" }, v.cause)
    assert.same({ trace_id = replay.trace_id("tdns6000"), span_id = replay.span_id("tdns6000", "dns6000"), name = "GET dns",
                  service = "dns", time = replay.clock(6000), distinct = { service = "dns" } }, v.chain[2])
    assert.same({ "sequence", 4, 3, 5, replay.clock(31000) }, { v.scope, v.value, v.threshold, v.span_total, v.time })
    assert.same({ v.impact, v.group, v.reason }, {})
  end)

  it("is not there without what it begins with, of too few services, or later than within", function()
    assert.same({}, chains("", "dns@6000! checkout@20000! cart@31000! search@45000!"))
    assert.same({}, chains("", "change@1000 dns@6000! checkout@20000! dns@30000! checkout@40000!"))
    assert.same({}, chains("", "change@1000 dns@6000! checkout@20000! cart@62000!"))
    assert.same({}, chains("", "change@1000 dns@6000! checkout@20000! cart@61000!"))
    assert.same({ "config dns checkout cart" }, chains("", "change@1000 dns@6000! checkout@20000! cart@60999.999999!"))
    assert.same({}, chains("", "change@1000 dns@6000! checkout@20000! cart@30000"))
    assert.same({}, chains("", "dns@900! change@1000 checkout@1000! cart@2000! search@3000!"))
  end)

  it("does not depend on the order of arrival", function()
    local wanted = run("", OUTAGE)
    for _, text in ipairs {
      "change@1000/60000 dns@6000!/59000 checkout@20000!/58000 cart@31000!/57000 search@45000!/56000 checkout@50000!/60000",
      "search@45000! change@1000/46000 dns@6000!/65000 cart@31000!/65500 checkout@20000!/65600 checkout@50000!/65600" } do
      local words = {}
      for word in text:gmatch("%S+") do words[#words + 1] = word end
      table.sort(words, function(a, b) return (tonumber(a:match("/(%d+)")) or 0) < (tonumber(b:match("/(%d+)")) or 0) end)
      assert.same(wanted, run("", table.concat(words, " ")))
    end
  end)

  it("begins with the last change before anything failed, and again with the next change", function()
    assert.same({ "config a b c" }, chains("", "change1@500 change2@1000 a@2000! b@3000! c@60800!"))
    assert.same({ "config a b c", "config a b c" },
      chains("", "change@1000 a@2000! b@3000! c@4000! change@70000 a@71000! b@72000! c@73000!"))
    assert.same({ "config a b c", "config a b c" },
      chains("", "change@1000 a@2000! b@3000! c@4000! change@50000 a@51000! b@70000! c@71000!"))
    assert.same({ "config a b c" }, chains("", "change@1000 a@2000! change@3000 b@4000! c@5000! a@6000! b@7000! c@8000!"))
  end)

  it("orders failures by their end, what is called before what called it", function()
    local function span(service, id, parent, at, dur)
      return replay.span { name = service, service = service, id = id, parent = parent, at = at, dur = dur, status = "ERROR" }
    end
    local found = replay.run(RULE:format(""), {
      { replay.span { name = "config.change", service = "config", trace = "c", at = 0, dur = 5000 } },
      { span("web", "1", nil, 100, 9000), span("shop", "2", "1", 200, 8900), span("dns", "3", "2", 300, 10) } })
    local names = {}
    for i, link in ipairs(found[1].chain) do names[i] = link.service end
    assert.same({ "config", "dns", "shop", "web" }, names)
  end)

  it("tells values apart by any field, and groups by others", function()
    assert.same({ "config a1 b2 c3" }, chains(', distinct = "zone"', "change@1000 a1@2000! a2@1500 b1@2500! b2@3000! c3@4000!"))
    local found = run(', by = "zone"', "change1@1000 change2@1000 a1@2000! a2@3000! b1@4000! b2@5000! c2@6000! d1@70000!")
    assert.equal(1, #found)
    assert.same({ zone = "2" }, found[1].group)
  end)

  it("without a root begins with the first failure, and what it says takes the whole time", function()
    local rule = 'rule "r" { when = cascade { { status = "ERROR" }, at_least = 2, within = "10s" } }\n'
    local found = replay.run(rule, requests_of("a@0! b@9000! a@9500! b@9900! a@15000! b@25001! c@26000!"))
    assert.equal(2, #found)
    assert.same({ "a", "b" }, { found[1].chain[1].service, found[1].chain[2].service })
    assert.same({ "GET a", "a" }, { found[1].cause.name, found[1].cause.service })
    assert.equal(2, found[1].span_total)
    assert.same({ "b", "c" }, { found[2].chain[1].service, found[2].chain[2].service })
  end)

  it("names 32 links, and how many there are", function()
    local words = { "change@0" }
    for i = 1, 40 do words[#words + 1] = ("s%d@%d!"):format(i, i * 100) end
    local v = run("", table.concat(words, " "))[1]
    assert.same({ 32, 40, 41, "s31" }, { #v.chain, v.value, v.span_total, v.chain[32].service })
  end)

  it("has functions as patterns", function()
    local rule = [[rule "r" { when = cascade { root = function(s) return s.name == "config.change" end,
      { where = function(s) return s.status == "ERROR" end }, at_least = 2 } }]] .. "\n"
    assert.equal(1, #replay.run(rule, requests_of("change@0 a@1! b@2!")))
  end)

  it("that is wrong is a load error", function()
    for text, said in pairs {
      ["{ status = \"ERROR\" }"] = "a cascade needs `at_least`",
      ["at_least = 3"] = "a cascade has one pattern of what fails",
      ["{ status = \"ERROR\" }, {}, at_least = 3"] = "a cascade has one pattern of what fails",
      ["{ status = \"ERROR\" }, at_least = 0"] = "`at_least` is a whole number from 1 to 256",
      ["{ status = \"ERROR\" }, at_least = 2, distnct = \"service\""] = "unknown key `distnct` of a cascade",
      ["{ status = \"ERROR\" }, at_least = 2, within = \"x\""] = "within",
      ["{ status = \"ERROR\" }, at_least = 2, distinct = {}"] = "takes the name of a field",
    } do
      local _, status, stderr = replay.run('rule "r" { when = cascade { ' .. text .. " } }\n", {})
      assert.equal(1, status)
      assert.truthy(stderr:find(said, 1, true), stderr)
    end
  end)
end)
