-- What the log says of a rule that keeps raising errors, or fires more than is written: the first, and then one line a
-- minute.
local support = require("spec.support")
local cjson = require("cjson")
local core, ffi = support.core("heap", "report", "log")
local SECOND = 1000000000ULL

ffi.cdef [[
int pipe2(int *, int);
long read(int, void *, size_t);
int close(int);
]]

describe("the report", function()
  local fds, log, report, live, calls

  before_each(function()
    live = core.heap_live()
    fds = ffi.new("int[2]")
    assert(ffi.C.pipe2(fds, 0x80000) == 0)
    local out = ffi.new("struct log *[1]")
    assert(core.log_new(fds[1], ffi.C.LOG_INFO, ffi.C.LOG_JSON, out) == 0)
    log, report = out[0], ffi.new("struct report")
    report.log, report.now_ns = log, 1000 * SECOND
    calls = core.report_calls(report)
  end)

  -- What the log says of rules since the last look. A line of our own says that there is no more.
  local function entries()
    local block, text, list = ffi.new("char[65536]"), "", {}
    core.log_line(log, ffi.C.LOG_INFO, "end", ffi.new("struct log_field[1]"))
    repeat text = text .. ffi.string(block, ffi.C.read(fds[0], block, 65536)) until text:find('"message":"end"[^\n]*\n$')
    for line in text:gmatch("[^\n]+") do
      local entry = cjson.decode(line)
      if entry.rule then list[#list + 1] = entry end
    end
    return list
  end

  -- Each as its rule, its times and its error.
  local function lines()
    local list = entries()
    for i, entry in ipairs(list) do list[i] = ("%s x%d: %s"):format(entry.rule, entry.times, entry.error) end
    return list
  end

  local function throw(rule, times, text) calls.on_error(calls.ctx, rule, times, text, #text) end
  local function tick(s) core.report_tick(report, nil, s * SECOND) end

  local function finish()
    core.report_deinit(report)
    local last = lines()
    core.log_free(log)
    ffi.C.close(fds[0])
    assert.equal(live, core.heap_live())
    return last
  end

  it("has a rule's first error at once, and the number of the others when a minute is over", function()
    throw("a", 2, "boom")
    for i = 1, 500 do throw("a", 3, "boom " .. i) end
    assert.same({ "a x2: boom" }, lines())
    for s = 1001, 1059 do tick(s) end
    assert.same({}, lines())
    tick(1060)
    assert.same({ "a x1500: boom 500" }, lines())
    throw("a", 1, "again")
    tick(1119)
    assert.same({}, lines())
    tick(1120)
    assert.same({ "a x1: again" }, lines())
    assert.same({}, finish())
  end)

  it("keeps rules apart", function()
    for _, rule in ipairs { "a", "b", "c", "a", "b", "a" } do throw(rule, 1, "x") end
    assert.same({ "a x1: x", "b x1: x", "c x1: x" }, lines())
    tick(1060)
    assert.same({ "a x2: x", "b x1: x" }, lines())
    tick(1120)
    throw("c", 1, "x")
    assert.same({ "c x1: x" }, lines())
    finish()
  end)

  it("has forgotten a rule that raised none for a minute", function()
    throw("a", 1, "x")
    tick(1060)
    assert.equal(0, report.errors_count)
    throw("a", 1, "y")
    assert.same({ "a x1: x", "a x1: y" }, lines())
    finish()
  end)

  it("says at the end what it has not said yet", function()
    throw("a", 1, "x")
    throw("a", 5, "y")
    assert.same({ "a x1: x", "a x5: y" }, finish())
  end)

  it("without memory to count says each", function()
    for n = 1, 2 do
      core.heap_fail_from(n)
      throw("a", 1, "x")
      throw("a", 1, "y")
      core.heap_fail_from(0)
      assert.same({ "a x1: x", "a x1: y" }, lines())
    end
    finish()
  end)

  it("takes an error of any length", function()
    throw("a", 1, "x")
    throw("a", 1, ("y"):rep(1000))
    tick(1060)
    assert.same({ "a x1: x", "a x1: " .. ("y"):rep(256) }, lines())
    finish()
  end)

  it("says once a minute how much of a rule is withheld, and nothing where nothing was since", function()
    local voice, said = ffi.new("struct voice"), {}
    local function look(s)
      report.now_ns = s * SECOND
      core.report_voice(report, "busy", voice)
    end
    look(1000)                                            -- nothing yet
    voice.lines_withheld, voice.log_withheld = 5, 2
    look(1001)
    voice.lines_withheld = 12
    look(1060)                                            -- too soon
    look(1061)
    look(1121)                                            -- nothing since
    voice.log_withheld = 3
    look(1122)
    for i, entry in ipairs(entries()) do said[i] = { entry.rule, entry.violations, entry.log_lines } end
    assert.same({ { "busy", 5, 2 }, { "busy", 7, 0 }, { "busy", 0, 1 } }, said)
    finish()
  end)
end)
