/* What series.c and series_pack.c share. Nobody else includes it. */
#ifndef FLUO_SERIES_PARTS_H
#define FLUO_SERIES_PARTS_H
#include "distinct.h"
#include "multiset.h"
#include "series.h"
#include "sketch.h"

struct totals {
  __int128 whole;
  double fraction, lost; /* Neumaier's sum, and what it lost so far */
  uint64_t samples, numerator, spans, estimated, plus_infinite, minus_infinite;
};

struct series_bucket {
  uint64_t slot, oldest_ns, newest_ns;
  struct totals totals;
  double least, greatest;
  struct sketch sketch;
  struct distinct *distinct; /* owned; NULL where the kind has none */
};

/* What a series has once whole numbers and a few counts do not say it all. */
struct series_more {
  struct totals totals;          /* of all that is inside */
  struct multiset keys;          /* SERIES_ORDER, SERIES_DISTINCT: of the exact events inside, in order */
  struct series_bucket *buckets; /* by slot; the first buckets_inside are in the window */
  uint32_t buckets_count, buckets_capacity, buckets_inside;
  bool stale;                /* the next two have to be made anew */
  struct sketch sketch;      /* SERIES_ORDER, SERIES_LIMIT: of all buckets inside */
  struct distinct *distinct; /* SERIES_DISTINCT: of all that is inside; NULL: no bucket yet */
  size_t buckets_bytes;      /* what buckets hold on the heap */
};

/* What is inside counts there from now on. 0 or FLUO_ENOMEM. */
int series_need_more(struct series *s);
size_t series_bucket_bytes(const struct series_bucket *b);
/* Whether the kind has sketches of its buckets' numbers. */
static inline bool series_has_sketch(const struct series *s) {
  return s->kind == SERIES_ORDER || s->kind == SERIES_LIMIT;
}
/* The event as one that is above the limit, or not. Of SERIES_LIMIT this is what the flag SERIES_NUMERATOR says. */
static inline void series_mark(const struct series *s, struct series_event *e, double value) {
  e->flags &= ~(uint32_t)SERIES_NUMERATOR;
  if (value > s->limit) e->flags |= SERIES_NUMERATOR;
}

#endif
