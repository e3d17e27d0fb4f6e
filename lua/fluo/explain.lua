--- Why a rule fired on a trace, or did not: `fluo explain`.
--
-- The rule process of a study that explains (core/explain.c) loads one rule alone, changed into one that is judged on
-- every trace, once, when it closes: choose. On such a trace its worker has what any worker has: the hits that the
-- core found, and the judge. What a part of the rule comes to is what the judge says of that part by itself
-- (plan.parts, judge.value), what an entry of a pattern comes to is what the core's matcher says (explain/entries.lua).
-- So an explanation cannot disagree with a verdict. What is made here are only the words for it, and near misses: the
-- same part with other bounds, judged again.
--
-- An explanation is plain data, which explain/report.lua writes:
--   rule, trace_id, scope, mode, truth, spans, services, duration, roots, orphans, notes
--   parts    nodes: one each of when, always, never, as `part` says
-- and a node, of whichever form a rule is written in:
--   kind, text, truth ("true" "false" "unknown")
--   found    what was there, and by how little it was missed
--   hints    what may help
--   spans    some that it stands for, and count, how many
--   nearest  spans that nearly satisfy the pattern, with its entries (explain/entries.lua)
--   alone    it is judged by itself, without what stands around it
--   parts    nodes that it is made of
local chains = require("fluo.explain.order")
local entries = require("fluo.explain.entries")
local groups = require("fluo.explain.groups")
local judge = require("fluo.judge")
local plan = require("fluo.plan")
local report = require("fluo.explain.report")
local score = require("fluo.explain.score")
local sets = require("fluo.explain.sets")
local span = require("fluo.explain.span")
local spans = require("fluo.spans")
local suggest = require("fluo.suggest")
local words = require("fluo.explain.words")

local M = {}

local NODES_MAX, SPANS_SHOWN = 200, 3
local TRACES_SHOWN = 3                                    -- what the core keeps: LIMIT_EXPLAINED

-- ---- loading ------------------------------------------------------------------------------------

--- "FORM:TRACE:RULE", as the core writes it.
function M.wish(text)
  local form, trace, rule = text:match("^(%w+):(%x*):(.*)$")
  return { form = form, trace = trace, rule = rule, names = {} }
end

local function has(pattern) return { kind = "has", pattern = pattern, depth = 0, terms = 1, spans = true } end

-- What a window or a sequence wants of spans: all that one trace can show.
local function across_source(rule)
  local parts, terms = {}, 0
  for i, pattern in ipairs(rule.patterns) do parts[i], terms = has(pattern), terms + 1 end
  return { when = { kind = "or", parts = parts, depth = 1, terms = terms } }
end

local function adapt(rule)
  local across = rule.across
  local source = rule.nodes or across and across_source(rule) or { when = has(rule.patterns[1]) }
  local compiled = rule.compiled or plan.compile(source)
  rule.explained = { scope = rule.scope:lower(), mode = rule.mode, late = rule.late, early = compiled.early,
                     across = across and (across.at_least and "cascade" or across.kind),
                     wanted = across and groups.wanted(across) or {}, source = source }
  compiled.gate, compiled.early, compiled.payloads, compiled.structure = { { op = "TRUE" } }, false, true, false
  compiled.late = false
  rule.scope, rule.mode, rule.across, rule.compiled, rule.patterns = "TRACE", "active", nil, compiled, compiled.patterns
  return rule
end

--- For the loader: the rule of a wish, changed so that it can be explained, and no other.
function M.choose(wish)
  return function(rule)
    wish.names[#wish.names + 1] = rule.name
    return rule.name == wish.rule and adapt(rule) or nil
  end
end

--- Once all is loaded: why there is nothing to explain, or nil.
function M.missing(wish)
  for _, name in ipairs(wish.names) do
    if name == wish.rule then return nil end
  end
  local hint = suggest.hint(wish.rule, wish.names)
  return ("there is no rule %s%s"):format(words.name(wish.rule), hint and "; " .. hint
    or #wish.names == 0 and ": no rule was loaded" or "")
end

-- ---- a node -------------------------------------------------------------------------------------

local Explainer = {}
Explainer.__index = Explainer

local describe = {}

--- What a node comes to by itself.
function Explainer:value(node) return judge.value(self.run, self:plan(node)) end

function Explainer:plan(node)
  self.plans[node] = self.plans[node] or self.part(node)
  return self.plans[node]
end

--- The same node with other fields: judged, and forgotten. Its value, and what its search found.
function Explainer:changed(node, fields)
  local copy = {}
  for key, value in pairs(node) do copy[key] = value end
  for key, value in pairs(fields) do copy[key] = value end
  local made = self.part(copy)
  self.breathe()
  return judge.value(self.run, made), judge.found(self.run, made)
end

--- What the search of a chain that holds has found.
function Explainer:found(node) return judge.found(self.run, self:plan(node)) end

--- The spans that a node stands for, for sure, in start order.
function Explainer:members(node)
  local made = self:plan(node)
  return made.set and spans.members(self.run, made.set, spans.SURE) or {}
end

--- Some spans of a list, and how many they are.
local function show(out, list)
  out.count, out.spans = #list, #list > 0 and {} or nil
  for i = 1, math.min(#list, SPANS_SHOWN) do out.spans[i] = span.data(list[i]) end
end

local function truth_text(truth) return truth == nil and "unknown" or tostring(truth) end

-- Why nobody knows.
function Explainer:doubt(node)
  local view = self.run.view
  if view.cut then return "the trace was cut: what is not there may have been lost" end
  if spans.unsure(self.run) then return "complete = true, and the trace lacks its root or has an orphan" end
  if node.kind == "satisfies" then
    return self.run.failures[1] and "the function gave no answer: " .. words.quote(self.run.failures[1])
      or "the function gave no answer"
  end
  local slots = node.pattern and view.unknown(self.run.ids[self:plan_slot(node)]) or 0
  if slots > 0 then
    return ("of %s nobody knows: a function threw or was shed, or a regular expression went beyond its limit"):format(
      words.counted(slots, "span"))
  end
  if span.tree().orphans > 0 then return "it hangs on a parent that has not arrived" end
  return "a part of it is unknown, or its search was given up"
end

function Explainer:plan_slot(node)
  local made = self:plan(node)
  return made.slot or made.set.slot
end

--- A node of a condition, explained.
function Explainer:node(node, alone)
  self.nodes = self.nodes + 1
  self.breathe()
  local truth = self:value(node)
  local out = { kind = node.kind, text = words.condition(node), truth = truth_text(truth), hints = {} }
  out.alone = alone and node.kind ~= "has" or nil         -- that is the same wherever it stands
  describe[node.kind](self, node, out, truth)
  if truth == nil then out.hints[#out.hints + 1] = self:doubt(node) end
  if #out.hints == 0 then out.hints = nil end
  return out
end

--- Its parts, each by itself where `alone`.
function Explainer:parts(out, list, alone)
  for i, part in ipairs(list) do
    if self.nodes >= NODES_MAX then
      out.more_parts = #list - i + 1
      break
    end
    out.parts = out.parts or {}
    out.parts[i] = self:node(part, alone)
  end
end

-- ---- patterns -----------------------------------------------------------------------------------

function Explainer:entries_of(node) return self.entries[self:plan_slot(node)] end
function Explainer:hits(node) return self.run.view.hits(self.run.ids[self:plan_slot(node)]) end
function Explainer:duration() return judge.duration(self.run) end
function Explainer.show(_, out, list) show(out, list) end

-- The nearest spans that are none, unless the outline has to do.
function Explainer:nearest(node, out, hits, eager)
  if self.outline then return end
  local shown, partly = entries.nearest(self.run.view, self:entries_of(node), hits, self.breathe, eager)
  out.nearest = #shown > 0 and shown or nil
  if partly then out.hints[#out.hints + 1] = "the trace is large: the nearest of its first spans" end
end

function describe.has(self, node, out, truth)
  local list = self:members(node)
  show(out, list)
  out.hints[1] = groups.hint(self.rule.explained.wanted, list, self.breathe)
  if not truth then self:nearest(node, out, list, true) end
end

function describe.missing(self, node, out, truth)
  local list = self:hits(node)
  show(out, list)
  if truth then self:nearest(node, out, list) end
end

function describe.all(self, node, out, truth)
  local list = self:hits(node)
  out.found = ("%d of %s"):format(#list, words.counted(self.run.view.n, "span"))
  if not truth then self:nearest(node, out, list, true) end
end

-- ---- figures ------------------------------------------------------------------------------------

function describe.count(self, node, out, truth)
  if node.within then return chains.count(self, node, out, truth) end
  local list = self:members(node.parts[1])
  out.found = ("%d; it asks for %s"):format(#list, words.compared(node, function(n) return ("%d"):format(n) end))
  self:parts(out, node.parts, true)
end

function describe.duration(self, _, out) out.found = "it took " .. words.time(self:duration()) end

function describe.span_count(self, _, out) out.found = "it has " .. words.counted(self.run.view.n, "span") end

-- By how much it was missed nobody knows but the function.
function describe.satisfies() end

-- ---- what joins ---------------------------------------------------------------------------------

local function joined(self, node, out) self:parts(out, node.parts) end
describe["and"], describe["or"], describe["not"] = joined, joined, joined

for kind, how in pairs(chains.describe) do describe[kind] = how end
for kind, how in pairs(sets.describe) do describe[kind] = how end

-- ---- a trace ------------------------------------------------------------------------------------

local function add(notes, format, ...) notes[#notes + 1] = format:format(...) end

local function note_orphans(notes, view)
  local tree = span.tree()
  if tree.orphans == 0 then return end
  for i = 0, view.n - 1 do
    if tree.orphan[i] then
      return add(notes, "%s, whose parent has not arrived, the first being %s (parent %s)",
        words.counted(tree.orphans, "orphan"), span.text(i), tostring(span.value(i, "PARENT_ID")))
    end
  end
end

local MODES = { off = "mode = \"off\": the rule is not judged at all",
                shadow = "mode = \"shadow\": a violation is counted and printed, and nobody is told" }

function Explainer:notes()
  local notes, view, rule = {}, self.run.view, self.rule.explained
  if MODES[rule.mode] then add(notes, "%s", MODES[rule.mode]) end
  if rule.across then
    add(notes, "a %s goes across traces: here is what it sees of this one, and not whether it fired", rule.across)
  end
  if view.cut then
    add(notes, "the trace was cut, by trace.max_age, a cap or for memory: absences that nothing disproved are unknown")
  end
  if rule.scope == "trace" and not rule.early then
    add(notes, "more spans could undo this rule: it is decided when the trace closes, trace.idle after the last span")
  end
  if rule.late then add(notes, "late = true: spans that came after the close are not among these") end
  note_orphans(notes, view)
  return notes
end

local PARTS = { "when", "always", "never" }

function Explainer:all()
  local list = {}
  for _, part in ipairs(PARTS) do
    local node = self.rule.explained.source[part]
    if node then
      list[#list + 1] = self:node(node)
      list[#list].part = part
    end
  end
  return list
end

local function services_of(view)
  local names, seen = {}, {}
  for i = 0, view.n - 1 do
    local name = span.value(i, "SERVICE")
    if name and not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

-- What the judge says; of a rule that goes across traces it says nothing.
function Explainer:truth()
  if self.rule.explained.across then return nil end
  return judge.value(self.run, self.compiled.whole)
end

-- Those on which it fired come first, then those of which nobody knows.
function Explainer:near()
  local truth = self:truth()
  if truth then return 3 end
  return (truth == nil and 1 or 0) + score.of(self, self.rule.explained.source.when)
end

function Explainer:explanation()
  local view, rule = self.run.view, self.rule.explained
  return {
    rule = self.rule.name, trace_id = span.value(0, "TRACE_ID"), scope = rule.scope, mode = rule.mode,
    truth = truth_text(self:truth()), spans = view.n, services = services_of(view), duration = self:duration(),
    roots = span.tree().roots, orphans = span.tree().orphans, notes = self:notes(), parts = self:all(),
  }
end

local function prefix_matches(trace_id, prefix)
  for i = 1, #prefix do
    local byte = trace_id[math.floor((i - 1) / 2)]
    local digit = i % 2 == 1 and math.floor(byte / 16) or byte % 16
    if tonumber(prefix:sub(i, i), 16) ~= digit then return false end
  end
  return true
end

local function make(rule, breathe)
  local compiled, budget, of_slot = rule.compiled, entries.budget(), {}
  local part, plans = plan.parts(rule.explained.source), {}
  for slot, pattern in ipairs(compiled.patterns) do of_slot[slot] = entries.of(pattern, budget) end
  return function(view, outline)
    span.open(view)
    return setmetatable({ rule = rule, compiled = compiled, part = part, plans = plans, entries = of_slot, nodes = 0,
                          breathe = breathe, outline = outline, run = judge.look(view, compiled) }, Explainer)
  end
end

--- Where the arena is, once a process.
function M.attach(base) span.attach(base) end

-- Whether a trace is among the nearest so far. What a worker forgets when it is replaced it explains in vain: the
-- core keeps the same ones.
local function is_near(best, near)
  if #best == TRACES_SHOWN and near <= best[TRACES_SHOWN] then return false end
  local at = #best + 1
  while at > 1 and best[at - 1] < near do at = at - 1 end
  table.insert(best, at, near)
  best[TRACES_SHOWN + 1] = nil
  return true
end

--- Makes the rule of a wish ready: evaluator(view) -> truth, result, failures, as judge.prepare's. Of a trace that
-- was wished for the truth is true, the value how near it came, the reason its explanation; empty where others came
-- nearer. breathe: called now and then, to show that this is no endless loop.
function M.prepare(rule, wish, breathe)
  local open, best = nil, {}
  local write = report[wish.form]
  return function(view)
    if not prefix_matches(view.trace_id, wish.trace) then return false end
    open = open or make(rule, breathe)                    -- in the worker: filters are made there
    local explainer, text = open(view), nil
    local near = explainer:near()
    if is_near(best, near) then
      text = write(explainer:explanation())
      if #text > M.BYTES_MAX then text = write(open(view, true):explanation()) end
    end
    return true, { witnesses = {}, reason = text, value = near, threshold = 0 }, explainer.run.failures
  end
end

--- What fits a reply (fluo.h); what would be longer is an outline, without nearest spans.
M.BYTES_MAX = 65536

return M
