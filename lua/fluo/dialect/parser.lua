--- What the grammars of `.rule` and `.js` files share: the next token, what must stand there, how deep it nests, and
-- `or` over `and` over `not`. An error is raised as a note { line, column, message, hint } and ends one rule.
local code = require("fluo.dialect.code")
local scan = require("fluo.dialect.scan")

local M = {}
local Parser = {}
Parser.__index = Parser
M.Parser = Parser

M.DEPTH_MAX, M.TERMS_MAX = 200, 5000

--- mode: of scan.lua; it may change between two tokens. world: what patterns are checked with.
function M.new(source, mode, world)
  return setmetatable({ scan = scan.new(source), source = source, mode = mode, world = world, at = 1, depth = 0,
                        terms = 0 }, Parser)
end

function Parser:peek()
  local token = self.token
  if not token or token.behind ~= self.at or self.token_mode ~= self.mode then
    token = self.scan:token(self.at, self.mode)
    self.token, self.token_mode = token, self.mode
  end
  return token
end

--- The token behind the next one.
function Parser:peek_second()
  local first = self:peek()
  return self.scan:token(first.to + 1, self.mode)
end

function Parser:next()
  local token = self:peek()
  if token.kind == "wrong" then self:fail(token, token.message) end
  self.at = math.max(token.to + 1, self.at)
  return token
end

local function shown(token)
  if token.kind == "end" then return "the end of the file" end
  local text = token.text:match("^[^\r\n]*")
  return "`" .. (#text > 40 and text:sub(1, 37):gsub("[\128-\255]*$", "") .. "…" or text) .. "`"
end
M.shown = shown

--- Ends the rule with an error at a token.
function Parser.fail(_, token, message, hint)
  error({ line = token.line, column = token.column, message = message, hint = hint }, 0)
end

--- Ends the rule: the next token is not what is expected.
function Parser:expected(what, hint)
  local token = self:peek()
  if token.kind == "wrong" then self:fail(token, token.message, hint) end
  self:fail(token, ("expected %s, not %s"):format(what, shown(token)), hint)
end

function Parser:is(text)
  local token = self:peek()
  return (token.kind == "op" or token.kind == "word") and token.text == text
end

function Parser:take(text) return self:is(text) and self:next() or nil end
function Parser:want(text, hint) return self:take(text) or self:expected("`" .. text .. "`", hint) end

function Parser:take_kind(kind) return self:peek().kind == kind and self:next() or nil end
function Parser:want_kind(kind, what, hint) return self:take_kind(kind) or self:expected(what, hint) end

function Parser:spot() return { line = self:peek().line, column = self:peek().column } end

function Parser:enter(token)
  self.depth = self.depth + 1
  if self.depth > M.DEPTH_MAX then
    self:fail(token, ("a condition nests at most %d deep"):format(M.DEPTH_MAX), "split it into several rules")
  end
end

function Parser:leave() self.depth = self.depth - 1 end

--- The comments that stand alone in their line between the rule before (or nil) and a token, and that fit.
function Parser:comments_above(before, token, fits)
  local list, later = {}, {}
  for _, comment in ipairs(self.scan.comments) do
    if comment.at > token.from then
      later[#later + 1] = comment
    elseif comment.first and comment.at > (before and before.last or 0) and (not fits or fits(comment)) then
      list[#list + 1] = comment
    end
  end
  self.scan.comments = later
  return list
end

--- Counts a comparison or the like.
function Parser:term(token)
  self.terms = self.terms + 1
  if self.terms > M.TERMS_MAX then
    self:fail(token, ("a condition has at most %d terms"):format(M.TERMS_MAX), "split it into several rules")
  end
end

--- What a number of spans is compared with, next: it, and its token.
function Parser:count(method)
  local token = self:peek()
  local n = token.kind == "number" and token.value or token.kind == "word" and scan.number(token.text)
  if not n then self:expected("a number") end
  if type(n) ~= "number" or n < 0 or n % 1 ~= 0 then self:fail(token, "a number of spans is a whole number") end
  if method == "under" and n == 0 then self:fail(token, "a number of spans is never below 0") end
  return n, self:next()
end

--- `( … )`, whose inside read reads.
function Parser:parentheses(read)
  local open = self:want("(")
  self:enter(open)
  local result = read(self)
  if not self:take(")") then
    self:expected("`)`", ("the `(` in line %d is not closed"):format(open.line))
  end
  self:leave()
  return result
end

-- ---- and, or, not -------------------------------------------------------------------------------

--- grammar: { ["or"], ["and"] (sets of tokens), unary(parser) -> node, join(how, nodes, spot) -> node }.
function Parser:either(grammar)
  local spot, list = self:spot(), { self:both(grammar) }
  while grammar["or"][self:peek().text] and self:peek().kind ~= "text" do
    self:next()
    list[#list + 1] = self:both(grammar)
  end
  return #list == 1 and list[1] or grammar.join("or", list, spot)
end

function Parser:both(grammar)
  local spot, list = self:spot(), { grammar.unary(self) }
  while grammar["and"][self:peek().text] and self:peek().kind ~= "text" do
    self:next()
    list[#list + 1] = grammar.unary(self)
  end
  return #list == 1 and list[1] or grammar.join("and", list, spot)
end

function M.join_patterns(how, list) return code.join(how == "or" and "any_of" or "all_of", list) end
function M.join_conditions(how, list, spot) return code.combine(how == "or" and "or_" or "and_", list, spot) end

return M
