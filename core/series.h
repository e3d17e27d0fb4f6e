/* The events of one group of a window, and what they add up to: RULES.md section 5. The window is (t - D, t], and t
 * only grows. Exact up to SERIES_EVENTS_MAX events; beyond that they are kept in buckets of at most D / 60, each of
 * which leaves when its newest event does, so that a full one overcounts by one bucket at most. Events may come that
 * are newer than t (a timer judges some time later); they count once t has come to them. */
#ifndef FLUO_SERIES_H
#define FLUO_SERIES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pack.h"

enum { SERIES_EVENTS_MAX = 4096, SERIES_SLOTS = 60,
       SERIES_BUCKETS_MAX = 4096 };     /* where t lags behind by many times D: past it events are refused */

enum series_kind {
  SERIES_SUMS,          /* samples, numerator, sum */
  SERIES_ORDER,         /* and least, greatest, at_rank, of `value` */
  SERIES_DISTINCT       /* and distinct, of `hash` */
};

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

struct series;

/* ns: D, 1 or more. 0 or FLUO_ENOMEM. */
int series_new(enum series_kind kind, uint64_t ns, struct series **out);
void series_free(struct series *s);
/* Takes an event; one that has left the window already is not kept. 0; FLUO_ENOMEM or FLUO_EFULL, and then nothing
 * has changed. */
int series_add(struct series *s, const struct series_event *event);
/* The window is (t_ns - D, t_ns] from now on; an earlier t than before is taken as that one. 0 or FLUO_ENOMEM, and
 * then the window stands where it got to. */
int series_move(struct series *s, uint64_t t_ns);

/* Of what is in the window. */
uint64_t series_samples(const struct series *s);
uint64_t series_numerator(const struct series *s);
uint64_t series_spans(const struct series *s);
bool     series_estimated(const struct series *s);        /* something in it is, or it counts by a sketch */
double   series_sum(const struct series *s);              /* NaN: of infinities of both signs */
double   series_least(const struct series *s);            /* of at least one sample */
double   series_greatest(const struct series *s);
double   series_at_rank(const struct series *s, uint64_t rank);   /* 1 <= rank <= samples; 1 is the least */
double   series_distinct(const struct series *s);         /* a whole number while all events are exact */

/* The event that will leave first, in the window or yet to come into it; UINT64_MAX: none. */
uint64_t series_oldest_ns(const struct series *s);
size_t   series_bytes(const struct series *s);

void series_write(const struct series *s, struct pack *p);
/* Into a new one of the same kind and D. 0; FLUO_EMALFORMED or FLUO_ENOMEM, and then only series_free is left. */
int series_read(struct series *s, struct unpack *u);

#endif
