--- Builds the intermediate form for specs, and spans to match against it.
--
--   local bytes = ir.build { rules = { { name = "r", patterns = { { "eq", ".name", "x" } } } } }
--
-- A pattern is a formula: { "and" | "or" | "not", formula… }, { "function" }, { "event" | "link", formula },
-- { op, key, operand… } with op one of OPS below; an empty table has no nodes. A key is an attribute's, a
-- field's with a dot before it (".duration"), or a resource attribute's with "resource:" before it.
-- Gates: { "hits" | "spans" | "duration", compare, n, pattern = index among the rule's }, { "and", n }, { "true" }.
local support = require("spec.support")
local _, ffi = support.core("ruleset")
local wire = require("spec.otlp_writer")
local M = {}

M.OPS = { "eq", "ne", "gt", "ge", "lt", "le", "between", "contains", "prefix", "suffix", "glob", "matches", "exists" }
local FIELDS = { "attribute", "resource", "name", "service", "status", "status_message", "kind", "duration", "start",
  "end", "scope", "scope_version", "trace_id", "span_id", "parent_id", "trace_state", "root",
  "parent_service", "event_name" }
local NODES = { "atom", "function", "event", "link", "and", "or", "not" }
local GATES = { "true", "hits", "spans", "duration", "and", "or" }
local SCOPES = { "span", "trace", "window", "sequence" }
local MODES = { "active", "shadow", "off" }
local OBJECTS = { "span", "event", "link" }

-- Name to number, in the order of fluo.h's enums.
local function enum(names)
  local numbers = {}
  for i, name in ipairs(names) do numbers[name] = i - 1 end
  return numbers
end
local OP, FIELD, NODE, GATE = enum(M.OPS), enum(FIELDS), enum(NODES), enum(GATES)
local SCOPE, MODE, OBJECT = enum(SCOPES), enum(MODES), enum(OBJECTS)

-- In the order in which they stand in the form.
local SECTIONS = { "rules", "patterns", "nodes", "atoms", "values", "gates", "functions", "parts", "pairs", "windows",
  "sequences", "incidents" }
local TYPES = { rules = "rule", patterns = "pattern", nodes = "node", atoms = "atom", values = "value", gates = "gate",
  functions = "function", parts = "part", pairs = "pair", windows = "window", sequences = "sequence",
  incidents = "incident" }

local function text(b, s)
  local off = b.text_bytes
  b.text[#b.text + 1] = s
  b.text_bytes = off + #s
  return { off, #s }
end

local function add(b, section, element)
  local list = b[section]
  list[#list + 1] = element
  return #list - 1
end

local function value(b, v)
  if type(v) == "string" then return { type = 1, text = text(b, v) } end
  if type(v) == "boolean" then return { type = 2, integer = v and 1 or 0 } end
  if type(v) == "table" then return { type = 4, number = v.double } end
  if type(v) == "cdata" or v % 1 == 0 then return { type = 3, integer = v } end
  return { type = 4, number = v }
end

local function atom(b, formula)
  local key, first = formula[2], #b.values
  for i = 3, #formula do add(b, "values", value(b, formula[i])) end
  local field = key:match("^%.(.*)") or key:match("^resource:") and "resource" or "attribute"
  local name = field == "resource" and key:sub(10) or field == "attribute" and key or ""
  return add(b, "atoms", { field = FIELD[field], op = OP[formula[1]], key = text(b, name),
    values = { first, #formula - 2 } })
end

local pattern

local function leaf(b, formula, rule, object)
  if formula[1] == "function" then
    return NODE["function"], add(b, "functions", { rule = rule, object = OBJECT[object] })
  end
  if formula[1] == "event" or formula[1] == "link" then
    return NODE[formula[1]], pattern(b, formula[2], rule, formula[1])
  end
  return NODE.atom, atom(b, formula)
end

-- Nodes in postorder into `out`; the index, from 1, of the one that stands for the formula.
local function nodes(b, formula, rule, object, out)
  local op, children = formula[1], {}
  if op ~= "and" and op ~= "or" and op ~= "not" then
    local kind, arg = leaf(b, formula, rule, object)
    out[#out + 1] = { op = kind, arg = arg }
    return #out
  end
  for i = 2, #formula do children[#children + 1] = nodes(b, formula[i], rule, object, out) end
  out[#out + 1] = { op = NODE[op] }
  for _, child in ipairs(children) do out[child].up = #out end
  return #out
end

-- Patterns of events and links come before the one that asks for them, and a rule's own stand in a row.
function pattern(b, formula, rule, object)
  local out = {}
  if #formula > 0 then nodes(b, formula, rule, object, out) end
  local first = #b.nodes
  for i, node in ipairs(out) do
    add(b, "nodes", { op = node.op, arg = node.arg or 0, parent = first + (node.up or i) - 1 })
  end
  local it = { nodes = { first, #out }, label = text(b, "label"), rule = rule, object = OBJECT[object] }
  if object ~= "span" then return add(b, "patterns", it) end
  return it
end

local function gate(b, first, step)
  local leaf_op = step[1] ~= "and" and step[1] ~= "or"
  return add(b, "gates", { op = GATE[step[1]], compare = leaf_op and step[2] and OP[step[2]] or 0,
    pattern = first + (step.pattern or 1) - 1, n = leaf_op and step[3] or step[2] or 0 })
end

local function rule(b, r)
  local index, own = #b.rules, {}
  for i, formula in ipairs(r.patterns or {}) do own[i] = pattern(b, formula, index, "span") end
  local first = #b.patterns
  for _, it in ipairs(own) do add(b, "patterns", it) end
  local first_gate = #b.gates
  for _, step in ipairs(r.gate or {}) do gate(b, first, step) end
  add(b, "rules", { name = text(b, r.name or "rule"), patterns = { first, #own },
    gate = { first_gate, #b.gates - first_gate }, scope = SCOPE[r.scope or (r.gate and "trace" or "span")],
    severity = 1, mode = MODE[r.mode or "active"], flags = r.flags or 0 })
  r.first = first       -- so that a spec knows its patterns' indices
end

local function pad(bytes) return bytes .. ("\0"):rep(-#bytes % 8) end

--- The bytes of a form. Sets r.first in each rule: the index of its first pattern. `change(sections)`
--- may spoil them before they are written.
function M.build(spec, change)
  local b = { text = {}, text_bytes = 0 }
  for _, section in ipairs(SECTIONS) do b[section] = {} end
  for _, r in ipairs(spec.rules) do rule(b, r) end
  if change then change(b) end
  local header, out = ffi.new("struct fluo_ir", { magic = 0x4f554c46, version = 2, text_bytes = b.text_bytes }), {}
  for i, section in ipairs(SECTIONS) do
    header[section] = #b[section]
    local items = ffi.new(("struct fluo_ir_%s[?]"):format(TYPES[section]), #b[section])
    for k, element in ipairs(b[section]) do items[k - 1] = element end
    out[i] = pad(ffi.string(items, ffi.sizeof(items)))
  end
  return ffi.string(header, ffi.sizeof(header)) .. table.concat(out) .. table.concat(b.text)
end

-- ---- spans -----------------------------------------------------------------------------------------

local function event(number, e)
  local name = number == 11 and 2 or 0
  return wire.text(number, (e.name and wire.text(name, e.name) or "") .. (e.trace_id and wire.text(1, e.trace_id) or "")
    .. (e.span_id and wire.text(2, e.span_id) or "") .. (e.trace_state and wire.text(3, e.trace_state) or "")
    .. wire.attributes(number == 11 and 3 or 4, e.attributes or {}))
end

local function payload(s)
  local out = { s.trace_state and wire.text(3, s.trace_state) or "", wire.attributes(9, s.attributes or {}) }
  for _, e in ipairs(s.events or {}) do out[#out + 1] = event(11, e) end
  for _, l in ipairs(s.links or {}) do out[#out + 1] = event(13, l) end
  if s.status_message then out[#out + 1] = wire.text(15, wire.text(2, s.status_message)) end
  return table.concat(out) .. (s.extra or "")
end

local STATUS = { UNSET = 0, OK = 1, ERROR = 2 }
local KIND = { UNSPECIFIED = 0, INTERNAL = 1, SERVER = 2, CLIENT = 3, PRODUCER = 4, CONSUMER = 5 }

--- A span_view (and what it needs to stay alive) of { name, service, status, kind, start_ns, end_ns, root,
--- skewed, shed, parent_id, status_message, trace_state, attributes, resource, scope, events, links, extra }.
function M.span(s)
  local at, pieces = 8, { ("\255"):rep(8) }
  local function put(bytes)
    if not bytes or bytes == "" then return { 0, 0 } end
    pieces[#pieces + 1] = bytes
    at = at + #bytes
    return { at - #bytes, #bytes }
  end
  local flags = (s.root and 1 or 0) + (s.skewed and 2 or 0) + (s.shed and 4 or 0) + (s.service and 8 or 0)
  local span = ffi.new("struct fluo_span", { start_ns = s.start_ns or 1000, end_ns = s.end_ns or 2000, flags = flags,
    name = put(s.name or "op"), service = put(s.service), resource = put(s.resource and wire.attributes(1, s.resource)),
    scope = put(s.scope), payload = put(payload(s)),
    kind = KIND[s.kind or "SERVER"], status = STATUS[s.status or "UNSET"] })
  ffi.copy(span.span_id, s.span_id or "\1\2\3\4\5\6\7\171", 8)
  if s.parent_id then ffi.copy(span.parent_id, s.parent_id, 8) end
  local bytes = table.concat(pieces)
  local arena, _, free = support.guarded(bytes)
  local id = ffi.new("uint8_t[16]", s.trace_id or "\0\17\34\51\68\85\102\119\136\153\170\187\204\221\238\255")
  local view = ffi.new("struct span_view", { arena = arena, span = span, trace_id = id, renamed = s.renamed or false })
  return { view = view, span = span, id = id, arena = ffi.gc(ffi.cast("void *", arena), free) }
end

return M
