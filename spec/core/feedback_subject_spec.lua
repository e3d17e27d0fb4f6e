-- Where feedback on a violation belongs, by its JSON.
local support = require("spec.support")
local core, ffi = support.core("buffer", "err", "feedback_subject", "heap")

local MALFORMED = tonumber(ffi.C.FLUO_EMALFORMED)
local ID, INCIDENT = ("a1"):rep(16), ("0f"):rep(16)

describe("a violation's JSON", function()
  local function read(json)
    local s, live = ffi.new("struct feedback_subject"), core.heap_live()
    local p, n, free = support.guarded(json)
    local err = core.feedback_subject_read(ffi.new("struct text", ffi.cast("const char *", p), n), s)
    local found = err == 0 and { violation = ffi.string(s.violation), incident = ffi.string(s.incident),
      rule = ffi.string(s.rule.data, s.rule.len), group = ffi.string(s.group.p, s.group.n) }
    if err == 0 then core.feedback_subject_deinit(s) end
    free()
    assert.equal(live, core.heap_live())
    return found or nil, err
  end
  local function violation(more) return ('{"id":"%s","rule":"a \\"b\\"",%s}'):format(ID, more) end
  local function group(more)
    local found, err = read(violation(more))
    return (assert(found, err)).group
  end

  local WHOLE = violation('"severity":"high","scope":"window","time":"x","spans":[{"name":"}"}],"group":{"service":"a","k":"}"},' ..
                          '"value":3,"threshold":2,"labels":{"id":"no"},"incident":"' .. INCIDENT .. '","evidence":true')

  it("says rule, group and incident", function()
    assert.same({ violation = ID, incident = INCIDENT, rule = 'a "b"', group = '{"service":"a","k":"}"}' }, read(WHOLE))
  end)

  it("of a window without groups says the empty one", function()
    assert.equal("{}", group '"scope":"window","value":3,"threshold":2')
  end)

  it("of anything that compares no number over a window says none", function()
    assert.equal("null", group '"scope":"trace","spans":[]')
    assert.equal("null", group '"scope":"sequence","group":{"a":"b"},"value":3,"threshold":3')
    assert.equal("null", group '"scope":"window","group":{"service":"a"}')           -- what is new
  end)

  it("is refused where it is cut short", function()
    for n = 0, #WHOLE - 1 do assert.same({ nil, MALFORMED }, { read(WHOLE:sub(1, n)) }) end
  end)

  it("is refused without a rule or an id, and with an id that is none", function()
    for _, json in ipairs { '{"id":"' .. ID .. '"}', '{"rule":"a"}', '{"id":"","rule":"a"}', '{"id":"' .. ID .. '0","rule":"a"}',
                            '{"id":"x","rule":"a"}', '{"id":7,"rule":"a"}', "[]", "" } do
      assert.same({ nil, MALFORMED }, { read(json) })
    end
  end)

  it("is refused where there is no memory", function()
    core.heap_fail_from(1)
    local s = ffi.new("struct feedback_subject")
    local err = core.feedback_subject_read(ffi.new("struct text", WHOLE, #WHOLE), s)
    core.heap_fail_from(0)
    assert.equal(tonumber(ffi.C.FLUO_ENOMEM), err)
  end)
end)
