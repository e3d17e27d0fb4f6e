/* The events of a series, by time: a ring that is as narrow as what it holds. An event that says no more than when it
 * was takes 8 bytes, one with a number (or a hash) 16, any other 32; the widest decides for all of them. */
#ifndef FLUO_EVENTS_H
#define FLUO_EVENTS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EVENTS_MAX = 4096 };             /* that one ring holds */

enum series_flag { SERIES_NUMERATOR = 1,    /* counts in the numerator of a ratio */
                   SERIES_ESTIMATED = 2,    /* stands for events that were dropped before they were sent */
                   SERIES_SPAN      = 4 };  /* the first event of its span */

struct series_event {
  uint64_t time_ns;
  double   value;                   /* no NaN */
  uint64_t hash;                    /* of what SERIES_DISTINCT counts */
  uint32_t weight;                  /* events it stands for, 1 or more; of SERIES_ORDER and _DISTINCT 1 */
  uint32_t flags;
};

/* In the caller's storage; all zero is an empty one that keeps values. */
struct events {
  uint64_t *words;                  /* owned; NULL: no room yet */
  uint16_t head, count, capacity;   /* head, count: in events; capacity: in words */
  uint8_t  shift;                   /* an event takes 1 << shift words */
  bool     hashes;                  /* hashes are kept; where not they are given back as 0 */
};

/* How many words an event takes, as a power of two; events.c has more to say of it. */
enum { EVENTS_FLAG_BITS = 3, EVENTS_NARROW = 0, EVENTS_VALUE = 1, EVENTS_WHOLE = 2 };

static inline uint64_t *events_at(const struct events *r, uint32_t i) {
  uint32_t events = r->capacity >> r->shift, place = r->head + i;
  return r->words + ((place < events ? place : place - events) << r->shift);
}

/* When the i-th was, i < count. Every event of a window is asked a few times. */
static inline uint64_t events_time(const struct events *r, uint32_t i) {
  return r->shift == EVENTS_WHOLE ? *events_at(r, i) : *events_at(r, i) >> EVENTS_FLAG_BITS;
}

void events_deinit(struct events *r);
/* Puts it behind the first `place` ones; there are fewer than EVENTS_MAX. 0 or FLUO_ENOMEM, and then nothing has
 * changed; where there is room nothing is allocated. */
int events_insert(struct events *r, uint32_t place, const struct series_event *event);
/* The i-th, i < count. */
struct series_event events_get(const struct events *r, uint32_t i);
/* Takes the i-th out again. */
void events_remove(struct events *r, uint32_t i);
void events_drop_first(struct events *r);
void events_drop_last(struct events *r);
/* How many are not after the time. */
uint32_t events_until(const struct events *r, uint64_t time_ns);
size_t events_bytes(const struct events *r);

#endif
