--- action.mail: what it takes, and the message that it makes of it (RFC 5322, a text in UTF-8).
local M = {}

local KEYS = { url = "string", from = "string", subject = "string", text = "string", id = "string", user = "string",
               password = "string", timeout = "string" }
local TO_MAX, SUBJECT_BYTES = 64, 900
local LINE = 76

local function check(asked)
  if type(asked) ~= "table" then error("action.mail takes a table, as in action.mail { url = …, to = … }", 4) end
  for key, value in pairs(asked) do
    if key ~= "to" and not KEYS[key] then error(("action.mail knows no `%s`"):format(tostring(key)), 4) end
    if key ~= "to" and type(value) ~= KEYS[key] then error(("action.mail: `%s` is text"):format(key), 4) end
  end
  for _, key in ipairs { "url", "from", "to", "subject", "text" } do
    if asked[key] == nil then error(("action.mail needs `%s`"):format(key), 4) end
  end
end

-- It goes into a line of the protocol as it is.
local function address(text)
  text = tostring(text)
  if #text > 254 or not text:find("^[^%s%c<>(),;:\"]+@[^%s%c<>(),;:\"]+$") then
    error(("action.mail: %q is no address"):format(text), 5)
  end
  return text
end

local function addresses(to)
  local list = {}
  for i, each in ipairs(type(to) == "table" and to or { to }) do list[i] = address(each) end
  if #list == 0 or #list > TO_MAX then error(("action.mail: `to` is 1 to %d addresses"):format(TO_MAX), 4) end
  return list
end

-- Words of at most 75 bytes, each whole characters (RFC 2047).
local function encoded(text, base64)
  text = text:gsub("%c+", " "):sub(1, SUBJECT_BYTES)
  if not text:find("[\128-\255]") and #text <= LINE then return text end
  local words, at = {}, 1
  while at <= #text do
    local last = at + 44
    while last > at and (text:byte(last + 1) or 0) >= 0x80 and text:byte(last + 1) < 0xc0 do last = last - 1 end
    words[#words + 1] = "=?UTF-8?B?" .. base64(text:sub(at, last)) .. "?="
    at = last + 1
  end
  return table.concat(words, "\r\n ")
end

local function body_of(text, base64)
  local all, lines = base64(text), {}
  for at = 1, #all, LINE do lines[#lines + 1] = all:sub(at, at + LINE - 1) end
  return table.concat(lines, "\r\n")
end

--- The request that is handed to the courier. unix: seconds.
function M.request(asked, unix, base64)
  check(asked)
  local from, to = address(asked.from), addresses(asked.to)
  local head = { "From: " .. from, "To: " .. table.concat(to, ",\r\n "), "Subject: " .. encoded(asked.subject, base64),
                 os.date("!Date: %a, %d %b %Y %H:%M:%S +0000", unix) }
  if asked.id then
    head[#head + 1] = ("Message-ID: <%s@%s>"):format(asked.id:gsub("[^%w.-]", "-"), from:match("@(.+)$"))
  end
  head[#head + 1] = "Auto-Submitted: auto-generated"            -- whoever is away need not say so (RFC 3834)
  head[#head + 1] = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64"
  return { mail = true, url = asked.url, user = asked.user, password = asked.password, timeout = asked.timeout,
           from = from, to = to, subject = asked.subject, text = asked.text,
           body = table.concat(head, "\r\n") .. "\r\n\r\n" .. body_of(asked.text, base64) .. "\r\n" }
end

return M
