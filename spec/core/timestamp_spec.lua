local support = require("spec.support")
local core, ffi = support.core("timestamp")

-- Nanoseconds as text; nil: it is no time. The text ends right before an unmapped page.
local function read(text)
  local p, n, free = support.guarded(text)
  local out = ffi.new("uint64_t[1]")
  local good = core.timestamp_read(ffi.cast("const char *", p), n, out)
  free()
  return good and tostring(out[0]):gsub("ULL", "") or nil
end

describe("a time", function()
  local times = {
    { "1970-01-01T00:00:00Z", "0" }, { "2026-01-01T00:00:00Z", "1767225600000000000" },
    { "2026-01-01T01:00:00+01:00", "1767225600000000000" }, { "2025-12-31T19:30:00-04:30", "1767225600000000000" },
    { "2024-02-29T12:00:00.5z", "1709208000500000000" }, { "2100-03-01t00:00:00.1234567891Z", "4107542400123456789" },
    { "2016-12-31T23:59:60Z", "1483228800000000000" }, { "2199-12-31T23:59:59.999999999Z", "7258118399999999999" },
  }
  for _, case in ipairs(times) do
    it("is read from " .. case[1], function() assert.equal(case[2], read(case[1])) end)
  end

  it("is none where a digit is missing, or there is more than one", function()
    local whole = "2026-01-01T00:00:00.5+01:00"
    for n = 0, #whole - 1 do assert.is_nil(read(whole:sub(1, n)), whole:sub(1, n)) end
    assert.is_nil(read(whole .. "Z"))
  end)

  for _, text in ipairs { "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
    "2026-04-31T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z",
    "2026-01-01 00:00:00Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "2200-01-01T00:00:00Z", "2026-01-01T00:00:00.Z",
    "2026-01-01T00:00:00+24:00", "+026-01-01T00:00:00Z" } do
    it("is none: " .. text, function() assert.is_nil(read(text)) end)
  end
end)
