/* A run of bytes that grows by doubling up to its bound. Good path: append, lend data and len,
 * clear, append again; deinit frees. An append that does not fit the bound, or finds no memory,
 * leaves what is there as it was, notes why in err, and so do all that follow: a long output is
 * built without a check a line, and looked at once, at its end. */
#include "buffer.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "json_text.h"
#include "utf8.h"

enum { BUFFER_FIRST_BYTES = 256 };

void buffer_init(struct buffer *b, size_t max) {
  *b = (struct buffer){.max = max};
}

void buffer_deinit(struct buffer *b) {
  heap_free(b->data);
  *b = (struct buffer){.max = b->max};
}

void buffer_clear(struct buffer *b) {
  b->len = 0;
  b->err = 0;
}

/* One byte more than asked for: printf ends with a NUL that is not counted. */
static int grow(struct buffer *b, size_t needed) {
  size_t capacity = b->capacity ? b->capacity : BUFFER_FIRST_BYTES;
  while (capacity <= needed) capacity = capacity < SIZE_MAX / 2 ? capacity * 2 : needed + 1;
  if (capacity > b->max) capacity = b->max + 1;
  char *grown = heap_realloc(b->data, capacity);
  if (!grown) return b->err = FLUO_ENOMEM;
  b->data = grown;
  b->capacity = capacity;
  return 0;
}

static char *make_room(struct buffer *b, size_t n) {
  assert(b->max < SIZE_MAX && b->len <= b->max);
  if (b->err) return NULL;
  if (n > b->max - b->len) {
    b->err = FLUO_ETOOLARGE;
    return NULL;
  }
  if (b->len + n >= b->capacity && grow(b, b->len + n)) return NULL;
  return b->data + b->len;
}

/* A line of JSON is a hundred short pieces, nearly all of which fit into what is there; that may be more than the bound,
 * which its owner may have lowered since. */
static inline char *room_for(struct buffer *b, size_t n) {
  bool there = !b->err && n < b->capacity - b->len && n <= b->max - b->len;
  return there ? b->data + b->len : make_room(b, n);
}

static inline int add(struct buffer *b, const void *p, size_t n) {
  char *to = room_for(b, n);
  if (!to) return b->err;
  if (n) memcpy(to, p, n);
  b->len += n;
  return 0;
}

char *buffer_reserve(struct buffer *b, size_t n) {
  return room_for(b, n);
}

int buffer_add(struct buffer *b, const void *p, size_t n) {
  return add(b, p, n);
}

int buffer_text(struct buffer *b, const char *s) {
  return add(b, s, strlen(s));
}

/* Most texts fit into what is there, and are made once. */
int buffer_printf(struct buffer *b, const char *format, ...) {
  size_t room = b->err ? 0 : b->capacity - b->len;
  va_list args;
  va_start(args, format);
  int n = vsnprintf(room ? b->data + b->len : NULL, room, format, args);
  va_end(args);
  assert(n >= 0);
  if ((size_t)n < room) {
    b->len += (size_t)n;
    return 0;
  }
  char *to = buffer_reserve(b, (size_t)n);
  if (!to) return b->err;
  va_start(args, format);
  vsnprintf(to, (size_t)n + 1, format, args);
  va_end(args);
  b->len += (size_t)n;
  return 0;
}

static int add_digits(struct buffer *b, uint64_t x, bool negative) {
  char text[21], *end = text + sizeof text, *p = end;
  do {
    *--p = (char)('0' + x % 10);
    x /= 10;
  } while (x);
  if (negative) *--p = '-';
  return buffer_add(b, p, (size_t)(end - p));
}

int buffer_int(struct buffer *b, int64_t x) {
  return add_digits(b, x < 0 ? 0 - (uint64_t)x : (uint64_t)x, x < 0);
}

int buffer_uint(struct buffer *b, uint64_t x) {
  return add_digits(b, x, false);
}

/* The code of a character that ends a line for who reads lines as Unicode has them (NEL, and the two separators), so that
 * "one object a line" holds for them too; of others their first byte. */
static unsigned line_end_or_byte(const uint8_t *p, size_t n) {
  if (n == 2 && p[0] == 0xc2 && p[1] == 0x85) return 0x85;
  if (n == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9)) return 0x2028u + (p[2] & 1u);
  return p[0];
}

static bool stands_as_it_is(const uint8_t *p, size_t n) {
  unsigned c = line_end_or_byte(p, n);
  return c == p[0] && c >= 0x20 && c != '"' && c != '\\';
}

static int add_escape(struct buffer *b, unsigned c) {
  switch (c) {
    case '"': return buffer_add(b, "\\\"", 2);
    case '\\': return buffer_add(b, "\\\\", 2);
    case '\n': return buffer_add(b, "\\n", 2);
    case '\r': return buffer_add(b, "\\r", 2);
    case '\t': return buffer_add(b, "\\t", 2);
    default: return buffer_printf(b, "\\u%04x", c);
  }
}

int buffer_json(struct buffer *b, const void *p, size_t n) {
  const uint8_t *text = p;
  size_t start = b->len, plain = 0, i = 0;    /* text from plain to i goes out as it is */
  buffer_add(b, "\"", 1);
  while (i < n && !b->err) {
    bool valid;
    i = (size_t)(json_plain_run(text + i, text + n) - text);
    if (i == n) break;
    size_t step = utf8_step(text + i, n - i, &valid);
    if (valid && stands_as_it_is(text + i, step)) {
      i += step;
      continue;
    }
    buffer_add(b, text + plain, i - plain);
    if (valid) add_escape(b, line_end_or_byte(text + i, step));
    else buffer_add(b, "\xef\xbf\xbd", 3);
    plain = i += step;
  }
  buffer_add(b, text + plain, i - plain);
  buffer_add(b, "\"", 1);
  if (b->err) b->len = start;
  return b->err;
}

int buffer_number_text(double x, char out[32]) {
  if (x == floor(x) && fabs(x) <= 9007199254740992.0) return snprintf(out, 32, "%.0f", x + 0.0);
  int n = 0;
  /* 15 digits that came from a decimal always go back to it, but not among the subnormals. */
  for (int digits = fabs(x) < 1e-300 ? 1 : 15; digits <= 17; digits++) {
    n = snprintf(out, 32, "%.*g", digits, x);
    if (strtod(out, NULL) == x) break;
  }
  return n;
}

int buffer_number(struct buffer *b, double x) {
  if (!isfinite(x)) return buffer_text(b, "null");
  char text[32];
  return buffer_add(b, text, (size_t)buffer_number_text(x, text));
}
