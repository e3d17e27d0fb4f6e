local matching = require("spec.matching")
local ir = require("spec.ir")
local spans = require("spec.spans")
local core, ffi = matching.core, matching.ffi

local RENAMED, EXPLICIT_OK = 1, 2
local TRACE_ID = ffi.new("uint8_t[16]")

local function bytes_of(pattern) return ir.build({ rules = { { name = "", patterns = { pattern } } } }) end

local function make(bytes, flags)
  local why = ffi.new("char[128]")
  local filter = core.fluo_filter_new(bytes, #bytes, flags or 0, why)
  if filter == nil then return nil, ffi.string(why) end
  return ffi.gc(filter, core.fluo_filter_free)
end

-- The truth of a pattern about a span, and what it asks: a list of { function, object }.
local function test(pattern, span, flags)
  local arena, n = spans.plain(), ffi.new("uint32_t[1]")
  local filter, at = assert(make(bytes_of(pattern), flags)), arena:span(span)
  local truth, asks = core.fluo_filter_test(filter, arena.base, at, TRACE_ID, n), {}
  local wanted, object = ffi.new("uint32_t[1]"), ffi.new("uint32_t[1]")
  for i = 0, n[0] - 1 do
    core.fluo_filter_ask(filter, i, wanted, object)
    asks[i + 1] = { wanted[0], object[0] }
  end
  return truth, asks, function(answers)
    local list = ffi.new("struct fluo_answer[?]", #answers, answers)
    return core.fluo_filter_resolve(filter, arena.base, at, TRACE_ID, list, #answers)
  end
end

describe("a filter", function()
  it("says whether a span satisfies its pattern", function()
    assert.equal(1, (test({ "eq", ".name", "a" }, { name = "a" })))
    assert.equal(0, (test({ "eq", ".name", "a" }, { name = "b" })))
    assert.equal(1, (test({ "not", { "eq", "k", 1 } }, {})))
  end)

  it("asks what functions say, of the span or of its events, and takes their answers", function()
    local truth, asks, resolve = test({ "and", { "eq", ".name", "a" }, { "function" } }, { name = "a" })
    assert.same({ 2, { { 0, 0 } } }, { truth, asks })
    assert.same({ 1, 0, 2 }, { resolve { { 0, 0, 1 } }, resolve { { 0, 0, 0 } }, resolve {} })
    truth, asks, resolve = test({ "event", { "function" } }, { events = { { name = "e" }, { name = "f" } } })
    assert.same({ 2, { { 0, 0 }, { 0, 1 } } }, { truth, asks })
    assert.same({ 1, 0 }, { resolve { { 0, 0, 0 }, { 0, 1, 1 } }, resolve { { 0, 0, 0 }, { 0, 1, 0 } } })
    truth, asks = test({ "and", { "eq", ".name", "a" }, { "function" } }, { name = "b" })
    assert.same({ 0, {} }, { truth, asks })
  end)

  it("has no answer where an expression goes beyond its limit", function()
    local truth, asks = test({ "matches", ".name", "(a+)+" }, { name = ("a"):rep(40) .. "!" })
    assert.same({ 2, {} }, { truth, asks })
  end)

  it("goes by what the rules go by: renamed attributes, a strict OK", function()
    local new = { attributes = { ["http.response.status_code"] = 500 } }
    assert.equal(1, (test({ "eq", "http.status_code", 500 }, new, RENAMED)))
    assert.equal(0, (test({ "eq", "http.status_code", 500 }, new)))
    assert.equal(1, (test({ "eq", ".status", "OK" }, {})))
    assert.equal(0, (test({ "eq", ".status", "OK" }, {}, EXPLICIT_OK)))
  end)

  it("is none of bytes that are no form of one pattern, which it says", function()
    local two = ir.build({ rules = { { name = "", patterns = { { "exists", "a" }, { "exists", "b" } } } } })
    for _, bytes in ipairs { "", "nonsense", bytes_of({ "exists", "a" }):sub(1, -2), two, ir.build({ rules = {} }) } do
      local filter, why = make(bytes)
      assert.is_nil(filter)
      assert.is_true(#why > 0)
    end
  end)

  it("is whole or none where memory runs out, and leaves nothing behind", function()
    local bytes = bytes_of { "and", { "matches", ".name", "a+" }, { "glob", "k", "*x*" }, { "event", { "exists", "e" } } }
    collectgarbage()
    local live, n = core.heap_live(), 0
    repeat
      n = n + 1
      core.heap_fail_only(n)
      local filter, why = make(bytes)
      local failed = core.heap_failed() > 0
      core.heap_fail_only(0)
      if filter then core.fluo_filter_free(ffi.gc(filter, nil)) end
      if failed then assert.same({ nil, "out of memory" }, { filter, why }) end
      assert.equal(live, core.heap_live())
    until not failed
    assert.is_true(n > 5)
  end)
end)
