--- Text queries: `query "sum(api_calls) > 10000 during 1m where service = \"bot\" by (service)"`.
-- rules/README.md, Windows and sequences.
-- M.parse gives a plain table, or nil, message, hint, the word at fault; M.window makes a window of it.
local operand = require("fluo.operand")
local scan = require("fluo.dialect.scan")
local suggest = require("fluo.suggest")
local window = require("fluo.window")

local M = { BYTES_MAX = 65536, TERMS_MAX = 1000 }

local FORM = "agg(x) > n during D [where k = v and …] [by (k, …)]"
local AGGREGATES = { "count", "sum", "avg", "min", "max", "p", "rate", "distinct", "ratio" }
local METHOD = { [">"] = "over", [">="] = "at_least", ["<"] = "under", ["<="] = "at_most" }
local OPERAND = { ["="] = "eq", ["=="] = "eq", ["!="] = "ne", [">"] = "gt", [">="] = "ge", ["<"] = "lt",
                  ["<="] = "le" }
local KEYWORDS = { during = true, where = true, by = true, ["and"] = true }

-- Keywords and aggregates are written in any case, as people write such queries.
local function is_keyword(word) return KEYWORDS[word:lower()] ~= nil end

-- ---- tokens --------------------------------------------------------------------------------------

local function wrong(message, hint, word) error({ message = message, hint = hint, word = word }, 0) end

local ESCAPES = { n = "\n", t = "\t", r = "\r" }

local function quoted(text, at)
  local quote, out, i = text:sub(at, at), {}, at + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == quote then return table.concat(out), i + 1 end
    if c == "\\" then
      i = i + 1
      c = text:sub(i, i)
      c = ESCAPES[c] or c
    end
    out[#out + 1] = c
    i = i + 1
  end
  wrong("a quote is not closed", nil, text:sub(at))
end

local function next_token(text, at)
  at = text:find("%S", at)
  if not at then return nil end
  local c = text:sub(at, at)
  if c == '"' or c == "'" then
    local value, behind = quoted(text, at)
    return { kind = "text", text = value }, behind
  end
  local op = text:match("^[><!=]=", at) or text:match("^[><=(),]", at)
  if op then return { kind = "op", text = op }, at + #op end
  local word = text:match("^[^%s()\"'<>=!,]+", at)
  if not word then wrong(("`%s` is no part of a query"):format(c), FORM, c) end
  return { kind = "word", text = word }, at + #word
end

local function tokens_of(text)
  local list, token, at = {}, next_token(text, 1)
  while token do
    list[#list + 1] = token
    token, at = next_token(text, at)
  end
  return list
end

-- ---- grammar -------------------------------------------------------------------------------------

local Parser = {}
Parser.__index = Parser

function Parser:peek() return self.tokens[self.at] end

function Parser:shown()
  local token = self:peek()
  return token and ("`" .. token.text .. "`") or "the end"
end

function Parser:is(kind, text)
  local token = self:peek()
  return token ~= nil and token.kind == kind and (text == nil or token.text:lower() == text)
end

function Parser:take(kind, text)
  if not self:is(kind, text) then return nil end
  self.at = self.at + 1
  return self.tokens[self.at - 1]
end

function Parser:want(kind, text, what)
  local token = self:take(kind, text)
  if token then return token end
  local at = self:peek()
  wrong(("expected %s, not %s"):format(what, self:shown()), FORM, at and at.text)
end

function Parser:name(what)
  local token = self:take("word") or self:take("text")
  if token and not (token.kind == "word" and is_keyword(token.text)) then return token.text end
  wrong(("expected %s, not %s"):format(what, token and "`" .. token.text .. "`" or self:shown()), FORM,
    token and token.text)
end

-- A decimal number, or nil: `inf`, `nan` and `0x10` are words.
local function decimal(word) return word:find("^[+-]?[%d.]+[eE]?[+-]?%d*$") and tonumber(word) or nil end

function Parser:number(what)
  local token = self:peek()
  local n = token and token.kind == "word" and decimal(token.text)
  if n then
    self.at = self.at + 1
    return n
  end
  wrong(("expected %s, not %s"):format(what, self:shown()), FORM, token and token.text)
end

-- What stands in the parentheses; of ratio the comparisons of its pattern.
function Parser:arguments(name)
  if name == "ratio" then return { self:where() } end
  local list = {}
  if name == "p" then
    list[1] = self:number("a percentile")
    self:want("op", ",", "`,`")
  end
  if not self:is("op", ")") then list[#list + 1] = self:name("a name") end
  return list
end

function Parser:aggregate()
  local written = self:want("word", nil, "an aggregate").text
  local name, known = written:lower(), false
  for _, one in ipairs(AGGREGATES) do known = known or one == name end
  if not known then
    wrong(("there is no aggregate `%s` in a query"):format(written), suggest.expected(name, AGGREGATES), written)
  end
  self:want("op", "(", "`(`")
  local arguments = self:arguments(name)
  self:want("op", ")", "`)`")
  return name, arguments
end

-- A number, or with a unit text: "300ms".
function Parser:limit()
  local token = self:take("word") or self:take("text")
  if not token then wrong(("expected a number, not %s"):format(self:shown()), FORM) end
  return decimal(token.text) or token.text
end

-- Words up to the next clause: "1m", "5 minutes".
function Parser:duration()
  local words = {}
  while self:is("word") and not is_keyword(self:peek().text) do words[#words + 1] = self:take("word").text end
  local text = self:take("text")
  if text and #words == 0 then return text.text end
  if #words == 0 then wrong(("expected a duration, not %s"):format(self:shown()), FORM) end
  return table.concat(words, " ")
end

local function value_of(token)
  if token.kind == "text" then return token.text end
  if token.text == "true" or token.text == "false" then return token.text == "true" end
  return decimal(token.text) and scan.number(token.text) or token.text
end

function Parser:where()
  local list = {}
  repeat
    local key = self:name("a field or an attribute")
    local op = self:want("op", nil, "a comparison").text
    if not OPERAND[op] then wrong(("`%s` compares nothing"):format(op), "= != > >= < <=", op) end
    local token = self:take("text") or self:take("word")
    if not token then wrong(("expected a value, not %s"):format(self:shown()), FORM) end
    list[#list + 1] = { key = key, op = OPERAND[op], value = value_of(token) }
    if #list > M.TERMS_MAX then wrong(("a query has at most %d comparisons"):format(M.TERMS_MAX)) end
  until not self:take("word", "and")
  return list
end

function Parser:keys()
  local list, open = {}, self:take("op", "(")
  repeat list[#list + 1] = self:name("a field or an attribute") until not self:take("op", ",")
  if open then self:want("op", ")", "`)`") end
  return list
end

function Parser:query()
  local q = {}
  q.aggregate, q.arguments = self:aggregate()
  local op = self:want("op", nil, "a comparison").text
  q.method = METHOD[op]
  if not q.method then wrong(("a query is compared with > >= < <=, not `%s`"):format(op), FORM, op) end
  q.limit = self:limit()
  self:want("word", "during", "`during`")
  q.duration = self:duration()
  q.where = self:take("word", "where") and self:where() or {}
  if self:take("word", "by") then q.by = self:keys() end
  if self:peek() then wrong(("expected the end, not %s"):format(self:shown()), FORM, self:peek().text) end
  return q
end

--- A query as { aggregate, arguments, method, limit, duration, where = { { key, op, value } }, by }; of ratio the
-- argument is such a list as where.
function M.parse(text)
  if type(text) ~= "string" or #text > M.BYTES_MAX then
    return nil, ("a query is text of at most %d bytes"):format(M.BYTES_MAX), FORM
  end
  local ok, q = pcall(function() return setmetatable({ tokens = tokens_of(text), at = 1 }, Parser):query() end)
  if ok then return q end
  if type(q) ~= "table" then error(q, 0) end
  return nil, q.message, q.hint, q.word
end

-- ---- to a window ---------------------------------------------------------------------------------

-- One table for each comparison: a key may stand in several.
local function pattern_of(where)
  local api, list = operand.api(), {}
  for i, term in ipairs(where) do
    local id, key = window.field_of(term.key)
    local entry = { [term.key] = api[term.op](term.value) }
    if id == "RESOURCE" then entry = { resource = { [key] = api[term.op](term.value) } }
    elseif id == "ATTRIBUTE" then entry = { attributes = { [key] = api[term.op](term.value) } } end
    list[i] = entry
  end
  if #list == 0 then return {} end
  return api.all_of(list)
end

--- The window that a parsed query means; wrong fields and values go to the context.
function M.window(context, q)
  local made = window.api(context)(q.duration, pattern_of(q.where))
  if q.by then made = made:by(q.by) end
  local arguments = q.aggregate == "ratio" and { pattern_of(q.arguments[1]) } or q.arguments
  made = made[q.aggregate](made, unpack(arguments))
  return made[q.method](made, q.limit)
end

--- The `query` of one rule file.
function M.api(context)
  return function(text)
    local q, message, hint, word = M.parse(text)
    if not q then context.fail(message, hint, word or "query") end
    return M.window(context, q)
  end
end

return M
