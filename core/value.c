/* Comparing values. Numbers are compared exactly: an int and a double never meet in a double. */
#include "value.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NO_ORDER = 2 };

/* ---- text as a number ---------------------------------------------------------------------- */

/* A decimal number taken apart: 0.d1d2d3… * 10^point, the digits without zeros at their ends. */
struct decimal {
  /* More digits than a double can tell apart (767), one that stands for any that were dropped, and
   * room for the exponent that strtod is given. */
  char text[832];
  uint32_t digits;
  int64_t point;
  bool negative;
};

enum { DIGITS_MAX = 800, POINT_MAX = 100000, NUMBER_BYTES_MAX = 65536 };

static bool is_space(uint8_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(uint8_t c) {
  return c >= '0' && c <= '9';
}

/* Beyond DIGITS_MAX only whether anything follows matters: to rounding, and to being whole. */
static void add_digit(struct decimal *d, uint8_t c, bool fraction) {
  if (d->digits == 0 && c == '0') {
    d->point -= fraction;
    return;
  }
  d->point += !fraction;
  if (d->digits < DIGITS_MAX)
    d->text[1 + d->digits++] = (char)c;
  else if (c != '0')
    d->text[DIGITS_MAX] = '1';
}

static const uint8_t *read_digits(const uint8_t *p, const uint8_t *end, struct decimal *d,
                                  bool *any) {
  bool fraction = false;
  for (; p < end; p++) {
    if (is_digit(*p)) {
      add_digit(d, *p, fraction);
      *any = true;
    } else if (*p == '.' && !fraction) {
      fraction = true;
    } else {
      break;
    }
  }
  return p;
}

/* An exponent too long to matter stops growing; it stays far outside of every double. */
static const uint8_t *read_exponent(const uint8_t *p, const uint8_t *end, struct decimal *d) {
  p++;
  bool negative = p < end && *p == '-';
  if (p < end && (*p == '-' || *p == '+')) p++;
  if (p == end) return NULL;
  int64_t exponent = 0;
  for (; p < end && is_digit(*p); p++)
    if (exponent < INT64_C(1) << 40) exponent = exponent * 10 + (*p - '0');
  d->point += negative ? -exponent : exponent;
  return p;
}

/* false: the text is no decimal number. */
static bool decimal_read(const uint8_t *p, size_t n, struct decimal *d) {
  const uint8_t *end = p + n;
  while (p < end && is_space(*p)) p++;
  while (p < end && is_space(end[-1])) end--;
  d->digits = 0;
  d->point = 0;
  d->negative = p < end && *p == '-';
  if (p < end && (*p == '-' || *p == '+')) p++;
  bool any = false;
  p = read_digits(p, end, d, &any);
  if (!any) return false;
  if (p < end && (*p == 'e' || *p == 'E')) p = read_exponent(p, end, d);
  if (p != end) return false;
  while (d->digits && d->text[d->digits] == '0') d->digits--;
  return true;
}

/* false: not whole, or beyond an int64. */
static bool decimal_int(const struct decimal *d, int64_t *out) {
  if (d->digits == 0) {
    *out = 0;
    return true;
  }
  if (d->point > 19 || d->point < (int64_t)d->digits) return false;
  uint64_t magnitude = 0;
  for (int64_t i = 0; i < d->point; i++)
    magnitude = magnitude * 10 + (i < (int64_t)d->digits ? (uint64_t)(d->text[1 + i] - '0') : 0);
  if (magnitude > (uint64_t)INT64_MAX + d->negative) return false;
  *out = d->negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
  return true;
}

/* Written by hand since snprintf and a wide exponent would need a bound of their own. The agent
 * never leaves the C locale, so strtod's point is a dot (and none is written anyway). */
static double decimal_double(struct decimal *d) {
  int64_t exponent = d->point - (int64_t)d->digits;
  if (exponent > POINT_MAX) exponent = POINT_MAX;
  if (exponent < -POINT_MAX) exponent = -POINT_MAX;
  char *at = d->text + 1 + d->digits;
  *at++ = 'e';
  *at++ = exponent < 0 ? '-' : '+';
  int64_t left = exponent < 0 ? -exponent : exponent;
  for (int64_t unit = POINT_MAX; unit; unit /= 10) *at++ = (char)('0' + left / unit % 10);
  *at = '\0';
  d->text[0] = d->negative ? '-' : '+';
  return strtod(d->text, NULL);
}

/* What is longer is a body full of digits, and nobody's number: 8 MB of them would take 14 ms. */
bool value_number(const uint8_t *p, size_t n, struct fluo_value *out) {
  struct decimal d;
  if (n > NUMBER_BYTES_MAX || !decimal_read(p, n, &d)) return false;
  *out = (struct fluo_value){.type = FLUO_TYPE_INT};
  if (decimal_int(&d, &out->integer)) return true;
  out->type = FLUO_TYPE_DOUBLE;
  out->number = decimal_double(&d);
  return true;
}

/* ---- comparing ----------------------------------------------------------------------------- */

/* Not by way of a copy: a processor that reads whole what was just written in parts waits for it. */
void datum_number(struct datum *d) {
  const struct fluo_value *value = &d->value;
  d->number = (struct fluo_value){.type = FLUO_TYPE_NONE};
  if (value->type == FLUO_TYPE_INT) {
    d->number = (struct fluo_value){.type = FLUO_TYPE_INT, .integer = value->integer};
  } else if (value->type == FLUO_TYPE_DOUBLE) {
    d->number = (struct fluo_value){.type = FLUO_TYPE_DOUBLE, .number = value->number};
  } else if (value->type == FLUO_TYPE_STRING && value->len) {
    /* Most texts start with a letter: those are known by one byte. */
    uint8_t c = value->text[0];
    if (c <= '9' && !value_number(value->text, value->len, &d->number))
      d->number.type = FLUO_TYPE_NONE;
  }
}

void datum_init(struct datum *d, const struct fluo_value *value) {
  d->value = *value;
  datum_number(d);
}

static int compare_doubles(double a, double b) {
  return a < b ? -1 : a > b ? 1 : a == b ? 0 : NO_ORDER;
}

static int compare_int_double(int64_t a, double b) {
  if (isnan(b)) return NO_ORDER;
  if (b >= 0x1p63) return -1;
  if (b < -0x1p63) return 1;
  int64_t whole = (int64_t)b;
  if (a != whole) return a < whole ? -1 : 1;
  return compare_doubles((double)whole, b);
}

static int compare_numbers(const struct fluo_value *a, const struct fluo_value *b) {
  if (a->type == FLUO_TYPE_INT && b->type == FLUO_TYPE_INT)
    return a->integer < b->integer ? -1 : a->integer > b->integer;
  if (a->type == FLUO_TYPE_INT) return compare_int_double(a->integer, b->number);
  if (b->type == FLUO_TYPE_DOUBLE) return compare_doubles(a->number, b->number);
  int order = compare_int_double(b->integer, a->number);
  return order == NO_ORDER ? order : -order;
}

int datum_compare(const struct datum *a, const struct datum *b) {
  if (a->number.type == FLUO_TYPE_NONE || b->number.type == FLUO_TYPE_NONE) return NO_ORDER;
  return compare_numbers(&a->number, &b->number);
}

static bool is_text(const struct fluo_value *v, const char *text, size_t n) {
  return v->len == n && memcmp(v->text, text, n) == 0;
}

/* A bool against a bool or the exact text of one. */
static bool bool_equal(const struct fluo_value *truth, const struct fluo_value *other) {
  if (other->type == FLUO_TYPE_BOOL) return !truth->integer == !other->integer;
  if (other->type != FLUO_TYPE_STRING) return false;
  return truth->integer ? is_text(other, "true", 4) : is_text(other, "false", 5);
}

bool datum_equal(const struct datum *a, const struct datum *b) {
  const struct fluo_value *v = &a->value, *w = &b->value;
  if (v->type == FLUO_TYPE_STRING && w->type == FLUO_TYPE_STRING)
    return v->len == w->len && (v->len == 0 || memcmp(v->text, w->text, v->len) == 0);
  if (v->type == FLUO_TYPE_BOOL) return bool_equal(v, w);
  if (w->type == FLUO_TYPE_BOOL) return bool_equal(w, v);
  return datum_compare(a, b) == 0;
}

void value_hex(const uint8_t *id, uint32_t n, char scratch[32], struct fluo_value *out) {
  assert(n <= 16);
  for (uint32_t i = 0; i < n; i++) {
    scratch[2 * i] = "0123456789abcdef"[id[i] >> 4];
    scratch[2 * i + 1] = "0123456789abcdef"[id[i] & 15];
  }
  const uint8_t *text = (const uint8_t *)scratch;
  *out = (struct fluo_value){.type = FLUO_TYPE_STRING, .text = text, .len = 2 * n};
}

bool value_element(const struct fluo_value *array, uint32_t *at, struct fluo_value *out) {
  struct fluo_item item = {.next = *at};
  if (!fluo_item_next(array->text, array->len, 1, &item)) return false;
  *at = item.next;
  if (!fluo_any_value(item.text, item.len, out)) *out = (struct fluo_value){.type = FLUO_TYPE_NONE};
  return true;
}
