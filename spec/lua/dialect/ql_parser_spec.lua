-- What is TraceQL and what is not (rules/traceql.md), and what is said about the latter.
local parser = require("fluo.dialect.ql_parser")

local function each(text, check)
  for line in text:gmatch("[^\n]+") do
    local query = line:match("^%s*(.-)%s*$")
    if query ~= "" then check(query) end
  end
end

local function accepts(text)
  each(text, function(query)
    local node, message = parser.parse(query)
    assert.truthy(node, ("%s: %s"):format(query, tostring(message)))
  end)
end

-- Lines of: query -- part of the message or hint
local function refuses(text)
  each(text, function(line)
    local query, wanted = line:match("^(.-)%s+%-%- (.*)$")
    local node, message, hint = parser.parse(query)
    assert.is_nil(node, query)
    local said = message .. " | " .. (hint or "")
    assert.truthy(said:find(wanted, 1, true), ("%s: %s"):format(query, said))
  end)
end

-- Trees as text.
local SIGN = { child = ">", parent = "<", descendant = ">>", ancestor = "<<", sibling = "~" }
local FORM = { is = "", no = "!", union = "&" }

local function shown(node)
  if node.op == "filter" then return node.text:sub(2, -2) end
  if node.op == "pipe" then
    local stages = {}
    for i, stage in ipairs(node.stages) do stages[i] = shown(stage) end
    return "[" .. table.concat(stages, " | ") .. "]"
  end
  if node.op == "where" then return ("%s %s %s"):format(node.aggregate, node.how, (tostring(node.limit.value):gsub("LL$", ""))) end
  if not node.a then return node.op end
  local sign = node.op == "and" and "&&" or node.op == "or" and "||" or FORM[node.form] .. SIGN[node.relation]
  return ("(%s %s %s)"):format(shown(node.a), sign, shown(node.b))
end

local function expression(x)
  if x.op == "field" then return x.text end
  if x.op == "literal" then return (tostring(x.value):gsub("LL$", "")) end
  local parts = {}
  for i, part in ipairs(x.parts or { x.a, x.b }) do parts[i] = expression(part) end
  return ("%s(%s)"):format(x.how or x.op, table.concat(parts, " "))
end

local function tree(text)
  local node, message = parser.parse((text:gsub("%l%d?", "{.%0}")))
  return (assert(node, message) and shown(node):gsub("%.", ""))
end

local function filter(text)
  local node, message = parser.parse("{" .. text .. "}")
  return expression(assert(node, message).x)
end

describe("a query", function()
  it("is made of filters, relations, stages and aggregates", function()
    accepts [[
      {}
      { true }
      { status = error && kind != server || !(name =~ "a.*") }
      ({ name = "a" } || { name = "b" }) && { name = "c" }
      { } > { } >> { } < { } << { } ~ { }
      { } !> { } !>> { } !< { } !<< { } !~ { }
      { } &> { } &>> { } &< { } &<< { } &~ { }
      {}|count()>3|{.a=1}|avg(.b)>=1.5|max(duration)!=1h30m|min(-span.x)<-3|sum(.a+.b)=2*(3-1)
      count() > 3
      (count()) > 3
      (count() > 3) && (avg(duration) > 1s)
      by(resource.service.name) | count() > 2 | coalesce() | select(.a, name, span:id)
      ({ } | count() > 1) >> ({ } | { .a })
      { .a = nil || nil != span.b || nil = nil || (.a + 1) != nil }
      { trace:id = "a" && span:parentID != "b" && event:timeSinceStart > 1ms && link:spanID = "c" }
      { trace:duration > 1s && trace:rootName = "a" && trace:rootService = "b" && span:childCount > 1 }
      { instrumentation:name = "n" && instrumentation:version = "1" && instrumentation.x && span:statusMessage = "m" }
      { (.a = 1) = .b && .c = (.d && .e) }
      { .a > minInt && .a < maxInt }
    ]]
    accepts "{ true } // to the end of the line"
    accepts "/* before */ { /* within */ true }"
  end)

  it("binds relations tighter than && and ||, which have one precedence, from left to right", function()
    assert.equal("((a || b) && c)", tree "a || b && c")
    assert.equal("(a && (b > c))", tree "a && b > c")
    assert.equal("((a >> b) || (c !~ d))", tree "a >> b || c !~ d")
    assert.equal("(((a > b) &< c) << d)", tree "a > b &< c << d")
    assert.equal("(a > (b || c))", tree "a > (b || c)")
    assert.equal("[(a && b) | c | (d > e)]", tree "a && b | c | d > e")
    assert.equal("([a | b] && [c | d])", tree "(a | b) && (c | d)")
  end)

  it("binds within a filter as Tempo does", function()
    assert.equal("and(or(.a .b) .c)", filter ".a || .b && .c")
    assert.equal("EQ(.a +(.b *(.c .d)))", filter ".a = .b + .c * .d")
    assert.equal("EQ(.a ^(.b ^(.c .d)))", filter ".a = .b ^ .c ^ .d")
    assert.equal("EQ(-(-(.a .b) .c) .d)", filter ".a - .b - .c = .d")
    assert.equal("EQ(+(neg(*(.a .b)) .c) .d)", filter "-.a * .b + .c = .d")
    assert.equal("EQ(not(.a) .b)", filter "!.a = .b")
    assert.equal("and(EQ(.a .b) exists(+(.c .d)))", filter ".a = .b && .c + .d != nil")
    assert.equal("missing(+(.a 1))", filter "nil = .a + 1")
  end)

  it("is one truth or number where nothing of a span is asked", function()
    assert.equal("true", filter "1 < 2.5")
    assert.equal("false", filter '"a" =~ "b"')
    assert.equal("true", filter '"ab" =~ "a."')
    assert.equal("GT(.a 7)", filter ".a > 1 + 2 * 3")
    assert.equal("GT(duration 3600000000000)", filter "duration > 2 * 30m")
    assert.equal("[ | count GT -3]", shown(parser.parse "{} | count() > 1 - 2 * 2"))
  end)

  it("has attributes that run to white space or an operator, quoted in parts", function()
    local function key(text)
      local x = assert(parser.parse("{" .. text .. "}")).x
      return x.scope .. " " .. x.key
    end
    assert.equal("span a.b-c+d/e*f", key "span.a.b-c+d/e*f")
    assert.equal("resource a b.c", key 'resource."a b".c')
    assert.equal('any a"b\\c', key [[."a\"b\\c"]])
    assert.equal("event 3x", key "event.3x ")
    assert.equal("span resource.x", key "span.resource.x")
    assert.equal("any žluť", key ".žluť")
    assert.equal("LT(.a .b)", filter ".a<.b")
    assert.equal("and(.a .b)", filter ".a&&.b")
  end)

  it("has text with escapes in double quotes, and as it stands in back quotes", function()
    local function text(written) return assert(parser.parse("{.a=" .. written .. "}")).x.b.value end
    assert.equal("a\n\t\"\\\7é🐎A\1", text [["a\n\t\"\\\aé\U0001F40E\x41\001"]])
    assert.equal([[a\d"]], text [[`a\d"`]])
    assert.equal("a\nb", text "`a\r\nb`")
  end)

  it("has durations of several units, also of days, weeks and years", function()
    local function ns(written) return tostring(assert(parser.parse("{duration>" .. written .. "}")).x.b.value) end
    assert.equal("5400000000000LL", ns "1h30m")
    assert.equal("4530918273645LL", ns "1h15m30.918273645s")
    assert.equal("1500000LL", ns "1.5ms")
    assert.equal("1000LL", ns "1µs")
    assert.equal(tostring((365LL + 14 + 3) * 86400000000000), ns "1y2w3d")
    assert.equal("500000000LL", ns ".5s")
  end)
end)

describe("refused with a reason is", function()
  it("what does not parse", function()
    refuses [[
      { . } -- followed by no name
      { span. } -- followed by no name
      { < } -- expected a value
      { .a < } -- expected a value, not `}`
      { .a < 3 -- expected `}`, not the end
      { (.a < 3 } -- expected `)`
      { .a == 3 } -- expected a value
      { .a .b } -- expected `}`
      { attribute = 4 } -- an attribute is `.attribute`, text is "attribute"
      { nam = "x" } -- did you mean `name`?
      { .a = 'x' } -- text stands in "…" or `…`
      { .a = "x } -- not closed
      { .a = "\d" } -- in back quotes
      { .a = 1s2 } -- expected `}`
      { .a = 99999999999999999999 } -- beyond 64 bits
      { .a > nil } -- `nil` stands beside
      { trace:status = error } -- has no `status`
      { span:rootName = "a" } -- has no `rootName`
      { true } + { true } -- expected the end
      { true } && -- expected a filter
      coalesce() -- there are none yet
      select(1 + 2) -- takes attributes
      { true } | by() -- expected a value
      { true } | notAnAggregate() = 1 -- there is no stage
      true -- there is no stage
    ]]
    for _, nothing in ipairs { "", " ", "// only a comment" } do assert.is_nil(parser.parse(nothing)) end
  end)

  it("what combines types that cannot be", function()
    refuses [[
      { status } -- a filter is true or false, not a status
      { 1 + 1 } -- not a number
      { duration = "1s" } -- a duration on its left and text on its right
      { name = 5 } -- text on its left and a number on its right
      { status > ok } -- does not take a status
      { name + 1 = 2 } -- on its left
      { 1 && true } -- joins what is true or false
      { !name } -- does not take text
      { -status = ok } -- does not take a status
      { .a =~ 5 } -- does not take a number
      { .a =~ .b } -- takes text on its right
      { .a =~ "[" } -- does not compile
      { name = nil } -- is never nil
      { nil = resource.service.name } -- is never nil
      { } | max(name) > 1 -- takes a number, not text
      { } | sum(3) = 2 -- needs something of a span
      { } | by(1) -- needs something of a span
      { } | count() > "x" -- expected a number
    ]]
  end)

  it("what Tempo does not support, nor we", function()
    refuses [[
      { parent.a = 1 } -- write the parent as a spanset
      { parent = nil } -- is not supported
      { nestedSetLeft > 3 } -- is not supported
      { } | count() -- expected a comparison, not the end
      count() > 3 && { true } -- expected the end
      { } | count() + 1 > 2 -- aggregates are not reckoned with
      { } | max(.a) > min(.b) -- not with another
      { } | 3 < count() -- the aggregate stands on the left
      ({ } | count() > 1) | { } -- no first stage
      { } | ({ } | { }) -- no pipeline in parentheses
      { } && ({ } | count() > 1) -- or on both pipelines
      { } | rate() -- window
      { } | count_over_time() by (name) -- window
      100 * ({ } | rate()) > 5 -- window
      { } with (most_recent = true) -- hints
    ]]
  end)

  it("whatever is cut off, or put together by chance, and with words", function()
    local whole = [[({ span."a b" != nil && -.x ^ 2 >= 1h30m || !(name =~ "a\\n") } | by(.x) | max(.y * 2) > -1.5) &>> ({ event:name = `e` } | count() = 3)]]
    for n = 0, #whole - 1 do
      local node, message = parser.parse(whole:sub(1, n))
      assert.truthy(type(message) == "string" or node.op == "pipe" and whole:find("^ ?&", n + 1), whole:sub(1, n))
    end
    assert.truthy(parser.parse(whole))
    local words = {}
    for word in (whole .. [[ by coalesce ( ) select , nil span: trace: duration kind server 5 0.5 7ms != !~ & ~ " ` \\ \255 parent. with rate]]):gmatch("%S+") do words[#words + 1] = word end
    math.randomseed(7)
    for _ = 1, 3000 do
      local soup = {}
      for i = 1, math.random(12) do soup[i] = words[math.random(#words)] end
      local node, message = parser.parse(table.concat(soup, math.random(2) == 1 and " " or ""))
      assert.truthy(node or type(message) == "string")
    end
  end)

  it("what is too large, in milliseconds", function()
    local function message(text) return (select(2, parser.parse(text))) end
    assert.truthy(message("{ .a = `" .. ("x"):rep(65536) .. "` }"):find("65536 bytes", 1, true))
    for _, piece in ipairs { "(", "{", "!", "-", "{!(", "{ .a = (", "({ } && (", "{} | count() > (", "{ .a = -" } do
      local told = message("{ " .. piece:rep(500) .. " }") or message(piece:rep(500))
      assert.truthy(told, piece)
      assert.truthy(message(piece:rep(math.floor(60000 / #piece))), piece)
    end
    assert.truthy(message("{ " .. ("("):rep(201) .. "true" .. (")"):rep(201) .. " }"):find("nests at most 200", 1, true))
    assert.truthy(message("{ .a = " .. ("1 + "):rep(6000) .. ".b }"):find("at most", 1, true))
    assert.truthy(message("{ .a " .. ("|| .a "):rep(6000) .. "}"):find("at most 5000 terms", 1, true))
    assert.truthy(message(("{} && "):rep(9000) .. "{}"):find("at most", 1, true))
    assert.truthy(parser.parse("{ .a " .. ("|| .a "):rep(4000) .. "}"))
  end)
end)
