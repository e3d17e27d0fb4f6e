-- fluo replay: the live engine under a virtual clock.
local cjson = require("cjson")
local replay = require("spec.replay")
local span = replay.span

local ANY = 'rule "any" { when = {} }\n'

local function lines(requests)
  local list = {}
  for i, spans in ipairs(requests) do list[i] = cjson.encode(replay.request(spans)) end
  return table.concat(list, "\n") .. "\n"
end

-- Replays files of the given bytes with a rule text: status, stdout, stderr.
local function files(rules, ...)
  local path = replay.rule_file(rules)
  local names = {}
  for i, bytes in ipairs({ ... }) do
    names[i] = os.tmpname()
    replay.write(names[i], bytes)
  end
  local status, stdout, stderr = replay.shell(("%s replay --rules %s %s"):format(replay.fluo, path, table.concat(names, " ")))
  os.remove(path)
  for _, name in ipairs(names) do os.remove(name) end
  return status, stdout, stderr
end

local function count(stdout) return select(2, stdout:gsub("\n", "")) end

describe("fluo replay", function()
  it("gives the same bytes for the same input", function()
    local input = lines { { span { name = "a" }, span { name = "b", trace = "u" } }, { span { name = "c", at = 50 } } }
    local _, first = files(ANY .. 'rule "pure" { when = trace.missing { name = "x" } }\n', input)
    local _, second = files(ANY .. 'rule "pure" { when = trace.missing { name = "x" } }\n', input)
    assert.equal(first, second)
    assert.equal(5, count(first))
  end)

  it("prints in order of time, ties by rule and then id", function()
    local _, out = files('rule "b" { when = {} }\nrule "a" { when = {} }\n', lines { { span { name = "late", at = 100 }, span { name = "early" } } })
    local order = {}
    for line in out:gmatch("[^\n]+") do
      local v = cjson.decode(line)
      order[#order + 1] = v.spans[1].name .. " " .. v.rule
    end
    assert.same({ "early a", "early b", "late a", "late b" }, order)
  end)

  it("takes JSON in one document or one a line, pretty or not, and several files", function()
    local document = lines { { span { name = "a" } } }
    local pretty = "\239\187\191" .. document:gsub(",", ",\n  ")
    local status, out = files(ANY, pretty, lines { { span { name = "b" } }, { span { name = "c" } } })
    assert.same({ 0, 3 }, { status, count(out) })
  end)

  it("takes protobuf and gzip as recorded from real SDKs", function()
    local plain, zipped = "spec/fixtures/otlp/js-sdk-proto-gzip.1.pb", "spec/fixtures/otlp/js-sdk-proto-gzip.1.pb.gz"
    local json = "spec/fixtures/otlp/js-sdk-http-gzip.1.json.gz"
    local rule = replay.rule_file(ANY)
    local counts = {}
    for i, path in ipairs { plain, zipped, json } do
      local status, out = replay.shell(("%s replay --rules %s %s"):format(replay.fluo, rule, path))
      counts[i] = status == 0 and count(out)
    end
    os.remove(rule)
    assert.truthy(counts[1] > 0)
    assert.same({ counts[1], counts[1], counts[1] }, counts)
  end)

  it("prints what came before bad input, names the line, and exits 1", function()
    local input = lines { { span { name = "a" } }, { span { name = "b" } } } .. '{"resourceSpans": [}\n' .. lines { { span { name = "c" } } }
    local status, out, stderr = files(ANY, input)
    assert.same({ 1, 2 }, { status, count(out) })
    assert.truthy(stderr:find(":3:", 1, true))
  end)

  it("names the line of whatever is no request, blank lines and what is gzipped counted", function()
    local good = lines { { span { name = "a" } } }
    for _, bad in ipairs { "{bad}", '{"resourceSpans":5}', "[]", "7", '"x"', '{"resourceSpans":[{"resource":7}]}', "garbage" } do
      local status, out, stderr = files(ANY, good .. " \r\n\n" .. bad .. "\n" .. good)
      assert.same({ 1, 1 }, { status, count(out) }, bad)
      assert.truthy(stderr:find(":4:%d+: "), bad .. "\n" .. stderr)
    end
    local path = os.tmpname()
    replay.write(path, good .. '{"resourceSpans":[\n' .. good)
    local _, out, stderr = replay.shell(("gzip -c %s | %s replay --rules rules /dev/stdin"):format(path, replay.fluo))
    assert.truthy(stderr:find("(in the document that starts at line 2)", 1, true), stderr .. out)
    os.remove(path)
  end)

  it("takes receivedAtUnixNano as text and as a number, and the clock of one file goes on in the next", function()
    local closes = 'rule "closes" { when = trace.missing { name = "x" } }\n'
    local text = cjson.encode(replay.request { span { name = "a", dur = 0 }, at = 3000 })
    local number = text:gsub('("receivedAtUnixNano":)"(%d+)"', "%1%2")
    assert.not_equal(text, number)
    for _, document in ipairs { text, number } do
      local status, out = files(closes, document)
      assert.equal(0, status)
      assert.truthy(out:find(replay.clock(13000), 1, true), document .. out)
    end
    local _, out = files(closes, lines { { span { name = "a", at = 5000, dur = 0 } } }, lines { { span { name = "b", at = 1, dur = 0 } } })
    assert.truthy(out:find(replay.clock(15000), 1, true), out)
  end)

  it("decides every sequence at the end, and judges no window past the last arrival", function()
    local found = replay.run([[
      rule "lost" { when = sequence { by = "k", within = "1h", { name = "a" }, not_ { name = "b" } } }
      rule "silent" { when = window("1m", { name = "a" }):count():under(1) }
    ]], { { span { name = "a", dur = 0, attr = { k = 1 } } } })
    assert.same({ "lost", replay.clock(3600000), 1 }, { found[1].rule, found[1].time, #found })
  end)

  it("gives the same bytes twenty times over, of rules of every scope", function()
    math.randomseed(11)
    local rules, requests = [[
      rule "s" { when = { name = "b" } }
      rule "f" { when = { where = function(s) return s.attributes.k == 3 end } }
      rule "t" { when = trace.has { name = "a" } * trace.missing { name = "z" } }
      rule "u" { when = trace.satisfies(function(t) return t:count { name = "b" } > 1 end) }
      rule "w" { when = window("1m"):by("service", "k"):count():over(3) }
      rule "q" { when = sequence { by = "k", within = "10s", { name = "a" }, not_ { name = "c" } } }
    ]], {}
    for i = 1, 60 do
      requests[i] = { span { name = ("abc"):sub(math.random(3)):sub(1, 1), id = "s" .. i, trace = "t" .. math.random(5),
                             service = "v" .. math.random(2), at = math.random(5000), attr = { k = math.random(4) } } }
    end
    local input, first = lines(requests), nil
    for _ = 1, 20 do
      local _, out = files(rules, input)
      first = first or out
      assert.equal(first, out)
    end
    for _, rule in ipairs { "s", "f", "t", "u", "w", "q" } do assert.truthy(first:find(('"rule":"%s"'):format(rule), 1, true), rule) end
  end)

  it("exits 3 with --fail-on-violation when a rule fired that is not in shadow", function()
    local _, status = replay.run(ANY, { { span { name = "a" } } }, "--fail-on-violation")
    assert.equal(3, status)
    local found
    found, status = replay.run('rule "s" { when = {}, mode = "shadow" }\n', { { span { name = "a" } } }, "--fail-on-violation")
    assert.equal(0, status)
    assert.is_true(found[1].shadow)
  end)

  it("exits 1 for a rule that had to be stopped, and keeps the others' violations; not for one that only threw", function()
    local found, status = replay.run(ANY .. 'rule "loop" { when = function() while true do end end }\n', { { span { name = "a" } } })
    assert.same({ 1, 1 }, { status, #found })
    found, status = replay.run(ANY .. 'rule "throw" { when = function() error("x") end }\n', { { span { name = "a" } } })
    assert.same({ 0, 1 }, { status, #found })
  end)

  it("exits 1 for rules that do not load and 2 for bad usage", function()
    local _, status, stderr = replay.run('rule "x" { wen = {} }\n', { { span { name = "a" } } })
    assert.equal(1, status)
    assert.truthy(stderr:find("when", 1, true))
    for _, flag in ipairs { "--no-such-flag", "--trace.idle=soon", "--rules" } do
      assert.equal(2, (replay.shell(("%s replay x.jsonl %s"):format(replay.fluo, flag))), flag)
    end
    assert.equal(1, (replay.shell(replay.fluo .. " replay --rules rules /nonexistent.jsonl")))
  end)

  it("closes a trace trace.idle after its last span, half-open", function()
    local rule = 'rule "two" { when = trace.has { name = "a" } * trace.has { name = "b" } }\n'
    local function at(ms) return replay.run(rule, { { at = 0, span { name = "a" } }, { at = ms, span { name = "b" } } }) end
    assert.equal(1, #at(9999.999999))
    assert.equal(0, #at(10000))
  end)

  it("judges the shared examples", function()
    if replay.shell("test -e ../shared/cases/run.py") ~= 0 then return pending("../shared/cases is not there: its examples are no part of the project") end
    local status, out = replay.shell(("FLUO=%s python3 ../shared/cases/run.py --issue main"):format(replay.fluo))
    assert.equal(0, status, out)
  end)
end)
