-- Bodies of the API: what is read, and what is refused with which reason.
local support = require("spec.support")
local core, ffi = support.core("heap", "api_body")

local NAMES = { ffi.new("char[?]", 9, "matchers"), ffi.new("char[?]", 5, "flag") }

-- The text, whether it was there, and the flag; or nil and why.
local function read(body)
  local p, n, free = support.guarded(body)
  local text, why = ffi.new("char[9]"), ffi.new("char[160]")
  local members = ffi.new("struct api_member[2]", { { NAMES[1], text, 9 }, { NAMES[2], nil, 0 } })
  local live = core.heap_live()
  local good = core.api_body_read(p, n, members, 2, why)
  free()
  assert.equal(0, tonumber(core.heap_live() - live))
  if not good then return nil, ffi.string(why) end
  return ffi.string(text), members[0].there, members[1].there
end
jit.off(read)

describe("a body", function()
  it("is an object of texts and of true and false", function()
    assert.same({ "a\"b\n", true, true }, { read(' {"flag":true,"matchers":"a\\"b\\n"} \n') })
    assert.same({ "", true, false }, { read('{"matchers":"","flag":false}') })
    assert.same({ "", false, false }, { read("{}") })
    assert.same({ "", false, false }, { read("") })
    assert.same({ "12345678", true, false }, { read('{"matchers":"12345678"}') })
    assert.same({ "é", true, false }, { read('{"m\\u0061tchers":"\\u00e9"}') })
  end)

  it("is refused whichever of its bytes is the last", function()
    local whole = '{"matchers":"a\\u00e9","flag":true}'
    for n = 1, #whole - 1 do assert.is_nil((read(whole:sub(1, n))), whole:sub(1, n)) end
  end)

  local refused = {
    { '{"matchers":"123456789"}', "too long: matchers" }, { '{"matchers":"a\\u0000"}', "a NUL in a text: matchers" },
    { '{"matchers":1}', "expected a text: matchers" }, { '{"flag":"true"}', "expected true or false: flag" },
    { '{"flag":null}', "expected true or false: flag" }, { '{"x":1}', "there is no such member: x" },
    { '{"flag":true,"flag":true}', "it stands there twice: flag" }, { "[]", "expected an object" },
    { '{"flag":true} {}', "expected nothing more at 1:15" }, { '{"matchers":"\255"}', "it is not UTF-8" },
    { '{"flag":true,}', "expected a string" }, { '{"flag" true}', "expected a colon" }, { '{"matchers":"\n"}', "a control character" },
  }
  for _, case in ipairs(refused) do
    it("is refused: " .. case[1]:gsub("%c", "?"):gsub("\255", "?"), function()
      local _, why = read(case[1])
      assert.truthy(why and why:find(case[2], 1, true), why)
    end)
  end

  it("is refused for want of memory, and leaves nothing behind", function()
    local tried = 0
    repeat
      tried = tried + 1
      core.heap_fail_from(tried)
      local good, why = read('{"m\\u0061tchers":"abc"}')
      core.heap_fail_from(0)
      assert.is_true(good ~= nil or why ~= "")
    until good
    assert.is_true(tried > 1)
  end)
end)
