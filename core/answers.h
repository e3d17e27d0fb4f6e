/* What a rule's functions have answered about one span. */
#ifndef FLUO_ANSWERS_H
#define FLUO_ANSWERS_H
#include "ruleset.h"

/* Lent; by function and object, ascending. */
struct answers {
  const struct fluo_answer *items;
  uint32_t count;
};

/* Unknown where there is none, or where it is nonsense. */
enum fluo_truth answers_find(const struct answers *a, uint32_t function, uint32_t object);

#endif
