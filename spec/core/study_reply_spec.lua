local support = require("spec.support")
local core, ffi = support.core("heap", "study_reply", "study_queue", "study_blame", "ruleset")

-- Replies as the worker writes them, from plain values.
local function bytes_of(type, fields)
  local record = ffi.new(type)
  for key, value in pairs(fields) do record[key] = value end
  return ffi.string(record, ffi.sizeof(type))
end
local function pad(text) return text .. ("\0"):rep(-#text % 8) end

local function verdict(v)
  local witnesses = ffi.new("uint32_t[?]", #(v.witnesses or {}), v.witnesses or {})
  local head = bytes_of("struct fluo_verdict", { rule = v.rule, truth = v.truth or 1,
    witnesses = v.shown or #(v.witnesses or {}), witness_total = v.total or #(v.witnesses or {}), time_ns = 9,
    reason_bytes = v.reason_bytes or #(v.reason or ""), has_value = v.has_value or (v.value and 1 or 0),
    value = v.value or 0, threshold = 1 })
  return head .. pad(ffi.string(witnesses, 4 * #(v.witnesses or {})) .. (v.reason or ""))
end

local function note(n)
  local head = { rule = n.rule, errors = n.errors or 1, text_bytes = n.bytes or #(n.text or "") }
  return bytes_of("struct fluo_note", head) .. pad(n.text or "")
end

local function reply(r)
  return bytes_of("struct fluo_reply", { message = r.message or ffi.C.FLUO_MESSAGE_REPLY, count = r.count,
    sequence = r.sequence or 7, notes = r.notes or 0, heap_kib = 1 }) .. r.body
end

local function ask_job(count, blamed)
  local job = ffi.new("struct study_job")
  job.head.message, job.head.count, job.head.sequence = ffi.C.FLUO_MESSAGE_ASK, count, 7
  job.left = count
  if blamed then
    job.blamed = blamed
    for i = 0, count - 1 do job.left = job.left - blamed[i] end
  end
  return job
end

local rules_of = ffi.new("uint32_t[3]", 4, 2, 0)
local function judge_job(blamed)
  local job = ask_job(3, blamed)
  job.head.message, job.head.spans_count, job.rules = ffi.C.FLUO_MESSAGE_JUDGE, 10, rules_of
  return job
end

local out = ffi.new("struct study_reply")
local function read(text, job)
  local p, _, free = support.guarded(pad(text))
  -- 8-aligned, for a multiple of 8 lies right before the page; what is beyond #text is only padding.
  local good = core.study_reply_read(p, #text, job, 5, out)
  return good, free
end
local function accepted(text, job)
  local good, free = read(text, job)
  free()
  return good
end

local GOOD_ASK = reply { count = 3, body = pad("\0\1\2") }
local GOOD_JUDGE = reply { count = 3, notes = 1,
  body = verdict { rule = 4, witnesses = { 3, 9 }, reason = "missing x", value = 2 }
  .. verdict { rule = 2, truth = 0 } .. verdict { rule = 0, truth = 2 } .. note { rule = 0, text = "boom" } }

describe("a reply", function()
  it("is read when it is complete", function()
    assert.is_true(accepted(GOOD_ASK, ask_job(3)))
    assert.same({ 0, 1, 2 }, { out.answers[0], out.answers[1], out.answers[2] })
    local good, free = read(GOOD_JUDGE, judge_job())
    assert.is_true(good)
    local v = out.verdicts[0]
    assert.same({ 4, 1, 2, 3, 9 }, { v.rule, tonumber(v.truth), v.witnesses_count, v.witnesses[0], v.witnesses[1] })
    assert.same({ 9, 2 }, { tonumber(v.time_ns), v.value })
    assert.equal("missing x", ffi.string(v.reason, v.reason_bytes))
    assert.same({ 0, 2 }, { tonumber(out.verdicts[1].truth), tonumber(out.verdicts[2].truth) })
    local cursor = ffi.new("const uint8_t *[1]", out.notes)
    local n = core.study_reply_note(cursor)
    assert.equal("boom", ffi.string(n.text, n.bytes))
    free()
  end)

  it("has unknown for the items that were taken out", function()
    local blamed = ffi.new("uint8_t[3]", 0, 1, 0)
    assert.is_true(accepted(reply { count = 2, body = pad("\1\0") }, ask_job(3, blamed)))
    assert.same({ 1, 2, 0 }, { out.answers[0], out.answers[1], out.answers[2] })
    local two = verdict { rule = 4, truth = 0 } .. verdict { rule = 0, truth = 0 }
    assert.is_true(accepted(reply { count = 2, body = two }, judge_job(blamed)))
    assert.same({ 4, 2, 0 }, { out.verdicts[0].rule, out.verdicts[1].rule, out.verdicts[2].rule })
    assert.equal(2, tonumber(out.verdicts[1].truth))
  end)

  it("is nonsense at every length but its own", function()
    for _, case in ipairs { { GOOD_ASK, ask_job(3) }, { GOOD_JUDGE, judge_job() } } do
      for n = 0, #case[1] - 1 do assert.is_false(accepted(case[1]:sub(1, n), case[2])) end
      assert.is_false(accepted(case[1] .. ("\0"):rep(8), case[2]))
    end
  end)

  local function judged(first, notes)
    return reply { count = 3, notes = notes and 1 or 0,
      body = first .. verdict { rule = 2, truth = 0 } .. verdict { rule = 0, truth = 2 } .. (notes or "") }
  end
  local many = {}
  for i = 1, 33 do many[i] = i % 10 end

  it("has an explanation as its reason where the job asks for one, up to a bound", function()
    local function explained(bytes)
      local job = judge_job()
      job.head.flags = ffi.C.FLUO_JOB_EXPLAIN
      return accepted(judged(verdict { rule = 4, reason = ("x"):rep(bytes), value = 2 }), job)
    end
    assert.is_true(explained(65536))
    assert.equal(65536, out.verdicts[0].reason_bytes)
    assert.is_false(explained(65537))
  end)

  for what, text in pairs({
    ["another message"] = reply { message = 3, count = 3, body = GOOD_JUDGE:sub(25) },
    ["an answer to another job"] = reply { sequence = 8, count = 3, body = GOOD_JUDGE:sub(25) },
    ["about more items"] = reply { count = 4, body = GOOD_JUDGE:sub(25) },
    ["about rules in another order"] = judged(verdict { rule = 3, truth = 0 }),
    ["of a fourth truth"] = judged(verdict { rule = 4, truth = 3 }),
    ["with a witness that is no span"] = judged(verdict { rule = 4, witnesses = { 10 } }),
    ["with fewer witnesses than it says"] = judged(verdict { rule = 4, witnesses = { 1 }, shown = 3, total = 3 }),
    ["with more witnesses than spans"] = judged(verdict { rule = 4, witnesses = { 1 }, total = 11 }),
    ["with fewer witnesses than it has"] = judged(verdict { rule = 4, witnesses = { 1 }, total = 5 }),
    ["with too many witnesses"] = judged(verdict { rule = 4, witnesses = many, total = 33 }),
    ["with a reason beyond its end"] = judged(verdict { rule = 4, reason = "x", reason_bytes = 1000 }),
    ["with a reason too long"] = judged(verdict { rule = 4, reason = ("x"):rep(1025) }),
    ["with proof for what is not true"] = judged(verdict { rule = 4, truth = 0, witnesses = { 1 } }),
    ["with a value that is no number"] = judged(verdict { rule = 4, value = 0 / 0 }),
    ["with half a value"] = judged(verdict { rule = 4, has_value = 2 }),
    ["with a note about no rule"] = judged(verdict { rule = 4 }, note { rule = 5, text = "x" }),
    ["with a note of no errors"] = judged(verdict { rule = 4 }, note { rule = 4, errors = 0 }),
    ["with a note of more errors than items"] = judged(verdict { rule = 4 }, note { rule = 4, errors = 4 }),
    ["with a note that is too long"] = judged(verdict { rule = 4 }, note { rule = 4, text = ("x"):rep(257) }),
    ["with a note beyond its end"] = judged(verdict { rule = 4 }, note { rule = 4, bytes = 8 }),
  }) do
    it("is nonsense " .. what, function() assert.is_false(accepted(text, judge_job())) end)
  end

  it("is never read past its end, whatever bytes are spoilt", function()
    math.randomseed(11)
    for _ = 1, 20000 do
      local at = math.random(1, #GOOD_JUDGE)
      local spoilt = GOOD_JUDGE:sub(1, at - 1) .. string.char(math.random(0, 255)) .. GOOD_JUDGE:sub(at + 1)
      accepted(spoilt, judge_job())
    end
  end)
end)

describe("the queue of jobs", function()
  local function new(rules)
    local job = ffi.cast("struct study_job *", core.heap_zalloc(ffi.sizeof("struct study_job")))
    job.head.message, job.head.count, job.left = ffi.C.FLUO_MESSAGE_JUDGE, #rules, #rules
    job.rules = core.heap_zalloc(4 * #rules)
    for i, rule in ipairs(rules) do job.rules[i - 1] = rule end
    return job
  end

  it("takes a rule out of a job, or all of it where there is no memory to note what", function()
    local job = new { 1, 2, 1 }
    core.study_job_blame(job, nil, 1)
    assert.same({ 1, 1, 0, 1 }, { job.left, job.blamed[0], job.blamed[1], job.blamed[2] })
    core.study_job_blame(job, nil, 1)
    assert.equal(1, job.left)
    assert.is_true(core.study_job_asks(job, nil, 2))
    assert.is_false(core.study_job_asks(job, nil, 1))
    local message = ffi.new("uint8_t[?]", 256)
    assert.equal(ffi.sizeof("struct fluo_job") + 4, tonumber(core.study_job_message(job, message)))
    assert.equal(2, ffi.cast("uint32_t *", message + ffi.sizeof("struct fluo_job"))[0])
    core.study_job_free(job)
    job = new { 1, 2 }
    core.heap_fail_from(1)
    core.study_job_blame(job, nil, 1)
    core.heap_fail_from(0)
    assert.equal(0, job.left)
    core.study_job_free(job)
  end)

  it("keeps what is sent and what waits in order through any history", function()
    math.randomseed(3)
    local live = core.heap_live()
    local q, order, sent = ffi.new("struct study_queue"), {}, 0
    for _ = 1, 20000 do
      local dice = math.random(10)
      if dice <= 4 then
        local job = new { math.random(3) }
        core.study_queue_push(q, job)
        order[#order + 1] = job
      elseif dice <= 7 then
        local job = core.study_queue_next(q)
        if job ~= nil then
          core.study_queue_mark(q)
          sent = sent + 1
        end
      elseif dice <= 9 and #order > 0 then
        local job = core.study_queue_pop(q)
        assert.is_true(job == order[1])
        core.study_job_free(table.remove(order, 1))
        sent = math.max(0, sent - 1)
      elseif dice == 10 then
        core.study_queue_rewind(q)
        sent = 0
      end
      assert.same({ sent, #order - sent }, { q.sent, q.waiting })
      local running = core.study_queue_running(q)
      if sent > 0 then assert.is_true(running == order[1]) else assert.is_true(running == nil) end
    end
    for _, job in ipairs(order) do core.study_job_free(job) end
    assert.equal(live, core.heap_live())
  end)
end)

describe("the record of faults", function()
  local b
  before_each(function() b = ffi.new("struct study_blame") end)
  after_each(function() core.study_blame_deinit(b) end)
  local MINUTE = 60000000000ULL

  it("quarantines at the third fault within ten minutes, once", function()
    assert.is_false(core.study_blame_note(b, 4, MINUTE))
    assert.is_false(core.study_blame_note(b, 4, 2 * MINUTE))
    assert.is_false(core.study_blame_note(b, 5, 3 * MINUTE))
    assert.is_false(core.study_blame_quarantined(b, 4))
    assert.is_true(core.study_blame_note(b, 4, 11 * MINUTE - 1))
    assert.is_true(core.study_blame_quarantined(b, 4))
    assert.is_false(core.study_blame_quarantined(b, 5))
    assert.is_false(core.study_blame_note(b, 4, 11 * MINUTE))
  end)

  it("forgets faults that are ten minutes old", function()
    for i = 1, 20 do assert.is_false(core.study_blame_note(b, 4, i * 5 * MINUTE)) end
    assert.is_true(core.study_blame_note(b, 4, 104 * MINUTE + MINUTE / 2))
  end)

  it("does not count a fault that there is no memory for", function()
    core.heap_fail_from(1)
    for _ = 1, 5 do assert.is_false(core.study_blame_note(b, 4, 1)) end
    core.heap_fail_from(0)
  end)
end)
