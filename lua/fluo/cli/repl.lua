--- `fluo repl`: tries what stands after `when =` on recorded traces. Each line becomes the one rule of a file that
-- `fluo replay` judges, in processes of its own as ever: there is no second evaluator, and a loop without an end is
-- stopped there.
local abi = require("fluo.abi")
local engine = require("fluo.testing.engine")
local field = require("fluo.field")
local reference = require("fluo.reference")
local survey = require("fluo.cli.survey")

local M = {}

local EXIT_FAILED = 1
-- What is shown of what matched; bytes of all that Tab knows; attributes shown of a span.
local SHOWN, WORDS_BYTES_MAX, ATTRIBUTES_SHOWN = 5, 1048576, 4
local SPAN_ATTRIBUTES = 9
local PROMPT = "fluo> "

local ffi = abi.ffi
pcall(ffi.cdef, "int isatty(int);")

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local Repl = {}
Repl.__index = Repl

--- flags: those of `fluo replay`; out: a file.
function M.new(path, flags, out)
  local words = {}
  for i, flag in ipairs(flags) do words[i] = quote(flag) end
  local stem = os.tmpname()
  return setmetatable({ path = path, flags = table.concat(words, " "), out = out, stem = stem, rules = stem .. ".lua" },
    Repl)
end

function Repl:close()
  os.remove(self.stem)
  os.remove(self.rules)
end

function Repl:say(format, ...) self.out:write(format:format(...), "\n") end

-- ---- judging ------------------------------------------------------------------------------------

-- What is judged: the text stands in a line of its own, so that its columns are the author's.
local function rule_of(text) return ('rule "repl" { when =\n%s\n}\n'):format(text) end

local function hex(bytes, n)
  local digits = {}
  for i = 0, n - 1 do digits[#digits + 1] = ("%02x"):format(bytes[i]) end
  return table.concat(digits)
end

-- A violation as far as it is needed. Quotes in texts are escaped, so a key found like this is one.
local function violation_of(line)
  local v = { scope = line:match('"scope":"(%a+)"'), trace_id = line:match('"trace_id":"(%x+)"'), spans = {} }
  local spans = line:match('"spans":%[(.-)%],"span_total"') or ""
  for id in spans:gmatch('"span_id":"(%x+)"') do v.spans[#v.spans + 1] = id end
  return v
end

-- { count, first = violations, status, said = what came on stderr }
function Repl:judge(text)
  local file = assert(io.open(self.rules, "wb"))
  file:write(rule_of(text))
  file:close()
  local command = "%s replay %s --rules=%s -- %s 2>%s </dev/null; echo status $?"
  local pipe = assert(io.popen(command:format(engine.program(), self.flags, quote(self.rules), quote(self.path),
    quote(self.stem))))
  local result = { count = 0, first = {} }
  for line in pipe:lines() do
    result.status = tonumber(line:match("^status (%d+)$")) or result.status
    if line:sub(1, 1) == "{" then
      result.count = result.count + 1
      if result.count <= SHOWN then result.first[result.count] = violation_of(line) end
    end
  end
  pipe:close()
  result.said = abi.read(self.stem, 65536) or ""
  return result
end

-- What was said, without the places that are not the author's; the caret stays below his text.
function Repl:complain(said)
  local ours = false
  for line in said:gmatch("[^\n]+") do
    local number, rest = line:match("^" .. self.rules:gsub("%p", "%%%0") .. ":(%d+):%d+: (.*)$")
    if number then
      ours = number ~= "2"
      self:say("%s", rest)
    elseif not ours and not line:find("the rules did not load", 1, true) then
      self:say("%s", (line:gsub("^fluo: ", "")))
    end
  end
end

-- ---- showing ------------------------------------------------------------------------------------

-- The keys that the text speaks of: words, and what stands in quotes, and other names that conventions have for them.
local function keys_of(text)
  local keys = {}
  local function add(word)
    keys[word] = true
    for i = 0, 15 do
      local other = abi.C.fluo_renamed(word, #word, i)
      if other == nil then break end
      keys[ffi.string(other)] = true
    end
  end
  for word in text:gmatch("[%a_][%w_]*") do add(word) end
  for word in text:gmatch('"([^"]+)"') do add(word) end
  return keys
end

local pair, key, value = ffi.new("struct fluo_item"), ffi.new("struct fluo_item"), ffi.new("struct fluo_value")

local function attributes_of(span, keys)
  local shown, message = {}, span.message
  pair.next = 0
  while #shown < ATTRIBUTES_SHOWN and abi.C.fluo_item_next(message.text, message.len, SPAN_ATTRIBUTES, pair) ~= 0 do
    abi.C.fluo_key_value(pair.text, pair.len, key, value)
    local name = ffi.string(key.text, math.min(key.len, 256))
    local text = keys[name] and survey.shown(value)
    if text then shown[#shown + 1] = ("%s=%s"):format(survey.cut(name, 60), text) end
  end
  return table.concat(shown, " ")
end

local STATUSES = { [0] = "", " OK", " ERROR" }

local function line_of(span, trace_id, keys)
  local function short(item) return survey.cut(ffi.string(item.text, math.min(item.len, 100)), 60) end
  local name, service = span.name.len > 0 and short(span.name) or "", span.service.text ~= nil and short(span.service)
  local ns = span.end_ns > span.start_ns and tonumber(span.end_ns - span.start_ns) or 0
  local text = ("%s  %s  %s  %.6g ms%s  %s"):format(trace_id:sub(1, 8), service or "-", name, ns / 1e6,
    STATUSES[span.status] or "", attributes_of(span, keys))
  return (text:gsub("%s+$", ""))
end

-- The spans of these violations as text, by trace and span id.
function Repl:spans(violations, keys)
  local wanted, left = {}, 0
  for _, v in ipairs(violations) do
    for _, id in ipairs(v.spans) do
      local both = (v.trace_id or "") .. id
      if not wanted[both] then wanted[both], left = true, left + 1 end
    end
  end
  if left == 0 then return wanted end
  survey.each(self.path, function(span)
    local trace_id = hex(span.trace_id, 16)
    local both = trace_id .. hex(span.span_id, 8)
    if wanted[both] == true then
      wanted[both], left = line_of(span, trace_id, keys), left - 1
    end
    return left > 0
  end)
  return wanted
end

local function counted(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

function Repl:show(result, text)
  local first = result.first[1]
  local of_spans = first and first.scope == "span"
  if not first then return self:say("nothing matches") end
  self:say("%s", counted(result.count, of_spans and "span" or first.scope == "trace" and "trace" or "violation"))
  local lines = self:spans(result.first, keys_of(text))
  for _, v in ipairs(result.first) do
    if not of_spans then self:say("  trace %s", v.trace_id or "-") end
    for i = 1, math.min(#v.spans, SHOWN) do
      local line = lines[(v.trace_id or "") .. v.spans[i]]
      if type(line) == "string" then self:say("  %s%s", of_spans and "" or "  ", line) end
    end
  end
  if result.count > #result.first then self:say("  … and %d more", result.count - #result.first) end
end

--- Tries one line: true; false: it could not be judged, and why was said.
function Repl:try(text)
  local result = self:judge(text)
  self:complain(result.said)
  if result.status == 0 then self:show(result, text) end
  return result.status == 0
end

-- ---- reading ------------------------------------------------------------------------------------

--- All that Tab knows, sorted: fields, what rules see, and names, keys and values of the file.
function M.words(found)
  local known, list, bytes = {}, {}, 0
  local function add(word)
    if known[word] or word:find("%z") or word == "" or bytes + #word > WORDS_BYTES_MAX then return end
    known[word], list[#list + 1], bytes = true, word, bytes + #word + 1
  end
  for _, name in ipairs(field.SPAN_NAMES) do add(name) end
  for _, names in ipairs { field.STATUSES, field.KINDS } do
    for _, name in ipairs(names) do add(name) end
  end
  for _, global in ipairs(reference.globals) do
    if global.where ~= "spec" then add(global[1]) end
  end
  for _, class in ipairs(reference.classes) do
    for i = 3, #class do add(class[i][1]) end
  end
  for _, of in ipairs { found.services, found.names, found.span, found.resource, found.event, found.link } do
    for _, entry in ipairs(survey.sorted(of)) do
      add(entry.name)
      for _, example in ipairs(entry.examples or {}) do add(example) end
    end
  end
  table.sort(list)
  return list
end

-- A function that gives the next line, nil at the end.
local function reader(found)
  if ffi.C.isatty(0) == 0 or ffi.C.isatty(1) == 0 then return function() return io.read("*l") end end
  if abi.C.fluo_line_open() == 0 then
    return function()
      io.write(PROMPT)
      io.flush()
      return io.read("*l")
    end
  end
  local words = table.concat(M.words(found), "\0") .. "\0"
  local function read()
    local line = abi.C.fluo_line_read(PROMPT, words)
    return line ~= nil and ffi.string(line) or nil
  end
  -- It calls back into the core, which compiled code is not told of.
  require("jit").off(read)
  return read
end

local function greet(path, found)
  local said = "%s in %s; try a pattern or a condition, as after `when =`: { status = \"ERROR\" }. Ctrl-D ends.\n"
  io.stderr:write(said:format(counted(found.spans, "span"), path))
end

--- config: what fluo.config resolved. 0; 1: the file is no recording, or, from a pipe, a line could not be judged.
function M.run(config)
  local path = config.arguments[1].text
  local found, why = survey.of_file(path)
  if not found then
    io.stderr:write("fluo: ", why, "\n")
    return EXIT_FAILED
  end
  local repl, people = M.new(path, require("fluo.cli.test").flags(config), io.stdout), ffi.C.isatty(0) ~= 0
  local read, good = reader(found), true
  if people then greet(path, found) end
  for line in read do
    if line:find("%S") then good = repl:try(line) and good end
    if not io.stdout:flush() then break end
  end
  if people then io.stdout:write("\n") end
  repl:close()
  return (good or people) and 0 or EXIT_FAILED
end

return M
