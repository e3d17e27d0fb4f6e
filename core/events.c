/* The ring's story. A narrow event is one word, its time and three flags, for times before the year 2043; its value
 * or hash is a second word where the ring has two. What does not fit that is kept in four words as it came. The ring
 * is made anew when it is full, or when something wider comes; once it is empty it is as narrow again as what comes
 * next.
 *
 * Rings have 3, 7, 15 … words: with the allocator's own word the sizes that it deals in. The only way to fail is to
 * have no memory for a larger one. */
#include "events_inline.h"

#include <assert.h>
#include <string.h>

#include "err.h"
#include "heap.h"

enum { WORDS_FIRST = 3 };

struct series_event events_get(const struct events *r, uint32_t i) {
  const uint64_t *words = events_at(r, i);
  struct series_event e;
  if (r->shift == EVENTS_WHOLE) {
    memcpy(&e, words, sizeof e);
    return e;
  }
  e = (struct series_event){words[0] >> EVENTS_FLAG_BITS, 1, 0, 1, words[0] & ((1 << EVENTS_FLAG_BITS) - 1)};
  if (r->shift == EVENTS_VALUE) memcpy(r->hashes ? (void *)&e.hash : &e.value, words + 1, 8);
  return e;
}

/* The same events in a ring of that width with room for one more. */
static int remake(struct events *r, uint8_t shift) {
  uint32_t wanted = (r->count + 1u) << shift, capacity = WORDS_FIRST;
  while (capacity < wanted) capacity = 2 * capacity + 1;
  struct events made = {.capacity = (uint16_t)capacity, .count = r->count, .shift = shift, .hashes = r->hashes};
  made.words = heap_alloc(capacity * sizeof *made.words);
  if (!made.words) return FLUO_ENOMEM;
  if (r->count && shift == r->shift) {
    uint32_t first = ((uint32_t)r->capacity >> shift) - r->head;
    if (first > r->count) first = r->count;
    memcpy(made.words, r->words + ((size_t)r->head << shift), (first << shift) * sizeof *made.words);
    memcpy(made.words + (first << shift), r->words, ((r->count - first) << shift) * sizeof *made.words);
  }
  for (uint32_t i = 0; shift != r->shift && i < r->count; i++) {
    struct series_event e = events_get(r, i);
    events_put(&made, i, &e);
  }
  heap_free(r->words);
  *r = made;
  return 0;
}

int events_insert(struct events *r, uint32_t place, const struct series_event *event) {
  _Static_assert(sizeof *event == sizeof(uint64_t) << EVENTS_WHOLE, "an event is four words");
  uint8_t shift = events_shift(r, event);
  if (place == r->count && events_has_room(r, event)) {
    events_push(r, event);
    return 0;
  }
  assert(r->count < EVENTS_MAX && place <= r->count);
  if (!r->count && r->capacity >> shift) r->shift = shift, r->head = 0;
  if (shift < r->shift) shift = r->shift;
  if (shift > r->shift || r->count == r->capacity >> r->shift) {
    int err = remake(r, shift);
    if (err) return err;
  }
  for (uint32_t i = r->count++; i > place; i--) memcpy(events_at(r, i), events_at(r, i - 1), sizeof(uint64_t) << r->shift);
  events_put(r, place, event);
  return 0;
}

void events_remove(struct events *r, uint32_t i) {
  for (r->count--; i < r->count; i++) memcpy(events_at(r, i), events_at(r, i + 1), sizeof(uint64_t) << r->shift);
}

void events_drop_first(struct events *r) {
  assert(r->count);
  if (++r->head == r->capacity >> r->shift) r->head = 0;
  r->count--;
}

void events_drop_last(struct events *r) {
  assert(r->count);
  r->count--;
}

/* Most come in order. */
uint32_t events_until(const struct events *r, uint64_t time_ns) {
  if (!r->count || events_time(r, r->count - 1u) <= time_ns) return r->count;
  uint32_t lo = 0, hi = r->count - 1u;
  while (lo < hi) {
    uint32_t middle = lo + (hi - lo) / 2;
    if (events_time(r, middle) <= time_ns)
      lo = middle + 1;
    else
      hi = middle;
  }
  return lo;
}

void events_deinit(struct events *r) {
  heap_free(r->words);
  *r = (struct events){.hashes = r->hashes};
}

size_t events_bytes(const struct events *r) {
  return heap_block(r->capacity * sizeof *r->words);
}
