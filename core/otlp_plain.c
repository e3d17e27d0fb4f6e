/* Plain forms, each read by what must stand where, so that what is usual costs a few comparisons of words: texts are copied
 * by blocks while they are looked at, ids and times decoded by eights. Nothing is reported: what fails here is read again by
 * otlp_json.c, which says what is wrong with it, or takes it. The processor can only run ahead while it need not
 * wait to know where the next thing begins; so lengths that are known beforehand, by the schema or from the span before, are
 * compared, and not looked for.
 *
 * How far is looked ahead: a key of 100 bytes at most and a text of 128 with what stands around them, PLAIN_AHEAD_BYTES with
 * something to spare; and so much is written before either is known to be too long. */
#include "otlp_plain.h"

#include <endian.h>
#include <stddef.h>
#include <string.h>

#include "bytes.h"
#include "json_number.h"
#include "json_text.h"
#include "wire.h"

/* A text is short up to so many bytes, and no block more is read. */
enum { TEXT_BYTES_MAX = 128 };
/* An attribute's 127 bytes less four tags and lengths; with a number of nine bytes instead of a text. */
enum { ATTRIBUTE_BYTES_MAX = 121, KEY_BYTES_MAX = 100 };
enum { START_BYTES_MAX = sizeof "{'key':'','value':{'stringValue':'" - 1 + KEY_BYTES_MAX };
_Static_assert(START_BYTES_MAX + TEXT_BYTES_MAX + sizeof "'}}" <= PLAIN_AHEAD_BYTES && START_BYTES_MAX <= UINT8_MAX, "an attribute's text");
_Static_assert(4 + KEY_BYTES_MAX + 4 + TEXT_BYTES_MAX <= PLAIN_ROOM_BYTES, "an attribute as it is written");

/* Copies bytes that stand for themselves, by blocks; what lies behind them in the last one comes along. Returns how many:
 * TEXT_BYTES_MAX where there may be more. */
static inline size_t copy_text(const uint8_t *p, uint8_t *to) {
  size_t n = 0, more = JSON_BLOCK_BYTES;
  for (; more == JSON_BLOCK_BYTES && n < TEXT_BYTES_MAX; n += more) {
    memcpy(to + n, p + n, JSON_BLOCK_BYTES);
    more = json_plain_bytes(p + n);
  }
  return n;
}

/* Behind these bytes, if they come next; else NULL. */
static inline const uint8_t *past(const uint8_t *p, const char *text, size_t n) {
  return bytes_same(p, (const uint8_t *)text, n) ? p + n : NULL;
}

#define PAST(p, text) past(p, text, sizeof(text) - 1)

static inline uint8_t *put_varint(uint8_t *to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *to++ = (uint8_t)(value | 0x80);
  *to++ = (uint8_t)value;
  return to;
}

/* ---- values ---------------------------------------------------------------------------------- */

static const uint8_t *read_text(const uint8_t *p, uint8_t **out) {
  if (*p != '"') return NULL;
  size_t n = copy_text(++p, *out + 1);
  if (n == TEXT_BYTES_MAX || p[n] != '"') return NULL;
  **out = (uint8_t)n;
  *out += n + 1;
  return p + n + 1;
}

/* Eight bytes from sixteen hex digits. false: not all of them are. */
static inline bool hex_eight(const uint8_t *p, uint8_t *out) {
  uint8_t c __attribute__((vector_size(16))), half __attribute__((vector_size(8)));
  uint16_t pairs __attribute__((vector_size(16)));
  uint64_t all __attribute__((vector_size(16)));
  memcpy(&c, p, sizeof c);
  __typeof__(c) digit = c - '0', letter = (c | 32) - 'a';
  __typeof__(c) is_digit = (__typeof__(c))(digit < 10), is_letter = (__typeof__(c))(letter < 6);
  all = (__typeof__(all))(is_digit | is_letter);
  pairs = (__typeof__(pairs))((digit & is_digit) | ((letter + 10) & is_letter));
  pairs = __BYTE_ORDER == __LITTLE_ENDIAN ? (pairs << 4 | pairs >> 8) : (pairs >> 4 | pairs);
  half = __builtin_convertvector(pairs & 0xff, __typeof__(half));
  memcpy(out, &half, sizeof half);
  return (all[0] & all[1]) == UINT64_MAX;
}

/* A span id, or a trace id. */
static const uint8_t *read_id(const uint8_t *p, uint8_t **out) {
  size_t n = p[17] == '"' ? 8 : 16;
  if (p[0] != '"' || p[2 * n + 1] != '"') return NULL;
  for (size_t i = 0; i < n; i += 8)
    if (!hex_eight(p + 1 + 2 * i, *out + 1 + i)) return NULL;
  **out = (uint8_t)n;
  *out += n + 1;
  return p + 2 * n + 2;
}

/* A whole number that is digits alone, in quotes or not. */
static inline const uint8_t *read_digits(const uint8_t *p, const uint8_t *end, uint64_t max, uint64_t *value) {
  bool quoted = *p == '"';
  const uint8_t *digits = p + quoted;
  p = json_number_digits(digits, end, value);
  if (p == digits || p == end || *value > max || (*digits == '0' && p > digits + 1)) return NULL;
  if (quoted) return *p == '"' ? p + 1 : NULL;
  return *p == ',' || *p == '}' ? p : NULL;
}

static const uint8_t *read_varint(const uint8_t *p, const uint8_t *end, uint64_t max, uint8_t **out) {
  uint64_t value;
  if (!(p = read_digits(p, end, max, &value))) return NULL;
  *out = put_varint(*out, value);
  return p;
}

static inline const uint8_t *read_fixed(const uint8_t *p, const uint8_t *end, size_t n, uint8_t **out) {
  uint64_t value;
  if (!(p = read_digits(p, end, UINT64_MAX >> (64 - 8 * n), &value))) return NULL;
  value = htole64(value);
  memcpy(*out, &value, n);
  *out += n;
  return p;
}

/* A value with its tag; NULL of a message or list, too. */
static inline const uint8_t *read_value(const uint8_t *p, const uint8_t *end, uint32_t number,
                                        const struct otlp_field *field, uint8_t **out) {
  if (field->repeated) return NULL;
  *out = put_varint(*out, number << 3 | field->wire);
  switch (field->kind) {
    case OTLP_STRING: return read_text(p, out);
    case OTLP_ID: return read_id(p, out);
    case OTLP_FIXED64: return read_fixed(p, end, 8, out);
    case OTLP_FIXED32: return read_fixed(p, end, 4, out);
    case OTLP_INT64: return read_varint(p, end, INT64_MAX, out);
    case OTLP_UINT32: return read_varint(p, end, UINT32_MAX, out);
    case OTLP_SPAN_KIND: case OTLP_STATUS_CODE: return read_varint(p, end, INT32_MAX, out);
    default: return NULL;
  }
}

/* ---- members --------------------------------------------------------------------------------- */

/* The field whose name comes at p, in quotes and with its colon: its number, or 0. Members come in the order of the schema,
 * more or less, so the look for one starts behind the one before. */
static inline uint32_t find_name(const uint8_t *p, const struct otlp_field *fields, uint32_t before) {
  for (uint32_t tried = 1, i = before; tried < OTLP_FIELDS; tried++) {
    i = i + 1 < OTLP_FIELDS ? i + 1 : 1;
    size_t n = fields[i].name_bytes;
    if (n && p[n + 1] == '"' && p[n + 2] == ':' && bytes_same(p + 1, (const uint8_t *)fields[i].name, n)) return i;
  }
  return 0;
}

bool plain_members(struct plain *s, enum otlp_message shape, uint32_t *number) {
  const struct otlp_field *fields = otlp_shapes[shape].fields;
  const uint8_t *p = s->p, *end = s->end, *behind = NULL;
  uint32_t before = *number;
  while (end - p >= PLAIN_AHEAD_BYTES && s->out_end - s->out >= PLAIN_ROOM_BYTES && *p == '"') {
    uint8_t *out = s->out;
    if (!(before = find_name(p, fields, before))) break;
    behind = p + fields[before].name_bytes + 3;
    behind += *behind == ' ';     /* as pretty lines have it */
    *number = before;
    if ((s->named = !(p = read_value(behind, end, before, &fields[before], &out)))) break;
    behind = p;
    s->out = out;
    if (*p++ != ',') break;
    if (*p <= ' ') p = json_space_run(p, end);
  }
  if (behind) s->p = behind;
  return behind;
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* What an attribute begins with, up to its text or number. */
static bool read_start(const uint8_t *p, struct plain_start *start) {
  const uint8_t *key = PAST(p, "{\"key\":\""), *value;
  if (!key) return false;
  size_t n = 0, more = JSON_BLOCK_BYTES;
  for (; more == JSON_BLOCK_BYTES && n <= KEY_BYTES_MAX; n += more) more = json_plain_bytes(key + n);
  if (n > KEY_BYTES_MAX || !(value = PAST(key + n, "\",\"value\":{\""))) return false;
  const uint8_t *text = PAST(value, "stringValue\":\""), *behind = text ? text : PAST(value, "intValue\":");
  if (!behind) return false;
  *start = (struct plain_start){p, (uint8_t)(behind - p), (uint8_t)n, text};
  return true;
}

/* The rest of an attribute, from its text or number on, as an AnyValue. */
static inline const uint8_t *read_string_value(const uint8_t *p, size_t n_max, uint8_t **out) {
  size_t n = copy_text(p, *out + 2);
  if (n > n_max) return NULL;
  (*out)[0] = 1 << 3 | WIRE_LEN;
  (*out)[1] = (uint8_t)n;
  *out += n + 2;
  return PAST(p + n, "\"}}");
}

static inline const uint8_t *read_int_value(const uint8_t *p, const uint8_t *end, uint8_t **out) {
  uint64_t value;
  if (!(p = read_digits(p, end, INT64_MAX, &value))) return NULL;
  **out = 3 << 3 | WIRE_VARINT;
  *out = put_varint(*out + 1, value);
  return PAST(p, "}}");
}

static inline const uint8_t *read_attribute(const uint8_t *p, const uint8_t *end, uint32_t number,
                                            struct plain_start *start, uint8_t **out) {
  bool same = start->n && bytes_same(p, start->text, start->n);
  if (!same && !read_start(p, start)) return NULL;
  size_t key_bytes = start->key_bytes;
  uint8_t *to = *out, *any = to + 4 + key_bytes, *behind = any + 2;
  for (size_t i = 0; i < key_bytes; i += JSON_BLOCK_BYTES) memcpy(to + 4 + i, p + 8 + i, JSON_BLOCK_BYTES);
  p += start->n;
  p = start->is_string ? read_string_value(p, ATTRIBUTE_BYTES_MAX - key_bytes, &behind) : read_int_value(p, end, &behind);
  if (!p) return NULL;
  to[0] = (uint8_t)(number << 3 | WIRE_LEN);
  to[1] = (uint8_t)(behind - to - 2);
  to[2] = 1 << 3 | WIRE_LEN;
  to[3] = (uint8_t)key_bytes;
  any[0] = 2 << 3 | WIRE_LEN;
  any[1] = (uint8_t)(behind - any - 2);
  *out = behind;
  return p;
}

bool plain_attributes(struct plain *s, uint32_t number, struct plain_start starts[PLAIN_STARTS]) {
  const uint8_t *p = s->p, *end = s->end, *behind = NULL;
  for (uint32_t i = 0; end - p >= PLAIN_AHEAD_BYTES && s->out_end - s->out >= PLAIN_ROOM_BYTES; i++) {
    if (!(p = read_attribute(p, end, number, &starts[i % PLAIN_STARTS], &s->out))) break;
    behind = p;
    if (*p++ != ',') break;
  }
  if (behind) s->p = behind;
  return behind;
}
