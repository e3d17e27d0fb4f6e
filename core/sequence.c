/* The sequences' story. Each key holds its hits by (start, span id) for D and a lateness. A hit
 * that arrives is put where it belongs, and then what is there is looked at, so that the order of
 * arrival does not decide whether a key matches. Nor does how long a time one request spans: its
 * hits come in order of start, and each is looked at as if it had come a lateness after it, for the
 * next one may be what an absence or a first step waits for. What is over by the real clock is said
 * by a timer, when the request is in.
 *
 * Looking is two passes over the hits of [t0, t0 + D), for each span t0 that can be the first step,
 * in order. Backwards, each hit learns as which steps it can stand, given what comes after it;
 * `alive` says of a step whether some later hit can stand as it, with nothing between that must not
 * come. Forwards, the earliest hits that can stand are taken: that is the earliest assignment. A
 * step is strictly later than the one before it, so hits of one start are taken together.
 *
 * A match is told at once, where no absence is part of it; a lateness after its last hit came,
 * where something must not stand between; and at t0 + D and a lateness, where an absence closes it:
 * then each first step is judged once, by a timer. After a match everything up to the start of its
 * last span is gone.
 *
 * Ways it fails: no memory for a key or a hit: lost, counted. A key with too many hits loses its
 * oldest, counted. */
#include "sequence.h"

#include <assert.h>
#include <string.h>

#include "err.h"
#include "heap.h"

struct kept_hit {
  struct sequence_hit hit;
  uint64_t arrived_ns;
  uint32_t steps; /* as which it can stand: scratch of the backward pass */
};

struct key {
  struct state_group head;
  struct kept_hit *hits; /* by (start, span id) */
  uint32_t count, capacity;
  uint64_t past_ns; /* the next match starts after this */
  bool matched;     /* past_ns says something */
};

struct sequence {
  struct state_owner keys; /* the first member: a key's owner is its sequence */
  struct sequence_terms terms;
  struct sequence_calls calls;
  void *owner;
  uint32_t last;    /* the last step that must come */
  uint32_t closing; /* patterns behind it, that must not */
  uint64_t resumed_ns; /* before it there was a time that nobody observed; 0: there was none */
};

static struct sequence *sequence_of(const struct key *k) {
  return (struct sequence *)(void *)k->head.owner;
}

static bool has(uint32_t mask, uint32_t bit) {
  return mask >> bit & 1;
}

static bool waits(const struct sequence *s) {
  return s->terms.absent & ~s->closing;
}

/* ---- a key --------------------------------------------------------------------------------- */

static int key_init(struct state_group *head) {
  (void)head;
  return 0;
}

static void key_deinit(struct state_group *head) {
  heap_free(((struct key *)(void *)head)->hits);
}

static size_t key_bytes(const struct state_group *head) {
  const struct key *k = (const struct key *)(const void *)head;
  return heap_block(k->capacity * sizeof *k->hits);
}

static void forget(struct key *k, uint32_t n) {
  if (!n) return;
  k->count -= n;
  memmove(k->hits, k->hits + n, k->count * sizeof *k->hits);
}

static bool comes_before(const struct sequence_hit *a, const struct sequence_hit *b) {
  if (a->start_ns != b->start_ns) return a->start_ns < b->start_ns;
  return memcmp(a->span_id, b->span_id, 8) < 0;
}

static uint64_t plus(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* When a first step that starts there is judged for what must not come after. */
static uint64_t due_of(const struct sequence *s, uint64_t start_ns) {
  return plus(plus(start_ns, s->terms.ns), SEQUENCE_LATENESS_NS);
}

/* Until when a hit can be part of something that is not told yet: where a match waits, for that
 * long more. */
static uint64_t kept_until(const struct sequence *s, const struct kept_hit *hit) {
  uint64_t due = due_of(s, hit->hit.start_ns);
  if (!waits(s)) return due;
  return plus(due > hit->arrived_ns ? due : hit->arrived_ns, SEQUENCE_LATENESS_NS);
}

static int keep(struct key *k, const struct sequence_hit *hit, uint64_t now_ns) {
  if (k->count == SEQUENCE_HITS_MAX) {
    forget(k, 1);
    state_stats(k->head.owner->state)->overflowed++;
  }
  int err = heap_grow((void **)&k->hits, &k->capacity, k->count, sizeof *k->hits);
  if (err) return err;
  uint32_t at = k->count++;
  for (; at && comes_before(hit, &k->hits[at - 1].hit); at--) k->hits[at] = k->hits[at - 1];
  k->hits[at] = (struct kept_hit){.hit = *hit, .arrived_ns = now_ns};
  return 0;
}

/* ---- looking ------------------------------------------------------------------------------- */

/* The step after this one that must come; last + 1 where there is none. */
static uint32_t step_after(const struct sequence *s, uint32_t step) {
  do step++;
  while (step <= s->last && has(s->terms.absent, step));
  return step;
}

/* The patterns that must not come between this step and the next, or after the last. */
static uint32_t absent_after(const struct sequence *s, uint32_t step) {
  uint32_t mask = 0;
  for (step++; step < s->terms.steps && has(s->terms.absent, step); step++) mask |= 1u << step;
  return mask;
}

/* As which steps a hit can stand, seen from where the pass has come to. */
static uint32_t stands_as(const struct sequence *s, const struct kept_hit *hit, uint64_t alive) {
  uint32_t steps = 0;
  for (uint32_t step = 0; step <= s->last; step = step_after(s, step))
    if (has(hit->hit.patterns, step) && alive >> step_after(s, step) & 1) steps |= 1u << step;
  return steps;
}

/* What came at one time ends the lives that it must not come before. */
static uint64_t outlive(const struct sequence *s, uint64_t alive, uint32_t came) {
  for (uint32_t step = 0; came && step <= s->last; step = step_after(s, step))
    if (came & absent_after(s, step)) alive &= ~(UINT64_C(1) << step_after(s, step));
  return alive;
}

/* As which steps the hits of [first, end) can stand; the one at `first` alone as the first. `alive`
 * has the bit of a step if a later hit can stand as it; that of last + 1, which nothing has to come
 * for, as long as nothing has come that must not come at the end. */
static void look_back(struct key *k, uint32_t first, uint32_t end) {
  const struct sequence *s = sequence_of(k);
  uint64_t alive = UINT64_C(1) << (s->last + 1);
  for (uint32_t high = end, low; high > first; high = low) {
    uint32_t born = 0, came = 0;
    for (low = high; low > first && k->hits[low - 1].hit.start_ns == k->hits[high - 1].hit.start_ns;
         low--) {
      struct kept_hit *hit = &k->hits[low - 1];
      hit->steps = stands_as(s, hit, alive) & (low - 1 == first ? ~0u : ~1u);
      born |= hit->steps;
      came |= hit->hit.patterns & s->terms.absent;
    }
    alive = outlive(s, alive, came) | born;
  }
}

/* The earliest assignment that begins at `first`: how many witnesses, or 0. */
static uint32_t match_from(struct key *k, uint32_t first, const struct kept_hit **out) {
  const struct sequence *s = sequence_of(k);
  uint64_t until = plus(k->hits[first].hit.start_ns, s->terms.ns);
  uint32_t end = first + 1, n = 0;
  while (end < k->count && k->hits[end].hit.start_ns < until) end++;
  look_back(k, first, end);
  if (!has(k->hits[first].steps, 0)) return 0;
  const struct kept_hit *at = &k->hits[first];
  for (uint32_t step = 0;; at++) {
    if (!has(at->steps, step) || (n && at->hit.start_ns <= out[n - 1]->hit.start_ns)) continue;
    out[n++] = at;
    if (step == s->last) return n;
    step = step_after(s, step);
  }
}

/* ---- telling ------------------------------------------------------------------------------- */

static void tell(struct key *k, const struct kept_hit *const *found, uint32_t n) {
  const struct sequence *s = sequence_of(k);
  const struct sequence_hit *witnesses[SEQUENCE_STEPS_MAX];
  uint64_t time = 0;
  for (uint32_t i = 0; i < n; i++) {
    witnesses[i] = &found[i]->hit;
    if (witnesses[i]->end_ns > time) time = witnesses[i]->end_ns;
  }
  if (s->closing) time = plus(witnesses[0]->start_ns, s->terms.ns);
  struct sequence_match match = {.owner = s->owner,
                                 .group = state_group_key(&k->head),
                                 .group_bytes = k->head.key_bytes,
                                 .time_ns = time,
                                 .witnesses = witnesses,
                                 .witnesses_count = n,
                                 .absent = s->closing ? __builtin_ctz(s->closing) : -1};
  s->calls.on_match(s->calls.ctx, &match);
  k->past_ns = witnesses[n - 1]->start_ns;
  k->matched = true;
  uint32_t gone = 0;
  while (gone < k->count && k->hits[gone].hit.start_ns <= k->past_ns) gone++;
  forget(k, gone);
}

/* When everything that a match rests on has been here for the lateness. */
static uint64_t ready_ns(const struct kept_hit *const *found, uint32_t n) {
  uint64_t arrived = 0;
  for (uint32_t i = 0; i < n; i++)
    if (found[i]->arrived_ns > arrived) arrived = found[i]->arrived_ns;
  return arrived + SEQUENCE_LATENESS_NS;
}

/* Whether what must not come may have come unseen. Then this first step is done with. */
static bool is_unknown(struct key *k, uint32_t first) {
  const struct sequence *s = sequence_of(k);
  struct sequence_hit *hit = &k->hits[first].hit;
  if (!s->terms.absent || hit->start_ns >= s->resumed_ns) return false;
  hit->patterns &= ~1u;
  if (s->calls.on_unknown) s->calls.on_unknown(s->calls.ctx, s->owner);
  return true;
}

/* Tells every match that no absence closes. What is not ready yet is told later: when, or
 * UINT64_MAX. */
static uint64_t tell_open(struct key *k, uint64_t now_ns) {
  const struct kept_hit *found[SEQUENCE_STEPS_MAX];
  for (uint32_t first = 0, n; first < k->count; first++) {
    if (!has(k->hits[first].hit.patterns, 0) || !(n = match_from(k, first, found))) continue;
    uint64_t ready = waits(sequence_of(k)) ? ready_ns(found, n) : 0;
    if (ready > now_ns) return ready;
    if (is_unknown(k, first)) continue;
    tell(k, found, n);
    first = UINT32_MAX; /* from the beginning of what is left */
  }
  return UINT64_MAX;
}

/* Judges each first step whose time is over, once. When the next one's is: or UINT64_MAX. */
static uint64_t tell_closed(struct key *k, uint64_t now_ns) {
  const struct kept_hit *found[SEQUENCE_STEPS_MAX];
  for (uint32_t first = 0, n; first < k->count; first++) {
    struct sequence_hit *hit = &k->hits[first].hit;
    if (!has(hit->patterns, 0)) continue;
    uint64_t due = due_of(sequence_of(k), hit->start_ns);
    if (due > now_ns) return due;
    n = match_from(k, first, found);
    bool unknown = n && is_unknown(k, first);
    hit->patterns &= ~1u;
    if (!n || unknown) continue;
    tell(k, found, n);
    first = UINT32_MAX;
  }
  return UINT64_MAX;
}

/* ---- taking -------------------------------------------------------------------------------- */

/* Forgets what is too old to be part of anything. When the last of the rest will be: UINT64_MAX,
 * and nothing is left. */
static uint64_t expire(struct key *k, uint64_t now_ns) {
  const struct sequence *s = sequence_of(k);
  uint64_t last = 0;
  uint32_t gone = 0;
  while (gone < k->count && kept_until(s, &k->hits[gone]) < now_ns) gone++;
  forget(k, gone);
  for (uint32_t i = 0; i < k->count; i++)
    if (kept_until(s, &k->hits[i]) > last) last = kept_until(s, &k->hits[i]);
  if (k->matched && due_of(s, k->past_ns) > last) last = due_of(s, k->past_ns);
  return last < now_ns ? UINT64_MAX : plus(last, 1);
}

/* What is to be said now is said, and the timer set for the next; a key that knows nothing any more
 * goes. */
static int settle(struct key *k, uint64_t now_ns) {
  uint64_t due = sequence_of(k)->closing ? tell_closed(k, now_ns) : tell_open(k, now_ns);
  uint64_t gone = expire(k, now_ns);
  if (gone == UINT64_MAX) {
    state_drop(&k->head);
    return 0;
  }
  int err = state_timer(&k->head, due < gone ? due : gone);
  state_account(&k->head);
  return err;
}

int sequence_take(struct sequence *s, const struct state_key *group, const struct sequence_hit *hit,
                  uint64_t now_ns) {
  struct state_group *head;
  int err = state_get(&s->keys, group, &head);
  if (!err) {
    struct key *k = (struct key *)(void *)head;
    uint64_t in_time_ns = plus(hit->start_ns, SEQUENCE_LATENESS_NS);
    if (!k->matched || hit->start_ns > k->past_ns) err = keep(k, hit, now_ns);
    int later = settle(k, in_time_ns < now_ns ? in_time_ns : now_ns);
    if (!err) err = later;
  }
  state_stats(s->keys.state)->lost += err != 0;
  return err;
}

static void on_due(struct state_group *head, uint64_t now_ns) {
  struct sequence *s = (struct sequence *)(void *)head->owner;
  if (settle((struct key *)(void *)head, now_ns)) state_stats(s->keys.state)->lost++;
}

/* ---- as bytes ------------------------------------------------------------------------------ */

struct state_owner *sequence_keys(struct sequence *s) {
  return &s->keys;
}

void sequence_resume(struct sequence *s, uint64_t now_ns) {
  s->resumed_ns = now_ns;
}

static void write_hit(const struct kept_hit *kept, uint64_t before_ns, struct pack *p) {
  const struct sequence_hit *hit = &kept->hit;
  pack_uint(p, hit->start_ns - before_ns);
  pack_uint(p, hit->end_ns);
  pack_uint(p, kept->arrived_ns);
  pack_uint(p, hit->patterns);
  pack_bytes(p, hit->trace_id, sizeof hit->trace_id);
  pack_bytes(p, hit->span_id, sizeof hit->span_id);
  pack_text(p, hit->name);
  pack_uint(p, hit->has_service);
  if (hit->has_service) pack_text(p, hit->service);
}

/* Every key has a timer; one that found no memory for it is looked at when it is read. */
static void key_write(const struct state_group *head, struct pack *p) {
  const struct key *k = (const struct key *)(const void *)head;
  pack_uint(p, head->timer ? head->due_ns : 0);
  pack_uint(p, k->matched);
  pack_uint(p, k->past_ns);
  pack_uint(p, k->count);
  for (uint32_t i = 0; i < k->count; i++)
    write_hit(&k->hits[i], i ? k->hits[i - 1].hit.start_ns : 0, p);
}

static void read_hit(struct kept_hit *kept, uint64_t before_ns, uint32_t patterns,
                     struct unpack *u) {
  struct sequence_hit *hit = &kept->hit;
  *kept = (struct kept_hit){0};
  hit->start_ns = before_ns + unpack_upto(u, UINT64_MAX - before_ns);
  hit->end_ns = unpack_uint(u);
  kept->arrived_ns = unpack_uint(u);
  hit->patterns = (uint32_t)unpack_upto(u, patterns);
  unpack_copy(u, hit->trace_id, sizeof hit->trace_id);
  unpack_copy(u, hit->span_id, sizeof hit->span_id);
  hit->name = unpack_text(u);
  hit->has_service = unpack_upto(u, 1);
  if (hit->has_service) hit->service = unpack_text(u);
}

static int read_hits(struct key *k, struct unpack *u) {
  uint32_t count = unpack_count(u, SEQUENCE_HITS_MAX),
           all = (1u << sequence_of(k)->terms.steps) - 1;
  for (; k->count < count; k->count++) {
    int err = heap_grow((void **)&k->hits, &k->capacity, k->count, sizeof *k->hits);
    if (err) return err;
    struct kept_hit *hit = &k->hits[k->count];
    read_hit(hit, k->count ? hit[-1].hit.start_ns : 0, all, u);
    if (u->bad || (k->count && comes_before(&hit->hit, &hit[-1].hit))) return FLUO_EMALFORMED;
  }
  return 0;
}

static int key_read(struct state_group *head, struct unpack *u) {
  struct key *k = (struct key *)(void *)head;
  uint64_t due_ns = unpack_uint(u);
  k->matched = unpack_upto(u, 1);
  k->past_ns = unpack_uint(u);
  int err = read_hits(k, u);
  if (!err && (u->bad || u->at != u->end)) err = FLUO_EMALFORMED;
  return err ? err : state_timer(head, due_ns == UINT64_MAX ? 0 : due_ns);
}

/* ---- life ---------------------------------------------------------------------------------- */

int sequence_new(struct state *state, const struct sequence_terms *terms,
                 const struct sequence_calls *calls, void *owner, struct sequence **out) {
  static const struct state_ops ops = {sizeof(struct key), key_init, key_deinit, key_bytes, on_due, key_write, key_read};
  assert(terms->ns && terms->steps && terms->steps <= SEQUENCE_STEPS_MAX && !(terms->absent & 1));
  struct sequence *s = heap_zalloc(sizeof *s);
  if (!s) return FLUO_ENOMEM;
  state_owner_init(&s->keys, state, &ops, SEQUENCE_KEYS_MAX);
  s->terms = *terms;
  s->calls = *calls;
  s->owner = owner;
  s->last = terms->steps - 1;
  while (has(terms->absent, s->last)) s->last--;
  s->closing = absent_after(s, s->last);
  *out = s;
  return 0;
}

void sequence_free(struct sequence *s) {
  if (!s) return;
  state_owner_deinit(&s->keys);
  heap_free(s);
}
