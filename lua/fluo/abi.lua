--- The one door from Lua to C for the load side: fluo.h for ffi, the few calls of libc that reading rule
-- files needs, and the functions of the core that the intermediate form needs.
local ffi = require("ffi")

local M = { ffi = ffi }

-- The header is embedded in the binary; from a source tree it is read where it stands.
local function header()
  local embedded, text = pcall(require, "fluo.header")
  if embedded then return text end
  local file = assert(io.open("include/fluo.h", "rb"))
  text = file:read("*a")
  file:close()
  return (("\n" .. text):gsub("\n#[^\n]*", "\n"))
end

-- ffi.cdef belongs to the process, not to this module: whoever declared it first has declared it for all.
local function declare(type_name, text)
  if not pcall(ffi.typeof, type_name) then ffi.cdef(text()) end
end

declare("struct fluo_ir_rule", header)
declare("struct fluo_dirent", function()
  return [[
    struct fluo_dirent { unsigned long d_ino; long d_off; unsigned short d_reclen; unsigned char d_type;
                         char d_name[256]; };
    void *opendir(const char *);
    struct fluo_dirent *readdir(void *);
    int closedir(void *);
    int open(const char *, int, ...);
    int close(int);
    long read(int, void *, size_t);
    char *strerror(int);
  ]]
end)

-- Specs run this outside of the binary and name the library; the binary itself never loads one.
local function library()
  if pcall(require, "fluo.header") then return ffi.C end
  local loaded, core = pcall(ffi.load, os.getenv("FLUO_LIB") or "build/libfluo.so")
  return loaded and core or ffi.C
end
M.C = library()

-- A function of the core, or nil where it is not linked in (a specification in plain luajit).
local function optional(name)
  local found, symbol = pcall(function() return M.C[name] end)
  return found and symbol or nil
end

local function why() return ffi.string(ffi.C.strerror(ffi.errno())) end

--- The names in a folder in sorted order, without "." and "..", or nil and why.
function M.list(folder)
  local handle = ffi.C.opendir(folder)
  if handle == nil then return nil, why() end
  local names = {}
  while true do
    local entry = ffi.C.readdir(handle)
    if entry == nil then break end
    local name = ffi.string(entry.d_name)
    if name ~= "." and name ~= ".." then names[#names + 1] = name end
  end
  ffi.C.closedir(handle)
  table.sort(names)
  return names
end

function M.is_folder(name)
  local handle = ffi.C.opendir(name)
  if handle == nil then return false end
  ffi.C.closedir(handle)
  return true
end

local O_RDONLY_NONBLOCK_CLOEXEC = 0x80800      -- a FIFO among the rules must not hang the start

--- The bytes of a file, or nil and why. Of a file longer than bytes_max, its first bytes_max + 1.
function M.read(name, bytes_max)
  local fd = ffi.C.open(name, O_RDONLY_NONBLOCK_CLOEXEC)
  if fd < 0 then return nil, why() end
  local pieces, total, size = {}, 0, 65536
  local block = ffi.new("uint8_t[?]", size)
  local failure
  while total <= bytes_max do
    local n = tonumber(ffi.C.read(fd, block, math.min(size, bytes_max + 1 - total)))
    if n < 0 then failure = why() end
    if n <= 0 then break end
    pieces[#pieces + 1] = ffi.string(block, n)
    total = total + n
  end
  ffi.C.close(fd)
  if failure then return nil, failure end
  return table.concat(pieces)
end

--- Whether the core is linked in.
function M.has_hash() return optional("fluo_hash128") ~= nil end

--- The core's 128-bit hash of a text as 16 bytes; an error where the core is not linked in.
function M.hash128(text)
  local hash = optional("fluo_hash128") or error("fluo_hash128 is not linked in", 2)
  local out = ffi.new("uint8_t[16]")
  hash(text, #text, out)
  return ffi.string(out, 16)
end

--- true if the core's regular expressions accept the text, else nil, why, and the offset of the fault.
-- Where the core is not linked in nothing is known, and that is true.
function M.regex_check(text)
  local check = optional("fluo_regex_check")
  if not check then return true end
  local message, offset = ffi.new("char[256]"), ffi.new("uint32_t[1]")
  if check(text, #text, message, 256, offset) == 0 then return true end
  return nil, ffi.string(message), tonumber(offset[0])
end

return M
