-- contrib/openapi.json says what the admin listener does: each of its paths answers as it says, and each path is in it.
local api = require("spec.agent.api")
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local schema = require("spec.contrib_schema")
local read = require("spec.support").read

local DOCUMENT = cjson.decode(read("contrib/openapi.json"))
local STREAMS = { ["/api/v1/events"] = true, ["/api/v1/record"] = true }

local RULES = [[
rule "failed" { when = trace.has { status = "ERROR" }, actions = { "nowhere", "never" }, labels = { team = "x" }, summary = "{name}" }
rule "many" { when = window("1m", { name = "pay" }):by("shop"):count():over(2) }
action "nowhere" (function() return true end)
action "never" (function() action.fail("no") end)
]]

describe("contrib/openapi.json", function()
  local agent, ids

  local function first(kind)
    local _, page = api.ask(agent, "GET", kind .. "?rule=failed")
    return page[kind][1].id
  end

  setup(function()
    agent = assert(harness.start { rules = RULES, flags = { "--trace.idle=1s" } })
    local now, requests = (os.time() - 1760356800) * 1000, {}
    for i = 1, 4 do
      requests[i] = { replay.span { trace = "t" .. i, name = "pay", at = now + i, attr = { shop = "a" }, service = "shop",
                                    status = i == 1 and "ERROR" or "OK", message = "declined" } }
    end
    agent:send(requests)
    agent:settle()
    agent:await(function(page) return page['fluo_notifications_delivered_total{receiver="nowhere"}'] == 1 end)
    local _, silence = api.ask(agent, "POST", "silences", { matchers = "rule=many", until_resolved = true })
    ids = { incidents = first("incidents"), violations = first("violations"), silences = silence.id }
  end)
  teardown(function() agent:stop(9) end)

  -- As the core has them: of the API, and of the pages.
  local function paths_of_core()
    local list = {}
    for path in read("core/api.c"):match("endpoints%[%] = (%b{})"):gmatch('\n    {"([^"]+)"') do list["/api/v1/" .. path] = true end
    for path in read("core/admin.c"):match("pages%[%] = (%b{})"):gmatch('{"(/api[^"]+)"') do list[path] = true end
    return list
  end

  it("has the paths that there are, and no others", function()
    local described = {}
    for path in pairs(DOCUMENT.paths) do described[path] = true end
    assert.same(paths_of_core(), described)
  end)

  local BODIES = { ["/api/v1/silences"] = { matchers = "rule=x", until_resolved = true },
                   ["/api/v1/violations/{id}/feedback"] = { verdict = "wrong", by = "ann" } }
  -- Those that end what others look at come last.
  local function order_of(path, verb) return (verb == "delete" and "3" or path:find("resolve") and "2" or "1") .. path .. verb end

  local function operations()
    local list = {}
    for path, verbs in pairs(DOCUMENT.paths) do
      for verb, operation in pairs(verbs) do
        if not STREAMS[path] then list[#list + 1] = { path = path, verb = verb, operation = operation } end
      end
    end
    table.sort(list, function(a, b) return order_of(a.path, a.verb) < order_of(b.path, b.verb) end)
    return list
  end

  local function schema_of(response) return schema.resolve(DOCUMENT, response).content["application/json"].schema end

  for _, one in ipairs(operations()) do
    it(("describes what %s %s answers, and a refusal of it"):format(one.verb:upper(), one.path), function()
      local kind = one.path:match("/api/v1/(%l+)")
      local path = one.path:gsub("^/api/v1/", ""):gsub("{id}", function() return ids[kind] end)
      local status, body = api.ask(agent, one.verb:upper(), path, one.verb == "post" and BODIES[one.path] or nil)
      local response = one.operation.responses[tostring(status)]
      assert.truthy(response, ("%d: %s"):format(status, cjson.encode(body)))
      assert.is_nil(schema.check(DOCUMENT, schema_of(response), body, "it"))
      status, body = api.ask(agent, one.verb:upper(), path, nil, { "Host: elsewhere.example" })
      assert.equal(403, status)
      assert.is_nil(schema.check(DOCUMENT, schema_of(one.operation.responses.default), body, "it"))
    end)
  end

  it("names the parameters that each list takes", function()
    for _, one in ipairs(operations()) do
      local path = one.path:gsub("^/api/v1/", ""):gsub("{id}", function() return ids[one.path:match("/api/v1/(%l+)")] end)
      for _, parameter in ipairs(one.verb == "get" and one.operation.parameters or {}) do
        local it = schema.resolve(DOCUMENT, parameter)
        local _, body = api.ask(agent, "GET", path .. "?" .. it.name .. "=~")
        if it["in"] == "query" then
          assert.is_nil(body.error and body.error.message:match("no parameter"), it.name)
        end
      end
    end
  end)

  it("describes what goes wrong with alerts, which is of the agent and of no rule's version", function()
    agent:await(function(page) return page['fluo_notifications_dead_total{receiver="never"}'] == 1 end)
    local _, page = api.ask(agent, "GET", "violations?rule=fluo:delivery")
    assert.equal("agent", page.violations[1].scope)
    assert.is_nil(schema.check(DOCUMENT, schema_of(DOCUMENT.paths["/api/v1/violations"].get.responses["200"]), page, "it"))
  end)

  it("describes deliveries, widened groups and pages with a cursor as they are", function()
    for _, path in ipairs { "deliveries", "violations", "feedback", "rules" } do
      local _, page = api.ask(agent, "GET", path .. "?limit=1")
      assert.equal(1, #page[path], path)
      local response = DOCUMENT.paths["/api/v1/" .. path].get.responses["200"]
      assert.is_nil(schema.check(DOCUMENT, schema_of(response), page, path))
    end
  end)
end)
