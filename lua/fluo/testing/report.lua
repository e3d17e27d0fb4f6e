--- What came of a run of specs: for people, as JSON lines, as JUnit XML.
local json = require("dkjson")

local M = {}

local COLOURS = { success = "32", failure = "31", error = "31", pending = "33" }
local WORDS = { success = "ok", failure = "FAILED", error = "ERROR", pending = "pending" }

--- How many results have each status; with `seconds`, the sum.
function M.sum(results)
  local sum = { success = 0, failure = 0, error = 0, pending = 0, seconds = 0 }
  for _, result in ipairs(results) do
    sum[result.status] = sum[result.status] + 1
    sum.seconds = sum.seconds + result.seconds
  end
  return sum
end

-- Control characters in what a test says do not reach the terminal.
local function printable(text) return (text:gsub("[%z\1-\8\11-\31\127]", "?")) end

local function painter(colour)
  return function(status, text)
    return colour and ("\27[%sm%s\27[0m"):format(COLOURS[status], text) or text
  end
end

local function place(result) return ("%s:%d"):format(result.file, result.line) end

local function of_test(result, paint)
  local lines = { ("%s %s"):format(paint(result.status, WORDS[result.status]), printable(result.name)) }
  if result.status == "failure" or result.status == "error" then
    lines[2] = ("  %s: %s"):format(place(result), printable(result.message or ""):gsub("\n", "\n  "))
  end
  return table.concat(lines, "\n")
end

--- Lines for people: every test, below one that failed where and why, and the sum.
function M.text(results, colour)
  local lines, paint, sum = {}, painter(colour), M.sum(results)
  for i, result in ipairs(results) do lines[i] = of_test(result, paint) end
  local wrong = sum.failure + sum.error
  local counts = ("%d passed, %d failed, %d pending"):format(sum.success, wrong, sum.pending)
  lines[#lines + 1] = ("%s in %.1f s"):format(paint(wrong > 0 and "failure" or "success", counts), sum.seconds)
  return table.concat(lines, "\n") .. "\n"
end

local KEYS = { keyorder = { "name", "status", "file", "line", "seconds", "message" } }

--- One JSON object a test.
function M.json(results)
  local lines = {}
  for i, r in ipairs(results) do
    lines[i] = json.encode({ name = r.name, status = r.status, file = r.file, line = r.line, seconds = r.seconds,
                             message = r.message }, KEYS) .. "\n"
  end
  return table.concat(lines)
end

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["\n"] = "&#10;" }

-- XML has no place for other control characters.
local function xml(text) return (printable(text):gsub('[&<>"\n]', ENTITIES)) end

local TAGS = { failure = "failure", error = "error", pending = "skipped" }

local function testcase(result)
  local file = xml(result.file)
  local head = ('<testcase classname="%s" name="%s" file="%s" line="%d" time="%.3f"'):format(file, xml(result.name),
    file, result.line, result.seconds)
  local tag = TAGS[result.status]
  if not tag then return head .. "/>" end
  local message = xml(("%s: %s"):format(place(result), result.message or ""))
  return ('%s><%s message="%s"/></testcase>'):format(head, tag, message)
end

--- JUnit XML, as build servers read it.
function M.junit(results)
  local sum = M.sum(results)
  local lines = { '<?xml version="1.0" encoding="UTF-8"?>',
    ('<testsuite name="fluo test" tests="%d" failures="%d" errors="%d" skipped="%d" time="%.3f">'):format(#results,
      sum.failure, sum.error, sum.pending, sum.seconds) }
  for _, result in ipairs(results) do lines[#lines + 1] = "  " .. testcase(result) end
  lines[#lines + 1] = "</testsuite>\n"
  return table.concat(lines, "\n")
end

return M
