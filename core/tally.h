/* How often each pattern was hit in a trace: a small array sorted by pattern. */
#ifndef FLUO_TALLY_H
#define FLUO_TALLY_H
#include <stdint.h>

struct tally {
  uint32_t pattern;
  uint32_t count;      /* hits */
  uint32_t unknown;    /* spans whose answer is unknown: no hits */
};

/* Where the pattern stands among `count` tallies, or belongs. */
uint32_t tally_at(const struct tally *tallies, uint32_t count, uint32_t pattern);
/* Its tally, or NULL. */
const struct tally *tally_get(const struct tally *tallies, uint32_t count, uint32_t pattern);

#endif
