local support = require("spec.support")
local core, ffi = support.core("heap", "log")
local cjson = require("cjson")

ffi.cdef [[
int dup(int);
long read(int, void *, size_t);
int open(const char *, int, ...);
int close(int);
int setenv(const char *, const char *, int);
int posix_openpt(int);
int grantpt(int);
int unlockpt(int);
char *ptsname(int);
int unsetenv(const char *);
]]
local C = ffi.C

local function field(key, kind, member, value)
  return { key = key, type = ffi.C["LOG_" .. kind], member = member, value = value }
end

-- What one line looks like; the text form has its clock cut off.
local function logged(format, level, message, fields)
  local path = os.tmpname()
  local file = io.open(path, "wb")
  ffi.cdef("int fileno(void *);")
  local log = ffi.new("struct log *[1]")
  assert.equal(0, core.log_new(C.dup(C.fileno(file)), ffi.C.LOG_DEBUG, ffi.C["LOG_" .. format], log))
  local list = ffi.new("struct log_field[?]", #fields + 1)
  for i, f in ipairs(fields) do
    list[i - 1].key, list[i - 1].type, list[i - 1][f.member] = f.key, f.type, f.value
    if f.member == "string" then list[i - 1].len = #f.value end
  end
  core.log_line(log[0], ffi.C["LOG_" .. level], message, list)
  core.log_free(log[0])
  file:close()
  local text = support.read(path)
  os.remove(path)
  return (text:gsub("^%d%d:%d%d:%d%d%.%d%d%d ", ""))
end

local function string(key, value) return field(key, "BYTES", "string", value) end

describe("the log", function()
  it("writes text for people", function()
    assert.equal('WARN  slow reader lines=3 delta=-4 took=1.5s name="a b" plain=/tmp/x\n',
      logged("TEXT", "WARN", "slow reader", {
        field("lines", "UINT", "u", 3), field("delta", "INT", "i", -4), field("took", "SECONDS", "seconds", 1.5),
        string("name", "a b"), string("plain", "/tmp/x") }))
  end)

  it("writes one JSON object a line for programs", function()
    local line = logged("AUTO", "INFO", 'say "hi"', {
      field("u", "UINT", "u", 18446744073709551615ULL), field("s", "SECONDS", "seconds", 0.25), string("k", "v\n") })
    assert.equal("\n", line:sub(-1))
    assert.is_nil(line:sub(1, -2):find("\n"))
    local object = cjson.decode(line)
    assert.equal('say "hi"', object.message)
    assert.same({ "info", 0.25, "v\n" }, { object.level, object.s, object.k })
    assert.truthy(line:find('"u":18446744073709551615', 1, true))
    assert.truthy(object.time:find("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$"))
  end)

  local hostile = {
    { "a line end", "x\nERROR forged", [["x\nERROR forged"]] },
    { "a carriage return", "x\r", [["x\x0d"]] },
    { "an escape sequence", "\27[2J", [["\x1b[2J"]] },
    { "a C1 control", "\194\155", [["\x9b"]] },
    { "text that runs backwards", "\226\128\174", [["\u202e"]] },
    { "closing quotes", 'x" k="y', [["x\" k=\"y"]] },
    { "a backslash", "\\", [["\\"]] },
    { "an equals sign", "a=b", [["a=b"]] },
    { "nothing", "", [[""]] },
    { "no UTF-8", "\255\254", '"\239\191\189\239\191\189"' },
    { "umlauts", "\195\164", '"\195\164"' },
  }
  for _, case in ipairs(hostile) do
    it("shows " .. case[1] .. " for what it is", function()
      assert.equal("INFO  m k=" .. case[3] .. "\n", logged("TEXT", "INFO", "m", { string("k", case[2]) }))
      local line = logged("JSON", "INFO", "m", { string("k", case[2]) })
      assert.is_nil(line:sub(1, -2):find("%c"))
      assert.is_nil(line:find("\194\155", 1, true) or line:find("\226\128\174", 1, true))
      local expected = case[2]:gsub("[\254\255]", "\239\191\189")
      assert.equal(expected, cjson.decode(line).k)
    end)
  end

  it("cuts a long text between characters and says so", function()
    local line = logged("JSON", "INFO", "m", { string("k", "x" .. ("\195\164"):rep(10000)) })
    local value = cjson.decode(line).k
    assert.equal("x" .. ("\195\164"):rep(2047) .. "…", value)
  end)

  it("ends a line before the field that does not fit", function()
    local fields = {}
    for i = 1, 20 do fields[i] = string("k" .. i, ("\1"):rep(2000)) end
    local object = cjson.decode((logged("JSON", "INFO", "m", fields)))
    assert.is_true(object.truncated)
    assert.truthy(object.k1)
    assert.is_nil(object.k20)
    assert.truthy(logged("TEXT", "INFO", "m", fields):find(" truncated=true\n$"))
  end)

  it("leaves out what is below its level", function()
    local log = ffi.new("struct log *[1]")
    assert.equal(0, core.log_new(C.dup(2), ffi.C.LOG_WARN, ffi.C.LOG_JSON, log))
    assert.is_false(core.log_enabled(log[0], ffi.C.LOG_INFO))
    assert.is_true(core.log_enabled(log[0], ffi.C.LOG_ERROR))
    core.log_free(log[0])
  end)

  it("is coloured on a terminal, unless NO_COLOR is set", function()
    local function on_terminal()
      local master = C.posix_openpt(258)
      C.grantpt(master)
      C.unlockpt(master)
      local slave = C.open(C.ptsname(master), 258)
      local log = ffi.new("struct log *[1]")
      assert.equal(0, core.log_new(slave, ffi.C.LOG_INFO, ffi.C.LOG_AUTO, log))
      core.log_line(log[0], ffi.C.LOG_INFO, "m", ffi.new("struct log_field[1]"))
      local block = ffi.new("char[256]")
      local n = C.read(master, block, 256)
      core.log_free(log[0])
      C.close(master)
      return ffi.string(block, n):sub(14)
    end
    C.setenv("TERM", "xterm", 1)
    assert.equal("\27[32mINFO \27[0m m\r\n", on_terminal())
    C.setenv("NO_COLOR", "1", 1)
    assert.equal("INFO  m\r\n", on_terminal())
    C.unsetenv("NO_COLOR")
  end)

  it("leaves nothing behind whichever allocation fails", function()
    local live = core.heap_live()
    for n = 1, 4 do
      local log = ffi.new("struct log *[1]")
      core.heap_fail_from(n)
      assert.equal(-1, core.log_new(2, ffi.C.LOG_INFO, ffi.C.LOG_TEXT, log))
      core.heap_fail_from(0)
      assert.equal(live, core.heap_live())
    end
  end)
end)
