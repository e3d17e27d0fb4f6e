/* Extendible hashing (Fagin, Nievergelt, Pippenger and Strong, 1979). A hash's low bits say, by way of the directory, which
 * segment an entry stands in; its high ones where it is at home there, and from there on it takes the first slot that is
 * empty. Where that is too far, the segment parts by one more bit of the hash into itself and a new one; only where it had
 * all bits that the directory knows does that double, by addresses alone. So there is no time at which all entries move,
 * none at which there are two tables, and no large block that has to be freed at once.
 *
 * Removal closes the gap, so there are no tombstones and a table that has seen a billion entries is as fast as a new one.
 * Segments do not wrap, but end in slots that are nobody's home: so whatever moves comes nearer to its home. Ways it
 * fails: no memory, and nothing has changed. Segments go with the table. */
#include "table.h"

#include <assert.h>
#include <string.h>

#include "err.h"
#include "heap.h"

enum { DEPTH_MAX = 20 };        /* two hundred million entries */

static struct table_segment *segment_of(const struct table *t, uint64_t hash) {
  return t->directory[hash & t->mask];
}

static struct table_slot *home_in(struct table_segment *s, uint64_t hash) {
  return &s->slots[hash >> (64 - TABLE_HOME_BITS)];
}

static struct table_slot *empty_from(struct table_slot *slot) {
  while (slot->value) slot++;
  return slot;
}

/* The last place of each segment in the directory, from its end, is its own number. */
void table_deinit(struct table *t) {
  for (uint32_t i = t->directory ? t->mask + 1 : 0; i-- > 0;)
    if (!(i >> t->directory[i]->depth)) heap_free(t->directory[i]);
  heap_free(t->directory);
  *t = (struct table){0};
}

/* ---- growing --------------------------------------------------------------------------------- */

size_t table_growth(const struct table *t, uint64_t hash) {
  struct table_segment *s = t->directory ? segment_of(t, hash) : NULL;
  if (!s) return sizeof *s + sizeof *t->directory;
  struct table_slot *home = home_in(s, hash);
  if (empty_from(home) < home + TABLE_PROBES) return 0;
  return sizeof *s + (s->depth == t->depth ? ((size_t)t->mask + 1) * sizeof *t->directory : 0);
}

static int directory_double(struct table *t) {
  size_t n = (size_t)t->mask + 1;
  struct table_segment **directory = heap_realloc(t->directory, 2 * n * sizeof *directory);
  if (!directory) return FLUO_ENOMEM;
  memcpy(directory + n, directory, n * sizeof *directory);
  t->directory = directory;
  t->mask = (uint32_t)(2 * n - 1);
  t->depth++;
  return 0;
}

/* From the first slot on, so that each entry that stays finds its own place empty, or a nearer one. */
static void part(struct table_segment *from, struct table_segment *to) {
  uint32_t bit = from->depth;
  from->depth = to->depth = bit + 1;
  for (struct table_slot *slot = from->slots; slot < from->slots + TABLE_SLOTS; slot++) {
    struct table_slot entry = *slot;
    if (!entry.value) continue;
    slot->value = 0;
    *empty_from(home_in(entry.hash >> bit & 1 ? to : from, entry.hash)) = entry;
  }
}

static int begin(struct table *t) {
  struct table_segment *s = heap_zalloc(sizeof *s), **directory = heap_alloc(sizeof *directory);
  if (!s || !directory) {
    heap_free(s);
    heap_free(directory);
    return FLUO_ENOMEM;
  }
  directory[0] = s;
  t->directory = directory;
  return 0;
}

static int segment_part(struct table *t, uint64_t hash) {
  struct table_segment *s = segment_of(t, hash), *more = s->depth < DEPTH_MAX ? heap_zalloc(sizeof *more) : NULL;
  if (!more) return FLUO_ENOMEM;
  if (s->depth == t->depth && directory_double(t)) {
    heap_free(more);
    return FLUO_ENOMEM;
  }
  uint32_t bit = 1u << s->depth;
  for (uint32_t i = ((uint32_t)hash & (bit - 1)) | bit; i <= t->mask; i += 2 * bit) t->directory[i] = more;
  part(s, more);
  return 0;
}

int table_grow(struct table *t, uint64_t hash) {
  return t->directory ? segment_part(t, hash) : begin(t);
}

/* ---- entries --------------------------------------------------------------------------------- */

void table_put(struct table *t, uint64_t hash, uint64_t value) {
  struct table_slot *home = table_home(t, hash), *slot = empty_from(home);
  assert(value && slot < home + TABLE_PROBES);
  *slot = (struct table_slot){hash, value};
}

static struct table_slot *slot_of(const struct table *t, uint64_t hash, uint64_t value) {
  struct table_slot *slot = table_home(t, hash);
  for (; slot->value != value; slot++) assert(slot->value);
  return slot;
}

void table_replace(struct table *t, uint64_t hash, uint64_t value, uint64_t by) {
  slot_of(t, hash, value)->value = by;
}

void table_remove(struct table *t, uint64_t hash, uint64_t value) {
  struct table_slot *gap = slot_of(t, hash, value);
  /* What stands behind the gap moves into it unless its own place lies after the gap. */
  for (struct table_slot *slot = gap + 1; slot->value; slot++) {
    if (table_home(t, slot->hash) > gap) continue;
    *gap = *slot;
    gap = slot;
  }
  gap->value = 0;
}
