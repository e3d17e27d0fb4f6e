/* Building an index, its second part: how each atom would be looked for, and what that costs. */
#ifndef FLUO_INDEX_CHOOSE_H
#define FLUO_INDEX_CHOOSE_H
#include "access.h"
#include "index.h"

/* Of every atom that has a key: its cheapest access and that one's cost, where `users` nodes ask it.
 * Room for as many as there are atoms. 0 or FLUO_ENOMEM. */
int index_choose(const struct index *x, const uint32_t *users, struct access *chosen, double *costs);

#endif
