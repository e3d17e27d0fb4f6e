local suggest = require("fluo.suggest")

describe("a suggestion", function()
  local names = { "severity", "summary", "when", "always", "never", "gt", "ge" }

  it("is the nearest known name", function()
    assert.equal("severity", suggest.nearest("sevrity", names))
    assert.equal("severity", suggest.nearest("SEVERITY", names))
    assert.equal("when", suggest.nearest("wehn", names))
  end)

  it("is none when nothing is near", function()
    assert.is_nil(suggest.nearest("colour", names))
    assert.is_nil(suggest.nearest("xy", names))
    assert.is_nil(suggest.nearest(("x"):rep(1000), names))
  end)

  it("is the first of equals, whatever the process", function()
    assert.equal("gt", suggest.nearest("gtx", names))
  end)

  it("gives way to all names", function()
    assert.equal("expected one of a, b", suggest.expected("zzzz", { "a", "b" }))
  end)
end)
