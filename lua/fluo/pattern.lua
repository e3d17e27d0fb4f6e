--- Span patterns: from what an author wrote (a table, a function, any_of, all_of, not_) to a formula over
-- one span. A pattern object holds
--   ast     { op = "true" | "atom" | "function" | "event" | "link" | "and" | "or" | "not", children … }
--   label   what a reason calls it       canonical  text that is equal exactly for equal formulas
--   terms, depth, functions (count);     id         its index in the intermediate form (set by ir.lua)
-- Keys are visited in sorted order throughout: the same file gives the same form in every process.
local field = require("fluo.field")
local duration = require("fluo.lint.duration")
local operand = require("fluo.operand")
local units = require("fluo.units")

local M = {}

M.DEPTH_MAX, M.TERMS_MAX, M.LABEL_BYTES_MAX = 200, 5000, 200

local Pattern = {}
Pattern.__index = Pattern
local TRUE = { op = "true" }

-- ---- formulas -----------------------------------------------------------------------------------

local function junction(op, children)
  local flat = {}
  for _, child in ipairs(children) do
    if child.op == "true" and op == "or" then return TRUE end
    if child.op == op then
      for _, grandchild in ipairs(child) do flat[#flat + 1] = grandchild end
    elseif child.op ~= "true" then
      flat[#flat + 1] = child
    end
  end
  if #flat == 0 then return TRUE end
  if #flat == 1 then return flat[1] end
  flat.op = op
  return flat
end

local function depth_of(node)
  local deepest = 0
  for _, child in ipairs(node) do deepest = math.max(deepest, depth_of(child)) end
  return deepest + 1
end

-- ---- from what was written to a formula ---------------------------------------------------------

-- One pattern in the making: reports through context, counts terms, knows how deep it is.
local Builder = {}
Builder.__index = Builder

-- A report gives no value, so a caller can return it: the entry that was wrong is left out.
function Builder:wrong(message, hint, word)
  self.context.report(message, hint, word)
  return nil
end

-- Raised past the bounds: what is left is too large to be looked at.
local function beyond(message)
  error({ bound = message }, 0)
end

-- A term is a comparison or a function. Visits bound what has no terms, as `all_of` of itself.
function Builder:enter()
  self.depth, self.visits = self.depth + 1, self.visits + 1
  if self.depth > M.DEPTH_MAX then
    beyond(("a condition nests at most %d deep"):format(M.DEPTH_MAX))
  elseif self.visits > M.TERMS_MAX * 4 then
    beyond(("a condition has at most %d terms"):format(M.TERMS_MAX))
  end
end

function Builder:term()
  self.terms = self.terms + 1
  if self.terms > M.TERMS_MAX then beyond(("a condition has at most %d terms"):format(M.TERMS_MAX)) end
end

function Builder:leave(result)
  self.depth = self.depth - 1
  return result
end

local function sorted_keys(t)
  local keys, others = {}, 0
  for key in pairs(t) do
    if type(key) == "string" then keys[#keys + 1] = key else others = others + 1 end
  end
  table.sort(keys)
  return keys, others
end

-- A function stands for itself only when an author wrote it: `trace.has` without its call is none.
function Builder:authored(fn, word)
  if self.context.authored(fn) then return true end
  self:wrong("this function belongs to FLUO and was not called", "write it with its argument", word)
  return false
end

-- What a table as a value was probably meant for.
local function table_hint(shown, value)
  if getmetatable(value) then return "a condition is no value: it is joined to others by `:and_(…)` or `*`" end
  local keys = sorted_keys(value)
  if not keys[1] then return "for one of several values write one_of { … }" end
  return ("a name with dots is one key: [%q] = …"):format(shown .. "." .. keys[1])
end

-- One entry: a field or an attribute, and an operand, a plain value or a function.
function Builder:entry(name, key, value, shown)
  self:enter()
  self:term()
  local data = operand.of(value)
  if name == "DURATION" then duration.look(self.context, value, shown) end
  if type(value) == "function" then
    if not self:authored(value, shown) then return self:leave(nil) end
    self.functions = self.functions + 1
    local call = { op = "function", kind = "value", object = self.object, fn = value, field = name, key = key }
    if name ~= "ATTRIBUTE" and name ~= "RESOURCE" then return self:leave(call) end
    -- A function of a missing value is not called, and the core need not ask about it.
    local there = { op = "atom", field = name, key = key, compare = "EXISTS", values = {} }
    return self:leave(junction("and", { there, call }))
  elseif not data then
    if type(value) == "table" then
      return self:leave(self:wrong(("`%s` cannot be equal to a table"):format(shown), table_hint(shown, value), shown))
    end
    data = { op = "eq", n = 1, value }
  end
  local function fail(message, hint, word) self:wrong(message, hint, word or shown) end
  local atom = field.atom(name, key, data, "`" .. shown .. "`", fail)
  local text = atom and field.unordered(atom)
  if text then
    self.context.warn("never-holds", ("`%s` is not a number, so `%s` never holds"):format(text, data.op),
      "only numbers have an order: two texts are compared as numbers or not at all", text)
  end
  return self:leave(atom)
end

function Builder:look(key, is_bare)
  local names = self.context.names
  if not names then return end
  local look = is_bare and self.object == "span" and names.look_span or names.look
  look(self.context, key)
end

-- A table of keys that all are attributes (of the span, its resource, an event, a link).
function Builder:keys_of(t, name, shown)
  local children = {}
  if type(t) ~= "table" or operand.of(t) or getmetatable(t) then
    return { self:wrong(("`%s` takes a table of keys"):format(shown),
      ("write %s = { [\"some.key\"] = … }"):format(shown), shown) }
  end
  local keys, others = sorted_keys(t)
  if others > 0 then self:wrong(("`%s` takes keys, not a list"):format(shown), nil, shown) end
  for _, key in ipairs(keys) do
    self:look(key)
    children[#children + 1] = self:entry(name, key, t[key], key)
  end
  return children
end

-- event = { … } and link = { … }: one of them must satisfy all. `exists` and `missing`: any, none at all.
function Builder:part(value, object)
  local data = operand.of(value)
  if data and (data.op == "exists" or data.op == "missing") then
    local any = { op = object, TRUE }
    return data.op == "exists" and any or { op = "not", any }
  end
  if self.object ~= "span" then
    return self:wrong(("`%s` stands in a span's pattern only"):format(object), nil, object)
  end
  if type(value) ~= "table" and type(value) ~= "function" then
    return self:wrong(("`%s` takes a table or a function"):format(object),
      ("write %s = { %s = %s }"):format(object, object == "event" and "name" or "trace_id",
        type(value) == "string" and ("%q"):format(value) or "…"), object)
  end
  self.object = object
  local inner = self:build(value)
  self.object = "span"
  return inner and { op = object, inner }
end

function Builder:where(value)
  if type(value) == "function" then return self:call(value, "where") end
  return self:wrong(("`where` takes a function of the %s"):format(self.object),
    ("where = function(%s) return … end"):format(self.object), "where")
end

-- A function of the whole span, or of the event or link whose pattern this is.
function Builder:call(fn, word)
  if not self:authored(fn, word) then return nil end
  self:term()
  self.functions = self.functions + 1
  return { op = "function", kind = "object", object = self.object, fn = fn }
end

local FIELDS = { span = field.SPAN, event = field.EVENT, link = field.LINK }
local OBJECT_FIELDS = { event = { "name", "attributes" },
                        link = { "trace_id", "span_id", "trace_state", "attributes" } }
local SPAN_KEYS = {}
for _, name in ipairs(field.SPAN_NAMES) do SPAN_KEYS[name] = true end

-- Events and links have few fields of their own; a span's field in them is a mistake, not an attribute.
function Builder:foreign(key)
  return self:wrong(("`%s` has no field `%s`"):format(self.object, key),
    ("its fields are %s; an attribute of that name is reached by attributes = { %s = … }"):format(
      table.concat(OBJECT_FIELDS[self.object], ", "), key), key)
end

function Builder:of_parent(key)
  return self:wrong(("a pattern looks at one span, and `%s` is another one's"):format(key),
    "group a window by it, or write trace.has { service = … }:child { … }", key)
end

-- The formulas of one key of a pattern table (attributes and resource give several).
function Builder:key(key, value)
  if key == "attributes" then return self:keys_of(value, "ATTRIBUTE", key) end
  local name = FIELDS[self.object][key]
  if name == "PARENT_SERVICE" then return { self:of_parent(key) } end
  if name then return { self:entry(name, nil, value, key) } end
  if key == "where" then return { self:where(value) } end
  if self.object ~= "span" and SPAN_KEYS[key] then return { self:foreign(key) } end
  if key == "resource" then return self:keys_of(value, "RESOURCE", key) end
  if key == "event" or key == "link" then return { self:part(value, key) } end
  self:look(key, true)
  return { self:entry("ATTRIBUTE", key, value, key) }
end

function Builder:fields(t)
  local children = {}
  local keys, others = sorted_keys(t)
  if others > 0 then
    self:wrong("a pattern has keys: this entry has none",
      "write { name = \"…\" }; several patterns are joined by any_of { … } or all_of { … }")
  end
  for _, key in ipairs(keys) do
    for _, child in ipairs(self:key(key, t[key])) do children[#children + 1] = child end
  end
  return junction("and", children)
end

local function never_matches(self)
  return self:wrong("`not_` of a pattern that matches everything matches nothing", nil, "not_")
end

function Builder:join(data)
  if data.wrong then return self:wrong(data.wrong, nil, data.op) end
  if data.op == "not_" then
    local child = self:build(data[1])
    if not child then return nil end
    return child.op == "true" and never_matches(self) or { op = "not", child }
  end
  local given, children = data[1], {}
  local keys, others = {}, 0
  if type(given) == "table" and not getmetatable(given) then keys, others = sorted_keys(given) end
  if #keys > 0 or others == 0 or others ~= #given then
    return self:wrong(("`%s` takes a list of patterns"):format(data.op),
      ("write %s { { … }, { … } }"):format(data.op), data.op)
  end
  for i = 1, #given do children[#children + 1] = self:build(given[i]) end
  return junction(data.op == "any_of" and "or" or "and", children)
end

-- Why a value is no pattern.
function Builder:no_pattern(x)
  local data = operand.of(x)
  if data then
    return self:wrong(("`%s` compares a value; a pattern is expected here"):format(data.op),
      ("write { name = %s … }"):format(data.op), data.op)
  elseif type(x) == "table" then
    return self:wrong("a span pattern is expected here, not a condition",
      "a condition is combined by :and_(…), :or_(…), :not_() or the operators * + -", self.what)
  elseif type(x) == "string" then
    return self:wrong(("a span pattern is a table or a function, not text (`%s`)"):format(x),
      ("write { name = %q }"):format(x), x)
  end
  local kind = x == nil and "nothing" or "a " .. type(x)
  return self:wrong(("a span pattern is a table or a function, not %s"):format(kind),
    "write { name = \"…\" }", self.what)
end

function Builder:build(x)
  self:enter()
  local data = operand.of(x)
  if data and operand.JOINS[data.op] then return self:leave(self:join(data)) end
  if type(x) == "function" then return self:leave(self:call(x, self.what)) end
  if type(x) ~= "table" or data or getmetatable(x) ~= nil then return self:leave(self:no_pattern(x)) end
  return self:leave(self:fields(x))
end

-- ---- canonical text -----------------------------------------------------------------------------

local function value_text(value)
  if value.type == "STRING" then return ("%q"):format(value.text):gsub("\n", "n") .. "" end
  if value.type == "BOOL" then return value.integer == 1LL and "true" or "false" end
  if value.type == "INT" then return (tostring(value.integer):gsub("LL$", "")) end
  return units.decimal(value.number)
end

local function atom_text(node)
  local name = node.key and ("%s[%q]"):format(node.field:lower(), node.key) or node.field:lower()
  local values = {}
  for i, value in ipairs(node.values) do values[i] = value_text(value) end
  return (name .. " " .. node.compare:lower() .. " " .. table.concat(values, ", ")):gsub(" $", "") .. ""
end

-- Functions are numbered within the pattern; their text enters a rule's version with the whole file.
local function text_of(node, numbers)
  if node.op == "true" then return "{}" end
  if node.op == "atom" then return atom_text(node) end
  if node.text then return node.text end
  if node.op == "function" then
    numbers.n = numbers.n + 1
    local of = node.field and (node.key and ("%s[%q]"):format(node.field:lower(), node.key)
      or node.field:lower()) or node.object
    return ("function %d of %s"):format(numbers.n, of)
  end
  local children = {}
  for i, child in ipairs(node) do children[i] = text_of(child, numbers) end
  return node.op .. " { " .. table.concat(children, "; ") .. " }"
end

--- The text of a formula, or of a part of one.
function M.text(node) return text_of(node, { n = 0 }) end

--- Text that is equal exactly for equal formulas, in every process.
function M.canonical(pattern) return pattern.canonical end

-- ---- labels -------------------------------------------------------------------------------------

local function plain_name(node)
  if node.op == "and" then
    for _, child in ipairs(node) do
      local name = child.op == "atom" and plain_name(child)
      if name then return name end
    end
  elseif node.op == "atom" and node.field == "NAME" and #node.values == 1
    and (node.compare == "EQ" or node.compare == "GLOB") then
    return node.values[1].text
  end
  return nil
end

-- At most max bytes, cut between two characters.
local function cut(text, max)
  if #text <= max then return text end
  local last = max - 3
  while last > 0 and text:find("^[\128-\191]", last + 1) do last = last - 1 end
  return text:sub(1, last) .. "…"
end

local function label_of(ast, x, context)
  local label = plain_name(ast)
  if not label or label == "" then label = context.source_of(x) end
  if not label then label = text_of(ast, { n = 0 }) end
  return cut(label, M.LABEL_BYTES_MAX)
end

--- What a reason calls a condition that is a function: its source text.
function M.label_of_function(context, fn)
  return cut(context.source_of(fn) or "function", M.LABEL_BYTES_MAX)
end

--- What a reason calls a pattern: the name it asks for, else its source text, else its canonical text.
function M.label(pattern) return pattern.label end

-- ---- the module's face --------------------------------------------------------------------------

--- Whether a value can stand where a span pattern is expected.
function M.is(x)
  local data = operand.of(x)
  if data then return operand.JOINS[data.op] == true end
  return type(x) == "function" or (type(x) == "table" and getmetatable(x) == nil)
end

--- The pattern object for what an author wrote. What is wrong in it goes to context.report(message, hint,
-- word), all of it, and an object comes back all the same, so that the rest can be checked too. `what`
-- is the word that asked for it ("when", "trace.has"). context also has warn, authored(fn), source_of(x).
function M.of(context, x, what)
  local builder = setmetatable({ context = context, what = what, object = "span", depth = 0, terms = 0,
                                 visits = 0, functions = 0 }, Builder)
  local ok, ast = pcall(builder.build, builder, x)
  if not ok then
    if type(ast) ~= "table" or not ast.bound then error(ast, 0) end
    context.report(ast.bound, "split it into several rules", what)
    ast = nil
  end
  local pattern = setmetatable({ ast = ast or TRUE, broken = ast == nil, terms = builder.terms,
                                 functions = builder.functions }, Pattern)
  pattern.depth = depth_of(pattern.ast)
  pattern.canonical = text_of(pattern.ast, { n = 0 })
  pattern.label = label_of(pattern.ast, x, context)
  return pattern
end

local function leaves(node)
  local n = #node == 0 and 1 or 0
  for _, child in ipairs(node) do n = n + leaves(child) end
  return n
end

--- The pattern object of a formula that another dialect made. Functions in it have a text, and are FLUO's.
function M.of_formula(ast, label)
  return setmetatable({ ast = ast, terms = leaves(ast), depth = depth_of(ast), functions = 0,
                        label = cut(label, M.LABEL_BYTES_MAX), canonical = text_of(ast, { n = 0 }) }, Pattern)
end

return M
