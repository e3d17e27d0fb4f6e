--- `fluo query`: which spans of recorded traces a TraceQL selector leaves. The query becomes the one rule of a file
-- that `fluo replay` judges, so it finds what the rule would have found.
local allow = require("fluo.lint.allow")
local engine = require("fluo.testing.engine")
local ql = require("fluo.dialect.ql")

local M = {}

local EXIT_FAILED = 1

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- ---- the query ----------------------------------------------------------------------------------

-- Where the word at fault stands, when it stands there once.
local function column_of(text, word)
  local from, to = text:find(word or "", 1, true)
  if not word or word == "" or not from or text:find(word, to + 1, true) then return "" end
  return ("%d: "):format(from)
end

local function complain(text, message, hint, word)
  io.stderr:write(("fluo: the query: %s%s\n"):format(column_of(text, word), message))
  if hint then io.stderr:write("  hint: ", hint, "\n") end
end

-- What is wrong with it is told here, by its own places; nothing of it is said again by the replay.
local function check(text)
  local query, message, hint, word = ql.compile(text, function(_, said, advice)
    io.stderr:write(("fluo: warning: the query: %s%s\n"):format(said, advice and "; " .. advice or ""))
  end)
  if not query then complain(text, message, hint, word) end
  return query ~= nil
end

local function write_rule(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(("-- fluo: allow %s\nrule \"query\" { when = trace.ql %q }\n"):format(
    table.concat(allow.NAMES, ", "), text)))
  file:close()
end

-- ---- what it found ------------------------------------------------------------------------------

-- The JSON string whose first byte behind the quote is at `from`, as it is written: its escapes keep a terminal whole.
local function string_at(line, from)
  local at = from
  while true do
    at = line:find('["\\]', at)
    if line:sub(at, at) == '"' then return line:sub(from, at - 1) end
    at = at + 2
  end
end

local function key_at(line, key, from)
  local _, behind = line:find(('^,"%s":"'):format(key), from)
  local text = behind and string_at(line, behind + 1)
  return text, text and behind + #text + 2 or from
end

-- A violation as text: the trace, then a line a span.
local function print_violation(out, line)
  local total = tonumber(line:match('"span_total":(%d+)'))
  out:write(("%s  %d span%s\n"):format(line:match('"trace_id":"(%x+)"'), total, total == 1 and "" or "s"))
  local shown = 0
  local last = line:find('],"span_total":', 1, true)
  for id, at in line:sub(1, last):gmatch('{"span_id":"(%x+)"()') do
    local name, service
    name, at = key_at(line, "name", at)
    service = key_at(line, "service", at)
    out:write(("  %s  %s  %s\n"):format(id, service or "-", name or ""))
    shown = shown + 1
  end
  if shown < total then out:write(("  … and %d more\n"):format(total - shown)) end
end

local function replay(rules, config, out)
  local words = {}
  for i, flag in ipairs(require("fluo.cli.test").flags(config)) do words[i] = quote(flag) end
  words[#words + 1] = "--"
  for i = 2, #config.arguments do words[#words + 1] = quote(config.arguments[i].text) end
  local command = "%s replay --rules=%s %s </dev/null; echo status $?"
  local pipe = assert(io.popen(command:format(engine.program(), quote(rules), table.concat(words, " "))))
  local status = EXIT_FAILED
  for line in pipe:lines() do
    status = tonumber(line:match("^status (%d+)$")) or status
    if line:sub(1, 1) == "{" then
      if config.flags.json then out:write(line, "\n") else print_violation(out, line) end
    end
  end
  pipe:close()
  return status
end

--- config: what fluo.config resolved. 0, whether a span was found or not; 1: a wrong query or bad input.
function M.run(config)
  local text = config.arguments[1].text
  if not check(text) then return EXIT_FAILED end
  local stem = os.tmpname()
  local rules = stem .. ".lua"
  write_rule(rules, text)
  local status = replay(rules, config, io.stdout)
  os.remove(rules)
  os.remove(stem)
  return status
end

return M
