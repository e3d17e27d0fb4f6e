/* What is normal for a group of a window: the median of what its aggregate was, and how far it strays from that. One
 * sample per D / 60 is learnt once it is D old, and only if nothing was wrong meanwhile: so what is reported as
 * abnormal never becomes normal by itself. RULES.md section 5, Baselines. Time is an argument. */
#ifndef FLUO_BASELINE_H
#define FLUO_BASELINE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BASELINE_SAMPLES_MIN = 100,          /* before it says anything … */
       BASELINE_SAMPLES_MAX = 512,          /* how far its memory reaches, in samples */
       BASELINE_SLOTS = 60 };               /* samples per D */
#define BASELINE_LEARNING_NS 600000000000ull        /* … and so long since the first */

enum baseline_state {
  BASELINE_LEARNING,        /* it says nothing yet */
  BASELINE_READY,
  BASELINE_DRIFTED          /* the normal itself has moved: it says what it said last, and learns anew */
};

struct baseline;

/* ns: D, 1 or more. 0 or FLUO_ENOMEM. */
int baseline_new(uint64_t ns, struct baseline **out);
void baseline_free(struct baseline *b);
/* When the next sample is due: a multiple of D / 60 past the last one's. */
uint64_t baseline_next(const struct baseline *b);
/* The aggregate at t_ns, of a window that was observed whole; NaN: it had no value. Samples come in order. */
void baseline_sample(struct baseline *b, uint64_t t_ns, double value);
/* Something is wrong at t_ns: what is not learnt yet never is. */
void baseline_spoil(struct baseline *b, uint64_t t_ns);

enum baseline_state baseline_state(const struct baseline *b);
/* What is normal, and its spread, in the units of the samples. false: it is learning. */
bool baseline_get(const struct baseline *b, double *normal, double *spread);
size_t baseline_bytes(const struct baseline *b);

#endif
