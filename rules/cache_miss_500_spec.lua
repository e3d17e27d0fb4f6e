describe("cache-miss-500", function()
  local function request(attributes)
    return trace { span { name = "http.request", service = "shop", attributes = attributes } }
  end

  it("fires for a 500 on a cache miss, whatever type and name the SDK gave the status", function()
    local int = request { ["http.status_code"] = 500, cache_miss = true }
    local text = request { ["http.status_code"] = "500", cache_miss = "true" }
    local renamed = request { ["http.response.status_code"] = 500, cache_miss = true }
    assert.fires("cache-miss-500", { trace = int, scope = "span" })
    assert.fires("cache-miss-500", { trace = text })
    assert.fires("cache-miss-500", { trace = renamed })
  end)

  it("is silent for a hit, and where the request works", function()
    request { ["http.status_code"] = 500, cache_miss = false }
    request { ["http.status_code"] = 200, cache_miss = true }
    assert.silent("cache-miss-500")
  end)
end)
