--- The study: what runs in the rule process and in its workers. core/worker.c calls, in this order: read
-- (files), load (their evaluation, behind closed doors), prepare (evaluators), all in the rule process; then
-- job, once for each job, in a worker.
local abi = require("fluo.abi")
local diagnostic = require("fluo.diagnostic")
local filter = require("fluo.filter")
local judge = require("fluo.judge")
local loader = require("fluo.loader")
local query = require("fluo.query")
local reload = require("fluo.reload")
local reply = require("fluo.reply")
local required = require("fluo.testing.required")
local texts = require("fluo.texts")
local trace = require("fluo.trace")
local view = require("fluo.view")
local ffi = abi.ffi

local M = {}

local ASK, JUDGE = ffi.C.FLUO_MESSAGE_ASK, ffi.C.FLUO_MESSAGE_JUDGE
local job_ptr, pulse_ptr = ffi.typeof("const struct fluo_job *"), ffi.typeof("struct fluo_pulse *")
local question_ptr, uint32_ptr = ffi.typeof("const struct fluo_question *"), ffi.typeof("const uint32_t *")
local JOB_BYTES = ffi.sizeof("struct fluo_job")

local options, sources, last, loaded                      -- while loading
local functions, evaluators                               -- what a worker starts with
local explain, wish                                       -- explain.lua, the rule to explain; nil: rules are judged
local pulse, job, questions, rules                        -- the inbox: a job, and what it asks
local calls = 0
local notes, note_of = {}, {}                             -- of the job at hand

-- ---- loading ------------------------------------------------------------------------------------

-- Loops of workers are compiled as soon as LuaJIT does by itself; core/luastate.c has told it to wait.
local HOT = "hotloop=56"

local PLACE_BYTES = tonumber(ffi.C.FLUO_PLACE_BYTES)

-- Where a load is, for the core to tell should it never come to an end.
local function on_place(file, rule)
  local text = rule and ("%s, rule `%s`"):format(file, rule) or file
  text = text:sub(-(PLACE_BYTES - 1))
  ffi.copy(ffi.cast(pulse_ptr, options.pulse).place, text .. "\0", #text + 1)
end

--- Reads every file that the rules need; nothing of them runs yet. given: skip_broken, renamed, json (what there is to
-- say is lines of the log), time (of these), pulse (an address), again (load what `before` has, and nothing else),
-- specs (require_specs: the flags that they are judged with; what is loaded again was good before).
-- before: the texts of the rules in force, or "".
function M.read(path, given, before)
  options = given
  options.actions = { "log" }
  for name in (given.receivers or ""):gmatch("%S+") do options.actions[#options.actions + 1] = name end
  options.on_place = on_place
  local tuned = options.explain and options.explain:find("^tune:") and require("fluo.tune")
  if tuned then options.choose, options.keep = tuned.choose(tuned.wish(options.explain)), true end
  if options.explain and not tuned then explain = require("fluo.explain") end
  wish = explain and explain.wish(options.explain)
  if wish then options.choose, options.keep = explain.choose(wish), true end
  last = texts.read(before)
  if options.again then return end
  sources = loader.read(path)
  if options.specs then
    on_place("the specs of " .. path)
    required.refuse(sources, required.ask(path, options.specs))
  end
end

local function load_all()
  if options.again then return reload.again(last, options) end
  if last then return reload.load(sources, last, options) end
  return loader.evaluate(sources, loader.modules(sources), options)
end

local function print_all(list)
  local write = options.json and diagnostic.log or options.lines and diagnostic.line or diagnostic.text
  for _, d in ipairs(list) do io.stderr:write(write(d, options.time), "\n") end
end

--- Evaluates the files. Returns the intermediate form, or nil when the rules did not load, which has been
-- printed then; the numbers of errors, warnings and rules; and the texts that these are of, in pieces. On a reload
-- files with errors are as they were, or left out, which is no reason to refuse the others.
function M.load()
  local result = load_all()
  print_all(result.errors)
  if not wish then print_all(result.warnings) end         -- who asks why a rule fired did not ask about the others
  local pieces = texts.write(result.used)
  loader.forget(result.used)
  loader.forget(sources and sources.files or {})
  loader.forget(last or {})
  sources, result.used = nil, nil
  loaded = result
  local form = (#result.errors == 0 or last or options.skip_broken) and result.ir or nil
  last = nil
  local nothing = wish and form and explain.missing(wish)
  if nothing then io.stderr:write("fluo: ", nothing, "\n") end
  return form, #result.errors, #result.warnings, #result.rules, pieces
end

-- What takes long and is no endless loop says so: to the core each call of rule code has its own time.
local function breathe()
  calls = calls + 1
  pulse.call = calls
end

-- A module of queries, where some rule has one: then it was loaded.
local function attach_query(name, ...)
  if package.loaded[name] then package.loaded[name].attach(...) end
end

-- What serves loading alone goes, with all that it requires in turn: half of what workers would begin with. Nothing is
-- required any more from then on, but by who explains.
local function forget()
  diagnostic, loader, reload, required, texts = nil, nil, nil, nil, nil
  for name in pairs(package.loaded) do
    if name:find("^fluo%.") and name ~= "fluo.study" then package.loaded[name] = nil end
  end
end

--- Makes what a worker needs and forgets the rest. places: arena, pulse, inbox, outbox (addresses).
function M.prepare(places)
  functions, evaluators = loaded.functions, {}
  if wish and loaded.rules[1] then evaluators[1] = explain.prepare(loaded.rules[1], wish, breathe) end
  for i, rule in ipairs(wish and {} or loaded.rules) do
    if rule.compiled then evaluators[i] = judge.prepare(rule.compiled) end      -- the i-th of the form
  end
  loaded = nil
  local inbox = ffi.cast("const uint8_t *", places.inbox)
  job, pulse = ffi.cast(job_ptr, inbox), ffi.cast(pulse_ptr, places.pulse)
  questions, rules = ffi.cast(question_ptr, inbox + JOB_BYTES), ffi.cast(uint32_ptr, inbox + JOB_BYTES)
  trace.attach(places.arena, options)
  filter.attach(places.arena, options)
  attach_query("fluo.dialect.ql_read", places.arena, options)
  attach_query("fluo.dialect.ql_value", options)
  view.attach(places.arena, query.satisfies)
  if explain then explain.attach(places.arena) end
  reply.attach(places.outbox)
  if not wish then forget() end
  jit.flush()
  jit.opt.start(HOT)
end

-- ---- calling rule code --------------------------------------------------------------------------

local function note(rule, failure)
  local known = note_of[rule]
  if known then
    known.errors = known.errors + 1
    return
  end
  local text = type(failure) == "string" and failure or "threw a " .. type(failure)
  known = { rule = rule, errors = 1, text = text }
  note_of[rule] = known
  notes[#notes + 1] = known
end

-- The pulse says whose code runs, so that the core knows whom to blame for what happens within.
local function guarded(rule, code, argument)
  calls = calls + 1
  pulse.rule = rule
  pulse.call = calls
  pulse.running = 1
  local good, first, second, third = pcall(code, argument)
  pulse.running = 0
  if good then return true, first, second, third end
  note(rule, first)
  return false
end

-- true, false; nil where the function threw, or what it is about could not be read: a value may be too large.
local function answer(question)
  local asked = functions[question["function"] + 1]
  trace.begin(question.trace_id)
  local good, truth = pcall(trace.argument, asked, question.span, question.object)
  if not good then
    note(asked.rule, truth)
  elseif truth ~= nil then
    good, truth = guarded(asked.rule, asked.fn, truth)
  end
  local spoiled = trace.finish()
  if good and spoiled then note(asked.rule, spoiled) end
  if not good or spoiled then return nil end
  return truth and true or false
end

-- ---- jobs ---------------------------------------------------------------------------------------

local function answer_all(count)
  trace.rewind()
  for i = 0, count - 1 do reply.answer(answer(questions[i])) end
end

-- What one rule leaves behind must not end the next one: over a trace of 100,000 spans each leaves some 20 MB, and a
-- collector at its ease lets the heap double.
local LITTER_KIB = 16384
local swept_kib = 0

local function sweep()
  local kib = collectgarbage("count")
  if kib < swept_kib then swept_kib = kib end
  if kib - swept_kib < LITTER_KIB then return end
  collectgarbage()
  swept_kib = collectgarbage("count")
end

local function judge_all(count)
  local seen = view.open(job)
  trace.rewind()
  for i = 0, count - 1 do
    local rule = rules[i]
    sweep()
    local _, truth, result, failures = guarded(rule, evaluators[rule + 1], seen)
    for _, failure in ipairs(failures or {}) do note(rule, failure) end
    reply.verdict(rule, truth, result, truth and view.latest_end(result.witnesses), wish and explain.BYTES_MAX)
  end
  judge.close()
  view.close()
end

--- Answers the job in the inbox: the size of the reply, which is in the outbox then.
function M.job(_, heap_kib)
  local count, message = job.count, job.message
  if #notes > 0 then notes, note_of = {}, {} end
  reply.begin()
  if message == ASK then answer_all(count)
  elseif message == JUDGE then judge_all(count)
  else count = 0 end
  return reply.finish(job, count, notes, heap_kib)
end

return M
