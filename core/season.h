/* What the hours of the last four weeks were like, for what comes back with the hour of the week or of the day. Hours
 * are those of event time, in UTC, counted from the epoch. Time is an argument. */
#ifndef FLUO_SEASON_H
#define FLUO_SEASON_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pack.h"

#define SEASON_HOUR_NS 3600000000000ull
enum { SEASON_WEEKS = 4, SEASON_HOURS = SEASON_WEEKS * 7 * 24, SEASON_DAYS = 7,
       SEASON_ENOUGH = 3 };             /* so many of an hour, before it says anything */

/* The caller's storage; all zero is one that knows nothing. Its members are season.c's. */
struct season {
  uint64_t hour, last;                  /* the one being summed up; the last that was noted */
  double   sum;
  uint32_t count;
  float   *hours;                       /* SEASON_HOURS of them, NaN: not known. NULL: none was noted yet */
};

/* What is normal at some moment, and how sure that is. */
struct season_hour {
  double   normal, spread;
  uint32_t samples;                     /* hours that say so */
  uint64_t since_ns;                    /* the start of the first of these */
};

void season_deinit(struct season *s);
/* A value at t_ns that stands for step_ns. Values come in order. An hour is noted when the first value of a later one
 * comes, if half of it had values. 0; FLUO_ENOMEM: an hour is not noted. */
int season_learn(struct season *s, uint64_t t_ns, uint64_t step_ns, double value);
/* What this hour of the week brings, or, where that is not known, this hour of the day; between the middles of two
 * hours in proportion. false: neither is known. */
bool season_get(const struct season *s, uint64_t t_ns, struct season_hour *out);
size_t season_bytes(const struct season *s);

void season_write(const struct season *s, struct pack *p);
/* Into one that knows nothing. 0; FLUO_EMALFORMED; FLUO_ENOMEM. */
int season_read(struct season *s, struct unpack *u);

#endif
