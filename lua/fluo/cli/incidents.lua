--- `fluo incidents`, and `fluo ack`, `fluo resolve`, which change one.
local agent = require("fluo.cli.agent")

local M = {}

local EXIT_FAILED = 1
local SHOWN = 50

local function row(i, now)
  return { agent.short(i.id), i.status, i.severity, agent.clean(i.rule), ("%d"):format(i.count),
           agent.ago(i.last_seen_at, now), agent.labels(i.group) }
end

--- A page of incidents as text.
function M.text(page, now)
  if #page.incidents == 0 then return "no incident\n" end
  local rows = { { "ID", "STATUS", "SEVERITY", "RULE", "COUNT", "LAST", "GROUP" } }
  for _, incident in ipairs(page.incidents) do rows[#rows + 1] = row(incident, now) end
  return agent.columns(rows) .. (page.next and "… and more: --limit shows them\n" or "")
end

--- config: what fluo.config resolved. 0; 1: no agent, or it refused.
function M.run(config)
  local flags = config.flags
  local status = flags.status or "active"
  local page, text = agent.ask(config, "GET", "incidents" .. agent.query {
    { "rule", flags.rule }, { "severity", flags.severity }, { "status", status ~= "all" and status },
    { "since", flags.since and agent.time_in(-flags.since / 1e9) }, { "limit", flags.limit or SHOWN } })
  if not page then
    agent.say(text)
    return EXIT_FAILED
  end
  io.stdout:write(flags.json and text or M.text(page))
  return 0
end

--- how: "ack" or "resolve".
function M.change(config, how)
  local incident, text = agent.find(config, { "incidents" }, config.arguments[1].text)
  if incident then incident, text = agent.ask(config, "POST", ("incidents/%s/%s"):format(incident.id, how)) end
  if not incident then
    agent.say(text)
    return EXIT_FAILED
  end
  io.stdout:write(config.flags.json and text or ("%s  %s  %s  %s\n"):format(agent.short(incident.id), incident.status,
    agent.clean(incident.rule), agent.labels(incident.group)))
  return 0
end

return M
