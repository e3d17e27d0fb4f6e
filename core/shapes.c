/* One table, directly mapped; the newer of two shapes that meet stays. A shape is told by the ids of its texts: whoever
 * gives these compares the texts anyway. */
#include "shapes.h"

#include <stdbool.h>
#include <string.h>

#include "heap.h"

enum { ENTRIES_BITS = 10 };

struct entry {
  struct shape shape;
  uint32_t count_next; /* how many hits, + 1; 0: empty */
  uint32_t hits[SHAPE_HITS];
};
_Static_assert(sizeof(struct entry) == 128, "two cache lines");

struct shapes {
  struct entry entries[1 << ENTRIES_BITS];
};

struct shapes *shapes_new(void) {
  return heap_zalloc(sizeof(struct shapes));
}

void shapes_free(struct shapes *s) {
  heap_free(s);
}

static uint32_t place_of(const struct shape *shape) {
  uint64_t mixed = (uint64_t)shape->service << 32 | shape->name;
  mixed ^= (uint64_t)shape->kind << 24 | (uint64_t)shape->status << 48;
  return (uint32_t)(mixed * UINT64_C(0x9e3779b97f4a7c15) >> (64 - ENTRIES_BITS));
}

static bool is_same(const struct shape *a, const struct shape *b) {
  return a->service == b->service && a->name == b->name && a->kind == b->kind && a->status == b->status;
}

const uint32_t *shapes_get(const struct shapes *s, const struct shape *shape, uint32_t *count) {
  const struct entry *e = &s->entries[place_of(shape)];
  if (!e->count_next || !is_same(&e->shape, shape)) return NULL;
  *count = e->count_next - 1;
  return e->hits;
}

void shapes_put(struct shapes *s, const struct shape *shape, const uint32_t *hits, uint32_t count, const uint8_t *is_of) {
  struct entry e = {.shape = *shape, .count_next = 1};
  for (uint32_t i = 0; i < count; i++) {
    if (!is_of[hits[i]]) continue;
    if (e.count_next > SHAPE_HITS) return;
    e.hits[e.count_next++ - 1] = hits[i];
  }
  s->entries[place_of(shape)] = e;
}

void shapes_clear(struct shapes *s) {
  memset(s, 0, sizeof *s);
}
