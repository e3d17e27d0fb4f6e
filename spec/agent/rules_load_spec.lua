-- What loads and what does not (rules/README.md), said by `fluo check`, `fluo replay` and `fluo run`.
local replay = require("spec.replay")

-- A directory with the given files (a name with / makes its folder) for the time of one function.
local function with(files, use)
  local dir = os.tmpname()
  os.remove(dir)
  assert(os.execute("mkdir -p " .. dir .. "/lib " .. dir .. "/sub") == 0)
  for name, text in pairs(files) do replay.write(dir .. "/" .. name, text) end
  local ok, why = pcall(use, dir)
  os.execute("rm -rf " .. dir)
  if not ok then error(why, 0) end
end

-- What check says of files: its errors and warnings as "file:line:col: …" lines with their hints, and the status.
local function check(files, flags)
  local said, status
  if type(files) == "string" then files = { ["r.lua"] = files } end
  with(files, function(dir)
    local out, err
    status, out, err = replay.shell(("%s check %s %s"):format(replay.fluo, flags or "", dir))
    said = (out .. err):gsub(dir:gsub("%p", "%%%0") .. "/?", "")
  end)
  return said, status
end

-- A place "2:@word" is that of the word in line 2, where it stands once.
local function place_of(text, place)
  local number, word = place:match("^(%d+):@(.+)$")
  if not number then return place end
  local line = (text:gsub("^\239\187\191", "") .. "\n"):match(("[^\n]*\n"):rep(number - 1) .. "([^\n]*)\n")
  local column = line:find(word, 1, true)
  assert(not line:find(word, column + 1, true), word .. " stands twice in " .. line)
  return number .. ":" .. column
end

-- Rows of { text of a file, place, message has, hint has }: one error each, at that place.
local function refuses(rows)
  for _, row in ipairs(rows) do
    row[2] = place_of(row[1], row[2])
    local said, status = check(row[1])
    assert.equal(1, status, row[1])
    local where, message = said:match("^r%.lua:(%d+:%d+): error: ([^\n]*)")
    assert.equal(row[2], where, row[1] .. "\n" .. said)
    assert.truthy(message:find(row[3], 1, true), said)
    if row[4] then assert.truthy((said:match("hint: ([^\n]*)") or ""):find(row[4], 1, true), said) end
    assert.truthy(said:find("1 error", 1, true), said)
  end
end

local function loads(...)
  for _, text in ipairs { ... } do
    local said, status = check(text)
    assert.equal(0, status, text .. "\n" .. said)
  end
end

local function when(text) return ('rule "r" { when = %s }\n'):format(text) end

describe("a rule", function()
  it("may have every key of the page", function()
    local said, status = check [[
rule "auth-failure-then-retry" {
  description = "A login error that a retry hides", severity = "high",
  when = trace.has { name = "auth.login", status = "ERROR" }:followed_by { name = "auth.login",
    status = "OK" }:within "5s",
  always = trace.has { name = "a" }, never = trace.missing { name = "b" },
  actions = { log "login errors hidden by a retry" }, mode = "shadow",
    summary = "{service}: {span.name} took {span.duration} ms",
  labels = { team = "x" }, late = false, complete = true, group_by = { "service" }, pending_for = "1m",
    keep_firing_for = "1m",
  cooldown = "5 minutes", resolve_after = 1000, resolve_when = trace.has { name = "c" }, m_of_n = { 3, 5 },
}]]
    assert.equal(0, status, said)
    assert.truthy(said:find("1 rule, 0 errors, 0 warnings", 1, true), said)
  end)

  it("takes every severity, mode, status and kind", function()
    for _, key in ipairs { 'severity = "low"', 'severity = "medium"', 'severity = "critical"', 'mode = "active"',
      'mode = "off"' } do loads(('rule "r" { when = {}, %s }'):format(key)) end
    loads(when '{ kind = one_of { "INTERNAL", "server", "SPAN_KIND_CLIENT", "producer", "CONSUMER" } }',
          when '{ status = one_of { "unset", "STATUS_CODE_OK", "error", "EXPLICIT_OK" } }')
  end)

  it("is refused for an unknown key, field or unit", function()
    refuses {
      { 'rule "r" {\n  when = {},\n  severty = "high",\n}', "3:3", "severty", "`severity`" },
      { 'rule "r" { when = {}, wen = {} }', "1:23", "unknown key `wen`", "`when`" },
      { 'rule "r" { when = {}, ["for"] = "1m" }', "1:25", "`for`", "pending_for" },
      { when '{ event = { nam = "x", duration = 5 } }', "1:42", "no field `duration`" },
      { when '{ duration = gt "5 parsecs" }', "1:@parsecs", "unknown unit `parsecs`" },
      { when '{ duration = gt "5 secnds" }', "1:@secnds", "unknown unit", "did you mean `seconds`" },
      { when '{ duration = gt "5M" }', "1:@5M", "unknown unit `M`", "did you mean `m`" },
      { when 'trace.has {}:followed_by {}:within "1h30m"', "1:@1h30m", "unknown unit `h30m`" },
      { when '{ duration = gt "300" }', "1:@300", "no unit", "300ms" },
      { when 'trace.has {}:followed_by {}:within "5 M0"', "1:@M0", "unknown unit" },
      { 'rule "r" { when = {}, cooldown = "1 fortnight" }', "1:@fortnight", "unknown unit `fortnight`" },
      { when "{ duration = -5 }", "1:@-5", "never negative" },
      { 'rule "r" { when = {}, summary = "{span.nam}" }', "1:@span.nam", "no field `nam`", "`name`" },
      { when "trace.haas {}", "1:@haas", "no `haas`", "`has`" },
      { when "trace.has {}:folowed_by {}", "1:@folowed_by", "`folowed_by`", "`followed_by`" },
    }
  end)

  it("is refused for an unknown value of a closed set", function()
    refuses {
      { 'rule "r" { when = {}, severity = "hihg" }', "1:35", "severity `hihg`", "`high`" },
      { 'rule "r" { when = {}, severity = "HIGH" }', "1:35", "severity `HIGH`" },
      { 'rule "r" { when = {}, severity = 3 }', "1:23", "severity" },
      { 'rule "r" { when = {}, mode = "shadows" }', "1:31", "mode `shadows`", "`shadow`" },
      { when '{ status = "FAILED" }', "1:31", "status `FAILED`", "ERROR" },
      { when '{ status = ne "EROR" }', "1:34", "status `EROR`", "`ERROR`" },
      { when "{ status = 2 }", "1:21", "status" },
      { when '{ kind = "srvr" }', "1:29", "kind `srvr`", "SERVER" },
      { when 'trace.where({}, { scope = "below" }):has {}', "1:46", "scope `below`", "trace" },
      { when "trace.where({}, { scop = 'span' }):has {}", "1:37", "unknown option `scop`", "`scope`" },
      { when '{ root = "yes" }', "1:21", "`root`" },
      { when "{ status = contains 'ERR' }", "1:30", "`contains`" },
    }
  end)

  it("is refused for a regular expression that does not compile", function()
    refuses { { when '{ name = matches "a(b" }', "1:37", "does not compile" },
      { when '{ name = matches "*a" }', "1:37", "does not compile" } }
  end)

  it("is refused for trailing text, with the place of what does not fit", function()
    refuses {
      { when("{}") .. "foo\n", "2:1", "" }, { 'rule "r" { when = {} } foo', "1:24", "" },
      { 'rule "r" { when = {} } }', "1:24", "'}'" }, { 'rule "r" { when = {} ) }', "1:22", "')'" },
      { 'rule "r" {\n  when = {},\n', "3:1", "" },
    }
  end)

  it("is refused for a condition that cannot be a boolean", function()
    refuses {
      { when "trace.count { name = 'a' }", "1:25", "a number", ":over(" },
      { when "trace.where { name = 'a' }", "1:25", "no condition", ":has(" },
      { when '"x"', "1:12", "string", "name" }, { when "5", "1:12", "number" },
      { when "true", "1:12", "boolean" }, { when "gt(5)", "1:12", "operand" }, { when "trace", "1:12", "" },
      { 'rule "r" { severity = "low" }', "1:1", "no `when`" },
      { when "trace.count({}) > 5", "1:35", "compare", ":over(" },
      { 'rule "r" { when = trace.has {}, never = trace.count {} }', "1:47", "a number" },
      { 'rule "r" { when = trace.has {}, never = {} }', "1:33", "`never`", "trace.has" },
      { when "trace.has {} .. 'x'", "1:1", "concatenate", ":and_(" },
    }
  end)

  it("is refused for an undefined global, also in a function that never ran; a bare word is to be quoted",
    function()
    refuses {
      { when "{ status = ERROR }", "1:30", "`ERROR`", 'quote it: "ERROR"' },
      { when "function(s) return pritn(s) end", "1:38", "`pritn`" },
      { when "has {}", "1:19", "`has`", "trace.has" }, { when "{ name = globb 'x' }", "1:28", "`globb`", "`glob`" },
      { 'x = 5\nrule "r" { when = {} }', "1:1", "`x`", "local x" },
      { when "function(s) seen = s.name return true end", "1:31", "`seen`", "local" },
    }
  end)

  it("is refused for Lua's own and, or, not in when, always, never outside a function", function()
    refuses {
      { when "trace.has {} and trace.has {}", "1:32", "`and`", "write `:and_(…)` or `*`" },
      { when "trace.has {} or trace.has {}", "1:32", "`or`", "`:or_(…)` or `+`" },
      { when "not trace.has {}", "1:19", "`not`", ":not_()" },
      { 'rule "r" {\n  when = trace.has {},\n  always = trace.has { a = 1 }\n    and trace.has { b = 1 },\n}',
        "4:5", "`and`" }, { 'rule "r" { when = trace.has {}, never = not trace.has {} }', "1:41", "`not`" },
        { when '{ name = "a" } and { v = 1 }', "1:34", "`and`" },
      { when "trace.has { a = 1 }:and_(trace.has { b = 1 } or trace.has { c = 1 })", "1:64", "`or`" },
    }
    loads(when "function(s) return not s.root and s.name == 'a' or false end",
      when "trace.has { name = 'a', where = function(s) return s.root and true end }",
      when '{ name = "this and that or not" }', when "{} -- and or not\n",
      'local slow = function(s) return s.duration > 5 and s.root end\n' .. when "slow")
  end)

  it("is refused for a condition that is built and used by no rule", function()
    refuses {
      { 'local x = trace.has { name = "a" }\nrule "r" { when = {} }', "1:1", "used by no rule" },
      { 'local x = trace.has {} and trace.missing {}\nrule "r" { when = x }', "1:1", "used by no rule" },
      { 'rule "r" {\n  when = trace.has {},\n  description = trace.has { name = "a" } and "x" or "y",\n}', "1:1",
        "used by no rule" },
    }
    loads('local x = trace.has { name = "a" }\nrule "r" { when = x }\nrule "s" { when = x:and_(trace.has {}) }')
  end)

  it("is refused for always or never without a trace condition as when", function()
    refuses { { 'rule "r" { when = {}, always = trace.has {} }', "1:23", "`always`" },
      { 'rule "r" { when = function() return true end, never = trace.has {} }', "1:47", "`never`" },
      { 'rule "r" { when = {}, complete = true }', "1:23", "`complete`" } }
  end)

  it("is refused for within on anything that is no chain", function()
    for _, form in ipairs { "trace.has {}", "trace.missing {}", "(trace.has {} + trace.has {})", "trace.all {}",
      "trace.where({}):has({})", "trace.duration(gt(5))", "trace.span_count(gt(5))",
                            "(-trace.has({}):followed_by({}))", "(trace.has {} * trace.all {})",
                              "(trace.has {} * trace.duration(gt(5)))", "(trace.missing {} * trace.missing {})" } do
      local said, status = check(when(form .. ":within '5s'"))
      assert.equal(1, status, form)
      assert.truthy(said:find("`within`", 1, true), said)
    end
    loads(when "trace.count({}):over(2):within '5s'", when "(trace.has {} * trace.missing {}):within '5s'",
      when "trace.has({}):and_(trace.count({}):over(2)):within(5)")
    refuses { { when "trace.has({}):followed_by({}):within(0)", "1:49", "zero" },
      { when "trace.has({}):followed_by({}):within()", "1:49", "duration" } }
  end)

  it("is refused for text, labels and switches of another kind", function()
    refuses {
      { 'rule "r" { when = {}, summary = 5 }', "1:@summary", "is text" },
      { 'rule "r" { when = {}, description = {} }', "1:@description", "is text" },
      { 'rule "r" { when = {}, labels = { a = 5 } }', "1:34", "is text" },
      { 'rule "r" { when = {}, labels = { "a" } }', "1:@labels", "a label has a name" },
      { 'rule "r" { when = trace.has {}, complete = "yes" }', "1:33", "true or false" },
    }
  end)

  it("is refused for a condition that could never hold, or compares with nothing", function()
    refuses {
      { when "trace.count {}:over(-1)", "1:@over", "a whole number" }, { when "trace.count {}:over(1.5)", "1:@over", "a whole number" },
      { when "trace.count {}:over '5s'", "1:@over", "a whole number" }, { when "trace.count {}:under(0)", "1:@under", "can never hold" },
      { when "trace.span_count(gt(1.5))", "1:39", "a whole number" }, { when "trace.duration(lt(0))", "1:34", "never below 0" },
      { when "trace.has {}:gap({}, contains 'a')", "1:@contains", "cannot be asked" },
      { when "trace.has()", "1:@has", "one pattern" }, { when "trace.has 'x'", "1:30", "not text" },
      { when "{ duration = missing }", "1:@missing", "never missing" },
      { when "{ name = trace.has {} }", "1:@name", "cannot be equal to a table", "a condition is no value" },
    }
  end)

  it("is refused for operands that are not used as they are meant", function()
    refuses {
      { when "{ name = one_of('a', 'b') }", "1:28", "one list" }, { when "{ name = gt }", "1:21", "not called" },
      { when "{ v = missing() }", "1:25", "bare" },
      { when "{ v = { 1, 2 } }", "1:21", "table", "one_of" },
      { when "{ v = one_of {} }", "1:25", "one_of" }, { when "{ v = between(5, 1) }", "1:25", "between" },
      { when "{ v = gt() }", "1:25", "argument" }, { when "{ v = gt '5s' }", "1:@5s", "not a number", "no unit" },
      { when "{ duration = contains '5' }", "1:32", "`contains`" }, { when "{ 'a' }", "1:1", "key" },
      { when "{ v = 0/0 }", "1:21", "finite" }, { when "{ trace_id = 'xyz' }", "1:33", "32 hexadecimal digits" },
    }
  end)
end)

describe("an order by text that is no number", function()
  it("is a warning: it never holds, and is no error", function()
    local said, status = check(when "{ v = gt 'abc' }")
    assert.equal(0, status)
    assert.truthy(said:find("r.lua:1:29: warning: `abc` is not a number, so `gt` never holds", 1, true), said)
  end)
end)

describe("a scope", function()
  it("follows from `when`", function()
    local rules = 'rule "s" { when = {} }\nrule "f" { when = function() return true end }\n'
      .. 'rule "t" { when = trace.has {} }\nrule "w" { when = window("1m"):count():over(0) }\n'
      .. 'rule "q" { when = sequence { by = "name", within = "1s", {}, {} } }\n'
    local scopes = {}
    for _, v in ipairs(replay.run(rules, { replay.arrival("a@0"), replay.arrival("a@5", "u") })) do
      scopes[v.rule] = v.scope
    end
    assert.same({ s = "span", f = "span", t = "trace", w = "window", q = "sequence" }, scopes)
  end)
end)

describe("a name", function()
  it("is unique over all files; the error names both places", function()
    local said, status = check { ["a.lua"] = when "{}", ["b.lua"] = "\n" .. when "{}" }
    assert.equal(1, status)
    assert.truthy(said:find("b.lua:2:7: error: the name `r` is taken: a.lua:1:7 has it", 1, true), said)
    said, status = check(when "{}" .. when "{}")
    assert.equal(1, status)
    assert.truthy(said:find("r.lua:2:7:.*r.lua:1:7"), said)
  end)

  it("is taken also by a rule that is off, and by one of the same file", function()
    refuses { { 'rule "r" { when = {}, mode = "off" }\nrule "r" { when = { v = 1 } }', "2:7", "the name `r` is taken" } }
  end)

  it("is text that is not empty", function()
    for _, text in ipairs { 'rule "" { when = {} }', "rule(5) { when = {} }", 'rule { when = {} }', 'rule "a"',
      'rule "a" "b"' } do assert.equal(1, select(2, check(text)), text) end
  end)
end)

describe("an error", function()
  it("stands at the word at fault where it stands once in the rule, else at the rule's line", function()
    refuses {
      { '-- severty\n\nrule "r" {\n  description = "x",\n  when = {},\n    severty = "low",\n}', "6:5", "severty" },
      { 'rule "r" {\n  when = { status = "OOPS",\n    v = "OOPS" },\n}', "1:1", "OOPS" },
      { 'rule "r" {\n  when = trace.has { status = "OOPS" },\n}\nrule "s" { when = { v = "OOPS" } }', "2:32",
        "OOPS" },
    }
  end)

  it("does not hide another: check lists every error of every file, and exits 1", function()
    local said, status = check { ["a.lua"] = when "{ status = 'X' }" .. 'rule "s" { when = {}, mode = "Y" '
      .. '}\nrule "t" { when = trace.haz {}, severity = "Z" }\n', ["b.lua"] = "rule \"q\" { when = nope }",
      ["c.lua"] = "rule (" }
    assert.equal(1, status)
    for _, part in ipairs { "a.lua:1:", "a.lua:2:", "a.lua:3:", "b.lua:1:", "c.lua:1:", "`X`", "`Y`", "`haz`",
      "`nope`" } do assert.truthy(said:find(part, 1, true), part .. " in\n" .. said) end
  end)

  it("takes the whole file away, and no other: replay and run refuse, unless told --skip-broken", function()
    with({ ["a.lua"] = 'rule "good-in-bad" { when = {} }\nrule "bad" { when = { status = "X" } }\n',
      ["b.lua"] = 'rule "good" { when = {} }\n' }, function(dir)
      local found, status = replay.run(dir, { replay.arrival "a@0" })
      assert.same({ 1, 0 }, { status, #found })
      found, status = replay.run(dir, { replay.arrival "a@0" }, "--skip-broken")
      assert.same({ 0, 1, "good" }, { status, #found, found[1] and found[1].rule })
      local code, _, stderr = replay.shell(("timeout 60 %s run --rules %s --data %s/data "
        .. "--listen.otlp-http=127.0.0.1:0 --listen.admin=127.0.0.1:0 --log.format=text"):format(replay.fluo, dir, dir))
      assert.equal(1, code, stderr)
      assert.truthy(stderr:find("a.lua:2:", 1, true), stderr)
    end)
  end)
end)

describe("an action that nothing defines", function()
  it("is a warning, and log runs in its place", function()
    local said, status = check 'rule "r" { when = { name = "a" }, actions = { "alert-team", log "x" } }'
    assert.equal(0, status)
    assert.truthy(said:find("r.lua:1:48: warning:", 1, true) and said:find("1 rule, 0 errors, 1 warning", 1, true),
      said)
    local found = replay.run('rule "r" { when = { name = "a" }, actions = { "alert-team" } }', { replay.arrival "a@0" })
    assert.equal(1, #found)
  end)

  it("may be no number, no table, no empty text, and its template has to be whole", function()
    for _, action in ipairs { "5", "{}", '""', "{ 'a' }", 'log "{x"', "log(5)" } do assert.equal(1,
      select(2, check(('rule "r" { when = { n = 1 }, actions = { %s } }'):format(action))), action) end
    assert.equal(1, select(2, check 'rule "r" { when = { n = 1 }, actions = "log" }'))
  end)
end)

describe("the directory", function()
  it("gives every file with a known extension, but for specs, hidden names and folders", function()
    local broken = "this is no rule"
    local said, status = check { ["a.lua"] = when "{}", ["a_spec.lua"] = broken, [".b.lua"] = broken,
      ["_c.lua"] = broken, ["README.md"] = broken, ["d.txt"] = broken, ["sub/e.lua"] = broken,
      ["lib/f.txt"] = broken, [".g.yml"] = broken }
    assert.equal(0, status, said)
    assert.truthy(said:find("1 rule,", 1, true), said)
  end)

  it("lends the modules of its lib to require, in the same sandbox, and nothing else", function()
    local use = 'local m = require "shared"\nrule "r" { when = { name = m.name, where = m.slow } }'
    local said, status = check { ["r.lua"] = use,
      ["lib/shared.lua"] = 'return { name = glob "a*", slow = function(s) return s.duration > 5 end }' }
    assert.equal(0, status, said)
    for _, name in ipairs { "io", "os", "ffi", "fluo.loader", "../r", "shared.x", "/etc/passwd", "jit.util",
      "lib.shared" } do assert.equal(1, select(2,
      check { ["r.lua"] = ('require %q\n'):format(name) .. when "{}", ["lib/shared.lua"] = "return {}" }), name) end
    said, status = check { ["r.lua"] = use, ["lib/shared.lua"] = 'return { name = os.getenv("HOME") }' }
    assert.equal(1, status)
    assert.truthy(said:find("lib/shared.lua:1:", 1, true), said)
  end)

  it("tolerates Markdown fences, a BOM and CRLF; lines are those of the author's file", function()
    local bad = 'rule "r" { when = { status = "X" } }'
    refuses { { "```lua\n" .. bad .. "\n```\n", "2:31", "`X`" }, { "\239\187\191" .. bad, "1:31", "`X`" },
      { "-- a\r\n\r\n" .. bad .. "\r\n", "3:31", "`X`" } }
    loads("~~~\n" .. when "{}" .. "~~~~ \n\n", "````lua\n" .. when "{}" .. "````", "```\n" .. when "{}")
    for _, text in ipairs { "````\n%s\n```", "~~~\n%s\n```", "``\n%s\n``", "%s\n```" } do
      assert.equal(1, select(2, check(text:format(when "{}"))), text)
    end
    loads("```lua\n" .. when "{}" .. "```\n", "\239\187\191" .. when "{}", "\r\n" .. when "{}" .. "\r\n")
  end)
end)

describe("the sandbox", function()
  -- Evaluates an expression while the file loads: the rule loads if it is true.
  local function truths(list)
    for _, truth in ipairs(list) do loads(("assert(%s)\n"):format(truth) .. when "{}") end
  end

  it("has what the page lists", function()
    truths {
      "assert and error and ipairs and next and pairs and pcall and select and tonumber and tostring and type "
        .. "and unpack", "coroutine.wrap(function() coroutine.yield(5) end)() == 5",
        "string.format('%d', 5) == '5' and ('x'):rep(3) == 'xxx'",
      "table.concat({ 1, 2 }, ',') == '1,2'", "math.floor(5.5) == 5 and math.huge > 5", "bit.band(7, 3) == 3",
        "select('#', 1, 2) == 2", "tostring({}) == 'table'",
    }
  end)

  it("has nothing else", function()
    for _, name in ipairs { "ffi", "debug", "io", "os", "package", "load", "loadstring", "loadfile", "dofile",
      "getfenv", "setfenv", "newproxy", "xpcall", "collectgarbage", "jit", "print", "_G", "getmetatable",
      "setmetatable", "rawget", "rawset", "rawequal", "module", "gcinfo" } do
      refuses { { ("local x = %s\n"):format(name) .. when "{}", "1:11", ("`%s`"):format(name) } }
    end
    truths { "string.dump == nil", "('').dump == nil", "math.random == nil and math.randomseed == nil",
      "not pcall(function() return ('x'):dump() end)", "tostring(tostring):find('0x') == nil",
      "coroutine.wrap(function() return pcall(error) end)() == false" }
  end)

  it("lets no file change what another sees", function()
    local said, status = check { ["a.lua"] = "string.format = nil\nstring.rep = function() return 'evil' "
      .. "end\ntable.concat = nil\n" .. when "{}", ["b.lua"] = 'assert(string.format and string.rep("x", 2) == '
      .. '"xx" and ("x"):rep(2) == "xx" and table.concat)\nrule "s" { when = {} }' }
    assert.equal(0, status, said)
  end)

  it("takes text only, no bytecode", function()
    refuses { { string.dump(function() end), "1:1", "bytecode" } }
  end)

  it("walks pairs in sorted order", function()
    truths { "(function() local k = {} for key in pairs { b = 1, a = 2, [3] = 3, [1] = 4, c = 5, [2.5] = 6 } do "
      .. "k[#k + 1] = key end return table.concat(k, ' ') == '1 2.5 3 a b c' end)()",
             "(function() local k, key = {}, next({ z = 1, y = 2 }) return key == 'y' end)()" }
  end)

  it("stops a file that eats memory or overflows the stack while it loads, and says so", function()
    for text, part in pairs { ["local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end"] = "64 MiB",
      ["local s = 'x' while true do s = s .. s end"] = "64 MiB",
      ["local function f() return f() + 1 end f()"] = "r.lua:1:" } do
      local said, status = check(text .. "\n" .. when "{}")
      assert.equal(1, status, text)
      assert.truthy(said:find(part, 1, true), said)
    end
  end)

  it("stops a file that loops while it loads, and says so", function()
    local said, status = check("while true do end\n" .. when "{}")
    assert.equal(1, status)
    assert.truthy(said:find("loop", 1, true), said)
  end)
end)

describe("a bound", function()
  it("is named: 200 deep, 5,000 terms, 1 MiB", function()
    local function nested(n) return when(("not_("):rep(n) .. "{ v = 1 }" .. (")"):rep(n)) end
    local function deep(n) return "local c = trace.has { v = 1 }\nfor i = 1, " .. n .. " do c = -c end\n"
      .. when "c" end
    local function wide(n) return "local t = {}\nfor i = 1, " .. n .. " do t[i] = { v = i } end\n"
      .. when "any_of(t)" end
    local function sized(n) return when "{}" .. ("-"):rep(n - #when "{}") end
    for text, bound in pairs { [nested(100)] = false, [nested(201)] = "200", [deep(200)] = false,
      [wide(5000)] = false, [deep(201)] = "200", [wide(5001)] = "5000",
      [sized(1048576)] = false, [sized(1048577)] = "1 MiB",
                               ["local p = { v = 1 }\nfor i = 1, 210 do p = not_(p) end\n" .. when "p"] = "200",
                                 ["local c = trace.has { v = 1 }\nfor i = 1, 5001 do c = c * trace.has { v = i } "
                                   .. "end\n" .. when "c"] = "5000" } do
      local said, status = check(text)
      assert.equal(bound and 1 or 0, status, said)
      if bound then assert.truthy(said:gsub(",", ""):find(bound, 1, true), said) end
    end
  end)
end)
