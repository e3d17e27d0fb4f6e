-- What a rule file might try to get out of its sandbox, or at what is not its own. Each probe says what is tried; all
-- run in a real worker (or, at load, in a real rule process), and a probe holds when nothing came of it.
local replay = require("spec.replay")
local sanitized = (os.getenv("LD_PRELOAD") or ""):find("asan")

-- For probes: whether a call has an error, one of words, and for what it tried.
local HELP = [[
local function refused(f, ...) local good, why = pcall(f, ...) return not good and type(why) == "string" end
]]

local REQUEST = { replay.span { name = "a", dur = 100, attr = { n = 5, ["_at"] = "mine", text = "x" },
  events = { { "e", 1, { k = 1 } } },
  links = { { "u", "w" } } }, replay.span { name = "b", parent = "a", at = 10 } }

-- Replays probes { what = body } as functions of the trace: those that did not hold, and what was said.
local function failing(probes, before, request)
  local rules, names = { before or "", HELP }, {}
  for what in pairs(probes) do names[#names + 1] = what end
  table.sort(names)
  for _, what in ipairs(names) do
    rules[#rules + 1] = ("rule %q { when = trace.satisfies(function(t) local s = t.root %s end) }\n"):format(what,
      probes[what])
  end
  local found, status, said = replay.run(table.concat(rules), { request or REQUEST })
  assert.equal(0, status, said)
  local held, list = {}, {}
  for _, v in ipairs(found) do held[v.rule] = true end
  for _, what in ipairs(names) do
    if not held[what] then list[#list + 1] = what end
  end
  return list, said, #names
end

local function group(what, probes, before)
  it(what, function()
    local list, said = failing(probes, before)
    assert.same({}, list, said)
  end)
end

describe("a function of the trace", function()
  group("cannot write to what it gets", {
    ["a field of a span"] = "return refused(function() s.name = 'x' end)",
    ["a new field of a span"] = "return refused(function() s.mine = 1 end)",
    ["a span's metamethod"] = "return refused(function() s.__index = 1 end)",
    ["an attribute"] = "return refused(function() s.attributes.n = 6 end) and s.attributes.n == 5",
    ["a resource attribute"] = "return refused(function() s.resource.n = 6 end)",
    ["the attributes themselves"] = "return refused(function() s.attributes = {} end)",
    ["the trace"] = "return refused(function() t.root = nil end) and t.root == s",
    ["a method of the trace"] = "return refused(function() t.count = nil end)",
    ["the evaluation of a handle"] = "return refused(function() s._evaluation = 7 end)",
    ["the rank of a handle"] = "return refused(function() s._rank = 7 end) and refused(function() s._at = 7 end)",
    ["an operand"] = "return refused(function() missing.op = 'exists' end)",
    ["the shared `trace`"] = "return refused(function() trace.has = nil end)",
    ["a 64-bit time"] = "return refused(function() s.start[0] = 1 end) and refused(function() s.start.x = 1 end)",
    ["a complex number"] = "return refused(function() local c = 5i c.re = 1 end) and refused(function() local c = 5i "
      .. "c[0] = 1 end)",
    ["a string"] = "return refused(function() ('x').y = 1 end)",
    ["a function"] = "return refused(function() t.count.x = 1 end)",
  })

  group("reads no memory but its trace's", {
    ["a span by index"] = "return refused(function() return s[0] end) and refused(function() return s[1] end)",
    ["a span by a far index"] = "return refused(function() return s[1e9] end) and refused(function() return s[-1e9] "
      .. "end)",
    ["a span by an int64"] = "return refused(function() return s[1LL] end)",
    ["a span by a span"] = "return refused(function() return s[s] end)",
    ["attributes by index"] = "local a = s.attributes return a[0] == nil and a[-1] == nil and a[1e9] == nil and "
      .. "a[1LL] == nil and a[s] == nil",
    ["a trace by index"] = "return refused(function() return t[0] end) and refused(function() return t[1LL] end)",
    ["a time by index"] = "return refused(function() return s.start[0] end) and refused(function() return "
      .. "s.start[1e6] end)",
    ["a complex number far beyond its end"] = "return (5i)[2] == 0 and (5i)[1e6] == 0 and (5i)[1e6 + 1] == 5",
    ["how a handle is made"] = "return refused(function() return s._at end) and refused(function() return s._rank "
      .. "end) and refused(function() return t._evaluation end)",
    ["an attribute named like a field of a handle"] = "return s.attributes._at == 'mine' and s.attributes._len == "
      .. "nil",
    ["a string's bytes past its end"] = "return ('abc'):byte(4) == nil and ('abc'):sub(2, 1e9) == 'bc' and "
      .. "#('abc'):sub(-1e9, 1e9) == 3",
    ["an event past the last"] = "return s.events[2] == nil and s.events[0] == nil and s.events[1e9] == nil",
    ["a metatable by its name"] = "return refused(function() return s.__metatable end) and refused(function() return "
      .. "s.__gc end)",
    ["fields of C by name"] = "return refused(function() return s.span_ptr end) and refused(function() return t.C "
      .. "end) and refused(function() return t.ffi end)",
    ["the class of a condition"] = "return refused(function() return trace.has.x end) and refused(function() return "
      .. "trace.__index end)",
    ["what an operand holds"] = "return gt(5).op == nil and gt(5)[1] == nil and missing.n == nil",
  })

  group("can make nothing of a handle but what it is for", {
    ["sum"] = "return refused(function() return s + 1 end) and refused(function() return 1 + s end)",
    ["difference, an address"] = "return refused(function() return s - s end) and refused(function() return "
      .. "s.attributes - 8 end)",
    ["negation"] = "return refused(function() return -s end)",
    ["length"] = "return refused(function() return #s end) and refused(function() return #t end)",
    ["concatenation"] = "return refused(function() return s .. 'x' end) and refused(function() return t .. t end)",
    ["a call"] = "return refused(function() return s() end) and refused(function() return t() end) and "
      .. "refused(function() return s.start() end)",
    ["an order"] = "return refused(function() return s < s end) and refused(function() return t < 1 end)",
    ["equality with what it is not"] = "return s ~= nil and s ~= 1 and s ~= 'a' and s ~= {} and t ~= nil",
    ["a number"] = "return tonumber(s) == nil and tonumber(t) == nil and tonumber(s.attributes) == nil",
    ["its address by tostring"] = "return tostring(s) == 'span' and tostring(t) == 'trace' and "
      .. "tostring(s.attributes) == 'attributes'",
    ["its address by format"] = "return refused(string.format, '%p', s) and ('%s'):format(s) == 'span' and "
      .. "refused(string.format, '%d', s) and refused(string.format, '%x', t)",
    ["its bytes by format"] = "return ('%q'):format(s) == '\\34span\\34' and refused(string.format, '%c', s)",
    ["a walk"] = "return refused(pairs, s) and refused(next, s) and refused(next, t) and refused(function() for _ in "
      .. "ipairs(s) do return end end)",
    ["a table's functions"] = "return refused(table.insert, s, 1) and refused(table.concat, s) and "
      .. "refused(table.sort, t) and refused(unpack, s) and refused(table.remove, t)",
    ["a text's functions"] = "return refused(string.rep, s, 2) and refused(string.byte, t) and refused(string.find, "
      .. "s, 'x') and refused(string.gsub, 'x', 'x', s)",
    ["bits"] = "return refused(bit.bor, s, 1) and refused(bit.tohex, t) and refused(bit.bswap, s.attributes)",
    ["mathematics"] = "return refused(math.floor, s) and refused(math.max, t, 1)",
    ["a coroutine"] = "return refused(coroutine.wrap, s) and refused(coroutine.resume, t)",
    ["a method of another kind"] = "return refused(s.children, t) and refused(s.children, 5) and refused(s.children) "
      .. "and refused(t.count, s, {}) and refused(t.spans)",
    ["a raw error of its own kind"] = "local good, why = pcall(error, s) return not good and why == s",
  })

  group("has nothing of Lua that leads out", {
    ["string.dump"] = "return string.dump == nil and (''):rep(1).dump == nil",
    ["randomness"] = "return math.random == nil and math.randomseed == nil",
    ["the address of a function"] = "return tostring(pairs) == 'function' and tostring(t.count) == 'function'",
    ["the address of a thread"] = "return tostring(coroutine.create(error)) == 'thread'",
    ["an address by format"] = "return refused(string.format, '%p', {}) and refused(string.format, '%-20p', {}) and "
      .. "('%s %s'):format({}, pcall) == 'table function'",
    ["old ways to the environment"] = "return table.foreach == nil and table.getn == nil and string.gfind == nil and "
      .. "math.mod == nil",
    ["bytecode by the loader of iterators"] = "return refused(function() for x in 'code' do return x end end)",
    ["coroutine tricks around an error"] = "local co = coroutine.create(function() error({}) end) local good, why = "
      .. "coroutine.resume(co) return not good and type(why) == 'table' and coroutine.status(co) == 'dead'",
    ["require of a file above"] = "return refused(require, '../x') and refused(require, '/etc/passwd') and "
      .. "refused(require, './x')",
    ["require of FLUO"] = "return refused(require, 'fluo.abi') and refused(require, 'fluo') and refused(require, "
      .. "'spec.support')",
    ["require of a library"] = "for _, name in ipairs { 'ffi', 'jit', 'os', 'io', 'debug', 'package', 'string', "
      .. "'table', 'bit', 'jit.util', 'string.buffer', 'table.new' } do if not refused(require, name) then return "
      .. "false end end return true",
    ["require of nonsense"] = "return refused(require) and refused(require, {}) and refused(require, 'a\\0b') and "
      .. "refused(require, s)",
    ["a rule within a rule"] = "return refused(rule, 'x') and refused(function() rule 'x' { when = {} } end)",
    ["a condition within a function"] = "return refused(function() return trace.has { name = 'a' } end) and "
      .. "refused(function() return trace.satisfies(function() end) end)",
    ["a finalizer"] = "local x = { __gc = function() error 'ran' end, __index = function() return 1 end } return x.y "
      .. "== nil",
    ["a table that acts as an operand"] = "return refused(t.count, t, { name = { op = 'eq', n = 1, 'a' } })",
    ["an upvalue of FLUO's functions"] = "return refused(function() return t.count.upvalue end)",
  })

  group("gets an error where Lua's library would break", {
    ["repetition beyond memory"] = "return refused(string.rep, ('x'):rep(1000), 2 ^ 30) and ('x'):rep(-2 ^ 31) == ''",
    ["a width beyond reason"] = "return refused(string.format, '%99999d', 1) and refused(string.format, '%.500f', 1)",
    ["a format without arguments"] = "return refused(string.format, ('%s'):rep(1e4)) and refused(string.format, "
      .. "'%y', 1)",
    ["a pattern too deep"] = "return refused(string.find, ('a'):rep(100), ('('):rep(100)) and refused(string.find, "
      .. "('a'):rep(100), ('(a'):rep(33) .. (')'):rep(33))",
    ["a malformed pattern"] = "return refused(string.find, 'x', '[') and refused(string.find, 'x', '%') "
      .. "and refused(string.gsub, 'x', 'x', '%9') and refused(string.match, 'x', '%b')",
    ["concatenation of nothing"] = "return refused(table.concat, {}, 'x', 1, 1e9) and refused(table.concat, { {} }) "
      .. "and table.concat({}, 'x', 1, -1e9) == ''",
    ["concatenation far away"] = "return refused(table.concat, {}, '', 2 ^ 31 - 2, 2 ^ 31 - 1) and "
      .. "refused(table.concat, { s }, ',')",
    ["unpack without end"] = "return refused(unpack, {}, 1, 1e8) and refused(unpack, {}, -2 ^ 31, 2 ^ 31 - 1) and "
      .. "refused(unpack, {}, 1, 2 ^ 30)",
    ["select out of range"] = "return refused(select, -2, 1) and refused(select, 0) and select(1e9, 1) == nil and "
      .. "select('#') == 0",
    ["bytes without end"] = "return refused(string.byte, ('x'):rep(1e6), 1, -1)",
    ["characters that are none"] = "return refused(string.char, 256) and refused(string.char, -1) and "
      .. "refused(string.char, 2 ^ 40)",
    ["a comparator that throws"] = "return refused(table.sort, { 3, 2, 1 }, function() error 'x' end)",
    ["a comparator that lies"] = "local x = {} for i = 1, 3000 do x[i] = i * 7919 % 3001 end pcall(table.sort, x, "
      .. "function() return true end) return #x == 3000",
    ["a comparator that changes the table"] = "local x = {} for i = 1, 200 do x[i] = -i end pcall(table.sort, x, "
      .. "function(a, b) x[#x] = nil return (a or 0) < (b or 0) end) return true",
    ["a comparator that yields"] = "return not coroutine.resume(coroutine.create(function() table.sort({ 2, 1 }, "
      .. "function() coroutine.yield() end) end))",
    ["a sort of what has no order"] = "return refused(table.sort, { 1, 'x', {} }) and refused(table.sort, { s, t })",
    ["a callback of gsub that yields"] = "return not coroutine.resume(coroutine.create(function() return "
      .. "('x'):gsub('.', coroutine.yield) end))",
    ["a callback of gsub that throws"] = "return refused(string.gsub, 'x', '.', function() error 'x' end) and "
      .. "refused(string.gsub, 'x', '.', function() return {} end)",
    ["a key that is no number"] = "return refused(function() local x = {} x[0 / 0] = 1 end) and refused(function() "
      .. "local x = {} x[nil] = 1 end)",
    ["keys without order"] = "return refused(pairs, { [{}] = 1, [function() end] = 2 })",
    ["next of a key that is not there"] = "return refused(next, { a = 1 }, 'b')",
    ["the least integer divided by -1"] = "local least = -0x7fffffffffffffffLL - 1 for i = 1, 200 do local x = least "
      .. "/ (i > 0 and -1LL or 1LL) x = x % -1LL end return least / -1LL == least",
    ["an integer divided by nothing"] = "for i = 1, 200 do local x = 1LL / (i > 0 and 0LL or 1LL) x = 1ULL % 0ULL "
      .. "end return type(1LL / 0LL) == 'cdata'",
    ["an int64 out of place"] = "return refused(function() return s.start < 'x' end) and refused(function() return "
      .. "#s.start end) and refused(function() return s.start .. '' end)",
    ["a number from a long text"] = "return tonumber(('9'):rep(1e5)) ~= 1 and tonumber('0x' .. ('f'):rep(1e5)) ~= 1 "
      .. "and tonumber(('1'):rep(70), 2) ~= 1 and refused(tonumber, '1', 99)",
    ["a level of an error"] = "return refused(error, 'x', 1e9) and refused(error, 'x', -5) and refused(error, 'x', "
      .. "0)",
    ["an insertion far away"] = "local x = {} table.insert(x, 2 ^ 31 - 1, 1) return table.remove({}, 1e9) == nil and "
      .. "refused(table.insert, {}, 1, 2, 3)",
    ["shifts beyond the width"] = "return bit.lshift(1, 1e9) and bit.rol(1, -1e9) and refused(bit.bor) and "
      .. "refused(bit.tobit, 'x')",
  })

  group("is held by the stack", {
    ["recursion"] = "local function f() return 1 + f() end return refused(f)",
    ["recursion through pcall"] = "local function f() return pcall(f) end f() return true",
    ["recursion through an error's catcher"] = "local function f() local good = pcall(error, 'x') return f() or good "
      .. "end return refused(function() return 1 + f() end) or true",
    -- With many values each time: the stack is full after few, else it took half of the time that a call has.
    ["recursion through sort"] = "local many = {} for i = 1, 200 do many[i] = i end local function f(...) "
      .. "table.sort({ 2, 1 }, function() return f(unpack(many)) end) end return refused(f)",
    ["recursion through a pattern"] = "local function f() return t:count { where = f } end return refused(f)",
    ["recursion through find"] = "local function f() return t:find(f) end return refused(f)",
    ["recursion through tostring"] = "local function f(x) return tostring(f({ x })) .. 'x' end return refused(f)",
    ["a coroutine that resumes itself"] = "local co co = coroutine.wrap(function() return co() end) return "
      .. "refused(co)",
    ["a coroutine that wraps itself"] = "local n = 0 local function f() n = n + 1 if n < 150 then return "
      .. "coroutine.wrap(f)() end return n end return f() == 150",
    ["a yield out of the evaluation"] = "return refused(coroutine.yield, t)",
    ["a yield in a pattern's function"] = "return not coroutine.resume(coroutine.create(function() return t:count { "
      .. "where = function() coroutine.yield() end } end)) or true",
    ["a dead coroutine"] = "local co = coroutine.wrap(function() end) co() return refused(co)",
    ["an iterator that is called too often"] = "local f = t:spans() while f() do end return f() == nil and f() == "
      .. "nil",
  })

  group("gets an error for a hostile pattern", {
    ["a list in itself"] = "local l = {} l[1] = any_of(l) return refused(t.count, t, any_of(l))",
    ["a table in itself"] = "local p = {} p.event = p return refused(t.count, t, p)",
    ["ten thousand terms"] = "local l = {} for i = 1, 1e4 do l[i] = { n = i } end return refused(t.count, t, "
      .. "any_of(l))",
    ["a deep nesting"] = "local p = { n = 1 } for _ = 1, 300 do p = not_(p) end return refused(t.count, t, p)",
    ["a broken expression"] = "return refused(t.count, t, { n = matches '(' }) and refused(t.count, t, { n = "
      .. "matches(('a'):rep(1e5)) })",
    ["an expression that explodes"] = "return refused(t.count, t, { n = matches '((a{1,1000}){1,1000}){1,1000}' }) "
      .. "or true",
    ["keys of every kind"] = "return refused(t.count, t, { [1] = 2 }) and refused(t.count, t, { [s] = 1 }) and "
      .. "refused(t.count, t, { [t] = {} })",
    ["values of every kind"] = "return refused(t.count, t, { n = {} }) and refused(t.count, t, { n = s }) and "
      .. "refused(t.count, t, { n = t }) and refused(t.count, t, { n = 0 / 0 })",
    ["a coroutine as a pattern"] = "return refused(t.count, t, coroutine.create(error)) and refused(t.count, t, s) "
      .. "and refused(t.count, t, t)",
    ["a condition as a pattern"] = "return refused(t.count, t, kept_condition)",
    ["a function of FLUO's as a pattern"] = "return refused(t.count, t, t.count) and refused(t.find, t, s.children) "
      .. "or refused(t.find, t, t.find)",
    ["an operand that is broken"] = "return refused(t.count, t, { n = gt() }) and refused(t.count, t, { n = one_of "
      .. "{} }) and refused(t.count, t, gt(5))",
    ["the same with other functions"] = "local function p(x) return { where = function() return x end } end return "
      .. "t:count(p(true)) == 2 and t:count(p(false)) == 0",
    ["a thousand patterns"] = "local n = 0 for i = 1, 300 do n = n + t:count { n = i } end return n == 1",
    ["a name with zeros"] = "return t:count { ['a\\0b'] = 'c\\0d' } == 0 and t:count { ['\\0at'] = exists } == 0",
  }, "local kept_condition = trace.has { name = 'a' }\nrule 'kept' { when = kept_condition * trace.has { name = 'nowhere' } }\n")

  group("keeps what it changes to itself", {
    ["its copy of a library"] = "string.rep, table.concat, math.huge = nil, nil, 0 return ('x'):rep(2) == 'xx'",
    ["a function that FLUO sorts by"] = "table.sort = function() error 'tampered' end local l = t:all {} return "
      .. "l[1].name == 'a' and #t.services == 1",
    ["a method of strings"] = "string.upper = function() return 'tampered' end return ('x'):upper() == 'X'",
    ["a list that it was given"] = "local l = t:all {} l[1] = nil table.insert(l, 'x') local m = s:children() m[1] = "
      .. "nil t.services[1] = 'x' return #t:all {} == 2 and #s:children() == 1 and t.services[1] == 'svc'",
    ["a library's new entry"] = "string.mine = 1 return ('').mine == nil",
  })

  it("cannot keep anything for a later call", function()
    local keep = [[local kept = {}
rule "1" { when = trace.satisfies(function(t) local s = t.root
  kept.t, kept.s, kept.a, kept.r, kept.i, kept.e = t, s, s.attributes, s.resource, t:spans(), s.events
  kept.c = coroutine.wrap(function() coroutine.yield() return t.root.name end) kept.c()
  kept.m, kept.n, kept.l = s.children, t.count, s.links return true end) }
]]
    local list, said = failing({
      ["the trace"] = "return refused(function() return kept.t.root end)",
      ["a method of the trace"] = "return refused(function() return kept.t:count {} end) and refused(kept.n, kept.t, "
        .. "{})",
      ["a span"] = "return refused(function() return kept.s.name end)",
      ["a method of a span"] = "return refused(function() return kept.s:children() end) and refused(kept.m, kept.s)",
      ["attributes"] = "return refused(function() return kept.a.n end) and refused(pairs, kept.a)",
      ["a resource"] = "return refused(function() return kept.r.n end)",
      ["an iterator"] = "return refused(kept.i)",
      ["an event's attributes"] = "return refused(function() return kept.e[1].attributes.k end)",
      ["a link's attributes"] = "return refused(function() return kept.l[1].attributes.k end)",
      ["a coroutine in the middle"] = "return refused(kept.c)",
      ["events that were changed"] = "kept.e[1].name = 'x' kept.e[2] = {} return s.events[1].name == 'e' and "
        .. "#s.events == 1",
      ["a span as equal to today's"] = "return kept.s ~= s and kept.t ~= t",
    }, keep)
    assert.same({}, list, said)
  end)

  it("cannot turn into an answer what nobody can know, though it catches the error", function()
    local numbers = {}
    for i = 1, 1000 do numbers[i] = i end                     -- many at once: one by one they take a slow machine too long
    local list, said = failing({
      ["a match beyond its limit"] = "pcall(t.count, t, { long = matches '(a+)+' }) return true",
      ["more values than may be read"] = "pcall(function() for _ = 1, 7e4 do for _ in pairs(s.attributes) do end end "
        .. "end) return true",
    }, "rule 'x' { when = {} }\n", { replay.span { name = "a", attr = { numbers = numbers } } })
    assert.same({ "more values than may be read" }, list, said)
    assert.truthy(said:find("65,536", 1, true), said)
  end)

  for what, row in pairs {
    ["backtracks in string.find"] = { "('a'):rep(3e5):find(('.-'):rep(3) .. '%b()' .. ('(.?)'):rep(40))",
      "it ran for too long" },
    ["recurses through gsub"] = { "local function f() return (('x'):gsub('.', f)) end f()", "the worker died" },
    ["asks for all of all spans for ever"] = { "while true do for s in t:spans() do t:count { n = s.attributes.n } end end", "it ran for too long" },
    ["makes patterns for ever"] = { "local i = 0 while true do i = i + 1 t:count { n = i, where = function() end } end", "it ran for too long" },
    ["loops again whenever it is caught"] = { "while true do pcall(function() while true do end end) end",
      "it ran for too long" },
    ["keeps descendants for ever"] = { "local l = {} while true do l[#l + 1] = t.root:descendants() end", "" },
    ["keeps what it finds for ever"] = { "local l = {} while true do l[#l + 1] = t:all {} end", "" },
    ["concatenates without end"] = { "local l = {} for i = 1, 1e6 do l[i] = 'xxxxxxxxxx' end while true do l[1] = table.concat(l) end", "" },
    ["moves a table without end"] = { "table.move({ 1 }, 1, 2 ^ 31 - 2, 2)", "" },
    ["inserts at the far end"] = { "for _ = 1, 1e6 do table.insert({ 1, 2 }, -2 ^ 30, 1) end", "" },
  } do
    it(what .. " is stopped, and the rule beside it is judged", function()
      local text = ('rule "bad" { when = trace.satisfies(function(t) %s return true end) }\n'):format(row[1])
      local found, status, said = replay.run(text .. 'rule "good" { when = trace.satisfies(function(t) return true end) }\n', { REQUEST })
      -- A sanitizer has a lot to say about a stack that is full, and may be stopped in the middle of it.
      local why = sanitized and row[2] == "the worker died" and "" or row[2]
      assert.truthy(said:find("rule bad was stopped: " .. why, 1, true), said)
      assert.same({ 1, 1, "good" }, { status, #found, found[1] and found[1].rule })
    end)
  end

  it("may throw whatever it likes", function()
    for what, body in pairs { ["nil"] = "error()", ["a table"] = "error {}", ["a span"] = "error(t.root)",
      ["a function"] = "error(error)",
      ["a thread"] = "error(coroutine.create(error))", ["true"] = "error(true)",
        ["a text of a megabyte"] = "error(('x'):rep(1e6))",
      ["bytes"] = "error('\\27[2J\\0\\255')" } do
      local list, said = failing { [what] = body }
      assert.same({ what }, list)
      assert.truthy(#said > 0 and #said < 5000)
    end
  end)
end)

describe("a rule file", function()
  local function said_of(text)
    local path = replay.rule_file(text)
    local status, out, err = replay.shell(("%s check --rules %s"):format(replay.fluo, path))
    os.remove(path)
    return status, out .. err
  end

  it("is refused when it so much as names what leads out", function()
    local names = [[_G getfenv setfenv load loadstring loadfile dofile module package debug os io ffi jit newproxy xpcall getmetatable
      setmetatable rawget rawset rawequal rawlen collectgarbage gcinfo print arg _VERSION _ENV coroutine_wrap fluo]]
    for name in names:gmatch("%S+") do
      local status, said = said_of(("rule 'r' { when = trace.satisfies(function() return %s end) }\n"):format(name))
      assert.equal(1, status, name)
      assert.truthy(said:find(("undefined global `%s`"):format(name), 1, true), name .. "\n" .. said)
    end
  end)

  it("cannot set a global, of its own or one that is there", function()
    for _, name in ipairs { "pairs", "x", "string", "error", "trace", "rule", "tostring" } do
      local status, said = said_of(("rule 'r' { when = trace.satisfies(function() %s = 1 end) }\n"):format(name))
      assert.equal(1, status, name)
      assert.truthy(said:find(("assignment to the global `%s`"):format(name), 1, true), said)
    end
  end)

  it("learns nothing from a load error that it caught", function()
    local text = [[local good, why = pcall(trace.has)
assert(not good and type(why) == "table", "no token")
for _ in pairs(why) do error "it has entries" end
for _, key in ipairs { "unit", "message", "line", "load_error", "__index", "hint", 1 } do assert(why[key] == nil, key) end
assert(tostring(why):find("takes one pattern", 1, true), tostring(why))
assert(not pcall(function() return why.unit.source end))
rule "r" { when = {} }
]]
    local status, said = said_of(text)
    assert.equal(0, status, said)
  end)

  it("cannot change what the next one has", function()
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir -p " .. folder)
    replay.write(folder .. "/a.lua", [[string.rep, table.sort, math.floor, coroutine.wrap, bit.bor = nil, nil, nil, nil, nil
string.mine = 1
table.insert(missing, 1)
table.insert(trace, 1)
rule "a" { when = {} }
]])
    replay.write(folder .. "/b.lua", [[assert(string.rep and table.sort and math.floor and coroutine.wrap and bit.bor)
assert(string.mine == nil and ("").mine == nil and #missing == 0 and missing[1] == nil)
rule "b" { when = { gone = missing } }
]])
    local found, status, said = replay.run(folder, { { replay.span { name = "a" } } })
    os.execute("rm -rf " .. folder)
    assert.equal(0, status, said)
    assert.equal(2, #found)
  end)
end)
