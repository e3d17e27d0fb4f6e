-- Whatever the bytes: a file of any dialect loads, or says what is wrong at a place in it, in a bounded number of steps.
local jit = require("jit")
local rulefiles = require("spec.lua.rulefiles")

-- A hook does not fire in compiled code.
jit.off()
local STEPS_MAX = 200                                   -- of a million instructions each

-- What loading says, never an exception.
local function load(file, text)
  local steps = 0
  debug.sethook(function()
    steps = steps + 1
    if steps > STEPS_MAX then error("too many steps") end
  end, "", 1000000)
  local ok, result = pcall(rulefiles.load, { [file] = text })
  debug.sethook()
  assert(ok, ("%s\n%s"):format(tostring(result), text:sub(1, 2000)))
  return result
end

local function lines_of(text) return select(2, text:gsub("\n", "")) + 1 end

local function check(file, text)
  local result = load(file, text)
  for _, d in ipairs(result.errors) do
    local inside = d.line >= 1 and d.line <= lines_of(text) and d.column >= 1 and d.column <= #text + 1
    assert(inside and d.message ~= "" and d.file == file, ("%d:%d %s\n%s"):format(d.line, d.column, d.message, text:sub(1, 2000)))
  end
  return result
end

local VALID = {
  ["r.rule"] = [[
// @severity high
rule "a" when span.type == "x" && !(span.attributes["n"] >= -1.5) or not resource.k != 'v' then log("{service}") end
// @mode shadow
rule "b"
when { trace.has(a/b:c).where(n > 5).where(k in [x, "y"]) and not (trace.count(d) >= 3 or trace.has(e)) }
always { trace.has(f).where(k matches "x.*") } never { trace.has("g h") }
]],
  ["r.js"] = [[
// @name a
// what
trace.where(s => s.name.startsWith('a')).has((t) => t.attributes['k'] === 5 && !(t.events.length > 3 || t.attributes.x === undefined))
// b
trace.has(span => span.attributes?.k !== "é" && span.name.toLowerCase().includes('x'))
  .and(trace.missing(s => { return s.events.some(e => e.name == `x`); })).within('5 seconds');
// @name c
trace.count(s => true) > 3 && !trace.has(s => s.duration > 1e3)
]],
  ["r.yml"] = [[
# é
rules:
  a: {query: "sum(x) > 5 during 1m where k = v by (service)", action: log, labels: {a: b}}
  b:
    description: >
      folded
    conditions:
      - {op: not-in, field: span.attributes.k, value: [1, 'a', /b]}
      - op: ">="
        field: span.duration
        value: 1.5
  c: {span: {name: 'a*', attributes: {k: "5"}}, aggregation: {count: 10, window: 5m}, condition: "gt(count, 5)"}
]],
}
local FILES = { "r.js", "r.rule", "r.yml" }

local PIECES = { "(", ")", "{", "}", "[", "]", "\"", "'", "`", "//", "/*", "\\", "=>", "===", "!", "!=", "&&", "||", "and", "not", "or", ".",
                 ",", ":", "- ", "? ", "\n", "\r\n", "\t", "#", "&a ", "*a", "!!str ", "|", ">", "%", "---\n", "trace", ".has(", "rule \"", "when",
                 "then", "0x", "1e999", "9999999999999999999", "-", "\0", "\255", "\239\187\191", "\226\128\168", "undefined", "null", "${", "@name", "where(", "in" }

-- The same sequence in every run.
local function random(seed)
  local state = seed
  return function(n)
    state = (state * 1103515245 + 12345) % 2147483648
    return math.floor(state / 65536) % n + 1
  end
end

local function mutate(text, pick)
  for _ = 1, pick(4) do
    local at, kind = pick(#text + 1), pick(4)
    local size = pick(12)
    if kind == 1 then text = text:sub(1, at - 1) .. PIECES[pick(#PIECES)] .. text:sub(at)
    elseif kind == 2 then text = text:sub(1, at - 1) .. text:sub(at + size)
    elseif kind == 3 then text = text:sub(1, at - 1) .. string.char(pick(256) - 1) .. text:sub(at + 1)
    else
      local from = pick(#text + 1)
      text = text:sub(1, at - 1) .. text:sub(from, from + size * 4) .. text:sub(at)
    end
  end
  return text
end

describe("a file of a dialect", function()
  for _, file in ipairs(FILES) do
    it("is understood, or refused with a place, at every prefix: " .. file, function()
      assert.same({}, rulefiles.errors { [file] = VALID[file] })
      for n = 0, #VALID[file] do check(file, VALID[file]:sub(1, n)) end
    end)

    it("is understood, or refused with a place, however it is changed: " .. file, function()
      local pick, loaded, refused = random(tonumber(os.getenv("SEED") or 20260101)), 0, 0
      for _ = 1, tonumber(os.getenv("MUTATIONS") or 1500) do
        local result = check(file, mutate(VALID[file], pick))
        if #result.errors == 0 then loaded = loaded + 1 else refused = refused + 1 end
      end
      assert.is_true(loaded > 20 and refused > 200, loaded .. " " .. refused)
    end)
  end

  local function deep(piece, n) return piece:rep(n) end
  local N = 65536
  for _, row in ipairs {
    { "r.yml", deep("[", N), "values nest at most 32 deep" },
    { "r.yml", deep("{", N), "values nest at most 32 deep" },
    { "r.yml", deep("- ", N / 2), "values nest at most 32 deep" },
    { "r.yml", deep("? ", N / 2), "values nest at most 32 deep" },
    { "r.yml", "'" .. deep("x", N), "this is not YAML: found unexpected end of stream" },
    { "r.yml", "r:\n  conditions:\n" .. deep("  - {op: eq, field: span.name, value: a}\n", 10000), "a condition has at most 5000 terms" },
    { "r.rule", 'rule "r" when ' .. deep("(", N), "a condition nests at most 200 deep" },
    { "r.rule", 'rule "r" when ' .. deep("!(", N), "a condition nests at most 200 deep" },
    { "r.rule", 'rule "r" when ' .. deep("not ", N), "a condition nests at most 200 deep" },
    { "r.rule", 'rule "r" when ' .. deep('span.name == "a" || ', 10000), "a condition has at most 5000 terms" },
    { "r.rule", 'rule "' .. deep("x", N), "this quote is not closed" },
    { "r.rule", "when { " .. deep("(", N), "a condition nests at most 200 deep" },
    { "r.rule", "when { " .. deep("trace.has(a) or ", 10000), "a condition has at most 5000 terms" },
    { "r.rule", "when { trace.has(a).where(x in [" .. deep("1,", 10000), "a condition has at most 5000 terms" },
    { "r.js", deep("(", N), "a condition nests at most 200 deep" },
    { "r.js", "trace.has(s => " .. deep("(", N), "a condition nests at most 200 deep" },
    { "r.js", "trace.has(s => " .. deep("!", N), "a condition nests at most 200 deep" },
    { "r.js", "trace.where(" .. deep("trace.where(", 10000), "a condition nests at most 200 deep" },
    { "r.js", "trace.has(s => " .. deep("s.name === 'a' || ", 10000), "a condition has at most 5000 terms" },
    { "r.js", "trace.has(s => s.name === 'a')" .. deep(".and(s => s.name === 'b')", 10000), "a condition has at most 5000 terms" },
    { "r.js", "trace.has(s => s.name === 'a')" .. deep(".not()", 1000), "a condition nests deeper than 200" },
    { "r.js", "trace.has(s => s.name === `" .. deep("x", N), "this quote is not closed" },
    { "r.js", "/*" .. deep("*", N), "this comment is not closed" },
  } do
    it(("is refused soon: %s of %d bytes, %s"):format(row[1], #row[2], row[2]:sub(1, 30):gsub("%s+", " ")), function()
      local errors = check(row[1], row[2]).errors
      assert.equal(row[3], errors[1] and errors[1].message)
    end)
  end
end)
