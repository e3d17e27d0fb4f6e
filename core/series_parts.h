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
  bool inside;
};

struct series {
  enum series_kind kind;
  uint64_t ns, t_ns;
  struct totals totals;                   /* of all that is inside */
  struct series_event *ring;              /* by time, then arrival */
  uint32_t head, count, inside, capacity; /* capacity: a power of two, or 0 */
  struct multiset keys;          /* SERIES_ORDER, SERIES_DISTINCT: of the exact events inside */
  struct series_bucket *buckets; /* by slot */
  uint32_t buckets_count, buckets_capacity;
  struct sketch sketch;      /* SERIES_ORDER: of all buckets inside */
  struct distinct *distinct; /* SERIES_DISTINCT: of all that is inside; NULL: no bucket yet */
  bool stale;                /* these two have to be made anew */
};

#endif
