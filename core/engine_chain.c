/* A cascade's chain, as a violation has it: its links in order of failure, and their spans as witnesses in order of start.
 * Nothing here fails. */
#include <stdlib.h>
#include <string.h>

#include "engine_across.h"

static int by_start(const void *left, const void *right) {
  const struct cascade_link *const *a = left, *const *b = right;
  const struct sequence_hit *x = (*a)->hit, *y = (*b)->hit;
  if (x->start_ns != y->start_ns) return x->start_ns < y->start_ns ? -1 : 1;
  int by_span = memcmp(x->span_id, y->span_id, 8);
  return by_span ? by_span : memcmp(x->trace_id, y->trace_id, 16);
}

void across_chain(const struct engine *e, const struct cascade_match *m, struct violation_link *chain,
                  struct violation_span *spans) {
  const struct cascade_link *sorted[CASCADE_CHAIN_MAX];
  for (uint32_t i = 0; i < m->chain_count; i++) {
    const struct cascade_link *link = sorted[i] = &m->chain[i];
    const struct sequence_hit *w = link->hit;
    const struct fluo_text *service = w->has_service ? &w->service : NULL;
    chain[i] = (struct violation_link){.span = across_witness(e, w->trace_id, w->span_id, w->name, service),
                                       .time_ns = link->time_ns,
                                       .value = link->value,
                                       .value_bytes = link->value_bytes};
  }
  qsort(sorted, m->chain_count, sizeof sorted[0], by_start);
  for (uint32_t i = 0; i < m->chain_count; i++) spans[i] = chain[sorted[i] - m->chain].span;
}
