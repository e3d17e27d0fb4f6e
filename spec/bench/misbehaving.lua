--- `make bench-misbehaving`: what a rule that misbehaves costs the ingest of everybody. Ordinary load comes at 30 % of
-- what the agent takes at most, with 20 good rules; beside them stands one bad rule, which every span reaches. Runs
-- with and without it are interleaved; the ratio of the two p99 of acks is what is to stay below 2. What runs without a bad
-- rule is the same for all of them, and its p99 strays by three times from run to run: so all rows have the median of all
-- such runs.
package.path = "lua/?.lua;./?.lua;" .. package.path
local cjson = require("cjson")
local beside = require("spec.bench.beside")
local rules = require("spec.bench.rules")

local LUA_MIB = 64                                      -- what rules may hold before their worker is ended

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
  { "true of every span", 'rule "bad" { when = { ["http.method"] = exists }, summary = "{service}: {span.name}", '
    .. 'actions = { log "{span.name} took {span.duration} ms" } }' },
}

local function run(text, rate)
  return beside.with_agent({ rules = rules.text(20) .. text, flags = { "--output.violations=/dev/null" } },
    function(_, port) return beside.ordinary(port, rate) end)
end

local rate = beside.rate({ rules = rules.text(20) })
print(("%d runs of %d s, interleaved, at %d spans/s"):format(beside.RUNS, beside.SECONDS, rate))
print(beside.HEAD)

local results, without = {}, {}
for _, bad in ipairs(BAD) do
  if beside.wanted(bad[1]) then
    local with = {}
    for i = 1, beside.RUNS do
      without[#without + 1] = run("", rate)
      with[i] = run(bad[2], rate)
    end
    local _, peak = beside.median(with, "peak_mib")
    local _, failed = beside.median(with, "failed")
    results[#results + 1] = { name = bad[1], p99_us = beside.median(with, "ack_us_p99"), failed = failed, peak_mib = peak,
      generator = with[1].runs }
  end
end
local alone = beside.median(without, "ack_us_p99")
for _, entry in ipairs(results) do
  entry.p99_us_alone = alone
  entry.ratio = entry.p99_us / alone
  beside.line(entry)
end
print(cjson.encode(results))
beside.light(results, beside.CAP_MIB + LUA_MIB)
