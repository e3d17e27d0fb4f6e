--- Runs every spec file in a process of its own (declarations for the ffi, the heap's counters and loaded
-- modules belong to a process), some at a time, and adds up. What failed is named again at the end, right before
-- the last line: `N passed, N failed, N skipped`.
--   luajit spec/run.lua [BUILD…]      against the binary and library in each BUILD (default: build)
-- The specs of rules/ run as their authors run them, by `fluo test`. What is Lua alone runs against the first BUILD.
-- SPECS="file or folder …" chooses some, SPEC_JOBS says how many at a time; a BUILD named asan gets the sanitizer's
-- runtime preloaded.
local ffi = require("ffi")

ffi.cdef [[
struct run_pollfd { int fd; short events, revents; };
struct run_timespec { long seconds, nanoseconds; };
int poll(struct run_pollfd *, unsigned long, int);
int fileno(void *);
int clock_gettime(int, struct run_timespec *);
]]

-- A file waits for half of its time: for processes to start, for answers, for the disk.
local FILES_A_PROCESSOR = 2
-- A file that hangs fails, and the others still run; and none runs on when this ends before it. The longest takes six minutes under a
-- sanitizer where others have the machine as well; and whoever runs all of them waits for some twenty.
local FILE_SECONDS_MAX = 900
local RECALL_LINES = 12         -- what failed, said again
local RECALL_COLUMNS = 160
local LONGEST = 10
-- They take longest, and start first: else the last of them would run alone.
local FIRST = { "agent/containment_spec", "agent/hostile_spec", "agent/rules_load_spec", "core/spine_spec", "agent/troubles_spec",
  "core/ledger_faults_spec", "agent/hostile_http_spec", "docs_spec", "agent/tune_spec", "core/week_spec", "core/sequence_spec",
  "agent/explain_spec", "agent/rules_violation_spec", "agent/broken_spec", "agent/world_spec", "agent/windows_spec" }

local function output_of(command)
  local pipe = io.popen(command)
  local text = pipe:read("*a")
  pipe:close()
  return text
end

local function now()
  local time = ffi.new("struct run_timespec")
  ffi.C.clock_gettime(1, time)
  return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

local function environment(build)
  local words = ("FLUO=%s/fluo FLUO_LIB=%s/libfluo.so"):format(build, build)
  if not build:find("asan$") then return words end
  local runtime = output_of("cc -print-file-name=libasan.so"):match("%S+")
  return words .. " ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=" .. runtime
end

-- Whether a spec, or what it requires of spec/, has to do with a build: it names the variables that say which.
local function needs_build(path, seen)
  local file = io.open(path)
  if not file or seen[path] then return false end
  seen[path] = true
  local text = file:read("*a")
  file:close()
  if path:find("^rules/") or text:find('"FLUO"', 1, true) or text:find('"FLUO_LIB"', 1, true) then return true end
  for name in text:gmatch('require[ (]+"(spec%.[%w_.]+)"') do
    if needs_build(name:gsub("%.", "/") .. ".lua", seen) then return true end
  end
  return false
end

local function rank(path)
  for i, name in ipairs(FIRST) do
    if path:find(name, 1, true) then return i end
  end
  return #FIRST + 1
end

-- Every file against every build that it needs, in the order in which they start.
local function jobs(builds)
  local list = {}
  local paths = output_of(("find %s -name '*_spec.lua' | sort"):format(os.getenv("SPECS") or "spec rules"))
  for i, build in ipairs(builds) do
    local words = environment(build)
    for path in paths:gmatch("%S+") do
      local runner = path:find("^rules/") and build .. "/fluo test" or "busted"
      if i == 1 or needs_build(path, {}) then
        list[#list + 1] = { build = build, path = path, rank = rank(path), number = #list,
          command = ("%s %s %s"):format(words, runner, path) }
      end
    end
  end
  table.sort(list, function(a, b)
    if a.rank ~= b.rank then return a.rank < b.rank end
    return a.number < b.number
  end)
  return list
end

-- What a job says goes to a file, and the pipe tells of its end: only `timeout` holds that, so nobody whom a spec left
-- behind keeps a job from ending.
local function start(job)
  job.began, job.said = now(), os.tmpname()
  job.pipe = io.popen(("exec setpriv --pdeathsig TERM timeout -k 5 %d sh -c 'exec env %s 3>&-' 3>&1 >%s 2>&1 </dev/null")
    :format(FILE_SECONDS_MAX, job.command, job.said))
end

-- Waits until some job has ended, and takes it out of those that run.
local function await(running)
  local fds = ffi.new("struct run_pollfd[?]", #running)
  for i, job in ipairs(running) do fds[i - 1].fd, fds[i - 1].events = ffi.C.fileno(job.pipe), 1 end
  while ffi.C.poll(fds, #running, -1) < 1 do end
  for i = 1, #running do
    if fds[i - 1].revents ~= 0 then return table.remove(running, i) end
  end
end

local function output(job)
  job.pipe:close()
  local file = assert(io.open(job.said, "rb"))
  local text = file:read("*a")
  file:close()
  os.remove(job.said)
  return text
end

local HEADS = { "^Failure %-> (.*)", "^Error %-> (.*)", "^FAILED (.*)", "^ERROR (.*)" }   -- busted's, and those of `fluo test`

local function headline(line)
  for _, pattern in ipairs(HEADS) do
    local head = line:match(pattern)
    if head then return head end
  end
end

-- What each failure in a file's output says, as lines: where and the sentence, then the message.
local function failures(text)
  local list, lines = {}, nil
  for line in text:gmatch("([^\n]*)\n?") do
    local head = headline(line)
    if head then
      lines = { head }
      list[#list + 1] = lines
    elseif line == "" or line:find("^ok ") or line:find("^%d+ passed, ") then
      lines = nil
    elseif lines and #lines == 1 and lines[1]:find(" @ %d+$") then
      lines[1] = lines[1] .. ": " .. line
    elseif lines then
      lines[#lines + 1] = line
    end
  end
  return list
end

-- A file that ended without its counts said last why, if it could.
local function last_words(job, text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do lines[#lines + 1] = line end
  local said = table.concat(lines, " | ", math.max(1, #lines - 2))
  return { ("%s ended before it had counted, after %.1f s"):format(job.path, job.seconds), said }
end

local sum, failed, ended = { passed = 0, failed = 0, skipped = 0 }, {}, {}

local function keep_failures(job, text, counted)
  local list = counted and failures(text) or {}
  if #list == 0 then list[1] = last_words(job, text) end
  for _, lines in ipairs(list) do
    lines[1] = job.build .. ": " .. lines[1]
    failed[#failed + 1] = lines
  end
end

local function finish(job)
  job.seconds = now() - job.began
  ended[#ended + 1] = job
  local text = output(job)
  local p, f, s = text:match("(%d+) passed, (%d+) failed, (%d+) %a+[^\n]*\n*$")
  local counted = p ~= nil
  p, f, s = tonumber(p or 0), tonumber(f or 1), tonumber(s or 0)
  sum.passed, sum.failed, sum.skipped = sum.passed + p, sum.failed + f, sum.skipped + s
  print(("%-12s %-48s %6.1f s %5d passed%s%s"):format(job.build, job.path, job.seconds, p,
    f > 0 and (", %d failed"):format(f) or "", s > 0 and (", %d skipped"):format(s) or ""))
  if f > 0 or s > 0 then print(text) end
  if f > 0 then keep_failures(job, text, counted) end
  io.stdout:flush()
end

local function print_longest()
  table.sort(ended, function(a, b) return a.seconds > b.seconds end)
  print("longest:")
  for i = 1, math.min(#ended, LONGEST) do
    print(("  %6.1f s  %s %s"):format(ended[i].seconds, ended[i].build, ended[i].path))
  end
end

-- What failed, once more: whoever kept only the end of the output can read it there. The failures share the lines.
local function print_failed()
  if #failed == 0 then return end
  print("failed:")
  local share = math.max(2, math.floor(RECALL_LINES / #failed))
  local shown = math.min(#failed, RECALL_LINES / share)
  for i = 1, shown do
    for k = 1, math.min(share, #failed[i]) do
      print(((k == 1 and "  " or "    ") .. failed[i][k]):sub(1, RECALL_COLUMNS))
    end
  end
  if shown < #failed then print(("  and %d more, told above"):format(#failed - shown)) end
end

local running, width = {}, tonumber(os.getenv("SPEC_JOBS") or FILES_A_PROCESSOR * tonumber(output_of("nproc")))
for _, job in ipairs(jobs(#arg > 0 and arg or { "build" })) do
  if #running == width then finish(await(running)) end
  start(job)
  running[#running + 1] = job
end
while #running > 0 do finish(await(running)) end

print_longest()
print_failed()
print(("%d passed, %d failed, %d skipped"):format(sum.passed, sum.failed, sum.skipped))
os.exit(sum.failed == 0 and sum.passed > 0 and 0 or 1)
