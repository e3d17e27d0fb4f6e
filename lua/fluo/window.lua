--- Windows: `window("1m", { … }):by("service"):count():over(5)`.
-- rules/README.md, Windows and sequences.
--
-- Each call gives a new handle; what has an aggregate and a comparison can be a rule's `when`. A node of kind
-- "window" has: ns, pattern, by (list of { label, field, key }), samples_min, and once they are known
--   aggregate     "COUNT" "SUM" "AVG" "MIN" "MAX" "QUANTILE" "RATE" "DISTINCT" "RATIO", or "NEW": no figure
--   sample        "SPAN", "FIELD" (field, key) or "NAMED" (key)
--   quantile, numerator (a pattern)
--   compare       "GT" "GE" "LT" "LE", and threshold, a double, in ns where the sample is a duration
--   baseline      nil, "TIMES" or "SIGMAS": then the threshold is that many
--   normal_min    nil, or what must be normal at the least, in the threshold's units
local field = require("fluo.field")
local order = require("fluo.order")
local tree = require("fluo.tree")
local units = require("fluo.units")

local M = { BY_MAX = 16, KEY_BYTES_MAX = 1024 }

local Window = {}

--- Whether x is a window, complete or not.
function M.is(x) return getmetatable(x) == Window end

--- Why x is no condition yet: message, hint, word; nil when it is one.
function M.unfinished(x)
  local node = tree.node(x)
  if not node.aggregate then
    return "a window needs an aggregate", "as in `window(\"1m\", { … }):count():over(5)`", "window"
  elseif not node.compare then
    return "a window needs a comparison", "`:over(n)`, `:at_least(n)`, `:under(n)` or `:at_most(n)`", "window"
  elseif node.aggregate == "NEW" and not node.by then
    return "`first_seen` needs `by`", "say what was not seen before: `:by(\"service\", \"name\")`", "first_seen"
  elseif node.aggregate == "NEW" and node.samples_min > 0 then
    return "`first_seen` has no samples", "leave `min_samples` out", "min_samples"
  end
  return nil
end

-- A new handle that says more.
local function with(node, more)
  local copy = {}
  for key, value in pairs(node) do copy[key] = value end
  for key, value in pairs(more) do copy[key] = value end
  node.used, copy.used = true, false
  return tree.handle(copy, Window)
end

-- ---- fields --------------------------------------------------------------------------------------

--- The field that a name means: a span's own, a resource's, or an attribute.
function M.field_of(name)
  if field.SPAN[name] then return field.SPAN[name], "" end
  local resource = name:match("^resource%.(.+)$")
  if resource then return "RESOURCE", resource end
  return "ATTRIBUTE", name:match("^attributes%.(.+)$") or name
end

local function check_name(context, what, name)
  if type(name) ~= "string" or name == "" or #name > M.KEY_BYTES_MAX then
    context.fail(("`%s` takes the name of a field or an attribute"):format(what),
      ("as in `:%s(\"duration\")`"):format(what), what)
  end
end

--- The entries of `by`, from a name or a list of them: { label, field, key }. waits: what it is for waits for parents,
-- as windows do.
function M.by(context, names, waits)
  local list = {}
  if type(names) ~= "table" then names = { names } end
  for i, name in ipairs(names) do
    check_name(context, "by", name)
    if context.names then context.names.look_group(context, name) end
    local id, key = M.field_of(name)
    if id == "PARENT_SERVICE" and not waits then
      context.fail(("`%s` is known when the parent is there, and only windows wait for it"):format(name), nil, name)
    end
    list[i] = { label = name, field = id, key = key }
  end
  if #list == 0 or #list > M.BY_MAX then
    context.fail(("`by` takes one to %d fields or attributes"):format(M.BY_MAX), "as in `:by(\"service\")`", "by")
  end
  return list
end

-- ---- aggregates ----------------------------------------------------------------------------------

local function aggregate(self, what, more)
  local node = tree.self(self, what, Window)
  if node.aggregate then
    node.context.fail("a window has one aggregate", ("write another rule for `%s`"):format(what), what)
  end
  return with(node, more)
end

local function refuse_arguments(self, what, count)
  if count > 0 then tree.self(self, what, Window).context.fail(("`%s` takes nothing"):format(what), nil, what) end
end

-- The sample of an aggregate of numbers: a duration or an attribute.
local function numeric(context, what, name)
  check_name(context, what, name)
  local id, key = M.field_of(name)
  if id ~= "DURATION" and id ~= "ATTRIBUTE" and id ~= "RESOURCE" then
    context.fail(("`%s` of `%s`, which is no number"):format(what, name),
      "`duration` is one, and attributes may be", name)
  end
  return { sample = "FIELD", field = id, key = key }
end

-- Of a duration its value; of any other name what is called so on the span.
local function named(context, what, name)
  check_name(context, what, name)
  if name == "duration" and what == "sum" then return { sample = "FIELD", field = "DURATION", key = "" } end
  return { sample = "NAMED", key = name }
end

local methods = {}

function methods.count(self, ...)
  local node = tree.self(self, "count", Window)
  local sample = select("#", ...) > 0 and named(node.context, "count", (...)) or { sample = "SPAN" }
  sample.aggregate = "COUNT"
  return aggregate(self, "count", sample)
end

function methods.rate(self, ...)
  refuse_arguments(self, "rate", select("#", ...))
  return aggregate(self, "rate", { aggregate = "RATE", sample = "SPAN" })
end

function methods.sum(self, name)
  local sample = named(tree.self(self, "sum", Window).context, "sum", name)
  sample.aggregate = "SUM"
  return aggregate(self, "sum", sample)
end

for what, kind in pairs({ avg = "AVG", min = "MIN", max = "MAX" }) do
  methods[what] = function(self, name)
    local sample = numeric(tree.self(self, what, Window).context, what, name)
    sample.aggregate = kind
    return aggregate(self, what, sample)
  end
end

function methods.p(self, q, name)
  local context = tree.self(self, "p", Window).context
  if type(q) ~= "number" or not (q > 0 and q <= 100) then
    context.fail("`p` takes a percentile over 0 and up to 100", "as in `:p(95, \"duration\")`", "p")
  end
  local sample = numeric(context, "p", name)
  sample.aggregate, sample.quantile = "QUANTILE", q
  return aggregate(self, "p", sample)
end

function methods.distinct(self, name)
  local context = tree.self(self, "distinct", Window).context
  check_name(context, "distinct", name)
  if context.names then context.names.look_group(context, name) end
  local id, key = M.field_of(name)
  return aggregate(self, "distinct", { aggregate = "DISTINCT", sample = "FIELD", field = id, key = key })
end

function methods.ratio(self, ...)
  local context = tree.self(self, "ratio", Window).context
  local numerator = tree.pattern(context, "ratio", select("#", ...), ...)
  return aggregate(self, "ratio", { aggregate = "RATIO", sample = "SPAN", numerator = numerator })
end

--- A condition by itself: the first of a group that was not seen for the window's length.
function methods.first_seen(self, ...)
  refuse_arguments(self, "first_seen", select("#", ...))
  return aggregate(self, "first_seen", { aggregate = "NEW", sample = "SPAN", compare = "GE", threshold = 1 })
end

-- ---- what is compared ----------------------------------------------------------------------------

local COMPARE = { over = "GT", at_least = "GE", under = "LT", at_most = "LE" }

-- A number, or for durations text with a unit; a bare number is milliseconds then.
local function threshold(context, what, node, value)
  if node.sample == "FIELD" and node.field == "DURATION" and node.aggregate ~= "DISTINCT" then
    local ns, exact, hint, word = units.duration(value)
    if not ns then context.fail(exact, hint, word or what) end
    return tonumber(ns) + (exact and 0 or 0.5)      -- rounded down: nothing lies between
  end
  if type(value) ~= "number" or value ~= value or math.abs(value) == math.huge then
    local unit = type(value) == "string" and units.duration(value)
    context.fail(("`%s` takes a number, not `%s`"):format(what, tostring(value)),
      unit and "only durations have units" or ("as in `:%s(5)`"):format(what), what)
  end
  return value
end

local NEVER_NEGATIVE = { COUNT = true, RATE = true, DISTINCT = true, RATIO = true }

local function check_reach(context, what, node, limit)
  if not NEVER_NEGATIVE[node.aggregate] then return end
  if limit < 0 or (limit == 0 and what == "under") then
    context.fail(("`%s(%s)` can never hold, or always does"):format(what, units.decimal(math.abs(limit))),
      "it is never below 0", what)
  elseif node.aggregate == "RATIO" and (limit > 1 or (limit == 1 and what == "over")) then
    context.fail("a ratio lies between 0 and 1", "2 % is `0.02`", what)
  end
end

local function comparable(self, what)
  local node = tree.self(self, what, Window)
  if not node.aggregate then
    node.context.fail(("`%s` compares an aggregate"):format(what), ("as in `:count():%s(…)`"):format(what), what)
  elseif node.compare then
    node.context.fail("a window has one comparison", "write another rule for the other", what)
  end
  return node
end

for what, op in pairs(COMPARE) do
  methods[what] = function(self, value)
    local node = comparable(self, what)
    local limit = threshold(node.context, what, node, value)
    check_reach(node.context, what, node, limit)
    return with(node, { compare = op, threshold = limit })
  end
end

local BASELINE_KEYS = { times = 1, sigmas = 0, min_normal = 0 }          -- and what each must be over

local function check_baseline(context, what, given)
  local plain = type(given) == "table" and getmetatable(given) == nil
  for key in pairs(plain and given or {}) do plain = plain and BASELINE_KEYS[key] ~= nil end
  if not plain or (given.times == nil) == (given.sigmas == nil) then
    context.fail(("`%s` takes times or sigmas"):format(what),
      ("as in `:%s { times = 10 }` or `:%s { sigmas = 4, min_normal = 50 }`"):format(what, what), what)
  end
end

-- `{ times = 10 }` or `{ sigmas = 4 }`, perhaps with what must be normal at the least.
local function baseline_of(node, what, given)
  local context = node.context
  check_baseline(context, what, given)
  local function number(key, n)
    if type(n) == "number" and n > BASELINE_KEYS[key] and n < math.huge then return n end
    context.fail(("`%s` takes a number over %d"):format(key, BASELINE_KEYS[key]), nil, key)
  end
  local key = given.times and "times" or "sigmas"
  local least = given.min_normal
  return { baseline = key:upper(), threshold = number(key, given[key]),
           normal_min = least and number("min_normal", threshold(context, "min_normal", node, least)) }
end

for what, op in pairs({ over_baseline = "GE", under_baseline = "LE" }) do
  methods[what] = function(self, given, ...)
    local node = comparable(self, what)
    if select("#", ...) > 0 then given = nil end
    local more = baseline_of(node, what, given)
    more.compare = op
    return with(node, more)
  end
end

-- ---- the rest ------------------------------------------------------------------------------------

function methods.by(self, ...)
  local node = tree.self(self, "by", Window)
  if node.by then node.context.fail("this window has its `by` already", "write all keys into one `by`", "by") end
  local names = select("#", ...) == 1 and type((...)) == "table" and (...) or { ... }
  return with(node, { by = M.by(node.context, names, true) })
end

function methods.min_samples(self, n)
  local node = tree.self(self, "min_samples", Window)
  if type(n) ~= "number" or n < 1 or n % 1 ~= 0 or n >= 2 ^ 53 then
    node.context.fail("`min_samples` takes a whole number", "as in `:min_samples(50)`", "min_samples")
  end
  return with(node, { samples_min = n })
end

tree.seal(Window, methods, "a window", "window")

--- A node of a window that nothing is known of yet but its length in ns and its pattern.
function M.build(context, ns, pattern)
  return tree.handle({ kind = "window", context = context, ns = ns, pattern = pattern, samples_min = 0 }, Window)
end

--- The `window` of one rule file.
function M.api(context)
  return function(duration, ...)
    local ns = order.duration(context, "window", duration)
    if select("#", ...) > 1 then
      context.fail("`window` takes a duration and one pattern",
        "as in `window(\"1m\", { service = \"checkout\" })`", "window")
    end
    local given = (...)
    return M.build(context, ns, context.pattern(given == nil and {} or given, "window"))
  end
end

-- ---- for the rule --------------------------------------------------------------------------------

local function put_by(out, by)
  for _, entry in ipairs(by or {}) do out[#out + 1] = ("by %s[%q]"):format(entry.field, entry.key) end
end

--- What a window means, as text for the rule's version.
function M.meaning(node)
  local out = { "window", tostring(node.ns), node.pattern.canonical, node.aggregate, node.sample, node.field or "",
                ("%q"):format(node.key or ""), units.decimal(node.quantile or 0), node.compare,
                ("%.17g"):format(node.threshold), ("%d"):format(node.samples_min) }
  if node.baseline then out[#out + 1] = node.baseline end
  if node.normal_min then out[#out + 1] = ("normal %.17g"):format(node.normal_min) end
  if node.numerator then out[#out + 1] = node.numerator.canonical end
  put_by(out, node.by)
  return table.concat(out, " ")
end

--- What a rule makes of a window: its node, which is used from here on, and its patterns.
function M.compile(x)
  local node = tree.node(x)
  node.used = true
  return node, { node.pattern, node.numerator }
end

return M
