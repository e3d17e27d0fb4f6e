--- What a spec file sees besides busted: `trace`, `span`, `clock`, `replay`, `alert`, `assert.fires`,
-- `assert.silent`, `assert.sends`. One session a run of `fluo test`; it keeps the world of the test at hand, and
-- what it came to when judged.
local abi = require("fluo.abi")
local alerts = require("fluo.testing.alerts")
local build = require("fluo.testing.build")
local engine = require("fluo.testing.engine")
local expect = require("fluo.testing.expect")
local sandbox = require("fluo.sandbox")
local suggest = require("fluo.suggest")

local M = {}

local Session = {}
Session.__index = Session

local MODULE_BYTES_MAX = 1048576

--- judge: engine.new. fail(message) raises a failure of the test, as error raises an error.
function M.new(judge, fail)
  return setmetatable({ judge = judge, fail = fail, shown = {}, chunks = {} }, Session)
end

--- A spec file begins: its path, and whether the code that runs now may build traces.
function Session:open(path, in_test)
  self.path, self.folder = path, path:match("^(.*/)") or ""
  self.rules, self.in_test, self.modules, self.actions = engine.rules_of(path), in_test, {}, nil
  self:reset()
end

--- What the next test builds begins with nothing.
function Session:reset()
  self.world, self.violations, self.fired, self.sent = build.new(), nil, {}, {}
end

--- A test passed: the rules that it showed to fire count as tested.
function Session:passed()
  for rule in pairs(self.fired) do self.shown[rule] = true end
end

-- ---- building -----------------------------------------------------------------------------------

-- An error where the spec stands, however deep below it we are.
function Session:refuse(format, ...) error(("%s: %s"):format(self:place(), format:format(...)), 0) end

function Session:changing(what)
  if not self.in_test() then self:refuse("`%s` stands in `it` or `before_each`", what) end
  self.violations = nil
end

function Session:recorded(name)
  self:changing("replay")
  if type(name) ~= "string" then self:refuse("replay takes the name of a file beside the spec") end
  if #self.world.sent > 0 then self:refuse("a test replays recorded traces or builds its own, not both") end
  local path = name:sub(1, 1) == "/" and name or self.folder .. name
  local text, why = abi.read(path, 0)
  if not text then self:refuse("the recorded traces %s cannot be read: %s", path, why) end
  table.insert(self.world.recorded, path)
end

-- ---- asserting ----------------------------------------------------------------------------------

local function indented(text) return (text:gsub("\n", "\n  ")) end

-- What the test came to, judged once for all assertions between two traces.
function Session:judged()
  if self.violations then return self.violations end
  local world = self.world
  if #world.sent + #world.recorded == 0 then
    self:refuse("nothing to judge: trace { … } or replay \"…\" comes first")
  end
  local violations, wrong = self.judge:judge(self.rules, world.recorded, #world.sent > 0 and world:requests())
  if not violations then self:refuse("this test proves nothing:\n  %s", indented(wrong)) end
  self.violations = violations
  return violations
end

function Session:check(rule, expected, keys)
  local names, wrong = self.judge:names(self.rules)
  if not names then self:refuse("the rules do not load:\n  %s", indented(wrong)) end
  local misuse = expect.misuse(rule, expected, keys, names)
  if misuse then self:refuse("%s", misuse) end
end

function Session:conclude(wrong)
  if wrong then self.fail(("%s: %s\n  %s"):format(self:place(), wrong, expect.fired(self.violations))) end
end

function Session:fires(rule, expected)
  if rule == nil then self:refuse("assert.fires needs the name of a rule") end
  expected = expected == nil and {} or expected
  self:check(rule, expected, expect.FIRES_KEYS)
  self:judged()
  self:conclude(expect.fires(self.violations, rule, expected))
  if expected.count ~= 0 then self.fired[rule] = true end
end

function Session:silent(rule, expected)
  if type(rule) == "table" then rule, expected = nil, rule end
  expected = expected == nil and {} or expected
  self:check(rule, expected, expect.SILENT_KEYS)
  self:judged()
  self:conclude(expect.silent(self.violations, rule, expected))
end

-- ---- actions ------------------------------------------------------------------------------------

-- The action of this name, of the rules in the spec's directory, or the built-in type.
function Session:action(name)
  self.actions = self.actions or alerts.actions(self.folder == "" and "." or self.folder)
  local fn = self.actions[name] or require("fluo.action.load").builtin(name)
  if fn then return fn end
  local names = {}
  for known in pairs(self.actions) do names[#names + 1] = known end
  local hint = suggest.hint(name, names)
  self:refuse("no action is called `%s`%s", name, hint and "; " .. hint or "")
end

function Session:alert(name, incident, how)
  self:changing("alert")
  incident, how = incident or {}, how or {}
  local misuse = alerts.misuse(name, incident, how)
  if misuse then self:refuse("%s", misuse) end
  local sent = alerts.run(self:action(name), name, incident, how, self.world:unix())
  self.sent[name] = sent
  return sent
end

function Session:sends(name, expected)
  local sent = self.sent[name]
  if not sent then self:refuse("alert(%q, { … }) comes first", tostring(name)) end
  local misuse = expected and alerts.misuse_of_sends(expected)
  if misuse then self:refuse("%s", misuse) end
  local wrong = alerts.differ(sent, expected or {})
  if wrong then self.fail(("%s: action `%s`: %s"):format(self:place(), name, wrong)) end
end

-- ---- what the file sees -------------------------------------------------------------------------

--- The builders, by name. reference.lua says what they take.
function Session:builders()
  return {
    span = build.span,
    trace = function(t)
      self:changing("trace")
      return self.world:trace(t)
    end,
    clock = {
      advance = function(by)
        self:changing("clock.advance")
        self.world:advance(by)
      end,
      at = function(time)
        self:changing("clock.at")
        self.world:at(time)
      end,
    },
    replay = function(name) return self:recorded(name) end,
    alert = function(name, incident, how) return self:alert(name, incident, how) end,
  }
end

--- Gives busted's assert ours.
function Session:extend(assert)
  rawset(assert, "fires", function(rule, expected) return self:fires(rule, expected) end)
  rawset(assert, "sends", function(name, expected) return self:sends(name, expected) end)
  rawset(assert, "silent", function(rule, expected) return self:silent(rule, expected) end)
end

-- lib/x.lua beside the spec, once a file, and seeing what the spec sees.
function Session:require(name, environment)
  if self.modules[name] ~= nil then return self.modules[name] end
  local path = ("%slib/%s.lua"):format(self.folder, tostring(name):gsub("%.", "/"))
  local chunk, why = self:compile(path, environment)
  if not chunk then self:refuse("cannot require `%s`: %s", tostring(name), why) end
  local result = chunk()
  self.modules[name] = result == nil and true or result
  return self.modules[name]
end

--- A file as a function that runs in an environment; or nil and why. Text only.
function Session:compile(path, environment)
  local text, why = abi.read(path, MODULE_BYTES_MAX)
  if not text then return nil, ("%s cannot be read: %s"):format(path, why) end
  if #text > MODULE_BYTES_MAX then return nil, path .. " is longer than 1 MiB" end
  if text:byte() == 27 then return nil, path .. " is no text" end
  local chunk
  chunk, why = loadstring(text, "@" .. path)
  self.chunks["@" .. path] = true
  return chunk and setfenv(chunk, environment), why
end

--- What lies under busted's own names: the part of Lua that rules have, and the builders. A name that is nowhere
-- is an error. spoken: busted's names, for suggestions.
function Session:environment(spoken)
  local api, known, environment = self:builders(), nil, nil
  api.require = function(name) return self:require(name, environment) end
  local function on_undefined(name)
    local names = {}
    for _, list in ipairs { known, spoken } do
      for key in pairs(list) do names[#names + 1] = tostring(key) end
    end
    table.sort(names)
    local hint = suggest.hint(tostring(name), names)
    self:refuse("undefined global `%s`%s", tostring(name), hint and "; " .. hint or "")
  end
  environment, known = sandbox.environment(api, on_undefined, function() end)
  return environment
end

--- "file:line" of the innermost line of the spec, or of what it requires, that runs now.
function Session:place()
  for level = 2, 100 do
    local info = debug.getinfo(level, "Sl")
    if not info then break end
    if self.chunks[info.source] then return ("%s:%d"):format(info.source:sub(2), info.currentline) end
  end
  return self.path .. ":1"
end

return M
