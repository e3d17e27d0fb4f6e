/* A series as bytes, and back. Events and buckets are written; what follows from them (which are inside, whole totals, the
 * numbers in order, the sketch of all) is made again by moving to where the window stood. So nothing that is read can
 * contradict itself. Of sums the fraction is written, for it depends on what came and went before.
 *
 * Ways it fails: bytes that are no series, or no memory: what was made of it hangs in the series, whose owner frees it. */
#include <math.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "series_parts.h"

/* Sums over all buckets stay far from their types' ends. */
#define COUNT_MAX (UINT64_C(1) << 40)
#define WHOLE_MAX ((__int128)1 << 100)

/* ---- totals -------------------------------------------------------------------------------- */

static void write_totals(const struct totals *t, struct pack *p) {
  const uint64_t counts[] = {t->samples, t->numerator, t->spans, t->estimated, t->plus_infinite, t->minus_infinite};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) pack_uint(p, counts[i]);
  unsigned __int128 size = t->whole < 0 ? -(unsigned __int128)t->whole : (unsigned __int128)t->whole;
  pack_uint(p, t->whole < 0);
  pack_uint(p, (uint64_t)(size >> 64));
  pack_uint(p, (uint64_t)size);
  pack_number(p, t->fraction);
  pack_number(p, t->lost);
}

static void read_totals(struct totals *t, struct unpack *u) {
  uint64_t *const counts[] = {&t->samples, &t->numerator, &t->spans, &t->estimated, &t->plus_infinite, &t->minus_infinite};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) *counts[i] = unpack_upto(u, COUNT_MAX);
  bool below = unpack_upto(u, 1);
  __int128 size = (__int128)unpack_upto(u, (uint64_t)(WHOLE_MAX >> 64)) << 64;
  size += unpack_uint(u);
  t->whole = below ? -size : size;
  t->fraction = unpack_number(u);
  t->lost = unpack_number(u);
}

/* ---- events -------------------------------------------------------------------------------- */

/* Times as what lies between them; weight and flags in one number, which is small where the weight is 1. */
static void write_events(const struct series *s, struct pack *p) {
  uint64_t before_ns = 0;
  pack_uint(p, s->events.count);
  for (uint32_t i = 0; i < s->events.count; i++) {
    struct series_event e = events_get(&s->events, i);
    pack_uint(p, e.time_ns - before_ns);
    pack_uint(p, (uint64_t)(e.weight - 1) << 3 | e.flags);
    pack_number(p, e.value);
    if (s->kind == SERIES_DISTINCT) pack_bytes(p, &e.hash, sizeof e.hash);
    before_ns = e.time_ns;
  }
}

static void read_event(const struct series *s, struct series_event *e, uint64_t before_ns, struct unpack *u) {
  e->time_ns = before_ns + unpack_upto(u, UINT64_MAX - before_ns);
  uint64_t marks = unpack_upto(u, s->kind == SERIES_SUMS ? (uint64_t)(UINT32_MAX - 1) << 3 | 7 : 7);
  e->weight = (uint32_t)(marks >> 3) + 1;
  e->flags = marks & 7;
  e->value = unpack_number(u);
  u->bad = u->bad || isnan(e->value);
  if (s->kind == SERIES_DISTINCT) unpack_copy(u, &e->hash, sizeof e->hash);
}

static int read_events(struct series *s, struct unpack *u) {
  struct series_event e = {.weight = 1};
  int err = 0;
  for (uint32_t left = unpack_count(u, EVENTS_MAX); !err && left; left--) {
    read_event(s, &e, e.time_ns, u);
    err = u->bad ? FLUO_EMALFORMED : events_insert(&s->events, s->events.count, &e);
  }
  return err ? err : u->bad ? FLUO_EMALFORMED : 0;
}

/* ---- buckets ------------------------------------------------------------------------------- */

static void write_bucket(const struct series *s, const struct series_bucket *b, struct pack *p) {
  pack_uint(p, b->slot);
  pack_uint(p, b->oldest_ns);
  pack_uint(p, b->newest_ns);
  write_totals(&b->totals, p);
  pack_number(p, b->least);
  pack_number(p, b->greatest);
  if (series_has_sketch(s)) sketch_write(&b->sketch, p);
  if (b->distinct) distinct_write(b->distinct, p);
}

static int read_bucket(const struct series *s, struct series_bucket *b, struct unpack *u) {
  int err = 0;
  b->slot = unpack_uint(u);
  b->oldest_ns = unpack_uint(u);
  b->newest_ns = unpack_uint(u);
  read_totals(&b->totals, u);
  b->least = unpack_number(u);
  b->greatest = unpack_number(u);
  if (series_has_sketch(s)) err = sketch_read(&b->sketch, u);
  if (s->kind == SERIES_DISTINCT) {
    b->distinct = heap_zalloc(sizeof *b->distinct);
    err = b->distinct ? distinct_read(b->distinct, u) : FLUO_ENOMEM;
  }
  if (err || u->bad) return err ? err : FLUO_EMALFORMED;
  bool whole = b->totals.samples && b->oldest_ns <= b->newest_ns &&
               (!series_has_sketch(s) || b->sketch.count == b->totals.samples);
  return whole ? 0 : FLUO_EMALFORMED;
}

/* The count grows as they are read, so that what there is of them is freed. */
static int read_buckets(struct series *s, struct unpack *u) {
  uint32_t count = unpack_count(u, SERIES_BUCKETS_MAX);
  if (!count) return 0;
  int err = series_need_more(s);
  if (err) return err;
  struct series_more *m = s->more;
  if (!(m->buckets = heap_zalloc(count * sizeof *m->buckets))) return FLUO_ENOMEM;
  m->buckets_capacity = count;
  if (s->kind == SERIES_DISTINCT && !(m->distinct = heap_zalloc(sizeof *m->distinct))) return FLUO_ENOMEM;
  if (m->distinct) distinct_estimate(m->distinct);
  for (uint32_t i = 0; !err && i < count; i++) {
    err = read_bucket(s, &m->buckets[m->buckets_count++], u);
    m->buckets_bytes += series_bucket_bytes(&m->buckets[i]);
    if (!err && i && m->buckets[i].slot <= m->buckets[i - 1].slot) err = FLUO_EMALFORMED;
  }
  m->stale = true;
  return err;
}

/* ---- all of it ----------------------------------------------------------------------------- */

void series_write(const struct series *s, struct pack *p) {
  const struct series_more *m = s->more;
  pack_uint(p, s->t_ns);
  pack_number(p, m ? m->totals.fraction : 0);
  pack_number(p, m ? m->totals.lost : 0);
  write_events(s, p);
  pack_uint(p, m ? m->buckets_count : 0);
  for (uint32_t i = 0; m && i < m->buckets_count; i++) write_bucket(s, &m->buckets[i], p);
}

int series_read(struct series *s, struct unpack *u) {
  uint64_t t_ns = unpack_uint(u);
  double fraction = unpack_number(u), lost = unpack_number(u);
  int err = read_events(s, u);
  if (!err) err = read_buckets(s, u);
  if (!err && s->kind == SERIES_LIMIT) series_limit(s, s->limit, s->rounded); /* it may have been another */
  if (!err) err = u->bad ? FLUO_EMALFORMED : series_move(s, t_ns);
  if (!err && (fraction != 0 || lost != 0)) err = series_need_more(s);
  if (err || !s->more) return err;
  s->more->totals.fraction = fraction;
  s->more->totals.lost = lost;
  return 0;
}
