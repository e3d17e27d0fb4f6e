--- `fluo feedback`: says whether a violation was right, and lists what that has widened.
local agent = require("fluo.cli.agent")

local M = {}

local EXIT_USAGE = 2
local VERDICTS = { { "false_positive", "wrong" }, { "right", "right" }, { "revoke", "revoked" } }

local function text_of(page)
  if #page.widened == 0 then return "nothing is widened\n" end
  local rows = { { "RULE", "WIDENED", "WRONG", "RIGHT", "GROUP" } }
  for _, w in ipairs(page.widened) do
    rows[#rows + 1] = { agent.clean(w.rule), ("%.3f"):format(w.widened), ("%d"):format(w.wrong), ("%d"):format(w.right),
                        agent.labels(w.group) }
  end
  return agent.columns(rows)
end

local function list(config)
  local page, text = agent.ask(config, "GET", "widened")
  return page and (config.flags.json and text or text_of(page)), text
end

local function answer_of(said)
  local has_limit = not agent.is_null(said.group)
  local group = has_limit and agent.labels(said.group) or ""
  local widened = not has_limit and "; kept, for there is no limit to widen"
    or said.widened > 1 and ("; its group is widened to %.3f"):format(said.widened) or "; its limit is the rule's"
  return agent.clean(("%s  %s: %s%s  %s"):format(agent.short(said.violation), said.rule, said.verdict, widened, group))
    :gsub("%s+$", "") .. "\n"
end

local function say(config, prefix, verdict)
  local violation, why = agent.find(config, { "violations" }, prefix)
  if not violation then return nil, why end
  local said, text = agent.ask(config, "POST", ("violations/%s/feedback"):format(violation.id),
    { verdict = verdict, by = agent.person(config) })
  return said and (config.flags.json and text or answer_of(said)), text
end

-- What was said, and how often.
local function verdict_of(flags)
  local verdict, count = nil, 0
  for _, pair in ipairs(VERDICTS) do
    if flags[pair[1]] then verdict, count = pair[2], count + 1 end
  end
  return verdict, count
end

--- config: what fluo.config resolved. 0; 1: no agent, or it refused; 2: wrong use.
function M.run(config)
  local first = config.arguments[1].text
  local verdict, count = verdict_of(config.flags)
  if count ~= (first == "list" and 0 or 1) then
    agent.say("say one of --false-positive, --right, --revoke of a violation; `fluo feedback list` takes none")
    return EXIT_USAGE
  end
  local text, why
  if first == "list" then text, why = list(config) else text, why = say(config, first, verdict) end
  return agent.finish(text, why)
end

return M
