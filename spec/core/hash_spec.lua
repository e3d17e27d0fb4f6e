local core, ffi = require("spec.support").core("hash", "field")

local function counting(n)
  local bytes = {}
  for i = 0, n - 1 do bytes[#bytes + 1] = string.char(i) end
  return table.concat(bytes)
end

local function hex(p, n)
  return (ffi.string(p, n):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

describe("hash", function()
  -- The key and inputs of the paper's appendix: bytes that count up from 0.
  local key = ffi.new("struct hash_key", { 0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL })

  it("gives the 64-bit values of the paper and of its authors' reference code", function()
    for n, expected in pairs({
      [0] = 0x726fdb47dd0e0e31ULL, [1] = 0x74f839c593dc67fdULL, [7] = 0xab0200f58b01d137ULL,
      [8] = 0x93f5f5799a932462ULL, [15] = 0xa129ca6149be45e5ULL,
    }) do
      assert.equal(expected, core.hash64(key, counting(n), n))
    end
  end)

  it("gives the 128-bit values of the reference code", function()
    local out = ffi.new("uint8_t[16]")
    for n, expected in pairs({
      [0] = "a3817f04ba25a8e66df67214c7550293", [1] = "da87c1d86b99af44347659119b22fc45",
    }) do
      core.hash128(key, counting(n), n, out)
      assert.equal(expected, hex(out, 16))
    end
  end)

  it("reads not one byte past its input", function()
    local support = require("spec.support")
    for n = 0, 24 do
      local p, size, release = support.guarded(counting(n))
      assert.equal(core.hash64(key, counting(n), n), core.hash64(key, p, size))
      release()
    end
  end)

  it("has a fixed key for ids, which never changes", function()
    local out = ffi.new("uint8_t[16]")
    core.fluo_hash128("fluo", 4, out)
    assert.equal("584600584216f1a7e1c0c9a36fd8d412", hex(out, 16))
  end)

  it("draws a new random key each time", function()
    local a, b = core.hash_key_random(), core.hash_key_random()
    assert.is_false(a.k0 == b.k0 and a.k1 == b.k1)
  end)

  it("draws another key in every process", function()
    local seen = {}
    for _ = 1, 3 do
      local pipe = io.popen([[luajit -e 'package.path = "lua/?.lua;./?.lua;" .. package.path
        local core = require("spec.support").core("hash")
        print(tostring(core.hash_key_random().k0))' 2>&1]])
      local said = pipe:read("*a")
      pipe:close()
      assert.truthy(said:find("^%d+ULL"), said)
      assert.is_nil(seen[said])
      seen[said] = true
    end
  end)

  it("spreads under one key what was chosen to collide under another", function()
    local SLOTS, chosen, i = 1024, {}, 0
    while #chosen < 256 do
      i = i + 1
      local text = "key " .. i
      if core.hash64(key, text, #text) % SLOTS == 0 then chosen[#chosen + 1] = text end
    end
    for _ = 1, 8 do
      local other, taken, slots = core.hash_key_random(), {}, 0
      for _, text in ipairs(chosen) do
        local slot = tonumber(core.hash64(other, text, #text) % SLOTS)
        if not taken[slot] then taken[slot], slots = true, slots + 1 end
      end
      assert.is_true(slots > 200)                           -- 226 at random; one if the key meant nothing
    end
  end)
end)
