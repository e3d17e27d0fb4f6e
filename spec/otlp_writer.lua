--- Writes OTLP's wire form for specs: small pieces that can also be put together wrongly.
local ffi = require("ffi")
local M = {}

function M.varint(n)
  n = ffi.cast("uint64_t", ffi.cast("int64_t", n))
  local bytes = {}
  while n >= 128 do
    bytes[#bytes + 1] = string.char(tonumber(n % 128) + 128)
    n = n / 128
  end
  bytes[#bytes + 1] = string.char(tonumber(n))
  return table.concat(bytes)
end

function M.tag(number, type) return M.varint(number * 8 + type) end
function M.text(number, text) return M.tag(number, 2) .. M.varint(#text) .. text end
function M.varint_field(number, n) return M.tag(number, 0) .. M.varint(n) end
function M.fixed64(number, n)
  return M.tag(number, 1) .. ffi.string(ffi.new("uint64_t[1]", n), 8)
end
function M.double(number, x) return M.tag(number, 1) .. ffi.string(ffi.new("double[1]", x), 8) end

function M.value(v)
  if type(v) == "string" then return M.text(1, v) end
  if type(v) == "boolean" then return M.varint_field(2, v and 1 or 0) end
  if type(v) == "table" then
    local items = {}
    for i, item in ipairs(v) do items[i] = M.text(1, M.value(item)) end
    return M.text(5, table.concat(items))
  end
  if v % 1 ~= 0 then return M.double(4, v) end
  return M.varint_field(3, v)
end

function M.attribute(number, key, v) return M.text(number, M.text(1, key) .. M.text(2, M.value(v))) end

-- Sorted, so that the same table gives the same bytes.
function M.attributes(number, all)
  local keys, out = {}, {}
  for key in pairs(all) do keys[#keys + 1] = key end
  table.sort(keys)
  for i, key in ipairs(keys) do out[i] = M.attribute(number, key, all[key]) end
  return table.concat(out)
end

--- A Span; fields left out are valid ones. `extra` is put behind it as it is.
function M.span(s)
  s = s or {}
  return M.text(1, s.trace_id or ("\1"):rep(16)) .. M.text(2, s.span_id or ("\2"):rep(8))
    .. (s.parent_id and M.text(4, s.parent_id) or "") .. M.text(5, s.name or "op")
    .. (s.kind and M.varint_field(6, s.kind) or "")
    .. M.fixed64(7, s.start_ns or 1) .. M.fixed64(8, s.end_ns or 2)
    .. M.attributes(9, s.attributes or {}) .. (s.status and M.text(15, M.varint_field(3, s.status)) or "")
    .. (s.extra or "")
end

--- A body of one resource and one scope with these spans (bytes).
function M.body(spans, resource, scope)
  local out = { scope and M.text(1, scope) or "" }
  for _, span in ipairs(spans) do out[#out + 1] = M.text(2, span) end
  return M.text(1, (resource and M.text(1, resource) or "") .. M.text(2, table.concat(out)))
end

--- AnyValues nested: an array in an array, `levels` deep.
function M.nested(levels)
  local v = M.varint_field(3, 1)
  for _ = 1, levels do v = M.text(5, M.text(1, v)) end
  return v
end

return M
