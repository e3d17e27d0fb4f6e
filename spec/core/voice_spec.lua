-- How much is said of one rule: bursts, what comes back with time, and what is counted instead.
local support = require("spec.support")
local core, ffi = support.core("voice")
local SECOND = 1000000000ULL
local T0 = 100000 * SECOND

describe("a voice", function()
  local voice, common
  before_each(function() voice, common = ffi.new("struct voice"), ffi.new("struct quota") end)

  local function said(may, times, now)
    local n = 0
    for _ = 1, times do
      if may(voice, now) then n = n + 1 end
    end
    return n
  end
  local function lines(times, now)
    return said(function(v, at) return core.voice_line(v, common, at) end, times, now)
  end
  local function log(times, now) return said(core.voice_log, times, now) end

  it("carries 1,000 lines at once, and counts what is more", function()
    assert.equal(1000, lines(1003, T0))
    assert.equal(3ULL, voice.lines_withheld)
  end)

  it("carries 2,000 lines a second after that", function()
    lines(1000, T0)
    assert.equal(2, lines(10, T0 + SECOND / 1000))
    assert.equal(498, lines(5000, T0 + SECOND / 4))
    assert.equal(1000, lines(30000, T0 + 3600 * SECOND))
  end)

  it("carries 100 lines of the log at once and ten a second, whatever the output takes", function()
    assert.equal(100, log(500, T0))
    assert.equal(10, log(500, T0 + SECOND))
    assert.equal(890ULL, voice.log_withheld)
    assert.equal(1000, lines(1000, T0 + SECOND))
    assert.equal(0ULL, voice.lines_withheld)
  end)

  it("has 20 lines of its own and one a second, whatever the others have taken", function()
    local quiet = voice
    for _ = 1, 3 do
      voice = ffi.new("struct voice")
      lines(5000, T0)
    end
    voice = quiet
    assert.equal(20, lines(100, T0))
    assert.equal(80ULL, voice.lines_withheld)
    assert.equal(0, lines(1, T0))
    common.full_ns = T0 + 3600 * SECOND
    assert.equal(1, lines(100, T0 + SECOND))
  end)

  it("shares 1,000 lines at once and 4,000 a second with all the others", function()
    local carried = 0
    local function all(now)
      for _ = 1, 10 do
        voice = ffi.new("struct voice")
        carried = carried + lines(3000, now)
      end
      return carried
    end
    assert.equal(1000 + 10 * 20, all(T0))
    carried = 0
    assert.equal(400 + 10 * 20, all(T0 + SECOND / 10))
  end)

  it("says whether a line might go there, and takes none by saying so", function()
    for _ = 1, 1000 do
      assert.is_true(core.voice_left(voice, common, T0))
      assert.is_true(core.voice_line(voice, common, T0))
    end
    assert.is_false(core.voice_left(voice, common, T0))
    assert.is_true(core.voice_left(voice, common, T0 + SECOND))
    assert.equal(0ULL, voice.lines_withheld)
  end)

  it("carries no more where the clock goes back", function()
    lines(5000, T0)
    assert.equal(0, lines(100, T0 - 3600 * SECOND))
  end)
end)
