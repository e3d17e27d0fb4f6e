/* What every event of a window comes to, for events.c, series.c and series_order.c. */
#ifndef FLUO_EVENTS_INLINE_H
#define FLUO_EVENTS_INLINE_H
#include <string.h>

#include "events.h"

/* In the place of the i-th; the ring is wide enough. */
static inline void events_put(const struct events *r, uint32_t i, const struct series_event *e) {
  uint64_t *words = events_at(r, i);
  if (r->shift == EVENTS_WHOLE) {
    memcpy(words, e, sizeof *e);
    return;
  }
  words[0] = e->time_ns << EVENTS_FLAG_BITS | e->flags;
  if (r->shift == EVENTS_VALUE) memcpy(words + 1, r->hashes ? (const void *)&e->hash : &e->value, 8);
}
/* How wide the event is. */
static inline uint8_t events_shift(const struct events *r, const struct series_event *e) {
  bool narrow = e->weight == 1 && !(e->time_ns >> (64 - EVENTS_FLAG_BITS)) && !(e->flags >> EVENTS_FLAG_BITS);
  if (!narrow || (r->hashes && e->value != 1)) return EVENTS_WHOLE;
  return r->hashes || e->value != 1 ? EVENTS_VALUE : EVENTS_NARROW;
}
/* Whether the ring holds something, has room for one more, and is wide enough for this one. */
static inline bool events_has_room(const struct events *r, const struct series_event *e) {
  return r->count && r->count < r->capacity >> r->shift && events_shift(r, e) <= r->shift;
}
/* Puts it behind all others, where there is room. */
static inline void events_push(struct events *r, const struct series_event *e) {
  events_put(r, r->count++, e);
}

#endif
