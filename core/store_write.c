/* A span is written here, and a hit. Good path: store_add finds the skeleton's place, room for its id, its texts
 * among the symbols, its payload's place, writes, and only then counts the span. What fails before that leaves
 * the trace as it was: texts that were kept are rolled back, an extent that was added stays, empty, for the
 * next span. The payload's place is taken last, because making room for anything may shed the trace's older
 * payloads, and nothing after it can fail; and only if somebody may read it later, which most spans' nobody does: it
 * is four fifths of a span. */
#include <assert.h>

#include "heap.h"
#include "store_parts.h"

/* ---- extents --------------------------------------------------------------------------------- */

static void directory_free(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  heap_discharge(s, t, m->directory_capacity * sizeof *m->directory);
  heap_free(m->directory);
  m->directory = NULL;
  m->directory_capacity = 0;
}

static bool directory_grow(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  uint32_t capacity = DIRECTORY_FROM * 2, i = 0, first = 0;
  while (capacity < m->extents) capacity *= 2;
  directory_free(s, t);
  if (!room_heap_make(s, capacity * sizeof *m->directory)) return false;
  m->directory = heap_alloc(capacity * sizeof *m->directory);
  if (!m->directory) return false;
  m->directory_capacity = capacity;
  heap_charge(s, t, capacity * sizeof *m->directory);
  for (uint32_t off = t->spans.head; off != t->spans.tail; i++) {
    const struct fluo_extent *extent = arena_at(s->arena, off);
    m->directory[i] = (struct extent_at){first, off};
    first += extent->capacity;
    off = extent->next;
  }
  return true;
}

/* A convenience for long traces: without memory for it store_span walks. */
static void directory_add(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  if (m->extents < EXTENTS_NOTED) m->noted[m->extents] = t->spans.tail;
  if (++m->extents < DIRECTORY_FROM) return;
  if (m->extents > m->directory_capacity && !directory_grow(s, t)) return;
  m->directory[m->extents - 1] = (struct extent_at){t->spans.count, t->spans.tail};
}

static void *record_place(struct store *s, struct trace *t, struct chain *c, size_t size) {
  void *place = chain_room(s->arena, c, size);
  if (place) return place;
  size_t actual, wanted = grow_bytes(c->count * size, ARENA_BLOCK_MIN);
  uint32_t off = block_get(s, t, wanted, sizeof(struct fluo_extent) + size, false, &actual);
  if (!off) return NULL;
  chain_extend(s->arena, c, off, actual, size);
  if (c == &t->spans) directory_add(s, t);
  return chain_room(s->arena, c, size);
}

struct fluo_span *store_span(const struct store *s, const struct trace *t, uint32_t index) {
  shed_mark(s, t);
  return span_at_index(s, t, index);
}

struct fluo_span *span_at_index(const struct store *s, const struct trace *t, uint32_t index) {
  const struct trace_memory *m = t->memory;
  if (!m->directory || index >= t->spans.count - t->spans.tail_used)
    return chain_at(s->arena, &t->spans, sizeof(struct fluo_span), index);
  assert(index < t->spans.count);
  uint32_t low = 0, high = m->extents;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (m->directory[middle].first <= index) low = middle;
    else high = middle;
  }
  uint8_t *records = (uint8_t *)arena_at(s->arena, m->directory[low].off) + sizeof(struct fluo_extent);
  return (struct fluo_span *)(void *)records + (index - m->directory[low].first);
}

uint32_t store_offset(const struct store *s, const struct fluo_span *span) {
  return (uint32_t)((const uint8_t *)span - arena_base(s->arena));
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* How many bytes of a block are filled by pieces of this size, in hundredths. */
static size_t fill_of(size_t block, size_t n) {
  return (block - sizeof(struct block)) / n * n * 100 / block;
}

/* The first block holds one such piece. A later one is larger where that leaves less of it empty (pieces just over
 * a third of a block waste a third of it), by one step or, once four are there, by two; and it is an eighth of what
 * there is, so that a small trace wastes little and a large one has few. */
static size_t block_wanted(const struct blocks *b, size_t n) {
  size_t needed = power_of_two(sizeof(struct block) + n), best = needed;
  if (!b->bytes || !n) return needed;
  size_t steps = b->bytes >= 4 * needed ? 2 : 1;
  for (size_t block = needed << 1; block <= needed << steps && block <= BLOCK_BYTES_MAX; block <<= 1)
    if (fill_of(block, n) > fill_of(best, n) + BLOCK_GAIN) best = block;
  return grow_bytes(b->bytes, best);
}

/* n bytes in one piece. The block with more room left is the one filled next. */
static uint8_t *bytes_place(struct store *s, struct trace *t, struct blocks *b, size_t n, struct fluo_text *out) {
  size_t head = sizeof(struct block), actual;
  if (n > UINT32_MAX / 2) return NULL;
  if (b->capacity - b->used < n) {
    uint32_t off = block_get(s, t, block_wanted(b, n), head + n, b == &t->memory->payload, &actual);
    if (!off) return NULL;
    /* From here on *b is read anew: making room may have shed this very trace. */
    blocks_push(s, b, off, actual);
    if (actual - head - n < b->capacity - b->used) {
      *out = (struct fluo_text){off + (uint32_t)head, (uint32_t)n};
      return arena_at(s->arena, out->off);
    }
    b->fill = off;
    b->used = (uint32_t)head;
    b->capacity = (uint32_t)actual;
  }
  *out = (struct fluo_text){b->fill + b->used, (uint32_t)n};
  b->used += (uint32_t)n;
  return arena_at(s->arena, out->off);
}

static bool payload_place(struct store *s, struct trace *t, const struct otlp_span *span, struct fluo_span *k) {
  bool needed = !s->calls.needs_payload || s->calls.needs_payload(s->calls.ctx, t, k, span);
  if (!span->payload_bytes) return true;
  if (!needed) {
    k->flags |= FLUO_SPAN_SHED;
    spare_put(s, t, span);
    return true;
  }
  uint8_t *place = bytes_place(s, t, &t->memory->payload, span->payload_bytes, &k->payload);
  if (place) otlp_payload(span, place);
  return place != NULL;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static bool text_is(const struct store *s, struct fluo_text text, struct otlp_bytes bytes) {
  return text.len == bytes.n && (!bytes.n || !memcmp(arena_at(s->arena, text.off), bytes.p, bytes.n));
}

/* Likewise of the text that spans had before: where it lay in this request it still lies. */
static bool is_again(const struct store *s, struct fluo_text text, const uint8_t **at, struct otlp_bytes bytes) {
  bool same = (bytes.p == *at && bytes.n == text.len) || text_is(s, text, bytes);
  if (same) *at = bytes.p;
  return same;
}

static void goes_with_trace(struct fluo_span *k) {
  k->flags &= (uint16_t)~FLUO_SPAN_LASTING;
}

static bool text_keep(struct store *s, struct trace *t, struct otlp_bytes bytes, struct fluo_span *k, struct fluo_text *out) {
  uint8_t *place = bytes_place(s, t, &t->memory->kept, bytes.n, out);
  goes_with_trace(k);
  if (place) memcpy(place, bytes.p, bytes.n);
  return place != NULL;
}

static bool name_place(struct store *s, struct trace *t, struct otlp_bytes name, struct fluo_span *k) {
  return symbol_put(s->symbols, name.p, name.n, &k->name) || text_keep(s, t, name, k, &k->name);
}

struct fluo_text store_symbol(struct store *s, const void *text, size_t n) {
  struct fluo_text symbol = {0, 0};
  symbol_put(s->symbols, text, n, &symbol);
  return symbol;
}

struct fluo_text store_lasting(struct store *s, const struct fluo_span *span, struct fluo_text text) {
  if (span->flags & FLUO_SPAN_LASTING) return text;
  return store_symbol(s, arena_at(s->arena, text.off), text.len);
}

static const struct fluo_span *span_before(const struct store *s, const struct trace *t) {
  return t->spans.count ? span_at_index(s, t, t->spans.count - 1) : NULL;
}

static bool scope_place(struct store *s, struct trace *t, struct otlp_bytes scope, struct fluo_span *k) {
  const struct fluo_span *before;
  if (is_again(s, s->scope, &s->scope_at, scope)) k->scope = s->scope;
  else if (symbol_put(s->symbols, scope.p, scope.n, &k->scope)) s->scope = k->scope, s->scope_at = scope.p;
  else if ((before = span_before(s, t)) && text_is(s, before->scope, scope)) k->scope = before->scope, goes_with_trace(k);
  else return text_keep(s, t, scope, k, &k->scope);
  return true;
}

/* The service's name: a symbol, so that all resources of a service have it in one place; else a slice of the resource, where
 * it is a string. */
static bool service_place(struct store *s, struct trace *t, struct fluo_span *k) {
  char scratch[32];
  struct otlp_bytes service, resource = {arena_at(s->arena, k->resource.off), k->resource.len};
  if (!resource.n || !otlp_service(resource, scratch, &service)) return true;
  k->flags |= FLUO_SPAN_SERVICE;
  if (symbol_put(s->symbols, service.p, service.n, &k->service)) return true;
  if ((const char *)service.p == scratch) return text_keep(s, t, service, k, &k->service);
  k->service = (struct fluo_text){k->resource.off + (uint32_t)(service.p - resource.p), (uint32_t)service.n};
  return true;
}

static void resource_copy(struct fluo_span *k, const struct fluo_span *from) {
  k->resource = from->resource;
  k->service = from->service;
  k->flags |= from->flags & FLUO_SPAN_SERVICE;
}

/* A resource is looked for where it most likely is: at the span before (of any trace), among the symbols, at
 * this trace's span before; else it is kept with the trace. */
static bool resource_place(struct store *s, struct trace *t, struct otlp_bytes resource, struct fluo_span *k) {
  const struct fluo_span *before;
  if (is_again(s, s->resource.resource, &s->resource_at, resource)) {
    resource_copy(k, &s->resource);
    return true;
  }
  if (!symbol_put(s->symbols, resource.p, resource.n, &k->resource)) {
    if ((before = span_before(s, t)) && text_is(s, before->resource, resource)) {
      resource_copy(k, before);
      goes_with_trace(k);
      return true;
    }
    if (!text_keep(s, t, resource, k, &k->resource)) return false;
  }
  if (!service_place(s, t, k)) return false;
  if (k->flags & FLUO_SPAN_LASTING) s->resource = *k, s->resource_at = resource.p;
  return true;
}

/* ---- a span ---------------------------------------------------------------------------------- */

static void skeleton_fill(struct fluo_span *k, const struct otlp_span *span) {
  static const uint8_t none[8];
  *k = (struct fluo_span){.start_ns = span->start_ns,
                          .end_ns = span->end_ns,
                          .dropped_events = span->dropped_events,
                          .kind = (uint8_t)span->kind,
                          .flags = FLUO_SPAN_LASTING,
                          .status = (uint8_t)span->status};
  memcpy(k->span_id, span->span_id, 8);
  memcpy(k->parent_id, span->parent_id, 8);
  bool own_parent = !memcmp(span->parent_id, span->span_id, 8);
  if (own_parent || !memcmp(span->parent_id, none, 8)) k->flags |= FLUO_SPAN_ROOT;
  if (span->end_ns < span->start_ns || !span->end_ns) k->flags |= FLUO_SPAN_SKEWED;
}

static bool span_write(struct store *s, struct trace *t, const struct otlp_span *span, struct fluo_span *k) {
  struct blocks *kept = &t->memory->kept, before = *kept;
  skeleton_fill(k, span);
  if (resource_place(s, t, span->resource, k) && name_place(s, t, span->name, k) &&
      scope_place(s, t, span->scope, k) && room_make(s, 0) && payload_place(s, t, span, k))
    return true;
  blocks_free(s, t, kept, before.newest);
  *kept = before;
  return false;
}

/* A trace is as large as its spans came, whatever of them is stored: its cap depends on no rule. */
static void span_count(struct store *s, struct trace *t, const struct otlp_span *span, struct fluo_span *k) {
  uint64_t end = k->end_ns > k->start_ns ? k->end_ns : k->start_ns;
  if (k->start_ns < t->start_min_ns) t->start_min_ns = k->start_ns;
  if (end > t->end_max_ns) t->end_max_ns = end;
  if (k->flags & FLUO_SPAN_SKEWED) s->stats.skewed_spans++;
  if (!memcmp(k->parent_id, k->span_id, 8)) s->stats.malformed_spans++;
  t->memory->bytes += (uint32_t)(sizeof *k + span->payload_bytes);
  t->last_ns = s->now_ns;
  t->memory->payloads += k->payload.len > 0;
  chain_commit(&t->spans);
  s->stats.spans_held++;
}

/* Of the spans that arrive at the same time the first one moves its trace to the end of the lists. */
static void span_arrived(struct store *s, struct trace *t, const struct otlp_span *span, struct fluo_span *k) {
  struct trace_memory *m = t->memory;
  bool later = t->last_ns != s->now_ns;
  span_count(s, t, span, k);
  ids_put(s, t, k);
  if (t->state != TRACE_OPEN) {
    s->stats.late_spans++;
    if (m->ghost) remembered_renew(&s->remembered, m->ghost, id_load(k->span_id), s->now_ns + s->limits.late_ns);
    return;
  }
  if (later) {
    idle_remove(s, t);
    link_append(&s->idle, &m->idle);
  }
  if (m->payload.bytes && (later || link_alone(&m->full))) full_update(s, t);
}

struct fluo_span *store_add(struct store *s, struct trace *t, const struct otlp_span *span, uint32_t *index) {
  bool resting = t->state == TRACE_KEPT;
  assert(t->state != TRACE_CLOSED || t->kept);
  if (resting) store_wake(s, t);        /* it is not released for want of room for its own */
  s->adding = t;
  s->evictions = 0;
  notes_charge(s, t);
  struct fluo_span *k = record_place(s, t, &t->spans, sizeof *k);
  bool has_ids = t->state == TRACE_OPEN || t->memory->ids;
  bool written = k && (!has_ids || ids_reserve(s, t)) && span_write(s, t, span, k);
  s->adding = NULL;
  if (!written) {
    t->cut = true;                      /* what is absent from it may be what was lost */
    if (!t->spans.count && !t->pins) store_forget(s, t);
    else if (resting) store_rest(s, t);
    return NULL;
  }
  *index = t->spans.count;
  span_arrived(s, t, span, k);
  return k;
}

bool store_hit(struct store *s, struct trace *t, uint32_t pattern, uint32_t span) {
  s->evictions = 0;
  notes_charge(s, t);
  store_pin(t);                         /* nothing of it may go while it gains what protects it */
  struct fluo_hit *hit = record_place(s, t, &t->hits, sizeof *hit);
  if (hit) {
    *hit = (struct fluo_hit){pattern, span};
    chain_commit(&t->hits);
    full_update(s, t);
  } else {
    t->cut = true;
    s->stats.hits_lost++;
  }
  store_unpin(t);
  return hit != NULL;
}
