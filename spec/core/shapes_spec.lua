-- What spans of one shape (service, name, kind, status) match is remembered where their texts are told by their places:
-- whatever was asked before, each pattern is a hit exactly if it holds when tested by itself.
local matching = require("spec.matching")
local ir = require("spec.ir")
local ffi = matching.ffi

local LASTING = 16

local SERVICES, NAMES = { false, "", "cart", "shop" }, { "", "GET /a", "GET /b", ("n"):rep(60) }
local KINDS, STATUSES = { "SERVER", "CLIENT" }, { "UNSET", "OK", "ERROR" }

local function pick(list) return list[math.random(#list)] end

local function atom()
  local kind = math.random(6)
  if kind == 1 then return { "eq", ".service", pick { "", "cart", "shop" } } end
  if kind == 2 then return { "eq", ".name", pick(NAMES) } end
  if kind == 3 then return { "prefix", ".name", "GET" } end
  if kind == 4 then return { "eq", ".kind", pick(KINDS) } end
  if kind == 5 then return { "eq", ".status", pick(STATUSES) } end
  return { "exists", ".service" }
end

local function formula(more)
  local kind = math.random(4)
  if kind == 1 then return { "not", atom() } end
  return { kind == 2 and "or" or "and", atom(), atom(), more }
end

local function formulas(n)
  local list = {}
  for i = 1, n do list[i] = formula(i % 5 == 0 and { "eq", "k", 1 } or nil) end
  return list
end

local function span(name)
  return { service = pick(SERVICES) or nil, name = name or pick(NAMES), kind = pick(KINDS), status = pick(STATUSES),
    attributes = { k = math.random(2) } }
end

-- Spans in one arena, where each text has its place: the first few of them.
local function lasting()
  local arena, places, used = ffi.new("uint8_t[65536]"), {}, 8
  local function place(bytes)
    if not places[bytes] then
      ffi.copy(arena + used, bytes, #bytes)
      places[bytes] = ffi.new("struct fluo_text", { used, #bytes })
      used = used + #bytes
    end
    return places[bytes]
  end
  return function(s)
    local made = ir.span(s)
    local function move(text) if text.len > 0 then return place(ffi.string(made.view.arena + text.off, text.len)) end end
    for _, field in ipairs { "name", "service", "resource", "payload" } do
      made.span[field] = move(made.span[field]) or ffi.new("struct fluo_text")
    end
    made.span.flags = bit.bor(made.span.flags, LASTING)
    made.view.arena = arena
    made.lasting = arena
    return made
  end
end

describe("patterns that a span's shape decides", function()
  for _, n in ipairs { 5, 40, 120 } do
    it(("match as each does alone, whatever came before: %d of them"):format(n), function()
      math.randomseed(n)
      local self, made = matching.of(formulas(n)), lasting()
      for i = 1, 2000 do
        local view = (i % 10 == 0 and ir.span or made)(span())
        assert.same(matching.alone(self, n, view), matching.match(self, view).hits)
      end
    end)
  end

  it("do so where names never come back, and once they do again", function()
    local self, made = matching.of(formulas(40)), lasting()
    for i = 1, 1500 do
      local view = made(span(i % 200 < 150 and "GET /" .. i or nil))
      assert.same(matching.alone(self, 40, view), matching.match(self, view).hits)
    end
  end)

  it("are asked of each span whose texts another may take the place of", function()
    local self = matching.of { { "eq", ".name", "a" }, { "eq", ".name", "b" } }
    for _, name in ipairs { "a", "b", "a" } do
      assert.same({ name == "a" and 1 or 2 }, matching.match(self, { name = name }).hits)
    end
  end)

  it("lead to others, which ask for more, as often as there is such a span", function()
    local list = formulas(40)
    for i = 41, 100 do list[i] = { "and", { "prefix", ".name", "GET" }, { "eq", "k", i % 2 + 1 } } end
    local self, made = matching.of(list), lasting()
    for _ = 1, 300 do
      local view = made(span())
      assert.same(matching.alone(self, 100, view), matching.match(self, view).hits)
    end
  end)

  it("have a resource that is told by its place where it stays there, and else by its bytes", function()
    local self, made = matching.of { { "eq", "resource:r", "a" }, { "eq", "resource:r", "b" } }, lasting()
    for _, make in ipairs { made, ir.span, made } do
      for _, r in ipairs { "a", "b", "b", "a" } do
        assert.same({ r == "a" and 1 or 2 }, matching.match(self, make { name = "n", resource = { r = r } }).hits)
      end
    end
  end)

  it("are tested anew while one of them is undecided", function()
    local list = formulas(40)
    list[41] = { "and", { "eq", ".name", "GET /a" }, { "matches", ".service", "(a+)+b" } }
    local self, made = matching.of(list), lasting()
    for _ = 1, 4 do
      assert.same({ 41 }, matching.match(self, made { name = "GET /a", service = ("a"):rep(30) .. "cb" }).unknowns)
    end
  end)
end)
