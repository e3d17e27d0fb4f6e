--- What a rule, and a spec of one, sees: names, types, and a line on each. The editor stubs are made from this
-- table (cli/stubs.lua), and a spec compares it with what is really there. Lua's own names are left out.
--   globals   { name, type, text }; where = "spec": only specs have it
--   classes   { name, text, each member { name, type, text }; lines = what else their stub says }
-- Types are written as lua-language-server reads them.
local P, C = "fluo.AnyPattern", "fluo.Condition"
local SPANS = "fun(self: fluo.TraceSpan): fluo.TraceSpan[]"

local M = {}

M.aliases = {
  { "fluo.Value", "string|number|boolean", "A plain value: equality." },
  { "fluo.Match", "fluo.Value|fluo.Operand|fun(value: any): any", "What a field of a pattern is compared with." },
  { "fluo.Duration", "string|number", "\"300ms\", \"5s\" …; a bare number is milliseconds." },
  { P, "fluo.Pattern|fluo.Operand|fun(span: fluo.Span): any", "A table, a combination of patterns, or a function." },
}

M.globals = {
  { "rule", "fun(name: string): fun(rule: fluo.Rule)", "Declares a rule: rule \"name\" { when = … }." },
  { "trace", "fluo.TraceApi", "Conditions over one trace; in a spec, what sends one: trace { span { … } }." },
  { "window", ("fun(duration: fluo.Duration, pattern?: %s): fluo.Window"):format(P),
    "What many spans add up to: window(\"1m\", { … }):by(\"service\"):count():over(5)." },
  { "query", "fun(text: string): fluo.Window", "A window in words: query \"sum(api_calls) > 10000 during 1m\"." },
  { "sequence", "fun(sequence: table): fluo.Sequence",
    "Steps across traces: sequence { by = \"order.id\", within = \"30s\", { … }, not_ { … } }." },
  { "log", "fun(template: string): fluo.Action", "An action: writes a line. The default action." },
  { "eq", "fun(value: fluo.Value): fluo.Operand", "Is equal: 500 is also \"500\" and 500.0." },
  { "ne", "fun(value: fluo.Value): fluo.Operand", "Is there and not equal." },
  { "gt", "fun(value: fluo.Value): fluo.Operand", "Is greater." },
  { "ge", "fun(value: fluo.Value): fluo.Operand", "Is greater or equal." },
  { "lt", "fun(value: fluo.Value): fluo.Operand", "Is less." },
  { "le", "fun(value: fluo.Value): fluo.Operand", "Is less or equal." },
  { "between", "fun(low: fluo.Value, high: fluo.Value): fluo.Operand", "Lies between, both ends included." },
  { "one_of", "fun(values: fluo.Value[]): fluo.Operand", "Is one of these." },
  { "none_of", "fun(values: fluo.Value[]): fluo.Operand", "Is there and none of these." },
  { "contains", "fun(text: string): fluo.Operand", "Is text that contains this." },
  { "prefix", "fun(text: string): fluo.Operand", "Is text that begins with this." },
  { "suffix", "fun(text: string): fluo.Operand", "Is text that ends with this." },
  { "glob", "fun(pattern: string): fluo.Operand", "Is text that matches whole; * is any run." },
  { "matches", "fun(regex: string): fluo.Operand", "Is text that a regular expression matches from end to end." },
  { "strict", "fun(value: fluo.Value): fluo.Operand", "Is equal and of that type: strict(500) is not \"500\"." },
  { "exists", "fluo.Operand", "Is there. Written bare." },
  { "missing", "fluo.Operand", "Is not there. Written bare." },
  { "any_of", ("fun(patterns: %s[]): fluo.Operand"):format(P), "One of these holds, on one span." },
  { "all_of", ("fun(patterns: %s[]): fluo.Operand"):format(P), "All of these hold, on one span." },
  { "not_", ("fun(pattern: %s): fluo.Operand"):format(P), "The pattern does not hold." },
  { "span", "fun(span: fluo.BuiltSpan): fluo.BuiltSpan", "A span of a test; spans in it are its children.",
    where = "spec" },
  { "clock", "fluo.Clock", "The virtual clock of a test.", where = "spec" },
  { "replay", "fun(file: string)", "Recorded OTLP beside the spec, instead of built traces.", where = "spec" },
}

local function bound(what)
  return "fun(self: fluo.Window, limit: number|string): fluo.Window", what .. " A duration takes \"300ms\"."
end

local function baseline(what)
  return "fun(self: fluo.Window, by: { times?: number, sigmas?: number }): fluo.Window",
    what .. " than is normal for the group, by so many times, or spreads."
end

local function total(of, what)
  return ("fun(self: fluo.Window%s): fluo.Window"):format(of), what
end

local function compare(what)
  return ("fun(self: fluo.Count, n: integer): %s"):format(C), what
end

M.classes = {
  { "fluo.Operand", "What a field is compared by: gt \"300ms\"." },
  { "fluo.Action", "What happens at a violation." },
  { "fluo.Rule", "What a rule says.",
    { "description", "string?", "What it is about, for people." },
    { "severity", '"low"|"medium"|"high"|"critical"|nil', "medium is the default." },
    { "when", ("%s|%s|fluo.Window|fluo.Sequence"):format(C, P), "What is a violation." },
    { "always", C .. "?", "An invariant: broken where this does not hold in a trace that `when` selects." },
    { "never", C .. "?", "An invariant: broken where this holds in a trace that `when` selects." },
    { "actions", "(fluo.Action|string)[]?", "Actions, or their names; log by default." },
    { "mode", '"active"|"shadow"|"off"|nil', "shadow: evaluated and counted, without actions." },
    { "summary", "string?", "A template: \"{service}: {span.name}\"." },
    { "labels", "table<string, string>?", "Free texts that go with a violation." },
    { "late", "boolean?", "Judge a closed trace again when late spans come." },
    { "complete", "boolean?", "An absence is unknown unless the trace has its root and no orphan." },
    { "group_by", "string|string[]|nil", "Of incidents." },
    { "pending_for", "fluo.Duration?", "Of incidents." },
    { "keep_firing_for", "fluo.Duration?", "Of incidents." },
    { "cooldown", "fluo.Duration?", "Of incidents." },
    { "resolve_after", "fluo.Duration?", "Of incidents." },
    { "resolve_when", "any", "Of incidents." },
    { "m_of_n", "any", "Of incidents." } },
  { "fluo.Pattern", "What holds on one span; every key that is no field is an attribute.",
    { "name", "fluo.Match?", "" }, { "service", "fluo.Match?", "service.name of the resource." },
    { "status", "fluo.Match?", "UNSET, OK (unset too), ERROR, EXPLICIT_OK." },
    { "status_message", "fluo.Match?", "" },
    { "kind", "fluo.Match?", "INTERNAL SERVER CLIENT PRODUCER CONSUMER UNSPECIFIED." },
    { "duration", "fluo.Match?", "gt \"300ms\"; a bare number is milliseconds." },
    { "start", "fluo.Match?", "Nanoseconds since 1970, as …LL or text." }, { "end_", "fluo.Match?", "Likewise." },
    { "scope", "fluo.Match?", "" }, { "scope_version", "fluo.Match?", "" },
    { "trace_id", "fluo.Match?", "" }, { "span_id", "fluo.Match?", "" }, { "parent_id", "fluo.Match?", "" },
    { "trace_state", "fluo.Match?", "" }, { "root", "boolean?", "Has no parent id." },
    { "resource", "table<string, fluo.Match>?", "Attributes of the resource." },
    { "event", "table<string, fluo.Match>|(fun(event: fluo.Event): any)|nil",
      "One event satisfies all: name, and attributes; `where` sees it whole." },
    { "link", "table<string, fluo.Match>|(fun(link: fluo.Link): any)|nil",
      "One link satisfies all: trace_id span_id trace_state, and attributes." },
    { "attributes", "table<string, fluo.Match>?", "Attributes that are named like a field." },
    { "where", "(fun(span: fluo.Span): any)?", "Called for spans that pass the rest." },
    lines = { "---@field [string] fluo.Match" } },
  { "fluo.TraceApi", "Conditions over one trace.",
    { "has", ("fun(pattern: %s): %s"):format(P, C), "Some span matches." },
    { "missing", ("fun(pattern: %s): %s"):format(P, C), "No span matches." },
    { "count", ("fun(spans: %s|%s): fluo.Count"):format(P, C), "How many match: compare it." },
    { "all", ("fun(pattern: %s): %s"):format(P, C), "Every span matches." },
    { "where", ("fun(spans: %s|%s, options?: { scope: \"span\"|\"trace\" }): fluo.Where"):format(P, C),
      "A span that matches, or lies below one, …" },
    { "duration", ("fun(operand: fluo.Match): %s"):format(C), "How long the trace is." },
    { "span_count", ("fun(operand: fluo.Match): %s"):format(C), "How many spans it has." },
    { "ql", ("fun(selector: string): %s"):format(C),
      "A TraceQL selector leaves a span; where that is the proof, all that it leaves are witnesses." },
    { "satisfies", ("fun(judge: fun(t: fluo.Trace): any): %s"):format(C), "A function of the whole trace is true." },
    lines = { "---@overload fun(trace: fluo.BuiltTrace): fluo.BuiltTrace" } },
  { C, "A condition over one trace: a * b, a + b, -a.",
    { "and_", ("fun(self: %s, ...: %s|%s): %s"):format(C, C, P, C), "Both hold." },
    { "or_", ("fun(self: %s, ...: %s|%s): %s"):format(C, C, P, C), "One of them holds." },
    { "not_", ("fun(self: %s): %s"):format(C, C), "It does not hold." },
    { "followed_by", ("fun(self: %s, next: %s|%s): %s"):format(C, C, P, C), "A span of it starts later." },
    { "not_followed_by", ("fun(self: %s, next: %s|%s): %s"):format(C, C, P, C), "None of it starts later." },
    { "gap", ("fun(self: %s, next: %s|%s, operand: fluo.Match): %s"):format(C, C, P, C),
      "From the end of a span to the start of another, negative where they overlap." },
    { "overlaps", ("fun(self: %s, other: %s|%s): %s"):format(C, C, P, C), "Both run at one time." },
    { "within", ("fun(self: %s, duration: fluo.Duration, options?: { any_order: boolean }): %s"):format(C, C),
      "All before it starts in this time." },
    lines = { ("---@operator mul(%s): %s"):format(C, C), ("---@operator add(%s): %s"):format(C, C),
              ("---@operator unm: %s"):format(C) } },
  { "fluo.Count", "A number of spans, to be compared.",
    { "over", compare "More than n." }, { "at_least", compare "n or more." }, { "under", compare "Fewer than n." },
    { "at_most", compare "n or fewer." }, { "exactly", compare "n." },
    { "within", "fun(self: fluo.Count, duration: fluo.Duration): fluo.Count", "Of those in some interval so long." } },
  { "fluo.Sequence", "Steps across traces." },
  { "fluo.Window", "What many spans add up to; one aggregate and one comparison make it a condition.",
    { "by", "fun(self: fluo.Window, ...: string|string[]): fluo.Window", "A group for each value of these." },
    { "count", total(", name?: string", "How many spans, or what is called so on them.") },
    { "sum", total(", name: string", "A numeric attribute, the number of events, or 1 for a span of that name.") },
    { "avg", total(", name: string", "The mean of a field.") }, { "min", total(", name: string", "Its least value.") },
    { "max", total(", name: string", "Its greatest value.") },
    { "p", total(", q: number, name: string", "A percentile of a field.") },
    { "rate", total("", "Spans in a second.") },
    { "distinct", total(", name: string", "How many different values a field has.") },
    { "ratio", total((", pattern: %s"):format(P), "Which part of the spans matches this, too.") },
    { "over", bound "More." }, { "at_least", bound "So much or more." }, { "under", bound "Less." },
    { "at_most", bound "So much or less." }, { "over_baseline", baseline "More" },
    { "under_baseline", baseline "Less" },
    { "min_samples", "fun(self: fluo.Window, n: integer): fluo.Window", "With fewer nothing is judged." } },
  { "fluo.Where", "Spans, and what lies below them.",
    { "has", ("fun(self: fluo.Where, spans: %s|%s): %s"):format(P, C, C), "Some span of those matches." } },
  { "fluo.Span", "A span, as a function sees it; what is absent is nil.",
    { "name", "string", "" }, { "service", "string?", "" }, { "status", '"UNSET"|"OK"|"ERROR"', "" },
    { "status_message", "string?", "" },
    { "kind", '"INTERNAL"|"SERVER"|"CLIENT"|"PRODUCER"|"CONSUMER"|"UNSPECIFIED"', "" },
    { "duration", "number", "Milliseconds." }, { "start", "integer", "Nanoseconds since 1970, an int64." },
    { "end_", "integer", "Likewise." }, { "attributes", "table<string, any>", "" },
    { "resource", "table<string, any>", "" }, { "events", "fluo.Event[]", "" }, { "links", "fluo.Link[]", "" },
    { "trace_id", "string", "" }, { "span_id", "string", "" }, { "parent_id", "string?", "" },
    { "trace_state", "string?", "" }, { "scope", "string?", "" }, { "scope_version", "string?", "" },
    { "scope_attributes", "table<string, any>", "" }, { "dropped_attributes_count", "integer", "" },
    { "dropped_events_count", "integer", "" }, { "dropped_links_count", "integer", "" },
    { "root", "boolean", "Has no parent id." } },
  { "fluo.TraceSpan: fluo.Span", "A span of a whole trace: in trace.satisfies.",
    { "parent", "fluo.TraceSpan?", "" }, { "children", SPANS, "In start order." }, { "descendants", SPANS, "" },
    { "ancestors", SPANS, "" }, { "siblings", SPANS, "" },
    { "self_time", "fun(self: fluo.TraceSpan): number", "Its duration without the union of its children, ms." } },
  { "fluo.Trace", "A whole trace, as trace.satisfies sees it.",
    { "spans", "fun(self: fluo.Trace): fun(): fluo.TraceSpan?", "For loops, in start order." },
    { "find", ("fun(self: fluo.Trace, pattern: %s): fluo.TraceSpan?"):format(P), "The earliest that matches." },
    { "all", ("fun(self: fluo.Trace, pattern: %s): fluo.TraceSpan[]"):format(P), "All that match." },
    { "count", ("fun(self: fluo.Trace, pattern: %s): integer"):format(P), "How many match." },
    { "root", "fluo.TraceSpan?", "The earliest." }, { "duration", "number", "Milliseconds." },
    { "services", "string[]", "Their names, sorted." }, { "complete", "boolean", "It has a root and no orphan." },
    { "trace_id", "string", "" }, { "span_count", "integer", "" },
    { "critical_path", "fun(self: fluo.Trace): fluo.TraceSpan[]", "" } },
  { "fluo.Event", "An event of a span.",
    { "name", "string", "" }, { "time", "integer", "Nanoseconds since 1970, an int64." },
    { "attributes", "table<string, any>", "" }, { "dropped_attributes_count", "integer", "" } },
  { "fluo.Link", "A link of a span.",
    { "trace_id", "string?", "" }, { "span_id", "string?", "" }, { "trace_state", "string?", "" },
    { "attributes", "table<string, any>", "" }, { "dropped_attributes_count", "integer", "" } },
}

-- Each relation, its negation and its absence.
for _, class in ipairs(M.classes) do
  for _, relation in ipairs(class[1] == C and { "child", "parent", "descendant", "ancestor", "sibling" } or {}) do
    local kind = ("fun(self: %s, other: %s|%s): %s"):format(C, C, P, C)
    class[#class + 1] = { relation, kind, ("The spans of the other that are the %s of one."):format(relation) }
    local none = ("The spans of the other that are the %s of none."):format(relation)
    class[#class + 1] = { "no_" .. relation, kind, none }
    class[#class + 1] = { "without_" .. relation, kind, ("The spans that have no such %s."):format(relation) }
  end
end

--- Of specs. Their members are the keys that the builders and assertions take.
M.spec_classes = {
  { "fluo.BuiltTrace", "Spans that arrive in one request; the same trace_id again is the same trace.",
    { "trace_id", "string?", "32 hexadecimal digits, or any name; without it a new trace." },
    { "service", "(string|false)?", "Of all spans in it; false: none." },
    { "resource", "table<string, any>?", "Attributes of the resource, besides service.name." },
    { "scope", "string?", "" }, { "scope_version", "string?", "" },
    { "arrival", "fluo.Duration?", "When its spans arrive; at their latest end by default." },
    lines = { "---@field [integer] fluo.BuiltSpan" } },
  { "fluo.BuiltSpan", "A span of a test. Times are counted from the clock as it stood at trace { … }.",
    { "name", "string", "" }, { "service", "(string|false)?", "Of its parent by default." },
    { "status", '"UNSET"|"OK"|"ERROR"|nil', "" }, { "status_message", "string?", "" },
    { "kind", '"INTERNAL"|"SERVER"|"CLIENT"|"PRODUCER"|"CONSUMER"|nil', "INTERNAL by default." },
    { "start", "fluo.Duration?", "Where the span written before it ends; of a first child: where its parent starts." },
    { "duration", "fluo.Duration?", "10 ms by default, or as long as its children." },
    { "arrival", "fluo.Duration?", "Of this span alone." },
    { "attributes", "table<string, any>?", "" }, { "resource", "table<string, any>?", "" },
    { "events", "fluo.BuiltEvent[]?", "" }, { "links", "fluo.BuiltLink[]?", "" },
    { "scope", "string?", "" }, { "scope_version", "string?", "" }, { "trace_state", "string?", "" },
    { "span_id", "string?", "16 hexadecimal digits, or any name." },
    { "parent_id", "string?", "Likewise; of a span that is not there it makes an orphan." },
    lines = { "---@field [integer] fluo.BuiltSpan" } },
  { "fluo.BuiltEvent", "An event of a span of a test.",
    { "name", "string?", "" }, { "time", "fluo.Duration?", "The start of its span by default." },
    { "attributes", "table<string, any>?", "" } },
  { "fluo.BuiltLink", "A link of a span of a test.",
    { "span", "fluo.BuiltSpan?", "Where it leads: a span that was sent." },
    { "trace_id", "string?", "Or its ids." }, { "span_id", "string?", "" }, { "trace_state", "string?", "" },
    { "attributes", "table<string, any>?", "" } },
  { "fluo.Clock", "The virtual clock of a test.",
    { "advance", "fun(by: fluo.Duration)", "Moves it on." },
    { "at", "fun(time: fluo.Duration)", "Sets it, counted from where the test began." } },
  { "fluo.Fires", "What is expected of a violation; what is not named may be anything.",
    { "count", "integer?", "How many violations are like this; at least one by default." },
    { "spans", "(string|fluo.BuiltSpan)[]?", "Its witnesses in order, by name or as the spans themselves." },
    { "cause", "(string|fluo.BuiltSpan)?", "The span whose failure is the cause, likewise." },
    { "impact", "(string|fluo.BuiltSpan)[]?", "Those above it, from its parent up." },
    { "causes_total", "integer?", "" }, { "impact_total", "integer?", "" },
    { "trace", "fluo.BuiltTrace?", "The trace that it is about." },
    { "reason", "string?", "" }, { "summary", "string?", "" }, { "severity", "string?", "" },
    { "scope", "string?", "" }, { "value", "number?", "" }, { "threshold", "number?", "" },
    { "span_total", "integer?", "" }, { "shadow", "boolean?", "" }, { "late", "boolean?", "" },
    { "estimated", "boolean?", "" }, { "labels", "table<string, string>?", "" },
    { "baseline", "number?", "" }, { "baseline_state", "string?", "" }, { "baseline_seasonal", "boolean?", "" } },
  { "fluo.Silent", "Where a rule is expected to be silent.",
    { "trace", "fluo.BuiltTrace?", "In this trace; in all by default." } },
  { "luassert", "What busted's assert has besides its own.",
    { "fires", "fun(rule: string, expected?: fluo.Fires)", "The rule fired." },
    { "silent", "fun(rule?: string, expected?: fluo.Silent)", "The rule, or every rule, did not." } },
}

return M
