/* What is normal for a group of a window: the median of what its aggregate was lately, and, once enough weeks or days
 * are known, what this hour of the week or of the day brings (UTC); and how far it strays from that. One sample per
 * D / 60 is learnt once it is D old, and only if nothing was wrong meanwhile: so what is reported as abnormal never
 * becomes normal by itself. rules/README.md, Windows and sequences. Time is an argument.
 *
 * A baseline takes 5.7 KB, and from its second hour on 2.7 KB more. */
#ifndef FLUO_BASELINE_H
#define FLUO_BASELINE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pack.h"

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
/* The aggregate at t_ns, of a window that was observed whole; NaN: it had no value. Samples come in order. 0;
 * FLUO_ENOMEM: an hour was not remembered, all else is well. */
int baseline_sample(struct baseline *b, uint64_t t_ns, double value);
/* Something is wrong at t_ns: what is not learnt yet never is. As baseline_sample. */
int baseline_spoil(struct baseline *b, uint64_t t_ns);

enum baseline_state baseline_state(const struct baseline *b);

/* What a value is compared with. In the units of the samples. */
struct baseline_normal {
  double   normal, spread;      /* spread: a sigma */
  double   doubt;               /* how far normal itself may be off (two of its standard errors), a 20th at most */
  uint64_t since_ns;            /* the first sample of it */
  uint32_t samples;             /* in it; of a season the hours that say so */
  bool     seasonal;
};
/* What is normal at t_ns: by what was lately, then by the season, where that is known. What is near either is no news:
 * the same as an hour ago on a holiday, the same as every Monday at nine. How many; 0: it is learning. */
uint32_t baseline_normals(const struct baseline *b, uint64_t t_ns, struct baseline_normal out[2]);
size_t baseline_bytes(const struct baseline *b);

void baseline_write(const struct baseline *b, struct pack *p);
/* Into a new one of the same D. 0; FLUO_EMALFORMED; FLUO_ENOMEM. */
int baseline_read(struct baseline *b, struct unpack *u);

#endif
