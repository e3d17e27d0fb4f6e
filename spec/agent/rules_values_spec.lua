-- What comparing a value means (rules/README.md, Patterns), through the whole agent: each row is a rule, a span,
-- and whether the rule fires.
local replay = require("spec.replay")
local wire = replay.wire

-- Rows of { "sentence", when, span or attributes, fires }; all of one `it` in one replay.
local function judge(rows, field)
  local cases = {}
  for i, row in ipairs(rows) do
    cases[i] = { when = row[1], [field or "attr"] = row[2] }
  end
  local found, status, stderr = replay.rows(cases)
  assert.equal(0, status, stderr)
  for i, row in ipairs(rows) do
    assert.equal(row[3], found[i] ~= false, ("row %d: %s"):format(i, row[1]))
  end
end

-- The same rows for the attribute v: { operand, value, fires }.
local function attribute(rows)
  local list = {}
  for i, row in ipairs(rows) do list[i] = { ("{ v = %s }"):format(row[1]), { v = row[2] }, row[3] } end
  judge(list)
end

local INT_2_53_1 = wire { intValue = "9007199254740993" }
local DOUBLE_2_53 = wire { doubleValue = "9007199254740992" }

describe("comparing values", function()
  it("an int and a double are compared as numbers", function()
    attribute {
      { "500", wire { doubleValue = 500 }, true }, { "500.0", 500, true }, { "500.5", 500, false },
      { "gt(499.5)", 500, true }, { "lt(500)", wire { doubleValue = 499.999 }, true },
      { "ne(500)", wire { doubleValue = 500 }, false }, { "0", wire { doubleValue = -0.0 }, true },
      { "-1", -1, true }, { "between(-2, -0.5)", -1, true }, { "one_of { 1, 2.5 }", 2.5, true },
      { "none_of { 1, 2.5 }", 2.5, false }, { "none_of { 1, 2.5 }", 2, true },
    }
  end)

  it("strictly, where that is asked: of one type, but that ints and doubles are one", function()
    attribute {
      { "strict(500)", 500, true }, { "strict(500)", wire { doubleValue = 500 }, true }, { "strict(500.5)", 500, false },
      { "strict(500)", "500", false }, { 'strict "500"', 500, false }, { 'strict "500"', "500", true },
      { "strict(true)", true, true }, { "strict(true)", "true", false }, { "strict(true)", false, false },
      { "strict(1)", true, false }, { "strict(500)", { "500" }, false }, { "strict(500)", { "500", 500 }, true },
      { "strict(500)", nil, false }, { "strict(9007199254740993LL)", INT_2_53_1, true }, { "strict(9007199254740992LL)", INT_2_53_1, false },
    }
    judge { { "not_ { v = strict(500) }", { v = "500" }, true }, { "not_ { v = strict(500) }", {}, true } }
  end)

  it("exactly, also beyond 2^53", function()
    attribute {
      { "9007199254740993LL", INT_2_53_1, true }, { "9007199254740992LL", INT_2_53_1, false },
      { '"9007199254740993"', INT_2_53_1, true }, { '"9007199254740992"', INT_2_53_1, false },
      { "9007199254740993LL", DOUBLE_2_53, false }, { "lt(9007199254740993LL)", DOUBLE_2_53, true },
      { "gt(9007199254740992LL)", INT_2_53_1, true }, { "9007199254740992", INT_2_53_1, false },
      { 'gt "9007199254740992"', INT_2_53_1, true }, { 'lt "9007199254740993"', INT_2_53_1, false },
      { "9223372036854775807LL", wire { intValue = "9223372036854775807" }, true },
      { "2^63", wire { intValue = "9223372036854775807" }, false },
      { "lt(2^63)", wire { intValue = "9223372036854775807" }, true },
      { "-9223372036854775807LL - 1", wire { intValue = "-9223372036854775808" }, true },
      { "-2^63", wire { intValue = "-9223372036854775808" }, true },
      { "one_of { 1, 9007199254740993LL }", INT_2_53_1, true },
      { "between(9007199254740993LL, 9007199254740993LL)", INT_2_53_1, true },
      { "between(9007199254740994LL, 9007199254740995LL)", INT_2_53_1, false },
      { "9007199254740993LL", wire { stringValue = "9007199254740993" }, true },
      { "9007199254740993LL", wire { stringValue = "9007199254740992" }, false },
    }
  end)

  it("text that is a decimal number, white space trimmed, is a number beside a number", function()
    for _, text in ipairs { "500", " 500", "500\t", "\n500\r\n", "+500", "500.", "500.0", "5e2", "5E+2", "5000e-1",
      "0500", "\v500\f" } do
      attribute { { "500", text, true }, { "ne(500)", text, false }, { "gt(499)", text, true },
        { "between(500, 500)", text, true } }
    end
    attribute { { "0.5", ".5", true }, { "0.5", "+.5", true }, { "-0.5", "-.5", true }, { '" 500 "', 500, true },
      { '"5e2"', 500, true },
                { '".5"', 0.5, true }, { 'one_of { "a", "5.0e2" }', 500, true },
                { 'none_of { "500." }', 500, false } }
  end)

  it("a sign, leading zeros and all ASCII white space belong to a number; NaN has no order", function()
    attribute {
      { "5", "+5", true }, { "0", "-0", true }, { "7", "007", true }, { "0.5", ".5", true }, { "5", "5.", true },
      { "5", "\t\r\n\v\f 5 \n", true }, { "5", "5\0", false }, { "0.1", "0.10", true }, { "1e300", "1E300", true },
      { "gt(1e308)", "1e400", true }, { "lt(-1e308)", "-1e400", true },
      { "gt(0)", wire { doubleValue = "NaN" }, false }, { "le(0)", wire { doubleValue = "NaN" }, false },
      { "ne(0)", wire { doubleValue = "NaN" }, true }, { "gt(1e308)", wire { doubleValue = "Infinity" }, true },
      { "one_of { '500' }", 500, true }, { "none_of { '5e2' }", 500, false }, { "between('1', '3')", 2, true },
    }
  end)

  it("no other text is: hexadecimal, inf, nan, a unit, a point or a sign alone, inner space, no ASCII", function()
    for _, text in ipairs { "0x1F4", "500ms", "5 00", "500,0", "", " ", "\194\160500", "1e", "1e+", "--500",
      "500.0.0", "5_00", "٥" } do
      attribute { { "500", text, false }, { "ne(500)", text, true }, { "gt(0)", text, false },
        { "lt(1000)", text, false }, { "ge(0)", text, false } }
    end
    for _, text in ipairs { "inf", "Infinity", "-inf", "nan", "NaN", ".", "+", "-", "e5", ".e5" } do
      attribute { { "gt(0)", text, false }, { "le(0)", text, false }, { "0", text, false },
        { "between(-1e300, 1e300)", text, false } }
    end
  end)

  it('exactly "true" and "false" are equal to booleans', function()
    attribute {
      { "true", true, true }, { "true", "true", true }, { '"true"', true, true }, { "false", "false", true },
      { '"false"', false, true },
      { "true", "True", false }, { "true", "TRUE", false }, { "true", " true", false }, { "true", 1, false },
      { "1", true, false },
      { "true", "1", false }, { "false", 0, false }, { "false", "", false }, { '"yes"', true, false },
      { "true", false, false },
      { "ne(true)", "true", false }, { "ne(true)", "TRUE", true }, { "ne(true)", 1, true },
      { "one_of { true, 7 }", "true", true },
      { "none_of { true }", true, false },
    }
  end)

  it("two texts are equal byte by byte", function()
    attribute {
      { '"500"', "500", true }, { '"500"', "500.0", false }, { '"500"', " 500", false }, { '"a"', "A", false },
      { '"a"', "a ", false },
      { '"ä"', "a\204\136", false }, { '"a\\0b"', "a\0b", true }, { '"a\\0b"', "a\0c", false }, { '""', "", true },
      { '""', "x", false },
      { 'ne "500"', "500.0", true }, { 'one_of { "500" }', "500.0", false }, { '"5e2"', "500", false },
    }
  end)

  it("the order of two texts is numeric if both look so, else there is none", function()
    attribute {
      { 'gt "9"', "10", true }, { 'lt "9"', "10", false }, { 'lt "10"', "9", true }, { 'ge "10"', "10.0", true },
      { 'le "10"', " 10", true },
      { 'gt "9"', "abc", false }, { 'lt "9"', "abc", false }, { 'gt "9"', "", false },
      { 'between("9", "11")', "10", true },
      { 'between("9", "11")', "1", false }, { 'gt "9"', 10, true },
      { 'gt "a"', "b", false }, { 'lt "b"', "a", false }, { 'gt "a"', 5, false }, { 'ge "a"', "a", false },
      { 'between("a", "c")', "b", false },
    }
  end)

  it("other types are not equal and have no order, and that is no error", function()
    local map = wire { kvlistValue = { values = { { key = "v", value = { intValue = "5" } } } } }
    local bytes, empty = wire { bytesValue = "NQ==" }, wire {}
    for _, v in ipairs { map, bytes } do
      attribute { { "5", v, false }, { "ne(5)", v, true }, { "gt(0)", v, false }, { "le(9)", v, false },
        { '"5"', v, false }, { "exists", v, true },
                  { "missing", v, false }, { 'contains ""', v, false }, { "none_of { 5 }", v, true } }
    end
    attribute { { "gt(0)", true, false }, { "lt(2)", true, false }, { "exists", empty, true },
      { "5", empty, false } }
  end)

  it("of a missing attribute every comparison is false, `ne` too", function()
    local rows = { { "missing", true }, { "exists", false } }
    for _, operand in ipairs { "0", '""', "false", "ne(3)", 'ne ""', "gt(0)", "lt(3)", "ge(0)", "le(0)",
      "between(-1, 1)", "one_of { 0, 1 }", "none_of { 1 }",
      'contains ""', 'prefix ""', 'suffix ""', 'glob "*"', 'matches ".*"', "function() return true end" } do
      rows[#rows + 1] = { operand, false }
    end
    for _, row in ipairs(rows) do row[3] = row[2] row[2] = nil end
    attribute(rows)
    for _, row in ipairs(rows) do row[1] = ("{ resource = { v = %s } }"):format(row[1]) end
    judge(rows)
  end)

  it("the negation of a condition is true there, on a missing attribute", function()
    judge {
      { "not_ { v = 1 }", {}, true }, { "not_ { v = 1 }", { v = 1 }, false }, { "not_ { v = ne(1) }", {}, true },
      { "not_ { v = ne(1) }", { v = 2 }, false },
      { "all_of { { name = 'x' }, not_ { v = gt(3) } }", {}, true },
      { "not_(any_of { { v = 1 }, { v = 2 } })", {}, true },
      { "not_(not_ { v = 1 })", {}, false }, { "not_ { v = missing }", {}, false },
      { "not_ { v = 'a', w = 1 }", { v = "a" }, true },
    }
  end)

  it("of an array any element may satisfy an operand", function()
    local mixed = { 1, "two", true, "30" }
    attribute {
      { "1", mixed, true }, { '"two"', mixed, true }, { "true", mixed, true }, { "30", mixed, true },
      { "gt(29)", mixed, true }, { "lt(1)", mixed, false },
      { "between(2, 40)", mixed, true }, { "one_of { 7, 'two' }", mixed, true }, { "contains 'w'", mixed, true },
      { "prefix 'tw'", mixed, true },
      { "suffix 'wo'", mixed, true }, { "glob 't*'", mixed, true }, { "matches 't.o'", mixed, true },
      { "matches 'onetwo'", mixed, false }, { "exists", mixed, true },
      { "eq(2)", mixed, false }, { "eq(1)", { { 1 } }, false }, { "ne(1)", { { 1 } }, true },
    }
  end)

  it("of an array one element has to satisfy an operand by itself", function()
    attribute {
      { "between(2, 40)", { 1, 50 }, false }, { "between(2, 40)", { 1, 50, 40 }, true },
      { "contains 'ab'", { "a", "b" }, false }, { "glob 'a*b'", { "a", "b" }, false },
    }
    judge {
      { "all_of { { v = gt(2) }, { v = lt(40) } }", { v = { 1, 50 } }, true },    -- two operands, two elements
      { "not_ { v = 1 }", { v = { 1, 2 } }, false }, { "not_ { v = ne(1) }", { v = { 1, 2 } }, true },
    }
  end)

  it("`ne` and `none_of` of an array hold if no element is equal", function()
    attribute {
      { "ne 'a'", { "a", "b" }, false }, { "ne 'a'", { "b", "c" }, true },
      { "none_of { 'a', 'z' }", { "b", "a" }, false }, { "none_of { 'a', 'z' }", { "b" }, true },
      { "ne(1)", { "1", 2 }, false }, { "ne(true)", { "true" }, false },
    }
  end)

  it("an empty array is present: nothing is equal to an element of it", function()
    attribute { { "exists", {}, true }, { "missing", {}, false }, { "eq 'a'", {}, false }, { "ne 'a'", {}, true },
      { "none_of { 'a' }", {}, true }, { "gt(0)", {}, false },
                { "glob '*'", {}, false } }
  end)

  it("operands of text are false for numbers and booleans", function()
    for _, v in ipairs { 500, 5.5, true } do
      attribute { { "contains ''", v, false }, { "prefix ''", v, false }, { "suffix ''", v, false },
        { "glob '*'", v, false }, { "matches '.*'", v, false },
                  { "contains '5'", v, false } }
    end
    attribute { { "contains '5'", { 500, true }, false }, { "contains '5'", "500", true } }
  end)
end)

describe("durations", function()
  local function spans(rows)
    local list = {}
    for i, row in ipairs(rows) do list[i] = { ("{ duration = %s }"):format(row[1]), { dur = row[2] }, row[3] } end
    judge(list, "span")
  end

  it("are compared in whole nanoseconds, a bare number being milliseconds with its fraction", function()
    spans {
      { "gt(300)", 300, false }, { "gt(300)", 300.000001, true }, { "gt(300.000001)", 300.000001, false },
      { "ge(300.000001)", 300, false },
      { "ge(300.000001)", 300.000001, true }, { "300", 300, true }, { "300", 300.000001, false },
      { "ne(300)", 300.000001, true }, { "lt(300)", 299.999999, true },
      { "lt(300)", 300, false }, { "le(300)", 300, true }, { "between(300, 301)", 301, true },
      { "between(300, 301)", 301.000001, false },
      { "one_of { 1, 300 }", 300, true }, { "0", 0, true }, { "gt(0)", 0.000001, true },
      { "0.000001", 0.000001, true },
    }
  end)

  it("are written with ns us ms s m h d, or in words", function()
    spans {
      { "eq '10000000ns'", 10, true }, { "eq '10000us'", 10, true }, { "eq '10ms'", 10, true },
      { "eq '0.01s'", 10, true }, { "gt '1m'", 59999.999999, false },
      { "gt '1m'", 60000.000001, true }, { "'1m'", 60000, true }, { "'1h'", 3600000, true },
      { "'1d'", 86400000, true }, { "'5 seconds'", 5000, true },
      { "'1 minute'", 60000, true }, { "'2 minutes'", 120000, true }, { "'10 milliseconds'", 10, true },
      { "'1 hour'", 3600000, true }, { "'1.5s'", 1500, true },
      { "'1 second'", 1000, true }, { "'1 day'", 86400000, true }, { "'10 ms'", 10, true },
      { "between('10ms', '1s')", 10, true }, { "'20000 microseconds'", 20, true },
    }
  end)

  it("of a span that ends before it starts, or has no end, are 0, and the span is kept", function()
    judge({
      { "{ duration = 0 }", { at = 10, end_ns = replay.time(5) }, true },
      { "{ duration = 0 }", { at = 10, end_ns = "0" }, true },
      { "{ duration = gt(0) }", { at = 10, end_ns = "0" }, false },
      { "{ duration = lt(1) }", { at = 10, end_ns = replay.time(9) }, true },
      { "function(s) return s.duration == 0 end", { at = 10, end_ns = replay.time(9) }, true },
    }, "span")
  end)
end)

describe("status", function()
  local FIRES = {          -- operand: UNSET, OK, ERROR
    { '"OK"', true, true, false }, { '"ok"', true, true, false }, { '"STATUS_CODE_OK"', true, true, false },
    { '"status_code_ok"', true, true, false },
    { '"EXPLICIT_OK"', false, true, false }, { '"explicit_ok"', false, true, false },
    { '"UNSET"', true, false, false }, { '"Unset"', true, false, false },
    { '"STATUS_CODE_UNSET"', true, false, false }, { '"ERROR"', false, false, true },
    { '"Error"', false, false, true }, { '"STATUS_CODE_ERROR"', false, false, true },
    { 'eq "OK"', true, true, false }, { 'ne "OK"', false, false, true }, { 'ne "EXPLICIT_OK"', true, false, true },
    { 'ne "UNSET"', false, true, true },
    { 'ne "ERROR"', true, true, false }, { 'one_of { "OK" }', true, true, false },
    { 'one_of { "OK", "ERROR" }', true, true, true },
    { 'one_of { "EXPLICIT_OK", "ERROR" }', false, true, true }, { 'none_of { "OK" }', false, false, true },
    { 'none_of { "EXPLICIT_OK", "ERROR" }', true, false, false },
    { 'none_of { "UNSET" }', false, true, true }, { "function(v) return v == 'UNSET' end", true, false, false },
  }
  local function table_of(wrap)
    local rows = {}
    for _, row in ipairs(FIRES) do
      for i, status in ipairs { "UNSET", "OK", "ERROR" } do rows[#rows + 1] = { wrap:format(row[1]),
        { status = status }, row[i + 1] } end
    end
    return rows
  end

  it('"OK" matches OK and UNSET, "EXPLICIT_OK" and "UNSET" themselves only, in every operand',
    function() judge(table_of "{ status = %s }", "span") end)
  it("also in a trace condition", function() judge(table_of "trace.has { status = %s }", "span") end)
  it("and under a negation", function()
    local rows = table_of "not_ { status = %s }"
    for _, row in ipairs(rows) do row[3] = not row[3] end
    judge(rows, "span")
  end)

  it("an attribute named status is compared as any other", function()
    judge { { '{ attributes = { status = "ok" } }', { status = "ok" }, true },
      { '{ attributes = { status = "OK" } }', { status = "UNSET" }, false } }
  end)

  it("a function sees it by its plain name", function()
    judge({ { "function(s) return s.status == 'UNSET' end", { status = "UNSET" }, true },
      { "function(s) return s.status == 'OK' end", { status = "UNSET" }, false },
            { "function(s) return s.status == 'OK' end", { status = "OK" }, true },
            { "function(s) return s.status == 'ERROR' end", { status = "ERROR" }, true } }, "span")
  end)
end)

describe("renamed conventions", function()
  local PAIRS = { { "http.status_code", "http.response.status_code" }, { "http.url", "url.full" },
    { "http.method", "http.request.method" },
                  { "db.system", "db.system.name" }, { "db.statement", "db.query.text" } }
  it("a key that a span lacks is looked up under its other name, both ways, in patterns and functions", function()
    local rows = {}
    for _, pair in ipairs(PAIRS) do
      for from = 1, 2 do
        local asked, has = pair[from], { [pair[3 - from]] = "v" }
        rows[#rows + 1] = { ("{ [%q] = 'v' }"):format(asked), has, true }
        rows[#rows + 1] = { ("{ attributes = { [%q] = prefix 'v' } }"):format(asked), has, true }
        rows[#rows + 1] = { ("{ [%q] = exists }"):format(asked), has, true }
        rows[#rows + 1] = { ("{ [%q] = missing }"):format(asked), has, false }
        rows[#rows + 1] = { ("{ [%q] = ne 'v' }"):format(asked), has, false }
        rows[#rows + 1] = { ("{ [%q] = ne 'w' }"):format(asked), has, true }
        rows[#rows + 1] = { ("{ [%q] = function(v) return v == 'v' end }"):format(asked), has, true }
        rows[#rows + 1] = { ("{ where = function(s) return s.attributes[%q] == 'v' end }"):format(asked), has,
          true }
      end
    end
    judge(rows)
  end)

  it("a value that is present always wins", function()
    local both = { ["http.status_code"] = 200, ["http.response.status_code"] = 500 }
    judge {
      { '{ ["http.status_code"] = 500 }', both, false }, { '{ ["http.status_code"] = 200 }', both, true },
      { '{ ["http.response.status_code"] = 500 }', both, true },
      { '{ ["http.response.status_code"] = 200 }', both, false },
      { 'function(s) return s.attributes["http.status_code"] == 200 end', both, true },
      { '{ ["http.status_code"] = 500 }', { ["http.status_code"] = wire {}, ["http.response.status_code"] = 500 },
        false },
    }
  end)

  it("holds for attributes of spans alone: not of the resource, an event or a link", function()
    judge({
      { '{ resource = { ["http.url"] = "u" } }', { resource = { ["url.full"] = "u" } }, false },
      { '{ event = { ["http.url"] = "u" } }', { events = { { "e", 0, { ["url.full"] = "u" } } } }, false },
      { '{ link = { ["http.url"] = "u" } }', { links = { { "o", "a", { ["url.full"] = "u" } } } }, false },
      { 'function(s) return s.resource["http.url"] ~= nil end', { resource = { ["url.full"] = "u" } }, false },
      { '{ ["http.url"] = "u" }', { resource = { ["url.full"] = "u" } }, false },
    }, "span")
  end)
end)

describe("the configuration", function()
  it("can make \"OK\" strict, everywhere", function()
    local rules = 'rule "ok" { when = { status = "OK" } }\nrule "ne" { when = { status = ne "OK" } }\n'
      .. 'rule "one" { when = trace.has { status = one_of { "OK", "ERROR" } } }\n'
    local function fired(status, flags)
      local names = {}
      for i, v in ipairs(replay.run(rules, { { replay.span { name = "a", status = status } } },
        flags)) do names[i] = v.rule end
      table.sort(names)
      return table.concat(names, " ")
    end
    assert.same({ "ok one", "ok one", "ne one" }, { fired "UNSET", fired "OK", fired "ERROR" })
    local strict = "--status-ok-is-explicit"
    assert.same({ "ne", "ok one", "ne one" },
      { fired("UNSET", strict), fired("OK", strict), fired("ERROR", strict) })
  end)

  it("can switch renamed conventions off, in patterns and functions", function()
    local rules = 'rule "p" { when = { ["http.url"] = "u" } }\n'
      .. 'rule "f" { when = function(s) return s.attributes["http.url"] == "u" end }\n'
    local request = { { replay.span { name = "a", attr = { ["url.full"] = "u" } } } }
    assert.equal(2, #replay.run(rules, request))
    assert.equal(0, #replay.run(rules, request, "--semconv.renames=false"))
  end)
end)
