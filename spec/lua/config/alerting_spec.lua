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

  for _, row in ipairs {
    { 'receivers = { team = { type = "slack", url = secret "NONE" } }', "receivers.team.url: the variable NONE is not set" },
    { 'receivers = { team = "slack" }', "receivers.team: a table is expected" },
    { 'receivers = { team = { url = "x" } }', "receivers.team.type: text is expected" },
    { 'receivers = { log = { type = "slack" } }', "receivers.log: the name" },
    { 'receivers = { ["a b"] = { type = "slack" } }', "receivers.a b: the name" },
    { 'receivers = { a = { type = "x", fallback = "teem" }, team = { type = "x" } }',
      "receivers.a.fallback: there is no receiver teem; did you mean team?" },
    { 'receivers = { a = { type = "x", fallback = "a" } }', "cannot stand in for itself" },
    { 'receivers = { a = { type = "x", max_age = 5 } }', "receivers.a.max_age: expected a duration" },
    { 'receivers = { a = { type = "x", f = function() end } }', "receivers.a.f: a function is no setting" },
    { 'notify = { group_weit = "1s" }', "notify: unknown key group_weit; did you mean group_wait?" },
    { 'notify = { group_by = "rule" }', "notify.group_by: a list of texts" },
    { 'inhibit = { { source = "x" } }', "inhibit[1].target: text is expected" },
    { 'mute = { { days = { "someday" } } }', "mute[1].days: days are" },
    { 'mute = { { from = "25:00" } }', "mute[1]: from and to" },
    { 'mute = { { utc_offset = "CET" } }', "mute[1].utc_offset" },
    { 'actions = { host = {} }', "actions: unknown key host; did you mean hosts?" },
    { 'actions = { secrets = { "NOT_SET" } }', "actions.secrets.NOT_SET: the variable NOT_SET is not set" },
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
    file:write([[return { receivers = { b = { type = "x", text = "tab\tand %25 é" , fallback = "c" }, c = { type = "y", send_resolved = false } },
      inhibit = { { source = 'severity="critical"', target = 'severity="low"', equal = { "service", "env" } } },
      mute = { { days = { "sat", "Sunday" }, from = "22:00", to = "06:00", utc_offset = "-03:30", matchers = 'team="a"' } } }]])
    file:close()
    local words = ffi.new("char *[2]", { ffi.cast("char *", "-c"), ffi.cast("char *", path) })
    local call = ffi.new("struct config_call", { command = "run", argc = 2, argv = words, exe = os.getenv("FLUO") or "build/fluo" })
    local c, status, why = ffi.new("struct config"), ffi.new("int[1]"), ffi.new("char[256]")
    assert.equal(0, core.config_load(call, c, status, why), ffi.string(why))
    os.remove(path)
    local a = c.alerting
    assert.equal("tab\tand %25 é", cjson.decode(ffi.string(a.setup)).receivers.b.settings.text)
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
