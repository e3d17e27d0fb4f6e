-- Receivers that misbehave, each in its way, beside ones that do not: every alert is delivered in the end, to whom it was
-- for or to who stands in for him, and the good ones notice nothing.
local alerting = require("spec.agent.alerting")
local receiver = require("spec.agent.receiver")
local socket = require("spec.agent.socket")

local ALERTS = 6

-- What it does until it is mended.
local MENDING = {
  refuses = "status/500", busy = "status/429?retry_after=2", overloaded = "status/503", drips = "drip",
  resets = "reset", redirects = "loop", cuts = "cut", babbles = "garbage", hangs = "hang", timid = "status/408",
}
-- What is final, or too late, and goes to the fallback.
local FINAL = { lost = "status/404", wrong = "status/400", old = "status/500" }

local function certificate(path)
  os.execute(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=other.example "
    .. "-keyout %s.key -out %s.crt 2>/dev/null"):format(path, path))
  return { cert = path .. ".crt", key = path .. ".key" }
end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

describe("receivers that misbehave", function()
  local world, tls, later, files
  before_each(function()
    files = os.tmpname()
    world, tls = alerting.open(), receiver.start(certificate(files))
  end)
  after_each(function()
    world:close()
    tls.stop()
    if later then later.stop() end
    os.execute(("rm -f %s %s.key %s.crt"):format(files, files, files))
  end)

  -- A configuration of all of them; their names.
  local function configuration(port)
    local names, lines = { "absent", "endless", "forged", "slow", "good", "better" }, {}
    local function add(name, url, more)
      lines[#lines + 1] = ('  %s = { type = "webhook", url = "%s"%s },'):format(name, url, more or "")
    end
    for _, name in ipairs(sorted(MENDING)) do
      names[#names + 1] = name
      add(name, world.mock.url(("/until/%s/%s"):format(name, MENDING[name])))
    end
    for _, name in ipairs(sorted(FINAL)) do
      names[#names + 1] = name
      add(name, world.mock.url(("/%s?for=%s"):format(FINAL[name], name)), ', fallback = "standin"' .. (name == "old" and ', max_age = "2s"' or ""))
    end
    add("absent", ("http://127.0.0.1:%d/ok/absent"):format(port))
    add("endless", world.mock.url "/endless")
    add("slow", world.mock.url "/slow")
    add("forged", tls.url "/ok/forged", ', fallback = "standin", max_age = "2s"')
    for _, name in ipairs { "good", "better", "standin" } do add(name, world.mock.url("/ok/" .. name)) end
    return ('return { notify = { group_wait = "10ms" }, receivers = {\n%s\n} }'):format(table.concat(lines, "\n")), names
  end

  -- How often each key came to a path with a good answer.
  local function counts(mock, path, of)
    local found = {}
    for _, request in ipairs(mock.requests(path)) do
      local alert = require("cjson").decode(request.body)
      local key = alert.incidents[1].group.key
      if key and request.said == 200 and (not of or alert.receiver == of) then found[key] = (found[key] or 0) + 1 end
    end
    return found
  end

  local function has_all(found)
    for i = 1, ALERTS do
      if not found[tostring(i)] then return false end
    end
    return true
  end

  it("delay their own alerts alone, and have them all once they are mended", function()
    local port, let_go = socket.reserve()
    finally(let_go)
    local config, names = configuration(port)
    local agent = world:start { rules = alerting.rule("pay", names), config = config }
    for i = 1, ALERTS do agent:send { alerting.failure(i) } end
    local once = {}
    for i = 1, ALERTS do once[tostring(i)] = 1 end
    world:until_true("all at the good ones", function()
      return has_all(counts(world.mock, "/ok/good")) and has_all(counts(world.mock, "/ok/better"))
    end)
    assert.is_nil(counts(world.mock, "/until/hangs")["1"])             -- while the others were still bad
    for name in pairs(MENDING) do world.mock.mend(name) end
    later = receiver.start { port = port }
    for name in pairs(MENDING) do
      world:until_true(name, function() return has_all(counts(world.mock, "/until/" .. name .. "/")) end)
    end
    world:until_true("absent", function() return has_all(counts(later, "/ok/absent")) end)
    world:until_true("what falls back", function() return has_all(counts(world.mock, "/ok/standin")) end)
    assert.same({ once, once }, { counts(world.mock, "/ok/good"), counts(world.mock, "/ok/better") })
    world:until_true("the ledger", function()
      return #world:sql("select 1 from deliveries where alert not like '%fluo:%' and state = 1") == (#names - 4 + 1) * ALERTS
        and #world:sql("select 1 from deliveries where alert not like '%fluo:%' and state = 2") == 4 * ALERTS
    end)
    local page = agent:await(function(m) return m.fluo_post_deaths_total == 0 end)
    local all = sorted(MENDING)
    for _, name in ipairs { "absent", "endless", "slow", "good", "better" } do all[#all + 1] = name end
    for _, name in ipairs(all) do
      assert.is_true(page[('fluo_notifications_delivered_total{receiver="%s"}'):format(name)] >= ALERTS, name)
    end
  end)
end)
