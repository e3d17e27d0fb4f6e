/* The wire format read in place. Everything here lends slices of the caller's bytes; nothing is
 * owned, nothing allocated. Bytes that are no message end a reader early: what it found until
 * then stands. (otlp_check has refused such bodies long before; in the study it would be our
 * mistake, not a crash.) */
#include "wire.h"

#include <string.h>

#include "utf8.h"
#include "wire_inline.h"

const uint8_t *wire_next(const uint8_t *p, const uint8_t *end, struct wire_field *field) {
  field->scalar = 0;
  field->text = NULL;
  field->len = 0;
  return wire_read_field(p, end, field);
}

bool wire_utf8(const uint8_t *p, size_t n) {
  size_t i = utf8_ascii(p, n);
  while (i < n) {
    bool valid;
    i += utf8_step(p + i, n - i, &valid);
    if (!valid) return false;
    if (i < n && p[i] < 0x80) i += utf8_ascii(p + i, n - i);
  }
  return true;
}

int fluo_item_next(const uint8_t *p, uint32_t n, uint32_t number, struct fluo_item *item) {
  struct wire_field field;
  const uint8_t *end = wire_end(p, n), *at = item->next < n ? p + item->next : end;
  while (at < end && (at = wire_read_field(at, end, &field))) {
    if (field.number != number || field.type != WIRE_LEN) continue;
    item->text = field.text;
    item->len = (uint32_t)field.len;
    item->next = (uint32_t)(at - p);
    return 1;
  }
  item->next = n;
  return 0;
}

static void value_text(struct fluo_value *out, enum fluo_type type,
                       const struct wire_field *field) {
  *out = (struct fluo_value){.type = type, .text = field->text, .len = (uint32_t)field->len};
}

static void value_scalar(struct fluo_value *out, const struct wire_field *field) {
  enum fluo_type types[] = {[2] = FLUO_TYPE_BOOL, [3] = FLUO_TYPE_INT, [4] = FLUO_TYPE_DOUBLE};
  *out = (struct fluo_value){.type = types[field->number]};
  if (field->number == 4) memcpy(&out->number, &field->scalar, 8);
  else if (field->number == 2) out->integer = field->scalar != 0;
  else out->integer = (int64_t)field->scalar;
}

/* An AnyValue on top of what *out holds: a message may come in pieces, and the last member set
 * wins. */
static void value_merge(const uint8_t *p, size_t n, struct fluo_value *out) {
  struct wire_field field;
  const uint8_t *end = wire_end(p, n);
  while (p < end && (p = wire_read_field(p, end, &field))) {
    bool text = field.type == WIRE_LEN;
    switch (field.number) {
      case 1: if (text) value_text(out, FLUO_TYPE_STRING, &field); break;
      case 2: case 3: if (field.type == WIRE_VARINT) value_scalar(out, &field); break;
      case 4: if (field.type == WIRE_FIXED64) value_scalar(out, &field); break;
      case 5: if (text) value_text(out, FLUO_TYPE_ARRAY, &field); break;
      case 6: if (text) value_text(out, FLUO_TYPE_MAP, &field); break;
      case 7: if (text) value_text(out, FLUO_TYPE_BYTES, &field); break;
      default: break;
    }
  }
}

/* A varint that fills the n bytes at p and takes no more of them than it needs. */
static inline bool int_read(const uint8_t *p, uint32_t n, int64_t *out) {
  uint64_t value = 0;
  if (n > 8 || p[n - 1] >= 0x80) return false;
  for (uint32_t i = n; i--;) {
    if (i + 1 < n && p[i] < 0x80) return false;
    value = value << 7 | (p[i] & 0x7f);
  }
  *out = (int64_t)value;
  return true;
}

/* A short string or an int, and nothing else, is what most are. */
int fluo_any_value(const uint8_t *p, uint32_t n, struct fluo_value *out) {
  int64_t integer;
  *out = (struct fluo_value){.type = FLUO_TYPE_NONE};
  if (n >= 2 && p[0] == 0x0a && p[1] < 0x80 && p[1] + 2u == n)
    *out = (struct fluo_value){.type = FLUO_TYPE_STRING, .text = p + 2, .len = p[1]};
  else if (n >= 2 && p[0] == 0x18 && int_read(p + 1, n - 1, &integer))
    *out = (struct fluo_value){.type = FLUO_TYPE_INT, .integer = integer};
  else
    value_merge(p, n, out);
  return out->type != FLUO_TYPE_NONE;
}

int fluo_key_value(const uint8_t *p, uint32_t n, struct fluo_item *key, struct fluo_value *out) {
  struct wire_field field;
  const uint8_t *end = wire_end(p, n);
  *key = (struct fluo_item){.text = p};
  *out = (struct fluo_value){.type = FLUO_TYPE_NONE};
  while (p < end && (p = wire_read_field(p, end, &field))) {
    if (field.type != WIRE_LEN) continue;
    if (field.number == 1) key->text = field.text, key->len = (uint32_t)field.len;
    if (field.number == 2) value_merge(field.text, field.len, out);
  }
  return out->type != FLUO_TYPE_NONE;
}

/* Whether a KeyValue is what encoders write, a short key and then a short value and nothing else, of another key: most
 * are, and need no reading. */
static bool is_other(const uint8_t *p, size_t n, const char *key, size_t key_len) {
  if (n < 4 || n > 0x7f || p[0] != (1 << 3 | WIRE_LEN) || p[1] > n - 4) return false;
  const uint8_t *value = p + 2 + p[1];
  if (value[0] != (2 << 3 | WIRE_LEN) || (size_t)value[1] + p[1] + 4 != n) return false;
  return p[1] != key_len || memcmp(p + 2, key, key_len) != 0;
}

/* Whether a KeyValue has this key. Encoders write the key first, but need not, and the last one
 * wins. */
static bool key_is(const uint8_t *p, size_t n, const char *key, size_t key_len) {
  struct wire_field field;
  const uint8_t *end = wire_end(p, n);
  bool same = key_len == 0;
  while (p < end && (p = wire_read_field(p, end, &field)))
    if (field.number == 1 && field.type == WIRE_LEN)
      same = field.len == key_len && memcmp(field.text, key, key_len) == 0;
  return same;
}

int fluo_attribute(const uint8_t *p, uint32_t n, uint32_t number, const char *key, uint32_t key_len,
                   struct fluo_value *out) {
  struct fluo_item item = {0}, last = {0};
  while (fluo_item_next(p, n, number, &item))
    if (item.len >= key_len && !is_other(item.text, item.len, key, key_len) && key_is(item.text, item.len, key, key_len)) last = item;
  if (!last.text) return 0;
  fluo_key_value(last.text, last.len, &item, out);
  return 1;
}

uint64_t fluo_scalar(const uint8_t *p, uint32_t n, uint32_t number) {
  struct wire_field field;
  const uint8_t *end = wire_end(p, n);
  uint64_t scalar = 0;
  while (p < end && (p = wire_read_field(p, end, &field)))
    if (field.number == number && field.type != WIRE_LEN) scalar = field.scalar;
  return scalar;
}
