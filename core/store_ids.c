/* The span ids of a trace: is this one a duplicate, where is that parent. A trace of a few spans is looked
 * through; a larger one has a table of 4 bytes a slot that holds where the skeletons lie, for the id itself
 * stands there. The table lives in the heap, is charged to the trace, and goes when the trace closes. */
#include <assert.h>

#include "heap.h"
#include "store_parts.h"

enum { SLOTS_FIRST = 16, MARKS_ON_STACK = 64, NOWHERE = UINT32_MAX };

static struct fluo_span *span_at(const struct store *s, uint32_t off) {
  return arena_at(s->arena, off);
}

/* Positions name spans: slots of the table, or without one indices. */
static uint32_t positions(const struct trace *t) {
  return t->memory->ids ? t->memory->ids_capacity : t->spans.count;
}

static const struct fluo_span *position_span(const struct store *s, const struct trace *t, uint32_t at) {
  const struct trace_memory *m = t->memory;
  if (!m->ids) return span_at_index(s, t, at);
  return m->ids[at] ? span_at(s, m->ids[at]) : NULL;
}

static uint32_t index_find(const struct store *s, const struct trace *t, uint64_t id) {
  const struct fluo_extent *extent;
  uint32_t first = 0, count = t->spans.count;
  for (uint32_t off = t->spans.head; first < count; off = extent->next) {
    extent = arena_at(s->arena, off);
    const struct fluo_span *spans = (const void *)(extent + 1);
    for (uint32_t i = 0; i < extent->capacity && first + i < count; i++)
      if (id_load(spans[i].span_id) == id) return first + i;
    first += extent->capacity;
  }
  return NOWHERE;
}

static uint32_t position_find(const struct store *s, const struct trace *t, uint64_t id) {
  const struct trace_memory *m = t->memory;
  if (!m->ids) return index_find(s, t, id);
  uint32_t mask = m->ids_capacity - 1;
  for (uint32_t i = id_hash(&s->key, id) & mask; m->ids[i]; i = (i + 1) & mask)
    if (id_load(span_at(s, m->ids[i])->span_id) == id) return i;
  return NOWHERE;
}

bool ids_has(const struct store *s, const struct trace *t, const uint8_t id[8]) {
  return position_find(s, t, id_load(id)) != NOWHERE;
}

static void slot_put(const struct store *s, uint32_t *slots, uint32_t capacity,
                     const struct fluo_span *span) {
  uint32_t mask = capacity - 1, i = id_hash(&s->key, id_load(span->span_id)) & mask;
  while (slots[i]) i = (i + 1) & mask;
  slots[i] = store_offset(s, span);
}

bool ids_reserve(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  if (t->spans.count + 1 <= IDS_LINEAR_MAX || t->spans.count + 1 <= m->ids_capacity / 4 * 3) return true;
  uint32_t capacity = m->ids_capacity ? m->ids_capacity * 2 : SLOTS_FIRST;
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
  if (t->memory->ids) slot_put(s, t->memory->ids, t->memory->ids_capacity, span);
}

void ids_free(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  if (!m->ids) return;
  heap_discharge(s, t, m->ids_capacity * sizeof *m->ids);
  heap_free(m->ids);
  m->ids = NULL;
  m->ids_capacity = 0;
}

static uint32_t parent_of(const struct store *s, const struct trace *t, uint32_t at) {
  const struct fluo_span *span = position_span(s, t, at);
  uint64_t parent = id_load(span->parent_id);
  return span->flags & FLUO_SPAN_ROOT || !parent ? NOWHERE : position_find(s, t, parent);
}

static uint32_t count_cycles(const struct store *s, const struct trace *t, uint32_t *marks) {
  uint32_t cycles = 0;
  for (uint32_t from = 0; from < positions(t); from++) {
    if (!position_span(s, t, from)) continue;
    uint32_t at = from, walk = from + 1;         /* a walk marks what it sees with its own number */
    while (at != NOWHERE && !marks[at]) {
      marks[at] = walk;
      at = parent_of(s, t, at);
    }
    if (at != NOWHERE && marks[at] == walk) cycles++;    /* it met itself, not an older walk */
  }
  return cycles;
}

/* How many cycles of parents there are. 0 without the memory to look. */
uint32_t ids_cycles(const struct store *s, const struct trace *t) {
  uint32_t few[MARKS_ON_STACK] = {0}, n = positions(t);
  uint32_t *marks = n <= MARKS_ON_STACK ? few : heap_zalloc(n * sizeof *marks);
  if (!marks) return 0;
  uint32_t cycles = count_cycles(s, t, marks);
  if (marks != few) heap_free(marks);
  return cycles;
}
