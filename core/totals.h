/* What events add up to: counts, and a sum that can be taken from as well as added to. Whole numbers are summed exactly,
 * fractions with a compensation: Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen",
 * 1974. */
#ifndef FLUO_TOTALS_H
#define FLUO_TOTALS_H
#include <math.h>

#include "events.h"

struct totals {
  __int128 whole;
  double   fraction, lost;          /* Neumaier's sum, and what it lost so far */
  uint64_t samples, numerator, spans, estimated, plus_infinite, minus_infinite;
};

static inline void totals_fraction(struct totals *t, double x) {
  double sum = t->fraction + x;
  t->lost += fabs(t->fraction) >= fabs(x) ? (t->fraction - sum) + x : (x - sum) + t->fraction;
  t->fraction = sum;
}

/* One more of it, or one less (sign -1). */
static inline void totals_count(struct totals *t, const struct series_event *e, int sign) {
  uint64_t one = (uint64_t)(int64_t)sign, n = one * e->weight;
  t->samples += n;
  if (e->flags & SERIES_NUMERATOR) t->numerator += n;
  if (e->flags & SERIES_ESTIMATED) t->estimated += n;
  if (e->flags & SERIES_SPAN) t->spans += one;
  if (isinf(e->value))
    *(e->value > 0 ? &t->plus_infinite : &t->minus_infinite) += one;
  else if (fabs(e->value) < 0x1p63 && e->value == (double)(int64_t)e->value)
    t->whole += sign * (__int128)(int64_t)e->value;
  else
    totals_fraction(t, sign * e->value);
}

/* All that is in `part`, more or less. */
static inline void totals_add(struct totals *t, const struct totals *part, int sign) {
  uint64_t s = (uint64_t)(int64_t)sign;
  t->samples += s * part->samples;
  t->numerator += s * part->numerator;
  t->estimated += s * part->estimated;
  t->spans += s * part->spans;
  t->plus_infinite += s * part->plus_infinite;
  t->minus_infinite += s * part->minus_infinite;
  t->whole += sign * part->whole;
  totals_fraction(t, sign * (part->fraction + part->lost));
}

#endif
