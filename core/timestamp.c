/* Reading times. Strict: every digit and separator in its place, days that the month has. A leap second, :60, is the next
 * minute's first. Moves no data. */
#include "timestamp.h"

struct cursor { const char *p, *end; bool sound; };

/* So many digits. */
static int64_t number(struct cursor *c, int digits) {
  int64_t x = 0;
  for (; digits > 0 && c->sound; digits--) {
    c->sound = c->p < c->end && *c->p >= '0' && *c->p <= '9';
    if (c->sound) x = x * 10 + (*c->p++ - '0');
  }
  return x;
}

/* One of these characters, which is given; 0: none. */
static char mark(struct cursor *c, char a, char b) {
  char got = c->sound && c->p < c->end ? *c->p : '\0';
  c->sound = got && (got == a || got == b);
  if (c->sound) c->p++;
  return c->sound ? got : '\0';
}

static bool is_leap(int64_t year) {
  return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970, of a year from then on. */
static int64_t days_of(int64_t year, int64_t month, int64_t day, bool *sound) {
  static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  int64_t days = (year - 1970) * 365 + (year - 1969) / 4 - (year - 1901) / 100 + (year - 1601) / 400;
  *sound = *sound && year >= 1970 && year < 2200 && month >= 1 && month <= 12;
  if (!*sound) return 0;
  for (int64_t m = 1; m < month; m++) days += lengths[m - 1] + (m == 2 && is_leap(year));
  *sound = day >= 1 && day <= lengths[month - 1] + (month == 2 && is_leap(year));
  return days + day - 1;
}

static int64_t fraction_of(struct cursor *c) {
  int64_t ns = 0, unit = 100000000;
  if (!c->sound || c->p >= c->end || *c->p != '.') return 0;
  c->p++;
  c->sound = c->p < c->end && *c->p >= '0' && *c->p <= '9';
  for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; unit /= 10) ns += (*c->p++ - '0') * unit;
  return ns;
}

/* Seconds east of UTC. */
static int64_t zone_of(struct cursor *c) {
  if (c->sound && c->p < c->end && (*c->p == 'Z' || *c->p == 'z')) return c->p++, 0;
  int64_t sign = mark(c, '+', '-') == '-' ? -1 : 1;
  int64_t hours = number(c, 2);
  mark(c, ':', ':');
  int64_t minutes = number(c, 2);
  c->sound = c->sound && hours < 24 && minutes < 60;
  return sign * (hours * 3600 + minutes * 60);
}

bool timestamp_read(const char *p, size_t n, uint64_t *unix_ns) {
  struct cursor c = {p, p + n, n > 0};
  int64_t year = number(&c, 4);
  mark(&c, '-', '-');
  int64_t month = number(&c, 2);
  mark(&c, '-', '-');
  int64_t s = days_of(year, month, number(&c, 2), &c.sound) * 86400;
  mark(&c, 'T', 't');
  int64_t hour = number(&c, 2);
  mark(&c, ':', ':');
  int64_t minute = number(&c, 2);
  mark(&c, ':', ':');
  int64_t second = number(&c, 2);
  int64_t ns = fraction_of(&c);
  s += hour * 3600 + minute * 60 + second - zone_of(&c);
  if (!c.sound || c.p != c.end || hour > 23 || minute > 59 || second > 60 || s < 0) return false;
  *unix_ns = (uint64_t)s * 1000000000u + (uint64_t)ns;
  return true;
}
