/* Which failure of a trace is the cause. Of several failing spans (status ERROR) the deepest one that has no failure below
 * it; of equally deep ones the earliest by (start, span id). Its ancestors are what it had an impact on. Pure over the
 * trace's skeletons: what it says hangs on the set of spans alone, not on the order in which they came. */
#ifndef FLUO_CAUSE_H
#define FLUO_CAUSE_H
#include <stdint.h>

#include "fluo.h"
#include "hash.h"

/* Ancestors that are named, from the cause's parent on; impact_total has their number. */
enum { CAUSE_IMPACT_MAX = FLUO_WITNESSES_MAX };

/* The spans [0, count) of one trace, each id once. */
struct cause_trace {
  const struct fluo_span *(*span)(const void *ctx, uint32_t index);
  const void *ctx;
  uint32_t count;
  struct hash_key key;              /* of the table of ids, which senders choose */
};

struct cause {
  uint32_t span;                    /* its index */
  uint32_t impact[CAUSE_IMPACT_MAX], impact_count, impact_total;
  uint32_t total;                   /* failures with no failure below them: independent of each other */
};

/* 1; 0: no span failed; FLUO_ENOMEM. Time and memory (28 bytes a span at most, for the call) grow with the number of
 * spans. */
int cause_find(const struct cause_trace *t, struct cause *out);

#endif
