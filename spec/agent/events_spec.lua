-- GET /api/v1/events of the real agent: what comes, and what a client that comes back has missed.
local api = require("spec.agent.api")
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local socket = require("spec.agent.socket")

local RULES = 'rule "slow" { when = { name = "slow" }, group_by = { "http.route" } }\n'

local function slow(n)
  return { replay.span { trace = "t" .. n, id = "s" .. n, name = "slow", dur = 0, at = (os.time() - 1760356800) * 1000,
                         attr = { ["http.route"] = "/" .. n } } }
end

describe("events", function()
  local data, agent, streams

  before_each(function()
    data, streams = os.tmpname(), {}
    os.remove(data)
  end)
  after_each(function()
    for _, c in ipairs(streams) do c:close() end
    if agent then agent:stop(9) end
    os.execute("rm -rf " .. data)
  end)

  local function start() agent = assert(harness.start { rules = RULES, data = data }) end

  local function follow(last_id)
    local before = agent:metrics().fluo_events_clients
    local c = assert(socket.connect(tonumber(agent.admin:match(":(%d+)$"))))
    streams[#streams + 1] = c
    c:send(("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n%s\r\n"):format(last_id and "Last-Event-ID: " .. last_id .. "\r\n" or ""))
    agent:await(function(page) return page.fluo_events_clients == before + 1 end)
    return c
  end

  -- So many events: { id, kind, data }, in order.
  local function events(c, count)
    local list, text, deadline = {}, "", socket.now() + socket.PATIENCE_S
    while #list < count do
      local more = assert(c:read(deadline))
      assert(more ~= "", "the stream ended after " .. #list)
      text = text .. more
      list = {}
      for id, kind, body in text:gmatch("id: (%d+)\nevent: (%l+)\ndata: ([^\n]*)\n\n") do
        list[#list + 1] = { id = id, kind = kind, data = cjson.decode(body) }
      end
    end
    return list, text
  end

  it("are violations with their incident, and incidents as they change", function()
    start()
    local c = follow()
    agent:send { slow(1) }
    local list, text = events(c, 2)
    assert.truthy(text:find("text/event-stream", 1, true))
    local by_kind = { [list[1].kind] = list[1].data, [list[2].kind] = list[2].data }
    assert.equal(by_kind.incident.id, by_kind.violation.incident)
    assert.same({ "open", "slow" }, { by_kind.incident.status, by_kind.violation.rule })
    api.ask(agent, "POST", ("incidents/%s/resolve"):format(by_kind.incident.id))
    assert.equal("resolved", events(c, 1)[1].data.status)
  end)

  it("go on where a client was, also after a restart", function()
    start()
    local c = follow()
    agent:send { slow(1) }
    local first = events(c, 2)
    agent:send { slow(2), slow(3) }
    agent:await(function(page) return page['fluo_ledger_written_rows_total{kind="violation"}'] == 3 end)
    agent:stop()
    start()
    local routes = {}
    for _, event in ipairs(events(follow(first[2].id), 6)) do
      if event.kind == "violation" then routes[#routes + 1] = event.data.id end
    end
    local _, page = api.ask(agent, "GET", "violations")
    local all = {}
    for i = 3, 1, -1 do all[#all + 1] = page.violations[i].id end
    assert.same(all, routes)
  end)

  it("are refused past eight clients, and to pages of other sites", function()
    start()
    for _ = 1, 8 do follow() end
    local status, body = api.ask(agent, "GET", "events")
    assert.same({ 503, "unavailable", "too many follow already" }, { status, body.error.code, body.error.message })
    assert.equal(403, (api.ask(agent, "GET", "events", nil, { "Origin: http://evil.example" })))
    assert.equal(0, (replay.shell(("curl -s -I http://%s/api/v1/events | grep -q ' 405 '"):format(agent.admin))))
  end)

  it("end with the agent", function()
    start()
    local c = follow()
    agent:stop()
    agent = nil
    local text, why = c:rest()
    assert.same({ "closed", true }, { why, text:find(": fluo\n", 1, true) ~= nil })
  end)
end)
