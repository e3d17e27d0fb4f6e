/* The seasons' story. The mean of each hour is kept for four weeks, in a ring of single floats. What
 * an hour brings is the median of the same hour a week, two, three and four weeks ago, where three
 * of these are known; else of the last seven days, where three are known; and it strays as these do
 * among themselves. Hours of the week are what demand follows most closely (Hong, "Short term
 * electric load forecasting", 2010), and a median of three holds against one that was out of the
 * ordinary.
 *
 * Ways it fails: no memory for the ring when the first hour is noted: it is tried again with the
 * next. The ring belongs to the season. */
#include "season.h"

#include <math.h>

#include "err.h"
#include "heap.h"
#include "median.h"

enum { DAY = 24, WEEK = 7 * DAY };

void season_deinit(struct season *s) {
  heap_free(s->hours);
  *s = (struct season){0};
}

size_t season_bytes(const struct season *s) {
  return s->hours ? SEASON_HOURS * sizeof *s->hours : 0;
}

static float *at(const struct season *s, uint64_t hour) {
  return &s->hours[hour % SEASON_HOURS];
}

/* Hours that nothing was noted of in between are not known. */
static int note(struct season *s, uint64_t hour, double value) {
  if (!s->hours) {
    if (!(s->hours = heap_alloc(SEASON_HOURS * sizeof *s->hours))) return FLUO_ENOMEM;
    for (uint32_t i = 0; i < SEASON_HOURS; i++) s->hours[i] = NAN;
  } else {
    uint64_t gap = hour - s->last;
    for (uint64_t i = 1; i < gap && i <= SEASON_HOURS; i++) *at(s, hour - i) = NAN;
  }
  *at(s, hour) = (float)value;
  s->last = hour;
  return 0;
}

int season_learn(struct season *s, uint64_t t_ns, uint64_t step_ns, double value) {
  uint64_t hour = t_ns / SEASON_HOUR_NS;
  int err = 0;
  if (hour != s->hour) {
    bool half = s->count && s->count >= SEASON_HOUR_NS / 2 / step_ns;
    if (half) err = note(s, s->hour, s->sum / s->count);
    s->hour = hour;
    s->sum = 0;
    s->count = 0;
  }
  s->sum += value;
  s->count++;
  return err;
}

/* The same hour `apart` hours ago, twice that, and so on. */
static uint32_t recall(const struct season *s, uint64_t hour, uint64_t apart, uint32_t most,
                       double *values, uint64_t *oldest) {
  uint32_t n = 0;
  for (uint64_t k = 1; k <= most && k * apart <= hour; k++) {
    uint64_t then = hour - k * apart;
    if (then > s->last || s->last - then >= SEASON_HOURS || !isfinite(*at(s, then))) continue;
    values[n++] = *at(s, then);
    *oldest = then;
  }
  return n;
}

static bool of_hour(const struct season *s, uint64_t hour, struct season_hour *out) {
  double values[SEASON_DAYS];
  uint64_t oldest = 0;
  uint32_t n = recall(s, hour, WEEK, SEASON_WEEKS, values, &oldest);
  if (n < SEASON_ENOUGH) n = recall(s, hour, DAY, SEASON_DAYS, values, &oldest);
  if (n < SEASON_ENOUGH) return false;
  out->normal = median(values, n);
  out->spread = MEDIAN_SIGMA * median_deviation(values, n, out->normal);
  out->samples = n;
  out->since_ns = oldest * SEASON_HOUR_NS;
  return true;
}

static double between(double a, double b, double share) {
  return a + (b - a) * share;
}

bool season_get(const struct season *s, uint64_t t_ns, struct season_hour *out) {
  struct season_hour next;
  if (!s->hours || t_ns < SEASON_HOUR_NS) return false;
  uint64_t from = t_ns - SEASON_HOUR_NS / 2, hour = from / SEASON_HOUR_NS;
  double share = (double)(from % SEASON_HOUR_NS) / (double)SEASON_HOUR_NS;
  if (!of_hour(s, hour, out)) return of_hour(s, hour + 1, out);
  if (!of_hour(s, hour + 1, &next)) return true;
  out->normal = between(out->normal, next.normal, share);
  out->spread = between(out->spread, next.spread, share);
  if (next.samples < out->samples) out->samples = next.samples;
  if (next.since_ns < out->since_ns) out->since_ns = next.since_ns;
  return true;
}

/* An hour that is not known takes a byte. */
void season_write(const struct season *s, struct pack *p) {
  pack_uint(p, s->hour);
  pack_uint(p, s->last);
  pack_number(p, s->sum);
  pack_uint(p, s->count);
  pack_uint(p, s->hours != NULL);
  for (uint32_t i = 0; s->hours && i < SEASON_HOURS; i++) {
    bool known = isfinite(s->hours[i]);
    pack_uint(p, known);
    if (known) pack_bytes(p, &s->hours[i], sizeof s->hours[i]);
  }
}

int season_read(struct season *s, struct unpack *u) {
  s->hour = unpack_uint(u);
  s->last = unpack_uint(u);
  s->sum = unpack_number(u);
  s->count = (uint32_t)unpack_upto(u, UINT32_MAX - 1);
  bool hours = unpack_upto(u, 1);
  if (u->bad) return FLUO_EMALFORMED;
  if (hours && !(s->hours = heap_alloc(SEASON_HOURS * sizeof *s->hours))) return FLUO_ENOMEM;
  for (uint32_t i = 0; hours && i < SEASON_HOURS; i++) {
    s->hours[i] = NAN;
    if (unpack_upto(u, 1)) unpack_copy(u, &s->hours[i], sizeof s->hours[i]);
  }
  return u->bad ? FLUO_EMALFORMED : 0;
}
