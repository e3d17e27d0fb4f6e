--- Runs every spec file in a process of its own (declarations for the ffi, the heap's counters and loaded
-- modules belong to a process), two at a time, and adds up: `N passed, N failed, N skipped`.
-- Usage: luajit spec/run.lua [FILE OR FOLDER…]
local places = #arg > 0 and table.concat(arg, " ") or "spec rules"
local WIDTH = tonumber(os.getenv("SPEC_JOBS") or 2)

-- A sanitizer's runtime has to come first where the library of the core was built with one.
local preload = os.getenv("SPEC_PRELOAD")
preload = preload and ("LD_PRELOAD=%s "):format(preload) or ""

local files = {}
local listing = io.popen("find " .. places .. " -name '*_spec.lua' | sort")
for path in listing:lines() do files[#files + 1] = path end
listing:close()

local passed, failed, skipped = 0, 0, 0

local function finish(path, pipe)
  local text = pipe:read("*a")
  pipe:close()
  local p, f, s = text:match("(%d+) passed, (%d+) failed, (%d+) skipped\n*$")
  if not p then p, f, s = 0, 1, 0 end                       -- it died before it could count
  passed, failed, skipped = passed + p, failed + f, skipped + s
  print(("%-48s %5d passed%s%s"):format(path, p, tonumber(f) > 0 and (", %d failed"):format(f) or "",
    tonumber(s) > 0 and (", %d skipped"):format(s) or ""))
  if tonumber(f) > 0 or tonumber(s) > 0 then print(text) end
  io.stdout:flush()
end

local running = {}
for _, path in ipairs(files) do
  if #running == WIDTH then finish(unpack(table.remove(running, 1))) end
  running[#running + 1] = { path, io.popen(preload .. "busted " .. path .. " 2>&1") }
end
for _, job in ipairs(running) do finish(unpack(job)) end

print(("%d passed, %d failed, %d skipped"):format(passed, failed, skipped))
os.exit(failed == 0 and passed > 0 and 0 or 1)
