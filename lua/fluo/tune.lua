--- Rules under other thresholds, for `fluo tune`: what numbers a rule compares with, and the rule with one of them
-- changed, or loosened so far that every value which would be compared is told.
--
-- A comparison has: what (as the author would call it), compare ("GT" "GE" "LT" "LE"), value (durations in ms), unit
-- ("ms" or ""), whole (only whole numbers make sense), least and most (nil: no bound), set(value), loosen().
local abi = require("fluo.abi")
local plan = require("fluo.plan")
local suggest = require("fluo.suggest")
local ffi = abi.ffi

local M = {}

local WORDS = { GT = "over", GE = "at least", LT = "under", LE = "at most" }
local OPERANDS = { GT = "gt", GE = "ge", LT = "lt", LE = "le" }

local function to_ns(ms) return ffi.cast("int64_t", math.floor(ms * 1e6 + 0.5)) end

-- ---- across traces -------------------------------------------------------------------------------

local WHOLE = { COUNT = true, DISTINCT = true }

local function of_window(node)
  local ms = node.sample == "FIELD" and node.field == "DURATION" and not WHOLE[node.aggregate] and not node.baseline
  local base = node.baseline and node.baseline:lower()
  local of_normal = base and " normal, " .. base or ""
  return { what = ("window %s %s%s"):format(node.aggregate:lower(), WORDS[node.compare], of_normal),
    compare = node.compare, value = ms and node.threshold / 1e6 or node.threshold, unit = ms and "ms" or "",
    whole = WHOLE[node.aggregate] and not base or false, least = node.baseline == "TIMES" and 1 or base and 0 or nil,
    most = node.aggregate == "RATIO" and not base and 1 or nil,
    set = function(x) node.threshold = ms and x * 1e6 or x end, loosen = function() node.every = true end }
end

local function of_cascade(node)
  local function set(x) node.at_least = x end
  return { what = "cascade at_least", compare = "GE", value = node.at_least, unit = "", whole = true,
    least = 1, most = 256, set = set, loosen = function() set(1) end }
end

-- ---- conditions ----------------------------------------------------------------------------------

local METRICS = { count = "trace.count", span_count = "trace.span_count", duration = "trace.duration" }
-- What holds for any trace in which there is something to compare.
local LOOSE = { count = { "GE", 1 }, span_count = { "GE", 1 }, duration = { "GE", 0 } }

local function recompile(rule, source)
  source.canonical = rule.nodes.when.context.canonical
  source.complete, source.late = rule.complete == true, rule.late == true
  rule.compiled = plan.compile(source)
  rule.patterns = rule.compiled.patterns
end

-- By itself, and at the close, so that its value is the whole trace's.
local function loosen_node(rule, node)
  node.op, node.n, node.high = LOOSE[node.kind][1], LOOSE[node.kind][2], nil
  if node.kind == "duration" then node.n = ffi.cast("int64_t", node.n) end
  node.absent = false
  rule.complete, rule.late = nil, nil
  recompile(rule, { when = node })
  rule.compiled.early = false
end

local function of_node(rule, node)
  local ms = node.kind == "duration"
  return { what = ("%s %s"):format(METRICS[node.kind], WORDS[node.op]), compare = node.op,
    value = ms and tonumber(node.n) / 1e6 or tonumber(node.n), unit = ms and "ms" or "", whole = not ms, least = 0,
    set = function(x)
      node.n = ms and to_ns(x) or x
      recompile(rule, { when = rule.nodes.when, always = rule.nodes.always, never = rule.nodes.never })
    end,
    loosen = function() loosen_node(rule, node) end }
end

local function add_nodes(rule, node, out)
  if METRICS[node.kind] and WORDS[node.op] then out[#out + 1] = of_node(rule, node) end
  for _, part in ipairs(node.parts or {}) do add_nodes(rule, part, out) end
end

-- ---- patterns ------------------------------------------------------------------------------------

local NUMERIC = { INT = true, DOUBLE = true }

-- The spans that the pattern is about, each telling its value: a span rule of its own.
local function loosen_atom(rule, pattern, atom)
  rule.scope, rule.across, rule.compiled, rule.nodes = "SPAN", nil, nil, nil
  rule.patterns, rule.summary = { pattern }, { { field = atom.field, key = atom.key } }
  rule.complete, rule.late = nil, nil
  atom.compare, atom.values = "EXISTS", {}
end

local function of_atom(rule, pattern, atom)
  local ms, value = atom.field == "DURATION", atom.values[1]
  local n = tonumber(value.integer or value.number)
  return { what = ("%s %s"):format(ms and "duration" or atom.key, OPERANDS[atom.compare]), compare = atom.compare,
    value = ms and n / 1e6 or n, unit = ms and "ms" or "", whole = not ms and value.type == "INT",
    set = function(x)
      local exact = ms and to_ns(x) or x % 1 == 0 and ffi.cast("int64_t", x)
      atom.values = { exact and { type = "INT", integer = exact } or { type = "DOUBLE", number = x } }
    end,
    loosen = function() loosen_atom(rule, pattern, atom) end }
end

local TUNED = { DURATION = true, ATTRIBUTE = true, RESOURCE = true }

local function add_atoms(rule, pattern, node, out)
  local ordered = node.op == "atom" and OPERANDS[node.compare] and TUNED[node.field] and node.values[1]
  if ordered and NUMERIC[ordered.type] then
    out[#out + 1] = of_atom(rule, pattern, node)
  end
  if node.op == "event" or node.op == "link" then return end            -- their values are not the span's
  for _, child in ipairs(node) do add_atoms(rule, pattern, child, out) end
end

-- ---- for the loader ------------------------------------------------------------------------------

--- The comparisons of a rule that was loaded with its nodes (options.keep), in the order in which they decide.
function M.comparisons(rule)
  local list = {}
  local across = rule.across
  if across and across.at_least then list[1] = of_cascade(across)
  elseif across and across.aggregate and across.aggregate ~= "NEW" then list[1] = of_window(across) end
  for _, part in ipairs { "when", "always", "never" } do
    if rule.nodes and rule.nodes[part] then add_nodes(rule, rule.nodes[part], list) end
  end
  for _, pattern in ipairs(rule.patterns) do add_atoms(rule, pattern, pattern.ast, list) end
  return list
end

--- "tune:INDEX:VALUE:RULE"; no value: every one that would be compared is told.
function M.wish(text)
  local index, value, rule = text:match("^tune:(%d+):([^:]*):(.*)$")
  return rule and { index = tonumber(index), value = tonumber(value), rule = rule, names = {} } or nil
end

--- The rule of a wish, changed, and no other.
function M.choose(wish)
  return function(rule)
    wish.names[#wish.names + 1] = rule.name
    if rule.name ~= wish.rule then return nil end
    local comparison = M.comparisons(rule)[wish.index]
    if not comparison then return nil end
    rule.mode = "active"
    if wish.value then comparison.set(wish.value) else comparison.loosen() end
    return rule
  end
end

--- Why there is nothing to tune under this name, or nil.
function M.missing(name, names)
  for _, known in ipairs(names) do
    if known == name then return nil end
  end
  local hint = suggest.hint(name, names)
  return ("there is no rule `%s`%s"):format(name, hint and "; " .. hint or #names == 0 and ": no rule was loaded" or "")
end

return M
