/* The readers behind wire.h, to be compiled into the loops that need them: a span of ten
 * attributes is fifty fields, and a call for each would be half of the cost. All take p < end or
 * p == end, look at no byte from `end` on, and return the byte after what they read, or NULL.
 * Not part of any contract. */
#ifndef FLUO_WIRE_INLINE_H
#define FLUO_WIRE_INLINE_H
#include <endian.h>
#include <string.h>

#include "wire.h"

/* As the reference implementation does: tags and lengths are 32-bit varints, of at most 5 bytes. */
enum { WIRE_VARINT_BYTES = 10, WIRE_SIZE_BYTES = 5, WIRE_NUMBER_MAX = (1 << 29) - 1 };

/* The end of n bytes at p, which may be NULL where n is 0. */
static inline const uint8_t *wire_end(const uint8_t *p, size_t n) {
  return n ? p + n : p;
}

static inline const uint8_t *wire_varint_slow(const uint8_t *p, const uint8_t *end, int bytes,
                                              uint64_t *out) {
  uint64_t value = 0;
  for (int i = 0; i < bytes && p < end; i++) {
    uint8_t byte = *p++;
    value |= (uint64_t)(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *out = value;
      return p;
    }
  }
  return NULL;
}

static inline const uint8_t *wire_read_varint(const uint8_t *p, const uint8_t *end, int bytes,
                                              uint64_t *out) {
  if (p < end && *p < 0x80) {
    *out = *p;
    return p + 1;
  }
  return wire_varint_slow(p, end, bytes, out);
}

/* Number and type; a number of 0 or past 2^29 - 1 is NULL. */
static inline const uint8_t *wire_read_tag(const uint8_t *p, const uint8_t *end, uint32_t *number,
                                           uint32_t *type) {
  uint64_t tag;
  p = wire_read_varint(p, end, WIRE_SIZE_BYTES, &tag);
  if (!p || tag < 8 || tag >> 3 > WIRE_NUMBER_MAX) return NULL;
  *number = (uint32_t)(tag >> 3);
  *type = (uint32_t)(tag & 7);
  return p;
}

/* A length that fits what is left: p is then where its bytes start. */
static inline const uint8_t *wire_read_length(const uint8_t *p, const uint8_t *end, size_t *out) {
  uint64_t length;
  p = wire_read_varint(p, end, WIRE_SIZE_BYTES, &length);
  if (!p || length > (size_t)(end - p)) return NULL;
  *out = (size_t)length;
  return p;
}

/* Fixed-width scalars are little-endian on the wire. */
static inline const uint8_t *wire_read_fixed64(const uint8_t *p, const uint8_t *end,
                                               uint64_t *out) {
  if (end - p < 8) return NULL;
  uint64_t value;
  memcpy(&value, p, 8);
  *out = le64toh(value);
  return p + 8;
}

static inline const uint8_t *wire_read_fixed32(const uint8_t *p, const uint8_t *end,
                                               uint64_t *out) {
  if (end - p < 4) return NULL;
  uint32_t value;
  memcpy(&value, p, 4);
  *out = le32toh(value);
  return p + 4;
}

/* The value behind a tag. */
static inline const uint8_t *wire_read_value(const uint8_t *p, const uint8_t *end,
                                             struct wire_field *field) {
  switch (field->type) {
    case WIRE_VARINT: return wire_read_varint(p, end, WIRE_VARINT_BYTES, &field->scalar);
    case WIRE_FIXED64: return wire_read_fixed64(p, end, &field->scalar);
    case WIRE_FIXED32: return wire_read_fixed32(p, end, &field->scalar);
    case WIRE_LEN:
      p = wire_read_length(p, end, &field->len);
      if (!p) return NULL;
      field->text = p;
      return p + field->len;
    default: return NULL;
  }
}

static inline const uint8_t *wire_read_field(const uint8_t *p, const uint8_t *end,
                                             struct wire_field *field) {
  p = wire_read_tag(p, end, &field->number, &field->type);
  return p ? wire_read_value(p, end, field) : NULL;
}

#endif
