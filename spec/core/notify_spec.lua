local support = require("spec.support")
local core, ffi = support.core("heap", "notify")

describe("a notification by hand", function()
  it("says so where there is no memory for it, and begins nothing", function()
    local asked, out = ffi.new("struct fluo_notify", { setup = "{}", setup_bytes = 2, texts = "", receiver = "r", alert = "{}", alert_bytes = 2 }),
      ffi.new("struct fluo_notified")
    local live = core.heap_live()
    for n = 1, 2 do                                    -- the post room, and the delivery in it
      core.heap_fail_only(n)
      assert.equal(-1, core.fluo_notify(asked, out))
      core.heap_fail_only(0)
      assert.equal("out of memory", ffi.string(out.text, out.text_bytes))
      assert.equal(live, core.heap_live())
    end
  end)
end)
