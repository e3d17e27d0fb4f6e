--- Runs every spec file in a process of its own (declarations for the ffi, the heap's counters and loaded
-- modules belong to a process), two at a time, and adds up: `N passed, N failed, N skipped`.
--   luajit spec/run.lua [BUILD…]      against the binary and library in each BUILD (default: build)
-- The specs of rules/ run as their authors run them, by `fluo test`.
-- SPECS="file or folder …" chooses some; a BUILD named asan gets the sanitizer's runtime preloaded.
local WIDTH = tonumber(os.getenv("SPEC_JOBS") or 2)

local function output_of(command)
  local pipe = io.popen(command)
  local text = pipe:read("*a")
  pipe:close()
  return text
end

local function files()
  local list = {}
  for path in output_of(("find %s -name '*_spec.lua' | sort"):format(os.getenv("SPECS") or "spec rules")):gmatch("%S+") do
    list[#list + 1] = path
  end
  return list
end

local function environment(build)
  local words = ("FLUO=%s/fluo FLUO_LIB=%s/libfluo.so"):format(build, build)
  if not build:find("asan$") then return words end
  local runtime = output_of("cc -print-file-name=libasan.so"):match("%S+")
  return words .. " ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=" .. runtime
end

local passed, failed, skipped = 0, 0, 0

local function finish(job)
  local text = job.pipe:read("*a")
  job.pipe:close()
  local p, f, s = text:match("(%d+) passed, (%d+) failed, (%d+) %a+[^\n]*\n*$")
  if not p then p, f, s = 0, 1, 0 end                       -- it died before it could count
  passed, failed, skipped = passed + p, failed + f, skipped + s
  print(("%-12s %-48s %5d passed%s%s"):format(job.build, job.path, p, tonumber(f) > 0 and (", %d failed"):format(f) or "",
    tonumber(s) > 0 and (", %d skipped"):format(s) or ""))
  if tonumber(f) > 0 or tonumber(s) > 0 then print(text) end
  io.stdout:flush()
end

local running = {}
for _, build in ipairs(#arg > 0 and arg or { "build" }) do
  local words = environment(build)
  for _, path in ipairs(files()) do
    if #running == WIDTH then finish(table.remove(running, 1)) end
    local runner = path:find("^rules/") and build .. "/fluo test" or "busted"
    local pipe = io.popen(("env %s %s %s 2>&1"):format(words, runner, path))
    running[#running + 1] = { build = build, path = path, pipe = pipe }
  end
end
for _, job in ipairs(running) do finish(job) end

print(("%d passed, %d failed, %d skipped"):format(passed, failed, skipped))
os.exit(failed == 0 and passed > 0 and 0 or 1)
