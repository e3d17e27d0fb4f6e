-- trace.satisfies, end to end: what its function sees of a trace, and what becomes of its answer.
local replay = require("spec.replay")

-- Rules r1, r2 …, one an expression of t, on one trace in short notation (replay.short): those that held, by number.
local function held(expressions, text, more)
  local rules = {}
  for i, expression in ipairs(expressions) do
    rules[i] = ('rule "%d" { when = trace.satisfies(function(t) %s end) }\n'):format(i,
      expression:find("^local ") and expression or "return " .. expression)
  end
  local spans = replay.arrival(text, "t")
  for _, s in ipairs(more or {}) do spans[#spans + 1] = replay.span(s) end
  local found, status, said = replay.run(table.concat(rules), { spans })
  assert.equal(0, status, said)
  local list = {}
  for _, v in ipairs(found) do list[#list + 1] = tonumber(v.rule) end
  table.sort(list)
  return list, said
end

-- All expressions hold.
local function all_hold(expressions, text, more)
  local list, said = held(expressions, text, more)
  local is = {}
  for _, i in ipairs(list) do is[i] = true end
  for i, expression in ipairs(expressions) do assert.truthy(is[i], expression .. "\n" .. said) end
end

-- The value of an expression of t as text, by way of an error's text.
local function value(expression, text, more)
  local _, said = held({ "local _ error('<' .. tostring(" .. expression .. ") .. '>')" }, text, more)
  return said:match("raised an error[^\n]*<(.*)>")
end

local NAMES = [[(function(list) local s = "" for _, x in ipairs(list) do s = s .. x.status_message .. " " end return s end)]]

-- The spans of a list, by what replay.short calls them, which their messages say.
local function tree(expression, text)
  local spans = replay.short(text, "t")
  for _, s in ipairs(spans) do s.message = s.id end
  local rule = ('rule "r" { when = trace.satisfies(function(t) error("<" .. %s(%s) .. ">") end) }\n')
    :format(NAMES, expression)
  local wire = {}
  for i, s in ipairs(spans) do wire[i] = replay.span(s) end
  local _, status, said = replay.run(rule, { wire })
  assert.equal(0, status, said)
  return (said:match("<(.-) ?>"))
end

describe("a function of the whole trace", function()
  it("fires when it answers true, once, with no witness, at the close", function()
    local found = replay.rule("trace.satisfies(function(t) return t:count { name = 'a' } == 2 end)",
      { replay.arrival("a1@0 a2@5", "t"), replay.arrival("a@0", "u", 20) })
    assert.equal("t", replay.traces(found, "t", "u"))
    assert.same({ 1, 0, {} }, { #found, found[1].span_total, found[1].spans })
    assert.equal(replay.clock(10015), found[1].time)
    assert.is_nil(found[1].reason)
  end)

  it("has the trace's own figures", function()
    all_hold({ "t.duration == 105", "t.span_count == 3", "t.root.name == 'a'", "t.complete", "#t.trace_id == 32",
      "t.trace_id == t.root.trace_id", "table.concat(t.services, ' ') == 'svc zoo'" },
      "a@0 b@5+100<a", { { name = "c", at = 1, parent = "a", service = "zoo" } })
  end)

  it("finds no root where there is none, and then the trace is not complete", function()
    all_hold({ "t.root == nil", "not t.complete", "#t:critical_path() == 0", "t:find {}.parent == nil" }, "b@5<gone")
  end)

  it("walks spans in the order of (start, id), whatever the order of arrival", function()
    local expression = "(function() local l = {} for s in t:spans() do l[#l + 1] = s end return l end)()"
    assert.equal("a b c d", tree(expression, "c@20 a@0 d@30<a b@10<a"))
    assert.equal("a b c d", tree("t:all {}", "d@30<a c@20 b@10<a a@0"))
    assert.equal("b c", tree("t:all { name = one_of { 'b', 'c' } }", "d@30<a c@20 b@10<a a@0"))
  end)

  it("finds the earliest, or nil", function()
    all_hold({ "t:find({ name = 'a' }).start == t.root.start", "t:find { name = 'x' } == nil",
      "t:find(function(s) return s.duration > 50 end).name == 'b'", "t:find { name = 'b' } == t:all({})[2]" },
      "a@0 b@10+60<a b2@20+60<a")
  end)

  it("takes for a pattern what a rule takes: a table, any_of, not_, a function, functions within", function()
    all_hold({ "t:count { name = glob 'a*', duration = gt '15ms' } == 1",
      "t:count(any_of { { name = 'a' }, { name = 'b' } }) == 3",
      "t:count(not_ { name = 'a' }) == 1", "t:count(function(s) return s.name == 'a' end) == 2", "t:count {} == 3",
      "t:count { name = function(v) return v < 'b' end } == 2",
        "t:count { name = 'a', where = function(s) return s.parent end } == 1" },
      "a1@0 a2@1+20<a1 b@2<a2")
  end)

  it("judges a table that was changed by what is in it now", function()
    all_hold({ "local p = { name = 'a' } local n = t:count(p) p.name = 'b' return n == 2 and t:count(p) == 1" },
      "a1@0 a2@1 b@2")
  end)

  it("has one value for each span: equal, and a key of tables that are walked in order", function()
    all_hold({ "t.root == t:find { name = 'a' }", "({ [t.root] = 7 })[t:all({})[1]] == 7", "t:all({})[2].parent == t.root",
      "local s, o = {}, '' for x in t:spans() do s[x] = x.name end for _, n in pairs(s) do o = o .. n end return o == 'abc'" },
      "c@20 b@10<a a@0")
  end)

  it("may ask while it asks", function()
    all_hold({ "t:count { where = function(s) return t:count { name = s.name } == 2 end } == 2" }, "a1@0 a2@1 b@2")
  end)
end)

describe("relations of spans", function()
  local TEXT = "a@0+100 b@10+20<a c@20+20<a d@25+5<c e@90<a x@50<gone y@51<gone"

  it("are children, descendants, ancestors, siblings and the parent", function()
    assert.equal("b c e", tree("t.root:children()", TEXT))
    assert.equal("b c d e", tree("t.root:descendants()", TEXT))
    assert.equal("a c", tree("t:find({ name = 'd' }):ancestors()", TEXT))
    assert.equal("b e", tree("t:find({ name = 'c' }):siblings()", TEXT))
    assert.equal("c", tree("{ t:find({ name = 'd' }).parent }", TEXT))
    assert.equal("", tree("t:find({ name = 'd' }):children()", TEXT))
  end)

  it("let two orphans of one missing parent be siblings, two roots not", function()
    assert.equal("y", tree("t:find({ name = 'x' }):siblings()", TEXT))
    assert.equal("", tree("t:find({ name = 'b' }):siblings()", "a@0 b@1"))
  end)

  it("take a span that is its own parent for a root", function()
    assert.equal("a", tree("{ t.root }", "a@0<a b@1<a"))
    assert.equal("", tree("{ t.root.parent }", "a@0<a b@1<a"))
    assert.equal("b", tree("t.root:descendants()", "a@0<a b@1<a"))
  end)

  it("cut a cycle at its earliest span", function()
    local cycle = "a@0<c b@1<a c@2<b d@3<c"
    assert.equal("b c d", tree("t:find({ name = 'a' }):descendants()", cycle))
    assert.equal("a b c", tree("t:find({ name = 'd' }):ancestors()", cycle))
    assert.equal("", tree("{ t.root }", cycle))
  end)

  it("give a span's own time: its duration without the union of its children", function()
    local function own(text) return value("t.root:self_time()", text) end
    assert.equal("100", own("a@0+100"))
    assert.equal("60", own("a@0+100 b@10+20<a c@20+30<a"))         -- overlapping
    assert.equal("80", own("a@0+100 b@10+20<a c@15+5<a"))          -- one within the other
    assert.equal("90", own("a@0+100 b@90+50<a"))                   -- past the end
    assert.equal("0", own("a@0+100 b@0+100<a"))
    assert.equal("99.5", own("a@0+100 b@10+0.5<a"))
  end)

  it("raise an error that names the mistake", function()
    for call, why in pairs { ["t.root.children()"] = "with a colon", ["t.root.chidren"] = "did you mean",
      ["t:find()"] = "takes a pattern",
      ["t.find { name = 'a' }"] = "with a colon", ["t.spanz"] = "a trace has no `spanz`",
        ["t:find { status = 'BAD' }"] = "unknown status",
      ["t:find 'a'"] = "a span pattern is a table", ["t:find(missing)"] = "a pattern is expected",
        ["t:all { n = gt() }"] = "takes 1 argument", ["t:all { duration = gt '3 secnds' }"] = "did you mean `seconds`" } do
      local list, said = held({ "local x = " .. call .. " return true" }, "a@0")
      assert.same({}, list)
      assert.truthy(said:find(why, 1, true), call .. "\n" .. said)
    end
  end)
end)

describe("the critical path", function()
  for what, row in pairs {
    ["of a span alone is that span"] = { "a@0+100", "a" },
    ["goes through the child that finished last"] = { "a@0+100 b@10+20<a c@20+60<a", "a c" },
    ["goes on with the one that finished before that one began"] = { "a@0+100 b@10+20<a c@30+60<a d@15+30<a", "a b c" },
    ["leaves out what ran beside it"] = { "a@0+100 b@10+50<a c@40+50<a", "a c" },
    ["goes down into each"] = { "a@0+100 b@10+30<a c@50+40<a d@12+10<b e@55+20<c f@60+30<c", "a b d c f" },
    ["cuts a child that outlives its parent"] = { "a@0+100 b@10+20<a c@90+500<a", "a b c" },
    ["leaves out a child that began after its parent was over"] = { "a@0+100 b@10+20<a c@200+10<a", "a b" },
    ["is that of the earliest root"] = { "b@1+50 a@0+10 c@2+5<a", "a c" },
  } do
    it(what, function() assert.equal(row[2], tree("t:critical_path()", row[1])) end)
  end
end)

describe("the answer of a function", function()
  local function counts(when, text, keys)
    local found, status, said = replay.run(('rule "r" { when = %s%s }\n'):format(when, keys or ""),
      { replay.arrival(text, "t") })
    assert.equal(0, status, said)
    return #found, said
  end

  it("is combined as every other condition is", function()
    local yes, no = "trace.satisfies(function(t) return 1 end)", "trace.satisfies(function(t) return nil end)"
    for when, n in pairs { [yes] = 1, [no] = 0, ["-" .. no] = 1, ["-" .. yes] = 0,
      [yes .. " * trace.has { name = 'a' }"] = 1,
      [yes .. " * trace.has { name = 'b' }"] = 0, [no .. " + trace.has { name = 'a' }"] = 1,
        [no .. " + trace.missing { name = 'b' }"] = 1 } do
      assert.equal(n, (counts(when, "a@0")), when)
    end
  end)

  it("breaks an invariant, which names the function", function()
    local found = replay.rule("trace.has(A)", { replay.arrival("a@0", "t") },
      "always = trace.satisfies(function(t) return t.span_count > 5 end),\n never = trace.satisfies(function() return true end)")
    assert.equal("always: not function(t) return t.span_count > 5 end; never: function() return true end", found[1].reason)
    assert.equal(1, found[1].span_total)
  end)

  it("is unknown where the function throws, so that only what does not need it is decided", function()
    local throws = "trace.satisfies(function(t) error 'boom' end)"
    for when, n in pairs { [throws] = 0, ["-" .. throws] = 0, [throws .. " + trace.has { name = 'a' }"] = 1,
      [throws .. " * trace.has { name = 'a' }"] = 0 } do
      local fired, said = counts(when, "a@0")
      assert.equal(n, fired, when)
      assert.truthy(said:find("boom", 1, true))
    end
  end)

  it("is unknown in a trace that was cut, and in an incomplete one under complete = true", function()
    local yes = "trace.satisfies(function(t) return true end)"
    assert.equal(0, (counts(yes, "b@0<a", ", complete = true")))
    assert.equal(1, (counts(yes, "a@0", ", complete = true")))
    local requests = {}
    for i = 0, 70 do
      requests[i + 1] = replay.arrival(("a%d@%d"):format(i, i * 5000), "t", i * 5000)
    end
    assert.same({}, replay.rule(yes, { unpack(requests, 1, 70) }))
  end)

  it("is asked only of traces that pass the rest of an `and`", function()
    local function asked(text)
      local _, said = counts("trace.has { name = 'b' } * trace.satisfies(function(t) error 'asked' end)", text)
      return said:find("asked", 1, true) ~= nil
    end
    assert.same({ false, true }, { asked "a@0", asked "b@0" })
  end)

  it("goes by what the rules go by: renamed attributes, a strict OK", function()
    local rules = [[
rule "ok" { when = trace.satisfies(function(t) return t:find { status = "OK" } end) }
rule "renamed" { when = trace.satisfies(function(t) return t:find { ["http.status_code"] = 500 } end) }
]]
    local requests = { { replay.span { name = "a", attr = { ["http.response.status_code"] = 500 } } } }
    assert.equal(2, #replay.run(rules, requests))
    assert.equal("renamed", replay.run(rules, requests, "--status-ok-is-explicit")[1].rule)
    assert.equal("ok", replay.run(rules, requests, "--semconv.renames=false")[1].rule)
  end)

  it("comes in time for traces as large as they may be, and as ill shaped", function()
    local questions = { "#t.root:descendants() + #t:critical_path() > 0", "#t:all {} == t.span_count",
      "local n = 0 for s in t:spans() do n = n + #s:children() + s:self_time() end return n >= 0",
      "local last for s in t:spans() do last = s end return #last:ancestors() + #last:siblings() >= 0" }
    local function shape(parent_of)
      local spans = {}
      for i = 1, 9000 do
        spans[i] = replay.span { name = "x", id = "s" .. i, at = i / 1000, dur = 20 - i / 1000, parent = parent_of(i) }
      end
      return spans
    end
    local rules = {}
    for i, question in ipairs(questions) do
      rules[i] = ('rule "%d" { when = trace.satisfies(function(t) %s end) }\n'):format(i,
        question:find("^local") and question or "return not t.root or " .. question)
    end
    for what, parent_of in pairs {
      ["a chain"] = function(i) return i > 1 and "s" .. i - 1 or nil end,
      ["one parent of all"] = function(i) return i > 1 and "s1" or nil end,
      ["a ring"] = function(i) return "s" .. i % 9000 + 1 end,
      ["orphans of one parent"] = function() return "gone" end,
      ["a chain told backwards"] = function(i) return i < 9000 and "s" .. i + 1 or nil end,
    } do
      local found, status, said = replay.run(table.concat(rules), { shape(parent_of) })
      assert.same({ 0, #questions }, { status, #found }, what .. "\n" .. said)
    end
  end)

  it("stays unknown though the function caught that a pattern has no answer", function()
    local slow = "t:count { text = matches '(a+)+' }"
    local list, said = held({ "local _ = pcall(function() return " .. slow .. " end) return true", slow .. " == 0" }, "b@0",
      { { name = "x", attr = { text = ("a"):rep(40) .. "!" } } })
    assert.same({}, list)
    assert.truthy(said:find("has no answer", 1, true), said)
  end)
end)

describe("a function of an event or a link", function()
  local spans = { { name = "x", events = { { "e", 1, { n = 1 } }, { "f", 2, { n = 2 } } },
    links = { { "u", "w", { k = 5 }, state = "s=1" } } } }

  it("sees it whole, as `event`, as `where` in its table, and within any_of", function()
    local rows = {}
    for i, when in ipairs { "{ event = function(e) return e.name == 'f' and e.attributes.n == 2 end }",
      "{ event = { name = 'e', where = function(e) return e.attributes.n == 1 end } }",
      "{ event = any_of { { name = 'z' }, function(e) return e.time ~= 0LL and e.dropped_attributes_count == 0 end } }",
      "{ link = function(l) return l.attributes.k == 5 and l.trace_state == 's=1' and #l.trace_id == 32 and #l.span_id == 16 end }",
      "{ link = { where = function(l) return l.attributes.k == 5 end } }",
      "trace.satisfies(function(t) return t:count { event = function(e) return e.name == 'f' end } == 1 end)",
      "trace.missing { event = function(e) return e.name == 'g' end }" } do rows[i] = { when = when, spans = spans } end
    for i, v in ipairs(replay.rows(rows)) do assert.truthy(v, rows[i].when) end
  end)

  it("answers for the event that passes the rest of the table, not for another", function()
    local rows = {}
    for i, when in ipairs { "{ event = { name = 'e', where = function(e) return e.attributes.n == 2 end } }",
      "{ event = function(e) return e.name == 'g' end }", "{ link = function(l) return l.attributes.k == 6 end }",
      "{ event = function(e) error 'x' end }" } do rows[i] = { when = when, spans = spans } end
    assert.same({ false, false, false, false }, (replay.rows(rows)))
  end)
end)

-- One evaluator: the same text means the same in a function and in a rule. Random patterns over random spans.
describe("a pattern in a function", function()
  math.randomseed(20)
  local function pick(list) return list[math.random(#list)] end
  local VALUES = { "5", "5.5", "'5'", "'5.0'", "' 5 '", "true", "'true'", "'a'", "'ab'", "''", "9007199254740993LL",
    "'9007199254740993'" }
  local NUMBERS = { "5", "4.9", "'5'", "9007199254740992", "9007199254740993LL", "-1" }
  local leaf = {
    function() return pick(VALUES) end,
    function() return pick { "eq", "ne" } .. "(" .. pick(VALUES) .. ")" end,
    function() return pick { "gt", "ge", "lt", "le" } .. "(" .. pick(NUMBERS) .. ")" end,
    function() return ("between(%s, 6)"):format(pick { "4", "5", "'5'" }) end,
    function() return ("%s { %s, %s }"):format(pick { "one_of", "none_of" }, pick(VALUES), pick(VALUES)) end,
    function() return pick { "contains", "prefix", "suffix", "glob", "matches" }
      .. pick { "'a'", "'b'", "'5'", "'a.*'" } end,
    function() return pick { "exists", "missing" } end,
    function() return "function(v) return v == " .. pick(VALUES) .. " end" end,
  }
  local FIELDS = { "name = glob 'x*'", "status = 'OK'", "status = ne 'ERROR'", "kind = 'SERVER'",
    "duration = gt '5ms'", "root = true", "service = missing",
    "resource = { k = 5 }", "event = { name = 'e' }", "event = { k = %s }", "link = { k = %s }", "link = missing",
      "where = function(s) return s.kind ~= 'SERVER' end" }
  local function entries()
    local list = {}
    for _ = 1, math.random(1, 2) do
      local entry = math.random() < 0.7 and pick { "k", "['a.b']", "gone" } .. " = %s" or pick(FIELDS)
      list[#list + 1] = entry:gsub("%%s", function() return pick(leaf)() end) .. ""
    end
    return "{ " .. table.concat(list, ", ") .. " }"
  end
  local function pattern(depth)
    if depth == 0 or math.random() < 0.6 then return entries() end
    local kind = pick { "any_of { %s, %s }", "all_of { %s, %s }", "not_(%s)" }
    return (kind:gsub("%%s", function() return pattern(depth - 1) end))
  end

  local function any_value()
    return pick { 5, 5.5, "5", "5.0", " 5 ", true, "true", "a", "ab", "", "abc",
      replay.wire { intValue = "9007199254740993" }, replay.wire { doubleValue = 5 },
      { 5, "a" }, { "ab", true }, {}, replay.wire { bytesValue = "YQ==" },
        replay.wire { kvlistValue = { values = { { key = "k", value = { intValue = "5" } } } } } }
  end
  local function random_span(i)
    local function maybe(chance) return math.random() < chance and any_value() or nil end
    local function attr() return { k = maybe(0.8), ["a.b"] = maybe(0.4) } end
    return { name = pick { "x", "xy", "z" }, id = "s" .. i, status = pick { "UNSET", "OK", "ERROR" },
      kind = pick { "SERVER", "CLIENT" }, dur = math.random(1, 10),
      service = math.random() < 0.3 and false or nil, attr = attr(), resource = { k = any_value() },
      events = math.random() < 0.5 and { { pick { "e", "f" }, 1, attr() }, { "e", 2, attr() } } or nil,
      links = math.random() < 0.3 and { { "u", "w", attr() } } or nil }
  end

  it("means what it means in a rule, on every kind of value", function()
    local rules, differ, both = {}, {}, 0
    for i = 1, 300 do
      local text = pattern(2)
      rules[i] = ('rule "%d rule" { when = trace.count(%s):at_least(1) }\nrule "%d function" { when = trace.satisfies(function(t) return t:find(%s) end) }\n')
        :format(i, text, i, text)
    end
    local requests = {}
    for n = 1, 12 do
      requests[n] = {}
      for i = 1, 3 do
        local s = random_span(i)
        s.trace = "t" .. n
        requests[n][i] = replay.span(s)
      end
    end
    local found, status, said = replay.run(table.concat(rules), requests)
    assert.equal(0, status, said)
    local seen = {}
    for _, v in ipairs(found) do
      local number, which = v.rule:match("(%d+) (%a+)")
      local key = number .. v.trace_id
      if seen[key] then both = both + 1 end
      seen[key] = not seen[key] and which or nil
    end
    for key, which in pairs(seen) do differ[#differ + 1] = which .. " " .. rules[tonumber(key:sub(1, -33))] end
    assert.same({}, differ)
    assert.is_true(both > 500 and both < 3300, "the patterns tell nothing apart: " .. both)
  end)
end)
