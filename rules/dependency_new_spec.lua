describe("dependency-new", function()
  local function call(host, days)
    for _ = 1, days do
      trace { span { name = "GET", service = "shop", kind = "CLIENT", attributes = { ["server.address"] = host } } }
      clock.advance "1d"
    end
  end

  it("fires once for a host that was not called for a week", function()
    call("payment.local", 8)
    assert.silent("dependency-new")
    call("paste.example", 2)
    assert.fires("dependency-new", { count = 1, summary = "shop: calls paste.example, which it did not for a week" })
  end)

  it("is silent for hosts as ever, and for addresses", function()
    call("payment.local", 8)
    call("10.1.2.3", 1)
    call("fe80::1", 1)
    call("payment.local", 1)
    assert.silent("dependency-new")
  end)
end)
