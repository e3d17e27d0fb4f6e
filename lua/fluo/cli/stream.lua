--- What the running agent says on its admin listener: a stream, line by line, or one answer. HTTP/1.0, so that its end
-- is the connection's. Signals that end a command end the stream, and the command has its say.
local abi = require("fluo.abi")
local ffi = abi.ffi

local M = {}

pcall(ffi.cdef, [[
  struct fluo_stream_pollfd { int fd; short events, revents; };
  struct fluo_stream_timespec { long s, ns; };
  int socket(int, int, int);
  int connect(int, const void *, unsigned);
  int inet_pton(int, const char *, void *);
  int poll(struct fluo_stream_pollfd *, unsigned long, int);
  int clock_gettime(int, struct fluo_stream_timespec *);
  int sigemptyset(void *);
  int sigaddset(void *, int);
  int sigprocmask(int, const void *, void *);
  int signalfd(int, const void *, int);
  int ftruncate(int, long);
  long write(int, const void *, size_t);
]])

local C = ffi.C
local INET, INET6, STREAM_CLOEXEC = 2, 10, 0x80001
local POLLIN, EINTR, EPIPE, ECONNREFUSED = 1, 4, 32, 111
local SIGINT, SIGTERM, BLOCK, NONBLOCK_CLOEXEC = 2, 15, 0, 0x80800
local BLOCK_BYTES = 65536
-- The agent sends a sign of life a second; one that does not is stopped, or no agent.
local SILENCE_MS = 15000
local HEAD_BYTES_MAX = 65536

local function why() return ffi.string(C.strerror(ffi.errno())) end

--- Seconds, by a clock that never runs backwards.
function M.now()
  local t = ffi.new("struct fluo_stream_timespec")
  C.clock_gettime(1, t)
  return tonumber(t.s) + tonumber(t.ns) / 1e9
end

local Stream = {}
Stream.__index = Stream

-- A socket address as the kernel has it: bytes, and the family.
local function address_of(host, port)
  local v6 = host:find(":", 1, true) ~= nil
  local bytes = ffi.new("uint8_t[28]")
  ffi.cast("uint16_t *", bytes)[0] = v6 and INET6 or INET
  bytes[2], bytes[3] = bit.rshift(port, 8), bit.band(port, 255)
  if C.inet_pton(v6 and INET6 or INET, host, bytes + (v6 and 8 or 4)) ~= 1 then return nil end
  return bytes, v6 and INET6 or INET, v6 and 28 or 16
end

-- SIGINT and SIGTERM as something to read.
local function open_signals()
  local set = ffi.new("uint64_t[16]")
  C.sigemptyset(set)
  C.sigaddset(set, SIGINT)
  C.sigaddset(set, SIGTERM)
  C.sigprocmask(BLOCK, set, nil)
  return C.signalfd(-1, set, NONBLOCK_CLOEXEC)
end

--- Waits so many seconds, until a deadline at most: nil; or what ended it before, "deadline" or "signal".
function M.pause(seconds, deadline)
  local until_s = M.now() + seconds
  local signals = open_signals()
  local polled = ffi.new("struct fluo_stream_pollfd[1]", { { signals, POLLIN, 0 } })
  repeat
    local left = math.min(until_s, deadline or until_s) - M.now()
    C.poll(polled, 1, math.max(0, math.ceil(left * 1000)))
  until polled[0].revents ~= 0 or left <= 0
  C.close(signals)
  if polled[0].revents ~= 0 then return "signal" end
  return deadline and deadline <= M.now() and "deadline" or nil
end

local function connect(host, port, shown)
  local bytes, family, size = address_of(host, port)
  local fd = bytes and C.socket(family, STREAM_CLOEXEC, 0) or -1
  if fd < 0 then return nil, ("%s: no such address"):format(shown) end
  if C.connect(fd, bytes, size) == 0 then return fd end
  local refused, text = ffi.errno() == ECONNREFUSED, why()
  C.close(fd)
  if not refused then return nil, ("%s: %s"):format(shown, text) end
  local hint = "is `fluo run` running? --listen.admin, FLUO_LISTEN_ADMIN or fluo.lua say where"
  return nil, ("nobody listens on %s: %s"):format(shown, hint)
end

local function write_all(fd, text)
  local at = 0
  while at < #text do
    local n = tonumber(C.write(fd, ffi.cast("const char *", text) + at, #text - at))
    if n < 0 and ffi.errno() ~= EINTR then return nil, why(), ffi.errno() == EPIPE end
    if n > 0 then at = at + n end
  end
  return true
end
--- Writes all of it to a descriptor: true; or nil, why, and whether it is that nobody reads it any more.
M.write_all = write_all

local WRONLY_CREATE_TRUNCATE_CLOEXEC, OURS = 0x80241, 384     -- 0600: what is recorded may be personal

--- A file to write to: its descriptor; or nil and why.
function M.create(path)
  local fd = C.open(path, WRONLY_CREATE_TRUNCATE_CLOEXEC, ffi.cast("int", OURS))
  if fd < 0 then return nil, why() end
  return fd
end

--- Cuts a file behind so many bytes; what is no file stays as it is.
function M.truncate(fd, bytes) return C.ftruncate(fd, bytes) == 0 end

function M.close(fd) return C.close(fd) == 0 end

-- Some bytes, "" at the end; or nil and "deadline", "signal", or what went wrong.
function Stream:read(deadline)
  while true do
    local left = deadline and (deadline - M.now()) * 1000 or SILENCE_MS
    if left <= 0 then return nil, "deadline" end
    self.polled[0].revents, self.polled[1].revents = 0, 0
    local ready = C.poll(self.polled, 2, math.min(math.ceil(left), SILENCE_MS))
    if self.polled[1].revents ~= 0 then return nil, "signal" end
    if ready > 0 then
      local n = tonumber(C.read(self.fd, self.block, BLOCK_BYTES))
      if n >= 0 then return ffi.string(self.block, n) end
      if ffi.errno() ~= EINTR then return nil, why() end
    elseif ready == 0 then
      if deadline and left <= SILENCE_MS then return nil, "deadline" end
      return nil, ("the agent said nothing for %d s"):format(SILENCE_MS / 1000)
    end
  end
end

-- Reads the head of the answer: its status, what is behind it being pending; or nil and why.
function Stream:head()
  local text, deadline = "", M.now() + SILENCE_MS / 1000
  while not text:find("\r\n\r\n", 1, true) do
    local bytes, trouble = self:read(deadline)
    if not bytes or bytes == "" or #text > HEAD_BYTES_MAX then
      return nil, ("%s does not answer as an agent would: %s"):format(self.shown, trouble or "the connection ended")
    end
    text = text .. bytes
  end
  local head, rest = text:match("^(.-\r\n\r\n)(.*)$")
  self.pending = { rest }
  local status = tonumber(head:match("^HTTP/1%.%d (%d%d%d)"))
  return status, not status and ("%s answers no HTTP"):format(self.shown) or nil
end

-- What the agent has against the request: the message of its JSON, or its first line.
function Stream:refusal(status)
  local bytes = self.pending[1] ~= "" and self.pending[1] or self:read(M.now() + SILENCE_MS / 1000) or ""
  local said = bytes:match('"message":"([^"]*)"') or bytes:match("^[^\r\n]*")
  return ("%s answers %d: %s"):format(self.shown, status, (said:gsub("%c", "?")))
end

local function request_of(shown, verb, target, body, headers)
  local lines = { ("%s %s HTTP/1.0"):format(verb, target), "Host: " .. shown }
  for _, line in ipairs(headers or {}) do lines[#lines + 1] = line end
  if body then lines[#lines + 1] = ("Content-Type: application/json\r\nContent-Length: %d"):format(#body) end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

-- A connection on which the request was sent, and the status of the answer.
local function begin(address, verb, target, body, headers)
  local host, port = address:match("^(%S+) (%d+)$")
  if not host then return nil, "listen.admin is none: such an agent cannot be asked" end
  local shown = (host:find(":", 1, true) and "[%s]:%s" or "%s:%s"):format(host, port)
  local fd, trouble = connect(host, tonumber(port), shown)
  if not fd then return nil, trouble end
  local self = setmetatable({ fd = fd, shown = shown, pending = {} }, Stream)
  self.block = ffi.new("uint8_t[?]", BLOCK_BYTES)
  self.signals = open_signals()
  self.polled = ffi.new("struct fluo_stream_pollfd[2]", { { fd, POLLIN, 0 }, { self.signals, POLLIN, 0 } })
  local good
  good, trouble = write_all(fd, request_of(shown, verb, target, body, headers))
  local status
  if good then status, trouble = self:head() end
  if status then return self, status end
  self:close()
  return nil, trouble
end

--- Asks the agent whose admin listener is at that address, as the configuration has it ("host port"): a stream; or
-- nil and why. headers: lines, or nil.
function M.open(address, target, headers)
  local self, status = begin(address, "GET", target, nil, headers)
  if not self then return nil, status end
  if status == 200 then return self end
  local trouble = self:refusal(status)
  self:close()
  return nil, trouble
end

-- All of an answer.
function Stream:rest()
  local deadline = M.now() + SILENCE_MS / 1000
  while true do
    local bytes, trouble = self:read(deadline)
    if not bytes then return nil, trouble end
    if bytes == "" then return table.concat(self.pending) end
    self.pending[#self.pending + 1] = bytes
  end
end

--- One request, and its answer: status and text; or nil and why. body: JSON, or nil.
function M.ask(address, verb, target, body)
  local self, status = begin(address, verb, target, body)
  if not self then return nil, status end
  local text, trouble = self:rest()
  self:close()
  if not text then return nil, ("%s did not answer: %s"):format(self.shown, trouble) end
  return status, text
end

-- The first whole line of what was read, without its end, or nil: what there is has none.
function Stream:whole()
  local last = self.pending[#self.pending]
  if not last or not last:find("\n", 1, true) then return nil end
  local text = #self.pending == 1 and last or table.concat(self.pending)
  local stop = text:find("\n", self.at or 1, true)
  local line = text:sub(self.at or 1, stop - 1)
  self.pending, self.at = { text }, stop + 1
  if not text:find("\n", self.at, true) then self.pending, self.at = { text:sub(self.at) }, nil end
  return line
end

--- The next line, which may be empty; nil at the end, with what ended it: "ended", "deadline" (in seconds as now() has
-- them), "signal", or what went wrong.
function Stream:line(deadline)
  while true do
    local line = self:whole()
    if line then return line end
    local bytes, trouble = self:read(deadline)
    if not bytes then return nil, trouble end
    if bytes == "" then return nil, "ended" end
    self.pending[#self.pending + 1] = bytes
  end
end

function Stream:close()
  C.close(self.fd)
  C.close(self.signals)
end

return M
