-- A snapshot as a file: blocks that are whole, and what damage costs.
local support = require("spec.support")
local core, ffi = support.core("buffer", "err", "heap", "snapshot")

local HEAD, GROUPS, END = 1, 2, 3

jit.off()                                                             -- C calls back into Lua

describe("a snapshot's file", function()
  local live, block

  before_each(function()
    live, block = core.heap_live(), ffi.new("struct buffer")
    core.buffer_init(block, 4096)
  end)
  after_each(function()
    core.heap_fail_from(0)
    core.buffer_deinit(block)
    assert.equal(live, core.heap_live())
  end)

  local function sealed(kind, text)
    core.snapshot_open(block)
    core.buffer_add(block, text, #text)
    core.snapshot_seal(block, kind)
    return ffi.string(block.data, block.len)
  end

  local function file()
    return ffi.string(core.snapshot_magic, 8) .. sealed(HEAD, "rules") .. sealed(GROUPS, ("one "):rep(20)) ..
           sealed(GROUPS, "two") .. sealed(END, "")
  end

  local from, left
  local read = ffi.cast("size_t (*)(void *, void *, size_t)", function(_, to, n)
    n = math.min(tonumber(n), left)
    ffi.copy(to, from, n)
    from, left = from + n, left - n
    return n
  end)

  -- The blocks' texts, "kind:text"; how many were damaged; and how it ended.
  local function look(bytes, bytes_max)
    local p, n, free = support.guarded(bytes)
    local reader = ffi.new("struct snapshot_reader", { read = read, bytes_max = bytes_max or n })
    local list, kind = {}, nil
    from, left = p, n
    local err = core.snapshot_begin(reader)
    while err == 0 do
      kind = core.snapshot_next(reader, block)
      if kind <= 0 then break end
      list[#list + 1] = kind .. ":" .. ffi.string(block.data, block.len)
    end
    free()
    return list, reader.damaged, err ~= 0 and err or kind
  end

  local WHOLE = { "1:rules", "2:" .. ("one "):rep(20), "2:two", "3:" }

  it("reads back as it was written", function()
    local list, damaged, ended = look(file())
    assert.same(WHOLE, list)
    assert.same({ 0, 0 }, { damaged, ended })
  end)

  it("that was cut anywhere has the blocks before, and no end", function()
    local whole = file()
    for n = 0, #whole - 1 do
      local list = look(whole:sub(1, n))
      for i, text in ipairs(list) do assert.equal(WHOLE[i], text) end
      assert.is_true(#list < #WHOLE)
    end
  end)

  it("costs a block where a byte of it is wrong, and nothing that is wrong is taken", function()
    local whole, known = file(), {}
    for _, text in ipairs(WHOLE) do known[text] = true end
    for at = 1, #whole do
      for _, change in ipairs({ 1, 128, 255 }) do
        local wrong = whole:sub(1, at - 1) .. string.char(bit.bxor(whole:byte(at), change)) .. whole:sub(at + 1)
        local list, damaged, ended = look(wrong)
        assert.is_true(#list < #WHOLE)
        assert.is_true(damaged > 0 or ended < 0 or #list == 0 or list[#list] ~= "3:")
        for _, text in ipairs(list) do assert.is_true(known[text], text) end
      end
    end
    local inside = whole:find("one ", 1, true)
    local list, damaged = look(whole:sub(1, inside - 1) .. "?" .. whole:sub(inside + 1))
    assert.same({ { "1:rules", "2:two", "3:" }, 1 }, { list, damaged })
  end)

  it("of another format is not read at all", function()
    local whole = file()
    local list, _, ended = look(whole:sub(1, 12) .. "\99" .. whole:sub(14))
    assert.same({ {}, core.FLUO_EUNSUPPORTED }, { list, ended })
  end)

  it("is read no further than its bound, and a block no larger than its", function()
    local whole = file()
    assert.same({ "1:rules" }, (look(whole, 60)))
    block.max = 50
    local list, damaged = look(whole)
    assert.same({ { "1:rules" }, 1 }, { list, damaged })
    block.max = 4096
  end)

  it("says so where memory ends", function()
    local whole = file()
    core.buffer_deinit(block)
    core.heap_fail_from(1)
    local _, _, ended = look(whole)
    assert.equal(core.FLUO_ENOMEM, ended)
  end)
end)
