--- Patterns that a function makes while it runs (`t:count { status = "ERROR" }`). They are read by pattern.lua, as
-- those of rules are, and tested by the core's own matcher, which is part of this binary too (core/filter.c): there
-- is one evaluator, so the same text means the same in both places.
--
-- What an author wrote is compiled once for each distinct meaning: a table that was changed since is another
-- pattern, and a literal in a loop is the same one. Functions in it are values of one call, so a pattern with
-- functions is compiled at each.
local abi = require("fluo.abi")
local ir = require("fluo.ir")
local pattern = require("fluo.pattern")
local trace = require("fluo.trace")
local ffi, C = abi.ffi, abi.C

local M = {}

-- The collector of Lua does not see what filters take, so it is counted: the bytes of their intermediate forms, and
-- what each takes besides.
local LIVE_BYTES_MAX, EACH_BYTES = 8 * 1048576, 32768
local TRUE, UNKNOWN = 1, 2                      -- enum fluo_truth
local SHED = 4                                  -- FLUO_SPAN_SHED

local arena = ffi.cast("const uint8_t *", nil)
local flags = 0
local filters, live = {}, 0                     -- by meaning; bytes of all that are not freed yet
local uint32 = ffi.typeof("uint32_t[1]")
local one_answer, answers_of = ffi.typeof("struct fluo_answer[1]"), ffi.typeof("struct fluo_answer[?]")
local span_ptr = ffi.typeof("const struct fluo_span *")
local asks, asked, object = uint32(), uint32(), uint32()

-- There is nobody to tell of warnings here, and no text of the file any more.
local context = { warn = function() end, source_of = function() return nil end, authored = function() return true end }
function context.report(message, hint)
  error({ pattern = message .. (hint and ": " .. hint or "") }, 0)
end

--- Where the arena is, and what patterns mean (options as for the rules), once a process.
function M.attach(base, options)
  arena = ffi.cast("const uint8_t *", base)
  flags = (options.renamed and ffi.C.FLUO_FILTER_RENAMED or 0)
    + (options.explicit_ok and ffi.C.FLUO_FILTER_EXPLICIT_OK or 0)
end

-- Frees what nobody holds any more; finalizers run at the end of a cycle.
local function make_room()
  filters = {}
  collectgarbage()
  collectgarbage()
end

--- A pattern object as a filter of its own: { handle, calls }.
function M.compile(p)
  local form, calls = ir.of_pattern(p)
  local bytes = #form + EACH_BYTES
  if live + bytes > LIVE_BYTES_MAX then make_room() end
  if live + bytes > LIVE_BYTES_MAX then error("more patterns at once than a function may hold", 0) end
  local why = ffi.new("char[128]")
  local handle = C.fluo_filter_new(form, #form, flags, why)
  if handle == nil then error(ffi.string(why), 0) end
  live = live + bytes
  ffi.gc(handle, function(freed)
    C.fluo_filter_free(freed)
    live = live - bytes
  end)
  return { handle = handle, calls = calls }
end

--- The filter of a pattern (a table, any_of …), or an error of that level that says what is wrong with it.
function M.of(x, what, level)
  local good, p = pcall(pattern.of, context, x, what)
  if not good then
    error(type(p) == "table" and p.pattern or p, type(p) == "table" and level + 1 or 0)
  elseif p.functions > 0 then
    return M.compile(p)
  end
  local filter = filters[p.canonical] or M.compile(p)
  filters[p.canonical] = filter
  return filter
end

-- Which function is asked, and about what.
local function take(filter, answer, i)
  C.fluo_filter_ask(filter.handle, i, asked, object)
  answer["function"], answer.object = asked[0], object[0]
end

local function call(filter, answer, at, rank)
  local wanted = filter.calls[answer["function"] + 1]
  local argument = trace.argument(wanted, at, answer.object, rank and trace.ranked(rank) or nil)
  answer.truth = argument ~= nil and wanted.fn(argument) and 1 or 0
end

-- All functions that decide, in the order in which the core would ask them. They may use filters themselves, so
-- what is to be asked is taken down first.
local function ask(filter, at, rank, id, n)
  local answers = answers_of(n)
  for i = 0, n - 1 do take(filter, answers[i], i) end
  for i = 0, n - 1 do call(filter, answers[i], at, rank) end
  return C.fluo_filter_resolve(filter.handle, arena, at, id, answers, n)
end

-- Nearly always it is one, and a loop of one turn, like an array whose size is not known, would not compile.
local function ask_one(filter, at, rank, id)
  local answers = one_answer()
  take(filter, answers[0], 0)
  call(filter, answers[0], at, rank)
  return C.fluo_filter_resolve(filter.handle, arena, at, id, answers, 1)
end

local function truth_of(filter, at, rank, id)
  local truth = C.fluo_filter_test(filter.handle, arena, at, id, asks)
  if truth == UNKNOWN and asks[0] > 0 then
    truth = asks[0] == 1 and ask_one(filter, at, rank, id) or ask(filter, at, rank, id, asks[0])
  end
  return truth
end

--- What the span of that offset and trace id says to a filter where no whole trace is seen: true, false, or nil for
-- unknown. A function of it may throw.
function M.truth(filter, at, id)
  local truth = truth_of(filter, at, nil, id)
  if truth == UNKNOWN then return nil end
  return truth == TRUE
end

--- Whether the span of that offset, rank and trace id satisfies a filter. Where nobody can know, the evaluation is
-- spoiled.
function M.test(filter, at, rank, id)
  if bit.band(ffi.cast(span_ptr, arena + at).flags, SHED) ~= 0 then trace.spoil(trace.SHED_TEXT) end
  local truth = truth_of(filter, at, rank, id)
  if truth == UNKNOWN then trace.spoil("a regular expression or a function of this pattern has no answer") end
  return truth == TRUE
end

return M
