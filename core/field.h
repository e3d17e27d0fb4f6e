/* The value of a field of a span, and comparing values: RULES.md section 2, in one place. */
#ifndef FLUO_FIELD_H
#define FLUO_FIELD_H
#include <stdbool.h>
#include <stddef.h>

#include "fluo.h"

/* A span as code in the core sees it. */
struct span_view {
  const uint8_t *arena;               /* base */
  const struct fluo_span *span;
  const uint8_t *payload;             /* a copy of it elsewhere that is quicker to read; NULL: none */
  const uint8_t *trace_id;            /* 16 bytes */
  bool renamed;                       /* look absent keys up under their renamed convention */
};

/* The value of `field` (enum fluo_field; ATTRIBUTE and RESOURCE by key) of the span. false: missing.
 * Durations and times come as FLUO_TYPE_INT of ns; text is lent from the arena or from scratch
 * (ids as hex need 32 bytes). */
bool field_get(const struct span_view *view, uint32_t field, const char *key, uint32_t key_len,
               char scratch[32], struct fluo_value *out);
/* Duration in ns: end - start, 0 where the span is skewed. */
uint64_t span_duration_ns(const struct fluo_span *span);

/* -1, 0, 1: exact, also int against double beyond 2^53; 2: no order (different types, not numeric). */
int value_compare(const struct fluo_value *a, const struct fluo_value *b);
bool value_equal(const struct fluo_value *a, const struct fluo_value *b);
/* Text that is a decimal number (RULES.md section 2) as INT where it is whole and fits, else DOUBLE. */
bool value_number(const uint8_t *p, size_t n, struct fluo_value *out);

#endif
