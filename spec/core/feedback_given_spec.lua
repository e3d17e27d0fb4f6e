-- Widened limits, as a list in a file gives them.
local support = require("spec.support")
local core, ffi = support.core("err", "feedback", "feedback_given", "heap", "state")

local MALFORMED = tonumber(ffi.C.FLUO_EMALFORMED)

local function key(s) return ffi.string(ffi.new("uint32_t[1]", #s), 4) .. s end
local function text(s) return ffi.new("struct text", s, #s) end

local LIST = [[
{"widened":[
  {"rule":"often \"x\"","group":{"user":"ada"},"widened":1.125,"wrong":1,"right":0,"marked_at":"2026-01-01T00:00:00.000000000Z"},
  {"widened":2,"group":{},"rule":"whole"}
]}
]]

describe("a list of widened limits", function()
  local f, live

  before_each(function()
    local out = ffi.new("struct feedback *[1]")
    live = core.heap_live()
    assert.equal(0, core.feedback_new(ffi.new("struct feedback_calls"), out))
    f = out[0]
  end)
  after_each(function()
    core.heap_fail_from(0)
    core.feedback_free(f)
    assert.equal(live, core.heap_live())
  end)

  local function read(json)
    local line = ffi.new("uint32_t[1]")
    local p, n, free = support.guarded(json)
    local err = core.feedback_given_read(f, ffi.new("struct text", ffi.cast("const char *", p), n), line)
    free()
    return err, line[0]
  end
  local function widening(rule, k) return core.feedback_widening(f, text(rule), k, #k) end

  it("widens what it lists, whatever time it is", function()
    assert.equal(0, (read(LIST)))
    core.feedback_step(f, 1ull * 3000000000 * 1000000000)
    assert.same({ 125, 1000, 0 }, { widening('often "x"', key("ada")), widening("whole", ""), widening("whole", key("ada")) })
    assert.equal(0, (read('{"widened":[]}')))
  end)

  it("is refused where it is cut short, at its line", function()
    for n = 0, #LIST - 3 do assert.truthy((read(LIST:sub(1, n))) < 0) end
    assert.same({ MALFORMED, 3 }, { read((LIST:gsub('"group":{}', '"group":[]'))) })
  end)

  for _, json in ipairs { '{"widened":[{"group":{},"widened":1.5}]}', '{"widened":[{"rule":"r","widened":1.5}]}',
                          '{"widened":[{"rule":"r","group":{}}]}', '{"widened":[{"rule":"r","group":{},"widened":2.5}]}',
                          '{"widened":[{"rule":"r","group":{},"widened":0.5}]}', '{"widened":[{"rule":"r","group":{},"widened":"1"}]}',
                          '{"widened":[]}]', '{"feedback":[]}', "[]" } do
    it("is refused as " .. json, function() assert.equal(MALFORMED, (read(json))) end)
  end

  it("is refused where there is no memory", function()
    for n = 1, 50 do
      core.heap_fail_from(n)
      local err = read(LIST)
      core.heap_fail_from(0)
      if err == 0 then return end
      assert.equal(tonumber(ffi.C.FLUO_ENOMEM), err)
    end
    error("it never came through")
  end)
end)
