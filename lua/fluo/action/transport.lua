--- Requests of actions: checked against what they may reach, handed to the courier, and back as tables. Errands take
-- the same way; their numbers are negative.
local abi = require("fluo.abi")
local percent = require("fluo.percent")
local units = require("fluo.units")
local ffi = abi.ffi

local M = {}

local TIMEOUT_NS, TIMEOUT_MAX_NS = 10000000000LL, 60000000000LL

local courier, errands
local request_type = ffi.typeof("struct fluo_request")
local response = ffi.new("struct fluo_response")
local errand_type, errand_end = ffi.typeof("struct fluo_errand"), ffi.new("struct fluo_errand_end")
local why = ffi.new("char[256]")

function M.open(courier_pointer, errands_pointer) courier, errands = courier_pointer, errands_pointer end

--- HMAC-SHA-256: 32 bytes.
function M.hmac(key, text)
  local out = ffi.new("uint8_t[32]")
  local good = abi.C.fluo_hmac_sha256(key, #key, text, #text, out) == 0
  if not good then error("libcrypto.so.3 is needed to sign, and is not there", 0) end
  return ffi.string(out, 32)
end

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

local own = setmetatable({}, { __mode = "k" })

-- The hosts that a receiver's settings name, which do not change.
local function own_hosts(settings)
  local list = own[settings] or {}
  if own[settings] then return list end
  for _, url in ipairs(settings.urls or { settings.url }) do list[#list + 1] = (host_of(url)) end
  own[settings] = list
  return list
end

-- The flags of a request that may be made, and its host; nil and why not. A host that is listed by its full name or
-- address may lie in a private network; `*.` may not. What a receiver's own settings name was written by whoever
-- configures the agent.
local function permission(url, setup, settings)
  local host, failure = host_of(url)
  if not host then return nil, failure end
  local exact = {}
  for _, listed in ipairs(setup.hosts or {}) do
    if listed:sub(1, 2) ~= "*." then exact[#exact + 1] = listed end
  end
  local is_exact = M.is_listed(host, exact) or M.is_listed(host, own_hosts(settings))
  if is_exact then return ffi.C.FLUO_REQUEST_PRIVATE, host end
  if M.is_listed(host, setup.hosts) then return 0, host end
  return nil, ("the host %s is not among those that actions may reach: list it in actions.hosts"):format(host)
end

-- ---- requests -----------------------------------------------------------------------------------------

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
    fields[#fields + 1] = percent(name) .. "=" .. percent(asked.form[name])
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

--- How long a request or an errand may take.
function M.timeout_ms(asked)
  local ns = asked.timeout and units.duration(asked.timeout) or TIMEOUT_NS
  if ns > TIMEOUT_MAX_NS then ns = TIMEOUT_MAX_NS end
  return tonumber(ns) / 1e6
end

-- The request as C has it, without what it is allowed to; or nil and why not.
local function request_of(asked, json)
  if asked.mail then return { body = asked.body, from = asked.from, to = table.concat(asked.to, "\n") .. "\n" } end
  local body, content_type = body_of(asked, json)
  local headers, bad = headers_of(asked, content_type)
  if not headers then return nil, bad end
  return { method = asked.method or "POST", headers = headers, body = body }
end

local under_way = {}                   -- by number: { host, mail }; what an answer means is another thing for mails

--- Sends what an action asks for: its number, or nil and why not. settings: of the receiver.
function M.send(asked, setup, json, settings)
  local flags, host = permission(asked.url, setup, settings)
  if not flags then return nil, host end
  local r, bad = request_of(asked, json)
  if not r then return nil, bad end
  local given = request_type { url = asked.url, method = r.method, headers = r.headers, body = r.body,
    body_bytes = #r.body, from = r.from, to = r.to, user = asked.user, password = asked.password,
    ca_file = settings.ca_file or setup.ca_file, timeout_ms = M.timeout_ms(asked), flags = flags }
  local id = abi.C.fluo_courier_send(courier, given, why)
  if id == 0 then return nil, ffi.string(why) end
  under_way[id] = { host = host, mail = asked.mail }
  return id
end

--- The text of a request, for people.
function M.show(asked, json)
  local r, bad = request_of(asked, json)
  if not r then return bad end
  if asked.mail then
    return ("MAIL %s\nMAIL FROM %s\nRCPT TO %s\n%s\n\n%s\n"):format(asked.url, r.from, table.concat(asked.to, ", "),
      r.body:match("^(.-)\r\n\r\n"):gsub("\r", ""), asked.text)
  end
  return ("%s %s\n%s\n%s\n"):format(r.method, asked.url, r.headers:gsub("Expect:\n", ""), r.body)
end

--- Begins an errand (errand.lua): its number, or nil and why not.
function M.errand(asked)
  local words = table.concat(asked.words, "\0") .. "\0"
  local id = abi.C.fluo_errand_start(errands,
    errand_type { words = words, words_bytes = #words, input = asked.input, input_bytes = #asked.input }, why)
  if id == 0 then return nil, ffi.string(why) end
  return -id
end

function M.cancel(id)
  under_way[id] = nil
  if id < 0 then abi.C.fluo_errand_cancel(errands, -id)
  else abi.C.fluo_courier_cancel(courier, id) end
end

-- ---- responses ----------------------------------------------------------------------------------------

-- The last head's: what came before it were those of a 1xx.
local function headers_table(text)
  local headers = {}
  for line in text:gmatch("[^\r\n]+") do
    local name, value = line:match("^([^:]+):%s*(.*)$")
    if name then headers[name:lower()] = value:match("^.*%S") or ""
    elseif line:find("^HTTP/") then headers = {} end
  end
  return headers
end

local function next_errand()
  if abi.C.fluo_errand_next(errands, errand_end) == 0 then return nil end
  local text = ffi.string(errand_end.text, errand_end.text_bytes):gsub("%s+$", "")
  if errand_end.killed ~= 0 then
    return -errand_end.id, { error = ("it was ended by signal %d: %s"):format(errand_end.killed, text) }
  end
  return -errand_end.id, { exit = errand_end.status, text = text }
end

local function next_response()
  local ended, result = next_errand()
  if ended then return ended, result end
  if abi.C.fluo_courier_next(courier, response) == 0 then return nil end
  local id = response.id
  local it = under_way[id]
  under_way[id] = nil
  if response.error ~= nil then
    return id, { error = it.host .. ": " .. ffi.string(response.error),
                 refused = it.mail and response.status >= 500 or nil }
  end
  return id, { status = response.status, body = ffi.string(response.body, response.body_bytes),
               cut = response.cut ~= 0 or nil,
               retry_after = response.retry_after_s > 0 and response.retry_after_s or nil,
               headers = headers_table(ffi.string(response.headers, response.headers_bytes)) }
end

--- Iterates over those that have come: number, { status, body, headers, retry_after, cut } or { error }; of an errand
-- { exit, text } or { error }.
function M.responses() return next_response end

return M
