/* The protobuf wire format, read in place: nothing is copied, nothing allocated.
 * Source: the Protocol Buffers encoding guide. Readers never look past `end`. */
#ifndef FLUO_WIRE_H
#define FLUO_WIRE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fluo.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LEN = 2, WIRE_FIXED32 = 5 };

struct wire_field {
  uint32_t number;
  uint32_t type;            /* enum wire_type */
  uint64_t scalar;          /* of VARINT, FIXED64, FIXED32 */
  const uint8_t *text;      /* of LEN */
  size_t len;
};

/* Reads the field at p. Returns the byte after it, or NULL: the bytes are no field (groups and
 * field number 0 included) or are cut short. */
const uint8_t *wire_next(const uint8_t *p, const uint8_t *end, struct wire_field *field);
/* Whether n bytes are valid UTF-8 (RFC 3629). */
bool wire_utf8(const uint8_t *p, size_t n);

#endif
