/* Entries of the index being built: one way each to find one atom. index_build.c makes them, and this writes them out. */
#ifndef FLUO_INDEX_ENTRY_H
#define FLUO_INDEX_ENTRY_H
#include "index.h"

enum place { PLACE_PRESENT, PLACE_PREFIX, PLACE_SUFFIX, PLACE_RANGE, PLACE_HASH, PLACE_INNER,
             PLACE_NOWHERE /* replaced by others */ };

struct index_entry {
  enum place place;
  uint32_t key, atom, operand, len;
  const uint8_t *text;           /* the index's; of a suffix back to front */
  uint64_t hash;
  double lo, hi;
};

/* Sorts the entries and writes them into the index, whose keys are there. 0 or FLUO_ENOMEM. */
int index_entries_write(struct index *x, struct index_entry *entries, uint32_t n);

#endif
