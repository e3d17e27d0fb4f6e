--- `make bench-misbehaving`: what a rule that misbehaves costs the ingest of everybody. Ordinary load comes at 30 % of
-- what the agent takes at most, with 20 good rules; beside them stands one bad rule, which every span reaches. Runs
-- with and without it are interleaved; the ratio of the two p99 of acks is what is to stay below 2.
package.path = "lua/?.lua;./?.lua;" .. package.path
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local replay = require("spec.replay")
local rules = require("spec.bench.rules")

local RUNS = tonumber(os.getenv("BENCH_RUNS") or 3)
local SECONDS = tonumber(os.getenv("BENCH_SECONDS") or 3)
local SHARE = 0.3
local build = os.getenv("BUILD") or "build"
local load_program = build .. "/load"
assert(os.execute(("cc -O2 -D_GNU_SOURCE -pthread -o %s spec/bench/load.c spec/bench/payload.c"):format(load_program)))

local function of_span(body) return ('rule "bad" { when = function(s) %s end }'):format(body) end

local BAD = {
  { "loops, interpreted", of_span "while true do local t = { tostring(1) } end" },
  { "loops, compiled", of_span "local n = 0 repeat n = n + 1 until n < 0" },
  { "backtracks", of_span 'return (("a"):rep(4000) .. "b"):find((".-"):rep(50) .. "c")' },
  { "allocates without end", of_span "local t = {} for i = 1, 1e9 do t[i] = { i } end" },
  { "recurses", of_span "local function f() return f() + 1 end return f()" },
  { "throws", of_span 'error("boom " .. s.name)' },
  { "coroutine.wrap on itself", of_span "local function f() return coroutine.wrap(f)() + 1 end return f()" },
  { "returns nonsense", of_span "return { {}, 1, \"x\" }, 2" },
  { "keeps handles", "local kept = {}\n" .. of_span 'kept[#kept + 1] = s return kept[1].name == "never"' },
  { "writes to what it got", of_span "s.name = 1" },
  { "regular expression that backtracks", 'rule "bad" { when = { ["http.user_agent"] = matches "(M|Mo|o|z|i|l|a)*(.*)*X" } }' },
  { "satisfies that loops", 'rule "bad" { when = trace.satisfies(function(t) while true do end end) }' },
}

local function load_at(agent, options)
  local _, out, err = replay.shell(("%s --connections=4 %s %s"):format(load_program, options, agent.otlp:match(":(%d+)$")))
  assert(out ~= "", err)
  return cjson.decode(out)
end

local function run(text, options)
  local agent = assert(harness.start { rules = rules.text(20) .. text,
    flags = { "--output.violations=none" } })
  local load = load_at(agent, options)
  local _, totals, status = agent:stop()                   -- the books are looked at there
  assert(status == 0 and totals, text)
  return load
end

local function median(list, key)
  local values = {}
  for i, entry in ipairs(list) do values[i] = entry[key] end
  table.sort(values)
  return values[math.floor(#values / 2) + 1]
end

local most = {}
for i = 1, 3 do
  local load = run("", "--requests=1500")
  most[i] = { rate = load.spans / load.seconds }
end
local options = ("--seconds=%d --rate=%d"):format(SECONDS, median(most, "rate") * SHARE)
print(("%d runs of %d s, interleaved, at %s spans/s"):format(RUNS, SECONDS, options:match("%d+$")))
print("a rule that                           p99 without, ms   with   ratio")

local results = {}
for _, bad in ipairs(BAD) do
  local with, without = {}, {}
  for i = 1, RUNS do
    without[i] = run("", options)
    with[i] = run(bad[2], options)
  end
  local entry = { name = bad[1], p99_us = median(with, "ack_us_p99"), p99_us_without = median(without, "ack_us_p99") }
  entry.ratio = entry.p99_us / entry.p99_us_without
  results[#results + 1] = entry
  print(("%-36s  %15.2f  %5.2f  %6.2f"):format(entry.name, entry.p99_us_without / 1e3, entry.p99_us / 1e3, entry.ratio))
  io.flush()
end
print(cjson.encode(results))
