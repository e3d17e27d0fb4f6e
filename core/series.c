/* The series' story. Exact events lie in a ring, by time; the first `inside` of them are in the
 * window and in its totals, the rest wait for t. What the kind needs beside totals (the numbers in
 * order, the hashes) is kept of those inside. When the ring is full all of it is poured into
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
  else if (fabs(e->value) < 0x1p63 && e->value == trunc(e->value))
    t->whole += sign * (__int128)e->value;
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

static struct series_event *at(const struct series *s, uint32_t i) {
  return &s->ring[(s->head + i) & (s->capacity - 1)];
}

static int ring_grow(struct series *s) {
  if (s->count < s->capacity) return 0;
  uint32_t capacity = s->capacity ? s->capacity * 2 : 4;
  struct series_event *ring = heap_alloc(capacity * sizeof *ring);
  if (!ring) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < s->count; i++) ring[i] = *at(s, i);
  heap_free(s->ring);
  s->ring = ring;
  s->head = 0;
  s->capacity = capacity;
  return 0;
}

static uint64_t key_of(const struct series *s, const struct series_event *e) {
  return s->kind == SERIES_DISTINCT ? e->hash : multiset_of_number(e->value);
}

static int enter(struct series *s, const struct series_event *e) {
  int err = s->kind == SERIES_SUMS ? 0 : multiset_add(&s->keys, key_of(s, e));
  if (err) return err;
  count_event(&s->totals, e, 1);
  if (s->distinct) distinct_add(s->distinct, e->hash);
  return 0;
}

static void leave(struct series *s, const struct series_event *e) {
  if (s->kind != SERIES_SUMS) multiset_remove(&s->keys, key_of(s, e));
  count_event(&s->totals, e, -1);
  s->stale = true;
}

/* How many exact events are not after the time. Most come in order. */
static uint32_t rank_of(const struct series *s, uint64_t time_ns) {
  if (!s->count || at(s, s->count - 1)->time_ns <= time_ns) return s->count;
  uint32_t lo = 0, hi = s->count - 1;
  while (lo < hi) {
    uint32_t middle = lo + (hi - lo) / 2;
    if (at(s, middle)->time_ns <= time_ns)
      lo = middle + 1;
    else
      hi = middle;
  }
  return lo;
}

static int insert(struct series *s, const struct series_event *e) {
  int err = ring_grow(s);
  bool inside = e->time_ns <= s->t_ns;
  if (!err && inside) err = enter(s, e);
  if (err) return err;
  uint32_t place = rank_of(s, e->time_ns);
  s->count++;
  for (uint32_t i = s->count - 1; i > place; i--) *at(s, i) = *at(s, i - 1);
  *at(s, place) = *e;
  s->inside += inside;
  return 0;
}

/* ---- buckets ------------------------------------------------------------------------------- */

static uint64_t slot_of(const struct series *s, uint64_t time_ns) {
  uint64_t width = s->ns / SERIES_SLOTS;
  return time_ns / (width ? width : 1);
}

/* Where the slot's bucket is or belongs. */
static uint32_t bucket_at(const struct series *s, uint64_t slot) {
  uint32_t i = s->buckets_count;
  while (i && s->buckets[i - 1].slot >= slot) i--;
  return i;
}

static bool has_bucket(const struct series *s, uint64_t slot) {
  uint32_t i = bucket_at(s, slot);
  return i < s->buckets_count && s->buckets[i].slot == slot;
}

static int bucket_new(struct series *s, uint32_t i, uint64_t slot) {
  struct distinct *distinct = NULL;
  if (s->buckets_count == SERIES_BUCKETS_MAX) return FLUO_EFULL;
  int err =
      heap_grow((void **)&s->buckets, &s->buckets_capacity, s->buckets_count, sizeof *s->buckets);
  if (err) return err;
  if (s->kind == SERIES_DISTINCT) {
    if (!s->distinct && !(s->distinct = heap_zalloc(sizeof *s->distinct))) return FLUO_ENOMEM;
    if (!(distinct = heap_zalloc(sizeof *distinct))) return FLUO_ENOMEM;
    s->stale = true;
  }
  memmove(s->buckets + i + 1, s->buckets + i, (s->buckets_count - i) * sizeof *s->buckets);
  s->buckets[i] = (struct series_bucket){.slot = slot,
                                         .oldest_ns = UINT64_MAX,
                                         .least = INFINITY,
                                         .greatest = -INFINITY,
                                         .distinct = distinct};
  s->buckets_count++;
  return 0;
}

/* The bucket becomes part of the window once its oldest event has. */
static void bucket_enter(struct series *s, struct series_bucket *b) {
  if (b->inside || b->oldest_ns > s->t_ns) return;
  b->inside = true;
  count_totals(&s->totals, &b->totals, 1);
  s->stale = true;
}

static void bucket_leave(struct series *s, struct series_bucket *b) {
  if (b->inside) {
    count_totals(&s->totals, &b->totals, -1);
    s->stale = true;
  }
  sketch_deinit(&b->sketch);
  heap_free(b->distinct);
}

/* A number of a bucket that is inside is in two sketches, or in neither. */
static int bucket_sketch(struct series *s, struct series_bucket *b, const struct series_event *e) {
  if (s->kind != SERIES_ORDER) return 0;
  int err = sketch_reserve(&b->sketch, 1);
  if (!err && b->inside) err = sketch_add(&s->sketch, e->value, e->weight);
  return err ? err : sketch_add(&b->sketch, e->value, e->weight);
}

/* The event into its slot's bucket, and into the window with it. */
static int bucket_add(struct series *s, const struct series_event *e) {
  uint64_t slot = slot_of(s, e->time_ns);
  uint32_t i = bucket_at(s, slot);
  int err = has_bucket(s, slot) ? 0 : bucket_new(s, i, slot);
  struct series_bucket *b = &s->buckets[i];
  if (!err) err = bucket_sketch(s, b, e);
  if (err) return err;
  count_event(&b->totals, e, 1);
  if (b->distinct) distinct_add(b->distinct, e->hash);
  if (b->inside) {
    count_event(&s->totals, e, 1);
    if (s->distinct) distinct_add(s->distinct, e->hash);
  }
  if (e->time_ns < b->oldest_ns) b->oldest_ns = e->time_ns;
  if (e->time_ns > b->newest_ns) b->newest_ns = e->time_ns;
  b->least = fmin(b->least, e->value);
  b->greatest = fmax(b->greatest, e->value);
  return 0;
}

static void buckets_enter(struct series *s) {
  for (uint32_t i = 0; i < s->buckets_count; i++) bucket_enter(s, &s->buckets[i]);
}

/* The sketches of all that is inside, made anew where something left or a bucket came in. */
static int refresh(struct series *s) {
  int err = 0;
  if (!s->stale || s->kind == SERIES_SUMS) return 0;
  sketch_clear(&s->sketch);
  if (s->distinct) *s->distinct = (struct distinct){{0}};
  for (uint32_t i = 0; !err && i < s->buckets_count; i++) {
    const struct series_bucket *b = &s->buckets[i];
    if (!b->inside) continue;
    err = sketch_merge(&s->sketch, &b->sketch);
    if (b->distinct) distinct_merge(s->distinct, b->distinct);
  }
  if (s->distinct)
    for (uint32_t i = 0; i < s->keys.count; i++) distinct_add(s->distinct, s->keys.keys[i]);
  s->stale = err != 0;
  return err;
}

/* All exact events into buckets, the newest first, each out of the ring as soon as it is in one:
 * where memory ends half-way, nothing is lost or double. */
static int pour(struct series *s) {
  while (s->count) {
    const struct series_event *e = at(s, s->count - 1);
    int err = bucket_add(s, e);
    if (err) return err;
    if (s->inside == s->count) {
      leave(s, e);
      s->inside--;
    }
    s->count--;
  }
  buckets_enter(s);
  return 0;
}

static void buckets_leave(struct series *s, uint64_t until_ns) {
  uint32_t gone = 0;
  while (gone < s->buckets_count && s->buckets[gone].newest_ns <= until_ns)
    bucket_leave(s, &s->buckets[gone++]);
  s->buckets_count -= gone;
  if (gone) memmove(s->buckets, s->buckets + gone, s->buckets_count * sizeof *s->buckets);
}

/* ---- outside ------------------------------------------------------------------------------- */

int series_new(enum series_kind kind, uint64_t ns, struct series **out) {
  struct series *s = heap_zalloc(sizeof *s);
  if (!s) return FLUO_ENOMEM;
  s->kind = kind;
  s->ns = ns;
  *out = s;
  return 0;
}

void series_free(struct series *s) {
  if (!s) return;
  for (uint32_t i = 0; i < s->buckets_count; i++) bucket_leave(s, &s->buckets[i]);
  heap_free(s->buckets);
  heap_free(s->ring);
  heap_free(s->distinct);
  multiset_deinit(&s->keys);
  sketch_deinit(&s->sketch);
  heap_free(s);
}

/* Up to when events have left. */
static uint64_t left_ns(const struct series *s) {
  return s->t_ns > s->ns ? s->t_ns - s->ns : 0;
}

int series_add(struct series *s, const struct series_event *event) {
  assert(!isnan(event->value) && event->weight);
  if (s->t_ns >= s->ns && event->time_ns <= left_ns(s)) return 0;
  int err = 0;
  if (s->count == SERIES_EVENTS_MAX) err = pour(s);
  if (err) return err;
  if (!has_bucket(s, slot_of(s, event->time_ns))) return insert(s, event);
  err = bucket_add(s, event);
  if (err) return err;
  buckets_enter(s);
  return refresh(s);
}

static void events_leave(struct series *s, uint64_t until_ns) {
  while (s->count && at(s, 0)->time_ns <= until_ns) {
    if (s->inside) {
      leave(s, at(s, 0));
      s->inside--;
    }
    s->head = (s->head + 1) & (s->capacity - 1);
    s->count--;
  }
}

int series_move(struct series *s, uint64_t t_ns) {
  if (t_ns > s->t_ns) s->t_ns = t_ns;
  if (s->t_ns >= s->ns) {
    events_leave(s, left_ns(s));
    buckets_leave(s, left_ns(s));
    if (!s->totals.samples) s->totals = (struct totals){0}; /* nothing is left that could be off */
  }
  buckets_enter(s);
  int err = refresh(s);
  while (!err && s->inside < s->count && at(s, s->inside)->time_ns <= s->t_ns) {
    err = enter(s, at(s, s->inside));
    s->inside += !err;
  }
  return err;
}

uint64_t series_samples(const struct series *s) {
  return s->totals.samples;
}

uint64_t series_numerator(const struct series *s) {
  return s->totals.numerator;
}

uint64_t series_spans(const struct series *s) {
  return s->totals.spans;
}

bool series_estimated(const struct series *s) {
  return s->totals.estimated || (s->buckets_count && s->kind != SERIES_SUMS);
}

double series_sum(const struct series *s) {
  const struct totals *t = &s->totals;
  if (t->plus_infinite && t->minus_infinite) return NAN;
  if (t->plus_infinite || t->minus_infinite) return t->plus_infinite ? INFINITY : -INFINITY;
  return (double)t->whole + (t->fraction + t->lost);
}

double series_least(const struct series *s) {
  double least = s->keys.count ? multiset_to_number(s->keys.keys[0]) : INFINITY;
  for (uint32_t i = 0; i < s->buckets_count; i++)
    if (s->buckets[i].inside) least = fmin(least, s->buckets[i].least);
  return least;
}

double series_greatest(const struct series *s) {
  double greatest = s->keys.count ? multiset_to_number(s->keys.keys[s->keys.count - 1]) : -INFINITY;
  for (uint32_t i = 0; i < s->buckets_count; i++)
    if (s->buckets[i].inside) greatest = fmax(greatest, s->buckets[i].greatest);
  return greatest;
}

/* How many exact numbers are below x. */
static uint32_t exact_below(const struct series *s, double x) {
  uint32_t lo = 0, hi = s->keys.count;
  while (lo < hi) {
    uint32_t middle = lo + (hi - lo) / 2;
    if (multiset_to_number(s->keys.keys[middle]) < x)
      lo = middle + 1;
    else
      hi = middle;
  }
  return lo;
}

/* The numbers of the buckets, by their sketch, and the exact ones are both in order. A bin can hold the rank only where
 * those below it and all exact ones come up to it: what a bin stands for is worked out for few. */
double series_at_rank(const struct series *s, uint64_t rank) {
  const struct sketch *sketch = &s->sketch;
  uint64_t below = 0;
  assert(rank >= 1 && rank <= sketch->count + s->keys.count);
  for (uint32_t i = 0; i < sketch->bins_count; below += sketch->bins[i++].count) {
    if (below + sketch->bins[i].count + s->keys.count < rank) continue;
    double x = sketch_bin_value(&sketch->bins[i]);
    uint64_t before = below + exact_below(s, x);
    if (before >= rank) return multiset_to_number(s->keys.keys[rank - below - 1]);
    if (before + sketch->bins[i].count >= rank) return x;
  }
  return multiset_to_number(s->keys.keys[rank - below - 1]);
}

double series_distinct(const struct series *s) {
  return s->buckets_count ? distinct_count(s->distinct) : s->keys.different;
}

uint64_t series_oldest_ns(const struct series *s) {
  uint64_t oldest = s->count ? at(s, 0)->time_ns : UINT64_MAX;
  if (s->buckets_count && s->buckets[0].newest_ns < oldest) oldest = s->buckets[0].newest_ns;
  return oldest;
}

size_t series_bytes(const struct series *s) {
  size_t bytes = sizeof *s + s->capacity * sizeof *s->ring +
                 s->keys.capacity * sizeof *s->keys.keys +
                 s->buckets_capacity * sizeof *s->buckets + sketch_bytes(&s->sketch);
  if (s->distinct) bytes += sizeof *s->distinct;
  for (uint32_t i = 0; i < s->buckets_count; i++) {
    bytes += sketch_bytes(&s->buckets[i].sketch);
    if (s->buckets[i].distinct) bytes += sizeof *s->buckets[i].distinct;
  }
  return bytes;
}
