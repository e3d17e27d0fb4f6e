--- The house rules that a machine can check: which library header a file may include, how long files and
-- functions are. Usage: luajit spec/lint.lua BUILD (whose .d files say what each object included).
local build = arg[1] or "build"
local problems = {}

-- A library's header, and the only files that may know it.
local OWNERS = {
  { "/uv%.h$", { dispatch = true, loop = true, agent = true, server = true, conn = true, conn_late = true, aside = true, watch = true, keeper = true } },
  { "/lua%.h$", { luastate = true, worker = true, postroom = true } },
  { "/curl/curl%.h$", { courier = true } },
  { "/llhttp%.h$", { http1 = true } },
  { "/zlib%.h$", { inflate = true, deflate = true, snapshot = true } },
  { "/pcre2%.h$", { regex = true } },
  { "include/yaml%.h$", { yaml = true } },
  { "/protobuf%-c%.h$", { otlp_reply = true } },
  { "/sqlite3%.h$", { ledger_db = true } },
}

local function lines_of(path)
  local list = {}
  for line in io.lines(path) do list[#list + 1] = line end
  return list
end

local function files(pattern)
  local pipe, list = io.popen("ls " .. pattern .. " 2>/dev/null"), {}
  for path in pipe:lines() do list[#list + 1] = path end
  pipe:close()
  return list
end

local function check_includes(path)
  local room = path:match("([%w_]+)%.d$")
  local text = table.concat(lines_of(path), " ")
  for header in text:gmatch("(/%S+%.h)") do
    for _, owner in ipairs(OWNERS) do
      if header:find(owner[1]) and not owner[2][room] then
        problems[#problems + 1] = ("core/%s.c includes %s, which is not its business"):format(room, header)
      end
    end
  end
end

-- A function's body starts at a line that ends with { and is not indented, and ends at a lone }.
local function check_lengths(path, file_max, function_max, opens, closes)
  local list, start = lines_of(path), nil
  if #list > file_max then problems[#problems + 1] = ("%s: %d lines, at most %d"):format(path, #list, file_max) end
  for number, line in ipairs(list) do
    if not start and opens(line) then start = number end
    if start and closes(line) then
      if number - start + 1 > function_max then
        problems[#problems + 1] = ("%s:%d: a function of %d lines, at most %d"):format(path, start, number - start + 1, function_max)
      end
      start = nil
    end
  end
end

local function c_opens(line) return line:find("^[%a].*%)%s*{$") or line:find("^%s+.*%)%s*{$") and line:find("^%s%s%s%s%s%s%s%s%s%s%s%s") end
local function c_closes(line) return line == "}" end
local function lua_opens(line)
  if line:find("%f[%w]end$") then return false end                -- all of it stands in one line
  return line:find("^local function ") or line:find("^function ") or line:find("^[%w_.]+ = function")
end
local function lua_closes(line) return line == "end" end

for _, path in ipairs(files(build .. "/obj/*.d")) do check_includes(path) end
for _, path in ipairs(files("core/*.c core/*.h include/*.h")) do check_lengths(path, 500, 60, c_opens, c_closes) end
for _, path in ipairs(files("lua/fluo/*.lua lua/fluo/*/*.lua")) do check_lengths(path, 500, 40, lua_opens, lua_closes) end

for _, problem in ipairs(problems) do io.stderr:write(problem, "\n") end
os.exit(#problems == 0 and 0 or 1)
