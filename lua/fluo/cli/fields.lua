--- `fluo fields`: what there is in traces that a rule can ask for.
local quote = require("fluo.diagnostic").quote
local survey = require("fluo.cli.survey")

local M = {}

local EXIT_FAILED = 1
local TOP, LIVE_S, LIVE_BYTES_MAX = 50, 10, 256 * 1048576
local MASK = "(not shown)"

local function say(text) io.stderr:write("fluo: ", text, "\n") end

-- Types of a key, the most frequent first: { { name, count } … }.
local function types_of(entry)
  local types = {}
  for name, count in pairs(entry.types or {}) do types[#types + 1] = { name = name, count = count } end
  table.sort(types, function(a, b)
    if a.count ~= b.count then return a.count > b.count end
    return a.name < b.name
  end)
  return types
end

-- ---- for people ---------------------------------------------------------------------------------

local TITLES = { span = "SPAN ATTRIBUTES", resource = "RESOURCE ATTRIBUTES", event = "EVENT ATTRIBUTES",
                 link = "LINK ATTRIBUTES", scope = "SCOPE ATTRIBUTES" }

local function examples_of(entry)
  if entry.examples.secret then return MASK end
  return table.concat(entry.examples, ", ")
end

local function row(entry)
  local cells = { survey.cut(entry.name, 60), tostring(entry.count) }
  if not entry.types then return cells end
  local names = {}
  for i, kind in ipairs(types_of(entry)) do names[i] = kind.name end
  cells[3], cells[4] = table.concat(names, ","), examples_of(entry)
  return cells
end

local function add_table(lines, title, of, top)
  local entries = survey.sorted(of)
  if #entries == 0 then return end
  local rows = { of.by[entries[1].name].types and { title, "COUNT", "TYPES", "VALUES" } or { title, "COUNT" } }
  for i = 1, math.min(top, #entries) do rows[#rows + 1] = row(entries[i]) end
  local width, kinds = 0, 0
  for _, cells in ipairs(rows) do
    width, kinds = math.max(width, #cells[1]), math.max(kinds, #(cells[3] or ""))
  end
  for _, cells in ipairs(rows) do
    local line = ("%-" .. width .. "s  %8s"):format(cells[1], cells[2])
    if cells[3] then line = ("%s  %-" .. kinds .. "s  %s"):format(line, cells[3], cells[4]) end
    lines[#lines + 1] = line:gsub("%s+$", "")
  end
  if #entries > top then lines[#lines + 1] = ("… and %d more (--top)"):format(#entries - top) end
  if of.more > 0 then lines[#lines + 1] = ("… and %d occurrences of others"):format(of.more) end
  lines[#lines + 1] = ""
end

function M.text(found, top)
  local lines = {}
  add_table(lines, "SERVICES", found.services, top)
  add_table(lines, "SPAN NAMES", found.names, top)
  for _, level in ipairs(survey.LEVELS) do add_table(lines, TITLES[level], found[level], top) end
  lines[#lines + 1] = ("%d span%s"):format(found.spans, found.spans == 1 and "" or "s")
  return table.concat(lines, "\n") .. "\n"
end

-- ---- for programs -------------------------------------------------------------------------------

local function json_entry(entry)
  local parts = { ('"name":%s,"count":%d'):format(quote(entry.name), entry.count) }
  if entry.types then
    local types, examples = {}, {}
    for i, kind in ipairs(types_of(entry)) do types[i] = ('"%s":%d'):format(kind.name, kind.count) end
    for i, text in ipairs(entry.examples) do examples[i] = quote(text) end
    parts[2] = ('"types":{%s},"values":[%s]'):format(table.concat(types, ","), table.concat(examples, ","))
    if entry.examples.secret then parts[3] = '"masked":true' end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function json_list(name, of, top)
  local entries, out = survey.sorted(of), {}
  for i = 1, math.min(top, #entries) do out[i] = json_entry(entries[i]) end
  return ('"%s":{"entries":[%s],"distinct":%d,"more":%d}'):format(name, table.concat(out, ","), #entries, of.more)
end

--- One object: spans, and each list with its entries, how many distinct ones there are, and occurrences (more) of
-- others that found no place.
function M.json(found, top)
  local parts = { ('"spans":%d'):format(found.spans), json_list("services", found.services, top),
                  json_list("names", found.names, top) }
  for _, level in ipairs(survey.LEVELS) do parts[#parts + 1] = json_list(level, found[level], top) end
  return "{" .. table.concat(parts, ",") .. "}\n"
end

-- ---- the command --------------------------------------------------------------------------------

-- Listens to the agent: the survey; or nil and why.
local function of_agent(config)
  local path = os.tmpname()
  local seconds = config.flags.duration and config.flags.duration / 1e9 or LIVE_S
  local recording, ended = require("fluo.cli.record").record(require("fluo.cli.agent").address(config), {
    out = path, target = "/api/v1/record", duration_s = seconds, max_bytes = LIVE_BYTES_MAX,
    on_open = function(shown) say(("listening to what %s receives for %g s"):format(shown, seconds)) end })
  local found, why
  if recording then
    found, why = survey.of_file(path)
    if recording.lost_lines > 0 then say(("%d spans came too fast to be seen"):format(recording.lost_spans)) end
  end
  os.remove(path)
  return found, why or ended
end

--- config: what fluo.config resolved. 0; 1: bad input, or no agent.
function M.run(config)
  local path, top = config.arguments[1].text, config.flags.top or TOP
  local found, why
  if path == "live" then found, why = of_agent(config) else found, why = survey.of_file(path) end
  if not found then
    say(why)
    return EXIT_FAILED
  end
  local written = io.stdout:write(config.flags.json and M.json(found, top) or M.text(found, top)) and io.stdout:flush()
  return written and 0 or EXIT_FAILED
end

return M
