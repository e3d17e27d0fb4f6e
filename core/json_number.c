/* Decimal text to numbers. Reads only, cannot run out of anything. */
#include "json_number.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

enum { NUMBER_BYTES_MAX = 1024, DIGITS_MAX = 19 };   /* so many fit into 64 bits, whatever they are */

/* Exponents beyond it are past any range, whatever the digits are (a body has fewer). */
static const int64_t exponent_max = (int64_t)1 << 40;

struct decimal {
  bool negative;
  uint64_t digits;       /* without the zeros at both ends; exact */
  bool overflow;         /* they exceed 64 bits */
  int64_t exponent;      /* the value is digits * 10^exponent */
};

static bool times_ten(uint64_t *value, uint64_t plus) {
  return !__builtin_mul_overflow(*value, 10, value) && !__builtin_add_overflow(*value, plus, value);
}

/* Zeros wait until a digit follows them: those at the end belong to the exponent. */
static void add_digit(struct decimal *d, int64_t *zeros, char c) {
  if (c == '0') {
    ++*zeros;
    return;
  }
  for (; *zeros > 0 && d->digits; --*zeros) d->overflow = d->overflow || !times_ten(&d->digits, 0);
  *zeros = 0;
  d->overflow = d->overflow || !times_ten(&d->digits, (uint64_t)(c - '0'));
}

static bool is_digit(const char *p, const char *end) {
  return p < end && *p >= '0' && *p <= '9';
}

static const char *read_exponent(const char *p, const char *end, int64_t *out) {
  bool negative = p < end && *p == '-';
  int64_t exponent = 0;
  if (p < end && (*p == '-' || *p == '+')) p++;
  if (!is_digit(p, end)) return NULL;
  for (; is_digit(p, end); p++)
    if (exponent < exponent_max) exponent = exponent * 10 + (*p - '0');
  *out = negative ? -exponent : exponent;
  return p;
}

static bool read_decimal(const char *p, size_t n, struct decimal *d) {
  const char *end = p + n;
  int64_t zeros = 0, fraction = 0, exponent = 0;
  *d = (struct decimal){.negative = n && *p == '-'};
  if (d->negative) p++;
  if (!is_digit(p, end)) return false;
  for (; is_digit(p, end); p++) add_digit(d, &zeros, *p);
  if (p < end && *p == '.') {
    if (!is_digit(++p, end)) return false;
    for (; is_digit(p, end); p++, fraction++) add_digit(d, &zeros, *p);
  }
  if (p < end && (*p | 32) == 'e' && !(p = read_exponent(p + 1, end, &exponent))) return false;
  d->exponent = exponent - fraction + zeros;
  return p == end;
}

/* Eight digits, the first in the lowest byte: their value, by pairs, then fours. false: not all of them are, for a byte is
 * more than 9 without '0'; the sum's carries only spoil what lies behind one. */
static inline bool read_eight(const uint8_t *p, uint64_t *value) {
  const uint64_t ones = 0x0101010101010101u;
  uint64_t w = le64toh(bytes_load64(p)) ^ ones * '0';
  if ((w | (w + ones * (0x7f - 9))) & ones << 7) return false;
  w = (w * 10 + (w >> 8)) & 0x00ff00ff00ff00ffu;
  w = (w * 100 + (w >> 16)) & 0x0000ffff0000ffffu;
  *value = (w * 10000 + (w >> 32)) & 0xffffffffu;
  return true;
}

const uint8_t *json_number_digits(const uint8_t *p, const uint8_t *end, uint64_t *value) {
  uint64_t eight;
  if (end - p > DIGITS_MAX) end = p + DIGITS_MAX;
  *value = 0;
  for (; end - p >= 8 && read_eight(p, &eight); p += 8) *value = *value * 100000000 + eight;
  for (; p < end && *p >= '0' && *p <= '9'; p++) *value = *value * 10 + (uint64_t)(*p - '0');
  return p;
}

/* Digits and nothing else, so few that they fit: nearly all whole numbers. */
static bool read_short(const char *p, size_t n, uint64_t *out) {
  const uint8_t *end = (const uint8_t *)p + n;
  return n > 0 && json_number_digits((const uint8_t *)p, end, out) == end;
}

bool json_number_whole(const char *p, size_t n, bool *negative, uint64_t *magnitude) {
  struct decimal d;
  *negative = false;
  if (read_short(p, n, magnitude)) return true;
  if (!read_decimal(p, n, &d)) return false;
  if (d.overflow) return false;
  *negative = d.negative && d.digits;
  *magnitude = d.digits;
  if (d.digits == 0) return true;
  if (d.exponent < 0 || d.exponent > 19) return false;
  for (int64_t i = 0; i < d.exponent; i++)
    if (!times_ten(magnitude, 0)) return false;
  return true;
}

static bool is_text(const char *p, size_t n, const char *text) {
  return n == strlen(text) && memcmp(p, text, n) == 0;
}

bool json_number_double(const char *p, size_t n, double *out) {
  struct decimal d;
  char copy[NUMBER_BYTES_MAX + 1];
  if (is_text(p, n, "NaN")) *out = NAN;
  else if (is_text(p, n, "Infinity")) *out = INFINITY;
  else if (is_text(p, n, "-Infinity")) *out = -INFINITY;
  else if (n > NUMBER_BYTES_MAX || !read_decimal(p, n, &d)) return false;
  else {
    memcpy(copy, p, n);
    copy[n] = 0;
    *out = strtod(copy, NULL);
    return isfinite(*out);
  }
  return true;
}
