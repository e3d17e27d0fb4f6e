--- What explanations say of spans, read from the arena: by index in a view, while explain.lua has a trace open.
local abi = require("fluo.abi")
local sandbox = require("fluo.sandbox")
local structure = require("fluo.structure")
local trace = require("fluo.trace")
local words = require("fluo.explain.words")

local M = {}

local span_ptr = abi.ffi.typeof("const struct fluo_span *")
local SKEWED, SHED = 2, 4                                 -- enum fluo_span_flag
local arena

local view, offsets, tree, first

--- Where the arena is, once a process.
function M.attach(base) arena = abi.ffi.cast("const uint8_t *", base) end

--- The trace that is explained from here on.
function M.open(of)
  view, offsets, tree = of, of.offsets(), nil
  for i = 0, view.n - 1 do
    if i == 0 or view.start(i) < first then first = view.start(i) end
  end
end

--- Who is whose parent (structure.lua).
function M.tree()
  tree = tree or structure.of(view)
  return tree
end

function M.offset(i) return offsets[i] end
function M.trace_id() return view.trace_id end

-- Reading is bounded by the evaluation: each question is one.
local function ask(fn, ...)
  trace.begin(view.trace_id)
  local good, result = pcall(fn, ...)
  trace.finish()
  return good and result or nil
end

--- A field or an attribute as a function of it would get it; nil: there is none, or it cannot be read.
function M.value(i, field, key) return ask(trace.value, offsets[i], field, key) end

local function collect(i, what)
  local list = {}
  for key, value in sandbox.pairs(trace.span(offsets[i])[what]) do list[#list + 1] = { key = key, value = value } end
  return list
end

--- All of its `attributes`, `resource` or `scope_attributes`: { key, value } by key.
function M.all(i, what) return ask(collect, i, what) or {} end

local function collect_events(i)
  local list = {}
  for k, event in ipairs(trace.span(offsets[i]).events) do
    list[k] = { name = event.name, attributes = {} }
    for key, value in sandbox.pairs(event.attributes) do
      list[k].attributes[#list[k].attributes + 1] = { key = key, value = value }
    end
  end
  return list
end

--- Its events: { name, attributes = { key, value } }.
function M.events(i) return ask(collect_events, i) or {} end

local function flag(i, mask)
  return bit.band(abi.ffi.cast(span_ptr, arena + offsets[i]).flags, mask) ~= 0
end
function M.is_skewed(i) return flag(i, SKEWED) end
function M.is_shed(i) return flag(i, SHED) end

--- When it starts, from the trace's first start, in words.
function M.at(i) return words.time(view.start(i) - first) end

--- `name` (service) at 12 ms
function M.text(i)
  local service = M.value(i, "SERVICE")
  return ("%s%s at %s"):format(words.name(M.value(i, "NAME") or "?"),
    service and " (" .. words.name(service):sub(2, -2) .. ")" or "", M.at(i))
end

--- The same as data.
function M.data(i)
  return { span_id = M.value(i, "SPAN_ID"), name = M.value(i, "NAME"), service = M.value(i, "SERVICE"),
           start_ms = tonumber(view.start(i) - first) / 1e6,
           duration_ms = tonumber(view.end_(i) - view.start(i)) / 1e6, text = M.text(i) }
end

return M
