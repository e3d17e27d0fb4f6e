--- Ordinary load beside whatever else the agent is put through: what attacks.lua and misbehaving.lua have in common.
-- The load generator goes first on the machine, so that a request's time is the agent's and not the generator's own
-- wait for a processor; both sides of a ratio are measured so.
local cjson = require("cjson")
local harness = require("spec.agent.harness")
local hostile = require("spec.agent.hostile")
local replay = require("spec.replay")

local M = {}

M.RUNS = tonumber(os.getenv("BENCH_RUNS") or 3)
M.SECONDS = tonumber(os.getenv("BENCH_SECONDS") or 1)
M.ONLY = os.getenv("BENCH_ONLY")                        -- a pattern: only the rows whose name it is found in
M.BUILD = os.getenv("BUILD") or "build"
M.CAP_MIB = 64 + 32                                     -- buffer.bytes_max, and what all processes may take beyond it
local SHARE = 0.3
local program = M.BUILD .. "/load"
assert(os.execute(("cc -O2 -D_GNU_SOURCE -pthread -o %s spec/bench/load.c spec/bench/payload.c"):format(program)))

function M.load(port, options)
  local _, out, err = replay.shell(("%s --connections=4 %s %s"):format(program, options, port))
  assert(out ~= "", err)
  return cjson.decode(out)
end

--- Ordinary load for a run, at so many spans a second.
function M.ordinary(port, rate) return M.load(port, ("--first --seconds=%d --rate=%d"):format(M.SECONDS, rate)) end

--- Starts an agent, has `what` done with it, ends it, and hands back what that returned, with the agent's weight. The
-- books are looked at when it ends; where they are not exact, or it is dead, this throws.
function M.with_agent(options, what)
  options.flags = options.flags or { "--output.violations=none" }
  local agent = assert(harness.start(options))
  local result = what(agent, agent.otlp:match(":(%d+)$"))
  result.peak_mib = hostile.weigh(agent) / 1024
  local _, totals, status = agent:stop()
  assert(status == 0 and totals, "the agent did not live")
  return result
end

--- 30 % of what the agent takes at most, in spans a second; and that.
function M.rate(options)
  local most = {}
  for i = 1, 3 do
    most[i] = M.with_agent(options, function(_, port)
      local load = M.load(port, "--requests=1500")
      return { rate = load.spans / load.seconds }
    end)
  end
  local saturation = M.median(most, "rate")
  return saturation * SHARE, saturation
end

--- And the largest.
function M.median(list, key)
  local values = {}
  for i, run in ipairs(list) do values[i] = run[key] end
  table.sort(values)
  return values[math.floor(#values / 2) + 1], values[#values]
end

function M.wanted(name) return not M.ONLY or name:find(M.ONLY) ~= nil end

--- One line of the table, and its head: p99 of acks in us.
M.HEAD = "                                       p99 of acks, ms\n"
  .. "                                      alone  beside   ratio   failed  peak MiB"
function M.line(row, more)
  print(("%-36s  %5.1f  %6.1f  %6.2f  %7d  %8.1f  %s"):format(row.name, row.p99_us_alone / 1e3, row.p99_us / 1e3, row.ratio,
    row.failed, row.peak_mib, more or ""))
  io.flush()
end

--- Throws where a row's agent was heavier than it may be.
function M.light(rows, cap_mib)
  for _, row in ipairs(rows) do assert(row.peak_mib <= cap_mib, ("%s: %.1f MiB"):format(row.name, row.peak_mib)) end
end

return M
