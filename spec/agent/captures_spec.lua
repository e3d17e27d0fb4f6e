-- What real clients sent, byte for byte and with the headers they sent it with, to the real agent.
local cjson = require("cjson")
local client = require("spec.agent.client")
local support = require("spec.support")

local FOLDER = "spec/fixtures/otlp/"

-- Spans in each body of traces; those sent over gRPC are posted as protobuf.
local SPANS = {
  ["deno-2.9.6-http-json.1"] = 6, ["deno-2.9.6-http-protobuf.1"] = 6, ["js-auto-grpc.1"] = 19, ["js-auto-http-json.1"] = 19,
  ["js-auto-http-protobuf.1"] = 19, ["js-sdk-grpc-gzip.1"] = 3, ["js-sdk-grpc.1"] = 3, ["js-sdk-http-gzip.1"] = 3,
  ["js-sdk-http.1"] = 3, ["js-sdk-proto-gzip.1"] = 3, ["js-sdk-proto.1"] = 3, ["prometheus-2.53.3-grpc.1"] = 10,
  ["prometheus-2.53.3-grpc.2"] = 4, ["prometheus-2.53.3-http.1"] = 10, ["prometheus-2.53.3-http.2"] = 5,
  ["python-1.45.1-flask-auto.1"] = 6, ["python-1.45.1-httpproto-gzip.1"] = 5, ["python-1.45.1-httpproto.1"] = 5,
}
local OTHERS = { ["deno-2.9.6-http-json.2"] = "logs", ["deno-2.9.6-http-protobuf.2"] = "logs",
  ["deno-2.9.6-http-json.3"] = "metrics", ["deno-2.9.6-http-protobuf.3"] = "metrics" }

local function sorted(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

-- The request that its .meta.json tells of, and its encoding.
local function request_of(name)
  local meta = cjson.decode(support.read(FOLDER .. name .. ".meta.json"))
  local body = support.read(FOLDER .. meta.file .. (meta.gz and ".gz" or ""))
  local type = meta.file:find("%.json$") and client.JSON or client.PROTOBUF
  if meta.kind ~= "http" then return client.request(body, { type = type }), type end
  local headers, in_chunks = {}, meta.headers["transfer-encoding"] ~= nil
  assert(meta.headers["content-type"] == type and (meta.headers["content-encoding"] == "gzip") == meta.gz)
  for _, key in ipairs(sorted(meta.headers)) do
    if key ~= "content-length" then headers[#headers + 1] = key .. ": " .. meta.headers[key] .. "\r\n" end
  end
  return ("%s %s HTTP/%s\r\n%s%s\r\n%s"):format(meta.method, meta.url, meta.httpVersion, table.concat(headers),
    in_chunks and "" or ("content-length: %d\r\n"):format(#body), in_chunks and client.chunked(body, 4096) or body), type
end

local function post(c, name)
  local text, type = request_of(name)
  local a = client.ask(c, text)
  assert.same({ 200, type, type == client.JSON and "{}" or "" }, { a.status, a.headers["content-type"], a.body }, name)
end

describe("every body that a real client sent", function()
  for _, name in ipairs(sorted(SPANS)) do
    it("counts exactly, and its second delivery not at all: " .. name, function()
      local found, totals = client.with({}, function(agent)
        local c = client.connect(agent)
        post(c, name)
        post(c, name)
        assert.equal(SPANS[name], agent:metrics().fluo_in_flight_spans)
      end)
      local spans = {}
      for _, violation in ipairs(found) do spans[violation.trace_id .. violation.spans[1].span_id] = true end
      assert.same({ SPANS[name], SPANS[name], SPANS[name], SPANS[name], 0 },
        { #found, #sorted(spans), totals.evaluated, totals.duplicates, totals.rejected })
    end)
  end

  it("counts exactly with all others on one connection", function()
    local expected = 0
    local found, totals = client.with({}, function(agent)
      local c = client.connect(agent)
      for _, name in ipairs(sorted(SPANS)) do
        post(c, name)
        expected = expected + SPANS[name]
      end
      local page = agent:metrics()
      assert.equal(expected, page.fluo_receiver_accepted_spans_total)
      assert.same({ 0, 0, 0 }, { page.fluo_receiver_invalid_utf8_total, page.fluo_receiver_strindex_total, page.fluo_receiver_enum_names_total })
    end)
    assert.same({ expected, expected, 0 }, { totals.evaluated, #found, totals.duplicates })
  end)

  it("of other signals is taken on its own path, counted and discarded, and refused on that of traces", function()
    local _, totals = client.with({}, function(agent)
      local c = client.connect(agent)
      for _, name in ipairs(sorted(OTHERS)) do post(c, name) end
      local page = agent:metrics()
      for _, signal in ipairs { "logs", "metrics" } do
        for _, encoding in ipairs { "json", "protobuf" } do
          assert.equal(1, page[('fluo_receiver_requests_total{signal="%s",encoding="%s"}'):format(signal, encoding)])
        end
      end
      assert.equal(3735 + 717, page['fluo_receiver_bytes_total{signal="logs"}'])
      assert.equal(23364 + 4124, page['fluo_receiver_bytes_total{signal="metrics"}'])
      for _, name in ipairs(sorted(OTHERS)) do
        local text = request_of(name):gsub("^POST /v1/%l+", "POST /v1/traces")
        -- Logs and metrics in JSON have no member that traces know, and are an empty request.
        assert.equal(name:find("json") and 200 or 400, client.ask(c, text).status)
      end
    end)
    assert.equal(0, totals.received)
  end)
end)

-- ---- one client, two encodings --------------------------------------------------------------------

-- A rule for everything that a JSON body says of a span. Each stands for a pattern (Lua text).
local function literal(value)
  if value.stringValue then return (("%q"):format(value.stringValue):gsub("\\\n", "\\n")) end
  if value.boolValue ~= nil then return tostring(value.boolValue) end
  if value.intValue then return tostring(value.intValue):find("^%-?%d+$") and tostring(value.intValue) or ("%.0f"):format(value.intValue) end
  if value.doubleValue then return ("%.17g"):format(value.doubleValue) end
end

local function patterns_of(text, varies)
  local seen = {}
  local function add(format, ...)
    for i = 1, select("#", ...) do if select(i, ...) == nil then return end end
    seen[format:format(...)] = true
  end
  local function attributes(list, format, name)
    for _, pair in ipairs(list or {}) do
      local values = pair.value.arrayValue and pair.value.arrayValue.values or { pair.value }
      for _, value in ipairs(values) do
        if not varies[pair.key] then add(format, name, pair.key, literal(value)) end
      end
    end
  end
  local function span(s, name)
    add("name = %s, kind = %q", name, ({ "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER" })[s.kind])
    add("name = %s, status = %q", name, ({ [0] = "UNSET", "EXPLICIT_OK", "ERROR" })[s.status.code])
    if s.status.message ~= "" then add("name = %s, status_message = %s", name, s.status.message and literal { stringValue = s.status.message }) end
    add("name = %s, root = %s", name, tostring((s.parentSpanId or "") == ""))
    attributes(s.attributes, "name = %s, [%q] = %s", name)
    for _, event in ipairs(s.events or {}) do
      add("name = %s, event = { name = %q }", name, event.name)
      attributes(event.attributes, "name = %s, event = { [%q] = %s }", name)
    end
    for _, link in ipairs(s.links or {}) do
      if not varies.links then add("name = %s, link = { trace_id = %q, span_id = %q }", name, link.traceId, link.spanId) end
      attributes(link.attributes, "name = %s, link = { [%q] = %s }", name)
    end
  end
  for _, rs in ipairs(cjson.decode(text).resourceSpans) do
    for _, ss in ipairs(rs.scopeSpans) do
      for _, s in ipairs(ss.spans) do
        local name = literal { stringValue = s.name }
        add("name = %s, scope = %q, scope_version = %q", name, ss.scope.name, ss.scope.version or "")
        attributes(rs.resource.attributes, "name = %s, resource = { [%q] = %s }", name)
        span(s, name)
      end
    end
  end
  return sorted(seen)
end

-- Clients that sent the same work twice, once in each encoding; what differs by its nature is left out.
local TWICE = {
  { "js-sdk-http.1", "js-sdk-proto.1", { "service.name", "exception.stacktrace" } },
  { "js-sdk-http-gzip.1", "js-sdk-proto-gzip.1", { "service.name", "exception.stacktrace" } },
  { "js-auto-http-json.1", "js-auto-http-protobuf.1", { "process.pid", "server.port", "network.local.port", "network.peer.port",
    "client.port", "url.full", "http.host", "net.host.port", "exception.stacktrace", "host.id", "http.url", "links" } },
  { "deno-2.9.6-http-json.1", "deno-2.9.6-http-protobuf.1", {} },
}

describe("one client in JSON and in protobuf", function()
  for _, row in ipairs(TWICE) do
    it("gets the same violations of everything it says: " .. row[1], function()
      local varies, rules = {}, {}
      for _, key in ipairs(row[3]) do varies[key] = true end
      local patterns = patterns_of(support.read(FOLDER .. row[1] .. ".json"), varies)
      for i, pattern in ipairs(patterns) do rules[i] = ('rule "%d" { when = { %s } }'):format(i, pattern) end
      local function judged(name)
        local counts = {}
        for _, violation in ipairs((client.with({ rules = table.concat(rules, "\n") }, function(agent) post(client.connect(agent), name) end))) do
          local pattern = patterns[tonumber(violation.rule)]
          counts[pattern] = (counts[pattern] or 0) + 1
        end
        return counts
      end
      local in_json, in_protobuf = judged(row[1]), judged(row[2])
      assert.truthy(#patterns > 20, #patterns)
      assert.same(patterns, sorted(in_json))               -- each holds of the body it was read from
      assert.same(in_json, in_protobuf)
    end)
  end
end)
