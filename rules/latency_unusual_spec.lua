describe("latency-unusual", function()
  local function requests(minutes, longer, each)
    for n = 1, minutes * 6 do
      local spans = {}
      for i = 1, 5 do
        local slow = n * 5 + i
        spans[i] = span { name = "POST /pay", service = "payment", kind = "SERVER", start = i * 900,
                          duration = 100 + slow * 7 % 40 + (slow % each == 0 and longer or 0) }
      end
      trace(spans)
      clock.advance "10s"
    end
  end

  it("fires when requests take 300 ms more", function()
    requests(40, 0, 1)
    assert.silent("latency-unusual")
    requests(10, 300, 1)
    assert.fires("latency-unusual", { baseline = 137, count = 1 })
  end)

  it("is silent at a fifth more, and where one in twenty is slow", function()
    requests(40, 0, 1)
    requests(11, 25, 1)
    requests(11, 2000, 20)
    assert.silent("latency-unusual")
  end)
end)
