--- What is legal in a rule and seldom meant. Each warning has a code (lint/allow.lua). That a rule can never fire, or
-- always does, is said only where it is proven (lint/span.lua, lint/condition.lua); the rest is a matter of judgement,
-- and of restraint: warnings that people switch off are worth nothing.
local condition = require("fluo.lint.condition")
local span = require("fluo.lint.span")

local M = {}

local KEYS = { ATTRIBUTE = true, RESOURCE = true }

-- How a thing that decided is called, and the word that has its place.
local function name_of(thing)
  if not thing or not thing.field then return nil end
  if KEYS[thing.field] then return thing.key, thing.key end
  if thing.field == "ROOT" then return "root", "root" end
  if thing.field == "EVENT_NAME" then return "name", "name" end
  local name = thing.field:lower()
  return name == "end" and "end_" or name, name == "end" and "end_" or name
end

local function because(thing)
  local name = name_of(thing)
  return name and (": what it asks of `%s` contradicts itself"):format(name) or ""
end

-- ---- patterns -----------------------------------------------------------------------------------

local NEVER_HINT = "all entries of a pattern hold on one span; alternatives are one_of { … } and any_of { … }"

-- Where the rule has the word once, there; else at its `when`.
local function at(context, word)
  return word and context.stands_once(word) and word or "when"
end

-- What is wrong with a pattern, as code, message, hint, word; nil where nothing is.
local function pattern_problem(pattern, only)
  local truth, thing = span.verdict(pattern.ast)
  local dead, why
  if truth == nil then dead, why = span.dead_alternative(pattern.ast) end
  if truth ~= false and not dead or span.has_unordered(pattern.ast) then return nil end
  local _, word = name_of(thing)
  if truth == false then
    return only and "never-fires" or "never-matches", ("no span can match %s%s"):format(
      only and "this pattern" or "`" .. pattern.label .. "`", because(thing)), NEVER_HINT, word
  end
  _, word = name_of(why)
  return "never-matches", "an alternative of this pattern matches no span" .. because(why), NEVER_HINT, word
end

local function look_at_functions(context, pattern)
  if pattern.functions > 0 and not span.is_guarded(pattern.ast) then
    context.warn("unguarded-function", "this function runs for every span that arrives",
      "ask in the table for what it needs first, as in { name = prefix \"http\", where = function(span) … end }",
      at(context, "where"))
  end
end

-- true where a pattern can match nothing.
local function look_at_patterns(context, rule)
  local dead = false
  for _, pattern in ipairs(rule.patterns) do
    local code, message, hint, word = pattern_problem(pattern, rule.scope == "SPAN")
    if code then context.warn(code, message, hint, at(context, word)) end
    dead = dead or span.verdict(pattern.ast) == false
    look_at_functions(context, pattern)
  end
  return dead
end

-- ---- whole rules --------------------------------------------------------------------------------

local function look_at_span_rule(context, rule)
  look_at_patterns(context, rule)
  if span.verdict(rule.patterns[1].ast) == true then
    context.warn("always-fires", "this rule fires for every span",
      "ask for something, as in { status = \"ERROR\" }", "when")
  end
end

local CLOSED = "a trace holds at most %d spans (trace.spans_max)"

local function look_at_verdict(context, rule, limits)
  local truth, thing = condition.verdict(rule.nodes, {})
  local label = thing and (": what it asks of `%s` sees to that"):format(thing.label) or ""
  if truth == true then
    context.warn("always-fires", "this rule fires for every trace" .. label,
      "a match is a violation: say what must not be", "when")
  elseif truth == false then
    context.warn("never-fires", "this rule can never fire" .. label, "what it asks contradicts itself", "when")
  elseif limits.spans_max and condition.verdict(rule.nodes, limits) == false then
    context.warn("never-fires", "this rule can never fire: " .. CLOSED:format(limits.spans_max),
      "ask for fewer, or raise trace.spans_max", "when")
  end
end

-- Words of a duty, and words that say that it was neglected.
local DUTY = { "must", "should", "always", "requires?", "required", "has to", "have to", "needs? to", "needs?" }
local NEGLECT = { "not", "never", "no", "nobody", "nothing", "without", "missing", "lacks?", "fails?", "failed",
                  "cannot", "only", "but", "although", "despite", "forbidden", "skips?", "skipped",
                  "instead", "unless" }

local function says(text, words)
  for _, word in ipairs(words) do
    if text:find("%f[%w]" .. word .. "%f[%W]") then return true end
  end
  return false
end

local TOGETHER = { ["and"] = true, followed = true }

local function look_at_description(context, rule)
  local when = rule.nodes.when
  while when.kind == "within" do when = when.parts[1] end
  local text = (rule.description or ""):lower()
  if rule.nodes.always or rule.nodes.never or not TOGETHER[when.kind] or rule.nodes.when.absent then return end
  if says(text, DUTY) and not says(text, NEGLECT) and not text:find("n't", 1, true) then
    context.warn("reads-as-invariant", "the description says what must be, and this rule fires when it is",
      "a match is a violation: what must be stands in always = trace.has { … }, or is asked for as trace.missing",
      "description")
  end
end

local function look_at_times(context, rule, limits)
  local longest = limits.max_age_ns
  if not longest then return end
  local function look(node)
    local ns = node.ns or node.within
    if ns and ns > longest then
      context.warn("long-within", ("a trace is closed %g s after its first span (trace.max_age), before this is over")
        :format(longest / 1e9), "what arrives later is not seen; a sequence spans traces", "within")
    end
  end
  for _, name in ipairs { "when", "always", "never" } do
    if rule.nodes[name] then condition.walk(rule.nodes[name], look) end
  end
end

local function look_at_trace_rule(context, rule, limits)
  local dead = look_at_patterns(context, rule)
  if not dead or condition.verdict(rule.nodes, {}) == true then look_at_verdict(context, rule, limits) end
  look_at_description(context, rule)
  look_at_times(context, rule, limits)
  if condition.is_unguarded(rule.nodes) then
    context.warn("unguarded-function", "this function is asked about every trace, and all attributes are kept for it",
      "put a condition before it that lets few traces through: trace.has { … } * trace.satisfies(…)", "satisfies")
  end
end

local function look_at_labels(context, rule)
  for _, label in ipairs(rule.labels) do
    if label.value:find("{%a[%w_.]*}") then
      context.warn("label-template",
        ("the label `%s` is kept as it stands: labels are no templates"):format(label.name),
        "`summary` and log \"…\" are templates", label.name)
    end
  end
end

--- Looks at a rule without errors. limits: { max_age_ns, spans_max } of the traces, as far as they are known.
function M.look(context, rule, limits)
  if rule.scope == "SPAN" then look_at_span_rule(context, rule)
  elseif rule.scope == "TRACE" then look_at_trace_rule(context, rule, limits)
  else look_at_patterns(context, rule) end
  look_at_labels(context, rule)
end

return M
