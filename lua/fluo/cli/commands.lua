--- The commands: what they take and what their help says. Options and help are made from this one table.
-- arguments: how many may follow that are no flags. flags: those besides the keys of the configuration; one with
-- `value`, as the help shows it, takes one, of a type or any text; one that is `repeated` may stand several times.
-- sends: it sends alerts, or says whether that can be done: all secrets of the configuration have to be there.
local value = require("fluo.config.value")

local JSON = { name = "json", help = "for programs" }
local ADMIN = { name = "admin", value = "ADDRESS", type = value.address, help = "which agent; listen.admin" }
local SEVERITY = value.choice("low", "medium", "high", "critical")

local M = {
  {
    name = "run", usage = "fluo run [-c FILE] [--rules PATH] [FLAG…]", arguments = { 0, 0 }, flags = {},
    sends = true, summary = "receive traces, judge them, say what is violated",
    text = [[
Receives OpenTelemetry traces over OTLP/HTTP, assembles them, and judges them against the rules. Violations
go to stdout as JSON lines, the log to stderr. SIGTERM ends it after the open traces were judged; a second
one ends it at once.]],
    examples = {
      { "fluo run --rules rules/", "with the defaults: OTLP on 127.0.0.1:4318" },
      { "fluo run -c fluo.lua", "with a configuration file" },
      { "FLUO_TRACE_IDLE=5s fluo run --log.level=debug", "variables and flags go over the file" },
      { "fluo run --output.violations=violations.jsonl", "violations into a file" },
    },
  },
  {
    name = "check", usage = "fluo check [--rules PATH] [--strict] [--json] [PATH]", arguments = { 0, 1 },
    flags = { { name = "strict", help = "end with 1 on a warning too" }, JSON },
    summary = "look for errors in rules, and for what is seldom meant",
    text = [[
Loads the rules and prints every error and warning with its place and a hint. Ends with 1 if there was an
error. A warning has a code; `-- fluo: allow CODE` in or above a rule says that it is meant.]],
    examples = {
      { "fluo check rules/", "a directory" },
      { "fluo check rules/slow_query.lua", "one file" },
      { "fluo check --strict rules/", "in a build: ends with 1 on a warning too" },
      { "fluo check --json rules/", "one JSON object a line, for editors" },
    },
  },
  {
    name = "replay", usage = "fluo replay [--rules PATH] [FLAG…] FILE…", arguments = { 1, 65536 },
    flags = {
      { name = "fail-on-violation", help = "end with 3 when a rule that is not in shadow is violated" },
      { name = "widened", value = "FILE", help = "limits that feedback has widened, by `fluo feedback list --json`" },
    },
    summary = "judge recorded traces, as the agent would have",
    text = [[
Reads OTLP as JSON (one request, or one a line) or as protobuf, plain or gzipped, and prints the violations as
JSON lines, under a clock that follows the traces: the same files give the same output. Ends with 0, also with
violations; with 1 for bad input or rules.]],
    examples = {
      { "fluo replay --rules rules/ traces.jsonl", "what would have been said" },
      { "fluo replay --rules rules/ --trace.idle=30s a.jsonl b.pb.gz", "several files, another idle time" },
      { "fluo replay --rules rules/ --fail-on-violation traces.jsonl", "in a build: ends with 3 on a violation" },
    },
  },
  {
    name = "record", usage = "fluo record [--out FILE] [--rule NAME…] [--trace ID] [FLAG…]", arguments = { 0, 0 },
    flags = {
      { name = "out", value = "FILE", help = "write there, not to stdout" },
      { name = "rule", value = "NAME", repeated = true, help = "only traces with a hit of it; may be repeated" },
      { name = "violated", help = "with --rule: only traces that violate it" },
      { name = "trace", value = "ID", help = "only this trace" },
      { name = "duration", value = "TIME", type = value.duration, help = "end after that time" },
      { name = "max-bytes", value = "SIZE", type = value.size, help = "end before more is written" },
      { name = "max-traces", value = "N", type = value.int, help = "end after so many whole traces" }, ADMIN,
    },
    summary = "write down what the running agent receives",
    text = [[
Asks the agent at listen.admin for the traces that arrive from now on, and writes them as lines of OTLP/JSON, each
with the time it arrived, for `fluo replay`, `fluo test` and `fluo fields`. Ends at Ctrl-C. With --rule and
--max-traces a trace is written when it is over, and whole. Payloads are written as they are: they may hold
personal data.]],
    examples = {
      { "fluo record --out traces.jsonl --duration 1m", "a minute of traffic" },
      { "fluo record --rule pii-without-audit --violated --max-traces 10", "traces that violate a rule" },
      { "fluo record --trace 4bf92f3577b34da6a3ce929d0e0e4736", "one trace" },
    },
  },
  {
    name = "incidents", usage = "fluo incidents [FLAG…]", arguments = { 0, 0 },
    flags = {
      { name = "rule", value = "NAME", help = "only of this rule" },
      { name = "severity", value = "WORD", type = SEVERITY, help = "only of this one: low, medium, high, critical" },
      { name = "status", value = "WORD", type = value.choice("active", "open", "acknowledged", "resolved", "all"),
        help = "active (not resolved), open, acknowledged, resolved or all; active" },
      { name = "since", value = "TIME", type = value.duration, help = "only with a violation in this time" },
      { name = "limit", value = "N", type = value.int, help = "so many, the newest; 50" }, ADMIN, JSON,
    },
    summary = "list what the running agent has found",
    text = [[
Asks the agent at listen.admin for its incidents, the newest first. Ids are shown by their first digits, which are
enough for `fluo show`, `fluo ack`, `fluo resolve` and `fluo feedback`. Ends with 0; with 1 where there is no agent.]],
    examples = {
      { "fluo incidents", "what is not resolved" },
      { "fluo incidents --status=all --since=1d --severity=critical", "of the last day" },
      { "fluo incidents --admin=127.0.0.1:14319 --json", "another agent, for programs" },
    },
  },
  {
    name = "show", usage = "fluo show ID", arguments = { 1, 1 }, flags = { ADMIN, JSON },
    summary = "show an incident, or a violation with its trace",
    text = [[
Shows what the running agent knows of an incident or a violation, whose id begins so, and the trace as it was: a
line a span, below its parent, with its duration; spans that prove it have a `*`, what it began with a `!`. --json
prints the incident; or the violation, with its trace as `trace`. Ends with 1 where there is none, or several.]],
    examples = {
      { "fluo show 3f2a9c01", "by the beginning of its id" },
      { "fluo show --json 3f2a9c01", "for programs" },
    },
  },
  {
    name = "tail", usage = "fluo tail [--rule NAME] [FLAG…]", arguments = { 0, 0 },
    flags = {
      { name = "rule", value = "NAME", help = "only of this rule" },
      { name = "duration", value = "TIME", type = value.duration, help = "end after that time" },
      { name = "count", value = "N", type = value.int, help = "end after so many" }, ADMIN, JSON,
    },
    summary = "follow violations and incidents as they come",
    text = [[
Prints a line for each violation, and for each change of an incident, until Ctrl-C. --json prints each as a JSON
object. What could not be read in time is counted in a line of its own. Where the agent ends it waits until one is
there again, and goes on with what came since.]],
    examples = {
      { "fluo tail", "all of them" },
      { "fluo tail --rule slow-query --json", "of one rule, for programs" },
    },
  },
  {
    name = "ack", usage = "fluo ack ID", arguments = { 1, 1 }, flags = { ADMIN, JSON },
    summary = "acknowledge an incident: nobody is reminded of it",
    text = [[
Says that somebody looks after the incident whose id begins so. Its receivers are not told of it again until it
resolves.]],
    examples = { { "fluo ack 3f2a9c01", "by the beginning of its id" } },
  },
  {
    name = "resolve", usage = "fluo resolve ID", arguments = { 1, 1 }, flags = { ADMIN, JSON },
    summary = "say that an incident is over",
    text = "Resolves the incident whose id begins so; its receivers are told. The next violation opens it again.",
    examples = { { "fluo resolve 3f2a9c01", "by the beginning of its id" } },
  },
  {
    name = "silence", usage = "fluo silence MATCHERS --for TIME | --until-resolved; list; end ID", arguments = { 1, 2 },
    flags = {
      { name = "for", value = "TIME", type = value.duration, help = "it ends after that time" },
      { name = "until-resolved", help = "it ends when what it holds has resolved" },
      { name = "comment", value = "TEXT", help = "why" },
      { name = "by", value = "NAME", help = "who; the user's name" }, ADMIN, JSON,
    },
    summary = "keep incidents from being told; list silences, end one",
    text = [[
Receivers are told nothing of incidents that match while a silence is in force. Matchers are written as Alertmanager
writes them, on rule, severity, keys of the incident's group, and labels: all must hold. `fluo silence list` shows
those in force, `fluo silence end ID` ends one.]],
    examples = {
      { "fluo silence 'rule=\"slow-query\", service=~\"test-.*\"' --for 2h --comment 'load test'", "two hours" },
      { "fluo silence severity=low --until-resolved", "until these are over" },
      { "fluo silence list", "in force" },
      { "fluo silence end 91c0d3", "by the beginning of its id" },
    },
  },
  {
    name = "feedback", usage = "fluo feedback ID --false-positive | --right | --revoke; list", arguments = { 1, 1 },
    flags = {
      { name = "false-positive", help = "it should not have fired" },
      { name = "right", help = "it should have" },
      { name = "revoke", help = "take back all that was said of its group" },
      { name = "by", value = "NAME", help = "who; the user's name" }, ADMIN, JSON,
    },
    summary = "say whether a violation was right; list what that has widened",
    text = [[
What is said of violations of windows widens the limit of their group, or takes that back; of others it is kept.
`fluo feedback list` shows which groups are widened, and by how much.]],
    examples = {
      { "fluo feedback 3f2a9c01 --false-positive", "the limit is too narrow" },
      { "fluo feedback list", "what is widened" },
    },
  },
  {
    name = "fields", usage = "fluo fields [--json] FILE|live", arguments = { 1, 1 },
    flags = {
      { name = "top", value = "N", type = value.int, help = "so many of each list, 50" },
      { name = "duration", value = "TIME", type = value.duration, help = "of live: how long to listen, 10s" },
      ADMIN, JSON,
    },
    summary = "show what rules can ask of recorded or live traces",
    text = [[
Lists services, span names, and the attribute keys of spans, resources, events, links and scopes, with how often
each occurs, its types, and values that were seen. `live` listens to the running agent (a file of that name is
./live). Values of keys that look secret are not shown; others are, and may be personal data.]],
    examples = {
      { "fluo fields traces.jsonl", "of a recording" },
      { "fluo fields live --duration 30s", "of what arrives now" },
      { "fluo fields --json traces.jsonl", "one JSON object, for programs" },
    },
  },
  {
    name = "explain", usage = "fluo explain [--rules PATH] [--trace ID] [--json] RULE FILE…",
    arguments = { 2, 65536 },
    flags = { { name = "trace", value = "ID", help = "only the trace whose id begins so" }, JSON,
              { name = "color", value = "WHEN", help = "auto, always or never; auto heeds NO_COLOR" } },
    summary = "say why a rule fired on recorded traces, or did not",
    text = [[
Judges recorded traces as `fluo replay` does and shows what one rule came to on each: every part of it, true,
false or unknown, the values that were there, and what came nearest. Without --trace: the traces on which it
fired, then those that came nearest, three at most. Ends with 0; with 1 for bad input or rules, or where there
is no such rule or trace.]],
    examples = {
      { "fluo explain --rules rules/ slow-query traces.jsonl", "the traces that came nearest" },
      { "fluo explain slow-query --trace 4bf92f35 traces.jsonl", "one trace, by the beginning of its id" },
      { "fluo explain --json slow-query traces.jsonl", "one JSON object a trace" },
    },
  },
  {
    name = "repl", usage = "fluo repl FILE", arguments = { 1, 1 }, flags = {},
    summary = "try patterns and conditions on recorded traces",
    text = [[
Reads patterns and conditions, a line each, as they stand after `when =` in a Lua rule, and says which spans or
traces of the file match, as `fluo replay` judges them. On a terminal Tab completes fields, keys and values of the
file, where libedit is installed. Ctrl-D ends it.]],
    examples = {
      { "fluo repl traces.jsonl", "by hand" },
      { "echo '{ status = \"ERROR\" }' | fluo repl traces.jsonl", "from a pipe" },
    },
  },
  {
    name = "convert", usage = "fluo convert FILE", arguments = { 1, 1 }, flags = {},
    summary = "print the rules of a file as Lua",
    text = [[
Prints the rules of a file, whatever their dialect, as Lua: what the file's own rules run as, so both judge alike.
Ends with 1 if the file does not load.]],
    examples = {
      { "fluo convert rules.yml > rules.lua", "YAML; likewise .rule and .js" },
    },
  },
  {
    name = "query", usage = "fluo query [--json] QUERY FILE…", arguments = { 2, 65536 }, flags = { JSON },
    summary = "find spans of recorded traces by a TraceQL selector",
    text = [[
Judges recorded traces as `fluo replay` does by one rule, `trace.ql "QUERY"`, and prints each trace in which the
query leaves a span, with these spans (32 at most). --json prints what `fluo replay` would. Ends with 0, also
where nothing is found; with 1 for a wrong query or bad input.]],
    examples = {
      { "fluo query '{ status = error } >> { duration > 1s }' traces.jsonl", "who was slow below an error" },
      { "fluo query '{ } | by(name) | count() > 50' a.jsonl b.pb.gz", "what is repeated" },
    },
  },
  {
    name = "tune", usage = "fluo tune [--rules PATH] [--comparison N] [--per-day N] [--json] RULE FILE…",
    arguments = { 2, 65536 },
    flags = { { name = "comparison", value = "N", type = value.int, help = "of several numbers the N-th; 1" },
              { name = "per-day", value = "N", type = value.int, help = "how often it may fire a day; 1" }, JSON },
    summary = "say how often a rule would have fired at which threshold",
    text = [[
Judges recorded traces as `fluo replay` does, once for each of some thresholds around the present one and
around the values that there were, and prints how often the rule would have fired at each, and which one to
take. A threshold is what a window, a count, a cascade, a duration or a numeric attribute is compared with.
Ends with 0; with 1 for bad input or rules, where there is no such rule, or where it compares no number.]],
    examples = {
      { "fluo tune --rules rules/ slow-query traces.jsonl", "its first number" },
      { "fluo tune --comparison=2 slow-query traces.jsonl", "its second" },
      { "fluo tune --per-day=5 error-rate monday.jsonl.gz tuesday.jsonl.gz", "it may fire five times a day" },
    },
  },
  {
    name = "test", usage = "fluo test [--filter TEXT] [--junit FILE] [--json] [PATH]", arguments = { 0, 1 },
    flags = { { name = "filter", value = "TEXT", help = "only tests whose name holds this" },
              { name = "junit", value = "FILE", help = "write JUnit XML too" }, JSON },
    summary = "run the specs beside the rules",
    text = [[
Runs every *_spec.lua of a directory of rules, or one file, under busted (apt install lua-busted). What a test
builds is judged as `fluo replay` would. Ends with 0 when all tests pass, with 1 when one does not, with 2 when
none could be run.]],
    examples = {
      { "fluo test rules/", "all specs of a directory" },
      { "fluo test rules/slow_query_spec.lua", "one file" },
      { "fluo test --filter=retry rules/", "the tests with `retry` in their name" },
      { "fluo test --junit=report.xml rules/", "in a build" },
    },
  },
  {
    name = "notify", usage = "fluo notify [-c FILE] [--dry-run] [--resolved] NAME [ALERT.json]", arguments = { 0, 2 },
    flags = { { name = "dry-run", help = "print what would be sent, secrets hidden, and send nothing" },
              { name = "example", help = "an example alert, as where no file is named" },
              { name = "resolved", help = "the example's resolve" },
              { name = "print", value = "TYPE", help = "print the source of a built-in type, to copy and change" } },
    sends = true, summary = "send an alert by a receiver now, and say what was answered",
    text = [[
Sends an example alert, or the one of a file (- is standard input), by the receiver of the configuration or the
action of the rules that is named, as the agent would, and prints what came of it. Ends with 0 if it was delivered,
else with 1.]],
    examples = {
      { "fluo notify -c fluo.lua ops", "does it get through?" },
      { "fluo notify -c fluo.lua --resolved ops", "and its resolve, which closes it again" },
      { "fluo notify -c fluo.lua --dry-run ops", "what would be sent" },
      { "fluo notify --print slack > rules/slack.lua", "a copy of a built-in type, which goes before it" },
    },
  },
  {
    name = "init", usage = "fluo init [DIR]", arguments = { 0, 1 }, flags = {},
    summary = "write a directory of rules to begin with",
    text = [[
Writes a rule, its spec, and what editors need to know what rules and specs see: .luarc.json and .fluo/ for
lua-language-server, .luacheckrc for luacheck. Never writes over a file.]],
    examples = {
      { "fluo init", "into rules/" },
      { "fluo init /etc/fluo/rules", "elsewhere" },
    },
  },
  {
    name = "config show", usage = "fluo config show [-c FILE] [--json] [FLAG…]", arguments = { 0, 0 },
    flags = { JSON },
    sends = true, summary = "show every configuration value and where it comes from",
    text = [[
Evaluates the configuration as `fluo run` would with the same file, variables and flags, and prints each key,
its value and its source.]],
    examples = {
      { "fluo config show", "the defaults and what goes over them" },
      { "fluo config show -c fluo.lua --trace.idle=5s", "before a change goes live" },
    },
  },
  {
    name = "version", usage = "fluo version", arguments = { 0, 0 }, flags = {}, plain = true,
    summary = "print the version",
    text = "Prints the version.",
    examples = { { "fluo version" } },
  },
  {
    name = "help", usage = "fluo help [COMMAND]", arguments = { 0, 2 }, flags = {}, plain = true,
    summary = "help on a command",
    text = "Prints what a command does, with examples.",
    examples = { { "fluo help run" }, { "fluo run --help" } },
  },
}

M.by_name, M.names = {}, {}
for i, command in ipairs(M) do
  M.by_name[command.name] = command
  M.names[i] = command.name
end
-- The core speaks of one word.
M.by_name.config = M.by_name["config show"]

return M
