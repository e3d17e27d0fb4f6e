/* What values led to. What spans say of a key repeats (names, statuses, hosts), and an index never
 * changes, so of a value that came lately it is known which atoms hold, and which do not that patterns asked for. A small cache of such
 * (key, value) pairs, compared in full, so a collision costs a look-up and nothing else. A key whose
 * values do not repeat (a duration, a URL) is asked about only now and then. */
#ifndef FLUO_MEMO_H
#define FLUO_MEMO_H
#include <stdbool.h>
#include <stdint.h>

struct memo;

/* A value that more atoms hold for, or that is longer, is looked up each time; what there is no room for is tested each time. */
enum { MEMO_ATOMS = 4, MEMO_BYTES = 42 };

/* Of one index, which has so many keys. NULL: no memory. */
struct memo *memo_new(uint32_t keys);
void memo_free(struct memo *m);

/* What is known of a value. */
struct memo_entry {
  uint32_t key;
  uint8_t len, count_next; /* of truths, + 1; 0: empty */
  uint8_t bytes[MEMO_BYTES];
  uint32_t truths[MEMO_ATOMS]; /* an atom << 1 | whether it holds */
};

/* Of the value that these n bytes tell from all others of its key. NULL: not known. Valid until the next memo_put. */
const struct memo_entry *memo_get(struct memo *m, uint32_t key, const uint8_t *p, uint32_t n);
/* These hold, and no other that the index reaches. More than MEMO_ATOMS are not kept. */
void memo_put(struct memo *m, uint32_t key, const uint8_t *p, uint32_t n, const uint32_t *atoms, uint32_t count);
/* Of a value of which something is known: this atom holds, or does not. */
void memo_add(struct memo *m, uint32_t key, const uint8_t *p, uint32_t n, uint32_t atom, bool holds);

#endif
