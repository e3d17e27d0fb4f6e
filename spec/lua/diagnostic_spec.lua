local diagnostic = require("fluo.diagnostic")

describe("a diagnostic", function()
  local entry = { severity = "error", file = "r.lua", line = 2, column = 4, message = "no \"x\"", hint = "add it",
                  excerpt = "\té x" }

  it("as text begins with its place, and points into the line", function()
    assert.equal('r.lua:2:4: error: no "x"\n    \té x\n    \t ^\n  hint: add it', diagnostic.text(entry))
  end)

  it("as JSON is one object on one line", function()
    assert.equal('{"severity":"error","file":"r.lua","line":2,"column":4,"message":"no \\"x\\"","hint":"add it"}',
      diagnostic.json(entry))
    assert.equal('{"message":"a\\nb\\u0001"}', diagnostic.json { message = "a\nb\1" })
    for bytes, text in pairs({ ["\255"] = "?", ["é€😀"] = "é€😀", ["\195"] = "?", ["\226\130"] = "??", ["é\192\128é"] = "é??é",
      ["\245\128\128\128"] = "????", ["é\128"] = "é?" }) do
      local wanted = text:gsub("%?", "\239\191\189")
      assert.equal('{"message":"' .. wanted .. '"}', diagnostic.json { message = bytes })
    end
  end)

  it("stands in order of place", function()
    local list = { { file = "b", line = 1, column = 1 }, { file = "a", line = 2, column = 1 },
                   { file = "a", line = 1, column = 9 }, { file = "a", line = 1, column = 2 } }
    diagnostic.sort(list)
    local order = {}
    for i, d in ipairs(list) do order[i] = d.file .. d.line .. d.column end
    assert.same({ "a12", "a19", "a21", "b11" }, order)
  end)
end)
