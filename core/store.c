/* The pantry's door and its clock. A span is admitted to the open trace of its id, or, where that closed lately,
 * to that one if it is kept, else to a late trace that lives for the request; or it opens a trace; a duplicate of either
 * is turned away. An open trace stands in two lists, by last and by first arrival; time never runs backwards,
 * so the heads of the lists are what closes next. A closing trace leaves them, its ids are remembered,
 * and the engine is told; from then until store_drop it waits in `closed`, its memory still charged; or in
 * `kept`, where it was judged and waits for late spans until it is forgotten or its room is wanted. The table has all
 * of them as long as they are in memory; those of one id, of which the newest alone may be open, hang together.
 *
 * What fails: no memory for a record or the table turns the span away (ADMIT_NO_MEMORY) with nothing changed; no
 * memory to remember a trace forgets it, counted. on_close may call store_drop, so a trace is not looked at after
 * it, and nothing that pressure could take is held across a call that may cause pressure. */
#include <assert.h>

#include "err.h"
#include "heap.h"
#include "store_parts.h"

enum { EXTENT_IDS_BYTES = 192 };        /* of the smallest: in the rest of it is none */

const char *close_reason_text(enum close_reason r) {
  static const char *const texts[CLOSE_REASONS] = {"idle",    "max_age",  "span_cap", "byte_cap",
                                                   "evicted", "shutdown", "late"};
  assert(r < CLOSE_REASONS);
  return texts[r];
}

/* ---- the whole ------------------------------------------------------------------------------- */

int store_new(const struct store_limits *limits, const struct store_calls *calls, struct store **out) {
  struct store *s = heap_zalloc(sizeof *s);
  if (!s) return FLUO_ENOMEM;
  s->limits = *limits;
  s->calls = *calls;
  s->key = hash_key_random();
  link_init(&s->idle);
  link_init(&s->age);
  link_init(&s->full);
  link_init(&s->spares);
  link_init(&s->closed);
  link_init(&s->kept);
  link_init(&s->late);
  s->passed = &s->idle;
  remembered_init(&s->remembered, limits->remembered_bytes_max, s->key);
  int err = arena_new(limits->arena_bytes, &s->arena);
  if (err) goto err_after_alloc;
  err = symbols_new(s->arena, limits->symbols_bytes_max, &s->symbols);
  if (err) goto err_after_arena;
  *out = s;
  return 0;

err_after_arena:
  arena_free(s->arena);
err_after_alloc:
  heap_free(s);
  return err;
}

static void free_all(struct store *s, struct link *list) {
  while (!link_alone(list)) record_free(s, trace_of(list->next, idle));
}

void store_free(struct store *s) {
  if (!s) return;
  free_all(s, &s->idle);
  free_all(s, &s->closed);
  free_all(s, &s->kept);
  free_all(s, &s->late);
  assert(!s->unused_count);
  remembered_deinit(&s->remembered);
  symbols_free(s->symbols);
  arena_free(s->arena);
  table_deinit(&s->traces);
  heap_free(s);
}

struct arena *store_arena(const struct store *s) {
  return s->arena;
}

/* ---- closing --------------------------------------------------------------------------------- */

void idle_remove(struct store *s, struct trace *t) {
  if (s->passed == &t->memory->idle) s->passed = s->passed->prev;
  link_remove(&t->memory->idle);
}

/* Takes an open trace out of all lists. */
static void detach(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  if (s->recent == t) s->recent = NULL;
  s->stats.traces_open--;
  idle_remove(s, t);
  link_remove(&m->age);
  link_remove(&m->full);
  m->parked = false;
}

/* Ids of a trace that closes for want of room go in the place of older ones; where none are left that may go, they
 * are on top until the trace is freed, which gives more than they take. */
static void remember(struct store *s, struct trace *t) {
  uint64_t until_ns = t->closed_ns + s->limits.late_ns;
  while (!room_is(s, remembered_bytes(t->spans.count)) && remembered_shrink(&s->remembered)) {}
  struct ghost *g = remembered_put(&s->remembered, t->id, t->memory->hash, until_ns);
  if (g && !remembered_reserve(&s->remembered, g, t->spans.count)) g = NULL;
  if (!g) {
    s->remembered.forgotten += t->spans.count;
    return;
  }
  const struct fluo_extent *extent;
  uint32_t left = t->spans.count;
  for (uint32_t off = t->spans.head; left; off = extent->next) {
    extent = arena_at(s->arena, off);
    const struct fluo_span *spans = (const void *)(extent + 1);
    for (uint32_t i = 0; i < extent->capacity && left; i++, left--)
      remembered_add(&s->remembered, g, id_load(spans[i].span_id));
  }
}

static void fetch(const void *p, size_t n) {
  for (size_t line = 0; line < n; line += 64) __builtin_prefetch((const char *)p + line);
}

/* What a close looks at has left the caches since it was written: the record, the ids of the spans, and its places in
 * the tables. While one trace closes those of the next are fetched, and the record of the one behind it, which says where
 * its own are. */
static void fetch_next(const struct store *s) {
  const struct link *next = s->idle.next;
  if (next == &s->idle) return;
  const struct trace_memory *m = trace_of(next, idle)->memory;
  table_fetch(&s->traces, m->hash);
  table_fetch(&s->remembered.table, m->hash);
  for (uint32_t i = 0; i < EXTENTS_NOTED && m->noted[i]; i++) fetch(arena_at(s->arena, m->noted[i]), EXTENT_IDS_BYTES);
  if (next->next != &s->idle) fetch(trace_of(next->next, idle), sizeof(struct record));
}

void store_close(struct store *s, struct trace *t, enum close_reason reason, uint64_t at_ns) {
  assert(t->state == TRACE_OPEN);
  struct trace_memory *m = t->memory;
  detach(s, t);
  fetch_next(s);
  link_append(&s->closed, &m->idle);
  t->state = TRACE_CLOSED;
  t->reason = reason;
  t->cut |= reason != CLOSE_IDLE;
  t->closed_ns = at_ns;
  s->stats.traces_closed[reason]++;
  s->stats.malformed_spans += ids_cycles(s, t);
  remember(s, t);
  ids_free(s, t);
  notes_charge(s, t);
  if (reason == CLOSE_EVICTED) {
    m->evicted_bytes = m->arena_bytes + m->heap_bytes;
    s->evicted_bytes += m->evicted_bytes;
  }
  s->calls.on_close(s->calls.ctx, t);
}

void store_forget(struct store *s, struct trace *t) {
  assert(!t->spans.count && !t->pins);
  if (t->state == TRACE_OPEN) detach(s, t);
  record_free(s, t);
}

/* ---- kept ------------------------------------------------------------------------------------ */

static bool at_cap(const struct store *s, const struct trace *t) {
  return t->spans.count >= s->limits.trace_spans_max || t->memory->bytes >= s->limits.trace_bytes_max;
}

void store_keep(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  assert(t->state == TRACE_CLOSED && !m->ghost);
  if ((t->reason != CLOSE_IDLE && t->reason != CLOSE_AGE) || at_cap(s, t)) return;
  m->ghost = remembered_find(&s->remembered, t->id, m->hash, s->now_ns);
  if (!m->ghost) return;
  m->ghost->late = t;
  t->kept = true;
}

void store_rest(struct store *s, struct trace *t) {
  assert(t->state == TRACE_CLOSED && !t->pins && t->settled == t->spans.count);
  notes_charge(s, t);
  t->state = TRACE_KEPT;
  s->stats.traces_kept++;
  link_remove(&t->memory->idle);
  link_append(&s->kept, &t->memory->idle);
  full_update(s, t);
  if (!t->kept) s->calls.on_release(s->calls.ctx, t);
}

void store_wake(struct store *s, struct trace *t) {
  t->state = TRACE_CLOSED;
  s->stats.traces_kept--;
  link_remove(&t->memory->idle);
  link_append(&s->closed, &t->memory->idle);
  full_update(s, t);
}

void store_let_go(struct store *s, struct trace *t) {
  t->memory->ghost->late = NULL;
  t->memory->ghost = NULL;
  t->kept = false;
  if (t->state == TRACE_KEPT) s->calls.on_release(s->calls.ctx, t);
}

/* ---- time ------------------------------------------------------------------------------------ */

static uint64_t later(uint64_t ns, uint64_t by_ns) {
  return ns + by_ns < ns ? UINT64_MAX : ns + by_ns;
}

static uint64_t idle_due(const struct store *s, const struct trace *t) {
  return later(t->last_ns, s->limits.idle_ns);
}

static uint64_t age_due(const struct store *s, const struct trace *t) {
  return later(t->first_ns, s->limits.max_age_ns);
}

/* Of both at the same moment idle: then the trace was whole. */
static void close_by_time(struct store *s, struct trace *t) {
  uint64_t idle = idle_due(s, t), age = age_due(s, t);
  if (idle <= age) store_close(s, t, CLOSE_IDLE, idle);
  else store_close(s, t, CLOSE_AGE, age);
}

static struct trace *next_due(const struct store *s, uint64_t *due) {
  *due = UINT64_MAX;
  if (link_alone(&s->idle)) return NULL;
  struct trace *idle = trace_of(s->idle.next, idle), *age = trace_of(s->age.next, age);
  bool by_age = age_due(s, age) < idle_due(s, idle);
  *due = by_age ? age_due(s, age) : idle_due(s, idle);
  return by_age ? age : idle;
}

uint64_t store_next_due(const struct store *s) {
  uint64_t due;
  next_due(s, &due);
  return due;
}

static void clock_set(struct store *s, uint64_t now_ns) {
  if (now_ns > s->now_ns) s->now_ns = now_ns;
}

bool store_close_due(struct store *s, uint64_t now_ns) {
  uint64_t due;
  struct trace *t = next_due(s, &due);
  bool closes = t && due <= now_ns;
  if (!closes) due = now_ns;
  clock_set(s, due);
  remembered_expire(&s->remembered, due);
  if (!closes) return false;
  close_by_time(s, t);
  return true;
}

bool store_close_oldest(struct store *s, enum close_reason reason, uint64_t now_ns) {
  clock_set(s, now_ns);
  if (link_alone(&s->idle)) return false;
  store_close(s, trace_of(s->idle.next, idle), reason, s->now_ns);
  return true;
}

/* ---- admission ------------------------------------------------------------------------------- */

static struct trace *open_find(struct store *s, const uint8_t id[16], uint64_t *hash) {
  struct trace *t = s->recent;
  if (t && !memcmp(t->id, id, 16)) {
    *hash = t->memory->hash;
    return t;
  }
  *hash = trace_hash(&s->key, id);
  t = id_find(&s->traces, *hash, id);
  if (!t || t->state != TRACE_OPEN) return NULL;
  return s->recent = t;
}

struct trace *store_find(const struct store *s, const uint8_t id[16]) {
  return id_find(&s->traces, trace_hash(&s->key, id), id);
}

struct trace *store_same(const struct trace *t) {
  return trace_of(t->memory->same.next, same);
}

static void traces_enter(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  struct trace *older = id_find(&s->traces, m->hash, t->id);
  if (older) {
    link_append(&older->memory->same, &m->same);
    table_replace(&s->traces, m->hash, (uintptr_t)older, (uintptr_t)t);
  } else {
    table_put(&s->traces, m->hash, (uintptr_t)t);
  }
}

void traces_leave(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  struct trace *newest = id_find(&s->traces, m->hash, t->id), *older = store_same(t);
  if (newest == t && older == t) table_remove(&s->traces, m->hash, (uintptr_t)t);
  else if (newest == t) table_replace(&s->traces, m->hash, (uintptr_t)t, (uintptr_t)older);
  link_remove(&m->same);
}

/* The open trace, unless its time is over: that one is closed, for a span at its very due comes after. */
static struct trace *open_at(struct store *s, const uint8_t id[16], uint64_t *hash) {
  struct trace *t = open_find(s, id, hash);
  if (!t || (idle_due(s, t) > s->now_ns && age_due(s, t) > s->now_ns)) return t;
  close_by_time(s, t);
  return NULL;
}

/* A place in the table. */
static bool open_reserve(struct store *s, uint64_t hash) {
  for (size_t growth; (growth = table_growth(&s->traces, hash)); s->heap_bytes += growth)
    if (!room_make(s, growth) || table_grow(&s->traces, hash)) return false;
  return true;
}

static void open_trace(struct store *s, struct trace *t) {
  struct trace_memory *m = t->memory;
  t->state = TRACE_OPEN;
  t->first_ns = t->last_ns = s->now_ns;
  s->stats.traces_open++;
  link_append(&s->idle, &m->idle);
  link_append(&s->age, &m->age);
}

static void late_trace(struct store *s, struct trace *t, struct ghost *g) {
  t->state = TRACE_LATE;
  t->reason = CLOSE_LATE;
  t->first_ns = t->last_ns = s->now_ns;
  t->memory->ghost = g;
  g->late = t;
  link_append(&s->late, &t->memory->idle);
}

/* A kept trace knows its spans, also where their ids were forgotten. */
static bool was_there(const struct store *s, const struct ghost *g, const uint8_t span_id[8]) {
  if (remembered_has(&s->remembered, g, id_load(span_id))) return true;
  return g->late && g->late->kept && g->count < g->late->spans.count && ids_has(s, g->late, span_id);
}

/* A span of a trace that is not open. The record is made first, for making room may close and forget traces (but
 * close none of this id); only then is it decided what it becomes. */
static enum admit admit_elsewhere(struct store *s, const uint8_t id[16], uint64_t hash, const uint8_t span_id[8],
                                  struct trace **out) {
  struct ghost *g = remembered_find(&s->remembered, id, hash, s->now_ns);
  if (g && was_there(s, g, span_id)) {
    s->stats.duplicates++;
    return ADMIT_DUPLICATE;
  }
  if (g && g->late && g->late->kept && at_cap(s, g->late)) {
    s->stats.kept_released++;
    store_let_go(s, g->late);
  }
  if (g && g->late) {
    *out = g->late;
    return ADMIT_LATE;
  }
  if (!open_reserve(s, hash)) return ADMIT_NO_MEMORY;
  struct record *record = record_new(s, id, hash);
  if (!record) return ADMIT_NO_MEMORY;
  *out = &record->trace;
  traces_enter(s, *out);
  if (g) g = remembered_find(&s->remembered, id, hash, s->now_ns);
  if (g) late_trace(s, *out, g);
  else open_trace(s, *out);
  return g ? ADMIT_LATE : ADMIT_NEW;
}

enum admit store_admit(struct store *s, const uint8_t trace_id[16], const uint8_t span_id[8],
                       uint64_t now_ns, struct trace **out) {
  clock_set(s, now_ns);
  s->evictions = 0;
  uint64_t hash;
  struct trace *t = open_at(s, trace_id, &hash);
  if (!t) return admit_elsewhere(s, trace_id, hash, span_id, out);
  if (ids_has(s, t, span_id)) {
    s->stats.duplicates++;
    return ADMIT_DUPLICATE;
  }
  bool spans = t->spans.count >= s->limits.trace_spans_max;
  if (!t->spans.count || !at_cap(s, t)) {
    *out = t;
    return ADMIT_NEW;
  }
  store_close(s, t, spans ? CLOSE_SPANS : CLOSE_BYTES, s->now_ns);
  return admit_elsewhere(s, trace_id, hash, span_id, out);
}

void store_end_request(struct store *s, uint64_t now_ns) {
  clock_set(s, now_ns);
  s->scope_at = s->resource_at = NULL;
  while (!link_alone(&s->late)) {
    struct trace *t = trace_of(s->late.next, idle);
    if (t->memory->ghost) t->memory->ghost->late = NULL;
    t->memory->ghost = NULL;
    link_remove(&t->memory->idle);
    link_append(&s->closed, &t->memory->idle);
    t->closed_ns = s->now_ns;
    s->stats.traces_closed[CLOSE_LATE]++;
    s->calls.on_close(s->calls.ctx, t);
  }
}
