/* Mute times: weekly windows in which nobody is told of some incidents. Days and hours are those of one UTC offset, for a
 * zone that changes it twice a year would need tables that are not there everywhere. */
#ifndef FLUO_MUTE_H
#define FLUO_MUTE_H
#include <stdbool.h>
#include <stdint.h>

struct mute_time {
  const char *matchers;         /* of the incidents that it mutes; NULL: all */
  uint8_t  days;                /* bit 0: Sunday … bit 6: Saturday: those on which it begins */
  uint16_t from_minute, to_minute;      /* of the day, [from, to); to <= from: it ends on the next day */
  int16_t  offset_minutes;      /* local time minus UTC */
};

/* Whether it is such a time. */
bool mute_time_is(const struct mute_time *m, uint64_t unix_ns);

#endif
