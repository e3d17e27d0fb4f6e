--- `fluo show`: an incident with its newest violations, or a violation with its trace.
local abi = require("fluo.abi")
local agent = require("fluo.cli.agent")
local waterfall = require("fluo.cli.waterfall")
local ffi = abi.ffi

local M = {}

pcall(ffi.cdef, "int isatty(int);")

local EXIT_FAILED = 1

local function coloured() return ffi.C.isatty(1) ~= 0 and (os.getenv("NO_COLOR") or "") == "" end

local function time_of(text) return (text:gsub("%.%d+Z$", "Z")) end

local function span_text(span) return (span.service and span.service .. "  " or "") .. span.name end

-- ---- a violation --------------------------------------------------------------------------------

local function number(x) return (("%.6g"):format(x)) end

local function put(lines, name, text)
  if text and text ~= "" then lines[#lines + 1] = ("%-10s%s"):format(name, agent.clean(text)) end
end

local function put_cause(lines, v)
  if not v.cause then return end
  put(lines, "cause", span_text(v.cause) .. (v.cause.message and ": " .. v.cause.message or ""))
  for _, span in ipairs(v.impact or {}) do put(lines, "  reached", span_text(span)) end
  for i, link in ipairs(v.chain or {}) do
    put(lines, i == 1 and "chain" or "", time_of(link.time) .. "  " .. span_text(link))
  end
end

local function facts(v)
  local lines = { agent.clean(("violation %s of %s"):format(v.id, v.rule)) }
  put(lines, "severity", v.severity .. (v.shadow and ", in shadow" or ""))
  put(lines, "time", time_of(v.time))
  put(lines, "incident", v.incident)
  put(lines, "group", v.group and agent.labels(v.group))
  put(lines, "value", v.value and number(v.value) .. (v.threshold and ", limit " .. number(v.threshold) or ""))
  put(lines, "reason", v.reason)
  put(lines, "summary", v.summary)
  put_cause(lines, v)
  return lines
end

local function marks_of(v)
  local marks = { witness = {}, cause = {} }
  for _, span in ipairs(v.spans or {}) do marks.witness[span.span_id] = true end
  if v.cause then marks.cause[v.cause.span_id] = true end
  return marks
end

-- "9 of 12 spans, cut, 1 trace gone": of what is kept.
local function extent_of(kept)
  local part = kept.spans_total and kept.spans_total > kept.spans and (" of %d"):format(kept.spans_total) or ""
  local gone = kept.traces_missing or 0
  local noun = (kept.spans_total or kept.spans) == 1 and "span" or "spans"
  return ("%d%s %s%s%s"):format(kept.spans or 0, part, noun, kept.cut and ", cut" or "",
    gone > 0 and (", %d trace%s gone"):format(gone, gone > 1 and "s" or "") or "")
end

-- What there is of its trace is said, and what is not. What silence broke, or the agent says of itself, has none.
local function put_trace(lines, v, trace)
  if not v.trace_id and #(v.spans or {}) == 0 then return end
  local extent = trace and extent_of(trace.fluo and trace.fluo.evidence or {}) or "which was not kept"
  local tree, shown = waterfall.lines(trace or {}, marks_of(v), coloured())
  put(lines, "trace", (v.trace_id or "several") .. ", " .. extent)
  for _, line in ipairs(tree) do lines[#lines + 1] = line end
  for _, span in ipairs(v.spans or {}) do
    if not shown[span.span_id] then lines[#lines + 1] = "  *      gone  " .. agent.clean(span_text(span)) end
  end
end

-- Its trace as the agent has it: as a table and as text; or nil.
local function trace_of(config, v)
  if not v.evidence then return nil end
  return agent.ask(config, "GET", ("violations/%s/evidence"):format(v.id))
end

--- A violation as text; trace: OTLP, or nil.
function M.violation(v, trace)
  local lines = facts(v)
  put_trace(lines, v, trace)
  return table.concat(lines, "\n") .. "\n"
end

-- ---- an incident --------------------------------------------------------------------------------

local function put_times(lines, i)
  local times = { "first " .. time_of(i.started_at), "last " .. time_of(i.last_seen_at) }
  if i.acknowledged_at then times[#times + 1] = "acknowledged " .. time_of(i.acknowledged_at) end
  if i.resolved_at then times[#times + 1] = "resolved " .. time_of(i.resolved_at) end
  put(lines, "times", table.concat(times, ", "))
end

--- An incident as text.
function M.incident(i)
  local lines = { agent.clean(("incident %s of %s"):format(i.id, i.rule)) }
  put(lines, "status", i.status .. (i.shadow and ", in shadow" or ""))
  put(lines, "severity", i.severity)
  put(lines, "group", agent.labels(i.group))
  put(lines, "labels", agent.labels(i.labels or {}))
  put(lines, "count", ("%d"):format(i.count) .. (i.reopened and (", reopened %d times"):format(i.reopened) or ""))
  put_times(lines, i)
  put(lines, "summary", i.summary)
  for k, v in ipairs(i.violations or {}) do
    local said = v.summary or v.reason or ""
    put(lines, k == 1 and "newest" or "", ("%s  %s  %s"):format(agent.short(v.id), time_of(v.time), said))
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- the command --------------------------------------------------------------------------------

-- As the ledger has it: what an incident carries of its newest one lacks whether there is evidence.
local function newest_of(config, incident)
  local newest = incident.violations and incident.violations[1]
  return newest and agent.ask(config, "GET", "violations/" .. newest.id)
end

local function text_of(config, thing, kind)
  if kind == "violations" then return M.violation(thing, (trace_of(config, thing))) end
  local newest = newest_of(config, thing)
  return M.incident(thing) .. (newest and "\n" .. M.violation(newest, (trace_of(config, newest))) or "")
end

local function json_of(config, thing, kind)
  local _, text = agent.ask(config, "GET", kind .. "/" .. thing.id)
  if kind == "incidents" or not thing.evidence then return text end
  local trace, trace_text = trace_of(config, thing)
  if not trace then return text end
  return text:gsub("}%s*$", "") .. ',"trace":' .. trace_text:gsub("%s+$", "") .. "}\n"
end

--- config: what fluo.config resolved. 0; 1: no agent, or none of this id, or several.
function M.run(config)
  local thing, kind = agent.find(config, { "incidents", "violations" }, config.arguments[1].text)
  if not thing then
    agent.say(kind)
    return EXIT_FAILED
  end
  io.stdout:write((config.flags.json and json_of or text_of)(config, thing, kind))
  return 0
end

return M
