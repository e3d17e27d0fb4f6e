describe("edge-new", function()
  local function call(caller, callee, days)
    for _ = 1, days do
      trace { span { name = "GET", service = caller, kind = "CLIENT",
                     span { name = "GET /", service = callee, kind = "SERVER" } } }
      clock.advance "1d"
    end
  end

  it("fires once for a service that did not call this one for a week", function()
    call("shop", "payment", 8)
    assert.silent("edge-new")
    call("admin", "payment", 2)
    assert.fires("edge-new", { count = 1, spans = { "GET /" }, summary = "admin calls payment, which it did not for a week" })
  end)

  it("is silent for a week, for calls as ever, for those from outside, and for a service that calls itself", function()
    call("shop", "payment", 3)
    call("admin", "payment", 1)
    call("shop", "payment", 5)
    call("admin", "payment", 1)
    call("shop", "shop", 1)
    trace { span { name = "GET /", service = "edge", kind = "SERVER" } }
    assert.silent("edge-new")
  end)
end)
