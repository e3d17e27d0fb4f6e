--- Rule sets and matchers for specs: formulas in, which of them a span satisfies out.
local support = require("spec.support")
local core, ffi = support.core("ruleset", "heap", "err")
local ir = require("spec.ir")
local M = { core = core, ffi = ffi }

function M.options(o)
  o = o or {}
  return ffi.new("struct ruleset_options", { status_ok_is_explicit = o.status_ok_is_explicit or false,
    renamed = o.renamed ~= false, matches_limit = o.matches_limit or 10000 })
end

--- A rule set, or nil and why.
function M.ruleset(bytes, options)
  local out, why = ffi.new("struct ruleset *[1]"), ffi.new("char[128]")
  local err = core.ruleset_new(bytes, #bytes, M.options(options), out, why)
  if err ~= 0 then return nil, ffi.string(why), err end
  return ffi.gc(out[0], core.ruleset_free)
end

--- A matcher over one rule a formula, so that pattern i - 1 is formula i (none may hold events or links;
--- see M.of for those).
function M.of(formulas, options)
  local spec = { rules = {} }
  for i, formula in ipairs(formulas) do spec.rules[i] = { name = "r" .. i, patterns = { formula } } end
  local set = assert(M.ruleset(ir.build(spec), options))
  local out = ffi.new("struct matcher *[1]")
  assert(core.matcher_new(set, out) == 0)
  local self = { set = set, matcher = ffi.gc(out[0], core.matcher_free), patterns = {}, formula_of = {} }
  for i, r in ipairs(spec.rules) do
    self.patterns[i] = r.first
    self.formula_of[r.first] = i
  end
  return self
end

local function view_of(span)
  if not span.view then span = ir.span(span) end
  return span
end

--- { hits, unknowns = lists of formulas; asks = list of { formula, function, object of an event or link } } of a span.
function M.match(self, span)
  span = view_of(span)
  local match = ffi.new("struct match")
  assert(core.matcher_span(self.matcher, span.view, match) == 0)
  local got = { hits = {}, unknowns = {}, asks = {} }
  for i = 1, match.hits_count do got.hits[i] = self.formula_of[match.hits[i - 1]] end
  for i = 1, match.unknowns_count do got.unknowns[i] = self.formula_of[match.unknowns[i - 1]] end
  for i = 1, match.asks_count do
    local ask = match.asks[i - 1]
    got.asks[i] = { self.formula_of[ask.pattern], ask["function"], ask.object }
  end
  return got
end

--- The truth of one formula with these answers, in the order of asks ({ { function, object, truth }, … }),
--- without the index.
function M.resolve(self, span, formula, answers)
  span, answers = view_of(span), answers or {}
  local list = ffi.new("struct fluo_answer[?]", #answers, answers)
  return tonumber(core.matcher_resolve(self.matcher, span.view, self.patterns[formula], list, #answers))
end

--- Of n formulas those that hold of a span, each by itself and without the index.
function M.alone(self, n, span)
  local hits = {}
  for i = 1, n do if M.resolve(self, span, i) == 1 then hits[#hits + 1] = i end end
  return hits
end

--- Whether one formula holds of a span: true, false, or "unknown". Asked twice, through the index and past it.
function M.holds(formula, span, options)
  local self = M.of({ formula }, options)
  span = view_of(span)
  local got, truth = M.match(self, span), M.resolve(self, span, 1)
  local through = #got.hits == 1 and 1 or #got.unknowns == 1 and 2 or 0
  assert(through == truth, "the index disagrees")
  return ({ [0] = false, true, "unknown" })[truth]
end

return M
