/* The events of one group of a window, and what they add up to (rules/README.md, Windows and sequences).
 * The window is (t - D, t], and t only grows. Exact up to SERIES_EVENTS_MAX events; beyond that they are kept in buckets
 * of at most D / 60, each of which leaves when its newest event does, so that a full one overcounts by one bucket at
 * most. Events may come that are newer than t (a timer judges some time later); they count once t has come to them. */
#ifndef FLUO_SERIES_H
#define FLUO_SERIES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "events.h"
#include "pack.h"

enum { SERIES_EVENTS_MAX = EVENTS_MAX, SERIES_SLOTS = 60,
       SERIES_BUCKETS_MAX = 4096 };     /* where t lags behind by many times D: past it events are refused */

enum series_kind {
  SERIES_SUMS,          /* samples, numerator, sum */
  SERIES_ORDER,         /* and least, greatest, at_rank, of `value` */
  SERIES_DISTINCT,      /* and distinct, of `hash` */
  SERIES_LIMIT          /* samples, above; and, looking through all of them, least, greatest, at_rank, of `value` */
};

/* In the caller's storage, one for each group of a window; all of it is private to series.c. */
struct series {
  uint64_t ns, t_ns;
  struct events events;             /* exact ones; the first `inside` of them are in the window */
  int64_t  whole;                   /* of these, the sum, ... */
  uint16_t inside, numerator, spans;            /* ... and how many are what, as long as there is no more */
  uint8_t  kind;
  bool     rounded;
  int32_t  limit_key;               /* of `limit`, the last one that a sketch does not have above it */
  double   limit;                   /* of SERIES_LIMIT, as `rounded` */
  struct series_more *more;         /* owned. NULL: all that is inside are whole numbers one by one, and added up */
};

/* ns: D, 1 or more. */
void series_init(struct series *s, enum series_kind kind, uint64_t ns);
void series_deinit(struct series *s);
/* What `above` counts from now on, also of what is there; none at first. rounded: of the numbers in buckets, as a sketch
 * has them, so that it says the same as at_rank. */
void series_limit(struct series *s, double limit, bool rounded);
/* Takes an event; one that has left the window already is not kept. 0; FLUO_ENOMEM or FLUO_EFULL, and then it is not
 * taken. */
int series_add(struct series *s, const struct series_event *event);
/* series_add and series_move to the event's time in one, where that is little: of a window that holds nothing but single
 * events, or nothing but buckets, which takes it without growing. false: it does not, and nothing has changed. */
bool series_push(struct series *s, const struct series_event *event);
/* The window is (t_ns - D, t_ns] from now on; an earlier t than before is taken as that one. 0 or FLUO_ENOMEM, and
 * then the window stands where it got to. */
int series_move(struct series *s, uint64_t t_ns);
/* To be called when something has changed, before at_rank or distinct is asked. 0 or FLUO_ENOMEM, and then they must not be. */
int series_settle(struct series *s);
/* The latest t that it was moved to; 0: none. */
uint64_t series_time_ns(const struct series *s);

/* Of what is in the window. */
uint64_t series_samples(const struct series *s);
uint64_t series_numerator(const struct series *s);
uint64_t series_spans(const struct series *s);
bool     series_estimated(const struct series *s);        /* something in it is, or it counts by a sketch */
uint64_t series_above(const struct series *s);            /* the limit */
double   series_sum(const struct series *s);              /* NaN: of infinities of both signs */
double   series_least(const struct series *s);            /* of at least one sample */
double   series_greatest(const struct series *s);
double   series_at_rank(const struct series *s, uint64_t rank);   /* 1 <= rank <= samples; 1 is the least */
double   series_distinct(const struct series *s);         /* exact, unless a bucket had more than DISTINCT_EXACT_MAX */

/* The event that will leave first, in the window or yet to come into it; UINT64_MAX: none. */
uint64_t series_oldest_ns(const struct series *s);
/* On the heap: what a series takes beside itself. */
size_t   series_bytes(const struct series *s);

void series_write(const struct series *s, struct pack *p);
/* Into a new one of the same kind and D. 0; FLUO_EMALFORMED or FLUO_ENOMEM, and then only series_deinit is left. */
int series_read(struct series *s, struct unpack *u);

#endif
