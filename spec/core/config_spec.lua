local support = require("spec.support")
local core, ffi = support.core("heap", "config")

local here = io.popen("pwd"):read("*l")
local REAL = here .. "/spec/core/config_child.lua"
local SECOND = 1000000000ULL
local HOUR = 3600 * SECOND

ffi.cdef [[
int setenv(const char *, const char *, int);
int unsetenv(const char *);
int chmod(const char *, unsigned);
int close(int);
int dup(int);
int dup2(int, int);
]]

local temporary = {}
local function file(text)
  local path = os.tmpname()
  local handle = assert(io.open(path, "wb"))
  handle:write(text)
  handle:close()
  temporary[#temporary + 1] = path
  return path
end

-- A child that does as the shell is told.
local function fake(script)
  local path = file("#!/bin/sh\n" .. script)
  ffi.C.chmod(path, tonumber("755", 8))
  return path
end

local function call(options)
  local argv = options.argv or {}
  local list = ffi.new("char *[?]", #argv + 1)
  local anchors = { list }
  for i, text in ipairs(argv) do
    local copy = ffi.new("char[?]", #text + 1, text)
    anchors[#anchors + 1] = copy
    list[i - 1] = copy
  end
  local c = ffi.new("struct config_call[1]")
  local command, exe = options.command or "run", options.exe or REAL
  anchors[#anchors + 1], anchors[#anchors + 2] = command, exe
  c[0].command, c[0].argc, c[0].argv, c[0].exe = command, #argv, list, exe
  c[0].cpu_s, c[0].wall_ns = options.cpu_s or 0, options.wall_ns or 0
  return c, anchors
end

-- What goes to stderr during f.
local function saying(f)
  local path = file("")
  local saved, handle = ffi.C.dup(2), io.open(path, "wb")
  ffi.cdef("int fileno(void *);")
  ffi.C.dup2(ffi.C.fileno(handle), 2)
  local results = { f() }
  ffi.C.dup2(saved, 2)
  ffi.C.close(saved)
  handle:close()
  return support.read(path), unpack(results)
end

local function load(options)
  local config, status, why = ffi.new("struct config[1]"), ffi.new("int[1]"), ffi.new("char[256]")
  local c, anchors = call(options)
  local err = core.config_load(c, config, status, why)
  assert(anchors)
  return err, config, status[0], ffi.string(why)
end

-- What the real child says to the core.
local function reply(line)
  local path = file("")
  os.execute(REAL .. " --internal-config load " .. line .. " 3>" .. path)
  return support.read(path)
end

describe("config_load", function()
  local live
  before_each(function() live = core.heap_live() end)
  after_each(function()
    assert.equal(live, core.heap_live())
    for _, path in ipairs(temporary) do os.remove(path) end
    temporary = {}
  end)

  it("fills every member from defaults, the file, variables and flags", function()
    local path = file("return { trace = { max_age = '1m' }, data = '/var/lib/x y', log = { format = 'json' } }")
    ffi.C.setenv("FLUO_OTHER_SIGNALS", "reject", 1)
    local err, config = load {
      argv = { "-c", path, "--skip-broken", "--listen.admin", "[::1]:99", "--log.level=error" } }
    ffi.C.unsetenv("FLUO_OTHER_SIGNALS")
    assert.equal(0, err)
    local c = config[0]
    assert.same({ "rules", "/var/lib/x y", "stdout", "" },
      { ffi.string(c.rules), ffi.string(c.data), ffi.string(c.output.violations), ffi.string(c.http.traces_path) })
    assert.same({ "127.0.0.1", 4318, "::1", 99 }, { ffi.string(c.listen.otlp_http.host), c.listen.otlp_http.port,
      ffi.string(c.listen.admin.host), c.listen.admin.port })
    assert.same({ 10e9, 60e9, 60e9, 75e9, 10e9, 30e9 }, { tonumber(c.trace.idle_ns), tonumber(c.trace.max_age_ns),
      tonumber(c.trace.late_ns), tonumber(c.http.idle_ns), tonumber(c.http.header_ns), tonumber(c.http.body_ns) })
    assert.same({ 2 ^ 23, 1024, 2 ^ 26, 10000, 2 ^ 23 }, { tonumber(c.http.body_bytes_max), c.http.connections_max,
      tonumber(c.buffer.bytes_max), c.trace.spans_max, tonumber(c.trace.bytes_max) })
    assert.same({ true, false, true }, { c.semconv_renames, c.status_ok_is_explicit, c.skip_broken })
    assert.equal(ffi.C.CONFIG_REJECT, c.other_signals)
    assert.same({ ffi.C.LOG_ERROR, ffi.C.LOG_JSON }, { tonumber(c.log.level), tonumber(c.log.format) })
    assert.equal(path, ffi.string(c.file))
    core.config_deinit(config)
  end)

  it("keeps arguments and the command's own flags", function()
    local err, config = load { command = "replay", argv = { "a.jsonl", "--fail-on-violation", "--", "--odd name" } }
    assert.equal(0, err)
    assert.equal(2, config[0].args_count)
    assert.same({ "a.jsonl", "--odd name" }, { ffi.string(config[0].args[0]), ffi.string(config[0].args[1]) })
    assert.is_true(config[0].fail_on_violation)
    assert.is_false(config[0].json)
    core.config_deinit(config)
  end)

  it("leaves what is wrong to the child, and takes over its exit status", function()
    local argv = { "--trace.idle=5", "--log.level=x" }
    local said, err, _, status, why = saying(function() return load { argv = argv } end)
    assert.same({ -10, 2, "" }, { err, status, why })
    assert.truthy(said:find("fluo: --trace.idle: expected", 1, true))
    assert.truthy(said:find("fluo: --log.level: expected", 1, true))
    said, err, _, status = saying(function() return load { argv = { "--nonsense" } } end)
    assert.same({ -10, 2 }, { err, status })
    assert.truthy(said:find("unknown flag --nonsense", 1, true))
  end)

  it("gives the child the environment, in which a file finds its secrets by name, and nothing that the loader obeys", function()
    for _, test in ipairs { '[ -n "$PATH" ]', '[ -z "$LD_PRELOAD$LD_LIBRARY_PATH$GLIBC_TUNABLES" ]' } do
      local err, _, _, why = load { exe = fake(test .. " && exit 3\nexit 0\n") }
      assert.equal(-12, err)
      assert.truthy(why:find("the process died", 1, true))
    end
  end)

  it("stops a file that runs on, at its CPU limit", function()
    local err, _, status, why = load { argv = { "-c", file("while true do end") }, cpu_s = 1, wall_ns = HOUR }
    assert.same({ -11, 78 }, { err, status })
    assert.truthy(why:find("more than 1 s of CPU", 1, true))
  end)

  it("says so where the file eats memory", function()
    local err, _, status, why = load { exe = fake("exit 86\n") }
    assert.same({ -5, 78 }, { err, status })
    assert.truthy(why:find("more memory", 1, true))
  end)

  it("stops a child that hangs, at the wall clock", function()
    local err, _, status, why = load { exe = fake("exec sleep 60\n"), wall_ns = SECOND / 20 }
    assert.same({ -11, 78 }, { err, status })
    assert.truthy(why:find("longer than 0.1 s", 1, true))
  end)

  it("stops a child that hangs after its last word", function()
    local err = load { exe = fake("echo end >&3\nexec 3>&-\nexec sleep 60\n"), wall_ns = SECOND / 20 }
    assert.equal(-11, err)
  end)

  local strange = {
    { "says nothing", "exit 0", -3 },
    { "cannot be run", nil, -12 },
    { "fails without a reason", "exit 1", -12 },
    { "kills itself", "kill -9 $$", -12 },
    { "stops in the middle", "printf 'rules=x\\n' >&3", -3 },
    { "says only the end", "echo end >&3", -3 },
    { "says more after the end", "printf 'end\\nrules=x\\n' >&3", -3 },
    { "says nonsense", "echo hello >&3", -2 },
    { "knows another key", "printf 'x=1\\nend\\n' >&3", -2 },
    { "says one key and no other", "printf 'rules=x\\nend\\n' >&3", -3 },
    { "repeats a key", "printf 'rules=x\\nrules=y\\nend\\n' >&3", -2 },
    { "repeats the file", "printf 'file=x\\nfile=y\\nend\\n' >&3", -2 },
    { "has a bad escape", "printf 'rules=%%zz\\nend\\n' >&3", -2 },
    { "has half an escape", "printf 'rules=%%2\\nend\\n' >&3", -2 },
    { "hides a NUL", "printf 'rules=%%00\\nend\\n' >&3", -2 },
    { "sends a NUL", "printf 'rules=\\0\\nend\\n' >&3", -2 },
    { "writes no number", "printf 'trace.idle=1s\\nend\\n' >&3", -2 },
    { "writes a number of 20 digits", "printf 'trace.idle=18446744073709551616\\nend\\n' >&3", -2 },
    { "passes 32 bits", "printf 'trace.spans_max=4294967296\\nend\\n' >&3", -2 },
    { "writes no boolean", "printf 'skip_broken=2\\nend\\n' >&3", -2 },
    { "names no level", "printf 'log.level=loud\\nend\\n' >&3", -2 },
    { "names a host", "printf 'listen.admin=localhost 1\\nend\\n' >&3", -2 },
    { "names no port", "printf 'listen.admin=::1\\nend\\n' >&3", -2 },
    { "passes the ports", "printf 'listen.admin=::1 65536\\nend\\n' >&3", -2 },
    { "points past the arguments", "printf 'arg=1\\nend\\n' >&3", -2 },
    { "writes without an end", "exec yes rules=x >&3", -5 },
  }
  for _, case in ipairs(strange) do
    it("takes no configuration from a child that " .. case[1], function()
      local exe = case[2] and fake(case[2] .. "\n") or "/no/such/program"
      local said, err, _, status, why = saying(function() return load { exe = exe } end)
      assert.same({ case[3], 70, "" }, { err, status, said })
      assert.truthy(why:find("could not be evaluated", 1, true))
    end)
  end

  it("wants to hear the end, also when every key is there", function()
    local cut = reply("run"):gsub("end\n$", "")
    assert.equal(-3, (load { exe = fake("cat <<'EOF' >&3\n" .. cut .. "EOF\n") }))
  end)

  it("leaves nothing behind whichever allocation fails", function()
    local n, err = 0, -1
    -- The shell repeats what Lua said: the child is not what is tried here.
    local full = reply("replay a")
    local exe = fake("cat <<'EOF' >&3\n" .. full .. "EOF\n")
    while err ~= 0 and n < 200 do
      n = n + 1
      local config, status, why = ffi.new("struct config[1]"), ffi.new("int[1]"), ffi.new("char[256]")
      local c = call { exe = exe, argv = { "a" }, command = "replay" }
      core.heap_fail_from(n)
      err = core.config_load(c, config, status, why)
      core.heap_fail_from(0)
      if err == 0 then core.config_deinit(config) else assert.equal(-1, err) end
      assert.equal(live, core.heap_live())
    end
    assert.is_true(n > 10 and n < 200, n)
  end)
end)

describe("config_show", function()
  it("prints the table on stdout, within the same bounds", function()
    local c, anchors = call { command = "config", argv = { "--nonsense" } }
    local said, status = saying(function() return core.config_show(c) end)
    assert.equal(2, status)
    assert.truthy(said:find("unknown flag --nonsense", 1, true))
    c, anchors[1] = call { command = "config", argv = { "-c", file("while true do end") }, cpu_s = 1, wall_ns = HOUR }
    said, status = saying(function() return core.config_show(c) end)
    assert.equal(78, status)
    assert.truthy(said:find("more than 1 s of CPU", 1, true))
  end)
end)
