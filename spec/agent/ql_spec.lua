-- TraceQL selectors (rules/traceql.md) through the whole agent: `trace.ql` in rules, and what it gives.
local replay = require("spec.replay")
local span = replay.span

-- r ─ a ─ x ─ b    r ─ c
local function tree()
  return {
    span { id = "r", name = "root", kind = "SERVER", service = "gw", dur = 500, attr = { n = 7, half = 3.5, text = "7", yes = true, list = { 1, 5 } } },
    span { id = "a", name = "db", parent = "r", at = 10, dur = 100, status = "ERROR", message = "boom", attr = { n = 2, m = 2, ["db.system"] = "pg" },
           events = { { "exception", 12, { kind = "io", tries = 1 } }, { "retry", 30, { tries = 4 } } } },
    span { id = "x", name = "db", parent = "a", at = 20, dur = 50, attr = { n = -7, m = 2, zone = "own" }, resource = { zone = "eu" } },
    span { id = "b", name = "leaf", parent = "x", at = 25, dur = 5, status = "OK", resource = { zone = "eu", yes = true }, scope = "grpc", version = "1.2", scope_attr = { lib = "otel", n = 3 } },
    span { id = "c", name = "leaf", parent = "r", at = 30, dur = 7, kind = "CLIENT", attr = { yes = "true", n = "12", ["http.status_code"] = 500 },
           links = { { "other", "far", { why = "batch" } } } },
  }
end
local IDS = { "r", "a", "x", "b", "c" }

local function quoted(query) return ("%q"):format(query):gsub("\n", "n") .. "" end

-- Lines of: query => ids of the spans that are left. All in one rule file, over the same trace.
local function judge(text, spans, ids)
  local rules, wanted = {}, {}
  for line in text:gmatch("[^\n]+") do
    local query, list = line:match("^%s*(.-)%s+=>%s*(.-)%s*$")
    if query then
      query = query:gsub("ID%((%a+)%)", function(id) return replay.span_id("t", id) end):gsub("TRACE", replay.trace_id("t"))
      wanted[#wanted + 1] = { query = query, ids = list }
      rules[#rules + 1] = ('rule "%03d" { when = trace.ql %s }'):format(#wanted, quoted(query))
    end
  end
  local path = replay.rule_file(table.concat(rules, "\n"))
  local found, status, stderr = replay.run(path, { spans or tree() })
  os.remove(path)
  assert.equal(0, status, stderr)
  local by_rule = {}
  for _, v in ipairs(found) do by_rule[v.rule] = v end
  for i, row in ipairs(wanted) do
    local v = by_rule[("%03d"):format(i)]
    assert.equal(row.ids, v and replay.witnesses(v, "t", ids or IDS) or "", row.query)
  end
end

describe("a filter", function()
  it("asks for intrinsics, attributes of the span, of the resource, of either", function()
    judge [[
      {}                                        => r a x b c
      { true }                                  => r a x b c
      { false }                                 =>
      { name = "db" }                           => a x
      { span:name != "db" && kind = server }    => r
      { status = error }                        => a
      { status = ok }                           => r x b c
      { status != ok }                          => a
      { status = unset }                        => r x c
      { statusMessage =~ "b.*" }                => a
      { duration > 50ms }                       => r a
      { duration >= 50 && duration <= 0.1s }    => a x
      { duration = 5 }                          => b
      { 0.4s < duration }                       => r
      { resource.service.name = "gw" }          => r
      { span.n = 7 }                            => r
      { span.n = 12 }                           => c
      { span.n > 1.5 }                          => r a c
      { span.n != 7 }                           => a x c
      { .zone = "eu" }                          => b
      { .zone = "own" }                         => x
      { .zone != "own" }                        => b
      { .zone }                                 =>
      { .yes }                                  => r b c
      { !.yes }                                 => a x
      { .zone = nil }                           => r a c
      { span.zone = nil && nil != .zone }       => b
      { span.http.response.status_code = 500 }  => c
      { instrumentation:name = "grpc" }         => b
      { instrumentation:version != "1.3" }      => b
      { instrumentation.lib = "otel" }          => b
      { instrumentation.lib =~ "o.*" && instrumentation.n > 2 } => b
      { span:parentID = "ID(r)" }               => a c
      { span:parentID != nil }                  => a x b c
      { trace:id = "TRACE" && span:id = "ID(x)" } => x
    ]]
  end)

  it("takes values of several events or links for an array, each comparison by itself", function()
    judge [[
      { event:name = "exception" }                        => a
      { event:name != "exception" }                       =>
      { event.kind = "io" && event.tries = 4 }            => a
      { event.tries > 3 && event.tries < 2 }              => a
      { event.tries != 1 }                                =>
      { event.tries != 2 }                                => a
      { event.kind != "net" }                             => a
      { event.kind =~ "i." }                              => a
      { event.kind !~ "n.*" }                             => a
      { event.kind !~ "i." }                              =>
      { event.tries = nil }                               => r x b c
      { event:timeSinceStart > 15ms }                     => a
      { event:timeSinceStart = 2ms }                      => a
      { event:timeSinceStart > 20ms }                     =>
      { link.why = "batch" && link.why != nil }           => c
      { link:spanID != "00" }                             => c
      { event.kind = link.why }                           =>
      { event.tries = span.m - 1 }                        => a
      { event.tries + 1 = 2 }                             =>
      { event.kind + 1 = 2 || (event.kind + 1) != nil }   =>
      { span.list = 5 && span.list = 1 }                  => r
      { span.list != 5 }                                  =>
      { span.list != 4 }                                  => r
      { span.list !~ "5" }                                => r
    ]]
  end)

  it("compares by the rules of values: missing is false, `!` of it true, text that looks like a number is one", function()
    judge [[
      { span.text = 7 && span.n = "7" }         => r
      { span.n > "6" }                          => r c
      { span.n != 5 }                           => r a x c
      { !(span.n = 7) }                         => a x b c
      { span.nope = nil }                       => r a x b c
      { span.nope != 5 || span.nope !~ "x" }    =>
      { name =~ "d" }                           =>
      { name !~ "d.*" }                         => r b c
      { span.n !~ "x" }                         => r a x c
      { span.yes = true }                       => r c
      { (span.n > 5) = true }                   => r c
      { (span.n > 5) = false }                  => a x b
      { (span.n > 5) = span.yes }               => r c
      { (span.n > 5) != span.yes }              =>
      { (name = "db") = (span.m = 2) }          => r a x b c
      { span.n = 7 || span.m = 2 && name = "leaf" } =>
    ]]
  end)

  it("reckons with numbers: two integers stay one, what has no value compares with nothing", function()
    judge [[
      { span.n / 2 = 3 }                        => r
      { span.n / 2 = -3 }                       => x
      { span.n / 2.0 = 3.5 }                    => r
      { span.n % 4 = 3 }                        => r
      { span.n % 4 = -3 }                       => x
      { span.n ^ 2 = 49 }                       => r x
      { -span.n = 7 }                           => x
      { span.n * 2 + 1 = 15 }                   => r
      { span.half * 2 = span.n }                => r
      { span.n = span.m }                       => a
      { span.n != span.m }                      => x
      { span.n / 0 = 1 || span.n / 0 != 1 }     =>
      { span.nope + 1 != 5 }                    =>
      { span.db.system + 1 != 5 }               =>
      { (span.n + 1) != nil }                   => r a x c
      { span.n + span.m > 3 }                   => a
      { duration > 2 * span.m }                 => a x
      { duration * 2 = 100ms }                  => x
      { duration / 10 > 40ms }                  => r
      { duration - 40ms = 10ms }                => x
      { duration / 1s = 0.5 }                   => r
      { duration = duration && name = name }    => r a x b c
      { 9223372036854775807 + span.n > 9223372036854775807 } => r a c
    ]]
  end)

  it("knows the trace: how long it is, its root, how many children a span has", function()
    judge [[
      { traceDuration = 500ms && name = "db" }              => a x
      { traceDuration < 500 }                               =>
      { trace:duration > 499ms && !(traceDuration > 1s) }   => r a x b c
      { duration > traceDuration / 10 }                     => r a
      { rootName = "root" && rootServiceName = "gw" }       => r a x b c
      { trace:rootName =~ "ro.*" && trace:rootService != "x" && kind = client } => c
      { rootName = name }                                   => r
      { !(rootName = "root") }                              =>
      { span:childCount = 2 }                               => r
      { span:childCount < 1 }                               => b c
      { span:childCount > 0 && name = "db" || name = "root" } => r a x
      { rootName != nil }                                   => r a x b c
    ]]
    judge([[
      { rootName = "root" }                     =>
      { rootName != "root" }                    =>
      { !(rootName = "root") }                  => a
    ]], { span { id = "a", parent = "gone" } })
  end)
end)

describe("spansets", function()
  it("are joined and related; the right side is what is left, of a union both", function()
    judge [[
      { name = "db" } && { name = "leaf" }      => a x b c
      { name = "db" } && { name = "nope" }      =>
      { name = "db" } || { name = "nope" }      => a x
      { name = "root" } > { }                   => a c
      { name = "leaf" } < { }                   => r x
      { name = "root" } >> { name = "leaf" }    => b c
      { name = "leaf" } << { name = "db" }      => a x
      { name = "db" } ~ { }                     => c
      { name = "root" } !> { }                  => r x b
      { name = "db" } !>> { name = "leaf" }     => c
      { name = "db" } !< { }                    => x b c
      { name = "nope" } !> { name = "db" }      => a x
      { } !~ { }                                => r x b
      { status = error } !<< { }                => a x b c
      { name = "db" } &> { name = "leaf" }      => x b
      { name = "db" } &>> { name = "leaf" }     => a x b
      { name = "leaf" } &< { name = "db" }      => x b
      { name = "db" } &~ { name = "leaf" }      => a c
      { } > { name = "db" } > { }               => x b
      { name = "nope" } || { name = "db" } && { name = "leaf" } => a x b c
      ({ name = "root" } || { name = "db" }) > { name = "leaf" } => b c
    ]]
  end)

  it("go through stages, and side by side through pipelines in parentheses", function()
    judge [[
      { name = "db" } | { status = error }              => a
      { } | count() > 4                                 => r a x b c
      { } | count() > 5                                 =>
      count() = 5 | { name = "db" } | count() < 3       => a x
      { name = "nope" } | count() < 3                   =>
      { } | avg(duration) > 100ms                       => r a x b c
      { } | sum(duration) = 662ms                       => r a x b c
      { } | min(duration) <= 5 | max(duration) = 0.5s   => r a x b c
      { } | max(span.n) = 12 | sum(span.n) = 14         => r a x b c
      { } | avg(span.n) = 3.5                           => r a x b c
      { } | max(span.nope) > 0                          =>
      { } | sum(span.m * 2) = 8                         => r a x b c
      { } | count() > 2 * 3 - 2                         => r a x b c
      { } | by(name) | count() = 2                      => a x b c
      { } | by(name) | count() = 1                      => r
      { } | by(span.m) | count() = 2                    => a x
      { } | by(name) | max(duration) > 50ms | { duration < 100ms } => x
      { } | by(name) | count() = 2 | coalesce() | count() = 4      => a x b c
      { } | by(span.n % 2 = 0) | count() > 1 | select(name)        => r a x b c
      { name = "db" } | { } > { }                       => x
      ({ name = "db" } | count() > 1) > ({ name = "leaf" } | { }) => b
      ({ name = "db" } | count() > 2) && ({ name = "leaf" } | { })  =>
      ({ name = "db" } | by(span.n)) || ({ name = "root" } | { }) => r a x
    ]]
  end)
end)

describe("a rule with trace.ql", function()
  local function fired(when, spans, more)
    local path = replay.rule_file(('rule "r" { when = %s, %s }'):format(when, more or ""))
    local found, status, stderr = replay.run(path, spans)
    os.remove(path)
    assert.equal(0, status, stderr)
    return found[1], stderr
  end

  it("combines with other conditions, and stands where spans do", function()
    local spans = { tree() }
    for when, ids in pairs {
      ['trace.ql [[{ name = "db" }]] * trace.has { name = "root" }'] = "r a x",
      ['trace.ql [[{ name = "nope" }]] + trace.ql [[{ name = "leaf" }]]'] = "b c",
      ['trace.ql [[{ name = "db" }]]:child { name = "leaf" }'] = "b",
      ['trace.ql [[{ name = "db" }]]:followed_by { name = "leaf" }'] = "a b",
      ['trace.count(trace.ql [[{ name = "db" }]]):exactly(2)'] = "a x",
      ['trace.has { name = "root" } * -trace.ql [[{ name = "nope" }]]'] = "r",
    } do
      assert.equal(ids, replay.witnesses(fired(when, spans), "t", IDS), when)
    end
    assert.is_nil(fired('trace.has { name = "root" } * -trace.ql [[{ name = "db" }]]', spans))
  end)

  it("says what was compared, and what is absent", function()
    local v = fired('trace.ql [[{ } | by(name) | max(duration) > 450ms]]', { tree() })
    assert.same({ 500, 450 }, { v.value, v.threshold })
    assert.equal('missing { name = "z" } as parent of { name = "db" }', fired('trace.ql [[{ name = "z" } !> { name = "db" }]]', { tree() }).reason)
    assert.equal('missing { name = "z" }', fired('-trace.ql [[{ name = "z" }]]', { tree() }).reason)
    local many = {}
    for i = 1, 40 do many[i] = span { id = "s" .. i, at = i } end
    v = fired("trace.ql [[{ }]]", { many })
    assert.same({ 32, 40 }, { #v.spans, v.span_total })
  end)

  local first = { span { id = "r", name = "root", dur = 3000 }, span { id = "a", parent = "r", name = "db", dur = 20 }, span { id = "b", parent = "r", name = "db", dur = 30 }, at = 5000 }
  local second = { span { id = "z", parent = "r", name = "late", at = 9000 }, at = 9500 }

  it("is decided at once where more spans cannot undo it, else at the close", function()
    for query, early in pairs {
      ['{ name = "db" }'] = true, ['{ name = "root" } >> { name = "db" }'] = true, ['{ name = "db" } &~ { name = "db" }'] = true,
      ['{ name = "db" } | count() > 1'] = true, ['{ } | max(duration) >= 1s'] = true, ['{ traceDuration > 1s }'] = true,
      ['{ rootName = "root" }'] = true, ['{ !(name = "db") }'] = true, ['{ } | by(name)'] = true, ['{ } | select(name)'] = true,
      ['{ name = "x" } !> { name = "db" }'] = false, ['{ name = "db" } | count() < 3'] = false, ['{ name = "db" } | count() = 2'] = false,
      ['{ name = "db" } | count() != 3'] = false, ['{ } | avg(duration) > 1'] = false, ['{ } | sum(duration) > 1'] = false,
      ['{ } | min(duration) < 1s'] = false, ['{ } | min(duration) > 1'] = false, ['{ } | by(name) | count() > 1'] = false,
      ['{ span:childCount > 1 }'] = false, ['{ traceDuration < 1h }'] = false, ['{ !(traceDuration > 1h) }'] = false,
      ['{ !(rootName = "x") }'] = false, ['{ duration < traceDuration * 2 }'] = false,
    } do
      local v = fired("trace.ql [==[" .. query .. "]==]", { first, second })
      assert.truthy(v, query)
      assert.equal(early, v.time < "2025-10-13T12:00:09", query .. " " .. v.time)
    end
  end)

  it("is looked at again when spans come that satisfy no filter of it", function()
    local root = { span { id = "r", name = "root", dur = 1000 }, at = 1000 }
    local db = { span { id = "d", name = "db", parent = "r", dur = 10 }, at = 1000 }
    local far = { span { id = "z", parent = "r", name = "late", at = 5000 }, at = 6000 }
    for _, row in ipairs {
      { '{ name = "root" && traceDuration > 4s }', { root, far } }, { '{ name = "db" && rootName = "root" }', { db, root } },
      { '{ name = "db" } | max(traceDuration) > 4s', { db, far } },
      { '{ name = "root" } >> { name = "db" }', { { span { id = "d", name = "db", parent = "m" }, root[1], at = 1000 }, { span { id = "m", parent = "r" }, at = 2000 } } },
    } do
      local v = fired("trace.ql [==[" .. row[1] .. "]==]", row[2])
      assert.truthy(v and v.time < "2025-10-13T12:00:06.5", row[1])
    end
  end)

  it("is unknown in a trace that was cut, where it hangs on what may have been lost", function()
    local cut = "--trace.idle=6s --trace.max-age=9s"
    local function verdict(query)
      local path = replay.rule_file(('rule "r" { when = trace.ql [==[%s]==] }'):format(query))
      local found, status, stderr = replay.run(path, { first, { span { id = "y", parent = "r", name = "db", at = 8000 }, at = 9000 } }, cut)
      os.remove(path)
      assert.equal(0, status, stderr)
      return found[1] ~= nil
    end
    for query, fires in pairs {
      ['{ name = "db" } | count() > 1'] = true, ['{ name = "x" } !> { name = "db" }'] = false, ['{ name = "db" } | count() < 9'] = false,
      ['{ } | avg(duration) > 1'] = false, ['{ span:childCount < 9 }'] = false, ['{ span:childCount > 1 }'] = true,
      ['{ traceDuration < 1h }'] = false, ['{ name = "db" } | count() != 5'] = false, ['{ name = "db" } | count() != 1'] = true,
    } do
      assert.equal(fires, verdict(query), query)
    end
  end)

  it("is unknown where a parent has not arrived", function()
    local orphan = { { span { id = "x", name = "mid", parent = "gone" }, span { id = "b", name = "db", parent = "x", at = 1 } } }
    assert.is_nil(fired('trace.ql [[{ name = "a" } !>> { name = "db" }]]', orphan))
    assert.truthy(fired('trace.ql [[{ name = "a" } !> { name = "db" }]]', orphan))
    assert.is_nil(fired('-trace.ql [[{ name = "a" } >> { name = "db" }]]', orphan))
    assert.is_nil(fired('trace.has { name = "mid" } * -trace.ql [[({ name = "a" } >> { name = "db" })]]', orphan))
  end)

  it("has the same version however it is spaced, and another when it says another thing", function()
    local function id(query) return fired("trace.ql [==[" .. query .. "]==]", { tree() }).id end
    assert.equal(id "{ span.n / 2 = 3 }", id "{span.n  /  2=3} // the same")
    assert.not_equal(id "{ span.n / 2 = 3 }", id "{ span.n / 2 = 3 || false }")
  end)

  it("is noted by the check where it compares a duration with a bare number", function()
    local _, said = fired("trace.ql [[{ duration > 50 } | max(duration) > 1]]", { tree() })
    assert.truthy(said:find("`50` beside a duration means 50 ms here, and 50 ns to Tempo", 1, true), said)
    assert.truthy(said:find("`1` beside a duration", 1, true), said)
    local _, silent = fired("trace.ql [[{ duration > 50ms && traceDuration > 0 }]]", { tree() })
    assert.is_nil(silent:find("beside a duration", 1, true), silent)
  end)

  it("is a load error that points at the word", function()
    local path = replay.rule_file('rule "r" {\n  when = trace.ql [[{ nam = "x" }]],\n}')
    local _, status, stderr = replay.run(path, { tree() })
    os.remove(path)
    assert.equal(1, status)
    assert.truthy(stderr:find(":2:23: error: unknown name `nam`", 1, true), stderr)
    assert.truthy(stderr:find("did you mean `name`?", 1, true), stderr)
  end)
end)

describe("fluo explain", function()
  it("shows the filters of a query, and what is reckoned as it was written", function()
    local rules = replay.rule_file('rule "q" { when = trace.ql [[{ name = "db" && span.n / 2 > 1s } >> { status = error } || {false}]] }')
    local file = os.tmpname()
    replay.write(file, require("cjson").encode(replay.request(tree())) .. "\n")
    local pipe = io.popen(("%s explain --rules %s q %s 2>&1"):format(replay.fluo, rules, file))
    local text = pipe:read("*a")
    pipe:close()
    os.remove(rules)
    os.remove(file)
    assert.truthy(text:find('no   ql `{ name = "db" && span.n / 2 > 1s } >> { status = error } || {false}`', 1, true), text)
    assert.truthy(text:find("no   (span.n / 2) > 1000ms", 1, true), text)
  end)
end)
