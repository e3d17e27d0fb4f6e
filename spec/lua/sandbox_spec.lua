local rulefiles = require("spec.lua.rulefiles")
local sandbox = require("fluo.sandbox")

-- The value that an expression has in a rule file, seen as the name of a rule.
local function value(expression)
  return rulefiles.good(("rule(tostring(%s)) { when = {} }"):format(expression)).rules[1].name
end

describe("a rule file", function()
  it("has what is listed, and nothing else", function()
    local allowed = { "assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring",
                      "type", "unpack", "coroutine", "string", "table", "math", "bit" }
    for _, name in ipairs(allowed) do assert.not_equal("nil", value(name)) end
    for name in ([[ffi debug io os package load loadstring loadfile dofile getfenv setfenv newproxy xpcall
      collectgarbage jit getmetatable setmetatable rawget rawset rawequal _G print module arg]]):gmatch("%S+") do
      local result = rulefiles.load(("local x = %s\nrule 'r' { when = {} }"):format(name))
      assert.equal("undefined global `" .. name .. "`", result.errors[1].message)
    end
  end)

  it("cannot reach string.dump, random numbers or addresses", function()
    for _, expression in ipairs { "string.dump", "('').dump", "math.random", "math.randomseed", "table.foreach" } do
      assert.equal("nil", value(expression))
    end
    assert.equal("table", value("tostring {}"))
    assert.equal("function", value("tostring(function() end)"))
    assert.equal("function", value("tostring(string.find)"))
    assert.equal("table", value("string.format('%s', {})"))
    assert.equal("table function", value("('%s %s'):format({}, pcall)"))
    assert.equal("false", value("(pcall(string.format, '%p', {}))"))
  end)

  it("walks tables in sorted order: numbers, strings, booleans", function()
    local walk = "local s = '' for k in %s do s = s .. tostring(k) .. ' ' end rule(s) { when = {} }"
    local t = "{ b = 1, a = 2, [10] = 3, [2] = 4, [-1] = 5, [1.5] = 6, [true] = 7, [false] = 8 }"
    for _, form in ipairs { "pairs(%s)", "next, %s" } do
      assert.equal("-1 1.5 2 10 a b false true ",
        rulefiles.good(walk:format(form:format(t))).rules[1].name)
    end
  end)

  it("may change a table while it walks it", function()
    local text = "local t, n = { a = 1, b = 2, c = 3 }, 0\nfor k in pairs(t) do t[k], t.c, n = nil, nil, n + 1 end\n"
      .. "rule(tostring(n) .. tostring(next(t))) { when = {} }"
    assert.equal("2nil", rulefiles.good(text).rules[1].name)
  end)

  it("cannot walk keys that have no order", function()
    assert.equal("false", value("(pcall(pairs, { [{}] = 1, [{}] = 2 }))"))
    assert.equal("true", value("(pcall(pairs, { [{}] = 1 }))"))
  end)

  it("cannot change what another file has", function()
    local result = rulefiles.good {
      ["a.lua"] = "string.upper = string.lower\ntable.concat = nil\nrule(('x'):upper()) { when = {} }",
      ["b.lua"] = "rule(string.upper('y') .. tostring(table.concat ~= nil)) { when = {} }",
    }
    assert.equal("X", result.rules[1].name)
    assert.equal("Ytrue", result.rules[2].name)
  end)

  it("may use coroutines", function()
    assert.equal("7", value("coroutine.wrap(function() coroutine.yield(7) end)()"))
  end)

  it("is text: bytecode is refused", function()
    local bytecode = string.dump(loadstring("rule 'r' { when = {} }"))
    for _, text in ipairs { bytecode, "\239\187\191" .. bytecode } do
      assert.is_true(#rulefiles.load(text).errors > 0)
    end
  end)

  it("has no globals of its own", function()
    assert.same({ "1:1 assignment to the global `x`", "2:10 assignment to the global `f`" },
      rulefiles.errors("x = 1\nfunction f() return x end\nrule 'r' { when = {} }"))
  end)
end)

describe("the globals of a chunk", function()
  it("are found in functions that never run", function()
    local found = sandbox.globals(loadstring("local a = b\nreturn function() return function() c = d.e end end"), {})
    local list = {}
    for i, use in ipairs(found) do list[i] = use.line .. use.name .. tostring(use.assigned) end
    assert.same({ "1bfalse", "2ctrue", "2dfalse" }, list)
  end)
end)
