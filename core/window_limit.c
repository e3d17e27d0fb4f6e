/* What a window's series amounts to, and what that is compared with: the rule's threshold, or what is
 * reckoned from a baseline. Beside the spread that a baseline has learnt stands what chance does to
 * counts and percentiles of few: it is known without learning. */
#include "window_limit.h"

#include <math.h>

static uint64_t rank_of(double quantile, uint64_t samples) {
  double rank = ceil(quantile / 100 * (double)samples);
  return rank < 1 ? 1 : rank > (double)samples ? samples : (uint64_t)rank;
}

double window_value(const struct window_terms *terms, const struct series *s) {
  uint64_t samples = series_samples(s);
  switch (terms->aggregate) {
  case FLUO_AGGREGATE_COUNT: return (double)samples;
  case FLUO_AGGREGATE_RATE: return (double)samples / ((double)terms->ns / 1e9);
  case FLUO_AGGREGATE_SUM: return series_sum(s);
  case FLUO_AGGREGATE_DISTINCT: return series_distinct(s);
  default: break;
  }
  if (!samples) return NAN;
  switch (terms->aggregate) {
  case FLUO_AGGREGATE_AVG: return series_sum(s) / (double)samples;
  case FLUO_AGGREGATE_MIN: return series_least(s);
  case FLUO_AGGREGATE_MAX: return series_greatest(s);
  case FLUO_AGGREGATE_QUANTILE: return series_at_rank(s, rank_of(terms->quantile, samples));
  case FLUO_AGGREGATE_RATIO: return (double)series_numerator(s) / (double)samples;
  default: return NAN;
  }
}

bool window_compares(double value, uint32_t compare, double threshold) {
  switch (compare) {
  case FLUO_OP_GT: return value > threshold;
  case FLUO_OP_GE: return value >= threshold;
  case FLUO_OP_LT: return value < threshold;
  case FLUO_OP_LE: return value <= threshold;
  default: return false;
  }
}

static bool is_upper(const struct window_terms *terms) {
  return terms->compare == FLUO_OP_GT || terms->compare == FLUO_OP_GE;
}

/* What learns, or tells every value, needs each of them. */
bool window_is_ranked(const struct window_terms *terms) {
  uint32_t aggregate = terms->aggregate;
  bool order = aggregate == FLUO_AGGREGATE_MIN || aggregate == FLUO_AGGREGATE_MAX || aggregate == FLUO_AGGREGATE_QUANTILE;
  return order && !terms->baseline && !terms->every;
}

/* At least x is above the number before x, at most x is not above x. */
double window_rank_limit(const struct window_terms *terms, double threshold) {
  bool includes = terms->compare == FLUO_OP_GT || terms->compare == FLUO_OP_LE;
  return includes ? threshold : nextafter(threshold, -INFINITY);
}

/* The number of a rank lies above the limit if it and all of a higher rank do. */
bool window_rank_compares(const struct window_terms *terms, const struct series *s) {
  uint64_t samples = series_samples(s), rank = 1;
  if (!samples) return false;
  if (terms->aggregate == FLUO_AGGREGATE_MAX) rank = samples;
  if (terms->aggregate == FLUO_AGGREGATE_QUANTILE) rank = rank_of(terms->quantile, samples);
  bool above = series_above(s) > samples - rank;
  return above == is_upper(terms);
}

/* What a count of nothing is taken for where nothing is normal: ten times nothing would be
 * anything. */
static double least_normal(const struct window_terms *terms) {
  bool counts =
      terms->aggregate == FLUO_AGGREGATE_COUNT || terms->aggregate == FLUO_AGGREGATE_DISTINCT;
  return counts ? 1 : 0;
}

/* How many events one unit of the aggregate stands for, where it counts them; 0: it does not. */
static double events_of(const struct window_terms *terms, const struct series *s) {
  switch (terms->aggregate) {
  case FLUO_AGGREGATE_COUNT: return 1;
  case FLUO_AGGREGATE_RATE: return (double)terms->ns / 1e9;
  case FLUO_AGGREGATE_RATIO: return (double)series_samples(s);
  default: return 0;
  }
}

/* Where a count that is normally so many strays to by chance alone, in that many sigmas: the root of
 * a Poisson count has one deviation, a half, whatever its mean (Anscombe, "The transformation of
 * Poisson, binomial and negative-binomial data", 1948). NaN: nothing is no surprise. */
static double chance(double normal, double sigmas, bool upper) {
  double root = sqrt(fmax(normal, 0) + 0.375) + (upper ? sigmas : -sigmas) / 2;
  return !upper && root < sqrt(0.375) ? NAN : root * root - 0.375;
}

/* Whether a percentile is beside what is normal by chance alone: the rank that it has in truth
 * strays by a binomial deviation, and so far off, on the other side, the sample is normal. */
static bool quantile_by_chance(const struct window_terms *terms, const struct series *s,
                               const struct baseline_normal *normal) {
  double n = (double)series_samples(s), q = terms->quantile / 100;
  double away = terms->threshold * sqrt(n * q * (1 - q)) / n * 100;
  bool upper = is_upper(terms);
  if (n == 0 || (upper ? q * 100 - away <= 0 : q * 100 + away >= 100)) return true;
  double quantile = upper ? q * 100 - away : q * 100 + away;
  double x = series_at_rank(s, rank_of(quantile, series_samples(s)));
  return upper ? x <= normal->normal + normal->spread : x >= normal->normal - normal->spread;
}

static double limit_by_sigmas(const struct window_terms *terms, const struct series *s,
                              double value, const struct baseline_normal *n) {
  double away = terms->threshold * fmax(n->spread, least_normal(terms)), events = events_of(terms, s);
  bool upper = is_upper(terms);
  double limit = away <= 0 && events == 0 ? NAN : upper ? n->normal + away : n->normal - away;
  if (terms->aggregate == FLUO_AGGREGATE_QUANTILE && window_compares(value, terms->compare, limit) &&
      quantile_by_chance(terms, s, n))
    return NAN;
  if (events == 0) return limit;
  double by_chance = chance(n->normal * events, terms->threshold, upper) / events;
  return isnan(by_chance) ? NAN : upper ? fmax(limit, by_chance) : fmin(limit, by_chance);
}

static double limit_by_times(const struct window_terms *terms, const struct baseline_normal *n) {
  bool upper = is_upper(terms);
  double base = fmax(upper ? n->normal - n->doubt : n->normal + n->doubt, least_normal(terms));
  return base <= 0 ? NAN : upper ? base * terms->threshold : base / terms->threshold;
}

/* What the value is compared with: where two things are normal, that which is farther off. NaN: with
 * nothing yet. */
double window_limit(const struct window_terms *terms, const struct series *s,
                    const struct baseline *baseline, uint64_t t_ns, double value,
                    struct baseline_normal *normal) {
  if (!terms->baseline) return terms->threshold;
  if (!baseline) return NAN;
  struct baseline_normal normals[2];
  uint32_t count = baseline_normals(baseline, t_ns, normals);
  double limit = NAN;
  for (uint32_t i = 0; i < count; i++) {
    if (normals[i].normal < terms->normal_min) return NAN;
    double one = terms->baseline == FLUO_BASELINE_SIGMAS ? limit_by_sigmas(terms, s, value, &normals[i])
                                                         : limit_by_times(terms, &normals[i]);
    if (isnan(one)) return NAN;
    if (i && (is_upper(terms) ? one <= limit : one >= limit)) continue;
    limit = one;
    *normal = normals[i];
  }
  return limit;
}

double window_widened(const struct window_terms *terms, const struct baseline_normal *normal, double limit,
                      uint32_t widening) {
  double more = widening / 1000.0, by = 1 + more;
  double away = more * fabs(terms->baseline ? limit - normal->normal : limit);
  if (!is_upper(terms)) return limit > 0 ? fmax(limit - away, limit / by) : limit - away;
  bool ends = terms->aggregate == FLUO_AGGREGATE_RATIO && limit <= 1;
  return ends ? fmin(limit + away, 1 - (1 - limit) / by) : limit + away;
}
