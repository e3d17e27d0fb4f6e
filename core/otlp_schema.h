/* What OTLP's messages look like, as one table: the scanner walks protobuf by it, the transcoder
 * JSON. */
#ifndef FLUO_OTLP_SCHEMA_H
#define FLUO_OTLP_SCHEMA_H
#include <stdbool.h>
#include <stdint.h>

enum otlp_message {
  OTLP_REQUEST,
  OTLP_RESOURCE_SPANS,
  OTLP_SCOPE_SPANS,
  OTLP_SPAN,
  OTLP_EVENT,
  OTLP_LINK,
  OTLP_STATUS,
  OTLP_RESOURCE,
  OTLP_ENTITY_REF,
  OTLP_SCOPE,
  OTLP_KEY_VALUE,
  OTLP_ANY_VALUE,
  OTLP_ARRAY,
  OTLP_MAP,
  OTLP_MESSAGES
};

/* What a field holds. OTLP_UNKNOWN: there is no such field. */
enum otlp_kind {
  OTLP_UNKNOWN, OTLP_STRING, OTLP_ID, OTLP_BYTES, OTLP_BOOL, OTLP_UINT32, OTLP_SPAN_KIND,
  OTLP_STATUS_CODE, OTLP_INT64, OTLP_DOUBLE, OTLP_FIXED64, OTLP_FIXED32, OTLP_MESSAGE,
  OTLP_INDEX                /* an index into a string table: has no meaning in traces, is counted */
};

struct otlp_field {
  uint8_t kind;             /* enum otlp_kind */
  uint8_t wire;             /* enum wire_type that goes with it */
  uint8_t child;            /* enum otlp_message, of OTLP_MESSAGE */
  uint8_t repeated;
  uint8_t name_bytes;
  const char *name;         /* as JSON spells it */
};

enum { OTLP_FIELDS = 17 };  /* numbers go from 1 to 16 */

struct otlp_shape {
  const char *name;
  struct otlp_field fields[OTLP_FIELDS];   /* by number */
};

/* Fields 3 and 9 to 16 of a Span stay as they were on the wire; the others are in its skeleton. */
enum { OTLP_KEPT_FIELDS = 1 << 3 | 0xff << 9 };
static inline bool otlp_kept(uint32_t number) {
  return number < OTLP_FIELDS && (OTLP_KEPT_FIELDS >> number & 1);
}

extern const struct otlp_shape otlp_shapes[OTLP_MESSAGES];

#endif
