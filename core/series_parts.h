/* What series.c, series_bucket.c, series_order.c and series_pack.c share. Nobody else includes it. */
#ifndef FLUO_SERIES_PARTS_H
#define FLUO_SERIES_PARTS_H
#include "distinct.h"
#include "multiset.h"
#include "series.h"
#include "sketch.h"
#include "totals.h"

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
  struct multiset keys;          /* SERIES_ORDER, SERIES_DISTINCT: of the exact events inside, in order; and, once a bucket,
                                  * the hashes of each bucket inside that has them */
  struct series_bucket *buckets; /* by slot; the first buckets_inside are in the window */
  uint32_t buckets_count, buckets_capacity, buckets_inside;
  uint32_t estimates;        /* how many of the buckets inside have no hashes any more, but an estimate */
  bool stale;                /* the next two are to be made anew before anybody looks at them */
  struct sketch sketch;      /* SERIES_ORDER, SERIES_LIMIT: of all buckets inside */
  struct distinct *distinct; /* SERIES_DISTINCT: an estimate of all that is inside; NULL: no bucket yet */
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
static inline void series_mark(struct series_event *e, bool above) {
  e->flags = (e->flags & ~(uint32_t)SERIES_NUMERATOR) | (above ? SERIES_NUMERATOR : 0);
}

/* series_bucket.c. Whether an event of that time goes into a bucket: there is one for it, or no room for single ones. */
bool series_has_bucket(const struct series *s, uint64_t time_ns);
/* 0, FLUO_ENOMEM or FLUO_EFULL, and then nothing has changed. */
int series_bucket_add(struct series *s, const struct series_event *event);
/* series_push where there are buckets, and no exact event. */
bool series_bucket_push(struct series *s, const struct series_event *event);
/* Those that t has come to become part of the window; those that end by then are gone. */
void series_buckets_enter(struct series *s);
void series_buckets_leave(struct series *s, uint64_t until_ns);
void series_buckets_deinit(struct series_more *m);

#endif
