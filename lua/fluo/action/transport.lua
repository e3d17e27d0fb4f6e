--- Requests of actions: checked against what they may reach, handed to the courier, and back as tables.
local abi = require("fluo.abi")
local units = require("fluo.units")
local ffi = abi.ffi

local M = {}

local TIMEOUT_NS, TIMEOUT_MAX_NS = 10000000000LL, 60000000000LL

local courier
local request_type = ffi.typeof("struct fluo_request")
local response = ffi.new("struct fluo_response")
local why = ffi.new("char[256]")

function M.open(pointer) courier = pointer end

-- ---- where a request may go ---------------------------------------------------------------------------

local function host_of(url)
  local host = ffi.new("char[256]")
  if abi.C.fluo_courier_host(courier, url, host, why) ~= 0 then return nil, ffi.string(why) end
  return (ffi.string(host):gsub("^%[(.*)%]$", "%1"))
end

--- Whether a list of hosts (names, addresses, `*.example.com`) has this one.
function M.is_listed(host, list)
  for _, listed in ipairs(list or {}) do
    listed = listed:lower()
    local tail = listed:match("^%*(%..+)")
    if listed == host or tail and #host > #tail and host:sub(-#tail) == tail then return true end
  end
  return false
end

-- The flags of a request that may be made; nil and why not. A host that is listed by its full name or address may lie
-- in a private network; `*.` may not. What a receiver's own settings name was written by whoever configures the agent.
local function permission(url, setup, settings)
  local host, failure = host_of(url)
  if not host then return nil, failure end
  local exact = {}
  for _, listed in ipairs(setup.hosts or {}) do
    if listed:sub(1, 2) ~= "*." then exact[#exact + 1] = listed end
  end
  for _, own in ipairs(settings.urls or { settings.url }) do exact[#exact + 1] = host_of(own) end
  if M.is_listed(host, exact) then return ffi.C.FLUO_REQUEST_PRIVATE end
  if M.is_listed(host, setup.hosts) then return 0 end
  return nil, ("the host %s is not among those that actions may reach: list it in actions.hosts"):format(host)
end

-- ---- requests -----------------------------------------------------------------------------------------

local function escaped(text)
  return (tostring(text):gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return names
end

local function body_of(asked, json)
  if asked.json then return json.encode(asked.json), "application/json" end
  if not asked.form then return asked.body or "", nil end
  local fields = {}
  for _, name in ipairs(sorted(asked.form)) do
    fields[#fields + 1] = escaped(name) .. "=" .. escaped(asked.form[name])
  end
  return table.concat(fields, "&"), "application/x-www-form-urlencoded"
end

local function headers_of(asked, content_type)
  local lines, has_type = {}, false
  for _, name in ipairs(sorted(asked.headers or {})) do
    local value = tostring(asked.headers[name])
    if name:find("[^%w!#$%%&'*+.^_`|~-]") or value:find("[\r\n%z]") then
      return nil, ("the header %q cannot be sent"):format(name)
    end
    has_type = has_type or name:lower() == "content-type"
    lines[#lines + 1] = name .. ": " .. value
  end
  if content_type and not has_type then lines[#lines + 1] = "Content-Type: " .. content_type end
  lines[#lines + 1] = "Expect:"
  return table.concat(lines, "\n") .. "\n"
end

local function timeout_ms(asked)
  local ns = asked.timeout and units.duration(asked.timeout) or TIMEOUT_NS
  if ns > TIMEOUT_MAX_NS then ns = TIMEOUT_MAX_NS end
  return tonumber(ns) / 1e6
end

--- Sends what an action asks for: its number, or nil and why not. settings: of the receiver.
function M.send(asked, setup, json, settings)
  local flags, refused = permission(asked.url, setup, settings)
  if not flags then return nil, refused end
  local body, content_type = body_of(asked, json)
  local headers, bad = headers_of(asked, content_type)
  if not headers then return nil, bad end
  local r = request_type { url = asked.url, method = asked.method or "POST", headers = headers, body = body,
    body_bytes = #body, user = asked.user, password = asked.password, ca_file = settings.ca_file or setup.ca_file,
    timeout_ms = timeout_ms(asked), flags = flags }
  local id = abi.C.fluo_courier_send(courier, r, why)
  if id == 0 then return nil, ffi.string(why) end
  return id
end

function M.cancel(id) abi.C.fluo_courier_cancel(courier, id) end

-- ---- responses ----------------------------------------------------------------------------------------

-- The last head's: what came before it were those of a 1xx.
local function headers_table(text)
  local headers = {}
  for line in text:gmatch("[^\r\n]+") do
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    if name then headers[name:lower()] = value
    elseif line:find("^HTTP/") then headers = {} end
  end
  return headers
end

local function next_response()
  if abi.C.fluo_courier_next(courier, response) == 0 then return nil end
  local id = response.id
  if response.error ~= nil then return id, { error = ffi.string(response.error) } end
  return id, { status = response.status, body = ffi.string(response.body, response.body_bytes),
               cut = response.cut ~= 0 or nil,
               retry_after = response.retry_after_s > 0 and response.retry_after_s or nil,
               headers = headers_table(ffi.string(response.headers, response.headers_bytes)) }
end

--- Iterates over those that have come: number, { status, body, headers, retry_after, cut } or { error }.
function M.responses() return next_response end

return M
