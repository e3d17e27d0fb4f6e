-- What is said to be certain of a pattern or a condition is held against the matcher and the judge, on random ones.
local ffi = require("ffi")
local ir = require("spec.ir")
local matching = require("spec.matching")
local random = require("spec.lua.random")
local rulefiles = require("spec.lua.rulefiles")
local traces = require("spec.lua.traces")
local condition = require("fluo.condition")
local lint = require("fluo.lint.condition")
local span_lint = require("fluo.lint.span")

local ROUNDS, SPANS = tonumber(os.getenv("FLUO_ROUNDS")) or 600, 60

local function pick(list) return list[math.random(#list)] end

-- ---- patterns -----------------------------------------------------------------------------------

local TEXTS, NUMBERS = { '"a"', '"ab"', '"b"', '"5"', '""' }, { "0", "1", "5", '"5"' }

local function text_operand()
  return pick { pick(TEXTS), "ne " .. pick(TEXTS), "prefix " .. pick(TEXTS), "suffix " .. pick(TEXTS), "contains " .. pick(TEXTS),
    ("one_of { %s, %s }"):format(pick(TEXTS), pick(NUMBERS)), ("none_of { %s, %s }"):format(pick(TEXTS), pick(NUMBERS)),
    'glob "' .. pick { "*", "a*", "*b", "a*b", "ab", "**" } .. '"', ("gt(%s)"):format(pick(NUMBERS)), "lt(5)", "eq(5)", 'matches "a?b?"' }
end

local STATUSES, KINDS = { '"OK"', '"UNSET"', '"ERROR"', '"EXPLICIT_OK"' }, { '"SERVER"', '"CLIENT"', '"INTERNAL"' }

local function set_operand(names)
  return pick { pick(names), ("ne(%s)"):format(pick(names)), ("one_of { %s, %s }"):format(pick(names), pick(names)),
    ("none_of { %s, %s }"):format(pick(names), pick(names)) }
end

local function number_operand(numbers)
  local n = pick(numbers)
  return pick { n, "gt(" .. n .. ")", "ge(" .. n .. ")", "le(" .. n .. ")", "ne(" .. n .. ")", "between(0, " .. n .. ")" }
end

local ENTRIES = {
  function() return "name = " .. text_operand() end,
  function() return "service = " .. pick { text_operand(), "exists", "missing" } end,
  function() return "status = " .. set_operand(STATUSES) end,
  function() return "kind = " .. set_operand(KINDS) end,
  function() return "duration = " .. number_operand { "0", '"1us"', '"2us"' } end,
  function() return "x = " .. pick { text_operand(), number_operand(NUMBERS), "exists", "missing" } end,
  function() return "resource = { x = " .. pick { text_operand(), "exists", "missing" } .. " }" end,
  function() return "root = " .. pick { "true", "false" } end,
  function() return "parent_id = " .. pick { "exists", "missing" } end,
  function() return "status_message = " .. pick { text_operand(), "exists", "missing" } end,
  function() return "event = " .. pick { "exists", "missing", "{ name = " .. text_operand() .. " }" } end,
}

-- Entries of few fields at a time: most patterns of many say nothing.
local function random_pattern(depth, entries)
  local dice = depth > 0 and math.random(5) or 1
  if dice <= 2 then return "{ " .. pick(entries)() .. " }" end
  if dice == 3 then return "not_(" .. random_pattern(depth - 1, entries) .. ")" end
  return ("%s { %s, %s }"):format(dice == 4 and "any_of" or "all_of", random_pattern(depth - 1, entries), random_pattern(depth - 1, entries))
end

local function some(values, none) return math.random(4) == 1 and none or pick(values) end

local VALUES = { "a", "ab", "b", "5", 5, 0, 1, true, { "a", "b" }, { 5, "ab", 1 }, {} }

local function random_span()
  local parent = math.random(3)
  local own = "\1\2\3\4\5\6\7\171"
  return { name = pick { "a", "ab", "b", "5", "c", "", "5.0" }, service = some { "a", "ab", "5", "x" }, status = pick { "UNSET", "OK", "ERROR" },
    kind = pick { "SERVER", "CLIENT", "INTERNAL", "PRODUCER" }, start_ns = 1000, end_ns = 1000 + pick { 0, 999, 1000, 1001, 2000, 2001 },
    attributes = { x = some(VALUES) }, resource = { x = some(VALUES) }, message = some { "a", "b", "x" }, root = parent ~= 1,
    parent_id = parent == 1 and "\9\9\9\9\9\9\9\9" or parent == 2 and own or nil,
    events = math.random(2) == 1 and { { name = pick { "a", "b", "5" } } } or nil }
end

-- The rules of a text that loads, and a matcher of their forms.
local function matcher_of(text, options)
  local result = rulefiles.load(text)
  if #result.errors > 0 then return nil end
  local set, out = assert(matching.ruleset(result.ir, options)), ffi.new("struct matcher *[1]")
  assert(matching.core.matcher_new(set, out) == 0)
  return { set = set, matcher = ffi.gc(out[0], matching.core.matcher_free), pattern = result.rules[1].patterns[1] }
end

local function holds(self, view)
  return tonumber(matching.core.matcher_resolve(self.matcher, view, self.pattern.id, nil, 0)) == 1
end

describe("what is certain of a pattern", function()
  it("is so for random spans, however a status is read", function()
    local certain = { [true] = 0, [false] = 0 }
    for round = 1, ROUNDS do
      math.randomseed(round)
      local entries = { pick(ENTRIES), pick(ENTRIES) }
      local text = random_pattern(3, math.random(3) == 1 and entries or { entries[1] })
      local options = { status_ok_is_explicit = round % 2 == 0 }
      local it_is = matcher_of(('rule "r" { when = %s }'):format(text), options)
      local verdict = it_is and span_lint.verdict(it_is.pattern.ast)
      for _ = 1, verdict ~= nil and it_is and SPANS or 0 do
        local span = ir.span(random_span())
        assert.equal(verdict, holds(it_is, span.view), ("round %d: %s"):format(round, text))
      end
      if it_is and verdict ~= nil then certain[verdict] = certain[verdict] + 1 end
    end
    for _, count in pairs(certain) do assert.is_true(count > ROUNDS / 50, "too few are certain: " .. count) end
  end)
end)

-- ---- conditions ---------------------------------------------------------------------------------

-- Patterns with the formula that their name stands for.
local function api_of()
  local patterns, own = {}, setmetatable({}, { __index = traces.context })
  function own.pattern(x)
    patterns[x.name] = patterns[x.name] or { label = x.name, name = x.name, canonical = x.name, functions = 0,
      ast = { op = "atom", field = "NAME", compare = "EQ", values = { { type = "STRING", text = x.name } } } }
    return patterns[x.name]
  end
  return condition.api(own)
end

describe("what is certain of a condition", function()
  it("is so in random whole traces", function()
    local certain = { [true] = 0, [false] = 0 }
    for round = 1, ROUNDS * 20 do
      math.randomseed(round)
      local c = random.condition(3)
      local built = random.build(api_of(), c)
      local verdict = lint.verdict(condition.nodes { when = built }, {})
      for _ = 1, verdict ~= nil and SPANS or 0 do
        local spans = random.spans()
        local truth = #spans > 0 and traces.judge(built, spans, { closing = true })
        local agrees = #spans == 0 or truth == verdict or truth == nil
        assert.is_true(agrees, ("round %d: %s\n%s"):format(round, random.text(c), random.trace(spans)))
      end
      if verdict ~= nil then certain[verdict] = certain[verdict] + 1 end
    end
    for _, count in pairs(certain) do assert.is_true(count > 10, "too few are certain: " .. count) end
  end)
end)
