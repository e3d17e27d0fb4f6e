/* The life of an incident.
 *
 * Good path: a violation finds its incident by rule and group, or makes one, which is pending. The gate (pending_for,
 * m_of_n) opens it, at once where the rule has neither. Further violations count; when none has come for resolve_after,
 * or resolve_when came, and keep_firing_for has passed, a timer resolves it. It is remembered for as long as a violation
 * may reopen it: through the cooldown, resolve_after longer, and until its receivers know that it is over.
 *
 *   (none) ─violation─► pending ─gate─► open ◄─► acknowledged ─timer, by hand─► resolved ─timer─► (none)
 *                          └─timer─► (none)  ◄──────────────── gate ─────────────┘
 *
 * Each has one timer, which incident_arm sets to the first of what is due. Ways it fails: no memory or no room for a new
 * incident: refused, counted, and the violation is one all the same. */
#include "incident.h"

#include <assert.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "incident_parts.h"
#include "limits.h"

const char *const incident_status_names[INCIDENT_STATUSES] = {"pending", "open", "acknowledged", "resolved"};

/* ---- when what is due ---------------------------------------------------------------------------- */

static uint64_t resolve_after(const struct incident *inc) {
  return inc->policy.resolve_ns ? inc->policy.resolve_ns : INCIDENT_RESOLVE_NS;
}

/* One that comes back waits twice as long before it is called resolved again, and so on: it flaps into staying open. */
static uint64_t resolves_at(const struct incident *inc) {
  uint32_t doubled = inc->reopened < LIMIT_FLAPS_DOUBLED ? inc->reopened : LIMIT_FLAPS_DOUBLED;
  uint64_t quiet = resolve_after(inc);
  for (uint32_t n = 0; n < doubled && quiet < INCIDENT_NEVER / 2; n++) quiet *= 2;
  uint64_t cleared = inc->cleared_ns ? inc->cleared_ns : incident_later(inc->quiet_ns, quiet);
  return incident_later(cleared, inc->policy.keep_firing_ns);
}

static uint64_t lapses_at(const struct incident *inc) {
  uint64_t wait = resolve_after(inc), minutes = inc->policy.n * LIMIT_M_OF_N_NS;
  return incident_later(inc->quiet_ns, minutes > wait ? minutes : wait);
}

static uint64_t cool_at(const struct incident *inc) {
  return incident_later(inc->resolved_ns, inc->policy.cooldown_ns);
}

static uint64_t forgotten_at(const struct incident *inc) {
  return inc->members_joined ? INCIDENT_NEVER : incident_later(cool_at(inc), resolve_after(inc));
}

static uint64_t next_of(const struct incident *inc) {
  if (inc->pending_ns) return lapses_at(inc);
  return inc->status == INCIDENT_RESOLVED ? forgotten_at(inc) : resolves_at(inc);
}

void incident_arm(struct incident *inc) {
  uint64_t due = next_of(inc), says = inc->said_ns + LIMIT_INCIDENT_SAY_NS;
  if (inc->dirty && says < due) due = says;
  int err = state_timer(&inc->head, due);
  assert(!err); /* its place was made with it */
  (void)err;
}

/* ---- changes ------------------------------------------------------------------------------------- */

void incident_say(struct incident *inc, enum incident_change change, uint64_t now_ns) {
  struct incidents *i = incident_owner(inc);
  inc->dirty = false;
  inc->said_ns = now_ns;
  if (i->calls.on_incident) i->calls.on_incident(i->calls.ctx, inc, change);
}

static void become(struct incident *inc, enum incident_status status) {
  incident_leave(inc);
  inc->status = (uint8_t)status;
  incident_enter(inc);
}

/* Where there was no memory for it, it is tried again a second later. */
static void join(struct incident *inc, bool reopened, uint64_t now_ns) {
  if (!incident_burns(inc) || inc->members_joined == inc->members_count) return;
  if (notice_join(inc, reopened, now_ns)) inc->dirty = true;
}

static void calm(struct incident *inc) {
  inc->pending_ns = 0;
  inc->minutes_count = 0;
}

static void open_it(struct incident *inc, uint64_t now_ns) {
  struct incidents *i = incident_owner(inc);
  bool reopens = inc->status == INCIDENT_RESOLVED;
  inc->started_ns = inc->pending_ns;
  calm(inc);
  become(inc, INCIDENT_OPEN);
  inc->opened_ns = now_ns;
  inc->acknowledged_ns = inc->resolved_ns = inc->cleared_ns = 0;
  inc->reopened += reopens;
  if (reopens)
    i->stats.reopened++;
  else
    i->stats.opened++;
  silence_burns(inc, true);
  incident_say(inc, reopens ? INCIDENT_REOPENED : INCIDENT_OPENED, now_ns);
  join(inc, reopens, now_ns);
}

static void resolve(struct incident *inc, uint64_t now_ns) {
  struct incidents *i = incident_owner(inc);
  inc->resolved_ns = now_ns;
  inc->cleared_ns = 0;
  become(inc, INCIDENT_RESOLVED);
  i->stats.resolved++;
  silence_burns(inc, false);
  incident_say(inc, INCIDENT_CHANGED_RESOLVED, now_ns);
  silence_settle(i, now_ns);
}

/* ---- the gate ------------------------------------------------------------------------------------ */

static bool note_minute(struct incident *inc, uint64_t now_ns) {
  uint32_t minute = (uint32_t)(now_ns / LIMIT_M_OF_N_NS);
  if (inc->minutes_count && inc->minutes[0] == minute) return true;
  if (inc->minutes_count == inc->policy.m) inc->minutes_count--;
  while (inc->minutes_capacity < inc->policy.m)
    if (heap_double((void **)&inc->minutes, &inc->minutes_capacity, sizeof *inc->minutes))
      return false;
  memmove(inc->minutes + 1, inc->minutes, inc->minutes_count * sizeof *inc->minutes);
  inc->minutes[0] = minute;
  inc->minutes_count++;
  return true;
}

/* Violations in m of the last n minutes, the present one included. Without memory to count them they are enough. */
static bool often(struct incident *inc, uint64_t now_ns) {
  const struct incident_policy *p = &inc->policy;
  if (!p->m || !note_minute(inc, now_ns)) return true;
  uint64_t minute = now_ns / LIMIT_M_OF_N_NS;
  return inc->minutes_count >= p->m && minute - inc->minutes[p->m - 1] < p->n;
}

static void knock(struct incident *inc, uint64_t now_ns) {
  if (!inc->pending_ns) inc->pending_ns = now_ns;
  bool enough = often(inc, now_ns);
  bool cool = inc->status != INCIDENT_RESOLVED || now_ns >= cool_at(inc);
  if (enough && cool && now_ns - inc->pending_ns >= inc->policy.pending_ns) open_it(inc, now_ns);
}

/* ---- timers -------------------------------------------------------------------------------------- */

static void lapse(struct incident *inc) {
  struct incidents *i = incident_owner(inc);
  i->stats.lapsed++;
  calm(inc);
  if (inc->status == INCIDENT_PENDING)
    incident_forget(inc);
  else
    incident_arm(inc);
}

static void on_due(struct state_group *head, uint64_t now_ns) {
  struct incident *inc = (struct incident *)(void *)head;
  uint64_t at = head->due_ns;
  (void)now_ns; /* what is late counts from when it was due */
  if (inc->dirty && at >= inc->said_ns + LIMIT_INCIDENT_SAY_NS) incident_say(inc, INCIDENT_UPDATED, at);
  join(inc, false, at);
  if (at < next_of(inc)) {
    incident_arm(inc);
  } else if (inc->pending_ns) {
    lapse(inc);
  } else if (inc->status == INCIDENT_RESOLVED) {
    incident_forget(inc);
  } else {
    resolve(inc, at);
    incident_arm(inc);
  }
}

static void on_deinit(struct state_group *head) {
  struct incident *inc = (struct incident *)(void *)head;
  for (uint32_t k = 0; k < inc->exemplars_count; k++) heap_free(inc->exemplars[k].json);
  heap_free(inc->labels);
  heap_free(inc->summary);
  heap_free(inc->minutes);
  heap_free(inc->members);
}

static int on_init(struct state_group *head) {
  struct incident *inc = (struct incident *)(void *)head;
  link_init(&inc->link);
  link_init(&inc->source_link);
  return 0;
}

const struct state_ops incident_ops = {sizeof(struct incident), on_init, on_deinit, NULL, on_due, NULL, NULL};

/* What is first: silences end, then incidents change, then receivers are looked at, so that one moment is seen whole. */
uint64_t incidents_next_due(const struct incidents *i) {
  uint64_t due = i->silences_due_ns, table = state_next_due(i->table), clocks = state_next_due(i->clocks);
  if (table < due) due = table;
  if (clocks < due) due = clocks;
  return due < INCIDENT_NEVER ? due : UINT64_MAX;
}

void incidents_step(struct incidents *i, uint64_t now_ns) {
  if (now_ns > i->now_ns) i->now_ns = now_ns;
  for (uint64_t due; (due = incidents_next_due(i)) <= i->now_ns;) {
    if (i->silences_due_ns == due)
      silence_step(i, due);
    else if (state_next_due(i->table) == due)
      state_step(i->table, due);
    else
      state_step(i->clocks, i->now_ns);
  }
}

/* ---- what comes from outside --------------------------------------------------------------------- */

static void derive_id(struct incident *inc, const struct incident_violation *v) {
  struct { uint8_t key[16]; char violation[32]; } text;
  uint8_t digest[16];
  static const char digits[] = "0123456789abcdef";
  fluo_hash128(state_group_key(&inc->head), inc->head.key_bytes, text.key);
  memcpy(text.violation, v->id, sizeof text.violation);
  fluo_hash128(&text, sizeof text, digest);
  for (int k = 0; k < 32; k++) inc->id[k] = digits[digest[k / 2] >> (k % 2 ? 0 : 4) & 15];
}

/* What a violation or a renewal does to its incident. */
static void go_on(struct incident *inc, uint64_t now_ns) {
  inc->quiet_ns = now_ns;
  if (incident_burns(inc))
    inc->cleared_ns = 0;
  else
    knock(inc, now_ns);
}

static void count_one(struct incident *inc, const struct incident_violation *v, uint64_t now_ns) {
  struct incidents *i = incident_owner(inc);
  if (!inc->id[0]) derive_id(inc, v);
  if (inc->status == INCIDENT_RESOLVED && now_ns < cool_at(inc)) i->stats.cooled++;
  inc->count++;
  inc->last_seen_ns = now_ns;
  incident_exemplar(inc, v->id, v->json);
  incident_set_summary(inc, v->summary);
}

static void update(struct incident *inc, uint64_t now_ns) {
  if (inc->status == INCIDENT_PENDING) return;
  if (now_ns - inc->said_ns >= LIMIT_INCIDENT_SAY_NS)
    incident_say(inc, INCIDENT_UPDATED, now_ns);
  else
    inc->dirty = true;
}

const struct incident *incidents_take(struct incidents *i, const struct incident_violation *v, uint64_t now_ns) {
  incidents_step(i, now_ns);
  struct incident *inc = incident_get(i, v->rule, v->group);
  if (inc && incident_describe(inc, v)) {
    if (!inc->id[0]) incident_forget(inc);
    inc = NULL;
  }
  if (!inc) {
    i->stats.refused++;
    return NULL;
  }
  count_one(inc, v, i->now_ns);
  uint8_t before = inc->status;
  go_on(inc, i->now_ns);
  if (inc->status == before) update(inc, i->now_ns);
  incident_arm(inc);
  return inc;
}

/* Of several at one time the first does all but the counting. */
static const struct incident *count_burning(struct incident *inc, uint64_t now_ns) {
  if (!incident_burns(inc)) return NULL;
  bool again = inc->dirty && inc->last_seen_ns == now_ns && inc->quiet_ns == now_ns && !inc->cleared_ns;
  inc->count++;
  if (again) return inc;
  inc->last_seen_ns = now_ns;
  go_on(inc, now_ns);
  update(inc, now_ns);
  incident_arm(inc);
  return inc;
}

const struct incident *incidents_count(struct incidents *i, struct text rule, struct labels group, uint64_t now_ns,
                                       struct incident_known *out) {
  incidents_step(i, now_ns);
  *out = (struct incident_known){incident_at(i, rule, group), i->incidents.gone};
  return out->it ? count_burning(out->it, i->now_ns) : NULL;
}

const struct incident *incidents_count_known(struct incidents *i, const struct incident_known *known, struct text rule,
                                             uint64_t now_ns) {
  incidents_step(i, now_ns);
  bool there = known->it && known->gone == i->incidents.gone && text_same(known->it->rule, rule);
  return there ? count_burning(known->it, i->now_ns) : NULL;
}

void incidents_renew(struct incidents *i, struct text rule, struct labels group, uint64_t now_ns) {
  incidents_step(i, now_ns);
  struct incident *inc = incident_at(i, rule, group);
  /* What was resolved by hand, or by resolve_when, is: only a violation brings it back. */
  if (!inc || (inc->status == INCIDENT_RESOLVED && !inc->pending_ns)) return;
  go_on(inc, i->now_ns);
  incident_arm(inc);
}

void incidents_clear(struct incidents *i, struct text rule, struct labels group, uint64_t now_ns) {
  incidents_step(i, now_ns);
  struct incident *inc = incident_at(i, rule, group);
  if (!inc) return;
  if (inc->pending_ns) {
    lapse(inc);
    return;
  }
  if (!incident_burns(inc) || inc->cleared_ns) return;
  inc->cleared_ns = i->now_ns;
  incident_arm(inc);
  incidents_step(i, i->now_ns);
}

bool incidents_acknowledge(struct incidents *i, const char *id, uint64_t now_ns) {
  incidents_step(i, now_ns);
  struct incident *inc = (struct incident *)(uintptr_t)incidents_find(i, id);
  if (!inc || inc->status != INCIDENT_OPEN) return false;
  inc->acknowledged_ns = i->now_ns;
  become(inc, INCIDENT_ACKNOWLEDGED);
  incident_say(inc, INCIDENT_CHANGED_ACKNOWLEDGED, i->now_ns);
  incident_arm(inc);
  return true;
}

bool incidents_resolve(struct incidents *i, const char *id, uint64_t now_ns) {
  incidents_step(i, now_ns);
  struct incident *inc = (struct incident *)(uintptr_t)incidents_find(i, id);
  if (!inc || !incident_burns(inc)) return false;
  resolve(inc, i->now_ns);
  incident_arm(inc);
  return true;
}
