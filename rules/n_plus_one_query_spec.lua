describe("n-plus-one-query", function()
  local function queries(n, gap)
    local spans = {}
    for i = 1, n do
      spans[i] = span { name = "SELECT", service = "shop", kind = "CLIENT", start = i * gap, duration = "1ms",
                        attributes = { ["db.system"] = "postgresql" } }
    end
    return trace(spans)
  end

  it("fires at the 51st query within 10 s", function()
    queries(51, 10)
    assert.fires("n-plus-one-query", { span_total = 51, summary = "shop: 51 database queries in one trace" })
  end)

  it("is silent for 50, and for 51 that take longer", function()
    queries(50, 10)
    queries(51, 1000)
    assert.silent("n-plus-one-query")
  end)
end)
