-- YAML as events: where each stands, what it says, and that nothing is kept or read past.
local support = require("spec.support")
local core, ffi = support.core("yaml", "heap")

local NAMES = { [0] = "end", "error", "document", "list", "mapping", "close", "scalar", "alias" }

-- "name@place text" of each event; the text lies before an unmapped page.
local function events(text)
  local p, n, free = support.guarded(text)
  local yaml, event, list = core.fluo_yaml_open(p, n), ffi.new("struct fluo_yaml_event"), {}
  repeat
    core.fluo_yaml_next(yaml, event)
    local said = event.len > 0 and " " .. ffi.string(event.text, event.len) or ""
    local tag = event.tag_len > 0 and " " .. ffi.string(event.tag, event.tag_len) or ""
    list[#list + 1] = ("%s@%d%s%s%s"):format(NAMES[event.type], event.at, said, event.quoted ~= 0 and " quoted" or "", tag)
  until event.type <= 1
  core.fluo_yaml_next(yaml, event)
  assert(event.type == 0, "nothing comes after the end or an error")
  core.fluo_yaml_close(yaml)
  free()
  return list
end

describe("a YAML text", function()
  it("is a row of events, each at its place in characters", function()
    assert.same({ "document@0", "mapping@0", "scalar@0 \195\169", "list@3", "scalar@4 a", "scalar@7 b quoted", "close@10", "close@11", "close@11", "end@11" },
      events('\195\169: [a, "b"]'))
    assert.same({ "document@0", "scalar@0 5 tag:yaml.org,2002:str", "close@7", "end@7" }, events("!!str 5"))
    assert.same({ "end@0" }, events(""))
  end)

  it("ends with an error where it is none", function()
    assert.same({ "document@0", "list@0", "scalar@1 a", "error@2 did not find expected ',' or ']'" }, events("[a"))
    assert.same({ "error@2 invalid leading UTF-8 octet" }, events("a \255"))
  end)

  it("is pulled no further than it is asked for: what lies far behind does not matter", function()
    local text = "[" .. (" "):rep(5000) .. "[" .. ("{"):rep(100000)
    local yaml, event = core.fluo_yaml_open(text, #text), ffi.new("struct fluo_yaml_event")
    for _ = 1, 3 do core.fluo_yaml_next(yaml, event) end
    assert.equal("list", NAMES[event.type])
    core.fluo_yaml_close(yaml)
  end)

  it("leaves nothing behind when it is closed early, and says so when there is no memory", function()
    local live = core.heap_live()
    local yaml, event = core.fluo_yaml_open("[a, b]", 6), ffi.new("struct fluo_yaml_event")
    for _ = 1, 3 do core.fluo_yaml_next(yaml, event) end
    core.fluo_yaml_close(yaml)
    core.heap_fail_from(1)
    local none = core.fluo_yaml_open("a", 1)
    core.heap_fail_from(0)
    assert.is_true(none == nil)
    core.fluo_yaml_close(nil)
    assert.equal(live, core.heap_live())
  end)
end)
