/* Printing.
 *
 * Good path: one pass over a message notes where each field stands first and last and how often; then its fields are
 * written in the order of their numbers, for JSON wants the elements of a list side by side. Protobuf does not promise
 * that order, but encoders keep it, so the second look is short.
 *
 * Ways it fails: only the buffer (no memory, or its bound), and then what was appended is the caller's to throw away.
 * A message whose field came in pieces is joined in memory of our own, freed before the call returns. */
#include "otlp_print.h"

#include <math.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "otlp_schema.h"
#include "wire_inline.h"

struct found {
  const uint8_t *first, *behind; /* where it begins first, and where the last one ends */
  struct wire_field last;
  bool again;                    /* it came more than once */
};

/* `,"name":`, or with what comes before the first one of an object. */
static void add_name(struct buffer *out, char before, const struct otlp_field *field) {
  char *to = buffer_reserve(out, field->name_bytes + 4u);
  if (!to) return;
  *to++ = before;
  *to++ = '"';
  memcpy(to, field->name, field->name_bytes);
  memcpy(to + field->name_bytes, "\":", 2);
  out->len += field->name_bytes + 4u;
}

static void add_hex(struct buffer *out, const uint8_t *p, size_t n) {
  static const char digits[] = "0123456789abcdef";
  char *to = buffer_reserve(out, 2 * n + 2);
  if (!to) return;
  *to++ = '"';
  for (size_t i = 0; i < n; i++) {
    *to++ = digits[p[i] >> 4];
    *to++ = digits[p[i] & 15];
  }
  *to = '"';
  out->len += 2 * n + 2;
}

static void add_base64(struct buffer *out, const uint8_t *p, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t bytes = (n + 2) / 3 * 4 + 2;
  char *to = buffer_reserve(out, bytes);
  if (!to) return;
  *to++ = '"';
  for (size_t i = 0; i < n; i += 3) {
    size_t some = n - i < 3 ? n - i : 3;
    uint32_t bits = (uint32_t)p[i] << 16;
    if (some > 1) bits |= (uint32_t)p[i + 1] << 8;
    if (some > 2) bits |= p[i + 2];
    *to++ = digits[bits >> 18];
    *to++ = digits[bits >> 12 & 63];
    *to++ = some > 1 ? digits[bits >> 6 & 63] : '=';
    *to++ = some > 2 ? digits[bits & 63] : '=';
  }
  *to = '"';
  out->len += bytes;
}

static void add_double(struct buffer *out, uint64_t bits) {
  double x;
  memcpy(&x, &bits, 8);
  if (isnan(x)) buffer_text(out, "\"NaN\"");
  else if (isinf(x)) buffer_text(out, x > 0 ? "\"Infinity\"" : "\"-Infinity\"");
  else if (x == 0 && signbit(x)) buffer_text(out, "-0.0");
  else buffer_number(out, x);
}

/* 64 bits are more than a number of JSON is sure to hold. */
static void add_int64(struct buffer *out, int64_t x) {
  buffer_add(out, "\"", 1);
  buffer_int(out, x);
  buffer_add(out, "\"", 1);
}

static void add_uint64(struct buffer *out, uint64_t x) {
  buffer_add(out, "\"", 1);
  buffer_uint(out, x);
  buffer_add(out, "\"", 1);
}

/* One value of a field. */
static void add_value(struct buffer *out, const struct otlp_field *field, const struct wire_field *value) {
  switch (field->kind) {
  case OTLP_STRING: buffer_json(out, value->text, value->len); break;
  case OTLP_ID: add_hex(out, value->text, value->len); break;
  case OTLP_BYTES: add_base64(out, value->text, value->len); break;
  case OTLP_BOOL: buffer_text(out, value->scalar ? "true" : "false"); break;
  case OTLP_SPAN_KIND:
  case OTLP_STATUS_CODE: buffer_int(out, (int32_t)value->scalar); break;
  case OTLP_UINT32:
  case OTLP_FIXED32: buffer_uint(out, (uint32_t)value->scalar); break;
  case OTLP_INT64: add_int64(out, (int64_t)value->scalar); break;
  case OTLP_FIXED64: add_uint64(out, value->scalar); break;
  case OTLP_DOUBLE: add_double(out, value->scalar); break;
  default: otlp_print(out, field->child, value->text, value->len); break;
  }
}

/* Notes the fields that the message has, and gives a bit for each: of the others nothing is written. */
static uint32_t find(const struct otlp_shape *shape, const uint8_t *p, const uint8_t *end, struct found *found) {
  struct wire_field field;
  uint32_t seen = 0;
  for (const uint8_t *at = p; at < end; p = at) {
    at = wire_next(p, end, &field);
    if (!at) break;
    if (field.number >= OTLP_FIELDS || shape->fields[field.number].kind == OTLP_UNKNOWN) continue;
    struct found *f = &found[field.number];
    f->again = seen >> field.number & 1;
    if (!f->again) f->first = p;
    f->behind = at;
    f->last = field;
    seen |= 1u << field.number;
  }
  return seen;
}

/* Of the members that a value may have, the last one set counts. */
static uint32_t keep_last(uint32_t seen, struct found *found) {
  uint32_t last = 0;
  for (uint32_t left = seen; left; left &= left - 1) {
    uint32_t i = (uint32_t)__builtin_ctz(left);
    if (!last || found[i].behind > found[last].behind) last = i;
  }
  if (!last) return 0;
  found[last].again = false;
  return 1u << last;
}

static void add_list(struct buffer *out, const struct otlp_field *field, uint32_t number, const struct found *f) {
  struct wire_field value;
  char before = '[';
  for (const uint8_t *p = f->first; p < f->behind && !out->err;) {
    p = wire_next(p, f->behind, &value);
    if (!p) break;
    if (value.number != number) continue;
    buffer_add(out, &before, 1);
    add_value(out, field, &value);
    before = ',';
  }
  buffer_text(out, "]");
}

/* A message in pieces is one in which all of them stand. */
static void add_joined(struct buffer *out, const struct otlp_field *field, uint32_t number, const struct found *f) {
  struct wire_field value;
  size_t bytes = (size_t)(f->behind - f->first), n = 0;
  uint8_t *joined = heap_alloc(bytes);
  if (!joined) {
    out->err = FLUO_ENOMEM;
    return;
  }
  for (const uint8_t *p = f->first; p < f->behind;) {
    p = wire_next(p, f->behind, &value);
    if (!p) break;
    if (value.number != number) continue;
    if (value.len) memcpy(joined + n, value.text, value.len);
    n += value.len;
  }
  otlp_print(out, field->child, joined, n);
  heap_free(joined);
}

int otlp_print(struct buffer *out, uint32_t shape, const uint8_t *p, size_t n) {
  const struct otlp_field *fields = otlp_shapes[shape].fields;
  struct found found[OTLP_FIELDS];
  char before = '{';
  uint32_t seen = find(&otlp_shapes[shape], p, wire_end(p, n), found);
  if (shape == OTLP_ANY_VALUE) seen = keep_last(seen, found);
  for (; seen && !out->err; seen &= seen - 1) {
    uint32_t i = (uint32_t)__builtin_ctz(seen);
    if (fields[i].kind == OTLP_INDEX) continue;
    add_name(out, before, &fields[i]);
    before = ',';
    if (fields[i].repeated) add_list(out, &fields[i], i, &found[i]);
    else if (fields[i].kind == OTLP_MESSAGE && found[i].again) add_joined(out, &fields[i], i, &found[i]);
    else add_value(out, &fields[i], &found[i].last);
  }
  return buffer_text(out, before == '{' ? "{}" : "}");
}
