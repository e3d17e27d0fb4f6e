--- Explanations as text, for people, and as JSON. The JSON is explain.lua's data, documented in rules/README.md; the
-- text is at most COLUMNS wide.
local diagnostic = require("fluo.diagnostic")
local words = require("fluo.explain.words")

local M = {}

local COLUMNS = 100

-- ---- JSON ---------------------------------------------------------------------------------------

local encode

local ARRAYS = { parts = true, hints = true, notes = true, spans = true, nearest = true, entries = true,
                 services = true }

local function encode_array(list)
  local pieces = {}
  for i, value in ipairs(list) do pieces[i] = encode(value) end
  return "[" .. table.concat(pieces, ",") .. "]"
end

local KEYS = {
  "rule", "trace_id", "scope", "mode", "part", "kind", "text", "span_id", "name", "service", "start_ms", "duration_ms",
  "truth", "roots", "orphans", "span_total", "value", "hint", "alone", "found", "count", "hints", "services", "notes",
  "span", "holds", "of", "spans", "nearest", "entries", "more_parts", "parts",
}

function encode(value)
  if type(value) == "string" then return diagnostic.quote(value) end
  if type(value) ~= "table" then return type(value) == "number" and ("%.14g"):format(value) or tostring(value) end
  local pieces = {}
  for _, key in ipairs(KEYS) do
    local member = value[key]
    if member ~= nil then
      pieces[#pieces + 1] = diagnostic.quote(key) .. ":" .. (ARRAYS[key] and encode_array(member) or encode(member))
    end
  end
  return "{" .. table.concat(pieces, ",") .. "}"
end

--- One object, and a line end.
function M.json(e)
  return encode { rule = e.rule, trace_id = e.trace_id, scope = e.scope, mode = e.mode, truth = e.truth,
                  span_total = e.spans, services = e.services, duration_ms = tonumber(e.duration) / 1e6,
                  roots = e.roots, orphans = e.orphans, notes = e.notes, parts = e.parts } .. "\n"
end

-- ---- text ---------------------------------------------------------------------------------------

local MARKS = { ["true"] = "yes", ["false"] = "no ", unknown = "?  " }
local COLOURS = { ["true"] = "\27[32m", ["false"] = "\27[31m", unknown = "\27[33m" }

local Page = {}
Page.__index = Page

local function width(text) return #(text:gsub("[\128-\191]", "")) end

-- A paragraph: `first` before its first line, blanks before the others. A word is never cut.
function Page:put(indent, first, text, truth)
  local lead, line, lines = (" "):rep(indent) .. first, nil, {}
  local room = math.max(COLUMNS - width(lead), 20)
  for word in text:gmatch("%S+") do
    if line and width(line) + 1 + width(word) > room then
      lines[#lines + 1], line = line, word
    else
      line = line and line .. " " .. word or word
    end
  end
  lines[#lines + 1] = line or ""
  local colour = self.colour and COLOURS[truth]
  if colour then lead = (" "):rep(indent) .. colour .. first .. "\27[0m" end
  local blank = (" "):rep(indent + width(first))
  for i, one in ipairs(lines) do self[#self + 1] = (i == 1 and lead or blank) .. one end
end

function Page:entries(indent, list)
  for _, entry in ipairs(list) do
    local value = entry.value == "absent" and entry.text .. "; it is absent"
      or entry.value and ("%s; here: %s"):format(entry.text, entry.value) or entry.text
    self:put(indent, MARKS[entry.truth] .. "  ", value, entry.truth)
    if entry.hint then self:put(indent + 5, "hint: ", entry.hint) end
    self:entries(indent + 5, entry.parts or {})
  end
end

function Page:node(indent, node)
  local inner = indent + 5
  self:put(indent, MARKS[node.truth] .. "  ", node.text .. (node.alone and ", by itself" or ""), node.truth)
  if node.found then self:put(inner, "", node.found) end
  for _, hint in ipairs(node.hints or {}) do self:put(inner, "hint: ", hint) end
  for _, one in ipairs(node.spans or {}) do self:put(inner, "- ", one.text) end
  if node.spans and node.count > #node.spans then
    self:put(inner, "- ", ("and %s more"):format(words.counted(node.count - #node.spans, "span")))
  end
  for _, near in ipairs(node.nearest or {}) do
    self:put(inner, "nearest: ", ("%s, %d of %s"):format(near.span.text, near.holds,
      near.of == 1 and "1 entry" or ("%d entries"):format(near.of)))
    self:entries(inner + 2, near.entries)
  end
  for _, part in ipairs(node.parts or {}) do self:node(inner, part) end
  if node.more_parts then self:put(inner, "", ("and %d more parts"):format(node.more_parts)) end
end

-- What breaks an invariant.
local BROKEN = { always = "false", never = "true" }

local VERDICTS = { ["true"] = "violated", ["false"] = "not violated", unknown = "unknown, so not violated" }

local function of_page(e, colour)
  local page = setmetatable({ colour = colour }, Page)
  local across = e.scope == "window" or e.scope == "sequence"
  page:put(0, "", ("%s on trace %s: %s"):format(words.name(e.rule), e.trace_id,
    across and "not judged on one trace" or VERDICTS[e.truth]))
  page:put(2, "", ("%s of %s over %s; %s"):format(words.counted(e.spans, "span"),
    #e.services > 0 and words.value(e.services):sub(2, -2) or "no service", words.time(e.duration),
    words.counted(e.roots, "root") .. ", " .. words.counted(e.orphans, "orphan")))
  for _, note in ipairs(e.notes) do page:put(2, "note: ", note) end
  for _, node in ipairs(e.parts) do
    page:put(0, "", node.part .. (BROKEN[node.part] == node.truth and ", which is broken" or ""))
    page:node(2, node)
  end
  return table.concat(page, "\n") .. "\n"
end

function M.plain(e) return of_page(e, false) end
function M.colour(e) return of_page(e, true) end

return M
