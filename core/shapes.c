/* One table, directly mapped; the newer of two shapes that meet stays. */
#include "shapes.h"

#include <string.h>

#include "heap.h"

/* What one pattern has to say of a shape is soon found out anew; it is mostly a filter's, and of these a rule may have hundreds. */
enum { ENTRIES_BITS = 10, ONE_BITS = 6 };

_Static_assert(sizeof(struct shape_entry) == 128, "two cache lines");

struct shapes {
  uint32_t bits;
  struct shape_entry entries[];
};

struct shapes *shapes_new(uint32_t patterns) {
  uint32_t bits = patterns > 1 ? ENTRIES_BITS : ONE_BITS;
  struct shapes *s = heap_zalloc(sizeof *s + (sizeof s->entries[0] << bits));
  if (s) s->bits = bits;
  return s;
}

void shapes_free(struct shapes *s) {
  heap_free(s);
}

const struct shape_entry *shapes_get(const struct shapes *s, const struct shape *shape) {
  const struct shape_entry *e = &s->entries[shape_place(shape, s->bits)];
  return e->hits_next && shape_same(&e->shape, shape) ? e : NULL;
}

void shapes_put(struct shapes *s, const struct shape *shape, struct shape_list hits, const uint8_t *is_of, struct shape_list atoms) {
  struct shape_entry e = {.shape = *shape};
  uint32_t count = 0;
  for (uint32_t i = 0; i < hits.count; i++) {
    if (!is_of[hits.items[i]]) continue;
    if (count == SHAPE_ITEMS) return;
    e.items[count++] = hits.items[i];
  }
  if (atoms.count > SHAPE_ITEMS - count) return;
  if (atoms.count) memcpy(e.items + count, atoms.items, atoms.count * sizeof *atoms.items);
  e.hits_next = (uint16_t)(count + 1);
  e.atoms = (uint16_t)atoms.count;
  s->entries[shape_place(shape, s->bits)] = e;
}
