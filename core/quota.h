/* A token bucket, as one number: the time at which it will be full again. Zero is a full one. */
#ifndef FLUO_QUOTA_H
#define FLUO_QUOTA_H
#include <stdbool.h>
#include <stdint.h>

struct quota {
  uint64_t full_ns;
};

/* So many at once, and one more each so many nanoseconds. */
struct quota_terms {
  uint32_t burst;
  uint64_t each_ns;
};

/* Whether there is one. */
bool quota_left(const struct quota *q, struct quota_terms terms, uint64_t now_ns);
/* One that there is. */
void quota_spend(struct quota *q, struct quota_terms terms, uint64_t now_ns);
/* Spends one where there is one. */
bool quota_take(struct quota *q, struct quota_terms terms, uint64_t now_ns);
/* When there is one again, where there is none. */
uint64_t quota_next_ns(const struct quota *q, struct quota_terms terms);

#endif
