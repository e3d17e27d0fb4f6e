--- What `fluo tune` prints, as text and as JSON.
local quote = require("fluo.diagnostic").quote
local survey = require("fluo.cli.survey")

local M = {}

local GROUPS_SHOWN = 10
local UPPER, LOWER = { 0.5, 0.9, 0.95, 0.99, 0.999, 1 }, { 0.5, 0.1, 0.05, 0.01, 0.001, 0 }

local function number(x) return (("%.6g"):format(x):gsub("e%+?0*(%d)", "e%1")) end

local function with_unit(c, x) return number(x) .. (c.unit ~= "" and " " .. c.unit or "") end

--- "duration gt 300 ms"
function M.threshold(c, x) return c.what .. " " .. with_unit(c, x) end

local function counted(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

local function time_of(ns)
  local s = math.floor(ns / 1e9)
  if s < 120 then return counted(s, "second") end
  if s < 7200 then return counted(math.floor(s / 60), "minute") end
  if s < 172800 then return counted(math.floor(s / 3600), "hour") end
  return counted(math.floor(s / 86400), "day")
end

local function quantiles_of(c)
  return (c.compare == "GT" or c.compare == "GE") and UPPER or LOWER
end

local function quantile_name(q) return q == 1 and "max" or q == 0 and "min" or "p" .. number(q * 100) end

-- ---- text ----------------------------------------------------------------------------------------

local function clean(text) return (text:gsub("%c", "?")) end

-- Columns to the right, the first to the left.
local function lines_of(rows, out)
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, #cell) end
  end
  for _, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      local space = (" "):rep(widths[i] - #cell)
      cells[i] = i == 1 and cell .. space or space .. cell
    end
    out[#out + 1] = ("  " .. table.concat(cells, "  ")):gsub("%s+$", "")
  end
end

local function put_values(found, out)
  local c, rows, shown = found.comparison, {}, found.seen.groups
  if found.seen.all.count == 0 then
    out[#out + 1] = "\nno value of it could be told: the thresholds are around the present one"
    return
  end
  out[#out + 1] = ("\nvalues that were compared%s"):format(c.unit ~= "" and ", in " .. c.unit or "")
  local function put(name, values)
    local row = { name, ("%d"):format(values.count) }
    for i, q in ipairs(quantiles_of(c)) do row[i + 2] = number(values:quantile(q)) end
    rows[#rows + 1] = row
  end
  rows[1] = { "", "values" }
  for i, q in ipairs(quantiles_of(c)) do rows[1][i + 2] = quantile_name(q) end
  put("all", found.seen.all)
  for i = 1, #shown > 1 and math.min(#shown, GROUPS_SHOWN) or 0 do
    put(survey.cut(clean(shown[i].key), 60), shown[i].values)
  end
  lines_of(rows, out)
  if #shown > GROUPS_SHOWN then out[#out + 1] = ("  … and %d more groups"):format(#shown - GROUPS_SHOWN) end
end

local function put_table(found, out)
  local c, rows = found.comparison, { { "threshold", "violations", found.comparison.key .. "s", "of the values" } }
  for i, row in ipairs(found.rows) do
    rows[i + 1] = { with_unit(c, row.threshold), ("%d"):format(row.violations), ("%d"):format(row.keys),
      row.beyond and ("%.3g %%"):format(row.beyond * 100) or "-",
      (row.threshold == c.value and "now" or "") .. (row == found.suggestion and "  <- suggested" or "") }
    if rows[i + 1][5] == "" then rows[i + 1][5] = nil end
  end
  out[#out + 1] = ""
  lines_of(rows, out)
end

local function row_at(found, threshold)
  for _, row in ipairs(found.rows) do
    if row.threshold == threshold then return row end
  end
end

local function fires(row)
  return row.violations == 0 and "does not fire" or "fires " .. counted(row.violations, "time")
end

--- Why this one: a sentence.
function M.reason(found)
  local c, s = found.comparison, found.suggestion
  local now, bound = row_at(found, c.value), ("at most %d a day"):format(found.per_day)
  local history = "in this history of " .. time_of(found.seen.span_ns)
  if not s then
    return ("none of these: each fires more than %d a day %s; the rule needs more than another number"):format(
      found.per_day, history)
  elseif s == now then
    return ("keep %s: it %s %s, %s"):format(M.threshold(c, c.value), fires(s), history, bound)
  end
  return ("%s: it %s %s, %s; %s %s"):format(M.threshold(c, s.threshold), fires(s), history, bound,
    with_unit(c, c.value), fires(now))
end

function M.text(found)
  local c = found.comparison
  local out = { ("rule `%s`: %s, in %s of history"):format(clean(found.rule), M.threshold(c, c.value),
    time_of(found.seen.span_ns)) }
  if found.of > 1 then
    out[1] = out[1] .. (" (comparison %d of %d; --comparison=N is for another)"):format(found.index, found.of)
  end
  put_values(found, out)
  put_table(found, out)
  out[#out + 1] = "\nsuggestion: " .. M.reason(found)
  return table.concat(out, "\n") .. "\n"
end

-- ---- JSON ----------------------------------------------------------------------------------------

local function exact(x) return (("%.17g"):format(x)) end

local function values_of(c, key, values)
  local parts = {}
  if key then parts[1] = ('"group":%s'):format(quote(key)) end
  parts[#parts + 1] = ('"count":%d'):format(values.count)
  for _, q in ipairs(values.count > 0 and quantiles_of(c) or {}) do
    parts[#parts + 1] = ('"%s":%s'):format(quantile_name(q), exact(values:quantile(q)))
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function row_json(c, row)
  return ('{"threshold":%s,"violations":%d,"%ss":%d%s}'):format(exact(row.threshold), row.violations, c.key, row.keys,
    row.beyond and (',"beyond":%s'):format(exact(row.beyond)) or "")
end

function M.json(found)
  local c, groups, rows = found.comparison, {}, {}
  for i, group in ipairs(found.seen.groups) do groups[i] = values_of(c, group.key, group.values) end
  for i, row in ipairs(found.rows) do rows[i] = row_json(c, row) end
  return ('{"rule":%s,"comparison":%s,"unit":%s,"present":%s,"history_seconds":%s,"per_day":%d,"values":%s,'
    .. '"groups":[%s],"table":[%s],"suggestion":%s,"reason":%s}\n'):format(quote(found.rule), quote(c.what),
    quote(c.unit), exact(c.value), exact(found.seen.span_ns / 1e9), found.per_day, values_of(c, nil, found.seen.all),
    table.concat(groups, ","), table.concat(rows, ","),
    found.suggestion and row_json(c, found.suggestion) or "null", quote(M.reason(found)))
end

return M
