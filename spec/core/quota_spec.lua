-- A token bucket by a clock that the spec turns.
local support = require("spec.support")
local core, ffi = support.core("quota")
local MS = 1000000ULL
local T0 = 1000000 * MS

describe("a quota", function()
  local quota, terms
  before_each(function() quota, terms = ffi.new("struct quota"), ffi.new("struct quota_terms", 4, 2 * MS) end)

  local function taken(times, now)
    local n = 0
    for _ = 1, times do
      if core.quota_take(quota, terms, now) then n = n + 1 end
    end
    return n
  end

  it("gives its burst at once, then one each so often, and all of them again after a rest", function()
    assert.equal(4, taken(9, T0))
    assert.equal(0, taken(9, T0 + 2 * MS - 1))
    assert.equal(1, taken(9, T0 + 2 * MS))
    assert.equal(3, taken(9, T0 + 8 * MS))
    assert.equal(4, taken(9, T0 + 1000 * MS))
  end)

  it("says when there is one again: then, and not before", function()
    taken(4, T0)
    for i = 1, 20 do
      local next_ns = core.quota_next_ns(quota, terms)
      assert.equal(T0 + 2 * i * MS, next_ns)
      assert.equal(0, taken(1, next_ns - 1))
      assert.equal(1, taken(2, next_ns))
    end
  end)
end)
