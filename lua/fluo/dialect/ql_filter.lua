--- From what stands in braces to a formula over one span (pattern.lua's ast), which the core's index answers:
--   * a field against a literal is an atom; `.x` is two, the resource's where the span has none
--   * values of events and links are arrays: any of them satisfies, `!=` and `!~` want one and that none is equal
--   * what reckons, or compares two fields, is a function of the span, run as those of rules are
--   * what needs the whole trace ({ op = "trace", x }) no span can say: such filters are tested by ql_judge.lua, on the
--     spans that satisfy the rest
-- `= nil` is missing. An attribute alone holds if it is true.
local field = require("fluo.field")
local patterns = require("fluo.pattern")
local read = require("fluo.dialect.ql_read")
local types = require("fluo.dialect.ql_types")
local units = require("fluo.units")
local value = require("fluo.dialect.ql_value")

jit.off(true, true)                                       -- see ql_parser.lua

local M = {}

local TRUE, FALSE = { op = "true" }, { op = "false" }

-- ---- formulas ------------------------------------------------------------------------------------

local function join(op, children)
  local none, all = TRUE, FALSE
  if op == "or" then none, all = FALSE, TRUE end
  local flat = { op = op }
  for _, child in ipairs(children) do
    if child == all then return all end
    if child.op == op then
      for _, grandchild in ipairs(child) do flat[#flat + 1] = grandchild end
    elseif child ~= none then
      flat[#flat + 1] = child
    end
  end
  if #flat == 0 then return none end
  return #flat == 1 and flat[1] or flat
end

local function both(a, b) return join("and", { a, b }) end
local function either(a, b) return join("or", { a, b }) end
local function negate(a)
  if a == TRUE then return FALSE end
  if a == FALSE then return TRUE end
  return a.op == "not" and a[1] or { op = "not", a }
end

local function atom(name, key, compare, values)
  return { op = "atom", field = name, key = key, compare = compare, values = values or {} }
end

-- ---- expressions that patterns cannot ask --------------------------------------------------------

local OF_TRACE = { TRACE_DURATION = true, ROOT_NAME = true, ROOT_SERVICE = true, CHILD_COUNT = true }

--- Whether an expression needs more than its span.
function M.of_trace(node)
  if node.op == "field" then return OF_TRACE[node.intrinsic] == true end
  for _, part in ipairs(node.parts or { node.a, node.b }) do
    if M.of_trace(part) then return true end
  end
  return false
end

local SIGN = { EQ = "=", NE = "!=", GT = ">", GE = ">=", LT = "<", LE = "<=", MATCHES = "=~", NOT_MATCHES = "!~",
               ["+"] = "+", ["-"] = "-", ["*"] = "*", ["/"] = "/", ["%"] = "%", ["^"] = "^" }

local function literal_text(node)
  if node.type == "string" then return ("%q"):format(node.value) end
  return node.type .. " " .. (type(node.value) == "number" and ("%.17g"):format(node.value) or tostring(node.value))
end

--- Text that is equal for equal expressions.
function M.text(node)
  if node.op == "field" then return ("%s[%s %q]"):format(node.scope, node.intrinsic or "", node.key or "") end
  if node.op == "literal" then return literal_text(node) end
  local list = {}
  for i, part in ipairs(node.parts or { node.a, node.b }) do list[i] = M.text(part) end
  return ("(%s %s %s)"):format(node.op, node.how or "", table.concat(list, " "))
end

local UNARY = { neg = "-%s", ["not"] = "!%s", exists = "%s != nil", missing = "%s = nil" }
local JOINS = { ["and"] = " && ", ["or"] = " || " }

-- As an author would write it, for people.
local function shown(node)
  if node.op == "field" then return node.text end
  if node.op == "literal" then
    if node.type == "duration" then return ("%.14gms"):format(tonumber(node.value) / 1e6) end
    return (literal_text(node):gsub("^%l+ ", ""):gsub("LL$", ""))
  end
  local list = {}
  for i, part in ipairs(node.parts or { node.a, node.b }) do
    list[i] = shown(part)
    if part.parts or part.b then list[i] = "(" .. list[i] .. ")" end
  end
  if UNARY[node.op] then return UNARY[node.op]:format(list[1]) end
  return table.concat(list, JOINS[node.op] or " " .. SIGN[node.how] .. " ")
end

-- The fields without which an expression has no value; nil: it has a truth in it, which always has one.
local function needed(node, list)
  if node.op == "field" then
    list[#list + 1] = node
  elseif node.op ~= "literal" and node.op ~= "neg" and node.op ~= "arithmetic" then
    return nil
  end
  for _, part in ipairs({ node.a, node.b }) do
    if not needed(part, list) then return nil end
  end
  return list
end

local there

-- A test that is reckoned: with what stands on the span, or with the trace. It is not called on spans that lack what it
-- needs, which the core knows.
local function reckoned(node)
  if M.of_trace(node) then return { op = "trace", x = node } end
  local call = { op = "function", kind = "place", object = "span", text = M.text(node), shown = shown(node),
                 fn = function(at) return value.truth(node, read.reader(at)) end }
  local guards, fields = {}, {}
  for _, side in ipairs({ node.a, node.b }) do fields = fields and needed(side, fields) end
  for i, field_of in ipairs(fields or {}) do guards[i] = there(field_of, true) end
  guards[#guards + 1] = call
  return join("and", guards)
end

-- ---- a field against a literal -------------------------------------------------------------------

local ALWAYS = { NAME = true, STATUS = true, KIND = true, DURATION = true, TRACE_ID = true, SPAN_ID = true }
local OBJECT = { event = "event", link = "link" }
local ID = { TRACE_ID = true, SPAN_ID = true, PARENT_ID = true }
local NEGATED = { NE = "EQ", NOT_MATCHES = "MATCHES" }

-- No atom asks for these.
local function no_atom(node)
  return OF_TRACE[node.intrinsic] or node.intrinsic == "TIME_SINCE_START"
    or node.scope == "instrumentation" and node.key ~= nil
end

-- guard: of what no atom asks nothing is asked.
function there(node, guard)
  if node.intrinsic == "TRACE_DURATION" or node.intrinsic == "CHILD_COUNT" then return TRUE end
  if no_atom(node) and guard then return node.scope == "event" and { op = "event", TRUE } or TRUE end
  if no_atom(node) then return reckoned({ op = "exists", a = node }) end
  if node.scope == "any" then
    return either(atom("ATTRIBUTE", node.key, "EXISTS"), atom("RESOURCE", node.key, "EXISTS"))
  end
  local object, name = OBJECT[node.scope], node.intrinsic or node.scope == "resource" and "RESOURCE" or "ATTRIBUTE"
  if object then return { op = object, name == "EVENT_NAME" and TRUE or atom(name, node.key, "EXISTS") } end
  return ALWAYS[name] and TRUE or atom(name, node.key, "EXISTS")
end

-- A duration in ns as the number of ms that an attribute may be.
local function milliseconds(ns)
  if ns % 1000000LL == 0 then return { type = "INT", integer = ns / 1000000LL } end
  return { type = "DOUBLE", number = tonumber(ns) / 1e6 }
end

-- A bare number beside a span's duration, which has whole nanoseconds: a value between two of them moves to the side
-- that changes nothing. nil: nothing is equal to it.
local function bare_duration(number, how)
  if value.is_int(number) then
    local ns = value.arithmetic("*", number, 1000000LL)
    return value.is_int(ns) and { type = "INT", integer = ns } or { type = "DOUBLE", number = ns }
  end
  local ns, exact = units.duration(math.max(number, 0))
  if not ns or number < 0 then return { type = "DOUBLE", number = number * 1e6 } end
  if exact or how == "GT" or how == "LE" then return { type = "INT", integer = ns } end
  if how == "EQ" or how == "NE" then return nil end
  return { type = "INT", integer = ns + 1 }
end

-- The operand of an atom; nil: no value is equal to it.
local function operand(node, how, literal)
  local t, v = literal.type, literal.value
  if node.intrinsic == "DURATION" then
    if t == "duration" then return { type = "INT", integer = v } end
    return bare_duration(v, how)
  end
  if t == "duration" then return milliseconds(v) end
  if t == "int" then return { type = "INT", integer = v } end
  if t == "float" then return { type = "DOUBLE", number = v } end
  if t == "bool" then return { type = "BOOL", integer = v and 1LL or 0LL } end
  if t ~= "string" and node.type ~= t then return nil end         -- a status or kind beside an attribute
  return { type = "STRING", text = ID[node.intrinsic] and how ~= "MATCHES" and v:lower() or v }
end

local function holds(self, node, how, literal)
  local operand_value = operand(node, how, literal)
  if not operand_value then return FALSE end
  if node.scope == "any" then
    local own = atom("ATTRIBUTE", node.key, how, { operand_value })
    local absent = negate(atom("ATTRIBUTE", node.key, "EXISTS"))
    return either(own, both(absent, atom("RESOURCE", node.key, how, { operand_value })))
  end
  local name = node.intrinsic or node.scope == "resource" and "RESOURCE" or "ATTRIBUTE"
  local leaf, object = atom(name, node.key, how, { operand_value }), OBJECT[node.scope]
  local text = field.unordered(leaf)
  if text then
    self.warn("never-holds", ("`%s` is not a number, so this never holds"):format(text),
      "only numbers have an order", text)
  end
  return object and { op = object, leaf } or leaf
end

local function note_literal(self, node, literal)
  if node.type == "any" and (literal.type == "status" or literal.type == "kind") then
    local word = literal.value:lower()
    self.warn("never-holds", ("`%s` is a %s, which no attribute is equal to"):format(word, literal.type),
      ("write \"%s\""):format(word), word)
  end
end

local function against(self, node, how, literal)
  if no_atom(node) then return nil end
  note_literal(self, node, literal)
  local positive = NEGATED[how]
  if not positive then return holds(self, node, how, literal) end
  return both(there(node), negate(holds(self, node, positive, literal)))
end

-- ---- comparisons ---------------------------------------------------------------------------------

local FLIPPED = { EQ = "EQ", NE = "NE", GT = "LT", GE = "LE", LT = "GT", LE = "GE" }

--- A bare number beside a duration means milliseconds here, and nanoseconds in Tempo.
function M.note_bare(warn, a, b, word)
  local number = (b.type == "int" or b.type == "float") and b
  if a.op == "field" and a.type == "duration" and b.op == "literal" and number and number.value ~= 0 then
    local text = tostring(value.plain(number.value))
    warn("bare-duration", ("`%s` beside a duration means %s ms here, and %s ns to Tempo"):format(text, text, text),
      ("write `%sms`"):format(text), word or text)
  end
end

-- A truth beside `true` or `false`: itself, or what it is not. Beside anything else it is reckoned.
local function truth_beside(self, truth, other, how)
  if other.op ~= "literal" then return nil end
  local formula = M.formula(self, truth)
  return (how == "EQ") == other.value and formula or negate(formula)
end

local function is_truth(node) return types.of(node) == "bool" and node.op ~= "literal" end

local of = {}

function of.compare(self, node)
  local a, b, how = node.a, node.b, node.how
  M.note_bare(self.warn, a, b)
  M.note_bare(self.warn, b, a)
  local truth = is_truth(a) and truth_beside(self, a, b, how) or is_truth(b) and truth_beside(self, b, a, how)
  if truth then return truth end
  if a.op == "literal" and FLIPPED[how] then a, b, how = b, a, FLIPPED[how] end
  if a.op == "field" and b.op == "literal" then
    local formula = against(self, a, how, b)
    if formula then return formula end
  end
  return reckoned({ op = "compare", how = how, a = a, b = b })
end

function of.exists(_, node)
  local a = node.a
  if a.op == "literal" or is_truth(a) then return TRUE end
  return a.op == "field" and there(a) or reckoned(node)
end

function of.missing(self, node) return negate(of.exists(self, node)) end
of["not"] = function(self, node) return negate(M.formula(self, node.a)) end

local function parts(self, node)
  local list = {}
  for i, part in ipairs(node.parts) do list[i] = M.formula(self, part) end
  return join(node.op, list)
end
of["and"], of["or"] = parts, parts

function of.literal(_, node) return node.value == true and TRUE or FALSE end
function of.field(self, node)
  return M.formula(self, { op = "compare", how = "EQ", a = node, b = { op = "literal", type = "bool", value = true } })
end
-- A number is not true.
function of.arithmetic() return FALSE end
function of.neg() return FALSE end

--- The formula of an expression. self.warn(code, message, hint, word) notes what is seldom meant.
function M.formula(self, node) return of[node.op](self, node) end

-- ---- patterns ------------------------------------------------------------------------------------

local function has_trace(node)
  if node.op == "trace" then return true end
  for _, child in ipairs(node) do
    if has_trace(child) then return true end
  end
  return false
end

-- What is left of a formula for the judge: parts without the trace are patterns of their own.
local function rest_of(node, pattern)
  if node.op == "trace" then return node end
  if not has_trace(node) then return { op = "pattern", pattern = pattern(node) } end
  local list = { op = node.op }
  for i, child in ipairs(node) do list[i] = rest_of(child, pattern) end
  return list
end

--- What answers a filter: { pattern, rest }: spans that satisfy the pattern, and (nil: nothing) the rest of the
-- formula, of nodes "and" "or" "not", "trace" (x) and "pattern". nil: no span ever does.
function M.compile(self, x, label)
  local formula = M.formula(self, x)
  if formula == FALSE then return nil end
  local function pattern(ast) return patterns.of_formula(ast, label) end
  if not has_trace(formula) then return { pattern = pattern(formula) } end
  local own, rest = {}, {}
  for _, child in ipairs(formula.op == "and" and formula or { formula }) do
    local list = has_trace(child) and rest or own
    list[#list + 1] = child
  end
  return { pattern = pattern(join("and", own)), rest = rest_of(join("and", rest), pattern) }
end

return M
