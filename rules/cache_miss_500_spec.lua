local replay = require("spec.replay")
local span = replay.span

local function request(trace, attr) return { span { name = "http.request", trace = trace, service = "shop", attr = attr } } end

describe("cache-miss-500", function()
  it("fires for a 500 on a cache miss, whatever type the SDK gave the status", function()
    local found = replay.run("rules/cache_miss_500.lua", {
      request("int", { ["http.status_code"] = 500, cache_miss = true }),
      request("text", { ["http.status_code"] = "500", cache_miss = "true" }),
      request("renamed", { ["http.response.status_code"] = 500, cache_miss = true }),
      request("hit", { ["http.status_code"] = 500, cache_miss = false }),
      request("works", { ["http.status_code"] = 200, cache_miss = true }),
    })
    assert.equal("int text renamed", replay.traces(found, "int", "text", "renamed", "hit", "works"))
    assert.equal("span", found[1].scope)
  end)
end)
