/* Keys of groups. Whole numbers are written as such whatever type they came in, other numbers as
 * the shortest decimal that reads back the same, texts as they are. Ways to fail: the buffer's. */
#include "group.h"

#include <math.h>
#include <string.h>

#include "utf8.h"
#include "value.h"
#include "violation.h"

/* Every span of a rule that groups by a number comes through here. */
static int add_int(int64_t x, struct buffer *out) {
  char text[20]; /* of INT64_MIN */
  uint64_t left = x < 0 ? -(uint64_t)x : (uint64_t)x;
  size_t at = sizeof text;
  do text[--at] = (char)('0' + left % 10);
  while (left /= 10);
  if (x < 0) text[--at] = '-';
  return buffer_add(out, text + at, sizeof text - at);
}

static int add_double(double x, struct buffer *out) {
  char text[32];
  if (x == trunc(x) && x >= -0x1p63 && x < 0x1p63) return add_int((int64_t)x, out);
  buffer_number_text(x, text);
  return buffer_text(out, text);
}

static int add_array(const struct fluo_value *array, struct buffer *out) {
  struct fluo_value element;
  int err = buffer_text(out, "[");
  for (uint32_t at = 0, n = 0; !err && value_element(array, &at, &element); n++) {
    if (n) buffer_text(out, ",");
    /* An array within an array stands for its bytes, so that nothing here recurses. */
    if (element.type == FLUO_TYPE_ARRAY) element.type = FLUO_TYPE_BYTES;
    err = group_text(&element, out);
  }
  return err < 0 ? err : buffer_text(out, "]");
}

/* Bytes, and maps, whose order means nothing to anybody: told apart by their hash. */
static int add_hash(const struct fluo_value *value, struct buffer *out) {
  uint8_t digest[16];
  char text[33];
  fluo_hash128(value->text, value->len, digest);
  hex_text(digest, 16, text);
  return buffer_text(out, text);
}

static int add_string(const struct fluo_value *value, struct buffer *out) {
  const size_t tail = 32;
  if (value->len <= GROUP_TEXT_BYTES_MAX) return buffer_add(out, value->text, value->len);
  buffer_add(out, value->text, utf8_fit(value->text, value->len, GROUP_TEXT_BYTES_MAX - tail));
  return add_hash(value, out);
}

int group_text(const struct fluo_value *value, struct buffer *out) {
  int err = 0;
  switch (value->type) {
  case FLUO_TYPE_STRING: err = add_string(value, out); break;
  case FLUO_TYPE_BOOL: err = buffer_text(out, value->integer ? "true" : "false"); break;
  case FLUO_TYPE_INT: err = add_int(value->integer, out); break;
  case FLUO_TYPE_DOUBLE: err = add_double(value->number, out); break;
  case FLUO_TYPE_ARRAY: err = add_array(value, out); break;
  case FLUO_TYPE_NONE: break;
  default: err = add_hash(value, out); break;
  }
  return err ? err : 1;
}

int group_add(const struct fluo_value *value, struct buffer *out) {
  uint32_t len = 0;
  size_t start = out->len;
  int err = buffer_add(out, &len, sizeof len);
  if (!err) err = group_text(value, out);
  if (err < 0) return err;
  len = (uint32_t)(out->len - start - sizeof len);
  memcpy(out->data + start, &len, sizeof len);
  return 1;
}

bool group_next(const void *group, uint32_t n, uint32_t *at, struct fluo_value *out) {
  uint32_t len;
  if (*at >= n) return false;
  memcpy(&len, (const uint8_t *)group + *at, sizeof len);
  *out = (struct fluo_value){
      .type = FLUO_TYPE_STRING, .len = len, .text = (const uint8_t *)group + *at + sizeof len};
  *at += (uint32_t)sizeof len + len;
  return true;
}
