/* What values led to. What spans say of a key repeats (names, statuses, hosts), and an index never
 * changes, so of a value that came lately it is known which atoms hold. A small cache of such
 * (key, value) pairs, compared in full, so a collision costs a look-up and nothing else. A key whose
 * values do not repeat (a duration, a URL) is asked about only now and then. */
#ifndef FLUO_MEMO_H
#define FLUO_MEMO_H
#include <stdbool.h>

#include "fluo.h"

struct memo;

/* A value that more atoms hold for, or that is longer, is looked up each time. */
enum { MEMO_ATOMS = 4, MEMO_BYTES = 37 };

/* Of one index, which has so many keys. NULL: no memory. */
struct memo *memo_new(uint32_t keys);
void memo_free(struct memo *m);

/* What is known of a value. */
struct memo_entry {
  uint32_t id; /* no other value has it or had it, of any key; 0: empty */
  uint32_t key;
  uint8_t type, len, count;
  uint8_t bytes[MEMO_BYTES];
  uint32_t atoms[MEMO_ATOMS]; /* that hold, count of them */
};

/* NULL: not known. Valid until the next memo_put. */
const struct memo_entry *memo_get(struct memo *m, uint32_t key, const struct fluo_value *value);
/* These hold, and no other that the index reaches. More than MEMO_ATOMS are not kept. true: the ids begin anew, and what was
 * known by them is to be forgotten. */
bool memo_put(struct memo *m, uint32_t key, const struct fluo_value *value, const uint32_t *atoms,
              uint32_t count);

#endif
