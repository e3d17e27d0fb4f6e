local lexer = require("fluo.lexer")

local function tokens(source)
  local lex, list = lexer.scan(source), {}
  for i = 1, lex.n do list[i] = lex:text(i) end
  return list
end

describe("the lexer", function()
  local cases = {
    { "a = 1", { "a", "=", "1" } }, { "0x1FLL+1e-5", { "0x1FLL", "+", "1e-5" } }, { "a..b", { "a", "..", "b" } },
    { "1..2", { "1..2" } }, { "f(...)", { "f", "(", "...", ")" } }, { "a~=b==c", { "a", "~=", "b", "==", "c" } },
    { '"a\\"b" c', { '"a\\"b"', "c" } }, { "'\\\r\nx' y", { "'\\\r\nx'", "y" } },
    { '"a\\z  \n b" c', { '"a\\z  \n b"', "c" } }, { "[[a]]b", { "[[a]]", "b" } },
    { "[==[ ]] ]==] x", { "[==[ ]] ]==]", "x" } }, { "a -- b\nc", { "a", "c" } },
    { "a --[[ b\n ]] c", { "a", "c" } }, { "a --[==[ ]] ]==] c", { "a", "c" } }, { "t[1]", { "t", "[", "1", "]" } },
    { ".5 + a.b", { ".5", "+", "a", ".", "b" } }, { "", {} }, { "--", {} },
  }
  for _, case in ipairs(cases) do
    it(("takes `%s` apart"):format(case[1]:gsub("[\r\n]", " ")), function()
      assert.same(case[2], tokens(case[1]))
    end)
  end

  it("ends without a word where a token does not end", function()
    for _, source in ipairs { 'a "b', "a [[b", "a 'b\nc'", "a --[[ b", "a \1 b" } do
      assert.same({ "a" }, tokens(source))
    end
  end)

  it("survives every prefix of a rule file", function()
    local source = 'rule "a" { when = f(function(x) return x[1] end), --[[ c ]] k = [==[ s ]==], l = 0x1p4 }'
    for n = 0, #source do
      local lex = lexer.scan(source:sub(1, n))
      lex:rules()
      for i = 1, lex.n do lex:kind(i) end
    end
  end)

  it("knows the line and column of a byte, whatever ends the lines", function()
    local lex = lexer.scan("ab\ncd\r\nef\rgh")
    assert.same({ 1, 1 }, { lex:place(1) })
    assert.same({ 2, 2 }, { lex:place(5) })
    assert.same({ 3, 1 }, { lex:place(8) })
    assert.same({ 4, 2 }, { lex:place(12) })
  end)

  it("finds rules and where they end", function()
    local lex = lexer.scan('local rule = rule\nrule "a" { x = { } }\nx.rule "b" { }\nrule("c") { }\n'
      .. 'rule(n .. 1) ({\n})')
    local found = {}
    for _, r in ipairs(lex:rules()) do found[#found + 1] = ("%s %d-%d"):format(r.name or "?", r.line, r.last_line) end
    assert.same({ "a 2-2", "c 4-4", "? 5-6" }, found)
  end)

  it("finds the entries of a table, functions with commas included", function()
    local lex = lexer.scan('{ a = function(x, y) if x then return 1, 2 end end, ["b.c"] = { 1, 2 }, 3; d = 4 }')
    local found = {}
    for _, e in ipairs(lex:entries(1)) do found[#found + 1] = ("%s@%s"):format(e.key or "", lex:text(e.from)) end
    assert.same({ "a@function", "b.c@{", "@3", "d@4" }, found)
  end)

  it("counts a word in code and strings, not in comments or other words", function()
    local source = 'high = "high" -- high\n highest = not_high high'
    assert.equal(3, (lexer.scan(source):occurrences("high", 1, #source)))
  end)
end)
