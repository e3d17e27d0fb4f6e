describe("traffic-surge", function()
  -- So many requests each 10 s, for so many minutes.
  local function requests(minutes, n, service)
    for _ = 1, minutes * 6 do
      local spans = {}
      for i = 1, n do spans[i] = span { name = "GET /", service = service or "shop", kind = "SERVER", start = i * 900 } end
      trace(spans)
      clock.advance "10s"
    end
  end

  it("fires when a service is asked three times as often as it was", function()
    requests(40, 3)
    assert.silent("traffic-surge")
    requests(12, 10)
    assert.fires("traffic-surge", { baseline = 180, count = 1, summary = "shop: 540 requests within 10 minutes, 180 are normal" })
  end)

  it("is silent at twice as many, for a service that begins, and where little is normal", function()
    requests(40, 3)
    requests(12, 6)
    requests(12, 10, "new")
    assert.silent("traffic-surge")
  end)
end)
