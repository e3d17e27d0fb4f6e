--- From rule objects to the bytes of the intermediate form (fluo.h, section 2). Everything is written in
-- one order, that of the rules and of their formulas, so equal rules give equal bytes in every process.
local abi = require("fluo.abi")
local ffi = abi.ffi

local M = {}

-- ---- text ---------------------------------------------------------------------------------------

-- Each text once. The empty one is {0, 0}.
local function text_section()
  local self = { pieces = {}, offsets = {}, bytes = 0 }
  function self.put(target, text)
    if text == nil or text == "" then
      target.off, target.len = 0, 0
      return
    end
    local offset = self.offsets[text]
    if not offset then
      offset = self.bytes
      self.offsets[text], self.pieces[#self.pieces + 1] = offset, text
      self.bytes = offset + #text
    end
    target.off, target.len = offset, #text
  end
  return self
end

-- ---- sections -----------------------------------------------------------------------------------

local SECTIONS = { "rules", "patterns", "nodes", "atoms", "values", "gates", "functions", "parts", "pairs", "windows",
                   "sequences", "incidents" }
local RECORDS = { rules = "rule", patterns = "pattern", nodes = "node", atoms = "atom", values = "value",
                  gates = "gate", functions = "function", parts = "part", pairs = "pair", windows = "window",
                  sequences = "sequence", incidents = "incident" }

-- A section is an array of records that grows by doubling. A record moves when it does: what add gives is
-- good until the next add to the same section.
local function add(form, name)
  local section = form[name]
  if section.n == section.capacity then
    local wider = ffi.new(section.type, section.capacity * 2)
    ffi.copy(wider, section.records, section.n * section.size)
    section.records, section.capacity = wider, section.capacity * 2
  end
  section.n = section.n + 1
  return section.records[section.n - 1], section.n - 1
end

local function range(target, first, form, section)
  target.first, target.count = first, form[section].n - first
end

-- ---- patterns -----------------------------------------------------------------------------------

local function put_values(form, target, values)
  local first = form.values.n
  for _, value in ipairs(values) do
    local record = add(form, "values")
    record.type = ffi.C["FLUO_TYPE_" .. value.type]
    form.text.put(record.text, value.text)
    record.integer, record.number = value.integer or 0, value.number or 0
  end
  range(target, first, form, "values")
end

local function put_atom(form, node)
  local record, index = add(form, "atoms")
  record.field, record.op = ffi.C["FLUO_FIELD_" .. node.field], ffi.C["FLUO_OP_" .. node.compare]
  form.text.put(record.key, node.key)
  put_values(form, record.values, node.values)
  return index
end

local function put_function(form, node)
  local record, index = add(form, "functions")
  record.rule, record.object = form.rule, ffi.C["FLUO_OBJECT_" .. node.object:upper()]
  form.calls[index + 1] = { fn = node.fn, kind = node.kind, object = node.object, field = node.field,
                            key = node.key, rule = form.rule }
  return index
end

local put_pattern

-- Children stand before their parent, whose index they learn when it is known.
local function put_node(form, node, inner)
  local op, children, argument = node.op:upper(), {}, 0
  if node.op == "atom" then
    argument = put_atom(form, node)
  elseif node.op == "function" then
    argument = put_function(form, node)
  elseif inner[node] then
    argument = inner[node]
  else
    for i, child in ipairs(node) do children[i] = put_node(form, child, inner) end
  end
  local record, index = add(form, "nodes")
  record.op, record.arg, record.parent = ffi.C["FLUO_NODE_" .. op], argument, index
  for _, child in ipairs(children) do form.nodes.records[child].parent = index end
  return index
end

-- The patterns of events and links within a formula: they come first, with lower numbers.
local function put_inner(form, node, inner)
  for _, child in ipairs(node) do
    if node.op == "event" or node.op == "link" then
      inner[node] = put_pattern(form, child, node.op == "event" and "EVENT" or "LINK", "", {})
    else
      put_inner(form, child, inner)
    end
  end
end

function put_pattern(form, ast, object, label, inner)
  local first = form.nodes.n
  if ast.op ~= "true" then put_node(form, ast, inner) end
  local record, index = add(form, "patterns")
  range(record.nodes, first, form, "nodes")
  form.text.put(record.label, label)
  record.rule, record.object = form.rule, ffi.C["FLUO_OBJECT_" .. object]
  return index
end

local function put_patterns(form, target, patterns)
  local inners = {}
  for i, pattern in ipairs(patterns) do
    inners[i] = {}
    put_inner(form, pattern.ast, inners[i])
  end
  local first = form.patterns.n
  for i, pattern in ipairs(patterns) do
    pattern.id = put_pattern(form, pattern.ast, "SPAN", pattern.label, inners[i])
  end
  range(target, first, form, "patterns")
end

-- ---- the rest of a rule -------------------------------------------------------------------------

local function put_gate(form, target, rule)
  local first = form.gates.n
  for _, leaf in ipairs(rule.compiled and rule.compiled.gate or {}) do
    local record = add(form, "gates")
    record.op = ffi.C["FLUO_GATE_" .. leaf.op]
    record.compare = leaf.compare and ffi.C["FLUO_OP_" .. leaf.compare] or 0
    record.pattern = leaf.slot and rule.patterns[leaf.slot].id or 0
    record.n = leaf.n or 0
  end
  range(target, first, form, "gates")
end

local function put_parts(form, target, parts)
  local first = form.parts.n
  for _, part in ipairs(parts or {}) do
    local record = add(form, "parts")
    record.field = ffi.C["FLUO_FIELD_" .. part.field]
    form.text.put(record.key, part.key)
  end
  range(target, first, form, "parts")
end

local function put_pairs(form, target, list)
  local first = form.pairs.n
  for _, pair in ipairs(list) do
    local record = add(form, "pairs")
    form.text.put(record.name, pair.name)
    form.text.put(record.value, pair.value)
    put_parts(form, record.parts, pair.parts)
  end
  range(target, first, form, "pairs")
end

local function put_by(form, target, by)
  local list = {}
  for i, entry in ipairs(by or {}) do
    list[i] = { name = entry.label, value = "", parts = { { field = entry.field, key = entry.key } } }
  end
  put_pairs(form, target, list)
end

local function put_window(form, rule)
  local node, record, index = rule.across, add(form, "windows")
  record.rule, record.aggregate = rule.index, ffi.C["FLUO_AGGREGATE_" .. node.aggregate]
  record.sample, record.compare = ffi.C["FLUO_SAMPLE_" .. node.sample], ffi.C["FLUO_OP_" .. node.compare]
  record.field = node.field and ffi.C["FLUO_FIELD_" .. node.field] or 0
  form.text.put(record.key, node.key)
  put_by(form, record.by, node.by)
  record.ns, record.samples_min = node.ns, node.samples_min
  record.every = node.every and 1 or 0
  record.quantile, record.threshold = node.quantile or 0, node.threshold
  record.baseline, record.normal_min = ffi.C["FLUO_BASELINE_" .. (node.baseline or "NONE")], node.normal_min or 0
  return index
end

local function put_sequence(form, rule)
  local node, record, index = rule.across, add(form, "sequences")
  record.rule, record.ns = rule.index, node.ns
  for i, absent in ipairs(node.absent) do
    if absent then record.absent = record.absent + 2 ^ (i - 1) end
  end
  put_by(form, record.by, node.by)
  record.at_least, record.rooted = node.at_least or 0, node.rooted and 1 or 0
  put_by(form, record.distinct, node.distinct)
  return index
end

-- A rule that has none of the keys has no record.
local function put_incident(form, rule)
  local it = rule.incident
  if not it then return 0 end
  local record, index = add(form, "incidents")
  record.rule, record.grouped = rule.index, it.group_by and 1 or 0
  record.m, record.n = it.m or 0, it.n or 0
  record.pending_ns, record.keep_firing_ns = it.pending_ns or 0, it.keep_firing_ns or 0
  record.cooldown_ns, record.resolve_ns = it.cooldown_ns or 0, it.resolve_ns or 0
  put_by(form, record.group_by, it.group_by)
  put_patterns(form, record.resolve, { it.resolve })
  return index + 1
end

local PUT_ACROSS = { WINDOW = put_window, SEQUENCE = put_sequence }

local function flags_of(rule)
  local compiled, flags = rule.compiled, 0
  if not compiled then return 0 end
  if compiled.early then flags = flags + ffi.C.FLUO_RULE_EARLY end
  if compiled.structure then flags = flags + ffi.C.FLUO_RULE_STRUCTURE end
  if compiled.payloads then flags = flags + ffi.C.FLUO_RULE_PAYLOADS end
  if compiled.complete then flags = flags + ffi.C.FLUO_RULE_COMPLETE end
  if compiled.late then flags = flags + ffi.C.FLUO_RULE_LATE end
  return flags
end

--- What stands for the texts that the functions of a file may reach, in the versions of its rules.
function M.hash_texts(form, texts)
  return form.hash(table.concat(texts, "\0"))
end

--- Texts that no rule means and that a reload has to notice all the same, as those of actions: their hash stands in the
-- form.
function M.mark(form, texts)
  form.text.put({}, M.hash_texts(form, texts))
end

-- What a rule's version is the hash of: what it means, and the texts that its functions may reach. Not
-- its name, which ids have beside it, nor anything that a match does not depend on, nor other rules.
local function version_text(rule)
  return rule.meaning .. "\0" .. (rule.functions > 0 and rule.texts or "")
end

--- Lets go of what only the form needed of a rule: with ten thousand rules it would be most of the heap.
-- What stays is what the study runs: name, index, file, line, compiled (its patterns: id and label).
function M.strip(rule)
  local compiled = rule.compiled
  if compiled then
    compiled.gate, compiled.canonical = nil, nil
    for slot, pattern in ipairs(compiled.patterns) do
      compiled.patterns[slot] = { id = pattern.id, label = pattern.label }
    end
  end
  return { name = rule.name, index = rule.index, file = rule.file, line = rule.line, compiled = compiled }
end

--- Writes a rule behind those before it. Sets rule.index and the id of each of its patterns.
function M.add(form, rule)
  local record
  record, form.rule = add(form, "rules")
  rule.index = form.rule
  form.text.put(record.name, rule.name)
  form.text.put(record.file, rule.file)
  put_patterns(form, record.patterns, rule.patterns)
  put_gate(form, record.gate, rule)
  put_parts(form, record.summary, rule.summary)
  put_pairs(form, record.actions, rule.actions)
  put_pairs(form, record.labels, rule.labels)
  ffi.copy(record.version, form.hash(version_text(rule)), 16)
  record.scope = ffi.C["FLUO_SCOPE_" .. rule.scope]
  record.severity = ffi.C["FLUO_SEVERITY_" .. rule.severity:upper()]
  record.mode = ffi.C["FLUO_MODE_" .. rule.mode:upper()]
  record.flags = flags_of(rule)
  local put_across = PUT_ACROSS[rule.scope]
  if put_across then record.across = put_across(form, rule) end
  record.incident = put_incident(form, rule)
end

--- A pattern by itself, as the only rule of a form of its own: its bytes, and its functions as M.finish gives them.
function M.of_pattern(pattern)
  local form = M.new(function() return ("\0"):rep(16) end)
  M.add(form, { name = "", meaning = "", functions = 0, scope = "SPAN", severity = "medium", mode = "active",
                patterns = { pattern }, summary = {}, actions = {}, labels = {} })
  return M.finish(form)
end

-- ---- bytes --------------------------------------------------------------------------------------

local function padding(n) return ("\0"):rep(-n % 8) end

--- An empty form. hash: instead of the core's 128-bit hash.
function M.new(hash)
  local form = { text = text_section(), calls = {}, hash = hash or abi.hash128 }
  for _, name in ipairs(SECTIONS) do
    local record = "struct fluo_ir_" .. RECORDS[name]
    local section = { n = 0, capacity = 16, size = ffi.sizeof(record), type = ffi.typeof(record .. "[?]") }
    section.records = ffi.new(section.type, section.capacity)
    form[name] = section
  end
  return form
end

--- The form as one text, and what the runtime calls: functions[id + 1] = { fn, kind = "object" | "value",
-- object = "span" | "event" | "link", field, key, rule }.
function M.finish(form)
  local header, pieces = ffi.new("struct fluo_ir"), {}
  header.magic, header.version = ffi.C.FLUO_IR_MAGIC, ffi.C.FLUO_IR_VERSION
  for i, name in ipairs(SECTIONS) do
    local section = form[name]
    header[name] = section.n
    pieces[2 * i - 1] = ffi.string(section.records, section.n * section.size)
    pieces[2 * i] = padding(section.n * section.size)
    form[name] = nil
  end
  header.text_bytes = form.text.bytes
  local head = ffi.string(header, ffi.sizeof(header))
  return head .. padding(#head) .. table.concat(pieces) .. table.concat(form.text.pieces), form.calls
end

return M
