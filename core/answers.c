/* A search by halves. Nothing fails. */
#include "answers.h"

static bool is_before(const struct fluo_answer *a, uint32_t function, uint32_t object) {
  return a->function != function ? a->function < function : a->object < object;
}

enum fluo_truth answers_find(const struct answers *a, uint32_t function, uint32_t object) {
  uint32_t low = 0, high = a->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (is_before(&a->items[middle], function, object))
      low = middle + 1;
    else
      high = middle;
  }
  if (low == a->count) return FLUO_UNKNOWN;
  const struct fluo_answer *found = &a->items[low];
  bool same = found->function == function && found->object == object;
  return same && found->truth < FLUO_UNKNOWN ? found->truth : FLUO_UNKNOWN;
}
