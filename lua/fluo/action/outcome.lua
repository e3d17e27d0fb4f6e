--- How a delivery ended: what a response, an error or a returned value says of it. 2xx is good; 3xx, 408, 425, 429, 5xx
-- and no response at all are tried again, at the time that Retry-After names; any other status is final (as
-- Alertmanager has it).
local action = require("fluo.action")
local percent = require("fluo.percent")

local M = {}

--- enum postroom_result.
local OK, RETRY, FAILED = 0, 1, 2
local BADNESS = { [OK] = 0, [FAILED] = 1, [RETRY] = 2 }
local EXIT_AGAIN = 75                -- EX_TEMPFAIL
local AGAIN = { [408] = true, [425] = true, [429] = true }
local TEXT_BYTES = 300
local SAID_BYTES_MAX = 2 ^ 17        -- COURIER_BODY_BYTES, and what an action says of them

function M.retry(text, seconds) return { code = RETRY, text = text, seconds = seconds } end
function M.failed(text) return { code = FAILED, text = text } end

-- Of an errand: 0 is good, 75 is tried again, any other exit status is final.
local function of_exit(ended)
  if ended.exit == 0 then return { code = OK, text = ended.text } end
  local text = ("exit status %d: %s"):format(ended.exit, ended.text)
  return ended.exit == EXIT_AGAIN and M.retry(text) or M.failed(text)
end

--- Of a response as http gives it: { status, body, headers, retry_after }, or { error }; refused: by its receiver, for
-- good. What could not be sent as things are configured is tried again: that is mended before the alert is old.
function M.of_response(response)
  local status = response.status
  if response.refused then return M.failed(response.error) end
  if response.error then return M.retry(response.error) end
  if response.exit then return of_exit(response) end
  if status >= 200 and status < 300 then return { code = OK, text = ("%d"):format(status) } end
  local text = ("%d %s"):format(status, response.body or "")
  if status >= 500 or status < 400 or AGAIN[status] then return M.retry(text, response.retry_after) end
  return M.failed(text)
end

local function is_response(value)
  return type(value) == "table" and (value.status or value.error or value.exit) and true or false
end

--- The worse of what was said until now (nil: nothing) and a response, so that one that nobody looked at is not lost.
-- To be tried again is worse than final, which it will be the next time, too.
function M.worse(worst, response)
  local this = M.of_response(response)
  return worst and BADNESS[this.code] <= BADNESS[worst.code] and worst or this
end

--- Of what an action returned: a response speaks for itself; true is good; nothing at all is as good as the worst of
-- its responses (nil: it made no request).
function M.of_return(value, worst)
  if action.ending(value) then return M.of_error(value) end
  if is_response(value) then return M.of_response(value) end
  if value == true then return { code = OK, text = "" } end
  if value ~= nil then
    return M.failed(("the action returned a %s; it returns a response, true, or nothing"):format(type(value)))
  end
  return worst or { code = OK, text = "" }
end

--- Of what an action raised. A mistake in it is tried again, too: its file may be mended before the alert is old.
function M.of_error(raised)
  local ended = action.ending(raised)
  if not ended then return M.retry(tostring(raised)) end
  return ended.result == "retry" and M.retry(ended.text, ended.seconds) or M.failed(ended.text)
end

-- ---- secrets ------------------------------------------------------------------------------------------

local SECRET_BYTES_MIN = 4
local ESCAPES = { ["\b"] = "\\b", ["\t"] = "\\t", ["\n"] = "\\n", ["\f"] = "\\f", ["\r"] = "\\r",
                  ['"'] = '\\"', ["\\"] = "\\\\" }

local function plain(text) return (text:gsub("%W", "%%%0")) end

-- In base64 behind some bytes (of a name and a colon, say): the digits that nothing but the value decides.
local function in_base64(value, before)
  local digits = action.base64(("\0"):rep(before) .. value)
  return digits:sub(math.ceil(before * 8 / 6) + 1, math.floor((before + #value) * 8 / 6))
end

-- As bodies, addresses and headers have it: as it is; in JSON, where a / may be escaped; in a form; in base64.
local function forms(value)
  local in_json = value:gsub('[%c"\\]', function(c) return ESCAPES[c] or ("\\u%04x"):format(c:byte()) end)
  return { value, in_json, (in_json:gsub("/", "\\/")), percent(value),
           in_base64(value, 0), in_base64(value, 1), in_base64(value, 2) }
end

--- The text without any secret's value, however it is escaped.
function M.scrub(text, setup)
  for _, value in pairs(setup.hidden or {}) do
    for _, form in ipairs(#value >= SECRET_BYTES_MIN and forms(value) or {}) do text = text:gsub(plain(form), "***") end
  end
  return text
end

--- A line of it for people: cut when no secret is in it any more, for half a one is not found. Others wait meanwhile:
-- what is longer than any answer is not looked through, and white space is not matched from where a line may end.
function M.line(text, setup)
  if #text > SAID_BYTES_MAX then return ("a text of %d bytes, which is too long to be said"):format(#text) end
  text = M.scrub(text, setup):gsub("[%s%c]+", " "):gsub(" $", "")
  return #text > TEXT_BYTES and text:sub(1, TEXT_BYTES) .. "…" or text
end

-- ---- JSON ---------------------------------------------------------------------------------------------

--- The cjson library, found where it is needed; an error where there is none. It escapes every /, which nobody needs
-- who does not put JSON into HTML: here texts are as people read them.
function M.json()
  local open, why = package.loadlib("liblua5.1-cjson.so.0", "luaopen_cjson")
  if not open then error("liblua5.1-cjson.so.0 is needed to send alerts (Debian: lua-cjson): " .. tostring(why), 0) end
  local cjson = open()
  cjson.encode_sparse_array(true)
  local encode = cjson.encode
  function cjson.encode(value) return (encode(value):gsub("\\/", "/")) end
  return cjson
end

return M
