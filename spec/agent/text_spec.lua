-- What a violation says of texts that are not ASCII, not even UTF-8, or far too long: always one line of valid JSON.
local cjson = require("cjson")
local client = require("spec.agent.client")
local wire = require("spec.otlp_writer")

local RULE = [[
rule "seen" {
  when = { k = exists },
  summary = "<{service}|{span.name}|{span.attributes.k}>", labels = { ["příčina"] = "🐎\n\"" },
  actions = { log "{span.name}" },
}]]
local CUT = 4096                              -- bytes of a text in a violation

-- The violation and the log lines of one span.
local function said(s)
  local text = wire.body({ wire.span { name = s.name, attributes = { k = s.k or "v" } } }, wire.attribute(1, "service.name", s.service or "svc"))
  local found, _, log = client.with({ rules = RULE }, function(agent)
    local a = client.ask(client.connect(agent), client.request(text, { type = client.PROTOBUF }))
    assert.equal(200, a.status)
    assert.equal(s.replaced or 0, agent:metrics().fluo_receiver_invalid_utf8_total)
  end)
  assert.equal(1, #found)
  assert.equal("🐎\n\"", found[1].labels["příčina"])
  for _, line in ipairs(log) do
    if line:find('"message":"violation"', 1, true) then return found[1], cjson.decode(line) end
  end
  error("nothing was logged")
end

describe("a violation of a span", function()
  for _, row in ipairs {
    { "with names beyond ASCII", "žluťoučký 🐎", nil },
    { "with characters that JSON escapes", 'a"b\\c\n\t\0\27d', nil },
    { "with bytes that are no UTF-8", "a\255\192b\240\159", "a\u{fffd}\u{fffd}b\u{fffd}" },
    { "with a surrogate written as UTF-8", "\237\160\189x", "\u{fffd}\u{fffd}\u{fffd}x" },
    { "with no name", "", nil },
  } do
    it(row[1] .. " is valid JSON and has them", function()
      local name = row[3] or row[2]
      local v, logged = said { name = row[2], service = row[2], k = row[2], replaced = row[3] and 3 }
      assert.same({ name, name }, { v.spans[1].name, v.spans[1].service })
      assert.equal(("<%s|%s|%s>"):format("SERVICE", "NAME", "K"):gsub("%u+", function() return name end), v.summary)
      assert.equal(name, logged.text)
    end)
  end

  for what, letter in pairs { ["letters"] = "x", ["wide characters"] = "🐎", ["zeros"] = "\0" } do
    it("whose name is as long as it may be, of " .. what .. ", is told all the same, the name cut between characters", function()
      local name = letter:rep(60000 / #letter)
      local v, logged = said { name = name, service = name, k = name }
      for _, text in ipairs { v.spans[1].name, v.spans[1].service, v.summary, logged.text } do
        assert.truthy(#text <= CUT and #text > CUT - 8, #text)
        assert.equal("…", text:sub(-3))
        local whole = text:gsub("^<", ""):sub(1, -4)
        assert.equal(whole, name:sub(1, #whole))
        assert.equal(0, #whole % #letter)
      end
    end)
  end

  it("whose attribute is far too long has a summary that is cut in it", function()
    local v = said { name = "n", k = ("k"):rep(3 * client.MIB) }
    assert.equal("<svc|n|" .. ("k"):rep(CUT - 10) .. "…", v.summary)
    assert.same({ "n", "svc" }, { v.spans[1].name, v.spans[1].service })
  end)

  it("keeps a text of exactly the bound", function()
    local v = said { name = ("x"):rep(CUT) }
    assert.equal(("x"):rep(CUT), v.spans[1].name)
    v = said { name = "n", k = ("k"):rep(CUT - 8) }
    assert.equal("<svc|n|" .. ("k"):rep(CUT - 8) .. ">", v.summary)
  end)

  it("with 32 such witnesses is told all the same", function()
    local spans = {}
    for i = 1, 40 do spans[i] = wire.span { span_id = ("\0"):rep(7) .. string.char(i), name = ("\0"):rep(60000) } end
    local found = client.with({ rules = 'rule "all" { when = trace.count {} :at_least(40) }' }, function(agent)
      local text = wire.body(spans, wire.attribute(1, "service.name", ("\1"):rep(60000)))
      assert.equal(200, client.ask(client.connect(agent), client.request(text, { type = client.PROTOBUF })).status)
    end)
    assert.same({ 32, 40 }, { #found[1].spans, found[1].span_total })
  end)
end)
