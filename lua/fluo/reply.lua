--- Writes the study's replies (fluo.h, section 3) into the outbox. Everything fits: a judgment has so few
-- rules that their verdicts and notes fit at full length, and the texts of an answer's notes are cut to what
-- room is left.
local abi = require("fluo.abi")
local ffi = abi.ffi

local M = {}

local reply_ptr, note_ptr = ffi.typeof("struct fluo_reply *"), ffi.typeof("struct fluo_note *")
local REPLY_BYTES, NOTE_BYTES = ffi.sizeof("struct fluo_reply"), ffi.sizeof("struct fluo_note")
local VERDICT_BYTES = ffi.sizeof("struct fluo_verdict")
local MESSAGE_MAX = tonumber(ffi.C.FLUO_MESSAGE_BYTES_MAX)
local WITNESSES_MAX, REASON_MAX = tonumber(ffi.C.FLUO_WITNESSES_MAX), tonumber(ffi.C.FLUO_REASON_BYTES_MAX)
local ERROR_MAX = tonumber(ffi.C.FLUO_ERROR_BYTES_MAX)
local REPLY = ffi.C.FLUO_MESSAGE_REPLY
local FALSE, TRUE, UNKNOWN = 0, 1, 2                      -- enum fluo_truth

local out, out_words, head                                -- the outbox, by 1 and 4 bytes, and as what it begins with
local at = 0                                              -- bytes written
local verdict = ffi.new("struct fluo_verdict")

function M.attach(outbox)
  out, out_words, head = ffi.cast("uint8_t *", outbox), ffi.cast("uint32_t *", outbox), ffi.cast(reply_ptr, outbox)
end

function M.begin() at = REPLY_BYTES end

--- One answer of an ASK: true, false, or nil for unknown.
function M.answer(truth)
  out[at] = truth and TRUE or truth == nil and UNKNOWN or FALSE
  at = at + 1
end

-- Padding is written, so that a reply's bytes do not depend on those before it.
local function pad()
  local n = -at % 8
  if n > 0 then ffi.fill(out + at, n) end
  at = at + n
end

local function put_text(text, n)
  if n > 0 then ffi.copy(out + at, text, n) end
  at = at + n
  pad()
end

-- Text of at most n bytes that is not cut within a character of UTF-8.
local function cut(text, n)
  if #text <= n then return #text end
  while n > 0 and bit.band(text:byte(n + 1), 0xc0) == 0x80 do n = n - 1 end
  return n
end

--- One verdict of a JUDGE. result: nil, or what the judge returned with a true verdict; time_ns: its time; reason_max:
-- of a study that explains.
function M.verdict(rule, truth, result, time_ns, reason_max)
  local v, head_at = verdict, at
  ffi.fill(v, VERDICT_BYTES)
  at = at + VERDICT_BYTES
  v.rule = rule
  v.truth = truth and TRUE or truth == nil and UNKNOWN or FALSE
  if truth then
    local witnesses, reason = result.witnesses, result.reason or ""
    local n, first = math.min(#witnesses, WITNESSES_MAX), at / 4 - 1
    for i = 1, n do out_words[first + i] = witnesses[i] end
    at = at + 4 * n
    v.witnesses, v.witness_total = n, #witnesses
    v.time_ns = time_ns
    v.reason_bytes = cut(reason, reason_max or REASON_MAX)
    if result.value ~= nil and result.threshold ~= nil then
      v.has_value, v.value, v.threshold = 1, tonumber(result.value), tonumber(result.threshold)
    end
    put_text(reason, v.reason_bytes)
  end
  ffi.copy(out + head_at, v, VERDICT_BYTES)
end

-- notes: array of {rule, errors, text}; later ones keep room for their heads.
local function put_notes(notes)
  pad()
  for i, note in ipairs(notes) do
    local room = MESSAGE_MAX - at - NOTE_BYTES * (#notes - i + 1) - 8
    local n = cut(note.text, math.max(0, math.min(ERROR_MAX, room)))
    local one = ffi.cast(note_ptr, out + at)
    one.rule, one.errors, one.text_bytes, one.reserved = note.rule, note.errors, n, 0
    at = at + NOTE_BYTES
    put_text(note.text, n)
  end
end

--- Ends the reply with its notes; returns its size.
function M.finish(job, count, notes, heap_kib)
  put_notes(notes)
  head.message = REPLY
  head.count, head.sequence = count, job.sequence
  head.notes, head.heap_kib = #notes, heap_kib
  return at
end

return M
