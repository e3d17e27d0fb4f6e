/* Values that lead nowhere. What spans say of a key repeats (names, statuses, hosts), and nearly always no atom
 * of any rule is reached by it; a value seen to reach none need not be looked up again, for an index never
 * changes. A small cache of such (key, value) pairs, compared in full, so a collision costs a look-up and
 * nothing else. A key whose values do not repeat (a duration, a URL) is asked about only now and then. */
#ifndef FLUO_BARREN_H
#define FLUO_BARREN_H
#include <stdbool.h>

#include "fluo.h"

struct barren;

/* Of one index, which has so many keys. NULL: no memory. */
struct barren *barren_new(uint32_t keys);
void barren_free(struct barren *b);

/* Whether the value of this key is known to reach no atom. */
bool barren_has(struct barren *b, uint32_t key, const struct fluo_value *value);
/* It reaches none. */
void barren_put(struct barren *b, uint32_t key, const struct fluo_value *value);

#endif
