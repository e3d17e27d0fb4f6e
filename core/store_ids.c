/* The span ids of a trace: is this one a duplicate, where is that parent. A small filter in the record answers most
 * questions, for nearly every id is new; else a trace of a few spans is looked through, and a larger one has a
 * table of 4 bytes a slot that holds where the skeletons lie, for the id itself stands there. The table lives in
 * the heap, is charged to the trace, and goes when the trace closes; one whose late spans look for parents makes it anew. */
#include <assert.h>

#include "heap.h"
#include "store_parts.h"

enum { SLOTS_FIRST = 64, HOMES = 2 * IDS_LINEAR_MAX, NOWHERE = UINT32_MAX };

static struct fluo_span *span_at(const struct store *s, uint32_t off) {
  return arena_at(s->arena, off);
}

static const struct fluo_span *linear_find(const struct store *s, const struct trace *t, uint64_t id) {
  const struct fluo_extent *extent;
  uint32_t first = 0, count = t->spans.count;
  for (uint32_t off = t->spans.head; first < count; off = extent->next) {
    extent = arena_at(s->arena, off);
    const struct fluo_span *spans = (const void *)(extent + 1);
    for (uint32_t i = 0; i < extent->capacity && first + i < count; i++)
      if (id_load(spans[i].span_id) == id) return &spans[i];
    first += extent->capacity;
  }
  return NULL;
}

/* The slot that holds this id. */
static uint32_t slot_find(const struct store *s, const struct trace *t, uint64_t id) {
  const struct trace_memory *m = t->memory;
  uint32_t mask = m->ids_capacity - 1;
  for (uint32_t i = id_hash(&s->key, id) & mask; m->ids[i]; i = (i + 1) & mask)
    if (id_load(span_at(s, m->ids[i])->span_id) == id) return i;
  return NOWHERE;
}

static uint64_t *filter_word(struct trace_memory *m, uint32_t hash) {
  return &m->filter[hash >> 31];
}

static uint64_t filter_bit(uint32_t hash) {
  return 1ull << (hash >> 25 & 63);
}

static const struct fluo_span *ids_find(const struct store *s, const struct trace *t, uint64_t id) {
  const struct trace_memory *m = t->memory;
  uint32_t hash = id_hash(&s->key, id);
  if (!(*filter_word(t->memory, hash) & filter_bit(hash))) return NULL;
  if (!m->ids) return linear_find(s, t, id);
  uint32_t slot = slot_find(s, t, id);
  return slot == NOWHERE ? NULL : span_at(s, m->ids[slot]);
}

bool ids_has(const struct store *s, const struct trace *t, const uint8_t span_id[8]) {
  return ids_find(s, t, id_load(span_id));
}

static void slot_put(const struct store *s, uint32_t *slots, uint32_t capacity,
                     const struct fluo_span *span) {
  uint32_t mask = capacity - 1, i = id_hash(&s->key, id_load(span->span_id)) & mask;
  while (slots[i]) i = (i + 1) & mask;
  slots[i] = store_offset(s, span);
}

bool ids_grow(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  uint32_t needed = t->spans.count + 1, capacity = m->ids_capacity ? m->ids_capacity : SLOTS_FIRST;
  while (needed > capacity / 4 * 3) capacity *= 2;
  size_t bytes = capacity * sizeof *m->ids;
  if (!room_heap_make(s, bytes)) return false;
  uint32_t *slots = heap_zalloc(bytes);
  if (!slots) return false;
  heap_charge(s, t, bytes);
  if (m->ids) {
    for (uint32_t i = 0; i < m->ids_capacity; i++)
      if (m->ids[i]) slot_put(s, slots, capacity, span_at(s, m->ids[i]));
  } else {
    for (uint32_t i = 0; i < t->spans.count; i++) slot_put(s, slots, capacity, span_at_index(s, t, i));
  }
  ids_free(s, t);
  m->ids = slots;
  m->ids_capacity = capacity;
  return true;
}

void ids_put(struct store *s, struct trace *t, const struct fluo_span *span) {
  struct trace_memory *m = t->memory;
  uint32_t hash = id_hash(&s->key, id_load(span->span_id));
  *filter_word(m, hash) |= filter_bit(hash);
  if (m->ids) slot_put(s, m->ids, m->ids_capacity, span);
}

void ids_free(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  if (!m->ids) return;
  heap_discharge(s, t, m->ids_capacity * sizeof *m->ids);
  heap_free(m->ids);
  m->ids = NULL;
  m->ids_capacity = 0;
}

/* ---- cycles ---------------------------------------------------------------------------------- */

/* The parent that a span names, 0: none. (A root is told by its ids: its flags lie a cache line further on.) */
static uint64_t parent_id(const struct fluo_span *span) {
  uint64_t parent = id_load(span->parent_id);
  return parent == id_load(span->span_id) ? 0 : parent;
}

/* An open trace of many spans has its table. Without the memory for another one's this takes longer. */
const struct fluo_span *store_parent(struct store *s, struct trace *t, uint32_t span) {
  uint64_t parent = parent_id(span_at_index(s, t, span));
  if (parent && t->state != TRACE_OPEN) ids_reserve(s, t);
  return parent ? ids_find(s, t, parent) : NULL;
}

static uint32_t home_of(uint64_t id) {
  return id >> 56 & (HOMES - 1);                          /* of its last byte: some count there */
}

/* Where the parent of the span in each slot is. */
static void parents_by_slot(const struct store *s, const struct trace *t, uint32_t *parents) {
  const struct trace_memory *m = t->memory;
  for (uint32_t at = 0; at < m->ids_capacity; at++) {
    uint64_t parent = m->ids[at] ? parent_id(span_at(s, m->ids[at])) : 0;
    parents[at] = parent ? slot_find(s, t, parent) : NOWHERE;
  }
}

/* Where the parent of each of a few spans is. The byte that says where an id is at home is any sender's to choose: at the
 * worst each search meets all. */
static void parents_by_index(const struct store *s, const struct trace *t, uint32_t *parents) {
  uint64_t ids[IDS_LINEAR_MAX], wanted[IDS_LINEAR_MAX];
  uint8_t slots[HOMES] = {0};                             /* index + 1 */
  uint32_t n = 0, count = t->spans.count;
  for (uint32_t off = t->spans.head; n < count;) {
    const struct fluo_extent *extent = arena_at(s->arena, off);
    const struct fluo_span *spans = (const void *)(extent + 1);
    off = extent->next;
    for (uint32_t i = 0; i < extent->capacity && n < count; i++) {
      ids[n] = id_load(spans[i].span_id);
      wanted[n] = parent_id(&spans[i]);
      uint32_t at = home_of(ids[n]);
      while (slots[at]) at = (at + 1) % HOMES;
      slots[at] = (uint8_t)++n;
    }
  }
  for (uint32_t i = 0; i < count; i++) {
    uint32_t at = home_of(wanted[i]);
    while (slots[at] && ids[slots[at] - 1] != wanted[i]) at = (at + 1) % HOMES;
    parents[i] = slots[at] - 1u;                          /* NOWHERE: no id is 0, so no span is the parent of a root */
  }
}

/* marks: all 0. A walk from child to parent marks what it sees with its own number. In every cycle some span's parent has
 * a lower number than itself, so walks begin only there: where spans come children first, as SDKs send them, nearly nowhere. */
static uint32_t count_cycles(const uint32_t *parents, uint32_t *marks, uint32_t n) {
  uint32_t cycles = 0;
  for (uint32_t from = 0; from < n; from++) {
    if (parents[from] >= from) continue;
    uint32_t at = from, walk = from + 1;
    while (at != NOWHERE && !marks[at]) {
      marks[at] = walk;
      at = parents[at];
    }
    if (at != NOWHERE && marks[at] == walk) cycles++;    /* it met itself, not an older walk */
  }
  return cycles;
}

/* How many cycles of parents there are. 0 without the memory to look. */
uint32_t ids_cycles(const struct store *s, const struct trace *t) {
  const struct trace_memory *m = t->memory;
  if (!m->ids) {
    uint32_t parents[IDS_LINEAR_MAX], marks[IDS_LINEAR_MAX];
    memset(marks, 0, t->spans.count * sizeof *marks);
    parents_by_index(s, t, parents);
    return count_cycles(parents, marks, t->spans.count);
  }
  uint32_t *marks = heap_zalloc(2 * m->ids_capacity * sizeof *marks), *parents = marks + m->ids_capacity;
  if (!marks) return 0;
  parents_by_slot(s, t, parents);
  uint32_t cycles = count_cycles(parents, marks, m->ids_capacity);
  heap_free(marks);
  return cycles;
}
