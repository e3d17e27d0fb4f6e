/* Room. Everything a trace takes is charged to it and to the store: arena blocks, and heap (its record, its table
 * of ids, the engine's notes). Arena blocks, heap and the ids of closed traces together stay within the arena's
 * size, so one number bounds the pantry.
 *
 * When room is short, room_make works down the order of pressure, one trace at a time: what is kept for evidence alone, a
 * payload that no rule can need, a kept trace, ids of closed traces, an eviction, nothing. The trace that is being written is never evicted; it may be
 * shed, so its payload's place is taken last (store_write.c). Each step is constant: the traces that can be shed
 * stand in a list of their own, and pinned ones that stood in the way are remembered until one is unpinned. A
 * trace's memory is freed in record_free and nowhere else.
 *
 * The kernel goes on holding a page of the arena whose blocks were given back, and heap has no use for it. So heap
 * is taken only while it fits beside what the arena has touched, give or take a tenth; else pages that are free go
 * back to the kernel, and what has to goes until some are. Payloads lie at the arena's upper end, for they go
 * first. */
#include <assert.h>
#include <math.h>
#include <sanitizer/asan_interface.h>

#include "err.h"
#include "heap.h"
#include "store_parts.h"

#define TAKEN_OVER_S 10.0         /* the horizon looks at about this much time */
#define HORIZON_MAX_S 1e9

/* ---- what is charged ------------------------------------------------------------------------- */

static void taken_decay(double *bytes, uint64_t from_ns, uint64_t to_ns) {
  if (to_ns > from_ns) *bytes *= exp(-(double)(to_ns - from_ns) / 1e9 / TAKEN_OVER_S);
}

/* For the horizon. */
static void count_taken(struct store *s, size_t bytes) {
  if (!s->taken_from_ns) s->taken_from_ns = s->taken_ns = s->now_ns;
  taken_decay(&s->taken_bytes, s->taken_ns, s->now_ns);
  s->taken_ns = s->now_ns;
  s->taken_bytes += (double)bytes;
}

static double horizon_s(const struct store *s, uint64_t now_ns) {
  double bytes = s->taken_bytes, seen = 0;
  taken_decay(&bytes, s->taken_ns, now_ns);
  if (now_ns > s->taken_from_ns) seen = (double)(now_ns - s->taken_from_ns) / 1e9;
  /* The sum of the last ten seconds is not full yet when fewer have been seen; one at the least. */
  double rate = bytes / (TAKEN_OVER_S * (1 - exp(-(seen < 1 ? 1 : seen) / TAKEN_OVER_S)));
  double horizon = rate > 0 ? (double)arena_bytes(s->arena) / rate : HORIZON_MAX_S;
  return horizon < HORIZON_MAX_S ? horizon : HORIZON_MAX_S;
}

void heap_charge(struct store *s, struct trace *t, size_t bytes) {
  t->memory->heap_bytes += (uint32_t)bytes;
  s->heap_bytes += bytes;
}

void heap_discharge(struct store *s, struct trace *t, size_t bytes) {
  assert(t->memory->heap_bytes >= bytes);
  t->memory->heap_bytes -= (uint32_t)bytes;
  s->heap_bytes -= bytes;
}

void notes_charge(struct store *s, struct trace *t) {
  size_t now = t->tallies_capacity * sizeof *t->tallies + t->rules_capacity * sizeof *t->rules +
               t->waits_capacity * sizeof *t->waits;
  if (now == t->memory->notes_bytes) return;
  heap_discharge(s, t, t->memory->notes_bytes);
  heap_charge(s, t, now);
  t->memory->notes_bytes = (uint32_t)now;
}

void blocks_push(struct store *s, struct blocks *b, uint32_t off, size_t bytes) {
  *(struct block *)arena_at(s->arena, off) = (struct block){b->newest};
  b->newest = off;
  b->bytes += (uint32_t)bytes;
}

static void blocks_pop(struct store *s, struct trace *t, struct blocks *b) {
  uint32_t off = b->newest;
  b->newest = ((const struct block *)arena_at(s->arena, off))->next;
  size_t bytes = arena_put(s->arena, off);
  b->bytes -= (uint32_t)bytes;
  t->memory->arena_bytes -= (uint32_t)bytes;
}

void blocks_free(struct store *s, struct trace *t, struct blocks *b, uint32_t until) {
  while (b->newest != until) blocks_pop(s, t, b);
}

/* ---- pressure -------------------------------------------------------------------------------- */

void full_update(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  link_remove(&m->full);
  m->parked = false;
  bool quiet = t->state == TRACE_OPEN || t->state == TRACE_KEPT;
  if (quiet && !t->hits.count && m->payload.bytes) link_append(&s->full, &m->full);
}

static void span_shed(struct fluo_span *span) {
  if (!span->payload.len) return;
  span->flags |= FLUO_SPAN_SHED;
  span->payload = (struct fluo_text){0, 0};
}

void shed_mark(const struct store *s, const struct trace *t) {
  struct trace_memory *m = t->memory;
  const struct fluo_extent *extent;
  uint32_t first = 0;
  if (m->shed_marked == m->shed) return;
  for (uint32_t off = t->spans.head; first < m->shed; off = extent->next) {
    extent = arena_at(s->arena, off);
    struct fluo_span *spans = (void *)((uint8_t *)arena_at(s->arena, off) + sizeof *extent);
    uint32_t i = m->shed_marked > first ? m->shed_marked - first : 0;
    for (; i < extent->capacity && first + i < m->shed; i++) span_shed(&spans[i]);
    first += extent->capacity;
  }
  m->shed_marked = m->shed;
}

static void shed(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  s->stats.payloads_shed += m->payloads;
  m->payloads = 0;
  m->shed = t->spans.count;
  blocks_free(s, t, &m->payload, 0);
  m->payload = (struct blocks){0};
  full_update(s, t);
}

/* The longest quiet trace with a payload that no rule can need gives it back. */
static bool shed_oldest(struct store *s) {
  while (!s->keep_payloads && !link_alone(&s->full)) {
    struct trace *t = trace_of(s->full.next, full);
    if (!t->pins) {
      shed(s, t);
      return true;
    }
    link_remove(&t->memory->full);    /* until it is unpinned, so that nobody looks at it again and again */
    t->memory->parked = true;
  }
  return false;
}

static bool evict_oldest(struct store *s) {
  /* What was evicted and waits for its judgment comes back soon: closing everything else meanwhile, for
   * the sake of one span, would be worse than to lose that. */
  if (s->evicted_bytes > arena_bytes(s->arena) / EVICTED_SHARE || s->evictions == EVICTIONS_MAX) return false;
  for (struct link *l = s->passed->next; l != &s->idle; l = l->next) {
    struct trace *t = trace_of(l, idle);
    if (t == s->adding) continue;
    if (!t->pins) {
      s->evictions++;
      store_close(s, t, CLOSE_EVICTED, s->now_ns);
      return true;
    }
    if (l->prev == s->passed) s->passed = l;
  }
  return false;
}

static bool release_oldest(struct store *s) {
  if (link_alone(&s->kept)) return false;
  s->stats.kept_released++;
  store_let_go(s, trace_of(s->kept.next, idle));
  return true;
}

bool pressure(struct store *s) {
  return spare_shed(s) || shed_oldest(s) || release_oldest(s) || remembered_shrink(&s->remembered) || evict_oldest(s);
}

/* Returns free pages of the arena to the kernel: false: there were none. To look for one is not free, so after a
 * search in vain the next one waits until there are more holes. */
static bool hole_return(struct store *s) {
  size_t holes = arena_bytes_touched(s->arena) - arena_bytes_used(s->arena);
  if (holes < s->holes_kept) s->holes_kept = holes;
  if (holes < s->holes_kept + HOLE_BYTES) return false;
  if (arena_trim(s->arena, HOLE_BYTES)) return true;
  s->holes_kept = holes;
  return false;
}

/* Some holes there always are, at both edges and between; and one that is written again soon is better kept. */
static bool fits_touched(const struct store *s, size_t bytes) {
  size_t holes = arena_bytes(s->arena) / HOLES_SHARE + 2 * HOLE_BYTES;
  return arena_bytes_touched(s->arena) + books_bytes(s) + bytes <= arena_bytes(s->arena) + holes;
}

bool room_heap_make(struct store *s, size_t bytes) {
  if (!room_make(s, bytes)) return false;
  while (!fits_touched(s, bytes))
    if (!hole_return(s) && !pressure(s)) return false;
  return true;
}

static uint32_t block_try(struct store *s, size_t bytes, size_t *actual, bool payload) {
  if (!room_is(s, bytes)) return 0;
  return payload ? arena_get_high(s->arena, bytes, actual) : arena_get(s->arena, bytes, actual);
}

uint32_t block_get(struct store *s, struct trace *t, size_t wanted, size_t needed, bool payload, size_t *actual) {
  needed = power_of_two(needed);
  if (needed > arena_bytes(s->arena) / ONE_SHARE) return 0;
  if (wanted < needed) wanted = needed;
  for (int i = 0; i < WANTED_STEPS && !room_is(s, wanted) && pressure(s);) i++;
  uint32_t off = 0;
  for (; !off && wanted > needed; wanted /= 2) off = block_try(s, wanted, actual, payload);
  while (!off && !(off = block_try(s, needed, actual, payload)))
    if (!pressure(s)) return 0;
  t->memory->arena_bytes += (uint32_t)*actual;
  count_taken(s, *actual);
  return off;
}

/* ---- records --------------------------------------------------------------------------------- */

/* The last record that was given back, which the caches still have: many traces end and begin with each request, and the
 * library's lock may be the ledger's thread's just then. */
static struct record *record_get(struct store *s) {
  if (!s->unused_count) return room_heap_make(s, sizeof(struct record)) ? heap_zalloc(sizeof(struct record)) : NULL;
  struct record *r = s->unused[--s->unused_count];
  ASAN_UNPOISON_MEMORY_REGION(r, sizeof *r);
  s->heap_bytes -= sizeof *r;
  return memset(r, 0, sizeof *r);
}

/* With the last open trace all go. */
static void record_put(struct store *s, struct record *r) {
  if (s->unused_count < RECORDS_UNUSED && !link_alone(&s->idle)) {
    s->unused[s->unused_count++] = r;
    s->heap_bytes += sizeof *r;
    ASAN_POISON_MEMORY_REGION(r, sizeof *r);
    return;
  }
  heap_free(r);
  if (!link_alone(&s->idle)) return;
  while (s->unused_count) heap_free(record_get(s));
}

struct record *record_new(struct store *s, const uint8_t id[16], uint64_t hash) {
  struct record *r = record_get(s);
  if (!r) return NULL;
  memcpy(r->trace.id, id, 16);
  r->trace.memory = &r->memory;
  r->trace.start_min_ns = UINT64_MAX;
  r->memory.store = s;
  r->memory.hash = hash;
  link_init(&r->memory.idle);
  link_init(&r->memory.age);
  link_init(&r->memory.same);
  link_init(&r->memory.full);
  link_init(&r->memory.spares);
  heap_charge(s, &r->trace, sizeof *r);
  count_taken(s, sizeof *r);
  return r;
}

void record_free(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  link_remove(&m->idle);
  link_remove(&m->full);
  traces_leave(s, t);
  if (m->ghost) m->ghost->late = NULL;
  spare_free(s, t);
  blocks_free(s, t, &m->payload, 0);
  blocks_free(s, t, &m->kept, 0);
  chain_free(s->arena, &t->spans);
  chain_free(s->arena, &t->hits);
  ids_free(s, t);
  heap_free(m->directory);
  heap_free(t->tallies);
  heap_free(t->rules);
  heap_free(t->waits);
  s->heap_bytes -= m->heap_bytes;
  s->evicted_bytes -= m->evicted_bytes;
  record_put(s, (struct record *)(void *)t);
}

void store_drop(struct store *s, struct trace *t) {
  assert(t->state != TRACE_OPEN && !t->pins);
  store_settle(s, t, t->spans.count);
  s->stats.traces_kept -= t->state == TRACE_KEPT;
  record_free(s, t);
}

void store_settle(struct store *s, struct trace *t, uint32_t n) {
  assert(t->state != TRACE_OPEN && t->settled <= n && n <= t->spans.count);
  s->stats.spans_held -= n - t->settled;
  t->settled = n;
}

void store_pin(struct trace *t) {
  shed_mark(t->memory->store, t);       /* from now on others may read it */
  t->pins++;
}

void store_unpin(struct trace *t) {
  struct trace_memory *m = t->memory;
  assert(t->pins);
  if (--t->pins) return;
  m->store->passed = &m->store->idle;
  if (m->parked) {                      /* what stood before it is shed already, so it comes first */
    m->parked = false;
    link_append(m->store->full.next, &m->full);
  }
}

void store_keep_payloads(struct store *s, bool keep) {
  s->keep_payloads = keep;
}

void store_stats_get(const struct store *s, uint64_t now_ns, struct store_stats *out) {
  *out = s->stats;
  out->ids_forgotten = s->remembered.forgotten;
  out->arena_bytes = arena_bytes(s->arena);
  out->arena_bytes_used = arena_bytes_used(s->arena);
  out->heap_bytes = s->heap_bytes;
  out->remembered_bytes = s->remembered.bytes;
  out->symbols_bytes = symbols_bytes(s->symbols);
  out->symbols_refused = symbols_refused(s->symbols);
  out->horizon_s = horizon_s(s, now_ns);
}
