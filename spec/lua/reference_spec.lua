-- The reference names what is really there, all of it, and nothing else.
local rulefiles = require("spec.lua.rulefiles")
local alerts = require("fluo.testing.alerts")
local build = require("fluo.testing.build")
local condition = require("fluo.condition")
local expect = require("fluo.testing.expect")
local field = require("fluo.field")
local reference = require("fluo.reference")
local query = require("fluo.query")
local rule = require("fluo.rule")
local sandbox = require("fluo.sandbox")
local session = require("fluo.testing.session")
local stubs = require("fluo.cli.stubs")
local trace = require("fluo.trace")
local tree = require("fluo.tree")

local function sorted(names)
  local copy = { unpack(names) }
  table.sort(copy)
  return copy
end

local function names_of(list, from)
  local names = {}
  for i = from or 1, #list do names[#names + 1] = list[i][1] end
  return sorted(names)
end

local classes = {}
for _, list in ipairs { reference.classes, reference.spec_classes } do
  for _, class in ipairs(list) do classes[class[1]] = class end
end

local function members(class) return names_of(classes[class], 3) end

local function keys(t)
  local names = {}
  for key in pairs(t) do names[#names + 1] = key end
  return sorted(names)
end

-- Names of methods and makers that load, and do not say "not yet".
local function there(names, text)
  local list = {}
  for _, name in ipairs(names) do
    local errors = table.concat(rulefiles.errors(('rule "r" { when = %s }'):format(text:format(name))), "\n")
    if not errors:find("not yet", 1, true) then list[#list + 1] = name end
  end
  return sorted(list)
end

local function globals(where)
  local list = {}
  for _, global in ipairs(reference.globals) do
    if (global.where or "rule") == where then list[#list + 1] = global[1] end
  end
  return sorted(list)
end

describe("the reference", function()
  it("has every global of a rule file", function()
    local real, seen = sandbox.environment, nil
    sandbox.environment = function(api, ...)
      seen = keys(api)
      return real(api, ...)
    end
    rulefiles.good('rule "r" { when = { name = "x" } }')
    sandbox.environment = real
    for i = #seen, 1, -1 do
      if seen[i] == "require" then table.remove(seen, i) end
    end
    assert.same(seen, globals("rule"))
  end)

  it("has every builder of a spec", function()
    local builders = session.new(nil, error):builders()
    assert.same(keys(builders.clock), members("fluo.Clock"))
    builders.trace = nil                                    -- which is that of rules, called
    assert.same(keys(builders), globals("spec"))
  end)

  it("has every assertion of ours", function()
    local ours = {}
    session.new(nil, error):extend(ours)
    assert.same(keys(ours), members("luassert"))
  end)

  for class, names in pairs {
    ["fluo.Rule"] = rule.KEYS, ["fluo.Pattern"] = field.SPAN_NAMES, ["fluo.Span"] = trace.NAMES,
    ["fluo.TraceSpan: fluo.Span"] = trace.RELATIONS, ["fluo.Trace"] = query.NAMES,
    ["fluo.BuiltSpan"] = build.SPAN_KEYS, ["fluo.BuiltTrace"] = build.TRACE_KEYS, ["fluo.BuiltEvent"] = build.EVENT_KEYS,
    ["fluo.BuiltLink"] = build.LINK_KEYS, ["fluo.Fires"] = expect.FIRES_KEYS, ["fluo.Silent"] = expect.SILENT_KEYS,
    ["fluo.How"] = alerts.HOW_KEYS, ["fluo.Answer"] = alerts.ANSWER_KEYS, ["fluo.Sends"] = alerts.SENDS_KEYS,
  } do
    it("has every member of " .. class, function() assert.same(sorted(names), members(class)) end)
  end

  it("has every condition that can be written", function()
    assert.same(there(condition.MAKERS, "trace.%s { name = 'x' }"), members("fluo.TraceApi"))
    assert.same(there(tree.Condition.names, "trace.has { name = 'x' }:%s()"), members("fluo.Condition"))
    assert.same(there(tree.Count.names, "trace.count { name = 'x' }:%s()"), members("fluo.Count"))
    assert.same(there(tree.Where.names, "trace.where { name = 'x' }:%s()"), members("fluo.Where"))
  end)
end)

describe("the editor stubs", function()
  it("are those that `make stubs` would write", function()
    local file = assert(io.open("contrib/editor/fluo.lua"))
    local text = file:read("*a")
    file:close()
    assert.is_true(text == stubs.text(), "contrib/editor/fluo.lua is old: run `make stubs`")
  end)

  it("are Lua", function() assert(loadstring(stubs.text())) end)

  it("name no class that is not declared", function()
    local text = stubs.text()
    for name in text:gmatch("fluo%.%u%w+") do
      assert.truthy(text:find("@class " .. name .. "[\n:]") or text:find("@alias " .. name .. " ", 1, true), name)
    end
  end)
end)
