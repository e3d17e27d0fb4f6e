--- Runs spec files under busted, which is loaded from where the system has it: nothing of it is ours, and an
-- agent that runs no specs needs none of it.
--
-- Specs see what rules see of Lua, busted, and the builders; no files, no processes. The JIT is off, so that a
-- loop without an end can be interrupted: the hook below raises an error in it.
local sandbox = require("fluo.sandbox")

local M = {}

--- CPU that one test may take; what the judging takes is another process's.
M.TEST_CPU_S = 2
local HOOK_INSTRUCTIONS = 1000000

local MISSING = "specs run under busted, which is not installed: apt install lua-busted (looked for along LUA_PATH, %s)"

-- What specs see in place of Lua's globals; busted's own modules keep theirs.
local function seal(globals)
  setfenv(require("busted.environment"), setmetatable({ _G = globals }, { __index = _G }))
end

---- busted, or nil and what to do about that.
local function load_busted()
  package.path = rawget(package, "system_path") or package.path
  package.cpath = rawget(package, "system_cpath") or package.cpath
  local found, core = pcall(require, "busted.core")
  if found then return core end
  local missing = tostring(core):find("module 'busted.core' not found", 1, true)
  return nil, missing and MISSING:format(package.path) or ("busted does not load: %s"):format(tostring(core))
end

local function bound_cpu()
  local began = os.clock()
  jit.off()
  debug.sethook(function()
    if os.clock() - began > M.TEST_CPU_S then
      error(("this took more than %d s of CPU, and was stopped: does it loop?"):format(M.TEST_CPU_S), 2)
    end
  end, "", HOOK_INSTRUCTIONS)
  return function() began = os.clock() end
end

local function full_name(busted, element)
  local names = {}
  while element and element.descriptor ~= "file" and (element.name or element.descriptor) do
    if element.descriptor ~= "suite" then table.insert(names, 1, element.name or element.descriptor) end
    element = busted.context.parent(element)
  end
  return table.concat(names, " ")
end

-- "file:line: text" of a message, where the spec's author finds it.
local function located(message, trace, path)
  message = tostring(message)
  local file, line, text = message:match("^([^\n:]+):(%d+): (.*)$")
  if file then return file, tonumber(line), text end
  return trace and trace.short_src or path, trace and trace.currentline or 1, message
end

-- Collects what happens, in order: results, each { file, line, name, status, message, seconds }.
local function listen(busted, run)
  local failed
  local function add(element, status, message, trace)
    local result = { name = full_name(busted, element), status = status, seconds = element.duration or 0 }
    result.spec = run.session.path
    result.file, result.line, result.message = located(message, trace or element.trace, run.session.path)
    if not message then result.message = nil end
    run.results[#run.results + 1] = result
  end
  local function on_wrong(status)
    return function(element, _, message, trace)
      if element.descriptor == "it" then failed = { status, message, trace }
      else add(element, "error", message, trace) end
      return nil, true
    end
  end
  busted.subscribe({ "file", "start" }, function(element)
    run.session:open(element.name, run.in_test)
    return nil, true
  end)
  for _, status in ipairs { "failure", "error" } do busted.subscribe({ status }, on_wrong(status)) end
  busted.subscribe({ "test", "end" }, function(element, _, status)
    if failed then add(element, unpack(failed))
    else add(element, status, nil, element.trace) end
    if status == "success" then run.session:passed() end
    failed = nil
    run.session:reset()
    run.rewind()
    return nil, true
  end)
end

local function filter_by(busted, text)
  local pattern = text and text:gsub("%p", "%%%0")
  require("busted.modules.filter_loader")()(busted, { filter = pattern and { pattern } or nil })
end

local function register(busted, run, path, globals)
  local chunk, why = run.session:compile(path, globals)
  if not chunk then
    local file, line, text = located(why, nil, path)
    run.results[#run.results + 1] = { spec = path, file = file, line = line, name = path, status = "error",
                                      message = text, seconds = 0 }
    return
  end
  local function get_trace(_, info) return info end
  busted.executors.file(path, setmetatable({ getTrace = get_trace }, { __call = chunk }))
end

--- Runs spec files. options: flags (those of `fluo replay`), filter (a text that a test's full name holds),
-- program (instead of this one). Gives { results, shown = set of the rules that a test which passed showed to
-- fire }; or nil and why no spec can run here.
function M.run(files, options)
  local core, why = load_busted()
  if not core then return nil, why end
  local engine, session_of = require("fluo.testing.engine"), require("fluo.testing.session")
  sandbox.install()
  local run, busted = { results = {} }, nil
  local judge = engine.new(options.flags or {}, options)
  run.session = session_of.new(judge, function(message) busted.api.fail(message, 0) end)
  run.session.path = files[1]
  local spoken = {}
  local globals = run.session:environment(spoken)
  seal(globals)
  busted = core()
  require("busted")(busted)
  for name in pairs(busted.executors) do spoken[name] = true end
  function run.in_test()
    local descriptor = busted.context.get().descriptor
    return descriptor ~= "file" and descriptor ~= "describe"
  end
  run.rewind = bound_cpu()
  run.session:extend(busted.api.assert)
  listen(busted, run)
  filter_by(busted, options.filter)
  for _, path in ipairs(files) do register(busted, run, path, globals) end
  require("busted.execute")(busted)(1, {})
  debug.sethook()
  return { results = run.results, shown = run.session.shown }
end

return M
