-- What a span pattern matches (rules/README.md, Patterns), through the whole agent.
local replay = require("spec.replay")
local span, wire = replay.span, replay.wire

-- Rows of { when, span, fires }, all of one `it` in one replay.
local function judge(rows)
  local cases = {}
  for i, row in ipairs(rows) do cases[i] = { when = row[1], span = row[2] } end
  local found, status, stderr = replay.rows(cases)
  assert.equal(0, status, stderr)
  for i, row in ipairs(rows) do assert.equal(row[3], found[i] ~= false, ("row %d: %s"):format(i, row[1])) end
  return found, stderr
end

-- The names of the rules that fire on one trace, sorted, as one text; then stderr and status.
local function fired(rules, ...)
  local found, status, stderr = replay.run(rules, { ... })
  local names = {}
  for i, v in ipairs(found) do names[i] = v.rule end
  table.sort(names)
  return table.concat(names, " "), stderr, status
end

local function text(operand) return ("{ name = %s }"):format(operand) end

describe("the table of a pattern", function()
  it("holds when all of its entries hold on one span", function()
    local pattern = '{ service = "checkout", name = glob "payment.*", duration = gt "300ms", '
      .. '["http.status_code"] = 500, resource = { ["deployment.environment"] = "prod" },'
      .. ' event = { name = "exception" }, where = function(span) return #span.events > 3 end }'
    local function of(change)
      local s = { service = "checkout", name = "payment.charge", dur = 301, attr = { ["http.status_code"] = 500 },
        resource = { ["deployment.environment"] = "prod" },
                  events = { { "exception" }, { "b" }, { "c" }, { "d" } } }
      for key, value in pairs(change) do s[key] = value end
      return s
    end
    judge {
      { pattern, of {}, true }, { pattern, of { service = "cart" }, false },
      { pattern, of { name = "xpayment.charge" }, false }, { pattern, of { dur = 300 }, false },
      { pattern, of { attr = { ["http.status_code"] = 501 } }, false },
      { pattern, of { resource = { ["deployment.environment"] = "dev" } }, false },
      { pattern, of { events = { { "a" }, { "b" }, { "c" }, { "d" } } }, false },
      { pattern, of { events = { { "exception" }, { "b" }, { "c" } } }, false },
      { "{}", of {}, true },
    }
  end)

  it("asks of every field what it is", function()
    local t, own, parent = replay.trace_id("t"), replay.span_id("t", "x"), replay.span_id("t", "p")
    local full = { trace_id = t, id = "x", span_id = own, parent_id = parent, at = 1000, dur = 5, service = "s",
      status = "ERROR", message = "no route", kind = "CLIENT",
                   scope = "lib", version = "1.2", state = "a=1,b=2" }
    local bare = { trace_id = replay.trace_id("bare"), service = false }
    local rows = {}
    for _, row in ipairs {
      { "name", '"x"', true, true }, { "service", '"s"', true, false }, { "service", "missing", false, true },
      { "service", "exists", true, false },
      { "status", '"ERROR"', true, false }, { "status_message", '"no route"', true, false },
      { "status_message", "missing", false, true }, { "kind", '"CLIENT"', true, false },
      { "kind", '"client"', true, false }, { "kind", '"SPAN_KIND_CLIENT"', true, false },
      { "kind", 'ne "CLIENT"', false, true }, { "kind", 'one_of { "SERVER", "Internal" }', false, true },
      { "duration", '"5ms"', true, false }, { "start", replay.time(1000) .. "LL", true, false },
      { "start", ("%q"):format(replay.time(1000)), true, false },
      { "start", ("gt(%sLL)"):format(replay.time(999.999999)), true, false },
      { "end_", replay.time(1005) .. "LL", true, false },
      { "end_", ("lt(%sLL)"):format(replay.time(1005)), false, true },
      { "scope", '"lib"', true, false }, { "scope", "missing", false, true },
      { "scope_version", 'prefix "1."', true, false }, { "scope_version", "missing", false, true },
      { "trace_id", ("%q"):format(t), true, false }, { "trace_id", ("%q"):format(t:upper()), true, false },
      { "span_id", ("%q"):format(own), true, false },
      { "span_id", ("prefix %q"):format(own:sub(1, 15)), true, false },
      { "parent_id", ("%q"):format(parent), true, false }, { "parent_id", "missing", false, true },
      { "trace_state", 'contains "b=2"', true, false }, { "trace_state", "missing", false, true },
      { "root", "true", false, true }, { "root", "false", true, false },
    } do
      local when = ("{ %s = %s }"):format(row[1], row[2])
      rows[#rows + 1] = { when, full, row[3] }
      rows[#rows + 1] = { when, bare, row[4] }
    end
    local rules, spans = {}, { span { name = "x", trace_id = full.trace_id, span_id = own, parent_id = parent,
      at = 1000, dur = 5, service = "s", status = "ERROR", message = "no route",
      kind = "CLIENT", scope = "lib", version = "1.2", state = "a=1,b=2" },
        span { name = "x", trace_id = bare.trace_id, id = "y", service = false } }
    for i, row in ipairs(rows) do rules[i] = ('rule "%d" { when = %s }\n'):format(i, row[1]) end
    local found, status, stderr = replay.run(table.concat(rules), { spans })
    assert.equal(0, status, stderr)
    local hit = {}
    for _, v in ipairs(found) do hit[v.rule .. v.trace_id] = true end
    for i, row in ipairs(rows) do assert.equal(row[3], hit[i .. row[2].trace_id] == true,
      row[1] .. (i % 2 == 1 and " full" or " bare")) end
  end)

  it("takes every other key for an attribute, dots and all; `attributes` reaches one named like a field", function()
    judge {
      { '{ ["a.b"] = 1 }', { attr = { ["a.b"] = 1 } }, true },
      { '{ ["a.b"] = 1 }', { attr = { a = wire { kvlistValue = { values = { { key = "b",
      value = { intValue = "1" } } } } } } }, false },
      { "{ attributes = { name = 'n', duration = gt(5), root = 'r' } }",
        { attr = { name = "n", duration = 6, root = "r" } }, true },
      { "{ attributes = { name = 'x' } }", {}, false }, { "{ name = 'n' }", { attr = { name = "n" } }, false },
      { "{ attributes = { name = missing } }", {}, true },
      { "{ attributes = { resource = 'q' } }", { attr = { resource = "q" } }, true },
      { "{ attributes = {} }", {}, true },
      { "{ attributes = { ['a'] = 1 }, b = 2 }", { attr = { a = 1, b = 2 } }, true },
      { "{ attributes = { ['a'] = 1 }, b = 2 }", { attr = { a = 1 } }, false },
    }
  end)

  it("finds the service in the resource, and nowhere else", function()
    judge {
      { "{ service = 'a' }", { service = "a" }, true },
      { "{ service = 'a' }", { service = false, attr = { ["service.name"] = "a" } }, false },
      { "{ resource = { ['service.name'] = 'a' } }", { service = "a" }, true },
      { "{ ['service.name'] = 'a' }", { service = "a" }, false },
      { "{ service = ne 'a' }", { service = false }, false },
      { "not_ { service = 'a' }", { service = false }, true },
      { "{ resource = { n = gt(1) } }", { resource = { n = 2 } }, true },
      { "{ resource = { n = gt(1) } }", { attr = { n = 2 } }, false },
    }
  end)

  it("wants one event, and one link, that satisfies all of its entries", function()
    local two = { { "a", 0, { k = 1 } }, { "b", 0, { k = 2 } } }
    local links = { { "o", "s1", { k = 1 }, state = "x=1" }, { "q", "s2", { k = 2 } } }
    local first = ("trace_id = %q"):format(replay.trace_id("o"))
    judge {
      { "{ event = { name = 'a', k = 1 } }", { events = two }, true },
      { "{ event = { name = 'a', k = 2 } }", { events = two }, false },
      { "{ event = { k = gt(1) } }", { events = two }, true },
      { "{ event = { name = 'c' } }", { events = two }, false }, { "{ event = { name = 'a' } }", {}, false },
      { "{ event = { name = glob 'exc*', ['exception.type'] = contains 'IO' } }",
        { events = { { "exception", 0, { ["exception.type"] = "IOError" } } } }, true },
      { "{ event = { name = 'a', k = missing } }", { events = two }, false },
      { "{ event = { name = ne 'a' } }", { events = two }, true },
      { "not_ { event = { name = 'a' } }", { events = two }, false },
      { "not_ { event = { name = 'a' } }", {}, true },
      { "{ event = { attributes = { name = 'n' } } }", { events = { { "e", 0, { name = "n" } } } }, true },
      { "{ event = exists }", { events = two }, true }, { "{ event = missing }", {}, true },
      { "{ event = missing }", { events = two }, false },
      { "{ event = any_of { { name = 'z' }, { k = 2 } } }", { events = two }, true },
      { "{ link = { " .. first .. ", k = 1 } }", { links = links }, true },
      { "{ link = { " .. first .. ", k = 2 } }", { links = links }, false },
      { ("{ link = { span_id = %q } }"):format(replay.span_id("q", "s2")), { links = links }, true },
      { "{ link = { trace_state = 'x=1' } }", { links = links }, true },
      { "{ link = { k = 1 } }", {}, false }, { "{ link = missing }", {}, true },
    }
  end)

  it("finds what every span has with `exists`", function()
    judge {
      { "{ name = exists, kind = exists, status = exists, duration = exists, root = exists }", {}, true },
      { "{ event = { name = exists } }", { events = { { "e" } } }, true }, { "{ event = { name = exists } }", {}, false },
      { "{ link = { trace_id = exists } }", { links = { { "o", "a" } } }, true }, { "{ name = exists, v = 1 }", {}, false },
    }
  end)

  it("calls root what has no parent id", function()
    judge { { "{ root = true }", {}, true }, { "{ root = true }", { parent = "gone" }, false },
      { "{ root = ne(true) }", { parent = "gone" }, true },
            { "{ root = true }", { parent_id = "0000000000000000" }, true } }
  end)

  it("is a hit on each span of which it holds: one violation a span", function()
    local found = replay.run('rule "r" { when = { v = 1 } }',
      { { span { name = "a", attr = { v = 1 } }, span { name = "b", attr = { v = 1 } }, span { name = "c" } } })
    assert.equal(2, #found)
    assert.not_equal(found[1].id, found[2].id)
  end)
end)

describe("operands of text", function()
  local function of(rows)
    local list = {}
    for i, row in ipairs(rows) do list[i] = { text(row[1]), { name = row[2] }, row[3] } end
    judge(list)
  end

  it("glob is anchored, and * is any run, also across /, also empty", function()
    of { { 'glob "a*c"', "a/b/c", true }, { 'glob "a*c"', "ac", true }, { 'glob "a*c"', "xac", false },
      { 'glob "a*c"', "acx", false }, { 'glob "*b*"', "abc", true }, { 'glob "abc"', "abc", true },
         { 'glob "ABC"', "abc", false }, { 'glob "*"', "x", true }, { 'glob "a**c"', "abc", true },
         { 'glob "a*b*c"', "a1b2c", true }, { 'glob "a*b*c"', "a1c2b", false },
         { 'glob "a?c"', "abc", false }, { 'glob "a?c"', "a?c", true }, { 'glob "[ab]"', "a", false },
         { 'glob "a.c"', "abc", false }, { 'glob "*aab"', "aaab", true }, { 'glob "a*"', "a\nb", true } }
  end)

  it("matches is anchored at both ends", function()
    of { { 'matches "a+"', "aaa", true }, { 'matches "a+"', "xaaa", false }, { 'matches "a+"', "aaax", false },
      { 'matches "a|b"', "ab", false }, { 'matches "a|ab"', "ab", true },
         { 'matches "GET /users/\\\\d+"', "GET /users/42", true },
         { 'matches "GET /users/\\\\d+"', "GET /users/42/x", false }, { 'matches "a$"', "a\n", false },
         { 'matches "(?i)abc"', "ABC", true },
         { 'matches ".*"', "ab", true }, { 'matches "..."', "äöü", true },
         { 'matches [[\\w+\\.\\w+]]', "a.b", true }, { 'matches "a*"', "b", false } }
  end)

  it("contains, prefix and suffix are plain", function()
    of { { 'contains "."', "abc", false }, { 'contains "b"', "abc", true }, { 'prefix "ab"', "abc", true },
      { 'prefix "b"', "abc", false }, { 'suffix "bc"', "abc", true }, { 'suffix "b"', "abc", false },
         { 'prefix "abcd"', "abc", false }, { 'contains "B"', "abc", false }, { 'prefix ""', "abc", true },
         { 'contains "*"', "a*c", true } }
  end)

  it("eq and one_of know no star; between has both ends in", function()
    of { { '"a*"', "abc", false }, { '"a*"', "a*", true }, { 'one_of { "a*" }', "abc", false },
      { 'one_of { "a", "abc" }', "abc", true }, { 'none_of { "a", "b" }', "abc", true },
      { 'ne "abc"', "abc", false },
         { "between(1, 3)", "1", true }, { "between(1, 3)", "3", true }, { "between(1, 3)", "3.01", false },
         { "between(1, 3)", "0.99", false }, { "eq 'abc'", "abc", true } }
  end)
end)

describe("any_of, all_of and not_", function()
  it("combine patterns on one span, nested as deep as one likes", function()
    local function s(...) local attr = {} for _, k in ipairs { ... } do attr[k] = 1 end return { attr = attr } end
    judge {
      { "any_of { { a = 1 }, { b = 1 } }", s "b", true }, { "any_of { { a = 1 }, { b = 1 } }", s "c", false },
      { "all_of { { a = 1 }, { b = 1 } }", s("a", "b"), true },
      { "all_of { { a = 1 }, { b = 1 } }", s "a", false }, { "not_(all_of { { a = 1 }, { b = 1 } })", s "a", true },
      { "all_of { any_of { { a = 1 }, { b = 1 } }, not_ { c = 1 } }", s("b"), true },
      { "all_of { any_of { { a = 1 }, { b = 1 } }, not_ { c = 1 } }", s("b", "c"), false },
      { "any_of { not_ { a = 1 }, { b = 1 } }", s("a", "b"), true },
      { "any_of { { a = 1 }, function(s) return s.attributes.b == 1 end }", s "b", true },
      { "all_of { { a = 1 }, function(s) return s.attributes.b == 1 end }", s "b", false },
      { "not_(function(s) return s.attributes.b == 1 end)", s "a", true },
      { "not_(function(s) return s.attributes.b == 1 end)", s "b", false },
      { "not_ { a = function(v) return v == 1 end }", {}, true },
      { "trace.has(any_of { { a = 1 }, { b = 1 } })", s "b", true },
    }
  end)

  it("are about one span, where conditions may hold on two", function()
    local both = { { id = "1", attr = { a = 1 } }, { id = "2", attr = { b = 1 } } }
    local found = replay.rows { { when = "trace.has { a = 1, b = 1 }", spans = both },
      { when = "trace.has { a = 1 } * trace.has { b = 1 }",
      spans = { { id = "1", attr = { a = 1 } }, { id = "2", attr = { b = 1 } } } } }
    assert.same({ false, true }, { found[1], found[2] and true })
  end)
end)

describe("a function in a pattern", function()
  it("sees what the span is; what is absent is nil", function()
    local s = { service = "s", status = "ERROR", message = "m", kind = "SERVER", at = 1000, dur = 1.5,
      attr = { i = 5, d = 2.5, t = "x", b = false, list = { 1, "two" } },
                resource = { env = "prod" }, events = { { "e1", 7, { k = "v" } }, { "e2", 8 } },
                  links = { { "o", "a", { k = 9 } } }, scope = "lib", version = "1", state = "z=1", parent = "p" }
    local rows = {}
    for _, truth in ipairs {
      "s.name == 'x'", "s.service == 's'", "s.status == 'ERROR'", "s.status_message == 'm'", "s.kind == 'SERVER'",
        "s.duration == 1.5", "s.start == " .. replay.time(1000) .. "LL",
      "s.end_ - s.start == 1500000LL", "s.attributes.i == 5 and s.attributes['d'] == 2.5",
        "s.attributes.t == 'x' and s.attributes.b == false", "s.attributes.none == nil", "s.resource.env == 'prod'",
      "s.resource['service.name'] == 's'", "s.resource.i == nil", "#s.events == 2",
        "s.events[1].name == 'e1' and s.events[1].attributes.k == 'v'", "s.events[2].attributes.k == nil",
      "s.events[1].time == " .. replay.time(7) .. "LL", "#s.links == 1",
        "s.links[1].span_id == '" .. replay.span_id("o", "a") .. "' and s.links[1].attributes.k == 9",
        "s.links[1].trace_id == '" .. replay.trace_id("o") .. "'",
      "#s.attributes.list == 2 and s.attributes.list[2] == 'two'", "s.scope == 'lib' and s.scope_version == '1'",
        "s.trace_state == 'z=1'", "#s.trace_id == 32 and #s.span_id == 16", "#s.parent_id == 16", "s.root == false",
      "s == s and ({ [s] = 1 })[s] == 1", "s.attributes.i < s.duration * 10",
    } do
      local copy = {}
      for k, v in pairs(s) do copy[k] = v end
      rows[#rows + 1] = { ("function(s) return %s end"):format(truth), copy, true }
    end
    rows[#rows + 1] = { "function(s) return s.service == nil and s.parent_id == nil and s.status_message == nil "
      .. "and s.trace_state == nil and #s.events == 0 and #s.links == 0 end", { service = false }, true }
    judge(rows)
  end)

  it("sees an integer beyond 2^53 as an int64, exactly", function()
    judge {
      { "function(s) return s.attributes.n == 9007199254740993LL and s.attributes.n ~= 9007199254740992LL end",
        { attr = { n = wire { intValue = "9007199254740993" } } }, true },
      { "{ n = function(v) return v == 9007199254740993LL end }",
        { attr = { n = wire { intValue = "9007199254740993" } } }, true },
      { "{ n = function(v) return type(v) == 'number' and v == 2^53 end }",
        { attr = { n = wire { intValue = "9007199254740992" } } }, true },
    }
  end)

  it("of a value is not called when the attribute is missing, gets an array whole, and any truth will do",
    function()
    judge {
      { "{ v = function(v) return true end }", {}, false },
      { "{ v = function(v) return #v == 2 and v[1] == 'a' end }", { attr = { v = { "a", "b" } } }, true },
      { "{ v = function(v) return v end }", { attr = { v = false } }, false },
      { "{ v = function(v) return 0 end }", { attr = { v = false } }, true },
      { "{ v = function(v) return nil end }", { attr = { v = 1 } }, false },
      { "{ duration = function(ms) return ms == 301 end }", { dur = 301 }, true },
      { "{ resource = { e = function(v) return v == 'p' end } }", { resource = { e = "p" } }, true },
      { "{ kind = function(v) return v == 'SERVER' end }", { kind = "SERVER" }, true },
      { "{ root = function(v) return v == true end }", {}, true },
      { "{ parent_id = function() return true end }", {}, false },
    }
  end)

  it("runs only for spans that pass the rest of its table", function()
    local out, stderr = fired('rule "r" { when = { v = 1, where = function(s) error("called") end } }',
      { span { name = "a" }, span { name = "b", attr = { v = 2 } } })
    assert.same({ "", nil }, { out, stderr:match("called") })
    out, stderr = fired('rule "r" { when = { v = 1, where = function(s) error("called") end } }',
      { span { name = "a", attr = { v = 1 } } })
    assert.same({ "", "called" }, { out, stderr:match("called") })
  end)

  it("of an event's or a link's value: the same one must satisfy all", function()
    local over = "function(v) return v > 3 end"
    local events = { { "exception", 0, { code = 1 } }, { "exception", 0, { code = 5 } }, { "log", 0, { code = 9 } } }
    local links = { { "o", "s1", { n = 4 }, state = "x=1" }, { "q", "s2", { n = 1 } } }
    local own = ("function(id) return id == %q end"):format(replay.trace_id("q"))
    local function event(entries, fires) return { ("{ event = { %s } }"):format(entries), { events = events }, fires } end
    local function link(entries, fires) return { ("{ link = { %s } }"):format(entries), { links = links }, fires } end
    judge {
      event("name = 'exception', code = " .. over, true),
      event("name = 'exception', code = function(v) return v > 5 end", false),
      event("name = function(n) return n == 'log' end, code = function(v) return v == 9 end", true),
      event("name = function(n) return n == 'log' end, code = function(v) return v == 5 end", false),
      event("none = function() return true end", false),
      event("attributes = { code = " .. over .. " }", true),
      { ("{ event = any_of { { code = 1 }, { code = %s } } }"):format(over), { events = { events[2] } }, true },
      { ("{ event = not_ { code = %s } }"):format(over), { events = { events[2] } }, false },
      { ("{ event = not_ { code = %s } }"):format(over), { events = events }, true },
      { ("not_ { event = { code = %s } }"):format(over), { events = events }, false },
      { ("not_ { event = { code = %s } }"):format(over), {}, true },
      { ("{ event = { code = %s } }"):format(over), {}, false },
      link("n = " .. over, true), link("n = " .. over .. ", trace_state = missing", false),
      link("trace_id = " .. own, true), link("n = " .. over .. ", trace_id = " .. own, false),
      link("trace_state = function(s) return s == 'x=1' end, span_id = function(s) return #s == 16 end", true),
      { ("{ event = { code = %s }, link = { n = %s }, where = function(s) return s.name == 'x' end }"):format(over, over),
        { events = events, links = links }, true },
    }
  end)

  it("of an event's value runs only for events that pass the rest of their table", function()
    local rule = [[rule "r" { when = { v = 1, event = { name = "e",
      code = function(v) if v ~= 2 then error("called") end return true end } } }]]
    local function of(v, ...)
      local out, stderr = fired(rule, { span { name = "x", attr = { v = v }, events = { ... } } })
      return { out, stderr:match("called") }
    end
    assert.same({ "r" }, of(1, { "log", 0, { code = 1 } }, { "e" }, { "e", 0, { code = 2 } }))
    assert.same({ "" }, of(2, { "e", 0, { code = 1 } }))
    assert.same({ "", "called" }, of(1, { "e", 0, { code = 1 } }))
    assert.same({ "r", "called" }, of(1, { "e", 0, { code = 1 } }, { "e", 0, { code = 2 } }))
  end)

  it("of an event's value that throws leaves its pattern unknown, unless another event decides", function()
    local rules = ""
    for name, when in pairs { has = "trace.has(p)", missing = "trace.missing(p)", span = "p", ["not"] = "not_(p)" } do
      rules = rules .. ('rule %q { when = %s }\n'):format(name, when)
    end
    rules = "local p = { event = { code = function(v) return v > 1 or error('no') end } }\n" .. rules
    local function of(...) return (fired(rules, { span { name = "x", events = { ... } } })) end
    assert.equal("", of({ "e", 0, { code = 1 } }))
    assert.equal("has span", of({ "e", 0, { code = 2 } }, { "e", 0, { code = 1 } }))
    assert.equal("missing not", of())
  end)

  it("of an event's value that loops is stopped, and the rule beside it is judged", function()
    local out, _, status = fired([[rule "loop" { when = trace.missing { event = { code = function() while true do end end } } }
      rule "other" { when = { event = { code = function(v) return v == 2 end } } }]],
      { span { name = "x", events = { { "e", 0, { code = 1 } }, { "e", 0, { code = 2 } } } } })
    assert.same({ "other", 1 }, { out, status })
  end)

  it("of thousands of events is asked about each; about more than 4,096 it is unknown", function()
    local function of(n)
      local events = {}
      for i = 1, n do events[i] = { "e", 0, { i = i } } end
      return (fired(('rule "last" { when = { event = { i = function(v) return v == %d end } } }\nrule "none" { when = '
        .. 'trace.missing { event = { i = function(v) return v > %d end } } }'):format(n, n),
        { span { name = "x", events = events } }))
    end
    assert.same({ "last none", "" }, { of(4096), of(4097) })
  end)

  it("runs once for a pattern and a span, on arrival", function()
    local rule = 'local n = 0\nrule "r" { when = trace.count(function(s) n = n + 1 if n > 2 then error("again") '
      .. 'end return true end):exactly(2) }'
    local out, stderr = fired(rule, { span { name = "a" } }, { span { name = "b" }, at = 5 },
      { span { name = "b" }, at = 6 })
    assert.same({ "r", nil }, { out, stderr:match("raised an error") })
  end)

  it("that throws answers unknown: no hit, and any absence over the pattern is unknown", function()
    local throw = "{ name = 'x', where = function(s) error('no') end }"
    local rules = {}
    for i, when in ipairs {
      throw, ("trace.has(%s)"):format(throw), ("trace.missing(%s)"):format(throw),
        ("trace.has(%s):not_()"):format(throw), ("not_(any_of { %s, { name = 'y' } })"):format(throw),
        ("trace.count(%s):under(2)"):format(throw),
      ("trace.count(%s):exactly(0)"):format(throw), ("trace.all(%s)"):format(throw),
        ("trace.all(not_(%s))"):format(throw), ("trace.missing(%s) + trace.has { name = 'nowhere' }"):format(throw),
      ("trace.has { name = 'y' } * trace.missing(%s)"):format(throw),
        ("(trace.has { name = 'y' } * trace.missing(%s)):within '1m'"):format(throw),
    } do rules[i] = ('rule "unknown-%02d" { when = %s }\n'):format(i, when) end
    for i, when in ipairs {
      ("trace.missing(%s) + trace.has { name = 'y' }"):format(throw),
        "trace.missing { name = 'nowhere', where = function() error('no') end }",
        ("any_of { %s, { name = 'y' } }"):format(throw),
    } do rules[#rules + 1] = ('rule "true-%d" { when = %s }\n'):format(i, when) end
    local out, _, status = fired(table.concat(rules), { span { name = "x" }, span { name = "y" } })
    assert.same({ "true-1 true-2 true-3", 0 }, { out, status })
  end)

  it("that loops is stopped: its rule unknown, the others' violations unharmed, exit 1", function()
    local out, _, status = fired('rule "loop" { when = trace.missing(function() while true do end end) }\nrule '
      .. '"other" { when = {} }\n', { span { name = "x" } })
    assert.same({ "other", 1 }, { out, status })
  end)

  it("that asks for relations gets an error that names trace.satisfies", function()
    for _, relation in ipairs { "s.parent", "s:children()", "s:descendants()", "s:self_time()" } do
      local out, stderr = fired(('rule "r" { when = function(s) return %s and true or true end }'):format(relation),
        { span { name = "x" } })
      assert.equal("", out, relation)
      assert.truthy(stderr:find("trace.satisfies", 1, true), relation)
    end
  end)

  it("a match beyond its limit is unknown too", function()
    local evil = '{ name = matches "(a+)+" }'
    local rules = ('rule "has" { when = trace.has(%s) }\nrule "missing" { when = trace.missing(%s) }\nrule '
      .. '"span" { when = %s }\nrule "not" { when = not_(%s) }\nrule "or" { when = any_of { %s, { v = 1 } } }\n')
      :format(evil, evil, evil, evil, evil)
    assert.equal("or", (fired(rules, { span { name = ("a"):rep(40) .. "!", attr = { v = 1 } } })))
    assert.equal("missing not", (fired(rules, { span { name = "aa!" } })))
  end)

  it("may be a local of the file, shared by rules", function()
    local out = fired('local function slow(s) return s.duration > 5 end\nrule "a" { when = slow }\nrule "b" { '
      .. 'when = trace.has { name = "x", where = slow } }\nrule "c" { when = trace.all(slow) }\n',
      { span { name = "x" } })
    assert.equal("a b c", out)
  end)
end)
