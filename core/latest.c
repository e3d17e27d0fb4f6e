/* The ring grows by doubling, as events come: most groups see few. It is a ring since of a busy group every event takes
 * the place of the oldest. Nothing fails: what there is no memory for is one witness fewer. */
#include "latest.h"

#include <string.h>

#include "err.h"
#include "heap.h"

/* How a witness begins. A span without a service has one that lies nowhere. */
struct latest_span {
  uint64_t time_ns, start_ns;
  uint8_t  trace_id[16], span_id[8];
  struct fluo_text name, service;
};
_Static_assert(sizeof(struct latest_span) == offsetof(struct window_witness, has_service), "it is copied as one");

#define NOWHERE UINT32_MAX

_Static_assert(FLUO_WITNESSES_MAX <= UINT8_MAX / 2, "places in the ring are small numbers");

static struct latest_span *at(const struct latest *l, uint32_t i) {
  uint32_t place = l->head + i;
  return &l->spans[place < l->capacity ? place : place - l->capacity];
}

static bool grow(struct latest *l, uint32_t max) {
  uint32_t capacity = l->capacity ? l->capacity * 2u : 1;
  if (capacity > max) capacity = max;
  if (capacity <= l->capacity) return false;
  struct latest_span *spans = heap_alloc(capacity * sizeof *spans);
  if (!spans) return false;
  for (uint32_t i = 0; i < l->count; i++) spans[i] = *at(l, i);
  heap_free(l->spans);
  *l = (struct latest){.spans = spans, .count = l->count, .capacity = (uint8_t)capacity};
  return true;
}

static void remove_at(struct latest *l, uint32_t i) {
  for (l->count--; i < l->count; i++) *at(l, i) = *at(l, i + 1);
}

static void remove_oldest(struct latest *l) {
  l->count--;
  if (++l->head == l->capacity) l->head = 0;
}

/* Its place among those that are kept, from 0; or where there are count of them, none. */
static uint32_t find(const struct latest *l, const struct window_witness *w) {
  uint32_t i = 0;
  while (i < l->count && (memcmp(at(l, i)->span_id, w->span_id, 8) || memcmp(at(l, i)->trace_id, w->trace_id, 16))) i++;
  return i;
}

static void put(struct latest_span *span, const struct window_witness *w) {
  memcpy(span, w, sizeof *span);
  if (!w->has_service) span->service.off = NOWHERE;
}

/* The newest in the place of the oldest is what most come to. */
void latest_push(struct latest *l, const struct window_witness *w) {
  if (l->count < l->capacity) {
    put(at(l, l->count++), w);
    return;
  }
  put(&l->spans[l->head], w);
  if (++l->head == l->capacity) l->head = 0;
}

void latest_note(struct latest *l, const struct window_witness *w, uint32_t max) {
  uint32_t same = w->repeats ? find(l, w) : l->count;
  if (same < l->count) {
    if (at(l, same)->time_ns >= w->time_ns) return;
    remove_at(l, same);
  }
  if (l->count == l->capacity && !grow(l, max)) {
    if (!l->count || at(l, 0)->time_ns > w->time_ns) return;
    remove_oldest(l);
  }
  uint32_t i = l->count++;
  for (; i && at(l, i - 1)->time_ns > w->time_ns; i--) *at(l, i) = *at(l, i - 1);
  put(at(l, i), w);
}

struct window_witness latest_get(const struct latest *l, uint32_t i) {
  const struct latest_span *span = at(l, i);
  struct window_witness w = {.time_ns = span->time_ns, .start_ns = span->start_ns, .name = span->name};
  memcpy(w.trace_id, span->trace_id, 16);
  memcpy(w.span_id, span->span_id, 8);
  w.has_service = span->service.off != NOWHERE;
  if (w.has_service) w.service = span->service;
  return w;
}

void latest_deinit(struct latest *l) {
  heap_free(l->spans);
  *l = (struct latest){0};
}

size_t latest_bytes(const struct latest *l) {
  return heap_block(l->capacity * sizeof *l->spans);
}

/* ---- as bytes ------------------------------------------------------------------------------ */

void latest_write(const struct latest *l, struct pack *p) {
  pack_uint(p, l->count);
  for (uint32_t i = 0; i < l->count; i++) {
    struct window_witness w = latest_get(l, i);
    pack_uint(p, w.time_ns);
    pack_uint(p, w.start_ns);
    pack_bytes(p, w.trace_id, sizeof w.trace_id);
    pack_bytes(p, w.span_id, sizeof w.span_id);
    pack_text(p, w.name);
    pack_uint(p, w.has_service);
    if (w.has_service) pack_text(p, w.service);
  }
}

static void read_witness(struct window_witness *w, struct unpack *u) {
  w->time_ns = unpack_uint(u);
  w->start_ns = unpack_uint(u);
  unpack_copy(u, w->trace_id, sizeof w->trace_id);
  unpack_copy(u, w->span_id, sizeof w->span_id);
  w->name = unpack_text(u);
  w->has_service = unpack_upto(u, 1);
  if (w->has_service) w->service = unpack_text(u);
}

int latest_read(struct latest *l, struct unpack *u) {
  uint64_t before_ns = 0;
  for (uint32_t left = unpack_count(u, FLUO_WITNESSES_MAX); left; left--) {
    struct window_witness w = {.has_service = false};
    read_witness(&w, u);
    if (u->bad || w.time_ns < before_ns) return FLUO_EMALFORMED;
    before_ns = w.time_ns;
    latest_note(l, &w, FLUO_WITNESSES_MAX);
  }
  return u->bad ? FLUO_EMALFORMED : 0;
}
