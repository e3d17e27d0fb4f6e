---@meta
-- What FLUO's rules and their specs see, for lua-language-server. Made, not written.

---A plain value: equality.
---@alias fluo.Value string|number|boolean

---What a field of a pattern is compared with.
---@alias fluo.Match fluo.Value|fluo.Operand|fun(value: any): any

---"300ms", "5s" …; a bare number is milliseconds.
---@alias fluo.Duration string|number

---A table, a combination of patterns, or a function.
---@alias fluo.AnyPattern fluo.Pattern|fluo.Operand|fun(span: fluo.Span): any

---What a field is compared by: gt "300ms".
---@class fluo.Operand

---What happens at a violation.
---@class fluo.Action

---What an action has besides requests.
---@class fluo.ActionApi
---@field render fun(template: string, values: table): string "{rule}: {summary}"; what is absent is "-".
---@field retry fun(text: string, seconds?: number) Ends the action: to be tried again.
---@field fail fun(text: string) Ends the action: trying again is of no use.
---@field note fun(text: string) A line in the agent's log.
---@field now fun(seconds?: number): string The time, or so much later, RFC 3339.
---@field unix fun(): integer The time in seconds since 1970.
---@field cut fun(text: string, bytes: integer): string At most so many bytes, whole characters.
---@field plain fun(text: string): string As a chat that reads Markdown shows it: no hidden link, no mention.
---@field base64 fun(bytes: string): string
---@field base64_decode fun(text: string): string?
---@field mail fun(mail: fluo.Mail): fluo.Response A mail; its host is listed in actions.hosts.
---@field hmac_sha256 fun(key: string, text: string): string 32 bytes.
---@overload fun(name: string): fun(run: fun(alert: fluo.Alert, settings: table): any)

---Each waits for its response, while others run.
---@class fluo.HttpApi
---@field request fun(request: fluo.Request): fluo.Response By its method.
---@field get fun(request: fluo.Request): fluo.Response
---@field post fun(request: fluo.Request): fluo.Response
---@field put fun(request: fluo.Request): fluo.Response
---@field patch fun(request: fluo.Request): fluo.Response
---@field delete fun(request: fluo.Request): fluo.Response

---One of body, json and form.
---@class fluo.Request
---@field url string Its host is listed in actions.hosts.
---@field method string?
---@field headers table<string, string>?
---@field body string?
---@field json table?
---@field form table<string, string>?
---@field timeout fluo.Duration? 10s by default, 60s at most.
---@field user string?
---@field password string?

---By SMTP.
---@class fluo.Mail
---@field url string smtp:// or smtps://.
---@field from string
---@field to string|string[]
---@field subject string
---@field text string
---@field id string? Of the Message-ID.
---@field user string?
---@field password string? Then only over TLS.
---@field timeout fluo.Duration? 10s by default, 60s at most.

---Of a request; an action that returns one has its outcome.
---@class fluo.Response
---@field status integer?
---@field error string? Why there is none.
---@field body string?
---@field headers table<string, string>? Names in lower case.
---@field cut boolean? There was more.
---@field retry_after integer? Seconds.

---Texts of JSON.
---@class fluo.JsonApi
---@field encode fun(value: any): string
---@field decode fun(text: string): any

---Given by name, if the configuration allows it.
---@class fluo.Named
---@overload fun(name: string): string

---Has the members of its first incident, too.
---@class fluo.Alert
---@field id string The same each time it is tried: an idempotency key.
---@field receiver string
---@field status "firing"|"resolved"
---@field event string opened updated repeated resolved reopened silence-ended.
---@field at string
---@field group table<string, string>
---@field json string All of it, as it is.
---@field incidents fluo.Incident[]
---@field incidents_total integer

---Violations of one rule and group.
---@class fluo.Incident
---@field id string
---@field rule string
---@field severity string
---@field status "open"|"acknowledged"|"resolved"
---@field group table<string, string>
---@field count integer
---@field started_at string
---@field last_seen_at string
---@field resolved_at string?
---@field summary string?
---@field labels table<string, string>
---@field violations table[] The newest, eight at most.

---What a rule says.
---@class fluo.Rule
---@field description string? What it is about, for people.
---@field severity "low"|"medium"|"high"|"critical"|nil medium is the default.
---@field when fluo.Condition|fluo.AnyPattern|fluo.Window|fluo.Sequence|fluo.Cascade What is a violation.
---@field always fluo.Condition? An invariant: broken where this does not hold in a trace that `when` selects.
---@field never fluo.Condition? An invariant: broken where this holds in a trace that `when` selects.
---@field actions (fluo.Action|string)[]? Actions, or their names; log by default.
---@field mode "active"|"shadow"|"off"|nil shadow: evaluated and counted, without actions.
---@field summary string? A template: "{service}: {span.name}".
---@field labels table<string, string>? Free texts that go with a violation.
---@field late boolean? Judge a closed trace again when late spans come.
---@field complete boolean? An absence is unknown unless the trace has its root and no orphan.
---@field group_by string|string[]|nil What incidents are told apart by: fields, attributes, labels.
---@field pending_for fluo.Duration? An incident opens once violations have gone on for so long.
---@field keep_firing_for fluo.Duration? It stays open for so long after it has cleared.
---@field cooldown fluo.Duration? For so long after a resolve nothing opens.
---@field resolve_after fluo.Duration? Without a violation for so long it has cleared; 5 minutes.
---@field resolve_when fluo.Pattern|fluo.Condition|nil A span that clears the incident of its group.
---@field m_of_n integer[]|nil { 3, 5 }: it opens with violations in 3 of the last 5 minutes.

---What holds on one span; every key that is no field is an attribute.
---@class fluo.Pattern
---@field name fluo.Match?
---@field service fluo.Match? service.name of the resource.
---@field status fluo.Match? UNSET, OK (unset too), ERROR, EXPLICIT_OK.
---@field status_message fluo.Match?
---@field kind fluo.Match? INTERNAL SERVER CLIENT PRODUCER CONSUMER UNSPECIFIED.
---@field duration fluo.Match? gt "300ms"; a bare number is milliseconds.
---@field start fluo.Match? Nanoseconds since 1970, as …LL or text.
---@field end_ fluo.Match? Likewise.
---@field scope fluo.Match?
---@field scope_version fluo.Match?
---@field trace_id fluo.Match?
---@field span_id fluo.Match?
---@field parent_id fluo.Match?
---@field trace_state fluo.Match?
---@field root boolean? Has no parent id.
---@field resource table<string, fluo.Match>? Attributes of the resource.
---@field event table<string, fluo.Match>|(fun(event: fluo.Event): any)|nil One event satisfies all: name, and attributes; `where` sees it whole.
---@field link table<string, fluo.Match>|(fun(link: fluo.Link): any)|nil One link satisfies all: trace_id span_id trace_state, and attributes.
---@field attributes table<string, fluo.Match>? Attributes that are named like a field.
---@field where (fun(span: fluo.Span): any)? Called for spans that pass the rest.
---@field [string] fluo.Match

---Conditions over one trace.
---@class fluo.TraceApi
---@field has fun(pattern: fluo.AnyPattern): fluo.Condition Some span matches.
---@field missing fun(pattern: fluo.AnyPattern): fluo.Condition No span matches.
---@field count fun(spans: fluo.AnyPattern|fluo.Condition): fluo.Count How many match: compare it.
---@field all fun(pattern: fluo.AnyPattern): fluo.Condition Every span matches.
---@field where fun(spans: fluo.AnyPattern|fluo.Condition, options?: { scope: "span"|"trace" }): fluo.Where A span that matches, or lies below one, …
---@field duration fun(operand: fluo.Match): fluo.Condition How long the trace is.
---@field span_count fun(operand: fluo.Match): fluo.Condition How many spans it has.
---@field ql fun(selector: string): fluo.Condition A TraceQL selector leaves a span; where that is the proof, all that it leaves are witnesses.
---@field satisfies fun(judge: fun(t: fluo.Trace): any): fluo.Condition A function of the whole trace is true.
---@overload fun(trace: fluo.BuiltTrace): fluo.BuiltTrace

---A condition over one trace: a * b, a + b, -a.
---@class fluo.Condition
---@field and_ fun(self: fluo.Condition, ...: fluo.Condition|fluo.AnyPattern): fluo.Condition Both hold.
---@field or_ fun(self: fluo.Condition, ...: fluo.Condition|fluo.AnyPattern): fluo.Condition One of them holds.
---@field not_ fun(self: fluo.Condition): fluo.Condition It does not hold.
---@field followed_by fun(self: fluo.Condition, next: fluo.Condition|fluo.AnyPattern): fluo.Condition A span of it starts later.
---@field not_followed_by fun(self: fluo.Condition, next: fluo.Condition|fluo.AnyPattern): fluo.Condition None of it starts later.
---@field gap fun(self: fluo.Condition, next: fluo.Condition|fluo.AnyPattern, operand: fluo.Match): fluo.Condition From the end of a span to the start of another, negative where they overlap.
---@field overlaps fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition Both run at one time.
---@field within fun(self: fluo.Condition, duration: fluo.Duration, options?: { any_order: boolean }): fluo.Condition All before it starts in this time.
---@field child fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans of the other that are the child of one.
---@field no_child fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans of the other that are the child of none.
---@field without_child fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans that have no such child.
---@field parent fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans of the other that are the parent of one.
---@field no_parent fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans of the other that are the parent of none.
---@field without_parent fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans that have no such parent.
---@field descendant fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans of the other that are the descendant of one.
---@field no_descendant fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans of the other that are the descendant of none.
---@field without_descendant fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans that have no such descendant.
---@field ancestor fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans of the other that are the ancestor of one.
---@field no_ancestor fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans of the other that are the ancestor of none.
---@field without_ancestor fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans that have no such ancestor.
---@field sibling fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans of the other that are the sibling of one.
---@field no_sibling fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans of the other that are the sibling of none.
---@field without_sibling fun(self: fluo.Condition, other: fluo.Condition|fluo.AnyPattern): fluo.Condition The spans that have no such sibling.
---@operator mul(fluo.Condition): fluo.Condition
---@operator add(fluo.Condition): fluo.Condition
---@operator unm: fluo.Condition

---A number of spans, to be compared.
---@class fluo.Count
---@field over fun(self: fluo.Count, n: integer): fluo.Condition More than n.
---@field at_least fun(self: fluo.Count, n: integer): fluo.Condition n or more.
---@field under fun(self: fluo.Count, n: integer): fluo.Condition Fewer than n.
---@field at_most fun(self: fluo.Count, n: integer): fluo.Condition n or fewer.
---@field exactly fun(self: fluo.Count, n: integer): fluo.Condition n.
---@field within fun(self: fluo.Count, duration: fluo.Duration): fluo.Count Of those in some interval so long.

---Steps across traces.
---@class fluo.Sequence

---One failure after another, of several services.
---@class fluo.Cascade

---What many spans add up to; one aggregate and one comparison make it a condition.
---@class fluo.Window
---@field by fun(self: fluo.Window, ...: string|string[]): fluo.Window A group for each value of these.
---@field count fun(self: fluo.Window, name?: string): fluo.Window How many spans, or what is called so on them.
---@field sum fun(self: fluo.Window, name: string): fluo.Window A numeric attribute, the number of events, or 1 for a span of that name.
---@field avg fun(self: fluo.Window, name: string): fluo.Window The mean of a field.
---@field min fun(self: fluo.Window, name: string): fluo.Window Its least value.
---@field max fun(self: fluo.Window, name: string): fluo.Window Its greatest value.
---@field p fun(self: fluo.Window, q: number, name: string): fluo.Window A percentile of a field.
---@field rate fun(self: fluo.Window): fluo.Window Spans in a second.
---@field distinct fun(self: fluo.Window, name: string): fluo.Window How many different values a field has.
---@field ratio fun(self: fluo.Window, pattern: fluo.AnyPattern): fluo.Window Which part of the spans matches this, too.
---@field over fun(self: fluo.Window, limit: number|string): fluo.Window More. A duration takes "300ms".
---@field at_least fun(self: fluo.Window, limit: number|string): fluo.Window So much or more. A duration takes "300ms".
---@field under fun(self: fluo.Window, limit: number|string): fluo.Window Less. A duration takes "300ms".
---@field at_most fun(self: fluo.Window, limit: number|string): fluo.Window So much or less. A duration takes "300ms".
---@field over_baseline fun(self: fluo.Window, by: { times?: number, sigmas?: number, min_normal?: number|string }): fluo.Window More than is normal for the group, by so many times, or spreads.
---@field under_baseline fun(self: fluo.Window, by: { times?: number, sigmas?: number, min_normal?: number|string }): fluo.Window Less than is normal for the group, by so many times, or spreads.
---@field min_samples fun(self: fluo.Window, n: integer): fluo.Window With fewer nothing is judged.
---@field first_seen fun(self: fluo.Window): fluo.Window A group not seen for so long; a condition by itself.

---Spans, and what lies below them.
---@class fluo.Where
---@field has fun(self: fluo.Where, spans: fluo.AnyPattern|fluo.Condition): fluo.Condition Some span of those matches.

---A span, as a function sees it; what is absent is nil.
---@class fluo.Span
---@field name string
---@field service string?
---@field status "UNSET"|"OK"|"ERROR"
---@field status_message string?
---@field kind "INTERNAL"|"SERVER"|"CLIENT"|"PRODUCER"|"CONSUMER"|"UNSPECIFIED"
---@field duration number Milliseconds.
---@field start integer Nanoseconds since 1970, an int64.
---@field end_ integer Likewise.
---@field attributes table<string, any>
---@field resource table<string, any>
---@field events fluo.Event[]
---@field links fluo.Link[]
---@field trace_id string
---@field span_id string
---@field parent_id string?
---@field trace_state string?
---@field scope string?
---@field scope_version string?
---@field scope_attributes table<string, any>
---@field dropped_attributes_count integer
---@field dropped_events_count integer
---@field dropped_links_count integer
---@field root boolean Has no parent id.

---A span of a whole trace: in trace.satisfies.
---@class fluo.TraceSpan: fluo.Span
---@field parent fluo.TraceSpan?
---@field children fun(self: fluo.TraceSpan): fluo.TraceSpan[] In start order.
---@field descendants fun(self: fluo.TraceSpan): fluo.TraceSpan[]
---@field ancestors fun(self: fluo.TraceSpan): fluo.TraceSpan[]
---@field siblings fun(self: fluo.TraceSpan): fluo.TraceSpan[]
---@field self_time fun(self: fluo.TraceSpan): number Its duration without the union of its children, ms.

---A whole trace, as trace.satisfies sees it.
---@class fluo.Trace
---@field spans fun(self: fluo.Trace): fun(): fluo.TraceSpan? For loops, in start order.
---@field find fun(self: fluo.Trace, pattern: fluo.AnyPattern): fluo.TraceSpan? The earliest that matches.
---@field all fun(self: fluo.Trace, pattern: fluo.AnyPattern): fluo.TraceSpan[] All that match.
---@field count fun(self: fluo.Trace, pattern: fluo.AnyPattern): integer How many match.
---@field root fluo.TraceSpan? The earliest.
---@field duration number Milliseconds.
---@field services string[] Their names, sorted.
---@field complete boolean It has a root and no orphan.
---@field trace_id string
---@field span_count integer
---@field critical_path fun(self: fluo.Trace): fluo.TraceSpan[]

---An event of a span.
---@class fluo.Event
---@field name string
---@field time integer Nanoseconds since 1970, an int64.
---@field attributes table<string, any>
---@field dropped_attributes_count integer

---A link of a span.
---@class fluo.Link
---@field trace_id string?
---@field span_id string?
---@field trace_state string?
---@field attributes table<string, any>
---@field dropped_attributes_count integer

---Spans that arrive in one request; the same trace_id again is the same trace.
---@class fluo.BuiltTrace
---@field trace_id string? 32 hexadecimal digits, or any name; without it a new trace.
---@field service (string|false)? Of all spans in it; false: none.
---@field resource table<string, any>? Attributes of the resource, besides service.name.
---@field scope string?
---@field scope_version string?
---@field arrival fluo.Duration? When its spans arrive; at their latest end by default.
---@field [integer] fluo.BuiltSpan

---A span of a test. Times are counted from the clock as it stood at trace { … }.
---@class fluo.BuiltSpan
---@field name string
---@field service (string|false)? Of its parent by default.
---@field status "UNSET"|"OK"|"ERROR"|nil
---@field status_message string?
---@field kind "INTERNAL"|"SERVER"|"CLIENT"|"PRODUCER"|"CONSUMER"|nil INTERNAL by default.
---@field start fluo.Duration? Where the span written before it ends; of a first child: where its parent starts.
---@field duration fluo.Duration? 10 ms by default, or as long as its children.
---@field arrival fluo.Duration? Of this span alone.
---@field attributes table<string, any>?
---@field resource table<string, any>?
---@field events fluo.BuiltEvent[]?
---@field links fluo.BuiltLink[]?
---@field scope string?
---@field scope_version string?
---@field trace_state string?
---@field span_id string? 16 hexadecimal digits, or any name.
---@field parent_id string? Likewise; of a span that is not there it makes an orphan.
---@field [integer] fluo.BuiltSpan

---An event of a span of a test.
---@class fluo.BuiltEvent
---@field name string?
---@field time fluo.Duration? The start of its span by default.
---@field attributes table<string, any>?

---A link of a span of a test.
---@class fluo.BuiltLink
---@field span fluo.BuiltSpan? Where it leads: a span that was sent.
---@field trace_id string? Or its ids.
---@field span_id string?
---@field trace_state string?
---@field attributes table<string, any>?

---The virtual clock of a test.
---@class fluo.Clock
---@field advance fun(by: fluo.Duration) Moves it on.
---@field at fun(time: fluo.Duration) Sets it, counted from where the test began.

---What is expected of a violation; what is not named may be anything.
---@class fluo.Fires
---@field count integer? How many violations are like this; at least one by default.
---@field spans (string|fluo.BuiltSpan)[]? Its witnesses in order, by name or as the spans themselves.
---@field cause (string|fluo.BuiltSpan)? The span whose failure is the cause, likewise.
---@field impact (string|fluo.BuiltSpan)[]? Those above it, from its parent up.
---@field chain string[]? A cascade's, in order: the root's name, and then services, or what else is distinct.
---@field causes_total integer?
---@field impact_total integer?
---@field trace fluo.BuiltTrace? The trace that it is about.
---@field reason string?
---@field summary string?
---@field severity string?
---@field scope string?
---@field value number?
---@field threshold number?
---@field span_total integer?
---@field shadow boolean?
---@field late boolean?
---@field estimated boolean?
---@field labels table<string, string>?
---@field baseline number?
---@field baseline_state string?
---@field baseline_seasonal boolean?

---Where a rule is expected to be silent.
---@class fluo.Silent
---@field trace fluo.BuiltTrace? In this trace; in all by default.

---How an action is run in a test.
---@class fluo.How
---@field answers fluo.Answer[]? To its requests, in order; 200 where there is none.
---@field settings table? Of the receiver.
---@field secrets table<string, string>?
---@field env table<string, string>?
---@field resolved boolean? The alert is a resolve.

---What a request is answered.
---@class fluo.Answer
---@field status integer? 200 by default.
---@field body string?
---@field headers table<string, string>?
---@field retry_after integer? Seconds.
---@field error string? There is no answer, for this reason.

---What came of it.
---@class fluo.Sent
---@field outcome "ok"|"retry"|"failed"
---@field why string
---@field retry_after integer?
---@field requests table[] As they were asked for.
---@field notes string[]

---What is expected of a request, at least one; what is not named may be anything, in tables too.
---@class fluo.Sends
---@field method string?
---@field url string?
---@field headers table<string, string>?
---@field body string?
---@field json table?
---@field form table<string, string>?
---@field user string?
---@field from string? Of a mail.
---@field to string[]?
---@field subject string?
---@field text string?
---@field count integer? How many are like this.
---@field outcome "ok"|"retry"|"failed"|nil
---@field retry_after integer?
---@field why string?

---What busted's assert has besides its own.
---@class luassert
---@field fires fun(rule: string, expected?: fluo.Fires) The rule fired.
---@field sends fun(action: string, expected?: fluo.Sends) It made such a request, or came to that.
---@field silent fun(rule?: string, expected?: fluo.Silent) The rule, or every rule, did not.

---Declares a rule: rule "name" { when = … }.
---@type fun(name: string): fun(rule: fluo.Rule)
rule = nil

---Conditions over one trace; in a spec, what sends one: trace { span { … } }.
---@type fluo.TraceApi
trace = nil

---What many spans add up to: window("1m", { … }):by("service"):count():over(5).
---@type fun(duration: fluo.Duration, pattern?: fluo.AnyPattern): fluo.Window
window = nil

---A window in words: query "sum(api_calls) > 10000 during 1m".
---@type fun(text: string): fluo.Window
query = nil

---Steps across traces: sequence { by = "order.id", within = "30s", { … }, not_ { … } }.
---@type fun(sequence: table): fluo.Sequence
sequence = nil

---One failure after another: cascade { root = { … }, { status = "ERROR" }, at_least = 3, within = "1m" }.
---@type fun(cascade: table): fluo.Cascade
cascade = nil

---An action: writes a line. The default action.
---@type fun(template: string): fluo.Action
log = nil

---Declares an action: action "team" (function(alert, settings) … end).
---@type fluo.ActionApi
action = nil

---Requests of an action.
---@type fluo.HttpApi
http = nil

---For actions.
---@type fluo.JsonApi
json = nil

---For actions: a variable of actions.env.
---@type fluo.Named
env = nil

---For actions: a value of actions.secrets.
---@type fluo.Named
secret = nil

---Is equal: 500 is also "500" and 500.0.
---@type fun(value: fluo.Value): fluo.Operand
eq = nil

---Is there and not equal.
---@type fun(value: fluo.Value): fluo.Operand
ne = nil

---Is greater.
---@type fun(value: fluo.Value): fluo.Operand
gt = nil

---Is greater or equal.
---@type fun(value: fluo.Value): fluo.Operand
ge = nil

---Is less.
---@type fun(value: fluo.Value): fluo.Operand
lt = nil

---Is less or equal.
---@type fun(value: fluo.Value): fluo.Operand
le = nil

---Lies between, both ends included.
---@type fun(low: fluo.Value, high: fluo.Value): fluo.Operand
between = nil

---Is one of these.
---@type fun(values: fluo.Value[]): fluo.Operand
one_of = nil

---Is there and none of these.
---@type fun(values: fluo.Value[]): fluo.Operand
none_of = nil

---Is text that contains this.
---@type fun(text: string): fluo.Operand
contains = nil

---Is text that begins with this.
---@type fun(text: string): fluo.Operand
prefix = nil

---Is text that ends with this.
---@type fun(text: string): fluo.Operand
suffix = nil

---Is text that matches whole; * is any run.
---@type fun(pattern: string): fluo.Operand
glob = nil

---Is text that a regular expression matches from end to end.
---@type fun(regex: string): fluo.Operand
matches = nil

---Is equal and of that type: strict(500) is not "500".
---@type fun(value: fluo.Value): fluo.Operand
strict = nil

---Is there. Written bare.
---@type fluo.Operand
exists = nil

---Is not there. Written bare.
---@type fluo.Operand
missing = nil

---One of these holds, on one span.
---@type fun(patterns: fluo.AnyPattern[]): fluo.Operand
any_of = nil

---All of these hold, on one span.
---@type fun(patterns: fluo.AnyPattern[]): fluo.Operand
all_of = nil

---The pattern does not hold.
---@type fun(pattern: fluo.AnyPattern): fluo.Operand
not_ = nil

---A span of a test; spans in it are its children.
---@type fun(span: fluo.BuiltSpan): fluo.BuiltSpan
span = nil

---The virtual clock of a test.
---@type fluo.Clock
clock = nil

---Recorded OTLP beside the spec, instead of built traces.
---@type fun(file: string)
replay = nil

---Runs an action, whose requests go nowhere.
---@type fun(name: string, alert?: table, how?: fluo.How): fluo.Sent
alert = nil
