/* A hash table that grows a piece at a time: no put does more than part some 200 entries, however many there are (but for
 * its directory, 8 bytes for each of these pieces, which doubles as a whole). What a value means is its user's: an address,
 * or a place in the arena; 0 is none. Whoever has its bytes within a bound asks table_growth before a put. */
#ifndef FLUO_TABLE_H
#define FLUO_TABLE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  TABLE_HOME_BITS = 8,
  TABLE_PROBES = 32,            /* an entry stands within so many slots from its home */
  TABLE_SLOTS = (1 << TABLE_HOME_BITS) + TABLE_PROBES     /* the last is always empty */
};

struct table_slot { uint64_t hash, value; };
struct table_segment { struct table_slot slots[TABLE_SLOTS]; uint32_t depth; };

/* Zero is an empty one. */
struct table {
  struct table_segment **directory;   /* by the low `depth` bits of a hash */
  uint32_t mask, depth;
};

void table_deinit(struct table *t);
/* Bytes that an entry of this hash would cost: 0: there is room for it. */
size_t table_growth(const struct table *t, uint64_t hash);
/* Grows by that. 0 and table_growth is to be asked again, or FLUO_ENOMEM with nothing changed. */
int table_grow(struct table *t, uint64_t hash);
/* A value that is not there yet, where table_growth is 0. */
void table_put(struct table *t, uint64_t hash, uint64_t value);
/* Of one that is there. */
void table_replace(struct table *t, uint64_t hash, uint64_t value, uint64_t by);
void table_remove(struct table *t, uint64_t hash, uint64_t value);

#ifndef FLUO_SPEC
static inline struct table_slot *table_home(const struct table *t, uint64_t hash) {
  return &t->directory[hash & t->mask]->slots[hash >> (64 - TABLE_HOME_BITS)];
}

/* Looked for soon. */
static inline void table_fetch(const struct table *t, uint64_t hash) {
  if (t->directory) __builtin_prefetch(table_home(t, hash));
}

/* The value of this hash that `same` says is the one; 0: there is none. */
static inline uint64_t table_find(const struct table *t, uint64_t hash, bool (*same)(uint64_t value, const void *key),
                                  const void *key) {
  if (!t->directory) return 0;
  for (const struct table_slot *slot = table_home(t, hash); slot->value; slot++)
    if (slot->hash == hash && same(slot->value, key)) return slot->value;
  return 0;
}
#endif

#endif
