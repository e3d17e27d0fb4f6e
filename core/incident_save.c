/* An incident as bytes, for the ledger's row, and back.
 *
 * The form: a version, then numbers and texts behind their length, in one order (pack.h). Policy and times are in it as
 * they are, so timers go on where they were. What receivers know stands behind it, by receiver's name. Bytes from a disk
 * are not believed: an incident is made only of what has been read whole; then what can fail is memory or room, and what
 * was made is forgotten again. */
#include <string.h>

#include "err.h"
#include "heap.h"
#include "incident_parts.h"
#include "ir.h"
#include "limits.h"
#include "pack.h"

enum { SAVE_VERSION = 1, NUMBERS = 20 };

/* The numbers, by place. */
static void numbers_of(const struct incident *inc, uint64_t out[NUMBERS]) {
  const struct incident_policy *p = &inc->policy;
  const uint64_t list[NUMBERS] = {
      inc->status,      inc->severity,     inc->shadow,           inc->count,         inc->reopened,
      inc->started_ns,  inc->opened_ns,    inc->last_seen_ns,     inc->acknowledged_ns, inc->resolved_ns,
      inc->quiet_ns,    inc->cleared_ns,   p->pending_ns,         p->keep_firing_ns,  p->cooldown_ns,
      p->resolve_ns,    p->m,              p->n,                  inc->exemplars_count, inc->members_count};
  memcpy(out, list, sizeof list);
}

static void take_numbers(struct incident *inc, const uint64_t from[NUMBERS]) {
  inc->status = (uint8_t)from[0];
  inc->severity = (uint8_t)from[1];
  inc->shadow = from[2] != 0;
  inc->count = from[3];
  inc->reopened = (uint32_t)from[4];
  inc->started_ns = from[5];
  inc->opened_ns = from[6];
  inc->last_seen_ns = from[7];
  inc->acknowledged_ns = from[8];
  inc->resolved_ns = from[9];
  inc->quiet_ns = from[10];
  inc->cleared_ns = from[11];
  inc->policy = (struct incident_policy){from[12], from[13], from[14], from[15], (uint32_t)from[16], (uint32_t)from[17]};
}

/* ---- writing ------------------------------------------------------------------------------------- */

static void put_text(struct pack *p, const void *text, uint32_t n) {
  pack_uint(p, n);
  if (n) pack_bytes(p, text, n);
}

static void put_string(struct pack *p, const char *s) {
  put_text(p, s, s ? (uint32_t)strlen(s) : 0);
}

static void put_member(struct pack *p, const struct notice_member *m) {
  const struct notice_group *g = m->group;
  put_string(p, incident_owner(m->incident)->receivers[m->receiver].name);
  pack_uint(p, g != NULL);
  pack_uint(p, m->told);
  pack_uint(p, m->silenced);
  pack_uint(p, m->reopened);
  pack_uint(p, g ? g->told_ns : 0);
  pack_uint(p, g ? g->notices : 0);
  put_string(p, g ? g->carried : "");
}

int incident_save(const struct incident *incident, struct buffer *out) {
  uint64_t numbers[NUMBERS];
  struct pack p = {.out = out};
  numbers_of(incident, numbers);
  pack_uint(&p, SAVE_VERSION);
  put_text(&p, incident->rule.p, incident->rule.n);
  put_text(&p, incident->group.p, incident->group.n);
  put_text(&p, incident->labels, incident->labels_bytes);
  put_string(&p, incident->id);
  put_string(&p, incident->summary);
  for (int k = 0; k < NUMBERS; k++) pack_uint(&p, numbers[k]);
  for (uint32_t k = 0; k < incident->exemplars_count; k++) {
    put_string(&p, incident->exemplars[k].id);
    put_text(&p, incident->exemplars[k].json, incident->exemplars[k].json_bytes);
  }
  for (uint32_t k = 0; k < incident->members_count; k++) put_member(&p, &incident->members[k]);
  return out->err;
}

uint64_t incident_restore_until(const struct incident *incident) {
  const struct incident_policy *p = &incident->policy;
  if (incident->status != INCIDENT_RESOLVED || incident->members_joined) return UINT64_MAX;
  uint64_t wait = p->resolve_ns ? p->resolve_ns : INCIDENT_RESOLVE_NS;
  if (wait >= UINT64_MAX - p->cooldown_ns) return UINT64_MAX;
  wait += p->cooldown_ns;
  return wait < UINT64_MAX - incident->resolved_ns ? incident->resolved_ns + wait : UINT64_MAX;
}

/* ---- reading ------------------------------------------------------------------------------------- */

static struct text get_text(struct unpack *u) {
  uint64_t n = unpack_upto(u, UINT32_MAX);
  const uint8_t *p = n ? unpack_bytes(u, n) : NULL;
  return p ? (struct text){(const char *)p, (uint32_t)n} : (struct text){"", 0};
}

static bool is_id(struct text t) {
  uint32_t digits = 0;
  while (digits < t.n && t.p[digits] && strchr("0123456789abcdef", t.p[digits])) digits++;
  return t.n == 32 && digits == 32;
}

struct saved_member {
  struct text receiver, carried;
  uint64_t joined, told, silenced, reopened, told_ns, notices;
};

struct saved {
  struct text rule, id, summary;
  struct labels group, labels;
  uint64_t numbers[NUMBERS];
  struct text exemplar_ids[INCIDENT_EXEMPLARS_MAX], exemplars[INCIDENT_EXEMPLARS_MAX];
  struct saved_member *members; /* owned */
};

static bool numbers_sound(const uint64_t n[NUMBERS]) {
  bool sound = n[0] > INCIDENT_PENDING && n[0] < INCIDENT_STATUSES && n[1] <= FLUO_SEVERITY_CRITICAL;
  sound &= n[4] <= UINT32_MAX && n[16] <= n[17] && n[17] <= IR_M_OF_N_MAX;
  return sound && n[18] >= 1 && n[18] <= INCIDENT_EXEMPLARS_MAX && n[19] <= LIMIT_RECEIVERS;
}

static struct labels get_labels(struct unpack *u) {
  struct text t = get_text(u);
  struct labels l = {t.p, t.n};
  if (!labels_sound(l)) u->bad = true;
  return l;
}

static void read_member(struct unpack *u, struct saved_member *m) {
  m->receiver = get_text(u);
  m->joined = unpack_uint(u);
  m->told = unpack_uint(u);
  m->silenced = unpack_uint(u);
  m->reopened = unpack_uint(u);
  m->told_ns = unpack_uint(u);
  m->notices = unpack_uint(u);
  m->carried = get_text(u);
  if (m->told > NOTICE_TOLD_FIRING || (m->carried.n && !is_id(m->carried))) u->bad = true;
}

static int read_saved(struct unpack *u, struct saved *s) {
  uint64_t version = unpack_uint(u);
  s->rule = get_text(u);
  s->group = get_labels(u);
  s->labels = get_labels(u);
  s->id = get_text(u);
  s->summary = get_text(u);
  for (int k = 0; k < NUMBERS; k++) s->numbers[k] = unpack_uint(u);
  if (u->bad || version != SAVE_VERSION || !is_id(s->id) || !numbers_sound(s->numbers)) return FLUO_EMALFORMED;
  if (memchr(s->rule.p, '\0', s->rule.n)) return FLUO_EMALFORMED;
  for (uint64_t k = 0; k < s->numbers[18]; k++) {
    s->exemplar_ids[k] = get_text(u);
    s->exemplars[k] = get_text(u);
    if (u->bad || !is_id(s->exemplar_ids[k])) return FLUO_EMALFORMED;
  }
  s->members = heap_zalloc(s->numbers[19] * sizeof *s->members);
  if (!s->members) return FLUO_ENOMEM;
  for (uint64_t k = 0; k < s->numbers[19]; k++) read_member(u, &s->members[k]);
  return u->bad || u->at != u->end ? FLUO_EMALFORMED : 0;
}

/* ---- taking back --------------------------------------------------------------------------------- */

static int take_members(struct incident *inc, const struct saved *s, uint64_t now_ns) {
  uint32_t count = (uint32_t)s->numbers[19];
  struct text *names = heap_alloc(count * sizeof *names);
  if (!names) return FLUO_ENOMEM;
  for (uint32_t k = 0; k < count; k++) names[k] = s->members[k].receiver;
  int err = incident_receivers(inc, names, count);
  heap_free(names);
  for (uint32_t k = 0; !err && k < count; k++) {
    const struct saved_member *from = &s->members[k];
    struct notice_member *m = &inc->members[k];
    char carried[33] = "";
    memcpy(carried, from->carried.p, from->carried.n);
    if (!from->joined && !incident_burns(inc)) continue;
    err = notice_rejoin(m, from->told_ns, carried, (uint32_t)from->notices, now_ns);
    m->told = (uint8_t)from->told;
    m->silenced = from->silenced != 0;
    m->reopened = from->reopened != 0;
  }
  return err;
}

/* An incident whose violations had no agent to find them has not gone quiet by that. */
static void go_on(struct incident *inc, uint64_t now_ns) {
  if (!incident_burns(inc)) return;
  if (inc->cleared_ns)
    inc->cleared_ns = now_ns;
  else
    inc->quiet_ns = now_ns;
}

static int restore(struct incident *inc, const struct saved *s, uint64_t now_ns) {
  struct incident_violation v = {.severity = (uint32_t)s->numbers[1], .labels = s->labels, .shadow = s->numbers[2] != 0};
  int err = incident_describe(inc, &v);
  if (err) return err;
  memcpy(inc->id, s->id.p, 32);
  incident_leave(inc);
  take_numbers(inc, s->numbers);
  incident_enter(inc);
  go_on(inc, now_ns);
  inc->said_ns = now_ns;
  for (uint64_t k = s->numbers[18]; k-- > 0;) incident_exemplar(inc, s->exemplar_ids[k].p, s->exemplars[k]);
  incident_set_summary(inc, s->summary);
  if (incident_burns(inc)) silence_burns(inc, true);
  return take_members(inc, s, now_ns);
}

int incidents_restore(struct incidents *i, const void *bytes, size_t n, uint64_t count, uint64_t now_ns) {
  struct unpack u = {.at = bytes, .end = (const uint8_t *)bytes + n};
  struct saved s = {.members = NULL};
  struct incident *inc = NULL;
  if (now_ns > i->now_ns) i->now_ns = now_ns;
  int err = read_saved(&u, &s);
  struct incident *other = err ? NULL : incident_at(i, s.rule, s.group);
  if (other && other->last_seen_ns < s.numbers[7])
    incident_forget(other); /* it was over before this one began */
  else if (other)
    err = FLUO_EFULL;
  if (!err) err = (inc = incident_get(i, s.rule, s.group)) ? restore(inc, &s, i->now_ns) : FLUO_EFULL;
  if (inc && err) incident_forget(inc);
  if (inc && !err && count > inc->count) inc->count = count;
  if (inc && !err) incident_arm(inc);
  heap_free(s.members);
  return err;
}
