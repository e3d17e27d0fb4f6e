/* What a request says to rules across traces: its notes, handed over in order of time: to sequences one by one, to windows
 * then group by group, for each of which what it takes is in the cache once. What is sorted are not the notes but the
 * moments of spans, which are fewer, and mostly one a span: its end. Notes of rules with functions stand in a batch of
 * their own, which is handed over when the last of the request's answers is in; so every rule sees a request whole, and
 * its functions answered.
 *
 * Rules know nothing of each other: of one moment they stand in the order in which the request came to them. Ways it
 * fails: no memory for a batch: its notes are lost, counted by whoever has one. A batch is its engine's until it is handed
 * over. */
#include <string.h>

#include "engine_across.h"
#include "heap.h"
#include "limits.h"

static void batch_init(struct across_batch *b, uint64_t now_ns) {
  b->now_ns = now_ns;
  buffer_init(&b->bytes, LIMIT_ACROSS_KEY_BYTES);
}

static void batch_deinit(struct across_batch *b) {
  heap_free(b->spans);
  heap_free(b->notes);
  heap_free(b->moments);
  heap_free(b->sorted);
  across_cells_forget(b);
}

/* ---- in order of time ---------------------------------------------------------------------- */

static int compare_traces(const struct across_batch *b, const struct across_moment *x, const struct across_moment *y) {
  return memcmp(b->spans[x->span].witness.trace_id, b->spans[y->span].witness.trace_id, 16);
}

/* By time, then by span. As one number, for a branch that nobody can foretell costs more than all else here. */
static inline bool is_before(const struct across_batch *b, const struct across_moment *x, const struct across_moment *y) {
  unsigned __int128 one = (unsigned __int128)x->at_ns << 64 | x->span_id;
  unsigned __int128 other = (unsigned __int128)y->at_ns << 64 | y->span_id;
  if (__builtin_expect(one == other, 0)) return x->span != y->span && compare_traces(b, x, y) < 0;
  return one < other;
}

static bool is_same(const struct across_batch *b, const struct across_moment *x, const struct across_moment *y) {
  return x->at_ns == y->at_ns && x->span_id == y->span_id && (x->span == y->span || !compare_traces(b, x, y));
}

static void insert_all(const struct across_batch *b, struct across_moment *moments, uint32_t n) {
  for (uint32_t i = 1, at; i < n; i++) {
    struct across_moment moment = moments[i];
    for (at = i; at && is_before(b, &moment, &moments[at - 1]); at--) moments[at] = moments[at - 1];
    moments[at] = moment;
  }
}

static void swap(struct across_batch *b) {
  struct across_moment *moments = b->moments;
  uint32_t capacity = b->moments_capacity;
  b->moments = b->sorted, b->moments_capacity = b->sorted_capacity;
  b->sorted = moments, b->sorted_capacity = capacity;
}

/* Two that stand one behind the other, in order, into one. */
static void merge_runs(const struct across_batch *b, const struct across_moment *from, uint32_t middle, uint32_t n,
                       struct across_moment *to) {
  uint32_t left = 0, right = middle;
  while (left < middle && right < n) {
    bool second = is_before(b, &from[right], &from[left]);
    *to++ = from[second ? right : left];
    right += second;
    left += !second;
  }
  memcpy(to, from + left, (middle - left) * sizeof *to);
  memcpy(to + (middle - left), from + right, (n - right) * sizeof *to);
}

/* Where they lie evenly in time, or are of one time: each near its place, by the first bits that differ. Whether it is
 * so near that putting one behind the other will do. */
static bool spread(struct across_batch *b) {
  enum { PLACES_BITS = 10, PLACES = 1 << PLACES_BITS, FEW = 8 };
  const struct across_moment *m = b->moments;
  uint64_t least = UINT64_MAX, most = 0;
  bool by_time = false;
  for (uint32_t i = 1; i < b->moments_count && !by_time; i++) by_time = m[i].at_ns != m->at_ns;
  for (uint32_t i = 0; i < b->moments_count; i++) {
    uint64_t x = by_time ? m[i].at_ns : m[i].span_id;
    if (x < least) least = x;
    if (x > most) most = x;
  }
  int bits = most > least ? 64 - __builtin_clzll(most - least) : 0, shift = bits > PLACES_BITS ? bits - PLACES_BITS : 0;
  uint32_t ends[PLACES] = {0}, crowd = 0;
  for (uint32_t i = 0; i < b->moments_count; i++) {
    uint32_t n = ++ends[((by_time ? m[i].at_ns : m[i].span_id) - least) >> shift];
    if (n > crowd) crowd = n;
  }
  if (crowd > FEW) return false;
  for (uint32_t i = 0, before = 0; i < PLACES; i++) {
    uint32_t n = ends[i];
    ends[i] = before;
    before += n;
  }
  for (uint32_t i = 0; i < b->moments_count; i++)
    b->sorted[ends[((by_time ? m[i].at_ns : m[i].span_id) - least) >> shift]++] = m[i];
  swap(b);
  return true;
}

/* Stable. A library's sort would call back for each of some ten comparisons a moment, which is as much as all that a
 * window does with it. */
static void sort(struct across_batch *b) {
  const uint32_t few = 8, many = 64, n = b->moments_count;
  uint32_t sorted = 1;
  while (sorted < n && !is_before(b, &b->moments[sorted], &b->moments[sorted - 1])) sorted++;
  if (sorted >= n) return;
  if (n >= many && spread(b)) {
    insert_all(b, b->moments, n);
    return;
  }
  for (uint32_t i = 0; i < n; i += few) insert_all(b, b->moments + i, n - i < few ? n - i : few);
  for (uint32_t width = few; width < n; width *= 2) {
    for (uint32_t i = 0; i < n; i += 2 * width) {
      uint32_t left = n - i;
      merge_runs(b, b->moments + i, left < width ? left : width, left < 2 * width ? left : 2 * width, b->sorted + i);
    }
    swap(b);
  }
}

/* ---- handing over -------------------------------------------------------------------------- */

static struct state_key key_of(const struct across_batch *b, const struct across_cell *cell) {
  const struct across_key *key = &b->keys[cell->key];
  return (struct state_key){key->bytes ? b->bytes.data + key->at : NULL, key->bytes, key->hash};
}

static void to_sequence(struct across_batch *b, const struct across_span *span, const struct across_note *n) {
  const struct across_cell *cell = &b->cells[n->cell];
  struct state_key key = key_of(b, cell);
  struct sequence_hit hit = {.start_ns = span->witness.start_ns,
                             .end_ns = span->end_ns,
                             .patterns = n->patterns,
                             .name = span->witness.name,
                             .service = span->witness.service,
                             .has_service = span->witness.has_service};
  memcpy(hit.trace_id, span->witness.trace_id, 16);
  memcpy(hit.span_id, span->witness.span_id, 8);
  const struct across_key *distinct = &b->keys[n->distinct];
  if (cell->to->cascade)
    cascade_take(cell->to->cascade, &key, &hit, b->bytes.data + distinct->at, distinct->bytes, b->now_ns);
  else
    sequence_take(cell->to->sequence, &key, &hit, b->now_ns);
}

/* A ratio's span that is no hit of the window's own pattern is no event; one that is, and in the
 * numerator, is one. */
static bool is_event(const struct across *to, struct across_note *n) {
  if (!to->ratio) return true;
  if (n->patterns & 2) n->flags |= (uint8_t)SERIES_NUMERATOR;
  return n->patterns & 1;
}

/* What several patterns of a rule said of one span at one time is said by the first of its notes. */
static void merge(struct across_batch *b, const struct across_moment *at, const struct across_moment *end) {
  for (const struct across_moment *m = at; m < end; m++)
    for (uint32_t i = m->first; i < m->end; i++) {
      struct across_note *n = &b->notes[i];
      struct across *to = b->cells[n->cell].to;
      if (!to->merges) continue;
      if (to->merged) {
        to->merged->patterns |= n->patterns;
        n->patterns = 0;
      } else {
        to->merged = n;
      }
    }
}

/* The next one of its cell. */
static void link_note(struct across_batch *b, uint32_t i, uint32_t moment) {
  struct across_cell *cell = &b->cells[b->notes[i].cell];
  b->notes[i].moment = moment;
  b->notes[i].next = ACROSS_NONE;
  if (cell->last == ACROSS_NONE)
    cell->first = i;
  else
    b->notes[cell->last].next = i;
  cell->last = i;
}

/* A window's wait for the others of their group. */
static void hand_over_one(struct across_batch *b, uint32_t moment) {
  const struct across_moment *m = &b->moments[moment];
  struct across_span *span = &b->spans[m->span];
  for (uint32_t i = m->first; i < m->end; i++) {
    struct across_note *n = &b->notes[i];
    struct across *to = b->cells[n->cell].to;
    if (!n->patterns) continue;
    if (b->merges) to->merged = NULL;
    if (to->window) {
      if (is_event(to, n)) link_note(b, i, moment);
    } else if (to->novel) {
      struct state_key key = key_of(b, &b->cells[n->cell]);
      span->witness.time_ns = m->at_ns;
      novel_take(to->novel, &key, &span->witness);
    } else {
      to_sequence(b, span, n);
    }
  }
}

/* All events of a group, in order of time. Of a span's witness the time is that of the moment. */
static void to_window(const struct across_batch *b, struct across_cell *cell) {
  struct state_key key = key_of(b, cell);
  bool distinct = cell->to->terms->aggregate == FLUO_AGGREGATE_DISTINCT;
  cell->last = ACROSS_NONE;
  for (uint32_t i = cell->first; i != ACROSS_NONE; i = b->notes[i].next) {
    const struct across_note *n = &b->notes[i];
    const struct across_moment *m = &b->moments[n->moment];
    struct window_witness *witness = &b->spans[m->span].witness;
    struct series_event event = {m->at_ns, n->value, 0, n->weight, n->flags};
    if (distinct) event.value = 1, event.hash = n->hash;
    witness->time_ns = m->at_ns;
    witness->repeats = n->repeats;
    window_take(cell->to->window, &key, &cell->known, &event, witness);      /* what is lost is counted there */
  }
}

static bool is_last(const struct across_batch *b, uint32_t i) {
  return b->cells[b->notes[i].cell].last == i;
}

/* Groups take turns as their last events do: so the one that is used last is the latest. */
static void hand_over_windows(const struct across_batch *b) {
  for (uint32_t k = 0; k < b->moments_count; k++)
    for (uint32_t i = b->moments[k].first; i < b->moments[k].end; i++)
      if (is_last(b, i)) to_window(b, &b->cells[b->notes[i].cell]);
}

static void batch_flush(struct across_batch *b) {
  sort(b);
  for (uint32_t i = 0, end; i < b->moments_count; i = end) {
    for (end = i + 1; end < b->moments_count && is_same(b, &b->moments[i], &b->moments[end]);) end++;
    if (b->merges) merge(b, &b->moments[i], &b->moments[end]);
    for (uint32_t k = i; k < end; k++) hand_over_one(b, k);
  }
  hand_over_windows(b);
  for (uint32_t i = 0; i < b->spans_count; i++) b->spans[i].rules->traces--;
  b->spans_count = b->moments_count = b->count = 0;
  b->look = 0;
  b->merges = false;
  across_cells_end(b);
}

/* Batches are handed over in order of arrival, each when nothing about it is out any more. */
static void flush_waiting(struct engine *e) {
  while (e->waiting && e->waiting->closed && !e->waiting->sheets) {
    struct across_batch *b = e->waiting;
    e->waiting = b->next;
    batch_flush(b);
    batch_deinit(b);
    heap_free(b);
  }
}

/* The batch of this request for rules with functions. NULL: no memory. */
struct across_batch *engine_batch(struct engine *e) {
  if (e->batch || !e->rules_ask) return e->batch;
  struct across_batch *b = heap_zalloc(sizeof *b), **at = &e->waiting;
  if (!b) return NULL;
  batch_init(b, e->now_ns);
  while (*at) at = &(*at)->next;
  return *at = e->batch = b;
}

void engine_batch_asks(struct across_batch *b) {
  if (b) b->sheets++;
}

void engine_batch_answered(struct engine *e, struct across_batch *b) {
  if (b) b->sheets--;
  flush_waiting(e);
}

void engine_end_request(struct engine *e) {
  if (e->batch) e->batch->closed = true;
  e->batch = NULL;
  if (e->now_batch) {
    e->now_batch->now_ns = e->now_ns;
    batch_flush(e->now_batch);
  }
  flush_waiting(e);
}

struct across_batch *across_batch_for(struct engine *e, const struct across *to) {
  struct across_batch *b = to->asks ? engine_batch(e) : e->now_batch;
  if (b) return b;
  if (!e->now_batch && (e->now_batch = heap_zalloc(sizeof *e->now_batch))) batch_init(e->now_batch, 0);
  return e->now_batch;
}

void engine_batches_free(struct engine *e) {
  for (struct across_batch *b = e->waiting, *next; b; b = next) {
    next = b->next;
    batch_deinit(b);
    heap_free(b);
  }
  if (e->now_batch) batch_deinit(e->now_batch);
  heap_free(e->now_batch);
}
