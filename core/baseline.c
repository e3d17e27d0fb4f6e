/* The baseline's story. Samples wait in a queue of D's length; the oldest is learnt when a newer
 * one is D younger. What was learnt lies in a ring, of which the median and the median absolute
 * deviation are taken each time it changes: they hold against up to half of it being outliers
 * (Rousseeuw and Croux, "Alternatives to the median absolute deviation", 1993; 1.4826 makes the
 * deviation of normally distributed numbers their sigma). The spread has a floor, so that a
 * constant does not fire on its own noise.
 *
 * Whether the normal has moved is told by a two-sided CUSUM (Page, "Continuous inspection schemes",
 * 1954) over the learnt samples in spreads. Samples of overlapping windows follow each other
 * closely, so the bound is a whole window's worth of them. Then what was normal is kept as it was
 * and everything is learnt anew.
 *
 * Nothing allocates after baseline_new. */
#include "baseline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "heap.h"

#define SIGMA        1.4826 /* of a median absolute deviation */
#define SPREAD_FLOOR 0.05   /* of the normal */
#define CUSUM_SLACK  1.0    /* spreads that a sample may be off */
#define CUSUM_BOUND  120.0  /* spreads: a whole window three spreads off */

struct waiting {
  uint64_t t_ns;
  double value;
};

struct baseline {
  uint64_t ns, last_ns, first_ns; /* the last sample; the first that was learnt */
  struct waiting waiting[BASELINE_SLOTS + 1];
  uint32_t waiting_head, waiting_count;
  double learnt[BASELINE_SAMPLES_MAX];
  uint32_t learnt_head, learnt_count;
  enum baseline_state state;
  double normal, spread, above, below; /* above, below: the CUSUMs */
};

int baseline_new(uint64_t ns, struct baseline **out) {
  struct baseline *b = heap_zalloc(sizeof *b);
  if (!b) return FLUO_ENOMEM;
  b->ns = ns;
  *out = b;
  return 0;
}

void baseline_free(struct baseline *b) {
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

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *x, uint32_t n) {
  qsort(x, n, sizeof *x, by_size);
  return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static void measure(struct baseline *b) {
  double x[BASELINE_SAMPLES_MAX];
  uint32_t n = b->learnt_count;
  memcpy(x, b->learnt, n * sizeof *x);
  b->normal = median(x, n);
  for (uint32_t i = 0; i < n; i++) x[i] = fabs(b->learnt[i] - b->normal);
  b->spread = fmax(SIGMA * median(x, n), SPREAD_FLOOR * fabs(b->normal));
}

static bool moved(struct baseline *b, double value) {
  if (b->spread <= 0) return false;
  double off = (value - b->normal) / b->spread;
  b->above = fmax(0, b->above + off - CUSUM_SLACK);
  b->below = fmax(0, b->below - off - CUSUM_SLACK);
  return b->above > CUSUM_BOUND || b->below > CUSUM_BOUND;
}

static void start_anew(struct baseline *b) {
  b->learnt_count = b->learnt_head = 0;
  b->above = b->below = 0;
}

static void learn(struct baseline *b, const struct waiting *sample) {
  if (b->state == BASELINE_READY && moved(b, sample->value)) {
    b->state = BASELINE_DRIFTED;
    start_anew(b);
  }
  if (!b->learnt_count) b->first_ns = sample->t_ns;
  b->learnt[b->learnt_head] = sample->value;
  b->learnt_head = (b->learnt_head + 1) % BASELINE_SAMPLES_MAX;
  if (b->learnt_count < BASELINE_SAMPLES_MAX) b->learnt_count++;
  bool enough =
      b->learnt_count >= BASELINE_SAMPLES_MIN && sample->t_ns - b->first_ns >= BASELINE_LEARNING_NS;
  if (b->state != BASELINE_READY && !enough) return;
  b->state = BASELINE_READY;
  measure(b);
}

static void learn_old(struct baseline *b, uint64_t t_ns) {
  while (b->waiting_count && t_ns - b->waiting[b->waiting_head].t_ns >= b->ns) {
    learn(b, &b->waiting[b->waiting_head]);
    b->waiting_head = (b->waiting_head + 1) % (BASELINE_SLOTS + 1);
    b->waiting_count--;
  }
}

void baseline_sample(struct baseline *b, uint64_t t_ns, double value) {
  b->last_ns = t_ns;
  learn_old(b, t_ns);
  if (!isfinite(value) || b->waiting_count > BASELINE_SLOTS) return;
  uint32_t at = (b->waiting_head + b->waiting_count++) % (BASELINE_SLOTS + 1);
  b->waiting[at] = (struct waiting){t_ns, value};
}

void baseline_spoil(struct baseline *b, uint64_t t_ns) {
  learn_old(b, t_ns);
  b->waiting_count = 0;
}

enum baseline_state baseline_state(const struct baseline *b) {
  return b->state;
}

bool baseline_get(const struct baseline *b, double *normal, double *spread) {
  *normal = b->normal;
  *spread = b->spread;
  return b->state != BASELINE_LEARNING;
}

size_t baseline_bytes(const struct baseline *b) {
  return sizeof *b;
}
