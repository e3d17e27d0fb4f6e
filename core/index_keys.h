/* Building an index, its first part: numbering the keys. */
#ifndef FLUO_INDEX_KEYS_H
#define FLUO_INDEX_KEYS_H
#include "index.h"

/* Whether spans are matched against this pattern: it is a span's, and its rule is not off. */
bool index_is_live(const struct ir *ir, uint32_t pattern);
/* Numbers the keys that live patterns ask for, into x->keys and x->atom_keys (already there), and
 * counts how many nodes ask each atom. 0 or FLUO_ENOMEM: index_free takes what there is. */
int index_keys_add(struct index *x, uint32_t *users);
/* Adds the other names of attributes, each with the list of those that it stands in for.
 * Likewise. */
int index_renames_add(struct index *x);
/* All keys are numbered: hints at those of attributes. Likewise. */
int index_hints_add(struct index *x);

#endif
