--- Names in patterns, `by` and `distinct` that are hardly what was meant: nearly a convention of OpenTelemetry, a field
-- written as an attribute, an attribute of the resource asked of the span. A name that is merely unknown is none: own
-- attributes are what rules are about.
--
-- A typo is one in one place: either the namespace is right and the rest is off by two letters at most, or the rest
-- is right and the namespace is off. So few names have to be compared.
local conventions = require("fluo.lint.conventions")
local field = require("fluo.field")
local suggest = require("fluo.suggest")

local M = {}

local BYTES_MAX = 64                           -- of a name that is compared
local KNOWN_MAX = 4096                         -- names whose answer is remembered

-- ---- conventions --------------------------------------------------------------------------------

-- Without case and separators.
local function squeezed(name) return (name:lower():gsub("[%s%._%-]", "")) end

local function put(lists, key, name)
  lists[key] = lists[key] or {}
  table.insert(lists[key], name)
end

-- 240 KB of tables.
local function read_conventions()
  local all = { exact = {}, plain = {}, of_namespace = {}, of_rest = {} }
  for namespace, names in conventions:gmatch("([%w_]+):([^:]*)%f[\n]") do
    for rest in names:gmatch("%S+") do
      local name = namespace .. "." .. rest
      local bare = squeezed(name)
      all.exact[name] = true
      all.plain[bare] = all.plain[bare] or name
      put(all.of_namespace, namespace, rest)
      put(all.of_rest, rest, namespace)
    end
  end
  return all
end

-- A plural, or a number more or less, is another name rather than a typo.
local function is_variant(a, b)
  if #a > #b then a, b = b, a end
  return a .. "s" == b or a:gsub("%d", "") == b:gsub("%d", "")
end

-- Short words are near to too much.
local function edits_max(word)
  return #word >= 10 and 2 or #word >= 5 and 1 or 0
end

local function nearest(word, names, most)
  local best, least = nil, most + 1
  for _, name in ipairs(names or {}) do
    if math.abs(#name - #word) < least and not is_variant(word, name) then
      local edits = suggest.distance(word, name)
      if edits < least then best, least = name, edits end
    end
  end
  return best
end

-- `http.request.header.x` is what the convention `http.request.header` is for.
local function extends(exact, name)
  local at = name:match(".*()%.")
  while at do
    if exact[name:sub(1, at - 1)] then return true end
    at = name:sub(1, at - 1):match(".*()%.")
  end
  return false
end

-- The convention that a name of an attribute is nearly, or nil.
local function find(all, name)
  if all.exact[name] then return nil end
  local same = name:find("[%._%-]") and all.plain[squeezed(name)]
  if same then return same end
  local namespace, rest = name:match("^([^%.]+)%.(.+)$")
  if not namespace then return nil end
  local rests, namespaces = all.of_namespace[namespace], all.of_rest[rest]
  if not rests and not namespaces or extends(all.exact, name) then return nil end
  local near_rest = nearest(rest, rests, edits_max(rest))
  if near_rest then return namespace .. "." .. near_rest end
  local is_telling = not rests and #namespace >= 4 and #rest >= 5
  local near_namespace = is_telling and nearest(namespace, namespaces, 1)
  return near_namespace and near_namespace .. "." .. rest or nil
end

-- A function of a name, the answers to which are remembered: rules ask for the same names over and over.
local function remembered(find_out)
  local known, n = {}, 0
  return function(name)
    local answer = known[name]
    if answer == nil then
      if n == KNOWN_MAX then known, n = {}, 0 end
      answer = #name <= BYTES_MAX and find_out(name) or false
      known[name], n = answer, n + 1
    end
    return answer or nil
  end
end

-- ---- fields -------------------------------------------------------------------------------------

-- What other tools, dialects and hands call a span's fields, without case and separators.
local FIELDS = { servicename = "service", spankind = "kind", spanname = "name", spanstatus = "status",
                 spanservice = "service", spanduration = "duration", durationms = "duration", traceid = "trace_id",
                 spanid = "span_id", parentid = "parent_id", parentspanid = "parent_id", tracestate = "trace_state",
                 statusmessage = "status_message", scopename = "scope", scopeversion = "scope_version",
                 events = "event", links = "link" }

local function sorted_letters(word)
  local letters = { word:byte(1, -1) }
  table.sort(letters)
  return string.char(unpack(letters))
end

-- A short word with another letter in it is a word of its own (`score`, `scope`).
local function is_slip(key, name)
  if #key >= 7 then return true end
  return suggest.distance(key, name) == 1 and (#key ~= #name or sorted_letters(key) == sorted_letters(name))
end

-- The field of a span that a key is written for, or nil: one in other case, a slip, a name that others give it.
local function find_field(key)
  local bare = squeezed(key)
  if FIELDS[bare] and (key:find("^[Ss]pan[%._]") or key == "service.name" or not key:find("%.")) then
    return FIELDS[bare]
  end
  if key:find("[^%a_]") or #key < 4 then return nil end
  local name = suggest.nearest(key, field.SPAN_NAMES)
  return name and (key:lower() == name or is_slip(key:lower(), name)) and name or nil
end

-- ---- the resource -------------------------------------------------------------------------------

local RESOURCE = { ["service.namespace"] = true, ["service.version"] = true, ["service.instance.id"] = true,
                   ["deployment.environment"] = true, ["deployment.environment.name"] = true,
                   ["telemetry.sdk.name"] = true, ["telemetry.sdk.language"] = true,
                   ["telemetry.sdk.version"] = true }

-- Whether a name is that of an attribute which resources have and spans do not.
local function of_resource(name) return RESOURCE[name] or name:find("^k8s%.%w+%.name$") ~= nil end

-- ---- in a pattern -------------------------------------------------------------------------------

-- Whether a bare key is told of. name: the field that it may be; as_attribute, as_resource: how
-- the author says that it is the one or the other.
local function look_bare(context, key, name, as_attribute, as_resource)
  if name then
    context.warn("field-as-attribute", ("`%s` is an attribute here"):format(key),
      ("did you mean the field `%s`? %s says that you did not"):format(name, as_attribute), key)
  elseif of_resource(key) then
    context.warn("resource-as-attribute", ("spans seldom have the attribute `%s`: resources do"):format(key),
      ("write %s; %s says that spans do"):format(as_resource, as_attribute), key)
  end
  return name or of_resource(key)
end

--- What looks at names, and remembers what it found while it is held, which is as long as rules load. A context has one
-- as `names`, or none where there is nobody to tell of warnings.
function M.new()
  local self, all = {}, nil
  local field_of = remembered(find_field)
  local near = remembered(function(name)
    all = all or read_conventions()
    return find(all, name)
  end)

  --- Looks at a key that stands in `attributes = { … }`, in `resource = { … }`, in an event or a link.
  function self.look(context, key)
    local name = near(key)
    if not name then return end
    context.warn("near-attribute", ("the attribute `%s` is nearly OpenTelemetry's `%s`"):format(key, name),
      ("did you mean `%s`?"):format(name), key)
  end

  --- Looks at a bare key of a span's pattern, which may be a field gone wrong.
  function self.look_span(context, key)
    local as = "%s = { [%q] = … }"
    local told = look_bare(context, key, field_of(key), as:format("attributes", key), as:format("resource", key))
    if not told then self.look(context, key) end
  end

  --- Looks at what `by` or `distinct` names: a field, `resource.` and its attribute, or an attribute of the span.
  function self.look_group(context, key)
    local said = key:match("^attributes%.(.+)$") or key:match("^resource%.(.+)$")
    if said then return self.look(context, said) end
    if field.SPAN[key] then return end
    local name = key:find("^parent%.") and "parent.service" or field_of(key)
    local told = look_bare(context, key, name, ("`attributes.%s`"):format(key), ("`resource.%s`"):format(key))
    if not told then self.look(context, key) end
  end
  return self
end

return M
