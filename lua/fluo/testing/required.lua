--- `require_specs`: a rule file is taken only where its specs pass and each of its rules is shown to fire by one.
--
-- `fluo check` asks find itself. Where rules are loaded to be run, the rule process starts this program once more
-- (ask, main): specs never run in a process that will judge.
local loader = require("fluo.loader")

local M = {}

local OUTPUT_BYTES_MAX = 1048576

-- of: the rule file, or directory of rules, that is refused for it.
local function problem(of, file, line, message, hint)
  return { severity = "error", of = of, file = file, line = line, column = 1, message = message, hint = hint }
end

local function of_results(results, list)
  local rules_of = require("fluo.testing.engine").rules_of
  for _, result in ipairs(results) do
    if result.status == "failure" or result.status == "error" then
      list[#list + 1] = problem(rules_of(result.spec), result.file, result.line,
        ("the spec `%s` fails: %s"):format(result.name, result.message))
    end
  end
end

local function of_rules(rules, shown, list)
  for _, rule in ipairs(rules) do
    if not shown[rule.name] and rule.mode ~= "off" then
      list[#list + 1] = problem(rule.file, rule.file, rule.line,
        ("no spec that passes shows the rule `%s` to fire"):format(rule.name),
        ("write one in %s: assert.fires(%q)"):format(rule.file:gsub("%.%w+$", "_spec.lua"), rule.name))
    end
  end
end

--- Runs the specs of the rules at a path: what require_specs has against them, as load errors (diagnostic.lua), each
-- with `of`. flags: those of `fluo replay`.
function M.find(path, flags)
  path = #path > 1 and path:gsub("/+$", "") or path
  local list, ran = {}, { results = {}, shown = {} }
  local files = require("fluo.cli.test").specs(path)
  if files then
    local why
    ran, why = require("fluo.testing.runner").run(files, { flags = flags })
    if not ran then return { problem(path, path, 1, why) } end
    of_results(ran.results, list)
  end
  of_rules(loader.load(loader.read(path), { keep = true }).rules, ran.shown, list)
  return list
end

--- Gives each source (sources.lua) the entries of a list that refuse it.
function M.refuse(sources, list)
  for _, source in ipairs(sources.files) do
    source.refused = {}
    for _, d in ipairs(source.module and {} or list) do
      if d.of == source.file or d.of .. "/" == source.file:sub(1, #d.of + 1) then table.insert(source.refused, d) end
    end
  end
end

-- ---- from one process to another ----------------------------------------------------------------

local FIELDS = { "of", "file", "line", "message", "hint" }

local function escape(value)
  return (tostring(value):gsub("[%%%c]", function(c) return ("%%%02x"):format(c:byte()) end))
end

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(x) return string.char(tonumber(x, 16)) end))
end

local function write(list)
  for _, d in ipairs(list) do
    local row = {}
    for i, field in ipairs(FIELDS) do row[i] = escape(d[field] or "") end
    io.stdout:write(table.concat(row, "\t"), "\n")
  end
  io.stdout:write("end\n")
end

local function read(text)
  local list = {}
  for row in text:gmatch("([^\n]*\t[^\n]*)\n") do
    local d, i = { severity = "error", column = 1 }, 0
    for field in (row .. "\t"):gmatch("(.-)\t") do
      i = i + 1
      d[FIELDS[i]] = unescape(field)
    end
    d.line, d.hint = tonumber(d.line), d.hint ~= "" and d.hint or nil
    list[#list + 1] = d
  end
  return list, text:find("end\n$") ~= nil
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- In the rule process: has the specs run by another, which gets none of our descriptors. flags: one text.
-- What find gives.
function M.ask(path, flags)
  path = #path > 1 and path:gsub("/+$", "") or path
  local program = require("fluo.testing.engine").program()
  local pipe, why = io.popen(("%s --internal-specs %s %s 3>&- 4>&- 5>&- 6>&-"):format(program, quote(path), flags))
  if not pipe then return { problem(path, path, 1, "the specs cannot be run: " .. why) } end
  local list, whole = read(pipe:read(OUTPUT_BYTES_MAX) or "")
  pipe:close()
  if not whole then
    list[#list + 1] = problem(path, path, 1, "the specs were stopped before they ended", "run `fluo test`")
  end
  return list
end

--- That other process. argv: the program, "--internal-specs", the path, flags. Those say all that judging depends
-- on, so that no file of configuration that lies about is read.
function M.main(argv)
  local empty = os.tmpname()
  local file = assert(io.open(empty, "wb"))
  assert(file:write("return {}\n"))
  file:close()
  local flags = { "--config=" .. empty }
  for i = 4, #argv do flags[#flags + 1] = argv[i] end
  local list = M.find(argv[3], flags)
  os.remove(empty)
  write(list)
  return 0
end

return M
