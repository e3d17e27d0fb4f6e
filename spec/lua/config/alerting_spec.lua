local alerting = require("fluo.config.alerting")
local config = require("fluo.config")
local show = require("fluo.cli.config_show")
local cjson = require("cjson")
local strings = getmetatable("").__index

-- What the configuration file gives with these variables, or its errors.
local function resolve(text, variables)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  local environment = {}
  for name, value in pairs(variables or {}) do environment[#environment + 1] = { name = name, value = value } end
  local result, errors = config.resolve("run", { "-c", path }, environment)
  os.remove(path)
  getmetatable("").__index = strings
  return result, errors and (table.concat(errors, "\n"):gsub(path:gsub("%p", "%%%0"), "FILE"))
end

local function setup_of(result)
  return cjson.decode((alerting.encode(result.alerting, function(text) return text end)[1]:gsub("^alerting.setup=", "")))
end

describe("receivers of the configuration", function()
  it("are grouped as notify says, or as they say themselves", function()
    local result = resolve [[return { notify = { group_wait = "5s", group_by = { "service" } },
      receivers = { team = { type = "slack", url = "https://x" },
                    pager = { type = "pagerduty", routing_key = "k", group_wait = "0s", max_age = "6h", fallback = "team" } } }]]
    local pager, team = unpack(result.alerting.receivers)
    assert.same({ "pager", 0, 6 * 36e11, "team", 60e9 },
      { pager.name, pager.group_wait, pager.max_age, pager.fallback, pager.group_interval })
    assert.same({ "team", 5e9, { "service" }, true }, { team.name, team.group_wait, team.group_by, team.send_resolved })
    assert.same({ routing_key = "k" }, pager.settings)
  end)

  it("get secrets from variables and files, which are hidden", function()
    local path = os.tmpname()
    local file = io.open(path, "w")
    file:write("from-file\n")
    file:close()
    local result = resolve(([[return { receivers = { a = { type = "webhook", url = "https://hooks/T0", secret = secret "HOOK",
      headers = { Authorization = secret { file = %q } } } }, actions = { env = { "TEAM" }, secrets = { "TOKEN" } } }]])
      :format(path), { HOOK = "whsec_1", TEAM = "payments", TOKEN = "t0ken" })
    os.remove(path)
    local setup = setup_of(result)
    assert.same({ url = "https://hooks/T0", secret = "whsec_1", headers = { Authorization = "from-file" } },
      setup.receivers.a.settings)
    assert.same({ { TEAM = "payments" }, { TOKEN = "t0ken" } }, { setup.env, setup.secrets })
    table.sort(setup.hidden)
    assert.same({ "from-file", "https://hooks/T0", "t0ken", "whsec_1", "whsec_1" }, setup.hidden)
    local shown = show.render(result)
    assert.truthy(shown:find("receivers.a", 1, true))
    for _, hidden in ipairs(setup.hidden) do assert.is_nil(shown:find(hidden, 1, true)) end
  end)

  it("know what each type takes: the settings of every file of receivers", function()
    local types = require("fluo.config.receiver_types")
    for path in io.popen("ls lua/fluo/receivers/*.lua"):lines() do
      local kind = path:match("([^/]+)%.lua$")
      assert.truthy(types.SETTINGS[kind], path)
      for name in io.open(path):read("*a"):gmatch("settings%.([%l_]+)") do
        assert.truthy(types.SETTINGS[kind][name] or name == "resend_seconds", kind .. ": " .. name)
      end
    end
  end)

  it("may be of a type that is an action of the rules", function()
    local dir = os.tmpname()
    os.remove(dir)
    os.execute("mkdir " .. dir)
    local file = io.open(dir .. "/mine.lua", "w")
    file:write 'action "mine" (function(alert) return true end)'
    file:close()
    local good, errors = resolve(([[return { rules = %q, receivers = { a = { type = "mine", anything = 1 } } }]]):format(dir))
    os.execute("rm -r " .. dir)
    assert.truthy(good, errors)
  end)

  it("of Alertmanager are told again each minute", function()
    local result = resolve [[return { notify = { group_interval = "5m" }, receivers = {
      a = { type = "alertmanager", url = "http://am:9093" }, b = { type = "alertmanager", url = "http://am:9093", repeat_interval = "2m" } } }]]
    local a, b = unpack(result.alerting.receivers)
    local setup = setup_of(result)
    assert.same({ 60e9, 60e9, 60 }, { a.repeat_interval, a.group_interval, setup.receivers.a.settings.resend_seconds })
    assert.same({ 120e9, 120 }, { b.repeat_interval, setup.receivers.b.settings.resend_seconds })
  end)

  for _, row in ipairs {
    { 'receivers = { team = { type = "slack", url = secret "NONE" } }', "receivers.team.url: the variable NONE is not set" },
    { 'receivers = { team = "slack" }', "receivers.team: a table is expected" },
    { 'receivers = { team = { url = "x" } }', "receivers.team.type: text is expected" },
    { 'receivers = { log = { type = "slack" } }', "receivers.log: the name" },
    { 'receivers = { ["a b"] = { type = "slack" } }', "receivers.a b: the name" },
    { 'receivers = { a = { type = "journald", fallback = "teem" }, team = { type = "journald" } }',
      "receivers.a.fallback: there is no receiver teem; did you mean team?" },
    { 'receivers = { a = { type = "journald", fallback = "a" } }', "cannot stand in for itself" },
    { 'receivers = { a = { type = "journald", max_age = 5 } }', "receivers.a.max_age: expected a duration" },
    { 'receivers = { a = { type = "journald", f = function() end } }', "receivers.a.f: a function is no setting" },
    { 'notify = { group_weit = "1s" }', "notify: unknown key group_weit; did you mean group_wait?" },
    { 'notify = { group_by = "rule" }', "notify.group_by: a list of texts" },
    { 'inhibit = { { source = "x" } }', "inhibit[1].target: text is expected" },
    { 'mute = { { days = { "someday" } } }', "mute[1].days: days are" },
    { 'mute = { { from = "25:00" } }', "mute[1]: from and to" },
    { 'mute = { { utc_offset = "CET" } }', "mute[1].utc_offset" },
    { 'actions = { host = {} }', "actions: unknown key host; did you mean hosts?" },
    { 'actions = { secrets = { "NOT_SET" } }', "actions.secrets.NOT_SET: the variable NOT_SET is not set" },
    { 'receivers = { a = { type = "slak", url = "https://x" } }',
      "receivers.a.type: there is no type slak, nor an action of that name in the rules; did you mean slack?" },
    { 'receivers = { a = { type = "slack" } }', "receivers.a.url: a receiver of type slack needs it" },
    { 'receivers = { a = { type = "slack", url = "https://x", chanel = "#a" } }', "receivers.a: unknown key chanel; did you mean channel?" },
    { 'receivers = { a = { type = "slack", url = "https://x", group_weit = "1s" } }', "did you mean group_wait?" },
    { 'receivers = { a = { type = "teams", url = "hook" } }', "receivers.a.url: a URL as in" },
    { 'receivers = { a = { type = "alertmanager" } }', "receivers.a.url: a receiver of type alertmanager needs it, or urls" },
    { 'receivers = { a = { type = "pagerduty", routing_key = secret "NONE" } }', "routing_key: the variable NONE is not set" },
    { 'receivers = { a = { type = "email", url = "http://x", from = "a@b", to = {} } }', "receivers.a.to: text, or a list" },
    { 'receivers = { a = { type = "email", url = "http://x", from = "a@b", to = "c@d" } }', "receivers.a.url: a URL as in \"smtp:" },
    { 'receivers = { a = { type = "webhook", url = "https://x", secret = "whsec_no base64" } }', "receivers.a.secret: text, or whsec_ and base64" },
    { 'receivers = { a = { type = "file", path = "x.jsonl" } }', "receivers.a.path: a path that begins with /" },
    { 'receivers = { a = { type = "exec", argv = { "/bin/true" } } }', "receivers.a: programs are run only with actions = { exec = true }" },
    { 'receivers = { a = { type = "exec", argv = { "true" } } }, actions = { exec = true }', "receivers.a.argv: a list as in" },
    { 'receivers = { a = { type = "exec", argv = { "/bin/true" }, timeout = "2m" } }, actions = { exec = true }', "at most 60s" },
    { 'receivers = { a = { type = "syslog", address = "localhost" } }', "receivers.a.address:" },
    { 'receivers = { a = { type = "syslog", facility = 24 } }', "a number from 0 to 23" },
    { 'receivers = 5', "receivers: a table is expected" },
  } do
    it("are refused: " .. row[1], function()
      local result, errors = resolve("return { " .. row[1] .. " }")
      assert.is_nil(result)
      assert.truthy(errors:find(row[2], 1, true), errors)
    end)
  end

  it("reach the core, the setup whole", function()
    local support = require("spec.support")
    local core, ffi = support.core("config", "alerting")
    local path = os.tmpname()
    local file = io.open(path, "w")
    file:write([[return { receivers = { b = { type = "journald", identifier = "tab\tand %25 é" , fallback = "c" }, c = { type = "journald", send_resolved = false } },
      inhibit = { { source = 'severity="critical"', target = 'severity="low"', equal = { "service", "env" } } },
      mute = { { days = { "sat", "Sunday" }, from = "22:00", to = "06:00", utc_offset = "-03:30", matchers = 'team="a"' } } }]])
    file:close()
    local words = ffi.new("char *[2]", { ffi.cast("char *", "-c"), ffi.cast("char *", path) })
    local call = ffi.new("struct config_call", { command = "run", argc = 2, argv = words, exe = os.getenv("FLUO") or "build/fluo" })
    local c, status, why = ffi.new("struct config"), ffi.new("int[1]"), ffi.new("char[256]")
    assert.equal(0, core.config_load(call, c, status, why), ffi.string(why))
    os.remove(path)
    local a = c.alerting
    assert.equal("tab\tand %25 é", cjson.decode(ffi.string(a.setup)).receivers.b.settings.identifier)
    assert.equal(2, a.receivers_count)
    assert.same({ "b", "c" }, { ffi.string(a.receivers[0].name), ffi.string(a.receivers[0].fallback) })
    assert.is_true(a.receivers[1].notice.resolved_unsaid)
    assert.same({ 2, "rule", "group", 1e9 }, { a.notice.group_by_count, ffi.string(a.notice.group_by[0]),
      ffi.string(a.notice.group_by[1]), tonumber(a.notice.group_wait_ns) })
    assert.same({ 'severity="low"', 2, "env" }, { ffi.string(a.inhibitions[0].target), a.inhibitions[0].equal_count,
      ffi.string(a.inhibitions[0].equal[1]) })
    local m = a.mutes[0]
    assert.same({ 65, 1320, 360, -210, 'team="a"' }, { m.days, m.from_minute, m.to_minute, m.offset_minutes, ffi.string(m.matchers) })
    assert.is_true(core.alerting_find(a, "c") ~= nil and core.alerting_find(a, "d") == nil)
    core.config_deinit(c)
  end)
end)
