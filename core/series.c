/* The series' story. Exact events lie in a ring, by time; the first `inside` of them are in the
 * window and in its totals, the rest wait for t. A sum of whole numbers is all that most series are;
 * what else there can be, and what the kind needs beside totals (the numbers in order, the hashes),
 * is kept apart (struct series_more), of those inside. Where it is only asked whether a rank lies above a
 * limit, how many numbers do says it, and nothing is kept in order (series_order.c). When the ring is full all of it is poured into
 * buckets on a grid of D / 60, and exact events begin anew: a quiet group is exact, a busy one
 * costs the same however busy it is. What comes for a time that a bucket stands for goes into that
 * bucket.
 *
 * A bucket counts as inside as soon as its oldest event is, and until its newest leaves. Totals are
 * sums that things are added to and taken from; whole numbers are summed exactly, fractions with
 * Neumaier's compensation.
 *
 * Ways to fail: no memory, or buckets past their bound (a window far shorter than the time by which
 * t lags): the event is refused before anything is changed. Everything here belongs to the series
 * and is freed with it. */
#include "series_parts.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "err.h"
#include "heap.h"

/* ---- totals -------------------------------------------------------------------------------- */

static void add_fraction(struct totals *t, double x) {
  double sum = t->fraction + x;
  t->lost += fabs(t->fraction) >= fabs(x) ? (t->fraction - sum) + x : (x - sum) + t->fraction;
  t->fraction = sum;
}

static void count_event(struct totals *t, const struct series_event *e, int sign) {
  uint64_t one = (uint64_t)(int64_t)sign, n = one * e->weight;
  t->samples += n;
  if (e->flags & SERIES_NUMERATOR) t->numerator += n;
  if (e->flags & SERIES_ESTIMATED) t->estimated += n;
  if (e->flags & SERIES_SPAN) t->spans += one;
  if (isinf(e->value))
    *(e->value > 0 ? &t->plus_infinite : &t->minus_infinite) += one;
  else if (fabs(e->value) < 0x1p63 && e->value == (double)(int64_t)e->value)
    t->whole += sign * (__int128)(int64_t)e->value;
  else
    add_fraction(t, sign * e->value);
}

static void count_totals(struct totals *t, const struct totals *part, int sign) {
  uint64_t s = (uint64_t)(int64_t)sign;
  t->samples += s * part->samples;
  t->numerator += s * part->numerator;
  t->estimated += s * part->estimated;
  t->spans += s * part->spans;
  t->plus_infinite += s * part->plus_infinite;
  t->minus_infinite += s * part->minus_infinite;
  t->whole += sign * part->whole;
  add_fraction(t, sign * (part->fraction + part->lost));
}

/* ---- exact events -------------------------------------------------------------------------- */

/* A sum of as many of these as a ring holds is a whole number that fits. */
static bool is_plain(const struct series *s, const struct series_event *e) {
  _Static_assert(EVENTS_MAX <= 1 << 12, "sums of plain events are exact");
  if (e->weight != 1 || e->flags & SERIES_ESTIMATED) return false;
  return s->kind == SERIES_LIMIT ||
         (s->kind == SERIES_SUMS && fabs(e->value) <= 0x1p50 && e->value == (double)(int64_t)e->value);
}

int series_need_more(struct series *s) {
  if (s->more) return 0;
  s->more = heap_zalloc(sizeof *s->more);
  if (!s->more) return FLUO_ENOMEM;
  s->more->totals = (struct totals){
      .whole = s->whole, .samples = s->inside, .numerator = s->numerator, .spans = s->spans};
  return 0;
}

/* One more in the window, or one less (sign -1). */
static void count_plain(struct series *s, const struct series_event *e, int sign) {
  if (s->kind == SERIES_SUMS) s->whole += sign * (int64_t)e->value;
  if (e->flags & SERIES_NUMERATOR) s->numerator = (uint16_t)(s->numerator + sign);
  if (e->flags & SERIES_SPAN) s->spans = (uint16_t)(s->spans + sign);
}

static bool has_keys(const struct series *s) {
  return s->kind == SERIES_ORDER || s->kind == SERIES_DISTINCT;
}

static uint64_t key_of(const struct series *s, const struct series_event *e) {
  return s->kind == SERIES_DISTINCT ? e->hash : multiset_of_number(e->value);
}

static int enter(struct series *s, const struct series_event *e) {
  if (!s->more && is_plain(s, e)) {
    count_plain(s, e, 1);
    return 0;
  }
  int err = series_need_more(s);
  if (!err && has_keys(s)) err = multiset_add(&s->more->keys, key_of(s, e));
  if (err) return err;
  count_event(&s->more->totals, e, 1);
  if (s->more->distinct) distinct_add(s->more->distinct, e->hash);
  return 0;
}

static void leave(struct series *s, const struct series_event *e) {
  if (!s->more) {
    count_plain(s, e, -1);
    return;
  }
  if (has_keys(s)) multiset_remove(&s->more->keys, key_of(s, e));
  count_event(&s->more->totals, e, -1);
  if (s->more->distinct) s->more->stale = true; /* the sketch of the others is of buckets alone */
}

static int insert(struct series *s, const struct series_event *e) {
  bool inside = e->time_ns <= s->t_ns;
  uint32_t place = events_until(&s->events, e->time_ns);
  int err = events_insert(&s->events, place, e);
  if (err || !inside) return err;
  err = enter(s, e);
  if (err)
    events_remove(&s->events, place);
  else
    s->inside++;
  return err;
}

/* ---- buckets ------------------------------------------------------------------------------- */

static uint64_t slot_of(const struct series *s, uint64_t time_ns) {
  uint64_t width = s->ns / SERIES_SLOTS;
  return time_ns / (width ? width : 1);
}

/* Where the slot's bucket is or belongs. */
static uint32_t bucket_at(const struct series_more *m, uint64_t slot) {
  uint32_t i = m->buckets_count;
  while (i && m->buckets[i - 1].slot >= slot) i--;
  return i;
}

static bool has_bucket(const struct series *s, uint64_t time_ns) {
  const struct series_more *m = s->more;
  if (!m || !m->buckets_count) return false;
  uint64_t slot = slot_of(s, time_ns);
  uint32_t i = bucket_at(m, slot);
  return i < m->buckets_count && m->buckets[i].slot == slot;
}

size_t series_bucket_bytes(const struct series_bucket *b) {
  return sketch_bytes(&b->sketch) + (b->distinct ? heap_block(sizeof *b->distinct) : 0);
}

static int bucket_new(struct series *s, uint32_t i, uint64_t slot) {
  struct series_more *m = s->more;
  struct distinct *distinct = NULL;
  if (m->buckets_count == SERIES_BUCKETS_MAX) return FLUO_EFULL;
  int err =
      heap_grow((void **)&m->buckets, &m->buckets_capacity, m->buckets_count, sizeof *m->buckets);
  if (err) return err;
  if (s->kind == SERIES_DISTINCT) {
    if (!m->distinct && !(m->distinct = heap_zalloc(sizeof *m->distinct))) return FLUO_ENOMEM;
    if (!(distinct = heap_zalloc(sizeof *distinct))) return FLUO_ENOMEM;
    m->stale = true;
  }
  memmove(m->buckets + i + 1, m->buckets + i, (m->buckets_count - i) * sizeof *m->buckets);
  m->buckets[i] = (struct series_bucket){.slot = slot,
                                         .oldest_ns = UINT64_MAX,
                                         .least = INFINITY,
                                         .greatest = -INFINITY,
                                         .distinct = distinct};
  m->buckets_bytes += series_bucket_bytes(&m->buckets[i]);
  m->buckets_count++;
  if (i < m->buckets_inside) m->buckets_inside++; /* what comes for it is older than what is inside */
  return 0;
}

/* A bucket becomes part of the window once its oldest event has. Buckets of later slots have later
 * ones: those inside are the first. */
static void buckets_enter(struct series *s) {
  struct series_more *m = s->more;
  while (m->buckets_inside < m->buckets_count && m->buckets[m->buckets_inside].oldest_ns <= s->t_ns) {
    count_totals(&m->totals, &m->buckets[m->buckets_inside++].totals, 1);
    m->stale = true;
  }
}

static void bucket_deinit(struct series_more *m, struct series_bucket *b) {
  m->buckets_bytes -= series_bucket_bytes(b);
  sketch_deinit(&b->sketch);
  heap_free(b->distinct);
}

/* A number of a bucket that is inside is in two sketches, or in neither. */
static int bucket_sketch(struct series *s, struct series_bucket *b, const struct series_event *e, bool inside) {
  if (!series_has_sketch(s)) return 0;
  size_t before = sketch_bytes(&b->sketch);
  int err = sketch_reserve(&b->sketch, 1);
  if (!err && inside) err = sketch_add(&s->more->sketch, e->value, e->weight);
  if (!err) err = sketch_add(&b->sketch, e->value, e->weight);
  s->more->buckets_bytes += sketch_bytes(&b->sketch) - before;
  return err;
}

static void bucket_count(struct series_bucket *b, const struct series_event *e) {
  count_event(&b->totals, e, 1);
  if (b->distinct) distinct_add(b->distinct, e->hash);
  if (e->time_ns < b->oldest_ns) b->oldest_ns = e->time_ns;
  if (e->time_ns > b->newest_ns) b->newest_ns = e->time_ns;
  b->least = fmin(b->least, e->value);
  b->greatest = fmax(b->greatest, e->value);
}

static void bucket_remove(struct series_more *m, uint32_t i) {
  bucket_deinit(m, &m->buckets[i]);
  m->buckets_count--;
  if (i < m->buckets_inside) m->buckets_inside--;
  memmove(m->buckets + i, m->buckets + i + 1, (m->buckets_count - i) * sizeof *m->buckets);
}

/* The event into its slot's bucket, and into the window with it. */
static int bucket_add(struct series *s, struct series_event *e) {
  if (s->kind == SERIES_LIMIT) series_mark(s, e, s->rounded ? sketch_value(e->value) : e->value);
  int err = series_need_more(s);
  if (err) return err;
  struct series_more *m = s->more;
  uint64_t slot = slot_of(s, e->time_ns);
  uint32_t i = bucket_at(m, slot);
  bool fresh = i == m->buckets_count || m->buckets[i].slot != slot;
  if (fresh) err = bucket_new(s, i, slot);
  if (err) return err;
  bool inside = i < m->buckets_inside;
  err = bucket_sketch(s, &m->buckets[i], e, inside);
  if (err && fresh) bucket_remove(m, i);
  if (err) return err;
  bucket_count(&m->buckets[i], e);
  if (inside) {
    count_event(&m->totals, e, 1);
    if (m->distinct) distinct_add(m->distinct, e->hash);
  }
  buckets_enter(s);
  return 0;
}

/* The sketches of all that is inside, made anew where something left or a bucket came in. */
static int refresh(struct series *s) {
  struct series_more *m = s->more;
  int err = 0;
  if (!m || !m->stale || s->kind == SERIES_SUMS) return 0;
  sketch_clear(&m->sketch);
  if (m->distinct) *m->distinct = (struct distinct){{0}};
  for (uint32_t i = 0; !err && i < m->buckets_inside; i++) {
    err = sketch_merge(&m->sketch, &m->buckets[i].sketch);
    if (m->buckets[i].distinct) distinct_merge(m->distinct, m->buckets[i].distinct);
  }
  if (m->distinct)
    for (uint32_t i = 0; i < m->keys.count; i++) distinct_add(m->distinct, m->keys.keys[i]);
  m->stale = err != 0;
  return err;
}

/* All exact events into buckets, the newest first, each out of the ring as soon as it is in one:
 * where memory ends half-way, nothing is lost or double. */
static int pour(struct series *s) {
  while (s->events.count) {
    struct series_event e = events_get(&s->events, s->events.count - 1u), poured = e;
    int err = bucket_add(s, &poured);
    if (err) return err;
    if (s->inside == s->events.count) {
      leave(s, &e);
      s->inside--;
    }
    events_drop_last(&s->events);
  }
  return 0;
}

static void buckets_leave(struct series_more *m, uint64_t until_ns) {
  uint32_t gone = 0;
  for (; gone < m->buckets_count && m->buckets[gone].newest_ns <= until_ns; gone++) {
    struct series_bucket *b = &m->buckets[gone];
    if (m->buckets_inside) {
      count_totals(&m->totals, &b->totals, -1);
      m->buckets_inside--;
      m->stale = true;
    }
    bucket_deinit(m, b);
  }
  m->buckets_count -= gone;
  if (gone) memmove(m->buckets, m->buckets + gone, m->buckets_count * sizeof *m->buckets);
}

/* ---- outside ------------------------------------------------------------------------------- */

void series_init(struct series *s, enum series_kind kind, uint64_t ns) {
  *s = (struct series){.kind = (uint8_t)kind, .ns = ns, .limit = INFINITY, .events.hashes = kind == SERIES_DISTINCT};
}

void series_deinit(struct series *s) {
  struct series_more *m = s->more;
  events_deinit(&s->events);
  if (!m) return;
  for (uint32_t i = 0; i < m->buckets_count; i++) bucket_deinit(m, &m->buckets[i]);
  heap_free(m->buckets);
  heap_free(m->distinct);
  multiset_deinit(&m->keys);
  sketch_deinit(&m->sketch);
  heap_free(m);
  s->more = NULL;
}

/* Up to when events have left. */
static uint64_t left_ns(const struct series *s) {
  return s->t_ns > s->ns ? s->t_ns - s->ns : 0;
}

void series_expect(const struct series *s) {
  events_expect(&s->events);
  if (s->more) __builtin_prefetch(s->more);
}

int series_add(struct series *s, const struct series_event *event) {
  assert(!isnan(event->value) && event->weight);
  if (s->t_ns >= s->ns && event->time_ns <= left_ns(s)) return 0;
  int err = 0;
  if (s->events.count == EVENTS_MAX) err = pour(s);
  if (err) return err;
  struct series_event e = *event;
  if (s->kind == SERIES_LIMIT) series_mark(s, &e, e.value);
  return has_bucket(s, e.time_ns) ? bucket_add(s, &e) : insert(s, &e);
}

/* Those that leave first give back what they added. */
static void leave_plain(struct series *s, uint64_t until_ns) {
  struct events *r = &s->events;
  while (r->count && events_time(r, 0) <= until_ns) {
    struct series_event e = events_get(r, 0);
    count_plain(s, &e, -1);
    events_drop_first(r);
    s->inside--;
  }
}

bool series_push(struct series *s, const struct series_event *event) {
  struct events *r = &s->events;
  if (s->more || s->inside != r->count || r->count == EVENTS_MAX) return false;
  if (event->time_ns < s->t_ns || !is_plain(s, event)) return false;
  struct series_event e = *event;
  if (s->kind == SERIES_LIMIT) series_mark(s, &e, e.value);
  if (!events_push(r, &e)) return false;
  s->inside++;
  s->t_ns = e.time_ns;
  count_plain(s, &e, 1);
  if (s->t_ns >= s->ns) leave_plain(s, left_ns(s));
  return true;
}

static void events_leave(struct series *s, uint64_t until_ns) {
  while (s->events.count && events_time(&s->events, 0) <= until_ns) {
    if (s->inside) {
      struct series_event e = events_get(&s->events, 0);
      leave(s, &e);
      s->inside--;
    }
    events_drop_first(&s->events);
  }
}

/* What is newer than the window was, as far as it is not newer than it is. */
static int events_enter(struct series *s) {
  while (s->inside < s->events.count && events_time(&s->events, s->inside) <= s->t_ns) {
    struct series_event e = events_get(&s->events, s->inside);
    int err = enter(s, &e);
    if (err) return err;
    s->inside++;
  }
  return 0;
}

/* Nothing leaves, nothing enters, and there is nothing but events: what most moves come to. */
static bool stays(const struct series *s) {
  const struct events *r = &s->events;
  return !s->more && s->inside == r->count && (!r->count || events_time(r, 0) > left_ns(s));
}

int series_move(struct series *s, uint64_t t_ns) {
  struct series_more *m = s->more;
  if (t_ns > s->t_ns) s->t_ns = t_ns;
  if (stays(s)) return 0;
  if (s->t_ns >= s->ns) events_leave(s, left_ns(s));
  if (m) {
    if (s->t_ns >= s->ns) buckets_leave(m, left_ns(s));
    if (!m->totals.samples) m->totals = (struct totals){0}; /* nothing is left that could be off */
    buckets_enter(s);
  }
  int err = refresh(s);
  return err ? err : events_enter(s);
}

uint64_t series_time_ns(const struct series *s) {
  return s->t_ns;
}

uint64_t series_samples(const struct series *s) {
  return s->more ? s->more->totals.samples : s->inside;
}

uint64_t series_numerator(const struct series *s) {
  return s->more ? s->more->totals.numerator : s->numerator;
}

uint64_t series_above(const struct series *s) {
  assert(s->kind == SERIES_LIMIT);
  return series_numerator(s);
}

uint64_t series_spans(const struct series *s) {
  return s->more ? s->more->totals.spans : s->spans;
}

bool series_estimated(const struct series *s) {
  const struct series_more *m = s->more;
  return m && (m->totals.estimated || (m->buckets_count && s->kind != SERIES_SUMS));
}

double series_sum(const struct series *s) {
  if (!s->more) return (double)s->whole;
  const struct totals *t = &s->more->totals;
  if (t->plus_infinite && t->minus_infinite) return NAN;
  if (t->plus_infinite || t->minus_infinite) return t->plus_infinite ? INFINITY : -INFINITY;
  return (double)t->whole + (t->fraction + t->lost);
}

double series_distinct(const struct series *s) {
  const struct series_more *m = s->more;
  if (!m) return 0;
  return m->buckets_count ? distinct_count(m->distinct) : m->keys.different;
}

uint64_t series_oldest_ns(const struct series *s) {
  const struct series_more *m = s->more;
  uint64_t oldest = s->events.count ? events_time(&s->events, 0) : UINT64_MAX;
  if (m && m->buckets_count && m->buckets[0].newest_ns < oldest) oldest = m->buckets[0].newest_ns;
  return oldest;
}

size_t series_bytes(const struct series *s) {
  const struct series_more *m = s->more;
  size_t bytes = events_bytes(&s->events);
  if (!m) return bytes;
  bytes += heap_block(sizeof *m) + heap_block(m->keys.capacity * sizeof *m->keys.keys) +
           heap_block(m->buckets_capacity * sizeof *m->buckets) + sketch_bytes(&m->sketch) + m->buckets_bytes;
  return m->distinct ? bytes + heap_block(sizeof *m->distinct) : bytes;
}
