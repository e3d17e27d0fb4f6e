/* The value of a field of a span, and comparing values (rules/README.md, Patterns), in one place. */
#ifndef FLUO_FIELD_H
#define FLUO_FIELD_H
#include <stdbool.h>
#include <stddef.h>

#include "fluo.h"

/* A span as code in the core sees it. */
struct span_view {
  const uint8_t *arena;               /* base */
  const struct fluo_span *span;
  const uint8_t *payload;             /* a Span on the wire that holds it, to be read in place of its own; NULL: none */
  uint32_t payload_bytes;
  const uint8_t *trace_id;            /* 16 bytes */
  const struct fluo_span *parent;     /* NULL: not there, or not looked for */
  bool renamed;                       /* look absent keys up under their renamed convention */
};

/* Where attributes, events and links are: a Span on the wire, whose other fields mean nothing here. Empty where they
 * were given back, for the place may be another trace's by now. */
struct span_payload { const uint8_t *p; uint32_t n; };
static inline struct span_payload span_payload(const struct span_view *view) {
  const struct fluo_span *span = view->span;
  if (view->payload) return (struct span_payload){view->payload, view->payload_bytes};
  if (span->flags & FLUO_SPAN_SHED) return (struct span_payload){view->arena, 0};
  return (struct span_payload){view->arena + span->payload.off, span->payload.len};
}

/* The value of `field` (enum fluo_field; ATTRIBUTE and RESOURCE by key) of the span. false: missing.
 * Durations and times come as FLUO_TYPE_INT of ns; text is lent from the arena or from scratch
 * (ids as hex need 32 bytes). */
bool field_get(const struct span_view *view, uint32_t field, const char *key, uint32_t key_len,
               char scratch[32], struct fluo_value *out);
/* Duration in ns: end - start, 0 where the span is skewed. */
uint64_t span_duration_ns(const struct fluo_span *span);

/* Text that is a decimal number, of 64 KiB at most, as INT where it is whole and fits, else DOUBLE. */
bool value_number(const uint8_t *p, size_t n, struct fluo_value *out);

#endif
