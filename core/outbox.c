/* Deliveries, a list for each receiver in the order in which they came.
 *
 * Good path: outbox_add puts one at the end of its receiver's list; once its row is on disk, outbox_step hands it to send,
 * the receivers taking turns; its outcome takes it out. Ways it fails: RETRY puts the receiver down until its backoff is
 * over, and then one delivery, the first that may go, finds out whether it is up again; FAILED, and age, end a delivery
 * and give it to the receiver's fallback, where it has one; so does waiting for too long, and then it is still tried. No
 * room: refused, and counted: its row stays in the ledger, and comes back at the next start.
 *
 * A receiver that is down may have thousands that wait: they are gone through when it is time for one of them
 * (receiver.due_ns), and not for what is added, or happens to others.
 *
 * A delivery and its texts are one allocation, freed when it leaves its list; a receiver stays. */
#include "outbox.h"

#include <stdio.h>
#include <string.h>

#include "err.h"
#include "hash.h"
#include "heap.h"
#include "limits.h"

enum { ERROR_BYTES = 200, BUCKETS = LIMIT_OUTBOX_DELIVERIES / 4 };

struct delivery {
  struct delivery *next, *prev;
  struct delivery *next_flying, *next_alike;     /* alike: of the same bucket */
  struct outbox_delivery d;
  uint64_t row;                    /* not on disk yet; 0: it may go */
  bool in_flight, fallen;          /* fallen: the fallback has it */
  char texts[];
};

struct receiver {
  struct receiver *next;
  struct delivery *head, *tail;
  struct outbox_policy policy;
  uint32_t in_flight, failures, unsaved;
  uint64_t down_until_ns;          /* 0: it is up */
  uint64_t due_ns;                 /* nothing is to be done by time alone before it */
  uint64_t waiting, bytes, delivered, dead;
  uint64_t said_ns;                /* when its last failure was said */
  uint32_t unsaid;                 /* and how many there were since */
  char last_error[ERROR_BYTES];
  char name[];
};

struct outbox {
  struct outbox_calls calls;
  struct outbox_options options;
  struct receiver *receivers, *turn;        /* turn: whose it is first */
  struct delivery *flying, *alike[BUCKETS]; /* by id */
  uint64_t last_number, saved_row, random, due_ns;
  struct outbox_stats stats;
};

/* ---- lists ------------------------------------------------------------------------------------------ */

static struct receiver *find_receiver(const struct outbox *o, const char *name) {
  struct receiver *r = o->receivers;
  while (r && strcmp(r->name, name)) r = r->next;
  return r;
}

static struct receiver *get_receiver(struct outbox *o, const char *name) {
  struct receiver *r = find_receiver(o, name), **at = &o->receivers;
  if (r) return r;
  size_t n = strlen(name) + 1;
  if (!(r = heap_zalloc(sizeof *r + n))) return NULL;
  r->due_ns = UINT64_MAX;
  memcpy(r->name, name, n);
  o->options.policy(o->options.ctx, name, &r->policy);
  while (*at) at = &(*at)->next;
  return *at = r;
}

static struct delivery **bucket_of(struct outbox *o, const char *id) {
  static const struct hash_key key = {0};        /* ids are our own */
  return &o->alike[hash64(&key, id, strlen(id)) % BUCKETS];
}

static bool is_there(struct outbox *o, const struct outbox_delivery *it) {
  const struct delivery *d = *bucket_of(o, it->id);
  while (d && (strcmp(d->d.id, it->id) || strcmp(d->d.receiver, it->receiver))) d = d->next_alike;
  return d;
}

static struct delivery *copy(const struct outbox_delivery *from) {
  size_t id = strlen(from->id) + 1, receiver = strlen(from->receiver) + 1;
  struct delivery *d = heap_zalloc(sizeof *d + id + receiver + from->bytes + 1);
  if (!d) return NULL;
  d->d = *from;
  d->d.id = memcpy(d->texts, from->id, id);
  d->d.receiver = memcpy(d->texts + id, from->receiver, receiver);
  if (from->bytes) memcpy(d->texts + id + receiver, from->alert, from->bytes);
  d->d.alert = d->texts + id + receiver;
  return d;
}

static void append(struct outbox *o, struct receiver *r, struct delivery *d) {
  d->prev = r->tail;
  *(r->tail ? &r->tail->next : &r->head) = d;
  r->tail = d;
  struct delivery **alike = bucket_of(o, d->d.id);
  d->next_alike = *alike;
  *alike = d;
  r->waiting++;
  r->unsaved += d->row != 0;
  r->bytes += d->d.bytes;
  o->stats.waiting++;
  o->stats.bytes += d->d.bytes;
}

static void take_out(struct outbox *o, struct receiver *r, struct delivery *d) {
  *(d->prev ? &d->prev->next : &r->head) = d->next;
  *(d->next ? &d->next->prev : &r->tail) = d->prev;
  struct delivery **alike = bucket_of(o, d->d.id);
  while (*alike != d) alike = &(*alike)->next_alike;
  *alike = d->next_alike;
  r->waiting--;
  r->unsaved -= d->row != 0;
  r->bytes -= d->d.bytes;
  o->stats.waiting--;
  o->stats.bytes -= d->d.bytes;
  heap_free(d);
}

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* When it is too old, or late enough for the fallback; on disk: when it may go, if that is later than after_ns. */
static uint64_t due_of(const struct receiver *r, const struct delivery *d, uint64_t after_ns) {
  uint64_t due = d->d.created_ns + r->policy.max_age_ns, next_ns = d->d.next_ns;
  if (next_ns < r->down_until_ns) next_ns = r->down_until_ns;
  if (!d->fallen && r->policy.fallback && *r->policy.fallback) due = least(due, d->d.created_ns + OUTBOX_FALLBACK_NS);
  return d->row || next_ns <= after_ns ? due : least(due, next_ns);
}

static void expect(struct receiver *r, const struct delivery *d, uint64_t after_ns) {
  r->due_ns = least(r->due_ns, due_of(r, d, after_ns));
}

/* One receiver has as much as is left to all others, so that one that is down leaves them half, and several a part each. */
static bool has_room(const struct outbox *o, const struct receiver *r, size_t bytes) {
  return o->stats.waiting + r->waiting < LIMIT_OUTBOX_DELIVERIES && o->stats.bytes + r->bytes + bytes <= LIMIT_OUTBOX_BYTES;
}

static int add(struct outbox *o, const struct outbox_delivery *from, uint64_t row, bool fallen) {
  if (is_there(o, from)) return 0;
  struct receiver *r = get_receiver(o, from->receiver);
  bool full = r && !has_room(o, r, from->bytes);
  struct delivery *d = r && !full ? copy(from) : NULL;
  if (!d) {
    o->stats.refused++;
    return full ? FLUO_EFULL : FLUO_ENOMEM;
  }
  d->d.number = ++o->last_number;
  d->row = row > o->saved_row ? row : 0;
  d->fallen = fallen;
  append(o, r, d);
  expect(r, d, 0);
  o->due_ns = 0;
  return 0;
}

int outbox_add(struct outbox *o, const struct outbox_delivery *d, uint64_t row) {
  return add(o, d, row, false);
}

/* Those that are not on disk are the last, or nearly. */
static void save(struct receiver *r, uint64_t row, uint64_t now_ns) {
  struct delivery *d = r->tail;
  for (uint32_t left = r->unsaved; left; d = d->prev) {
    if (!d->row) continue;
    left--;
    if (d->row > row) continue;
    d->row = 0;
    r->unsaved--;
    expect(r, d, now_ns);
  }
}

void outbox_saved(struct outbox *o, uint64_t row, uint64_t now_ns) {
  if (row <= o->saved_row) return;
  o->saved_row = row;
  for (struct receiver *r = o->receivers; r; r = r->next) save(r, row, now_ns);
  outbox_step(o, now_ns);
}

/* ---- the ends of deliveries -------------------------------------------------------------------------- */

static void fall_back(struct outbox *o, struct receiver *r, struct delivery *d, uint64_t now_ns) {
  const char *name = r->policy.fallback;
  if (d->fallen || !name || !*name) return;
  d->fallen = true;
  struct outbox_delivery to = d->d;
  to.receiver = name;
  to.attempts = 0;
  to.created_ns = to.next_ns = now_ns;
  uint64_t row = o->calls.keep(o->calls.ctx, &to);
  if (add(o, &to, row, true) == 0) o->stats.fallbacks++;
}

static void bury(struct outbox *o, struct receiver *r, struct delivery *d, const char *why, size_t n, uint64_t now_ns) {
  fall_back(o, r, d, now_ns);
  r->dead++;
  o->stats.dead++;
  o->calls.on_attempt(o->calls.ctx, &d->d, POSTROOM_FAILED, why, n);
  take_out(o, r, d);
}

static uint64_t random_below(struct outbox *o, uint64_t n) {
  o->random ^= o->random << 13;
  o->random ^= o->random >> 7;
  o->random ^= o->random << 17;
  return n ? o->random % n : 0;
}

static uint64_t backoff_ns(struct outbox *o, const struct receiver *r, uint32_t retry_after_s) {
  uint64_t whole = r->failures < 20 ? OUTBOX_BACKOFF_NS << r->failures : OUTBOX_BACKOFF_MAX_NS;
  if (whole > OUTBOX_BACKOFF_MAX_NS) whole = OUTBOX_BACKOFF_MAX_NS;
  uint64_t wait = whole / 2 + random_below(o, whole / 2), asked = (uint64_t)retry_after_s * 1000000000u;
  if (asked > OUTBOX_RETRY_AFTER_MAX_NS) asked = OUTBOX_RETRY_AFTER_MAX_NS;
  return asked > wait ? asked : wait;
}

static void note_error(struct receiver *r, const char *text, size_t n) {
  snprintf(r->last_error, sizeof r->last_error, "%.*s", (int)(n < ERROR_BYTES ? n : ERROR_BYTES - 1), text);
}

/* How many failures to say now; 0: one was said a moment ago. */
static uint32_t to_say(struct receiver *r, uint64_t now_ns) {
  uint32_t count = ++r->unsaid;
  if (r->said_ns && now_ns - r->said_ns < LIMIT_TOLD_NS) return 0;
  r->said_ns = now_ns;
  r->unsaid = 0;
  return count;
}

static void again(struct outbox *o, struct receiver *r, struct delivery *d, uint32_t retry_after_s, uint64_t now_ns) {
  uint64_t wait_ns = backoff_ns(o, r, retry_after_s);
  r->failures++;
  r->down_until_ns = now_ns + wait_ns;
  d->d.next_ns = r->down_until_ns;
  expect(r, d, now_ns);
  d->d.to_say = to_say(r, now_ns);
  o->stats.retried++;
}

/* Into flight. */
static void take_off(struct outbox *o, struct receiver *r, struct delivery *d) {
  d->in_flight = true;
  d->next_flying = o->flying;
  o->flying = d;
  r->in_flight++;
  o->stats.in_flight++;
}

/* Out of it again: the one of this number, and its receiver; NULL: none of it is. */
static struct delivery *land(struct outbox *o, uint64_t number, struct receiver **of) {
  struct delivery **at = &o->flying, *d;
  while ((d = *at) && d->d.number != number) at = &d->next_flying;
  if (!d) return NULL;
  *at = d->next_flying;
  *of = find_receiver(o, d->d.receiver);
  d->in_flight = false;
  (*of)->in_flight--;
  o->stats.in_flight--;
  return d;
}

void outbox_outcome(struct outbox *o, uint64_t number, enum postroom_result result, uint32_t retry_after_s,
                    const char *text, size_t n, uint64_t now_ns) {
  struct receiver *r = NULL;
  struct delivery *d = land(o, number, &r);
  if (!d) return;
  d->d.attempts++;
  if (result != POSTROOM_OK) note_error(r, text, n);
  if (result == POSTROOM_RETRY) {
    again(o, r, d, retry_after_s, now_ns);
    o->calls.on_attempt(o->calls.ctx, &d->d, result, text, n);
  } else {
    if (r->failures) r->due_ns = 0;  /* others may go sooner now */
    r->failures = 0;                 /* it answered */
    r->down_until_ns = 0;
    if (result == POSTROOM_FAILED) {
      bury(o, r, d, text, n, now_ns);
    } else {
      r->delivered++;
      o->stats.delivered++;
      o->calls.on_attempt(o->calls.ctx, &d->d, result, text, n);
      take_out(o, r, d);
    }
  }
  outbox_step(o, now_ns);
}

/* ---- time -------------------------------------------------------------------------------------------- */

/* Whether nothing before it has to be done first. */
static bool in_order(const struct delivery *d) {
  for (const struct delivery *e = d->prev; e; e = e->prev)
    if (!e->d.order || !d->d.order || e->d.order == d->d.order) return false;
  return true;
}

/* The first of those that were tried least: one that its receiver never takes holds up no other. */
static struct delivery *next_of(const struct outbox *o, const struct receiver *r, uint64_t now_ns) {
  bool one = r->failures || o->stats.in_flight >= LIMIT_OUTBOX_SHARED;
  uint32_t most = one ? 1 : OUTBOX_RECEIVER_IN_FLIGHT, looked = 0;
  if (r->in_flight >= most || now_ns < r->down_until_ns) return NULL;
  struct delivery *best = NULL;
  for (struct delivery *d = r->head; d && looked < LIMIT_OUTBOX_LOOK && !(best && !best->d.attempts); d = d->next, looked++) {
    if (d->in_flight || d->row || d->d.next_ns > now_ns || (best && d->d.attempts >= best->d.attempts)) continue;
    if (in_order(d)) best = d;
  }
  return best;
}

/* false: the owner takes no more now. */
static bool send_one(struct outbox *o, struct receiver *r, uint64_t now_ns, bool *sent) {
  struct delivery *d = next_of(o, r, now_ns);
  *sent = false;
  if (!d) return true;
  take_off(o, r, d);                 /* before send, which may have an outcome at once */
  *sent = o->calls.send(o->calls.ctx, &d->d);
  if (*sent) return true;
  land(o, d->d.number, &r);
  expect(r, d, now_ns);
  return false;
}

static void send_all(struct outbox *o, uint64_t now_ns) {
  uint32_t idle = 0, count = 0;
  for (struct receiver *r = o->receivers; r; r = r->next) count++;
  while (idle < count) {
    bool sent;
    if (!o->turn) o->turn = o->receivers;
    struct receiver *r = o->turn;
    if (!send_one(o, r, now_ns, &sent)) return;
    idle = sent ? 0 : idle + 1;
    o->turn = r->next;
  }
}

/* One may come from a clock that is ahead of ours: it is new then, not as old as time itself. */
static uint64_t age_of(const struct delivery *d, uint64_t now_ns) {
  return now_ns > d->d.created_ns ? now_ns - d->d.created_ns : 0;
}

static void age(struct outbox *o, struct receiver *r, uint64_t now_ns) {
  static const char old[] = "given up: it is too old";
  for (struct delivery *d = r->head, *next; d; d = next) {
    next = d->next;
    if (d->in_flight) continue;
    if (age_of(d, now_ns) >= r->policy.max_age_ns) bury(o, r, d, old, sizeof old - 1, now_ns);
    else if (age_of(d, now_ns) >= OUTBOX_FALLBACK_NS) fall_back(o, r, d, now_ns);
  }
}

/* What may go already and did not waits for others, not for time. */
static uint64_t next_due(const struct receiver *r, uint64_t now_ns) {
  uint64_t due = UINT64_MAX;
  for (const struct delivery *d = r->head; d; d = d->next)
    if (!d->in_flight) due = least(due, due_of(r, d, now_ns));
  return due;
}

void outbox_step(struct outbox *o, uint64_t now_ns) {
  for (struct receiver *r = o->receivers; r; r = r->next)
    if (r->due_ns <= now_ns) age(o, r, now_ns);
  send_all(o, now_ns);
  o->due_ns = UINT64_MAX;
  for (struct receiver *r = o->receivers; r; r = r->next) {
    if (r->due_ns <= now_ns) r->due_ns = next_due(r, now_ns);
    o->due_ns = least(o->due_ns, r->due_ns);
  }
}

uint64_t outbox_next_due(const struct outbox *o) {
  return o->due_ns;
}

/* ---- life, figures ------------------------------------------------------------------------------------ */

int outbox_new(const struct outbox_options *options, const struct outbox_calls *calls, struct outbox **out) {
  struct outbox *o = heap_zalloc(sizeof *o);
  if (!o) return FLUO_ENOMEM;
  o->calls = *calls;
  o->options = *options;
  o->random = options->seed | 1;
  o->due_ns = UINT64_MAX;
  *out = o;
  return 0;
}

void outbox_free(struct outbox *o) {
  if (!o) return;
  while (o->receivers) {
    struct receiver *r = o->receivers;
    while (r->head) take_out(o, r, r->head);
    o->receivers = r->next;
    heap_free(r);
  }
  heap_free(o);
}

void outbox_stats_get(const struct outbox *o, struct outbox_stats *out) {
  *out = o->stats;
}

void outbox_each(const struct outbox *o, void (*each)(void *ctx, const struct outbox_receiver *r), void *ctx) {
  for (const struct receiver *r = o->receivers; r; r = r->next) {
    const struct outbox_receiver shown = {r->name, r->waiting, r->delivered, r->dead, r->failures, r->last_error};
    each(ctx, &shown);
  }
}
