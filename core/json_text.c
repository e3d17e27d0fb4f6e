/* The reader of JSON text. It lends slices of the text where it can, and copies only strings
 * that have to be decoded: into the caller's buffer, whose bound is theirs, or into its own
 * small scratch, freed by json_deinit. Fails by keeping the first error; the caller unwinds on
 * false. */
#include "json_text.h"

#include "bytes.h"
#include "err.h"
#include "utf8.h"

enum { JSON_SCRATCH_BYTES_MAX = 1024 };

void json_init(struct json *j, const char *text, size_t n) {
  if (n == 0) text = "";    /* it may be NULL */
  *j = (struct json){.text = (const uint8_t *)text, .p = (const uint8_t *)text};
  j->end = j->p + n;
  buffer_init(&j->scratch, JSON_SCRATCH_BYTES_MAX);
  if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) j->p += 3;
}

void json_deinit(struct json *j) {
  buffer_deinit(&j->scratch);
}

bool json_fail(struct json *j, const uint8_t *at, int err, const char *what) {
  if (j->err) return false;
  j->err = err;
  j->at = at;
  j->what = what;
  return false;
}

/* What is wrong at p, or that the text ends there. */
static bool fail_here(struct json *j, const char *what) {
  if (j->p >= j->end) return json_fail(j, j->end, FLUO_ETRUNCATED, "the text ends here");
  return json_fail(j, j->p, FLUO_EMALFORMED, what);
}

bool json_unexpected(struct json *j, const char *what) {
  return fail_here(j, what);
}

/* Most of it is what pretty lines are moved in by. */
const uint8_t *json_space_run(const uint8_t *p, const uint8_t *end) {
  while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
    for (p++; end - p >= 8 && bytes_load64(p) == 0x2020202020202020u; p += 8) continue;
  return p;
}

int json_past_space(struct json *j) {
  j->p = json_space_run(j->p, j->end);
  return j->p < j->end ? *j->p : -1;
}

bool json_rest(struct json *j, const char *word) {
  size_t n = strlen(word);
  if ((size_t)(j->end - j->p) < n || memcmp(j->p, word, n) != 0) return false;
  j->p += n;
  return true;
}

const uint8_t *json_plain_run(const uint8_t *p, const uint8_t *end) {
  while (end - p >= JSON_BLOCK_BYTES) {
    size_t n = json_plain_bytes(p);
    p += n;
    if (n < JSON_BLOCK_BYTES) return p;
  }
  while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') p++;
  return p;
}

static int hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if ((c | 32) >= 'a' && (c | 32) <= 'f') return (c | 32) - 'a' + 10;
  return -1;
}

/* Four hex digits at p: their value, or -1. */
static int32_t unit_at(const uint8_t *p, const uint8_t *end) {
  int32_t unit = 0;
  if (end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(p[i]);
    if (digit < 0) return -1;
    unit = unit << 4 | digit;
  }
  return unit;
}

/* Behind "\u": one UTF-16 unit, or two that are a pair. What is alone of a pair becomes U+FFFD. */
static bool unicode_escape(struct json *j, char out[4], size_t *n) {
  int32_t unit = unit_at(j->p, j->end);
  if (unit < 0) {
    if (j->end - j->p < 4) j->p = j->end;
    return fail_here(j, "expected four hex digits");
  }
  j->p += 4;
  if (unit >= 0xd800 && unit < 0xdc00 && j->end - j->p >= 6 && j->p[0] == '\\' && j->p[1] == 'u') {
    int32_t low = unit_at(j->p + 2, j->end);
    if (low >= 0xdc00 && low < 0xe000) {
      j->p += 6;
      unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
  }
  *n = utf8_put((uint32_t)unit, out);
  return true;
}

/* At a backslash: what it stands for. */
static bool escape(struct json *j, char out[4], size_t *n) {
  static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
  j->p++;
  if (j->p >= j->end) return fail_here(j, "");
  if (*j->p == 'u') {
    j->p++;
    return unicode_escape(j, out, n);
  }
  const char *name = *j->p ? strchr(names, *j->p) : NULL;
  if (!name) return fail_here(j, "no such escape");
  j->p++;
  out[0] = means[name - names];
  *n = 1;
  return true;
}

static bool add(struct json *j, struct buffer *out, const void *p, size_t n) {
  if (!out || n == 0 || buffer_add(out, p, n) == 0) return true;
  bool large = out->err == FLUO_ETOOLARGE;
  return json_fail(j, j->p, out->err,
                   large ? "more decoded bytes than the bound" : "out of memory");
}

/* At a byte past ASCII: a whole character, or U+FFFD for what is none. */
static bool character(struct json *j, struct buffer *out) {
  bool valid;
  size_t n = utf8_step(j->p, (size_t)(j->end - j->p), &valid);
  if (!valid) j->invalid_utf8++;
  bool added = valid ? add(j, out, j->p, n) : add(j, out, "\xef\xbf\xbd", 3);
  j->p += n;
  return added;
}

bool json_string(struct json *j, struct buffer *out) {
  if (!json_expect(j, '"', "expected a string")) return false;
  for (;;) {
    const uint8_t *run = j->p;
    j->p = json_plain_run(j->p, j->end);
    if (!add(j, out, run, (size_t)(j->p - run))) return false;
    if (j->p < j->end && *j->p == '"') break;
    if (j->p >= j->end || *j->p < 0x20) return fail_here(j, "a control character in a string");
    if (*j->p >= 0x80) {
      if (!character(j, out)) return false;
      continue;
    }
    char decoded[4];
    size_t n = 0;
    if (!escape(j, decoded, &n) || !add(j, out, decoded, n)) return false;
  }
  j->p++;
  return true;
}

bool json_plain(struct json *j, struct json_slice *out) {
  if (json_peek(j) != '"') return false;
  const uint8_t *start = j->p + 1, *q = json_plain_run(start, j->end);
  if (q >= j->end || *q != '"') return false;
  *out = (struct json_slice){(const char *)start, (size_t)(q - start)};
  j->p = q + 1;
  return true;
}

bool json_short(struct json *j, struct json_slice *out) {
  if (json_plain(j, out)) return true;
  const uint8_t *start = j->p;
  buffer_clear(&j->scratch);
  if (json_string(j, &j->scratch)) {
    *out = (struct json_slice){j->scratch.data, j->scratch.len};
    return true;
  }
  if (j->scratch.err != FLUO_ETOOLARGE) return false;
  j->err = 0;
  j->p = start;
  *out = (struct json_slice){"", 0};
  return json_string(j, NULL);
}

static bool digits(struct json *j) {
  const uint8_t *start = j->p;
  while (j->p < j->end && *j->p >= '0' && *j->p <= '9') j->p++;
  return j->p > start || fail_here(j, "expected a digit");
}

bool json_number(struct json *j, struct json_slice *out) {
  json_space(j);
  const uint8_t *start = j->p;
  if (j->p < j->end && *j->p == '-') j->p++;
  const uint8_t *whole = j->p;
  if (!digits(j)) return false;
  if (*whole == '0' && j->p > whole + 1)
    return json_fail(j, whole, FLUO_EMALFORMED, "a number with leading zeros");
  if (j->p < j->end && *j->p == '.') {
    j->p++;
    if (!digits(j)) return false;
  }
  if (j->p < j->end && (*j->p | 32) == 'e') {
    j->p++;
    if (j->p < j->end && (*j->p == '+' || *j->p == '-')) j->p++;
    if (!digits(j)) return false;
  }
  *out = (struct json_slice){(const char *)start, (size_t)(j->p - start)};
  return true;
}

static bool skip_items(struct json *j, uint32_t depth, char close) {
  if (json_take(j, close)) return true;
  do {
    if (close == '}' && !(json_string(j, NULL) && json_expect(j, ':', "expected a colon")))
      return false;
    if (!json_skip(j, depth)) return false;
  } while (json_take(j, ','));
  return json_expect(j, close, close == '}' ? "expected , or }" : "expected , or ]");
}

bool json_skip(struct json *j, uint32_t depth) {
  struct json_slice number;
  int c = json_peek(j);
  if (c == '"') return json_string(j, NULL);
  if (c == '-' || (c >= '0' && c <= '9')) return json_number(j, &number);
  if (c != '{' && c != '[') {
    if (json_word(j, "null") || json_word(j, "true") || json_word(j, "false")) return true;
    return fail_here(j, "expected a value");
  }
  if (depth == 0) return json_fail(j, j->p, FLUO_EDEPTH, "nested too deep");
  j->p++;
  return skip_items(j, depth - 1, c == '{' ? '}' : ']');
}

void json_place(const struct json *j, const uint8_t *at, uint32_t *line, uint32_t *column) {
  const uint8_t *start = j->text;
  *line = 1;
  for (const uint8_t *q; (q = memchr(start, '\n', (size_t)(at - start))); start = q + 1) ++*line;
  *column = (uint32_t)(at - start) + 1;
}
