--- Comparisons on one span, as the dialects share them: what a field is called, and the pattern that a comparison of it
-- means. A subject is { shown, set = function(operand) -> pattern, text (it holds text alone), open (any type) }.
local code = require("fluo.dialect.code")
local pattern = require("fluo.pattern")
local suggest = require("fluo.suggest")

local M = {}

-- ---- subjects -----------------------------------------------------------------------------------

local function of_field(name, shown)
  local text = name == "name" or name == "service" or name == "status_message"
  return { shown = shown, field = name, text = text, set = function(x) return code.table { { name, x } } end }
end
M.of_field = of_field

local function within(name)
  return function(key, shown)
    return { shown = shown or key, key = key, open = true,
             set = function(x) return code.table { { name, code.table { { key, x } } } } end }
  end
end
M.attribute, M.resource = within("attributes"), within("resource")

-- The attribute `type`, else `span.type`, else the name.
local function type_of(shown)
  local missing = code.name("missing")
  local function set(x)
    if type(x) == "table" and x.kind == "name" and x[1] == "exists" then return code.table {} end
    local own, long, name = M.attribute("type"), M.attribute("span.type"), of_field("name")
    return code.call("any_of", code.list { own.set(x), code.call("all_of", code.list { own.set(missing), long.set(x) }),
      code.call("all_of", code.list { own.set(missing), long.set(missing), name.set(x) }) })
  end
  return { shown = shown, open = true, always = true, set = set }
end

local FIELDS = { name = "name", status = "status", kind = "kind", duration = "duration", durationMs = "duration",
                 statusMessage = "status_message", traceId = "trace_id", spanId = "span_id",
                 parentSpanId = "parent_id" }
local NAMES = { "span.name", "span.status", "span.kind", "span.type", "span.duration", "span.durationMs",
                "span.statusMessage", "span.traceId", "span.spanId", "span.parentSpanId", "span.attributes",
                "resource", "service", "service.name" }

local function unknown(path)
  local near = suggest.hint(path, NAMES) or suggest.hint("span." .. path, NAMES)
  return nil, ("unknown field `%s`"):format(path), near or "a field is one of " .. table.concat(NAMES, ", ")
    .. "; an attribute is written span.attributes[\"key\"]"
end

--- The subject that a path names: span.name, span.attributes.<key>, resource.<key>, service …; or nil, message, hint.
-- key: what stands in brackets behind it.
function M.subject(path, key)
  local attribute = key and path == "span.attributes" and key or path:match("^span%.attributes%.(.+)$")
  if attribute and attribute ~= "" then return M.attribute(attribute, path) end
  local resource = key and path == "resource" and key or path:match("^resource%.(.+)$")
  if resource and resource ~= "" then return M.resource(resource, path) end
  if path == "service" or path == "service.name" then return of_field("service", path) end
  if path == "span.type" then return type_of(path) end
  local own = FIELDS[path:match("^span%.(.+)$")]
  if own and not key then return of_field(own, path) end
  return unknown(path)
end

-- ---- operands -----------------------------------------------------------------------------------

--- Comparisons by their sign, and what each is with its sides exchanged.
M.OPERAND = { ["=="] = "eq", ["!="] = "ne", ["<"] = "lt", ["<="] = "le", [">"] = "gt", [">="] = "ge" }
M.FLIPPED = { ["<"] = ">", ["<="] = ">=", [">"] = "<", [">="] = "<=" }

--- subject op value, as a pattern.
function M.compare(subject, op, value)
  if op == "eq" then return subject.set(value) end
  return subject.set(code.call(op, value))
end

-- Text that is equal to a number or a boolean too.
local function ambiguous(text)
  return text == "true" or text == "false" or text:find("%d") and not text:find("[^%d%s.eE+-]")
end

--- subject === value.
function M.strict(subject, value)
  if not subject.open or type(value) == "string" and not ambiguous(value) then return subject.set(value) end
  return subject.set(code.call("strict", value))
end

--- A text as a regular expression that matches it.
function M.escape(text) return (text:gsub("[^%w_\128-\255]", "\\%0")) end

-- ---- checking -----------------------------------------------------------------------------------

--- Builds a pattern to see what is wrong with it, and reports that at a token: true when nothing is.
function M.check(world, node, token)
  local context = world.context
  local before = #context.errors
  context.spot = { line = token.line, column = token.column }
  pattern.of(context, code.build(node, world), "when")
  context.spot = nil
  return #context.errors == before
end

return M
