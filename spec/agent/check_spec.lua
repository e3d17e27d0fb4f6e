-- What `fluo check` says of the mistakes that people make first: the whole message, its place and its hint.
local replay = require("spec.replay")

-- What check says of a text: "line:column message", the hint, the excerpt's caret column, how many errors, the status.
local function check(text)
  local file = os.tmpname() .. ".lua"
  replay.write(file, text)
  local status, out = replay.shell(("%s check %s"):format(replay.fluo, file))
  os.remove(file)
  local line, column, message = out:match("%.lua:(%d+):(%d+): error: ([^\n]*)")
  local caret = out:match("\n( *)%^\n")
  return { line and ("%s:%s %s"):format(line, column, message) or out, out:match("\n  hint: ([^\n]*)"), caret and #caret - 3,
    out:match("(%d+) error"), status }
end

local ROWS = {
  { 'rule "a" {\n  when = { name = "x" ,\n',
    '3:1 ' .. 'unexpected symbol near \'<eof>\'',
    'the `{` in line 2 is not closed' },
  { 'rule "a" {\n  severity = "high"\n  when = { name = "x" },\n}\n',
    '3:3 ' .. '\'}\' expected (to close \'{\' at line 1) near \'when\'',
    'is a comma or a closing brace missing before it?' },
  { 'rule "a" {\n  when = { name = "x" } },\n}\n',
    '2:26 ' .. 'unexpected symbol near \',\'',
    'nothing but statements stands outside of rules: rule "name" { … }' },
  { 'rule "a" {\n  when = { name = "x },\n}\n',
    '2:19 ' .. 'unfinished string near \'"x },\'',
    'a text ends in its line: is a quote missing?' },
  { 'rule "a" {\n  when = { name == "x" },\n}\n',
    '2:12 ' .. 'undefined global `name`',
    'a pattern has one `=`: write name = …, or for another value ne(…)' },
  { 'rule "a" {\n  when: { name = "x" },\n}\n',
    '2:9 ' .. '\'<name>\' expected near \'{\'',
    'a key and its value are joined by `=`: when = …' },
  { 'rule "a" {\n  when = trace.has { name = "x" } && trace.has { name = "y" },\n}\n',
    '2:35 ' .. '\'}\' expected (to close \'{\' at line 1) near \'&\'',
    'conditions are joined by `*` and `+`, one span\'s entries by commas; in functions Lua writes `and`, `or`' },
  { 'rule "a" {\n  when = { name != "x" },\n}\n',
    '2:17 ' .. '\'}\' expected near \'!\'',
    'unequal is ne(…) in a pattern, in functions Lua writes `~=` and `not`' },
  { 'rule "a" {\n  when = { http.status_code = 500 },\n}\n',
    '2:29 ' .. '\'}\' expected near \'=\'',
    'a name with dots is quoted: ["http.status_code"] = …' },
  { 'rule "a" {\n  when = { name = checkout },\n}\n',
    '2:19 ' .. 'undefined global `checkout`',
    'if it is text, quote it: "checkout"' },
  { 'rule "a" {\n  when = { duration = greater_than "5s" },\n}\n',
    '2:23 ' .. 'undefined global `greater_than`',
    'the operand is called `gt`' },
  { 'rule "a" {\n  when = { name = "x" },\n  serverity = "high",\n}\n',
    '3:3 ' .. 'unknown key `serverity`',
    'did you mean `severity`?' },
  { 'rule "a" {\n  when = trace.has { name = "x" } and trace.has { name = "y" },\n}\n',
    '2:35 ' .. 'Lua\'s own `and` in `when` drops a side without a word',
    'write `:and_(…)` or `*`; for one span, both in one pattern table or all_of { … }' },
  { 'rule "a" {\n  when = trace.count { name = "x" } > 5,\n}\n',
    '2:37 ' .. 'attempt to compare number with table',
    'compare by a method, as in `trace.count(…):over(5)`, or an operand, as in gt(5)' },
  { 'rule "a" {\n  when = trace.has { name = "x" }.followed_by { name = "y" },\n}\n',
    '2:35 ' .. 'call `followed_by` with a colon, as in `a:followed_by(b)`',
    nil },
  { 'rule "a" {\n  when = trace:has { name = "x" },\n}\n',
    '2:16 ' .. '`has` is called with a dot',
    'write trace.has { … }' },
  { 'rule "a" {\n  when = trace.has { name = "x" }:followed_by({ name = "y" }):within(5s),\n}\n',
    '2:70 ' .. 'malformed number near \'5s\'',
    'a number has no unit: a duration with one is text, as in "5s"' },
  { 'rule "a" {\n  when = trace.has { name = "x" }:followed_by({ name = "y" }):within "5 sec onds",\n}\n',
    '2:77 ' .. 'unknown unit `sec onds` in the duration `5 sec onds`',
    'did you mean `seconds`? a duration is a number and a unit: ns, us, ms, s, m (minute), h, d, as in "300ms"' },
  { 'rule "a" {\n  severity = "low",\n}\n',
    '1:1 ' .. 'the rule has no `when`',
    'write when = { name = "…" } or when = trace.has { … }' },
  { 'rule "a" {\n  when = { name = "x" },\n  actions = "team",\n}\n',
    '3:3 ' .. '`actions` is a list of at most 64 actions',
    'write actions = { log "text", "alert-team" }' },
  { 'rule "a" {\n  when = { name = matches "GET (/a" },\n}\n',
    '2:28 ' .. 'the regular expression `GET (/a` does not compile: missing closing parenthesis (at its byte 7)',
    nil },
  { 'rule "a" {\n  when = { name = "x" },\n  summary = "{service: {name}",\n}\n',
    '3:3 ' .. 'a `{` in the template is not closed',
    'a brace itself is written twice: `{{`' },
  { 'local limits = {}\nrule "a" {\n  when = { n = gt(limits.max.value) },\n}\n',
    '3:26 ' .. 'attempt to index field \'max\' (a nil value)',
    nil },
  { 'rule "a" {\n  when = { http = { status_code = 500 } },\n}\n',
    '2:12 ' .. '`http` cannot be equal to a table',
    'a name with dots is one key: ["http.status_code"] = …' },
  { 'rule "a" {\n  when = { { name = "x" }, { name = "y" } },\n}\n',
    '1:1 ' .. 'a pattern has keys: this entry has none',
    'write { name = "…" }; several patterns are joined by any_of { … } or all_of { … }' },
  { 'rule "a" {\n  when = { event = "exception" },\n}\n',
    '2:12 ' .. '`event` takes a table or a function',
    'write event = { name = "exception" }' },
  { 'rule "a" {\n  when = { name = os.getenv("NAME") },\n}\n',
    '2:19 ' .. 'undefined global `os`',
    'rule files are sealed: this part of Lua is not among what they may use' },
  { 'rule "a" {\n  when = { name = "x" },\n  always = { name = "y" },\n}\n',
    '3:3 ' .. '`always` is a trace condition',
    'write always = trace.has { … }' },
  { 'rule "a" {\n  when = { where = function(span) if span.root then return true end },\n}\n',
    '2:69 ' .. 'unexpected symbol near \'}\'',
    'is an `end` missing before it?' },
  { 'rule "a" {\n  when = { name = "x" },\n  labels = { team = 5 },\n}\n',
    '3:14 ' .. '`team` is text, not a number',
    nil },
  { 'rule \'a\' {\n  when = { status = \'FAIL\' },\n}\n',
    '2:22 ' .. 'unknown status `FAIL`',
    'expected one of UNSET, OK, ERROR, EXPLICIT_OK' },
  { 'rule "a" {\n  when = trace.has({ name = "x" }:within "5s",\n}\n',
    '2:34 ' .. '\')\' expected near \':\'',
    'the `(` in line 2 is not closed' },
  { 'rule "a" = {\n  when = { name = "x" },\n}\n',
    '1:10 ' .. 'unexpected symbol near \'=\'',
    'write rule "name" { … }, without `=`' },
  { 'rule "a" {\n  when = { name = "x" },\n  for = "5m",\n}\n',
    '3:3 ' .. 'unexpected symbol near \'for\'',
    '`for` is a word of Lua: the key is pending_for' },
  { 'rule "a" {\n  when = trace.has { name = "x" }:followed_by(trace.missing { name = "y" }),\n}\n',
    '2:35 ' .. '`followed_by` needs spans on both sides',
    'an absence has no start; write `a:not_followed_by(b)`, or put `trace.missing(…)` in an `and` with `:within(…)`' },
  { 'rule "a" {\n  when = { duration = "> 5s" },\n}\n',
    '2:24 ' .. '`> 5s` is not a duration',
    'a duration is a number and a unit: ns, us, ms, s, m (minute), h, d, as in "300ms"' },
}

describe("fluo check of a broken file", function()
  for i, row in ipairs(ROWS) do
    it(("%d says: %s"):format(i, row[2]), function()
      local found = check(row[1])
      local column = row[1]:sub(-1) == "\n" and tonumber(row[2]:match(":(%d+)")) or nil
      assert.same({ row[2], row[3], "1", 1 }, { found[1], found[2], found[4], found[5] })
      if found[3] then assert.equal(column, found[3]) end
    end)
  end
end)
