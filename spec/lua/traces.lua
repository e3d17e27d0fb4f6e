--- Small traces and rules for the specs of trace conditions.
local condition = require("fluo.condition")
local judge = require("fluo.judge")
local M = {}

--- Times of the specs are ns from here: far past 2^53, so that a double would lose them.
M.BASE = 2LL ^ 60

-- Patterns of the specs are tables { name = "a" } and hit the spans of that name.
local context = { conditions = {}, canonical = function(pattern) return pattern.label end }
function context.fail(message, hint, word) error({ message = message, hint = hint, word = word }, 0) end
function context.authored() return true end
function context.label() return "function(t) … end" end
function context.warn(code, message, hint, word)
  context.warnings = context.warnings or {}
  table.insert(context.warnings, { code = code, message = message, hint = hint, word = word })
end
function context.built(c) context.conditions[#context.conditions + 1] = c end
function context.pattern(x)
  if type(x) ~= "table" or not x.name then context.fail("no pattern") end
  return { label = x.name, name = x.name }
end
function context.operand(x)
  if type(x) == "table" then return x end
  return { op = "EQ", n = x }
end
M.context = context
M.trace = condition.api(context)

--- One pattern for each name, the same wherever it stands.
function M.shared()
  local patterns = {}
  local own = setmetatable({}, { __index = context })
  function own.pattern(x)
    patterns[x.name] = patterns[x.name] or { label = x.name, name = x.name }
    return patterns[x.name]
  end
  return condition.api(own)
end

local function id_of(number) return ("%08d"):format(number) end

local function sorted(list, view)
  table.sort(list, function(a, b)
    if view.start(a) ~= view.start(b) then return view.start(a) < view.start(b) end
    return view.id(a) < view.id(b)
  end)
  return list
end

--- A view of spans { name, start, parent = index, orphan = true, dur =, id = } (start in ns from BASE);
-- spans without a parent are roots. names[pattern id] says what a pattern hits; `unknown` maps names to
-- how many answers are unknown.
function M.view(spans, options, names)
  options = options or {}
  local view = { n = #spans, closing = options.closing ~= false, cut = options.cut == true,
                 startup = options.startup == true, facts = {} }
  local function id(i) return spans[i + 1].id or id_of(i) end
  view.id = id
  function view.start(i) return M.BASE + spans[i + 1][2] end
  function view.end_(i) return view.start(i) + (spans[i + 1].dur or 0) end
  function view.parent(i)
    local span = spans[i + 1]
    if span.orphan then return "nowhere!" end
    return span.parent and id(span.parent) or nil
  end
  function view.hits(pattern)
    local list = {}
    for i, span in ipairs(spans) do
      if span[1] == names[pattern] then list[#list + 1] = i - 1 end
    end
    return sorted(list, view)
  end
  function view.satisfies(fn)
    local good, result = pcall(fn, view)
    if not good then return nil, result end
    return result and true or false
  end
  function view.unknown(pattern) return (options.unknown or {})[names[pattern]] or 0 end
  return view
end

local function prepare(parts)
  if condition.is(parts) then parts = { when = parts } end
  local compiled, names = condition.compile(parts), {}
  for slot, pattern in ipairs(compiled.patterns) do
    pattern.id = slot + 9
    names[slot + 9] = pattern.name or pattern.label
  end
  return compiled, names
end

--- The core's test of a gate, on a trace.
function M.gate_open(compiled, view)
  local plan, stack = require("fluo.plan"), {}
  local function measure(leaf)
    if leaf.op == "HITS" then return #view.hits(leaf.pattern.id) end
    if leaf.op == "SPANS" then return view.n end
    local first, last = view.start(0), view.end_(0)
    for i = 1, view.n - 1 do
      if view.start(i) < first then first = view.start(i) end
      if view.end_(i) > last then last = view.end_(i) end
    end
    return last - first
  end
  for _, entry in ipairs(compiled.gate) do
    local value = true
    if entry.op == "AND" or entry.op == "OR" then
      value = entry.op == "AND"
      for _ = 1, entry.n do
        local part = table.remove(stack)
        if entry.op == "AND" then value = value and part else value = value or part end
      end
    elseif entry.op ~= "TRUE" then
      value = plan.holds(measure(entry), entry.compare, entry.n)
    end
    stack[#stack + 1] = value
  end
  assert(#stack == 1)
  return stack[1]
end

-- A trace with a span of each name, and one more: what a judgment of it has found out says nothing of the next trace.
local function other_view(names)
  local spans = { { "of another trace", 0 } }
  for _, name in pairs(names) do spans[#spans + 1] = { name, #spans } end
  local view = M.view(spans, nil, names)
  view.satisfies = function() return true end
  return view
end

--- Judges a condition, or { when, always, never, complete }, on spans: truth, result, compiled, failures.
-- A gate that closes on a violation fails the spec that judged it.
function M.judge(parts, spans, options)
  local compiled, names = prepare(parts)
  local view, evaluator = M.view(spans, options, names), judge.prepare(compiled)
  evaluator(other_view(names))
  local truth, result, failures = evaluator(view)
  assert(truth ~= true or M.gate_open(compiled, view), "the gate was closed on a violation")
  return truth, result, compiled, failures
end

--- true, false or "unknown".
function M.truth(...)
  local truth = M.judge(...)
  if truth == nil then return "unknown" end
  return truth
end

--- The error that a function raises: { message, hint, word }.
function M.error_of(build)
  local ok, why = pcall(build)
  assert(not ok, "it was accepted")
  return why
end

return M
