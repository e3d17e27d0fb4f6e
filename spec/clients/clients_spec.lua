-- Real SDKs, installed from npm, sending to the real agent.
local harness = require("spec.agent.harness")
local replay = require("spec.replay")

local CLIENTS = "build/clients"
local BROKEN = [[
rule "any" { when = {} }
rule "broken server" { when = { kind = "SERVER", ["http.status_code"] = 500 } }
rule "call and server" { when = trace.has { kind = "CLIENT" }:followed_by { kind = "SERVER", ["http.response.status_code"] = "500" } }
]]

local function by_rule(found)
  local counts = {}
  for _, v in ipairs(found) do counts[v.rule] = (counts[v.rule] or 0) + 1 end
  return counts
end

-- Another run may be reading the script: it takes its place whole.
local function in_clients(script, environment, words)
  os.execute(("new=$(mktemp -p %s) && cp spec/clients/%s $new && mv $new %s/%s"):format(CLIENTS, script, CLIENTS, script))
  local status, out, err = replay.shell(("cd %s && env %s %s"):format(CLIENTS, environment, words))
  assert.equal(0, status, err)
  return out
end

describe("the OpenTelemetry JavaScript SDK", function()
  for _, encoding in ipairs { "json", "protobuf", "gzip" } do
    it("over HTTP with " .. encoding .. ": every span counts, the shipped rules fire", function()
      local agent = assert(harness.start { rules = "rules", flags = { "--trace.idle=100ms" } })
      local ended = tonumber((in_clients("sdk.js", "", ("node sdk.js http://%s %s"):format(agent.otlp, encoding))))
      agent:read_log(function(line) return line:find("pii-without-audit", 1, true) end)
      local found, totals = agent:stop()
      local counts = by_rule(found)
      assert.equal(ended, totals.evaluated)
      assert.same({ 1, 1 }, { counts["login-hidden-by-retry"], counts["pii-without-audit"] })
    end)
  end

  for _, protocol in ipairs { "http/json", "http/protobuf" } do
    it("with auto-instrumentation over " .. protocol .. ": client and server spans make rules fire", function()
      local agent = assert(harness.start { rules = BROKEN })
      in_clients("auto.js", ("OTEL_EXPORTER_OTLP_ENDPOINT=http://%s OTEL_EXPORTER_OTLP_PROTOCOL=%s"):format(agent.otlp, protocol),
        "node --require @opentelemetry/auto-instrumentations-node/register auto.js")
      local found, totals = agent:stop()
      local counts = by_rule(found)
      assert.equal(totals.evaluated, counts.any)
      assert.same({ 1, 1 }, { counts["broken server"], counts["call and server"] })
    end)
  end
end)

describe("the printed rules", function()
  local NAMES = { "AuthFailuresRule", "Detect auth failures followed by successful retry",
    "Detect missing audit logs after PII access", "Detect slow database queries in payment flow", "cache_miss_pattern",
    "excessive-api-calls", "payment_gateway_bottleneck" }

  local function fired(kind)
    local agent = assert(harness.start { rules = "spec/fixtures/printed", flags = { "--trace.idle=100ms" } })
    local ended = tonumber((in_clients("printed.js", "", ("node printed.js http://%s %s"):format(agent.otlp, kind))))
    agent:settle()
    local found, totals = agent:stop()
    assert.equal(ended, totals.evaluated)
    local names = {}
    for i, v in ipairs(found) do names[i] = v.rule .. (v.estimated and " (estimated)" or "") end
    table.sort(names)
    return names
  end

  it("each fire on what they are about: of 10,001 events the SDK keeps 128 and counts the rest", function()
    local expected = {}
    for i, name in ipairs(NAMES) do expected[i] = name .. (name == "excessive-api-calls" and " (estimated)" or "") end
    assert.same(expected, fired("bad"))
  end)

  it("are silent just short of it", function() assert.same({}, fired("good")) end)
end)

describe("Deno", function()
  for _, protocol in ipairs { "http/json", "http/protobuf" } do
    it("over " .. protocol .. ", all three signals: traces are judged, metrics and logs discarded", function()
      local agent = assert(harness.start { rules = BROKEN })
      in_clients("deno.ts", ("OTEL_DENO=true OTEL_EXPORTER_OTLP_ENDPOINT=http://%s OTEL_EXPORTER_OTLP_PROTOCOL=%s"):format(agent.otlp, protocol),
        "node_modules/.bin/deno run --quiet --allow-net --allow-env deno.ts")
      local page = agent:metrics()
      local counts = by_rule((agent:stop()))
      assert.equal(1, counts["broken server"])
      assert.equal(page.fluo_receiver_accepted_spans_total, counts.any)
    end)
  end
end)
