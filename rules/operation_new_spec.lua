describe("operation-new", function()
  local function serve(name, days)
    for _ = 1, days do
      trace { span { name = name, service = "shop", kind = "SERVER", span { name = "SELECT " .. name, kind = "CLIENT" } } }
      clock.advance "1d"
    end
  end

  it("fires once for an operation that comes after a week without it", function()
    serve("GET /cart", 8)
    assert.silent("operation-new")
    serve("GET /admin", 2)
    assert.fires("operation-new", { count = 1, spans = { "GET /admin" }, summary = "shop: GET /admin was not seen for a week" })
  end)

  it("is silent for a week, and for what a service does at least each week", function()
    serve("GET /cart", 3)
    serve("GET /report", 1)
    serve("GET /cart", 5)
    serve("GET /report", 1)
    assert.silent("operation-new")
  end)
end)
