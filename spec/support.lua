--- Lets a spec call the C core: loads the shared library of all rooms and declares their headers.
--   local core = require("spec.support").core("heap", "buffer")
local ffi = require("ffi")
local M = {}

local declared = {}

-- Headers are preprocessed without the system's own (LuaJIT knows stdint's types and bool by itself).
local function preprocess(name)
  local command = ("cc -E -P -nostdinc -Ispec/include -Iinclude -Icore -DFLUO_SPEC -D_Bool=bool core/%s.h 2>&1"):format(name)
  local pipe = assert(io.popen(command))
  local text = pipe:read("*a")
  pipe:close()
  return text
end

-- Each declaration once, though headers include each other.
local function declare(name)
  local text = preprocess(name)
  local depth, start, pieces = 0, 1, {}
  for at, character in text:gmatch("()([{};])") do
    if character == "{" then depth = depth + 1
    elseif character == "}" then depth = depth - 1
    elseif depth == 0 then
      pieces[#pieces + 1] = text:sub(start, at)
      start = at + 1
    end
  end
  for _, piece in ipairs(pieces) do
    local key = piece:gsub("%s+", " "):gsub("^ ", "")
    if not declared[key] then
      declared[key] = true
      -- fluo.abi may have declared fluo.h in this process before.
      local ok, why = pcall(ffi.cdef, piece)
      if not ok and not why:find("redefine", 1, true) then error(why .. ": " .. piece) end
    end
  end
end

local library
function M.core(...)
  for _, name in ipairs({ ... }) do declare(name) end
  library = library or ffi.load(os.getenv("FLUO_LIB") or "build/libfluo.so")
  return library, ffi
end

--- Text with its bytes right before an unmapped page: reading one byte past it crashes.
ffi.cdef [[
void *mmap(void *, size_t, int, int, int, long);
int munmap(void *, size_t);
int mprotect(void *, size_t, int);
]]
function M.guarded(text)
  local page = 4096
  local size = math.ceil(math.max(#text, 1) / page) * page
  local base = ffi.cast("uint8_t *", ffi.C.mmap(nil, size + page, 3, 0x22, -1, 0))
  ffi.C.mprotect(base + size, page, 0)
  local p = base + size - #text
  ffi.copy(p, text, #text)
  return p, #text, function() ffi.C.munmap(base, size + page) end
end

function M.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

--- Whether a process has ended, also where nobody has waited for it.
function M.has_ended(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return (text:match("%) (%u)") or "Z") == "Z"
end

--- Text as gzip has it, the same for the same text. level: 1 to 9, default 6.
function M.gzip(text, level)
  local path = os.tmpname()
  local pipe = assert(io.popen(("gzip -nc%d >%s"):format(level or 6, path), "w"))
  pipe:write(text)
  pipe:close()
  local packed = M.read(path)
  os.remove(path)
  return packed
end

return M
