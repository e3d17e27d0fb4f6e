/* The baseline's story. Samples wait in a queue of D's length; the oldest is learnt when a newer
 * one is D younger. What was learnt lies in a ring, of which the median and the median absolute
 * deviation are taken after each tenth of a window, and in a season (season.h).
 *
 * Samples of overlapping windows say little new: so many as make one window count as one. The
 * deviation of few windows is widened, as Student's t would, and the median is in doubt by two of
 * its standard errors. Beside the deviation, the spread knows how far off what was said to be normal
 * turned out to be (Dawid, "Present position and potential developments: the prequential approach",
 * 1984): on the slope of a day the median comes behind by a known measure. It has a floor, so that
 * a constant does not fire on its own noise.
 *
 * Whether the normal has moved is told by a two-sided CUSUM (Page, "Continuous inspection schemes",
 * 1954) over the learnt samples in spreads. The bound is a whole window's worth of samples. Then
 * what was normal is kept as it was, and all but the season is learnt anew, from as many samples as
 * there is room for: what lasts less, and does not alarm its own rule, is no new normal. Where the
 * sums fall back to nothing before that, it was none, and what was learnt of it goes.
 *
 * The season allocates when its first hour is over; nothing else does after baseline_new. Without
 * memory for it that hour is not remembered, and the caller is told. */
#include "baseline.h"

#include <math.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "median.h"
#include "season.h"

#define MEDIAN_ERROR 1.2533 /* sigmas, over the root of how many: a median's standard error */
#define MEAN_SIGMA   1.2533 /* of a mean absolute deviation, normally distributed */
#define FEW_WINDOWS  4.0    /* one window's deviation is taken five times, four's twice */
#define MEASURE_EACH 6      /* samples: a tenth of a window's */
#define SPREAD_FLOOR 0.05   /* of the normal */
#define STRAY_MEMORY 1024   /* samples: 17 windows */
#define STRAY_MOST   4.0    /* deviations that one sample may be off */
#define CUSUM_SLACK  2.0    /* spreads that a sample may be off */
#define CUSUM_MOST   4.0    /* spreads that it is taken for at the most */
#define CUSUM_BOUND  120.0  /* spreads: a whole window four spreads off */

struct waiting {
  uint64_t t_ns;
  double value, off; /* off what was normal then; NaN: nothing was */
};

struct baseline {
  uint64_t ns, last_ns, first_ns; /* the last sample; the first that was learnt */
  struct waiting waiting[BASELINE_SLOTS + 1];
  uint32_t waiting_head, waiting_count;
  double learnt[BASELINE_SAMPLES_MAX];
  uint32_t learnt_head, learnt_count;
  enum baseline_state state;
  double normal, deviation, doubt, stray; /* what was measured last; stray: how far off it was */
  uint64_t since_ns;
  uint32_t samples, measure_in; /* measure_in: so many samples, 1 or more */
  double above, below; /* the CUSUMs */
  struct season season;
};

int baseline_new(uint64_t ns, struct baseline **out) {
  struct baseline *b = heap_zalloc(sizeof *b);
  if (!b) return FLUO_ENOMEM;
  b->ns = ns;
  b->measure_in = 1;
  *out = b;
  return 0;
}

void baseline_free(struct baseline *b) {
  if (!b) return;
  season_deinit(&b->season);
  heap_free(b);
}

static uint64_t step_of(const struct baseline *b) {
  uint64_t step = b->ns / BASELINE_SLOTS;
  return step ? step : 1;
}

uint64_t baseline_next(const struct baseline *b) {
  uint64_t step = step_of(b);
  return (b->last_ns / step + 1) * step;
}

/* Of windows that do not overlap, at the least; of those that do, so many say as much as these. */
static double windows_of(const struct baseline *b) {
  return b->learnt_count > BASELINE_SLOTS ? (double)b->learnt_count / BASELINE_SLOTS : 1;
}

/* How far a number may stray from what is normal before that is worth a word. */
static double least_spread(double normal) {
  return SPREAD_FLOOR * fabs(normal);
}

static void measure(struct baseline *b) {
  double x[BASELINE_SAMPLES_MAX], windows = windows_of(b);
  uint32_t n = b->learnt_count;
  memcpy(x, b->learnt, n * sizeof *x);
  b->normal = median(x, n);
  double sigma = MEDIAN_SIGMA * median_deviation(x, n, b->normal);
  b->doubt = fmin(2 * MEDIAN_ERROR * sigma / sqrt(windows), least_spread(b->normal));
  b->deviation = sigma * (1 + FEW_WINDOWS / windows);
  b->since_ns = b->first_ns;
  b->samples = n;
  b->measure_in = MEASURE_EACH;
}

static struct baseline_normal lately(const struct baseline *b) {
  double sigma = fmax(b->deviation, least_spread(b->normal));
  return (struct baseline_normal){.normal = b->normal,
                                  .spread = fmax(sigma, MEAN_SIGMA * b->stray),
                                  .doubt = b->doubt,
                                  .since_ns = b->since_ns,
                                  .samples = b->samples};
}

/* At its level a season strays as much as what was lately does at its own, at the least: hours are
 * means, which are quieter than samples. */
static struct baseline_normal of_season(const struct baseline_normal *recent,
                                        const struct season_hour *hour) {
  double scale = fabs(hour->normal) > fabs(recent->normal) && recent->normal != 0
                     ? fabs(hour->normal / recent->normal)
                     : 1;
  double sigma = fmax(hour->spread, recent->spread * scale);
  return (struct baseline_normal){.normal = hour->normal,
                                  .spread = fmax(sigma, least_spread(hour->normal)),
                                  .doubt = recent->doubt * scale,
                                  .since_ns = hour->since_ns,
                                  .samples = hour->samples,
                                  .seasonal = true};
}

uint32_t baseline_normals(const struct baseline *b, uint64_t t_ns, struct baseline_normal out[2]) {
  struct season_hour hour;
  if (b->state == BASELINE_LEARNING) return 0;
  out[0] = lately(b);
  if (!season_get(&b->season, t_ns, &hour)) return 1;
  out[1] = of_season(&out[0], &hour);
  return 2;
}

/* How far a value is from what is normal at its time: in the units of the samples, and in spreads.
 * NaN: nothing is known. */
static double off(const struct baseline *b, uint64_t t_ns, double value, double *spreads) {
  struct baseline_normal normals[2];
  double nearest = NAN;
  uint32_t n = baseline_normals(b, t_ns, normals);
  *spreads = 0;
  for (uint32_t i = 0; i < n; i++) {
    double by = value - normals[i].normal;
    if (fabs(by) >= fabs(nearest)) continue;
    nearest = by;
    *spreads = normals[i].spread > 0 ? by / normals[i].spread : 0;
  }
  return nearest;
}

/* The mean of how far off the samples were when they were new; of those before the limit, which
 * holds it together where a few were very far off. */
static void stray(struct baseline *b, double by) {
  double most = STRAY_MOST * fmax(b->deviation, least_spread(b->normal));
  if (isnan(by)) return;
  b->stray += (fmin(fabs(by), most) - b->stray) / STRAY_MEMORY;
}

/* The two sums; each sample is taken for so much at the most, so that it takes a whole window. */
static void sum_up(struct baseline *b, double spreads) {
  double by = fmax(-CUSUM_MOST, fmin(CUSUM_MOST, spreads));
  b->above = fmin(CUSUM_BOUND, fmax(0, b->above + by - CUSUM_SLACK));
  b->below = fmin(CUSUM_BOUND, fmax(0, b->below - by - CUSUM_SLACK));
}

static bool has_moved(const struct baseline *b) {
  return b->above >= CUSUM_BOUND || b->below >= CUSUM_BOUND;
}

static bool has_come_back(const struct baseline *b) {
  return b->above <= 0 && b->below <= 0;
}

static void learn_anew(struct baseline *b, enum baseline_state state) {
  b->state = state;
  b->learnt_count = b->learnt_head = 0;
  b->measure_in = 1;
}

static void remember(struct baseline *b, const struct waiting *sample) {
  if (!b->learnt_count) b->first_ns = sample->t_ns;
  b->learnt[b->learnt_head] = sample->value;
  b->learnt_head = (b->learnt_head + 1) % BASELINE_SAMPLES_MAX;
  if (b->learnt_count < BASELINE_SAMPLES_MAX) b->learnt_count++;
}

/* Whether what was learnt is enough to say what is normal: to say something else than before, all of
 * its memory. */
static bool is_enough(const struct baseline *b, uint64_t t_ns) {
  uint32_t least = b->state == BASELINE_DRIFTED ? BASELINE_SAMPLES_MAX : BASELINE_SAMPLES_MIN;
  return b->learnt_count >= least && t_ns - b->first_ns >= BASELINE_LEARNING_NS;
}

static int learn(struct baseline *b, const struct waiting *sample) {
  double spreads;
  off(b, sample->t_ns, sample->value, &spreads);
  stray(b, sample->off);
  sum_up(b, spreads);
  if (b->state == BASELINE_READY && has_moved(b))
    learn_anew(b, BASELINE_DRIFTED);
  else if (b->state == BASELINE_DRIFTED && has_come_back(b))
    learn_anew(b, BASELINE_READY);
  remember(b, sample);
  if (!is_enough(b, sample->t_ns) || (b->state == BASELINE_READY && --b->measure_in))
    return season_learn(&b->season, sample->t_ns, step_of(b), sample->value);
  if (b->state == BASELINE_DRIFTED) b->above = b->below = 0;
  b->state = BASELINE_READY;
  measure(b);
  return season_learn(&b->season, sample->t_ns, step_of(b), sample->value);
}

static int learn_old(struct baseline *b, uint64_t t_ns) {
  int err = 0;
  while (b->waiting_count && t_ns - b->waiting[b->waiting_head].t_ns >= b->ns) {
    int failed = learn(b, &b->waiting[b->waiting_head]);
    if (!err) err = failed;
    b->waiting_head = (b->waiting_head + 1) % (BASELINE_SLOTS + 1);
    b->waiting_count--;
  }
  return err;
}

int baseline_sample(struct baseline *b, uint64_t t_ns, double value) {
  double spreads;
  b->last_ns = t_ns;
  int err = learn_old(b, t_ns);
  if (!isfinite(value) || b->waiting_count > BASELINE_SLOTS) return err;
  uint32_t at = (b->waiting_head + b->waiting_count++) % (BASELINE_SLOTS + 1);
  b->waiting[at] = (struct waiting){t_ns, value, off(b, t_ns, value, &spreads)};
  return err;
}

int baseline_spoil(struct baseline *b, uint64_t t_ns) {
  int err = learn_old(b, t_ns);
  b->waiting_count = 0;
  return err;
}

enum baseline_state baseline_state(const struct baseline *b) {
  return b->state;
}

size_t baseline_bytes(const struct baseline *b) {
  return sizeof *b + season_bytes(&b->season);
}

/* What was measured and the CUSUMs: only ever compared, added and multiplied, so any number will do. */
enum { TOLD = 6 };

void baseline_write(const struct baseline *b, struct pack *p) {
  const double told[TOLD] = {b->normal, b->deviation, b->doubt, b->stray, b->above, b->below};
  pack_uint(p, b->last_ns);
  pack_uint(p, b->first_ns);
  pack_uint(p, b->since_ns);
  pack_uint(p, b->samples);
  pack_uint(p, b->state);
  pack_uint(p, b->measure_in);
  for (size_t i = 0; i < TOLD; i++) pack_number(p, told[i]);
  pack_uint(p, b->waiting_count);
  for (uint32_t i = 0; i < b->waiting_count; i++) {
    const struct waiting *w = &b->waiting[(b->waiting_head + i) % (BASELINE_SLOTS + 1)];
    pack_uint(p, w->t_ns);
    pack_number(p, w->value);
    pack_number(p, w->off);
  }
  pack_uint(p, b->learnt_count);
  for (uint32_t i = b->learnt_count; i > 0; i--)
    pack_number(p, b->learnt[(b->learnt_head + BASELINE_SAMPLES_MAX - i) % BASELINE_SAMPLES_MAX]);
  season_write(&b->season, p);
}

static double read_finite(struct unpack *u) {
  double x = unpack_number(u);
  u->bad = u->bad || !isfinite(x);
  return x;
}

int baseline_read(struct baseline *b, struct unpack *u) {
  double *const told[TOLD] = {&b->normal, &b->deviation, &b->doubt,
                              &b->stray,  &b->above,     &b->below};
  b->last_ns = unpack_uint(u);
  b->first_ns = unpack_uint(u);
  b->since_ns = unpack_uint(u);
  b->samples = (uint32_t)unpack_upto(u, BASELINE_SAMPLES_MAX);
  b->state = (enum baseline_state)unpack_upto(u, BASELINE_DRIFTED);
  b->measure_in = (uint32_t)unpack_upto(u, MEASURE_EACH);
  u->bad = u->bad || !b->measure_in;
  for (size_t i = 0; i < TOLD; i++) *told[i] = unpack_number(u);
  b->waiting_count = unpack_count(u, BASELINE_SLOTS + 1);
  for (uint32_t i = 0; i < b->waiting_count; i++) {
    struct waiting *w = &b->waiting[i];
    w->t_ns = unpack_uint(u);
    w->value = read_finite(u);
    w->off = unpack_number(u);
  }
  b->learnt_count = unpack_count(u, BASELINE_SAMPLES_MAX);
  for (uint32_t i = 0; i < b->learnt_count; i++) b->learnt[i] = read_finite(u);
  b->learnt_head = b->learnt_count % BASELINE_SAMPLES_MAX;
  return u->bad ? FLUO_EMALFORMED : season_read(&b->season, u);
}
