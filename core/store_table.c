/* Trace ids to entries: linear probing in a power of two of slots, at most three quarters full, doubled
 * when they are not enough. An entry's first 16 bytes are its id; the full hash stands in the slot, so a probe
 * looks at an entry only when it is the right one. Removal closes the gap, so there are no tombstones and
 * a table that has seen a billion traces is as fast as a new one. */
#include <assert.h>

#include "err.h"
#include "heap.h"
#include "store_parts.h"

enum { SLOTS_FIRST = 64 };

void *table_find(const struct table *t, uint64_t hash, const uint8_t id[16]) {
  if (!t->count) return NULL;
  uint32_t mask = t->capacity - 1;
  for (uint32_t i = (uint32_t)hash & mask; t->slots[i].entry; i = (i + 1) & mask)
    if (t->slots[i].hash == hash && !memcmp(t->slots[i].entry, id, 16)) return t->slots[i].entry;
  return NULL;
}

static uint32_t capacity_for_more(const struct table *t) {
  if (t->count + 1 <= t->capacity / 4 * 3) return t->capacity;
  return t->capacity ? t->capacity * 2 : SLOTS_FIRST;
}

size_t table_growth(const struct table *t) {
  return (capacity_for_more(t) - t->capacity) * sizeof *t->slots;
}

static void slot_put(struct slot *slots, uint32_t capacity, struct slot slot) {
  uint32_t mask = capacity - 1, i = (uint32_t)slot.hash & mask;
  while (slots[i].entry) i = (i + 1) & mask;
  slots[i] = slot;
}

int table_reserve(struct table *t) {
  uint32_t capacity = capacity_for_more(t);
  if (capacity == t->capacity) return 0;
  struct slot *slots = heap_zalloc(capacity * sizeof *slots);
  if (!slots) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < t->capacity; i++)
    if (t->slots[i].entry) slot_put(slots, capacity, t->slots[i]);
  heap_free(t->slots);
  t->slots = slots;
  t->capacity = capacity;
  return 0;
}

void table_put(struct table *t, uint64_t hash, void *entry) {
  assert(t->count < t->capacity);
  slot_put(t->slots, t->capacity, (struct slot){hash, entry});
  t->count++;
}

static uint32_t slot_of(const struct table *t, uint64_t hash, const void *entry) {
  uint32_t mask = t->capacity - 1, i = (uint32_t)hash & mask;
  while (t->slots[i].entry != entry) {
    assert(t->slots[i].entry);
    i = (i + 1) & mask;
  }
  return i;
}

void table_replace(struct table *t, uint64_t hash, const void *entry, void *by) {
  t->slots[slot_of(t, hash, entry)].entry = by;
}

void table_remove(struct table *t, uint64_t hash, const void *entry) {
  uint32_t mask = t->capacity - 1, gap = slot_of(t, hash, entry);
  /* What stands behind the gap moves into it unless its own place lies after the gap. */
  for (uint32_t i = (gap + 1) & mask; t->slots[i].entry; i = (i + 1) & mask) {
    uint32_t home = (uint32_t)t->slots[i].hash & mask;
    if (((i - home) & mask) < ((i - gap) & mask)) continue;
    t->slots[gap] = t->slots[i];
    gap = i;
  }
  t->slots[gap].entry = NULL;
  t->count--;
}
