/* A quota: the whole state is when the bucket will be full. What is spent moves that away, time brings it back. A clock
 * that jumps back leaves the bucket emptier for a while, never fuller. */
#include "quota.h"

bool quota_left(const struct quota *q, struct quota_terms terms, uint64_t now_ns) {
  return q->full_ns <= now_ns || q->full_ns - now_ns <= (terms.burst - 1) * terms.each_ns;
}

void quota_spend(struct quota *q, struct quota_terms terms, uint64_t now_ns) {
  q->full_ns = (q->full_ns > now_ns ? q->full_ns : now_ns) + terms.each_ns;
}

bool quota_take(struct quota *q, struct quota_terms terms, uint64_t now_ns) {
  bool left = quota_left(q, terms, now_ns);
  if (left) quota_spend(q, terms, now_ns);
  return left;
}

uint64_t quota_next_ns(const struct quota *q, struct quota_terms terms) {
  return q->full_ns - (terms.burst - 1) * terms.each_ns;
}
