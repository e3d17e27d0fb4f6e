describe("slow-payment-gateway", function()
  local function call(duration, attributes, kind)
    return trace { span { name = "POST", service = "checkout", duration = duration, attributes = attributes, kind = kind } }
  end

  it("fires over 300 ms, by path, by URL or by peer", function()
    local path = call("301ms", { ["http.url"] = "/payment-api/charge" })
    local url = call("301ms", { ["url.full"] = "https://pay.example/payment-api/charge?x=1" })
    local peer = call("301ms", { ["peer.service"] = "payment-gateway" }, "CLIENT")
    assert.fires("slow-payment-gateway", { trace = path })
    assert.fires("slow-payment-gateway", { trace = url })
    assert.fires("slow-payment-gateway", { trace = peer })
  end)

  it("is silent at 300 ms exactly, and for another service", function()
    call("300ms", { ["http.url"] = "/payment-api/charge" })
    call("900ms", { ["http.url"] = "/payment-apiv2/charge" })
    assert.silent("slow-payment-gateway")
  end)

  it("prints the duration to the nanosecond", function()
    call("300000001ns", { ["http.url"] = "/payment-api/x" })
    assert.fires("slow-payment-gateway", { summary = "checkout: the payment gateway took 300.000001 ms" })
  end)
end)
