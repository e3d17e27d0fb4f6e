--- `make bench`: what a span costs over HTTP, and what the agent weighs idle.
-- Every run starts a fresh agent; runs with 0, 20 and 100 rules are interleaved and the medians printed, as a table
-- and as JSON. CPU is the kernel's accounting of all processes of the agent. See spec/bench/README.md.
package.path = "lua/?.lua;./?.lua;" .. package.path
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")

local RUNS = tonumber(os.getenv("BENCH_RUNS") or 5)
local REQUESTS = tonumber(os.getenv("BENCH_REQUESTS") or 400)
local build = os.getenv("BUILD") or "build"
assert(os.execute(("cc -O2 -D_GNU_SOURCE -o %s/load spec/bench/load.c"):format(build)))

-- Rules of mixed kinds; ten of them match 1 % of the spans (the errors).
local function rules(n)
  local list = {}
  for i = 1, n do
    local kinds = {
      ('{ name = "op-%d", duration = gt "300ms" }'):format(i),
      ('trace.has { name = prefix "step-%d" } * trace.missing { name = "audit-%d" }'):format(i, i),
      ('{ ["http.url"] = glob "*/never/%d/*", ["http.status_code"] = 404 }'):format(i),
      ('trace.has { name = "a-%d", status = "ERROR" }:followed_by { name = "a-%d" }:within "5s"'):format(i, i),
      ('trace.count { ["db.system"] = "db-%d" }:over(50)'):format(i),
    }
    local when = i <= 10 and ('{ ["http.status_code"] = %d, kind = "CLIENT", ["net.peer.port"] = gt(%d) }'):format(500, 60000 + i)
      or kinds[i % #kinds + 1]
    list[i] = ('rule "bench-%d" { when = %s, mode = "shadow" }'):format(i, when)
  end
  return table.concat(list, "\n") .. "\n"
end

local function number_after(path, key)
  for line in io.lines(path) do
    local value = line:match("^" .. key .. ":%s+(%d+)")
    if value then return tonumber(value) end
  end
  return 0
end

local function processes(pid)
  local list = { pid }
  for status in io.popen("ls -d /proc/[0-9]*/status 2>/dev/null"):lines() do
    local ok, parent = pcall(number_after, status, "PPid")
    if ok and parent == pid then list[#list + 1] = tonumber(status:match("%d+")) end
  end
  return list
end

-- CPU in seconds, and PSS in KiB, of the agent and its processes.
local function weigh(pid)
  local cpu, pss = 0, 0
  for _, p in ipairs(processes(pid)) do
    local file = io.open(("/proc/%d/schedstat"):format(p))
    cpu = cpu + tonumber(file:read("*l"):match("^%d+")) / 1e9
    file:close()
    pss = pss + number_after(("/proc/%d/smaps_rollup"):format(p), "Pss")
  end
  return cpu, pss
end

local function median(list)
  table.sort(list)
  return list[math.floor(#list / 2) + 1], list[1], list[#list]
end

local counts, results = { 0, 20, 100 }, {}
for _, n in ipairs(counts) do results[n] = { cpu = {}, rate = {}, p99 = {}, idle = {}, peak = {} } end
local control = 'rule "control" { when = { name = "never there" } }\n'
for _ = 1, RUNS do
  for _, n in ipairs(counts) do
    local agent = assert(harness.start { rules = control .. rules(n), flags = { "--output.violations=none", "--log.level=warn", "--log.level=info" } })
    local port = agent.otlp:match(":(%d+)$")
    local before, idle = weigh(agent.pid)
    local _, out = replay.shell(("%s/load %s %d 512 %d"):format(build, port, REQUESTS, n))
    local after, peak = weigh(agent.pid)
    local load, r = cjson.decode(out), results[n]
    agent:stop()
    table.insert(r.cpu, (after - before) / load.spans * 1e6)
    table.insert(r.rate, load.spans / load.seconds)
    table.insert(r.p99, load.latency_us_p99)
    table.insert(r.idle, idle)
    table.insert(r.peak, peak)
  end
end

print(("%d runs of %d requests of 512 spans each, interleaved; medians (least to most)"):format(RUNS, REQUESTS))
print("rules  CPU us/span             spans/s   ack p99 us  idle PSS KiB  PSS after KiB")
local summary = {}
for i, n in ipairs(counts) do
  local r = results[n]
  local cpu, least, most = median(r.cpu)
  local entry = { rules = n, cpu_us_per_span = cpu, spans_per_second = median(r.rate), ack_us_p99 = median(r.p99),
    idle_pss_kib = median(r.idle), pss_kib = median(r.peak) }
  print(("%5d  %6.3f (%5.3f to %5.3f)  %9.0f  %10.0f  %12d  %13d"):format(n, cpu, least, most, entry.spans_per_second, entry.ack_us_p99,
    entry.idle_pss_kib, entry.pss_kib))
  summary[i] = entry
end
print(cjson.encode(summary))
