local support = require("spec.support")
local core, ffi = support.core("heap", "buffer", "metrics")

local function page(write)
  local b = ffi.new("struct buffer[1]")
  core.buffer_init(b, 65536)
  write(b)
  assert.equal(0, b[0].err)
  local text = ffi.string(b[0].data, b[0].len)
  core.buffer_deinit(b)
  return text
end

local function labels(...)
  local anchor = { ... }
  local list = ffi.new("const char *[?]", #anchor + 1)
  for i, text in ipairs(anchor) do list[i - 1] = text end
  return list, anchor
end

describe("a metrics page", function()
  it("has a family, then its samples", function()
    assert.equal([[
# HELP fluo_spans_total Spans that came.
# TYPE fluo_spans_total counter
fluo_spans_total 7
# HELP fluo_open Open.
# TYPE fluo_open gauge
fluo_open{room="a",door="b"} 0.5
]], page(function(b)
      local list, anchor = labels("room", "a", "door", "b")
      core.metrics_counter(b, "fluo_spans_total", "Spans that came.", 7)
      core.metrics_family(b, "fluo_open", ffi.C.METRICS_GAUGE, "Open.")
      core.metrics_number(b, "fluo_open", list, 0.5)
      assert(anchor)
    end))
  end)

  local numbers = {
    { 0 / 0, "NaN" }, { 1 / 0, "+Inf" }, { -1 / 0, "-Inf" }, { 0, "0" }, { 1e300, "1e+300" }, { 0.1, "0.1" },
  }
  for _, case in ipairs(numbers) do
    it("writes " .. case[2] .. " as that", function()
      assert.equal("x " .. case[2] .. "\n", page(function(b) core.metrics_number(b, "x", nil, case[1]) end))
    end)
  end

  it("writes whole numbers over all 64 bits", function()
    assert.equal("x 18446744073709551615\n",
      page(function(b) core.metrics_uint(b, "x", nil, 18446744073709551615ULL) end))
  end)

  local values = {
    { 'a"b', [[a\"b]] }, { "a\\b", [[a\\b]] }, { "a\nb", [[a\nb]] }, { "", "" }, { "\195\164", "\195\164" },
    { "\195", "\239\191\189" }, { "\237\160\128", ("\239\191\189"):rep(3) }, { "a\"\255", 'a\\"\239\191\189' },
  }
  for _, case in ipairs(values) do
    it(("lets a label be %q"):format(case[1]), function()
      local list, anchor = labels("l", case[1])
      assert.equal(('x{l="%s"} 1\n'):format(case[2]), page(function(b) core.metrics_uint(b, "x", list, 1) end))
      assert(anchor)
    end)
  end

  it("escapes a help text", function()
    assert.equal("# HELP x a\\nb\\\\c\"\n# TYPE x gauge\n",
      page(function(b) core.metrics_family(b, "x", ffi.C.METRICS_GAUGE, "a\nb\\c\"") end))
  end)

  it("pleases promtool", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(page(function(b)
      local list, anchor = labels("rule", 'a "rule" \\ \n with \255 all', "severity", "high")
      core.metrics_family(b, "fluo_rule_violations_total", ffi.C.METRICS_COUNTER, "Violations,\nby \\rule.")
      core.metrics_uint(b, "fluo_rule_violations_total", list, 18446744073709551615ULL)
      core.metrics_gauge(b, "fluo_buffer_horizon_seconds", "How long a trace can live.", 1 / 0)
      assert(anchor)
    end))
    file:close()
    local pipe = io.popen("promtool check metrics < " .. path .. " 2>&1; echo $?")
    local said = pipe:read("*a")
    pipe:close()
    os.remove(path)
    assert.equal("0\n", said)
  end)

  it("stops at the first failure and keeps it for the end", function()
    local b, live = ffi.new("struct buffer[1]"), core.heap_live()
    core.buffer_init(b, 65536)
    core.heap_fail_from(1)
    core.metrics_counter(b, "x", "y", 1)
    core.heap_fail_from(0)
    assert.equal(-1, b[0].err)
    core.buffer_deinit(b)
    assert.equal(live, core.heap_live())
  end)
end)
