local replay = require("spec.replay")
local span = replay.span

local function call(trace, dur, attr, kind)
  return { span { name = "POST", trace = trace, service = "checkout", dur = dur, attr = attr, kind = kind } }
end

describe("slow-payment-gateway", function()
  it("fires over 300 ms, by path or by peer, and not at 300 ms exactly", function()
    local found = replay.run("rules/slow_payment_gateway.lua", {
      call("path", 301, { ["http.url"] = "/payment-api/charge" }),
      call("url", 301, { ["url.full"] = "https://pay.example/payment-api/charge?x=1" }),
      call("peer", 301, { ["peer.service"] = "payment-gateway" }, "CLIENT"),
      call("exact", 300, { ["http.url"] = "/payment-api/charge" }),
      call("other", 900, { ["http.url"] = "/payment-apiv2/charge" }),
    })
    assert.equal("path url peer", replay.traces(found, "path", "url", "peer", "exact", "other"))
  end)

  it("prints the duration to the nanosecond", function()
    local found = replay.run("rules/slow_payment_gateway.lua", { call("t", 300.000001, { ["http.url"] = "/payment-api/x" }) })
    assert.equal("checkout: the payment gateway took 300.000001 ms", found[1].summary)
  end)
end)
