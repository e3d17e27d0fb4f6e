/* A search by halves: a trace has few of them, and asks often. Nothing fails. */
#include "tally.h"

#include <stddef.h>

uint32_t tally_at(const struct tally *tallies, uint32_t count, uint32_t pattern) {
  uint32_t low = 0, high = count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (tallies[middle].pattern < pattern)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

const struct tally *tally_get(const struct tally *tallies, uint32_t count, uint32_t pattern) {
  uint32_t at = tally_at(tallies, count, pattern);
  return at < count && tallies[at].pattern == pattern ? &tallies[at] : NULL;
}
