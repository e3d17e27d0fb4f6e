--- Incidents under a clock that specs turn by hand: what was said, as short lines.
local support = require("spec.support")
local core, ffi = support.core("heap", "buffer", "labels", "matchers", "incident", "notice", "alert_json")

jit.off()                                                             -- C calls back into Lua

local M = { core = core, ffi = ffi, SECOND = 1e9, MINUTE = 60e9, START = 999960 * 1e9 }
local CHANGES = { [0] = "opened", "updated", "acknowledged", "resolved", "reopened", "notified" }

local World = {}
World.__index = World
local current                                                         -- whom C calls back

local function id_of(n) return ("%032x"):format(n) end
M.id = id_of

local function text(s) return ffi.new("struct text", s, #s) end

--- A run of labels: { { name, value }, … }.
function M.labels(list)
  local b = ffi.new("struct buffer")
  core.buffer_init(b, 65536)
  for _, pair in ipairs(list or {}) do core.labels_add(b, text(pair[1]), text(pair[2])) end
  local run = ffi.string(b.data, b.len)
  core.buffer_deinit(b)
  return run
end

local function json_of(write, ...)
  local b = ffi.new("struct buffer")
  core.buffer_init(b, 4194304)
  local arguments = { ... }
  arguments[#arguments + 1] = b
  local out = write(unpack(arguments)) == 0 and ffi.string(b.data, b.len) or nil      -- nil: an allocation failed
  core.buffer_deinit(b)
  return out
end
function M.alert_json(notice) return json_of(core.alert_json, notice) end
function M.incident_json(incident, all) return json_of(core.incident_json, incident, all) end
function M.silence_json(silence) return json_of(core.silence_json, silence) end
function M.save(incident) return json_of(core.incident_save, incident) end

local function name_of(incident)
  local group = {}
  local at, name, value = ffi.new("uint32_t[1]"), ffi.new("struct text"), ffi.new("struct text")
  while core.labels_next(incident.group, at, name, value) do group[#group + 1] = ffi.string(value.p, value.n) end
  return ffi.string(incident.rule.p, incident.rule.n) .. (#group > 0 and "/" .. table.concat(group, ",") or "")
end

local on_incident = ffi.cast("void (*)(void *, const struct incident *, enum incident_change)", function(_, incident, change)
  local w, kind = current, CHANGES[tonumber(change)]
  w.rows[ffi.string(incident.id)] = { bytes = M.save(incident), status = incident.status,
                                     till = core.incident_restore_until(incident), count = tonumber(incident.count) }
  w.changes = w.changes + 1
  if kind == "notified" then return end
  w.said[#w.said + 1] = ("%g %s %s %d"):format(w:seconds(), kind, name_of(incident), tonumber(incident.count))
end)

local on_notice = ffi.cast("bool (*)(void *, const struct notice *)", function(_, notice)
  local w, names = current, {}
  if w.deaf then return false end
  for k = 0, notice.incidents_count - 1 do
    local resolved = notice.incidents[k].status == ffi.C.INCIDENT_RESOLVED
    names[k + 1] = (resolved and "-" or "") .. name_of(notice.incidents[k])
  end
  local event = ffi.string(core.notice_event_names[tonumber(notice.event)])
  w.notices[#w.notices + 1] = ("%g %s %s %s"):format(w:seconds(), ffi.string(notice.receiver.p, notice.receiver.n), event,
    table.concat(names, " "))
  w.ids[#w.ids + 1] = ffi.string(notice.id)
  w.alerts[#w.alerts + 1] = M.alert_json(notice)
  return true
end)

local on_silence = ffi.cast("void (*)(void *, const struct silence *)", function(_, silence)
  local w = current
  w.silences[#w.silences + 1] = ("%g %s %s"):format(w:seconds(), silence.ended_ns == 0 and "added" or "ended",
    ffi.string(silence.matchers_text))
end)

local function names(list, keep)
  local out = ffi.new("const char *[?]", math.max(#list, 1))
  for k, name in ipairs(list) do
    keep[#keep + 1] = name
    out[k - 1] = name
  end
  keep[#keep + 1] = out
  return out, #list
end

local function notice_options(t, keep)
  local o = ffi.new("struct notice_options")
  o.group_by, o.group_by_count = names(t.group_by or { "rule", "group" }, keep)
  o.group_wait_ns, o.group_interval_ns = (t.wait or 1) * M.SECOND, (t.interval or 60) * M.SECOND
  o.repeat_interval_ns, o.resolved_unsaid = (t.again or 14400) * M.SECOND, t.unsaid or false
  return o
end

local function options_of(t, keep)
  local o = ffi.new("struct incidents_options")
  o.notice = notice_options(t, keep)
  local receivers = ffi.new("struct receiver_options[?]", math.max(#(t.receivers or {}), 1))
  for k, r in ipairs(t.receivers or {}) do receivers[k - 1] = { r.name, notice_options(r, keep) } end
  o.receivers, o.receivers_count = receivers, #(t.receivers or {})
  local inhibitions = ffi.new("struct inhibition[?]", math.max(#(t.inhibit or {}), 1))
  for k, rule in ipairs(t.inhibit or {}) do
    local equal, count = names(rule.equal or {}, keep)
    inhibitions[k - 1] = { rule.source, rule.target, equal, count }
  end
  o.inhibitions, o.inhibitions_count = inhibitions, #(t.inhibit or {})
  local mutes = ffi.new("struct mute_time[?]", math.max(#(t.mute or {}), 1))
  for k, mute in ipairs(t.mute or {}) do
    mutes[k - 1] = { matchers = mute.matchers, days = mute.days, from_minute = mute.from, to_minute = mute.to,
                     offset_minutes = mute.offset or 0 }
  end
  o.mute_times, o.mute_times_count = mutes, #(t.mute or {})
  o.incidents_max, o.groups_max, o.exemplar_bytes_max = t.incidents_max or 0, t.groups_max or 0, t.exemplar_bytes_max or 0
  for _, kept in ipairs({ receivers, inhibitions, mutes }) do keep[#keep + 1] = kept end
  return o
end

local function forget_said(w)
  w.said, w.notices, w.ids, w.alerts, w.silences = {}, {}, {}, {}, {}
end

local open, live = {}, nil

--- Before and after each test: nothing is left behind of the worlds that it opened.
function M.begin() live = core.heap_live() end
function M.finish()
  core.heap_fail_from(0)
  for w in pairs(open) do w:close() end
  assert(live == core.heap_live(), "memory was left behind")
end

--- A world at second 0: (world, 0), or (nil, error, why).
function M.open(t)
  local w = setmetatable({ now = M.START, rows = {}, changes = 0, next_id = 0, options = t or {} }, World)
  local keep, why, out = {}, ffi.new("char[160]"), ffi.new("struct incidents *[1]")
  local calls = ffi.new("struct incidents_calls", { on_incident, on_notice, on_silence })
  forget_said(w)
  local err = core.incidents_new(options_of(w.options, keep), calls, out, why)
  if err ~= 0 then return nil, err, ffi.string(why) end
  w.room, current = out[0], w
  open[w] = true
  return w, 0
end

function World:close()
  core.incidents_free(self.room)
  self.room, open[self] = nil, nil
end

function World:seconds() return (math.max(self.now, self.at or 0) - M.START) / M.SECOND end
function World:forget() forget_said(self) end

--- Every timer until then, one by one, each at its own time.
function World:to(seconds)
  current = self
  local target = M.START + seconds * M.SECOND
  while true do
    local due = tonumber(core.incidents_next_due(self.room))
    if due > target then break end
    self.now = math.max(self.now, due)
    core.incidents_step(self.room, self.now)
  end
  self.now = target
  core.incidents_step(self.room, self.now)
  return self
end

--- A violation now: { rule, group = { { name, value } … }, labels, severity (0 to 3), to = { receivers }, policy (seconds),
-- shadow, id (a number), json, fail (which allocation) }. The incident, or nil and who is to be told that it found no room:
-- { burning, of_rule, shadow }, or nil.
function World:violate(v)
  current = self
  v = v or {}
  self.next_id = self.next_id + 1
  local keep, it = {}, ffi.new("struct incident_violation")
  local id = id_of(v.id or self.next_id)
  ffi.copy(it.id, id, 32)
  local function lend(s)
    keep[#keep + 1] = s
    return text(s)
  end
  local function run(list)
    local s = M.labels(list)
    keep[#keep + 1] = s
    return ffi.new("struct labels", s, #s)
  end
  it.rule, it.group, it.labels = lend(v.rule or "r"), run(v.group), run(v.labels)
  it.severity, it.shadow = v.severity or 1, v.shadow or false
  it.summary, it.json = lend(v.summary or "it broke"), lend(v.json or ('{"id":"%s"}'):format(id))
  local to = v.to or { "ops" }
  local receivers = ffi.new("struct text[?]", math.max(#to, 1))
  for k, name in ipairs(to) do receivers[k - 1] = lend(name) end
  it.receivers, it.receivers_count = receivers, #to
  for key, seconds in pairs(v.policy or {}) do
    it.policy[key] = (key == "m" or key == "n") and seconds or seconds * M.SECOND
  end
  if v.fail then core.heap_fail_only(v.fail) end
  local incident = core.incidents_take(self.room, it, self.now)
  if v.fail then self.failed = core.heap_failed() > 0 end
  core.heap_fail_from(0)
  if incident ~= nil then return incident end
  local refusal = ffi.new("struct incidents_refusal")
  local told = core.incidents_refusal(self.room, it, refusal)
  return nil, told and { refusal.burning, refusal.of_rule, refusal.shadow } or nil
end

function World:violates_at(seconds, v)
  self:to(seconds)
  return self:violate(v)
end

local function at(self, what, rule, group)
  current = self
  local run = M.labels(group)
  core[what](self.room, text(rule or "r"), ffi.new("struct labels", run, #run), self.now)
end
function World:renew(rule, group) at(self, "incidents_renew", rule, group) end
function World:clear(rule, group) at(self, "incidents_clear", rule, group) end

function M.unknown() return ffi.new("struct incident_known") end
--- One more violation that is only counted: of the incident that is looked up, and noted in `known`; or again, of the one
-- noted there. Its incident, or nil.
function World:count(known, rule, group)
  current = self
  local run = M.labels(group)
  local incident = core.incidents_count(self.room, text(rule or "r"), ffi.new("struct labels", run, #run), self.now, known)
  return incident ~= nil and incident or nil
end
function World:count_again(known, rule)
  current = self
  local incident = core.incidents_count_known(self.room, known, text(rule or "r"), self.now)
  return incident ~= nil and incident or nil
end

function World:acknowledge(incident)
  current = self
  return core.incidents_acknowledge(self.room, incident.id, self.now)
end
function World:resolve(incident)
  current = self
  return core.incidents_resolve(self.room, incident.id, self.now)
end

--- seconds: how long; nil: until resolved. Its id, or nil, error, why.
function World:silence(matchers, seconds, id, created)
  current = self
  local why, out = ffi.new("char[160]"), ffi.new("char[33]")
  local request = ffi.new("struct silence_request", { id = id, matchers = matchers, created_by = "me", comment = "because",
    created_ns = created and M.START + created * M.SECOND or 0, ends_ns = seconds and self.now + seconds * M.SECOND or -1ULL })
  local err = core.incidents_silence(self.room, request, self.now, out, why)
  if err ~= 0 then return nil, err, ffi.string(why) end
  return ffi.string(out)
end
function World:unsilence(id)
  current = self
  return core.incidents_unsilence(self.room, id, self.now)
end

function World:stats()
  local s, out = core.incidents_stats(self.room), {}
  for _, key in ipairs({ "incidents", "pending", "open", "acknowledged", "opened", "reopened", "resolved", "lapsed", "cooled",
                         "refused", "forgotten", "exemplars_lost", "exemplar_bytes", "notices", "notices_lost", "silenced",
                         "inhibited", "muted", "silences" }) do
    out[key] = tonumber(s[key])
  end
  return out
end

--- The same after a restart: a new world with what the ledger's rows hold.
function World:restart()
  local w = M.open(self.options)
  w.now, w.next_id = self.now, self.next_id
  local ids = {}
  for id, row in pairs(self.rows) do
    if tonumber(row.till) > self.now then ids[#ids + 1] = id end
  end
  table.sort(ids)
  for _, id in ipairs(ids) do
    local bytes = self.rows[id].bytes
    assert(0 == core.incidents_restore(w.room, bytes, #bytes, 0, w.now))
  end
  w.rows = self.rows
  self:close()
  return w
end

return M
