--- The names of TraceQL: what of a span, its trace, its events, links and instrumentation can be asked for, and the
-- words that are values.
local suggest = require("fluo.suggest")
local wrong = require("fluo.dialect.ql_lexer").wrong

jit.off(true, true)                                       -- see ql_parser.lua

local M = {}

local BARE = { duration = "DURATION", name = "NAME", status = "STATUS", statusMessage = "STATUS_MESSAGE",
               kind = "KIND", rootName = "ROOT_NAME", rootServiceName = "ROOT_SERVICE",
               traceDuration = "TRACE_DURATION" }
local SCOPED = {
  trace = { duration = "TRACE_DURATION", rootName = "ROOT_NAME", rootService = "ROOT_SERVICE", id = "TRACE_ID" },
  span = { duration = "DURATION", name = "NAME", kind = "KIND", status = "STATUS", statusMessage = "STATUS_MESSAGE",
           id = "SPAN_ID", parentID = "PARENT_ID", childCount = "CHILD_COUNT" },
  event = { name = "EVENT_NAME", timeSinceStart = "TIME_SINCE_START" },
  link = { traceID = "TRACE_ID", spanID = "SPAN_ID" },
  instrumentation = { name = "SCOPE", version = "SCOPE_VERSION" },
}
local TYPES = { DURATION = "duration", TRACE_DURATION = "duration", TIME_SINCE_START = "duration", STATUS = "status",
                KIND = "kind", CHILD_COUNT = "int" }
local NOT_HERE = { nestedSetLeft = true, nestedSetRight = true, nestedSetParent = true, parent = true }
local LITERALS = { ["true"] = { "bool", true }, ["false"] = { "bool", false },
                   minInt = { "int", -0x7fffffffffffffffLL - 1 }, maxInt = { "int", 0x7fffffffffffffffLL } }
for _, name in ipairs({ "ok", "error", "unset" }) do LITERALS[name] = { "status", name:upper() } end
for _, name in ipairs({ "unspecified", "internal", "server", "client", "producer", "consumer" }) do
  LITERALS[name] = { "kind", name:upper() }
end

local function names_of(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function intrinsic(name, scope, text)
  return { op = "field", scope = scope, intrinsic = name, type = TYPES[name] or "string", text = text }
end

--- `span:name`, of two tokens.
function M.scoped(token, name)
  local names = SCOPED[token.scope]
  if not names[name.text] then
    wrong(("`%s` has no `%s`"):format(token.text, name.text), suggest.expected(name.text, names_of(names)), name.text)
  end
  return intrinsic(names[name.text], token.scope, token.text .. name.text)
end

--- `span.http.url`.
function M.attribute(token)
  if token.scope == "parent" then
    wrong("`parent.` is not supported, nor does Tempo", "write the parent as a spanset: `{ … } > { … }`", token.text)
  end
  return { op = "field", scope = token.scope, key = token.key, type = "any", text = token.text }
end

--- A word where a value is expected.
function M.bare(token)
  local text = token.text
  if BARE[text] then return intrinsic(BARE[text], "span", text) end
  if LITERALS[text] then return { op = "literal", type = LITERALS[text][1], value = LITERALS[text][2] } end
  if NOT_HERE[text] then
    wrong(("`%s` is not supported"):format(text), "relate spansets instead: `{ … } > { … }`, `{ … } >> { … }`", text)
  elseif text == "nil" then
    wrong("`nil` stands beside `=` or `!=` alone", "as in `.x != nil`", text)
  end
  local near = suggest.nearest(text, names_of(BARE))
  wrong(("unknown name `%s`"):format(text),
    ("%san attribute is `.%s`, text is \"%s\""):format(near and ("did you mean `%s`? "):format(near) or "", text, text),
    text)
end

return M
