/* Finding the cause.
 *
 * Good path: a table of span ids gives each span its parent; a span whose parent is not there begins
 * a tree of its own, as a root does. A cycle is cut at its earliest span, so that whatever is walked
 * from here on ends. Then every failure marks what is above it, up to where another one has been,
 * and those that are not marked are candidates. The depth of a candidate is counted once for every
 * span on its way up. So each step looks at a span a fixed number of times, however deep or broken
 * the trace is.
 *
 * The way it fails: no memory for its scratch, which is freed in every case. */
#include "cause.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "err.h"
#include "heap.h"

enum { NOWHERE = UINT32_MAX };

struct forest {
  const struct cause_trace *trace;
  uint32_t *parents, *marks; /* marks: scratch of one pass */
  uint32_t *depths;          /* from 1; 0: not known yet */
  uint32_t *slots, mask;     /* by span id: index + 1 */
};

static const struct fluo_span *span_at(const struct forest *f, uint32_t i) {
  return f->trace->span(f->trace->ctx, i);
}

static bool failed(const struct forest *f, uint32_t i) {
  return span_at(f, i)->status == FLUO_STATUS_ERROR;
}

static bool earlier(const struct fluo_span *a, const struct fluo_span *b) {
  if (a->start_ns != b->start_ns) return a->start_ns < b->start_ns;
  return memcmp(a->span_id, b->span_id, 8) < 0;
}

/* ---- parents ------------------------------------------------------------------------------- */

/* The slot of this id, or the free one where it belongs. */
static uint32_t slot_of(const struct forest *f, const uint8_t id[8]) {
  uint32_t at = (uint32_t)hash64(&f->trace->key, id, 8) & f->mask;
  while (f->slots[at] && memcmp(span_at(f, f->slots[at] - 1)->span_id, id, 8))
    at = (at + 1) & f->mask;
  return at;
}

static void find_parents(struct forest *f) {
  uint32_t n = f->trace->count;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t slot = slot_of(f, span_at(f, i)->span_id);
    if (!f->slots[slot]) f->slots[slot] = i + 1;
  }
  for (uint32_t i = 0; i < n; i++) {
    const struct fluo_span *span = span_at(f, i);
    uint32_t found = span->flags & FLUO_SPAN_ROOT ? 0 : f->slots[slot_of(f, span->parent_id)];
    f->parents[i] = found ? found - 1 : NOWHERE;
  }
}

/* `on` is in a cycle: its earliest span becomes an orphan. */
static void cut_cycle(struct forest *f, uint32_t on) {
  uint32_t first = on;
  for (uint32_t at = f->parents[on]; at != on; at = f->parents[at])
    if (earlier(span_at(f, at), span_at(f, first))) first = at;
  f->parents[first] = NOWHERE;
}

/* A walk from child to parent marks what it sees with its own number: one that meets itself is in a
 * cycle. */
static void cut_cycles(struct forest *f) {
  for (uint32_t from = 0; from < f->trace->count; from++) {
    uint32_t at = from, walk = from + 1;
    for (; at != NOWHERE && !f->marks[at]; at = f->parents[at]) f->marks[at] = walk;
    if (at != NOWHERE && f->marks[at] == walk) cut_cycle(f, at);
  }
  memset(f->marks, 0, f->trace->count * sizeof *f->marks);
}

/* ---- failures ------------------------------------------------------------------------------ */

static void mark_above_failures(struct forest *f) {
  for (uint32_t i = 0; i < f->trace->count; i++) {
    if (!failed(f, i)) continue;
    for (uint32_t at = f->parents[i]; at != NOWHERE && !f->marks[at]; at = f->parents[at])
      f->marks[at] = 1;
  }
}

static uint32_t depth_of(struct forest *f, uint32_t i) {
  uint32_t steps = 0, at = i;
  for (; at != NOWHERE && !f->depths[at]; at = f->parents[at]) steps++;
  uint32_t depth = steps + (at == NOWHERE ? 0 : f->depths[at]);
  for (at = i; steps--; at = f->parents[at], depth--) f->depths[at] = depth;
  return f->depths[i];
}

static bool is_deeper(struct forest *f, uint32_t a, uint32_t b) {
  uint32_t of_a = depth_of(f, a), of_b = depth_of(f, b);
  return of_a != of_b ? of_a > of_b : earlier(span_at(f, a), span_at(f, b));
}

static int choose(struct forest *f, struct cause *out) {
  *out = (struct cause){.span = NOWHERE};
  for (uint32_t i = 0; i < f->trace->count; i++) {
    if (f->marks[i] || !failed(f, i)) continue;
    out->total++;
    if (out->span == NOWHERE || is_deeper(f, i, out->span)) out->span = i;
  }
  if (!out->total) return 0;
  for (uint32_t at = f->parents[out->span]; at != NOWHERE; at = f->parents[at]) {
    if (out->impact_count < CAUSE_IMPACT_MAX) out->impact[out->impact_count++] = at;
    out->impact_total++;
  }
  return 1;
}

int cause_find(const struct cause_trace *t, struct cause *out) {
  assert(t->count <= 1u << 30);
  struct forest f = {.trace = t, .mask = 1};
  while (f.mask < 2 * t->count) f.mask *= 2;
  size_t n = t->count;
  uint32_t *scratch = heap_zalloc((3 * n + f.mask) * sizeof *scratch);
  if (!scratch) return FLUO_ENOMEM;
  f.parents = scratch;
  f.marks = scratch + n;
  f.depths = scratch + 2 * n;
  f.slots = scratch + 3 * n;
  f.mask--;
  find_parents(&f);
  cut_cycles(&f);
  mark_above_failures(&f);
  int found = choose(&f, out);
  heap_free(scratch);
  return found;
}
