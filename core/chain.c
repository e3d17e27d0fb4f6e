/* Chains of extents: records of one size behind a header, in arena blocks that never move. The store gets
 * the blocks (it knows what they may cost) and gives them here to be linked; chain_free puts them back. */
#include <assert.h>

#include "store_parts.h"

static struct fluo_extent *extent_at(const struct arena *a, uint32_t off) {
  return arena_at(a, off);
}

static void *record_at(const struct arena *a, uint32_t extent, size_t size, uint32_t i) {
  return (uint8_t *)arena_at(a, extent) + sizeof(struct fluo_extent) + i * size;
}

void chain_extend(const struct arena *a, struct chain *c, uint32_t off, size_t bytes, size_t size) {
  assert(c->tail_used == c->tail_capacity);      /* readers take every extent but the last as full */
  struct fluo_extent *extent = extent_at(a, off);
  extent->next = 0;
  extent->capacity = (uint32_t)((bytes - sizeof *extent) / size);
  if (c->tail) extent_at(a, c->tail)->next = off;
  else c->head = off;
  c->tail = off;
  c->tail_used = 0;
  c->tail_capacity = extent->capacity;
}

void *chain_at(const struct arena *a, const struct chain *c, size_t size, uint32_t index) {
  assert(index < c->count);
  uint32_t before_tail = c->count - c->tail_used;
  if (index >= before_tail) return record_at(a, c->tail, size, index - before_tail);
  uint32_t off = c->head;
  for (const struct fluo_extent *e; index >= (e = extent_at(a, off))->capacity; off = e->next)
    index -= e->capacity;
  return record_at(a, off, size, index);
}

void chain_free(struct arena *a, struct chain *c) {
  for (uint32_t off = c->head, next; off; off = next) {
    next = extent_at(a, off)->next;
    arena_put(a, off);
  }
  *c = (struct chain){0};
}
