-- Clients that stay, and their queues; what they are told is others' business (follow_spec, recorder_spec).
local support = require("spec.support")
local core, ffi = support.core("heap", "buffer", "http", "stream")

local STREAM = 3

local woken
local wake = ffi.cast("void (*)(void *)", function() woken = woken + 1 end)

describe("a stream", function()
  local all, live, work, body

  before_each(function()
    jit.off()
    all, live, woken = ffi.new("struct streams"), core.heap_live(), 0
    work, body = ffi.new("void *[1]"), ffi.new("struct buffer")
    core.streams_init(all)
    core.buffer_init(body, 100)
  end)
  after_each(function()
    core.buffer_deinit(body)
    assert.equal(live, core.heap_live())
  end)

  local function open(bytes)
    local c = ffi.new("struct stream")
    core.stream_open(all, c, bytes or 100)
    return c
  end

  -- Whether it waits for more, and whether its request knows it then.
  local function answer(c, gone)
    local request = ffi.new("struct http_request", { work = work, wake = wake, gone = gone or false })
    local response = ffi.new("struct http_response", { body = body })
    local waits = core.stream_waits(all, c, request, response)
    assert.equal(waits, response.later == STREAM)
    return waits, work[0] == ffi.cast("void *", c)
  end

  it("is among the others until it is closed", function()
    local a, b, c = open(), open(), open()
    local function seen()
      local list, one = {}, nil
      repeat
        one = core.streams_next(all, one)
        list[#list + 1] = one == a and "a" or one == b and "b" or one == c and "c" or nil
      until one == nil
      return table.concat(list) .. all.count
    end
    assert.equal("abc3", seen())
    core.stream_close(all, b)
    assert.equal("ac2", seen())
    core.stream_close(all, a)
    core.stream_close(all, c)
    assert.equal("0", seen())
  end)

  it("wakes its client once an answer", function()
    local c = open()
    core.stream_wake(c)
    assert.equal(0, woken)                        -- nobody waits yet
    assert.same({ true, true }, { answer(c) })
    core.stream_wake(c)
    core.stream_wake(c)
    assert.equal(1, woken)
    core.stream_close(all, c)
  end)

  it("ends where its client is gone, its answer found no room, or all end, which wakes it", function()
    local c = open()
    assert.same({ false, false }, { answer(c, true) })
    core.buffer_add(body, ("x"):rep(101), 101)
    assert.is_false((answer(c)))
    core.buffer_clear(body)
    answer(c)
    core.streams_end(all)
    assert.equal(1, woken)
    assert.is_false((answer(c)))
    core.stream_close(all, c)
  end)

  it("takes back what found no room in its queue whole", function()
    local c = open(10)
    core.buffer_add(c.queue, "12345678", 8)
    assert.is_true(core.stream_kept(c.queue, 0))
    core.buffer_add(c.queue, "9", 1)
    core.buffer_add(c.queue, "too much", 8)
    assert.is_false(core.stream_kept(c.queue, 8))
    assert.same({ "12345678", 0 }, { ffi.string(c.queue.data, c.queue.len), c.queue.err })
    core.stream_close(all, c)
  end)
end)
