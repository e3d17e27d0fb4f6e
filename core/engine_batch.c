/* What a request says to rules across traces: its notes, put in order of time and handed over to
 * windows and sequences one by one. Notes of rules with functions stand in a batch of their own,
 * which is handed over when the last of the request's answers is in; so every rule sees a request
 * whole, and its functions answered.
 *
 * Events of one rule are in order of time, rules in the order in which the request came to them:
 * they know nothing of each other. Ways it fails: no memory for a batch: its notes are lost, counted
 * by whoever has one. A batch is its engine's until it is handed over. */
#include <stdlib.h>
#include <string.h>

#include "engine_across.h"
#include "heap.h"
#include "limits.h"

static void batch_init(struct across_batch *b, uint64_t now_ns) {
  b->now_ns = now_ns;
  buffer_init(&b->keys, LIMIT_ACROSS_KEY_BYTES);
}

static void batch_deinit(struct across_batch *b) {
  heap_free(b->spans);
  heap_free(b->notes);
  heap_free(b->sorted);
  buffer_deinit(&b->keys);
}

static const struct window_witness *span_of(const struct across_batch *b, const struct across_note *n) {
  return &b->spans[n->span].witness;
}

/* By time, then by span: a span's notes for one rule stand together. */
static int order(const void *left, const void *right, void *ctx) {
  const struct across_batch *batch = ctx;
  const struct across_note *a = *(struct across_note *const *)left,
                           *b = *(struct across_note *const *)right;
  if (a->order_ns != b->order_ns) return a->order_ns < b->order_ns ? -1 : 1;
  if (a->span == b->span) return 0;
  int by_span = memcmp(span_of(batch, a)->span_id, span_of(batch, b)->span_id, 8);
  if (by_span) return by_span;
  return memcmp(span_of(batch, a)->trace_id, span_of(batch, b)->trace_id, 16);
}

/* A rule has few notes of one request, and sorting them is what a call costs. */
static void sort(struct across_batch *b, struct across_note **notes, uint32_t n) {
  const uint32_t few = 32;
  if (n > few) {
    qsort_r(notes, n, sizeof *notes, order, b);
    return;
  }
  for (uint32_t i = 1, at; i < n; i++) {
    struct across_note *note = notes[i];
    for (at = i; at && order(&notes[at - 1], &note, b) > 0; at--) notes[at] = notes[at - 1];
    notes[at] = note;
  }
}

/* Puts the notes of each rule together, the rules in the order in which they came: the first of these. */
static struct across *gather(struct across_batch *b) {
  struct across *first = NULL, **end = &first;
  uint32_t at = 0;
  for (uint32_t i = 0; i < b->count; i++) {
    struct across *to = b->notes[i].to;
    if (to->notes++) continue;
    to->next_noted = NULL;
    *end = to;
    end = &to->next_noted;
  }
  for (struct across *to = first; to; at += to->notes, to = to->next_noted) to->notes_at = at;
  for (uint32_t i = 0; i < b->count; i++) b->sorted[b->notes[i].to->notes_at++] = &b->notes[i];
  return first;
}

static struct state_key key_of(const struct across_batch *b, const struct across_note *n) {
  return (struct state_key){n->key.bytes ? b->keys.data + n->key.at : NULL, n->key.bytes, n->key.hash};
}

static void hand_over(struct across_batch *b, const struct across_note *n) {
  const struct across_span *span = &b->spans[n->span];
  struct state_key key = key_of(b, n);
  if (n->to->window) {
    struct series_event event = {n->order_ns, n->value, n->hash, n->weight, n->flags};
    struct window_witness witness = span->witness;
    witness.time_ns = n->order_ns;
    witness.repeats = n->repeats;
    window_take(n->to->window, &key, &event, &witness);
    return;
  }
  if (n->to->novel) {
    struct window_witness witness = span->witness;
    witness.time_ns = n->order_ns;
    novel_take(n->to->novel, &key, &witness);
    return;
  }
  struct sequence_hit hit = {.start_ns = span->witness.start_ns,
                             .end_ns = span->end_ns,
                             .patterns = n->patterns,
                             .name = span->witness.name,
                             .service = span->witness.service,
                             .has_service = span->witness.has_service};
  memcpy(hit.trace_id, span->witness.trace_id, 16);
  memcpy(hit.span_id, span->witness.span_id, 8);
  if (n->to->cascade)
    cascade_take(n->to->cascade, &key, &hit, b->keys.data + n->distinct.at, n->distinct.bytes, b->now_ns);
  else
    sequence_take(n->to->sequence, &key, &hit, b->now_ns);
}

/* A ratio's span that is no hit of the window's own pattern is no event; one that is, and in the
 * numerator, is one. */
static bool merge(struct across_note *n, uint32_t patterns) {
  n->patterns = patterns;
  if (!n->to->window || n->to->terms->aggregate != FLUO_AGGREGATE_RATIO) return true;
  if (patterns & 2) n->flags |= SERIES_NUMERATOR;
  return patterns & 1;
}

static bool merges(const struct across *to) {
  return !to->window || to->terms->aggregate == FLUO_AGGREGATE_RATIO;
}

/* Groups of many windows lie all over the memory: while one event is taken what the next ones need
 * is on its way. */
static void look_ahead(const struct across_batch *b, uint32_t at) {
  static const uint32_t ahead[] = {12, 8, 4};
  for (int step = 0; step < 3; step++) {
    if (at + ahead[step] >= b->count) continue;
    const struct across_note *n = b->sorted[at + ahead[step]];
    struct state_key key = key_of(b, n);
    if (n->to->window) window_expect(n->to->window, &key, step);
  }
}

/* Notes in order, those of one span for one rule as one where that is what counts. */
static void hand_over_all(struct across_batch *b) {
  for (uint32_t i = 0, end; i < b->count; i = end) {
    struct across_note *note = b->sorted[i];
    uint32_t patterns = note->patterns;
    look_ahead(b, i);
    for (end = i + 1; merges(note->to) && end < b->count && b->sorted[end]->to == note->to &&
                      !order(&note, &b->sorted[end], b);
         end++)
      patterns |= b->sorted[end]->patterns;
    if (merge(note, patterns)) hand_over(b, note);
  }
}

static void batch_flush(struct across_batch *b) {
  for (struct across *to = gather(b); to; to = to->next_noted) {
    sort(b, b->sorted + to->notes_at - to->notes, to->notes);
    to->notes = 0;
  }
  hand_over_all(b);
  for (uint32_t i = 0; i < b->spans_count; i++) b->spans[i].rules->traces--;
  b->spans_count = b->count = 0;
  b->look = 0;
  buffer_clear(&b->keys);
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
  if (e->now_batch) batch_flush(e->now_batch);
  flush_waiting(e);
}

struct across_batch *across_batch_for(struct engine *e, const struct across *to) {
  struct across_batch *b = to->asks ? engine_batch(e) : NULL;
  if (b) return b;
  if (!e->now_batch && (e->now_batch = heap_zalloc(sizeof *e->now_batch)))
    batch_init(e->now_batch, 0);
  if (e->now_batch) e->now_batch->now_ns = e->now_ns;
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
