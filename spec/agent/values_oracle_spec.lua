-- A comparison means the same in every dialect (rules/README.md, Patterns; rules/traceql.md): each value beside each operand by each
-- operator, against plain definitions. Beyond 2^53 rules_values_spec.lua looks.
local replay = require("spec.replay")
local wire = replay.wire

-- ---- plain definitions ---------------------------------------------------------------------------

local DOUBLE_500 = wire { doubleValue = 500 }
local BYTES, NOTHING, TABLE = wire { bytesValue = "AAA=" }, wire { stringValue = nil }, wire { kvlistValue = {} }
local NAN, INFINITE = wire { doubleValue = "NaN" }, wire { doubleValue = "-Infinity" }
local PLAIN = { [DOUBLE_500] = 500, [NAN] = 0 / 0, [INFINITE] = -math.huge }

-- All that a span may have; the trace of the i-th is TRACES[i]. MISSING stands for none.
local MISSING = {}
local VALUES = {
  MISSING, 0, 1, 500, -500, 0.5, 501.5, 2 ^ 53, DOUBLE_500, NAN, INFINITE, BYTES, NOTHING, TABLE, true, false, "", " ", "500",
  " 500\t", "5e2", "+500", "-500", "500.", ".5", "0500", "0x1f4", "500ms", "5 0", "inf", "nan", "1e", ".", "-", "\239\188\149", "true",
  "True", " true", "false", "abc", "ABC", {}, { 500, "x" }, { "abc", true }, { 1, 501 }, { { 500 } }, { "500" }, { NOTHING },
}
local TRACES = {}
for i in ipairs(VALUES) do TRACES[i] = replay.trace_id("v" .. i) end
local OPERANDS = { 0, 500, -500, 0.5, "500", " 500", "5e2", ".5", "", "abc", "true", "True", "inf", true, false }

local function decimal(text)
  local t = text:match("^%s*(.-)%s*$")
  local digits, behind = t:match("^[+-]?([%d.]+)(.*)$")
  local whole = digits and digits:find("%d") and digits:find("^%d*%.?%d*$")
  return whole and (behind == "" or behind:find("^[eE][+-]?%d+$")) and tonumber(t) or nil
end

local function number_of(x)
  if type(x) == "string" then return decimal(x) end
  return type(x) == "number" and x or nil
end

local function equal(x, operand)
  if type(x) == type(operand) then return x == operand end
  if type(x) == "boolean" or type(operand) == "boolean" then
    return type(x) ~= "number" and type(operand) ~= "number" and tostring(x) == tostring(operand)
  end
  local a, b = number_of(x), number_of(operand)
  return a ~= nil and a == b
end

local ORDER = { gt = function(a, b) return a > b end, ge = function(a, b) return a >= b end,
                lt = function(a, b) return a < b end, le = function(a, b) return a <= b end }

-- Whether the value, which is there, is in that relation to the operand.
local function holds(x, op, operand)
  if PLAIN[x] then x = PLAIN[x] end
  if type(x) == "table" then                              -- bytes, an array in an array and the like compare with nothing
    for _, element in ipairs(x) do
      if type(element) ~= "table" and holds(element, op, operand) then return true end
    end
    return false
  end
  if op == "strict" then return type(x) == type(operand) and x == operand end
  if op == "eq" then return equal(x, operand) end
  local a, b = number_of(x), number_of(operand)
  return a ~= nil and b ~= nil and ORDER[op](a, b)
end

local function expected(x, op, operand)
  if op == "unlike" then return x == MISSING or not holds(x, "strict", operand) end
  if x == MISSING then return false end
  if op == "ne" then return not holds(x, "eq", operand) end
  return holds(x, op, operand)
end

-- ---- dialects ------------------------------------------------------------------------------------

local SIGN = { eq = "==", ne = "!=", gt = ">", ge = ">=", lt = "<", le = "<=", strict = "===", unlike = "!==" }
local BOTH = { "eq", "ne", "gt", "ge", "lt", "le" }
local WITH_STRICT = { "eq", "ne", "gt", "ge", "lt", "le", "strict", "unlike" }

-- Each with its file's extension, its operators, and a rule.
local DIALECTS = {
  { "a table pattern", ".lua", BOTH, 'rule "NAME" { when = { name = "x", v = OP(X) } }' },
  { "a pattern's negation", ".lua", BOTH, 'rule "NAME" { when = not_ { v = OP(X) } }', negated = true },
  { "when … then", ".rule", BOTH, 'rule "NAME" when span.attributes["v"] SIGN X then end' },
  { "the `not` of when … then", ".rule", BOTH, 'rule "NAME" when not span.attributes.v SIGN X then end', negated = true },
  { "an invariant", ".rule", BOTH, 'rule "NAME"\nwhen { trace.has(x).where(v SIGN X) }' },
  { "the JavaScript chain", ".js", WITH_STRICT, "// @name NAME\ntrace.has(s => s.attributes['v'] SIGN X);" },
  { "the `!` of JavaScript", ".js", WITH_STRICT, "// @name NAME\ntrace.has(s => !(X FLIP s.attributes.v))", negated = true },
  { "a condition in YAML", ".yml", BOTH, "NAME:\n  conditions: [{op: OP, field: span.attributes.v, value: X}]" },
  { "a TraceQL selector", ".lua", BOTH, 'rule "NAME" { when = trace.ql [[{ span.v QLSIGN X }]] }' },
  { "the `!` of TraceQL", ".lua", BOTH, 'rule "NAME" { when = trace.ql [[{ !(.v QLSIGN X) }]] }', negated = true },
  { "a text query", ".lua", BOTH, 'rule "NAME" { when = query [[count() > 0 during 1ms where v QLSIGN X by (trace_id)]] }' },
}
local FLIPPED = { [">"] = "<", [">="] = "<=", ["<"] = ">", ["<="] = ">=" }

-- The rules of a dialect as one text, and what each is about: { op, operand }.
local function rules_of(dialect)
  local texts, about = {}, {}
  for _, operand in ipairs(OPERANDS) do
    for _, op in ipairs(dialect[3]) do
      if not ORDER[op] or number_of(operand) then
        about[#about + 1] = { op, operand }
        local words = { NAME = "r" .. #about, OP = op, SIGN = SIGN[op], FLIP = FLIPPED[SIGN[op]] or SIGN[op],
                        QLSIGN = op == "eq" and "=" or SIGN[op], X = type(operand) == "string" and ("%q"):format(operand) or tostring(operand) }
        texts[#texts + 1] = dialect[4]:gsub("%u+", words)
      end
    end
  end
  return table.concat(texts, "\n") .. "\n", about
end

local function spans()
  local list = {}
  for i, x in ipairs(VALUES) do
    list[i] = replay.span { trace = "v" .. i, name = "x", attr = x ~= MISSING and { v = x } or nil }
  end
  return list
end

-- Which rules are violated by which of the values: ["rule trace"].
local function violated(extension, text)
  local path, hits = os.tmpname(), {}
  os.rename(path, path .. extension)
  replay.write(path .. extension, text)
  local found, status, stderr = replay.run(path .. extension, { spans() })
  os.remove(path .. extension)
  assert.equal(0, status, stderr)
  for _, v in ipairs(found) do hits[v.rule .. " " .. (v.trace_id or v.group.trace_id)] = true end
  return hits
end

-- What means something else than it should, each in a line.
local function wrong_of(dialect)
  local text, about = rules_of(dialect)
  local hits, wrong = violated(dialect[2], text), {}
  for i, rule in ipairs(about) do
    for k, x in ipairs(VALUES) do
      local right = expected(x, rule[1], rule[2]) ~= (dialect.negated or false)
      if right ~= (hits["r" .. i .. " " .. TRACES[k]] or false) then
        wrong[#wrong + 1] = ("value %d (%s) %s %s is %s"):format(k, tostring(x), rule[1], tostring(rule[2]), tostring(not right))
      end
    end
  end
  return wrong
end

describe("each value beside each operand means the same in", function()
  for _, dialect in ipairs(DIALECTS) do
    it(dialect[1], function() assert.same({}, wrong_of(dialect)) end)
  end
end)
