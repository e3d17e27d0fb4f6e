describe("traffic-drop", function()
  local function requests(minutes, n, service)
    for _ = 1, minutes * 6 do
      local spans = {}
      for i = 1, n do spans[i] = span { name = "GET /", service = service or "shop", kind = "SERVER", start = i * 900 } end
      trace(spans)
      clock.advance "10s"
    end
  end

  it("fires when nothing comes any more, once a quarter is left", function()
    requests(40, 4)
    requests(7, 4, "other")
    assert.silent("traffic-drop")
    requests(5, 4, "other")
    assert.fires("traffic-drop", { value = 60, baseline = 240, summary = "shop: 60 requests within 10 minutes, 240 are normal" })
  end)

  it("is silent at half as many, and where little is normal", function()
    requests(40, 4)
    requests(12, 2)
    assert.silent("traffic-drop")
  end)

  it("is silent where little is normal", function()
    requests(40, 1)
    requests(12, 4, "other")
    assert.silent("traffic-drop")
  end)
end)
