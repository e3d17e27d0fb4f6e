--- `fluo tune`: how often a rule would have fired on recorded traces, at which threshold. Each threshold is a replay of
-- its own, by the engine that judges live, of the rule with that one number changed (fluo/tune.lua): nothing is
-- reckoned here but which thresholds to try, and what to make of it.
local engine = require("fluo.testing.engine")
local sample = require("fluo.cli.sample")
local report = require("fluo.cli.tune_report")

local M = {}

local EXIT_FAILED = 1
local GROUPS_MAX = 1000                                    -- whose values are kept apart; all of them count
local DAY_NS = 86400e9
local USUAL = 0.1                                          -- what more values than that are beyond is no exception

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function say(text)
  io.stderr:write("fluo: ", text, "\n")
  return EXIT_FAILED
end

-- ---- asking --------------------------------------------------------------------------------------

-- The lines of a program, each handed out; its status.
local function each_line(command, take)
  local pipe, status = assert(io.popen(command .. " </dev/null; echo status $?")), EXIT_FAILED
  for line in pipe:lines() do
    local ended = line:match("^status (%d+)$")
    if ended then status = tonumber(ended) else take(line) end
  end
  pipe:close()
  return status
end

local LINE = "^(%d+)\t(%u+)\t(%S+)\t(%a*)\t(%d)\t(%S*)\t(%S*)\t(%a+)\t(.*)$"

-- The rule's comparisons, or nil: what is wrong was said.
local function comparisons(config, rule)
  local list = {}
  local command = "%s --internal-comparisons %s %s"
  command = command:format(engine.program(), quote(config.values.rules.value), quote(rule))
  local status = each_line(command, function(line)
    local _, compare, value, unit, whole, least, most, key, what = line:match(LINE)
    list[#list + 1] = { compare = compare, value = tonumber(value), unit = unit, whole = whole == "1",
                        least = tonumber(least), most = tonumber(most), key = key, what = what }
  end)
  return status == 0 and list or nil
end

-- A replay of the changed rule. take(value or nil, key) of each violation. first, last arrival; nil: it failed.
local function pass(config, index, value, take)
  local words, first, last = {}, nil, nil
  for i, flag in ipairs(require("fluo.cli.test").flags(config)) do words[i] = quote(flag) end
  words[#words + 1] = "--rules=" .. quote(config.values.rules.value)
  words[#words + 1] = "--"
  words[#words + 1] = quote(("tune:%d:%s:%s"):format(index, value and ("%.17g"):format(value) or "",
    config.arguments[1].text))
  for i = 2, #config.arguments do words[#words + 1] = quote(config.arguments[i].text) end
  local status = each_line(engine.program() .. " --internal-tune " .. table.concat(words, " "), function(line)
    local a, b, c = line:match("^([^\t]*)\t([^\t]*)\t(.*)$")
    if a == "end" then first, last = tonumber(b), tonumber(c) elseif a then take(tonumber(b), c) end
  end)
  if status ~= 0 then return nil end
  return first, last
end

-- ---- what there was ------------------------------------------------------------------------------

-- Every value that the rule would have compared: { all, groups = { { key, values } }, span_ns }, or nil.
local function observe(config, index, comparison)
  local seen = { all = sample.new(), groups = {} }
  local by_key = {}
  local first, last = pass(config, index, nil, function(value, key)
    if not value then return end
    seen.all:add(value)
    if comparison.key ~= "group" or key == "" then return end
    local group = by_key[key]
    if not group and #seen.groups < GROUPS_MAX then
      group = { key = key, values = sample.new() }
      by_key[key], seen.groups[#seen.groups + 1] = group, group
    end
    if group then group.values:add(value) end
  end)
  if not first then return nil end
  table.sort(seen.groups, function(a, b)
    if a.values.count ~= b.values.count then return a.values.count > b.values.count end
    return a.key < b.key
  end)
  seen.span_ns = last - first
  return seen
end

-- ---- thresholds ----------------------------------------------------------------------------------

local FACTORS = { 0.5, 0.75, 1.5, 2 }
local QUANTILES = { 0.5, 0.9, 0.95, 0.99, 0.999, 1 }

local function is_upper(c) return c.compare == "GT" or c.compare == "GE" end

-- Such as people write: three digits, or whole.
local function rounded(c, x)
  return c.whole and math.floor(x + 0.5) or tonumber(("%.3g"):format(x))
end

local function allowed(c, x)
  if c.least and (x < c.least or (x == c.least and c.least > 0 and not c.whole)) then return false end
  return not (c.most and x > c.most)
end

--- The thresholds to try, in order: the present one, some around it, and some of the values that there were, one of
-- which so many (most) are beyond.
function M.ladder(c, all, most)
  local known, list = { [c.value] = true }, { c.value }
  local function add(x)
    x = rounded(c, x)
    if known[x] or not allowed(c, x) then return end
    known[x], list[#list + 1] = true, x
  end
  for _, factor in ipairs(FACTORS) do add(c.value * factor) end
  for _, q in ipairs(all.count > 0 and QUANTILES or {}) do add(all:quantile(is_upper(c) and q or 1 - q)) end
  if all.count > most then
    local rare = (most + 0.5) / all.count
    add(all:quantile(is_upper(c) and 1 - rare or rare))
  end
  if all.count > 0 and c.compare == "GE" then add(all:quantile(1) * 1.1) end
  table.sort(list)
  return list
end

local function count_at(config, index, threshold)
  local row, keys = { threshold = threshold, violations = 0, keys = 0 }, {}
  local first = pass(config, index, threshold, function(_, key)
    row.violations = row.violations + 1
    if not keys[key] then keys[key], row.keys = true, row.keys + 1 end
  end)
  return first and row or nil
end

-- ---- suggesting ----------------------------------------------------------------------------------

-- A comparison below a negation, or one that must hold, breaks the other way round: the values beyond are the others.
local function turn(c, rows)
  local upper, first, last = is_upper(c), rows[1].violations, rows[#rows].violations
  if c.key == "group" or first == last or (first > last) == upper then return upper end
  for _, row in ipairs(rows) do row.beyond = row.beyond and 1 - row.beyond end
  return not upper
end

local function strict_first(c, rows)
  local upper, list = turn(c, rows), {}
  for i = 1, #rows do list[i] = rows[upper and #rows + 1 - i or i] end
  return list
end

--- The threshold that notices most without firing more than `most` times: going from the strictest one, before the
-- first that fires more often, and beyond which only the rare values lie. nil: even the strictest does. The present
-- one, where it does neither better nor worse.
function M.suggest(c, rows, most)
  local best
  for _, row in ipairs(strict_first(c, rows)) do
    if row.violations > most then break end
    local usual = row.beyond and row.beyond > USUAL
    local as_good = best and best.threshold == c.value and best.violations == row.violations
    if not usual and not as_good and row.violations >= (best and best.violations or 0) then best = row end
  end
  return best
end

-- ---- all of it -----------------------------------------------------------------------------------

local function choose(list, rule, index)
  if list[index] then return list[index] end
  local names = {}
  for i, c in ipairs(list) do names[i] = ("%d: %s"):format(i, report.threshold(c, c.value)) end
  say(("rule `%s` compares %d number%s: %s"):format(rule, #list, #list == 1 and "" or "s", table.concat(names, ", ")))
end

local function table_of(config, index, c, seen, most)
  local rows = {}
  for i, threshold in ipairs(M.ladder(c, seen.all, most)) do
    rows[i] = count_at(config, index, threshold)
    if not rows[i] then return nil end
    rows[i].beyond = seen.all.count > 0 and seen.all:share(c.compare, threshold) or nil
  end
  return rows
end

--- config: what fluo.config resolved. 0; 1: no such rule or comparison, bad input or rules.
function M.run(config)
  local rule, index, per_day = config.arguments[1].text, config.flags.comparison or 1, config.flags.per_day or 1
  local list = comparisons(config, rule)
  local c = list and choose(list, rule, index)
  if not c then return EXIT_FAILED end
  local seen = observe(config, index, c)
  local most = seen and per_day * math.max(1, seen.span_ns / DAY_NS)
  local rows = seen and table_of(config, index, c, seen, most)
  if not rows then return EXIT_FAILED end
  local found = { rule = rule, comparison = c, index = index, of = #list, seen = seen, rows = rows, per_day = per_day,
                  suggestion = M.suggest(c, rows, most) }
  local written = io.stdout:write(config.flags.json and report.json(found) or report.text(found)) and io.stdout:flush()
  return written and 0 or say("standard output cannot be written")
end

return M
