/* The buckets of a series. A window that holds more events than are kept one by one has them in buckets on a grid of
 * D / 60, each of which counts as inside as soon as its oldest event is, and until its newest leaves. What comes for a
 * time that a bucket stands for goes into that bucket, and so does all that comes while the window is so full: a busy
 * group keeps no event by itself, and costs the same however busy it is.
 *
 * The sketch of all that is inside is added to and taken from as buckets come and go, or made anew when somebody asks
 * (series_settle). Of SERIES_LIMIT it is always made anew: how many lie above the limit is a count, and nobody asks for
 * more but at a crossing.
 *
 * Of SERIES_DISTINCT a bucket has the hashes of what is in it, as long as they are few, and those of all buckets inside are
 * among the series' keys: how many are different is exact. A bucket of too many is an estimate, and as long as one is
 * inside, so is the count.
 *
 * Ways to fail: no memory, or buckets past their bound (a window far shorter than the time by which t lags): the event is
 * refused before anything is changed. */
#include <assert.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "series_parts.h"

static uint64_t width_of(const struct series *s) {
  uint64_t width = s->ns / SERIES_SLOTS;
  return width ? width : 1;
}

static uint64_t slot_of(const struct series *s, uint64_t time_ns) {
  return time_ns / width_of(s);
}

/* Where the slot's bucket is or belongs. */
static uint32_t place_of(const struct series_more *m, uint64_t slot) {
  uint32_t i = m->buckets_count;
  while (i && m->buckets[i - 1].slot >= slot) i--;
  return i;
}

static bool is_full(const struct series_more *m) {
  return m->buckets_count && m->totals.samples >= EVENTS_MAX;
}

bool series_has_bucket(const struct series *s, uint64_t time_ns) {
  const struct series_more *m = s->more;
  if (!m || !m->buckets_count) return false;
  if (is_full(m)) return true;
  uint64_t slot = slot_of(s, time_ns);
  uint32_t i = place_of(m, slot);
  return i < m->buckets_count && m->buckets[i].slot == slot;
}

/* ---- what all inside come to --------------------------------------------------------------- */

/* Whether the sketch of all is kept up with what comes and goes. */
static bool keeps_sketch(const struct series *s) {
  return s->kind == SERIES_ORDER && !s->more->stale;
}

static void hashes_enter(struct series_more *m, struct distinct *d) {
  if (!d->estimated && multiset_reserve(&m->keys, d->count)) distinct_estimate(d);
  m->estimates += d->estimated;
  for (uint32_t i = 0; !d->estimated && i < d->count; i++) multiset_add(&m->keys, d->hashes[i]);
  distinct_merge(m->distinct, d);
}

static void hashes_leave(struct series_more *m, const struct distinct *d) {
  m->estimates -= d->estimated;
  for (uint32_t i = 0; !d->estimated && i < d->count; i++) multiset_remove(&m->keys, d->hashes[i]);
}

static void entered(struct series *s, struct series_bucket *b) {
  struct series_more *m = s->more;
  totals_add(&m->totals, &b->totals, 1);
  if (s->kind == SERIES_LIMIT || (keeps_sketch(s) && sketch_merge(&m->sketch, &b->sketch))) m->stale = true;
  if (b->distinct) hashes_enter(m, b->distinct);
}

static void left(struct series *s, const struct series_bucket *b) {
  struct series_more *m = s->more;
  totals_add(&m->totals, &b->totals, -1);
  if (b->distinct) hashes_leave(m, b->distinct);
  if (!keeps_sketch(s) || !sketch_subtract(&m->sketch, &b->sketch)) m->stale = true;
}

int series_settle(struct series *s) {
  struct series_more *m = s->more;
  int err = 0;
  if (!m || !m->stale || s->kind == SERIES_SUMS || (m->distinct && !m->estimates)) return 0;
  sketch_clear(&m->sketch);
  if (m->distinct) *m->distinct = (struct distinct){.estimated = true};
  for (uint32_t i = 0; !err && i < m->buckets_inside; i++) {
    err = sketch_merge(&m->sketch, &m->buckets[i].sketch);
    if (m->buckets[i].distinct) distinct_merge(m->distinct, m->buckets[i].distinct);
  }
  if (m->distinct)
    for (uint32_t i = 0; i < m->keys.count; i++) distinct_add(m->distinct, m->keys.keys[i]);
  m->stale = err != 0;
  return err;
}

/* ---- a bucket ------------------------------------------------------------------------------ */

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
    if (!m->distinct) {
      if (!(m->distinct = heap_zalloc(sizeof *m->distinct))) return FLUO_ENOMEM;
      distinct_estimate(m->distinct);
      m->stale = true;
    }
    if (!(distinct = heap_zalloc(sizeof *distinct))) return FLUO_ENOMEM;
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

static void bucket_deinit(struct series_more *m, struct series_bucket *b) {
  m->buckets_bytes -= series_bucket_bytes(b);
  sketch_deinit(&b->sketch);
  heap_free(b->distinct);
}

static void bucket_remove(struct series_more *m, uint32_t i) {
  bucket_deinit(m, &m->buckets[i]);
  m->buckets_count--;
  if (i < m->buckets_inside) m->buckets_inside--;
  memmove(m->buckets + i, m->buckets + i + 1, (m->buckets_count - i) * sizeof *m->buckets);
}

/* The hash into the bucket's, and into what all inside come to. One that is new in a bucket that has no room for it makes
 * that an estimate. */
static int bucket_hash(struct series_more *m, struct distinct *d, uint64_t hash, bool inside) {
  bool lacks = distinct_lacks(d, hash), turns = lacks && d->count == DISTINCT_EXACT_MAX;
  if (inside && lacks && !turns && multiset_add(&m->keys, hash)) return FLUO_ENOMEM;
  if (inside && turns) {
    hashes_leave(m, d);
    m->estimates++;
  }
  distinct_add(d, hash);
  if (inside) distinct_add(m->distinct, hash);
  return 0;
}

/* The number into the bucket's sketch, and into that of all inside, or into neither; its mark is by what the sketch has
 * it as, so that how many are marked says the same as at_rank. */
static int bucket_sketch(struct series *s, struct series_bucket *b, struct series_event *e, bool inside) {
  int32_t key = sketch_key(e->value);
  if (s->kind == SERIES_LIMIT) series_mark(e, s->rounded ? key > s->limit_key : e->value > s->limit);
  size_t before = sketch_bytes(&b->sketch);
  int err = sketch_reserve(&b->sketch, 1);
  if (!err && inside && keeps_sketch(s)) err = sketch_add(&s->more->sketch, key, e->weight);
  if (!err) err = sketch_add(&b->sketch, key, e->weight);
  s->more->buckets_bytes += sketch_bytes(&b->sketch) - before;
  s->more->stale |= inside && s->kind == SERIES_LIMIT;
  return err;
}

static inline void bucket_count(struct series_bucket *b, const struct series_event *e) {
  totals_count(&b->totals, e, 1);
  if (e->time_ns < b->oldest_ns) b->oldest_ns = e->time_ns;
  if (e->time_ns > b->newest_ns) b->newest_ns = e->time_ns;
  if (e->value < b->least) b->least = e->value;
  if (e->value > b->greatest) b->greatest = e->value;
}

/* ---- for series.c -------------------------------------------------------------------------- */

int series_bucket_add(struct series *s, const struct series_event *event) {
  struct series_event e = *event;
  int err = series_need_more(s);
  if (err) return err;
  struct series_more *m = s->more;
  uint64_t slot = slot_of(s, e.time_ns);
  uint32_t i = place_of(m, slot);
  bool fresh = i == m->buckets_count || m->buckets[i].slot != slot;
  if (fresh) err = bucket_new(s, i, slot);
  if (err) return err;
  bool inside = i < m->buckets_inside;
  if (series_has_sketch(s)) err = bucket_sketch(s, &m->buckets[i], &e, inside);
  if (m->distinct) err = bucket_hash(m, m->buckets[i].distinct, e.hash, inside);
  if (err && fresh) bucket_remove(m, i);
  if (err) return err;
  bucket_count(&m->buckets[i], &e);
  if (inside) totals_count(&m->totals, &e, 1);
  series_buckets_enter(s);
  return 0;
}

static bool has_room(const struct sketch *s) {
  return s->bins_count < s->bins_capacity;
}

/* There is a bucket for it, all buckets are inside, none of them leaves, and nothing grows. Most come for the newest. */
bool series_bucket_push(struct series *s, const struct series_event *event) {
  struct series_more *m = s->more;
  uint64_t width = width_of(s), t_ns = event->time_ns;
  uint32_t i = m->buckets_count - 1;
  if (!is_full(m) || m->buckets_inside != m->buckets_count || s->kind == SERIES_DISTINCT) return false;
  while (i && t_ns < m->buckets[i].slot * width) i--;
  struct series_bucket *b = &m->buckets[i];
  if (t_ns < b->slot * width || t_ns - b->slot * width >= width) return false;
  if (t_ns > s->t_ns && t_ns >= s->ns && m->buckets[0].newest_ns <= t_ns - s->ns) return false;
  if (series_has_sketch(s) && (!has_room(&b->sketch) || (keeps_sketch(s) && !has_room(&m->sketch)))) return false;
  struct series_event e = *event;
  if (series_has_sketch(s) && bucket_sketch(s, b, &e, true)) return false;
  bucket_count(b, &e);
  totals_count(&m->totals, &e, 1);
  if (t_ns > s->t_ns) s->t_ns = t_ns;
  return true;
}

/* Buckets of later slots have later events: those inside are the first. */
void series_buckets_enter(struct series *s) {
  struct series_more *m = s->more;
  while (m->buckets_inside < m->buckets_count && m->buckets[m->buckets_inside].oldest_ns <= s->t_ns)
    entered(s, &m->buckets[m->buckets_inside++]);
}

void series_buckets_leave(struct series *s, uint64_t until_ns) {
  struct series_more *m = s->more;
  uint32_t gone = 0;
  for (; gone < m->buckets_count && m->buckets[gone].newest_ns <= until_ns; gone++) {
    if (m->buckets_inside) {
      left(s, &m->buckets[gone]);
      m->buckets_inside--;
    }
    bucket_deinit(m, &m->buckets[gone]);
  }
  m->buckets_count -= gone;
  if (gone) memmove(m->buckets, m->buckets + gone, m->buckets_count * sizeof *m->buckets);
}

void series_buckets_deinit(struct series_more *m) {
  for (uint32_t i = 0; i < m->buckets_count; i++) bucket_deinit(m, &m->buckets[i]);
  heap_free(m->buckets);
  heap_free(m->distinct);
  sketch_deinit(&m->sketch);
}
