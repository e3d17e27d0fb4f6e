--- `assert.fires` and `assert.silent`: what is expected of the violations of a test, and what is said when it
-- is not so.
local build = require("fluo.testing.build")
local suggest = require("fluo.suggest")

local M = {}

-- What an expectation compares, besides count, spans and trace: members of a violation.
local MEMBERS = { "reason", "summary", "severity", "scope", "value", "threshold", "span_total", "shadow", "late",
                  "estimated", "labels", "causes_total", "impact_total", "baseline", "baseline_state",
                  "baseline_seasonal" }
--- What may stand in the table of `assert.fires`; that of `assert.silent` takes `trace` alone.
M.FIRES_KEYS = { "count", "spans", "trace", "cause", "impact", "chain", unpack(MEMBERS) }
M.SILENT_KEYS = { "trace" }

-- ---- how things are shown -----------------------------------------------------------------------

local function show(value)
  if type(value) ~= "table" then return type(value) == "string" and ("%q"):format(value) or tostring(value) end
  local keys, pieces = {}, {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, key in ipairs(keys) do pieces[i] = ("%s = %s"):format(tostring(key), show(value[key])) end
  return "{ " .. table.concat(pieces, ", ") .. " }"
end

local function names_of(spans)
  local names = {}
  for i, span in ipairs(spans) do names[i] = build.is_span(span) and span.name or span end
  return #names > 0 and table.concat(names, ", ") or "none"
end

local function witnesses(v)
  local names = {}
  for i, span in ipairs(v.spans or {}) do names[i] = span.name end
  return names_of(names)
end

local function line(v)
  local trace = v.trace_id and (" in trace %s"):format(v.trace_id:gsub("^0+", "")) or ""
  local reason = v.reason and ("; reason: %s"):format(v.reason) or ""
  return ("%s%s; spans: %s%s"):format(v.rule, trace, witnesses(v), reason)
end

--- The violations, one a line; said below every failure.
function M.fired(violations)
  if #violations == 0 then return "no rule fired" end
  local lines = {}
  for i, v in ipairs(violations) do lines[i] = (i == 1 and "fired: " or "       ") .. line(v) end
  return table.concat(lines, "\n  ")
end

-- ---- comparing ----------------------------------------------------------------------------------

-- Witnesses in the order of a violation, each by name or as the span itself.
local function spans_equal(expected, found)
  if #expected ~= #found then return false end
  for i, span in ipairs(expected) do
    local same = build.is_span(span) and span.span_id == found[i].span_id or span == found[i].name
    if not same then return false end
  end
  return true
end

local function equal(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do
    if not equal(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

-- Spans, by name or as themselves, in what a violation has under a key.
local function differ(list, key, expected, found)
  if expected == nil or spans_equal(expected, found) then return end
  local names = {}
  for i, span in ipairs(found) do names[i] = span.name end
  list[#list + 1] = ("%s: expected %s, got %s"):format(key, names_of(expected), names_of(names))
end

-- A cascade's chain: what each link is told apart by, of what it began with the name.
local function links_of(v)
  local list = {}
  for i, link in ipairs(v.chain or {}) do list[i] = { name = select(2, next(link.distinct or {})) or link.name } end
  return list
end

-- What of a violation is not as expected, as texts.
local function differences(expected, v)
  local list = {}
  if expected.trace and expected.trace.trace_id ~= v.trace_id then
    list[#list + 1] = "trace: it is another one"
  end
  differ(list, "spans", expected.spans, v.spans or {})
  differ(list, "cause", expected.cause and { expected.cause }, { v.cause })
  differ(list, "impact", expected.impact, v.impact or {})
  differ(list, "chain", expected.chain, links_of(v))
  for _, key in ipairs(MEMBERS) do
    local got = v[key]
    if type(expected[key]) == "boolean" then got = got or false end
    if expected[key] ~= nil and not equal(expected[key], got) then
      list[#list + 1] = ("%s: expected %s, got %s"):format(key, show(expected[key]), show(got))
    end
  end
  return list
end

local function unmatched(rule, near)
  if not near then return ("rule `%s` did not fire"):format(rule) end
  return ("rule `%s` fired, but not as expected\n  %s"):format(rule, table.concat(near, "\n  "))
end

--- Whether a rule fired as expected: nil, or what is wrong.
function M.fires(violations, rule, expected)
  local matching, near = 0, nil
  for _, v in ipairs(violations) do
    if v.rule == rule then
      local list = differences(expected, v)
      if #list == 0 then matching = matching + 1
      elseif not near or #list < #near then near = list end
    end
  end
  if expected.count and matching ~= expected.count then
    return ("rule `%s`: expected %d violations, got %d"):format(rule, expected.count, matching)
  end
  if matching == 0 and expected.count ~= 0 then return unmatched(rule, near) end
end

--- Whether a rule (nil: every rule) kept silent, in one trace or in all: nil, or what is wrong.
function M.silent(violations, rule, expected)
  for _, v in ipairs(violations) do
    local here = not expected.trace or expected.trace.trace_id == v.trace_id
    if here and (not rule or v.rule == rule) then return ("rule `%s` fired"):format(v.rule) end
  end
end

-- ---- arguments ----------------------------------------------------------------------------------

--- What is wrong with the arguments of an assertion, or nil: an unknown rule, an unknown key.
function M.misuse(rule, expected, keys, names)
  if rule ~= nil and type(rule) ~= "string" then return "the name of a rule is text, not a " .. type(rule) end
  local known = {}
  for _, name in ipairs(names) do known[name] = true end
  if rule and not known[rule] then
    return ("there is no rule `%s`; %s"):format(rule, suggest.expected(rule, names))
  end
  if type(expected) ~= "table" then return "what is expected is a table, as in { spans = { \"a\", \"b\" } }" end
  local allowed = {}
  for _, key in ipairs(keys) do allowed[key] = true end
  for key in pairs(expected) do
    if not allowed[key] then
      return ("`%s` cannot be expected; %s"):format(tostring(key), suggest.expected(tostring(key), keys))
    end
  end
  if expected.trace ~= nil and not build.is_trace(expected.trace) then
    return "`trace` is what `trace { … }` gave"
  end
  for _, key in ipairs { "spans", "impact", "chain" } do
    if expected[key] ~= nil and type(expected[key]) ~= "table" then
      return ("`%s` is a list of names, or of what `span { … }` gave"):format(key)
    end
  end
end

return M
