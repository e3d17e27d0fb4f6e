--- `make bench-instructions`: instructions a span in the engine, by callgrind, with 0, 20, 100 and 1,000 rules; and
-- with 20 and 10,000 of every kind ("many": rules.lua), of which 20 match.
--   luajit spec/bench/instructions.lua BUILD
-- Counted are otlp_check, engine_receive and what closes traces, over 200 requests of 512 spans in a buffer of 16 MiB,
-- so that shedding and eviction take part; the pieces of each count are printed below it.
local build = arg[1] or "build"
local SPANS, REQUESTS = 512, 200
local PIECES = { "otlp_check", "otlp_each", "store_admit", "store_add", "matcher_span", "slots_load", "index_probe", "store_close" }

local function output_of(command)
  local pipe = io.popen(command)
  local text = pipe:read("*a")
  pipe:close()
  return text
end

local function count(rules)
  local label = rules:gsub(" ", "-")
  local ir, out = ("%s/bench-%s.ir"):format(build, label), ("%s/callgrind.%s"):format(build, label)
  assert(output_of(("luajit spec/bench/rules.lua %s %s 2>&1"):format(rules, ir)) == "")
  local said = output_of(("valgrind --tool=callgrind --callgrind-out-file=%s --toggle-collect=otlp_check "
    .. "--toggle-collect=engine_receive --toggle-collect=engine_step %s/inside %s %d %d 16 2>&1"):format(out, build, ir, SPANS, REQUESTS))
  local total = assert(said:match("refs:%s+([%d,]+)"), said):gsub(",", "")
  local inclusive = {}
  for line in output_of(("callgrind_annotate --auto=no --inclusive=yes --threshold=100 %s"):format(out)):gmatch("[^\n]+") do
    local n, name = line:match("^%s*([%d,]+).-:([%w_]+)")
    if name then inclusive[name] = math.max(inclusive[name] or 0, tonumber((n:gsub(",", "")))) end
  end
  return tonumber(total), inclusive
end

print("     rules  instructions a span  of which (with what they call)")
for _, rules in ipairs { "0", "20", "100", "1000", "many 20", "many 10000", "windows 0", "windows 100" } do
  local total, inclusive = count(rules)
  local pieces = {}
  for i, name in ipairs(PIECES) do pieces[i] = ("%s %.0f"):format(name, (inclusive[name] or 0) / SPANS / REQUESTS) end
  print(("%10s  %19.0f  %s"):format(rules, total / SPANS / REQUESTS, table.concat(pieces, ", ")))
end
