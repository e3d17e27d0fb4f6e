describe("error-ratio-unusual", function()
  local sent = 0

  -- Ten requests each 10 s; one in so many fails.
  local function requests(minutes, one_in)
    for _ = 1, minutes * 6 do
      local spans = {}
      for i = 1, 10 do
        sent = sent + 1
        spans[i] = span { name = "POST /pay", service = "payment", kind = "SERVER", start = i * 900,
                          status = sent % one_in == 0 and "ERROR" or "OK" }
      end
      trace(spans)
      clock.advance "10s"
    end
  end

  it("fires when failures go from 0.5 % to 5 %", function()
    requests(40, 200)
    assert.silent("error-ratio-unusual")
    requests(10, 20)
    assert.fires("error-ratio-unusual", { baseline = 0.005, count = 1 })
  end)

  it("is silent where one fails twice as often, or a first one does", function()
    requests(40, 200)
    requests(12, 100)
    assert.silent("error-ratio-unusual")
  end)
end)
