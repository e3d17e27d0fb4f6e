--- The three shapes of a rule in YAML, each from an entry's mapping to the rule's `when`:
--   query       `query: sum(api_calls) > 10000 during 1m`
--   conditions  a list of { op, field, value }, all of one span
--   span        `span: {…}, aggregation: {count, window}, condition: gt(count, 5)`
-- What is wrong is raised as { line, column, message, hint }; what is wrong within a pattern is reported.
local code = require("fluo.dialect.code")
local match = require("fluo.dialect.yaml_match")
local parser_of = require("fluo.dialect.parser")
local span = require("fluo.dialect.span")
local suggest = require("fluo.suggest")
local units = require("fluo.units")
local window_query = require("fluo.window_query")

local M = {}

local function wrong(at, message, hint)
  error({ line = at.line, column = at.column, message = message, hint = hint }, 0)
end
M.wrong = wrong

--- Runs a step that may raise what is wrong: its result, or nil after a report. So what follows is looked at too.
local function guarded(context, step, ...)
  local ok, result = pcall(step, ...)
  if ok then return result end
  if type(result) ~= "table" or not result.message then error(result, 0) end
  context.report_at(result, result.message, result.hint)
  return nil
end
M.guarded = guarded

-- What stands under the keys of a mapping, and whether all of them are known; the others are reported.
local function mapping(world, node, what, keys)
  if node.kind ~= "mapping" then
    wrong(node, ("`%s` is a mapping"):format(what), "with " .. table.concat(keys, ", "))
  end
  local whole = true
  for _, entry in ipairs(node) do
    local known = false
    for _, key in ipairs(keys) do known = known or key == entry[1].text end
    whole = whole and known
    if not known then
      world.context.report_at(entry[1], ("unknown key `%s` of `%s`"):format(entry[1].text, what),
        suggest.expected(entry[1].text, keys))
    end
  end
  return node.get, whole
end

local function value_of(node, what)
  if node.kind ~= "scalar" then wrong(node, ("`%s` is one value, not a %s"):format(what, node.kind)) end
  if node.value == nil then wrong(node, ("`%s` has no value"):format(what)) end
  return node.value
end

local function text_of(node, what)
  if type(value_of(node, what)) ~= "string" then wrong(node, ("`%s` takes text"):format(what), "quote it") end
  return node.value
end

-- ---- query --------------------------------------------------------------------------------------

-- Where a word of a scalar stands: beside its begin, where that is certain.
local function word_at(node, word)
  local from, to = node.text:find(word or "", 1, true)
  local once = word and word ~= "" and from and not node.text:find(word, to + 1, true)
  if not once or node.text:find("\n") then return node end
  return { line = node.line, column = node.column + from - 1 + (node.quoted and 1 or 0) }
end

function M.query(entry)
  local node = entry.get.query
  local parsed, message, hint, word = window_query.parse(text_of(node, "query"))
  if not parsed then wrong(word_at(node, word), message, hint) end
  local call = code.call("query", node.value)
  call.spot = { line = node.line, column = node.column }
  return call
end

-- ---- conditions ---------------------------------------------------------------------------------

local QUOTES = "a sign needs its quotes in YAML: op: \">\""

local function operator(node)
  if node.kind == "scalar" and (node.value == nil or node.text == "") then wrong(node, "`op` is empty", QUOTES) end
  local text = text_of(node, "op")
  local op = match.operator(text)
  if op then return op end
  wrong(node, ("unknown op `%s`"):format(text), suggest.expected(text:lower():gsub("_", "-") .. "", match.names))
end

local function subject_of(node)
  local text = text_of(node, "field")
  local path, key = text:match("^(.-)%s*%[%s*[\"'](.-)[\"']%s*%]$")
  local subject, message, hint = span.subject(path or text, key)
  return subject or wrong(node, message, hint)
end

local function values_of(node)
  if node.kind ~= "list" or #node == 0 then
    wrong(node, "`in` and `not-in` take a list of values", "write value: [a, b]")
  end
  local values = {}
  for i, item in ipairs(node) do values[i] = value_of(item, "value") end
  return values
end

local CONDITION = { "op", "field", "value" }
local TAKES_TEXT = { contains = true, prefix = true, suffix = true, matches = true }

local function condition(world, node)
  local get, whole = mapping(world, node, "conditions", CONDITION)
  if not whole then return nil end
  if not get.op or not get.field then wrong(node, "a condition has an `op` and a `field`", "and a `value`") end
  local op, subject = operator(get.op), subject_of(get.field)
  local at, value = get.value or node, nil
  if op == "exists" or op == "missing" then
    if get.value then wrong(get.value, ("`%s` takes no value"):format(op)) end
    at = get.op
    if op == "missing" and subject.always then wrong(at, ("`%s` is never missing"):format(subject.shown)) end
  elseif not get.value then
    wrong(node, "a condition has a `value`", "only exists and missing have none")
  elseif op == "one_of" or op == "none_of" then
    value = values_of(get.value)
  else
    value = TAKES_TEXT[op] and text_of(get.value, get.op.text) or value_of(get.value, "value")
  end
  if op == "matches" and not span.check(world, subject.set(code.call(op, value)), at) then return nil end
  local pattern = match.compare(subject, op, value)
  span.check(world, pattern, at)
  return pattern
end

function M.conditions(entry, world)
  local node = entry.get.conditions
  if node.kind ~= "list" or #node == 0 then
    wrong(node, "`conditions` is a list of conditions", "write - {op: eq, field: span.name, value: a}")
  end
  local most, patterns = parser_of.TERMS_MAX, {}
  if #node > most then wrong(node[most + 1], ("a condition has at most %d terms"):format(most)) end
  for _, item in ipairs(node) do patterns[#patterns + 1] = guarded(world.context, condition, world, item) end
  if #patterns == 0 then return nil end
  return code.join("all_of", patterns)
end

-- ---- span, aggregation, condition ---------------------------------------------------------------

local FIELDS = { service_name = "service", name = "name", kind = "kind", status = "status" }
local SPAN = { "service_name", "name", "kind", "status", "attributes" }

local function attributes(world, node, patterns)
  if node.kind ~= "mapping" then wrong(node, "`attributes` is a mapping of keys and values") end
  for _, pair in ipairs(node) do
    local key, value = pair[1], pair[2]
    if value.kind == "mapping" then
      wrong(value, ("`%s` is one value"):format(key.text), "a key is written with its dots: http.status_code: 500")
    end
    local pattern = match.equal(span.attribute(key.text), value_of(value, key.text))
    span.check(world, pattern, value)
    patterns[#patterns + 1] = pattern
  end
end

local function span_pattern(world, node)
  if not node then return code.table {} end
  local get, patterns = mapping(world, node, "span", SPAN), {}
  for _, name in ipairs { "service_name", "name", "kind", "status" } do
    local value = get[name]
    if value then
      local pattern = match.equal(span.of_field(FIELDS[name], name), value_of(value, name))
      span.check(world, pattern, value)
      patterns[#patterns + 1] = pattern
    end
  end
  if get.attributes then attributes(world, get.attributes, patterns) end
  if #patterns == 0 then return code.table {} end
  return code.join("all_of", patterns)
end

local COMPARE = { gt = "over", ge = "at_least", lt = "under", le = "at_most" }
local FORM = "write condition: gt(count, 5); gt, ge, lt and le compare"

local function comparison(node)
  local op, of, number = text_of(node, "condition"):match("^%s*(%a+)%s*%(%s*([%w_]+)%s*,%s*([^%s,()]+)%s*%)%s*$")
  if not op then wrong(node, ("`%s` is no condition on a count"):format(node.value), FORM) end
  local method = COMPARE[op:lower()]
  if not method then wrong(word_at(node, op), ("unknown comparison `%s`"):format(op), FORM) end
  if of ~= "count" then wrong(word_at(node, of), ("`%s` is not known here: the count is compared"):format(of), FORM) end
  local n = number:find("^[+-]?%d*%.?%d*$") and tonumber(number)
  if not n then wrong(word_at(node, number), ("`%s` is no number"):format(number), FORM) end
  if n < 0 or n == 0 and method == "under" then wrong(word_at(node, number), "a count is never below 0") end
  return method, n
end

-- The remembered matches have to be enough for the condition to hold; for one that asks for few they are always.
local function check_cap(world, node, method, n)
  local cap = value_of(node, "count")
  if type(cap) ~= "number" or cap < 1 or cap % 1 ~= 0 then
    wrong(node, "`count` is a whole number of matches to remember, 1 or more")
  end
  local enough = method == "over" and cap > n or method == "at_least" and cap >= n
  if method == "under" and cap < n or method == "at_most" and cap <= n then
    world.context.spot = { line = node.line, column = node.column }
    world.context.warn("always-fires", ("of %d remembered matches the count is always that low"):format(cap),
      ("remember more than %s"):format(units.decimal(n)))
    world.context.spot = nil
  elseif not enough and (method == "over" or method == "at_least") then
    wrong(node, ("of %d remembered matches the count is never %s %s"):format(cap,
      method == "over" and "over" or "at least", units.decimal(n)),
      ("remember %s or more"):format(units.decimal(method == "over" and math.floor(n) + 1 or math.ceil(n))))
  end
end

local function duration(node)
  if not node then return "1m" end
  local value = value_of(node, "window")
  local ns, why, hint = units.duration(value)
  if not ns then wrong(node, why, hint) end
  return value
end

function M.span(entry, world)
  local get = entry.get
  local pattern = guarded(world.context, span_pattern, world, get.span)
  if not get.condition then wrong(entry, "a rule on a `span` has a `condition`", FORM) end
  local method, n = comparison(get.condition)
  local aggregation = get.aggregation and mapping(world, get.aggregation, "aggregation", { "count", "window" }) or {}
  if aggregation.count then check_cap(world, aggregation.count, method, n) end
  local length = duration(aggregation.window)
  local at = aggregation.window or get.condition
  local window = code.call("window", length, pattern)
  window.spot = { line = at.line, column = at.column }
  local spot = { line = get.condition.line, column = get.condition.column }
  return code.method(code.method(window, "count", spot), method, spot, n)
end

return M
