--- `make bench-attacks`: what an attack on the agent costs the others. Ordinary load comes at 30 % of what the agent
-- takes at most, at fixed times; each attack runs beside it, on its own connections and from a process of its own.
-- Then the same attacker, at the pace it had, sends the same bytes to a sink that reads and discards, with the same
-- load at the agent: so the machine carries the attacker both times, and only the agent's own work differs. Both are
-- interleaved, medians are printed, and the ratio of the two p99 is what is to stay below 2. The load generator goes
-- first on the machine, the attacker last, the agent and the sink as they come. The p99 of a second is some seven requests,
-- so a ratio that comes out near the bound, or past it, is looked at more often. See spec/bench/README.md.
package.path = "lua/?.lua;./?.lua;" .. package.path
local cjson = require("cjson")
local ffi = require("ffi")
local beside = require("spec.bench.beside")
local hostile = require("spec.agent.hostile")
local replay = require("spec.replay")
local rules = require("spec.bench.rules")
local support = require("spec.support")
local wire = require("spec.otlp_writer")

local RUNS, SECONDS, build = beside.RUNS, beside.SECONDS, beside.BUILD
local DOUBTFUL, RUNS_MOST = 1.6, math.max(9, RUNS)                 -- a ratio, and runs of a row that has it
local ATTACK_BYTES = tonumber(os.getenv("BENCH_ATTACK_BYTES") or 200e6)  -- a second, at the most: 1.6 Gbit/s
local attack_program, file = build .. "/attack", build .. "/attack.bytes"
assert(os.execute(("cc -O2 -D_GNU_SOURCE -o %s spec/bench/attack.c"):format(attack_program)))
local turns_library, turns_file = build .. "/turns.so", build .. "/turns.json"
assert(os.execute(("cc -O2 -D_GNU_SOURCE -fPIC -shared -o %s spec/bench/turns.c -ldl"):format(turns_library)))

-- ---- the attacks ----------------------------------------------------------------------------------

local EIGHT = hostile.BODY_BYTES
local HEAD = "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"

local function request(...)
  local head, text = hostile.request(...)
  return head .. text
end
local function gzipped(text, content_type)
  return request(hostile.gzip(text), content_type, "Content-Encoding: gzip\r\n")
end
local function own_trace(i) return i, i end
local function own_name(b, i) b:hex(i) end
local function own_key(b, i, k) b:hex(i * 100 + k) end

local ATTRIBUTES = { ["http.method"] = "GET", ["http.url"] = "https://shop.example/cart/items?page=2", ["http.status_code"] = 200,
  ["db.statement"] = "SELECT id, name, price FROM items WHERE cart = $1 ORDER BY position", ["net.peer.name"] = "10.1.2.3" }
local function ordinary(bytes)
  local list, n, one = {}, 0
  repeat
    one = wire.span { trace_id = ("%08x"):format(n) .. "12345678", span_id = ("%08x"):format(n), attributes = ATTRIBUTES }
    n = n + 1
    list[n] = one
  until n * (#one + 4) > bytes - 1000
  return wire.body(list, wire.attribute(1, "service.name", "large"))
end

local function around(bytes, n)
  local list = {}
  for i = 1, n do list[i] = wire.span { trace_id = ("%08x12345678"):format(i), span_id = ("%08x"):format(i) } end
  return wire.body(list, wire.attribute(1, "k", ("x"):rep(bytes)))
end

local SPANS_JSON = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%s","spanId":"%s","events":[%s]}]}]}]}'
local EVENT = '{"name":"event"},'
local events_json = SPANS_JSON:format(("1"):rep(32), ("2"):rep(16), EVENT:rep(math.floor((EIGHT - 300) / #EVENT)) .. '{"name":"e"}')

-- name; the bytes; options of the attacker.
local ATTACKS = {
  { "a large body of ordinary spans", function() return request(ordinary(EIGHT)) end },
  { "values nested through 8 MB", function() return request(hostile.nested(EIGHT, "span", true)) end },
  { "values nested through 8 MB, JSON", function() return request(hostile.nested_json(EIGHT, "span", true), hostile.JSON) end },
  { "empty spans, 4 million", function() return request(hostile.many("spans", "", 4000000)) end },
  { "spans without ids, 262,144", function() return request(hostile.many("spans", "", 262144)) end },
  { "empty attributes, 4 million", function() return request(hostile.many("attributes", "", 4000000)) end },
  { "empty attributes, 524,280", function() return request(hostile.many("attributes", "", 524280)) end },
  { "attributes with a key, 524,280", function() return request(hostile.many("attributes", wire.text(1, "k"), 524280)) end },
  { "empty events, 524,280", function() return request(hostile.many("events", "", 524280)) end },
  { "events with a name, 524,280", function() return request(hostile.many("events", wire.text(2, "exception"), 524280)) end },
  { "links, 524,280", function() return request(hostile.many("links", "", 524280)) end },
  { "scopes, 524,280", function() return request(hostile.many("scope_spans", "", 524280)) end },
  { "resources, 524,280", function() return request(hostile.many("resource_spans", "", 524280)) end },
  { "traces of one span, 100,000 a body", function() return request(hostile.spans(100000, own_trace)) end },
  { "a trace of 130,000 spans", function() return request(hostile.spans(130000, function(i) return 7, i, i - 1 end)) end },
  { "span names, 100,000", function() return request(hostile.spans(100000, own_trace, own_name)) end },
  { "attribute keys, 500,000", function() return request(hostile.spans(5000, own_trace, nil, 100, own_key)) end },
  { "a resource of 4 MB, 20,000 spans", function() return request(around(4000000, 20000)) end },
  { "a resource of 60 KB, 20,000 spans", function() return request(around(60000, 20000)) end },
  { "one array of 524,270", function()
    return request(wire.body({ wire.span { extra = wire.text(9, wire.text(1, "http.status_code")
      .. wire.text(2, wire.text(5, wire.text(1, wire.text(1, "x")):rep(524270)))) } }))
  end },
  { "a status again, 4 million", function() return request(wire.body({ wire.span { extra = wire.text(15, ""):rep(4000000) } })) end },
  { "digits, 8 MB", function() return request(wire.body({ wire.span { attributes = { ["http.status_code"] = ("1"):rep(EIGHT - 500) } } })) end },
  { "lengths that lie", function() return request(("\10\255\255\255\255\15"):rep(20)) end, "--connections=16" },
  { "text that is no UTF-8, 8 MB", function()
    return request(wire.body({ wire.span { attributes = { k = ("\255"):rep(EIGHT - 500) } } }))
  end },
  { "JSON text that is no UTF-8, 8 MB", function()
    return request('{"resourceSpans":[],"x":"' .. ("\255"):rep(EIGHT - 100) .. '"}', hostile.JSON)
  end },
  { "JSON events, 8 MB", function() return request(events_json, hostile.JSON) end },
  { "gzip of JSON events, 8 MB", function() return gzipped(events_json, hostile.JSON) end },
  { "gzip bomb", function() return gzipped(("\0"):rep(EIGHT + 1)) end },
  { "gzip members, 390,000", function()
    return request(hostile.gzip(""):rep(390000), nil, "Content-Encoding: gzip\r\n")
  end },
  { "two lengths", function() return HEAD .. "Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" end, "--connections=16" },
  { "a chunk a byte", function()
    return HEAD .. "Transfer-Encoding: chunked\r\n\r\n" .. ("1\r\n \r\n"):rep(1000000) .. "2\r\n{}\r\n0\r\n\r\n"
  end },
  { "slow heads, 300", function() return HEAD .. "X-Slow: " end, "--connections=300 --hold" },
  { "slow bodies, 300", function() return HEAD .. "Content-Length: 8000000\r\n\r\n" .. ("x"):rep(300000) end, "--connections=300 --hold" },
  { "slow readers, 300", function()
    return (HEAD .. 'Content-Length: 20\r\n\r\n{"resourceSpans":[]}'):rep(1500)
  end, "--connections=300 --deaf" },
  { "small requests, 64 connections", function() return HEAD .. 'Content-Length: 20\r\n\r\n{"resourceSpans":[]}' end, "--connections=64" },
}

-- ---- one run --------------------------------------------------------------------------------------

local function options()
  return { rules = rules.text(20),
    shell = ('TURNS=%s TURNS_SECONDS=%d LD_PRELOAD=%s exec "$@"'):format(turns_file, SECONDS, turns_library) }
end

local function with_agent(what)
  local result = beside.with_agent(options(), what)
  local turns = cjson.decode(support.read(turns_file))
  result.turn_ms_max, result.turn_ms_p99 = turns.turn_ms_max, turns.turn_ms_p99
  return result
end

-- The sink runs in the shell's background and is ended by its id.
local function sink_open(bytes)
  local pipe = assert(io.popen(("%s --sink=%d & echo $!; wait"):format(attack_program, bytes)))
  local first, second = tonumber(pipe:read("*l")), tonumber(pipe:read("*l"))
  local pid, port = math.max(first, second), math.min(first, second)
  if io.open(("/proc/%d/cmdline"):format(pid)) == nil then pid, port = port, pid end
  return { pipe = pipe, pid = pid, port = port }
end
local function sink_close(sink)
  ffi.C.kill(sink.pid, 9)
  sink.pipe:close()
end

local function both(port, how, rate, load_port)
  local attacker = assert(io.popen(("%s %s --seconds=%d %s %s"):format(attack_program, how, SECONDS + 1, file, port)))
  local load = beside.ordinary(load_port, rate)
  local said = cjson.decode(attacker:read("*a"))
  attacker:close()
  return { p50 = load.ack_us_p50, p99 = load.ack_us_p99, failed = load.failed, attack = said, generator = load.runs }
end

local function paced(attack, pace) return (attack[3] or "") .. (" --rate=%.2f"):format(pace) end

local function attacked(attack, rate, bytes)
  local how = paced(attack, ATTACK_BYTES / bytes)
  return with_agent(function(_, port) return both(port, how, rate, port) end)
end

local function compared(attack, rate, pace, bytes)
  local how = paced(attack, pace)
  local sink = sink_open((attack[3] or ""):find("hold") and 0 or bytes)
  local result = with_agent(function(_, port) return both(sink.port, how, rate, port) end)
  sink_close(sink)
  return result
end

-- ---- the table ------------------------------------------------------------------------------------

local median = beside.median
local rate, saturation = beside.rate(options())
print(("%d runs of %d s, interleaved, up to %d where the ratio is %.1f or more; ordinary load %d spans/s of at most %d"):format(
  RUNS, SECONDS, RUNS_MOST, DOUBTFUL, rate, saturation))
print(beside.HEAD .. "  most; requests/s; turns, CPU ms p99: alone, beside; 2xx 4xx 5xx")

local function row(name, bytes, with, without)
  local ratio, worst = median(with, "ratio")
  local _, peak = median(with, "peak_mib")
  local said = with[1].attack
  local entry = { name = name, requests_per_second = said.requests_per_second, bytes = bytes,
    p99_us = median(with, "p99"), p99_us_alone = median(without, "p99"), p50_us = median(with, "p50"),
    p50_us_sink = median(without, "p50"), ratio = ratio, ratio_most = worst, failed = median(with, "failed"),
    turn_ms_p99 = median(with, "turn_ms_p99"), turn_ms_max = median(with, "turn_ms_max"),
    runs = #with, turn_ms_p99_sink = median(without, "turn_ms_p99"), turn_ms_max_sink = median(without, "turn_ms_max"),
    peak_mib = peak, generator = with[1].generator, answers = { said.status_2xx, said.status_4xx, said.status_5xx } }
  beside.line(entry, ("(%5.2f)  %7.1f  %5.1f %5.1f  %d %d %d"):format(worst, entry.requests_per_second, entry.turn_ms_p99_sink,
    entry.turn_ms_p99, said.status_2xx, said.status_4xx, said.status_5xx))
  return entry
end

local function decided(with)
  return #with >= RUNS_MOST or #with >= RUNS and median(with, "ratio") < DOUBTFUL
end

local results = {}
for _, attack in ipairs(ATTACKS) do
  local name = attack[1]
  if beside.wanted(name) then
    local bytes = attack[2]()
    replay.write(file, bytes)
    local with, without = {}, {}
    repeat
      local run = #with + 1
      with[run] = attacked(attack, rate, #bytes)
      without[run] = compared(attack, rate, with[run].attack.requests_per_second, #bytes)
      with[run].ratio = with[run].p99 / without[run].p99
    until decided(with)
    results[#results + 1] = row(name, #bytes, with, without)
  end
end
os.remove(file)
print(cjson.encode({ saturation = saturation, rate = rate, seconds = SECONDS, runs = RUNS, attacks = results }))
beside.light(results, beside.CAP_MIB)
