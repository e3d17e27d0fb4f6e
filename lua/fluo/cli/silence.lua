--- `fluo silence`: makes one, lists those in force, ends one.
local agent = require("fluo.cli.agent")

local M = {}

local EXIT_USAGE = 2

local function until_when(s)
  return s.until_resolved and "until resolved" or "until " .. s.ends_at:gsub("%.%d+", "")
end

local function text_of(page)
  if #page.silences == 0 then return "no silence is in force\n" end
  local rows = { { "ID", "ENDS", "HOLDS", "BY", "MATCHERS", "COMMENT" } }
  for _, s in ipairs(page.silences) do
    rows[#rows + 1] = { agent.short(s.id), until_when(s), ("%d"):format(s.incidents), agent.clean(s.created_by),
                        agent.clean(s.matchers), agent.clean(s.comment) }
  end
  return agent.columns(rows)
end

local function list(config)
  local page, text = agent.ask(config, "GET", "silences?status=active")
  return page and (config.flags.json and text or text_of(page)), text
end

local function finish(config, prefix)
  local silence, why = agent.find(config, { "silences" }, prefix)
  if not silence then return nil, why end
  local ended, text = agent.ask(config, "DELETE", "silences/" .. silence.id)
  return ended and (config.flags.json and text or agent.short(ended.id) .. "  has ended\n"), text
end

local function make(config, matchers)
  local flags = config.flags
  local made, text = agent.ask(config, "POST", "silences", { matchers = matchers, comment = flags.comment or "",
    created_by = agent.person(config), until_resolved = flags.until_resolved or nil,
    ends_at = flags["for"] and agent.time_in(flags["for"] / 1e9) or nil })
  return made and (flags.json and text
    or ("%s  %s, holds %d now\n"):format(agent.short(made.id), until_when(made), made.incidents)), text
end

-- What is to be done: a function of config; or nil and what is missing.
local function deed_of(first, second, flags)
  local ends = (flags["for"] and 1 or 0) + (flags.until_resolved and 1 or 0)
  if first == "list" then return not second and list or nil, "`fluo silence list` takes no more" end
  if first == "end" then
    return second and function(config) return finish(config, second) end, "which one? `fluo silence end ID`"
  end
  if second then return nil, "matchers are one text: put them in quotes" end
  return ends == 1 and function(config) return make(config, first) end, "until when? --for=2h, or --until-resolved"
end

--- config: what fluo.config resolved. 0; 1: no agent, or it refused; 2: wrong use.
function M.run(config)
  local second = config.arguments[2]
  local deed, missing = deed_of(config.arguments[1].text, second and second.text, config.flags)
  if not deed then
    agent.say(missing)
    return EXIT_USAGE
  end
  local text, why = deed(config)
  return agent.finish(text, why)
end

return M
