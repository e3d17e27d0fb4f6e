-- `fluo query`: a TraceQL selector over recorded traces.
local cjson = require("cjson")
local replay = require("spec.replay")
local span = replay.span
local FLUO = os.getenv("FLUO") or "build/fluo"

local path

-- stdout, stderr, exit status.
local function query(text, more)
  local errors = os.tmpname()
  local pipe = io.popen(("%s query %s '%s' %s 2>%s; printf ' %%d' $?"):format(FLUO, more or "", text:gsub("'", "'\\''"), path, errors))
  local out, status = pipe:read("*a"):match("^(.*) (%d+)$")
  pipe:close()
  local file = io.open(errors)
  local said = file:read("*a")
  file:close()
  os.remove(errors)
  said = said:gsub("fluo: warning: rules run without a system call filter[^\n]*\n", "")   -- under a sanitizer
  return out, said, tonumber(status)
end

describe("fluo query", function()
  setup(function()
    path = os.tmpname()
    local many = {}
    for i = 1, 40 do many[i] = span { id = "m" .. i, trace = "many", name = "row" } end
    replay.write(path, cjson.encode(replay.request {
      span { id = "r", name = 'a "quoted"\27 name' }, span { id = "d", name = "db", parent = "r", service = "shop" },
      span { id = "o", trace = "other", name = "db", service = false }, unpack(many) }) .. "\n")
  end)
  teardown(function() os.remove(path) end)

  it("prints the spans that are left, and not those that a violation says more of", function()
    local whole = path
    path = os.tmpname()
    replay.write(path, cjson.encode(replay.request { span { name = "front" },
      span { name = "db", parent = "front", service = "shop", status = "ERROR", message = "down" } }) .. "\n")
    assert.equal(replay.trace_id("t") .. "  1 span\n  " .. replay.span_id("t", "db") .. "  shop  db\n", (query "{ status = error }"))
    os.remove(path)
    path = whole
  end)

  it("prints each trace and the spans that are left", function()
    local out, said, status = query '{ name = "db" }'
    assert.same({ "", 0 }, { said, status })
    local lines = {}
    for line in out:gmatch("[^\n]+") do lines[#lines + 1] = line end
    table.sort(lines)
    local wanted = { replay.trace_id("t") .. "  1 span", "  " .. replay.span_id("t", "d") .. "  shop  db",
                     replay.trace_id("other") .. "  1 span", "  " .. replay.span_id("other", "o") .. "  -  db" }
    table.sort(wanted)
    assert.same(wanted, lines)
  end)

  it("keeps a terminal whole, whatever a span is called", function()
    local out = query '{ name =~ "a .*" }'
    assert.truthy(out:find([[svc  a \"quoted\"\u001b name]], 1, true), out)
  end)

  it("says how many more there are than it prints", function()
    local out = query '{ name = "row" }'
    assert.truthy(out:find("40 spans\n", 1, true))
    assert.truthy(out:find("… and 8 more\n", 1, true))
  end)

  it("prints what the replay of its rule prints with --json", function()
    local out, _, status = query('{ name = "db" } | by(name) | count() = 1', "--json")
    local first = cjson.decode(out:match("^[^\n]+"))
    assert.same({ 0, 1, "trace", 1 }, { status, first.span_total, first.scope, first.value })
  end)

  it("finds nothing without a word", function()
    assert.same({ "", "", 0 }, { query '{ name = "nope" }' })
  end)

  it("ends with 1 for a wrong query, and points at what is wrong", function()
    assert.same({ "", "fluo: the query: 3: unknown name `nam`\n  hint: did you mean `name`? an attribute is `.nam`, text is \"nam\"\n", 1 },
      { query '{ nam = "db" }' })
  end)

  it("notes what means another thing to Tempo, and takes quotes of all kinds", function()
    local _, said, status = query "{ duration > 5 && name != `it's` }"
    assert.same({ "fluo: warning: the query: `5` beside a duration means 5 ms here, and 5 ns to Tempo; write `5ms`\n", 0 }, { said, status })
  end)

  it("ends with 1 for input that is none", function()
    replay.write(path .. ".bad", "{")
    local good = path
    path = path .. ".bad"
    local out, said, status = query "{ }"
    os.remove(path)
    path = good
    assert.same({ "", 1 }, { out, status })
    assert.truthy(said:find("^fluo: "), said)
  end)
end)
