--- Judges what a test built by `fluo replay` in a process of its own, so that a spec proves what the agent does.
local abi = require("fluo.abi")
local diagnostic = require("fluo.diagnostic")
local loader = require("fluo.loader")

local M = {}

local Engine = {}
Engine.__index = Engine

local RULE_FILES = { "lua", "yaml", "yml", "rule", "js" }

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

--- This program, also where its file was replaced since.
function M.program()
  local file = assert(io.open("/proc/self/stat"))
  local pid = file:read("*n")
  file:close()
  return ("/proc/%d/exe"):format(pid)
end

--- What judges: flags are those of `fluo replay`; options.program: instead of this one.
function M.new(flags, options)
  local words = {}
  for i, flag in ipairs(flags) do words[i] = quote(flag) end
  return setmetatable({ program = options and options.program or M.program(), flags = table.concat(words, " "),
                        loaded = {} }, Engine)
end

--- The rules that a spec file is about: those of the file that it is named after, else all of its directory.
function M.rules_of(spec)
  local stem = spec:match("^(.*)_spec%.lua$")
  for _, extension in ipairs(RULE_FILES) do
    if abi.read(stem .. "." .. extension, 0) then return stem .. "." .. extension end
  end
  return spec:match("^(.*)/[^/]*$") or "."
end

--- The names of the rules at a path, as they load; or nil and what is wrong with them.
function Engine:names(path)
  local known = self.loaded[path]
  if not known then
    local result = loader.load(loader.read(path))
    known = { names = {}, errors = {} }
    for i, rule in ipairs(result.rules) do known.names[i] = rule.name end
    for i, d in ipairs(result.errors) do known.errors[i] = diagnostic.text(d) end
    self.loaded[path] = known
  end
  if #known.errors > 0 then return nil, table.concat(known.errors, "\n") end
  return known.names
end

-- What a process said: stdout, stderr, its exit status.
local function run(command)
  local errors = os.tmpname()
  local pipe = assert(io.popen(("%s 2>%s; printf ' %%d' $?"):format(command, quote(errors))))
  local text = pipe:read("*a")
  pipe:close()
  local said = read(errors)
  os.remove(errors)
  local out, status = text:match("^(.*) (%d+)$")
  return out or text, said, tonumber(status)
end

-- Warnings are for `fluo check` and the log; what else begins with our name means that a test proves nothing.
local function trouble(said, status)
  local lines = {}
  for line in said:gmatch("[^\n]+") do
    if status ~= 0 or line:find("^fluo: ") and not line:find("^fluo: warning: ") then lines[#lines + 1] = line end
  end
  return #lines > 0 and table.concat(lines, "\n") or status ~= 0 and ("fluo replay ended with %d"):format(status or -1)
end

--- Judges files of recorded OTLP, or the requests of a world (JSON lines): the violations, or nil and what
-- went wrong: a function that raised an error, a rule that was stopped, input that is no OTLP.
function Engine:judge(rules, files, requests)
  local words, made = {}, nil
  if #files == 0 then
    made = os.tmpname()
    local file = assert(io.open(made, "wb"))
    assert(file:write(requests))
    file:close()
    files = { made }
  end
  for i, path in ipairs(files) do words[i] = quote(path) end
  local out, said, status = run(("%s replay %s --rules=%s -- %s"):format(self.program, self.flags, quote(rules),
    table.concat(words, " ")))
  if made then os.remove(made) end
  local wrong = trouble(said, status)
  if wrong then return nil, wrong end
  local violations, json = {}, require("dkjson")
  for line in out:gmatch("[^\n]+") do violations[#violations + 1] = assert(json.decode(line)) end
  return violations
end

return M
