-- How much is said of one rule: bursts, what comes back with time, and what is counted instead.
local support = require("spec.support")
local core, ffi = support.core("voice")
local SECOND = 1000000000ULL
local T0 = 100000 * SECOND

describe("a voice", function()
  local voice
  before_each(function() voice = ffi.new("struct voice") end)

  local function said(may, times, now)
    local n = 0
    for _ = 1, times do
      if may(voice, now) then n = n + 1 end
    end
    return n
  end
  local function lines(times, now) return said(core.voice_line, times, now) end
  local function log(times, now) return said(core.voice_log, times, now) end

  it("carries 5,000 lines at once, and counts what is more", function()
    assert.equal(5000, lines(5003, T0))
    assert.equal(3ULL, voice.lines_withheld)
  end)

  it("carries 2,000 lines a second after that", function()
    lines(5000, T0)
    assert.equal(2, lines(10, T0 + SECOND / 1000))
    assert.equal(1998, lines(5000, T0 + SECOND))
    assert.equal(5000, lines(30000, T0 + 3600 * SECOND))
  end)

  it("carries 100 lines of the log at once and ten a second, whatever the output takes", function()
    assert.equal(100, log(500, T0))
    assert.equal(10, log(500, T0 + SECOND))
    assert.equal(890ULL, voice.log_withheld)
    assert.equal(5000, lines(5000, T0 + SECOND))
    assert.equal(0ULL, voice.lines_withheld)
  end)

  it("carries no more where the clock goes back", function()
    lines(5000, T0)
    assert.equal(0, lines(100, T0 - 3600 * SECOND))
  end)
end)
