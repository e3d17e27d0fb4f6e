--- `make bench`: what a span costs over HTTP, how soon it is acknowledged and judged, and what the agent weighs.
-- Every run starts a fresh agent; all kinds of runs are interleaved, so that a slow minute of the machine falls on
-- all of them, and medians are printed with the least and the most, as a table and as JSON. CPU is the kernel's
-- accounting of all processes of the agent, from before the first span until the last trace is closed, judged
-- and freed. See spec/bench/README.md.
package.path = "lua/?.lua;./?.lua;" .. package.path
local cjson = require("cjson")
local ffi = require("ffi")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local rules = require("spec.bench.rules")
local socket = require("spec.agent.socket")

ffi.cdef "int mkfifo(const char *, unsigned);"

local RUNS = tonumber(os.getenv("BENCH_RUNS") or 5)
local SPANS = tonumber(os.getenv("BENCH_SPANS") or 3000000)        -- of a run as fast as possible
local SECONDS = tonumber(os.getenv("BENCH_SECONDS") or 10)         -- of a run at a rate
local IDLE_MS = 2000                                               -- from ready until idle is looked at
local build = os.getenv("BUILD") or "build"
local load_program, fifo = build .. "/load", build .. "/violations.fifo"
local rules_path = build .. "/bench-rules"                         -- a directory, and few neighbours
assert(os.execute(("cc -O2 -D_GNU_SOURCE -pthread -o %s spec/bench/load.c spec/bench/payload.c"):format(load_program)))
assert(os.execute("mkdir -p " .. rules_path))
os.remove(fifo)
assert(ffi.C.mkfifo(fifo, 384) == 0)
local reader = assert(io.open(fifo, "r+"))                         -- so that nobody waits to open it

local function number_after(path, key)
  local file = io.open(path)
  if not file then return 0 end                                    -- nor is anything read once the process has ended
  local value = ("\n" .. (file:read("*a") or "")):match("\n" .. key .. ":%s+(%d+)")
  file:close()
  return tonumber(value) or 0
end

local function processes(pid)
  local list, pipe = { pid }, io.popen("ls -d /proc/[0-9]*/status 2>/dev/null")
  for status in pipe:lines() do
    if number_after(status, "PPid") == pid then list[#list + 1] = tonumber(status:match("%d+")) end
  end
  pipe:close()
  return list
end

-- CPU in seconds, PSS and RSS in KiB, of the agent and its processes.
local function weigh(pid)
  local cpu, pss, rss = 0, 0, 0
  for _, p in ipairs(processes(pid)) do
    local file = io.open(("/proc/%d/schedstat"):format(p))
    cpu = cpu + tonumber(file:read("*l"):match("^%d+")) / 1e9
    file:close()
    pss = pss + number_after(("/proc/%d/smaps_rollup"):format(p), "Pss")
    rss = rss + number_after(("/proc/%d/smaps_rollup"):format(p), "Rss")
  end
  return cpu, pss, rss
end

local fds = ffi.new("struct spec_pollfd[1]")
local function wait(ms) ffi.C.poll(fds, 0, ms) end

-- Asks the page, which costs the agent a tenth of a millisecond, four times a second.
local function wait_until_empty(agent)
  repeat
    wait(250)
    local page = agent:metrics()
  until page.fluo_in_flight_spans == 0
end

local KINDS = {
  { name = "protobuf, 0 rules", rules = 0 },
  { name = "protobuf, 20 rules", rules = 20 },
  { name = "protobuf, 100 rules", rules = 100 },
  { name = "protobuf, 1000 rules", rules = 1000 },
  { name = "20 of 10,000 rules", rules = 10000, make = rules.many },
  { name = "JSON, 100 rules", rules = 100, load = "--json" },
  { name = "50,000 spans/s, 100 rules", rules = 100, load = "--rate=50000 --connections=4", rate = true },
  { name = "20 rules, 100 windows, 1,000 groups", rules = 100, make = rules.some_windows },
  { name = "20 rules, windows: 0.1 a span", rules = 100, make = rules.error_windows },
  { name = "20 rules, windows: 1 a span", rules = 100, make = rules.one_window },
  { name = "20 rules, windows: 12.5 a span", rules = 100, make = rules.all_windows },
  { name = "20 rules, windows: 100 groups", rules = 100, make = rules.service_windows },
  { name = "20 rules, windows: 18,500 groups", rules = 100, make = rules.plain_windows },
}
local ONLY = os.getenv("BENCH_ONLY")                               -- a pattern of names
for i = #KINDS, 1, -1 do
  if ONLY and not KINDS[i].name:find(ONLY) then table.remove(KINDS, i) end
end

local function one(kind)
  replay.write(rules_path .. "/rules.lua", (kind.make or rules.text)(kind.rules))
  local started = socket.now()
  local agent = assert(harness.start { rules = rules_path, flags = { "--trace.idle=1s", "--output.violations=" .. fifo } })
  local ready_ms = (socket.now() - started) * 1e3
  wait(IDLE_MS)
  local before, idle_pss, idle_rss = weigh(agent.pid)
  local amount = kind.rate and "--seconds=" .. SECONDS or "--requests=" .. math.floor(SPANS / 512)
  local command = ("%s %s %s --violations=%s %s"):format(load_program, kind.load or "", amount, fifo, agent.otlp:match(":(%d+)$"))
  local status, out, err = replay.shell(command)
  assert(status == 0, err)
  local _, peak_pss, peak_rss = weigh(agent.pid)
  wait_until_empty(agent)
  local load, after = cjson.decode(out), (weigh(agent.pid))
  local _, totals = agent:stop()
  return { cpu_us_per_span = (after - before) / load.spans * 1e6, spans_per_second = load.spans / load.seconds,
    bytes_per_span = load.bytes / load.spans, ack_us_p50 = load.ack_us_p50, ack_us_p99 = load.ack_us_p99,
    detect_us_p50 = load.detect_us_p50, detect_us_p99 = load.detect_us_p99, violations = load.violations, ready_ms = ready_ms,
    idle_pss_kib = idle_pss, idle_rss_kib = idle_rss, peak_pss_kib = peak_pss, peak_rss_kib = peak_rss,
    dropped = totals and totals.dropped_memory or -1 }
end

local function median(list, key)
  local values = {}
  for i, run in ipairs(list) do values[i] = run[key] end
  table.sort(values)
  return values[math.floor(#values / 2) + 1], values[1], values[#values]
end

local results = {}
for run = 1, RUNS do
  for i, kind in ipairs(KINDS) do
    results[i] = results[i] or {}
    results[i][run] = one(kind)
  end
end
reader:close()
os.remove(fifo)
os.execute("rm -r " .. rules_path)

print(("%d runs, interleaved: medians (least to most); %d spans as fast as possible on one connection, or %d s at a rate"):format(
  RUNS, SPANS, SECONDS))
print("                                     CPU us/span             spans/s  ack us     detection ms  ready  idle  peak PSS")
print("                                                                       p50   p99   p50    p99     ms   MiB   MiB    dropped")
local summary = {}
for i, kind in ipairs(KINDS) do
  local entry, list = { name = kind.name }, results[i]
  for key in pairs(list[1]) do entry[key] = median(list, key) end
  local cpu, least, most = median(list, "cpu_us_per_span")
  entry.cpu_us_least, entry.cpu_us_most = least, most
  print(("%-35s  %5.2f (%5.2f to %5.2f)  %8.0f  %4.0f %5.0f  %5.1f %5.1f  %5.0f  %5.1f  %5.1f  %d"):format(kind.name, cpu, least, most,
    entry.spans_per_second, entry.ack_us_p50, entry.ack_us_p99, entry.detect_us_p50 / 1e3, entry.detect_us_p99 / 1e3,
    entry.ready_ms, entry.idle_pss_kib / 1024, entry.peak_pss_kib / 1024, entry.dropped))
  summary[i] = entry
end
print(cjson.encode(summary))
