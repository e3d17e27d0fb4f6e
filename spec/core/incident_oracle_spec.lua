-- The core's incidents and notices against the sentences of rules/README.md, written down as plainly as they can be: time
-- goes second by second, every set is a list, nothing is remembered that can be looked for.
local world = require("spec.core.incident_world")

local DEFAULTS = { pending_ns = 0, keep_firing_ns = 0, cooldown_ns = 0, resolve_ns = 300, m = 0, n = 0 }

local Oracle = {}
Oracle.__index = Oracle

local function oracle(policy, receiver)
  local o = setmetatable({ now = 0, incidents = {}, notices = {}, said = {}, silences = {}, receiver = receiver, groups = {} }, Oracle)
  o.policy = setmetatable(policy, { __index = DEFAULTS })
  return o
end

function Oracle:say(inc, what) self.said[#self.said + 1] = ("%g %s %s"):format(self.now, what, inc.name) end

local function burns(inc) return inc.status == "open" or inc.status == "acknowledged" end

-- ---- incidents -----------------------------------------------------------------------------------

function Oracle:resolves_at(inc)
  local quiet = inc.quiet + self.policy.resolve_ns * 2 ^ math.min(inc.reopened, 4)
  return (inc.cleared or quiet) + self.policy.keep_firing_ns
end

function Oracle:forgotten_at(inc)
  if inc.member then return math.huge end
  return inc.resolved + self.policy.cooldown_ns + self.policy.resolve_ns
end

function Oracle:gate(inc)
  inc.pending = inc.pending or self.now
  local p, minute, distinct, minutes = self.policy, math.floor(self.now / 60), {}, 0
  inc.times[#inc.times + 1] = self.now
  for _, t in ipairs(inc.times) do
    local m = math.floor(t / 60)
    if minute - m < p.n and not distinct[m] then distinct[m], minutes = true, minutes + 1 end
  end
  if minutes < p.m or self.now - inc.pending < p.pending_ns then return end
  if inc.status == "resolved" and self.now < inc.resolved + p.cooldown_ns then return end
  local again = inc.status == "resolved"
  inc.reopened = inc.reopened + (again and 1 or 0)
  inc.status, inc.pending, inc.times, inc.resolved, inc.cleared = "open", nil, {}, nil, nil
  self:say(inc, again and "reopened" or "opened")
  self:join(inc, again)
end

function Oracle:go_on(inc)
  inc.quiet = self.now
  if burns(inc) then inc.cleared = nil else self:gate(inc) end
end

function Oracle:violate(name)
  local inc = self.incidents[name]
  if not inc then
    inc = { name = name, status = "pending", reopened = 0, times = {} }
    self.incidents[name] = inc
  end
  inc.seen = self.now
  self:go_on(inc)
end

function Oracle:renew(name)
  local inc = self.incidents[name]
  if inc and (inc.status ~= "resolved" or inc.pending) then self:go_on(inc) end
end

function Oracle:end_it(inc)
  inc.status, inc.resolved, inc.cleared = "resolved", self.now, nil
  self:say(inc, "resolved")
  for k = #self.silences, 1, -1 do
    local s = self.silences[k]
    if not s.ends and s.matched and not self:held_by(s) then table.remove(self.silences, k) end
  end
end

function Oracle:lapse(inc)
  inc.pending, inc.times = nil, {}
  local over = inc.status == "pending" or self:forgotten_at(inc) <= self.now
  if over then self.incidents[inc.name] = nil end
end

function Oracle:clear(name)
  local inc = self.incidents[name]
  if not inc then return end
  if inc.pending then return self:lapse(inc) end
  if burns(inc) and not inc.cleared then
    inc.cleared = self.now
    if self:resolves_at(inc) <= self.now then self:end_it(inc) end
  end
end

-- ---- receivers -----------------------------------------------------------------------------------

function Oracle:join(inc, again)
  if inc.member then return end
  local key = self.receiver.together and "all" or inc.name
  local g = self.groups[key]
  if not g then
    g = { due = self.now + self.receiver.wait, members = {}, key = key }
    self.groups[key] = g
  end
  inc.member = { incident = inc, again = again }
  g.members[#g.members + 1] = inc.member
end

function Oracle:held_by(s)
  for _, inc in pairs(self.incidents) do
    if burns(inc) and inc.name == s.name then return true end
  end
  return false
end

function Oracle:silenced(inc)
  for _, s in ipairs(self.silences) do
    if s.name == inc.name then return true end
  end
  return false
end

local function leave(g, m)
  for k, other in ipairs(g.members) do
    if other == m then table.remove(g.members, k) end
  end
  m.incident.member = nil
end

local function sort_out(self, g)
  local l = { firing = {}, resolved = {}, fresh = 0, again = 0, unsilenced = 0, open = 0 }
  for k = #g.members, 1, -1 do
    local m = g.members[k]
    local firing = burns(m.incident)
    if not firing and not m.told then
      leave(g, m)
    elseif self:silenced(m.incident) then
      m.silenced = m.silenced or firing
    elseif firing then
      l.firing[#l.firing + 1] = m
      l.open = l.open + (m.incident.status == "open" and 1 or 0)
      if not m.told or m.silenced then
        l.fresh = l.fresh + 1
        l.again = l.again + (m.again and 1 or 0)
        l.unsilenced = l.unsilenced + (m.silenced and 1 or 0)
      end
    else
      l.resolved[#l.resolved + 1] = m
    end
  end
  return l
end

local function event_of(l, repeats)
  if #l.firing == 0 then return #l.resolved > 0 and "resolved" or nil end
  if l.fresh > 0 and l.unsilenced == l.fresh then return "silence-ended" end
  if #l.resolved > 0 or (l.fresh > 0 and l.fresh < #l.firing) then return "updated" end
  if l.fresh > 0 then return l.again == l.fresh and "reopened" or "opened" end
  return repeats and l.open > 0 and "repeated" or nil
end

function Oracle:look(g)
  if #g.members == 0 then
    self.groups[g.key] = nil
    return
  end
  g.due = self.now + self.receiver.interval
  local l, names = sort_out(self, g), {}
  local event = event_of(l, g.told and self.now - g.told >= self.receiver.again)
  if not event then return end
  for _, m in ipairs(l.firing) do
    names[#names + 1] = m.incident.name
    m.told, m.silenced, m.again = true, false, false
  end
  for _, m in ipairs(l.resolved) do
    names[#names + 1] = "-" .. m.incident.name
    leave(g, m)
  end
  g.told = self.now
  self.notices[#self.notices + 1] = ("%g ops %s %s"):format(self.now, event, table.concat(names, " "))
end

-- ---- time ----------------------------------------------------------------------------------------

function Oracle:second()
  for k = #self.silences, 1, -1 do
    if self.silences[k].ends and self.silences[k].ends <= self.now then table.remove(self.silences, k) end
  end
  for _, inc in pairs(self.incidents) do
    local lapses = inc.quiet + math.max(self.policy.resolve_ns, self.policy.n * 60)
    if inc.pending then
      if lapses <= self.now then self:lapse(inc) end
    elseif burns(inc) then
      if self:resolves_at(inc) <= self.now then self:end_it(inc) end
    elseif self:forgotten_at(inc) <= self.now then
      self.incidents[inc.name] = nil
    end
  end
  for _, g in pairs(self.groups) do
    if g.due <= self.now then self:look(g) end
  end
  -- A look may have been all that an incident was kept for.
  for name, inc in pairs(self.incidents) do
    if inc.status == "resolved" and not inc.pending and self:forgotten_at(inc) <= self.now then self.incidents[name] = nil end
  end
end

function Oracle:to(seconds)
  while self.now < seconds do
    self.now = self.now + 1
    self:second()
  end
end

-- ---- both ----------------------------------------------------------------------------------------

describe("incidents on random streams", function()
  local function pick(list) return list[math.random(#list)] end

  local function random_policy()
    local p = { resolve_ns = pick { 5, 20, 90 } }
    if math.random(3) == 1 then p.pending_ns = pick { 3, 30 } end
    if math.random(3) == 1 then p.keep_firing_ns = pick { 4, 25 } end
    if math.random(3) == 1 then p.cooldown_ns = pick { 6, 60 } end
    if math.random(4) == 1 then
      p.n = math.random(2, 4)
      p.m = math.random(1, p.n)
    end
    return p
  end

  -- In the order of their seconds; within one, by text: what happens at one moment has no order among groups.
  local function sorted(list)
    local copy = {}
    for k, line in ipairs(list) do copy[k] = line end
    table.sort(copy, function(a, b)
      local x, y = tonumber(a:match("%S+")), tonumber(b:match("%S+"))
      if x ~= y then return x < y end
      return a < b
    end)
    return copy
  end

  local function changes(said)
    local list = {}
    for _, line in ipairs(said) do
      local at, what, name = line:match("^(%S+) (%a+) (%S+)")
      if what ~= "updated" and what ~= "acknowledged" then list[#list + 1] = at .. " " .. what .. " " .. name end
    end
    return list
  end

  local wanted, found
  local each = world.ffi.cast("void (*)(void *, const struct incident *)", function(_, inc)
    if world.ffi.string(inc.rule.p, inc.rule.n) == wanted then found = inc end
  end)

  local function find(w, name)
    wanted, found = name, nil
    world.core.incidents_each(w.room, each, nil)
    return found
  end

  local function act(w, o, policy)
    local name = pick { "a", "b", "c" }
    local what = math.random(20)
    if what <= 12 then
      w:violate { rule = name, policy = policy }
      o:violate(name)
    elseif what == 13 then
      w:renew(name)
      o:renew(name)
    elseif what == 14 then
      w:clear(name)
      o:clear(name)
    elseif what <= 17 then
      local inc, its = find(w, name), o.incidents[name]
      assert.equal(its ~= nil, inc ~= nil)
      if inc and what == 15 and w:acknowledge(inc) then its.status = "acknowledged" end
      if inc and what == 16 and w:resolve(inc) then o:end_it(its) end
    else
      local length = pick { 5, 40, 130, false } or nil
      w:silence("rule=" .. name, length)
      local s = { name = name, ends = length and o.now + length }
      local known = false
      for _, other in ipairs(o.silences) do known = known or other.name == name and other.ends == s.ends end
      if not known or length then o.silences[#o.silences + 1] = s end
    end
    for _, s in ipairs(o.silences) do s.matched = s.matched or o:held_by(s) end
  end

  for _, together in ipairs { false, true } do
    it("are what the sentences say" .. (together and ", in one group" or ""), function()
      local total = 0
      for seed = 1, 500 do
        math.randomseed(seed)
        local policy = random_policy()
        local receiver = { wait = pick { 1, 10 }, interval = pick { 15, 60 }, again = pick { 90, 400 }, together = together }
        local w = world.open { wait = receiver.wait, interval = receiver.interval, again = receiver.again,
                               group_by = together and { "all" } or nil }
        local o = oracle(policy, receiver)
        for _ = 1, 40 do
          local at = o.now + pick { 0, 0, 1, 1, 3, 7, 20, 70 }
          w:to(at)
          o:to(at)
          act(w, o, policy)
        end
        w:to(o.now + 2000)
        o:to(o.now + 2000)
        assert.same(sorted(o.said), sorted(changes(w.said)), "seed " .. seed)
        assert.same(sorted(o.notices), sorted(w.notices), "seed " .. seed)
        total = total + #o.notices
        w:close()
      end
      assert.is_true(total > 1000)
    end)
  end
end)
