local config = require("fluo.config")
local schema = require("fluo.config.schema")
local show = require("fluo.cli.config_show")
local strings = getmetatable("").__index

local paths = {}

local function file(text)
  local path = os.tmpname()
  local handle = assert(io.open(path, "wb"))
  handle:write(text)
  handle:close()
  paths[#paths + 1] = path
  return path
end

-- resolve with a file, variables and flags, each optional.
local function resolve(text, variables, argv, command)
  local environment = {}
  for _, pair in ipairs(variables or {}) do
    local name, value = pair:match("^([^=]*)=(.*)$")
    environment[#environment + 1] = { name = name, value = value }
  end
  local line, path = {}, nil
  if text then
    path = file(text)
    line = { "-c", path }
  end
  for _, word in ipairs(argv or {}) do line[#line + 1] = word end
  local result, errors, status = config.resolve(command or "run", line, environment)
  return result, errors and table.concat(errors, "\n"):gsub(path and path:gsub("%p", "%%%0") or "%z", "FILE"), status
end

local function value(result, key) return result.values[key].value end

describe("the configuration", function()
  after_each(function()
    getmetatable("").__index = strings
    for _, path in ipairs(paths) do os.remove(path) end
    paths = {}
  end)

  it("has a default for every key that its own type accepts", function()
    local result = resolve()
    for _, entry in ipairs(schema) do
      assert.equal("default", result.values[entry.key].source, entry.key)
      assert.is_not_nil(value(result, entry.key), entry.key)
    end
    assert.equal(10e9, value(result, "trace.idle"))
    assert.equal(64 * 2 ^ 20, value(result, "buffer.bytes_max"))
    assert.equal("127.0.0.1 4318", value(result, "listen.otlp_http"))
  end)

  it("takes flags over variables over the file over defaults", function()
    local text = "return {\n trace = { idle = '1s', late = '2s',\n max_age = '3m' } }"
    local result = resolve(text, { "FLUO_TRACE_IDLE=4s", "FLUO_TRACE_LATE=5s" }, { "--trace.idle=6s" })
    assert.same({ 6e9, 5e9, 180e9 },
      { value(result, "trace.idle"), value(result, "trace.late"), value(result, "trace.max_age") })
    assert.equal("--trace.idle", result.values["trace.idle"].source)
    assert.equal("FLUO_TRACE_LATE", result.values["trace.late"].source)
    assert.truthy(result.values["trace.max_age"].source:find(":3$"))
    assert.equal("default", result.values.rules.source)
  end)

  local right = {
    { "trace.idle", "1500us", 1.5e6 }, { "trace.idle", "1.5s", 1.5e9 }, { "trace.late", "0", 0 },
    { "trace.idle", "2 minutes", 120e9 }, { "trace.max_age", "7d", 7 * 864e11 },
    { "buffer.bytes_max", "1048576", 2 ^ 20 }, { "buffer.bytes_max", "3GiB", 3 * 2 ^ 30 },
    { "buffer.bytes_max", "1.5gib", 1.5 * 2 ^ 30 }, { "http.body_bytes_max", "5 MB", 5e6 },
    { "http.connections_max", "65536", 65536 }, { "skip_broken", "yes", true }, { "semconv.renames", "off", false },
    { "listen.admin", "none", "none" }, { "listen.admin", "localhost:0", "127.0.0.1 0" },
    { "listen.admin", "[::1]:4319", "::1 4319" }, { "listen.admin", "[fe80::1:2]:1", "fe80::1:2 1" },
    { "listen.admin", "[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1 1" },
    { "listen.admin", "0.0.0.0:65535", "0.0.0.0 65535" }, { "http.traces_path", "/", "/" },
    { "http.traces_path", "/otel/v1", "/otel/v1" }, { "http.cors_origins", "*", "*" },
    { "http.cors_origins", " https://a.example  http://*.b:3000 ", "https://a.example http://*.b:3000" },
    { "log.level", "debug", "debug" },
    { "rules", "a b/ü", "a b/ü" }, { "output.violations", "/dev/null", "/dev/null" },
  }
  for _, case in ipairs(right) do
    it(("reads %s = %q"):format(case[1], case[2]), function()
      local result, errors = resolve(nil, nil, { "--" .. case[1] .. "=" .. case[2], "--trace.max_age=7d" })
      assert.is_nil(errors)
      if case[1] ~= "trace.max_age" then assert.equal(case[3], value(result, case[1])) end
    end)
  end

  local wrong = {
    { "trace.idle", "10", "no unit" }, { "trace.idle", "5 parsecs", "parsecs" }, { "trace.idle", "-1s", "duration" },
    { "trace.idle", "0s", "at least 1ms" }, { "trace.idle", "2d", "at most 1d" }, { "trace.idle", "1e9s", "duration" },
    { "trace.idle", "", "duration" }, { "trace.idle", "99999999999d", "duration" },
    { "buffer.bytes_max", "1023KiB", "at least 1MiB" }, { "buffer.bytes_max", "3221225473", "at most 3GiB" },
    { "buffer.bytes_max", "8M", "MiB" }, { "buffer.bytes_max", "nan", "size" }, { "buffer.bytes_max", "inf", "size" },
    { "http.connections_max", "1.5", "whole" }, { "http.connections_max", "0", "at least 1" },
    { "http.connections_max", "0x10", "whole" }, { "skip_broken", "maybe", "true or false" },
    { "listen.admin", ":4319", "0.0.0.0:4319" }, { "listen.admin", "127.0.0.1", "address" },
    { "listen.admin", "127.0.0.1:65536", "65535" }, { "listen.admin", "256.0.0.1:1", "not looked up" },
    { "listen.admin", "example.org:1", "not looked up" }, { "listen.admin", "[1::2::3]:1", "not looked up" },
    { "listen.admin", "[12345::]:1", "not looked up" }, { "listen.admin", "[1:2:3:4:5:6:7]:1", "not looked up" },
    { "http.cors_origins", "a.example", "a.example is none" }, { "http.cors_origins", "https://a.example/x", "is none" },
    { "http.traces_path", "v1", "starts with" }, { "http.traces_path", "/a b", "starts with" },
    { "log.level", "loud", "one of debug, info, warn, error" }, { "rules", "", "a path" },
    { "rules", "a\0b", "a path" },
    { "other_signals", "Discard", "one of" },
  }
  for _, case in ipairs(wrong) do
    it(("refuses %s = %q"):format(case[1], case[2]), function()
      local result, errors, status = resolve(nil, nil, { "--" .. case[1] .. "=" .. case[2] })
      assert.is_nil(result)
      assert.equal(2, status)
      assert.truthy(errors:find("--" .. case[1], 1, true), errors)
      assert.truthy(errors:find(case[3], 1, true), errors)
    end)
  end

  it("names all that is wrong at once, each with its place", function()
    local text = "return {\n trace = { idel = '1s', late = 5 },\n bufer = { bytes_max = 1 },\n"
      .. " log = 'x',\n rules = {},\n}"
    local _, errors, status = resolve(text, { "FLUO_TRACE_IDEL=1s", "FLUO_LOG_LEVEL=loud" },
      { "--trace.idl=1s", "--trace.max_age" })
    assert.equal(78, status)
    assert.equal([[
FILE:2: unknown key trace.idel; did you mean trace.idle?
FILE:2: trace.late: expected a duration with its unit (ns us ms s m h d), got 5 (it has no unit); ]]
      .. [[for example late = "10s"
FILE:3: unknown key bufer; did you mean buffer?
FILE:4: log is a section: log = { … }
FILE:5: rules: expected a path, got a table; for example rules = "rules"
unknown variable FLUO_TRACE_IDEL; did you mean FLUO_TRACE_IDLE?
FLUO_LOG_LEVEL: expected one of debug, info, warn, error, got "loud"; for example FLUO_LOG_LEVEL=debug
unknown flag --trace.idl; did you mean `--trace.idle`?
--trace.max_age needs a value]], errors)
  end)

  it("suggests the key that has this name in a section", function()
    local _, errors = resolve("return { max_age = '5s' }")
    assert.equal("FILE:1: unknown key max_age; did you mean trace.max_age?", errors)
  end)

  it("checks values against each other", function()
    local _, errors = resolve(nil, nil, { "--trace.idle=10m" })
    assert.equal("trace.idle (10m, --trace.idle) is longer than trace.max_age (5m, default): "
      .. "no trace would ever be idle", errors)
    _, errors = resolve("return { trace = { bytes_max = '4MiB' } }", { "FLUO_BUFFER_BYTES_MAX=2MiB" })
    assert.truthy(errors:find("is more than buffer.bytes_max (2MiB, FLUO_BUFFER_BYTES_MAX)", 1, true))
  end)

  it("lets the default of one value follow another", function()
    local result = resolve(nil, nil, { "--buffer.bytes_max=2MiB" })
    assert.same({ value = 2 * 2 ^ 20, source = "buffer.bytes_max" }, result.values["trace.bytes_max"])
  end)

  it("passes over variables that are empty, or not its own", function()
    local result, errors = resolve(nil, { "FLUO_DATA=", "FLUO_SERVICE_HOST=10.0.0.1", "FLUO_PORT=tcp://10.0.0.1:4318",
      "FLUO_PORT_4318_TCP_ADDR=10.0.0.1", "FLUO_LIB=x" })
    assert.is_nil(errors)
    assert.equal("data", value(result, "data"))
  end)

  describe("file", function()
    it("takes keys nested or with dots, and paths relative to itself", function()
      local result = resolve("return { ['trace.idle'] = '1s', log = { level = 'warn' }, rules = 'r', data = '/d' }")
      assert.same({ 1e9, "warn", "/tmp/r", "/d" }, { value(result, "trace.idle"), value(result, "log.level"),
        value(result, "rules"), value(result, "data") })
      assert.equal("stdout", value(resolve("return { output = { violations = 'stdout' } }"), "output.violations"))
    end)

    it("may compute", function()
      local result = resolve("local t = {}\n"
        .. "for _, k in ipairs{'idle', 'late'} do t[k] = tostring(math.max(1, 2)) .. 's' end\n"
        .. "return { trace = t, log = { level = ('WARN'):lower() } }")
      assert.same({ 2e9, 2e9, "warn" }, { value(result, "trace.idle"), value(result, "trace.late"),
        value(result, "log.level") })
    end)

    local broken = {
      { "return {", "FILE:1: unexpected symbol" },
      { "local x = 1", "FILE: returns no table" },
      { "return 5", "FILE: returns no table" },
      { "trace = { idle = '5s' }", "FILE:1: `trace` is set as a global" },
      { "return { rules = rules }", "FILE:1: there is no `rules` here" },
      { "return { rules = os.getenv('HOME') }", "FILE:1: there is no `os` here" },
      { "return { rules = io.open('/etc/passwd') }", "FILE:1: there is no `io` here" },
      { "return { rules = require('ffi') }", "FILE:1: there is no `require` here" },
      { "return { rules = getmetatable('') }", "FILE:1: there is no `getmetatable` here" },
      { "return { rules = load('') }", "FILE:1: there is no `load` here" },
      { "return { rules = _G }", "FILE:1: there is no `_G` here" },
      { "return { rules = ('').dump(print) }", "FILE:1: there is no `print` here" },
      { "return { rules = ('').dump(function() end) }", "FILE:1: attempt to call field 'dump'" },
      { "error('no')", "FILE:1: no" },
      { "error({})", "FILE: stopped with an error" },
      { string.dump(function() return {} end), "FILE: bytecode, not text" },
      { "return { trace = { idle = '1s' }, ['trace.idle'] = '2s' }", "trace.idle is given twice" },
      { "return {\nreceivers = { a = { type = 'file', path = 'x' },\na = { type = 'file', path = 'y' } } }", "FILE:3: `a` is given twice in one table" },
      { "\239\187\191return { trace = { idle = '1s', idle = '2s' } }", "FILE:1: `idle` is given twice in one table" },
      { "local t = {} t.trace = t return t", "FILE:1: unknown key trace.trace" },
      { "return { [1] = 'x' }", "FILE:1: unknown key 1" },
      { "return { recievers = {} }", "FILE:1: unknown key recievers; did you mean receivers?" },
      { ("-"):rep(2 ^ 20 + 1), "FILE: larger than 1 MiB" },
    }
    for i, case in ipairs(broken) do
      it(("number %d of those that are broken says so"):format(i), function()
        local result, errors, status = resolve(case[1])
        assert.is_nil(result)
        assert.equal(78, status)
        assert.truthy(errors:find(case[2], 1, true), errors)
      end)
    end

    it("that was asked for has to be there", function()
      local _, errors = config.resolve("run", { "-c", "/no/such/fluo.lua" }, {})
      assert.equal("/no/such/fluo.lua: No such file or directory", errors[1])
      _, errors = config.resolve("run", {}, { { name = "FLUO_CONFIG", value = "/no/such/fluo.lua" } })
      assert.equal("/no/such/fluo.lua: No such file or directory", errors[1])
    end)

    it("tolerates a byte order mark and Windows line ends", function()
      local result = resolve("\239\187\191return {\r\n trace = { idle = '3s' }\r\n}\r\n")
      assert.equal(3e9, value(result, "trace.idle"))
    end)
  end)

  describe("command line", function()
    local function parsed(command, ...) return require("fluo.cli.options").parse(command, { ... }) end

    it("keeps what is no flag, in order", function()
      local line = parsed("replay", "a", "--fail-on-violation", "-", "--trace.idle", "5s", "--", "--b")
      local places = {}
      for i, argument in ipairs(line.arguments) do places[i] = argument.place end
      assert.same({ 1, 3, 7 }, places)
      assert.is_true(line.flags.fail_on_violation)
      assert.same({ key = "trace.idle", value = "5s", source = "--trace.idle" }, line.values[1])
    end)

    it("turns a switch on without a value, and off with one", function()
      assert.equal("true", parsed("run", "--skip-broken").values[1].value)
      assert.equal("no", parsed("run", "--skip_broken=no").values[1].value)
    end)

    local usage = {
      { "run", { "foo" }, 'unexpected argument "foo"' }, { "replay", {}, "something is missing" },
      { "run", { "--jsn" }, "unknown flag --jsn" }, { "check", { "--jsn" }, "did you mean `--json`?" },
      { "check", { "a", "b" }, 'unexpected argument "b"' }, { "run", { "-c" }, "-c needs a value" },
      { "run", { "-x" }, "unknown flag -x" }, { "check", { "--json=perhaps" }, "--json: expected true or false" },
    }
    for _, case in ipairs(usage) do
      it(("of %s %s is wrong use"):format(case[1], table.concat(case[2], " ")), function()
        local _, errors, status = resolve(nil, nil, case[2], case[1])
        assert.equal(2, status)
        assert.truthy(errors:find(case[3], 1, true), errors)
      end)
    end
  end)

  it("reaches the core as plain lines", function()
    local result = resolve("return { rules = '/a%\\n\\tb' }", nil, { "--json", "x" }, "check")
    local text = config.encode(result)
    assert.truthy(text:find("rules=/a%25%0a%09b\n", 1, true))
    assert.truthy(text:find("\ntrace.idle=10000000000\n", 1, true))
    assert.truthy(text:find("\nskip_broken=0\n", 1, true))
    assert.truthy(text:find("\nflag.json=1\narg=4\nend\n$"))
  end)

  it("knows its own variables among all, by name", function()
    assert.same({ { name = "FLUO_A", value = "b=c" }, { name = "FLUO_D", value = "" }, { name = "X", value = "1" } },
      config.environment_of("X=1\0FLUO_D=\0FLUO_A=b=c\0"))
    assert.is_table(resolve(nil, { "NOT_FLUO_E=1", "HOME=/root" }))
  end)

  describe("as shown", function()
    it("reads back as the same values", function()
      local result = resolve(nil, nil,
        { "--trace.idle=90s", "--listen.admin=[::1]:1", "--http.body_bytes_max=1500000" })
      local line = {}
      for _, entry in ipairs(schema) do
        line[#line + 1] = ("%s=%s"):format(entry.flag, entry.type.show(value(result, entry.key)))
      end
      local again, errors = resolve(nil, nil, line)
      assert.is_nil(errors)
      for _, entry in ipairs(schema) do assert.equal(value(result, entry.key), value(again, entry.key)) end
    end)

    it("is a table for people and JSON for programs", function()
      local result = resolve(nil, nil, { "--trace.idle=90s" }, "config show")
      assert.truthy(show.render(result):find("\ntrace.idle +90s +%-%-trace.idle\n"))
      result.flags.json = true
      local list = require("cjson").decode(show.render(result))
      assert.equal(#schema, #list)
      assert.same({ key = "rules", value = "rules", source = "default" }, list[1])
    end)
  end)
end)
