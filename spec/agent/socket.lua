--- A TCP client for specs: raw bytes out, parsed answers in, every wait bounded by poll(2) and a deadline.
--   local c = socket.connect(port, { loop = loop })   -- loop: a server in this very process, see spec.agent.loop
--   c:send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); local answer = c:answer()
local ffi = require("ffi")
--- What takes longer hangs: no wait for something that is to happen is shorter, however slow the machine.
local M = { PATIENCE_S = 60 }

ffi.cdef [[
struct spec_pollfd { int fd; short events, revents; };
struct spec_in { uint16_t family, port; uint8_t address[4]; uint8_t zero[8]; };
struct spec_in6 { uint16_t family, port; uint32_t flow; uint8_t address[16]; uint32_t scope; };
struct spec_timespec { long s, ns; };
int socket(int, int, int);
int connect(int, const void *, unsigned);
int bind(int, const void *, unsigned);
int getsockname(int, void *, unsigned *);
int setsockopt(int, int, int, const void *, unsigned);
int getsockopt(int, int, int, void *, unsigned *);
int shutdown(int, int);
int close(int);
long send(int, const void *, size_t, int);
long recv(int, void *, size_t, int);
int poll(struct spec_pollfd *, unsigned long, int);
int clock_gettime(int, struct spec_timespec *);
]]

local C = ffi.C
local AF_INET, AF_INET6, STREAM, NONBLOCK, CLOEXEC, NOSIGNAL = 2, 10, 1, 2048, 0x80000, 0x4000
local SOL_SOCKET, SO_REUSEADDR, SO_ERROR, SO_RCVBUF, SO_LINGER = 1, 2, 4, 8, 13
local POLLIN, POLLOUT, EAGAIN, EINPROGRESS = 1, 4, 11, 115

function M.now()
  local t = ffi.new("struct spec_timespec")
  C.clock_gettime(1, t)
  return tonumber(t.s) + tonumber(t.ns) / 1e9
end

--- Asks until the answer is true, and hands it back.
function M.until_true(asked)
  local deadline = M.now() + M.PATIENCE_S
  repeat
    local answer = asked()
    if answer then return answer end
    C.poll(nil, 0, 5)
  until M.now() > deadline
  error(("%d s later it was still not so"):format(M.PATIENCE_S), 2)
end

local function bound(fd, address)
  C.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ffi.new("int[1]", 1), 4)
  return C.bind(fd, address, ffi.sizeof(address)) == 0 and C.getsockname(fd, address, ffi.new("unsigned[1]", ffi.sizeof(address))) == 0
end

--- A port of this machine that nobody else is given and nobody listens on, until somebody is told to: it, and what
-- lets it go.
function M.reserve()
  local fd = C.socket(AF_INET, STREAM + CLOEXEC, 0)
  local address = ffi.new("struct spec_in", { family = AF_INET, address = { 127, 0, 0, 1 } })
  assert(bound(fd, address))
  return bit.bor(bit.lshift(bit.band(address.port, 255), 8), bit.rshift(address.port, 8)), function() C.close(fd) end
end

local Client = {}
Client.__index = Client

--- Waits until the socket is ready, or the deadline is past (then nil). Lets the loop run meanwhile.
function Client:wait(events, deadline)
  local fds = ffi.new("struct spec_pollfd[2]")
  while true do
    local loop = self.loop
    if loop then loop:run() end
    local left = math.max(0, deadline - M.now())
    local wait_ms = math.ceil(left * 1000)
    fds[0].fd, fds[0].events = self.fd, events
    if loop then
      fds[1].fd, fds[1].events = loop:fd(), POLLIN
      local due_ms = loop:timeout_ms()
      if due_ms >= 0 and due_ms < wait_ms then wait_ms = due_ms end
    end
    C.poll(fds, loop and 2 or 1, wait_ms)
    if fds[0].revents ~= 0 then return true end
    if left == 0 then return nil, "deadline" end
  end
end

--- nil, "deadline" | "error n": refused, reset …
function M.connect(port, options)
  options = options or {}
  local v6 = options.v6
  local self = setmetatable({ loop = options.loop, buffer = "" }, Client)
  self.fd = C.socket(v6 and AF_INET6 or AF_INET, STREAM + NONBLOCK, 0)
  if options.rcvbuf then C.setsockopt(self.fd, SOL_SOCKET, SO_RCVBUF, ffi.new("int[1]", options.rcvbuf), 4) end
  local address = v6 and ffi.new("struct spec_in6") or ffi.new("struct spec_in")
  address.family = v6 and AF_INET6 or AF_INET
  address.port = bit.bor(bit.lshift(bit.band(port, 255), 8), bit.rshift(port, 8))
  if v6 then address.address[15] = 1 else address.address[0], address.address[3] = 127, 1 end
  if C.connect(self.fd, address, ffi.sizeof(address)) ~= 0 then
    local err = ffi.new("int[1]", ffi.errno())
    if err[0] == EINPROGRESS then
      self:wait(POLLOUT, M.now() + M.PATIENCE_S)
      C.getsockopt(self.fd, SOL_SOCKET, SO_ERROR, err, ffi.new("unsigned[1]", 4))
    end
    if err[0] ~= 0 then
      self:close()
      return nil, "error " .. err[0]
    end
  end
  return self
end

--- Sends all of it: true; or nil and how much went, when the peer does not take it or is gone.
function Client:send(text, seconds)
  local deadline, sent = M.now() + (seconds or M.PATIENCE_S), 0
  while sent < #text do
    local piece = text:sub(sent + 1, sent + 65536)
    local n = tonumber(C.send(self.fd, piece, #piece, NOSIGNAL))
    if n > 0 then
      sent = sent + n
      if self.loop then self.loop:run() end
    elseif ffi.errno() ~= EAGAIN or not self:wait(POLLOUT, deadline) then
      return nil, sent
    end
  end
  return true
end

--- Some bytes; "" at the end of the stream; nil and why.
function Client:read(deadline, size)
  local place = ffi.new("char[?]", size or 65536)
  while true do
    local n = tonumber(C.recv(self.fd, place, size or 65536, 0))
    if n >= 0 then return ffi.string(place, n) end
    if ffi.errno() ~= EAGAIN then return nil, "error " .. ffi.errno() end
    local ok, why = self:wait(POLLIN, deadline)
    if not ok then return nil, why end
  end
end

local function parse_head(head)
  local status = tonumber(head:match("^HTTP/1%.1 (%d%d%d) [%w ]+\r\n"))
  local headers = {}
  for name, value in head:gmatch("\r\n([%w-]+): ([^\r\n]*)") do headers[name:lower()] = value end
  return { status = status, headers = headers, head = head }
end

--- One answer: { status, headers, body }. options.bare: it has no body (to HEAD). nil and why: the stream ended,
-- was reset, or the deadline passed.
function Client:answer(options)
  options = options or {}
  local deadline = M.now() + (options.seconds or M.PATIENCE_S)
  local answer, length
  while true do
    if not answer then
      local _, finish = self.buffer:find("\r\n\r\n", 1, true)
      if finish then
        answer = parse_head(self.buffer:sub(1, finish))
        self.buffer = self.buffer:sub(finish + 1)
        length = options.bare and 0 or tonumber(answer.headers["content-length"] or 0)
      end
    end
    if answer and #self.buffer >= length then
      answer.body = self.buffer:sub(1, length)
      self.buffer = self.buffer:sub(length + 1)
      return answer
    end
    local bytes, why = self:read(deadline)
    if not bytes then return nil, why end
    if bytes == "" then return nil, "closed" end
    self.buffer = self.buffer .. bytes
  end
end

--- What comes until the stream ends, and how it ended: "closed", "deadline" or "error n".
function Client:rest(seconds)
  local deadline = M.now() + (seconds or M.PATIENCE_S)
  while true do
    local bytes, why = self:read(deadline)
    if not bytes or bytes == "" then
      local all = self.buffer
      self.buffer = ""
      return all, why or "closed"
    end
    self.buffer = self.buffer .. bytes
  end
end

--- No more will be sent.
function Client:finish() C.shutdown(self.fd, 1) end

function Client:close()
  if self.fd then C.close(self.fd) end
  self.fd = nil
end

--- Ends it with a reset instead of a FIN.
function Client:reset()
  C.setsockopt(self.fd, SOL_SOCKET, SO_LINGER, ffi.new("int[2]", 1, 0), 8)
  self:close()
end

return M
