/* OTLP/JSON to protobuf wire form, by the schema's table.
 *
 * Good path: message() reads an object key by key and writes each field as it comes (protobuf
 * takes any order, and the last of a doubled key), straight to the end of the caller's buffer; what is
 * plain (otlp_plain.h), which is most of it, in runs of members and attributes. A
 * message's length is not known before its end: one byte is left for that of an attribute or
 * status, four for others, and the place is closed up or widened where that was wrong, so that what
 * stays in the arena is no larger than what a protobuf client sends, and no byte moves by more than
 * three. It fails with the text's line and column (grammar, a
 * value of a wrong type, a number out of range), with FLUO_EDEPTH, FLUO_ETOOLARGE (the buffer's
 * bound) or FLUO_ENOMEM; then out is as it was before. The only memory of its own is the
 * reader's scratch, freed before the return. */
#include "otlp_json.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "err.h"
#include "json_number.h"
#include "json_text.h"
#include "otlp_plain.h"
#include "otlp_schema.h"
#include "wire.h"

struct transcode {
  struct json json;
  struct buffer *out;
  size_t ready;         /* so many bytes out may have without asking for memory, or more */
  struct otlp_json_result *result;
  uint32_t depth_max;
  struct plain_start starts[PLAIN_STARTS];
};

enum { SHALLOW = 6, LENGTH_BYTES = 4, LENGTH_MAX = (1 << 28) - 1 };

static bool fail_value(struct transcode *t, const uint8_t *at, const char *what) {
  return json_fail(&t->json, at, FLUO_EMALFORMED, what);
}

static void look_at_room(struct transcode *t) {
  t->ready = t->out->capacity <= t->out->max ? t->out->capacity : t->out->max;
}

static bool add_slowly(struct transcode *t, const void *p, size_t n) {
  int err = buffer_add(t->out, p, n);
  look_at_room(t);
  if (!err) return true;
  bool large = err == FLUO_ETOOLARGE;
  return json_fail(&t->json, t->json.p, err,
                   large ? "more decoded bytes than the bound" : "out of memory");
}

/* What fits is added here: most of it is a byte or two. */
static inline bool add(struct transcode *t, const void *p, size_t n) {
  struct buffer *out = t->out;
  if (out->len + n > t->ready) return add_slowly(t, p, n);
  memcpy(out->data + out->len, p, n);
  out->len += n;
  return true;
}

static inline bool add_varint(struct transcode *t, uint64_t value) {
  uint8_t byte = (uint8_t)value;
  if (value < 0x80) return add(t, &byte, 1);
  uint8_t bytes[10];
  size_t n = 0;
  for (; value >= 0x80; value >>= 7) bytes[n++] = (uint8_t)(value | 0x80);
  bytes[n++] = (uint8_t)value;
  return add(t, bytes, n);
}

static bool add_tag(struct transcode *t, uint32_t number, uint32_t wire) {
  return add_varint(t, number << 3 | wire);
}

/* Where the bytes begin whose length is to come. The place for it is one byte where they will be
 * few. */
static bool open_length(struct transcode *t, uint32_t length_bytes, size_t *start) {
  if (!add(t, "\x80\x80\x80", length_bytes)) return false;
  *start = t->out->len;
  return true;
}

static bool close_length(struct transcode *t, uint32_t length_bytes, size_t start) {
  size_t n = t->out->len - start, more = LENGTH_BYTES - length_bytes;
  uint8_t *at = (uint8_t *)t->out->data + start - length_bytes;
  if (n > LENGTH_MAX)
    return json_fail(&t->json, t->json.p, FLUO_ETOOLARGE, "a message over 256 MiB");
  if (n < 0x80) {
    at[0] = (uint8_t)n;
    if (length_bytes > 1) memmove(at + 1, at + length_bytes, n);
    t->out->len -= length_bytes - 1;
    return true;
  }
  if (more) {
    if (!add(t, "\0\0\0", more)) return false;
    at = (uint8_t *)t->out->data + start - length_bytes;      /* it may have moved */
    memmove(at + LENGTH_BYTES, at + length_bytes, n);
  }
  for (int i = 0; i < LENGTH_BYTES; i++)
    at[i] = (uint8_t)((n >> (7 * i) & 0x7f) | (i < LENGTH_BYTES - 1 ? 0x80 : 0));
  return true;
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool add_string(struct transcode *t) {
  struct json_slice plain;
  if (json_plain(&t->json, &plain)) return add_varint(t, plain.n) && add(t, plain.p, plain.n);
  size_t start;
  return open_length(t, LENGTH_BYTES, &start) && json_string(&t->json, t->out) &&
         close_length(t, LENGTH_BYTES, start);
}

enum { ID_BYTES_MAX = 32 };

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 32);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n bytes from 2 n digits. false: they are none. */
static bool hex_decode(const char *p, size_t n, uint8_t *out) {
  int any = 0;
  for (size_t i = 0; i < n; i++) {
    int high = hex_digit(p[2 * i]), low = hex_digit(p[2 * i + 1]);
    any |= high | low;
    out[i] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
  }
  return any >= 0;
}

/* An id that is no hex, or longer than any id, becomes one byte: of a wrong length, so that it costs
 * its span and no other. */
static bool add_hex(struct transcode *t) {
  struct json_slice text;
  uint8_t bytes[ID_BYTES_MAX];
  if (!json_short(&t->json, &text)) return false;
  size_t n = text.n / 2;
  if (text.n % 2 || n > sizeof bytes || !hex_decode(text.p, n, bytes)) return add(t, "\1", 2);
  return add_varint(t, n) && add(t, bytes, n);
}

static int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  return c == '/' || c == '_' ? 63 : -1;
}

/* Decodes in place; the result is never longer than the text. Returns how many bytes, or
 * SIZE_MAX. */
static size_t base64_decode(uint8_t *p, size_t n) {
  size_t from = 0, to = 0;
  uint32_t bits = 0, held = 0;
  while (n > 0 && p[n - 1] == '=') n--;
  if (n % 4 == 1) return SIZE_MAX;
  for (; from < n; from++) {
    int digit = base64_digit((char)p[from]);
    if (digit < 0) return SIZE_MAX;
    bits = bits << 6 | (uint32_t)digit;
    if ((held += 6) < 8) continue;
    held -= 8;
    p[to++] = (uint8_t)(bits >> held);
  }
  return to;
}

static bool add_base64(struct transcode *t) {
  size_t start;
  json_space(&t->json);
  const uint8_t *at = t->json.p;
  if (!open_length(t, LENGTH_BYTES, &start) || !json_string(&t->json, t->out)) return false;
  size_t n = base64_decode((uint8_t *)t->out->data + start, t->out->len - start);
  if (n == SIZE_MAX) return fail_value(t, at, "expected base64");
  t->out->len = start + n;
  return close_length(t, LENGTH_BYTES, start);
}

/* The characters of a number, which may stand in quotes. */
static bool number_text(struct transcode *t, struct json_slice *text) {
  return json_peek(&t->json) == '"' ? json_short(&t->json, text) : json_number(&t->json, text);
}

/* A whole number between -negative_max and positive_max, as the 64 bits that a varint has for
 * it. */
static bool read_whole(struct transcode *t, uint64_t negative_max, uint64_t positive_max,
                       uint64_t *out) {
  struct json_slice text;
  bool negative;
  json_space(&t->json);
  const uint8_t *at = t->json.p;
  if (!number_text(t, &text)) return false;
  if (!json_number_whole(text.p, text.n, &negative, out))
    return fail_value(t, at, "expected a whole number");
  if (*out > (negative ? negative_max : positive_max))
    return fail_value(t, at, "a number out of range");
  if (negative) *out = 0 - *out;
  return true;
}

static bool add_fixed64(struct transcode *t, uint64_t value) {
  value = htole64(value);
  return add(t, &value, 8);
}

static bool add_double(struct transcode *t) {
  struct json_slice text;
  double x;
  uint64_t bits;
  json_space(&t->json);
  const uint8_t *at = t->json.p;
  if (!number_text(t, &text)) return false;
  if (!json_number_double(text.p, text.n, &x)) return fail_value(t, at, "expected a number");
  memcpy(&bits, &x, 8);
  return add_fixed64(t, bits);
}

static bool add_bool(struct transcode *t) {
  if (json_word(&t->json, "true")) return add(t, "\1", 1);
  if (json_word(&t->json, "false")) return add(t, "\0", 1);
  return fail_value(t, t->json.p, "expected true or false");
}

static bool ends_with(struct json_slice text, const char *name) {
  size_t n = strlen(name);
  if (n > text.n) return false;
  for (size_t i = 0; i < n; i++)
    if ((text.p[text.n - n + i] & ~32) != name[i]) return false;
  return n == text.n || text.p[text.n - n - 1] == '_';
}

/* An enum by name, with or without its prefix, in any case. A name that is none is 0, as an unknown
 * number would be. */
static bool add_enum(struct transcode *t, enum otlp_kind kind) {
  static const char *const kinds[] = {"UNSPECIFIED", "INTERNAL", "SERVER",
                                      "CLIENT",      "PRODUCER", "CONSUMER"};
  static const char *const codes[] = {"UNSET", "OK", "ERROR"};
  const char *const *names = kind == OTLP_SPAN_KIND ? kinds : codes;
  size_t n = kind == OTLP_SPAN_KIND ? 6 : 3;
  uint64_t value = 0;
  if (json_peek(&t->json) != '"')
    return read_whole(t, (uint64_t)1 << 31, INT32_MAX, &value) && add_varint(t, value);
  struct json_slice text;
  bool negative;
  if (!json_short(&t->json, &text)) return false;
  if (json_number_whole(text.p, text.n, &negative, &value))
    return add_varint(t, negative ? 0 : value);
  t->result->enum_names++;
  for (value = n - 1; value > 0 && !ends_with(text, names[value]); value--) continue;
  return add_varint(t, value);
}

/* ---- messages -------------------------------------------------------------------------------- */

static bool message(struct transcode *t, uint32_t shape, uint32_t depth);

static bool child(struct transcode *t, uint32_t shape, uint32_t depth) {
  size_t start;
  if (depth >= t->depth_max) return json_fail(&t->json, t->json.p, FLUO_EDEPTH, "nested too deep");
  /* Not deep down: a long text in there would be moved once a level. */
  bool few = (shape >= OTLP_KEY_VALUE || shape == OTLP_STATUS) && depth < SHALLOW;
  uint32_t length_bytes = few ? 1 : LENGTH_BYTES;
  return open_length(t, length_bytes, &start) && message(t, shape, depth + 1) &&
         close_length(t, length_bytes, start);
}

/* One value of a field, its tag before it. */
static bool value(struct transcode *t, uint32_t number, const struct otlp_field *field,
                  uint32_t depth) {
  uint64_t bits;
  if (!add_tag(t, number, field->wire)) return false;
  switch (field->kind) {
    case OTLP_STRING: return add_string(t);
    case OTLP_ID: return add_hex(t);
    case OTLP_BYTES: return add_base64(t);
    case OTLP_BOOL: return add_bool(t);
    case OTLP_DOUBLE: return add_double(t);
    case OTLP_SPAN_KIND: case OTLP_STATUS_CODE: return add_enum(t, field->kind);
    case OTLP_UINT32: return read_whole(t, 0, UINT32_MAX, &bits) && add_varint(t, bits);
    case OTLP_INT64:
      return read_whole(t, (uint64_t)1 << 63, INT64_MAX, &bits) && add_varint(t, bits);
    case OTLP_FIXED64: return read_whole(t, 0, UINT64_MAX, &bits) && add_fixed64(t, bits);
    case OTLP_FIXED32:
      if (!read_whole(t, 0, UINT32_MAX, &bits)) return false;
      bits = htole64(bits);
      return add(t, &bits, 4);
    default:
      assert(field->kind == OTLP_MESSAGE);
      return child(t, field->child, depth);
  }
}

/* What of the text and of the buffer is at hand for what is plain. false: too little. */
static inline bool begin_plain(const struct transcode *t, struct plain *s) {
  uint8_t *data = (uint8_t *)t->out->data;
  if (t->out->len + PLAIN_ROOM_BYTES > t->ready) return false;
  *s = (struct plain){t->json.p, t->json.end, data + t->out->len, data + t->ready, false};
  return true;
}

static inline void end_plain(struct transcode *t, const struct plain *s) {
  t->json.p = s->p;
  t->out->len = (size_t)(s->out - (uint8_t *)t->out->data);
}

static bool attributes(struct transcode *t, uint32_t number) {
  struct plain s;
  if (!begin_plain(t, &s) || !plain_attributes(&s, number, t->starts)) return false;
  end_plain(t, &s);
  return true;
}

/* A null in a list is skipped, but among the values of an array it is a value, the empty one. */
static bool list(struct transcode *t, uint32_t number, const struct otlp_field *field,
                 uint32_t depth) {
  if (!json_expect(&t->json, '[', "expected [")) return false;
  if (json_take(&t->json, ']')) return true;
  bool plain = field->child == OTLP_KEY_VALUE && depth + 2 <= t->depth_max;
  do {
    if (plain && attributes(t, number)) continue;
    if (json_word(&t->json, "null")) {
      if (field->child != OTLP_ANY_VALUE) continue;
      if (!add_tag(t, number, WIRE_LEN) || !add(t, "\0", 1)) return false;
    } else if (!value(t, number, field, depth)) {
      return false;
    }
  } while (json_take(&t->json, ','));
  return json_expect(&t->json, ']', "expected , or ]");
}

static inline bool same(struct json_slice key, const char *name, size_t n) {
  return key.n == n && name && bytes_same((const uint8_t *)key.p, (const uint8_t *)name, n);
}

#define SAME(key, name) same(key, name, sizeof(name) - 1)

/* A field by its JSON name: its number, or 0. Members come in the order of the schema, more or less,
 * so the look for one starts behind the one before. Exporters before 1.0 had other names for two. */
static uint32_t number_of(uint32_t shape, struct json_slice key, uint32_t before) {
  const struct otlp_field *fields = otlp_shapes[shape].fields;
  for (uint32_t i = before + 1; i < OTLP_FIELDS; i++)
    if (same(key, fields[i].name, fields[i].name_bytes)) return i;
  for (uint32_t i = 1; i <= before; i++)
    if (same(key, fields[i].name, fields[i].name_bytes)) return i;
  if (shape == OTLP_RESOURCE_SPANS && SAME(key, "instrumentationLibrarySpans")) return 2;
  if (shape == OTLP_SCOPE_SPANS && SAME(key, "instrumentationLibrary")) return 1;
  return 0;
}

/* Behind a name and its colon; 0: of no field. */
static bool member_value(struct transcode *t, uint32_t shape, uint32_t depth, uint32_t number) {
  const struct otlp_field *field = &otlp_shapes[shape].fields[number];
  if (json_word(&t->json, "null")) return true;
  if (number == 0 || field->kind == OTLP_INDEX) return json_skip(&t->json, t->depth_max - depth);
  return field->repeated ? list(t, number, field, depth) : value(t, number, field, depth);
}

/* *number: of the member before, and then of this one. */
static bool member(struct transcode *t, uint32_t shape, uint32_t depth, uint32_t *number) {
  struct json_slice key;
  if (json_peek(&t->json) != '"') return json_expect(&t->json, '"', "expected a key");
  if (!json_short(&t->json, &key)) return false;
  *number = number_of(shape, key, *number);
  bool received = shape == OTLP_REQUEST && SAME(key, "receivedAtUnixNano");
  if (!json_expect(&t->json, ':', "expected a colon")) return false;
  if (!received) return member_value(t, shape, depth, *number);
  if (json_word(&t->json, "null")) return true;
  t->result->has_received_at = true;
  return read_whole(t, 0, UINT64_MAX, &t->result->received_at_ns);
}

/* As many members as are plain, or one. */
static bool members(struct transcode *t, uint32_t shape, uint32_t depth, uint32_t *number) {
  struct plain s;
  if (!begin_plain(t, &s) || !plain_members(&s, shape, number)) return member(t, shape, depth, number);
  end_plain(t, &s);
  return !s.named || member_value(t, shape, depth, *number);
}

static bool message(struct transcode *t, uint32_t shape, uint32_t depth) {
  if (!json_expect(&t->json, '{', "expected {")) return false;
  if (json_take(&t->json, '}')) return true;
  uint32_t number = 0;
  do {
    if (!members(t, shape, depth, &number)) return false;
  } while (json_take(&t->json, ','));
  return json_expect(&t->json, '}', "expected , or }");
}

static int report(const struct json *j, struct otlp_fault *fault) {
  fault->err = j->err;
  fault->offset = (size_t)(j->at - j->text);
  json_place(j, j->at, &fault->line, &fault->column);
  snprintf(fault->what, sizeof fault->what, "%s", j->what);
  return j->err;
}

int otlp_json_transcode(const char *text, size_t n, bool exact, const struct otlp_limits *limits,
                        struct buffer *out, struct otlp_json_result *result,
                        struct otlp_fault *fault) {
  struct transcode t = {.out = out, .result = result, .depth_max = limits->depth_max};
  uint32_t column;
  *result = (struct otlp_json_result){0};
  *fault = (struct otlp_fault){0};
  size_t before = out->len;
  look_at_room(&t);
  json_init(&t.json, text, n);
  bool good = message(&t, OTLP_REQUEST, 0);
  json_space(&t.json);
  if (good && exact && t.json.p < t.json.end)
    good = fail_value(&t, t.json.p, "more text behind the document");
  if (!good) out->len = before;
  result->consumed = (size_t)(t.json.p - t.json.text);
  result->invalid_utf8 = t.json.invalid_utf8;
  if (!exact) json_place(&t.json, t.json.p, &result->lines, &column);
  result->lines -= !exact;
  int err = good ? 0 : report(&t.json, fault);
  json_deinit(&t.json);
  return err;
}
